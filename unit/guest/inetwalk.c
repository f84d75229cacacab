/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inetwalk.c - a walk through socket(7), tcp(7), udp(7), ip(7), ipv6(7), epoll(7): one line for
 * each call, what it gave. The runner compares the lines with those of Linux.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define TRY(expr) \
    do { \
        errno = 0; \
        long got_ = (long)(expr); \
        printf("%-60.60s %ld %s\n", #expr, got_, got_ < 0 ? strerror(errno) : ""); \
    } while (0)

static struct sockaddr_in a4;
static struct sockaddr_in6 a6;
static char buf[70000];

static void name_of(int fd)
{
    socklen_t len = sizeof a4;
    REQUIRE(getsockname(fd, (struct sockaddr *)&a4, &len) == 0);
}
#define A4 (struct sockaddr *)&a4, sizeof a4
#define A6 (struct sockaddr *)&a6, sizeof a6

static int bound(int type)
{
    int fd = socket(AF_INET, type, 0);
    a4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    REQUIRE(fd >= 0 && bind(fd, A4) == 0);
    name_of(fd);
    return fd;
}
static int listener(void)
{
    int fd = bound(SOCK_STREAM);
    REQUIRE(listen(fd, 8) == 0);
    return fd;
}
static void pair(int p[2])
{
    int l = listener();
    p[0] = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(connect(p[0], A4) == 0);
    p[1] = accept(l, NULL, NULL);
    REQUIRE(p[1] >= 0);
    close(l);
}
static int wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 20000) == 1 ? p.revents : -1;
}
static void acknowledged(int fd)
{
    int left = 1;
    while (ioctl(fd, SIOCOUTQ, &left) == 0 && left)
        usleep(1000);
}
static int now(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
    return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}
static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}
static int get(int fd, int level, int option)
{
    int value = -1;
    socklen_t len = sizeof value;
    return getsockopt(fd, level, option, &value, &len) ? -1 : value;
}

/* ---- options ---- */

static void option_values(void)
{
    static const struct {
        const char *name;
        int level, option, values[6];
    } table[] = {
#define O(level, option, ...) \
    { \
#option, level, option, \
        { \
            __VA_ARGS__ \
        } \
    }
        O(SOL_SOCKET, SO_REUSEADDR, 1, 7, -1, 0),
        O(SOL_SOCKET, SO_KEEPALIVE, 1, 5, 0),
        O(SOL_SOCKET, SO_OOBINLINE, 1, 0),
        O(SOL_SOCKET, SO_BROADCAST, 1, 0),
        O(SOL_SOCKET, SO_REUSEPORT, 1, 0),
        O(SOL_SOCKET, SO_RCVBUF, 1, 5000, 100000, 0),
        O(SOL_SOCKET, SO_SNDBUF, 1, 5000, 100000, 0),
        O(SOL_SOCKET, SO_RCVLOWAT, 0, 1, 100, -1),
        O(SOL_SOCKET, SO_PRIORITY, 1, 6, 0),
        O(SOL_SOCKET, SO_TYPE, 1),
        O(SOL_SOCKET, SO_ERROR, 1),
        O(SOL_SOCKET, SO_ACCEPTCONN, 1),
        O(IPPROTO_IP, IP_TOS, 0x10, 0xff, 0x100, 3, 0),
        O(IPPROTO_IP, IP_TTL, 1, 255, 256, 0, -1),
        O(IPPROTO_IP, IP_MTU_DISCOVER, 0, 1, 2, 3, 9, -1),
        O(IPPROTO_IP, IP_RECVTTL, 1, 0),
        O(IPPROTO_IP, IP_RECVERR, 1, 0),
        O(IPPROTO_IP, IP_PKTINFO, 1, 0),
        O(IPPROTO_IP, IP_FREEBIND, 1, 0),
        O(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1, 0),
        O(IPPROTO_IP, IP_MULTICAST_TTL, 1, 255, 256, -1),
        O(IPPROTO_IP, IP_MULTICAST_LOOP, 0, 1, 2),
        O(IPPROTO_IP, IP_MINTTL, 1, 255, 256, 0),
        O(IPPROTO_TCP, TCP_NODELAY, 1, 0, 5),
        O(IPPROTO_TCP, TCP_CORK, 1, 0),
        O(IPPROTO_TCP, TCP_MAXSEG, 500, 20, 40000, 0),
        O(IPPROTO_TCP, TCP_KEEPIDLE, 1, 32767, 32768, 0, -1),
        O(IPPROTO_TCP, TCP_KEEPINTVL, 1, 32767, 32768, 0),
        O(IPPROTO_TCP, TCP_KEEPCNT, 1, 127, 128, 0),
        O(IPPROTO_TCP, TCP_SYNCNT, 1, 127, 128, 0),
        O(IPPROTO_TCP, TCP_LINGER2, 10, 0, -1, 100000),
        O(IPPROTO_TCP, TCP_DEFER_ACCEPT, 1, 10, 60, 0),
        O(IPPROTO_TCP, TCP_USER_TIMEOUT, 1000, 0, -1),
        O(IPPROTO_TCP, TCP_QUICKACK, 0, 1),
        O(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1000, 0, -1),
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
            int fd = socket(AF_INET, type, 0);
            printf("%s of %d: default %d", table[i].name, type,
                   table[i].option == SO_RCVBUF || table[i].option == SO_SNDBUF
                       ? 0
                       : get(fd, table[i].level, table[i].option));
            for (int k = 0; k < 6 && (k == 0 || table[i].values[k - 1] != 0); k++) {
                int value = table[i].values[k];
                int err = set(fd, table[i].level, table[i].option, value) ? errno : 0;
                printf("; %d: %d %d", value, err, get(fd, table[i].level, table[i].option));
            }
            printf("\n");
            close(fd);
        }
    }
}

