/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * output.c - IP packets on their way out: headers, fragments, copies for ourselves. See ip.h.
 *
 * Runs in the sender's context, under its socket's lock if it has one; takes RANK_NEIGH and
 * RANK_NETDEV.
 *
 * Identification of IPv4 (RFC 6864: only packets that may be fragmented need one): counters by a
 * keyed hash of the addresses and the protocol, so that a stranger's packets tell nothing about
 * those to others.
 */
#include "core/random.h"
#include "drv/segment.h"
#include "lib/errno.h"
#include "lib/siphash.h"
#include "net/ether.h"
#include "net/ipimpl.h"
#include "net/mib.h"
#include "net/neigh.h"
#include "net/sysctl.h"

#define FRAGMENT_HEADER 8u
#define HOP_BY_HOP 8u
#define ID_SLOTS 1024u
enum { NEXT_HOP_BY_HOP = 0, NEXT_FRAGMENT = 44 };
enum { OPTION_END = 0, OPTION_NOP = 1, OPTION_COPIED = 0x80 };

static uint32_t ids[ID_SLOTS]; /* atomic */
static struct siphash_key id_secret;
static uint32_t id_state; /* 0: no secret, 1: being made, 2: there; atomic */

/* ---- headers ---- */

static uint32_t next_id(const struct net_addr *source, const struct net_addr *remote,
                        uint8_t protocol, uint32_t count)
{
    uint32_t none = 0;
    if (__atomic_load_n(&id_state, __ATOMIC_ACQUIRE) != 2) {
        if (!__atomic_compare_exchange_n(&id_state, &none, 1, false, __ATOMIC_RELAXED,
                                         __ATOMIC_RELAXED))
            return (uint32_t)random_u64(); /* another CPU makes it just now */
        random_bytes(&id_secret, sizeof(id_secret));
        __atomic_store_n(&id_state, 2, __ATOMIC_RELEASE);
    }
    const uint64_t words[] = {source->half[0], source->half[1], remote->half[0], remote->half[1],
                              protocol};
    uint64_t hash = siphash(&id_secret, words, ARRAY_COUNT(words));
    return (uint32_t)(hash >> 32) +
           __atomic_fetch_add(&ids[hash % ID_SLOTS], count, __ATOMIC_RELAXED);
}

uint8_t ip_default_ttl = IP_TTL_DEFAULT;

static void push_ip4(struct pkt *pkt, const struct net_addr *source, const struct net_addr *remote,
                     const struct ip_params *params, uint16_t id, uint16_t fragment)
{
    uint32_t len = IP4_HEADER_LEN + params->options_len;
    uint8_t *h = pkt_push(pkt, len);
    h[0] = (uint8_t)(0x40 | len / 4);
    h[1] = params->tos;
    put_be16(h + 2, (uint16_t)pkt->total);
    put_be16(h + 4, id);
    put_be16(h + 6, fragment);
    h[8] = params->ttl ? params->ttl : __atomic_load_n(&ip_default_ttl, __ATOMIC_RELAXED);
    h[9] = params->protocol;
    h[10] = h[11] = 0;
    memcpy(h + 12, source->bytes + 12, 4);
    memcpy(h + 16, remote->bytes + 12, 4);
    if (params->options_len)
        memcpy(h + IP4_HEADER_LEN, params->options, params->options_len);
    uint32_t words[IP4_HEADER_LEN / 4];
    uint64_t total = 0;
    memcpy(words, h, sizeof(words));
    for (unsigned i = 0; i < ARRAY_COUNT(words); i++)
        total += words[i];
    uint16_t sum = checksum_fold64(total);
    if (params->options_len)
        sum = checksum_add(h + IP4_HEADER_LEN, params->options_len, sum);
    sum = (uint16_t)~sum;
    memcpy(h + 10, &sum, sizeof(sum));
}

static void push_ip6(struct pkt *pkt, const struct net_addr *source, const struct net_addr *remote,
                     const struct ip_params *params, uint8_t next)
{
    uint32_t payload = pkt->total;
    uint8_t *h = pkt_push(pkt, IP6_HEADER_LEN);
    put_be32(h, 6u << 28 | (uint32_t)params->tos << 20 | (params->flow_label & 0xfffff));
    put_be16(h + 4, (uint16_t)payload);
    h[6] = next;
    h[7] = params->ttl ? params->ttl : IP_TTL_DEFAULT;
    memcpy(h + 8, source, sizeof(*source));
    memcpy(h + 24, remote, sizeof(*remote));
}

/* A hop-by-hop header with nothing but a router alert for MLD (RFC 2711). */
static void push_router_alert(struct pkt *pkt, uint8_t next)
{
    static const uint8_t option[7] = {0, 5, 2, 0, 0, 1, 0};
    uint8_t *h = pkt_push(pkt, HOP_BY_HOP);
    h[0] = next;
    memcpy(h + 1, option, sizeof(option));
}

