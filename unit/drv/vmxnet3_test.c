/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/segment.c kernel/drv/gro.c kernel/drv/loopback.c
   kernel/drv/pci.c kernel/core/cmdline.c kernel/drv/vmxnet3_io.c kernel/core/random.c
   kernel/lib/checksum.c kernel/lib/format.c kernel/lib/strbuf.c */
/* vmxnet3_test.c - the vmxnet3 driver with a device that is slow, fails, or lies. */
#include <string.h>

#include <cmocka.h>

#include "../../kernel/drv/netdev.c"
#include "../../kernel/drv/vmxnet3.c"
#include "fake_vmxnet3.h"
#include "lib/bytes.h"
#include "lib/checksum.h"

#define HEAD 2030u
#define EVENTS 0u /* the numbers of interrupts, with one queue of each kind */
#define RX 1u
#define TX 2u

static struct pkt *received[600];
static unsigned received_count;

static void keep(struct pkt *pkt)
{
    received[received_count++] = pkt;
}

static struct netdev *eth(void)
{
    return netdev_by_name("eth0");
}
static struct vmxnet3 *net(void)
{
    return eth()->driver;
}
static struct netdev_stats stats(void)
{
    struct netdev_stats out;
    netdev_get_stats(eth(), &out);
    return out;
}

/* What was sent last. */
static bool completes;
static unsigned sent_count, sent_pieces;
static uint32_t sent_len, sent_word2, sent_word3;
static uint8_t sent[70000];
static unsigned uncompleted[300], uncompleted_count;

static void on_send(unsigned q)
{
    const struct vmxnet3_desc *desc;
    unsigned index;
    while ((desc = vmx_tx_next(q, &index))) {
        uint32_t len = desc->word2 & 0x3fff ? desc->word2 & 0x3fff : 16384;
        if (sent_pieces == 0) {
            sent_len = 0;
            sent_word2 = desc->word2;
            sent_word3 = desc->word3;
        }
        memcpy(sent + sent_len, hal_phys_to_virt(desc->addr), len);
        sent_len += len;
        sent_pieces++;
        if (!(desc->word3 & 1u << 12))
            continue;
        sent_count++;
        sent_pieces = 0;
        if (completes) {
            vmx_complete(&vmx.tx_done[q], index, 0, 0);
            vmx_interrupt(TX);
        } else {
            uncompleted[uncompleted_count++] = index;
        }
    }
}

static void machine(unsigned cpus)
{
    fake_hal_init(32u << 20);
    fake_cpu_count = cpus;
    fake_clock_step_ns = 1000000;
    page_init();
    kmalloc_init();
    pkt_init();
    vmx_machine_init();
    vmx.on_send = on_send;
    received_count = sent_count = sent_pieces = uncompleted_count = 0;
    completes = true;
    netdev_input = keep;
    random_init();
    first = NULL;
    count = 0;
}

static void find(void)
{
    vmxnet3_start();
    if (eth())
        eth()->flags |= NETDEV_UP;
}

static int boot(void **state)
{
    (void)state;
    machine(1);
    find();
    assert_non_null(eth());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < received_count; i++)
        pkt_free(received[i]);
    received_count = 0;
    fake_cpu_count = 1;
    return 0;
}

/* ---- coming up ---- */

static void a_device_comes_up(void **state)
{
    unsigned index;
    (void)state;
    assert_true(vmx.active);
    assert_memory_equal(eth()->address, "\x02\x11\x22\x33\x44\x55", 6);
    assert_true(eth()->flags & NETDEV_RUNNING);
    assert_int_equal(vmx_shared()->mtu, 1500);
    assert_int_equal(vmx_shared()->interrupt_count, 3);
    assert_int_equal(vmx_rx_conf(0)->interrupt, RX);
    assert_int_equal(vmx_tx_conf(0)->interrupt, TX);
    assert_int_equal(vmx.masked[EVENTS], 0);
    assert_int_equal(vmx.masked[RX], 0);
    assert_int_not_equal(vmx.masked[TX], 0);
    /* All buffers but one of each ring. */
    for (unsigned i = 0; i < VMXNET3_HEADS - 1; i++)
        assert_int_equal(vmx_rx_next(0, 0, &index)->word2 & 0x7fffffff, HEAD);
    assert_null(vmx_rx_next(0, 0, &index));
    for (unsigned i = 0; i < VMXNET3_BODIES - 1; i++)
        assert_int_equal(vmx_rx_next(0, 1, &index)->word2 & 0x7fffffff, PAGE_SIZE | 1u << 14);
    assert_null(vmx_rx_next(0, 1, &index));
}

