/* SPDX-License-Identifier: BSD-3-Clause */
/* sanitize.h - telling AddressSanitizer which memory is dead, and asking it. Outside such builds
 * (SELKIE_ASAN 0) nothing is called. Hosted the compiler's run-time library is behind it, on bare
 * metal (SELKIE_KASAN 1) platform/common/kasan.c; docs/debugging.md. */
#ifndef SELKIE_LIB_SANITIZE_H
#define SELKIE_LIB_SANITIZE_H

#include "lib/types.h"

#ifndef SELKIE_ASAN
#error "SELKIE_ASAN must be 0 or 1"
#endif
#ifndef SELKIE_KASAN
#error "SELKIE_KASAN must be 0 or 1"
#endif

/* Why memory is dead, for the report: shadow bytes that the compilers leave to others. */
enum poison {
    POISON_FREE = 0xfb, /* a free object of kmalloc */
    POISON_ZONE = 0xfc, /* what is between objects */
    POISON_PAGE = 0xff, /* a free page */
};

/* sanitizer/asan_interface.h of the compilers' run-time library; what the compiler calls for an
 * access that it does not check inline; and ours. Without a sanitizer no call is left. */
void __asan_poison_memory_region(const volatile void *addr, size_t size);
void __asan_unpoison_memory_region(const volatile void *addr, size_t size);
void __asan_loadN(const volatile void *addr, size_t size);
void __asan_storeN(const volatile void *addr, size_t size);
void __asan_poison_as(const volatile void *addr, size_t size, uint8_t kind);

/* Any access to [addr, addr+size) is a bug from now on. */
static inline void memory_poison(const void *addr, size_t size, enum poison kind)
{
    if (SELKIE_KASAN)
        __asan_poison_as(addr, size, kind);
    else if (SELKIE_ASAN)
        __asan_poison_memory_region(addr, size);
}
static inline void memory_unpoison(const void *addr, size_t size)
{
    if (SELKIE_ASAN)
        __asan_unpoison_memory_region(addr, size);
}

/* As if all of [addr, addr+size) was read or written here: in front of assembly that does it. */
static inline void memory_check_read(const void *addr, size_t size)
{
    if (SELKIE_ASAN)
        __asan_loadN(addr, size);
}
static inline void memory_check_write(const void *addr, size_t size)
{
    if (SELKIE_ASAN)
        __asan_storeN(addr, size);
}

#endif
