/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netsys.c - network devices as files: /sys/class/net and what of /proc/net is about devices and
 * their groups.
 *
 * Devices are there from the boot on and stay: each has its directory below
 * /sys/devices/virtual/net, with its index as the inodes' key.
 */
#include "core/percpu.h"
#include "fs/pseudo.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "net/ifaddr.h"
#include "net/netconf.h"
#include "net/socket.h"

#define ETHER_TEXT "%02x:%02x:%02x:%02x:%02x:%02x\n"

static struct netdev *device_of(const struct inode *inode)
{
    return netdev_by_index((unsigned)inode->key[0]);
}

static int put_address(struct strbuf *sb, const uint8_t *a)
{
    strbuf_printf(sb, ETHER_TEXT, a[0], a[1], a[2], a[3], a[4], a[5]);
    return 0;
}

static int show_address(struct inode *inode, struct strbuf *sb)
{
    return put_address(sb, device_of(inode)->address);
}

static int show_broadcast(struct inode *inode, struct strbuf *sb)
{
    const uint8_t all[6] = {255, 255, 255, 255, 255, 255}, none[6] = {0};
    return put_address(sb, netdev_flags(device_of(inode)) & NETDEV_BROADCAST ? all : none);
}

static int show_carrier(struct inode *inode, struct strbuf *sb)
{
    uint32_t flags = netdev_flags(device_of(inode));
    if (!(flags & NETDEV_UP))
        return -EINVAL; /* as on Linux */
    strbuf_printf(sb, "%u\n", (flags & NETDEV_RUNNING) != 0);
    return 0;
}

static int show_dormant(struct inode *inode, struct strbuf *sb)
{
    if (!(netdev_flags(device_of(inode)) & NETDEV_UP))
        return -EINVAL;
    strbuf_printf(sb, "0\n");
    return 0;
}

static int show_flags(struct inode *inode, struct strbuf *sb)
{
    uint32_t flags = netdev_flags(device_of(inode));
    strbuf_printf(sb, "0x%x\n", flags & ~(uint32_t)(NETDEV_RUNNING | NETDEV_PROMISC));
    return 0;
}

static int show_operstate(struct inode *inode, struct strbuf *sb)
{
    const struct netdev *dev = device_of(inode);
    uint32_t flags = netdev_flags(dev);
    strbuf_printf(sb, "%s\n",
                  flags & NETDEV_LOOPBACK  ? "unknown"
                  : flags & NETDEV_RUNNING ? "up"
                                           : "down");
    return 0;
}

static int show_index(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "%u\n", device_of(inode)->index);
    return 0;
}

static int show_mtu(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "%u\n", netdev_mtu(device_of(inode)));
    return 0;
}

static int show_type(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "%u\n", device_of(inode)->type);
    return 0;
}

/* Not known, as of any device without a cable: an error where there cannot be one. */
static int show_speed(struct inode *inode, struct strbuf *sb)
{
    if (netdev_flags(device_of(inode)) & NETDEV_LOOPBACK)
        return -EINVAL;
    strbuf_printf(sb, "-1\n");
    return 0;
}

static int show_duplex(struct inode *inode, struct strbuf *sb)
{
    if (netdev_flags(device_of(inode)) & NETDEV_LOOPBACK)
        return -EINVAL;
    strbuf_printf(sb, "unknown\n");
    return 0;
}

static int show_uevent(struct inode *inode, struct strbuf *sb)
{
    const struct netdev *dev = device_of(inode);
    strbuf_printf(sb, "INTERFACE=%s\nIFINDEX=%u\n", dev->name, dev->index);
    return 0;
}

/* One function each: what is asked for is in the function, the device in the inode. */
#define STATISTIC(name) \
    static int show_##name(struct inode *inode, struct strbuf *sb) \
    { \
        struct netdev_stats s; \
        netdev_get_stats(device_of(inode), &s); \
        strbuf_printf(sb, "%llu\n", (unsigned long long)s.name); \
        return 0; \
    }
STATISTIC(rx_packets)
STATISTIC(rx_bytes)
STATISTIC(rx_dropped)
STATISTIC(rx_errors)
STATISTIC(tx_packets)
STATISTIC(tx_bytes)
STATISTIC(tx_dropped)
STATISTIC(tx_errors)