static void queues_by_cpu(void **state)
{
    const struct vmxnet3_rss *rss;
    (void)state;
    machine(6);
    find();
    assert_int_equal(vmx.tx_count, 6);
    assert_int_equal(vmx.rx_count, 4); /* a power of two */
    assert_int_equal(eth()->queue_count, 6);
    assert_int_equal(vmx_shared()->interrupt_count, 11);
    assert_int_equal(net()->tx[5].cpu, 5);
    assert_int_equal(vmx_tx_conf(5)->interrupt, 10);
    rss = hal_phys_to_virt(vmx_shared()->rss.pa);
    assert_true(vmx_shared()->features & FEATURE_RSS);
    assert_int_equal(rss->table[7], 3);
    machine(6);
    vmx.revision = 1; /* QEMU's */
    find();
    assert_int_equal(vmx.tx_count, 6);
    assert_int_equal(vmx.rx_count, 1);
    assert_false(eth()->features & NETDEV_TX_TSO6);
}

static void devices_that_do_not_work(void **state)
{
    (void)state;
    machine(1);
    vmx.revision = 2; /* another interface */
    find();
    assert_null(eth());
    machine(1);
    vmx.config[0x14 / 4] = 0; /* not assigned */
    find();
    assert_null(eth());
    machine(1);
    vmx.refuses = true;
    find();
    assert_false(eth()->flags & NETDEV_RUNNING);
    for (unsigned n = 1; n < 400; n += 1 + n / 20) {
        machine(1);
        alloc_fail_nth(n);
        find();
        alloc_fail_nth(0);
    }
}

static void without_messages_there_is_one_line(void **state)
{
    (void)state;
    machine(2);
    vmx.config[1] = 0;
    find();
    assert_true(net()->intx);
    assert_int_equal(vmx_handlers, 1);
    assert_int_equal(vmx_shared()->interrupt_count, 1);
    assert_int_equal(vmx_rx_conf(1)->interrupt, 0);
    vmx_interrupt(0);
    assert_int_equal(fake_work_run(100), 5); /* all queues, and the device */
    assert_int_equal(vmx.masked[0], 0);
}

static void the_link_goes_and_comes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        vmx.link = i & 1;
        ((struct vmxnet3_shared *)vmx_shared())->events = 4;
        vmx_interrupt(EVENTS);
        fake_work_run(10);
        assert_int_equal((eth()->flags & NETDEV_RUNNING) != 0, vmx.link);
        assert_int_equal(vmx_shared()->events, 0);
        assert_int_equal(vmx.masked[EVENTS], 0);
    }
    assert_int_equal(vmx.activated, 1);
}

/* ---- receiving ---- */

static void fill(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    bytes[0] = 2;
}

/* The device receives a frame: word 3 and more bits of words 0 and 2 of its last completion. */
static void arrive(uint32_t len, uint32_t word0, uint32_t word2, uint32_t word3)
{
    static uint8_t bytes[70000];
    unsigned which = 0, index = 0;
    fill(bytes, len);
    for (uint32_t at = 0; at < len; which = 1) {
        const struct vmxnet3_desc *desc = vmx_rx_next(0, which, &index);
        assert_non_null(desc);
        uint32_t part = MIN(len - at, desc->word2 & 0x3fff);
        bool last = at + part == len;
        memcpy(hal_phys_to_virt(desc->addr), bytes + at, part);
        vmx_complete(&vmx.rx_done[0],
                     index | which * vmx.rx_count << 16 | (at == 0 ? 1u << 15 : 0) |
                         (last ? 1u << 14 | word0 : 0),
                     part | (last ? word2 : 0), last ? word3 : 0);
        at += part;
    }
    vmx_interrupt(RX);
}

