/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * udp.c - UDP (RFC 768, RFC 1122 section 4.1, RFC 8085) over IPv4 and IPv6.
 *
 * Receiving is dgram.c's; protocol input drops what has a wrong checksum.
 *
 * Sending: the datagram is copied from the program before any lock is taken, then given its header
 * and sent under the lock, which guards the route. MSG_MORE and UDP_CORK collect pieces in `cork`.
 * With UDP_SEGMENT one call sends many datagrams as one packet that the device, or drv/segment.c,
 * cuts (PKT_GSO_UDP).
 *
 * Tables: a socket with a port and no peer is among the bound flows, with a peer among the
 * connected. While it changes from one peer to another, or to none, it is among the bound ones,
 * too, so that nothing that is for it is lost while a grace period passes; `expects` keeps out what
 * strangers send then (op_lock is held meanwhile).
 */
#include "core/assert.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/usercopy.h"
#include "net/bpf.h"
#include "net/dgram.h"
#include "net/mib.h"

#define UDP_HEADER 8u
#define UDP_MAX 65507u /* IPv4: 65535 - 20 - 8 */
#define UDP6_MAX 65527u
#define SEGMENTS_MAX 64u /* Linux: UDP_MAX_SEGMENTS */
#define SOL_UDP 17
enum { UDP_CORK = 1, UDP_SEGMENT = 103, UDP_GRO = 104 };

struct udp_sock {
    struct dgram_sock dgram; /* first */
    struct pkt *cork;        /* MSG_MORE, UDP_CORK: what was said so far; NULL: nothing */
    struct inet_name cork_name;
    struct inet_control cork_control;
    uint16_t segment; /* UDP_SEGMENT for all sends */
    bool corking;     /* UDP_CORK */
    bool unlisted;    /* has left the bound flows since the last grace period; by op_lock */
    bool expects;     /* nothing is taken but from `peer` */
    struct inet_name peer;
};

static struct udp_sock *udp_of(struct inet_sock *sock)
{
    return container_of(sock, struct udp_sock, dgram.inet);
}

/* ---- receiving ---- */

/* Addresses of the IP header. */
static void addresses(const struct pkt *pkt, struct net_addr *local, struct net_addr *remote)
{
    const uint8_t *ip = pkt->room + pkt->network;
    uint32_t word[2];
    if (ip[0] >> 4 == 4) {
        memcpy(word, ip + 12, sizeof(word));
        *remote = net_addr_v4(word[0]);
        *local = net_addr_v4(word[1]);
        return;
    }
    memcpy(remote, ip + 8, sizeof(*remote));
    memcpy(local, ip + 24, sizeof(*local));
}

/* Is it from who may send? What came before connect(2) has been taken by then. */
static bool from_peer(const struct udp_sock *udp, const struct dgram_info *info)
{
    return !udp->expects || (info->remote_port == udp->peer.port &&
                             net_addr_equal(&info->remote, &udp->peer.address));
}

/* To the queue, data at the payload; consumes. False: dropped. The lengths were checked by
 * classify. */
static bool enqueue(struct udp_sock *udp, struct pkt *pkt)
{
    struct inet_sock *sock = &udp->dgram.inet;
    struct net_addr local;
    struct dgram_info *info = dgram_info(pkt);
    const uint8_t *header = pkt->room + pkt->transport;
    uint32_t truesize = pkt->truesize, len = get_be16(header + 4);
    uint32_t skip = (uint32_t)(header - pkt->data);
    memset(info, 0, sizeof(*info));
    addresses(pkt, &local, &info->remote);
    bool v4 = pkt->room[pkt->network] >> 4 == 4;
    memcpy(&info->remote_port, header, 2);
    bool summed = get_be16(header + 6) != 0;
    /* RFC 8200, 8.1: over IPv6 there is always a checksum. */
    bool good = summed ? ip_checksum_ok(pkt, skip, len, &local, &info->remote, IPPROTO_UDP) : v4;
    if (!good) {
        mib_count(MIB_Udp_InErrors);
        mib_count(MIB_Udp_InCsumErrors);
    }
    bool wanted = good && !sock->dead && !(socket_shut(&sock->base) & SHUT_RECEIVE) &&
                  from_peer(udp, info) &&
                  (!net_addr_is_multicast(&local) ||
                   inet_group_wanted(sock, &local, pkt->dev ? pkt->dev->index : 0, &info->remote));
    pkt_trim(pkt, skip + len);
    uint32_t keep = wanted ? bpf_filter_ip(&sock->base, pkt, skip) : 0;
    if (keep == 0) {
        channel_discharge(&sock->flow.channel, truesize);
        pkt_free(pkt);
        return false;
    }
    pkt_trim(pkt, skip + MIN(len, MAX(keep, UDP_HEADER)));
    pkt_skip(pkt, skip + UDP_HEADER);
    /* What was cut off is held no more; the rest is given back when it has been read. */
    channel_discharge(&sock->flow.channel, truesize - pkt->truesize);
    pkt_queue_add(&udp->dgram.queue, pkt);
    mib_count(MIB_Udp_InDatagrams);
    return true;
}

