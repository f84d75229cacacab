/* SPDX-License-Identifier: BSD-3-Clause */
/* crew.h - a simulated test's worker threads: start some, wait until all have said that they are
 * done. */
#ifndef SELKIE_UNIT_CREW_H
#define SELKIE_UNIT_CREW_H

#include "sched/wait.h"
#include "sim.h"

static struct waitq done_queue;
static unsigned running; /* threads that have not finished */

static bool finished(void)
{
    return __atomic_load_n(&running, __ATOMIC_SEQ_CST) == 0;
}

static void finish(void)
{
    __atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
    waitq_wake_all(&done_queue, 0);
}

static void spawn(void (*fn)(void *), uintptr_t arg, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        __atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
        SIM_CHECK(thread_spawn("worker", fn, (void *)(arg + i)));
    }
}

static void await_all(void)
{
    struct waiter w;
    waitq_prepare(&done_queue, &w, false);
    while (!finished())
        SIM_CHECK(waitq_sleep(&w, UINT64_MAX) == 0);
    waitq_finish(&w);
}

#endif
