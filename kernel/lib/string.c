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
 */
#include "lib/string.h"

struct packed __attribute__((may_alias)) word {
    uint64_t v;
};
#define WORD sizeof(struct word)
#define BLOCK (8 * WORD)

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    char *d = dst;
    const char *s = src;
    for (; n >= BLOCK; n -= BLOCK, d += BLOCK, s += BLOCK) {
        struct word *to = (struct word *)d;
        const struct word *from = (const struct word *)s;
        uint64_t a0 = from[0].v, a1 = from[1].v, a2 = from[2].v, a3 = from[3].v;
        to[0].v = a0, to[1].v = a1, to[2].v = a2, to[3].v = a3;
        a0 = from[4].v, a1 = from[5].v, a2 = from[6].v, a3 = from[7].v;
        to[4].v = a0, to[5].v = a1, to[6].v = a2, to[7].v = a3;
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
    for (; n >= BLOCK; n -= BLOCK, d += BLOCK) {
        struct word *w = (struct word *)d;
        w[0].v = v, w[1].v = v, w[2].v = v, w[3].v = v;
        w[4].v = v, w[5].v = v, w[6].v = v, w[7].v = v;
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
    for (const unsigned char *p = s; n; n--, p++)
        if (*p == (unsigned char)c)
            return (void *)(uintptr_t)p;
    return NULL;
}

size_t strlen(const char *s)
{
    const char *p = s;
    while (*p)
        p++;
    return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;
    while (n < max && s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++)
        if (*a != *b || !*a)
            return (unsigned char)*a - (unsigned char)*b;
    return 0;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)(uintptr_t)s;
        if (!*s)
            return NULL;
    }
}

char *strrchr(const char *s, int c)
{
    const char *found = NULL;
    for (;; s++) {
        if (*s == (char)c)
            found = s;
        if (!*s)
            return (char *)(uintptr_t)found;
    }
}
