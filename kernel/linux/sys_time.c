/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_time.c - clocks, sleeping, and timers with signals. */
#include "fs/eventfd.h"
#include "lib/string.h"
#include "linux/uapi.h"
#include "proc/futex.h"
#include "proc/internal.h"
#include "proc/times.h"

enum {
    CLOCK_REALTIME = 0,
    CLOCK_MONOTONIC = 1,
    CLOCK_PROCESS_CPUTIME = 2,
    CLOCK_THREAD_CPUTIME = 3,
    CLOCK_MONOTONIC_RAW = 4,
    CLOCK_REALTIME_COARSE = 5,
    CLOCK_MONOTONIC_COARSE = 6,
    CLOCK_BOOTTIME = 7,
    CLOCK_REALTIME_ALARM = 8,
    CLOCK_BOOTTIME_ALARM = 9,
    CLOCK_TAI = 11,
};
#define TIMER_ABSTIME 1
#define SLEEP_CPU_STEP NS_PER_MS
#define SLEEP_CPU_MAX (10 * NS_PER_MS)

/* ---- conversions ---- */

static uint64_t saturate(int64_t sec, uint64_t ns)
{
    return (uint64_t)sec >= INT64_MAX / NS_PER_SEC ? INT64_MAX : (uint64_t)sec * NS_PER_SEC + ns;
}

int ns_of_timespec(const struct uapi_timespec *ts, uint64_t *ns)
{
    if (ts->sec < 0 || ts->nsec < 0 || ts->nsec >= (int64_t)NS_PER_SEC)
        return -EINVAL;
    *ns = saturate(ts->sec, (uint64_t)ts->nsec);
    return 0;
}

int ns_of_timeval(const struct uapi_timeval *tv, uint64_t *ns)
{
    if (tv->sec < 0 || tv->usec < 0 || tv->usec >= 1000000)
        return -EINVAL;
    *ns = saturate(tv->sec, (uint64_t)tv->usec * NS_PER_US);
    return 0;
}

/* ---- clocks ---- */

uint64_t process_runtime_ns(struct process *p)
{
    return process_cpu_ns(p);
}

struct task *task_by_tid(int tid)
{
    struct task *task = tid ? task_find(tid) : task_current();
    if (!task)
        return NULL;
    if (tid == 0)
        thread_get(&task->thread);
    else if (task->process != process_current()) {
        thread_put(&task->thread);
        return NULL;
    }
    return task;
}

enum { CPUCLOCK_PROF, CPUCLOCK_VIRT, CPUCLOCK_SCHED, CPUCLOCK_BAD };

static uint64_t cpu_kind(const struct cpu_times *times, int kind)
{
    return kind == CPUCLOCK_VIRT ? times->user_ns : times->total_ns;
}

static int thread_clock(int id, int kind, uint64_t *ns)
{
    struct task *task = task_by_tid(id);
    struct cpu_times times;
    if (!task)
        return -EINVAL;
    *ns = thread_runtime_ns(&task->thread);
    if (kind == CPUCLOCK_VIRT) {
        task_cpu_times(task, &times);
        *ns = cpu_kind(&times, kind);
    }
    thread_put(&task->thread);
    return 0;
}

/* Negative ids name the CPU clock of a process or thread: ~pid << 3 | per-thread << 2 | kind
 * (uapi linux/posix-timers.h). A thread may name its process by its own number. */
static int cpu_clock(int clock, uint64_t *ns)
{
    int id = ~(clock >> 3), kind = clock & 3;
    struct cpu_times times;
    if (kind == CPUCLOCK_BAD || id < 0)
        return -EINVAL;
    if (clock & 4)
        return thread_clock(id, kind, ns);
    bool own = id == 0 || id == task_current()->tid;
    struct process *p = own ? process_current() : process_find(id);
    if (!p)
        return -EINVAL;
    process_cpu_times(p, &times);
    *ns = cpu_kind(&times, kind);
    if (!own)
        process_put(p);
    return 0;
}

