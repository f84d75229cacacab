/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * redis_client.c - a client of redis in the server's own process, over loopback: loaded by
 * LD_PRELOAD, because Selkie runs one program at a time. It begins a thread that waits for the
 * port, prints "redis-WHAT N ns" (one operation; the least of many batches) for SET and GET of 64
 * bytes, one by one and 16 in one write, checks the answers, and ends the process.
 * tools/bench/redis builds and runs it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 320, MANY = 16, VALUE = 64 };
#define BUDGET 500000000ll

static int fd;

static int64_t now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

_Noreturn static void fail(const char *what)
{
    perror(what);
    _exit(1);
}

static void await_server(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)atoi(getenv("REDIS_PORT"))),
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1;
    for (int tries = 0;; tries++) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0)
            break;
        if (tries == 300)
            fail("connect");
        close(fd);
        usleep(100000);
    }
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
        fail("TCP_NODELAY");
}

/* `pipeline` commands in one write, and their answers, which must be `wanted`. */
static void ask(const char *commands, size_t len, const char *wanted, size_t wanted_len)
{
    char answer[MANY * (VALUE + 16)];
    size_t got = 0;
    if (write(fd, commands, len) != (ssize_t)len)
        fail("write");
    while (got < wanted_len) {
        ssize_t n = read(fd, answer + got, sizeof answer - got);
        if (n <= 0)
            fail("read");
        got += (size_t)n;
    }
    if (got != wanted_len || memcmp(answer, wanted, got) != 0) {
        fprintf(stderr, "redis_client: a wrong answer\n");
        _exit(1);
    }
}

static void row(const char *name, const char *command, const char *answer, int pipeline)
{
    char commands[MANY * 256] = "", answers[MANY * (VALUE + 16)] = "";
    int64_t best = INT64_MAX, begin = now();
    for (int i = 0; i < pipeline; i++) {
        strcat(commands, command);
        strcat(answers, answer);
    }
    size_t len = strlen(commands), wanted = strlen(answers);
    while (now() - begin < BUDGET) {
        int64_t start = now();
        for (int i = 0; i < BATCH / pipeline; i++)
            ask(commands, len, answers, wanted);
        int64_t took = now() - start;
        best = took < best ? took : best;
    }
    printf("redis-%s%d %.4g ns\n", name, pipeline, (double)best / BATCH);
    fflush(stdout);
}

static void *client(void *arg)
{
    char value[VALUE + 1], set[256], answer[VALUE + 16];
    memset(value, 'v', VALUE);
    value[VALUE] = 0;
    snprintf(set, sizeof set, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n%s\r\n", VALUE, value);
    snprintf(answer, sizeof answer, "$%d\r\n%s\r\n", VALUE, value);
    await_server();
    for (int pipeline = 1; pipeline <= MANY; pipeline *= MANY) {
        row("set", set, "+OK\r\n", pipeline);
        row("get", "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", answer, pipeline);
    }
    _exit(0);
    return arg;
}

static __attribute__((constructor)) void begin(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, client, NULL))
        fail("pthread_create");
}
