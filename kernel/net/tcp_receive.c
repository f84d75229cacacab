/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_receive.c - data that arrives: in order into the queue that the program reads, out of order
 * into a tree until the hole is filled; what of it is told to the peer (SACK, D-SACK, when an
 * acknowledgement may wait); how large the receive buffer is to be; urgent data.
 *
 * Ranges of chunks count the FIN as a byte behind the data. Memory: what both queues hold is at
 * most twice the receive buffer and a packet; beyond, or when all connections together have too
 * much (tcp_mem), what is out of order goes first (RFC 2018, 8 lets us: it was only advice), then
 * new segments are dropped. Many small segments are copied together.
 */
#include "net/tcp_impl.h"

#define SMALL 512u    /* such segments are worth copying */
#define COLLECT 2048u /* into a packet of this size */

static struct tcp_chunk *chunk_of(struct rb_node *node)
{
    return node ? container_of(node, struct tcp_chunk, node) : NULL;
}

static void ooo_drop(struct tcp *tp, struct tcp_chunk *chunk)
{
    struct pkt *pkt = chunk_pkt(chunk);
    rb_remove(&tp->ooo, &chunk->node);
    tp->ooo_memory -= pkt->truesize;
    pkt_free(pkt);
}

void tcp_free_received(struct tcp *tp)
{
    struct rb_node *node;
    pkt_queue_purge(&tp->queue);
    while ((node = rb_first(&tp->ooo)))
        ooo_drop(tp, chunk_of(node));
    tp->sack_count = 0;
    tp->read = tp->rcv_nxt - (tp->fin_received ? 1 : 0);
}

/* ---- what is told to the peer ---- */

/* RFC 2883: this has come twice. */
void tcp_dsack(struct tcp *tp, uint32_t start, uint32_t end)
{
    if (!tp->sack_ok || !seq_before(start, end))
        return;
    tcp_count(tp, seq_before(start, tp->rcv_nxt) ? TCP_N_TCPDSACKOldSent : TCP_N_TCPDSACKOfoSent);
    tp->dsack = (struct tcp_range){start, end};
}

/* RFC 2018, 4: the block with the newest segment comes first, those reported before follow. */
static void sack_add(struct tcp *tp, uint32_t start, uint32_t end)
{
    struct tcp_range merged = {start, end}, kept[TCP_SACK_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < tp->sack_count; i++) {
        struct tcp_range b = tp->sack[i];
        if (seq_after(b.start, merged.end) || seq_before(b.end, merged.start)) {
            kept[count++] = b;
            continue;
        }
        if (seq_before(b.start, merged.start))
            merged.start = b.start;
        if (seq_after(b.end, merged.end))
            merged.end = b.end;
    }
    tp->sack[0] = merged;
    count = MIN(count, TCP_SACK_MAX - 1);
    memcpy(&tp->sack[1], kept, count * sizeof kept[0]);
    tp->sack_count = (uint8_t)(count + 1);
}

/* What is in order now needs no block. */
static void sack_trim(struct tcp *tp)
{
    unsigned count = 0;
    for (unsigned i = 0; i < tp->sack_count; i++)
        if (seq_after(tp->sack[i].end, tp->rcv_nxt) && seq_after(tp->sack[i].start, tp->rcv_nxt))
            tp->sack[count++] = tp->sack[i];
    tp->sack_count = (uint8_t)count;
}

/* Segments of lo are 64 KiB: a sender whose buffer does not hold two of them would wait for the
 * acknowledgement that we delay. */
#define ACK_SEGMENT_MAX 8192u
#define DRAIN_ACK 2048u /* bytes */
/* What may wait for the end of a burst: a peer with a small window must not run out of it. */
#define BURST_ACK_MAX (256u << 10)

/* Which of several acknowledgements may wait (RFC 9293, 3.8.6.3; RFC 5681, 4.2): the first of two
 * full segments, for a while; none at the beginning, when the peer's window is small. The while is
 * for the program's answer, which takes it along. One that came too late for that makes it twice as
 * long (tcp_output.c); more data before an answer, and it is short: the peer waits for us. */
