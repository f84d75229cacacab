/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/segment.c kernel/drv/gro.c kernel/lib/checksum.c */
/* gro_test.c - merging TCP segments: what is merged can be cut into what came; what differs in
 * anything is not, and keeps its order. */
#include <string.h>

#include <cmocka.h>

#include "drv/gro.h"
#include "drv/netdev.h"
#include "drv/segment.h"
#include "fake.h"
#include "lib/bytes.h"
#include "lib/checksum.h"
#include "mm/account.h"
#include "mm/kmalloc.h"

#define MSS 1000u
#define OPTIONS 12u

static struct gro gro;
static struct pkt *out[200];
static unsigned out_count;

static void deliver(struct pkt *pkt)
{
    out[out_count++] = pkt;
}

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(16u << 20);
    page_init();
    kmalloc_init();
    pkt_init();
    memset(&gro, 0, sizeof(gro));
    out_count = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < out_count; i++)
        pkt_free(out[i]);
    out_count = 0;
    return 0;
}

struct frame {
    bool v6;
    uint32_t seq, len;
    uint8_t flags;
    uint16_t id;
};

/* The headers' checksums, after whatever was changed. */
static void sum_up(struct pkt *pkt, bool v6)
{
    uint8_t *ip = pkt->data + 14, *tcp = ip + (v6 ? 40 : 20);
    uint32_t at = (uint32_t)(tcp - pkt->data), len = pkt->total - at, addresses = v6 ? 32 : 8;
    uint16_t sum;
    if (!v6) {
        put_be16(ip + 10, 0);
        sum = (uint16_t)~checksum_add(ip, 20, 0);
        memcpy(ip + 10, &sum, 2);
    }
    put_be16(tcp + 16, 0);
    sum = (uint16_t)~pkt_checksum(
        pkt, at, len,
        checksum_add(tcp - addresses, addresses, (uint32_t)net16(6) + net16((uint16_t)len)));
    memcpy(tcp + 16, &sum, 2);
}

