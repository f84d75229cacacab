/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio.h - virtio devices (Virtual I/O Device 1.2): what their drivers use, whatever the
 * transport (virtio_mmio.c, virtio_pci.c), and split virtqueues (2.7). Devices of version 1 or
 * later only, not the legacy interface.
 *
 * Bring-up, each step only after the one before:
 *     virtio_find       is there a device of this type? It is reset and knows that it has a driver
 *     virtio_features   agree on features
 *     virtio_queue_init for every queue used
 *     virtio_start      from here on the device works
 *     virtio_attach     interrupts
 * After a failure virtio_reset() takes the device's hands off memory.
 *
 * A queue has no lock: its user has. It is used in one of two ways: with buffers of one piece that
 * the user numbers (virtio_queue_add), or with chains of pieces (virtio_queue_send). The device is
 * not trusted: what it says is checked before it is used, and nothing that it may write is read to
 * find out what the driver itself has done.
 */
#ifndef SELKIE_DRV_VIRTIO_H
#define SELKIE_DRV_VIRTIO_H

#include "drv/pci.h"

enum virtio_type { VIRTIO_NET = 1, VIRTIO_BLOCK = 2, VIRTIO_CONSOLE = 3, VIRTIO_RNG = 4 };

/* Ring events (2.7.7.2, 2.7.10): each side says from which entry on it wants to be told. */
#define VIRTIO_EVENT_INDEX (1ull << 29)

struct virtio_device;
struct virtio_queue;

/* How to reach a device. */
struct virtio_transport {
    uint32_t (*status)(const struct virtio_device *dev);
    void (*set_status)(const struct virtio_device *dev, uint32_t status);
    /* Registers of 32 bits: which half is meant, and that half of the features, of the device's and
     * of those that the driver takes. */
    uint16_t device_select, device_features, driver_select, driver_features;
    /* The most entries that queue `index` may have; 0: there is none, or it is in use. */
    uint32_t (*queue_max)(const struct virtio_device *dev, unsigned index);
    /* Use it: after queue_max of the same index. */
    int (*queue_enable)(const struct virtio_device *dev, struct virtio_queue *queue);
    void (*notify)(const struct virtio_device *dev, const struct virtio_queue *queue);
    uint32_t (*irq_reason)(struct virtio_device *dev);
    int (*attach)(struct virtio_device *dev, void (*fn)(void *arg), void *arg);
    /* One queue by itself; NULL or an error: it shares that one. */
    int (*attach_queue)(struct virtio_device *dev, struct virtio_queue *queue, unsigned cpu,
                        void (*fn)(void *arg), void *arg);
};

struct virtio_device {
    const struct virtio_transport *transport;
    volatile uint8_t *regs;      /* MMIO: the window; PCI: the common configuration */
    volatile uint8_t *specifics; /* the device's own configuration */
    uint32_t specifics_len;
    unsigned irq;
    uint64_t features; /* agreed on */
    /* PCI only. */
    volatile uint8_t *doorbells;
    uint32_t doorbell_step, doorbells_len;
    unsigned function;
    struct pci_msix msix; /* count 0: it has an INTx line, and `reason` says whether it is its */
    volatile uint8_t *reason;
};

/* The next device of this type, beginning with *at = 0, which is moved on. -ENODEV: no more. */
int must_check virtio_find(struct virtio_device *dev, enum virtio_type type, unsigned *at);
/* A device behind an MMIO window. -ENODEV: another type, or nothing. */
int must_check virtio_open(struct virtio_device *dev, const struct hal_device *where,
                           enum virtio_type type);
/* What the device has (feature bits). */
uint64_t virtio_offered(const struct virtio_device *dev);
/* Of `wanted` (feature bits) what the device has is agreed on and put into *got, which may be
 * NULL. -ENODEV if they cannot agree. */
