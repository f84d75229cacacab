/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rcu.c - grace periods.
 *
 * Readers are counted, not observed: `phase` says which of two counts a new section belongs to, and
 * each CPU counts sections begun and ended in each. A section may end on another CPU than it began
 * on, so only the sums mean something: when as many have ended as have begun, none is left. A
 * grace period
 *   1. waits until the count that is not in use is empty (a reader may have read `phase` long ago
 * and enter only now: those are the readers of the last grace period's old count),
 *   2. changes `phase`, so that new readers use that one,
 *   3. waits until the other count is empty.
 *
 * Why a sum may be trusted. The ended are added up first, then the begun. A section that is
 * counted as ended began before, and its begin is then counted, too; so if the sums are equal, no
 * section was open at some moment between the two. Each reader has a full barrier after its begin
 * is counted and before its end is: if a begin is missed by the sum, that section sees what the
 * writer did before the grace period, hence not the object. A reader that has read the old phase
 * and is counted after step 3 is of the same kind, and the next grace period waits for it in
 * step 1. (This is the scheme of Linux's sleepable RCU.)
 *
 * rcu_call puts the head on a lock-free stack. The reaper thread (reap.c) takes all of it a moment
 * later, waits for one grace period and calls them, oldest first.
 */
#include "core/rcu.h"

#include "sched/internal.h"
#include "sched/wait.h"

#define RECHECK_NS (500 * NS_PER_US)
#define QUICK_CHECKS 20

static uint32_t phase;         /* atomic; written by the reaper only */
static struct rcu_head *calls; /* atomic stack */

/* ---- readers ---- */

/* Which CPU counts does not matter, so the thread may be moved between the look and the addition.
 * Sequentially consistent, with a fence where the addition alone is none: full barriers, above. */
unsigned rcu_read_lock(void)
{
    unsigned index = __atomic_load_n(&phase, __ATOMIC_RELAXED) & 1;
    __atomic_fetch_add(&this_cpu()->rq->rcu_begun[index], 1, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return index;
}

void rcu_read_unlock(unsigned token)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_fetch_add(&this_cpu()->rq->rcu_ended[token], 1, __ATOMIC_SEQ_CST);
}

/* ---- grace periods ---- */

static uint64_t sum(unsigned index, bool ended)
{
    uint64_t total = 0;
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        const struct cpu *cpu = cpu_get(id);
        if (__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
            total += __atomic_load_n(
                ended ? &cpu->rq->rcu_ended[index] : &cpu->rq->rcu_begun[index], __ATOMIC_SEQ_CST);
    }
    return total;
}

static bool drained(unsigned index)
{
    uint64_t ended = sum(index, true);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return sum(index, false) == ended;
}

static void await_readers(unsigned index)
{
    for (unsigned i = 0; !drained(index); i++) {
        if (i < QUICK_CHECKS)
            sched_yield();
        else if (sleep_until(hal_clock_ns() + RECHECK_NS, false))
            panic("an uninterruptible sleep was interrupted");
    }
}

static void grace_period(void)
{
    uint32_t now = __atomic_load_n(&phase, __ATOMIC_RELAXED);
    /* What the callers have unpublished comes before the looks at the readers. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    await_readers((now + 1) & 1);
    __atomic_store_n(&phase, now + 1, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    await_readers(now & 1);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* ---- calls ---- */

void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    struct rcu_head *first = __atomic_load_n(&calls, __ATOMIC_RELAXED);
    head->fn = fn;
    do /* release: what was done to the object; the acquire is the exchange in rcu_run */
        head->next = first;
    while (!__atomic_compare_exchange_n(&calls, &first, head, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED));
    if (!first)
        reaper_request();
}

bool rcu_pending(void)
{
    return __atomic_load_n(&calls, __ATOMIC_SEQ_CST) != NULL;
}

static void run_calls(struct rcu_head *stack)
{
    struct rcu_head *queue = NULL;
    while (stack) { /* oldest first */
        struct rcu_head *next = stack->next;
        stack->next = queue;
        queue = stack;
        stack = next;
    }
    while (queue) {
        struct rcu_head *head = queue;
        queue = head->next; /* fn frees it */
        head->fn(head);
    }
}

void rcu_run(void)
{
    struct rcu_head *batch = __atomic_exchange_n(&calls, NULL, __ATOMIC_SEQ_CST);
    if (!batch)
        return;
    grace_period();
    run_calls(batch);
}

struct synchronizer {
    struct rcu_head head;
    struct thread *thread;
    struct spinlock lock; /* guards done; held by the waker until it needs the waiter no more */
    bool done;
};

static void synchronized(struct rcu_head *head)
{
    struct synchronizer *s = container_of(head, struct synchronizer, head);
    unsigned long irq = spin_lock_irqsave(&s->lock);
    s->done = true;
    thread_wake(s->thread);
    spin_unlock_irqrestore(&s->lock, irq);
}

static bool is_done(struct synchronizer *s)
{
    unsigned long irq = spin_lock_irqsave(&s->lock);
    bool done = s->done;
    spin_unlock_irqrestore(&s->lock, irq);
    return done;
}

void rcu_synchronize(void)
{
    struct synchronizer s = {.thread = thread_current()};
    spin_init(&s.lock, RANK_WAITQ);
    rcu_call(&s.head, synchronized);
    for (;;) {
        thread_prepare_sleep(false);
        if (is_done(&s))
            break;
        (void)thread_sleep(UINT64_MAX); /* woken, whatever the result */
        thread_finish_sleep();
    }
    thread_finish_sleep();
}
