/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_sock.c - TCP sockets: their life, packets in and out, the timer. See tcp_sock.h.
 *
 * The timer's handler runs in interrupt context: it notes that it is due and has the flow's input
 * called, which waits for the lock if need be (a packet may be left to the lock's owner, who looks
 * at the channel when it unlocks; at the note nobody looks).
 */
#include "net/tcp_sock.h"

#include "core/assert.h"
#include "core/random.h"
#include "fs/async.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/siphash.h"
#include "lib/string.h"
#include "mm/account.h"
#include "net/mib.h"

#define SIGURG 23
#define CHANNEL_LIMIT (8u << 20) /* packets that protocol input has not seen: above any window */

/* ---- what the engine asks for ---- */

static struct siphash_key mac_key;

static uint64_t mac(const void *data, size_t len)
{
    uint64_t words[8];
    ASSERT(len % 8 == 0 && len <= sizeof(words));
    memcpy(words, data, len);
    return siphash(&mac_key, words, (unsigned)(len / 8));
}

#define TCP_MIB(name) [TCP_N_##name] = MIB_Tcp_##name + 1
#define EXT_MIB(name) [TCP_N_##name] = MIB_TcpExt_##name + 1
static const uint16_t mib_of[TCP_COUNTERS] = {
    /* one more; 0: Linux has none, nor have we */
    TCP_MIB(ActiveOpens),
    TCP_MIB(PassiveOpens),
    TCP_MIB(AttemptFails),
    TCP_MIB(EstabResets),
    TCP_MIB(InSegs),
    TCP_MIB(OutSegs),
    TCP_MIB(RetransSegs),
    TCP_MIB(InErrs),
    TCP_MIB(OutRsts),
    EXT_MIB(SyncookiesSent),
    EXT_MIB(SyncookiesRecv),
    EXT_MIB(SyncookiesFailed),
    EXT_MIB(EmbryonicRsts),
    EXT_MIB(PruneCalled),
    EXT_MIB(OfoPruned),
    EXT_MIB(PAWSEstab),
    EXT_MIB(DelayedACKs),
    EXT_MIB(ListenOverflows),
    EXT_MIB(ListenDrops),
    EXT_MIB(TCPSackRecovery),
    EXT_MIB(TCPLossUndo),
    EXT_MIB(TCPDSACKUndo),
    EXT_MIB(TCPLostRetransmit),
    EXT_MIB(TCPFastRetrans),
    EXT_MIB(TCPSlowStartRetrans),
    EXT_MIB(TCPTimeouts),
    EXT_MIB(TCPLossProbes),
    EXT_MIB(TCPLossProbeRecovery),
    EXT_MIB(TCPDSACKOldSent),
    EXT_MIB(TCPDSACKOfoSent),
    EXT_MIB(TCPDSACKRecv),
    EXT_MIB(TCPSpuriousRTOs),
    EXT_MIB(TCPMTUPFail),
    EXT_MIB(TCPSynRetrans),
    EXT_MIB(TCPAbortOnData),
    EXT_MIB(TCPAbortOnClose),
    EXT_MIB(TCPAbortOnMemory),
    EXT_MIB(TCPAbortOnTimeout),
    EXT_MIB(TCPAbortOnLinger),
    EXT_MIB(TCPRcvCollapsed),
    EXT_MIB(TCPDeferAcceptDrop),
    EXT_MIB(TCPReqQFullDoCookies),
    EXT_MIB(TCPReqQFullDrop),
    EXT_MIB(TCPChallengeACK),
    EXT_MIB(TCPSYNChallenge),
    EXT_MIB(TCPFastOpenActive),
    EXT_MIB(TCPFastOpenPassive),
    EXT_MIB(TCPOFOQueue),
    EXT_MIB(TCPOFODrop),
    EXT_MIB(TCPKeepAlive),
    EXT_MIB(TCPZeroWindowDrop),
    EXT_MIB(TCPRcvQDrop),
};

static void count(enum tcp_counter counter)
{
    if (mib_of[counter])
        mib_count((enum mib_counter)(mib_of[counter] - 1));
}

/* ---- sending ---- */

uint32_t tcp_sock_path_mss(const struct ip_route *route)
{
    /* The loopback's MTU is more than the length field of an IPv4 header can say. */
    uint32_t payload = MIN(route_payload(route), 65535u - IP4_HEADER_LEN);
    return payload > TCP_HEADER ? payload - TCP_HEADER : 0;
}

