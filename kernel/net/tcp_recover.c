/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_recover.c - which segments are lost, and how fast to send during recovery.
 *
 * Loss is judged by time (RACK, RFC 8985): a segment is lost if one that was sent after it has
 * arrived and it had a reordering window's time more. `by_time` holds the candidates in the order
 * they were sent. A tail loss probe (section 7) turns a lost tail into an ordinary loss, before the
 * retransmission timer. Without SACK: three duplicates and NewReno's partial acknowledgements (RFC
 * 5681, 6582). During recovery proportional rate reduction (RFC 6937) says what may be sent.
 *
 * States: open; reduced (ECN or a probe told of congestion, nothing is lost); recovery; loss (the
 * timer expired). A recovery or loss that proves to be spurious - by timestamps (Eifel, RFC 3522)
 * or D-SACKs (RFC 3708) - is undone (RFC 4015).
 */
#include "net/tcp_impl.h"

#define REORDER_PERSIST 16u /* RFC 8985, 6.2 step 4 */

static bool sent_after(uint64_t t1, uint32_t end1, uint64_t t2, uint32_t end2)
{
    return t1 > t2 || (t1 == t2 && seq_after(end1, end2));
}

/* ---- RACK ---- */

/* 6.2, steps 1 and 2. */
void tcp_rack_acked(struct tcp *tp, const struct tcp_seg *seg, uint32_t end,
                    const struct tcp_segment *segment)
{
    uint32_t rtt = tcp_elapsed_us(tp, seg->sent_ns);
    if (seg->flags & SEG_RETRIED) {
        /* Is it the answer to the original after all? Then when it was sent again says nothing. */
        if (tp->time_ok && segment->opt.has_time && segment->opt.echo &&
            seq_before(segment->opt.echo, tcp_ms(seg->sent_ns) + tp->time_offset))
            return;
        if (tp->rtt_min_us != UINT32_MAX && rtt < tp->rtt_min_us)
            return;
    }
    if (tp->rack_ns && !sent_after(seg->sent_ns, end, tp->rack_ns, tp->rack_end))
        return;
    tp->rack_ns = seg->sent_ns;
    tp->rack_end = end;
    tp->rack_rtt_us = rtt;
}

/* Step 3. */
void tcp_rack_reordered(struct tcp *tp, uint32_t seq_end, bool retried)
{
    if (seq_after(seq_end, tp->rack_fack) || tp->rack_ns == 0)
        tp->rack_fack = seq_end;
    else if (seq_before(seq_end, tp->rack_fack) && !retried)
        tp->reordering = true;
}

/* Step 4: once in a round trip. */
void tcp_rack_dsack(struct tcp *tp)
{
    if (tp->reorder_window_mult < 255)
        tp->reorder_window_mult++;
    tp->reorder_persist = REORDER_PERSIST;
}

static uint32_t reorder_window_us(const struct tcp *tp)
{
    if (!tp->reordering &&
        (tp->recovery >= TCP_CA_RECOVERY || tp->sacked >= TCP_DUP_THRESHOLD * tp->mss))
        return 0;
    uint32_t min = tp->rtt_min_us == UINT32_MAX ? 0 : tp->rtt_min_us;
    uint64_t window = (uint64_t)tp->reorder_window_mult * (min / 4);
    return (uint32_t)MIN(window, (uint64_t)(tp->srtt >> 3));
}

void tcp_mark_lost(struct tcp *tp, struct tcp_seg *seg)
{
    if (seg->flags & SEG_SACKED)
        return;
    if (seg->flags & SEG_RESENT)
        tcp_count(tp, TCP_N_TCPLostRetransmit);
    tcp_seg_flags(tp, seg, SEG_LOST, SEG_RESENT);
    list_remove(&seg->time);
    if (!tp->lost_first || seq_before(seg->seq, tp->lost_first->seq))
        tp->lost_first = seg;
}

