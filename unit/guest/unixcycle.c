/* SPDX-License-Identifier: BSD-3-Clause */
/* unixcycle - a process ends whose sockets, and a pipe, are kept open by messages in their own
 * queues only. The socket that is closed last goes at once for nobody: its own message has it. */
#include "unixsock.h"

static void send_two(int to, int one, int two)
{
    union {
        char buf[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } c = {0};
    struct msghdr m = {.msg_iov = &(struct iovec){(void *)"x", 1},
                       .msg_iovlen = 1,
                       .msg_control = c.buf,
                       .msg_controllen = sizeof c.buf};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(h), (int[]){one, two}, 2 * sizeof(int));
    REQUIRE(sendmsg(to, &m, MSG_NOSIGNAL) == 1);
}

int main(void)
{
    int p[2], s[2];
    REQUIRE(pipe(p) == 0);
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0 && s[0] < s[1]);
    send_two(s[0], s[1], p[1]);
    /* They stay open: the kernel closes them in the order of their numbers. */
    return guest_pass("unixcycle");
}
