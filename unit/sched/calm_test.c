/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched */
/* include: unit/sched/include */
/* calm_test.c - which wake-ups interrupt a CPU that computes, and how late the others are, in
 * virtual time. CPU 1 wakes; two threads compute on CPU 0, where the sleeper has slept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crew.h"
#include "sched/internal.h"

#define SEEDS 5
#define WAKES 200u
#define PERIOD_NS (25 * NS_PER_MS) /* the sleeper has a lead again */
#define FEW 10u
#define SOON_NS (3 * NS_PER_MS)
#define A_TURN_NS SLICE_MAX_NS

static struct waitq sleeper_queue, herald_queue;
static uint64_t woken_at, late_ns;
static unsigned woken, seen, heralded;
static uint64_t works_ns; /* the sleeper, each time */
static bool stop;

static void pin(uint64_t mask)
{
    SIM_CHECK(sched_set_affinity(thread_current(), &mask) == 0);
}

static bool stopped(void)
{
    return __atomic_load_n(&stop, __ATOMIC_SEQ_CST);
}

static void computes(void *arg)
{
    (void)arg;
    pin(1);
    while (!stopped())
        sim_work(200000);
    finish();
}

/* The CPU is calm, busy with one thread, and idle by turns. */
static void comes_and_goes(void *arg)
{
    (void)arg;
    pin(1);
    while (!stopped()) {
        sim_work(sim_random(SLICE_MAX_NS));
        SIM_CHECK(sleep_until(sim_now() + sim_random(SLICE_MAX_NS), false) == 0);
    }
    finish();
}

static bool called(void)
{
    return __atomic_load_n(&woken, __ATOMIC_SEQ_CST) != seen;
}

static void sleeps(void *arg)
{
    (void)arg;
    pin(1);
    while (!stopped() && seen < WAKES) {
        struct waiter w;
        waitq_prepare(&sleeper_queue, &w, false);
        if (!called())
            SIM_CHECK(waitq_sleep(&w, UINT64_MAX) == 0);
        waitq_finish(&w);
        uint64_t called_at = __atomic_load_n(&woken_at, __ATOMIC_SEQ_CST);
        late_ns += called_at ? sim_now() - called_at : 0;
        sim_work(works_ns);
        __atomic_store_n(&seen, seen + 1, __ATOMIC_SEQ_CST);
    }
    finish();
}

/* Can wait; woken before the sleeper each time. */
static void herald(void *arg)
{
    struct waiter w;
    (void)arg;
    pin(1);
    waitq_prepare(&herald_queue, &w, false);
    while (!stopped()) {
        SIM_CHECK(waitq_sleep(&w, UINT64_MAX) == 0);
        heralded++;
    }
    waitq_finish(&w);
    finish();
}

struct scene {
    enum sched_policy policy;
    void (*others)(void *);
    enum sched_policy becomes; /* right after each wake-up */
    bool may_go;               /* to the idle CPU 2, every other time; otherwise back to CPU 0 */
    bool herald, alone;
    uint64_t works, gap; /* the sleeper, and before it is woken again; 0: long enough for a lead */
    unsigned ipis_min, ipis_max;
    uint64_t late; /* at most, in the mean */
};

static void wake(const struct scene *scene, struct thread *sleeper)
{
    bool goes = scene->may_go && woken % 2;
    uint64_t mask = goes ? 5 : 1;
    if (scene->may_go)
        SIM_CHECK(sched_set_affinity(sleeper, &mask) == 0);
    sim_work(scene->gap ? scene->gap : NS_PER_MS);
    bool counts = goes == scene->may_go;
    if (scene->herald)
        waitq_wake_all(&herald_queue, 0);
    __atomic_store_n(&woken_at, counts ? sim_now() : 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&woken, woken + 1, __ATOMIC_SEQ_CST);
    waitq_wake_all(&sleeper_queue, 0);
    if (scene->becomes != scene->policy)
        sched_set_policy(sleeper, scene->becomes, 50);
    if (!scene->gap)
        sim_work(PERIOD_NS);
    while (scene->gap && __atomic_load_n(&seen, __ATOMIC_SEQ_CST) != woken)
        sim_work(20 * NS_PER_US);
    SIM_CHECK(__atomic_load_n(&seen, __ATOMIC_SEQ_CST) == woken);
    if (scene->becomes != scene->policy)
        sched_set_policy(sleeper, scene->policy, 0);
}

