/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench/sockets - what sockets within a machine cost: `sockets [WHAT]...` prints "sockets-WHAT N
 * ns", the fastest of many batches. AF_UNIX, or with "tcp-" and "udp-" before them over lo:
 *
 *   trip1    a byte there and one back between two threads on one CPU, stream
 *   trip2    the same, each thread on a CPU of its own
 *   dgram    the same on one CPU, datagrams
 *   write    a byte written and read by one thread: no switch
 *   bulk64k  64 KiB from one thread to another, in writes of 64 KiB
 *   bulk1k   64 KiB, in writes of 1 KiB
 *   pair     socketpair and two closes
 *   connect  connect, accept, two closes
 */
#include "lo.h"

#include <stddef.h>
#include <sys/un.h>

enum { TRIPS = 200, WRITES = 1000, PAIRS = 200, CHUNK = 65536, CHUNKS = 64 };
#define BUDGET 300000000ll

static int ends[2], listener;
static size_t piece;
static char out[CHUNK], in[CHUNK];

static void pair_udp(void)
{
    struct sockaddr_in names[2];
    for (int i = 0; i < 2; i++)
        ends[i] = on_lo(SOCK_DGRAM, &names[i]);
    connect_to(ends[0], &names[1]);
    connect_to(ends[1], &names[0]);
}

static void pair_tcp(void)
{
    struct sockaddr_in name;
    int l = on_lo(SOCK_STREAM, &name);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (listen(l, 1) < 0)
        fail("listen");
    connect_to(ends[0], &name);
    ends[1] = accept(l, NULL, NULL);
    close(l);
    for (int i = 0; i < 2; i++)
        no_delay(ends[i]);
}

static int family = AF_UNIX;

static void pair(int type)
{
    if (family == AF_UNIX) {
        if (socketpair(AF_UNIX, type, 0, ends) < 0)
            fail("socketpair");
    } else if (type == SOCK_DGRAM) {
        pair_udp();
    } else {
        pair_tcp();
    }
}

static void send_all(char *buf, size_t len)
{
    if (write(ends[0], buf, len) != (ssize_t)len)
        fail("write");
}

static void receive_all(char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = read(ends[1], buf, len);
        if (n <= 0)
            fail("read");
        buf += n;
        len -= (size_t)n;
    }
}

static cpu_set_t all_cpus;

static void unpin(void)
{
    if (sched_setaffinity(0, sizeof all_cpus, &all_cpus))
        fail("sched_setaffinity");
}

static void pin_to(int index)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all_cpus) && index-- == 0)
            CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one))
        fail("sched_setaffinity");
}

/* ---- round trips ---- */

static int other_cpu;

static void *answer(void *arg)
{
    char byte;
    pin_to(other_cpu);
    while (read(ends[1], &byte, 1) == 1 && byte != 'q')
        if (write(ends[1], &byte, 1) != 1)
            fail("write");
    return arg;
}

static void trips(void)
{
    char byte = 'x';
    for (int i = 0; i < TRIPS; i++)
        if (write(ends[0], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
            fail("round trip");
}

static double trip(int type, int cpu)
{
    pthread_t thread;
    if (cpu >= CPU_COUNT(&all_cpus))
        return -1;
    pair(type);
    other_cpu = cpu;
    pin_to(0);
    if (pthread_create(&thread, NULL, answer, NULL))
        fail("pthread_create");
    double ns = least(trips, TRIPS, BUDGET);
    if (write(ends[0], "q", 1) != 1)
        fail("write");
    pthread_join(thread, NULL);
    unpin();
    close(ends[0]);
    close(ends[1]);
    return ns;
}

static double trip1(void)
{
    return trip(SOCK_STREAM, 0);
}
static double trip2(void)
{
    return trip(SOCK_STREAM, 1);
}
static double dgram(void)
{
    return trip(SOCK_DGRAM, 0);
}

static void writes(void)
{
    char byte = 'x';
    for (int i = 0; i < WRITES; i++)
        if (write(ends[0], &byte, 1) != 1 || read(ends[1], &byte, 1) != 1)
            fail("write and read");
}

static double one_write(void)
{
    pair(SOCK_STREAM);
    double ns = least(writes, WRITES, BUDGET);
    close(ends[0]);
    close(ends[1]);
    return ns;
}

/* ---- bulk ---- */

static void *produce(void *arg)
{
    for (int i = 0; i < CHUNKS; i++)
        for (size_t at = 0; at < CHUNK; at += piece)
            send_all(out + at, piece);
    return arg;
}

static void chunks(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, produce, NULL))
        fail("pthread_create");
    for (int i = 0; i < CHUNKS; i++)
        receive_all(in, CHUNK);
    pthread_join(thread, NULL);
}

