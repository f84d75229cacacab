/* SPDX-License-Identifier: BSD-3-Clause */
/* sanitize.h - telling AddressSanitizer which memory is dead. Outside such builds (SELKIE_ASAN 0)
 * nothing is called. */
#ifndef SELKIE_LIB_SANITIZE_H
#define SELKIE_LIB_SANITIZE_H

#include "lib/types.h"

#ifndef SELKIE_ASAN
#error "SELKIE_ASAN must be 0 or 1"
#endif

#if SELKIE_ASAN
/* sanitizer/asan_interface.h of the compilers' run-time library. */
void __asan_poison_memory_region(const volatile void *addr, size_t size);
void __asan_unpoison_memory_region(const volatile void *addr, size_t size);
#else
static inline void __asan_poison_memory_region(const volatile void *addr, size_t size)
{
    (void)addr, (void)size;
}
static inline void __asan_unpoison_memory_region(const volatile void *addr, size_t size)
{
    (void)addr, (void)size;
}
#endif

/* Any access to [addr, addr+size) is a bug from now on. */
static inline void memory_poison(const void *addr, size_t size)
{
    if (SELKIE_ASAN)
        __asan_poison_memory_region(addr, size);
}
static inline void memory_unpoison(const void *addr, size_t size)
{
    if (SELKIE_ASAN)
        __asan_unpoison_memory_region(addr, size);
}

#endif
