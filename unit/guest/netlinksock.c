/* SPDX-License-Identifier: BSD-3-Clause */
/* netlinksock.c - NETLINK_ROUTE and NETLINK_SOCK_DIAG as netlink(7), rtnetlink(7) and sock_diag(7)
 * say: changes on lo and their errors, acknowledgements, notifications, dumps. Needs root. It also
 * runs on the host: what it adds to lo are an address and a route of its own, which it removes; it
 * changes nothing else there. The same by ioctl, as netdevice(7) has it. */
#include "guest.h"
#include "procfile.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct request {
    struct nlmsghdr header;
    union {
        struct ifaddrmsg address;
        struct rtmsg route;
        struct ndmsg neighbour;
        struct ifinfomsg link;
        struct inet_diag_req_v2 diag;
        char bytes[512];
    };
} request;
static char reply[65536];
static long reply_len;
static uint32_t sequence;

static void begin(int type, int flags, size_t fixed)
{
    memset(&request, 0, sizeof request);
    request.header.nlmsg_type = (uint16_t)type;
    request.header.nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST);
    request.header.nlmsg_len = (uint32_t)NLMSG_LENGTH(fixed);
    request.header.nlmsg_seq = ++sequence;
}

static void put(int type, const void *data, size_t len)
{
    struct rtattr *a = (void *)((char *)&request + NLMSG_ALIGN(request.header.nlmsg_len));
    a->rta_type = (uint16_t)type;
    a->rta_len = (uint16_t)RTA_LENGTH(len);
    memcpy(RTA_DATA(a), data, len);
    request.header.nlmsg_len = NLMSG_ALIGN(request.header.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

static struct nlmsghdr *receive(int fd)
{
    reply_len = recv(fd, reply, sizeof reply, 0);
    REQUIRE(reply_len >= (long)sizeof(struct nlmsghdr));
    return (void *)reply;
}

/* Send, and the errno of the acknowledgement. */
static int ask(int fd)
{
    request.header.nlmsg_flags |= NLM_F_ACK;
    REQUIRE(send(fd, &request, request.header.nlmsg_len, 0) == (long)request.header.nlmsg_len);
    struct nlmsghdr *h = receive(fd);
    struct nlmsgerr *e = NLMSG_DATA(h);
    REQUIRE(h->nlmsg_type == NLMSG_ERROR && h->nlmsg_seq == sequence);
    REQUIRE(e->msg.nlmsg_seq == sequence && e->msg.nlmsg_type == request.header.nlmsg_type);
    /* An error quotes the request, success its header. */
    size_t quoted = e->error ? request.header.nlmsg_len : sizeof e->msg;
    if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
        REQUIRE(h->nlmsg_len == NLMSG_LENGTH(4 + quoted));
    REQUIRE(!(h->nlmsg_flags & NLM_F_CAPPED) == (e->error != 0));
    return -e->error;
}

static int open_route(uint32_t groups)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = groups}, got;
    socklen_t len = sizeof got;
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&got, &len) == 0 && len == sizeof got);
    REQUIRE(got.nl_pid != 0 && got.nl_groups == groups);
    return fd;
}

static const struct rtattr *attribute(const struct nlmsghdr *h, size_t fixed, int type)
{
    const struct rtattr *a = (void *)((char *)h + NLMSG_LENGTH(0) + NLMSG_ALIGN(fixed));
    int len = (int)(h->nlmsg_len - NLMSG_LENGTH(0) - NLMSG_ALIGN(fixed));
    for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
        if (a->rta_type == type)
            return a;
    return NULL;
}

/* A notification of this type about this address or route; others are passed over. */
static void told(int fd, int type, size_t fixed, int which, uint32_t address)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (1) {
        REQUIRE(poll(&p, 1, 10000) == 1);
        struct nlmsghdr *h = receive(fd);
        REQUIRE(!(h->nlmsg_flags & NLM_F_MULTI));
        const struct rtattr *a = attribute(h, fixed, which);
        if (h->nlmsg_type == type && a && memcmp(RTA_DATA(a), &address, 4) == 0)
            return;
    }
}

/* ---- addresses ---- */

static void address_request(int type, int flags, uint32_t address, int prefix, unsigned dev)
{
    begin(type, flags, sizeof(struct ifaddrmsg));
    request.address.ifa_family = AF_INET;
    request.address.ifa_prefixlen = (uint8_t)prefix;
    request.address.ifa_index = dev;
    if (address)
        put(IFA_LOCAL, &address, 4);
}

