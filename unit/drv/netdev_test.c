/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/segment.c kernel/drv/gro.c kernel/drv/loopback.c
   kernel/lib/checksum.c kernel/lib/format.c kernel/lib/strbuf.c */
/* netdev_test.c - devices: registration, the backlog of a full queue, counters, up and down, lo;
 * segments and checksums in software, checked against what the receiver would compute. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drv/netdev.h"
#include "drv/segment.h"
#include "fake.h"
#include "lib/bytes.h"
#include "lib/checksum.h"
#include "lib/errno.h"
#include "mm/account.h"
#include "mm/kmalloc.h"

#include "../../kernel/drv/netdev.c"

/* ---- work that the test runs, a device that it looks into ---- */

static struct work *queued;
void work_init(struct work *work, void (*fn)(struct work *work))
{
    *work = (struct work){.fn = fn};
}
bool work_queue(struct work *work)
{
    if (work->queued)
        return false;
    work->queued = true;
    work->next = queued;
    queued = work;
    return true;
}
static void run_work(void)
{
    while (queued) {
        struct work *work = queued;
        queued = work->next;
        work->queued = false;
        work->fn(work);
    }
}

static struct pkt *sent[200];
static unsigned sent_count, lasts;
static int room;
static int transmit_error;

static int fake_transmit(struct netdev *dev, unsigned queue, struct pkt *pkt, bool last)
{
    assert_true(spin_held(&dev->queues[queue].lock));
    if (transmit_error)
        return transmit_error;
    if (room == 0)
        return -EAGAIN;
    room--;
    lasts += last;
    sent[sent_count++] = pkt;
    return 0;
}
static int up_calls, changes;
static int fake_up(struct netdev *dev, bool up)
{
    (void)dev;
    up_calls += up ? 1 : 100;
    return 0;
}
static void changed(struct netdev *dev)
{
    (void)dev;
    changes++;
}
static struct pkt *received;
static void input(struct pkt *pkt)
{
    received = pkt;
}
static const struct netdev_ops fake_ops = {.transmit = fake_transmit, .set_up = fake_up};
static struct netdev dev;

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(16u << 20);
    page_init();
    kmalloc_init();
    pkt_init();
    first = NULL;
    count = 0;
    loopback.next = NULL;
    netdev_input = input;
    netdev_changed = changed;
    assert_int_equal(loopback_init(), 0);
    dev = (struct netdev){
        .name = "eth%d",
        .ops = &fake_ops,
        .type = ARPHRD_ETHER,
        .flags = NETDEV_UP | NETDEV_RUNNING,
        .mtu = 1500,
        .mtu_min = 68,
        .mtu_max = 3000,
        .queue_count = 1,
    };
    assert_int_equal(netdev_register(&dev), 0);
    sent_count = lasts = 0;
    room = 1000;
    transmit_error = up_calls = changes = 0;
    received = NULL;
    queued = NULL;
    return 0;
}

static void free_sent(void)
{
    while (sent_count)
        pkt_free(sent[--sent_count]);
}
static int tear_down(void **state)
{
    (void)state;
    free_sent();
    assert_int_equal(owner_get(OWNER_PACKET).objects, 0);
    return 0;
}

static struct pkt *frame(uint32_t len)
{
    struct pkt *pkt = pkt_alloc(PKT_HEADROOM, len, 0);
    memset(pkt_put(pkt, len), 0, len);
    return pkt;
}
static struct netdev_stats stats(void)
{
    struct netdev_stats s;
    netdev_get_stats(&dev, &s);
    return s;
}

static void devices_are_found(void **state)
{
    (void)state;
    struct netdev other = dev;
    (void)strcpy(other.name, "eth%d");
    assert_int_equal(netdev_register(&other), 0);
    assert_string_equal(dev.name, "eth0");
    assert_string_equal(other.name, "eth1");
    assert_ptr_equal(netdev_first(), &loopback);
    assert_int_equal(loopback.index, 1);
    assert_ptr_equal(netdev_by_index(2), &dev);
    assert_ptr_equal(netdev_by_name("eth1"), &other);
    assert_null(netdev_by_index(0));
    assert_null(netdev_by_name("eth2"));
    for (unsigned n = 1; n <= 2; n++) {
        struct netdev third = {.name = "x", .ops = &fake_ops, .queue_count = 2};
        alloc_fail_nth(n);
        assert_int_equal(netdev_register(&third), -ENOMEM);
        alloc_fail_nth(0);
        assert_null(netdev_by_name("x"));
    }
}

