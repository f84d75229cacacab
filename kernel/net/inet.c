/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inet.c - what AF_INET and AF_INET6 sockets share: life, lock and channel, waiting, names,
 * binding. Contract: inet.h.
 */
#include "net/inet.h"

#include "net/bpf.h"

#include "core/assert.h"
#include "fs/vfs.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/usercopy.h"
#include "net/mib.h"

/* As user code has them (ip(7), ipv6(7)). */
struct sockaddr_in {
    uint16_t family, port;
    uint32_t address;
    uint8_t zero[8];
};
struct sockaddr_in6 {
    uint16_t family, port;
    uint32_t flow_info;
    uint8_t address[16];
    uint32_t scope;
};
STATIC_ASSERT(sizeof(struct sockaddr_in) == INADDR_NAME_LEN);
STATIC_ASSERT(sizeof(struct sockaddr_in6) == INADDR6_NAME_LEN);
#define INADDR6_NAME_MIN 24u /* without the scope (RFC 2133); Linux: SIN6_LEN_RFC2133 */

/* ---- the flow of a socket ---- */

static void sock_input(struct flow *flow)
{
    struct inet_sock *sock = inet_of_flow(flow);
    if (!mutex_try(&sock->lock))
        return; /* its owner looks at the channel when it unlocks */
    sock->protocol->input(sock);
    inet_unlock(sock);
}

/* A waiter stands in the queue, then looks at the channel (poll does, under the lock); the producer
 * pushes, then looks at the queue. Both take the queue's lock: the later one sees the other. */
static bool sock_unwatched(struct flow *flow)
{
    struct inet_sock *sock = inet_of_flow(flow);
    return sock->protocol->lazy && !waitq_busy(&sock->base.wait);
}

static void sock_wake_readers(struct flow *flow)
{
    waitq_wake_all(&inet_of_flow(flow)->sleepers, 0);
}

static void sock_error(struct flow *flow, const struct ip_error *error)
{
    struct inet_sock *sock = inet_of_flow(flow);
    inet_lock(sock);
    sock->protocol->error(sock, error);
    inet_unlock(sock);
}

static void sock_late(struct flow *flow, struct pkt *pkt)
{
    /* Raw sockets have copies. */
    if (inet_of_flow(flow)->base.type == SOCK_RAW || flow->key.protocol == IPPROTO_ICMP)
        pkt_free(pkt);
    else
        ip_input_again(pkt);
}

static void sock_free(struct flow *flow)
{
    struct inet_sock *sock = inet_of_flow(flow);
    sock->protocol->free(sock);
}

static const struct flow_ops sock_flow_ops = {
    .input = sock_input,
    .unwatched = sock_unwatched,
    .wake = sock_wake_readers,
    .error = sock_error,
    .late = sock_late,
    .free = sock_free,
};

void inet_sock_init(struct inet_sock *sock, const struct socket_ops *ops,
                    const struct inet_protocol *protocol, int family, int type, int number)
{
    socket_init(&sock->base, ops, family, type, number);
    flow_init(&sock->flow, FLOW_SOCKET, &sock_flow_ops);
    sock->flow.key.protocol = (uint8_t)number;
    sock->flow.channel.limit = (uint32_t)sock->base.receive_buffer;
    if (family == AF_INET) {
        sock->flow.key.local = net_addr_any_v4;
        sock->flow.key.remote = net_addr_any_v4;
    }
    mutex_init(&sock->lock, RANK_SOCK);
    waitq_init(&sock->sleepers);
    sock->protocol = protocol;
    /* Of the other family's groups an IPv6 socket gets what it joined (Linux: inet6_create). */
    sock->options = INET_MULTICAST_LOOP | INET_AUTOFLOWLABEL |
                    (family == AF_INET6 ? INET_MULTICAST_ALL6 : INET_MULTICAST_ALL);
    sock->ttl = sock->hop_limit = -1;
    sock->multicast_ttl = sock->multicast_hops = 1;
    sock->mtu_discover = PMTUDISC_WANT;
}

void inet_sock_fini(struct inet_sock *sock)
{
    inet_groups_leave(sock);
    inet_error_purge(sock);
    route_release(&sock->route);
    port_release(&sock->port);
    bpf_free(&sock->base);
}

/* ---- the lock, and sleeping ---- */

