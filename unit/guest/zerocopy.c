/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zerocopy.c - MSG_ZEROCOPY (socket(7)): which sockets have it, numbers and ranges of completions,
 * what poll says, limits, and memory that goes while it is being sent.
 *
 *     zerocopy                    over lo, where Linux copies and says so
 *     zerocopy wire ADDRESS PORT  datagrams, and a stream to whoever reads there: not copied
 */
#include "guest.h"

#include <time.h> /* for linux/errqueue.h */

#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LEN 65536
static struct sockaddr_in to;
static struct sockaddr_in6 to6;
#define TO (struct sockaddr *)&to, sizeof to
static char *block;

static int yes(int fd)
{
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on);
}
static int value(int fd)
{
    int on = -1;
    socklen_t len = sizeof on;
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, &len) == 0);
    return on;
}

struct done {
    unsigned lo, hi, code;
};
/* One message of the error queue, if there is one within the time. */
static bool completion(int fd, struct done *d, int timeout_ms)
{
    struct pollfd p = {.fd = fd};
    char control[256], byte;
    struct sockaddr_storage name;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_name = &name,
                       .msg_namelen = sizeof name,
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    if (poll(&p, 1, timeout_ms) != 1)
        return false;
    REQUIRE(p.revents & POLLERR);
    REQUIRE(recvmsg(fd, &m, MSG_ERRQUEUE) == 0);
    REQUIRE(m.msg_flags == MSG_ERRQUEUE && m.msg_namelen == 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    REQUIRE(c);
    struct sock_extended_err *e = (void *)CMSG_DATA(c);
    bool four = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
    REQUIRE(four || (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR));
    REQUIRE(c->cmsg_len == CMSG_LEN(sizeof *e + (four ? 16 : 28)));
    REQUIRE(!CMSG_NXTHDR(&m, c));
    REQUIRE(e->ee_errno == 0 && e->ee_origin == SO_EE_ORIGIN_ZEROCOPY && e->ee_type == 0);
    *d = (struct done){e->ee_info, e->ee_data, e->ee_code};
    return true;
}

/* All up to number `last` (at most 63), in any cutting and order, none of them twice. */
static void all_done(int fd, unsigned first, unsigned last, unsigned code)
{
    uint64_t left = (~0ull >> (63 - last + first)) << first;
    struct done d;
    while (left) {
        REQUIRE(completion(fd, &d, 20000));
        REQUIRE(d.lo <= d.hi && d.hi <= last && d.code == code);
        for (unsigned i = d.lo; i <= d.hi; i++) {
            REQUIRE(left & 1ull << i);
            left &= ~(1ull << i);
        }
    }
    REQUIRE(!completion(fd, &d, 30));
    char c;
    REQUIRE_ERRNO(recv(fd, &c, 1, MSG_ERRQUEUE), EAGAIN);
}

static void who_has_it(void)
{
    int p[2], bad = 2, fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(value(fd) == 0 && yes(fd) == 0 && value(fd) == 1);
    REQUIRE_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &bad, sizeof bad), EINVAL);
    bad = 0;
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &bad, sizeof bad) == 0 && value(fd) == 0);
    close(fd);
    fd = socket(AF_INET6, SOCK_DGRAM, 0);
    REQUIRE(yes(fd) == 0);
    close(fd);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
    REQUIRE(yes(p[0]) == -1 && (errno == EOPNOTSUPP || errno == 524)); /* 524: Linux before 5.16 */
    REQUIRE(value(p[0]) == 0);
    REQUIRE(send(p[0], "x", 1, MSG_ZEROCOPY) == 1); /* ignored */
    close(p[0]), close(p[1]);
}

static void datagrams(int family)
{
    int in = socket(family, SOCK_DGRAM, 0), out = socket(family, SOCK_DGRAM, 0);
    struct sockaddr_storage name = {.ss_family = (sa_family_t)family};
    socklen_t len = sizeof name;
    char c[64];
    if (family == AF_INET)
        ((struct sockaddr_in *)&name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&name)->sin6_addr = in6addr_loopback;
    len = family == AF_INET ? sizeof to : sizeof to6;
    REQUIRE(bind(in, (struct sockaddr *)&name, len) == 0);
    REQUIRE(getsockname(in, (struct sockaddr *)&name, &len) == 0);
    REQUIRE(connect(out, (struct sockaddr *)&name, len) == 0);
    struct done d;
    REQUIRE(send(out, block, 4, MSG_ZEROCOPY) == 4); /* not asked for: an ordinary one */
    REQUIRE(!completion(out, &d, 30));
    REQUIRE(yes(out) == 0);
    REQUIRE(send(out, block, 0, MSG_ZEROCOPY) == 0); /* counts, too */
    for (int i = 0; i < 4; i++)
        REQUIRE(send(out, block, 5000, MSG_ZEROCOPY) == 5000);
    REQUIRE(send(out, block, 5, 0) == 5);
    all_done(out, 0, 4, SO_EE_CODE_ZEROCOPY_COPIED);
    REQUIRE(send(out, block, 5000, MSG_ZEROCOPY) == 5000);
    REQUIRE_ERRNO(send(out, block, 70000, MSG_ZEROCOPY), EMSGSIZE);
    REQUIRE_ERRNO(send(out, (void *)8, 5000, MSG_ZEROCOPY), EFAULT);
    all_done(out, 5, 5, SO_EE_CODE_ZEROCOPY_COPIED);
    /* They did arrive. */
    static const int lens[] = {4, 0, 5000, 5000, 5000, 5000, 5, 5000};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        REQUIRE(recv(in, c, sizeof c, MSG_TRUNC | MSG_DONTWAIT) == lens[i]);
    close(in), close(out);
}

