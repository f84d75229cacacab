/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched */
/* include: unit/sched/include */
/* class_test.c - changing a thread's class, affinity and state from outside: turns, order, what is
 * read back; and the barrier over all CPUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crew.h"
#include "lib/errno.h"

#define SEEDS 40

/* ---- turns ---- */

static unsigned other_ran;
static bool stop;

static void other(void *arg)
{
    (void)arg;
    other_ran++;
    finish();
}
static void back_to_fair(void *arg)
{
    (void)arg;
    sched_set_policy(thread_current(), SCHED_FIFO, 10);
    sim_work(NS_PER_MS);
    spawn(other, 0, 1); /* waits: we are real time */
    sched_set_policy(thread_current(), SCHED_OTHER, 0);
    sim_work(50 * NS_PER_MS);
    SIM_CHECK(other_ran == 1); /* and now our turn has an end */
    finish();
}
static void turn_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    spawn(back_to_fair, 0, 1);
    await_all();
}
static void leaving_real_time_ends_the_endless_turn(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, turn_main);
}

/* The scheduler's readings of the clock may be early (sim.c): that of the switch at the end of a
 * turn before that of the interrupt which ended it. */
static uint64_t taken_turns_at;
static void short_turn(void *arg)
{
    (void)arg;
    taken_turns_at = sim_now();
    finish();
}
static void long_turns(void *arg)
{
    (void)arg;
    sched_set_policy(thread_current(), SCHED_RR, 10);
    uint64_t began = sim_now();
    running++;
    struct thread *thread = thread_spawn("second", short_turn, NULL);
    SIM_CHECK(thread);
    sched_set_policy(thread, SCHED_RR, 10);
    sim_work(1000 * NS_PER_MS);
    SIM_CHECK(taken_turns_at > began && taken_turns_at < began + 150 * NS_PER_MS);
    finish();
}
static void turns_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    spawn(long_turns, 0, 1);
    await_all();
}
static void a_turn_that_has_ended_has_ended(void **state)
{
    uint64_t early = sim_clock_early_ns;
    (void)state;
    sim_clock_early_ns = 200 * NS_PER_US; /* more than a step of sim_work */
    sim_test_seeds(1, SEEDS, turns_main);
    sim_clock_early_ns = early;
}

/* Somebody more urgent takes the CPU more often than a turn of theirs lasts. */
static unsigned turns_of[2];
static void takes_turns(void *arg)
{
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        sim_work(NS_PER_MS);
        turns_of[(uintptr_t)arg]++;
    }
    finish();
}
static void interferes(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        SIM_CHECK(sleep_until(sim_now() + 30 * NS_PER_MS, false) == 0);
        sim_work(NS_PER_MS);
    }
    finish();
}
static void preempted_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    sched_set_policy(thread_current(), SCHED_FIFO, 50);
    for (uintptr_t i = 0; i < 3; i++) {
        running++;
        struct thread *thread = thread_spawn("rr", i < 2 ? takes_turns : interferes, (void *)i);
        SIM_CHECK(thread);
        sched_set_policy(thread, SCHED_RR, i < 2 ? 10 : 20);
    }
    SIM_CHECK(sleep_until(sim_now() + 4 * NS_PER_SEC, false) == 0);
    stop = true;
    await_all();
    SIM_CHECK(turns_of[0] < turns_of[1] * 110 / 100 && turns_of[1] < turns_of[0] * 110 / 100);
}
static void a_preempted_turn_goes_on(void **state)
{
    (void)state;
    stop = false;
    sim_test_seeds(1, 5, preempted_main);
}

static unsigned order[2], order_count;
static void in_order(void *arg)
{
    order[order_count++] = (unsigned)(uintptr_t)arg;
    finish();
}
static void keep_place_main(void *arg)
{
    struct thread *thread[2];
    (void)arg;
    waitq_init(&done_queue);
    sched_set_policy(thread_current(), SCHED_FIFO, 50);
    for (uintptr_t i = 0; i < 2; i++) {
        running++;
        thread[i] = thread_spawn("fifo", in_order, (void *)i);
        SIM_CHECK(thread[i]);
        sched_set_policy(thread[i], SCHED_FIFO, 20);
    }
    /* Told about a parameter that leaves its class as it is: stays first in line. */
    sched_set_nice(thread[0], 3);
    await_all();
    SIM_CHECK(order[0] == 0 && order[1] == 1);
}
static void a_notice_without_a_change_costs_no_place(void **state)
{
    (void)state;
    sim_test(1, 1, keep_place_main, NULL);
}

