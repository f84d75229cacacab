/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pktfull.c - more packets than there is memory: datagrams that nobody reads fill queues that are
 * together larger than the machine (run it with 32 MiB). What has no room is dropped or refused; a
 * sender is never kept. What was queued is whole, and when the queues are gone a stream of TCP goes
 * through and the kernel has all its packets back.
 */
#include "procfile.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define QUEUES 300
#define DATAGRAM 8000u
#define STREAM (4u << 20)

static uint8_t bytes[DATAGRAM];

static int open_queue(struct sockaddr_in *address)
{
    socklen_t len = sizeof *address;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 1 << 20;
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)address, len) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)address, &len) == 0);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size))
        REQUIRE(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) == 0);
    return fd;
}

/* In a circle, so that all grow alike. How many were refused. */
static unsigned fill(int out, const struct sockaddr_in *address)
{
    unsigned refused = 0;
    for (unsigned round = 0; round < 40; round++)
        for (unsigned i = 0; i < QUEUES; i++) {
            memset(bytes, (int)(i + round), sizeof bytes);
            ssize_t n = sendto(out, bytes, sizeof bytes, 0, (const struct sockaddr *)&address[i],
                               sizeof address[i]);
            REQUIRE(n == (ssize_t)sizeof bytes ||
                    (n == -1 && (errno == ENOBUFS || errno == ENOMEM)));
            refused += n < 0;
        }
    return refused;
}

/* All that is there: whole, and in order. */
static unsigned drain(int fd, unsigned i)
{
    unsigned count = 0;
    int last = -1;
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) >= 0) {
        int round = (uint8_t)(bytes[0] - i);
        REQUIRE(n == (ssize_t)sizeof bytes && round > last && round < 40);
        for (unsigned k = 1; k < DATAGRAM; k++)
            REQUIRE(bytes[k] == bytes[0]);
        last = round;
        count++;
    }
    REQUIRE(errno == EAGAIN);
    return count;
}

static void *reader(void *arg)
{
    static uint8_t part[65536];
    int fd = (int)(intptr_t)arg;
    uint32_t got = 0;
    ssize_t n;
    while ((n = recv(fd, part, sizeof part, 0)) > 0)
        for (ssize_t i = 0; i < n; i++, got++)
            REQUIRE(part[i] == (uint8_t)(got / 1000));
    REQUIRE(n == 0 && got == STREAM);
    return arg;
}

static void stream(void)
{
    static uint8_t data[STREAM];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    pthread_t thread;
    int l = socket(AF_INET, SOCK_STREAM, 0), out = socket(AF_INET, SOCK_STREAM, 0), in;
    REQUIRE(bind(l, (struct sockaddr *)&a, len) == 0 && listen(l, 1) == 0);
    REQUIRE(getsockname(l, (struct sockaddr *)&a, &len) == 0);
    REQUIRE(connect(out, (struct sockaddr *)&a, sizeof a) == 0);
    REQUIRE((in = accept(l, NULL, NULL)) >= 0);
    REQUIRE(pthread_create(&thread, NULL, reader, (void *)(intptr_t)in) == 0);
    for (uint32_t i = 0; i < STREAM; i++)
        data[i] = (uint8_t)(i / 1000);
    for (uint32_t done = 0; done < STREAM;) {
        ssize_t n = send(out, data + done, STREAM - done, MSG_NOSIGNAL);
        REQUIRE(n > 0);
        done += (uint32_t)n;
    }
    REQUIRE(shutdown(out, SHUT_WR) == 0 && pthread_join(thread, NULL) == 0);
    REQUIRE(close(in) == 0 && close(out) == 0 && close(l) == 0);
}

int main(void)
{
    static struct sockaddr_in address[QUEUES];
    static int queue[QUEUES];
    int out = socket(AF_INET, SOCK_DGRAM, 0);
    long before = account("net");
    unsigned got = 0;
    alarm(100);
    for (unsigned i = 0; i < QUEUES; i++)
        queue[i] = open_queue(&address[i]);
    unsigned refused = fill(out, address);
    for (unsigned i = 0; i < QUEUES; i++)
        if (i % 2) /* the others go with their sockets */
            got += drain(queue[i], i);
    REQUIRE(got > 0 && got <= 20 * QUEUES);
    for (unsigned i = 0; i < QUEUES; i++)
        REQUIRE(close(queue[i]) == 0);
    stream();
    for (int tries = 0; tries < 1000 && account("net") > before; tries++)
        usleep(50000);
    if (account("net") > before || getenv("PKTFULL"))
        printf("%u refused, %u got, packets %ld -> %ld\n", refused, got, before, account("net"));
    REQUIRE(account("net") <= before); /* the driver may have had one of DHCP's then */
    return guest_pass("pktfull");
}