static void a_full_device_makes_packets_wait_in_order(void **state)
{
    (void)state;
    struct pkt *pkts[5];
    room = 2;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(netdev_send(&dev, pkts[i] = frame(60)), 0);
    assert_int_equal(sent_count, 2);
    room = 1;
    assert_int_equal(netdev_send(&dev, frame(60)), 0); /* does not overtake */
    assert_int_equal(sent_count, 2);
    netdev_wake(&dev, 0);
    run_work();
    assert_int_equal(sent_count, 3);
    room = 100;
    netdev_wake(&dev, 0);
    run_work();
    assert_int_equal(sent_count, 6);
    for (unsigned i = 0; i < 5; i++)
        assert_ptr_equal(sent[i], pkts[i]);
    assert_int_equal(stats().tx_packets, 6);
    assert_int_equal(stats().tx_bytes, 360);
    assert_int_equal(netdev_send(&dev, frame(60)), 0);
    assert_int_equal(sent_count, 7);
}

static void the_backlog_has_an_end(void **state)
{
    (void)state;
    room = 0;
    for (unsigned i = 0; i < NETDEV_TXQLEN; i++)
        assert_int_equal(netdev_send(&dev, frame(60)), 0);
    assert_int_equal(netdev_send(&dev, frame(60)), -ENOBUFS);
    assert_int_equal(stats().tx_dropped, 1);
    assert_int_equal(netdev_set_up(&dev, false), 0);
    assert_int_equal(owner_get(OWNER_PACKET).objects, 0);
    assert_int_equal(netdev_send(&dev, frame(60)), -ENETDOWN);
    assert_int_equal(netdev_set_up(&dev, false), 0);
    assert_int_equal(up_calls, 100);
    assert_int_equal(changes, 1);
    assert_int_equal(netdev_set_up(&dev, true), 0);
    assert_int_equal(up_calls, 101);
    netdev_carrier(&dev, false);
    netdev_carrier(&dev, false);
    assert_int_equal(changes, 3);
    assert_int_equal(netdev_send(&dev, frame(60)), -ENETDOWN);
    assert_int_equal(stats().tx_dropped, 3);
}

static void what_the_device_refuses_is_counted(void **state)
{
    (void)state;
    transmit_error = -EIO;
    assert_int_equal(netdev_send(&dev, frame(60)), -EIO);
    assert_int_equal(stats().tx_errors, 1);
    assert_int_equal(netdev_send(&dev, frame(1519)), -EMSGSIZE);
    assert_int_equal(netdev_set_mtu(&dev, 67), -EINVAL);
    assert_int_equal(netdev_set_mtu(&dev, 3001), -EINVAL);
    assert_int_equal(netdev_set_mtu(&dev, 2000), 0);
    transmit_error = 0;
    assert_int_equal(netdev_send(&dev, frame(2014)), 0);
    netdev_receive_error(&dev);
    netdev_receive_drop(&dev);
    assert_int_equal(stats().rx_errors, 1);
    assert_int_equal(stats().rx_dropped, 1);
}

static unsigned taps;
static void tap(struct netdev *which, const struct pkt *pkt, bool outgoing)
{
    (void)which, (void)pkt;
    taps += outgoing ? 100 : 1;
}
static void what_comes_in_is_counted_and_passed_on(void **state)
{
    (void)state;
    struct pkt *pkt = frame(100);
    pkt->data[0] = 0xff;
    taps = 0;
    netdev_tap = tap;
    netdev_receive(&dev, pkt);
    assert_ptr_equal(received, pkt);
    assert_ptr_equal(pkt->dev, &dev);
    assert_int_equal(stats().rx_packets, 1);
    assert_int_equal(stats().rx_bytes, 100);
    assert_int_equal(stats().rx_multicast, 1);
    pkt_free(pkt);
    assert_int_equal(netdev_send(&dev, frame(100)), 0);
    assert_int_equal(taps, 101);
    netdev_tap = NULL;
    assert_int_equal(netdev_set_up(&dev, false), 0);
    received = NULL;
    netdev_receive(&dev, frame(100));
    assert_null(received);
}

