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
