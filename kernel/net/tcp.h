/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp.h - the TCP engine (RFC 9293), without sockets, routes or locks.
 *
 * A `struct tcp` is one connection. Its owner (tcp_sock.c, a unit test, a fuzz target) holds its
 * lock around every call, hands it segments, and is called back through `struct tcp_stack`, the one
 * table of everything that the engine does not do itself: time, a keyed hash, sending, one timer.
 * Callbacks run under the owner's lock and must not call the engine again, nor free the connection;
 * they come at the end of a call, when the state is whole (but send and count, which come when
 * something is sent or counted).
 *
 *     input    tcp_parse (pure), then tcp_input, tcp_listener_input or tcp_tw_input
 *     output   tcp_send + tcp_push; acknowledgements, retransmission, probes go by themselves
 *     time     tcp_timer when the deadline that `arm` was told has come
 *
 * Which file does what: tcp_options.c headers and options; tcp.c life of a connection; tcp_input.c
 * the state machine; tcp_receive.c data that arrives, SACK blocks, the receive window; tcp_ack.c
 * acknowledgements, round-trip times; tcp_recover.c RACK-TLP, PRR, RTO; tcp_cong.c CUBIC and
 * NewReno; tcp_output.c; tcp_timer.c; tcp_listen.c embryos; tcp_cookie.c SYN cookies;
 * tcp_fastopen.c; tcp_tw.c
 * TIME-WAIT; tcp_info.c.
 *
 * Sequence numbers are compared modulo 2^32 (RFC 9293, 3.4). Windows and queues are in bytes.
 */
#ifndef SELKIE_NET_TCP_H
#define SELKIE_NET_TCP_H

#include "drv/pkt.h"
#include "lib/list.h"
#include "lib/rbtree.h"
#include "lib/siphash.h"
#include "net/classify.h"

/* ---- the header (RFC 9293, 3.1) ---- */

enum {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40, /* RFC 3168 */
    TCP_CWR = 0x80,
};
#define TCP_HEADER 20u
#define TCP_HEADER_MAX 60u
#define TCP_MSS_DEFAULT 536u /* RFC 9293, 3.7.1: where the peer says nothing */
#define TCP_MSS_MIN 88u      /* never smaller, whatever a peer or an ICMP message says */
#define TCP_WSCALE_MAX 14u   /* RFC 7323, 2.3 */
#define TCP_SACK_MAX 4u      /* blocks that fit in the options */
#define TCP_COOKIE_MAX 16u   /* Fast Open: RFC 7413, 2 */

struct tcp_range {
    uint32_t start, end; /* [start, end) */
};

/* What options said. */
struct tcp_options {
    bool has_mss, has_wscale, has_sack_ok, has_time, has_cookie;
    uint8_t wscale, sack_count, cookie_len;
    uint16_t mss;
    uint32_t time, echo;
    struct tcp_range sack[TCP_SACK_MAX];
    uint8_t cookie[TCP_COOKIE_MAX];
};

/* A received segment. */
struct tcp_segment {
    uint32_t seq, ack, end; /* end: behind its last byte, SYN and FIN counted */
    uint32_t len;           /* payload bytes */
    uint16_t window, urgent;
    uint8_t flags, header; /* header: its length with options */
    bool ce;               /* the IP header says: congestion experienced. Set by the owner */
    bool iss_given;        /* a SYN that ends TIME-WAIT: the answer's sequence number */
    uint32_t iss;
    struct tcp_options opt;
};

/* The header that lies at `header`, `lie` bytes of which are there, of a segment of `total` bytes.
 * 0, or -EINVAL: lengths do not fit. Options that are malformed end the list (RFC 9293, 3.1: a peer
 * that we cannot understand further is still answered). Of `sack` and `cookie` only what their
 * counts cover is written. Pure. */
int must_check tcp_parse(const uint8_t *header, uint32_t lie, uint32_t total,
                         struct tcp_segment *out);

static inline bool seq_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}
static inline bool seq_after(uint32_t a, uint32_t b)
{
    return (int32_t)(b - a) < 0;
}

/* ---- states, as TCP_INFO and /proc/net/tcp number them ---- */

