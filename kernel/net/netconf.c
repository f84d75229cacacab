/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netconf.c - how the network comes to be configured. See netconf.h, docs/boot.md.
 *
 *     ip=ADDRESS/LENGTH   the device's address, IPv4 or IPv6; may be repeated
 *     ip=dhcp             ask for an IPv4 address: what is done without ip=, too
 *     ip=none             no address, nor a question for one
 *     gateway=ADDRESS     default route, one for each version
 *     nameserver=ADDRESS  may be repeated
 *
 * All is about the first device that is not lo. The program starts when there is an address; when
 * no server has said anything for DHCP_SILENCE_NS; or after DHCP_PATIENCE_NS. The client goes on.
 *
 * /etc/resolv.conf is written when a name server is known by any of these ways, and again when
 * another one comes; those of the boot line are not changed by others. /etc/hosts is written if
 * there is none.
 */
#include "net/netconf.h"

#include "core/cmdline.h"
#include "core/log.h"
#include "core/mutex.h"
#include "fs/context.h"
#include "fs/fcntl.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "net/dhcp.h"
#include "net/ifaddr.h"
#include "net/ip.h"
#include "net/route.h"
#include "sched/timer.h"

#define DHCP_SILENCE_NS NS_PER_SEC
#define DHCP_PATIENCE_NS (4 * NS_PER_SEC)
#define SERVERS_MAX 3u /* MAXNS of resolv.h */
#define VALUE_MAX 64u

static struct mutex lock; /* RANK_NETDEV_UP: guards the next four */
static struct net_addr servers[SERVERS_MAX];
static unsigned server_count;
static bool servers_fixed; /* by nameserver= */
static char domain[64];
static struct mutex write_lock; /* RANK_EXEC: one writer of the file at a time */

void netconf_init(void)
{
    mutex_init(&lock, RANK_NETDEV_UP);
    mutex_init(&write_lock, RANK_EXEC);
}

/* ---- files ---- */

static int write_file(const char *path, uint32_t flags, const char *text, size_t len)
{
    struct fs_context *ctx = fs_context_create();
    struct file *file;
    if (!ctx)
        return -ENOMEM;
    int err = fs_open(ctx, path, O_WRONLY | O_CREAT | flags, 0644, &file);
    if (err == 0) {
        long n = file_write(file, text, len);
        err = n < 0 ? (int)n : 0;
        file_put(file);
    }
    fs_context_put(ctx);
    return err;
}

static void write_resolv(void)
{
    char text[512], address[NET_ADDR_TEXT];
    struct strbuf sb = {.buf = text, .size = sizeof(text)};
    mutex_lock(&write_lock);
    mutex_lock(&lock);
    if (domain[0])
        strbuf_printf(&sb, "search %s\n", domain);
    for (unsigned i = 0; i < server_count; i++) {
        net_addr_format(&servers[i], address);
        strbuf_printf(&sb, "nameserver %s\n", address);
    }
    mutex_unlock(&lock);
    int err = write_file("/etc/resolv.conf", O_TRUNC, text, MIN(sb.len, sizeof(text)));
    mutex_unlock(&write_lock);
    if (err)
        log_info("/etc/resolv.conf is not written: error %d", -err);
}

static void write_hosts(void)
{
    static const char text[] = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n";
    int err = write_file("/etc/hosts", O_EXCL, text, sizeof(text) - 1);
    if (err && err != -EEXIST)
        log_info("/etc/hosts is not written: error %d", -err);
}

static bool server_add(const struct net_addr *address, bool fixed)
{
    bool fresh = server_count < SERVERS_MAX && (fixed || !servers_fixed);
    for (unsigned i = 0; i < server_count; i++)
        fresh &= !net_addr_equal(&servers[i], address);
    if (fresh)
        servers[server_count++] = *address;
    return fresh;
}

void netconf_nameserver(const struct net_addr *address)
{
    mutex_lock(&lock);
    bool fresh = server_add(address, false);
    mutex_unlock(&lock);
    if (fresh)
        write_resolv();
}

