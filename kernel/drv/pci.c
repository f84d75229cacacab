/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci.c - PCI functions: see pci.h. Sections are those of PCI Local Bus 3.0.
 *
 * What a function says about itself is not trusted further than this: offsets stay in its 256 bytes
 * of configuration space, chains of capabilities end.
 */
#include "drv/pci.h"

#include "core/assert.h"
#include "core/cmdline.h"
#include "drv/irq.h"
#include "lib/errno.h"

#define HEADER_TYPE 0x0e
#define HEADER_MULTI 0x80u
#define HEADER_BRIDGE 1u
#define SUBORDINATE_BUS 0x1a
#define STATUS 0x06
#define STATUS_CAPABILITIES 0x10u
#define CAPABILITIES 0x34
#define BAR(n) (0x10 + 4 * (n))
#define BARS 6u
#define BAR_IO 1u
#define BAR_64 4u
#define COMMAND_MEMORY 2u
#define COMMAND_MASTER 4u
#define COMMAND_NO_INTX 0x400u
#define MSIX_CONTROL 2
#define MSIX_TABLE 4
#define MSIX_COUNT 0x7ffu
#define MSIX_ENABLE 0x8000u
#define MSIX_MASK_ALL 0x4000u
#define MSIX_ENTRY 16u /* address, data, control */
#define MSIX_ENTRY_MASKED 1u
#define CAPABILITIES_MAX 48u /* that fit into the space */

uint32_t pci_read(unsigned function, unsigned offset, unsigned width)
{
    uint32_t word = hal_pci_read(function, offset & 0xfcu) >> 8 * (offset & 3);
    return width == 4 ? word : word & ((1u << 8 * width) - 1);
}

void pci_write16(unsigned function, unsigned offset, uint16_t value)
{
    unsigned shift = 8 * (offset & 2);
    uint32_t word = hal_pci_read(function, offset & 0xfcu);
    /* The status register clears what is written as 1. */
    if ((offset & 0xfcu) == PCI_COMMAND)
        word &= 0xffff;
    word = (word & ~(0xffffu << shift)) | (uint32_t)value << shift;
    hal_pci_write(function, offset & 0xfcu, word);
}

static bool exists(unsigned function)
{
    return pci_read(function, PCI_VENDOR, 2) != 0xffff;
}

/* The number of the last bus, as far as bus 0 and its bridges say. */
static unsigned last_bus(void)
{
    unsigned last = 0;
    for (unsigned function = 0; function < 256; function++)
        if (exists(function) && (pci_read(function, HEADER_TYPE, 1) & 0x7f) == HEADER_BRIDGE)
            last = MAX(last, pci_read(function, SUBORDINATE_BUS, 1));
    return last;
}

int pci_function(unsigned at)
{
    if (!hal_pci())
        return -ENOENT;
    unsigned end = (last_bus() + 1) << 8;
    for (unsigned function = 0; function < end; function++) {
        bool first = (function & 7) == 0;
        if (exists(function)) {
            if (at-- == 0)
                return (int)function;
            if (!first || (pci_read(function, HEADER_TYPE, 1) & HEADER_MULTI))
                continue;
        } else if (!first) {
            continue;
        }
        function |= 7; /* a device of one function, or none */
    }
    return -ENOENT;
}

/* Addresses for what has none, where no firmware has seen to it (6.2.5.1): what a register keeps of
 * ones is its size. Wide ones are below 4 GiB, too. */
static void assign(unsigned function)
{
    static uint64_t next; /* free ones */
    uint64_t base, size;
    if (!hal_pci_window(&base, &size))
        return;
    next = MAX(next, base);
    for (unsigned bar = 0; bar < BARS; bar++) {
        uint32_t low = pci_read(function, BAR(bar), 4);
        bool wide = (low & 7) == BAR_64 && bar + 1 < BARS;
        bool free = !(low & BAR_IO) && low < 16 && !(wide && pci_read(function, BAR(bar + 1), 4));
        hal_pci_write(function, BAR(bar), free ? UINT32_MAX : low);
        uint32_t mask = pci_read(function, BAR(bar), 4) & ~15u, need = ~mask + 1;
        if (free) {
            uint64_t at = align_up(next, MAX(need, 1u));
            bool fits = mask != 0 && at + need <= base + size;
            hal_pci_write(function, BAR(bar), fits ? (uint32_t)at : 0);
            next = fits ? at + need : next;
        }
        bar += wide;
    }
}

