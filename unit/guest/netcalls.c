/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netcalls.c - what programs ask of the network that the other tests do not: which devices and
 * addresses there are (getifaddrs(3), netdevice(7)), datagrams sent many at a time (udp(7)), files
 * and pipes into and out of streams, groups on lo, and counters of /proc/net/snmp.
 */
#include "procfile.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#ifndef IPV6_2292PKTINFO
#define IPV6_2292PKTINFO 2
#define IPV6_2292HOPLIMIT 8
#endif

static struct sockaddr_in loop(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = port};
}

static int set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

static int get(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    REQUIRE(getsockopt(fd, level, name, &value, &len) == 0);
    return value;
}

static int bound(int type)
{
    struct sockaddr_in a = loop(0);
    int fd = socket(AF_INET, type, 0);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static struct sockaddr_in name_of(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    return a;
}

/* ---- devices and addresses ---- */

static void addresses(void)
{
    struct ifaddrs *all;
    int four = 0, link = 0;
    REQUIRE(getifaddrs(&all) == 0);
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || strcmp(i->ifa_name, "lo") != 0)
            continue;
        REQUIRE((i->ifa_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING)) ==
                (IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
        if (i->ifa_addr->sa_family == AF_PACKET) {
            struct sockaddr_ll *ll = (struct sockaddr_ll *)i->ifa_addr;
            REQUIRE(ll->sll_halen == 6 && ll->sll_ifindex == (int)if_nametoindex("lo"));
            REQUIRE(i->ifa_data);
            link++;
        } else if (i->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in *in = (struct sockaddr_in *)i->ifa_addr;
            struct sockaddr_in *mask = (struct sockaddr_in *)i->ifa_netmask;
            four += in->sin_addr.s_addr == htonl(INADDR_LOOPBACK) &&
                    mask->sin_addr.s_addr == htonl(0xff000000u);
        }
    }
    REQUIRE(four == 1 && link == 1);
    freeifaddrs(all);
}

static void devices(void)
{
    struct if_nameindex *all = if_nameindex();
    struct ifreq r = {0};
    struct ifreq list[16];
    struct ifconf conf = {.ifc_len = sizeof list, .ifc_req = list};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), seen = 0;
    REQUIRE(all && fd >= 0);
    for (struct if_nameindex *i = all; i->if_index; i++) {
        r.ifr_ifindex = (int)i->if_index;
        REQUIRE(ioctl(fd, SIOCGIFNAME, &r) == 0 && strcmp(r.ifr_name, i->if_name) == 0);
        REQUIRE(ioctl(fd, SIOCGIFINDEX, &r) == 0 && r.ifr_ifindex == (int)i->if_index);
        REQUIRE(ioctl(fd, SIOCGIFMTU, &r) == 0 && r.ifr_mtu > 0);
        REQUIRE(ioctl(fd, SIOCGIFFLAGS, &r) == 0);
        seen += strcmp(i->if_name, "lo") == 0 && r.ifr_flags & IFF_LOOPBACK;
    }
    if_freenameindex(all);
    REQUIRE(seen == 1);
    r.ifr_ifindex = 1 << 20;
    REQUIRE_ERRNO(ioctl(fd, SIOCGIFNAME, &r), ENODEV);
    REQUIRE(ioctl(fd, SIOCGIFCONF, &conf) == 0);
    for (int i = 0; i < conf.ifc_len / (int)sizeof list[0]; i++)
        seen += strcmp(list[i].ifr_name, "lo") == 0;
    REQUIRE(seen == 2);
    strcpy(r.ifr_name, "lo");
    REQUIRE(ioctl(fd, SIOCGIFNETMASK, &r) == 0);
    REQUIRE(((struct sockaddr_in *)&r.ifr_netmask)->sin_addr.s_addr == htonl(0xff000000u));
    close(fd);
}

/* ---- datagrams ---- */

static void take(int fd, int want)
{
    char buf[2000];
    REQUIRE(recv(fd, buf, sizeof buf, 0) == want);
    for (int i = 0; i < want; i++)
        REQUIRE(buf[i] == (char)(want * 7 + i));
}

