/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlink_route.c - NETLINK_ROUTE (rtnetlink(7)): links, addresses, routes, neighbours shown, and
 * changed by root: what getifaddrs, ip(8), Go and Java ask.
 *
 * A dump takes copies, some at a time (route_list, neigh_list), or walks lists that are read under
 * RCU; so it is no snapshot of one moment. If anything changed meanwhile it says so
 * (NLM_F_DUMP_INTR), as on Linux, and programs ask again.
 *
 * There is one table of routes: what names another than main and local is refused, not put there.
 */
#include "core/rcu.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "net/netlink_show.h"
#include "sched/timer.h"

const void *netlink_find(const uint8_t *list, uint32_t list_len, uint16_t type, uint32_t least,
                         uint32_t *len)
{
    for (uint32_t at = 0; list_len - at >= 4;) {
        uint16_t header[2]; /* length, type */
        memcpy(header, list + at, sizeof(header));
        if (header[0] < 4 || header[0] > list_len - at)
            return NULL;
        if ((header[1] & 0x3fff) == type && header[0] - 4u >= least) {
            if (len)
                *len = header[0] - 4u;
            return list + at + 4;
        }
        at += MIN(NETLINK_ALIGN(header[0]), list_len - at);
    }
    return NULL;
}

/* The fixed part of a request: 0 or -EINVAL. `*list`: the attributes. */
static int fixed_part(const struct netlink_request *request, void *fixed, uint32_t size,
                      const uint8_t **list, uint32_t *list_len)
{
    if (request->body_len < size)
        return -EINVAL;
    memcpy(fixed, request->body, size);
    uint32_t skip = MIN(NETLINK_ALIGN(size), request->body_len);
    *list = request->body + skip;
    *list_len = request->body_len - skip;
    return 0;
}

/* An address attribute of a family. False: not there. */
static bool find_address(const uint8_t *list, uint32_t len, uint16_t attribute, uint8_t family,
                         struct net_addr *out)
{
    uint32_t size = family == AF_INET ? 4 : 16;
    const void *data = netlink_find(list, len, attribute, size, NULL);
    if (!data)
        return false;
    uint32_t word;
    if (family == AF_INET) {
        memcpy(&word, data, sizeof(word));
        *out = net_addr_v4(word);
    } else {
        memcpy(out->bytes, data, sizeof(out->bytes));
    }
    return true;
}

static uint32_t find_u32(const uint8_t *list, uint32_t len, uint16_t attribute, uint32_t otherwise)
{
    uint32_t value = otherwise;
    const void *data = netlink_find(list, len, attribute, sizeof(value), NULL);
    if (data)
        memcpy(&value, data, sizeof(value));
    return value;
}

static bool family_ok(uint8_t family)
{
    return family == AF_INET || family == AF_INET6;
}

/* An error, and what it means here. */
static int refuse(struct netlink_out *out, int err, const char *why)
{
    out->why = why;
    return err;
}

/* ---- links ---- */

/* By index or name. */
static struct netdev *find_link(const struct ifinfomsg *info, const uint8_t *list, uint32_t len)
{
    char name[NETDEV_NAME_MAX] = "";
    uint32_t size;
    if (info->index > 0)
        return netdev_by_index((unsigned)info->index);
    const void *data = netlink_find(list, len, IFLA_IFNAME, 1, &size);
    if (data)
        memcpy(name, data, MIN(size, (uint32_t)sizeof(name) - 1));
    return data ? netdev_by_name(name) : NULL;
}

static int get_link(const struct netlink_request *request, struct netlink_out *out)
{
    struct ifinfomsg info = {.index = 0};
    const uint8_t *list = NULL;
    uint32_t len = 0;
    if (is_dump(request->header)) { /* glibc's fixed part is a single byte */
        for (struct netdev *dev = netdev_first(); dev; dev = dev->next)
            put_link(out, dev);
        return 0;
    }
    int err = fixed_part(request, &info, sizeof(info), &list, &len);
    if (err)
        return err;
    struct netdev *dev = find_link(&info, list, len);
    if (!dev)
        return -ENODEV;
    put_link(out, dev);
    return 0;
}