static void option_lengths(void)
{
    static const int options[][2] = {{SOL_SOCKET, SO_REUSEADDR}, {SOL_SOCKET, SO_RCVBUF},
                                     {SOL_SOCKET, SO_LINGER},    {SOL_SOCKET, SO_RCVTIMEO},
                                     {IPPROTO_IP, IP_TOS},       {IPPROTO_IP, IP_TTL},
                                     {IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_MAXSEG}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        for (socklen_t len = 0; len <= 16; len += len < 5 ? 1 : 4) {
            unsigned char value[16] = {1};
            socklen_t out = len;
            int s = setsockopt(fd, options[i][0], options[i][1], value, len) ? errno : 0;
            int g = getsockopt(fd, options[i][0], options[i][1], value, &out) ? errno : 0;
            printf("option %d/%d of %u bytes: set %d get %d %u\n", options[i][0], options[i][1],
                   (unsigned)len, s, g, (unsigned)out);
        }
    struct timeval bad = {0, 1000000}, negative = {-1, 0};
    TRY(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bad, sizeof bad));
    TRY(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &negative, sizeof negative));
    TRY(setsockopt(fd, SOL_SOCKET, 9999, &bad, 4));
    TRY(setsockopt(fd, 9999, 1, &bad, 4));
    TRY(getsockopt(fd, IPPROTO_TCP, 9999, &bad, &(socklen_t){4}));
    TRY(getsockopt(fd, SOL_SOCKET, SO_TYPE, &bad, &(socklen_t){(socklen_t)-1}));
    close(fd);
}

/* ---- states ---- */

