/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlink_show.c - links, addresses, routes and neighbours as messages of NETLINK_ROUTE: for
 * answers (netlink_route.c), and for the groups of those who want to be told of changes (RTMGRP_*;
 * ip monitor, Go, systemd).
 *
 * Changes come from the hooks of netdev, ifaddr, route and neigh, some of them under locks; see
 * netlink_notify. While nobody listens a hook costs a look at the list of netlink sockets.
 */
#include "net/netlink_show.h"

#include "core/rcu.h"
#include "lib/string.h"
#include "sched/timer.h"

enum { /* RTNLGRP_* */
       GROUP_LINK = 1,
       GROUP_NEIGH = 3,
       GROUP_IFADDR4 = 5,
       GROUP_ROUTE4 = 7,
       GROUP_IFADDR6 = 9,
       GROUP_ROUTE6 = 11,
};
/* Wanted by sockets, not by the administrator (Linux: dev_get_flags). */
#define FLAGS_HIDDEN (NETDEV_PROMISC | NETDEV_ALLMULTI)

#define MULTI(out) ((uint16_t)(is_dump((out)->request) ? NLM_F_MULTI : 0))

static void put_address(struct netlink_out *out, uint16_t attribute, const struct net_addr *a)
{
    if (net_addr_is_v4(a))
        netlink_put(out, attribute, &a->word[3], 4);
    else
        netlink_put(out, attribute, a->bytes, 16);
}

/* struct rtnl_link_stats64 and its older form of 32-bit numbers have the same order. */
enum { STATS_COUNT = 25, STATS_OLD_COUNT = 24 };

static void put_stats(struct netlink_out *out, const struct netdev *dev)
{
    struct netdev_stats s;
    uint64_t wide[STATS_COUNT] = {0};
    uint32_t narrow[STATS_OLD_COUNT];
    netdev_get_stats(dev, &s);
    wide[0] = s.rx_packets;
    wide[1] = s.tx_packets;
    wide[2] = s.rx_bytes;
    wide[3] = s.tx_bytes;
    wide[4] = s.rx_errors;
    wide[5] = s.tx_errors;
    wide[6] = s.rx_dropped;
    wide[7] = s.tx_dropped;
    wide[8] = s.rx_multicast;
    for (int i = 0; i < STATS_OLD_COUNT; i++)
        narrow[i] = (uint32_t)wide[i];
    netlink_put(out, IFLA_STATS64, wide, sizeof(wide));
    netlink_put(out, IFLA_STATS, narrow, sizeof(narrow));
}

void put_link(struct netlink_out *out, const struct netdev *dev)
{
    uint32_t flags = __atomic_load_n(&dev->flags, __ATOMIC_RELAXED);
    bool running = flags & NETDEV_RUNNING, is_lo = flags & NETDEV_LOOPBACK;
    uint8_t broadcast[ETHER_ADDR_LEN], carrier = running;
    uint8_t state = is_lo ? OPERSTATE_UNKNOWN : running ? OPERSTATE_UP : OPERSTATE_DOWN;
    memset(broadcast, is_lo ? 0 : 0xff, sizeof(broadcast));
    struct ifinfomsg info = {
        .type = dev->type,
        .index = (int32_t)dev->index,
        .flags = (flags & ~FLAGS_HIDDEN) | (running ? IFF_LOWER_UP : 0),
    };
    netlink_begin(out, RTM_NEWLINK, MULTI(out), &info, sizeof(info));
    netlink_put_string(out, IFLA_IFNAME, dev->name);
    netlink_put_u32(out, IFLA_TXQLEN, NETDEV_TXQLEN);
    netlink_put(out, IFLA_OPERSTATE, &state, sizeof(state));
    netlink_put_u32(out, IFLA_MTU, __atomic_load_n(&dev->mtu, __ATOMIC_RELAXED));
    netlink_put_u32(out, IFLA_GROUP, 0);
    netlink_put_u32(out, IFLA_NUM_TX_QUEUES, dev->queue_count);
    netlink_put_u32(out, IFLA_NUM_RX_QUEUES, dev->queue_count);
    netlink_put(out, IFLA_CARRIER, &carrier, sizeof(carrier));
    netlink_put_string(out, IFLA_QDISC, is_lo ? "noqueue" : "fifo");
    netlink_put(out, IFLA_ADDRESS, dev->address, sizeof(dev->address));
    netlink_put(out, IFLA_BROADCAST, broadcast, sizeof(broadcast));
    put_stats(out, dev);
    netlink_end(out);
}

static uint32_t seconds_until(uint64_t until_ns)
{
    if (until_ns == UINT64_MAX)
        return UINT32_MAX;
    uint64_t now = clock_mono_ns();
    return until_ns > now ? (uint32_t)MIN((until_ns - now) / NS_PER_SEC, UINT32_MAX - 1ull) : 0;
}