void pci_enable(unsigned function)
{
    assign(function);
    uint16_t command = (uint16_t)pci_read(function, PCI_COMMAND, 2);
    pci_write16(function, PCI_COMMAND,
                (uint16_t)(command | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX));
}

unsigned pci_capability(unsigned function, unsigned id, unsigned after)
{
    if (!(pci_read(function, STATUS, 2) & STATUS_CAPABILITIES))
        return 0;
    unsigned at = pci_read(function, after ? after + 1 : CAPABILITIES, 1) & 0xfc;
    for (unsigned i = 0; i < CAPABILITIES_MAX && at >= 0x40; i++) {
        if (pci_read(function, at, 1) == id)
            return at;
        at = pci_read(function, at + 1, 1) & 0xfc;
    }
    return 0;
}

volatile uint8_t *pci_map(unsigned function, unsigned bar, uint64_t offset, uint64_t len)
{
    uint32_t low = bar < BARS ? pci_read(function, BAR(bar), 4) : BAR_IO;
    uint64_t base = low & ~15u;
    if (low & BAR_IO)
        return NULL;
    if ((low & 6) == BAR_64 && bar + 1 < BARS)
        base |= (uint64_t)pci_read(function, BAR(bar + 1), 4) << 32;
    if (base == 0 || len == 0 || add_overflow(base, offset, &base))
        return NULL;
    return hal_mmio_map(base, len);
}

/* ---- MSI-X (6.8.2) ---- */

/* msi=0 on the command line: for machines where it does not work. */
static bool msi_wanted(void)
{
    char value[4];
    return !cmdline_option(hal_boot_info()->cmdline, "msi", value, sizeof value) || value[0] != '0';
}

int pci_msix_start(unsigned function, struct pci_msix *out)
{
    unsigned at = pci_capability(function, PCI_CAP_MSIX, 0);
    if (!at || !msi_wanted())
        return -ENODEV;
    uint32_t control = pci_read(function, at + MSIX_CONTROL, 2);
    uint32_t table = pci_read(function, at + MSIX_TABLE, 4);
    *out = (struct pci_msix){.count = (control & MSIX_COUNT) + 1, .function = function};
    out->table = pci_map(function, table & 7, table & ~7u, out->count * MSIX_ENTRY);
    if (!out->table || hal_msi_alloc(0, &out->first))
        return -ENODEV;
    out->has_first = true;
    pci_write16(function, at + MSIX_CONTROL, (uint16_t)(control | MSIX_ENABLE | MSIX_MASK_ALL));
    for (unsigned i = 0; i < out->count; i++)
        hal_mmio_write32(out->table + i * MSIX_ENTRY + 12, MSIX_ENTRY_MASKED);
    pci_write16(function, at + MSIX_CONTROL, (uint16_t)((control | MSIX_ENABLE) & ~MSIX_MASK_ALL));
    return 0;
}

int pci_msix_attach(struct pci_msix *msix, unsigned entry, unsigned cpu, void (*fn)(void *arg),
                    void *arg)
{
    struct hal_msi msi;
    ASSERT(entry < msix->count);
    int err = 0;
    if (msix->has_first && cpu == 0)
        msi = msix->first;
    else
        err = hal_msi_alloc(cpu, &msi);
    msix->has_first &= cpu != 0;
    if (!err)
        err = irq_attach_msi(msi.irq, fn, arg);
    if (err)
        return err;
    volatile uint8_t *at = msix->table + entry * MSIX_ENTRY;
    hal_mmio_write32(at, (uint32_t)msi.address);
    hal_mmio_write32(at + 4, (uint32_t)(msi.address >> 32));
    hal_mmio_write32(at + 8, msi.data);
    hal_mmio_write32(at + 12, 0); /* what is pending comes now */
    return 0;
}

int pci_intx_attach(unsigned function, void (*fn)(void *arg), void *arg)
{
    unsigned at = pci_capability(function, PCI_CAP_MSIX, 0);
    int irq = hal_pci_irq(function);
    if (irq < 0)
        return irq;
    if (at)
        pci_write16(function, at + MSIX_CONTROL, 0);
    /* The function has been quiet since pci_enable: its line may rise only now that somebody
     * listens. QEMU's I/O APIC forgets a level that was there before its pin was told to look at
     * levels. */
    int err = irq_attach((unsigned)irq, fn, arg);
    uint16_t command = (uint16_t)pci_read(function, PCI_COMMAND, 2);
    if (!err)
        pci_write16(function, PCI_COMMAND, (uint16_t)(command & ~COMMAND_NO_INTX));
    return err;
}
