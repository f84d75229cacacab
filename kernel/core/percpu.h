/* SPDX-License-Identifier: BSD-3-Clause */
/* percpu.h - one struct cpu per CPU: the state that only that CPU touches. */
#ifndef SELKIE_CORE_PERCPU_H
#define SELKIE_CORE_PERCPU_H

#include "core/current.h"

struct runqueue; /* sched/ */
struct timerq;   /* sched/timer.c */
struct trace_event;

struct cpu {
    unsigned id;
    bool online;         /* release store when it can take work */
    unsigned irq_depth;  /* > 0 in interrupt handlers */
    struct thread *idle; /* its idle thread */
    struct runqueue *rq;
    struct timerq *timers;
    struct trace_event *trace;      /* core/trace.h: where events go; NULL: nowhere; atomic */
    uint64_t trace_count;           /* events ever noted */
    struct trace_event *trace_ring; /* the ring itself; NULL: none yet */
} cache_aligned;

/* Number the structures of all CPUs; once, on CPU 0. That of CPU 0 is usable before. */
void percpu_init(void);
/* By index; NULL for a CPU that the machine does not have. */
struct cpu *cpu_get(unsigned id);
unsigned cpu_online_count(void);

/* Every up-call that runs in irq context stands between these two. Interrupts off. */
static inline void irq_enter(void)
{
    this_cpu()->irq_depth++;
}
static inline void irq_exit(void)
{
    this_cpu()->irq_depth--;
}

/* In an interrupt handler? */
static inline bool in_irq(void)
{
    return this_cpu()->irq_depth != 0;
}

#endif
