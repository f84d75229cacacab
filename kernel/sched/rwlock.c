/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rwlock.c - many readers or one writer.
 *
 * All state is guarded by l->lock. Who must wait queues up and is given the lock by whoever
 * releases it: in order of arrival, readers in a row together. While anybody waits, newcomers queue
 * behind: a writer waits only for the readers before it, and the readers behind it get their turn
 * when it is done. So nobody starves.
 *
 * `granted` is written and read under l->lock, and the wake happens under it too, so the waiter's
 * stack frame outlives the waker's use of it.
 */
#include "core/mutex.h"
#include "sched/thread.h"

struct rw_waiter {
    struct list link;
    struct thread *thread;
    bool write, granted;
};

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
    l->readers = 0;
    l->writers_waiting = 0;
    __atomic_store_n(&l->writer, NULL, __ATOMIC_RELAXED);
    spin_init(&l->lock, RANK_MUTEX);
    list_init(&l->waiters);
    l->rank = (uint8_t)rank;
}

static bool is_free_for(const struct rwlock *l, bool write)
{
    return write ? l->readers == 0 : l->readers >= 0;
}

static void take(struct rwlock *l, struct thread *thread, bool write)
{
    if (!write) {
        l->readers++;
        return;
    }
    l->readers = -1;
    /* Relaxed: only the owner itself can find its own name there. */
    __atomic_store_n(&l->writer, thread, __ATOMIC_RELAXED);
}

/* Give the lock to those who are first in line. */
static void grant(struct rwlock *l)
{
    while (!list_empty(&l->waiters)) {
        struct rw_waiter *w = list_entry(l->waiters.next, struct rw_waiter, link);
        if (!is_free_for(l, w->write))
            return;
        list_remove(&w->link);
        l->writers_waiting -= w->write;
        take(l, w->thread, w->write);
        w->granted = true;
        thread_wake(w->thread);
    }
}

static void wait_granted(struct rwlock *l, struct rw_waiter *w, unsigned long irq)
{
    while (!w->granted) {
        thread_prepare_sleep(false);
        spin_unlock_irqrestore(&l->lock, irq);
        (void)thread_sleep(UINT64_MAX); /* woken, whatever the result */
        thread_finish_sleep();
        irq = spin_lock_irqsave(&l->lock);
    }
    spin_unlock_irqrestore(&l->lock, irq);
}

static void lock(struct rwlock *l, bool write)
{
    struct thread *self = thread_current();
    lock_assert_sleepable();
    lock_note_acquire(l, l->rank);
    unsigned long irq = spin_lock_irqsave(&l->lock);
    if (list_empty(&l->waiters) && is_free_for(l, write)) {
        take(l, self, write);
        spin_unlock_irqrestore(&l->lock, irq);
        return;
    }
    struct rw_waiter w = {.thread = self, .write = write};
    list_push_back(&l->waiters, &w.link);
    l->writers_waiting += write;
    wait_granted(l, &w, irq);
}

void rwlock_read_lock(struct rwlock *l)
{
    lock(l, false);
}

void rwlock_write_lock(struct rwlock *l)
{
    lock(l, true);
}

void rwlock_read_unlock(struct rwlock *l)
{
    lock_note_release(l);
    unsigned long irq = spin_lock_irqsave(&l->lock);
    CHECK(l->readers > 0);
    if (--l->readers == 0)
        grant(l);
    spin_unlock_irqrestore(&l->lock, irq);
}

void rwlock_write_unlock(struct rwlock *l)
{
    lock_note_release(l);
    unsigned long irq = spin_lock_irqsave(&l->lock);
    CHECK(l->readers == -1 && l->writer == thread_current());
    l->readers = 0;
    __atomic_store_n(&l->writer, NULL, __ATOMIC_RELAXED);
    grant(l);
    spin_unlock_irqrestore(&l->lock, irq);
}

bool rwlock_write_held(const struct rwlock *l)
{
    return __atomic_load_n(&l->writer, __ATOMIC_RELAXED) == thread_current();
}