/* Many datagrams in one call, as QUIC does: by the option, and by a control message. */
static void segments(void)
{
    static char data[450];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control = {.header = {CMSG_LEN(sizeof(uint16_t)), SOL_UDP, UDP_SEGMENT}};
    int from = bound(SOCK_DGRAM), to = bound(SOCK_DGRAM);
    struct sockaddr_in a = name_of(to);
    struct iovec v = {data, 250};
    struct msghdr m = {.msg_name = &a,
                       .msg_namelen = sizeof a,
                       .msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    uint16_t size = 50;
    for (int i = 0; i < 450; i++)
        data[i] = (char)((i < 400 ? 100 : 50) * 7 + (i < 400 ? i % 100 : i - 400));
    REQUIRE(set(from, SOL_UDP, UDP_SEGMENT, 100) == 0 && get(from, SOL_UDP, UDP_SEGMENT) == 100);
    REQUIRE(sendto(from, data, 450, 0, (struct sockaddr *)&a, sizeof a) == 450);
    for (int i = 0; i < 4; i++)
        take(to, 100);
    take(to, 50);
    for (int i = 0; i < 250; i++)
        data[i] = (char)(50 * 7 + i % 50);
    memcpy(CMSG_DATA(&control.header), &size, sizeof size);
    REQUIRE(sendmsg(from, &m, 0) == 250);
    for (int i = 0; i < 5; i++)
        take(to, 50);
    REQUIRE_ERRNO(recv(to, data, 1, MSG_DONTWAIT), EAGAIN);
    REQUIRE(set(from, SOL_UDP, UDP_SEGMENT, 0) == 0 && set(to, SOL_UDP, UDP_GRO, 1) == 0);
    REQUIRE(sendto(from, data, 3, MSG_DONTROUTE, (struct sockaddr *)&a, sizeof a) == 3);
    REQUIRE(recv(to, data, sizeof data, 0) == 3);
    REQUIRE_ERRNO(set(from, SOL_UDP, UDP_SEGMENT, -1), EINVAL);
    REQUIRE_ERRNO(set(from, SOL_UDP, UDP_SEGMENT, 65536), EINVAL);
    close(from), close(to);
}

/* A group whose members are on lo. */
static void groups(void)
{
    struct ip_mreq m = {{htonl(0xef820000u | (getpid() & 0xffff))}, {htonl(INADDR_LOOPBACK)}};
    int from = bound(SOCK_DGRAM), to = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = m.imr_multiaddr};
    char c;
    REQUIRE(bind(to, (struct sockaddr *)&a, sizeof a) == 0);
    a.sin_port = name_of(to).sin_port;
    REQUIRE(setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &m.imr_interface, 4) == 0);
    REQUIRE(setsockopt(to, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m) == 0);
    REQUIRE_ERRNO(setsockopt(to, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), EADDRINUSE);
    REQUIRE(sendto(from, "g", 1, 0, (struct sockaddr *)&a, sizeof a) == 1);
    REQUIRE(recv(to, &c, 1, 0) == 1 && c == 'g');
    REQUIRE(setsockopt(to, IPPROTO_IP, IP_DROP_MEMBERSHIP, &m, sizeof m) == 0);
    REQUIRE_ERRNO(setsockopt(to, IPPROTO_IP, IP_DROP_MEMBERSHIP, &m, sizeof m), EADDRNOTAVAIL);
    close(from), close(to);
}

/* A socket at 127.0.0.`last` that sends to groups on lo. */
static int sender(uint32_t last)
{
    struct in_addr lo = {htonl(INADDR_LOOPBACK)};
    struct sockaddr_in a = loop(0);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    a.sin_addr.s_addr = htonl(0x7f000000u + last);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    REQUIRE(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof lo) == 0);
    return fd;
}

/* The next one; earlier ones may be late, and by then be wanted. */
static int next(int fd, char from)
{
    char c;
    do
        REQUIRE(recv(fd, &c, 1, 0) == 1);
    while (c < from);
    return c;
}

