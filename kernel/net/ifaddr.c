/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ifaddr.c - addresses of devices, the choice of a source address, multicast groups. See ifaddr.h.
 *
 * Addresses are a list of few; a new one is linked at its end when it is complete, so readers need
 * nothing but their RCU section. Groups are under a spinlock: they are looked at for multicast
 * packets only.
 */
#include "net/ifaddr.h"

#include "lib/bytes.h"
#include "lib/errno.h"
#include "mm/kmalloc.h"
#include "net/ip.h"
#include "net/route.h"
#include "sched/timer.h"

#define ADDRESSES_MAX 256u
#define GROUPS_MAX 1024u

struct mutex net_config;
void (*ifaddr_changed)(struct netdev *dev, const struct net_addr *address, uint8_t prefix,
                       uint32_t flags, bool added);

static struct ifaddr *first; /* atomic, as are the links; net_config to change */
static unsigned count;

const struct net_addr net_addr_any;
const struct net_addr net_addr_any_v4 = {.bytes = {[10] = 0xff, [11] = 0xff}};

void ifaddr_init(void)
{
    mutex_init(&net_config, RANK_NET_CONFIG);
}

/* ---- kinds of addresses ---- */

bool net_addr_match(const struct net_addr *a, const struct net_addr *b, unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;
    for (unsigned i = 0; i < bytes; i++)
        if (a->bytes[i] != b->bytes[i])
            return false;
    return rest == 0 || (a->bytes[bytes] ^ b->bytes[bytes]) >> (8 - rest) == 0;
}

uint8_t net_addr_scope(const struct net_addr *a)
{
    if (net_addr_is_loopback(a))
        return SCOPE_HOST;
    if (net_addr_is_link_local(a))
        return SCOPE_LINK;
    if (!net_addr_is_v4(a) && a->bytes[0] == 0xff) /* RFC 4291, 2.7 */
        return (a->bytes[1] & 0xf) == 1   ? SCOPE_HOST
               : (a->bytes[1] & 0xf) == 2 ? SCOPE_LINK
                                          : SCOPE_UNIVERSE;
    return SCOPE_UNIVERSE;
}

/* ---- the list ---- */

struct ifaddr *ifaddr_first(void)
{
    return __atomic_load_n(&first, __ATOMIC_ACQUIRE);
}

struct ifaddr *ifaddr_next(const struct ifaddr *ifa)
{
    return __atomic_load_n(&ifa->next, __ATOMIC_ACQUIRE);
}

static uint32_t flags_of(const struct ifaddr *ifa)
{
    return __atomic_load_n(&ifa->flags, __ATOMIC_RELAXED);
}

struct ifaddr *ifaddr_find(const struct net_addr *address, unsigned device, bool tentative)
{
    for (struct ifaddr *ifa = ifaddr_first(); ifa; ifa = ifaddr_next(ifa))
        if (net_addr_equal(&ifa->address, address) && (!device || ifa->dev->index == device) &&
            (tentative || !(flags_of(ifa) & (IFADDR_TENTATIVE | IFADDR_FAILED))))
            return ifa;
    return NULL;
}

bool ip_is_local(const struct net_addr *address, unsigned device)
{
    /* RFC 1122, 3.2.1.3: all of 127/8 is here. */
    if (net_addr_is_v4(address) && address->bytes[12] == 127)
        return device == 0 || device == loopback.index;
    unsigned token = rcu_read_lock();
    bool found = ifaddr_find(address, device, false);
    rcu_read_unlock(token);
    return found;
}

bool ip_is_broadcast(const struct net_addr *address, unsigned device)
{
    bool found = false;
    if (!net_addr_is_v4(address))
        return false;
    if (address->word[3] == UINT32_MAX || address->word[3] == net32(0x7fffffff)) /* lo's */
        return true;
    unsigned token = rcu_read_lock();
    for (struct ifaddr *ifa = ifaddr_first(); ifa && !found; ifa = ifaddr_next(ifa))
        found = (!device || ifa->dev->index == device) && net_addr_is_v4(&ifa->broadcast) &&
                net_addr_equal(&ifa->broadcast, address);
    rcu_read_unlock(token);
    return found;
}

