/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console.h - the bare-metal console: all streams over one serial line, framed if the command line
 * says so (lib/conframe.h). It implements the hal_console_ entries; the backend brings the line.
 *
 * The line is one UART: the console_line_ functions are in the backend's console.c, chosen when
 * linking. They take no lock; the caller has one.
 */
#ifndef SELKIE_COMMON_CONSOLE_H
#define SELKIE_COMMON_CONSOLE_H

#include "lib/types.h"

/* ---- what the backend brings ---- */

/* Is there room for CONSOLE_LINE_FIFO bytes? */
#define CONSOLE_LINE_FIFO 16
bool console_line_ready(void);
/* Hand over at most CONSOLE_LINE_FIFO bytes after console_line_ready() said yes. */
void console_line_put(const uint8_t *buf, size_t len);
/* Has everything left the transmitter? */
bool console_line_idle(void);
/* One received byte, or -1 if there is none. */
int console_line_get(void);
/* Interrupt on received data and on console_line_ready(), each on or off; levels: turned on while
 * there is reason it comes at once. */
void console_line_interrupts(bool rx, bool tx);

/* ---- what the backend calls ---- */

/* The line works from here on. `early`: a byte that it had received before, or -1. Once, at boot.
 */
void console_start(const char *cmdline, int early);
/* The line's interrupt is routed: from here on it may come. */
void console_start_interrupts(void);
/* The line's interrupt. */
void console_interrupt(void);
/* A piece of a core file (common/core.h), as a panic writes; nowhere if the line is not framed. */
void console_core(const void *buf, size_t len);
/* At the end of the machine: let everything leave the line, the exit status last if it is framed.
 * Returns whether it was announced. Waits long, but not for ever. Interrupts off; panic-safe. */
bool console_finish(int status);

#endif
