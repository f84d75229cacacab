/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nd6.c - IPv6 on a link: neighbour discovery (RFC 4861), addresses without configuration (RFC
 * 4862), name servers from routers (RFC 8106).
 *
 * A device that comes up gets its link-local address, is asked for duplicates, and asks for
 * routers. One timer and its work do what takes time: probes of tentative addresses, solicitations,
 * the end of lifetimes.
 *
 * Bytes from the link: hop limit 255 proves that a message is from it (RFC 4861, 6.1.2, 7.1). A
 * router may say at most as much as the limits here: PREFIXES_MAX addresses of it.
 */
#include "core/random.h"
#include "core/rcu.h"
#include "lib/errno.h"
#include "net/ether.h"
#include "net/ifaddr.h"
#include "net/ipimpl.h"
#include "net/mib.h"
#include "net/neigh.h"
#include "net/netconf.h"
#include "net/route.h"
#include "sched/timer.h"

#define SOLICITATIONS 3u /* MAX_RTR_SOLICITATIONS */
#define SOLICIT_NS (4 * NS_PER_SEC)
#define PROBE_NS NS_PER_SEC /* RetransTimer */
#define PREFIXES_MAX 8u
#define DEVICES_MAX 64u
#define TWO_HOURS_NS (7200 * NS_PER_SEC)
#define FOREVER UINT32_MAX
enum { OPTION_SOURCE = 1, OPTION_TARGET = 2, OPTION_PREFIX = 3, OPTION_MTU = 5, OPTION_DNS = 25 };
enum { NA_ROUTER = 0x80, NA_SOLICITED = 0x40, NA_OVERRIDE = 0x20 };

static const struct net_addr all_nodes = {.bytes = {0xff, 0x02, [15] = 1}};
static const struct net_addr all_routers = {.bytes = {0xff, 0x02, [15] = 2}};

/* By index of the device; under net_config. */
static struct soliciting {
    uint8_t left;
    uint64_t next_ns;
} soliciting[DEVICES_MAX];
static struct timer timer;
static struct work tick;

/* ---- sending ---- */

/* A message of `len` bytes (with room for the checksum) from `source`, or from none. */
static void send(struct netdev *dev, const struct net_addr *source, const struct net_addr *to,
                 const uint8_t *message, uint32_t len)
{
    const struct ip_params params = {.protocol = IPPROTO_ICMPV6, .ttl = 255, .no_loop = true};
    struct ip_route route = {0};
    struct pkt *pkt = pkt_alloc(PKT_HEADROOM, len, ALLOC_DEFAULT);
    if (!pkt)
        return; /* as if lost */
    uint8_t *h = pkt_put(pkt, len);
    memcpy(h, message, len);
    uint32_t pseudo = ip_pseudo_sum(source, to, IPPROTO_ICMPV6, len);
    uint16_t sum = (uint16_t)~checksum_add(h, len, checksum_fold(pseudo));
    memcpy(h + 2, &sum, sizeof(sum));
    int err = 0;
    if (net_addr_is_multicast(to)) {
        route = (struct ip_route){.dev = dev, .remote = *to, .mtu = netdev_mtu(dev)};
        route.multicast = true;
    } else {
        err = route_lookup(&route, to, source, dev->index);
    }
    if (err == 0)
        (void)ip_output(&route, pkt, source, &params); /* a failure has been counted */
    else
        pkt_free(pkt);
    route_release(&route);
    mib_count(MIB_Icmp6_OutMsgs);
}

static uint32_t put_option(uint8_t *at, uint8_t kind, const struct netdev *dev)
{
    at[0] = kind;
    at[1] = 1;
    memcpy(at + 2, dev->address, ETHER_ADDR_LEN);
    return 8;
}

static struct net_addr solicited_node(const struct net_addr *address)
{
    struct net_addr group = {.bytes = {0xff, 0x02, [11] = 1, [12] = 0xff}};
    memcpy(group.bytes + 13, address->bytes + 13, 3);
    return group;
}

void nd6_solicit(struct netdev *dev, const struct net_addr *address, const uint8_t *unicast)
{
    uint8_t message[32] = {ICMP6_NEIGHBOUR_SOLICIT};
    struct net_addr source, group = solicited_node(address);
    if (dev->type != ARPHRD_ETHER || !ifaddr_source(dev, address, address, &source))
        return;
    memcpy(message + 8, address, 16);
    mib_count(MIB_Icmp6_OutNeighborSolicits);
    send(dev, &source, unicast ? address : &group, message,
         24 + put_option(message + 24, OPTION_SOURCE, dev));
}

