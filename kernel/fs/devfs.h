/* SPDX-License-Identifier: BSD-3-Clause */
/* devfs.h - character devices by number, and the console's files. */
#ifndef SELKIE_FS_DEVFS_H
#define SELKIE_FS_DEVFS_H

#include "fs/file.h"

/* Open the device: sets file->ops and private_data. -ENXIO if there is no such device. */
int must_check chardev_open(uint64_t rdev, struct file *file);

/* pressure.c: /dev/memory_pressure. */
int must_check pressure_open(struct file *file);

#endif
