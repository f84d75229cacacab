/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci.h - functions on the PCI bus (PCI Local Bus 3.0, chapter 6): finding them, their registers,
 * and interrupts by MSI-X or INTx. Addresses are as the
 * firmware has assigned them, or given by pci_enable where there is none.
 *
 * A function's number is bus << 8 | device << 3 | function. Thread context, one caller at a time:
 * drivers look for their devices one after the other at boot.
 */
#ifndef SELKIE_DRV_PCI_H
#define SELKIE_DRV_PCI_H

#include "hal.h"

#define PCI_VENDOR 0x00 /* and device, in the upper half */
#define PCI_COMMAND 0x04
#define PCI_SUBSYSTEM 0x2c
#define PCI_CAP_VENDOR 0x09
#define PCI_CAP_MSIX 0x11

/* The function that is number `at` of those that exist: its number. -ENOENT: there are no more. */
int must_check pci_function(unsigned at);
uint32_t pci_read(unsigned function, unsigned offset, unsigned width);
void pci_write16(unsigned function, unsigned offset, uint16_t value);
/* It may decode memory accesses and do its own; no INTx. */
void pci_enable(unsigned function);
/* The capability `id` behind the one at `after` (0: the first): its offset; 0: none. */
unsigned pci_capability(unsigned function, unsigned id, unsigned after);
/* Where a base address register points: `len` bytes at `offset` of it, mapped for good. NULL: not
 * memory, not assigned, or no room to map it. */
volatile uint8_t *pci_map(unsigned function, unsigned bar, uint64_t offset, uint64_t len);

struct pci_msix {
    volatile uint8_t *table;
    unsigned count; /* entries; 0: the function cannot */
    unsigned function;
    bool has_first; /* the first message to CPU 0: by which start has seen that there are */
    struct hal_msi first;
};
/* Turned on, with all entries masked. -ENODEV: it has no MSI-X, or the machine cannot. */
int must_check pci_msix_start(unsigned function, struct pci_msix *out);
/* Entry `entry` calls fn(arg) on `cpu`, in interrupt context; for good. -ENOSPC: no more vectors.
 */
int must_check pci_msix_attach(struct pci_msix *msix, unsigned entry, unsigned cpu,
                               void (*fn)(void *arg), void *arg);
/* Its INTx line calls fn(arg), with others that share it, on any CPU, in interrupt context; for
 * good, instead of MSI-X. -ENODEV: it is not known where it goes. */
int must_check pci_intx_attach(unsigned function, void (*fn)(void *arg), void *arg);

#endif
