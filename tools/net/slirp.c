/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slirp.c - `--net user`: a router with address translation (libslirp) behind a socket that keeps
 * records. A record is a virtio network header (all zero: no offloads are agreed on) and a frame.
 *
 *   selkie-slirp SOCKET READY HEADER GUEST-ADDRESS [PUBLISH...]
 *
 * HEADER is the length of the header, 12 or 0; GUEST-ADDRESS may be empty.
 *
 * PUBLISH is ADDRESS:HOST:GUEST/tcp or .../udp. When everything listens, READY (a descriptor) is
 * closed; before that, what went wrong is written to it. The process ends when the other end of the
 * socket is closed. Addresses are those of QEMU's user network: 10.0.2.0/24, router and host
 * 10.0.2.2, names 10.0.2.3, DHCP from 10.0.2.15; fec0::/64.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define HEADER_MAX 12
#define FRAME_MAX 65536
#define BATCH 64 /* frames taken before slirp has a look at its sockets */
#define TIMERS 8
#define GUEST_WAIT_MS 1000

static int wire;
static size_t header; /* bytes */
static bool gone;     /* the other end is closed */
static struct timer {
    SlirpTimerCb call;
    void *argument;
    int64_t due; /* ms; -1: not armed */
} timers[TIMERS];
static struct pollfd *polls;
static size_t poll_count, poll_space;

/* ---- what libslirp asks for ---- */