void tcp_sock_seal(struct pkt *pkt, const struct flow_key *key, uint32_t hash)
{
    memcpy(pkt->data, &key->local_port, 2);
    memcpy(pkt->data + 2, &key->remote_port, 2);
    uint16_t sum = checksum_fold(ip_pseudo_sum(&key->local, &key->remote, IPPROTO_TCP, pkt->total));
    memcpy(pkt->data + 16, &sum, 2);
    pkt->hash = hash;
}

#define ECN_ECT0 2u /* RFC 3168, 5 */

static void send_segment(struct tcp *tp, struct pkt *pkt, bool ect)
{
    struct tcp_sock *ts = tcp_sock_of_tp(tp);
    struct inet_sock *inet = &ts->inet;
    if (inet_route_locked(inet, &tp->key->remote, 0)) {
        pkt_free(pkt); /* as if the wire had lost it; perhaps there is a route again later */
        return;
    }
    struct ip_params params = inet_params(inet, &tp->key->remote);
    params.protocol = IPPROTO_TCP;
    params.tos = (uint8_t)((params.tos & ~3u) | (ect ? ECN_ECT0 : 0));
    /* Path MTU discovery (RFC 1191), unless the program has switched it off. */
    if (inet->mtu_discover == PMTUDISC_WANT)
        params.dont_fragment = true;
    tcp_sock_seal(pkt, tp->key, inet->flow.hash);
    (void)ip_output(&inet->route, pkt, &tp->key->local, &params);
}

static void reply(struct tcp_listener *listener, const struct flow_key *key, struct pkt *pkt,
                  bool ect)
{
    struct inet_sock *inet = &tcp_sock_of_listener(listener)->inet;
    (void)ect;
    if (inet_route_locked(inet, &key->remote, tcp_sock_of_listener(listener)->segment_device)) {
        pkt_free(pkt);
        return;
    }
    struct ip_params params = inet_params(inet, &key->remote);
    params.protocol = IPPROTO_TCP;
    tcp_sock_seal(pkt, key, 0);
    (void)ip_output(&inet->route, pkt, &key->local, &params);
}

/* ---- the timer ---- */

static void timer_fired(struct timer *timer)
{
    struct tcp_sock *ts = container_of(timer, struct tcp_sock, timer);
    /* Release, against the exchange in input: nothing else is passed. */
    __atomic_store_n(&ts->timer_due, true, __ATOMIC_RELEASE);
    flow_kick(&ts->inet.flow);
    inet_put(&ts->inet); /* the work has its own, so this is not the last */
}

/* An armed timer has a reference. If it fires right now, that one has taken it with it. */
static void set_timer(struct tcp_sock *ts, uint64_t deadline_ns)
{
    bool was = timer_cancel(&ts->timer);
    if (deadline_ns == UINT64_MAX) {
        if (was)
            inet_put(&ts->inet);
        return;
    }
    if (!was)
        inet_get(&ts->inet);
    timer_arm(&ts->timer, deadline_ns);
}

/* A child is made without its lock: before its flow is inserted no timer may run (see
 * tcp_sock_accepted). Every other connection has a flow that is. */
static void arm(struct tcp *tp, uint64_t deadline_ns)
{
    struct tcp_sock *ts = tcp_sock_of_tp(tp);
    if (deadline_ns == UINT64_MAX || ts->inet.flow.hashed)
        set_timer(ts, deadline_ns);
}
static void arm_listener(struct tcp_listener *listener, uint64_t deadline_ns)
{
    set_timer(tcp_sock_of_listener(listener), deadline_ns);
}

/* ---- what the engine tells ---- */

static void readable(struct tcp *tp)
{
    struct tcp_sock *ts = tcp_sock_of_tp(tp);
    uint32_t events = POLLIN | POLLRDNORM;
    if (tp->urgent == TCP_URGENT_VALID || tp->urgent == TCP_URGENT_AWAITED)
        events |= POLLPRI;
    if (tp->fin_received) {
        /* Release: what was received before is there for whoever sees it. */
        __atomic_fetch_or(&ts->inet.base.shut, SHUT_RECEIVE, __ATOMIC_RELEASE);
        events |= POLLRDHUP;
    }
    inet_wake(&ts->inet, events);
}

/* Before the byte itself (tcp(7)): SIGURG to the file's owner. */
static void urgent(struct tcp *tp)
{
    struct inet_sock *inet = &tcp_sock_of_tp(tp)->inet;
    if (!inet->dead) /* under the lock, which release takes: the file stays */
        file_signal_owner(inet->base.file, SIGURG);
}