/* RFC 4862, 5.4.2: is anybody there who has it? */
static void probe(struct netdev *dev, const struct net_addr *address)
{
    uint8_t message[24] = {ICMP6_NEIGHBOUR_SOLICIT};
    struct net_addr group = solicited_node(address);
    memcpy(message + 8, address, 16);
    mib_count(MIB_Icmp6_OutNeighborSolicits);
    send(dev, &net_addr_any, &group, message, sizeof(message));
}

static void advertise(struct netdev *dev, const struct net_addr *address, const struct net_addr *to)
{
    uint8_t message[32] = {ICMP6_NEIGHBOUR_ADVERT};
    bool known = !net_addr_is_any(to);
    message[4] = (uint8_t)(NA_OVERRIDE | (known ? NA_SOLICITED : 0));
    memcpy(message + 8, address, 16);
    mib_count(MIB_Icmp6_OutNeighborAdvertisements);
    send(dev, address, known ? to : &all_nodes, message,
         24 + put_option(message + 24, OPTION_TARGET, dev));
}

static void solicit_routers(struct netdev *dev)
{
    uint8_t message[16] = {ICMP6_ROUTER_SOLICIT};
    struct net_addr source;
    uint32_t len = 8;
    if (ifaddr_source(dev, &all_routers, &all_routers, &source) && net_addr_is_link_local(&source))
        len += put_option(message + 8, OPTION_SOURCE, dev);
    else
        source = net_addr_any;
    mib_count(MIB_Icmp6_OutRouterSolicits);
    send(dev, &source, &all_routers, message, len);
}

/* ---- addresses ---- */

/* RFC 4291, appendix A: of an Ethernet address. */
static void interface_id(const struct netdev *dev, uint8_t *out)
{
    memcpy(out, dev->address, 3);
    out[0] ^= 2;
    out[3] = 0xff;
    out[4] = 0xfe;
    memcpy(out + 5, dev->address + 3, 3);
}

static void add_address(struct netdev *dev, const struct net_addr *address, uint32_t flags,
                        uint64_t preferred_until_ns, uint64_t valid_until_ns)
{
    const struct ifaddr_info info = {
        .dev = dev,
        .address = *address,
        .prefix = 64,
        .flags = flags | IFADDR_TENTATIVE,
        .preferred_until_ns = preferred_until_ns,
        .valid_until_ns = valid_until_ns,
    };
    struct net_addr group = solicited_node(address);
    if (ifaddr_add(&info) == 0) {
        (void)!ip_group_join(&group, dev->index); /* without it snooping switches may not ask us */
        work_queue(&tick);
    }
}

void nd6_changed(struct netdev *dev)
{
    struct net_addr address = {.bytes = {0xfe, 0x80}};
    if (dev->type != ARPHRD_ETHER || !(netdev_flags(dev) & NETDEV_RUNNING) ||
        netdev_mtu(dev) < IP6_MTU_MIN || dev->index >= DEVICES_MAX)
        return;
    interface_id(dev, address.bytes + 8);
    add_address(dev, &address, IFADDR_PERMANENT, 0, 0);
    mutex_lock(&net_config);
    soliciting[dev->index].left = SOLICITATIONS;
    /* Not before the address is ours. */
    soliciting[dev->index].next_ns = clock_mono_ns() + PROBE_NS + PROBE_NS / 4;
    mutex_unlock(&net_config);
    work_queue(&tick);
}

static void duplicate(struct netdev *dev, const struct net_addr *address)
{
    (void)!ifaddr_change(dev, address, IFADDR_TENTATIVE, IFADDR_FAILED, UINT64_MAX, UINT64_MAX);
}

/* ---- time ---- */

/* What the tick does to one address; it is done outside of the list's RCU section. */
struct step {
    struct netdev *dev;
    struct net_addr address;
    enum { STEP_PROBE, STEP_READY, STEP_DEPRECATE, STEP_REMOVE } what;
    uint64_t preferred_until_ns, valid_until_ns;
};

