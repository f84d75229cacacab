/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * string.c - the C memory and string functions.
 *
 * The idea: copies and fills move 64-bit words, eight at a time. Words are
 * accessed through a packed type, so the compiler emits whatever unaligned access the machine
 * allows (one instruction on both of ours) and no alignment rule is broken. Strings are walked by
 * bytes: they are short, and reading past their end would be hidden from the sanitizers.
 *
 * The file is compiled so that its loops are not turned into calls of the functions they implement
 * (cmake/flags.cmake).
 *
 * On bare metal a sanitizer's checks are calls: so this file has none there, and each range is
 * checked as a whole, before it is touched, or as far as it has been looked at.
 */
#include "lib/string.h"

#include "lib/sanitize.h"

struct packed __attribute__((may_alias)) word {
    uint64_t v;
};
#define WORD sizeof(struct word)
#define BLOCK (8 * WORD)

static inline void reads(const void *from, size_t n)
{
    if (SELKIE_KASAN)
        memory_check_read(from, n);
}

static inline void writes(const void *to, size_t n)
{
    if (SELKIE_KASAN)
        memory_check_write(to, n);
}

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    char *d = dst;
    const char *s = src;
    reads(src, n);
    writes(dst, n);
    for (; n >= BLOCK; n -= BLOCK, d += BLOCK, s += BLOCK) {
        struct word *to = (struct word *)d;
        const struct word *from = (const struct word *)s;
        uint64_t a0 = from[0].v, a1 = from[1].v, a2 = from[2].v, a3 = from[3].v;
        to[0].v = a0, to[1].v = a1, to[2].v = a2, to[3].v = a3;
        a0 = from[4].v, a1 = from[5].v, a2 = from[6].v, a3 = from[7].v;
        to[4].v = a0, to[5].v = a1, to[6].v = a2, to[7].v = a3;
    }
    if (n & BLOCK / 2) {
        struct word *to = (struct word *)d;
        const struct word *from = (const struct word *)s;
        uint64_t a0 = from[0].v, a1 = from[1].v, a2 = from[2].v, a3 = from[3].v;
        to[0].v = a0, to[1].v = a1, to[2].v = a2, to[3].v = a3;
        n -= BLOCK / 2, d += BLOCK / 2, s += BLOCK / 2;
    }
    for (; n >= WORD; n -= WORD, d += WORD, s += WORD)
        ((struct word *)d)->v = ((const struct word *)s)->v;
    while (n--)
        *d++ = *s++;
    return dst;
}

/* Copy from the last byte to the first; for overlapping ranges with dst above src. */
static void copy_backwards(char *dst, const char *src, size_t n)
{
    char *d = dst + n;
    const char *s = src + n;
    for (; n >= WORD; n -= WORD) {
        d -= WORD;
        s -= WORD;
        ((struct word *)d)->v = ((const struct word *)s)->v;
    }
    while (n--)
        *--d = *--s;
}

static void copy_forwards(char *d, const char *s, size_t n)
{
    /* Each word is read before it is written and writes stay behind reads (d < s), so overlap does
     * no harm at any distance. */
    for (; n >= WORD; n -= WORD, d += WORD, s += WORD)
        ((struct word *)d)->v = ((const struct word *)s)->v;
    while (n--)
        *d++ = *s++;
}

void *memmove(void *dst, const void *src, size_t n)
{
    uintptr_t d = (uintptr_t)dst, s = (uintptr_t)src;
    reads(src, n);
    writes(dst, n);
    if (d - s >= n) /* unsigned: dst below src, or no overlap */
        copy_forwards(dst, src, n);
    else
        copy_backwards(dst, src, n);
    return dst;
}

void *memset(void *dst, int c, size_t n)
{
    char *d = dst;
    uint64_t v = (unsigned char)c * 0x0101010101010101ull;
    writes(dst, n);
    for (; n >= BLOCK; n -= BLOCK, d += BLOCK) {
        struct word *w = (struct word *)d;
        w[0].v = v, w[1].v = v, w[2].v = v, w[3].v = v;
        w[4].v = v, w[5].v = v, w[6].v = v, w[7].v = v;
    }
    if (n & BLOCK / 2) {
        struct word *w = (struct word *)d;
        w[0].v = v, w[1].v = v, w[2].v = v, w[3].v = v;
        n -= BLOCK / 2, d += BLOCK / 2;
    }
    for (; n >= WORD; n -= WORD, d += WORD)
        ((struct word *)d)->v = v;
    while (n--)
        *d++ = (char)c;
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;
    reads(a, n);
    reads(b, n);
    for (; n >= WORD; n -= WORD, x += WORD, y += WORD)
        if (((const struct word *)x)->v != ((const struct word *)y)->v)
            break;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    const unsigned char *p = s;
    while (n && *p != (unsigned char)c)
        n--, p++;
    reads(s, (size_t)(p - (const unsigned char *)s) + (n != 0));
    return n ? (void *)(uintptr_t)p : NULL;
}

size_t strlen(const char *s)
{
    const char *p = s;
    while (*p)
        p++;
    reads(s, (size_t)(p - s) + 1);
    return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;
    while (n < max && s[n])
        n++;
    reads(s, n + (n < max));
    return n;
}

int strcmp(const char *a, const char *b)
{
    size_t n = 0;
    while (a[n] && a[n] == b[n])
        n++;
    reads(a, n + 1);
    reads(b, n + 1);
    return (unsigned char)a[n] - (unsigned char)b[n];
}

int strncmp(const char *a, const char *b, size_t n)
{
    size_t i = 0;
    while (i < n && a[i] == b[i] && a[i])
        i++;
    reads(a, i + (i < n));
    reads(b, i + (i < n));
    return i < n ? (unsigned char)a[i] - (unsigned char)b[i] : 0;
}

char *strchr(const char *s, int c)
{
    const char *p = s;
    while (*p && *p != (char)c)
        p++;
    reads(s, (size_t)(p - s) + 1);
    return *p == (char)c ? (char *)(uintptr_t)p : NULL;
}

char *strrchr(const char *s, int c)
{
    const char *found = NULL, *p = s;
    for (;; p++) {
        if (*p == (char)c)
            found = p;
        if (!*p)
            break;
    }
    reads(s, (size_t)(p - s) + 1);
    return (char *)(uintptr_t)found;
}
