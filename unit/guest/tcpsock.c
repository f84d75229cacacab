/* SPDX-License-Identifier: BSD-3-Clause */
/* tcpsock.c - TCP sockets over the loopback, as tcp(7), socket(7) and the calls' manual pages say.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static struct sockaddr_in local(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0 && len == sizeof a);
    return a;
}

static int make_listener(int backlog)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, backlog) == 0);
    return fd;
}

static int connect_to(const struct sockaddr_in *a)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof *a) == 0);
    return fd;
}

static void pair(int out[2])
{
    int l = make_listener(5);
    struct sockaddr_in a = local(l);
    out[0] = connect_to(&a);
    out[1] = accept(l, NULL, NULL);
    REQUIRE(out[1] >= 0);
    close(l);
}

#define SOON 20000 /* ms: what must come does, on however slow a machine */

static int events(int fd, int wanted, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = (short)wanted};
    REQUIRE(poll(&p, 1, wait_ms) >= 0);
    return p.revents;
}

/* ---- opening ---- */

static void opens(void)
{
    int l = make_listener(5);
    struct sockaddr_in a = local(l), peer, other;
    socklen_t len = sizeof peer;
    REQUIRE(a.sin_port != 0);
    REQUIRE(events(l, POLLIN, 0) == 0);
    int c = connect_to(&a);
    REQUIRE(events(l, POLLIN, SOON) == POLLIN);
    int s = accept(l, (struct sockaddr *)&peer, &len);
    REQUIRE(s >= 0 && len == sizeof peer && peer.sin_family == AF_INET);
    other = local(c);
    REQUIRE(peer.sin_port == other.sin_port && peer.sin_addr.s_addr == other.sin_addr.s_addr);
    len = sizeof peer;
    REQUIRE(getpeername(c, (struct sockaddr *)&peer, &len) == 0 && peer.sin_port == a.sin_port);
    REQUIRE(connect(c, (struct sockaddr *)&a, sizeof a) == -1 && errno == EISCONN);
    REQUIRE(accept(c, NULL, NULL) == -1 && errno == EINVAL);
    int on = 0;
    len = sizeof on;
    REQUIRE(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on == 1);
    close(s), close(c), close(l);
    /* Nobody listens any more. */
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(connect(fd, (struct sockaddr *)&a, sizeof a) == -1 && errno == ECONNREFUSED);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int err = connect(fd, (struct sockaddr *)&a, sizeof a) == 0 ? 0 : errno;
    REQUIRE(err == EINPROGRESS || err == ECONNREFUSED);
    if (err == EINPROGRESS) {
        REQUIRE(events(fd, POLLOUT, SOON) & POLLOUT);
        int error = 0;
        len = sizeof error;
        REQUIRE(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == ECONNREFUSED);
    }
    close(fd);
}

