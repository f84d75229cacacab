/* SPDX-License-Identifier: BSD-3-Clause */
/* exit - ends in the way its argument names: "code N", "signal N", "abort", "null", "thread"
 * (exit_group from a thread), "last" (exit of all threads). */
#include "guest.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

static void *leave(void *arg)
{
    exit((int)(intptr_t)arg);
}
static void *linger(void *arg)
{
    usleep(20000);
    syscall(SYS_exit, 9);
    return arg;
}

int main(int argc, char **argv)
{
    pthread_t t;
    const char *how = argc > 1 ? argv[1] : "code";
    int n = argc > 2 ? atoi(argv[2]) : 0;
    if (strcmp(how, "signal") == 0) {
        raise(n);
    } else if (strcmp(how, "abort") == 0) {
        abort();
    } else if (strcmp(how, "null") == 0) {
        volatile int *volatile null = NULL;
        *null = 1;
    } else if (strcmp(how, "thread") == 0) {
        REQUIRE(pthread_create(&t, NULL, leave, (void *)(intptr_t)n) == 0);
        for (;;)
            pause();
    } else if (strcmp(how, "last") == 0) {
        REQUIRE(pthread_create(&t, NULL, linger, NULL) == 0);
        syscall(SYS_exit, n); /* the process lives until its last thread ends */
    }
    return n;
}
