/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sockedge.c - the rarer corners of socket calls: what a call says in a state that is not the usual
 * one (the end of a connection, an attempt that was given up, a socket used anew). Each was found
 * by comparing all pairs of calls in all states with Linux.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

static struct sockaddr_in loopback(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct sockaddr_in name_of(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    return a;
}

static int bound(int type)
{
    struct sockaddr_in a = loopback();
    int fd = socket(AF_INET, type, 0);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static int listener(void)
{
    int fd = bound(SOCK_STREAM);
    REQUIRE(listen(fd, 5) == 0);
    return fd;
}

static int try_connect(int fd, const struct sockaddr_in *to)
{
    return connect(fd, (const struct sockaddr *)to, sizeof *to);
}

static int forget_peer(int fd)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    return connect(fd, &none, sizeof none);
}

static int events(int fd, int wanted, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = (short)wanted};
    REQUIRE(poll(&p, 1, wait_ms) >= 0);
    return p.revents;
}

static int pending_error(int fd)
{
    int error = -1;
    socklen_t len = sizeof error;
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0);
    return error;
}

static void pair(int out[2])
{
    int l = listener();
    struct sockaddr_in a = name_of(l);
    out[0] = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(try_connect(out[0], &a) == 0);
    out[1] = accept(l, NULL, NULL);
    REQUIRE(out[1] >= 0);
    close(l);
}

/* A listener that no segment of this host reaches (RFC 5082): who connects waits. */
static int deaf_listener(void)
{
    int l = listener(), hops = 255;
    REQUIRE(setsockopt(l, IPPROTO_IP, IP_MINTTL, &hops, sizeof hops) == 0);
    return l;
}

/* ---- the end of a connection ---- */

/* The peer has closed; what is sent then is refused. To the reader it stays an ordinary end. */
static void end_then_reset(void)
{
    int p[2];
    char byte;
    pair(p);
    REQUIRE(send(p[1], "z", 1, 0) == 1);
    close(p[1]);
    REQUIRE(events(p[0], POLLRDHUP, 20000) & POLLRDHUP);
    REQUIRE(send(p[0], "x", 1, MSG_NOSIGNAL) == 1);
    REQUIRE(events(p[0], POLLHUP, 20000) & POLLERR);
    REQUIRE(recv(p[0], &byte, 1, 0) == 1 && byte == 'z');
    REQUIRE(recv(p[0], &byte, 1, 0) == 0);
    REQUIRE(recv(p[0], &byte, 1, 0) == 0);
    REQUIRE(pending_error(p[0]) == EPIPE);
    close(p[0]);
}

/* What is over is still a connection, until AF_UNSPEC. */
static void used_anew(void)
{
    int p[2], l = listener();
    struct sockaddr_in a = name_of(l);
    char byte;
    pair(p);
    REQUIRE(shutdown(p[1], SHUT_WR) == 0);
    REQUIRE(recv(p[0], &byte, 1, 0) == 0);
    REQUIRE(shutdown(p[0], SHUT_WR) == 0);
    REQUIRE(recv(p[1], &byte, 1, 0) == 0);
    REQUIRE(events(p[0], POLLHUP, 20000) & POLLHUP);
    for (int i = 0; i < 2; i++) {
        REQUIRE_ERRNO(try_connect(p[i], &a), EISCONN);
        REQUIRE_ERRNO(listen(p[i], 5), EINVAL);
    }
    REQUIRE(forget_peer(p[0]) == 0);
    REQUIRE(try_connect(p[0], &a) == 0);
    close(p[0]), close(p[1]), close(l);
}

/* A connection that was broken off leaves its error, the next one has none. */
static void error_of_the_last(void)
{
    int p[2], l = listener();
    struct sockaddr_in a = name_of(l);
    pair(p);
    REQUIRE(forget_peer(p[0]) == 0);
    REQUIRE(try_connect(p[0], &a) == 0);
    REQUIRE(pending_error(p[0]) == 0);
    REQUIRE(send(p[0], "x", 1, 0) == 1);
    close(p[0]), close(p[1]);
    pair(p);
    REQUIRE(forget_peer(p[0]) == 0 && listen(p[0], 5) == 0);
    REQUIRE(events(p[0], POLLIN, 0) == 0);
    close(p[0]), close(p[1]), close(l);
}