static void wrong_calls(void)
{
    int t = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0), p[2];
    int l = listener();
    socklen_t len = 1;
    struct sockaddr_in lies = a4;
    TRY(socket(AF_INET, SOCK_STREAM | 0x40, 0) < 0 ? -1 : 0);
    TRY(socket(AF_INET, 77, 0));
    TRY(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
    TRY(socket(99, SOCK_DGRAM, 0));
    TRY(accept(t, NULL, NULL));
    TRY(accept(u, NULL, NULL));
    TRY(listen(u, 1));
    TRY(syscall(SYS_accept4, l, NULL, NULL, 0x40)); /* musl tries accept then */
    TRY(bind(l, A4));
    TRY(bind(t, (struct sockaddr *)&a4, 3));
    lies.sin_family = AF_INET6;
    TRY(bind(t, (struct sockaddr *)&lies, sizeof lies));
    TRY(connect(t, (struct sockaddr *)&lies, sizeof lies));
    TRY(connect(t, (struct sockaddr *)&a4, 1));
    lies = a4;
    lies.sin_addr.s_addr = htonl(0x08080808);
    lies.sin_port = 0;
    TRY(bind(t, (struct sockaddr *)&lies, sizeof lies));
    TRY(bind(t, A4));
    TRY(send(u, "x", 1, 0));
    TRY(send(t, "x", 1, MSG_NOSIGNAL));
    TRY(recv(t, buf, 1, MSG_DONTWAIT));
    TRY(recv(u, buf, 1, MSG_DONTWAIT));
    TRY(recv(u, buf, 1, MSG_OOB | MSG_DONTWAIT));
    TRY(send(u, buf, 1, MSG_OOB));
    TRY(shutdown(t, 7));
    TRY(shutdown(t, SHUT_RDWR));
    TRY(shutdown(u, SHUT_RDWR));
    TRY(getpeername(t, (struct sockaddr *)&lies, &(socklen_t){sizeof lies}));
    TRY(getsockname(t, (struct sockaddr *)&lies, &len));
    TRY(len);
    TRY(connect(l, A4));
    TRY(recv(l, buf, 1, MSG_DONTWAIT));
    TRY(send(l, buf, 1, MSG_NOSIGNAL));
    TRY(now(t));
    TRY(now(u));
    TRY(now(l));
    close(t), close(u), close(l);
    pair(p);
    TRY(listen(p[0], 1));
    TRY(bind(p[0], A4));
    TRY(connect(p[0], A4));
    TRY(accept(p[0], NULL, NULL));
    TRY(sendto(p[0], "x", 1, 0, A4));
    TRY(send(p[0], "", 0, 0));
    TRY(recv(p[1], buf, 0, 0));
    TRY(recv(p[1], buf, 9, 0));
    TRY(recv(p[1], buf, 0, MSG_DONTWAIT));
    TRY(recv(p[1], buf, 9, MSG_DONTWAIT));
    TRY(recv(p[1], buf, 9, MSG_OOB));
    TRY(recv(p[1], buf, 9, MSG_ERRQUEUE | MSG_DONTWAIT));
    TRY(send(p[0], buf, 9, MSG_MORE | MSG_DONTWAIT | MSG_CONFIRM));
    TRY(recvfrom(p[1], buf, 4, MSG_WAITALL, (struct sockaddr *)&lies, &len));
    TRY(len);
    TRY(recv(p[1], buf, 9, MSG_DONTWAIT | MSG_PEEK) >= 0 ? 0 : errno);
    close(p[0]), close(p[1]);
}

