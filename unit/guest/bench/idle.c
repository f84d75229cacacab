/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench/idle - what connections cost that say nothing: `idle [CONNECTIONS]` opens so many over lo
 * (10,000), says a byte each way on each, waits for both ends in one epoll, and prints
 * "idle-connection N B", the kernel's memory for one end: socket, file, descriptor, epoll item and
 * all. On Selkie that is what is free less than before, in /proc/meminfo; on Linux, where others
 * run, the objects of those kinds in /proc/slabinfo (for root), which leaves a little out.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>

/* Bytes that are free; on Linux less what the kinds of objects of a connection take. */
static double free_bytes(bool on_linux)
{
    static const char *const kinds[] = {"TCP",           "sock_inode_cache", "filp",
                                        "dentry",        "ep_item",          "eventpoll_epi",
                                        "eventpoll_pwq", "tcp_bind_bucket",  "tcp_bind2_bucket"};
    FILE *file = fopen(on_linux ? "/proc/slabinfo" : "/proc/meminfo", "r");
    char line[512], name[64];
    double sum = 0;
    long active, all, size;
    while (file && fgets(line, sizeof line, file)) {
        if (!on_linux && sscanf(line, "MemFree: %ld", &all) == 1)
            sum = (double)all * 1024;
        if (on_linux && sscanf(line, "%63s %ld %ld %ld", name, &active, &all, &size) == 4)
            for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
                sum -= strcmp(name, kinds[i]) == 0 ? (double)active * (double)size : 0;
    }
    if (!file || sum == 0)
        return -1;
    fclose(file);
    return sum;
}

static int connections = 10000;
static int *fds; /* pairs */

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        fail("epoll_ctl");
}

static void say(int from, int to)
{
    char byte = 'x';
    if (send(from, &byte, 1, 0) != 1 || recv(to, &byte, 1, 0) != 1)
        fail("a byte");
}

static void open_all(int listener, const struct sockaddr_in *address, int from, int to, int epoll)
{
    for (int i = from; i < to; i++) {
        int *pair = &fds[2 * i];
        pair[0] = socket(AF_INET, SOCK_STREAM, 0);
        if (pair[0] < 0 || connect(pair[0], (const struct sockaddr *)address, sizeof *address))
            fail("connect");
        pair[1] = accept(listener, NULL, NULL);
        if (pair[1] < 0)
            fail("accept");
        say(pair[0], pair[1]);
        say(pair[1], pair[0]);
        watch(epoll, pair[0]);
        watch(epoll, pair[1]);
    }
}

static double per_end(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    struct utsname name;
    struct rlimit files;
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0), warm;
    /* Selkie names itself in the version. */
    uname(&name);
    bool on_linux = !strstr(name.version, "Selkie");
    /* As many as there may be descriptors, if that is fewer. */
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files))
        fail("setrlimit");
    if ((rlim_t)connections * 2 + 100 > files.rlim_cur)
        connections = (int)(files.rlim_cur - 100) / 2;
    warm = connections / 10;
    fds = calloc((size_t)connections * 2, sizeof *fds);
    if (!fds || bind(listener, (struct sockaddr *)&address, len) || listen(listener, 16) ||
        getsockname(listener, (struct sockaddr *)&address, &len))
        fail("listen");
    memset(fds, 0, (size_t)connections * 2 * sizeof *fds); /* the program's pages, now */
    /* The first ones pay for tables that grow, pages of stacks and the like. */
    open_all(listener, &address, 0, warm, epoll);
    double before = free_bytes(on_linux);
    open_all(listener, &address, warm, connections, epoll);
    usleep(300000); /* acknowledgements that are put off */
    double after = free_bytes(on_linux);
    struct epoll_event event;
    if (before == -1 || after == -1 || epoll_wait(epoll, &event, 1, 0) != 0)
        return -1;
    /* Each is still there. */
    for (int i = 0; i < connections; i += 97)
        say(fds[2 * i + 1], fds[2 * i]);
    return (before - after) / (2.0 * (connections - warm));
}

int main(int argc, char **argv)
{
    if (argc > 1 && atoi(argv[1]) > 10)
        connections = atoi(argv[1]);
    double bytes = per_end();
    if (bytes >= 0)
        printf("idle-connection %.0f B\n", bytes);
    return 0;
}
