/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: mm kernel/drv/pkt.c kernel/lib/checksum.c kernel/net/tcp.c kernel/net/tcp_ack.c kernel/net/tcp_cong.c kernel/net/tcp_cookie.c kernel/net/tcp_fastopen.c kernel/net/tcp_info.c kernel/net/tcp_input.c kernel/net/tcp_listen.c kernel/net/tcp_options.c kernel/net/tcp_output.c kernel/net/tcp_receive.c kernel/net/tcp_recover.c kernel/net/tcp_timer.c kernel/net/tcp_tw.c unit/net/tcp_fixture.c */
/* clang-format on */
/*
 * tcp_script_test.c - scripts of segments, unit/net/tcp/NAME.script, against the engine on a
 * virtual clock. Each script is written from the sections that its comments cite.
 *
 *     # comment; a line that begins with "== TITLE" begins a new case, with a new engine
 *     +TIME WHAT      so many seconds after the line before (none: at the same time)
 *
 *     < FLAGS SEQ[+LEN] [ack N] [win N] [urg N] [OPTIONS]     the peer sends this
 *     > FLAGS SEQ[+LEN] [ack N] [win N] [urg N] [OPTIONS]     the engine sends this, to the ms
 *     nothing                                                 it has sent nothing else until now
 *
 * FLAGS: letters of S F R P U E(ce) W(cwr) and . (ack). Numbers are relative to the initial ones of
 * who counts. OPTIONS: mss N, ws N, sackok, sack A:B (several), ts (present; a peer's says its
 * clock and echoes what it saw last), tsval N, tsecr N (in ms since the case began), nots, nosack,
 * ce, ect, noect. What an expectation does not name is not looked at, but flags, sequence number
 * and length are.
 *
 *     cookie ask|good|backup|other, nocookie: Fast Open
 *
 *     connect [ask | fast N], listen [N], send N [more] [oob], recv N, oob, shutdown, close, abort,
 * timer establish [OPTIONS] [win N] [passive]  the handshake, 10 ms a round trip; no options named:
 * mss 1000 sackok state NAME, error N, readable N, eof, cwnd N, ssthresh N, srtt MS, count NAME N,
 *     embryos N set NAME N        an option of the connection or the stack (see `settings`) isn N
 * the peer's initial number; auto ts: every segment of the peer has ts icmp SEQ ERRNO hard|soft;
 * toobig SEQ MSS; path MSS timewait          the owner makes a TIME-WAIT object of the connection
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tcp_fixture.h"

#define TOLERANCE NS_PER_MS
#define PEER_CLOCK 5000u /* the peer's timestamps begin here */

static struct {
    const char *file;
    unsigned line;
    struct tcp *tp;
    struct tcp_tw tw;
    bool has_tw, listening, auto_ts;
    struct tcp_listener listener;
    uint64_t timer_ns, listener_timer_ns, began_ns, at_ns;
    uint32_t iss, isn, peer_window, time_base, time_seen;
    bool iss_known;
    uint32_t defer, path;
    struct tcp_fast_keys keys;
    struct sent {
        struct sent *next;
        uint64_t time_ns;
        struct wire *wire;
        struct tcp_segment segment;
    } * sent;
    char text[256];
} s;

static jmp_buf next_case;

static _Noreturn void wrong(const char *what, const char *detail)
{
    fprintf(stderr, "%s:%u: %s %s\n    %s\n", s.file, s.line, what, detail, s.text);
    for (const struct sent *q = s.sent; q; q = q->next)
        fprintf(stderr, "    %+.6f sent: flags %02x %d+%u ack %d win %u time %u echo %u sacks %u\n",
                ((double)q->time_ns - (double)s.at_ns) / 1e9, q->segment.flags,
                (int)(q->segment.seq - s.iss), q->segment.len, (int)(q->segment.ack - s.isn),
                q->segment.window, q->segment.opt.time - s.time_base, q->segment.opt.echo,
                q->segment.opt.sack_count);
    if (s.tp)
        fprintf(stderr, "    state %u cwnd %u recovery %u timer %u una %u nxt %u error %d\n",
                s.tp->state, s.tp->cong.window, s.tp->recovery, s.tp->timer_kind,
                s.tp->una - s.tp->iss, s.tp->nxt - s.tp->iss, s.tp->error);
    longjmp(next_case, 1);
}

/* ---- callbacks ---- */

