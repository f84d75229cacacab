/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sockets - AF_UNIX sockets between threads: streams whose every byte is checked, datagrams of many
 * senders in their order, connections that are made, accepted, refused and cut off, sleepers that a
 * close or shutdown must wake, and sockets sent through sockets at random until nobody knows who
 * holds them: in the end all of them are gone.
 */
#include "storm.h"

#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define STREAMS 2
#define SENDERS 3
#define CLIENTS 2
#define CARRIERS 3
#define CUTTERS 1
#define SLOTS 24

/* What a call that may fail for want of memory or room says about it. */
static bool try_again(void)
{
    return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == EINTR;
}

static struct sockaddr_un name_of(const char *text, unsigned number, socklen_t *len)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n =
        snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "%s-%d-%u", text, (int)getpid(), number);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    return a;
}

static void wait_for(int fd, short events)
{
    struct pollfd p = {fd, events, 0};
    CHECK(poll(&p, 1, 1000) >= 0 || errno == EINTR);
}

static int make_pair(int type, int fd[2])
{
    while (socketpair(AF_UNIX, type, 0, fd) < 0) {
        CHECK(try_again());
        usleep(1000);
    }
    return 0;
}

/* ---- streams ---- */

struct stream {
    int fd[2];
    uint64_t sent; /* set by the writer before it ends */
    uint8_t out[100000], in[70000];
};

static uint8_t byte_at(uint64_t position)
{
    return (uint8_t)(position * 31 + (position >> 9));
}

static void stream_writer(struct worker *w)
{
    struct stream *s = w->arg;
    uint8_t *buf = s->out;
    uint64_t sent = 0;
    while (!storm_over()) {
        size_t len = 1 + rng_below(&w->rng, rng_below(&w->rng, 4) ? 300 : sizeof(s->out));
        int flags = rng_below(&w->rng, 2) ? MSG_DONTWAIT : 0;
        for (size_t i = 0; i < len; i++)
            buf[i] = byte_at(sent + i);
        doing(w, "send");
        ssize_t n = send(s->fd[0], buf, len, flags);
        if (n < 0) {
            CHECK(try_again());
            doing(w, "poll for room");
            wait_for(s->fd[0], POLLOUT);
        } else {
            CHECK(flags || n == (ssize_t)len || n > 0);
            sent += (uint64_t)n;
        }
        step(w);
    }
    s->sent = sent;
    CHECK_EQ(shutdown(s->fd[0], SHUT_WR), 0);
}

static void stream_reader(struct worker *w)
{
    struct stream *s = w->arg;
    uint8_t *buf = s->in;
    uint64_t got = 0;
    for (;;) {
        size_t len = 1 + rng_below(&w->rng, sizeof(s->in));
        unsigned how = rng_below(&w->rng, 8);
        int flags = how == 0 ? MSG_PEEK : how < 4 ? MSG_DONTWAIT : 0;
        doing(w, "recv");
        ssize_t n = recv(s->fd[1], buf, len, flags);
        step(w);
        if (n < 0) {
            CHECK(try_again());
            doing(w, "poll for bytes");
            wait_for(s->fd[1], POLLIN);
            continue;
        }
        if (n == 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != byte_at(got + (uint64_t)i))
                storm_fail(__FILE__, __LINE__, "a byte of the stream", (long)got + i, buf[i]);
        if (!(flags & MSG_PEEK))
            got += (uint64_t)n;
    }
    CHECK_EQ(got, s->sent);
    storm_count("bytes", got);
}

/* ---- datagrams ---- */

struct gram {
    uint32_t sender, number;
    uint8_t pad[1000];
};

static unsigned gram_name; /* of this wave */
static uint32_t gram_sent[SENDERS];
static bool gram_done; /* atomic: all senders have ended */

