/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netdev.c - network devices: the list of them, what comes in, what goes out. See netdev.h.
 *
 * Transmit queues. The lock of a queue is held around the driver's transmit. When the driver says
 * that it is full, the packet and those that follow wait in the backlog, in order, until the driver
 * calls netdev_wake, whose work sends them. No wake is lost: the queue is marked as stopped under
 * the lock, and the work takes the lock before it looks; a driver that becomes free between
 * its -EAGAIN and the mark queues the work, which then waits for the lock.
 *
 * The list of devices only grows: each is complete before it is linked (release), readers load with
 * acquire and need no lock.
 */
#include "drv/netdev.h"

#include "core/mutex.h"
#include "drv/gro.h"
#include "drv/segment.h"
#include "lib/counter.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "mm/page.h"

#define LINK_HEADER_MAX 18u /* Ethernet with a tag */

static void drop_input(struct pkt *pkt)
{
    pkt_free(pkt);
}
void (*netdev_input)(struct pkt *pkt) = drop_input;
void (*netdev_registering)(struct netdev *dev);
void (*netdev_changed)(struct netdev *dev);
void (*netdev_tap)(struct netdev *dev, const struct pkt *pkt, bool outgoing);

static struct spinlock list_lock = SPINLOCK_INIT(RANK_NETDEV); /* registration */
static struct netdev *first;                                   /* atomic, as are the links */
static unsigned count;
static struct mutex up_lock;

void netdev_init(void)
{
    mutex_init(&up_lock, RANK_NETDEV_UP);
}

/* ---- the list ---- */

struct netdev *netdev_first(void)
{
    return __atomic_load_n(&first, __ATOMIC_ACQUIRE);
}

struct netdev *netdev_next(const struct netdev *dev)
{
    return __atomic_load_n(&dev->next, __ATOMIC_ACQUIRE);
}

struct netdev *netdev_by_index(unsigned index)
{
    struct netdev *dev = netdev_first();
    while (dev && dev->index != index)
        dev = netdev_next(dev);
    return dev;
}

struct netdev *netdev_by_name(const char *name)
{
    struct netdev *dev = netdev_first();
    while (dev && strcmp(dev->name, name) != 0)
        dev = netdev_next(dev);
    return dev;
}

/* "eth%d" -> the first free one. */
static void choose_name(struct netdev *dev)
{
    char pattern[NETDEV_NAME_MAX], *percent;
    (void)strlcpy(pattern, dev->name, sizeof(pattern));
    percent = strchr(pattern, '%');
    if (!percent)
        return;
    *percent = 0;
    unsigned number = 0;
    do
        (void)snprintf(dev->name, sizeof(dev->name), "%.9s%u", pattern, number++);
    while (netdev_by_name(dev->name));
}

static void wake_run(struct work *work);

int netdev_register(struct netdev *dev)
{
    ASSERT(dev->queue_count >= 1 && dev->queue_count <= NETDEV_QUEUES_MAX);
    dev->queues = kmalloc_array(dev->queue_count, sizeof(*dev->queues), ALLOC_ZERO);
    dev->stats = kmalloc_array(hal_cpu_count(), sizeof(*dev->stats), ALLOC_ZERO);
    dev->gro = NULL;
    if (dev->type == ARPHRD_ETHER)
        dev->gro = kmalloc_array(hal_cpu_count(), sizeof(*dev->gro), ALLOC_ZERO);
    if (!dev->queues || !dev->stats || (dev->type == ARPHRD_ETHER && !dev->gro)) {
        kfree(dev->queues);
        kfree(dev->stats);
        kfree(dev->gro);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < dev->queue_count; i++) {
        spin_init(&dev->queues[i].lock, RANK_NETDEV);
        work_init(&dev->queues[i].wake, wake_run);
        dev->queues[i].dev = dev;
    }
    if (netdev_registering)
        netdev_registering(dev);
    dev->next = NULL;
    spin_lock(&list_lock);
    choose_name(dev);
    dev->index = ++count;
    struct netdev **end = &first;
    while (*end)
        end = &(*end)->next;
    __atomic_store_n(end, dev, __ATOMIC_RELEASE);
    spin_unlock(&list_lock);
    if (netdev_changed)
        netdev_changed(dev);
    return 0;
}

/* ---- state ---- */

static void set_flag(struct netdev *dev, uint32_t flag, bool on)
{
    if (on)
        __atomic_fetch_or(&dev->flags, flag, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&dev->flags, ~flag, __ATOMIC_RELAXED);
}

