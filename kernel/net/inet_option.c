/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inet_option.c - socket options of the levels IPPROTO_IP and IPPROTO_IPV6, and what of SOL_SOCKET
 * is about devices (ip(7), ipv6(7), socket(7), RFC 3493). Those of groups are in inet_group.c.
 *
 * Values are numbers of 1 or 4 bytes, but for those of devices and names. All is under the
 * socket's lock, but for the switches, which are atomic bits.
 */
#include "fs/vfs.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/usercopy.h"
#include "net/bpf.h"
#include "net/inet.h"
#include "net/sysctl.h"

enum {
    IP_TOS = 1,
    IP_TTL = 2,
    IP_HDRINCL = 3,
    IP_OPTIONS = 4,
    IP_ROUTER_ALERT = 5,
    IP_RECVOPTS = 6,
    IP_RETOPTS = 7,
    IP_PKTINFO = 8,
    IP_PKTOPTIONS = 9,
    IP_MTU_DISCOVER = 10,
    IP_RECVERR = 11,
    IP_RECVTTL = 12,
    IP_RECVTOS = 13,
    IP_MTU = 14,
    IP_FREEBIND = 15,
    IP_PASSSEC = 18,
    IP_TRANSPARENT = 19,
    IP_RECVORIGDSTADDR = 20,
    IP_MINTTL = 21,
    IP_NODEFRAG = 22,
    IP_CHECKSUM = 23,
    IP_BIND_ADDRESS_NO_PORT = 24,
    IP_RECVFRAGSIZE = 25,
    IP_RECVERR_RFC4884 = 26,
    IP_MULTICAST_IF = 32,
    IP_MULTICAST_TTL = 33,
    IP_MULTICAST_LOOP = 34,
    IP_MULTICAST_ALL = 49,
    IP_UNICAST_IF = 50,
    IP_LOCAL_PORT_RANGE = 51,
    IP_PROTOCOL = 52,
};
enum {
    IPV6_2292PKTINFO = 2,
    IPV6_2292HOPLIMIT = 8,
    IPV6_UNICAST_HOPS = 16,
    IPV6_MULTICAST_IF = 17,
    IPV6_MULTICAST_HOPS = 18,
    IPV6_MULTICAST_LOOP = 19,
    IPV6_MTU_DISCOVER = 23,
    IPV6_MTU = 24,
    IPV6_RECVERR = 25,
    IPV6_V6ONLY = 26,
    IPV6_MULTICAST_ALL = 29,
    IPV6_RECVPKTINFO = 49,
    IPV6_RECVHOPLIMIT = 51,
    IPV6_DONTFRAG = 62,
    IPV6_RECVTCLASS = 66,
    IPV6_TCLASS = 67,
    IPV6_AUTOFLOWLABEL = 70,
    IPV6_MINHOPCOUNT = 73,
    IPV6_RECVORIGDSTADDR = 74,
    IPV6_TRANSPARENT = 75,
    IPV6_UNICAST_IF = 76,
    IPV6_FREEBIND = 78,
};
enum { IPPROTO_RAW = 255 };
enum { SO_BINDTODEVICE = 25, SO_INCOMING_CPU = 49, SO_BINDTOIFINDEX = 62 };

/* ---- switches ---- */

