/* SPDX-License-Identifier: BSD-3-Clause */
/* vdso_isa.h - what the vDSO needs of AArch64. */
#ifndef SELKIE_VDSO_ISA_H
#define SELKIE_VDSO_ISA_H

#include <stdint.h>

#define VDSO_PREFIX "__kernel_"
#define NR_CLOCK_GETTIME 113
#define NR_CLOCK_GETRES 114
#define NR_GETTIMEOFDAY 169

static inline long call3(long nr, long a, long b, long c)
{
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;

    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}

/* isb: not before the loads of the sequence counter and the data (DDI 0487, D11.2.2). */
static inline uint64_t counter_read(void)
{
    uint64_t value;

    __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(value) : : "memory");
    return value;
}

static inline void cpu_relax(void)
{
    __asm__ volatile("yield");
}

#endif