static int change_mtu(struct netdev *dev, const void *attribute, struct netlink_out *out)
{
    uint32_t mtu;
    memcpy(&mtu, attribute, sizeof(mtu));
    int err = netdev_set_mtu(dev, mtu);
    return err == -EINVAL ? refuse(out, err, "mtu is not one that the device can have") : err;
}

/* RTM_NEWLINK, RTM_SETLINK: up and down, the MTU. */
static int set_link(const struct netlink_request *request, struct netlink_out *out)
{
    struct ifinfomsg info;
    const uint8_t *list;
    uint32_t len, size, flags = request->header->flags;
    int err = fixed_part(request, &info, sizeof(info), &list, &len);
    if (err)
        return err;
    struct netdev *dev = find_link(&info, list, len);
    bool make = request->header->type == RTM_NEWLINK && flags & NLM_F_CREATE;
    if (!dev)
        return make ? refuse(out, -EOPNOTSUPP, "devices cannot be made") : -ENODEV;
    if (make && flags & NLM_F_EXCL)
        return -EEXIST;
    const char *name = netlink_find(list, len, IFLA_IFNAME, 1, &size);
    if (name && strncmp(name, dev->name, size) != 0)
        return refuse(out, -EOPNOTSUPP, "devices keep their names");
    const void *ether = netlink_find(list, len, IFLA_ADDRESS, ETHER_ADDR_LEN, NULL);
    if (ether && memcmp(ether, dev->address, ETHER_ADDR_LEN) != 0)
        return refuse(out, -EOPNOTSUPP, "devices keep their addresses");
    const void *mtu = netlink_find(list, len, IFLA_MTU, sizeof(uint32_t), NULL);
    if (mtu)
        err = change_mtu(dev, mtu, out);
    uint32_t change = info.change ? info.change : info.flags ? UINT32_MAX : 0;
    if (err == 0 && change & NETDEV_UP)
        err = netdev_set_up(dev, info.flags & NETDEV_UP);
    return err;
}

/* ---- addresses ---- */

static int get_addresses(const struct netlink_request *request, struct netlink_out *out)
{
    uint8_t family = request->body_len ? request->body[0] : 0;
    if (!is_dump(request->header))
        return -EOPNOTSUPP;
    unsigned token = rcu_read_lock(); /* which may sleep for memory */
    for (struct ifaddr *ifa = ifaddr_first(); ifa; ifa = ifaddr_next(ifa))
        if (!family || family == family_of(&ifa->address))
            put_ifaddr(out, RTM_NEWADDR, ifa);
    rcu_read_unlock(token);
    return 0;
}

/* Seconds of struct ifa_cacheinfo from now on, 0: for ever (struct ifaddr_info). */
static uint64_t until(uint32_t seconds)
{
    return seconds == UINT32_MAX ? 0 : clock_mono_ns() + seconds * NS_PER_SEC;
}

static int add_address(const struct netlink_request *request, struct ifaddr_info *info,
                       const uint8_t *list, uint32_t len, struct netlink_out *out)
{
    uint32_t cache[2] = {UINT32_MAX, UINT32_MAX},
             flags = request->header->flags; /* preferred, valid */
    const void *said = netlink_find(list, len, IFA_CACHEINFO, sizeof(cache), NULL);
    if (said)
        memcpy(cache, said, sizeof(cache));
    if (cache[1] == 0 || cache[0] > cache[1])
        return refuse(out, -EINVAL, "lifetimes: preferred is at most valid, and that is not 0");
    info->preferred_until_ns = until(cache[0]);
    info->valid_until_ns = until(cache[1]);
    if (cache[1] == UINT32_MAX)
        info->flags = IFADDR_PERMANENT;
    int err = ifaddr_add(info);
    if (err != -EEXIST || flags & NLM_F_EXCL || !(flags & NLM_F_REPLACE))
        return err;
    return ifaddr_change(info->dev, &info->address, IFADDR_PERMANENT | IFADDR_DEPRECATED,
                         info->flags,
                         info->preferred_until_ns ? info->preferred_until_ns : UINT64_MAX,
                         info->valid_until_ns ? info->valid_until_ns : UINT64_MAX);
}

