/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flowstorm.c - connections come and go over lo, on all CPUs, against traffic: opened, written and
 * read in odd pieces, half closed, reset (SO_LINGER with no time), closed with unread data, dropped
 * before accept.
 *
 *   flowstorm [CONNECTIONS [THREADS]]
 *   flowstorm CONNECTIONS THREADS serve PORT
 *   flowstorm CONNECTIONS THREADS call ADDRESS PORT
 *
 * The latter two are the two sides on two machines, between which frames may get lost: then what is
 * only told once may have to be asked for (keep-alive), and everything takes longer.
 *
 * What must hold. Both sides draw what they do from a generator that the client's first bytes seed,
 * so each knows what the other has in mind.
 *  - Bytes arrive in order, from the first; no more than were sent.
 *  - All of them, then the end, if the sender closes its half and nobody resets.
 *  - Who is reset sees a beginning of the stream, then the end or an error that says so.
 *  - Datagrams that run beside arrive whole or not at all.
 *  - At the end there are as many descriptors as in the beginning, and (on Selkie, where the
 *    account says so) the kernel's memory of sockets and packets is what it was.
 */
#include "procfile.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define THREADS_MAX 16
#define BYTES_MAX 40000u

enum manner {
    ECHO,       /* the server answers each byte; both close in order */
    HALF,       /* the client shuts its half, then reads a stream of the server's to its end */
    CLIENT_RST, /* SO_LINGER 0 in the middle of sending */
    SERVER_RST, /* the same on the other side */
    UNREAD,     /* closed with data in its queue, which is a reset, too */
    SILENT,     /* connected, closed at once: the server sees the end only */
    SPIN,       /* non-blocking throughout, waits by poll */
    MANNERS
};

struct hello {
    uint32_t seed, manner, bytes, check;
};

static struct sockaddr_in address[THREADS_MAX];
static unsigned threads = 4, each;
static uint64_t delivered, resets, opened; /* atomic */
static bool over;
static bool apart; /* on two machines */

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static uint8_t byte_at(uint32_t seed, uint32_t at)
{
    uint32_t x = (seed ^ at * 2654435761u) * 0x9e3779b1u;
    return (uint8_t)(x >> 24);
}

static bool was_reset(int error)
{
    return error == ECONNRESET || error == EPIPE;
}

static void set(int fd, int level, int option, int value)
{
    REQUIRE(setsockopt(fd, level, option, &value, sizeof value) == 0);
}

/* A reset that is lost is sent again to whoever asks. */
static void keep_asking(int fd)
{
    if (!apart)
        return;
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 10);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
}

static void wait_for(int fd, short what)
{
    struct pollfd p = {.fd = fd, .events = what};
    REQUIRE(poll(&p, 1, apart ? 1000000 : 20000) == 1);
}

static void linger_zero(int fd)
{
    struct linger l = {.l_onoff = 1, .l_linger = 0};
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l) == 0);
}

/* Send bytes [from, to) of a stream; returns how far it came: less only if it was reset. */
static uint32_t send_bytes(int fd, uint32_t seed, uint32_t from, uint32_t to, uint32_t *draw)
{
    uint8_t buffer[8192];
    while (from < to) {
        uint32_t n = 1 + next(draw) % sizeof buffer;
        n = n < to - from ? n : to - from;
        for (uint32_t i = 0; i < n; i++)
            buffer[i] = byte_at(seed, from + i);
        ssize_t sent = send(fd, buffer, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            wait_for(fd, POLLOUT);
            continue;
        }
        if (sent < 0) {
            REQUIRE(was_reset(errno));
            return from;
        }
        REQUIRE(sent > 0 && (uint32_t)sent <= n);
        from += (uint32_t)sent;
    }
    return from;
}

