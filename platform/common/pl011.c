/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pl011.c - PL011 driver: see pl011.h.
 *
 * The receive interrupt alone fires only when the FIFO is half full; the time-out interrupt covers
 * the rest (DDI 0183, 3.4.2). Both are levels that go away when the FIFO is empty.
 */
#include "common/pl011.h"

enum { /* register offsets / 4 */
       REG_DATA = 0x00 / 4,
       REG_FLAGS = 0x18 / 4,
       REG_LINE = 0x2c / 4,
       REG_CONTROL = 0x30 / 4,
       REG_FIFO_LEVEL = 0x34 / 4,
       REG_MASK = 0x38 / 4,
       REG_CLEAR = 0x44 / 4,
};
#define FLAG_BUSY (1u << 3)
#define FLAG_RX_EMPTY (1u << 4)
#define FLAG_TX_EMPTY (1u << 7)
#define LINE_8N1 0x60u
#define LINE_FIFO 0x10u
#define CONTROL_ENABLE 0x301u /* UART, transmitter, receiver */
#define INTERRUPT_RX (1u << 4)
#define INTERRUPT_TX (1u << 5)
#define INTERRUPT_RX_TIMEOUT (1u << 6)

/* 32-bit accesses only: what the bus guarantees. */
static uint32_t get(volatile void *regs, unsigned reg)
{
    return ((volatile uint32_t *)regs)[reg];
}

static void put(volatile void *regs, unsigned reg, uint32_t value)
{
    ((volatile uint32_t *)regs)[reg] = value;
}

/* Turning the FIFOs on empties them. With them off there is room for one byte, which is read right
 * before, so that as good as nothing can come in between. */
int pl011_init(volatile void *regs)
{
    int early = -1;

    put(regs, REG_MASK, 0);
    put(regs, REG_CLEAR, 0x7ff);
    if ((get(regs, REG_LINE) & LINE_FIFO) == 0) {
        if (!(get(regs, REG_FLAGS) & FLAG_RX_EMPTY))
            early = (int)(get(regs, REG_DATA) & 0xff);
        put(regs, REG_LINE, LINE_8N1 | LINE_FIFO);
    }
    put(regs, REG_FIFO_LEVEL, 0); /* receive interrupt from 1/8 on */
    put(regs, REG_CONTROL, CONTROL_ENABLE);
    return early;
}

bool pl011_ready(volatile void *regs)
{
    return get(regs, REG_FLAGS) & FLAG_TX_EMPTY;
}

void pl011_put(volatile void *regs, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        put(regs, REG_DATA, buf[i]);
}

int pl011_read(volatile void *regs)
{
    if (get(regs, REG_FLAGS) & FLAG_RX_EMPTY)
        return -1;
    return (int)(get(regs, REG_DATA) & 0xff);
}

void pl011_interrupts(volatile void *regs, bool rx, bool tx)
{
    put(regs, REG_MASK, (rx ? INTERRUPT_RX | INTERRUPT_RX_TIMEOUT : 0) | (tx ? INTERRUPT_TX : 0));
}

bool pl011_idle(volatile void *regs)
{
    return !(get(regs, REG_FLAGS) & FLAG_BUSY);
}
