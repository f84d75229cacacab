/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_ack.c - what an acknowledgement says: is it to be believed (RFC 5961, 5), which segments have
 * arrived (cumulatively, SACK RFC 2018, D-SACK RFC 2883), how long they took (RFC 6298, Karn), the
 * peer's window. What follows for loss and congestion is in tcp_recover.c and tcp_cong.c.
 */
#include "net/tcp_impl.h"

/* ---- round-trip time (RFC 6298) ---- */

void tcp_rtt_sample(struct tcp *tp, uint32_t rtt_us)
{
    rtt_us = MIN(MAX(rtt_us, 1u), TCP_RTO_MAX_US);
    /* The least of the last five minutes: paths change (RFC 8985, 6.2 step 1). */
    uint32_t now_s = (uint32_t)(tp->now_ns / NS_PER_SEC);
    if (rtt_us <= tp->rtt_min_us || now_s - tp->rtt_min_s > 300) {
        tp->rtt_min_us = rtt_us;
        tp->rtt_min_s = now_s;
    }
    if (tp->srtt == 0) { /* 2.2 */
        tp->srtt = rtt_us << 3;
        tp->rttvar = rtt_us << 1;
    } else { /* 2.3, alpha 1/8, beta 1/4 */
        uint32_t srtt = tp->srtt >> 3;
        uint32_t off = srtt > rtt_us ? srtt - rtt_us : rtt_us - srtt;
        tp->rttvar += off - (tp->rttvar >> 2);
        tp->srtt += rtt_us - srtt;
    }
    uint32_t rto = (tp->srtt >> 3) + MAX(tp->rttvar, TCP_RTO_MIN_US);
    tp->rto_us = MIN(rto, TCP_RTO_MAX_US);
}

uint32_t tcp_rto_us(const struct tcp *tp)
{
    uint64_t rto = (uint64_t)tp->rto_us << MIN(tp->backoff, 16u); /* 5.5 */
    return (uint32_t)MIN(rto, (uint64_t)TCP_RTO_MAX_US);
}

void tcp_rearm_retransmit(struct tcp *tp)
{
    if (tcp_outstanding(tp) == 0) {
        if (tp->timer_kind != TCP_TIMER_PERSIST)
            tcp_arm_retransmit(tp, TCP_TIMER_NONE, 0);
        return;
    }
    if (!tcp_arm_probe(tp))
        tcp_arm_retransmit(tp, TCP_TIMER_RTO, tp->now_ns + us_to_ns(tcp_rto_us(tp)));
}

/* A sample of segments that were sent again is ambiguous (Karn), unless the echoed timestamp says
 * which was meant (RFC 7323, 4.1). So is that of others which the same acknowledgement covers: they
 * may have been there long, only nobody could say so before the hole was filled. */
static void take_sample(struct tcp *tp, const struct tcp_segment *segment,
                        struct tcp_ack_info *info)
{
    if (info->resent_acked)
        info->rtt_us = 0;
    if (!info->rtt_us && info->acked && tp->time_ok && segment->opt.has_time && segment->opt.echo) {
        uint32_t ms = tcp_time_now(tp) - segment->opt.echo;
        if (ms < TCP_RTO_MAX_US / 1000)
            info->rtt_us = MAX(ms, 1u) * 1000;
    }
    if (info->rtt_us) {
        tcp_rtt_sample(tp, info->rtt_us);
        tp->backoff = 0;
    }
}

/* ---- the segments that have arrived ---- */

/* `seg` has arrived up to `end`, and we did not know it. */
static void arrived(struct tcp *tp, struct tcp_seg *seg, uint32_t end,
                    const struct tcp_segment *segment, struct tcp_ack_info *info)
{
    info->delivered += end - seg->seq;
    if (!(seg->flags & SEG_RETRIED)) {
        uint32_t rtt = tcp_elapsed_us(tp, seg->sent_ns);
        if (!info->rtt_us)
            info->rtt_us = rtt;
        tcp_rack_reordered(tp, end, false);
    } else {
        info->resent_acked = true;
    }
    tcp_rack_acked(tp, seg, end, segment);
}

