/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * raw.c - raw sockets and those of ping (raw(7), icmp(7)).
 *
 * SOCK_RAW (root): every packet of one IP protocol, beside what the kernel does with it. IPv4 with
 * its header, IPv6 from the transport's. SOCK_DGRAM with IPPROTO_ICMP or ICMPV6 (anybody): echo
 * requests of the socket's own identifier, which is its port, and the answers to them.
 *
 * They stand on one list, read in RCU sections. A packet is cloned into the channel of each socket
 * that wants it; from there on as UDP does it. Their flows are in no table. TCP's and UDP's
 * packets, which go to flows, are shown here only while there is a socket that may want them
 * (ip_raw_flows).
 */
#include "core/spinlock.h"
#include "fs/vfs.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/usercopy.h"
#include "net/bpf.h"
#include "net/dgram.h"
#include "net/mib.h"

#define IPPROTO_RAW 255
#define SOL_RAW 255
#define SOL_ICMPV6 58
enum { ICMP_FILTER = 1, ICMPV6_FILTER = 1, IPV6_CHECKSUM = 7 };
enum { ICMP_ECHO_REPLY = 0, ICMP_ECHO = 8, ICMP6_ECHO = 128, ICMP6_ECHO_REPLY = 129 };
#define ICMP_HEADER 8u
#define PACKET_MAX 65535u

struct raw_sock {
    struct dgram_sock dgram; /* first */
    struct raw_sock *next;   /* atomic */
    uint32_t filter[8];      /* ICMP types that are not wanted; atomic words */
    int16_t sum_at;          /* IPV6_CHECKSUM: where we put it, and look at it; -1: not; atomic */
    bool ping;
};

static struct {
    struct raw_sock *first; /* atomic */
    struct spinlock lock;
} raws = {.lock = SPINLOCK_INIT(RANK_FLOW)};

static struct raw_sock *raw_of(struct inet_sock *sock)
{
    return container_of(sock, struct raw_sock, dgram.inet);
}

/* ---- which packets ---- */

static bool filtered(const struct raw_sock *raw, uint8_t type)
{
    return __atomic_load_n(&raw->filter[type / 32], __ATOMIC_RELAXED) >> (type % 32) & 1;
}

static bool is_icmp(const struct inet_sock *sock)
{
    return sock->base.protocol == IPPROTO_ICMP || sock->base.protocol == IPPROTO_ICMPV6;
}

/* Without locks: addresses may change while we look, as a packet may come a moment sooner. */
static bool wants(const struct raw_sock *raw, const struct pkt *pkt, const struct classified *about)
{
    const struct inet_sock *sock = &raw->dgram.inet;
    const struct flow_key *key = &sock->flow.key;
    uint32_t at = (uint32_t)pkt->transport - pkt->network;
    const uint8_t *header = pkt->data + at;
    bool v4 = net_addr_is_v4(&about->key.local);
    if (sock->base.protocol != about->key.protocol || v4 != (sock->base.family == AF_INET))
        return false;
    if (!net_addr_is_any(&key->local) && !net_addr_equal(&key->local, &about->key.local))
        return false;
    if (sock->connected && !net_addr_equal(&key->remote, &about->key.remote))
        return false;
    if (sock->flow.device && pkt->dev && sock->flow.device != pkt->dev->index)
        return false;
    if (!is_icmp(sock)) /* RFC 3542, 3.1: nothing with a wrong sum */
        return __atomic_load_n(&raw->sum_at, __ATOMIC_RELAXED) < 0 ||
               ip_checksum_ok(pkt, at, pkt->total - at, &about->key.local, &about->key.remote,
                              about->key.protocol);
    if (at + ICMP_HEADER > pkt->len || filtered(raw, header[0]))
        return false;
    if (!raw->ping)
        return true;
    return header[0] == (v4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY) &&
           memcmp(header + 4, &key->local_port, 2) == 0;
}

/* With the IP header in the first piece, for control messages; data behind it, but for IPv4's raw
 * sockets, which see it. NULL without memory, or if the socket's filter does not want it. */
