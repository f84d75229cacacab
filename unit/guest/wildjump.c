/* SPDX-License-Identifier: BSD-3-Clause */
/* wildjump.c - a jump to an address that is not the program's is its own SIGSEGV, wherever it goes.
 */
#include <setjmp.h>
#include <signal.h>

#include "guest.h"

static sigjmp_buf back;
static void *where;

static void handler(int signo, siginfo_t *info, void *context)
{
    where = info->si_addr;
    siglongjmp(back, signo);
}

int main(void)
{
    static const uintptr_t targets[] = {0xfffffffffffff000, 0xffffffffc0000000, 0xffff888000100000,
                                        0xffffc90000000000, 8};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

    REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
    for (unsigned i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        int signo = sigsetjmp(back, 1);

        if (signo == 0)
            ((void (*)(void))targets[i])();
        REQUIRE(signo == SIGSEGV);
        REQUIRE((uintptr_t)where == targets[i]);
    }
    return guest_pass("wildjump");
}