static void purge_backlogs(struct netdev *dev)
{
    for (unsigned i = 0; i < dev->queue_count; i++) {
        struct netdev_queue *queue = &dev->queues[i];
        spin_lock(&queue->lock);
        struct pkt_queue backlog = queue->backlog;
        queue->backlog = (struct pkt_queue){0};
        spin_unlock(&queue->lock);
        pkt_queue_purge(&backlog);
    }
}

int netdev_set_up(struct netdev *dev, bool up)
{
    int err = 0;
    mutex_lock(&up_lock);
    bool change = ((netdev_flags(dev) & NETDEV_UP) != 0) != up;
    if (change && dev->ops->set_up)
        err = dev->ops->set_up(dev, up);
    if (change && err == 0) {
        set_flag(dev, NETDEV_UP, up);
        if (!up)
            purge_backlogs(dev);
    }
    mutex_unlock(&up_lock);
    if (change && err == 0 && netdev_changed)
        netdev_changed(dev);
    return err;
}

int netdev_set_mtu(struct netdev *dev, unsigned mtu)
{
    if (mtu < dev->mtu_min || mtu > dev->mtu_max)
        return -EINVAL;
    mutex_lock(&up_lock);
    int err = dev->ops->set_mtu ? dev->ops->set_mtu(dev, mtu) : 0;
    if (err == 0)
        __atomic_store_n(&dev->mtu, mtu, __ATOMIC_RELAXED);
    mutex_unlock(&up_lock);
    if (err == 0 && netdev_changed)
        netdev_changed(dev);
    return err;
}

void netdev_want(struct netdev *dev, uint32_t flag, bool more)
{
    mutex_lock(&up_lock);
    unsigned *wanted = flag == NETDEV_PROMISC ? &dev->promisc : &dev->allmulti;
    bool before = *wanted > 0;
    *wanted += more ? 1u : -1u;
    bool change = before != (*wanted > 0);
    if (change)
        set_flag(dev, flag, *wanted > 0);
    if (change && dev->ops->set_filter)
        dev->ops->set_filter(dev);
    mutex_unlock(&up_lock);
    if (change && netdev_changed)
        netdev_changed(dev);
}

void netdev_carrier(struct netdev *dev, bool on)
{
    bool change = ((netdev_flags(dev) & NETDEV_RUNNING) != 0) != on;
    set_flag(dev, NETDEV_RUNNING, on);
    if (change && netdev_changed)
        netdev_changed(dev);
}

void netdev_get_stats(const struct netdev *dev, struct netdev_stats *out)
{
    memset(out, 0, sizeof(*out));
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        const struct netdev_stats *s = &dev->stats[id];
        out->rx_packets += counter_read(&s->rx_packets);
        out->rx_bytes += counter_read(&s->rx_bytes);
        out->rx_dropped += counter_read(&s->rx_dropped);
        out->rx_errors += counter_read(&s->rx_errors);
        out->rx_multicast += counter_read(&s->rx_multicast);
        out->rx_merged += counter_read(&s->rx_merged);
        out->tx_packets += counter_read(&s->tx_packets);
        out->tx_bytes += counter_read(&s->tx_bytes);
        out->tx_dropped += counter_read(&s->tx_dropped);
        out->tx_errors += counter_read(&s->tx_errors);
    }
}

/* ---- in ---- */

void netdev_receive(struct netdev *dev, struct pkt *pkt)
{
    pkt->dev = dev;
    preempt_disable(); /* the counters are this CPU's */
    struct netdev_stats *stats = &dev->stats[hal_cpu_id()];
    counter_step(&stats->rx_packets);
    counter_add(&stats->rx_bytes, pkt->total);
    if (dev->type == ARPHRD_ETHER && pkt->len > 0 && pkt->data[0] & 1)
        counter_step(&stats->rx_multicast);
    preempt_enable();
    /* Acquire: the tap's state was made before it was published. */
    void (*tap)(struct netdev *, const struct pkt *, bool) =
        __atomic_load_n(&netdev_tap, __ATOMIC_ACQUIRE);
    if (tap)
        tap(dev, pkt, false);
    if (!(netdev_flags(dev) & NETDEV_UP))
        pkt_free(pkt);
    else if (!dev->gro)
        netdev_input(pkt);
    else if (gro_receive(&dev->gro[hal_cpu_id()], pkt, netdev_input))
        counter_step(&dev->stats[hal_cpu_id()].rx_merged);
}

void netdev_receive_done(struct netdev *dev)
{
    if (dev->gro)
        gro_flush(&dev->gro[hal_cpu_id()], netdev_input);
}

void netdev_receive_error(struct netdev *dev)
{
    preempt_disable();
    counter_step(&dev->stats[hal_cpu_id()].rx_errors);
    preempt_enable();
}