static void notify(const struct ifaddr_info *info, bool added)
{
    route_changed();
    if (ifaddr_changed)
        ifaddr_changed(info->dev, &info->address, info->prefix, info->flags, added);
}

static bool info_ok(const struct ifaddr_info *info)
{
    bool v4 = net_addr_is_v4(&info->address);
    return info->prefix <= (v4 ? 32 : 128) && !net_addr_is_any(&info->address) &&
           !net_addr_is_multicast(&info->address) && !(v4 && info->address.word[3] == UINT32_MAX);
}

/* The subnet, by this device. */
static struct route_entry subnet_of(const struct ifaddr *ifa)
{
    struct route_entry route = {
        .dest = ifa->address,
        .prefix = ifa->prefix,
        .type = ROUTE_UNICAST,
        .protocol = ROUTE_BY_KERNEL,
        .scope = SCOPE_LINK,
        .dev = ifa->dev,
        .source = net_addr_any, /* that one of its addresses which is there */
        .metric = net_addr_is_v4(&ifa->address) ? 0 : 256,
    };
    return route;
}

static bool has_subnet(const struct ifaddr *ifa)
{
    return ifa->prefix < (net_addr_is_v4(&ifa->address) ? 32 : 128) &&
           !net_addr_is_loopback(&ifa->address);
}

static struct ifaddr *make(const struct ifaddr_info *info)
{
    struct ifaddr *ifa = kzalloc(sizeof(*ifa));
    if (!ifa)
        return NULL;
    bool v4 = net_addr_is_v4(&info->address);
    ifa->dev = info->dev;
    ifa->address = info->address;
    ifa->prefix = info->prefix;
    ifa->scope = net_addr_scope(&info->address);
    ifa->flags = info->flags;
    ifa->preferred_until_ns = info->preferred_until_ns ? info->preferred_until_ns : UINT64_MAX;
    ifa->valid_until_ns = info->valid_until_ns ? info->valid_until_ns : UINT64_MAX;
    if (v4 && info->prefix < 31 && ifa->scope != SCOPE_HOST) {
        ifa->broadcast = info->address;
        for (unsigned bit = 96 + info->prefix; bit < 128; bit++)
            ifa->broadcast.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    }
    return ifa;
}

static int add_locked(struct ifaddr *ifa)
{
    struct ifaddr **end = &first;
    if (count >= ADDRESSES_MAX)
        return -ENOBUFS;
    for (; *end; end = &(*end)->next)
        if ((*end)->dev == ifa->dev && net_addr_equal(&(*end)->address, &ifa->address))
            return -EEXIST;
    if (has_subnet(ifa)) {
        struct route_entry route = subnet_of(ifa);
        int err = route_add_locked(&route, false);
        if (err && err != -EEXIST) /* another address of the subnet has brought it */
            return err;
    }
    count++;
    __atomic_store_n(end, ifa, __ATOMIC_RELEASE);
    return 0;
}

int ifaddr_add(const struct ifaddr_info *info)
{
    if (!info_ok(info))
        return -EINVAL;
    struct ifaddr *ifa = make(info);
    if (!ifa)
        return -ENOMEM;
    mutex_lock(&net_config);
    int err = add_locked(ifa);
    mutex_unlock(&net_config);
    if (err)
        kfree(ifa);
    else
        notify(info, true);
    return err;
}

static void free_ifaddr(struct rcu_head *head)
{
    kfree(container_of(head, struct ifaddr, rcu));
}

/* Is another address of the device in this one's subnet? */
static bool shares_subnet(const struct ifaddr *gone)
{
    for (const struct ifaddr *ifa = first; ifa; ifa = ifa->next)
        if (ifa->dev == gone->dev && ifa->prefix == gone->prefix &&
            net_addr_match(&ifa->address, &gone->address,
                           net_addr_bits(&gone->address, gone->prefix)))
            return true;
    return false;
}

