/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * posix_timer.c - timer_create(2) and its relatives.
 *
 * Timers of a process are in process->timers under process->lock. A callback may run while its
 * timer is deleted: deletion takes it out of the list under the lock, then waits for the callback
 * before freeing. The callback looks at `dead` under the lock before it arms the timer again.
 *
 * CPU clocks: the timer is armed for as long as the process needs at least, and looked at again.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "proc/internal.h"
#include "proc/times.h"

#define TIMERS_MAX 1024
enum {
    CLOCK_REALTIME = 0,
    CLOCK_PROCESS_CPUTIME = 2,
    CLOCK_THREAD_CPUTIME = 3,
    CLOCK_REALTIME_ALARM = 8
};

struct posix_timer {
    struct list link;
    struct process *process; /* no reference: it deletes its timers before it ends */
    struct timer timer;
    struct posix_timer_spec spec;
    int id;
    int overrun;
    bool dead;
    uint64_t interval_ns;
    uint64_t expiry_ns; /* monotonic, or CPU time; 0: off */
};

static bool is_cpu_clock(int clock)
{
    return clock == CLOCK_PROCESS_CPUTIME || clock == CLOCK_THREAD_CPUTIME || clock < 0;
}

/* What the timer counts; CPU timers of threads count their process's time. */
static uint64_t now_of(const struct posix_timer *t)
{
    if (!is_cpu_clock(t->spec.clock))
        return clock_mono_ns();
    uint64_t sum = t->process->dead_times.total_ns;
    list_for_each (pos, &t->process->tasks)
        sum += thread_runtime_ns(&list_entry(pos, struct task, process_link)->thread);
    return sum;
}

static void arm_locked(struct posix_timer *t)
{
    if (!is_cpu_clock(t->spec.clock)) {
        timer_arm(&t->timer, t->expiry_ns);
        return;
    }
    uint64_t now = now_of(t), left = t->expiry_ns > now ? t->expiry_ns - now : 0;
    uint64_t share = left / MAX(t->process->task_count, 1u);
    timer_arm(&t->timer, clock_mono_ns() + MAX(share, NS_PER_MS));
}

static void send(struct process *p, const struct posix_timer_spec *spec, int id)
{
    struct siginfo info = {.signo = spec->signo, .code = SI_TIMER};
    info.timer_id = id;
    info.timer_value = spec->value;
    if (spec->notify == SIGEV_NONE)
        return;
    if (spec->notify == SIGEV_THREAD_ID) {
        struct task *task = task_find(spec->tid);
        if (task) {
            (void)signal_send_task(task, &info);
            thread_put(&task->thread);
        }
        return;
    }
    (void)signal_send_process(p, &info);
}

static void fired(struct timer *timer)
{
    struct posix_timer *t = container_of(timer, struct posix_timer, timer);
    struct process *p = t->process;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    bool due = !t->dead && t->expiry_ns && now_of(t) >= t->expiry_ns;
    if (due && t->interval_ns) {
        uint64_t periods = interval_periods(now_of(t) - t->expiry_ns, t->interval_ns);
        t->overrun = (int)MIN(periods - 1, (uint64_t)INT_MAX);
        t->expiry_ns += periods * t->interval_ns;
    } else if (due) {
        t->overrun = 0;
        t->expiry_ns = 0;
    }
    if (!t->dead && t->expiry_ns)
        arm_locked(t);
    struct posix_timer_spec spec = t->spec;
    int id = t->id;
    spin_unlock_irqrestore(&p->lock, irq);
    if (due)
        send(p, &spec, id);
}

static struct posix_timer *find_locked(struct process *p, int id)
{
    list_for_each (pos, &p->timers) {
        struct posix_timer *t = list_entry(pos, struct posix_timer, link);
        if (t->id == id)
            return t;
    }
    return NULL;
}

static int spec_check(struct process *p, const struct posix_timer_spec *spec)
{
    if (spec->notify == SIGEV_NONE)
        return 0;
    if (spec->notify != SIGEV_SIGNAL && spec->notify != SIGEV_THREAD_ID)
        return -EINVAL;
    if (spec->signo < 1 || spec->signo > NSIG)
        return -EINVAL;
    if (spec->notify == SIGEV_SIGNAL)
        return 0;
    struct task *task = task_find(spec->tid);
    if (!task)
        return -EINVAL;
    int err = task->process == p ? 0 : -EINVAL;
    thread_put(&task->thread);
    return err;
}

