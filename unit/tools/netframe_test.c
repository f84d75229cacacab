/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: tools/cli/netframe.c */
/* include: tools/cli */
/* netframe_test.c - records of the switch become frames: checksums, segments, nonsense. What comes
 * is checked as a receiver would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../tools/cli/netframe.h"

static uint8_t record[NET_HEADER + NET_FRAME_MAX];
static struct {
    unsigned count;
    size_t payload; /* seen so far */
    uint32_t sequence, flags_last, id_first;
} seen;

static uint32_t word(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t sum(const uint8_t *p, size_t len, uint32_t total)
{
    for (size_t i = 0; i < len; i++)
        total += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return total;
}

/* Header 54 bytes (IPv4, TCP), or 42 (UDP), or 74 (IPv6, TCP). */
static void check(void *arg, const uint8_t *frame, size_t len)
{
    unsigned header = *(unsigned *)arg, proto = header == 42 ? 17 : 6;
    unsigned transport = header == 74 ? 54 : 34;
    const uint8_t *tp = frame + transport;
    uint32_t pseudo;
    if (transport == 34) {
        assert_int_equal(word(frame + 16), len - 14);
        assert_int_equal(sum(frame + 14, 20, 0), 0xffff);
        assert_int_equal(word(frame + 18), seen.id_first + seen.count);
        pseudo = sum(frame + 26, 8, 0);
    } else {
        assert_int_equal(word(frame + 18), len - 54);
        pseudo = sum(frame + 22, 32, 0);
    }
    assert_int_equal(sum(tp, len - transport, pseudo + proto + (uint32_t)(len - transport)),
                     0xffff);
    if (proto == 6) {
        assert_int_equal((word(tp + 4) << 16 | word(tp + 6)), (uint32_t)(7 + seen.payload));
        seen.flags_last = tp[13];
    } else {
        assert_int_equal(word(tp + 4), len - transport);
    }
    for (size_t i = header; i < len; i++)
        assert_int_equal(frame[i], (uint8_t)(seen.payload++ * 3));
    seen.count++;
}

static size_t make(unsigned header, size_t payload, uint8_t gso, uint16_t size)
{
    uint8_t *frame = record + NET_HEADER;
    uint16_t start = header == 74 ? 54 : 34, offset = header == 42 ? 6 : 16;
    size_t len = header + payload;
    memset(record, 0, sizeof(record));
    memset(&seen, 0, sizeof(seen));
    record[0] = 1;
    record[1] = gso;
    memcpy(record + 4, &size, 2);
    memcpy(record + 6, &start, 2);
    memcpy(record + 8, &offset, 2);
    frame[12] = header == 74 ? 0x86 : 0x08;
    frame[13] = header == 74 ? 0xdd : 0;
    frame[14] = header == 74 ? 0x60 : 0x45;
    frame[18] = header == 74 ? (uint8_t)((len - 54) >> 8) : 0x12;
    frame[19] = header == 74 ? (uint8_t)(len - 54) : 0x34;
    seen.id_first = 0x1234;
    if (header != 74) {
        frame[16] = (uint8_t)((len - 14) >> 8);
        frame[17] = (uint8_t)(len - 14);
        frame[23] = header == 42 ? 17 : 6;
        memcpy(frame + 26, (uint8_t[]){10, 1, 2, 3, 10, 4, 5, 6}, 8);
        uint32_t value = ~sum(frame + 14, 20, 0);
        frame[24] = (uint8_t)(value >> 8);
        frame[25] = (uint8_t)value;
    } else {
        for (int i = 0; i < 32; i++)
            frame[22 + i] = (uint8_t)(i * 5);
    }
    if (header == 42) {
        frame[start + 4] = (uint8_t)((len - start) >> 8);
        frame[start + 5] = (uint8_t)(len - start);
    } else {
        frame[start + 7] = 7;
        frame[start + 12] = 0x50;
        frame[start + 13] = 0x80 | 0x10 | 0x08 | 0x01; /* CWR ACK PSH FIN */
    }
    for (size_t i = 0; i < payload; i++)
        frame[header + i] = (uint8_t)(i * 3);
    /* The field holds the pseudo header's sum. */
    uint32_t pseudo = header == 74 ? sum(frame + 22, 32, 0) : sum(frame + 26, 8, 0);
    pseudo = sum(NULL, 0, pseudo + (header == 42 ? 17u : 6u) + (uint32_t)(len - start));
    frame[start + offset] = (uint8_t)(pseudo >> 8);
    frame[start + offset + 1] = (uint8_t)pseudo;
    return NET_HEADER + len;
}

static void checksums_are_completed(void **state)
{
    static const unsigned headers[] = {54, 42, 74};
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        for (size_t payload = 0; payload < 5; payload++) {
            unsigned header = headers[i];
            size_t len = make(header, payload, 0, 0);
            assert_true(net_frames(record, len, check, &header));
            assert_int_equal(seen.count, 1);
        }
}

static void long_ones_are_cut(void **state)
{
    static const struct {
        unsigned header;
        uint8_t gso;
    } kinds[] = {{54, 1}, {54, 0x81}, {74, 4}, {42, 5}};
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        for (size_t payload = 1440; payload < 60000; payload += 7001) {
            unsigned header = kinds[i].header;
            size_t len = make(header, payload, kinds[i].gso, 1441);
            assert_true(net_frames(record, len, check, &header));
            assert_int_equal(seen.count, (payload + 1440) / 1441);
            assert_int_equal(seen.payload, payload);
            if (header != 42) /* the last one ends the stream; CWR is the first one's only */
                assert_int_equal(seen.flags_last,
                                 seen.count > 1 ? 0x10 | 0x08 | 0x01 : 0x80 | 0x10 | 0x08 | 0x01);
        }
}

static void never(void *arg, const uint8_t *frame, size_t len)
{
    (void)arg;
    (void)frame;
    (void)len;
    fail();
}

static void nonsense_is_nothing(void **state)
{
    (void)state;
    size_t len = make(54, 100, 1, 0); /* no size */
    assert_false(net_frames(record, len, never, NULL));
    len = make(54, 100, 9, 100); /* no kind */
    assert_false(net_frames(record, len, never, NULL));
    len = make(54, 100, 1, 50);
    record[NET_HEADER + 34 + 12] = 0xf0; /* options beyond the end */
    assert_false(net_frames(record, NET_HEADER + 80, never, NULL));
    record[NET_HEADER + 34 + 12] = 0x10; /* shorter than it can be */
    assert_false(net_frames(record, len, never, NULL));
    for (unsigned start = 0; start < 65536; start += 51) {
        len = make(54, 100, 0, 0);
        memcpy(record + 6, &(uint16_t){(uint16_t)start}, 2);
        if (start < 14 || start + 18 > len - NET_HEADER)
            assert_false(net_frames(record, len, never, NULL));
    }
    assert_false(net_frames(record, NET_HEADER + 13, never, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_are_completed),
        cmocka_unit_test(long_ones_are_cut),
        cmocka_unit_test(nonsense_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