static void expect_bytes(const struct pkt *pkt, uint32_t len)
{
    static uint8_t got[70000], want[70000];
    fill(want, len);
    assert_int_equal(pkt->total, len);
    pkt_read(pkt, 0, got, len);
    assert_memory_equal(got, want, len);
}

static void frames_come(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        arrive(60 + i, 0, 0, 0);
        assert_int_equal(fake_work_run(1), 1);
        assert_null(fake_works);
        assert_int_equal(received_count, i + 1);
        expect_bytes(received[i], 60 + i);
        assert_int_equal(received[i]->checksum, PKT_CHECKSUM_NONE);
    }
    assert_int_equal(stats().rx_packets, 600);
    assert_int_equal(stats().rx_errors, 0);
}

static void a_burst_is_polled(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 150; i++)
        arrive(100, 0, 0, 0);
    fake_work_run(1);
    assert_int_equal(received_count, NETDEV_BUDGET);
    assert_int_not_equal(vmx.masked[RX], 0);
    assert_int_equal(fake_work_run(10), 3); /* once more for what came while it was masked */
    assert_int_equal(received_count, 150);
    assert_int_equal(vmx.masked[RX], 0);
}

static void long_packets_are_merged(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        arrive(65000, 0, 0, RXC_TCP | RXC_V4 | RXC_IP_GOOD | RXC_TRANSPORT_GOOD);
        fake_work_run(10);
        assert_int_equal(received_count, i + 1);
        expect_bytes(received[i], 65000);
        assert_int_equal(received[i]->checksum, PKT_CHECKSUM_GOOD);
        assert_int_equal(received[i]->gso, PKT_GSO_TCP4);
        assert_int_equal(received[i]->gso_size, 1460);
    }
}

static void checksums_are_believed_if_they_are_known(void **state)
{
    static const struct {
        uint32_t word0, word3;
        bool good;
    } cases[] = {
        {0, RXC_TCP | RXC_V4 | RXC_IP_GOOD | RXC_TRANSPORT_GOOD, true},
        {0, RXC_UDP | RXC_V6 | RXC_TRANSPORT_GOOD, true},
        {0, RXC_TCP | RXC_V4 | RXC_TRANSPORT_GOOD, false},
        {0, RXC_TCP | RXC_V4 | RXC_IP_GOOD, false},
        {0, RXC_V4 | RXC_IP_GOOD | RXC_TRANSPORT_GOOD, false},
        {RXC_NOT_SUMMED, RXC_TCP | RXC_V6 | RXC_TRANSPORT_GOOD, false},
        {0, RXC_UDP | RXC_V6 | RXC_TRANSPORT_GOOD | RXC_FRAGMENT, false},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        arrive(100, cases[i].word0, 0, cases[i].word3);
        fake_work_run(10);
        assert_int_equal(received[i]->checksum,
                         cases[i].good ? PKT_CHECKSUM_GOOD : PKT_CHECKSUM_NONE);
    }
}

static void packets_that_are_no_good(void **state)
{
    unsigned index = 0;
    (void)state;
    arrive(100, 0, RXC_ERROR, 0);
    arrive(13, 0, 0, 0); /* no Ethernet header */
    /* A second beginning, and an end without one. */
    (void)vmx_rx_next(0, 0, &index);
    vmx_complete(&vmx.rx_done[0], index | RXC_FIRST, 100, 0);
    arrive(200, 0, 0, 0);
    (void)vmx_rx_next(0, 1, &index);
    vmx_complete(&vmx.rx_done[0], index | RXC_LAST | 1u << 16, 100, 0);
    arrive(300, 0, 0, 0);
    fake_work_run(10);
    assert_int_equal(received_count, 2);
    expect_bytes(received[0], 200);
    expect_bytes(received[1], 300);
    assert_int_equal(stats().rx_errors, 3);
    assert_int_equal(stats().rx_dropped, 1);
    assert_int_equal(vmx.activated, 1);
}

