/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mutex.c - sleeping locks.
 *
 * One word: the owner, plus WAITERS if somebody may be asleep. Taking a free mutex and giving
 * back one without waiters is one compare-and-swap. The release of a mutex with waiters frees the
 * word but keeps WAITERS, and wakes the most urgent; running threads may be faster ("barging"): the
 * woken one tries again, and keeps its place in the line until it succeeds. So the mutex is never
 * handed to a thread that does not run yet, which would make all others wait for it (a convoy).
 *
 * While there are waiters the owner inherits their urgency (core/pi.h).
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

#include "sched/internal.h"

#define WAITERS ((uintptr_t)1)
/* Most sections are shorter than two switches: a look while the owner runs on another CPU. Bounded,
 * as a section may also be long. */
#define SPIN_COUNT 200

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
    pi_init(&m->pi);
    m->waiting = 0;
    m->rank = (uint8_t)rank;
}

/* The owner may end meanwhile; in an RCU section it is still a thread that may be looked at. The
 * word was read with acquire: the thread was made before it took the mutex. */
static bool owner_runs(uintptr_t word)
{
    return __atomic_load_n(&owner_of(word)->on_cpu, __ATOMIC_RELAXED);
}

static bool spin_for(struct mutex *m, uintptr_t self)
{
    bool taken = false;
    if (cpu_online_count() == 1)
        return false;
    unsigned token = rcu_read_lock();
    for (unsigned i = 0; i < SPIN_COUNT && !taken; i++) {
        uintptr_t word = (uintptr_t)__atomic_load_n(&m->owner, __ATOMIC_ACQUIRE);
        if (word == 0)
            taken = word_swap(m, 0, self);
        else if ((word & WAITERS) || !owner_runs(word))
            break; /* others wait already, or it will take long */
        else
            hal_cpu_relax();
    }
    rcu_read_unlock(token);
    return taken;
}

/* Take the mutex, or make sure that its owner will look for waiters and has their urgency. m->lock
 * held. */
static bool take_or_mark(struct mutex *m, struct thread *self)
{
    for (;;) {
        uintptr_t word = word_load(m);
        if (!owner_of(word)) {
            if (word_swap(m, word, (uintptr_t)self | (m->waiting > 1 ? WAITERS : 0)))
                return true;
        } else if ((word & WAITERS) || word_swap(m, word, word | WAITERS)) {
            /* It cannot release the mutex now without m->lock, so it is alive. */
            if (m->pi.owner != owner_of(word))
                pi_set_owner(&m->pi, owner_of(word));
            return false;
        }
    }
}

/* The calling thread stands in line: wait for its turn. m->lock held, released. */
static void wait_turn(struct mutex *m, struct pi_waiter *w, unsigned long irq)
{
    while (!take_or_mark(m, w->thread)) {
        thread_prepare_sleep(false);
        spin_unlock_irqrestore(&m->lock, irq);
        (void)thread_sleep(UINT64_MAX); /* woken, whatever the result */
        thread_finish_sleep();
        irq = spin_lock_irqsave(&m->lock);
    }
    m->waiting--;
    pi_unwait(w);
    if (m->waiting)
        pi_set_owner(&m->pi, w->thread);
    spin_unlock_irqrestore(&m->lock, irq);
}

/* Not inline, and below as well: the fast path would save registers for it. */
static no_inline void lock_slow(struct mutex *m, struct thread *self)
{
    struct pi_waiter w;
    if (spin_for(m, (uintptr_t)self))
        return;
    unsigned long irq = spin_lock_irqsave(&m->lock);
    m->waiting++;
    pi_wait_ordered(&m->pi, &w, self);
    wait_turn(m, &w, irq);
}

/* ---- for condition variables ---- */

void mutex_line_up(struct mutex *m, struct mutex_guest *g)
{
    unsigned long irq = spin_lock_irqsave(&m->lock);
    uintptr_t word = word_load(m);
    m->waiting++;
    pi_wait_ordered(&m->pi, &g->waiter, g->thread);
    g->lined_up = true;
    while (owner_of(word) && !(word & WAITERS) && !word_swap(m, word, word | WAITERS))
        word = word_load(m);
    if (!owner_of(word)) /* free: it has to come and take it, or to mark it again */
        thread_wake(g->thread);
    else if (m->pi.owner != owner_of(word))
        pi_set_owner(&m->pi, owner_of(word));
    spin_unlock_irqrestore(&m->lock, irq);
}

bool mutex_lock_lined_up(struct mutex *m, struct mutex_guest *g, uint64_t deadline_ns)
{
    int err = 0;
    unsigned long irq = spin_lock_irqsave(&m->lock);
    while (!g->lined_up && err == 0) {
        thread_prepare_sleep(false);
        spin_unlock_irqrestore(&m->lock, irq);
        err = thread_sleep(deadline_ns);
        thread_finish_sleep();
        irq = spin_lock_irqsave(&m->lock);
    }
    if (!g->lined_up) {
        spin_unlock_irqrestore(&m->lock, irq);
        return false;
    }
    wait_turn(m, &g->waiter, irq);
    lock_note_acquire(m, m->rank);
    return true;
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

static no_inline void unlock_slow(struct mutex *m, uintptr_t self)
{
    unsigned long irq = spin_lock_irqsave(&m->lock);
    /* Nobody but the owner changes the word now, and the last waiter takes the mark away. */
    CHECK(word_load(m) == (self | WAITERS) && m->waiting);
    pi_set_owner(&m->pi, NULL); /* gives back what the waiters have lent */
    __atomic_store_n(&m->owner, (struct thread *)WAITERS, __ATOMIC_RELEASE);
    /* Under the lock: the waiter cannot leave before it has it. */
    thread_wake(pi_first(&m->pi)->thread);
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
