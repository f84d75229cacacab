/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/sched/pressure.c */
/* pressure_test.c - the reclaim thread's passes: what counts as taken. The test is the scheduler:
 * the thread's loop runs until it sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/percpu.h"
#include "fake.h"
#include "mm/kmalloc.h"
#include "mm/reclaim.h"
#include "mm/slab.h"
#include "sched/pressure.h"
#include "sched/thread.h"

static void (*reclaim_loop)(void *);
static unsigned alarms;
static jmp_buf asleep;

struct thread *thread_spawn(const char *name, void (*fn)(void *), void *arg)
{
    reclaim_loop = fn;
    return fake_self;
}
void thread_prepare_sleep(bool interruptible)
{
}
int thread_sleep(uint64_t deadline_ns)
{
    longjmp(asleep, 1);
}
void thread_finish_sleep(void)
{
}
bool thread_wake(struct thread *thread)
{
    return true;
}
uint64_t clock_mono_ns(void)
{
    return 1;
}
int sleep_until(uint64_t deadline_ns, bool interruptible)
{
    return 0;
}
void thread_for_each(void (*fn)(struct thread *, void *), void *arg)
{
}
void waitq_init(struct waitq *queue)
{
}
bool waitq_wake_all(struct waitq *queue, uint32_t events)
{
    return false;
}
void waitq_prepare(struct waitq *queue, struct waiter *w, bool interruptible)
{
}
int waitq_sleep(struct waiter *w, uint64_t deadline_ns)
{
    return 0;
}
void waitq_finish(struct waiter *w)
{
}

static void count_alarm(void)
{
    alarms++;
}

/* Slabs that an idle CPU gave back, asked by the look that is taken now and then, are free when a
 * pass begins. It finds nothing to take, so it must not say that it has taken enough: there would
 * be another pass for each page. */
static void a_pass_counts_what_it_takes(void **state)
{
    enum { OBJECTS = 2000 };
    static void *objects[OBJECTS];
    (void)state;
    fake_cpu_count = 4;
    fake_hal_init(32u << 20);
    page_init();
    kmalloc_init();
    assert_int_equal(pressure_init(), 0);
    fake_cpu_id = 2;
    for (int i = 0; i < OBJECTS; i++)
        assert_non_null(objects[i] = kmalloc(1000, 0));
    fake_cpu_id = 0;
    for (int i = 0; i < OBJECTS; i++)
        kfree(objects[i]);
    cpu_get(2)->online = true;
    uint64_t before = page_free_count();
    slab_trim_ask();
    fake_cpu_id = 2;
    while (slab_trim_pending())
        kmalloc_serve();
    cpu_get(2)->online = false;
    fake_cpu_id = 0;
    page_drain();
    assert_true(page_free_count() > before + 400);

    while (page_free_count() >= memory_level_pages(MEMORY_LOW))
        assert_non_null(page_alloc(0, PAGE_KERNEL, 0));
    if (!setjmp(asleep))
        reclaim_loop(NULL);
    memory_alarm = count_alarm;
    assert_non_null(page_alloc(0, PAGE_KERNEL, 0));
    assert_int_equal(alarms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_pass_counts_what_it_takes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
