/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/segment.c kernel/drv/gro.c kernel/drv/loopback.c
   kernel/drv/virtio.c kernel/drv/virtio_mmio.c kernel/drv/virtio_pci.c kernel/drv/pci.c
   kernel/core/cmdline.c kernel/core/chaos.c kernel/drv/virtio_net_io.c kernel/core/random.c
   kernel/lib/checksum.c kernel/lib/format.c kernel/lib/strbuf.c */
/*
 * virtio_net_test.c - the virtio network driver with a device that keeps to the specification, is
 * slow, lacks things, or lies. Frames go through the real netdev.c.
 */
#include "virtio_net_machine.h"

/* ---- coming up ---- */

static void a_device_comes_up(void **state)
{
    (void)state;
    assert_int_equal(net_device.agreed & ~ALL, 0);
    assert_true(net_device.agreed & F_GUEST_TSO4);
    assert_int_equal(eth()->address[0], 2);
    assert_int_equal(eth()->address[5], 7);
    assert_int_equal(eth()->mtu, 1500);
    assert_int_equal(eth()->queue_count, 1);
    assert_true(eth()->flags & NETDEV_RUNNING);
    assert_int_equal(net_avail(&net_device.ring[0])[1], VIRTIO_NET_RX_SIZE);
    for (unsigned i = 0; i < VIRTIO_NET_RX_SIZE; i++) {
        int id = net_take(0);
        assert_true(id >= 0);
        assert_int_equal(net_desc(&net_device.ring[0], (unsigned)id)->flags, 2);
        assert_int_equal(net_desc(&net_device.ring[0], (unsigned)id)->len, BUFFER);
    }
}

static void what_is_missing_is_not_asked_for(void **state)
{
    (void)state;
    machine(1ull << 32 | F_GUEST_TSO4 | F_GUEST_CHECKSUM | F_HOST_TSO4 | F_PAIRS);
    assert_non_null(eth());
    /* Long packets need buffers that merge, segmentation checksums, pairs a control queue. */
    assert_int_equal(net_device.agreed, 1ull << 32 | F_GUEST_CHECKSUM);
    assert_int_equal(eth()->features, NETDEV_TX_PIECES);
    assert_int_equal(eth()->address[0] & 3, 2); /* its own, made up */
    assert_int_equal(eth()->mtu_max, 1500);
}

static void devices_that_do_not_work(void **state)
{
    (void)state;
    machine(ALL & ~(1ull << 32)); /* the legacy interface */
    assert_null(eth());
    fake_hal_init(32u << 20);
    page_init();
    kmalloc_init();
    net_machine_init(ALL);
    net_device.refuses = true;
    first = NULL;
    virtio_net_start();
    assert_null(eth());
    assert_int_equal(net_device.status, 0);
    net_machine_init(ALL);
    net_device.queue_max = 8; /* no packet would ever fit */
    virtio_net_start();
    assert_null(eth());
}

static void without_memory_there_is_no_device(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 40; n++) {
        net_machine_init(ALL);
        net_device.on_notify = on_notify;
        first = NULL;
        alloc_fail_nth(n);
        virtio_net_start();
        alloc_fail_nth(0);
        if (!eth())
            assert_int_equal(net_device.status, 0);
    }
}

static void pairs_of_queues(void **state)
{
    (void)state;
    fake_cpu_count = 4;
    machine(ALL);
    fake_cpu_count = 4;
    net_machine_init(ALL);
    net_device.on_notify = on_notify;
    net_device.config[8] = 4;
    first = NULL;
    count = 0;
    virtio_net_start();
    assert_int_equal(eth()->queue_count, 4);
    assert_int_equal(pairs_set, 4);
    assert_int_equal(net()->rx[3].cpu, 3);
    assert_int_equal(net_avail(&net_device.ring[6])[1], VIRTIO_NET_RX_SIZE);
    net_machine_init(ALL);
    net_device.on_notify = on_notify;
    net_device.config[8] = 4;
    command_answer = 1; /* it does not want to */
    first = NULL;
    virtio_net_start();
    assert_int_equal(eth()->queue_count, 1);
    fake_cpu_count = 1;
}

static void the_link_goes_and_comes(void **state)
{
    (void)state;
    net_device.config[6] = 0;
    net_device.isr = 2;
    net_interrupt();
    assert_int_equal(net_device.isr, 0);
    fake_work_run(10);
    assert_false(eth()->flags & NETDEV_RUNNING);
    net_device.config[6] = 1;
    net_device.isr = 2;
    net_interrupt();
    fake_work_run(10);
    assert_true(eth()->flags & NETDEV_RUNNING);
}