static uint32_t switch_of(int level, int name)
{
    static const struct {
        uint8_t level, name;
        uint32_t bit;
    } table[] = {
        {SOL_IP, IP_RECVERR, INET_RECVERR},
        {SOL_IP, IP_PKTINFO, INET_PKTINFO},
        {SOL_IP, IP_RECVTTL, INET_RECVTTL},
        {SOL_IP, IP_RECVTOS, INET_RECVTOS},
        {SOL_IP, IP_RECVOPTS, INET_RECVOPTS},
        {SOL_IP, IP_RETOPTS, INET_RECVOPTS},
        {SOL_IP, IP_RECVORIGDSTADDR, INET_RECVORIGDST},
        {SOL_IP, IP_FREEBIND, INET_FREEBIND},
        {SOL_IP, IP_TRANSPARENT, INET_TRANSPARENT},
        {SOL_IP, IP_HDRINCL, INET_HDRINCL},
        {SOL_IP, IP_MULTICAST_LOOP, INET_MULTICAST_LOOP},
        {SOL_IP, IP_MULTICAST_ALL, INET_MULTICAST_ALL},
        {SOL_IP, IP_BIND_ADDRESS_NO_PORT, INET_BIND_NO_PORT},
        {SOL_IP, IP_ROUTER_ALERT, INET_ROUTER_ALERT},
        {SOL_IP, IP_PASSSEC, INET_PASSSEC},
        {SOL_IP, IP_NODEFRAG, INET_NODEFRAG},
        {SOL_IP, IP_CHECKSUM, INET_CHECKSUM},
        {SOL_IP, IP_RECVFRAGSIZE, INET_RECVFRAGSIZE},
        {SOL_IP, IP_RECVERR_RFC4884, INET_RFC4884},
        {SOL_IPV6, IPV6_RECVERR, INET_RECVERR6},
        {SOL_IPV6, IPV6_RECVPKTINFO, INET_PKTINFO6},
        {SOL_IPV6, IPV6_RECVHOPLIMIT, INET_RECVHOPLIMIT},
        {SOL_IPV6, IPV6_2292PKTINFO, INET_PKTINFO_2292},
        {SOL_IPV6, IPV6_2292HOPLIMIT, INET_HOPLIMIT_2292},
        {SOL_IPV6, IPV6_RECVTCLASS, INET_RECVTCLASS},
        {SOL_IPV6, IPV6_MULTICAST_LOOP, INET_MULTICAST_LOOP},
        {SOL_IPV6, IPV6_AUTOFLOWLABEL, INET_AUTOFLOWLABEL},
        {SOL_IPV6, IPV6_FREEBIND, INET_FREEBIND},
        {SOL_IPV6, IPV6_DONTFRAG, INET_DONTFRAG6},
        {SOL_IPV6, IPV6_MULTICAST_ALL, INET_MULTICAST_ALL6},
        {SOL_IPV6, IPV6_RECVORIGDSTADDR, INET_RECVORIGDST6},
        {SOL_IPV6, IPV6_TRANSPARENT, INET_TRANSPARENT},
    };
    for (size_t i = 0; i < ARRAY_COUNT(table); i++)
        if (table[i].level == level && table[i].name == name)
            return table[i].bit;
    return 0;
}

/* Whose option it is, and what it may be (Linux: do_ip_setsockopt, ip_ra_control). */
static int check_switch(const struct inet_sock *sock, uint32_t bit, int value)
{
    bool raw = sock->base.type == SOCK_RAW;
    bool was = __atomic_load_n(&sock->options, __ATOMIC_RELAXED) & bit;
    if (bit & (INET_MULTICAST_ALL | INET_RFC4884) && (unsigned)value > 1)
        return -EINVAL;
    if (bit & (INET_HDRINCL | INET_NODEFRAG) && !raw)
        return -ENOPROTOOPT;
    if (bit & INET_RECVFRAGSIZE && sock->base.type == SOCK_STREAM)
        return -EINVAL;
    if (bit & INET_ROUTER_ALERT) {
        if (!raw || sock->base.protocol == IPPROTO_RAW)
            return -EINVAL;
        if (was == (value != 0))
            return was ? -EADDRINUSE : -ENOBUFS;
    }
    return value && bit == INET_TRANSPARENT && proc_cred()->euid != 0 ? -EPERM : 0;
}

static int set_switch(struct inet_sock *sock, uint32_t bit, int on)
{
    int err = check_switch(sock, bit, on);
    if (err)
        return err;
    if (on)
        __atomic_fetch_or(&sock->options, bit, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&sock->options, ~bit, __ATOMIC_RELAXED);
    return 0;
}

/* ---- numbers ---- */

/* Lookups see the one or the other. */
static int bind_device_locked(struct inet_sock *sock, unsigned device)
{
    if (sock->flow.device && proc_cred()->euid != 0)
        return -EPERM;
    __atomic_store_n(&sock->flow.device, device, __ATOMIC_RELAXED);
    port_set_device(&sock->port, device);
    route_release(&sock->route);
    return 0;
}

/* IP_UNICAST_IF, IPV6_UNICAST_IF: a device in network order (Linux: do_ip_setsockopt). */
static int set_unicast_device(struct inet_sock *sock, int level, uint32_t value)
{
    unsigned device = net32(value);
    if (device && !netdev_by_index(device))
        return -EADDRNOTAVAIL;
    if (device && sock->flow.device && sock->flow.device != device)
        return -EINVAL;
    struct socket_rare *rare = socket_rare_make(&sock->base);
    if (!rare)
        return -ENOMEM;
    __atomic_store_n(level == SOL_IP ? &rare->unicast_device : &rare->unicast6_device, device,
                     __ATOMIC_RELAXED);
    route_release(&sock->route);
    return 0;
}

