/* SPDX-License-Identifier: BSD-3-Clause */
/* cputimers - timer_create with every kind of notification, what a late timer counts, clocks and
 * timers of the CPU time of threads and of the process, sleeping on them, setitimer as one step. */
#include "guest.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#define MS 1000000ll
#ifndef SIGEV_THREAD_ID
#define SIGEV_THREAD_ID 4
#endif

static int64_t ns(clockid_t id)
{
    struct timespec ts;
    REQUIRE(clock_gettime(id, &ts) == 0);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}
static struct timespec spec(int64_t n)
{
    return (struct timespec){n / 1000000000, n % 1000000000};
}
static void burn(clockid_t id, int64_t n)
{
    for (int64_t end = ns(id) + n; ns(id) < end;)
        continue;
}

/* struct sigevent differs between libcs in the name of the thread's number. */
struct event {
    union sigval value;
    int signo, notify, tid, pad[11];
};

static int make(clockid_t clock, struct event *event, int *timer)
{
    return (int)syscall(SYS_timer_create, clock, event, timer);
}
static void start(int timer, int64_t first, int64_t interval)
{
    struct itimerspec its = {spec(interval), spec(first)};
    REQUIRE(syscall(SYS_timer_settime, timer, 0, &its, NULL) == 0);
}
static int64_t left(int timer)
{
    struct itimerspec its;
    REQUIRE(syscall(SYS_timer_gettime, timer, &its) == 0);
    return its.it_value.tv_sec * 1000000000ll + its.it_value.tv_nsec;
}
static int overrun(int timer)
{
    return (int)syscall(SYS_timer_getoverrun, timer);
}
static void drop(int timer)
{
    REQUIRE(syscall(SYS_timer_delete, timer) == 0);
}
static int take(int signo, siginfo_t *info, int64_t wait)
{
    struct timespec ts = spec(wait);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signo);
    return sigtimedwait(&one, info, &ts);
}
static int self(void)
{
    return (int)syscall(SYS_gettid);
}

static void test_overrun(int signo)
{
    struct event event = {.signo = signo, .value.sival_int = 42};
    siginfo_t info;
    int timer;
    REQUIRE(make(CLOCK_MONOTONIC, &event, &timer) == 0 && overrun(timer) == 0);
    start(timer, MS, MS);
    struct timespec nap = spec(40 * MS);
    REQUIRE(nanosleep(&nap, NULL) == 0 && overrun(timer) == 0); /* none was taken yet */
    REQUIRE(left(timer) > 0 && left(timer) <= MS);
    /* The signal may come much later than the nap's end, if another CPU tells it. */
    REQUIRE(take(signo, &info, 3600000 * MS) == signo && info.si_code == SI_TIMER &&
            info.si_value.sival_int == 42);
    REQUIRE(info.si_overrun >= 30 && overrun(timer) == info.si_overrun);
    for (int i = 0; i < 5; i++) {
        REQUIRE(take(signo, &info, 20000 * MS) == signo);
        REQUIRE(overrun(timer) == info.si_overrun);
    }
    start(timer, 0, 0);
    REQUIRE(overrun(timer) == 0 && left(timer) == 0);
    drop(timer);
    REQUIRE_ERRNO(overrun(timer), EINVAL);
}

static volatile int other_tid, stop;
static void *receiver(void *arg)
{
    siginfo_t info;
    other_tid = self();
    REQUIRE(take(SIGRTMIN, &info, 20000 * MS) == SIGRTMIN && info.si_code == SI_TIMER);
    return arg;
}

