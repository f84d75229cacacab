/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_impl.h - what the files of the TCP engine share with each other.
 *
 * Bytes of `sent` are in flight unless SACKed or lost, and lost ones are again when they are
 * resent: RFC 6675's pipe is kept as three sums (sacked, lost, resent), which tcp_seg_flags alone
 * changes.
 */
#ifndef SELKIE_NET_TCP_IMPL_H
#define SELKIE_NET_TCP_IMPL_H

#include "core/assert.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "net/tcp.h"

/* A piece of the sending queue, in its packet's scratch. */
struct tcp_seg {
    struct list link; /* sent, unsent */
    struct list time; /* by_time */
    uint64_t sent_ns; /* last time */
    uint32_t seq;
    uint8_t flags;
};
enum {
    SEG_SACKED = 1,
    SEG_LOST = 2,
    SEG_RESENT = 4,  /* on its way again */
    SEG_RETRIED = 8, /* was ever sent again: no round-trip time (Karn) */
};
/* A piece of the receiving queues. */
struct tcp_chunk {
    struct rb_node node; /* ooo */
    uint32_t seq, end;   /* end: payload only */
    bool fin;
};
STATIC_ASSERT(sizeof(struct tcp_seg) <= sizeof(((struct pkt *)0)->scratch));
STATIC_ASSERT(sizeof(struct tcp_chunk) <= sizeof(((struct pkt *)0)->scratch));

static inline struct tcp_seg *pkt_seg(struct pkt *pkt)
{
    return (struct tcp_seg *)(void *)pkt->scratch;
}
static inline struct pkt *seg_pkt(const struct tcp_seg *seg)
{
    return container_of((const uint8_t(*)[56])(const void *)seg, struct pkt, scratch);
}
static inline uint32_t seg_len(const struct tcp_seg *seg)
{
    return seg_pkt(seg)->total;
}
static inline uint32_t seg_end(const struct tcp_seg *seg)
{
    return seg->seq + seg_len(seg);
}
static inline struct tcp_seg *seg_of_link(struct list *node)
{
    return list_entry(node, struct tcp_seg, link);
}
static inline struct tcp_chunk *pkt_chunk(struct pkt *pkt)
{
    return (struct tcp_chunk *)(void *)pkt->scratch;
}
static inline struct pkt *chunk_pkt(const struct tcp_chunk *chunk)
{
    return container_of((const uint8_t(*)[56])(const void *)chunk, struct pkt, scratch);
}

enum tcp_recovery_state { /* numbered as TCP_INFO shows them */
                          TCP_CA_OPEN = 0,
                          TCP_CA_REDUCED =
                              2, /* CWR: congestion was told by ECN or a tail loss probe */
                          TCP_CA_RECOVERY = 3,
                          TCP_CA_LOSS = 4,
};
enum { TCP_EVENT_READ = 1, TCP_EVENT_WRITE = 2, TCP_EVENT_STATE = 4, TCP_EVENT_URGENT = 8 };

#define TCP_NEVER UINT64_MAX
#define TCP_RTO_MIN_US 200000u      /* RFC 6298 says 1 s; every stack of today less: Linux's */
#define TCP_RTO_INITIAL_US 1000000u /* RFC 6298, 2.1 */
#define TCP_RTO_MAX_US 120000000u
#define TCP_DELAYED_ACK_NS (40 * NS_PER_MS) /* at most 500 ms: RFC 9293, 3.8.6.3 */
#define TCP_DELAYED_ACK_DOUBLINGS 2         /* below what others' first RTO is: RFC 6298, 2.1 */
#define TCP_CHALLENGE_NS (500 * NS_PER_MS)  /* RFC 5961, 7: one in this time */
#define TCP_CORK_NS (200 * NS_PER_MS)
#define TCP_OVERRIDE_MAX_US 1000000u /* RFC 9293, 3.8.6.2.1: 0.1 to 1 s */
#define TCP_DUP_THRESHOLD 3u
#define TCP_WINDOW_MAX (1u << 30)

static inline uint64_t us_to_ns(uint64_t us)
{
    return us * NS_PER_US;
}
static inline uint32_t tcp_ms(uint64_t ns)
{
    return (uint32_t)(ns / NS_PER_MS);
}
/* Elapsed, us, at least 1, no wrap. */
static inline uint32_t tcp_elapsed_us(const struct tcp *tp, uint64_t since_ns)
{
    uint64_t us = tp->now_ns > since_ns ? (tp->now_ns - since_ns) / NS_PER_US : 0;
    return us < 1 ? 1 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}
