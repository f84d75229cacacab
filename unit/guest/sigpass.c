/* SPDX-License-Identifier: BSD-3-Clause */
/* sigpass - a signal that was left to a thread in sigtimedwait goes to another thread when that one
 * has taken a different signal and blocks this one. And timers on every clock that has absolute
 * times. */
#include "guest.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

#define ROUNDS 300
static sem_t go, taken;
static int got;
static unsigned handled;

static void handler(int signo)
{
    (void)signo;
    __atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED);
}

static sigset_t both(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    return set;
}

static void *waiter(void *arg)
{
    sigset_t set = both();
    struct timespec long_time = {20, 0};
    for (int i = 0; i < ROUNDS; i++) {
        sem_wait(&go);
        do /* Linux says EINTR when the signal it woke for has gone to the other thread */
            got = sigtimedwait(&set, NULL, &long_time);
        while (got == -1 && errno == EINTR);
        sem_post(&taken);
    }
    return arg;
}

static void *sleeper(void *arg)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    for (;;)
        pause();
    return arg;
}

static void passed_on(void)
{
    sigset_t set = both();
    struct sigaction act = {.sa_handler = handler};
    struct timespec none = {0, 0};
    pthread_t a, b;

    REQUIRE(sigaction(SIGUSR2, &act, NULL) == 0 && pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    REQUIRE(sem_init(&go, 0, 0) == 0 && sem_init(&taken, 0, 0) == 0);
    REQUIRE(pthread_create(&a, NULL, waiter, NULL) == 0);
    REQUIRE(pthread_create(&b, NULL, sleeper, NULL) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        unsigned before = __atomic_load_n(&handled, __ATOMIC_RELAXED);
        sem_post(&go);
        usleep(i % 3 * 500); /* it waits by now, or not */
        REQUIRE(kill(getpid(), SIGUSR2) == 0 && kill(getpid(), SIGUSR1) == 0);
        sem_wait(&taken);
        REQUIRE(got == SIGUSR1 || got == SIGUSR2);
        if (got == SIGUSR2) {
            sigdelset(&set, SIGUSR2);
            REQUIRE(sigtimedwait(&set, NULL, &none) == SIGUSR1);
            continue;
        }
        for (int k = 0; k < 2000 && __atomic_load_n(&handled, __ATOMIC_RELAXED) == before; k++)
            usleep(10000);
        REQUIRE(__atomic_load_n(&handled, __ATOMIC_RELAXED) == before + 1);
    }
    REQUIRE(pthread_join(a, NULL) == 0);
}

static void absolute(clockid_t clock)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec when = {{0, 0}, {0, 0}};
    struct timespec long_time = {20, 0};
    sigset_t set;
    timer_t timer;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE(timer_create(clock, &event, &timer) == 0 && clock_gettime(clock, &when.it_value) == 0);
    when.it_value.tv_nsec += 20000000;
    if (when.it_value.tv_nsec >= 1000000000) {
        when.it_value.tv_nsec -= 1000000000;
        when.it_value.tv_sec++;
    }
    REQUIRE(timer_settime(timer, TIMER_ABSTIME, &when, NULL) == 0);
    REQUIRE(sigtimedwait(&set, NULL, &long_time) == SIGUSR1);
    REQUIRE(timer_delete(timer) == 0);
}

int main(void)
{
    passed_on();
    absolute(CLOCK_REALTIME);
    absolute(CLOCK_MONOTONIC);
    absolute(CLOCK_BOOTTIME);
    absolute(CLOCK_TAI);
    return guest_pass("sigpass");
}
