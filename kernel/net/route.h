/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * route.h - the routing table, for those who change and show it. Looking up is in ip.h.
 */
#ifndef SELKIE_NET_ROUTE_H
#define SELKIE_NET_ROUTE_H

#include "net/ifaddr.h"
#include "net/ip.h"

enum route_type { /* RTN_* */
                  ROUTE_UNICAST = 1,
                  ROUTE_LOCAL = 2,
                  ROUTE_BROADCAST = 3,
                  ROUTE_MULTICAST = 5,
                  ROUTE_BLACKHOLE = 6,
                  ROUTE_UNREACHABLE = 7,
                  ROUTE_PROHIBIT = 8,
};
enum { /* RTPROT_* */
       ROUTE_BY_KERNEL = 2,
       ROUTE_BY_BOOT = 3,
       ROUTE_STATIC = 4,
       ROUTE_BY_RA = 9,
       ROUTE_BY_DHCP = 16,
};
struct route_entry {
    struct net_addr dest; /* bits behind the prefix are zero */
    uint8_t prefix;       /* 0..32 or 0..128 */
    uint8_t type, protocol, scope;
    struct netdev *dev;
    struct net_addr gateway; /* unspecified: on the link */
    struct net_addr source;  /* unspecified: choose */
    uint32_t metric, mtu;    /* mtu 0: the device's */
    uint64_t expires_ns;     /* 0: never */
    bool found;              /* no route of the table, but the way to one address */
};
#define ROUTES_MAX 4096u

/* -EEXIST, -EINVAL, -ENETUNREACH (no way to the gateway), -ENOBUFS, -ENOMEM. replace: instead of
 * one with the same destination, metric and (if given) device. Thread context. */
int must_check route_add(const struct route_entry *entry, bool replace);
/* The first that matches what is given (dev NULL, gateway unspecified, metric 0, protocol 0: any).
 * -ESRCH. */
int must_check route_remove(const struct route_entry *entry);
/* With net_config held. */
int must_check route_add_locked(const struct route_entry *entry, bool replace);
int must_check route_remove_locked(const struct route_entry *entry);
/* All by a device (it went down), or of one protocol by it (0: all). */
void route_flush(struct netdev *dev, uint8_t protocol);
/* Take out what has expired; when the next does, UINT64_MAX: never. */
uint64_t route_expire(uint64_t now_ns);
/* Copies from number `from` on; how many. */
unsigned route_list(struct route_entry *out, unsigned from, unsigned max);
/* Told of each route that came or went (netlink), under net_config; set at boot. */
extern void (*route_told)(const struct route_entry *entry, bool added);
/* Something changed: whoever keeps an ip_route looks again. */
void route_changed(void);
#endif
