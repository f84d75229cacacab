/* SPDX-License-Identifier: BSD-3-Clause */
/* jobs - the process is stopped and continued: calls that were interrupted by it, threads that
 * begin meanwhile. Whom numbers mean: threads' where processes' are asked for, and which error
 * comes first when a signal is sent. Children that are not there. */
#include "guest.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#define NOBODY 4194303 /* below the largest number, and not reached */
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* ---- stops -------------------------------------------------------------------------------- */

static int channel[2];
static volatile sig_atomic_t continued, done;
static pthread_t reader;

/* SIGCONT comes from timers: nobody else is left who could send it. From several, for the first
 * ones may be too early, or be dropped by the stop. */
#define TIMERS 11
static timer_t timer[TIMERS];

static void set_timers(int count, long long first_ns)
{
    for (int i = 0; i < count; i++) {
        long long ns = first_ns << i;
        struct itimerspec at = {.it_value = {ns / 1000000000, ns % 1000000000}};
        REQUIRE(timer_settime(timer[i], 0, &at, NULL) == 0);
    }
}

static void on_continue(int signo)
{
    (void)signo;
    set_timers(TIMERS - 3, 0); /* one is enough, unless the stop is still to come */
    continued++;
}

/* `whom` takes the signal, and with it all stop. */
static void stop_for_a_moment(pthread_t whom)
{
    int before = continued;
    set_timers(TIMERS, 10000000);
    REQUIRE(pthread_kill(whom, SIGSTOP) == 0);
    while (continued == before) /* somebody runs the handler */
        usleep(100);
}

static void *stopper(void *arg)
{
    sigset_t all;
    sigfillset(&all);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
    for (int i = 0; i < 5 && !done; i++) {
        stop_for_a_moment(reader);
        usleep(1000);
    }
    if (!done)
        REQUIRE(write(channel[1], "x", 1) == 1);
    return arg;
}

/* A call that a stop interrupted goes on afterwards, but not if SIGCONT's handler ran: signal(7).
 */
static void test_interrupted_by_stop(void)
{
    struct sigaction act = {.sa_handler = on_continue};
    pthread_t thread;
    char c;
    reader = pthread_self();
    REQUIRE(pipe(channel) == 0 && sigaction(SIGCONT, &act, NULL) == 0);
    REQUIRE(pthread_create(&thread, NULL, stopper, NULL) == 0);
    REQUIRE_ERRNO(read(channel[0], &c, 1), EINTR);
    done = 1;
    REQUIRE(pthread_join(thread, NULL) == 0);
    /* With SA_RESTART it does. */
    act.sa_flags = SA_RESTART;
    done = continued = 0;
    REQUIRE(sigaction(SIGCONT, &act, NULL) == 0);
    REQUIRE(pthread_create(&thread, NULL, stopper, NULL) == 0);
    REQUIRE(read(channel[0], &c, 1) == 1 && continued >= 5);
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE(close(channel[0]) == 0 && close(channel[1]) == 0);
}

/* Stops beside the making of threads: all end, whenever they were made. */
static volatile sig_atomic_t stops;

static void *stop_often(void *arg)
{
    for (; stops < 10; stops++)
        stop_for_a_moment(pthread_self());
    return arg;
}

static void *nothing(void *arg)
{
    return arg;
}

static void test_threads_beside_stops(void)
{
    pthread_t other, thread;
    REQUIRE(pthread_create(&other, NULL, stop_often, NULL) == 0);
    while (stops < 10) {
        REQUIRE(pthread_create(&thread, NULL, nothing, NULL) == 0);
        REQUIRE(pthread_join(thread, NULL) == 0);
    }
    REQUIRE(pthread_join(other, NULL) == 0);
}

/* ---- numbers ------------------------------------------------------------------------------ */

static pthread_barrier_t barrier;
static pid_t tid;

static void *second(void *arg)
{
    tid = (pid_t)syscall(SYS_gettid);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return arg;
}

