/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * checksum.h - the Internet checksum (RFC 1071): ones' complement sums of 16-bit words.
 *
 * Sums are in the byte order of memory: what checksum_add returns may be stored as it is, and its
 * complement is a header's checksum. So nothing here swaps bytes, but for parts that begin at an
 * odd place (checksum_odd).
 */
#ifndef SELKIE_LIB_CHECKSUM_H
#define SELKIE_LIB_CHECKSUM_H

#include "lib/types.h"

/* The sum of `sum` (as returned here, or several of them added) and of a range that begins at an
 * even place. Folded to 16 bits. */
uint16_t checksum_add(const void *data, size_t len, uint32_t sum);

static inline uint16_t checksum_fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)(sum + (sum >> 16));
}
/* Of a sum of 32-bit words: they are congruent to the sum of their halves. */
static inline uint16_t checksum_fold64(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    return checksum_fold((uint32_t)sum);
}
/* A part's sum, if the part begins at an odd place (RFC 1071, 2 (B)). */
static inline uint16_t checksum_odd(uint16_t sum)
{
    return (uint16_t)(sum << 8 | sum >> 8);
}
/* A field of a header that was summed up in `check` (the checksum as it stands there) has changed:
 * RFC 1624, equation 3. */
static inline uint16_t checksum_change(uint16_t check, uint16_t from, uint16_t to)
{
    return (uint16_t)~checksum_fold((uint32_t)(uint16_t)~check + (uint16_t)~from + to);
}

#endif
