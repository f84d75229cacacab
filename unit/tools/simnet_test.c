/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: tools/cli/simnet.c tools/cli/wirefault.c tools/cli/simfile.c tools/cli/util.c */
/* include: tools/cli hosted */
/* simnet_test.c - what a simulated network does to frames: who gets them, when, how many not. */
#include "tool_test.h"

#include <unistd.h>

#include "sim.h"

#define NODES "node a x\nnode b x\nnode c x\n"
#define FRAMES 20000u
#define LEN 100u
#define MS 1000000ull
#define US 1000ull

static struct sim sim;
static struct arrival {
    unsigned from, to;
    uint64_t time;
    struct sim_wire head;
    uint8_t data[LEN];
} arrivals[3 * FRAMES];
static unsigned count;

void sim_post(struct sim *s, unsigned from, unsigned to, uint64_t arrival,
              const struct sim_wire *head, const void *data)
{
    assert_ptr_equal(s, &sim);
    assert_true(count < sizeof(arrivals) / sizeof(*arrivals));
    arrivals[count] = (struct arrival){.from = from, .to = to, .time = arrival, .head = *head};
    if (data)
        memcpy(arrivals[count].data, data, head->len < LEN ? head->len : LEN);
    count++;
}

/* The net line of a file with three nodes. */
static struct sim_net *begin(const char *line)
{
    char path[] = "/tmp/simnet-test-XXXXXX";
    int fd = mkstemp(path);
    uint64_t seeds = 1;

    assert_true(fd >= 0 && dprintf(fd, NODES "%s\n", line) > 0 && close(fd) == 0);
    memset(&sim, 0, sizeof(sim));
    count = 0;
    sim_file_read(&sim, path);
    unlink(path);
    sim_net_prepare(&sim);
    sim_net_start(&sim, &seeds);
    return &sim.nets[0];
}

/* From the first node, to the second or another address. */
static void send(uint64_t time, unsigned last_byte, uint32_t len)
{
    static uint8_t frame[10000];
    struct sim_wire head = {.kind = SIM_WIRE_DATA, .port = SIM_WIRE_NET, .len = len, .time = time};

    memset(frame, 0, sizeof(frame));
    frame[0] = 2;
    frame[5] = (uint8_t)last_byte;
    frame[12] = 8;
    memcpy(frame + 14, &time, sizeof(time));
    sim_net_take(&sim, 0, &head, frame);
}

static void send_many(uint64_t apart)
{
    for (unsigned i = 0; i < FRAMES; i++)
        send(i * apart, 2, LEN);
}

static void who_gets_it(void **state)
{
    struct sim_net *net = begin("net a b c delay=2ms");

    (void)state;
    assert_string_equal(sim.nodes[1].options.boot.items[0], "ip=10.0.0.2/24");
    assert_string_equal(sim.nodes[0].options.hosts, "10.0.0.1 a\n10.0.0.2 b\n10.0.0.3 c\n");
    send(5, 2, LEN);
    assert_true(count == 1 && arrivals[0].to == 1 && arrivals[0].time == 5 + 2 * MS);
    send(6, 99, LEN);
    assert_true(count == 3 && arrivals[1].to == 1 && arrivals[2].to == 2);
    send(7, 1, LEN); /* to itself: nobody else's */
    assert_int_equal(count, 3);
    send(8, 2, 13); /* not even a header */
    assert_true(count == 3 && net->counts[WIRE_SENT] == 3);
}

static void chances(void **state)
{
    struct sim_net *net = begin("net a b c loss=1 duplicate=2% corrupt=3");
    unsigned changed = 0;

    (void)state;
    send_many(US);
    assert_in_range(net->counts[WIRE_LOSS], 150, 250);
    assert_in_range(net->counts[WIRE_DUPLICATE], 330, 470);
    assert_in_range(net->counts[WIRE_CORRUPT], 500, 700);
    assert_int_equal(net->counts[WIRE_SENT], FRAMES);
    for (unsigned i = 0; i < count; i++) {
        uint8_t sent[LEN] = {2, 0, 0, 0, 0, 2, [12] = 8};
        unsigned bits = 0;

        memcpy(sent + 14, &arrivals[i].head.time, 8);
        for (unsigned k = 0; k < LEN; k++)
            bits += (unsigned)__builtin_popcount(sent[k] ^ arrivals[i].data[k]);
        assert_true(bits <= 1);
        changed += bits;
    }
    assert_int_equal(changed, net->counts[WIRE_CORRUPT]);
    begin("net a b c loss=100");
    send_many(US);
    assert_int_equal(count, 0);
}