static struct pkt *copy_for(const struct raw_sock *raw, const struct pkt *pkt,
                            const struct classified *about)
{
    uint32_t header = (uint32_t)pkt->transport - pkt->network;
    bool whole = raw->dgram.inet.base.family == AF_INET && !raw->ping;
    uint32_t begin = whole ? 0 : header;
    uint32_t keep = bpf_filter_ip(&raw->dgram.inet.base, pkt, begin);
    if (keep == 0)
        return NULL;
    /* The headers stay, whatever the filter says: control messages tell of them. */
    uint32_t total = MAX(MIN(keep, pkt->total - begin) + begin, header);
    struct pkt *copy = pkt_clone(pkt, 0, total, 0, ALLOC_ATOMIC);
    if (!copy)
        return NULL;
    if (!pkt_pull(copy, header)) {
        pkt_free(copy);
        return NULL;
    }
    copy->network = (uint16_t)(copy->data - copy->room);
    copy->transport = (uint16_t)(copy->network + header);
    copy->dev = pkt->dev;
    copy->time_ns = pkt->time_ns;
    *dgram_info(copy) = (struct dgram_info){.remote = about->key.remote};
    if (!whole)
        pkt_skip(copy, header);
    return copy;
}

static bool input(const struct pkt *pkt, const struct classified *about)
{
    bool taken = false;
    unsigned token = rcu_read_lock();
    for (struct raw_sock *raw = __atomic_load_n(&raws.first, __ATOMIC_ACQUIRE); raw;
         raw = __atomic_load_n(&raw->next, __ATOMIC_ACQUIRE)) {
        if (!wants(raw, pkt, about))
            continue;
        taken = true;
        struct pkt *copy = copy_for(raw, pkt, about);
        if (!copy)
            continue;
        (void)flow_deliver(&raw->dgram.inet.flow, copy); /* full: dropped, as a datagram is */
    }
    rcu_read_unlock(token);
    return taken;
}

static void raw_input(struct inet_sock *sock)
{
    struct raw_sock *raw = raw_of(sock);
    struct pkt *list = channel_take(&sock->flow.channel);
    bool any = list != NULL;
    while (list) {
        struct pkt *next = list->next;
        list->next = NULL;
        pkt_queue_add(&raw->dgram.queue, list);
        list = next;
    }
    if (any)
        inet_wake(sock, POLLIN | POLLRDNORM);
}

/* Is it about what this socket may have sent? Of ping the identifier says so. */
static bool concerns(const struct raw_sock *raw, const struct ip_error *error)
{
    const struct inet_sock *sock = &raw->dgram.inet;
    const struct flow_key *key = &sock->flow.key;
    if (sock->base.protocol != error->key.protocol ||
        net_addr_is_v4(&error->key.local) != (sock->base.family == AF_INET))
        return false;
    if (!net_addr_is_any(&key->local) && !net_addr_equal(&key->local, &error->key.local))
        return false;
    if (sock->connected && !net_addr_equal(&key->remote, &error->key.remote))
        return false;
    return !raw->ping || memcmp(error->payload + 4, &key->local_port, 2) == 0;
}

static void error_input(const struct ip_error *error)
{
    unsigned token = rcu_read_lock();
    for (struct raw_sock *raw = __atomic_load_n(&raws.first, __ATOMIC_ACQUIRE); raw;
         raw = __atomic_load_n(&raw->next, __ATOMIC_ACQUIRE)) {
        struct flow *flow = &raw->dgram.inet.flow;
        if (concerns(raw, error) && ref_get_live(&flow->refs)) {
            flow->ops->error(flow, error);
            inet_put(&raw->dgram.inet);
        }
    }
    rcu_read_unlock(token);
}

/* ---- sending ---- */

/* What ping leaves to the kernel: the identifier and the checksum (icmp(7)). Only echo requests. */
static int prepare_ping(const struct inet_sock *sock, struct pkt *pkt, bool v4)
{
    uint8_t *header = pkt_pull(pkt, ICMP_HEADER);
    if (!header || header[1] != 0 || header[0] != (v4 ? ICMP_ECHO : ICMP6_ECHO))
        return -EINVAL;
    memcpy(header + 4, &sock->flow.key.local_port, 2);
    memset(header + 2, 0, 2);
    if (!v4)
        return 0;
    uint16_t sum = (uint16_t)~pkt_checksum(pkt, 0, pkt->total, 0);
    memcpy(header + 2, &sum, 2);
    return 0;
}