/* Shut both ways, it refuses what still comes: its sender must not wait for a reader. */
static void shut_both_ways(void)
{
    int p[2];
    char byte;
    pair(p);
    REQUIRE(shutdown(p[0], SHUT_RDWR) == 0);
    REQUIRE(recv(p[1], &byte, 1, 0) == 0);
    REQUIRE(send(p[1], "lost", 4, 0) == 4);
    REQUIRE(events(p[1], POLLHUP, 20000) & POLLHUP);
    REQUIRE(send(p[1], "x", 1, MSG_NOSIGNAL) == -1);
    REQUIRE_ERRNO(recv(p[0], &byte, 1, 0), ECONNRESET);
    close(p[0]), close(p[1]);
    /* One way only, it takes it. */
    pair(p);
    REQUIRE(shutdown(p[0], SHUT_RD) == 0);
    REQUIRE(send(p[1], "taken", 5, 0) == 5);
    REQUIRE(shutdown(p[1], SHUT_WR) == 0);
    REQUIRE(send(p[0], "and", 3, 0) == 3);
    char some[8];
    REQUIRE(recv(p[1], some, 3, MSG_WAITALL) == 3);
    close(p[0]), close(p[1]);
}

/* ---- attempts ---- */

static void *give_up(void *arg)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    while (info.tcpi_state != TCP_SYN_SENT) {
        usleep(1000);
        REQUIRE(getsockopt(*(int *)arg, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
    }
    REQUIRE(shutdown(*(int *)arg, SHUT_RD) == 0);
    return NULL;
}

static void attempt_given_up(void)
{
    int l = deaf_listener(), open = listener();
    struct sockaddr_in a = name_of(l), b = name_of(open);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    char byte;
    REQUIRE_ERRNO(try_connect(fd, &a), EINPROGRESS);
    REQUIRE_ERRNO(send(fd, "", 0, MSG_NOSIGNAL), EAGAIN);
    REQUIRE(shutdown(fd, SHUT_WR) == 0);
    REQUIRE((events(fd, POLLOUT, 0) & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP));
    REQUIRE_ERRNO(recv(fd, &byte, 1, 0), ECONNRESET);
    REQUIRE_ERRNO(shutdown(fd, SHUT_WR), ENOTCONN);
    close(fd);
    /* It wakes who waits, and the socket may try again. */
    pthread_t thread;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(pthread_create(&thread, NULL, give_up, &fd) == 0);
    REQUIRE_ERRNO(try_connect(fd, &a), ECONNRESET);
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE(try_connect(fd, &b) == 0);
    close(fd);
    struct timeval limit = {.tv_usec = 20000};
    fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0);
    REQUIRE_ERRNO(try_connect(fd, &a), EINPROGRESS);
    REQUIRE_ERRNO(try_connect(fd, &a), EALREADY);
    close(fd), close(l), close(open);
}

static void never_connected(void)
{
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE_ERRNO(recv(fd, &byte, 1, 0), ENOTCONN);
    REQUIRE_ERRNO(shutdown(fd, SHUT_RD), ENOTCONN);
    REQUIRE(recv(fd, &byte, 1, 0) == 0); /* shut all the same */
    close(fd);
}

/* The urgent byte alone is nothing to read. */
static void urgent_alone(void)
{
    int p[2];
    char byte;
    pair(p);
    REQUIRE(send(p[0], "u", 1, MSG_OOB) == 1);
    REQUIRE(events(p[1], POLLPRI, 20000) == POLLPRI);
    REQUIRE((events(p[1], POLLIN | POLLPRI, 0) & POLLIN) == 0);
    REQUIRE(recv(p[1], &byte, 1, MSG_OOB) == 1 && byte == 'u');
    REQUIRE(send(p[0], "n", 1, 0) == 1);
    REQUIRE(events(p[1], POLLIN, 20000) == POLLIN);
    REQUIRE(recv(p[1], &byte, 1, 0) == 1 && byte == 'n');
    close(p[0]), close(p[1]);
}

