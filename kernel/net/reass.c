/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reass.c - fragments. Contract: reass.h.
 *
 * A datagram that is not whole has its fragments in a list sorted by offset, each with its offset
 * in pkt->scratch. It is whole when the last one has come and the bytes that are there are as many
 * as its end says: there are no overlaps, so nothing can be missing then.
 */
#include "net/reass.h"

#include "lib/siphash.h"
#include "mm/kmalloc.h"

struct datagram {
    struct list link, age;
    struct reass_key key;
    struct pkt *fragments; /* sorted */
    struct pkt *last;
    uint32_t count, have; /* fragments, their bytes */
    uint32_t end;         /* of the whole; 0: the last has not come */
    uint32_t truesize;
    uint64_t deadline_ns;
};

static uint32_t *offset_of(struct pkt *pkt)
{
    return (uint32_t *)(void *)pkt->scratch;
}

void reass_init(struct reass *r, const uint64_t secret[2])
{
    for (unsigned i = 0; i < REASS_BUCKETS; i++)
        list_init(&r->buckets[i]);
    list_init(&r->by_age);
    r->bytes = r->count = 0;
    r->secret[0] = secret[0];
    r->secret[1] = secret[1];
}

static struct list *bucket_of(struct reass *r, const struct reass_key *key)
{
    const struct siphash_key secret = {{r->secret[0], r->secret[1]}};
    const uint64_t words[] = {key->source.half[0], key->source.half[1], key->dest.half[0],
                              key->dest.half[1], (uint64_t)key->id << 32 | key->protocol};
    return &r->buckets[siphash(&secret, words, ARRAY_COUNT(words)) % REASS_BUCKETS];
}

static struct datagram *find(struct reass *r, const struct reass_key *key)
{
    struct list *bucket = bucket_of(r, key);
    list_for_each (link, bucket) {
        struct datagram *d = list_entry(link, struct datagram, link);
        if (d->key.id == key->id && d->key.protocol == key->protocol &&
            net_addr_equal(&d->key.source, &key->source) &&
            net_addr_equal(&d->key.dest, &key->dest))
            return d;
    }
    return NULL;
}

static void drop(struct pkt *pkt, struct pkt **dropped)
{
    pkt->next = *dropped;
    *dropped = pkt;
}

/* Out of the tables: its fragments are the caller's. */
static struct pkt *forget(struct reass *r, struct datagram *d)
{
    struct pkt *fragments = d->fragments;
    list_remove(&d->link);
    list_remove(&d->age);
    r->bytes -= d->truesize;
    r->count--;
    kfree(d);
    return fragments;
}

static void drop_all(struct reass *r, struct datagram *d, struct pkt **dropped)
{
    struct pkt *pkt = forget(r, d);
    while (pkt) {
        struct pkt *next = pkt->next;
        drop(pkt, dropped);
        pkt = next;
    }
}

static struct datagram *begin(struct reass *r, const struct reass_key *key, uint64_t now_ns)
{
    struct datagram *d = kzalloc(sizeof(*d));
    if (!d)
        return NULL;
    d->key = *key;
    d->truesize = sizeof(*d);
    d->deadline_ns = now_ns + REASS_TIME_NS;
    list_push_front(bucket_of(r, key), &d->link);
    list_push_back(&r->by_age, &d->age);
    r->bytes += d->truesize;
    r->count++;
    return d;
}

/* Where it goes: behind *before (NULL: in front of all). */
static enum reass_result place(struct datagram *d, uint32_t offset, uint32_t end, bool more,
                               struct pkt **before)
{
    struct pkt *previous = NULL, *next = d->fragments;
    if (d->last && *offset_of(d->last) < offset) { /* mostly in order */
        previous = d->last;
        next = NULL;
    }
    while (next && *offset_of(next) < offset) {
        previous = next;
        next = next->next;
    }
    if (next && *offset_of(next) == offset && next->total == end - offset)
        return more == (d->end != end) ? REASS_REPEAT : REASS_OVERLAP;
    if ((next && *offset_of(next) < end) ||
        (previous && *offset_of(previous) + previous->total > offset))
        return REASS_OVERLAP;
    *before = previous;
    return REASS_WAIT;
}

