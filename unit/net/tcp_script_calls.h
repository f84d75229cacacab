/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_script_calls.h - part of tcp_script_test.c: the words of a script that are no segments. */
#ifndef SELKIE_UNIT_NET_TCP_SCRIPT_CALLS_H
#define SELKIE_UNIT_NET_TCP_SCRIPT_CALLS_H

static const struct {
    const char *name;
    enum tcp_state state;
} states[] = {{"ESTABLISHED", TCP_ESTABLISHED}, {"SYN_SENT", TCP_SYN_SENT},
              {"SYN_RCVD", TCP_SYN_RCVD},       {"FIN_WAIT1", TCP_FIN_WAIT1},
              {"FIN_WAIT2", TCP_FIN_WAIT2},     {"TIME_WAIT", TCP_TIME_WAIT},
              {"CLOSED", TCP_CLOSED},           {"CLOSE_WAIT", TCP_CLOSE_WAIT},
              {"LAST_ACK", TCP_LAST_ACK},       {"CLOSING", TCP_CLOSING}};

static struct tcp *connection(void)
{
    if (!s.tp)
        wrong("there is no connection", "");
    return s.tp;
}

static void want_number(const char *what, uint64_t have, char *at)
{
    char text[64];
    uint32_t want = number(next_word(&at));
    snprintf(text, sizeof text, "%s is %llu", what, (unsigned long long)have);
    if (have != want)
        wrong("a number differs:", text);
}

static void want_state(const char *word)
{
    for (unsigned i = 0; i < ARRAY_COUNT(states); i++)
        if (word && strcmp(states[i].name, word) == 0) {
            if (connection()->state != states[i].state)
                wrong("another", "state");
            return;
        }
    wrong("no such state:", word ? word : "");
}

#define COUNTER(name) \
    { \
#name, TCP_N_##name \
    }
static void want_count(char *at)
{
    static const struct {
        const char *name;
        enum tcp_counter counter;
    } names[] = {COUNTER(TCPChallengeACK),   COUNTER(TCPTimeouts),       COUNTER(TCPLossProbes),
                 COUNTER(TCPFastRetrans),    COUNTER(TCPSackRecovery),   COUNTER(RetransSegs),
                 COUNTER(PAWSEstab),         COUNTER(SyncookiesSent),    COUNTER(SyncookiesRecv),
                 COUNTER(DelayedACKs),       COUNTER(TCPKeepAlive),      COUNTER(TCPMTUPFail),
                 COUNTER(TCPDSACKRecv),      COUNTER(TCPSpuriousRTOs),   COUNTER(TCPLossUndo),
                 COUNTER(TCPOFOQueue),       COUNTER(TCPLostRetransmit), COUNTER(TCPFastOpenActive),
                 COUNTER(TCPFastOpenPassive)};
    const char *word = next_word(&at);
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (word && strcmp(names[i].name, word) == 0) {
            want_number(word, fixture_counts[names[i].counter], at);
            return;
        }
    wrong("no such counter:", word ? word : "");
}

static void call_send(char *at)
{
    struct tcp *tp = connection();
    uint32_t left = number(next_word(&at));
    bool more = false, urgent = false;
    for (char *word; (word = next_word(&at));) {
        more |= strcmp(word, "more") == 0;
        urgent |= strcmp(word, "oob") == 0;
    }
    if (tcp_send_room(tp) < left)
        wrong("there is no room for it", "");
    while (left) {
        uint32_t part = MIN(left, 3900);
        struct pkt *pkt = pkt_alloc(64, part, ALLOC_DEFAULT);
        memset(pkt_put(pkt, part), 'x', part);
        tcp_send(tp, pkt);
        left -= part;
    }
    tcp_push(tp, more, urgent);
}

static void call_recv(char *at)
{
    struct tcp *tp = connection();
    uint32_t left = number(next_word(&at)), from = tp->read - s.isn;
    if (tcp_readable(tp) < left)
        wrong("there is not so much to read", "");
    for (const struct pkt *pkt = tcp_first(tp); left && pkt; pkt = pkt->next) {
        uint8_t data[65536];
        uint32_t part = MIN(left, pkt->total);
        pkt_read(pkt, 0, data, part);
        for (uint32_t i = 0; i < part; i++)
            if (data[i] != byte_of(from + i))
                wrong("a byte differs", "");
        from += part;
        left -= part;
    }
    tcp_consume(tp, from - (tp->read - s.isn));
}