/* Step 5. */
uint32_t tcp_rack_detect(struct tcp *tp)
{
    uint32_t window = reorder_window_us(tp), wait = 0;
    if (tp->rack_ns == 0)
        return 0;
    list_for_each_safe (node, next, &tp->by_time) {
        struct tcp_seg *seg = list_entry(node, struct tcp_seg, time);
        if (!sent_after(tp->rack_ns, tp->rack_end, seg->sent_ns, seg_end(seg)))
            break; /* nor was any of the rest */
        uint64_t due = seg->sent_ns + us_to_ns((uint64_t)tp->rack_rtt_us + window);
        if (due <= tp->now_ns)
            tcp_mark_lost(tp, seg);
        else
            wait = MAX(wait, (uint32_t)((due - tp->now_ns) / NS_PER_US) + 1);
    }
    return wait;
}

/* The timer has expired (6.3): the first is lost, and whatever is overdue. What was SACKed counts
 * no longer if the peer has dropped it again (RFC 2018, 8): it did if that is the first. */
void tcp_timeout_losses(struct tcp *tp)
{
    uint64_t grace = us_to_ns((uint64_t)tp->rack_rtt_us + reorder_window_us(tp));
    bool first = true,
         reneged = !list_empty(&tp->sent) && (seg_of_link(tp->sent.next)->flags & SEG_SACKED);
    if (!tp->sack_ok)
        tp->sacked = 0;
    list_for_each (node, &tp->sent) {
        struct tcp_seg *seg = seg_of_link(node);
        if (reneged && (seg->flags & SEG_SACKED))
            tcp_seg_flags(tp, seg, 0, SEG_SACKED);
        if (first || reneged || !tp->sack_ok || seg->sent_ns + grace <= tp->now_ns)
            tcp_mark_lost(tp, seg);
        first = false;
    }
}

/* ---- tail loss probe (RFC 8985, 7) ---- */

/* 7.2. False: the retransmission timer is the right one. */
bool tcp_arm_probe(struct tcp *tp)
{
    if (!tp->sack_ok || tp->recovery != TCP_CA_OPEN || tp->sacked || tp->tlp_end || tp->backoff ||
        !tcp_synchronized(tp) || list_empty(&tp->sent))
        return false;
    uint64_t pto = tp->srtt ? 2 * (uint64_t)(tp->srtt >> 3) + 2000 : TCP_RTO_INITIAL_US;
    /* One segment may wait for a delayed acknowledgement. */
    if (tcp_outstanding(tp) <= tp->mss)
        pto += 200000;
    uint64_t rto_ns = seg_of_link(tp->sent.next)->sent_ns + us_to_ns(tcp_rto_us(tp));
    uint64_t due = tp->now_ns + us_to_ns(pto);
    if (rto_ns <= due) /* it comes first, and restarts with what was acknowledged now */
        return false;
    tcp_arm_retransmit(tp, TCP_TIMER_PROBE, due);
    return true;
}

/* 7.3: new data if there is, else the last segment once more. */
void tcp_probe_timer(struct tcp *tp)
{
    bool sent = false;
    uint32_t edge = tp->una + tp->window, room = seq_after(edge, tp->nxt) ? edge - tp->nxt : 0;
    if (room)
        sent = tcp_send_new(tp, room);
    tp->tlp_retransmit = !sent;
    if (!sent && !list_empty(&tp->sent)) {
        struct tcp_seg *seg = seg_of_link(tp->sent.prev);
        uint32_t len = seg_len(seg), tail = len % tp->mss ? len % tp->mss : tp->mss;
        if (len > tail && tcp_seg_split(tp, seg, len - tail))
            seg = seg_of_link(seg->link.next);
        sent = tcp_resend(tp, seg, tail);
    }
    if (sent) {
        tp->tlp_end = tp->nxt;
        if (tp->tlp_end == 0)
            tp->tlp_end = 1; /* 0 is "none"; one byte off is no harm */
        tcp_count(tp, TCP_N_TCPLossProbes);
    }
    tcp_arm_retransmit(tp, TCP_TIMER_RTO, tp->now_ns + us_to_ns(tcp_rto_us(tp)));
}

