/* SPDX-License-Identifier: BSD-3-Clause */
/* panic.h - what other core files ask about a panic; panic() itself is in assert.h. */
#ifndef SELKIE_CORE_PANIC_H
#define SELKIE_CORE_PANIC_H

#include "lib/types.h"

/* Is this machine going down? Then locks are no longer waited for. */
bool panic_active(void);

/* Print the kernel call chain that starts at (pc, fp) to the LOG stream. Panic-safe. */
void backtrace_print(uintptr_t pc, uintptr_t fp);

/* panic() of a fault: `what` happened at pc with frame pointer fp. */
_Noreturn void panic_at(uintptr_t pc, uintptr_t fp, const char *fmt, ...) printf_like(3, 4);

#endif
