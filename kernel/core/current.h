/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * current.h - the head of every thread, which the lowest layers need: who runs
 * here, on which CPU, may it be preempted, which locks does it hold.
 *
 * struct thread (sched/thread.h) begins with a struct thread_head, and hal_thread_get()
 * always returns such a thread, from the first line of kernel_boot on.
 *
 * Invariant: preempt_count > 0 or interrupts off => the thread stays on its CPU.
 */
#ifndef SELKIE_CORE_CURRENT_H
#define SELKIE_CORE_CURRENT_H

#include "core/assert.h"
#include "hal.h"
#include "lib/types.h"

struct cpu; /* core/percpu.h */

#define LOCK_HELD_MAX 16

struct thread_head {
    unsigned preempt_count; /* only its own thread touches it */
    bool need_resched;      /* set on its CPU, interrupts off; relaxed */
    uint8_t held_count;     /* locks held, for rank checks (SELKIE_DEBUG) */
    struct cpu *cpu;        /* its owner, also while it sleeps; written when it is given away */
    const void *held[LOCK_HELD_MAX];
    uint8_t held_rank[LOCK_HELD_MAX];
};

static inline struct thread_head *thread_head(void)
{
    return hal_thread_get();
}

/* Preemption. Nests. preempt_enable is a scheduling point when a reschedule is wanted and
 * interrupts are on. */
static inline void preempt_disable(void)
{
    thread_head()->preempt_count++;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
void preempt_resched(void); /* sched/sched.c: the slow half of preempt_enable */
static inline void preempt_enable(void)
{
    struct thread_head *self = thread_head();
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    ASSERT(self->preempt_count > 0);
    if (--self->preempt_count == 0 &&
        __builtin_expect(__atomic_load_n(&self->need_resched, __ATOMIC_RELAXED), 0))
        preempt_resched();
}

/* This CPU. Stable only with preemption or interrupts off. */
static inline struct cpu *this_cpu(void)
{
    return thread_head()->cpu;
}

#endif
