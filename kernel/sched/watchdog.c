/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watchdog.c - a CPU that is stuck in the kernel says so, once per time it is.
 *
 * Two ways to be stuck are noticed, both by the CPU itself:
 *
 * It takes interrupts but cannot switch threads (preemption is off): at each timer interrupt that
 * finds the thread that was found before, in the kernel, in the same turn, the time since is added
 * up. At half of the limit the thread is asked to give way, which starts a new turn wherever
 * the kernel can be preempted; so what reaches the limit cannot be. Interrupts come every 4 to 32
 * ms while a program's thread runs (account.c); kernel threads, which have none, are not watched.
 *
 * It waits for a spinlock, with interrupts off or on: the waiting loop counts (core/spinlock.c).
 *
 * Time counts in small steps only. A virtual CPU that its host has stopped finds, when it goes on,
 * that hours have passed, of which one step is added; so neither a paused CPU nor a suspended
 * machine nor one on a busy host is taken for a stuck one, and no machine must say what was stolen.
 *
 * Cost: a dozen instructions per timer interrupt; nothing on the way to an uncontended lock.
 */
#include "sched/watchdog.h"
#include "core/log.h"
#include "sched/internal.h"

#define STEP_MAX_NS (64 * NS_PER_MS)

static uint64_t limit_ns; /* 0: off; changed only at boot */
static void (*show_trace)(uintptr_t pc, uintptr_t fp);

static void report_trace(void)
{
    if (show_trace)
        show_trace((uintptr_t)__builtin_return_address(0), (uintptr_t)__builtin_frame_address(0));
}

static void spin_stuck(const struct spinlock *lock, uint64_t waited_ns)
{
    if (limit_ns == 0 || waited_ns < limit_ns)
        return;
    /* The log itself has a lock, and whoever waits for that has noted it (lock_note_acquire). */
    if (lock->rank != RANK_LOG)
        log_error("watchdog: CPU %u has waited %llu s for a spinlock of rank %u", hal_cpu_id(),
                  (unsigned long long)(waited_ns / NS_PER_SEC), lock->rank);
    report_trace();
}

void watchdog_init(uint64_t limit, void (*trace)(uintptr_t pc, uintptr_t fp))
{
    limit_ns = limit;
    show_trace = trace;
    spin_watch_ns = limit;
    spin_watch = spin_stuck;
}

void watchdog_tick(struct runqueue *rq, uint64_t now)
{
    const struct thread *cur = rq->current;
    uint64_t step = MIN(now - rq->watch_last, STEP_MAX_NS), before = rq->watch_ran;
    bool moves = cur == rq->idle || __atomic_load_n(&cur->in_user, __ATOMIC_RELAXED) ||
                 rq->turn_began != rq->watch_turn;
    rq->watch_last = now;
    if (moves || limit_ns == 0) {
        rq->watch_turn = rq->turn_began;
        rq->watch_ran = 0;
        return;
    }
    rq->watch_ran += step;
    if (rq->watch_ran >= limit_ns / 2)
        sched_want_switch(rq);
    if (before >= limit_ns || rq->watch_ran < limit_ns)
        return;
    log_error("watchdog: CPU %u: %s is in the kernel since %llu s and cannot be preempted",
              rq->cpu->id, cur->name, (unsigned long long)(limit_ns / NS_PER_SEC));
    report_trace();
}
