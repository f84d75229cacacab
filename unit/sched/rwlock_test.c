/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched */
/* include: unit/sched/include */
/* rwlock_test.c - who gets a read/write lock when: running threads go before those that would have
 * to be woken first, but for a limited time only. That it excludes is tested in sched_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/mutex.h"
#include "crew.h"
#include "mm/space.h"

static struct rwlock rwlock;
static bool got;

static void take_once(void *arg)
{
    if (arg)
        rwlock_write_lock(&rwlock);
    else
        rwlock_read_lock(&rwlock);
    got = true;
    if (arg)
        rwlock_write_unlock(&rwlock);
    else
        rwlock_read_unlock(&rwlock);
    finish();
}

/* We do not let anybody else run while we take and release the lock in a loop. */
static void barging_main(void *arg)
{
    waitq_init(&done_queue);
    rwlock_init(&rwlock, RANK_SPACE);
    sched_set_policy(thread_current(), SCHED_FIFO, 50);
    rwlock_write_lock(&rwlock);
    running++;
    SIM_CHECK(thread_spawn("waiter", take_once, arg) != NULL);
    SIM_CHECK(sleep_until(sim_now() + NS_PER_MS, false) == 0); /* it stands in line now */
    uint64_t start = sim_now();
    unsigned times = 0;
    while (!got) {
        rwlock_write_unlock(&rwlock);
        rwlock_write_lock(&rwlock);
        sim_work(100000);
        times++;
    }
    SIM_CHECK(times > 100);                        /* no convoy: no switch each time */
    SIM_CHECK(sim_now() - start < 30 * NS_PER_MS); /* nobody starves */
    rwlock_write_unlock(&rwlock);
    await_all();
}

static void write_main(void *arg)
{
    (void)arg;
    barging_main(&rwlock);
}

static void runners_go_first_for_a_while(void **state)
{
    (void)state;
    sim_test(1, 0, barging_main, NULL);
    sim_test_seeds(1, 2, write_main);
}

/* A writer gets its turn although there always are readers. */
static bool stop;

static void reader(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        rwlock_read_lock(&rwlock);
        sim_work(50000);
        rwlock_read_unlock(&rwlock);
    }
    finish();
}

static void writer_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    rwlock_init(&rwlock, RANK_SPACE);
    spawn(reader, 0, 5);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t start = sim_now();
        rwlock_write_lock(&rwlock);
        SIM_CHECK(sim_now() - start < 60 * NS_PER_MS);
        sim_work(1000);
        rwlock_write_unlock(&rwlock);
        SIM_CHECK(sleep_until(sim_now() + NS_PER_MS, false) == 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    await_all();
}

static void writers_do_not_starve(void **state)
{
    (void)state;
    sim_test_seeds(2, 10, writer_main);
    sim_test_seeds(4, 10, writer_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runners_go_first_for_a_while),
        cmocka_unit_test(writers_do_not_starve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
