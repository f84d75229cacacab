/* SPDX-License-Identifier: BSD-3-Clause */
/* receive.h - a record of a socket and the descriptor that came with it; for host programs: the
 * launcher's switch and the outer threads of a hosted kernel. */
#ifndef SELKIE_HOSTED_RECEIVE_H
#define SELKIE_HOSTED_RECEIVE_H

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* As recv without waiting; *with: the descriptor, or -1. */
static inline ssize_t receive_with(int fd, void *record, size_t size, int *with)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr head;
    } more;
    struct iovec iov = {record, size};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &more, .msg_controllen = sizeof(more)};
    ssize_t len = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *c = len > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

    *with = -1;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(with, CMSG_DATA(c), sizeof(int));
    return len;
}

#endif