static int64_t clock_ns(void *opaque)
{
    struct timespec now;

    (void)opaque;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A frame that is lost here costs seconds: libslirp's TCP sends it again by timers of 500 ms. So a
 * guest that is behind is waited for, up to a moment; it takes frames from the wire whatever it is
 * about to send, so the two never wait for each other. */
static ssize_t send_packet(const void *buf, size_t len, void *opaque)
{
    static const uint8_t zeros[HEADER_MAX];
    const struct iovec iov[] = {{(void *)(uintptr_t)zeros, header}, {(void *)(uintptr_t)buf, len}};
    struct pollfd room = {.fd = wire, .events = POLLOUT};

    (void)opaque;
    for (int tries = 0; tries < 2; tries++) {
        if (writev(wire, iov, 2) >= 0)
            break;
        if (errno != EAGAIN) {
            gone = true;
            break;
        }
        poll(&room, 1, GUEST_WAIT_MS);
    }
    return (ssize_t)len;
}

static void guest_error(const char *message, void *opaque)
{
    (void)message;
    (void)opaque;
}

static void *timer_new(SlirpTimerCb call, void *argument, void *opaque)
{
    (void)opaque;
    for (int i = 0; i < TIMERS; i++)
        if (!timers[i].call) {
            timers[i] = (struct timer){call, argument, -1};
            return &timers[i];
        }
    return NULL;
}

static void timer_free(void *timer, void *opaque)
{
    (void)opaque;
    *(struct timer *)timer = (struct timer){0};
}

static void timer_mod(void *timer, int64_t due, void *opaque)
{
    (void)opaque;
    ((struct timer *)timer)->due = due;
}

static void poll_fd(int fd, void *opaque)
{
    (void)fd;
    (void)opaque;
}

static void notify(void *opaque)
{
    (void)opaque;
}

static int add_poll(int fd, int events, void *opaque)
{
    (void)opaque;
    if (poll_count == poll_space) {
        poll_space = poll_space ? 2 * poll_space : 64;
        polls = realloc(polls, poll_space * sizeof(*polls));
        if (!polls)
            abort();
    }
    polls[poll_count].fd = fd;
    polls[poll_count].events =
        (short)((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                (events & SLIRP_POLL_PRI ? POLLPRI : 0));
    return (int)poll_count++;
}

static int get_events(int index, void *opaque)
{
    int r = polls[index].revents;

    (void)opaque;
    return (r & POLLIN ? SLIRP_POLL_IN : 0) | (r & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (r & POLLPRI ? SLIRP_POLL_PRI : 0) | (r & POLLERR ? SLIRP_POLL_ERR : 0) |
           (r & POLLHUP ? SLIRP_POLL_HUP : 0);
}

/* libslirp listens for published ports with a queue of one, and hosts drop what does not fit into
 * it: clients who come together would wait for seconds. The second call only makes it longer. */
static void lengthen_queues(Slirp *slirp)
{
    uint32_t wait = 0;

    poll_count = 0;
    slirp_pollfds_fill(slirp, &wait, add_poll, NULL);
    for (size_t i = 0; i < poll_count; i++) {
        int listening = 0;
        socklen_t len = sizeof(listening);

        if (!getsockopt(polls[i].fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) && listening)
            listen(polls[i].fd, SOMAXCONN);
    }
}

/* ---- what libslirp cannot take ---- */

enum { ETHER = 14, IP4 = 20, TCP = 20, PROTO_TCP = 6, SYN_ACK = 0x12, NOP = 1 };

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* The whole segment's checksum (RFC 9293, 3.1), with the field as it is. */
static uint16_t tcp_sum(const uint8_t *ip, const uint8_t *tcp, size_t len)
{
    uint32_t sum = PROTO_TCP + (uint32_t)len;

    for (int i = 12; i < IP4; i += 2)
        sum += get16(ip + i);
    for (size_t i = 0; i < len; i += 2)
        sum += get16(tcp + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Has the guest sent this SYN-ACK before? Remembers it. */
static bool sent_before(const uint8_t *ip, const uint8_t *tcp)
{
    static struct answer {
        uint8_t peer[4], ports_and_sequence[8];
    } answers[4096];
    struct answer now, *slot = &answers[(get16(tcp) * 31u + get16(tcp + 2)) % 4096];
    bool same;

    memcpy(now.peer, ip + 16, sizeof(now.peer));
    memcpy(now.ports_and_sequence, tcp, sizeof(now.ports_and_sequence));
    same = memcmp(&now, slot, sizeof(now)) == 0;
    *slot = now;
    return same;
}

/* At a SYN-ACK with a segment size, libslirp empties the connection's buffer: when a guest that was
 * slow to see the first one's acknowledgement repeats it, what has been read from the host's socket
 * meanwhile would be lost. So repeated ones lose their options. */
static void tame(uint8_t *frame, size_t len)
{
    uint8_t *ip = frame + ETHER, *tcp = ip + IP4;
    size_t size;

    if (len < ETHER + IP4 + TCP || get16(frame + 12) != 0x0800 || ip[0] != 0x45 ||
        ip[9] != PROTO_TCP || (tcp[13] & 0x17) != SYN_ACK)
        return;
    size = (tcp[12] >> 4) * 4u;
    if (size <= TCP || get16(ip + 2) != IP4 + size || len < ETHER + IP4 + size ||
        tcp_sum(ip, tcp, size) != 0 || !sent_before(ip, tcp))
        return;
    memset(tcp + TCP, NOP, size - TCP);
    tcp[16] = tcp[17] = 0;
    size = tcp_sum(ip, tcp, size);
    tcp[16] = (uint8_t)(size >> 8);
    tcp[17] = (uint8_t)size;
}

/* ---- the loop ---- */

static void take_frames(Slirp *slirp)
{
    static uint8_t record[HEADER_MAX + FRAME_MAX];

    for (int i = 0; i < BATCH; i++) {
        ssize_t n = recv(wire, record, sizeof(record), MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            gone = true;
        if (n <= 0)
            return;
        if ((size_t)n > header) {
            tame(record + header, (size_t)n - header);
            slirp_input(slirp, record + header, n - (int)header);
        }
    }
}

/* Until the next timer; `wait` at most. */
static uint32_t timers_wait(uint32_t wait)
{
    int64_t now = clock_ns(NULL) / 1000000;

    for (int i = 0; i < TIMERS; i++)
        if (timers[i].call && timers[i].due >= 0) {
            int64_t left = timers[i].due > now ? timers[i].due - now : 0;

            wait = left < wait ? (uint32_t)left : wait;
        }
    return wait;
}

static void timers_run(void)
{
    int64_t now = clock_ns(NULL) / 1000000;

    for (int i = 0; i < TIMERS; i++)
        if (timers[i].call && timers[i].due >= 0 && timers[i].due <= now) {
            timers[i].due = -1;
            timers[i].call(timers[i].argument);
        }
}

static void loop(Slirp *slirp)
{
    lengthen_queues(slirp);
    while (!gone) {
        uint32_t wait = 60000;
        int n;

        poll_count = 0;
        add_poll(wire, SLIRP_POLL_IN, NULL);
        slirp_pollfds_fill(slirp, &wait, add_poll, NULL);
        n = poll(polls, poll_count, (int)timers_wait(wait));
        slirp_pollfds_poll(slirp, n < 0, get_events, NULL);
        timers_run();
        if (n > 0 && polls[0].revents)
            take_frames(slirp);
    }
}

/* ---- set-up ---- */

static struct in_addr addr4(const char *text)
{
    struct in_addr a = {0};

    inet_aton(text, &a);
    return a;
}

static Slirp *start(void)
{
    static const SlirpCb calls = {
        .send_packet = send_packet,
        .guest_error = guest_error,
        .clock_get_ns = clock_ns,
        .timer_new = timer_new,
        .timer_free = timer_free,
        .timer_mod = timer_mod,
        .register_poll_fd = poll_fd,
        .unregister_poll_fd = poll_fd,
        .notify = notify,
    };
    SlirpConfig c = {
        .version = 1,
        .in_enabled = true,
        .vnetwork = addr4("10.0.2.0"),
        .vnetmask = addr4("255.255.255.0"),
        .vhost = addr4("10.0.2.2"),
        .vdhcp_start = addr4("10.0.2.15"),
        .vnameserver = addr4("10.0.2.3"),
        .in6_enabled = true,
        .vprefix_len = 64,
    };

    inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &c.vhost6);
    inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
    return slirp_new(&c, &calls, NULL);
}

static void publish(Slirp *slirp, const char *what, struct in_addr guest, int ready)
{
    char address[64], kind[8];
    int host, port;

    if (sscanf(what, "%63[0-9.]:%d:%d/%7s", address, &host, &port, kind) != 4) {
        dprintf(ready, "%s: not ADDRESS:HOST:GUEST/KIND", what);
        exit(1);
    }
    if (slirp_add_hostfwd(slirp, strcmp(kind, "udp") == 0, addr4(address), host, guest, port) < 0) {
        dprintf(ready, "%s:%d: %s", address, host, strerror(errno));
        exit(1);
    }
}

/* A connection is a descriptor. */
static void raise_limit(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int main(int argc, char **argv)
{
    struct in_addr guest = {0};
    Slirp *slirp;
    int ready, size = 4 << 20;

    if (argc < 5)
        return 2;
    wire = atoi(argv[1]);
    ready = atoi(argv[2]);
    header = atoi(argv[3]) ? HEADER_MAX : 0;
    if (*argv[4])
        guest = addr4(argv[4]);
    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    fcntl(wire, F_SETFL, fcntl(wire, F_GETFL) | O_NONBLOCK);
    setsockopt(wire, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    slirp = start();
    if (!slirp) {
        dprintf(ready, "libslirp does not start");
        return 1;
    }
    for (int i = 5; i < argc; i++)
        publish(slirp, argv[i], guest, ready);
    close(ready);
    loop(slirp);
    return 0;
}
