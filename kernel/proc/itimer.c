/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * itimer.c - setitimer: one real-time timer and two in CPU time per process; RLIMIT_CPU.
 *
 * ITIMER_REAL is a kernel timer. ITIMER_VIRTUAL counts the user time of the process, ITIMER_PROF
 * all its CPU time. They are looked at by a periodic timer while one is armed or the CPU time has a
 * limit, so their resolution is CPU_TICK_NS.
 */
#include "lib/string.h"
#include "proc/internal.h"
#include "proc/times.h"

#define CPU_TICK_NS (4 * NS_PER_MS) /* Linux with HZ=250 */

static void post(struct process *p, int signo)
{
    struct siginfo info = {.signo = signo, .code = SI_KERNEL};
    (void)signal_send_process(p, &info);
}

static void alarm_fired(struct timer *timer)
{
    struct process *p = container_of(timer, struct process, alarm);
    unsigned long irq = spin_lock_irqsave(&p->lock);
    uint64_t interval = p->alarm_interval_ns, now = clock_mono_ns();
    /* setitimer may have been faster than this callback: then the timer is off, or armed anew. */
    bool due = p->alarm_due_ns && now >= p->alarm_due_ns;
    p->alarm_due_ns = due ? 0 : p->alarm_due_ns;
    if (due && interval && !p->exiting) {
        /* From the time it should have been, so that periods do not drift; missed ones are one. */
        p->alarm_due_ns =
            timer->deadline_ns + interval_periods(now - timer->deadline_ns, interval) * interval;
        timer_arm(timer, p->alarm_due_ns);
    }
    spin_unlock_irqrestore(&p->lock, irq);
    if (due)
        post(p, SIGALRM);
}

static void cpu_times_locked(struct process *p, struct cpu_times *out)
{
    struct cpu_times sum = p->dead_times;
    list_for_each (pos, &p->tasks)
        cpu_times_add(&sum, &list_entry(pos, struct task, process_link)->thread);
    cpu_times_divide(&sum, &p->told_times);
    *out = p->told_times;
}

void process_cpu_times(struct process *p, struct cpu_times *out)
{
    unsigned long irq = spin_lock_irqsave(&p->lock);
    cpu_times_locked(p, out);
    spin_unlock_irqrestore(&p->lock, irq);
}

uint64_t process_cpu_ns(struct process *p)
{
    struct cpu_times times;
    process_cpu_times(p, &times);
    return times.total_ns;
}

void task_cpu_times(struct task *task, struct cpu_times *out)
{
    struct cpu_times sum = {0};
    *out = (struct cpu_times){0};
    cpu_times_add(&sum, &task->thread);
    cpu_times_divide(&sum, out);
}

/* What the timer counts. */
static uint64_t cpu_ns_locked(struct process *p, int which)
{
    struct cpu_times times;
    cpu_times_locked(p, &times);
    return which == ITIMER_VIRTUAL ? times.user_ns : times.total_ns;
}

/* True if it has expired. */
static bool cpu_timer_check(struct cpu_timer *t, uint64_t now)
{
    if (!t->deadline_ns || now < t->deadline_ns)
        return false;
    t->deadline_ns = t->interval_ns ? now + t->interval_ns : 0;
    return true;
}

/* The signal that RLIMIT_CPU asks for, or 0. As on Linux each SIGXCPU raises the soft limit by the
 * second after which the next one comes, and without a soft limit the hard one does nothing. */
static int cpu_limit_check_locked(struct process *p, uint64_t now)
{
    struct rlimit64 *limit = &p->limits[RLIMIT_CPU];
    uint64_t seconds = now / NS_PER_SEC;
    if (seconds < limit->cur)
        return 0;
    if (seconds >= limit->max)
        return SIGKILL;
    __atomic_store_n(&limit->cur, limit->cur + 1, __ATOMIC_RELAXED);
    return SIGXCPU;
}

