/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sysctl.c - /proc/sys/net: settings of the network (ip(7), tcp(7), socket(7); Linux:
 * Documentation/networking/ip-sysctl.rst).
 *
 * A setting that can be written is a row of `settings`: where its numbers lie, and between what;
 * whoever uses them loads them relaxed each time, so a change holds from then on. What is fixed
 * here is a text of `fixed`, and says what the code does. A new setting is one row.
 */
#include "net/sysctl.h"

#include "fs/pseudo.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "net/inet.h"
#include "net/tcp_sock.h"

#define NUMBERS_MAX 3u

/* `size` bytes at `at`; at NULL: it is `least`, always. */
struct number {
    void *at;
    uint32_t size, least, most;
};
struct setting {
    struct pseudo_item item;           /* first: what the inode has */
    struct number number[NUMBERS_MAX]; /* until one of size 0 */
};

static const struct setting *setting_of(const struct inode *inode)
{
    return inode->data;
}

static uint32_t load(const struct number *n)
{
    if (!n->at)
        return n->least;
    if (n->size == 1)
        return __atomic_load_n((uint8_t *)n->at, __ATOMIC_RELAXED);
    return n->size == 2 ? __atomic_load_n((uint16_t *)n->at, __ATOMIC_RELAXED)
                        : __atomic_load_n((uint32_t *)n->at, __ATOMIC_RELAXED);
}

static void store(const struct number *n, uint32_t value)
{
    if (n->at && n->size == 1)
        __atomic_store_n((uint8_t *)n->at, (uint8_t)value, __ATOMIC_RELAXED);
    else if (n->at && n->size == 2)
        __atomic_store_n((uint16_t *)n->at, (uint16_t)value, __ATOMIC_RELAXED);
    else if (n->at)
        __atomic_store_n((uint32_t *)n->at, value, __ATOMIC_RELAXED);
}

static int show_numbers(struct inode *inode, struct strbuf *sb)
{
    const struct setting *s = setting_of(inode);
    for (unsigned i = 0; i < NUMBERS_MAX && s->number[i].size; i++)
        strbuf_printf(sb, i ? "\t%u" : "%u", load(&s->number[i]));
    strbuf_printf(sb, "\n");
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* As many numbers as are written, the others stay; all are right, or none is stored. */
static int store_numbers(struct inode *inode, char *text, size_t len)
{
    const struct setting *s = setting_of(inode);
    uint32_t values[NUMBERS_MAX];
    unsigned count = 0;
    const char *at = text;
    for (; count < NUMBERS_MAX && s->number[count].size; count++) {
        const struct number *n = &s->number[count];
        uint64_t value;
        while (is_space(*at))
            at++;
        if (!*at)
            break;
        if (str_to_u64(at, &at, &value) || (*at && !is_space(*at)) || value < n->least ||
            value > n->most || (count && value < values[count - 1]))
            return -EINVAL;
        values[count] = (uint32_t)value;
    }
    if (count == 0)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++)
        store(&s->number[i], values[i]);
    return 0;
}

/* ---- those that are no numbers, or count in their own way ---- */

static int show_congestion(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "%s\n",
                  __atomic_load_n(&tcp_stack.reno, __ATOMIC_RELAXED) ? "reno" : "cubic");
    return 0;
}

static int store_congestion(struct inode *inode, char *text, size_t len)
{
    while (len > 0 && is_space(text[len - 1]))
        text[--len] = 0;
    bool reno = strcmp(text, "reno") == 0;
    if (!reno && strcmp(text, "cubic") != 0)
        return -ENOENT;
    __atomic_store_n(&tcp_stack.reno, reno, __ATOMIC_RELAXED);
    return 0;
}

/* 1: ask for it and grant it; 2: grant it to who asks. Never to grant it is not to be had. */
static int show_ecn(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "%d\n", __atomic_load_n(&tcp_stack.ecn, __ATOMIC_RELAXED) ? 1 : 2);
    return 0;
}

static int store_ecn(struct inode *inode, char *text, size_t len)
{
    if ((text[0] != '1' && text[0] != '2') || (text[1] && !is_space(text[1])))
        return -EINVAL;
    __atomic_store_n(&tcp_stack.ecn, text[0] == '1', __ATOMIC_RELAXED);
    return 0;
}

/* ---- the table ---- */

#define NUMBERS(name) \
    .item = {.path = "sys/net/" name, \
             .mode = S_IFREG | 0644, \
             .show = show_numbers, \
             .store = store_numbers}
#define AT(what, least, most) \
    { \
        &(what), sizeof(what), least, most \
    }
#define ALWAYS(value) \
    { \
        NULL, 4, value, value \
    }

