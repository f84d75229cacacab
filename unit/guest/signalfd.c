/* SPDX-License-Identifier: BSD-3-Clause */
/* signalfd - signals taken without a handler: what signalfd tells of each kind, with poll and
 * epoll, several readers and waiters that share the signals of the process, signals for one thread.
 */
#include "guest.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

static sigset_t set;
static int sfd;

static int tid(void)
{
    return (int)syscall(SYS_gettid);
}
static int ready(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 0);
}
static bool wait_for(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, -1) == 1;
}
static struct signalfd_siginfo get(void)
{
    struct signalfd_siginfo info;
    memset(&info, 0x55, sizeof(info));
    REQUIRE(read(sfd, &info, sizeof(info)) == sizeof(info));
    return info;
}

static void test_fields(void)
{
    struct signalfd_siginfo info, two[3];
    REQUIRE(ready(sfd) == 0);
    REQUIRE_ERRNO(read(sfd, &info, sizeof(info)), EAGAIN);
    REQUIRE_ERRNO(read(sfd, &info, sizeof(info) - 1), EINVAL);
    REQUIRE(kill(getpid(), SIGUSR1) == 0 && kill(getpid(), SIGUSR1) == 0 && ready(sfd) == 1);
    info = get();
    REQUIRE(info.ssi_signo == SIGUSR1 && info.ssi_code == SI_USER && info.ssi_errno == 0 &&
            info.ssi_pid == (uint32_t)getpid() && info.ssi_uid == getuid() && ready(sfd) == 0);
    REQUIRE(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 7}) == 0 &&
            sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 8}) == 0);
    REQUIRE(read(sfd, two, sizeof(two)) == 2 * sizeof(two[0]));
    REQUIRE(two[0].ssi_code == SI_QUEUE && two[0].ssi_int == 7 && two[1].ssi_int == 8);
    REQUIRE(syscall(SYS_tgkill, getpid(), tid(), SIGUSR1) == 0);
    info = get();
    REQUIRE(info.ssi_code == SI_TKILL && info.ssi_pid == (uint32_t)getpid());
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct itimerspec its = {{0, 1000000}, {0, 1000000}};
    event.sigev_value.sival_int = 99;
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
            timer_settime(timer, 0, &its, NULL) == 0);
    /* Wait for the signal itself: another CPU may bring it, much later than this one ends a sleep.
     * From the first period on the others count. */
    REQUIRE(wait_for(sfd));
    usleep(20000);
    info = get();
    REQUIRE(info.ssi_signo == (uint32_t)SIGRTMIN && info.ssi_code == SI_TIMER &&
            info.ssi_int == 99 && info.ssi_overrun >= 15);
    REQUIRE(timer_delete(timer) == 0);
    /* What the timer has sent may be gone with it, even after poll saw it (Linux 6.13). */
    while (ready(sfd) && read(sfd, &info, sizeof(info)) == sizeof(info))
        ;
}

static void test_epoll(void)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = 5};
    int ep = epoll_create1(0), other;
    REQUIRE(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, sfd, &e) == 0);
    REQUIRE(epoll_wait(ep, &e, 1, 0) == 0);
    REQUIRE(raise(SIGUSR1) == 0 && epoll_wait(ep, &e, 1, 10000) == 1 && e.data.u32 == 5);
    get();
    REQUIRE(epoll_wait(ep, &e, 1, 0) == 0);
    close(ep);
    /* A second descriptor with a mask of its own, then with another one. */
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    other = signalfd(-1, &one, SFD_NONBLOCK);
    REQUIRE(other >= 0 && raise(SIGUSR1) == 0 && ready(other) == 0 && ready(sfd) == 1);
    sigaddset(&one, SIGUSR1);
    REQUIRE(signalfd(other, &one, 0) == other && ready(other) == 1);
    get();
    REQUIRE(ready(other) == 0);
    REQUIRE_ERRNO(signalfd(0, &one, 0), EINVAL);
    REQUIRE_ERRNO(signalfd(77, &one, 0), EBADF);
    REQUIRE_ERRNO(signalfd(-1, &one, 0x40000000), EINVAL);
    close(other);
}

/* ---- threads ---- */

#define READERS 4
#define SIGNALS 400
static int taken[SIGNALS + 1];
static int shared; /* a blocking signalfd */
static volatile int waiting;

static void *reader(void *arg)
{
    (void)arg;
    for (;;) {
        struct signalfd_siginfo info;
        REQUIRE(read(shared, &info, sizeof(info)) == sizeof(info));
        if (info.ssi_int == 0)
            return NULL;
        __atomic_fetch_add(&taken[info.ssi_int], 1, __ATOMIC_RELAXED);
    }
}

static void *waiter(void *arg)
{
    siginfo_t info;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN);
    for (;;) {
        struct timespec ts = {0, arg ? 100000 : 1000000000 - 1}; /* some look now and then */
        int signo = sigtimedwait(&one, &info, &ts);
        /* EINTR: woken for a signal that somebody else has taken. */
        REQUIRE(signo == SIGRTMIN || (signo == -1 && (errno == EAGAIN || errno == EINTR)));
        if (signo == -1)
            continue;
        if (info.si_value.sival_int == 0)
            return NULL;
        __atomic_fetch_add(&taken[info.si_value.sival_int], 1, __ATOMIC_RELAXED);
    }
}

/* Each signal is taken once, whoever takes it and however. */
static void test_sharing(void)
{
    pthread_t t[READERS];
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN);
    shared = signalfd(-1, &one, 0);
    for (long i = 0; i < READERS; i++)
        REQUIRE(pthread_create(&t[i], NULL, i < 2 ? reader : waiter, i == 2 ? &sfd : NULL) == 0);
    for (int i = 1; i <= SIGNALS; i++)
        REQUIRE(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}) == 0);
    for (int i = 0; i < READERS; i++)
        REQUIRE(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 0}) == 0);
    for (int i = 0; i < READERS; i++)
        REQUIRE(pthread_join(t[i], NULL) == 0);
    for (int i = 1; i <= SIGNALS; i++)
        REQUIRE(taken[i] == 1);
    close(shared);
}

static void *own_signal(void *arg)
{
    struct signalfd_siginfo info;
    waiting = tid();
    REQUIRE(read(shared, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR2);
    siginfo_t i;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    waiting = 0;
    REQUIRE(sigwaitinfo(&one, &i) == SIGUSR2);
    return arg;
}

/* A signal for a thread: others that read the same descriptor do not see it. */
static void test_directed(void)
{
    pthread_t t;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    shared = signalfd(-1, &one, 0);
    REQUIRE(pthread_create(&t, NULL, own_signal, NULL) == 0);
    while (!waiting)
        sched_yield();
    raise(SIGUSR2); /* this thread's own */
    REQUIRE(ready(shared) == 1 && pthread_kill(t, SIGUSR2) == 0);
    while (waiting)
        sched_yield();
    struct signalfd_siginfo info;
    REQUIRE(read(shared, &info, sizeof(info)) == sizeof(info) && ready(shared) == 0);
    REQUIRE(pthread_kill(t, SIGUSR2) == 0 && pthread_join(t, NULL) == 0);
    REQUIRE(ready(shared) == 0);
    close(shared);
}

int main(void)
{
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    sigset_t all = set;
    sigaddset(&all, SIGUSR2);
    REQUIRE(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
    sfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    REQUIRE(sfd >= 0);
    test_fields();
    test_epoll();
    close(sfd);
    test_sharing();
    test_directed();
    return guest_pass("signalfd");
}
