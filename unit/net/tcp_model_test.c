/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: mm kernel/drv/pkt.c kernel/lib/checksum.c kernel/net/tcp.c kernel/net/tcp_ack.c kernel/net/tcp_cong.c kernel/net/tcp_cookie.c kernel/net/tcp_fastopen.c kernel/net/tcp_info.c kernel/net/tcp_input.c kernel/net/tcp_listen.c kernel/net/tcp_options.c kernel/net/tcp_output.c kernel/net/tcp_receive.c kernel/net/tcp_recover.c kernel/net/tcp_timer.c kernel/net/tcp_tw.c unit/net/tcp_fixture.c */
/* clang-format on */
/*
 * tcp_model_test.c - two engines over a wire that loses, reorders, duplicates, delays and corrupts,
 * on virtual time, as a seed says. Programs at both ends write and read pieces of random sizes at
 * random times. Every byte arrives once and in order, both ends come to their end, nothing stalls
 * longer than the protocol's timers, no packet is left, and the engines' invariants hold after
 * every event.
 *
 *     tcp_model_test [SEEDS [FIRST [N]]]      by default what CI has time for; N: one allocation in
 * N/2 fails
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mm/kmalloc.h"
#include "tcp_fixture.h"

#define STREAM_MAX 400000u
#define TIME_LIMIT (3600 * NS_PER_SEC)

struct program {
    uint32_t to_send, sent, received;
    uint32_t write_max, read_max;
    uint64_t pause_max_ns;
    bool shut, saw_end, closed;
};
struct end {
    struct tcp *tp;
    struct flight *held; /* its channel: what has come and was not looked at yet */
    struct tcp_tw tw;
    bool has_tw, gone;
    uint64_t timer_ns;
    struct program program;
    uint8_t salt;
    bool run_queued;
};
static struct end ends[2]; /* 0 opens actively, 1 listens; or both open */
static struct tcp_listener listener;
static bool listening;
static uint64_t listener_timer_ns;
static uint64_t steps;

/* What the wire does, per mille, and ns. */
static struct {
    uint32_t loss, duplicate, corrupt, reorder, mark, burst;
    uint64_t delay_ns, jitter_ns, byte_ns;
    uint64_t hold_ns; /* so long at most packets lie in a channel; 0: they do not */
    uint32_t mtu_mss;
    bool whole; /* GSO packets are not cut: the loopback */
} wire;
/* Allocations that fail: the first of them, then one in up to so many; 0: none. */
static uint64_t fail_first;
static uint32_t fail_every;
static uint64_t wire_free_ns[2];
static uint64_t burst_end_ns[2]; /* everything is lost until then */

static uint8_t pattern(uint8_t salt, uint32_t at)
{
    return (uint8_t)((at * 2654435761u) >> 24 ^ salt ^ at);
}

static struct end *end_of(const struct tcp *tp)
{
    return ends[0].tp == tp ? &ends[0] : &ends[1];
}

static _Noreturn void stop(const char *what)
{
    fprintf(stderr, "seed %llu, time %.6f s: %s\n", (unsigned long long)fixture_seed,
            (double)fixture_now / 1e9, what);
    for (unsigned i = 0; i < 2; i++)
        if (ends[i].tp) {
            const struct tcp *tp = ends[i].tp;
            fprintf(
                stderr,
                " end %u: state %u error %d sent %u received %u of %u, una %u nxt %u written %u "
                "window %u cwnd %u pipe %u recovery %u timer %u\n",
                i, tp->state, tp->error, ends[i].program.sent, ends[i].program.received,
                ends[!i].program.to_send, tp->una - tp->iss, tp->nxt - tp->iss,
                tp->written - tp->iss, tp->window, tp->cong.window, tcp_pipe(tp), tp->recovery,
                tp->timer_kind);
        }
    abort();
}

/* ---- the wire ---- */

struct flight {
    struct flight *next;
    struct end *to;
    struct wire *bytes;
    struct pkt *whole;
    bool ce;
};

static void deliver(struct end *to, struct pkt *pkt, bool ce, bool more);
static void run(void *arg);
static void wake(struct end *end);

static void discard(struct flight *list)
{
    for (struct flight *next; list; list = next) {
        next = list->next;
        free(list->bytes);
        pkt_free(list->whole);
        free(list);
    }
}

static void take_in(struct flight *flight, bool more)
{
    struct pkt *pkt = flight->whole;
    struct wire *bytes = flight->bytes;
    if (bytes && fixture_checksum(bytes->bytes, bytes->len) == 0xffff)
        pkt = fixture_packet(bytes->bytes, bytes->len, 1 + fixture_below(3));
    if (pkt)
        deliver(flight->to, pkt, flight->ce, more);
    free(bytes);
    free(flight);
}

