/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls.c - x86: a thread pointer that the register cannot hold is refused, by arch_prctl and by
 * clone; one that a program has set itself, where instructions for that are allowed, is kept while
 * other threads run. Elsewhere there is nothing to test.
 */
#include "guest.h"

#if defined(__x86_64__)
#include <asm/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>

#define FLAGS \
    (CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | \
     CLONE_SETTLS)

static int never(void *arg)
{
    printf("FAIL: a thread was made\n");
    fflush(stdout);
    _exit(1);
}

static sigjmp_buf refused;

static void illegal(int signo)
{
    (void)signo;
    siglongjmp(refused, 1);
}

static void *spin(void *until)
{
    while (!__atomic_load_n((int *)until, __ATOMIC_RELAXED))
        ;
    return NULL;
}

/* No code of libc runs while the base is another one. */
static int keeps_base(void)
{
    unsigned long old, now, other = 0x123456789000;
    int done = 0;
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, spin, &done) == 0);
    __asm__ volatile("rdfsbase %0" : "=r"(old));
    __asm__ volatile("wrfsbase %[other]\n"
                     "mov $200, %%ebx\n"
                     "1: mov $24, %%eax\n" /* sched_yield */
                     "syscall\n"
                     "rdfsbase %[now]\n"
                     "cmp %[other], %[now]\n"
                     "jne 2f\n"
                     "dec %%ebx\n"
                     "jnz 1b\n"
                     "2: wrfsbase %[old]"
                     : [now] "=&r"(now)
                     : [other] "r"(other), [old] "r"(old)
                     : "rax", "rbx", "rcx", "r11", "memory", "cc");
    __atomic_store_n(&done, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    return now == other;
}

static int may_write_base(void)
{
    volatile int may = 0;
    unsigned long base;

    signal(SIGILL, illegal);
    if (sigsetjmp(refused, 1) == 0) {
        __asm__ volatile("rdfsbase %0" : "=r"(base));
        may = 1;
    }
    signal(SIGILL, SIG_DFL);
    return may;
}

int main(void)
{
    static const unsigned long bad[] = {1ul << 63, 1ul << 47, -4096ul};
    static char stack[65536] __attribute__((aligned(16)));
    unsigned long base = 0, now = 0;

    REQUIRE(syscall(SYS_arch_prctl, ARCH_GET_FS, &base) == 0 && base != 0);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        REQUIRE_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_FS, bad[i]), EPERM);
        REQUIRE_ERRNO(clone(never, stack + sizeof(stack), FLAGS, NULL, NULL, (void *)bad[i], NULL),
                      EPERM);
    }
    REQUIRE(syscall(SYS_arch_prctl, ARCH_SET_FS, base) == 0);
    REQUIRE(syscall(SYS_arch_prctl, ARCH_GET_FS, &now) == 0 && now == base);
    REQUIRE(!may_write_base() || keeps_base());
    return guest_pass("tls");
}
#else
int main(void)
{
    return guest_pass("tls");
}
#endif