static void release(struct tcp *tp, struct tcp_seg *seg)
{
    if (tp->lost_first == seg)
        tp->lost_first = seg->link.next == &tp->sent ? NULL : seg_of_link(seg->link.next);
    tcp_seg_flags(tp, seg, 0, SEG_SACKED | SEG_LOST | SEG_RESENT);
    list_remove(&seg->link);
    list_remove(&seg->time);
    pkt_free(seg_pkt(seg));
}

/* Only the front of a large one has arrived. */
static void cut_front(struct tcp *tp, struct tcp_seg *seg, uint32_t part)
{
    uint8_t flags = seg->flags;
    tcp_seg_flags(tp, seg, 0, SEG_SACKED | SEG_LOST | SEG_RESENT);
    pkt_skip(seg_pkt(seg), part);
    seg->seq += part;
    tcp_seg_flags(tp, seg, flags, 0);
}

static void clean_sent(struct tcp *tp, const struct tcp_segment *segment, struct tcp_ack_info *info)
{
    uint32_t ack = segment->ack;
    while (!list_empty(&tp->sent)) {
        struct tcp_seg *seg = seg_of_link(tp->sent.next);
        if (!seq_before(seg->seq, ack))
            break;
        uint32_t end = seg_end(seg), upto = seq_before(ack, end) ? ack : end;
        uint32_t part = upto - seg->seq;
        info->acked += part;
        if (!(seg->flags & SEG_SACKED))
            arrived(tp, seg, upto, segment, info);
        if (upto == end)
            release(tp, seg);
        else
            cut_front(tp, seg, part);
    }
    tp->bytes_acked += info->acked;
    tp->una = ack;
    if (seq_before(tp->urgent_sent, ack))
        tp->urgent_sent = ack;
    if (seq_before(tp->pushed, ack))
        tp->pushed = ack;
    if (seq_before(tp->small_end, ack))
        tp->small_end = ack;
}

/* ---- SACK ---- */

/* Cut `seg` so that what [start, end) covers of it is one segment: that, or NULL. Whole segments
 * only, but for the last: a peer that SACKs single bytes does not get to shred the queue. */
static struct tcp_seg *covered(struct tcp *tp, struct tcp_seg *seg, struct tcp_range range)
{
    uint32_t len = seg_len(seg), mss = tp->mss, from = 0, to = len;
    if (seq_after(range.start, seg->seq))
        from = (range.start - seg->seq + mss - 1) / mss * mss;
    if (seq_before(range.end, seg->seq + len))
        to = (range.end - seg->seq) / mss * mss;
    if (from >= to)
        return NULL;
    if (to < len && !tcp_seg_split(tp, seg, to))
        return NULL;
    if (from == 0)
        return seg;
    return tcp_seg_split(tp, seg, from) ? seg_of_link(seg->link.next) : NULL;
}

static void mark_sacked(struct tcp *tp, struct tcp_seg *seg, const struct tcp_segment *segment,
                        struct tcp_ack_info *info)
{
    if (seg->flags & SEG_SACKED)
        return;
    arrived(tp, seg, seg_end(seg), segment, info);
    tcp_seg_flags(tp, seg, SEG_SACKED, SEG_LOST | SEG_RESENT);
    list_remove(&seg->time);
    info->sacked_new = true;
}

/* RFC 2883, 4: is the first block about what had arrived before? */
static bool is_dsack(const struct tcp *tp, const struct tcp_segment *segment)
{
    const struct tcp_range *b = segment->opt.sack;
    if (segment->opt.sack_count == 0)
        return false;
    if (!seq_after(b[0].end, segment->ack))
        /* About something we sent, of late: not from before the largest window. */
        return seq_before(b[0].start, b[0].end) &&
               !seq_before(b[0].start, tp->una - MAX(tp->window_max, 65535u));
    return segment->opt.sack_count > 1 && !seq_before(b[0].start, b[1].start) &&
           !seq_after(b[0].end, b[1].end);
}

