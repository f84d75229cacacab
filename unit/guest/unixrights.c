/* SPDX-License-Identifier: BSD-3-Clause */
/* unixrights - what goes through AF_UNIX sockets besides bytes: files, also such as can be reached
 * in no other way, and credentials; several messages with one call. */
#include "unixsock.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/uio.h>
#include <time.h>

static char copy[1000];

union control {
    char buf[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(8 * sizeof(int))];
    struct cmsghdr align;
};

static int send_fds(int fd, const int *fds, int count, const char *text)
{
    union control c = {0};
    struct msghdr m = {.msg_iov = &(struct iovec){(void *)text, strlen(text)},
                       .msg_iovlen = 1,
                       .msg_control = c.buf,
                       .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(h), fds, (size_t)count * sizeof(int));
    return (int)sendmsg(fd, &m, MSG_NOSIGNAL);
}

/* Bytes; *count files in fds. */
static int recv_fds(int fd, int *fds, int *count, int flags, int *result)
{
    union control c = {0};
    struct msghdr m = {.msg_iov = &(struct iovec){copy, 100},
                       .msg_iovlen = 1,
                       .msg_control = c.buf,
                       .msg_controllen = sizeof c.buf};
    int n = (int)recvmsg(fd, &m, flags);
    struct cmsghdr *h = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL;
    *count = 0;
    if (result)
        *result = m.msg_flags;
    for (; h; h = CMSG_NXTHDR(&m, h))
        if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
            *count = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fds, CMSG_DATA(h), (size_t)*count * sizeof(int));
        }
    return n;
}

