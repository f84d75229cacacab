/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ifaddr.h - the addresses of devices and the multicast groups they are members of.
 *
 * Readers are RCU sections; writers hold net_config. An address brings the route to its subnet.
 */
#ifndef SELKIE_NET_IFADDR_H
#define SELKIE_NET_IFADDR_H

#include "core/mutex.h"
#include "core/rcu.h"
#include "drv/netdev.h"
#include "net/classify.h"

/* IFA_F_*, as netlink shows them. */
enum {
    IFADDR_DEPRECATED = 0x20,
    IFADDR_TENTATIVE = 0x40, /* duplicate address detection runs (RFC 4862, 5.4) */
    IFADDR_PERMANENT = 0x80,
    IFADDR_FAILED = 0x08,   /* a duplicate: not used */
    IFADDR_AUTO = 0x100,    /* of a router's prefix */
    IFADDR_DYNAMIC = 0x400, /* DHCP; not shown */
};
enum {
    SCOPE_UNIVERSE = 0,
    SCOPE_SITE = 200,
    SCOPE_LINK = 253,
    SCOPE_HOST = 254,
    SCOPE_NOWHERE = 255
};

struct ifaddr {
    struct ifaddr *next; /* atomic */
    struct rcu_head rcu;
    struct netdev *dev;
    struct net_addr address;
    struct net_addr broadcast; /* IPv4, /30 and shorter; else unspecified */
    uint8_t prefix;            /* 0..32 or 0..128 */
    uint8_t scope;
    uint32_t flags;     /* atomic */
    uint64_t probed_ns; /* by duplicate address detection; 0: not yet; atomic */
    uint64_t preferred_until_ns, valid_until_ns; /* UINT64_MAX: for ever; atomic */
};

extern struct mutex net_config; /* RANK_NET_CONFIG */
void ifaddr_init(void);         /* boot */

struct ifaddr_info {
    struct netdev *dev;
    struct net_addr address;
    uint8_t prefix;
    uint32_t flags;
    uint64_t preferred_until_ns, valid_until_ns; /* 0: for ever */
};
/* -EEXIST, -EINVAL (prefix, kind of address), -ENOBUFS (too many), -ENOMEM. Thread context. */
int must_check ifaddr_add(const struct ifaddr_info *info);
int must_check ifaddr_remove(struct netdev *dev,
                             const struct net_addr *address); /* EADDRNOTAVAIL */
/* New lifetimes, flags cleared and set. -EADDRNOTAVAIL. */
int must_check ifaddr_change(struct netdev *dev, const struct net_addr *address, uint32_t clear,
                             uint32_t set, uint64_t preferred_until_ns, uint64_t valid_until_ns);

/* In an RCU section: the first one; then ifaddr_next. */
struct ifaddr *ifaddr_first(void);
struct ifaddr *ifaddr_next(const struct ifaddr *ifa);
/* In an RCU section: ours, if tentative ones count or not; device 0: any. NULL: not ours. */
struct ifaddr *ifaddr_find(const struct net_addr *address, unsigned device, bool tentative);
/* The address to send from to `remote` by `dev`: false if there is none. */
bool ifaddr_source(struct netdev *dev, const struct net_addr *remote, const struct net_addr *via,
                   struct net_addr *out);
/* Are the first `bits` bits of both the same? Of v4-mapped addresses: bits of the 128. */
bool net_addr_match(const struct net_addr *a, const struct net_addr *b, unsigned bits);
uint8_t net_addr_scope(const struct net_addr *a);
/* Bits of the 128 of a prefix in the family's own count. */
static inline unsigned net_addr_bits(const struct net_addr *a, unsigned prefix)
{
    return net_addr_is_v4(a) ? prefix + 96 : prefix;
}

/* Groups: a copy of each membership. */
struct group_view {
    struct net_addr group;
    unsigned device, users;
};
unsigned group_list(struct group_view *out, unsigned from, unsigned max);
/* Told of changes of addresses (netlink, nd6); thread context, no lock held. Set at boot. */
extern void (*ifaddr_changed)(struct netdev *dev, const struct net_addr *address, uint8_t prefix,
                              uint32_t flags, bool added);
/* Reports of membership: igmp.c, mld.c. */
void igmp_report(struct netdev *dev, const struct net_addr *group, bool join);
void mld_report(struct netdev *dev, const struct net_addr *group, bool join);

#endif
