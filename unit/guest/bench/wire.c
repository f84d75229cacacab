/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench/wire - what two machines, or two processes, have of the network between them:
 *
 *     wire server            answers until a client says that it is done
 *     wire client ADDRESS    prints "wire-WHAT N ns", the fastest of many batches
 *
 *   udp    a datagram of 64 bytes there and back
 *   rr     64 bytes there and back on a TCP connection
 *   bulk   64 KiB of a TCP stream, from client to server, until the server has read them all
 *   back   the same from server to client
 */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { PORT = 7001, MESSAGE = 64, TRIPS = 100, CHUNK = 65536, CHUNKS = 256 };
#define BUDGET 500000000ll

static struct sockaddr_in peer = {.sin_family = AF_INET};
static char chunk[CHUNK];

static void receive_all(int fd, char *to, size_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, to, len);
        if (n <= 0)
            fail("read");
        to += n;
        len -= (size_t)n;
    }
}

static void send_all(int fd, const char *from, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, from, len);
        if (n <= 0)
            fail("write");
        from += n;
        len -= (size_t)n;
    }
}

static int no_delay(int fd)
{
    int one = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
        fail("TCP_NODELAY");
    return fd;
}

/* ---- server ---- */

static void *udp_echo(void *arg)
{
    char message[MESSAGE];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&peer, sizeof peer) < 0)
        fail("bind");
    for (;;) {
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(fd, message, sizeof message, 0, (struct sockaddr *)&from, &len);
        if (n < 0 || sendto(fd, message, (size_t)n, 0, (struct sockaddr *)&from, len) != n)
            fail("echo");
    }
    return arg;
}

/* Its first byte says what a connection is for; `q` ends the server. */
static bool serve(int fd)
{
    char what, message[MESSAGE];
    receive_all(fd, &what, 1);
    for (; what == 'r'; send_all(fd, message, MESSAGE)) {
        ssize_t n = recv(fd, message, MESSAGE, MSG_WAITALL);
        if (n != MESSAGE)
            break;
    }
    while (what == 'b' && recv(fd, message, 1, MSG_PEEK) == 1) {
        for (int i = 0; i < CHUNKS; i++)
            receive_all(fd, chunk, CHUNK);
        send_all(fd, chunk, 1);
    }
    while (what == 'B' && recv(fd, message, 1, 0) == 1)
        for (int i = 0; i < CHUNKS; i++)
            send_all(fd, chunk, CHUNK);
    close(fd);
    return what != 'q';
}

static int server(void)
{
    pthread_t thread;
    int one = 1, l = socket(AF_INET, SOCK_STREAM, 0);
    peer.sin_addr.s_addr = htonl(INADDR_ANY);
    if (setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(l, (struct sockaddr *)&peer, sizeof peer) < 0 || listen(l, 10) < 0)
        fail("bind");
    if (pthread_create(&thread, NULL, udp_echo, NULL))
        fail("pthread_create");
    while (serve(no_delay(accept(l, NULL, NULL))))
        ;
    return 0;
}

/* ---- client ---- */

static int fd;

/* Tried for a while: the server may not have begun. */
static void connect_for(char what)
{
    for (int tries = 0;; tries++) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&peer, sizeof peer) == 0)
            break;
        if (tries == 100)
            fail("connect");
        close(fd);
        usleep(100000);
    }
    send_all(no_delay(fd), &what, 1);
}

/* What is lost is sent again: this is UDP. */
static void udp_trips(void)
{
    for (int i = 0; i < TRIPS; i++)
        do
            if (send(fd, chunk, MESSAGE, 0) != MESSAGE)
                fail("send");
        while (recv(fd, chunk, MESSAGE, 0) != MESSAGE);
}

static double udp(void)
{
    struct timeval timeout = {.tv_sec = 1};
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(fd, (struct sockaddr *)&peer, sizeof peer) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0)
        fail("connect");
    double ns = least(udp_trips, TRIPS, BUDGET);
    close(fd);
    return ns;
}

static void tcp_trips(void)
{
    for (int i = 0; i < TRIPS; i++) {
        send_all(fd, chunk, MESSAGE);
        receive_all(fd, chunk, MESSAGE);
    }
}

static void out(void)
{
    for (int i = 0; i < CHUNKS; i++)
        send_all(fd, chunk, CHUNK);
    receive_all(fd, chunk, 1);
}

static void back(void)
{
    send_all(fd, chunk, 1);
    for (int i = 0; i < CHUNKS; i++)
        receive_all(fd, chunk, CHUNK);
}

static double on_connection(char what, void (*run)(void), int count)
{
    connect_for(what);
    double ns = least(run, count, BUDGET);
    close(fd);
    return ns;
}

static double rr(void)
{
    return on_connection('r', tcp_trips, TRIPS);
}
static double bulk_out(void)
{
    return on_connection('b', out, CHUNKS);
}
static double bulk_back(void)
{
    return on_connection('B', back, CHUNKS);
}

int main(int argc, char **argv)
{
    static const struct bench_row rows[] = {
        {"wire-rr", "ns", rr},
        {"wire-udp", "ns", udp},
        {"wire-bulk", "ns", bulk_out},
        {"wire-back", "ns", bulk_back},
    };
    peer.sin_port = htons(PORT);
    if (argc == 2 && strcmp(argv[1], "server") == 0)
        return server();
    if (argc < 3 || strcmp(argv[1], "client") != 0 || !inet_aton(argv[2], &peer.sin_addr)) {
        fprintf(stderr, "usage: wire server | wire client ADDRESS [ROW]...\n");
        return 2;
    }
    int status = bench_main(argc - 2, argv + 2, rows, sizeof rows / sizeof rows[0]);
    connect_for('q');
    return status;
}