/* Groups by who sends (RFC 3678): only some, or all but some. */
static void sources(void)
{
    struct ip_mreq_source m = {.imr_multiaddr = {htonl(0xef830000u | (getpid() & 0xffff))},
                               .imr_interface = {htonl(INADDR_LOOPBACK)}};
    struct ip_mreq plain = {m.imr_multiaddr, m.imr_interface};
    struct group_source_req r = {.gsr_interface = if_nametoindex("lo")};
    int one = sender(1), two = sender(2), to = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = m.imr_multiaddr}, b = loop(0);
    REQUIRE(bind(to, (struct sockaddr *)&a, sizeof a) == 0);
    a.sin_port = name_of(to).sin_port;
#define SOURCE(what, last) \
    (m.imr_sourceaddr.s_addr = htonl(0x7f000000u + (uint32_t)(last)), \
     setsockopt(to, IPPROTO_IP, what, &m, sizeof m))
#define REQUEST(what) setsockopt(to, IPPROTO_IP, what, &r, sizeof r)
#define SEND(from, text) REQUIRE(sendto(from, text, 1, 0, (struct sockaddr *)&a, sizeof a) == 1)
    REQUIRE_ERRNO(SOURCE(IP_BLOCK_SOURCE, 2), EINVAL); /* has not joined */
    REQUIRE_ERRNO(setsockopt(to, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &m, 8), EINVAL);
    REQUIRE(SOURCE(IP_ADD_SOURCE_MEMBERSHIP, 2) == 0);
    REQUIRE_ERRNO(SOURCE(IP_ADD_SOURCE_MEMBERSHIP, 2), EADDRNOTAVAIL);
    REQUIRE_ERRNO(SOURCE(IP_BLOCK_SOURCE, 2), EINVAL);
    SEND(one, "1");
    SEND(two, "2");
    REQUIRE(next(to, '1') == '2');
    REQUIRE(SOURCE(IP_ADD_SOURCE_MEMBERSHIP, 1) == 0);
    SEND(one, "3");
    REQUIRE(next(to, '3') == '3');
    REQUIRE(SOURCE(IP_DROP_SOURCE_MEMBERSHIP, 1) == 0);
    REQUIRE_ERRNO(SOURCE(IP_DROP_SOURCE_MEMBERSHIP, 1), EADDRNOTAVAIL);
    REQUIRE(SOURCE(IP_DROP_SOURCE_MEMBERSHIP, 2) == 0); /* and so the group */
    REQUIRE(setsockopt(to, IPPROTO_IP, IP_ADD_MEMBERSHIP, &plain, sizeof plain) == 0);
    REQUIRE(SOURCE(IP_BLOCK_SOURCE, 1) == 0);
    SEND(one, "4");
    SEND(two, "5");
    REQUIRE(next(to, '4') == '5');
    REQUIRE(SOURCE(IP_UNBLOCK_SOURCE, 1) == 0);
    REQUIRE_ERRNO(SOURCE(IP_UNBLOCK_SOURCE, 1), EADDRNOTAVAIL);
    SEND(one, "6");
    REQUIRE(next(to, '6') == '6');
    for (int i = 1; i <= 10; i++)
        REQUIRE(SOURCE(IP_BLOCK_SOURCE, i) == 0);
    REQUIRE_ERRNO(SOURCE(IP_BLOCK_SOURCE, 11), ENOBUFS);
    REQUIRE(setsockopt(to, IPPROTO_IP, IP_DROP_MEMBERSHIP, &plain, sizeof plain) == 0);
    memcpy(&r.gsr_group, &a, sizeof a);
    memcpy(&r.gsr_source, &b, sizeof b);
    REQUIRE_ERRNO(REQUEST(MCAST_UNBLOCK_SOURCE), EINVAL);
    REQUIRE_ERRNO(setsockopt(to, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &r, 200), EINVAL);
    REQUIRE(REQUEST(MCAST_JOIN_SOURCE_GROUP) == 0);
    SEND(two, "7");
    SEND(one, "8");
    REQUIRE(next(to, '7') == '8');
    REQUIRE(REQUEST(MCAST_LEAVE_SOURCE_GROUP) == 0);
    REQUIRE_ERRNO(REQUEST(MCAST_LEAVE_SOURCE_GROUP), EINVAL);
    close(one), close(two), close(to);
}

