/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * barrier.c - have every CPU pass through a full memory barrier, wherever it is.
 *
 * Barriers are numbered. Whoever wants one takes the next number, sends every CPU an interrupt, and
 * waits until each has noted that number or a later one. A CPU that is interrupted reads the latest
 * number, passes a fence, and notes it: so a CPU that has noted ours or a later one has passed a
 * fence after we took it, whoever's interrupt that was.
 *
 * All are called before any is waited for: on hosted a virtual CPU's thread may not be running.
 * A CPU that waits here serves the interrupts of others, so two that wait for each other both go
 * on.
 */
#include "sched/internal.h"

static uint64_t latest; /* atomic */

void sched_barrier_pass(struct runqueue *rq)
{
    uint64_t number = __atomic_load_n(&latest, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&rq->barrier_seen, number, __ATOMIC_SEQ_CST);
}

static void await(const struct cpu *cpu, uint64_t number)
{
    /* Sequentially consistent: what the caller does next comes after it. */
    while (__atomic_load_n(&cpu->rq->barrier_seen, __ATOMIC_SEQ_CST) < number) {
        sched_poll(); /* interrupts, those for us too, and whoever is more entitled */
        hal_cpu_relax();
    }
}

void sched_barrier(void)
{
    lock_assert_sleepable();
    uint64_t number = __atomic_add_fetch(&latest, 1, __ATOMIC_SEQ_CST);
    uint64_t called[(HAL_CPU_MAX + 63) / 64] = {0};
    unsigned count = hal_cpu_count();
    for (unsigned id = 0; id < count; id++)
        /* Acquire: an online CPU has its run queue. The caller's own CPU, if it is not moved,
         * passes the fences here; being moved is one itself. Calling it, too, needs no argument. */
        if (__atomic_load_n(&cpu_get(id)->online, __ATOMIC_ACQUIRE)) {
            called[id / 64] |= 1ull << id % 64;
            hal_ipi_send(id);
        }
    for (unsigned id = 0; id < count; id++)
        if (called[id / 64] >> id % 64 & 1)
            await(cpu_get(id), number);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
