/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/sched/runqueue.c kernel/lib/rbtree.c */
/* include: unit/sched/include */
/* runqueue_test.c - one run queue in virtual time, without a machine: who runs next, for how long,
 * and what each gets in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "sched/runqueue.h"

#define THREADS 64
static struct runqueue rq;
static struct thread thread[THREADS];
static uint64_t share[THREADS];

static struct cpu cpu;
static struct thread idle;
struct sim_cpu_head *sim_cpu;
void sim_access(void)
{
}
void sim_point(void)
{
}
void sim_deliver(void)
{
}
void panic(const char *fmt, ...)
{
    fprintf(stderr, "panic: %s\n", fmt);
    abort();
}

static int setup(void **state)
{
    (void)state;
    memset(&rq, 0, sizeof rq);
    rq_init(&rq, &cpu);
    rq.current = rq.idle = &idle;
    memset(thread, 0, sizeof thread);
    memset(share, 0, sizeof share);
    for (unsigned i = 0; i < THREADS; i++) {
        list_init(&thread[i].run_link);
        thread[i].vruntime_relative = true;
    }
    return 0;
}

static void add(unsigned i, enum sched_policy policy, int nice, int priority)
{
    thread[i].policy = (uint8_t)policy;
    thread[i].nice = (int8_t)nice;
    thread[i].rt_priority = (uint8_t)priority;
    rq_enqueue(&rq, &thread[i], RQ_NEW);
}

/* Run the first thread for its turn; returns its number. */
static unsigned turn(uint64_t *now)
{
    struct thread *t = rq_first(&rq);
    unsigned i = (unsigned)(t - thread);
    rq_dequeue(&rq, t);
    rq.current = t;
    uint64_t end = rq_slice_end(&rq, t, *now);
    if (end == UINT64_MAX)
        end = *now + NS_PER_SEC;
    assert_true(t->rq_priority || (end - *now >= SLICE_MIN_NS && end - *now <= SLICE_MAX_NS));
    rq_charge(&rq, t, end - *now);
    share[i] += end - *now;
    *now = end;
    rq_enqueue(&rq, t, RQ_EXPIRED);
    rq.current = rq.idle;
    assert_true(rb_valid(&rq.fair));
    return i;
}