/* Buffers with nothing in them: they are no more kept than those of a long packet. */
static void packets_of_too_many_pieces(void **state)
{
    unsigned index = 0;
    (void)state;
    for (unsigned pieces = PKT_RX_PIECES_MAX; pieces < 400; pieces += 300) {
        for (unsigned i = 0; i < pieces; i++) {
            (void)vmx_rx_next(0, 1, &index);
            vmx_complete(&vmx.rx_done[0],
                         index | 1u << 16 | (i == 0 ? RXC_FIRST : 0) |
                             (i == pieces - 1 ? RXC_LAST : 0),
                         i == 0 ? 100 : 0, 0);
            vmx_interrupt(RX);
            fake_work_run(10);
            assert_true(net()->rx[0].pieces <= PKT_RX_PIECES_MAX);
        }
    }
    assert_int_equal(received_count, 1);
    assert_int_equal(received[0]->total, 100);
    assert_int_equal(stats().rx_dropped, 1);
    arrive(5000, 0, 0, 0);
    fake_work_run(10);
    expect_bytes(received[1], 5000);
}

static void without_memory_buffers_stay(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3 * VMXNET3_HEADS; i++) {
        arrive(1000, 0, 0, 0);
        alloc_fail_nth(1);
        fake_work_run(10);
        alloc_fail_nth(0);
    }
    assert_true(stats().rx_dropped > VMXNET3_HEADS);
    arrive(5000, 0, 0, 0);
    fake_work_run(10);
    expect_bytes(received[received_count - 1], 5000);
}

static void what_a_device_skips_is_given_again(void **state)
{
    unsigned index;
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        for (unsigned n = 0; n < 5; n++)
            assert_non_null(vmx_rx_next(0, 0, &index));
        arrive(100, 0, 0, 0);
        fake_work_run(10);
    }
    assert_int_equal(received_count, 200);
}

static void it_is_told_of_new_buffers_if_it_wants_to(void **state)
{
    (void)state;
    assert_int_equal(net()->rx[0].ring[0].fill, VMXNET3_HEADS - 1);
    vmx_rx_conf(0)->tell_filled = 1;
    arrive(100, 0, 0, 0);
    fake_work_run(10);
    assert_int_equal(net()->rx[0].ring[0].fill, 0);
}

/* ---- resets ---- */

static void queues_that_lie_are_reset(void **state)
{
    static const uint32_t lies[][2] = {
        {VMXNET3_HEADS | RXC_FIRST, 60}, /* no such entry */
        {RXC_FIRST | 7u << 16, 60},      /* no such ring */
        {RXC_FIRST, HEAD + 1},           /* more than there is room for */
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(lies); i++) {
        vmx_complete(&vmx.rx_done[0], lies[i][0] | RXC_LAST, lies[i][1], 0);
        vmx_interrupt(RX);
        fake_work_run(10);
        assert_int_equal(vmx.activated, i + 2);
        arrive(100, 0, 0, 0);
        fake_work_run(10);
        assert_int_equal(received_count, i + 1);
    }
}

static void errors_are_followed_by_a_reset(void **state)
{
    (void)state;
    arrive(100, 0, 0, 0);
    ((struct vmxnet3_shared *)vmx_shared())->events = 1;
    vmx_interrupt(EVENTS);
    /* The poll is on its way: the reset waits for it. */
    assert_true(net()->rx[0].polling);
    fake_work_run(20);
    assert_int_equal(vmx.activated, 2);
    assert_false(net()->resetting);
    arrive(100, 0, 0, 0);
    fake_work_run(10);
    assert_true(received_count > 0);
    vmx.refuses = true;
    ((struct vmxnet3_shared *)vmx_shared())->events = 2;
    vmx_interrupt(EVENTS);
    fake_work_run(20);
    assert_false(eth()->flags & NETDEV_RUNNING);
    assert_null(fake_works);
    /* It recovers, and is reset once more for another reason. */
    vmx.refuses = false;
    tear_down(state);
    assert_int_equal(netdev_set_mtu(eth(), 1400), 0);
    fake_work_run(20);
    assert_true(eth()->flags & NETDEV_RUNNING);
    arrive(100, 0, 0, 0);
    fake_work_run(10);
    assert_int_equal(received_count, 1);
}