/* RFC 2292's names of what RFC 3542 calls anew: programs of old headers (busybox's ping6). */
static void old_names(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    socklen_t len = sizeof a;
    char c, control[256];
    struct iovec v = {&c, 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0), seen = 0;
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0)
        return; /* a Linux without IPv6 */
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    REQUIRE(set(fd, IPPROTO_IPV6, IPV6_2292HOPLIMIT, 1) == 0);
    REQUIRE(set(fd, IPPROTO_IPV6, IPV6_2292PKTINFO, 1) == 0);
    REQUIRE(set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) == 0);
    REQUIRE(get(fd, IPPROTO_IPV6, IPV6_2292HOPLIMIT) == 1);
    REQUIRE(sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof a) == 1);
    REQUIRE(recvmsg(fd, &m, 0) == 1);
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
        int hops = -1;
        struct in6_pktinfo info;
        REQUIRE(h->cmsg_level == IPPROTO_IPV6);
        if (h->cmsg_type == IPV6_2292PKTINFO) {
            memcpy(&info, CMSG_DATA(h), sizeof info);
            REQUIRE(info.ipi6_ifindex == if_nametoindex("lo"));
            REQUIRE(memcmp(&info.ipi6_addr, &in6addr_loopback, 16) == 0);
        } else {
            REQUIRE(h->cmsg_type == IPV6_2292HOPLIMIT || h->cmsg_type == IPV6_HOPLIMIT);
            memcpy(&hops, CMSG_DATA(h), sizeof hops);
            REQUIRE(hops == 64);
        }
        seen += h->cmsg_type;
    }
    REQUIRE(seen == IPV6_2292PKTINFO + IPV6_2292HOPLIMIT + IPV6_HOPLIMIT);
    close(fd);
}

/* ---- streams ---- */

static void connected(int ends[2])
{
    int l = bound(SOCK_STREAM);
    struct sockaddr_in a = name_of(l);
    REQUIRE(listen(l, 4) == 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(connect(ends[0], (struct sockaddr *)&a, sizeof a) == 0);
    ends[1] = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    REQUIRE(ends[1] >= 0);
    close(l);
}

static void files_and_pipes(void)
{
    static char data[20000], got[20000];
    int ends[2], pipes[2], fd = memfd_create("netcalls", 0);
    off_t at = 5000;
    char c;
    connected(ends);
    REQUIRE(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
    REQUIRE(fcntl(ends[1], F_GETFD) == FD_CLOEXEC);
    REQUIRE_ERRNO(recv(ends[1], &c, 1, 0), EAGAIN);
    REQUIRE(fcntl(ends[1], F_SETFL, 0) == 0);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 31 + i / 256);
    REQUIRE(fd >= 0 && pwrite(fd, data, sizeof data, 0) == sizeof data && pipe(pipes) == 0);
    REQUIRE(sendfile(ends[0], fd, &at, 10000) == 10000 && at == 15000);
    REQUIRE(recv(ends[1], got, 10000, MSG_WAITALL) == 10000);
    REQUIRE(memcmp(got, data + 5000, 10000) == 0);
    /* From a pipe to the stream, from the stream to a pipe. */
    REQUIRE(write(pipes[1], data, 9000) == 9000);
    for (ssize_t n = 0, part; n < 9000; n += part) {
        part = splice(pipes[0], NULL, ends[0], NULL, (size_t)(9000 - n), SPLICE_F_MORE);
        REQUIRE(part > 0);
    }
    REQUIRE(shutdown(ends[0], SHUT_WR) == 0);
    for (ssize_t n = 0, part; n < 9000; n += part) {
        part = splice(ends[1], NULL, pipes[1], NULL, (size_t)(9000 - n), SPLICE_F_MOVE);
        REQUIRE(part > 0 && read(pipes[0], got + n, (size_t)part) == part);
    }
    REQUIRE(memcmp(got, data, 9000) == 0);
    REQUIRE(splice(ends[1], NULL, pipes[1], NULL, 1, 0) == 0);
    REQUIRE(get(ends[0], SOL_SOCKET, SO_INCOMING_NAPI_ID) == 0);
    close(ends[0]), close(ends[1]), close(pipes[0]), close(pipes[1]), close(fd);
}

/* What recv leaves is told with what it takes (TCP_INQ). */
static int left_behind(int fd, size_t take)
{
    char data[16];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = 0}};
    struct iovec iov = {data, take};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control.bytes};
    int left;
    REQUIRE(recvmsg(fd, &m, 0) >= 0);
    if (m.msg_controllen == 0)
        return -1;
    REQUIRE(control.header.cmsg_level == IPPROTO_TCP && control.header.cmsg_type == TCP_INQ);
    REQUIRE(control.header.cmsg_len == CMSG_LEN(sizeof left));
    memcpy(&left, CMSG_DATA(&control.header), sizeof left);
    return left;
}

