/* SPDX-License-Identifier: BSD-3-Clause */
/* timers - clocks agree and never go back, sleeps last long enough, absolute sleeps, timerfd,
 * itimers, CPU time. */
#include "guest.h"
#include "procfile.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <time.h>

static int64_t ns(clockid_t id)
{
    struct timespec ts;
    REQUIRE(clock_gettime(id, &ts) == 0);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}
static int64_t ns_syscall(clockid_t id)
{
    struct timespec ts;
    REQUIRE(syscall(SYS_clock_gettime, id, &ts) == 0);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/* The clocks since boot agree, and none of them shows second 0, which programs (ping, arping) take
 * for "not yet". Run it first: it is true of every machine later. */
static void the_beginning(void)
{
    const int64_t second = 1000000000;
    static const clockid_t clocks[] = {CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC,
                                       CLOCK_BOOTTIME};
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        int64_t a = ns(clocks[i]), b = ns_syscall(clocks[i]);
        REQUIRE(a >= second && b >= a);
    }
    int64_t a = ns(CLOCK_BOOTTIME), wall = ns(CLOCK_REALTIME), b = ns(CLOCK_BOOTTIME);
    struct sysinfo info;
    int64_t uptime = (int64_t)number_in("/proc/uptime", "");
    REQUIRE(sysinfo(&info) == 0 && (int64_t)info.uptime >= uptime && uptime >= a / second);
    struct timespec res;
    REQUIRE(clock_getres(CLOCK_MONOTONIC, &res) == 0 && res.tv_sec == 0 && res.tv_nsec >= 1);
    REQUIRE_ERRNO(clock_gettime((clockid_t)77, &res), EINVAL);
    int64_t boot = (int64_t)number_in("/proc/stat", "btime ");
    REQUIRE(boot >= (wall - b) / second - 1 && boot <= (wall - a) / second + 1);
}

static void *monotonic(void *arg)
{
    int64_t last = 0;
    (void)arg;
    for (int i = 0; i < 50000; i++) {
        int64_t a = ns(CLOCK_MONOTONIC);
        REQUIRE(a >= last);
        last = a;
        if (i % 50 == 0) { /* the vDSO and the system call tell one time */
            int64_t b = ns_syscall(CLOCK_MONOTONIC);
            REQUIRE(b >= last);
            last = b;
        }
    }
    return NULL;
}

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif
static volatile sig_atomic_t alarms;
static void on_alarm(int signo)
{
    (void)signo;
    alarms++;
}

