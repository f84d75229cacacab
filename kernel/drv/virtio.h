/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio.h - virtio devices: the MMIO transport and split virtqueues (Virtual I/O Device 1.2,
 * chapters 2.7 and 4.2). Devices of version 1 or later only, not the legacy interface.
 *
 * Bring-up, each step only after the one before:
 *     virtio_open       is there a device of this type? It is reset and knows that it has a driver
 *     virtio_features   agree on features
 *     virtio_queue_init for every queue used
 *     virtio_start      from here on the device works
 * After a failure virtio_reset() takes the device's hands off memory.
 *
 * A queue's buffers are single pieces of physically contiguous memory. A queue has no lock: its
 * user has. The device is not trusted: what it says is checked before it is used.
 */
#ifndef SELKIE_DRV_VIRTIO_H
#define SELKIE_DRV_VIRTIO_H

#include "hal.h"

enum virtio_type { VIRTIO_NET = 1, VIRTIO_BLOCK = 2, VIRTIO_CONSOLE = 3, VIRTIO_RNG = 4 };

struct virtio_device {
    volatile uint8_t *regs;
    unsigned irq;
};

int must_check virtio_open(struct virtio_device *dev, const struct hal_device *where,
                           enum virtio_type type); /* -ENODEV: another type, or nothing */
/* Of `wanted` (feature bits) what the device has is agreed on and put into *got, which may be
 * NULL. -ENODEV if they cannot agree. */
int must_check virtio_features(struct virtio_device *dev, uint64_t wanted, uint64_t *got);
void virtio_start(struct virtio_device *dev);
void virtio_reset(struct virtio_device *dev);
/* A 32-bit word of the device's configuration. */
uint32_t virtio_config32(const struct virtio_device *dev, unsigned offset);
/* In the interrupt handler: why it came (0: not from this device); acknowledges it. */
#define VIRTIO_IRQ_QUEUE 1u
#define VIRTIO_IRQ_CONFIG 2u
uint32_t virtio_irq_reason(struct virtio_device *dev);

#define VIRTIO_QUEUE_MAX 64u /* so that a queue's three rings fit into one page */
struct virtio_desc;
struct virtio_avail;
struct virtio_used;
struct virtio_queue {
    struct virtio_desc *desc;
    struct virtio_avail *avail;
    struct virtio_used *used;
    uint16_t index, size;
    uint16_t added, taken; /* free-running counts of buffers given to, got back from the device */
    uint64_t busy;         /* bit i: descriptor i belongs to the device */
};
/* Queue `index`, with at most `size` <= VIRTIO_QUEUE_MAX descriptors (a power of two). -ENODEV if
 * the device has no such queue, -ENOMEM. The memory stays the queue's for good. */
int must_check virtio_queue_init(struct virtio_device *dev, struct virtio_queue *queue,
                                 unsigned index, unsigned size);

/* Give the device buffer number `id` (below queue->size, not with the device now). */
void virtio_queue_add(struct virtio_queue *queue, unsigned id, paddr_t pa, uint32_t len,
                      bool device_writes);
/* Tell the device that buffers were added. */
void virtio_queue_kick(struct virtio_device *dev, const struct virtio_queue *queue);
/* Has the device given something back that was not taken yet? */
bool virtio_queue_ready(const struct virtio_queue *queue);
/* Take back one buffer: its number, *len = bytes the device says it wrote. -EAGAIN if there is
 * none; -EIO for a number that the device does not have. */
int must_check virtio_queue_take(struct virtio_queue *queue, uint32_t *len);

#endif
