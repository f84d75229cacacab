/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcpmem.c [CONNECTIONS] - many connections over lo that nobody reads may not have all memory: each
 * takes what it may, then the program still gets memory of its own, everything that was taken
 * arrives, and every connection goes on.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define ROUND 32768

static struct pair {
    int from, to;
    uint64_t sent, received;
} * pairs;
static int count = 64;

static unsigned char byte_at(uint64_t position)
{
    return (unsigned char)(position * 31 + (position >> 12));
}

static void open_all(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(bind(l, (struct sockaddr *)&a, sizeof a) == 0 && listen(l, 10) == 0);
    REQUIRE(getsockname(l, (struct sockaddr *)&a, &len) == 0);
    for (int i = 0; i < count; i++) {
        pairs[i].from = socket(AF_INET, SOCK_STREAM, 0);
        REQUIRE(connect(pairs[i].from, (struct sockaddr *)&a, sizeof a) == 0);
        pairs[i].to = accept(l, NULL, NULL);
        REQUIRE(pairs[i].to >= 0 && fcntl(pairs[i].from, F_SETFL, O_NONBLOCK) == 0 &&
                fcntl(pairs[i].to, F_SETFL, O_NONBLOCK) == 0);
    }
    close(l);
}

/* Bytes that went into it now. */
static size_t fill(struct pair *p)
{
    static unsigned char bytes[ROUND];
    size_t all = 0;
    for (;;) {
        for (int i = 0; i < ROUND; i++)
            bytes[i] = byte_at(p->sent + (uint64_t)i);
        ssize_t n = write(p->from, bytes, ROUND);
        if (n < 0) {
            REQUIRE(errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS);
            return all;
        }
        p->sent += (uint64_t)n;
        all += (size_t)n;
    }
}

static void empty(struct pair *p)
{
    static unsigned char bytes[ROUND];
    struct pollfd poll_it = {.fd = p->to, .events = POLLIN};
    while (p->received < p->sent) {
        ssize_t n = read(p->to, bytes, ROUND);
        REQUIRE(n > 0 || (n < 0 && errno == EAGAIN));
        for (ssize_t i = 0; i < n; i++)
            REQUIRE(bytes[i] == byte_at(p->received + (uint64_t)i));
        if (n > 0)
            p->received += (uint64_t)n;
        else
            REQUIRE(poll(&poll_it, 1, -1) == 1);
    }
}

int main(int argc, char **argv)
{
    size_t own = 8u << 20;
    if (argc > 1)
        count = atoi(argv[1]);
    alarm(100);
    pairs = calloc((size_t)count, sizeof *pairs);
    REQUIRE(pairs != NULL);
    open_all();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < count; i++)
            (void)fill(&pairs[i]);
        unsigned char *memory =
            mmap(NULL, own, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(memory != MAP_FAILED);
        memset(memory, round, own);
        munmap(memory, own);
        for (int i = 0; i < count; i++)
            empty(&pairs[i]);
    }
    /* There is room again. */
    for (int i = 0; i < count; i++) {
        struct pollfd p = {.fd = pairs[i].from, .events = POLLOUT};
        REQUIRE(poll(&p, 1, -1) == 1 && fill(&pairs[i]) > 0);
        empty(&pairs[i]);
    }
    return guest_pass("tcpmem");
}