void itimer_watch_locked(struct process *p)
{
    bool wanted = p->cpu_timers[0].deadline_ns || p->cpu_timers[1].deadline_ns ||
                  p->limits[RLIMIT_CPU].cur != RLIM_INFINITY;
    if (wanted && !p->exiting && !timer_armed(&p->cpu_tick))
        timer_arm(&p->cpu_tick, clock_mono_ns() + CPU_TICK_NS);
}

static void cpu_tick(struct timer *timer)
{
    struct process *p = container_of(timer, struct process, cpu_tick);
    unsigned long irq = spin_lock_irqsave(&p->lock);
    bool virt = cpu_timer_check(&p->cpu_timers[0], cpu_ns_locked(p, ITIMER_VIRTUAL));
    bool prof = cpu_timer_check(&p->cpu_timers[1], cpu_ns_locked(p, ITIMER_PROF));
    int limit = cpu_limit_check_locked(p, cpu_ns_locked(p, ITIMER_PROF));
    if (limit != SIGKILL)
        itimer_watch_locked(p);
    spin_unlock_irqrestore(&p->lock, irq);
    if (virt)
        post(p, SIGVTALRM);
    if (prof)
        post(p, SIGPROF);
    if (limit)
        post(p, limit);
}

void itimer_init(struct process *process)
{
    timer_setup(&process->alarm, alarm_fired);
    timer_setup(&process->cpu_tick, cpu_tick);
}

void itimer_stop(struct process *process)
{
    /* exiting is set: neither callback arms its timer again. */
    timer_cancel_sync(&process->alarm);
    timer_cancel_sync(&process->cpu_tick);
}

static void get_locked(struct process *p, int which, struct itimer_value *out)
{
    *out = (struct itimer_value){0, 0};
    if (which == ITIMER_REAL) {
        uint64_t now = clock_mono_ns();
        if (timer_armed(&p->alarm)) /* due but not yet run: Linux says 1 us */
            out->left_ns = p->alarm.deadline_ns > now ? p->alarm.deadline_ns - now : NS_PER_US;
        out->interval_ns = p->alarm_interval_ns;
    } else {
        const struct cpu_timer *t = &p->cpu_timers[which - ITIMER_VIRTUAL];
        uint64_t now = cpu_ns_locked(p, which);
        if (t->deadline_ns)
            out->left_ns = t->deadline_ns > now ? t->deadline_ns - now : NS_PER_US;
        out->interval_ns = t->interval_ns;
    }
}

void itimer_get(struct process *p, int which, struct itimer_value *out)
{
    unsigned long irq = spin_lock_irqsave(&p->lock);
    get_locked(p, which, out);
    spin_unlock_irqrestore(&p->lock, irq);
}

static uint64_t later(uint64_t now, uint64_t ns)
{
    uint64_t sum;
    return add_overflow(now, ns, &sum) ? UINT64_MAX - 1 : sum;
}

void itimer_set(struct process *p, int which, const struct itimer_value *value,
                struct itimer_value *old)
{
    unsigned long irq = spin_lock_irqsave(&p->lock);
    get_locked(p, which, old);
    if (which == ITIMER_REAL) {
        p->alarm_interval_ns = value->left_ns ? value->interval_ns : 0;
        p->alarm_due_ns = value->left_ns ? later(clock_mono_ns(), value->left_ns) : 0;
        if (p->alarm_due_ns)
            timer_arm(&p->alarm, p->alarm_due_ns);
        else
            (void)timer_cancel(&p->alarm);
    } else {
        struct cpu_timer *t = &p->cpu_timers[which - ITIMER_VIRTUAL];
        t->deadline_ns = value->left_ns ? later(cpu_ns_locked(p, which), value->left_ns) : 0;
        t->interval_ns = value->interval_ns;
        itimer_watch_locked(p);
    }
    spin_unlock_irqrestore(&p->lock, irq);
}