/* ---- receiving ---- */

static void frames_come(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        arrive((struct virtio_net_header){0}, 60 + i, -1);
        assert_true(net_irq_wanted(0));
        net_interrupt();
        fake_work_run(1);
        assert_null(fake_works);
        assert_int_equal(received_count, i + 1);
        expect_bytes(received[i], 60 + i);
        assert_ptr_equal(received[i]->dev, eth());
        assert_int_equal(received[i]->checksum, PKT_CHECKSUM_NONE);
    }
    assert_int_equal(stats().rx_packets, 600);
    assert_int_equal(stats().rx_errors, 0);
}

/* While it is polled no interrupt is wanted; more than a poll's budget is no end of it. */
static void a_burst_is_polled(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++)
        arrive((struct virtio_net_header){0}, 100, -1);
    net_interrupt();
    fake_work_run(1);
    assert_int_equal(received_count, NETDEV_BUDGET);
    assert_non_null(fake_works);
    arrive((struct virtio_net_header){0}, 100, -1);
    net_interrupt(); /* it comes all the same: nothing is queued twice */
    assert_int_equal(fake_work_run(10), 3);
    assert_int_equal(received_count, 201);
    arrive((struct virtio_net_header){0}, 100, -1);
    assert_true(net_irq_wanted(0));
}

static void what_comes_at_the_end_of_a_poll_is_seen(void **state)
{
    (void)state;
    arrive((struct virtio_net_header){0}, 100, -1);
    net_interrupt();
    arrive((struct virtio_net_header){0}, 100, -1); /* no interrupt for this one */
    fake_work_run(10);
    assert_int_equal(received_count, 2);
}

static void long_packets_are_merged(void **state)
{
    struct virtio_net_header h = {.flags = VIRTIO_NET_F_NEEDS_CHECKSUM,
                                  .gso_type = VIRTIO_NET_GSO_TCP4 | VIRTIO_NET_GSO_ECN,
                                  .gso_size = 1448,
                                  .checksum_start = 34,
                                  .checksum_offset = 16};
    (void)state;
    arrive(h, 65000, -1);
    net_interrupt();
    fake_work_run(10);
    assert_int_equal(received_count, 1);
    expect_bytes(received[0], 65000);
    assert_int_equal(received[0]->gso, PKT_GSO_TCP4);
    assert_true(received[0]->gso_ecn);
    assert_int_equal(received[0]->gso_size, 1448);
    assert_int_equal(received[0]->checksum, PKT_CHECKSUM_GOOD);
}

static void headers_that_lie(void **state)
{
    const struct virtio_net_header bad[] = {
        {.flags = 1, .checksum_start = 34, .checksum_offset = 65}, /* behind the end */
        {.flags = 1, .checksum_start = 65535, .checksum_offset = 65535},
        {.flags = 1, .checksum_start = 3, .checksum_offset = 2}, /* in the link header */
        {.gso_type = 1},                                         /* no size */
        {.gso_type = 7, .gso_size = 100},                        /* unknown */
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        arrive(bad[i], 100, -1);
        net_interrupt();
        fake_work_run(10);
        assert_int_equal(stats().rx_errors, i + 1);
    }
    arrive((struct virtio_net_header){0}, 13, -1); /* no Ethernet header */
    net_give(0, (uint32_t)net_take(0), 11);        /* not even ours */
    net_give(0, (uint32_t)net_take(0), 0);
    arrive((struct virtio_net_header){.flags = 2}, 14, -1);
    net_interrupt();
    fake_work_run(10);
    assert_int_equal(stats().rx_errors, ARRAY_COUNT(bad) + 3);
    assert_int_equal(received_count, 1);
    assert_int_equal(received[0]->checksum, PKT_CHECKSUM_GOOD);
}

static void packets_that_are_not_all_there(void **state)
{
    (void)state;
    arrive((struct virtio_net_header){0}, 5000, 2);
    net_interrupt();
    fake_work_run(10);
    assert_int_equal(received_count, 0);
    assert_int_equal(stats().rx_errors, 1);
    arrive((struct virtio_net_header){0}, 5000, -1);
    net_interrupt();
    fake_work_run(10);
    assert_int_equal(received_count, 1);
    expect_bytes(received[0], 5000);
}

