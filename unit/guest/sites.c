/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sites.c - x86-64: system-call sites of several shapes, at every alignment, each executed by four
 * threads at once from the first time on, so that some of them are on it while it is being changed.
 * And breakpoints of the program's own, which are its own all the while; signals that arrive on the
 * way into a call, which show an address of the program's code; code whose mapping changes
 * while it is executed.
 */
#include "guest.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <ucontext.h>

#if !defined(__x86_64__)
int main(void)
{
    return guest_pass("sites");
}
#else
enum { THREADS = 4, COPIES = 2, ALIGNMENTS = 8, SHAPES = 3, SLOT = 128, LEAD = 64 };
enum { SITES = COPIES * ALIGNMENTS * SHAPES };

/* mov $39, %eax; syscall; ret */
static const uint8_t plain[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
/* An address relative to the instruction: it must be the mark's. Lea to mark: 13 bytes. */
static const uint8_t relative[] = {0xb8, 39,   0,    0,    0,       /* mov $39, %eax */
                                   0x48, 0x8d, 0x35, 0x0d, 0, 0, 0, /* lea mark, %rsi */
                                   0x31, 0xff,                      /* xor %edi, %edi */
                                   0x0f, 0x05,                      /* syscall */
                                   0x80, 0x3e, 0x5a,                /* cmpb $0x5a, (%rsi) */
                                   0x74, 0x02,                      /* je 1f */
                                   0x31, 0xc0,                      /* xor %eax, %eax */
                                   0xc3,                            /* 1: ret */
                                   0x90, 0x5a};                     /* mark */
/* As glibc's read: a variable compared, a conditional jump that is not taken. */
static const uint8_t conditional[] = {0x80, 0x3d, 0x0c, 0, 0, 0, 0x01, /* cmpb $1, flag */
                                      0x75, 0x07,                      /* jne 1f */
                                      0x31, 0xd2,                      /* xor %edx, %edx */
                                      0x89, 0xf8,                      /* mov %edi, %eax */
                                      0x0f, 0x05,                      /* syscall */
                                      0xc3,                            /* ret */
                                      0x31, 0xc0,                      /* 1: xor %eax, %eax */
                                      0xc3, 0x01};                     /* ret; flag */

static const struct {
    const uint8_t *code;
    size_t len;
} shapes[SHAPES] = {
    {plain, sizeof plain}, {relative, sizeof relative}, {conditional, sizeof conditional}};

typedef long (*site_fn)(long nr);
static site_fn sites[SITES];
static int arrived[SITES];
static pid_t self;

static void build(void)
{
    uint8_t *code = mmap(NULL, (size_t)SITES * SLOT, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(code != MAP_FAILED);
    memset(code, 0x90, (size_t)SITES * SLOT);
    for (size_t i = 0; i < SITES; i++) {
        uint8_t *at = code + i * SLOT + LEAD + i / SHAPES % ALIGNMENTS;
        memcpy(at, shapes[i % SHAPES].code, shapes[i % SHAPES].len);
        sites[i] = (site_fn)(uintptr_t)at;
    }
    REQUIRE(mprotect(code, (size_t)SITES * SLOT, PROT_READ | PROT_EXEC) == 0);
}

static void *caller(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < SITES; i++) {
        __atomic_add_fetch(&arrived[i], 1, __ATOMIC_ACQ_REL);
        for (int spins = 0; __atomic_load_n(&arrived[i], __ATOMIC_ACQUIRE) < THREADS; spins++)
            if (spins > 1000)
                sched_yield();
        for (int round = 0; round < 12; round++)
            REQUIRE(sites[i](39) == self);
    }
    return NULL;
}

/* ---- breakpoints ---- */

static int traps;
static bool stop;

static void on_trap(int signo)
{
    (void)signo;
    traps++;
}

static void *breaker(void *arg)
{
    struct sigaction sa = {.sa_handler = on_trap};
    (void)arg;
    REQUIRE(sigaction(SIGTRAP, &sa, NULL) == 0);
    int rounds = 0;
    do {
        __asm__ volatile("int3");
        __asm__ volatile(".byte 0xcd, 3"); /* int $3 */
        rounds++;
    } while (!__atomic_load_n(&stop, __ATOMIC_RELAXED));
    REQUIRE(traps == 2 * rounds);
    return NULL;
}

/* ---- signals on the way into a call ---- */

/* mov $39, %eax; cmpb $1, flag; jne 1f; syscall; ret; 1: xor %eax, %eax; ret. The flag is at 4096.
 */
static const uint8_t guarded[] = {0xb8, 39, 0,    0,    0,    0x80, 0x3d, 0xf4, 0x0f, 0,
                                  0,    1,  0x75, 0x03, 0x0f, 0x05, 0xc3, 0x31, 0xc0, 0xc3};
enum { GUARDED_AT = 0x05, PAGE = 4096 };
static uint8_t *volatile flag;
static uintptr_t seen_pc;

static void on_guard(int signo, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    (void)signo;
    REQUIRE(info->si_addr == flag);
    seen_pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
    REQUIRE(mprotect(flag, PAGE, PROT_READ | PROT_WRITE) == 0);
}

/* The instruction in front of the call faults once the call has been made, and again. */
static void test_address(void)
{
    struct sigaction sa = {.sa_sigaction = on_guard, .sa_flags = SA_SIGINFO}, old;
    uint8_t *code =
        mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(code != MAP_FAILED);
    memcpy(code, guarded, sizeof guarded);
    code[PAGE] = 1;
    flag = code + PAGE;
    site_fn call = (site_fn)(uintptr_t)code;
    REQUIRE(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0);
    REQUIRE(sigaction(SIGSEGV, &sa, &old) == 0);
    for (int i = 0; i < 3; i++) {
        REQUIRE(call(39) == self);
        REQUIRE(mprotect(flag, PAGE, PROT_NONE) == 0);
        seen_pc = 0;
        REQUIRE(call(39) == self);
        REQUIRE(seen_pc == (uintptr_t)code + GUARDED_AT);
    }
    REQUIRE(sigaction(SIGSEGV, &old, NULL) == 0);
    REQUIRE(munmap(code, 2 * PAGE) == 0);
}

/* ---- code whose mapping changes ---- */

enum { MOVERS = 3, FILE_PAGES = 2, FILE_ROUNDS = 2, FILE_SITES = FILE_PAGES * PAGE / SLOT };
static uint8_t *text;
static bool still;

/* What the file has is what stands there again; protections come back at once. */
static void *mover(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&still, __ATOMIC_RELAXED)) {
        for (int i = 0; i < FILE_PAGES; i++) {
            REQUIRE(madvise(text + i * PAGE, PAGE, MADV_DONTNEED) == 0);
            REQUIRE(mprotect(text + i * PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
            REQUIRE(mprotect(text + i * PAGE, PAGE, PROT_READ | PROT_EXEC) == 0);
        }
        sched_yield();
    }
    return NULL;
}

static void *runner(void *arg)
{
    (void)arg;
    for (int round = 0; round < 6; round++)
        for (int i = 0; i < FILE_SITES; i++) {
            site_fn call = (site_fn)(uintptr_t)(text + i * SLOT + LEAD + i % ALIGNMENTS);
            for (int again = 0; again < 3; again++)
                REQUIRE(call(39) == self);
        }
    return NULL;
}

static void test_moved(void)
{
    static uint8_t bytes[FILE_PAGES * PAGE];
    pthread_t threads[MOVERS], other;
    int fd = memfd_create("text", 0), before = traps;
    memset(bytes, 0x90, sizeof bytes);
    for (int i = 0; i < FILE_SITES; i++)
        memcpy(bytes + i * SLOT + LEAD + i % ALIGNMENTS, plain, sizeof plain);
    REQUIRE(fd >= 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    for (int round = 0; round < FILE_ROUNDS; round++) {
        text = mmap(NULL, sizeof bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
        REQUIRE(text != MAP_FAILED);
        __atomic_store_n(&still, false, __ATOMIC_RELAXED);
        REQUIRE(pthread_create(&other, NULL, mover, NULL) == 0);
        for (int i = 0; i < MOVERS; i++)
            REQUIRE(pthread_create(&threads[i], NULL, runner, NULL) == 0);
        for (int i = 0; i < MOVERS; i++)
            REQUIRE(pthread_join(threads[i], NULL) == 0);
        __atomic_store_n(&still, true, __ATOMIC_RELAXED);
        REQUIRE(pthread_join(other, NULL) == 0);
        REQUIRE(munmap(text, sizeof bytes) == 0);
    }
    REQUIRE(traps == before); /* the kernel's breakpoints are not the program's */
    REQUIRE(close(fd) == 0);
}

/* ---- code that comes and goes ---- */

/* More sites in sequence than trampolines are kept for: those of code that is gone are used again,
 * and none is mistaken for another. */
static void test_many(void)
{
    enum { LOADS = 320, EACH = 32 };
    for (int load = 0; load < LOADS; load++) {
        uint8_t *code =
            mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(code != MAP_FAILED);
        memset(code, 0x90, PAGE);
        for (int i = 0; i < EACH; i++)
            memcpy(code + i * SLOT + LEAD + load % ALIGNMENTS, plain, sizeof plain);
        REQUIRE(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0);
        for (int i = 0; i < EACH; i++)
            for (int round = 0; round < 3; round++)
                REQUIRE(((site_fn)(uintptr_t)(code + i * SLOT + LEAD + load % ALIGNMENTS))(39) ==
                        self);
        REQUIRE(munmap(code, PAGE) == 0);
    }
}

int main(void)
{
    pthread_t threads[THREADS], trapper;
    self = getpid();
    test_address();
    test_many();
    build();
    REQUIRE(pthread_create(&trapper, NULL, breaker, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, caller, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    REQUIRE(pthread_join(trapper, NULL) == 0);
    test_moved();
    return guest_pass("sites");
}
#endif
