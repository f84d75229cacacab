/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread.h - threads and the scheduler.
 *
 * Each CPU has a run queue that only that CPU touches (interrupts off). A
 * thread belongs to one CPU (`cpu` in its head) until that CPU itself gives it away. Waking a
 * thread from another CPU pushes it on the owner's lock-free list (its inbox) and sends an IPI,
 * unless one is on its way, the owner polls, or the thread can wait for the end of a turn (calm.c).
 * So a thread is never made to run on two CPUs and no CPU waits for another to finish a switch.
 *
 * The full protocol and its memory order are argued in docs/scheduler.md and sched/sched.c.
 */
#ifndef SELKIE_SCHED_THREAD_H
#define SELKIE_SCHED_THREAD_H

#include "core/current.h"
#include "core/percpu.h"
#include "core/rcu.h"
#include "lib/list.h"
#include "lib/rbtree.h"
#include "lib/refcount.h"
#include "sched/timer.h"

enum thread_state {
    THREAD_NEW,       /* created, not started */
    THREAD_READY,     /* on a run queue, running, or on the way to a run queue */
    THREAD_SLEEPING,  /* gave up the CPU or is about to; a wake changes it to one of the others */
    THREAD_TIMED_OUT, /* as READY: the deadline ended the sleep */
    THREAD_CUT_SHORT, /* as READY: thread_interrupt ended the sleep */
    THREAD_DEAD,
};
enum sched_policy {
    SCHED_OTHER = 0,
    SCHED_FIFO = 1,
    SCHED_RR = 2,
    SCHED_BATCH = 3,
    SCHED_IDLE = 5
};

struct space;
struct pi_waiter;
struct thread {
    struct thread_head head;     /* first: hal_thread_get() returns it */
    struct thread *wake_next;    /* in an inbox, or among the dead */
    struct pi_waiter *pi_waits;  /* its innermost wait; under pi.c's lock, as is the next */
    struct list pi_held;         /* what it owns that others may wait for */
    uint64_t user_ns, system_ns; /* as sampled; atomic */
    uint64_t sampled_ns;         /* runtime_ns at the last sample */
    struct timer sleep_timer;
    void *stack;    /* kstack_alloc */
    void *fp_block; /* the allocation that fp lies in */
    void (*fn)(void *);
    void *arg;
    struct refcount refs;
    char name[16];
    void (*exit_hook)(struct thread *); /* runs when the last reference goes, frees the container;
                                           may be NULL: kfree */
    struct list all_link;               /* list of all threads */
    struct rcu_head rcu;                /* after its end */
    struct list run_link;               /* waiting, real time; its own CPU, interrupts off */

    /* From here on (THREAD_HOT) is what a switch touches, together, because among thousands of
     * threads each cache line counts; what a task needs at each system call follows it. */
    uint32_t state;     /* enum thread_state, atomic */
    bool interruptible; /* sleeping in a way that thread_interrupt may end; atomic */
    bool interrupted;   /* thread_interrupt was called; atomic, cleared by thread_clear_interrupt */
    bool switched;      /* was given the CPU since it was cleared last; atomic; proc/rseq.c */
    bool on_cpu;        /* atomic */
    bool notified;      /* it is in an inbox, or someone is about to put it there; atomic */
    /* scheduling; its own CPU, interrupts off */
    uint32_t turn_left_ns;   /* RR, preempted: what is left of its turn; 0: a whole one */
    struct rb_node run_node; /* waiting, fair */
    uint64_t vruntime;       /* weighted ns */
    uint64_t slept_at;       /* that when it gave up the CPU; atomic: calm.c */
    bool queued;             /* on its CPU's run queue */
    bool blocked;            /* gave up the CPU in a sleep that no wake has ended yet */
    bool moving;             /* has just run on a CPU that its affinity forbids */
    bool vruntime_relative;  /* vruntime counts from min_vruntime of the next run queue */
    bool in_user;            /* executes user code; atomic, own thread */
    bool departing;          /* about to end: whom it wakes has the CPU next; own thread */
    uint8_t parted;          /* how often it slept soon after starting a thread (balance.c) */
    uint8_t rq_priority;     /* what the run queue goes by: 0 fair, 1..99 real time */
    uint8_t rq_policy;
    /* What was asked for; atomic. Its CPU copies them to the fields around. */
    uint8_t policy; /* enum sched_policy */
    int8_t nice;
    uint8_t rt_priority;
    bool reset_on_fork;   /* threads made by it start with the default policy */
    uint8_t lent;         /* urgency lent by those who wait for it (core/pi.h); atomic */
    uint32_t rq_scale;    /* virtual ns per ns, 16 fractional bits */
    uint32_t account_seq; /* odd while the next two change; atomic */
    uint64_t run_start;   /* charged up to then; 0: not on a CPU; atomic */
    uint64_t runtime_ns;  /* total; atomic, see thread_runtime_ns */
    uint64_t slice_end;
    uint64_t switches_voluntary, switches_forced;
    uint64_t *affinity;     /* bitmap of cpu ids, hal_cpu_count() bits; NULL: all; atomic */
    uint64_t affinity_word; /* the bitmap, if this is enough */
    struct space *space;    /* reference; NULL for kernel threads */
    void *fp;               /* vector registers; NULL for kernel threads */
    struct hal_ctx ctx;
};
#define THREAD_HOT offsetof(struct thread, state)