int must_check virtio_features(struct virtio_device *dev, uint64_t wanted, uint64_t *got);
void virtio_start(struct virtio_device *dev);
void virtio_reset(struct virtio_device *dev);
/* The device says that it does not work any more (2.1.1, DEVICE_NEEDS_RESET). Any context. */
bool virtio_failed(const struct virtio_device *dev);
/* The device reset and told that it has a driver: the transports' part of opening one. */
void virtio_begin(struct virtio_device *dev);
/* A field of the device's configuration; 0 if it lies outside. */
uint32_t virtio_config(const struct virtio_device *dev, unsigned offset, unsigned width);
static inline uint32_t virtio_config32(const struct virtio_device *dev, unsigned offset)
{
    return virtio_config(dev, offset, 4);
}
/* fn(arg) in interrupt context whenever the device has something to say. */
int must_check virtio_attach(struct virtio_device *dev, void (*fn)(void *arg), void *arg);
/* The same for one queue, on this CPU. -EOPNOTSUPP, -ENOSPC: the other handler is called for it. */
int must_check virtio_attach_queue(struct virtio_device *dev, struct virtio_queue *queue,
                                   unsigned cpu, void (*fn)(void *arg), void *arg);
/* In such a handler: why it came (0: not from this device); acknowledges it. */
#define VIRTIO_IRQ_QUEUE 1u
#define VIRTIO_IRQ_CONFIG 2u
uint32_t virtio_irq_reason(struct virtio_device *dev);

#define VIRTIO_QUEUE_MAX 1024u
struct virtio_desc;
struct virtio_avail;
struct virtio_used;
struct virtio_slot;
struct virtio_queue {
    struct virtio_desc *desc;
    struct virtio_avail *avail;
    struct virtio_used *used;
    struct virtio_slot *slots; /* by descriptor: what the driver knows of it */
    uint16_t index, size;
    uint16_t added, taken; /* free-running counts of buffers given to, got back from the device */
    uint16_t told;         /* `added` when the device was last told */
    uint16_t free_first, free_count; /* descriptors for chains */
    bool events;                     /* VIRTIO_EVENT_INDEX */
    volatile uint8_t *doorbell;      /* PCI */
};
/* Queue `index`, with at most `size` <= VIRTIO_QUEUE_MAX descriptors (a power of two). -ENODEV if
 * the device has no such queue, -ENOMEM. The memory stays the queue's for good. */
int must_check virtio_queue_init(struct virtio_device *dev, struct virtio_queue *queue,
                                 unsigned index, unsigned size);

/* Give the device buffer number `id` (below queue->size, not with the device now). */
void virtio_queue_add(struct virtio_queue *queue, unsigned id, paddr_t pa, uint32_t len,
                      bool device_writes);

struct virtio_piece {
    paddr_t pa;
    uint32_t len;
};
/* Give it a buffer of `count` > 0 pieces, the last `writes` of them for the device to write. Its
 * number, or -EAGAIN if not so many descriptors are free. */
int must_check virtio_queue_send(struct virtio_queue *queue, const struct virtio_piece *pieces,
                                 unsigned count, unsigned writes);
/* Tell the device that buffers were added, unless it has said that it looks by itself. */
void virtio_queue_kick(struct virtio_device *dev, struct virtio_queue *queue);
/* Has the device given something back that was not taken yet? */
bool virtio_queue_ready(const struct virtio_queue *queue);
/* Take back one buffer: its number, *len = bytes the device says it wrote. -EAGAIN if there is
 * none; -EIO for a number that the device does not have. */
int must_check virtio_queue_take(struct virtio_queue *queue, uint32_t *len);
/* Of buffers that the device has. */
static inline uint16_t virtio_queue_pending(const struct virtio_queue *queue)
{
    return (uint16_t)(queue->added - queue->taken);
}

/* Whether the device is to interrupt when it gives something back: a hint; it may interrupt all the
 * same. `on` asks for it when `after` (0: any) more buffers have come back, and returns false if
 * that is so already: then there may be no interrupt, and the caller goes on. */
void virtio_queue_irq_off(struct virtio_queue *queue);
bool virtio_queue_irq_on(struct virtio_queue *queue, unsigned after);
/* Has come back what an interrupt was asked for? (Ready, but not due: nobody is in a hurry.) */
bool virtio_queue_due(const struct virtio_queue *queue);

#endif
