/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: mm kernel/drv/pkt.c kernel/lib/checksum.c kernel/net/tcp.c kernel/net/tcp_ack.c kernel/net/tcp_cong.c kernel/net/tcp_cookie.c kernel/net/tcp_fastopen.c kernel/net/tcp_info.c kernel/net/tcp_input.c kernel/net/tcp_listen.c kernel/net/tcp_options.c kernel/net/tcp_output.c kernel/net/tcp_receive.c kernel/net/tcp_recover.c kernel/net/tcp_timer.c kernel/net/tcp_tw.c unit/net/tcp_fixture.c */
/* covers: kernel/net/tcp.c kernel/net/tcp_ack.c kernel/net/tcp_cong.c kernel/net/tcp_cookie.c kernel/net/tcp_input.c kernel/net/tcp_listen.c kernel/net/tcp_output.c kernel/net/tcp_receive.c kernel/net/tcp_recover.c kernel/net/tcp_timer.c kernel/net/tcp_tw.c */
/* clang-format on */
/* length: 1024 */
/*
 * tcp_fuzz.c - a TCP connection whose peer is the input: segments with sequence numbers, windows
 * and options near those that matter, calls of the program, time, ICMP, allocations that fail. The
 * input chooses who opens.
 *
 * Payload of the peer's is a function of its sequence number, the program's of its place in the
 * stream: so whatever the program reads must be what the peer may have sent for that place, and
 * whatever is sent, the program's. The engine's invariants hold after each step; no packet is left.
 */
#include <string.h>

#include "fuzz.h"
#include "mm/kmalloc.h"
#include "net/tcp_fixture.h"

static struct {
    struct tcp *tp;
    struct tcp_listener listener;
    struct tcp_tw tw;
    bool listening, has_tw, closed;
    uint64_t timer_ns, listener_timer_ns;
    uint32_t written, iss, peer;
    bool iss_known;
} w;

static uint8_t ours(uint32_t at)
{
    return (uint8_t)(at * 2654435761u >> 24 ^ at);
}
static uint8_t theirs(uint32_t seq)
{
    return (uint8_t)(seq * 40503u >> 8 ^ seq);
}

/* ---- what the engine sends ---- */

static void look(struct pkt *pkt)
{
    struct tcp_segment seg;
    struct wire *list = fixture_segments(pkt, false);
    while (list) {
        struct wire *next = list->next;
        FUZZ_CHECK(tcp_parse(list->bytes, list->len, list->len, &seg) == 0);
        FUZZ_TRACE("  sends flags %02x seq %u len %u ack %u win %u\n", seg.flags, seg.seq, seg.len,
                   seg.ack, seg.window);
        if (seg.flags & TCP_SYN) {
            w.iss = seg.seq;
            w.iss_known = true;
        }
        for (uint32_t i = 0; i < seg.len; i++) {
            uint32_t at = seg.seq - w.iss - 1 + i;
            FUZZ_CHECK(at < w.written && list->bytes[seg.header + i] == ours(at));
        }
        free(list);
        list = next;
    }
}
static void cb_send(struct tcp *tp, struct pkt *pkt, bool ect)
{
    (void)tp, (void)ect;
    look(pkt);
}
static void cb_reply(struct tcp_listener *l, const struct flow_key *key, struct pkt *pkt, bool ect)
{
    (void)l, (void)key, (void)ect;
    look(pkt);
}
static void cb_arm(struct tcp *tp, uint64_t deadline_ns)
{
    (void)tp;
    w.timer_ns = deadline_ns;
}
static void cb_arm_listener(struct tcp_listener *l, uint64_t deadline_ns)
{
    (void)l;
    w.listener_timer_ns = deadline_ns;
}
static void cb_event(struct tcp *tp)
{
    (void)tp;
}
static struct tcp *cb_child(struct tcp_listener *l, const struct flow_key *key)
{
    (void)l, (void)key;
    if (w.tp)
        return NULL;
    w.tp = fixture_tcp(&fixture_key, 1460);
    return w.tp;
}
static void cb_accepted(struct tcp_listener *l, struct tcp *tp)
{
    (void)l, (void)tp;
}