void inet_lock(struct inet_sock *sock)
{
    mutex_lock_inline(&sock->lock);
    if (!channel_empty(&sock->flow.channel))
        sock->protocol->input(sock);
}

/* The way that is hardly ever taken: the usual one needs no registers saved for it. */
static no_inline void drain(struct inet_sock *sock)
{
    while (!channel_empty(&sock->flow.channel) && mutex_try(&sock->lock)) {
        sock->protocol->input(sock);
        mutex_unlock(&sock->lock);
    }
}

void inet_unlock(struct inet_sock *sock)
{
    mutex_unlock_inline(&sock->lock);
    if (!channel_empty(&sock->flow.channel))
        drain(sock);
}

/* Once, without the lock; with it again at the end. Conditions change under the lock and their
 * changers wake `sleepers` then, so none is missed between the caller's look and the queue. */
static int sleep_locked(struct inet_sock *sock, uint64_t deadline_ns)
{
    struct waiter w;
    int err = 0;
    waitq_prepare(&sock->sleepers, &w, true);
    /* Then the channel (docs/network.md): whoever pushes behind this look sees a reader. */
    __atomic_fetch_add(&sock->flow.readers, 1, __ATOMIC_SEQ_CST);
    bool sleep = channel_empty(&sock->flow.channel);
    mutex_unlock(&sock->lock);
    if (sleep)
        err = waitq_sleep(&w, deadline_ns);
    __atomic_fetch_sub(&sock->flow.readers, 1, __ATOMIC_SEQ_CST);
    waitq_finish(&w);
    inet_lock(sock);
    return err;
}

int inet_wait(struct inet_sock *sock, bool (*cond)(void *arg), void *arg, uint64_t deadline_ns)
{
    int err = 0;
    while (!cond(arg)) {
        if (deadline_ns == 0 || err == -ETIMEDOUT)
            return -EAGAIN;
        if (err == -ERESTARTSYS) /* signal(7) */
            return deadline_ns == UINT64_MAX ? err : -EINTR;
        err = sleep_locked(sock, deadline_ns);
    }
    return 0;
}

void inet_wake(struct inet_sock *sock, uint32_t events)
{
    waitq_wake_all(&sock->sleepers, 0);
    if (events ==
        (POLLIN | POLLRDNORM)) /* one of several instances with EPOLLEXCLUSIVE may take it */
        waitq_wake_one(&sock->base.wait, events);
    else
        waitq_wake_all(&sock->base.wait, events);
}

void inet_set_error(struct inet_sock *sock, int error)
{
    __atomic_store_n(&sock->base.error, error, __ATOMIC_RELEASE);
}

void inet_buffers_changed(struct socket *socket)
{
    struct inet_sock *sock = inet_of(socket);
    __atomic_store_n(&sock->flow.channel.limit,
                     (uint32_t)__atomic_load_n(&socket->receive_buffer, __ATOMIC_RELAXED),
                     __ATOMIC_RELAXED);
}

/* ---- names ---- */

static int name_get4(const struct socket_name *name, struct inet_name *out)
{
    struct sockaddr_in in;
    if (name->len < sizeof(in))
        return -EINVAL;
    memcpy(&in, name->bytes, sizeof(in));
    *out = (struct inet_name){.address = net_addr_v4(in.address), .port = in.port};
    return 0;
}

static int name_get6(const struct inet_sock *sock, const struct socket_name *name,
                     struct inet_name *out)
{
    struct sockaddr_in6 in = {.scope = 0};
    if (name->len < INADDR6_NAME_MIN)
        return -EINVAL;
    memcpy(&in, name->bytes, MIN(name->len, sizeof(in)));
    *out = (struct inet_name){.port = in.port, .flow_info = in.flow_info};
    memcpy(out->address.bytes, in.address, sizeof(in.address));
    if (net_addr_has_scope(&out->address))
        out->scope = in.scope;
    if (net_addr_is_v4(&out->address) && sock->flow.v6_only)
        return -ENETUNREACH;
    return 0;
}

