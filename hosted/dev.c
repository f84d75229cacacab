/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dev.c - devices of the hosted machine: models in this process behind MMIO windows. What is mapped
 * are addresses that are never touched, only told apart: every access to a register is a call. The
 * only one is the network device, if the launcher has given it an outside.
 */
#include "hal.h"
#include "lib/errno.h"
#include "net.h"

/* No RAM is there (RAM_BASE). */
#define NET_PA 0x1000u

static uint8_t net_window[NET_WINDOW] cache_aligned;

bool hal_device(unsigned index, struct hal_device *out)
{
    *out = (struct hal_device){NET_PA, NET_WINDOW, NET_IRQ};
    return index == 0 && net_present();
}

volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    return pa == NET_PA && len <= NET_WINDOW ? net_window : NULL;
}

/* An access ends with interrupts as they were: what the device raises comes then. */
uint32_t hosted_mmio_read(uintptr_t reg, unsigned width)
{
    uintptr_t offset = reg - (uintptr_t)net_window;
    unsigned long irq = hal_irq_save();
    uint32_t value = offset < NET_WINDOW ? net_read((unsigned)offset, width) : UINT32_MAX;

    hal_irq_restore(irq);
    return value;
}

void hosted_mmio_write(uintptr_t reg, uint32_t value, unsigned width)
{
    uintptr_t offset = reg - (uintptr_t)net_window;
    unsigned long irq = hal_irq_save();

    if (offset < NET_WINDOW)
        net_write((unsigned)offset, value, width);
    hal_irq_restore(irq);
}

int hal_irq_unmask(unsigned irq)
{
    unsigned long state;

    if (irq != NET_IRQ || !net_present())
        return -ENODEV;
    state = hal_irq_save(); /* one virtual CPU for both; what is pending comes now */
    net_irq_unmask();
    hal_irq_restore(state);
    return 0;
}

/* No PCI: the models are behind MMIO windows. */
bool hal_pci(void)
{
    return false;
}

uint32_t hal_pci_read(unsigned function, unsigned offset)
{
    (void)function;
    (void)offset;
    return UINT32_MAX;
}

void hal_pci_write(unsigned function, unsigned offset, uint32_t value)
{
    (void)function;
    (void)offset;
    (void)value;
}

bool hal_pci_window(uint64_t *base, uint64_t *size)
{
    (void)base;
    (void)size;
    return false;
}

int hal_pci_irq(unsigned function)
{
    (void)function;
    return -ENODEV;
}

int hal_msi_alloc(unsigned cpu, struct hal_msi *out)
{
    (void)cpu;
    (void)out;
    return -ENODEV;
}
