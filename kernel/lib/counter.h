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

/* By its only writer. Not written as an atomic store, of which the compilers make three
 * instructions where the machine may have one; an aligned word is never stored in halves, and "+m"
 * keeps the compiler from putting the store off. */
#if SELKIE_TSAN
#define counter_add(counter, delta) \
    __atomic_store_n(counter, *(counter) + (delta), __ATOMIC_RELAXED)
#else
#define counter_add(counter, delta) \
    do { \
        *(counter) += (delta); \
        __asm__ volatile("" : "+m"(*(counter))); \
    } while (0)
#endif
static inline void counter_step(uint64_t *counter)
{
    counter_add(counter, 1u);
}

#endif
