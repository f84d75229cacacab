/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pressure.h - what happens when memory runs short: the reclaim thread, threads that wait for it,
 * and the account of the time they lose (pressure stall information, as Linux's
 * Documentation/accounting/psi.rst describes it).
 *
 * The ladder: below the level `low` the reclaim thread works in the background; a page fault or a
 * read of a file that finds no page waits for it (memory_wait); while programs watch the pressure,
 * they get time to give memory back; then memory_wait says no, and the fault ends the program
 * (SIGKILL). Any other system call that finds no memory gives ENOMEM to its caller and does not
 * wait.
 */
#ifndef SELKIE_SCHED_PRESSURE_H
#define SELKIE_SCHED_PRESSURE_H

#include "mm/reclaim.h"
#include "sched/wait.h"

/* Start the reclaim thread. -ENOMEM. */
int must_check pressure_init(void);

/* An allocation has failed: wait until it makes sense to try again (true), or until it is clear
 * that it does not (false). Thread context, no lock held. Not interruptible; at most some seconds.
 */
bool must_check memory_wait(void);

/* Woken, with POLLPRI-like event bits 0, when the level changes and when a stall ends. */
extern struct waitq pressure_changes;
/* Counts changes of the level; atomic. */
uint32_t pressure_level_changes(void);
/* A program watches (is ready to give memory back): +1, -1. */
void pressure_watch(int delta);

enum pressure_kind { PRESSURE_SOME, PRESSURE_FULL, PRESSURE_KINDS };
struct pressure_stats {
    /* Share of time in which some thread waited for memory, or in which one waited and no other of
     * the program's could run; percent with 16 fractional bits, over 10, 60 and 300 s. */
    uint32_t avg[PRESSURE_KINDS][3];
    uint64_t total_ns[PRESSURE_KINDS];
};
void pressure_get_stats(struct pressure_stats *out);

#endif
