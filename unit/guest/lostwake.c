/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lostwake - a bug on purpose, for `selkie explore` to find (tools/tests/sim): a queue of one, made
 * of futex calls by someone who looks at the flag first and only then reads the word he waits on.
 * A wake-up between the two is lost and the thread sleeps for ever. Without an argument the order
 * is right; with "bug" it is not.
 */
#include "guest.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

static int version, ready;
static int bug;

static long futex(int *word, int op, int value)
{
    return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void *waiter(void *unused)
{
    int seen = __atomic_load_n(&version, __ATOMIC_SEQ_CST);

    while (!__atomic_load_n(&ready, __ATOMIC_SEQ_CST)) {
        if (bug) {
            for (int i = 0; i < 3; i++)
                syscall(SYS_getppid); /* the gap */
            seen = __atomic_load_n(&version, __ATOMIC_SEQ_CST);
        }
        futex(&version, FUTEX_WAIT_PRIVATE, seen);
        if (!bug)
            seen = __atomic_load_n(&version, __ATOMIC_SEQ_CST);
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    bug = argc > 1 && strcmp(argv[1], "bug") == 0;
    REQUIRE(pthread_create(&thread, NULL, waiter, NULL) == 0);
    for (int i = 0; i < 5; i++)
        syscall(SYS_getppid); /* something else to do */
    __atomic_store_n(&ready, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&version, 1, __ATOMIC_SEQ_CST);
    futex(&version, FUTEX_WAKE_PRIVATE, 1);
    REQUIRE(pthread_join(thread, NULL) == 0);
    return guest_pass("lostwake");
}