static void udp_input(struct inet_sock *sock)
{
    struct udp_sock *udp = udp_of(sock);
    struct pkt *list = channel_take(&sock->flow.channel);
    bool any = false;
    while (list) {
        struct pkt *next = list->next;
        list->next = NULL;
        any |= enqueue(udp, list);
        list = next;
    }
    if (any)
        inet_wake(sock, POLLIN | POLLRDNORM);
}

/* ---- sending ---- */

/* To whom, and how. */
struct udp_send {
    struct inet_name name;
    struct inet_control control;
};

static int target_locked(struct inet_sock *sock, const struct socket_msg *msg, struct udp_send *to)
{
    if (msg->name)
        return 0;
    if (!sock->connected)
        return -EDESTADDRREQ;
    to->name = (struct inet_name){.address = sock->flow.key.remote,
                                  .port = sock->flow.key.remote_port,
                                  .scope = sock->peer_scope};
    return 0;
}

static int check_target(const struct inet_sock *sock, struct udp_send *to)
{
    if (to->name.port == 0)
        return -EINVAL;
    if (net_addr_is_any(&to->name.address)) /* as Linux: this host */
        to->name.address = net_addr_is_v4(&to->name.address)
                               ? net_addr_v4(net32(0x7f000001))
                               : (struct net_addr){.bytes = {[15] = 1}};
    return ip_is_broadcast(&to->name.address, 0) && !socket_switch(&sock->base, SO_BROADCAST)
               ? -EACCES
               : 0;
}

/* The header, and what a segmenting device needs. `pkt` has the payload. */
static void push_header(const struct inet_sock *sock, struct pkt *pkt,
                        const struct net_addr *source, const struct udp_send *to, uint16_t segment)
{
    uint32_t len = pkt->total + UDP_HEADER;
    uint8_t *header = pkt_push(pkt, UDP_HEADER);
    bool v4 = net_addr_is_v4(&to->name.address);
    memcpy(header, &sock->flow.key.local_port, 2);
    memcpy(header + 2, &to->name.port, 2);
    put_be16(header + 4, (uint16_t)len);
    pkt->transport = (uint16_t)(header - pkt->room);
    if (segment && len - UDP_HEADER > segment) {
        pkt->gso = PKT_GSO_UDP;
        pkt->gso_size = segment;
    }
    if (v4 && socket_switch(&sock->base, SO_NO_CHECK) && !pkt->gso) {
        memset(header + 6, 0, 2);
        return;
    }
    uint16_t sum = checksum_fold(ip_pseudo_sum(source, &to->name.address, IPPROTO_UDP, len));
    memcpy(header + 6, &sum, 2);
    pkt->checksum = PKT_CHECKSUM_PARTIAL;
    pkt->checksum_start = pkt->transport;
    pkt->checksum_field = 6;
}

static int check_size(const struct inet_sock *sock, const struct pkt *pkt,
                      const struct net_addr *remote, uint16_t segment)
{
    if (pkt->total > (net_addr_is_v4(remote) ? UDP_MAX : UDP6_MAX))
        return -EMSGSIZE;
    if (!segment)
        return 0;
    if (segment + UDP_HEADER > route_payload(&sock->route))
        return -EINVAL;
    return pkt->total > (uint32_t)segment * SEGMENTS_MAX ? -EINVAL : 0;
}

