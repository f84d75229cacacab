/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * posix_timer.c - timer_create(2) and its relatives.
 *
 * A timer has one entry for the signal queues from the start, so its signal can neither be refused
 * nor lost; while that waits to be taken the timer is not armed. When it is taken the periods that
 * have gone by are counted as its overrun, and the timer is armed for the next one (as Linux).
 *
 * Timers of a process are in process->timers, all their state is under process->lock. A callback
 * may run while its timer is deleted: deletion takes it out of the list under the lock, then waits
 * for the callback before freeing. The callback looks at `dead` under the lock before it does
 * anything.
 *
 * CPU clocks: the timer is armed for as long as the process or thread needs at least, and looked
 * at again, also when the process gets more threads. A timer holds references to the threads that
 * it counts and tells.
 *
 * An absolute time of the wall clock stays one: when the clock is set such timers are armed anew.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "proc/internal.h"
#include "proc/times.h"

enum {
    CLOCK_REALTIME = 0,
    CLOCK_PROCESS_CPUTIME = 2,
    CLOCK_THREAD_CPUTIME = 3,
    CLOCK_REALTIME_ALARM = 8,
    CLOCK_TAI = 11,
};

struct posix_timer {
    struct queued_signal signal;
    struct list link;
    struct process *process; /* no reference: it deletes its timers before it ends */
    struct timer timer;
    struct posix_timer_spec spec;
    struct task *target;  /* SIGEV_THREAD_ID: who gets the signal; a reference */
    struct task *counted; /* a thread's CPU clock: whose; a reference */
    int id;
    int overrun; /* of the signal that was taken last */
    bool dead;
    bool wall; /* set to an absolute time of the wall clock */
    uint64_t interval_ns;
    /* Wall (if wall), monotonic, or CPU time; 0: off. While the signal of a periodic timer waits:
     * when it was due.
     */
    uint64_t expiry_ns;
};

static bool is_cpu_clock(int clock)
{
    return clock == CLOCK_PROCESS_CPUTIME || clock == CLOCK_THREAD_CPUTIME || clock < 0;
}

static bool has_left(const struct task *task)
{
    return task && !list_linked(&task->process_link);
}

/* What the timer counts. */
static uint64_t now_of(const struct posix_timer *t)
{
    if (!is_cpu_clock(t->spec.clock))
        return t->wall ? clock_wall_ns() : clock_mono_ns();
    if (t->counted)
        return thread_runtime_ns(&t->counted->thread);
    uint64_t sum = t->process->dead_times.total_ns;
    list_for_each (pos, &t->process->tasks)
        sum += thread_runtime_ns(&list_entry(pos, struct task, process_link)->thread);
    return sum;
}

static void arm_locked(struct posix_timer *t)
{
    if (t->spec.notify == SIGEV_NONE)
        return; /* only looked at */
    uint64_t now = now_of(t), left = t->expiry_ns > now ? t->expiry_ns - now : 0;
    if (!is_cpu_clock(t->spec.clock)) {
        timer_arm(&t->timer, t->wall ? clock_mono_ns() + left : t->expiry_ns);
        return;
    }
    if (has_left(t->counted))
        return; /* its clock stands still */
    uint64_t share = t->counted ? left : left / MAX(t->process->task_count, 1u);
    timer_arm(&t->timer, clock_mono_ns() + MAX(share, NS_PER_MS));
}

/* The timer's signal has been taken, or will not be: on to the next period. */
static void next_period_locked(struct posix_timer *t)
{
    t->overrun = 0;
    if (!t->interval_ns) {
        t->expiry_ns = 0;
        return;
    }
    uint64_t now = now_of(t), late = now > t->expiry_ns ? now - t->expiry_ns : 0;
    uint64_t periods = interval_periods(late, t->interval_ns);
    t->overrun = (int)MIN(periods - 1, (uint64_t)INT_MAX);
    t->expiry_ns += periods * t->interval_ns;
    if (!t->dead && !t->process->exiting)
        arm_locked(t);
}

