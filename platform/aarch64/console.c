/* SPDX-License-Identifier: BSD-3-Clause */
/* console.c - the console's line (common/console.h) is the PL011 that the device tree names. */
#include "common/console.h"
#include "aarch64.h"
#include "common/pl011.h"
#include "lib/string.h"

_Static_assert(PL011_FIFO >= CONSOLE_LINE_FIFO, "a piece of output fits into the FIFO");

unsigned aarch64_console_intid;

static volatile void *uart; /* NULL: none */

bool console_line_ready(void)
{
    return pl011_ready(uart);
}

void console_line_put(const uint8_t *buf, size_t len)
{
    pl011_put(uart, buf, len);
}

bool console_line_idle(void)
{
    return pl011_idle(uart);
}

int console_line_get(void)
{
    return pl011_read(uart);
}

void console_line_interrupts(bool rx, bool tx)
{
    pl011_interrupts(uart, rx, tx);
}

/* The node that /chosen names as stdout, by path or alias, if it is a PL011; else the first PL011.
 */
static dtb_node find_uart(const struct dtb *dtb)
{
    const char *path = dtb_string(dtb, dtb_path(dtb, "/chosen", 7), "stdout-path");
    dtb_node node = DTB_NONE;

    if (path && path[0] != '/')
        path = dtb_string(dtb, dtb_path(dtb, "/aliases", 8), path);
    if (path) {
        const char *colon = strchr(path, ':');

        node = dtb_path(dtb, path, colon ? (size_t)(colon - path) : strlen(path));
    }
    if (node != DTB_NONE && dtb_lists(dtb, node, "compatible", "arm,pl011"))
        return node;
    node = DTB_NONE;
    do
        node = dtb_compatible(dtb, node, "arm,pl011");
    while (node != DTB_NONE && !dtb_enabled(dtb, node));
    return node;
}

void aarch64_console_init(const struct dtb *dtb)
{
    dtb_node node = find_uart(dtb);
    uint64_t base, size;

    if (node == DTB_NONE || !dtb_reg(dtb, node, 0, &base, &size))
        return;
    uart = aarch64_mmio_map(base, HAL_PAGE_SIZE);
    console_start(aarch64_boot_info.cmdline, pl011_init(uart));
    (void)aarch64_irq_of(dtb, node, 0, &aarch64_console_intid);
}

void aarch64_console_irq_init(void)
{
    if (!uart || aarch64_console_intid == 0)
        return;
    aarch64_irq_enable(aarch64_console_intid);
    console_start_interrupts();
}