int inet_name_get(const struct inet_sock *sock, const struct socket_name *name,
                  struct inet_name *out)
{
    if (name->len < sizeof(name->family))
        return -EINVAL;
    if (sock->base.family == AF_INET)
        return name->family == AF_INET || (name->family == AF_UNSPEC && name->len >= 16)
                   ? name_get4(name, out)
                   : -EAFNOSUPPORT;
    /* UDP of both families takes names of both (Linux). */
    if (name->family == AF_INET && sock->base.type == SOCK_DGRAM && !sock->flow.v6_only)
        return name_get4(name, out);
    return name->family == AF_INET6 ? name_get6(sock, name, out) : -EAFNOSUPPORT;
}

void inet_name_put(const struct inet_sock *sock, const struct net_addr *address, uint16_t port,
                   unsigned scope, struct socket_name *out)
{
    memset(out, 0, sizeof(*out));
    if (sock->base.family == AF_INET) {
        struct sockaddr_in in = {AF_INET, port, address->word[3], {0}};
        out->len = sizeof(in);
        memcpy(out->bytes, &in, sizeof(in));
        return;
    }
    struct sockaddr_in6 in = {.family = AF_INET6, .port = port};
    memcpy(in.address, address->bytes, sizeof(in.address));
    if (net_addr_has_scope(address))
        in.scope = scope;
    out->len = sizeof(in);
    memcpy(out->bytes, &in, sizeof(in));
}

int inet_get_name(struct socket *socket, bool peer, struct socket_name *out)
{
    struct inet_sock *sock = inet_of(socket);
    int err = 0;
    inet_lock(sock);
    const struct flow_key *key = &sock->flow.key;
    if (!peer)
        inet_name_put(sock, &key->local, key->local_port, sock->flow.device, out);
    else if (sock->connected && key->remote_port) /* Linux: none connected to port 0 */
        inet_name_put(sock, &key->remote, key->remote_port, sock->flow.device, out);
    else
        err = -ENOTCONN;
    inet_unlock(sock);
    return err;
}

/* ---- binding ---- */

/* What may be bound: any, one of ours, a group or (datagrams) a broadcast address (ip(7)). */
static int check_address(const struct inet_sock *sock, const struct inet_name *name)
{
    uint32_t options = __atomic_load_n(&sock->options, __ATOMIC_RELAXED);
    const struct net_addr *a = &name->address;
    if (net_addr_is_any(a) || options & (INET_FREEBIND | INET_TRANSPARENT))
        return 0;
    if (ip_is_local(a, name->scope))
        return 0;
    if (sock->base.type != SOCK_STREAM && (net_addr_is_multicast(a) || ip_is_broadcast(a, 0)))
        return 0;
    return -EADDRNOTAVAIL;
}

struct port_range inet_port_range(const struct inet_sock *sock)
{
    const struct socket_rare *rare = socket_rare(&sock->base);
    if (!rare)
        return (struct port_range){0, 0};
    return (struct port_range){__atomic_load_n(&rare->port_first, __ATOMIC_RELAXED),
                               __atomic_load_n(&rare->port_last, __ATOMIC_RELAXED)};
}

int inet_check_scope(const struct inet_sock *sock, const struct inet_name *name)
{
    /* A hint without the lock: a race of calls with SO_BINDTODEVICE has no right answer. */
    unsigned bound = __atomic_load_n(&sock->flow.device, __ATOMIC_RELAXED);
    if (!net_addr_has_scope(&name->address))
        return 0;
    if (name->scope ? bound && bound != name->scope : !bound)
        return -EINVAL;
    return name->scope && !netdev_by_index(name->scope) ? -ENODEV : 0;
}

int inet_bind_port_locked(struct inet_sock *sock, uint16_t port, bool open)
{
    struct flow *flow = &sock->flow;
    flow->reuse_port = socket_switch(&sock->base, SO_REUSEPORT);
    sock->port = (struct port_use){
        .local = flow->key.local,
        .uid = proc_cred()->euid,
        .device = flow->device,
        .protocol = flow->key.protocol,
        .reuse_address = socket_switch(&sock->base, SO_REUSEADDR),
        .reuse_port = flow->reuse_port,
        .v6_only = flow->v6_only,
    };
    int err = port_bind(&sock->port, port, inet_port_range(sock));
    if (err)
        return err;
    flow->key.local_port = net16(sock->port.port);
    sock->port_chosen = port != 0;
    /* TCP takes packets only when it listens or has a peer. */
    if (open && sock->base.type != SOCK_STREAM)
        flow_listen(flow, &flow->key.local);
    return 0;
}

