/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inet_ioctl_set.c - ioctl(2) that changes devices, addresses and routes (netdevice(7)): what
 * ifconfig and route of net-tools do. Root's; netlink does the same and more (netlink_route.c).
 *
 * An IPv4 address is that of struct ifreq and the first of its device; IPv6's requests have forms
 * of their own and go by the socket's family.
 */
#include "fs/vfs.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/usercopy.h"
#include "net/ifaddr.h"
#include "net/inet.h"
#include "net/inet_ioctl.h"
#include "net/route.h"

enum { RTF_GATEWAY = 2, RTF_HOST = 4, RTF_REJECT = 0x200 };
#define METRIC6 1024u /* Linux: IP6_RT_PRIO_USER */

/* struct rtentry, struct in6_rtmsg, struct in6_ifreq of user code. */
struct in_name {
    uint16_t family, port;
    uint32_t address;
    uint8_t zero[8];
};
struct rtentry {
    uint64_t pad1;
    struct in_name dest, gateway, mask;
    uint16_t flags, pad2[3];
    uint64_t pad3, pad4;
    int16_t metric, pad5[3];
    uint64_t device; /* its name: a pointer */
    uint64_t mtu, window;
    uint16_t irtt, pad6[3];
};
STATIC_ASSERT(sizeof(struct rtentry) == 120);
struct in6_rtmsg {
    struct net_addr dest, source, gateway;
    uint32_t type;
    uint16_t dest_len, source_len;
    uint32_t metric, pad;
    uint64_t info;
    uint32_t flags;
    int32_t device;
};
STATIC_ASSERT(sizeof(struct in6_rtmsg) == 80);
struct in6_ifreq {
    struct net_addr address;
    uint32_t prefix;
    int32_t device;
};
STATIC_ASSERT(sizeof(struct in6_ifreq) == 24);

/* The bits of a mask. False: they are not all at its beginning. */
static bool prefix_of(uint32_t mask, uint8_t *out)
{
    uint32_t rest = ~net32(mask);
    *out = (uint8_t)(rest ? __builtin_clz(rest) : 32);
    return (rest & (rest + 1)) == 0;
}

/* By the classes of old (Linux: inet_abc_len); 255: no host has such an address. */
static uint8_t class_prefix(uint32_t address)
{
    uint8_t first = (uint8_t)(net32(address) >> 24);
    return address == 0 ? 0 : first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : 255;
}

/* ---- devices, and their IPv4 addresses ---- */

/* The device's first: false if it has none. */
static bool first_address(const struct netdev *dev, struct ifaddr_info *out)
{
    unsigned token = rcu_read_lock();
    struct ifaddr *ifa = ifaddr_first();
    while (ifa && !(ifa->dev == dev && net_addr_is_v4(&ifa->address)))
        ifa = ifaddr_next(ifa);
    if (ifa)
        *out =
            (struct ifaddr_info){.dev = ifa->dev, .address = ifa->address, .prefix = ifa->prefix};
    rcu_read_unlock(token);
    return ifa != NULL;
}

/* `next` in the place of `old` (NULL: none); no address: nothing in its place. */
static int exchange(const struct ifaddr_info *old, struct ifaddr_info *next)
{
    int err = old ? ifaddr_remove(old->dev, &old->address) : 0;
    next->flags = IFADDR_PERMANENT;
    if (err == 0 && !net_addr_is_any(&next->address))
        err = ifaddr_add(next);
    return err;
}

static int set_address(struct netdev *dev, uint32_t address)
{
    struct ifaddr_info old, next = {.dev = dev, .address = net_addr_v4(address)};
    bool there = first_address(dev, &old);
    next.prefix = class_prefix(address);
    if (next.prefix > 32)
        return -EINVAL;
    if (there && net_addr_equal(&old.address, &next.address))
        return 0;
    return exchange(there ? &old : NULL, &next);
}

static int set_mask(struct netdev *dev, uint32_t mask)
{
    struct ifaddr_info old, next;
    if (!first_address(dev, &old))
        return -EADDRNOTAVAIL;
    next = old;
    if (!prefix_of(mask, &next.prefix))
        return -EINVAL;
    return next.prefix == old.prefix ? 0 : exchange(&old, &next);
}

/* It follows from address and mask: another one is refused. */
static int set_broadcast(struct netdev *dev, uint32_t broadcast)
{
    struct ifaddr_info info;
    if (!first_address(dev, &info))
        return -EADDRNOTAVAIL;
    uint32_t host = info.prefix < 32 ? UINT32_MAX >> info.prefix : 0;
    return broadcast == (info.address.word[3] | net32(host)) ? 0 : -EINVAL;
}