static void take_dsack(struct tcp *tp, const struct tcp_segment *segment, struct tcp_ack_info *info)
{
    uint32_t len = segment->opt.sack[0].end - segment->opt.sack[0].start;
    info->dsack = true;
    tcp_count(tp, TCP_N_TCPDSACKRecv);
    tp->undo_left -= MIN(tp->undo_left, len);
    tcp_rack_dsack(tp);
}

static void take_sack(struct tcp *tp, const struct tcp_segment *segment, struct tcp_ack_info *info)
{
    struct tcp_range blocks[TCP_SACK_MAX];
    unsigned count = 0;
    bool dsack = is_dsack(tp, segment);

    if (dsack)
        take_dsack(tp, segment, info);
    for (unsigned i = dsack; i < segment->opt.sack_count; i++) {
        struct tcp_range b = segment->opt.sack[i];
        if (!seq_before(b.start, b.end) || seq_before(b.start, tp->una) ||
            seq_after(b.end, tp->nxt))
            continue; /* about nothing that is in flight */
        unsigned k = count++;
        for (; k > 0 && seq_before(b.start, blocks[k - 1].start); k--)
            blocks[k] = blocks[k - 1];
        blocks[k] = b;
    }
    struct list *node = tp->sent.next;
    for (unsigned i = 0; i < count; i++)
        while (node != &tp->sent) {
            struct tcp_seg *seg = seg_of_link(node);
            if (!seq_before(seg->seq, blocks[i].end))
                break;
            if (seq_after(seg_end(seg), blocks[i].start)) {
                struct tcp_seg *part = covered(tp, seg, blocks[i]);
                if (part) {
                    mark_sacked(tp, part, segment, info);
                    seg = part;
                }
                /* What reaches beyond the block may be in the next. */
                if (seq_after(seg_end(seg), blocks[i].end))
                    break;
            }
            node = seg->link.next;
        }
}

/* Without SACK a duplicate says that one segment has left the network (RFC 5681, 3.2); counted as
 * if it were SACKed, without saying which. */
static void count_duplicates(struct tcp *tp, struct tcp_ack_info *info)
{
    if (tp->sack_ok)
        return;
    uint32_t most = tcp_outstanding(tp);
    if (info->duplicate) {
        most = most > tp->mss ? most - tp->mss : 0;
        uint32_t add = MIN(tp->mss, most - MIN(most, tp->sacked));
        tp->sacked += add;
        info->delivered += add;
    } else if (info->acked) {
        /* The hole itself, then what the duplicates were about. */
        uint32_t told = info->acked > tp->mss ? info->acked - tp->mss : 0;
        told = MIN(tp->sacked, tp->recovery == TCP_CA_OPEN ? tp->sacked : told);
        tp->sacked -= told;
        info->delivered -= MIN(told, info->delivered);
    }
    tp->sacked = MIN(tp->sacked, most);
}

/* ---- the peer's window (RFC 9293, 3.10.7.4) ---- */

static bool take_window(struct tcp *tp, const struct tcp_segment *segment)
{
    uint32_t window = (uint32_t)segment->window << (segment->flags & TCP_SYN ? 0 : tp->wscale_send);
    if (!seq_after(segment->ack, tp->una) && !seq_after(segment->seq, tp->wl1) &&
        !(segment->seq == tp->wl1 && window > tp->window))
        return false;
    bool changed = window != tp->window;
    tp->wl1 = segment->seq;
    tp->window = window;
    tp->window_max = MAX(tp->window_max, window);
    return changed;
}

/* ---- the whole ---- */

static bool believable(struct tcp *tp, uint32_t ack)
{
    /* RFC 5961, 5.2: neither of what was not sent, nor older than a window. */
    if (!seq_after(ack, tp->nxt) && !seq_before(ack, tp->una - MAX(tp->window_max, 65535u)))
        return true;
    tcp_challenge(tp);
    return false;
}