static int clock_now(int clock, uint64_t *ns)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI: /* no leap seconds are known: TAI - UTC is 0, as Linux says before NTP */
        *ns = clock_wall_ns();
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *ns = clock_mono_ns();
        return 0;
    case CLOCK_PROCESS_CPUTIME:
        *ns = process_cpu_ns(process_current());
        return 0;
    case CLOCK_THREAD_CPUTIME:
        *ns = thread_runtime_ns(thread_current());
        return 0;
    default:
        return clock < 0 ? cpu_clock(clock, ns) : -EINVAL;
    }
}

long sys_clock_gettime(const struct syscall_args *a)
{
    uint64_t ns;
    int err = clock_now((int)a->arg[0], &ns);
    if (err)
        return err;
    struct uapi_timespec ts = timespec_of_ns(ns);
    return copyout(uaddr(a->arg[1]), &ts, sizeof ts);
}

long sys_clock_getres(const struct syscall_args *a)
{
    uint64_t ns;
    int clock = (int)a->arg[0], err = clock_now(clock, &ns);
    if (err)
        return err;
    bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
    struct uapi_timespec ts = {0, coarse ? 4000000 : 1};
    return a->arg[1] ? copyout(uaddr(a->arg[1]), &ts, sizeof ts) : 0;
}

static long wall_set(uint64_t ns)
{
    if (proc_cred()->euid != 0)
        return -EPERM;
    int err = clock_wall_set(ns);
    if (!err) {
        vdso_update();
        futex_clock_set();
        timerfd_clock_set();
        posix_timers_clock_set();
    }
    return err;
}

long sys_clock_settime(const struct syscall_args *a)
{
    struct uapi_timespec ts;
    uint64_t ns;
    if ((int)a->arg[0] != CLOCK_REALTIME)
        return -EINVAL;
    if (copyin(&ts, uaddr(a->arg[1]), sizeof ts))
        return -EFAULT;
    int err = ns_of_timespec(&ts, &ns);
    return err ? err : wall_set(ns);
}

long sys_gettimeofday(const struct syscall_args *a)
{
    struct uapi_timeval tv = timeval_of_ns(clock_wall_ns());
    const uint32_t zone[2] = {0, 0};
    if (a->arg[0] && copyout(uaddr(a->arg[0]), &tv, sizeof tv))
        return -EFAULT;
    return a->arg[1] ? copyout(uaddr(a->arg[1]), zone, sizeof zone) : 0;
}

long sys_settimeofday(const struct syscall_args *a)
{
    struct uapi_timeval tv;
    uint64_t ns;
    if (!a->arg[0])
        return 0; /* only the time zone, which the kernel does not keep */
    if (copyin(&tv, uaddr(a->arg[0]), sizeof tv))
        return -EFAULT;
    int err = ns_of_timeval(&tv, &ns);
    return err ? err : wall_set(ns);
}

long sys_time(const struct syscall_args *a)
{
    int64_t now = (int64_t)(clock_wall_ns() / NS_PER_SEC);
    if (a->arg[0] && copyout(uaddr(a->arg[0]), &now, sizeof now))
        return -EFAULT;
    return now;
}

/* ---- sleeping ---- */

/* Relative sleeps continue after a signal without a handler, and say what was left. */
static long sleep_relative(uint64_t ns, uint64_t left_addr)
{
    struct task *task = task_current();
    uint64_t deadline =
        task->restart_deadline_ns ? task->restart_deadline_ns : ns_add(clock_mono_ns(), ns);
    int err = sleep_until(deadline, true);
    if (!err)
        return 0;
    uint64_t now = clock_mono_ns();
    if (deadline <= now)
        return 0;
    if (left_addr) {
        struct uapi_timespec ts = timespec_of_ns(deadline - now);
        if (copyout(uaddr(left_addr), &ts, sizeof ts))
            return -EFAULT;
    }
    task->restart_deadline_ns = deadline;
    return -ERESTART_RESTARTBLOCK;
}

static bool is_wall(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI;
}

/* How long to sleep at most before a CPU clock can be `left` further. */
static uint64_t cpu_step(uint64_t left)
{
    return MAX(MIN(left / hal_cpu_count(), SLEEP_CPU_MAX), SLEEP_CPU_STEP);
}

