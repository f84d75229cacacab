/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/net/classify.c */
/* classify_test.c - frames and what the classifier makes of them: each header cut short at each
 * byte, each field that can lie, and random bytes in memory that ends where the frame ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/bytes.h"
#include "net/classify.h"

struct frame {
    uint8_t bytes[256];
    uint32_t len;
};

static void put(struct frame *f, const void *bytes, uint32_t len)
{
    memcpy(f->bytes + f->len, bytes, len);
    f->len += len;
}

static void put_ether(struct frame *f, uint16_t type)
{
    static const uint8_t addresses[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
    put(f, addresses, sizeof addresses);
    put(f, (uint8_t[]){(uint8_t)(type >> 8), (uint8_t)type}, 2);
}

static void sum_ip4(uint8_t *header)
{
    uint32_t sum = 0, len = (header[0] & 0xf) * 4u;
    put_be16(header + 10, 0);
    for (uint32_t i = 0; i < len; i += 2)
        sum += get_be16(header + i);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put_be16(header + 10, (uint16_t)~sum);
}

/* From 10.0.0.2 to 10.0.0.1; `options` bytes of header options. */
static uint8_t *put_ip4(struct frame *f, uint8_t protocol, uint32_t payload, uint32_t options)
{
    uint8_t *header = f->bytes + f->len;
    uint8_t plain[20] = {(uint8_t)(0x45 + options / 4),
                         0,
                         0,
                         0,
                         0,
                         1,
                         0,
                         0,
                         64,
                         protocol,
                         0,
                         0,
                         10,
                         0,
                         0,
                         2,
                         10,
                         0,
                         0,
                         1};
    put_be16(plain + 2, (uint16_t)(20 + options + payload));
    put(f, plain, 20);
    memset(f->bytes + f->len, 1, options); /* "no operation" */
    f->len += options;
    sum_ip4(header);
    return header;
}

static uint8_t *put_ip6(struct frame *f, uint8_t next, uint32_t payload)
{
    uint8_t *header = f->bytes + f->len;
    uint8_t plain[40] = {0x60, 0, 0, 0, 0, 0, next, 64, 0xfd, 0, [23] = 2, 0xfd, 0, [39] = 1};
    put_be16(plain + 4, (uint16_t)payload);
    put(f, plain, 40);
    return header;
}

static void put_udp(struct frame *f, uint16_t len)
{
    put(f, (uint8_t[]){0x30, 0x39, 0, 53, (uint8_t)(len >> 8), (uint8_t)len, 0, 0}, 8);
    memset(f->bytes + f->len, 'x', len - 8u);
    f->len += len - 8u;
}

static void put_tcp(struct frame *f, uint8_t words)
{
    put(f, (uint8_t[20]){0x30, 0x39, 0, 80, [12] = (uint8_t)(words << 4)}, 20);
    memset(f->bytes + f->len, 1, words * 4u - 20u);
    f->len += words * 4u - 20u;
}

/* In memory of just that size, so that AddressSanitizer sees a step too far. */
static enum classify_verdict ask_part(const struct frame *f, uint32_t len, uint32_t total,
                                      bool link, struct classified *out)
{
    uint8_t *copy = malloc(len + 1u);
    memcpy(copy, f->bytes, len);
    copy = realloc(copy, len ? len : 1);
    enum classify_verdict verdict = classify(copy, len, total, link, out);
    free(copy);
    return verdict;
}

static enum classify_verdict ask(const struct frame *f)
{
    struct classified out;
    return ask_part(f, f->len, f->len, true, &out);
}

/* All shorter versions of it are short, whether the rest is missing or only not at hand. `headers`:
 * what must be at hand. */
static void cut_everywhere(const struct frame *f, uint32_t headers, bool link)
{
    struct classified out;
    for (uint32_t len = 0; len < f->len; len++) {
        assert_int_equal(ask_part(f, len, len, link, &out), CLASSIFY_SHORT);
        assert_int_equal(ask_part(f, len, f->len, link, &out),
                         len < headers ? CLASSIFY_SHORT : CLASSIFY_FLOW);
    }
}