static void stream_options(void)
{
    int ends[2], unread = 0;
    char info[64];
    socklen_t len = sizeof info;
    connected(ends);
    REQUIRE(fcntl(ends[1], F_SETFL, 0) == 0);
    REQUIRE(send(ends[0], "0123456789", 10, 0) == 10);
    while (unread < 10)
        REQUIRE(ioctl(ends[1], FIONREAD, &unread) == 0);
    REQUIRE(get(ends[1], IPPROTO_TCP, TCP_INQ) == 0 && left_behind(ends[1], 1) == -1);
    REQUIRE_ERRNO(set(ends[1], IPPROTO_TCP, TCP_INQ, 2), EINVAL);
    REQUIRE(set(ends[1], IPPROTO_TCP, TCP_INQ, 1) == 0);
    REQUIRE(get(ends[1], IPPROTO_TCP, TCP_INQ) == 1);
    REQUIRE(left_behind(ends[1], 4) == 5 && left_behind(ends[1], 5) == 0);
    REQUIRE(shutdown(ends[0], SHUT_WR) == 0);
    REQUIRE(left_behind(ends[1], 1) == 1); /* the end counts as one */
    REQUIRE(set(ends[1], IPPROTO_TCP, TCP_INQ, 0) == 0 && left_behind(ends[1], 1) == -1);
    /* CUBIC has nothing to say. */
    REQUIRE(setsockopt(ends[0], IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) == 0);
    REQUIRE(getsockopt(ends[0], IPPROTO_TCP, TCP_CC_INFO, info, &len) == 0 && len == 0);
    len = sizeof info;
    REQUIRE(getsockopt(ends[0], IPPROTO_TCP, TCP_ULP, info, &len) == 0 && len == 0);
    REQUIRE_ERRNO(setsockopt(ends[0], IPPROTO_TCP, TCP_ULP, "none at all", 11), ENOENT);
    REQUIRE_ERRNO(setsockopt(ends[0], IPPROTO_TCP, TCP_ULP, "", 0), EINVAL);
#ifdef TCP_IS_MPTCP /* Linux 6.5 */
    REQUIRE(get(ends[0], IPPROTO_TCP, TCP_IS_MPTCP) == 0);
#endif
    close(ends[0]), close(ends[1]);
}

/* ---- IPv6 ---- */

/* The kernel puts sums into what a raw socket sends, and looks at those that come (RFC 3542, 3.1).
 */
