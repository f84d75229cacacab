/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp.c - life of a connection: opened, closed, ended; its queues as the program sees them; when
 * the owner is called back.
 *
 * Every entry is tcp_enter ... tcp_leave. Between them callbacks are collected, so that the owner
 * sees whole states only; the engine does not touch the connection after the last callback.
 */
#include "net/tcp_impl.h"

const struct tcp_stack tcp_stack_defaults = {
    .read_default = 131072,
    .read_max = 6u << 20,
    .write_default = 65536,
    .write_max = 4u << 20,
    .keep_idle_s = 7200, /* RFC 9293, 3.8.4: no less by default */
    .keep_interval_s = 75,
    .max_orphans = 4096,
    .keep_count = 9,
    .syn_retries = 6,
    .synack_retries = 5,
    .retries = 15, /* R2 of RFC 9293, 3.8.3: with 200 ms, about 15 minutes */
    .orphan_retries = 8,
    .fin_timeout_s = 60,
    .tw_reuse = 2,
    .syncookies = true,
};

void tcp_init(struct tcp *tp, const struct tcp_stack *stack)
{
    memset(tp, 0, sizeof *tp);
    tp->stack = stack;
    tp->state = TCP_CLOSED;
    list_init(&tp->sent);
    list_init(&tp->unsent);
    list_init(&tp->by_time);
    for (unsigned i = 0; i < TCP_SLOTS; i++)
        tp->deadline[i] = TCP_NEVER;
    tp->armed_ns = TCP_NEVER;
    tp->send_limit = stack->write_default;
    tp->rcv_limit = stack->read_default;
    tp->mss_path = tp->mss_peer = TCP_MSS_DEFAULT;
    tp->rcv_mss = TCP_MSS_DEFAULT;
    tp->rto_us = TCP_RTO_INITIAL_US;
    tp->rtt_min_us = UINT32_MAX;
    tp->keep_idle_s = (uint16_t)stack->keep_idle_s;
    tp->keep_interval_s = (uint16_t)stack->keep_interval_s;
    tp->keep_count = stack->keep_count;
    tp->syn_retries = stack->syn_retries;
    tp->reorder_window_mult = 1;
    tp->quick_acks = 8;
    tcp_cong_init(tp);
    tcp_update_mss(tp);
}

static void free_list(struct list *list)
{
    struct list *node;
    while ((node = list_pop_front(list)))
        pkt_free(seg_pkt(seg_of_link(node)));
}

static void free_queues(struct tcp *tp)
{
    free_list(&tp->sent);
    free_list(&tp->unsent);
    list_init(&tp->by_time);
    tp->lost_first = NULL;
    tp->sacked = tp->lost = tp->resent = 0;
    tp->nxt = tp->una;
    tp->written = tp->una;
}

void tcp_destroy(struct tcp *tp)
{
    free_queues(tp);
    tcp_free_received(tp);
    tcp_fast_forget(tp);
    tp->state = TCP_CLOSED;
}

/* ---- entry and leaving ---- */

void tcp_enter(struct tcp *tp)
{
    tp->now_ns = tp->stack->clock();
}

void tcp_leave(struct tcp *tp)
{
    uint64_t first = TCP_NEVER;
    for (unsigned i = 0; i < TCP_SLOTS; i++)
        first = MIN(first, tp->deadline[i]);
    /* A timer that comes too soon finds nothing and is set anew: so one that moves away with every
     * acknowledgement is not told each time. */
    if (first < tp->armed_ns || (first == TCP_NEVER && tp->armed_ns != TCP_NEVER)) {
        tp->armed_ns = first;
        tp->stack->arm(tp, first);
    }
    unsigned events = tp->events;
    tp->events = 0;
    if ((events & TCP_EVENT_URGENT) && tp->stack->urgent)
        tp->stack->urgent(tp);
    if (events & TCP_EVENT_READ)
        tp->stack->readable(tp);
    if (events & TCP_EVENT_WRITE)
        tp->stack->writable(tp);
    if (events & TCP_EVENT_STATE)
        tp->stack->changed(tp);
}

