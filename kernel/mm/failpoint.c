/* SPDX-License-Identifier: BSD-3-Clause */
/* failpoint.c - alloc_fail_nth: a counter that all allocations count down. */
#include "mm/failpoint.h"

#include "mm/kmalloc.h"

/* Relaxed atomics: tests set them while nothing else allocates. */
static uint64_t countdown;
static bool fired;

void alloc_fail_nth(uint64_t n)
{
    __atomic_store_n(&fired, false, __ATOMIC_RELAXED);
    __atomic_store_n(&countdown, n, __ATOMIC_RELAXED);
}

bool alloc_fail_hit(void)
{
    return __atomic_load_n(&fired, __ATOMIC_RELAXED);
}

bool failpoint_hit(void)
{
    if (__builtin_expect(__atomic_load_n(&countdown, __ATOMIC_RELAXED) == 0, 1))
        return false;
    if (__atomic_sub_fetch(&countdown, 1, __ATOMIC_RELAXED))
        return false;
    __atomic_store_n(&fired, true, __ATOMIC_RELAXED);
    return true;
}
