/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inetlist.c - what sockets there are, from the table of flows: /proc/net/{tcp,udp,raw,sockstat}
 * and their IPv6 kin in Linux's forms, for netstat, ss and lsof.
 *
 * The walk is one RCU section, in which each socket is locked for a moment (sections may sleep);
 * who is going away is left out. Flows that move while the table grows may show twice or not at
 * all, as on Linux.
 */
#include "net/inetlist.h"

#include "fs/pseudo.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "net/dgram.h"
#include "net/ifaddr.h"
#include "net/mib.h"
#include "net/tcp_sock.h"

struct walk {
    bool (*fn)(const struct inet_view *view, void *arg);
    void *arg;
    uint8_t protocol;
};

enum { TIMER_OFF, TIMER_RESEND, TIMER_KEEP, TIMER_TIME_WAIT, TIMER_PROBE };

static void view_tcp(struct tcp_sock *ts, struct inet_view *v)
{
    struct tcp *tp = &ts->tp;
    if (ts->listener) {
        v->state = TCP_LISTEN;
        v->rqueue = ts->queued;
        v->wqueue = ts->backlog;
        return;
    }
    v->state = tp->state;
    v->has_info = tp->state != TCP_CLOSED;
    if (!v->has_info)
        return;
    tcp_get_info(tp, &v->info);
    v->rqueue = tcp_readable(tp);
    /* Not below 0: una may be behind a FIN. */
    v->wqueue = (uint32_t)MAX((int32_t)(tp->written - tp->una), 0);
    v->retries = v->info.retransmits;
    v->timer = v->info.probes ? TIMER_PROBE : v->info.unacked ? TIMER_RESEND : TIMER_OFF;
}

static void view_datagram(struct inet_sock *sock, struct inet_view *v)
{
    v->state = sock->connected ? TCP_ESTABLISHED : TCP_CLOSED;
    v->rqueue = dgram_of(sock)->queue.bytes;
}

static void view_sock(struct inet_sock *sock, struct inet_view *v)
{
    inet_lock(sock);
    v->key = sock->flow.key;
    v->family = (uint8_t)sock->base.family;
    v->device = sock->flow.device;
    v->uid = sock->base.owner_uid;
    v->orphan = sock->dead;
    v->ino = sock->base.file && !sock->dead ? sock->base.ino : 0;
    if (sock->base.type == SOCK_STREAM)
        view_tcp(tcp_sock_of(sock), v);
    else
        view_datagram(sock, v);
    inet_unlock(sock);
}

static bool show_flow(struct flow *flow, void *arg)
{
    const struct walk *walk = arg;
    struct inet_view v;
    bool more = true;
    memset(&v, 0, sizeof(v));
    if (flow->key.protocol != walk->protocol)
        return true;
    if (flow->kind != FLOW_SOCKET) {
        v.key = flow->key; /* fixed while it is hashed */
        v.family = net_addr_is_v4(&flow->key.local) ? AF_INET : AF_INET6;
        v.state = flow->kind == FLOW_EMBRYO ? TCP_SYN_RCVD : TCP_TIME_WAIT;
        v.timer = flow->kind == FLOW_EMBRYO ? TIMER_RESEND : TIMER_TIME_WAIT;
        return walk->fn(&v, walk->arg);
    }
    if (!ref_get_live(&flow->refs))
        return true;
    view_sock(inet_of_flow(flow), &v);
    if (v.state != TCP_CLOSED || v.key.protocol != IPPROTO_TCP)
        more = walk->fn(&v, walk->arg);
    flow_put(flow);
    return more;
}

void inet_list(uint8_t protocol, bool (*fn)(const struct inet_view *view, void *arg), void *arg)
{
    struct walk walk = {fn, arg, protocol};
    flow_walk(show_flow, &walk);
}

static bool count_established(const struct inet_view *v, void *arg)
{
    *(unsigned *)arg += v->state == TCP_ESTABLISHED || v->state == TCP_CLOSE_WAIT;
    return true;
}

unsigned inet_established(void)
{
    unsigned count = 0;
    inet_list(IPPROTO_TCP, count_established, &count);
    return count;
}

/* ---- /proc/net ---- */

struct text {
    struct strbuf *sb;
    int family;
    unsigned number;
    bool raw;
};

