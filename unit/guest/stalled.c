/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stalled - standard output that nobody reads (tools/tests/streams runs it so): the writer waits,
 * other threads go on, and a signal ends the wait. What is noteworthy is said on standard error.
 *
 *   stalled signal    a handler that does not restart calls interrupts write(2)
 *   stalled threads   another thread says so, then the program waits to be killed
 *   stalled poll      a non-blocking stream: EAGAIN and poll(2), until there is room again
 *   stalled cut       a write of a megabyte whose reader goes away half way
 *   stalled lines     threads write lines to a non-blocking stream: whole or EAGAIN
 *   stalled gone      poll(2) hears of the loss of the reader while nothing is written
 */
#include "guest.h"

#include <fcntl.h>
#include <poll.h>
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

static int writable(int timeout_ms)
{
    struct pollfd p = {.fd = 1, .events = POLLOUT};
    int n = poll(&p, 1, timeout_ms);
    return n <= 0 ? n : p.revents;
}

static int test_poll(void)
{
    long n = 0, total = 0;
    REQUIRE(fcntl(1, F_SETFL, O_NONBLOCK) == 0);
    /* The other side of a machine needs a moment to say that nobody reads. */
    for (int quiet = 0; quiet<20; quiet = n> 0 ? 0 : quiet + 1) {
        n = write(1, block, sizeof(block));
        REQUIRE(n > 0 || errno == EAGAIN);
        total += n > 0 ? n : 0;
        if (n < 0)
            usleep(10000);
    }
    fprintf(stderr, writable(0) == 0 ? "full\n" : "FAIL writable\n");
    REQUIRE(writable(-1) == POLLOUT);
    n = write(1, block, sizeof(block));
    REQUIRE(n > 0);
    fprintf(stderr, "total %ld\n", total + n);
    return 0;
}

static volatile sig_atomic_t pipes;

static void on_pipe(int signo)
{
    (void)signo;
    pipes++;
}

static int test_cut(void)
{
    static char large[1 << 20];
    struct sigaction sa = {.sa_handler = on_pipe};
    REQUIRE(sigaction(SIGPIPE, &sa, NULL) == 0);
    long n = write(1, large, sizeof(large));
    int first = pipes;
    /* A write that begins late enough is not cut. */
    for (int i = 0; n == (long)sizeof(large) && i < 64; i++)
        n = write(1, large, sizeof(large)), first = pipes;
    long next = write(1, large, 1);
    fprintf(stderr, "partial %d with %d, then %ld %s with %d\n", n > 0 && n < (long)sizeof(large),
            first, next, strerror(errno), (int)pipes);
    return 0;
}

#define LINE 999
#define LINES 1500
#define WRITERS 3

static void *write_lines(void *arg)
{
    char line[LINE];
    memset(line, 'a' + (int)(intptr_t)arg, sizeof(line));
    line[LINE - 1] = '\n';
    for (int done = 0; done < LINES;) {
        long n = write(1, line, sizeof(line));
        REQUIRE(n == LINE || (n == -1 && errno == EAGAIN));
        done += n > 0;
        if (n < 0)
            REQUIRE(writable(-1) == POLLOUT);
    }
    return arg;
}

static int test_lines(void)
{
    pthread_t t[WRITERS];
    REQUIRE(fcntl(1, F_SETFL, O_NONBLOCK) == 0);
    for (intptr_t i = 0; i < WRITERS; i++)
        REQUIRE(pthread_create(&t[i], NULL, write_lines, (void *)i) == 0);
    fprintf(stderr, "writing\n");
    for (int i = 0; i < WRITERS; i++)
        REQUIRE(pthread_join(t[i], NULL) == 0);
    return 0;
}

static int test_gone(void)
{
    struct pollfd p = {.fd = 1};
    fprintf(stderr, "waiting\n");
    int n = poll(&p, 1, -1);
    fprintf(stderr, n == 1 && p.revents == POLLERR ? "gone\n" : "FAIL %d %d\n", n, p.revents);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } tests[] = {{"signal", test_signal}, {"threads", test_threads}, {"poll", test_poll},
                 {"cut", test_cut},       {"lines", test_lines},     {"gone", test_gone}};
    for (unsigned i = 0; argc == 2 && i < sizeof(tests) / sizeof(tests[0]); i++)
        if (strcmp(argv[1], tests[i].name) == 0)
            return tests[i].run();
    return 2;
}
