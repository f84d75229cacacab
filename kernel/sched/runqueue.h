/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runqueue.h - the threads of one CPU that could run, and which of them runs next.
 *
 * Two classes. Real time (FIFO, RR): a list per priority, the highest non-empty one goes first.
 * Fair (OTHER, BATCH, IDLE): a tree ordered by virtual run time, which advances by the real run
 * time divided by the thread's weight; the one that has had least goes first. The running thread is
 * in neither.
 *
 * Everything above the line in struct runqueue is touched only by its own CPU with interrupts off,
 * so there is no lock. runqueue.c knows nothing of other CPUs and is tested in virtual time.
 */
#ifndef SELKIE_SCHED_RUNQUEUE_H
#define SELKIE_SCHED_RUNQUEUE_H

#include "sched/thread.h"

#define RT_PRIORITY_MAX 99
#define NICE_MIN (-20)
#define NICE_MAX 19

#define URGENCY_NICE_MAX 40 /* core/pi.h: the scale over all classes */

#define SLICE_MAX_NS (6 * NS_PER_MS)
#define SLICE_MIN_NS (3 * NS_PER_MS)
#define SLICE_SUM_NS (12 * NS_PER_MS) /* shared by the runnable threads, within the two above */
#define SLICE_RR_NS (100 * NS_PER_MS)
#define SLEEPER_LEAD_NS (3 * NS_PER_MS) /* who is queued is at most this far ahead */
#define WAKE_MARGIN_NS (1 * NS_PER_MS)  /* ... and preempts if it is this far ahead */
#define BALANCE_PERIOD_NS (12 * NS_PER_MS)

#define INBOX_TOLD 1 /* in the address of the newest thread in an inbox: the owner looks soon */

struct runqueue {
    struct cpu *cpu;
    struct thread *current, *idle;
    struct thread *previous; /* handed to whoever runs after a switch */
    uint64_t clock_ns;       /* the latest reading here (sched_clock) */
    struct rb_tree fair;
    uint64_t min_vruntime; /* never goes back: where newcomers start */
    struct list rt[RT_PRIORITY_MAX + 1];
    uint64_t rt_bits[2]; /* bit per non-empty list */
    unsigned queued;     /* in the tree and the lists */
    unsigned fair_queued;
    uint64_t next_balance_ns;
    uint64_t idle_began, poll_ns; /* idle.c */
    unsigned poll_misses, poll_hits, poll_rest, poll_rest_last;
    const struct thread *starter; /* balance.c: who last started a thread here; only compared */
    uint64_t started_ns, kept_until;
    uint64_t tick_ns; /* account.c: period of the samples, and what the last one said */
    bool tick_user;
    struct hal_space *active;                   /* address space loaded here */
    uint64_t watch_turn, watch_last, watch_ran; /* watchdog.c */
    uint64_t late_ipi; /* a late IPI (core/chaos.h) is heard then; 0: there is none */

    /* ---- read or written by other CPUs, all atomic ---- */
    uintptr_t inbox
        cache_aligned;  /* lock-free stack of threads, linked by wake_next, and INBOX_TOLD */
    uint32_t wanted_by; /* 1 + id of an idle CPU that asks for a thread; 0: none */
    uint32_t load;      /* runnable threads; a hint */
    uint64_t calm;      /* calm.c; 0: whoever wakes somebody here interrupts */
    uint32_t hurries;   /* calm.c */
    bool idling;        /* runs its idle thread; a hint */
    bool polling;       /* looks at its inbox without an interrupt (idle.c) */
    uint64_t idle_ns, busy_ns, switches;
    uint64_t turn_began, stolen_seen;    /* account_refund */
    uint64_t idle_since;                 /* 0: not idle */
    uint64_t rcu_begun[2] cache_aligned; /* rcu.c */
    uint64_t rcu_ended[2];
    uint64_t barrier_seen; /* atomic: the latest barrier passed (barrier.c) */
};

/* How a thread comes onto the queue. */
enum rq_arrival {
    RQ_WAKE,      /* it slept */
    RQ_NEW,       /* new, or from another CPU: its vruntime is relative */
    RQ_PREEMPTED, /* it ran until now and would go on */
    RQ_EXPIRED,   /* it ran until now and lets others go first */
};

static inline struct thread *thread_of_node(const struct rb_node *node)
{
    return node ? container_of(node, struct thread, run_node) : NULL;
}

void rq_init(struct runqueue *rq, struct cpu *cpu);
/* Copy what was asked for (policy, nice, priority) to the fields that the queue goes by. Not
 * queued. */
void rq_refresh(const struct runqueue *rq, struct thread *thread);
/* What the thread asked for itself, on the scale of core/pi.h. Any context. */
unsigned rq_own_urgency(const struct thread *thread);
/* What the queue would go by for this thread, with what others have lent (core/pi.h). Any context.
 */
struct rq_rank {
    uint8_t policy, priority; /* 0: fair */
    uint32_t scale;           /* virtual ns per ns, 16 fractional bits */
};
struct rq_rank rq_rank(const struct thread *thread);
/* Would rq_refresh change anything that counts in its class? */
bool rq_stale(const struct thread *thread);
void rq_enqueue(struct runqueue *rq, struct thread *thread, enum rq_arrival how);
void rq_dequeue(struct runqueue *rq, struct thread *thread);
/* Who runs next; stays queued. NULL: nobody. */
struct thread *rq_first(const struct runqueue *rq);
/* The running thread has used `ns`. */
void rq_charge(struct runqueue *rq, struct thread *thread, uint64_t ns);
void rq_refund(struct thread *thread, uint64_t ns); /* it was charged too much */
/* Should `thread`, which has just become runnable, run instead of the current one? */
bool rq_preempts(const struct runqueue *rq, const struct thread *thread);
/* When has a thread that starts now used up its turn? */
uint64_t rq_slice_end(const struct runqueue *rq, const struct thread *thread, uint64_t now);
/* The current thread gives way: let its vruntime pass that of others, at most a round ahead. */
void rq_pass(struct runqueue *rq, struct thread *thread);
/* Take leave of this queue's virtual time (the thread is not queued): moving to another CPU. */
void rq_leave(const struct runqueue *rq, struct thread *thread);
/* A queued thread that may run on `cpu`, the one that would wait longest here; NULL: none. */
struct thread *rq_spare(const struct runqueue *rq, unsigned cpu);

/* May the thread run there? Any context. */
bool thread_allowed(const struct thread *thread, unsigned cpu);

#endif
