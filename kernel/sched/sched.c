/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sched.c - switching threads, and waking them from anywhere.
 *
 * Ownership. A thread belongs to the CPU named in its head. Only that CPU, with interrupts off,
 * touches its scheduling fields (queued, blocked, vruntime, ...) and its run queue. Others may do
 * two things: change thread->state from SLEEPING (compare and swap), and put the thread into the
 * owner's inbox, which only says "look at this thread".
 *
 * thread->notified is the right to put a thread into an inbox. Whoever changes it from false to
 * true pushes the thread exactly once; whoever finds it true leaves it to them. The owner clears it
 * when it takes the thread out, before it looks at the state. Giving a thread to another CPU needs
 * the same right, so a thread never changes its owner while it is, or is about to be, in an inbox,
 * and a dead one is never freed then.
 *
 * No wake-up is lost:
 *  1. The sleeper stores SLEEPING, then looks at its condition; the waker makes the condition
 *     true, then swaps the state. All four are sequentially consistent, so at least one
 *     sees the other.
 *  2. If the waker finds SLEEPING it changes it. The sleeper's CPU goes on only after looking at
 *     the state: if the thread has not blocked yet, it sees the change and does not sleep.
 *  3. If it blocks between, the waker claims `notified` after its swap. Either it pushes; or an
 *     earlier push is still unread, and its reader clears `notified` (read-modify-write, thus after
 *     the waker's) and then reads the state that the waker has written.
 *  4. A push sends an IPI after it, unless it finds the mark of one who does (INBOX_TOLD, which it
 *     leaves otherwise). The reader takes the whole inbox at once, so whenever an inbox is marked,
 *     the one who marked it has sent, or is about to send, an IPI that has not been served
 *     since: the CPU will look, in whatever it does, and hal_cpu_idle does not sleep over a pending
 *     interrupt. The pusher saves the interrupt if it sees, after the push, that the CPU polls its
 *     inbox (idle.c), or that it is calm and the thread can wait (calm.c; such a push leaves no
 *     mark): before the CPU stops doing so it clears that word and looks once more, all
 *     sequentially consistent.
 *  5. On the owner's own CPU interrupts are off between the swap and the enqueueing.
 *
 * A thread that is preempted between prepare and sleep is SLEEPING but not blocked: it stays
 * runnable, as it must.
 */
#include "core/chaos.h"
#include "core/log.h"
#include "core/trace.h"
#include "hal_up.h"
#include "isa.h"
#include "lib/counter.h"
#include "lib/errno.h"
#include "mm/kmalloc.h"
#include "mm/space.h"
#include "sched/internal.h"

#define PREFETCH_THREADS 128 /* more than the second-level cache has room for, and at least 4 */

/* What other CPUs see of this one. Hints, so relaxed. */
void sched_publish(struct runqueue *rq)
{
    bool idling = rq->current == rq->idle;
    __atomic_store_n(&rq->load, balance_load(rq), __ATOMIC_RELAXED);
    __atomic_store_n(&rq->idling, idling && rq->queued == 0, __ATOMIC_RELAXED);
}

/* The current turn ends some time only if somebody waits for it. */
static uint64_t turn_end(const struct runqueue *rq)
{
    bool waiting = rq->queued && rq->current != rq->idle;
    return waiting ? rq->current->slice_end : UINT64_MAX;
}

/* ---- inboxes ---- */

static struct thread *inbox_first(uintptr_t inbox)
{
    return (struct thread *)(inbox & ~(uintptr_t)INBOX_TOLD);
}

/* `patience`: without an interrupt, if the CPU is calm. Of those who want one, only the first since
 * the inbox was taken last sends it. */
static void inbox_push(struct cpu *cpu, struct thread *thread, const struct calm_wish *patience)
{
    uintptr_t *inbox = &cpu->rq->inbox;
    uintptr_t head = __atomic_load_n(inbox, __ATOMIC_RELAXED), told;
    /* Release: the reader sees the thread's fields as we left them. */
    do {
        told = patience ? head & INBOX_TOLD : INBOX_TOLD;
        thread->wake_next = inbox_first(head);
    } while (!__atomic_compare_exchange_n(inbox, &head, (uintptr_t)thread | told, true,
                                          __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    if ((head & INBOX_TOLD) || (patience && calm_takes(cpu->rq, patience)))
        return;
    if (!__atomic_load_n(&cpu->rq->polling, __ATOMIC_SEQ_CST))
        hal_ipi_send(cpu->id);
}

void sched_notify(struct thread *thread)
{
    bool ours = sched_claim(thread);
    /* The owner cannot change while we hold the claim; acquire: pairs with sched_give. */
    struct cpu *cpu = __atomic_load_n(&thread->head.cpu, __ATOMIC_ACQUIRE);
    if (ours)
        inbox_push(cpu, thread, NULL);
    else
        calm_hurry(cpu);
}

/* The same for a thread that the caller has woken. */
static void notify_woken(struct thread *thread, uint64_t now)
{
    if (!sched_claim(thread))
        return;
    struct cpu *cpu = __atomic_load_n(&thread->head.cpu, __ATOMIC_ACQUIRE);
    struct calm_wish wish;
    inbox_push(cpu, thread, calm_may_take(cpu->rq, thread, now, &wish) ? &wish : NULL);
}

void sched_give(struct runqueue *rq, struct thread *thread, struct cpu *to)
{
    ASSERT(!thread->queued && !thread->blocked && to != rq->cpu);
    rq_leave(rq, thread);
    /* Release: from here on the fields belong to the other CPU. */
    __atomic_store_n(&thread->head.cpu, to, __ATOMIC_RELEASE);
    inbox_push(to, thread, NULL);
}

/* ---- becoming runnable ---- */

void sched_enqueue(struct runqueue *rq, struct thread *thread, enum rq_arrival how, uint64_t now)
{
    sched_charge(rq, now);
    /* The turn of a thread that was alone is long over: give it a little before the next one. */
    if (rq->queued == 0 && rq->current->slice_end < now + WAKE_MARGIN_NS)
        rq->current->slice_end = now + WAKE_MARGIN_NS;
    rq_enqueue(rq, thread, how);
    sched_publish(rq);
    if (rq_preempts(rq, thread))
        sched_want_switch(rq);
    else
        timerq_need(rq->cpu->timers, turn_end(rq));
}

/* `claimed`: the caller owns thread->notified. */
static void place(struct runqueue *rq, struct thread *thread, enum rq_arrival how, bool claimed,
                  uint64_t now)
{
    struct cpu *to = balance_choose(rq, thread);
    if (to != rq->cpu) {
        if (claimed || sched_claim(thread)) {
            sched_give(rq, thread, to);
            return;
        }
        /* Somebody is about to put it into our inbox. If it must not run here, that is when it
         * goes on its way: until then it is nowhere. */
        if (!thread_allowed(thread, rq->cpu->id))
            return;
    }
    /* Release: what was done to the thread here comes before what the next claimer does. */
    if (claimed)
        __atomic_store_n(&thread->notified, false, __ATOMIC_SEQ_CST);
    sched_enqueue(rq, thread, how, now);
}

void sched_place(struct runqueue *rq, struct thread *thread, enum rq_arrival how, uint64_t now)
{
    place(rq, thread, how, false, now);
}

/* The thread waits here: put it where its parameters want it. One that stays keeps its place. */
static void requeue(struct runqueue *rq, struct thread *thread)
{
    if (thread_allowed(thread, rq->cpu->id) && !rq_stale(thread))
        return;
    rq_dequeue(rq, thread);
    sched_place(rq, thread, RQ_EXPIRED, sched_clock(rq));
    sched_publish(rq);
}

/* The running thread's parameters may have changed. */
static void renew_current(struct runqueue *rq, struct thread *thread)
{
    uint64_t now = sched_clock(rq);
    sched_charge(rq, now);
    if (rq_stale(thread)) {
        rq_refresh(rq, thread);
        /* The turn of another class has another length, or no end. */
        thread->slice_end = rq_slice_end(rq, thread, now);
        timerq_need(rq->cpu->timers, turn_end(rq));
    }
    const struct thread *first = rq_first(rq);
    if (!thread_allowed(thread, rq->cpu->id) || (first && rq_preempts(rq, first)))
        sched_want_switch(rq);
}

/* The thread waits or runs here and its parameters may have changed. */
static void look_again(struct runqueue *rq, struct thread *thread)
{
    if (thread->queued)
        requeue(rq, thread);
    else
        renew_current(rq, thread);
}

static uint32_t state_of(const struct thread *thread)
{
    return __atomic_load_n(&thread->state, __ATOMIC_SEQ_CST);
}

/* A thread from the inbox; we have its claim. */
static void inspect(struct runqueue *rq, struct thread *thread)
{
    bool on_cpu = __atomic_load_n(&thread->on_cpu, __ATOMIC_RELAXED);
    if (!on_cpu && state_of(thread) == THREAD_DEAD) {
        thread_bury(thread); /* the claim stays: nobody will ever push it again */
        return;
    }
    if (on_cpu || thread->queued) {
        /* Read-modify-write: see the parameters that those have written who found it set. */
        (void)__atomic_exchange_n(&thread->notified, false, __ATOMIC_SEQ_CST);
        look_again(rq, thread);
        return;
    }
    bool claimed = true;
    enum rq_arrival how = thread->vruntime_relative ? RQ_NEW : RQ_WAKE;
    if (thread->blocked && state_of(thread) == THREAD_SLEEPING) {
        (void)__atomic_exchange_n(&thread->notified, false, __ATOMIC_SEQ_CST);
        claimed = false;
        if (state_of(thread) == THREAD_SLEEPING)
            return; /* any later waker finds `notified` clear */
    }
    thread->blocked = false;
    place(rq, thread, how, claimed, sched_clock(rq));
}

static void take_inbox(struct runqueue *rq)
{
    struct thread *stack = inbox_first(__atomic_exchange_n(&rq->inbox, 0, __ATOMIC_SEQ_CST));
    struct thread *queue = NULL;
    while (stack) { /* oldest first */
        struct thread *next = stack->wake_next;
        stack->wake_next = queue;
        queue = stack;
        stack = next;
    }
    while (queue) {
        struct thread *thread = queue;
        queue = thread->wake_next; /* before it can be pushed elsewhere */
        inspect(rq, thread);
    }
}

static inline void drain(struct runqueue *rq)
{
    /* Sequentially consistent: after the end of polling, or of calm. Otherwise a push that we do
     * not see yet comes with an IPI. */
    if (__atomic_load_n(&rq->inbox, __ATOMIC_SEQ_CST))
        take_inbox(rq);
}

/* After whatever may have changed who waits here, or what the current thread is. */
static void renew_calm(struct runqueue *rq)
{
    if (calm_renew(rq))
        drain(rq);
}

void sched_drain(struct runqueue *rq)
{
    drain(rq);
    renew_calm(rq);
}

bool sched_wake(struct thread *thread, enum thread_state state)
{
    unsigned long irq = hal_irq_save();
    uint32_t seen = THREAD_SLEEPING;
    bool woken = __atomic_compare_exchange_n(&thread->state, &seen, state, false, __ATOMIC_SEQ_CST,
                                             __ATOMIC_SEQ_CST);
    if (woken) {
        struct runqueue *rq = this_cpu()->rq;
        uint64_t now = sched_clock(rq);
        trace_note(
            rq->cpu, now,
            (struct trace_event){.kind = TRACE_WAKE, .number = (int)state, .a = (uintptr_t)thread});
        /* If it is ours it stays ours, because only we could give it away. Acquire: as in
         * sched_notify. */
        if (__atomic_load_n(&thread->head.cpu, __ATOMIC_ACQUIRE) != rq->cpu) {
            notify_woken(thread, now);
        } else if (thread->blocked) {
            thread->blocked = false;
            place(rq, thread, RQ_WAKE, false, now);
        }
    }
    hal_irq_restore(irq);
    sched_check();
    return woken;
}

/* ---- switching ---- */

/* A preempted RR thread goes on with the rest of its turn (POSIX, SCHED_RR): with a whole one those
 * behind it would never run. */
static uint32_t turn_left(const struct thread *thread, uint64_t now)
{
    return thread->rq_policy == SCHED_RR ? (uint32_t)MIN(thread->slice_end - now, SLICE_RR_NS) : 0;
}

/* What becomes of the thread that has run until now. */
static void put_current(struct runqueue *rq, struct thread *prev, enum switch_reason reason,
                        uint64_t now)
{
    prev->turn_left_ns = 0;
    if (reason == SWITCH_EXIT) {
        __atomic_store_n(&prev->state, THREAD_DEAD, __ATOMIC_SEQ_CST);
    } else if (reason == SWITCH_SLEEP && state_of(prev) == THREAD_SLEEPING) {
        prev->blocked = true;
        __atomic_store_n(&prev->slept_at, prev->vruntime, __ATOMIC_RELAXED);
        if (prev == rq->starter)
            balance_parted(rq, prev, now);
        counter_step(&prev->switches_voluntary);
    } else if (prev != rq->idle) {
        if (!thread_allowed(prev, rq->cpu->id)) {
            prev->moving = true;
            return;
        }
        if (reason == SWITCH_YIELD)
            rq_pass(rq, prev);
        bool expired = reason == SWITCH_YIELD || now >= prev->slice_end;
        if (!expired)
            prev->turn_left_ns = turn_left(prev, now);
        rq_enqueue(rq, prev, expired ? RQ_EXPIRED : RQ_PREEMPTED);
    }
}

static void load_space(struct runqueue *rq, const struct thread *next)
{
    /* Kernel threads leave the program's space at once: it may be destroyed while they run. */
    struct hal_space *space = next->space ? &next->space->hal : hal_space_kernel();
    if (rq->active != space) {
        rq->active = space;
        hal_space_activate(space);
    }
}

void sched_finish_switch(void)
{
    struct runqueue *rq = this_cpu()->rq;
    struct thread *prev = rq->previous;
    rq->previous = NULL;
    /* Release is enough, unlike for the store of true: who still sees true sends an interrupt too
     * many, and what the fields around mean is decided by this CPU alone. */
    __atomic_store_n(&prev->on_cpu, false, __ATOMIC_RELEASE);
    if (state_of(prev) == THREAD_DEAD) {
        if (sched_claim(prev))
            thread_bury(prev);
        /* else it is in our inbox, or will be: inspect() buries it */
    } else if (prev->moving) {
        prev->moving = false;
        sched_place(rq, prev, RQ_EXPIRED, sched_clock(rq));
    }
}

static struct thread *take_next(struct runqueue *rq)
{
    struct thread *next = rq_first(rq);
    if (!next)
        return rq->idle;
    rq_dequeue(rq, next);
    return next;
}

/* Of many threads, none is in the near caches any more when its turn comes. So those at the front
 * of the queue are brought there in steps, a turn apart, each of which needs what the one
 * before has brought: the node in the tree, the thread, its kernel stack and registers, and what
 * user code begins with. Few threads need none of this. */
static void prefetch_successors(const struct runqueue *rq)
{
    if (rq->fair_queued < PREFETCH_THREADS)
        return;
    struct rb_node *second = rb_next(rb_first(&rq->fair)), *third = rb_next(second);
    const char *thread = (const char *)thread_of_node(third);
    isa_prefetch(rb_next(third), sizeof(struct rb_node));
    isa_prefetch(thread, offsetof(struct thread_head, held));
    isa_prefetch(thread + THREAD_HOT, sizeof(struct thread) - THREAD_HOT + 64);
    hal_ctx_prefetch(&thread_of_node(rb_first(&rq->fair))->ctx, true);
    hal_ctx_prefetch(&thread_of_node(second)->ctx, false);
}

void sched_switch(enum switch_reason reason)
{
    struct thread *prev = thread_current();
    struct cpu *cpu = prev->head.cpu;
    struct runqueue *rq = cpu->rq;
    ASSERT(!hal_irq_enabled() && prev == rq->current);
    ASSERT(prev->head.preempt_count == 0 && cpu->irq_depth == 0);
    if (!kstack_reserve_full(cpu->id))
        kstack_refill(cpu->id);

    if (prev == rq->idle)
        idle_stop_polling(rq);
    if (is_calm(rq) && rq->queued <= 1 && (reason == SWITCH_SLEEP || reason == SWITCH_EXIT))
        calm_end(rq); /* mostly; if it goes on, or ends nevertheless, calm_renew finds out */
    drain(rq);
    uint64_t now = sched_clock(rq);
    account_stop(rq, now);
    account_turn_ends(rq, now);
    __atomic_store_n(&prev->head.need_resched, false, __ATOMIC_RELAXED);
    put_current(rq, prev, reason, now);

    struct thread *next = take_next(rq);
    CHECK(next); /* there is no idle thread before the end of the boot */
    rq->current = next;
    account_start(next, now);
    next->slice_end = rq_slice_end(rq, next, now);
    rq->turn_began = now;
    balance_serve(rq);
    sched_publish(rq);
    __atomic_store_n(&rq->idle_since, next == rq->idle ? now : 0, __ATOMIC_RELAXED);
    timerq_need(cpu->timers, MIN(turn_end(rq), account_tick(rq, now)));
    /* Not here: `prev` may be in the inbox, and is neither here nor there yet. */
    if ((rq->queued || is_calm(rq)) && calm_renew(rq))
        timerq_need(cpu->timers, now);
    if (next == prev)
        return;
    idle_note_switch(rq, prev == rq->idle, next == rq->idle, now);
    if (reason != SWITCH_SLEEP)
        counter_step(&prev->switches_forced);
    counter_step(&rq->switches);
    trace_note(cpu, now,
               (struct trace_event){.kind = TRACE_SWITCH,
                                    .number = (int)reason,
                                    .a = (uintptr_t)prev,
                                    .b = (uintptr_t)next});
    rq->previous = prev;
    /* Sequentially consistent: see thread_interrupt. */
    __atomic_store_n(&next->on_cpu, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&next->switched, true, __ATOMIC_RELAXED); /* read on this CPU */
    load_space(rq, next);
    prefetch_successors(rq);
    hal_thread_set(next);
    hal_ctx_switch(&prev->ctx, &next->ctx, reason == SWITCH_EXIT);
    sched_finish_switch(); /* another CPU, maybe */
}

/* ---- scheduling points ---- */

static bool wanted(const struct thread_head *self)
{
    return __atomic_load_n(&self->need_resched, __ATOMIC_RELAXED) && self->preempt_count == 0;
}

static void switch_if_wanted(void)
{
    while (wanted(thread_head()) && !in_irq())
        sched_switch(SWITCH_PREEMPT);
}

/* Kernel code is at some point of its own where it could be preempted. A cooperative kernel
 * preempts there only the idle thread; programs lose the CPU on the way to user code
 * (sched_poll). */
static bool may_preempt(void)
{
    return SELKIE_PREEMPT || thread_current() == this_cpu()->rq->idle;
}

void kernel_preempt(void)
{
    if (may_preempt())
        switch_if_wanted();
}

void preempt_resched(void)
{
    if (!hal_irq_enabled() || !may_preempt())
        return; /* the end of the interrupt, or sched_poll, comes back to it */
    unsigned long irq = hal_irq_save();
    switch_if_wanted();
    hal_irq_restore(irq);
}

void sched_poll(void)
{
    unsigned long irq = hal_irq_save();
    switch_if_wanted();
    hal_irq_restore(irq);
}

void sched_yield(void)
{
    lock_assert_sleepable();
    unsigned long irq = hal_irq_save();
    sched_switch(SWITCH_YIELD);
    hal_irq_restore(irq);
}

/* ---- interrupts ---- */

static void serve_ipi(struct runqueue *rq)
{
    sched_barrier_pass(rq);
    drain(rq);
    balance_serve(rq);
    renew_calm(rq);
    kmalloc_serve();
}

/* The timer brings a late IPI; meanwhile others come together with it. */
static bool ipi_is_late(struct runqueue *rq)
{
    if (rq->late_ipi)
        return true;
    uint64_t delay = chaos_delay(CHAOS_IPI);
    if (delay == 0)
        return false;
    rq->late_ipi = hal_clock_ns() + delay;
    timerq_need(rq->cpu->timers, rq->late_ipi);
    return true;
}

static uint64_t late_ipi_time(const struct runqueue *rq)
{
    return rq->late_ipi ? rq->late_ipi : UINT64_MAX;
}

void kernel_timer(void)
{
    struct cpu *cpu = this_cpu();
    struct runqueue *rq = cpu->rq;
    uint64_t delay = chaos_delay(CHAOS_TIMER);
    if (delay) {
        timerq_postpone(cpu->timers, hal_clock_ns() + delay);
        return;
    }
    irq_enter();
    uint64_t late_ns = timerq_run(cpu->timers);
    drain(rq);
    uint64_t now = sched_clock_reach(rq, hal_clock_ns());
    if (late_ipi_time(rq) <= now) {
        rq->late_ipi = 0;
        serve_ipi(rq);
    }
    sched_charge(rq, now);
    account_refund(rq, now);
    account_sample(rq, late_ns);
    watchdog_tick(rq, now);
    uint64_t kept = balance_late(rq, now);
    if (rq->queued && rq->current != rq->idle) {
        if (now >= rq->current->slice_end)
            sched_want_switch(rq);
        balance_tick(rq, now);
    }
    balance_serve(rq);
    renew_calm(rq);
    /* A turn that has ended is dealt with when the interrupt returns, which programs the next. */
    uint64_t end = turn_end(rq);
    end = MIN(end > now ? end : UINT64_MAX, account_tick(rq, now));
    end = MIN(end, kept);
    timerq_program(cpu->timers, MIN(end, late_ipi_time(rq)));
    irq_exit();
}

void kernel_ipi(void)
{
    struct runqueue *rq = this_cpu()->rq;
    irq_enter();
    if (!ipi_is_late(rq))
        serve_ipi(rq);
    irq_exit();
}
