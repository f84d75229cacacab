/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host_clock.c - can the TSC be our clock, and how fast does it tick?
 *
 * It can where the host itself uses it. Its rate: the host tells it to whoever maps a perf event
 * (struct perf_event_mmap_page, cap_user_time); where perf events are forbidden it is measured
 * against CLOCK_MONOTONIC over a few milliseconds, good to some 10 ppm.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "outer.h"

#define NS_PER_SEC 1000000000ull
#define MEASURE_NS 4000000ull
#define SHIFT 32

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t tsc(void)
{
    _mm_lfence();
    return __rdtsc();
}

/* The same instant on both clocks: the tightest of a few tries. */
static void sample(uint64_t *ticks, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 8; i++) {
        uint64_t t0 = tsc(), now = clock_ns(CLOCK_MONOTONIC), t1 = tsc();

        if (t1 - t0 < best) {
            best = t1 - t0;
            *ticks = t0 + (t1 - t0) / 2;
            *ns = now;
        }
    }
}

static bool host_uses_tsc(void)
{
    char name[32] = "";
    FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");

    if (f) {
        if (!fgets(name, sizeof(name), f))
            name[0] = '\0';
        fclose(f);
    }
    return strcmp(name, "tsc\n") == 0;
}

/* ns = ticks * mult >> SHIFT, or 0 if the host does not tell. */
static uint64_t rate_told(void)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attr),
        .config = PERF_COUNT_SW_DUMMY,
        .exclude_kernel = 1,
    };
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const struct perf_event_mmap_page *p;
    uint64_t mult = 0;
    int fd = (int)syscall(SYS_perf_event_open, &attr, 0L, -1L, -1L, PERF_FLAG_FD_CLOEXEC);

    if (fd < 0)
        return 0;
    p = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED) {
        if (p->cap_user_time && p->time_shift <= SHIFT)
            mult = (uint64_t)p->time_mult << (SHIFT - p->time_shift);
        munmap((void *)p, page);
    }
    close(fd);
    return mult;
}

static uint64_t rate_measured(void)
{
    uint64_t t0, ns0, t1, ns1;
    struct timespec wait = {0, (long)MEASURE_NS};

    sample(&t0, &ns0);
    nanosleep(&wait, NULL);
    sample(&t1, &ns1);
    if (t1 <= t0 || ns1 <= ns0)
        return 0;
    return (uint64_t)(((unsigned __int128)(ns1 - ns0) << SHIFT) / (t1 - t0));
}

/* Each virtual CPU makes a timer when it starts, where failing is no longer simple; the host counts
 * them among the user's queued signals (RLIMIT_SIGPENDING). */
static void check_timers(unsigned count)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = HOSTED_TIMER_SIGNAL};
    timer_t timers[HOSTED_CPU_MAX];

    for (unsigned i = 0; i < count; i++)
        if (timer_create(CLOCK_MONOTONIC, &event, &timers[i]) < 0)
            host_fail("cannot make a timer for each virtual CPU: %s", strerror(errno));
    while (count-- > 0)
        timer_delete(timers[count]);
}

void host_setup_clock(void)
{
    struct hosted_config *c = &hosted_config;

    check_timers(c->cpu_count);
    c->clock_base_ns = clock_ns(CLOCK_MONOTONIC);
    if (host_uses_tsc()) {
        uint64_t mult = rate_told(), ns;

        c->tsc_mult = mult ? mult : rate_measured();
        c->tsc_shift = SHIFT;
        sample(&c->tsc_base, &ns);
        c->clock_base_ns = ns;
    }
    c->wall_base_ns = clock_ns(CLOCK_REALTIME) - (clock_ns(CLOCK_MONOTONIC) - c->clock_base_ns);
}
