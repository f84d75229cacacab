/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_output.c - segments to send: headers, what may go now (windows, Nagle, cork), GSO packets,
 * retransmission, acknowledgements, resets, probes.
 *
 * A queued segment keeps its packet until it is acknowledged; what is sent is a clone, which shares
 * its pages and has headers of its own. Up to 64 KiB leave as one packet with gso_size; when a part
 * of it is SACKed or is to be sent again, the queued one is cut (tcp_seg_split).
 */
#include "net/tcp_impl.h"

/* What fits into an IP packet with the longest headers. */
#define GATHER_MAX 16u /* pieces of a segment of one packet's length */
#define GSO_MAX (65535u - 60u - TCP_HEADER_MAX)

/* ---- headers ---- */

/* The most that is announced while memory is short: whole segments of the peer's, as long as it may
 * send them, not as it has of late: it leaves a smaller window alone until its timer comes
 * (3.8.6.2.1). */
static uint32_t short_window(const struct tcp *tp, enum tcp_memory memory, uint32_t held)
{
    uint32_t segment = tcp_peer_segment(tp), now = tcp_receive_window(tp), most = 0;
    if (memory == TCP_MEMORY_PRESSURE)
        most = 4 * segment;
    else if (held == 0)
        most = now < segment ? now + segment : segment; /* a rest of a window stays useful */
    return (uint32_t)align_up(most, 1u << tp->wscale_receive);
}

/* The window we would like: room in the buffer, in steps that are worth it (RFC 9293, 3.8.6.2.2),
 * never less than was announced (3.8.6: no shrinking). */
uint32_t tcp_window_wanted(const struct tcp *tp)
{
    uint32_t held = tp->rcv_nxt - tp->read;
    uint32_t room = held < tp->rcv_limit ? tp->rcv_limit - held : 0;
    enum tcp_memory memory = tcp_memory(tp->stack);
    if (memory != TCP_MEMORY_PLENTY)
        room = MIN(room, short_window(tp, memory, held));
    /* Memory counts twice: many small segments hold far more than their bytes. */
    if (tp->queue.bytes + tp->ooo_memory > 2 * (uint64_t)tp->rcv_limit)
        room = 0;
    uint32_t now = tcp_receive_window(tp);
    uint32_t step = MIN(tp->rcv_mss, tp->rcv_limit / 2);
    if (room < now + step && room >= now)
        room = now;
    return MAX(MIN(room, 65535u << tp->wscale_receive), now);
}

uint32_t tcp_announce(struct tcp *tp)
{
    uint32_t unit = 1u << tp->wscale_receive, now = tcp_receive_window(tp);
    uint32_t window = tcp_window_wanted(tp);
    /* Rounded up if the old one must be kept, down if new room would be invented. */
    window = window <= now ? (uint32_t)align_up(now, unit) : (uint32_t)align_down(window, unit);
    tp->rcv_edge = tp->rcv_nxt + window;
    tp->rcv_window = window;
    tp->acked_to = tp->rcv_nxt;
    tp->time_ack = tp->rcv_nxt;
    return window >> tp->wscale_receive;
}

/* RFC 2018, 4; RFC 2883: the D-SACK first, then the most recent. */
static void add_sack(struct tcp *tp, struct tcp_options *opt)
{
    unsigned max = tp->time_ok ? 3 : TCP_SACK_MAX;
    if (tp->dsack.start != tp->dsack.end)
        opt->sack[opt->sack_count++] = tp->dsack;
    for (unsigned i = 0; i < tp->sack_count && opt->sack_count < max; i++)
        opt->sack[opt->sack_count++] = tp->sack[i];
    tp->dsack = (struct tcp_range){0, 0};
}

