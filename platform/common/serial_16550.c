/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serial_16550.c - 16550A driver: see serial_16550.h.
 *
 * A burst is one `rep outsb`: under a hypervisor that is one exit for up to 16 bytes.
 */
#include "common/serial_16550.h"

#if defined(__x86_64__)

enum { REG_DATA, REG_IER, REG_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };
#define IER_RX 0x01
#define IER_TX 0x02
/* FIFOs on and empty; interrupt at 14 bytes or a pause of four characters. QEMU hands the guest as
 * many bytes at a time as the trigger says. */
#define FCR_ENABLE_CLEAR 0xc7
#define LCR_8N1 0x03
#define LCR_DIVISOR 0x80
#define MCR_DTR_RTS_OUT2 0x0b /* OUT2 connects the interrupt line on a PC */
#define LSR_DATA 0x01
#define LSR_THR_EMPTY 0x20
#define LSR_IDLE 0x40

static void out(uint16_t port, unsigned reg, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"((uint16_t)(port + reg)));
}

static uint8_t in(uint16_t port, unsigned reg)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"((uint16_t)(port + reg)));
    return value;
}

bool serial_init(uint16_t port, int *early)
{
    out(port, REG_SCRATCH, 0x5a);
    if (in(port, REG_SCRATCH) != 0x5a)
        return false;
    out(port, REG_IER, 0);
    out(port, REG_LCR, LCR_DIVISOR);
    out(port, REG_DATA, 1); /* divisor 1: 115200 baud */
    out(port, REG_IER, 0);
    out(port, REG_LCR, LCR_8N1);
    *early = serial_read(port); /* turning the FIFO on empties it */
    out(port, REG_FCR, FCR_ENABLE_CLEAR);
    out(port, REG_MCR, MCR_DTR_RTS_OUT2);
    return true;
}

bool serial_ready(uint16_t port)
{
    return in(port, REG_LSR) & LSR_THR_EMPTY;
}

void serial_put(uint16_t port, const uint8_t *buf, size_t len)
{
    __asm__ volatile("rep outsb" : "+S"(buf), "+c"(len) : "d"(port) : "memory");
}

int serial_read(uint16_t port)
{
    return in(port, REG_LSR) & LSR_DATA ? in(port, REG_DATA) : -1;
}

void serial_interrupts(uint16_t port, bool rx, bool tx)
{
    out(port, REG_IER, (rx ? IER_RX : 0) | (tx ? IER_TX : 0));
}

bool serial_idle(uint16_t port)
{
    return in(port, REG_LSR) & LSR_IDLE;
}

#endif