/* ---- the peer's segments ---- */

static uint32_t near(struct fuzz_input *in, const uint32_t *bases, unsigned count)
{
    uint8_t choice = fuzz_u8(in);
    int8_t off = (int8_t)fuzz_u8(in);
    if (choice % (count + 1) == count)
        return fuzz_u32(in);
    return bases[choice % (count + 1)] + (choice & 0x80 ? (uint32_t)(off * 733) : (uint32_t)off);
}

static void options(struct fuzz_input *in, struct tcp_segment *seg)
{
    const struct tcp *tp = w.tp;
    uint8_t which = fuzz_u8(in);
    struct tcp_options *opt = &seg->opt;
    opt->has_time = (which & 1) != 0;
    opt->has_mss = (which & 2) != 0;
    opt->has_wscale = (which & 4) != 0;
    opt->has_sack_ok = (which & 8) != 0;
    opt->sack_count = (uint8_t)(which >> 4 & 7);
    if (opt->sack_count > TCP_SACK_MAX)
        opt->sack_count = 0;
    if (opt->has_time) {
        opt->time = (tp ? tp->time_recent : 0) + (uint32_t)(int8_t)fuzz_u8(in) + 1;
        opt->echo = (tp ? tcp_ms(fixture_now) + tp->time_offset : 0) - fuzz_u8(in);
    }
    if (opt->has_mss)
        opt->mss = fuzz_u16(in);
    if (opt->has_wscale)
        opt->wscale = fuzz_u8(in) % 15;
    for (unsigned i = 0; i < opt->sack_count; i++) {
        uint32_t from = (tp ? tp->una : 0) + fuzz_u8(in) * 365u;
        opt->sack[i] = (struct tcp_range){from, from + fuzz_u8(in) * 365u};
    }
}

static struct pkt *payload(uint32_t seq, uint32_t len)
{
    struct pkt *pkt = pkt_alloc(TCP_HEADER, len, ALLOC_DEFAULT);
    uint8_t *to = pkt ? pkt_put(pkt, len) : NULL;
    for (uint32_t i = 0; to && i < len; i++)
        to[i] = theirs(seq + i);
    if (pkt)
        memset(pkt_push(pkt, TCP_HEADER), 0, TCP_HEADER);
    return pkt;
}

static void give(struct pkt *pkt, struct tcp_segment *seg)
{
    struct flow_key key = {.local_port = 1, .remote_port = 2};
    struct pkt *out = NULL;
    if (w.has_tw) {
        enum tcp_tw_verdict verdict = tcp_tw_input(&w.tw, &fixture_stack, seg, &out);
        pkt_free(out);
        FUZZ_CHECK((verdict == TCP_TW_ANSWER) == (out != NULL));
        w.has_tw = verdict == TCP_TW_DROP || verdict == TCP_TW_ANSWER;
        pkt_free(pkt);
    } else if (w.tp) {
        tcp_input(w.tp, pkt, seg);
    } else if (w.listening) {
        tcp_listener_input(&w.listener, &key, 1460, pkt, seg);
    } else {
        pkt_free(pkt);
    }
}

