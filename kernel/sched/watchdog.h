/* SPDX-License-Identifier: BSD-3-Clause */
/* watchdog.h - reports of CPUs that are stuck in the kernel; see watchdog.c. */
#ifndef SELKIE_SCHED_WATCHDOG_H
#define SELKIE_SCHED_WATCHDOG_H

#include "lib/types.h"

/* At boot: from which running time on (0: never), and what prints the back trace. */
void watchdog_init(uint64_t limit_ns, void (*trace)(uintptr_t pc, uintptr_t fp));

#endif
