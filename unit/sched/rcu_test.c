/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched */
/* include: unit/sched/include */
/* rcu_test.c - what a reader looks at is not freed under it, however long it is preempted or
 * sleeps; calls come, in order; threads are freed after a grace period. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/rcu.h"
#include "crew.h"

#define SEEDS 40

struct object {
    struct rcu_head head;
    unsigned number;
    bool freed;
};
static struct object pool[60];
static struct object *shared;
static unsigned freed;
static bool stop;

static void release(struct rcu_head *head)
{
    struct object *object = (struct object *)head;
    SIM_CHECK(!object->freed && object->number == freed); /* in order */
    object->freed = true;
    freed++;
}

static void reader(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        unsigned token = rcu_read_lock();
        struct object *object = __atomic_load_n(&shared, __ATOMIC_SEQ_CST);
        SIM_CHECK(!object->freed);
        switch (sim_random(6)) {
        case 0:
            sched_yield();
            break;
        case 1:
            SIM_CHECK(sleep_until(sim_now() + sim_random(3 * NS_PER_MS), false) == 0);
            break;
        default:
            sim_work(sim_random(20000));
        }
        SIM_CHECK(!object->freed);
        unsigned inner = rcu_read_lock(); /* nests */
        hal_cpu_relax();
        rcu_read_unlock(inner);
        SIM_CHECK(!object->freed);
        rcu_read_unlock(token);
        if (sim_random(2))
            sim_work(sim_random(5000));
    }
    finish();
}
static void replace_main(void *arg)
{
    (void)arg;
    const unsigned count = sizeof pool / sizeof pool[0];
    waitq_init(&done_queue);
    shared = &pool[0];
    spawn(reader, 0, 5);
    for (unsigned i = 1; i < count; i++) {
        struct object *old = shared;
        pool[i].number = i;
        __atomic_store_n(&shared, &pool[i], __ATOMIC_SEQ_CST);
        rcu_call(&old->head, release);
        if (sim_random(2))
            sim_work(sim_random(500000));
        if (sim_random(8) == 0) {
            rcu_synchronize();
            SIM_CHECK(freed == i);
        }
    }
    stop = true;
    await_all();
    rcu_synchronize();
    SIM_CHECK(freed == count - 1);
}
static void nothing_is_freed_under_a_reader(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, replace_main);
    sim_test_seeds(4, SEEDS, replace_main);
}

static unsigned hooks;
static void hook(struct thread *thread)
{
    hooks++;
    free(thread);
}
static void ends_at_once(void *arg)
{
    (void)arg;
}
static void lifetime_main(void *arg)
{
    (void)arg;
    const struct thread_attr attr = {.name = "short", .exit_hook = hook};
    struct thread *thread = calloc(1, sizeof *thread);
    SIM_CHECK(thread_init(thread, &attr, ends_at_once, NULL) == 0);
    unsigned token = rcu_read_lock();
    thread_start(thread);
    SIM_CHECK(sleep_until(sim_now() + 100 * NS_PER_MS, false) == 0);
    /* Long dead, and still to be looked at. */
    SIM_CHECK(hooks == 0 && __atomic_load_n(&thread->state, __ATOMIC_SEQ_CST) == THREAD_DEAD);
    rcu_read_unlock(token);
    rcu_synchronize();
    rcu_synchronize(); /* its call may have come in a later batch than ours */
    SIM_CHECK(hooks == 1);
}
static void a_thread_outlives_its_readers(void **state)
{
    (void)state;
    sim_test_seeds(2, 10, lifetime_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_freed_under_a_reader),
        cmocka_unit_test(a_thread_outlives_its_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