/* The first in the lower half, the last in the upper. */
static int set_port_range(struct inet_sock *sock, uint32_t value)
{
    uint16_t first = (uint16_t)value, last = (uint16_t)(value >> 16);
    if (first && last && first > last)
        return -EINVAL;
    struct socket_rare *rare = socket_rare_make(&sock->base);
    if (!rare)
        return -ENOMEM;
    __atomic_store_n(&rare->port_first, first, __ATOMIC_RELAXED);
    __atomic_store_n(&rare->port_last, last, __ATOMIC_RELAXED);
    return 0;
}

/* Those that are four bytes and no less or more. -ENOPROTOOPT: another. The lock is held. */
static int set_word_locked(struct inet_sock *sock, int level, int name, uint32_t value)
{
    if (name == (level == SOL_IP ? IP_UNICAST_IF : IPV6_UNICAST_IF))
        return set_unicast_device(sock, level, value);
    if (level == SOL_IP && name == IP_LOCAL_PORT_RANGE)
        return set_port_range(sock, value);
    return -ENOPROTOOPT;
}

static bool is_word(int level, int name)
{
    return (level == SOL_IP && (name == IP_UNICAST_IF || name == IP_LOCAL_PORT_RANGE)) ||
           (level == SOL_IPV6 && name == IPV6_UNICAST_IF);
}

static int set_v6_only(struct inet_sock *sock, bool on)
{
    if (sock->base.family != AF_INET6)
        return -ENOPROTOOPT;
    if (sock->port.port)
        return -EINVAL;
    sock->flow.v6_only = on;
    return 0;
}

static int in_range(int value, int min, int max)
{
    return value < min || value > max ? -EINVAL : 0;
}