/* RFC 3542, 3.1: the kernel sums up ICMPv6, and others if IPV6_CHECKSUM says so. */
static int sum_up(struct pkt *pkt, const struct net_addr *source, const struct net_addr *remote,
                  uint8_t protocol, int at)
{
    uint16_t sum = 0;
    if ((uint32_t)at + sizeof(sum) > pkt->total)
        return -EINVAL;
    pkt_write(pkt, (uint32_t)at, &sum, sizeof(sum));
    uint32_t pseudo = ip_pseudo_sum(source, remote, protocol, pkt->total);
    sum = (uint16_t)~pkt_checksum(pkt, 0, pkt->total, pseudo);
    if (sum == 0 && protocol == IPPROTO_UDP)
        sum = 0xffff;
    pkt_write(pkt, (uint32_t)at, &sum, sizeof(sum));
    return 0;
}

static void count_icmp(const struct pkt *pkt, bool v4)
{
    uint8_t type = ICMP_ECHO_REPLY;
    pkt_read(pkt, 0, &type, MIN(pkt->total, 1u));
    mib_count(v4 ? MIB_Icmp_OutMsgs : MIB_Icmp6_OutMsgs);
    if (v4 && type == ICMP_ECHO)
        mib_count(MIB_Icmp_OutEchos);
}

/* IP_HDRINCL: the program's own header says how; it is written anew (raw(7): the kernel fills in
 * length and checksum anyway). */
static int take_header(struct pkt *pkt, struct ip_params *params, struct net_addr *source)
{
    uint8_t *header = pkt_pull(pkt, IP4_HEADER_LEN);
    uint32_t len = header ? (header[0] & 0xf) * 4u : 0, word;
    if (!header || header[0] >> 4 != 4 || len < IP4_HEADER_LEN || len > pkt->total)
        return -EINVAL;
    params->tos = header[1];
    params->ttl = header[8];
    params->protocol = header[9];
    params->dont_fragment = header[6] & 0x40;
    memcpy(&word, header + 12, sizeof(word));
    if (word)
        *source = net_addr_v4(word);
    pkt_skip(pkt, len);
    return 0;
}

