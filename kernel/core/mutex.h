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
    struct pi pi;         /* who waits; its owner is set only while somebody does */
    uint8_t rank;
};
void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_lock(struct mutex *m);
bool mutex_try(struct mutex *m);
void mutex_unlock(struct mutex *m);
bool mutex_held(const struct mutex *m);

/* Many readers or one writer; writers are not starved: a waiting writer stops new readers. */
struct rwlock {
    int32_t readers; /* guarded by lock; -1: a writer holds it */
    uint32_t writers_waiting;
    struct thread *writer;
    struct spinlock lock;
    struct list waiters;
    uint8_t rank;
};
void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_read_lock(struct rwlock *l);
void rwlock_read_unlock(struct rwlock *l);
void rwlock_write_lock(struct rwlock *l);
void rwlock_write_unlock(struct rwlock *l);
bool rwlock_write_held(const struct rwlock *l);

#endif