/* Receive up to byte `to`, or the end: how far it came. *reset: by an error. */
static uint32_t recv_bytes(int fd, uint32_t seed, uint32_t from, uint32_t to, uint32_t *draw,
                           bool *reset)
{
    uint8_t buffer[8192];
    *reset = false;
    while (from < to) {
        uint32_t n = 1 + next(draw) % sizeof buffer;
        n = n < to - from ? n : to - from;
        int flags = next(draw) % 8 == 0 ? MSG_WAITALL : 0;
        ssize_t got = recv(fd, buffer, n, flags);
        if (got < 0 && errno == EAGAIN) {
            wait_for(fd, POLLIN);
            continue;
        }
        if (got < 0) {
            REQUIRE(was_reset(errno));
            *reset = true;
            return from;
        }
        if (got == 0)
            return from;
        REQUIRE((uint32_t)got <= n);
        for (uint32_t i = 0; i < (uint32_t)got; i++)
            REQUIRE(buffer[i] == byte_at(seed, from + i));
        from += (uint32_t)got;
        __atomic_fetch_add(&delivered, (uint64_t)got, __ATOMIC_RELAXED);
    }
    return from;
}

/* Nothing but the end is left, or a reset if that may be. */
static void expect_end(int fd, bool may_reset)
{
    uint8_t byte;
    ssize_t got;
    while ((got = recv(fd, &byte, 1, 0)) < 0 && errno == EAGAIN)
        wait_for(fd, POLLIN);
    REQUIRE(got == 0 || (got < 0 && may_reset && was_reset(errno)));
}

/* ---- the client ---- */

static int dial(const struct sockaddr_in *to, bool nonblock)
{
    int fd = socket(AF_INET, SOCK_STREAM | (nonblock ? SOCK_NONBLOCK : 0), 0), error = 0;
    socklen_t len = sizeof error;
    REQUIRE(fd >= 0);
    keep_asking(fd);
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0)
        return fd;
    REQUIRE(nonblock && errno == EINPROGRESS);
    wait_for(fd, POLLOUT);
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0);
    return fd;
}

