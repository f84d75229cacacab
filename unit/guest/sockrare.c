/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sockrare.c - what few programs ask of sockets: SO_PEEK_OFF (socket(7)), raw sockets of TCP and
 * UDP (raw(7)), options of netlink sockets (netlink(7)), what TCP_INFO counts, long times of
 * TCP_DEFER_ACCEPT and the link's header of TCP_SAVE_SYN (tcp(7)). Needs root.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif

static int get(int fd, int level, int name)
{
    int value = -2;
    socklen_t len = sizeof value;
    return getsockopt(fd, level, name, &value, &len) == 0 ? value : -errno - 1000;
}

static int set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

static struct sockaddr_in name_of(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    return a;
}

static int bound(int type, int protocol)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type, protocol);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static void tcp_pair(int out[2])
{
    int l = bound(SOCK_STREAM, 0);
    struct sockaddr_in a = name_of(l);
    REQUIRE(listen(l, 1) == 0);
    out[0] = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(connect(out[0], (struct sockaddr *)&a, sizeof a) == 0);
    out[1] = accept(l, NULL, NULL);
    REQUIRE(out[1] >= 0);
    close(l);
}

static void udp_pair(int out[2])
{
    for (int i = 0; i < 2; i++)
        out[i] = bound(SOCK_DGRAM, 0);
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in a = name_of(out[!i]);
        REQUIRE(connect(out[i], (struct sockaddr *)&a, sizeof a) == 0);
    }
}

/* ---- SO_PEEK_OFF ---- */

/* recvmsg of `room` bytes gives exactly this, with MSG_TRUNC or without; then the offset is that.
 */
static void gives(int line, int fd, size_t room, int flags, const char *want, bool cut, int off)
{
    char bytes[64] = "";
    struct iovec v = {bytes, room};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    long n = recvmsg(fd, &m, flags | MSG_DONTWAIT), wanted = want ? (long)strlen(want) : -1;
    int now = get(fd, SOL_SOCKET, SO_PEEK_OFF), error = n < 0 ? errno : 0;
    if (n != wanted || (n < 0 && error != EAGAIN) || (n > 0 && memcmp(bytes, want, (size_t)n)) ||
        (n >= 0 && !!(m.msg_flags & MSG_TRUNC) != cut) || now != off) {
        printf("line %d: %ld bytes \"%.*s\", errno %d, flags %x, offset %d\n", line, n,
               n > 0 ? (int)n : 0, bytes, error, (unsigned)m.msg_flags, now);
        REQUIRE(!"as wanted");
    }
}
#define PEEK(room, want, cut, off) gives(__LINE__, fd, room, MSG_PEEK, want, cut, off)
#define READ(room, want, cut, off) gives(__LINE__, fd, room, 0, want, cut, off)

static void say(int fd, const char *text)
{
    REQUIRE(send(fd, text, strlen(text), 0) == (long)strlen(text));
}

static int events(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 20000) == 1 ? p.revents : 0;
}

static void peek_stream(int fd, int other)
{
    char all[8];
    REQUIRE(get(fd, SOL_SOCKET, SO_PEEK_OFF) == -1);
    say(other, "abcdef");
    REQUIRE(events(fd));
    PEEK(2, "ab", false, -1);
    PEEK(2, "ab", false, -1);
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, 0) == 0);
    PEEK(2, "ab", false, 2);
    PEEK(2, "cd", false, 4);
    READ(3, "abc", false, 1);
    PEEK(9, "ef", false, 3);
    PEEK(9, NULL, false, 3);
    READ(1, "d", false, 2);
    READ(9, "ef", false, 0);
    /* Two writes are one stream. */
    say(other, "ij");
    say(other, "kl");
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, -1) == 0);
    while (recv(fd, all, sizeof all, MSG_PEEK) != 4)
        ;
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, 1) == 0);
    PEEK(9, "jkl", false, 4);
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, 3) == 0);
    PEEK(9, "l", false, 4);
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, 100) == 0);
    PEEK(9, NULL, false, 100);
    READ(9, "ijkl", false, 96);
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, -7) == 0);
    REQUIRE(get(fd, SOL_SOCKET, SO_PEEK_OFF) == -7);
    say(other, "m");
    REQUIRE(events(fd));
    PEEK(1, "m", false, -7);
    READ(1, "m", false, -7);
}

