/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inetsock.c - AF_INET sockets where their manual pages leave something open: what a socket is
 * after it was shut down, disconnected or refused, and whom it hears then. Every expectation is
 * Linux's.
 */
#include "procfile.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct sockaddr_in loop(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
}
static int name_to(int (*call)(int, const struct sockaddr *, socklen_t), int fd,
                   const struct sockaddr_in *a)
{
    return call(fd, (const struct sockaddr *)a, sizeof *a);
}
static struct sockaddr_in local(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0 && len == sizeof a);
    return a;
}
static int has_peer(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    return getpeername(fd, (struct sockaddr *)&a, &len) == 0;
}
static int bound(int type, uint16_t port)
{
    struct sockaddr_in a = loop(port);
    int fd = socket(AF_INET, type, 0);
    REQUIRE(fd >= 0 && name_to(bind, fd, &a) == 0);
    return fd;
}
static int disconnect(int fd)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    return connect(fd, &none, sizeof none);
}
static void set(int fd, int level, int option, int value)
{
    REQUIRE(setsockopt(fd, level, option, &value, sizeof value) == 0);
}

/* ---- datagrams ---- */

/* Whether a port stays when a socket is disconnected depends on who chose it. */
static void datagram_ports(void)
{
    int peer = bound(SOCK_DGRAM, 0), fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = local(peer), any = {.sin_family = AF_INET};
    REQUIRE(disconnect(fd) == 0); /* it has no peer */
    REQUIRE(name_to(connect, fd, &to) == 0 && local(fd).sin_port != 0);
    REQUIRE_ERRNO(name_to(bind, fd, &any), EINVAL);
    REQUIRE(disconnect(fd) == 0 && local(fd).sin_port == 0 && !has_peer(fd));
    REQUIRE(local(fd).sin_addr.s_addr == 0);
    REQUIRE(name_to(bind, fd, &any) == 0 && local(fd).sin_port != 0);
    REQUIRE(name_to(connect, fd, &to) == 0);
    REQUIRE(local(fd).sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    REQUIRE(disconnect(fd) == 0 && local(fd).sin_port == 0); /* bind had a choice, too */
    REQUIRE(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to) == 1);
    REQUIRE(local(fd).sin_port != 0 && disconnect(fd) == 0 && local(fd).sin_port == 0);
    struct sockaddr_in own = local(peer);
    close(peer);
    REQUIRE(name_to(bind, fd, &own) == 0);
    peer = bound(SOCK_DGRAM, 0);
    to = local(peer);
    REQUIRE(name_to(connect, fd, &to) == 0 && disconnect(fd) == 0);
    REQUIRE(local(fd).sin_port == own.sin_port);
    close(fd), close(peer);
}

/* A connect that fails leaves the peer that was. */
static void datagram_peers(void)
{
    int a = bound(SOCK_DGRAM, 0), b = bound(SOCK_DGRAM, 0), fd = bound(SOCK_DGRAM, 0);
    struct sockaddr_in to[2] = {local(a), local(b)}, own = local(fd), wrong = loop(9);
    char c[8];
    close(fd);
    fd = bound(SOCK_DGRAM, ntohs(own.sin_port)); /* a port that was asked for */
    wrong.sin_family = AF_INET6;
    for (int i = 0; i < 20; i++) {
        int from = i % 2 ? b : a, other = i % 2 ? a : b;
        REQUIRE(name_to(connect, fd, &to[i % 2]) == 0 && local(fd).sin_port == own.sin_port);
        REQUIRE(sendto(other, "s", 1, 0, (struct sockaddr *)&own, sizeof own) == 1);
        REQUIRE(sendto(from, "p", 1, 0, (struct sockaddr *)&own, sizeof own) == 1);
        REQUIRE(recv(fd, c, 8, 0) == 1 && c[0] == 'p');
        REQUIRE_ERRNO(recv(fd, c, 8, MSG_DONTWAIT), EAGAIN);
    }
    REQUIRE_ERRNO(name_to(connect, fd, &wrong), EAFNOSUPPORT);
    REQUIRE(has_peer(fd) && send(fd, "q", 1, 0) == 1 && recv(b, c, 8, 0) == 1 && c[0] == 'q');
    REQUIRE(disconnect(fd) == 0);
    REQUIRE_ERRNO(send(fd, "q", 1, 0), EDESTADDRREQ);
    REQUIRE(sendto(a, "1", 1, 0, (struct sockaddr *)&own, sizeof own) == 1);
    REQUIRE(sendto(b, "2", 1, 0, (struct sockaddr *)&own, sizeof own) == 1);
    REQUIRE(recv(fd, c, 8, 0) == 1 && c[0] == '1' && recv(fd, c, 8, 0) == 1 && c[0] == '2');
    close(a), close(b), close(fd);
}