static void writable(struct tcp *tp)
{
    inet_wake(&tcp_sock_of_tp(tp)->inet, POLLOUT | POLLWRNORM | POLLWRBAND);
}

/* The protocol is done with it, as far as this socket goes. */
static void ended(struct tcp_sock *ts)
{
    struct socket *base = &ts->inet.base;
    if (ts->tp.error)
        inet_set_error(&ts->inet, ts->tp.error);
    ts->tp.error = 0;
    ts->inet.connected = false;
    __atomic_fetch_or(&base->shut, SHUT_BOTH, __ATOMIC_RELEASE);
    if (ts->tp.state == TCP_TIME_WAIT)
        tcp_sock_time_wait(ts);
    tcp_sock_release_flow(ts);
    inet_wake(&ts->inet, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLHUP | POLLRDHUP |
                             (base->error ? POLLERR : 0));
}

static void changed(struct tcp *tp)
{
    struct tcp_sock *ts = tcp_sock_of_tp(tp);
    if (tp->fast.fresh)
        tcp_sock_fast_learn(tp);
    tcp_sock_orphan_changed(ts);
    if (tp->state == TCP_CLOSED || tp->state == TCP_TIME_WAIT)
        ended(ts);
    else /* connected, or something else that is no event of its own */
        inet_wake(&ts->inet, tp->state == TCP_ESTABLISHED ? POLLOUT | POLLWRNORM : 0);
}

struct tcp_stack tcp_stack;
static uint32_t fast_pending; /* the engine's, for tcp_stack */

static void stack_init(void)
{
    tcp_stack = tcp_stack_defaults;
    tcp_stack.clock = tcp_sock_clock;
    tcp_stack.mac = mac;
    tcp_stack.count = count;
    tcp_stack.fast_pending = &fast_pending;
    tcp_stack.send = send_segment;
    tcp_stack.arm = arm;
    tcp_stack.readable = readable;
    tcp_stack.urgent = urgent;
    tcp_stack.writable = writable;
    tcp_stack.changed = changed;
    tcp_stack.reply = reply;
    tcp_stack.child = tcp_sock_child;
    tcp_stack.accepted = tcp_sock_accepted;
    tcp_stack.arm_listener = arm_listener;
}

/* ---- packets ---- */

#define ECN_CE 3u

bool tcp_sock_parse(struct pkt *pkt, struct flow_key *key, struct tcp_segment *out)
{
    const uint8_t *ip = pkt->room + pkt->network;
    uint32_t skip = (uint32_t)(pkt->room + pkt->transport - pkt->data), word[2];
    bool v4 = ip[0] >> 4 == 4, ce;
    memzero_inline(key, sizeof(*key));
    key->protocol = IPPROTO_TCP;
    if (v4) {
        memcpy(word, ip + 12, sizeof(word));
        key->remote = net_addr_v4(word[0]);
        key->local = net_addr_v4(word[1]);
        ce = (ip[1] & 3) == ECN_CE;
    } else {
        memcpy(&key->remote, ip + 8, sizeof(key->remote));
        memcpy(&key->local, ip + 24, sizeof(key->local));
        ce = (ip[1] >> 4 & 3) == ECN_CE;
    }
    if (skip > pkt->total ||
        !ip_checksum_ok(pkt, skip, pkt->total - skip, &key->local, &key->remote, IPPROTO_TCP)) {
        mib_count(MIB_Tcp_InCsumErrors);
        count(TCP_N_InErrs);
        return false;
    }
    pkt_skip(pkt, skip);
    const uint8_t *header = pkt_pull(pkt, MIN(TCP_HEADER_MAX, pkt->total));
    if (!header || tcp_parse(header, pkt->len, pkt->total, out)) {
        count(TCP_N_InErrs);
        return false;
    }
    memcpy(&key->remote_port, header, 2);
    memcpy(&key->local_port, header + 2, 2);
    out->ce = ce;
    return true;
}

/* IP_MINTTL, IPV6_MINHOPCOUNT (RFC 5082): who is a router away cannot reach more than that. */
static bool far_enough(const struct tcp_sock *ts, const struct pkt *pkt)
{
    const uint8_t *ip = pkt->room + pkt->network;
    if (ts->inet.min_ttl <= (ip[0] >> 4 == 4 ? ip[8] : ip[7]))
        return true;
    mib_count(MIB_TcpExt_TCPMinTTLDrop);
    return false;
}

