/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * example_driver.h - the example of docs/netdriver.md: the driver of a simple network device, which
 * has one register window and copies one frame at a time. example_driver_test.c runs it.
 */
#ifndef SELKIE_UNIT_DRV_EXAMPLE_DRIVER_H
#define SELKIE_UNIT_DRV_EXAMPLE_DRIVER_H

#include "drv/irq.h"
#include "drv/netdev.h"
#include "hal.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"

enum {                        /* registers, 32 bits each */
       BOX_MAGIC = 0x00,      /* BOX_IS_ONE */
       BOX_ADDRESS = 0x04,    /* and 0x08: the Ethernet address */
       BOX_STATUS = 0x0c,     /* BOX_FRAME, BOX_ROOM */
       BOX_INTERRUPTS = 0x10, /* on which of these it interrupts */
       BOX_PLACE = 0x14,      /* physical address of a frame, low half; 0x18: high */
       BOX_LENGTH = 0x1c,     /* of the frame to send, or received */
       BOX_COMMAND = 0x20
};                             /* done when the write returns */
#define BOX_IS_ONE 0x21786f62u /* "box!" */
#define BOX_FRAME 1u
#define BOX_ROOM 2u
enum { BOX_RECEIVE = 1, BOX_SEND = 2, BOX_DISCARD = 3 };
#define BOX_FRAME_MAX 1514u
#define BOX_HEADROOM 18u /* so that the IP header is aligned */

struct box {
    struct netdev dev;
    struct work work;
    volatile uint8_t *regs;
    uint32_t interrupts; /* those we want beside frames; under the queue's lock */
};

static uint32_t box_get(const struct box *box, unsigned reg)
{
    return hal_mmio_read32(box->regs + reg);
}

static void box_put(const struct box *box, unsigned reg, uint32_t value)
{
    hal_mmio_write32(box->regs + reg, value);
}

static void box_do(const struct box *box, uint32_t command, const void *data)
{
    paddr_t place = hal_virt_to_phys(data);
    box_put(box, BOX_PLACE, (uint32_t)place);
    box_put(box, BOX_PLACE + 4, (uint32_t)(place >> 32));
    hal_device_barrier(); /* memory before the register */
    box_put(box, BOX_COMMAND, command);
}

/* Interrupt context: silence it, and leave the rest to the poll. */
static void box_irq(void *arg)
{
    struct box *box = arg;
    box_put(box, BOX_INTERRUPTS, 0);
    (void)work_queue(&box->work);
}

static void box_receive(struct box *box)
{
    struct pkt *pkt = pkt_alloc(BOX_HEADROOM, BOX_FRAME_MAX, ALLOC_DEFAULT);
    if (!pkt) {
        box_put(box, BOX_COMMAND, BOX_DISCARD);
        netdev_receive_drop(&box->dev);
        return;
    }
    box_do(box, BOX_RECEIVE, pkt->data);
    uint32_t len = box_get(box, BOX_LENGTH);
    /* What a device says is checked. */
    if (len < 14 || len > BOX_FRAME_MAX || !pkt_put(pkt, len)) {
        pkt_free(pkt);
        netdev_receive_error(&box->dev);
        return;
    }
    netdev_receive(&box->dev, pkt);
}

/* The work: at most a budget of frames, then others have their turn. */
static void box_poll(struct work *work)
{
    struct box *box = container_of(work, struct box, work);
    unsigned count = 0;
    while (count < NETDEV_BUDGET && (box_get(box, BOX_STATUS) & BOX_FRAME)) {
        box_receive(box);
        count++;
    }
    netdev_receive_done(&box->dev);
    if (count == NETDEV_BUDGET) {
        (void)work_queue(work);
        return;
    }
    spin_lock(&box->dev.queues[0].lock);
    bool wake = box->interrupts && (box_get(box, BOX_STATUS) & BOX_ROOM);
    if (wake)
        box->interrupts = 0;
    box_put(box, BOX_INTERRUPTS, BOX_FRAME | box->interrupts);
    spin_unlock(&box->dev.queues[0].lock);
    if (wake)
        netdev_wake(&box->dev, 0);
    if (box_get(box, BOX_STATUS) & BOX_FRAME) /* came before the interrupt was on */
        box_irq(box);
}

static int box_transmit(struct netdev *dev, unsigned queue, struct pkt *pkt, bool last)
{
    struct box *box = dev->driver;
    (void)queue, (void)last;
    if (!(box_get(box, BOX_STATUS) & BOX_ROOM)) {
        box->interrupts = BOX_ROOM; /* netdev_wake when there is some */
        box_put(box, BOX_INTERRUPTS, BOX_FRAME | BOX_ROOM);
        return -EAGAIN;
    }
    /* One piece with its checksum: the device has said nothing else in `features`. */
    box_put(box, BOX_LENGTH, pkt->total);
    box_do(box, BOX_SEND, pkt->data);
    pkt_free(pkt); /* it has been copied */
    return 0;
}

static int box_start(const struct hal_device *where)
{
    static const struct netdev_ops ops = {.transmit = box_transmit};
    struct box *box = kzalloc(sizeof(*box));
    int err = -ENOMEM;
    if (!box)
        return err;
    box->regs = hal_mmio_map(where->regs, where->len);
    if (!box->regs)
        goto fail;
    err = -ENODEV;
    if (box_get(box, BOX_MAGIC) != BOX_IS_ONE)
        goto fail;
    uint32_t address[2] = {box_get(box, BOX_ADDRESS), box_get(box, BOX_ADDRESS + 4)};
    box->dev = (struct netdev){.name = "box%d",
                               .ops = &ops,
                               .driver = box,
                               .type = ARPHRD_ETHER,
                               .flags = NETDEV_BROADCAST | NETDEV_MULTICAST,
                               .mtu = 1500,
                               .mtu_min = 68,
                               .mtu_max = 1500,
                               .queue_count = 1};
    memcpy(box->dev.address, address, ETHER_ADDR_LEN);
    work_init(&box->work, box_poll);
    err = netdev_register(&box->dev); /* from here on transmit may be called */
    if (err)
        goto fail;
    err = irq_attach(where->irq, box_irq, box);
    if (err)
        return err; /* registered for good: it can only send */
    netdev_carrier(&box->dev, true);
    box_put(box, BOX_INTERRUPTS, BOX_FRAME);
    return 0;
fail:
    kfree(box);
    return err;
}

#endif
