/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/segment.c kernel/drv/gro.c kernel/drv/loopback.c
   kernel/drv/virtio.c kernel/drv/virtio_mmio.c kernel/drv/virtio_pci.c kernel/drv/pci.c
   kernel/core/cmdline.c kernel/core/chaos.c kernel/drv/virtio_net.c kernel/drv/virtio_net_io.c
   kernel/core/random.c kernel/lib/checksum.c kernel/lib/format.c kernel/lib/strbuf.c */
/* covers: kernel/drv/virtio.c kernel/drv/virtio_net.c kernel/drv/virtio_net_io.c */
/* length: 512 */
/* runs: 500 */
/*
 * virtio_net_fuzz.c - the virtio network driver with a device that does what it likes: any
 * features and configuration, frames with any header, buffers given back twice, never, or with
 * lengths beyond them, used indices that jump, rings written over, interrupts at any time.
 *
 * What must hold: the driver names only memory of its own (packets are checked by
 * AddressSanitizer, descriptors here), ends, hands up packets whose claims lie inside them, and
 * when all is over packets are freed or held by the device.
 */
#include <string.h>

#include "../kernel/drv/netdev.c" /* to forget its devices */
#include "../unit/drv/fake_net.h"
#include "core/random.h"
#include "fuzz.h"
#include "mm/kmalloc.h"

#define RAM (16u << 20)

static struct fuzz_input in;

static void check_packet(const struct pkt *pkt)
{
    uint32_t total = 0;

    for (const struct pkt *piece = pkt; piece; piece = piece->more) {
        FUZZ_CHECK(piece->data >= piece->room &&
                   piece->data + piece->len <= piece->room + piece->size);
        total += piece->len;
    }
    FUZZ_CHECK(total == pkt->total && total >= 14 && total <= PKT_LEN_MAX);
    FUZZ_CHECK(pkt->gso == PKT_GSO_NONE || pkt->gso_size > 0);
    FUZZ_CHECK(pkt->checksum != PKT_CHECKSUM_PARTIAL);
}

static void input(struct pkt *pkt)
{
    check_packet(pkt);
    pkt_free(pkt);
}

static bool scribbled[NET_QUEUES]; /* the device has written over its descriptors */
#define IDS 1024u
/* Given back without having been taken: the driver may have freed the buffer since, and a device
 * that writes there after all says nothing about the driver. */
static bool lied[NET_QUEUES][IDS];

/* What the driver wants read or written lies in RAM. */
static void check_chain(unsigned q, int id)
{
    for (unsigned n = 0; !scribbled[q] && n < 64; n++) {
        const struct net_desc *d = net_desc(&net_device.ring[q], (unsigned)id);

        FUZZ_CHECK(d->addr >= FAKE_RAM_PA && d->addr + d->len <= FAKE_RAM_PA + RAM);
        if (!(d->flags & 1))
            return;
        id = d->next;
    }
}

static void receive(unsigned q, int id)
{
    struct net_desc *d = net_desc(&net_device.ring[q], (unsigned)id);
    struct virtio_net_header h = {
        .flags = fuzz_u8(&in) % 4,
        .gso_type = fuzz_u8(&in),
        .gso_size = fuzz_u16(&in),
        .checksum_start = fuzz_u8(&in),
        .checksum_offset = fuzz_u8(&in),
        .buffers = fuzz_u8(&in) % 8 ? 1 : fuzz_u16(&in),
    };

    if (d->flags == 2 && d->len >= sizeof(h) && !lied[q][id])
        memcpy(hal_phys_to_virt(d->addr), &h, sizeof(h));
    net_give(q, (uint32_t)id, fuzz_u16(&in) % 2200);
}

static void serve(unsigned q)
{
    int id = net_take(q);

    if (id < 0)
        return;
    check_chain(q, id);
    if (q % 2 == 0 && net_desc(&net_device.ring[q], (unsigned)id)->flags == 2)
        receive(q, id);
    else
        net_give(q, (uint32_t)id, fuzz_u8(&in));
    if (fuzz_u8(&in) & 1)
        net_want(q);
}

static void on_notify(unsigned q)
{
    /* A command's answer is waited for. */
    if (net_device.ring[q].ready && (fuzz_u8(&in) & 3))
        serve(q);
}

static void send_some(struct netdev *dev)
{
    uint32_t len = 14 + fuzz_u16(&in) % 1500;
    unsigned more = fuzz_u8(&in) % 40;
    struct pkt *pkt = pkt_alloc(fuzz_u8(&in), len, ALLOC_DEFAULT);

    if (!pkt)
        return;
    memset(pkt_put(pkt, len), 0, len);
    for (unsigned i = 0; i < more; i++) {
        struct pkt *piece = pkt_alloc(0, 1400, ALLOC_DEFAULT);

        if (piece && pkt_put(piece, 1400))
            pkt_append(pkt, piece);
        else
            pkt_free(piece);
    }
    if (more) {
        pkt->gso = PKT_GSO_UDP;
        pkt->gso_size = 1400;
    }
    (void)netdev_send(dev, pkt);
}

static void act(struct netdev *dev)
{
    uint8_t what = fuzz_u8(&in);
    unsigned q = what / 16 % NET_QUEUES;
    struct net_ring *r = &net_device.ring[q];

    switch (what % 16) {
    case 0:
    case 1:
    case 2:
        send_some(dev);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        if (r->ready)
            serve(q);
        break;
    case 7: /* anything into the used ring */
        if (r->ready) {
            uint32_t id = fuzz_u32(&in);

            lied[q][id % IDS] = true;
            net_give(q, id, fuzz_u32(&in));
        }
        break;
    case 8:
        if (r->ready)
            net_used(r)[1] = r->given = fuzz_u16(&in);
        memset(lied[q], true, sizeof(lied[q]));
        break;
    case 9: /* over the descriptors: they are not read again */
        scribbled[q] = true;
        if (r->ready)
            net_desc(r, fuzz_u8(&in) % r->num)->next = fuzz_u16(&in);
        break;
    case 10:
        if (what / 16 == 15)
            net_device.status |= 64;
        net_device.config[fuzz_u8(&in) % 12] = fuzz_u8(&in);
        net_device.isr |= 2;
        break;
    case 11:
    case 12:
        net_device.isr |= 1;
        net_interrupt();
        break;
    case 13:
        (void)net_fire();
        break;
    default:
        fake_work_run(1 + what / 16);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct netdev *dev;

    fake_hal_init(RAM);
    fake_clock_step_ns = 50000000;
    fake_cpu_count = 4;
    page_init();
    kmalloc_init();
    pkt_init();
    random_init();
    in = (struct fuzz_input){data, size, 0};
    net_machine_init(fuzz_u64(&in) | 1ull << 32);
    net_device.queue_max = 32u << fuzz_u8(&in) % 6;
    net_device.config[8] = fuzz_u8(&in);
    net_device.on_notify = on_notify;
    memset(scribbled, 0, sizeof(scribbled));
    memset(lied, 0, sizeof(lied));
    netdev_input = input;
    first = NULL;
    count = 0;
    virtio_net_start();
    dev = netdev_by_name("eth0");
    if (!dev)
        return 0;
    (void)!netdev_set_up(dev, true);
    while (fuzz_more(&in))
        act(dev);
    fake_work_run(100);
    return 0;
}