/* More than the window lets come is not waited for. */
static void wanted_too_much(void)
{
    static char data[65536];
    int p[2], low = 100 << 20;
    pair(p);
    REQUIRE(setsockopt(p[1], SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low) == 0);
    REQUIRE(send(p[0], "a few", 5, 0) == 5);
    REQUIRE(events(p[1], POLLIN, 50) == 0);
    REQUIRE(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
    struct pollfd ends[2] = {{p[0], POLLOUT, 0}, {p[1], POLLIN, 0}};
    while (!ends[1].revents) {
        REQUIRE(poll(ends, 2, 20000) > 0);
        if (ends[0].revents)
            REQUIRE(send(p[0], data, sizeof data, 0) > 0 || errno == EAGAIN);
    }
    REQUIRE(ends[1].revents == POLLIN);
    close(p[0]), close(p[1]);
}

/* ---- datagrams ---- */

/* What is wrong with the call is said first, then what happened before, then that it is shut. */
static void datagram_errors(void)
{
    int fd = bound(SOCK_DGRAM), other = bound(SOCK_DGRAM);
    struct sockaddr_in a = name_of(other);
    REQUIRE_ERRNO(shutdown(fd, SHUT_WR), ENOTCONN);
    REQUIRE_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), EDESTADDRREQ);
    close(fd);
    fd = bound(SOCK_DGRAM);
    REQUIRE(try_connect(fd, &a) == 0);
    close(other);
    REQUIRE(send(fd, "x", 1, 0) == 1);
    REQUIRE(events(fd, POLLIN, 20000) & POLLERR);
    REQUIRE(shutdown(fd, SHUT_WR) == 0);
    REQUIRE_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), ECONNREFUSED);
    REQUIRE_ERRNO(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    close(fd);
}

/* A port that nobody asked for goes with the peer; then another may be bound. */
static void datagram_bound_anew(void)
{
    int fd = bound(SOCK_DGRAM), other = bound(SOCK_DGRAM);
    struct sockaddr_in a = name_of(other), any = loopback();
    char byte;
    REQUIRE(try_connect(fd, &a) == 0);
    REQUIRE(forget_peer(fd) == 0);
    REQUIRE(name_of(fd).sin_port == 0);
    REQUIRE(bind(fd, (struct sockaddr *)&any, sizeof any) == 0);
    REQUIRE_ERRNO(bind(fd, (struct sockaddr *)&any, sizeof any), EINVAL);
    a = name_of(fd);
    REQUIRE(sendto(other, "x", 1, 0, (struct sockaddr *)&a, sizeof a) == 1);
    REQUIRE(recv(fd, &byte, 1, 0) == 1 && byte == 'x');
    /* A peer without a port is none that can be named. */
    socklen_t len = sizeof a;
    any.sin_port = 0;
    REQUIRE(try_connect(fd, &any) == 0);
    REQUIRE_ERRNO(getpeername(fd, (struct sockaddr *)&a, &len), ENOTCONN);
    close(fd), close(other);
}

/* Control messages of levels that are not the socket's are ignored. */
static void foreign_control(void)
{
    int fd = bound(SOCK_DGRAM), other = bound(SOCK_DGRAM);
    struct sockaddr_in a = name_of(other);
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = 77, .cmsg_type = 1}};
    struct iovec io = {"x", 1};
    struct msghdr m = {.msg_name = &a,
                       .msg_namelen = sizeof a,
                       .msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    REQUIRE(sendmsg(fd, &m, 0) == 1);
    control.head.cmsg_level = IPPROTO_IP;
    control.head.cmsg_type = 99;
    REQUIRE_ERRNO(sendmsg(fd, &m, 0), EINVAL);
    close(fd), close(other);
}

/* ---- who looks (MSG_PEEK) does not make others wait ---- */

struct peeker {
    int fd;
    int stop; /* atomic */
};

