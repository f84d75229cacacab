/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mutex.c - sleeping locks.
 *
 * One word: the owner, plus WAITERS if somebody may be asleep. Taking a free mutex and giving
 * back one without waiters is one compare-and-swap. The release of a mutex with waiters frees the
 * word but keeps WAITERS, and wakes the first; running threads may be faster ("barging"): the woken
 * one tries again, and stays first in the list until it succeeds.
 *
 * No lost wake-up: a waiter sets WAITERS and marks itself sleeping under m->lock while the word has
 * an owner. The owner's compare-and-swap from plain `self` then fails and it takes m->lock, after
 * the waiter is in the list and SLEEPING. A woken thread that barges keeps WAITERS if others
 * are left.
 *
 * The memory of a mutex may go away only when nobody can be inside mutex_unlock any more: a
 * reference to the object must be held across it.
 */
#include "core/mutex.h"

#include "sched/thread.h"

#define WAITERS ((uintptr_t)1)
/* A short look before sleeping: most sections are shorter than two switches. The owner is not
 * looked at, as it may end meanwhile. */
#define SPIN_COUNT 64

struct mutex_waiter {
    struct list link;
    struct thread *thread;
};

static uintptr_t word_load(const struct mutex *m)
{
    return (uintptr_t)__atomic_load_n(&m->owner, __ATOMIC_RELAXED);
}

static struct thread *owner_of(uintptr_t word)
{
    return (struct thread *)(word & ~WAITERS);
}

/* Acquire: sees the previous owner's section. Release: publishes ours. */
static bool word_swap(struct mutex *m, uintptr_t from, uintptr_t to)
{
    struct thread *expected = (struct thread *)from;
    return __atomic_compare_exchange_n(&m->owner, &expected, (struct thread *)to, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void mutex_init(struct mutex *m, enum lock_rank rank)
{
    __atomic_store_n(&m->owner, NULL, __ATOMIC_RELAXED);
    spin_init(&m->lock, RANK_MUTEX);
    list_init(&m->waiters);
    m->rank = (uint8_t)rank;
}

static bool spin_for(struct mutex *m, uintptr_t self)
{
    if (cpu_online_count() == 1)
        return false;
    for (unsigned i = 0; i < SPIN_COUNT; i++) {
        uintptr_t word = word_load(m);
        if (word & WAITERS)
            return false; /* others wait already */
        if (word == 0 && word_swap(m, 0, self))
            return true;
        hal_cpu_relax();
    }
    return false;
}

/* Take the mutex, or make sure that its owner will look for waiters. m->lock held. */
static bool take_or_mark(struct mutex *m, const struct mutex_waiter *w)
{
    bool alone = m->waiters.next == &w->link && m->waiters.prev == &w->link;
    for (;;) {
        uintptr_t word = word_load(m);
        if (!owner_of(word)) {
            if (word_swap(m, word, (uintptr_t)w->thread | (alone ? 0 : WAITERS)))
                return true;
        } else if ((word & WAITERS) || word_swap(m, word, word | WAITERS)) {
            return false;
        }
    }
}

static void lock_slow(struct mutex *m, struct thread *self)
{
    if (spin_for(m, (uintptr_t)self))
        return;
    struct mutex_waiter w = {.thread = self};
    unsigned long irq = spin_lock_irqsave(&m->lock);
    list_push_back(&m->waiters, &w.link);
    while (!take_or_mark(m, &w)) {
        thread_prepare_sleep(false);
        spin_unlock_irqrestore(&m->lock, irq);
        (void)thread_sleep(UINT64_MAX); /* woken, whatever the result */
        thread_finish_sleep();
        irq = spin_lock_irqsave(&m->lock);
    }
    list_remove(&w.link);
    spin_unlock_irqrestore(&m->lock, irq);
}

void mutex_lock(struct mutex *m)
{
    struct thread *self = thread_current();
    lock_assert_sleepable();
    lock_note_acquire(m, m->rank);
    if (!word_swap(m, 0, (uintptr_t)self))
        lock_slow(m, self);
}

bool mutex_try(struct mutex *m)
{
    if (!word_swap(m, 0, (uintptr_t)thread_current()))
        return false;
    lock_note_acquire(m, m->rank);
    return true;
}

static void unlock_slow(struct mutex *m, uintptr_t self)
{
    unsigned long irq = spin_lock_irqsave(&m->lock);
    CHECK(word_load(m) == (self | WAITERS)); /* nobody but the owner changes it now */
    if (list_empty(&m->waiters)) {
        __atomic_store_n(&m->owner, NULL, __ATOMIC_RELEASE);
    } else {
        __atomic_store_n(&m->owner, (struct thread *)WAITERS, __ATOMIC_RELEASE);
        /* Under the lock: the waiter cannot leave before it has seen the list again. */
        thread_wake(list_entry(m->waiters.next, struct mutex_waiter, link)->thread);
    }
    spin_unlock_irqrestore(&m->lock, irq);
}

void mutex_unlock(struct mutex *m)
{
    uintptr_t self = (uintptr_t)thread_current();
    ASSERT(mutex_held(m));
    lock_note_release(m);
    if (!word_swap(m, self, 0))
        unlock_slow(m, self);
}

bool mutex_held(const struct mutex *m)
{
    return owner_of(word_load(m)) == thread_current();
}