static void segment(struct fuzz_input *in)
{
    static const uint8_t usual[] = {TCP_ACK,
                                    TCP_ACK,
                                    TCP_ACK,
                                    TCP_ACK | TCP_PSH,
                                    TCP_ACK | TCP_FIN,
                                    TCP_SYN,
                                    TCP_SYN | TCP_ACK,
                                    TCP_RST,
                                    TCP_RST | TCP_ACK,
                                    TCP_ACK | TCP_URG,
                                    TCP_ACK | TCP_ECE,
                                    TCP_ACK | TCP_CWR,
                                    TCP_SYN | TCP_ECE | TCP_CWR,
                                    TCP_FIN,
                                    0};
    static const uint16_t lengths[] = {0, 0, 0, 1, 10, 100, 536, 1000, 1460, 3000};
    const struct tcp *tp = w.tp;
    struct tcp_segment seg = {.header = TCP_HEADER};
    uint8_t flags = fuzz_u8(in);
    seg.flags = flags & 0x80 ? flags & 0x7f : usual[flags % ARRAY_COUNT(usual)];
    uint32_t from[] = {tp ? tp->rcv_nxt : w.peer, tp ? tp->acked_to : w.peer,
                       tp ? tp->rcv_edge : w.peer + 1, tp ? tp->irs : w.peer};
    uint32_t to[] = {tp ? tp->nxt : w.iss + 1, tp ? tp->una : w.iss, tp ? tp->written : w.iss + 1,
                     w.iss};
    seg.seq = near(in, from, ARRAY_COUNT(from));
    seg.ack = near(in, to, ARRAY_COUNT(to));
    seg.window = fuzz_u16(in);
    if (seg.flags & TCP_URG)
        seg.urgent = fuzz_u8(in);
    uint8_t len = fuzz_u8(in);
    seg.ce = len & 0x80;
    seg.len = lengths[(len & 0x7f) % ARRAY_COUNT(lengths)];
    options(in, &seg);
    seg.end = seg.seq + seg.len + !!(seg.flags & TCP_SYN) + !!(seg.flags & TCP_FIN);
    FUZZ_TRACE("segment flags %02x seq %u len %u ack %u win %u sacks %u\n", seg.flags, seg.seq,
               seg.len, seg.ack, seg.window, seg.opt.sack_count);
    struct pkt *pkt = payload(seg.seq + !!(seg.flags & TCP_SYN), seg.len);
    if (pkt)
        give(pkt, &seg);
}

/* ---- the program ---- */

static void do_send(struct fuzz_input *in)
{
    uint32_t len = fuzz_u16(in) % 9000;
    uint8_t how = fuzz_u8(in);
    if (!w.tp || w.closed || !tcp_can_send(w.tp))
        return;
    len = MIN(len, tcp_send_room(w.tp));
    while (len) {
        uint32_t part = MIN(len, 2000);
        struct pkt *pkt = pkt_alloc(how & 4 ? 0 : 64, part, ALLOC_DEFAULT);
        if (!pkt)
            break;
        uint8_t *to = pkt_put(pkt, part);
        for (uint32_t i = 0; i < part; i++)
            to[i] = ours(w.written + i);
        w.written += part;
        tcp_send(w.tp, pkt);
        len -= part;
    }
    tcp_push(w.tp, how & 1, how & 2);
}

static void do_read(struct fuzz_input *in)
{
    uint32_t left = fuzz_u16(in);
    uint8_t data[4096];
    if (!w.tp || w.closed)
        return;
    while (left && tcp_readable(w.tp)) {
        struct pkt *first = tcp_first(w.tp);
        uint32_t part = MIN(MIN(left, first->total), (uint32_t)sizeof data), at = w.tp->read;
        pkt_read(first, 0, data, part);
        for (uint32_t i = 0; i < part; i++)
            FUZZ_CHECK(data[i] == theirs(at + i));
        tcp_consume(w.tp, part);
        left -= part;
    }
}

static void do_end(struct fuzz_input *in)
{
    if (!w.tp || w.closed)
        return;
    switch (fuzz_u8(in) % 4) {
    case 0:
    case 1:
        tcp_shutdown(w.tp);
        break;
    case 2:
        w.closed = true;
        tcp_close(w.tp);
        break;
    case 3:
        tcp_abort(w.tp, 0);
        break;
    }
}

static void do_set(struct fuzz_input *in)
{
    uint8_t which = fuzz_u8(in), value = fuzz_u8(in), byte;
    struct tcp_info info;
    if (!w.tp)
        return;
    switch (which % 10) {
    case 0:
        w.tp->no_delay = value & 1;
        break;
    case 1:
        w.tp->cork = value & 1;
        tcp_uncork(w.tp);
        break;
    case 2:
        w.tp->keep_idle_s = (uint16_t)(1 + value);
        tcp_set_keep_alive(w.tp, value & 1);
        break;
    case 3:
        w.tp->user_timeout_ms = value * 100u;
        break;
    case 4:
        tcp_icmp_too_big(w.tp, w.tp->una + value % 4, fuzz_u16(in));
        break;
    case 5:
        tcp_icmp(w.tp, w.tp->una, 111, value & 1);
        break;
    case 6:
        (void)!tcp_set_congestion(w.tp, value & 1 ? "reno" : "cubic");
        break;
    case 7:
        tcp_get_info(w.tp, &info);
        break;
    case 8:
        tcp_quick_ack(w.tp, value & 1);
        break;
    case 9:
        (void)!tcp_read_urgent(w.tp, &byte, value & 1);
        break;
    }
}