static struct pkt *make(struct frame f)
{
    uint32_t network = f.v6 ? 40 : 20, headers = 14 + network + 20 + OPTIONS;
    struct pkt *pkt = pkt_alloc(18, headers + f.len, ALLOC_DEFAULT);
    uint8_t *at = pkt_put(pkt, headers + f.len), *ip = at + 14, *tcp = ip + network;
    memset(at, 0, headers);
    memcpy(at, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
    put_be16(at + 12, f.v6 ? 0x86dd : 0x0800);
    if (f.v6) {
        ip[0] = 0x60;
        put_be16(ip + 4, (uint16_t)(20 + OPTIONS + f.len));
        ip[6] = 6;
        ip[7] = 64;
        ip[23] = 1;
        ip[39] = 2;
    } else {
        ip[0] = 0x45;
        put_be16(ip + 2, (uint16_t)(20 + 20 + OPTIONS + f.len));
        put_be16(ip + 4, f.id);
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = 6;
        put_be32(ip + 12, 0x0a000001);
        put_be32(ip + 16, 0x0a000002);
    }
    put_be16(tcp, 80);
    put_be16(tcp + 2, 4000);
    put_be32(tcp + 4, f.seq);
    put_be32(tcp + 8, 77);
    tcp[12] = (20 + OPTIONS) / 4 << 4;
    tcp[13] = f.flags | 0x10;
    put_be16(tcp + 14, 500);
    memcpy(tcp + 20, "\1\1\x08\x0a\0\0\0\1\0\0\0\2", OPTIONS);
    for (uint32_t i = 0; i < f.len; i++)
        at[headers + i] = (uint8_t)((f.seq + i) * 7);
    sum_up(pkt, f.v6);
    return pkt;
}

static bool put(struct frame f)
{
    return gro_receive(&gro, make(f), deliver);
}

static void flush(void)
{
    gro_flush(&gro, deliver);
}

/* What was merged, cut again, is what came. */
static void segments_become_one(void **state)
{
    (void)state;
    for (unsigned v6 = 0; v6 < 2; v6++) {
        struct frame f = {.v6 = v6, .seq = 0xfffffff0, .len = MSS, .id = 65530};
        uint8_t got[2000];
        assert_false(put(f));
        for (unsigned i = 1; i < 10; i++) {
            f.seq += MSS;
            f.id++;
            f.len = i == 9 ? 300 : MSS;
            f.flags = i == 9 ? 9 : 0; /* FIN, PSH */
            assert_true(put(f));
        }
        flush();
        assert_int_equal(out_count, 1);
        struct pkt *pkt = out[--out_count];
        assert_int_equal(pkt->total, 14 + (v6 ? 40 : 20) + 20 + OPTIONS + 9 * MSS + 300);
        assert_int_equal(pkt->gso, v6 ? PKT_GSO_TCP6 : PKT_GSO_TCP4);
        assert_int_equal(pkt->gso_size, MSS);
        assert_int_equal(pkt->checksum, PKT_CHECKSUM_GOOD);
        pkt->network = (uint16_t)(pkt_headroom(pkt) + 14);
        pkt->transport = pkt->checksum_start = (uint16_t)(pkt->network + (v6 ? 40 : 20));
        pkt->checksum_field = 16;
        /* As a sender has it: the pseudo header's sum of all. */
        uint8_t *tcp = pkt->data + 14 + (v6 ? 40 : 20);
        uint32_t addresses = v6 ? 32 : 8;
        uint16_t len = (uint16_t)(pkt->total - 14 - (v6 ? 40 : 20));
        uint16_t pseudo = checksum_add(tcp - addresses, addresses, (uint32_t)net16(6) + net16(len));
        memcpy(tcp + 16, &pseudo, 2);
        pkt->checksum = PKT_CHECKSUM_PARTIAL;
        struct pkt *list = segment(pkt, 0), *next;
        f = (struct frame){.v6 = v6, .seq = 0xfffffff0, .len = MSS, .id = 65530};
        for (unsigned i = 0; i < 10; i++, f.seq += MSS, f.id++, list = next) {
            f.len = i == 9 ? 300 : MSS;
            f.flags = i == 9 ? 9 : 0;
            struct pkt *want = make(f);
            assert_non_null(list);
            assert_int_equal(list->total, want->total);
            pkt_read(list, 0, got, list->total);
            assert_memory_equal(got, want->data, want->total);
            pkt_free(want);
            next = list->next;
            list->next = NULL;
            pkt_free(list);
        }
        assert_null(list);
    }
}

/* A second segment in which the byte at `at` differs. */
static void what_differs_is_not_merged(void **state)
{
    static const struct {
        bool v6;
        uint8_t at, change;
        bool merges;
    } cases[] = {
        {false, 200, 1, true},                               /* data */
        {true, 200, 1, true},          {false, 1, 1, false}, /* the Ethernet address */
        {false, 14 + 1, 1, false},                           /* ECN */
        {false, 14 + 8, 1, false},                           /* life time */
        {false, 14 + 5, 1, true},                            /* identification, with DF */
        {false, 14 + 6, 64, false},                          /* DF */
        {false, 14 + 6, 32, false},                          /* a fragment */
        {false, 14 + 15, 1, false},                          /* address */
        {false, 34 + 0, 1, false},                           /* port */
        {false, 34 + 7, 1, false},                           /* sequence number */
        {false, 34 + 11, 1, false},                          /* acknowledgement */
        {false, 34 + 15, 1, false},                          /* window */
        {false, 34 + 13, 0x02, false}, {false, 34 + 13, 0x04, false},
        {false, 34 + 13, 0x20, false}, {false, 34 + 13, 0x40, false},
        {false, 34 + 13, 0x80, false}, {false, 34 + 13, 0x10, false},
        {false, 34 + 13, 0x01, true},  {false, 34 + 13, 0x08, true},
        {false, 34 + 19, 1, false},                              /* urgent pointer */
        {false, 34 + 27, 1, false},                              /* time stamp */
        {true, 14 + 1, 0x10, false},   {true, 14 + 3, 1, false}, /* flow label */
        {true, 14 + 7, 1, false},                                /* hop limit */
        {true, 14 + 6, 1, false},                                /* not TCP */
        {true, 14 + 23, 1, false},     {true, 54 + 31, 1, false},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct frame f = {.v6 = cases[i].v6, .seq = 1, .len = MSS};
        struct pkt *second;
        (void)put(f);
        f.seq += MSS;
        second = make(f);
        second->data[cases[i].at] ^= cases[i].change;
        sum_up(second, cases[i].v6);
        assert_int_equal(gro_receive(&gro, second, deliver), cases[i].merges);
        flush();
        assert_int_equal(out_count, cases[i].merges ? 1 : 2);
        if (!cases[i].merges && cases[i].at != 14 + 6) {
            assert_int_equal(out[0]->total, out[1]->total);
            assert_int_equal(out[0]->gso, PKT_GSO_NONE);
        }
        tear_down(state);
    }
}

static void checksums_are_looked_at(void **state)
{
    struct frame f = {.seq = 1, .len = MSS};
    struct pkt *pkt;
    (void)state;
    for (unsigned v6 = 0; v6 < 2; v6++) {
        f.v6 = v6;
        for (unsigned i = 0; i < 2; i++) {
            (void)put(f);
            f.seq += MSS;
            pkt = make(f);
            pkt->data[100] ^= 1; /* damaged on the way */
            pkt->checksum = i ? PKT_CHECKSUM_GOOD : PKT_CHECKSUM_NONE;
            assert_int_equal(gro_receive(&gro, pkt, deliver), i);
            flush();
            assert_int_equal(out[out_count - 1]->checksum,
                             i ? PKT_CHECKSUM_GOOD : PKT_CHECKSUM_NONE);
        }
        /* One that is damaged does not begin, either. */
        pkt = make(f);
        pkt->data[100] ^= 1;
        assert_false(gro_receive(&gro, pkt, deliver));
        assert_int_equal(gro.count, 0);
        tear_down(state);
    }
    pkt = make((struct frame){.seq = 1, .len = MSS});
    pkt->data[14 + 11] ^= 1; /* IPv4's */
    assert_false(gro_receive(&gro, pkt, deliver));
    assert_int_equal(gro.count, 0);
}

static void some_segments_are_the_last(void **state)
{
    struct frame f = {.seq = 1, .len = MSS};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        f.flags = 0;
        f.len = MSS;
        (void)put(f);
        f.seq += MSS;
        f.flags = i == 0 ? 8 : i == 1 ? 1 : 0;
        f.len = i == 2 ? 10 : MSS;
        assert_true(put(f));
        f.seq += f.len;
        f.flags = 0;
        f.len = MSS;
        assert_false(put(f)); /* a new one */
        flush();
        assert_int_equal(out_count, 2 * (i + 1));
        f.seq += MSS;
    }
    f.len = MSS + 1; /* longer than the first */
    (void)put((struct frame){.seq = f.seq - MSS, .len = MSS});
    assert_false(put(f));
}

