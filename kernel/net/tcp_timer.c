/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_timer.c - what happens by time alone: retransmission (RFC 6298, RFC 5681), zero-window probes
 * (RFC 9293, 3.8.6.1), delayed acknowledgements, keep-alive (3.8.4), giving up (3.8.3; RFC 5482),
 * and smaller segments where the path seems to swallow large ones (RFC 4821, 7.7; RFC 2923, 2.1).
 */
#include "net/tcp_impl.h"

/* RFC 4821, 7.2: a size that passes nearly everywhere, then one that does everywhere. */
static const struct {
    uint16_t mss;
    uint8_t retries;
} safe[] = {{1024, 3}, {512, 5}};

static bool timed_out(const struct tcp *tp)
{
    return tp->user_timeout_ms && tp->stuck_ns &&
           tp->now_ns - tp->stuck_ns >= tp->user_timeout_ms * NS_PER_MS;
}

static void give_up(struct tcp *tp)
{
    tcp_count(tp, TCP_N_TCPAbortOnTimeout);
    tcp_end(tp, ETIMEDOUT);
}

static void arm_rto(struct tcp *tp)
{
    uint64_t wait = us_to_ns(tcp_rto_us(tp));
    /* The user timeout is not overslept. */
    if (tp->user_timeout_ms && tp->stuck_ns) {
        uint64_t end = tp->stuck_ns + tp->user_timeout_ms * NS_PER_MS;
        wait = MIN(wait, MAX(end > tp->now_ns ? end - tp->now_ns : 0, NS_PER_MS));
    }
    tcp_arm_retransmit(tp, TCP_TIMER_RTO, tp->now_ns + wait);
}

static void syn_timer(struct tcp *tp)
{
    unsigned limit = tp->state == TCP_SYN_SENT ? tp->syn_retries : tp->stack->synack_retries;
    if (tp->retries >= limit || timed_out(tp)) {
        give_up(tp);
        return;
    }
    tp->retries++;
    tp->backoff++;
    tcp_count(tp, TCP_N_TCPSynRetrans);
    tcp_count(tp, TCP_N_RetransSegs);
    if (tp->fast.passive)
        tcp_fast_answer(tp);
    else
        tcp_send_syn(tp);
    arm_rto(tp);
}

/* Several timeouts in a row with full segments: perhaps only the large ones are lost, and no ICMP
 * message comes back. */
static void suspect_black_hole(struct tcp *tp)
{
    uint32_t len = list_empty(&tp->sent) ? 0 : seg_len(seg_of_link(tp->sent.next));
    for (unsigned i = 0; i < ARRAY_COUNT(safe); i++)
        if (tp->retries >= safe[i].retries && MIN(tp->mss, len) > safe[i].mss) {
            tcp_set_path(tp, safe[i].mss);
            tcp_count(tp, TCP_N_TCPMTUPFail);
            return;
        }
}

static bool too_many(const struct tcp *tp)
{
    unsigned limit = tp->orphan ? tp->stack->orphan_retries : tp->stack->retries;
    /* A peer that answers with a closed window lives (RFC 9293, 3.8.6.1). */
    if (tp->window == 0 && tp->now_ns - tp->heard_ns < us_to_ns(TCP_RTO_MAX_US))
        return false;
    return tp->retries >= limit;
}

static void rto_timer(struct tcp *tp)
{
    if (tp->state == TCP_SYN_SENT || tp->state == TCP_SYN_RCVD || tp->fast.passive) {
        syn_timer(tp);
        return;
    }
    if (too_many(tp) || timed_out(tp)) {
        give_up(tp);
        return;
    }
    tcp_count(tp, TCP_N_TCPTimeouts);
    if (tp->retries < 255)
        tp->retries++;
    if (tp->backoff < 16)
        tp->backoff++;
    suspect_black_hole(tp);
    /* RFC 5681, 3.1: the threshold falls once for a loss, not with each repetition. */
    if (tp->recovery != TCP_CA_LOSS || !seq_before(tp->una, tp->high))
        tcp_reduce(tp, TCP_CA_LOSS);
    tp->tlp_end = 0;
    tcp_timeout_losses(tp);
    tcp_cong_timeout(tp);
    arm_rto(tp);
    if (list_empty(&tp->sent)) {
        if (tcp_fin_sent(tp)) {
            tcp_count(tp, TCP_N_RetransSegs);
            tp->resent_total++;
            tcp_send_fin(tp);
        }
        return;
    }
    tcp_output(tp);
}