static void schedule_ack(struct tcp *tp)
{
    uint32_t unacked = tp->rcv_nxt - tp->acked_to;
    if (tp->ack_alone)
        tp->ack_alone = tp->ack_doublings = 0;
    if (tp->quick_acks && !tp->no_quick) {
        tp->quick_acks--;
        tp->ack_now = true;
    } else if (unacked >= 2 * MIN(tp->rcv_mss, ACK_SEGMENT_MAX)) {
        if (tp->input_more && unacked < BURST_ACK_MAX)
            tp->ack_owed = true; /* the next segment is here already: one for all of them */
        else
            tp->ack_now = true;
    } else if (!tp->ack_later) {
        tp->ack_later = true;
        tcp_set_deadline(tp, TCP_SLOT_ACK, tp->now_ns + (TCP_DELAYED_ACK_NS << tp->ack_doublings));
    }
}

/* ---- memory ---- */

static uint64_t memory_held(const struct tcp *tp)
{
    return (uint64_t)tp->queue.bytes + tp->ooo_memory;
}

/* Is there room for this packet? What is out of order gives way to what is in order. */
static bool make_room(struct tcp *tp, const struct pkt *pkt, bool in_order)
{
    uint64_t most = 2 * (uint64_t)tp->rcv_limit + PKT_LEN_MAX;
    if (tcp_memory(tp->stack) == TCP_MEMORY_NONE)
        most = tp->queue.first ? 0 : pkt->truesize; /* one, when there is none */
    if (memory_held(tp) + pkt->truesize <= most)
        return true;
    tcp_count(tp, TCP_N_PruneCalled);
    if (!in_order)
        return false;
    while (tp->ooo.last && memory_held(tp) + pkt->truesize > most) {
        tcp_count(tp, TCP_N_OfoPruned);
        tp->sack_count = 0; /* told anew by what comes next */
        ooo_drop(tp, chunk_of(tp->ooo.last));
    }
    return memory_held(tp) + pkt->truesize <= most;
}

/* Behind what is queued, by copying. */
static bool append_copy(struct tcp *tp, struct pkt *pkt)
{
    struct pkt *last = tp->queue.last;
    if (!last || last->shared || pkt->total > SMALL)
        return false;
    uint8_t *to = pkt_put(last, pkt->total);
    if (!to)
        return false;
    pkt_read(pkt, 0, to, pkt->total);
    tcp_count(tp, TCP_N_TCPRcvCollapsed);
    pkt_free(pkt);
    return true;
}

/* Put payload at the end of what can be read. Small segments that hold much memory are collected in
 * one packet when memory gets short. */
static void enqueue(struct tcp *tp, struct pkt *pkt)
{
    if (pkt->total == 0) { /* only a FIN */
        pkt_free(pkt);
        return;
    }
    if (append_copy(tp, pkt))
        return;
    if (pkt->total <= SMALL && memory_held(tp) > tp->rcv_limit / 2) {
        struct pkt *collector = pkt_alloc(0, COLLECT, ALLOC_DEFAULT);
        uint8_t *to = collector ? pkt_put(collector, pkt->total) : NULL;
        if (to) {
            pkt_read(pkt, 0, to, pkt->total);
            pkt_free(pkt);
            pkt = collector;
        }
    }
    pkt_queue_add(&tp->queue, pkt);
}

/* ---- out of order ---- */

static bool chunk_less(const struct rb_node *a, const struct rb_node *b)
{
    return seq_before(container_of(a, const struct tcp_chunk, node)->seq,
                      container_of(b, const struct tcp_chunk, node)->seq);
}

/* The last chunk that begins at or before `seq`. */
static struct tcp_chunk *ooo_before(const struct tcp *tp, uint32_t seq)
{
    struct tcp_chunk *best = NULL;
    struct rb_node *node = tp->ooo.root;
    if (tp->ooo.last && !seq_after(chunk_of(tp->ooo.last)->seq, seq))
        return chunk_of(tp->ooo.last);
    while (node) {
        struct tcp_chunk *chunk = chunk_of(node);
        if (!seq_after(chunk->seq, seq)) {
            best = chunk;
            node = node->right;
        } else {
            node = node->left;
        }
    }
    return best;
}