static int show_multicast(struct inode *inode, struct strbuf *sb)
{
    struct netdev_stats s;
    netdev_get_stats(device_of(inode), &s);
    strbuf_printf(sb, "%llu\n", (unsigned long long)s.rx_multicast);
    return 0;
}

#define SHOWN(path_, show_) \
    { \
        .path = (path_), .mode = S_IFREG | 0444, .show = (show_) \
    }
#define FIXED(path_, text_) \
    { \
        .path = (path_), .mode = S_IFREG | 0444, .text = (text_) \
    }

static const struct pseudo_item device_items[] = {
    SHOWN("address", show_address),
    SHOWN("broadcast", show_broadcast),
    SHOWN("carrier", show_carrier),
    SHOWN("dormant", show_dormant),
    SHOWN("duplex", show_duplex),
    SHOWN("flags", show_flags),
    SHOWN("ifindex", show_index),
    SHOWN("iflink", show_index),
    SHOWN("mtu", show_mtu),
    SHOWN("operstate", show_operstate),
    SHOWN("speed", show_speed),
    SHOWN("type", show_type),
    SHOWN("uevent", show_uevent),
    FIXED("addr_assign_type", "0\n"),
    FIXED("addr_len", "6\n"),
    FIXED("dev_id", "0x0\n"),
    FIXED("dev_port", "0\n"),
    FIXED("ifalias", ""),
    FIXED("link_mode", "0\n"),
    FIXED("netdev_group", "0\n"),
    FIXED("tx_queue_len", "1000\n"),
    SHOWN("statistics/multicast", show_multicast),
    FIXED("statistics/collisions", "0\n"),
    SHOWN("statistics/rx_packets", show_rx_packets),
    SHOWN("statistics/rx_bytes", show_rx_bytes),
    SHOWN("statistics/rx_dropped", show_rx_dropped),
    SHOWN("statistics/rx_errors", show_rx_errors),
    SHOWN("statistics/tx_packets", show_tx_packets),
    SHOWN("statistics/tx_bytes", show_tx_bytes),
    SHOWN("statistics/tx_dropped", show_tx_dropped),
    SHOWN("statistics/tx_errors", show_tx_errors),
    FIXED("statistics/rx_compressed", "0\n"),
    FIXED("statistics/rx_crc_errors", "0\n"),
    FIXED("statistics/rx_fifo_errors", "0\n"),
    FIXED("statistics/rx_frame_errors", "0\n"),
    FIXED("statistics/rx_length_errors", "0\n"),
    FIXED("statistics/rx_missed_errors", "0\n"),
    FIXED("statistics/rx_nohandler", "0\n"),
    FIXED("statistics/rx_over_errors", "0\n"),
    FIXED("statistics/tx_aborted_errors", "0\n"),
    FIXED("statistics/tx_carrier_errors", "0\n"),
    FIXED("statistics/tx_compressed", "0\n"),
    FIXED("statistics/tx_fifo_errors", "0\n"),
    FIXED("statistics/tx_heartbeat_errors", "0\n"),
    FIXED("statistics/tx_window_errors", "0\n"),
    {.path = "queues/rx-0", .mode = S_IFDIR | 0555},
    {.path = "queues/tx-0", .mode = S_IFDIR | 0555},
    {.path = "subsystem", .mode = S_IFLNK | 0777, .text = "../../../../class/net"},
};

/* ---- /proc/net ---- */

static int show_ptype(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "Type Device      Function\n0800          ip_rcv\n0806          arp_rcv\n"
                      "86dd          ipv6_rcv\n");
    return 0;
}

static void each_group(void (*fn)(struct strbuf *sb, const struct netdev *dev,
                                  const struct group_view *group),
                       struct strbuf *sb)
{
    struct group_view some[8];
    unsigned from = 0, n;
    for (; (n = group_list(some, from, ARRAY_COUNT(some))) > 0; from += n)
        for (unsigned i = 0; i < n; i++) {
            const struct netdev *dev = netdev_by_index(some[i].device);
            if (dev)
                fn(sb, dev, &some[i]);
        }
}

