/* SPDX-License-Identifier: BSD-3-Clause */
/* internal.h - what the files of sched/ share among themselves. */
#ifndef SELKIE_SCHED_INTERNAL_H
#define SELKIE_SCHED_INTERNAL_H

#include "core/mutex.h"
#include "core/spinlock.h"
#include "sched/runqueue.h"

/* ---- sched.c: interrupts off in all of these ---- */

enum switch_reason {
    SWITCH_SLEEP,   /* the current thread sleeps, unless it was woken meanwhile */
    SWITCH_YIELD,   /* it lets others go first */
    SWITCH_PREEMPT, /* it would go on, if nobody is more entitled */
    SWITCH_EXIT,    /* it ends */
};
void sched_switch(enum switch_reason reason);
/* First thing on a fresh stack, and after every switch: finish with the thread that ran before. */
void sched_finish_switch(void);
/* Look at every thread in this CPU's inbox, outside sched_switch. */
void sched_drain(struct runqueue *rq);
/* The thread, which is nowhere, waits here. */
void sched_enqueue(struct runqueue *rq, struct thread *thread, enum rq_arrival how, uint64_t now);
/* Make a runnable thread that is nowhere wait for its turn: here or on another CPU. */
void sched_place(struct runqueue *rq, struct thread *thread, enum rq_arrival how, uint64_t now);
/* Ask the thread's CPU to look at it: it may have been woken, or its parameters changed. */
void sched_notify(struct thread *thread);
/* Wake, leaving `state` as the reason. */
bool sched_wake(struct thread *thread, enum thread_state state);
/* Give a runnable thread that is nowhere to another CPU. The caller owns thread->notified. */
void sched_give(struct runqueue *rq, struct thread *thread, struct cpu *to);
void sched_publish(struct runqueue *rq);
/* The time for this CPU's accounts. Of two readings the later one is never less, so that a turn
 * that was seen to have ended has ended. To wait until all earlier instructions are done, as
 * hal_clock_ns does, would be a seventh of a futex round trip. */
static inline uint64_t sched_clock_reach(struct runqueue *rq, uint64_t now)
{
    if (now > rq->clock_ns)
        rq->clock_ns = now;
    return rq->clock_ns;
}
static inline uint64_t sched_clock(struct runqueue *rq)
{
    return sched_clock_reach(rq, hal_clock_rough_ns());
}
static inline void sched_want_switch(struct runqueue *rq)
{
    __atomic_store_n(&rq->current->head.need_resched, true, __ATOMIC_RELAXED);
}
static inline bool sched_claim(struct thread *thread)
{
    return !__atomic_exchange_n(&thread->notified, true, __ATOMIC_SEQ_CST);
}

/* Any context: reschedule if wanted and possible here. */
static inline void sched_check(void)
{
    const struct thread_head *self = thread_head();
    if (self->preempt_count == 0 && __atomic_load_n(&self->need_resched, __ATOMIC_RELAXED))
        preempt_resched();
}

/* ---- calm.c: interrupts off ---- */

static inline bool is_calm(const struct runqueue *rq)
{
    return __atomic_load_n(&rq->calm, __ATOMIC_RELAXED) != 0; /* this CPU alone writes it */
}
/* From here on who wakes a thread of this CPU interrupts. True: nobody had to until now, and the
 * inbox has somebody in it who must be looked at. */
bool calm_end(struct runqueue *rq);
/* The current thread, or who waits, is another. True: as calm_end. */
bool must_check calm_renew(struct runqueue *rq);
/* A thread of that CPU has other parameters now, but somebody else has its claim: he must not leave
 * it in the inbox as what it was. */
void calm_hurry(struct cpu *cpu);
/* The caller has woken the thread, has claimed it and is about to push it into that inbox: may it
 * wait there without an interrupt? If so, calm_takes has the last word after the push, when the
 * thread may be gone already. */
struct calm_wish {
    struct rq_rank rank;
    uint64_t slept_at, now;
    uint32_t hurries;
};
bool calm_may_take(const struct runqueue *rq, const struct thread *thread, uint64_t now,
                   struct calm_wish *wish);
bool calm_takes(const struct runqueue *rq, const struct calm_wish *wish);

/* ---- account.c: interrupts off ---- */

/* Charge the current thread for the time since the last charge. */
void sched_charge(struct runqueue *rq, uint64_t now);
/* The same for the last time: it is about to leave the CPU. */
void account_stop(struct runqueue *rq, uint64_t now);
void account_start(struct thread *thread, uint64_t now);
/* In a timer interrupt, after sched_charge: is it user or system time? */
void account_sample(struct runqueue *rq, uint64_t late_ns);
void account_refund(struct runqueue *rq, uint64_t now);
/* The current thread is about to leave the CPU. */
void account_turn_ends(struct runqueue *rq, uint64_t now);
/* When the next sample should be; UINT64_MAX: never. */
uint64_t account_tick(const struct runqueue *rq, uint64_t now);

