/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio.c - bringing up a virtio device, and split virtqueues. Contract: virtio.h. Section numbers
 * are those of Virtual I/O Device 1.2.
 *
 * Order (2.7.13, 2.7.14): a descriptor is written before the release store of the available index
 * that covers it; the used index is read with acquire before the element. Between the available
 * index and the look whether the device wants to be told, and between asking for an interrupt and
 * the look at the used index, stands a full barrier: each side writes its word, then reads the
 * other's.
 */
#include "drv/virtio.h"

#include "core/assert.h"
#include "drv/virtio_transport.h"
#include "lib/errno.h"
#include "mm/page.h"

#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u
#define STATUS_NEEDS_RESET 64u
#define FEATURE_VERSION_1 (1ull << 32)
#define RESET_TRIES 1000000u
#define DESC_NEXT 1u
#define DESC_DEVICE_WRITES 2u
#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY 1u

struct virtio_desc { /* 2.7.5 */
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};
struct virtio_avail { /* 2.7.6; behind the ring: used_event */
    uint16_t flags, index;
    uint16_t ring[];
};
struct virtio_used_element {
    uint32_t id, len;
};
struct virtio_used { /* 2.7.8; behind the ring: avail_event */
    uint16_t flags, index;
    struct virtio_used_element ring[];
};
STATIC_ASSERT(sizeof(struct virtio_desc) == 16 && sizeof(struct virtio_used_element) == 8);
struct virtio_slot {
    uint16_t count; /* descriptors of the buffer that begins here and is with the device; 0: none */
    uint16_t next;  /* in the chain, or in the list of free ones */
};

/* ---- the device ---- */

static void add_status(struct virtio_device *dev, uint32_t bits)
{
    dev->transport->set_status(dev, dev->transport->status(dev) | bits);
}

void virtio_reset(struct virtio_device *dev)
{
    dev->transport->set_status(dev, 0);
    /* The device shows 0 when it has let go of all memory (2.4.2). */
    for (unsigned i = 0; i < RESET_TRIES && dev->transport->status(dev) != 0; i++)
        hal_cpu_relax();
}

bool virtio_failed(const struct virtio_device *dev)
{
    return dev->transport->status(dev) & STATUS_NEEDS_RESET;
}