static void record(struct pkt *pkt, bool ect)
{
    struct wire *list = fixture_segments(pkt, ect);
    while (list) {
        struct sent *sent = calloc(1, sizeof *sent), **end = &s.sent;
        sent->wire = list;
        sent->time_ns = fixture_now;
        list = list->next;
        assert_int_equal(
            tcp_parse(sent->wire->bytes, sent->wire->len, sent->wire->len, &sent->segment), 0);
        if (sent->segment.flags & TCP_SYN) {
            s.iss = sent->segment.seq;
            if (!s.iss_known)
                s.time_base = sent->segment.opt.time;
            s.iss_known = true;
        }
        if (sent->segment.opt.has_time)
            s.time_seen = sent->segment.opt.time;
        while (*end)
            end = &(*end)->next;
        *end = sent;
    }
}
static void cb_send(struct tcp *tp, struct pkt *pkt, bool ect)
{
    (void)tp;
    record(pkt, ect);
}
static void cb_reply(struct tcp_listener *l, const struct flow_key *key, struct pkt *pkt, bool ect)
{
    (void)l, (void)key;
    record(pkt, ect);
}
static void cb_arm(struct tcp *tp, uint64_t deadline_ns)
{
    (void)tp;
    s.timer_ns = deadline_ns;
}
static void cb_arm_listener(struct tcp_listener *l, uint64_t deadline_ns)
{
    (void)l;
    s.listener_timer_ns = deadline_ns;
}
static void cb_event(struct tcp *tp)
{
    (void)tp;
}
static struct tcp *make(void)
{
    static const struct flow_key key = {.local_port = 1,
                                        .remote_port = 2,
                                        .protocol = IPPROTO_TCP,
                                        .local.bytes = {[10] = 0xff, 0xff}};
    return fixture_tcp(&key, s.path);
}
static struct tcp *cb_child(struct tcp_listener *l, const struct flow_key *key)
{
    (void)l, (void)key;
    if (s.tp)
        return NULL;
    s.tp = make();
    return s.tp;
}
static void cb_accepted(struct tcp_listener *l, struct tcp *tp)
{
    (void)l, (void)tp;
}

/* ---- time ---- */

/* Let timers run until `end`, or until something is sent if `stop`. */
static void advance(uint64_t end, bool stop)
{
    while (!(stop && s.sent)) {
        uint64_t next = MIN(s.timer_ns, s.listening ? s.listener_timer_ns : UINT64_MAX);
        if (next > end)
            break;
        fixture_now = MAX(fixture_now, next);
        if (s.timer_ns <= fixture_now) {
            s.timer_ns = UINT64_MAX;
            tcp_timer(s.tp);
            fixture_check(s.tp);
        } else {
            s.listener_timer_ns = UINT64_MAX;
            tcp_listener_timer(&s.listener);
        }
    }
    if (!(stop && s.sent))
        fixture_now = MAX(fixture_now, end);
}

/* ---- words ---- */

static char *next_word(char **at)
{
    char *word = strtok_r(*at, " \t\n", at);
    return word;
}
static uint32_t number(const char *word)
{
    char *end;
    if (!word)
        wrong("a number is missing", "");
    long value = strtol(word, &end, 0);
    if (*end)
        wrong("not a number:", word);
    return (uint32_t)value;
}

struct text_segment {
    struct tcp_segment segment;
    bool has_ack, has_window, has_urgent, wants_time, no_time, no_sack, tsval, tsecr, ect, no_ect,
        no_cookie;
};

static uint8_t flags_of(const char *word)
{
    static const char letters[] = "FSRP.UEW";
    uint8_t flags = 0;
    for (; word && *word; word++) {
        const char *at = strchr(letters, *word);
        if (!at)
            wrong("no such flag:", word);
        flags |= (uint8_t)(1u << (at - letters));
    }
    return flags;
}

/* ask: an empty one; good: what a listener gives its peer; backup: what one gave whose key is the
 * second now; other: eight bytes of a server's. */
static void parse_cookie(struct tcp_options *opt, const char *word)
{
    struct flow_key key = {.local_port = 1, .remote_port = 2, .protocol = IPPROTO_TCP};
    struct tcp_fast_keys backup = {.key = {s.keys.key[1]}, .count = 1};
    struct tcp_listener like = {.stack = &fixture_stack, .fast_keys = s.listener.fast_keys};
    opt->has_cookie = true;
    opt->cookie_len = word && strcmp(word, "ask") == 0 ? 0 : 8;
    memset(opt->cookie, 0x11, 8);
    if (word && strcmp(word, "backup") == 0) {
        like.fast_keys = &backup;
        tcp_fast_cookie(&like, &key, fixture_now, opt);
    }
    if (word && strcmp(word, "good") == 0)
        tcp_fast_cookie(&like, &key, fixture_now, opt);
}