static void halves(void)
{
    int p[2], n = 0;
    pair(p);
    TRY(shutdown(p[0], SHUT_RD));
    TRY(recv(p[0], buf, 9, 0));
    TRY(now(p[0]));
    TRY(send(p[1], "late", 4, 0));
    TRY(wait_for(p[0], POLLIN));
    acknowledged(p[1]);
    TRY(recv(p[0], buf, 9, 0));
    TRY(recv(p[0], buf, 9, 0));
    TRY(send(p[0], "still", 5, 0));
    TRY(recv(p[1], buf, 9, 0));
    TRY(shutdown(p[0], SHUT_RD));
    TRY(shutdown(p[0], SHUT_WR));
    TRY(shutdown(p[0], SHUT_WR));
    TRY(now(p[0]) & ~POLLHUP);
    TRY(wait_for(p[1], POLLRDHUP));
    TRY(recv(p[1], buf, 9, 0));
    TRY(send(p[0], "x", 1, MSG_NOSIGNAL));
    close(p[1]);
    TRY(wait_for(p[0], POLLHUP));
    TRY(getpeername(p[0], (struct sockaddr *)&a6, &(socklen_t){sizeof a6}));
    TRY(shutdown(p[0], SHUT_RD));
    TRY(get(p[0], SOL_SOCKET, SO_ERROR));
    close(p[0]);
    /* A reset. */
    pair(p);
    TRY(send(p[0], "unread", 6, 0));
    TRY(wait_for(p[1], POLLIN));
    close(p[1]);
    TRY(wait_for(p[0], POLLRDHUP));
    TRY(now(p[0]));
    TRY(ioctl(p[0], SIOCINQ, &n));
    TRY(recv(p[0], buf, 9, 0));
    TRY(recv(p[0], buf, 9, 0));
    TRY(now(p[0]));
    TRY(send(p[0], "x", 1, MSG_NOSIGNAL));
    TRY(getpeername(p[0], (struct sockaddr *)&a6, &(socklen_t){sizeof a6}));
    TRY(shutdown(p[0], SHUT_WR));
    close(p[0]);
    pair(p);
    struct linger l = {1, 0};
    REQUIRE(send(p[1], "lost", 4, 0) == 4 && wait_for(p[0], POLLIN) == POLLIN);
    REQUIRE(setsockopt(p[1], SOL_SOCKET, SO_LINGER, &l, sizeof l) == 0);
    close(p[1]);
    TRY(wait_for(p[0], POLLRDHUP));
    TRY(get(p[0], SOL_SOCKET, SO_ERROR));
    TRY(get(p[0], SOL_SOCKET, SO_ERROR));
    TRY(recv(p[0], buf, 9, 0));
    TRY(recv(p[0], buf, 9, 0));
    close(p[0]);
}

static void in_progress(void)
{
    int l = listener(), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int first = connect(fd, A4) == 0 ? 0 : errno;
    REQUIRE(first == EINPROGRESS || first == 0);
    TRY(wait_for(fd, POLLOUT));
    if (first)
        TRY(connect(fd, A4));
    else
        printf("%-60.60s 0 \n", "connect(fd, A4)");
    TRY(connect(fd, A4));
    TRY(get(fd, SOL_SOCKET, SO_ERROR));
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    TRY(connect(fd, &none, sizeof none));
    TRY(now(fd));
    TRY(recv(fd, buf, 1, 0));
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    TRY(connect(fd, A4));
    TRY(send(fd, "again", 5, 0));
    int s = accept(l, NULL, NULL), s2 = accept(l, NULL, NULL);
    TRY(recv(s, buf, 9, 0) < 0 ? errno : 0);
    TRY(recv(s2, buf, 9, 0));
    close(l), close(fd), close(s), close(s2);
}

static void marks(void)
{
    int p[2], at = -1;
    pair(p);
    TRY(send(p[0], "abc", 3, MSG_OOB));
    TRY(wait_for(p[1], POLLPRI));
    TRY(send(p[0], "de", 2, 0));
    acknowledged(p[0]);
    TRY(ioctl(p[1], SIOCATMARK, &at));
    TRY(at);
    TRY(ioctl(p[1], SIOCINQ, &at));
    TRY(at);
    TRY(recv(p[1], buf, 9, MSG_PEEK));
    TRY(recv(p[1], buf, 9, 0));
    TRY(ioctl(p[1], SIOCATMARK, &at));
    TRY(at);
    TRY(recv(p[1], buf, 9, MSG_OOB | MSG_PEEK));
    TRY(buf[0]);
    TRY(recv(p[1], buf, 9, MSG_OOB));
    TRY(recv(p[1], buf, 9, MSG_OOB));
    TRY(now(p[1]));
    TRY(recv(p[1], buf, 9, 0));
    TRY(set(p[1], SOL_SOCKET, SO_OOBINLINE, 1));
    TRY(send(p[0], "xy", 2, MSG_OOB));
    TRY(send(p[0], "z", 1, 0));
    acknowledged(p[0]);
    TRY(now(p[1]));
    TRY(recv(p[1], buf, 9, MSG_OOB));
    TRY(recv(p[1], buf, 9, 0));
    TRY(ioctl(p[1], SIOCATMARK, &at));
    TRY(at);
    TRY(recv(p[1], buf, 9, 0));
    TRY(now(p[1]));
    close(p[0]), close(p[1]);
}