static int change_address(const struct netlink_request *request, bool add, struct netlink_out *out)
{
    struct ifaddrmsg msg;
    const uint8_t *list;
    uint32_t len;
    struct net_addr address;
    int err = fixed_part(request, &msg, sizeof(msg), &list, &len);
    if (err)
        return err;
    if (!family_ok(msg.family))
        return -EAFNOSUPPORT;
    struct netdev *dev = netdev_by_index(msg.index);
    if (!dev)
        return -ENODEV;
    if (!find_address(list, len, IFA_LOCAL, msg.family, &address) &&
        !find_address(list, len, IFA_ADDRESS, msg.family, &address))
        return refuse(out, -EINVAL, "there is no address in it");
    if (msg.prefix > (msg.family == AF_INET ? 32 : 128))
        return refuse(out, -EINVAL, "the prefix is too long");
    if (!add)
        return ifaddr_remove(dev, &address);
    struct ifaddr_info info = {.dev = dev, .address = address, .prefix = msg.prefix};
    return add_address(request, &info, list, len, out);
}

/* ---- routes ---- */

static int dump_routes(const struct netlink_request *request, struct netlink_out *out)
{
    uint8_t family = request->body_len ? request->body[0] : 0;
    struct route_entry some[8];
    unsigned from = 0, n;
    while ((n = route_list(some, from, ARRAY_COUNT(some))) > 0) {
        for (unsigned i = 0; i < n; i++)
            if (!family || family == family_of(&some[i].dest))
                put_route(out, RTM_NEWROUTE, &some[i]);
        from += n;
    }
    return 0;
}

/* "ip route get": the way to one address. */
static int get_route(const struct netlink_request *request, struct netlink_out *out)
{
    struct rtmsg msg;
    const uint8_t *list;
    uint32_t len;
    struct net_addr dest, source = net_addr_any;
    struct ip_route route = {.dev = NULL};
    int err = fixed_part(request, &msg, sizeof(msg), &list, &len);
    if (err)
        return err;
    if (!family_ok(msg.family))
        return -EAFNOSUPPORT;
    if (!find_address(list, len, RTA_DST, msg.family, &dest))
        return -EINVAL;
    (void)find_address(list, len, 2, msg.family, &source); /* RTA_SRC */
    err = route_lookup(&route, &dest, &source, find_u32(list, len, RTA_OIF, 0));
    if (err)
        return err;
    struct route_entry entry = {
        .dest = dest,
        .prefix = net_addr_is_v4(&dest) ? 32 : 128,
        .type = route.local       ? ROUTE_LOCAL
                : route.broadcast ? ROUTE_BROADCAST
                                  : ROUTE_UNICAST,
        .dev = route.dev,
        .source = route.source,
        .found = true,
    };
    if (!net_addr_equal(&route.next_hop, &dest))
        entry.gateway = route.next_hop;
    put_route(out, RTM_NEWROUTE, &entry);
    route_release(&route);
    return 0;
}

/* A nested list: RTAX_MTU of it; other metrics are TCP's to find out. */
static uint32_t find_mtu(const uint8_t *list, uint32_t len)
{
    uint32_t size;
    const uint8_t *metrics = netlink_find(list, len, RTA_METRICS, 0, &size);
    return metrics ? find_u32(metrics, size, 2, 0) : 0;
}

/* What the request says of a route. */
static int route_of(const struct netlink_request *request, struct route_entry *entry,
                    struct netlink_out *out)
{
    struct rtmsg msg;
    const uint8_t *list;
    uint32_t len;
    int err = fixed_part(request, &msg, sizeof(msg), &list, &len);
    if (err)
        return err;
    if (!family_ok(msg.family))
        return -EAFNOSUPPORT;
    uint32_t table = find_u32(list, len, RTA_TABLE, msg.table);
    if (table != 0 && table != RT_TABLE_MAIN && table != RT_TABLE_LOCAL)
        return refuse(out, -EOPNOTSUPP, "there is one table of routes, main");
    if (netlink_find(list, len, RTA_MULTIPATH, 0, NULL) ||
        netlink_find(list, len, RTA_VIA, 0, NULL))
        return refuse(out, -EOPNOTSUPP, "a route has one next hop, of its own family");
    if (msg.dest_len > (msg.family == AF_INET ? 32 : 128) || msg.source_len)
        return refuse(out, -EINVAL, "the prefix is too long, or one of a source");
    *entry = (struct route_entry){
        .dest = msg.family == AF_INET ? net_addr_any_v4 : net_addr_any,
        .prefix = msg.dest_len,
        .type = msg.type,
        .protocol = msg.protocol,
        .scope = msg.scope,
        .metric = find_u32(list, len, RTA_PRIORITY, 0),
        .mtu = find_mtu(list, len),
    };
    uint32_t device = find_u32(list, len, RTA_OIF, 0);
    (void)find_address(list, len, RTA_DST, msg.family, &entry->dest);
    (void)find_address(list, len, RTA_GATEWAY, msg.family, &entry->gateway);
    (void)find_address(list, len, RTA_PREFSRC, msg.family, &entry->source);
    entry->dev = device ? netdev_by_index(device) : NULL;
    return device && !entry->dev ? -ENODEV : 0;
}