static void one_client(const struct sockaddr_in *to, uint32_t *draw)
{
    struct hello h = {.seed = next(draw), .manner = next(draw) % MANNERS};
    h.bytes = next(draw) % 4 ? next(draw) % 2000 : next(draw) % BYTES_MAX;
    h.check = h.seed ^ h.manner ^ h.bytes;
    int fd = dial(to, h.manner == SPIN);
    uint32_t mine = h.seed, at;
    bool reset;
    __atomic_fetch_add(&opened, 1, __ATOMIC_RELAXED);
    if (h.manner == SILENT) {
        if (next(&mine) % 2)
            linger_zero(fd);
        REQUIRE(close(fd) == 0);
        return;
    }
    REQUIRE(send(fd, &h, sizeof h, MSG_NOSIGNAL) == (ssize_t)sizeof h);
    switch (h.manner) {
    case ECHO:
    case SPIN:
        for (at = 0; at < h.bytes;) {
            uint32_t n = 1 + next(&mine) % 4096, end = at + n < h.bytes ? at + n : h.bytes;
            REQUIRE(send_bytes(fd, h.seed, at, end, &mine) == end);
            REQUIRE(recv_bytes(fd, ~h.seed, at, end, &mine, &reset) == end);
            at = end;
        }
        REQUIRE(shutdown(fd, SHUT_WR) == 0);
        expect_end(fd, false);
        break;
    case HALF:
        REQUIRE(shutdown(fd, SHUT_WR) == 0);
        REQUIRE(send(fd, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
        REQUIRE(recv_bytes(fd, ~h.seed, 0, h.bytes, &mine, &reset) == h.bytes);
        expect_end(fd, false);
        break;
    case CLIENT_RST:
        (void)send_bytes(fd, h.seed, 0, h.bytes / 2, &mine);
        linger_zero(fd);
        break;
    case SERVER_RST:
        at = recv_bytes(fd, ~h.seed, 0, h.bytes, &mine, &reset);
        REQUIRE(at <= h.bytes);
        expect_end(fd, true);
        __atomic_fetch_add(&resets, reset, __ATOMIC_RELAXED);
        break;
    default: /* UNREAD: the server talks, we do not listen */
        (void)send_bytes(fd, h.seed, 0, h.bytes, &mine);
        break;
    }
    REQUIRE(close(fd) == 0);
}

static void *client(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;
    uint32_t draw = 77 + number * 7919;
    for (unsigned i = 0; i < each; i++)
        one_client(&address[next(&draw) % threads], &draw);
    return NULL;
}

/* ---- the server ---- */

/* False: it was the last. */
static bool one_server(int fd)
{
    struct hello h;
    keep_asking(fd);
    ssize_t got = recv(fd, &h, sizeof h, MSG_WAITALL);
    if (got <= 0) { /* silent */
        REQUIRE(got == 0 || was_reset(errno));
        REQUIRE(close(fd) == 0);
        return true;
    }
    bool reset;
    REQUIRE(got == (ssize_t)sizeof h); /* it is sent in one piece */
    REQUIRE(h.check == (h.seed ^ h.manner ^ h.bytes) && h.manner <= MANNERS);
    uint32_t draw = h.seed * 3 + 1, at;
    switch (h.manner) {
    case ECHO:
    case SPIN: {
        uint32_t done = 0;
        while (done < h.bytes) { /* whatever has come is answered */
            uint8_t buffer[4096];
            ssize_t n = recv(fd, buffer, sizeof buffer, 0);
            REQUIRE(n > 0 && done + (uint32_t)n <= h.bytes);
            for (uint32_t i = 0; i < (uint32_t)n; i++)
                REQUIRE(buffer[i] == byte_at(h.seed, done + i));
            REQUIRE(send_bytes(fd, ~h.seed, done, done + (uint32_t)n, &draw) == done + (uint32_t)n);
            done += (uint32_t)n;
        }
        expect_end(fd, false);
        break;
    }
    case HALF:
        expect_end(fd, false);
        REQUIRE(send_bytes(fd, ~h.seed, 0, h.bytes, &draw) == h.bytes);
        break;
    case CLIENT_RST:
        at = recv_bytes(fd, h.seed, 0, h.bytes, &draw, &reset);
        REQUIRE(at <= h.bytes / 2);
        REQUIRE(reset || h.bytes == 0); /* never as if it had ended in order */
        __atomic_fetch_add(&resets, reset, __ATOMIC_RELAXED);
        break;
    case SERVER_RST:
        (void)send_bytes(fd, ~h.seed, 0, h.bytes / 2, &draw);
        linger_zero(fd);
        break;
    case MANNERS:
        break;
    default:                                                  /* UNREAD */
        reset = send_bytes(fd, ~h.seed, 0, 100, &draw) < 100; /* then that has told it */
        bool told = reset;
        at = recv_bytes(fd, h.seed, 0, h.bytes, &draw, &reset);
        REQUIRE(reset || told || at == h.bytes);
        break;
    }
    REQUIRE(close(fd) == 0);
    return h.manner != MANNERS;
}

static int listener[THREADS_MAX];

/* By accept on a blocking socket, or by epoll on one that does not block. */
static void *server(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;
    bool by_epoll = number % 2;
    int l = listener[number], e = -1;
    if (by_epoll) {
        struct epoll_event event = {.events = EPOLLIN | (number % 4 == 1 ? EPOLLET : 0)};
        REQUIRE((e = epoll_create1(0)) >= 0);
        REQUIRE(fcntl(l, F_SETFL, O_NONBLOCK) == 0);
        REQUIRE(epoll_ctl(e, EPOLL_CTL_ADD, l, &event) == 0);
    }
    for (;;) {
        int fd = accept(l, NULL, NULL);
        if (fd >= 0) {
            if (!one_server(fd))
                break;
        } else if (errno == EAGAIN) {
            struct epoll_event event;
            REQUIRE(epoll_wait(e, &event, 1, -1) == 1);
        } else {
            REQUIRE(errno == EINVAL && __atomic_load_n(&over, __ATOMIC_ACQUIRE)); /* shut down */
            break;
        }
    }
    if (e >= 0)
        close(e);
    return NULL;
}

/* ---- beside them ---- */

static void *datagrams(void *arg)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    uint32_t draw = 5, sent = 0, got = 0, word[300];
    int in = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(in >= 0 && bind(in, (struct sockaddr *)&a, sizeof a) == 0);
    REQUIRE(getsockname(in, (struct sockaddr *)&a, &len) == 0);
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        int out = socket(AF_INET, SOCK_DGRAM, 0);
        REQUIRE(out >= 0 && connect(out, (struct sockaddr *)&a, sizeof a) == 0);
        uint32_t burst = 1 + next(&draw) % 20;
        for (uint32_t i = 0; i < burst; i++) {
            uint32_t n = 1 + next(&draw) % 300;
            for (uint32_t k = 0; k < n; k++)
                word[k] = sent * 31 + k;
            word[0] = sent++;
            REQUIRE(send(out, word, n * 4, 0) == (ssize_t)n * 4);
        }
        REQUIRE(close(out) == 0);
        ssize_t n;
        while ((n = recv(in, word, sizeof word, MSG_DONTWAIT)) > 0) {
            REQUIRE(n % 4 == 0 && word[0] >= got && word[0] < sent);
            got = word[0] + 1;
            for (uint32_t k = 1; k < (uint32_t)n / 4; k++)
                REQUIRE(word[k] == word[0] * 31 + k);
        }
        REQUIRE(n == -1 && errno == EAGAIN);
        usleep(1000);
    }
    REQUIRE(close(in) == 0 && got > 0);
    return arg;
}

