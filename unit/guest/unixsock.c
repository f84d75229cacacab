/* SPDX-License-Identifier: BSD-3-Clause */
/* unixsock - AF_UNIX sockets: types, names, connections, options, control messages, polling, ends.
 */
#include "unixsock.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

static char big[400000], copy[400000];
static void *volatile bad = (void *)8;

/* ---- making ---- */

static void test_create(void)
{
    int fd[2];
    REQUIRE_ERRNO(socket(AF_UNIX, SOCK_STREAM, 99), EPROTONOSUPPORT);
    REQUIRE_ERRNO(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
    REQUIRE_ERRNO(socket(AF_UNIX, 15, 0), EINVAL);
    REQUIRE_ERRNO(socket(AF_UNIX, SOCK_STREAM | 0x10000, 0), EINVAL);
    REQUIRE_ERRNO(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
    REQUIRE_ERRNO(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    REQUIRE_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 0, bad), EFAULT);
    REQUIRE_ERRNO(listen(1000, 1), EBADF);
    REQUIRE_ERRNO(listen(open("/dev/null", O_RDONLY), 1), ENOTSOCK);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) == 0);
    REQUIRE(fcntl(fd[0], F_GETFD) == FD_CLOEXEC && (fcntl(fd[1], F_GETFL) & O_NONBLOCK));
    REQUIRE_ERRNO(read(fd[0], copy, 1), EAGAIN);
    struct stat st;
    char link[64], name[64];
    REQUIRE(fstat(fd[0], &st) == 0 && S_ISSOCK(st.st_mode) && st.st_nlink == 1 && st.st_size == 0);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd[0]);
    ssize_t n = readlink(link, name, sizeof name - 1);
    REQUIRE(n > 0);
    name[n] = '\0';
    char want[64];
    snprintf(want, sizeof want, "socket:[%lu]", (unsigned long)st.st_ino);
    REQUIRE(strcmp(name, want) == 0);
    REQUIRE_ERRNO(open(link, O_RDWR), ENXIO);
    REQUIRE_ERRNO(lseek(fd[0], 0, SEEK_SET), ESPIPE);
    REQUIRE_ERRNO(pread(fd[0], copy, 1, 0), ESPIPE);
    close_pair(fd);
    int raw = socket(AF_UNIX, SOCK_RAW, 0); /* BSD's habit */
    REQUIRE(raw >= 0 && option(raw, SO_TYPE) == SOCK_DGRAM && option(raw, SO_DOMAIN) == AF_UNIX &&
            option(raw, SO_PROTOCOL) == 0);
    REQUIRE_ERRNO(listen(raw, 1), EOPNOTSUPP);
    REQUIRE_ERRNO(accept(raw, NULL, NULL), EOPNOTSUPP);
    close(raw);
}

/* ---- streams ---- */

static void test_stream(void)
{
    int fd[2], n;
    struct iovec iov[3] = {{"ab", 2}, {"", 0}, {"cde", 3}};
    pair(SOCK_STREAM, fd);
    REQUIRE(events_of(fd[0]) == POLLOUT);
    REQUIRE(write(fd[0], "hello", 5) == 5 && send(fd[0], " world", 6, 0) == 6);
    REQUIRE(events_of(fd[1]) == (POLLIN | POLLOUT));
    REQUIRE(ioctl(fd[1], FIONREAD, &n) == 0 && n == 11);
    REQUIRE(ioctl(fd[0], TIOCOUTQ, &n) == 0 && n >= 11);
    REQUIRE(recv(fd[1], copy, 4, MSG_PEEK) == 4 && memcmp(copy, "hell", 4) == 0);
    REQUIRE(recv(fd[1], copy, 100, MSG_PEEK) == 11 && memcmp(copy, "hello world", 11) == 0);
    REQUIRE(read(fd[1], copy, 3) == 3 && read(fd[1], copy + 3, 100) == 8);
    REQUIRE(memcmp(copy, "hello world", 11) == 0);
    REQUIRE(ioctl(fd[0], TIOCOUTQ, &n) == 0 && n == 0);
    REQUIRE_ERRNO(recv(fd[1], copy, 10, MSG_DONTWAIT), EAGAIN);
    REQUIRE(writev(fd[1], iov, 3) == 5);
    struct iovec in[2] = {{copy, 1}, {copy + 10, 10}};
    REQUIRE(readv(fd[0], in, 2) == 5 && copy[0] == 'a' && memcmp(copy + 10, "bcde", 4) == 0);
    REQUIRE(write(fd[0], "", 0) == 0 && read(fd[0], copy, 0) == 0);
    REQUIRE_ERRNO(write(fd[0], bad, 10), EFAULT);
    REQUIRE(write(fd[0], "xyz", 3) == 3);
    REQUIRE_ERRNO(read(fd[1], bad, 3), EFAULT);
    REQUIRE(read(fd[1], copy, 10) == 3); /* a fault loses nothing */
    REQUIRE_ERRNO(
        sendto(fd[0], "x", 1, 0, (struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "/x"}, 10),
        EISCONN);
    close_pair(fd);
    int alone = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE_ERRNO(send(alone, "x", 1, MSG_NOSIGNAL), ENOTCONN);
    REQUIRE_ERRNO(recv(alone, copy, 1, 0), EINVAL);
    REQUIRE(events_of(alone) == (POLLHUP | POLLOUT));
    close(alone);
}