/* ---- uninterruptible sleep ---- */

#define ROUNDS 200
static struct thread *victim;

static void sleeps_both_ways(void *arg)
{
    (void)arg;
    thread_get(thread_current());
    __atomic_store_n(&victim, thread_current(), __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < ROUNDS; i++) {
        int err = sleep_until(sim_now() + sim_random(3000), true);
        SIM_CHECK(err == 0 || err == -ERESTARTSYS);
        thread_clear_interrupt();
        SIM_CHECK(sleep_until(sim_now() + sim_random(3000), false) == 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    finish();
}
static void interrupt_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    spawn(sleeps_both_ways, 0, 1);
    while (!__atomic_load_n(&victim, __ATOMIC_SEQ_CST))
        sched_yield();
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        thread_interrupt(victim);
        sim_work(sim_random(2000));
    }
    await_all();
}
static void uninterruptible_sleep_is_not_interrupted(void **state)
{
    (void)state;
    sim_test_seeds(2, SEEDS, interrupt_main);
}
/* The window is between two instructions of thread_interrupt: what follows it is made here. */
static void late_main(void *arg)
{
    (void)arg;
    struct thread *self = thread_current();
    thread_prepare_sleep(false);
    uint32_t seen = THREAD_SLEEPING;
    SIM_CHECK(__atomic_compare_exchange_n(&self->state, &seen, THREAD_CUT_SHORT, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    SIM_CHECK(thread_sleep(UINT64_MAX) == 0);
    thread_finish_sleep();
}
static void a_late_interruption_is_a_spurious_wake(void **state)
{
    (void)state;
    sim_test(1, 1, late_main, NULL);
}

/* ---- affinity ---- */

static void mask_main(void *arg)
{
    (void)arg;
    uint64_t all = UINT64_MAX, got = 0, two = 6;
    for (unsigned i = 0; i < 2; i++) { /* the first and the later changes */
        SIM_CHECK(sched_set_affinity(thread_current(), &all) == 0);
        sched_get_affinity(thread_current(), &got);
        SIM_CHECK(got == 7);
    }
    SIM_CHECK(sched_set_affinity(thread_current(), &two) == 0);
    sched_get_affinity(thread_current(), &got);
    SIM_CHECK(got == two && hal_cpu_id() != 0);
}
static void affinity_names_only_cpus_that_exist(void **state)
{
    (void)state;
    sim_test_seeds(3, 5, mask_main);
}

/* ---- inheritance ---- */

static void child_of_realtime(void *arg)
{
    (void)arg;
    finish();
}
static void check_child(bool reset, unsigned policy, int nice)
{
    struct thread *child = calloc(1, sizeof *child);
    const struct thread_attr attr = {.name = "child", .user = true};
    sched_set_policy(thread_current(), SCHED_RR, 7);
    sched_set_nice(thread_current(), -5);
    thread_current()->reset_on_fork = reset;
    SIM_CHECK(thread_init(child, &attr, child_of_realtime, NULL) == 0);
    SIM_CHECK(child->policy == policy && child->nice == nice && !child->reset_on_fork);
    SIM_CHECK(child->rt_priority == (reset ? 0 : 7));
    thread_fini(child);
    free(child);
}
static void inherit_main(void *arg)
{
    static uint8_t registers[64];
    (void)arg;
    thread_current()->fp = registers; /* as a program's thread: those bequeath */
    check_child(false, SCHED_RR, -5);
    check_child(true, SCHED_OTHER, 0);
    thread_current()->fp = NULL;
}
static void reset_on_fork_is_obeyed(void **state)
{
    (void)state;
    sim_test(1, 1, inherit_main, NULL);
}

/* ---- stolen time ---- */

static uint64_t work_done[2];
static void works(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        sim_work(500000);
        work_done[me]++;
        if (me == 0)
            sim_steal(1000000); /* always this one */
    }
    finish();
}
static void stolen_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    sched_set_policy(thread_current(), SCHED_FIFO, 50);
    stop = false;
    work_done[0] = work_done[1] = 0;
    spawn(works, 0, 2);
    SIM_CHECK(sleep_until(sim_now() + 2 * NS_PER_SEC, false) == 0);
    stop = true;
    await_all();
    /* Charged for it, it would have done a third of the other's work. */
    SIM_CHECK(work_done[0] > work_done[1] * 90 / 100 && work_done[0] < work_done[1] * 110 / 100);
}
static void stolen_time_is_given_back(void **state)
{
    (void)state;
    sim_test_seeds(1, 3, stolen_main);
}