/* Take from the new chunk what is there already. False: all of it is. */
static bool ooo_fit(struct tcp *tp, struct pkt *pkt, struct tcp_chunk *chunk)
{
    struct tcp_chunk *before = ooo_before(tp, chunk->seq);
    if (before && !seq_before(before->end, chunk->end)) {
        tcp_dsack(tp, chunk->seq, chunk->end);
        return false;
    }
    if (before && seq_after(before->end, chunk->seq)) {
        uint32_t twice = MIN(before->end - chunk->seq, pkt->total);
        tcp_dsack(tp, chunk->seq, before->end);
        pkt_skip(pkt, twice);
        chunk->seq += twice;
    }
    struct rb_node *node = before ? rb_next(&before->node) : rb_first(&tp->ooo);
    while (node && seq_before(chunk_of(node)->seq, chunk->end)) {
        struct tcp_chunk *after = chunk_of(node);
        node = rb_next(node);
        if (!seq_after(after->end, chunk->end)) {
            tcp_dsack(tp, after->seq, after->end);
            ooo_drop(tp, after);
            continue;
        }
        tcp_dsack(tp, after->seq, chunk->end);
        pkt_trim(pkt, after->seq - chunk->seq);
        chunk->end = after->seq;
        chunk->fin = false;
        break;
    }
    return chunk->seq != chunk->end; /* two neighbours may cover it together */
}

static void ooo_insert(struct tcp *tp, struct pkt *pkt, uint32_t seq, uint32_t end, bool fin)
{
    struct tcp_chunk *chunk = pkt_chunk(pkt);
    *chunk = (struct tcp_chunk){.seq = seq, .end = end, .fin = fin};
    tp->ack_now = true; /* RFC 5681, 4.2: at once */
    if (!make_room(tp, pkt, false)) {
        tcp_count(tp, TCP_N_TCPOFODrop);
        pkt_free(pkt);
        return;
    }
    if (!ooo_fit(tp, pkt, chunk)) {
        pkt_free(pkt);
        return;
    }
    tcp_count(tp, TCP_N_TCPOFOQueue);
    rb_insert(&tp->ooo, &chunk->node, chunk_less);
    tp->ooo_memory += pkt->truesize;
    if (tp->sack_ok)
        sack_add(tp, seq, end);
}

/* ---- in order ---- */

static void take(struct tcp *tp, struct pkt *pkt, uint32_t end, bool fin)
{
    tp->bytes_received += pkt->total;
    tp->rcv_nxt = end;
    if (fin)
        tp->fin_received = true;
    enqueue(tp, pkt);
}

/* The hole is filled: what follows can be read, too. */
static void drain(struct tcp *tp)
{
    struct tcp_chunk *chunk;
    while ((chunk = chunk_of(rb_first(&tp->ooo))) && !seq_after(chunk->seq, tp->rcv_nxt)) {
        struct pkt *pkt = chunk_pkt(chunk);
        uint32_t end = chunk->end, twice = tp->rcv_nxt - chunk->seq;
        bool fin = chunk->fin;
        if (!seq_after(end, tp->rcv_nxt) || tp->fin_received) {
            tcp_dsack(tp, chunk->seq, chunk->end);
            ooo_drop(tp, chunk);
            continue;
        }
        rb_remove(&tp->ooo, &chunk->node);
        tp->ooo_memory -= pkt->truesize;
        pkt_skip(pkt, MIN(twice, pkt->total));
        take(tp, pkt, end, fin);
    }
    sack_trim(tp);
}

/* What the peer's segments are like, to know when two of them are there. */
static void measure(struct tcp *tp, const struct pkt *pkt, const struct tcp_segment *segment)
{
    uint32_t len = pkt->gso_size ? pkt->gso_size : segment->len;
    if (len > tp->rcv_mss)
        tp->rcv_mss = MIN(len, tp->mss_path);
    if (segment->opt.has_time && segment->opt.echo && segment->len >= tp->rcv_mss) {
        uint32_t ms = tcp_time_now(tp) - segment->opt.echo;
        if (ms < 100000 && (tp->tune_rtt_us == 0 || MAX(ms, 1u) * 1000 < tp->tune_rtt_us))
            tp->tune_rtt_us = MAX(ms, 1u) * 1000;
    }
}