/* Header of any segment after the handshake's; an acknowledgement is part of it. */
struct tcp_header tcp_header_of(struct tcp *tp, uint32_t seq, uint8_t flags)
{
    struct tcp_header header = {
        .seq = seq, .ack = tp->rcv_nxt, .flags = flags | TCP_ACK, .window = 0};
    header.window = (uint16_t)tcp_announce(tp);
    if (tp->time_ok) {
        header.opt.has_time = true;
        header.opt.time = tcp_time_now(tp);
        header.opt.echo = tp->time_recent;
    }
    if (tp->sack_ok && (tp->sack_count || tp->dsack.start != tp->dsack.end))
        add_sack(tp, &header.opt);
    if (tp->ecn_echo)
        header.flags |= TCP_ECE;
    if (seq_after(tp->urgent_sent, tp->una) && seq_after(tp->urgent_sent, seq) &&
        tp->urgent_sent - seq <= 65535) {
        header.flags |= TCP_URG;
        header.urgent = (uint16_t)(tp->urgent_sent - seq);
    }
    /* It acknowledges all there is. */
    tp->ack_now = tp->ack_later = tp->ack_owed = false;
    tcp_set_deadline(tp, TCP_SLOT_ACK, TCP_NEVER);
    return header;
}

static void transmit(struct tcp *tp, struct pkt *pkt, bool ect)
{
    tp->segments_out++;
    tcp_count(tp, TCP_N_OutSegs);
    tp->stack->send(tp, pkt, ect);
}

/* Payload that a segment with today's options can carry. */
static uint32_t current_mss(const struct tcp *tp)
{
    uint32_t blocks = tp->sack_count + (tp->dsack.start != tp->dsack.end);
    uint32_t options = tp->sack_ok && blocks ? 4 + 8 * MIN(blocks, tp->time_ok ? 3u : 4u) : 0;
    return MAX(tp->mss - MIN(options, tp->mss / 2), 8u);
}

/* Payload of the longest packet: whole segments, at least one (that of the loopback is longer than
 * what otherwise fits). */
static uint32_t gso_limit(uint32_t mss)
{
    return MAX(GSO_MAX / mss * mss, mss);
}

/* ---- pieces of the queue ---- */

static uint32_t *sum_of(struct tcp *tp, uint8_t flag)
{
    return flag == SEG_SACKED ? &tp->sacked : flag == SEG_LOST ? &tp->lost : &tp->resent;
}

void tcp_seg_flags(struct tcp *tp, struct tcp_seg *seg, uint8_t set, uint8_t clear)
{
    static const uint8_t counted[] = {SEG_SACKED, SEG_LOST, SEG_RESENT};
    uint8_t now = (uint8_t)((seg->flags & ~clear) | set);
    for (unsigned i = 0; i < ARRAY_COUNT(counted); i++) {
        uint8_t flag = counted[i];
        if (~seg->flags & now & flag)
            *sum_of(tp, flag) += seg_len(seg);
        else if (seg->flags & ~now & flag)
            *sum_of(tp, flag) -= seg_len(seg);
    }
    seg->flags = now;
}

bool tcp_seg_split(struct tcp *tp, struct tcp_seg *seg, uint32_t offset)
{
    struct pkt *pkt = seg_pkt(seg);
    ASSERT(offset > 0 && offset < pkt->total);
    struct pkt *tail = pkt_split(pkt, offset, ALLOC_ATOMIC);
    if (!tail)
        return false;
    struct tcp_seg *rest = pkt_seg(tail);
    *rest = *seg;
    rest->seq = seg->seq + offset;
    list_insert_after(&seg->link, &rest->link);
    list_init(&rest->time);
    if (list_linked(&seg->time))
        list_insert_after(&seg->time, &rest->time);
    /* The sums hold: the two are what the one was. */
    if (tp->lost_first == seg && (seg->flags & SEG_RESENT))
        tp->lost_first = rest;
    return true;
}

/* ---- one segment of the queue onto the wire ---- */

