/* SPDX-License-Identifier: BSD-3-Clause */
/* fake_fs.c - wait queues, timers and process queries for a test program with one thread. */
#include "fake_fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/percpu.h"
#include "core/random.h"
#include "fake.h"
#include "isa.h"
#include "lib/format.h"
#include "mm/kmalloc.h"
#include "mm/space.h"
#include "sched/pressure.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sched/work.h"

void (*fake_sleep_hook)(void);
unsigned fake_sleeps;
struct fdtable *fake_fdtable;
struct fs_context *fake_context;
int fake_tty_signal;
int fake_pressure_watchers;
unsigned fake_memory_waits;

/* ---- work: at once, for tests that have no queue of their own ---- */

__attribute__((weak)) void work_init(struct work *work, void (*fn)(struct work *))
{
    *work = (struct work){.fn = fn};
}
__attribute__((weak)) bool work_queue(struct work *work)
{
    work->fn(work);
    return true;
}

/* ---- wait queues ---- */

static bool self_woken;

void waitq_init(struct waitq *queue)
{
    waitq_init_rank(queue, RANK_WAITQ);
}
void waitq_init_rank(struct waitq *queue, enum lock_rank rank)
{
    spin_init(&queue->lock, rank);
    list_init(&queue->waiters);
}
void waitq_prepare(struct waitq *queue, struct waiter *w, bool interruptible)
{
    *w = (struct waiter){.queue = queue, .interruptible = interruptible};
    list_push_back(&queue->waiters, &w->link);
}
static int fake_sleep(bool *woken, uint64_t deadline_ns)
{
    fake_sleeps++;
    if (!*woken && fake_sleep_hook)
        fake_sleep_hook();
    bool was = *woken;
    *woken = false;
    if (was)
        return 0;
    if (deadline_ns != UINT64_MAX) {
        if (deadline_ns > fake_now_ns)
            fake_now_ns = deadline_ns;
        return -ETIMEDOUT;
    }
    return -ERESTARTSYS;
}
int waitq_sleep(struct waiter *w, uint64_t deadline_ns)
{
    return fake_sleep(&w->woken, deadline_ns);
}
void waitq_finish(struct waiter *w)
{
    list_remove(&w->link);
}
void waitq_add(struct waitq *queue, struct waiter *w, void (*fn)(struct waiter *, uint32_t))
{
    *w = (struct waiter){.queue = queue, .fn = fn};
    list_push_back(&queue->waiters, &w->link);
}
void waitq_remove(struct waiter *w)
{
    list_remove(&w->link);
}
static bool wake_waiters(struct waitq *queue, uint32_t events, bool all)
{
    bool any = false, done = false;
    unsigned long irq = spin_lock_irqsave(&queue->lock); /* checks ranks as the real one does */
    list_for_each_safe (node, next, &queue->waiters) {
        struct waiter *w = list_entry(node, struct waiter, link);
        if (w->exclusive && done && !all)
            continue;
        bool taken = !w->woken;
        if (w->fn) {
            w->woken = false;
            w->fn(w, events);
            taken = w->woken;
        } else {
            w->woken = true;
        }
        any |= taken;
        done |= taken && w->exclusive;
    }
    spin_unlock_irqrestore(&queue->lock, irq);
    return any;
}
bool waitq_wake_all(struct waitq *queue, uint32_t events)
{
    return wake_waiters(queue, events, true);
}
bool waitq_busy(struct waitq *queue)
{
    return !list_empty(&queue->waiters);
}
void waitq_add_exclusive(struct waitq *queue, struct waiter *w,
                         void (*fn)(struct waiter *, uint32_t))
{
    waitq_add(queue, w, fn);
    w->exclusive = true;
}
void waitq_wake_one(struct waitq *queue, uint32_t events)
{
    wake_waiters(queue, events, false);
}
void thread_prepare_sleep(bool interruptible)
{
    self_woken = false;
}
int thread_sleep(uint64_t deadline_ns)
{
    int err = fake_sleep(&self_woken, deadline_ns);
    return err == -ERESTARTSYS ? -EINTR : err;
}
void thread_finish_sleep(void)
{
}
bool thread_wake(struct thread *thread)
{
    self_woken = true;
    return true;
}
void thread_clear_interrupt(void)
{
}
bool thread_interrupted(void)
{
    return false;
}
bool memory_wait(void)
{
    return fake_memory_waits > 0 && fake_memory_waits--;
}
__attribute__((weak)) struct thread *thread_spawn(const char *name, void (*fn)(void *), void *arg)
{
    return fake_self; /* never runs: tests feed the tty themselves */
}
__attribute__((weak)) void thread_exit(void)
{
    abort();
}
unsigned thread_count(void)
{
    return 1;
}
void sched_get_stats(unsigned cpu, struct sched_cpu_stats *out)
{
    memset(out, 0, sizeof(*out));
}

