/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_inline.h - the machine of the drivers' tests: that of unit/include with a device that may
 * look at the memory it was given after every atomic store, as one on a bus of its own does.
 */
#ifndef SELKIE_UNIT_DRV_HAL_INLINE_H
#define SELKIE_UNIT_DRV_HAL_INLINE_H

#include "../../include/hal_inline.h"

void device_looks(void);

/* A macro is not expanded within itself. */
#define __atomic_store_n(...) (__atomic_store_n(__VA_ARGS__), device_looks())

#endif