static void fresh(void)
{
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    REQUIRE(recv(fd, &byte, 1, 0) == -1 && errno == ENOTCONN);
    REQUIRE(send(fd, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    REQUIRE(getpeername(fd, (struct sockaddr *)&a, &len) == -1 && errno == ENOTCONN);
    REQUIRE(shutdown(fd, SHUT_WR) == -1 && errno == ENOTCONN);
    REQUIRE(events(fd, POLLIN | POLLOUT, 0) == (POLLOUT | POLLHUP));
    REQUIRE(listen(fd, 1) == 0); /* takes a port */
    REQUIRE(local(fd).sin_port != 0);
    close(fd);
    REQUIRE(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP) == -1 && errno == EPROTONOSUPPORT);
}

/* ---- data ---- */

static void talks(void)
{
    int p[2];
    char buffer[64];
    pair(p);
    REQUIRE(recv(p[0], buffer, 10, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    REQUIRE(send(p[0], "hello", 5, 0) == 5);
    REQUIRE(events(p[1], POLLIN | POLLOUT, SOON) == (POLLIN | POLLOUT) ||
            events(p[1], POLLIN, SOON) == POLLIN);
    int ready = 0;
    REQUIRE(ioctl(p[1], FIONREAD, &ready) == 0 && ready == 5);
    REQUIRE(recv(p[1], buffer, 3, MSG_PEEK) == 3 && memcmp(buffer, "hel", 3) == 0);
    REQUIRE(recv(p[1], buffer, 3, 0) == 3 && memcmp(buffer, "hel", 3) == 0);
    REQUIRE(recv(p[1], buffer, 1, MSG_TRUNC) == 1);
    REQUIRE(send(p[0], "+more", 5, MSG_MORE) == 5);
    REQUIRE(send(p[0], "!", 1, 0) == 1);
    REQUIRE(recv(p[1], buffer, 7, MSG_WAITALL) == 7 && memcmp(buffer, "o+more!", 7) == 0);
    /* Half closed: the other half goes on. */
    REQUIRE(shutdown(p[0], SHUT_WR) == 0);
    REQUIRE(events(p[1], POLLIN | POLLRDHUP, SOON) == (POLLIN | POLLRDHUP));
    REQUIRE(recv(p[1], buffer, 1, 0) == 0);
    REQUIRE(send(p[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    REQUIRE(send(p[1], "back", 4, 0) == 4);
    REQUIRE(recv(p[0], buffer, 4, MSG_WAITALL) == 4 && memcmp(buffer, "back", 4) == 0);
    close(p[1]);
    REQUIRE(recv(p[0], buffer, 1, 0) == 0);
    close(p[0]);
}

/* Small writes that wait for more become one stream, whatever their sizes; one whose memory cannot
 * be read adds nothing to it. */
static void corked(void)
{
    static char data[6000], got[sizeof data];
    const size_t sizes[] = {1, 100, 900, 1024, 1025, 1460, 2000, 2048, 4000};
    const size_t count = sizeof sizes / sizeof *sizes;
    int p[2], on = 1, off = 0;
    char *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(hole != MAP_FAILED && munmap(hole + 4096, 4096) == 0);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7 + i / 251);
    pair(p);
    for (size_t a = 0; a < count; a++)
        for (size_t b = 0; b < count; b++) {
            size_t all =
                sizes[a] + sizes[b] + 3 > sizeof data ? sizeof data : sizes[a] + sizes[b] + 3;
            size_t second = all - sizes[a] - 3;
            REQUIRE(setsockopt(p[0], IPPROTO_TCP, TCP_CORK, &on, sizeof on) == 0);
            REQUIRE(send(p[0], data, sizes[a], 0) == (ssize_t)sizes[a]);
            errno = 0;
            REQUIRE(send(p[0], hole + 4090, 20, 0) == -1 && errno == EFAULT);
            struct iovec parts[2] = {{data + sizes[a], second / 2},
                                     {data + sizes[a] + second / 2, second - second / 2}};
            REQUIRE(writev(p[0], parts, 2) == (ssize_t)second);
            REQUIRE(send(p[0], data + sizes[a] + second, 3, MSG_MORE) == 3);
            REQUIRE(setsockopt(p[0], IPPROTO_TCP, TCP_CORK, &off, sizeof off) == 0);
            memset(got, 0, sizeof got);
            REQUIRE(recv(p[1], got, all, MSG_WAITALL) == (ssize_t)all);
            REQUIRE(memcmp(got, data, all) == 0);
        }
    REQUIRE(recv(p[1], got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    close(p[0]), close(p[1]);
    munmap(hole, 4096);
}

static void resets(void)
{
    int p[2];
    char byte;
    pair(p);
    /* Closing with unread data resets. */
    REQUIRE(send(p[0], "unread", 6, 0) == 6);
    REQUIRE(events(p[1], POLLIN, SOON) == POLLIN);
    close(p[1]);
    REQUIRE(events(p[0], POLLIN, SOON) & POLLERR);
    REQUIRE(recv(p[0], &byte, 1, 0) == -1 && errno == ECONNRESET);
    REQUIRE(recv(p[0], &byte, 1, 0) == 0);
    REQUIRE(send(p[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    close(p[0]);
    /* So does SO_LINGER without time. */
    struct linger linger = {1, 0};
    pair(p);
    REQUIRE(setsockopt(p[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    close(p[0]);
    REQUIRE(recv(p[1], &byte, 1, 0) == -1 && errno == ECONNRESET);
    close(p[1]);
    /* What came before is told first; that it was cut off is not forgotten over it. */
    char some[8];
    pair(p);
    REQUIRE(send(p[0], "begin", 5, 0) == 5);
    REQUIRE(events(p[1], POLLIN, SOON) == POLLIN);
    REQUIRE(setsockopt(p[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    close(p[0]);
    REQUIRE(events(p[1], POLLERR, SOON) & POLLERR);
    REQUIRE(recv(p[1], some, sizeof some, MSG_WAITALL) == 5);
    REQUIRE(recv(p[1], some, sizeof some, 0) == -1 && errno == ECONNRESET);
    close(p[1]);
}

#define STREAM (8u << 20)
static unsigned char pattern(unsigned at)
{
    return (unsigned char)(at * 2654435761u >> 24 ^ at);
}

static void *writer(void *arg)
{
    static unsigned char data[STREAM];
    int fd = *(int *)arg;
    unsigned done = 0, step = 1;
    for (unsigned i = 0; i < STREAM; i++)
        data[i] = pattern(i);
    while (done < STREAM) {
        unsigned n = STREAM - done < step ? STREAM - done : step;
        ssize_t got = send(fd, data + done, n, 0);
        REQUIRE(got > 0);
        done += (unsigned)got;
        step = step * 5 % 200003 + 1;
    }
    REQUIRE(shutdown(fd, SHUT_WR) == 0);
    return NULL;
}

static void streams(void)
{
    static unsigned char buffer[70000];
    int p[2];
    unsigned done = 0;
    pthread_t thread;
    pair(p);
    REQUIRE(pthread_create(&thread, NULL, writer, &p[0]) == 0);
    for (;;) {
        ssize_t n = recv(p[1], buffer, 1 + done * 7 % sizeof buffer, 0);
        REQUIRE(n >= 0);
        if (n == 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            REQUIRE(buffer[i] == pattern(done + (unsigned)i));
        done += (unsigned)n;
    }
    REQUIRE(done == STREAM);
    pthread_join(thread, NULL);
    close(p[0]), close(p[1]);
}

/* A reader that does not read: the writer stops, and goes on when it does. */
static void stops(void)
{
    static char data[1 << 16];
    int p[2];
    size_t sent = 0, got = 0;
    ssize_t n;
    pair(p);
    while ((n = send(p[0], data, sizeof data, MSG_DONTWAIT)) > 0 || events(p[0], POLLOUT, 300))
        sent += n > 0 ? (size_t)n : 0;
    REQUIRE(n == -1 && errno == EAGAIN && sent > 100000);
    int waiting = 0;
    REQUIRE(ioctl(p[0], TIOCOUTQ, &waiting) == 0 && waiting > 0);
    while (got < sent) {
        n = recv(p[1], data, sizeof data, 0);
        REQUIRE(n > 0);
        got += (size_t)n;
    }
    REQUIRE(events(p[0], POLLOUT, SOON) == POLLOUT);
    close(p[0]), close(p[1]);
}

/* ---- many ---- */

static void *client(void *arg)
{
    const struct sockaddr_in *a = arg;
    for (unsigned i = 0; i < 50; i++) {
        char byte = (char)i;
        int fd = connect_to(a);
        REQUIRE(send(fd, &byte, 1, 0) == 1);
        REQUIRE(recv(fd, &byte, 1, 0) == 1 && byte == (char)(i + 1));
        close(fd);
    }
    return NULL;
}

static void many(void)
{
    int l = make_listener(64);
    struct sockaddr_in a = local(l);
    pthread_t thread[4];
    for (unsigned i = 0; i < 4; i++)
        REQUIRE(pthread_create(&thread[i], NULL, client, &a) == 0);
    for (unsigned i = 0; i < 200; i++) {
        char byte;
        int fd = accept(l, NULL, NULL);
        REQUIRE(fd >= 0 && recv(fd, &byte, 1, 0) == 1);
        byte++;
        REQUIRE(send(fd, &byte, 1, 0) == 1);
        close(fd);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    close(l);
}

/* ---- urgent data, options ---- */

static volatile sig_atomic_t urgent_signals;
static void on_urgent(int signal)
{
    urgent_signals += signal == SIGURG;
}

static void urgent(void)
{
    int p[2], mark;
    char buffer[16];
    struct sigaction told = {.sa_handler = on_urgent, .sa_flags = SA_RESTART};
    pair(p);
    REQUIRE(sigaction(SIGURG, &told, NULL) == 0);
    urgent_signals = 0;
    REQUIRE(send(p[1], "U", 1, MSG_OOB) == 1); /* nobody owns this one */
    REQUIRE(events(p[0], POLLPRI, SOON) == POLLPRI && urgent_signals == 0);
    REQUIRE(fcntl(p[1], F_SETOWN, getpid()) == 0);
    REQUIRE(recv(p[1], buffer, 1, MSG_OOB) == -1 && errno == EINVAL);
    REQUIRE(send(p[0], "ab", 2, 0) == 2 && send(p[0], "cU", 2, MSG_OOB) == 2);
    REQUIRE(send(p[0], "de", 2, 0) == 2);
    for (int i = 0; i < SOON && urgent_signals == 0; i++)
        usleep(1000);
    REQUIRE(urgent_signals == 1);
    REQUIRE(events(p[1], POLLPRI, SOON) == POLLPRI);
    REQUIRE(recv(p[1], buffer, 1, MSG_OOB) == 1 && buffer[0] == 'U');
    usleep(100000);
    REQUIRE(recv(p[1], buffer, 16, 0) == 3 && memcmp(buffer, "abc", 3) == 0);
    REQUIRE(ioctl(p[1], SIOCATMARK, &mark) == 0 && mark == 1);
    REQUIRE(recv(p[1], buffer, 16, 0) == 2 && memcmp(buffer, "de", 2) == 0);
    REQUIRE(ioctl(p[1], SIOCATMARK, &mark) == 0 && mark == 0);
    close(p[0]), close(p[1]);
}

static void number(int fd, int name, int value)
{
    int got = -1;
    socklen_t len = sizeof got;
    REQUIRE(setsockopt(fd, IPPROTO_TCP, name, &value, sizeof value) == 0);
    REQUIRE(getsockopt(fd, IPPROTO_TCP, name, &got, &len) == 0 && len == 4 && got == value);
}

static int bound(const struct sockaddr_in *a, int reuse, int *result)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse) == 0);
    *result = bind(fd, (const struct sockaddr *)a, sizeof *a) == 0 ? 0 : errno;
    return fd;
}

/* A server that starts again while connections of the last one live (iperf3, for every test). */
static void restarts(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int err, l = bound(&a, 1, &err);
    REQUIRE(err == 0 && listen(l, 5) == 0);
    a = local(l);
    int c = connect_to(&a), s = accept(l, NULL, NULL);
    REQUIRE(s >= 0);
    int other = bound(&a, 1, &err); /* beside one that listens: no */
    REQUIRE(err == EADDRINUSE);
    close(other), close(l);
    other = bound(&a, 0, &err); /* without the option: no */
    REQUIRE(err == EADDRINUSE);
    close(other);
    l = bound(&a, 1, &err);
    REQUIRE(err == 0);
    other = bound(&a, 1, &err); /* two may be bound, one may listen */
    REQUIRE(err == 0 && listen(l, 5) == 0);
    REQUIRE(listen(other, 5) == -1 && errno == EADDRINUSE);
    int c2 = connect_to(&a), s2 = accept(l, NULL, NULL);
    REQUIRE(s2 >= 0 && send(c, "a", 1, 0) == 1 && send(c2, "b", 1, 0) == 1);
    char byte[2];
    REQUIRE(recv(s, byte, 2, 0) == 1 && byte[0] == 'a' && recv(s2, byte, 2, 0) == 1 &&
            byte[0] == 'b');
    close(c), close(s), close(c2), close(s2), close(other), close(l);
}

static void options(void)
{
    int p[2], value = 0;
    char name[16];
    struct tcp_info info;
    socklen_t len = sizeof name;
    pair(p);
    number(p[0], TCP_NODELAY, 1);
    number(p[0], TCP_CORK, 1);
    number(p[0], TCP_CORK, 0);
    number(p[0], TCP_KEEPIDLE, 10);
    number(p[0], TCP_KEEPINTVL, 5);
    number(p[0], TCP_KEEPCNT, 3);
    number(p[0], TCP_SYNCNT, 4);
    number(p[0], TCP_USER_TIMEOUT, 5000);
    REQUIRE(setsockopt(p[0], IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof value) == -1 &&
            errno == EINVAL);
    REQUIRE(setsockopt(p[0], IPPROTO_TCP, TCP_CONGESTION, "reno", 4) == 0);
    REQUIRE(getsockopt(p[0], IPPROTO_TCP, TCP_CONGESTION, name, &len) == 0 &&
            strcmp(name, "reno") == 0);
    REQUIRE(setsockopt(p[0], IPPROTO_TCP, TCP_CONGESTION, "nosuch", 6) == -1 && errno == ENOENT);
    len = sizeof info;
    REQUIRE(getsockopt(p[0], IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
    REQUIRE(info.tcpi_state == TCP_ESTABLISHED && info.tcpi_snd_mss > 0 && info.tcpi_snd_cwnd > 0);
    uint32_t words[64] = {
        0}; /* Linux has more of it than <netinet/tcp.h>: tcpi_segs_out, snd_wnd */
    len = sizeof words;
    REQUIRE(getsockopt(p[0], IPPROTO_TCP, TCP_INFO, words, &len) == 0);
    REQUIRE(len >= 232 && words[34] >= 2 && words[57] > 0);
    value = 1;
    REQUIRE(setsockopt(p[0], SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value) == 0);
    close(p[0]), close(p[1]);
}

/* tcp(7), TCP_SAVE_SYN: the headers of the SYN that a connection came with, once. */
static void saved_syn(void)
{
    int l = make_listener(5), other = make_listener(5), value = 3;
    struct sockaddr_in to = local(l), from;
    uint8_t syn[256];
    REQUIRE(setsockopt(l, IPPROTO_TCP, TCP_SAVE_SYN, &value, sizeof value) == -1 &&
            errno == EINVAL);
    number(l, TCP_SAVE_SYN, 1);
    REQUIRE(setsockopt(l, IPPROTO_TCP, TCP_SAVED_SYN, &value, sizeof value) == -1 &&
            errno == ENOPROTOOPT);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    from = local(fd);
    int peer = accept(l, NULL, NULL);
    socklen_t len = 39;
    REQUIRE(getsockopt(peer, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len) == -1 && errno == EINVAL);
    len = sizeof syn;
    REQUIRE(getsockopt(peer, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len) == 0 && len >= 40);
    uint8_t *tcp = syn + (syn[0] & 15) * 4;
    REQUIRE(syn[0] >> 4 == 4 && syn[9] == IPPROTO_TCP && memcmp(syn + 12, &from.sin_addr, 4) == 0);
    REQUIRE(memcmp(tcp, &from.sin_port, 2) == 0 && memcmp(tcp + 2, &to.sin_port, 2) == 0);
    REQUIRE(tcp[13] == 2 && tcp + (tcp[12] >> 4) * 4 == syn + len); /* SYN, no data */
    len = sizeof syn;
    REQUIRE(getsockopt(peer, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len) == 0 && len == 0);
    close(fd), close(peer), close(l);
    to = local(other);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    peer = accept(other, NULL, NULL);
    len = sizeof syn;
    REQUIRE(getsockopt(peer, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len) == 0 && len == 0);
    close(fd), close(peer), close(other);
}

/* tcp(7), TCP_FASTOPEN_KEY: one key, or one and the one before it. */
static void fast_keys(void)
{
    int l = make_listener(5);
    uint8_t keys[40], got[40];
    for (unsigned i = 0; i < sizeof keys; i++)
        keys[i] = (uint8_t)(i + 1);
    for (socklen_t size = 0; size <= sizeof keys; size += 8) {
        socklen_t len = sizeof got;
        if (size != 16 && size != 32) {
            REQUIRE(setsockopt(l, IPPROTO_TCP, TCP_FASTOPEN_KEY, keys, size) == -1 &&
                    errno == EINVAL);
            continue;
        }
        REQUIRE(setsockopt(l, IPPROTO_TCP, TCP_FASTOPEN_KEY, keys, size) == 0);
        REQUIRE(getsockopt(l, IPPROTO_TCP, TCP_FASTOPEN_KEY, got, &len) == 0 && len == size);
        REQUIRE(memcmp(keys, got, size) == 0);
    }
    close(l);
}

/* RFC 6191: the same addresses and ports again, a second later, although it waits in TIME-WAIT. */
static void comes_again(void)
{
    int l = make_listener(5), one = 1, fd = -1, peer, err = 0;
    struct sockaddr_in to = local(l), from = {.sin_family = AF_INET};
    char byte = 0;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int round = 0; round < 3; round++) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        REQUIRE(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
        REQUIRE(bind(fd, (struct sockaddr *)&from, sizeof from) == 0);
        from = local(fd);
        err = connect(fd, (struct sockaddr *)&to, sizeof to) == 0 ? 0 : errno;
        if (round == 1) { /* at once: not yet, unless this machine is slow */
            REQUIRE(err == EADDRNOTAVAIL || err == 0);
            if (err) {
                usleep(1300000);
                close(fd);
                continue;
            }
        }
        REQUIRE(err == 0);
        peer = accept(l, NULL, NULL);
        REQUIRE(peer >= 0 && write(fd, "x", 1) == 1 && read(peer, &byte, 1) == 1 && byte == 'x');
        REQUIRE(shutdown(fd, SHUT_WR) == 0 && read(peer, &byte, 1) == 0); /* the client waits */
        REQUIRE(close(peer) == 0 && read(fd, &byte, 1) == 0 && close(fd) == 0);
        if (round == 1)
            usleep(1300000);
    }
    close(l);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    alarm(60);
    opens();
    fresh();
    talks();
    corked();
    resets();
    streams();
    stops();
    many();
    urgent();
    restarts();
    options();
    saved_syn();
    fast_keys();
    comes_again();
    puts("PASS tcpsock");
    return 0;
}