/* Messages; UDP says MSG_TRUNC where AF_UNIX does not: when the rest fits exactly. */
static void peek_messages(int fd, int other, bool udp)
{
    REQUIRE(get(fd, SOL_SOCKET, SO_PEEK_OFF) == -1);
    say(other, "abcde"), say(other, ""), say(other, "fgh");
    REQUIRE(events(fd));
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, 0) == 0);
    PEEK(2, "ab", true, 2);
    PEEK(2, "cd", true, 4);
    PEEK(1, "e", udp, 5);
    PEEK(9, "", false, 5);
    PEEK(9, "fgh", false, 8);
    PEEK(9, NULL, false, 8);
    say(other, "");
    PEEK(9, "", false, 8);
    PEEK(9, NULL, false, 8);
    READ(9, "abcde", false, 3);
    PEEK(9, NULL, false, 3);
    READ(9, "", false, 3);
    READ(2, "fg", true, udp ? 1 : 0);
    READ(9, "", false, udp ? 1 : 0);
    say(other, "ijkl"), say(other, "mn");
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, 2) == 0);
    PEEK(9, "kl", false, 4);
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, 5) == 0);
    PEEK(9, "n", false, 6);
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, 1) == 0);
    gives(__LINE__, fd, 0, 0, "", true, udp ? 1 : 0); /* what is thrown away counts on AF_UNIX */
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, -1) == 0);
    PEEK(9, "mn", false, -1);
    READ(9, "mn", false, -1);
}

static void *speak_later(void *fd)
{
    usleep(20000);
    say((int)(long)fd, "xyz");
    return NULL;
}

/* Who has seen all waits for more. */
static void peek_waits(int fd, int other)
{
    pthread_t thread;
    char bytes[8];
    say(other, "uvw");
    REQUIRE(events(fd));
    REQUIRE(set(fd, SOL_SOCKET, SO_PEEK_OFF, 0) == 0);
    PEEK(8, "uvw", false, 3);
    REQUIRE(pthread_create(&thread, NULL, speak_later, (void *)(long)other) == 0);
    REQUIRE(recv(fd, bytes, sizeof bytes, MSG_PEEK) == 3 && memcmp(bytes, "xyz", 3) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    PEEK(8, NULL, false, 6);
    struct timeval soon = {0, 10000};
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0);
    REQUIRE_ERRNO(recv(fd, bytes, sizeof bytes, MSG_PEEK), EAGAIN);
}

static void peek_offsets(void)
{
    int p[2];
    for (int kind = 0; kind < 5; kind++)
        for (int part = 0; part < 2; part++) {
            int type = kind == 0 ? SOCK_STREAM : kind == 1 ? SOCK_DGRAM : SOCK_SEQPACKET;
            if (kind < 3)
                REQUIRE(socketpair(AF_UNIX, type, 0, p) == 0);
            else
                (kind == 3 ? udp_pair : tcp_pair)(p);
            if (part)
                peek_waits(p[0], p[1]);
            else if (kind == 0 || kind == 4)
                peek_stream(p[0], p[1]);
            else
                peek_messages(p[0], p[1], kind == 3);
            close(p[0]), close(p[1]);
        }
    int none[] = {socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), socket(AF_INET, SOCK_RAW, 99),
                  socket(AF_PACKET, SOCK_RAW, 0)};
    for (unsigned i = 0; i < 3; i++) {
        REQUIRE(get(none[i], SOL_SOCKET, SO_PEEK_OFF) == -EOPNOTSUPP - 1000);
        REQUIRE_ERRNO(set(none[i], SOL_SOCKET, SO_PEEK_OFF, 0), EOPNOTSUPP);
        close(none[i]);
    }
}

/* ---- raw sockets of TCP and UDP ---- */

/* Packets from this port until one is as wanted: bytes of the transport's header and behind. */
static long raw_packet(int raw, bool v4, uint16_t from, unsigned char *out, size_t room)
{
    unsigned char bytes[70000];
    for (;;) {
        struct pollfd p = {.fd = raw, .events = POLLIN};
        if (poll(&p, 1, 2000) != 1)
            return -1;
        long n = recv(raw, bytes, sizeof bytes, 0);
        long header = v4 ? (bytes[0] & 15) * 4 : 0;
        REQUIRE(n > header);
        if (memcmp(bytes + header, &from, 2) != 0)
            continue;
        if (v4)
            REQUIRE(bytes[0] >> 4 == 4 && ntohl(*(uint32_t *)(void *)(bytes + 12)) == 0x7f000001);
        n -= header;
        memcpy(out, bytes + header, (size_t)n < room ? (size_t)n : room);
        return n;
    }
}

