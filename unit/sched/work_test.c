/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched kernel/sched/work.c */
/* include: unit/sched/include */
/* work_test.c - no work is lost and none runs twice at once, whoever queues it where: each call
 * sees what was written before it was asked for. In order on its CPU; freed by its own function. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crew.h"
#include "sched/work.h"

#define SEEDS 40
#define WORKS 6

static struct job {
    struct work work;
    uint64_t wanted, seen; /* atomic: counts up; what the last call saw */
    unsigned inside;
} jobs[WORKS];

static void job_run(struct work *work)
{
    struct job *job = container_of(work, struct job, work);
    uint64_t wanted = __atomic_load_n(&job->wanted, __ATOMIC_RELAXED);
    /* On two CPUs it may run at once: queued elsewhere when it had begun. What it sees only grows.
     */
    if (sim_random(2))
        sim_work(sim_random(4000));
    uint64_t seen = __atomic_load_n(&job->seen, __ATOMIC_RELAXED);
    while (seen < wanted && !__atomic_compare_exchange_n(&job->seen, &seen, wanted, false,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    if (sim_random(5) == 0)
        work_queue(work);
}

static void producer(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 60; i++) {
        struct job *job = &jobs[sim_random(WORKS)];
        __atomic_fetch_add(&job->wanted, 1, __ATOMIC_RELAXED);
        if (sim_random(2))
            work_queue(&job->work);
        else
            work_queue_on(&job->work, (unsigned)sim_random(hal_cpu_count()));
        if (sim_random(3) == 0)
            SIM_CHECK(sleep_until(sim_now() + sim_random(300000), false) == 0);
        else
            sim_work(sim_random(3000));
    }
    finish();
}

static void nothing_lost_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    for (unsigned i = 0; i < WORKS; i++)
        work_init(&jobs[i].work, job_run);
    bool early = sim_random(2); /* some ask before there are threads */
    if (early)
        spawn(producer, 0, 3);
    SIM_CHECK(work_start() == 0);
    if (!early)
        spawn(producer, 0, 3);
    await_all();
    SIM_CHECK(sleep_until(sim_now() + 20 * NS_PER_MS, false) == 0);
    for (unsigned i = 0; i < WORKS; i++)
        SIM_CHECK(jobs[i].seen == jobs[i].wanted);
}
static void no_work_is_lost(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, nothing_lost_main);
    sim_test_seeds(4, SEEDS, nothing_lost_main);
}

static unsigned order[8], order_count, freed;
static void note(struct work *work)
{
    struct job *job = container_of(work, struct job, work);
    order[order_count++] = (unsigned)(job - jobs);
    SIM_CHECK(hal_cpu_id() == 1);
    if (job == &jobs[0] && order_count < 4)
        SIM_CHECK(work_queue(work)); /* behind the others */
}
static void frees_itself(struct work *work)
{
    freed++;
    free(work);
}
static void order_main(void *arg)
{
    (void)arg;
    SIM_CHECK(work_start() == 0);
    preempt_disable();
    for (unsigned i = 0; i < 3; i++) {
        work_init(&jobs[i].work, note);
        SIM_CHECK(work_queue_on(&jobs[i].work, 1));
        SIM_CHECK(!work_queue_on(&jobs[i].work, 1) || order_count > i);
    }
    preempt_enable();
    for (unsigned i = 0; i < 20; i++) {
        struct work *work = malloc(sizeof *work);
        work_init(work, frees_itself);
        SIM_CHECK(work_queue(work));
    }
    SIM_CHECK(sleep_until(sim_now() + 20 * NS_PER_MS, false) == 0);
    SIM_CHECK(order_count >= 4 && order[0] == 0 && freed == 20);
}
static void in_order_and_on_the_cpu_asked_for(void **state)
{
    (void)state;
    sim_test_seeds(2, SEEDS, order_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_work_is_lost),
        cmocka_unit_test(in_order_and_on_the_cpu_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
