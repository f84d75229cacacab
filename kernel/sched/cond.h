/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cond.h - condition variables and semaphores of the kernel.
 *
 * A condition variable belongs to a condition that some mutex guards:
 *
 *   mutex_lock(&m);
 *   while (!condition)
 *       cond_wait(&c, &m);
 *   ...
 *   mutex_unlock(&m);
 *
 * Different waiters of one condition variable may use different mutexes. A signal does not make a
 * waiter runnable to fight for a mutex that is held: it moves the waiter to that mutex's line
 * (wait morphing), and the release of the mutex wakes it. So a broadcast wakes at most one thread
 * per mutex at a time. Thread context; cond_signal and cond_broadcast may sleep only in the sense
 * that they take spinlocks, and may be called with or without the mutex.
 */
#ifndef SELKIE_SCHED_COND_H
#define SELKIE_SCHED_COND_H

#include "core/mutex.h"

struct cond {
    struct spinlock lock; /* guards waiters */
    struct list waiters;
};
void cond_init(struct cond *c);
/* Give the mutex back and sleep, as one step; returns with the mutex held, maybe for no reason.
 * 0, or -ETIMEDOUT at the absolute time (UINT64_MAX: none) if no signal came before. Not
 * interruptible. */
int must_check cond_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns);
void cond_wait(struct cond *c, struct mutex *m);
void cond_signal(struct cond *c); /* one waiter, the longest waiting */
void cond_broadcast(struct cond *c);

/* A counting semaphore. Whoever gives up leaves nothing behind; a unit goes to the longest waiting,
 * never past it. */
struct semaphore {
    struct spinlock lock; /* guards both */
    unsigned count;
    struct list waiters; /* only while count is 0 */
};
void semaphore_init(struct semaphore *s, unsigned count);
/* Take one. 0, -ETIMEDOUT, or -ERESTARTSYS if interruptible and interrupted. */
int must_check semaphore_down(struct semaphore *s, bool interruptible, uint64_t deadline_ns);
bool semaphore_try(struct semaphore *s); /* any context */
void semaphore_up(struct semaphore *s);  /* any context */

#endif