/* ---- segmentation ---- */

/* A frame of IPv4 or IPv6 and TCP or UDP, with a partial checksum. */
static struct pkt *long_packet(bool v4, bool tcp, uint32_t payload, bool pieces)
{
    uint32_t ip = v4 ? 20 : 40, transport = tcp ? 32 : 8;
    struct pkt *pkt = frame(14 + ip + transport);
    uint8_t *h = pkt->data + 14, *t = h + ip;
    pkt->network = (uint16_t)(pkt_headroom(pkt) + 14);
    pkt->transport = pkt->checksum_start = (uint16_t)(pkt->network + ip);
    pkt->checksum_field = tcp ? 16 : 6;
    pkt->checksum = PKT_CHECKSUM_PARTIAL;
    pkt->gso = (uint8_t)(!tcp ? PKT_GSO_UDP : v4 ? PKT_GSO_TCP4 : PKT_GSO_TCP6);
    pkt->gso_size = 1000;
    uint32_t addresses = v4 ? 8 : 32;
    uint8_t *a = h + (v4 ? 12 : 8);
    h[0] = v4 ? 0x45 : 0x60;
    for (uint32_t i = 0; i < addresses; i++)
        a[i] = (uint8_t)rand();
    if (v4)
        put_be16(h + 4, 0xfffe);
    uint32_t sum = checksum_add(a, addresses, 0);
    sum += net16((uint16_t)(tcp ? 6 : 17)) + net16((uint16_t)(transport + payload));
    uint16_t folded = checksum_fold(sum);
    memcpy(t + pkt->checksum_field, &folded, 2);
    if (tcp) {
        put_be32(t + 4, 0xfffffff0);
        t[12] = 0x80;
        t[13] = 0x99; /* CWR ACK PSH FIN */
    } else {
        put_be16(t + 4, (uint16_t)(8 + payload));
    }
    for (uint32_t done = 0; done < payload;) {
        uint32_t n = pieces ? MIN(payload - done, 777u) : payload;
        struct pkt *more = pkt_alloc(0, n, 0);
        uint8_t *to = pkt_put(more, n);
        for (uint32_t i = 0; i < n; i++)
            to[i] = (uint8_t)((done + i) * 7 / 5);
        done += n;
        pkt_append(pkt, more);
    }
    return pkt;
}

/* As a receiver would. */
static void check_segment(struct pkt *pkt, bool v4, bool tcp, uint32_t number, uint32_t offset,
                          uint32_t payload, uint32_t whole)
{
    uint32_t ip = v4 ? 20 : 40, transport = tcp ? 32 : 8;
    uint8_t bytes[4096], *h = bytes + 14, *t = h + ip;
    assert_int_equal(pkt->total, 14 + ip + transport + payload);
    pkt_read(pkt, 0, bytes, pkt->total);
    if (v4) {
        assert_int_equal(get_be16(h + 2), 20 + transport + payload);
        assert_int_equal(get_be16(h + 4), (uint16_t)(0xfffe + number));
        assert_int_equal(checksum_add(h, 20, 0), 0xffff);
    } else {
        assert_int_equal(get_be16(h + 4), transport + payload);
    }
    if (tcp) {
        assert_int_equal(get_be32(t + 4), 0xfffffff0 + offset);
        assert_int_equal(t[13], 0x10 | (offset ? 0 : 0x80) | (offset + payload == whole ? 9 : 0));
    } else {
        assert_int_equal(get_be16(t + 4), 8 + payload);
    }
    uint32_t sum = checksum_add(h + (v4 ? 12 : 8), v4 ? 8 : 32, 0);
    sum += net16((uint16_t)(tcp ? 6 : 17)) + net16((uint16_t)(transport + payload));
    if (pkt->checksum == PKT_CHECKSUM_PARTIAL) {
        uint16_t field;
        memcpy(&field, t + (tcp ? 16 : 6), 2);
        assert_int_equal(field % 0xffff, checksum_fold(sum) % 0xffff);
    } else {
        assert_int_equal(checksum_add(t, transport + payload, sum), 0xffff);
    }
    for (uint32_t i = 0; i < payload; i++)
        assert_int_equal(t[transport + i], (uint8_t)((offset + i) * 7 / 5));
}