/* Consumes. The lock is held. */
static int output_locked(struct inet_sock *sock, struct pkt *pkt, const struct inet_name *to,
                         const struct inet_control *control)
{
    struct raw_sock *raw = raw_of(sock);
    bool v4 = net_addr_is_v4(&to->address);
    bool own_header = __atomic_load_n(&sock->options, __ATOMIC_RELAXED) & INET_HDRINCL;
    struct net_addr source = control->source;
    int err = raw->ping ? inet_autobind_locked(sock) : 0;
    if (err == 0)
        err = inet_route_locked(sock, &to->address, control->device ? control->device : to->scope);
    if (err == 0 && sock->route.broadcast && !socket_switch(&sock->base, SO_BROADCAST))
        err = -EACCES;
    struct ip_params params = inet_params(sock, &to->address);
    params.protocol = (uint8_t)sock->base.protocol;
    if (control->ttl >= 0)
        params.ttl = (uint8_t)control->ttl;
    if (control->tos >= 0)
        params.tos = (uint8_t)control->tos;
    if (net_addr_is_any(&source))
        source = net_addr_is_any(&sock->flow.key.local) ? sock->route.source : sock->flow.key.local;
    if (err == 0 && raw->ping)
        err = prepare_ping(sock, pkt, v4);
    else if (err == 0 && own_header && v4)
        err = take_header(pkt, &params, &source);
    int sum_at = __atomic_load_n(&raw->sum_at, __ATOMIC_RELAXED);
    if (err == 0 && !v4 && sum_at >= 0)
        err = sum_up(pkt, &source, &to->address, params.protocol, sum_at);
    if (err) {
        pkt_free(pkt);
        return err;
    }
    if (params.protocol == (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
        count_icmp(pkt, v4);
    return inet_sent(sock, to, ip_output(&sock->route, pkt, &source, &params));
}

static long raw_send(struct socket *socket, struct socket_msg *msg)
{
    struct inet_sock *sock = inet_of(socket);
    struct inet_control control = {.ttl = -1, .tos = -1};
    struct inet_name to = {.port = 0};
    struct pkt *pkt;
    long len = (long)msg->data->left;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (len > (long)PACKET_MAX)
        return -EMSGSIZE;
    int err = msg->name ? inet_name_get(sock, msg->name, &to) : 0;
    if (err == 0)
        err = inet_control_get(sock, msg, &control);
    if (err == 0)
        err = inet_packet_from(msg->data, PKT_HEADROOM, (size_t)len, &pkt);
    if (err)
        return err;
    inet_lock(sock);
    if (!msg->name && !sock->connected)
        err = -EDESTADDRREQ;
    else if (!msg->name)
        to = (struct inet_name){.address = sock->flow.key.remote, .scope = sock->peer_scope};
    if (err == 0)
        err = output_locked(sock, pkt, &to, &control);
    else
        pkt_free(pkt);
    inet_unlock(sock);
    return err ? err : len;
}

/* ---- the rest ---- */

/* No ports, but for the identifiers of ping. */
static int raw_bind(struct socket *socket, const struct socket_name *name)
{
    struct inet_sock *sock = inet_of(socket);
    struct inet_name in;
    if (raw_of(sock)->ping)
        return inet_bind(socket, name);
    int err = inet_name_get(sock, name, &in);
    if (err == 0 && !net_addr_is_any(&in.address) && !ip_is_local(&in.address, in.scope))
        err = -EADDRNOTAVAIL;
    if (err)
        return err;
    inet_lock(sock);
    sock->flow.key.local = in.address;
    sock->bound_address = !net_addr_is_any(&in.address);
    route_release(&sock->route);
    inet_unlock(sock);
    return 0;
}

static int raw_connect(struct socket *socket, const struct socket_name *name, bool nonblock)
{
    struct inet_sock *sock = inet_of(socket);
    struct inet_name to = {.port = 0};
    (void)nonblock;
    if (name->len < sizeof(name->family))
        return -EINVAL;
    bool leave = name->family == AF_UNSPEC;
    int err = leave ? 0 : inet_name_get(sock, name, &to);
    if (err)
        return err;
    inet_lock(sock);
    if (!leave)
        err = inet_route_locked(sock, &to.address, to.scope);
    if (err == 0) {
        sock->connected = !leave;
        sock->flow.key.remote = to.address;
        sock->peer_scope = to.scope;
    }
    inet_unlock(sock);
    return err;
}

/* A filter says which types are blocked: 32 of ICMP, 256 of ICMPv6 (RFC 3542, 3.2). */
static unsigned filter_words(const struct inet_sock *sock, int level, int name)
{
    if (level == SOL_RAW && name == ICMP_FILTER && sock->base.protocol == IPPROTO_ICMP)
        return 1;
    if (level == SOL_ICMPV6 && name == ICMPV6_FILTER && sock->base.protocol == IPPROTO_ICMPV6)
        return 8;
    return 0;
}

static bool is_sum(struct inet_sock *sock, int level, int name)
{
    return sock->base.family == AF_INET6 && name == IPV6_CHECKSUM && !raw_of(sock)->ping &&
           (level == SOL_IPV6 || level == SOL_RAW);
}

/* RFC 3542, 3.1: an even offset, or -1. ICMPv6's own place is not to be changed. */
static int set_sum(struct inet_sock *sock, int level, uaddr_t value, unsigned len)
{
    int32_t at;
    if (len < sizeof(at))
        return -EINVAL;
    int err = copyin(&at, value, sizeof(at));
    if (err)
        return err;
    if ((sock->base.protocol == IPPROTO_ICMPV6 && level == SOL_IPV6) || (at > 0 && at & 1))
        return -EINVAL;
    __atomic_store_n(&raw_of(sock)->sum_at, (int16_t)(at < 0 ? -1 : MIN(at, INT16_MAX)),
                     __ATOMIC_RELAXED);
    return 0;
}

static int raw_set_option(struct socket *socket, int level, int name, uaddr_t value, unsigned len)
{
    struct inet_sock *sock = inet_of(socket);
    unsigned words = filter_words(sock, level, name);
    uint32_t filter[8];
    if (is_sum(sock, level, name))
        return set_sum(sock, level, value, len);
    if (!words)
        return inet_set_option(socket, level, name, value, len);
    if (len < words * sizeof(filter[0]))
        return -EINVAL;
    int err = copyin(filter, value, words * sizeof(filter[0]));
    for (unsigned i = 0; err == 0 && i < words; i++)
        __atomic_store_n(&raw_of(sock)->filter[i], filter[i], __ATOMIC_RELAXED);
    return err;
}

static int raw_get_option(struct socket *socket, int level, int name, void *value, unsigned *len)
{
    struct inet_sock *sock = inet_of(socket);
    unsigned words = filter_words(sock, level, name);
    uint32_t filter[8];
    if (is_sum(sock, level, name)) {
        words = 1;
        filter[0] = (uint32_t)(int32_t)__atomic_load_n(&raw_of(sock)->sum_at, __ATOMIC_RELAXED);
    } else if (!words) {
        return inet_get_option(socket, level, name, value, len);
    } else {
        for (unsigned i = 0; i < words; i++)
            filter[i] = __atomic_load_n(&raw_of(sock)->filter[i], __ATOMIC_RELAXED);
    }
    *len = MIN(*len, words * (unsigned)sizeof(filter[0]));
    memcpy(value, filter, *len);
    return 0;
}

/* RANK_FLOW, the list's, is held. */
static void count_flows_locked(const struct raw_sock *raw, int by)
{
    int protocol = raw->dgram.inet.base.protocol;
    if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
        __atomic_store_n(&ip_raw_flows, ip_raw_flows + (uint32_t)by, __ATOMIC_RELAXED);
}

static void list_add(struct raw_sock *raw)
{
    spin_lock(&raws.lock);
    count_flows_locked(raw, 1);
    __atomic_store_n(&raw->next, raws.first, __ATOMIC_RELAXED);
    __atomic_store_n(&raws.first, raw, __ATOMIC_RELEASE);
    spin_unlock(&raws.lock);
}

static void list_remove_raw(struct raw_sock *raw)
{
    spin_lock(&raws.lock);
    count_flows_locked(raw, -1);
    struct raw_sock **link = &raws.first;
    while (*link != raw)
        link = &(*link)->next;
    __atomic_store_n(link, raw->next, __ATOMIC_RELEASE);
    spin_unlock(&raws.lock);
}

static void raw_release(struct socket *socket)
{
    list_remove_raw(raw_of(inet_of(socket)));
    dgram_release(socket);
}

static void raw_free(struct inet_sock *sock)
{
    struct raw_sock *raw = raw_of(sock);
    dgram_fini(&raw->dgram);
    owner_free(OWNER_SOCKET, raw, sizeof(*raw));
}

static const struct inet_protocol raw_protocol = {
    .input = raw_input,
    .error = inet_dgram_error,
    .free = raw_free,
};

static const struct socket_ops raw_ops = {
    .release = raw_release,
    .bind = raw_bind,
    .connect = raw_connect,
    .get_name = inet_get_name,
    .send = raw_send,
    .recv = dgram_recv,
    .shutdown = dgram_shutdown,
    .poll = dgram_poll,
    .ioctl = dgram_ioctl,
    .set_option = raw_set_option,
    .get_option = raw_get_option,
    .buffers_changed = inet_buffers_changed,
    .filters = true,
};

int raw_create(int family, int type, int protocol, struct socket **out)
{
    bool ping = type == SOCK_DGRAM;
    if (ping && protocol != (family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6))
        return -EPROTONOSUPPORT;
    if (protocol <= 0 || protocol > 255)
        return -EPROTONOSUPPORT;
    if (!ping && proc_cred()->euid != 0)
        return -EPERM;
    struct raw_sock *raw = owner_alloc(OWNER_SOCKET, sizeof(*raw));
    if (!raw)
        return -ENOMEM;
    inet_sock_init(&raw->dgram.inet, &raw_ops, &raw_protocol, family, type, protocol);
    raw->ping = ping;
    raw->sum_at = protocol == IPPROTO_ICMPV6 ? 2 : -1;
    if (protocol == IPPROTO_RAW)
        raw->dgram.inet.options |= INET_HDRINCL;
    list_add(raw);
    *out = &raw->dgram.inet.base;
    return 0;
}

void raw_walk(void (*fn)(struct inet_sock *sock, void *arg), void *arg)
{
    unsigned token = rcu_read_lock();
    for (struct raw_sock *raw = __atomic_load_n(&raws.first, __ATOMIC_ACQUIRE); raw;
         raw = __atomic_load_n(&raw->next, __ATOMIC_ACQUIRE))
        if (!raw->ping && ref_get_live(&raw->dgram.inet.flow.refs)) {
            fn(&raw->dgram.inet, arg);
            inet_put(&raw->dgram.inet);
        }
    rcu_read_unlock(token);
}

void raw_init(void)
{
    ip_raw_input = input;
    ip_raw_error = error_input;
}
