/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: tools/cli/netfault.c tools/cli/wirefault.c tools/cli/util.c */
/* include: tools/cli */
/* netfault_test.c - what a bad cable does: its words, how often it does what, when frames arrive.
 */
#include "tool_test.h"

#include "netfault.h"

#define FRAMES 20000u
#define LEN 100u
#define MS 1000000u
#define ALL "loss=1,duplicate=1,corrupt=1,reorder=1,delay=2ms,jitter=1ms,seed="

static struct cable_faults parsed(const char *words)
{
    struct cable_faults faults;

    assert_null(cable_parse(words, &faults));
    return faults;
}

static void words(void **state)
{
    struct cable_faults f = parsed("loss=1,reorder=0.1%,duplicate=100%,corrupt=0.0001");
    const struct wire_faults *w = &f.wire;

    (void)state;
    assert_true(f.any && w->chance[WIRE_LOSS] == 42949672 && w->chance[WIRE_REORDER] == 4294967);
    assert_true(w->chance[WIRE_DUPLICATE] == UINT32_MAX && w->chance[WIRE_CORRUPT] == 4294);
    f = parsed(
        "delay=50ms,jitter=1.5us,rate=10mbit,down=2s/10s,down=1s..2s,seed=7,limit=20,mtu=600");
    assert_true(w->delay == 50 * MS && w->jitter == 1500 && w->rate == 10000000);
    assert_true(w->down_ns == 2000ull * MS && w->of_ns == 10000ull * MS);
    assert_true(w->down_count == 1 && w->down[0].from == 1000ull * MS &&
                w->down[0].to == 2000ull * MS);
    assert_true(f.seed == 7 && w->limit == 20 && w->mtu == 600);
    assert_false(parsed("").any);
}

static void wrong_words(void **state)
{
    static const char *const wrong[] = {
        "loss",        "loss=",     "loss=101",  "loss=-1",     "loss=1x",
        "loss=nan",    "delay=50",  "delay=50h", "delay=-1ms",  "delay=1e30s",
        "rate=1",      "rate=10mb", "down=2s",   "down=10s/2s", "down=2s/2s",
        "seed=-1",     "seed=",     "limit=0",   "lost=1",      "delay=3601s",
        "down=2s..1s", "mtu=575",   "mtu=9001",  "jitter=",     "seed=99999999999999999999",
    };
    struct cable_faults f;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (!cable_parse(wrong[i], &f))
            complain("%s is taken", wrong[i]);
}

/* Frames that go in one each `gap` ns: what comes out. */
static struct seen {
    unsigned count, changed, overtaken, twice;
    uint64_t first, last, hash;
} seen;

static uint8_t came[FRAMES];

static void look(struct cable_way *way, uint64_t now)
{
    uint64_t next;
    size_t len;
    const uint8_t *frame;

    while ((frame = cable_first(way, now, &len, &next))) {
        static uint32_t highest;
        uint32_t number, bits = 0;

        assert_int_equal(len, LEN);
        memcpy(&number, frame + 4, 4); /* the link's header is never changed */
        assert_true(number < FRAMES);
        for (unsigned i = 14; i < LEN; i++)
            bits += (unsigned)__builtin_popcount(frame[i] ^ (uint8_t)(number + i));
        assert_true(bits <= 1);
        seen.changed += bits;
        if (seen.count == 0)
            highest = 0;
        seen.overtaken += number < highest;
        highest = number > highest ? number : highest;
        seen.twice += came[number];
        assert_true(came[number]++ < 2);
        if (seen.count++ == 0)
            seen.first = now;
        seen.last = now;
        seen.hash = (seen.hash ^ number ^ now) * 0x100000001b3;
        cable_drop(way);
    }
    assert_true(next > now);
}

