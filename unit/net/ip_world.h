/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ip_world.h - one IP stack with a device whose frames the test sees and sends, and sockets that
 * are one table in the test. Included by tests of kernel/net's lower half.
 */
#ifndef SELKIE_UNIT_IP_WORLD_H
#define SELKIE_UNIT_IP_WORLD_H

#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drv/netdev.h"
#include "fake.h"
#include "lib/bytes.h"
#include "lib/checksum.h"
#include "lib/errno.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "net/ether.h"
#include "net/fake_ether.h"
#include "net/fake_net.h"
#include "net/flow.h"
#include "net/ifaddr.h"
#include "net/input.h"
#include "net/ip.h"
#include "net/ipimpl.h"
#include "net/mib.h"
#include "net/neigh.h"
#include "net/netconf.h"
#include "net/reass.h"
#include "net/route.h"

/* ---- the device ---- */

static struct pkt *out[256]; /* sent frames, the oldest first */
static unsigned out_count, out_read;
static const uint8_t our_ether[6] = {2, 0, 0, 0, 0, 1}, peer_ether[6] = {2, 0, 0, 0, 0, 9};

static int world_transmit(struct netdev *dev, unsigned queue, struct pkt *pkt, bool last)
{
    (void)dev, (void)queue, (void)last;
    assert_true(out_count < 256);
    out[out_count++] = pkt;
    return 0;
}
static const struct netdev_ops world_ops = {.transmit = world_transmit};
static struct netdev eth;

/* The next sent frame, in one piece; NULL: no more. Valid until the test ends. */
static unused uint8_t *sent(uint32_t *len)
{
    if (out_read == out_count)
        return NULL;
    struct pkt *pkt = out[out_read++];
    uint8_t *bytes = pkt_pull(pkt, pkt->total);
    assert_non_null(bytes);
    *len = pkt->total;
    return bytes;
}

static unsigned receive_fail_nth, send_fail_nth; /* allocation, in the stack */

/* ---- sockets ---- */

static struct flow flows[8];
static unsigned flow_count, error_count;
static struct pkt *delivered[64];
static unsigned delivered_count;
static struct flow *delivered_to[64];
static struct ip_error last_error;

static void world_error(struct flow *flow, const struct ip_error *error)
{
    (void)flow;
    last_error = *error;
    error_count++;
}
static const struct flow_ops world_flow_ops = {.error = world_error};

struct flow *flow_find(const struct flow_key *key, uint32_t hash, unsigned device)
{
    (void)hash, (void)device;
    for (int connected = 1; connected >= 0; connected--)
        for (unsigned i = 0; i < flow_count; i++) {
            struct flow *f = &flows[i];
            if (f->hashed != connected || f->key.protocol != key->protocol ||
                f->key.local_port != key->local_port)
                continue;
            if (!connected || memcmp(&f->key, key, sizeof *key) == 0)
                return f;
        }
    return NULL;
}
uint32_t flow_hash(const struct flow_key *key)
{
    return key->local_port * 7u + key->remote_port;
}
bool flow_deliver(struct flow *flow, struct pkt *pkt)
{
    assert_true(delivered_count < 64);
    delivered_to[delivered_count] = flow;
    delivered[delivered_count++] = pkt;
    return true;
}
unsigned flow_deliver_all(const struct flow_key *key, unsigned device, struct pkt *pkt)
{
    struct flow *flow = flow_find(key, 0, device);
    if (flow)
        flow_deliver(flow, pkt);
    else
        pkt_free(pkt);
    return flow != NULL;
}

static unused struct flow *listen_at(uint8_t protocol, uint16_t port)
{
    struct flow *f = &flows[flow_count++];
    *f = (struct flow){.ops = &world_flow_ops};
    f->key.protocol = protocol;
    f->key.local_port = net16(port);
    return f;
}

/* ---- addresses ---- */

static unused struct net_addr ip(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return net_addr_v4(a | b << 8 | c << 16 | d << 24);
}
static unused struct net_addr ip6(const char *text)
{
    struct net_addr a;
    assert_true(net_addr_parse(text, strlen(text), &a));
    return a;
}

/* ---- the world ---- */

static unused void world_make(void)
{
    fake_hal_init(32u << 20);
    page_init();
    kmalloc_init();
    pkt_init();
    fake_net_reset();
    out_count = out_read = delivered_count = flow_count = error_count = 0;
    ip_no_flow_tcp = NULL;
    ip_raw_input = NULL;
}