/* The first address that something is to be done to; *next_ns: when else. */
static bool find_step(struct step *step, uint64_t now, uint64_t *next_ns)
{
    bool found = false;
    *next_ns = UINT64_MAX;
    unsigned token = rcu_read_lock();
    for (struct ifaddr *ifa = ifaddr_first(); ifa && !found; ifa = ifaddr_next(ifa)) {
        uint32_t flags = __atomic_load_n(&ifa->flags, __ATOMIC_RELAXED);
        uint64_t preferred = __atomic_load_n(&ifa->preferred_until_ns, __ATOMIC_RELAXED);
        uint64_t valid = __atomic_load_n(&ifa->valid_until_ns, __ATOMIC_RELAXED);
        uint64_t probed = __atomic_load_n(&ifa->probed_ns, __ATOMIC_RELAXED);
        *step = (struct step){ifa->dev, ifa->address, STEP_PROBE, preferred, valid};
        found = true;
        if (net_addr_is_v4(&ifa->address))
            found = false;
        else if (valid <= now)
            step->what = STEP_REMOVE;
        else if (flags & IFADDR_TENTATIVE && probed == 0)
            __atomic_store_n(&ifa->probed_ns, now, __ATOMIC_RELAXED);
        else if (flags & IFADDR_TENTATIVE && probed + PROBE_NS <= now)
            step->what = STEP_READY;
        else if (preferred <= now && !(flags & IFADDR_DEPRECATED))
            step->what = STEP_DEPRECATE;
        else
            found = false;
        *next_ns = MIN(*next_ns, valid);
        if (!(flags & IFADDR_DEPRECATED))
            *next_ns = MIN(*next_ns, preferred);
        if (flags & IFADDR_TENTATIVE && probed)
            *next_ns = MIN(*next_ns, probed + PROBE_NS);
    }
    rcu_read_unlock(token);
    return found;
}

static void take_step(const struct step *s)
{
    switch (s->what) {
    case STEP_PROBE:
        probe(s->dev, &s->address);
        break;
    case STEP_READY:
        (void)!ifaddr_change(s->dev, &s->address, IFADDR_TENTATIVE, 0, s->preferred_until_ns,
                             s->valid_until_ns);
        break;
    case STEP_DEPRECATE:
        (void)!ifaddr_change(s->dev, &s->address, 0, IFADDR_DEPRECATED, s->preferred_until_ns,
                             s->valid_until_ns);
        break;
    case STEP_REMOVE: {
        struct net_addr group = solicited_node(&s->address);
        (void)!ifaddr_remove(s->dev, &s->address); /* somebody may have been faster */
        (void)ip_group_leave(&group, s->dev->index);
        break;
    }
    }
}

/* Which device is to solicit now: NULL: none. */
static struct netdev *next_soliciting(uint64_t now, uint64_t *next_ns)
{
    unsigned index = 0;
    mutex_lock(&net_config);
    for (unsigned i = 0; i < DEVICES_MAX && !index; i++) {
        struct soliciting *s = &soliciting[i];
        if (s->left && s->next_ns <= now) {
            s->left--;
            s->next_ns = now + SOLICIT_NS;
            index = i;
        }
        if (s->left)
            *next_ns = MIN(*next_ns, s->next_ns);
    }
    mutex_unlock(&net_config);
    return index ? netdev_by_index(index) : NULL;
}

static void tick_run(struct work *work)
{
    uint64_t now = clock_mono_ns(), next_ns;
    struct step step;
    struct netdev *dev;
    (void)work;
    while (find_step(&step, now, &next_ns))
        take_step(&step);
    while ((dev = next_soliciting(now, &next_ns)))
        solicit_routers(dev);
    next_ns = MIN(next_ns, route_expire(now));
    if (next_ns != UINT64_MAX)
        timer_arm(&timer, next_ns);
}

static void timer_fired(struct timer *t)
{
    (void)t;
    work_queue(&tick);
}

int nd6_init(void)
{
    memset(soliciting, 0, sizeof(soliciting));
    timer_setup(&timer, timer_fired);
    work_init(&tick, tick_run);
    return 0;
}

/* ---- what is heard ---- */

/* The next option at *at, which moves on. NULL: no more, or (*bad) it is malformed: RFC 4861, 4.6.
 */
static const uint8_t *next_option(const uint8_t *message, uint32_t len, uint32_t *at, bool *bad)
{
    if (*at >= len)
        return NULL;
    uint32_t size = len - *at >= 2 ? message[*at + 1] * 8u : 0;
    if (size == 0 || size > len - *at) {
        *bad = true;
        return NULL;
    }
    const uint8_t *option = message + *at;
    *at += size;
    return option;
}

