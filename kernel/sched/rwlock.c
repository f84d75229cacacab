/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rwlock.c - many readers or one writer.
 *
 * All state is guarded by l->lock. Who must wait queues up. Whoever frees the lock wakes those who
 * are first in line, a writer or the readers in a row; they take it when they run. A thread that
 * comes by while the lock is free may be faster ("barging"): a lock that is given to a thread that
 * does not run yet makes everybody else wait for its CPU, one after the other (a convoy), and with
 * a busy CPU each of those waits is a time slice.
 *
 * Nobody starves: a reader does not join other readers while somebody waits, so a writer waits only
 * for the readers before it; and if the first in line has waited for PATIENCE_NS, newcomers queue
 * behind it and it is given the lock by whoever frees it.
 *
 * No lost wake-up: whatever frees the lock looks, under l->lock, at who is first in line and wakes
 * it. One that then finds it taken again sleeps until the taker frees it. Waiters leave the line
 * only with the lock.
 *
 * Slots. A reader that comes by rwlock_read_begin adds itself to a slot, then looks at `closed`; a
 * writer raises `closed`, then looks at the slots. All four are sequentially consistent, so at
 * least one sees the other: the reader backs out and queues up, or the writer waits. A reader that
 * leaves its slot and then finds `closed` raised looks, under l->lock, whether it was the one that
 * a writer waits for; if it does not find it raised, the writer's look at the slot comes later, and
 * sees it empty. The end of a slot's reader is a release, the writer's look an acquire: what
 * readers did comes before what the writer does. A reader goes back to the slot it came from, so no
 * slot seems empty while somebody is inside.
 *
 * `granted` is written and read under l->lock, and the wake happens under it too, so the waiter's
 * stack frame outlives the waker's use of it.
 */
#include "core/mutex.h"
#include "sched/thread.h"

#define PATIENCE_NS (20 * NS_PER_MS)

struct rw_waiter {
    struct list link;
    struct thread *thread;
    uint64_t since;
    bool write, granted;
};

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
    l->readers = 0;
    l->slots = NULL;
    l->slot_count = 0;
    l->closed = 0;
    __atomic_store_n(&l->writer, NULL, __ATOMIC_RELAXED);
    spin_init(&l->lock, RANK_MUTEX);
    list_init(&l->waiters);
    l->rank = (uint8_t)rank;
}

/* Only while `closed` is raised does the answer "yes" stay true. */
static bool slots_empty(const struct rwlock *l)
{
    for (unsigned i = 0; i < l->slot_count; i++)
        if (__atomic_load_n(&l->slots[i].readers, __ATOMIC_SEQ_CST))
            return false;
    return true;
}

