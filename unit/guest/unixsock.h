/* SPDX-License-Identifier: BSD-3-Clause */
/* unixsock.h - what the tests of AF_UNIX sockets share. */
#ifndef SELKIE_GUEST_UNIXSOCK_H
#define SELKIE_GUEST_UNIXSOCK_H

#include "guest.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static inline struct sockaddr_un address(const char *path, socklen_t *len)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    memcpy(a.sun_path, path, n);
    if (path[0] == '@')
        a.sun_path[0] = '\0';
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] != '@'));
    return a;
}
static inline int bind_to(int fd, const char *path)
{
    socklen_t len;
    struct sockaddr_un a = address(path, &len);
    return bind(fd, (struct sockaddr *)&a, len);
}
static inline int connect_to(int fd, const char *path)
{
    socklen_t len;
    struct sockaddr_un a = address(path, &len);
    return connect(fd, (struct sockaddr *)&a, len);
}
static inline int listener(int type, const char *path, int backlog)
{
    int fd = socket(AF_UNIX, type, 0);
    REQUIRE(fd >= 0 && bind_to(fd, path) == 0 && listen(fd, backlog) == 0);
    return fd;
}
static inline short events_of(int fd)
{
    struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
    REQUIRE(poll(&p, 1, 0) >= 0);
    return p.revents;
}
static inline void pair(int type, int fd[2])
{
    REQUIRE(socketpair(AF_UNIX, type, 0, fd) == 0);
}
static inline void close_pair(int fd[2])
{
    REQUIRE(close(fd[0]) == 0 && close(fd[1]) == 0);
}
static inline int option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    REQUIRE(getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 && len == sizeof(value));
    return value;
}

#endif