static void stream(void)
{
    int l = socket(AF_INET, SOCK_STREAM, 0), out = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof to;
    static char got[LEN];
    to = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    REQUIRE(bind(l, TO) == 0 && listen(l, 1) == 0);
    REQUIRE(getsockname(l, (struct sockaddr *)&to, &len) == 0 && yes(out) == 0);
    REQUIRE(connect(out, TO) == 0);
    int in = accept(l, NULL, NULL);
    for (int i = 0; i < 10; i++) {
        memset(block, 'a' + i, LEN);
        REQUIRE(send(out, block, LEN / 2 + i, MSG_ZEROCOPY) == LEN / 2 + i);
        REQUIRE(recv(in, got, (size_t)LEN / 2 + i, MSG_WAITALL) == LEN / 2 + i);
        REQUIRE(memcmp(got, block, (size_t)LEN / 2 + i) == 0);
    }
    all_done(out, 0, 9, SO_EE_CODE_ZEROCOPY_COPIED);
    close(out), close(in), close(l);
}

/* ---- over a wire ---- */

static char *fresh(size_t len)
{
    char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED && madvise(p, len, MADV_NOHUGEPAGE) == 0);
    for (size_t i = 0; i < len; i++)
        p[i] = (char)(i * 7 + i / 4096);
    return p;
}

static void wire_datagrams(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(yes(fd) == 0); /* not connected: nobody need be there */
    for (int i = 0; i < 20; i++) {
        char *p = fresh(8192);
        REQUIRE(sendto(fd, p + 100, 1200, MSG_ZEROCOPY, TO) == 1200);
        if (i % 3 == 0)
            REQUIRE(munmap(p, 8192) == 0);
        else if (i % 3 == 1)
            REQUIRE(madvise(p, 8192, MADV_DONTNEED) == 0 && p[100] == 0);
        else
            REQUIRE(mprotect(p, 8192, PROT_READ) == 0 && mprotect(p, 8192, 3) == 0 && ++p[5000]);
    }
    all_done(fd, 0, 19, 0);
    close(fd);
}

/* The sum that the reader prints is what counts; pages are changed only when they are free. */
static void wire_stream(size_t total)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(yes(fd) == 0 && connect(fd, TO) == 0);
    unsigned sent = 0, told = 0;
    uint64_t sum = 0;
    char *p[4];
    for (int i = 0; i < 4; i++)
        p[i] = fresh(LEN);
    for (size_t done = 0; done < total; done += LEN) {
        while (sent - told >= 4) {
            struct done d;
            REQUIRE(completion(fd, &d, 20000) && d.lo == told && d.code == 0);
            told = d.hi + 1;
        }
        char *block = p[sent % 4];
        for (int i = 0; i < LEN; i++)
            sum += (unsigned char)++block[i];
        for (size_t n = 0; n < LEN;) {
            long got = send(fd, block + n, LEN - n, MSG_ZEROCOPY);
            REQUIRE(got > 0);
            n += (size_t)got;
            REQUIRE(n == LEN); /* blocking: all at once */
        }
        sent++;
    }
    REQUIRE(shutdown(fd, SHUT_WR) == 0);
    for (int i = 0; i < 4; i++)
        REQUIRE(munmap(p[i], LEN) == 0);
    char c;
    while (recv(fd, &c, 1, 0) > 0)
        ;
    printf("sum %llu\n", (unsigned long long)sum);
    send(fd, block, LEN, MSG_ZEROCOPY); /* EPIPE; and the end with what is under way */
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    block = fresh(LEN + 4096);
    if (argc > 3 && strcmp(argv[1], "wire") == 0) {
        to.sin_family = AF_INET;
        REQUIRE(inet_pton(AF_INET, argv[2], &to.sin_addr) == 1);
        to.sin_port = htons((uint16_t)atoi(argv[3]));
        wire_datagrams();
        if (argc > 4)
            wire_stream((size_t)atol(argv[4]));
        return guest_pass("zerocopy");
    }
    who_has_it();
    datagrams(AF_INET);
    datagrams(AF_INET6);
    stream();
    return guest_pass("zerocopy");
}
