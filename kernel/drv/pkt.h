/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pkt.h - packet buffers.
 *
 * A packet is a chain of pieces (`more`), each a part of a page, or a block of pages, with a
 * reference of its own. The first piece describes the whole. A packet has one owner; functions that
 * end that say "consumes". Nothing here has a lock. See docs/network.md, Packets.
 *
 *     room ......... data ======== data + len ......... room + size
 *           headroom                        tailroom
 */
#ifndef SELKIE_DRV_PKT_H
#define SELKIE_DRV_PKT_H

#include "mm/page.h"

/* Before the data of packets that the kernel makes: room for the headers of all layers, the
 * device's own included, so that none of them has to move data. */
#define PKT_HEADROOM 128u
/* The longest packet: what an IPv4 header can say, and link headers. */
#define PKT_LEN_MAX (65535u + 64u)
/* Buffers that one received packet may take: about twice what the longest fills. More, with little
 * or nothing in each, is no device's way of receiving; each would keep its memory, and the packet's
 * end is looked for each time. */
#define PKT_RX_PIECES_MAX 64u
/* The longest piece of one. */
#define PKT_PIECE_MAX (8 * (uint32_t)PAGE_SIZE)

enum pkt_checksum {
    PKT_CHECKSUM_NONE,    /* received: nobody has looked; to send: nothing to do */
    PKT_CHECKSUM_GOOD,    /* received: the device (or the loopback) vouches for the transport's */
    PKT_CHECKSUM_PARTIAL, /* the transport's field holds the pseudo header's sum; what remains is to
                             sum from checksum_start and store at checksum_start + checksum_field */
};
enum pkt_gso { PKT_GSO_NONE, PKT_GSO_TCP4, PKT_GSO_TCP6, PKT_GSO_UDP };

struct netdev;
struct pkt {
    struct pkt *next; /* in a queue or channel: the next packet */
    struct pkt *more; /* the next piece of this packet */
    uint8_t *data;
    uint32_t len;      /* bytes of this piece */
    uint32_t size;     /* of the piece's memory, from room */
    uint8_t *room;     /* where the piece's memory begins */
    struct page *page; /* which it is in: a reference */
    /* From here on: first piece only. */
    uint32_t total;                          /* bytes of all pieces */
    uint32_t truesize;                       /* memory held: what queues charge */
    struct netdev *dev;                      /* received by; lives for ever */
    uint64_t time_ns;                        /* received at, CLOCK_MONOTONIC; 0: not stamped */
    uint32_t hash;                           /* of the flow; 0: none */
    uint16_t link, network, transport;       /* offsets of the headers from room */
    uint8_t checksum;                        /* enum pkt_checksum */
    uint8_t gso;                             /* enum pkt_gso; ECN flag below */
    bool gso_ecn;                            /* TCP segment with CWR set: only the first keeps it */
    bool shared;                             /* a clone: pieces' bytes are not to be written */
    uint16_t gso_size;                       /* payload bytes of each segment */
    uint16_t checksum_start, checksum_field; /* start: offset from room */
    /* MSG_ZEROCOPY, of each piece that carries the program's pages: a reference; told when the last
     * such piece goes. NULL mostly. */
    struct pkt_done *done;
    uint8_t scratch[56]; /* the layer's that owns it now */
};

/* Completion of a zero-copy send: `fn` is called when the last reference goes, in any context. */
struct pkt_done {
    struct refcount refs;
    void (*fn)(struct pkt_done *done);
};

/* A packet of one empty piece with `headroom` and room for `size` bytes behind it (together at most
 * PKT_PIECE_MAX; -> NULL beyond and without memory). More than a page is a block of pages, of which
 * there may be none where there are pages. flags: ALLOC_*. Any context. */
struct pkt *must_check pkt_alloc(uint32_t headroom, uint32_t size, unsigned flags);
/* A packet of one piece over memory that exists: takes a reference of page. */
struct pkt *must_check pkt_of_page(struct page *page, uint32_t offset, uint32_t len,
                                   unsigned flags);
/* Boot, before the first packet: from then on they are counted in mm/account.h. */
void pkt_init(void);
/* Consumes; NULL does nothing. Any context. */
void pkt_free(struct pkt *pkt);
/* Consumes a list linked by next. */
void pkt_free_list(struct pkt *list);

/* The same bytes [offset, offset + len) once more, pages shared, with `headroom` in a first, empty
 * piece of its own for headers. NULL without memory. The original may then still be appended to,
 * but not pkt_trim-med and then written or pulled behind that end. */
struct pkt *must_check pkt_clone(const struct pkt *pkt, uint32_t offset, uint32_t len,
                                 uint32_t headroom, unsigned flags);
/* Cut in two at offset, 0 < offset < total: pkt keeps what is before it, the rest is returned.
 * Pieces move; only one that lies across is shared. NULL without memory: nothing has changed. */
struct pkt *must_check pkt_split(struct pkt *pkt, uint32_t offset, unsigned flags);
/* Append pieces of `tail` (consumed) to pkt. */
void pkt_append(struct pkt *pkt, struct pkt *tail);

/* Move the beginning: push makes room for a header in front (there must be headroom), skip takes
 * bytes off the front, over piece borders, trim cuts the end to `total` bytes. */
void *pkt_push(struct pkt *pkt, uint32_t len);
void pkt_skip(struct pkt *pkt, uint32_t len);
void pkt_trim(struct pkt *pkt, uint32_t total);
/* Make the first `len` bytes lie in the first piece: their address, or NULL if the packet is
 * shorter (or memory lacks). The bytes may move. */
void *must_check pkt_pull(struct pkt *pkt, uint32_t len);
/* Room for len more bytes at the end of the last piece: where, or NULL if there is not enough. */
void *must_check pkt_put(struct pkt *pkt, uint32_t len);
/* Copy out or in; the range lies within the packet. */
void pkt_read(const struct pkt *pkt, uint32_t offset, void *to, uint32_t len);
void pkt_write(struct pkt *pkt, uint32_t offset, const void *from, uint32_t len);
/* Ones' complement sum (RFC 1071) of a range, folded to 16 bits, added to `sum`; host order of
 * bytes in memory. */
uint16_t pkt_checksum(const struct pkt *pkt, uint32_t offset, uint32_t len, uint32_t sum);

static inline uint32_t pkt_headroom(const struct pkt *pkt)
{
    return (uint32_t)(pkt->data - pkt->room);
}

/* Some socket wants to know when packets came (SO_TIMESTAMP): stamp them; atomic, stays. */
extern bool pkt_stamps;

/* First in, first out; its owner's lock guards it. */
struct pkt_queue {
    struct pkt *first, *last;
    uint32_t count, bytes; /* bytes: truesize */
};
void pkt_queue_add(struct pkt_queue *queue, struct pkt *pkt);
struct pkt *pkt_queue_take(struct pkt_queue *queue); /* NULL: empty */
void pkt_queue_purge(struct pkt_queue *queue);

#endif