static void put_address(struct strbuf *sb, const struct net_addr *a, uint16_t port, int family)
{
    for (int i = family == AF_INET ? 3 : 0; i < 4; i++)
        strbuf_printf(sb, "%08X", a->word[i]);
    strbuf_printf(sb, ":%04X ", net16(port));
}

/* Lines of IPv4's TCP and UDP have a width. */
static unsigned width_of(uint8_t protocol, int family)
{
    return family != AF_INET         ? 0
           : protocol == IPPROTO_TCP ? 149
           : protocol == IPPROTO_UDP ? 127
                                     : 0;
}

static void end_line(struct strbuf *sb, size_t start, unsigned width)
{
    while (sb->len - start < width)
        strbuf_printf(sb, " ");
    strbuf_printf(sb, "\n");
}

static bool show_row(const struct inet_view *v, void *arg)
{
    struct text *t = arg;
    bool tcp = v->key.protocol == IPPROTO_TCP;
    if (v->family != t->family)
        return true;
    size_t start = t->sb->len;
    strbuf_printf(t->sb, t->raw || tcp ? "%4u: " : "%5u: ", t->number++);
    put_address(t->sb, &v->key.local, v->key.local_port, t->family);
    put_address(t->sb, &v->key.remote, v->key.remote_port, t->family);
    strbuf_printf(t->sb, "%02X %08X:%08X %02X:%08X %08X %5u %8d %llu 1 0000000000000000", v->state,
                  v->state == TCP_LISTEN ? 0 : v->wqueue, v->rqueue, v->timer, v->expires_ms / 10,
                  v->retries, v->uid, 0, (unsigned long long)v->ino);
    if (tcp)
        strbuf_printf(t->sb, " %u 4 0 %u -1", v->has_info ? v->info.rto / 10000 : 0,
                      v->has_info ? v->info.snd_cwnd : 10);
    else
        strbuf_printf(t->sb, " 0");
    end_line(t->sb, start, t->raw ? 0 : width_of(v->key.protocol, t->family));
    return true;
}

static void title(struct strbuf *sb, uint8_t protocol, int family)
{
    bool v4 = family == AF_INET, tcp = protocol == IPPROTO_TCP;
    size_t start = sb->len;
    strbuf_printf(sb,
                  "%s  sl  %s%s st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode%s",
                  protocol == IPPROTO_UDP && v4 ? " " : "",
                  v4 ? "local_address " : "local_address                         ",
                  v4 ? "rem_address  " : "remote_address                       ",
                  tcp ? "" : " ref pointer drops");
    end_line(sb, start, width_of(protocol, family));
}

static int show(struct strbuf *sb, uint8_t protocol, int family)
{
    struct text text = {.sb = sb, .family = family};
    title(sb, protocol, family);
    inet_list(protocol, show_row, &text);
    return 0;
}

static int show_tcp(struct inode *inode, struct strbuf *sb)
{
    return show(sb, IPPROTO_TCP, AF_INET);
}
static int show_tcp6(struct inode *inode, struct strbuf *sb)
{
    return show(sb, IPPROTO_TCP, AF_INET6);
}
static int show_udp(struct inode *inode, struct strbuf *sb)
{
    return show(sb, IPPROTO_UDP, AF_INET);
}
static int show_udp6(struct inode *inode, struct strbuf *sb)
{
    return show(sb, IPPROTO_UDP, AF_INET6);
}

/* The protocol stands where others have their port. */
static void show_raw_one(struct inet_sock *sock, void *arg)
{
    struct text *t = arg;
    struct inet_view v;
    memset(&v, 0, sizeof(v));
    view_sock(sock, &v);
    v.key.local_port = net16((uint16_t)sock->base.protocol);
    v.key.protocol = IPPROTO_UDP; /* the same columns */
    (void)show_row(&v, t);
}

static int show_raws(struct strbuf *sb, int family)
{
    struct text text = {.sb = sb, .family = family, .raw = true};
    title(sb, 0, family);
    raw_walk(show_raw_one, &text);
    return 0;
}

static int show_raw(struct inode *inode, struct strbuf *sb)
{
    return show_raws(sb, AF_INET);
}
static int show_raw6(struct inode *inode, struct strbuf *sb)
{
    return show_raws(sb, AF_INET6);
}

/* ---- groups ---- */

