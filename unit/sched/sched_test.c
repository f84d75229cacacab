/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched */
/* include: unit/sched/include */
/* sched_test.c - threads on one and on four simulated CPUs: fairness, classes, sleep and wake,
 * interruption, timers, locks, wait queues, affinity, ends. Random interleavings, many seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/chaos.h"
#include "core/mutex.h"
#include "crew.h"
#include "lib/errno.h"
#include "mm/space.h"
#include "sched/watchdog.h"

#define SEEDS 40

/* ---- fairness ---- */

static uint64_t used[8];
static bool stop;

static void burn(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
        sim_work(200000);
    used[me] = thread_runtime_ns(thread_current());
    finish();
}

static void nice_ratio_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    sched_set_policy(thread_current(), SCHED_FIFO, 50);
    struct thread *thread[3];
    static const int nice[3] = {0, 0, 5};
    for (uintptr_t i = 0; i < 3; i++) {
        running++;
        SIM_CHECK((thread[i] = thread_spawn("burn", burn, (void *)i)) != NULL);
        sched_set_nice(thread[i], nice[i]);
    }
    SIM_CHECK(sleep_until(sim_now() + 3 * NS_PER_SEC, false) == 0);
    stop = true;
    await_all();
    /* 1.25^5 = 3.05 */
    SIM_CHECK(used[0] > used[1] * 95 / 100 && used[1] > used[0] * 95 / 100);
    SIM_CHECK(used[0] > used[2] * 290 / 100 && used[0] < used[2] * 320 / 100);
}
static void fair_shares_follow_nice(void **state)
{
    (void)state;
    sim_test_seeds(1, 3, nice_ratio_main);
}

static void sleeper(void *arg)
{
    (void)arg;
    /* Sleeps most of the time; must get the CPU soon after each sleep although `burn` runs. */
    for (unsigned i = 0; i < 50; i++) {
        uint64_t want = sim_now() + 10 * NS_PER_MS;
        SIM_CHECK(sleep_until(want, false) == 0);
        SIM_CHECK(sim_now() >= want && sim_now() < want + 8 * NS_PER_MS);
        sim_work(100000);
    }
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    finish();
}
static void sleeper_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    spawn(burn, 0, 2);
    spawn(sleeper, 0, 1);
    await_all();
}
static void sleepers_run_soon(void **state)
{
    (void)state;
    sim_test_seeds(1, 3, sleeper_main);
}

/* ---- classes ---- */

static unsigned order[8], order_count;

static void note_order(void *arg)
{
    sim_work(20 * NS_PER_MS);
    order[order_count++] = (unsigned)(uintptr_t)arg;
    finish();
}
static void classes_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    sched_set_policy(thread_current(), SCHED_FIFO, 90);
    static const struct {
        enum sched_policy policy;
        int priority;
    } want[5] = {
        {SCHED_IDLE, 0}, {SCHED_OTHER, 0}, {SCHED_FIFO, 1}, {SCHED_FIFO, 70}, {SCHED_RR, 20}};
    for (uintptr_t i = 0; i < 5; i++) {
        running++;
        struct thread *thread = thread_spawn("class", note_order, (void *)i);
        sched_set_policy(thread, want[i].policy, want[i].priority);
    }
    await_all();
    SIM_CHECK(order[0] == 3 && order[1] == 4 && order[2] == 2 && order[3] == 1 && order[4] == 0);
}
static void real_time_goes_first(void **state)
{
    (void)state;
    sim_test(1, 1, classes_main, NULL);
}

/* ---- sleep and wake ---- */

#define ROUNDS 300
static uint32_t ball;
static struct thread *player[2];

static void player_fn(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    __atomic_store_n(&player[me], thread_current(), __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&player[1 - me], __ATOMIC_SEQ_CST))
        sched_yield();
    for (unsigned i = 0; i < ROUNDS; i++) {
        for (;;) {
            thread_prepare_sleep(false);
            if (__atomic_load_n(&ball, __ATOMIC_SEQ_CST) == 2 * i + me)
                break;
            SIM_CHECK(thread_sleep(UINT64_MAX) == 0);
            thread_finish_sleep();
        }
        thread_finish_sleep();
        __atomic_store_n(&ball, 2 * i + me + 1, __ATOMIC_SEQ_CST);
        thread_wake(player[1 - me]);
    }
    thread_get(thread_current()); /* the other one may still wake us */
    finish();
}
static void ping_pong_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    spawn(player_fn, 0, 2);
    await_all();
    SIM_CHECK(ball == 2 * ROUNDS);
}
static void no_wake_is_lost(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, ping_pong_main);
    sim_test_seeds(2, SEEDS, ping_pong_main);
    sim_test_seeds(4, SEEDS, ping_pong_main);
}

