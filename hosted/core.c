/* SPDX-License-Identifier: BSD-3-Clause */
/* core.c - a core file of the process as a machine: the outer world writes it (host_core.c), with
 * the registers from here. */
#include "hosted.h"

#define LOOKS 30000 /* at the outer world, a millisecond apart */

struct hosted_core_cpu hosted_core_cpus[HOSTED_CPU_MAX];
unsigned hosted_core_first;
uint32_t hosted_core_state;

STATIC_ASSERT(ISA_CORE_REGISTERS == HOSTED_CORE_REGISTERS);

void hal_core_dump(const struct isa_frame *(*registers)(unsigned cpu))
{
    const struct hosted_config *c = &hosted_config;
    const struct host_timespec pause = {0, 1000000};
    const uint64_t one = 1;

    if (!c->core)
        return;
    for (unsigned cpu = 0; cpu < c->cpu_count; cpu++) {
        const struct isa_frame *frame = registers(cpu);

        hosted_core_cpus[cpu].tid = hosted_vcpus[cpu].tid;
        if (frame)
            isa_core_registers(frame, hosted_core_cpus[cpu].registers);
    }
    hosted_core_first = hal_cpu_id();
    /* Release: with the registers. */
    __atomic_store_n(&hosted_core_state, HOSTED_CORE_WANTED, __ATOMIC_RELEASE);
    (void)host_call3(HOST_write, c->wake_fd, (long)&one, sizeof(one));
    for (unsigned i = 0; i < LOOKS; i++) {
        if (__atomic_load_n(&hosted_core_state, __ATOMIC_ACQUIRE) == HOSTED_CORE_WRITTEN)
            return;
        (void)host_call3(HOST_nanosleep, (long)&pause, 0, 0);
    }
}