void netconf_domain(const char *name)
{
    mutex_lock(&lock);
    bool change = strcmp(domain, name) != 0;
    (void)strlcpy(domain, name, sizeof(domain));
    mutex_unlock(&lock);
    if (change)
        write_resolv();
}

/* ---- the boot line ---- */

static bool parse_prefixed(const char *text, struct net_addr *address, uint8_t *prefix)
{
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    uint64_t bits;
    if (!net_addr_parse(text, len, address))
        return false;
    bool v4 = net_addr_is_v4(address);
    bits = v4 ? 24 : 64;
    if (slash && (str_to_u64(slash + 1, NULL, &bits) || bits > (v4 ? 32u : 128u)))
        return false;
    *prefix = (uint8_t)bits;
    return true;
}

static int set_addresses(const char *cmdline, struct netdev *dev, bool *v4_given, bool *none)
{
    char value[VALUE_MAX];
    *v4_given = *none = false;
    for (unsigned n = 0; cmdline_option_nth(cmdline, "ip", n, value, sizeof(value)); n++) {
        struct ifaddr_info info = {.dev = dev, .flags = IFADDR_PERMANENT};
        if (strcmp(value, "dhcp") == 0)
            continue;
        if (strcmp(value, "none") == 0) {
            *none = true;
            continue;
        }
        if (!parse_prefixed(value, &info.address, &info.prefix))
            return -EINVAL;
        *v4_given |= net_addr_is_v4(&info.address);
        int err = dev ? ifaddr_add(&info) : 0;
        if (err)
            return err;
    }
    return 0;
}

static int set_gateways(const char *cmdline, struct netdev *dev)
{
    char value[VALUE_MAX];
    for (unsigned n = 0; cmdline_option_nth(cmdline, "gateway", n, value, sizeof(value)); n++) {
        struct route_entry route = {
            .type = ROUTE_UNICAST,
            .protocol = ROUTE_BY_BOOT,
            .dev = dev,
        };
        if (!net_addr_parse(value, strlen(value), &route.gateway))
            return -EINVAL;
        route.dest = net_addr_is_v4(&route.gateway) ? net_addr_any_v4 : net_addr_any;
        int err = dev ? route_add(&route, true) : 0;
        if (err)
            return err;
    }
    return 0;
}

static int set_nameservers(const char *cmdline)
{
    char value[VALUE_MAX];
    int err = 0;
    mutex_lock(&lock);
    for (unsigned n = 0; cmdline_option_nth(cmdline, "nameserver", n, value, sizeof(value)); n++) {
        struct net_addr address;
        if (!net_addr_parse(value, strlen(value), &address))
            err = -EINVAL;
        else
            (void)server_add(&address, true);
        servers_fixed = true;
    }
    mutex_unlock(&lock);
    return err;
}

static struct netdev *first_device(void)
{
    struct netdev *dev = netdev_first();
    while (dev && dev->type != ARPHRD_ETHER)
        dev = netdev_next(dev);
    return dev;
}

int netconf_start(const char *cmdline, const char **which)
{
    struct netdev *dev = first_device();
    bool v4_given, none;
    for (struct netdev *each = netdev_first(); each; each = netdev_next(each))
        if (netdev_set_up(each, true))
            log_warn("%s does not come up", each->name);
    *which = "ip";
    int err = set_addresses(cmdline, dev, &v4_given, &none);
    if (err == 0) {
        *which = "gateway";
        err = set_gateways(cmdline, dev);
    }
    if (err == 0) {
        *which = "nameserver";
        err = set_nameservers(cmdline);
    }
    if (err)
        return err;
    if (servers_fixed)
        write_resolv();
    if (!dev)
        return 0;
    write_hosts();
    if (!v4_given && !none) {
        dhcp_start(dev);
        uint64_t now = clock_mono_ns();
        if (!dhcp_wait(now + DHCP_SILENCE_NS, now + DHCP_PATIENCE_NS))
            log_warn("%s: no answer from a DHCP server yet", dev->name);
    }
    return 0;
}