static void cut_short(void *arg)
{
    uint64_t far = sim_now() + 1000 * NS_PER_SEC;
    (void)arg;
    __atomic_store_n(&player[0], thread_current(), __ATOMIC_SEQ_CST);
    SIM_CHECK(sleep_until(far, true) == -ERESTARTSYS);
    SIM_CHECK(thread_interrupted());
    SIM_CHECK(sleep_until(far, true) == -ERESTARTSYS); /* and at once */
    thread_clear_interrupt();
    SIM_CHECK(sleep_until(sim_now() + 1000, true) == 0);
    SIM_CHECK(sim_now() < far);
    finish();
}
static void interrupt_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    spawn(cut_short, 0, 1);
    while (!__atomic_load_n(&player[0], __ATOMIC_SEQ_CST))
        sched_yield();
    sim_work(sim_random(3000));
    thread_interrupt(player[0]);
    await_all();
}
static void interruption_ends_sleep(void **state)
{
    (void)state;
    sim_test_seeds(2, SEEDS, interrupt_main);
}

/* ---- timers ---- */

#define TIMERS 20
static struct timer timers[TIMERS];
static uint64_t fired_at[TIMERS];

static void note_timer(struct timer *timer)
{
    SIM_CHECK(in_irq());
    fired_at[timer - timers] = sim_now();
}
static void timers_main(void *arg)
{
    (void)arg;
    uint64_t start = sim_now(), want[TIMERS];
    for (unsigned i = 0; i < TIMERS; i++) {
        timer_setup(&timers[i], note_timer);
        want[i] = start + 1000000 + sim_random(50) * 100000;
        timer_arm(&timers[i], start + sim_random(100 * NS_PER_MS));
        sim_work(sim_random(2) * 1000);
        timer_arm(&timers[i], want[i]); /* replaces; maybe from another CPU */
    }
    SIM_CHECK(timer_cancel(&timers[3]) && !timer_cancel(&timers[3]) && !timer_armed(&timers[3]));
    SIM_CHECK(sleep_until(start + 200 * NS_PER_MS, false) == 0);
    for (unsigned i = 0; i < TIMERS; i++) {
        SIM_CHECK(!timer_armed(&timers[i]));
        SIM_CHECK(i == 3 ? fired_at[i] == 0
                         : fired_at[i] >= want[i] && fired_at[i] < want[i] + NS_PER_MS);
    }
}
/* A callback that takes its time; whoever has cancelled it may give its memory away. */
static struct {
    struct timer timer;
    bool gone;
} slow;

static void slow_callback(struct timer *timer)
{
    SIM_CHECK(timer == &slow.timer);
    for (unsigned i = 0; i < 30; i++) {
        hal_cpu_relax();
        SIM_CHECK(!__atomic_load_n(&slow.gone, __ATOMIC_SEQ_CST));
    }
}

/* The timer fires on the CPU of who arms it, which is seldom that of who cancels it. */
static bool wanted, armed;

static void armer(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        sim_work(1000);
        if (!__atomic_exchange_n(&wanted, false, __ATOMIC_SEQ_CST))
            continue;
        timer_arm(&slow.timer, sim_now() + sim_random(4000));
        __atomic_store_n(&armed, true, __ATOMIC_SEQ_CST);
    }
}

static void cancel_main(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 2; i++)
        SIM_CHECK(thread_spawn("armer", armer, NULL));
    for (unsigned i = 0; i < 40; i++) {
        __atomic_store_n(&slow.gone, false, __ATOMIC_SEQ_CST);
        timer_setup(&slow.timer, slow_callback);
        __atomic_store_n(&wanted, true, __ATOMIC_SEQ_CST);
        while (!__atomic_exchange_n(&armed, false, __ATOMIC_SEQ_CST))
            sim_work(100);
        for (unsigned n = (unsigned)sim_random(60); n > 0; n--)
            sim_work(100);
        timer_cancel_sync(&slow.timer);
        __atomic_store_n(&slow.gone, true, __ATOMIC_SEQ_CST);
        sim_work(2000);
    }
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
}

