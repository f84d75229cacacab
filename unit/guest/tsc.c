/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tsc.c - the counter behind the clock (x86: time stamp counter), read by the program itself, goes
 * on as the clock does. With "hour" it sleeps for so long in between and prints the numbers: for
 * the simulation, where an hour takes no time and both are virtual (tools/tests/sim).
 */
#include "guest.h"

#include <time.h>

static uint64_t clock_ns(void)
{
    struct timespec t;
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t counter(void)
{
#ifdef __x86_64__
    unsigned low, high;
    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
#else
    uint64_t count;
    __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(count)::"memory");
    return count;
#endif
}

int main(int argc, char **argv)
{
    int hour = argc > 1 && strcmp(argv[1], "hour") == 0;
    struct timespec pause = {hour ? 3600 : 0, hour ? 0 : 20000000};
    uint64_t clock = clock_ns(), first = counter(), ticks, ns;
    REQUIRE(nanosleep(&pause, NULL) == 0);
    ticks = counter() - first;
    ns = clock_ns() - clock;
    /* Between 1 MHz and 10 GHz. */
    REQUIRE(ticks > ns / 1000 && ticks < ns * 10);
    if (hour)
        printf("%lu %lu %lu\n", (unsigned long)first, (unsigned long)ticks, (unsigned long)ns);
    return guest_pass("tsc");
}
