/* SPDX-License-Identifier: BSD-3-Clause */
/* hal_attack_x64.c - forbidden things that only exist on x64: running off the interrupt stacks. */
#include "hal_attack.h"
#include "x64.h"

/* One word below an interrupt stack of this CPU, as a handler that nests too deep. */
static void overflow(unsigned ist, size_t size)
{
    volatile uint64_t *below = (volatile uint64_t *)(x64_this_cpu()->tss.ist[ist - 1] - size);

    below[-1] = 0;
}

static void trap_stack_overflow(void)
{
    overflow(X64_IST_TRAP, sizeof(x64_this_cpu()->trap_stack));
}

static void nmi_stack_overflow(void)
{
    overflow(X64_IST_NMI, sizeof(x64_this_cpu()->nmi_stack));
}

static void fatal_stack_overflow(void)
{
    overflow(X64_IST_FATAL, sizeof(x64_this_cpu()->fatal_stack));
}

static void fault_stack_overflow(void)
{
    overflow(X64_IST_FAULT, sizeof(x64_this_cpu()->fault_stack));
}

const struct hal_attack hal_attacks_isa[] = {
    {"trap-stack-overflow", trap_stack_overflow},
    {"nmi-stack-overflow", nmi_stack_overflow},
    {"fatal-stack-overflow", fatal_stack_overflow},
    {"fault-stack-overflow", fault_stack_overflow},
    {NULL, NULL},
};
