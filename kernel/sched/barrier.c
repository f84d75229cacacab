/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * barrier.c - have every CPU pass through a full memory barrier, wherever it is.
 *
 * Each CPU counts the interrupts by which others called it, with a full barrier before the count
 * changes. Whoever wants the barrier reads the count, sends the interrupt and waits for the count
 * to change. A change that an interrupt sent earlier makes will do as well: the barrier
 * before it was passed after our read.
 *
 * A CPU that waits here serves the interrupts of others, so two that wait for each other both go
 * on.
 */
#include "sched/internal.h"

static uint64_t count_of(const struct cpu *cpu)
{
    /* Sequentially consistent: what the caller did before comes before it, what it does after
     * comes after it. */
    return __atomic_load_n(&cpu->rq->ipi_count, __ATOMIC_SEQ_CST);
}

void sched_barrier_pass(struct runqueue *rq)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_fetch_add(&rq->ipi_count, 1, __ATOMIC_SEQ_CST);
}

static void call(const struct cpu *cpu)
{
    uint64_t before = count_of(cpu);
    hal_ipi_send(cpu->id);
    while (count_of(cpu) == before) {
        sched_poll(); /* interrupts, those for us too, and whoever is more entitled */
        hal_cpu_relax();
    }
}

void sched_barrier(void)
{
    lock_assert_sleepable();
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        const struct cpu *cpu = cpu_get(id);
        /* The caller's own CPU, if it is not moved, passes the fences here; being moved is one
         * itself. Calling it, too, costs little and needs no argument. */
        if (__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
            call(cpu);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
