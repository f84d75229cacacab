/* SPDX-License-Identifier: BSD-3-Clause */
/* kstack.h - the size of kernel stacks (kstack_alloc, mm/kmalloc.h). */
#ifndef SELKIE_MM_KSTACK_H
#define SELKIE_MM_KSTACK_H

#include "hal.h"

#ifndef SELKIE_SANITIZE
#error "SELKIE_SANITIZE must be 0 or 1"
#endif

/* Sanitizers put red zones between variables and never share their slots: four times the need. */
#define KSTACK_SIZE (SELKIE_SANITIZE ? (size_t)64 << 10 : (size_t)16 << 10)

#endif
