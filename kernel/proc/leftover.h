/* SPDX-License-Identifier: BSD-3-Clause */
/* leftover.h - what a program must not leave behind: boot option leftover=1 (docs/chaos.md). */
#ifndef SELKIE_PROC_LEFTOVER_H
#define SELKIE_PROC_LEFTOVER_H

#include "lib/types.h"

/* Before the program is loaded: count what there is. */
void leftover_mark(void);
/* It has ended, and nothing else runs: wait until no more is there than at the mark, for some
 * seconds. What is still there then is told on the log, a line each. Returns how many. */
unsigned leftover_report(void);

#endif
