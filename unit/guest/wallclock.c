/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wallclock.c - timers that wait for a time of the wall clock follow it when it is set; and a
 * blocked reader of a timerfd follows its timer when that is set. Setting the clock is only tried
 * in Selkie, where it is the program's own.
 */
#include "procfile.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <time.h>

enum { HOUR = 3600 };

static void set_clock(long ahead)
{
    struct timespec now;
    REQUIRE(clock_gettime(CLOCK_REALTIME, &now) == 0);
    now.tv_sec += ahead;
    REQUIRE(clock_settime(CLOCK_REALTIME, &now) == 0);
}

static struct itimerspec in_wall_time(long ahead)
{
    struct itimerspec its = {{0, 0}, {0, 0}};
    REQUIRE(clock_gettime(CLOCK_REALTIME, &its.it_value) == 0);
    its.it_value.tv_sec += ahead;
    return its;
}

/* ---- a reader that is blocked when something changes ---- */

static struct reader {
    int fd, error;
    pid_t tid;
    uint64_t ticks;
    pthread_t thread;
} reader;

static void *read_it(void *arg)
{
    (void)arg;
    __atomic_store_n(&reader.tid, gettid(), __ATOMIC_RELEASE);
    reader.error = read(reader.fd, &reader.ticks, 8) == 8 ? 0 : errno;
    return NULL;
}

/* Started, and asleep. */
static void reader_start(int fd)
{
    reader = (struct reader){.fd = fd};
    REQUIRE(pthread_create(&reader.thread, NULL, read_it, NULL) == 0);
    await_sleep(&reader.tid);
}

static void reader_ends(int error)
{
    REQUIRE(pthread_join(reader.thread, NULL) == 0);
    REQUIRE(reader.error == error);
    REQUIRE(error || reader.ticks == 1);
}

static void test_set_again(void)
{
    struct itimerspec never = {{0, 0}, {100000, 0}}, soon = {{0, 0}, {0, 10000000}}, off = {0};
    struct itimerspec later = in_wall_time(HOUR), past = in_wall_time(-1);
    int mono = timerfd_create(CLOCK_MONOTONIC, 0), wall = timerfd_create(CLOCK_REALTIME, 0);
    REQUIRE(mono >= 0 && wall >= 0);
    REQUIRE(timerfd_settime(mono, 0, &never, NULL) == 0);
    reader_start(mono);
    REQUIRE(timerfd_settime(mono, 0, &soon, NULL) == 0);
    reader_ends(0);
    reader_start(mono); /* off */
    REQUIRE(timerfd_settime(mono, 0, &soon, NULL) == 0);
    reader_ends(0);
    /* From a time of one clock to one of the other, both ways. */
    REQUIRE(timerfd_settime(wall, TFD_TIMER_ABSTIME, &later, NULL) == 0);
    reader_start(wall);
    REQUIRE(timerfd_settime(wall, 0, &soon, NULL) == 0);
    reader_ends(0);
    REQUIRE(timerfd_settime(wall, 0, &never, NULL) == 0);
    reader_start(wall);
    REQUIRE(timerfd_settime(wall, TFD_TIMER_ABSTIME, &past, NULL) == 0);
    reader_ends(0);
    REQUIRE(timerfd_settime(wall, TFD_TIMER_ABSTIME, &off, NULL) == 0);
    close(mono);
    close(wall);
}

/* The second expiry lies behind the end of time, and stays there. */
static void test_end_of_time(void)
{
    struct itimerspec its = {{9223372035, 0}, {0, 1}};
    uint64_t ticks;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct pollfd told = {fd, POLLIN, 0};
    REQUIRE(fd >= 0 && timerfd_settime(fd, 0, &its, NULL) == 0);
    REQUIRE(poll(&told, 1, -1) == 1 && read(fd, &ticks, 8) == 8 && ticks == 1);
    REQUIRE_ERRNO(read(fd, &ticks, 8), EAGAIN);
    REQUIRE(timerfd_gettime(fd, &its) == 0 && its.it_value.tv_sec > 9000000000);
    close(fd);
}

/* ---- setting the clock ---- */

static void test_timerfd(void)
{
    struct itimerspec its = in_wall_time(HOUR);
    int fd = timerfd_create(CLOCK_REALTIME, 0);
    REQUIRE(fd >= 0 && timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) == 0);
    reader_start(fd);
    set_clock(2 * HOUR);
    reader_ends(0);
    its = in_wall_time(HOUR);
    REQUIRE(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL) == 0);
    reader_start(fd);
    set_clock(1);
    reader_ends(ECANCELED);
    /* Set to another way of waiting while it is blocked. */
    REQUIRE(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) == 0);
    reader_start(fd);
    REQUIRE(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL) == 0);
    set_clock(1);
    reader_ends(ECANCELED);
    close(fd);
}

static void test_posix_timer(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec its = in_wall_time(HOUR), left;
    struct timespec wait = {60, 0}, brief = {0, 300000000};
    timer_t timer;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    REQUIRE(timer_create(CLOCK_REALTIME, &event, &timer) == 0);
    REQUIRE(timer_settime(timer, TIMER_ABSTIME, &its, NULL) == 0);
    set_clock(2 * HOUR);
    REQUIRE(sigtimedwait(&set, NULL, &wait) == SIGUSR1);
    /* Away from it. */
    its = in_wall_time(0);
    its.it_value.tv_nsec = 999999999;
    REQUIRE(timer_settime(timer, TIMER_ABSTIME, &its, NULL) == 0);
    set_clock(-HOUR);
    REQUIRE(timer_gettime(timer, &left) == 0);
    if (left.it_value.tv_sec >= HOUR - 60) /* not: it had expired before the clock was set */
        REQUIRE_ERRNO(sigtimedwait(&set, NULL, &brief), EAGAIN);
    /* A relative time does not care. */
    its.it_value = (struct timespec){HOUR, 0};
    REQUIRE(timer_settime(timer, 0, &its, NULL) == 0);
    set_clock(HOUR);
    REQUIRE(timer_gettime(timer, &left) == 0 && left.it_value.tv_sec > HOUR / 2);
    REQUIRE(timer_delete(timer) == 0);
}

static void *sleep_until(void *arg)
{
    const struct itimerspec *its = arg;
    REQUIRE(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &its->it_value, NULL) == 0);
    return NULL;
}

static void test_sleep(void)
{
    struct itimerspec its = in_wall_time(HOUR);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, sleep_until, &its) == 0);
    usleep(10000);
    set_clock(2 * HOUR);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

int main(void)
{
    struct utsname name;
    test_set_again();
    test_end_of_time();
    REQUIRE(uname(&name) == 0);
    if (strstr(name.version, "Selkie")) {
        test_timerfd();
        test_posix_timer();
        test_sleep();
    }
    return guest_pass("wallclock");
}