void tcp_set_deadline(struct tcp *tp, enum tcp_timer_slot slot, uint64_t deadline_ns)
{
    tp->deadline[slot] = deadline_ns;
}

void tcp_arm_retransmit(struct tcp *tp, enum tcp_timer_kind kind, uint64_t deadline_ns)
{
    tp->timer_kind = (uint8_t)kind;
    tp->deadline[TCP_SLOT_RETRANSMIT] = kind == TCP_TIMER_NONE ? TCP_NEVER : deadline_ns;
}

void tcp_set_state(struct tcp *tp, enum tcp_state state)
{
    if (tp->state == state)
        return;
    tp->state = (uint8_t)state;
    tp->events |= TCP_EVENT_STATE;
    /* Whoever waits for data or room learns that it will not come. */
    if (state == TCP_CLOSED || state == TCP_TIME_WAIT)
        tp->events |= TCP_EVENT_READ | TCP_EVENT_WRITE;
    else if (state == TCP_CLOSE_WAIT)
        tp->events |= TCP_EVENT_READ;
}

void tcp_end(struct tcp *tp, int error)
{
    if (tp->state == TCP_CLOSED)
        return;
    if (tp->state == TCP_SYN_SENT || tp->state == TCP_SYN_RCVD)
        tcp_count(tp, TCP_N_AttemptFails);
    free_queues(tp);
    tcp_fast_forget(tp);
    /* What has arrived stays readable (as on Linux), unless nobody is there. */
    if (tp->orphan)
        tcp_free_received(tp);
    if (error)
        tp->error = error;
    for (unsigned i = 0; i < TCP_SLOTS; i++)
        tp->deadline[i] = TCP_NEVER;
    tp->timer_kind = TCP_TIMER_NONE;
    tcp_set_state(tp, TCP_CLOSED);
}

/* ---- initial values ---- */

/* RFC 6528: a clock of 4 us and a secret hash of the connection's name. */
uint32_t tcp_initial_seq(const struct tcp_stack *stack, const struct flow_key *key, uint64_t now_ns)
{
    return (uint32_t)stack->mac(key, sizeof *key) + (uint32_t)(now_ns / 4000);
}

/* Our timestamps begin elsewhere for each pair of peers, so that they do not tell our uptime; the
 * same for one peer, so that TIME-WAIT can be cut short (RFC 7323, 7.1; RFC 6191). */
uint32_t tcp_initial_time(const struct tcp_stack *stack, const struct flow_key *key)
{
    struct {
        struct net_addr local, remote;
        uint64_t what;
    } name = {key->local, key->remote, 1};
    return (uint32_t)stack->mac(&name, sizeof name);
}

/* The smallest shift by which the largest buffer can be announced (RFC 7323, 2.3). */
uint8_t tcp_choose_wscale(const struct tcp_stack *stack, uint32_t limit)
{
    uint8_t shift = 0;
    uint32_t most = MAX(stack->read_max, limit);
    while (shift < TCP_WSCALE_MAX && (most >> shift) > 65535)
        shift++;
    return shift;
}

/* Payload of a full segment now: what path, peer and program allow, less the options that every
 * segment has (RFC 6691). */
void tcp_update_mss(struct tcp *tp)
{
    uint32_t mss = MIN(tp->mss_path, tp->mss_peer);
    if (tp->mss_user)
        mss = MIN(mss, tp->mss_user);
    mss = MAX(mss, TCP_MSS_MIN);
    tp->mss = mss - (tp->time_ok ? 12 : 0);
}

void tcp_set_path(struct tcp *tp, uint32_t mss)
{
    tp->mss_path = MAX(mss, TCP_MSS_MIN);
    tcp_update_mss(tp);
}

