/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * irq.c - the table of device interrupt handlers.
 *
 * Entries are only ever added, under irq_lock; a handler is complete before the release store of
 * the count makes it visible, so the interrupt itself needs no lock.
 */
#include "drv/irq.h"

#include "core/percpu.h"
#include "core/spinlock.h"
#include "hal_up.h"
#include "lib/errno.h"

#define HANDLER_MAX 64u

struct handler {
    unsigned irq;
    void (*fn)(void *arg);
    void *arg;
};
static struct spinlock irq_lock = SPINLOCK_INIT(RANK_DEVICE);
static struct handler handlers[HANDLER_MAX];
static unsigned handler_count; /* atomic */

int irq_attach_msi(unsigned irq, void (*fn)(void *arg), void *arg)
{
    unsigned long state = spin_lock_irqsave(&irq_lock);
    unsigned at = handler_count;
    if (at < HANDLER_MAX) {
        handlers[at] = (struct handler){irq, fn, arg};
        /* Release: pairs with the acquire in kernel_irq. */
        __atomic_store_n(&handler_count, at + 1, __ATOMIC_RELEASE);
    }
    spin_unlock_irqrestore(&irq_lock, state);
    return at < HANDLER_MAX ? 0 : -ENOSPC;
}

int irq_attach(unsigned irq, void (*fn)(void *arg), void *arg)
{
    int err = irq_attach_msi(irq, fn, arg);
    return err ? err : hal_irq_unmask(irq);
}

void kernel_irq(unsigned irq)
{
    irq_enter();
    unsigned count = __atomic_load_n(&handler_count, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < count; i++)
        if (handlers[i].irq == irq)
            handlers[i].fn(handlers[i].arg);
    irq_exit();
}
