/* SPDX-License-Identifier: BSD-3-Clause */
/* report.h - the parts of a panic's report that know threads; see report.c. */
#ifndef SELKIE_SCHED_REPORT_H
#define SELKIE_SCHED_REPORT_H

#include "lib/types.h"

/* Once, on CPU 0, before there are other CPUs. */
void report_init(void);
/* Set at boot by who knows system calls: the name of an enum syscall_id, or NULL. */
extern const char *(*report_call_name)(int id);

/* The command that starts the same run again, in pieces; nothing if nobody has told it. */
void report_command(void (*put)(const char *text, size_t len));

/* panic=HOW, for tests (crash.c): -ENOSYS in a build without assertions. */
int must_check crash_init(const char *cmdline);

#endif