static int change_device(struct netdev *dev, unsigned cmd, const struct ifreq *req)
{
    if (cmd == SIOCSIFFLAGS)
        return netdev_set_up(dev, req->flags & NETDEV_UP);
    if (cmd == SIOCSIFMTU)
        return req->number < 0 ? -EINVAL : netdev_set_mtu(dev, (unsigned)req->number);
    if (req->in.family != AF_INET)
        return -EINVAL;
    return cmd == SIOCSIFADDR      ? set_address(dev, req->in.address)
           : cmd == SIOCSIFNETMASK ? set_mask(dev, req->in.address)
                                   : set_broadcast(dev, req->in.address);
}

/* ---- routes ---- */

/* Linux: rtentry_to_fib_config. */
static int route4(const struct rtentry *rt, struct route_entry *entry)
{
    uint8_t prefix = 32;
    char name[NETDEV_NAME_MAX] = "";
    if (rt->dest.family != AF_INET)
        return -EAFNOSUPPORT;
    if (!(rt->flags & RTF_HOST)) {
        if (rt->mask.family != AF_INET && (rt->mask.family || rt->mask.address))
            return -EAFNOSUPPORT;
        if (!prefix_of(rt->mask.address, &prefix) || rt->dest.address & ~rt->mask.address)
            return -EINVAL;
    }
    *entry = (struct route_entry){
        .dest = net_addr_v4(rt->dest.address),
        .prefix = prefix,
        .metric = rt->metric > 0 ? (uint32_t)rt->metric - 1 : 0,
    };
    if (rt->flags & RTF_REJECT)
        return 0;
    if (rt->device) {
        int err = copyin(name, uaddr(rt->device), sizeof(name) - 1);
        entry->dev = err ? NULL : netdev_by_name(name);
        if (!entry->dev)
            return err ? err : -ENODEV;
    }
    if (rt->gateway.family == AF_INET && rt->gateway.address)
        entry->gateway = net_addr_v4(rt->gateway.address);
    else
        entry->scope = SCOPE_LINK;
    return 0;
}

static int route6(const struct in6_rtmsg *rt, struct route_entry *entry)
{
    if (rt->dest_len > 128 || rt->source_len)
        return -EINVAL;
    *entry = (struct route_entry){
        .dest = rt->dest,
        .gateway = rt->gateway,
        .prefix = (uint8_t)rt->dest_len,
        .metric = rt->metric ? rt->metric : METRIC6,
        .dev = rt->device ? netdev_by_index((unsigned)rt->device) : NULL,
    };
    return rt->device && !entry->dev ? -ENODEV : 0;
}

static int change_route(bool add, bool v6, uintptr_t arg)
{
    union {
        struct rtentry four;
        struct in6_rtmsg six;
    } rt;
    struct route_entry entry;
    int err = copyin(&rt, uaddr(arg), v6 ? sizeof(rt.six) : sizeof(rt.four));
    if (err == 0)
        err = v6 ? route6(&rt.six, &entry) : route4(&rt.four, &entry);
    if (err)
        return err;
    uint32_t flags = v6 ? rt.six.flags : rt.four.flags;
    bool via = !net_addr_is_any(&entry.gateway);
    entry.type = flags & RTF_REJECT ? ROUTE_UNREACHABLE : ROUTE_UNICAST;
    if (!add)
        return route_remove(&entry);
    if (flags & RTF_GATEWAY && !via)
        return -EINVAL;
    if (!(flags & RTF_REJECT) && !via && !entry.dev)
        return -ENODEV;
    entry.protocol = ROUTE_BY_BOOT;
    return route_add(&entry, false);
}

/* ---- ---- */

static int change_address6(unsigned cmd, uintptr_t arg)
{
    struct in6_ifreq req;
    int err = copyin(&req, uaddr(arg), sizeof(req));
    if (err)
        return err;
    struct ifaddr_info info = {.dev = netdev_by_index((unsigned)req.device),
                               .address = req.address,
                               .prefix = (uint8_t)req.prefix,
                               .flags = IFADDR_PERMANENT};
    if (req.prefix > 128)
        return -EINVAL;
    if (!info.dev)
        return -ENODEV;
    return cmd == SIOCSIFADDR ? ifaddr_add(&info) : ifaddr_remove(info.dev, &info.address);
}

int inet_ioctl_change(const struct socket *socket, unsigned cmd, uintptr_t arg)
{
    struct ifreq req;
    bool v6 = socket->family == AF_INET6;
    if (cmd == SIOCDIFADDR && !v6)
        return -ENOTTY;
    if (proc_cred()->euid != 0)
        return -EPERM;
    if (cmd == SIOCADDRT || cmd == SIOCDELRT)
        return change_route(cmd == SIOCADDRT, v6, arg);
    if (v6 && (cmd == SIOCSIFADDR || cmd == SIOCDIFADDR))
        return change_address6(cmd, arg);
    int err = copyin(&req, uaddr(arg), sizeof(req));
    if (err)
        return err;
    req.name[sizeof(req.name) - 1] = 0;
    struct netdev *dev = netdev_by_name(req.name);
    return dev ? change_device(dev, cmd, &req) : -ENODEV;
}
