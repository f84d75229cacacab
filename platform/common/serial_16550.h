/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serial_16550.h - a 16550A UART at an I/O port (National Semiconductor PC16550D data sheet).
 * x86 only. No lock: the console that owns the port has one. 8 data bits, no parity, 115200 baud.
 */
#ifndef SELKIE_SERIAL_16550_H
#define SELKIE_SERIAL_16550_H

#include "lib/types.h"

/* False if nothing answers at the port. Interrupts are off afterwards. */
/* *early: a byte that had been received before and would be lost, or -1. */
bool serial_init(uint16_t port, int *early);
/* Is there room for SERIAL_FIFO bytes? */
#define SERIAL_FIFO 16
bool serial_ready(uint16_t port);
/* Hand over at most SERIAL_FIFO bytes after serial_ready() said yes. */
void serial_put(uint16_t port, const uint8_t *buf, size_t len);
/* One received byte, or -1 if there is none. */
int serial_read(uint16_t port);
/* Interrupt on received data and on serial_ready(), each on or off. */
void serial_interrupts(uint16_t port, bool rx, bool tx);
/* Has everything left the transmitter? */
bool serial_idle(uint16_t port);

#endif