static uint8_t flags_of(const struct tcp *tp, const struct tcp_seg *seg)
{
    uint8_t flags = 0;
    uint32_t end = seg_end(seg);
    if (!seq_after(tp->pushed, end) && seq_after(tp->pushed, seg->seq))
        flags |= TCP_PSH; /* the last byte of a write */
    if (tp->fin && end == tp->written)
        flags |= TCP_FIN | TCP_PSH;
    return flags;
}

/* Send a queued segment; `again`: it was sent before. False: memory lacks, nothing has changed. */
static bool send_seg(struct tcp *tp, struct tcp_seg *seg, uint32_t mss, bool again)
{
    struct pkt *pkt = seg_pkt(seg);
    struct pkt *clone = pkt_clone(pkt, 0, pkt->total, PKT_HEADROOM, ALLOC_ATOMIC);
    if (!clone)
        return false;
    uint8_t flags = flags_of(tp, seg);
    /* RFC 3168, 6.1.5: neither retransmissions nor their CWR say that they are ECN-capable. */
    bool ect = tp->ecn_ok && !again;
    if (ect && tp->ecn_cwr) {
        flags |= TCP_CWR;
        tp->ecn_cwr = false;
    }
    struct tcp_header header = tcp_header_of(tp, seg->seq, flags);
    uint32_t len = clone->total;
    tcp_write_header(clone, &header);
    if (len > mss) {
        clone->gso = net_addr_is_v4(&tp->key->local) ? PKT_GSO_TCP4 : PKT_GSO_TCP6;
        clone->gso_size = (uint16_t)mss;
        clone->gso_ecn = (flags & TCP_CWR) != 0;
        uint32_t more = (len - 1) / mss;
        tp->segments_out += more;
        tp->data_out += more;
    }
    tp->data_out += len > 0;
    seg->sent_ns = tp->now_ns;
    list_remove(&seg->time);
    list_push_back(&tp->by_time, &seg->time);
    if (flags & TCP_FIN)
        tp->nxt = tp->written + 1;
    transmit(tp, clone, ect);
    return true;
}

bool tcp_resend(struct tcp *tp, struct tcp_seg *seg, uint32_t limit)
{
    uint32_t mss = current_mss(tp), len = MIN(seg_len(seg), MIN(limit, gso_limit(mss)));
    if (len > mss)
        len -= len % mss;
    if (len == 0 || (len < seg_len(seg) && !tcp_seg_split(tp, seg, len)))
        return false;
    if (!send_seg(tp, seg, mss, true))
        return false;
    tcp_count(tp, TCP_N_RetransSegs);
    tp->resent_total += (len + mss - 1) / mss;
    tp->bytes_resent += len;
    if (!tp->undo_pending) {
        tp->undo_pending = true;
        tp->undo_time = tcp_time_now(tp);
    }
    tp->undo_left += len;
    tcp_seg_flags(tp, seg, SEG_RESENT | SEG_RETRIED, 0);
    tp->prr_out += len;
    if (tp->lost_first == seg)
        tp->lost_first = seg->link.next == &tp->sent ? NULL : seg_of_link(seg->link.next);
    return true;
}

/* The first `len` bytes of what is unsent. */
static bool send_unsent(struct tcp *tp, uint32_t len, uint32_t mss)
{
    struct tcp_seg *seg = seg_of_link(tp->unsent.next);
    ASSERT(seg->seq == tp->nxt && len > 0);
    if (len < seg_len(seg) && !tcp_seg_split(tp, seg, len))
        return false;
    if (tcp_outstanding(tp) == 0)
        tcp_cong_idle(tp);
    list_remove(&seg->link);
    list_push_back(&tp->sent, &seg->link);
    uint32_t end = seg_end(seg);
    if (!send_seg(tp, seg, mss, false)) {
        list_remove(&seg->link);
        list_push_front(&tp->unsent, &seg->link);
        return false;
    }
    if (!tcp_fin_sent(tp))
        tp->nxt = end;
    if (tp->ack_alone && tp->ack_doublings < TCP_DELAYED_ACK_DOUBLINGS)
        tp->ack_doublings++;
    tp->ack_alone = 0;
    if (len % mss)
        tp->small_end = end;
    tp->data_ns = tp->now_ns;
    tp->prr_out += len;
    if (!tp->stuck_ns)
        tp->stuck_ns = tp->now_ns;
    return true;
}

