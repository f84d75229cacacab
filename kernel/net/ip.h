/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ip.h - what the protocols above IP use of it: where an address is, sending there, what of it is
 * ours, and what comes back (errors, path MTU).
 *
 * Both versions of IP look alike from here: addresses are struct net_addr (IPv4 as ::ffff:a.b.c.d),
 * and the address says which header ip_output writes. Files: route.c, ifaddr.c, neigh.c, ip4.c,
 * ip6.c, icmp4.c, icmp6.c, input.c. Readers of routes and addresses are RCU sections inside;
 * nothing here needs a lock of the caller's, and nothing calls back into a socket under a lock.
 */
#ifndef SELKIE_NET_IP_H
#define SELKIE_NET_IP_H

#include "drv/netdev.h"
#include "lib/checksum.h"
#include "net/classify.h"

/* Before a transport header there must be this much headroom: IPv6, fragment header, Ethernet with
 * a tag, the device's own. PKT_HEADROOM has it, and room for 64 bytes of a transport header. */
#define IP_HEADROOM 64u
#define IP4_HEADER_LEN 20u
#define IP6_HEADER_LEN 40u
#define IP4_MTU_MIN 68u /* RFC 791 */
#define IP6_MTU_MIN 1280u
#define IP_TTL_DEFAULT 64u

/* ---- routes ---- */

struct neigh;
/*
 * Where packets to one address go: the answer of route_lookup, by value; whoever keeps it (a
 * socket, under its lock) looks at route_current before each use and asks again if that is false.
 * It holds a reference of the neighbour until route_release. Zeroed memory is a released one.
 */
struct ip_route {
    struct netdev *dev;       /* NULL: not looked up */
    struct net_addr remote;   /* the address asked for */
    struct net_addr source;   /* ours, the one to use if the caller has no other */
    struct net_addr next_hop; /* remote itself or the gateway */
    struct neigh *neigh;      /* NULL: none is needed (loopback, broadcast, multicast) */
    uint32_t mtu;             /* of the path: RFC 1191, 8201; the device's or less */
    uint32_t generation;
    bool v4;
    bool local;     /* to ourselves */
    bool broadcast; /* IPv4: limited or of a subnet of the device */
    bool multicast;
};
/*
 * source: an address of ours that the caller is bound to, or NULL or the unspecified one. device:
 * index it is bound to, or 0. Releases what *route had before. Returns 0, -ENETUNREACH (no route),
 * -EHOSTUNREACH, -EACCES and such of a route that says so, -EINVAL, -ENODEV, -EADDRNOTAVAIL (source
 * is not ours, no address to send from), -ENOMEM. Thread context.
 */
int must_check route_lookup(struct ip_route *route, const struct net_addr *remote,
                            const struct net_addr *source, unsigned device);
void route_release(struct ip_route *route);
/* Counts each change of routes, addresses, devices and path MTUs; atomic. */
extern uint32_t route_generation;
static inline bool route_current(const struct ip_route *route)
{
    /* Acquire: what changed before it is seen by the lookup that follows. */
    return route->dev && route->generation == __atomic_load_n(&route_generation, __ATOMIC_ACQUIRE);
}
/* Payload of a packet without options: what a transport header and its data may have together. */
static inline uint32_t route_payload(const struct ip_route *route)
{
    return route->mtu - (route->v4 ? IP4_HEADER_LEN : IP6_HEADER_LEN);
}
/* The path to remote takes no more than mtu: an ICMP error said so and is believed (for TCP its
 * sequence number is in flight: RFC 5927, 7.2; for UDP that is done before its flow is told). What
 * route_lookup says for ten minutes (RFC 1191, 6.3). */
void route_mtu_learn(const struct net_addr *remote, uint32_t mtu);
/* The remote gives signs of life (a new acknowledgement): RFC 4861, 7.3.1. Cheap. */
void route_confirm(struct ip_route *route);

/* What a flow got but could not take, because it has gone: consumes; looks at it once more, later.
 * The packet is as input left it, the transport header perhaps skipped to. Any context. */
void ip_input_again(struct pkt *pkt);

/* ---- sending ---- */

struct ip_params {
    uint8_t protocol;       /* IPPROTO_* */
    uint8_t tos;            /* type of service, traffic class; with ECN bits */
    uint8_t ttl;            /* 0: the default */
    bool dont_fragment;     /* IPv4: DF; both: -EMSGSIZE rather than fragments */
    uint32_t flow_label;    /* IPv6: 20 bits, host order */
    const uint8_t *options; /* IPv4: options_len bytes, a multiple of 4, at most 40; NULL: none */
    uint8_t options_len;
    bool router_alert; /* IPv6: a hop-by-hop header with it (MLD) */
    bool no_loop;      /* to a group or to all: not to ourselves (IP_MULTICAST_LOOP off) */
};
/*
 * Send what begins with a transport header: pushes the IP header and the link header and hands it
 * to the device, or to the neighbour's queue until that has answered. `source`: NULL for
 * route->source. The transport has set pkt->checksum (and checksum_start, checksum_field), gso,
 * gso_size, hash; ip_output sets network and transport. Longer than the MTU without gso: fragments
 * (a partial checksum is completed first) or -EMSGSIZE. A gso packet's segments must fit.
 * Consumes in any case. 0, or what was dropped and counted: -EMSGSIZE, -ENOBUFS, -ENETDOWN,
 * -ENOMEM, -EHOSTUNREACH (the neighbour does not answer). Thread context; takes RANK_NEIGH,
 * RANK_NETDEV.
 */