static void test_numbers(void)
{
    struct rlimit limit;
    siginfo_t info;
    REQUIRE(kill(tid, 0) == 0 && getpgid(tid) == getpgrp() && getsid(tid) == getsid(0));
    REQUIRE(syscall(SYS_prlimit64, tid, RLIMIT_NOFILE, NULL, &limit) == 0);
    REQUIRE_ERRNO(syscall(SYS_prlimit64, NOBODY, RLIMIT_NOFILE, NULL, &limit), ESRCH);
    REQUIRE_ERRNO(getpgid(NOBODY), ESRCH);
    REQUIRE_ERRNO(getsid(-1), ESRCH);
    REQUIRE_ERRNO(setpgid(tid, 0), EINVAL);
    REQUIRE_ERRNO(setpgid(-1, 0), EINVAL);
    REQUIRE_ERRNO(setpgid(0, -1), EINVAL);
    REQUIRE_ERRNO(setpgid(NOBODY, 0), ESRCH);
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    REQUIRE(fd >= 0);
    REQUIRE_ERRNO(waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED), ECHILD);
    REQUIRE_ERRNO(waitid((idtype_t)P_PIDFD, 1, &info, WEXITED), EBADF);
    REQUIRE_ERRNO(waitid((idtype_t)P_PIDFD, 1000, &info, WEXITED), EBADF);
    REQUIRE_ERRNO(waitid(P_ALL, 0, &info, WSTOPPED | WCONTINUED | WNOHANG), ECHILD);
    REQUIRE_ERRNO(waitid(P_ALL, 0, &info, 0), EINVAL);
    REQUIRE_ERRNO(wait4(-1, NULL, WUNTRACED | WCONTINUED | WNOHANG, NULL), ECHILD);
    REQUIRE_ERRNO(wait4(-1, NULL, WEXITED, NULL), EINVAL);
    REQUIRE_ERRNO(wait4(INT_MIN, NULL, 0, NULL), ESRCH);
    REQUIRE(close(fd) == 0);
}

/* Is there somebody, and then: is there such a signal. */
static void test_senders(void)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_code = SI_QUEUE;
    REQUIRE_ERRNO(kill(NOBODY, 100), ESRCH);
    REQUIRE_ERRNO(kill(NOBODY, -1), ESRCH);
    REQUIRE_ERRNO(kill(-NOBODY, 100), ESRCH);
    REQUIRE_ERRNO(kill(INT_MIN, 100), ESRCH);
    REQUIRE_ERRNO(kill(getpid(), 65), EINVAL);
    REQUIRE_ERRNO(kill(tid, -1), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_tgkill, getpid(), NOBODY, 100), ESRCH);
    REQUIRE_ERRNO(syscall(SYS_tgkill, getpid(), tid, 100), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_tgkill, 0, tid, 0), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_tkill, NOBODY, 100), ESRCH);
    REQUIRE_ERRNO(syscall(SYS_tkill, 0, 0), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_rt_sigqueueinfo, NOBODY, 100, &info), ESRCH);
    REQUIRE_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), 100, &info), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), NOBODY, 100, &info), ESRCH);
    REQUIRE_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, 100, &info), EINVAL);
    info.si_code = SI_USER;
    REQUIRE_ERRNO(syscall(SYS_rt_sigqueueinfo, NOBODY, 100, &info), EPERM);
}

/* An interval without a first time is none. */
static void test_interval_alone(void)
{
    struct itimerval value = {.it_interval.tv_usec = 7}, out = {.it_interval.tv_usec = 1};
    REQUIRE(setitimer(ITIMER_REAL, &value, NULL) == 0 && getitimer(ITIMER_REAL, &out) == 0);
    REQUIRE(out.it_interval.tv_usec == 0 && out.it_value.tv_usec == 0);
}

int main(void)
{
    pthread_t thread;
    REQUIRE(pthread_barrier_init(&barrier, NULL, 2) == 0);
    REQUIRE(pthread_create(&thread, NULL, second, NULL) == 0);
    pthread_barrier_wait(&barrier);
    test_numbers();
    test_senders();
    test_interval_alone();
    pthread_barrier_wait(&barrier);
    REQUIRE(pthread_join(thread, NULL) == 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCONT};
    for (int i = 0; i < TIMERS; i++)
        REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer[i]) == 0);
    test_interrupted_by_stop();
    test_threads_beside_stops();
    return guest_pass("jobs");
}