static void cancelled_timers_are_over(void **state)
{
    (void)state;
    sim_test_seeds(3, SEEDS, cancel_main);
}

static void timers_fire_once_in_time(void **state)
{
    (void)state;
    sim_test_seeds(1, 10, timers_main);
    sim_test_seeds(3, 10, timers_main);
}

/* ---- locks ---- */

static struct mutex mutex;
static struct rwlock rwlock;
static struct rwlock_slot slots[2]; /* for four CPUs: two of them share one */
static unsigned inside, readers, writes;

static void mutex_user(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 40; i++) {
        if (sim_random(4) || !mutex_try(&mutex)) {
            mutex_lock(&mutex);
        }
        SIM_CHECK(mutex_held(&mutex) && inside++ == 0);
        if (sim_random(2))
            sim_work(sim_random(20000));
        if (sim_random(10) == 0)
            SIM_CHECK(sleep_until(sim_now() + sim_random(50000), false) == 0);
        SIM_CHECK(--inside == 0);
        mutex_unlock(&mutex);
        if (sim_random(2))
            sim_work(sim_random(5000));
    }
    finish();
}
static void mutex_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    mutex_init(&mutex, RANK_SLEEP_LAST);
    spawn(mutex_user, 0, 6);
    await_all();
    SIM_CHECK(!mutex_held(&mutex) && mutex_try(&mutex));
}
static void mutex_excludes(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, mutex_main);
    sim_test_seeds(4, SEEDS, mutex_main);
}

static void rwlock_user(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 40; i++) {
        bool write = sim_random(3) == 0, apart = sim_random(2) == 0;
        struct rwlock_slot *slot = NULL;
        if (write) {
            rwlock_write_lock(&rwlock);
            SIM_CHECK(rwlock_write_held(&rwlock) && readers == 0 && inside++ == 0);
        } else {
            if (apart)
                slot = rwlock_read_begin(&rwlock);
            else
                rwlock_read_lock(&rwlock);
            SIM_CHECK(!rwlock_write_held(&rwlock) && inside == 0);
            readers++;
        }
        sim_work(sim_random(20000));
        if (write) {
            writes++;
            SIM_CHECK(--inside == 0);
        }
        if (write && apart) {
            rwlock_downgrade(&rwlock);
            SIM_CHECK(!rwlock_write_held(&rwlock));
            readers++;
            sim_work(sim_random(5000));
            SIM_CHECK(inside == 0);
            write = false;
            apart = false;
        }
        if (write) {
            rwlock_write_unlock(&rwlock);
        } else {
            readers--;
            if (apart)
                rwlock_read_end(&rwlock, slot);
            else
                rwlock_read_unlock(&rwlock);
        }
    }
    finish();
}
static void rwlock_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    rwlock_init(&rwlock, RANK_SPACE);
    rwlock_set_slots(&rwlock, slots, ARRAY_COUNT(slots));
    spawn(rwlock_user, 0, 6);
    await_all();
    SIM_CHECK(writes > 0 && readers == 0 && inside == 0);
    SIM_CHECK(slots[0].readers == 0 && slots[1].readers == 0 && rwlock.closed == 0);
}
static void rwlock_excludes_writers(void **state)
{
    (void)state;
    sim_test_seeds(4, SEEDS, rwlock_main);
}

/* ---- wait queues ---- */

static struct waitq items_queue;
static unsigned items, taken;