static void another_mtu_is_a_reset(void **state)
{
    (void)state;
    assert_int_equal(netdev_set_mtu(eth(), 9001), -EINVAL);
    assert_int_equal(netdev_set_mtu(eth(), 9000), 0);
    fake_work_run(10);
    assert_int_equal(vmx.activated, 2);
    assert_int_equal(vmx_shared()->mtu, 9000);
    arrive(9014, 0, 0, 0);
    fake_work_run(10);
    expect_bytes(received[0], 9014);
}

/* ---- sending ---- */

static struct pkt *packet(uint32_t len, unsigned pieces)
{
    struct pkt *pkt = NULL;
    static uint8_t bytes[70000];
    fill(bytes, len);
    for (unsigned i = 0; i < pieces; i++) {
        uint32_t from = len / pieces * i, to = i + 1 == pieces ? len : len / pieces * (i + 1);
        struct pkt *piece = pkt_alloc(64, to - from, ALLOC_DEFAULT);
        memcpy(pkt_put(piece, to - from), bytes + from, to - from);
        if (pkt)
            pkt_append(pkt, piece);
        else
            pkt = piece;
    }
    return pkt;
}

static void frames_go(void **state)
{
    static uint8_t want[70000];
    (void)state;
    for (unsigned pieces = 1; pieces < 40; pieces++) {
        uint32_t len = 100 + pieces * 30;
        struct pkt *pkt = packet(len, pieces);
        assert_int_equal(netdev_send(eth(), pkt), 0);
        fill(want, len);
        assert_int_equal(sent_count, pieces);
        assert_int_equal(sent_len, len);
        assert_memory_equal(sent, want, len);
        assert_int_equal(sent_word3 >> 10 & 3, 0);
        assert_int_equal(net()->tx[0].done, net()->tx[0].fill);
    }
    assert_int_not_equal(vmx.masked[TX], 0); /* all was done at once */
}

static void checksums_are_left_to_it(void **state)
{
    (void)state;
    for (unsigned field = 2; field <= 16; field += 4) {
        struct pkt *pkt = packet(200, 2);
        pkt_write(pkt, 34 + field, (const uint8_t[2]){0}, 2);
        pkt->checksum = PKT_CHECKSUM_PARTIAL;
        pkt->checksum_start = (uint16_t)(pkt_headroom(pkt) + 34);
        pkt->checksum_field = (uint16_t)field;
        assert_int_equal(netdev_send(eth(), pkt), 0);
        if (field == 2 || field == 10 || field == 14) {
            assert_int_equal(sent_word3 >> 10 & 3, 0); /* done here */
            assert_int_equal(checksum_add(sent + 34, 166, 0), 0xffff);
        } else {
            assert_int_equal(sent_word3 & 0xfff, 2u << 10 | 34);
            assert_int_equal(sent_word2 >> 18, 34 + field);
        }
    }
}

static void long_packets_are_cut_by_it(void **state)
{
    uint16_t field, before = 0x1234;
    (void)state;
    for (unsigned pieces = 17; pieces < 40; pieces += 11) {
        struct pkt *pkt = packet(60000, pieces);
        pkt->data[34 + 12] = 8 << 4; /* a header of 32 bytes */
        pkt_write(pkt, 34 + 16, &before, 2);
        pkt->network = (uint16_t)(pkt_headroom(pkt) + 14);
        pkt->transport = (uint16_t)(pkt_headroom(pkt) + 34);
        pkt->checksum = PKT_CHECKSUM_PARTIAL;
        pkt->checksum_start = pkt->transport;
        pkt->checksum_field = 16;
        pkt->gso = PKT_GSO_TCP4;
        pkt->gso_size = 1448;
        assert_int_equal(netdev_send(eth(), pkt), 0);
        assert_int_equal(sent_len, 60000);
        assert_int_equal(sent_word3 & 0xfff, 3u << 10 | 66);
        assert_int_equal(sent_word2 >> 18, 1448);
        /* Without the length. */
        memcpy(&field, sent + 34 + 16, 2);
        assert_int_equal(checksum_fold((uint32_t)field + net16(60000 - 34)), before);
    }
}