static void *peek(void *arg)
{
    struct peeker *p = arg;
    char bytes[64];
    while (!__atomic_load_n(&p->stop, __ATOMIC_RELAXED))
        (void)!recv(p->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    return NULL;
}

static void peeked_meanwhile(void)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg body;
    } ask = {
        .head = {.nlmsg_len = sizeof ask, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST},
        .body = {.ifi_index = 1}};
    struct timeval limit = {.tv_sec = 10};
    static char answer[8192];
    pthread_t thread;
    struct peeker p = {.fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)};
    REQUIRE(p.fd >= 0);
    REQUIRE(setsockopt(p.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    REQUIRE(pthread_create(&thread, NULL, peek, &p) == 0);
    for (int i = 0; i < 5000; i++) {
        REQUIRE(send(p.fd, &ask, sizeof ask, 0) == sizeof ask);
        REQUIRE(recv(p.fd, answer, sizeof answer, 0) > 0);
    }
    __atomic_store_n(&p.stop, 1, __ATOMIC_RELAXED);
    REQUIRE(pthread_join(thread, NULL) == 0);
    close(p.fd);
}

/* A datagram to a group comes to each socket that has joined. The group is this run's own: on Linux
 * another one may be at work at the same time, and whoever has not joined hears all groups of the
 * host (IP_MULTICAST_ALL). */
static void to_a_group(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(0xefff0000u | (getpid() & 0xffff))};
    struct in_addr here = {.s_addr = htonl(INADDR_LOOPBACK)};
    struct ip_mreq join = {.imr_multiaddr = to.sin_addr, .imr_interface = here};
    struct timeval limit = {.tv_sec = 10};
    int fd[2], on = 1, from = socket(AF_INET, SOCK_DGRAM, 0);
    char text[8];
    for (int i = 0; i < 2; i++) {
        fd[i] = socket(AF_INET, SOCK_DGRAM, 0);
        REQUIRE(setsockopt(fd[i], SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
        REQUIRE(bind(fd[i], (struct sockaddr *)&to, sizeof to) == 0);
        REQUIRE(setsockopt(fd[i], IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join) == 0);
        REQUIRE(setsockopt(fd[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
        to.sin_port = name_of(fd[i]).sin_port;
    }
    REQUIRE(setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &here, sizeof here) == 0);
    REQUIRE(sendto(from, "to all", 6, 0, (struct sockaddr *)&to, sizeof to) == 6);
    for (int i = 0; i < 2; i++) {
        REQUIRE(recv(fd[i], text, sizeof text, 0) == 6 && memcmp(text, "to all", 6) == 0);
        close(fd[i]);
    }
    /* And to nobody who has not, when they have gone. */
    fd[0] = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(bind(fd[0], (struct sockaddr *)&to, sizeof to) == 0);
    REQUIRE(sendto(from, "to all", 6, 0, (struct sockaddr *)&to, sizeof to) == 6);
    REQUIRE(events(fd[0], POLLIN, 50) == 0);
    close(fd[0]), close(from);
}

/* lo's broadcast address is one. */
static void to_all_of_lo(void)
{
    struct sockaddr_in a = loopback();
    struct timeval limit = {.tv_sec = 10};
    int on = 1, to = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0);
    int stream = socket(AF_INET, SOCK_STREAM, 0);
    char text[8];
    a.sin_addr.s_addr = 0;
    REQUIRE(bind(to, (struct sockaddr *)&a, sizeof a) == 0);
    REQUIRE(setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    a = name_of(to);
    a.sin_addr.s_addr = inet_addr("127.255.255.255");
    REQUIRE(try_connect(stream, &a) == -1 && errno == ENETUNREACH);
    REQUIRE(sendto(from, "a", 1, 0, (struct sockaddr *)&a, sizeof a) == -1 && errno == EACCES);
    REQUIRE(setsockopt(from, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) == 0);
    REQUIRE(sendto(from, "a", 1, 0, (struct sockaddr *)&a, sizeof a) == 1);
    REQUIRE(recv(to, text, sizeof text, 0) == 1);
    close(to), close(from), close(stream);
}

/* What is asked by programs that look whether they have to do something. */
static void asked(void)
{
    static const struct {
        int name, value;
    } table[] = {{40, 0}, {41, 0}, {42, -1}, {43, 0}, {45, 0}, {46, 0}, {56, 0}, {63, 0}, {64, 0}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        int value = 77;
        socklen_t len = sizeof value;
        REQUIRE(getsockopt(fd, SOL_SOCKET, table[i].name, &value, &len) == 0);
        REQUIRE(len == sizeof value && value == table[i].value);
    }
    close(fd);
}

static void local_sockets(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int len = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "sockedge.%d", (int)getpid());
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0), pair[2];
    char byte;
    REQUIRE(shutdown(fd, SHUT_WR) == 0);
    REQUIRE(send(fd, "a", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    close(fd);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE(bind(fd, (struct sockaddr *)&a, size) == 0 && listen(fd, 1) == 0);
    REQUIRE(shutdown(fd, SHUT_RD) == 0);
    REQUIRE(accept(fd, NULL, NULL) == -1 && errno == EAGAIN);
    REQUIRE(fcntl(fd, F_SETFL, 0) == 0 && accept(fd, NULL, NULL) == -1 && errno == EINVAL);
    close(fd);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    REQUIRE(recv(pair[0], &byte, 0, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    REQUIRE(write(pair[1], "a", 1) == 1 && recv(pair[0], &byte, 0, 0) == 0);
    REQUIRE(recv(pair[0], &byte, 1, 0) == 1 && byte == 'a');
    close(pair[1]);
    REQUIRE(recv(pair[0], &byte, 0, 0) == 0);
    close(pair[0]);
}

/* ---- options that few programs set ---- */

enum { BUF_LOCK = 72 }; /* SO_BUF_LOCK, of Linux 5.14 */

static int get_number(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof value;
    REQUIRE(getsockopt(fd, level, name, &value, &len) == 0 && len == sizeof value);
    return value;
}

static int set_number(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

/* SO_GET_FILTER counts instructions. */
static void filter_read_back(void)
{
    struct sock_filter code[] = {{0x28, 0, 0, 12}, {0x15, 0, 1, 7}, {6, 0, 0, 99}, {6, 0, 0, 0}};
    struct sock_filter back[8];
    struct sock_fprog program = {4, code};
    socklen_t len = 8;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, back, &len) == 0 && len == 0);
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &len) == 0 && len == 4);
    len = 3;
    REQUIRE_ERRNO(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, back, &len), EINVAL);
    len = 8;
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, back, &len) == 0 && len == 4);
    REQUIRE(memcmp(back, code, sizeof code) == 0);
    len = 8;
    REQUIRE_ERRNO(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, (void *)8, &len), EFAULT);
    close(fd);
}