/* Send the payload; consumes. The lock is held. */
static int output_locked(struct inet_sock *sock, struct pkt *pkt, const struct udp_send *to)
{
    struct udp_sock *udp = udp_of(sock);
    const struct inet_control *c = &to->control;
    unsigned device = c->device ? c->device : to->name.scope;
    struct net_addr source = c->source;
    uint16_t segment = c->segment ? c->segment : udp->segment;
    int err = inet_route_locked(sock, &to->name.address, device);
    if (err == 0)
        err = check_size(sock, pkt, &to->name.address, segment);
    if (err) {
        pkt_free(pkt);
        return err;
    }
    if (net_addr_is_any(&source)) {
        source = sock->flow.key.local;
        if (net_addr_is_any(&source) || net_addr_is_multicast(&source) ||
            net_addr_is_v4(&source) != net_addr_is_v4(&to->name.address))
            source = sock->route.source;
    }
    push_header(sock, pkt, &source, to, segment);
    struct ip_params params = inet_params(sock, &to->name.address);
    if (c->ttl >= 0)
        params.ttl = (uint8_t)c->ttl;
    if (c->tos >= 0)
        params.tos = (uint8_t)c->tos;
    err = inet_sent(sock, &to->name, ip_output(&sock->route, pkt, &source, &params));
    mib_count(err == -ENOBUFS ? MIB_Udp_SndbufErrors : MIB_Udp_OutDatagrams);
    /* A full device is no error of the program's, unless it wants to know (ip(7), IP_RECVERR). */
    if (err == -ENOBUFS && !(__atomic_load_n(&sock->options, __ATOMIC_RELAXED) & INET_RECVERR))
        err = 0;
    return err;
}

/* More to come, or behind what came before? Consumes pkt. *pkt: NULL, or the whole to be sent. */
static int cork_locked(struct udp_sock *udp, bool more, struct udp_send *to, struct pkt **pkt)
{
    if (udp->cork) {
        if (udp->cork->total + (*pkt)->total > UDP6_MAX) {
            pkt_free(*pkt);
            *pkt = NULL;
            return -EMSGSIZE;
        }
        pkt_append(udp->cork, *pkt);
        *pkt = udp->cork;
        udp->cork = NULL;
        to->name = udp->cork_name;
        to->control = udp->cork_control;
    }
    if (more) {
        udp->cork = *pkt;
        udp->cork_name = to->name;
        udp->cork_control = to->control;
        *pkt = NULL;
    }
    return 0;
}

static int prepare(struct inet_sock *sock, struct socket_msg *msg, struct udp_send *to)
{
    *to = (struct udp_send){.control = {.ttl = -1, .tos = -1}};
    if (msg->flags & MSG_OOB && sock->base.family == AF_INET) /* IPv6: ignored (Linux) */
        return -EOPNOTSUPP;
    if (msg->data->left > (sock->base.family == AF_INET ? UDP_MAX : UDP6_MAX))
        return -EMSGSIZE;
    int err = msg->name ? inet_name_get(sock, msg->name, &to->name) : 0;
    return err ? err : inet_control_get(sock, msg, &to->control);
}

static long udp_send(struct socket *socket, struct socket_msg *msg)
{
    struct inet_sock *sock = inet_of(socket);
    struct udp_sock *udp = udp_of(sock);
    struct udp_send to;
    struct pkt *pkt;
    long len = (long)msg->data->left;
    int err = prepare(sock, msg, &to);
    if (err == 0)
        err = inet_packet_of(msg, PKT_HEADROOM, msg->data->left, &pkt);
    inet_lock(sock);
    /* First of all, whatever else is wrong with the call (Linux: inet_send_prepare). */
    int bound = inet_autobind_locked(sock) ? -EAGAIN : 0;
    if (err) {
        inet_unlock(sock);
        return bound ? bound : err;
    }
    err = bound ? bound : target_locked(sock, msg, &to);
    if (err == 0)
        err = check_target(sock, &to);
    if (err == 0)
        err = socket_take_error(socket);
    if (err == 0 && socket_shut(socket) & SHUT_SEND)
        err = -EPIPE;
    if (err)
        pkt_free(pkt);
    else
        err = cork_locked(udp, (msg->flags & MSG_MORE) || udp->corking, &to, &pkt);
    if (err == 0 && pkt)
        err = output_locked(sock, pkt, &to);
    inet_unlock(sock);
    return err ? err : len;
}

/* ---- connecting ---- */

/* Before it goes among the bound flows again: nobody stands on its link any more. op_lock is held,
 * the lock is not. */
static void let_lookups_pass(struct udp_sock *udp)
{
    if (udp->unlisted)
        rcu_synchronize();
    udp->unlisted = false;
}

/* Out of the connected, among the bound if it has a port to keep; then its key may be changed.
 * op_lock is held, the lock is not. */
static void leave_peer(struct inet_sock *sock, bool keep_port)
{
    let_lookups_pass(udp_of(sock));
    inet_lock(sock);
    if (keep_port && !sock->flow.listening)
        flow_listen(&sock->flow, &sock->port.local);
    flow_remove(&sock->flow);
    sock->connected = false;
    inet_unlock(sock);
    rcu_synchronize();
}

