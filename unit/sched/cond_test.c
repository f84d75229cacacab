/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched kernel/sched/cond.c kernel/sched/semaphore.c */
/* include: unit/sched/include */
/* cond_test.c - condition variables (no signal lost, waiters with different mutexes, deadlines) and
 * semaphores (as many as units, order, giving up). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crew.h"
#include "lib/errno.h"
#include "sched/cond.h"

#define SEEDS 40
#define SLOTS 3
#define ITEMS 150

/* ---- a bounded buffer ---- */

static struct mutex mutex;
static struct cond not_empty, not_full;
static unsigned filled, made, used;

static void producer(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ITEMS / 3; i++) {
        mutex_lock(&mutex);
        while (filled == SLOTS)
            cond_wait(&not_full, &mutex);
        SIM_CHECK(mutex_held(&mutex) && filled < SLOTS);
        filled++;
        made++;
        if (sim_random(2))
            cond_signal(&not_empty);
        mutex_unlock(&mutex);
        cond_signal(&not_empty); /* also without the mutex */
        if (sim_random(3) == 0)
            sim_work(sim_random(5000));
    }
    finish();
}
static void consumer(void *arg)
{
    for (unsigned i = 0; i < ITEMS / 3; i++) {
        mutex_lock(&mutex);
        while (filled == 0) {
            uint64_t deadline = (uintptr_t)arg ? UINT64_MAX : sim_now() + sim_random(20000);
            int err = cond_wait_until(&not_empty, &mutex, deadline);
            SIM_CHECK(mutex_held(&mutex) && (err == 0 || err == -ETIMEDOUT));
        }
        filled--;
        used++;
        mutex_unlock(&mutex);
        cond_signal(&not_full);
        if (sim_random(3) == 0)
            sim_work(sim_random(5000));
    }
    finish();
}
static void buffer_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    mutex_init(&mutex, RANK_SLEEP_LAST);
    cond_init(&not_empty);
    cond_init(&not_full);
    spawn(producer, 0, 3);
    spawn(consumer, 0, 3);
    await_all();
    SIM_CHECK(made == ITEMS && used == ITEMS && filled == 0);
    SIM_CHECK(list_empty(&not_empty.waiters) && mutex.waiting == 0 && mutex.owner == NULL);
}
static void no_signal_is_lost(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, buffer_main);
    sim_test_seeds(4, SEEDS, buffer_main);
}

/* ---- one broadcast, several mutexes ---- */

static struct mutex own[3];
static struct cond go;
static unsigned waiting, through;
static bool gone;

static void waits_with_its_own(void *arg)
{
    struct mutex *m = &own[(uintptr_t)arg % 3];
    mutex_lock(m);
    __atomic_fetch_add(&waiting, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&gone, __ATOMIC_SEQ_CST))
        cond_wait(&go, m);
    __atomic_fetch_add(&through, 1, __ATOMIC_SEQ_CST);
    mutex_unlock(m);
    finish();
}
static void broadcast_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    cond_init(&go);
    for (unsigned i = 0; i < 3; i++)
        mutex_init(&own[i], RANK_SLEEP_LAST);
    spawn(waits_with_its_own, 0, 9);
    while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < 9)
        SIM_CHECK(sleep_until(sim_now() + 20000, false) == 0);
    /* Holding one of them: its waiters line up behind us and stay asleep. */
    mutex_lock(&own[0]);
    __atomic_store_n(&gone, true, __ATOMIC_SEQ_CST);
    cond_broadcast(&go);
    SIM_CHECK(own[0].waiting == 3);
    SIM_CHECK(sleep_until(sim_now() + 10 * NS_PER_MS, false) == 0);
    SIM_CHECK(through == 6);
    mutex_unlock(&own[0]);
    await_all();
    SIM_CHECK(through == 9);
}
static void a_broadcast_reaches_all_mutexes(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, broadcast_main);
    sim_test_seeds(4, SEEDS, broadcast_main);
}

/* ---- semaphores ---- */

static struct semaphore semaphore;
static unsigned inside, most;

static void uses_unit(void *arg)
{
    bool patient = (uintptr_t)arg & 1;
    for (unsigned i = 0; i < 40; i++) {
        uint64_t deadline = patient ? UINT64_MAX : sim_now() + sim_random(20000);
        int err = semaphore_down(&semaphore, false, deadline);
        SIM_CHECK(err == 0 || (!patient && err == -ETIMEDOUT));
        if (err)
            continue;
        unsigned now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        most = now > most ? now : most;
        SIM_CHECK(now <= 2);
        sim_work(sim_random(10000));
        __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
        semaphore_up(&semaphore);
    }
    finish();
}
static void semaphore_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    semaphore_init(&semaphore, 2);
    spawn(uses_unit, 0, 6);
    await_all();
    SIM_CHECK(semaphore.count == 2 && list_empty(&semaphore.waiters) && most == 2);
    SIM_CHECK(semaphore_try(&semaphore) && semaphore_try(&semaphore) && !semaphore_try(&semaphore));
    SIM_CHECK(semaphore_down(&semaphore, true, sim_now() + 1000) == -ETIMEDOUT);
    thread_interrupt(thread_current());
    SIM_CHECK(semaphore_down(&semaphore, true, UINT64_MAX) == -ERESTARTSYS);
    thread_clear_interrupt();
    semaphore_up(&semaphore);
    SIM_CHECK(semaphore_down(&semaphore, true, UINT64_MAX) == 0);
}
static void as_many_as_units(void **state)
{
    (void)state;
    sim_test_seeds(4, SEEDS, semaphore_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_signal_is_lost),
        cmocka_unit_test(a_broadcast_reaches_all_mutexes),
        cmocka_unit_test(as_many_as_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
