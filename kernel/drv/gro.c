/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gro.c - merging TCP segments: see gro.h.
 *
 * What has been found out about a packet that is held stands in its scratch. Its headers are put
 * right when it leaves. They may be written, for nobody else has the packet.
 */
#include "drv/gro.h"

#include "lib/bytes.h"
#include "lib/checksum.h"
#include "lib/string.h"

enum { ETHER = 14, TYPE_AT = 12, TYPE_IP4 = 0x0800, TYPE_IP6 = 0x86dd };
enum { IP4 = 20, IP6 = 40, PROTOCOL_TCP = 6, TCP = 20 };
enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_ACK = 0x10, TCP_ECE = 0x40 };
#define DO_NOT_FRAGMENT 0x4000u
#define IP_LEN_MAX 65535u

struct segment {
    struct pkt *last;            /* piece of it all */
    uint32_t next;               /* sequence number behind its data */
    uint16_t headers, transport; /* bytes of all headers; where TCP's begins */
    uint16_t payload, size;      /* of it; of the first one merged */
    uint16_t id;                 /* IPv4's identification, of the last one merged */
    uint16_t merged;             /* others */
    bool v4, closed;             /* closed: nothing comes behind it */
};
STATIC_ASSERT(sizeof(struct segment) <= sizeof(((struct pkt *)0)->scratch));

static struct segment *segment_of(const struct pkt *pkt)
{
    return (struct segment *)(void *)pkt->scratch;
}

/* TCP over IPv4 without options or IPv6 without extensions, not a fragment, all there: its segment.
 * False: something else. */
static bool parse(struct pkt *pkt, struct segment *s)
{
    const uint8_t *ip = pkt->data + ETHER;
    uint32_t total;
    if (pkt->gso || pkt->shared || pkt->len < ETHER + IP4 + TCP)
        return false;
    s->v4 = get_be16(pkt->data + TYPE_AT) == TYPE_IP4;
    s->transport = ETHER + (s->v4 ? IP4 : IP6);
    if (s->v4) {
        total = get_be16(ip + 2);
        if (ip[0] != 0x45 || ip[9] != PROTOCOL_TCP || (get_be16(ip + 6) & ~DO_NOT_FRAGMENT) != 0 ||
            checksum_add(ip, IP4, 0) != 0xffff)
            return false;
    } else {
        total = IP6 + get_be16(ip + 4);
        if (get_be16(pkt->data + TYPE_AT) != TYPE_IP6 || ip[0] >> 4 != 6 || ip[6] != PROTOCOL_TCP ||
            pkt->len < ETHER + IP6 + TCP)
            return false;
    }
    const uint8_t *tcp = pkt->data + s->transport;
    s->headers = (uint16_t)(s->transport + (tcp[12] >> 4) * 4);
    if (s->headers < s->transport + TCP || s->headers > pkt->len || ETHER + total > pkt->total ||
        s->headers > ETHER + total)
        return false;
    pkt_trim(pkt, ETHER + total); /* what filled the frame up */
    s->payload = s->size = (uint16_t)(pkt->total - s->headers);
    s->next = get_be32(tcp + 4) + s->payload;
    s->id = get_be16(ip + 4);
    s->merged = 0;
    s->closed = false;
    return true;
}

static bool checksum_good(const struct pkt *pkt, const struct segment *s)
{
    uint32_t addresses = s->v4 ? 8 : 32, len = pkt->total - s->transport;
    uint16_t pseudo = checksum_add(pkt->data + s->transport - addresses, addresses,
                                   (uint32_t)net16(PROTOCOL_TCP) + net16((uint16_t)len));
    return pkt->checksum == PKT_CHECKSUM_GOOD ||
           pkt_checksum(pkt, s->transport, len, pseudo) == 0xffff;
}

static bool equal(const struct pkt *a, const struct pkt *b, uint32_t at, uint32_t len)
{
    return memcmp(a->data + at, b->data + at, len) == 0;
}

static bool same_flow(const struct pkt *held, const struct pkt *pkt, const struct segment *s)
{
    uint32_t addresses = s->v4 ? 8 : 32;
    return segment_of(held)->v4 == s->v4 &&
           equal(held, pkt, s->transport - addresses, addresses + 4) && equal(held, pkt, 0, ETHER);
}

/* May others be merged into it? */
static bool may_begin(const struct pkt *pkt, const struct segment *s)
{
    uint8_t flags = pkt->data[s->transport + 13];
    return s->payload > 0 && (flags & ~TCP_ECE) == TCP_ACK && checksum_good(pkt, s);
}

