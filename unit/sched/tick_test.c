/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched */
/* include: unit/sched/include */
/* tick_test.c - the machine's timer is programmed only when it can matter: how often, in virtual
 * time, for threads that sleep, compute, and wait; and the reaper's timer, which is not put off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crew.h"
#include "sched/runqueue.h"

#define SEEDS 5
#define LONG_NS (10 * NS_PER_SEC)
#define TICKS (LONG_NS / (32 * NS_PER_MS)) /* of a program that is sampled (account.c) */
#define TURNS (LONG_NS / SLICE_MAX_NS)     /* of two threads */
#define SETTLE_NS (100 * NS_PER_MS)        /* the reaper has done what there was after the start */
#define FEW 10
#define CHURN 4000
#define SLEEPS 1000

static unsigned programmed, interrupts;
static uint64_t switches;
static bool stop;

static uint64_t all_switches(void)
{
    uint64_t sum = 0;
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        struct sched_cpu_stats stats;
        sched_get_stats(id, &stats);
        sum += stats.switches;
    }
    return sum;
}

static void begin(void)
{
    SIM_CHECK(sleep_until(sim_now() + SETTLE_NS, false) == 0);
    programmed = sim_timer_programmed;
    interrupts = sim_timer_count;
    switches = all_switches();
}

static void end(void)
{
    programmed = sim_timer_programmed - programmed;
    interrupts = sim_timer_count - interrupts;
    switches = all_switches() - switches;
}

/* The only timer is that of the sleep itself. */
static void idle_main(void *arg)
{
    (void)arg;
    begin();
    SIM_CHECK(sleep_until(sim_now() + LONG_NS, false) == 0);
    end();
    SIM_CHECK(programmed == 1 && interrupts == 1);
}
static void idle_cpus_have_no_timer(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, idle_main);
    sim_test_seeds(4, SEEDS, idle_main);
}

static void alone_main(void *arg)
{
    (void)arg;
    begin();
    sim_work(LONG_NS);
    end();
    SIM_CHECK(programmed == 0 && interrupts == 0);
}
static void a_thread_alone_has_no_timer(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, alone_main);
    sim_test_seeds(4, SEEDS, alone_main);
}

/* It has no turn that ends, only the samples of its user time. */
static void program_main(void *arg)
{
    static uint8_t registers[64];
    (void)arg;
    thread_current()->fp = registers; /* as a program's thread */
    begin();
    sched_account_return();
    sim_work(LONG_NS);
    sched_account_entry();
    end();
    SIM_CHECK(interrupts >= TICKS - FEW && interrupts <= TICKS + FEW);
    SIM_CHECK(programmed <= interrupts + 1);
    thread_current()->fp = NULL;
}
static void a_program_alone_is_sampled_seldom(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, program_main);
    sim_test_seeds(4, SEEDS, program_main);
}

static void computes(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
        sim_work(200000);
    finish();
}
static void computes_long(void *arg)
{
    (void)arg;
    sim_work(LONG_NS / 2); /* of its own time: the other one has as much meanwhile */
    finish();
}
static void two_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    begin();
    spawn(computes_long, 0, 2);
    await_all();
    end();
    SIM_CHECK(switches >= TURNS * 95 / 100 && switches <= TURNS + FEW); /* interrupts are late */
    SIM_CHECK(interrupts >= switches - FEW && interrupts <= TURNS + FEW);
    SIM_CHECK(programmed <= TURNS + FEW);
}
static void two_threads_have_one_interrupt_a_turn(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, two_main);
}

/* A timer besides: its time is programmed when an interrupt finds the turn at its end, then that of
 * the next turn. */
static void two_and_timer_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    begin();
    spawn(computes_long, 0, 2);
    SIM_CHECK(sleep_until(sim_now() + 2 * LONG_NS, false) == 0);
    end();
    await_all();
    SIM_CHECK(interrupts >= switches - FEW && interrupts <= TURNS + FEW);
    SIM_CHECK(programmed <= 2 * TURNS + FEW);
}
static void a_timer_besides_costs_one_more(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, two_and_timer_main);
}

