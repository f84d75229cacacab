/* SPDX-License-Identifier: BSD-3-Clause */
/* dev.c - devices: the virtio MMIO windows of the device tree, in its order, and PCI behind its
 * first host bridge. */
#include "aarch64.h"
#include "common/pcihost.h"
#include "lib/errno.h"

/* The node of the window that was asked for last: drivers ask for one after the other. */
static struct {
    unsigned index;
    dtb_node node;
} last = {UINT_MAX, DTB_NONE};

bool hal_device(unsigned index, struct hal_device *out)
{
    bool next = last.index != UINT_MAX && index > last.index;
    unsigned at = next ? last.index : UINT_MAX;
    dtb_node node = next ? last.node : DTB_NONE;
    uint64_t base, size;

    while (at != index) {
        node = dtb_compatible(&aarch64_dtb, node, "virtio,mmio");
        if (node == DTB_NONE)
            return false;
        if (dtb_enabled(&aarch64_dtb, node) && dtb_reg(&aarch64_dtb, node, 0, &base, &size) &&
            aarch64_irq_of(&aarch64_dtb, node, 0, &out->irq)) {
            at++;
            out->regs = base;
            out->len = size;
        }
    }
    last.index = index;
    last.node = node;
    return true;
}

/* ---- PCI: configuration space in memory (PCI Express Base 4.0, 7.2.2) ---- */

#define BUS_SHIFT 20
#define BUS_SIZE (1u << BUS_SHIFT)
#define FUNCTION_SHIFT 12
#define PCI_INTERRUPT_PIN 0x3d
#define BUSES 16u /* more are not looked at: each takes 1 MiB of addresses */

static struct pci_host host;
static bool looked, has_host;
static volatile uint8_t *bus_space[BUSES];

bool hal_pci(void)
{
    if (!looked)
        has_host = pci_host_find(&aarch64_dtb, &host);
    looked = true;
    return has_host;
}

/* A bus is mapped when it is first looked at. NULL: there is none. */
static volatile void *config(unsigned function, unsigned offset)
{
    unsigned bus = function >> 8;

    if (!hal_pci() || bus >= BUSES || host.ecam_size >> BUS_SHIFT <= bus)
        return NULL;
    if (!bus_space[bus])
        bus_space[bus] = hal_mmio_map(host.ecam + ((uint64_t)bus << BUS_SHIFT), BUS_SIZE);
    if (!bus_space[bus])
        return NULL;
    return bus_space[bus] + ((function & 0xff) << FUNCTION_SHIFT) + offset;
}

uint32_t hal_pci_read(unsigned function, unsigned offset)
{
    volatile void *at = config(function, offset);

    return at ? hal_mmio_read32(at) : UINT32_MAX;
}

void hal_pci_write(unsigned function, unsigned offset, uint32_t value)
{
    volatile void *at = config(function, offset);

    if (at)
        hal_mmio_write32(at, value);
}

bool hal_pci_window(uint64_t *base, uint64_t *size)
{
    *base = host.window;
    *size = host.window_size;
    return hal_pci() && host.window_size > 0;
}

int hal_pci_irq(unsigned function)
{
    unsigned pin = hal_pci_read(function, PCI_INTERRUPT_PIN & ~3u) >> 8 & 0xff, irq;

    return hal_pci() && pci_host_irq(&aarch64_dtb, &host, function, pin, &irq) ? (int)irq : -ENODEV;
}