static inline struct thread *thread_current(void)
{
    return hal_thread_get();
}

struct thread_attr {
    const char *name;
    bool user;           /* allocate vector-register memory: may call hal_user_enter */
    struct space *space; /* a reference is taken */
    void (*exit_hook)(struct thread *);
};
/* Prepare `thread` (zeroed memory of the caller's, possibly embedded in something larger) to run
 * fn(arg). It has one reference, dropped after it has exited and is off its CPU. -ENOMEM. */
int must_check thread_init(struct thread *thread, const struct thread_attr *attr,
                           void (*fn)(void *), void *arg);
/* Undo thread_init of a thread that was never started; no hook runs. */
void thread_fini(struct thread *thread);
void thread_start(struct thread *thread);
/* A kernel thread, started. NULL without memory. */
struct thread *thread_spawn(const char *name, void (*fn)(void *), void *arg);
_Noreturn void thread_exit(void);
void thread_get(struct thread *thread);
void thread_put(struct thread *thread);

/*
 * Sleeping, the low level: prefer sched/wait.h.
 *   thread_prepare_sleep(interruptible);   state := SLEEPING (seq_cst)
 *   if (!condition) thread_sleep(deadline); gives up the CPU unless already woken
 *   thread_finish_sleep();                 state := READY
 * thread_sleep returns 0 if woken, -ETIMEDOUT at `deadline_ns` (UINT64_MAX: none), -EINTR if
 * interruptible and interrupted. A wake between prepare and sleep is never lost.
 */
void thread_prepare_sleep(bool interruptible);
int thread_sleep(uint64_t deadline_ns);
void thread_finish_sleep(void);
/* Make a sleeping thread run. Any context. False if it was not sleeping. */
bool thread_wake(struct thread *thread);
/* End an interruptible sleep now or the next one at once, until thread_clear_interrupt by the
 * thread. If the thread runs user code, it is made to pass through kernel_user_return soon. Any
 * context. */
void thread_interrupt(struct thread *thread);
void thread_clear_interrupt(void);
bool thread_interrupted(void);

void sched_init(
    void *boot_stack,
    size_t size); /* CPU 0: makes the boot flow its idle thread; first thing in kernel_boot */
void sched_start_cpus(void);          /* bring up all other CPUs and wait until they are online */
_Noreturn void sched_idle_loop(void); /* what the boot flow does in the end */
void sched_yield(void);
/* Thread context at any safe point: reschedule if wanted. */
void sched_poll(void);
void sched_set_policy(struct thread *thread, enum sched_policy policy, int rt_priority);
void sched_set_nice(struct thread *thread, int nice);
/* mask: hal_cpu_count() bits. -EINVAL if it names no online CPU, -ENOMEM. Moves the thread if
 * needed: the caller at once, another thread as soon as its CPU has looked. */
int must_check sched_set_affinity(struct thread *thread, const uint64_t *mask);
void sched_get_affinity(struct thread *thread, uint64_t *mask);
/* Between call and return every CPU passes through a full memory barrier. Thread context, no
 * spinlock held; may be preempted but does not sleep. */
void sched_barrier(void);
/* CPU time used so far, exact, never going back. */
uint64_t thread_runtime_ns(struct thread *thread);
/* User and system time (account.c). Add up threads, then divide the total as the samples say.
 * `told` is what was said the last time (zero at first): the caller keeps and guards it. */
struct cpu_times {
    uint64_t total_ns, user_ns, system_ns;
};
void cpu_times_add(struct cpu_times *sum, struct thread *thread);
void cpu_times_divide(const struct cpu_times *sum, struct cpu_times *told);
/* Switch the calling thread to another address space (execve). Takes a reference on space. */
void thread_set_space(struct space *space);
/* For the entry paths: the calling thread goes from user to kernel code and back. Relaxed: read by
 * interrupts on its own CPU. */
static inline void sched_account_entry(void)
{
    __atomic_store_n(&thread_current()->in_user, false, __ATOMIC_RELAXED);
}
static inline void sched_account_return(void)
{
    __atomic_store_n(&thread_current()->in_user, true, __ATOMIC_RELAXED);
}

struct sched_cpu_stats {
    uint64_t idle_ns, busy_ns, switches;
    unsigned runnable;
};
void sched_get_stats(unsigned cpu, struct sched_cpu_stats *out);
void thread_for_each(void (*fn)(struct thread *, void *),
                     void *arg); /* under RANK_THREADS: fn must not sleep */
unsigned thread_count(void);

#endif
