/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sigframes.c - signal after signal: each needs a frame, and memory to make it in. A program never
 * hears that there is none (it waits), so that a kernel whose allocations fail by chance
 * (docs/boot.md, nomem) must deliver them all.
 */
#include <signal.h>

#include "guest.h"

#define SIGNALS 20000

static volatile sig_atomic_t count;

static void on_signal(int signo)
{
    (void)signo;
    count++;
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < SIGNALS; i++)
        REQUIRE(raise(SIGUSR1) == 0 && count == i + 1);
    return guest_pass("sigframes");
}
