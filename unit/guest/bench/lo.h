/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/lo.h - sockets over lo, for the benchmarks that have some. */
#ifndef SELKIE_BENCH_LO_H
#define SELKIE_BENCH_LO_H

#include "bench.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* A socket bound to a port of its own on lo. */
static inline int on_lo(int type, struct sockaddr_in *name)
{
    socklen_t len = sizeof *name;
    int fd = socket(AF_INET, type, 0);
    *name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (fd < 0 || bind(fd, (struct sockaddr *)name, len) < 0 ||
        getsockname(fd, (struct sockaddr *)name, &len) < 0)
        fail("bind");
    return fd;
}

static inline void connect_to(int fd, const struct sockaddr_in *name)
{
    if (connect(fd, (const struct sockaddr *)name, sizeof *name) < 0)
        fail("connect");
}

/* What is written goes at once. */
static inline void no_delay(int fd)
{
    int one = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
        fail("TCP_NODELAY");
}

#endif
