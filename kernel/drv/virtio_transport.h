/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio_transport.h - how virtio.c finds devices, and registers that both transports have. */
#ifndef SELKIE_DRV_VIRTIO_TRANSPORT_H
#define SELKIE_DRV_VIRTIO_TRANSPORT_H

#include "drv/virtio.h"

/* The device of this type that is number `at` among the functions on PCI. -ENODEV: it is none;
 * -ENOENT: there are no more. */
int must_check virtio_pci_open(struct virtio_device *dev, unsigned at, enum virtio_type type);
static inline uint32_t virtio_get32(const struct virtio_device *dev, unsigned reg)
{
    return hal_mmio_read32(dev->regs + reg);
}
static inline void virtio_put32(const struct virtio_device *dev, unsigned reg, uint32_t value)
{
    hal_mmio_write32(dev->regs + reg, value);
}
static inline void virtio_put64(const struct virtio_device *dev, unsigned reg, uint64_t value)
{
    virtio_put32(dev, reg, (uint32_t)value);
    virtio_put32(dev, reg + 4, (uint32_t)(value >> 32));
}

#endif
