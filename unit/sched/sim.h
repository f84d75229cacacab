/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim.h - a machine for scheduler tests: real contexts, several CPUs, virtual time, one seed.
 *
 *     sim_run(cpus, seed, main_fn, arg);
 *
 * boots the scheduler, runs main_fn(arg) as a kernel thread, and returns when it returns. It may be
 * called once in a process, so each test runs it in a child process (sim_test). Nothing happens at
 * the same time: what interleaves is decided at the points where CPUs may be exchanged.
 */
#ifndef SELKIE_UNIT_SIM_H
#define SELKIE_UNIT_SIM_H

#include "sched/thread.h"

/* Run it in a child process; fails the CMocka test unless the child ends well. */
void sim_test(unsigned cpus, unsigned seed, void (*main_fn)(void *), void *arg);
/* For all seeds below `seeds`. */
void sim_test_seeds(unsigned cpus, unsigned seeds, void (*main_fn)(void *));

/* The same in the calling process, which ends with main_fn; once. For fuzz targets, whose main_fn
 * never returns; then sim_seed begins a sequence of its own for each input. */
_Noreturn void sim_boot(unsigned cpus, unsigned seed, void (*main_fn)(void *), void *arg);
void sim_seed(unsigned seed);

/* Use CPU time as a program would: interrupts are taken, and the thread may be preempted. */
void sim_work(uint64_t ns);
uint64_t sim_random(uint64_t below);
uint64_t sim_now(void);
unsigned sim_contexts(void);    /* contexts that exist */
extern unsigned sim_log_errors; /* messages of that level */
extern unsigned sim_ipi_count;
extern unsigned sim_timer_programmed; /* calls of hal_timer_arm with a time */
extern unsigned sim_timer_count;      /* timer interrupts */
/* This CPU stands still before its nth atomic access from now, as a virtual one does when the host
 * runs something else, until the others have been chosen very often. */
void sim_stall_after(unsigned accesses);
extern uint64_t sim_clock_early_ns; /* how early a rough reading of the clock may be */
extern uint64_t sim_stolen_ns;      /* hal_stolen_ns, of all CPUs; 0 at a run's start */
void sim_steal(uint64_t ns);        /* the machine stands still that long */

#define SIM_CHECK(cond) \
    do { \
        if (!(cond)) \
            sim_fail(__FILE__, __LINE__, #cond); \
    } while (0)
_Noreturn void sim_fail(const char *file, int line, const char *what);

#endif