static void raw_udp(void)
{
    unsigned char bytes[64];
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_UDP), p[2];
    REQUIRE(raw >= 0);
    udp_pair(p);
    uint16_t from = name_of(p[0]).sin_port, closed;
    say(p[0], "hello");
    REQUIRE(raw_packet(raw, true, from, bytes, sizeof bytes) == 13);
    REQUIRE(memcmp(bytes + 8, "hello", 5) == 0);
    REQUIRE(recv(p[1], bytes, 9, 0) == 5); /* a copy: it goes its way, too */
    /* Where nobody listens it is seen, and refused all the same. */
    closed = name_of(p[1]).sin_port;
    close(p[1]);
    say(p[0], "bye");
    REQUIRE(raw_packet(raw, true, from, bytes, sizeof bytes) == 11);
    REQUIRE(memcmp(bytes + 2, &closed, 2) == 0);
    REQUIRE(events(p[0]));
    REQUIRE_ERRNO(recv(p[0], bytes, 9, 0), ECONNREFUSED);
    /* Of an address that is not the socket's. */
    struct sockaddr_in other = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002)};
    REQUIRE(bind(raw, (struct sockaddr *)&other, sizeof other) == 0);
    say(p[0], "no");
    REQUIRE(recv(raw, bytes, sizeof bytes, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    close(raw), close(p[0]);
}

static void raw_tcp(void)
{
    unsigned char h[64];
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_TCP), p[2], n;
    REQUIRE(raw >= 0);
    tcp_pair(p);
    uint16_t from = name_of(p[0]).sin_port;
    say(p[0], "hello");
    REQUIRE(raw_packet(raw, true, from, h, sizeof h) >= 20 && (h[13] & 0x12) == 2); /* SYN */
    REQUIRE(raw_packet(raw, true, from, h, sizeof h) >= 20 && (h[13] & 0x12) == 0x10);
    n = (int)raw_packet(raw, true, from, h, sizeof h);
    REQUIRE(n - (h[12] >> 4) * 4 == 5 && memcmp(h + n - 5, "hello", 5) == 0);
    REQUIRE(recv(p[1], h, 9, 0) == 5);
    close(raw), close(p[0]), close(p[1]);
    tcp_pair(p); /* nobody looks any more */
    close(p[0]), close(p[1]);
}

/* IPv6: without the header; with IPV6_CHECKSUM only what has a good sum. */
static void raw_v6(void)
{
    unsigned char bytes[64];
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof a;
    int raw = socket(AF_INET6, SOCK_RAW, IPPROTO_UDP), to = socket(AF_INET6, SOCK_DGRAM, 0);
    int from = socket(AF_INET6, SOCK_DGRAM, 0);
    REQUIRE(raw >= 0 && bind(to, (struct sockaddr *)&a, sizeof a) == 0);
    REQUIRE(bind(from, (struct sockaddr *)&a, sizeof a) == 0);
    REQUIRE(getsockname(to, (struct sockaddr *)&a, &len) == 0);
    REQUIRE(connect(from, (struct sockaddr *)&a, sizeof a) == 0);
    REQUIRE(getsockname(from, (struct sockaddr *)&a, &len) == 0);
    REQUIRE(get(raw, IPPROTO_IPV6, IPV6_CHECKSUM) == -1);
    say(from, "six");
    REQUIRE(raw_packet(raw, false, a.sin6_port, bytes, sizeof bytes) == 11);
    REQUIRE(memcmp(bytes + 8, "six", 3) == 0);
    REQUIRE_ERRNO(set(raw, IPPROTO_IPV6, IPV6_CHECKSUM, 5), EINVAL);
    REQUIRE(set(raw, IPPROTO_IPV6, IPV6_CHECKSUM, 6) == 0);
    REQUIRE(get(raw, IPPROTO_IPV6, IPV6_CHECKSUM) == 6);
    say(from, "seven");
    REQUIRE(raw_packet(raw, false, a.sin6_port, bytes, sizeof bytes) == 13);
    /* It sums up what we send, too: a datagram of our own making arrives. */
    unsigned char made[10] = {bytes[0], bytes[1], bytes[2], bytes[3], 0, 10, 0, 0, 'h', 'i'};
    a.sin6_port = 0;
    REQUIRE(sendto(raw, made, sizeof made, 0, (struct sockaddr *)&a, sizeof a) == sizeof made);
    while (recv(to, bytes, 9, 0) != 2)
        ;
    REQUIRE(memcmp(bytes, "hi", 2) == 0);
    close(raw), close(to), close(from);
}

/* ---- netlink ---- */

