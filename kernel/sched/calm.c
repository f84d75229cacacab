/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calm.c - wake-ups of threads of another CPU that need not interrupt it.
 *
 * A CPU on which somebody waits looks into its inbox at the end of the current turn at the latest,
 * because then its timer fires. Who is woken meanwhile and would not preempt can wait for that in
 * the inbox as well as in the queue. So the CPU publishes `calm`: the virtual time of its current
 * thread less the clock. That stays the same while the thread runs, if its weight is the ordinary
 * one; with others, and with real-time threads, the CPU does not say that it is calm. The waker
 * adds the clock, and compares with the virtual time at which the sleeper gave up the CPU: a copy,
 * since vruntime itself is nobody's business but the owner's. It may be out of date where the
 * sleeper is about to run anyway, and then decides about an interrupt, nothing else.
 *
 * Only the owner can pass a thread on. So a waker that knows of an idle CPU interrupts; a CPU that
 * becomes idle later asks the busiest, with an interrupt, and what that one finds in its inbox can
 * be given too.
 *
 * No push is lost: it is the protocol of `polling` (idle.c). The pusher pushes, then reads `calm`;
 * the owner clears it before nobody waits here any more, and then looks into the inbox.
 * Sequentially consistent, all four. From one value to the next there is no such care: whoever
 * compares with that of the thread before errs by one turn at most.
 *
 * What is asked of a thread that already lies in an inbox (another class, an urgency lent to it)
 * must not wait there. Who changes it counts a hurry and interrupts. The pusher reads the count
 * before he looks at what the thread is, and again after the push: either he sees the change, or he
 * sees the count, or the interrupt comes after the push.
 */
#include "core/assert.h"
#include "sched/internal.h"

#define ORDINARY_SCALE 65536u
#define FAR_NS (1ull << 47) /* half of what means to runqueue.c that it has wrapped */

/* The clock may be 0 ns away from it: 0 is kept for "not calm". */
static uint64_t line_of(const struct runqueue *rq)
{
    const struct thread *cur = rq->current;
    if (rq->queued == 0 || cur == rq->idle || cur->departing)
        return 0;
    if (cur->rq_priority || cur->rq_scale != ORDINARY_SCALE)
        return 0;
    return (cur->vruntime - cur->run_start) | 1;
}

bool calm_end(struct runqueue *rq)
{
    if (!is_calm(rq))
        return false;
    (void)__atomic_exchange_n(&rq->calm, 0, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&rq->inbox, __ATOMIC_SEQ_CST) != 0;
}

bool calm_renew(struct runqueue *rq)
{
    uint64_t line = line_of(rq);
    if (line == 0)
        return calm_end(rq);
    __atomic_store_n(&rq->calm, line, __ATOMIC_RELAXED);
    return false;
}

/* Would it preempt a thread of ordinary weight that has virtual time `current`? As rq_preempts. */
static bool goes_first(const struct rq_rank *rank, uint64_t current, uint64_t slept_at)
{
    if (rank->priority)
        return true;
    if (rank->policy != SCHED_OTHER)
        return false;
    uint64_t lead = current - slept_at;
    if (lead + FAR_NS > 2 * FAR_NS)
        return true;
    return (int64_t)lead > (int64_t)(WAKE_MARGIN_NS * rank->scale >> 16);
}

bool calm_may_take(const struct runqueue *rq, const struct thread *thread, uint64_t now,
                   struct calm_wish *wish)
{
    uint64_t line = __atomic_load_n(&rq->calm, __ATOMIC_RELAXED);
    if (!line)
        return false;
    wish->hurries = __atomic_load_n(&rq->hurries, __ATOMIC_SEQ_CST);
    wish->rank = rq_rank(thread);
    wish->slept_at = __atomic_load_n(&thread->slept_at, __ATOMIC_RELAXED);
    wish->now = now;
    return !goes_first(&wish->rank, line + now, wish->slept_at) && !balance_finds_idle(thread);
}

bool calm_takes(const struct runqueue *rq, const struct calm_wish *wish)
{
    uint64_t line = __atomic_load_n(&rq->calm, __ATOMIC_SEQ_CST);
    return line && !goes_first(&wish->rank, line + wish->now, wish->slept_at) &&
           __atomic_load_n(&rq->hurries, __ATOMIC_SEQ_CST) == wish->hurries;
}

void calm_hurry(struct cpu *cpu)
{
    __atomic_fetch_add(&cpu->rq->hurries, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&cpu->rq->calm, __ATOMIC_SEQ_CST))
        hal_ipi_send(cpu->id);
}