/* Cut off what is not between RCV.NXT and the announced edge. False: nothing is left. */
static bool fit_window(struct tcp *tp, struct pkt *pkt, uint32_t *seq, uint32_t *end, bool *fin)
{
    if (!seq_after(*end, tp->rcv_nxt)) {
        tcp_dsack(tp, *seq, *end);
        return false;
    }
    if (!seq_before(*seq, tp->rcv_edge) && !(*seq == tp->rcv_nxt && pkt->total == 0)) {
        tcp_count(tp, TCP_N_TCPZeroWindowDrop);
        return false;
    }
    if (seq_before(*seq, tp->rcv_nxt)) {
        tcp_dsack(tp, *seq, tp->rcv_nxt);
        pkt_skip(pkt, tp->rcv_nxt - *seq);
        *seq = tp->rcv_nxt;
    }
    if (*seq + pkt->total != *seq && seq_after(*seq + pkt->total, tp->rcv_edge)) {
        pkt_trim(pkt, tp->rcv_edge - *seq);
        *end = tp->rcv_edge;
        *fin = false;
    }
    return true;
}

void tcp_data(struct tcp *tp, struct pkt *pkt, const struct tcp_segment *segment)
{
    uint32_t seq = segment->seq, end = segment->end;
    bool fin = (segment->flags & TCP_FIN) != 0;
    if (seq == end) {
        pkt_free(pkt);
        return;
    }
    measure(tp, pkt, segment);
    if (tp->fin_received || !fit_window(tp, pkt, &seq, &end, &fin)) {
        tp->ack_now = true;
        pkt_free(pkt);
        return;
    }
    if (seq != tp->rcv_nxt) {
        tp->quick_acks = 8; /* the peer recovers: it needs every one */
        ooo_insert(tp, pkt, seq, end, fin);
        return;
    }
    if (!make_room(tp, pkt, true)) {
        tcp_count(tp, TCP_N_TCPRcvQDrop);
        tp->ack_now = tp->starved = true;
        pkt_free(pkt);
        return;
    }
    bool hole = tp->ooo.first != NULL;
    take(tp, pkt, end, fin);
    if (hole) {
        drain(tp);
        tp->ack_now = true; /* RFC 5681, 4.2 */
    }
    schedule_ack(tp);
    if (tp->fin_received)
        tp->ack_now = true;
    tp->events |= TCP_EVENT_READ;
}

/* ---- the program reads ---- */

/* Dynamic right-sizing: if the program has read more in one round trip than in any before, the
 * peer's window may be what limits it; room for twice that. */
static void tune_buffer(struct tcp *tp)
{
    uint32_t rtt = tp->tune_rtt_us ? tp->tune_rtt_us : tp->srtt ? tp->srtt >> 3 : 100000;
    if (tcp_elapsed_us(tp, tp->tune_ns) < rtt)
        return;
    uint32_t copied = tp->read - tp->tune_seq;
    if (copied > tp->tune_space) {
        uint64_t wanted = 2 * (uint64_t)copied + 16 * tp->rcv_mss;
        /* Growing as fast as the peer's window does. */
        wanted += wanted / 2;
        if (!tp->limit_fixed && wanted > tp->rcv_limit &&
            tcp_memory(tp->stack) == TCP_MEMORY_PLENTY)
            tp->rcv_limit = (uint32_t)MIN(wanted, (uint64_t)tp->stack->read_max);
        tp->tune_space = copied;
    }
    tp->tune_seq = tp->read;
    tp->tune_ns = tp->now_ns;
}

/* Is the room that reading has made worth a segment of its own? (RFC 9293, 3.8.6.2.2) */
static bool worth_telling(const struct tcp *tp)
{
    uint32_t now = tcp_receive_window(tp), wanted = tcp_window_wanted(tp);
    uint32_t gain = wanted - now;
    if (gain == 0)
        return false;
    /* The sender's side of the same rule (3.8.6.2.1): less than half of the largest window is no
     * reason to send if a segment is longer (those of lo are 64 KiB). So tell before that. */
    if (gain >= tp->rcv_limit / 2)
        return true;
    return gain >= 2 * tp->rcv_mss ? gain >= now : now < tcp_peer_segment(tp);
}

