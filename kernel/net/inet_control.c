/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inet_control.c - control messages of the levels IPPROTO_IP, IPPROTO_IPV6 and SOL_UDP (ip(7),
 * ipv6(7), udp(7)).
 */
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/usercopy.h"
#include "net/inet.h"
#include "sched/timer.h"

#define SOL_UDP 17
#define UDP_SEGMENT 103
enum { IP_TOS = 1, IP_TTL = 2, IP_PKTINFO = 8, IP_ORIGDSTADDR = 20 };
enum {
    IPV6_2292PKTINFO = 2,
    IPV6_2292HOPLIMIT = 8,
    IPV6_PKTINFO = 50,
    IPV6_HOPLIMIT = 52,
    IPV6_TCLASS = 67,
    IPV6_ORIGDSTADDR = 74,
};

struct in_pktinfo {
    int32_t device;
    uint32_t local, dest;
};
struct in6_pktinfo {
    uint8_t address[16];
    int32_t device;
};

/* ---- from a sender ---- */

static int get_int(const struct control *c, int min, int max, int *out)
{
    int32_t value;
    uint8_t byte;
    int err;
    if (c->len == sizeof(byte)) {
        err = copyin(&byte, c->data, sizeof(byte));
        value = byte;
    } else if (c->len == sizeof(value)) {
        err = copyin(&value, c->data, sizeof(value));
    } else {
        return -EINVAL;
    }
    if (err)
        return err;
    if (value < min || value > max)
        return -EINVAL;
    *out = value;
    return 0;
}

static int get_info4(const struct control *c, struct inet_control *out)
{
    struct in_pktinfo info;
    if (c->len != sizeof(info))
        return -EINVAL;
    int err = copyin(&info, c->data, sizeof(info));
    if (err)
        return err;
    out->device = (unsigned)info.device;
    if (info.local)
        out->source = net_addr_v4(info.local);
    return 0;
}

static int get_info6(const struct control *c, struct inet_control *out)
{
    struct in6_pktinfo info;
    if (c->len < sizeof(info))
        return -EINVAL;
    int err = copyin(&info, c->data, sizeof(info));
    if (err)
        return err;
    out->device = (unsigned)info.device;
    memcpy(out->source.bytes, info.address, sizeof(info.address));
    return 0;
}

static int get_segment(const struct control *c, struct inet_control *out)
{
    if (c->len != sizeof(out->segment))
        return -EINVAL;
    return copyin(&out->segment, c->data, sizeof(out->segment));
}

static int get_one(const struct control *c, void *arg)
{
    struct inet_control *out = arg;
    if (c->level == SOL_IP) {
        switch (c->type) {
        case IP_PKTINFO:
            return get_info4(c, out);
        case IP_TTL:
            return get_int(c, 1, 255, &out->ttl);
        case IP_TOS:
            return get_int(c, 0, 255, &out->tos);
        default:
            return -EINVAL;
        }
    }
    if (c->level == SOL_IPV6) {
        switch (c->type) {
        case IPV6_PKTINFO:
            return get_info6(c, out);
        case IPV6_HOPLIMIT:
            return get_int(c, -1, 255, &out->ttl);
        case IPV6_TCLASS:
            return get_int(c, -1, 255, &out->tos);
        default:
            return -EINVAL;
        }
    }
    if (c->level == SOL_UDP && c->type == UDP_SEGMENT)
        return get_segment(c, out);
    return c->level == SOL_UDP ? -EINVAL : 0; /* not for us: ignored, as on Linux */
}

int inet_control_get(const struct inet_sock *sock, const struct socket_msg *msg,
                     struct inet_control *out)
{
    int err = control_walk(msg, get_one, out);
    if (err == 0 && !net_addr_is_any(&out->source) &&
        !(__atomic_load_n(&sock->options, __ATOMIC_RELAXED) & (INET_FREEBIND | INET_TRANSPARENT)) &&
        !ip_is_local(&out->source, 0))
        err = -EINVAL;
    return err;
}

/* ---- to a receiver ---- */