static void order_is_kept(void **state)
{
    struct frame f = {.seq = 1, .len = MSS};
    (void)state;
    (void)put(f);
    f.seq += MSS;
    (void)put(f);
    (void)put((struct frame){.seq = f.seq + MSS}); /* an acknowledgement alone */
    assert_int_equal(out_count, 2);
    assert_int_equal(out[1]->total, 14 + 40 + OPTIONS);
    f.seq += 2 * MSS; /* one is missing */
    (void)put(f);
    f.seq -= MSS;
    (void)put(f);
    flush();
    assert_int_equal(out_count, 4);
    assert_true(get_be32(out[2]->data + 38) > get_be32(out[3]->data + 38));
}

/* A device that merges lets short ones go by themselves, and those are held. */
static void merged_ones_stay_behind(void **state)
{
    struct frame f = {.seq = 1, .len = 300};
    struct pkt *merged;
    (void)state;
    (void)put(f);
    f.seq += f.len;
    f.len = 3 * MSS;
    merged = make(f);
    merged->gso = PKT_GSO_TCP4;
    merged->gso_size = MSS;
    assert_false(gro_receive(&gro, merged, deliver));
    assert_int_equal(out_count, 2);
    assert_int_equal(get_be32(out[0]->data + 38), 1);
    assert_ptr_equal(out[1], merged);
    f.seq += f.len;
    f.len = MSS;
    (void)put(f); /* a new beginning */
    assert_int_equal(out_count, 2);
    flush();
    assert_int_equal(out_count, 3);
}

static void many_flows(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned flow = 0; flow < GRO_FLOWS; flow++) {
            struct pkt *pkt = make((struct frame){.seq = 1 + round * MSS, .len = MSS});
            put_be16(pkt->data + 34, (uint16_t)(1000 + flow));
            sum_up(pkt, false);
            assert_int_equal(gro_receive(&gro, pkt, deliver), round > 0);
        }
    assert_int_equal(out_count, 0);
    (void)put((struct frame){.seq = 1, .len = MSS}); /* one too many: the oldest goes */
    assert_int_equal(out_count, 1);
    assert_int_equal(get_be16(out[0]->data + 34), 1000);
    flush();
    assert_int_equal(out_count, GRO_FLOWS + 1);
}

static void a_packet_is_at_most_64_kib(void **state)
{
    struct frame f = {.seq = 1, .len = 1448};
    (void)state;
    for (unsigned i = 0; i < 100; i++, f.seq += 1448)
        (void)put(f);
    flush();
    assert_int_equal(out_count, 3);
    for (unsigned i = 0; i < out_count; i++) {
        assert_true(out[i]->total <= 14 + 65535);
        assert_int_equal(get_be16(out[i]->data + 16), out[i]->total - 14);
        assert_int_equal(checksum_add(out[i]->data + 14, 20, 0), 0xffff);
    }
}

static void padding_is_cut_off(void **state)
{
    struct pkt *pkt = make((struct frame){.seq = 1, .len = 10});
    (void)state;
    memset(pkt_put(pkt, 20), 0xaa, 20);
    assert_false(gro_receive(&gro, pkt, deliver));
    assert_true(put((struct frame){.seq = 11, .len = 10}));
    flush();
    assert_int_equal(out[0]->total, 14 + 40 + OPTIONS + 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(segments_become_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_differs_is_not_merged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(checksums_are_looked_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(some_segments_are_the_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(order_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merged_ones_stay_behind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_flows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_packet_is_at_most_64_kib, set_up, tear_down),
        cmocka_unit_test_setup_teardown(padding_is_cut_off, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