static void equal_threads_get_equal_shares(void **state)
{
    (void)state;
    uint64_t now = 0;
    for (unsigned i = 0; i < 5; i++)
        add(i, SCHED_OTHER, 0, 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(turn(&now), i); /* in order of arrival */
    while (now < 10 * NS_PER_SEC)
        (void)turn(&now);
    for (unsigned i = 1; i < 5; i++)
        assert_true(share[i] + SLICE_MAX_NS >= share[0] && share[0] + SLICE_MAX_NS >= share[i]);
}

static void shares_follow_weights(void **state)
{
    (void)state;
    uint64_t now = 0;
    add(0, SCHED_OTHER, 0, 0);
    add(1, SCHED_OTHER, 10, 0); /* 1.25^10 = 9.31 */
    add(2, SCHED_OTHER, -10, 0);
    add(3, SCHED_IDLE, 0, 0); /* 341 */
    while (now < 1000 * NS_PER_SEC)
        (void)turn(&now);
    assert_in_range(share[0] * 100 / share[1], 920, 942);
    assert_in_range(share[2] * 100 / share[0], 920, 942);
    assert_in_range(share[0] / share[3], 300, 380);
}

static void newcomers_start_level(void **state)
{
    (void)state;
    uint64_t now = 0;
    add(0, SCHED_OTHER, 0, 0);
    while (now < 100 * NS_PER_SEC)
        (void)turn(&now);
    add(1, SCHED_OTHER, 0, 0);
    uint64_t before = share[0];
    for (unsigned i = 0; i < 10; i++)
        (void)turn(&now);
    assert_true(share[0] - before >= 4 * SLICE_MIN_NS); /* not starved by it */
    assert_true(share[1] >= 4 * SLICE_MIN_NS);
}

static void sleepers_lead_a_little(void **state)
{
    (void)state;
    uint64_t now = 0;
    add(0, SCHED_OTHER, 0, 0);
    add(1, SCHED_OTHER, 0, 0);
    rq_dequeue(&rq, &thread[1]); /* sleeps */
    while (now < 100 * NS_PER_SEC)
        (void)turn(&now);
    struct thread *t = rq_first(&rq);
    rq_dequeue(&rq, t);
    rq.current = t;
    rq_enqueue(&rq, &thread[1], RQ_WAKE);
    assert_int_equal(rq.min_vruntime - thread[1].vruntime, SLEEPER_LEAD_NS);
    assert_true(rq_preempts(&rq, &thread[1]));
    rq_enqueue(&rq, t, RQ_PREEMPTED);
    share[0] = share[1] = 0;
    now = 0;
    while (now < NS_PER_SEC)
        (void)turn(&now);
    assert_true(share[1] <= share[0] + SLEEPER_LEAD_NS + SLICE_MAX_NS);
}

static void real_time_before_fair(void **state)
{
    (void)state;
    uint64_t now = 0;
    add(0, SCHED_OTHER, -20, 0);
    add(1, SCHED_FIFO, 0, 1);
    add(2, SCHED_RR, 0, 99);
    add(3, SCHED_RR, 0, 99);
    assert_int_equal(turn(&now), 2);
    assert_int_equal(turn(&now), 3);
    assert_int_equal(turn(&now), 2);
    rq_dequeue(&rq, &thread[2]);
    rq_dequeue(&rq, &thread[3]);
    assert_int_equal(turn(&now), 1);
    rq.current = &thread[0];
    assert_true(rq_preempts(&rq, &thread[1]));
    rq_dequeue(&rq, &thread[1]);
    assert_ptr_equal(rq_first(&rq), &thread[0]);
    rq_dequeue(&rq, &thread[0]);
    assert_null(rq_first(&rq));
    assert_int_equal(rq.queued, 0);
}

static void preempted_real_time_keeps_its_place(void **state)
{
    (void)state;
    add(0, SCHED_FIFO, 0, 10);
    add(1, SCHED_FIFO, 0, 10);
    rq_dequeue(&rq, &thread[0]);
    rq_enqueue(&rq, &thread[0], RQ_PREEMPTED);
    assert_ptr_equal(rq_first(&rq), &thread[0]);
    rq_dequeue(&rq, &thread[0]);
    rq_enqueue(&rq, &thread[0], RQ_EXPIRED);
    assert_ptr_equal(rq_first(&rq), &thread[1]);
}

static void yielding_goes_behind_all(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        add(i, SCHED_OTHER, 0, 0);
    rq_dequeue(&rq, &thread[0]);
    thread[2].vruntime += NS_PER_MS; /* the last one */
    rq_pass(&rq, &thread[0]);
    rq_enqueue(&rq, &thread[0], RQ_EXPIRED);
    assert_ptr_equal(rq_first(&rq), &thread[1]);
    assert_ptr_equal(container_of(rb_last(&rq.fair), struct thread, run_node), &thread[0]);
}

static void batch_and_idle_do_not_preempt(void **state)
{
    (void)state;
    add(0, SCHED_OTHER, 0, 0);
    rq_dequeue(&rq, &thread[0]);
    rq.current = &thread[0];
    rq_charge(&rq, &thread[0], NS_PER_SEC);
    add(1, SCHED_BATCH, 0, 0);
    add(2, SCHED_IDLE, 0, 0);
    thread[1].vruntime -= NS_PER_SEC;
    assert_false(rq_preempts(&rq, &thread[1]));
    assert_false(rq_preempts(&rq, &thread[2]));
    rq.current = rq.idle;
    assert_true(rq_preempts(&rq, &thread[2]));
}

static void moving_keeps_the_lag(void **state)
{
    (void)state;
    uint64_t now = 0;
    add(0, SCHED_OTHER, 0, 0);
    add(1, SCHED_OTHER, 0, 0);
    while (now < NS_PER_SEC)
        (void)turn(&now);
    uint64_t lag = thread[1].vruntime - rq.min_vruntime;
    rq_dequeue(&rq, &thread[1]);
    rq_leave(&rq, &thread[1]);
    rq_leave(&rq, &thread[1]); /* twice is once */
    while (now < 2 * NS_PER_SEC)
        (void)turn(&now);
    rq_enqueue(&rq, &thread[1], RQ_NEW);
    assert_int_equal(thread[1].vruntime - rq.min_vruntime, lag);
}

static void spare_respects_affinity(void **state)
{
    (void)state;
    uint64_t only0 = 1, only1 = 2;
    add(0, SCHED_OTHER, 0, 0);
    add(1, SCHED_OTHER, 0, 0);
    add(2, SCHED_FIFO, 0, 5);
    thread[0].affinity = &only0;
    thread[1].affinity = &only1;
    thread[2].affinity = &only0;
    assert_ptr_equal(rq_spare(&rq, 1), &thread[1]);
    thread[1].on_cpu = true;
    assert_null(rq_spare(&rq, 1));
    assert_ptr_equal(rq_spare(&rq, 0), &thread[0]);
    thread[0].affinity = &only1;
    assert_ptr_equal(rq_spare(&rq, 0), &thread[2]);
}

/* Jain's index of what each of the first `count` got: 1 is equal, 1/count is all to one. */
static double jain(unsigned count)
{
    double sum = 0, squares = 0;
    for (unsigned i = 0; i < count; i++) {
        sum += (double)share[i];
        squares += (double)share[i] * (double)share[i];
    }
    return sum * sum / (count * squares);
}

static void sixty_four_threads_are_treated_alike(void **state)
{
    uint64_t now = NS_PER_SEC, start = now;
    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        add(i, SCHED_OTHER, 0, 0);
    while (now < start + 2 * NS_PER_SEC) /* some ten turns each */
        turn(&now);
    print_message("Jain's index after 2 s: %.5f\n", jain(THREADS));
    assert_true(jain(THREADS) >= 0.99);
}

/* Half of them sleep after each short turn and are back at once: the lead of a sleeper is bounded,
 * so it does not add up to more than a fair share. */
static void sleepers_do_not_outrun_the_others(void **state)
{
    uint64_t now = NS_PER_SEC, start = now;
    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        add(i, SCHED_OTHER, 0, 0);
    while (now < start + 20 * NS_PER_SEC) {
        struct thread *t = rq_first(&rq);
        unsigned i = (unsigned)(t - thread);
        uint64_t ns = i % 2 ? NS_PER_MS : rq_slice_end(&rq, t, now) - now;
        rq_dequeue(&rq, t);
        rq.current = t;
        rq_charge(&rq, t, ns);
        share[i] += ns;
        now += ns;
        rq_enqueue(&rq, t, i % 2 ? RQ_WAKE : RQ_EXPIRED);
        rq.current = rq.idle;
    }
    print_message("Jain's index with sleepers: %.5f\n", jain(THREADS));
    assert_true(jain(THREADS) >= 0.99);
}

/* 32 that have run for long, then 32 new ones: those neither starve the old ones nor wait for
 * them, from the first moment on. */
static void newcomers_share_from_the_start(void **state)
{
    uint64_t now = NS_PER_SEC, start;
    (void)state;
    for (unsigned i = 0; i < THREADS / 2; i++)
        add(i, SCHED_OTHER, 0, 0);
    for (start = now; now < start + 100 * NS_PER_SEC;)
        turn(&now);
    memset(share, 0, sizeof share);
    for (unsigned i = THREADS / 2; i < THREADS; i++)
        add(i, SCHED_OTHER, 0, 0);
    for (start = now; now < start + 2 * NS_PER_SEC;)
        turn(&now);
    print_message("Jain's index with newcomers: %.5f\n", jain(THREADS));
    assert_true(jain(THREADS) >= 0.99);
}

/* Thread 0 has run as real-time thread, and is an ordinary one from now on. */
static void a_time_as_real_time_is_not_saved_up(void **state)
{
    (void)state;
    uint64_t now = 0;
    add(0, SCHED_FIFO, 0, 10);
    add(1, SCHED_OTHER, 0, 0);
    rq_dequeue(&rq, &thread[0]); /* sleeps, most of the time */
    while (now < 100 * NS_PER_SEC)
        (void)turn(&now);
    rq_enqueue(&rq, &thread[0], RQ_WAKE);
    rq_dequeue(&rq, &thread[0]);
    while (now < 200 * NS_PER_SEC)
        (void)turn(&now);
    thread[0].policy = SCHED_OTHER;
    rq_enqueue(&rq, &thread[0], RQ_EXPIRED);
    share[1] = 0;
    for (unsigned i = 0; i < 4; i++)
        (void)turn(&now);
    assert_true(share[1] >= SLICE_MIN_NS);
}

/* The current thread alone is charged for time that was stolen, and gets it back. */
static void a_refund_is_not_a_lead(void **state)
{
    (void)state;
    uint64_t now = 0;
    add(0, SCHED_OTHER, 0, 0);
    rq_dequeue(&rq, &thread[0]);
    rq.current = &thread[0];
    rq_charge(&rq, &thread[0], 1000 * NS_PER_SEC);
    rq_refund(&thread[0], 1000 * NS_PER_SEC);
    rq_enqueue(&rq, &thread[0], RQ_EXPIRED);
    add(1, SCHED_OTHER, 0, 0);
    for (unsigned i = 0; i < 4; i++)
        (void)turn(&now);
    assert_true(share[1] >= SLICE_MIN_NS);
}

/* A thread of the lowest weight is seconds behind after one turn: who yields must not be put there,
 * but behind the others. */
static void a_yield_costs_no_more_than_a_round(void **state)
{
    (void)state;
    uint64_t now = 0, yields = 0;
    add(0, SCHED_OTHER, 0, 0);
    add(1, SCHED_OTHER, 0, 0);
    add(2, SCHED_IDLE, 0, 0);
    while (now < 100 * NS_PER_SEC) {
        struct thread *t = rq_first(&rq);
        if (t != &thread[0]) {
            (void)turn(&now);
            continue;
        }
        rq_dequeue(&rq, t);
        rq.current = t;
        rq_charge(&rq, t, NS_PER_MS);
        now += NS_PER_MS;
        rq_pass(&rq, t);
        rq_enqueue(&rq, t, RQ_EXPIRED);
        rq.current = rq.idle;
        assert_ptr_not_equal(rq_first(&rq), t);
        yields++;
    }
    assert_true(yields >= 100 * NS_PER_SEC / (NS_PER_MS + SLICE_SUM_NS + 2 * SLICE_MAX_NS));
}

/* Beside a thread of the lowest weight virtual time goes round in 20 months: however long a thread
 * has slept, it comes back with its small lead. */
static void a_sleep_of_years_is_no_debt(void **state)
{
    (void)state;
    add(0, SCHED_IDLE, 0, 0);
    add(1, SCHED_OTHER, 0, 0);
    rq_dequeue(&rq, &thread[1]);
    for (unsigned week = 0; week < 200; week++) {
        rq_dequeue(&rq, &thread[0]);
        rq.current = &thread[0];
        for (unsigned i = 0; i < 7 * 24 * 60; i++) /* in turns of a minute */
            rq_charge(&rq, &thread[0], 60 * NS_PER_SEC);
        rq_enqueue(&rq, &thread[0], RQ_EXPIRED);
        rq.current = rq.idle;
        struct thread slept = thread[1];
        rq_enqueue(&rq, &thread[1], RQ_WAKE);
        assert_int_equal(rq.min_vruntime - thread[1].vruntime, SLEEPER_LEAD_NS);
        assert_ptr_equal(rq_first(&rq), &thread[1]);
        rq_dequeue(&rq, &thread[1]);
        thread[1] = slept;
        rq_leave(&rq, &thread[1]); /* the same when it is moved */
        assert_int_equal(-thread[1].vruntime, SLEEPER_LEAD_NS);
        thread[1] = slept;
    }
}

/* What a thread has run too long is a debt of time: it shrinks when the weight grows (an owner that
 * is lent urgency), and grows back. */
static void a_debt_goes_with_the_weight(void **state)
{
    (void)state;
    uint64_t now = 0;
    add(0, SCHED_OTHER, 0, 0);
    add(1, SCHED_IDLE, 0, 0);
    while (share[1] == 0)
        (void)turn(&now);
    uint64_t debt = thread[1].vruntime - rq.min_vruntime;
    assert_true(debt > NS_PER_SEC);
    rq_dequeue(&rq, &thread[1]);
    thread[1].lent = 20; /* as nice 0 */
    assert_true(rq_stale(&thread[1]));
    rq_enqueue(&rq, &thread[1], RQ_EXPIRED);
    assert_in_range(thread[1].vruntime - rq.min_vruntime, SLICE_MAX_NS / 2, SLICE_MAX_NS + 1);
    rq_dequeue(&rq, &thread[1]);
    thread[1].lent = 0;
    rq_enqueue(&rq, &thread[1], RQ_EXPIRED);
    assert_in_range(thread[1].vruntime - rq.min_vruntime, debt - NS_PER_US, debt);
    /* The same on its way between two CPUs; a lead stays what it is. */
    rq_dequeue(&rq, &thread[1]);
    rq_leave(&rq, &thread[1]);
    thread[1].lent = 20;
    rq_refresh(&rq, &thread[1]);
    assert_in_range(thread[1].vruntime, SLICE_MAX_NS / 2, SLICE_MAX_NS + 1);
    thread[1].vruntime = 0 - NS_PER_MS;
    thread[1].lent = 0;
    rq_refresh(&rq, &thread[1]);
    assert_int_equal(thread[1].vruntime, 0 - NS_PER_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(equal_threads_get_equal_shares, setup),
        cmocka_unit_test_setup(shares_follow_weights, setup),
        cmocka_unit_test_setup(newcomers_start_level, setup),
        cmocka_unit_test_setup(sleepers_lead_a_little, setup),
        cmocka_unit_test_setup(real_time_before_fair, setup),
        cmocka_unit_test_setup(preempted_real_time_keeps_its_place, setup),
        cmocka_unit_test_setup(yielding_goes_behind_all, setup),
        cmocka_unit_test_setup(batch_and_idle_do_not_preempt, setup),
        cmocka_unit_test_setup(moving_keeps_the_lag, setup),
        cmocka_unit_test_setup(spare_respects_affinity, setup),
        cmocka_unit_test_setup(sixty_four_threads_are_treated_alike, setup),
        cmocka_unit_test_setup(sleepers_do_not_outrun_the_others, setup),
        cmocka_unit_test_setup(newcomers_share_from_the_start, setup),
        cmocka_unit_test_setup(a_time_as_real_time_is_not_saved_up, setup),
        cmocka_unit_test_setup(a_refund_is_not_a_lead, setup),
        cmocka_unit_test_setup(a_yield_costs_no_more_than_a_round, setup),
        cmocka_unit_test_setup(a_sleep_of_years_is_no_debt, setup),
        cmocka_unit_test_setup(a_debt_goes_with_the_weight, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
