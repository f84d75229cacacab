/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pl011.h - Arm PrimeCell UART (PL011; Arm DDI 0183). No lock: the console that owns it has one.
 * The line's speed is left as the firmware set it.
 */
#ifndef SELKIE_PL011_H
#define SELKIE_PL011_H

#include "lib/types.h"

/* Enable receiver, transmitter and FIFOs; interrupts are off afterwards. Returns a byte that had
 * been received before and would be lost, or -1. */
int pl011_init(volatile void *regs);
/* Is there room for PL011_FIFO bytes? */
#define PL011_FIFO 16
bool pl011_ready(volatile void *regs);
/* Hand over at most PL011_FIFO bytes after pl011_ready() said yes. */
void pl011_put(volatile void *regs, const uint8_t *buf, size_t len);
/* One received byte, or -1 if there is none. */
int pl011_read(volatile void *regs);
/* Interrupt on received data and on pl011_ready(), each on or off. */
void pl011_interrupts(volatile void *regs, bool rx, bool tx);
/* Has everything left the transmitter? */
bool pl011_idle(volatile void *regs);

#endif
