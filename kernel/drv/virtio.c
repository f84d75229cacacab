/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio.c - the MMIO transport and split virtqueues. Contract: virtio.h. Section numbers are those
 * of Virtual I/O Device 1.2.
 *
 * Order (2.7.13, 2.7.14): a descriptor is written before the release store of the available index
 * that covers it; the used index is read with acquire before the element. Between the available
 * index and the notification stands a barrier that orders memory before device registers.
 */
#include "drv/virtio.h"

#include "core/assert.h"
#include "lib/errno.h"
#include "mm/page.h"

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
#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER 2u
#define STATUS_DRIVER_OK 4u
#define STATUS_FEATURES_OK 8u
#define STATUS_FAILED 128u
#define FEATURE_VERSION_1 (1ull << 32)
#define CONFIG_SIZE 256u /* of its configuration, what a driver of ours may read */
#define RESET_TRIES 1000000u
#define DESC_DEVICE_WRITES 2u

struct virtio_desc { /* 2.7.5 */
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};
struct virtio_avail { /* 2.7.6 */
    uint16_t flags, index;
    uint16_t ring[];
};
struct virtio_used_element {
    uint32_t id, len;
};
struct virtio_used { /* 2.7.8 */
    uint16_t flags, index;
    struct virtio_used_element ring[];
};
/* The rings in their page: 16, 2 and 4 byte aligned. */
#define AVAIL_AT (VIRTIO_QUEUE_MAX * sizeof(struct virtio_desc))
#define USED_AT (AVAIL_AT + 256)
STATIC_ASSERT(sizeof(struct virtio_avail) + 2 * (VIRTIO_QUEUE_MAX + 1) <= 256);
STATIC_ASSERT(USED_AT + sizeof(struct virtio_used) +
                  VIRTIO_QUEUE_MAX * sizeof(struct virtio_used_element) + 2 <=
              HAL_PAGE_SIZE);

static uint32_t get(const struct virtio_device *dev, unsigned reg)
{
    return hal_mmio_read32(dev->regs + reg);
}

static void put(const struct virtio_device *dev, unsigned reg, uint32_t value)
{
    hal_mmio_write32(dev->regs + reg, value);
}

static void put64(const struct virtio_device *dev, unsigned reg, uint64_t value)
{
    put(dev, reg, (uint32_t)value);
    put(dev, reg + 4, (uint32_t)(value >> 32));
}

/* ---- the device ---- */

void virtio_reset(struct virtio_device *dev)
{
    put(dev, REG_STATUS, 0);
    /* The device shows 0 when it has let go of all memory (2.4.2). */
    for (unsigned i = 0; i < RESET_TRIES && get(dev, REG_STATUS) != 0; i++)
        hal_cpu_relax();
}

