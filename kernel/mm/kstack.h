/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kstack.h - kernel stacks: how large they are, and how they grow. kvm.c has the idea, and
 * docs/memory.md.
 */
#ifndef SELKIE_MM_KSTACK_H
#define SELKIE_MM_KSTACK_H

#include "hal.h"

#ifndef SELKIE_SANITIZE
#error "SELKIE_SANITIZE must be 0 or 1"
#endif

/* Sanitizers put red zones between variables and never share their slots: four times the need. */
#define KSTACK_SIZE (SELKIE_SANITIZE ? (size_t)64 << 10 : (size_t)16 << 10)

/* As much is mapped from the start, at the upper end. */
#define KSTACK_MAPPED (HAL_STACKS_GROW ? HAL_PAGE_SIZE : KSTACK_SIZE)

/* Kernel stacks with an unmapped guard page below, in hal_layout()->kernel_lo..hi. */
void kvm_init(void);
void *kstack_alloc(void); /* lowest usable byte, KSTACK_SIZE long; NULL without memory */
void kstack_free(void *stack);
/* Is addr in the guard page of some kernel stack? For the panic message. */
bool kstack_is_guard(vaddr_t addr);

/* Has CPU `cpu` what stacks may need until its next switch of threads? If not, fill it up as far as
 * there is memory: before each switch, on that CPU with interrupts off, or before it runs. */
bool kstack_reserve_full(unsigned cpu);
void kstack_refill(unsigned cpu);
/* Page tables that have been made for stacks: they stay. (Those of the last level.) */
unsigned kstack_tables(void);
/* Pages that stacks have grown by since boot. */
uint64_t kstack_grown(void);

#endif
