/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_pci.c - virtio devices on PCI (Virtual I/O Device 1.2, 4.1), by the capabilities that
 * modern and transitional ones have. Interrupts are MSI-X, or one INTx line for all where there is
 * none and it is known where that goes (hal_pci_irq).
 *
 * Entry 0 of the MSI-X table is for changes of the configuration and for queues that have no entry
 * of their own. A function's structures may lie anywhere: each is mapped by itself.
 */
#include "drv/pci.h"
#include "drv/virtio_transport.h"
#include "lib/errno.h"

#define VENDOR_VIRTIO 0x1af4u
#define DEVICE_TRANSITIONAL 0x1000u /* to 0x103f: the subsystem says which type */
#define DEVICE_MODERN 0x1040u       /* + the type */
#define DEVICE_END 0x1080u

enum { CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_STEP = 16 };
#define CAPABILITIES_MAX 16u /* of virtio's; there are five kinds */
enum { TYPE_COMMON = 1, TYPE_NOTIFY = 2, TYPE_ISR = 3, TYPE_DEVICE = 4 };
enum { /* 4.1.4.3 */
       COMMON_DEVICE_FEATURE_SELECT = 0,
       COMMON_DEVICE_FEATURE = 4,
       COMMON_DRIVER_FEATURE_SELECT = 8,
       COMMON_DRIVER_FEATURE = 12,
       COMMON_CONFIG_VECTOR = 16,
       COMMON_QUEUE_COUNT = 18,
       COMMON_STATUS = 20,
       COMMON_QUEUE_SELECT = 22,
       COMMON_QUEUE_SIZE = 24,
       COMMON_QUEUE_VECTOR = 26,
       COMMON_QUEUE_ENABLE = 28,
       COMMON_QUEUE_NOTIFY_OFF = 30,
       COMMON_QUEUE_DESC = 32,
       COMMON_QUEUE_DRIVER = 40,
       COMMON_QUEUE_DEVICE = 48,
       COMMON_SIZE = 56,
};

static uint16_t get16(const struct virtio_device *dev, unsigned reg)
{
    return hal_mmio_read16(dev->regs + reg);
}
static void put16(const struct virtio_device *dev, unsigned reg, unsigned value)
{
    hal_mmio_write16(dev->regs + reg, (uint16_t)value);
}

static uint32_t status(const struct virtio_device *dev)
{
    return hal_mmio_read8(dev->regs + COMMON_STATUS);
}

static void set_status(const struct virtio_device *dev, uint32_t value)
{
    hal_mmio_write8(dev->regs + COMMON_STATUS, (uint8_t)value);
}

static uint32_t queue_max(const struct virtio_device *dev, unsigned index)
{
    if (index >= get16(dev, COMMON_QUEUE_COUNT))
        return 0;
    put16(dev, COMMON_QUEUE_SELECT, index);
    return get16(dev, COMMON_QUEUE_ENABLE) ? 0 : get16(dev, COMMON_QUEUE_SIZE);
}

static int queue_enable(const struct virtio_device *dev, struct virtio_queue *queue)
{
    uint64_t doorbell = (uint64_t)get16(dev, COMMON_QUEUE_NOTIFY_OFF) * dev->doorbell_step;
    if (doorbell % 2 || doorbell + 2 > dev->doorbells_len)
        return -ENODEV;
    queue->doorbell = dev->doorbells + doorbell;
    put16(dev, COMMON_QUEUE_SIZE, queue->size);
    if (dev->msix.count > 0) {
        put16(dev, COMMON_QUEUE_VECTOR, 0);
        if (get16(dev, COMMON_QUEUE_VECTOR) != 0)
            return -ENODEV;
    }
    virtio_put64(dev, COMMON_QUEUE_DESC, hal_virt_to_phys(queue->desc));
    virtio_put64(dev, COMMON_QUEUE_DRIVER, hal_virt_to_phys(queue->avail));
    virtio_put64(dev, COMMON_QUEUE_DEVICE, hal_virt_to_phys(queue->used));
    hal_device_barrier(); /* the zeroed rings before the device looks */
    put16(dev, COMMON_QUEUE_ENABLE, 1);
    return 0;
}

static void notify(const struct virtio_device *dev, const struct virtio_queue *queue)
{
    (void)dev;
    hal_mmio_write16(queue->doorbell, queue->index);
}

/* With MSI-X the vector says which, and entry 0 stands for anything. Reading the register
 * acknowledges (4.1.4.5). */
static uint32_t irq_reason(struct virtio_device *dev)
{
    return dev->msix.count > 0 ? VIRTIO_IRQ_QUEUE | VIRTIO_IRQ_CONFIG : hal_mmio_read8(dev->reason);
}