/* The socket takes all that lies in its channel. */
static void drain(void *arg)
{
    struct end *end = arg;
    for (struct flight *flight; (flight = end->held) != NULL;)
        take_in(flight, (end->held = flight->next) != NULL);
    if (end->tp && !end->gone && (end->tp->ack_owed || end->tp->output_owed))
        tcp_input_end(end->tp);
}

static void arrive(void *arg)
{
    struct flight *flight = arg, **last = &flight->to->held;
    if (wire.hold_ns == 0) {
        take_in(flight, false);
        return;
    }
    if (!*last)
        events_add(fixture_now + fixture_random() % wire.hold_ns, drain, flight->to);
    while (*last)
        last = &(*last)->next;
    *last = flight;
}

static bool one_in_mille(uint32_t mille)
{
    return fixture_below(1000) < mille;
}

/* With TCP_TRACE in the environment: every segment. */
static void trace(const struct end *from, const struct wire *w)
{
    struct tcp_segment s;
    if (!getenv("TCP_TRACE") || tcp_parse(w->bytes, w->len, w->len, &s) != 0)
        return;
    uint32_t seq = ends[from - ends].tp ? ends[from - ends].tp->iss : 0;
    uint32_t ack = ends[from == &ends[0]].tp ? ends[from == &ends[0]].tp->iss : 0;
    fprintf(stderr, "%.6f %u: %s%s%s%s%s %u+%u ack %u win %u ts %u %u", (double)fixture_now / 1e9,
            (unsigned)(from - ends), s.flags & TCP_SYN ? "S" : "", s.flags & TCP_FIN ? "F" : "",
            s.flags & TCP_RST ? "R" : "", s.flags & TCP_PSH ? "P" : "",
            s.flags & TCP_ACK ? "." : "", s.seq - seq, s.len, s.ack - ack, s.window, s.opt.time,
            s.opt.echo);
    for (unsigned i = 0; i < s.opt.sack_count; i++)
        fprintf(stderr, " sack %u:%u", s.opt.sack[i].start - ack, s.opt.sack[i].end - ack);
    fprintf(stderr, "\n");
}

static void launch(struct end *to, struct wire *bytes, struct pkt *whole, bool ect)
{
    unsigned side = (unsigned)(to - ends);
    uint32_t len = bytes ? bytes->len : whole->total;
    uint64_t begin = MAX(fixture_now, wire_free_ns[side]);
    wire_free_ns[side] = begin + len * wire.byte_ns;
    if (one_in_mille(wire.burst))
        burst_end_ns[side] = fixture_now + fixture_below(300) * NS_PER_MS;
    bool lost = one_in_mille(wire.loss) || fixture_now < burst_end_ns[side];
    /* A queue of 200 ms, then packets fall off its end. */
    lost |= begin > fixture_now + 200 * NS_PER_MS;
    struct flight *flight = calloc(1, sizeof *flight);
    *flight = (struct flight){NULL, to, bytes, whole, ect && one_in_mille(wire.mark)};
    if (lost) {
        if (begin > fixture_now + 200 * NS_PER_MS)
            wire_free_ns[side] = begin;
        discard(flight);
        return;
    }
    if (bytes && one_in_mille(wire.corrupt)) {
        uint8_t *p = &bytes->bytes[fixture_below(bytes->len)];
        *p ^= (uint8_t)(1 + fixture_below(255));
    }
    uint64_t when = wire_free_ns[side] + wire.delay_ns;
    if (wire.jitter_ns && one_in_mille(wire.reorder))
        when += fixture_random() % wire.jitter_ns;
    if (bytes && one_in_mille(wire.duplicate)) {
        struct flight *twin = calloc(1, sizeof *twin);
        struct wire *copy = malloc(sizeof *copy + bytes->len);
        memcpy(copy, bytes, sizeof *copy + bytes->len);
        *twin = (struct flight){NULL, to, copy, NULL, false};
        events_add(when + fixture_random() % (wire.jitter_ns + 1), arrive, twin);
    }
    events_add(when, arrive, flight);
}

static void transmit(struct end *from, struct pkt *pkt, bool ect)
{
    struct end *to = &ends[from == &ends[0]];
    if (wire.whole) {
        launch(to, NULL, pkt, ect);
        return;
    }
    for (struct wire *list = fixture_segments(pkt, ect), *next; list; list = next) {
        next = list->next;
        if (list->len - (uint32_t)(list->bytes[12] >> 4) * 4 > wire.mtu_mss)
            stop("a segment is longer than the path carries");
        trace(from, list);
        launch(to, list, NULL, ect);
    }
}

