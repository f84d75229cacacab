/* SPDX-License-Identifier: BSD-3-Clause */
/* timer.h - one-shot timers on the monotonic clock, in a per-CPU tree. Callbacks run in irq
 * context. */
#ifndef SELKIE_SCHED_TIMER_H
#define SELKIE_SCHED_TIMER_H

#include "lib/rbtree.h"

struct timerq;
struct timer {
    struct rb_node node;
    uint64_t deadline_ns;
    void (*fn)(struct timer *);
    struct timerq *queue; /* where it is armed, NULL if not; atomic */
};
void timer_setup(struct timer *timer, void (*fn)(struct timer *));
/* Arm on this CPU at the absolute time, replacing an earlier deadline. Any context. */
void timer_arm(struct timer *timer, uint64_t deadline_ns);
/* Disarm. True if it was armed and will not fire. Does not wait for a callback that runs right now
 * on another CPU; timer_cancel_sync does (thread context, no lock that the callback takes). */
bool timer_cancel(struct timer *timer);
void timer_cancel_sync(struct timer *timer);
static inline bool timer_armed(const struct timer *timer)
{
    return __atomic_load_n(&timer->queue, __ATOMIC_ACQUIRE) != NULL;
}
uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC, BOOTTIME = hal_clock_ns() */
uint64_t clock_wall_ns(void); /* CLOCK_REALTIME */
/* Its caller then tells who waits for that clock: futexes, timerfds, POSIX timers. */
int clock_wall_set(uint64_t ns);
/* How often the wall clock was set; the queue is woken behind each time. */
uint32_t clock_set_count(void);
struct waitq;
struct waitq *clock_set_queue(void);

#endif
