/* SPDX-License-Identifier: BSD-3-Clause */
/* fold.h - the halves of the product of two words, XORed: what keyed hashes are made of whose
 * values nobody outside sees (net/flow.c argues what that is good for, and for what not). Of a
 * factor of 0 nothing but 0 comes, so both have a secret in them. */
#ifndef SELKIE_LIB_FOLD_H
#define SELKIE_LIB_FOLD_H

#include "lib/types.h"

static inline uint64_t fold_product(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#endif