static enum reass_result check(const struct datagram *d, uint32_t end, bool more)
{
    uint32_t last_end = d->last ? *offset_of(d->last) + d->last->total : 0;
    if (!more && ((d->end && d->end != end) || last_end > end))
        return REASS_OVERLAP;
    if (more && d->end && end > d->end)
        return REASS_OVERLAP;
    return REASS_WAIT;
}

static void insert(struct reass *r, struct datagram *d, struct pkt *pkt, struct pkt *before)
{
    if (before) {
        pkt->next = before->next;
        before->next = pkt;
    } else {
        pkt->next = d->fragments;
        d->fragments = pkt;
    }
    if (!pkt->next)
        d->last = pkt;
    d->count++;
    d->have += pkt->total;
    d->truesize += pkt->truesize;
    r->bytes += pkt->truesize;
}

static struct pkt *join(struct pkt *fragments)
{
    struct pkt *first = fragments, *rest = first->next, *last = first;
    first->next = NULL;
    while (last->more)
        last = last->more;
    while (rest) {
        struct pkt *next = rest->next;
        rest->next = NULL;
        last->more = rest; /* as pkt_append, which would look for the end each time */
        first->total += rest->total;
        first->truesize += rest->truesize;
        first->shared |= rest->shared;
        while (last->more)
            last = last->more;
        rest = next;
    }
    return first;
}

/* The oldest give way, but not the one at hand. */
static bool make_room(struct reass *r, const struct datagram *keep, uint32_t truesize,
                      struct pkt **dropped)
{
    while (r->bytes + truesize > REASS_BYTES_MAX) {
        struct datagram *oldest = list_entry(r->by_age.next, struct datagram, age);
        if (list_empty(&r->by_age) || oldest == keep)
            return false;
        drop_all(r, oldest, dropped);
    }
    return true;
}

enum reass_result reass_add(struct reass *r, const struct reass_key *key, struct pkt *pkt,
                            uint32_t offset, bool more, uint32_t room, uint64_t now_ns,
                            struct pkt **out, struct pkt **dropped)
{
    struct pkt *before = NULL;
    uint32_t end = offset + pkt->total;
    if (pkt->total == 0 || (more && pkt->total % 8) || offset % 8 || room > 65535 ||
        end > 65535 - room) {
        drop(pkt, dropped);
        return REASS_BAD;
    }
    struct datagram *d = find(r, key);
    if (!d)
        d = begin(r, key, now_ns);
    if (!d || d->count >= REASS_FRAGMENTS_MAX || !make_room(r, d, pkt->truesize, dropped)) {
        drop(pkt, dropped);
        if (d && (d->count >= REASS_FRAGMENTS_MAX || d->count == 0))
            drop_all(r, d, dropped);
        return REASS_FULL;
    }
    enum reass_result result = check(d, end, more);
    if (result == REASS_WAIT)
        result = place(d, offset, end, more, &before);
    if (result != REASS_WAIT) {
        drop(pkt, dropped);
        if (result == REASS_OVERLAP)
            drop_all(r, d, dropped);
        return result;
    }
    *offset_of(pkt) = offset;
    insert(r, d, pkt, before);
    if (!more)
        d->end = end;
    if (!d->end || d->have < d->end)
        return REASS_WAIT;
    *out = join(forget(r, d));
    return REASS_DONE;
}

uint64_t reass_expire(struct reass *r, uint64_t now_ns, struct pkt **expired, unsigned *timeouts,
                      struct pkt **dropped)
{
    *timeouts = 0;
    while (!list_empty(&r->by_age)) {
        struct datagram *d = list_entry(r->by_age.next, struct datagram, age);
        if (d->deadline_ns > now_ns)
            return d->deadline_ns;
        ++*timeouts;
        struct pkt *fragments = forget(r, d), *pkt = fragments;
        if (pkt && *offset_of(pkt) == 0) {
            pkt = pkt->next;
            drop(fragments, expired);
        }
        while (pkt) {
            struct pkt *next = pkt->next;
            drop(pkt, dropped);
            pkt = next;
        }
    }
    return UINT64_MAX;
}
