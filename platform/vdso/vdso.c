/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdso.c - clock functions that programs call without entering the kernel.
 *
 * The data page (platform/vdso_data.h) lies right below the image. Readers follow its sequence
 * counter: odd, or changed while reading, means try again. Clocks that the page cannot answer,
 * and machines whose counter is no clock (kind 0), go to the kernel.
 *
 * What differs between instruction sets is in vdso_isa.h (platform/<isa>/isa/vdso): the counter,
 * the system call, and the names that libraries look for.
 *
 * This is user code: it is linked by itself, knows nothing of the kernel and has no data.
 */
#include <stddef.h>

#include "vdso_data.h"
#include "vdso_isa.h"

#define NS_PER_SEC 1000000000ull

enum {
    REALTIME = 0,
    MONOTONIC = 1,
    MONOTONIC_RAW = 4,
    REALTIME_COARSE = 5,
    MONOTONIC_COARSE = 6,
    BOOTTIME = 7
};
#define REALTIME_CLOCKS (1u << REALTIME | 1u << REALTIME_COARSE)
#define MONOTONIC_CLOCKS \
    (1u << MONOTONIC | 1u << MONOTONIC_RAW | 1u << MONOTONIC_COARSE | 1u << BOOTTIME)

struct vdso_timespec {
    int64_t sec, nsec;
};
struct vdso_timeval {
    int64_t sec, usec;
};
struct vdso_timezone {
    int32_t minutes_west, dst_time;
};

extern const struct vdso_data vdso_data __attribute__((visibility("hidden"))); /* vdso.lds */

int vdso_clock_gettime(int clock, struct vdso_timespec *ts) __asm__(VDSO_PREFIX "clock_gettime");
int vdso_clock_getres(int clock, struct vdso_timespec *ts) __asm__(VDSO_PREFIX "clock_getres");
int vdso_gettimeofday(struct vdso_timeval *tv,
                      struct vdso_timezone *tz) __asm__(VDSO_PREFIX "gettimeofday");

/* a * b >> shift with a 128-bit product. */
static inline uint64_t scale(uint64_t a, uint64_t b, uint32_t shift)
{
    return (uint64_t)((unsigned __int128)a * b >> shift);
}

/* Nanoseconds of monotonic or real time; 0 if the kernel must be asked. */
static inline uint64_t now_ns(int realtime)
{
    const struct vdso_data *d = &vdso_data;

    for (;;) {
        /* Acquire: the data is read after the counter. */
        uint32_t seq = __atomic_load_n(&d->seq, __ATOMIC_ACQUIRE);
        uint64_t counter, base, ns;

        if (seq & 1) {
            cpu_relax();
            continue;
        }
        if (__atomic_load_n(&d->kind, __ATOMIC_RELAXED) == 0)
            return 0;
        base = __atomic_load_n(&d->base, __ATOMIC_RELAXED);
        counter = counter_read();
        /* CPUs' counters may differ by a few ticks: never go below the base. */
        counter = counter > base ? counter - base : 0;
        ns = __atomic_load_n(&d->base_ns, __ATOMIC_RELAXED) +
             scale(counter, __atomic_load_n(&d->mult, __ATOMIC_RELAXED),
                   __atomic_load_n(&d->shift, __ATOMIC_RELAXED));
        if (realtime)
            ns += __atomic_load_n(&d->wall_base_ns, __ATOMIC_RELAXED);
        /* The loads above must be done before the counter is looked at again. */
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&d->seq, __ATOMIC_RELAXED) == seq)
            return ns;
    }
}

int vdso_clock_gettime(int clock, struct vdso_timespec *ts)
{
    if ((unsigned)clock < 32 && (1u << clock & (REALTIME_CLOCKS | MONOTONIC_CLOCKS))) {
        uint64_t ns = now_ns((1u << clock & REALTIME_CLOCKS) != 0);

        if (ns) {
            ts->sec = (int64_t)(ns / NS_PER_SEC);
            ts->nsec = (int64_t)(ns % NS_PER_SEC);
            return 0;
        }
    }
    return (int)call3(NR_CLOCK_GETTIME, clock, (long)ts, 0);
}

int vdso_clock_getres(int clock, struct vdso_timespec *ts)
{
    return (int)call3(NR_CLOCK_GETRES, clock, (long)ts, 0);
}

int vdso_gettimeofday(struct vdso_timeval *tv, struct vdso_timezone *tz)
{
    uint64_t ns = now_ns(1);

    if (!ns)
        return (int)call3(NR_GETTIMEOFDAY, (long)tv, (long)tz, 0);
    if (tv) {
        tv->sec = (int64_t)(ns / NS_PER_SEC);
        tv->usec = (int64_t)(ns % NS_PER_SEC / 1000);
    }
    if (tz)
        *tz = (struct vdso_timezone){0, 0};
    return 0;
}

#ifdef NR_TIME /* x86-64 has more functions, and a second, weak name for each */

int64_t vdso_time(int64_t *out) __asm__(VDSO_PREFIX "time");
int vdso_getcpu(unsigned *cpu, unsigned *node, void *cache) __asm__(VDSO_PREFIX "getcpu");

int64_t vdso_time(int64_t *out)
{
    uint64_t ns = now_ns(1);

    if (!ns)
        return call3(NR_TIME, (long)out, 0, 0);
    if (out)
        *out = (int64_t)(ns / NS_PER_SEC);
    return (int64_t)(ns / NS_PER_SEC);
}

int vdso_getcpu(unsigned *cpu, unsigned *node, void *cache)
{
    return (int)call3(NR_GETCPU, (long)cpu, (long)node, (long)cache);
}

int clock_gettime(int clock, struct vdso_timespec *ts)
    __attribute__((weak, alias("__vdso_clock_gettime")));
int clock_getres(int clock, struct vdso_timespec *ts)
    __attribute__((weak, alias("__vdso_clock_getres")));
int gettimeofday(struct vdso_timeval *tv, struct vdso_timezone *tz)
    __attribute__((weak, alias("__vdso_gettimeofday")));
int64_t time(int64_t *out) __attribute__((weak, alias("__vdso_time")));
int getcpu(unsigned *cpu, unsigned *node, void *cache)
    __attribute__((weak, alias("__vdso_getcpu")));

#endif
