/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * semaphore.c - counting semaphores.
 *
 * `up` hands its unit to the first waiter, under the lock, if there is one; so newcomers cannot
 * pass waiters, and a waiter that gives up finds under the lock whether it has got a unit meanwhile
 * (then it keeps it and has not given up). The wake happens under the lock too, so the waiter's
 * stack frame outlives the waker's use of it.
 */
#include "lib/errno.h"
#include "sched/cond.h"
#include "sched/thread.h"

struct sem_waiter {
    struct list link;
    struct thread *thread;
    bool got;
};

void semaphore_init(struct semaphore *s, unsigned count)
{
    spin_init(&s->lock, RANK_WAITQ);
    s->count = count;
    list_init(&s->waiters);
}

static bool take_locked(struct semaphore *s)
{
    if (s->count == 0)
        return false;
    s->count--;
    return true;
}

bool semaphore_try(struct semaphore *s)
{
    unsigned long irq = spin_lock_irqsave(&s->lock);
    bool taken = take_locked(s);
    spin_unlock_irqrestore(&s->lock, irq);
    return taken;
}

int semaphore_down(struct semaphore *s, bool interruptible, uint64_t deadline_ns)
{
    struct sem_waiter w = {.thread = thread_current()};
    int err = 0;
    lock_assert_sleepable();
    unsigned long irq = spin_lock_irqsave(&s->lock);
    if (take_locked(s)) {
        spin_unlock_irqrestore(&s->lock, irq);
        return 0;
    }
    list_push_back(&s->waiters, &w.link);
    while (!w.got && err == 0) {
        thread_prepare_sleep(interruptible);
        spin_unlock_irqrestore(&s->lock, irq);
        err = thread_sleep(deadline_ns);
        thread_finish_sleep();
        irq = spin_lock_irqsave(&s->lock);
    }
    if (!w.got)
        list_remove(&w.link);
    spin_unlock_irqrestore(&s->lock, irq);
    if (w.got)
        return 0;
    return err == -EINTR ? -ERESTARTSYS : err;
}

void semaphore_up(struct semaphore *s)
{
    unsigned long irq = spin_lock_irqsave(&s->lock);
    struct list *first = list_pop_front(&s->waiters);
    if (first) {
        struct sem_waiter *w = list_entry(first, struct sem_waiter, link);
        w->got = true;
        thread_wake(w->thread);
    } else {
        s->count++;
    }
    spin_unlock_irqrestore(&s->lock, irq);
}
