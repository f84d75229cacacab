/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_fastopen.c - Fast Open (RFC 7413): data in the SYN of a client that has been here before.
 *
 * Listener. A cookie is a keyed hash of both addresses and the hour; that of this hour and the one
 * before is good. With the program's own keys the hour is not in it, and those of both are good. A
 * SYN with a good one makes a connection at once, which reads and sends while its SYN,ACK is on the
 * way: its state is ESTABLISHED, and `fast.passive` says that the handshake's third segment is
 * still missing. Until it comes, the retransmission timer repeats the SYN,ACK, a SYN that comes
 * again is answered by it, and the connection counts among stack->fast_pending, which bounds what
 * replayed SYNs can cost (RFC 7413, 5.1).
 *
 * Client. What the program wants to send is queued as unsent, as ever; the first SYN has a copy of
 * its beginning. What the SYN,ACK acknowledges of it is then taken off the queue, and all else goes
 * its ordinary way. So a server that ignores the data, or a SYN that is repeated without, need no
 * attention.
 */
#include "net/tcp_impl.h"

#define COOKIE_LEN 8u
#define COOKIE_LEAST 4u /* of a server's: RFC 7413, 2 */
#define PERIOD_NS (3600 * NS_PER_SEC)

/* ---- cookies ---- */

/* What is good now (age 0), and was before (1). False: nothing was. With the program's keys
 * (tcp(7), TCP_FASTOPEN_KEY) nothing else is in it, so that whoever has them may serve. */
static bool make_cookie(const struct tcp_listener *listener, const struct flow_key *key,
                        uint64_t now_ns, unsigned age, uint8_t *out)
{
    const struct tcp_fast_keys *keys = listener->fast_keys;
    uint64_t mac, words[4], period = now_ns / PERIOD_NS;
    if (age >= (keys ? keys->count : period + 1))
        return false;
    if (keys) {
        size_t len = net_addr_is_v4(&key->remote) ? 4 : 16;
        memcpy(words, key->remote.bytes + 16 - len, len);
        memcpy((uint8_t *)words + len, key->local.bytes + 16 - len, len);
        mac = siphash(&keys->key[age], words, (unsigned)(len / 4));
    } else {
        struct {
            struct net_addr local, remote;
            uint64_t what; /* no other use of the hash has such a value here */
        } name = {key->local, key->remote, 0xfa57ull << 48 | (period - age)};
        mac = listener->stack->mac(&name, sizeof name);
    }
    memcpy(out, &mac, COOKIE_LEN);
    return true;
}

void tcp_fast_cookie(const struct tcp_listener *listener, const struct flow_key *key,
                     uint64_t now_ns, struct tcp_options *opt)
{
    opt->has_cookie = make_cookie(listener, key, now_ns, 0, opt->cookie);
    opt->cookie_len = COOKIE_LEN;
}

bool tcp_fast_cookie_ok(const struct tcp_listener *listener, const struct flow_key *key,
                        uint64_t now_ns, const struct tcp_options *opt)
{
    uint8_t good[COOKIE_LEN];
    for (unsigned age = 0; age < 2 && make_cookie(listener, key, now_ns, age, good); age++)
        if (opt->cookie_len == COOKIE_LEN && memcmp(good, opt->cookie, COOKIE_LEN) == 0)
            return true;
    return false;
}

/* ---- listener ---- */

void tcp_fast_answer(struct tcp *tp)
{
    tcp_send_syn(tp);
    tp->acked_to = tp->time_ack = tp->rcv_nxt;
    tp->ack_now = tp->ack_later = false;
    tcp_set_deadline(tp, TCP_SLOT_ACK, TCP_NEVER);
}

void tcp_fast_passive(struct tcp *tp, struct pkt *pkt, const struct tcp_segment *syn)
{
    struct tcp_segment data = *syn;
    data.seq++;
    data.flags = TCP_ACK;
    data.end = data.seq + data.len;
    tp->una = tp->nxt;
    tp->wl1 = syn->seq;
    tp->window = tp->window_max = syn->window; /* not scaled */
    tp->heard_ns = tp->now_ns;
    tcp_established(tp);
    tp->fast.passive = true;
    /* Relaxed: it bounds, it publishes nothing. */
    __atomic_fetch_add(tp->stack->fast_pending, 1, __ATOMIC_RELAXED);
    tcp_count(tp, TCP_N_TCPFastOpenPassive);
    pkt_skip(pkt, syn->header);
    tcp_data(tp, pkt, &data);
    tcp_fast_answer(tp);
    tcp_arm_retransmit(tp, TCP_TIMER_RTO, tp->now_ns + us_to_ns(tp->rto_us));
    tcp_leave(tp);
}

void tcp_fast_forget(struct tcp *tp)
{
    if (tp->fast.passive)
        __atomic_fetch_sub(tp->stack->fast_pending, 1, __ATOMIC_RELAXED);
    tp->fast.passive = false;
}

void tcp_fast_done(struct tcp *tp)
{
    tcp_fast_forget(tp);
    tp->retries = tp->backoff = 0;
    if (tcp_outstanding(tp))
        tcp_rearm_retransmit(tp);
    else
        tcp_arm_retransmit(tp, TCP_TIMER_NONE, 0);
}

/* ---- client ---- */

struct pkt *tcp_fast_syn(struct tcp *tp, struct tcp_header *header)
{
    struct pkt *pkt = NULL;
    header->opt.has_cookie = true;
    header->opt.cookie_len = tp->fast.len;
    memcpy(header->opt.cookie, tp->fast.cookie, tp->fast.len);
    if (tp->fast.len && !list_empty(&tp->unsent)) {
        struct pkt *first = seg_pkt(seg_of_link(tp->unsent.next));
        uint32_t most = header->opt.mss - MIN(header->opt.mss, 40u); /* options: 40 at most */
        uint32_t len = MIN(first->total, most);
        pkt = len ? pkt_clone(first, 0, len, PKT_HEADROOM, ALLOC_ATOMIC) : NULL;
        if (pkt) {
            tcp_write_header(pkt, header);
            tp->fast.sent = (uint16_t)len;
        }
    }
    return pkt ? pkt : tcp_make(header);
}

void tcp_fast_answered(struct tcp *tp, const struct tcp_segment *segment)
{
    const struct tcp_options *opt = &segment->opt;
    uint32_t taken = segment->ack - tp->nxt;
    if (taken) {
        tcp_count(tp, TCP_N_TCPFastOpenActive);
        tp->bytes_acked += taken;
    }
    tp->nxt = segment->ack;
    while (taken) {
        struct tcp_seg *seg = seg_of_link(tp->unsent.next);
        uint32_t part = MIN(taken, seg_len(seg));
        if (part == seg_len(seg)) {
            list_remove(&seg->link);
            pkt_free(seg_pkt(seg));
        } else {
            pkt_skip(seg_pkt(seg), part);
            seg->seq += part;
        }
        taken -= part;
    }
    tp->fast.sent = 0;
    if (opt->has_cookie && opt->cookie_len >= COOKIE_LEAST) {
        memcpy(tp->fast.cookie, opt->cookie, opt->cookie_len);
        tp->fast.len = opt->cookie_len;
        tp->fast.fresh = true;
    }
}