static void netlink_options(void)
{
    static const int switches[] = {
        NETLINK_PKTINFO, NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS,    NETLINK_LISTEN_ALL_NSID,
        NETLINK_CAP_ACK, NETLINK_EXT_ACK,         NETLINK_GET_STRICT_CHK};
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    unsigned char byte = 1;
    socklen_t len = 3;
    for (unsigned i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        REQUIRE(get(fd, SOL_NETLINK, switches[i]) == 0);
        REQUIRE(set(fd, SOL_NETLINK, switches[i], 5) == 0);
        REQUIRE(get(fd, SOL_NETLINK, switches[i]) == 1);
        REQUIRE_ERRNO(getsockopt(fd, SOL_NETLINK, switches[i], &byte, &len), EINVAL);
        REQUIRE(setsockopt(fd, SOL_NETLINK, switches[i], &byte, 1) == 0); /* too short: 0 */
        REQUIRE(get(fd, SOL_NETLINK, switches[i]) == 0);
    }
    REQUIRE(get(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP) == -ENOPROTOOPT - 1000);
    REQUIRE(get(fd, SOL_NETLINK, 99) == -ENOPROTOOPT - 1000);
    REQUIRE(get(fd, IPPROTO_IP, NETLINK_PKTINFO) == -ENOPROTOOPT - 1000);
    REQUIRE_ERRNO(set(fd, SOL_NETLINK, 99, 1), ENOPROTOOPT);
    REQUIRE_ERRNO(set(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, 1), ENOPROTOOPT);
    REQUIRE_ERRNO(set(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, 0), EINVAL);
    REQUIRE_ERRNO(set(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, 1000), EINVAL);

    uint32_t groups[8] = {0};
    REQUIRE(set(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_LINK) == 0);
    REQUIRE(set(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_IPV4_IFADDR) == 0);
    len = 0; /* asked for how many there are */
    REQUIRE(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &len) == 0);
    REQUIRE(len >= 4 && len <= sizeof groups && groups[0] == 0);
    REQUIRE(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &len) == 0);
    REQUIRE(groups[0] == (1u << (RTNLGRP_LINK - 1) | 1u << (RTNLGRP_IPV4_IFADDR - 1)));
    REQUIRE(set(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, RTNLGRP_LINK) == 0);
    REQUIRE(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &len) == 0);
    REQUIRE(groups[0] == 1u << (RTNLGRP_IPV4_IFADDR - 1));
    close(fd);
}

/* NETLINK_PKTINFO: by which group a message came; the sender's address says so, too. */
static void netlink_group(void)
{
    struct {
        struct nlmsghdr header;
        struct ifaddrmsg about;
        struct rtattr attribute;
        uint32_t address;
    } add = {
        {sizeof add, RTM_NEWADDR, NLM_F_REQUEST | NLM_F_CREATE, 1, 0},
        {AF_INET, 32, 0, RT_SCOPE_HOST, 1},
        {sizeof(struct rtattr) + 4, IFA_LOCAL},
        htonl(0x7f070707),
    };
    struct {
        struct cmsghdr header;
        uint32_t group;
        char more[64];
    } control;
    char bytes[8192];
    struct sockaddr_nl name;
    struct iovec v = {bytes, sizeof bytes};
    struct msghdr m = {.msg_name = &name,
                       .msg_namelen = sizeof name,
                       .msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), hears = socket(AF_NETLINK, SOCK_RAW, 0);
    struct sockaddr_nl any = {.nl_family = AF_NETLINK};
    REQUIRE(bind(hears, (struct sockaddr *)&any, sizeof any) == 0);
    REQUIRE(set(hears, SOL_NETLINK, NETLINK_PKTINFO, 1) == 0);
    REQUIRE(set(hears, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_IPV4_IFADDR) == 0);
    for (int i = 0; i < 2; i++) { /* made, then deleted */
        REQUIRE(send(fd, &add, sizeof add, 0) == sizeof add);
        do {
            m.msg_namelen = sizeof name, m.msg_controllen = sizeof control;
            REQUIRE(events(hears));
            REQUIRE(recvmsg(hears, &m, 0) > 0);
            REQUIRE(name.nl_groups == 1u << (RTNLGRP_IPV4_IFADDR - 1) && name.nl_pid == 0);
            REQUIRE(m.msg_controllen >= sizeof(struct cmsghdr) + 4);
            REQUIRE(control.header.cmsg_level == SOL_NETLINK &&
                    control.header.cmsg_type == NETLINK_PKTINFO);
            REQUIRE(control.group == RTNLGRP_IPV4_IFADDR);
        } while (((struct nlmsghdr *)(void *)bytes)->nlmsg_type != add.header.nlmsg_type);
        add.header.nlmsg_type = RTM_DELADDR;
        add.header.nlmsg_flags = NLM_F_REQUEST;
    }
    close(fd), close(hears);
}