/* There is one with this destination and metric (and device, where that is said). */
static bool route_there(const struct route_entry *like)
{
    struct route_entry some[4];
    unsigned from = 0, n;
    while ((n = route_list(some, from, ARRAY_COUNT(some))) > 0) {
        for (unsigned i = 0; i < n; i++)
            if (some[i].prefix == like->prefix && some[i].metric == like->metric &&
                net_addr_is_v4(&some[i].dest) == net_addr_is_v4(&like->dest) &&
                net_addr_match(&some[i].dest, &like->dest,
                               net_addr_bits(&like->dest, like->prefix)))
                return true;
        from += n;
    }
    return false;
}

static int change_route(const struct netlink_request *request, bool add, struct netlink_out *out)
{
    struct route_entry entry;
    uint32_t flags = request->header->flags;
    int err = route_of(request, &entry, out);
    if (err)
        return err;
    if (!add)
        return route_remove(&entry);
    if (!net_addr_is_v4(&entry.dest) && entry.metric == 0)
        entry.metric = 1024; /* Linux: IP6_RT_PRIO_USER */
    if (!net_addr_is_any(&entry.source) && !ip_is_local(&entry.source, 0))
        return refuse(out, -EINVAL, "the preferred source is no address of ours");
    if (!(flags & NLM_F_CREATE) && !route_there(&entry))
        return -ENOENT;
    err = route_add(&entry, flags & NLM_F_REPLACE && !(flags & NLM_F_EXCL));
    return err == -ENETUNREACH ? refuse(out, err, "there is no way to the gateway") : err;
}

/* ---- neighbours ---- */

static int get_neighbours(const struct netlink_request *request, struct netlink_out *out)
{
    uint8_t family = request->body_len ? request->body[0] : 0;
    struct neigh_view some[8];
    unsigned from = 0, n;
    if (!is_dump(request->header))
        return -EOPNOTSUPP;
    while ((n = neigh_list(some, from, ARRAY_COUNT(some))) > 0) {
        for (unsigned i = 0; i < n; i++)
            if (!family || family == family_of(&some[i].address))
                put_neighbour(out, RTM_NEWNEIGH, &some[i]);
        from += n;
    }
    return 0;
}

static bool neighbour_there(const struct netdev *dev, const struct net_addr *address)
{
    struct neigh_view some[8];
    unsigned from = 0, n;
    while ((n = neigh_list(some, from, ARRAY_COUNT(some))) > 0) {
        for (unsigned i = 0; i < n; i++)
            if (some[i].dev == dev && net_addr_equal(&some[i].address, address))
                return true;
        from += n;
    }
    return false;
}

static int change_neighbour(const struct netlink_request *request, bool add,
                            struct netlink_out *out)
{
    struct ndmsg msg;
    const uint8_t *list;
    uint32_t len, flags = request->header->flags;
    struct net_addr address;
    int err = fixed_part(request, &msg, sizeof(msg), &list, &len);
    if (err)
        return err;
    if (!family_ok(msg.family))
        return -EAFNOSUPPORT;
    struct netdev *dev = netdev_by_index((unsigned)msg.index);
    if (!dev)
        return -ENODEV;
    if (!find_address(list, len, NDA_DST, msg.family, &address))
        return refuse(out, -EINVAL, "there is no address in it");
    if (!add)
        return neigh_remove(dev, &address);
    if (dev->type != ARPHRD_ETHER)
        return refuse(out, -EINVAL, "the device has no neighbours");
    bool there = neighbour_there(dev, &address);
    if (there && flags & NLM_F_EXCL)
        return -EEXIST;
    if (!there && !(flags & NLM_F_CREATE))
        return -ENOENT;
    const void *ether = netlink_find(list, len, NDA_LLADDR, ETHER_ADDR_LEN, NULL);
    if (!ether)
        return refuse(out, -EINVAL, "there is no link address in it");
    neigh_learn(dev, &address, ether,
                NEIGH_CREATE | (there && !(flags & NLM_F_REPLACE) ? 0 : NEIGH_OVERRIDE) |
                    (msg.state & NEIGH_PERMANENT ? NEIGH_SET_PERMANENT : 0) |
                    (msg.state & NEIGH_REACHABLE ? NEIGH_SOLICITED : 0));
    return neighbour_there(dev, &address) ? 0 : -ENOBUFS;
}

