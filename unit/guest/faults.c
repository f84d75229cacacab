/* SPDX-License-Identifier: BSD-3-Clause */
/* faults - each kind of program error gives the right signal, si_code and si_addr, and can be
 * recovered from. With an argument also stack faults. */
#include "guest.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static sigjmp_buf recover;
static volatile int last_signal, last_code;
static void *volatile last_addr;
static char *alt;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    char here;
    (void)context;
    last_signal = signo;
    last_code = info->si_code;
    last_addr = info->si_addr;
    if (&here < alt || &here >= alt + 65536)
        last_signal = -1; /* the handler must be on the alternate stack */
    siglongjmp(recover, 1);
}

static void install(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    alt = malloc(65536);
    stack_t ss = {.ss_sp = alt, .ss_size = 65536};
    REQUIRE(alt && sigaltstack(&ss, NULL) == 0);
    int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        REQUIRE(sigaction(signals[i], &sa, NULL) == 0);
}

#define ANY ((uintptr_t)-1)
#define EXPECT_FAULT(statement, sig, code, addr) \
    do { \
        uintptr_t want_ = (uintptr_t)(addr); \
        last_signal = 0; \
        if (sigsetjmp(recover, 1) == 0) { \
            statement; \
            printf("FAIL %s:%d: no fault\n", __FILE__, __LINE__); \
            exit(1); \
        } \
        if (last_signal != (sig) || last_code != (code) || \
            (want_ != ANY && (uintptr_t)last_addr != want_)) { \
            printf("FAIL %s:%d: signal %d code %d addr %p\n", __FILE__, __LINE__, last_signal, \
                   last_code, last_addr); \
            exit(1); \
        } \
    } while (0)

static void __attribute__((noinline)) call(void *code)
{
    ((void (*)(void))code)();
}

static int __attribute__((noinline)) deep(int n)
{
    volatile char frame[4096];
    frame[0] = (char)n;
    frame[4095] = (char)n;
    return n < 0 ? 0 : deep(n + 1) + frame[n & 1023];
}

/* An address that is not canonical is a stack fault if rsp or rbp is its base; QEMU's own processor
 * knows only the general one. */
static void stack_faults(void)
{
#if defined(__x86_64__)
    EXPECT_FAULT(__asm__ volatile("movabs $0x8000000000000000, %%rsp; push %%rax" ::
                                      : "memory"),
                 SIGBUS, SI_KERNEL, 0);
    EXPECT_FAULT(__asm__ volatile("push %%rbp; movabs $0x8000000000000000, %%rbp\n"
                                  "mov (%%rbp), %%rax; pop %%rbp" ::
                                      : "rax", "memory"),
                 SIGBUS, SI_KERNEL, 0);
#endif
}

int main(int argc, char **argv)
{
    install();
    if (argc > 1)
        stack_faults();
    volatile int *volatile null = NULL;
    EXPECT_FAULT(*null = 1, SIGSEGV, SEGV_MAPERR, 0);
    EXPECT_FAULT((void)*(null + 4), SIGSEGV, SEGV_MAPERR, 16);

    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(page != MAP_FAILED);
    REQUIRE(mprotect(page + 4096, 4096, PROT_READ) == 0);
    EXPECT_FAULT(*(volatile char *)(page + 4100) = 1, SIGSEGV, SEGV_ACCERR, page + 4100);
    REQUIRE(mprotect(page + 4096, 4096, PROT_NONE) == 0);
    EXPECT_FAULT((void)*(volatile char *)(page + 4096), SIGSEGV, SEGV_ACCERR, page + 4096);
    REQUIRE(munmap(page + 4096, 4096) == 0);
    EXPECT_FAULT((void)*(volatile char *)(page + 4096), SIGSEGV, SEGV_MAPERR, page + 4096);

    EXPECT_FAULT(call(page), SIGSEGV, SEGV_ACCERR, page); /* execute data */
    EXPECT_FAULT(*(volatile char *)(uintptr_t)&call = 1, SIGSEGV, SEGV_ACCERR,
                 &call);                            /* write text */
    EXPECT_FAULT(deep(0), SIGSEGV, last_code, ANY); /* stack overflow */

    char path[] = "/tmp/faultsXXXXXX";
    int fd = mkstemp(path);
    REQUIRE(fd >= 0 && unlink(path) == 0 && ftruncate(fd, 100) == 0);
    char *file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(file != MAP_FAILED);
    file[99] = 1;
    EXPECT_FAULT((void)*(volatile char *)(file + 4096), SIGBUS, BUS_ADRERR, file + 4096);

#if defined(__x86_64__)
    EXPECT_FAULT(__asm__ volatile("ud2"), SIGILL, ILL_ILLOPN, ANY);
    EXPECT_FAULT(__asm__ volatile("int3"), SIGTRAP, SI_KERNEL, 0);
    EXPECT_FAULT(__asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx" ::
                                      : "eax", "ecx", "edx"),
                 SIGFPE, FPE_INTDIV, ANY);
    EXPECT_FAULT((void)*(volatile char *)0x8000000000000000ul, SIGSEGV, SI_KERNEL, ANY);
#elif defined(__aarch64__)
    EXPECT_FAULT(__asm__ volatile(".inst 0x00000000"), SIGILL, ILL_ILLOPC, ANY);
    EXPECT_FAULT(__asm__ volatile("brk #0"), SIGTRAP, TRAP_BRKPT, ANY);
#endif
    return guest_pass("faults");
}