static void gram_sender(struct worker *w)
{
    socklen_t len;
    struct sockaddr_un to = name_of("gram", gram_name, &len);
    struct gram g = {.sender = w->index};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(fd >= 0);
    bool connected = rng_below(&w->rng, 2);
    if (connected)
        CHECK_EQ(connect(fd, (struct sockaddr *)&to, len), 0);
    while (!storm_over()) {
        size_t size = offsetof(struct gram, pad) + rng_below(&w->rng, sizeof(g.pad));
        int flags = rng_below(&w->rng, 2) ? MSG_DONTWAIT : 0;
        doing(w, "sendto");
        ssize_t n = connected ? send(fd, &g, size, flags)
                              : sendto(fd, &g, size, flags, (struct sockaddr *)&to, len);
        step(w);
        if (n < 0) {
            CHECK(try_again());
            if (connected) {
                doing(w, "poll for room in the queue");
                wait_for(fd, POLLOUT);
            }
            continue;
        }
        CHECK_EQ(n, size);
        g.number++;
    }
    gram_sent[w->index] = g.number;
    CHECK_EQ(close(fd), 0);
}

static void gram_receiver(struct worker *w)
{
    int fd = *(int *)w->arg, ep = epoll_create1(0);
    uint32_t next[SENDERS] = {0};
    unsigned long count = 0;
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    CHECK(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    for (;;) {
        struct gram g;
        bool done = __atomic_load_n(&gram_done, __ATOMIC_ACQUIRE);
        ssize_t n = recv(fd, &g, sizeof(g), MSG_DONTWAIT);
        step(w);
        if (n < 0) {
            CHECK(try_again());
            if (done && errno == EAGAIN)
                break;
            doing(w, "epoll for datagrams");
            CHECK(epoll_wait(ep, &e, 1, 50) >= 0 || errno == EINTR);
            continue;
        }
        CHECK(n >= (ssize_t)offsetof(struct gram, pad) && g.sender < SENDERS);
        CHECK_EQ(g.number, next[g.sender]);
        next[g.sender]++;
        count++;
    }
    for (unsigned i = 0; i < SENDERS; i++)
        CHECK_EQ(next[i], gram_sent[i]);
    CHECK_EQ(close(ep), 0);
    storm_count("datagrams", count);
}

/* ---- connections ---- */

static unsigned server_name;

/* Echo one message, or hang up first. */
static void serve(struct worker *w, int s)
{
    char buf[64];
    if (rng_below(&w->rng, 4)) {
        doing(w, "serve");
        ssize_t n = recv(s, buf, sizeof(buf), 0);
        CHECK(n >= 0 || errno == ECONNRESET || errno == EINTR);
        if (n > 0 && send(s, buf, (size_t)n, MSG_NOSIGNAL) < 0)
            CHECK(errno == EPIPE || errno == ECONNRESET || try_again());
    }
    CHECK_EQ(close(s), 0);
}

static void server(struct worker *w)
{
    socklen_t len;
    struct sockaddr_un name = name_of("serve", server_name, &len);
    unsigned long count = 0;
    while (!storm_over()) {
        int l = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (l < 0) {
            CHECK(try_again());
            continue;
        }
        doing(w, "listen");
        int err = bind(l, (struct sockaddr *)&name, len);
        CHECK(err == 0 || try_again());
        if (err == 0)
            CHECK_EQ(listen(l, (int)rng_below(&w->rng, 3)), 0);
        for (unsigned i = rng_below(&w->rng, 50); err == 0 && i > 0 && !storm_over(); i--) {
            doing(w, "accept");
            struct pollfd p = {l, POLLIN, 0};
            CHECK(poll(&p, 1, 20) >= 0 || errno == EINTR);
            int s = accept(l, NULL, NULL);
            step(w);
            if (s >= 0) {
                serve(w, s);
                count++;
            } else {
                CHECK(try_again());
            }
        }
        CHECK_EQ(close(l), 0); /* with connections that nobody has accepted, sometimes */
    }
    storm_count("connections", count);
}

static void client(struct worker *w)
{
    socklen_t len;
    struct sockaddr_un name = name_of("serve", server_name, &len);
    unsigned long answered = 0;
    while (!storm_over()) {
        char out[32], in[32];
        int fd = socket(AF_UNIX, SOCK_STREAM | (rng_below(&w->rng, 2) ? SOCK_NONBLOCK : 0), 0);
        if (fd < 0) {
            CHECK(try_again());
            continue;
        }
        doing(w, "connect");
        step(w);
        int err = connect(fd, (struct sockaddr *)&name, len);
        CHECK(err == 0 || errno == ECONNREFUSED || try_again());
        if (err == 0) {
            int n = snprintf(out, sizeof(out), "%lx", (unsigned long)rng_next(&w->rng));
            doing(w, "ask");
            if (send(fd, out, (size_t)n, MSG_NOSIGNAL) == n && rng_below(&w->rng, 8)) {
                wait_for(fd, POLLIN);
                ssize_t got = recv(fd, in, sizeof(in), 0);
                CHECK(got >= 0 || errno == ECONNRESET || try_again());
                if (got > 0) {
                    CHECK_EQ(got, n);
                    CHECK(memcmp(in, out, (size_t)n) == 0);
                    answered++;
                }
            }
        }
        CHECK_EQ(close(fd), 0);
    }
    storm_count("answers", answered);
}

/* ---- the end wakes who sleeps ---- */

static void *sleeper(void *arg)
{
    int fd = *(int *)arg;
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    CHECK(n == 0 || (n < 0 && errno == ECONNRESET));
    return NULL;
}

static void cutter(struct worker *w)
{
    unsigned long count = 0;
    while (!storm_over()) {
        int fd[2];
        pthread_t thread;
        pthread_attr_t attr;
        void *stack = stack_new(STACK_SIZE);
        make_pair(rng_below(&w->rng, 2) ? SOCK_STREAM : SOCK_SEQPACKET, fd);
        CHECK(pthread_attr_init(&attr) == 0);
        CHECK_EQ(pthread_attr_setstack(&attr, stack, STACK_SIZE), 0);
        CHECK_EQ(pthread_create(&thread, &attr, sleeper, &fd[1]), 0);
        pthread_attr_destroy(&attr);
        if (rng_below(&w->rng, 2))
            usleep(rng_below(&w->rng, 300));
        bool cut = rng_below(&w->rng, 2);
        if (cut)
            CHECK_EQ(close(fd[0]), 0);
        else
            CHECK_EQ(shutdown(fd[rng_below(&w->rng, 2)], SHUT_RDWR), 0);
        doing(w, "join who slept");
        CHECK_EQ(pthread_join(thread, NULL), 0);
        stack_free(stack, STACK_SIZE);
        if (!cut)
            CHECK_EQ(close(fd[0]), 0);
        CHECK_EQ(close(fd[1]), 0);
        step(w);
        count++;
    }
    storm_count("cut off", count);
}

/* ---- sockets through sockets ---- */

static int slot[SLOTS]; /* descriptors, -1: none; each changed by atomic exchange */

static int slot_take(struct worker *w)
{
    return __atomic_exchange_n(&slot[rng_below(&w->rng, SLOTS)], -1, __ATOMIC_ACQ_REL);
}

static void slot_put(struct worker *w, int fd)
{
    int old = __atomic_exchange_n(&slot[rng_below(&w->rng, SLOTS)], fd, __ATOMIC_ACQ_REL);
    if (old >= 0)
        CHECK_EQ(close(old), 0);
}

static bool send_file(int through, int fd)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } c = {0};
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof(c.buf)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof(int));
    ssize_t n = sendmsg(through, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    CHECK(n == 1 || errno == EPIPE || errno == ECONNREFUSED || errno == ENOTCONN ||
          errno == ECONNRESET || errno == ETOOMANYREFS || try_again());
    return n == 1;
}