static void forget_peer_locked(struct inet_sock *sock)
{
    struct flow_key *key = &sock->flow.key;
    bool v4 = sock->base.family == AF_INET;
    key->remote = v4 ? net_addr_any_v4 : net_addr_any;
    key->remote_port = 0;
    if (!sock->bound_address)
        key->local = sock->port.port ? sock->port.local : key->remote;
    route_release(&sock->route);
}

/* May it, and has it what it needs? Else all stays as it is. The lock is held. */
static int prepare_peer(struct inet_sock *sock, const struct inet_name *to)
{
    struct udp_sock *udp = udp_of(sock);
    const struct net_addr *source = sock->bound_address ? &sock->flow.key.local : NULL;
    bool fresh =
        !sock->port.port; /* and on no list that lookups stand on: dissolve waits for them */
    int err = fresh ? inet_bind_port_locked(sock, 0, false) : 0;
    if (err)
        return -EAGAIN; /* Linux: inet_dgram_connect */
    err = inet_route_from_locked(sock, &to->address, to->scope, source);
    if (err == 0 && sock->route.broadcast && !socket_switch(&sock->base, SO_BROADCAST))
        err = -EACCES;
    if (err && fresh) /* it keeps the port, as on Linux */
        flow_listen(&sock->flow, &sock->port.local);
    if (err == 0) {
        udp->expects = true;
        udp->peer = *to;
    }
    return err;
}

/* Among the connected. The lock is held; nobody stands on the flow there. */
static int enter_locked(struct inet_sock *sock, const struct inet_name *to)
{
    struct udp_sock *udp = udp_of(sock);
    struct flow_key *key = &sock->flow.key;
    if (!sock->bound_address)
        key->local = sock->port.local;
    int err = inet_route_from_locked(sock, &to->address, to->scope,
                                     sock->bound_address ? &key->local : NULL);
    if (err == 0 && net_addr_is_any(&key->local))
        key->local = sock->route.source;
    key->remote = to->address;
    key->remote_port = to->port;
    sock->peer_scope = to->scope;
    if (err == 0)
        err = flow_insert(&sock->flow);
    if (err) {
        udp->expects = false;
        forget_peer_locked(sock);
        if (!sock->flow.listening)
            flow_listen(&sock->flow, &sock->port.local);
        return err;
    }
    sock->connected = true;
    if (sock->flow.listening) {
        flow_unlisten(&sock->flow);
        udp->unlisted = true;
    }
    return 0;
}

/* op_lock is held. */
static int associate(struct inet_sock *sock, const struct inet_name *to)
{
    inet_lock(sock);
    int err = prepare_peer(sock, to);
    bool again = sock->flow.hashed;
    inet_unlock(sock);
    if (err)
        return err;
    if (again)
        leave_peer(sock, true);
    let_lookups_pass(udp_of(sock)); /* should it have to go back */
    inet_lock(sock);
    err = enter_locked(sock, to);
    inet_unlock(sock);
    return err;
}

/* connect(2), AF_UNSPEC: the port is given back, too, unless it was asked for. op_lock is held. */
static void dissolve(struct inet_sock *sock)
{
    struct udp_sock *udp = udp_of(sock);
    inet_lock(sock);
    bool keep_port = sock->port_chosen, hashed = sock->flow.hashed;
    udp->expects = false;
    if (!keep_port && sock->flow.listening) {
        flow_unlisten(&sock->flow);
        udp->unlisted = true;
    }
    inet_unlock(sock);
    if (hashed)
        leave_peer(sock, keep_port);
    /* Before the port is given back: a sender that finds none makes it listen. */
    let_lookups_pass(udp);
    inet_lock(sock);
    if (!keep_port) {
        port_release(&sock->port);
        sock->flow.key.local_port = 0;
    }
    forget_peer_locked(sock);
    inet_unlock(sock);
}

