/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_input.c - a segment arrives: RFC 9293, 3.10.7, in its order of checks, with the stricter ones
 * of RFC 5961 (blind resets, SYNs, data) and PAWS (RFC 7323, 5).
 */
#include "net/tcp_impl.h"

/* ---- SYN-SENT (3.10.7.3) ---- */

/* The peer's SYN: its sequence numbers and options. */
static void take_syn(struct tcp *tp, const struct tcp_segment *segment)
{
    tp->irs = segment->seq;
    tp->rcv_nxt = tp->read = tp->acked_to = tp->time_ack = segment->seq + 1;
    tp->rcv_edge = tp->rcv_nxt + tp->rcv_window;
    tp->wl1 = segment->seq;
    tp->window = tp->window_max = segment->window; /* not scaled */
    tcp_take_syn_options(tp, segment);
}

static void answer_reset(struct tcp *tp, const struct tcp_segment *segment)
{
    struct pkt *pkt = tcp_refuse(segment);
    tcp_count(tp, TCP_N_OutRsts);
    if (pkt)
        tp->stack->send(tp, pkt, false);
}

static void syn_answered(struct tcp *tp, const struct tcp_segment *segment)
{
    take_syn(tp, segment);
    /* RFC 3168, 6.1.1: ECE without CWR */
    tp->ecn_ok = tp->ecn_ok && (segment->flags & (TCP_ECE | TCP_CWR)) == TCP_ECE;
    tcp_fast_answered(tp, segment);
    tp->una = segment->ack;
    if (tp->syn_tries <= 1)
        tcp_rtt_sample(tp, tcp_elapsed_us(tp, tp->stuck_ns));
    tcp_established(tp);
    tp->ack_now = true;
}

static void syn_sent(struct tcp *tp, struct pkt *pkt, const struct tcp_segment *segment)
{
    uint8_t flags = segment->flags;
    bool ack = (flags & TCP_ACK) != 0;
    if (ack &&
        (!seq_after(segment->ack, tp->iss) || seq_after(segment->ack, tp->nxt + tp->fast.sent) ||
         /* RFC 7323, 5.2: nor the answer to another SYN */
         (segment->opt.has_time && segment->opt.echo &&
          seq_after(segment->opt.echo, tcp_time_now(tp))))) {
        if (!(flags & TCP_RST))
            answer_reset(tp, segment);
    } else if (flags & TCP_RST) {
        if (ack)
            tcp_end(tp, ECONNREFUSED);
    } else if ((flags & TCP_SYN) && ack) {
        syn_answered(tp, segment);
        struct tcp_segment rest = *segment;
        rest.seq++;
        rest.flags &= (uint8_t)~TCP_SYN;
        tcp_urgent_input(tp, &rest);
        tcp_data(tp, pkt, &rest);
        return;
    } else if (flags & TCP_SYN) { /* both open at once: 3.5, figure 7 */
        take_syn(tp, segment);
        tp->ecn_ok = false;
        tcp_set_state(tp, TCP_SYN_RCVD);
        tcp_send_syn(tp);
        tp->retries = 0;
        tcp_arm_retransmit(tp, TCP_TIMER_RTO, tp->now_ns + us_to_ns(tp->rto_us));
    }
    pkt_free(pkt);
}

/* ---- is it for us at all? ---- */

/* RFC 7323, 5.3: R1. A timestamp that goes backwards belongs to an old duplicate, unless ours is so
 * old that the peer's clock may have wrapped (5.5: 24 days). */
static bool paws_rejects(const struct tcp *tp, const struct tcp_segment *segment)
{
    return tp->time_ok && segment->opt.has_time && seq_before(segment->opt.time, tp->time_recent) &&
           tp->now_ns - tp->time_recent_ns < 24ull * 86400 * NS_PER_SEC;
}

/* RFC 9293, 3.10.7.4, first: some of it lies in the window. The left edge is what was acknowledged
 * last (not RCV.NXT), the right one what was announced. */
static bool acceptable(const struct tcp *tp, const struct tcp_segment *segment)
{
    return !seq_before(segment->end, tp->acked_to) &&
           !seq_after(segment->seq, tp->rcv_nxt + tcp_receive_window(tp));
}