static void call_oob(char *at)
{
    uint8_t byte;
    uint32_t where = number(next_word(&at));
    int err = tcp_read_urgent(connection(), &byte, false);
    if (err || byte != byte_of(where))
        wrong("another urgent byte", "");
}

/* TCP_FASTOPEN_KEY: so many, all different. */
static void use_keys(void)
{
    for (unsigned i = 0; i < TCP_FAST_KEYS; i++)
        memset(&s.keys.key[i], (int)i + 1, sizeof s.keys.key[i]);
    s.listener.fast_keys = s.keys.count ? &s.keys : NULL;
}

static void call_set(char *at)
{
    const char *name = next_word(&at);
    uint32_t value = number(next_word(&at));
    struct tcp none, *tp = s.tp ? s.tp : &none;
    const struct {
        const char *name;
        void *where;
        unsigned size;
        bool own; /* of a connection */
    } settings[] = {
        {"nodelay", &tp->no_delay, 1, true},
        {"cork", &tp->cork, 1, true},
        {"user_timeout", &tp->user_timeout_ms, 4, true},
        {"keep_idle", &tp->keep_idle_s, 2, true},
        {"keep_interval", &tp->keep_interval_s, 2, true},
        {"keep_count", &tp->keep_count, 1, true},
        {"linger2", &tp->linger2_s, 1, true},
        {"maxseg", &tp->mss_user, 2, true},
        {"no_quick", &tp->no_quick, 1, true},
        {"quick", &tp->quick_acks, 1, true},
        {"inline", &tp->oob_inline, 1, true},
        {"burst", &tp->input_more, 1, true},
        {"memory", &fixture_stack.memory, 1, false}, /* enum tcp_memory */
        {"reno", &fixture_stack.reno, 1, false},
        {"ecn", &fixture_stack.ecn, 1, false},
        {"syncookies", &fixture_stack.syncookies, 1, false},
        {"rmem", &fixture_stack.read_default, 4, false},
        {"rmem_max", &fixture_stack.read_max, 4, false},
        {"wmem", &fixture_stack.write_default, 4, false},
        {"retries", &fixture_stack.retries, 1, false},
        {"defer", &s.listener.defer_s, 4, false},
        {"fast", &s.listener.fast_limit, 4, false},
        {"keys", &s.keys.count, 4, false},
        {"path", &s.path, 4, false},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(settings); i++)
        if (name && strcmp(settings[i].name, name) == 0) {
            if (settings[i].own)
                connection();
            memcpy(settings[i].where, &value, settings[i].size); /* little endian hosts */
            if (strcmp(name, "cork") == 0 && !value)
                tcp_uncork(s.tp);
            if (strcmp(name, "burst") == 0 && !value)
                tcp_input_end(s.tp);
            if (strcmp(name, "keys") == 0)
                use_keys();
            return;
        }
    wrong("no such setting:", name ? name : "");
}

/* The handshake: 10 ms from SYN to SYN,ACK. */
static void call_establish(char *at)
{
    bool passive = strstr(at, "passive") != NULL;
    char text[300], *word = strstr(at, "passive");
    if (word)
        memset(word, ' ', strlen("passive"));
    bool plain = strstr(at, "mss") == NULL;
    snprintf(text, sizeof text, "%s %s %s %s", passive ? "S 0" : "S. 0 ack 1",
             plain ? "mss 1000 sackok" : "", strstr(at, "win") ? "" : "win 65535", at);
    if (passive) {
        assert_int_equal(tcp_listener_init(&s.listener, &fixture_stack, 16), 0);
        s.listening = true;
    } else {
        s.tp = make();
        tcp_connect(s.tp);
        free_sent(take_sent());
        s.at_ns += 10 * NS_PER_MS;
        advance(s.at_ns, false);
    }
    struct text_segment t = parse_segment(text, s.isn, s.iss);
    inject(&t);
    struct sent *answer = take_sent();
    if (!answer)
        wrong("no answer to the handshake", "");
    free_sent(answer);
    s.auto_ts = s.tp ? s.tp->time_ok : t.wants_time;
    if (!passive)
        return;
    s.at_ns += 10 * NS_PER_MS;
    advance(s.at_ns, false);
    char ack[] = ". 1 ack 1";
    t = parse_segment(ack, s.isn, s.iss);
    inject(&t);
}