static int udp_connect(struct socket *socket, const struct socket_name *name, bool nonblock)
{
    struct inet_sock *sock = inet_of(socket);
    struct inet_name to = {.port = 0};
    (void)nonblock;
    if (name->len < sizeof(name->family))
        return -EINVAL;
    bool leave = name->family == AF_UNSPEC;
    int err = leave ? 0 : inet_name_get(sock, name, &to);
    /* A group's device may be that of IPV6_MULTICAST_IF. */
    if (err == 0 && !leave && !(net_addr_is_multicast(&to.address) && sock->multicast_device))
        err = inet_check_scope(sock, &to);
    if (err == -ENODEV)
        err = -ENETUNREACH;
    if (err)
        return err;
    if (!leave && net_addr_is_any(&to.address)) {
        struct udp_send here = {.name = to};
        here.name.port = 1;
        (void)!check_target(sock, &here);
        to.address = here.name.address;
    }
    mutex_lock(inet_op_lock(sock));
    if (leave)
        dissolve(sock);
    else
        err = associate(sock, &to);
    mutex_unlock(inet_op_lock(sock));
    return err;
}

/* ---- the rest ---- */

static int set_udp(struct udp_sock *udp, int name, int value)
{
    struct pkt *whole;
    struct udp_send to;
    int err = 0;
    switch (name) {
    case UDP_CORK:
        inet_lock(&udp->dgram.inet);
        udp->corking = value != 0;
        whole = value ? NULL : udp->cork;
        if (whole) {
            to = (struct udp_send){udp->cork_name, udp->cork_control};
            udp->cork = NULL;
            err = output_locked(&udp->dgram.inet, whole, &to);
        }
        inet_unlock(&udp->dgram.inet);
        return err;
    case UDP_SEGMENT:
        if (value < 0 || value > (int)UINT16_MAX)
            return -EINVAL;
        __atomic_store_n(&udp->segment, (uint16_t)value, __ATOMIC_RELAXED);
        return 0;
    case UDP_GRO:
        return 0; /* datagrams are never merged here, which it allows */
    default:
        return -ENOPROTOOPT;
    }
}

rarely static int udp_set_option(struct socket *socket, int level, int name, uaddr_t value,
                                 unsigned len)
{
    int number;
    if (level != SOL_UDP)
        return inet_set_option(socket, level, name, value, len);
    if (len < sizeof(number))
        return -EINVAL;
    int err = copyin(&number, value, sizeof(number));
    return err ? err : set_udp(udp_of(inet_of(socket)), name, number);
}

static int udp_get_option(struct socket *socket, int level, int name, void *value, unsigned *len)
{
    struct udp_sock *udp = udp_of(inet_of(socket));
    int32_t number;
    if (level != SOL_UDP)
        return inet_get_option(socket, level, name, value, len);
    if (name == UDP_CORK)
        number = udp->corking;
    else if (name == UDP_SEGMENT)
        number = __atomic_load_n(&udp->segment, __ATOMIC_RELAXED);
    else if (name == UDP_GRO)
        number = 0;
    else
        return -ENOPROTOOPT;
    *len = MIN(*len, (unsigned)sizeof(number));
    memcpy(value, &number, *len);
    return 0;
}

/* What is corked may refer to the program's pages, and so to the socket (zerocopy.c). */
static void udp_release(struct socket *socket)
{
    struct inet_sock *sock = inet_of(socket);
    inet_lock(sock);
    struct pkt *cork = udp_of(sock)->cork;
    udp_of(sock)->cork = NULL;
    inet_unlock(sock);
    pkt_free(cork);
    dgram_release(socket);
}

static void udp_free(struct inet_sock *sock)
{
    struct udp_sock *udp = udp_of(sock);
    pkt_free(udp->cork);
    dgram_fini(&udp->dgram);
    owner_free(OWNER_SOCKET, udp, sizeof(*udp));
}

static const struct inet_protocol udp_protocol = {
    .lazy = true,
    .input = udp_input,
    .error = inet_dgram_error,
    .free = udp_free,
};

static const struct socket_ops udp_ops = {
    .release = udp_release,
    .bind = inet_bind,
    .connect = udp_connect,
    .get_name = inet_get_name,
    .send = udp_send,
    .recv = dgram_recv,
    .shutdown = dgram_shutdown,
    .poll = dgram_poll,
    .ioctl = dgram_ioctl,
    .set_option = udp_set_option,
    .get_option = udp_get_option,
    .buffers_changed = inet_buffers_changed,
    .filters = true,
    .peeks = true,
};

int udp_create(int family, int type, int protocol, struct socket **out)
{
    if (protocol != 0 && protocol != IPPROTO_UDP)
        return -EPROTONOSUPPORT;
    struct udp_sock *udp = owner_alloc(OWNER_SOCKET, sizeof(*udp));
    if (!udp)
        return -ENOMEM;
    inet_sock_init(&udp->dgram.inet, &udp_ops, &udp_protocol, family, type, IPPROTO_UDP);
    *out = &udp->dgram.inet.base;
    return 0;
}
