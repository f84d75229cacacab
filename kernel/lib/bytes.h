/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bytes.h - numbers as they lie in packets: big-endian, at any address. In memory that may lie
 * anywhere use get_ and put_; net16 and net32 turn a value that was copied whole.
 */
#ifndef SELKIE_LIB_BYTES_H
#define SELKIE_LIB_BYTES_H

#include "lib/types.h"

STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

/* Between network and host order, either way. */
static inline uint16_t net16(uint16_t x)
{
    return __builtin_bswap16(x);
}
static inline uint32_t net32(uint32_t x)
{
    return __builtin_bswap32(x);
}

static inline uint16_t get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void put_be16(uint8_t *p, uint16_t x)
{
    p[0] = (uint8_t)(x >> 8);
    p[1] = (uint8_t)x;
}
static inline void put_be32(uint8_t *p, uint32_t x)
{
    put_be16(p, (uint16_t)(x >> 16));
    put_be16(p + 2, (uint16_t)x);
}

#endif
