/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reap.c - what happens to threads after their end, the list of all threads, and the reaper: the
 * kernel thread that frees what nobody else can.
 *
 * A dead thread cannot free its own stack, and the thread that runs after it on that CPU must not
 * (interrupts are off, exit hooks may sleep). So it is pushed on a list. thread_init and the reaper
 * take from it: they free its stack and registers and give the rest to rcu_call. After a grace
 * period the reaper drops the thread's own reference, which may run its exit hook: so who reads a
 * thread's name off a lock in a read section may look at it (mutex.c). Memory for dead stacks is
 * bounded by the number of threads that were alive at the same time, however slow the reaper is,
 * and no exit hook runs inside someone else's locks.
 *
 * The reaper is woken by a timer, REAP_DELAY_NS after there first was something to do: one
 * wake-up and one grace period serve many ends, and whoever ends or frees pays for no wake-up.
 */
#include "core/rcu.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "sched/internal.h"

#define REAP_DELAY_NS (2 * NS_PER_MS)

static void wake_reaper(struct timer *timer);

static struct thread *dead;   /* atomic stack: still with their stacks */
static struct thread *reaper; /* atomic */
static struct timer delay = {.fn = wake_reaper, .deadline_ns = UINT64_MAX};

static struct spinlock list_lock = SPINLOCK_INIT(RANK_THREADS); /* guards the next two */
static struct list all_threads = {&all_threads, &all_threads};
static unsigned all_count;

static void wake_reaper(struct timer *timer)
{
    (void)timer;
    /* Between the timer's being disarmed and the reaper's look at the lists: see reaper_request. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    /* Acquire: pairs with the store in thread_reaper. */
    struct thread *thread = __atomic_load_n(&reaper, __ATOMIC_ACQUIRE);
    if (thread)
        thread_wake(thread);
}

/* A timer that is armed is left alone: who makes threads and ends them all the time makes the list
 * of the dead empty each time (thread_init), and would put the reaper off for ever. Between the
 * caller's addition to a list and the look at the timer is a full barrier, and in wake_reaper
 * another: if the timer is still seen armed, the reaper that it wakes sees the addition. */
void reaper_request(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!timer_armed(&delay))
        timer_arm(&delay, hal_clock_ns() + REAP_DELAY_NS);
}

void thread_bury(struct thread *thread)
{
    struct thread *head = __atomic_load_n(&dead, __ATOMIC_RELAXED);
    do /* release: what was done to the thread comes before what its taker does */
        thread->wake_next = head;
    while (!__atomic_compare_exchange_n(&dead, &head, thread, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED));
    if (!head)
        reaper_request();
}

static void strip(struct thread *thread)
{
    hal_ctx_destroy(&thread->ctx);
    kstack_free(thread->stack);
    thread_free_fp(thread);
    thread->stack = NULL;
}

/* In the reaper, a grace period later. */
static void reap(struct rcu_head *head)
{
    struct thread *thread = container_of(head, struct thread, rcu);
    unsigned long irq = spin_lock_irqsave(&list_lock);
    list_remove(&thread->all_link);
    all_count--;
    spin_unlock_irqrestore(&list_lock, irq);
    thread_put(thread); /* the thread's own reference */
}

void thread_reclaim(void)
{
    if (!__atomic_load_n(&dead, __ATOMIC_RELAXED))
        return;
    struct thread *thread = __atomic_exchange_n(&dead, NULL, __ATOMIC_SEQ_CST);
    while (thread) {
        struct thread *next = thread->wake_next;
        strip(thread);
        rcu_call(&thread->rcu, reap);
        thread = next;
    }
}

/* Asleep while there is nothing to do, or what there is may grow a little more. */
static bool may_sleep(void)
{
    bool work = rcu_pending() || __atomic_load_n(&dead, __ATOMIC_SEQ_CST);
    return !work || timer_armed(&delay);
}

void thread_reaper(void *arg)
{
    (void)arg;
    __atomic_store_n(&reaper, thread_current(), __ATOMIC_RELEASE);
    for (;;) {
        thread_prepare_sleep(false);
        if (may_sleep())
            (void)thread_sleep(UINT64_MAX); /* woken, whatever the result */
        thread_finish_sleep();
        if (timer_armed(&delay))
            continue; /* woken for nothing */
        thread_reclaim();
        rcu_run();
    }
}

void thread_get(struct thread *thread)
{
    ref_get(&thread->refs);
}

void thread_put(struct thread *thread)
{
    if (!ref_put(&thread->refs))
        return;
    affinity_free(thread, thread->affinity);
    thread->affinity = NULL;
    if (thread->exit_hook)
        thread->exit_hook(thread);
    else
        owner_free(OWNER_THREAD, thread, sizeof(*thread));
}

/* ---- all threads ---- */

void thread_list_add(struct thread *thread)
{
    unsigned long irq = spin_lock_irqsave(&list_lock);
    list_push_back(&all_threads, &thread->all_link);
    all_count++;
    spin_unlock_irqrestore(&list_lock, irq);
}

void thread_for_each(void (*fn)(struct thread *, void *), void *arg)
{
    unsigned long irq = spin_lock_irqsave(&list_lock);
    list_for_each (link, &all_threads)
        fn(list_entry(link, struct thread, all_link), arg);
    spin_unlock_irqrestore(&list_lock, irq);
}

unsigned thread_count(void)
{
    unsigned long irq = spin_lock_irqsave(&list_lock);
    unsigned count = all_count;
    spin_unlock_irqrestore(&list_lock, irq);
    return count;
}

const struct list *thread_list_peek(void)
{
    return &all_threads;
}