void virtio_begin(struct virtio_device *dev)
{
    virtio_reset(dev);
    dev->transport->set_status(dev, STATUS_ACKNOWLEDGE);
    dev->transport->set_status(dev, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
}

/* MMIO windows first, then functions on PCI. */
int virtio_find(struct virtio_device *dev, enum virtio_type type, unsigned *at)
{
    struct hal_device where;
    unsigned windows = 0;
    while (hal_device(windows, &where))
        windows++;
    for (int err = -ENODEV; err != -ENOENT; ++*at) {
        if (*at >= windows)
            err = virtio_pci_open(dev, *at - windows, type);
        else if (hal_device(*at, &where))
            err = virtio_open(dev, &where, type);
        if (err == 0) {
            ++*at;
            return 0;
        }
    }
    return -ENODEV;
}

uint64_t virtio_offered(const struct virtio_device *dev)
{
    const struct virtio_transport *t = dev->transport;
    virtio_put32(dev, t->device_select, 0);
    uint64_t low = virtio_get32(dev, t->device_features);
    virtio_put32(dev, t->device_select, 1);
    return low | (uint64_t)virtio_get32(dev, t->device_features) << 32;
}

static void take(const struct virtio_device *dev, uint64_t features)
{
    const struct virtio_transport *t = dev->transport;
    virtio_put32(dev, t->driver_select, 0);
    virtio_put32(dev, t->driver_features, (uint32_t)features);
    virtio_put32(dev, t->driver_select, 1);
    virtio_put32(dev, t->driver_features, (uint32_t)(features >> 32));
}

int virtio_features(struct virtio_device *dev, uint64_t wanted, uint64_t *got)
{
    wanted = (wanted | FEATURE_VERSION_1) & virtio_offered(dev);
    if (!(wanted & FEATURE_VERSION_1))
        return -ENODEV;
    take(dev, wanted);
    add_status(dev, STATUS_FEATURES_OK);
    if (!(dev->transport->status(dev) & STATUS_FEATURES_OK))
        return -ENODEV;
    dev->features = wanted;
    if (got)
        *got = wanted;
    return 0;
}

void virtio_start(struct virtio_device *dev)
{
    add_status(dev, STATUS_DRIVER_OK);
}

uint32_t virtio_config(const struct virtio_device *dev, unsigned offset, unsigned width)
{
    const volatile uint8_t *field = dev->specifics + offset;
    ASSERT((width == 1 || width == 2 || width == 4) && offset % width == 0);
    if (offset > dev->specifics_len || width > dev->specifics_len - offset)
        return 0;
    return width == 1   ? hal_mmio_read8(field)
           : width == 2 ? hal_mmio_read16(field)
                        : hal_mmio_read32(field);
}

int virtio_attach(struct virtio_device *dev, void (*fn)(void *arg), void *arg)
{
    return dev->transport->attach(dev, fn, arg);
}

int virtio_attach_queue(struct virtio_device *dev, struct virtio_queue *queue, unsigned cpu,
                        void (*fn)(void *arg), void *arg)
{
    if (!dev->transport->attach_queue)
        return -EOPNOTSUPP;
    return dev->transport->attach_queue(dev, queue, cpu, fn, arg);
}

uint32_t virtio_irq_reason(struct virtio_device *dev)
{
    return dev->transport->irq_reason(dev);
}

/* ---- queues ---- */

/* The rings and slots of a queue in one block: 16, 2, 4 and 2 byte aligned. */
struct layout {
    size_t avail, used, slots, size;
};

static struct layout layout_of(size_t size)
{
    struct layout l = {.avail = size * sizeof(struct virtio_desc)};
    l.used = (l.avail + sizeof(struct virtio_avail) + 2 * (size + 1) + 3) & ~(size_t)3;
    l.slots = l.used + sizeof(struct virtio_used) + size * sizeof(struct virtio_used_element) + 4;
    l.size = l.slots + size * sizeof(struct virtio_slot);
    return l;
}

static uint8_t *queue_memory(size_t size)
{
    unsigned order = 0;
    while ((PAGE_SIZE << order) < size)
        order++;
    struct page *page = page_alloc(order, PAGE_KERNEL, ALLOC_ZERO);
    return page ? page_virt(page) : NULL;
}

rarely int virtio_queue_init(struct virtio_device *dev, struct virtio_queue *queue, unsigned index,
                             unsigned size)
{
    ASSERT(size > 0 && size <= VIRTIO_QUEUE_MAX && (size & (size - 1)) == 0);
    uint32_t max = dev->transport->queue_max(dev, index);
    if (max == 0)
        return -ENODEV;
    while (size > max)
        size /= 2;
    struct layout l = layout_of(size);
    uint8_t *base = queue_memory(l.size);
    if (!base)
        return -ENOMEM;
    *queue = (struct virtio_queue){
        .desc = (struct virtio_desc *)base,
        .avail = (struct virtio_avail *)(base + l.avail),
        .used = (struct virtio_used *)(base + l.used),
        .slots = (struct virtio_slot *)(base + l.slots),
        .index = (uint16_t)index,
        .size = (uint16_t)size,
        .free_count = (uint16_t)size,
        .events = dev->features & VIRTIO_EVENT_INDEX,
    };
    for (unsigned i = 0; i < size; i++)
        queue->slots[i].next = (uint16_t)(i + 1);
    int err = dev->transport->queue_enable(dev, queue);
    if (err)
        page_put(page_of_virt(base));
    return err;
}

/* The buffer that begins with descriptor `head` is the device's. */
static void publish(struct virtio_queue *queue, unsigned head)
{
    queue->avail->ring[queue->added % queue->size] = (uint16_t)head;
    /* Release: the descriptors and the ring's element before the index that covers them. */
    __atomic_store_n(&queue->avail->index, ++queue->added, __ATOMIC_RELEASE);
}

void virtio_queue_add(struct virtio_queue *queue, unsigned id, paddr_t pa, uint32_t len,
                      bool device_writes)
{
    ASSERT(id < queue->size && queue->slots[id].count == 0);
    queue->slots[id].count = 1;
    queue->desc[id] = (struct virtio_desc){pa, len, device_writes ? DESC_DEVICE_WRITES : 0, 0};
    publish(queue, id);
}

int virtio_queue_send(struct virtio_queue *queue, const struct virtio_piece *pieces, unsigned count,
                      unsigned writes)
{
    ASSERT(count > 0 && writes <= count);
    if (count > queue->free_count)
        return -EAGAIN;
    unsigned head = queue->free_first, at = head;
    for (unsigned i = 0; i < count; i++) {
        bool more = i + 1 < count;
        queue->desc[at] = (struct virtio_desc){
            .addr = pieces[i].pa,
            .len = pieces[i].len,
            .flags =
                (uint16_t)((more ? DESC_NEXT : 0) | (i >= count - writes ? DESC_DEVICE_WRITES : 0)),
            .next = more ? queue->slots[at].next : 0,
        };
        at = queue->slots[at].next;
    }
    queue->free_first = (uint16_t)at;
    queue->free_count = (uint16_t)(queue->free_count - count);
    queue->slots[head].count = (uint16_t)count;
    publish(queue, head);
    return (int)head;
}

/* A chain's descriptors are free again. Those of numbered buffers never are in the list. */
static void release(struct virtio_queue *queue, unsigned head)
{
    unsigned count = queue->slots[head].count, last = head;
    queue->slots[head].count = 0;
    if (queue->free_count == queue->size)
        return;
    for (unsigned i = 1; i < count; i++)
        last = queue->slots[last].next;
    queue->slots[last].next = queue->free_first;
    queue->free_first = (uint16_t)head;
    queue->free_count = (uint16_t)(queue->free_count + count);
}

static uint16_t *used_event(const struct virtio_queue *queue)
{
    return &queue->avail->ring[queue->size];
}

static const uint16_t *avail_event(const struct virtio_queue *queue)
{
    return (const uint16_t *)&queue->used->ring[queue->size];
}

void virtio_queue_kick(struct virtio_device *dev, struct virtio_queue *queue)
{
    uint16_t told = queue->told;
    bool wanted;
    hal_device_barrier();
    if (queue->events) {
        /* 2.7.10.1: has the index that it waits for been passed since it was told? */
        uint16_t event = __atomic_load_n(avail_event(queue), __ATOMIC_RELAXED);
        wanted = (uint16_t)(queue->added - event - 1) < (uint16_t)(queue->added - told);
    } else {
        wanted = !(__atomic_load_n(&queue->used->flags, __ATOMIC_RELAXED) & USED_NO_NOTIFY);
    }
    queue->told = queue->added;
    if (wanted)
        dev->transport->notify(dev, queue);
}

bool virtio_queue_ready(const struct virtio_queue *queue)
{
    /* Acquire: the element, and what the device wrote into the buffer, are read after this.
     * `taken` is an atomic for interrupt handlers that look without owning the queue. */
    return __atomic_load_n(&queue->used->index, __ATOMIC_ACQUIRE) !=
           __atomic_load_n(&queue->taken, __ATOMIC_RELAXED);
}

int virtio_queue_take(struct virtio_queue *queue, uint32_t *len)
{
    if (!virtio_queue_ready(queue))
        return -EAGAIN;
    const struct virtio_used_element *element = &queue->used->ring[queue->taken % queue->size];
    uint32_t id = __atomic_load_n(&element->id, __ATOMIC_RELAXED);
    __atomic_store_n(&queue->taken, (uint16_t)(queue->taken + 1), __ATOMIC_RELAXED);
    if (id >= queue->size || queue->slots[id].count == 0)
        return -EIO;
    release(queue, id);
    *len = __atomic_load_n(&element->len, __ATOMIC_RELAXED);
    return (int)id;
}

void virtio_queue_irq_off(struct virtio_queue *queue)
{
    /* With events the index that was asked for lies behind: nothing comes until it is moved. */
    if (!queue->events)
        __atomic_store_n(&queue->avail->flags, AVAIL_NO_INTERRUPT, __ATOMIC_RELAXED);
}

bool virtio_queue_irq_on(struct virtio_queue *queue, unsigned after)
{
    if (queue->events)
        __atomic_store_n(used_event(queue), (uint16_t)(queue->taken + after), __ATOMIC_RELAXED);
    else
        __atomic_store_n(&queue->avail->flags, 0, __ATOMIC_RELAXED);
    hal_device_barrier();
    uint16_t used = __atomic_load_n(&queue->used->index, __ATOMIC_ACQUIRE);
    return (uint16_t)(used - queue->taken) <= (queue->events ? after : 0);
}

/* From a handler that does not own the queue. What the device has seen before it interrupted is
 * seen here, too. */
bool virtio_queue_due(const struct virtio_queue *queue)
{
    uint16_t used = __atomic_load_n(&queue->used->index, __ATOMIC_ACQUIRE);
    uint16_t taken = __atomic_load_n(&queue->taken, __ATOMIC_RELAXED);
    if (!queue->events)
        return used != taken &&
               !(__atomic_load_n(&queue->avail->flags, __ATOMIC_RELAXED) & AVAIL_NO_INTERRUPT);
    uint16_t event = __atomic_load_n(used_event(queue), __ATOMIC_RELAXED);
    return (uint16_t)(event - taken) < (uint16_t)(used - taken);
}