enum tcp_state {
    TCP_ESTABLISHED = 1,
    TCP_SYN_SENT = 2,
    TCP_SYN_RCVD = 3,
    TCP_FIN_WAIT1 = 4,
    TCP_FIN_WAIT2 = 5,
    TCP_TIME_WAIT = 6,
    TCP_CLOSED = 7,
    TCP_CLOSE_WAIT = 8,
    TCP_LAST_ACK = 9,
    TCP_LISTEN = 10, /* struct tcp_listener; no struct tcp is ever in it */
    TCP_CLOSING = 11,
};

/* What is counted: /proc/net/snmp and netstat show them by these names. */
enum tcp_counter {
    TCP_N_ActiveOpens,
    TCP_N_PassiveOpens,
    TCP_N_AttemptFails,
    TCP_N_EstabResets,
    TCP_N_InSegs,
    TCP_N_OutSegs,
    TCP_N_RetransSegs,
    TCP_N_InErrs,
    TCP_N_OutRsts,
    TCP_N_SyncookiesSent,
    TCP_N_SyncookiesRecv,
    TCP_N_SyncookiesFailed,
    TCP_N_EmbryonicRsts,
    TCP_N_PruneCalled,
    TCP_N_OfoPruned,
    TCP_N_PAWSEstab,
    TCP_N_DelayedACKs,
    TCP_N_ListenOverflows,
    TCP_N_ListenDrops,
    TCP_N_TCPSackRecovery,
    TCP_N_TCPLossUndo,
    TCP_N_TCPDSACKUndo,
    TCP_N_TCPLostRetransmit,
    TCP_N_TCPFastRetrans,
    TCP_N_TCPSlowStartRetrans,
    TCP_N_TCPTimeouts,
    TCP_N_TCPLossProbes,
    TCP_N_TCPLossProbeRecovery,
    TCP_N_TCPRcvCollapsed,
    TCP_N_TCPRcvQDrop,
    TCP_N_TCPDSACKOldSent,
    TCP_N_TCPDSACKOfoSent,
    TCP_N_TCPDSACKRecv,
    TCP_N_TCPAbortOnData,
    TCP_N_TCPAbortOnClose,
    TCP_N_TCPAbortOnMemory,
    TCP_N_TCPAbortOnTimeout,
    TCP_N_TCPAbortOnLinger,
    TCP_N_TCPOFOQueue,
    TCP_N_TCPOFODrop,
    TCP_N_TCPChallengeACK,
    TCP_N_TCPSYNChallenge,
    TCP_N_TCPACKSkipped,
    TCP_N_TCPKeepAlive,
    TCP_N_TCPMTUPFail,
    TCP_N_TCPReqQFullDoCookies,
    TCP_N_TCPReqQFullDrop,
    TCP_N_TCPDeferAcceptDrop,
    TCP_N_TCPSpuriousRTOs,
    TCP_N_TCPSynRetrans,
    TCP_N_TCPZeroWindowDrop,
    TCP_N_TCPFastOpenActive,
    TCP_N_TCPFastOpenPassive,
    TCP_COUNTERS
};

/* ---- the engine's surroundings ---- */

struct tcp;
struct tcp_listener;

/* How short all connections together are of memory (tcp(7), tcp_mem). Under pressure windows and
 * buffers grow no more and stay at a few segments; out of it windows close and the program's bytes
 * are taken only when nothing is on its way. What had been announced still comes; where there is no
 * memory at all only a segment in order is taken, and when nothing waits for the program: its
 * sender then waits for its timer, twice as long each time. */
enum tcp_memory { TCP_MEMORY_PLENTY, TCP_MEMORY_PRESSURE, TCP_MEMORY_OUT, TCP_MEMORY_NONE };

struct tcp_stack {
    uint64_t (*clock)(void); /* CLOCK_MONOTONIC, ns */
    /* A hash with a secret key that no peer can guess (SipHash): initial sequence numbers, cookies.
     */
    uint64_t (*mac)(const void *data, size_t len);
    void (*count)(enum tcp_counter counter);

