/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sockfilter.c - SO_ATTACH_FILTER on sockets that are not of packets: AF_UNIX and netlink, what is
 * thrown away, cut, locked (socket(7)).
 */
#include "guest.h"

#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

static int attach(int fd, const struct sock_filter *code, unsigned short len)
{
    struct sock_fprog p = {len, (struct sock_filter *)(uintptr_t)code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p);
}

/* What begins with 'k' is kept up to four bytes. */
static const struct sock_filter keep_k[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'k', 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 4),
    BPF_STMT(BPF_RET | BPF_K, 0),
};

static void unix_sockets(int type)
{
    int p[2], on = 1, off = 0;
    char c[64];
    REQUIRE(socketpair(AF_UNIX, type, 0, p) == 0);
    REQUIRE_ERRNO(setsockopt(p[0], SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof off), ENOENT);
    REQUIRE(attach(p[0], keep_k, 4) == 0);
    REQUIRE(send(p[1], "no", 2, 0) == 2);
    REQUIRE(send(p[1], "keep", 4, 0) == 4);
    REQUIRE(send(p[1], "keep more", 9, 0) == 9);
    REQUIRE(send(p[1], "", 0, 0) == 0);
    REQUIRE(send(p[0], "other way", 9, 0) == 9);
    bool cut = type != SOCK_STREAM; /* streams are not filtered */
    if (!cut) {
        REQUIRE(recv(p[0], c, sizeof c, 0) == 15 && memcmp(c, "nokeepkeep more", 15) == 0);
    } else {
        REQUIRE(recv(p[0], c, sizeof c, 0) == 4 && memcmp(c, "keep", 4) == 0);
        REQUIRE(recv(p[0], c, sizeof c, 0) == 4 && memcmp(c, "keep", 4) == 0);
        REQUIRE_ERRNO(recv(p[0], c, sizeof c, MSG_DONTWAIT), EAGAIN);
    }
    REQUIRE(recv(p[1], c, sizeof c, 0) == 9);
    REQUIRE(setsockopt(p[0], SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) == 0);
    REQUIRE_ERRNO(setsockopt(p[0], SOL_SOCKET, SO_LOCK_FILTER, &off, sizeof off), EPERM);
    REQUIRE_ERRNO(attach(p[0], keep_k, 4), EPERM);
    REQUIRE_ERRNO(setsockopt(p[0], SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof off), EPERM);
    /* A file in what is thrown away is closed. */
    if (cut) {
        int pipes[2];
        struct iovec iov = {c, 1};
        union {
            struct cmsghdr c;
            char room[CMSG_SPACE(sizeof(int))];
        } u = {.c = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
        struct msghdr m = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u};
        REQUIRE(pipe(pipes) == 0);
        memcpy(CMSG_DATA(&u.c), &pipes[1], sizeof(int));
        c[0] = 'n';
        REQUIRE(sendmsg(p[1], &m, 0) == 1);
        close(pipes[1]);
        REQUIRE(read(pipes[0], c, 1) == 0);
        close(pipes[0]);
    }
    close(p[0]), close(p[1]);
}

static int links(int fd)
{
    static char answer[32768];
    struct {
        struct nlmsghdr h;
        struct ifinfomsg i;
    } ask = {.h = {sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    REQUIRE(send(fd, &ask, sizeof ask, 0) == sizeof ask);
    if (poll(&p, 1, 100) == 0)
        return 0;
    return (int)recv(fd, answer, sizeof answer, 0);
}

static void netlink(void)
{
    static const struct sock_filter none[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    REQUIRE(links(fd) > 16);
    close(fd);
    fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    REQUIRE(attach(fd, none, 1) == 0);
    REQUIRE(links(fd) == 0);
    close(fd);
}

int main(void)
{
    unix_sockets(SOCK_DGRAM);
    unix_sockets(SOCK_SEQPACKET);
    unix_sockets(SOCK_STREAM);
    netlink();
    return guest_pass("sockfilter");
}
