/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rcu.h - read without a lock what others replace: memory is freed only when nobody can still look
 * at it. Declared in core because locks use it; implemented by the scheduler (sched/rcu.c).
 *
 *   unsigned token = rcu_read_lock();
 *   p = __atomic_load_n(&shared, __ATOMIC_CONSUME or stronger);   ... use *p ...
 *   rcu_read_unlock(token);
 *
 * The writer unpublishes the object, then gives it to rcu_call: the function runs, in a kernel
 * thread that may sleep, after every section that had begun by then has ended. Sections may nest,
 * be preempted, move to another CPU and even sleep (which keeps all freed memory waiting). They
 * cost one atomic addition at each end and may be used in any context.
 */
#ifndef SELKIE_CORE_RCU_H
#define SELKIE_CORE_RCU_H

#include "lib/types.h"

struct rcu_head {
    struct rcu_head *next;
    void (*fn)(struct rcu_head *);
};

unsigned must_check rcu_read_lock(void);
void rcu_read_unlock(unsigned token);
/* Have fn(head) called after a grace period. Never blocks, allocates nothing, any context; `head`
 * lies in the object and belongs to rcu until fn is called. */
void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *));
/* Wait for a grace period. Thread context, may sleep, not within a section. */
void rcu_synchronize(void);

#endif
