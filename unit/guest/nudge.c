/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nudge ROUNDS - a thread that sleeps is woken while another thread changes where it may run and
 * its owner looks at it for that. There are no time-outs: a wake-up that is lost ends in a
 * deadlock.
 */
#include "guest.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

static int go, word, done, moved; /* the last round that each is through with */
static int rounds, cpus;
static pid_t sleeper_tid;
static cpu_set_t everywhere;

static long futex(int *at, int op, int value)
{
    return syscall(SYS_futex, at, op, value, NULL, NULL, 0);
}

static void await(int *at, int round)
{
    for (int seen; (seen = __atomic_load_n(at, __ATOMIC_SEQ_CST)) < round;)
        futex(at, FUTEX_WAIT_PRIVATE, seen);
}

static void tell(int *at, int round)
{
    __atomic_store_n(at, round, __ATOMIC_SEQ_CST);
    futex(at, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

static void *sleeper(void *unused)
{
    __atomic_store_n(&sleeper_tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    tell(&done, 1);
    for (int round = 2; round <= rounds; round++) {
        await(&word, round);
        tell(&done, round);
    }
    await(&moved, rounds); /* who is gone cannot be moved */
    return unused;
}

static void *waker(void *unused)
{
    for (int round = 2; round <= rounds; round++) {
        await(&go, round);
        tell(&word, round);
    }
    return unused;
}

static void *mover(void *unused)
{
    for (int round = 2; round <= rounds; round++) {
        cpu_set_t one;

        CPU_ZERO(&one);
        for (int cpu = 0, n = round % cpus; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &everywhere) && n-- == 0)
                CPU_SET(cpu, &one);
        await(&go, round);
        REQUIRE(sched_setaffinity(sleeper_tid, sizeof(one), &one) == 0);
        REQUIRE(sched_setaffinity(sleeper_tid, sizeof(everywhere), &everywhere) == 0);
        tell(&moved, round);
    }
    return unused;
}

int main(int argc, char **argv)
{
    static void *(*const bodies[])(void *) = {sleeper, waker, mover};
    pthread_t threads[3];

    rounds = argc > 1 ? atoi(argv[1]) : 100;
    REQUIRE(sched_getaffinity(0, sizeof(everywhere), &everywhere) == 0);
    cpus = CPU_COUNT(&everywhere);
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&threads[i], NULL, bodies[i], NULL) == 0);
    await(&done, 1);
    for (int round = 2; round <= rounds; round++) {
        tell(&go, round);
        await(&done, round);
        await(&moved, round);
    }
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    return guest_pass("nudge");
}
