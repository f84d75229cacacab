/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_listen.c - passive open: embryos, SYN cookies.
 *
 * A SYN makes an embryo (RFC 4987, 3.4: a SYN cache), a small object of the listener's, found by
 * the peer's name; the acknowledgement of our SYN,ACK makes a connection of it. There are at most
 * `limit`; beyond, cookies (tcp_cookie.c), or the SYN is dropped: without cookies, and when too
 * many wait to be accepted. An embryo whose connection cannot be made (too many wait to be
 * accepted) stays and holds the segment, the first one with data rather than a bare
 * acknowledgement: it gets its connection when one has been accepted, in the order of coming, or by
 * the peer's next segment. So a burst of peers at a short queue waits for the program, not for the
 * timers of the peers, who believe to be connected.
 *
 * A SYN,ACK is repeated after 1, 2, 4, ... seconds; embryos with the same number of tries stand in
 * one list, which is so in the order of their deadlines.
 */
#include "lib/bytes.h"
#include "mm/kmalloc.h"
#include "net/classify.h"
#include "net/ip.h"
#include "net/tcp_impl.h"

#define SYN_LIMIT_MIN 256u
#define SYN_LIMIT_MAX 4096u
#define LINK_HEADER 14u /* Ethernet's */
#define HELD_MAX 16384u /* memory that an embryo may hold: a request is shorter */

struct tcp_embryo {
    struct list chain, due;
    struct list wait; /* in listener->waiting, while there is `held` */
    struct pkt *held;
    struct tcp_segment segment; /* of `held` */
    struct tcp_syn *saved;      /* TCP_SAVE_SYN; or NULL */
    struct flow_key key;
    uint64_t deadline_ns, began_ns, sent_ns;
    uint32_t irs, iss, time_recent, time_offset, mss_path;
    uint16_t mss_peer, window;
    uint8_t wscale, tries;
    bool wscale_ok, sack_ok, time_ok, ecn_ok;
    bool fast_cookie; /* the SYN,ACK brings one (RFC 7413) */
    bool acked;       /* only its data is missing (TCP_DEFER_ACCEPT) */
};

/* ---- the table ---- */

static struct list *bucket_of(const struct tcp_listener *listener, const struct flow_key *key)
{
    uint64_t hash = listener->stack->mac(key, sizeof *key);
    return &listener->buckets[(hash >> 32) & listener->bucket_mask];
}

static struct tcp_embryo *find(const struct tcp_listener *listener, const struct flow_key *key)
{
    struct list *bucket = bucket_of(listener, key);
    list_for_each (node, bucket) {
        struct tcp_embryo *e = list_entry(node, struct tcp_embryo, chain);
        if (memcmp(&e->key, key, sizeof *key) == 0)
            return e;
    }
    return NULL;
}

int tcp_listener_init(struct tcp_listener *listener, const struct tcp_stack *stack,
                      unsigned backlog)
{
    unsigned buckets = 16;
    while (buckets < SYN_LIMIT_MAX / 4 && buckets < backlog)
        buckets *= 2;
    *listener = (struct tcp_listener){.stack = stack, .bucket_mask = buckets - 1};
    listener->buckets = kmalloc_array(buckets, sizeof listener->buckets[0], ALLOC_DEFAULT);
    if (!listener->buckets)
        return -ENOMEM;
    for (unsigned i = 0; i < buckets; i++)
        list_init(&listener->buckets[i]);
    for (unsigned i = 0; i < TCP_EMBRYO_TRIES; i++)
        list_init(&listener->due[i]);
    list_init(&listener->waiting);
    listener->armed_ns = TCP_NEVER;
    tcp_listener_set_buffer(listener, stack->read_default);
    tcp_listener_resize(listener, backlog);
    return 0;
}

void tcp_listener_resize(struct tcp_listener *listener, unsigned backlog)
{
    listener->limit = MIN(MAX(backlog, SYN_LIMIT_MIN), SYN_LIMIT_MAX);
}