bool tcp_send_new(struct tcp *tp, uint32_t limit)
{
    if (list_empty(&tp->unsent))
        return false;
    uint32_t mss = current_mss(tp);
    uint32_t len = MIN(MIN(limit, mss), seg_len(seg_of_link(tp->unsent.next)));
    return len && send_unsent(tp, len, mss);
}

void tcp_send_fin(struct tcp *tp)
{
    ASSERT(tp->fin);
    struct tcp_header header = tcp_header_of(tp, tp->written, TCP_FIN);
    struct pkt *pkt = tcp_make(&header);
    if (!tp->stuck_ns)
        tp->stuck_ns = tp->now_ns;
    tp->nxt = tp->written + 1; /* without memory: as if it were lost */
    if (pkt)
        transmit(tp, pkt, false);
}

/* ---- what may go now ---- */

static uint32_t usable_window(const struct tcp *tp)
{
    uint32_t edge = tp->una + tp->window;
    return seq_after(edge, tp->nxt) ? edge - tp->nxt : 0;
}

/* May the last, short segment go? Nagle (RFC 9293, 3.7.4) in Minshall's form: one small segment may
 * be in flight, not any. Cork and MSG_MORE hold it back. */
static bool small_may_go(const struct tcp *tp)
{
    if (tp->fin || seq_after(tp->urgent_sent, tp->nxt))
        return true;
    if (tp->cork || tp->more)
        return false;
    if (tp->no_delay || tcp_outstanding(tp) == 0)
        return true;
    return !seq_after(tp->small_end, tp->una);
}

/* Each acknowledgement lets some more go, and what goes then is acknowledged alike: packets once
 * small would stay small while a stream goes through a wide window. So a part that is short of a
 * quarter of it, or of the longest packet, waits for the acknowledgements of the rest, which is
 * far more than a delayed one holds back. Not while something is lost: then each one counts. */
static bool wait_for_more(const struct tcp *tp, uint32_t limit, uint32_t mss)
{
    uint32_t all = MIN(tp->cong.window, tp->window);
    return all >= GSO_MAX && limit < MIN(all / 4, gso_limit(mss)) && tcp_pipe(tp) >= all / 2 &&
           tp->recovery == TCP_CA_OPEN && !tp->lost_first;
}

/* How much of the first unsent segment may go as one packet; 0: nothing. */
static uint32_t may_send(const struct tcp *tp, uint32_t mss)
{
    const struct tcp_seg *seg = seg_of_link(tp->unsent.next);
    uint32_t len = seg_len(seg), pipe = tcp_pipe(tp);
    uint32_t cwnd = MAX(tp->cong.window, mss), room = cwnd > pipe ? cwnd - pipe : 0;
    uint32_t window = usable_window(tp), limit = MIN(room, window);
    uint32_t queued = tp->written - tp->nxt;

    if (room < mss && pipe)
        limit = MIN(limit, room >= MIN(len, mss) ? room : 0); /* whole segments only */
    limit = MIN(limit, gso_limit(mss));
    if (len <= limit) {
        /* A short rest waits for what follows it (gather), or for Nagle's leave. */
        if (len % mss == 0 || (len == queued && small_may_go(tp)))
            return len;
        if (len < mss && len < queued)
            return len; /* gather could not put more into one packet: too many pieces */
        return len - len % mss;
    }
    if (limit >= mss)
        return wait_for_more(tp, limit, mss) ? 0 : limit - limit % mss;
    /* Sender's side of the silly window (RFC 9293, 3.8.6.2.1): less than a segment only if it is
     * half of what the peer ever had. The persist timer overrides. */
    if (limit && limit == window && limit < queued && limit >= tp->window_max / 2)
        return limit;
    return 0;
}

