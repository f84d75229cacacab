/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reuseport.c - who of several sockets on a port gets a packet: by a program
 * (SO_ATTACH_REUSEPORT_CBPF: payload, CPU), by SO_INCOMING_CPU (socket(7)).
 */
#include "guest.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#define N 4
static struct sockaddr_in name;
#define NAME (struct sockaddr *)&name, sizeof name

static int program(int fd, struct sock_filter *code, unsigned short len)
{
    struct sock_fprog p = {len, code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &p, sizeof p);
}
#define PROGRAM(fd, ...) \
    program(fd, (struct sock_filter[]){__VA_ARGS__}, \
            sizeof((struct sock_filter[]){__VA_ARGS__}) / sizeof(struct sock_filter))

static int member(int type, int cpu)
{
    int on = 1, fd = socket(AF_INET, type, 0);
    socklen_t len = sizeof name;
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
    if (cpu >= 0)
        REQUIRE(setsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, sizeof cpu) == 0);
    REQUIRE(bind(fd, NAME) == 0 && getsockname(fd, (struct sockaddr *)&name, &len) == 0);
    if (type == SOCK_STREAM)
        REQUIRE(listen(fd, 8) == 0);
    return fd;
}

static void begin(void)
{
    name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

/* Which of them has something? -1: none. */
static int which(const int *fd, int count)
{
    struct pollfd p[N];
    for (int i = 0; i < count; i++)
        p[i] = (struct pollfd){.fd = fd[i], .events = POLLIN};
    REQUIRE(poll(p, (nfds_t)count, 20000) == 1);
    for (int i = 0; i < count; i++)
        if (p[i].revents)
            return i;
    return -1;
}

static int sent_to(const int *fd, int count, const char *text)
{
    char c[16];
    int out = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(sendto(out, text, strlen(text), 0, NAME) == (long)strlen(text));
    int who = which(fd, count);
    REQUIRE(recv(fd[who], c, sizeof c, 0) == (long)strlen(text));
    close(out);
    return who;
}

static int connected_to(const int *fd, int count)
{
    int out = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(connect(out, NAME) == 0);
    int who = which(fd, count), in = accept(fd[who], NULL, NULL);
    REQUIRE(in >= 0);
    close(out), close(in);
    return who;
}

static void errors(void)
{
    begin();
    int fd = socket(AF_INET, SOCK_DGRAM, 0), value = -7;
    socklen_t len = sizeof value;
    REQUIRE_ERRNO(PROGRAM(fd, BPF_STMT(BPF_RET | BPF_K, 0)), EINVAL);
    REQUIRE_ERRNO(setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &value, sizeof value),
                  EINVAL);
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &value, &len) == 0 && value == -1);
    close(fd);
    fd = member(SOCK_DGRAM, -1);
    REQUIRE_ERRNO(setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &value, sizeof value),
                  ENOENT);
    REQUIRE_ERRNO(PROGRAM(fd, BPF_STMT(BPF_LD | BPF_IMM, 0)), EINVAL); /* does not end */
    REQUIRE(PROGRAM(fd, BPF_STMT(BPF_RET | BPF_K, 0)) == 0);
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &value, sizeof value) == 0);
    close(fd);
}

static void by_payload(void)
{
    int fd[N], on = 1;
    begin();
    for (int i = 0; i < N; i++)
        fd[i] = member(SOCK_DGRAM, -1);
    REQUIRE(PROGRAM(fd[1], BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 1), BPF_STMT(BPF_RET | BPF_A, 0)) ==
            0);
    for (int i = 0; i < 3 * N; i++) {
        char text[4] = {'x', (char)(i % N), 'y', 0};
        int out = socket(AF_INET, SOCK_DGRAM, 0);
        REQUIRE(sendto(out, text, 3, 0, NAME) == 3);
        REQUIRE(which(fd, N) == i % N && recv(fd[i % N], text, 4, 0) == 3);
        close(out);
    }
    REQUIRE(sent_to(fd, N, "z~") >= 0); /* no such member: anyone */
    REQUIRE(sent_to(fd, N, "z") == 0);  /* nothing to load: 0 */
    /* The newest program counts; who leaves is not counted any more. */
    REQUIRE(PROGRAM(fd[0], BPF_STMT(BPF_RET | BPF_K, 2)) == 0);
    REQUIRE(sent_to(fd, N, "a") == 2);
    close(fd[N - 1]);
    REQUIRE(sent_to(fd, N - 1, "b") == 2);
    REQUIRE(setsockopt(fd[0], SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) == 0);
    REQUIRE_ERRNO(PROGRAM(fd[0], BPF_STMT(BPF_RET | BPF_K, 1)), EPERM);
    for (int i = 0; i < N - 1; i++)
        close(fd[i]);
}

static void streams(void)
{
    int fd[3];
    begin();
    for (int i = 0; i < 3; i++)
        fd[i] = member(SOCK_STREAM, -1);
    for (int i = 0; i < 3; i++) {
        REQUIRE(PROGRAM(fd[0], BPF_STMT(BPF_RET | BPF_K, (unsigned)i)) == 0);
        for (int k = 0; k < 4; k++)
            REQUIRE(connected_to(fd, 3) == i);
    }
    for (int i = 0; i < 3; i++)
        close(fd[i]);
}

static void on_cpu(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    REQUIRE(sched_setaffinity(0, sizeof set, &set) == 0);
}

/* Over lo a packet is received where it is sent. */
static void by_cpu(void)
{
    int fd[2], value;
    socklen_t len = sizeof value;
    begin();
    for (int i = 0; i < 2; i++)
        fd[i] = member(SOCK_DGRAM, -1);
    REQUIRE(PROGRAM(fd[0], BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(SKF_AD_OFF + SKF_AD_CPU)),
                    BPF_STMT(BPF_RET | BPF_A, 0)) == 0);
    for (int i = 0; i < 6; i++) {
        on_cpu(i % 2);
        REQUIRE(sent_to(fd, 2, "cpu") == i % 2);
    }
    close(fd[0]), close(fd[1]);
    begin();
    for (int i = 0; i < 2; i++)
        fd[i] = member(SOCK_STREAM, 1 - i);
    for (int i = 0; i < 8; i++) {
        on_cpu(i % 2);
        REQUIRE(connected_to(fd, 2) == 1 - i % 2);
    }
    for (int i = 0; i < 2; i++) {
        REQUIRE(getsockopt(fd[i], SOL_SOCKET, SO_INCOMING_CPU, &value, &len) == 0);
        REQUIRE(value == 1 - i);
        close(fd[i]);
    }
}

int main(void)
{
    errors();
    by_payload();
    streams();
    cpu_set_t set;
    REQUIRE(sched_getaffinity(0, sizeof set, &set) == 0);
    if (CPU_ISSET(0, &set) && CPU_ISSET(1, &set))
        by_cpu();
    return guest_pass("reuseport");
}