    /* Consumes a segment: the header lies in its first piece, the checksum field is to be given the
     * pseudo header's sum (PKT_CHECKSUM_PARTIAL, checksum_start is set). ect: ECN-capable, the IP
     * header is to say so. What is returned is not looked at: the wire may lose segments too. */
    void (*send)(struct tcp *tp, struct pkt *pkt, bool ect);
    /* Call tcp_timer at this time; instead of what was said before. UINT64_MAX: never. */
    void (*arm)(struct tcp *tp, uint64_t deadline_ns);
    void (*readable)(struct tcp *tp); /* data, urgent data or the end has come */
    void (*urgent)(struct tcp *tp);   /* a new urgent byte was announced; NULL: nobody asks */
    void (*writable)(struct tcp *tp); /* there is room again, after tcp_send_room said there was not
                                         enough */
    /* Another state, or an error (tp->error), or both. TCP_TIME_WAIT: the owner makes a tcp_tw of
     * it and forgets the connection; if memory lacks, it just forgets it. */
    void (*changed)(struct tcp *tp);

    /* Listeners: answer without a connection; make a connection with this key (NULL: no memory, or
     * too many are not accepted: the embryo stays), which tcp_listener fills in; it has come so
     * far. */
    void (*reply)(struct tcp_listener *listener, const struct flow_key *key, struct pkt *pkt,
                  bool ect);
    struct tcp *(*child)(struct tcp_listener *listener, const struct flow_key *key);
    void (*accepted)(struct tcp_listener *listener, struct tcp *tp);
    void (*arm_listener)(struct tcp_listener *listener, uint64_t deadline_ns);

    /* Limits and defaults, /proc/sys/net/ipv4/tcp_*; relaxed. */
    uint32_t read_default, read_max;   /* tcp_rmem */
    uint32_t write_default, write_max; /* tcp_wmem */
    uint32_t keep_idle_s, keep_interval_s;
    uint32_t max_orphans; /* for the owner */
    uint8_t keep_count, syn_retries, synack_retries, retries, orphan_retries;
    uint8_t fin_timeout_s;
    uint8_t tw_reuse; /* tcp_tw_reuse, for the owner: 0 no, 1 yes, 2 over lo */
    bool ecn;         /* ask for it */
    bool syncookies;
    bool reno;              /* the default is not CUBIC */
    uint32_t *fast_pending; /* connections by Fast Open whose third segment is missing; atomic */
    uint8_t memory;         /* enum tcp_memory; atomic, relaxed: advice */
};
extern const struct tcp_stack tcp_stack_defaults; /* values only, no functions */

/* ---- a connection ---- */

enum tcp_timer_kind {
    TCP_TIMER_NONE,
    TCP_TIMER_RTO,
    TCP_TIMER_PROBE,   /* tail loss: RFC 8985, 7 */
    TCP_TIMER_REORDER, /* RFC 8985, 6.2 step 5 */
    TCP_TIMER_PERSIST, /* zero window, or a held-back small segment */
};
enum tcp_timer_slot { TCP_SLOT_RETRANSMIT, TCP_SLOT_ACK, TCP_SLOT_KEEP, TCP_SLOTS };

/* Congestion control: which, and where it is (RFC 9438, RFC 5681, RFC 9406). */
struct tcp_cong {
    uint32_t window, threshold;             /* cwnd, ssthresh: bytes */
    uint32_t acked;                         /* bytes counted towards the next growth */
    uint32_t w_max, w_last, w_reno;         /* CUBIC: bytes */
    uint32_t k_ms;                          /* when w_max is reached again, since the epoch began */
    uint32_t round_end;                     /* HyStart++ */
    uint64_t epoch_ns;                      /* 0: no congestion avoidance yet */
    uint32_t prior_window, prior_threshold; /* before the last reduction: to undo it */
    uint32_t round_min_us, last_min_us, css_base_us;
    uint8_t round_samples, css_rounds;
    bool reno : 1, css : 1;
};

/* Fast Open (tcp_fastopen.c). */
struct tcp_fast {
    uint8_t cookie[TCP_COOKIE_MAX]; /* of the server: the owner's, then as it came; passive: to be
                                       used from now on */
    uint8_t len;                    /* 0: none */
    bool ask;                       /* for one, in the SYN */
    bool fresh;                     /* it came with the SYN,ACK: the owner takes it */
    bool passive;                   /* accepted by its SYN; the third segment is missing */
    uint16_t sent;                  /* bytes of data that the SYN had */
};