/* The same, and what the kernel says: an errno, or 0. */
static int address_ask(int fd, int type, int flags, uint32_t address, int prefix, unsigned dev)
{
    address_request(type, flags, address, prefix, dev);
    return ask(fd);
}

static void addresses(int fd)
{
    uint32_t a = htonl(0x7f400000 | ((uint32_t)getpid() & 0xffff) << 4 | 5);
    int ear = open_route(RTMGRP_IPV4_IFADDR), probe = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = a};
    int make = NLM_F_CREATE | NLM_F_EXCL;
    REQUIRE(address_ask(fd, RTM_NEWADDR, make, a, 32, 1) == 0);
    told(ear, RTM_NEWADDR, sizeof(struct ifaddrmsg), IFA_LOCAL, a);
    REQUIRE(bind(probe, (struct sockaddr *)&name, sizeof name) == 0);
    REQUIRE(address_ask(fd, RTM_NEWADDR, make, a, 32, 1) == EEXIST);
    REQUIRE(address_ask(fd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, a, 32, 1) == 0);
    REQUIRE(address_ask(fd, RTM_DELADDR, 0, a, 32, 1) == 0);
    told(ear, RTM_DELADDR, sizeof(struct ifaddrmsg), IFA_LOCAL, a);
    REQUIRE(address_ask(fd, RTM_DELADDR, 0, a, 32, 1) == EADDRNOTAVAIL);
    REQUIRE(address_ask(fd, RTM_NEWADDR, make, a, 32, 4711) == ENODEV);
    REQUIRE(address_ask(fd, RTM_NEWADDR, make, a, 33, 1) == EINVAL);
    REQUIRE(address_ask(fd, RTM_NEWADDR, make, 0, 32, 1) == EINVAL);
    close(ear), close(probe);
}

/* ---- routes ---- */

static void route_request(int type, int flags, uint32_t dest, int prefix, unsigned dev)
{
    begin(type, flags, sizeof(struct rtmsg));
    request.route.rtm_family = AF_INET;
    request.route.rtm_dst_len = (uint8_t)prefix;
    request.route.rtm_table = RT_TABLE_MAIN;
    request.route.rtm_protocol = RTPROT_BOOT;
    request.route.rtm_scope = type == RTM_DELROUTE ? RT_SCOPE_NOWHERE : RT_SCOPE_LINK;
    request.route.rtm_type = type == RTM_DELROUTE ? RTN_UNSPEC : RTN_UNICAST;
    put(RTA_DST, &dest, 4);
    if (dev)
        put(RTA_OIF, &dev, 4);
}

/* The same, and what the kernel says: an errno, or 0. */
static int route_ask(int fd, int type, int flags, uint32_t dest, int prefix, unsigned dev)
{
    route_request(type, flags, dest, prefix, dev);
    return ask(fd);
}

static void routes(int fd)
{
    uint32_t dest = htonl(0xc6120000 | ((uint32_t)getpid() & 0x1fff) << 4); /* 198.18.0.0/15 */
    uint32_t gateway = htonl(0xc0000263);
    int ear = open_route(RTMGRP_IPV4_ROUTE), make = NLM_F_CREATE | NLM_F_EXCL;
    route_request(RTM_NEWROUTE, NLM_F_REPLACE, dest, 28, 1); /* only if it is there */
    REQUIRE(ask(fd) == ENOENT);
    REQUIRE(route_ask(fd, RTM_NEWROUTE, make, dest, 28, 1) == 0);
    told(ear, RTM_NEWROUTE, sizeof(struct rtmsg), RTA_DST, dest);
    REQUIRE(route_ask(fd, RTM_NEWROUTE, make, dest, 28, 1) == EEXIST);
    REQUIRE(route_ask(fd, RTM_NEWROUTE, NLM_F_REPLACE, dest, 28, 1) == 0);
    begin(RTM_GETROUTE, 0, sizeof(struct rtmsg));
    request.route.rtm_family = AF_INET;
    request.route.rtm_dst_len = 32;
    put(RTA_DST, &dest, 4);
    REQUIRE(send(fd, &request, request.header.nlmsg_len, 0) > 0);
    struct nlmsghdr *h = receive(fd);
    const struct rtattr *oif = attribute(h, sizeof(struct rtmsg), RTA_OIF);
    const struct rtattr *cache = attribute(h, sizeof(struct rtmsg), RTA_CACHEINFO);
    const struct rtmsg *found = NLMSG_DATA(h);
    REQUIRE(h->nlmsg_type == RTM_NEWROUTE && oif && *(int *)RTA_DATA(oif) == 1);
    REQUIRE(found->rtm_flags & RTM_F_CLONED && cache && cache > oif);
    REQUIRE(route_ask(fd, RTM_DELROUTE, 0, dest, 28, 1) == 0);
    told(ear, RTM_DELROUTE, sizeof(struct rtmsg), RTA_DST, dest);
    REQUIRE(route_ask(fd, RTM_DELROUTE, 0, dest, 28, 1) == ESRCH);
    REQUIRE(route_ask(fd, RTM_NEWROUTE, make, dest, 28, 4711) == ENODEV);
    REQUIRE(route_ask(fd, RTM_NEWROUTE, make, dest, 33, 1) == EINVAL);
    route_request(RTM_NEWROUTE, make, dest, 28, 1);
    put(RTA_GATEWAY, &gateway, 4); /* not on that link */
    request.route.rtm_scope = RT_SCOPE_UNIVERSE;
    REQUIRE(ask(fd) == ENETUNREACH);
    close(ear);
}

