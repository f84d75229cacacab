/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * route.c - the routing table and what it answers. See ip.h, route.h.
 *
 * The table is one array, sorted so that the first entry that matches is the answer: the longest
 * prefix, then the lowest metric, then the oldest. Readers take it in an RCU section; a writer
 * makes a changed copy under net_config, publishes it and leaves the old one to RCU. Every change
 * of anything that a lookup depends on counts route_generation up, behind the change.
 *
 * Learned path MTUs are in a small table of their own, by remote address, where a new one pushes
 * out the one at its place: what is lost is learned again.
 */
#include "net/route.h"

#include "core/random.h"
#include "lib/errno.h"
#include "lib/siphash.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "net/neigh.h"
#include "sched/timer.h"

#define MTU_SLOTS 256u
#define MTU_TIME_NS (600 * NS_PER_SEC)

uint32_t route_generation;
void (*route_told)(const struct route_entry *entry, bool added);

struct table {
    struct rcu_head rcu;
    unsigned count;
    struct route_entry entries[];
};
static struct table *table; /* atomic; NULL: empty; net_config to change */

static struct spinlock mtu_lock = SPINLOCK_INIT(RANK_NEIGH);
static struct mtu_slot {
    struct net_addr remote;
    uint32_t mtu;
    uint64_t expires_ns;
} mtu_slots[MTU_SLOTS];
static uint64_t mtu_secret; /* atomic; chosen with the first entry */

void route_changed(void)
{
    /* Release: behind what has changed. */
    __atomic_fetch_add(&route_generation, 1, __ATOMIC_RELEASE);
}

/* ---- path MTU ---- */

static struct mtu_slot *mtu_slot(const struct net_addr *remote)
{
    struct siphash_key key = {{__atomic_load_n(&mtu_secret, __ATOMIC_RELAXED), 0}};
    return &mtu_slots[siphash(&key, remote->half, 2) % MTU_SLOTS];
}

void route_mtu_learn(const struct net_addr *remote, uint32_t mtu)
{
    /* A path that takes less has no place in the Internet: no datagrams of 68 bytes for liars. */
    mtu = MAX(mtu, net_addr_is_v4(remote) ? 552u : IP6_MTU_MIN);
    spin_lock(&mtu_lock);
    if (!mtu_secret)
        __atomic_store_n(&mtu_secret, random_u64() | 1, __ATOMIC_RELAXED);
    struct mtu_slot *slot = mtu_slot(remote);
    *slot = (struct mtu_slot){*remote, mtu, clock_mono_ns() + MTU_TIME_NS};
    spin_unlock(&mtu_lock);
    route_changed();
}

static uint32_t mtu_of(const struct net_addr *remote, uint32_t limit)
{
    uint32_t mtu = limit;
    if (!__atomic_load_n(&mtu_secret, __ATOMIC_RELAXED))
        return mtu;
    spin_lock(&mtu_lock);
    const struct mtu_slot *slot = mtu_slot(remote);
    if (net_addr_equal(&slot->remote, remote) && slot->expires_ns > clock_mono_ns())
        mtu = MIN(mtu, slot->mtu);
    spin_unlock(&mtu_lock);
    return mtu;
}

/* ---- the table ---- */

static unsigned bits_of(const struct route_entry *e)
{
    return net_addr_bits(&e->dest, e->prefix);
}