/* Nothing is on its way, but something waits: the window is closed, or too small, or the small
 * segment was held back long enough. */
static void persist_timer(struct tcp *tp)
{
    tp->timer_kind = TCP_TIMER_NONE;
    tp->deadline[TCP_SLOT_RETRANSMIT] = TCP_NEVER;
    if (list_empty(&tp->unsent) || tcp_outstanding(tp)) {
        tcp_output(tp);
        return;
    }
    unsigned limit = tp->orphan ? tp->stack->orphan_retries : tp->stack->retries;
    if (tp->probes >= limit || timed_out(tp)) {
        give_up(tp);
        return;
    }
    if (!tp->stuck_ns)
        tp->stuck_ns = tp->now_ns;
    /* RFC 9293, 3.8.6.2.1: what fits goes now; MAY-8 of a closed window: a segment that must be
     * answered, in longer and longer intervals. */
    if (tp->window && tcp_send_new(tp, tp->window)) {
        tp->more = false;
        tcp_rearm_retransmit(tp);
        return;
    }
    tp->probes++;
    if (tp->backoff < 16)
        tp->backoff++;
    tcp_send_probe(tp);
    tcp_arm_retransmit(tp, TCP_TIMER_PERSIST, tp->now_ns + us_to_ns(tcp_rto_us(tp)));
}

static void keep_timer(struct tcp *tp)
{
    tcp_set_deadline(tp, TCP_SLOT_KEEP, TCP_NEVER);
    if (tp->orphan && tp->state == TCP_FIN_WAIT2) {
        tcp_end(tp, 0); /* the peer never closed */
        return;
    }
    if (!tp->keep_alive || !tcp_synchronized(tp))
        return;
    uint64_t idle = tp->keep_idle_s * NS_PER_SEC;
    uint64_t last = MAX(tp->heard_ns, tp->data_ns), quiet = tp->now_ns - last;
    if (tcp_outstanding(tp) || !list_empty(&tp->unsent)) {
        tcp_set_deadline(tp, TCP_SLOT_KEEP, tp->now_ns + idle); /* retransmission finds out */
        return;
    }
    if (quiet < idle) {
        tcp_set_deadline(tp, TCP_SLOT_KEEP, last + idle);
        return;
    }
    bool dead = tp->user_timeout_ms ? tp->probes && quiet >= tp->user_timeout_ms * NS_PER_MS
                                    : tp->probes >= tp->keep_count;
    if (dead) {
        tcp_send_reset(tp);
        give_up(tp);
        return;
    }
    tp->probes++;
    tcp_count(tp, TCP_N_TCPKeepAlive);
    tcp_send_probe(tp);
    tcp_set_deadline(tp, TCP_SLOT_KEEP, tp->now_ns + tp->keep_interval_s * NS_PER_SEC);
}

static void ack_timer(struct tcp *tp)
{
    tcp_set_deadline(tp, TCP_SLOT_ACK, TCP_NEVER);
    if (!tp->ack_later || !tcp_synchronized(tp))
        return;
    tcp_count(tp, TCP_N_DelayedACKs);
    tp->ack_alone = 1;
    tcp_send_ack(tp);
}

static void retransmit_timer(struct tcp *tp)
{
    enum tcp_timer_kind kind = (enum tcp_timer_kind)tp->timer_kind;
    tcp_arm_retransmit(tp, TCP_TIMER_NONE, 0);
    switch (kind) {
    case TCP_TIMER_RTO:
        rto_timer(tp);
        break;
    case TCP_TIMER_PROBE:
        tcp_probe_timer(tp);
        break;
    case TCP_TIMER_REORDER:
        tcp_reorder_timer(tp);
        tcp_output(tp);
        break;
    case TCP_TIMER_PERSIST:
        persist_timer(tp);
        break;
    case TCP_TIMER_NONE:
        break;
    }
}

void tcp_timer(struct tcp *tp)
{
    tcp_enter(tp);
    tp->armed_ns = TCP_NEVER;
    if (tp->deadline[TCP_SLOT_ACK] <= tp->now_ns)
        ack_timer(tp);
    if (tp->deadline[TCP_SLOT_RETRANSMIT] <= tp->now_ns)
        retransmit_timer(tp);
    if (tp->deadline[TCP_SLOT_KEEP] <= tp->now_ns)
        keep_timer(tp);
    tcp_leave(tp);
}