static void call_connect(char *at)
{
    const char *how = next_word(&at);
    struct pkt *pkt = NULL;
    s.tp = make();
    if (how && strcmp(how, "ask") == 0) {
        s.tp->fast.ask = true;
    } else if (how) {
        uint32_t len = number(next_word(&at));
        pkt = pkt_alloc(64, len, ALLOC_DEFAULT);
        memset(pkt_put(pkt, len), 'x', len);
        memset(s.tp->fast.cookie, 0x11, s.tp->fast.len = 8);
    }
    tcp_connect_with(s.tp, pkt);
}

static void call_open(char *word, char *at)
{
    if (strcmp(word, "connect") == 0) {
        call_connect(at);
    } else if (strcmp(word, "listen") == 0) {
        char *backlog = next_word(&at);
        assert_int_equal(
            tcp_listener_init(&s.listener, &fixture_stack, backlog ? number(backlog) : 16), 0);
        if (backlog)
            s.listener.limit = number(backlog);
        s.listening = true;
    } else if (strcmp(word, "establish") == 0) {
        call_establish(at);
    } else if (strcmp(word, "isn") == 0) {
        s.isn = number(next_word(&at));
    } else if (strcmp(word, "auto") == 0) {
        s.auto_ts = true;
    } else if (strcmp(word, "timewait") == 0) {
        want_state("TIME_WAIT");
        tcp_tw_init(&s.tw, s.tp);
        s.has_tw = true;
    } else {
        wrong("no such word:", word);
    }
}

static void call_icmp(char *word, char *at)
{
    uint32_t seq = s.iss + number(next_word(&at)), value = number(next_word(&at));
    char *kind = next_word(&at);
    if (strcmp(word, "icmp") == 0)
        tcp_icmp(connection(), seq, (int)value, kind && strcmp(kind, "hard") == 0);
    else if (tcp_icmp_too_big(connection(), seq, value) == (kind != NULL))
        wrong("ICMP was", kind ? "believed" : "ignored");
}

static void call(char *word, char *at)
{
    struct tcp *tp = s.tp;
    if (strcmp(word, "send") == 0)
        call_send(at);
    else if (strcmp(word, "recv") == 0)
        call_recv(at);
    else if (strcmp(word, "oob") == 0)
        call_oob(at);
    else if (strcmp(word, "shutdown") == 0)
        tcp_shutdown(connection());
    else if (strcmp(word, "close") == 0)
        tcp_close(connection());
    else if (strcmp(word, "abort") == 0)
        tcp_abort(connection(), 0);
    else if (strcmp(word, "keepalive") == 0)
        tcp_set_keep_alive(connection(), true);
    else if (strcmp(word, "set") == 0)
        call_set(at);
    else if (strcmp(word, "state") == 0)
        want_state(next_word(&at));
    else if (strcmp(word, "error") == 0)
        want_number("error", (uint64_t)connection()->error, at);
    else if (strcmp(word, "readable") == 0)
        want_number("readable", tcp_readable(connection()), at);
    else if (strcmp(word, "eof") == 0)
        want_number("FIN received", connection()->fin_received, at);
    else if (strcmp(word, "cwnd") == 0)
        want_number("cwnd", connection()->cong.window, at);
    else if (strcmp(word, "ssthresh") == 0)
        want_number("ssthresh", connection()->cong.threshold, at);
    else if (strcmp(word, "srtt") == 0)
        want_number("srtt", (connection()->srtt >> 3) / 1000, at);
    else if (strcmp(word, "mss") == 0)
        want_number("mss", connection()->mss, at);
    else if (strcmp(word, "mark") == 0)
        want_number("distance", (uint64_t)tcp_urgent_distance(tp), at);
    else if (strcmp(word, "embryos") == 0)
        want_number("embryos", s.listener.count, at);
    else if (strcmp(word, "accepted") == 0)
        want_number("accepted", s.tp != NULL, at);
    else if (strcmp(word, "count") == 0)
        want_count(at);
    else if (strcmp(word, "icmp") == 0 || strcmp(word, "toobig") == 0)
        call_icmp(word, at);
    else
        call_open(word, at);
}

#endif
