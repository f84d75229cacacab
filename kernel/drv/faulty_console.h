/* SPDX-License-Identifier: BSD-3-Clause */
/* faulty_console.h - a console that lets its users wait and fails them, at random (core/chaos.h).
 */
#ifndef SELKIE_DRV_FAULTY_CONSOLE_H
#define SELKIE_DRV_FAULTY_CONSOLE_H

#include "core/stdio.h"

/* The same as `real`, or as the machine's own console (NULL), but for what it does not do. Once. */
const struct stdio_device *faulty_console(const struct stdio_device *real);

#endif