static void mask(struct net_addr *a, unsigned bits)
{
    for (unsigned bit = bits; bit < 128; bit++)
        a->bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

static bool usable(const struct route_entry *e)
{
    return (e->type != ROUTE_UNICAST || netdev_flags(e->dev) & NETDEV_UP) &&
           (e->expires_ns == 0 || e->expires_ns > clock_mono_ns());
}

/* In an RCU section. */
static const struct route_entry *find(const struct net_addr *remote, unsigned device)
{
    const struct table *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
    bool v4 = net_addr_is_v4(remote);
    for (unsigned i = 0; t && i < t->count; i++) {
        const struct route_entry *e = &t->entries[i];
        if (net_addr_is_v4(&e->dest) == v4 && net_addr_match(&e->dest, remote, bits_of(e)) &&
            (!device || (e->dev && e->dev->index == device)) && usable(e))
            return e;
    }
    return NULL;
}

static void free_table(struct rcu_head *head)
{
    kfree(container_of(head, struct table, rcu));
}

rarely static struct table *table_new(unsigned count)
{
    struct table *t = kzalloc(sizeof(*t) + count * sizeof(t->entries[0]));
    if (t)
        t->count = count;
    return t;
}

rarely static void publish(struct table *fresh)
{
    struct table *old = table;
    __atomic_store_n(&table, fresh, __ATOMIC_RELEASE);
    if (old)
        rcu_call(&old->rcu, free_table);
    route_changed();
}

static void tell(const struct route_entry *e, bool added)
{
    if (route_told)
        route_told(e, added);
}

static bool before(const struct route_entry *a, const struct route_entry *b)
{
    return bits_of(a) != bits_of(b) ? bits_of(a) > bits_of(b) : a->metric < b->metric;
}

static bool same_place(const struct route_entry *a, const struct route_entry *b)
{
    return net_addr_equal(&a->dest, &b->dest) && a->prefix == b->prefix && a->metric == b->metric;
}

rarely static int check(const struct route_entry *e)
{
    bool v4 = net_addr_is_v4(&e->dest), via = !net_addr_is_any(&e->gateway);
    bool goes = e->type == ROUTE_UNICAST;
    if (e->prefix > (v4 ? 32 : 128) || (goes && !e->dev) ||
        (e->type != ROUTE_UNICAST && e->type != ROUTE_BLACKHOLE && e->type != ROUTE_UNREACHABLE &&
         e->type != ROUTE_PROHIBIT))
        return -EINVAL;
    if (via && (net_addr_is_v4(&e->gateway) != v4 || net_addr_is_multicast(&e->gateway) ||
                ip_is_local(&e->gateway, 0)))
        return -EINVAL;
    return 0;
}

/* A gateway has to be on a link: the device of the way there is the route's, if it names none. */
rarely static int resolve(struct route_entry *e)
{
    if (e->type != ROUTE_UNICAST || net_addr_is_any(&e->gateway))
        return 0;
    unsigned token = rcu_read_lock();
    const struct route_entry *way = find(&e->gateway, e->dev ? e->dev->index : 0);
    struct netdev *dev = way && net_addr_is_any(&way->gateway) ? way->dev : NULL;
    rcu_read_unlock(token);
    /* IPv6's routers have link-local addresses, which are on every link. */
    if (!dev && e->dev && net_addr_is_link_local(&e->gateway))
        dev = e->dev;
    if (!dev)
        return -ENETUNREACH;
    e->dev = dev;
    return 0;
}

rarely int route_add_locked(const struct route_entry *entry, bool replace)
{
    struct route_entry e = *entry;
    unsigned count = table ? table->count : 0, at = 0;
    int err = resolve(&e);
    if (err == 0)
        err = check(&e);
    if (err)
        return err;
    mask(&e.dest, bits_of(&e));
    for (unsigned i = 0; i < count; i++)
        if (same_place(&table->entries[i], &e)) {
            if (!replace)
                return -EEXIST;
            struct table *fresh = table_new(count);
            if (!fresh)
                return -ENOMEM;
            memcpy(fresh->entries, table->entries, count * sizeof(e));
            fresh->entries[i] = e;
            publish(fresh);
            tell(&e, true);
            return 0;
        }
    if (count >= ROUTES_MAX)
        return -ENOBUFS;
    struct table *fresh = table_new(count + 1);
    if (!fresh)
        return -ENOMEM;
    while (at < count && !before(&e, &table->entries[at]))
        at++;
    if (count) {
        memcpy(fresh->entries, table->entries, at * sizeof(e));
        memcpy(fresh->entries + at + 1, table->entries + at, (count - at) * sizeof(e));
    }
    fresh->entries[at] = e;
    publish(fresh);
    tell(&e, true);
    return 0;
}

/* Take out those that `gone` says, at most `most`. -ESRCH: none; -ENOMEM. */
rarely static int remove_those(bool (*gone)(const struct route_entry *e,
                                            const struct route_entry *like),
                               const struct route_entry *like, unsigned most)
{
    unsigned count = table ? table->count : 0, kept = 0;
    struct table *fresh = table_new(count);
    if (!fresh)
        return -ENOMEM;
    /* Those that go are gathered behind the ones that stay. */
    unsigned left = count;
    for (unsigned i = 0; i < count; i++)
        if (most > 0 && gone(&table->entries[i], like)) {
            most--;
            fresh->entries[--left] = table->entries[i];
        } else {
            fresh->entries[kept++] = table->entries[i];
        }
    fresh->count = kept;
    if (kept == count) {
        kfree(fresh);
        return -ESRCH;
    }
    publish(fresh);
    while (count > kept)
        tell(&fresh->entries[--count], false);
    return 0;
}

rarely static bool matches(const struct route_entry *e, const struct route_entry *like)
{
    struct net_addr dest = like->dest;
    mask(&dest, bits_of(like));
    return net_addr_equal(&e->dest, &dest) && e->prefix == like->prefix &&
           (!like->dev || e->dev == like->dev) && (!like->metric || e->metric == like->metric) &&
           (!like->protocol || e->protocol == like->protocol) &&
           (!like->type || e->type == like->type) &&
           (net_addr_is_any(&like->gateway) || net_addr_equal(&e->gateway, &like->gateway));
}

int route_remove_locked(const struct route_entry *entry)
{
    return remove_those(matches, entry, 1);
}

int route_add(const struct route_entry *entry, bool replace)
{
    mutex_lock(&net_config);
    int err = route_add_locked(entry, replace);
    mutex_unlock(&net_config);
    return err;
}

int route_remove(const struct route_entry *entry)
{
    mutex_lock(&net_config);
    int err = route_remove_locked(entry);
    mutex_unlock(&net_config);
    return err;
}

static bool by_device(const struct route_entry *e, const struct route_entry *like)
{
    return e->dev == like->dev && (!like->protocol || e->protocol == like->protocol);
}

rarely void route_flush(struct netdev *dev, uint8_t protocol)
{
    const struct route_entry like = {.dev = dev, .protocol = protocol};
    mutex_lock(&net_config);
    (void)!remove_those(by_device, &like, UINT_MAX); /* without memory: a device that is down is
                                                        not used by lookups anyway */
    mutex_unlock(&net_config);
}

static bool expired(const struct route_entry *e, const struct route_entry *like)
{
    return e->expires_ns && e->expires_ns <= like->expires_ns;
}

rarely uint64_t route_expire(uint64_t now_ns)
{
    const struct route_entry like = {.expires_ns = now_ns};
    uint64_t next_ns = UINT64_MAX;
    bool any = false;
    mutex_lock(&net_config);
    for (unsigned i = 0; table && i < table->count; i++) {
        uint64_t at = table->entries[i].expires_ns;
        any |= at && at <= now_ns;
        if (at > now_ns)
            next_ns = MIN(next_ns, at);
    }
    if (any)
        (void)!remove_those(expired, &like, UINT_MAX); /* without memory: lookups pass over them */
    mutex_unlock(&net_config);
    return next_ns;
}

rarely unsigned route_list(struct route_entry *out, unsigned from, unsigned max)
{
    unsigned token = rcu_read_lock(), written = 0;
    const struct table *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
    for (unsigned i = from; t && i < t->count && written < max; i++)
        out[written++] = t->entries[i];
    rcu_read_unlock(token);
    return written;
}

/* ---- lookup ---- */

void route_release(struct ip_route *route)
{
    neigh_put(route->neigh);
    memset(route, 0, sizeof(*route));
}

void route_confirm(struct ip_route *route)
{
    if (route->neigh)
        neigh_confirm(route->neigh);
}

static int lookup_local(struct ip_route *route)
{
    route->dev = &loopback;
    route->local = true;
    route->source = route->next_hop = route->remote;
    route->mtu = netdev_mtu(&loopback);
    return 0;
}

static int error_of(uint8_t type)
{
    return type == ROUTE_BLACKHOLE ? -EINVAL : type == ROUTE_PROHIBIT ? -EACCES : -EHOSTUNREACH;
}

/* The device to use when no route says it: for the limited broadcast and multicast. */
static struct netdev *any_device(void)
{
    for (struct netdev *dev = netdev_first(); dev; dev = netdev_next(dev))
        if (netdev_flags(dev) & NETDEV_UP && dev != &loopback)
            return dev;
    return NULL;
}

/* Device and next hop, by the table. */
static int lookup_table(struct ip_route *route, unsigned device)
{
    int err = 0;
    route->next_hop = route->remote;
    unsigned token = rcu_read_lock();
    const struct route_entry *e = find(&route->remote, device);
    if (!e) {
        /* A socket that is bound to a device reaches everything there (SO_BINDTODEVICE). */
        route->dev = device ? netdev_by_index(device) : NULL;
        if (!route->dev && (route->broadcast || route->multicast))
            route->dev = any_device();
        err = !route->dev || (!device && !route->broadcast && !route->multicast) ? -ENETUNREACH : 0;
    } else if (e->type != ROUTE_UNICAST) {
        err = error_of(e->type);
    } else {
        route->dev = e->dev;
        route->mtu = e->mtu;
        if (!net_addr_is_any(&e->gateway) && !route->multicast)
            route->next_hop = e->gateway;
        if (!net_addr_is_any(&e->source))
            route->source = e->source;
    }
    rcu_read_unlock(token);
    return err;
}

static int finish(struct ip_route *route, const struct net_addr *source, bool given)
{
    struct netdev *dev = route->dev;
    uint32_t limit = netdev_mtu(dev);
    if (!(netdev_flags(dev) & NETDEV_UP))
        return -ENETUNREACH;
    if (route->mtu == 0 || route->mtu > limit)
        route->mtu = limit;
    route->mtu = mtu_of(&route->remote, route->mtu);
    if (given)
        route->source = *source;
    else if (net_addr_is_any(&route->source) &&
             !ifaddr_source(dev, &route->remote, &route->next_hop, &route->source)) {
        /* What has no address yet speaks to all only (DHCP). */
        if (!route->broadcast)
            return -EADDRNOTAVAIL;
        route->source = net_addr_any_v4;
    }
    /* RFC 1122, 3.2.1.3 (g); RFC 4291, 2.5.3: never outside this host. */
    if (dev != &loopback && net_addr_is_loopback(&route->source))
        return -EINVAL;
    if (dev->type != ARPHRD_ETHER || route->broadcast || route->multicast)
        return 0;
    route->neigh = neigh_get(dev, &route->next_hop);
    return route->neigh ? 0 : -ENOBUFS;
}

int route_lookup(struct ip_route *route, const struct net_addr *remote,
                 const struct net_addr *source, unsigned device)
{
    struct net_addr to = *remote, from = source ? *source : net_addr_any;
    bool given = !net_addr_is_any(&from);
    int err;
    route_release(route);
    /* Before anything is looked at. */
    route->generation = __atomic_load_n(&route_generation, __ATOMIC_ACQUIRE);
    route->remote = to;
    route->v4 = net_addr_is_v4(&to);
    route->multicast = net_addr_is_multicast(&to);
    route->broadcast = ip_is_broadcast(&to, device);
    if (device && !netdev_by_index(device))
        err = -ENODEV;
    else if (given && net_addr_is_v4(&from) != route->v4)
        err = -EINVAL;
    else if (given && !ip_is_local(&from, 0))
        err = -EADDRNOTAVAIL;
    else if (net_addr_is_any(&to) || (ip_is_local(&to, 0) && !route->multicast))
        err = net_addr_is_any(&to) ? -ENETUNREACH : lookup_local(route);
    else
        err = lookup_table(route, device);
    if (err == 0)
        err = finish(route, &from, given);
    if (err)
        route_release(route);
    return err;
}