static int open_count(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_rights(int type)
{
    int fd[2], p[2], got[8], count, flags, before = open_count();
    pair(type, fd);
    REQUIRE(pipe(p) == 0);
    REQUIRE(send_fds(fd[0], p, 2, "ab") == 2);
    REQUIRE(recv_fds(fd[1], got, &count, MSG_PEEK, NULL) == 2 && count == 2);
    close_pair(got);
    REQUIRE(recv_fds(fd[1], got, &count, MSG_CMSG_CLOEXEC, &flags) == 2 && count == 2);
    REQUIRE(fcntl(got[0], F_GETFD) == FD_CLOEXEC && (flags & MSG_CMSG_CLOEXEC) &&
            !(flags & MSG_CTRUNC));
    REQUIRE(write(got[1], "z", 1) == 1 && read(p[0], copy, 1) == 1 && copy[0] == 'z');
    close_pair(got);
    REQUIRE_ERRNO(send_fds(fd[0], (int[]){p[0], 1000}, 2, "x"), EBADF);
    /* The file lives in the message alone, then dies with it. */
    REQUIRE(send_fds(fd[0], &p[1], 1, "c") == 1 && close(p[1]) == 0);
    REQUIRE(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
    REQUIRE_ERRNO(read(p[0], copy, 1), EAGAIN);
    REQUIRE(recv(fd[1], copy, 10, 0) == 1); /* without room for it */
    REQUIRE(read(p[0], copy, 1) == 0);
    REQUIRE(send_fds(fd[0], &p[0], 1, "d") == 1);
    struct msghdr m = {.msg_iov = &(struct iovec){copy, 9}, .msg_iovlen = 1};
    REQUIRE(recvmsg(fd[1], &m, 0) == 1 && (m.msg_flags & MSG_CTRUNC));
    /* Room for one of two. */
    REQUIRE(send_fds(fd[0], (int[]){p[0], fd[0]}, 2, "e") == 1);
    union control c;
    m = (struct msghdr){.msg_iov = &(struct iovec){copy, 9},
                        .msg_iovlen = 1,
                        .msg_control = c.buf,
                        .msg_controllen = CMSG_LEN(sizeof(int))};
    REQUIRE(recvmsg(fd[1], &m, 0) == 1 && (m.msg_flags & MSG_CTRUNC));
    memcpy(got, CMSG_DATA(&c.align), sizeof(int));
    REQUIRE(c.align.cmsg_len == CMSG_LEN(sizeof(int)) && close(got[0]) == 0);
    if (type == SOCK_STREAM) { /* files end what one read gives */
        REQUIRE(send(fd[0], "12", 2, 0) == 2 && send_fds(fd[0], p, 1, "34") == 2 &&
                send(fd[0], "56", 2, 0) == 2);
        REQUIRE(recv_fds(fd[1], got, &count, 0, NULL) == 4 && count == 1 && close(got[0]) == 0);
        REQUIRE(recv_fds(fd[1], got, &count, 0, NULL) == 2 && count == 0);
    }
    close(p[0]);
    close_pair(fd);
    REQUIRE(open_count() == before);
}

/* Sockets that only they themselves can reach: the kernel closes them. */
static void test_cycles(void)
{
    int p[2], a[2], b[2];
    REQUIRE(pipe(p) == 0);
    for (int round = 0; round < 20; round++) {
        pair(SOCK_STREAM, a);
        pair(SOCK_DGRAM, b);
        REQUIRE(send_fds(a[0], &a[1], 1, "x") == 1);               /* a[1] in its own queue */
        REQUIRE(send_fds(b[0], (int[]){b[1], p[1]}, 2, "y") == 1); /* and a pipe behind a cycle */
        REQUIRE(send_fds(a[0], &b[1], 1, "z") == 1);
        REQUIRE(send_fds(b[0], &a[1], 1, "w") == 1);
        REQUIRE(write(a[0], "live", 4) == 4);
        close(a[1]);
        close(b[1]);
        close(b[0]);
        close(a[0]);
    }
    int l = listener(SOCK_STREAM, "@us.gc", 5), c = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(connect_to(c, "@us.gc") == 0 && send_fds(c, (int[]){l, p[1]}, 2, "x") == 1);
    close(l); /* a listener in the queue of a connection that it has not accepted */
    close(c);
    close(p[1]);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, a) == 0);
    close_pair(a);
    struct pollfd poll_end = {p[0], POLLIN, 0};
    REQUIRE(poll(&poll_end, 1, 60000) == 1 && (poll_end.revents & POLLHUP));
    REQUIRE(read(p[0], copy, 1) == 0); /* all its writers have gone */
    close(p[0]);
    /* One that looks like a cycle, but can be reached. */
    pair(SOCK_STREAM, a);
    pair(SOCK_STREAM, b);
    int got[8], count;
    REQUIRE(send_fds(a[0], &b[1], 1, "x") == 1 && send_fds(b[0], &a[0], 1, "y") == 1);
    close(b[1]);
    close(a[0]);
    pair(SOCK_STREAM, p);
    close_pair(p); /* a search */
    REQUIRE(recv_fds(a[1], got, &count, 0, NULL) == 1 && count == 1);
    int inner = got[0];
    REQUIRE(recv_fds(inner, got, &count, 0, NULL) == 1 && count == 1);
    REQUIRE(write(got[0], "ok", 2) == 2 && read(a[1], copy, 5) == 2);
    close(got[0]);
    close(inner);
    close(a[1]);
    close(b[0]);
}

/* A chain of sockets, each in the queue of the next: its end must not need much stack. */
static void test_chain(void)
{
    int last[2], next[2], p[2];
    REQUIRE(pipe(p) == 0);
    pair(SOCK_STREAM, last);
    REQUIRE(send_fds(last[0], &p[1], 1, "p") == 1);
    close(p[1]);
    for (int i = 0; i < 3000; i++) {
        pair(SOCK_STREAM, next);
        REQUIRE(send_fds(next[0], last, 2, "x") == 1);
        close_pair(last);
        memcpy(last, next, sizeof last);
    }
    close_pair(last);
    struct pollfd end = {p[0], POLLIN, 0};
    REQUIRE(poll(&end, 1, 60000) == 1 && (end.revents & POLLHUP));
    close(p[0]);
}

