/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_sock_tw.c - segments that no connection of a socket gets: for TIME-WAIT, for listeners, for
 * nobody.
 *
 * A TIME-WAIT object takes the connection's place in the table in one step (flow_replace). It has a
 * lock of its own, which input waits for, so that no segment is left; nobody sleeps in it.
 * References: one of the table's (until its time is over), one of the timer's, one of queued work.
 * There are at most TW_MAX: beyond, connections end without (as Linux's tcp_max_tw_buckets).
 */
#include "core/assert.h"
#include "lib/errno.h"
#include "mm/account.h"
#include "net/mib.h"
#include "net/tcp_sock.h"

#define TW_MAX 16384u
#define TW_CHANNEL 65536u

struct tw_sock {
    struct flow flow; /* first */
    struct mutex lock;
    struct tcp_tw tw;
    struct timer timer;
    struct port_use port;
    uint64_t deadline_ns;
    bool timer_due; /* atomic */
    bool done;
};
static uint32_t tw_count; /* atomic, relaxed */

static struct tw_sock *tw_of(struct flow *flow)
{
    return container_of(flow, struct tw_sock, flow);
}

/* ---- answers of nobody in particular ---- */

/* The device that a link-local peer's segment came in by, which its answer needs; or 0. */
static unsigned scope_of(const struct flow_key *key, const struct pkt *pkt)
{
    bool scoped = net_addr_is_link_local(&key->remote) && !net_addr_is_v4(&key->remote);
    return scoped && pkt->dev ? pkt->dev->index : 0;
}

/* To who sent `to`; consumes pkt. */
static void answer(const struct flow_key *key, const struct pkt *to, struct pkt *pkt)
{
    struct ip_route route = {.dev = NULL};
    struct ip_params params = {.protocol = IPPROTO_TCP, .dont_fragment = true};
    if (route_lookup(&route, &key->remote, &key->local, scope_of(key, to))) {
        pkt_free(pkt);
        return;
    }
    tcp_sock_seal(pkt, key, 0);
    (void)ip_output(&route, pkt, &key->local, &params);
    route_release(&route);
}

void tcp_sock_refuse(struct pkt *pkt, const struct flow_key *key, const struct tcp_segment *seg)
{
    struct pkt *reset = tcp_refuse(seg);
    if (reset) {
        mib_count(MIB_Tcp_OutRsts);
        answer(key, pkt, reset);
    }
    pkt_free(pkt);
}

void tcp_sock_no_flow(struct pkt *pkt, const struct classified *about)
{
    struct tcp_segment seg;
    struct flow_key key;
    (void)about;
    if (tcp_sock_parse(pkt, &key, &seg))
        tcp_sock_refuse(pkt, &key, &seg);
    else
        pkt_free(pkt);
}

/* ---- listeners ---- */

/* The lock is held. Consumes. */
void tcp_sock_listener_segment(struct tcp_sock *ts, struct pkt *pkt, const struct flow_key *key,
                               const struct tcp_segment *seg)
{
    struct inet_sock *inet = &ts->inet;
    /* A connection may have been born while the segment was on its way here. */
    unsigned token = rcu_read_lock();
    unsigned device = pkt->dev ? pkt->dev->index : inet->flow.device;
    struct flow *flow = flow_find(key, flow_hash(key), device);
    /* Acquire: as in input.c. */
    if (flow && flow != &inet->flow && __atomic_load_n(&flow->hashed, __ATOMIC_ACQUIRE)) {
        ASSERT(pkt->data == pkt->room + pkt->transport); /* where tcp_sock_parse begins again */
        (void)flow_deliver(flow, pkt);
        rcu_read_unlock(token);
        return;
    }
    rcu_read_unlock(token);
    ts->segment_device = scope_of(key, pkt);
    if (inet_route_locked(inet, &key->remote, ts->segment_device)) {
        pkt_free(pkt);
        return;
    }
    tcp_listener_input(ts->listener, key, tcp_sock_path_mss(&inet->route), pkt, seg);
}

void tcp_sock_give_listener(struct flow *flow, struct pkt *pkt, const struct flow_key *key,
                            const struct tcp_segment *seg)
{
    struct tcp_sock *ts = tcp_sock_of(inet_of_flow(flow));
    inet_lock(&ts->inet);
    if (ts->listener)
        tcp_sock_listener_segment(ts, pkt, key, seg);
    else
        pkt_free(pkt);
    inet_unlock(&ts->inet);
}

/* ---- TIME-WAIT ---- */

static void set_timer(struct tw_sock *tw, uint64_t deadline_ns)
{
    if (!timer_cancel(&tw->timer))
        flow_get(&tw->flow);
    tw->deadline_ns = deadline_ns;
    timer_arm(&tw->timer, deadline_ns);
}

static void timer_fired(struct timer *timer)
{
    struct tw_sock *tw = container_of(timer, struct tw_sock, timer);
    __atomic_store_n(&tw->timer_due, true, __ATOMIC_RELEASE);
    flow_kick(&tw->flow);
    flow_put(&tw->flow);
}

/* The lock is held. */
static void finish(struct tw_sock *tw)
{
    if (tw->done)
        return;
    tw->done = true;
    flow_remove(&tw->flow);
    port_release(&tw->port);
    __atomic_fetch_sub(&tw_count, 1, __ATOMIC_RELAXED);
    if (timer_cancel(&tw->timer))
        flow_put(&tw->flow);
    flow_put(&tw->flow);
}

/* Who listens there, with a reference; NULL: nobody. */
static struct flow *find_listener(const struct flow_key *key, unsigned device)
{
    unsigned token = rcu_read_lock();
    struct flow *flow = flow_find(key, flow_hash(key), device);
    if (flow && (flow->kind != FLOW_SOCKET || __atomic_load_n(&flow->hashed, __ATOMIC_ACQUIRE) ||
                 !ref_get_live(&flow->refs)))
        flow = NULL;
    rcu_read_unlock(token);
    return flow;
}

/* The lock is held, and left for a SYN that opens anew. Consumes. */
static void segment(struct tw_sock *tw, struct pkt *pkt)
{
    struct tcp_segment seg;
    struct flow_key key;
    struct pkt *out;
    if (!tcp_sock_parse(pkt, &key, &seg)) {
        pkt_free(pkt);
        return;
    }
    enum tcp_tw_verdict verdict =
        tw->done ? TCP_TW_DROP : tcp_tw_input(&tw->tw, &tcp_stack, &seg, &out);
    struct flow *listener = NULL;
    if (verdict == TCP_TW_ANSWER)
        answer(&key, pkt, out);
    else if (verdict == TCP_TW_DONE || verdict == TCP_TW_REOPEN)
        finish(tw);
    if (verdict == TCP_TW_DONE)
        mib_count(MIB_TcpExt_TWKilled);
    if (verdict == TCP_TW_REOPEN)
        listener = find_listener(&key, pkt->dev ? pkt->dev->index : 0);
    if (!listener) {
        pkt_free(pkt);
        return;
    }
    mib_count(MIB_TcpExt_TWRecycled);
    mutex_unlock(&tw->lock); /* one socket's lock at a time */
    tcp_sock_give_listener(listener, pkt, &key, &seg);
    flow_put(listener);
    mutex_lock(&tw->lock);
}

static void tw_input(struct flow *flow)
{
    struct tw_sock *tw = tw_of(flow);
    mutex_lock(&tw->lock);
    struct pkt *list = channel_take(&flow->channel);
    while (list) {
        struct pkt *next = list->next;
        list->next = NULL;
        channel_discharge(&flow->channel, list->truesize);
        segment(tw, list);
        list = next;
    }
    if (__atomic_exchange_n(&tw->timer_due, false, __ATOMIC_ACQUIRE) && !tw->done) {
        /* A repeated FIN has put it off. */
        if (clock_mono_ns() >= tw->tw.deadline_ns)
            finish(tw);
        else
            set_timer(tw, tw->tw.deadline_ns);
    }
    mutex_unlock(&tw->lock);
}

static void tw_wake(struct flow *flow)
{
    flow_kick(flow); /* never: nobody reads */
}

static void tw_late(struct flow *flow, struct pkt *pkt)
{
    (void)flow;
    ip_input_again(pkt);
}

static void tw_free(struct flow *flow)
{
    owner_free(OWNER_SOCKET, tw_of(flow), sizeof(struct tw_sock));
}

static const struct flow_ops tw_ops = {
    .input = tw_input,
    .wake = tw_wake,
    .late = tw_late,
    .free = tw_free,
};

/* A flow that is found in the table, with a reference; NULL: none. */
static struct tw_sock *find_tw(const struct flow_key *key, unsigned device)
{
    unsigned token = rcu_read_lock();
    struct flow *flow = flow_find(key, flow_hash(key), device);
    if (flow && (flow->kind != FLOW_TIME_WAIT || !ref_get_live(&flow->refs)))
        flow = NULL;
    rcu_read_unlock(token);
    return flow ? tw_of(flow) : NULL;
}

/* RFC 6191, 2, from the side that opens: with timestamps, a second later. The numbers are behind
 * all that were in the window. */
bool tcp_sock_tw_reuse(const struct flow_key *key, unsigned device, uint32_t *iss)
{
    uint8_t how = __atomic_load_n(&tcp_stack.tw_reuse, __ATOMIC_RELAXED);
    if (how == 0 || (how == 2 && !ip_is_local(&key->remote, 0)))
        return false;
    struct tw_sock *tw = find_tw(key, device);
    if (!tw)
        return false;
    mutex_lock(&tw->lock);
    bool may = !tw->done && tcp_tw_reusable(&tw->tw, clock_mono_ns());
    if (may) {
        *iss = MAX(tw->tw.nxt + 65537, 1u); /* 0: not chosen yet */
        finish(tw);
        mib_count(MIB_TcpExt_TWRecycled);
    }
    mutex_unlock(&tw->lock);
    flow_put(&tw->flow);
    return may;
}

void tcp_sock_time_wait(struct tcp_sock *ts)
{
    struct flow *flow = &ts->inet.flow;
    if (!flow->hashed)
        return;
    if (__atomic_add_fetch(&tw_count, 1, __ATOMIC_RELAXED) > TW_MAX) {
        __atomic_fetch_sub(&tw_count, 1, __ATOMIC_RELAXED);
        return;
    }
    struct tw_sock *tw = owner_alloc(OWNER_SOCKET, sizeof(*tw));
    if (!tw) {
        __atomic_fetch_sub(&tw_count, 1, __ATOMIC_RELAXED);
        return;
    }
    flow_init(&tw->flow, FLOW_TIME_WAIT, &tw_ops); /* its reference is the table's */
    mutex_init(&tw->lock, RANK_SOCK);
    timer_setup(&tw->timer, timer_fired);
    tcp_tw_init(&tw->tw, &ts->tp);
    tw->flow.key = flow->key;
    tw->flow.hash = flow->hash;
    tw->flow.device = flow->device;
    tw->flow.v6_only = flow->v6_only;
    tw->flow.channel.limit = TW_CHANNEL;
    if (ts->inet.port.port)
        port_inherit(&tw->port, &ts->inet.port);
    mib_count(MIB_TcpExt_TW);
    set_timer(tw, tw->tw.deadline_ns);
    flow_replace(flow, &tw->flow);
}
