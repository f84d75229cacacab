/* SPDX-License-Identifier: BSD-3-Clause */
/* failpoint.c - alloc_fail_nth: a counter that all allocations count down. */
#include "mm/failpoint.h"

#include "mm/kmalloc.h"

#ifdef SELKIE_UNIT_TEST
/* Relaxed atomics: nothing is published by them. */
uint64_t failpoint_countdown;
static bool fired;

void alloc_fail_nth(uint64_t n)
{
    __atomic_store_n(&fired, false, __ATOMIC_RELAXED);
    __atomic_store_n(&failpoint_countdown, n, __ATOMIC_RELAXED);
}

bool alloc_fail_hit(void)
{
    return __atomic_load_n(&fired, __ATOMIC_RELAXED);
}

bool failpoint_count(void)
{
    uint64_t left = __atomic_load_n(&failpoint_countdown, __ATOMIC_RELAXED);
    do
        if (__builtin_expect(left == 0, 1))
            return false;
    /* Compared, not just subtracted: of two CPUs at the last step one must not go below zero. */
    while (!__atomic_compare_exchange_n(&failpoint_countdown, &left, left - 1, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    if (left > 1)
        return false;
    __atomic_store_n(&fired, true, __ATOMIC_RELAXED);
    return true;
}
#endif