static void scene_main(void *arg)
{
    const struct scene *scene = arg;
    waitq_init(&done_queue);
    waitq_init(&sleeper_queue);
    waitq_init(&herald_queue);
    works_ns = scene->works;
    pin(2);
    spawn(scene->others, 0, scene->alone ? 1 : 2);
    __atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
    struct thread *sleeper = thread_spawn("sleeper", sleeps, NULL);
    SIM_CHECK(sleeper);
    thread_get(sleeper);
    __atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
    struct thread *first = thread_spawn("herald", herald, NULL);
    SIM_CHECK(first);
    thread_get(first);
    sched_set_policy(first, SCHED_BATCH, 0);
    sched_set_policy(sleeper, scene->policy, scene->policy == SCHED_FIFO ? 50 : 0);
    sim_work(PERIOD_NS);
    unsigned ipis = sim_ipi_count;
    for (unsigned i = 0; i < WAKES; i++)
        wake(scene, sleeper);
    ipis = sim_ipi_count - ipis;
    SIM_CHECK(ipis >= scene->ipis_min && ipis <= scene->ipis_max);
    SIM_CHECK(late_ns <= WAKES * scene->late);
    SIM_CHECK(heralded == (scene->herald ? WAKES : 0));
    stop = true;
    waitq_wake_all(&herald_queue, 0);
    await_all();
    thread_put(first);
    thread_put(sleeper);
}

static void play(struct scene scene, unsigned cpus)
{
    if (!scene.others)
        scene.others = computes;
    if (!scene.becomes)
        scene.becomes = scene.policy;
    for (unsigned seed = 0; seed < SEEDS; seed++)
        sim_test(cpus, seed, scene_main, &scene);
}

/* A batch thread never preempts: the end of the turn will do. */
static void who_can_wait_does_not_interrupt(void **state)
{
    (void)state;
    play((struct scene){.policy = SCHED_BATCH, .ipis_max = FEW, .late = A_TURN_NS}, 2);
}

/* It has slept for longer than it has run. */
static void who_is_ahead_interrupts(void **state)
{
    (void)state;
    play((struct scene){.policy = SCHED_OTHER,
                        .ipis_min = WAKES - FEW,
                        .ipis_max = WAKES + FEW,
                        .late = SOON_NS},
         2);
}

static void real_time_interrupts(void **state)
{
    (void)state;
    play((struct scene){.policy = SCHED_FIFO,
                        .ipis_min = WAKES - FEW,
                        .ipis_max = WAKES + FEW,
                        .late = SOON_NS},
         2);
}

/* The other one, who lies in the inbox already, has not. */
static void who_comes_after_one_that_waits_interrupts(void **state)
{
    (void)state;
    play((struct scene){.policy = SCHED_FIFO,
                        .herald = true,
                        .ipis_min = WAKES - FEW,
                        .ipis_max = WAKES + FEW,
                        .late = SOON_NS},
         2);
}

/* Its CPU can give it away, and nobody else can. */
static void an_idle_cpu_is_worth_an_interrupt(void **state)
{
    (void)state;
    play((struct scene){.policy = SCHED_BATCH,
                        .may_go = true,
                        .ipis_max = 8 * WAKES,
                        .late = 2 * NS_PER_MS /* half of them are not counted */},
         3);
}

/* What lies in the inbox becomes urgent. */
static void who_becomes_urgent_does_not_wait(void **state)
{
    (void)state;
    play((struct scene){.policy = SCHED_BATCH,
                        .becomes = SCHED_FIFO,
                        .ipis_min = 2 * WAKES - FEW,
                        .ipis_max = 4 * WAKES,
                        .late = SOON_NS},
         2);
}