void netdev_receive_drop(struct netdev *dev)
{
    preempt_disable();
    counter_step(&dev->stats[hal_cpu_id()].rx_dropped);
    preempt_enable();
}

/* ---- out ---- */

static void count_drop(struct netdev *dev)
{
    preempt_disable();
    counter_step(&dev->stats[hal_cpu_id()].tx_dropped);
    preempt_enable();
}

/* Under the queue's lock, so on this CPU: the driver takes it, or it stays the caller's. */
static int transmit(struct netdev_queue *queue, struct pkt *pkt, bool last)
{
    struct netdev *dev = queue->dev;
    uint32_t bytes = pkt->total;
    int err = dev->ops->transmit(dev, (unsigned)(queue - dev->queues), pkt, last);
    struct netdev_stats *stats = &dev->stats[hal_cpu_id()];
    if (err == 0) {
        counter_step(&stats->tx_packets);
        counter_add(&stats->tx_bytes, bytes);
    } else if (err != -EAGAIN) {
        counter_step(&stats->tx_errors);
        pkt_free(pkt);
    }
    return err;
}

static void wake_run(struct work *work)
{
    struct netdev_queue *queue = container_of(work, struct netdev_queue, wake);
    spin_lock(&queue->lock);
    queue->stopped = false;
    while (queue->backlog.first && !queue->stopped) {
        struct pkt *pkt = queue->backlog.first;
        struct pkt_queue rest = queue->backlog;
        (void)pkt_queue_take(&rest);
        if (transmit(queue, pkt, rest.first == NULL) == -EAGAIN) {
            pkt->next = rest.first; /* it stays where it was */
            queue->stopped = true;
        } else {
            queue->backlog = rest;
        }
    }
    spin_unlock(&queue->lock);
}

void netdev_wake(struct netdev *dev, unsigned queue)
{
    work_queue(&dev->queues[queue].wake);
}

static uint64_t backlog_max(void)
{
    return MIN(MAX(page_total_count() / 16, NETDEV_TXQLEN), NETDEV_BACKLOG);
}

/* The first of a list, which it is taken from. 0: sent, or it waits. */
static int queue_one(struct netdev_queue *queue, struct pkt **list)
{
    struct pkt *pkt = *list;
    *list = pkt->next;
    pkt->next = NULL;
    if (!queue->stopped && !queue->backlog.first) {
        int err = transmit(queue, pkt, *list == NULL);
        if (err != -EAGAIN)
            return err;
        queue->stopped = true;
    }
    if (queue->backlog.count >= backlog_max()) {
        counter_step(&queue->dev->stats[hal_cpu_id()].tx_dropped);
        pkt_free(pkt);
        return -ENOBUFS;
    }
    pkt_queue_add(&queue->backlog, pkt);
    return 0;
}

static int queue_list(struct netdev *dev, struct pkt *list)
{
    /* By CPU: no other CPU wants its lock, and a flow stays in order while its thread stays. */
    struct netdev_queue *queue = &dev->queues[hal_cpu_id() % dev->queue_count];
    int err = 0;
    spin_lock(&queue->lock);
    while (list) {
        int one = queue_one(queue, &list);
        err = err ? err : one;
    }
    spin_unlock(&queue->lock);
    return err;
}

/* What the device cannot do is done to it. */
static int prepare(struct netdev *dev, struct pkt **pkt)
{
    if ((*pkt)->gso && !segment_supported(*pkt, dev->features)) {
        struct pkt *list = segment(*pkt, dev->features);
        if (!list)
            return -ENOBUFS;
        *pkt = list;
        return 0;
    }
    return segment_finish(*pkt, dev->features);
}

int netdev_send(struct netdev *dev, struct pkt *pkt)
{
    uint32_t flags = netdev_flags(dev);
    int err = 0;
    pkt->next = NULL;
    if (!(flags & NETDEV_UP) || !(flags & NETDEV_RUNNING))
        err = -ENETDOWN;
    else if (!pkt->gso && pkt->total > netdev_mtu(dev) + LINK_HEADER_MAX)
        err = -EMSGSIZE;
    if (err == 0) {
        void (*tap)(struct netdev *, const struct pkt *, bool) =
            __atomic_load_n(&netdev_tap, __ATOMIC_ACQUIRE);
        if (tap)
            tap(dev, pkt, true);
        if (dev->ops->lockless)
            return dev->ops->transmit(dev, 0, pkt, true);
        err = prepare(dev, &pkt);
    }
    if (err) {
        count_drop(dev);
        pkt_free(pkt);
        return err;
    }
    return queue_list(dev, pkt);
}
