/* SPDX-License-Identifier: BSD-3-Clause */
/* netsysctl.c - what is written below /proc/sys/net changes what the network does. On the host it
 * would change the host's, so it runs in Selkie only. */
#include "procfile.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

static int write_to(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/sys/net/%s", name);
    int fd = open(path, O_WRONLY);
    if (fd < 0)
        return -1;
    long n = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return n == (long)strlen(text) ? 0 : -1;
}

static void reads(const char *name, const char *want)
{
    char path[128], text[128] = "";
    snprintf(path, sizeof path, "/proc/sys/net/%s", name);
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    if (strcmp(text, want) != 0)
        printf("%s is %s", path, text);
    REQUIRE(strcmp(text, want) == 0);
    close(fd);
}

static int get(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    REQUIRE(getsockopt(fd, level, name, &value, &len) == 0);
    return value;
}

static void numbers(void)
{
    reads("core/somaxconn", "4096\n");
    REQUIRE(write_to("core/somaxconn", "100\n") == 0);
    reads("core/somaxconn", "100\n");
    REQUIRE_ERRNO(write_to("core/somaxconn", "ten\n"), EINVAL);
    REQUIRE_ERRNO(write_to("core/somaxconn", "-1\n"), EINVAL);
    REQUIRE_ERRNO(write_to("core/somaxconn", "\n"), EINVAL);
    REQUIRE_ERRNO(write_to("core/somaxconn", "99999999999\n"), EINVAL);
    reads("core/somaxconn", "100\n");
    reads("ipv4/tcp_rmem", "4096\t131072\t6291456\n");
    REQUIRE_ERRNO(write_to("ipv4/tcp_rmem", "4096 50000 40000"), EINVAL);
    REQUIRE(write_to("ipv4/tcp_rmem", "4096 50000 60000") == 0);
    reads("ipv4/tcp_rmem", "4096\t50000\t60000\n");
    REQUIRE_ERRNO(write_to("ipv4/tcp_congestion_control", "nosuch"), ENOENT);
    REQUIRE_ERRNO(write_to("ipv4/tcp_ecn", "3"), EINVAL);
    REQUIRE(write_to("ipv4/tcp_ecn", "1") == 0);
    reads("ipv4/tcp_ecn", "1\n");
}

static void sockets(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int value = 1 << 20, udp = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(write_to("ipv4/ip_local_port_range", "40000 40000") == 0);
    REQUIRE(bind(udp, (struct sockaddr *)&a, len) == 0);
    REQUIRE(getsockname(udp, (struct sockaddr *)&a, &len) == 0 && a.sin_port == htons(40000));
    a.sin_port = 0;
    int other = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE_ERRNO(bind(other, (struct sockaddr *)&a, len), EADDRINUSE);
    REQUIRE(write_to("core/rmem_max", "300000") == 0);
    REQUIRE(write_to("core/wmem_max", "400000") == 0);
    REQUIRE(setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &value, sizeof value) == 0);
    REQUIRE(setsockopt(udp, SOL_SOCKET, SO_SNDBUF, &value, sizeof value) == 0);
    REQUIRE(get(udp, SOL_SOCKET, SO_RCVBUF) == 600000);
    REQUIRE(get(udp, SOL_SOCKET, SO_SNDBUF) == 800000);
    REQUIRE(get(udp, IPPROTO_IP, IP_TTL) == 64);
    REQUIRE(write_to("ipv4/ip_default_ttl", "33") == 0);
    REQUIRE(get(udp, IPPROTO_IP, IP_TTL) == 33);
    REQUIRE(write_to("ipv4/tcp_keepalive_time", "77") == 0);
    REQUIRE(write_to("ipv4/tcp_keepalive_probes", "5") == 0);
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(get(tcp, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
    REQUIRE(get(tcp, IPPROTO_TCP, TCP_KEEPCNT) == 5);
    close(udp), close(other), close(tcp);
    REQUIRE(write_to("ipv4/ip_local_port_range", "32768 60999") == 0);
}

/* An echo to ourselves is answered or not. */
static int pings(int ms)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct icmphdr echo = {.type = ICMP_ECHO}, got;
    struct timeval wait = {.tv_usec = ms % 1000 * 1000, .tv_sec = ms / 1000};
    int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0);
    REQUIRE(sendto(fd, &echo, sizeof echo, 0, (struct sockaddr *)&a, sizeof a) == sizeof echo);
    int answered = recv(fd, &got, sizeof got, 0) == sizeof got;
    close(fd);
    return answered;
}

/* Connections whose program has gone are so many at most, the others are reset. */
static void orphans(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM, 0), client[5], server[5];
    REQUIRE(bind(l, (struct sockaddr *)&a, len) == 0 && listen(l, 5) == 0);
    REQUIRE(getsockname(l, (struct sockaddr *)&a, &len) == 0);
    reads("ipv4/tcp_max_orphans", "4096\n");
    REQUIRE(write_to("ipv4/tcp_max_orphans", "3") == 0);
    for (int i = 0; i < 5; i++) {
        client[i] = socket(AF_INET, SOCK_STREAM, 0);
        REQUIRE(connect(client[i], (struct sockaddr *)&a, len) == 0);
        server[i] = accept(l, NULL, NULL);
        REQUIRE(server[i] >= 0);
    }
    for (int i = 0; i < 5; i++) {
        REQUIRE(net_counter("/proc/net/netstat", "TcpExt", "TCPAbortOnMemory") ==
                (i > 3 ? i - 3 : 0));
        close(client[i]); /* the server's end stays, so it waits in FIN-WAIT-2 */
    }
    REQUIRE(net_counter("/proc/net/netstat", "TcpExt", "TCPAbortOnMemory") == 2);
    for (int i = 0; i < 5; i++)
        close(server[i]);
    close(l);
    REQUIRE(write_to("ipv4/tcp_max_orphans", "4096") == 0);
}

int main(void)
{
    alarm(60);
    orphans();
    numbers();
    sockets();
    REQUIRE(pings(30000));
    REQUIRE(write_to("ipv4/icmp_echo_ignore_all", "1") == 0);
    REQUIRE(!pings(100));
    REQUIRE(write_to("ipv4/icmp_echo_ignore_all", "0") == 0);
    REQUIRE(pings(30000));
    /* Nobody else is here: three were sent, two answered. */
    REQUIRE(net_counter("/proc/net/snmp", "Icmp", "OutEchos") == 3);
    REQUIRE(net_counter("/proc/net/snmp", "Icmp", "OutEchoReps") == 2);
    REQUIRE(net_counter("/proc/net/snmp", "Icmp", "OutMsgs") >= 5);
    return guest_pass("netsysctl");
}