/* The link address of an option of this kind, or NULL. False: malformed options. */
static bool link_option(const uint8_t *message, uint32_t len, uint32_t from, uint8_t kind,
                        const uint8_t **ether)
{
    bool bad = false;
    const uint8_t *option;
    *ether = NULL;
    while ((option = next_option(message, len, &from, &bad)))
        if (option[0] == kind && !(option[2] & 1))
            *ether = option + 2;
    return !bad;
}

static bool is_ours(struct netdev *dev, const struct net_addr *address, bool *tentative)
{
    unsigned token = rcu_read_lock();
    const struct ifaddr *ifa = ifaddr_find(address, dev->index, true);
    uint32_t flags = ifa ? __atomic_load_n(&ifa->flags, __ATOMIC_RELAXED) : 0;
    rcu_read_unlock(token);
    *tentative = flags & IFADDR_TENTATIVE;
    return ifa && !(flags & IFADDR_FAILED);
}

static bool neighbour_solicit(struct netdev *dev, const struct net_addr *source,
                              const struct net_addr *dest, const uint8_t *m, uint32_t len)
{
    struct net_addr target;
    const uint8_t *ether;
    bool tentative, nobody = net_addr_is_any(source);
    if (len < 24 || m[1] != 0 || !link_option(m, len, 24, OPTION_SOURCE, &ether))
        return false;
    memcpy(&target, m + 8, 16);
    struct net_addr group = solicited_node(&target);
    if (net_addr_is_multicast(&target) || (nobody && (ether || !net_addr_equal(dest, &group))))
        return false;
    mib_count(MIB_Icmp6_InNeighborSolicits);
    if (!is_ours(dev, &target, &tentative))
        return true;
    if (tentative) {
        if (nobody) /* RFC 4862, 5.4.3: somebody else tries it, too */
            duplicate(dev, &target);
        return true;
    }
    if (!nobody && ether)
        neigh_learn(dev, source, ether, NEIGH_CREATE | NEIGH_OVERRIDE);
    advertise(dev, &target, source);
    return true;
}

static bool neighbour_advert(struct netdev *dev, const struct net_addr *dest, const uint8_t *m,
                             uint32_t len)
{
    struct net_addr target;
    const uint8_t *ether;
    bool tentative, solicited = m[4] & NA_SOLICITED;
    if (len < 24 || m[1] != 0 || !link_option(m, len, 24, OPTION_TARGET, &ether))
        return false;
    memcpy(&target, m + 8, 16);
    if (net_addr_is_multicast(&target) || (solicited && net_addr_is_multicast(dest)))
        return false;
    mib_count(MIB_Icmp6_InNeighborAdvertisements);
    if (is_ours(dev, &target, &tentative)) {
        if (tentative) /* RFC 4862, 5.4.4 */
            duplicate(dev, &target);
        return true;
    }
    neigh_learn(dev, &target, ether,
                NEIGH_ROUTER_KNOWN | (m[4] & NA_ROUTER ? NEIGH_IS_ROUTER : 0) |
                    (solicited ? NEIGH_SOLICITED : 0) | (m[4] & NA_OVERRIDE ? NEIGH_OVERRIDE : 0));
    return true;
}

static uint64_t until(uint32_t seconds)
{
    return seconds == FOREVER ? UINT64_MAX : clock_mono_ns() + seconds * NS_PER_SEC;
}

/* Addresses that routers' prefixes have brought here. */
static unsigned auto_count(struct netdev *dev)
{
    unsigned count = 0, token = rcu_read_lock();
    for (struct ifaddr *ifa = ifaddr_first(); ifa; ifa = ifaddr_next(ifa))
        count += ifa->dev == dev && __atomic_load_n(&ifa->flags, __ATOMIC_RELAXED) & IFADDR_AUTO;
    rcu_read_unlock(token);
    return count;
}

