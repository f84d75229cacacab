/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wx - nothing that a program finds mapped is both writable and executable: its own and its
 * libraries' segments, stacks, heap, vDSO, and the kernel's trampolines of system calls that have
 * been made often. What may be written cannot be executed, what may be executed cannot be written:
 * SEGV_ACCERR, tried on every mapping. Who asks mmap or mprotect for both gets both.
 */
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define RW (PROT_READ | PROT_WRITE)
#define MAPPINGS 256

#if defined(__x86_64__)
static const uint8_t just_return[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
#elif defined(__aarch64__)
static const uint32_t just_return[] = {0x52800540, 0xd65f03c0}; /* mov w0, #42; ret */
#endif

static __thread sigjmp_buf back;
static __thread siginfo_t told;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)context;
    told = *info;
    told.si_signo = signo;
    siglongjmp(back, 1);
}

static void refused(const char *what, const char *name, uintptr_t at)
{
    if (told.si_signo == SIGSEGV && told.si_code == SEGV_ACCERR && (uintptr_t)told.si_addr == at)
        return;
    printf("FAIL: %s %s at %lx: signal %d code %d address %p\n", what, name, (unsigned long)at,
           told.si_signo, told.si_code, told.si_addr);
    fflush(stdout);
    _exit(1);
}

static int __attribute__((noinline)) call(uintptr_t at)
{
    return ((int (*)(void))at)();
}

static void cannot_execute(const char *name, uintptr_t at)
{
    memset(&told, 0, sizeof told);
    if (sigsetjmp(back, 1) == 0)
        (void)call(at);
    refused("executing", name, at);
}

static void cannot_write(const char *name, uintptr_t at)
{
    memset(&told, 0, sizeof told);
    if (sigsetjmp(back, 1) == 0)
        *(volatile char *)at = *(volatile char *)at;
    refused("writing", name, at);
}

/* ---- the list of mappings ---- */

static struct mapping {
    unsigned long lo, hi;
    char prot[5], name[64];
} mapping[MAPPINGS];
static unsigned mappings;

/* All of it before the first is tried, and without stdio, whose buffers come and go. */
static void read_maps(void)
{
    static char text[65536];
    size_t len = 0;
    ssize_t n;
    int fd = open("/proc/self/maps", O_RDONLY);
    while ((n = read(fd, text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    REQUIRE(n == 0 && len < sizeof text - 1 && close(fd) == 0);
    text[len] = 0;
    mappings = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), mappings++) {
        struct mapping *m = &mapping[mappings];
        REQUIRE(mappings < MAPPINGS);
        m->name[0] = 0;
        REQUIRE(sscanf(line, "%lx-%lx %4s %*s %*s %*s %63s", &m->lo, &m->hi, m->prot, m->name) >=
                3);
        if (m->prot[1] == 'w' && m->prot[2] == 'x') {
            printf("FAIL: %s\n", line);
            fflush(stdout);
            _exit(1);
        }
    }
}

static const struct mapping *mapping_of(uintptr_t at)
{
    for (unsigned i = 0; i < mappings; i++)
        if (at >= mapping[i].lo && at < mapping[i].hi)
            return &mapping[i];
    REQUIRE(!"mapped");
    return NULL;
}

/* Read-only data is left out: arm64's linker puts it beside the code. */
static void test_mappings(void)
{
    unsigned code = 0, data = 0;
    read_maps();
    for (unsigned i = 0; i < mappings; i++) {
        const struct mapping *m = &mapping[i];
        if (m->lo >> 63)
            continue; /* vsyscall */
        if (m->prot[0] == 'r' && m->prot[2] == 'x')
            cannot_write(m->name, m->lo), code++;
        else if (m->prot[0] == 'r' && m->prot[1] == 'w')
            cannot_execute(m->name, m->lo), data++;
    }
    REQUIRE(code > 0 && data > 1);
}

/* ---- places that every program has ---- */

static char initialised[64] = {1}, zeroed[64];

static void data_at(const char *name, void *place)
{
    uintptr_t at = ((uintptr_t)place + 7) & ~7ul;
    memcpy((void *)at, just_return, sizeof just_return);
    REQUIRE(strcmp(mapping_of(at)->prot, "rw-p") == 0);
    cannot_execute(name, at);
}

static void *on_a_thread(void *arg)
{
    char here[64];
    read_maps();
    data_at("a thread's stack", here);
    return arg;
}

static void test_places(void)
{
    char here[64], *block = malloc(4000);
    pthread_t thread;
    uintptr_t brk = (uintptr_t)syscall(SYS_brk, 0);
    REQUIRE(block && brk);
    REQUIRE(pthread_create(&thread, NULL, on_a_thread, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    /* What libc has not asked for. Nothing is allocated from here on. */
    REQUIRE((uintptr_t)syscall(SYS_brk, brk + 65536) == brk + 65536);
    read_maps();
    data_at("stack", here);
    data_at("data", initialised);
    data_at("bss", zeroed);
    data_at("malloc", block);
    data_at("heap", (char *)brk + 32768);
    REQUIRE(strcmp(mapping_of((uintptr_t)here)->name, "[stack]") == 0);
    REQUIRE(strcmp(mapping_of((uintptr_t)&call)->prot, "r-xp") == 0);
    cannot_write("code", (uintptr_t)&call);
    cannot_write("code of libc", (uintptr_t)&strtoul);
    cannot_write("constant", (uintptr_t)just_return);
}

/* ---- who asks for both ---- */

static void test_asked_for(void)
{
    char *page = mmap(NULL, 4096, RW | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(page != MAP_FAILED);
    memcpy(page, just_return, sizeof just_return);
    __builtin___clear_cache(page, page + sizeof just_return);
    REQUIRE(call((uintptr_t)page) == 42);
    REQUIRE(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
    REQUIRE(call((uintptr_t)page) == 42);
    cannot_write("sealed code", (uintptr_t)page);
    REQUIRE(mprotect(page, 4096, RW) == 0);
    page[100] = 1;
    cannot_execute("opened code", (uintptr_t)page);
    REQUIRE(mprotect(page, 4096, RW | PROT_EXEC) == 0);
    page[100] = 2;
    REQUIRE(call((uintptr_t)page) == 42);
    REQUIRE(munmap(page, 4096) == 0);
}

int main(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    REQUIRE(sigaction(SIGSEGV, &sa, NULL) == 0 && sigaction(SIGBUS, &sa, NULL) == 0);
    for (int i = 0; i < 10; i++) /* Selkie makes its sites jumps to trampolines */
        REQUIRE(getppid() >= 0 && syscall(SYS_gettid) == getpid());
    test_asked_for();
    test_mappings();
    test_places();
    test_mappings();
    return guest_pass("wx");
}