int ifaddr_remove(struct netdev *dev, const struct net_addr *address)
{
    struct ifaddr_info info = {.dev = dev, .address = *address};
    mutex_lock(&net_config);
    struct ifaddr **link = &first, *ifa;
    while (*link && !((*link)->dev == dev && net_addr_equal(&(*link)->address, address)))
        link = &(*link)->next;
    ifa = *link;
    if (ifa) {
        __atomic_store_n(link, ifa->next, __ATOMIC_RELEASE);
        count--;
        info.prefix = ifa->prefix;
        info.flags = flags_of(ifa);
        if (has_subnet(ifa) && !shares_subnet(ifa)) {
            struct route_entry route = subnet_of(ifa);
            (void)!route_remove_locked(&route); /* somebody may have removed it */
        }
    }
    mutex_unlock(&net_config);
    if (!ifa)
        return -EADDRNOTAVAIL;
    rcu_call(&ifa->rcu, free_ifaddr);
    notify(&info, false);
    return 0;
}

int ifaddr_change(struct netdev *dev, const struct net_addr *address, uint32_t clear, uint32_t set,
                  uint64_t preferred_until_ns, uint64_t valid_until_ns)
{
    struct ifaddr_info info = {.dev = dev, .address = *address};
    mutex_lock(&net_config);
    struct ifaddr *ifa = ifaddr_find(address, dev->index, true);
    if (ifa) {
        info.flags = (flags_of(ifa) & ~clear) | set;
        info.prefix = ifa->prefix;
        __atomic_store_n(&ifa->preferred_until_ns, preferred_until_ns, __ATOMIC_RELAXED);
        __atomic_store_n(&ifa->valid_until_ns, valid_until_ns, __ATOMIC_RELAXED);
        __atomic_store_n(&ifa->flags, info.flags, __ATOMIC_RELAXED);
    }
    mutex_unlock(&net_config);
    if (!ifa)
        return -EADDRNOTAVAIL;
    notify(&info, true);
    return 0;
}

/* ---- the source address ---- */

static unsigned common_bits(const struct net_addr *a, const struct net_addr *b)
{
    unsigned bits = 0;
    while (bits < 128 && net_addr_match(a, b, bits + 1))
        bits++;
    return bits;
}

/* How well it suits: RFC 6724, 5, rules 1 to 3, 5, 8, as one number; 0: not at all. IPv4 has the
 * same rules but that of the next hop's subnet in place of rule 8 (RFC 1122, 3.3.4.3). */
static uint64_t suits(const struct ifaddr *ifa, const struct netdev *dev,
                      const struct net_addr *remote, const struct net_addr *via)
{
    uint8_t scope = net_addr_scope(remote);
    bool v4 = net_addr_is_v4(remote);
    if (net_addr_is_v4(&ifa->address) != v4 || flags_of(ifa) & (IFADDR_TENTATIVE | IFADDR_FAILED) ||
        __atomic_load_n(&ifa->valid_until_ns, __ATOMIC_RELAXED) <= clock_mono_ns())
        return 0;
    if (ifa->dev != dev && ifa->scope >= SCOPE_LINK)
        return 0; /* it means something else there */
    uint64_t score = 1;
    if (net_addr_equal(&ifa->address, remote))
        score |= 1u << 30;
    if (ifa->scope <= scope) /* wide enough; then the narrower the better */
        score |= 1u << 29 | (uint32_t)ifa->scope << 20;
    else
        score |= (uint32_t)(255 - ifa->scope) << 20;
    if (!(flags_of(ifa) & IFADDR_DEPRECATED))
        score |= 1u << 19;
    if (ifa->dev == dev)
        score |= 1u << 18;
    if (v4 ? net_addr_match(&ifa->address, via, 96 + ifa->prefix) : false)
        score |= 1u << 17;
    return score | (v4 ? 0 : common_bits(&ifa->address, remote) << 8);
}

