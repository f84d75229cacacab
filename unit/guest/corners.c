/* SPDX-License-Identifier: BSD-3-Clause */
/* corners.c - small things that a call says or leaves behind in corner cases. */
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#define MS 1000000ll

/* The call itself, not libc's wrapper, which has an opinion. */
static void test_sleep_clocks(void)
{
    struct timespec ts = {0, 1000};
    long own = ((long)~gettid() << 3) | 4 | 2;
    REQUIRE_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL), EOPNOTSUPP);
    REQUIRE_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, NULL, NULL), EOPNOTSUPP);
    REQUIRE_ERRNO(syscall(SYS_clock_nanosleep, own, 0, &ts, NULL), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_clock_nanosleep, own, 0, NULL, NULL), EFAULT);
    REQUIRE_ERRNO(syscall(SYS_clock_nanosleep, 12, 0, NULL, NULL), EINVAL);
}

static void test_futex(void)
{
    uint32_t word = 0;
    char *const none = NULL;
    REQUIRE(syscall(SYS_futex, none, 1 | 128, 1, NULL, NULL, 0) == 0);
    REQUIRE_ERRNO(syscall(SYS_futex, none, 1, 1, NULL, NULL, 0), EFAULT);
    REQUIRE_ERRNO(syscall(SYS_futex, none, 0 | 128, 0, NULL, NULL, 0), EFAULT);
    REQUIRE_ERRNO(syscall(SYS_futex, none + 2, 1 | 128, 1, NULL, NULL, 0), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_futex, (char *)-8, 1 | 128, 1, NULL, NULL, 0), EFAULT);
    for (int op = 14; op < 128; op++)
        REQUIRE_ERRNO(syscall(SYS_futex, &word, op, 1, NULL, NULL, 0), ENOSYS);
    REQUIRE_ERRNO(syscall(SYS_futex, &word, 0x201, 1, NULL, NULL, 0), ENOSYS);
}

static void test_pipe(void)
{
    int *const none = NULL, before = dup(0), after;
    close(before);
    REQUIRE_ERRNO(syscall(SYS_pipe2, none, 0), EFAULT);
    after = dup(0);
    REQUIRE(before >= 0 && after == before && fcntl(after + 1, F_GETFD) == -1);
    close(after);
}

/* Other effective ids: whoever may look into the process changes. */
static void test_dumpable(void)
{
    static const struct {
        long call, a, b, c;
        bool other;
    } steps[] = {
        {SYS_setresuid, -1, -1, -1, false}, {SYS_setresuid, 1000, -1, -1, false},
        {SYS_setresgid, -1, -1, 5, false},  {SYS_setresgid, -1, 7, -1, true},
        {SYS_setfsgid, 9, 0, 0, true},      {SYS_setresuid, -1, 1000, -1, true},
        {SYS_setresuid, -1, 0, -1, true},
    };
    if (geteuid() != 0)
        return;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int signo = -1;
        REQUIRE(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
        REQUIRE(prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0) == 0);
        REQUIRE(syscall(steps[i].call, steps[i].a, steps[i].b, steps[i].c) >= 0);
        REQUIRE(prctl(PR_GET_PDEATHSIG, &signo, 0, 0, 0) == 0);
        REQUIRE(signo == (steps[i].other ? 0 : SIGUSR1));
        REQUIRE(!steps[i].other == prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    }
}

/* ---- a timer in CPU time of the process, of which there is more from then on ---- */

static int64_t cpu_ns(void)
{
    struct timespec ts;
    REQUIRE(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static int64_t told_at;

static void on_timer(int signo)
{
    (void)signo;
    __atomic_store_n(&told_at, cpu_ns(), __ATOMIC_RELEASE);
}

static void *burn(void *arg)
{
    while (!__atomic_load_n(&told_at, __ATOMIC_ACQUIRE))
        continue;
    return arg;
}

/* On a busy host it may come late. Not always. */
static void test_cpu_timer(void)
{
    enum { THREADS = 4, TRIES = 10 };
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    struct sigaction sa = {.sa_handler = on_timer};
    int64_t late = 0, ask = 200 * MS;
    timer_t timer;
    REQUIRE(sigaction(SIGUSR2, &sa, NULL) == 0);
    REQUIRE(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer) == 0);
    for (int i = 0; i < TRIES; i++) {
        struct itimerspec its = {{0, 0}, {0, ask}};
        pthread_t threads[THREADS];
        told_at = 0;
        int64_t start = cpu_ns();
        REQUIRE(timer_settime(timer, 0, &its, NULL) == 0);
        for (int t = 0; t < THREADS; t++)
            REQUIRE(pthread_create(&threads[t], NULL, burn, NULL) == 0);
        for (int t = 0; t < THREADS; t++)
            REQUIRE(pthread_join(threads[t], NULL) == 0);
        late = told_at - start - ask;
        REQUIRE(late >= 0);
        if (late < ask / 5)
            break;
    }
    if (late >= ask / 5)
        printf("late by %lld ms\n", (long long)(late / MS));
    REQUIRE(late < ask / 5);
    REQUIRE(timer_delete(timer) == 0);
}

int main(void)
{
    test_sleep_clocks();
    test_futex();
    test_pipe();
    test_cpu_timer();
    test_dumpable();
    return guest_pass("corners");
}