/* The first unsent segment is at least a full one, if there is as much: what is left of writes that
 * are no multiple of a segment goes together with the next. */
static void gather(struct tcp *tp, uint32_t mss)
{
    struct tcp_seg *seg = seg_of_link(tp->unsent.next);
    unsigned pieces = 0;
    for (const struct pkt *piece = seg_pkt(seg); piece; piece = piece->more)
        pieces++;
    while (seg_len(seg) < mss && seg->link.next != &tp->unsent && pieces++ < GATHER_MAX) {
        struct tcp_seg *next = seg_of_link(seg->link.next);
        list_remove(&next->link);
        pkt_append(seg_pkt(seg), seg_pkt(next));
    }
}

/* Resend what is lost, as far as congestion control lets us. */
static void send_lost(struct tcp *tp)
{
    while (tp->lost_first) {
        struct tcp_seg *seg = tp->lost_first;
        uint32_t pipe = tcp_pipe(tp), room = tp->cong.window > pipe ? tp->cong.window - pipe : 0;
        if (!(seg->flags & SEG_LOST) || (seg->flags & (SEG_RESENT | SEG_SACKED))) {
            tp->lost_first = seg->link.next == &tp->sent ? NULL : seg_of_link(seg->link.next);
            continue;
        }
        if (room < MIN(tp->mss, seg_len(seg)) || !tcp_resend(tp, seg, room))
            return;
        tcp_count(tp,
                  tp->recovery == TCP_CA_LOSS ? TCP_N_TCPSlowStartRetrans : TCP_N_TCPFastRetrans);
    }
}

/* Something is to be sent, but nothing is on its way whose answer would make us try again: a closed
 * window, a small segment that is held back, no memory. */
static void arm_persist(struct tcp *tp)
{
    uint64_t wait = us_to_ns(tp->window ? tcp_override_us(tp) : tcp_rto_us(tp));
    if (tp->timer_kind == TCP_TIMER_PERSIST)
        return;
    if ((tp->cork || tp->more) && usable_window(tp) >= MIN(tp->mss, tp->written - tp->nxt))
        wait = TCP_CORK_NS;
    tcp_arm_retransmit(tp, TCP_TIMER_PERSIST, tp->now_ns + wait);
}

void tcp_output(struct tcp *tp)
{
    tp->output_owed = false;
    if (!tcp_synchronized(tp) || tp->state == TCP_TIME_WAIT)
        return;
    uint32_t before = tp->nxt, lost_before = tp->resent;
    send_lost(tp);
    while (!list_empty(&tp->unsent) && !tp->lost_first) {
        uint32_t mss = current_mss(tp);
        gather(tp, mss);
        uint32_t len = may_send(tp, mss);
        if (len == 0 || !send_unsent(tp, len, mss))
            break;
    }
    if (tp->fin && list_empty(&tp->unsent) && !tcp_fin_sent(tp) && tp->nxt == tp->written)
        tcp_send_fin(tp);
    if ((tp->nxt != before || tp->resent != lost_before) && tp->timer_kind != TCP_TIMER_RTO &&
        tp->timer_kind != TCP_TIMER_REORDER)
        tcp_rearm_retransmit(tp); /* RFC 6298, 5.1: one that runs is let alone */
    else if (tp->nxt != before && tp->timer_kind == TCP_TIMER_RTO)
        (void)tcp_arm_probe(tp); /* but new data has a probe before it (RFC 8985, 7.2) */
    else if (tcp_outstanding(tp) == 0 && !list_empty(&tp->unsent))
        arm_persist(tp);
    else if (tcp_outstanding(tp) && tp->timer_kind == TCP_TIMER_NONE)
        tcp_rearm_retransmit(tp);
    if (tp->ack_now)
        tcp_send_ack(tp);
}

/* ---- segments without data ---- */