/* ---- links, neighbours, what is not there ---- */

static void others(int fd)
{
    uint32_t a = htonl(0x7f000009);
    int number = 1;
    begin(RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    put(IFLA_IFNAME, "nosuch", 7);
    REQUIRE(ask(fd) == ENODEV);
    begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    put(IFLA_IFNAME, "lo", 3);
    REQUIRE(ask(fd) == EEXIST);
    begin(RTM_NEWNEIGH, NLM_F_CREATE, sizeof(struct ndmsg));
    request.neighbour.ndm_family = AF_INET;
    request.neighbour.ndm_ifindex = 4711;
    put(NDA_DST, &a, 4);
    REQUIRE(ask(fd) == ENODEV);
    begin(RTM_DELNEIGH, 0, sizeof(struct ndmsg));
    request.neighbour.ndm_family = AF_INET;
    request.neighbour.ndm_ifindex = 1;
    put(NDA_DST, &a, 4);
    REQUIRE(ask(fd) == ENOENT);
    begin(NLMSG_NOOP, 0, 0);
    REQUIRE(ask(fd) == 0);
    /* In words, for who asks for them. */
    REQUIRE(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &number, sizeof number) == 0);
    REQUIRE(address_ask(fd, RTM_NEWADDR, NLM_F_CREATE, a, 33, 1) == EINVAL);
}

/* lo is in the dump, and it ends. */
static void dumps(int fd)
{
    int found = 0;
    begin(RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
    REQUIRE(send(fd, &request, request.header.nlmsg_len, 0) > 0);
    while (1) {
        struct nlmsghdr *h = receive(fd);
        for (long len = reply_len; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
            REQUIRE(h->nlmsg_flags & NLM_F_MULTI && h->nlmsg_seq == sequence);
            if (h->nlmsg_type == NLMSG_DONE) {
                REQUIRE(found == 1 && *(int *)NLMSG_DATA(h) == 0);
                return;
            }
            const struct rtattr *name = attribute(h, sizeof(struct ifinfomsg), IFLA_IFNAME);
            const struct ifinfomsg *info = NLMSG_DATA(h);
            REQUIRE(h->nlmsg_type == RTM_NEWLINK && name);
            found += strcmp(RTA_DATA(name), "lo") == 0 && info->ifi_index == 1;
        }
    }
}

/* ---- sockets ---- */

static void diagnoses(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG);
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0 && bind(tcp, (struct sockaddr *)&a, len) == 0 && listen(tcp, 7) == 0);
    REQUIRE(getsockname(tcp, (struct sockaddr *)&a, &len) == 0);
    int found = 0, done = 0;
    begin(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof request.diag);
    request.diag.sdiag_family = AF_INET;
    request.diag.sdiag_protocol = IPPROTO_TCP;
    request.diag.idiag_states = 1 << 10; /* listening */
    REQUIRE(send(fd, &request, request.header.nlmsg_len, 0) > 0);
    while (!done) {
        struct nlmsghdr *h = receive(fd);
        for (long left = reply_len; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            const struct inet_diag_msg *m = NLMSG_DATA(h);
            done |= h->nlmsg_type == NLMSG_DONE;
            if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY)
                continue;
            REQUIRE(m->idiag_state == 10 && m->idiag_family == AF_INET);
            if (m->id.idiag_sport != a.sin_port || m->id.idiag_src[0] != a.sin_addr.s_addr)
                continue;
            REQUIRE(m->idiag_wqueue == 7 && m->idiag_rqueue == 0 && m->idiag_inode != 0);
            found++;
        }
    }
    REQUIRE(found == 1);
    begin(SOCK_DIAG_BY_FAMILY, 0, sizeof request.diag); /* one that is not there */
    request.diag.sdiag_family = AF_INET;
    request.diag.sdiag_protocol = IPPROTO_TCP;
    request.diag.id.idiag_sport = 1;
    request.diag.id.idiag_cookie[0] = request.diag.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    REQUIRE(ask(fd) == ENOENT);
    close(fd), close(tcp);
}

