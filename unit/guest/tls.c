/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls.c - x86: a thread pointer that the register cannot hold is refused, by arch_prctl and by
 * clone. Elsewhere there is nothing to test.
 */
#include "guest.h"

#if defined(__x86_64__)
#include <asm/prctl.h>
#include <sched.h>
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
    return guest_pass("tls");
}
#else
int main(void)
{
    return guest_pass("tls");
}
#endif
