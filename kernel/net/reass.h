/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reass.h - putting fragments together: IPv4 (RFC 791, 815) and IPv6 (RFC 8200, 4.5; 5722).
 *
 * The core knows offsets and packets, no headers and no clock; who calls holds a lock. Limits:
 * bytes held (truesize), datagrams, fragments of one, and time. No overlaps: who sends them wants
 * to get something past somebody, so all of that datagram is thrown away (RFC 5722); the very same
 * fragment once more is ignored.
 */
#ifndef SELKIE_NET_REASS_H
#define SELKIE_NET_REASS_H

#include "drv/pkt.h"
#include "lib/list.h"
#include "net/classify.h"

#define REASS_BYTES_MAX (4u << 20)
#define REASS_TIME_NS (30 * NS_PER_SEC)
#define REASS_FRAGMENTS_MAX 256u /* of one datagram: 64 KiB in the smallest usual MTU are 120 */
#define REASS_BUCKETS 64u

struct reass_key {
    struct net_addr source, dest;
    uint32_t id;
    uint32_t protocol; /* and the version of IP */
};

struct reass {
    struct list buckets[REASS_BUCKETS];
    struct list by_age; /* the oldest first */
    uint32_t bytes, count;
    uint64_t secret[2];
};

enum reass_result {
    REASS_WAIT,    /* kept */
    REASS_DONE,    /* *out is all of it: the first fragment with the others appended */
    REASS_BAD,     /* length or end that cannot be */
    REASS_OVERLAP, /* the datagram is gone */
    REASS_REPEAT,  /* was there already */
    REASS_FULL,    /* limits; or no memory */
};

void reass_init(struct reass *r, const uint64_t secret[2]);
/*
 * pkt: the fragment's payload from its data on, without padding; what lies before its data stays
 * there. Consumes. offset: of the payload in the datagram; more: others follow; room: bytes that
 * the headers of the whole take from 65535. What is to be freed is linked to *dropped, by next.
 */
enum reass_result reass_add(struct reass *r, const struct reass_key *key, struct pkt *pkt,
                            uint32_t offset, bool more, uint32_t room, uint64_t now_ns,
                            struct pkt **out, struct pkt **dropped);
/* Give up what has waited too long; the next deadline, UINT64_MAX: none. *expired: first fragments
 * of those, if they had come, linked by next. */
uint64_t reass_expire(struct reass *r, uint64_t now_ns, struct pkt **expired, unsigned *timeouts,
                      struct pkt **dropped);

#endif
