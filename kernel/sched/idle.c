/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * idle.c - a CPU without work: it polls for a while, then halts.
 *
 * Waking a halted CPU costs both sides much more than switching threads: an interrupt, and on
 * hosted and in a virtual machine the host's scheduler. Threads that wait for each other's answers
 * are back within microseconds. So an idle CPU first watches its inbox, saying so in `polling`:
 * pushers then send no interrupt. Interrupts are let in at every turn of the loop, and devices that
 * can be looked at so are told of it (hal_cpu_polling).
 *
 * The budget adapts, per CPU, between 0 and POLL_MAX_NS: it doubles (from POLL_MIN_NS) each time
 * work came after the CPU had halted, but within WORTH_NS of its becoming idle, so that a longer
 * look could have met it or its like; it is halved each time the CPU was idle for longer. A CPU
 * that waits for timers or input thus stops polling after a few rounds; one that is in a
 * conversation never halts. It rests, not looking for the next times it is idle, where that does
 * not pay: when most of the longest looks were in vain (the other side waits for this very host
 * CPU, or answers a little later each time), and when the host has taken the CPU away during a look
 * (it has others to run, and gives it to who has slept rather than to who has looked). A rest is
 * twice as long as the one before, unless more looks than it had have met something since.
 *
 * No push is lost: see rule 4 in sched.c. The pusher pushes, then reads `polling`; this CPU clears
 * `polling`, then reads the inbox. Sequentially consistent, all four: if the pusher has seen the
 * flag set, we see the push.
 */
#include "core/assert.h"
#include "core/percpu.h"
#include "hal_up.h"
#include "sched/internal.h"

#define POLL_MIN_NS (4 * NS_PER_US)
#define POLL_MAX_NS (64 * NS_PER_US)
#define WORTH_NS (256 * NS_PER_US)
#define MISSES_MAX 8 /* of the longest looks; a success halves what there were */
#define REST_MIN 64u
#define REST_MAX 4096u
#define TAKEN_NS (50 * NS_PER_US) /* between two looks */

void idle_stop_polling(struct runqueue *rq)
{
    if (__atomic_load_n(&rq->polling, __ATOMIC_RELAXED)) { /* we alone write it */
        (void)__atomic_exchange_n(&rq->polling, false, __ATOMIC_SEQ_CST);
        (void)hal_cpu_polling(false);
    }
}

static void rest(struct runqueue *rq)
{
    unsigned last = rq->poll_rest_last;
    rq->poll_rest_last = rq->poll_hits > last ? REST_MIN : MIN(MAX(2 * last, REST_MIN), REST_MAX);
    rq->poll_rest = rq->poll_rest_last;
    rq->poll_misses = rq->poll_hits = 0;
    rq->poll_ns = 0;
}

/* The longest look was in vain. */
static void miss(struct runqueue *rq)
{
    if (++rq->poll_misses == MISSES_MAX)
        rest(rq);
}

static void learn(struct runqueue *rq, uint64_t idle_ns)
{
    if (rq->poll_rest > 0) {
        rq->poll_rest--;
    } else if (idle_ns <= rq->poll_ns) { /* met while polling */
        rq->poll_misses /= 2;
        rq->poll_hits++;
    } else if (idle_ns > WORTH_NS) {
        rq->poll_ns = rq->poll_ns > POLL_MIN_NS ? rq->poll_ns / 2 : 0;
    } else if (rq->poll_ns == POLL_MAX_NS) {
        miss(rq);
    } else {
        rq->poll_ns = MIN(MAX(rq->poll_ns * 2, POLL_MIN_NS), POLL_MAX_NS);
    }
}

void idle_note_switch(struct runqueue *rq, bool leaves_idle, bool enters_idle, uint64_t now)
{
    if (leaves_idle)
        learn(rq, now - rq->idle_began);
    if (enters_idle)
        rq->idle_began = now;
}

static bool has_work(const struct runqueue *rq)
{
    return rq->queued || __atomic_load_n(&rq->inbox, __ATOMIC_SEQ_CST);
}

/* True if there is somebody who may bring work while we look. */
static bool start_polling(struct runqueue *rq)
{
    (void)__atomic_exchange_n(&rq->polling, true, __ATOMIC_SEQ_CST);
    return hal_cpu_polling(true) || cpu_online_count() > 1;
}

/* True if there is work. */
static bool poll(struct runqueue *rq)
{
    uint64_t began = rq->idle_began, now = began, last;
    bool found = false, use = rq->poll_ns != 0;
    while (use) {
        /* An interrupt that led to a switch has ended it: then another thread has run. */
        if (!__atomic_load_n(&rq->polling, __ATOMIC_RELAXED) && !start_polling(rq))
            break;
        hal_irq_restore(HAL_IRQ_ON);
        hal_cpu_relax();
        (void)hal_irq_save();
        found = has_work(rq);
        last = now;
        now = hal_clock_ns();
        if (rq->idle_began == began && now - last > TAKEN_NS)
            rest(rq);
        use = !found && rq->idle_began == began && now - began < rq->poll_ns;
    }
    idle_stop_polling(rq);
    return found || has_work(rq) || rq->idle_began != began;
}

/* Rule 4 in sched.c, from outside: who sleeps has nothing to run, and nobody has been woken and
 * then forgotten. A timer that is still set would hide a lost push after a while. */
void kernel_all_idle(void)
{
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        const struct cpu *cpu = cpu_get(id);
        if (cpu && cpu->rq && has_work(cpu->rq))
            panic("every CPU sleeps, but CPU %u has a thread to run", id);
    }
    list_for_each (link, thread_list_peek()) {
        const struct thread *thread = list_entry(link, struct thread, all_link);
        if (thread->blocked && __atomic_load_n(&thread->state, __ATOMIC_RELAXED) != THREAD_SLEEPING)
            panic("every CPU sleeps, but the thread %s was woken", thread->name);
    }
}

void sched_idle_loop(void)
{
    (void)hal_irq_save();
    struct runqueue *rq = this_cpu()->rq; /* the idle thread stays */
    for (;;) {
        /* Runs everything there is; back when this thread is the only one. */
        sched_switch(SWITCH_YIELD);
        if (rq->queued || poll(rq))
            continue;
        balance_request(rq);
        /* A push into the inbox since comes with an IPI, which ends this at once. */
        hal_cpu_idle();
    }
}