/* Who waits behind a FIFO thread waits for its end, not for that of a turn. */
static void fifo_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    sched_set_policy(thread_current(), SCHED_FIFO, 50);
    begin();
    spawn(computes, 0, 1);
    sim_work(LONG_NS);
    end();
    SIM_CHECK(programmed == 0 && interrupts == 0);
    stop = true;
    await_all();
}
static void a_fifo_thread_has_no_turn(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, fifo_main);
}

/* The CPU is calm (calm.c) until somebody else takes it: with nobody in its inbox that is no reason
 * for an interrupt. */
static void urgent_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    sched_set_policy(thread_current(), SCHED_FIFO, 50);
    spawn(computes, 0, 2);
    begin();
    for (unsigned i = 0; i < SLEEPS; i++)
        SIM_CHECK(sleep_until(sim_now() + NS_PER_MS, false) == 0);
    end();
    SIM_CHECK(switches >= 2 * SLEEPS && interrupts <= SLEEPS + FEW);
    stop = true;
    await_all();
}
static void an_urgent_thread_has_one_interrupt_a_sleep(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, urgent_main);
}

/* Timeouts that are hardly ever reached: the machine's timer stands at the first one. */
static void timeout_main(void *arg)
{
    struct waiter w;
    (void)arg;
    waitq_init(&done_queue);
    begin();
    uint64_t start = sim_now();
    for (unsigned i = 0; i < 1000; i++) {
        waitq_prepare(&done_queue, &w, false);
        waitq_wake_all(&done_queue, 0);
        SIM_CHECK(waitq_sleep(&w, sim_now() + NS_PER_SEC) == 0);
        waitq_finish(&w);
        timer_arm(&thread_current()->sleep_timer, sim_now() + NS_PER_SEC);
        SIM_CHECK(timer_cancel(&thread_current()->sleep_timer));
        sim_work(20000);
    }
    end();
    SIM_CHECK(programmed <= 1 + (sim_now() - start) / NS_PER_SEC);
}
static void timeouts_that_are_not_reached_cost_no_programming(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, timeout_main);
}

/* Nothing is programmed while it is alone; a newcomer gives its turn an end. */
static uint64_t newcomer_ran_at;
static void newcomer(void *arg)
{
    (void)arg;
    newcomer_ran_at = sim_now();
    finish();
}
static void newcomer_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    begin();
    sim_work(NS_PER_SEC);
    end();
    SIM_CHECK(programmed == 0);
    uint64_t came = sim_now();
    spawn(newcomer, 0, 1);
    sim_work(50 * NS_PER_MS);
    SIM_CHECK(newcomer_ran_at && newcomer_ran_at - came < SLICE_MAX_NS);
    await_all();
}
static void a_newcomer_ends_the_turn(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, newcomer_main);
}

/* ---- the reaper ---- */

/* Each thread_init empties the list of the dead, and each end begins it anew. */
static void ends(void *arg)
{
    (void)arg;
    sim_work(50000);
    finish();
}
static void churn(unsigned bound)
{
    waitq_init(&done_queue);
    for (unsigned i = 0; i < CHURN; i++) {
        spawn(ends, 0, 1);
        await_all();
        SIM_CHECK(thread_count() < bound);
    }
}
static void churn_alone_main(void *arg)
{
    (void)arg;
    churn(100); /* what ends in 2 ms, and then some */
}
/* Here the reaper's CPU stands still while others go on. */
static void churn_main(void *arg)
{
    (void)arg;
    churn(CHURN / 2);
}
static void the_reaper_is_not_put_off(void **state)
{
    (void)state;
    sim_test_seeds(1, 2, churn_alone_main);
    sim_test_seeds(4, 2, churn_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_cpus_have_no_timer),
        cmocka_unit_test(a_thread_alone_has_no_timer),
        cmocka_unit_test(a_program_alone_is_sampled_seldom),
        cmocka_unit_test(two_threads_have_one_interrupt_a_turn),
        cmocka_unit_test(a_timer_besides_costs_one_more),
        cmocka_unit_test(a_fifo_thread_has_no_turn),
        cmocka_unit_test(an_urgent_thread_has_one_interrupt_a_sleep),
        cmocka_unit_test(timeouts_that_are_not_reached_cost_no_programming),
        cmocka_unit_test(a_newcomer_ends_the_turn),
        cmocka_unit_test(the_reaper_is_not_put_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