static int bind_locked(struct inet_sock *sock, const struct inet_name *name)
{
    struct flow_key *key = &sock->flow.key;
    /* An address whose port is not chosen, or was given back, may be chosen again (Linux). */
    if (sock->port.port || sock->connected)
        return -EINVAL;
    if (name->scope)
        __atomic_store_n(&sock->flow.device, name->scope, __ATOMIC_RELAXED);
    bool later =
        !name->port && __atomic_load_n(&sock->options, __ATOMIC_RELAXED) & INET_BIND_NO_PORT;
    struct net_addr before = key->local;
    key->local = name->address;
    int err = later ? 0 : inet_bind_port_locked(sock, net16(name->port), true);
    if (err)
        key->local = before;
    else
        sock->bound_address = !net_addr_is_any(&name->address);
    return err;
}

int inet_autobind_locked(struct inet_sock *sock)
{
    return sock->port.port ? 0 : inet_bind_port_locked(sock, 0, true);
}

int inet_bind(struct socket *socket, const struct socket_name *name)
{
    struct inet_sock *sock = inet_of(socket);
    struct inet_name in;
    int err = inet_name_get(sock, name, &in);
    if (err == 0 && name->family == AF_INET && socket->family == AF_INET6)
        err = -EAFNOSUPPORT;
    /* Linux takes AF_UNSPEC for AF_INET if the address is 0.0.0.0. */
    if (err == 0 && name->family == AF_UNSPEC && !net_addr_is_any(&in.address))
        err = -EAFNOSUPPORT;
    /* And an IPv4-mapped address is refused here, not unreachable. */
    if (err == -ENETUNREACH)
        err = -EINVAL;
    if (err == 0)
        err = inet_check_scope(sock, &in);
    if (err == 0)
        err = check_address(sock, &in);
    if (err)
        return err;
    mutex_lock(inet_op_lock(sock));
    inet_lock(sock);
    err = bind_locked(sock, &in);
    inet_unlock(sock);
    mutex_unlock(inet_op_lock(sock));
    return err;
}

/* ---- routes, headers ---- */

/* By which device a route is asked for; 0: any. IP_UNICAST_IF is datagrams' (Linux). */
static unsigned route_device(const struct inet_sock *sock, const struct net_addr *remote,
                             unsigned scope)
{
    const struct socket_rare *rare = socket_rare(&sock->base);
    if (sock->flow.device || scope)
        return sock->flow.device ? sock->flow.device : scope;
    if (!rare || sock->base.type == SOCK_STREAM || net_addr_is_multicast(remote))
        return 0;
    return __atomic_load_n(net_addr_is_v4(remote) ? &rare->unicast_device : &rare->unicast6_device,
                           __ATOMIC_RELAXED);
}

int inet_route_from_locked(struct inet_sock *sock, const struct net_addr *remote, unsigned scope,
                           const struct net_addr *source)
{
    unsigned device = route_device(sock, remote, scope);
    sock->route_device = device;
    if (net_addr_is_multicast(remote)) {
        if (!device)
            device = sock->multicast_device;
        if (!source || net_addr_is_any(source) || net_addr_is_multicast(source))
            source = &sock->multicast_source;
    } else if (source && net_addr_is_multicast(source)) {
        source = NULL; /* bound to a group: that is not where we send from */
    }
    int err = route_lookup(&sock->route, remote, source, device);
    if (err == -ENETUNREACH)
        mib_count(net_addr_is_v4(remote) ? MIB_Ip_OutNoRoutes : MIB_Ip6_OutNoRoutes);
    return err;
}

int inet_route_locked(struct inet_sock *sock, const struct net_addr *remote, unsigned scope)
{
    unsigned device = route_device(sock, remote, scope);
    if (route_current(&sock->route) && sock->route_device == device &&
        net_addr_equal(&sock->route.remote, remote))
        return 0;
    return inet_route_from_locked(sock, remote, scope, &sock->flow.key.local);
}