/* Until a clock that is not the monotonic one reaches `when`. *last: what it showed at the end. */
static long sleep_on_clock(int clock, uint64_t when, uint64_t *last)
{
    struct waiter w;
    long err = 0;
    /* Setting the wall clock ends the sleep; CPU clocks run at their own pace: look again. */
    waitq_prepare(clock_set_queue(), &w, true);
    for (;;) {
        int bad = clock_now(clock, last);
        if (bad || *last >= when || err == -ERESTARTSYS) {
            err = bad ? bad : *last >= when ? 0 : -ERESTARTNOHAND;
            break;
        }
        uint64_t left = when - *last;
        err = waitq_sleep(&w, ns_add(clock_mono_ns(), is_wall(clock) ? left : cpu_step(left)));
    }
    waitq_finish(&w);
    return err;
}

/* As sleep_relative; the deadline is a time of the CPU clock. */
static long sleep_cpu_relative(int clock, uint64_t now, uint64_t ns, uint64_t left_addr)
{
    struct task *task = task_current();
    uint64_t deadline = task->restart_deadline_ns ? task->restart_deadline_ns : ns_add(now, ns);
    long err = sleep_on_clock(clock, deadline, &now);
    if (err != -ERESTARTNOHAND || now >= deadline)
        return err == -ERESTARTNOHAND ? 0 : err;
    if (left_addr) {
        struct uapi_timespec ts = timespec_of_ns(deadline - now);
        if (copyout(uaddr(left_addr), &ts, sizeof ts))
            return -EFAULT;
    }
    task->restart_deadline_ns = deadline;
    return -ERESTART_RESTARTBLOCK;
}

/* The caller's own CPU clock would never get there. */
static bool is_own_thread_clock(int clock)
{
    int id = ~(clock >> 3);
    return clock < 0 && (clock & 4) && (id == 0 || id == task_current()->tid);
}

static bool is_mono(int clock)
{
    return clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM;
}

long sys_nanosleep(const struct syscall_args *a)
{
    struct uapi_timespec ts;
    uint64_t ns;
    if (copyin(&ts, uaddr(a->arg[0]), sizeof ts))
        return -EFAULT;
    int err = ns_of_timespec(&ts, &ns);
    return err ? err : sleep_relative(ns, a->arg[1]);
}

long sys_clock_nanosleep(const struct syscall_args *a)
{
    int clock = (int)a->arg[0];
    struct uapi_timespec ts;
    uint64_t ns, now;
    if (clock == CLOCK_THREAD_CPUTIME || clock == CLOCK_MONOTONIC_RAW ||
        clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_REALTIME_COARSE)
        return -EOPNOTSUPP;
    int err = clock_now(clock, &now);
    if (err)
        return err;
    if (copyin(&ts, uaddr(a->arg[2]), sizeof ts))
        return -EFAULT;
    err = ns_of_timespec(&ts, &ns);
    if (err)
        return err;
    if (is_own_thread_clock(clock))
        return -EINVAL;
    bool cpu = clock == CLOCK_PROCESS_CPUTIME || clock < 0;
    if (!(a->arg[1] & TIMER_ABSTIME))
        return cpu ? sleep_cpu_relative(clock, now, ns, a->arg[3]) : sleep_relative(ns, a->arg[3]);
    if (!is_mono(clock))
        return sleep_on_clock(clock, ns, &now);
    return sleep_until(ns >= INT64_MAX ? UINT64_MAX : ns, true) ? -ERESTARTNOHAND : 0;
}

/* ---- interval timers ---- */

static struct uapi_itimerval itimerval_of(const struct itimer_value *v)
{
    return (struct uapi_itimerval){
        .interval = timeval_of_ns(v->interval_ns),
        /* A timer that runs never shows zero. */
        .value = timeval_of_ns(v->left_ns && v->left_ns < NS_PER_US ? NS_PER_US : v->left_ns),
    };
}

long sys_getitimer(const struct syscall_args *a)
{
    int which = (int)a->arg[0];
    struct itimer_value v;
    if (which < ITIMER_REAL || which > ITIMER_PROF)
        return -EINVAL;
    itimer_get(process_current(), which, &v);
    struct uapi_itimerval out = itimerval_of(&v);
    return copyout(uaddr(a->arg[1]), &out, sizeof out);
}

