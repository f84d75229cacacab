/* SPDX-License-Identifier: BSD-3-Clause */
/* failpoint.c - alloc_fail_nth, alloc_fail_rate: a counter that allocations count down. With a rate
 * it starts anew when it has reached the end. Other builds have it too, and nobody who counts. */
#include "mm/failpoint.h"

#include "mm/kmalloc.h"

/* Relaxed atomics: nothing is published by them. */
uint64_t failpoint_countdown;
static uint64_t fired; /* times */
static uint64_t rate;  /* mean distance of failures; 0: there is only one */
static uint64_t state; /* of the generator, which only counts: concurrent draws just differ */

void alloc_fail_nth(uint64_t n)
{
    __atomic_store_n(&rate, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&fired, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&failpoint_countdown, n, __ATOMIC_RELAXED);
}

bool alloc_fail_hit(void)
{
    return alloc_fail_hits() != 0;
}

uint64_t alloc_fail_hits(void)
{
    return __atomic_load_n(&fired, __ATOMIC_RELAXED);
}

/* 1 to 2 * mean - 1 (splitmix64). */
static uint64_t distance(uint64_t mean)
{
    uint64_t z = __atomic_add_fetch(&state, 0x9e3779b97f4a7c15, __ATOMIC_RELAXED);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return 1 + (z ^ z >> 31) % (2 * mean - 1);
}

void alloc_fail_rate(uint64_t mean, uint64_t seed)
{
    mean = MIN(mean, UINT64_MAX / 4);
    __atomic_store_n(&state, seed, __ATOMIC_RELAXED);
    __atomic_store_n(&rate, mean, __ATOMIC_RELAXED);
    __atomic_store_n(&fired, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&failpoint_countdown, mean ? distance(mean) : 0, __ATOMIC_RELAXED);
}

bool failpoint_count(unsigned flags)
{
    uint64_t mean = __atomic_load_n(&rate, __ATOMIC_RELAXED), after;
    if (mean && (flags & ALLOC_ATOMIC))
        return false; /* whoever asks like this cannot do without */
    uint64_t left = __atomic_load_n(&failpoint_countdown, __ATOMIC_RELAXED);
    do
        if (__builtin_expect(left == 0, 1))
            return false;
    /* Compared, not just subtracted: of two CPUs at the last step one must not go below zero. */
    while (after = left == 1 && mean ? distance(mean) : left - 1,
           !__atomic_compare_exchange_n(&failpoint_countdown, &left, after, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
    if (left > 1)
        return false;
    __atomic_add_fetch(&fired, 1, __ATOMIC_RELAXED);
    return true;
}