struct ip_params inet_params(const struct inet_sock *sock, const struct net_addr *remote)
{
    bool v4 = net_addr_is_v4(remote), many = net_addr_is_multicast(remote);
    int hops = v4 ? sock->ttl : sock->hop_limit;
    struct ip_params params = {
        .protocol = sock->flow.key.protocol,
        .tos = v4 ? sock->tos : sock->traffic_class,
        .ttl = (uint8_t)(hops < 0 ? 0 : hops),
        .dont_fragment = sock->mtu_discover == PMTUDISC_DO || sock->mtu_discover == PMTUDISC_PROBE,
    };
    if (!v4 && __atomic_load_n(&sock->options, __ATOMIC_RELAXED) & INET_DONTFRAG6)
        params.dont_fragment = true; /* RFC 3542, 11.2 */
    if (many) {
        params.ttl = v4 ? sock->multicast_ttl : sock->multicast_hops;
        params.no_loop = !(__atomic_load_n(&sock->options, __ATOMIC_RELAXED) & INET_MULTICAST_LOOP);
    }
    return params;
}

/* ---- packets and user memory ---- */

/* A piece of as much as a block of pages holds, or a page if there is no such block: all of it is
 * used. NULL: no memory. */
static struct pkt *piece_for(uint32_t headroom, size_t len)
{
    uint32_t room = PKT_PIECE_MAX;
    while (room > PAGE_SIZE && room > headroom + len)
        room /= 2;
    struct pkt *piece = room > PAGE_SIZE ? pkt_alloc(headroom, room - headroom, 0) : NULL;
    return piece ? piece : pkt_alloc(headroom, (uint32_t)MIN(len, PAGE_SIZE - headroom), 0);
}

/* One piece of at most `len` bytes; NULL: *err says why. */
static struct pkt *piece_from(struct iov_iter *from, uint32_t headroom, size_t len, int *err)
{
    struct pkt *piece = piece_for(headroom, len);
    *err = -ENOMEM;
    if (!piece)
        return NULL;
    uint32_t n = (uint32_t)MIN(len, piece->size - headroom);
    void *to = pkt_put(piece, n);
    if (to && iov_copy_from(from, to, n) == (long)n)
        return piece;
    *err = -EFAULT;
    pkt_free(piece);
    return NULL;
}

int inet_packet_from(struct iov_iter *from, uint32_t headroom, size_t len, struct pkt **out)
{
    int err;
    struct pkt *pkt = piece_from(from, headroom, len, &err);
    if (!pkt)
        return err;
    while (pkt->total < len) {
        struct pkt *piece = piece_from(from, 0, len - pkt->total, &err);
        if (!piece) {
            pkt_free(pkt);
            return err;
        }
        pkt_append(pkt, piece);
    }
    *out = pkt;
    return 0;
}

int inet_packet_to(const struct pkt *pkt, uint32_t offset, size_t len, struct iov_iter *to)
{
    for (; len > 0; pkt = pkt->more) {
        if (offset >= pkt->len) {
            offset -= pkt->len;
            continue;
        }
        size_t n = MIN(len, (size_t)(pkt->len - offset));
        if (iov_copy_to(to, pkt->data + offset, n) != (long)n)
            return -EFAULT;
        len -= n;
        offset = 0;
    }
    return 0;
}

/* ---- families ---- */

static int inet_create(int family, int type, int protocol, struct socket **out)
{
    static int (*const create[])(int family, int type, int protocol, struct socket **out) = {
        [SOCK_STREAM] = tcp_create,
        [SOCK_DGRAM] = udp_create,
        [SOCK_RAW] = raw_create,
    };
    bool ping = protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
    if (type == SOCK_DGRAM && ping) /* icmp(7): without being root */
        return raw_create(family, type, protocol, out);
    if ((unsigned)type >= ARRAY_COUNT(create) || !create[type])
        return -ESOCKTNOSUPPORT;
    return create[type](family, type, protocol, out);
}

static int inet4_create(int type, int protocol, struct socket **out)
{
    return inet_create(AF_INET, type, protocol, out);
}

static int inet6_create(int type, int protocol, struct socket **out)
{
    return inet_create(AF_INET6, type, protocol, out);
}

int inet_init(void)
{
    static const struct socket_family families[] = {
        {AF_INET, inet4_create},
        {AF_INET6, inet6_create},
    };
    socket_device_ioctl = inet_ioctl;
    port_table_init();
    raw_init();
    tcp_sock_init();
    int err = flow_table_init();
    if (err)
        return err;
    for (size_t i = 0; i < ARRAY_COUNT(families); i++)
        socket_family_register(&families[i]);
    return 0;
}
