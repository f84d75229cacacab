/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace.h - what each CPU did last: a ring of events, for the debugger and the panic report.
 *
 * Switches, wake-ups and faults are always noted: on x86-64 13 instructions of a switch's 265, as
 * many of a wake-up's 85 (both with the clock reading that they need anyway; only a wake-up
 * for another CPU reads it for this), some 30 of a fault's thousand and more. System
 * calls and their results are noted in SELKIE_DEBUG builds only. A ring is one page that only its
 * CPU writes, with interrupts off, so there is no lock and no atomic instruction. Whoever reads it
 * looks at a machine that stands still, or takes `trace` away from the CPUs and waits until each
 * has been interrupted (sched/report.c). There is none before the memory allocator is up. Threads
 * are named by address: it may be gone when somebody reads.
 */
#ifndef SELKIE_CORE_TRACE_H
#define SELKIE_CORE_TRACE_H

#include "core/percpu.h"

enum trace_kind {
    TRACE_NONE,
    TRACE_SWITCH, /* from thread a to thread b; number: why (enum switch_reason) */
    TRACE_WAKE,   /* thread a was made runnable; number: its new state */
    TRACE_FAULT,  /* at address a, by code at b; number: enum hal_fault_kind */
    TRACE_CALL,   /* thread a; number: enum syscall_id; b: first argument */
    TRACE_RESULT, /* the same, b: result */
};
struct trace_event {
    uint64_t ns;
    uint32_t kind; /* enum trace_kind */
    int32_t number;
    uint64_t a, b;
};
#define TRACE_EVENTS (HAL_PAGE_SIZE / sizeof(struct trace_event))

/* Interrupts off, on `cpu`. */
static inline void trace_note(struct cpu *cpu, uint64_t ns, struct trace_event event)
{
    /* Relaxed: what is done to the ring hangs on the address that is found here. In a simulation,
     * where all CPUs are one thread, no atomic: it would be one more place to switch at. */
    struct trace_event *ring =
        SELKIE_SIM ? cpu->trace : __atomic_load_n(&cpu->trace, __ATOMIC_RELAXED);
    if (!ring)
        return;
    event.ns = ns;
    ring[cpu->trace_count++ % TRACE_EVENTS] = event;
}

#endif