static void pacing_and_time(void)
{
    uint64_t rate = 0;
    socklen_t len = sizeof rate;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(get_number(fd, SOL_SOCKET, SO_MAX_PACING_RATE) == -1);
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &len) == 0 && rate == UINT64_MAX);
    rate = 1ull << 40;
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof rate) == 0);
    REQUIRE(get_number(fd, SOL_SOCKET, SO_MAX_PACING_RATE) == -1);
    REQUIRE(set_number(fd, SOL_SOCKET, SO_MAX_PACING_RATE, 1000) == 0);
    REQUIRE(get_number(fd, SOL_SOCKET, SO_MAX_PACING_RATE) == 1000);
    struct {
        int clock;
        uint32_t flags;
    } txtime = {1, 4};
    len = sizeof txtime;
    REQUIRE_ERRNO(setsockopt(fd, SOL_SOCKET, SO_TXTIME, &txtime, sizeof txtime), EINVAL);
    REQUIRE_ERRNO(set_number(fd, SOL_SOCKET, SO_TXTIME, 1), EINVAL);
    txtime.flags = 2;
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_TXTIME, &txtime, sizeof txtime) == 0);
    txtime.clock = 0;
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_TXTIME, &txtime, &len) == 0 && len == sizeof txtime);
    REQUIRE(txtime.clock == 1 && txtime.flags == 2);
    close(fd);
}

static void buffers_locked(void)
{
    uint32_t memory[9];
    socklen_t len = sizeof memory;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    REQUIRE(get_number(fd, SOL_SOCKET, BUF_LOCK) == 0);
    REQUIRE(set_number(fd, SOL_SOCKET, SO_RCVBUF, 20000) == 0);
    REQUIRE(get_number(fd, SOL_SOCKET, BUF_LOCK) == 2);
    REQUIRE(set_number(fd, SOL_SOCKET, BUF_LOCK, 1) == 0);
    REQUIRE(get_number(fd, SOL_SOCKET, BUF_LOCK) == 1);
    REQUIRE_ERRNO(set_number(fd, SOL_SOCKET, BUF_LOCK, 4), EINVAL);
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &len) == 0 && len == sizeof memory);
    REQUIRE(memory[0] == 0 && memory[1] == 40000);
    close(fd);
}

