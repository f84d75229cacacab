/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * segment.c - segmentation and checksums in software. Contract: segment.h.
 *
 * A segment is a clone of a part of the payload behind a copy of the headers, in which the fields
 * that differ are changed: lengths, the IPv4 identification, the sequence number, flags. The
 * transport's checksum field holds the pseudo header's sum before (PKT_CHECKSUM_PARTIAL) and after,
 * with the other length in it.
 */
#include "drv/segment.h"

#include "drv/netdev.h"
#include "lib/bytes.h"
#include "lib/checksum.h"
#include "lib/errno.h"
#include "lib/string.h"

enum { UDP_HEADER = 8, TCP_HEADER = 20, IP4_HEADER = 20, IP6_HEADER = 40 };
enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80 };

bool segment_supported(const struct pkt *pkt, uint32_t features)
{
    static const uint32_t of_kind[] = {
        [PKT_GSO_TCP4] = NETDEV_TX_TSO4,
        [PKT_GSO_TCP6] = NETDEV_TX_TSO6,
        [PKT_GSO_UDP] = NETDEV_TX_USO,
    };
    uint32_t needed = of_kind[pkt->gso] | NETDEV_TX_CHECKSUM;
    if (pkt->more)
        needed |= NETDEV_TX_PIECES;
    if (pkt->gso_ecn)
        needed |= NETDEV_TX_TSO_ECN;
    return (features & needed) == needed;
}

void segment_checksum(struct pkt *pkt)
{
    uint32_t start = pkt->checksum_start - pkt_headroom(pkt);
    uint16_t sum = (uint16_t)~pkt_checksum(pkt, start, pkt->total - start, 0);
    if (sum == 0) /* the same number; to UDP (RFC 768) zero says that there is none */
        sum = 0xffff;
    pkt_write(pkt, start + pkt->checksum_field, &sum, sizeof(sum));
    pkt->checksum = PKT_CHECKSUM_NONE;
}

int segment_finish(struct pkt *pkt, uint32_t features)
{
    if (pkt->checksum == PKT_CHECKSUM_PARTIAL && !(features & NETDEV_TX_CHECKSUM))
        segment_checksum(pkt);
    if (pkt->more && !(features & NETDEV_TX_PIECES) && !pkt_pull(pkt, pkt->total))
        return -ENOMEM;
    return 0;
}

unsigned segment_pieces(const struct pkt *pkt)
{
    unsigned count = 0;
    for (; pkt; pkt = pkt->more)
        count += pkt->len > 0;
    return count;
}

struct pkt *segment_gather(const struct pkt *pkt)
{
    uint32_t room = PAGE_SIZE - PKT_HEADROOM, done = 0;
    struct pkt *out = NULL;
    while (done < pkt->total) {
        uint32_t n = MIN(pkt->total - done, room);
        struct pkt *piece = pkt_alloc(PKT_HEADROOM, n, ALLOC_ATOMIC);
        void *to = piece ? pkt_put(piece, n) : NULL;
        if (!to) {
            pkt_free(piece);
            pkt_free(out);
            return NULL;
        }
        pkt_read(pkt, done, to, n);
        done += n;
        if (out)
            pkt_append(out, piece);
        else
            out = piece;
    }
    if (out) {
        out->checksum = pkt->checksum;
        out->checksum_start =
            (uint16_t)(pkt->checksum_start - pkt_headroom(pkt) + pkt_headroom(out));
        out->checksum_field = pkt->checksum_field;
        out->gso = pkt->gso;
        out->gso_ecn = pkt->gso_ecn;
        out->gso_size = pkt->gso_size;
    }
    return out;
}

/* What is to be cut, as found in the headers: distances from data. */
struct plan {
    uint32_t network, transport, headers, payload;
    bool v4, tcp;
};