void tcp_take_syn_options(struct tcp *tp, const struct tcp_segment *segment)
{
    const struct tcp_options *opt = &segment->opt;
    tp->mss_peer = opt->has_mss ? MAX(opt->mss, TCP_MSS_MIN) : TCP_MSS_DEFAULT;
    tp->time_ok = tp->time_ok && opt->has_time;
    tp->sack_ok = tp->sack_ok && opt->has_sack_ok;
    tp->wscale_ok = tp->wscale_ok && opt->has_wscale;
    tp->wscale_send = tp->wscale_ok ? opt->wscale : 0;
    if (!tp->wscale_ok)
        tp->wscale_receive = 0;
    if (tp->time_ok) {
        tp->time_recent = opt->time;
        tp->time_recent_ns = tp->now_ns;
    }
    tcp_update_mss(tp);
}

/* ---- opening ---- */

void tcp_connect(struct tcp *tp)
{
    tcp_connect_with(tp, NULL);
}

void tcp_connect_with(struct tcp *tp, struct pkt *pkt)
{
    ASSERT(tp->state == TCP_CLOSED);
    tcp_enter(tp);
    tp->error = 0;
    if (tp->iss == 0)
        tp->iss = tcp_initial_seq(tp->stack, tp->key, tp->now_ns);
    tp->time_offset = tcp_initial_time(tp->stack, tp->key);
    tp->una = tp->iss;
    tp->nxt = tp->written = tp->iss + 1;
    tp->pushed = tp->small_end = tp->urgent_sent = tp->una;
    tp->high = tp->una;
    /* What is offered; what the answer does not have is taken back. */
    tp->time_ok = tp->sack_ok = tp->wscale_ok = true;
    tp->wscale_receive = tcp_choose_wscale(tp->stack, tp->rcv_limit);
    tp->ecn_ok = tp->stack->ecn;
    tp->stuck_ns = tp->heard_ns = tp->now_ns;
    tcp_set_state(tp, TCP_SYN_SENT);
    tcp_count(tp, TCP_N_ActiveOpens);
    if (pkt)
        tcp_send(tp, pkt);
    tp->pushed = tp->written;
    tcp_send_syn(tp);
    tcp_arm_retransmit(tp, TCP_TIMER_RTO, tp->now_ns + us_to_ns(tp->rto_us));
    tcp_leave(tp);
}

/* The handshake is done; una, nxt, windows are set. */
void tcp_established(struct tcp *tp)
{
    tp->retries = tp->backoff = 0;
    tp->stuck_ns = 0;
    tp->data_ns = tp->now_ns;
    tp->tune_seq = tp->read;
    tp->tune_ns = tp->now_ns;
    tp->tune_space = MIN(tp->rcv_limit, 10 * tp->rcv_mss);
    tcp_update_mss(tp);
    tcp_cong_start(tp);
    tcp_arm_retransmit(tp, TCP_TIMER_NONE, 0);
    tcp_set_state(tp, TCP_ESTABLISHED);
    tp->events |= TCP_EVENT_WRITE;
    tcp_keep_changed(tp);
}

/* ---- closing ---- */

static void queue_fin(struct tcp *tp)
{
    tp->fin = true;
    if (tp->state == TCP_SYN_RCVD)
        return; /* RFC 9293, 3.10.4: when it is established */
    if (tp->state == TCP_ESTABLISHED)
        tcp_set_state(tp, TCP_FIN_WAIT1);
    else if (tp->state == TCP_CLOSE_WAIT)
        tcp_set_state(tp, TCP_LAST_ACK);
    tp->cork = false;
    tcp_output(tp);
}

void tcp_shutdown(struct tcp *tp)
{
    tcp_enter(tp);
    if (tp->state == TCP_SYN_SENT)
        tcp_end(tp, 0); /* RFC 9293, 3.10.4: delete it */
    else if (tcp_can_send(tp) || (tp->state == TCP_SYN_RCVD && !tp->fin))
        queue_fin(tp);
    tcp_leave(tp);
}

/* FIN-WAIT-2 without a program ends after a while: the peer may never close (RFC 9293, 3.6 lets
 * us). */