/* One of the four is on, and SO_TIMESTAMPING beside it. */
static void stamp_switches(void)
{
    static const int name[] = {SO_TIMESTAMP, SO_TIMESTAMPNS, 63, 64};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE(set_number(fd, SOL_SOCKET, name[i], 1) == 0);
        REQUIRE(get_number(fd, SOL_SOCKET, name[i]) == 1);
        REQUIRE(get_number(fd, SOL_SOCKET, name[(i + 2) % 4]) == 0);
    }
    REQUIRE(set_number(fd, SOL_SOCKET, SO_TIMESTAMP, 0) == 0);
    REQUIRE(get_number(fd, SOL_SOCKET, 64) == 0);
    REQUIRE(set_number(fd, SOL_SOCKET, SO_TIMESTAMPING, 0x18) == 0);
    REQUIRE(get_number(fd, SOL_SOCKET, SO_TIMESTAMPING) == 0x18);
    REQUIRE(get_number(fd, SOL_SOCKET, 65) == 0);
    REQUIRE_ERRNO(set_number(fd, SOL_SOCKET, SO_TIMESTAMPING, 1 << 30), EINVAL);
    REQUIRE_ERRNO(set_number(fd, SOL_SOCKET, SO_TIMESTAMPING, 0x80), EINVAL); /* no bytes yet */
    REQUIRE_ERRNO(set_number(fd, SOL_SOCKET, SO_TIMESTAMPING, 1 << 12), EINVAL);
    close(fd);
}

/* A datagram's time is that of its arrival, in the form that was asked for. How long ago, ns. */
static int64_t stamped_once(int to, const struct sockaddr_in *a, int type, unsigned size)
{
    struct timespec now;
    char bytes[8];
    union {
        struct cmsghdr head;
        char bytes[256];
    } control;
    struct iovec io = {bytes, sizeof bytes};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int from = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(sendto(from, "x", 1, 0, (const struct sockaddr *)a, sizeof *a) == 1);
    close(from);
    usleep(5000);
    REQUIRE(recvmsg(to, &m, 0) == 1);
    REQUIRE(clock_gettime(CLOCK_REALTIME, &now) == 0);
    REQUIRE(control.head.cmsg_level == SOL_SOCKET && control.head.cmsg_type == type);
    REQUIRE(control.head.cmsg_len == CMSG_LEN(size));
    REQUIRE(m.msg_controllen == CMSG_SPACE(size));
    int64_t time[2];
    memcpy(time, CMSG_DATA(&control.head), sizeof time);
    bool micro = type == SO_TIMESTAMP || type == 63;
    return (now.tv_sec - time[0]) * 1000000000 + now.tv_nsec - time[1] * (micro ? 1000 : 1);
}

static void stamped(int name, int value, int type, unsigned size)
{
    int64_t ago = 0;
    int to = bound(SOCK_DGRAM);
    struct sockaddr_in a = name_of(to);
    REQUIRE(set_number(to, SOL_SOCKET, name, value) == 0);
    /* Linux begins to stamp a moment after the first socket that wants it. */
    for (int i = 0; i < 1000 && ago < 5000000; i++)
        ago = stamped_once(to, &a, type, size);
    REQUIRE(ago >= 5000000);
    close(to);
}

static void stamps(void)
{
    stamp_switches();
    stamped(SO_TIMESTAMP, 1, SO_TIMESTAMP, 16);
    stamped(SO_TIMESTAMPNS, 1, SO_TIMESTAMPNS, 16);
    stamped(63, 1, 63, 16);
    stamped(64, 1, 64, 16);
    stamped(SO_TIMESTAMPING, 0x18, SO_TIMESTAMPING, 48);
    stamped(65, 0x18, 65, 48);
}