/* No turn of it ends: it must be told even of those who then wait. */
static void who_computes_alone_is_interrupted(void **state)
{
    (void)state;
    play((struct scene){.policy = SCHED_BATCH,
                        .alone = true,
                        .ipis_min = WAKES - FEW,
                        .ipis_max = WAKES + FEW,
                        .late = A_TURN_NS},
         2);
}

/* It has had its share, mostly. */
static void who_is_not_ahead_does_not_interrupt(void **state)
{
    (void)state;
    play((struct scene){.policy = SCHED_OTHER,
                        .works = 5 * NS_PER_MS,
                        .gap = 100 * NS_PER_US,
                        .ipis_max = WAKES * 6 / 10,
                        .late = 2 * A_TURN_NS},
         2);
}

static void nobody_is_lost_when_calm_ends(void **state)
{
    (void)state;
    play((struct scene){.policy = SCHED_BATCH,
                        .others = comes_and_goes,
                        .ipis_max = 8 * WAKES,
                        .late = A_TURN_NS},
         2);
}

/* ---- the end of calm, step by step ---- */

#define ROUNDS WAKES
#define RUNS_NS (20 * NS_PER_MS)
static unsigned rounds, rounds_done;

static bool round_called(void)
{
    return __atomic_load_n(&rounds, __ATOMIC_SEQ_CST) != rounds_done;
}

/* Takes the CPU from those who compute, and is not calm. */
static void takes(void *arg)
{
    (void)arg;
    pin(1);
    while (rounds_done < ROUNDS) {
        struct waiter w;
        waitq_prepare(&herald_queue, &w, false);
        if (!round_called())
            SIM_CHECK(waitq_sleep(&w, UINT64_MAX) == 0);
        waitq_finish(&w);
        sim_work(RUNS_NS);
        rounds_done++;
    }
    finish();
}

/* Whoever is woken then, and can wait, must not lie unseen when it cannot any more. */
static void race(struct thread *sleeper)
{
    __atomic_store_n(&rounds, rounds + 1, __ATOMIC_SEQ_CST);
    waitq_wake_all(&herald_queue, 0);
    for (unsigned steps = (unsigned)sim_random(60); steps; steps--)
        (void)__atomic_load_n(&stop, __ATOMIC_RELAXED);
    __atomic_store_n(&woken, woken + 1, __ATOMIC_SEQ_CST);
    waitq_wake_all(&sleeper_queue, 0);
    sched_set_policy(sleeper, SCHED_FIFO, 50);
    /* Sooner than the turn ends that was programmed before. */
    for (uint64_t end = sim_now() + 2 * NS_PER_MS; sim_now() < end;)
        sim_work(2 * NS_PER_US);
    SIM_CHECK(__atomic_load_n(&seen, __ATOMIC_SEQ_CST) == woken);
    sched_set_policy(sleeper, SCHED_BATCH, 0);
    sim_work(RUNS_NS + PERIOD_NS);
}

static void race_main(void *arg)
{
    struct thread *thread[2];
    (void)arg;
    waitq_init(&done_queue);
    waitq_init(&sleeper_queue);
    waitq_init(&herald_queue);
    pin(2);
    spawn(computes, 0, 2);
    running += 2;
    SIM_CHECK((thread[0] = thread_spawn("sleeper", sleeps, NULL)) != NULL);
    thread_get(thread[0]);
    SIM_CHECK((thread[1] = thread_spawn("urgent", takes, NULL)) != NULL);
    sched_set_policy(thread[0], SCHED_BATCH, 0);
    sched_set_policy(thread[1], SCHED_FIFO, 10);
    sim_work(PERIOD_NS);
    for (unsigned i = 0; i < ROUNDS; i++)
        race(thread[0]);
    stop = true;
    await_all();
    thread_put(thread[0]);
}
static void nobody_is_left_behind_when_calm_ends(void **state)
{
    (void)state;
    sim_test_seeds(2, SEEDS, race_main);
}

