/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stdio.h - who carries the program's standard streams: the machine's own console (hal.h), or a
 * driver that is better at it. fs/console.c is the user, main.c chooses.
 *
 * The functions mean what their namesakes hal_console_write, _room, _read and _info mean, but are
 * called in thread context only, with no spinlock held, and may sleep. News of any kind is
 * announced by kernel_console(), shutdown requests by kernel_shutdown_request().
 */
#ifndef SELKIE_CORE_STDIO_H
#define SELKIE_CORE_STDIO_H

#include "hal.h"

struct stdio_device {
    int (*write)(enum hal_stream stream, const void *buf, size_t len);
    int (*room)(enum hal_stream stream);
    long (*read)(void *buf, size_t len);
    void (*info)(struct hal_console_info *out);
};

#endif
