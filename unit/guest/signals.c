/* SPDX-License-Identifier: BSD-3-Clause */
/* signals - masks, queueing, handlers, restart and EINTR, sigaltstack, sigtimedwait, sigsuspend. */
#include "guest.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t count, last_value, order[16], order_len;

static void on_count(int signo)
{
    (void)signo;
    count++;
}
static void on_value(int signo, siginfo_t *info, void *context)
{
    (void)context;
    last_value = info->si_value.sival_int;
    if (order_len < 16)
        order[order_len++] = signo * 100 + last_value;
}
static void set(int signo, void *handler, int flags)
{
    struct sigaction sa = {.sa_flags = flags};
    sigemptyset(&sa.sa_mask);
    sa.sa_sigaction = (void (*)(int, siginfo_t *, void *))handler;
    REQUIRE(sigaction(signo, &sa, NULL) == 0);
}

static void test_masks(void)
{
    sigset_t block, old, pending;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    set(SIGUSR1, (void *)on_count, 0);
    count = 0;
    REQUIRE(raise(SIGUSR1) == 0 && count == 1);
    REQUIRE(sigprocmask(SIG_BLOCK, &block, &old) == 0);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    REQUIRE(count == 1);
    REQUIRE(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) == 1);
    REQUIRE(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    REQUIRE(count >= 2 && count <= 3); /* one for the thread, one for the process */
    REQUIRE_ERRNO(sigaction(SIGKILL, &(struct sigaction){0}, NULL), EINVAL);
    REQUIRE_ERRNO(kill(getpid(), 65), EINVAL);
    REQUIRE_ERRNO(kill(0x3ffffff, 0), ESRCH);
    REQUIRE(kill(getpid(), 0) == 0);
}

static void test_realtime_order(void)
{
    sigset_t all, old;
    sigfillset(&all);
    set(SIGRTMIN, (void *)on_value, SA_SIGINFO);
    set(SIGRTMIN + 1, (void *)on_value, SA_SIGINFO);
    REQUIRE(sigprocmask(SIG_BLOCK, &all, &old) == 0);
    for (int i = 1; i <= 3; i++) {
        REQUIRE(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}) == 0);
        REQUIRE(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}) == 0);
    }
    siginfo_t info;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGRTMIN);
    REQUIRE(sigwaitinfo(&one, &info) == SIGRTMIN && info.si_value.sival_int == 1);
    REQUIRE(info.si_code == SI_QUEUE && info.si_pid == getpid());
    struct timespec zero = {0, 0};
    REQUIRE(sigtimedwait(&one, &info, &zero) == SIGRTMIN && info.si_value.sival_int == 2);
    order_len = 0;
    REQUIRE(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    REQUIRE(order_len == 4);
    int low = 0, high = 0; /* within one number the order is kept */
    for (int i = 0; i < 4; i++) {
        int v = order[i] % 100;
        if (order[i] / 100 == SIGRTMIN) {
            REQUIRE(v == 3);
            low++;
        } else {
            high++;
        }
    }
    REQUIRE(low == 1 && high == 3);
    struct timespec ms = {0, 1000000};
    REQUIRE_ERRNO(sigtimedwait(&one, &info, &ms), EAGAIN);
}

static void test_restart(void)
{
    int p[2];
    char c;
    REQUIRE(pipe(p) == 0);
    /* Again and again: on a busy host the first may come before the call that it is to interrupt.
     */
    struct itimerval it = {{0, 200000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
    set(SIGALRM, (void *)on_count, 0);
    count = 0;
    REQUIRE(setitimer(ITIMER_REAL, &it, NULL) == 0);
    REQUIRE_ERRNO(read(p[0], &c, 1), EINTR);
    int before = count;
    REQUIRE(before >= 1);
    struct timespec rem, want = {5, 0};
    REQUIRE_ERRNO(nanosleep(&want, &rem), EINTR);
    REQUIRE(rem.tv_sec <= 5 && count > before);
    REQUIRE(setitimer(ITIMER_REAL, &off, NULL) == 0);
}

static int restart_pipe[2];
static void on_write(int signo)
{
    (void)signo;
    if (write(restart_pipe[1], "x", 1) == 1)
        count++;
}
static void test_sa_restart(void)
{
    char c = 0;
    REQUIRE(pipe(restart_pipe) == 0);
    set(SIGALRM, (void *)on_write, SA_RESTART);
    count = 0;
    struct itimerval it = {.it_value = {0, 20000}};
    REQUIRE(setitimer(ITIMER_REAL, &it, NULL) == 0);
    REQUIRE(read(restart_pipe[0], &c, 1) == 1 && c == 'x' && count == 1);
}

static void test_suspend(void)
{
    sigset_t block, old, wait;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR2);
    set(SIGUSR2, (void *)on_count, 0);
    REQUIRE(sigprocmask(SIG_BLOCK, &block, &old) == 0);
    count = 0;
    raise(SIGUSR2);
    wait = old;
    sigdelset(&wait, SIGUSR2);
    REQUIRE_ERRNO(sigsuspend(&wait), EINTR);
    REQUIRE(count == 1);
    sigset_t now;
    REQUIRE(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR2) == 1);
    REQUIRE(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

static void on_nested(int signo)
{
    count++;
    if (signo == SIGUSR1 && count < 3)
        raise(SIGUSR1);
}
static void test_flags(void)
{
    count = 0;
    set(SIGUSR1, (void *)on_nested, SA_NODEFER);
    raise(SIGUSR1);
    REQUIRE(count == 3);
    count = 0;
    set(SIGUSR1, (void *)on_count, (int)SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction sa;
    REQUIRE(sigaction(SIGUSR1, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL && count == 1);
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    signal(SIGCHLD, SIG_DFL);
    raise(SIGCHLD);
}

static void *loop(void *arg)
{
    volatile int *stop = arg;
    double x = 1.5;
    uint64_t n = 0;
    while (!*stop) {
        x = x * 1.0000001 + 0.5;
        n = n * 31 + 7;
    }
    return x > 0 ? NULL : (void *)(uintptr_t)n;
}
static void test_directed(void)
{
    pthread_t t;
    volatile int stop = 0;
    set(SIGUSR2, (void *)on_count, 0);
    count = 0;
    REQUIRE(pthread_create(&t, NULL, loop, (void *)&stop) == 0);
    for (int i = 1; i <= 20;
         i++) { /* a thread that never enters the kernel still gets its signals */
        REQUIRE(pthread_kill(t, SIGUSR2) == 0);
        while (count < i)
            usleep(100);
    }
    stop = 1;
    REQUIRE(pthread_join(t, NULL) == 0);
}

int main(void)
{
    test_masks();
    test_realtime_order();
    test_restart();
    test_sa_restart();
    test_suspend();
    test_flags();
    test_directed();
    return guest_pass("signals");
}