/* /proc/net/igmp, IPv4: a line for the device before those of its groups. */
static int show_igmp(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n");
    for (struct netdev *dev = netdev_first(); dev; dev = netdev_next(dev)) {
        struct group_view some[8];
        unsigned from = 0, n, count = 0;
        while ((n = group_list(some, from, ARRAY_COUNT(some))) > 0) {
            for (unsigned i = 0; i < n; i++)
                count += some[i].device == dev->index && net_addr_is_v4(&some[i].group);
            from += n;
        }
        strbuf_printf(sb, "%u\t%-10s: %5u %7s\n", dev->index, dev->name, count, "V3");
        for (from = 0; (n = group_list(some, from, ARRAY_COUNT(some))) > 0; from += n)
            for (unsigned i = 0; i < n; i++)
                if (some[i].device == dev->index && net_addr_is_v4(&some[i].group))
                    strbuf_printf(sb, "\t\t\t\t%08X %5u 0:00000000\t\t1\n", some[i].group.word[3],
                                  some[i].users);
    }
    return 0;
}

/* ---- sockstat ---- */

struct counts {
    unsigned inuse[2], orphans, time_wait; /* IPv4, IPv6 */
};

static bool count_one(const struct inet_view *v, void *arg)
{
    struct counts *c = arg;
    if (v->state == TCP_TIME_WAIT && v->key.protocol == IPPROTO_TCP) {
        c->time_wait++;
        return true;
    }
    c->inuse[v->family == AF_INET6]++;
    c->orphans += v->orphan;
    return true;
}

static void count_raw(struct inet_sock *sock, void *arg)
{
    struct counts *c = arg;
    c->inuse[sock->base.family == AF_INET6]++;
}

static int show_sockstat(struct inode *inode, struct strbuf *sb)
{
    struct counts tcp = {0}, udp = {0}, raw = {0};
    raw_walk(count_raw, &raw);
    inet_list(IPPROTO_TCP, count_one, &tcp);
    inet_list(IPPROTO_UDP, count_one, &udp);
    strbuf_printf(sb, "sockets: used %u\nTCP: inuse %u orphan %u tw %u alloc %u mem %llu\n",
                  socket_count(), tcp.inuse[0], tcp.orphans, tcp.time_wait,
                  tcp.inuse[0] + tcp.inuse[1],
                  (unsigned long long)(tcp_sock_memory_used() / PAGE_SIZE));
    strbuf_printf(sb, "UDP: inuse %u mem 0\nUDPLITE: inuse 0\nRAW: inuse %u\n", udp.inuse[0],
                  raw.inuse[0]);
    return 0;
}

static int show_sockstat6(struct inode *inode, struct strbuf *sb)
{
    struct counts tcp = {0}, udp = {0}, raw = {0};
    raw_walk(count_raw, &raw);
    inet_list(IPPROTO_TCP, count_one, &tcp);
    inet_list(IPPROTO_UDP, count_one, &udp);
    strbuf_printf(sb, "TCP6: inuse %u\nUDP6: inuse %u\nUDPLITE6: inuse 0\nRAW6: inuse %u\n",
                  tcp.inuse[1], udp.inuse[1], raw.inuse[1]);
    return 0;
}

int inetlist_init(void)
{
    static const struct pseudo_item items[] = {
        {.path = "net/tcp", .mode = S_IFREG | 0444, .show = show_tcp},
        {.path = "net/tcp6", .mode = S_IFREG | 0444, .show = show_tcp6},
        {.path = "net/udp", .mode = S_IFREG | 0444, .show = show_udp},
        {.path = "net/udp6", .mode = S_IFREG | 0444, .show = show_udp6},
        {.path = "net/raw", .mode = S_IFREG | 0444, .show = show_raw},
        {.path = "net/raw6", .mode = S_IFREG | 0444, .show = show_raw6},
        {.path = "net/igmp", .mode = S_IFREG | 0444, .show = show_igmp},
        {.path = "net/packet", .mode = S_IFREG | 0444, .show = packet_show_all},
        {.path = "net/netlink", .mode = S_IFREG | 0444, .show = netlink_show_all},
        {.path = "net/sockstat", .mode = S_IFREG | 0444, .show = show_sockstat},
        {.path = "net/sockstat6", .mode = S_IFREG | 0444, .show = show_sockstat6},
    };
    return socket_proc_add(items, ARRAY_COUNT(items));
}
