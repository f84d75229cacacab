/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched */
/* include: unit/sched/include */
/* manycpus_test.c - a machine of 130 CPUs, so that a set of them needs three words: affinity, its
 * inheritance, idle CPUs that are found, and the barrier, beyond the 64th. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crew.h"
#include "lib/errno.h"

#define CPUS 130
#define WORDS 3
#define SEEDS 5

struct mask {
    uint64_t word[WORDS];
};

static struct mask mask_of(unsigned cpu)
{
    struct mask mask = {{0}};
    mask.word[cpu / 64] = 1ull << cpu % 64;
    return mask;
}

static struct mask affinity(void)
{
    struct mask got = {{1, 2, 3}};
    sched_get_affinity(thread_current(), got.word);
    return got;
}

static bool same(struct mask got, uint64_t a, uint64_t b, uint64_t c)
{
    return got.word[0] == a && got.word[1] == b && got.word[2] == c;
}

/* ---- what a set is ---- */

static void mask_main(void *arg)
{
    struct mask none = {{0}}, beyond = {{0, 0, ~3ull}}, every = {{~0ull, ~0ull, ~0ull}};
    (void)arg;
    SIM_CHECK(cpu_online_count() == CPUS);
    SIM_CHECK(same(affinity(), ~0ull, ~0ull, 3));
    SIM_CHECK(sched_set_affinity(thread_current(), none.word) == -EINVAL);
    SIM_CHECK(sched_set_affinity(thread_current(), beyond.word) == -EINVAL);
    for (unsigned i = 0; i < 2; i++) { /* the first and the later changes */
        SIM_CHECK(sched_set_affinity(thread_current(), every.word) == 0);
        SIM_CHECK(same(affinity(), ~0ull, ~0ull, 3));
    }
}
static void a_set_has_as_many_bits_as_there_are_cpus(void **state)
{
    (void)state;
    sim_test_seeds(CPUS, SEEDS, mask_main);
}

static void everywhere_main(void *arg)
{
    struct mask two = {{0, 1ull << 63, 1}};
    (void)arg;
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        struct mask only = mask_of(cpu);
        SIM_CHECK(sched_set_affinity(thread_current(), only.word) == 0);
        SIM_CHECK(hal_cpu_id() == cpu);
        SIM_CHECK(same(affinity(), only.word[0], only.word[1], only.word[2]));
    }
    SIM_CHECK(sched_set_affinity(thread_current(), two.word) == 0);
    for (unsigned i = 0; i < 50; i++) {
        SIM_CHECK(hal_cpu_id() == 127 || hal_cpu_id() == 128);
        sim_work(sim_random(20000));
        SIM_CHECK(sleep_until(sim_now() + sim_random(20000), false) == 0);
    }
}
static void a_thread_goes_to_any_of_them(void **state)
{
    (void)state;
    sim_test_seeds(CPUS, SEEDS, everywhere_main);
}

/* ---- what threads get from their creator ---- */

static void looks(void *arg)
{
    (void)arg;
    SIM_CHECK(hal_cpu_id() == 129 && same(affinity(), 0, 0, 2));
    finish();
}
static void free_child(struct thread *thread)
{
    free(thread);
}
static void inherit_main(void *arg)
{
    static uint8_t registers[64];
    const struct thread_attr attr = {.name = "child", .user = true, .exit_hook = free_child};
    struct mask last = mask_of(129);
    (void)arg;
    waitq_init(&done_queue);
    thread_current()->fp = registers; /* as a program's thread: those bequeath */
    SIM_CHECK(sched_set_affinity(thread_current(), last.word) == 0);
    for (unsigned i = 0; i < 5; i++) {
        struct thread *child = calloc(1, sizeof *child);
        SIM_CHECK(child && thread_init(child, &attr, looks, NULL) == 0);
        running++;
        thread_start(child);
    }
    await_all();
    thread_current()->fp = NULL;
}
static void a_set_is_inherited(void **state)
{
    (void)state;
    sim_test_seeds(CPUS, SEEDS, inherit_main);
}

/* Who reads a set while it is changed from one word to another finds one of the two or both. */
static bool stop;
static struct thread *changed;
static void is_changed(void *arg)
{
    (void)arg;
    thread_get(thread_current());
    __atomic_store_n(&changed, thread_current(), __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        struct mask got = affinity();
        SIM_CHECK(got.word[0] || got.word[2]);
        sim_work(100);
    }
    finish();
}
static void change_main(void *arg)
{
    struct mask first = mask_of(3), last = mask_of(128);
    (void)arg;
    waitq_init(&done_queue);
    spawn(is_changed, 0, 1);
    while (!__atomic_load_n(&changed, __ATOMIC_SEQ_CST))
        sched_yield();
    for (unsigned i = 0; i < 300; i++) {
        SIM_CHECK(sched_set_affinity(changed, (i & 1 ? first : last).word) == 0);
        sim_work(sim_random(500));
    }
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    await_all();
}
static void a_set_that_is_changed_is_never_empty(void **state)
{
    (void)state;
    sim_test_seeds(CPUS, 20, change_main);
}

/* ---- where threads go by themselves ---- */

static uint64_t seen[WORDS];
static unsigned started;
static void spreads(void *arg)
{
    (void)arg;
    __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) < CPUS)
        sim_work(10000);
    for (unsigned i = 0; i < 50; i++) {
        unsigned cpu = hal_cpu_id();
        __atomic_fetch_or(&seen[cpu / 64], 1ull << cpu % 64, __ATOMIC_SEQ_CST);
        sim_work(100000);
    }
    finish();
}
static void spread_main(void *arg)
{
    (void)arg;
    waitq_init(&done_queue);
    spawn(spreads, 0, CPUS);
    await_all();
    SIM_CHECK(seen[0] == ~0ull && seen[1] == ~0ull && seen[2] == 3);
}
static void work_spreads_over_all_of_them(void **state)
{
    (void)state;
    sim_test_seeds(CPUS, SEEDS, spread_main);
}

static void barrier_main(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 5; i++) {
        unsigned before = sim_ipi_count;
        sched_barrier();
        SIM_CHECK(sim_ipi_count >= before + CPUS);
    }
}
static void the_barrier_reaches_all_of_them(void **state)
{
    (void)state;
    sim_test_seeds(CPUS, SEEDS, barrier_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_has_as_many_bits_as_there_are_cpus),
        cmocka_unit_test(a_thread_goes_to_any_of_them),
        cmocka_unit_test(a_set_is_inherited),
        cmocka_unit_test(a_set_that_is_changed_is_never_empty),
        cmocka_unit_test(work_spreads_over_all_of_them),
        cmocka_unit_test(the_barrier_reaches_all_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
