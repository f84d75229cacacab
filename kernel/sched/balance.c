/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * balance.c - which CPU a thread waits on.
 *
 * No CPU ever takes from another one's run queue: threads are given, by their owner.
 *  - A thread that becomes runnable where others already run goes to an idle CPU, if it may.
 *  - A CPU that runs out of work writes its name into `wanted_by` of the busiest one and sends an
 *    IPI; that one hands over the thread that would wait longest, if it has one to spare.
 *    But whoever was started by a thread that is about to sleep (balance_keeps), or is woken by
 *    one that is about to end, waits for that: it has the CPU sooner than another one is awake.
 *  - A CPU with waiting threads looks around every BALANCE_PERIOD_NS and gives one to a CPU whose
 *    load is lower by two or more.
 * The loads looked at are momentary values, read without order: a wrong one costs time, nothing
 * else.
 */
#include "sched/internal.h"

#define PARTED_OFTEN 3
#define SOON_NS (100 * NS_PER_US)
#define KEEP_NS WAKE_MARGIN_NS /* the creator has as much left in any case: no interrupt more */

static uint32_t load_of(const struct cpu *cpu)
{
    return __atomic_load_n(&cpu->rq->load, __ATOMIC_RELAXED);
}

/* Acquire: an online CPU has its run queue. */
static bool usable(const struct cpu *cpu)
{
    return __atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE);
}

static bool is_idle(const struct cpu *cpu)
{
    return __atomic_load_n(&cpu->rq->idling, __ATOMIC_RELAXED) &&
           !__atomic_load_n(&cpu->rq->inbox, __ATOMIC_RELAXED);
}

bool balance_finds_idle(const struct thread *thread)
{
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        const struct cpu *cpu = cpu_get(id);
        if (usable(cpu) && is_idle(cpu) && thread_allowed(thread, id))
            return true;
    }
    return false;
}

/* The best other CPU that the thread may use: the next idle one, else the least loaded. */
static struct cpu *best_other(const struct runqueue *rq, const struct thread *thread)
{
    unsigned count = hal_cpu_count();
    struct cpu *best = NULL;
    for (unsigned i = 1; i < count; i++) {
        struct cpu *cpu = cpu_get((rq->cpu->id + i) % count);
        if (!usable(cpu) || !thread_allowed(thread, cpu->id))
            continue;
        if (is_idle(cpu))
            return cpu;
        if (!best || load_of(cpu) < load_of(best))
            best = cpu;
    }
    return best;
}

struct cpu *balance_choose(struct runqueue *rq, const struct thread *thread)
{
    bool here = thread_allowed(thread, rq->cpu->id);
    if (here && balance_load(rq) == 0)
        return rq->cpu;
    struct cpu *other = best_other(rq, thread);
    if (!other)
        return rq->cpu; /* alone, or the bitmap is being changed: its last word is coming */
    return !here || is_idle(other) ? other : rq->cpu;
}

void balance_request(struct runqueue *rq)
{
    struct cpu *busiest = NULL;
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        struct cpu *cpu = cpu_get(id);
        if (cpu == rq->cpu || !usable(cpu) || load_of(cpu) < 2)
            continue;
        if (!busiest || load_of(cpu) > load_of(busiest))
            busiest = cpu;
    }
    uint32_t nobody = 0;
    /* Relaxed: only the name is passed. */
    if (busiest && __atomic_compare_exchange_n(&busiest->rq->wanted_by, &nobody, rq->cpu->id + 1,
                                               false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        hal_ipi_send(busiest->id);
}

/* Hand a waiting thread to another CPU. */
static bool give_one(struct runqueue *rq, struct cpu *to)
{
    struct thread *thread = rq_spare(rq, to->id);
    if (!thread || !sched_claim(thread))
        return false; /* claimed: it is about to come through our inbox, where place() sees to it */
    rq_dequeue(rq, thread);
    sched_give(rq, thread, to);
    sched_publish(rq);
    return true;
}

void balance_serve(struct runqueue *rq)
{
    if (!__atomic_load_n(&rq->wanted_by, __ATOMIC_RELAXED))
        return;
    uint32_t name = __atomic_exchange_n(&rq->wanted_by, 0, __ATOMIC_RELAXED);
    struct cpu *to = name ? cpu_get(name - 1) : NULL;
    /* One that waits, while something else runs here or waits too. */
    bool spare = balance_load(rq) >= 2;
    if (!to || !spare || !is_idle(to) || give_one(rq, to))
        return;
    /* Is the only one that could go just being switched away from? Then keep the request for the
     * next look, unless another CPU has asked meanwhile. */
    const struct thread *leaving = thread_current();
    if (!leaving->queued || !thread_allowed(leaving, to->id))
        return;
    uint32_t nobody = 0;
    (void)__atomic_compare_exchange_n(&rq->wanted_by, &nobody, name, false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED);
}

/* ---- threads that wait for their creator to sleep ---- */

/* Who makes a thread and joins it, over and over, sleeps each time soon after: the thread has the
 * CPU then, whatever the others do, and finds there the one whom it is to wake. What the creator
 * will do this time is learnt from the times before. If it goes on instead, the thread is given
 * away after KEEP_NS. */
bool balance_keeps(struct runqueue *rq, const struct thread *thread, uint64_t now)
{
    struct thread *self = rq->current;
    if (rq->starter == self)
        self->parted = 0; /* that was not its only one */
    rq->starter = self;
    rq->started_ns = now;
    if (self->parted < PARTED_OFTEN || rq->queued || !thread_allowed(thread, rq->cpu->id))
        return false;
    rq->kept_until = now + KEEP_NS;
    timerq_need(rq->cpu->timers, rq->kept_until);
    return true;
}

void balance_parted(struct runqueue *rq, struct thread *prev, uint64_t now)
{
    bool soon = now - rq->started_ns < SOON_NS;
    prev->parted = soon ? MIN(prev->parted + 1, PARTED_OFTEN) : 0;
    rq->starter = NULL;
    rq->kept_until = 0;
}

/* The creator goes on. */
static void give_kept(struct runqueue *rq)
{
    rq->kept_until = 0;
    if (rq->starter == rq->current)
        rq->current->parted = 0;
    sched_publish(rq);
    bool given = rq->current == rq->idle;
    for (unsigned id = 0; id < hal_cpu_count() && rq->queued && !given; id++) {
        struct cpu *cpu = cpu_get(id);
        given = cpu != rq->cpu && usable(cpu) && is_idle(cpu) && give_one(rq, cpu);
    }
}

uint64_t balance_late(struct runqueue *rq, uint64_t now)
{
    if (rq->kept_until && now >= rq->kept_until)
        give_kept(rq);
    return rq->kept_until ? rq->kept_until : UINT64_MAX;
}

void balance_tick(struct runqueue *rq, uint64_t now)
{
    if (now < rq->next_balance_ns)
        return;
    rq->next_balance_ns = now + BALANCE_PERIOD_NS;
    uint32_t own = rq->queued + 1;
    struct cpu *least = NULL;
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        struct cpu *cpu = cpu_get(id);
        if (cpu == rq->cpu || !usable(cpu) || load_of(cpu) + 2 > own || !rq_spare(rq, id))
            continue;
        if (!least || load_of(cpu) < load_of(least))
            least = cpu;
    }
    if (least)
        (void)give_one(rq, least);
}