static void parse_option(struct text_segment *t, const char *word, char **at, uint32_t sack_base)
{
    struct tcp_options *opt = &t->segment.opt;
    if (strcmp(word, "mss") == 0) {
        opt->has_mss = true;
        opt->mss = (uint16_t)number(next_word(at));
    } else if (strcmp(word, "ws") == 0) {
        opt->has_wscale = true;
        opt->wscale = (uint8_t)number(next_word(at));
    } else if (strcmp(word, "sackok") == 0) {
        opt->has_sack_ok = true;
    } else if (strcmp(word, "sack") == 0) {
        char *range = next_word(at), *colon = range ? strchr(range, ':') : NULL;
        if (!colon || opt->sack_count == TCP_SACK_MAX)
            wrong("sack wants A:B", "");
        *colon = 0;
        opt->sack[opt->sack_count++] =
            (struct tcp_range){sack_base + number(range), sack_base + number(colon + 1)};
    } else if (strcmp(word, "cookie") == 0) {
        parse_cookie(opt, next_word(at));
    } else if (strcmp(word, "nocookie") == 0) {
        t->no_cookie = true;
    } else if (strcmp(word, "ts") == 0) {
        t->wants_time = true;
    } else if (strcmp(word, "tsval") == 0) {
        t->tsval = t->wants_time = true;
        opt->time = number(next_word(at));
    } else if (strcmp(word, "tsecr") == 0) {
        t->tsecr = t->wants_time = true;
        opt->echo = number(next_word(at));
    } else if (strcmp(word, "nots") == 0) {
        t->no_time = true;
    } else if (strcmp(word, "nosack") == 0) {
        t->no_sack = true;
    } else if (strcmp(word, "ect") == 0) {
        t->ect = true;
    } else if (strcmp(word, "noect") == 0) {
        t->no_ect = true;
    } else if (strcmp(word, "ce") == 0) {
        t->segment.ce = true;
    } else {
        wrong("no such option:", word);
    }
}

/* seq_base: of who sends it; ack_base: of the other. */
static struct text_segment parse_segment(char *at, uint32_t seq_base, uint32_t ack_base)
{
    struct text_segment t = {.segment = {.flags = flags_of(next_word(&at))}};
    char *seq = next_word(&at), *plus = seq ? strchr(seq, '+') : NULL, *word;
    if (plus) {
        *plus = 0;
        t.segment.len = number(plus + 1);
    }
    t.segment.seq = seq_base + number(seq);
    while ((word = next_word(&at))) {
        if (strcmp(word, "ack") == 0) {
            t.has_ack = true;
            t.segment.ack = ack_base + number(next_word(&at));
        } else if (strcmp(word, "win") == 0) {
            t.has_window = true;
            t.segment.window = (uint16_t)number(next_word(&at));
        } else if (strcmp(word, "urg") == 0) {
            t.has_urgent = true;
            t.segment.urgent = (uint16_t)number(next_word(&at));
        } else {
            parse_option(&t, word, &at, ack_base);
        }
    }
    return t;
}

/* ---- the peer sends ---- */

static uint8_t byte_of(uint32_t seq)
{
    return (uint8_t)(seq * 31 + 7);
}

static struct pkt *build(struct text_segment *t)
{
    struct tcp_header header = {.seq = t->segment.seq,
                                .ack = t->segment.ack,
                                .window =
                                    t->has_window ? t->segment.window : (uint16_t)s.peer_window,
                                .urgent = t->segment.urgent,
                                .flags = t->segment.flags,
                                .opt = t->segment.opt};
    bool time = t->wants_time || (s.auto_ts && !t->no_time);
    s.peer_window = header.window;
    header.opt.has_time = time;
    if (!t->tsval)
        header.opt.time = PEER_CLOCK + (uint32_t)((fixture_now - s.began_ns) / NS_PER_MS);
    if (t->tsecr)
        header.opt.echo += s.time_base;
    else
        header.opt.echo = t->segment.flags & TCP_ACK ? s.time_seen : 0;
    struct pkt *pkt = pkt_alloc(PKT_HEADROOM, 0, ALLOC_DEFAULT);
    for (uint32_t done = 0; done < t->segment.len;) {
        uint32_t part = MIN(t->segment.len - done, 2000);
        struct pkt *piece = pkt_alloc(0, part, ALLOC_DEFAULT);
        uint8_t *to = pkt_put(piece, part);
        for (uint32_t i = 0; i < part; i++)
            to[i] = byte_of(t->segment.seq - s.isn + !!(t->segment.flags & TCP_SYN) + done + i);
        pkt_append(pkt, piece);
        done += part;
    }
    tcp_write_header(pkt, &header);
    return pkt;
}