static void long_packets_are_cut(void **state)
{
    (void)state;
    static const uint32_t features[] = {0, NETDEV_TX_PIECES, NETDEV_TX_PIECES | NETDEV_TX_CHECKSUM};
    for (unsigned variant = 0; variant < 48; variant++) {
        bool v4 = variant & 1, tcp = variant & 2, pieces = variant & 4 || variant & 8;
        uint32_t payload = variant & 8 ? 12345 : 2500;
        dev.features = features[variant / 16];
        struct pkt *pkt = long_packet(v4, tcp, payload, pieces);
        assert_int_equal(netdev_send(&dev, pkt), 0);
        assert_int_equal(sent_count, (payload + 999) / 1000);
        assert_int_equal(lasts, 1);
        for (uint32_t i = 0; i < sent_count; i++) {
            assert_true(!sent[i]->more || dev.features & NETDEV_TX_PIECES);
            assert_true((sent[i]->checksum == PKT_CHECKSUM_PARTIAL) ==
                        ((dev.features & NETDEV_TX_CHECKSUM) != 0));
            check_segment(sent[i], v4, tcp, i, i * 1000, MIN(1000u, payload - i * 1000), payload);
        }
        free_sent();
        lasts = 0;
    }
}

static void a_device_that_can_gets_it_whole(void **state)
{
    (void)state;
    struct pkt *pkt = long_packet(true, true, 5000, true);
    dev.features = NETDEV_TX_TSO4 | NETDEV_TX_CHECKSUM | NETDEV_TX_PIECES;
    assert_int_equal(netdev_send(&dev, pkt), 0);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent[0]->gso, PKT_GSO_TCP4);
    assert_int_equal(netdev_send(&dev, long_packet(false, true, 5000, true)), 0);
    assert_int_equal(sent_count, 6);
    pkt = long_packet(true, true, 5000, true);
    pkt->gso_ecn = true;
    assert_int_equal(netdev_send(&dev, pkt), 0);
    assert_int_equal(sent_count, 11);
}

static void headers_that_are_none_and_no_memory(void **state)
{
    (void)state;
    struct pkt *pkt = long_packet(true, true, 3000, true);
    pkt->data[14 + 20 + 12] = 0x40;
    assert_int_equal(netdev_send(&dev, pkt), -ENOBUFS);
    pkt = long_packet(true, true, 3000, true);
    pkt->gso_size = 0;
    assert_int_equal(netdev_send(&dev, pkt), -ENOBUFS);
    pkt = long_packet(true, true, 3000, true);
    pkt->network = 3;
    assert_int_equal(netdev_send(&dev, pkt), -ENOBUFS);
    for (unsigned n = 1; n < 12; n++) {
        pkt = long_packet(true, false, 3000, true);
        alloc_fail_nth(n);
        int err = netdev_send(&dev, pkt);
        alloc_fail_nth(0);
        assert_true(err == -ENOBUFS || (err == 0 && sent_count == 3));
        free_sent();
        assert_int_equal(owner_get(OWNER_PACKET).objects, 0);
    }
}

static void lo_gives_it_back_whole(void **state)
{
    (void)state;
    struct pkt *pkt = long_packet(true, true, 30000, true);
    assert_int_equal(netdev_send(&loopback, pkt), 0);
    assert_ptr_equal(received, pkt);
    assert_int_equal(pkt->checksum, PKT_CHECKSUM_GOOD);
    assert_int_equal(pkt->gso, PKT_GSO_NONE);
    assert_ptr_equal(pkt->dev, &loopback);
    struct netdev_stats s;
    netdev_get_stats(&loopback, &s);
    assert_int_equal(s.tx_packets, 1);
    assert_int_equal(s.rx_bytes, pkt->total);
    pkt_free(pkt);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(devices_are_found),
        TEST(a_full_device_makes_packets_wait_in_order),
        TEST(the_backlog_has_an_end),
        TEST(what_the_device_refuses_is_counted),
        TEST(what_comes_in_is_counted_and_passed_on),
        TEST(long_packets_are_cut),
        TEST(a_device_that_can_gets_it_whole),
        TEST(headers_that_are_none_and_no_memory),
        TEST(lo_gives_it_back_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