/* An acknowledgement for a segment that is refused; not for ever so many (RFC 5961, 7; and two
 * confused peers must not answer each other for ever). */
static void refuse(struct tcp *tp, const struct tcp_segment *segment)
{
    if (segment->len) {
        tcp_dsack(tp, segment->seq, segment->seq + segment->len);
        tcp_send_ack(tp);
        return;
    }
    /* Probes (of windows, of life) and repeated FINs want their answers sooner. */
    bool probe = segment->seq + 1 == tp->acked_to || (segment->flags & TCP_FIN);
    uint64_t limit = probe ? TCP_CHALLENGE_NS / 25 : TCP_CHALLENGE_NS;
    if (tp->challenge_ns && tp->now_ns - tp->challenge_ns < limit) {
        tcp_count(tp, TCP_N_TCPACKSkipped);
        return;
    }
    tp->challenge_ns = tp->now_ns;
    tcp_send_ack(tp);
}

static void was_reset(struct tcp *tp)
{
    int error = tp->state == TCP_SYN_RCVD     ? ECONNREFUSED
                : tp->state == TCP_CLOSE_WAIT ? EPIPE
                                              : ECONNRESET;
    if (tp->state == TCP_ESTABLISHED || tp->state == TCP_CLOSE_WAIT)
        tcp_count(tp, TCP_N_EstabResets);
    tcp_end(tp, tp->state == TCP_CLOSING || tp->state == TCP_LAST_ACK ? 0 : error);
}

