/* SPDX-License-Identifier: BSD-3-Clause */
/* crash.h - a program that a signal kills: report (crash.c) and core file (coredump.c). */
#ifndef SELKIE_PROC_CRASH_H
#define SELKIE_PROC_CRASH_H

#include "proc/process.h"

/* Set at boot: a report is printed on the log. */
extern bool crash_report_wanted;

/* The calling task is about to end its process by the signal `info` describes; `frame`: its user
 * registers. Thread context, no lock held. Does nothing if nothing is wanted. */
void crash(struct task *task, const struct isa_frame *frame, const struct siginfo *info);

/* ---- coredump.c: the other tasks stand still ---- */

bool coredump_wanted(void);
void coredump(struct task *task, const struct isa_frame *frame, const struct siginfo *info);

#endif