static void a_full_ring_stops_and_wakes(void **state)
{
    unsigned n;
    (void)state;
    completes = false;
    for (n = 0; n < 400; n++)
        assert_int_equal(netdev_send(eth(), packet(100, 2)), 0);
    assert_true(eth()->queues[0].stopped);
    assert_true(sent_count < 128);
    assert_int_equal(vmx.masked[TX], 0);
    completes = true;
    while (uncompleted_count > 0) {
        unsigned all = uncompleted_count;
        for (unsigned i = 0; i < all; i++)
            vmx_complete(&vmx.tx_done[0], uncompleted[i], 0, 0);
        uncompleted_count = 0;
        vmx_interrupt(TX);
        fake_work_run(100);
    }
    assert_int_equal(sent_count, 400);
    assert_false(eth()->queues[0].stopped);
}

static void a_reset_frees_what_was_on_the_way(void **state)
{
    (void)state;
    completes = false;
    for (unsigned n = 0; n < 200; n++)
        assert_int_equal(netdev_send(eth(), packet(100, 2)), 0);
    assert_true(net()->tx[0].full);
    completes = true;
    /* It says that something is done that it has never had. */
    vmx_complete(&vmx.tx_done[0], 255, 0, 0);
    vmx_interrupt(TX);
    fake_work_run(100);
    assert_int_equal(vmx.activated, 2);
    assert_false(net()->tx[0].full);
    assert_null(eth()->queues[0].backlog.first); /* the rest has gone */
    assert_int_equal(net()->tx[0].done, net()->tx[0].fill);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_device_comes_up, boot, tear_down),
        cmocka_unit_test_setup_teardown(queues_by_cpu, boot, tear_down),
        cmocka_unit_test_setup_teardown(devices_that_do_not_work, boot, tear_down),
        cmocka_unit_test_setup_teardown(without_messages_there_is_one_line, boot, tear_down),
        cmocka_unit_test_setup_teardown(the_link_goes_and_comes, boot, tear_down),
        cmocka_unit_test_setup_teardown(frames_come, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_burst_is_polled, boot, tear_down),
        cmocka_unit_test_setup_teardown(long_packets_are_merged, boot, tear_down),
        cmocka_unit_test_setup_teardown(checksums_are_believed_if_they_are_known, boot, tear_down),
        cmocka_unit_test_setup_teardown(packets_that_are_no_good, boot, tear_down),
        cmocka_unit_test_setup_teardown(packets_of_too_many_pieces, boot, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_buffers_stay, boot, tear_down),
        cmocka_unit_test_setup_teardown(what_a_device_skips_is_given_again, boot, tear_down),
        cmocka_unit_test_setup_teardown(it_is_told_of_new_buffers_if_it_wants_to, boot, tear_down),
        cmocka_unit_test_setup_teardown(queues_that_lie_are_reset, boot, tear_down),
        cmocka_unit_test_setup_teardown(errors_are_followed_by_a_reset, boot, tear_down),
        cmocka_unit_test_setup_teardown(another_mtu_is_a_reset, boot, tear_down),
        cmocka_unit_test_setup_teardown(frames_go, boot, tear_down),
        cmocka_unit_test_setup_teardown(checksums_are_left_to_it, boot, tear_down),
        cmocka_unit_test_setup_teardown(long_packets_are_cut_by_it, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_full_ring_stops_and_wakes, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_reset_frees_what_was_on_the_way, boot, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
