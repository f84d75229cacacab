/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake_sched.c - what the scheduler gives to lower layers, for a test program with one thread: a
 * lock that would have to be waited for is a bug in the code under test, so it aborts. The order of
 * locks, and whether the caller may sleep, are looked at as in the kernel.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/mutex.h"
#include "core/spinlock.h"
#include "fake.h"

static _Noreturn void would_block(const char *what)
{
    fprintf(stderr, "fake_sched: %s would wait for ever\n", what);
    abort();
}

void (*fake_lock_hook)(struct mutex *m);
void (*fake_write_lock_hook)(void);

void preempt_resched(void)
{
}

void mutex_init(struct mutex *m, enum lock_rank rank)
{
    *m = (struct mutex){.rank = (uint8_t)rank};
}
void mutex_lock(struct mutex *m)
{
    void (*hook)(struct mutex *) = fake_lock_hook;
    lock_assert_sleepable();
    if (hook) {
        fake_lock_hook = NULL;
        hook(m);
        fake_lock_hook = hook;
    }
    lock_note_acquire(m, m->rank);
    if (m->owner)
        would_block("mutex_lock");
    m->owner = fake_self;
}
bool mutex_try(struct mutex *m)
{
    if (m->owner)
        return false;
    lock_note_acquire(m, m->rank);
    m->owner = fake_self;
    return true;
}
void mutex_unlock(struct mutex *m)
{
    if (m->owner != fake_self)
        would_block("mutex_unlock by a non-owner");
    lock_note_release(m);
    m->owner = NULL;
}
bool mutex_held(const struct mutex *m)
{
    return m->owner == fake_self;
}

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
    *l = (struct rwlock){.rank = (uint8_t)rank};
    list_init(&l->waiters);
}
void rwlock_read_lock(struct rwlock *l)
{
    lock_assert_sleepable();
    lock_note_acquire(l, l->rank);
    if (l->readers < 0)
        would_block("rwlock_read_lock");
    l->readers++;
}
void rwlock_read_unlock(struct rwlock *l)
{
    if (l->readers <= 0)
        would_block("rwlock_read_unlock of a free lock");
    lock_note_release(l);
    l->readers--;
}
void rwlock_set_slots(struct rwlock *l, struct rwlock_slot *slots, unsigned count)
{
    l->slots = slots;
    l->slot_count = count;
}
struct rwlock_slot *rwlock_read_begin(struct rwlock *l)
{
    rwlock_read_lock(l);
    l->slots[0].readers++;
    return l->slots;
}
void rwlock_read_end(struct rwlock *l, struct rwlock_slot *slot)
{
    if (slot != l->slots || !slot->readers--)
        would_block("rwlock_read_end by a non-owner");
    rwlock_read_unlock(l);
}
void rwlock_downgrade(struct rwlock *l)
{
    rwlock_write_unlock(l);
    rwlock_read_lock(l);
}
void rwlock_write_lock(struct rwlock *l)
{
    void (*hook)(void) = fake_write_lock_hook;
    if (hook) {
        fake_write_lock_hook = NULL;
        hook();
        fake_write_lock_hook = hook;
    }
    lock_assert_sleepable();
    lock_note_acquire(l, l->rank);
    if (l->readers)
        would_block("rwlock_write_lock");
    l->readers = -1;
    l->writer = fake_self;
}
void rwlock_write_unlock(struct rwlock *l)
{
    if (l->readers != -1)
        would_block("rwlock_write_unlock of a free lock");
    lock_note_release(l);
    l->readers = 0;
    l->writer = NULL;
}
bool rwlock_write_held(const struct rwlock *l)
{
    return l->readers == -1;
}