static void *drain(void *arg)
{
    int fd = *(int *)arg;
    size_t got = 0;
    ssize_t n;
    while ((n = read(fd, copy + got, sizeof copy - got)) > 0)
        got += (size_t)n;
    return (void *)got;
}

/* More than fits: the writer waits, and bytes come in order. */
static void test_flow(void)
{
    int fd[2];
    pthread_t thread;
    void *got;
    pair(SOCK_STREAM, fd);
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 7 + i / 251);
    REQUIRE(fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0);
    size_t full = 0;
    ssize_t n;
    while ((n = write(fd[0], big, 1000)) > 0)
        full += (size_t)n;
    REQUIRE(n < 0 && errno == EAGAIN && full > 50000 && full < 600000);
    REQUIRE(!(events_of(fd[0]) & POLLOUT));
    while (full > 0) {
        n = read(fd[1], copy, full < sizeof copy ? full : sizeof copy);
        REQUIRE(n > 0);
        full -= (size_t)n;
    }
    REQUIRE(events_of(fd[0]) & POLLOUT);
    REQUIRE(fcntl(fd[0], F_SETFL, 0) == 0);
    memset(copy, 0, sizeof copy);
    REQUIRE(pthread_create(&thread, NULL, drain, &fd[1]) == 0);
    REQUIRE(write(fd[0], big, sizeof big) == sizeof big);
    REQUIRE(close(fd[0]) == 0 && pthread_join(thread, &got) == 0);
    REQUIRE((size_t)got == sizeof big && memcmp(big, copy, sizeof big) == 0);
    close(fd[1]);
}

