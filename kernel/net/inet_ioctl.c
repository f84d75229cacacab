/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inet_ioctl.c - ioctl(2) on sockets about devices, addresses (netdevice(7)): what ifconfig, older
 * libraries and Java ask. What changes them is in inet_ioctl_set.c.
 */
#include "net/inet_ioctl.h"
#include "fs/vfs.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/usercopy.h"
#include "net/ifaddr.h"
#include "net/inet.h"

/* What does not show: wanted by sockets, not by the administrator (Linux: dev_get_flags). */
#define FLAGS_HIDDEN (NETDEV_PROMISC | NETDEV_ALLMULTI)

/* struct ifconf. */
struct ifconf {
    int32_t len, pad;
    uint64_t requests;
};

static bool is_of(const struct ifaddr *ifa, const struct netdev *dev)
{
    return ifa->dev == dev && net_addr_is_v4(&ifa->address);
}

static void put_address(struct ifreq *req, uint32_t address)
{
    memset(req->bytes, 0, sizeof(req->bytes));
    req->in.family = AF_INET;
    req->in.address = address;
}

/* The device's first IPv4 address, in whichever form was asked for. */
static int get_address(const struct netdev *dev, unsigned cmd, struct ifreq *req)
{
    int err = -EADDRNOTAVAIL;
    unsigned token = rcu_read_lock();
    struct ifaddr *ifa = ifaddr_first();
    while (ifa && !is_of(ifa, dev))
        ifa = ifaddr_next(ifa);
    if (ifa) {
        uint32_t mask = ifa->prefix ? net32(UINT32_MAX << (32 - ifa->prefix)) : 0;
        put_address(req, cmd == SIOCGIFNETMASK   ? mask
                         : cmd == SIOCGIFBRDADDR ? ifa->broadcast.word[3]
                                                 : ifa->address.word[3]);
        err = 0;
    }
    rcu_read_unlock(token);
    return err;
}

static int get_device(const struct netdev *dev, unsigned cmd, struct ifreq *req)
{
    uint32_t flags = __atomic_load_n(&dev->flags, __ATOMIC_RELAXED);
    switch (cmd) {
    case SIOCGIFFLAGS:
        req->flags = (int16_t)(flags & ~FLAGS_HIDDEN);
        return 0;
    case SIOCGIFMTU:
        req->number = (int32_t)__atomic_load_n(&dev->mtu, __ATOMIC_RELAXED);
        return 0;
    case SIOCGIFINDEX:
        req->number = (int32_t)dev->index;
        return 0;
    case SIOCGIFMETRIC:
        req->number = 0;
        return 0;
    case SIOCGIFTXQLEN:
        req->number = (int32_t)NETDEV_TXQLEN;
        return 0;
    case SIOCGIFHWADDR:
        memset(req->bytes, 0, sizeof(req->bytes));
        req->hardware.type = dev->type;
        memcpy(req->hardware.address, dev->address, sizeof(dev->address));
        return 0;
    default:
        return get_address(dev, cmd, req);
    }
}

/* All IPv4 addresses: as many as there is room for, or with no buffer how much room that takes. */
static int get_conf(uintptr_t arg)
{
    struct ifconf conf;
    struct ifreq req[16];
    int count = 0;
    int err = copyin(&conf, uaddr(arg), sizeof(conf));
    if (err)
        return err;
    if (conf.requests && conf.len < 0)
        return -EINVAL;
    int room = conf.requests ? conf.len / (int)sizeof(req[0]) : (int)ARRAY_COUNT(req);
    unsigned token = rcu_read_lock();
    for (struct ifaddr *ifa = ifaddr_first(); ifa; ifa = ifaddr_next(ifa)) {
        if (!net_addr_is_v4(&ifa->address) || count >= MIN(room, (int)ARRAY_COUNT(req)))
            continue;
        memcpy(req[count].name, ifa->dev->name, sizeof(req[count].name));
        put_address(&req[count], ifa->address.word[3]);
        count++;
    }
    rcu_read_unlock(token);
    conf.len = count * (int)sizeof(req[0]);
    if (conf.requests)
        err = copyout(uaddr(conf.requests), req, (size_t)conf.len);
    return err ? err : copyout(uaddr(arg), &conf, sizeof(conf));
}

static bool known(unsigned cmd)
{
    switch (cmd) {
    case SIOCGIFFLAGS:
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFMETRIC:
    case SIOCGIFMTU:
    case SIOCGIFHWADDR:
    case SIOCGIFINDEX:
    case SIOCGIFTXQLEN:
        return true;
    default:
        return false;
    }
}

static bool changes(unsigned cmd)
{
    switch (cmd) {
    case SIOCADDRT:
    case SIOCDELRT:
    case SIOCSIFFLAGS:
    case SIOCSIFADDR:
    case SIOCSIFBRDADDR:
    case SIOCSIFNETMASK:
    case SIOCSIFMTU:
    case SIOCDIFADDR:
        return true;
    default:
        return false;
    }
}

long inet_ioctl(struct socket *socket, unsigned cmd, uintptr_t arg)
{
    struct ifreq req;
    if (cmd == SIOCGIFCONF)
        return get_conf(arg);
    if (changes(cmd))
        return inet_ioctl_change(socket, cmd, arg);
    if (!known(cmd) && cmd != SIOCGIFNAME && cmd != SIOCETHTOOL)
        return -ENOTTY;
    int err = copyin(&req, uaddr(arg), sizeof(req));
    if (err)
        return err;
    req.name[sizeof(req.name) - 1] = 0;
    struct netdev *dev =
        cmd == SIOCGIFNAME ? netdev_by_index((unsigned)req.number) : netdev_by_name(req.name);
    if (!dev)
        return -ENODEV;
    if (cmd == SIOCETHTOOL) /* libpcap, dhclient: then they do without */
        return -EOPNOTSUPP;
    if (cmd == SIOCGIFNAME)
        memcpy(req.name, dev->name, sizeof(req.name));
    else
        err = get_device(dev, cmd, &req);
    return err ? err : copyout(uaddr(arg), &req, sizeof(req));
}