/* The three rules that there are from the beginning (ip rule): local, main, default. */
static void rules(int fd)
{
    static const uint32_t priorities[] = {0, 32766, 32767};
    unsigned count = 0;
    begin(RTM_GETRULE, NLM_F_DUMP, sizeof request.route);
    request.route.rtm_family = AF_INET;
    REQUIRE(send(fd, &request, request.header.nlmsg_len, 0) == (long)request.header.nlmsg_len);
    for (bool done = false; !done;) {
        struct nlmsghdr *h = receive(fd);
        for (long left = reply_len; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            uint32_t priority = 0, table = 0, left_here = RTM_PAYLOAD(h);
            struct rtmsg *m = NLMSG_DATA(h);
            done = h->nlmsg_type == NLMSG_DONE;
            if (done)
                break;
            REQUIRE(h->nlmsg_type == RTM_NEWRULE && m->rtm_family == AF_INET);
            REQUIRE(m->rtm_type == FR_ACT_TO_TBL && m->rtm_dst_len == 0);
            for (struct rtattr *a = RTM_RTA(m); RTA_OK(a, left_here); a = RTA_NEXT(a, left_here)) {
                if (a->rta_type == FRA_PRIORITY)
                    memcpy(&priority, RTA_DATA(a), 4);
                if (a->rta_type == FRA_TABLE)
                    memcpy(&table, RTA_DATA(a), 4);
            }
            REQUIRE(count < 3 && priority == priorities[count] && table == 255 - count);
            count++;
        }
    }
    REQUIRE(count == 3);
}

/* ---- the older way: ioctl, as ifconfig and route have it ---- */

static struct sockaddr name4(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr name;
    REQUIRE(inet_pton(AF_INET, text, &in.sin_addr) == 1);
    memcpy(&name, &in, sizeof name);
    return name;
}

/* SIOCSIF... and SIOCGIF... of lo. */
static int change(int fd, unsigned long what, const char *address)
{
    struct ifreq r = {.ifr_name = "lo"};
    r.ifr_addr = name4(address);
    return ioctl(fd, what, &r);
}
static bool shows(int fd, unsigned long what, const char *address)
{
    struct ifreq r = {.ifr_name = "lo"};
    struct sockaddr want = name4(address);
    return ioctl(fd, what, &r) == 0 && memcmp(&r.ifr_addr, &want, 8) == 0;
}
static int bind_to(const char *address)
{
    struct sockaddr name = name4(address);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), result = bind(fd, &name, sizeof name), error = errno;
    close(fd);
    errno = error;
    return result;
}