static bool is_free_for(const struct rwlock *l, bool write)
{
    return write ? l->readers == 0 && slots_empty(l) : l->readers >= 0;
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

static bool impatient(const struct rwlock *l)
{
    return !list_empty(&l->waiters) &&
           clock_mono_ns() - list_entry(l->waiters.next, struct rw_waiter, link)->since >=
               PATIENCE_NS;
}

/* May a thread that comes just now take it? */
static bool may_barge(const struct rwlock *l, bool write)
{
    if (list_empty(&l->waiters))
        return is_free_for(l, write);
    return is_free_for(l, true) && !impatient(l);
}

/* May one that stands in line? Nobody is before it, except that readers go together. */
static bool is_turn_of(const struct rwlock *l, const struct rw_waiter *w)
{
    list_for_each (link, &l->waiters) {
        const struct rw_waiter *first = list_entry(link, struct rw_waiter, link);
        if (first == w)
            break;
        if (first->write || w->write)
            return false;
    }
    return is_free_for(l, w->write);
}

/* Give the lock to those who are first in line. */
static void grant(struct rwlock *l)
{
    while (!list_empty(&l->waiters)) {
        struct rw_waiter *w = list_entry(l->waiters.next, struct rw_waiter, link);
        if (!is_free_for(l, w->write))
            return;
        list_remove(&w->link);
        take(l, w->thread, w->write);
        w->granted = true;
        thread_wake(w->thread);
    }
}

/* It may be free now for those who are first in line. */
static void pass(struct rwlock *l)
{
    if (list_empty(&l->waiters))
        return;
    if (impatient(l)) {
        grant(l);
        return;
    }
    if (!is_free_for(l, list_entry(l->waiters.next, struct rw_waiter, link)->write))
        return;
    list_for_each (link, &l->waiters) {
        const struct rw_waiter *w = list_entry(link, struct rw_waiter, link);
        if (!w->write || link == l->waiters.next)
            thread_wake(w->thread);
        if (w->write)
            break;
    }
}

/* l->lock held: the writer gives up the lock, or goes on as `readers` readers. */
static void writer_leave(struct rwlock *l, int32_t readers)
{
    l->readers = readers;
    __atomic_store_n(&l->writer, NULL, __ATOMIC_RELAXED);
    /* Release: who finds the slots open sees what the writer did. */
    __atomic_sub_fetch(&l->closed, 1, __ATOMIC_SEQ_CST);
    pass(l);
}

static void wait_turn(struct rwlock *l, struct rw_waiter *w, unsigned long irq)
{
    while (!w->granted) {
        if (is_turn_of(l, w)) {
            list_remove(&w->link);
            take(l, w->thread, w->write);
            break;
        }
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
    if (write)
        __atomic_add_fetch(&l->closed, 1, __ATOMIC_SEQ_CST);
    if (may_barge(l, write)) {
        take(l, self, write);
        spin_unlock_irqrestore(&l->lock, irq);
        return;
    }
    struct rw_waiter w = {.thread = self, .write = write, .since = clock_mono_ns()};
    list_push_back(&l->waiters, &w.link);
    wait_turn(l, &w, irq);
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
        pass(l);
    spin_unlock_irqrestore(&l->lock, irq);
}

void rwlock_write_unlock(struct rwlock *l)
{
    lock_note_release(l);
    unsigned long irq = spin_lock_irqsave(&l->lock);
    CHECK(l->readers == -1 && l->writer == thread_current());
    writer_leave(l, 0);
    spin_unlock_irqrestore(&l->lock, irq);
}

void rwlock_downgrade(struct rwlock *l)
{
    unsigned long irq = spin_lock_irqsave(&l->lock);
    CHECK(l->readers == -1 && l->writer == thread_current());
    writer_leave(l, 1);
    spin_unlock_irqrestore(&l->lock, irq);
}

/* ---- slots ---- */

void rwlock_set_slots(struct rwlock *l, struct rwlock_slot *slots, unsigned count)
{
    l->slots = slots;
    l->slot_count = count;
}

static void slot_leave(struct rwlock *l, struct rwlock_slot *slot)
{
    if (__atomic_sub_fetch(&slot->readers, 1, __ATOMIC_SEQ_CST) != 0 ||
        __atomic_load_n(&l->closed, __ATOMIC_SEQ_CST) == 0)
        return;
    unsigned long irq = spin_lock_irqsave(&l->lock);
    pass(l);
    spin_unlock_irqrestore(&l->lock, irq);
}

struct rwlock_slot *rwlock_read_begin(struct rwlock *l)
{
    lock_assert_sleepable();
    /* Any slot is right; that of another CPU, after a preemption here, is only slower. */
    struct rwlock_slot *slot = &l->slots[hal_cpu_id() % l->slot_count];
    __atomic_add_fetch(&slot->readers, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&l->closed, __ATOMIC_SEQ_CST) == 0) {
        lock_note_acquire(l, l->rank);
        return slot;
    }
    slot_leave(l, slot);
    rwlock_read_lock(l);
    return NULL;
}

void rwlock_read_end(struct rwlock *l, struct rwlock_slot *slot)
{
    if (!slot) {
        rwlock_read_unlock(l);
        return;
    }
    lock_note_release(l);
    slot_leave(l, slot);
}

bool rwlock_write_held(const struct rwlock *l)
{
    return __atomic_load_n(&l->writer, __ATOMIC_RELAXED) == thread_current();
}
