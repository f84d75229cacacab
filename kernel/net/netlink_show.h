/* SPDX-License-Identifier: BSD-3-Clause */
/* netlink_show.h - messages of NETLINK_ROUTE (rtnetlink(7)), between netlink_route.c, which answers
 * requests, and netlink_show.c, which writes what they show. */
#ifndef SELKIE_NET_NETLINK_SHOW_H
#define SELKIE_NET_NETLINK_SHOW_H

#include "net/ifaddr.h"
#include "net/inet.h"
#include "net/neigh.h"
#include "net/netlink.h"
#include "net/route.h"

enum {
    RTM_NEWLINK = 16,
    RTM_GETLINK = 18,
    RTM_SETLINK = 19,
    RTM_NEWADDR = 20,
    RTM_DELADDR = 21,
    RTM_GETADDR = 22,
    RTM_NEWROUTE = 24,
    RTM_DELROUTE = 25,
    RTM_GETROUTE = 26,
    RTM_NEWNEIGH = 28,
    RTM_DELNEIGH = 29,
    RTM_GETNEIGH = 30,
};
enum {
    IFLA_ADDRESS = 1,
    IFLA_BROADCAST = 2,
    IFLA_IFNAME = 3,
    IFLA_MTU = 4,
    IFLA_QDISC = 6,
    IFLA_STATS = 7,
    IFLA_TXQLEN = 13,
    IFLA_OPERSTATE = 16,
    IFLA_STATS64 = 23,
    IFLA_GROUP = 27,
    IFLA_NUM_TX_QUEUES = 31,
    IFLA_NUM_RX_QUEUES = 32,
    IFLA_CARRIER = 33,
};
enum {
    IFA_ADDRESS = 1,
    IFA_LOCAL = 2,
    IFA_LABEL = 3,
    IFA_BROADCAST = 4,
    IFA_CACHEINFO = 6,
    IFA_FLAGS = 8,
};
enum {
    RTA_DST = 1,
    RTA_OIF = 4,
    RTA_GATEWAY = 5,
    RTA_PRIORITY = 6,
    RTA_PREFSRC = 7,
    RTA_METRICS = 8,
    RTA_MULTIPATH = 9,
    RTA_CACHEINFO = 12,
    RTA_TABLE = 15,
    RTA_VIA = 18,
};
enum { NDA_DST = 1, NDA_LLADDR = 2 };
#define RTM_F_CLONED 0x200u
enum { RT_TABLE_DEFAULT = 253, RT_TABLE_MAIN = 254, RT_TABLE_LOCAL = 255 };
enum { RTM_NEWRULE = 32, RTM_GETRULE = 34, FR_ACT_TO_TBL = 1 };
enum { RTM_GETNEXTHOP = 106 };
enum { FRA_PRIORITY = 6, FRA_SUPPRESS_PREFIXLEN = 14, FRA_TABLE = 15, FRA_PROTOCOL = 21 };
#define IFF_LOWER_UP 0x10000u
enum { OPERSTATE_UNKNOWN = 0, OPERSTATE_DOWN = 2, OPERSTATE_UP = 6 };

struct ifinfomsg {
    uint8_t family, pad;
    uint16_t type;
    int32_t index;
    uint32_t flags, change;
};
struct ifaddrmsg {
    uint8_t family, prefix, flags, scope;
    uint32_t index;
};
struct rtmsg {
    uint8_t family, dest_len, source_len, tos, table, protocol, scope, type;
    uint32_t flags;
};
struct ndmsg {
    uint8_t family, pad[3];
    int32_t index;
    uint16_t state;
    uint8_t flags, type;
};

static inline bool is_dump(const struct nlmsghdr *request)
{
    return request && (request->flags & NLM_F_DUMP) == NLM_F_DUMP;
}

static inline uint8_t family_of(const struct net_addr *a)
{
    return net_addr_is_v4(a) ? AF_INET : AF_INET6;
}

/* One message each. */
void put_link(struct netlink_out *out, const struct netdev *dev);
void put_ifaddr(struct netlink_out *out, uint16_t type, const struct ifaddr *ifa);
void put_route(struct netlink_out *out, uint16_t type, const struct route_entry *r);
void put_neighbour(struct netlink_out *out, uint16_t type, const struct neigh_view *n);

#endif
