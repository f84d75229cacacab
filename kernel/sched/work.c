/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * work.c - the work threads: see work.h.
 *
 * Each CPU has a lock-free stack of works and a thread, bound to it, that takes the whole stack,
 * turns it round and runs them in the order they came.
 *
 * Nothing is lost. A work is pushed only by who changed `queued` from false to true; the thread
 * changes it back before it calls the function. Both are atomic exchanges, so one comes first: if
 * the thread's, the other pushes and there will be another call; if the other's, the thread's
 * exchange reads from it (release, acquire), and the call that begins now sees what was written
 * before it. The thread sleeps as threads do that wait for a list: it says that it sleeps, then
 * looks at the list; who pushes on an empty list then wakes it.
 */
#include "sched/work.h"

#include "core/chaos.h"
#include "core/percpu.h"
#include "lib/errno.h"
#include "mm/account.h"
#include "sched/thread.h"
#include "sched/wait.h"

/* With nobody else's work in the way packets are not to wait for a slice; but a flood of them gets
 * a share of the CPU, not all of it. */
#define WORK_NICE (-10)

static struct worker {
    struct work *works;    /* atomic stack */
    struct thread *thread; /* NULL: none, its works go to CPU 0; atomic */
} cache_aligned workers[HAL_CPU_MAX];

void work_init(struct work *work, void (*fn)(struct work *work))
{
    *work = (struct work){.fn = fn};
}

static void push(struct worker *worker, struct work *work)
{
    struct work *head = __atomic_load_n(&worker->works, __ATOMIC_RELAXED);
    do /* seq_cst: before the look at who sleeps, in thread_wake */
        work->next = head;
    while (!__atomic_compare_exchange_n(&worker->works, &head, work, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED));
    /* seq_cst, as in start_on: either this sees the thread, or the thread sees the work when it
     * begins. */
    struct thread *thread = __atomic_load_n(&worker->thread, __ATOMIC_SEQ_CST);
    if (!head && thread)
        thread_wake(thread);
}

bool work_queue_on(struct work *work, unsigned cpu)
{
    if (__atomic_exchange_n(&work->queued, true, __ATOMIC_ACQ_REL))
        return false;
    struct worker *worker = &workers[cpu];
    if (!__atomic_load_n(&worker->thread, __ATOMIC_ACQUIRE))
        worker = &workers[0];
    push(worker, work);
    return true;
}

bool work_queue(struct work *work)
{
    /* Should the thread be moved now, then it was that CPU's a moment ago. */
    return work_queue_on(work, hal_cpu_id());
}

/* All there are, the oldest first. */
static struct work *take(struct worker *worker)
{
    struct work *work = __atomic_exchange_n(&worker->works, NULL, __ATOMIC_ACQUIRE), *list = NULL;
    while (work) {
        struct work *next = work->next;
        work->next = list;
        list = work;
        work = next;
    }
    return list;
}

static void run(struct work *list)
{
    while (list) {
        struct work *work = list;
        list = work->next;
        /* From here on it may be queued again. */
        (void)__atomic_exchange_n(&work->queued, false, __ATOMIC_ACQ_REL);
        work->fn(work); /* may free it */
        sched_poll();
    }
}

/* As if the interrupts had come late that queued it (docs/chaos.md). */
static void be_late(void)
{
    uint64_t delay = chaos_delay(CHAOS_WORK);
    int err = delay ? sleep_until(clock_mono_ns() + delay, false) : 0;
    (void)err; /* its time is over: nobody interrupts it */
}

static void work_thread(void *arg)
{
    struct worker *worker = arg;
    for (;;) {
        thread_prepare_sleep(false);
        if (!__atomic_load_n(&worker->works, __ATOMIC_SEQ_CST))
            (void)thread_sleep(UINT64_MAX); /* woken, whatever the result */
        thread_finish_sleep();
        be_late();
        run(take(worker));
    }
}

static int start_on(unsigned cpu)
{
    uint64_t mask[HAL_CPU_MAX / 64] = {0};
    struct thread *thread = owner_alloc(OWNER_THREAD, sizeof(*thread));
    const struct thread_attr attr = {.name = "work"};
    int err = -ENOMEM;
    if (!thread)
        return err;
    err = thread_init(thread, &attr, work_thread, &workers[cpu]);
    if (err)
        goto fail;
    mask[cpu / 64] = 1ull << cpu % 64;
    sched_set_nice(thread, WORK_NICE);
    err = sched_set_affinity(thread, mask);
    if (err) {
        thread_fini(thread);
        goto fail;
    }
    __atomic_store_n(&workers[cpu].thread, thread, __ATOMIC_SEQ_CST);
    thread_start(thread);
    return 0;
fail:
    owner_free(OWNER_THREAD, thread, sizeof(*thread));
    return err;
}

rarely int work_start(void)
{
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        int err = __atomic_load_n(&cpu_get(id)->online, __ATOMIC_ACQUIRE) ? start_on(id) : 0;
        if (err)
            return err;
    }
    return 0;
}
