/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reap.c - what happens to threads after their end, and the list of all threads.
 *
 * A dead thread cannot free its own stack, and the thread that runs after it on that CPU must not
 * (interrupts are off, exit hooks may sleep). So it is pushed on a list from which the reaper, a
 * kernel thread, takes all at once. thread_init takes from it, too, but frees only what belongs to
 * the scheduler and leaves the rest to the reaper: so memory for dead stacks is bounded by the
 * number of threads that were alive at the same time, however slow the reaper is, and no exit hook
 * runs inside someone else's locks.
 */
#include "mm/kmalloc.h"
#include "sched/internal.h"

static struct thread *dead;  /* atomic stack: still with their stacks */
static struct thread *husks; /* atomic stack: without */
static struct thread *reaper;

static struct spinlock list_lock = SPINLOCK_INIT(RANK_THREADS); /* guards the next two */
static struct list all_threads = {&all_threads, &all_threads};
static unsigned all_count;

static void push(struct thread **stack, struct thread *thread)
{
    struct thread *head = __atomic_load_n(stack, __ATOMIC_RELAXED);
    do /* release: what was done to the thread comes before what its taker does */
        thread->wake_next = head;
    while (!__atomic_compare_exchange_n(stack, &head, thread, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED));
}

static struct thread *take_all(struct thread **stack)
{
    return __atomic_exchange_n(stack, NULL, __ATOMIC_SEQ_CST);
}

static bool empty(struct thread **stack)
{
    return __atomic_load_n(stack, __ATOMIC_SEQ_CST) == NULL;
}

static void wake_reaper(void)
{
    /* Acquire: pairs with the store in thread_reaper. */
    struct thread *thread = __atomic_load_n(&reaper, __ATOMIC_ACQUIRE);
    if (thread)
        thread_wake(thread);
}

void thread_bury(struct thread *thread)
{
    push(&dead, thread);
    wake_reaper();
}

static void strip(struct thread *thread)
{
    hal_ctx_destroy(&thread->ctx);
    kstack_free(thread->stack);
    kfree(thread->fp_block);
    thread->stack = NULL;
    thread->fp_block = NULL;
}

void thread_reclaim(void)
{
    if (empty(&dead))
        return;
    struct thread *next;
    for (struct thread *thread = take_all(&dead); thread; thread = next) {
        next = thread->wake_next;
        strip(thread);
        push(&husks, thread);
    }
    wake_reaper();
}

static void reap_one(struct thread *thread)
{
    unsigned long irq = spin_lock_irqsave(&list_lock);
    list_remove(&thread->all_link);
    all_count--;
    spin_unlock_irqrestore(&list_lock, irq);
    thread_put(thread); /* the thread's own reference */
}

static void reap_all(void)
{
    struct thread *next;
    for (struct thread *thread = take_all(&husks); thread; thread = next) {
        next = thread->wake_next;
        reap_one(thread);
    }
    for (struct thread *thread = take_all(&dead); thread; thread = next) {
        next = thread->wake_next;
        strip(thread);
        reap_one(thread);
    }
}

void thread_reaper(void *arg)
{
    (void)arg;
    __atomic_store_n(&reaper, thread_current(), __ATOMIC_RELEASE);
    for (;;) {
        reap_all();
        thread_prepare_sleep(false);
        if (empty(&dead) && empty(&husks))
            (void)thread_sleep(UINT64_MAX); /* woken, whatever the result */
        thread_finish_sleep();
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
    kfree(thread->affinity);
    thread->affinity = NULL;
    if (thread->exit_hook)
        thread->exit_hook(thread);
    else
        kfree(thread);
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
