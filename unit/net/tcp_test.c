/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: mm kernel/drv/pkt.c kernel/lib/checksum.c kernel/net/tcp.c kernel/net/tcp_ack.c kernel/net/tcp_cong.c kernel/net/tcp_cookie.c kernel/net/tcp_fastopen.c kernel/net/tcp_info.c kernel/net/tcp_input.c kernel/net/tcp_listen.c kernel/net/tcp_options.c kernel/net/tcp_output.c kernel/net/tcp_receive.c kernel/net/tcp_recover.c kernel/net/tcp_timer.c kernel/net/tcp_tw.c unit/net/tcp_fixture.c */
/* clang-format on */
/*
 * tcp_test.c - the TCP engine where scripts say it badly: tables of options, SYN floods and
 * cookies, CUBIC against its formula, buffers that grow, memory that many small segments hold,
 * sizes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/kmalloc.h"
#include "tcp_fixture.h"

/* ---- surroundings: what is sent is kept ---- */

static struct tcp_segment last;
static unsigned sent_count;
static struct tcp *child;
static struct tcp_listener listener;

static void keep(struct pkt *pkt)
{
    struct wire *list = fixture_segments(pkt, false);
    while (list) {
        struct wire *next = list->next;
        assert_int_equal(tcp_parse(list->bytes, list->len, list->len, &last), 0);
        sent_count++;
        free(list);
        list = next;
    }
}
static void cb_send(struct tcp *tp, struct pkt *pkt, bool ect)
{
    (void)tp, (void)ect;
    keep(pkt);
}
static void cb_reply(struct tcp_listener *l, const struct flow_key *key, struct pkt *pkt, bool ect)
{
    (void)l, (void)key, (void)ect;
    keep(pkt);
}
static void cb_arm(struct tcp *tp, uint64_t deadline_ns)
{
    (void)tp, (void)deadline_ns;
}
static void cb_arm_listener(struct tcp_listener *l, uint64_t deadline_ns)
{
    (void)l, (void)deadline_ns;
}
static unsigned writable_count;
static void cb_writable(struct tcp *tp)
{
    (void)tp;
    writable_count++;
}
static void cb_event(struct tcp *tp)
{
    (void)tp;
}
static struct tcp *cb_child(struct tcp_listener *l, const struct flow_key *key)
{
    (void)l, (void)key;
    return child ? NULL : (child = fixture_tcp(&fixture_key, 1460));
}
static void cb_accepted(struct tcp_listener *l, struct tcp *tp)
{
    (void)l, (void)tp;
}

static int set_up(void **state)
{
    (void)state;
    fixture_seed = 5;
    fixture_init(32);
    fixture_stack.send = cb_send;
    fixture_stack.reply = cb_reply;
    fixture_stack.arm = cb_arm;
    fixture_stack.arm_listener = cb_arm_listener;
    fixture_stack.readable = fixture_stack.changed = cb_event;
    fixture_stack.writable = cb_writable;
    fixture_stack.child = cb_child;
    fixture_stack.accepted = cb_accepted;
    child = NULL;
    sent_count = 0;
    return 0;
}

static void drop_child(void)
{
    tcp_destroy(child);
    free(child);
    child = NULL;
    assert_int_equal(fixture_packets(), 0);
}

static struct pkt *packet(const struct tcp_segment *seg)
{
    struct pkt *pkt = pkt_alloc(TCP_HEADER, seg->len, 0);
    memset(pkt_put(pkt, seg->len), 'x', seg->len);
    memset(pkt_push(pkt, TCP_HEADER), 0, TCP_HEADER);
    return pkt;
}

static struct tcp_segment segment(uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len)
{
    struct tcp_segment seg = {
        .seq = seq, .ack = ack, .len = len, .window = 65535, .flags = flags, .header = TCP_HEADER};
    seg.end = seq + len + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
    return seg;
}

static void to_listener(uint16_t port, const struct tcp_segment *seg)
{
    struct flow_key key = {.local_port = 80, .remote_port = port};
    tcp_listener_input(&listener, &key, 1460, packet(seg), seg);
}

