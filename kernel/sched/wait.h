/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wait.h - wait queues: "sleep until someone says that something changed".
 *
 *   struct waiter w;
 *   waitq_prepare(&queue, &w, true);
 *   while (!condition && err == 0)
 *       err = waitq_sleep(&w, deadline);     0, -ETIMEDOUT or -ERESTARTSYS
 *   waitq_finish(&w);
 *
 * The condition is looked at only after waitq_prepare, so a wake between the look and
 * the sleep is not lost. A waiter may instead carry a callback (poll, epoll).
 */
#ifndef SELKIE_SCHED_WAIT_H
#define SELKIE_SCHED_WAIT_H

#include "core/spinlock.h"
#include "lib/list.h"

struct thread;
struct waitq {
    struct spinlock lock;
    struct list waiters;
};
struct waiter {
    struct list link;
    struct waitq *queue;
    struct thread *thread;
    /* NULL: wake `thread`. Otherwise called under the queue's lock with interrupts off, `events` as
     * given to the wake; it may only take locks that stand after RANK_WAITQ, and must not sleep. */
    void (*fn)(struct waiter *, uint32_t events);
    bool interruptible;
    bool woken; /* a wake has chosen this waiter since it last looked; atomic. A callback may set
                 * it: the event has a taker (waitq_add_exclusive) */
    bool exclusive; /* waitq_wake_one wakes one of these, and all that are not */
};
void waitq_init(struct waitq *queue);
void waitq_init_rank(struct waitq *queue, enum lock_rank rank); /* queues woken from callbacks */
void waitq_prepare(struct waitq *queue, struct waiter *w, bool interruptible);
void waitq_prepare_exclusive(struct waitq *queue, struct waiter *w, bool interruptible);
/* Sleep once; re-arms itself: just look at the condition again and call it again. -ERESTARTSYS when
 * interrupted. */
int must_check waitq_sleep(struct waiter *w, uint64_t deadline_ns);
void waitq_finish(struct waiter *w);
/* Callback waiters. */
void waitq_add(struct waitq *queue, struct waiter *w, void (*fn)(struct waiter *, uint32_t));
/* waitq_wake_one calls such callbacks one by one until one of them sets w->woken. */
void waitq_add_exclusive(struct waitq *queue, struct waiter *w,
                         void (*fn)(struct waiter *, uint32_t));
void waitq_remove(struct waiter *w);
/* Any context. `events`: EPOLL* bits for callbacks, 0 = all. */
void waitq_wake_one(struct waitq *queue, uint32_t events);
bool waitq_wake_all(struct waitq *queue, uint32_t events); /* was anyone told who did not know? */
bool waitq_busy(struct waitq *queue);                      /* anyone waiting? a hint */

/* Sleep until the absolute time. 0, or -ERESTARTSYS if interruptible and interrupted. */
int must_check sleep_until(uint64_t deadline_ns, bool interruptible);

#endif