static inline void tcp_count(const struct tcp *tp, enum tcp_counter counter)
{
    tp->stack->count(counter);
}
static inline uint32_t tcp_time_now(const struct tcp *tp)
{
    return tcp_ms(tp->now_ns) + tp->time_offset;
}
static inline enum tcp_memory tcp_memory(const struct tcp_stack *stack)
{
    return (enum tcp_memory)__atomic_load_n(&stack->memory, __ATOMIC_RELAXED);
}
/* Is our FIN acknowledged? */
static inline bool tcp_fin_acked(const struct tcp *tp)
{
    return tp->fin && tp->una == tp->written + 1;
}
static inline bool tcp_fin_sent(const struct tcp *tp)
{
    return tp->fin && tp->nxt == tp->written + 1;
}
/* Sequence space on its way, FIN and SYN too. */
static inline uint32_t tcp_outstanding(const struct tcp *tp)
{
    return tp->nxt - tp->una;
}
/* RFC 6675, 4: pipe. */
static inline uint32_t tcp_pipe(const struct tcp *tp)
{
    uint32_t out = tcp_outstanding(tp) + tp->resent, gone = tp->sacked + tp->lost;
    return out > gone ? out - gone : 0;
}
/* What the last announcement leaves: RCV.WND. */
static inline uint32_t tcp_receive_window(const struct tcp *tp)
{
    return seq_before(tp->rcv_nxt, tp->rcv_edge) ? tp->rcv_edge - tp->rcv_nxt : 0;
}

/* How long a window that is open, but small, is left alone. */
static inline uint32_t tcp_override_us(const struct tcp *tp)
{
    return MIN(tp->rto_us, TCP_OVERRIDE_MAX_US);
}
/* The peer's segments, as long as they may be: as those that it has sent, and as ours. */
static inline uint32_t tcp_peer_segment(const struct tcp *tp)
{
    return MAX(tp->rcv_mss, tp->mss);
}

/* tcp.c */
void tcp_enter(struct tcp *tp);
void tcp_leave(struct tcp *tp); /* arm the timer, tell the owner */
void tcp_set_state(struct tcp *tp, enum tcp_state state);
void tcp_end(struct tcp *tp, int error); /* CLOSED, queues freed */
void tcp_set_deadline(struct tcp *tp, enum tcp_timer_slot slot, uint64_t deadline_ns);
void tcp_arm_retransmit(struct tcp *tp, enum tcp_timer_kind kind, uint64_t deadline_ns);
void tcp_update_mss(struct tcp *tp);
void tcp_established(struct tcp *tp);
uint32_t tcp_initial_seq(const struct tcp_stack *stack, const struct flow_key *key,
                         uint64_t now_ns);
uint32_t tcp_initial_time(const struct tcp_stack *stack, const struct flow_key *key);
uint8_t tcp_choose_wscale(const struct tcp_stack *stack, uint32_t limit);
void tcp_enter_time_wait(struct tcp *tp);
/* The peer's options of its SYN. */
void tcp_take_syn_options(struct tcp *tp, const struct tcp_segment *segment);

/* tcp_options.c: pure but for the memory of packets */
struct tcp_header {
    uint32_t seq, ack;
    uint16_t window, urgent;
    uint8_t flags;
    struct tcp_options opt;
};
/* Bytes that these options take in a header (with padding). */
uint32_t tcp_options_size(const struct tcp_options *opt, bool syn);
/* Put a header with them in front; there is headroom. */
void tcp_write_header(struct pkt *pkt, const struct tcp_header *header);
/* A packet without payload. */
struct pkt *must_check tcp_make(const struct tcp_header *header);

/* tcp_output.c */
void tcp_output(struct tcp *tp);
void tcp_send_ack(struct tcp *tp);
void tcp_send_reset(struct tcp *tp);
void tcp_send_syn(struct tcp *tp);   /* or SYN,ACK */
void tcp_send_probe(struct tcp *tp); /* a segment without payload that must be answered */
void tcp_challenge(struct tcp *tp);
/* Send again from `seg` on, at most `limit` bytes; false: memory lacks. */
bool tcp_resend(struct tcp *tp, struct tcp_seg *seg, uint32_t limit);
/* Send new data of at most limit bytes, whatever congestion control says. False: there is none, or
 * memory lacks. */