/* ---- time ---- */

#define TIMERS_MAX 256
static struct timer *timers[TIMERS_MAX];
static size_t timers_end; /* none stands behind it */

void timer_setup(struct timer *timer, void (*fn)(struct timer *))
{
    memset(timer, 0, sizeof(*timer));
    timer->fn = fn;
}
static bool timer_drop(struct timer *timer)
{
    if (!timer->queue)
        return false;
    for (size_t i = 0; i < timers_end; i++)
        if (timers[i] == timer) {
            timers[i] = NULL;
            timer->queue = NULL;
            while (timers_end && !timers[timers_end - 1])
                timers_end--;
            return true;
        }
    return false;
}
void timer_arm(struct timer *timer, uint64_t deadline_ns)
{
    timer_drop(timer);
    timer->deadline_ns = deadline_ns;
    timer->queue = (struct timerq *)timer; /* armed */
    for (size_t i = 0; i < TIMERS_MAX; i++)
        if (!timers[i]) {
            timers[i] = timer;
            timers_end = i < timers_end ? timers_end : i + 1;
            return;
        }
    abort();
}
bool timer_cancel(struct timer *timer)
{
    return timer_drop(timer);
}
void timer_cancel_sync(struct timer *timer)
{
    timer_drop(timer);
}
static struct timer *timer_first(void)
{
    struct timer *first = NULL;
    for (size_t i = 0; i < timers_end; i++)
        if (timers[i] && (!first || timers[i]->deadline_ns < first->deadline_ns))
            first = timers[i];
    return first;
}
uint64_t fake_timer_next(void)
{
    struct timer *first = timer_first();
    return first ? first->deadline_ns : UINT64_MAX;
}
void fake_advance(uint64_t ns)
{
    uint64_t until = fake_now_ns + ns;
    struct timer *t;
    while ((t = timer_first()) != NULL && t->deadline_ns <= until) {
        if (t->deadline_ns > fake_now_ns)
            fake_now_ns = t->deadline_ns;
        timer_drop(t);
        t->fn(t);
    }
    fake_now_ns = until;
}
uint64_t clock_mono_ns(void)
{
    return fake_now_ns;
}
static uint64_t wall_offset;
uint64_t clock_wall_ns(void)
{
    return fake_now_ns + 1700000000ull * NS_PER_SEC + wall_offset;
}
static uint32_t set_count;
static struct waitq set_queue;
int clock_wall_set(uint64_t ns)
{
    wall_offset += ns - clock_wall_ns();
    set_count++;
    waitq_wake_all(clock_set_queue(), 0);
    return 0;
}
uint32_t clock_set_count(void)
{
    return set_count;
}
struct waitq *clock_set_queue(void)
{
    if (!set_queue.waiters.next)
        waitq_init(&set_queue);
    return &set_queue;
}

/* ---- the process layer ---- */