/* ---- options ---- */

static void options_of_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        unsigned len;
        bool mss, wscale, sack_ok, time, cookie;
        unsigned sacks;
    } table[] = {
        {"", 0, 0, 0, 0, 0, 0, 0},
        {"\2\4\5\xb4", 4, 1, 0, 0, 0, 0, 0},
        {"\2\3\5\1", 4, 0, 0, 0, 0, 0, 0}, /* MSS of 3 bytes */
        {"\1\3\3\7", 4, 0, 1, 0, 0, 0, 0},
        {"\3\3\17\1", 4, 0, 1, 0, 0, 0, 0}, /* a scale of 15 counts as 14 */
        {"\4\2\1\1", 4, 0, 0, 1, 0, 0, 0},
        {"\1\1\10\12\0\0\0\1\0\0\0\2", 12, 0, 0, 0, 1, 0, 0},
        {"\1\1\5\12\0\0\0\1\0\0\0\2", 12, 0, 0, 0, 0, 0, 1},
        {"\1\1\1\5\11\0\0\0\1\0\0\0", 12, 0, 0, 0, 0, 0, 0}, /* half a block */
        {"\0\2\4\5\xb4\0\0\0", 8, 0, 0, 0, 0, 0, 0},         /* behind the end */
        {"\2\0\5\xb4", 4, 0, 0, 0, 0, 0, 0},                 /* length 0: no loop */
        {"\2\1\5\xb4", 4, 0, 0, 0, 0, 0, 0},
        {"\375\4ab\2\4\5\xb4", 8, 1, 0, 0, 0, 0, 0}, /* unknown: skipped */
        {"\2\5\5\xb4", 4, 0, 0, 0, 0, 0, 0},         /* beyond the header */
        {"\1\1\1\2", 4, 0, 0, 0, 0, 0, 0},           /* a kind and no length */
        {"\42\2\1\1", 4, 0, 0, 0, 0, 1, 0},          /* a request for a cookie */
        {"\42\12abcdefgh\1\1", 12, 0, 0, 0, 0, 1, 0},
        {"\42\5abc\1\1\1", 8, 0, 0, 0, 0, 0, 0}, /* cookies are even and 4 to 16 bytes */
    };
    for (unsigned i = 0; i < ARRAY_COUNT(table); i++) {
        uint8_t bytes[60] = {[12] = (uint8_t)((20 + table[i].len) / 4 << 4)};
        struct tcp_segment seg;
        memcpy(bytes + 20, table[i].bytes, table[i].len);
        assert_int_equal(tcp_parse(bytes, 20 + table[i].len, 20 + table[i].len, &seg), 0);
        assert_int_equal(seg.opt.has_mss, table[i].mss);
        assert_int_equal(seg.opt.has_wscale, table[i].wscale);
        assert_true(seg.opt.wscale <= 14);
        assert_int_equal(seg.opt.has_sack_ok, table[i].sack_ok);
        assert_int_equal(seg.opt.has_time, table[i].time);
        assert_int_equal(seg.opt.has_cookie, table[i].cookie);
        assert_int_equal(seg.opt.sack_count, table[i].sacks);
    }
}

static void headers_that_are_none(void **state)
{
    (void)state;
    uint8_t bytes[60] = {[12] = 0x50};
    struct tcp_segment seg;
    for (uint32_t len = 0; len < 20; len++)
        assert_int_equal(tcp_parse(bytes, len, len, &seg), -EINVAL);
    assert_int_equal(tcp_parse(bytes, 20, 20, &seg), 0);
    bytes[12] = 0x40;
    assert_int_equal(tcp_parse(bytes, 60, 60, &seg), -EINVAL);
    bytes[12] = 0xf0;
    assert_int_equal(tcp_parse(bytes, 59, 1000, &seg), -EINVAL);
    assert_int_equal(tcp_parse(bytes, 60, 59, &seg), -EINVAL);
    assert_int_equal(tcp_parse(bytes, 60, 1000, &seg), 0);
    assert_int_equal(seg.len, 940);
}

