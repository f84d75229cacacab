/* SPDX-License-Identifier: BSD-3-Clause */
/* dev.c - devices: the virtio MMIO windows of the device tree, in its order. */
#include "aarch64.h"

/* The node of the window that was asked for last: drivers ask for one after the other. */
static struct {
    unsigned index;
    dtb_node node;
} last = {UINT_MAX, DTB_NONE};

bool hal_device(unsigned index, struct hal_device *out)
{
    bool next = last.index != UINT_MAX && index > last.index;
    unsigned at = next ? last.index : UINT_MAX;
    dtb_node node = next ? last.node : DTB_NONE;
    uint64_t base, size;

    while (at != index) {
        node = dtb_compatible(&aarch64_dtb, node, "virtio,mmio");
        if (node == DTB_NONE)
            return false;
        if (dtb_enabled(&aarch64_dtb, node) && dtb_reg(&aarch64_dtb, node, 0, &base, &size) &&
            aarch64_irq_of(&aarch64_dtb, node, 0, &out->irq)) {
            at++;
            out->regs = base;
            out->len = size;
        }
    }
    last.index = index;
    last.node = node;
    return true;
}