/* shutdown(2) of a datagram socket without a peer fails, and works wrong the same. */
static void datagram_shut(void)
{
    int fd = bound(SOCK_DGRAM, 0);
    struct sockaddr_in own = local(fd);
    char c;
    REQUIRE_ERRNO(shutdown(fd, SHUT_RD), ENOTCONN);
    REQUIRE(recv(fd, &c, 1, 0) == 0);
    REQUIRE_ERRNO(recv(fd, &c, 1, MSG_DONTWAIT), EAGAIN);
    REQUIRE_ERRNO(shutdown(fd, SHUT_WR), ENOTCONN);
    REQUIRE_ERRNO(sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&own, sizeof own), EPIPE);
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP | POLLOUT};
    REQUIRE(poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLRDHUP | POLLOUT | POLLHUP));
    close(fd);
}

/* Any socket may be asked about devices: the C library takes an AF_UNIX one. */
static void devices(void)
{
    struct ifreq req = {.ifr_name = "lo"};
    char name[IF_NAMESIZE];
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    REQUIRE(if_nametoindex("lo") == 1 && strcmp(if_indextoname(1, name), "lo") == 0);
    REQUIRE(fd >= 0 && ioctl(fd, SIOCGIFINDEX, &req) == 0 && req.ifr_ifindex == 1);
    REQUIRE(ioctl(fd, SIOCGIFFLAGS, &req) == 0 && req.ifr_flags & IFF_LOOPBACK);
    close(fd);
}

/* ---- what a wire may bring ---- */