/* Buffers with little in them: only so many become a packet. */
static void packets_of_too_many_pieces(void **state)
{
    (void)state;
    for (uint16_t pieces = PKT_RX_PIECES_MAX; pieces <= PKT_RX_PIECES_MAX + 1; pieces++) {
        struct virtio_net_header h = {.buffers = pieces};
        for (unsigned i = 0; i < pieces; i++) {
            int id = net_take(0);
            memcpy(hal_phys_to_virt(net_desc(&net_device.ring[0], (unsigned)id)->addr), &h,
                   sizeof h);
            net_give(0, (uint32_t)id, i == 0 ? sizeof h + 14 : i % 2);
        }
        net_interrupt();
        fake_work_run(10);
        assert_int_equal(stats().rx_errors, pieces - PKT_RX_PIECES_MAX);
    }
    arrive((struct virtio_net_header){0}, 5000, -1); /* all of both have been taken */
    net_interrupt();
    fake_work_run(10);
    assert_int_equal(received_count, 2);
    assert_int_equal(received[0]->total, 14 + PKT_RX_PIECES_MAX / 2);
    expect_bytes(received[1], 5000);
}

static void a_queue_that_lies_is_left_alone(void **state)
{
    const uint32_t lies[][2] = {{256, 60}, {UINT32_MAX, 60}, {0, BUFFER + 1}, {0, UINT32_MAX}};
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(lies); i++) {
        boot(state);
        (void)net_take(0);
        net_give(0, lies[i][0], lies[i][1]);
        net_interrupt();
        fake_work_run(10);
        assert_true(net()->rx[0].broken);
        arrive((struct virtio_net_header){0}, 60, -1);
        net_interrupt();
        assert_int_equal(fake_work_run(10), 0);
        assert_int_equal(received_count, 0);
    }
}

static void without_memory_frames_are_lost_but_no_buffers(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 2; n++) {
        arrive((struct virtio_net_header){0}, 60, -1);
        net_interrupt();
        alloc_fail_nth(n);
        fake_work_run(10);
        alloc_fail_nth(0);
    }
    assert_true(stats().rx_dropped >= 1);
    assert_int_equal(stats().rx_dropped + received_count, 2);
    assert_int_equal((uint16_t)(net_avail(&net_device.ring[0])[1] - net_device.ring[0].seen),
                     VIRTIO_NET_RX_SIZE);
}

/* A long packet whose first buffer cannot be replaced: the others are not taken for packets. */
static void without_memory_the_rest_of_a_packet_is_lost_too(void **state)
{
    static uint8_t bytes[3 * BUFFER];
    struct virtio_net_header h = {.buffers = 3}, forged = {.flags = 2, .buffers = 1};
    (void)state;
    memset(bytes, 2, sizeof bytes);
    memcpy(bytes, &h, sizeof h);
    memcpy(bytes + BUFFER, &forged, sizeof forged); /* what a sender may put there */
    memcpy(bytes + 2 * BUFFER, &forged, sizeof forged);
    for (unsigned i = 0; i < 3; i++) {
        int id = net_take(0);
        memcpy(hal_phys_to_virt(net_desc(&net_device.ring[0], (unsigned)id)->addr),
               bytes + i * BUFFER, BUFFER);
        net_give(0, (uint32_t)id, BUFFER);
    }
    arrive((struct virtio_net_header){0}, 60, -1);
    net_interrupt();
    alloc_fail_nth(1);
    fake_work_run(10);
    alloc_fail_nth(0);
    assert_int_equal(stats().rx_dropped, 1);
    assert_int_equal(received_count, 1);
    expect_bytes(received[0], 60);
}

/* ---- sending ---- */

static struct pkt *packet(uint32_t len)
{
    struct pkt *out = NULL;
    static uint8_t bytes[70000];
    fill(bytes, len);
    for (uint32_t done = 0; done < len;) {
        uint32_t n = MIN(len - done, (uint32_t)1400);
        struct pkt *piece = pkt_alloc(PKT_HEADROOM, n, ALLOC_DEFAULT);
        memcpy(pkt_put(piece, n), bytes + done, n);
        done += n;
        if (out)
            pkt_append(out, piece);
        else
            out = piece;
    }
    return out;
}

static uint64_t packets_alive(void)
{
    struct memory_account sum = {0};
    memory_account_more[OWNER_PACKET](&sum);
    return sum.objects;
}