/* RFC 4862, 5.5.3. */
static void autoconfigure(struct netdev *dev, const struct net_addr *prefix, uint32_t valid,
                          uint32_t preferred)
{
    struct net_addr address = *prefix;
    interface_id(dev, address.bytes + 8);
    uint64_t valid_until = until(valid), preferred_until = until(preferred), remaining = 0;
    unsigned token = rcu_read_lock();
    const struct ifaddr *ifa = ifaddr_find(&address, dev->index, true);
    if (ifa)
        remaining = __atomic_load_n(&ifa->valid_until_ns, __ATOMIC_RELAXED);
    rcu_read_unlock(token);
    if (!ifa) {
        if (valid && auto_count(dev) < PREFIXES_MAX)
            add_address(dev, &address, IFADDR_AUTO, preferred_until, valid_until);
        return;
    }
    /* (e): a forged advertisement cannot end an address at once. */
    uint64_t now = clock_mono_ns();
    if (valid_until < now + TWO_HOURS_NS && valid_until < remaining)
        valid_until = MIN(remaining, now + TWO_HOURS_NS);
    (void)!ifaddr_change(dev, &address, preferred ? IFADDR_DEPRECATED : 0,
                         preferred ? 0 : IFADDR_DEPRECATED, preferred_until, valid_until);
    work_queue(&tick);
}

static void prefix_option(struct netdev *dev, const uint8_t *o)
{
    struct net_addr prefix = net_addr_any;
    uint8_t bits = o[2];
    bool on_link = o[3] & 0x80, autonomous = o[3] & 0x40;
    uint32_t valid = get_be32(o + 4), preferred = get_be32(o + 8);
    if (o[1] != 4 || bits > 128)
        return;
    memcpy(&prefix, o + 16, 16);
    if (net_addr_is_link_local(&prefix) || net_addr_is_multicast(&prefix) ||
        net_addr_is_v4(&prefix) || preferred > valid)
        return;
    if (on_link) {
        struct route_entry route = {
            .dest = prefix,
            .prefix = bits,
            .type = ROUTE_UNICAST,
            .protocol = ROUTE_BY_RA,
            .scope = SCOPE_LINK,
            .dev = dev,
            .metric = 256,
            .expires_ns = valid == FOREVER ? 0 : until(valid),
        };
        (void)!(valid ? route_add(&route, true) : route_remove(&route));
    }
    if (autonomous && bits == 64)
        autoconfigure(dev, &prefix, valid, preferred);
}

static void dns_option(const uint8_t *o)
{
    uint32_t lifetime = get_be32(o + 4);
    for (unsigned i = 8; i + 16 <= o[1] * 8u && lifetime; i += 16) {
        struct net_addr server;
        memcpy(&server, o + i, 16);
        netconf_nameserver(&server);
    }
}

static bool router_advert(struct netdev *dev, const struct net_addr *source, const uint8_t *m,
                          uint32_t len)
{
    const uint8_t *ether, *option;
    uint32_t at = 16, lifetime = get_be16(m + 6);
    bool bad = false;
    if (len < 16 || m[1] != 0 || !net_addr_is_link_local(source) ||
        !link_option(m, len, 16, OPTION_SOURCE, &ether))
        return false;
    mib_count(MIB_Icmp6_InRouterAdvertisements);
    if (ether)
        neigh_learn(dev, source, ether,
                    NEIGH_CREATE | NEIGH_OVERRIDE | NEIGH_ROUTER_KNOWN | NEIGH_IS_ROUTER);
    struct route_entry route = {
        .type = ROUTE_UNICAST,
        .protocol = ROUTE_BY_RA,
        .dev = dev,
        .gateway = *source,
        .metric = 1024,
        .expires_ns = until(lifetime),
    };
    (void)!(lifetime ? route_add(&route, true) : route_remove(&route));
    while ((option = next_option(m, len, &at, &bad))) {
        if (option[0] == OPTION_PREFIX && option[1] >= 4)
            prefix_option(dev, option);
        else if (option[0] == OPTION_DNS && option[1] >= 3)
            dns_option(option);
    }
    mutex_lock(&net_config);
    if (dev->index < DEVICES_MAX)
        soliciting[dev->index].left = 0;
    mutex_unlock(&net_config);
    work_queue(&tick); /* lifetimes have changed */
    return true;
}

void nd6_input(struct netdev *dev, const struct net_addr *source, const struct net_addr *dest,
               uint8_t hops, const uint8_t *message, uint32_t len)
{
    bool good = hops == 255 && len >= 8 && dev->type == ARPHRD_ETHER;
    if (good && message[0] == ICMP6_NEIGHBOUR_SOLICIT)
        good = neighbour_solicit(dev, source, dest, message, len);
    else if (good && message[0] == ICMP6_NEIGHBOUR_ADVERT)
        good = neighbour_advert(dev, dest, message, len);
    else if (good && message[0] == ICMP6_ROUTER_ADVERT)
        good = router_advert(dev, source, message, len);
    if (!good)
        mib_count(MIB_Icmp6_InErrors);
}
