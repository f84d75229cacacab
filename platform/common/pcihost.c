/* SPDX-License-Identifier: BSD-3-Clause */
/* pcihost.c - reading a PCI host bridge's node: see pcihost.h. */
#include "common/pcihost.h"

#include "lib/string.h"

#define SPACE_MASK 0x03000000u /* of the first cell of an address */
#define SPACE_MEMORY_32 0x02000000u
enum { RANGE_CELLS = 7 }; /* PCI address 3, CPU address 2, size 2 */
enum { CHILD_CELLS = 4, GIC_CELLS = 3, GIC_SPI = 32, GIC_SPI_MAX = 988 };

static bool pair(const struct dtb *dtb, dtb_node node, unsigned at, uint64_t *out)
{
    uint32_t high, low;

    if (!dtb_cell(dtb, node, "ranges", at, &high) || !dtb_cell(dtb, node, "ranges", at + 1, &low))
        return false;
    *out = (uint64_t)high << 32 | low;
    return true;
}

static void find_window(const struct dtb *dtb, struct pci_host *host)
{
    uint64_t pci, cpu, size;
    uint32_t space;

    for (unsigned at = 0;
         dtb_cell(dtb, host->node, "ranges", at, &space) && pair(dtb, host->node, at + 1, &pci) &&
         pair(dtb, host->node, at + 3, &cpu) && pair(dtb, host->node, at + 5, &size);
         at += RANGE_CELLS)
        if ((space & SPACE_MASK) == SPACE_MEMORY_32 && pci == cpu && pci < UINT32_MAX &&
            size <= UINT32_MAX - pci) {
            host->window = pci;
            host->window_size = size;
            return;
        }
}

bool pci_host_find(const struct dtb *dtb, struct pci_host *out)
{
    uint32_t first = 0;

    *out = (struct pci_host){.node = dtb_compatible(dtb, DTB_NONE, "pci-host-ecam-generic")};
    if (out->node == DTB_NONE || !dtb_enabled(dtb, out->node) ||
        !dtb_reg(dtb, out->node, 0, &out->ecam, &out->ecam_size))
        return false;
    (void)dtb_cell(dtb, out->node, "bus-range", 0, &first);
    find_window(dtb, out);
    return first == 0;
}

static dtb_node by_phandle(const struct dtb *dtb, uint32_t phandle)
{
    dtb_node node = dtb_root(dtb);
    uint32_t value;

    while (node != DTB_NONE && (!dtb_cell(dtb, node, "phandle", 0, &value) || value != phandle))
        node = dtb_next(dtb, node);
    return node;
}

/* Entries of the map: the function's address, the pin, the controller, its address, its words. */
bool pci_host_irq(const struct dtb *dtb, const struct pci_host *host, unsigned function,
                  unsigned pin, unsigned *irq)
{
    uint32_t mask = UINT32_MAX, pins = 7, address, number, controller, type, line, cells;

    (void)dtb_cell(dtb, host->node, "interrupt-map-mask", 0, &mask);
    (void)dtb_cell(dtb, host->node, "interrupt-map-mask", 3, &pins);
    for (unsigned at = 0; dtb_cell(dtb, host->node, "interrupt-map", at, &address) &&
                          dtb_cell(dtb, host->node, "interrupt-map", at + 3, &number) &&
                          dtb_cell(dtb, host->node, "interrupt-map", at + 4, &controller);
         at += CHILD_CELLS + 1 + cells + GIC_CELLS) {
        dtb_node node = by_phandle(dtb, controller);

        if (node == DTB_NONE || !dtb_cell(dtb, node, "#interrupt-cells", 0, &type) ||
            type != GIC_CELLS)
            return false;
        if (!dtb_cell(dtb, node, "#address-cells", 0, &cells) || cells > 4)
            cells = 0;
        if ((function << 8 & mask) != (address & mask) || (pin & pins) != (number & pins))
            continue;
        if (!dtb_cell(dtb, host->node, "interrupt-map", at + CHILD_CELLS + 1 + cells, &type) ||
            !dtb_cell(dtb, host->node, "interrupt-map", at + CHILD_CELLS + 2 + cells, &line) ||
            type != 0 || line >= GIC_SPI_MAX)
            return false;
        *irq = GIC_SPI + line;
        return true;
    }
    return false;
}