/* ---- watchdog.c: in the timer interrupt ---- */

void watchdog_tick(struct runqueue *rq, uint64_t now);

/* ---- idle.c: interrupts off ---- */

/* The idle thread is about to give way: whoever pushes from here on must send an interrupt. */
void idle_stop_polling(struct runqueue *rq);
/* The CPU changes between its idle thread and others. */
void idle_note_switch(struct runqueue *rq, bool leaves_idle, bool enters_idle, uint64_t now);

/* ---- barrier.c ---- */

void sched_barrier_pass(struct runqueue *rq); /* this CPU's part of sched_barrier */

/* ---- thread.c ---- */

/* What is the same for every thread, those of the boot included. */
void thread_setup(struct thread *thread, const char *name);

/* ---- balance.c: interrupts off ---- */

/* The current thread keeps another one until it sleeps, which is soon; or is about to end. */
static inline bool balance_leaves(const struct runqueue *rq)
{
    const struct thread *current = rq->current;
    return current->departing || (rq->kept_until && rq->starter == current && current->parted);
}
/* The threads that are here, without one that leaves. */
static inline uint32_t balance_load(const struct runqueue *rq)
{
    return rq->queued + (rq->current != rq->idle && !balance_leaves(rq));
}
/* Is a CPU idle that the thread may use? */
bool balance_finds_idle(const struct thread *thread);
/* Where should a runnable thread wait? */
struct cpu *balance_choose(struct runqueue *rq, const struct thread *thread);
void balance_request(struct runqueue *rq); /* idle: ask the busiest CPU for work */
void balance_serve(struct runqueue *rq);   /* hand a thread to whoever asked */
/* The current thread starts another one. True: that one is to wait here. */
bool balance_keeps(struct runqueue *rq, const struct thread *thread, uint64_t now);
/* The current thread has begun to sleep. */
void balance_parted(struct runqueue *rq, struct thread *prev, uint64_t now);
/* In the timer interrupt: how long may a thread wait for its creator to sleep? UINT64_MAX: there is
 * none. */
uint64_t balance_late(struct runqueue *rq, uint64_t now);
void balance_tick(struct runqueue *rq, uint64_t now);

/* ---- params.c ---- */

/* Memory for a bitmap of CPUs: the thread's own word if that is enough. NULL without memory. */
uint64_t *affinity_alloc(struct thread *thread);
void affinity_free(struct thread *thread, uint64_t *bitmap);

/* ---- mutex.c: for cond.c ---- */

/* A thread that somebody else puts into a mutex's line. */
struct mutex_guest {
    struct thread *thread;
    struct pi_waiter waiter;
    bool lined_up; /* guarded by the inside of the mutex */
};
/* Put it there; the mutex comes to it as to any other waiter. */
void mutex_line_up(struct mutex *m, struct mutex_guest *g);
/* The guest itself: wait to be lined up, then for the mutex. False at the deadline: neither. */
bool mutex_lock_lined_up(struct mutex *m, struct mutex_guest *g, uint64_t deadline_ns);

/* ---- reap.c ---- */

/* There is work for the reaper thread: it is woken a little later. Any context. */
void reaper_request(void);
void thread_bury(struct thread *thread);    /* dead and off its CPU; interrupts off */
void thread_free_fp(struct thread *thread); /* its vector registers */
void thread_reclaim(void);                  /* free the stacks of the dead; thread context */
void thread_reaper(void *arg);
void thread_list_add(struct thread *thread);
/* The list of all threads (all_link), for a panic: nobody holds its lock. */
const struct list *thread_list_peek(void);

/* ---- rcu.c ---- */

bool rcu_pending(void);
void rcu_run(void); /* in the reaper: a grace period, then the calls */

/* ---- timer.c: interrupts off ---- */

void timerq_init_cpu(struct cpu *cpu, struct timerq *queue);
struct timerq *timerq_create(void); /* NULL without memory */
/* In the timer interrupt. How late it came. */
uint64_t timerq_run(struct timerq *queue);
/* In place of that: it was not heard; it comes again at that time. */
void timerq_postpone(struct timerq *queue, uint64_t deadline);
/* Program the machine's timer for the first of: a timer, the end of the current turn. */
void timerq_program(struct timerq *queue, uint64_t turn_end);
/* Ask for an interrupt at that time at the latest. */
void timerq_need(struct timerq *queue, uint64_t deadline);

#endif