void put_ifaddr(struct netlink_out *out, uint16_t type, const struct ifaddr *ifa)
{
    uint32_t flags = __atomic_load_n(&ifa->flags, __ATOMIC_RELAXED) & 0xff;
    bool v4 = net_addr_is_v4(&ifa->address);
    struct ifaddrmsg msg = {
        .family = family_of(&ifa->address),
        .prefix = ifa->prefix,
        .flags = (uint8_t)flags,
        .scope = ifa->scope,
        .index = ifa->dev->index,
    };
    uint32_t cache[4] = {seconds_until(__atomic_load_n(&ifa->preferred_until_ns, __ATOMIC_RELAXED)),
                         seconds_until(__atomic_load_n(&ifa->valid_until_ns, __ATOMIC_RELAXED)), 0,
                         0};
    netlink_begin(out, type, MULTI(out), &msg, sizeof(msg));
    put_address(out, IFA_ADDRESS, &ifa->address);
    if (v4) {
        put_address(out, IFA_LOCAL, &ifa->address);
        if (!net_addr_is_any(&ifa->broadcast))
            put_address(out, IFA_BROADCAST, &ifa->broadcast);
        netlink_put_string(out, IFA_LABEL, ifa->dev->name);
    }
    netlink_put_u32(out, IFA_FLAGS, flags);
    netlink_put(out, IFA_CACHEINFO, cache, sizeof(cache));
    netlink_end(out);
}

void put_route(struct netlink_out *out, uint16_t type, const struct route_entry *r)
{
    struct rtmsg msg = {
        .family = family_of(&r->dest),
        .dest_len = r->prefix,
        .table =
            r->type == ROUTE_LOCAL || r->type == ROUTE_BROADCAST ? RT_TABLE_LOCAL : RT_TABLE_MAIN,
        .protocol = r->protocol,
        .scope = r->scope,
        .type = r->type,
        .flags = r->found ? RTM_F_CLONED : 0,
    };
    netlink_begin(out, type, MULTI(out), &msg, sizeof(msg));
    netlink_put_u32(out, RTA_TABLE, msg.table);
    if (r->prefix)
        put_address(out, RTA_DST, &r->dest);
    if (r->dev)
        netlink_put_u32(out, RTA_OIF, r->dev->index);
    if (!net_addr_is_any(&r->source))
        put_address(out, RTA_PREFSRC, &r->source);
    if (!net_addr_is_any(&r->gateway))
        put_address(out, RTA_GATEWAY, &r->gateway);
    if (r->metric)
        netlink_put_u32(out, RTA_PRIORITY, r->metric);
    if (r->mtu) {
        uint16_t metrics[4] = {8, 2}; /* one nested attribute: RTAX_MTU */
        memcpy(metrics + 2, &r->mtu, sizeof(r->mtu));
        netlink_put(out, RTA_METRICS, metrics, sizeof(metrics));
    }
    if (r->found) { /* with nothing to say, as Linux has it; nmap counts on something last */
        static const uint32_t cache[8];
        netlink_put(out, RTA_CACHEINFO, cache, sizeof(cache));
    }
    netlink_end(out);
}

void put_neighbour(struct netlink_out *out, uint16_t type, const struct neigh_view *n)
{
    struct ndmsg msg = {
        .family = family_of(&n->address),
        .index = (int32_t)n->dev->index,
        .state = n->state,
        .flags = n->router ? 0x80 : 0, /* NTF_ROUTER */
        .type = ROUTE_UNICAST,
    };
    netlink_begin(out, type, MULTI(out), &msg, sizeof(msg));
    put_address(out, NDA_DST, &n->address);
    if (n->known)
        netlink_put(out, NDA_LLADDR, n->ether, sizeof(n->ether));
    netlink_end(out);
}

/* ---- who wants to be told ---- */

void netlink_link_changed(struct netdev *dev)
{
    struct netlink_out out = {.group = GROUP_LINK};
    if (!netlink_wanted(out.group))
        return;
    put_link(&out, dev);
    netlink_notify(&out);
}

static void address_changed(struct netdev *dev, const struct net_addr *address, uint8_t prefix,
                            uint32_t flags, bool added)
{
    struct netlink_out out = {.group = net_addr_is_v4(address) ? GROUP_IFADDR4 : GROUP_IFADDR6};
    if (!netlink_wanted(out.group))
        return;
    struct ifaddr gone = {.dev = dev,
                          .address = *address,
                          .prefix = prefix,
                          .scope = net_addr_scope(address),
                          .flags = flags,
                          .preferred_until_ns = UINT64_MAX,
                          .valid_until_ns = UINT64_MAX};
    unsigned token = rcu_read_lock();
    const struct ifaddr *ifa = added ? ifaddr_find(address, dev->index, true) : NULL;
    put_ifaddr(&out, added ? RTM_NEWADDR : RTM_DELADDR, ifa ? ifa : &gone);
    rcu_read_unlock(token);
    netlink_notify(&out);
}

/* Under net_config. */
static void route_changed_here(const struct route_entry *r, bool added)
{
    struct netlink_out out = {.group = net_addr_is_v4(&r->dest) ? GROUP_ROUTE4 : GROUP_ROUTE6};
    if (!netlink_wanted(out.group))
        return;
    put_route(&out, added ? RTM_NEWROUTE : RTM_DELROUTE, r);
    netlink_notify(&out);
}

/* Under the lock of the table of neighbours. As on Linux, the steps in between are not told. */
static void neighbour_changed(const struct neigh_view *n, bool gone)
{
    struct netlink_out out = {.group = GROUP_NEIGH};
    bool tell = gone || n->state == NEIGH_REACHABLE || n->state == NEIGH_STALE ||
                n->state == NEIGH_FAILED || n->state == NEIGH_PERMANENT;
    if (!tell || !netlink_wanted(out.group))
        return;
    put_neighbour(&out, gone ? RTM_DELNEIGH : RTM_NEWNEIGH, n);
    netlink_notify(&out);
}

void netlink_route_init(void)
{
    ifaddr_changed = address_changed;
    route_told = route_changed_here;
    neigh_told = neighbour_changed;
}
