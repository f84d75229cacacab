/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sleep.c - how a thread goes to sleep and what may end that: a wake, a deadline, an interruption.
 *
 * Who ends the sleep is whoever changes the state from SLEEPING, once; the new state says how.
 * A thread woken for good is therefore never told that it timed out, which would lose the wake.
 *
 * Interruption. thread_interrupt stores `interrupted`, then swaps the state; the sleeper stores the
 * state, then reads `interrupted` (all sequentially consistent): one of them sees the other.
 * Likewise for user code: the interrupter stores `interrupted`, then reads on_cpu; a thread stores
 * on_cpu when it gets the CPU and reads `interrupted` on the way to user code. If the interrupter
 * does not see it on a CPU, the thread will see the flag.
 *
 * The interrupter's look at `interruptible` and its swap are two steps: the sleep that it ends may
 * be a later, uninterruptible one. That sleep then ends as if woken for nothing, which every
 * sleeper expects.
 */
#include "lib/errno.h"
#include "sched/internal.h"
#include "sched/wait.h"

void thread_prepare_sleep(bool interruptible)
{
    struct thread *self = thread_current();
    __atomic_store_n(&self->interruptible, interruptible, __ATOMIC_RELAXED);
    __atomic_store_n(&self->state, THREAD_SLEEPING, __ATOMIC_SEQ_CST);
}

void thread_finish_sleep(void)
{
    struct thread *self = thread_current();
    /* A wake has made it READY, and nobody changes it from that: the store, a full barrier, is only
     * needed by who did not sleep or was told otherwise. The load makes what the waker did visible,
     * as the store would. */
    if (__atomic_load_n(&self->state, __ATOMIC_SEQ_CST) != THREAD_READY)
        __atomic_store_n(&self->state, THREAD_READY, __ATOMIC_SEQ_CST);
}

/* End the caller's own sleep before it begins, unless somebody was faster. */
static void end_own(struct thread *self, enum thread_state state)
{
    uint32_t seen = THREAD_SLEEPING;
    (void)__atomic_compare_exchange_n(&self->state, &seen, state, false, __ATOMIC_SEQ_CST,
                                      __ATOMIC_SEQ_CST);
}

int thread_sleep(uint64_t deadline_ns)
{
    struct thread *self = thread_current();
    bool timed = deadline_ns != UINT64_MAX;
    lock_assert_sleepable();
    ASSERT(self->head.preempt_count == 0 && hal_irq_enabled());
    if (timed)
        timer_arm(&self->sleep_timer, deadline_ns);
    unsigned long irq = hal_irq_save();
    ASSERT(self != self->head.cpu->idle);
    if (__atomic_load_n(&self->interruptible, __ATOMIC_RELAXED) &&
        __atomic_load_n(&self->interrupted, __ATOMIC_SEQ_CST))
        end_own(self, THREAD_CUT_SHORT);
    else if (timed && hal_clock_ns() >= deadline_ns)
        end_own(self, THREAD_TIMED_OUT);
    else
        sched_switch(SWITCH_SLEEP);
    hal_irq_restore(irq);
    /* A callback that still runs on another CPU must not end the next sleep, nor meet a thread that
     * is gone. It takes a few instructions more. */
    if (timed && !timer_cancel(&self->sleep_timer))
        timer_cancel_sync(&self->sleep_timer);
    switch (__atomic_load_n(&self->state, __ATOMIC_SEQ_CST)) {
    case THREAD_TIMED_OUT:
        return -ETIMEDOUT;
    case THREAD_CUT_SHORT:
        return __atomic_load_n(&self->interruptible, __ATOMIC_RELAXED) ? -EINTR : 0;
    default:
        return 0;
    }
}

bool thread_wake(struct thread *thread)
{
    return sched_wake(thread, THREAD_READY);
}

void thread_interrupt(struct thread *thread)
{
    __atomic_store_n(&thread->interrupted, true, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&thread->interruptible, __ATOMIC_SEQ_CST) &&
        sched_wake(thread, THREAD_CUT_SHORT))
        return;
    if (!thread->fp || thread == thread_current())
        return; /* no user code, or it will pass there by itself */
    if (__atomic_load_n(&thread->on_cpu, __ATOMIC_SEQ_CST))
        hal_ipi_send(__atomic_load_n(&thread->head.cpu, __ATOMIC_ACQUIRE)->id);
}

void thread_clear_interrupt(void)
{
    __atomic_store_n(&thread_current()->interrupted, false, __ATOMIC_SEQ_CST);
}

bool thread_interrupted(void)
{
    return __atomic_load_n(&thread_current()->interrupted, __ATOMIC_SEQ_CST);
}

int sleep_until(uint64_t deadline_ns, bool interruptible)
{
    int err = 0;
    while (err == 0) { /* nobody wakes us but by accident */
        thread_prepare_sleep(interruptible);
        err = thread_sleep(deadline_ns);
        thread_finish_sleep();
    }
    return err == -ETIMEDOUT ? 0 : -ERESTARTSYS;
}