static int attach(struct virtio_device *dev, void (*fn)(void *arg), void *arg)
{
    return dev->msix.count > 0 ? pci_msix_attach(&dev->msix, 0, 0, fn, arg)
                               : pci_intx_attach(dev->function, fn, arg);
}

static int attach_queue(struct virtio_device *dev, struct virtio_queue *queue, unsigned cpu,
                        void (*fn)(void *arg), void *arg)
{
    unsigned entry = queue->index + 1u;
    if (entry >= dev->msix.count)
        return -ENOSPC;
    int err = pci_msix_attach(&dev->msix, entry, cpu, fn, arg);
    if (err)
        return err;
    put16(dev, COMMON_QUEUE_SELECT, queue->index);
    put16(dev, COMMON_QUEUE_VECTOR, entry);
    if (get16(dev, COMMON_QUEUE_VECTOR) == entry)
        return 0;
    put16(dev, COMMON_QUEUE_VECTOR, 0);
    return -ENOSPC;
}

static const struct virtio_transport transport = {
    .status = status,
    .set_status = set_status,
    .device_select = COMMON_DEVICE_FEATURE_SELECT,
    .device_features = COMMON_DEVICE_FEATURE,
    .driver_select = COMMON_DRIVER_FEATURE_SELECT,
    .driver_features = COMMON_DRIVER_FEATURE,
    .queue_max = queue_max,
    .queue_enable = queue_enable,
    .notify = notify,
    .irq_reason = irq_reason,
    .attach = attach,
    .attach_queue = attach_queue,
};

/* ---- finding ---- */

static bool is_type(unsigned function, enum virtio_type type)
{
    uint32_t device = pci_read(function, PCI_VENDOR + 2, 2);
    if (pci_read(function, PCI_VENDOR, 2) != VENDOR_VIRTIO || device < DEVICE_TRANSITIONAL ||
        device >= DEVICE_END)
        return false;
    return device >= DEVICE_MODERN ? device - DEVICE_MODERN == (uint32_t)type
                                   : pci_read(function, PCI_SUBSYSTEM + 2, 2) == (uint32_t)type;
}

/* The first structure of this kind (4.1.4), at least `least` bytes long, and at a multiple of what
 * its registers want (4.1.4.3.1 and those behind it): elsewhere some machines fault. */
static volatile uint8_t *structure(unsigned function, unsigned kind, uint32_t least, uint32_t *len,
                                   unsigned *at)
{
    uint32_t step = kind == TYPE_ISR ? 1 : kind == TYPE_NOTIFY ? 2 : 4;
    *at = 0;
    for (unsigned i = 0; i < CAPABILITIES_MAX; i++) { /* a chain may be a ring */
        *at = pci_capability(function, PCI_CAP_VENDOR, *at);
        if (*at == 0)
            break;
        *len = pci_read(function, *at + CAP_LENGTH, 4);
        uint32_t offset = pci_read(function, *at + CAP_OFFSET, 4);
        if (pci_read(function, *at + CAP_TYPE, 1) != kind || *len < least || offset % step)
            continue;
        return pci_map(function, pci_read(function, *at + CAP_BAR, 1), offset, *len);
    }
    return NULL;
}

int virtio_pci_open(struct virtio_device *dev, unsigned at, enum virtio_type type)
{
    int function = pci_function(at);
    unsigned cap;
    uint32_t len;
    if (function < 0)
        return function;
    if (!is_type((unsigned)function, type))
        return -ENODEV;
    *dev = (struct virtio_device){.transport = &transport};
    pci_enable((unsigned)function);
    dev->regs = structure((unsigned)function, TYPE_COMMON, COMMON_SIZE, &len, &cap);
    dev->doorbells = structure((unsigned)function, TYPE_NOTIFY, 2, &dev->doorbells_len, &cap);
    if (!dev->regs || !dev->doorbells)
        return -ENODEV;
    dev->doorbell_step = pci_read((unsigned)function, cap + CAP_STEP, 4);
    dev->specifics = structure((unsigned)function, TYPE_DEVICE, 1, &dev->specifics_len, &cap);
    if (!dev->specifics)
        dev->specifics_len = 0; /* some have none */
    dev->function = (unsigned)function;
    virtio_begin(dev);
    if (pci_msix_start((unsigned)function, &dev->msix) == 0) {
        put16(dev, COMMON_CONFIG_VECTOR, 0);
        return 0;
    }
    dev->msix.count = 0;
    dev->reason = structure((unsigned)function, TYPE_ISR, 1, &len, &cap);
    return dev->reason ? 0 : -ENODEV;
}
