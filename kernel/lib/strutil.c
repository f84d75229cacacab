/* SPDX-License-Identifier: BSD-3-Clause */
/* strutil.c - string helpers that are not C's. Apart from string.c, so that a host program can link
 * them beside its own C library. */
#include "lib/errno.h"
#include "lib/string.h"

bool str_starts(const char *s, const char *prefix)
{
    while (*prefix)
        if (*s++ != *prefix++)
            return false;
    return true;
}

size_t strlcpy(char *dst, const char *src, size_t size)
{
    size_t len = strlen(src);

    if (size) {
        size_t n = len < size ? len : size - 1;
        memcpy(dst, src, n);
        dst[n] = 0;
    }
    return len;
}

/* Value of a digit in any base up to 16, or 16. */
static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 16;
}

int str_to_u64(const char *s, const char **end, uint64_t *out)
{
    unsigned base = 10;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && digit_value(s[2]) < 16) {
        base = 16;
        s += 2;
    }
    if (digit_value(*s) >= base)
        return -EINVAL;
    uint64_t value = 0;
    bool overflow = false;
    for (unsigned d; (d = digit_value(*s)) < base; s++)
        overflow = overflow || mul_overflow(value, base, &value) || add_overflow(value, d, &value);
    if (end)
        *end = s;
    else if (*s)
        return -EINVAL;
    if (overflow)
        return -ERANGE;
    *out = value;
    return 0;
}
