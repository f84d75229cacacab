/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pi.h - priority inheritance: whoever owns what an urgent thread waits for is as urgent itself.
 * Declared in core because mutexes are; implemented by the scheduler (sched/pi.c).
 *
 * Urgency is one scale over all classes: 0 is SCHED_IDLE, 1..40 are the nice
 * values 19..-20, 41..139 the real-time priorities 1..99. A thread runs with the greater of its own
 * urgency and that of the most urgent waiter on anything that it owns, through chains of any
 * length.
 *
 *   struct pi lock;              what can be owned and waited for; owner NULL at first
 *   err = pi_wait(&lock, &w, t)  t begins to wait (the caller or, for a requeue, another thread)
 *   pi_unwait(&w)                t does not wait any more, for whatever reason
 *   pi_set_owner(&lock, t)       t owns it now; NULL: nobody
 *   pi_first(&lock)              the most urgent waiter, the longest waiting among equals
 *
 * This only keeps the books: the lock itself, sleeping and waking are the caller's. The caller
 * orders its own calls on one struct pi (by the lock that guards its object: a futex bucket, a
 * mutex's inside) and sees to it that owner and waiters stay alive as long as they are named here.
 * Any context but irq; may be called with any lock of a rank below RANK_PI held.
 */
#ifndef SELKIE_CORE_PI_H
#define SELKIE_CORE_PI_H

#include "lib/list.h"
#include "lib/types.h"

struct thread;
struct pi_waiter;

struct pi { /* all guarded by the lock inside pi.c */
    struct thread *owner;
    struct list waiters; /* the most urgent first */
    struct list held;    /* in owner->pi_held */
};
struct pi_waiter {
    struct list link;
    struct pi *pi;
    struct thread *thread;
    struct pi_waiter *outer; /* what the thread waited for before: a wait within a wait */
    unsigned urgency;
};

void pi_init(struct pi *pi);
/* -EDEADLK if the owner waits, directly or not, for something that `thread` owns: then nothing has
 * changed. */
int must_check pi_wait(struct pi *pi, struct pi_waiter *w, struct thread *thread);
/* The same where a ring is impossible: locks taken in the order of their ranks. */
void pi_wait_ordered(struct pi *pi, struct pi_waiter *w, struct thread *thread);
void pi_unwait(struct pi_waiter *w);
void pi_set_owner(struct pi *pi, struct thread *owner);
/* NULL: nobody waits. Stable while the caller's own lock keeps waiters from coming and going; their
 * order may still change. */
struct pi_waiter *pi_first(struct pi *pi);
/* The thread's own urgency has changed: tell those whom it waits for. */
void pi_renew(struct thread *thread);
/* With what others have lent it. */
unsigned thread_urgency(const struct thread *thread);

#endif