static int recv_file(int through, int flags)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } c = {0};
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof(c.buf)};
    ssize_t n = recvmsg(through, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
    CHECK(n >= 0 || errno == ECONNRESET || errno == ENOTCONN || errno == EINVAL || try_again());
    int fd = -1;
    if (n > 0 && CMSG_FIRSTHDR(&m))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
    return fd;
}

static void carrier(struct worker *w)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    unsigned long sent = 0;
    while (!storm_over()) {
        int a = slot_take(w), b = slot_take(w), fd[2];
        switch (rng_below(&w->rng, 4)) {
        case 0:
            doing(w, "make a pair");
            make_pair(types[rng_below(&w->rng, 3)], fd);
            slot_put(w, fd[0]);
            slot_put(w, fd[1]);
            break;
        case 1:
        case 2:
            doing(w, "send a file");
            if (a >= 0 && b >= 0)
                sent += send_file(a, rng_below(&w->rng, 8) ? b : a);
            break;
        default:
            doing(w, "receive a file");
            fd[0] = a >= 0 ? recv_file(a, rng_below(&w->rng, 4) ? 0 : MSG_PEEK) : -1;
            if (fd[0] >= 0)
                slot_put(w, fd[0]);
        }
        if (a >= 0 && rng_below(&w->rng, 8))
            slot_put(w, a);
        else if (a >= 0)
            CHECK_EQ(close(a), 0);
        if (b >= 0)
            slot_put(w, b);
        step(w);
    }
    storm_count("files sent", sent);
}