/* ---- floods (RFC 4987) ---- */

static struct tcp_segment syn(void)
{
    struct tcp_segment seg = segment(TCP_SYN, 1000, 0, 0);
    seg.opt = (struct tcp_options){.has_mss = true,
                                   .mss = 1400,
                                   .has_wscale = true,
                                   .wscale = 6,
                                   .has_sack_ok = true,
                                   .has_time = true,
                                   .time = 77};
    return seg;
}

static void a_flood_makes_no_more_embryos_than_there_may_be(void **state)
{
    (void)state;
    struct tcp_segment seg = syn();
    struct kmalloc_stats before, after;
    kmalloc_get_stats(&before);
    assert_int_equal(tcp_listener_init(&listener, &fixture_stack, 20), 0);
    assert_int_equal(listener.limit, 256);
    listener.limit = 20;
    for (unsigned i = 0; i < 5000; i++)
        to_listener((uint16_t)(i + 100), &seg);
    assert_int_equal(listener.count, 20);
    assert_int_equal(sent_count, 5000); /* each is answered */
    assert_int_equal(fixture_counts[TCP_N_SyncookiesSent], 4980);
    listener.full = true; /* no connection could be made of a cookie, and nothing holds its data */
    to_listener(1, &seg);
    assert_int_equal(sent_count, 5000);
    assert_int_equal(fixture_counts[TCP_N_ListenOverflows], 1);
    assert_int_equal(fixture_counts[TCP_N_ListenDrops], 1);
    listener.full = false;
    fixture_stack.syncookies = false;
    to_listener(1, &seg);
    assert_int_equal(sent_count, 5000);
    assert_int_equal(fixture_counts[TCP_N_TCPReqQFullDrop], 1);
    tcp_listener_destroy(&listener);
    kmalloc_get_stats(&after);
    assert_int_equal(before.bytes_in_use, after.bytes_in_use);
    assert_int_equal(fixture_packets(), 0);
}

/* Peers that come together at a short queue: their first data waits here, not for their timers. */
static void what_finds_no_room_waits_for_it(void **state)
{
    (void)state;
    struct tcp_segment seg = syn();
    seg.opt.has_time = false;
    assert_int_equal(tcp_listener_init(&listener, &fixture_stack, 1), 0);
    uint32_t iss[3];
    for (unsigned i = 0; i < 3; i++) {
        to_listener((uint16_t)(i + 9), &seg);
        iss[i] = last.seq;
    }
    child = fixture_tcp(&fixture_key, 1460); /* the queue is full */
    for (unsigned i = 0; i < 3; i++) {
        struct tcp_segment ack = segment(TCP_ACK, 1001, iss[i] + 1, 0);
        struct tcp_segment data = segment(TCP_ACK, 1001, iss[i] + 1, 10 + i);
        struct tcp_segment more = segment(TCP_ACK, 1011 + i, iss[i] + 1, 5);
        to_listener((uint16_t)(i + 9), &ack);
        to_listener((uint16_t)(i + 9), &data); /* is held instead */
        to_listener((uint16_t)(i + 9), &more); /* lost */
    }
    assert_int_equal(fixture_packets(), 3);
    assert_int_equal(fixture_counts[TCP_N_ListenOverflows], 9);
    tcp_listener_room(&listener); /* there is none */
    assert_int_equal(listener.count, 3);
    for (unsigned i = 0; i < 2; i++) { /* in the order of coming */
        tcp_destroy(child);
        free(child);
        child = NULL;
        tcp_listener_room(&listener);
        assert_non_null(child);
        assert_int_equal(child->state, TCP_ESTABLISHED);
        assert_int_equal(tcp_readable(child), 10 + i);
        assert_int_equal(listener.count, 2 - i);
    }
    tcp_listener_destroy(&listener); /* with what it holds */
    drop_child();
}

