/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cond.c - condition variables.
 *
 * A waiter lies on its own stack, in c->waiters until a signal takes it out or it gives up; both
 * under c->lock. The signal then puts it into the line of the mutex that it named (mutex_line_up)
 * and uses it no more after that mutex's inside is released; the waiter does not leave before it
 * has seen under the same lock that it is in line. A waiter whose deadline has passed and that is
 * no longer in c->waiters has been chosen: then it waits for the mutex like any other, and has been
 * signalled.
 */
#include "sched/cond.h"

#include "lib/errno.h"
#include "sched/internal.h"

struct cond_waiter {
    struct list link;
    struct mutex *mutex;
    struct mutex_guest guest;
};

void cond_init(struct cond *c)
{
    spin_init(&c->lock, RANK_WAITQ);
    list_init(&c->waiters);
}

static bool give_up(struct cond *c, struct cond_waiter *w)
{
    unsigned long irq = spin_lock_irqsave(&c->lock);
    bool waits = list_linked(&w->link);
    if (waits)
        list_remove(&w->link);
    spin_unlock_irqrestore(&c->lock, irq);
    return waits;
}

int cond_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns)
{
    struct cond_waiter w = {.mutex = m, .guest.thread = thread_current()};
    unsigned long irq = spin_lock_irqsave(&c->lock);
    list_push_back(&c->waiters, &w.link);
    spin_unlock_irqrestore(&c->lock, irq);
    mutex_unlock(m);
    while (!mutex_lock_lined_up(m, &w.guest, deadline_ns)) {
        if (give_up(c, &w)) {
            mutex_lock(m);
            return -ETIMEDOUT;
        }
        deadline_ns = UINT64_MAX; /* chosen: it is a matter of instructions */
    }
    return 0;
}

void cond_wait(struct cond *c, struct mutex *m)
{
    int err = cond_wait_until(c, m, UINT64_MAX);
    CHECK(err == 0); /* there was no deadline */
}

static bool signal_one(struct cond *c)
{
    unsigned long irq = spin_lock_irqsave(&c->lock);
    struct list *first = list_pop_front(&c->waiters);
    spin_unlock_irqrestore(&c->lock, irq);
    if (!first)
        return false;
    struct cond_waiter *w = list_entry(first, struct cond_waiter, link);
    mutex_line_up(w->mutex, &w->guest);
    return true;
}

void cond_signal(struct cond *c)
{
    (void)signal_one(c);
}

void cond_broadcast(struct cond *c)
{
    /* Those that come while we are at it wait for the next signal. */
    struct list chosen;
    list_init(&chosen);
    unsigned long irq = spin_lock_irqsave(&c->lock);
    list_splice_back(&chosen, &c->waiters);
    spin_unlock_irqrestore(&c->lock, irq);
    for (;;) {
        irq = spin_lock_irqsave(&c->lock); /* one of them may look whether it is in a list */
        struct list *first = list_pop_front(&chosen);
        spin_unlock_irqrestore(&c->lock, irq);
        if (!first)
            return;
        struct cond_waiter *w = list_entry(first, struct cond_waiter, link);
        mutex_line_up(w->mutex, &w->guest);
    }
}