static void segment(struct tcp_sock *ts, struct pkt *pkt)
{
    struct tcp_segment seg;
    struct flow_key key;
    uint32_t una = ts->tp.una;
    if (!far_enough(ts, pkt) || !tcp_sock_parse(pkt, &key, &seg)) {
        pkt_free(pkt);
    } else if (ts->listener) {
        tcp_sock_listener_segment(ts, pkt, &key, &seg);
    } else if (ts->tp.state == TCP_CLOSED && (seg.flags & (TCP_ACK | TCP_SYN)) == TCP_ACK) {
        /* It found the flow just before that was taken out. To drop it could leave the peer with
         * half a connection: the answer to our reset, if that overtook our data (RFC 5961, 3.2). A
         * SYN is another connection's, and comes again. */
        tcp_sock_refuse(pkt, &key, &seg);
    } else {
        tcp_input(&ts->tp, pkt, &seg);
        if (ts->tp.una != una && ts->inet.route.dev)
            route_confirm(&ts->inet.route); /* RFC 4861, 7.3.1: the way there works */
    }
}

static void protocol_input(struct inet_sock *inet)
{
    struct tcp_sock *ts = tcp_sock_of(inet);
    if (__atomic_exchange_n(&ts->timer_due, false, __ATOMIC_ACQUIRE)) {
        if (ts->listener)
            tcp_listener_timer(ts->listener);
        else
            tcp_timer(&ts->tp);
    }
    struct pkt *list = channel_take(&inet->flow.channel);
    while (list) {
        struct pkt *next = list->next;
        list->next = NULL;
        channel_discharge(&inet->flow.channel, list->truesize);
        ts->tp.input_more = next != NULL;
        segment(ts, list);
        list = next;
    }
    if (ts->tp.ack_owed || ts->tp.output_owed) /* the last did not come to it */
        tcp_input_end(&ts->tp);
}

static void protocol_error(struct inet_sock *inet, const struct ip_error *error)
{
    struct tcp_sock *ts = tcp_sock_of(inet);
    uint32_t options = __atomic_load_n(&inet->options, __ATOMIC_RELAXED);
    if (ts->listener)
        return;
    if (!tcp_in_flight(&ts->tp, error->sequence)) {
        mib_count(MIB_TcpExt_OutOfWindowIcmps);
        return;
    }
    if (error->error == EMSGSIZE) {
        uint32_t headers =
            (net_addr_is_v4(&inet->flow.key.local) ? IP4_HEADER_LEN : IP6_HEADER_LEN) + TCP_HEADER;
        if (inet->mtu_discover != PMTUDISC_DONT)
            tcp_icmp_too_big(&ts->tp, error->sequence,
                             error->mtu > headers ? error->mtu - headers : 0);
        return;
    }
    if (options & (INET_RECVERR | INET_RECVERR6))
        inet_error_add(inet, error);
    tcp_icmp(&ts->tp, error->sequence, error->error, error->hard);
}

static void protocol_free(struct inet_sock *inet)
{
    struct tcp_sock *ts = tcp_sock_of(inet);
    tcp_destroy(&ts->tp);
    kfree(ts->deferred);
    inet_sock_fini(inet);
    owner_free(OWNER_SOCKET, ts, sizeof(*ts));
}

static const struct inet_protocol protocol = {
    .input = protocol_input,
    .error = protocol_error,
    .free = protocol_free,
};

/* ---- the flow: as inet.c's, but for the timer ---- */

static void flow_input(struct flow *flow)
{
    struct inet_sock *inet = inet_of_flow(flow);
    if (__atomic_load_n(&tcp_sock_of(inet)->timer_due, __ATOMIC_ACQUIRE))
        mutex_lock(&inet->lock);
    else if (!mutex_try(&inet->lock))
        return; /* its owner looks at the channel when it unlocks */
    protocol_input(inet);
    inet_unlock(inet);
}
static void flow_wake(struct flow *flow)
{
    waitq_wake_all(&inet_of_flow(flow)->sleepers, 0);
}
static void flow_failed(struct flow *flow, const struct ip_error *error)
{
    struct inet_sock *inet = inet_of_flow(flow);
    inet_lock(inet);
    protocol_error(inet, error);
    inet_unlock(inet);
}
static void flow_late(struct flow *flow, struct pkt *pkt)
{
    (void)flow;
    ip_input_again(pkt); /* to a reset, or a listener */
}
static void flow_free(struct flow *flow)
{
    protocol_free(inet_of_flow(flow));
}
static const struct flow_ops flow_ops = {
    .input = flow_input,
    .wake = flow_wake,
    .error = flow_failed,
    .late = flow_late,
    .free = flow_free,
};

/* ---- life ---- */