static void limit_fin_wait2(struct tcp *tp)
{
    uint64_t seconds = tp->linger2_s > 0 ? (uint64_t)tp->linger2_s : tp->stack->fin_timeout_s;
    if (tp->linger2_s < 0) {
        tcp_count(tp, TCP_N_TCPAbortOnLinger);
        tcp_send_reset(tp);
        tcp_end(tp, 0);
        return;
    }
    tcp_set_deadline(tp, TCP_SLOT_KEEP, tp->now_ns + seconds * NS_PER_SEC);
}

void tcp_close(struct tcp *tp)
{
    tcp_enter(tp);
    bool unread = tcp_readable(tp) != 0;
    tp->orphan = true;
    tcp_free_received(tp);
    if (unread && tcp_synchronized(tp) && tp->state != TCP_TIME_WAIT) {
        /* RFC 2525, 2.17; RFC 9293, 3.6: data was lost, so say so. */
        tcp_count(tp, TCP_N_TCPAbortOnClose);
        tcp_send_reset(tp);
        tcp_end(tp, 0);
    } else if (tp->state == TCP_SYN_SENT) {
        tcp_end(tp, 0);
    } else if (tcp_can_send(tp) || (tp->state == TCP_SYN_RCVD && !tp->fin)) {
        queue_fin(tp);
    }
    if (tp->state == TCP_FIN_WAIT2)
        limit_fin_wait2(tp);
    else if (tp->state == TCP_CLOSED)
        tcp_destroy(tp);
    tcp_leave(tp);
}

void tcp_abort(struct tcp *tp, int error)
{
    tcp_enter(tp);
    /* RFC 9293, 3.10.5: a reset where the peer knows of us. */
    if (tp->state == TCP_SYN_RCVD || tp->state == TCP_ESTABLISHED || tp->state == TCP_FIN_WAIT1 ||
        tp->state == TCP_FIN_WAIT2 || tp->state == TCP_CLOSE_WAIT || tp->state == TCP_CLOSING ||
        tp->state == TCP_LAST_ACK)
        tcp_send_reset(tp);
    tcp_end(tp, error);
    tcp_free_received(tp);
    tcp_leave(tp);
}

void tcp_enter_time_wait(struct tcp *tp)
{
    tcp_set_state(tp, TCP_TIME_WAIT);
    tcp_arm_retransmit(tp, TCP_TIMER_NONE, 0);
    for (unsigned i = 0; i < TCP_SLOTS; i++)
        tp->deadline[i] = TCP_NEVER;
}

/* ---- what the program sends ---- */

uint32_t tcp_send_room(struct tcp *tp)
{
    uint32_t queued = tp->written - tp->una;
    if (tp->state == TCP_SYN_SENT || tp->state == TCP_SYN_RCVD)
        queued = tp->written - tp->iss - 1;
    uint32_t room = queued < tp->send_limit ? tp->send_limit - queued : 0;
    if (queued && tcp_memory(tp->stack) >= TCP_MEMORY_OUT)
        room = 0; /* what is on its way is acknowledged, or the connection ends: then there is */
    /* Writers are woken when a third is free, not for each segment. */
    if (room < tp->send_limit / 3)
        tp->room_wanted = true;
    return room;
}

/* The room behind the last segment not yet sent: small writes make one segment. */
void *tcp_tail(struct tcp *tp, uint32_t len)
{
    if (list_empty(&tp->unsent) || len > TCP_COLLECT)
        return NULL;
    struct pkt *pkt = seg_pkt(seg_of_link(tp->unsent.prev)), *last = pkt;
    if (pkt->shared || pkt->total + len > TCP_SEND_MAX)
        return NULL;
    while (last->more)
        last = last->more;
    return len > last->size - pkt_headroom(last) - last->len ? NULL : last->data + last->len;
}

void tcp_send_tail(struct tcp *tp, uint32_t len)
{
    void *end unused = pkt_put(seg_pkt(seg_of_link(tp->unsent.prev)), len);
    ASSERT(end && !tp->fin);
    tp->written += len;
}