void tcp_send_ack(struct tcp *tp)
{
    struct tcp_header header = tcp_header_of(tp, tp->nxt, 0);
    struct pkt *pkt = tcp_make(&header);
    if (pkt) {
        transmit(tp, pkt, false); /* RFC 3168, 6.1.4: pure ACKs are not ECN-capable */
        return;
    }
    /* Without memory: once more, later. */
    tp->ack_later = true;
    tcp_set_deadline(tp, TCP_SLOT_ACK, tp->now_ns + TCP_DELAYED_ACK_NS);
}

void tcp_challenge(struct tcp *tp)
{
    if (tp->challenge_ns && tp->now_ns - tp->challenge_ns < TCP_CHALLENGE_NS) {
        tcp_count(tp, TCP_N_TCPACKSkipped);
        return;
    }
    tp->challenge_ns = tp->now_ns;
    tcp_count(tp, TCP_N_TCPChallengeACK);
    tcp_send_ack(tp);
}

void tcp_send_probe(struct tcp *tp)
{
    /* A sequence number that is acknowledged already: whoever gets it must answer (RFC 9293,
     * 3.10.7.4), and nothing is taken for data. */
    struct tcp_header header = tcp_header_of(tp, tp->una - 1, 0);
    struct pkt *pkt = tcp_make(&header);
    if (pkt)
        transmit(tp, pkt, false);
}

void tcp_send_reset(struct tcp *tp)
{
    struct tcp_header header = {
        .seq = tp->nxt, .ack = tp->rcv_nxt, .flags = TCP_RST | TCP_ACK, .window = 0};
    struct pkt *pkt = tcp_make(&header);
    tcp_count(tp, TCP_N_OutRsts);
    if (pkt)
        transmit(tp, pkt, false);
}

void tcp_send_syn(struct tcp *tp)
{
    bool answer = tp->state != TCP_SYN_SENT;
    struct tcp_header header = {.seq = tp->iss, .ack = tp->rcv_nxt, .flags = TCP_SYN};
    uint32_t window = MIN(tp->rcv_limit, 65535u); /* never scaled: RFC 7323, 2.2 */
    if (answer)
        header.flags |= TCP_ACK;
    /* RFC 3168, 6.1.1; retried without: 6.1.1.1 */
    if (tp->ecn_ok && tp->retries < 2)
        header.flags |= answer ? TCP_ECE : TCP_ECE | TCP_CWR;
    header.window = (uint16_t)window;
    header.opt.has_mss = true;
    uint32_t mss = tp->mss_user ? MIN(tp->mss_user, tp->mss_path) : tp->mss_path;
    header.opt.mss = (uint16_t)MIN(mss, 65535u);
    header.opt.has_sack_ok = tp->sack_ok;
    header.opt.has_wscale = tp->wscale_ok;
    header.opt.wscale = tp->wscale_receive;
    header.opt.has_time = tp->time_ok;
    header.opt.time = tcp_time_now(tp);
    header.opt.echo = answer ? tp->time_recent : 0;
    if (tp->fast.passive && tp->fast.len) {
        header.opt.has_cookie = true;
        header.opt.cookie_len = tp->fast.len;
        memcpy(header.opt.cookie, tp->fast.cookie, tp->fast.len);
    }
    /* Fast Open: segments with larger windows may have gone before a repeated SYN,ACK. */
    if (!tp->fast.passive || seq_after(tp->rcv_nxt + window, tp->rcv_edge)) {
        tp->rcv_edge = tp->rcv_nxt + window;
        tp->rcv_window = window;
    }
    bool fast = !answer && tp->syn_tries == 0 && (tp->fast.ask || tp->fast.len);
    if (tp->syn_tries < 255)
        tp->syn_tries++;
    struct pkt *pkt = fast ? tcp_fast_syn(tp, &header) : tcp_make(&header);
    if (pkt)
        transmit(tp, pkt, false);
}
