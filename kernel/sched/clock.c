/* SPDX-License-Identifier: BSD-3-Clause */
/* clock.c - the two clocks: nanoseconds since boot (and one second: hal.h), and the wall clock,
 * which may be set. */
#include "hal.h"
#include "lib/errno.h"
#include "sched/timer.h"
#include "sched/wait.h"

static uint64_t wall_offset; /* atomic: what was added by setting the clock, modulo 2^64 */
static uint32_t set_count;   /* atomic */
static struct waitq set_queue = {
    .lock = SPINLOCK_INIT(RANK_WAITQ),
    .waiters = {&set_queue.waiters, &set_queue.waiters},
};

uint64_t clock_mono_ns(void)
{
    return hal_clock_ns();
}

/* Relaxed: a single word, and nothing else depends on it. */
uint64_t clock_wall_ns(void)
{
    return hal_wall_base_ns() + hal_clock_ns() + __atomic_load_n(&wall_offset, __ATOMIC_RELAXED);
}

int clock_wall_set(uint64_t ns)
{
    if (ns > INT64_MAX)
        return -EINVAL;
    uint64_t offset = ns - hal_wall_base_ns() - hal_clock_ns();
    __atomic_store_n(&wall_offset, offset, __ATOMIC_RELAXED);
    /* Release: who sees the count sees the new time. Sleepers are told through the queue's lock. */
    __atomic_fetch_add(&set_count, 1, __ATOMIC_RELEASE);
    waitq_wake_all(&set_queue, 0);
    return 0;
}

uint32_t clock_set_count(void)
{
    return __atomic_load_n(&set_count, __ATOMIC_ACQUIRE);
}

struct waitq *clock_set_queue(void)
{
    return &set_queue;
}