struct tcp {
    const struct tcp_stack *stack;
    uint64_t now_ns;            /* time of the call that runs */
    const struct flow_key *key; /* the owner's, set before opening: for the first sequence number */

    uint8_t state;                /* enum tcp_state */
    uint8_t timer_kind;           /* enum tcp_timer_kind: of TCP_SLOT_RETRANSMIT */
    uint8_t recovery;             /* enum tcp_recovery_state */
    uint8_t events;               /* callbacks that are due */
    int32_t error;                /* positive errno that ended it; the owner takes it */
    uint64_t deadline[TCP_SLOTS]; /* UINT64_MAX: off */
    uint64_t armed_ns;            /* what `arm` was told */

    /* Sending. sent: by sequence number; unsent behind it. by_time: those of sent that are neither
     * SACKed nor lost, by when they were sent (RFC 8985, 6.1). */
    struct list sent, unsent, by_time;
    struct tcp_seg *lost_first;       /* none before it is to be retransmitted; NULL: none at all */
    uint32_t iss, una, nxt, written;  /* SND.UNA, SND.NXT; behind what the program has written, FIN
                                         not counted */
    uint32_t window, window_max, wl1; /* SND.WND, the largest ever, SND.WL1 */
    uint32_t sacked, lost, resent;    /* bytes of `sent` in these states */
    uint32_t pushed;                  /* PSH up to here */
    uint32_t small_end;               /* end of the last small segment (Nagle) */
    uint32_t urgent_sent;             /* SND.UP */
    uint32_t send_limit;              /* bytes that may be queued */
    uint32_t mss, mss_path, mss_peer; /* payload without options of now; as the path allows */

    /* Round-trip time, us; srtt << 3, rttvar << 2 (RFC 6298). */
    uint32_t srtt, rttvar, rto_us, rtt_min_us;
    uint32_t rtt_min_s;               /* when rtt_min_us was measured */
    uint8_t backoff, retries, probes; /* probes: keep-alive or persist without an answer */
    uint8_t syn_tries;
    uint32_t resent_total;      /* segments, for TCP_INFO */
    uint64_t stuck_ns;          /* since when nothing is acknowledged; 0: nothing waits */
    uint64_t heard_ns, data_ns; /* last segment from the peer; last data to it */

    /* RACK-TLP (RFC 8985), PRR (RFC 6937). */
    uint64_t rack_ns;               /* RACK.xmit_ts */
    uint32_t rack_end, rack_rtt_us; /* RACK.end_seq */
    uint32_t rack_fack;
    uint32_t tlp_end; /* TLP.end_seq */
    uint32_t high;    /* recovery ends here: snd_nxt when it began */
    uint32_t prr_delivered, prr_out, prr_flight;
    uint32_t
        undo_time; /* first retransmission's timestamp in an episode that may have been spurious */
    uint32_t undo_left; /* bytes resent in it that no DSACK has explained */
    struct tcp_cong cong;
    struct tcp_fast fast;
    uint8_t reorder_window_mult, reorder_persist;

    /* Receiving. */
    struct pkt_queue queue; /* in order, headers taken off */
    struct rb_tree ooo;     /* out of order */
    uint32_t ooo_memory;
    uint32_t irs, rcv_nxt, read;   /* read: what the program has taken */
    uint32_t rcv_window, rcv_edge; /* said last: RCV.WND; edge: RCV.NXT + RCV.WND */
    uint32_t rcv_limit;            /* bytes that may wait for the program */
    uint32_t rcv_mss;              /* what the peer's segments seem to be */
    uint32_t acked_to;             /* last ACK sent says so */
    uint32_t urgent_seq;           /* of the urgent byte that was announced */
    struct tcp_range sack[TCP_SACK_MAX], dsack;
    uint8_t sack_count;
    uint8_t urgent : 4;        /* enum tcp_urgent_state */
    uint8_t ack_doublings : 3; /* of the time that an acknowledgement may wait for an answer */
    uint8_t ack_alone : 1;     /* one has gone without it; no data has come or gone since */
    uint8_t urgent_byte;
    uint8_t quick_acks;            /* so many are not delayed */
    uint32_t tune_seq, tune_space; /* receive buffer: data of the last round trip */
    uint32_t tune_rtt_us;
    uint64_t tune_ns;
    uint64_t challenge_ns; /* last challenge or out-of-window ACK */

