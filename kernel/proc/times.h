/* SPDX-License-Identifier: BSD-3-Clause */
/* times.h - timers of processes: interval timers and POSIX timers. */
#ifndef SELKIE_PROC_TIMES_H
#define SELKIE_PROC_TIMES_H

#include "proc/process.h"

enum { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };
struct itimer_value {
    uint64_t left_ns, interval_ns; /* left 0: off */
};
/* A periodic timer that is `late_ns` late: in how many periods it is to be due again. At least one;
 * and the next time is never so near that the interrupts of a tiny period leave the CPU no time for
 * anything else (any context). */
#define TIMER_PERIOD_MIN_NS (50 * NS_PER_US)
static inline uint64_t interval_periods(uint64_t late_ns, uint64_t interval_ns)
{
    return late_ns / interval_ns + 1 + (TIMER_PERIOD_MIN_NS - 1) / interval_ns;
}
/* Look at the process's CPU time from now on, if a timer or RLIMIT_CPU wants it. p->lock held. */
void itimer_watch_locked(struct process *p);
void itimer_get(struct process *p, int which, struct itimer_value *out);
/* Set, and say what was set before, in one step. */
void itimer_set(struct process *p, int which, const struct itimer_value *value,
                struct itimer_value *old);
/* CPU time of the process: its living and its dead tasks. */
uint64_t process_cpu_ns(struct process *p);
/* Of one task; its process's lock held, or the task is the caller. */
void task_cpu_times(struct task *task, struct cpu_times *out);
void process_cpu_times(struct process *p, struct cpu_times *out); /* with user and system time */

enum { SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID = 4 };
struct posix_timer_spec {
    int clock;  /* CLOCK_REALTIME, MONOTONIC, BOOTTIME, or a CPU clock */
    int notify; /* SIGEV_* */
    int signo, tid;
    uint64_t value;
    bool value_is_id; /* no sigevent was given: the value is the timer's id */
};
/* The new id, or a negative errno. */
int must_check posix_timer_create(struct process *p, const struct posix_timer_spec *spec);
/* absolute: value->left_ns is a time of the timer's clock. */
int must_check posix_timer_set(struct process *p, int id, const struct itimer_value *value,
                               bool absolute, struct itimer_value *old);
int must_check posix_timer_get(struct process *p, int id, struct itimer_value *out);
int must_check posix_timer_overrun(struct process *p, int id);
int must_check posix_timer_delete(struct process *p, int id);

#endif