/* protocol 0: ICMP's, without a pseudo-header. */
static uint16_t sum_of(const unsigned char *bytes, size_t len, int protocol)
{
    uint32_t sum = protocol ? 2 * (0x7f00 + 0x0001) + (uint32_t)protocol + (uint32_t)len : 0;
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Segments and datagrams that are wrong reach nobody, and are counted by what is wrong. */
static void wrong_packets(void)
{
    static const struct {
        const char *group, *counter;
        int protocol, offset, wrong; /* offset: of TCP's header; wrong: added to the checksum */
        int arrives;
    } table[] = {
        {"Tcp", "OutRsts", IPPROTO_TCP, 5, 0, 0}, /* as if of a connection */
        {"Udp", "InCsumErrors", IPPROTO_UDP, 0, 1, 0},
        {"Udp", "InErrors", IPPROTO_UDP, 0, 1, 0},
        {"Udp", "InDatagrams", IPPROTO_UDP, 0, 0, 1},
    };
    int l = bound(SOCK_STREAM, 0), u = bound(SOCK_DGRAM, 0);
    struct sockaddr_in to = loop(0);
    REQUIRE(listen(l, 3) == 0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int raw = socket(AF_INET, SOCK_RAW, table[i].protocol);
        int udp = table[i].protocol == IPPROTO_UDP;
        unsigned char b[24] = {0, 9};
        size_t len = udp ? 9 : 20;
        if (raw < 0 && errno == EPERM)
            break; /* not root: Linux, then */
        REQUIRE(raw >= 0);
        uint16_t port = local(udp ? u : l).sin_port, sum;
        memcpy(b + 2, &port, 2);
        if (udp) {
            b[5] = 9;
        } else {
            b[12] = (unsigned char)(table[i].offset << 4);
            b[13] = 0x10; /* ACK */
        }
        sum = htons((uint16_t)(sum_of(b, len, table[i].protocol) + table[i].wrong));
        memcpy(b + (udp ? 6 : 16), &sum, 2);
        long before = net_counter("/proc/net/snmp", table[i].group, table[i].counter);
        REQUIRE(before >= 0);
        REQUIRE(sendto(raw, b, len, 0, (struct sockaddr *)&to, sizeof to) == (ssize_t)len);
        /* UDP's checksum is looked at when somebody reads (Linux). */
        ssize_t got = -1; /* and on Linux others are counted, too */
        for (int counted = 0; !counted || (table[i].arrives && got < 0);) {
            counted = net_counter("/proc/net/snmp", table[i].group, table[i].counter) > before;
            ssize_t n = recv(u, b, 9, MSG_DONTWAIT);
            got = n >= 0 ? n : got;
        }
        REQUIRE(got == (table[i].arrives ? 1 : -1));
        close(raw);
    }
    close(l), close(u);
}

/* ICMP about what was never sent (RFC 5927, 4.1): counted, and the connection does not hear of it.
 */
static void forged_icmp(void)
{
    int l = bound(SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    struct sockaddr_in a = local(l);
    unsigned char m[36] = {3, 1, [8] = 0x45, [11] = 28, [16] = 64, IPPROTO_TCP};
    char c;
    if (raw < 0 && errno == EPERM) { /* not root: Linux, then */
        close(l), close(client);
        return;
    }
    set(client, IPPROTO_IP, IP_RECVERR, 1);
    REQUIRE(raw >= 0 && listen(l, 3) == 0 && name_to(connect, client, &a) == 0);
    uint16_t own = local(client).sin_port, sum;
    m[20] = m[24] = 127, m[23] = m[27] = 1;
    memcpy(m + 28, &own, 2);
    memcpy(m + 30, &a.sin_port, 2);
    memcpy(m + 32, "away", 4); /* the sequence number: one in 4 billion that it is right */
    sum = htons(sum_of(m, sizeof m, 0));
    memcpy(m + 2, &sum, 2);
    long before = net_counter("/proc/net/netstat", "TcpExt", "OutOfWindowIcmps");
    struct sockaddr_in to = loop(0);
    REQUIRE(before >= 0 && sendto(raw, m, sizeof m, 0, (struct sockaddr *)&to, sizeof to) > 0);
    while (net_counter("/proc/net/netstat", "TcpExt", "OutOfWindowIcmps") <= before)
        usleep(1000);
    struct msghdr none = {.msg_flags = 0};
    REQUIRE_ERRNO(recvmsg(client, &none, MSG_ERRQUEUE | MSG_DONTWAIT), EAGAIN);
    REQUIRE_ERRNO(recv(client, &c, 1, MSG_DONTWAIT), EAGAIN);
    close(l), close(client), close(raw);
}

/* The only entry of the error queue, about 127.0.0.1: its kind, and what is quoted. */
static struct sock_extended_err take_error(int fd, void *quoted, ssize_t want)
{
    struct {
        struct cmsghdr head;
        struct sock_extended_err error;
        struct sockaddr_in offender;
    } control;
    struct sockaddr_in to;
    struct iovec bytes = {quoted, 8};
    struct msghdr msg = {.msg_name = &to,
                         .msg_namelen = sizeof to,
                         .msg_iov = &bytes,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    struct pollfd p = {.fd = fd};
    int error;
    socklen_t len = sizeof error;
    REQUIRE(poll(&p, 1, 10000) == 1 && p.revents == POLLERR);
    REQUIRE(recvmsg(fd, &msg, MSG_ERRQUEUE) == want && msg.msg_flags & MSG_ERRQUEUE);
    REQUIRE(to.sin_family == AF_INET && to.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    REQUIRE(control.head.cmsg_level == IPPROTO_IP && control.head.cmsg_type == IP_RECVERR);
    bool ours = control.error.ee_origin == SO_EE_ORIGIN_LOCAL;
    REQUIRE(control.offender.sin_addr.s_addr == (ours ? 0 : htonl(INADDR_LOOPBACK)));
    REQUIRE(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0);
    REQUIRE_ERRNO(recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT), EAGAIN);
    return control.error;
}

/* What ping and tracepath live by: that a packet is too long for its way, and what ICMP says of
 * packets that are neither TCP's nor UDP's, by the error queue (ip(7), IP_RECVERR). */
static void error_queue(int type)
{
    static unsigned char big[65530];
    int fd = socket(AF_INET, type, IPPROTO_ICMP), raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    struct ifreq mtu = {.ifr_name = "lo"};
    struct sockaddr_in to = loop(0);
    unsigned char m[36] = {3, 1, [8] = 0x45, [11] = 28, [16] = 64, IPPROTO_ICMP}, quoted[8];
    if (fd < 0 || raw < 0) { /* not root, or nobody may ping: Linux, then */
        REQUIRE(errno == EPERM || errno == EACCES);
        close(fd), close(raw);
        return;
    }
    if (type == SOCK_RAW)
        set(fd, SOL_RAW, 1, -1); /* ICMP_FILTER: what comes itself is not looked at */
    big[0] = 8;
    REQUIRE_ERRNO(sendto(fd, big, sizeof big, 0, (struct sockaddr *)&to, sizeof to), EMSGSIZE);
    set(fd, IPPROTO_IP, IP_RECVERR, 1);
    REQUIRE_ERRNO(sendto(fd, big, sizeof big, 0, (struct sockaddr *)&to, sizeof to), EMSGSIZE);
    struct sock_extended_err e = take_error(fd, quoted, 0);
    REQUIRE(ioctl(fd, SIOCGIFMTU, &mtu) == 0 && e.ee_errno == EMSGSIZE);
    REQUIRE(e.ee_origin == SO_EE_ORIGIN_LOCAL);
    REQUIRE(e.ee_info == (mtu.ifr_mtu < 65535 ? (uint32_t)mtu.ifr_mtu : 65535));
    m[20] = m[24] = 127, m[23] = m[27] = 1, m[28] = 8;
    uint16_t id = local(fd).sin_port, other = (uint16_t)~id;
    for (int mine = 0; mine < 2; mine++) { /* another one's does not come, but to raw sockets */
        if (type == SOCK_RAW && !mine)
            continue;
        memcpy(m + 32, mine ? &id : &other, 2);
        m[2] = m[3] = 0;
        uint16_t sum = htons(sum_of(m, sizeof m, 0));
        memcpy(m + 2, &sum, 2);
        REQUIRE(sendto(raw, m, sizeof m, 0, (struct sockaddr *)&to, sizeof to) == sizeof m);
    }
    e = take_error(fd, quoted, 8);
    REQUIRE(e.ee_errno == EHOSTUNREACH && e.ee_origin == SO_EE_ORIGIN_ICMP);
    REQUIRE(e.ee_type == 3 && e.ee_code == 1 && memcmp(quoted, m + 28, 8) == 0);
    close(fd), close(raw);
}

/* What has no way is counted (the machine may have ways to everywhere). */
static void no_route(void)
{
    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    struct sockaddr_in a = loop(9);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
    unsigned long before6 = number_in("/proc/net/snmp6", "Ip6OutNoRoutes");
    long before = net_counter("/proc/net/snmp", "Ip", "OutNoRoutes");
    a.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1 (RFC 5737) */
    REQUIRE(inet_pton(AF_INET6, "2001:db8::1", &b.sin6_addr) == 1);
    if (sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof a) < 0 && errno == ENETUNREACH)
        REQUIRE(net_counter("/proc/net/snmp", "Ip", "OutNoRoutes") > before);
    if (sendto(fd6, "x", 1, 0, (struct sockaddr *)&b, sizeof b) < 0 && errno == ENETUNREACH)
        REQUIRE(number_in("/proc/net/snmp6", "Ip6OutNoRoutes") > before6);
    close(fd), close(fd6);
}

/* IP_MINTTL (RFC 5082): who is too many hops away is not heard. */
static void hops(void)
{
    int l = bound(SOCK_STREAM, 0), far = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int near = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = local(l);
    struct pollfd p = {.fd = far, .events = POLLOUT};
    long before = net_counter("/proc/net/netstat", "TcpExt", "TCPMinTTLDrop");
    set(l, IPPROTO_IP, IP_MINTTL, 100);
    set(near, IPPROTO_IP, IP_TTL, 255);
    REQUIRE(listen(l, 3) == 0);
    REQUIRE_ERRNO(name_to(connect, far, &a), EINPROGRESS);
    REQUIRE(name_to(connect, near, &a) == 0);
    while (net_counter("/proc/net/netstat", "TcpExt", "TCPMinTTLDrop") <= before)
        usleep(1000);
    REQUIRE(poll(&p, 1, 0) == 0);
    close(l), close(far), close(near);
}

/* ---- listeners ---- */

static void listener_again(void)
{
    int l = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = loop(0);
    char c;
    set(l, SOL_SOCKET, SO_REUSEADDR, 1);
    set(other, SOL_SOCKET, SO_REUSEADDR, 1);
    REQUIRE(name_to(bind, l, &any) == 0);
    struct sockaddr_in a = local(l);
    REQUIRE(listen(l, 3) == 0);
    REQUIRE_ERRNO(name_to(bind, other, &a), EADDRINUSE);
    REQUIRE(shutdown(l, SHUT_WR) == 0); /* means nothing here */
    int client = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(name_to(connect, client, &a) == 0);
    REQUIRE(shutdown(l, SHUT_RD) == 0);
    REQUIRE_ERRNO(recv(client, &c, 1, 0), ECONNRESET);
    close(client);
    REQUIRE_ERRNO(accept(l, NULL, NULL), EINVAL);
    REQUIRE_ERRNO(recv(l, &c, 1, MSG_DONTWAIT), ENOTCONN);
    REQUIRE(name_to(bind, other, &a) == 0 && listen(other, 3) == 0);
    close(other);
    /* It may listen again, and be a client. */
    for (int i = 0; i < 3; i++) {
        REQUIRE(listen(l, 3) == 0);
        a = local(l);
        client = socket(AF_INET, SOCK_STREAM, 0);
        REQUIRE(name_to(connect, client, &a) == 0);
        int s = accept(l, NULL, NULL);
        REQUIRE(s >= 0 && shutdown(l, SHUT_RDWR) == 0);
        REQUIRE(send(client, "y", 1, 0) == 1 && recv(s, &c, 1, 0) == 1 && c == 'y');
        close(s), close(client);
    }
    other = bound(SOCK_STREAM, 0);
    a = local(other);
    REQUIRE(listen(other, 3) == 0 && name_to(connect, l, &a) == 0);
    int s = accept(other, NULL, NULL);
    REQUIRE(s >= 0 && send(l, "z", 1, 0) == 1 && recv(s, &c, 1, 0) == 1 && c == 'z');
    REQUIRE_ERRNO(listen(l, 3), EINVAL);
    close(s), close(l), close(other);
}

/* Who was refused may try again, or listen. */
static void refused(void)
{
    int gone = bound(SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = local(gone);
    REQUIRE_ERRNO(name_to(connect, fd, &a), ECONNREFUSED);
    REQUIRE_ERRNO(name_to(connect, fd, &a), ECONNREFUSED);
    REQUIRE(listen(gone, 3) == 0 && name_to(connect, fd, &a) == 0);
    close(fd);
    close(gone);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE_ERRNO(name_to(connect, fd, &a), ECONNREFUSED);
    REQUIRE(listen(fd, 3) == 0);
    a = local(fd);
    REQUIRE(a.sin_port != 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1); /* it listens at any address */
    REQUIRE(name_to(connect, client, &a) == 0);
    close(client), close(fd);
}

/* One question and its answer; how: sendto with MSG_FASTOPEN, or connect and write. */
static void ask(int l, const struct sockaddr_in *a, int connects, const char *text, size_t len)
{
    static char buffer[100000];
    int c = socket(AF_INET, SOCK_STREAM, 0);
    size_t got = 0;
    if (connects) {
        set(c, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
        REQUIRE(name_to(connect, c, a) == 0);
        struct pollfd p = {.fd = c, .events = POLLOUT | POLLIN};
        REQUIRE(poll(&p, 1, 20000) == 1 && p.revents == POLLOUT);
        REQUIRE(write(c, text, len) == (ssize_t)len);
    } else {
        REQUIRE(sendto(c, text, len, MSG_FASTOPEN, (const struct sockaddr *)a, sizeof *a) ==
                (ssize_t)len);
    }
    REQUIRE_ERRNO(name_to(connect, c, a), EISCONN);
    int s = accept(l, NULL, NULL);
    REQUIRE(s >= 0);
    while (got < len) {
        ssize_t n = read(s, buffer + got, sizeof buffer - got);
        REQUIRE(n > 0);
        got += (size_t)n;
    }
    REQUIRE(got == len && memcmp(buffer, text, len) == 0);
    REQUIRE(write(s, "answer", 6) == 6 && read(c, buffer, 9) == 6);
    REQUIRE(has_peer(c));
    close(s);
    REQUIRE(read(c, buffer, 9) == 0);
    close(c);
}

/* Fast Open (RFC 7413): the same as without, and where both sides do it (tcp_fastopen: 3) the
 * second connection to a server begins with data. */
static void fast_open(void)
{
    static char text[50000];
    int l = bound(SOCK_STREAM, 0);
    struct sockaddr_in a = local(l);
    FILE *f = fopen("/proc/sys/net/ipv4/tcp_fastopen", "r");
    int both = f && fgetc(f) == '3';
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7);
    set(l, IPPROTO_TCP, TCP_FASTOPEN, 5);
    REQUIRE(listen(l, 5) == 0);
    long before = net_counter("/proc/net/netstat", "TcpExt", "TCPFastOpenPassive");
    ask(l, &a, 0, "first", 5);
    for (int i = 0; i < 4; i++)
        ask(l, &a, i % 2, text, i < 2 ? 1000 : sizeof text);
    long after = net_counter("/proc/net/netstat", "TcpExt", "TCPFastOpenPassive");
    REQUIRE(!both || after >= before + 4);
    close(l);
    /* Nobody there: the error comes with the first call that waits. */
    int c = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE_ERRNO(sendto(c, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&a, sizeof a),
                  ECONNREFUSED);
    close(c);
    if (f)
        fclose(f);
}

/* A process that ends does not wait for SO_LINGER: nobody will read this. */
static void leave_unsent(void)
{
    int l = bound(SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = local(l);
    struct linger linger = {1, 10000};
    static char bytes[65536];
    REQUIRE(listen(l, 3) == 0 && name_to(connect, fd, &a) == 0);
    int s = accept(l, NULL, NULL);
    REQUIRE(s >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    while (write(fd, bytes, sizeof bytes) > 0)
        ;
    REQUIRE(errno == EAGAIN);
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    REQUIRE(fcntl(fd, F_SETFL, 0) == 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    alarm(60);
    datagram_ports();
    datagram_peers();
    datagram_shut();
    devices();
    wrong_packets();
    forged_icmp();
    error_queue(SOCK_RAW);
    error_queue(SOCK_DGRAM);
    no_route();
    hops();
    listener_again();
    refused();
    fast_open();
    leave_unsent();
    return guest_pass("inetsock");
}
