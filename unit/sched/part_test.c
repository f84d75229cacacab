/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched */
/* include: unit/sched/include */
/* part_test.c - where a thread waits whose creator sleeps soon after, or goes on; and whom a thread
 * wakes that is about to end (balance.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crew.h"

#define CPUS 4
#define SEEDS 20
#define ROUNDS 100
#define LEARNT 10
#define AT_ONCE (NS_PER_MS / 2) /* other CPUs' steps included; it is kept for twice as long */

static unsigned ran_on[2];
static uint64_t began[2], child_sleeps_ns;
static bool stop;

/* Notes where and when it runs, works for a while, and ends as a task does. */
static void child(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    ran_on[me] = hal_cpu_id();
    began[me] = sim_now();
    sim_work(50000);
    if (child_sleeps_ns)
        SIM_CHECK(sleep_until(sim_now() + child_sleeps_ns, false) == 0);
    thread_current()->departing = true;
    finish();
}

/* In short steps: between two of them the other CPUs may do something. */
static void go_on(uint64_t ns)
{
    for (uint64_t done = 0; done < ns; done += 5000)
        sim_work(5000);
}

static void join_often(unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        spawn(child, 0, 1);
        await_all();
    }
}

/* The creator falls behind the others' virtual time: it must not take the CPU from a child that is
 * about to end, or the next one would find it there. */
static unsigned joined_here(void)
{
    unsigned stayed = 0;
    join_often(LEARNT);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned cpu = hal_cpu_id();
        join_often(1);
        stayed += ran_on[0] == cpu && hal_cpu_id() == cpu;
    }
    return stayed;
}

static void joined_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    unsigned ipis = sim_ipi_count;
    SIM_CHECK(joined_here() >= ROUNDS * 9 / 10);
    SIM_CHECK(sim_ipi_count - ipis <= ROUNDS / 5); /* the reaper's */
}
static void a_thread_that_is_joined_stays(void **state)
{
    (void)state;
    sim_test_seeds(CPUS, SEEDS, joined_main);
}

/* A CPU that runs out of work, over and over, and asks the busiest one for some. */
static void restless(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
        SIM_CHECK(sleep_until(sim_now() + 5000, false) == 0);
    finish();
}
static void asked_main(void *arg)
{
    (void)arg;
    uint64_t here = 1, others = 14;
    waitq_init(&done_queue);
    __atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
    struct thread *thread = thread_spawn("restless", restless, NULL);
    SIM_CHECK(thread && sched_set_affinity(thread, &others) == 0);
    SIM_CHECK(sched_set_affinity(thread_current(), &here) == 0);
    running--; /* await_all is for the children */
    SIM_CHECK(joined_here() >= ROUNDS * 9 / 10);
    running++;
    stop = true;
    await_all();
}
static void an_idle_cpu_does_not_ask_for_it(void **state)
{
    (void)state;
    sim_test_seeds(CPUS, SEEDS, asked_main);
}

static void goes_on_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    join_often(LEARNT);
    for (unsigned i = 0; i < 2; i++) {
        unsigned cpu = hal_cpu_id();
        uint64_t start = sim_now();
        spawn(child, 0, 1);
        go_on(10 * NS_PER_MS);
        SIM_CHECK(hal_cpu_id() == cpu && ran_on[0] != cpu && began[0] > start);
        /* The first time it was kept for a while; then the creator was known to go on. */
        SIM_CHECK(began[0] - start < (i == 0 ? 3 * AT_ONCE : AT_ONCE));
        await_all();
    }
}
static void a_creator_that_goes_on_loses_it(void **state)
{
    (void)state;
    sim_test_seeds(CPUS, SEEDS, goes_on_main);
}

static void several_main(void *arg)
{
    (void)arg;
    unsigned stayed = 0;
    waitq_init(&done_queue);
    join_often(LEARNT);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned cpu = hal_cpu_id();
        spawn(child, 0, 2);
        await_all();
        stayed += ran_on[0] == cpu;
    }
    SIM_CHECK(stayed < ROUNDS / 2);
}
static void of_two_none_waits_again(void **state)
{
    (void)state;
    sim_test_seeds(CPUS, SEEDS, several_main);
}

/* It sleeps, but late: nothing is learnt from that. */
static void late_main(void *arg)
{
    (void)arg;
    unsigned stayed = 0;
    waitq_init(&done_queue);
    child_sleeps_ns = 5 * NS_PER_MS;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned cpu = hal_cpu_id();
        spawn(child, 0, 1);
        go_on(AT_ONCE);
        await_all();
        stayed += ran_on[0] == cpu;
    }
    SIM_CHECK(stayed < ROUNDS / 2);
}
static void a_late_sleep_does_not_count(void **state)
{
    (void)state;
    sim_test_seeds(CPUS, SEEDS, late_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_is_joined_stays),
        cmocka_unit_test(an_idle_cpu_does_not_ask_for_it),
        cmocka_unit_test(a_creator_that_goes_on_loses_it),
        cmocka_unit_test(of_two_none_waits_again),
        cmocka_unit_test(a_late_sleep_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