static double bulk(size_t size)
{
    piece = size;
    pair(SOCK_STREAM);
    double ns = least(chunks, CHUNKS, BUDGET);
    close(ends[0]);
    close(ends[1]);
    return ns;
}

static double bulk64k(void)
{
    return bulk(CHUNK);
}
static double bulk1k(void)
{
    return bulk(1024);
}

/* ---- over lo ---- */

static double over_lo(double (*what)(void))
{
    family = AF_INET;
    double ns = what();
    family = AF_UNIX;
    return ns;
}

static double tcp_trip1(void)
{
    return over_lo(trip1);
}
static double tcp_trip2(void)
{
    return over_lo(trip2);
}
static double tcp_write(void)
{
    return over_lo(one_write);
}
static double tcp_bulk64k(void)
{
    return over_lo(bulk64k);
}
static double tcp_bulk1k(void)
{
    return over_lo(bulk1k);
}
static double udp_trip1(void)
{
    return over_lo(dgram);
}
static double udp_trip2_unix(void)
{
    return trip(SOCK_DGRAM, 1);
}
static double udp_trip2(void)
{
    return over_lo(udp_trip2_unix);
}

static struct sockaddr_in lo_name;

/* The client closes by a reset, so that no TIME-WAIT is left. */
static void tcp_connects(void)
{
    static const struct linger reset = {1, 0};
    for (int i = 0; i < PAIRS; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        if (client < 0)
            fail("socket");
        connect_to(client, &lo_name);
        int server = accept(listener, NULL, NULL);
        if (server < 0 || setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) < 0)
            fail("accept");
        close(client);
        close(server);
    }
}

static double tcp_connect(void)
{
    listener = on_lo(SOCK_STREAM, &lo_name);
    if (listen(listener, 100) < 0)
        fail("listen");
    double ns = least(tcp_connects, PAIRS, BUDGET);
    close(listener);
    return ns;
}

/* ---- making ---- */

static void pairs(void)
{
    for (int i = 0; i < PAIRS; i++) {
        pair(SOCK_STREAM);
        close(ends[0]);
        close(ends[1]);
    }
}

static double make_pair(void)
{
    return least(pairs, PAIRS, BUDGET);
}

static struct sockaddr_un name = {.sun_family = AF_UNIX};
static socklen_t name_len;

static void connects(void)
{
    for (int i = 0; i < PAIRS; i++) {
        int client = socket(AF_UNIX, SOCK_STREAM, 0);
        if (client < 0 || connect(client, (struct sockaddr *)&name, name_len) < 0)
            fail("connect");
        int server = accept(listener, NULL, NULL);
        if (server < 0)
            fail("accept");
        close(client);
        close(server);
    }
}

static double make_connection(void)
{
    int n = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "bench-%d", (int)getpid());
    name_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&name, name_len) < 0 ||
        listen(listener, 10) < 0)
        fail("listen");
    double ns = least(connects, PAIRS, BUDGET);
    close(listener);
    return ns;
}

int main(int argc, char **argv)
{
    static const struct bench_row rows[] = {
        {"sockets-trip1", "ns", trip1},           {"sockets-trip2", "ns", trip2},
        {"sockets-dgram", "ns", dgram},           {"sockets-write", "ns", one_write},
        {"sockets-bulk64k", "ns", bulk64k},       {"sockets-bulk1k", "ns", bulk1k},
        {"sockets-pair", "ns", make_pair},        {"sockets-connect", "ns", make_connection},
        {"sockets-tcp-trip1", "ns", tcp_trip1},   {"sockets-tcp-trip2", "ns", tcp_trip2},
        {"sockets-tcp-write", "ns", tcp_write},   {"sockets-tcp-bulk64k", "ns", tcp_bulk64k},
        {"sockets-tcp-bulk1k", "ns", tcp_bulk1k}, {"sockets-tcp-connect", "ns", tcp_connect},
        {"sockets-udp-trip1", "ns", udp_trip1},   {"sockets-udp-trip2", "ns", udp_trip2},
    };
    if (sched_getaffinity(0, sizeof all_cpus, &all_cpus))
        fail("sched_getaffinity");
    return bench_main(argc, argv, rows, sizeof rows / sizeof rows[0]);
}