void tcp_listener_set_buffer(struct tcp_listener *listener, uint32_t rcv_limit)
{
    listener->rcv_limit = rcv_limit;
    listener->wscale = tcp_choose_wscale(listener->stack, rcv_limit);
}

static void forget(struct tcp_listener *listener, struct tcp_embryo *e)
{
    list_remove(&e->chain);
    list_remove(&e->due);
    list_remove(&e->wait);
    if (e->held)
        pkt_free(e->held);
    listener->count--;
    kfree(e->saved);
    kfree(e);
}

void tcp_listener_destroy(struct tcp_listener *listener)
{
    for (unsigned i = 0; i < TCP_EMBRYO_TRIES; i++)
        while (!list_empty(&listener->due[i]))
            forget(listener, list_entry(listener->due[i].next, struct tcp_embryo, due));
    kfree(listener->buckets);
    listener->buckets = NULL;
}

/* ---- deadlines ---- */

static void arm(struct tcp_listener *listener)
{
    uint64_t first = TCP_NEVER;
    for (unsigned i = 0; i < TCP_EMBRYO_TRIES; i++)
        if (!list_empty(&listener->due[i]))
            first =
                MIN(first, list_entry(listener->due[i].next, struct tcp_embryo, due)->deadline_ns);
    if (first < listener->armed_ns || (first == TCP_NEVER && listener->armed_ns != TCP_NEVER)) {
        listener->armed_ns = first;
        listener->stack->arm_listener(listener, first);
    }
}

static void set_due(struct tcp_listener *listener, struct tcp_embryo *e, uint64_t now)
{
    list_remove(&e->due);
    e->deadline_ns = now + (us_to_ns(TCP_RTO_INITIAL_US) << e->tries);
    list_push_back(&listener->due[e->tries], &e->due);
}

/* ---- answers ---- */

static struct tcp_header syn_ack(const struct tcp_listener *listener, const struct tcp_embryo *e,
                                 uint64_t now)
{
    struct tcp_header header = {
        .seq = e->iss, .ack = e->irs + 1, .flags = TCP_SYN | TCP_ACK, .window = e->window};
    uint32_t mss = listener->mss_user ? MIN(listener->mss_user, e->mss_path) : e->mss_path;
    if (e->ecn_ok)
        header.flags |= TCP_ECE; /* RFC 3168, 6.1.1 */
    header.opt.has_mss = true;
    header.opt.mss = (uint16_t)MIN(mss, 65535u);
    header.opt.has_sack_ok = e->sack_ok;
    header.opt.has_wscale = e->wscale_ok;
    header.opt.wscale = listener->wscale;
    header.opt.has_time = e->time_ok;
    header.opt.time = tcp_ms(now) + e->time_offset;
    header.opt.echo = e->time_recent;
    if (e->fast_cookie)
        tcp_fast_cookie(listener, &e->key, now, &header.opt);
    return header;
}

static void reply(struct tcp_listener *listener, const struct flow_key *key,
                  const struct tcp_header *header)
{
    struct pkt *pkt = tcp_make(header);
    listener->stack->count(TCP_N_OutSegs);
    if (pkt)
        listener->stack->reply(listener, key, pkt, false);
}

static void send_syn_ack(struct tcp_listener *listener, struct tcp_embryo *e, uint64_t now)
{
    struct tcp_header header = syn_ack(listener, e, now);
    e->sent_ns = now;
    reply(listener, &e->key, &header);
}

static void reset(struct tcp_listener *listener, const struct flow_key *key,
                  const struct tcp_segment *segment)
{
    struct pkt *pkt = tcp_refuse(segment);
    if (!pkt)
        return;
    listener->stack->count(TCP_N_OutRsts);
    listener->stack->reply(listener, key, pkt, false);
}

/* ---- a SYN ---- */

