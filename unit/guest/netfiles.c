/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netfiles.c - network devices as files: what /sys/class/net and /proc/net say is what netdevice(7)
 * says, and groups that are joined show.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int sock;

/* The text of a file, without the line's end; NULL: it cannot be read. */
static char *text(const char *name, const char *file)
{
    static char path[600], buf[8192];
    snprintf(path, sizeof path, name ? "/sys/class/net/%s/%s" : "%s%s", name ? name : "", file);
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0);
    long n = read(fd, buf, sizeof buf - 1);
    close(fd);
    if (n < 0)
        return NULL;
    buf[n] = 0;
    if (n > 0 && buf[n - 1] == '\n')
        buf[n - 1] = 0;
    return buf;
}

static struct ifreq ask(const char *name, unsigned long what)
{
    struct ifreq r = {0};
    snprintf(r.ifr_name, sizeof r.ifr_name, "%.15s", name);
    REQUIRE(ioctl(sock, what, &r) == 0);
    return r;
}

static void device(const char *name)
{
    static const char *const numbers[] = {"addr_len",
                                          "iflink",
                                          "tx_queue_len",
                                          "statistics/rx_bytes",
                                          "statistics/rx_packets",
                                          "statistics/rx_dropped",
                                          "statistics/rx_errors",
                                          "statistics/tx_bytes",
                                          "statistics/tx_packets",
                                          "statistics/tx_dropped",
                                          "statistics/tx_errors",
                                          "statistics/multicast",
                                          "statistics/collisions"};
    struct ifreq r = ask(name, SIOCGIFFLAGS);
    unsigned flags = (unsigned short)r.ifr_flags;
    REQUIRE((unsigned)atoi(text(name, "ifindex")) == if_nametoindex(name));
    REQUIRE(atoi(text(name, "mtu")) == ask(name, SIOCGIFMTU).ifr_mtu);
    REQUIRE((strtoul(text(name, "flags"), NULL, 0) & ~(unsigned long)IFF_RUNNING) ==
            (flags & ~(unsigned)IFF_RUNNING));
    char address[32];
    r = ask(name, SIOCGIFHWADDR);
    REQUIRE(atoi(text(name, "type")) == r.ifr_hwaddr.sa_family);
    const unsigned char *a = (unsigned char *)r.ifr_hwaddr.sa_data;
    snprintf(address, sizeof address, "%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4],
             a[5]);
    if (atoi(text(name, "addr_len")) == 6)
        REQUIRE(strcmp(text(name, "address"), address) == 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char *end, *said = text(name, numbers[i]);
        strtoull(said, &end, 10);
        REQUIRE(*said && *end == 0);
    }
    const char *carrier = text(name, "carrier");
    REQUIRE(flags & IFF_UP ? carrier && atoi(carrier) == !!(flags & IFF_RUNNING) : !carrier);
    const char *dormant = text(name, "dormant");
    REQUIRE(flags & IFF_UP ? dormant && *dormant == '0' : !dormant);
    char want[64];
    snprintf(want, sizeof want, "INTERFACE=%.15s", name);
    REQUIRE(strstr(text(name, "uevent"), want));
}

static void loopback(void)
{
    REQUIRE(strcmp(text("lo", "operstate"), "unknown") == 0);
    REQUIRE(!text("lo", "speed") && errno == EINVAL);
    REQUIRE(strcmp(text("lo", "broadcast"), "00:00:00:00:00:00") == 0);
    REQUIRE(strcmp(text("lo", "flags"), "0x9") == 0);
    char link[256];
    long n = readlink("/sys/class/net/lo", link, sizeof link - 1);
    REQUIRE(n > 0);
    link[n] = 0;
    REQUIRE(strcmp(link, "../../devices/virtual/net/lo") == 0);
    REQUIRE(access("/sys/class/net/lo/queues/rx-0", F_OK) == 0);
}

/* A group on some device that has link groups. */
static void groups(const char *name)
{
    struct ip_mreqn m = {.imr_ifindex = (int)if_nametoindex(name)};
    struct ipv6_mreq m6 = {.ipv6mr_interface = if_nametoindex(name)};
    int six = socket(AF_INET6, SOCK_DGRAM, 0);
    /* A group of this run's own: on Linux another one may be at work at the same time. */
    unsigned x = getpid() >> 8 & 0xff, y = getpid() & 0xff;
    char link[16], group[16];
    snprintf(link, sizeof link, "01005e01%02x%02x", x, y);
    snprintf(group, sizeof group, "%02X%02X81EF", y, x);
    m.imr_multiaddr.s_addr = htonl(0xef810000u | x << 8 | y);
    REQUIRE(inet_pton(AF_INET6, "ff02::5:6:7", &m6.ipv6mr_multiaddr) == 1);
    REQUIRE(!strstr(text(NULL, "/proc/net/dev_mcast"), link));
    REQUIRE(setsockopt(sock, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m) == 0);
    REQUIRE(strstr(text(NULL, "/proc/net/dev_mcast"), link));
    REQUIRE(strstr(text(NULL, "/proc/net/igmp"), group));
    REQUIRE(setsockopt(sock, IPPROTO_IP, IP_DROP_MEMBERSHIP, &m, sizeof m) == 0);
    REQUIRE(!strstr(text(NULL, "/proc/net/dev_mcast"), link));
    if (six >= 0 && setsockopt(six, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m6, sizeof m6) == 0) {
        REQUIRE(strstr(text(NULL, "/proc/net/igmp6"), "ff020000000000000000000500060007"));
        REQUIRE(strstr(text(NULL, "/proc/net/dev_mcast"), "333300060007"));
    }
    close(six);
}

int main(void)
{
    DIR *dir = opendir("/sys/class/net");
    char other[32] = "";
    unsigned count = 0;
    sock = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(dir && sock >= 0);
    for (struct dirent *e; (e = readdir(dir));) {
        if (!if_nametoindex(e->d_name)) /* ".", and "bonding_masters" of Linux */
            continue;
        device(e->d_name);
        count++;
        if ((ask(e->d_name, SIOCGIFFLAGS).ifr_flags & (IFF_UP | IFF_MULTICAST)) ==
            (IFF_UP | IFF_MULTICAST))
            snprintf(other, sizeof other, "%.15s", e->d_name);
    }
    REQUIRE(count > 0);
    loopback();
    if (other[0])
        groups(other);
    REQUIRE(strstr(text(NULL, "/proc/net/ptype"), "0800          ip_rcv"));
    REQUIRE(strstr(text(NULL, "/proc/net/mcfilter"), "Idx Device"));
    REQUIRE(strlen(text(NULL, "/proc/net/softnet_stat")) > 100);
    return guest_pass("netfiles");
}