static void a_cookie_holds_what_the_embryo_would(void **state)
{
    (void)state;
    struct tcp_segment seg = syn();
    assert_int_equal(tcp_listener_init(&listener, &fixture_stack, 8), 0);
    listener.limit = 0;
    to_listener(9, &seg);
    struct tcp_segment answer = last;
    assert_int_equal(listener.count, 0);
    assert_true(answer.opt.has_wscale && answer.opt.has_sack_ok && answer.opt.has_time);
    /* Not before its time, and as the peer's next segment. */
    fixture_now += 50 * NS_PER_MS;
    struct tcp_segment ack = segment(TCP_ACK, 1001, answer.seq + 1, 10);
    ack.opt = (struct tcp_options){.has_time = true, .time = 90, .echo = answer.opt.time};
    to_listener(10, &ack); /* another peer's */
    assert_null(child);
    assert_true(last.flags & TCP_RST);
    to_listener(9, &ack);
    assert_non_null(child);
    assert_int_equal(child->state, TCP_ESTABLISHED);
    assert_int_equal(child->mss_peer, 1400);
    assert_int_equal(child->wscale_send, 6);
    assert_true(child->sack_ok && child->time_ok && child->wscale_ok);
    assert_int_equal(tcp_readable(child), 10);
    assert_int_equal(fixture_counts[TCP_N_SyncookiesRecv], 1);
    drop_child();
    /* Two minutes later it is no cookie any more. */
    fixture_now += 121 * NS_PER_SEC;
    to_listener(9, &ack);
    assert_null(child);
    tcp_listener_destroy(&listener);
}

static void a_cookie_without_timestamps_has_no_options(void **state)
{
    (void)state;
    struct tcp_segment seg = syn();
    seg.opt.has_time = false;
    assert_int_equal(tcp_listener_init(&listener, &fixture_stack, 8), 0);
    listener.limit = 0;
    to_listener(9, &seg);
    assert_true(last.opt.has_mss && !last.opt.has_wscale && !last.opt.has_sack_ok);
    struct tcp_segment ack = segment(TCP_ACK, 1001, last.seq + 1, 0);
    to_listener(9, &ack);
    assert_non_null(child);
    assert_int_equal(child->wscale_send, 0);
    assert_int_equal(child->wscale_receive, 0);
    drop_child();
    tcp_listener_destroy(&listener);
}

static void forged_cookies_are_refused(void **state)
{
    (void)state;
    struct tcp_segment seg = syn();
    assert_int_equal(tcp_listener_init(&listener, &fixture_stack, 8), 0);
    listener.limit = 0;
    to_listener(9, &seg);
    for (unsigned i = 0; i < 3000; i++) {
        struct tcp_segment ack = segment(TCP_ACK, 1001, (uint32_t)fixture_random(), 0);
        to_listener(9, &ack);
        assert_null(child);
    }
    tcp_listener_destroy(&listener);
}

/* TCP_FASTOPEN_KEY: who has the same keys takes the cookies, at any time; and those of the key
 * before. */
static void fast_open_by_given_keys(void **state)
{
    (void)state;
    struct tcp_fast_keys keys = {{{{1, 2}}, {{3, 4}}}, 1}, theirs = keys;
    struct tcp_listener like = {.stack = &fixture_stack, .fast_keys = &keys};
    struct tcp_listener other = {.stack = &fixture_stack, .fast_keys = &theirs};
    struct tcp_listener none = {.stack = &fixture_stack};
    struct flow_key key = {.remote = net_addr_v4(0x03020100), .local = net_addr_v4(0x07060504)};
    struct tcp_options opt = {.has_cookie = false};
    tcp_fast_cookie(&like, &key, fixture_now, &opt);
    assert_true(opt.has_cookie && opt.cookie_len == 8);
    assert_true(tcp_fast_cookie_ok(&other, &key, fixture_now + 5 * 3600 * NS_PER_SEC, &opt));
    assert_false(tcp_fast_cookie_ok(&none, &key, fixture_now, &opt));
    theirs.key[1] = theirs.key[0];
    theirs.key[0].word[0]++;
    assert_false(tcp_fast_cookie_ok(&other, &key, fixture_now, &opt));
    theirs.count = 2;
    assert_true(tcp_fast_cookie_ok(&other, &key, fixture_now, &opt));
    for (unsigned i = 0; i < 2; i++) { /* both addresses matter */
        struct flow_key wrong = key;
        (i ? &wrong.local : &wrong.remote)->bytes[15] ^= 1;
        assert_false(tcp_fast_cookie_ok(&like, &wrong, fixture_now, &opt));
    }
}

