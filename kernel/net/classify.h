/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * classify.h - from the bytes of a frame to its flow: pure, no state, no memory, any input.
 *
 * Looks at Ethernet (with up to two 802.1Q tags), IPv4 (RFC 791), IPv6 with extension headers
 * (RFC 8200), TCP (RFC 9293) and UDP (RFC 768) headers; checks lengths and the IPv4 header's
 * checksum, not the transport's (the socket does, when it copies). It never reads beyond `len`.
 */
#ifndef SELKIE_NET_CLASSIFY_H
#define SELKIE_NET_CLASSIFY_H

#include "lib/types.h"

enum { IPPROTO_ICMP = 1, IPPROTO_TCP = 6, IPPROTO_UDP = 17, IPPROTO_ICMPV6 = 58 };
#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IP6 0x86dd

/* An address of either kind: IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), so that IPv6 sockets see
 * IPv4 peers the way they are to. Bytes in network order. */
struct net_addr {
    union {
        uint8_t bytes[16];
        uint32_t word[4];
        uint64_t half[2];
    };
};

/* Who talks to whom, as seen from here. Ports in network order. Compared as bytes: no padding. */
struct flow_key {
    struct net_addr local, remote;
    uint16_t local_port, remote_port;
    uint8_t protocol; /* IPPROTO_* */
    uint8_t zero[3];
};
STATIC_ASSERT(sizeof(struct flow_key) == 40);

enum classify_verdict {
    CLASSIFY_FLOW,     /* whole TCP or UDP: key and offsets are filled in */
    CLASSIFY_IP,       /* IP with anything else: ICMP, other protocols; network, transport, protocol
                          and addresses are filled in */
    CLASSIFY_FRAGMENT, /* IP fragment: as CLASSIFY_IP; no ports */
    CLASSIFY_ARP,
    CLASSIFY_OTHER, /* not for IP: another Ethernet type */
    /* to be dropped */
    CLASSIFY_SHORT,        /* ends within a header, or sooner than its length field says */
    CLASSIFY_BAD_HEADER,   /* version, header length, total length, extension headers */
    CLASSIFY_BAD_CHECKSUM, /* of the IPv4 header */
    CLASSIFY_BAD_ADDRESS,  /* a source that cannot be: multicast, broadcast, unspecified where not
                              allowed */
};

struct classified {
    struct flow_key key;
    uint16_t network;   /* offset of the IP header in the frame */
    uint16_t transport; /* of TCP, UDP, or what the IP header carries */
    uint32_t end;       /* of the IP packet: what follows is padding */
    uint16_t ethertype; /* host order */
    bool options;       /* IPv4 options or IPv6 extension headers are present */
};

/* frame: the first `len` bytes that lie together, of `total` in all. link: the frame begins with an
 * Ethernet header (else with IP: loopback). If the headers do not lie in `len` but might in
 * `total`, CLASSIFY_SHORT: pull more and ask again. */
enum classify_verdict classify(const uint8_t *frame, uint32_t len, uint32_t total, bool link,
                               struct classified *out);

static inline bool net_addr_is_v4(const struct net_addr *a)
{
    /* ::ffff:0:0/96 by words as they lie in memory: lib/bytes.h */
    return a->half[0] == 0 && a->word[2] == 0xffff0000u;
}
static inline bool net_addr_equal(const struct net_addr *a, const struct net_addr *b)
{
    return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}
/* `ip`: as it lies in a header. */
static inline struct net_addr net_addr_v4(uint32_t ip)
{
    /* by words as they lie in memory: lib/bytes.h */
    return (struct net_addr){.half = {0, (uint64_t)ip << 32 | 0xffff0000u}};
}

#endif
