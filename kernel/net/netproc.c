/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netproc.c - /proc/net/{dev,snmp,snmp6,netstat,arp,route,if_inet6,ipv6_route} in Linux's forms.
 */
#include "net/netproc.h"

#include "core/rcu.h"
#include "fs/pseudo.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "net/ifaddr.h"
#include "net/inetlist.h"
#include "net/mib.h"
#include "net/neigh.h"
#include "net/netconf.h"
#include "net/route.h"
#include "net/socket.h"
#include "net/tcp_sock.h"
#include "sched/timer.h"

#define BATCH 8u

static int show_dev(struct inode *inode, struct strbuf *sb)
{
    (void)inode;
    strbuf_printf(sb,
                  "Inter-|   Receive                                                |  Transmit\n"
                  " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
                  "packets errs drop fifo colls carrier compressed\n");
    for (struct netdev *dev = netdev_first(); dev; dev = netdev_next(dev)) {
        struct netdev_stats s;
        netdev_get_stats(dev, &s);
        strbuf_printf(sb, "%6s: %7llu %7llu %4llu %4llu    0     0          0 %9llu ", dev->name,
                      (unsigned long long)s.rx_bytes, (unsigned long long)s.rx_packets,
                      (unsigned long long)s.rx_errors, (unsigned long long)s.rx_dropped,
                      (unsigned long long)s.rx_multicast);
        strbuf_printf(sb, "%8llu %7llu %4llu %4llu    0     0       0          0\n",
                      (unsigned long long)s.tx_bytes, (unsigned long long)s.tx_packets,
                      (unsigned long long)s.tx_errors, (unsigned long long)s.tx_dropped);
    }
    return 0;
}

/* ---- counters ---- */

/* How many connections there are is not counted but seen. */
static uint64_t value_of(enum mib_counter counter)
{
    return counter == MIB_Tcp_CurrEstab ? inet_established() : mib_read(counter);
}

/* Two lines of a group: names, values; `names` and `values` come first in them. */
static void show_group(struct strbuf *sb, const char *group, const char *names, const char *values)
{
    strbuf_printf(sb, "%s:%s", group, names);
    for (unsigned i = 0; i < MIB_COUNT; i++)
        if (strcmp(mib_group(i), group) == 0)
            strbuf_printf(sb, " %s", mib_name(i));
    strbuf_printf(sb, "\n%s:%s", group, values);
    for (unsigned i = 0; i < MIB_COUNT; i++)
        if (strcmp(mib_group(i), group) == 0)
            strbuf_printf(sb, " %llu", (unsigned long long)value_of(i));
    strbuf_printf(sb, "\n");
}

static int show_snmp(struct inode *inode, struct strbuf *sb)
{
    (void)inode;
    show_group(sb, "Ip", " Forwarding DefaultTTL", " 2 64");
    show_group(sb, "Icmp", "", "");
    show_group(sb, "Tcp", " RtoAlgorithm RtoMin RtoMax MaxConn", " 1 200 120000 -1");
    show_group(sb, "Udp", "", "");
    return 0;
}

static int show_netstat(struct inode *inode, struct strbuf *sb)
{
    (void)inode;
    show_group(sb, "TcpExt", "", "");
    show_group(sb, "IpExt", "", "");
    return 0;
}

static int show_snmp6(struct inode *inode, struct strbuf *sb)
{
    (void)inode;
    for (unsigned i = 0; i < MIB_COUNT; i++) {
        char name[48];
        if (strcmp(mib_group(i), "Ip6") != 0 && strcmp(mib_group(i), "Icmp6") != 0)
            continue;
        (void)snprintf(name, sizeof(name), "%s%s", mib_group(i), mib_name(i));
        strbuf_printf(sb, "%-32s\t%llu\n", name, (unsigned long long)mib_read(i));
    }
    return 0;
}

/* ---- neighbours, routes, addresses ---- */

static int show_arp(struct inode *inode, struct strbuf *sb)
{
    struct neigh_view views[BATCH];
    unsigned from = 0, count;
    (void)inode;
    strbuf_printf(sb, "IP address       HW type     Flags       HW address            Mask     "
                      "Device\n");
    while ((count = neigh_list(views, from, BATCH)) > 0) {
        for (unsigned i = 0; i < count; i++) {
            const struct neigh_view *v = &views[i];
            const uint8_t *e = v->ether;
            char address[NET_ADDR_TEXT];
            unsigned flags = (v->known ? 2u : 0) | (v->state == NEIGH_PERMANENT ? 4u : 0);
            if (!net_addr_is_v4(&v->address))
                continue;
            net_addr_format(&v->address, address);
            strbuf_printf(sb, "%-16s 0x%-10x0x%-10x%02x:%02x:%02x:%02x:%02x:%02x     *        %s\n",
                          address, v->dev->type, flags, e[0], e[1], e[2], e[3], e[4], e[5],
                          v->dev->name);
        }
        from += count;
    }
    return 0;
}

enum { FLAG_UP = 1, FLAG_GATEWAY = 2, FLAG_HOST = 4, FLAG_REJECT = 0x200 }; /* RTF_* */

