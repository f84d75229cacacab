/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake_vmxnet3.h - a vmxnet3 device on a PCI bus of its own, for the test of its driver and for the
 * fuzzer: registers, commands and rings as vmxnet3.h says, which whoever includes this makes go
 * wrong. Needs kernel/drv/vmxnet3.c included before it. Also the machine around it: the work that
 * the driver queues is run by fake_work_run.
 */
#ifndef SELKIE_UNIT_DRV_FAKE_VMXNET3_H
#define SELKIE_UNIT_DRV_FAKE_VMXNET3_H

#include <string.h>

#include "drv/irq.h"
#include "fake.h"
#include "fake_work.h"
#include "lib/errno.h"

#define VMX_FUNCTION (3u << 3)
#define VMX_BAR 0xfe000000u

struct vmx_ring { /* where the device is in one */
    uint64_t pa;
    uint32_t size, at;
    bool gen;
};
static struct vmx_device {
    uint32_t config[64];
    uint32_t revision, answer, link, masked[25], pending[25];
    bool active, refuses, no_msix;
    uint64_t shared;
    unsigned activated, was_told[8], rx_count, tx_count;
    struct vmx_ring tx[8], tx_done[8], rx[8][2], rx_done[8];
    void (*on_send)(unsigned queue);
} vmx;
static volatile uint8_t vmx_window[0x3000]; /* BARs 0 and 1, the table of MSI-X */
static void (*vmx_handler[32])(void *arg);
static void *vmx_handler_arg[32];
static unsigned vmx_handlers;

/* ---- rings ---- */

static inline void vmx_ring_init(struct vmx_ring *r, uint64_t pa, uint32_t size)
{
    *r = (struct vmx_ring){pa, size, 0, true};
}

static inline void *vmx_cell(const struct vmx_ring *r)
{
    return (uint8_t *)hal_phys_to_virt(r->pa) + 16ul * r->at;
}

static inline void vmx_advance(struct vmx_ring *r)
{
    if (++r->at == r->size) {
        r->at = 0;
        r->gen = !r->gen;
    }
}

static inline const struct vmxnet3_shared *vmx_shared(void)
{
    return hal_phys_to_virt(vmx.shared);
}

static inline struct vmxnet3_tx_conf *vmx_tx_conf(unsigned q)
{
    return (struct vmxnet3_tx_conf *)hal_phys_to_virt(vmx_shared()->queues) + q;
}
static inline struct vmxnet3_rx_conf *vmx_rx_conf(unsigned q)
{
    return (struct vmxnet3_rx_conf *)vmx_tx_conf(vmx.tx_count + q);
}

/* The next entry that the driver has given to be sent; NULL: none. */
static inline const struct vmxnet3_desc *vmx_tx_next(unsigned q, unsigned *index)
{
    struct vmx_ring *r = &vmx.tx[q];
    const struct vmxnet3_desc *desc = vmx_cell(r);

    if (!vmx.active || (desc->word2 >> 14 & 1) != r->gen)
        return NULL;
    *index = r->at;
    vmx_advance(r);
    return desc;
}

static inline void vmx_complete(struct vmx_ring *r, uint32_t word0, uint32_t word2, uint32_t word3)
{
    uint32_t *cell = vmx_cell(r);

    cell[0] = word0;
    cell[2] = word2;
    cell[3] = (word3 & 0x7fffffff) | (uint32_t)r->gen << 31;
    vmx_advance(r);
}

static inline void vmx_interrupt(unsigned n)
{
    if (vmx_handlers <= n || !vmx.active)
        return;
    vmx.pending[n] = vmx.masked[n]; /* comes when it is unmasked */
    if (!vmx.masked[n]) {
        vmx.masked[n] = 1; /* by itself */
        vmx_handler[n](vmx_handler_arg[n]);
    }
}

/* A buffer of ring `which` that the driver has given; NULL: none. */
static inline const struct vmxnet3_desc *vmx_rx_next(unsigned q, unsigned which, unsigned *index)
{
    struct vmx_ring *r = &vmx.rx[q][which];
    const struct vmxnet3_desc *desc = vmx_cell(r);

    if (!vmx.active || desc->word2 >> 31 != r->gen)
        return NULL;
    *index = r->at;
    vmx_advance(r);
    return desc;
}

/* ---- registers ---- */