static void raw_sums(void)
{
    enum { PROTOCOL = 253 /* RFC 3692 */ };
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int from = socket(AF_INET6, SOCK_RAW, PROTOCOL), to = socket(AF_INET6, SOCK_RAW, PROTOCOL);
    /* What this one sends is its own affair. */
    int other = socket(AF_INET6, SOCK_RAW, PROTOCOL);
    unsigned char data[8];
    if (from < 0 && errno == EPERM)
        return; /* not root: Linux, then */
    REQUIRE(from >= 0 && to >= 0 && other >= 0);
    REQUIRE(get(from, IPPROTO_IPV6, IPV6_CHECKSUM) == -1);
    REQUIRE_ERRNO(set(from, IPPROTO_IPV6, IPV6_CHECKSUM, 3), EINVAL);
    REQUIRE(set(from, IPPROTO_IPV6, IPV6_CHECKSUM, 4) == 0);
    REQUIRE(get(from, IPPROTO_IPV6, IPV6_CHECKSUM) == 4);
    REQUIRE(set(to, IPPROTO_IPV6, IPV6_CHECKSUM, 4) == 0);
    REQUIRE_ERRNO(sendto(from, "12345", 5, 0, (struct sockaddr *)&a, sizeof a), EINVAL);
    REQUIRE(sendto(other, "12345678", 8, 0, (struct sockaddr *)&a, sizeof a) == 8);
    REQUIRE(sendto(from, "1234\0\0!", 7, 0, (struct sockaddr *)&a, sizeof a) == 7);
    REQUIRE(recv(to, data, sizeof data, 0) == 7); /* not the one without a sum */
    unsigned sum = 2 * 1 + 7 + PROTOCOL, got = data[4] << 8 | data[5];
    sum += ('1' << 8 | '2') + ('3' << 8 | '4') + ('!' << 8);
    sum += got;
    REQUIRE(((sum & 0xffff) + (sum >> 16)) == 0xffff);
    REQUIRE(set(to, IPPROTO_IPV6, IPV6_CHECKSUM, -1) == 0);
    REQUIRE(sendto(other, "12345678", 8, 0, (struct sockaddr *)&a, sizeof a) == 8);
    REQUIRE(recv(to, data, sizeof data, 0) == 8);
    close(from), close(to), close(other);
    /* ICMPv6's has its place. */
    from = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    REQUIRE(from >= 0 && get(from, IPPROTO_IPV6, IPV6_CHECKSUM) == 2);
    REQUIRE_ERRNO(set(from, IPPROTO_IPV6, IPV6_CHECKSUM, 4), EINVAL);
    close(from);
}

/* Where a datagram was sent to, as a proxy asks it; what a group's datagrams need. */
static void proxied(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, got;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof got)];
    } control;
    char c;
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control.bytes};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    socklen_t len = sizeof a;
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    REQUIRE(set(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1) == 0);
    REQUIRE(sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof a) == 1);
    REQUIRE(recvmsg(fd, &m, 0) == 1 && control.header.cmsg_level == IPPROTO_IPV6);
    REQUIRE(control.header.cmsg_type == IPV6_ORIGDSTADDR && m.msg_controllen >= sizeof got);
    memcpy(&got, CMSG_DATA(&control.header), sizeof got);
    REQUIRE(got.sin6_family == AF_INET6 && got.sin6_port == a.sin6_port);
    REQUIRE(memcmp(&got.sin6_addr, &a.sin6_addr, sizeof got.sin6_addr) == 0);
    REQUIRE(get(fd, IPPROTO_IPV6, IPV6_TRANSPARENT) == 0);
    REQUIRE(set(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1) == (geteuid() == 0 ? 0 : -1));
    REQUIRE(get(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL) == 1);
    REQUIRE(set(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0) == 0);
    REQUIRE(get(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL) == 0);
    REQUIRE(get(fd, IPPROTO_IP, IP_MULTICAST_ALL) == 0); /* that is another one */
    close(fd);
}

/* ---- counters ---- */

static long snmp(const char *group, const char *name)
{
    long value = net_counter("/proc/net/snmp", group, name);
    REQUIRE(value >= 0);
    return value;
}

/* Natively the counters are everybody's: no more than what must be is looked for. */
static void counters(void)
{
    int ends[2], from = bound(SOCK_DGRAM), to = bound(SOCK_DGRAM);
    struct sockaddr_in a = name_of(to);
    long errors = snmp("Udp", "InErrors"), full = snmp("Udp", "RcvbufErrors");
    REQUIRE(set(to, SOL_SOCKET, SO_RCVBUF, 1) == 0);
    for (int i = 0; i < 100; i++)
        REQUIRE(sendto(from, "full", 4, 0, (struct sockaddr *)&a, sizeof a) == 4);
    REQUIRE(snmp("Udp", "RcvbufErrors") >= full + 50);
    REQUIRE(snmp("Udp", "InErrors") >= errors + 50);
    connected(ends);
    REQUIRE(snmp("Tcp", "CurrEstab") >= 2);
    close(from), close(to), close(ends[0]), close(ends[1]);
}

int main(void)
{
    addresses();
    devices();
    segments();
    groups();
    sources();
    old_names();
    files_and_pipes();
    stream_options();
    raw_sums();
    proxied();
    counters();
    return guest_pass("netcalls");
}