static void inject(struct text_segment *t)
{
    struct tcp_segment segment;
    struct flow_key key = {.local_port = 1, .remote_port = 2, .protocol = IPPROTO_TCP};
    struct pkt *pkt = build(t), *answer = NULL;
    assert_int_equal(tcp_parse(pkt->data, pkt->len, pkt->total, &segment), 0);
    segment.ce = t->segment.ce;
    if (s.has_tw) {
        enum tcp_tw_verdict verdict = tcp_tw_input(&s.tw, &fixture_stack, &segment, &answer);
        if (verdict == TCP_TW_ANSWER)
            record(answer, false);
        if (verdict == TCP_TW_DONE || verdict == TCP_TW_REOPEN)
            s.has_tw = false;
        if (verdict != TCP_TW_REOPEN) {
            pkt_free(pkt);
            return;
        }
    }
    if (s.tp && s.tp->state != TCP_CLOSED && s.tp->state != TCP_TIME_WAIT) {
        tcp_input(s.tp, pkt, &segment);
        if (!s.tp->input_more) /* within a burst timers may be owed */
            fixture_check(s.tp);
    } else if (s.listening) {
        if (s.tp) {
            tcp_destroy(s.tp);
            free(s.tp);
            s.tp = NULL;
        }
        tcp_listener_input(&s.listener, &key, s.path, pkt, &segment);
    } else {
        answer = tcp_refuse(&segment);
        pkt_free(pkt);
        if (answer)
            record(answer, false);
    }
}

/* ---- the engine sends ---- */

static struct sent *take_sent(void)
{
    struct sent *sent = s.sent;
    if (sent)
        s.sent = sent->next;
    return sent;
}
static void free_sent(struct sent *sent)
{
    if (sent)
        free(sent->wire);
    free(sent);
}

static void compare_options(const struct text_segment *want, const struct tcp_segment *have)
{
    const struct tcp_options *w = &want->segment.opt, *h = &have->opt;
    if (w->has_mss && (!h->has_mss || h->mss != w->mss))
        wrong("another", "mss");
    if (w->has_wscale && (!h->has_wscale || h->wscale != w->wscale))
        wrong("another", "ws");
    if (w->has_sack_ok && !h->has_sack_ok)
        wrong("no", "sackok");
    if ((want->wants_time && !h->has_time) || (want->no_time && h->has_time))
        wrong("timestamp:", h->has_time ? "there is one" : "there is none");
    if (want->tsval && h->time - s.time_base != w->time)
        wrong("another", "tsval");
    if (want->tsecr && h->echo != w->echo)
        wrong("another", "tsecr");
    if (w->has_cookie && (!h->has_cookie || h->cookie_len != w->cookie_len ||
                          memcmp(h->cookie, w->cookie, w->cookie_len) != 0))
        wrong("another", "cookie");
    if (want->no_cookie && h->has_cookie)
        wrong("unwanted", "cookie");
    if (want->no_sack && h->sack_count)
        wrong("unwanted", "sack");
    if (w->sack_count && (w->sack_count != h->sack_count ||
                          memcmp(w->sack, h->sack, w->sack_count * sizeof w->sack[0]) != 0)) {
        for (unsigned i = 0; i < h->sack_count; i++)
            fprintf(stderr, "    sack %u:%u\n", h->sack[i].start - s.isn, h->sack[i].end - s.isn);
        wrong("other", "sack blocks");
    }
}

static void expect(char *text)
{
    advance(s.at_ns + TOLERANCE, true);
    struct sent *sent = s.sent;
    if (!sent)
        wrong("nothing was sent", "");
    struct text_segment want = parse_segment(text, s.iss, s.isn);
    const struct tcp_segment *have = &sent->segment;
    if (sent->time_ns + TOLERANCE < s.at_ns)
        wrong("it was sent too early", "");
    if (have->flags != want.segment.flags)
        wrong("other flags", "");
    if (have->seq != want.segment.seq || have->len != want.segment.len)
        wrong("another sequence number or length", "");
    if (want.has_ack && have->ack != want.segment.ack)
        wrong("another", "ack");
    if (want.has_window && have->window != want.segment.window)
        wrong("another", "window");
    if (want.has_urgent && have->urgent != want.segment.urgent)
        wrong("another", "urgent pointer");
    if ((want.ect && !sent->wire->ect) || (want.no_ect && sent->wire->ect))
        wrong("ECN capability of the IP header", "");
    compare_options(&want, have);
    free_sent(take_sent());
}

