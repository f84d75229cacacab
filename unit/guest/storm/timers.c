/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * timers - periodic timers whose expirations are all counted: what a timer has told (signals with
 * their overruns, or what a timerfd's read gives) is never more than the clock allows and soon no
 * less. Timers are made, armed, changed and deleted at random; sleeps and time limits of all kinds
 * are never over early; a deleted timer is silent.
 */
#include "storm.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include <linux/futex.h>

#define PERIODIC 3
#define CHURNERS 3
#define SLEEPERS 3

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static int64_t clock_of(struct worker *w)
{
    return rng_below(&w->rng, 2) ? CLOCK_MONOTONIC : CLOCK_BOOTTIME;
}

/* How often a timer that was set to `start` with this period has expired at `now`. */
static int64_t due(int64_t start, int64_t period, int64_t now)
{
    return now < start ? 0 : (now - start) / period + 1;
}

static timer_t timer_new(struct worker *w, clockid_t clock, int64_t value)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = SIG_TIMER,
                             .sigev_value.sival_ptr = (void *)(intptr_t)value};
    timer_t timer;
    event.sigev_notify_thread_id = w->tid;
    CHECK_EQ(timer_create(clock, &event, &timer), 0);
    return timer;
}

static void arm(timer_t timer, int64_t start, int64_t period)
{
    struct itimerspec spec = {to_timespec(period), to_timespec(start)};
    CHECK_EQ(timer_settime(timer, TIMER_ABSTIME, &spec, NULL), 0);
}

/* Take the signals of one periodic timer until it has told all that were due at `until`. */
static void follow_signals(struct worker *w, clockid_t clock)
{
    int64_t value = (int64_t)(rng_next(&w->rng) >> 1), period = 50000 + rng_below(&w->rng, 5000000);
    int64_t start = now_ns(clock) + rng_below(&w->rng, 2000000), told = 0;
    int64_t until = start + 20 * period;
    timer_t timer = timer_new(w, clock, value);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIG_TIMER);
    arm(timer, start, period);
    while (told < due(start, period, until)) {
        siginfo_t info;
        struct timespec limit = {1, 0};
        doing(w, "expirations by signal");
        step(w);
        if (sigtimedwait(&set, &info, &limit) < 0) {
            CHECK(errno == EAGAIN);
            continue;
        }
        CHECK_EQ(info.si_signo, SIG_TIMER);
        CHECK_EQ(info.si_code, SI_TIMER);
        CHECK_EQ((intptr_t)info.si_value.sival_ptr, value);
        CHECK(info.si_overrun >= 0 && info.si_overrun == timer_getoverrun(timer));
        told += 1 + info.si_overrun;
        int64_t most = due(start, period, now_ns(clock));
        if (told > most)
            storm_fail(__FILE__, __LINE__, "expirations told before they were due", told, most);
    }
    CHECK_EQ(timer_delete(timer), 0);
    storm_count("expirations", (unsigned long)told);
    /* The signal that was pending may still come; more may not. */
    struct timespec zero = {0, 0};
    while (sigtimedwait(&set, NULL, &zero) == SIG_TIMER)
        continue;
    CHECK(errno == EAGAIN);
}

static void follow_timerfd(struct worker *w, clockid_t clock)
{
    int64_t period = 20000 + rng_below(&w->rng, 4000000), told = 0;
    int64_t start = now_ns(clock) + rng_below(&w->rng, 2000000), until = start + 20 * period;
    struct itimerspec spec = {to_timespec(period), to_timespec(start)}, left;
    bool nonblocking = rng_below(&w->rng, 2) != 0;
    int fd = timerfd_create(clock, TFD_CLOEXEC | (nonblocking ? TFD_NONBLOCK : 0));
    CHECK(fd >= 0 && timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0);
    while (told < due(start, period, until)) {
        uint64_t n;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        doing(w, "expirations of a timerfd");
        step(w);
        if (nonblocking) {
            int ready = poll(&p, 1, 1000);
            CHECK(ready == 0 || (ready == 1 && p.revents == POLLIN));
            if (ready == 0)
                continue;
        }
        CHECK_EQ(read(fd, &n, sizeof(n)), sizeof(n));
        told += (int64_t)n;
        int64_t most = due(start, period, now_ns(clock));
        if (n == 0 || told > most)
            storm_fail(__FILE__, __LINE__, "timerfd expirations told, due", told, most);
        CHECK_EQ(timerfd_gettime(fd, &left), 0);
        int64_t rest = left.it_value.tv_sec * 1000000000ll + left.it_value.tv_nsec;
        CHECK(rest >= 0 && rest <= period); /* 0: due, but not yet noticed */
    }
    storm_count("expirations of timerfds", (unsigned long)told);
    CHECK_EQ(close(fd), 0);
}

