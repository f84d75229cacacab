/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dev.c - devices: the virtio MMIO windows that the command line names, in Linux's words:
 *     virtio_mmio.device=SIZE[KMG]@ADDRESS:IRQ[:ID]
 * A machine without firmware tables for them (Firecracker, QEMU's microvm) has no other way to
 * tell. IRQ is a global system interrupt; numbers below 16 are those of the ISA bus.
 */
#include "lib/conframe.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "x64.h"

static bool parse_size(const char **at, uint64_t *out)
{
    unsigned shift;

    if (str_to_u64(*at, at, out))
        return false;
    shift = **at == 'K' ? 10 : **at == 'M' ? 20 : **at == 'G' ? 30 : 0;
    *at += shift != 0;
    *out <<= shift;
    return true;
}

static bool parse(const char *word, struct hal_device *out)
{
    uint64_t size, base, irq;

    if (!parse_size(&word, &size) || *word++ != '@' || str_to_u64(word, &word, &base) ||
        *word++ != ':' || str_to_u64(word, &word, &irq) || irq > UINT16_MAX)
        return false;
    *out = (struct hal_device){base, size, (unsigned)irq};
    return true;
}

bool hal_device(unsigned index, struct hal_device *out)
{
    const char *at = x64_boot_info.cmdline;
    size_t len;

    for (;;) {
        at = cmdline_find(at, "virtio_mmio.device", &len);
        if (!at)
            return false;
        if (parse(at, out) && index-- == 0)
            return true;
        at += len;
    }
}

/* ---- PCI: configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2) ---- */

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define PCI_ENABLE 0x80000000u

/* The address register can be read back where there is one. */
bool hal_pci(void)
{
    x64_out32(PCI_ADDRESS, PCI_ENABLE);
    return x64_in32(PCI_ADDRESS) == PCI_ENABLE;
}

uint32_t hal_pci_read(unsigned function, unsigned offset)
{
    x64_out32(PCI_ADDRESS, PCI_ENABLE | function << 8 | offset);
    return x64_in32(PCI_DATA);
}

void hal_pci_write(unsigned function, unsigned offset, uint32_t value)
{
    x64_out32(PCI_ADDRESS, PCI_ENABLE | function << 8 | offset);
    x64_out32(PCI_DATA, value);
}

#define PCI_INTERRUPT_LINE 0x3c

/* The line is that of the 8259s (PCI Local Bus 3.0, 6.2.4), which the I/O APIC has under the same
 * number where both are wired (QEMU's pc and q35); elsewhere only ACPI's program _PRT knows. */
int hal_pci_irq(unsigned function)
{
    uint32_t line = hal_pci_read(function, PCI_INTERRUPT_LINE) & 0xff;

    return line > 0 && line < 16 ? (int)line : -ENODEV;
}

/* Firmware has assigned everything. */
bool hal_pci_window(uint64_t *base, uint64_t *size)
{
    (void)base;
    (void)size;
    return false;
}