static void send_all(const char *what, uint64_t gap)
{
    struct cable_faults f = parsed(what);
    struct cable_way *way = cable_way_new(&f, 0);
    uint8_t frame[LEN] = {[12] = 8};

    memset(&seen, 0, sizeof(seen));
    memset(came, 0, sizeof(came));
    for (uint32_t n = 0; n < FRAMES; n++) {
        memcpy(frame + 4, &n, 4);
        for (unsigned i = 14; i < LEN; i++)
            frame[i] = (uint8_t)(n + i);
        cable_put(way, n * gap, frame, LEN);
        look(way, n * gap);
    }
    for (uint64_t now = FRAMES * gap; now <= FRAMES * gap + 2000ull * MS; now += MS)
        look(way, now);
    cable_way_free(way);
}

static void chances(void **state)
{
    (void)state;
    send_all("", 1000);
    assert_true(seen.count == FRAMES && !seen.overtaken && !seen.changed && !seen.twice);
    send_all("loss=10", 1000);
    assert_in_range(seen.count, FRAMES * 88 / 100, FRAMES * 92 / 100);
    assert_true(!seen.overtaken && !seen.changed && !seen.twice);
    send_all("duplicate=10", 1000);
    assert_int_equal(seen.count, FRAMES + seen.twice);
    assert_in_range(seen.twice, FRAMES * 8 / 100, FRAMES * 12 / 100);
    send_all("corrupt=10", 1000);
    assert_in_range(seen.changed, FRAMES * 8 / 100, FRAMES * 12 / 100);
    send_all("reorder=10",
             MS / 200); /* one comes up to a millisecond later, behind 100 others on average */
    assert_true(seen.count == FRAMES);
    assert_in_range(seen.overtaken, FRAMES * 8 / 100, FRAMES * 12 / 100);
}

static void times(void **state)
{
    (void)state;
    send_all("delay=50ms", MS);
    assert_true(seen.count == FRAMES && seen.first == 50 * MS && !seen.overtaken);
    assert_int_equal(seen.last, (FRAMES - 1 + 50) * (uint64_t)MS);
    send_all("delay=50ms,jitter=10ms", MS);
    assert_true(seen.count == FRAMES && !seen.overtaken);
    assert_in_range(seen.first, 50 * MS, 60 * MS);
    /* 124 bytes in a millisecond, and twice as many come: half of them goes. */
    send_all("rate=992kbit", MS / 2);
    assert_in_range(seen.count, FRAMES / 2, FRAMES / 2 + 1100);
    send_all("down=250ms/1s", MS);
    assert_int_equal(seen.count, FRAMES * 3 / 4);
    send_all("down=250ms..500ms,down=1s..2s", MS);
    assert_int_equal(seen.count, FRAMES - 1250);
    send_all("delay=1s,rate=9920bit,limit=10", MS); /* a tenth of a second each */
    assert_in_range(seen.count, FRAMES / 100 - 1, FRAMES / 100 + 11);
}

/* Edges inside another time are none. */
static void link_changes(void **state)
{
    static const uint64_t edges[] = {900, 1000, 1500, 2500, 2900, 3000};
    struct cable_faults f = parsed("down=100ms/1s,down=1500ms..2s,down=1950ms..2500ms");
    uint64_t time = 0;

    (void)state;
    for (unsigned i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        time = wire_link_change(&f.wire, time);
        assert_int_equal(time, edges[i] * MS);
        assert_int_equal(wire_link(&f.wire, time), i % 2);
    }
    f = parsed("down=1s..2s");
    assert_int_equal(wire_link_change(&f.wire, 1000ull * MS), 2000ull * MS);
    assert_int_equal(wire_link_change(&f.wire, 2000ull * MS), UINT64_MAX);
}

static void same_seed(void **state)
{
    uint64_t hash;

    (void)state;
    send_all(ALL "3", MS);
    hash = seen.hash;
    send_all(ALL "3", MS);
    assert_true(hash == seen.hash);
    send_all(ALL "4", MS);
    assert_true(hash != seen.hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words), cmocka_unit_test(wrong_words),  cmocka_unit_test(chances),
        cmocka_unit_test(times), cmocka_unit_test(link_changes), cmocka_unit_test(same_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
