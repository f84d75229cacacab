/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mutex.h - sleeping locks. Declared in core because mm uses them too; implemented by the
 * scheduler (sched/mutex.c, sched/rwlock.c).
 *
 * Thread context only, no spinlock held. Ranks as for spinlocks. A mutex is
 * released by the thread that took it. Not interruptible: sections are bounded.
 * The fields are private to sched/.
 */
#ifndef SELKIE_CORE_MUTEX_H
#define SELKIE_CORE_MUTEX_H

#include "core/pi.h"
#include "core/spinlock.h"
#include "lib/list.h"

struct thread;

struct mutex {
    struct thread *owner; /* atomic; NULL when free */
    struct spinlock lock; /* guards the next two */
    uint32_t waiting;     /* threads in pi */
    uint8_t rank;
    struct pi pi; /* who waits; its owner is set only while somebody does */
};
void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_lock(struct mutex *m);
bool mutex_try(struct mutex *m);
void mutex_unlock(struct mutex *m);
/* mutex_lock and mutex_unlock of one that is free, where they stand: for what each packet passes.
 */
static inline void mutex_lock_inline(struct mutex *m)
{
    struct thread *none = NULL;
    if (SELKIE_DEBUG || !__atomic_compare_exchange_n(&m->owner, &none, hal_thread_get(), false,
                                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        mutex_lock(m);
}
static inline void mutex_unlock_inline(struct mutex *m)
{
    struct thread *self = hal_thread_get();
    if (SELKIE_DEBUG || !__atomic_compare_exchange_n(&m->owner, &self, NULL, false,
                                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        mutex_unlock(m);
}
bool mutex_held(const struct mutex *m);

/*
 * Many readers or one writer; writers are not starved: a waiting writer stops new readers.
 *
 * Frequent short readers on many CPUs can be counted apart, each CPU in a line of its own: after
 * rwlock_set_slots, rwlock_read_begin costs one atomic operation that no other CPU takes part in
 * while no writer wants the lock. The price is the writer's, who looks at every slot.
 */
struct rwlock_slot {
    uint32_t readers; /* atomic */
} __attribute__((aligned(64)));
struct rwlock {
    int32_t readers; /* guarded by lock; -1: a writer holds it */
    struct thread *writer;
    struct spinlock lock;
    struct list waiters;
    struct rwlock_slot *slots; /* set once, before other threads see the lock */
    unsigned slot_count;
    uint32_t closed; /* writers that wait or hold; changed under lock, read by any. Not 0: the slots
                        are closed to newcomers */
    uint8_t rank;
};
void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_read_lock(struct rwlock *l);
void rwlock_read_unlock(struct rwlock *l);
void rwlock_write_lock(struct rwlock *l);
void rwlock_write_unlock(struct rwlock *l);
/* The writer goes on as a reader; other readers may come in. */
void rwlock_downgrade(struct rwlock *l);
/* `count` > 0 zeroed slots, which live as long as the lock. */
void rwlock_set_slots(struct rwlock *l, struct rwlock_slot *slots, unsigned count);
/* As read_lock and read_unlock; the end needs what the beginning returned. */
struct rwlock_slot *must_check rwlock_read_begin(struct rwlock *l);
void rwlock_read_end(struct rwlock *l, struct rwlock_slot *slot);
bool rwlock_write_held(const struct rwlock *l);

#endif
