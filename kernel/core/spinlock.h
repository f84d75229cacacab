/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spinlock.h - short exclusive sections that never sleep, with checked ranks.
 *
 * A thread may take a lock only if its rank is higher than that of every lock it holds
 * (core/lockrank.h); SELKIE_DEBUG builds panic on a violation, on recursion and on a release by a
 * non-owner. A spinlock taken by interrupt handlers must always be taken with
 * the _irqsave pair. Holding one disables preemption. Sleeping with one held panics in debug
 * builds.
 *
 * Memory order: acquire on lock, release on unlock.
 */
#ifndef SELKIE_CORE_SPINLOCK_H
#define SELKIE_CORE_SPINLOCK_H

#include "core/current.h"
#include "core/lockrank.h"

struct spinlock {
    uint32_t word; /* 0 free, 1 held */
    uint8_t rank;  /* enum lock_rank */
};

#define SPINLOCK_INIT(r) \
    { \
        .word = 0, .rank = (r) \
    }
void spin_init(struct spinlock *lock, enum lock_rank rank);
void spin_lock(struct spinlock *lock);
/* Take a lock as one of another rank: the second of a pair that has a common rank. */
void spin_lock_rank(struct spinlock *lock, enum lock_rank rank);
bool spin_try(struct spinlock *lock);
void spin_unlock(struct spinlock *lock);
unsigned long must_check spin_lock_irqsave(struct spinlock *lock);
void spin_unlock_irqrestore(struct spinlock *lock, unsigned long state);
/*
 * The rank checks themselves, for other kinds of lock (sched/mutex.c): note that the calling thread
 * is about to take, or has released, `lock`. They do nothing without SELKIE_DEBUG.
 */
void lock_check_acquire(const void *lock, uint8_t rank);
void lock_check_release(const void *lock);
bool lock_check_held(const void *lock);
void lock_check_sleepable(void);
void lock_check_may_take(enum lock_rank rank);

static inline void lock_note_acquire(const void *lock, uint8_t rank)
{
    if (SELKIE_DEBUG)
        lock_check_acquire(lock, rank);
}
static inline void lock_note_release(const void *lock)
{
    if (SELKIE_DEBUG)
        lock_check_release(lock);
}
/* Always true without SELKIE_DEBUG. */
static inline bool lock_note_held(const void *lock)
{
    return !SELKIE_DEBUG || lock_check_held(lock);
}
/* Panic (debug builds) unless the calling thread may sleep: no spinlock held, preemption on, not in
 * an interrupt handler. */
static inline void lock_assert_sleepable(void)
{
    if (SELKIE_DEBUG)
        lock_check_sleepable();
}
/* The same for who may take a lock of this rank: none that stands at it or behind it is held. */
static inline void lock_assert_may_take(enum lock_rank rank)
{
    if (SELKIE_DEBUG)
        lock_check_may_take(rank);
}

/* True if the calling thread holds it; always true in builds without SELKIE_DEBUG. For ASSERT only.
 */
bool spin_held(const struct spinlock *lock);

/* Called once when a CPU has waited for a lock, itself running, for spin_watch_ns (0: never); set
 * at boot. The lock is not taken yet; its rank is noted. Must not wait for it. */
extern void (*spin_watch)(const struct spinlock *lock, uint64_t waited_ns);
extern uint64_t spin_watch_ns;

#endif