    uint32_t time_recent, time_offset; /* TS.Recent; added to our clock */
    uint64_t time_recent_ns;
    uint32_t time_ack; /* Last.ACK.sent (RFC 7323, 4.3) */

    uint8_t wscale_send, wscale_receive;
    bool wscale_ok : 1, sack_ok : 1, time_ok : 1, ecn_ok : 1;
    bool tlp_retransmit : 1, undo_pending : 1, reordering : 1;
    bool starved : 1;               /* received data was dropped for lack of memory */
    bool ecn_echo : 1, ecn_cwr : 1; /* owe ECE; owe CWR */

    /* What the program wants. */
    bool no_delay, cork, more, no_quick, oob_inline;
    bool keep_alive : 1, orphan : 1, fin : 1;
    bool limit_fixed : 1, send_fixed : 1; /* SO_RCVBUF, SO_SNDBUF were set */
    bool deaf : 1; /* shut both ways: when the FIN has gone, data that comes is refused */
    bool ack_owed : 1, output_owed : 1; /* by tcp_input_end: an acknowledgement; what may be sent */
    bool fin_received;
    bool room_wanted;
    bool ack_now, ack_later;
    bool input_more;   /* the owner has further segments at hand: tcp_input_end will come */
    int8_t linger2_s;  /* TCP_LINGER2: 0 the default, -1 none */
    uint16_t mss_user; /* TCP_MAXSEG; 0: none */
    uint16_t keep_idle_s, keep_interval_s;
    uint8_t keep_count, syn_retries;
    uint32_t user_timeout_ms;

    /* For TCP_INFO. */
    uint64_t bytes_acked, bytes_received, bytes_resent;
    uint32_t segments_in, segments_out;
    uint32_t data_in, data_out; /* of these with payload */
};

/* What urgent data does (RFC 9293, 3.8.5; the byte as Linux and BSD see it: the pointer points
 * behind it). */
enum tcp_urgent_state { TCP_URGENT_NONE, TCP_URGENT_AWAITED, TCP_URGENT_VALID, TCP_URGENT_READ };

/* ---- life (tcp.c) ---- */

/* Closed, with the stack's defaults; then the owner sets key. */
void tcp_init(struct tcp *tp, const struct tcp_stack *stack);
/* What is queued is freed, no segment is sent. For the owner that lets go of it. */
void tcp_destroy(struct tcp *tp);
/* The path carries segments of at most `mss` bytes with TCP options, but without header: the MTU
 * less 40 or 60. */
void tcp_set_path(struct tcp *tp, uint32_t mss);
/* Active open (RFC 9293, 3.10.1): sends a SYN. State CLOSED. */
void tcp_connect(struct tcp *tp);
/* The same with data to begin with (consumes; at most TCP_SEND_MAX; NULL: none). If fast.len says
 * that there is a cookie the SYN has it and what of the data fits; with fast.ask it asks for one
 * (RFC 7413). */
void tcp_connect_with(struct tcp *tp, struct pkt *pkt);
/* No more data will be sent: FIN behind what is queued. */
void tcp_shutdown(struct tcp *tp);
/* The program has gone. What it has not read is answered by a reset (RFC 2525, 2.17); else it goes
 * on closing by itself until `changed` says CLOSED or TIME_WAIT. */
void tcp_close(struct tcp *tp);
/* Reset, forget everything: TCP_CLOSED. error: what the program is told (positive errno; 0). */
void tcp_abort(struct tcp *tp, int error);

/* ---- data ---- */

static inline bool tcp_synchronized(const struct tcp *tp)
{
    return tp->state != TCP_SYN_SENT && tp->state != TCP_SYN_RCVD && tp->state != TCP_CLOSED;
}
/* May the program send? */
static inline bool tcp_can_send(const struct tcp *tp)
{
    return (tp->state == TCP_ESTABLISHED || tp->state == TCP_CLOSE_WAIT) && !tp->fin;
}
/* Bytes that may be queued now. 0: `writable` will tell. */
uint32_t tcp_send_room(struct tcp *tp);
/* Queue payload; consumes. It is not sent before tcp_push. At most TCP_SEND_MAX bytes each. Bytes
 * that fit behind the last queued one may be copied there. */
