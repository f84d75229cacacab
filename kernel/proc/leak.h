/* SPDX-License-Identifier: BSD-3-Clause */
/* leak.h - does a program's run leave anything behind in the kernel? Builds with
 * SELKIE_MEMORY_DEBUG (docs/memory.md). */
#ifndef SELKIE_PROC_LEAK_H
#define SELKIE_PROC_LEAK_H

#include "lib/types.h"

/* Before the program is loaded, with leftover_mark. plant (boot option leak=1): lose two objects on
 * purpose. */
void leak_begin(bool plant);
/* It has ended, and nothing else runs: is something left over (leftover.h), or an object lost
 * (mm/memdebug.h)? Then the log says what. With `all` it also lists what is only kept. Thread
 * context; may wait for seconds. */
bool leak_report(bool all);

#endif
