/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * classify.c - from the bytes of a frame to its flow. Contract: classify.h.
 *
 * A cursor walks from header to header; each step first asks whether the header lies in the bytes
 * at hand (`len`) and whether it lies in the packet (`end`). Nothing is read that was not asked
 * for.
 */
#include "net/classify.h"

#include "lib/bytes.h"
#include "lib/string.h"

enum {
    ETHER_HEADER = 14,
    TAG_LEN = 4,
    TAGS_MAX = 2,
    IP4_HEADER = 20,
    IP6_HEADER = 40,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    FRAGMENT_HEADER = 8,
    EXTENSIONS_MAX = 8,
};
#define ETHERTYPE_TAG 0x8100 /* IEEE 802.1Q */
#define ETHERTYPE_SERVICE_TAG 0x88a8
#define IP4_MORE 0x2000u
#define IP4_OFFSET_MASK 0x1fffu
enum { /* RFC 8200, section 4.1 */
       NEXT_HOP_BY_HOP = 0,
       NEXT_ROUTING = 43,
       NEXT_FRAGMENT = 44,
       NEXT_DESTINATION = 60,
};

struct cursor {
    const uint8_t *frame;
    uint32_t len;   /* bytes at hand */
    uint32_t total; /* of the frame */
    bool link;
};

/* Do `size` bytes from `at` lie in what is at hand? */
static bool at_hand(const struct cursor *c, uint32_t at, uint32_t size)
{
    return at <= c->len && size <= c->len - at;
}

