/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * siphash.h - a keyed hash for tables whose keys strangers choose: who does not know the secret
 * cannot make entries collide. SipHash-1-3 (J.-P. Aumasson, D. J. Bernstein: SipHash, a fast
 * short-input PRF, 2012; fewer rounds than the paper's 2-4, as the output is never shown to anyone)
 * over whole 64-bit words.
 */
#ifndef SELKIE_LIB_SIPHASH_H
#define SELKIE_LIB_SIPHASH_H

#include "lib/types.h"

struct siphash_key {
    uint64_t word[2];
};

static inline uint64_t siphash_rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void siphash_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = siphash_rotate(v[1], 13) ^ v[0];
    v[3] = siphash_rotate(v[3], 16) ^ v[2];
    v[0] = siphash_rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = siphash_rotate(v[1], 17) ^ v[2];
    v[3] = siphash_rotate(v[3], 21) ^ v[0];
    v[2] = siphash_rotate(v[2], 32);
}

/* `count` words. */
static inline uint64_t siphash(const struct siphash_key *key, const uint64_t *words, unsigned count)
{
    uint64_t v[4] = {
        key->word[0] ^ 0x736f6d6570736575u,
        key->word[1] ^ 0x646f72616e646f6du,
        key->word[0] ^ 0x6c7967656e657261u,
        key->word[1] ^ 0x7465646279746573u,
    };
    for (unsigned i = 0; i < count; i++) {
        v[3] ^= words[i];
        siphash_round(v);
        v[0] ^= words[i];
    }
    uint64_t last = (uint64_t)count * 8 << 56; /* the length, and no bytes left over */
    v[3] ^= last;
    siphash_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        siphash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