int ip_output(const struct ip_route *route, struct pkt *pkt, const struct net_addr *source,
              const struct ip_params *params);

/* The sum of the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1), to be folded or added to: the same
 * for both versions, since ::ffff: adds a zero of ones' complement. len: of transport header and
 * data. In the byte order of memory, as lib/checksum.h. */
static inline uint32_t ip_pseudo_sum(const struct net_addr *source, const struct net_addr *remote,
                                     uint8_t protocol, uint32_t len)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(source->word); i++)
        sum += (uint64_t)source->word[i] + remote->word[i];
    return checksum_fold64(sum) + (uint32_t)__builtin_bswap16((uint16_t)protocol) +
           __builtin_bswap16((uint16_t)len) + __builtin_bswap16((uint16_t)(len >> 16));
}
/* Is the transport checksum of a received packet right? offset, len: of transport header and data.
 * True at once if somebody vouches for it (pkt->checksum). */
bool must_check ip_checksum_ok(const struct pkt *pkt, uint32_t offset, uint32_t len,
                               const struct net_addr *source, const struct net_addr *remote,
                               uint8_t protocol);

/* ---- addresses ---- */

extern const struct net_addr net_addr_any;    /* ::, also what an unbound socket has */
extern const struct net_addr net_addr_any_v4; /* ::ffff:0.0.0.0 */
static inline bool net_addr_is_any(const struct net_addr *a)
{
    return a->half[0] == 0 &&
           (a->half[1] == 0 || (a->half[1] == net_addr_any_v4.half[1] && net_addr_is_v4(a)));
}
static inline bool net_addr_is_multicast(const struct net_addr *a)
{
    return net_addr_is_v4(a) ? (a->bytes[12] & 0xf0) == 0xe0 : a->bytes[0] == 0xff;
}
static inline bool net_addr_is_loopback(const struct net_addr *a)
{
    return net_addr_is_v4(a) ? a->bytes[12] == 127
                             : a->half[0] == 0 && a->word[2] == 0 && a->bytes[12] == 0 &&
                                   a->bytes[13] == 0 && a->bytes[14] == 0 && a->bytes[15] == 1;
}
static inline bool net_addr_is_link_local(const struct net_addr *a) /* fe80::/10, 169.254/16 */
{
    return net_addr_is_v4(a) ? a->bytes[12] == 169 && a->bytes[13] == 254
                             : a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}
/* One that means nothing without a device (RFC 4007): link-local ones of IPv6, and its groups of an
 * interface or a link. */
static inline bool net_addr_has_scope(const struct net_addr *a)
{
    unsigned reach = a->bytes[1] & 0xf;
    return a->bytes[0] == 0xff ? reach == 1 || reach == 2
                               : !net_addr_is_v4(a) && net_addr_is_link_local(a);
}
/* An address of one of our devices (not tentative), or 127/8. device: index of the only one that
 * counts, 0: any. */
bool ip_is_local(const struct net_addr *address, unsigned device);
/* 255.255.255.255 or the broadcast address of a subnet of ours. */
bool ip_is_broadcast(const struct net_addr *address, unsigned device);
/* Take packets to a multicast group, and say so in the network (IGMP, MLD); counted. device 0: the
 * one of the group's route. -ENODEV, -EINVAL, -ENOMEM, -EADDRNOTAVAIL (leave: not a member). Thread
 * context; RANK_NET_CONFIG. */
int must_check ip_group_join(const struct net_addr *group, unsigned device);
int ip_group_leave(const struct net_addr *group, unsigned device);
bool ip_group_member(const struct net_addr *group, unsigned device);

/* ---- what comes in ---- */

/* An ICMP error about a packet that was ours, from its quoted beginning. */
struct ip_error {
    struct flow_key key; /* of the flow it is about: local is us */
    int error;           /* as SO_ERROR has it: positive errno */
    bool hard;           /* ends a connection attempt (RFC 1122, 4.2.3.9) */
    uint8_t type, code;  /* ICMP or ICMPv6 */
    uint32_t mtu;        /* error EMSGSIZE: what the path takes; of TCP believed by nobody yet */
    uint32_t sequence;   /* of TCP, host order: to be compared with what is in flight */
    struct net_addr offender; /* who says so */
    const uint8_t
        *payload; /* of our datagram (UDP: behind its header), as far as quoted; during the call */
    uint32_t payload_len;
    unsigned device;
};
/*
 * What a flow's channel gets: data at the IP header, nothing behind the packet's end, pkt->network
 * and pkt->transport set, all headers in the first piece, what lies before data left as it came
 * (pkt->link). The lengths were checked (classify.h), the transport's checksum was not
 * (ip_checksum_ok). Its errors come by flow_ops.error.
 *
 * The rest is set once at boot, before the first device, by who has sockets. NULL: nobody wants it.
 * In thread context without locks.
 */
/* A whole TCP segment to an address of ours that belongs to no flow, as a flow would get it: answer
 * it with RST. Consumes. */
extern void (*ip_no_flow_tcp)(struct pkt *pkt, const struct classified *about);
/* Sees each packet that is not a flow's: raw sockets. Does not consume; true: somebody took it, so
 * no "protocol unreachable" is sent. Packet as a flow would get it. */
extern bool (*ip_raw_input)(const struct pkt *pkt, const struct classified *about);
/* An ICMP error about another protocol's packet of ours, without ports; its payload has at least
 * eight bytes. */
extern void (*ip_raw_error)(const struct ip_error *error);
/* How many raw sockets of TCP and UDP there are: they see what is a flow's, too. Atomic, relaxed.
 */
extern uint32_t ip_raw_flows;

#endif