static void expect_sent(size_t len)
{
    static uint8_t want[70000];
    fill(want, len);
    assert_int_equal(sent_len, len + sizeof(struct virtio_net_header));
    assert_memory_equal(sent + sizeof(struct virtio_net_header), want, len);
}

static void packets_go(void **state)
{
    uint64_t alive = packets_alive();
    struct virtio_net_header h;
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(netdev_send(eth(), packet(60 + i % 1450)), 0);
        assert_int_equal(sent_count, i + 1);
        expect_sent(60 + i % 1450);
        assert_int_equal(packets_alive(), alive); /* freed, without an interrupt */
    }
    memcpy(&h, sent, sizeof h);
    assert_int_equal(h.flags | h.gso_type | h.gso_size, 0);
    assert_int_equal(stats().tx_packets, 1000);
}

static void offloads_are_told(void **state)
{
    struct virtio_net_header h;
    struct pkt *pkt = packet(20000);
    (void)state;
    pkt->checksum = PKT_CHECKSUM_PARTIAL;
    pkt->checksum_start = (uint16_t)(pkt_headroom(pkt) + 34);
    pkt->checksum_field = 16;
    pkt->gso = PKT_GSO_TCP4;
    pkt->gso_size = 1448;
    pkt->gso_ecn = true;
    assert_int_equal(netdev_send(eth(), pkt), 0);
    expect_sent(20000);
    assert_true(sent_pieces > 10);
    memcpy(&h, sent, sizeof h);
    assert_int_equal(h.flags, VIRTIO_NET_F_NEEDS_CHECKSUM);
    assert_int_equal(h.checksum_start, 34);
    assert_int_equal(h.checksum_offset, 16);
    assert_int_equal(h.gso_type, VIRTIO_NET_GSO_TCP4 | VIRTIO_NET_GSO_ECN);
    assert_int_equal(h.gso_size, 1448);
}

/* 47 pieces are more than a chain may have; no room for the header is no obstacle either. */
static void packets_are_joined_where_they_must_be(void **state)
{
    uint64_t alive = packets_alive();
    struct virtio_net_header h;
    struct pkt *pkt = packet(65000);
    (void)state;
    pkt->checksum = PKT_CHECKSUM_PARTIAL;
    pkt->checksum_start = (uint16_t)(pkt_headroom(pkt) + 54);
    pkt->checksum_field = 16;
    pkt->gso = PKT_GSO_TCP6;
    pkt->gso_size = 1400;
    assert_int_equal(netdev_send(eth(), pkt), 0);
    expect_sent(65000);
    assert_true(sent_pieces <= VIRTIO_NET_PIECES);
    memcpy(&h, sent, sizeof h);
    assert_int_equal(h.checksum_start, 54);
    assert_int_equal(h.gso_type, VIRTIO_NET_GSO_TCP6);
    pkt = pkt_alloc(0, 100, ALLOC_DEFAULT);
    fill(pkt_put(pkt, 100), 100);
    assert_int_equal(netdev_send(eth(), pkt), 0);
    expect_sent(100);
    assert_int_equal(packets_alive(), alive);
}

/* A slow device: what does not fit waits, in order, and is sent when it has taken some. */
static void a_full_queue_goes_on(void **state)
{
    uint64_t alive = packets_alive();
    unsigned total = 400, before = 0;
    (void)state;
    sends_at_once = false;
    for (unsigned i = 0; i < total; i++)
        assert_int_equal(netdev_send(eth(), packet(60 + i)), 0);
    assert_true(eth()->queues[0].stopped);
    for (unsigned round = 0; sent_count < total && round < 1000; round++) {
        int id = net_take(1);
        if (id < 0) {
            fake_work_run(100);
            continue;
        }
        sent_len = chain_read(1, id, sent, &sent_pieces);
        expect_sent(60 + sent_count++);
        net_give(1, (uint32_t)id, 0);
        if (net_irq_wanted(1)) {
            before++;
            net_interrupt();
            fake_work_run(100);
        }
    }
    assert_int_equal(sent_count, total);
    assert_true(before > 0 && before < total / 4); /* interrupts are few */
    assert_true(net_fire());                       /* the last ones are freed, too */
    fake_work_run(100);
    assert_int_equal(packets_alive(), alive);
    assert_int_equal(stats().tx_packets, total);
}

/* The device, in no hurry, sends all there is. Has it interrupted? */
static bool interrupts_when_done(void)
{
    serve_tx(1);
    if (!net_irq_wanted(1))
        return false;
    net_interrupt();
    fake_work_run(10);
    return true;
}