#define TCP_SEND_MAX 32768u
#define TCP_COLLECT 2048u /* small writes are copied together into pieces of this size */
void tcp_send(struct tcp *tp, struct pkt *pkt);
/* Room for `len` bytes behind the last one queued, in memory that no packet on its way has: the
 * caller copies there, under the same lock, then calls tcp_send_tail. NULL: there is none. */
void *tcp_tail(struct tcp *tp, uint32_t len);
void tcp_send_tail(struct tcp *tp, uint32_t len);
/* more: MSG_MORE. urgent: the last byte is (MSG_OOB). */
void tcp_push(struct tcp *tp, bool more, bool urgent);
/* After an option that holds data back was changed (no_delay, cork). */
void tcp_uncork(struct tcp *tp);

/* In order and not yet read; an urgent byte that is not inline counts, too. */
static inline uint32_t tcp_readable(const struct tcp *tp)
{
    return tp->rcv_nxt - tp->read - (tp->fin_received ? 1 : 0);
}
/* Read where: the first queued piece of the stream, payload only; NULL: none. */
static inline struct pkt *tcp_first(const struct tcp *tp)
{
    return tp->queue.first;
}
/* The program has taken `len` bytes (no more than are readable): they are freed, the window may
 * open, which the peer is told if it is worth it (RFC 9293, 3.8.6.2.2). */
void tcp_consume(struct tcp *tp, uint32_t len);
/* How far the urgent byte is from what is read next; -1: none. */
int64_t tcp_urgent_distance(const struct tcp *tp);
/* Take or peek the urgent byte: 0; -EINVAL: there is none; -EAGAIN: it has not come yet. */
int must_check tcp_read_urgent(struct tcp *tp, uint8_t *out, bool peek);

void tcp_set_keep_alive(struct tcp *tp, bool on);
void tcp_keep_changed(struct tcp *tp); /* its times were changed */
void tcp_quick_ack(struct tcp *tp, bool on);

/* ---- events ---- */

/* A segment for this connection: the packet begins with the TCP header; consumes. Its checksum is
 * good. */
void tcp_input(struct tcp *tp, struct pkt *pkt, const struct tcp_segment *segment);
/* Behind a burst, whose segments but the last were given with `input_more`: if something is owed.
 */
void tcp_input_end(struct tcp *tp);
void tcp_timer(struct tcp *tp);
/* Is there anything on its way that begins with `seq`? Else what ICMP says of it is a lie, or old.
 */
bool tcp_in_flight(const struct tcp *tp, uint32_t seq);
/* ICMP about a segment that began with `seq` (RFC 5927: ignored unless it is in flight). error:
 * positive errno; hard: RFC 1122, 4.2.3.9. */
void tcp_icmp(struct tcp *tp, uint32_t seq, int error, bool hard);
/* Packet too big (RFC 1191, 8201): as tcp_set_path, if seq is in flight. False: it is a lie. */
bool tcp_icmp_too_big(struct tcp *tp, uint32_t seq, uint32_t mss);

/* The answer to a segment that no connection wants (RFC 9293, 3.10.7.1): a packet, or NULL (it is a
 * reset itself, or memory lacks). */
struct pkt *tcp_refuse(const struct tcp_segment *segment);

/* ---- listeners (tcp_listen.c) ---- */

#define TCP_EMBRYO_TRIES 8u
/* TCP_FASTOPEN_KEY: what cookies are made with, and the one before it. */
#define TCP_FAST_KEYS 2u
struct tcp_fast_keys {
    struct siphash_key key[TCP_FAST_KEYS];
    unsigned count;
};

/* TCP_SAVED_SYN: the headers of IP and TCP. kmalloc. */
#define TCP_SYN_MAX 232u
struct tcp_syn {
    uint32_t len;
    uint8_t bytes[];
};