/* A segment was dropped for lack of memory, and now nothing is in its way: its sender need not wait
 * for its timer, which doubles each time (tcp_ack.c, told_again). */
static bool room_after_drop(struct tcp *tp)
{
    if (!tp->starved || tcp_readable(tp) != 0)
        return false;
    tp->starved = false;
    return true;
}

/* The program has read all there is, and that was more than a request: the peer may be waiting for
 * room in its own buffer, which our delay would only keep full. */
static bool drained(const struct tcp *tp)
{
    uint32_t unacked = tp->rcv_nxt - tp->acked_to;
    return tp->ack_later && tcp_readable(tp) == 0 && unacked >= MIN(tp->rcv_mss, DRAIN_ACK);
}

void tcp_consume(struct tcp *tp, uint32_t len)
{
    uint8_t byte;
    ASSERT(len <= tcp_readable(tp));
    tcp_enter(tp);
    if (tp->urgent == TCP_URGENT_AWAITED && !tcp_read_urgent(tp, &byte, true))
        tp->events |= TCP_EVENT_READ; /* kept before it is gone */
    tp->read += len;
    while (len) {
        struct pkt *first = tp->queue.first;
        if (len >= first->total) {
            len -= first->total;
            pkt_free(pkt_queue_take(&tp->queue));
            continue;
        }
        uint32_t before = first->truesize;
        pkt_skip(first, len);
        tp->queue.bytes -= before - first->truesize;
        len = 0;
    }
    tune_buffer(tp);
    bool open =
        tp->state == TCP_ESTABLISHED || tp->state == TCP_FIN_WAIT1 || tp->state == TCP_FIN_WAIT2;
    if (open && (room_after_drop(tp) || worth_telling(tp) || drained(tp)))
        tcp_send_ack(tp);
    tcp_leave(tp);
}

/* ---- urgent data (RFC 9293, 3.8.5; RFC 6093) ---- */

/* The pointer names the byte behind the urgent one (RFC 6093, 3.1: what everyone does). */
void tcp_urgent_input(struct tcp *tp, const struct tcp_segment *segment)
{
    if (!(segment->flags & TCP_URG) || segment->urgent == 0)
        return;
    uint32_t at = segment->seq + segment->urgent - 1;
    if (seq_before(at, tp->rcv_nxt) || seq_before(at, tp->read))
        return; /* it has passed */
    if (tp->urgent != TCP_URGENT_NONE && !seq_after(at, tp->urgent_seq))
        return;
    tp->urgent = TCP_URGENT_AWAITED;
    tp->urgent_seq = at;
    tp->events |= TCP_EVENT_READ | TCP_EVENT_URGENT;
}

int64_t tcp_urgent_distance(const struct tcp *tp)
{
    if (tp->urgent == TCP_URGENT_NONE || seq_before(tp->urgent_seq, tp->read))
        return -1;
    return tp->urgent_seq - tp->read;
}

int tcp_read_urgent(struct tcp *tp, uint8_t *out, bool peek)
{
    if (tp->oob_inline || tp->urgent == TCP_URGENT_NONE || tp->urgent == TCP_URGENT_READ)
        return -EINVAL;
    uint32_t off = tp->urgent_seq - tp->read;
    if (tp->urgent == TCP_URGENT_AWAITED && off < tcp_readable(tp)) {
        struct pkt *pkt = tp->queue.first;
        for (; off >= pkt->total; pkt = pkt->next)
            off -= pkt->total;
        pkt_read(pkt, off, &tp->urgent_byte, 1);
        tp->urgent = TCP_URGENT_VALID;
    }
    if (tp->urgent != TCP_URGENT_VALID)
        return -EAGAIN;
    *out = tp->urgent_byte;
    if (!peek)
        tp->urgent = TCP_URGENT_READ;
    return 0;
}