/* ---- rules ---- */

/* Those that every Linux begins with, and which say what is done here (fib_rules.h; struct
 * fib_rule_hdr is as rtmsg, with the action in place of the type). */
static int dump_rules(const struct netlink_request *request, struct netlink_out *out)
{
    static const uint32_t rules[][2] = {
        {0, RT_TABLE_LOCAL}, {32766, RT_TABLE_MAIN}, {32767, RT_TABLE_DEFAULT}};
    static const uint8_t families[] = {AF_INET, AF_INET6}, from_kernel = 2;
    uint8_t wanted = request->body_len ? request->body[0] : AF_UNSPEC;
    if (wanted != AF_UNSPEC && !family_ok(wanted))
        return -EAFNOSUPPORT;
    for (unsigned f = 0; f < ARRAY_COUNT(families); f++)
        /* IPv6 has no table for the third one. */
        for (unsigned i = 0; i < (families[f] == AF_INET ? 3 : 2); i++) {
            const struct rtmsg msg = {
                .family = families[f], .table = (uint8_t)rules[i][1], .type = FR_ACT_TO_TBL};
            if (wanted != AF_UNSPEC && wanted != families[f])
                continue;
            netlink_begin(out, RTM_NEWRULE, NLM_F_MULTI, &msg, sizeof(msg));
            netlink_put_u32(out, FRA_TABLE, msg.table);
            netlink_put_u32(out, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX);
            netlink_put(out, FRA_PROTOCOL, &from_kernel, sizeof(from_kernel));
            if (rules[i][0])
                netlink_put_u32(out, FRA_PRIORITY, rules[i][0]);
            netlink_end(out);
        }
    return 0;
}

/* ---- ---- */

static bool changes(uint16_t type)
{
    return type % 4 !=
           2; /* each kind has NEW, DEL, GET, SET, in this order, from a multiple of 4 */
}

static int answer(const struct netlink_request *request, struct netlink_out *out)
{
    uint16_t type = request->header->type;
    switch (type) {
    case RTM_GETLINK:
        return get_link(request, out);
    case RTM_NEWLINK:
    case RTM_SETLINK:
        return set_link(request, out);
    case RTM_GETADDR:
        return get_addresses(request, out);
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return change_address(request, type == RTM_NEWADDR, out);
    case RTM_GETROUTE:
        return is_dump(request->header) ? dump_routes(request, out) : get_route(request, out);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return change_route(request, type == RTM_NEWROUTE, out);
    case RTM_GETNEIGH:
        return get_neighbours(request, out);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
        return change_neighbour(request, type == RTM_NEWNEIGH, out);
    case RTM_GETRULE:
        return is_dump(request->header) ? dump_rules(request, out) : -EOPNOTSUPP;
    case RTM_GETNEXTHOP: /* objects that routes may share: none is ever made */
        return is_dump(request->header) ? 0 : -ENOENT;
    default:
        return -EOPNOTSUPP;
    }
}

int netlink_route(const struct netlink_request *request, struct netlink_out *out)
{
    bool change = changes(request->header->type);
    if (change && !request->root)
        return -EPERM;
    out->dump = !change && is_dump(request->header);
    uint32_t before = __atomic_load_n(&route_generation, __ATOMIC_ACQUIRE);
    int err = answer(request, out);
    if (__atomic_load_n(&route_generation, __ATOMIC_ACQUIRE) != before)
        out->interrupted = NLM_F_DUMP_INTR;
    return err;
}
