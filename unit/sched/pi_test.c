/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched */
/* include: unit/sched/include */
/* pi_test.c - priority inheritance: loans along chains, their return, rings, and a mutex whose
 * owner is kept from the CPU by a thread of middle priority. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/mutex.h"
#include "core/pi.h"
#include "crew.h"
#include "lib/errno.h"

#define SEEDS 40

/* ---- the books; the threads here only stand in them ---- */

static bool stop;

static void stand(void *arg)
{
    struct waiter w;
    (void)arg;
    waitq_prepare(&done_queue, &w, false);
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
        SIM_CHECK(waitq_sleep(&w, UINT64_MAX) == 0);
    waitq_finish(&w);
    finish();
}

static struct thread *figure(enum sched_policy policy, int priority, int nice)
{
    struct thread *thread;
    running++;
    SIM_CHECK((thread = thread_spawn("figure", stand, NULL)) != NULL);
    sched_set_policy(thread, policy, priority);
    sched_set_nice(thread, nice);
    return thread;
}

static void dismiss(void)
{
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    waitq_wake_all(&done_queue, 0);
    await_all();
}

static void chain_main(void *arg)
{
    struct pi first, second;
    struct pi_waiter w[3];
    (void)arg;
    waitq_init(&done_queue);
    struct thread *low = figure(SCHED_IDLE, 0, 0), *mid = figure(SCHED_OTHER, 0, 5),
                  *high = figure(SCHED_FIFO, 30, 0), *nicer = figure(SCHED_OTHER, 0, -5);
    pi_init(&first);
    pi_init(&second);
    SIM_CHECK(thread_urgency(low) == 0 && thread_urgency(mid) == 15 && thread_urgency(high) == 70);
    pi_set_owner(&first, low);
    pi_set_owner(&second, mid);
    SIM_CHECK(pi_wait(&first, &w[0], mid) == 0 && thread_urgency(low) == 15);
    SIM_CHECK(pi_wait(&second, &w[1], high) == 0);
    SIM_CHECK(thread_urgency(mid) == 70 && thread_urgency(low) == 70);
    SIM_CHECK(pi_wait(&second, &w[2], nicer) == 0 && pi_first(&second) == &w[1]);
    sched_set_policy(high, SCHED_FIFO, 40); /* a waiter that becomes more urgent */
    SIM_CHECK(thread_urgency(low) == 80);
    sched_set_policy(high, SCHED_OTHER, 0);
    SIM_CHECK(thread_urgency(mid) == 25 && thread_urgency(low) == 25 && pi_first(&second) == &w[2]);
    pi_unwait(&w[2]);
    SIM_CHECK(thread_urgency(mid) == 20 && thread_urgency(low) == 20);
    pi_set_owner(&second, NULL);
    SIM_CHECK(thread_urgency(mid) == 15 && thread_urgency(low) == 15);
    pi_unwait(&w[1]);
    pi_unwait(&w[0]);
    SIM_CHECK(thread_urgency(low) == 0);
    pi_set_owner(&first, NULL);
    dismiss();
}
static void loans_go_along_the_chain_and_back(void **state)
{
    (void)state;
    sim_test(1, 1, chain_main, NULL);
    sim_test_seeds(3, 5, chain_main);
}

static void ring_main(void *arg)
{
    struct pi lock[3];
    struct pi_waiter w[4];
    struct thread *thread[3];
    (void)arg;
    waitq_init(&done_queue);
    for (unsigned i = 0; i < 3; i++) {
        thread[i] = figure(SCHED_OTHER, 0, (int)i);
        pi_init(&lock[i]);
        pi_set_owner(&lock[i], thread[i]);
    }
    SIM_CHECK(pi_wait(&lock[0], &w[3], thread[0]) == -EDEADLK);
    SIM_CHECK(pi_wait(&lock[1], &w[0], thread[0]) == 0);
    SIM_CHECK(pi_wait(&lock[2], &w[1], thread[1]) == 0);
    SIM_CHECK(pi_wait(&lock[0], &w[2], thread[2]) == -EDEADLK && !pi_first(&lock[0]));
    SIM_CHECK(thread_urgency(thread[2]) == 20);
    pi_unwait(&w[0]);
    SIM_CHECK(thread_urgency(thread[2]) == 19);
    SIM_CHECK(pi_wait(&lock[0], &w[2], thread[2]) == 0);
    /* A wait within a wait: the outer one ends first. */
    SIM_CHECK(pi_wait(&lock[0], &w[3], thread[1]) == 0);
    pi_unwait(&w[1]);
    pi_unwait(&w[3]);
    pi_unwait(&w[2]);
    for (unsigned i = 0; i < 3; i++) {
        SIM_CHECK(thread_urgency(thread[i]) == 20 - i);
        pi_set_owner(&lock[i], NULL);
    }
    dismiss();
}
static void rings_are_refused(void **state)
{
    (void)state;
    sim_test(1, 1, ring_main, NULL);
}