/* ---- CUBIC (RFC 9438) ---- */

/* After a loss the window follows C * (t - K)^3 + W_max, or Reno's where that is more. */
static void cubic_is_its_formula(void **state)
{
    (void)state;
    struct tcp *tp = fixture_tcp(&fixture_key, 1460);
    double mss = tp->mss, w_max = 1000, window = 700, k = 9.0856; /* cube root of 300 / 0.4 */
    tp->state = TCP_ESTABLISHED;
    tp->srtt = 100000 << 3;
    tp->cong.window = (uint32_t)(w_max * mss);
    tp->cong.threshold = tcp_cong_reduced(tp);
    tp->cong.window = tp->cong.threshold;
    assert_int_equal(tp->cong.window, (uint32_t)(window * mss));
    uint64_t begin = fixture_now;
    for (double t = 0; t < 20; t += 0.01) {
        tp->now_ns = begin + (uint64_t)(t * 1e9);
        uint32_t flight = tp->cong.window;
        struct tcp_ack_info info = {.acked = flight / 10, .flight = flight, .rtt_us = 100000};
        tcp_cong_grow(tp, &info);
        double want = 0.4 * (t - k) * (t - k) * (t - k) + w_max, have = tp->cong.window / mss;
        if (t > 1 && t < 15)
            assert_true(have > want * 0.97 - 5 && have < want * 1.03 + 15);
    }
    tcp_destroy(tp);
    free(tp);
}

/* ---- memory ---- */

static struct tcp *established(void)
{
    struct tcp_segment answer;
    struct tcp *tp = fixture_tcp(&fixture_key, 1460);
    tcp_connect(tp);
    answer = segment(TCP_SYN | TCP_ACK, 5000, tp->iss + 1, 0);
    answer.opt = (struct tcp_options){
        .has_mss = true, .mss = 1400, .has_sack_ok = true, .has_wscale = true, .wscale = 7};
    tcp_input(tp, packet(&answer), &answer);
    assert_int_equal(tp->state, TCP_ESTABLISHED);
    return tp;
}

static void small_segments_do_not_hold_much_memory(void **state)
{
    (void)state;
    child = established();
    child->limit_fixed = true;
    for (uint32_t i = 0; i < 60000; i++) {
        struct tcp_segment seg = segment(TCP_ACK | TCP_PSH, 5001 + i, child->nxt, 1);
        tcp_input(child, packet(&seg), &seg);
    }
    assert_int_equal(tcp_readable(child), 60000);
    assert_true(child->queue.bytes < 2 * child->rcv_limit + PKT_LEN_MAX);
    fixture_check(child);
    drop_child();
}

static void what_is_out_of_order_is_limited(void **state)
{
    (void)state;
    child = established();
    child->limit_fixed = true;
    for (uint32_t i = 0; i < 30000; i++) {
        struct tcp_segment seg = segment(TCP_ACK, 5003 + 2 * i, child->nxt, 1);
        tcp_input(child, packet(&seg), &seg);
    }
    assert_true(child->ooo_memory <= 2 * child->rcv_limit + PKT_LEN_MAX);
    assert_true(fixture_counts[TCP_N_TCPOFODrop] > 0);
    /* In order goes before it. */
    struct tcp_segment seg = segment(TCP_ACK, 5001, child->nxt, 2);
    tcp_input(child, packet(&seg), &seg);
    assert_true(child->rcv_nxt >= 5003);
    fixture_check(child);
    drop_child();
}