struct tcp_listener {
    const struct tcp_stack *stack;
    struct list *buckets;              /* embryos by peer */
    struct list due[TCP_EMBRYO_TRIES]; /* embryos by tries; in each by deadline */
    struct list waiting;               /* embryos without room for their connection */
    unsigned bucket_mask, count, limit;
    uint32_t defer_s;               /* TCP_DEFER_ACCEPT */
    uint64_t armed_ns, overflow_ns; /* last time that cookies were sent */
    uint16_t mss_user;
    uint32_t rcv_limit;  /* receive buffer of its connections */
    uint8_t wscale;      /* that we offer */
    bool full;           /* the owner's: so many wait to be accepted that `child` gives none */
    uint32_t fast_limit; /* TCP_FASTOPEN: so many may be pending; 0: off */
    const struct tcp_fast_keys *fast_keys; /* NULL: made with the stack's secret and the hour */
    uint8_t save_syn;                      /* TCP_SAVE_SYN; 2: with the link's header */
    struct tcp_syn *saved; /* of the connection that `accepted` is told of, which may take it */
};
int must_check tcp_listener_init(struct tcp_listener *listener, const struct tcp_stack *stack,
                                 unsigned backlog);
void tcp_listener_resize(struct tcp_listener *listener, unsigned backlog);
/* SO_RCVBUF of the connections that will be made. */
void tcp_listener_set_buffer(struct tcp_listener *listener, uint32_t rcv_limit);
/* All embryos are forgotten; their peers are reset by what they send next. */
void tcp_listener_destroy(struct tcp_listener *listener);
/* Consumes. mss: as tcp_set_path. */
void tcp_listener_input(struct tcp_listener *listener, const struct flow_key *key, uint32_t mss,
                        struct pkt *pkt, const struct tcp_segment *segment);
void tcp_listener_timer(struct tcp_listener *listener);
/* `child` may succeed again: somebody has accepted, or memory has come. */
void tcp_listener_room(struct tcp_listener *listener);

/* ---- TIME-WAIT (tcp_tw.c) ---- */

#define TCP_TIME_WAIT_NS (60 * NS_PER_SEC)
struct tcp_tw {
    uint64_t deadline_ns, time_recent_ns, answer_ns;
    uint32_t nxt, rcv_nxt, rcv_window, time_recent, time_offset;
    uint8_t wscale;
    bool time_ok;
};
enum tcp_tw_verdict {
    TCP_TW_DROP,
    TCP_TW_ANSWER, /* *answer is to be sent */
    TCP_TW_DONE,   /* reset: forget it */
    TCP_TW_REOPEN, /* a SYN that may begin anew (RFC 6191): forget it, give the segment to the
                      listener */
};
void tcp_tw_init(struct tcp_tw *tw, struct tcp *tp);
enum tcp_tw_verdict tcp_tw_input(struct tcp_tw *tw, const struct tcp_stack *stack,
                                 struct tcp_segment *segment, struct pkt **answer);
/* May a connect of ours use the same addresses and ports at this time (RFC 6191, 2)? tp->iss of it
 * is to be set to tw->nxt + 65537. */
bool tcp_tw_reusable(const struct tcp_tw *tw, uint64_t now_ns);

/* ---- TCP_INFO (tcp_info.c) ---- */

/* struct tcp_info of Linux 6.2's uapi, as far as it is filled in. */
struct tcp_info {
    uint8_t state, ca_state, retransmits, probes, backoff, options;
    uint8_t wscale;  /* send in the low half, receive in the high */
    uint8_t limited; /* delivery rate is the application's */
    uint32_t rto, ato, snd_mss, rcv_mss;
    uint32_t unacked, sacked, lost, retrans, fackets;
    uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
    uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
    uint32_t rcv_rtt, rcv_space, total_retrans;
    uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
    uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
    uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
    uint32_t delivered, delivered_ce;
    uint64_t bytes_sent, bytes_retrans;
    uint32_t dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd, rehash;
};
STATIC_ASSERT(offsetof(struct tcp_info, rto) == 8 &&
              offsetof(struct tcp_info, pacing_rate) == 104 && sizeof(struct tcp_info) == 240);
void tcp_get_info(struct tcp *tp, struct tcp_info *out);
/* TCP_CONGESTION. -ENOENT. */
const char *tcp_congestion_name(const struct tcp *tp);
int must_check tcp_set_congestion(struct tcp *tp, const char *name);

#endif