static void test_kinds(void)
{
    struct event event = {.signo = SIGRTMIN, .notify = SIGEV_NONE};
    siginfo_t info;
    pthread_t t;
    int timer;
    REQUIRE(make(CLOCK_MONOTONIC, &event, &timer) == 0);
    start(timer, 100000 * MS, 0);
    REQUIRE(left(timer) > 0 && left(timer) <= 100000 * MS);
    start(timer, 5 * MS, 0);
    while (left(timer) > 0)
        sched_yield();
    start(timer, 5 * MS, 3 * MS);
    burn(CLOCK_MONOTONIC, 10 * MS);
    REQUIRE(left(timer) > 0 && left(timer) <= 3 * MS);
    drop(timer);
    REQUIRE_ERRNO(take(SIGRTMIN, &info, 0), EAGAIN);

    REQUIRE(make(CLOCK_MONOTONIC, NULL, &timer) == 0); /* SIGALRM with the timer's number */
    start(timer, 1, 0);
    REQUIRE(take(SIGALRM, &info, 20000 * MS) == SIGALRM && info.si_value.sival_int == timer);
    drop(timer);

    event.notify = SIGEV_THREAD; /* for the kernel the same as SIGEV_SIGNAL */
    REQUIRE(make(CLOCK_REALTIME, &event, &timer) == 0);
    start(timer, 1, 0);
    REQUIRE(take(SIGRTMIN, &info, 20000 * MS) == SIGRTMIN);
    drop(timer);
    event.signo = 0;
    REQUIRE_ERRNO(make(CLOCK_REALTIME, &event, &timer), EINVAL);
    event.signo = SIGRTMIN;
    event.notify = 77;
    REQUIRE_ERRNO(make(CLOCK_REALTIME, &event, &timer), EINVAL);
    event.notify = SIGEV_THREAD_ID;
    event.tid = 0x3fffff;
    REQUIRE_ERRNO(make(CLOCK_REALTIME, &event, &timer), EINVAL);

    REQUIRE(pthread_create(&t, NULL, receiver, NULL) == 0);
    while (!other_tid)
        sched_yield();
    event.tid = other_tid;
    REQUIRE(make(CLOCK_MONOTONIC, &event, &timer) == 0);
    start(timer, MS, 0);
    REQUIRE(pthread_join(t, NULL) == 0);
    start(timer, 1, 1); /* nobody to tell any more */
    burn(CLOCK_MONOTONIC, 2 * MS);
    REQUIRE_ERRNO(take(SIGRTMIN, &info, 0), EAGAIN);
    drop(timer);
}

/* ---- CPU time ---- */

static void *spin(void *arg)
{
    other_tid = self();
    while (!stop)
        continue;
    return arg;
}

static void test_cpu_clocks(void)
{
    struct event event = {.signo = SIGRTMIN};
    siginfo_t info;
    pthread_t t;
    clockid_t clock;
    int own, whole, its;
    struct timespec brief = spec(5 * MS);
    other_tid = stop = 0;
    REQUIRE(pthread_create(&t, NULL, spin, NULL) == 0);
    while (!other_tid)
        sched_yield();
    REQUIRE(pthread_getcpuclockid(t, &clock) == 0);
    REQUIRE(make(CLOCK_THREAD_CPUTIME_ID, &event, &own) == 0);
    event.signo = SIGRTMIN + 1;
    REQUIRE(make(clock, &event, &its) == 0);
    event.signo = SIGRTMIN + 2;
    REQUIRE(make(CLOCK_PROCESS_CPUTIME_ID, &event, &whole) == 0);
    start(own, 200 * MS, 0);
    start(its, 30 * MS, 0);
    start(whole, 30 * MS, 0);
    /* The other thread works, this one sleeps. */
    REQUIRE(take(SIGRTMIN + 1, &info, 20000 * MS) == SIGRTMIN + 1);
    REQUIRE(take(SIGRTMIN + 2, &info, 20000 * MS) == SIGRTMIN + 2);
    int64_t start_ns = ns(clock);
    REQUIRE(clock_nanosleep(clock, 0, &brief, NULL) == 0 && ns(clock) - start_ns >= 5 * MS);
    start_ns = ns(clock);
    while (ns(clock) - start_ns < 300 * MS) {
        struct timespec nap = spec(20 * MS);
        nanosleep(&nap, NULL);
    }
    REQUIRE_ERRNO(take(SIGRTMIN, &info, 0), EAGAIN); /* 300 ms, but not of this thread's */
    REQUIRE(left(own) > 0 && left(own) <= 200 * MS);
    stop = 1;
    REQUIRE(pthread_join(t, NULL) == 0);
    /* A kernel that looks at its ticks only may notice when the thread has used a little more. */
    burn(CLOCK_THREAD_CPUTIME_ID, 205 * MS);
    int got = take(SIGRTMIN, &info, 0);
    for (int i = 0; i < 200 && got != SIGRTMIN; i++) {
        burn(CLOCK_THREAD_CPUTIME_ID, 5 * MS);
        got = take(SIGRTMIN, &info, 0);
    }
    REQUIRE(got == SIGRTMIN);
    struct itimerspec late = {{0, 0}, {1, 0}};
    REQUIRE_ERRNO(syscall(SYS_timer_settime, its, 0, &late, NULL), ESRCH);
    struct timespec ts;
    REQUIRE_ERRNO(clock_gettime(clock, &ts), EINVAL);
    drop(own);
    drop(its);
    drop(whole);
    REQUIRE(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &brief, NULL) == EINVAL);
    REQUIRE(pthread_getcpuclockid(pthread_self(), &clock) == 0 &&
            clock_nanosleep(clock, 0, &brief, NULL) == EINVAL);
    REQUIRE(clock_getcpuclockid(getpid(), &clock) == 0 &&
            ns(clock) <= ns(CLOCK_PROCESS_CPUTIME_ID));
}