static void udp_over_ip4(void **state)
{
    struct frame f = {.len = 0};
    struct classified out;
    (void)state;
    put_ether(&f, ETHERTYPE_IP4);
    put_ip4(&f, IPPROTO_UDP, 20, 0);
    put_udp(&f, 20);
    cut_everywhere(&f, 42, true);
    f.len += 6; /* Ethernet's padding */
    assert_int_equal(ask_part(&f, f.len, f.len, true, &out), CLASSIFY_FLOW);
    assert_int_equal(out.network, 14);
    assert_int_equal(out.transport, 34);
    assert_int_equal(out.end, 54);
    assert_int_equal(out.ethertype, ETHERTYPE_IP4);
    assert_false(out.options);
    assert_true(net_addr_is_v4(&out.key.local) && net_addr_is_v4(&out.key.remote));
    assert_memory_equal(out.key.local.bytes + 12, ((uint8_t[]){10, 0, 0, 1}), 4);
    assert_memory_equal(out.key.remote.bytes + 12, ((uint8_t[]){10, 0, 0, 2}), 4);
    assert_int_equal(net16(out.key.local_port), 53);
    assert_int_equal(net16(out.key.remote_port), 0x3039);
    assert_int_equal(out.key.protocol, IPPROTO_UDP);
}

static void tcp_with_options_and_tags(void **state)
{
    struct frame f = {.len = 0};
    struct classified out;
    (void)state;
    put_ether(&f, 0x88a8);
    put(&f, (uint8_t[]){0, 7, 0x81, 0x00, 0, 9, 0x08, 0x00}, 8);
    put_ip4(&f, IPPROTO_TCP, 32, 8);
    put_tcp(&f, 8);
    cut_everywhere(&f, f.len, true);
    assert_int_equal(ask_part(&f, f.len, f.len, true, &out), CLASSIFY_FLOW);
    assert_int_equal(out.network, 22);
    assert_int_equal(out.transport, 50);
    assert_true(out.options);
    /* A third tag is not for us. */
    struct frame third = {.len = 0};
    put_ether(&third, 0x8100);
    put(&third, (uint8_t[]){0, 7, 0x81, 0x00, 0, 9, 0x81, 0x00, 0, 1, 8, 0}, 12);
    assert_int_equal(ask(&third), CLASSIFY_OTHER);
    f.bytes[f.len - 32 + 12] = 4 << 4; /* header of 16 bytes */
    assert_int_equal(ask(&f), CLASSIFY_BAD_HEADER);
    f.bytes[f.len - 32 + 12] = 9 << 4; /* more than there is */
    assert_int_equal(ask(&f), CLASSIFY_SHORT);
}

static void ip4_headers_that_lie(void **state)
{
    struct frame good = {.len = 0}, f;
    (void)state;
    put_ether(&good, ETHERTYPE_IP4);
    put_ip4(&good, IPPROTO_UDP, 12, 0);
    put_udp(&good, 12);
    static const struct {
        uint8_t at, value;
        enum classify_verdict verdict;
        bool sum_again;
    } lies[] = {
        {0, 0x55, CLASSIFY_BAD_HEADER, true}, /* version */
        {0, 0x44, CLASSIFY_BAD_HEADER, true}, /* header shorter than a header */
        {0, 0x4f, CLASSIFY_BAD_HEADER, true}, /* longer than the packet */
        {3, 19, CLASSIFY_BAD_HEADER, true},   /* total length less than the header */
        {3, 200, CLASSIFY_SHORT, true},
        {8, 1, CLASSIFY_BAD_CHECKSUM, false},
        {11, 0x77, CLASSIFY_BAD_CHECKSUM, false},
        {12, 224, CLASSIFY_BAD_ADDRESS, true}, /* source: multicast */
        {12, 255, CLASSIFY_BAD_ADDRESS, true},
        {12, 127, CLASSIFY_BAD_ADDRESS, true}, /* loopback on a wire */
        {12, 0, CLASSIFY_BAD_ADDRESS, true},
        {16, 127, CLASSIFY_BAD_ADDRESS, true},
        {16, 0, CLASSIFY_BAD_ADDRESS, true},
        {9, 1, CLASSIFY_IP, true},           /* ICMP */
        {6, 0x20, CLASSIFY_FRAGMENT, true},  /* more fragments */
        {7, 0x01, CLASSIFY_FRAGMENT, true},  /* an offset */
        {6, 0x40, CLASSIFY_FLOW, true},      /* don't fragment */
        {25, 7, CLASSIFY_BAD_HEADER, false}, /* UDP length less than its header */
        {25, 13, CLASSIFY_SHORT, false},
        {25, 8, CLASSIFY_FLOW, false},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        f = good;
        f.bytes[14 + lies[i].at] = lies[i].value;
        if (lies[i].sum_again)
            sum_ip4(f.bytes + 14);
        assert_int_equal(ask(&f), lies[i].verdict);
    }
    f = good; /* from 0.0.0.0 to all: DHCP */
    memset(f.bytes + 14 + 12, 0, 4);
    memset(f.bytes + 14 + 16, 255, 4);
    sum_ip4(f.bytes + 14);
    assert_int_equal(ask(&f), CLASSIFY_FLOW);
    f.bytes[14 + 15] = 1; /* 0.0.0.1 */
    sum_ip4(f.bytes + 14);
    assert_int_equal(ask(&f), CLASSIFY_BAD_ADDRESS);
}