bool ifaddr_source(struct netdev *dev, const struct net_addr *remote, const struct net_addr *via,
                   struct net_addr *out)
{
    uint64_t best = 0;
    unsigned token = rcu_read_lock();
    for (struct ifaddr *ifa = ifaddr_first(); ifa; ifa = ifaddr_next(ifa)) {
        uint64_t score = suits(ifa, dev, remote, via);
        if (score > best) {
            best = score;
            *out = ifa->address;
        }
    }
    rcu_read_unlock(token);
    return best > 0;
}

/* ---- multicast groups ---- */

struct group {
    struct list link;
    struct netdev *dev;
    struct net_addr address;
    unsigned users;
};
static struct spinlock group_lock = SPINLOCK_INIT(RANK_NEIGH);
static struct list groups = {&groups, &groups};
static unsigned group_count;

static struct group *group_find(const struct net_addr *address, unsigned device)
{
    list_for_each (link, &groups) {
        struct group *g = list_entry(link, struct group, link);
        if (net_addr_equal(&g->address, address) && (!device || g->dev->index == device))
            return g;
    }
    return NULL;
}

bool ip_group_member(const struct net_addr *group, unsigned device)
{
    static const struct net_addr all_nodes = {.bytes = {0xff, 0x02, [15] = 1}};
    static const struct net_addr all_hosts = {
        .bytes = {[10] = 0xff, [11] = 0xff, [12] = 224, [15] = 1}};
    if (net_addr_equal(group, &all_nodes) || net_addr_equal(group, &all_hosts))
        return true;
    spin_lock(&group_lock);
    bool member = group_find(group, device);
    spin_unlock(&group_lock);
    return member;
}

/* By which device: the one asked for, or that of the route. */
static struct netdev *group_device(const struct net_addr *group, unsigned device)
{
    struct ip_route route = {0};
    if (device)
        return netdev_by_index(device);
    struct netdev *dev = route_lookup(&route, group, NULL, 0) == 0 ? route.dev : NULL;
    route_release(&route);
    return dev;
}

static void group_announce(struct netdev *dev, const struct net_addr *group, bool join)
{
    if (dev->ops->set_filter)
        dev->ops->set_filter(dev);
    if (net_addr_is_v4(group))
        igmp_report(dev, group, join);
    else
        mld_report(dev, group, join);
}

int ip_group_join(const struct net_addr *address, unsigned device)
{
    if (!net_addr_is_multicast(address))
        return -EINVAL;
    struct netdev *dev = group_device(address, device);
    if (!dev)
        return -ENODEV;
    struct group *fresh = kzalloc(sizeof(*fresh));
    if (!fresh)
        return -ENOMEM;
    *fresh = (struct group){.dev = dev, .address = *address};
    bool first_user = false;
    int err = 0;
    spin_lock(&group_lock);
    struct group *g = group_find(address, dev->index);
    if (!g && group_count >= GROUPS_MAX) {
        err = -ENOBUFS;
    } else {
        if (!g) {
            g = fresh;
            fresh = NULL;
            list_push_back(&groups, &g->link);
            group_count++;
            first_user = true;
        }
        g->users++;
    }
    spin_unlock(&group_lock);
    kfree(fresh);
    if (first_user)
        group_announce(dev, address, true);
    return err;
}

int ip_group_leave(const struct net_addr *address, unsigned device)
{
    struct netdev *dev = NULL;
    spin_lock(&group_lock);
    struct group *g = group_find(address, device);
    bool found = g, last = g && --g->users == 0;
    if (last) {
        list_remove(&g->link);
        group_count--;
        dev = g->dev;
    }
    spin_unlock(&group_lock);
    if (last) {
        kfree(g);
        group_announce(dev, address, false);
    }
    return found ? 0 : -EADDRNOTAVAIL;
}

unsigned group_list(struct group_view *out, unsigned from, unsigned max)
{
    unsigned number = 0, written = 0;
    spin_lock(&group_lock);
    list_for_each (link, &groups) {
        const struct group *g = list_entry(link, struct group, link);
        if (number++ >= from && written < max)
            out[written++] = (struct group_view){g->address, g->dev->index, g->users};
    }
    spin_unlock(&group_lock);
    return written;
}
