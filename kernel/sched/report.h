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

/* The latest events of all CPUs, as they are now: report_events_say prints them, a line at a time,
 * and kfree ends them. NULL without memory. Thread context; may sleep. */
struct report_events;
struct report_events *must_check report_events_take(void);
void report_events_say(const struct report_events *events,
                       void (*put)(const char *text, size_t len));

/* panic=HOW, for tests (crash.c): -ENOSYS in a build without assertions. */
int must_check crash_init(const char *cmdline);

#endif
