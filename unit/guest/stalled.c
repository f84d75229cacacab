/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stalled - standard output that nobody reads (tools/tests/process runs it so): the writer waits,
 * other threads go on, and a signal ends the wait.
 *
 *   stalled signal    a handler that does not restart calls interrupts write(2)
 *   stalled threads   another thread says so on standard error, then the program waits to be killed
 */
#include "guest.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static char block[65536];

static void on_alarm(int signo)
{
    (void)signo;
}

static int test_signal(void)
{
    struct sigaction sa = {.sa_handler = on_alarm};
    /* Again and again: the first ones may come before the pipe is full. */
    struct itimerval often = {{0, 20000}, {0, 20000}};
    long n;
    REQUIRE(sigaction(SIGALRM, &sa, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    do
        n = write(1, block, sizeof(block));
    while (n > 0);
    int err = errno;
    fprintf(stderr, n == -1 && err == EINTR ? "interrupted\n" : "FAIL %ld errno %d\n", n, err);
    return 0;
}

static void *write_for_ever(void *arg)
{
    while (write(1, block, sizeof(block)) > 0)
        ;
    return arg;
}

static int test_threads(void)
{
    pthread_t t;
    REQUIRE(pthread_create(&t, NULL, write_for_ever, NULL) == 0);
    for (int i = 0; i < 10; i++) {
        usleep(20000);
        fprintf(stderr, "tick\n");
    }
    fprintf(stderr, "waiting\n");
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 2);
    return strcmp(argv[1], "signal") == 0 ? test_signal() : test_threads();
}
