/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_ring.h - a ring of records in memory that two processes share: one writes it, one reads it.
 *
 * A record is its length (4 bytes), its bytes and padding to RING_ALIGN; it may go on at the ring's
 * beginning, but its length never does. `tail` and `head` in the shared part count bytes; each side
 * keeps its own count to itself and only publishes it, so that nothing the other side writes can
 * change where this side reads and writes.
 *
 * What the other side has written is read once and checked before it is used; a ring with nonsense
 * in it is `broken` for ever, and only that ring. The bytes of a record are not looked at here.
 *
 * Memory order. A count is stored with release behind the bytes it covers and loaded with acquire
 * before they are touched: the reader sees whole records, the writer overwrites only what has been
 * read. Sleeping: who is to be told sets its word, then looks at the count; who publishes a count
 * then looks at the word; with a full fence between the two on both sides one of them sees the
 * other's (Dekker).
 */
#ifndef SELKIE_HOSTED_NET_RING_H
#define SELKIE_HOSTED_NET_RING_H

#include "host.h"
#include "lib/types.h"
#include "share.h"

#define RING_ALIGN 16u
#define RING_LENGTH 4u /* of a record's length */

struct ring_writer {
    struct share_ring *shared;
    uint8_t *data;
    uint32_t tail; /* written */
    uint32_t head; /* read by the other side, as far as is known */
    bool broken;
};
struct ring_reader {
    struct share_ring *shared;
    const uint8_t *data;
    uint32_t head; /* read */
    uint32_t tail; /* written by the other side, as far as is known */
    uint32_t len;  /* of the next record; 0: not known */
    bool broken;
};

/* Both ends of a region whose counts are all zero, for side 0 or 1. */
void ring_open(void *region, unsigned side, struct ring_writer *out, struct ring_reader *in);

/* One record of `total` bytes, the sum of the pieces. Published at once; ring_tell must follow.
 * -EAGAIN: no room. -EIO: the ring is broken. */
int ring_write(struct ring_writer *w, const struct host_iovec *iov, unsigned count, uint32_t total);
/* After records: SHARE_BELL or SHARE_SLEEPS if the reader is to be told that way, now. */
uint32_t ring_tell(struct ring_writer *w);
/* Ask to be told when there is room for a record of `total`. True: there is, now. */
bool ring_want_room(struct ring_writer *w, uint32_t total);

/* The length of the next record, at most `most`; 0: there is none, or the ring is broken. */
uint32_t ring_next(struct ring_reader *r, uint32_t most);
/* Its bytes, in pieces that hold as many at least; or none, to leave it out. */
void ring_take(struct ring_reader *r, const struct host_iovec *iov, unsigned count);
/* Gives the room back of all that was taken. True: the writer is to be told, by its bell. */
bool ring_release(struct ring_reader *r);
/* Is there anything that has not been taken? A look without any order, from any CPU. */
bool ring_filled(const struct ring_reader *r);
/* How this side wants to be told; ring_filled must be asked after anything but SHARE_LOOKS, and
 * sees all that nobody will tell of. */
void ring_set_wake(struct ring_reader *r, uint32_t wake);

#endif