int proc_text(int pid, int tid, enum proc_text what, struct strbuf *sb)
{
    strbuf_printf(sb, "text %d of %d/%d\n", (int)what, pid, tid);
    return 0;
}
struct fs_cred fake_cred;
__attribute__((weak)) const struct fs_cred *proc_cred(void)
{
    return &fake_cred;
}
int proc_current_pid(void)
{
    return 1;
}
int proc_current_tid(void)
{
    return 1;
}
__attribute__((weak)) int proc_next_pid(int start)
{
    return start <= 1 ? 1 : 0;
}
int proc_next_tid(int pid, int start)
{
    return start <= 1 ? 1 : start <= 7 ? 7 : 0;
}
int proc_exe_path(int pid, char *buf, size_t size)
{
    return snprintf(buf, size, "/bin/hello");
}
struct fdtable *proc_fdtable(int pid)
{
    if (fake_fdtable)
        fdtable_get(fake_fdtable);
    return fake_fdtable;
}
struct fs_context *proc_fs_context(int pid)
{
    fs_context_get(fake_context);
    return fake_context;
}
int proc_set_comm(int pid, int tid, const char *name)
{
    return 0;
}
void proc_loadavg(struct strbuf *sb)
{
    strbuf_printf(sb, "0.00 0.00 0.00 1/1 1\n");
}
void proc_hostname(struct strbuf *sb)
{
    strbuf_printf(sb, "selkie");
}
uint64_t fake_file_size_limit = UINT64_MAX;
unsigned fake_too_big;
uint64_t proc_file_size_limit(void)
{
    return fake_file_size_limit;
}
void proc_file_too_big(void)
{
    fake_too_big++;
}
void isa_cpuinfo(struct strbuf *sb, unsigned cpu, unsigned count)
{
    strbuf_printf(sb, "processor\t: %u\n\n", cpu);
}
unsigned fake_broken_pipes;
void proc_broken_pipe(void)
{
    fake_broken_pipes++;
}
void proc_tty_signal(int pgrp, int signo)
{
    fake_tty_signal = signo;
}
bool proc_group_lives(int pgrp)
{
    return pgrp == 1;
}
struct waitq pressure_changes;
__attribute__((weak)) void pressure_get_stats(struct pressure_stats *out)
{
    *out = (struct pressure_stats){.avg = {{(1 << 16) + (1 << 14), 2 << 16, 0}},
                                   .total_ns = {5000000, 3000000}};
}
uint32_t pressure_level_changes(void)
{
    return 0;
}
void pressure_watch(int delta)
{
    fake_pressure_watchers += delta;
}
__attribute__((weak)) struct space *space_current(void)
{
    return NULL;
}

int fake_fs_boot(const void *archive, size_t len)
{
    fake_sleep_hook = NULL;
    fake_sleeps = 0;
    memset(timers, 0, sizeof(timers));
    timers_end = 0;
    page_init();
    kmalloc_init();
    vm_cache_init();
    random_init();
    int err = fs_init(archive, len);
    if (err == 0) {
        fake_context = fs_context_create();
        fake_fdtable = fdtable_create();
    }
    return err;
}

void fake_fs_end(void)
{
    fdtable_put(fake_fdtable);
    fs_context_put(fake_context);
    fake_fdtable = NULL;
    fake_context = NULL;
}

/* ---- to be compared with host_model.h's ---- */

int our_truncate(const char *path, uint64_t size)
{
    struct dentry *dentry;
    int err = path_lookup(fake_context, NULL, path, LOOKUP_FOLLOW, &dentry);
    if (err)
        return err;
    err = inode_truncate(dentry->inode, size);
    dentry_put(dentry);
    return err;
}

void our_stat(const char *path, char *out, size_t size)
{
    struct dentry *dentry;
    struct kstat st;
    int err = path_lookup(fake_context, NULL, path, 0, &dentry);
    if (err) {
        snprintf(out, size, "%d", err);
        return;
    }
    inode_stat(dentry->inode, &st);
    dentry_put(dentry);
    snprintf(out, size, "%o nlink %u size %ld", st.mode, st.nlink,
             (st.mode & S_IFMT) == S_IFDIR ? 0L : (long)st.size);
}

void our_readlink(const char *path, char *out, size_t size)
{
    struct dentry *dentry;
    int err = path_lookup(fake_context, NULL, path, 0, &dentry);
    long n = err ? err : vfs_readlink(dentry, out, size - 1);
    if (err == 0)
        dentry_put(dentry);
    if (n < 0)
        snprintf(out, size, "%ld", n);
    else
        out[n] = '\0';
}
