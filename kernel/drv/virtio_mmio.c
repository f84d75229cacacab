/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_mmio.c - virtio devices behind a register window (Virtual I/O Device 1.2, 4.2). All queues
 * share one interrupt.
 */
#include "drv/irq.h"
#include "drv/virtio_transport.h"
#include "lib/errno.h"

enum { /* 4.2.2 */
       REG_MAGIC = 0x000,
       REG_VERSION = 0x004,
       REG_DEVICE_ID = 0x008,
       REG_DEVICE_FEATURES = 0x010,
       REG_DEVICE_FEATURES_SEL = 0x014,
       REG_DRIVER_FEATURES = 0x020,
       REG_DRIVER_FEATURES_SEL = 0x024,
       REG_QUEUE_SEL = 0x030,
       REG_QUEUE_NUM_MAX = 0x034,
       REG_QUEUE_NUM = 0x038,
       REG_QUEUE_READY = 0x044,
       REG_QUEUE_NOTIFY = 0x050,
       REG_INTERRUPT_STATUS = 0x060,
       REG_INTERRUPT_ACK = 0x064,
       REG_STATUS = 0x070,
       REG_QUEUE_DESC = 0x080,
       REG_QUEUE_DRIVER = 0x090,
       REG_QUEUE_DEVICE = 0x0a0,
       REG_CONFIG = 0x100,
};
#define MAGIC 0x74726976u
#define VERSION 2u

static uint32_t status(const struct virtio_device *dev)
{
    return virtio_get32(dev, REG_STATUS);
}

static void set_status(const struct virtio_device *dev, uint32_t value)
{
    virtio_put32(dev, REG_STATUS, value);
}

static uint32_t queue_max(const struct virtio_device *dev, unsigned index)
{
    virtio_put32(dev, REG_QUEUE_SEL, index);
    uint32_t max = virtio_get32(dev, REG_QUEUE_NUM_MAX);
    return virtio_get32(dev, REG_QUEUE_READY) ? 0 : max;
}

static int queue_enable(const struct virtio_device *dev, struct virtio_queue *queue)
{
    virtio_put32(dev, REG_QUEUE_NUM, queue->size);
    virtio_put64(dev, REG_QUEUE_DESC, hal_virt_to_phys(queue->desc));
    virtio_put64(dev, REG_QUEUE_DRIVER, hal_virt_to_phys(queue->avail));
    virtio_put64(dev, REG_QUEUE_DEVICE, hal_virt_to_phys(queue->used));
    hal_device_barrier(); /* the zeroed rings before the device looks */
    virtio_put32(dev, REG_QUEUE_READY, 1);
    return 0;
}

static void notify(const struct virtio_device *dev, const struct virtio_queue *queue)
{
    virtio_put32(dev, REG_QUEUE_NOTIFY, queue->index);
}

static uint32_t irq_reason(struct virtio_device *dev)
{
    uint32_t reason = virtio_get32(dev, REG_INTERRUPT_STATUS);
    if (reason)
        virtio_put32(dev, REG_INTERRUPT_ACK, reason);
    return reason;
}

static int attach(struct virtio_device *dev, void (*fn)(void *arg), void *arg)
{
    return irq_attach(dev->irq, fn, arg);
}

static const struct virtio_transport mmio = {
    .status = status,
    .set_status = set_status,
    .device_select = REG_DEVICE_FEATURES_SEL,
    .device_features = REG_DEVICE_FEATURES,
    .driver_select = REG_DRIVER_FEATURES_SEL,
    .driver_features = REG_DRIVER_FEATURES,
    .queue_max = queue_max,
    .queue_enable = queue_enable,
    .notify = notify,
    .irq_reason = irq_reason,
    .attach = attach,
};

int virtio_open(struct virtio_device *dev, const struct hal_device *where, enum virtio_type type)
{
    if (where->len <= REG_CONFIG)
        return -ENODEV;
    volatile uint8_t *regs = hal_mmio_map(where->regs, where->len);
    if (!regs)
        return -ENOMEM;
    *dev = (struct virtio_device){
        .transport = &mmio,
        .regs = regs,
        .specifics = regs + REG_CONFIG,
        .specifics_len = (uint32_t)MIN(where->len, (size_t)UINT32_MAX) - REG_CONFIG,
        .irq = where->irq,
    };
    if (virtio_get32(dev, REG_MAGIC) != MAGIC || virtio_get32(dev, REG_VERSION) != VERSION ||
        virtio_get32(dev, REG_DEVICE_ID) != type)
        return -ENODEV;
    virtio_begin(dev);
    return 0;
}