static bool join_by_copy(struct tcp *tp, const struct pkt *pkt)
{
    void *to = pkt->done ? NULL : tcp_tail(tp, pkt->total);
    if (!to)
        return false;
    pkt_read(pkt, 0, to, pkt->total);
    tcp_send_tail(tp, pkt->total);
    return true;
}

/* Small writes that find no room there: the second of them opens a packet with room for more, as
 * one piece; the first is a piece itself, as there may be but one (a header, and what it is of).
 * NULL: as it is. */
static struct pkt *collector(const struct tcp *tp, const struct pkt *pkt)
{
    if (list_empty(&tp->unsent) || pkt->total > TCP_COLLECT / 2 || pkt->done ||
        !seg_pkt(seg_of_link(tp->unsent.prev))->more)
        return NULL;
    struct pkt *large = pkt_alloc(0, TCP_COLLECT, ALLOC_DEFAULT);
    if (!large)
        return NULL;
    pkt_read(pkt, 0, pkt_put(large, pkt->total), pkt->total);
    return large;
}

/* Or as further pieces of it, while they are few and together no more than one GSO packet. */
static bool join_pieces(struct tcp *tp, struct pkt *pkt)
{
    if (list_empty(&tp->unsent))
        return false;
    struct pkt *last = seg_pkt(seg_of_link(tp->unsent.prev));
    unsigned pieces = 0;
    for (const struct pkt *piece = last; piece; piece = piece->more)
        pieces++;
    if (last->total + pkt->total > TCP_SEND_MAX || pieces > 8)
        return false;
    pkt_append(last, pkt);
    return true;
}

void tcp_send(struct tcp *tp, struct pkt *pkt)
{
    uint32_t len = pkt->total;
    ASSERT(len <= TCP_SEND_MAX && !tp->fin);
    if (len == 0) {
        pkt_free(pkt);
        return;
    }
    if (join_by_copy(tp, pkt)) {
        pkt_free(pkt);
        return;
    }
    uint32_t seq = tp->written;
    tp->written += len;
    struct pkt *large = collector(tp, pkt);
    if (large) {
        pkt_free(pkt);
        pkt = large;
    }
    if (join_pieces(tp, pkt))
        return;
    struct tcp_seg *seg = pkt_seg(pkt);
    *seg = (struct tcp_seg){.seq = seq};
    list_init(&seg->time);
    list_push_back(&tp->unsent, &seg->link);
}

void tcp_push(struct tcp *tp, bool more, bool urgent)
{
    tcp_enter(tp);
    tp->more = more;
    if (!more)
        tp->pushed = tp->written;
    if (urgent)
        tp->urgent_sent = tp->written;
    if (tp->state != TCP_SYN_SENT && tp->state != TCP_SYN_RCVD && tp->state != TCP_CLOSED)
        tcp_output(tp);
    tcp_leave(tp);
}

void tcp_uncork(struct tcp *tp)
{
    tp->more = false;
    tcp_push(tp, false, false);
}

/* ---- options ---- */

void tcp_quick_ack(struct tcp *tp, bool on)
{
    tcp_enter(tp);
    tp->no_quick = !on;
    tp->quick_acks = on ? 8 : 0;
    if (on && tp->ack_later)
        tcp_send_ack(tp);
    tcp_leave(tp);
}

void tcp_set_keep_alive(struct tcp *tp, bool on)
{
    tcp_enter(tp);
    tp->keep_alive = on;
    tp->probes = 0;
    tcp_keep_changed(tp);
    tcp_leave(tp);
}

void tcp_keep_changed(struct tcp *tp)
{
    if (tp->state == TCP_CLOSED || tp->state == TCP_TIME_WAIT ||
        (tp->orphan && tp->state == TCP_FIN_WAIT2))
        return; /* none, or the slot is in use */
    uint64_t idle = (uint64_t)tp->keep_idle_s * NS_PER_SEC;
    bool on = tp->keep_alive && tcp_synchronized(tp);
    tcp_set_deadline(tp, TCP_SLOT_KEEP, on ? MAX(tp->heard_ns, tp->data_ns) + idle : TCP_NEVER);
}