/* Devices and tables are for ever: so each test runs in a child of its own. */
static unused void world_boot(void)
{
    world_make();
    assert_int_equal(ip_init(), 0);
    fake_ether(&eth, &world_ops, our_ether);
    assert_int_equal(netdev_register(&eth), 0);
    const struct ifaddr_info info = {
        .dev = &eth, .address = ip(10, 0, 0, 1), .prefix = 24, .flags = IFADDR_PERMANENT};
    assert_int_equal(ifaddr_add(&info), 0);
}
static unused void drop_sent(void)
{
    while (out_count)
        pkt_free(out[--out_count]);
    out_read = 0;
}
static unused void drop_delivered(void)
{
    while (delivered_count)
        pkt_free(delivered[--delivered_count]);
}
static unused void world_end(void)
{
    fake_net_run();
    neigh_flush(&eth); /* what waits there */
    drop_sent();
    drop_delivered();
    assert_int_equal(owner_get(OWNER_PACKET).objects, 0);
}

/* A frame from outside, in pieces of at most `piece` bytes (0: one). */
static unused void receive(const uint8_t *bytes, uint32_t len, uint32_t piece)
{
    struct pkt *pkt = NULL;
    for (uint32_t at = 0; at < len || !pkt; at += piece ? piece : len) {
        uint32_t part = piece ? (len - at < piece ? len - at : piece) : len;
        struct pkt *p = pkt_alloc(0, part, 0);
        memcpy(pkt_put(p, part), bytes + at, part);
        if (pkt)
            pkt_append(pkt, p);
        else
            pkt = p;
        if (len == 0)
            break;
    }
    if (receive_fail_nth)
        alloc_fail_nth(receive_fail_nth);
    netdev_receive(&eth, pkt);
    netdev_receive_done(&eth);
    fake_net_run();
    alloc_fail_nth(0);
}