static void ip_options(void)
{
    int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = 4;
    char word[4];
    static const int kept[] = {18, 23, 26}; /* PASSSEC, CHECKSUM, RECVERR_RFC4884 */
    for (unsigned i = 0; i < 3; i++) {
        REQUIRE(get_number(udp, IPPROTO_IP, kept[i]) == 0);
        REQUIRE(set_number(udp, IPPROTO_IP, kept[i], 1) == 0);
        REQUIRE(get_number(udp, IPPROTO_IP, kept[i]) == 1);
    }
    REQUIRE_ERRNO(set_number(udp, IPPROTO_IP, 26, 2), EINVAL);
    REQUIRE_ERRNO(set_number(udp, IPPROTO_IP, 5, 1), EINVAL);       /* ROUTER_ALERT */
    REQUIRE_ERRNO(set_number(udp, IPPROTO_IP, 22, 1), ENOPROTOOPT); /* NODEFRAG */
    REQUIRE(set_number(udp, IPPROTO_IP, 25, 1) == 0);               /* RECVFRAGSIZE */
    REQUIRE_ERRNO(set_number(tcp, IPPROTO_IP, 25, 1), EINVAL);
    REQUIRE(getsockopt(tcp, IPPROTO_IP, 9, word, &len) == 0 && len == 0); /* PKTOPTIONS */
    len = 4;
    REQUIRE_ERRNO(getsockopt(udp, IPPROTO_IP, 9, word, &len), ENOPROTOOPT);
    REQUIRE_ERRNO(getsockopt(udp, IPPROTO_TCP, 1, word, &len), EOPNOTSUPP);
    /* UNICAST_IF: in network order. */
    REQUIRE_ERRNO(set_number(udp, IPPROTO_IP, 50, 1), EADDRNOTAVAIL);
    REQUIRE(set_number(udp, IPPROTO_IP, 50, (int)htonl(1)) == 0);
    REQUIRE(get_number(udp, IPPROTO_IP, 50) == (int)htonl(1));
    /* LOCAL_PORT_RANGE: the first below, the last above. */
    struct sockaddr_in a = loopback();
    REQUIRE_ERRNO(set_number(tcp, IPPROTO_IP, 51, 5 | 4 << 16), EINVAL);
    REQUIRE(set_number(tcp, IPPROTO_IP, 51, (int)(40000 | 40099u << 16)) == 0);
    REQUIRE(bind(tcp, (struct sockaddr *)&a, sizeof a) == 0);
    int port = ntohs(name_of(tcp).sin_port);
    REQUIRE(port >= 40000 && port <= 40099);
    REQUIRE(get_number(tcp, IPPROTO_IP, 52) == port); /* PROTOCOL: what Linux calls inet_num */
    close(udp), close(tcp);
}

/* ---- ports of calls that fail ---- */

/* A datagram socket has its port from the first send on, whether or not that was right. */
static void port_of_failure(void)
{
    struct sockaddr_in a = loopback(), none = loopback(), all = loopback();
    static char much[70000];
    all.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    all.sin_port = a.sin_port = htons(9);
    const struct {
        const struct sockaddr_in *to;
        size_t len;
        int flags, error;
    } sends[] = {{NULL, 1, 0, EDESTADDRREQ},
                 {&all, 1, 0, EACCES},
                 {&none, 1, 0, EINVAL},
                 {&a, sizeof much, 0, EMSGSIZE},
                 {&a, 1, MSG_OOB, EOPNOTSUPP}};
    for (unsigned i = 0; i < sizeof sends / sizeof sends[0]; i++) {
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        REQUIRE_ERRNO(sendto(fd, much, sends[i].len, sends[i].flags,
                             (const struct sockaddr *)sends[i].to, sends[i].to ? sizeof a : 0),
                      sends[i].error);
        REQUIRE(name_of(fd).sin_port != 0);
        close(fd);
    }
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE_ERRNO(try_connect(fd, &all), EACCES);
    a = name_of(fd);
    REQUIRE(a.sin_port != 0);
    a.sin_addr = loopback().sin_addr;
    REQUIRE(sendto(fd, "me", 2, 0, (struct sockaddr *)&a, sizeof a) == 2);
    REQUIRE(events(fd, POLLIN, 5000) & POLLIN); /* and takes what comes to it */
    close(fd);
}

/* A connect that failed has given the port back; AF_UNSPEC ends a listener. */
static void used_after_failure(void)
{
    int l = listener(), c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = name_of(l), any = loopback();
    REQUIRE(fcntl(l, F_SETFL, O_NONBLOCK) == 0);
    REQUIRE(forget_peer(l) == 0);
    REQUIRE_ERRNO(accept(l, NULL, NULL), EINVAL);
    REQUIRE_ERRNO(try_connect(c, &a), ECONNREFUSED);
    REQUIRE(bind(c, (struct sockaddr *)&any, sizeof any) == 0);
    REQUIRE(name_of(c).sin_port != 0);
    REQUIRE_ERRNO(bind(c, (struct sockaddr *)&any, sizeof any), EINVAL);
    REQUIRE(listen(c, 5) == 0);
    a = name_of(c);
    REQUIRE(fcntl(l, F_SETFL, 0) == 0);
    REQUIRE(try_connect(l, &a) == 0); /* the listener of before is a client */
    close(l);
    /* How it went is said all the same. */
    close(c);
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE_ERRNO(try_connect(c, &a), EINPROGRESS);
    REQUIRE(events(c, POLLOUT, 5000) & POLLERR);
    REQUIRE(bind(c, (struct sockaddr *)&any, sizeof any) == 0);
    REQUIRE_ERRNO(try_connect(c, &a), ECONNREFUSED);
    close(c);
}