int posix_timer_create(struct process *p, const struct posix_timer_spec *spec)
{
    int err = spec_check(p, spec);
    if (err)
        return err;
    struct posix_timer *t = kzalloc(sizeof *t);
    if (!t)
        return -EAGAIN;
    t->process = p;
    t->spec = *spec;
    list_init(&t->link);
    timer_setup(&t->timer, fired);
    unsigned long irq = spin_lock_irqsave(&p->lock);
    unsigned count = 0;
    list_for_each (pos, &p->timers)
        count++;
    if (count < TIMERS_MAX) {
        while (find_locked(p, p->next_timer_id))
            p->next_timer_id = p->next_timer_id == INT_MAX ? 0 : p->next_timer_id + 1;
        t->id = p->next_timer_id;
        p->next_timer_id = t->id == INT_MAX ? 0 : t->id + 1;
        if (spec->value_is_id)
            t->spec.value = (uint64_t)t->id;
        list_push_back(&p->timers, &t->link);
    }
    spin_unlock_irqrestore(&p->lock, irq);
    if (count < TIMERS_MAX)
        return t->id;
    kfree(t);
    return -EAGAIN;
}

static void get_locked(const struct posix_timer *t, struct itimer_value *out)
{
    uint64_t now = now_of(t);
    *out = (struct itimer_value){.interval_ns = t->interval_ns};
    if (t->expiry_ns)
        out->left_ns = t->expiry_ns > now ? t->expiry_ns - now : 1;
}

/* An absolute time of the timer's clock as its own `now_of` counts. */
static uint64_t expiry_of(const struct posix_timer *t, uint64_t ns, bool absolute)
{
    uint64_t sum;
    if (!absolute)
        return add_overflow(now_of(t), ns, &sum) ? UINT64_MAX - 1 : MAX(sum, 1u);
    if (t->spec.clock == CLOCK_REALTIME || t->spec.clock == CLOCK_REALTIME_ALARM) {
        uint64_t mono = clock_mono_ns(), base = clock_wall_ns() - mono;
        return ns > base ? ns - base : 1;
    }
    return ns;
}

int posix_timer_set(struct process *p, int id, const struct itimer_value *value, bool absolute,
                    struct itimer_value *old)
{
    int err = -EINVAL;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct posix_timer *t = find_locked(p, id);
    if (t) {
        get_locked(t, old);
        (void)timer_cancel(&t->timer);
        t->interval_ns = value->left_ns ? value->interval_ns : 0;
        t->expiry_ns = value->left_ns ? expiry_of(t, value->left_ns, absolute) : 0;
        t->overrun = 0;
        if (t->expiry_ns)
            arm_locked(t);
        err = 0;
    }
    spin_unlock_irqrestore(&p->lock, irq);
    return err;
}

int posix_timer_get(struct process *p, int id, struct itimer_value *out)
{
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct posix_timer *t = find_locked(p, id);
    if (t)
        get_locked(t, out);
    spin_unlock_irqrestore(&p->lock, irq);
    return t ? 0 : -EINVAL;
}

int posix_timer_overrun(struct process *p, int id)
{
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct posix_timer *t = find_locked(p, id);
    int overrun = t ? t->overrun : -EINVAL;
    spin_unlock_irqrestore(&p->lock, irq);
    return overrun;
}

static void timer_free(struct posix_timer *t)
{
    timer_cancel_sync(&t->timer);
    kfree(t);
}

int posix_timer_delete(struct process *p, int id)
{
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct posix_timer *t = find_locked(p, id);
    if (t) {
        list_remove(&t->link);
        t->dead = true;
    }
    spin_unlock_irqrestore(&p->lock, irq);
    if (!t)
        return -EINVAL;
    timer_free(t);
    return 0;
}

void posix_timers_stop(struct process *p)
{
    for (;;) {
        unsigned long irq = spin_lock_irqsave(&p->lock);
        struct list *first = list_pop_front(&p->timers);
        struct posix_timer *t = first ? list_entry(first, struct posix_timer, link) : NULL;
        if (t)
            t->dead = true;
        spin_unlock_irqrestore(&p->lock, irq);
        if (!t)
            return;
        timer_free(t);
    }
}
