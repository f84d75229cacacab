/* SPDX-License-Identifier: BSD-3-Clause */
/* string.h - the C string functions the compiler and the kernel need; bounded ones only.
 *
 * Without a sanitizer, copies, fills and comparisons of a few bytes, known when compiled, are loads
 * and stores where they stand: a call costs more, and headers of packets are full of them. (gcc
 * would do long ones by REP MOVS, which is slower than lib/string.c, so those stay calls.) A
 * sanitizer's checks, and a simulation's points, are in the functions. */
#ifndef SELKIE_LIB_STRING_H
#define SELKIE_LIB_STRING_H

#include "lib/types.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#if !SELKIE_SANITIZE && !SELKIE_SIM
#define STRING_INLINE extern inline __attribute__((gnu_inline, always_inline, artificial))
enum { INLINE_MAX = 32, INLINE_COMPARE_MAX = 8 };
/* The functions below by other names. */
void *memcpy_call(void *restrict dst, const void *restrict src, size_t n) __asm__("memcpy");
void *memset_call(void *dst, int c, size_t n) __asm__("memset");
int memcmp_call(const void *a, const void *b, size_t n) __asm__("memcmp");

STRING_INLINE void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    if (__builtin_constant_p(n) && n <= INLINE_MAX)
        return __builtin_memcpy(dst, src, n);
    return memcpy_call(dst, src, n);
}
STRING_INLINE void *memset(void *dst, int c, size_t n)
{
    if (__builtin_constant_p(n) && n <= INLINE_MAX)
        return __builtin_memset(dst, c, n);
    return memset_call(dst, c, n);
}
STRING_INLINE int memcmp(const void *a, const void *b, size_t n)
{
    if (__builtin_constant_p(n) && n <= INLINE_COMPARE_MAX)
        return __builtin_memcmp(a, b, n);
    return memcmp_call(a, b, n);
}
#endif

/* Zeroes over `n` bytes, a constant up to 160: stores where this stands, for what each packet has.
 */
static inline __attribute__((always_inline)) void memzero_inline(void *dst, size_t n)
{
#if !SELKIE_SANITIZE && !SELKIE_SIM
    char *d = dst;
    memset(d, 0, n < 32 ? n : 32);
    if (n > 32)
        memset(d + 32, 0, n < 64 ? n - 32 : 32);
    if (n > 64)
        memset(d + 64, 0, n < 96 ? n - 64 : 32);
    if (n > 96)
        memset(d + 96, 0, n < 128 ? n - 96 : 32);
    if (n > 128)
        memset(d + 128, 0, n - 128);
#else
    memset(dst, 0, n);
#endif
}
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
bool str_starts(const char *s, const char *prefix);
/* Copy src and a NUL into dst of `size` bytes (> 0), truncating. Returns strlen(src): >= size means
 * truncated. */
size_t strlcpy(char *dst, const char *src, size_t size);
/* Parse an unsigned number in base 10, or 16 with 0x. 0 or -EINVAL/-ERANGE; *end as strtoul (may be
 * NULL: then the whole string must be the number). */
int must_check str_to_u64(const char *s, const char **end, uint64_t *out);

#endif