static bool take_item(void)
{
    unsigned n = __atomic_load_n(&items, __ATOMIC_SEQ_CST);
    while (n && !__atomic_compare_exchange_n(&items, &n, n - 1, false, __ATOMIC_SEQ_CST,
                                             __ATOMIC_SEQ_CST))
        ;
    return n;
}
static void consumer(void *arg)
{
    for (unsigned i = 0; i < 30; i++) {
        struct waiter w;
        waitq_prepare_exclusive(&items_queue, &w, (uintptr_t)arg & 1);
        while (!take_item()) {
            int err = waitq_sleep(&w, sim_random(8) ? UINT64_MAX : sim_now() + sim_random(30000));
            SIM_CHECK(err == 0 || err == -ETIMEDOUT);
        }
        waitq_finish(&w);
        __atomic_fetch_add(&taken, 1, __ATOMIC_SEQ_CST);
    }
    finish();
}
static void exclusive_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    waitq_init(&items_queue);
    spawn(consumer, 0, 4);
    for (unsigned i = 0; i < 120; i++) {
        __atomic_fetch_add(&items, 1, __ATOMIC_SEQ_CST);
        waitq_wake_one(&items_queue, 0); /* exactly one wake per item */
        if (sim_random(3) == 0)
            sim_work(sim_random(20000));
    }
    await_all();
    SIM_CHECK(taken == 120 && items == 0 && !waitq_busy(&items_queue));
}
static void one_wake_per_item_is_enough(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, exclusive_main);
    sim_test_seeds(4, SEEDS, exclusive_main);
}

static unsigned called;
static void callback(struct waiter *w, uint32_t events)
{
    (void)w;
    called += events;
}
static void callback_main(void *arg)
{
    struct waiter a, b;
    (void)arg;
    waitq_init(&items_queue);
    waitq_add(&items_queue, &a, callback);
    waitq_add(&items_queue, &b, callback);
    waitq_wake_one(&items_queue, 3);
    SIM_CHECK(called == 6);
    waitq_remove(&a);
    waitq_wake_all(&items_queue, 1);
    SIM_CHECK(called == 7 && waitq_busy(&items_queue));
    waitq_remove(&b);
    SIM_CHECK(!waitq_busy(&items_queue));
    waitq_prepare(&items_queue, &a, true);
    uint64_t want = sim_now() + 5000;
    SIM_CHECK(waitq_sleep(&a, want) == -ETIMEDOUT && sim_now() >= want);
    waitq_wake_all(&items_queue, 0);
    SIM_CHECK(waitq_sleep(&a, UINT64_MAX) == 0); /* the wake came before the sleep */
    waitq_finish(&a);
}
static void callbacks_and_deadlines(void **state)
{
    (void)state;
    sim_test(1, 1, callback_main, NULL);
}

/* ---- CPUs ---- */

static void stay(void *arg)
{
    uint64_t mask = 1ull << (uintptr_t)arg;
    SIM_CHECK(sched_set_affinity(thread_current(), &mask) == 0);
    for (unsigned i = 0; i < 20; i++) {
        SIM_CHECK(hal_cpu_id() == (uintptr_t)arg);
        sim_work(sim_random(30000));
        SIM_CHECK(hal_cpu_id() == (uintptr_t)arg);
        SIM_CHECK(sleep_until(sim_now() + sim_random(10000), false) == 0);
    }
    finish();
}
static unsigned visited;
static void wander(void *arg)
{
    (void)arg;
    __atomic_store_n(&player[0], thread_current(), __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        visited |= 1u << hal_cpu_id();
        if (sim_random(2))
            sim_work(sim_random(20000));
        else
            SIM_CHECK(sleep_until(sim_now() + sim_random(20000), false) == 0);
    }
    thread_get(thread_current());
    finish();
}
static void affinity_main(void *arg)
{
    (void)arg;
    uint64_t none = 1ull << 40, got = 0;
    waitq_init(&done_queue);
    SIM_CHECK(sched_set_affinity(thread_current(), &none) == -EINVAL);
    sched_get_affinity(thread_current(), &got);
    SIM_CHECK(got == 15);
    spawn(stay, 0, 4);
    spawn(stay, 0, 4);
    spawn(wander, 0, 1);
    while (!__atomic_load_n(&player[0], __ATOMIC_SEQ_CST))
        sched_yield();
    for (unsigned i = 0; i < 40; i++) {
        uint64_t mask = 1ull << i % 4;
        SIM_CHECK(sched_set_affinity(player[0], &mask) == 0);
        sched_get_affinity(player[0], &got);
        SIM_CHECK(got == mask);
        SIM_CHECK(sleep_until(sim_now() + 40000, false) == 0);
    }
    stop = true;
    await_all();
    SIM_CHECK(visited == 15);
}
static void affinity_is_kept(void **state)
{
    (void)state;
    sim_test_seeds(4, SEEDS, affinity_main);
}