static void do_time(struct fuzz_input *in)
{
    uint8_t how = fuzz_u8(in);
    uint64_t next = MIN(w.timer_ns, w.listening ? w.listener_timer_ns : UINT64_MAX);
    if (!(how & 1))
        fixture_now += (how >> 1) * NS_PER_MS;
    else if (next != UINT64_MAX)
        fixture_now = MAX(fixture_now, next);
    if (w.tp && w.timer_ns <= fixture_now) {
        w.timer_ns = UINT64_MAX;
        tcp_timer(w.tp);
    }
    if (w.listening && w.listener_timer_ns <= fixture_now) {
        w.listener_timer_ns = UINT64_MAX;
        tcp_listener_timer(&w.listener);
    }
}

/* A connection that has ended makes room for the next. */
static void settle(void)
{
    if (!w.tp)
        return;
    fixture_check(w.tp);
    if (w.tp->state != TCP_CLOSED && w.tp->state != TCP_TIME_WAIT)
        return;
    if (w.tp->state == TCP_TIME_WAIT) {
        tcp_tw_init(&w.tw, w.tp);
        w.has_tw = true;
    }
    tcp_destroy(w.tp);
    free(w.tp);
    w.tp = NULL;
    w.written = 0;
    w.closed = false;
    w.timer_ns = UINT64_MAX;
}

static void begin(struct fuzz_input *in)
{
    uint8_t how = fuzz_u8(in);
    static bool booted;
    if (!booted)
        fixture_init(64);
    booted = true;
    fixture_reset();
    memset(&w, 0, sizeof w);
    fixture_stack.send = cb_send;
    fixture_stack.arm = cb_arm;
    fixture_stack.readable = fixture_stack.writable = fixture_stack.changed = cb_event;
    fixture_stack.reply = cb_reply;
    fixture_stack.child = cb_child;
    fixture_stack.accepted = cb_accepted;
    fixture_stack.arm_listener = cb_arm_listener;
    fixture_stack.ecn = how & 2;
    fixture_stack.reno = how & 4;
    fixture_stack.read_default = how & 8 ? 3000 : 131072;
    w.timer_ns = w.listener_timer_ns = UINT64_MAX;
    w.peer = how & 16 ? 0xfffffff0 : 1000;
    if (how & 1) {
        FUZZ_CHECK(tcp_listener_init(&w.listener, &fixture_stack, 8) == 0);
        w.listening = true;
        w.listener.limit = how & 32 ? 0 : 8; /* 0: cookies only */
        w.listener.defer_s = how & 64 ? 3 : 0;
    } else {
        w.tp = fixture_tcp(&fixture_key, 1460);
        tcp_connect(w.tp);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size, 0};
    begin(&in);
    for (unsigned steps = 0; fuzz_more(&in) && steps < 200; steps++) {
        uint8_t op = fuzz_u8(&in);
        switch (op % 16) {
        default:
            segment(&in);
            break;
        case 9:
        case 10:
            do_send(&in);
            break;
        case 11:
            do_read(&in);
            break;
        case 12:
            do_end(&in);
            break;
        case 13:
            do_time(&in);
            break;
        case 14:
            do_set(&in);
            break;
        case 15:
            alloc_fail_nth(1 + op / 16);
            break;
        }
        settle();
    }
    alloc_fail_nth(0);
    if (w.tp) {
        tcp_destroy(w.tp);
        free(w.tp);
    }
    if (w.listening)
        tcp_listener_destroy(&w.listener);
    FUZZ_CHECK(fixture_packets() == 0);
    return 0;
}
