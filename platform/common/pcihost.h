/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pcihost.h - a PCI host bridge as a device tree describes it ("pci-host-ecam-generic", PCI Bus
 * Binding to Open Firmware): configuration space in memory (ECAM), a window for the registers of
 * functions, and which interrupt each INTx pin is wired to. Pure code over the tree.
 */
#ifndef SELKIE_PCIHOST_H
#define SELKIE_PCIHOST_H

#include "common/dtb.h"

struct pci_host {
    dtb_node node;
    uint64_t ecam, ecam_size;     /* 1 MiB for each bus, from bus 0 */
    uint64_t window, window_size; /* below 4 GiB, the same addresses on either side; size 0: none */
};

/* The first one that there is. */
bool pci_host_find(const struct dtb *dtb, struct pci_host *out);
/* The GIC's number of what pin 1 to 4 of a function (bus << 8 | device << 3 | function) raises.
 * False: nothing that is known. */
bool pci_host_irq(const struct dtb *dtb, const struct pci_host *host, unsigned function,
                  unsigned pin, unsigned *irq);

#endif