/* The same where it sleeps right behind it, and the other one runs when it is looked at next: the
 * two share their CPU as if nothing had been stolen. */
static uint64_t steal_ns;
static void works_and_sleeps(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        sim_work(500000);
        work_done[me]++;
        if (me == 0) {
            sim_steal(steal_ns);
            SIM_CHECK(sleep_until(sim_now() + 20000, false) == 0);
        }
    }
    finish();
}
static uint64_t share_of_first(uint64_t stolen)
{
    steal_ns = stolen;
    stop = false;
    work_done[0] = work_done[1] = 0;
    spawn(works_and_sleeps, 0, 2);
    SIM_CHECK(sleep_until(sim_now() + 2 * NS_PER_SEC, false) == 0);
    stop = true;
    await_all();
    return work_done[0] * 1000 / (work_done[0] + work_done[1]);
}
static void stolen_sleeper_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    sched_set_policy(thread_current(), SCHED_FIFO, 50);
    uint64_t without = share_of_first(0), with = share_of_first(1000000);
    SIM_CHECK(with > without * 90 / 100 && with < without * 110 / 100);
}
static void stolen_time_is_given_back_to_its_owner(void **state)
{
    (void)state;
    sim_test_seeds(1, 3, stolen_sleeper_main);
}

/* A thread alone is charged for the time, and others start where it is then: what it gets back must
 * not let it go first for as long. They come before, or behind the timer interrupt that sees it. */
static void came_late(void *arg)
{
    (void)arg;
    other_ran++;
    finish();
}
static void lone_main(void *arg)
{
    static uint8_t registers[64];
    (void)arg;
    waitq_init(&done_queue);
    thread_current()->fp = registers; /* as a program's thread: those have interrupts */
    SIM_CHECK(sleep_until(sim_now() + NS_PER_MS, false) == 0);
    for (unsigned i = 0; i < 4; i++) {
        sim_work(50 * NS_PER_MS);
        other_ran = 0;
        sim_steal(100 * NS_PER_SEC);
        if (i & 1)
            sim_work(50 * NS_PER_MS);
        spawn(came_late, 0, 1);
        sim_work(50 * NS_PER_MS);
        SIM_CHECK(other_ran == 1);
    }
    await_all();
    thread_current()->fp = NULL;
}
static void stolen_time_is_no_lead(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, lone_main);
}

/* ---- barrier ---- */

static uint64_t visits[4];
static void keeps_busy(void *arg)
{
    uint64_t mask = 1ull << (uintptr_t)arg;
    SIM_CHECK(sched_set_affinity(thread_current(), &mask) == 0);
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        visits[(uintptr_t)arg]++;
        sim_work(5000);
    }
    finish();
}
static void calls_barrier(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 20; i++) {
        unsigned before = sim_ipi_count;
        sched_barrier();
        SIM_CHECK(sim_ipi_count >= before + 4);
    }
    finish();
}
static void barrier_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    spawn(keeps_busy, 0, 4);
    running += 2;
    SIM_CHECK(thread_spawn("barrier", calls_barrier, NULL));
    SIM_CHECK(thread_spawn("barrier", calls_barrier, NULL)); /* two wait for each other's CPUs */
    while (__atomic_load_n(&running, __ATOMIC_SEQ_CST) > 4 || !visits[0] || !visits[1] ||
           !visits[2] || !visits[3])
        SIM_CHECK(sleep_until(sim_now() + 10000, false) == 0);
    stop = true;
    await_all();
}
static void barrier_reaches_every_cpu(void **state)
{
    (void)state;
    sim_test_seeds(4, SEEDS, barrier_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaving_real_time_ends_the_endless_turn),
        cmocka_unit_test(a_turn_that_has_ended_has_ended),
        cmocka_unit_test(a_preempted_turn_goes_on),
        cmocka_unit_test(a_notice_without_a_change_costs_no_place),
        cmocka_unit_test(uninterruptible_sleep_is_not_interrupted),
        cmocka_unit_test(a_late_interruption_is_a_spurious_wake),
        cmocka_unit_test(affinity_names_only_cpus_that_exist),
        cmocka_unit_test(reset_on_fork_is_obeyed),
        cmocka_unit_test(stolen_time_is_given_back),
        cmocka_unit_test(stolen_time_is_given_back_to_its_owner),
        cmocka_unit_test(stolen_time_is_no_lead),
        cmocka_unit_test(barrier_reaches_every_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