/* ---- callbacks ---- */

static void cb_send(struct tcp *tp, struct pkt *pkt, bool ect)
{
    transmit(end_of(tp), pkt, ect);
}
static void cb_reply(struct tcp_listener *l, const struct flow_key *key, struct pkt *pkt, bool ect)
{
    (void)l, (void)key;
    transmit(&ends[1], pkt, ect);
}
static void timer_event(void *arg)
{
    struct end *end = arg;
    if (end->tp && end->timer_ns <= fixture_now && !end->gone) {
        end->timer_ns = UINT64_MAX;
        tcp_timer(end->tp);
    }
}
static void cb_arm(struct tcp *tp, uint64_t deadline_ns)
{
    struct end *end = end_of(tp);
    end->timer_ns = deadline_ns;
    if (deadline_ns != UINT64_MAX)
        events_add(MAX(deadline_ns, fixture_now), timer_event, end);
}
static void cb_event(struct tcp *tp)
{
    wake(end_of(tp));
}
static void listener_event(void *arg)
{
    (void)arg;
    if (listening && listener_timer_ns <= fixture_now) {
        listener_timer_ns = UINT64_MAX;
        tcp_listener_timer(&listener);
    }
}
static void cb_arm_listener(struct tcp_listener *l, uint64_t deadline_ns)
{
    (void)l;
    listener_timer_ns = deadline_ns;
    if (deadline_ns != UINT64_MAX)
        events_add(MAX(deadline_ns, fixture_now), listener_event, NULL);
}

static struct tcp *make(struct end *end)
{
    static const struct flow_key keys[2] = {{.local_port = 2, .remote_port = 1},
                                            {.local_port = 1, .remote_port = 2}};
    end->tp = fixture_tcp(&keys[end - ends], wire.mtu_mss);
    end->timer_ns = UINT64_MAX;
    return end->tp;
}
static struct tcp *cb_child(struct tcp_listener *l, const struct flow_key *key)
{
    (void)l, (void)key;
    if (ends[1].tp || one_in_mille(100))
        return NULL; /* "no memory" at times */
    return make(&ends[1]);
}
static void cb_accepted(struct tcp_listener *l, struct tcp *tp)
{
    (void)l;
    wake(end_of(tp));
}

/* ---- where a packet goes ---- */

static void deliver(struct end *to, struct pkt *pkt, bool ce, bool more)
{
    struct tcp_segment segment;
    struct pkt *out = NULL;
    struct flow_key key = {.local_port = 1, .remote_port = 2};
    const uint8_t *header = pkt_pull(pkt, MIN(TCP_HEADER_MAX, pkt->total));
    if (!header || tcp_parse(header, pkt->len, pkt->total, &segment) != 0) {
        pkt_free(pkt);
        return;
    }
    segment.ce = ce;
    if (to->has_tw) {
        enum tcp_tw_verdict verdict = tcp_tw_input(&to->tw, &fixture_stack, &segment, &out);
        pkt_free(pkt);
        if (verdict == TCP_TW_ANSWER)
            transmit(to, out, false);
    } else if (to->tp && !to->gone) {
        to->tp->input_more = more;
        tcp_input(to->tp, pkt, &segment);
    } else if (to == &ends[1] && listening && !to->gone) {
        tcp_listener_input(&listener, &key, wire.mtu_mss, pkt, &segment);
    } else {
        out = tcp_refuse(&segment);
        pkt_free(pkt);
        if (out)
            transmit(to, out, false);
    }
}

/* ---- the programs ---- */

static void do_read(struct end *end)
{
    struct program *p = &end->program;
    uint32_t left = 1 + fixture_below(p->read_max);
    while (left && tcp_readable(end->tp)) {
        struct pkt *first = tcp_first(end->tp);
        uint8_t data[4096];
        uint32_t part = MIN(MIN(left, first->total), (uint32_t)sizeof data);
        pkt_read(first, 0, data, part);
        for (uint32_t i = 0; i < part; i++)
            if (data[i] != pattern(ends[end == &ends[0]].salt, p->received + i))
                stop("a byte is not what was sent");
        p->received += part;
        left -= part;
        tcp_consume(end->tp, part);
    }
    if (!tcp_readable(end->tp) && end->tp->fin_received)
        p->saw_end = true;
}

