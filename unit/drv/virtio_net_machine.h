/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_net_machine.h - for the tests of the virtio network driver: a machine with fake_net.h's
 * device, whose frames go through the real netdev.c, and both ends of receiving and sending.
 */
#ifndef SELKIE_UNIT_DRV_VIRTIO_NET_MACHINE_H
#define SELKIE_UNIT_DRV_VIRTIO_NET_MACHINE_H

#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../kernel/drv/netdev.c"
#include "../../kernel/drv/virtio_net.c"
#include "fake_net.h"
#include "mm/account.h"

#define ALL \
    (1ull << 32 | VIRTIO_EVENT_INDEX | F_CHECKSUM | F_GUEST_CHECKSUM | F_MAC | F_GUEST_TSO4 | \
     F_GUEST_TSO6 | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN | F_HOST_USO | F_MERGE | F_STATUS | \
     F_CONTROL | F_CONTROL_RX | F_PAIRS)
#define BUFFER 2030u /* what the driver gives to receive into */

static struct pkt *received[600];
static unsigned received_count;

static inline void keep(struct pkt *pkt)
{
    received[received_count++] = pkt;
}

static inline struct netdev *eth(void)
{
    return netdev_by_name("eth0");
}
static inline struct virtio_net *net(void)
{
    return eth()->driver;
}

/* What the device says to a command. */
static uint8_t command_answer;
static uint16_t pairs_set;
static bool sends_at_once;
static unsigned sent_count;
static uint8_t sent[70000];
static uint32_t sent_len;
static unsigned sent_pieces;

static inline uint32_t chain_read(unsigned q, int id, uint8_t *to, unsigned *pieces)
{
    struct net_desc *d = net_desc(&net_device.ring[q], (unsigned)id);
    uint32_t len = 0;
    for (*pieces = 1;; (*pieces)++) {
        assert_false(d->flags & 2);
        memcpy(to + len, hal_phys_to_virt(d->addr), d->len);
        len += d->len;
        if (!(d->flags & 1))
            return len;
        d = net_desc(&net_device.ring[q], d->next);
    }
}

static inline void serve_control(unsigned q)
{
    int id;
    while ((id = net_take(q)) >= 0) {
        struct net_desc *d = net_desc(&net_device.ring[q], (unsigned)id);
        const uint8_t *command = hal_phys_to_virt(d->addr);
        d = net_desc(&net_device.ring[q], d->next);
        if (command[0] == 4)
            memcpy(&pairs_set, hal_phys_to_virt(d->addr), 2);
        d = net_desc(&net_device.ring[q], d->next);
        assert_int_equal(d->flags, 2);
        assert_int_equal(d->len, 1);
        *(uint8_t *)hal_phys_to_virt(d->addr) = command_answer;
        net_give(q, (uint32_t)id, 1);
    }
    net_want(q);
}

/* Take all that is there to be sent; the last one is kept in `sent`. */
static inline void serve_tx(unsigned q)
{
    int id;
    while ((id = net_take(q)) >= 0) {
        sent_len = chain_read(q, id, sent, &sent_pieces);
        sent_count++;
        net_give(q, (uint32_t)id, 0);
    }
    net_want(q);
}

static inline void on_notify(unsigned q)
{
    unsigned control = net_device.offered & F_PAIRS ? 2u * net_device.config[8] : 2;
    if (q == control)
        serve_control(q);
    else if (q % 2 && sends_at_once)
        serve_tx(q);
}

static inline void machine(uint64_t offered)
{
    fake_hal_init(32u << 20);
    fake_clock_step_ns = 1000000;
    page_init();
    kmalloc_init();
    pkt_init();
    net_machine_init(offered);
    net_device.on_notify = on_notify;
    command_answer = 0;
    sends_at_once = true;
    received_count = sent_count = pairs_set = 0;
    netdev_input = keep;
    random_init();
    first = NULL;
    count = 0;
    virtio_net_start();
    if (eth())
        eth()->flags |= NETDEV_UP;
}

static inline int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < received_count; i++)
        pkt_free(received[i]);
    received_count = 0;
    return 0;
}

static inline int boot(void **state)
{
    (void)state;
    machine(ALL);
    assert_non_null(eth());
    return 0;
}

static inline struct netdev_stats stats(void)
{
    struct netdev_stats out;
    netdev_get_stats(eth(), &out);
    return out;
}

/* ---- frames that come ---- */

static inline void fill(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    bytes[0] = 2;
}

/* The device receives a frame; in as many buffers as it takes, of which it tells `told`. How many
 * it took. */
static inline unsigned arrive(struct virtio_net_header h, size_t len, int told)
{
    static uint8_t bytes[70000];
    struct {
        int id;
        uint32_t len;
    } used[64];
    uint8_t *at = bytes, *first_buffer = NULL;
    unsigned n = 0;
    fill(bytes + sizeof h, len);
    len += sizeof h;
    memcpy(bytes, &h, sizeof h);
    for (; len > 0 || n == 0; n++) {
        int id = net_take(0);
        assert_true(id >= 0 && n < ARRAY_COUNT(used));
        struct net_desc *d = net_desc(&net_device.ring[0], (unsigned)id);
        uint32_t part = (uint32_t)MIN(len, (size_t)d->len);
        memcpy(hal_phys_to_virt(d->addr), at, part);
        if (n == 0)
            first_buffer = hal_phys_to_virt(d->addr);
        used[n].id = id;
        used[n].len = part;
        at += part;
        len -= part;
    }
    h.buffers = (uint16_t)n;
    memcpy(first_buffer, &h, sizeof h);
    for (unsigned i = 0; i < n && (told < 0 || i < (unsigned)told); i++)
        net_give(0, (uint32_t)used[i].id, used[i].len);
    return n;
}

static inline void poll_all(void)
{
    net_interrupt();
    fake_work_run(10);
}

/* Bytes that the device may write, and how many buffers that are. */
static inline uint32_t given(unsigned *buffers)
{
    const struct net_ring *r = &net_device.ring[0];
    uint32_t bytes = 0;
    *buffers = 0;
    for (uint16_t i = r->seen; i != net_avail(r)[1]; i++, ++*buffers)
        bytes += net_desc(r, net_avail(r)[2 + i % r->num])->len;
    return bytes;
}

static inline void expect_bytes(const struct pkt *pkt, size_t len)
{
    static uint8_t got[70000], want[70000];
    fill(want, len);
    assert_int_equal(pkt->total, len);
    pkt_read(pkt, 0, got, (uint32_t)len);
    assert_memory_equal(got, want, len);
}

#endif