/* 7.4.2: was the probe itself the repair of a loss that nobody else tells of? */
static void end_probe(struct tcp *tp, const struct tcp_ack_info *info,
                      const struct tcp_segment *segment)
{
    if (!tp->tlp_end || seq_before(segment->ack, tp->tlp_end))
        return;
    bool repaired = tp->tlp_retransmit && !info->dsack && seq_after(segment->ack, info->una);
    bool later = seq_after(segment->ack, tp->tlp_end);
    bool both = segment->ack == info->una && segment->opt.sack_count == 0;
    if (!tp->tlp_retransmit || info->dsack || both) {
        tp->tlp_end = 0;
    } else if (repaired || later) {
        /* The original's acknowledgement would have come as well, with a D-SACK for the probe; give
         * the timestamp a say. */
        bool original = tp->time_ok && segment->opt.has_time && segment->opt.echo &&
                        seq_before(segment->opt.echo, tp->undo_time);
        tp->tlp_end = 0;
        if (!original) {
            tcp_count(tp, TCP_N_TCPLossProbeRecovery);
            if (tp->recovery == TCP_CA_OPEN)
                tcp_reduce(tp, TCP_CA_REDUCED);
        }
    }
}

/* ---- states ---- */

void tcp_reduce(struct tcp *tp, enum tcp_recovery_state state)
{
    uint32_t flight = tcp_outstanding(tp);
    tp->cong.threshold = tcp_cong_reduced(tp);
    tp->prr_delivered = tp->prr_out = 0;
    tp->prr_flight = MAX(flight, 1u);
    tp->high = tp->nxt;
    tp->undo_pending = false;
    tp->undo_left = 0;
    tp->tlp_end = 0;
    tp->recovery = (uint8_t)state;
    tp->ecn_cwr = tp->ecn_ok; /* RFC 3168, 6.1.2: tell that the window was reduced */
}

static void finish(struct tcp *tp)
{
    if (tp->recovery == TCP_CA_RECOVERY || tp->recovery == TCP_CA_REDUCED)
        tp->cong.window = MAX(tp->cong.threshold, 2 * tp->mss);
    if (tp->recovery == TCP_CA_RECOVERY && tp->reorder_persist && --tp->reorder_persist == 0)
        tp->reorder_window_mult = 1;
    tp->recovery = TCP_CA_OPEN;
    tp->undo_pending = false;
    tp->undo_left = 0;
    if (!tp->sack_ok)
        tp->sacked = 0;
}

/* Nothing was lost: go on as before (RFC 4015, 3.2 without its wait). */
static void undo(struct tcp *tp)
{
    tcp_count(tp, tp->recovery == TCP_CA_LOSS ? TCP_N_TCPSpuriousRTOs : TCP_N_TCPLossUndo);
    /* Back among the candidates, in front: what is lost was sent before what is not. */
    for (struct list *node = tp->sent.prev; node != &tp->sent; node = node->prev) {
        struct tcp_seg *seg = seg_of_link(node);
        if (!(seg->flags & SEG_LOST))
            continue;
        tcp_seg_flags(tp, seg, 0, SEG_LOST);
        if (!list_linked(&seg->time))
            list_push_front(&tp->by_time, &seg->time);
    }
    tp->lost_first = NULL;
    tcp_cong_undo(tp);
    tp->recovery = TCP_CA_OPEN;
    tp->undo_pending = false;
    tp->undo_left = 0;
    tp->backoff = 0;
    tp->ecn_cwr = false;
}

static bool spurious(const struct tcp *tp, const struct tcp_ack_info *info,
                     const struct tcp_segment *segment)
{
    if (tp->recovery < TCP_CA_RECOVERY || !tp->undo_pending || info->ece)
        return false;
    /* Eifel: the acknowledgement echoes something older than the first retransmission. */
    if (tp->time_ok && segment->opt.has_time && segment->opt.echo &&
        seq_after(tp->una, info->una) && seq_before(segment->opt.echo, tp->undo_time))
        return true;
    /* Every retransmission has been told to be a duplicate. */
    return info->dsack && tp->undo_left == 0;
}

/* RFC 6937, 3.1, with the slow-start bound where no further loss shows. */
static void prr(struct tcp *tp, const struct tcp_ack_info *info)
{
    uint32_t pipe = tcp_pipe(tp), threshold = tp->cong.threshold, can;
    tp->prr_delivered += info->delivered;
    if (pipe > threshold) {
        uint64_t target =
            ((uint64_t)tp->prr_delivered * threshold + tp->prr_flight - 1) / tp->prr_flight;
        can = target > tp->prr_out ? (uint32_t)target - tp->prr_out : 0;
    } else {
        uint32_t owed = tp->prr_delivered > tp->prr_out ? tp->prr_delivered - tp->prr_out : 0;
        uint32_t limit = MAX(owed, info->delivered);
        if (seq_after(tp->una, info->una) && tp->lost <= info->lost)
            limit += tp->mss;
        can = MIN(threshold - pipe, limit);
    }
    /* The first retransmission always goes. */
    if (tp->prr_out == 0)
        can = MAX(can, tp->mss);
    tp->cong.window = pipe + can;
}