static unsigned cpus_seen;
static void spread(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 100; i++) {
        sim_work(100000);
        __atomic_fetch_or(&cpus_seen, 1u << hal_cpu_id(), __ATOMIC_SEQ_CST);
    }
    finish();
}
static void spread_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    spawn(spread, 0, 6);
    await_all();
    SIM_CHECK(cpus_seen == 15);
}
static void work_spreads_over_idle_cpus(void **state)
{
    (void)state;
    sim_test_seeds(4, 10, spread_main);
}

/* ---- ends ---- */

static unsigned hooks;
struct holder {
    struct thread thread;
};
static void hook(struct thread *thread)
{
    __atomic_fetch_add(&hooks, 1, __ATOMIC_SEQ_CST);
    free(thread);
}
static void short_life(void *arg)
{
    (void)arg;
    if (sim_random(2))
        sim_work(sim_random(3000));
}
static void churn_main(void *arg)
{
    static struct space space;
    (void)arg;
    ref_init(&space.refs);
    unsigned before = sim_contexts();
    for (unsigned i = 0; i < 200; i++) {
        struct holder *h = calloc(1, sizeof *h);
        struct thread_attr attr = {
            .name = "a name that is too long", .user = i & 1, .space = &space, .exit_hook = hook};
        SIM_CHECK(thread_init(&h->thread, &attr, short_life, NULL) == 0);
        if (i % 5 == 0) {
            thread_fini(&h->thread);
            free(h);
            continue;
        }
        thread_get(&h->thread);
        thread_start(&h->thread);
        sched_set_nice(&h->thread, (int)sim_random(40) - 20);
        if (sim_random(2))
            thread_wake(&h->thread);
        if (sim_random(4) == 0)
            thread_interrupt(&h->thread);
        if (sim_random(3) == 0)
            sim_work(sim_random(4000));
        thread_put(&h->thread);
    }
    SIM_CHECK(sleep_until(sim_now() + 100 * NS_PER_MS, false) == 0);
    SIM_CHECK(hooks == 160 && sim_contexts() == before);
    SIM_CHECK(thread_count() == 2 && ref_read(&space.refs) == 1); /* main and the reaper */
}
static void ended_threads_leave_nothing(void **state)
{
    (void)state;
    sim_test_seeds(1, 5, churn_main);
    sim_test_seeds(4, SEEDS, churn_main);
}

static struct cpu_times times_of(struct thread *thread)
{
    struct cpu_times sum = {0}, told = {0};
    cpu_times_add(&sum, thread);
    cpu_times_divide(&sum, &told);
    return told;
}

static void accounts_main(void *arg)
{
    static uint8_t registers[64];
    struct sched_cpu_stats stats;
    (void)arg;
    struct thread *me = thread_current();
    me->fp = registers; /* as a program's thread: those are sampled */
    SIM_CHECK(sleep_until(sim_now() + NS_PER_MS, false) == 0);
    sched_account_return();
    sim_work(300 * NS_PER_MS);
    sched_account_entry();
    sim_work(100 * NS_PER_MS);
    struct cpu_times t = times_of(me);
    SIM_CHECK(t.total_ns == t.user_ns + t.system_ns && t.total_ns >= 400 * NS_PER_MS);
    SIM_CHECK(t.user_ns >= 260 * NS_PER_MS && t.user_ns <= 340 * NS_PER_MS);
    SIM_CHECK(sleep_until(sim_now() + 10 * NS_PER_MS, false) == 0);
    sched_get_stats(0, &stats);
    SIM_CHECK(stats.idle_ns >= 9 * NS_PER_MS && stats.busy_ns >= 400 * NS_PER_MS && stats.switches);
    SIM_CHECK(stats.idle_ns + stats.busy_ns <= sim_now());
    me->fp = NULL;
}

