/* SPDX-License-Identifier: BSD-3-Clause */
/* console.c - the console's line (common/console.h) is COM1. */
#include "common/console.h"
#include "common/serial_16550.h"
#include "x64.h"

#define COM1 0x3f8
#define COM1_IRQ 4

_Static_assert(SERIAL_FIFO >= CONSOLE_LINE_FIFO, "a piece of output fits into the FIFO");

static bool present;

bool console_line_ready(void)
{
    return serial_ready(COM1);
}

void console_line_put(const uint8_t *buf, size_t len)
{
    serial_put(COM1, buf, len);
}

bool console_line_idle(void)
{
    return serial_idle(COM1);
}

int console_line_get(void)
{
    return serial_read(COM1);
}

void console_line_interrupts(bool rx, bool tx)
{
    serial_interrupts(COM1, rx, tx);
}

void x64_console_init(void)
{
    int early = -1;

    present = serial_init(COM1, &early);
    if (present)
        console_start(x64_boot_info.cmdline, early);
}

void x64_console_irq_init(void)
{
    if (present && x64_irq_route(COM1_IRQ, X64_VECTOR_SERIAL) == 0)
        console_start_interrupts();
}

void x64_console_irq(void)
{
    console_interrupt();
}

bool x64_console_finish(int status)
{
    return console_finish(status);
}