/* When all connections together have too much (tcp_mem): windows of a few segments, then only what
 * brings the connection forward; all is as before when there is memory again. */
static void shortage_of_all_together(void **state)
{
    (void)state;
    struct tcp *tp = child = established();
    struct tcp_segment seg = segment(TCP_ACK, tp->rcv_nxt, tp->nxt, 1000);
    fixture_stack.memory = TCP_MEMORY_PRESSURE;
    /* What was announced is kept, and not renewed. */
    for (int i = 0; i < 140; i++) {
        seg = segment(TCP_ACK, tp->rcv_nxt, tp->nxt, 1000);
        tcp_input(tp, packet(&seg), &seg);
        tcp_consume(tp, 1000);
    }
    assert_int_equal(tcp_readable(tp), 0);
    uint32_t window = tcp_window_wanted(tp);
    assert_true(window <= tcp_receive_window(tp) || window <= 4 * tp->rcv_mss);
    uint32_t most = tp->rcv_limit;
    assert_true(tcp_receive_window(tp) <= 8 * tp->rcv_mss); /* rounded up each time */
    /* A segment behind a hole, then no memory. */
    uint32_t next = tp->rcv_nxt;
    seg = segment(TCP_ACK, next + 1000, tp->nxt, 1000);
    tcp_input(tp, packet(&seg), &seg);
    assert_true(tp->ooo_memory > 0);
    fixture_stack.memory = TCP_MEMORY_NONE;
    seg = segment(TCP_ACK, next + 2000, tp->nxt, 1000);
    tcp_input(tp, packet(&seg), &seg);
    assert_int_equal(fixture_counts[TCP_N_TCPOFODrop], 1);
    seg = segment(TCP_ACK, next, tp->nxt, 1000);
    tcp_input(tp, packet(&seg), &seg);
    assert_int_equal(tp->ooo_memory, 0); /* gave way to what is in order */
    assert_true(fixture_counts[TCP_N_OfoPruned] > 0);
    assert_int_equal(tcp_readable(tp), 1000);
    seg = segment(TCP_ACK, next + 1000, tp->nxt, 1000);
    tcp_input(tp, packet(&seg), &seg);
    assert_int_equal(tcp_readable(tp), 1000); /* one is enough */
    assert_int_equal(fixture_counts[TCP_N_TCPRcvQDrop], 1);
    tcp_consume(tp, 1000);
    tcp_input(tp, packet(&seg), &seg);
    assert_int_equal(tcp_readable(tp), 1000);
    tcp_consume(tp, 1000);
    /* Sending: one piece, the next when that is acknowledged. */
    assert_true(tcp_send_room(tp) > 0);
    struct tcp_segment payload = {.len = 100};
    struct pkt *pkt = packet(&payload);
    pkt_skip(pkt, TCP_HEADER);
    tcp_send(tp, pkt);
    tcp_push(tp, false, false);
    assert_int_equal(tcp_send_room(tp), 0);
    seg = segment(TCP_ACK, tp->rcv_nxt, tp->nxt, 0);
    unsigned woken = writable_count;
    tcp_input(tp, packet(&seg), &seg);
    assert_int_equal(writable_count, woken + 1);
    assert_true(tcp_send_room(tp) > 0);
    /* And plenty again. */
    fixture_stack.memory = TCP_MEMORY_PLENTY;
    assert_true(tcp_window_wanted(tp) >= most / 2);
    fixture_check(tp);
    drop_child();
}

/* A first one and a second are pieces as they came, all others share a third. */
static void small_writes_share_a_packet(void **state)
{
    (void)state;
    child = established();
    for (unsigned count = 1; count <= 20; count++) {
        struct tcp_segment payload = {.len = 100};
        struct pkt *pkt = packet(&payload);
        pkt_skip(pkt, TCP_HEADER);
        tcp_send(child, pkt);
        assert_true(child->unsent.next == child->unsent.prev);
        const struct pkt *all = seg_pkt(seg_of_link(child->unsent.next));
        unsigned pieces = 0;
        assert_int_equal(all->total, 100 * count);
        for (const struct pkt *piece = all; piece; piece = piece->more)
            pieces++;
        assert_int_equal(pieces, MIN(count, 3u));
    }
    tcp_push(child, false, false);
    fixture_check(child);
    drop_child();
}