/* A link-local address needs a device. */
static void scopes(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    REQUIRE(inet_pton(AF_INET6, "fe80::1", &a.sin6_addr) == 1);
    int tcp = socket(AF_INET6, SOCK_STREAM, 0), udp = socket(AF_INET6, SOCK_DGRAM, 0);
    if (tcp < 0) /* a host without IPv6 */
        return;
    REQUIRE_ERRNO(connect(tcp, (struct sockaddr *)&a, sizeof a), EINVAL);
    REQUIRE_ERRNO(connect(udp, (struct sockaddr *)&a, sizeof a), EINVAL);
    REQUIRE_ERRNO(bind(udp, (struct sockaddr *)&a, sizeof a), EINVAL);
    a.sin6_scope_id = 7777;
    REQUIRE_ERRNO(connect(tcp, (struct sockaddr *)&a, sizeof a), ENETUNREACH);
    close(udp);
    udp = socket(AF_INET6, SOCK_DGRAM, 0);
    REQUIRE_ERRNO(bind(udp, (struct sockaddr *)&a, sizeof a), ENODEV);
    close(udp);
    udp = socket(AF_INET6, SOCK_DGRAM, 0);
    REQUIRE_ERRNO(connect(udp, (struct sockaddr *)&a, sizeof a), ENETUNREACH);
    close(udp), close(tcp);
}

static void device_of_what_is_bound(void)
{
    struct sockaddr_in a;
    char byte;
    int to = bound(SOCK_DGRAM), from = socket(AF_INET, SOCK_DGRAM, 0), l = listener();
    a = name_of(to);
    REQUIRE(setsockopt(to, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) == 0);
    REQUIRE(sendto(from, "a", 1, 0, (struct sockaddr *)&a, sizeof a) == 1);
    REQUIRE(recv(to, &byte, 1, 0) == 1);
    REQUIRE(set_number(to, SOL_SOCKET, SO_BINDTOIFINDEX, 7777) == 0); /* there is none */
    REQUIRE(sendto(from, "b", 1, 0, (struct sockaddr *)&a, sizeof a) == 1);
    REQUIRE(events(to, POLLIN, 50) == 0);
    REQUIRE_ERRNO(set_number(to, SOL_SOCKET, SO_BINDTOIFINDEX, -1), EINVAL);
    REQUIRE(setsockopt(to, SOL_SOCKET, SO_BINDTODEVICE, "", 0) == 0);
    REQUIRE(sendto(from, "c", 1, 0, (struct sockaddr *)&a, sizeof a) == 1);
    REQUIRE(recv(to, &byte, 1, 0) == 1 && byte == 'c');
    close(to), close(from);
    a = name_of(l);
    REQUIRE(setsockopt(l, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) == 0);
    from = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(try_connect(from, &a) == 0);
    REQUIRE(setsockopt(from, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) == 0);
    REQUIRE(send(from, "d", 1, 0) == 1);
    to = accept(l, NULL, NULL);
    REQUIRE(recv(to, &byte, 1, 0) == 1 && byte == 'd');
    close(to), close(from), close(l);
}

int main(void)
{
    end_then_reset();
    used_anew();
    error_of_the_last();
    shut_both_ways();
    attempt_given_up();
    never_connected();
    urgent_alone();
    wanted_too_much();
    datagram_errors();
    datagram_bound_anew();
    foreign_control();
    to_a_group();
    to_all_of_lo();
    asked();
    local_sockets();
    filter_read_back();
    pacing_and_time();
    buffers_locked();
    stamps();
    ip_options();
    port_of_failure();
    used_after_failure();
    scopes();
    device_of_what_is_bound();
    peeked_meanwhile();
    return guest_pass("sockedge");
}