static int set_ip_locked(struct inet_sock *sock, int name, int value)
{
    bool stream = sock->base.type == SOCK_STREAM;
    int err;
    switch (name) {
    case IP_TOS: /* of TCP the lowest two bits belong to ECN (RFC 3168, 5) */
        sock->tos = (uint8_t)(stream ? value & ~3 : value);
        return 0;
    case IP_TTL:
        if (value != -1 && in_range(value, 1, 255))
            return -EINVAL;
        sock->ttl = (int16_t)value;
        return 0;
    case IP_MULTICAST_TTL:
        err = stream ? -EINVAL : in_range(value, -1, 255);
        if (err == 0)
            sock->multicast_ttl = (uint8_t)(value < 0 ? 1 : value);
        return err;
    case IP_MTU_DISCOVER:
        err = in_range(value, PMTUDISC_DONT, PMTUDISC_OMIT);
        if (err == 0)
            sock->mtu_discover = (uint8_t)value;
        return err;
    case IP_MINTTL:
        err = in_range(value, 0, 255);
        if (err == 0)
            sock->min_ttl = (uint8_t)value;
        return err;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_ipv6_locked(struct inet_sock *sock, int name, int value)
{
    int err;
    switch (name) {
    case IPV6_V6ONLY:
        return set_v6_only(sock, value != 0);
    case IPV6_UNICAST_HOPS:
        err = in_range(value, -1, 255);
        if (err == 0)
            sock->hop_limit = (int16_t)value;
        return err;
    case IPV6_MULTICAST_HOPS:
        err = in_range(value, -1, 255);
        if (err == 0)
            sock->multicast_hops = (uint8_t)(value < 0 ? 1 : value);
        return err;
    case IPV6_TCLASS:
        err = in_range(value, -1, 255);
        if (err == 0)
            sock->traffic_class = (uint8_t)(value < 0 ? 0 : value);
        return err;
    case IPV6_MTU_DISCOVER:
        err = in_range(value, PMTUDISC_DONT, PMTUDISC_OMIT);
        if (err == 0)
            sock->mtu_discover = (uint8_t)value;
        return err;
    case IPV6_MINHOPCOUNT:
        return set_ip_locked(sock, IP_MINTTL, value);
    case IPV6_MULTICAST_IF:
        if (value && !netdev_by_index((unsigned)value))
            return -ENODEV;
        sock->multicast_device = (unsigned)value;
        route_release(&sock->route);
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_incoming_cpu(struct inet_sock *sock, int value)
{
    /* A CPU that there is not is never the one. */
    int16_t cpu = (int16_t)(value < 0 || value >= INT16_MAX ? -1 : value);
    __atomic_store_n(&sock->flow.incoming_cpu, cpu, __ATOMIC_RELAXED);
    return 0;
}

/* Linux: reuseport_attach_prog, reuseport_detach_prog. What is bound must have been so with
 * SO_REUSEPORT. */
static int set_steering(struct inet_sock *sock, int name, uaddr_t value, unsigned len)
{
    inet_lock(sock);
    bool bound = sock->port.port != 0;
    bool shared = bound ? sock->flow.reuse_port : socket_switch(&sock->base, SO_REUSEPORT);
    inet_unlock(sock);
    if (!shared)
        return -EINVAL;
    return bpf_steer_option(&sock->base, name, value, len);
}

static int set_number(struct inet_sock *sock, int level, int name, int value)
{
    uint32_t bit = switch_of(level, name);
    int err = -ENOPROTOOPT;
    if (bit)
        return set_switch(sock, bit, value);
    inet_lock(sock);
    if (is_word(level, name))
        err = set_word_locked(sock, level, name, (uint32_t)value);
    else if (level == SOL_IP)
        err = set_ip_locked(sock, name, value);
    else if (level == SOL_IPV6)
        err = set_ipv6_locked(sock, name, value);
    else if (name == SO_BINDTOIFINDEX) /* also one that there is not (Linux) */
        err = value < 0 ? -EINVAL : bind_device_locked(sock, (unsigned)value);
    else if (name == SO_INCOMING_CPU)
        err = set_incoming_cpu(sock, value);
    inet_unlock(sock);
    return err;
}

static int set_device_name(struct inet_sock *sock, uaddr_t value, unsigned len)
{
    char name[NETDEV_NAME_MAX] = "";
    int err = copyin(name, value, MIN((size_t)len, sizeof(name) - 1));
    if (err)
        return err;
    struct netdev *dev = name[0] ? netdev_by_name(name) : NULL;
    if (name[0] && !dev)
        return -ENODEV;
    inet_lock(sock);
    err = bind_device_locked(sock, dev ? dev->index : 0);
    inet_unlock(sock);
    return err;
}

int inet_set_option(struct socket *socket, int level, int name, uaddr_t value, unsigned len)
{
    struct inet_sock *sock = inet_of(socket);
    int32_t number = 0;
    uint8_t byte;
    if (level == SOL_SOCKET && name == SO_BINDTODEVICE)
        return set_device_name(sock, value, len);
    if (level == SOL_SOCKET &&
        (name == SO_ATTACH_REUSEPORT_CBPF || name == SO_DETACH_REUSEPORT_BPF))
        return set_steering(sock, name, value, len);
    if (level != SOL_SOCKET && level != SOL_IP && level != SOL_IPV6)
        return -ENOPROTOOPT;
    if (level == SOL_IPV6 && socket->family != AF_INET6)
        return -ENOPROTOOPT;
    if (level != SOL_SOCKET) {
        int group = inet_group_option(sock, level, name, value, len);
        if (group != -ENOPROTOOPT)
            return group;
    }
    if (level == SOL_IP && name == IP_OPTIONS)
        return len == 0 ? 0 : -EOPNOTSUPP;
    int err = len == 0 && !(level == SOL_IP && name == IP_TOS) ? -EINVAL : 0;
    if (is_word(level, name) && len != sizeof(number))
        return -EINVAL;
    if (len >= sizeof(number)) {
        err = copyin(&number, value, sizeof(number));
    } else if (len > 0) { /* ip(7): a byte will do */
        err = copyin(&byte, value, sizeof(byte));
        number = byte;
    }
    return err ? err : set_number(sock, level, name, number);
}

/* ---- get ---- */

static int path_mtu(struct inet_sock *sock, int32_t *out)
{
    if (!sock->connected)
        return -ENOTCONN;
    int err = inet_route_locked(sock, &sock->flow.key.remote, 0);
    if (err == 0)
        *out = (int32_t)sock->route.mtu;
    return err;
}

static int get_ip_locked(struct inet_sock *sock, int name, int32_t *out)
{
    const struct socket_rare *rare = socket_rare(&sock->base);
    switch (name) {
    case IP_UNICAST_IF:
        *out = rare ? (int32_t)net32(rare->unicast_device) : 0;
        return 0;
    case IP_LOCAL_PORT_RANGE:
        *out = rare ? rare->port_first | (int32_t)((uint32_t)rare->port_last << 16) : 0;
        return 0;
    case IP_PROTOCOL: /* inet_num: a raw socket's is its protocol, another's its port */
        *out = sock->base.type == SOCK_RAW ? sock->base.protocol : net16(sock->flow.key.local_port);
        return 0;
    case IP_TOS:
        *out = sock->tos;
        return 0;
    case IP_TTL:
        *out = sock->ttl < 0 ? __atomic_load_n(&ip_default_ttl, __ATOMIC_RELAXED) : sock->ttl;
        return 0;
    case IP_MULTICAST_TTL:
        *out = sock->multicast_ttl;
        return 0;
    case IP_MTU_DISCOVER:
        *out = sock->mtu_discover;
        return 0;
    case IP_MTU:
        return path_mtu(sock, out);
    case IP_MULTICAST_IF:
        *out = (int32_t)sock->multicast_source.word[3];
        return 0;
    case IP_MINTTL:
        *out = sock->min_ttl;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int get_ipv6_locked(struct inet_sock *sock, int name, int32_t *out)
{
    switch (name) {
    case IPV6_V6ONLY:
        *out = sock->flow.v6_only;
        return 0;
    case IPV6_UNICAST_HOPS:
        *out = sock->hop_limit < 0 ? (int32_t)IP_TTL_DEFAULT : sock->hop_limit;
        return 0;
    case IPV6_MULTICAST_HOPS:
        *out = sock->multicast_hops;
        return 0;
    case IPV6_TCLASS:
        *out = sock->traffic_class;
        return 0;
    case IPV6_MTU_DISCOVER:
        *out = sock->mtu_discover;
        return 0;
    case IPV6_MTU:
        return path_mtu(sock, out);
    case IPV6_MINHOPCOUNT:
        *out = sock->min_ttl;
        return 0;
    case IPV6_MULTICAST_IF:
        *out = (int32_t)sock->multicast_device;
        return 0;
    case IPV6_UNICAST_IF: {
        const struct socket_rare *rare = socket_rare(&sock->base);
        *out = rare ? (int32_t)net32(rare->unicast6_device) : 0;
        return 0;
    }
    default:
        return -ENOPROTOOPT;
    }
}

static int get_device_name(struct inet_sock *sock, void *value, unsigned *len)
{
    struct netdev *dev = sock->flow.device ? netdev_by_index(sock->flow.device) : NULL;
    if (!dev) {
        *len = 0;
        return 0;
    }
    if (*len < NETDEV_NAME_MAX)
        return -EINVAL;
    *len = (unsigned)strlen(dev->name) + 1;
    memcpy(value, dev->name, *len);
    return 0;
}

int inet_get_option(struct socket *socket, int level, int name, void *value, unsigned *len)
{
    struct inet_sock *sock = inet_of(socket);
    int32_t number = 0;
    int err = -ENOPROTOOPT;
    uint32_t bit = switch_of(level, name);
    if (level == SOL_SOCKET && name == SO_BINDTODEVICE)
        return get_device_name(sock, value, len);
    /* A stream's IP_PKTOPTIONS: control messages of the last packet, which is not kept. */
    if (level == SOL_IP &&
        (name == IP_OPTIONS || (name == IP_PKTOPTIONS && socket->type == SOCK_STREAM))) {
        *len = 0;
        return 0;
    }
    if (level != SOL_SOCKET && level != SOL_IP && socket->family == AF_INET)
        return -EOPNOTSUPP;
    inet_lock(sock);
    if (bit) {
        number = (__atomic_load_n(&sock->options, __ATOMIC_RELAXED) & bit) != 0;
        err = 0;
    } else if (level == SOL_IP) {
        err = get_ip_locked(sock, name, &number);
    } else if (level == SOL_IPV6) {
        err = get_ipv6_locked(sock, name, &number);
    } else if (level == SOL_SOCKET && (name == SO_BINDTOIFINDEX || name == SO_INCOMING_CPU)) {
        number = name == SO_INCOMING_CPU
                     ? __atomic_load_n(&sock->flow.incoming_cpu, __ATOMIC_RELAXED)
                     : (int32_t)sock->flow.device;
        err = 0;
    }
    inet_unlock(sock);
    if (err)
        return err;
    *len = MIN(*len, (unsigned)sizeof(number));
    if (level == SOL_IP && *len < sizeof(number) && number >= 0 && number <= (int32_t)UINT8_MAX)
        *len = MIN(*len, 1u); /* ip(7): one byte is enough for what fits */
    memcpy(value, &number, *len);
    return 0;
}