static const struct setting settings[] = {
    {NUMBERS("core/somaxconn"), {AT(socket_limits.backlog, 0, INT32_MAX)}},
    {NUMBERS("core/rmem_max"), {AT(socket_limits.receive, 2304, INT32_MAX / 2)}},
    {NUMBERS("core/wmem_max"), {AT(socket_limits.send, 4608, INT32_MAX / 2)}},
    {NUMBERS("ipv4/tcp_rmem"),
     {ALWAYS(4096), AT(tcp_stack.read_default, 4096, INT32_MAX),
      AT(tcp_stack.read_max, 4096, INT32_MAX)}},
    {NUMBERS("ipv4/tcp_wmem"),
     {ALWAYS(4096), AT(tcp_stack.write_default, 4096, INT32_MAX),
      AT(tcp_stack.write_max, 4096, INT32_MAX)}},
    {NUMBERS("ipv4/tcp_keepalive_time"), {AT(tcp_stack.keep_idle_s, 1, 32767)}},
    {NUMBERS("ipv4/tcp_keepalive_intvl"), {AT(tcp_stack.keep_interval_s, 1, 32767)}},
    {NUMBERS("ipv4/tcp_keepalive_probes"), {AT(tcp_stack.keep_count, 1, 127)}},
    {NUMBERS("ipv4/tcp_syn_retries"), {AT(tcp_stack.syn_retries, 1, 127)}},
    {NUMBERS("ipv4/tcp_synack_retries"), {AT(tcp_stack.synack_retries, 0, 255)}},
    {NUMBERS("ipv4/tcp_retries2"), {AT(tcp_stack.retries, 0, 255)}},
    {NUMBERS("ipv4/tcp_orphan_retries"), {AT(tcp_stack.orphan_retries, 0, 255)}},
    {NUMBERS("ipv4/tcp_max_orphans"), {AT(tcp_stack.max_orphans, 0, INT32_MAX)}},
    {NUMBERS("ipv4/tcp_fin_timeout"), {AT(tcp_stack.fin_timeout_s, 1, 255)}},
    {NUMBERS("ipv4/tcp_tw_reuse"), {AT(tcp_stack.tw_reuse, 0, 2)}},
    {NUMBERS("ipv4/tcp_syncookies"), {AT(tcp_stack.syncookies, 0, 1)}},
    {NUMBERS("ipv4/ip_local_port_range"),
     {AT(port_limits.first, 1, 65535), AT(port_limits.last, 1, 65535)}},
    {NUMBERS("ipv4/ip_unprivileged_port_start"), {AT(port_limits.unprivileged, 0, 65535)}},
    {NUMBERS("ipv4/ip_default_ttl"), {AT(ip_default_ttl, 1, 255)}},
    {NUMBERS("ipv4/icmp_echo_ignore_all"), {AT(icmp_echo_ignore_all, 0, 1)}},
};

#define FIXED(name, what) \
    { \
        .path = "sys/net/" name, .mode = S_IFREG | 0444, .text = what "\n" \
    }

static const struct pseudo_item fixed[] = {
    FIXED("core/rmem_default", "212992"),
    FIXED("core/wmem_default", "212992"),
    FIXED("core/optmem_max", "20480"),
    FIXED("core/netdev_max_backlog", "1000"),
    FIXED("core/default_qdisc", "fifo"),
    FIXED("ipv4/tcp_available_congestion_control", "reno cubic"),
    FIXED("ipv4/tcp_allowed_congestion_control", "reno cubic"),
    FIXED("ipv4/tcp_sack", "1"),
    FIXED("ipv4/tcp_dsack", "1"),
    FIXED("ipv4/tcp_timestamps", "1"),
    FIXED("ipv4/tcp_window_scaling", "1"),
    FIXED("ipv4/tcp_moderate_rcvbuf", "1"),
    FIXED("ipv4/tcp_mtu_probing", "0"),
    FIXED("ipv4/tcp_max_tw_buckets", "16384"),
    FIXED("ipv4/ip_forward", "0"),
    FIXED("ipv4/ip_nonlocal_bind", "0"),
    FIXED("ipv4/ip_no_pmtu_disc", "0"),
    FIXED("ipv4/ping_group_range", "0\t2147483647"),
    FIXED("ipv4/icmp_echo_ignore_broadcasts", "1"),
    FIXED("ipv4/icmp_msgs_per_sec", "1000"),
    FIXED("ipv4/icmp_msgs_burst", "50"),
    FIXED("ipv4/ipfrag_time", "30"),
    FIXED("ipv4/ipfrag_high_thresh", "4194304"),
    FIXED("ipv4/conf/all/accept_source_route", "0"),
    FIXED("ipv4/conf/all/accept_redirects", "0"),
    FIXED("ipv4/conf/all/forwarding", "0"),
    FIXED("ipv4/conf/all/rp_filter", "0"),
    FIXED("ipv4/conf/default/rp_filter", "0"),
    FIXED("ipv4/conf/lo/rp_filter", "0"),
    FIXED("ipv6/conf/all/disable_ipv6", "0"),
    FIXED("ipv6/conf/default/disable_ipv6", "0"),
    FIXED("ipv6/conf/lo/disable_ipv6", "0"),
    FIXED("ipv6/conf/all/forwarding", "0"),
    FIXED("ipv6/bindv6only", "0"),
    {.path = "sys/net/ipv4/tcp_congestion_control",
     .mode = S_IFREG | 0644,
     .show = show_congestion,
     .store = store_congestion},
    {.path = "sys/net/ipv4/tcp_ecn", .mode = S_IFREG | 0644, .show = show_ecn, .store = store_ecn},
};

int sysctl_init(void)
{
    int err = socket_proc_add(fixed, ARRAY_COUNT(fixed));
    for (unsigned i = 0; i < ARRAY_COUNT(settings) && err == 0; i++)
        err = socket_proc_add(&settings[i].item, 1);
    return err;
}