/* The kernel's sockets and messages; Selkie only. */
static long objects(void)
{
    char line[256], name[64];
    long count = -1, n;
    FILE *file = fopen("/proc/slabinfo", "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "%63s %ld", name, &n) == 2 && strcmp(name, "sock") == 0)
            count = n;
    fclose(file);
    return count;
}

/* ---- the wave ---- */

void storm_sockets(uint64_t seed)
{
    static struct worker reader[STREAMS], writer[STREAMS], sender[SENDERS], receiver, serving,
        asking[CLIENTS], carrying[CARRIERS], cutting[CUTTERS];
    static struct stream stream[STREAMS];
    static unsigned wave;
    socklen_t len;
    gram_name = server_name = ++wave;
    struct sockaddr_un to = name_of("gram", gram_name, &len);
    int gram_fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(gram_fd >= 0 && bind(gram_fd, (struct sockaddr *)&to, len) == 0);
    __atomic_store_n(&gram_done, false, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < SLOTS; i++)
        slot[i] = -1;
    for (unsigned i = 0; i < STREAMS; i++) {
        /* All of them from the first wave on, which may do little on a slow machine: a later one's
         * use of them is no loss of memory. */
        memset(stream[i].out, 1, sizeof(stream[i].out));
        memset(stream[i].in, 1, sizeof(stream[i].in));
        make_pair(SOCK_STREAM, stream[i].fd);
        storm_start(&writer[i], "stream writer", i, seed, stream_writer, &stream[i]);
        storm_start(&reader[i], "reader of a stream", i, seed, stream_reader, &stream[i]);
    }
    storm_start(&receiver, "receiver", 0, seed, gram_receiver, &gram_fd);
    for (unsigned i = 0; i < SENDERS; i++)
        storm_start(&sender[i], "datagram sender", i, seed, gram_sender, NULL);
    storm_start(&serving, "server", 0, seed, server, NULL);
    for (unsigned i = 0; i < CLIENTS; i++)
        storm_start(&asking[i], "client", i, seed, client, NULL);
    for (unsigned i = 0; i < CARRIERS; i++)
        storm_start(&carrying[i], "carrier", i, seed, carrier, NULL);
    for (unsigned i = 0; i < CUTTERS; i++)
        storm_start(&cutting[i], "cutter", i, seed, cutter, NULL);

    for (unsigned i = 0; i < STREAMS; i++) {
        storm_join(&writer[i]);
        storm_join(&reader[i]);
        CHECK(close(stream[i].fd[0]) == 0 && close(stream[i].fd[1]) == 0);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        storm_join(&sender[i]);
    __atomic_store_n(&gram_done, true, __ATOMIC_RELEASE);
    storm_join(&receiver);
    storm_join(&serving);
    for (unsigned i = 0; i < CLIENTS; i++)
        storm_join(&asking[i]);
    for (unsigned i = 0; i < CARRIERS; i++)
        storm_join(&carrying[i]);
    for (unsigned i = 0; i < CUTTERS; i++)
        storm_join(&cutting[i]);
    for (unsigned i = 0; i < SLOTS; i++)
        if (slot[i] >= 0)
            CHECK_EQ(close(slot[i]), 0);
    CHECK_EQ(close(gram_fd), 0); /* and whoever nobody can reach goes with it */
    if (on_selkie())
        CHECK_EQ(objects(), 0);
}