static void periodic(struct worker *w)
{
    while (!storm_over()) {
        clockid_t clock = (clockid_t)clock_of(w);
        if (rng_below(&w->rng, 2))
            follow_signals(w, clock);
        else
            follow_timerfd(w, clock);
    }
}

/* Timers that are changed and deleted all the time, many of them as they expire. */
static void churner(struct worker *w)
{
    timer_t timer[8];
    bool made[8] = {false};
    sigset_t set;
    struct timespec zero = {0, 0};
    unsigned long deleted = 0;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIG_TIMER);
    while (!storm_over()) {
        unsigned i = rng_below(&w->rng, 8);
        int64_t now = now_ns(CLOCK_MONOTONIC);
        doing(w, "changing timers");
        if (!made[i]) {
            timer[i] = timer_new(w, CLOCK_MONOTONIC, i);
            made[i] = true;
        }
        switch (rng_below(&w->rng, 4)) {
        case 0:
            CHECK_EQ(timer_delete(timer[i]), 0);
            made[i] = false;
            deleted++;
            break;
        case 1:
            arm(timer[i], now + rng_below(&w->rng, 50000), 0);
            break;
        case 2:
            arm(timer[i], now + rng_below(&w->rng, 50000), 100000 + rng_below(&w->rng, 900000));
            break;
        default: {
            struct itimerspec off = {{0, 0}, {0, 0}}, left;
            CHECK_EQ(timer_settime(timer[i], 0, &off, NULL), 0);
            CHECK_EQ(timer_gettime(timer[i], &left), 0);
            CHECK(left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0);
        }
        }
        while (sigtimedwait(&set, &info, &zero) == SIG_TIMER) {
            intptr_t from = (intptr_t)info.si_value.sival_ptr;
            CHECK(info.si_code == SI_TIMER && from >= 0 && from < 8 && info.si_overrun >= 0);
        }
        step(w);
    }
    for (unsigned i = 0; i < 8; i++)
        if (made[i])
            CHECK_EQ(timer_delete(timer[i]), 0);
    while (sigtimedwait(&set, NULL, &zero) == SIG_TIMER)
        continue;
    usleep(3000); /* longer than any of them had to go */
    CHECK(sigtimedwait(&set, NULL, &zero) == -1 && errno == EAGAIN);
    storm_count("timers deleted", deleted);
}