/* Checks first to fourth. False: it goes no further. */
static bool check(struct tcp *tp, struct tcp_segment *segment)
{
    if (!(segment->flags & TCP_RST) && paws_rejects(tp, segment)) {
        tcp_count(tp, TCP_N_PAWSEstab);
        refuse(tp, segment);
        return false;
    }
    /* The answer to our SYN of a simultaneous open: what remains of it is its ACK (3.5, figure 7,
     * line 6). */
    if (tp->state == TCP_SYN_RCVD &&
        (segment->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) && segment->seq == tp->irs &&
        segment->ack == tp->nxt) {
        segment->flags &= (uint8_t)~TCP_SYN;
        segment->seq++;
    }
    if (tp->fast.passive && segment->seq == tp->irs &&
        (segment->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN) {
        if (!tp->challenge_ns || tp->now_ns - tp->challenge_ns >= TCP_CHALLENGE_NS)
            tcp_fast_answer(tp); /* ours was lost */
        tp->challenge_ns = tp->now_ns;
        return false;
    }
    if (!acceptable(tp, segment)) {
        if (!(segment->flags & TCP_RST)) {
            if (segment->flags & TCP_SYN)
                tcp_challenge(tp);
            else
                refuse(tp, segment);
        }
        return false;
    }
    if (segment->flags & TCP_RST) { /* RFC 5961, 3.2 */
        if (segment->seq == tp->rcv_nxt)
            was_reset(tp);
        else
            tcp_challenge(tp);
        return false;
    }
    if (segment->flags & TCP_SYN) { /* RFC 5961, 4.2 */
        tcp_count(tp, TCP_N_TCPSYNChallenge);
        tcp_challenge(tp);
        return false;
    }
    return (segment->flags & TCP_ACK) != 0;
}

/* RFC 7323, 4.3: of the segment that the next acknowledgement answers. */
static void take_time(struct tcp *tp, const struct tcp_segment *segment)
{
    if (tp->time_ok && segment->opt.has_time && !seq_after(segment->seq, tp->time_ack) &&
        !seq_before(segment->opt.time, tp->time_recent)) {
        tp->time_recent = segment->opt.time;
        tp->time_recent_ns = tp->now_ns;
    } else if (tp->time_ok && segment->opt.has_time && !seq_after(segment->seq, tp->time_ack) &&
               tp->now_ns - tp->time_recent_ns >= 24ull * 86400 * NS_PER_SEC) {
        tp->time_recent = segment->opt.time;
        tp->time_recent_ns = tp->now_ns;
    }
}

/* ---- what follows from it ---- */

static bool syn_acknowledged(struct tcp *tp, const struct tcp_segment *segment)
{
    if (!seq_after(segment->ack, tp->una) || seq_after(segment->ack, tp->nxt)) {
        answer_reset(tp, segment);
        return false;
    }
    bool fin = tp->fin;
    tp->una = tp->iss + 1;
    tp->wl1 = segment->seq;
    tp->window = (uint32_t)segment->window << tp->wscale_send;
    tp->window_max = MAX(tp->window_max, tp->window);
    if (tp->syn_tries <= 1)
        tcp_rtt_sample(tp, tcp_elapsed_us(tp, tp->stuck_ns ? tp->stuck_ns : tp->now_ns));
    tcp_established(tp);
    if (fin)
        tcp_set_state(tp, TCP_FIN_WAIT1);
    return true;
}

/* Our FIN is acknowledged. */
static void fin_acked(struct tcp *tp)
{
    switch (tp->state) {
    case TCP_FIN_WAIT1:
        tcp_set_state(tp, TCP_FIN_WAIT2);
        tp->deadline[TCP_SLOT_KEEP] = TCP_NEVER;
        if (tp->orphan) {
            uint64_t seconds =
                tp->linger2_s > 0 ? (uint64_t)tp->linger2_s : tp->stack->fin_timeout_s;
            tcp_set_deadline(tp, TCP_SLOT_KEEP, tp->now_ns + seconds * NS_PER_SEC);
        } else {
            tcp_keep_changed(tp);
        }
        break;
    case TCP_CLOSING:
        tcp_enter_time_wait(tp);
        break;
    case TCP_LAST_ACK:
        tcp_end(tp, 0);
        break;
    }
}

/* The peer's FIN is in order (3.10.7.4, eighth). */
static void fin_came(struct tcp *tp)
{
    tp->ack_now = true;
    tp->events |= TCP_EVENT_READ;
    switch (tp->state) {
    case TCP_ESTABLISHED:
        tcp_set_state(tp, TCP_CLOSE_WAIT);
        break;
    case TCP_FIN_WAIT1: /* ours is not acknowledged, else it would be FIN-WAIT-2 */
        tcp_set_state(tp, TCP_CLOSING);
        break;
    case TCP_FIN_WAIT2:
        tcp_send_ack(tp);
        tcp_enter_time_wait(tp);
        break;
    }
}

static bool takes_data(const struct tcp *tp)
{
    return tp->state == TCP_ESTABLISHED || tp->state == TCP_FIN_WAIT1 || tp->state == TCP_FIN_WAIT2;
}

static void congestion_marks(struct tcp *tp, const struct tcp_segment *segment)
{
    if (!tp->ecn_ok)
        return;
    if (segment->flags & TCP_CWR) /* RFC 3168, 6.1.3 */
        tp->ecn_echo = false;
    if (segment->ce) {
        if (!tp->ecn_echo)
            tp->ack_now = true;
        tp->ecn_echo = true;
    }
}

/* Data, urgent pointer, FIN. Consumes. */
static void payload(struct tcp *tp, struct pkt *pkt, const struct tcp_segment *segment)
{
    if (!takes_data(tp)) {
        if (segment->seq != segment->end) /* 3.10.7.4: what comes behind a FIN is ignored */
            tp->ack_now = true;
        pkt_free(pkt);
        return;
    }
    bool unread = tp->orphan || (tp->deaf && tp->state != TCP_ESTABLISHED);
    if (unread && segment->len && seq_after(segment->seq + segment->len, tp->rcv_nxt)) {
        /* RFC 9293, 3.6.1: nobody will read it, so say that it is lost. */
        tcp_count(tp, TCP_N_TCPAbortOnData);
        pkt_free(pkt);
        tcp_send_reset(tp);
        tcp_end(tp, tp->orphan ? 0 : ECONNRESET);
        return;
    }
    congestion_marks(tp, segment);
    tcp_urgent_input(tp, segment);
    bool had = tp->fin_received;
    tcp_data(tp, pkt, segment);
    if (tp->fin_received && !had)
        fin_came(tp);
}

static void synchronized(struct tcp *tp, struct pkt *pkt, struct tcp_segment *segment)
{
    if (!check(tp, segment))
        goto drop;
    take_time(tp, segment);
    if (tp->state == TCP_SYN_RCVD && !syn_acknowledged(tp, segment))
        goto drop;
    if (!tcp_ack(tp, segment))
        goto drop;
    if (tp->fast.passive)
        tcp_fast_done(tp);
    tp->heard_ns = tp->now_ns;
    tp->probes = 0;
    if (tcp_fin_acked(tp))
        fin_acked(tp);
    if (tp->state == TCP_CLOSED)
        goto drop;
    payload(tp, pkt, segment);
    return;
drop:
    pkt_free(pkt);
}

void tcp_input(struct tcp *tp, struct pkt *pkt, const struct tcp_segment *segment)
{
    struct tcp_segment seg = *segment;
    tcp_enter(tp);
    tcp_count(tp, TCP_N_InSegs);
    pkt_skip(pkt, seg.header);
    uint32_t count = pkt->gso_size && seg.len ? (seg.len - 1) / pkt->gso_size + 1 : 1;
    tp->segments_in += count;
    tp->data_in += seg.len ? count : 0;
    if (tp->state == TCP_CLOSED || tp->state == TCP_TIME_WAIT)
        pkt_free(pkt); /* the owner is letting go of it */
    else if (tp->state == TCP_SYN_SENT)
        syn_sent(tp, pkt, &seg);
    else
        synchronized(tp, pkt, &seg);
    if (tp->input_more && !tp->ack_now)
        tp->output_owed = true; /* what all acknowledgements of the burst allow, in long segments */
    else
        tcp_output(tp);
    if (tp->ack_now && tcp_synchronized(tp) && tp->state != TCP_TIME_WAIT)
        tcp_send_ack(tp);
    tcp_leave(tp);
}

void tcp_input_end(struct tcp *tp)
{
    tcp_enter(tp);
    tcp_output(tp);
    if (tp->ack_owed && tcp_synchronized(tp) && tp->state != TCP_TIME_WAIT)
        tcp_send_ack(tp);
    tp->ack_owed = false;
    tcp_leave(tp);
}

/* ---- ICMP (RFC 5927, 4.1: only about what is in flight) ---- */

bool tcp_in_flight(const struct tcp *tp, uint32_t seq)
{
    return tp->state != TCP_CLOSED && !seq_before(seq, tp->una) && seq_before(seq, tp->nxt);
}

void tcp_icmp(struct tcp *tp, uint32_t seq, int error, bool hard)
{
    if (!tcp_in_flight(tp, seq))
        return;
    tcp_enter(tp);
    /* RFC 1122, 4.2.3.9 would end connections by hard errors; since anyone can forge them (RFC
     * 5927, 5.2) they end only those that are not established. */
    if (hard && (tp->state == TCP_SYN_SENT || tp->state == TCP_SYN_RCVD))
        tcp_end(tp, error);
    tcp_leave(tp);
}

bool tcp_icmp_too_big(struct tcp *tp, uint32_t seq, uint32_t mss)
{
    if (!tcp_in_flight(tp, seq) || mss >= tp->mss_path)
        return false;
    tcp_enter(tp);
    tcp_set_path(tp, mss);
    /* What was too long is lost, and that is no congestion (RFC 8201, 5.4). */
    if (tcp_synchronized(tp)) {
        for (struct list *node = tp->sent.prev; node != &tp->sent; node = node->prev) {
            struct tcp_seg *seg = seg_of_link(node);
            if (seg_len(seg) > tp->mss && !(seg->flags & SEG_SACKED))
                tcp_mark_lost(tp, seg);
        }
        tcp_output(tp);
    }
    tcp_leave(tp);
    return true;
}

struct pkt *tcp_refuse(const struct tcp_segment *segment)
{
    if (segment->flags & TCP_RST)
        return NULL;
    struct tcp_header header = {.seq = 0, .ack = segment->end, .flags = TCP_RST | TCP_ACK};
    if (segment->flags & TCP_ACK)
        header = (struct tcp_header){.seq = segment->ack, .flags = TCP_RST};
    return tcp_make(&header);
}
