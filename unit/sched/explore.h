/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore.h - all interleavings of a few actors, for tests of protocols: depth first, each state
 * once. A state is a struct without padding that matters: it is compared byte by byte, so it is
 * filled from zeroed memory.
 *
 * A model proves its worth by variants that leave out or exchange a step: each must be found wrong.
 */
#ifndef SELKIE_UNIT_EXPLORE_H
#define SELKIE_UNIT_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct exploration {
    const void *first; /* `size` bytes */
    size_t size;
    unsigned actors;
    unsigned variant; /* 0: as shipped */
    /* One memory access of that actor. False: it cannot go on now (or has a choice that does not
     * exist here). */
    bool (*step)(void *model, unsigned actor, unsigned variant);
    /* What is wrong with this state, or NULL. `ended`: nobody can go on. */
    const char *(*wrong)(const void *model, bool ended);
};

#define EXPLORE_SLOTS (1u << 21)

struct explore_set {
    uint8_t *states; /* EXPLORE_SLOTS / 2 of them */
    uint32_t *slots; /* index + 1 */
    uint32_t *stack;
    size_t size, count, depth;
};

static inline void explore_add(struct explore_set *set, const void *model)
{
    uint64_t hash = 14695981039346656037ull;
    for (size_t i = 0; i < set->size; i++)
        hash = (hash ^ ((const uint8_t *)model)[i]) * 1099511628211ull;
    size_t slot = (hash ^ hash >> 32) & (EXPLORE_SLOTS - 1);
    while (set->slots[slot]) {
        if (memcmp(set->states + (set->slots[slot] - 1) * set->size, model, set->size) == 0)
            return;
        slot = (slot + 1) & (EXPLORE_SLOTS - 1);
    }
    assert_true(set->count < EXPLORE_SLOTS / 2);
    memcpy(set->states + set->count * set->size, model, set->size);
    set->stack[set->depth++] = (uint32_t)set->count;
    set->slots[slot] = (uint32_t)++set->count;
}

/* The first thing found wrong, or NULL; *states: how many there were. */
static inline const char *explore(const struct exploration *e, size_t *states)
{
    struct explore_set set = {
        .states = malloc(EXPLORE_SLOTS / 2 * e->size),
        .slots = calloc(EXPLORE_SLOTS, sizeof(uint32_t)),
        .stack = malloc(EXPLORE_SLOTS / 2 * sizeof(uint32_t)),
        .size = e->size,
    };
    void *model = malloc(e->size), *next = malloc(e->size);
    const char *wrong = NULL;
    assert_true(set.states && set.slots && set.stack && model && next);
    explore_add(&set, e->first);
    while (set.depth && !wrong) {
        bool any = false;
        memcpy(model, set.states + set.stack[--set.depth] * e->size, e->size);
        for (unsigned actor = 0; actor < e->actors; actor++) {
            memcpy(next, model, e->size);
            if (!e->step(next, actor, e->variant))
                continue;
            any = true;
            explore_add(&set, next);
        }
        wrong = e->wrong(model, !any);
    }
    *states = set.count;
    free(set.states);
    free(set.slots);
    free(set.stack);
    free(model);
    free(next);
    return wrong;
}

/* The shipped protocol is right, and each of the variants 1 .. variants-1 is found wrong. */
static inline void explore_all(struct exploration *e, unsigned variants, size_t states_min)
{
    size_t states;
    e->variant = 0;
    const char *wrong = explore(e, &states);
    if (wrong)
        fail_msg("%s", wrong);
    assert_true(states >= states_min);
    for (e->variant = 1; e->variant < variants; e->variant++)
        if (!explore(e, &states))
            fail_msg("variant %u is not found: the model is too weak", e->variant);
}

#endif