/* One call with a time limit of `ns`; its end on the clock it goes by. */
static void sleep_somehow(struct worker *w, int64_t ns, const int fds[2])
{
    struct timespec relative = to_timespec(ns);
    int64_t start = now_ns(CLOCK_MONOTONIC), end = start + ns;
    struct timespec at = to_timespec(end);
    uint32_t word = 5;
    sigset_t set;
    struct epoll_event event;
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    switch (rng_below(&w->rng, 8)) {
    case 0:
        CHECK_EQ(nanosleep(&relative, NULL), 0);
        break;
    case 1:
        CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL), 0);
        break;
    case 2: {
        int64_t wall = now_ns(CLOCK_REALTIME) + ns;
        struct timespec wall_at = to_timespec(wall);
        CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &wall_at, NULL), 0);
        CHECK(now_ns(CLOCK_REALTIME) >= wall);
        return;
    }
    case 3:
        CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, &relative, NULL, 0) == -1);
        CHECK_EQ(errno, ETIMEDOUT);
        break;
    case 4:
        CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 5, &at, NULL, 1) == -1);
        CHECK_EQ(errno, ETIMEDOUT);
        break;
    case 5:
        CHECK_EQ(ppoll(&p, 1, &relative, NULL), 0);
        break;
    case 6:
        end = start + ns / 1000000 * 1000000;
        CHECK_EQ(epoll_wait(fds[1], &event, 1, (int)(ns / 1000000)), 0);
        break;
    default:
        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        CHECK(sigtimedwait(&set, NULL, &relative) == -1);
        CHECK_EQ(errno, EAGAIN);
    }
    int64_t now = now_ns(CLOCK_MONOTONIC);
    if (now < end)
        storm_fail(__FILE__, __LINE__, "a sleep was over early", now - start, ns);
}

static void sleeper(struct worker *w)
{
    int fds[2] = {eventfd(0, EFD_CLOEXEC), epoll_create1(EPOLL_CLOEXEC)};
    struct epoll_event event = {.events = EPOLLIN};
    unsigned long slept = 0;
    CHECK(fds[0] >= 0 && fds[1] >= 0 && epoll_ctl(fds[1], EPOLL_CTL_ADD, fds[0], &event) == 0);
    while (!storm_over()) {
        doing(w, "sleep");
        sleep_somehow(w, 1 + rng_below(&w->rng, rng_below(&w->rng, 4) ? 300000 : 5000000), fds);
        slept++;
        step(w);
    }
    CHECK(close(fds[1]) == 0 && close(fds[0]) == 0);
    storm_count("sleeps", slept);
}

/* A timer on a thread's CPU time does not run faster than the thread. */
static void cpu_timer(struct worker *w)
{
    sigset_t set;
    struct timespec zero = {0, 0};
    sigemptyset(&set);
    sigaddset(&set, SIG_TIMER);
    while (!storm_over()) {
        int64_t period = 1000000 + rng_below(&w->rng, 4000000), told = 0;
        timer_t timer = timer_new(w, CLOCK_THREAD_CPUTIME_ID, 1);
        int64_t start = now_ns(CLOCK_THREAD_CPUTIME_ID) + period;
        doing(w, "CPU time");
        arm(timer, start, period);
        while (told < 3) {
            siginfo_t info;
            int64_t stop = now_ns(CLOCK_THREAD_CPUTIME_ID) + 200000;
            while (now_ns(CLOCK_THREAD_CPUTIME_ID) < stop)
                continue;
            if (sigtimedwait(&set, &info, &zero) == SIG_TIMER)
                told += 1 + info.si_overrun;
            CHECK(told <= due(start, period, now_ns(CLOCK_THREAD_CPUTIME_ID)));
            step(w);
        }
        CHECK_EQ(timer_delete(timer), 0);
        while (sigtimedwait(&set, NULL, &zero) == SIG_TIMER)
            continue;
        usleep(5000);
    }
}

void storm_timers(uint64_t seed)
{
    struct worker p[PERIODIC], c[CHURNERS], s[SLEEPERS], cpu;
    for (unsigned i = 0; i < PERIODIC; i++)
        storm_start(&p[i], "periodic", i, seed, periodic, NULL);
    for (unsigned i = 0; i < CHURNERS; i++)
        storm_start(&c[i], "churner", i, seed, churner, NULL);
    for (unsigned i = 0; i < SLEEPERS; i++)
        storm_start(&s[i], "sleeper", i, seed, sleeper, NULL);
    storm_start(&cpu, "CPU timer", 0, seed, cpu_timer, NULL);
    for (unsigned i = 0; i < PERIODIC; i++)
        storm_join(&p[i]);
    for (unsigned i = 0; i < CHURNERS; i++)
        storm_join(&c[i]);
    for (unsigned i = 0; i < SLEEPERS; i++)
        storm_join(&s[i]);
    storm_join(&cpu);
}