long sys_setitimer(const struct syscall_args *a)
{
    int which = (int)a->arg[0], err = 0;
    struct itimer_value v = {0, 0}, old;
    struct uapi_itimerval in;
    if (a->arg[1]) {
        if (copyin(&in, uaddr(a->arg[1]), sizeof in))
            return -EFAULT;
        err = ns_of_timeval(&in.value, &v.left_ns);
        if (!err)
            err = ns_of_timeval(&in.interval, &v.interval_ns);
    }
    if (err || which < ITIMER_REAL || which > ITIMER_PROF)
        return -EINVAL;
    itimer_set(process_current(), which, &v, &old);
    struct uapi_itimerval out = itimerval_of(&old);
    return a->arg[2] ? copyout(uaddr(a->arg[2]), &out, sizeof out) : 0;
}

long sys_alarm(const struct syscall_args *a)
{
    struct itimer_value old, v = {.left_ns = (uint64_t)(uint32_t)a->arg[0] * NS_PER_SEC};
    itimer_set(process_current(), ITIMER_REAL, &v, &old);
    uint64_t sec = old.left_ns / NS_PER_SEC, rest = old.left_ns % NS_PER_SEC;
    /* Rounded, but a pending alarm is never reported as none (alarm(2)). */
    return (long)(sec + ((!sec && rest) || rest >= NS_PER_SEC / 2));
}

/* ---- POSIX timers ---- */

struct uapi_sigevent {
    uint64_t value;
    int32_t signo, notify, tid, pad[11];
};
STATIC_ASSERT(sizeof(struct uapi_sigevent) == 64);

long sys_timer_create(const struct syscall_args *a)
{
    int clock = (int)a->arg[0];
    struct uapi_sigevent ev;
    uint64_t now;
    struct posix_timer_spec spec = {
        .clock = clock, .notify = SIGEV_SIGNAL, .signo = SIGALRM, .value_is_id = true};
    int err = clock_now(clock, &now);
    if (err)
        return err;
    if (clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE ||
        clock == CLOCK_MONOTONIC_COARSE)
        return -EOPNOTSUPP;
    if (a->arg[1]) {
        if (copyin(&ev, uaddr(a->arg[1]), sizeof ev))
            return -EFAULT;
        spec = (struct posix_timer_spec){.clock = clock,
                                         .notify = ev.notify,
                                         .signo = ev.signo,
                                         .tid = ev.tid,
                                         .value = ev.value};
    }
    int id = posix_timer_create(process_current(), &spec);
    if (id < 0)
        return id;
    int32_t word = id;
    if (copyout(uaddr(a->arg[2]), &word, sizeof word) == 0)
        return 0;
    (void)!posix_timer_delete(process_current(), id);
    return -EFAULT;
}

static struct uapi_itimerspec itimerspec_of(const struct itimer_value *v)
{
    return (struct uapi_itimerspec){timespec_of_ns(v->interval_ns), timespec_of_ns(v->left_ns)};
}

long sys_timer_settime(const struct syscall_args *a)
{
    struct uapi_itimerspec in, out;
    struct itimer_value v, old;
    if (!a->arg[2])
        return -EINVAL;
    if (copyin(&in, uaddr(a->arg[2]), sizeof in))
        return -EFAULT;
    int err = ns_of_timespec(&in.value, &v.left_ns);
    if (!err)
        err = ns_of_timespec(&in.interval, &v.interval_ns);
    if (!err)
        err =
            posix_timer_set(process_current(), (int)a->arg[0], &v, a->arg[1] & TIMER_ABSTIME, &old);
    if (err || !a->arg[3])
        return err;
    out = itimerspec_of(&old);
    return copyout(uaddr(a->arg[3]), &out, sizeof out);
}

long sys_timer_gettime(const struct syscall_args *a)
{
    struct itimer_value v;
    int err = posix_timer_get(process_current(), (int)a->arg[0], &v);
    if (err)
        return err;
    struct uapi_itimerspec out = itimerspec_of(&v);
    return copyout(uaddr(a->arg[1]), &out, sizeof out);
}

long sys_timer_getoverrun(const struct syscall_args *a)
{
    return posix_timer_overrun(process_current(), (int)a->arg[0]);
}

long sys_timer_delete(const struct syscall_args *a)
{
    return posix_timer_delete(process_current(), (int)a->arg[0]);
}