static void do_write(struct end *end)
{
    struct program *p = &end->program;
    uint32_t room = tcp_send_room(end->tp), left = 1 + fixture_below(p->write_max);
    bool urgent = false, more = one_in_mille(100);
    left = MIN(MIN(left, room), p->to_send - p->sent);
    while (left) {
        uint32_t part = MIN(left, 3000);
        struct pkt *pkt = pkt_alloc(one_in_mille(500) ? 0 : 64, part, ALLOC_DEFAULT);
        if (!pkt)
            break;
        uint8_t *to = pkt_put(pkt, part);
        for (uint32_t i = 0; i < part; i++)
            to[i] = pattern(end->salt, p->sent + i);
        p->sent += part;
        left -= part;
        tcp_send(end->tp, pkt);
    }
    tcp_push(end->tp, more && p->sent < p->to_send, urgent);
}

static void finish(struct end *end)
{
    if (end->program.received != ends[end == &ends[0]].program.to_send)
        stop("the end has come before the last byte");
    end->program.closed = true;
    tcp_close(end->tp);
}

static void run(void *arg)
{
    struct end *end = arg;
    struct program *p = &end->program;
    end->run_queued = false;
    if (!end->tp || p->closed || end->gone)
        return;
    struct tcp *tp = end->tp;
    if (tp->error)
        stop("an error ended the connection");
    if (tp->state == TCP_SYN_SENT || tp->state == TCP_SYN_RCVD)
        return;
    if (tcp_readable(tp) || tp->fin_received)
        do_read(end);
    if (p->sent < p->to_send && tcp_can_send(tp))
        do_write(end);
    if (p->sent == p->to_send && !p->shut) {
        p->shut = true;
        tcp_shutdown(tp);
    }
    if (p->shut && p->saw_end) {
        finish(end);
        return;
    }
    if (tcp_readable(tp) || (p->sent < p->to_send && tcp_send_room(tp)))
        wake(end);
}

static void wake(struct end *end)
{
    if (end->run_queued)
        return;
    end->run_queued = true;
    uint64_t pause = end->program.pause_max_ns;
    events_add(fixture_now + (pause ? fixture_random() % pause : 0), run, end);
}

/* ---- one seed ---- */

static uint32_t chosen(const uint32_t *values, unsigned count)
{
    return values[fixture_below(count)];
}

static void choose(void)
{
    static const uint32_t losses[] = {0, 0, 1, 10, 50, 100, 200},
                          sizes[] = {0, 1, 500, 3000, 65536};
    static const uint32_t mtus[] = {1460, 1460, 1220, 536, 8960, 65483};
    memset(&wire, 0, sizeof wire);
    wire.loss = chosen(losses, 7);
    wire.duplicate = one_in_mille(300) ? 50 : 0;
    wire.corrupt = one_in_mille(300) ? 20 : 0;
    wire.reorder = one_in_mille(400) ? 1 + fixture_below(300) : 0;
    wire.mark = one_in_mille(200) ? 30 : 0;
    wire.burst = one_in_mille(200) ? 5 : 0;
    wire.delay_ns = one_in_mille(300) ? 20000 : fixture_below(100) * NS_PER_MS;
    wire.jitter_ns = wire.reorder ? 1 + fixture_below(50) * NS_PER_MS : 0;
    wire.byte_ns = one_in_mille(500) ? 0 : fixture_below(8000);
    wire.hold_ns = one_in_mille(500) ? 0 : 1 + fixture_below(2000) * 1000;
    wire.mtu_mss = chosen(mtus, 6);
    if (fail_first) /* a segment of many pieces would hardly ever get through */
        wire.mtu_mss = MIN(wire.mtu_mss, 1460);
    wire.whole =
        wire.loss == 0 && !wire.duplicate && !wire.corrupt && !wire.burst && one_in_mille(400);
    for (unsigned i = 0; i < 2; i++) {
        struct program *p = &ends[i].program;
        p->to_send = one_in_mille(300) ? chosen(sizes, 5) : fixture_below(STREAM_MAX);
        p->write_max = 1u << fixture_below(17);
        p->read_max = 1u << fixture_below(17);
        /* Small pieces with long pauses would take for ever. */
        p->pause_max_ns = fixture_below(3) * NS_PER_MS;
        if (one_in_mille(100))
            p->pause_max_ns = 300 * NS_PER_MS, p->write_max = p->read_max = 65536;
        if (p->write_max < 64 || ends[!i].program.read_max < 64)
            p->to_send = MIN(p->to_send, 2000);
    }
    for (unsigned i = 0; i < 2; i++)
        if (ends[i].program.read_max < 64)
            ends[!i].program.to_send = MIN(ends[!i].program.to_send, 2000);
    fixture_stack.reno = one_in_mille(300);
    fixture_stack.ecn = one_in_mille(300);
    fixture_stack.read_default = one_in_mille(300) ? 4096 + fixture_below(20000) : 131072;
    if (one_in_mille(200))
        fixture_stack.read_max = fixture_stack.read_default;
}

