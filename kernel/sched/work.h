/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * work.h - work that an interrupt handler or a sender leaves to a thread of the same CPU.
 *
 *     work_init(&w, fn);   work_queue(&w);   -> the CPU's work thread calls fn(&w)
 *
 * A queued work is not queued again; it may be queued again as soon as its function has begun, by
 * the function itself too (it then runs behind what else is waiting). So what was written before
 * work_queue is seen by a call of fn that begins later, whether or not this call queued it. The
 * memory is the caller's; it must stay until fn has begun, and fn may free it.
 *
 * Functions run with interrupts on and may sleep, but not for long: they delay the others of that
 * CPU.
 */
#ifndef SELKIE_SCHED_WORK_H
#define SELKIE_SCHED_WORK_H

#include "lib/types.h"

struct work {
    struct work *next;
    void (*fn)(struct work *work);
    bool queued; /* atomic */
};

/* Boot, after the CPUs are up: starts a thread for each. -ENOMEM. */
int must_check work_start(void);
void work_init(struct work *work, void (*fn)(struct work *work));
/* On this CPU. Any context. False: it was queued already (perhaps on another CPU). */
bool work_queue(struct work *work);
bool work_queue_on(struct work *work, unsigned cpu);

#endif