int main(void)
{
    pthread_t t[2];
    struct timespec ts = {0, 20000000};
    the_beginning();
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&t[i], NULL, monotonic, NULL) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(t[i], NULL) == 0);
    struct timeval tv;
    REQUIRE(gettimeofday(&tv, NULL) == 0);
    int64_t diff = ns(CLOCK_REALTIME) / 1000000 - (tv.tv_sec * 1000ll + tv.tv_usec / 1000);
    REQUIRE(diff >= 0 && diff < 100000 && tv.tv_sec > 1500000000);
    REQUIRE(time(NULL) >= tv.tv_sec - 1); /* Linux counts it in ticks */

    int64_t a = ns(CLOCK_MONOTONIC);
    REQUIRE(nanosleep(&ts, NULL) == 0);
    REQUIRE(ns(CLOCK_MONOTONIC) - a >= 20000000);
    a = ns(CLOCK_MONOTONIC) + 10000000;
    struct timespec at = {a / 1000000000, a % 1000000000};
    REQUIRE(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == 0 &&
            ns(CLOCK_MONOTONIC) >= a);
    REQUIRE(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == 0);
    ts.tv_nsec = 1000000000;
    REQUIRE_ERRNO(nanosleep(&ts, NULL), EINVAL);

    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec never = {{0, 0}, {100000, 0}}, its = {{0, 5000000}, {0, 20000000}};
    uint64_t expired;
    REQUIRE(fd >= 0 && timerfd_settime(fd, 0, &never, NULL) == 0);
    REQUIRE_ERRNO(read(fd, &expired, 8), EAGAIN);
    struct pollfd pfd = {fd, POLLIN, 0};
    REQUIRE(timerfd_settime(fd, 0, &its, NULL) == 0);
    REQUIRE(poll(&pfd, 1, -1) == 1 && pfd.revents == POLLIN);
    REQUIRE(read(fd, &expired, 8) == 8 && expired >= 1);
    /* It is told by the CPU that set it, this sleep ended by another: they may differ by much. */
    REQUIRE(poll(&pfd, 1, -1) == 1);
    usleep(30000);
    REQUIRE(read(fd, &expired, 8) == 8 && expired >= 5);

    /* A blocked reader sees the ticks that are set (kernels without checkpoints: ENOTTY). */
    uint64_t set_ticks = 77, none = 0;
    REQUIRE(timerfd_settime(fd, 0, &never, NULL) == 0);
    if (ioctl(fd, TFD_IOC_SET_TICKS, &set_ticks) == 0) {
        REQUIRE(poll(&pfd, 1, 0) == 1 && read(fd, &expired, 8) == 8 && expired == 77);
        REQUIRE_ERRNO(ioctl(fd, TFD_IOC_SET_TICKS, &none), EINVAL);
        REQUIRE_ERRNO(read(fd, &expired, 8), EAGAIN);
    } else {
        REQUIRE(errno == ENOTTY);
    }
    /* A wall time, and one of the past. */
    int wall = timerfd_create(CLOCK_REALTIME, 0);
    struct itimerspec then = {{0, 0}, {0, 0}};
    int64_t goal = ns(CLOCK_REALTIME) + 10000000;
    then.it_value = (struct timespec){goal / 1000000000, goal % 1000000000};
    REQUIRE(wall >= 0 && timerfd_settime(wall, TFD_TIMER_ABSTIME, &then, NULL) == 0);
    REQUIRE(read(wall, &expired, 8) == 8 && expired == 1 && ns(CLOCK_REALTIME) >= goal);
    then.it_interval.tv_sec = 1;
    then.it_value.tv_sec -= 5;
    REQUIRE(timerfd_settime(wall, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &then, NULL) == 0);
    REQUIRE(timerfd_gettime(wall, &its) == 0 && its.it_value.tv_sec == 0 &&
            its.it_interval.tv_sec == 1);
    REQUIRE(read(wall, &expired, 8) == 8 && expired >= 5);
    close(wall);

    struct sigaction sa = {.sa_handler = on_alarm};
    REQUIRE(sigaction(SIGALRM, &sa, NULL) == 0);
    struct itimerval it = {{0, 5000}, {0, 5000}};
    REQUIRE(setitimer(ITIMER_REAL, &it, NULL) == 0);
    while (alarms < 3)
        pause();
    /* Short periods leave time for the program; much shorter ones do not on Linux. */
    it.it_interval.tv_usec = it.it_value.tv_usec = 200;
    REQUIRE(setitimer(ITIMER_REAL, &it, NULL) == 0);
    while (alarms <= 8) /* as long as it takes on a busy host */
        continue;
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct itimerspec brief = {{0, 200000}, {0, 200000}}, off = {{0, 0}, {0, 0}};
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
            timer_settime(timer, 0, &brief, NULL) == 0);
    for (a = ns(CLOCK_MONOTONIC); ns(CLOCK_MONOTONIC) - a < 20000000;)
        continue;
    REQUIRE(timer_getoverrun(timer) >= 0 && timer_settime(timer, 0, &off, NULL) == 0);
    REQUIRE(timer_delete(timer) == 0);
    memset(&it, 0, sizeof(it));
    REQUIRE(setitimer(ITIMER_REAL, &it, NULL) == 0);
    REQUIRE(alarm(100) == 0 && alarm(0) > 50);

    int64_t cpu = ns(CLOCK_PROCESS_CPUTIME_ID), thread_cpu = ns(CLOCK_THREAD_CPUTIME_ID);
    volatile unsigned long x = 0;
    while (ns(CLOCK_THREAD_CPUTIME_ID) - thread_cpu < 5000000)
        x++;
    REQUIRE(ns(CLOCK_PROCESS_CPUTIME_ID) - cpu >= 5000000);
    struct rusage ru;
    struct tms tms;
    REQUIRE(getrusage(RUSAGE_SELF, &ru) == 0 && times(&tms) != (clock_t)-1);
    return guest_pass("timers");
}
