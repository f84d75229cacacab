/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * timer.c - one-shot timers, and the machine's timer behind them.
 *
 * A timer is armed on the CPU that arms it and fires there. Any CPU may cancel it, so each queue
 * has a lock. timer->queue says where it is armed; it changes only under the lock of the queue that
 * it names or comes to name.
 *
 * The machine's timer is programmed for the first deadline or the end of the current thread's turn,
 * whichever is sooner, and left alone when that moves away: an interrupt too early finds
 * nothing to do and programs the next. Without timers, without a waiting thread and without a
 * program whose time is sampled (account.c) it is off.
 */
#include "sched/timer.h"

#include "mm/kmalloc.h"
#include "sched/internal.h"

#define EXPIRE_MAX 64 /* callbacks per interrupt; the rest come with the next one */

struct timerq {
    struct spinlock lock; /* RANK_TIMER: tree */
    struct rb_tree tree;
    struct timer *running; /* whose callback runs now; atomic */
    uint64_t programmed;   /* own CPU, interrupts off: when the machine's timer will fire */
};

static struct timerq boot_queue = {
    .lock = SPINLOCK_INIT(RANK_TIMER),
    .programmed = UINT64_MAX,
};

struct timerq *timerq_create(void)
{
    struct timerq *queue = kzalloc(sizeof(*queue));
    if (!queue)
        return NULL;
    spin_init(&queue->lock, RANK_TIMER);
    queue->programmed = UINT64_MAX;
    return queue;
}

void timerq_init_cpu(struct cpu *cpu, struct timerq *queue)
{
    cpu->timers = queue ? queue : &boot_queue;
}

static struct timer *timer_of(const struct rb_node *node)
{
    return node ? container_of(node, struct timer, node) : NULL;
}

static bool timer_less(const struct rb_node *a, const struct rb_node *b)
{
    return timer_of(a)->deadline_ns < timer_of(b)->deadline_ns;
}

void timer_setup(struct timer *timer, void (*fn)(struct timer *))
{
    timer->fn = fn;
    timer->deadline_ns = UINT64_MAX;
    __atomic_store_n(&timer->queue, NULL, __ATOMIC_RELAXED);
}

/* ---- the machine's timer; own CPU, interrupts off ---- */

void timerq_need(struct timerq *queue, uint64_t deadline)
{
    if (deadline >= queue->programmed)
        return;
    queue->programmed = deadline;
    hal_timer_arm(deadline);
}

void timerq_program(struct timerq *queue, uint64_t turn_end)
{
    unsigned long irq = spin_lock_irqsave(&queue->lock);
    const struct timer *first = timer_of(rb_first(&queue->tree));
    uint64_t deadline = first ? MIN(first->deadline_ns, turn_end) : turn_end;
    spin_unlock_irqrestore(&queue->lock, irq);
    timerq_need(queue, deadline);
}

void timerq_postpone(struct timerq *queue, uint64_t deadline)
{
    queue->programmed = deadline;
    hal_timer_arm(deadline);
}

/* Take the first timer out if its time has come. */
static struct timer *pop_expired(struct timerq *queue, uint64_t now)
{
    unsigned long irq = spin_lock_irqsave(&queue->lock);
    struct timer *timer = timer_of(rb_first(&queue->tree));
    if (timer && timer->deadline_ns > now)
        timer = NULL;
    /* `running` first: who sees the timer disarmed (acquire) also sees that it runs, unless it has
     * ended. */
    __atomic_store_n(&queue->running, timer, __ATOMIC_RELAXED);
    if (timer) {
        rb_remove(&queue->tree, &timer->node);
        __atomic_store_n(&timer->queue, NULL, __ATOMIC_RELEASE);
    }
    spin_unlock_irqrestore(&queue->lock, irq);
    return timer;
}

uint64_t timerq_run(struct timerq *queue)
{
    uint64_t now = hal_clock_ns(), due = queue->programmed;
    queue->programmed = UINT64_MAX; /* it has fired */
    for (unsigned i = 0; i < EXPIRE_MAX; i++) {
        struct timer *timer = pop_expired(queue, now);
        if (!timer)
            break;
        timer->fn(timer); /* may free it */
        /* Release: pairs with the acquire in timer_cancel_sync. */
        __atomic_store_n(&queue->running, NULL, __ATOMIC_RELEASE);
    }
    return now > due ? now - due : 0;
}

/* ---- arming and cancelling ---- */

void timer_arm(struct timer *timer, uint64_t deadline_ns)
{
    unsigned long irq = hal_irq_save();
    struct timerq *queue = this_cpu()->timers;
    for (;;) {
        timer_cancel(timer);
        unsigned long inner = spin_lock_irqsave(&queue->lock);
        struct timerq *none = NULL;
        /* It may have been armed elsewhere since: then cancel that, too. */
        bool taken = __atomic_compare_exchange_n(&timer->queue, &none, queue, false,
                                                 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
        if (taken) {
            timer->deadline_ns = deadline_ns;
            rb_insert(&queue->tree, &timer->node, timer_less);
        }
        spin_unlock_irqrestore(&queue->lock, inner);
        if (taken)
            break;
    }
    timerq_need(queue, deadline_ns);
    hal_irq_restore(irq);
}

bool timer_cancel(struct timer *timer)
{
    for (;;) {
        struct timerq *queue = __atomic_load_n(&timer->queue, __ATOMIC_ACQUIRE);
        if (!queue)
            return false;
        unsigned long irq = spin_lock_irqsave(&queue->lock);
        bool ours = __atomic_load_n(&timer->queue, __ATOMIC_RELAXED) == queue;
        if (ours) {
            rb_remove(&queue->tree, &timer->node);
            __atomic_store_n(&timer->queue, NULL, __ATOMIC_RELEASE);
        }
        spin_unlock_irqrestore(&queue->lock, irq);
        if (ours)
            return true;
    }
}

static bool runs_anywhere(const struct timer *timer)
{
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        const struct cpu *cpu = cpu_get(id);
        /* Acquire, both: an online CPU has its queue; what the callback did is done. */
        if (__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE) &&
            __atomic_load_n(&cpu->timers->running, __ATOMIC_ACQUIRE) == timer)
            return true;
    }
    return false;
}

void timer_cancel_sync(struct timer *timer)
{
    do {
        timer_cancel(timer);
        while (runs_anywhere(timer))
            hal_cpu_relax();
    } while (timer_armed(timer)); /* the callback armed it again */
}
