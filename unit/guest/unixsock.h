/* SPDX-License-Identifier: BSD-3-Clause */
/* unixsock.h - what the tests of AF_UNIX sockets share. */
#ifndef SELKIE_GUEST_UNIXSOCK_H
#define SELKIE_GUEST_UNIXSOCK_H

#include "guest.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A name, or a path, of this run's own: on Linux the names belong to everybody, and two runs of one
 * test may be at work there at the same time. The result is good for the next seven calls. */
static inline const char *own(const char *name)
{
    static char names[8][64];
    static unsigned next;
    static int run; /* stays the same in children */
    if (!run)
        run = getpid();
    char *result = names[next++ % 8];
    snprintf(result, sizeof(names[0]), "%s.%d", name, run);
    return result;
}
static inline struct sockaddr_un address(const char *name, socklen_t *len)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const char *path = strstr(name, "us.") ? own(name) : name; /* else it is only looked at */
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