/* ---- to the link ---- */

int ip_output_link(const struct ip_route *route, struct pkt *pkt)
{
    uint16_t ethertype = route->v4 ? ETHERTYPE_IP4 : ETHERTYPE_IP6;
    uint8_t ether[ETHER_ADDR_LEN];
    pkt->network = (uint16_t)pkt_headroom(pkt);
    mib_add(MIB_IpExt_OutOctets, pkt->total);
    if (route->neigh)
        return neigh_output(route->neigh, pkt);
    if (route->multicast)
        ether_of_group(&route->remote, ether);
    else
        memcpy(ether, ether_broadcast, sizeof(ether));
    return ether_send(route->dev, pkt, ether, ethertype);
}

/* The same packet once more, or the datagrams that were sent together in it (UDP_SEGMENT), since
 * each is read by itself. NULL without memory. */
static struct pkt *copies_of(const struct pkt *pkt)
{
    struct pkt *copy = pkt_clone(pkt, 0, pkt->total, pkt_headroom(pkt), ALLOC_DEFAULT), *list;
    if (!copy || !pkt->gso)
        return copy;
    /* Headers lie as far from the room's begin as in the original. */
    copy->gso = pkt->gso;
    copy->gso_size = pkt->gso_size;
    copy->network = (uint16_t)pkt_headroom(pkt);
    copy->transport = pkt->transport;
    copy->checksum = pkt->checksum;
    copy->checksum_start = pkt->checksum_start;
    copy->checksum_field = pkt->checksum_field;
    list = segment(copy, NETDEV_TX_ALL);
    if (!list)
        pkt_free(copy);
    return list;
}

