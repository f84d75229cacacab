/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * neigh.h - neighbours: from the address of the next hop to that of its link, by ARP (RFC 826) or
 * neighbour discovery (RFC 4861), with the latter's states for both.
 */
#ifndef SELKIE_NET_NEIGH_H
#define SELKIE_NET_NEIGH_H

#include "drv/netdev.h"
#include "lib/list.h"
#include "lib/refcount.h"
#include "net/classify.h"

#define NEIGH_MAX 1024u /* entries */
#define NEIGH_QUEUE_MAX \
    128u /* packets that wait for one: a burst of answers to strangers is not lost */
#define NEIGH_QUEUE_TOTAL 1024u /* and for all */

/* As netlink and Linux have them (NUD_*). */
enum neigh_state {
    NEIGH_NONE = 0,
    NEIGH_INCOMPLETE = 0x01,
    NEIGH_REACHABLE = 0x02,
    NEIGH_STALE = 0x04,
    NEIGH_DELAY = 0x08,
    NEIGH_PROBE = 0x10,
    NEIGH_FAILED = 0x20,
    NEIGH_PERMANENT = 0x80,
};

struct neigh {
    struct list link; /* the table's; under its lock, as is all but what is said to be atomic */
    struct netdev *dev;
    struct net_addr address;
    struct refcount refs; /* the table's own while linked, and routes' */
    uint8_t state;        /* enum neigh_state; atomic */
    bool router;          /* IPv6 */
    uint8_t probes;       /* sent in this state */
    uint64_t ether;       /* link address, first byte lowest; NEIGH_KNOWN if there is one; atomic */
    uint64_t confirmed_ns;  /* signs of life; atomic */
    uint64_t deadline_ns;   /* of the state; UINT64_MAX: none */
    uint64_t used_ns;       /* last looked up */
    struct pkt_queue queue; /* wait for the link address */
};
#define NEIGH_KNOWN (1ull << 63)

/* The entry for an address on a device, made if need be, with a reference. NULL: the table is full
 * of entries in use, or no memory. Thread context. */
struct neigh *neigh_get(struct netdev *dev, const struct net_addr *address);
void neigh_put(struct neigh *neigh);
/* Packets that wait for a link address. */
unsigned neigh_waiting(void);
/* Send an IP packet to it: consumes. As netdev_send; -ENOBUFS: too many wait. */
int neigh_output(struct neigh *neigh, struct pkt *pkt);
/* The upper layer knows that it is there. */
void neigh_confirm(struct neigh *neigh);

enum {
    NEIGH_CREATE = 1,    /* make an entry if there is none (in state STALE, or as said) */
    NEIGH_OVERRIDE = 2,  /* the link address may change */
    NEIGH_SOLICITED = 4, /* it is an answer: reachable */
    NEIGH_IS_ROUTER = 8,
    NEIGH_ROUTER_KNOWN = 16, /* what NEIGH_IS_ROUTER says counts */
    NEIGH_SET_PERMANENT = 32,
};
/* Somebody says what the link address is. ether: NULL if only that it is there. */
void neigh_learn(struct netdev *dev, const struct net_addr *address, const uint8_t *ether,
                 unsigned how);
/* -ENOENT. Packets that wait are dropped. */
int must_check neigh_remove(struct netdev *dev, const struct net_addr *address);
/* The device went down: all of it. */
void neigh_flush(struct netdev *dev);
/* A copy of each entry, for /proc/net/arp and netlink; fn may sleep. */
struct neigh_view {
    struct netdev *dev;
    struct net_addr address;
    uint8_t state, ether[ETHER_ADDR_LEN];
    bool known, router;
    uint64_t confirmed_ns, used_ns;
};
/* From entry number `from` on: how many were written (at most `max`). */
unsigned neigh_list(struct neigh_view *out, unsigned from, unsigned max);

/* Told of each change of a state (netlink), under the table's spinlock; set at boot. */
extern void (*neigh_told)(const struct neigh_view *view, bool gone);

int must_check neigh_init(void); /* boot */

/* Asks for the link address: arp.c, nd6.c. unicast: to the one known, to see if it is still there;
 * NULL: everybody. */
void arp_solicit(struct netdev *dev, const struct net_addr *address, const uint8_t *unicast);
void nd6_solicit(struct netdev *dev, const struct net_addr *address, const uint8_t *unicast);
/* The neighbour of a packet does not answer: tell who sent it. Consumes. (icmp.c) */
void ip_unreachable_neighbour(struct pkt *pkt);

#endif