/* What waits has room behind it as long as nothing of it is on its way. */
static void room_behind_what_waits(void **state)
{
    (void)state;
    struct tcp *tp = child = established();
    assert_null(tcp_tail(tp, 1));
    struct pkt *pkt = pkt_alloc(0, TCP_COLLECT, ALLOC_DEFAULT);
    memset(pkt_put(pkt, 100), 'a', 100);
    tp->cork = true;
    tcp_send(tp, pkt);
    tcp_push(tp, false, false);
    uint32_t before = tp->written;
    void *to = tcp_tail(tp, 200);
    assert_ptr_equal(to, pkt->data + 100);
    assert_int_equal(tp->written, before); /* nothing has been said yet */
    memset(to, 'b', 200);
    tcp_send_tail(tp, 200);
    assert_int_equal(tp->written, before + 200);
    assert_int_equal(seg_pkt(seg_of_link(tp->unsent.next))->total, 300);
    uint32_t left = pkt->size - 300;
    assert_null(tcp_tail(tp, left + 1));
    assert_non_null(tcp_tail(tp, left));
    fixture_check(tp);
    tp->cork = false;
    tcp_uncork(tp);
    assert_true(list_empty(&tp->unsent));
    assert_null(tcp_tail(tp, 1));
    drop_child();
}

static void the_receive_buffer_grows_with_what_is_read(void **state)
{
    (void)state;
    child = established();
    uint32_t seq = 5001, before = child->rcv_limit;
    for (unsigned round = 0; round < 20; round++) {
        while (seq_before(seq + 1400, child->rcv_edge)) {
            struct tcp_segment seg = segment(TCP_ACK, seq, child->nxt, 1400);
            tcp_input(child, packet(&seg), &seg);
            seq += 1400;
        }
        fixture_now += 10 * NS_PER_MS;
        tcp_consume(child, tcp_readable(child));
    }
    assert_true(child->rcv_limit >= 4 * before);
    assert_true(child->rcv_limit <= fixture_stack.read_max);
    drop_child();
}

static void a_connection_is_small(void **state)
{
    (void)state;
    print_message("struct tcp %zu, tcp_tw %zu, tcp_listener %zu bytes\n", sizeof(struct tcp),
                  sizeof(struct tcp_tw), sizeof(struct tcp_listener));
    assert_true(sizeof(struct tcp) <= 640); /* with its socket a third of a page */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(options_of_every_form, set_up),
        cmocka_unit_test_setup(headers_that_are_none, set_up),
        cmocka_unit_test_setup(a_flood_makes_no_more_embryos_than_there_may_be, set_up),
        cmocka_unit_test_setup(what_finds_no_room_waits_for_it, set_up),
        cmocka_unit_test_setup(a_cookie_holds_what_the_embryo_would, set_up),
        cmocka_unit_test_setup(a_cookie_without_timestamps_has_no_options, set_up),
        cmocka_unit_test_setup(forged_cookies_are_refused, set_up),
        cmocka_unit_test_setup(fast_open_by_given_keys, set_up),
        cmocka_unit_test_setup(cubic_is_its_formula, set_up),
        cmocka_unit_test_setup(small_segments_do_not_hold_much_memory, set_up),
        cmocka_unit_test_setup(what_is_out_of_order_is_limited, set_up),
        cmocka_unit_test_setup(the_receive_buffer_grows_with_what_is_read, set_up),
        cmocka_unit_test_setup(shortage_of_all_together, set_up),
        cmocka_unit_test_setup(small_writes_share_a_packet, set_up),
        cmocka_unit_test_setup(room_behind_what_waits, set_up),
        cmocka_unit_test_setup(a_connection_is_small, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