/* Connections that nobody accepts: their listener goes. */
static void *fickle(void *arg)
{
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof a;
        int l = socket(AF_INET, SOCK_STREAM, 0), fd[4];
        REQUIRE(l >= 0 && bind(l, (struct sockaddr *)&a, sizeof a) == 0 && listen(l, 16) == 0);
        REQUIRE(getsockname(l, (struct sockaddr *)&a, &len) == 0);
        for (int i = 0; i < 4; i++) {
            fd[i] = dial(&a, i % 2);
            (void)send(fd[i], "hello", 5, MSG_NOSIGNAL);
        }
        REQUIRE(close(l) == 0);
        for (int i = 0; i < 4; i++) {
            expect_end(fd[i], true);
            REQUIRE(close(fd[i]) == 0);
        }
        usleep(2000);
    }
    return arg;
}

/* ---- what is left ---- */

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    REQUIRE(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* A counter of /proc/net/netstat: a line of names, then one of numbers. */
static long counter(const char *name)
{
    static char names[16384], numbers[16384];
    FILE *file = fopen("/proc/net/netstat", "r");
    char *n, *v, *save_n, *save_v;
    long found = 0;
    while (file && fgets(names, sizeof names, file) && fgets(numbers, sizeof numbers, file)) {
        n = strtok_r(names, " \n", &save_n);
        v = strtok_r(numbers, " \n", &save_v);
        for (; n && v; n = strtok_r(NULL, " \n", &save_n), v = strtok_r(NULL, " \n", &save_v))
            if (strcmp(n, name) == 0)
                found = atol(v);
    }
    if (file)
        fclose(file);
    return found;
}

struct left {
    unsigned files;
    long sock, packets, time_wait;
    time_t when;
};

static struct left look(void)
{
    return (struct left){descriptors(), account("sock"), account("net"),
                         counter("TW") - counter("TWRecycled") - counter("TWKilled"), time(NULL)};
}

/* Connections that end in order leave an object in TIME-WAIT for a minute, if no late reset meets
 * it (RFC 9293, 3.10.7.4); nothing else is left.
 * What the protocol has to do still gets its time. */
static void nothing_is_left(const struct left *before, bool patient)
{
    struct left now = *before;
    for (int tries = 0; tries < (apart ? 5000 : patient ? 1000 : 200); tries++) {
        now = look();
        long waiting = now.time_wait - before->time_wait;
        bool exact = now.when - before->when < 55; /* none of them has ended yet */
        long more = now.sock - before->sock, packets = now.packets - before->packets;
        bool sockets = patient ? more == 0 : exact ? more == waiting : more <= waiting;
        /* Packets of the start (DHCP's) may still have been on a wire, or the device's: a driver
         * frees what was sent a little later. */
        if (now.files == before->files && (now.sock < 0 || sockets) && packets <= 0)
            return;
        usleep(100000);
    }
    printf("files %u -> %u, sockets %ld -> %ld (%ld in TIME-WAIT), packets %ld -> %ld\n",
           before->files, now.files, before->sock, now.sock, now.time_wait - before->time_wait,
           before->packets, now.packets);
    REQUIRE(!"something is left");
}

/* ---- all of it ---- */

static void listen_all(const char *at, uint16_t port)
{
    for (unsigned i = 0; i < threads; i++) {
        socklen_t len = sizeof address[i];
        listener[i] = socket(AF_INET, SOCK_STREAM, 0);
        address[i] = (struct sockaddr_in){.sin_family = AF_INET};
        address[i].sin_port = htons(port ? (uint16_t)(port + i) : 0);
        REQUIRE(inet_pton(AF_INET, at, &address[i].sin_addr) == 1);
        REQUIRE(bind(listener[i], (struct sockaddr *)&address[i], len) == 0);
        REQUIRE(listen(listener[i], 64) == 0);
        REQUIRE(getsockname(listener[i], (struct sockaddr *)&address[i], &len) == 0);
    }
}

/* Until all of the other machine's listeners are there; a bad wire may have lost what asks for its
 * address. */
static void find_all(const char *at, uint16_t port)
{
    for (unsigned i = 0; i < threads; i++) {
        int fd = -1;
        address[i] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)(port + i))};
        REQUIRE(inet_pton(AF_INET, at, &address[i].sin_addr) == 1);
        do {
            if (fd >= 0) {
                REQUIRE((errno == ECONNREFUSED || errno == EHOSTUNREACH) && close(fd) == 0);
                usleep(100000);
            }
            REQUIRE((fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
        } while (connect(fd, (struct sockaddr *)&address[i], sizeof address[i]) != 0);
        REQUIRE(close(fd) == 0);
    }
}