/* ---- a mutex ---- */

static struct mutex mutex;
static uint64_t got_at;

static void low_owner(void *arg)
{
    (void)arg;
    mutex_lock(&mutex);
    sim_work(5 * NS_PER_MS);
    mutex_unlock(&mutex);
    finish();
}
static void middle(void *arg)
{
    (void)arg;
    sched_set_policy(thread_current(), SCHED_FIFO, 10);
    sim_work(500 * NS_PER_MS);
    finish();
}
static void inversion_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    mutex_init(&mutex, RANK_SLEEP_LAST);
    sched_set_policy(thread_current(), SCHED_FIFO, 20);
    spawn(low_owner, 0, 1);
    SIM_CHECK(sleep_until(sim_now() + NS_PER_MS, false) == 0); /* it has the mutex now */
    spawn(middle, 0, 1);
    SIM_CHECK(sleep_until(sim_now() + NS_PER_MS, false) == 0); /* it has the CPU now */
    uint64_t start = sim_now();
    mutex_lock(&mutex);
    got_at = sim_now() - start;
    mutex_unlock(&mutex);
    SIM_CHECK(got_at < 10 * NS_PER_MS);
    await_all();
}
static void the_owner_of_a_mutex_inherits(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, inversion_main);
}

/* The owner has the lowest weight, and after one turn has run as much too long as others do in two
 * seconds. Who waits for it is nobody special. */
static bool over;
static void idle_owner(void *arg)
{
    (void)arg;
    mutex_lock(&mutex);
    sim_work(20 * NS_PER_MS);
    mutex_unlock(&mutex);
    finish();
}
static void hog(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST))
        sim_work(200000);
    finish();
}
static void fair_waiter(void *arg)
{
    (void)arg;
    uint64_t start = sim_now();
    mutex_lock(&mutex);
    got_at = sim_now() - start;
    mutex_unlock(&mutex);
    over = true;
    finish();
}
static void fair_inversion_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    mutex_init(&mutex, RANK_SLEEP_LAST);
    running++;
    struct thread *owner = thread_spawn("owner", idle_owner, NULL);
    SIM_CHECK(owner);
    sched_set_policy(owner, SCHED_IDLE, 0);
    SIM_CHECK(sleep_until(sim_now() + 10 * NS_PER_MS, false) == 0);
    SIM_CHECK(!mutex_try(&mutex));
    spawn(hog, 0, 1);
    SIM_CHECK(sleep_until(sim_now() + 20 * NS_PER_MS, false) == 0);
    spawn(fair_waiter, 0, 1);
    await_all();
    SIM_CHECK(got_at < 60 * NS_PER_MS);
}
static void an_owner_is_lent_weight(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, fair_inversion_main);
}

static struct mutex pair[2];
static void takes_two(void *arg)
{
    sched_set_policy(thread_current(), SCHED_FIFO, 1 + (int)(uintptr_t)arg);
    for (unsigned i = 0; i < 30; i++) {
        mutex_lock(&pair[0]);
        sim_work(sim_random(3000));
        if (sim_random(2)) {
            mutex_lock(&pair[1]);
            sim_work(sim_random(3000));
            mutex_unlock(&pair[1]);
        }
        mutex_unlock(&pair[0]);
        SIM_CHECK(thread_current()->lent == 0 && list_empty(&thread_current()->pi_held));
        SIM_CHECK(!thread_current()->pi_waits);
        if (sim_random(3) == 0)
            SIM_CHECK(sleep_until(sim_now() + sim_random(5000), false) == 0);
    }
    finish();
}
static void two_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    mutex_init(&pair[0], RANK_INODE);
    mutex_init(&pair[1], RANK_PIPE);
    spawn(takes_two, 0, 6);
    await_all();
}
static void loans_end_with_the_section(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, two_main);
    sim_test_seeds(4, SEEDS, two_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loans_go_along_the_chain_and_back),
        cmocka_unit_test(rings_are_refused),
        cmocka_unit_test(the_owner_of_a_mutex_inherits),
        cmocka_unit_test(an_owner_is_lent_weight),
        cmocka_unit_test(loans_end_with_the_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
