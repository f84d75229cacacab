/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * signal_world.h - a process with three tasks for tests of signals on one host thread. Threads,
 * wait queues and timers are stand-ins: the test decides who runs and what happens meanwhile.
 */
#ifndef SELKIE_UNIT_SIGNAL_WORLD_H
#define SELKIE_UNIT_SIGNAL_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "isa/abi.h"
#include "lib/errno.h"
#include "mm/kmalloc.h"
#include "proc/internal.h"
#include "proc/sigset.h"
#include "proc/times.h"

#define WORLD_CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            abort(); \
        } \
    } while (0)

#define TASKS 3
static struct process process;
static struct fs_context fs;
static struct task task[TASKS];
static struct task *current;
static unsigned interrupts[TASKS];
static unsigned wakes;
static void (*while_asleep)(void);
static uint64_t runtime[TASKS];
static struct timer *armed; /* the latest */

/* ---- stand-ins ---- */

struct task *task_current(void)
{
    return current;
}
struct process *process_current(void)
{
    return &process;
}
struct process *process_next(int start)
{
    return start <= process.pid ? &process : NULL;
}
void process_put(struct process *p)
{
    WORLD_CHECK(p == &process);
}
const struct fs_cred *proc_cred(void)
{
    static const struct fs_cred root;
    return &root;
}
struct task *task_find(int tid)
{
    for (unsigned i = 0; i < TASKS; i++)
        if (task[i].tid == tid && list_linked(&task[i].process_link)) {
            thread_get(&task[i].thread);
            return &task[i];
        }
    return NULL;
}
void thread_get(struct thread *thread)
{
    ref_get(&thread->refs);
}
void thread_put(struct thread *thread)
{
    WORLD_CHECK(!ref_put(&thread->refs));
}
void thread_interrupt(struct thread *thread)
{
    interrupts[(struct task *)thread - task]++;
    thread->interrupted = true;
}
void thread_clear_interrupt(void)
{
    current->thread.interrupted = false;
}
uint64_t thread_runtime_ns(struct thread *thread)
{
    return runtime[(struct task *)thread - task];
}
void cpu_times_add(struct cpu_times *sum, struct thread *thread)
{
    sum->total_ns += thread_runtime_ns(thread);
}
void cpu_times_divide(const struct cpu_times *sum, struct cpu_times *told)
{
    told->total_ns = told->user_ns = sum->total_ns;
}
void preempt_resched(void)
{
}
void waitq_prepare(struct waitq *queue, struct waiter *w, bool interruptible)
{
    w->queue = queue;
    w->interruptible = interruptible;
}
void waitq_finish(struct waiter *w)
{
    w->queue = NULL;
}
bool waitq_wake_all(struct waitq *queue, uint32_t events)
{
    (void)queue, (void)events;
    wakes++;
    return true;
}
int waitq_sleep(struct waiter *w, uint64_t deadline_ns)
{
    (void)w;
    void (*meanwhile)(void) = while_asleep;
    while_asleep = NULL;
    if (meanwhile)
        meanwhile();
    if (current->thread.interrupted)
        return -ERESTARTSYS;
    if (meanwhile)
        return 0;
    WORLD_CHECK(deadline_ns != UINT64_MAX); /* else it sleeps for ever */
    fake_now_ns = deadline_ns;
    return -ETIMEDOUT;
}
uint64_t clock_mono_ns(void)
{
    return fake_now_ns;
}
static uint64_t wall_ahead = 1000 * NS_PER_SEC;
uint64_t clock_wall_ns(void)
{
    return fake_now_ns + wall_ahead;
}
void timer_setup(struct timer *timer, void (*fn)(struct timer *))
{
    *timer = (struct timer){.fn = fn};
}
void timer_arm(struct timer *timer, uint64_t deadline_ns)
{
    timer->deadline_ns = deadline_ns;
    timer->queue = (struct timerq *)timer;
    armed = timer;
}
bool timer_cancel(struct timer *timer)
{
    bool was_armed = timer->queue;
    timer->queue = NULL;
    return was_armed;
}
void timer_cancel_sync(struct timer *timer)
{
    timer->queue = NULL;
}
/* ---- the process ---- */

static void world_start(void)
{
    memset(&process, 0, sizeof process);
    memset(task, 0, sizeof task);
    memset(interrupts, 0, sizeof interrupts);
    memset(runtime, 0, sizeof runtime);
    process.pid = 1;
    process.fs = &fs;
    process.limits[RLIMIT_SIGPENDING].cur = 100;
    spin_init(&process.lock, RANK_PROCESS);
    list_init(&process.tasks);
    list_init(&process.timers);
    signal_pending_init(&process.shared_pending);
    itimer_init(&process);
    for (unsigned i = 0; i < TASKS; i++) {
        task[i].process = &process;
        task[i].tid = 1 + (int)i;
        ref_init(&task[i].thread.refs);
        list_init(&task[i].tid_link);
        signal_pending_init(&task[i].pending);
        list_push_back(&process.tasks, &task[i].process_link);
        process.task_count++;
    }
    current = &task[0];
    while_asleep = NULL;
    wakes = 0;
    alloc_fail_nth(0);
}

static void world_end(void)
{
    posix_timers_stop(&process);
    signal_pending_clear(&process.shared_pending, UINT64_MAX);
    for (unsigned i = 0; i < TASKS; i++) {
        WORLD_CHECK(ref_read(&task[i].thread.refs) == 1);
        signal_pending_clear(&task[i].pending, UINT64_MAX);
    }
}

/* Another task executes. */
static void as(unsigned i)
{
    current = &task[i];
}

#endif