static bool may_follow(const struct pkt *held, const struct pkt *pkt, const struct segment *s)
{
    const struct segment *h = segment_of(held);
    const uint8_t *tcp = pkt->data + s->transport;
    uint8_t flags = tcp[13] ^ held->data[s->transport + 13];
    if (h->closed || s->payload == 0 || s->payload > h->size || h->headers != s->headers ||
        get_be32(tcp + 4) != h->next || (flags & ~(TCP_FIN | TCP_PSH)) ||
        held->total - ETHER + s->payload > IP_LEN_MAX)
        return false;
    /* Acknowledgement and header's length; window; options. */
    if (!equal(held, pkt, s->transport + 8, 5) || !equal(held, pkt, s->transport + 14, 2) ||
        !equal(held, pkt, s->transport + 18, (uint32_t)s->headers - s->transport - 18))
        return false;
    if (s->v4) { /* class and ECN; fragmentation; life time */
        bool counts = !(pkt->data[ETHER + 6] & DO_NOT_FRAGMENT >> 8);
        if (!equal(held, pkt, ETHER + 1, 1) || !equal(held, pkt, ETHER + 6, 3) ||
            (counts && s->id != (uint16_t)(h->id + 1)))
            return false;
    } else if (!equal(held, pkt, ETHER, 4) || !equal(held, pkt, ETHER + 7, 1)) {
        return false;
    }
    return checksum_good(pkt, s);
}

static void merge(struct pkt *held, struct pkt *pkt, const struct segment *s)
{
    struct segment *h = segment_of(held);
    uint8_t last = pkt->data[s->transport + 13] & (TCP_FIN | TCP_PSH);
    held->data[s->transport + 13] |= last;
    h->closed = last || s->payload < h->size;
    h->next = s->next;
    h->id = s->id;
    h->merged++;
    held->total += s->payload;
    held->truesize += pkt->truesize;
    held->shared |= pkt->shared;
    pkt_skip(pkt, s->headers);
    h->last->more = pkt; /* pkt_append without going there */
    while (pkt->more)
        pkt = pkt->more;
    h->last = pkt;
}

/* The headers of a packet that others were merged into. Of its checksum everyone knows that it is
 * good; nobody looks at the field again. */
static void finish(struct pkt *pkt)
{
    const struct segment *s = segment_of(pkt);
    uint8_t *ip = pkt->data + ETHER;
    pkt->checksum = PKT_CHECKSUM_GOOD;
    if (s->merged == 0)
        return;
    pkt->gso = s->v4 ? PKT_GSO_TCP4 : PKT_GSO_TCP6;
    pkt->gso_size = s->size;
    if (!s->v4) {
        put_be16(ip + 4, (uint16_t)(pkt->total - ETHER - IP6));
        return;
    }
    put_be16(ip + 2, (uint16_t)(pkt->total - ETHER));
    put_be16(ip + 10, 0);
    uint16_t sum = (uint16_t)~checksum_add(ip, IP4, 0);
    memcpy(ip + 10, &sum, sizeof(sum));
}

static void let_go(struct gro *gro, unsigned at, void (*deliver)(struct pkt *pkt))
{
    struct pkt *pkt = gro->held[at];
    gro->count--;
    for (unsigned i = at; i < gro->count; i++)
        gro->held[i] = gro->held[i + 1];
    finish(pkt);
    deliver(pkt);
}

bool gro_receive(struct gro *gro, struct pkt *pkt, void (*deliver)(struct pkt *pkt))
{
    struct segment s;
    if (!parse(pkt, &s)) {
        /* What a device has merged may belong behind one that is held. */
        if (pkt->gso)
            gro_flush(gro, deliver);
        deliver(pkt);
        return false;
    }
    for (unsigned i = 0; i < gro->count; i++) {
        if (!same_flow(gro->held[i], pkt, &s))
            continue;
        if (may_follow(gro->held[i], pkt, &s)) {
            merge(gro->held[i], pkt, &s);
            return true;
        }
        let_go(gro, i, deliver);
        break;
    }
    if (!may_begin(pkt, &s)) {
        deliver(pkt);
        return false;
    }
    if (gro->count == GRO_FLOWS)
        let_go(gro, 0, deliver);
    s.last = pkt;
    while (s.last->more)
        s.last = s.last->more;
    memcpy(pkt->scratch, &s, sizeof(s));
    gro->held[gro->count++] = pkt;
    return false;
}

void gro_flush(struct gro *gro, void (*deliver)(struct pkt *pkt))
{
    while (gro->count > 0)
        let_go(gro, 0, deliver);
}
