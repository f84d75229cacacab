/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * radix.h - a map from uint64_t to pointers with 64-way nodes; sparse, ordered. Nodes come from a
 * caller-supplied allocator (lib knows none). The caller locks.
 */
#ifndef SELKIE_LIB_RADIX_H
#define SELKIE_LIB_RADIX_H

#include "lib/types.h"

struct radix_node;
struct radix_alloc {
    void *(*alloc)(size_t size); /* zeroed, or NULL */
    void (*free)(void *ptr);
};
struct radix {
    const struct radix_alloc *alloc;
    struct radix_node *root;
    unsigned height; /* levels; 0 = empty */
};
void radix_init(struct radix *map, const struct radix_alloc *alloc);
void *radix_get(const struct radix *map, uint64_t index);
/* Store value (not NULL), replacing. -ENOMEM leaves the map as it was. */
int must_check radix_set(struct radix *map, uint64_t index, void *value);
/* Remove and return, or NULL. Empty nodes are freed. */
void *radix_remove(struct radix *map, uint64_t index);
/* The first entry at or after *index; sets *index. NULL if none. */
void *radix_next(const struct radix *map, uint64_t *index);
/* Free all nodes; values are the caller's business. */
void radix_clear(struct radix *map);

#endif