static void taken(struct queued_signal *q, struct siginfo *info)
{
    struct posix_timer *t = container_of(q, struct posix_timer, signal);
    ASSERT(spin_held(&t->process->lock));
    next_period_locked(t);
    info->overrun = t->overrun;
}

static void fired_locked(struct posix_timer *t)
{
    if (t->dead || !t->expiry_ns || list_linked(&t->signal.link))
        return;
    if (now_of(t) < t->expiry_ns)
        arm_locked(t);
    else if (has_left(t->target))
        t->expiry_ns = 0;
    else if (!signal_queue_timer_locked(t->process, t->target, &t->signal))
        next_period_locked(t); /* the program ignores this signal; a later one it may want */
    else if (!t->interval_ns)
        t->expiry_ns = 0;
}

static void fired(struct timer *timer)
{
    struct posix_timer *t = container_of(timer, struct posix_timer, timer);
    struct process *p = t->process;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    fired_locked(t);
    spin_unlock_irqrestore(&p->lock, irq);
    /* The process cannot go: its end waits for this callback. */
    waitq_wake_all(&p->wait, 0);
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

/* A task of the process by number, with a reference. */
static struct task *member(struct process *p, int tid)
{
    struct task *task = task_find(tid);
    if (task && task->process != p) {
        thread_put(&task->thread);
        task = NULL;
    }
    return task;
}

/* Whom the timer tells. */
static int target_find(struct posix_timer *t)
{
    const struct posix_timer_spec *spec = &t->spec;
    if (spec->notify == SIGEV_NONE)
        return 0;
    if (spec->notify != SIGEV_SIGNAL && spec->notify != SIGEV_THREAD &&
        spec->notify != SIGEV_THREAD_ID)
        return -EINVAL;
    if (spec->signo < 1 || spec->signo > NSIG)
        return -EINVAL;
    if (spec->notify != SIGEV_THREAD_ID)
        return 0;
    t->target = member(t->process, spec->tid);
    return t->target ? 0 : -EINVAL;
}

/* Whose CPU time it counts: the process's (NULL) or a thread's. Negative numbers: ~id << 3 |
 * per-thread << 2 | kind (uapi linux/posix-timers.h). */
static int counted_find(struct posix_timer *t)
{
    int clock = t->spec.clock, id = ~(clock >> 3);
    if (clock == CLOCK_THREAD_CPUTIME || (clock < 0 && (clock & 4) && id == 0)) {
        t->counted = task_current();
        thread_get(&t->counted->thread);
    } else if (clock < 0 && (clock & 4)) {
        t->counted = member(t->process, id);
        return t->counted ? 0 : -EINVAL;
    } else if (clock < 0 && id && id != t->process->pid) {
        return -EINVAL;
    }
    return 0;
}

static void timer_free(struct posix_timer *t)
{
    timer_cancel_sync(&t->timer);
    if (t->target)
        thread_put(&t->target->thread);
    if (t->counted)
        thread_put(&t->counted->thread);
    kfree(t);
}

static int add_locked(struct posix_timer *t)
{
    struct process *p = t->process;
    if (p->signals_queued >= process_limit(p, RLIMIT_SIGPENDING))
        return -EAGAIN;
    p->signals_queued++; /* for its entry */
    while (find_locked(p, p->next_timer_id))
        p->next_timer_id = p->next_timer_id == INT_MAX ? 0 : p->next_timer_id + 1;
    t->id = p->next_timer_id;
    p->next_timer_id = t->id == INT_MAX ? 0 : t->id + 1;
    if (t->spec.value_is_id)
        t->spec.value = (uint64_t)t->id;
    t->signal.info.timer_id = t->id;
    t->signal.info.timer_value = t->spec.value;
    list_push_back(&p->timers, &t->link);
    return t->id;
}

int posix_timer_create(struct process *p, const struct posix_timer_spec *spec)
{
    struct posix_timer *t = kzalloc(sizeof *t);
    if (!t)
        return -EAGAIN;
    t->process = p;
    t->spec = *spec;
    list_init(&t->link);
    list_init(&t->signal.link);
    t->signal.taken = taken;
    t->signal.info = (struct siginfo){.signo = spec->signo, .code = SI_TIMER};
    timer_setup(&t->timer, fired);
    int result = target_find(t);
    if (!result)
        result = counted_find(t);
    if (!result) {
        unsigned long irq = spin_lock_irqsave(&p->lock);
        result = add_locked(t);
        spin_unlock_irqrestore(&p->lock, irq);
    }
    if (result < 0)
        timer_free(t);
    return result;
}

static void get_locked(const struct posix_timer *t, struct itimer_value *out)
{
    uint64_t now = now_of(t);
    *out = (struct itimer_value){.interval_ns = t->interval_ns};
    if (!t->expiry_ns || (is_cpu_clock(t->spec.clock) && has_left(t->counted)))
        return;
    if (t->expiry_ns > now)
        out->left_ns = t->expiry_ns - now;
    else if (t->interval_ns) /* its signal waits, or it has none */
        out->left_ns = t->interval_ns - (now - t->expiry_ns) % t->interval_ns;
    else
        out->left_ns = t->spec.notify != SIGEV_NONE;
}

static bool is_wall_clock(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI;
}

static void set_locked(struct posix_timer *t, const struct itimer_value *value, bool absolute)
{
    uint64_t ns = value->left_ns, sum;
    t->wall = absolute && is_wall_clock(t->spec.clock);
    if (ns && !absolute)
        ns = add_overflow(now_of(t), ns, &sum) ? UINT64_MAX - 1 : MAX(sum, 1u);
    t->interval_ns = ns ? value->interval_ns : 0;
    t->expiry_ns = ns;
    t->overrun = 0;
    if (ns)
        arm_locked(t);
}

int posix_timer_set(struct process *p, int id, const struct itimer_value *value, bool absolute,
                    struct itimer_value *old)
{
    int err = -EINVAL;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct posix_timer *t = find_locked(p, id);
    if (t && value->left_ns && has_left(t->counted)) {
        err = -ESRCH;
    } else if (t) {
        get_locked(t, old);
        (void)timer_cancel(&t->timer);
        signal_unqueue_timer_locked(&t->signal); /* of the old setting: nobody wants it any more */
        set_locked(t, value, absolute);
        err = 0;
    }
    spin_unlock_irqrestore(&p->lock, irq);
    return err;
}

/* What the timer waits for comes at another time than it was armed for: when the wall clock was
 * set, or a process's CPU clock may run faster. */
static void rearm_locked(struct posix_timer *t)
{
    if (t->expiry_ns && !list_linked(&t->signal.link))
        arm_locked(t);
}

void posix_timers_task_joined_locked(struct process *p)
{
    list_for_each (pos, &p->timers) {
        struct posix_timer *t = list_entry(pos, struct posix_timer, link);
        if (is_cpu_clock(t->spec.clock) && !t->counted)
            rearm_locked(t);
    }
}

void posix_timers_clock_set(void)
{
    struct process *p = process_next(0);
    while (p) {
        unsigned long irq = spin_lock_irqsave(&p->lock);
        list_for_each (pos, &p->timers) {
            struct posix_timer *t = list_entry(pos, struct posix_timer, link);
            if (t->wall)
                rearm_locked(t);
        }
        spin_unlock_irqrestore(&p->lock, irq);
        struct process *next = process_next(p->pid + 1);
        process_put(p);
        p = next;
    }
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

/* Out of the process: the caller frees it without the lock. */
static void remove_locked(struct posix_timer *t)
{
    list_remove(&t->link);
    signal_unqueue_timer_locked(&t->signal);
    t->process->signals_queued--;
    t->dead = true;
}

int posix_timer_delete(struct process *p, int id)
{
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct posix_timer *t = find_locked(p, id);
    if (t)
        remove_locked(t);
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
        struct posix_timer *t = NULL;
        if (!list_empty(&p->timers)) {
            t = list_entry(p->timers.next, struct posix_timer, link);
            remove_locked(t);
        }
        spin_unlock_irqrestore(&p->lock, irq);
        if (!t)
            return;
        timer_free(t);
    }
}
