/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio_console.h - the program's standard streams over a virtio console. */
#ifndef SELKIE_DRV_VIRTIO_CONSOLE_H
#define SELKIE_DRV_VIRTIO_CONSOLE_H

#include "core/stdio.h"

/* Find the machine's first virtio console and start it: it speaks the framed protocol of
 * lib/conframe.h from then on. NULL if there is none that works. Thread context, once. */
const struct stdio_device *virtio_console_open(void);

#endif