static uint64_t sent_slowly(struct pkt *pkt)
{
    uint64_t alive = packets_alive();
    assert_int_equal(netdev_send(eth(), pkt), 0);
    return packets_alive() - alive;
}

static unsigned done_count;
static void on_done(struct pkt_done *done)
{
    (void)done;
    done_count++;
}

/* Answers, one at a time: no interrupt for any, each frees the one before it, the look the last. */
static void a_few_small_packets_cost_no_interrupt(void **state)
{
    uint64_t alive = packets_alive();
    (void)state;
    for (unsigned events = 0; events < 2; events++) {
        machine(events ? ALL : ALL & ~VIRTIO_EVENT_INDEX);
        alive = packets_alive();
        sends_at_once = false;
        for (unsigned i = 0; i < 300; i++) {
            assert_int_equal(netdev_send(eth(), packet(700)), 0);
            assert_int_equal(packets_alive(), alive + 1);
            /* Where the driver tells an index the first one is 0. */
            assert_true(!interrupts_when_done() || (events && i == 0));
        }
        arrive((struct virtio_net_header){0}, 100, -1);
        net_interrupt();
        assert_int_equal(fake_work_run(10), 1); /* not the sending queue's */
        pkt_free(received[--received_count]);
        assert_int_equal(packets_alive(), alive + 1);
        assert_true(net_fire());
        fake_work_run(10);
        assert_int_equal(packets_alive(), alive);
    }
}

/* Many, a large one, and pages that a program waits for are given back as soon as they may be. */
static void what_is_wanted_back_costs_one(void **state)
{
    uint64_t alive = packets_alive();
    struct pkt_done done = {.fn = on_done};
    struct pkt *pkt = packet(700);
    (void)state;
    sends_at_once = false;
    assert_int_equal(netdev_send(eth(), packet(700)), 0);
    (void)interrupts_when_done();
    ref_init(&done.refs);
    pkt->done = &done;
    done_count = 0;
    (void)sent_slowly(pkt);
    assert_int_equal(done_count, 0);
    assert_true(interrupts_when_done());
    assert_int_equal(done_count, 1);
    assert_int_equal(packets_alive(), alive);
    (void)sent_slowly(packet(700));
    assert_false(interrupts_when_done());
    pkt = packet(9000);
    pkt->gso = PKT_GSO_UDP;
    pkt->gso_size = 1400;
    assert_true(sent_slowly(pkt) > 0);
    assert_true(interrupts_when_done());
    assert_int_equal(packets_alive(), alive);
    for (unsigned i = 0; i < 40; i++)
        (void)sent_slowly(packet(60));
    assert_true(interrupts_when_done());
    assert_int_equal(packets_alive(), alive);
}

static void a_liar_is_sent_nothing_more(void **state)
{
    (void)state;
    sends_at_once = false;
    assert_int_equal(netdev_send(eth(), packet(60)), 0);
    (void)net_take(1);
    net_give(1, 77, 0);
    net_interrupt();
    fake_work_run(10);
    assert_true(net()->tx[0].broken);
    assert_int_equal(netdev_send(eth(), packet(60)), -EIO);
    assert_int_equal(stats().tx_errors, 1);
}

static void a_liar_with_a_full_queue_is_sent_nothing_more(void **state)
{
    int id = 0;
    (void)state;
    sends_at_once = false;
    for (unsigned i = 0; !eth()->queues[0].stopped; i++) {
        assert_true(i < 400);
        assert_int_equal(netdev_send(eth(), packet(60)), 0);
    }
    for (unsigned i = 0; i < 8; i++)
        id = net_take(1);
    net_give(1, (uint32_t)id, 0); /* some room, not enough for all */
    net_give(1, 777, 0);
    net_give(1, 777, 0);
    eth()->queues[0].stopped = false; /* a wake-up of another moment */
    pkt_queue_purge(&eth()->queues[0].backlog);
    eth()->queues[0].backlog = (struct pkt_queue){0};
    struct pkt *pkt = packet(20000);
    pkt->gso = PKT_GSO_UDP;
    pkt->gso_size = 1400;
    assert_int_equal(netdev_send(eth(), pkt), -EIO);
    assert_true(net()->tx[0].broken);
}

/* ---- interrupts that get lost ---- */