/* Losses without SACK: RFC 6582, 3.2. */
static void newreno(struct tcp *tp, const struct tcp_ack_info *info)
{
    if (list_empty(&tp->sent))
        return;
    struct tcp_seg *first = seg_of_link(tp->sent.next);
    bool partial = tp->recovery == TCP_CA_RECOVERY && seq_after(tp->una, info->una);
    bool three = tp->recovery <= TCP_CA_REDUCED && info->duplicate &&
                 tp->sacked >= TCP_DUP_THRESHOLD * tp->mss && seq_after(tp->una, tp->high);
    if (!partial && !three)
        return;
    if (seg_len(first) > tp->mss && !tcp_seg_split(tp, first, tp->mss))
        return; /* the timer will do it */
    tcp_mark_lost(tp, first);
}

static void detect(struct tcp *tp, const struct tcp_ack_info *info)
{
    if (!tp->sack_ok) {
        newreno(tp, info);
        return;
    }
    if (!tp->sacked && tp->recovery < TCP_CA_RECOVERY && !info->resent_acked)
        return;
    uint32_t wait = tcp_rack_detect(tp);
    if (wait)
        tcp_arm_retransmit(tp, TCP_TIMER_REORDER, tp->now_ns + us_to_ns(wait));
    else if (tp->timer_kind == TCP_TIMER_REORDER)
        tcp_arm_retransmit(tp, TCP_TIMER_RTO, tp->now_ns + us_to_ns(tcp_rto_us(tp)));
}

void tcp_recover(struct tcp *tp, struct tcp_ack_info *info, const struct tcp_segment *segment)
{
    if (spurious(tp, info, segment)) {
        if (info->dsack)
            tcp_count(tp, TCP_N_TCPDSACKUndo);
        undo(tp);
    }
    end_probe(tp, info, segment);
    bool reducing = tp->recovery == TCP_CA_RECOVERY || tp->recovery == TCP_CA_REDUCED;
    if (tp->recovery != TCP_CA_OPEN && !seq_before(tp->una, tp->high))
        finish(tp);
    detect(tp, info);
    if (tp->lost > info->lost && tp->recovery <= TCP_CA_REDUCED) {
        /* After a reduction for ECN in this window no second one (RFC 3168, 6.1.2). */
        uint32_t threshold = tp->cong.threshold;
        bool again = tp->recovery == TCP_CA_REDUCED;
        tcp_reduce(tp, TCP_CA_RECOVERY);
        if (again)
            tp->cong.threshold = threshold;
        tcp_count(tp, TCP_N_TCPSackRecovery);
    } else if (info->ece && tp->recovery == TCP_CA_OPEN) {
        tcp_reduce(tp, TCP_CA_REDUCED);
    }
    if (tp->recovery == TCP_CA_RECOVERY || tp->recovery == TCP_CA_REDUCED)
        prr(tp, info);
    else if (!reducing) /* what arrived during the recovery earns nothing */
        tcp_cong_grow(tp, info);
}

/* RFC 8985, 6.2 step 5: the reordering window of some segment is over. */
void tcp_reorder_timer(struct tcp *tp)
{
    struct tcp_ack_info info = {.una = tp->una, .lost = tp->lost};
    uint32_t wait = tcp_rack_detect(tp);
    if (tp->lost > info.lost) {
        if (tp->recovery <= TCP_CA_REDUCED) {
            tcp_reduce(tp, TCP_CA_RECOVERY);
            tcp_count(tp, TCP_N_TCPSackRecovery);
        }
        if (tp->recovery == TCP_CA_RECOVERY)
            prr(tp, &info);
    }
    if (wait)
        tcp_arm_retransmit(tp, TCP_TIMER_REORDER, tp->now_ns + us_to_ns(wait));
    else
        tcp_arm_retransmit(tp, TCP_TIMER_RTO, tp->now_ns + us_to_ns(tcp_rto_us(tp)));
}