static void fill(const struct tcp_listener *listener, struct tcp_embryo *e,
                 const struct flow_key *key, uint32_t mss, const struct tcp_segment *syn,
                 uint64_t now)
{
    const struct tcp_options *opt = &syn->opt;
    *e = (struct tcp_embryo){
        .key = *key,
        .began_ns = now,
        .irs = syn->seq,
        .iss = syn->iss_given ? syn->iss : tcp_initial_seq(listener->stack, key, now),
        .time_recent = opt->time,
        .time_offset = tcp_initial_time(listener->stack, key),
        .mss_path = mss,
        .mss_peer = opt->has_mss ? MAX(opt->mss, (uint16_t)TCP_MSS_MIN) : (uint16_t)TCP_MSS_DEFAULT,
        .window = (uint16_t)MIN(listener->rcv_limit, 65535u),
        .wscale = opt->wscale,
        .wscale_ok = opt->has_wscale,
        .sack_ok = opt->has_sack_ok,
        .time_ok = opt->has_time,
        /* A SYN with both says that the peer can (RFC 3168, 6.1.1); we can if asked. */
        .fast_cookie = listener->fast_limit && opt->has_cookie,
        .ecn_ok = (syn->flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR) && !syn->ce,
    };
    list_init(&e->chain);
    list_init(&e->due);
    list_init(&e->wait);
}

/* Without memory for each: RFC 4987, 3.6. */
static void send_cookie(struct tcp_listener *listener, struct tcp_embryo *e,
                        const struct tcp_segment *syn, uint64_t now)
{
    e->iss = tcp_cookie_make(listener->stack, &e->key, syn, now);
    if (!e->time_ok)
        e->wscale_ok = e->sack_ok = e->ecn_ok = false; /* there is no place to note them */
    struct tcp_header header = syn_ack(listener, e, now);
    if (e->time_ok)
        header.opt.time =
            tcp_cookie_time(header.opt.time, e->wscale_ok, e->wscale, e->sack_ok, e->ecn_ok);
    listener->overflow_ns = now;
    listener->stack->count(TCP_N_TCPReqQFullDoCookies);
    listener->stack->count(TCP_N_SyncookiesSent);
    reply(listener, &e->key, &header);
}

static void overflowed(struct tcp_listener *listener)
{
    listener->stack->count(TCP_N_ListenOverflows);
    listener->stack->count(TCP_N_ListenDrops);
}

static bool from_ourselves(const struct flow_key *key)
{
    return net_addr_equal(&key->local, &key->remote) && key->local_port == key->remote_port;
}

/* The headers of IP and TCP, which lie in the first piece, and of Ethernet, which lo has none of:
 * zeroes and the type, as packet sockets get it. NULL: not wanted, or without memory. */
