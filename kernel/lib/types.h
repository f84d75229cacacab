/* SPDX-License-Identifier: BSD-3-Clause */
/* types.h - the words the whole kernel shares: addresses, attributes, small macros. */
#ifndef SELKIE_LIB_TYPES_H
#define SELKIE_LIB_TYPES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t paddr_t;  /* a physical address */
typedef uintptr_t vaddr_t; /* a virtual address that must not be dereferenced as it is */
typedef int64_t off64_t;   /* a file offset, bytes */

/* A pointer that user code gave us: only mm/usercopy.h may follow it. */
typedef struct {
    uintptr_t raw;
} uaddr_t;
static inline uaddr_t uaddr(uintptr_t raw)
{
    return (uaddr_t){raw};
}
static inline uaddr_t uaddr_add(uaddr_t base, size_t offset)
{
    return (uaddr_t){base.raw + offset};
}

#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt, first) __attribute__((format(printf, fmt, first)))
#define no_inline __attribute__((noinline))
/* Runs at the start or rarely, in a file whose other functions are fast: compiled for size. */
#define rarely __attribute__((cold))
#define unused __attribute__((unused))
#define packed __attribute__((packed))
#define cache_aligned __attribute__((aligned(64)))
/* For code that runs where a sanitizer's runtime must not be entered. */
#define no_sanitize_checks \
    __attribute__((no_sanitize("address"), no_sanitize("undefined"), no_sanitize("thread"), \
                   no_stack_protector))
#if defined(__has_attribute) && __has_attribute(disable_sanitizer_instrumentation)
/* clang: without it functions still report their entry and exit to ThreadSanitizer. */
#define no_sanitize no_sanitize_checks __attribute__((disable_sanitizer_instrumentation))
#else
#define no_sanitize no_sanitize_checks
#endif

#define STATIC_ASSERT(cond) _Static_assert(cond, #cond)
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Alignment to a power of two. Callers check that align_up cannot wrap (see overflow.h). */
static inline uint64_t align_down(uint64_t value, uint64_t align)
{
    return value & ~(align - 1);
}
static inline uint64_t align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}
static inline bool is_aligned(uint64_t value, uint64_t align)
{
    return (value & (align - 1)) == 0;
}

/* Overflow-checked arithmetic: true when the result did NOT fit. */
#define add_overflow(a, b, out) __builtin_add_overflow(a, b, out)
#define mul_overflow(a, b, out) __builtin_mul_overflow(a, b, out)

#define NS_PER_SEC 1000000000ull
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

#endif