/* ---- TCP ---- */

static struct tcp_info info_of(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    memset(&info, 0, sizeof info);
    REQUIRE(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
    REQUIRE(len >= offsetof(struct tcp_info, tcpi_snd_wnd) + 4);
    return info;
}

/* What is counted, on a connection that loses nothing. */
static void counted(void)
{
    int p[2];
    char byte = 'x';
    tcp_pair(p);
    struct tcp_info a = info_of(p[0]), b = info_of(p[1]);
    REQUIRE(a.tcpi_data_segs_out == 0 && a.tcpi_data_segs_in == 0 && a.tcpi_delivered == 1);
    REQUIRE(b.tcpi_data_segs_out == 0 && b.tcpi_bytes_sent == 0 && b.tcpi_bytes_retrans == 0);
    for (int i = 0; i < 10; i++) { /* each its own segment */
        REQUIRE(send(p[0], &byte, 1, 0) == 1 && recv(p[1], &byte, 1, 0) == 1);
        REQUIRE(send(p[1], &byte, 1, 0) == 1 && recv(p[0], &byte, 1, 0) == 1);
    }
    a = info_of(p[0]);
    REQUIRE(a.tcpi_data_segs_out == 10 && a.tcpi_data_segs_in == 10);
    REQUIRE(a.tcpi_bytes_sent == 10 && a.tcpi_bytes_received == 10);
    REQUIRE(a.tcpi_delivered == 11 && a.tcpi_delivered_ce == 0);
    REQUIRE(a.tcpi_bytes_retrans == 0 && a.tcpi_total_retrans == 0 && a.tcpi_unacked == 0);
    REQUIRE(a.tcpi_segs_out >= 11 && a.tcpi_segs_in >= 11);
    /* Long packets are as many as a wire would see. */
    static char block[1 << 20];
    uint32_t before = a.tcpi_data_segs_out, seen = info_of(p[1]).tcpi_data_segs_in;
    for (size_t sent = 0, got = 0; got < sizeof block;) {
        long n = send(p[0], block + sent, sizeof block - sent, MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        n = recv(p[1], block, sizeof block, sent < sizeof block ? MSG_DONTWAIT : 0);
        got += n > 0 ? (size_t)n : 0;
    }
    a = info_of(p[0]), b = info_of(p[1]);
    uint32_t least = (uint32_t)sizeof block / 65536; /* as many as lo's MTU makes */
    REQUIRE(a.tcpi_data_segs_out - before >= least && b.tcpi_data_segs_in - seen >= least);
    REQUIRE(a.tcpi_bytes_sent == sizeof block + 10 + a.tcpi_bytes_retrans);
    close(p[0]), close(p[1]);
}

static void times_of_accept(void)
{
    static const int pairs[][2] = {
        {0, 0},     {1, 1},         {2, 3},  {127, 127},     {128, 247},         {247, 247},
        {248, 367}, {10000, 10087}, {-5, 0}, {29887, 29887}, {0x7fffffff, 29887}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        REQUIRE(set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, pairs[i][0]) == 0);
        REQUIRE(get(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) == pairs[i][1]);
    }
    close(fd);
}

static void saved_link_header(void)
{
    static const unsigned char link[14] = {[12] = ETH_P_IP >> 8, [13] = ETH_P_IP & 255};
    unsigned char syn[300];
    socklen_t len = sizeof syn;
    int l = bound(SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = name_of(l);
    REQUIRE(set(l, IPPROTO_TCP, TCP_SAVE_SYN, 2) == 0 && get(l, IPPROTO_TCP, TCP_SAVE_SYN) == 2);
    REQUIRE_ERRNO(set(l, IPPROTO_TCP, TCP_SAVE_SYN, 3), EINVAL);
    REQUIRE(listen(l, 1) == 0 && connect(c, (struct sockaddr *)&a, sizeof a) == 0);
    int s = accept(l, NULL, NULL);
    REQUIRE(getsockopt(s, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len) == 0 && len >= 14 + 40);
    REQUIRE(memcmp(syn, link, sizeof link) == 0 && syn[14] >> 4 == 4);
    REQUIRE((syn[14 + 20 + 13] & 0x12) == 2);
    close(s), close(c), close(l);
}

int main(void)
{
    alarm(60);
    peek_offsets();
    raw_udp();
    raw_tcp();
    raw_v6();
    netlink_options();
    netlink_group();
    counted();
    times_of_accept();
    saved_link_header();
    return guest_pass("sockrare");
}
