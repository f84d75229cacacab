/* SPDX-License-Identifier: BSD-3-Clause */
/* checksum.c - sums of 64-bit words with the carries beside them: two instructions for eight bytes.
 * The sum of words is that of their halves, since 2^16 is 1 modulo 2^16 - 1. */
#include "lib/checksum.h"

struct packed __attribute__((may_alias)) word64 {
    uint64_t v;
};
struct packed __attribute__((may_alias)) word16 {
    uint16_t v;
};

uint16_t checksum_add(const void *data, size_t len, uint32_t sum)
{
    const uint8_t *p = data;
    uint64_t total = sum, carry = 0;
    for (; len >= 32; len -= 32, p += 32) {
        const struct word64 *w = (const struct word64 *)p;
        carry += add_overflow(total, w[0].v, &total);
        carry += add_overflow(total, w[1].v, &total);
        carry += add_overflow(total, w[2].v, &total);
        carry += add_overflow(total, w[3].v, &total);
    }
    for (; len >= 8; len -= 8, p += 8)
        carry += add_overflow(total, ((const struct word64 *)p)->v, &total);
    uint64_t small = carry;
    for (; len >= 2; len -= 2, p += 2)
        small += ((const struct word16 *)p)->v;
    if (len) /* as if a zero followed: the byte is the first of its word in memory */
        small += __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? *p : (uint64_t)*p << 8;
    /* No overflow: small is below 2^62. */
    uint64_t fold = (total & 0xffffffff) + (total >> 32) + small;
    fold = (fold & 0xffffffff) + (fold >> 32);
    fold = (fold & 0xffffffff) + (fold >> 32);
    fold = (fold & 0xffff) + (fold >> 16);
    return checksum_fold((uint32_t)fold);
}