static void low_water(void)
{
    int p[2];
    pair(p);
    TRY(set(p[1], SOL_SOCKET, SO_RCVLOWAT, 10));
    TRY(send(p[0], "12345", 5, 0));
    acknowledged(p[0]);
    TRY(now(p[1]));
    TRY(send(p[0], "67890", 5, 0));
    TRY(wait_for(p[1], POLLIN));
    TRY(recv(p[1], buf, 4, 0));
    TRY(now(p[1]));
    TRY(recv(p[1], buf, 40, MSG_DONTWAIT));
    struct timeval t = {0, 20000};
    TRY(setsockopt(p[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    TRY(recv(p[1], buf, 4, 0));
    TRY(send(p[0], "123", 3, 0));
    acknowledged(p[0]);
    TRY(recv(p[1], buf, 30, 0));
    TRY(send(p[0], "123", 3, 0));
    acknowledged(p[0]);
    TRY(recv(p[1], buf, 30, MSG_WAITALL));
    close(p[0]);
    TRY(recv(p[1], buf, 30, MSG_WAITALL));
    close(p[1]);
}

/* ---- epoll ---- */

static int ep;
static uint32_t event(int timeout)
{
    struct epoll_event e = {0};
    int n = epoll_wait(ep, &e, 1, timeout);
    return n == 1 ? e.events : n == 0 ? 0 : UINT32_MAX;
}
static int watch(int op, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    return epoll_ctl(ep, op, fd, &e);
}

static void edges(void)
{
    int p[2];
    ep = epoll_create1(0);
    pair(p);
    TRY(watch(EPOLL_CTL_ADD, p[1], EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP));
    TRY(event(20000));
    TRY(event(0));
    TRY(send(p[0], "abc", 3, 0));
    TRY(event(20000));
    TRY(event(0));
    TRY(recv(p[1], buf, 1, 0));
    TRY(event(0));
    TRY(send(p[0], "d", 1, 0));
    TRY(event(20000));
    TRY(watch(EPOLL_CTL_MOD, p[1], EPOLLIN | EPOLLET));
    TRY(event(20000));
    TRY(recv(p[1], buf, 9, 0));
    TRY(event(0));
    TRY(watch(EPOLL_CTL_MOD, p[1], EPOLLIN | EPOLLONESHOT));
    TRY(event(0));
    TRY(send(p[0], "e", 1, 0));
    TRY(event(20000));
    TRY(event(0));
    TRY(send(p[0], "f", 1, 0));
    acknowledged(p[0]);
    TRY(event(0));
    TRY(watch(EPOLL_CTL_MOD, p[1], EPOLLIN | EPOLLONESHOT));
    TRY(event(20000));
    TRY(recv(p[1], buf, 9, 0) > 0);
    TRY(watch(EPOLL_CTL_MOD, p[1], EPOLLIN | EPOLLRDHUP | EPOLLET));
    TRY(event(0));
    TRY(shutdown(p[0], SHUT_WR));
    TRY(event(20000));
    TRY(event(0));
    TRY(shutdown(p[1], SHUT_WR));
    TRY(event(20000) & EPOLLHUP);
    TRY(watch(EPOLL_CTL_DEL, p[1], 0));
    TRY(watch(EPOLL_CTL_DEL, p[1], 0));
    close(p[0]), close(p[1]);
    int l = listener(), c = socket(AF_INET, SOCK_STREAM, 0);
    TRY(watch(EPOLL_CTL_ADD, l, EPOLLIN | EPOLLEXCLUSIVE));
    TRY(watch(EPOLL_CTL_MOD, l, EPOLLIN));
    TRY(event(0));
    TRY(connect(c, A4));
    TRY(event(20000));
    int s = accept(l, NULL, NULL);
    TRY(event(0));
    TRY(watch(EPOLL_CTL_ADD, c, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT));
    TRY(watch(EPOLL_CTL_ADD, c, EPOLLET));
    close(s);
    TRY(event(0));
    REQUIRE(shutdown(l, SHUT_RD) == 0);
    TRY(event(20000));
    close(l), close(c), close(ep);
    /* Who is not connected yet, or refused. */
    ep = epoll_create1(0);
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    TRY(watch(EPOLL_CTL_ADD, c, EPOLLIN | EPOLLOUT | EPOLLET));
    TRY(event(20000));
    l = bound(SOCK_STREAM);
    REQUIRE(connect(c, A4) == -1);
    TRY(event(20000));
    TRY(get(c, SOL_SOCKET, SO_ERROR));
    close(l), close(c), close(ep);
}

/* ---- datagrams ---- */

static void datagrams(void)
{
    int u = bound(SOCK_DGRAM), v = socket(AF_INET, SOCK_DGRAM, 0), n = -1;
    struct sockaddr_in to = a4, from;
    socklen_t len = sizeof from;
    TRY(sendto(v, "hello", 5, 0, (struct sockaddr *)&to, sizeof to));
    TRY(sendto(v, "", 0, 0, (struct sockaddr *)&to, sizeof to));
    TRY(sendto(v, buf, 65507, 0, (struct sockaddr *)&to, sizeof to));
    TRY(sendto(v, buf, 65508, 0, (struct sockaddr *)&to, sizeof to));
    TRY(wait_for(u, POLLIN));
    TRY(ioctl(u, SIOCINQ, &n));
    TRY(n);
    TRY(recv(u, buf, 2, MSG_PEEK));
    TRY(recv(u, buf, 2, MSG_PEEK | MSG_TRUNC));
    struct iovec iov = {buf, 2};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_name = &from, .msg_namelen = 4};
    TRY(recvmsg(u, &msg, 0));
    TRY(msg.msg_flags);
    TRY(msg.msg_namelen);
    TRY(recv(u, buf, 9, 0));
    TRY(recv(u, buf, sizeof buf, MSG_TRUNC));
    TRY(recvfrom(u, buf, 9, MSG_DONTWAIT, (struct sockaddr *)&from, &len));
    to.sin_port = 0;
    TRY(sendto(v, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
    TRY(sendto(v, "x", 1, 0, (struct sockaddr *)&to, 7));
    to.sin_port = a4.sin_port;
    to.sin_family = AF_UNSPEC;
    TRY(sendto(v, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
    to.sin_family = AF_INET6;
    TRY(sendto(v, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
    /* Nobody there. */
    close(u);
    TRY(connect(v, A4));
    TRY(send(v, "x", 1, 0));
    TRY(wait_for(v, POLLIN) & POLLERR);
    TRY(recv(v, buf, 9, MSG_DONTWAIT));
    TRY(recv(v, buf, 9, MSG_DONTWAIT));
    TRY(send(v, "x", 1, 0));
    TRY(wait_for(v, POLLIN) & POLLERR);
    TRY(send(v, "x", 1, 0));
    TRY(set(v, IPPROTO_IP, IP_RECVERR, 1));
    REQUIRE(send(v, "quoted", 6, 0) == 6 || send(v, "quoted", 6, 0) == 6);
    TRY(wait_for(v, POLLIN) & POLLERR);
    TRY(get(v, SOL_SOCKET, SO_ERROR));
    char control[200];
    len = sizeof from;
    iov.iov_len = 60;
    msg = (struct msghdr){.msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_name = &from,
                          .msg_namelen = sizeof from,
                          .msg_control = control,
                          .msg_controllen = sizeof control};
    TRY(recvmsg(v, &msg, MSG_ERRQUEUE));
    TRY(msg.msg_flags);
    TRY(msg.msg_namelen);
    TRY(msg.msg_controllen);
    close(v);
}

static void many_messages(void)
{
    int u = bound(SOCK_DGRAM);
    struct mmsghdr m[4];
    struct iovec iov[4];
    char bytes[4][8] = {"a", "bb", "ccc", "dddd"};
    memset(m, 0, sizeof m);
    REQUIRE(connect(u, A4) == 0);
    for (int i = 0; i < 4; i++) {
        iov[i] = (struct iovec){bytes[i], (size_t)i + 1};
        m[i].msg_hdr.msg_iov = &iov[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    TRY(sendmmsg(u, m, 4, 0));
    TRY(m[3].msg_len);
    for (int i = 0; i < 4; i++)
        iov[i].iov_len = 8;
    struct timespec t = {0, 1};
    TRY(recvmmsg(u, m, 2, 0, NULL));
    TRY(m[1].msg_len);
    TRY(recvmmsg(u, m, 4, MSG_WAITFORONE, NULL));
    TRY(m[1].msg_len);
    TRY(recvmmsg(u, m, 4, MSG_DONTWAIT, NULL));
    t = (struct timespec){0, 1000000000};
    TRY(recvmmsg(u, m, 4, 0, &t));
    t = (struct timespec){0, 1};
    TRY(send(u, "x", 1, 0));
    TRY(recvmmsg(u, m, 4, 0, &t)); /* the timeout is looked at after each message */
    TRY(sendmmsg(u, m, 0, 0));
    close(u);
}

/* ---- both families ---- */

static void both(void)
{
    int six = socket(AF_INET6, SOCK_STREAM, 0), four = socket(AF_INET, SOCK_STREAM, 0), only;
    socklen_t len = sizeof a6;
    a6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
    TRY(get(six, IPPROTO_IPV6, IPV6_V6ONLY));
    REQUIRE(bind(six, A6) == 0 && listen(six, 5) == 0);
    REQUIRE(getsockname(six, (struct sockaddr *)&a6, &len) == 0);
    a4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = a6.sin6_port};
    TRY(bind(four, A4));
    TRY(set(six, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    a4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    TRY(connect(four, A4));
    len = sizeof a6;
    int s = accept(six, (struct sockaddr *)&a6, &len);
    TRY(len);
    TRY(IN6_IS_ADDR_V4MAPPED(&a6.sin6_addr));
    TRY(send(s, "x", 1, 0));
    TRY(recv(four, buf, 1, 0));
    close(s), close(four);
    only = socket(AF_INET6, SOCK_STREAM, 0);
    TRY(set(only, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    a6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = a4.sin_port};
    TRY(bind(only, A6));
    a6.sin6_port = 0;
    a6.sin6_addr.s6_addr[10] = a6.sin6_addr.s6_addr[11] = 0xff;
    TRY(bind(only, A6));
    TRY(connect(only, A6));
    close(only), close(six);
    six = socket(AF_INET6, SOCK_DGRAM, 0);
    a6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(9)};
    a6.sin6_addr.s6_addr[15] = 1;
    TRY(set(six, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256));
    TRY(set(six, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1));
    TRY(get(six, IPPROTO_IPV6, IPV6_UNICAST_HOPS));
    TRY(set(six, IPPROTO_IPV6, IPV6_TCLASS, 256));
    TRY(set(six, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 300));
    TRY(set(six, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
    TRY(set(six, IPPROTO_IPV6, IPV6_DONTFRAG, 1));
    TRY(get(six, IPPROTO_IPV6, IPV6_DONTFRAG));
    TRY(connect(six, (struct sockaddr *)&a6, 20));
    TRY(connect(six, A6));
    TRY(connect(six, A4));
    close(six);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    alarm(60);
    setvbuf(stdout, NULL, _IOLBF, 0);
    option_values();
    option_lengths();
    wrong_calls();
    halves();
    in_progress();
    marks();
    low_water();
    edges();
    datagrams();
    many_messages();
    both();
    return guest_pass("inetwalk");
}