static void tell_room(struct tcp *tp)
{
    uint32_t queued = tp->written - tp->una;
    /* The queue may grow with the congestion window (twice: what is in flight, and what can follow
     * when it is acknowledged). */
    if (!tp->send_fixed && tcp_memory(tp->stack) == TCP_MEMORY_PLENTY) {
        uint32_t wanted = MIN(tp->cong.window, TCP_WINDOW_MAX / 4) * 2 + 4 * tp->mss;
        tp->send_limit = MAX(tp->send_limit, MIN(wanted, tp->stack->write_max));
    }
    if (tp->room_wanted && (queued == 0 || tcp_memory(tp->stack) < TCP_MEMORY_OUT) &&
        (queued >= tp->send_limit ? 0 : tp->send_limit - queued) >= tp->send_limit / 3) {
        tp->room_wanted = false;
        tp->events |= TCP_EVENT_WRITE;
    }
}

static void progress(struct tcp *tp, const struct tcp_ack_info *info)
{
    if (tp->una != info->una) {
        tp->retries = 0;
        tp->probes = 0;
        tp->stuck_ns = tcp_outstanding(tp) || !list_empty(&tp->unsent) ? tp->now_ns : 0;
        tell_room(tp);
    }
    /* A persist timer waits for the window, an RTO for progress (RFC 6298, 5.3). */
    if (tp->una != info->una || info->sacked_new) {
        if (tp->timer_kind != TCP_TIMER_REORDER)
            tcp_rearm_retransmit(tp);
    }
    if (tcp_outstanding(tp) == 0 && tp->timer_kind != TCP_TIMER_PERSIST)
        tcp_arm_retransmit(tp, TCP_TIMER_NONE, 0);
}

/* An answer to a window probe: the peer lives; if the window is open, go on. */
static void answered_probe(struct tcp *tp)
{
    if (tp->timer_kind != TCP_TIMER_PERSIST)
        return;
    tp->probes = 0;
    tp->stuck_ns = tp->now_ns;
    if (tp->window >= MIN(tp->mss, tp->written - tp->nxt) && !tp->cork && !tp->more) {
        tp->backoff = 0;
        tcp_arm_retransmit(tp, TCP_TIMER_NONE, 0);
    } else if (tp->window) {
        /* It is small, but not closed: the override timeout, which no probe has made longer. */
        uint64_t due = tp->now_ns + us_to_ns(tcp_override_us(tp));
        tp->backoff = 0;
        if (tp->deadline[TCP_SLOT_RETRANSMIT] > due)
            tcp_arm_retransmit(tp, TCP_TIMER_PERSIST, due);
    }
}

/* After a timeout the peer says once more what it has, later than the answer to our retransmission
 * could come. That is lost as well, or the peer had no memory for it: who has some again says so in
 * this way. Once more then, at most once in a round trip, without waiting for the timer. */
static void told_again(struct tcp *tp, const struct tcp_ack_info *info,
                       const struct tcp_segment *segment)
{
    if (tp->recovery != TCP_CA_LOSS || tp->una != info->una || info->sacked_new || info->dsack ||
        segment->len || list_empty(&tp->sent))
        return;
    struct tcp_seg *first = seg_of_link(tp->sent.next);
    if (tcp_elapsed_us(tp, first->sent_ns) > (tp->srtt >> 3) + tp->rttvar)
        tcp_mark_lost(tp, first);
}

bool tcp_ack(struct tcp *tp, const struct tcp_segment *segment)
{
    struct tcp_ack_info info = {
        .una = tp->una,
        .flight = tcp_outstanding(tp),
        .lost = tp->lost,
        .ece = tp->ecn_ok && (segment->flags & TCP_ECE) && !(segment->flags & TCP_SYN),
    };
    if (!believable(tp, segment->ack))
        return false;
    if (seq_before(segment->ack, tp->una))
        return true; /* an old one that was overtaken: its data may be new */
    bool window_changed = take_window(tp, segment);
    info.duplicate = info.flight && segment->ack == tp->una && segment->len == 0 &&
                     segment->seq == segment->end && !window_changed;
    if (seq_after(segment->ack, tp->una))
        clean_sent(tp, segment, &info);
    if (tp->sack_ok && segment->opt.sack_count)
        take_sack(tp, segment, &info);
    count_duplicates(tp, &info);
    take_sample(tp, segment, &info);
    answered_probe(tp);
    if (info.flight) {
        tcp_recover(tp, &info, segment);
        progress(tp, &info);
        told_again(tp, &info, segment);
    }
    return true;
}
