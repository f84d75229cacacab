/* SPDX-License-Identifier: BSD-3-Clause */
/* sockets.h - arguments of socket calls for syscalls.c: AF_UNIX addresses that several sockets
 * want, messages with descriptors and credentials. */
#ifndef SELKIE_FUZZ_GUEST_SOCKETS_H
#define SELKIE_FUZZ_GUEST_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

/* syscalls.c */
static uint64_t below(uint64_t n);
static uint64_t bits(unsigned count);
static uint64_t pointer(void);
static bool is(const char *word, size_t len, const char *type);

#define SOCKET_NAMES 6
#define SOCKET_MESSAGES 4

struct socket_arguments {
    struct sockaddr_un names[SOCKET_NAMES];
    uint32_t lens[4];
    struct mmsghdr messages[SOCKET_MESSAGES];
    struct iovec pieces[SOCKET_MESSAGES][2];
    union {
        char bytes[CMSG_SPACE(4 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control[SOCKET_MESSAGES];
};

/* One header of a control message with four numbers behind it: descriptors or a struct ucred. */
static inline void socket_control(struct msghdr *m, int type, size_t size)
{
    struct cmsghdr *h = CMSG_FIRSTHDR(m);
    int numbers[4];

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = type;
    h->cmsg_len = below(8) ? CMSG_LEN(size) : below(100);
    for (size_t i = 0; i < 4; i++)
        numbers[i] = type == SCM_RIGHTS ? 3 + (int)below(24) : i == 0 ? (int)below(3) : 0;
    memcpy(CMSG_DATA(h), numbers, sizeof(numbers));
}

/* Fresh ones: calls write to them. */
static inline void socket_refresh(struct socket_arguments *s, char *memory)
{
    static const char *const names[SOCKET_NAMES] = {"/tmp/s0", "/tmp/s1", "\0f0",
                                                    "\0f1",    "\0f2",    ""};

    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < SOCKET_NAMES; i++) {
        s->names[i].sun_family = i == SOCKET_NAMES - 1 ? AF_UNSPEC : AF_UNIX;
        memcpy(s->names[i].sun_path, names[i], i < 2 ? 8 : 3);
    }
    for (unsigned i = 0; i < 4; i++)
        s->lens[i] = i * 8;
    for (unsigned i = 0; i < SOCKET_MESSAGES; i++) {
        struct msghdr *m = &s->messages[i].msg_hdr;

        for (unsigned k = 0; k < 2; k++)
            s->pieces[i][k] =
                (struct iovec){memory + below(1 << 20), below(4) ? below(300) : below(1 << 17)};
        m->msg_iov = s->pieces[i];
        m->msg_iovlen = below(3);
        m->msg_control = s->control[i].bytes;
        m->msg_controllen = sizeof(s->control[i].bytes);
        socket_control(m, i % 2 ? SCM_CREDENTIALS : SCM_RIGHTS,
                       i % 2 ? sizeof(struct ucred) : below(5) * sizeof(int));
        m->msg_controllen = below(8) == 0 ? below(sizeof(s->control[i].bytes))
                            : i == 3      ? 0
                                          : CMSG_SPACE(16);
        if (below(3) == 0) {
            m->msg_name = &s->names[below(SOCKET_NAMES)];
            m->msg_namelen = (socklen_t)(below(4) ? sizeof(struct sockaddr_un) : below(20));
        }
    }
}

/* Sockets for the calls to meet: a pair, or one that listens and one that is connected to it. */
static void socket_make(struct socket_arguments *s)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    int pair[2], type = types[below(3)] | SOCK_NONBLOCK;
    const struct sockaddr *name = (struct sockaddr *)&s->names[2 + below(3)];

    if (below(2)) {
        (void)!socketpair(AF_UNIX, type, 0, pair);
        return;
    }
    pair[0] = socket(AF_UNIX, type, 0);
    pair[1] = socket(AF_UNIX, type, 0);
    (void)!bind(pair[0], name, 5);
    (void)!listen(pair[0], 2);
    (void)!connect(pair[1], name, 5);
}

/* Of the socket calls; false: none of theirs. */
static bool socket_argument(struct socket_arguments *s, const char *word, size_t len,
                            uint64_t *value)
{
    if (strncmp(word, "sockname", 8) == 0)
        *value = below(8) ? (uint64_t)&s->names[below(SOCKET_NAMES)] : pointer();
    else if (strncmp(word, "msghdr", 6) == 0)
        *value = below(8) ? (uint64_t)&s->messages[below(SOCKET_MESSAGES)] : pointer();
    else if (is(word, len, "sockfamily"))
        *value = below(8) ? AF_UNIX : below(50);
    else if (is(word, len, "socktype"))
        *value = (below(8) ? (uint64_t[]){1, 2, 5}[below(3)] : below(16)) |
                 (below(4) ? SOCK_NONBLOCK : 0) | (below(8) ? 0 : bits(20));
    else if (is(word, len, "sockflags"))
        *value = (below(4) ? SOCK_NONBLOCK : 0) | (below(8) ? 0 : bits(20));
    else if (is(word, len, "sockproto"))
        *value = below(8) ? 0 : below(20);
    else if (is(word, len, "socklevel"))
        *value = below(8) ? SOL_SOCKET : below(50);
    else if (is(word, len, "sockopt"))
        *value = 1 + below(70);
    else if (is(word, len, "msgflags"))
        *value = (below(3) ? MSG_DONTWAIT : 0) | (below(3) ? 0 : bits(31));
    else if (is(word, len, "shuthow"))
        *value = below(4);
    else
        return false;
    return true;
}

#endif