static inline void vmx_activate(void)
{
    const struct vmxnet3_shared *s = vmx_shared();

    vmx.answer = 1;
    if (vmx.refuses || s->magic != 0xbabefee1)
        return;
    vmx.answer = 0;
    vmx.active = true;
    vmx.activated++;
    vmx.tx_count = s->tx_count;
    vmx.rx_count = s->rx_count;
    for (unsigned i = 0; i < s->tx_count; i++) {
        vmx_ring_init(&vmx.tx[i], vmx_tx_conf(i)->ring, vmx_tx_conf(i)->ring_size);
        vmx_ring_init(&vmx.tx_done[i], vmx_tx_conf(i)->completions,
                      vmx_tx_conf(i)->completion_size);
    }
    for (unsigned i = 0; i < s->rx_count; i++) {
        for (unsigned r = 0; r < 2; r++)
            vmx_ring_init(&vmx.rx[i][r], vmx_rx_conf(i)->ring[r], vmx_rx_conf(i)->ring_size[r]);
        vmx_ring_init(&vmx.rx_done[i], vmx_rx_conf(i)->completions,
                      vmx_rx_conf(i)->completion_size);
    }
}

static inline void vmx_command(uint32_t command)
{
    vmx.answer = 0;
    if (command == 0xcafe0000)
        vmx_activate();
    if (command == 0xcafe0002) {
        vmx.active = false;
        memset(vmx.masked, 1, sizeof(vmx.masked));
    }
    if (command == 0xf00d0002)
        vmx.answer = vmx.link;
}

uint32_t fake_mmio_read(const volatile void *reg)
{
    size_t at = (size_t)((const volatile uint8_t *)reg - vmx_window);

    if (at / 0x1000 != 1)
        return 0;
    switch (at % 0x1000) {
    case 0x00:
        return vmx.revision;
    case 0x08:
        return 1;
    case 0x20:
        return vmx.answer;
    case 0x28:
        return 0x33221102;
    case 0x30:
        return 0x5544;
    case 0x38:
        return 1;
    default:
        return 0;
    }
}

static inline void vmx_row(size_t at, uint32_t value)
{
    unsigned q = at / 8 % 64;

    if (at < 25 * 8) {
        vmx.masked[at / 8] = value;
        if (vmx.pending[at / 8] && !value)
            vmx_interrupt((unsigned)(at / 8));
    }
    if (at / 0x200 != 3 || q >= 8)
        return;
    vmx.was_told[q]++;
    if (vmx.on_send && vmx.active && q < vmx.tx_count)
        vmx.on_send(q);
}

void fake_mmio_write(volatile void *reg, uint32_t value)
{
    size_t at = (size_t)((volatile uint8_t *)reg - vmx_window);

    if (at < 0x1000)
        vmx_row(at, value);
    if (at / 0x1000 != 1)
        return;
    if (at == 0x1010)
        vmx.shared = value;
    if (at == 0x1018)
        vmx.shared |= (uint64_t)value << 32;
    if (at == 0x1020)
        vmx_command(value);
    if (at == 0x1040)
        ((struct vmxnet3_shared *)hal_phys_to_virt(vmx.shared))->events &= ~value;
}

/* ---- the machine ---- */

static inline uint32_t vmx_pci_read(unsigned function, unsigned offset)
{
    return function == VMX_FUNCTION ? vmx.config[offset / 4] : UINT32_MAX;
}
static inline void vmx_pci_write(unsigned function, unsigned offset, uint32_t value)
{
    /* Of the status nothing is written. */
    if (function == VMX_FUNCTION)
        vmx.config[offset / 4] =
            offset == 4 ? (value & 0xffff) | (vmx.config[1] & 0xffff0000) : value;
}
volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    return pa >= VMX_BAR && pa + len <= VMX_BAR + sizeof(vmx_window) ? vmx_window + (pa - VMX_BAR)
                                                                     : NULL;
}
int irq_attach_msi(unsigned irq, void (*fn)(void *arg), void *arg)
{
    (void)irq;
    if (vmx_handlers == 32)
        return -ENOSPC;
    vmx_handler[vmx_handlers] = fn;
    vmx_handler_arg[vmx_handlers++] = arg;
    return 0;
}
int irq_attach(unsigned irq, void (*fn)(void *arg), void *arg)
{
    return irq_attach_msi(irq, fn, arg);
}

/* Before each test: a machine with the device, which no driver has found yet. */
static inline void vmx_machine_init(void)
{
    vmx = (struct vmx_device){.revision = 3, .link = 1};
    memset(vmx.masked, 1, sizeof(vmx.masked));
    vmx.config[0] = 0x07b015ad;
    vmx.config[1] = 0x10u << 16; /* capabilities: */
    vmx.config[0x34 / 4] = 0x40;
    vmx.config[0x40 / 4] = 0x00180011; /* MSI-X, 25 entries in BAR 2 */
    vmx.config[0x44 / 4] = 2;
    for (unsigned i = 0; i < 3; i++)
        vmx.config[0x10 / 4 + i] = VMX_BAR + 0x1000 * i;
    fake_pci_read = vmx_pci_read;
    fake_pci_write = vmx_pci_write;
    vmx_handlers = 0;
    fake_work_forget();
}

#endif