/* ---- the waker's opinion ---- */

/* Mostly near the margin, sometimes as far as only a very long sleep leads. */
static uint64_t random_lead(void)
{
    uint64_t lead = sim_random(4 * NS_PER_MS);
    if (sim_random(4) == 0)
        lead = 1ull << sim_random(62);
    return sim_random(3) ? lead : -lead;
}

static void random_rank(struct thread *thread)
{
    static const uint8_t policies[] = {SCHED_OTHER, SCHED_OTHER, SCHED_OTHER, SCHED_BATCH,
                                       SCHED_IDLE,  SCHED_RR,    SCHED_FIFO};
    thread->policy = policies[sim_random(ARRAY_COUNT(policies))];
    thread->rt_priority = (uint8_t)(1 + sim_random(RT_PRIORITY_MAX));
    thread->nice = (int8_t)(NICE_MIN + (int)sim_random(NICE_MAX - NICE_MIN + 1));
    thread->lent = (uint8_t)(sim_random(3) ? 0 : sim_random(URGENCY_NICE_MAX + 5));
}

/* Whom the owner would let go first the waker does not leave in the inbox; and whom it would not,
 * he does, where the lead is not one that the queue cuts. */
static void ask_both(struct runqueue *rq, uint64_t base)
{
    uint64_t lead = random_lead(), ran = sim_random(SLICE_MAX_NS), began = rq->current->run_start;
    struct thread sleeper = {.vruntime = base + ran - lead};
    struct calm_wish wish;
    random_rank(&sleeper);
    sleeper.slept_at = sleeper.vruntime;
    bool may_wait = calm_may_take(rq, &sleeper, began + ran, &wish);
    SIM_CHECK(!may_wait || calm_takes(rq, &wish));
    rq_charge(rq, rq->current, ran);
    rq_enqueue(rq, &sleeper, RQ_WAKE);
    bool goes_first = rq_preempts(rq, &sleeper);
    SIM_CHECK(!(goes_first && may_wait));
    SIM_CHECK(goes_first || may_wait || lead + SLEEPER_LEAD_NS > 2 * SLEEPER_LEAD_NS);
    rq_dequeue(rq, &sleeper);
}

static void same_answer_main(void *arg)
{
    static struct runqueue rq;
    unsigned calm = 0;
    (void)arg;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t base = sim_random(UINT64_MAX);
        struct thread waits = {.vruntime = base}, current = {.vruntime = base, .run_start = 1 + i};
        rq_init(&rq, NULL);
        rq.min_vruntime = base;
        rq.current = &current;
        if (i % 2)
            random_rank(&current);
        rq_refresh(&rq, &current);
        rq_enqueue(&rq, &waits, RQ_WAKE);
        SIM_CHECK(!calm_renew(&rq));
        SIM_CHECK(!rq.calm || !current.rq_priority);
        calm += rq.calm != 0;
        if (rq.calm)
            ask_both(&rq, base);
        rq_dequeue(&rq, &waits);
    }
    SIM_CHECK(calm >= 10000);
}
static void the_waker_decides_as_the_owner_would(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, same_answer_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_can_wait_does_not_interrupt),
        cmocka_unit_test(who_is_ahead_interrupts),
        cmocka_unit_test(real_time_interrupts),
        cmocka_unit_test(who_comes_after_one_that_waits_interrupts),
        cmocka_unit_test(an_idle_cpu_is_worth_an_interrupt),
        cmocka_unit_test(who_becomes_urgent_does_not_wait),
        cmocka_unit_test(who_computes_alone_is_interrupted),
        cmocka_unit_test(who_is_not_ahead_does_not_interrupt),
        cmocka_unit_test(nobody_is_lost_when_calm_ends),
        cmocka_unit_test(nobody_is_left_behind_when_calm_ends),
        cmocka_unit_test(the_waker_decides_as_the_owner_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