static unsigned route_flags(const struct route_entry *e)
{
    bool host = e->prefix == (net_addr_is_v4(&e->dest) ? 32 : 128);
    return FLAG_UP | (net_addr_is_any(&e->gateway) ? 0 : FLAG_GATEWAY) | (host ? FLAG_HOST : 0) |
           (e->type == ROUTE_UNICAST ? 0 : FLAG_REJECT);
}

static void show_route4(struct strbuf *sb, const struct route_entry *e)
{
    char line[160];
    uint32_t mask = e->prefix ? __builtin_bswap32(UINT32_MAX << (32 - e->prefix)) : 0;
    (void)snprintf(line, sizeof(line), "%s\t%08X\t%08X\t%04X\t0\t0\t%u\t%08X\t%u\t0\t0",
                   e->dev ? e->dev->name : "*", e->dest.word[3], e->gateway.word[3], route_flags(e),
                   e->metric, mask, e->mtu);
    strbuf_printf(sb, "%-127s\n", line);
}

static void put_hex(struct strbuf *sb, const struct net_addr *a)
{
    for (int i = 0; i < 16; i++)
        strbuf_printf(sb, "%02x", a->bytes[i]);
}

static void show_route6(struct strbuf *sb, const struct route_entry *e)
{
    put_hex(sb, &e->dest);
    strbuf_printf(sb, " %02x ", e->prefix);
    put_hex(sb, &net_addr_any);
    strbuf_printf(sb, " 00 ");
    put_hex(sb, &e->gateway);
    strbuf_printf(sb, " %08x 00000001 00000000 %08x %8s\n", e->metric, route_flags(e),
                  e->dev ? e->dev->name : "lo");
}

static void show_routes(struct strbuf *sb, bool v4)
{
    struct route_entry entries[4];
    unsigned from = 0, count;
    while ((count = route_list(entries, from, ARRAY_COUNT(entries))) > 0) {
        for (unsigned i = 0; i < count; i++)
            if (net_addr_is_v4(&entries[i].dest) == v4)
                (v4 ? show_route4 : show_route6)(sb, &entries[i]);
        from += count;
    }
}

static int show_route(struct inode *inode, struct strbuf *sb)
{
    (void)inode;
    strbuf_printf(sb, "%-127s\n",
                  "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t"
                  "\tMTU\tWindow\tIRTT");
    show_routes(sb, true);
    return 0;
}

static int show_ipv6_route(struct inode *inode, struct strbuf *sb)
{
    (void)inode;
    show_routes(sb, false);
    return 0;
}

static int show_if_inet6(struct inode *inode, struct strbuf *sb)
{
    (void)inode;
    unsigned token = rcu_read_lock();
    for (struct ifaddr *ifa = ifaddr_first(); ifa; ifa = ifaddr_next(ifa)) {
        unsigned scope = ifa->scope == SCOPE_HOST ? 0x10 : ifa->scope == SCOPE_LINK ? 0x20 : 0;
        uint32_t flags = __atomic_load_n(&ifa->flags, __ATOMIC_RELAXED) & 0xff;
        if (net_addr_is_v4(&ifa->address))
            continue;
        put_hex(sb, &ifa->address);
        strbuf_printf(sb, " %02x %02x %02x %02x %8s\n", ifa->dev->index, ifa->prefix, scope, flags,
                      ifa->dev->name);
    }
    rcu_read_unlock(token);
    return 0;
}

static int show_tcp_mem(struct inode *inode, struct strbuf *sb)
{
    (void)inode;
    for (unsigned level = TCP_MEMORY_PLENTY; level <= TCP_MEMORY_OUT; level++)
        strbuf_printf(sb, "%lu%c", tcp_sock_memory_limit((enum tcp_memory)level) / PAGE_SIZE,
                      level == TCP_MEMORY_OUT ? '\n' : '\t');
    return 0;
}

int netproc_init(void)
{
    static const struct pseudo_item items[] = {
        {.path = "net/dev", .mode = S_IFREG | 0444, .show = show_dev},
        {.path = "net/snmp", .mode = S_IFREG | 0444, .show = show_snmp},
        {.path = "net/snmp6", .mode = S_IFREG | 0444, .show = show_snmp6},
        {.path = "net/netstat", .mode = S_IFREG | 0444, .show = show_netstat},
        {.path = "net/arp", .mode = S_IFREG | 0444, .show = show_arp},
        {.path = "net/route", .mode = S_IFREG | 0444, .show = show_route},
        {.path = "net/ipv6_route", .mode = S_IFREG | 0444, .show = show_ipv6_route},
        {.path = "net/if_inet6", .mode = S_IFREG | 0444, .show = show_if_inet6},
        {.path = "sys/net/ipv4/tcp_fastopen", .mode = S_IFREG | 0444, .text = "3\n"},
        {.path = "sys/net/ipv4/tcp_mem", .mode = S_IFREG | 0444, .show = show_tcp_mem},
    };
    return socket_proc_add(items, ARRAY_COUNT(items));
}
