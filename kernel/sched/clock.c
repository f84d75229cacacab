/* SPDX-License-Identifier: BSD-3-Clause */
/* clock.c - the two clocks: nanoseconds since boot, and the wall clock, which may be set. */
#include "hal.h"
#include "lib/errno.h"
#include "sched/timer.h"

static uint64_t wall_offset; /* atomic: what was added by setting the clock, modulo 2^64 */

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
    return 0;
}