static void told_times_never_go_back(void **state)
{
    struct cpu_times told = {0};
    (void)state;
    cpu_times_divide(&(struct cpu_times){.total_ns = 1000}, &told); /* no sample: user time */
    assert_true(told.user_ns == 1000 && told.system_ns == 0);
    cpu_times_divide(&(struct cpu_times){.total_ns = 1500, .system_ns = 1400}, &told);
    assert_true(told.user_ns == 1000 && told.system_ns == 500 && told.total_ns == 1500);
    cpu_times_divide(&(struct cpu_times){4000, 1000, 1000}, &told);
    assert_true(told.user_ns == 2000 && told.system_ns == 2000);
    cpu_times_divide(&(struct cpu_times){3000, 1000, 0}, &told); /* a stale total */
    assert_true(told.user_ns == 2000 && told.system_ns == 2000 && told.total_ns == 4000);
    /* Years of CPU time. */
    const uint64_t big = 1ull << 60;
    told = (struct cpu_times){0};
    cpu_times_divide(&(struct cpu_times){big, big / 4, big / 4 * 3}, &told);
    assert_true(told.system_ns > big / 4 * 3 - big / 1000000 && told.system_ns <= big / 4 * 3);
}
static void time_is_accounted(void **state)
{
    (void)state;
    sim_test(1, 1, accounts_main, NULL);
}

/* A thread that cannot be preempted is reported once, after its own time; who can be, who runs user
 * code, and who was stopped by the machine is not. */
static void watchdog_main(void *arg)
{
    static uint8_t registers[64];
    (void)arg;
    watchdog_init(10 * NS_PER_SEC, NULL);
    thread_current()->fp = registers; /* as a program's thread: those have interrupts */
    SIM_CHECK(sleep_until(sim_now() + NS_PER_MS, false) == 0);
    preempt_disable();
    sim_work(9 * NS_PER_SEC);
    for (unsigned i = 0; i < 10; i++)
        sim_steal(100 * NS_PER_SEC);
    SIM_CHECK(sim_log_errors == 0);
    preempt_enable();
    sim_work(30 * NS_PER_SEC);
    sched_account_return();
    sim_work(30 * NS_PER_SEC);
    sched_account_entry();
    SIM_CHECK(sim_log_errors == 0);
    for (unsigned i = 1; i <= 2; i++) {
        preempt_disable();
        sim_work(11 * NS_PER_SEC);
        SIM_CHECK(sim_log_errors == i);
        sim_work(30 * NS_PER_SEC);
        SIM_CHECK(sim_log_errors == i);
        preempt_enable();
        sim_work(NS_PER_MS);
    }
    watchdog_init(0, NULL);
    preempt_disable();
    sim_work(30 * NS_PER_SEC);
    SIM_CHECK(sim_log_errors == 2);
    preempt_enable();
    thread_current()->fp = NULL;
}
static void stuck_cpus_are_reported(void **state)
{
    (void)state;
    sim_test(1, 1, watchdog_main, NULL);
}

/* The same again with interrupts that come late (core/chaos.h): slower, but nothing is lost. */
static void late_interrupts_lose_nothing(void **state)
{
    (void)state;
    if (!SELKIE_FAILPOINTS)
        skip();
    assert_int_equal(chaos_configure("seed:5,timer:3:2000,ipi:2:3000"), 0);
    chaos_start();
    sim_test_seeds(4, SEEDS, ping_pong_main);
    sim_test_seeds(4, SEEDS, mutex_main);
    sim_test_seeds(4, 10, exclusive_main);
    sim_test_seeds(4, 10, churn_main);
    chaos_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fair_shares_follow_nice),
        cmocka_unit_test(sleepers_run_soon),
        cmocka_unit_test(real_time_goes_first),
        cmocka_unit_test(no_wake_is_lost),
        cmocka_unit_test(interruption_ends_sleep),
        cmocka_unit_test(timers_fire_once_in_time),
        cmocka_unit_test(cancelled_timers_are_over),
        cmocka_unit_test(mutex_excludes),
        cmocka_unit_test(rwlock_excludes_writers),
        cmocka_unit_test(one_wake_per_item_is_enough),
        cmocka_unit_test(callbacks_and_deadlines),
        cmocka_unit_test(affinity_is_kept),
        cmocka_unit_test(work_spreads_over_idle_cpus),
        cmocka_unit_test(ended_threads_leave_nothing),
        cmocka_unit_test(time_is_accounted),
        cmocka_unit_test(told_times_never_go_back),
        cmocka_unit_test(stuck_cpus_are_reported),
        cmocka_unit_test(late_interrupts_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