static struct tcp_syn *save(const struct tcp_listener *listener, const struct pkt *pkt,
                            const struct tcp_segment *syn)
{
    const uint8_t *from = pkt->room + pkt->network;
    size_t len = (size_t)(pkt->data - from) + syn->header;
    size_t link = listener->save_syn == 2 ? LINK_HEADER : 0;
    if (!listener->save_syn || link + len > TCP_SYN_MAX)
        return NULL;
    struct tcp_syn *saved = kmalloc(sizeof *saved + link + len, ALLOC_DEFAULT);
    if (!saved)
        return NULL;
    saved->len = (uint32_t)(link + len);
    memset(saved->bytes, 0, link);
    if (link && pkt->network - pkt->link == LINK_HEADER)
        memcpy(saved->bytes, pkt->room + pkt->link, link);
    else if (link)
        put_be16(saved->bytes + link - 2, from[0] >> 4 == 4 ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
    memcpy(saved->bytes + link, from, len);
    return saved;
}

static void take_syn(struct tcp_listener *listener, const struct flow_key *key, uint32_t mss,
                     const struct pkt *pkt, const struct tcp_segment *syn, uint64_t now)
{
    struct tcp_embryo local, *e = NULL;
    if (from_ourselves(key))
        return; /* a forgery */
    if (listener->count < listener->limit)
        e = kmalloc(sizeof *e, ALLOC_DEFAULT);
    if (e) {
        fill(listener, e, key, mss, syn, now);
        e->saved = save(listener, pkt, syn);
        list_push_back(bucket_of(listener, key), &e->chain);
        listener->count++;
        set_due(listener, e, now);
        send_syn_ack(listener, e, now);
        return;
    }
    if (listener->full) { /* a cookie would promise what cannot be kept: nothing holds its data */
        overflowed(listener);
        return;
    }
    if (!listener->stack->syncookies) {
        listener->stack->count(TCP_N_TCPReqQFullDrop);
        listener->stack->count(TCP_N_ListenDrops);
        return;
    }
    fill(listener, &local, key, mss, syn, now);
    send_cookie(listener, &local, syn, now);
}

/* ---- the third segment ---- */

/* The connection of an embryo: as it was when the SYN,ACK had been sent. NULL: there is none. */
static struct tcp *make(struct tcp_listener *listener, const struct tcp_embryo *e)
{
    struct tcp *tp = listener->stack->child(listener, &e->key);
    if (!tp)
        return NULL;
    tcp_enter(tp);
    tp->rcv_limit = listener->rcv_limit;
    tp->iss = e->iss;
    tp->una = e->iss;
    tp->nxt = tp->written = e->iss + 1;
    tp->pushed = tp->small_end = tp->urgent_sent = tp->high = tp->una;
    tp->irs = e->irs;
    tp->rcv_nxt = tp->read = tp->acked_to = tp->time_ack = e->irs + 1;
    tp->rcv_window = e->window;
    tp->rcv_edge = tp->rcv_nxt + e->window;
    tp->time_offset = e->time_offset;
    tp->time_recent = e->time_recent;
    tp->time_recent_ns = tp->now_ns;
    tp->time_ok = e->time_ok;
    tp->sack_ok = e->sack_ok;
    tp->ecn_ok = e->ecn_ok;
    tp->wscale_ok = e->wscale_ok;
    tp->wscale_send = e->wscale_ok ? e->wscale : 0;
    tp->wscale_receive = e->wscale_ok ? listener->wscale : 0;
    tp->mss_peer = e->mss_peer;
    tcp_set_path(tp, e->mss_path);
    listener->stack->count(TCP_N_PassiveOpens);
    return tp;
}

static void tell(struct tcp_listener *listener, struct tcp *tp, struct tcp_syn *saved)
{
    listener->saved = saved;
    listener->stack->accepted(listener, tp);
    kfree(listener->saved); /* who wants it has taken it */
    listener->saved = NULL;
}

/* It consumes the packet, but if there is no connection (false). */
static bool hatch(struct tcp_listener *listener, struct tcp_embryo *e, struct pkt *pkt,
                  const struct tcp_segment *segment)
{
    struct tcp *tp = make(listener, e);
    if (!tp)
        return false;
    tp->syn_tries = (uint8_t)(e->tries + 1);
    tp->stuck_ns = e->sent_ns;
    tp->state = TCP_SYN_RCVD;
    tcp_input(tp, pkt, segment);
    tell(listener, tp, e->saved);
    e->saved = NULL;
    return true;
}

/* RFC 7413, 4.2.2. False: an ordinary handshake; else the packet is consumed. */
static bool hatch_at_once(struct tcp_listener *listener, const struct flow_key *key, uint32_t mss,
                          struct pkt *pkt, const struct tcp_segment *syn, uint64_t now)
{
    const struct tcp_stack *stack = listener->stack;
    struct tcp_embryo e;
    if (!listener->fast_limit || !syn->opt.has_cookie || syn->flags & TCP_FIN ||
        from_ourselves(key) || !tcp_fast_cookie_ok(listener, key, now, &syn->opt))
        return false;
    /* Who waits already comes first; 5.1: what replayed SYNs can cost. */
    if (!list_empty(&listener->waiting) || tcp_memory(stack) >= TCP_MEMORY_OUT ||
        __atomic_load_n(stack->fast_pending, __ATOMIC_RELAXED) >= listener->fast_limit)
        return false;
    fill(listener, &e, key, mss, syn, now);
    struct tcp *tp = make(listener, &e);
    if (!tp)
        return false;
    e.saved = save(listener, pkt, syn);
    struct tcp_options fresh;
    tcp_fast_cookie(listener, key, now, &fresh);
    if (memcmp(fresh.cookie, syn->opt.cookie, fresh.cookie_len) != 0) { /* it was the older one */
        memcpy(tp->fast.cookie, fresh.cookie, fresh.cookie_len);
        tp->fast.len = fresh.cookie_len;
    }
    tcp_fast_passive(tp, pkt, syn);
    tell(listener, tp, e.saved);
    return true;
}

/* Until there is room; consumes. Of a link-local peer nothing is held: the packet's device would be
 * forgotten. What comes behind the one segment the peer sends again, asked by its acknowledgement.
 */
static void hold(struct tcp_listener *listener, struct tcp_embryo *e, struct pkt *pkt,
                 const struct tcp_segment *segment)
{
    bool better = !e->held || (e->segment.len == 0 && segment->len && segment->seq == e->irs + 1);
    overflowed(listener);
    if (!better || pkt->truesize > HELD_MAX || net_addr_is_link_local(&e->key.remote)) {
        pkt_free(pkt);
        return;
    }
    if (e->held)
        pkt_free(e->held);
    else
        list_push_back(&listener->waiting, &e->wait);
    e->held = pkt;
    e->segment = *segment;
}

/* Does the segment belong to this embryo? The checks of RFC 9293, 3.10.7.4 for SYN-RECEIVED. */
static bool fits(struct tcp_listener *listener, struct tcp_embryo *e,
                 const struct tcp_segment *segment, uint64_t now)
{
    uint32_t next = e->irs + 1;
    if (segment->flags & TCP_RST) {
        if (segment->seq == next) { /* RFC 5961, 3.2 */
            listener->stack->count(TCP_N_EmbryonicRsts);
            forget(listener, e);
        }
        return false;
    }
    if (segment->flags & TCP_SYN) {
        /* Ours was lost; or it is another SYN, and then ours is the challenge (RFC 5961, 4.2). */
        if (now - e->sent_ns >= TCP_CHALLENGE_NS)
            send_syn_ack(listener, e, now);
        return false;
    }
    if (e->time_ok && segment->opt.has_time && seq_before(segment->opt.time, e->time_recent)) {
        listener->stack->count(TCP_N_PAWSEstab);
        return false;
    }
    if (seq_before(segment->seq, next) || seq_after(segment->seq, next + e->window))
        return false;
    if (!(segment->flags & TCP_ACK))
        return false;
    if (segment->ack != e->iss + 1) {
        reset(listener, &e->key, segment);
        return false;
    }
    return true;
}

static void take_ack(struct tcp_listener *listener, struct tcp_embryo *e, struct pkt *pkt,
                     const struct tcp_segment *segment, uint64_t now)
{
    /* TCP_DEFER_ACCEPT: not before there is data, or that time has passed. */
    if (listener->defer_s && segment->seq == segment->end &&
        now - e->began_ns < listener->defer_s * NS_PER_SEC) {
        e->acked = true;
        listener->stack->count(TCP_N_TCPDeferAcceptDrop);
        pkt_free(pkt);
        return;
    }
    if (hatch(listener, e, pkt, segment))
        forget(listener, e);
    else
        hold(listener, e, pkt, segment);
}

void tcp_listener_room(struct tcp_listener *listener)
{
    while (!list_empty(&listener->waiting)) {
        struct tcp_embryo *e = list_entry(listener->waiting.next, struct tcp_embryo, wait);
        if (!hatch(listener, e, e->held, &e->segment))
            break;
        e->held = NULL;
        forget(listener, e);
    }
    arm(listener);
}

/* An acknowledgement of nothing that we remember: of a cookie? */
static void take_cookie(struct tcp_listener *listener, const struct flow_key *key, uint32_t mss,
                        struct pkt *pkt, struct tcp_segment *segment, uint64_t now)
{
    struct tcp_segment syn = {.seq = segment->seq - 1, .iss = segment->ack - 1, .iss_given = true};
    struct tcp_embryo e;
    uint16_t mss_peer;
    bool recent = listener->overflow_ns && now - listener->overflow_ns < 180 * NS_PER_SEC;
    if (!recent || !tcp_cookie_check(listener->stack, key, syn.seq, syn.iss, now, &mss_peer)) {
        if (recent)
            listener->stack->count(TCP_N_SyncookiesFailed);
        reset(listener, key, segment);
        pkt_free(pkt);
        return;
    }
    listener->stack->count(TCP_N_SyncookiesRecv);
    fill(listener, &e, key, mss, &syn, now);
    e.mss_peer = mss_peer;
    if (segment->opt.has_time) {
        uint32_t bits = segment->opt.echo;
        e.time_ok = true;
        e.time_recent = segment->opt.time;
        e.wscale_ok = (bits & 15) != 15;
        e.wscale = (uint8_t)MIN(bits & 15, TCP_WSCALE_MAX);
        e.sack_ok = (bits & 0x10) != 0;
        e.ecn_ok = (bits & 0x20) != 0;
    }
    e.sent_ns = now;
    e.tries = 1; /* when it was sent is not known: no sample of the round trip */
    if (!hatch(listener, &e, pkt, segment)) {
        overflowed(listener);
        pkt_free(pkt);
    }
}

void tcp_listener_input(struct tcp_listener *listener, const struct flow_key *key, uint32_t mss,
                        struct pkt *pkt, const struct tcp_segment *segment)
{
    struct tcp_segment seg = *segment;
    uint64_t now = listener->stack->clock();
    struct tcp_embryo *e = find(listener, key);
    listener->stack->count(TCP_N_InSegs);
    if (e) {
        if (fits(listener, e, &seg, now))
            take_ack(listener, e, pkt, &seg, now);
        else
            pkt_free(pkt);
    } else if ((seg.flags & (TCP_RST | TCP_ACK)) == TCP_ACK) { /* 3.10.7.2, second */
        if (seg.flags & TCP_SYN) {
            reset(listener, key, &seg);
            pkt_free(pkt);
        } else {
            take_cookie(listener, key, mss, pkt, &seg, now);
        }
    } else {
        bool syn = (seg.flags & (TCP_SYN | TCP_RST | TCP_FIN)) == TCP_SYN;
        if (!syn || !hatch_at_once(listener, key, mss, pkt, &seg, now)) {
            if (syn)
                take_syn(listener, key, mss, pkt, &seg, now);
            pkt_free(pkt);
        }
    }
    arm(listener);
}

static void try_again(struct tcp_listener *listener, struct tcp_embryo *e, uint64_t now)
{
    bool deferred = e->acked && now - e->began_ns < listener->defer_s * NS_PER_SEC;
    /* Who has answered is waited for as long as TCP_DEFER_ACCEPT says, then asked once more. */
    if (e->tries >= MIN(listener->stack->synack_retries, TCP_EMBRYO_TRIES - 1) && !e->acked) {
        listener->stack->count(TCP_N_AttemptFails);
        forget(listener, e);
        return;
    }
    if (e->tries < TCP_EMBRYO_TRIES - 1)
        e->tries++;
    if (!deferred) {
        e->acked = false;
        listener->stack->count(TCP_N_TCPSynRetrans);
        send_syn_ack(listener, e, now);
    }
    set_due(listener, e, now);
}

void tcp_listener_timer(struct tcp_listener *listener)
{
    uint64_t now = listener->stack->clock();
    listener->armed_ns = TCP_NEVER;
    for (unsigned i = TCP_EMBRYO_TRIES; i-- > 0;) /* from above: who moves up is not met again */
        while (!list_empty(&listener->due[i])) {
            struct tcp_embryo *e = list_entry(listener->due[i].next, struct tcp_embryo, due);
            if (e->deadline_ns > now)
                break;
            try_again(listener, e, now);
        }
    arm(listener);
}