static void say_the_end(void)
{
    for (unsigned i = 0; i < threads; i++) {
        struct hello h = {.manner = MANNERS, .check = MANNERS};
        int fd = dial(&address[i], false);
        REQUIRE(send(fd, &h, sizeof h, MSG_NOSIGNAL) == (ssize_t)sizeof h);
        expect_end(fd, false);
        REQUIRE(close(fd) == 0);
    }
}

static void run_all(void *(*work)(void *), pthread_t *ids)
{
    for (unsigned i = 0; i < threads; i++)
        REQUIRE(pthread_create(&ids[i], NULL, work, (void *)(uintptr_t)i) == 0);
}

static void join_all(pthread_t *ids, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        REQUIRE(pthread_join(ids[i], NULL) == 0);
}

static void here(void)
{
    pthread_t serve[THREADS_MAX], call[THREADS_MAX], beside[2];
    listen_all("127.0.0.1", 0);
    run_all(server, serve);
    REQUIRE(pthread_create(&beside[0], NULL, datagrams, NULL) == 0);
    REQUIRE(pthread_create(&beside[1], NULL, fickle, NULL) == 0);
    run_all(client, call);
    join_all(call, threads);
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    join_all(beside, 2);
    for (unsigned i = 0; i < threads; i++)
        REQUIRE(shutdown(listener[i], SHUT_RDWR) == 0);
    join_all(serve, threads);
    for (unsigned i = 0; i < threads; i++)
        REQUIRE(close(listener[i]) == 0);
}

static void there(char **argv)
{
    pthread_t ids[THREADS_MAX];
    bool calls = strcmp(argv[3], "call") == 0;
    apart = true;
    if (calls)
        find_all(argv[4], (uint16_t)atoi(argv[5]));
    else
        listen_all("0.0.0.0", (uint16_t)atoi(argv[4]));
    run_all(calls ? client : server, ids);
    join_all(ids, threads);
    if (calls)
        say_the_end();
    for (unsigned i = 0; !calls && i < threads; i++)
        REQUIRE(close(listener[i]) == 0);
}

int main(int argc, char **argv)
{
    unsigned connections = argc > 1 ? (unsigned)atoi(argv[1]) : 1200;
    threads = argc > 2 ? (unsigned)atoi(argv[2]) : 4;
    REQUIRE(threads >= 1 && threads <= THREADS_MAX);
    REQUIRE(argc <= 3 || argc == (strcmp(argv[3], "call") == 0 ? 6 : 5));
    bool patient = connections >= 100000 || argc > 3;
    each = connections / threads;
    alarm(argc > 3 ? 100000 : patient ? 3000 : 170);
    struct left before = look();
    if (argc > 3)
        there(argv);
    else
        here();
    nothing_is_left(&before, patient);
    if (argc > 1) /* for people; how much gets through before a reset is chance */
        printf("%lu connections, %lu bytes, %lu seen reset\n", (unsigned long)opened,
               (unsigned long)delivered, (unsigned long)resets);
    return guest_pass("flowstorm");
}