static void test_cred(void)
{
    int fd[2], on = 1;
    pair(SOCK_STREAM, fd);
    REQUIRE(setsockopt(fd[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0 &&
            option(fd[1], SO_PASSCRED) == 1);
    REQUIRE(write(fd[0], "x", 1) == 1);
    union control c;
    struct msghdr m = {.msg_iov = &(struct iovec){copy, 9},
                       .msg_iovlen = 1,
                       .msg_control = c.buf,
                       .msg_controllen = sizeof c.buf};
    REQUIRE(recvmsg(fd[1], &m, 0) == 1);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    REQUIRE(h && h->cmsg_type == SCM_CREDENTIALS && h->cmsg_len == CMSG_LEN(sizeof(struct ucred)));
    struct ucred cred;
    memcpy(&cred, CMSG_DATA(h), sizeof cred);
    REQUIRE(cred.pid == getpid() && cred.uid == getuid() && cred.gid == getgid());
    /* Said by the sender; a pid that does not exist is refused. */
    for (int i = 0; i < 2; i++) {
        cred.pid = i ? 4000000 : getpid();
        m.msg_controllen = CMSG_SPACE(sizeof cred);
        m.msg_iov[0].iov_len = 1;
        h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_CREDENTIALS;
        h->cmsg_len = CMSG_LEN(sizeof cred);
        memcpy(CMSG_DATA(h), &cred, sizeof cred);
        if (i == 0)
            REQUIRE(sendmsg(fd[0], &m, 0) == 1);
        else
            REQUIRE(sendmsg(fd[0], &m, 0) == -1 && (errno == ESRCH || errno == EPERM));
    }
    close_pair(fd);
}

static void test_mmsg(void)
{
    int fd[2];
    char text[4][8] = {"a", "bb", "ccc", "dddd"}, in[4][8];
    struct mmsghdr m[4] = {0};
    struct iovec iov[4];
    pair(SOCK_DGRAM, fd);
    for (int i = 0; i < 4; i++) {
        iov[i] = (struct iovec){text[i], (size_t)i + 1};
        m[i].msg_hdr.msg_iov = &iov[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    REQUIRE(sendmmsg(fd[0], m, 4, 0) == 4 && m[3].msg_len == 4);
    for (int i = 0; i < 4; i++)
        iov[i] = (struct iovec){in[i], 8};
    REQUIRE(recvmmsg(fd[1], m, 2, 0, NULL) == 2 && m[1].msg_len == 2 && in[1][0] == 'b');
    REQUIRE(recvmmsg(fd[1], m, 4, MSG_WAITFORONE, NULL) == 2 && m[0].msg_len == 3);
    REQUIRE_ERRNO(recvmmsg(fd[1], m, 4, MSG_DONTWAIT, NULL), EAGAIN);
    struct timespec ts = {5, 0};
    REQUIRE(send(fd[0], "x", 1, 0) == 1 && recvmmsg(fd[1], m, 1, 0, &ts) == 1 && ts.tv_sec <= 5);
    close_pair(fd);
}

/* A msghdr at an odd address. */
static void test_unaligned(void)
{
    static char memory[sizeof(struct msghdr) + 8];
    int fd[2];
    struct iovec iov = {copy, 9};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    void *odd = memory + 1;
    pair(SOCK_STREAM, fd);
    memcpy(odd, &m, sizeof m);
    REQUIRE(write(fd[0], "abc", 3) == 3);
    REQUIRE(recvmsg(fd[1], odd, 0) == 3 && memcmp(copy, "abc", 3) == 0);
    REQUIRE(sendmsg(fd[1], odd, 0) == 9 && recv(fd[0], copy, 100, 0) == 9);
    close_pair(fd);
}

int main(void)
{
    test_rights(SOCK_STREAM);
    test_rights(SOCK_DGRAM);
    test_rights(SOCK_SEQPACKET);
    test_cycles();
    test_chain();
    test_cred();
    test_mmsg();
    test_unaligned();
    return guest_pass("unixrights");
}