static void a_lost_interrupt_is_made_up_for(void **state)
{
    (void)state;
    assert_null(net_timer); /* no traffic yet */
    arrive((struct virtio_net_header){0}, 100, -1);
    net_interrupt();
    fake_work_run(10);
    uint64_t began = fake_now_ns;
    for (unsigned i = 0; i < 3; i++) {
        arrive((struct virtio_net_header){0}, 100, -1);
        assert_int_equal(fake_work_run(10), 0);
        assert_int_equal(received_count, 1 + i);
        assert_true(net_fire());
        fake_work_run(10);
        assert_int_equal(received_count, 2 + i);
    }
    assert_in_range(fake_now_ns - began, 3 * NS_PER_SEC, 3 * NS_PER_SEC + NS_PER_MS * 100);
    /* Then at longer and longer intervals, and no more. */
    began = fake_now_ns;
    unsigned looks = 0;
    while (net_fire()) {
        assert_int_equal(fake_work_run(10), 0);
        assert_in_range(++looks, 1, VIRTIO_NET_LOOKS + 1);
    }
    assert_in_range(fake_now_ns - began, 60 * NS_PER_SEC, 200 * NS_PER_SEC);
    assert_int_equal(received_count, 4);
    arrive((struct virtio_net_header){0}, 100, -1); /* and again */
    net_interrupt();
    fake_work_run(10);
    assert_non_null(net_timer);
}

static void a_lost_interrupt_of_a_full_queue(void **state)
{
    unsigned total = 400;
    (void)state;
    sends_at_once = false;
    for (unsigned i = 0; i < total; i++)
        assert_int_equal(netdev_send(eth(), packet(60 + i)), 0);
    assert_true(eth()->queues[0].stopped);
    for (unsigned looks = 0; sent_count < total; looks++) {
        assert_in_range(looks, 0, 9);
        fake_work_run(100);
        serve_tx(1); /* whether it is to interrupt or not, it does not */
        if (sent_count < total)
            assert_true(net_fire());
        fake_work_run(100);
    }
}

static void a_device_that_has_failed_is_left_alone(void **state)
{
    (void)state;
    for (unsigned lost = 0; lost < 2; lost++) {
        machine(ALL);
        arrive((struct virtio_net_header){0}, 100, -1);
        net_interrupt();
        fake_work_run(10);
        net_device.status |= 64;
        net_device.isr = 2;
        if (lost)
            assert_true(net_fire());
        else
            net_interrupt();
        fake_work_run(10);
        assert_false(eth()->flags & NETDEV_RUNNING);
        assert_int_equal(netdev_send(eth(), packet(60)), -ENETDOWN);
        while (net_fire())
            fake_work_run(10);
        pkt_free(received[--received_count]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_device_comes_up, boot, tear_down),
        cmocka_unit_test_setup_teardown(what_is_missing_is_not_asked_for, boot, tear_down),
        cmocka_unit_test_setup_teardown(devices_that_do_not_work, boot, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_there_is_no_device, boot, tear_down),
        cmocka_unit_test_setup_teardown(pairs_of_queues, boot, tear_down),
        cmocka_unit_test_setup_teardown(the_link_goes_and_comes, boot, tear_down),
        cmocka_unit_test_setup_teardown(frames_come, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_burst_is_polled, boot, tear_down),
        cmocka_unit_test_setup_teardown(what_comes_at_the_end_of_a_poll_is_seen, boot, tear_down),
        cmocka_unit_test_setup_teardown(long_packets_are_merged, boot, tear_down),
        cmocka_unit_test_setup_teardown(headers_that_lie, boot, tear_down),
        cmocka_unit_test_setup_teardown(packets_that_are_not_all_there, boot, tear_down),
        cmocka_unit_test_setup_teardown(packets_of_too_many_pieces, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_queue_that_lies_is_left_alone, boot, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_frames_are_lost_but_no_buffers, boot,
                                        tear_down),
        cmocka_unit_test_setup_teardown(packets_go, boot, tear_down),
        cmocka_unit_test_setup_teardown(offloads_are_told, boot, tear_down),
        cmocka_unit_test_setup_teardown(packets_are_joined_where_they_must_be, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_full_queue_goes_on, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_few_small_packets_cost_no_interrupt, boot, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wanted_back_costs_one, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_liar_is_sent_nothing_more, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_liar_with_a_full_queue_is_sent_nothing_more, boot,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_lost_interrupt_is_made_up_for, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_interrupt_of_a_full_queue, boot, tear_down),
        cmocka_unit_test_setup_teardown(a_device_that_has_failed_is_left_alone, boot, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_the_rest_of_a_packet_is_lost_too, boot,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