/* Ethernet and IPv4 around a payload; its length. */
static unused uint32_t frame4(uint8_t *f, const struct net_addr *from, const struct net_addr *to,
                              uint8_t protocol, uint16_t fragment, const void *payload,
                              uint32_t len)
{
    memcpy(f, our_ether, 6);
    memcpy(f + 6, peer_ether, 6);
    put_be16(f + 12, ETHERTYPE_IP4);
    uint8_t *h = f + 14;
    memset(h, 0, 20);
    h[0] = 0x45;
    put_be16(h + 2, (uint16_t)(20 + len));
    put_be16(h + 4, 0x4242);
    put_be16(h + 6, fragment);
    h[8] = 64;
    h[9] = protocol;
    memcpy(h + 12, from->bytes + 12, 4);
    memcpy(h + 16, to->bytes + 12, 4);
    uint16_t sum = (uint16_t)~checksum_add(h, 20, 0);
    memcpy(h + 10, &sum, 2);
    memcpy(h + 20, payload, len);
    return 34 + len;
}
/* The same with IPv6. */
static unused uint32_t frame6(uint8_t *f, const struct net_addr *from, const struct net_addr *to,
                              uint8_t protocol, uint8_t hops, const void *payload, uint32_t len)
{
    memcpy(f, our_ether, 6);
    if (to->bytes[0] == 0xff)
        ether_of_group(to, f);
    memcpy(f + 6, peer_ether, 6);
    put_be16(f + 12, ETHERTYPE_IP6);
    uint8_t *h = f + 14;
    put_be32(h, 6u << 28);
    put_be16(h + 4, (uint16_t)len);
    h[6] = protocol;
    h[7] = hops;
    memcpy(h + 8, from, 16);
    memcpy(h + 24, to, 16);
    memcpy(h + 40, payload, len);
    return 54 + len;
}
/* A transport checksum at `field` of the message. */
static unused void put_sum(uint8_t *message, uint32_t len, uint32_t field,
                           const struct net_addr *from, const struct net_addr *to, uint8_t protocol)
{
    memset(message + field, 0, 2);
    uint32_t pseudo = protocol == IPPROTO_ICMP ? 0 : ip_pseudo_sum(from, to, protocol, len);
    uint16_t sum = (uint16_t)~checksum_add(message, len, checksum_fold(pseudo));
    if (sum == 0)
        sum = 0xffff;
    memcpy(message + field, &sum, 2);
}
static unused uint32_t udp(uint8_t *m, uint16_t from_port, uint16_t to_port, const void *data,
                           uint32_t len, const struct net_addr *from, const struct net_addr *to)
{
    put_be16(m, from_port);
    put_be16(m + 2, to_port);
    put_be16(m + 4, (uint16_t)(8 + len));
    memcpy(m + 8, data, len);
    put_sum(m, 8 + len, 6, from, to, IPPROTO_UDP);
    return 8 + len;
}
/* The peer at 10.0.0.`last` says where it is: ARP reply to us. */
static unused void arp_from(unsigned last, uint16_t what, const struct net_addr *target)
{
    uint8_t f[42] = {0};
    memcpy(f, our_ether, 6);
    memcpy(f + 6, peer_ether, 6);
    put_be16(f + 12, ETHERTYPE_ARP);
    memcpy(f + 14, "\0\1\10\0\6\4", 6);
    put_be16(f + 20, what);
    memcpy(f + 22, peer_ether, 6);
    struct net_addr from = ip(10, 0, 0, last);
    memcpy(f + 28, from.bytes + 12, 4);
    memcpy(f + 32, our_ether, 6);
    memcpy(f + 38, target->bytes + 12, 4);
    receive(f, sizeof f, 0);
}
/* Frames of a kind are of no interest: neighbour discovery and MLD of a device that comes up. */
static unused void settle(void)
{
    fake_net_advance(20 * NS_PER_SEC);
    drop_sent();
}
static uint16_t send_together; /* if not 0, datagrams of so many bytes, cut by the device */
/* An IPv4 or IPv6 datagram to send: the error. */
static unused int send_udp(const struct net_addr *to, uint32_t len, bool dont_fragment)
{
    struct ip_route route = {0};
    int err = route_lookup(&route, to, NULL, 0);
    if (err)
        return err;
    struct pkt *pkt = pkt_alloc(PKT_HEADROOM, 8, 0);
    uint8_t *h = pkt_put(pkt, 8);
    put_be16(h, 1000);
    put_be16(h + 2, 2000);
    put_be16(h + 4, (uint16_t)(8 + len));
    uint16_t pseudo = checksum_fold(ip_pseudo_sum(&route.source, to, IPPROTO_UDP, 8 + len));
    memcpy(h + 6, &pseudo, 2);
    pkt->checksum = PKT_CHECKSUM_PARTIAL;
    pkt->checksum_start = (uint16_t)pkt_headroom(pkt);
    pkt->checksum_field = 6;
    for (uint32_t at = 0; at < len;) {
        uint32_t part = MIN(len - at, 4000u);
        struct pkt *more = pkt_alloc(0, part, 0);
        uint8_t *to_bytes = pkt_put(more, part);
        for (uint32_t i = 0; i < part; i++)
            to_bytes[i] = (uint8_t)((at + i) * 3);
        pkt_append(pkt, more);
        at += part;
    }
    const struct ip_params params = {.protocol = IPPROTO_UDP, .dont_fragment = dont_fragment};
    if (send_together) {
        pkt->gso = PKT_GSO_UDP;
        pkt->gso_size = send_together;
        pkt->transport = pkt->checksum_start;
    }
    if (send_fail_nth)
        alloc_fail_nth(send_fail_nth);
    err = ip_output(&route, pkt, NULL, &params);
    alloc_fail_nth(0);
    route_release(&route);
    return err;
}

/* ---- main ---- */

static unused void in_child(void (*begin)(void), void (*test)(void))
{
    pid_t child = fork();
    if (child == 0) {
        setenv("CMOCKA_TEST_ABORT", "1", 1); /* not on with the next test, in the child */
        begin();
        test();
        world_end();
        exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}
#define WORLD_WRAP(name) \
    static void test_##name(void **state) \
    { \
        (void)state; \
        in_child(start, name); \
    }
#define WORLD_ENTRY(name) cmocka_unit_test(test_##name),
/* Runs those of TESTS, each after start(). */
#define WORLD_MAIN \
    TESTS(WORLD_WRAP) \
    int main(void) \
    { \
        const struct CMUnitTest tests[] = {TESTS(WORLD_ENTRY)}; \
        return cmocka_run_group_tests(tests, NULL, NULL); \
    }

#endif
