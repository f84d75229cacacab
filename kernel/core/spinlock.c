/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spinlock.c - test-and-test-and-set locks, and the rank checks of all locks.
 *
 * Every thread keeps the list of locks that it holds in its head (core/current.h). In debug builds
 * taking a lock checks it against that list: every rank in it must be lower. The check comes before
 * the wait, so an order that could deadlock is reported even when it did not this time.
 *
 * The waiting loop reads before it tries again, so that waiters do not take the cache line from the
 * owner. There is no queue: sections are a few hundred instructions, and hosted CPUs that wait give
 * their host CPU away in hal_cpu_relax.
 */
#include "core/spinlock.h"

#include "core/percpu.h"

#if SELKIE_DEBUG /* gdb knows by these functions whether locks are noted (tools/gdb) */
static int held_find(const struct thread_head *self, const void *lock)
{
    for (int i = self->held_count; i-- > 0;)
        if (self->held[i] == lock)
            return i;
    return -1;
}

void lock_check_acquire(const void *lock, uint8_t rank)
{
    struct thread_head *self = thread_head();
    for (unsigned i = 0; i < self->held_count; i++) {
        if (self->held[i] == lock)
            panic("lock %p (rank %u) taken twice", lock, rank);
        if (self->held_rank[i] >= rank)
            panic("lock %p of rank %u taken while holding %p of rank %u", lock, rank, self->held[i],
                  self->held_rank[i]);
    }
    if (self->held_count == LOCK_HELD_MAX)
        panic("more than %d locks held", LOCK_HELD_MAX);
    /* An interrupt pushes and pops its own locks at the top, which is this slot until it counts. */
    unsigned long irq = hal_irq_save();
    unsigned slot = self->held_count;
    self->held_rank[slot] = rank;
    self->held[slot] = lock;
    self->held_count = (uint8_t)(slot + 1);
    hal_irq_restore(irq);
}

void lock_check_release(const void *lock)
{
    struct thread_head *self = thread_head();
    int at = held_find(self, lock);
    if (at < 0)
        panic("lock %p released by a thread that does not hold it", lock);
    /* Interrupts must not see the list half moved; their entries come above and go again. */
    unsigned long irq = hal_irq_save();
    unsigned last = self->held_count - 1u;
    for (unsigned i = (unsigned)at; i < last; i++) {
        self->held[i] = self->held[i + 1];
        self->held_rank[i] = self->held_rank[i + 1];
    }
    self->held_count = (uint8_t)last;
    hal_irq_restore(irq);
}

bool lock_check_held(const void *lock)
{
    return held_find(thread_head(), lock) >= 0;
}

void lock_check_sleepable(void)
{
    const struct thread_head *self = thread_head();
    for (unsigned i = 0; i < self->held_count; i++)
        if (self->held_rank[i] > RANK_SLEEP_LAST)
            panic("sleep with spinlock %p of rank %u held", self->held[i], self->held_rank[i]);
    /* Between finding the CPU and looking at it the thread must not move to another. */
    unsigned long irq = hal_irq_save();
    bool handler = self->cpu && self->cpu->irq_depth;
    hal_irq_restore(irq);
    if (handler)
        panic("sleep in an interrupt handler");
    if (self->preempt_count)
        panic("sleep with preemption off");
}

void lock_check_may_take(enum lock_rank rank)
{
    lock_check_sleepable();
    const struct thread_head *self = thread_head();
    for (unsigned i = 0; i < self->held_count; i++)
        if (self->held_rank[i] >= (unsigned)rank)
            panic("lock %p of rank %u is held where one of rank %u may be taken", self->held[i],
                  self->held_rank[i], (unsigned)rank);
}
#endif

void spin_init(struct spinlock *lock, enum lock_rank rank)
{
    lock->word = 0;
    lock->rank = (uint8_t)rank;
}

/* Acquire: what the previous owner wrote before its release store is visible in the section. */
static bool word_try(struct spinlock *lock)
{
    return __atomic_exchange_n(&lock->word, 1, __ATOMIC_ACQUIRE) == 0;
}

void (*spin_watch)(const struct spinlock *lock, uint64_t waited_ns);
uint64_t spin_watch_ns;

#define WATCH_TURNS 4096u
#define WATCH_STEP_NS (10 * NS_PER_MS) /* more between two looks, and the CPU was not running */

struct wait {
    unsigned turns;
    uint64_t seen_ns, waited_ns;
};

static void look_at_time(const struct spinlock *lock, struct wait *wait)
{
    uint64_t now = hal_clock_ns(), before = wait->waited_ns;
    if (wait->seen_ns)
        wait->waited_ns += MIN(now - wait->seen_ns, WATCH_STEP_NS);
    wait->seen_ns = now;
    if (spin_watch && spin_watch_ns && before < spin_watch_ns && wait->waited_ns >= spin_watch_ns)
        spin_watch(lock, wait->waited_ns);
}

static no_inline void word_wait(struct spinlock *lock)
{
    struct wait wait = {0, 0, 0};
    do
        while (__atomic_load_n(&lock->word, __ATOMIC_RELAXED)) {
            hal_cpu_relax();
            if (++wait.turns % WATCH_TURNS == 0)
                look_at_time(lock, &wait);
        }
    while (!word_try(lock));
}

static void word_lock(struct spinlock *lock)
{
    if (__builtin_expect(!word_try(lock), 0))
        word_wait(lock);
}

static void word_unlock(struct spinlock *lock)
{
    ASSERT(__atomic_load_n(&lock->word, __ATOMIC_RELAXED) == 1);
    __atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
}

void spin_lock(struct spinlock *lock)
{
    spin_lock_rank(lock, lock->rank);
}

void spin_lock_rank(struct spinlock *lock, enum lock_rank rank)
{
    preempt_disable();
    lock_note_acquire(lock, (uint8_t)rank);
    word_lock(lock);
}

bool spin_try(struct spinlock *lock)
{
    preempt_disable();
    if (!word_try(lock)) {
        preempt_enable();
        return false;
    }
    lock_note_acquire(lock, lock->rank);
    return true;
}

void spin_unlock(struct spinlock *lock)
{
    word_unlock(lock);
    lock_note_release(lock);
    preempt_enable();
}

unsigned long spin_lock_irqsave(struct spinlock *lock)
{
    unsigned long state = hal_irq_save();
    preempt_disable();
    lock_note_acquire(lock, lock->rank);
    word_lock(lock);
    return state;
}

void spin_unlock_irqrestore(struct spinlock *lock, unsigned long state)
{
    word_unlock(lock);
    lock_note_release(lock);
    /* Interrupts first: preempt_enable is a scheduling point only where they are on. */
    hal_irq_restore(state);
    preempt_enable();
}

bool spin_held(const struct spinlock *lock)
{
    return lock_note_held(lock);
}