static void devices_by_ioctl(int fd)
{
    struct ifreq r = {.ifr_name = "lo"}, none = {.ifr_name = "none"};
    REQUIRE(ioctl(fd, SIOCGIFFLAGS, &r) == 0);
    r.ifr_flags |= IFF_UP;
    REQUIRE(ioctl(fd, SIOCSIFFLAGS, &r) == 0);
    REQUIRE_ERRNO(ioctl(fd, SIOCSIFFLAGS, &none), ENODEV);
    REQUIRE(seteuid(65534) == 0);
    REQUIRE_ERRNO(ioctl(fd, SIOCSIFFLAGS, &r), EPERM);
    REQUIRE(seteuid(0) == 0);
    r.ifr_mtu = -1;
    REQUIRE_ERRNO(ioctl(fd, SIOCSIFMTU, &r), EINVAL);
    r.ifr_mtu = 4000;
    REQUIRE(ioctl(fd, SIOCSIFMTU, &r) == 0 && ioctl(fd, SIOCGIFMTU, &r) == 0 && r.ifr_mtu == 4000);
    REQUIRE(change(fd, SIOCSIFADDR, "10.7.7.7") == 0 && bind_to("10.7.7.7") == 0);
    REQUIRE(change(fd, SIOCSIFADDR, "10.7.7.7") == 0);
    REQUIRE(shows(fd, SIOCGIFADDR, "10.7.7.7") && shows(fd, SIOCGIFNETMASK, "255.0.0.0"));
    REQUIRE(change(fd, SIOCSIFNETMASK, "255.255.255.0") == 0);
    REQUIRE(shows(fd, SIOCGIFADDR, "10.7.7.7") && shows(fd, SIOCGIFNETMASK, "255.255.255.0"));
    REQUIRE_ERRNO(change(fd, SIOCSIFNETMASK, "255.0.255.0"), EINVAL);
    REQUIRE_ERRNO(change(fd, SIOCSIFADDR, "224.0.0.1"), EINVAL);
    r.ifr_addr.sa_family = AF_UNIX;
    REQUIRE_ERRNO(ioctl(fd, SIOCSIFADDR, &r), EINVAL);
    REQUIRE(change(fd, SIOCSIFADDR, "172.16.5.5") == 0);
    REQUIRE(shows(fd, SIOCGIFNETMASK, "255.255.0.0"));
    REQUIRE_ERRNO(bind_to("10.7.7.7"), EADDRNOTAVAIL);
    REQUIRE(change(fd, SIOCSIFADDR, "0.0.0.0") == 0); /* takes it away */
    REQUIRE_ERRNO(change(fd, SIOCGIFADDR, "0.0.0.0"), EADDRNOTAVAIL);
    REQUIRE_ERRNO(change(fd, SIOCSIFNETMASK, "255.0.0.0"), EADDRNOTAVAIL);
    REQUIRE(change(fd, SIOCSIFADDR, "127.0.0.1") == 0);
    REQUIRE_ERRNO(ioctl(fd, SIOCDIFADDR, &r), ENOTTY);
}

static void routes_by_ioctl(int fd)
{
    char lo[16] = "lo", none[16] = "none";
    struct sockaddr away = name4("10.8.0.1");
    struct rtentry r = {.rt_dst = name4("10.8.0.0"),
                        .rt_genmask = name4("255.255.0.0"),
                        .rt_flags = RTF_UP,
                        .rt_dev = lo};
    REQUIRE(ioctl(fd, SIOCADDRT, &r) == 0);
    REQUIRE_ERRNO(ioctl(fd, SIOCADDRT, &r), EEXIST);
    (void)number_in("/proc/net/route", "lo\t0000080A\t00000000\t0001\t");
    REQUIRE(ioctl(fd, SIOCDELRT, &r) == 0);
    REQUIRE_ERRNO(ioctl(fd, SIOCDELRT, &r), ESRCH);
    r.rt_dev = none;
    REQUIRE_ERRNO(ioctl(fd, SIOCADDRT, &r), ENODEV);
    r.rt_dev = NULL;
    REQUIRE_ERRNO(ioctl(fd, SIOCADDRT, &r), ENODEV);
    r.rt_flags |= RTF_GATEWAY;
    REQUIRE_ERRNO(ioctl(fd, SIOCADDRT, &r), EINVAL);
    r.rt_dst = away;
    REQUIRE_ERRNO(ioctl(fd, SIOCADDRT, &r), EINVAL); /* bits behind the mask */
    r.rt_flags = RTF_UP | RTF_HOST | RTF_REJECT;
    REQUIRE(ioctl(fd, SIOCADDRT, &r) == 0);
    ((struct sockaddr_in *)&away)->sin_port = htons(9);
    REQUIRE_ERRNO(connect(fd, &away, sizeof away), EHOSTUNREACH);
    REQUIRE(ioctl(fd, SIOCDELRT, &r) == 0);
    r.rt_dst.sa_family = AF_UNIX;
    REQUIRE_ERRNO(ioctl(fd, SIOCADDRT, &r), EAFNOSUPPORT);
}

struct in6_ifreq { /* linux/ipv6.h, which does not go with the C library's headers */
    struct in6_addr ifr6_addr;
    uint32_t ifr6_prefixlen;
    int ifr6_ifindex;
};