/* The link addresses that groups are received by (RFC 1112, 6.4; RFC 2464, 7). */
static void put_link_group(struct strbuf *sb, const struct netdev *dev,
                           const struct group_view *group)
{
    const uint8_t *a = group->group.bytes;
    if (netdev_flags(dev) & NETDEV_LOOPBACK)
        return;
    strbuf_printf(sb, "%-4u %-15s %-5u %-5u ", dev->index, dev->name, group->users, 0);
    if (net_addr_is_v4(&group->group))
        strbuf_printf(sb, "01005e%02x%02x%02x\n", a[13] & 0x7f, a[14], a[15]);
    else
        strbuf_printf(sb, "3333%02x%02x%02x%02x\n", a[12], a[13], a[14], a[15]);
}

static int show_dev_mcast(struct inode *inode, struct strbuf *sb)
{
    each_group(put_link_group, sb);
    return 0;
}

static void put_group6(struct strbuf *sb, const struct netdev *dev, const struct group_view *group)
{
    if (net_addr_is_v4(&group->group))
        return;
    strbuf_printf(sb, "%-4u %-15s ", dev->index, dev->name);
    for (unsigned i = 0; i < sizeof(group->group.bytes); i++)
        strbuf_printf(sb, "%02x", group->group.bytes[i]);
    strbuf_printf(sb, " %5u %08X %u\n", group->users, 4, 0);
}

static int show_igmp6(struct inode *inode, struct strbuf *sb)
{
    each_group(put_group6, sb);
    return 0;
}

/* By CPU: packets, and fourteen columns of what does not happen here; the CPU's number is last but
 * two since Linux 5.10. */
static int show_softnet(struct inode *inode, struct strbuf *sb)
{
    for (unsigned cpu = 0; cpu < hal_cpu_count(); cpu++) {
        uint64_t packets = 0;
        for (const struct netdev *dev = netdev_first(); dev; dev = netdev_next(dev))
            packets += __atomic_load_n(&dev->stats[cpu].rx_packets, __ATOMIC_RELAXED);
        strbuf_printf(sb, "%08x", (uint32_t)packets);
        for (unsigned column = 1; column < 15; column++)
            strbuf_printf(sb, " %08x", column == 12 ? cpu : 0);
        strbuf_printf(sb, "\n");
    }
    return 0;
}

static const struct pseudo_item proc_items[] = {
    SHOWN("net/ptype", show_ptype),
    SHOWN("net/dev_mcast", show_dev_mcast),
    SHOWN("net/igmp6", show_igmp6),
    SHOWN("net/softnet_stat", show_softnet),
    FIXED("net/mcfilter", "Idx Device        MCA        SRC    INC    EXC\n"),
    FIXED("net/mcfilter6", "Idx Device                Multicast Address                   Source "
                           "Address    INC    EXC\n"),
};

/* ---- boot ---- */

/* /sys/class/net/NAME is a link, as on Linux. The tree keeps the item and its text: they are for
 * ever, as the device is. */
static int add_link(struct super *super, const struct netdev *dev, const char *dir)
{
    struct link {
        struct pseudo_item item;
        char target[64], path[48];
    } *link = kmalloc(sizeof(*link), ALLOC_ZERO);
    if (!link)
        return -ENOMEM;
    snprintf(link->path, sizeof(link->path), "class/net/%s", dev->name);
    snprintf(link->target, sizeof(link->target), "../../%s", dir);
    link->item =
        (struct pseudo_item){.path = link->path, .mode = S_IFLNK | 0777, .text = link->target};
    return pseudo_add(super, &link->item, 1);
}

static int add_device(struct super *super, const struct netdev *dev)
{
    char dir[48];
    snprintf(dir, sizeof(dir), "devices/virtual/net/%s", dev->name);
    int err = pseudo_add_below(super, dir, device_items, ARRAY_COUNT(device_items), dev->index);
    return err ? err : add_link(super, dev, dir);
}

int netsys_init(void)
{
    int err = socket_proc_add(proc_items, ARRAY_COUNT(proc_items));
    list_for_each (node, &vfs_supers) {
        struct super *super = list_entry(node, struct super, link);
        if (strcmp(super->type, "sysfs") != 0)
            continue;
        for (struct netdev *dev = netdev_first(); dev && err == 0; dev = netdev_next(dev))
            err = add_device(super, dev);
    }
    return err;
}