static void loopback_has_no_link_header(void **state)
{
    struct frame f = {.len = 0};
    struct classified out;
    (void)state;
    uint8_t *header = put_ip4(&f, IPPROTO_UDP, 8, 0);
    header[12] = header[16] = 127;
    sum_ip4(header);
    put_udp(&f, 8);
    assert_int_equal(ask_part(&f, f.len, f.len, false, &out), CLASSIFY_FLOW);
    assert_int_equal(out.network, 0);
    assert_int_equal(ask_part(&f, 0, 0, false, &out), CLASSIFY_SHORT);
    f.bytes[0] = 0x95;
    assert_int_equal(ask_part(&f, f.len, f.len, false, &out), CLASSIFY_BAD_HEADER);
}

static void ip6(void **state)
{
    struct frame f = {.len = 0};
    struct classified out;
    (void)state;
    put_ether(&f, ETHERTYPE_IP6);
    put_ip6(&f, IPPROTO_UDP, 12);
    put_udp(&f, 12);
    cut_everywhere(&f, 62, true);
    assert_int_equal(ask_part(&f, f.len, f.len, true, &out), CLASSIFY_FLOW);
    assert_int_equal(out.transport, 54);
    assert_int_equal(out.end, 66);
    assert_false(net_addr_is_v4(&out.key.local));
    assert_int_equal(out.key.local.bytes[15], 1);
    assert_int_equal(out.key.remote.bytes[15], 2);
    struct frame g = f;
    g.bytes[14] = 0x50;
    assert_int_equal(ask(&g), CLASSIFY_BAD_HEADER);
    g = f;
    g.bytes[14 + 8] = 0xff; /* multicast source */
    assert_int_equal(ask(&g), CLASSIFY_BAD_ADDRESS);
    g = f;
    memset(g.bytes + 14 + 8, 0, 16); /* unspecified source: only ICMPv6 */
    assert_int_equal(ask(&g), CLASSIFY_BAD_ADDRESS);
    g.bytes[14 + 6] = IPPROTO_ICMPV6;
    assert_int_equal(ask(&g), CLASSIFY_IP);
    g = f;
    memset(g.bytes + 14 + 24, 0, 16);
    assert_int_equal(ask(&g), CLASSIFY_BAD_ADDRESS);
    g.bytes[14 + 39] = 1; /* ::1 on a wire */
    assert_int_equal(ask(&g), CLASSIFY_BAD_ADDRESS);
    g = f; /* a mapped address would pass for an IPv4 peer */
    memcpy(g.bytes + 14 + 8, ((uint8_t[16]){[10] = 0xff, 0xff, 10, 0, 0, 9}), 16);
    assert_int_equal(ask(&g), CLASSIFY_BAD_ADDRESS);
}

