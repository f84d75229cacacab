/* SPDX-License-Identifier: BSD-3-Clause */
/* percpu.c - the table of struct cpu. Static, because the first thread needs its CPU before there
 * is an allocator; untouched entries cost nothing. */
#include "core/percpu.h"

static struct cpu cpus[HAL_CPU_MAX];

void percpu_init(void)
{
    for (unsigned id = 0; id < hal_cpu_count(); id++)
        cpus[id].id = id;
}

struct cpu *cpu_get(unsigned id)
{
    return id < hal_cpu_count() ? &cpus[id] : NULL;
}

unsigned cpu_online_count(void)
{
    unsigned count = 0;
    /* Acquire: pairs with the release store of a CPU that has finished its set-up. */
    for (unsigned id = 0; id < hal_cpu_count(); id++)
        count += __atomic_load_n(&cpus[id].online, __ATOMIC_ACQUIRE);
    return count;
}