/* What goes to all, or to a group we are in, comes to us, too. */
static void loop_copy(const struct ip_route *route, const struct pkt *pkt)
{
    struct pkt *list = copies_of(pkt); /* none: as if lost */
    while (list) {
        struct pkt *copy = list;
        list = copy->next;
        copy->next = NULL;
        copy->dev = route->dev;
        copy->checksum = PKT_CHECKSUM_GOOD;
        if (route->dev->type == ARPHRD_ETHER) {
            uint8_t *h = pkt_push(copy, ETHER_HEADER_LEN);
            memcpy(h, ether_broadcast, ETHER_ADDR_LEN);
            memcpy(h + 6, route->dev->address, ETHER_ADDR_LEN);
            put_be16(h + 12, route->v4 ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
        }
        ip_input_later(copy);
    }
}

static int send_one(const struct ip_route *route, struct pkt *pkt, bool loop)
{
    if (route->broadcast || route->multicast) {
        mib_count(route->multicast ? MIB_IpExt_OutMcastPkts : MIB_IpExt_OutBcastPkts);
        if (loop && route->dev != &loopback &&
            (route->broadcast || ip_group_member(&route->remote, route->dev->index)))
            loop_copy(route, pkt);
    }
    return ip_output_link(route, pkt);
}

/* ---- fragments ---- */

/* RFC 791, 3.1: which options go into every fragment. Written over `out`; their length. */
static uint8_t copied_options(const struct ip_params *params, uint8_t *out)
{
    uint8_t len = 0;
    for (uint32_t at = 0; at < params->options_len;) {
        uint8_t kind = params->options[at];
        uint32_t size = kind == OPTION_NOP             ? 1
                        : at + 1 < params->options_len ? params->options[at + 1]
                                                       : 0;
        if (kind == OPTION_END || size == 0 || size > params->options_len - at)
            break;
        if (kind & OPTION_COPIED) {
            memcpy(out + len, params->options + at, size);
            len = (uint8_t)(len + size);
        }
        at += size;
    }
    while (len % 4)
        out[len++] = OPTION_END;
    return len;
}

struct cutter {
    const struct ip_route *route;
    const struct net_addr *source;
    struct ip_params params;
    uint32_t id;
    uint8_t options[40];
};

static int send_fragment(struct cutter *c, const struct pkt *pkt, uint32_t offset, uint32_t len)
{
    struct pkt *part = pkt_clone(pkt, offset, len, PKT_HEADROOM, ALLOC_DEFAULT);
    bool more = offset + len < pkt->total;
    if (!part)
        return -ENOBUFS;
    if (c->route->v4) {
        push_ip4(part, c->source, &c->route->remote, &c->params, (uint16_t)c->id,
                 (uint16_t)(offset / 8 | (more ? IP4_FLAG_MF : 0)));
        if (offset == 0) {
            c->params.options_len = copied_options(&c->params, c->options);
            c->params.options = c->options;
        }
    } else {
        uint8_t *h = pkt_push(part, FRAGMENT_HEADER); /* RFC 8200, 4.5 */
        h[0] = c->params.protocol;
        h[1] = 0;
        put_be16(h + 2, (uint16_t)(offset | more));
        put_be32(h + 4, c->id);
        push_ip6(part, c->source, &c->route->remote, &c->params, NEXT_FRAGMENT);
    }
    mib_count(c->route->v4 ? MIB_Ip_FragCreates : MIB_Ip6_FragCreates);
    return send_one(c->route, part, true);
}

static no_inline int send_fragments(const struct ip_route *route, struct pkt *pkt,
                                    const struct net_addr *source, const struct ip_params *params)
{
    struct cutter c = {.route = route, .source = source, .params = *params};
    uint32_t headers =
        route->v4 ? IP4_HEADER_LEN + params->options_len : IP6_HEADER_LEN + FRAGMENT_HEADER;
    int err = 0;
    if (route->mtu < headers + 8 || pkt->total > 65535 - headers) {
        pkt_free(pkt);
        return -EMSGSIZE;
    }
    uint32_t each = (route->mtu - headers) & ~7u;
    if (pkt->checksum == PKT_CHECKSUM_PARTIAL)
        segment_checksum(pkt);
    c.id = next_id(source, &route->remote, params->protocol, 1);
    for (uint32_t offset = 0; offset < pkt->total && err == 0; offset += each)
        err = send_fragment(&c, pkt, offset, MIN(each, pkt->total - offset));
    if (route->v4)
        mib_count(err ? MIB_Ip_FragFails : MIB_Ip_FragOKs);
    else
        mib_count(err ? MIB_Ip6_FragFails : MIB_Ip6_FragOKs);
    pkt_free(pkt);
    return err;
}

/* ---- whole packets ---- */

static int send_whole(const struct ip_route *route, struct pkt *pkt, const struct net_addr *source,
                      const struct ip_params *params)
{
    if (!route->v4) {
        if (params->router_alert)
            push_router_alert(pkt, params->protocol);
        push_ip6(pkt, source, &route->remote, params,
                 params->router_alert ? NEXT_HOP_BY_HOP : params->protocol);
    } else if (params->dont_fragment && !pkt->gso) {
        push_ip4(pkt, source, &route->remote, params, 0, IP4_FLAG_DF);
    } else {
        uint32_t parts = pkt->gso ? pkt->total / MAX(pkt->gso_size, 1u) + 1 : 1;
        push_ip4(pkt, source, &route->remote, params,
                 (uint16_t)next_id(source, &route->remote, params->protocol, parts),
                 params->dont_fragment ? IP4_FLAG_DF : 0);
    }
    return send_one(route, pkt, !params->no_loop);
}

static int drop(const struct ip_route *route, struct pkt *pkt, int err)
{
    mib_count(route->v4 ? MIB_Ip_OutDiscards : MIB_Ip6_OutDiscards);
    pkt_free(pkt);
    return err;
}

int ip_output(const struct ip_route *route, struct pkt *pkt, const struct net_addr *source,
              const struct ip_params *params)
{
    uint32_t headers = route->v4 ? IP4_HEADER_LEN + params->options_len
                                 : IP6_HEADER_LEN + (params->router_alert ? HOP_BY_HOP : 0);
    if (!source)
        source = &route->source;
    mib_count(route->v4 ? MIB_Ip_OutRequests : MIB_Ip6_OutRequests);
    pkt->transport = (uint16_t)pkt_headroom(pkt);
    if (pkt_headroom(pkt) < headers + ETHER_HEADER_LEN || params->options_len > 40 ||
        params->options_len % 4)
        return drop(route, pkt, -ENOBUFS);
    if (pkt->total + (route->v4 ? headers : 0) > 65535)
        return drop(route, pkt, -EMSGSIZE);
    if (pkt->gso || pkt->total + headers <= route->mtu)
        return send_whole(route, pkt, source, params);
    if (params->dont_fragment || params->router_alert) {
        mib_count(route->v4 ? MIB_Ip_FragFails : MIB_Ip6_FragFails);
        return drop(route, pkt, -EMSGSIZE);
    }
    return send_fragments(route, pkt, source, params);
}

bool ip_checksum_ok(const struct pkt *pkt, uint32_t offset, uint32_t len,
                    const struct net_addr *source, const struct net_addr *remote, uint8_t protocol)
{
    if (pkt->checksum == PKT_CHECKSUM_GOOD)
        return true;
    uint32_t sum = ip_pseudo_sum(source, remote, protocol, len);
    return pkt_checksum(pkt, offset, len, checksum_fold(sum)) == 0xffff;
}
