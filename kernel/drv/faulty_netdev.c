/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * faulty_netdev.c - see faulty_netdev.h. It stands before a driver's operations: transmit is
 * refused for good (CHAOS_ERROR), or its queue is full for a while (CHAOS_BUSY), the end of which a
 * timer announces as the driver would.
 *
 * Not while the driver has packets that it has not told its device of (`last` was false): nobody
 * would tell it. That they come late is for the interrupts (CHAOS_WORK).
 */
#include "drv/faulty_netdev.h"

#include "core/chaos.h"
#include "drv/netdev.h"
#include "lib/errno.h"
#include "mm/kmalloc.h"
#include "sched/timer.h"

struct faulty_queue {
    struct timer rest;
    struct netdev *dev;
    unsigned number;
    bool untold; /* under the queue's lock */
};
struct faulty {
    struct netdev_ops ops; /* the driver's, but for transmit */
    const struct netdev_ops *real;
    struct faulty_queue queues[];
};

/* irq context */
static void rested(struct timer *timer)
{
    struct faulty_queue *q = container_of(timer, struct faulty_queue, rest);
    netdev_wake(q->dev, q->number);
}

/* Under the queue's lock. */
static int faulty_transmit(struct netdev *dev, unsigned queue, struct pkt *pkt, bool last)
{
    struct faulty *faulty = container_of(dev->ops, struct faulty, ops);
    struct faulty_queue *q = &faulty->queues[queue];
    if (!q->untold && chaos_hit(CHAOS_ERROR))
        return -EIO;
    uint64_t delay = q->untold ? 0 : chaos_delay(CHAOS_BUSY);
    if (delay) {
        timer_arm(&q->rest, clock_mono_ns() + delay);
        return -EAGAIN;
    }
    int err = faulty->real->transmit(dev, queue, pkt, last);
    q->untold = !last && err != -EAGAIN; /* whoever is full tells the device */
    return err;
}

/* Without memory it does what its driver does. */
static void make_faulty(struct netdev *dev)
{
    struct faulty *faulty = kzalloc(sizeof(*faulty) + dev->queue_count * sizeof(faulty->queues[0]));
    if (!faulty || dev->ops->lockless) {
        kfree(faulty);
        return;
    }
    faulty->ops = *dev->ops;
    faulty->ops.transmit = faulty_transmit;
    faulty->real = dev->ops;
    for (unsigned i = 0; i < dev->queue_count; i++) {
        faulty->queues[i].dev = dev;
        faulty->queues[i].number = i;
        timer_setup(&faulty->queues[i].rest, rested);
    }
    dev->ops = &faulty->ops;
}

void faulty_netdev_start(void)
{
    netdev_registering = make_faulty;
}
