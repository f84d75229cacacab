/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * radix.c - the map of radix.h: a trie of 64-way nodes, 6 bits of the index per level.
 *
 * The root has as many levels as the largest index needs; a lookup beyond them finds nothing.
 * Levels are added on top when a larger index comes and taken away when only slot 0 of the root is
 * left. Every node counts its used slots, and no node but a root that is being built is empty.
 */
#include "lib/radix.h"

#include "lib/errno.h"

#define BITS 6u
#define SLOTS (1u << BITS)
#define LEVEL_MAX 11u /* 11 * 6 >= 64 */

struct radix_node {
    void *slot[SLOTS]; /* nodes, or values at the lowest level */
    unsigned used;
};

void radix_init(struct radix *map, const struct radix_alloc *alloc)
{
    *map = (struct radix){.alloc = alloc};
}

static unsigned slot_of(uint64_t index, unsigned level)
{
    return (unsigned)(index >> (level * BITS)) & (SLOTS - 1);
}

/* Can a tree of `height` levels hold the index? */
static bool fits(uint64_t index, unsigned height)
{
    return height >= LEVEL_MAX || index >> (height * BITS) == 0;
}

void *radix_get(const struct radix *map, uint64_t index)
{
    if (map->height == 0 || !fits(index, map->height))
        return NULL;
    struct radix_node *node = map->root;
    for (unsigned level = map->height - 1; node && level > 0; level--)
        node = node->slot[slot_of(index, level)];
    return node ? node->slot[slot_of(index, 0)] : NULL;
}

/* Drop levels that hold nothing but slot 0, and an empty root. */
static void shrink(struct radix *map)
{
    while (map->height > 0) {
        struct radix_node *root = map->root;
        if (root->used > 1 || (root->used == 1 && (map->height == 1 || !root->slot[0])))
            return;
        map->root = root->used ? root->slot[0] : NULL;
        map->height = root->used ? map->height - 1 : 0;
        map->alloc->free(root);
    }
}

/* Free the empty nodes on the way to index, lowest first; the way may end early. */
static void prune(struct radix *map, uint64_t index)
{
    struct radix_node *path[LEVEL_MAX];
    unsigned level = map->height - 1;
    path[level] = map->root;
    while (level > 0 && path[level]->slot[slot_of(index, level)]) {
        path[level - 1] = path[level]->slot[slot_of(index, level)];
        level--;
    }
    for (; level + 1 < map->height && path[level]->used == 0; level++) {
        path[level + 1]->slot[slot_of(index, level + 1)] = NULL;
        path[level + 1]->used--;
        map->alloc->free(path[level]);
    }
    shrink(map);
}

static int grow(struct radix *map, uint64_t index)
{
    while (map->height == 0 || !fits(index, map->height)) {
        struct radix_node *root = map->alloc->alloc(sizeof *root);
        if (!root)
            return -ENOMEM;
        if (map->root) {
            root->slot[0] = map->root;
            root->used = 1;
        }
        map->root = root;
        map->height++;
    }
    return 0;
}

int radix_set(struct radix *map, uint64_t index, void *value)
{
    if (grow(map, index)) {
        shrink(map);
        return -ENOMEM;
    }
    struct radix_node *node = map->root;
    for (unsigned level = map->height - 1; level > 0; level--) {
        void **slot = &node->slot[slot_of(index, level)];
        if (!*slot) {
            *slot = map->alloc->alloc(sizeof *node);
            if (!*slot) {
                prune(map, index);
                return -ENOMEM;
            }
            node->used++;
        }
        node = *slot;
    }
    void **leaf = &node->slot[slot_of(index, 0)];
    node->used += !*leaf;
    *leaf = value;
    return 0;
}

void *radix_remove(struct radix *map, uint64_t index)
{
    if (map->height == 0 || !fits(index, map->height))
        return NULL;
    struct radix_node *node = map->root;
    for (unsigned level = map->height - 1; node && level > 0; level--)
        node = node->slot[slot_of(index, level)];
    void **slot = node ? &node->slot[slot_of(index, 0)] : NULL;
    if (!slot || !*slot)
        return NULL;
    void *value = *slot;
    *slot = NULL;
    node->used--;
    prune(map, index);
    return value;
}

void *radix_next(const struct radix *map, uint64_t *index)
{
    uint64_t at = *index;
    if (map->height == 0 || !fits(at, map->height))
        return NULL;
    struct radix_node *path[LEVEL_MAX];
    unsigned level = map->height - 1;
    path[level] = map->root;
    for (;;) {
        unsigned slot = slot_of(at, level);
        while (slot < SLOTS && !path[level]->slot[slot])
            slot++;
        uint64_t low_mask = ((uint64_t)1 << (level * BITS)) - 1; /* of the levels below */
        if (slot != slot_of(at, level) && slot < SLOTS)
            at = (at & ~(low_mask | (uint64_t)(SLOTS - 1) << (level * BITS))) |
                 (uint64_t)slot << (level * BITS);
        if (slot < SLOTS) {
            void *found = path[level]->slot[slot];
            if (level == 0) {
                *index = at;
                return found;
            }
            path[--level] = found;
            continue;
        }
        /* Nothing more in this node: go on behind it, one level up (or more, where slots carry). */
        do {
            if (++level >= map->height)
                return NULL;
            slot = slot_of(at, level);
        } while (slot + 1 == SLOTS);
        low_mask = ((uint64_t)1 << (level * BITS)) - 1;
        at &= ~low_mask;
        if (add_overflow(at, (uint64_t)1 << (level * BITS), &at))
            return NULL; /* the topmost level has fewer than 64 numbers */
    }
}

void radix_clear(struct radix *map)
{
    /* Descend to the lowest level, free a node, go back to its parent; the parent's own slot
     * numbers need not be kept because freed slots are cleared. */
    struct radix_node *path[LEVEL_MAX];
    unsigned level = map->height;
    if (level == 0)
        return;
    path[--level] = map->root;
    for (;;) {
        struct radix_node *node = path[level];
        unsigned slot = 0;
        while (level > 0 && slot < SLOTS && !node->slot[slot])
            slot++;
        if (level > 0 && slot < SLOTS) {
            path[level - 1] = node->slot[slot];
            node->slot[slot] = NULL;
            level--;
            continue;
        }
        map->alloc->free(node);
        if (++level >= map->height)
            break;
    }
    map->root = NULL;
    map->height = 0;
}