/* The headers lie in the first piece; their lengths are those that they need to have. */
static bool plan_make(struct pkt *pkt, struct plan *p)
{
    uint32_t headroom = pkt_headroom(pkt);
    p->network = pkt->network - headroom;
    p->transport = pkt->transport - headroom;
    p->tcp = pkt->gso != PKT_GSO_UDP;
    uint32_t least = p->transport + (p->tcp ? TCP_HEADER : UDP_HEADER);
    if (pkt->network < headroom || p->transport < p->network || pkt->gso_size == 0 ||
        !pkt_pull(pkt, least))
        return false;
    p->v4 = pkt->data[p->network] >> 4 == 4;
    p->headers = least;
    if (p->tcp)
        p->headers = p->transport + (pkt->data[p->transport + 12] >> 4) * 4u;
    if (p->headers < least || p->headers > pkt->total || !pkt_pull(pkt, p->headers) ||
        p->transport - p->network < (p->v4 ? IP4_HEADER : IP6_HEADER))
        return false;
    p->payload = pkt->total - p->headers;
    return true;
}

static void fix_network(uint8_t *header, const struct plan *p, uint32_t number, uint32_t payload)
{
    uint32_t len = p->headers - p->network + payload;
    if (!p->v4) {
        put_be16(header + 4, (uint16_t)(len - IP6_HEADER));
        return;
    }
    put_be16(header + 2, (uint16_t)len);
    put_be16(header + 4, (uint16_t)(get_be16(header + 4) + number));
    header[10] = header[11] = 0;
    uint16_t sum = (uint16_t)~checksum_add(header, p->transport - p->network, 0);
    memcpy(header + 10, &sum, sizeof(sum));
}

static void fix_transport(uint8_t *header, const struct plan *p, uint32_t offset, uint32_t payload)
{
    uint32_t own = p->headers - p->transport;
    uint8_t *check = header + (p->tcp ? 16 : 6);
    uint16_t sum;
    memcpy(&sum, check, sizeof(sum));
    sum = checksum_fold((uint32_t)sum + (uint16_t)~net16((uint16_t)(own + p->payload)) +
                        net16((uint16_t)(own + payload)));
    memcpy(check, &sum, sizeof(sum));
    if (!p->tcp) {
        put_be16(header + 4, (uint16_t)(own + payload));
        return;
    }
    put_be32(header + 4, get_be32(header + 4) + offset);
    if (offset + payload < p->payload)
        header[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (offset > 0) /* RFC 3168, 6.1.2: once for each reduction */
        header[13] &= (uint8_t)~TCP_CWR;
}

static struct pkt *cut(const struct pkt *pkt, const struct plan *p, uint32_t offset, uint32_t len)
{
    struct pkt *part =
        pkt_clone(pkt, p->headers + offset, len, pkt_headroom(pkt) + p->headers, ALLOC_DEFAULT);
    if (!part)
        return NULL;
    uint8_t *headers = pkt_push(part, p->headers); /* as far from room as in the original */
    memcpy(headers, pkt->data, p->headers);
    fix_network(headers + p->network, p, offset / pkt->gso_size, len);
    fix_transport(headers + p->transport, p, offset, len);
    part->link = pkt->link;
    part->network = pkt->network;
    part->transport = pkt->transport;
    part->checksum = PKT_CHECKSUM_PARTIAL;
    part->checksum_start = pkt->checksum_start;
    part->checksum_field = pkt->checksum_field;
    return part;
}

struct pkt *segment(struct pkt *pkt, uint32_t features)
{
    struct pkt *list = NULL, **end = &list;
    struct plan p;
    if (pkt->checksum != PKT_CHECKSUM_PARTIAL || !plan_make(pkt, &p))
        return NULL;
    for (uint32_t offset = 0; offset < p.payload; offset += pkt->gso_size) {
        struct pkt *part = cut(pkt, &p, offset, MIN(pkt->gso_size, p.payload - offset));
        *end = part;
        if (!part || segment_finish(part, features)) {
            pkt_free_list(list);
            return NULL;
        }
        end = &part->next;
    }
    if (list)
        pkt_free(pkt);
    return list;
}
