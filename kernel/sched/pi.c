/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pi.c - the books of priority inheritance.
 *
 * The graph: a thread waits for at most one struct pi at a time (the innermost of its waits), a
 * struct pi has at most one owner, so from each thread one chain leads on. A wait that would close
 * a ring is refused, so chains end. When the urgency of a waiter or the set of waiters or owners
 * changes, the owner's loan (thread->lent) is computed anew; if that changes its urgency and it
 * waits itself, its place among those waiters changes and the walk goes on with their owner.
 *
 * One lock guards all of it: it is taken only where threads wait, and held for a few list steps per
 * link of the chain. thread->lent is atomic because the thread's CPU reads it without the lock; it
 * is told after each change (sched_notify) and applies it as it would a new nice value.
 */
#include "core/pi.h"

#include "lib/errno.h"
#include "sched/internal.h"

#define CHAIN_MAX 1024 /* as Linux's kernel.max_lock_depth */

static struct spinlock pi_lock = SPINLOCK_INIT(RANK_PI);

unsigned thread_urgency(const struct thread *thread)
{
    unsigned own = rq_own_urgency(thread);
    unsigned lent = __atomic_load_n(&thread->lent, __ATOMIC_RELAXED);
    return MAX(own, lent);
}

void pi_init(struct pi *pi)
{
    pi->owner = NULL;
    list_init(&pi->waiters);
    list_init(&pi->held);
}

static struct pi_waiter *first_locked(const struct pi *pi)
{
    return list_empty(&pi->waiters) ? NULL : list_entry(pi->waiters.next, struct pi_waiter, link);
}

/* Behind all that are as urgent: most are, so from the end. */
static void insert(struct pi *pi, struct pi_waiter *w)
{
    struct list *after = pi->waiters.prev;
    while (after != &pi->waiters && list_entry(after, struct pi_waiter, link)->urgency < w->urgency)
        after = after->prev;
    list_insert_after(after, &w->link);
}

/* What those who wait for the thread lend it. */
static unsigned loan(const struct thread *thread)
{
    unsigned most = 0;
    list_for_each (pos, &thread->pi_held) {
        const struct pi_waiter *w = first_locked(list_entry(pos, struct pi, held));
        if (w)
            most = MAX(most, w->urgency);
    }
    return most;
}

/* Something about `thread` has changed: bring it, and those whom it waits for, up to date. */
static void settle(struct thread *thread)
{
    while (thread) {
        unsigned lent = loan(thread);
        if (lent != thread->lent) {
            __atomic_store_n(&thread->lent, (uint8_t)lent, __ATOMIC_RELAXED);
            sched_notify(thread);
        }
        struct pi_waiter *w = thread->pi_waits;
        unsigned urgency = thread_urgency(thread);
        if (!w || w->urgency == urgency)
            return;
        w->urgency = urgency;
        list_remove(&w->link);
        insert(w->pi, w);
        thread = w->pi->owner;
    }
}

/* A longer chain counts as a ring. A ring that is none of ours can exist: when a wait within a wait
 * ends, the outer one counts again and is not looked at as a new one. */
static bool leads_to(const struct thread *from, const struct thread *to)
{
    for (unsigned i = 0; from && from != to && i < CHAIN_MAX; i++)
        from = from->pi_waits ? from->pi_waits->pi->owner : NULL;
    return from != NULL;
}

static void wait_locked(struct pi *pi, struct pi_waiter *w, struct thread *thread)
{
    *w = (struct pi_waiter){
        .pi = pi,
        .thread = thread,
        .outer = thread->pi_waits,
        .urgency = thread_urgency(thread),
    };
    thread->pi_waits = w;
    insert(pi, w);
    settle(pi->owner);
}

int pi_wait(struct pi *pi, struct pi_waiter *w, struct thread *thread)
{
    unsigned long irq = spin_lock_irqsave(&pi_lock);
    int err = leads_to(pi->owner, thread) ? -EDEADLK : 0;
    if (!err)
        wait_locked(pi, w, thread);
    spin_unlock_irqrestore(&pi_lock, irq);
    return err;
}

void pi_wait_ordered(struct pi *pi, struct pi_waiter *w, struct thread *thread)
{
    unsigned long irq = spin_lock_irqsave(&pi_lock);
    wait_locked(pi, w, thread);
    spin_unlock_irqrestore(&pi_lock, irq);
}

void pi_unwait(struct pi_waiter *w)
{
    unsigned long irq = spin_lock_irqsave(&pi_lock);
    struct pi_waiter **at = &w->thread->pi_waits; /* the first, unless its thread waits within */
    while (*at != w)
        at = &(*at)->outer;
    *at = w->outer;
    list_remove(&w->link);
    settle(w->pi->owner);
    settle(w->thread); /* the wait around it may have missed a change */
    spin_unlock_irqrestore(&pi_lock, irq);
}

void pi_set_owner(struct pi *pi, struct thread *owner)
{
    unsigned long irq = spin_lock_irqsave(&pi_lock);
    struct thread *old = pi->owner;
    if (old)
        list_remove(&pi->held);
    pi->owner = owner;
    if (owner)
        list_push_back(&owner->pi_held, &pi->held);
    settle(old);
    settle(owner);
    spin_unlock_irqrestore(&pi_lock, irq);
}

struct pi_waiter *pi_first(struct pi *pi)
{
    unsigned long irq = spin_lock_irqsave(&pi_lock);
    struct pi_waiter *w = first_locked(pi);
    spin_unlock_irqrestore(&pi_lock, irq);
    return w;
}

void pi_renew(struct thread *thread)
{
    unsigned long irq = spin_lock_irqsave(&pi_lock);
    settle(thread);
    spin_unlock_irqrestore(&pi_lock, irq);
}
