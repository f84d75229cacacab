/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wait.c - wait queues.
 *
 * A wake sets waiter->woken, then wakes the thread; waitq_sleep marks the thread as sleeping, then
 * looks at woken (sequentially consistent, so one sees the other), and clears it before it returns
 * to the caller's condition. So the condition may be evaluated in the running state and may itself
 * sleep, and a wake between that look and the sleep is kept in woken.
 *
 * An exclusive waiter that was chosen and then leaves without another look (its condition had come
 * true before, or it gave up) passes the wake on: waitq_finish does that.
 *
 * The queue's lock is held over thread_wake, and a waiter leaves only under it: so the thread
 * cannot be gone.
 */
#include "sched/wait.h"

#include "lib/errno.h"
#include "sched/thread.h"

void waitq_init_rank(struct waitq *queue, enum lock_rank rank)
{
    spin_init(&queue->lock, rank);
    list_init(&queue->waiters);
}

void waitq_init(struct waitq *queue)
{
    waitq_init_rank(queue, RANK_WAITQ);
}

static void link_waiter(struct waitq *queue, struct waiter *w)
{
    w->queue = queue;
    __atomic_store_n(&w->woken, false, __ATOMIC_RELAXED);
    unsigned long irq = spin_lock_irqsave(&queue->lock);
    list_push_back(&queue->waiters, &w->link);
    spin_unlock_irqrestore(&queue->lock, irq);
}

static void prepare(struct waitq *queue, struct waiter *w, bool interruptible, bool exclusive)
{
    w->thread = thread_current();
    w->fn = NULL;
    w->interruptible = interruptible;
    w->exclusive = exclusive;
    link_waiter(queue, w);
}

void waitq_prepare(struct waitq *queue, struct waiter *w, bool interruptible)
{
    prepare(queue, w, interruptible, false);
}

void waitq_prepare_exclusive(struct waitq *queue, struct waiter *w, bool interruptible)
{
    prepare(queue, w, interruptible, true);
}

int waitq_sleep(struct waiter *w, uint64_t deadline_ns)
{
    int err = 0;
    thread_prepare_sleep(w->interruptible);
    if (!__atomic_load_n(&w->woken, __ATOMIC_SEQ_CST))
        err = thread_sleep(deadline_ns);
    thread_finish_sleep();
    /* Read-modify-write, so that it also sees what those did before who found it set. */
    if (__atomic_exchange_n(&w->woken, false, __ATOMIC_SEQ_CST))
        return 0;
    return err == -EINTR ? -ERESTARTSYS : err;
}

void waitq_add(struct waitq *queue, struct waiter *w, void (*fn)(struct waiter *, uint32_t))
{
    w->thread = NULL;
    w->fn = fn;
    w->interruptible = false;
    w->exclusive = false;
    link_waiter(queue, w);
}

void waitq_add_exclusive(struct waitq *queue, struct waiter *w,
                         void (*fn)(struct waiter *, uint32_t))
{
    w->thread = NULL;
    w->fn = fn;
    w->interruptible = false;
    w->exclusive = true;
    link_waiter(queue, w);
}

void waitq_remove(struct waiter *w)
{
    struct waitq *queue = w->queue;
    unsigned long irq = spin_lock_irqsave(&queue->lock);
    list_remove(&w->link);
    spin_unlock_irqrestore(&queue->lock, irq);
}

/* True if the event has a new taker: a thread that did not know yet, or what the callback says. */
static bool wake_waiter(struct waiter *w, uint32_t events)
{
    if (w->fn) {
        __atomic_store_n(&w->woken, false, __ATOMIC_RELAXED); /* callbacks run under the lock */
        w->fn(w, events);
        return __atomic_load_n(&w->woken, __ATOMIC_RELAXED);
    }
    bool knew = __atomic_exchange_n(&w->woken, true, __ATOMIC_SEQ_CST);
    if (!knew)
        thread_wake(w->thread);
    return !knew;
}

static bool wake_locked(struct waitq *queue, uint32_t events, bool all)
{
    bool any = false, done = false;
    list_for_each_safe (link, next, &queue->waiters) {
        struct waiter *w = list_entry(link, struct waiter, link);
        if (w->exclusive && done && !all)
            continue;
        bool taken = wake_waiter(w, events);
        any |= taken;
        done |= taken && w->exclusive;
    }
    return any;
}

static bool wake(struct waitq *queue, uint32_t events, bool all)
{
    unsigned long irq = spin_lock_irqsave(&queue->lock);
    bool any = wake_locked(queue, events, all);
    spin_unlock_irqrestore(&queue->lock, irq);
    return any;
}

void waitq_finish(struct waiter *w)
{
    struct waitq *queue = w->queue;
    unsigned long irq = spin_lock_irqsave(&queue->lock);
    list_remove(&w->link);
    if (w->exclusive && __atomic_load_n(&w->woken, __ATOMIC_RELAXED))
        wake_locked(queue, 0, false);
    spin_unlock_irqrestore(&queue->lock, irq);
}

void waitq_wake_one(struct waitq *queue, uint32_t events)
{
    wake(queue, events, false);
}

bool waitq_wake_all(struct waitq *queue, uint32_t events)
{
    return wake(queue, events, true);
}

bool waitq_busy(struct waitq *queue)
{
    unsigned long irq = spin_lock_irqsave(&queue->lock);
    bool busy = !list_empty(&queue->waiters);
    spin_unlock_irqrestore(&queue->lock, irq);
    return busy;
}
