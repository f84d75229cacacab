/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_inline.h - the hosted backend's own, for tests of its inner files, with a step of the test
 * before every atomic access: there another virtual CPU may go on.
 */
#ifndef SELKIE_UNIT_HOSTED_HAL_INLINE_H
#define SELKIE_UNIT_HOSTED_HAL_INLINE_H

#include "../../../hosted/include/hal_inline.h"

void atomic_step(void);

/* A macro is not expanded within itself. */
#define __atomic_load_n(...) (atomic_step(), __atomic_load_n(__VA_ARGS__))
#define __atomic_fetch_or(...) (atomic_step(), __atomic_fetch_or(__VA_ARGS__))

#endif