/* ---- what the program does, and sees ---- */

#include "tcp_script_calls.h"

static void quiet(void)
{
    if (s.sent)
        wrong("this was sent unexpectedly, before:", "");
}

static void line(char *text)
{
    char *at = text, *word;
    while (*at == ' ' || *at == '\t')
        at++;
    if (*at == '+') {
        char *end;
        s.at_ns += (uint64_t)(strtod(at + 1, &end) * 1e6 + 0.5) * 1000;
        at = end;
    }
    word = next_word(&at);
    if (!word || *word == '#')
        return;
    char *hash = at ? strchr(at, '#') : NULL;
    if (hash)
        *hash = 0;
    if (strcmp(word, ">") == 0) {
        expect(at);
        return;
    }
    quiet();
    advance(s.at_ns, false);
    quiet();
    if (strcmp(word, "<") == 0) {
        struct text_segment t = parse_segment(at, s.isn, s.iss);
        inject(&t);
    } else if (strcmp(word, "nothing") != 0) {
        call(word, at);
    }
    if (s.tp)
        fixture_check(s.tp);
}

static void begin(void)
{
    fixture_seed = 7;
    fixture_init(32);
    fixture_stack.send = cb_send;
    fixture_stack.arm = cb_arm;
    fixture_stack.readable = fixture_stack.writable = fixture_stack.changed = cb_event;
    fixture_stack.reply = cb_reply;
    fixture_stack.child = cb_child;
    fixture_stack.accepted = cb_accepted;
    fixture_stack.arm_listener = cb_arm_listener;
    const char *file = s.file;
    unsigned number_of = s.line;
    memset(&s, 0, sizeof s);
    s.file = file;
    s.line = number_of;
    s.timer_ns = s.listener_timer_ns = UINT64_MAX;
    s.began_ns = s.at_ns = fixture_now;
    s.isn = 10000;
    s.peer_window = 65535;
    s.path = 1460;
}

static void end(void)
{
    quiet();
    if (s.tp) {
        tcp_destroy(s.tp);
        free(s.tp);
    }
    if (s.listening)
        tcp_listener_destroy(&s.listener);
    if (fixture_packets() != 0)
        wrong("packets are left", "");
}

/* A case ends before the next title. */
static bool next_line(FILE *file, char *buffer, int size)
{
    if (!fgets(buffer, size, file))
        return false;
    s.line++;
    snprintf(s.text, sizeof s.text, "%s", buffer);
    return strncmp(buffer, "==", 2) != 0;
}

static void run_script(void **state)
{
    char buffer[256], title[256] = "\n";
    FILE *file = fopen(*state, "r");
    volatile unsigned failed = 0;
    assert_non_null(file);
    s.file = *state;
    s.line = 0;
    do {
        if (setjmp(next_case) == 0) {
            begin();
            while (next_line(file, buffer, sizeof buffer))
                line(buffer);
            end();
        } else { /* what it held is lost, and so are its packets */
            fprintf(stderr, "    in %s", title);
            failed++;
            while (next_line(file, buffer, sizeof buffer))
                ;
        }
        memcpy(title, buffer, sizeof title);
    } while (!feof(file));
    fclose(file);
    assert_int_equal(failed, 0);
}

#define SCRIPTS_MAX 64
int main(int argc, char **argv)
{
    static struct CMUnitTest tests[SCRIPTS_MAX];
    static char names[SCRIPTS_MAX][256];
    unsigned count = 0;
    DIR *dir = opendir(SCRIPTS);
    if (!dir) {
        fputs("no folder " SCRIPTS "\n", stderr);
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(dir)) && count < SCRIPTS_MAX;) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".script") != 0 || (argc > 1 && !strstr(entry->d_name, argv[1])))
            continue;
        snprintf(names[count], sizeof names[0], SCRIPTS "/%.50s", entry->d_name);
        tests[count] = (struct CMUnitTest){strrchr(names[count], '/') + 1, run_script, NULL, NULL,
                                           names[count]};
        count++;
    }
    closedir(dir);
    if (count == 0) {
        fputs("no scripts in " SCRIPTS "\n", stderr);
        return 1;
    }
    return _cmocka_run_group_tests("scripts", tests, count, NULL, NULL);
}
