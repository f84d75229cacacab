/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring.h - bounded queues of pointers without locks, over memory of the caller's.
 *
 *   spsc_ring   one producer, one consumer (each may change its thread if something orders the
 *               two). Plain loads and stores; both ends keep a copy of the other's position, so a
 *               cache line moves only when the ring looks full or empty.
 *   mpsc_ring   any number of producers in any context, interrupt handlers included; one consumer.
 *
 * The number of slots is a power of two. Nothing here waits: push says false when the ring is full,
 * pop gives NULL when it is empty; entries are not NULL. Order: an spsc ring is first in, first
 * out; an mpsc ring keeps the order of each producer, and of pushes that do not overlap.
 *
 * Memory order: what was written before a push is seen by whoever pops that entry; what the
 * consumer did before a pop is seen by the producer that reuses the slot.
 */
#ifndef SELKIE_LIB_RING_H
#define SELKIE_LIB_RING_H

#include "lib/types.h"

struct spsc_ring {
    void **slots;
    size_t mask;
    size_t tail cache_aligned; /* producer: next slot to fill; atomic */
    size_t head_seen;          /* ... and what it last knew of the other end */
    size_t head cache_aligned; /* consumer: next slot to empty; atomic */
    size_t tail_seen;
};

/* `count` slots, a power of two, all memory the caller's. */
void spsc_init(struct spsc_ring *ring, void **slots, size_t count);
bool must_check spsc_push(struct spsc_ring *ring, void *entry);
void *spsc_pop(struct spsc_ring *ring);

/* A slot is free for the push number `turn` when it says so, and full when it says turn + 1
 * (D. Vyukov's bounded queue). A producer that has been interrupted between claiming its slot and
 * filling it hides the entries behind it until it goes on; it never blocks another producer. */
struct mpsc_slot {
    size_t turn; /* atomic */
    void *entry;
};
struct mpsc_ring {
    struct mpsc_slot *slots;
    size_t mask;
    size_t tail cache_aligned; /* pushes claimed; atomic */
    size_t head cache_aligned; /* consumer only */
};

void mpsc_init(struct mpsc_ring *ring, struct mpsc_slot *slots, size_t count);
bool must_check mpsc_push(struct mpsc_ring *ring, void *entry);
void *mpsc_pop(struct mpsc_ring *ring);

#endif
