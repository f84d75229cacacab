/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netswitch.c - `--net switch:PATH`: a learning switch on a Unix socket, for several Selkies. Each
 * port is a connection that keeps records; a record is a virtio network header (12 bytes) and a
 * frame, and goes on as it is: offloads work from one kernel to the other. Hosted machines soon
 * exchange frames without it (netshare.c); what it sees of them is what is for all, and the first.
 *
 * Whoever finds no switch at the path starts one, as a process of its own that ends a second after
 * the last port has gone. A lock file beside the path sees to it that two do not do so at a time.
 *
 * Nothing is trusted: a port can at worst learn addresses that are not its own. A port that is slow
 * gets QUEUE_MAX frames kept, then loses some.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../hosted/receive.h"
#include "child.h"
#include "net.h"
#include "netframe.h"
#include "netshare.h"

#define PORTS_MAX 64
#define RECORD_MAX (NET_HEADER + NET_FRAME_MAX)
#define TABLE 4096 /* learned addresses, by hash; a collision forgets the older one */
#define BATCH 64
#define QUEUE_MAX 256
#define LONELY_MS 1000
#define SOCKET_BUFFER (4 << 20)

struct record {
    struct record *next;
    size_t len;
    unsigned char data[];
};
static struct port {
    int fd; /* -1: free */
    struct record *first, **last;
    unsigned queued;
} ports[PORTS_MAX];
static struct learned {
    unsigned char mac[6];
    short port;              /* -1: nobody */
    unsigned long long told; /* ports that send to it by themselves */
} table[TABLE];

/* ---- the switch ---- */

static struct learned *slot_of(const unsigned char *mac)
{
    return &table[hash_add(HASH_START, mac, 6) % TABLE];
}

static void port_close(int i)
{
    share_bye(i);
    close(ports[i].fd);
    ports[i].fd = -1;
    while (ports[i].first) {
        struct record *r = ports[i].first;

        ports[i].first = r->next;
        free(r);
    }
    ports[i].queued = 0;
    for (int slot = 0; slot < TABLE; slot++)
        if (table[slot].port == i) {
            table[slot].port = -1;
            table[slot].told = 0; /* share_bye has */
        } else {
            table[slot].told &= ~(1ull << i);
        }
}

static void port_queue(struct port *port, const unsigned char *data, size_t len)
{
    struct record *r;

    if (port->queued == QUEUE_MAX)
        return;
    r = must_alloc(malloc(sizeof(*r) + len));
    r->next = NULL;
    r->len = len;
    memcpy(r->data, data, len);
    if (!port->first)
        port->last = &port->first;
    *port->last = r;
    port->last = &r->next;
    port->queued++;
}