static void ip6_extension_headers(void **state)
{
    struct frame f = {.len = 0};
    struct classified out;
    (void)state;
    put_ether(&f, ETHERTYPE_IP6);
    put_ip6(&f, 0, 8 + 16 + 8 + 12); /* hop by hop, routing, atomic fragment, UDP */
    put(&f, (uint8_t[8]){43, 0}, 8);
    put(&f, (uint8_t[16]){44, 1}, 16);
    put(&f, (uint8_t[8]){IPPROTO_UDP, 0, 0, 0}, 8);
    put_udp(&f, 12);
    cut_everywhere(&f, 54 + 32 + 8, true);
    assert_int_equal(ask_part(&f, f.len, f.len, true, &out), CLASSIFY_FLOW);
    assert_int_equal(out.transport, 54 + 32);
    assert_true(out.options);
    struct frame g = f;
    g.bytes[54 + 24 + 3] = 1; /* more fragments */
    assert_int_equal(ask_part(&g, g.len, g.len, true, &out), CLASSIFY_FRAGMENT);
    assert_int_equal(out.transport, 54 + 24);
    assert_int_equal(out.key.protocol, IPPROTO_UDP);
    g = f;
    g.bytes[54] = 0; /* hop by hop, again */
    assert_int_equal(ask(&g), CLASSIFY_BAD_HEADER);
    g = f;
    g.bytes[54 + 1] = 255; /* a header longer than the packet */
    assert_int_equal(ask(&g), CLASSIFY_SHORT);
    g = f;
    g.bytes[54 + 24] = 59; /* no next header */
    assert_int_equal(ask(&g), CLASSIFY_IP);

    struct frame many = {.len = 0}; /* twelve of them */
    put_ether(&many, ETHERTYPE_IP6);
    put_ip6(&many, 60, 12 * 8 + 8);
    for (int i = 0; i < 12; i++)
        put(&many, (uint8_t[8]){i < 11 ? 60 : IPPROTO_UDP, 0}, 8);
    put_udp(&many, 8);
    assert_int_equal(ask(&many), CLASSIFY_BAD_HEADER);
}

static void other_types(void **state)
{
    struct frame f = {.len = 0};
    (void)state;
    put_ether(&f, ETHERTYPE_ARP);
    assert_int_equal(ask(&f), CLASSIFY_ARP);
    f.len = 0;
    put_ether(&f, 0x88cc);
    assert_int_equal(ask(&f), CLASSIFY_OTHER);
}

static void any_bytes(void **state)
{
    unsigned seed = 1;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        struct frame f = {.len = 0};
        struct classified out;
        static const uint16_t types[] = {ETHERTYPE_IP4, ETHERTYPE_IP6, 0x8100, ETHERTYPE_ARP};
        put_ether(&f, types[rand_r(&seed) % 4]);
        uint32_t more = (uint32_t)rand_r(&seed) % 120;
        for (uint32_t j = 0; j < more; j++)
            f.bytes[f.len++] = (uint8_t)rand_r(&seed);
        if (rand_r(&seed) % 2)
            f.bytes[14] = f.bytes[13] == 0 ? 0x45 : 0x60;
        if (rand_r(&seed) % 2 && f.len >= 34) {
            put_be16(f.bytes + 16, (uint16_t)(f.len - 14));
            sum_ip4(f.bytes + 14);
        }
        uint32_t len = (uint32_t)rand_r(&seed) % (f.len + 1);
        enum classify_verdict verdict = ask_part(&f, len, f.len, true, &out);
        if (verdict <= CLASSIFY_FRAGMENT) {
            assert_true(out.network <= out.transport && out.transport <= out.end);
            assert_true(out.end <= f.len && out.transport <= len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(udp_over_ip4),
        cmocka_unit_test(tcp_with_options_and_tags),
        cmocka_unit_test(ip4_headers_that_lie),
        cmocka_unit_test(loopback_has_no_link_header),
        cmocka_unit_test(ip6),
        cmocka_unit_test(ip6_extension_headers),
        cmocka_unit_test(other_types),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
