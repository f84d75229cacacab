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
#include "sched/runqueue.h"

#define SEEDS 5
#define WAKES 200u
#define PERIOD_NS (25 * NS_PER_MS) /* the sleeper has a lead again */
#define FEW 10u
#define SOON_NS (3 * NS_PER_MS)
#define A_TURN_NS SLICE_MAX_NS

static struct waitq sleeper_queue, herald_queue;
static uint64_t woken_at, late_ns;
static unsigned woken, seen, heralded;
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
    while (seen < WAKES) {
        struct waiter w;
        waitq_prepare(&sleeper_queue, &w, false);
        if (!called())
            SIM_CHECK(waitq_sleep(&w, UINT64_MAX) == 0);
        waitq_finish(&w);
        uint64_t called_at = __atomic_load_n(&woken_at, __ATOMIC_SEQ_CST);
        late_ns += called_at ? sim_now() - called_at : 0;
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
    bool herald;
    unsigned ipis_min, ipis_max;
    uint64_t late; /* at most, in the mean */
};

static void wake(const struct scene *scene, struct thread *sleeper)
{
    bool goes = scene->may_go && woken % 2;
    uint64_t mask = goes ? 5 : 1;
    if (scene->may_go)
        SIM_CHECK(sched_set_affinity(sleeper, &mask) == 0);
    sim_work(NS_PER_MS);
    bool counts = goes == scene->may_go;
    if (scene->herald)
        waitq_wake_all(&herald_queue, 0);
    __atomic_store_n(&woken_at, counts ? sim_now() : 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&woken, woken + 1, __ATOMIC_SEQ_CST);
    waitq_wake_all(&sleeper_queue, 0);
    if (scene->becomes != scene->policy)
        sched_set_policy(sleeper, scene->becomes, 50);
    sim_work(PERIOD_NS);
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
    pin(2);
    spawn(scene->others, 0, 2);
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

static void nobody_is_lost_when_calm_ends(void **state)
{
    (void)state;
    play((struct scene){.policy = SCHED_BATCH,
                        .others = comes_and_goes,
                        .ipis_max = 8 * WAKES,
                        .late = A_TURN_NS},
         2);
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
        cmocka_unit_test(nobody_is_lost_when_calm_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