static volatile sig_atomic_t alarms;
static void on_alarm(int signo)
{
    (void)signo;
    alarms++;
}

/* Nobody uses CPU time: the sleep ends by a signal, and says what is left. */
static void test_cpu_sleep(void)
{
    struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    /* Again and again: on a busy host the first may come before the call that it is to interrupt.
     */
    struct itimerval it = {{0, 200000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
    struct timespec long_time = spec(100000 * MS), rem = {0, 0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    REQUIRE(sigaction(SIGALRM, &sa, NULL) == 0 && sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
    REQUIRE(setitimer(ITIMER_REAL, &it, NULL) == 0);
    REQUIRE(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &long_time, &rem) == EINTR);
    int before = alarms;
    REQUIRE(before >= 1 && rem.tv_sec >= 90 && rem.tv_sec < 100);
    long_time.tv_sec += 1000;
    rem = spec(1);
    REQUIRE(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &long_time, &rem) == EINTR);
    REQUIRE(alarms > before && rem.tv_nsec == 1);
    REQUIRE(setitimer(ITIMER_REAL, &off, NULL) == 0);
}

/* ---- setitimer ---- */

#define SWAPS 4000
static int seen[2 * SWAPS + 2];
static void *swap(void *arg)
{
    int base = *(int *)arg;
    for (int i = 0; i < SWAPS; i++) {
        struct itimerval old, it = {{1000 + base + i, 0}, {100000, 0}};
        REQUIRE(setitimer(ITIMER_REAL, &it, &old) == 0);
        if (old.it_interval.tv_sec)
            __atomic_fetch_add(&seen[old.it_interval.tv_sec - 1000], 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void test_swap(void)
{
    pthread_t t[2];
    int base[2] = {0, SWAPS};
    struct itimerval off = {{0, 0}, {0, 0}}, old;
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&t[i], NULL, swap, &base[i]) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(t[i], NULL) == 0);
    REQUIRE(setitimer(ITIMER_REAL, &off, &old) == 0);
    seen[old.it_interval.tv_sec - 1000]++;
    for (int i = 0; i < 2 * SWAPS; i++)
        REQUIRE(seen[i] == 1); /* each setting was replaced once */
}

static volatile sig_atomic_t warnings;
static void on_limit(int signo)
{
    struct rlimit limit;
    /* The soft limit moves on by the second after which the next signal comes. */
    REQUIRE(getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur == limit.rlim_max);
    REQUIRE(signo == SIGXCPU && warnings++ == 0);
    (void)!write(STDOUT_FILENO, "warned\n", 7);
}

/* A second of CPU time to the soft limit, one more to the hard one, which ends the program: its
 * status is what the test compares. */
static void test_limit(void)
{
    struct sigaction sa = {.sa_handler = on_limit};
    rlim_t used = (rlim_t)(ns(CLOCK_PROCESS_CPUTIME_ID) / 1000000000);
    struct rlimit limit = {used + 1, used + 2};
    REQUIRE(sigaction(SIGXCPU, &sa, NULL) == 0 && setrlimit(RLIMIT_CPU, &limit) == 0);
    burn(CLOCK_PROCESS_CPUTIME_ID, 10000 * MS);
}

int main(int argc, char **argv)
{
    sigset_t set;
    if (argc > 1)
        test_limit();
    sigemptyset(&set);
    for (int i = 0; i < 3; i++)
        sigaddset(&set, SIGRTMIN + i);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGALRM);
    REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    test_overrun(SIGRTMIN);
    test_overrun(SIGUSR1);
    test_kinds();
    test_cpu_clocks();
    test_cpu_sleep();
    test_swap();
    return guest_pass("cputimers");
}