static inline uint32_t load32(const uint8_t *p)
{
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

/* Of the IPv4 header, whose length is a multiple of 4: is its checksum right (RFC 1071)? The ones'
 * complement sum does not depend on the order of bytes, and is 0xffff or 0 if the plain sum is a
 * multiple of 0xffff; that of all zeroes, which would be wrong, is no header's. */
static bool checksum_ok(const uint8_t *header, uint32_t len)
{
    uint64_t sum = (uint64_t)load32(header) + load32(header + 4) + load32(header + 8) +
                   load32(header + 12) + load32(header + 16);
    for (uint32_t i = IP4_HEADER; i < len; i += 4)
        sum += load32(header + i);
    return sum % 0xffff == 0;
}

/* RFC 1122, 3.2.1.3: what may not be a source, or not come by a wire. A host that has no address
 * yet (DHCP, IGMP) sends from 0.0.0.0 to all. */
static bool ip4_addresses_ok(const struct cursor *c, uint32_t source, uint32_t dest)
{
    uint8_t from = source & 0xff, to = dest & 0xff; /* the first bytes */
    if (from >= 224 || to == 0)
        return false;
    if (from == 0 && (source != 0 || to < 224))
        return false;
    return !(c->link && (from == 127 || to == 127));
}

/* `next`: the protocol; `size` bytes of the packet begin at `at`. */
static inline enum classify_verdict transport(const struct cursor *c, struct classified *out,
                                              uint8_t next, uint32_t at, uint32_t size)
{
    const uint8_t *header = c->frame + at;
    bool tcp = next == IPPROTO_TCP;
    if (!tcp && next != IPPROTO_UDP) /* who goes on reads the extension headers up to here */
        return at_hand(c, at, 0) ? CLASSIFY_IP : CLASSIFY_SHORT;
    uint32_t least = tcp ? TCP_HEADER : UDP_HEADER;
    if (size < least || !at_hand(c, at, least))
        return CLASSIFY_SHORT;
    if (tcp) {
        uint32_t header_len = (header[12] >> 4) * 4u;
        if (header_len < TCP_HEADER)
            return CLASSIFY_BAD_HEADER;
        if (header_len > size || !at_hand(c, at, header_len))
            return CLASSIFY_SHORT;
    } else if (get_be16(header + 4) < UDP_HEADER) {
        return CLASSIFY_BAD_HEADER;
    } else if (get_be16(header + 4) > size) {
        return CLASSIFY_SHORT;
    }
    memcpy(&out->key.remote_port, header, 2);
    memcpy(&out->key.local_port, header + 2, 2);
    return CLASSIFY_FLOW;
}

static enum classify_verdict ip4(const struct cursor *c, struct classified *out)
{
    uint32_t at = out->network;
    const uint8_t *header = c->frame + at;
    if (!at_hand(c, at, IP4_HEADER))
        return CLASSIFY_SHORT;
    uint32_t header_len = (header[0] & 0xf) * 4u, total = get_be16(header + 2);
    if (header[0] >> 4 != 4 || header_len < IP4_HEADER || total < header_len)
        return CLASSIFY_BAD_HEADER;
    if (total > c->total - at || !at_hand(c, at, header_len))
        return CLASSIFY_SHORT;
    if (!checksum_ok(header, header_len))
        return CLASSIFY_BAD_CHECKSUM;
    uint32_t source = load32(header + 12), dest = load32(header + 16);
    if (!ip4_addresses_ok(c, source, dest))
        return CLASSIFY_BAD_ADDRESS;
    out->key.remote = net_addr_v4(source);
    out->key.local = net_addr_v4(dest);
    out->key.protocol = header[9];
    out->transport = (uint16_t)(at + header_len);
    out->end = at + total;
    out->options = header_len > IP4_HEADER;
    if (get_be16(header + 6) & (IP4_MORE | IP4_OFFSET_MASK))
        return CLASSIFY_FRAGMENT;
    return transport(c, out, header[9], at + header_len, total - header_len);
}

static bool is_loopback6(const struct net_addr *a)
{
    return a->half[0] == 0 && a->word[2] == 0 && a->word[3] == net32(1);
}

static bool is_unspecified(const struct net_addr *a)
{
    return a->half[0] == 0 && a->half[1] == 0;
}

/* RFC 4291, 2.5.2, 2.5.3, 2.7. Mapped addresses never come by a wire (RFC 4942, 2.2): they would
 * pass for IPv4 peers. */
static bool ip6_addresses_ok(const struct cursor *c, const struct flow_key *key)
{
    if (key->remote.bytes[0] == 0xff || is_unspecified(&key->local))
        return false;
    if (net_addr_is_v4(&key->remote) || net_addr_is_v4(&key->local))
        return false;
    return !(c->link && (is_loopback6(&key->remote) || is_loopback6(&key->local)));
}

/* One extension header at out->transport of type `next`: steps over it. CLASSIFY_OTHER: that was
 * none, the payload begins here. CLASSIFY_FLOW: go on. */
static enum classify_verdict extension(const struct cursor *c, struct classified *out,
                                       uint8_t *next, bool first)
{
    uint32_t at = out->transport;
    bool plain = *next == NEXT_ROUTING || *next == NEXT_DESTINATION || *next == NEXT_HOP_BY_HOP;
    if (!plain && *next != NEXT_FRAGMENT)
        return CLASSIFY_OTHER;
    if (*next == NEXT_HOP_BY_HOP && !first) /* RFC 8200, 4.1 */
        return CLASSIFY_BAD_HEADER;
    if (out->end - at < 8 || !at_hand(c, at, 8))
        return CLASSIFY_SHORT;
    out->options = true;
    const uint8_t *header = c->frame + at;
    if (*next == NEXT_FRAGMENT) {
        /* An atomic fragment (RFC 6946) is whole: the header is stepped over. */
        bool whole = (get_be16(header + 2) & 0xfff9) == 0;
        *next = header[0];
        if (!whole)
            return CLASSIFY_FRAGMENT; /* transport stays at the fragment header */
        out->transport = (uint16_t)(at + FRAGMENT_HEADER);
        return CLASSIFY_FLOW;
    }
    uint32_t size = (header[1] + 1u) * 8u;
    if (size > out->end - at)
        return CLASSIFY_SHORT;
    if (at + size > UINT16_MAX)
        return CLASSIFY_BAD_HEADER;
    *next = header[0];
    out->transport = (uint16_t)(at + size);
    return CLASSIFY_FLOW;
}

static enum classify_verdict ip6(const struct cursor *c, struct classified *out)
{
    uint32_t at = out->network;
    const uint8_t *header = c->frame + at;
    if (!at_hand(c, at, IP6_HEADER))
        return CLASSIFY_SHORT;
    if (header[0] >> 4 != 6)
        return CLASSIFY_BAD_HEADER;
    uint32_t payload = get_be16(header + 4);
    if (payload > c->total - at - IP6_HEADER)
        return CLASSIFY_SHORT;
    memcpy(&out->key.remote, header + 8, 16);
    memcpy(&out->key.local, header + 24, 16);
    if (!ip6_addresses_ok(c, &out->key))
        return CLASSIFY_BAD_ADDRESS;
    out->transport = (uint16_t)(at + IP6_HEADER);
    out->end = at + IP6_HEADER + payload;
    uint8_t next = header[6];
    enum classify_verdict verdict = CLASSIFY_FLOW;
    for (unsigned i = 0; verdict == CLASSIFY_FLOW; i++) {
        if (i > EXTENSIONS_MAX)
            return CLASSIFY_BAD_HEADER;
        verdict = extension(c, out, &next, i == 0);
    }
    out->key.protocol = next;
    if (verdict != CLASSIFY_OTHER)
        return verdict;
    /* Only neighbour discovery and MLD speak before they have an address (RFC 4861, 4.3). */
    if (is_unspecified(&out->key.remote) && next != IPPROTO_ICMPV6)
        return CLASSIFY_BAD_ADDRESS;
    return transport(c, out, next, out->transport, out->end - out->transport);
}

static enum classify_verdict ether(const struct cursor *c, struct classified *out)
{
    if (c->len < ETHER_HEADER)
        return CLASSIFY_SHORT;
    uint32_t at = ETHER_HEADER - 2;
    out->ethertype = get_be16(c->frame + at);
    for (int i = 0; i < TAGS_MAX; i++) {
        if (out->ethertype != ETHERTYPE_TAG && out->ethertype != ETHERTYPE_SERVICE_TAG)
            break;
        at += TAG_LEN;
        if (!at_hand(c, at, 2))
            return CLASSIFY_SHORT;
        out->ethertype = get_be16(c->frame + at);
    }
    out->network = (uint16_t)(at + 2);
    return CLASSIFY_FLOW;
}

enum classify_verdict classify(const uint8_t *frame, uint32_t len, uint32_t total, bool link,
                               struct classified *out)
{
    struct cursor c = {frame, MIN(len, total), total, link};
    *out = (struct classified){.network = 0};
    if (link) {
        if (ether(&c, out) != CLASSIFY_FLOW)
            return CLASSIFY_SHORT;
    } else if (c.len > 0) {
        out->ethertype = frame[0] >> 4 == 6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4;
    } else {
        return CLASSIFY_SHORT;
    }
    switch (out->ethertype) {
    case ETHERTYPE_IP4:
        return ip4(&c, out);
    case ETHERTYPE_IP6:
        return ip6(&c, out);
    case ETHERTYPE_ARP:
        return CLASSIFY_ARP;
    default:
        return CLASSIFY_OTHER;
    }
}
