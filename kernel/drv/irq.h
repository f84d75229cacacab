/* SPDX-License-Identifier: BSD-3-Clause */
/* irq.h - device interrupts: which driver's handler an interrupt of the machine belongs to. */
#ifndef SELKIE_DRV_IRQ_H
#define SELKIE_DRV_IRQ_H

#include "lib/types.h"

/*
 * Call fn(arg) when interrupt `irq` (struct hal_device) is raised: irq context, interrupts off, on
 * any CPU. For good. Several handlers may share an interrupt; each is called and looks at its own
 * device. -ENOSPC when the table is full, or what hal_irq_unmask says. Thread context.
 */
int must_check irq_attach(unsigned irq, void (*fn)(void *arg), void *arg);
/* The same for one that hal_msi_alloc has given. */
int must_check irq_attach_msi(unsigned irq, void (*fn)(void *arg), void *arg);

#endif