static void order(void **state)
{
    struct sim_net *net = begin("net a b c delay=1ms jitter=3ms");
    unsigned late = 0;

    (void)state;
    send_many(10 * US);
    for (unsigned i = 0; i < count; i++) {
        assert_in_range(arrivals[i].time, arrivals[i].head.time + MS,
                        arrivals[i].head.time + 4 * MS);
        assert_true(i == 0 || arrivals[i].time >= arrivals[i - 1].time);
    }
    net = begin("net a b c delay=1ms reorder=5");
    send_many(10 * US);
    for (unsigned i = 0; i < count; i++) {
        assert_in_range(arrivals[i].time, arrivals[i].head.time + MS,
                        arrivals[i].head.time + 2 * MS);
        late += arrivals[i].time > arrivals[i].head.time + MS;
    }
    assert_in_range(late, 900, 1100);
    assert_int_equal(late, net->counts[WIRE_REORDER]);
}

static void rate(void **state)
{
    /* 124 bytes take 992 us at a megabit. */
    struct sim_net *net = begin("net a b c delay=1ms rate=1mbit limit=10");

    (void)state;
    for (unsigned i = 0; i < 30; i++)
        send(0, 2, LEN);
    assert_true(count == 10 && net->counts[WIRE_FULL] == 20);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(arrivals[i].time, MS + (i + 1) * 992 * US);
    send(992 * US - 1, 2, LEN);
    assert_int_equal(count, 10);
    send(992 * US, 2, LEN);
    assert_true(count == 11 && arrivals[10].time == MS + 11 * 992 * US);
    send(1000 * MS, 2, LEN);
    assert_int_equal(arrivals[11].time, 1001 * MS + 992 * US);
}

static void down(void **state)
{
    static const uint64_t changes[] = {10 * MS, 20 * MS, 1000 * MS, 2000 * MS};
    struct sim_net *net = begin("net a b c delay=1ms down=10ms..20ms down=1s..2s");

    (void)state;
    /* Each node is told of each change, of the next one when one happens. */
    assert_int_equal(count, 3);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned k = 0; k < 4; k++) {
            const struct arrival *a = &arrivals[k == 0 ? i : 3 + 3 * i + k - 1];

            assert_true(a->from == i && a->to == i && a->head.kind == SIM_WIRE_LINK);
            assert_true(a->head.a == k % 2 && a->time == changes[k]);
            sim_net_link(&sim, i, a->time);
        }
    assert_int_equal(count, 12);
    send(8 * MS, 2, LEN);
    assert_int_equal(count, 13);
    send(9 * MS, 2, LEN); /* on its way when it happens */
    send(15 * MS, 2, LEN);
    assert_true(count == 13 && net->counts[WIRE_DOWN] == 2);
    send(20 * MS, 2, LEN);
    assert_int_equal(count, 14);
    /* Down from the beginning; and again and again, for an hour. */
    (void)begin("net a b c down=0s..1s");
    assert_true(count == 3 && arrivals[0].time == 0 && arrivals[0].head.a == 0);
    (void)begin("net a b c down=1s/1800s");
    sim_net_link(&sim, 0, 3599000 * MS);
    assert_true(count == 4 && arrivals[3].time == 3600000 * MS && arrivals[3].head.a == 1);
    sim_net_link(&sim, 0, 3600000 * MS);
    assert_int_equal(count, 4);
}

static void mtu(void **state)
{
    struct sim_net *net = begin("net a b c mtu=1280");

    (void)state;
    send(0, 2, 1280 + 18);
    send(0, 2, 1280 + 19);
    assert_true(count == 1 && net->counts[WIRE_LONG] == 1);
    assert_int_equal(sim.nodes[2].options.net.mtu, 1280);
}

/* The same seed, the same: and one kind of mishap does not shift another. */
static void same(void **state)
{
    static struct arrival before[FRAMES];
    uint64_t lost, least = 0;

    (void)state;
    lost = begin("net a b c loss=1")->counts[WIRE_LOSS];
    assert_int_equal(lost, 0);
    send_many(US);
    assert_true(count <= FRAMES);
    memcpy(before, arrivals, count * sizeof(*before));
    least = count;
    begin("net a b c loss=1");
    send_many(US);
    assert_true(count == least && memcmp(before, arrivals, count * sizeof(*before)) == 0);
    begin("net a b c loss=1 reorder=10 corrupt=1");
    send_many(US);
    for (unsigned i = 0, k = 0; i < count; i++) {
        k += i > 0 && arrivals[i].head.time != arrivals[i - 1].head.time;
        assert_true(k < least && arrivals[i].head.time == before[k].head.time);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_gets_it), cmocka_unit_test(chances), cmocka_unit_test(order),
        cmocka_unit_test(rate),        cmocka_unit_test(down),    cmocka_unit_test(mtu),
        cmocka_unit_test(same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
