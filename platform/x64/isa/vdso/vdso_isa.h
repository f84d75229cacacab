/* SPDX-License-Identifier: BSD-3-Clause */
/* vdso_isa.h - what the vDSO needs of x86-64. */
#ifndef SELKIE_VDSO_ISA_H
#define SELKIE_VDSO_ISA_H

#include <stdint.h>

#define VDSO_PREFIX "__vdso_"
#define NR_GETTIMEOFDAY 96
#define NR_TIME 201
#define NR_CLOCK_GETTIME 228
#define NR_CLOCK_GETRES 229
#define NR_GETCPU 309

static inline long call3(long nr, long a, long b, long c)
{
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "0"(nr), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return ret;
}

/* lfence: not before the loads of the sequence counter and the data (SDM vol. 2, RDTSC). */
static inline uint64_t counter_read(void)
{
    uint32_t lo, hi;

    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (uint64_t)hi << 32 | lo;
}

static inline void cpu_relax(void)
{
    __asm__ volatile("pause");
}

#endif
