/* SPDX-License-Identifier: BSD-3-Clause */
/* dev.c - devices: the hosted machine has none; what it has of the world goes through the console.
 */
#include "hal.h"
#include "lib/errno.h"

bool hal_device(unsigned index, struct hal_device *out)
{
    (void)index;
    (void)out;
    return false;
}

volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    (void)pa;
    (void)len;
    return NULL;
}

int hal_irq_unmask(unsigned irq)
{
    (void)irq;
    return -ENODEV;
}