bool tcp_send_new(struct tcp *tp, uint32_t limit);
void tcp_send_fin(struct tcp *tp);
/* Cut the segment in two; false: memory lacks. */
bool tcp_seg_split(struct tcp *tp, struct tcp_seg *seg, uint32_t offset);
void tcp_seg_flags(struct tcp *tp, struct tcp_seg *seg, uint8_t set, uint8_t clear);
uint32_t tcp_announce(struct tcp *tp); /* the window to put into a header, unscaled */
uint32_t tcp_window_wanted(const struct tcp *tp);
struct tcp_header tcp_header_of(struct tcp *tp, uint32_t seq, uint8_t flags);

/* tcp_receive.c */
void tcp_data(struct tcp *tp, struct pkt *pkt, const struct tcp_segment *segment); /* consumes */
void tcp_urgent_input(struct tcp *tp, const struct tcp_segment *segment);
void tcp_dsack(struct tcp *tp, uint32_t start, uint32_t end);
void tcp_free_received(struct tcp *tp);

/* tcp_ack.c */
struct tcp_ack_info {
    uint32_t una;       /* before */
    uint32_t flight;    /* before: outstanding */
    uint32_t delivered; /* newly acknowledged or SACKed bytes */
    uint32_t acked;     /* of them, cumulatively */
    uint32_t rtt_us;    /* 0: no sample */
    uint32_t lost;      /* tp->lost before */
    bool sacked_new, dsack, ece, resent_acked;
    bool duplicate; /* RFC 5681, 2 */
};
/* False: the segment is not to be looked at further. */
bool must_check tcp_ack(struct tcp *tp, const struct tcp_segment *segment);
void tcp_rtt_sample(struct tcp *tp, uint32_t rtt_us);
void tcp_rearm_retransmit(struct tcp *tp);
uint32_t tcp_rto_us(const struct tcp *tp); /* with backoff */

/* tcp_recover.c */
void tcp_rack_acked(struct tcp *tp, const struct tcp_seg *seg, uint32_t end,
                    const struct tcp_segment *segment);
void tcp_rack_reordered(struct tcp *tp, uint32_t seq_end, bool retried);
void tcp_rack_dsack(struct tcp *tp);
uint32_t tcp_rack_detect(struct tcp *tp); /* us until more may be lost; 0: no */
void tcp_recover(struct tcp *tp, struct tcp_ack_info *info, const struct tcp_segment *segment);
void tcp_reorder_timer(struct tcp *tp);
void tcp_mark_lost(struct tcp *tp, struct tcp_seg *seg);
void tcp_timeout_losses(struct tcp *tp);
bool tcp_arm_probe(struct tcp *tp);
void tcp_probe_timer(struct tcp *tp);
void tcp_reduce(struct tcp *tp, enum tcp_recovery_state state);

/* tcp_cookie.c */
uint32_t tcp_cookie_make(const struct tcp_stack *stack, const struct flow_key *key,
                         const struct tcp_segment *syn, uint64_t now_ns);
bool tcp_cookie_check(const struct tcp_stack *stack, const struct flow_key *key, uint32_t irs,
                      uint32_t value, uint64_t now_ns, uint16_t *mss);
uint32_t tcp_cookie_time(uint32_t now, bool wscale_ok, uint8_t wscale, bool sack_ok, bool ecn_ok);

/* tcp_fastopen.c */
void tcp_fast_cookie(const struct tcp_listener *listener, const struct flow_key *key,
                     uint64_t now_ns, struct tcp_options *opt);
bool tcp_fast_cookie_ok(const struct tcp_listener *listener, const struct flow_key *key,
                        uint64_t now_ns, const struct tcp_options *opt);
/* A new connection by a SYN with a good cookie; consumes. */
void tcp_fast_passive(struct tcp *tp, struct pkt *pkt, const struct tcp_segment *syn);
void tcp_fast_answer(struct tcp *tp); /* its SYN,ACK, again */
void tcp_fast_done(struct tcp *tp);   /* the third segment has come */
void tcp_fast_forget(struct tcp *tp); /* it pends no more */
/* The first SYN, with cookie and data; NULL without memory. */
struct pkt *tcp_fast_syn(struct tcp *tp, struct tcp_header *header);
void tcp_fast_answered(struct tcp *tp, const struct tcp_segment *segment); /* by a SYN,ACK */

/* tcp_cong.c */
void tcp_cong_init(struct tcp *tp);
void tcp_cong_start(struct tcp *tp); /* established: the initial window (RFC 6928) */
void tcp_cong_grow(struct tcp *tp, const struct tcp_ack_info *info);
uint32_t tcp_cong_reduced(struct tcp *tp); /* the threshold after a loss; remembers what was */
void tcp_cong_timeout(struct tcp *tp);
void tcp_cong_undo(struct tcp *tp);
void tcp_cong_idle(struct tcp *tp);

#endif