static void ipv6_by_ioctl(void)
{
    struct in6_ifreq r = {.ifr6_prefixlen = 64, .ifr6_ifindex = 1};
    struct in6_rtmsg route = {.rtmsg_dst_len = 48, .rtmsg_flags = RTF_UP, .rtmsg_ifindex = 1};
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    REQUIRE(inet_pton(AF_INET6, "2001:db8:7::1", &a.sin6_addr) == 1);
    REQUIRE(inet_pton(AF_INET6, "2001:db8:8::", &route.rtmsg_dst) == 1);
    r.ifr6_addr = a.sin6_addr;
    REQUIRE(ioctl(fd, SIOCSIFADDR, &r) == 0);
    REQUIRE_ERRNO(ioctl(fd, SIOCSIFADDR, &r), EEXIST);
    while (bind(fd, (struct sockaddr *)&a, sizeof a) != 0) { /* Linux: tentative for a moment */
        REQUIRE(errno == EADDRNOTAVAIL);
        usleep(1000);
    }
    REQUIRE(ioctl(fd, SIOCDIFADDR, &r) == 0);
    REQUIRE_ERRNO(ioctl(fd, SIOCDIFADDR, &r), EADDRNOTAVAIL);
    r.ifr6_prefixlen = 129;
    REQUIRE_ERRNO(ioctl(fd, SIOCSIFADDR, &r), EINVAL);
    r.ifr6_prefixlen = 64, r.ifr6_ifindex = 1000;
    REQUIRE_ERRNO(ioctl(fd, SIOCSIFADDR, &r), ENODEV);
    REQUIRE(ioctl(fd, SIOCADDRT, &route) == 0);
    REQUIRE_ERRNO(ioctl(fd, SIOCADDRT, &route), EEXIST);
    REQUIRE(ioctl(fd, SIOCDELRT, &route) == 0);
    REQUIRE_ERRNO(ioctl(fd, SIOCDELRT, &route), ESRCH);
    route.rtmsg_ifindex = 1000;
    REQUIRE_ERRNO(ioctl(fd, SIOCADDRT, &route), ENODEV);
    close(fd);
}

/* Natively in a network of its own; elsewhere lo is nobody else's, and this comes last. */
static void by_ioctl(void)
{
    (void)!unshare(CLONE_NEWNET);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(fd >= 0);
    devices_by_ioctl(fd);
    routes_by_ioctl(fd);
    ipv6_by_ioctl();
    close(fd);
}

/* Ports (netlink(7)): the first socket's is the process's id, and a port is one socket's. */
static void ports(void)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK}, got;
    socklen_t len = sizeof got;
    int fd = open_route(0), other = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    REQUIRE(getsockname(fd, (struct sockaddr *)&got, &len) == 0 &&
            got.nl_pid == (uint32_t)getpid());
    a.nl_pid = got.nl_pid;
    REQUIRE_ERRNO(bind(other, (struct sockaddr *)&a, sizeof a), EADDRINUSE);
    int diag = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG); /* has ports of its own */
    REQUIRE(bind(diag, (struct sockaddr *)&a, sizeof a) == 0);
    a.nl_pid = 0;
    REQUIRE(bind(other, (struct sockaddr *)&a, sizeof a) == 0);
    REQUIRE(getsockname(other, (struct sockaddr *)&got, &len) == 0);
    REQUIRE(got.nl_pid != 0 && got.nl_pid != (uint32_t)getpid());
    a.nl_pid = 4711;
    REQUIRE_ERRNO(bind(other, (struct sockaddr *)&a, sizeof a), EINVAL);
    close(fd), close(other), close(diag);
}

/* Objects for next hops (ip nexthop): a machine that has made none has none. */
static void next_hops(int fd)
{
    begin(RTM_GETNEXTHOP, NLM_F_DUMP, sizeof(struct nhmsg));
    REQUIRE(send(fd, &request, request.header.nlmsg_len, 0) == (long)request.header.nlmsg_len);
    REQUIRE(receive(fd)->nlmsg_type == NLMSG_DONE);
}

int main(void)
{
    alarm(60);
    ports();
    int fd = open_route(0);
    addresses(fd);
    routes(fd);
    others(fd);
    dumps(fd);
    rules(fd);
    next_hops(fd);
    diagnoses();
    close(fd);
    by_ioctl();
    return guest_pass("netlinksock");
}
