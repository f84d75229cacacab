/* SPDX-License-Identifier: BSD-3-Clause */
/* refcount.h - reference counts that saturate instead of wrapping: an object whose count overflowed
 * leaks, it is never freed early. So does one of which a reference was taken when there was none
 * any more. Dropping a reference that nobody holds stops the machine: the object is somebody else's
 * memory by now. Taking needs no order (the holder has a reference); dropping releases, the last
 * drop acquires. */
#ifndef SELKIE_LIB_REFCOUNT_H
#define SELKIE_LIB_REFCOUNT_H

#include "lib/types.h"

#define REFCOUNT_SATURATED 0x80000000u

struct refcount {
    uint32_t count; /* atomic */
};
static inline void ref_init(struct refcount *r)
{
    __atomic_store_n(&r->count, 1, __ATOMIC_RELAXED);
}
static inline void ref_get(struct refcount *r)
{
    uint32_t old = __atomic_fetch_add(&r->count, 1, __ATOMIC_RELAXED);
    /* 0, too: whoever takes a reference of what is gone must not bring it back to be freed again.
     */
    if (__builtin_expect(old - 1 >= REFCOUNT_SATURATED - 1, 0))
        __atomic_store_n(&r->count, REFCOUNT_SATURATED, __ATOMIC_RELAXED);
}
/* Take a reference unless the count has already reached zero. */
static inline bool ref_get_live(struct refcount *r)
{
    uint32_t old = __atomic_load_n(&r->count, __ATOMIC_RELAXED);
    do {
        if (old == 0)
            return false;
        if (old >= REFCOUNT_SATURATED)
            return true;
    } while (!__atomic_compare_exchange_n(&r->count, &old, old + 1, true, __ATOMIC_ACQUIRE,
                                          __ATOMIC_RELAXED));
    return true;
}
/* Drop one; true if it was the last and the caller must free the object. */
static inline bool must_check ref_put(struct refcount *r)
{
    uint32_t old = __atomic_load_n(&r->count, __ATOMIC_RELAXED);
    do {
        if (__builtin_expect(old == 0, 0))
            __builtin_trap(); /* lib has no panic; the fault's report has the back trace */
        if (old >= REFCOUNT_SATURATED)
            return false;
    } while (!__atomic_compare_exchange_n(&r->count, &old, old - 1, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
    if (old != 1)
        return false;
    /* An acquire load rather than a fence: ThreadSanitizer understands it. */
    (void)__atomic_load_n(&r->count, __ATOMIC_ACQUIRE);
    return true;
}
static inline uint32_t ref_read(const struct refcount *r)
{
    return __atomic_load_n(&r->count, __ATOMIC_RELAXED);
}

#endif
