/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * counter.h - a count that one thread or CPU writes and anybody may read (for /proc, getrusage).
 *
 * Relaxed accesses suffice: nothing else is published by it, and a reader that sees it a moment
 * late reports what was true a moment before. They are atomic only so that no reader sees half of a
 * store; the writer needs no read-modify-write, because it is alone.
 */
#ifndef SELKIE_LIB_COUNTER_H
#define SELKIE_LIB_COUNTER_H

#include "lib/types.h"

static inline uint64_t counter_read(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* By its only writer. */
static inline void counter_step(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

#endif