static void put_v4(uint32_t options, struct socket_msg *msg, const struct pkt *pkt)
{
    const uint8_t *ip = pkt->room + pkt->network;
    if (options & INET_PKTINFO) {
        struct in_pktinfo info = {.device = pkt->dev ? (int32_t)pkt->dev->index : 0};
        memcpy(&info.dest, ip + 16, sizeof(info.dest));
        info.local = info.dest;
        control_add(msg, SOL_IP, IP_PKTINFO, &info, sizeof(info));
    }
    if (options & INET_RECVTTL)
        control_add(msg, SOL_IP, IP_TTL, &(int32_t){ip[8]}, sizeof(int32_t));
    if (options & INET_RECVTOS)
        control_add(msg, SOL_IP, IP_TOS, ip + 1, 1);
    if (options & INET_RECVORIGDST) {
        struct {
            uint16_t family, port;
            uint32_t address;
            uint8_t zero[8];
        } name = {.family = AF_INET};
        memcpy(&name.port, pkt->room + pkt->transport + 2, sizeof(name.port));
        memcpy(&name.address, ip + 16, sizeof(name.address));
        control_add(msg, SOL_IP, IP_ORIGDSTADDR, &name, sizeof(name));
    }
}

/* What one of two options asked for, under the one's name or the other's (RFC 3542, RFC 2292). */
static void put_asked(uint32_t now, uint32_t before, int type, int type_2292,
                      struct socket_msg *msg, const void *data, size_t len)
{
    if (now)
        control_add(msg, SOL_IPV6, type, data, len);
    if (before)
        control_add(msg, SOL_IPV6, type_2292, data, len);
}

static void put_v6(const struct inet_sock *sock, uint32_t options, struct socket_msg *msg,
                   const struct pkt *pkt)
{
    const uint8_t *ip = pkt->room + pkt->network;
    bool v4 = ip[0] >> 4 == 4;
    int32_t hops = v4 ? ip[8] : ip[7];
    struct in6_pktinfo info = {.device = pkt->dev ? (int32_t)pkt->dev->index : 0};
    if (v4) {
        info.address[10] = info.address[11] = 0xff;
        memcpy(info.address + 12, ip + 16, 4);
    } else {
        memcpy(info.address, ip + 24, sizeof(info.address));
    }
    put_asked(options & INET_PKTINFO6, options & INET_PKTINFO_2292, IPV6_PKTINFO, IPV6_2292PKTINFO,
              msg, &info, sizeof(info));
    put_asked(options & INET_RECVHOPLIMIT, options & INET_HOPLIMIT_2292, IPV6_HOPLIMIT,
              IPV6_2292HOPLIMIT, msg, &hops, sizeof(hops));
    if (options & INET_RECVTCLASS) {
        int32_t tclass = v4 ? ip[1] : (get_be16(ip) >> 4) & 0xff;
        control_add(msg, SOL_IPV6, IPV6_TCLASS, &tclass, sizeof(tclass));
    }
    if (options & INET_RECVORIGDST6 && !v4) {
        struct socket_name name;
        uint16_t port;
        memcpy(&port, pkt->room + pkt->transport + 2, sizeof(port));
        inet_name_put(sock, (const struct net_addr *)info.address, port, (unsigned)info.device,
                      &name);
        control_add(msg, SOL_IPV6, IPV6_ORIGDSTADDR, name.bytes, name.len);
    }
}

/* mono_ns: when it came; 0: it came before anybody wanted to know, then now (as on Linux). */
static void put_time(const struct inet_sock *sock, struct socket_msg *msg, uint64_t mono_ns)
{
    if (!socket_switch(&sock->base, SO_TIMESTAMP) &&
        !__atomic_load_n(&sock->base.stamping, __ATOMIC_RELAXED))
        return;
    uint64_t ns = clock_wall_ns();
    if (mono_ns)
        ns -= clock_mono_ns() - mono_ns;
    control_put_time(msg, &sock->base, ns);
}

void inet_control_put(const struct inet_sock *sock, struct socket_msg *msg, const struct pkt *pkt)
{
    uint32_t options = __atomic_load_n(&sock->options, __ATOMIC_RELAXED);
    put_time(sock, msg, pkt->time_ns);
    if (pkt->room[pkt->network] >> 4 == 4)
        put_v4(options, msg, pkt);
    if (sock->base.family == AF_INET6)
        put_v6(sock, options, msg, pkt);
}