static void port_send(int i, const unsigned char *data, size_t len)
{
    struct port *port = &ports[i];

    if (port->first ||
        (send(port->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN))
        port_queue(port, data, len);
}

static void port_flush(struct port *port)
{
    struct record *r;

    while ((r = port->first)) {
        if (send(port->fd, r->data, r->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN)
            return;
        port->first = r->next;
        port->queued--;
        free(r);
    }
}

/* Who sends from this address is at this port. */
static struct learned *learn(const unsigned char *mac, int port)
{
    struct learned *l = slot_of(mac);

    if (l->port != port || memcmp(l->mac, mac, 6) != 0)
        share_forget(l->mac, &l->told);
    memcpy(l->mac, mac, 6);
    l->port = (short)port;
    return l;
}

static void forward(int from, const unsigned char *record, size_t len)
{
    const unsigned char *to = record + NET_HEADER, *source = to + 6;
    struct learned *l = slot_of(to), *mine = source[0] & 1 ? NULL : learn(source, from);

    if (!(to[0] & 1) && l->port >= 0 && memcmp(l->mac, to, 6) == 0) {
        if (l->port == from)
            return;
        /* Before the frame: an answer to it may then go the short way. */
        if (mine)
            share_introduce(&(struct share_end){from, mine->mac, &mine->told},
                            &(struct share_end){l->port, l->mac, &l->told});
        port_send(l->port, record, len);
        return;
    }
    for (int i = 0; i < PORTS_MAX; i++)
        if (i != from && ports[i].fd >= 0)
            port_send(i, record, len);
}

static void port_take(int i)
{
    static unsigned char record[RECORD_MAX];

    for (int n = 0; n < BATCH; n++) {
        int with;
        ssize_t len = receive_with(ports[i].fd, record, sizeof(record), &with);

        if (len < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (len <= 0) {
            port_close(i);
            return;
        }
        if (len < NET_HEADER + 14) {
            share_hello(i, record, (size_t)len, with);
            continue;
        }
        if (with >= 0)
            close(with);
        forward(i, record, (size_t)len);
    }
}

void socket_enlarge(int fd)
{
    int size = SOCKET_BUFFER;

    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/* The next number each time: what one that has gone left in shared memory is still being read. */
static void port_accept(int listener)
{
    static int last = -1;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    for (int n = 1; fd >= 0 && n <= PORTS_MAX; n++) {
        int i = (last + n) % PORTS_MAX;

        if (ports[i].fd < 0) {
            ports[i].fd = fd;
            last = i;
            socket_enlarge(fd);
            return;
        }
    }
    if (fd >= 0)
        close(fd); /* full */
}

/* Until nobody has been there for a while. */
static void serve(int listener)
{
    for (int i = 0; i < PORTS_MAX; i++)
        ports[i].fd = -1;
    for (int i = 0; i < TABLE; i++)
        table[i].port = -1;
    for (;;) {
        struct pollfd fds[PORTS_MAX + 1];
        int used = 0;

        for (int i = 0; i < PORTS_MAX; i++) {
            fds[i] = (struct pollfd){.fd = ports[i].fd,
                                     .events = (short)(POLLIN | (ports[i].first ? POLLOUT : 0))};
            used += ports[i].fd >= 0;
        }
        fds[PORTS_MAX] = (struct pollfd){.fd = listener, .events = POLLIN};
        if (poll(fds, PORTS_MAX + 1, used ? -1 : LONELY_MS) == 0)
            return;
        for (int i = 0; i < PORTS_MAX; i++) {
            if (fds[i].fd >= 0 && (fds[i].revents & POLLOUT))
                port_flush(&ports[i]);
            if (fds[i].fd >= 0 && (fds[i].revents & ~POLLOUT))
                port_take(i);
        }
        if (fds[PORTS_MAX].revents)
            port_accept(listener);
    }
}

/* ---- its process ---- */

static int lock_take(const char *path)
{
    const char *name = text("%s.lock", path);

    for (;;) {
        int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct stat ours, now;

        if (fd < 0 || flock(fd, LOCK_EX) < 0 || fstat(fd, &ours) < 0)
            fail(EXIT_TOOL, "--net switch:%s: %s", path, strerror(errno));
        /* A switch that ends takes the file away. */
        if (stat(name, &now) == 0 && now.st_ino == ours.st_ino)
            return fd;
        close(fd);
    }
}

/* Holding nothing of ours open. */
static _Noreturn void serve_alone(int listener, const char *path)
{
    int lock;

    if (listener != 3)
        dup2(listener, 3);
    closefrom(4);
    for (;;) {
        serve(3);
        /* Somebody may have come while nobody looked. */
        lock = lock_take(path);
        if (poll(&(struct pollfd){.fd = 3, .events = POLLIN}, 1, 0) == 0)
            break;
        close(lock);
    }
    unlink(path);
    unlink(text("%s.lock", path));
    _exit(0);
}

static void address_of(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(out->sun_path))
        fail(EXIT_TOOL, "--net switch:%s: the path is too long for a socket", path);
    memcpy(out->sun_path, path, strlen(path) + 1);
}

static int connect_to(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0) {
        socket_enlarge(fd);
        return fd;
    }
    close(fd);
    return -1;
}

static void start(const struct sockaddr_un *address)
{
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    unlink(address->sun_path); /* nobody listens to it */
    if (listener < 0 || bind(listener, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
        listen(listener, 16) < 0)
        fail(EXIT_TOOL, "--net switch:%s: %s", address->sun_path, strerror(errno));
    if (child_detach())
        serve_alone(listener, address->sun_path);
    close(listener);
}

int switch_join(const char *path)
{
    struct sockaddr_un address;
    int lock, fd;

    address_of(path, &address);
    lock = lock_take(path);
    fd = connect_to(&address);
    if (fd < 0) {
        start(&address);
        fd = connect_to(&address);
    }
    if (fd < 0)
        fail(EXIT_TOOL, "--net switch:%s: %s", path, strerror(errno));
    close(lock);
    return fd;
}

/* ---- for QEMU ---- */

static bool write_all(int fd, const void *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data = (const char *)data + n;
        len -= (size_t)n;
    }
    return true;
}

struct stream {
    int fd;
    bool gone;
};

/* A frame behind its length, big-endian. */
static void stream_put(void *arg, const uint8_t *frame, size_t len)
{
    struct stream *stream = arg;
    static unsigned char out[4 + NET_FRAME_MAX];

    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(len >> (24 - 8 * i));
    memcpy(out + 4, frame, len);
    stream->gone |= !write_all(stream->fd, out, 4 + len);
}

/* All whole frames of what has come; what is left of it. */
static size_t stream_split(int port, unsigned char *data, size_t len)
{
    static unsigned char record[RECORD_MAX];
    size_t at = 0;

    while (len - at >= 4) {
        size_t n = (size_t)data[at] << 24 | (size_t)data[at + 1] << 16 | (size_t)data[at + 2] << 8 |
                   data[at + 3];

        if (n > NET_FRAME_MAX)
            return SIZE_MAX;
        if (len - at - 4 < n)
            break;
        memcpy(record + NET_HEADER, data + at + 4, n);
        if (send(port, record, NET_HEADER + n, MSG_NOSIGNAL) < 0 && errno != EINTR)
            return SIZE_MAX;
        at += 4 + n;
    }
    memmove(data, data + at, len - at);
    return len - at;
}

static _Noreturn void carry(int port, struct stream stream)
{
    static unsigned char in[4 + NET_FRAME_MAX], record[RECORD_MAX];
    struct pollfd fds[] = {{.fd = port, .events = POLLIN}, {.fd = stream.fd, .events = POLLIN}};
    size_t have = 0;
    ssize_t n;

    while (!stream.gone) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents) {
            n = recv(port, record, sizeof(record), MSG_DONTWAIT);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                break;
            if (n > 0)
                net_frames(record, (size_t)n, stream_put, &stream);
        }
        if (fds[1].revents) {
            n = recv(stream.fd, in + have, sizeof(in) - have, MSG_DONTWAIT);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                break;
            if (n > 0)
                have = stream_split(port, in, have + (size_t)n);
            if (have == SIZE_MAX)
                break;
        }
    }
    _exit(0);
}

int net_stream(int port)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        fail(EXIT_TOOL, "--net: %s", strerror(errno));
    if (child_detach()) {
        close(ends[0]);
        carry(port, (struct stream){.fd = ends[1]});
    }
    close(port);
    close(ends[1]);
    return ends[0];
}