struct tcp_sock *tcp_sock_new(int family)
{
    struct tcp_sock *ts = owner_alloc(OWNER_SOCKET, sizeof(*ts));
    if (!ts)
        return NULL;
    inet_sock_init(&ts->inet, &tcp_sock_ops, &protocol, family, SOCK_STREAM, IPPROTO_TCP);
    ts->inet.flow.ops = &flow_ops;
    ts->inet.flow.channel.limit = CHANNEL_LIMIT;
    tcp_init(&ts->tp, &tcp_stack);
    timer_setup(&ts->timer, timer_fired);
    list_init(&ts->queue);
    return ts;
}

void tcp_sock_begin(struct tcp_sock *ts)
{
    ASSERT(!ts->active);
    ts->active = ts->hashed_once = true;
    inet_get(&ts->inet);
}

void tcp_sock_release_flow(struct tcp_sock *ts)
{
    if (!ts->active)
        return;
    ts->active = false;
    if (ts->inet.flow.hashed)
        flow_remove(&ts->inet.flow);
    if (ts->inet.dead)
        port_release(&ts->inet.port);
    if (ts->orphan)
        tcp_sock_orphan_gone(ts);
    inet_put(&ts->inet); /* whoever runs here has another */
}

/* SO_RCVBUF, SO_SNDBUF, SO_KEEPALIVE, SO_OOBINLINE: the common part has taken them. A buffer that
 * is neither set nor locked (SO_BUF_LOCK) grows by itself. The lock is held. */
void tcp_sock_sync_options(struct tcp_sock *ts)
{
    struct socket *base = &ts->inet.base;
    uint32_t receive = (uint32_t)__atomic_load_n(&base->receive_buffer, __ATOMIC_RELAXED);
    uint32_t send = (uint32_t)__atomic_load_n(&base->send_buffer, __ATOMIC_RELAXED);
    bool keep = socket_switch(base, SO_KEEPALIVE);
    if (receive != SOCKET_BUFFER_MAX || socket_switch(base, SOCKET_RECEIVE_LOCKED)) {
        ts->tp.limit_fixed = true;
        ts->tp.rcv_limit = receive / 2; /* the rest is for the packets around the bytes */
        if (ts->listener)
            tcp_listener_set_buffer(ts->listener, receive / 2);
    }
    if (send != SOCKET_BUFFER_MAX || socket_switch(base, SOCKET_SEND_LOCKED)) {
        ts->tp.send_fixed = true;
        ts->tp.send_limit = send / 2;
    }
    ts->tp.oob_inline = socket_switch(base, SO_OOBINLINE);
    if (keep != ts->tp.keep_alive)
        tcp_set_keep_alive(&ts->tp, keep);
}

static void options_changed(struct socket *socket)
{
    struct inet_sock *inet = inet_of(socket);
    inet_lock(inet);
    tcp_sock_sync_options(tcp_sock_of(inet));
    inet_unlock(inet);
}

/* Who has no answer from its peer yet has none (getpeername(2)): so programs learn how a
 * non-blocking connect went. */
static int get_name(struct socket *socket, bool peer, struct socket_name *out)
{
    struct inet_sock *inet = inet_of(socket);
    inet_lock(inet);
    bool none = peer && tcp_sock_of(inet)->tp.state == TCP_SYN_SENT;
    inet_unlock(inet);
    return none ? -ENOTCONN : inet_get_name(socket, peer, out);
}

const struct socket_ops tcp_sock_ops = {
    .release = tcp_sock_release,
    .bind = tcp_sock_bind,
    .listen = tcp_sock_listen,
    .connect = tcp_sock_connect,
    .accept = tcp_sock_accept,
    .get_name = get_name,
    .send = tcp_sock_send,
    .recv = tcp_sock_recv,
    .shutdown = tcp_sock_shutdown,
    .poll = tcp_sock_poll,
    .ioctl = tcp_sock_ioctl,
    .set_option = tcp_sock_set_option,
    .get_option = tcp_sock_get_option,
    .buffers_changed = options_changed,
    .peeks = true,
};

int tcp_create(int family, int type, int number, struct socket **out)
{
    (void)type;
    if (number != 0 && number != IPPROTO_TCP)
        return -EPROTONOSUPPORT;
    struct tcp_sock *ts = tcp_sock_new(family);
    if (!ts)
        return -ENOMEM;
    *out = &ts->inet.base;
    return 0;
}

void tcp_sock_init(void)
{
    random_bytes(&mac_key, sizeof(mac_key));
    stack_init();
    tcp_sock_fast_init();
    ip_no_flow_tcp = tcp_sock_no_flow;
}