static void options(struct tcp *tp)
{
    tp->no_delay = one_in_mille(500);
    tp->cork = one_in_mille(50);
}

static void settle(struct end *end)
{
    if (!end->tp || end->gone)
        return;
    fixture_check(end->tp);
    if (!end->program.closed)
        return;
    if (end->tp->state == TCP_TIME_WAIT) {
        tcp_tw_init(&end->tw, end->tp);
        end->has_tw = true;
    } else if (end->tp->state != TCP_CLOSED) {
        return;
    }
    /* Its last acknowledgement may be lost with all that came after it (RFC 9293, 3.6). */
    if (end->tp->error && !(end->tp->error == ETIMEDOUT && wire.loss >= 100))
        stop("an error after the end");
    end->gone = true;
    tcp_destroy(end->tp);
}

static void fail_again(void)
{
    if (fail_every && alloc_fail_hit())
        alloc_fail_nth(1 + fixture_below(fail_every));
}

static void one(uint64_t seed)
{
    struct event event;
    fixture_seed = seed;
    fixture_init(64);
    memset(ends, 0, sizeof ends);
    memset(wire_free_ns, 0, sizeof wire_free_ns);
    memset(burst_end_ns, 0, sizeof burst_end_ns);
    choose();
    fixture_stack.send = cb_send;
    fixture_stack.arm = cb_arm;
    fixture_stack.readable = fixture_stack.writable = fixture_stack.changed = cb_event;
    fixture_stack.reply = cb_reply;
    fixture_stack.child = cb_child;
    fixture_stack.accepted = cb_accepted;
    fixture_stack.arm_listener = cb_arm_listener;
    ends[0].salt = (uint8_t)seed;
    ends[1].salt = (uint8_t)~seed;
    bool both = one_in_mille(100); /* simultaneous open */
    make(&ends[0]);
    options(ends[0].tp);
    if (both) {
        make(&ends[1]);
        listening = false;
    } else {
        assert_int_equal(tcp_listener_init(&listener, &fixture_stack, 16), 0);
        listening = true;
        listener_timer_ns = UINT64_MAX;
    }
    uint64_t began = fixture_now;
    alloc_fail_nth(fail_first);
    tcp_connect(ends[0].tp);
    if (both)
        tcp_connect(ends[1].tp);
    bool optioned = both;
    while (!(ends[0].gone && ends[1].gone)) {
        if (!events_take(&event))
            stop("nothing will ever happen again");
        fixture_now = MAX(fixture_now, event.time_ns);
        if (fixture_now - began > TIME_LIMIT)
            stop("it takes too long");
        event.fn(event.arg);
        fail_again();
        steps++;
        if (ends[1].tp && !optioned) {
            options(ends[1].tp);
            optioned = true;
        }
        settle(&ends[0]);
        settle(&ends[1]);
    }
    alloc_fail_nth(0);
    for (unsigned i = 0; i < 2; i++) {
        if (ends[i].program.received != ends[!i].program.to_send)
            stop("bytes are missing");
        free(ends[i].tp);
        ends[i].tp = NULL;
    }
    /* What is on the wire still has nobody to go to. */
    while (events_take(&event))
        if (event.fn == arrive)
            discard(event.arg);
    discard(ends[0].held);
    discard(ends[1].held);
    if (listening)
        tcp_listener_destroy(&listener);
    if (fixture_packets() != 0)
        stop("packets are left");
}

static uint64_t seed_first = 1, seed_count = 300;

static void every_byte_arrives_once(void **state)
{
    (void)state;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count; seed++)
        one(seed);
    printf("%llu seeds, %llu events\n", (unsigned long long)seed_count, (unsigned long long)steps);
}

/* Each allocation of a connection fails once; and many of them. */
static void memory_fails(void **state)
{
    (void)state;
    for (fail_first = 1; fail_first <= 60; fail_first++)
        one(3);
    fail_first = 1;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count / 5; seed++) {
        fail_every = 150 + (uint32_t)(seed % 100);
        one(seed);
    }
    fail_first = fail_every = 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        seed_count = strtoull(argv[1], NULL, 0);
    if (argc > 2)
        seed_first = strtoull(argv[2], NULL, 0);
    if (argc > 3)
        fail_every = (uint32_t)(fail_first = strtoull(argv[3], NULL, 0));
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_byte_arrives_once),
                                       cmocka_unit_test(memory_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