static void test_waitall(void)
{
    int fd[2];
    pair(SOCK_STREAM, fd);
    struct timeval tv = {0, 50000};
    REQUIRE(write(fd[0], "abc", 3) == 3);
    REQUIRE(setsockopt(fd[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0);
    REQUIRE(recv(fd[1], copy, 10, MSG_WAITALL) == 3); /* the time limit */
    REQUIRE_ERRNO(recv(fd[1], copy, 10, 0), EAGAIN);
    int low = 5;
    REQUIRE(setsockopt(fd[1], SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low) == 0 &&
            option(fd[1], SO_RCVLOWAT) == 5);
    REQUIRE(write(fd[0], "abc", 3) == 3 && recv(fd[1], copy, 10, 0) == 3);
    REQUIRE(write(fd[0], "abcdef", 6) == 6 && recv(fd[1], copy, 10, 0) == 6);
    socklen_t len = sizeof tv;
    REQUIRE(getsockopt(fd[1], SOL_SOCKET, SO_RCVTIMEO, &tv, &len) == 0 && len == sizeof tv &&
            tv.tv_sec == 0 && tv.tv_usec >= 50000 && tv.tv_usec < 62000); /* Linux has ticks */
    REQUIRE_ERRNO(
        setsockopt(fd[1], SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){0, 1000000}, sizeof tv), EDOM);
    tv = (struct timeval){0, 20000};
    REQUIRE(setsockopt(fd[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) == 0);
    ssize_t n = write(fd[0], big, sizeof big);
    REQUIRE(n > 0 && n < (ssize_t)sizeof big);
    REQUIRE_ERRNO(write(fd[0], big, sizeof big), EAGAIN);
    close_pair(fd);
}

/* ---- ends ---- */

static volatile sig_atomic_t pipes;
static void on_pipe(int signo)
{
    pipes++;
}

static void test_ends(void)
{
    int fd[2];
    signal(SIGPIPE, on_pipe);
    pair(SOCK_STREAM, fd);
    REQUIRE(write(fd[0], "last", 4) == 4 && close(fd[0]) == 0);
    REQUIRE(events_of(fd[1]) == (POLLIN | POLLOUT | POLLHUP | POLLRDHUP));
    REQUIRE(read(fd[1], copy, 10) == 4 && read(fd[1], copy, 10) == 0);
    REQUIRE_ERRNO(send(fd[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    REQUIRE(pipes == 0);
    REQUIRE_ERRNO(write(fd[1], "x", 1), EPIPE);
    REQUIRE(pipes == 1);
    REQUIRE_ERRNO(send(fd[1], "x", 1, 0), EPIPE);
    REQUIRE(pipes == 2);
    close(fd[1]);

    pair(SOCK_STREAM, fd); /* unread bytes are lost: the other end is told */
    REQUIRE(write(fd[0], "lost", 4) == 4 && close(fd[1]) == 0);
    REQUIRE(events_of(fd[0]) & POLLERR);
    REQUIRE_ERRNO(read(fd[0], copy, 10), ECONNRESET);
    REQUIRE(read(fd[0], copy, 10) == 0 && option(fd[0], SO_ERROR) == 0);
    close(fd[0]);

    pair(SOCK_STREAM, fd);
    REQUIRE_ERRNO(shutdown(fd[0], 3), EINVAL);
    REQUIRE(write(fd[0], "bye", 3) == 3 && shutdown(fd[0], SHUT_WR) == 0);
    REQUIRE_ERRNO(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    REQUIRE(events_of(fd[1]) == (POLLIN | POLLOUT | POLLRDHUP));
    REQUIRE(read(fd[1], copy, 10) == 3 && read(fd[1], copy, 10) == 0);
    REQUIRE(write(fd[1], "back", 4) == 4 && read(fd[0], copy, 10) == 4);
    REQUIRE(shutdown(fd[0], SHUT_RD) == 0);
    REQUIRE_ERRNO(send(fd[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    REQUIRE(events_of(fd[0]) & POLLHUP);
    close_pair(fd);

    pair(SOCK_SEQPACKET, fd);
    pipes = 0;
    close(fd[0]);
    REQUIRE_ERRNO(write(fd[1], "x", 1), EPIPE);
    REQUIRE(pipes == 0); /* packets raise no signal */
    REQUIRE(read(fd[1], copy, 1) == 0);
    close(fd[1]);
    signal(SIGPIPE, SIG_IGN);
}

/* ---- datagrams and packets ---- */

static void test_dgram(void)
{
    int fd[2], a = socket(AF_UNIX, SOCK_DGRAM, 0), b = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_un from, to;
    socklen_t len, to_len;
    pair(SOCK_DGRAM, fd);
    REQUIRE(send(fd[0], "one", 3, 0) == 3 && send(fd[0], "", 0, 0) == 0 &&
            send(fd[0], "three", 5, 0) == 5);
    int n;
    REQUIRE(ioctl(fd[1], FIONREAD, &n) == 0 && n == 3);
    REQUIRE(recv(fd[1], copy, 10, MSG_PEEK) == 3 && recv(fd[1], copy, 10, 0) == 3);
    REQUIRE(recv(fd[1], copy, 10, 0) == 0);
    REQUIRE(recv(fd[1], copy, 2, MSG_TRUNC | MSG_PEEK) == 5 && recv(fd[1], copy, 2, 0) == 2);
    REQUIRE_ERRNO(recv(fd[1], copy, 2, MSG_DONTWAIT), EAGAIN);
    REQUIRE_ERRNO(send(fd[0], big, sizeof big + (1 << 20), 0), EMSGSIZE);
    REQUIRE(send(fd[0], big, 100000, 0) == 100000 && recv(fd[1], copy, sizeof copy, 0) == 100000);
    close(fd[0]);
    REQUIRE_ERRNO(send(fd[1], "x", 1, 0), ECONNREFUSED);
    REQUIRE_ERRNO(send(fd[1], "x", 1, 0), ENOTCONN);
    close(fd[1]);

    unlink(own("/tmp/us.a"));
    REQUIRE(bind_to(a, "/tmp/us.a") == 0 && bind_to(b, "@us.b") == 0);
    to = address("@us.b", &to_len);
    REQUIRE(sendto(a, "hi", 2, 0, (struct sockaddr *)&to, to_len) == 2);
    len = sizeof from;
    REQUIRE(recvfrom(b, copy, 10, 0, (struct sockaddr *)&from, &len) == 2);
    REQUIRE(strcmp(from.sun_path, own("/tmp/us.a")) == 0 &&
            len == offsetof(struct sockaddr_un, sun_path) + strlen(from.sun_path) + 1);
    REQUIRE(sendto(b, "ho", 2, 0, (struct sockaddr *)&from, len) == 2 && recv(a, copy, 9, 0) == 2);
    int c = socket(AF_UNIX, SOCK_DGRAM, 0); /* without a name */
    REQUIRE(sendto(c, "x", 1, 0, (struct sockaddr *)&to, to_len) == 1);
    len = sizeof from;
    REQUIRE(recvfrom(b, copy, 10, 0, (struct sockaddr *)&from, &len) == 1 && len == 0);
    REQUIRE(connect_to(a, "@us.b") == 0 && send(a, "y", 1, 0) == 1 && recv(b, copy, 9, 0) == 1);
    REQUIRE(connect_to(b, "/tmp/us.a") == 0); /* from now on for a only */
    REQUIRE_ERRNO(sendto(c, "x", 1, 0, (struct sockaddr *)&to, to_len), EPERM);
    REQUIRE_ERRNO(connect_to(c, "@us.b"), EPERM);
    REQUIRE(connect(b, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr)) == 0);
    REQUIRE_ERRNO(send(b, "x", 1, 0), ENOTCONN);
    REQUIRE_ERRNO(connect_to(c, "/tmp/us.none"), ENOENT);
    REQUIRE_ERRNO(connect_to(c, "@us.none"), ECONNREFUSED);
    close(a);
    REQUIRE_ERRNO(connect_to(c, "/tmp/us.a"), ECONNREFUSED); /* the name has outlived it */
    REQUIRE_ERRNO(open(own("/tmp/us.a"), O_RDWR), ENXIO);
    unlink(own("/tmp/us.a"));
    close(b);
    close(c);
}

/* A queue of datagrams is short: senders wait for it, and poll says so. */
static void test_dgram_queue(void)
{
    int to = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), count = 0;
    REQUIRE(bind_to(to, "@us.q") == 0 && connect_to(from, "@us.q") == 0);
    while (send(from, "x", 1, 0) == 1)
        count++;
    REQUIRE(errno == EAGAIN && count >= 5 && count <= 600);
    REQUIRE(events_of(from) == 0);
    struct epoll_event e = {.events = EPOLLOUT | EPOLLET};
    int ep = epoll_create1(0);
    REQUIRE(epoll_ctl(ep, EPOLL_CTL_ADD, from, &e) == 0 && epoll_wait(ep, &e, 1, 0) == 0);
    for (int i = 0; i < count; i++)
        REQUIRE(recv(to, copy, 1, 0) == 1);
    REQUIRE(epoll_wait(ep, &e, 1, 20000) == 1 && e.events == EPOLLOUT);
    REQUIRE(send(from, "x", 1, 0) == 1);
    close(ep);
    close(to);
    close(from);
}

static void test_seqpacket(void)
{
    int fd[2], l = listener(SOCK_SEQPACKET, "@us.seq", 1);
    int c = socket(AF_UNIX, SOCK_SEQPACKET, 0), s;
    REQUIRE_ERRNO(send(c, "x", 1, MSG_NOSIGNAL), ENOTCONN);
    REQUIRE_ERRNO(recv(c, copy, 1, 0), ENOTCONN);
    REQUIRE(connect_to(c, "@us.seq") == 0 && (s = accept(l, NULL, NULL)) >= 0);
    REQUIRE(write(c, "ab", 2) == 2 && write(c, "cdef", 4) == 4);
    REQUIRE(read(s, copy, 10) == 2 && read(s, copy, 2) == 2 && copy[0] == 'c');
    struct msghdr m = {.msg_iov = &(struct iovec){copy, 2}, .msg_iovlen = 1};
    REQUIRE(write(c, "12345", 5) == 5 && recvmsg(s, &m, 0) == 2 && (m.msg_flags & MSG_TRUNC));
    int stream = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE_ERRNO(connect_to(stream, "@us.seq"), ECONNREFUSED); /* another name space by type */
    close(stream);
    close(c);
    REQUIRE(read(s, copy, 1) == 0);
    close(s);
    close(l);
    pair(SOCK_SEQPACKET, fd);
    REQUIRE(write(fd[0], "x", 1) == 1 && read(fd[1], copy, 5) == 1);
    close_pair(fd);
}

/* ---- names and connections ---- */

static void test_names(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a;
    socklen_t len = sizeof a;
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0 && len == sizeof(sa_family_t) &&
            a.sun_family == AF_UNIX);
    REQUIRE_ERRNO(getpeername(fd, (struct sockaddr *)&a, &len), ENOTCONN);
    REQUIRE_ERRNO(listen(fd, 1), EINVAL); /* no name yet */
    unlink(own("/tmp/us.n"));
    umask(022);
    REQUIRE(bind_to(fd, "/tmp/us.n") == 0);
    REQUIRE_ERRNO(bind_to(fd, "/tmp/us.m"), EINVAL);
    REQUIRE_ERRNO(bind_to(other, "/tmp/us.n"), EADDRINUSE);
    REQUIRE_ERRNO(bind_to(other, "/tmp/none/us.n"), ENOENT);
    REQUIRE_ERRNO(bind(other, (struct sockaddr *)&(struct sockaddr_un){AF_INET, "/tmp/q"}, 20),
                  EINVAL);
    REQUIRE_ERRNO(bind(other, (struct sockaddr *)&a, 200), EINVAL);
    struct stat st;
    REQUIRE(stat(own("/tmp/us.n"), &st) == 0 && S_ISSOCK(st.st_mode) &&
            (st.st_mode & 0777) == 0755);
    len = sizeof a;
    memset(&a, 0x55, sizeof a);
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0 &&
            strcmp(a.sun_path, own("/tmp/us.n")) == 0);
    REQUIRE(len == offsetof(struct sockaddr_un, sun_path) + strlen(a.sun_path) + 1);
    len = 5; /* cut off, with the true length */
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0 &&
            len == 3 + strlen(own("/tmp/us.n")));
    REQUIRE_ERRNO(connect_to(other, "/tmp/us.n"), ECONNREFUSED); /* does not listen */
    REQUIRE(listen(fd, 5) == 0 && option(fd, SO_ACCEPTCONN) == 1);
    REQUIRE(rename(own("/tmp/us.n"), own("/tmp/us.o")) == 0 && connect_to(other, "/tmp/us.o") == 0);
    len = sizeof a;
    REQUIRE(getpeername(other, (struct sockaddr *)&a, &len) == 0 &&
            strcmp(a.sun_path, own("/tmp/us.n")) == 0);
    REQUIRE_ERRNO(connect_to(other, "/tmp/us.o"), EISCONN);
    REQUIRE_ERRNO(listen(other, 1), EINVAL);
    int dgram = socket(AF_UNIX, SOCK_DGRAM, 0);
    REQUIRE_ERRNO(connect_to(dgram, "/tmp/us.o"), EPROTOTYPE);
    REQUIRE_ERRNO(connect_to(dgram, "/tmp"), ECONNREFUSED);
    close(dgram);
    close(other);
    REQUIRE(unlink(own("/tmp/us.o")) == 0);
    other = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE_ERRNO(connect_to(other, "/tmp/us.o"), ENOENT);
    close(fd);
    /* Without an address: a name of five digits. */
    REQUIRE(bind(other, (struct sockaddr *)&(struct sockaddr_un){.sun_family = AF_UNIX}, 2) == 0);
    len = sizeof a;
    REQUIRE(getsockname(other, (struct sockaddr *)&a, &len) == 0 && len == 8 && a.sun_path[0] == 0);
    close(other);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    other = socket(AF_UNIX, SOCK_DGRAM, 0);
    REQUIRE(bind_to(fd, "@us.abs") == 0 && bind_to(other, "@us.abs") == 0);
    int third = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE_ERRNO(bind_to(third, "@us.abs"), EADDRINUSE);
    close(fd);
    REQUIRE(bind_to(third, "@us.abs") == 0); /* an abstract name ends with its socket */
    close(other);
    close(third);
}

static void test_accept(void)
{
    int l = listener(SOCK_STREAM, "@us.acc", 1), c[4], s;
    struct sockaddr_un a;
    socklen_t len = sizeof a;
    REQUIRE(events_of(l) == 0);
    REQUIRE(fcntl(l, F_SETFL, O_NONBLOCK) == 0);
    REQUIRE_ERRNO(accept(l, NULL, NULL), EAGAIN);
    for (int i = 0; i < 2; i++) {
        c[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        REQUIRE(connect_to(c[i], "@us.acc") == 0);
    }
    c[2] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE_ERRNO(connect_to(c[2], "@us.acc"), EAGAIN); /* the backlog is full */
    REQUIRE(events_of(l) == POLLIN);
    REQUIRE(write(c[0], "early", 5) == 5); /* before it is accepted */
    REQUIRE_ERRNO(accept4(l, NULL, NULL, 1), EINVAL);
    s = accept4(l, (struct sockaddr *)&a, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    REQUIRE(s >= 0 && len == 2 && fcntl(s, F_GETFD) == FD_CLOEXEC &&
            (fcntl(s, F_GETFL) & O_NONBLOCK));
    REQUIRE(read(s, copy, 10) == 5);
    len = sizeof a;
    REQUIRE(getsockname(s, (struct sockaddr *)&a, &len) == 0 && len == 3 + strlen(own("us.acc")) &&
            memcmp(a.sun_path + 1, own("us.acc"), len - 3) == 0);
    REQUIRE(connect_to(c[2], "@us.acc") == 0);
    struct ucred cred;
    len = sizeof cred;
    REQUIRE(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == getpid() &&
            cred.uid == geteuid() && cred.gid == getegid());
    REQUIRE(getsockopt(c[0], SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == getpid());
    c[3] = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(getsockopt(c[3], SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == 0 &&
            cred.uid == (uid_t)-1);
    close(l); /* those that were not accepted are reset */
    REQUIRE_ERRNO(read(c[1], copy, 1), ECONNRESET);
    REQUIRE(read(c[1], copy, 1) == 0);
    REQUIRE(write(c[0], "x", 1) == 1 && read(s, copy, 2) == 1); /* this one goes on */
    for (int i = 0; i < 4; i++)
        close(c[i]);
    close(s);
}

static void *late_accept(void *arg)
{
    usleep(30000);
    int s = accept(*(int *)arg, NULL, NULL);
    REQUIRE(s >= 0);
    close(s);
    return NULL;
}

static void test_backlog_wait(void)
{
    int l = listener(SOCK_STREAM, "@us.bl", 0), a = socket(AF_UNIX, SOCK_STREAM, 0),
        b = socket(AF_UNIX, SOCK_STREAM, 0);
    pthread_t thread;
    struct timeval tv = {0, 20000};
    REQUIRE(connect_to(a, "@us.bl") == 0);
    REQUIRE(setsockopt(b, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) == 0);
    REQUIRE_ERRNO(connect_to(b, "@us.bl"), EAGAIN);
    tv.tv_usec = 0;
    REQUIRE(setsockopt(b, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) == 0);
    REQUIRE(pthread_create(&thread, NULL, late_accept, &l) == 0);
    REQUIRE(connect_to(b, "@us.bl") == 0); /* waits for the thread */
    REQUIRE(pthread_join(thread, NULL) == 0);
    close(a);
    close(b);
    REQUIRE(shutdown(l, SHUT_RD) == 0); /* ends accept */
    while (accept(l, NULL, NULL) >= 0)
        ;
    REQUIRE(errno == EINVAL);
    int c = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE_ERRNO(connect_to(c, "@us.bl"), ECONNREFUSED);
    close(c);
    close(l);
}

/* ---- options ---- */

static void test_options(void)
{
    int fd[2], value = 10000;
    pair(SOCK_STREAM, fd);
    REQUIRE(option(fd[0], SO_TYPE) == SOCK_STREAM && option(fd[0], SO_ERROR) == 0 &&
            option(fd[0], SO_ACCEPTCONN) == 0);
    REQUIRE(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &value, sizeof value) == 0 &&
            option(fd[0], SO_SNDBUF) == 20000);
    value = 1;
    REQUIRE(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &value, sizeof value) == 0 &&
            option(fd[0], SO_SNDBUF) == 4608);
    REQUIRE(setsockopt(fd[0], SOL_SOCKET, SO_REUSEADDR, &value, sizeof value) == 0 &&
            option(fd[0], SO_REUSEADDR) == 1 && option(fd[0], SO_KEEPALIVE) == 0);
    struct linger linger = {1, 7}, got;
    socklen_t len = sizeof got;
    REQUIRE(setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    REQUIRE(getsockopt(fd[0], SOL_SOCKET, SO_LINGER, &got, &len) == 0 && got.l_onoff == 1 &&
            got.l_linger == 7 && len == sizeof got);
    REQUIRE_ERRNO(setsockopt(fd[0], SOL_SOCKET, SO_REUSEADDR, &value, 2), EINVAL);
    REQUIRE_ERRNO(setsockopt(fd[0], SOL_SOCKET, SO_REUSEADDR, bad, 4), EFAULT);
    REQUIRE_ERRNO(setsockopt(fd[0], SOL_SOCKET, 9999, &value, 4), ENOPROTOOPT);
    REQUIRE_ERRNO(getsockopt(fd[0], SOL_SOCKET, 9999, &value, &len), ENOPROTOOPT);
    REQUIRE_ERRNO(setsockopt(fd[0], 6, 1, &value, 4), EOPNOTSUPP);
    len = 2; /* cut off */
    REQUIRE(getsockopt(fd[0], SOL_SOCKET, SO_TYPE, &value, &len) == 0 && len == 2);
    REQUIRE_ERRNO(ioctl(fd[0], 0x5413, &value), ENOTTY);
    int on = 1;
    REQUIRE(ioctl(fd[0], FIONBIO, &on) == 0 && (fcntl(fd[0], F_GETFL) & O_NONBLOCK));
    close_pair(fd);
}

/* ---- waiting ---- */

static void on_alarm(int signo)
{
}

/* Again and again: on a busy host the first may come before the call that it is to interrupt. */
static void arm(int ms)
{
    struct itimerval it = {{0, ms * 1000}, {0, ms * 1000}};
    REQUIRE(setitimer(ITIMER_REAL, &it, NULL) == 0);
}

static void *late_write(void *arg)
{
    usleep(60000);
    REQUIRE(write(*(int *)arg, "x", 1) == 1);
    return NULL;
}

static void test_signals(void)
{
    int fd[2], l = listener(SOCK_STREAM, "@us.sig", 1);
    pthread_t thread;
    struct sigaction act = {.sa_handler = on_alarm};
    struct timeval tv = {60, 0};
    pair(SOCK_STREAM, fd);
    REQUIRE(sigaction(SIGALRM, &act, NULL) == 0);
    sigset_t set;
    sigemptyset(&set);
    arm(20);
    REQUIRE_ERRNO(recv(fd[1], copy, 1, 0), EINTR);
    REQUIRE_ERRNO(accept(l, NULL, NULL), EINTR);
    act.sa_flags = SA_RESTART;
    REQUIRE(sigaction(SIGALRM, &act, NULL) == 0);
    sigaddset(&set, SIGALRM); /* the signal is for this thread */
    REQUIRE(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    REQUIRE(pthread_create(&thread, NULL, late_write, &fd[0]) == 0);
    REQUIRE(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
    arm(20);
    REQUIRE(recv(fd[1], copy, 1, 0) == 1); /* restarted */
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE(setsockopt(fd[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0);
    REQUIRE_ERRNO(recv(fd[1], copy, 1, 0), EINTR); /* never with a time limit, signal(7) */
    arm(0);
    close_pair(fd);
    close(l);
}

static void test_epoll(void)
{
    int fd[2], ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    pair(SOCK_STREAM, fd);
    REQUIRE(epoll_ctl(ep, EPOLL_CTL_ADD, fd[1], &e) == 0);
    REQUIRE(epoll_wait(ep, &e, 1, 0) == 1 && e.events == EPOLLOUT);
    REQUIRE(epoll_wait(ep, &e, 1, 0) == 0);
    REQUIRE(write(fd[0], "a", 1) == 1 && epoll_wait(ep, &e, 1, 0) == 1 &&
            e.events == (EPOLLIN | EPOLLOUT));
    REQUIRE(epoll_wait(ep, &e, 1, 0) == 0);
    REQUIRE(write(fd[0], "b", 1) == 1 && epoll_wait(ep, &e, 1, 0) == 1);
    REQUIRE(shutdown(fd[0], SHUT_WR) == 0 && epoll_wait(ep, &e, 1, 0) == 1 &&
            e.events == (EPOLLIN | EPOLLOUT | EPOLLRDHUP));
    close(fd[0]);
    REQUIRE(epoll_wait(ep, &e, 1, 0) == 1 &&
            (e.events & (EPOLLHUP | EPOLLRDHUP)) == (EPOLLHUP | EPOLLRDHUP));
    close(fd[1]);
    /* Level-triggered: from full to not full. */
    pair(SOCK_STREAM, fd);
    fcntl(fd[0], F_SETFL, O_NONBLOCK);
    while (write(fd[0], big, 4096) > 0)
        ;
    e = (struct epoll_event){.events = EPOLLOUT};
    REQUIRE(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &e) == 0 && epoll_wait(ep, &e, 1, 0) == 0);
    ssize_t n = read(fd[1], copy, sizeof copy);
    REQUIRE(n > 0 && epoll_wait(ep, &e, 1, 20000) == 1);
    close_pair(fd);
    close(ep);
}

static void test_copies(void)
{
    int fd[2], p[2], file = open(own("/tmp/us.file"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    pair(SOCK_STREAM, fd);
    REQUIRE(pipe(p) == 0 && write(file, big, 5000) == 5000);
    REQUIRE(sendfile(fd[0], file, &(off_t){1000}, 4000) == 4000);
    REQUIRE(recv(fd[1], copy, 9000, MSG_WAITALL | MSG_DONTWAIT) == 4000 &&
            memcmp(copy, big + 1000, 4000) == 0);
    REQUIRE(write(fd[0], "splice", 6) == 6 && splice(fd[1], NULL, p[1], NULL, 100, 0) == 6);
    REQUIRE(splice(p[0], NULL, fd[0], NULL, 100, 0) == 6 && read(fd[1], copy, 10) == 6 &&
            memcmp(copy, "splice", 6) == 0);
    close(file);
    unlink(own("/tmp/us.file"));
    close_pair(p);
    close_pair(fd);
}

static void test_proc(void)
{
    int l = listener(SOCK_STREAM, "@us.proc", 1);
    static char text[100000];
    FILE *file = fopen("/proc/net/unix", "r");
    REQUIRE(file && fgets(text, sizeof text, file) && strncmp(text, "Num       RefCount", 18) == 0);
    bool found = false;
    while (fgets(text, sizeof text, file))
        found |= strstr(text, " 00010000 0001 01 ") && strstr(text, own("@us.proc"));
    REQUIRE(found);
    fclose(file);
    close(l);
}

int main(void)
{
    test_create();
    test_stream();
    test_flow();
    test_waitall();
    test_ends();
    test_dgram();
    test_dgram_queue();
    test_seqpacket();
    test_names();
    test_accept();
    test_backlog_wait();
    test_options();
    test_signals();
    test_epoll();
    test_copies();
    test_proc();
    return guest_pass("unixsock");
}