int virtio_open(struct virtio_device *dev, const struct hal_device *where, enum virtio_type type)
{
    if (where->len < REG_CONFIG + CONFIG_SIZE)
        return -ENODEV;
    *dev = (struct virtio_device){hal_mmio_map(where->regs, where->len), where->irq};
    if (!dev->regs)
        return -ENOMEM;
    if (get(dev, REG_MAGIC) != MAGIC || get(dev, REG_VERSION) != VERSION ||
        get(dev, REG_DEVICE_ID) != type)
        return -ENODEV;
    virtio_reset(dev);
    put(dev, REG_STATUS, STATUS_ACKNOWLEDGE);
    put(dev, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    return 0;
}

int virtio_features(struct virtio_device *dev, uint64_t wanted, uint64_t *got)
{
    uint64_t offered;
    put(dev, REG_DEVICE_FEATURES_SEL, 0);
    offered = get(dev, REG_DEVICE_FEATURES);
    put(dev, REG_DEVICE_FEATURES_SEL, 1);
    offered |= (uint64_t)get(dev, REG_DEVICE_FEATURES) << 32;
    wanted = (wanted | FEATURE_VERSION_1) & offered;
    if (!(wanted & FEATURE_VERSION_1))
        return -ENODEV;
    put(dev, REG_DRIVER_FEATURES_SEL, 0);
    put(dev, REG_DRIVER_FEATURES, (uint32_t)wanted);
    put(dev, REG_DRIVER_FEATURES_SEL, 1);
    put(dev, REG_DRIVER_FEATURES, (uint32_t)(wanted >> 32));
    put(dev, REG_STATUS, get(dev, REG_STATUS) | STATUS_FEATURES_OK);
    if (!(get(dev, REG_STATUS) & STATUS_FEATURES_OK))
        return -ENODEV;
    if (got)
        *got = wanted;
    return 0;
}

void virtio_start(struct virtio_device *dev)
{
    put(dev, REG_STATUS, get(dev, REG_STATUS) | STATUS_DRIVER_OK);
}

uint32_t virtio_config32(const struct virtio_device *dev, unsigned offset)
{
    return get(dev, REG_CONFIG + offset);
}

uint32_t virtio_irq_reason(struct virtio_device *dev)
{
    uint32_t reason = get(dev, REG_INTERRUPT_STATUS);
    if (reason)
        put(dev, REG_INTERRUPT_ACK, reason);
    return reason;
}

/* ---- queues ---- */

int virtio_queue_init(struct virtio_device *dev, struct virtio_queue *queue, unsigned index,
                      unsigned size)
{
    ASSERT(size > 0 && size <= VIRTIO_QUEUE_MAX && (size & (size - 1)) == 0);
    put(dev, REG_QUEUE_SEL, index);
    uint32_t max = get(dev, REG_QUEUE_NUM_MAX);
    if (max == 0 || get(dev, REG_QUEUE_READY) != 0)
        return -ENODEV;
    while (size > max)
        size /= 2;
    struct page *page = page_alloc(0, PAGE_KERNEL, ALLOC_ZERO);
    if (!page)
        return -ENOMEM;
    uint8_t *base = page_virt(page);
    *queue = (struct virtio_queue){
        .desc = (struct virtio_desc *)base,
        .avail = (struct virtio_avail *)(base + AVAIL_AT),
        .used = (struct virtio_used *)(base + USED_AT),
        .index = (uint16_t)index,
        .size = (uint16_t)size,
    };
    put(dev, REG_QUEUE_NUM, size);
    put64(dev, REG_QUEUE_DESC, hal_virt_to_phys(queue->desc));
    put64(dev, REG_QUEUE_DRIVER, hal_virt_to_phys(queue->avail));
    put64(dev, REG_QUEUE_DEVICE, hal_virt_to_phys(queue->used));
    hal_device_barrier(); /* the zeroed rings before the device looks */
    put(dev, REG_QUEUE_READY, 1);
    return 0;
}

void virtio_queue_add(struct virtio_queue *queue, unsigned id, paddr_t pa, uint32_t len,
                      bool device_writes)
{
    ASSERT(id < queue->size && !(queue->busy & 1ull << id));
    queue->busy |= 1ull << id;
    queue->desc[id] = (struct virtio_desc){pa, len, device_writes ? DESC_DEVICE_WRITES : 0, 0};
    queue->avail->ring[queue->added % queue->size] = (uint16_t)id;
    /* Release: the descriptor and the ring's element before the index that covers them. */
    __atomic_store_n(&queue->avail->index, ++queue->added, __ATOMIC_RELEASE);
}

void virtio_queue_kick(struct virtio_device *dev, const struct virtio_queue *queue)
{
    hal_device_barrier();
    put(dev, REG_QUEUE_NOTIFY, queue->index);
}

bool virtio_queue_ready(const struct virtio_queue *queue)
{
    /* Acquire: the element, and what the device wrote into the buffer, are read after this. */
    return __atomic_load_n(&queue->used->index, __ATOMIC_ACQUIRE) != queue->taken;
}

int virtio_queue_take(struct virtio_queue *queue, uint32_t *len)
{
    if (!virtio_queue_ready(queue))
        return -EAGAIN;
    const struct virtio_used_element *element = &queue->used->ring[queue->taken % queue->size];
    uint32_t id = __atomic_load_n(&element->id, __ATOMIC_RELAXED);
    queue->taken++;
    if (id >= queue->size || !(queue->busy & 1ull << id))
        return -EIO;
    queue->busy &= ~(1ull << id);
    *len = __atomic_load_n(&element->len, __ATOMIC_RELAXED);
    return (int)id;
}
