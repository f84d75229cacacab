/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.c - bounded queues without locks: see ring.h. Positions grow without end and are reduced to
 * slots by the mask; differences survive their wrapping around. */
#include "lib/ring.h"

/* ---- one producer, one consumer ---- */

void spsc_init(struct spsc_ring *ring, void **slots, size_t count)
{
    *ring = (struct spsc_ring){.slots = slots, .mask = count - 1};
}

bool spsc_push(struct spsc_ring *ring, void *entry)
{
    size_t tail = ring->tail; /* we alone write it */
    if (tail - ring->head_seen > ring->mask) {
        /* Acquire: the consumer has read the slot before it is filled again. */
        ring->head_seen = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
        if (tail - ring->head_seen > ring->mask)
            return false;
    }
    ring->slots[tail & ring->mask] = entry;
    /* Release: the entry, and what it points to. */
    __atomic_store_n(&ring->tail, tail + 1, __ATOMIC_RELEASE);
    return true;
}

void *spsc_pop(struct spsc_ring *ring)
{
    size_t head = ring->head; /* we alone write it */
    if (head == ring->tail_seen) {
        /* Acquire: pairs with the release above. */
        ring->tail_seen = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
        if (head == ring->tail_seen)
            return NULL;
    }
    void *entry = ring->slots[head & ring->mask];
    /* Release: the slot has been read. */
    __atomic_store_n(&ring->head, head + 1, __ATOMIC_RELEASE);
    return entry;
}

/* ---- many producers, one consumer ---- */

void mpsc_init(struct mpsc_ring *ring, struct mpsc_slot *slots, size_t count)
{
    *ring = (struct mpsc_ring){.slots = slots, .mask = count - 1};
    for (size_t i = 0; i < count; i++)
        slots[i] = (struct mpsc_slot){.turn = i};
}

bool mpsc_push(struct mpsc_ring *ring, void *entry)
{
    size_t tail = __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
    for (;;) {
        struct mpsc_slot *slot = &ring->slots[tail & ring->mask];
        /* Acquire: the consumer has emptied it. */
        size_t turn = __atomic_load_n(&slot->turn, __ATOMIC_ACQUIRE);
        if (turn == tail) {
            /* Relaxed: the claim passes nothing on, the slot's turn does. */
            if (!__atomic_compare_exchange_n(&ring->tail, &tail, tail + 1, true, __ATOMIC_RELAXED,
                                             __ATOMIC_RELAXED))
                continue;
            slot->entry = entry;
            __atomic_store_n(&slot->turn, tail + 1, __ATOMIC_RELEASE);
            return true;
        }
        if ((intptr_t)(turn - tail) < 0)
            return false; /* still holds the entry of a round before: full */
        tail = __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
    }
}

void *mpsc_pop(struct mpsc_ring *ring)
{
    size_t head = ring->head;
    struct mpsc_slot *slot = &ring->slots[head & ring->mask];
    /* Acquire: pairs with the release in push. */
    if (__atomic_load_n(&slot->turn, __ATOMIC_ACQUIRE) != head + 1)
        return NULL;
    void *entry = slot->entry;
    ring->head = head + 1;
    /* Release: the slot has been read; free for the push of the next round. */
    __atomic_store_n(&slot->turn, head + ring->mask + 1, __ATOMIC_RELEASE);
    return entry;
}
