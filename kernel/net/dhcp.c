/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dhcp.c - the DHCP client: RFC 2131, 4.4.
 *
 *     SELECTING --offer--> REQUESTING --ack--> CHECKING --> BOUND --T1--> RENEWING --T2-->
 * REBINDING ^                    |  nak, silence     |               ack: BOUND       ack: BOUND  |
 * end
 *         +--------------------+---- DECLINED <----+--------------------------------------------+
 *
 * One device. A timer's work and received packets drive it, under one mutex, which is not held when
 * addresses and routes are changed. Requests are repeated after 1/4, 1/2, 1 ... 64 seconds, give or
 * take (RFC 2131, 4.1, which begins with 4: a virtual machine's server is near).
 *
 * Before an address is used it is probed by ARP (RFC 2131, 2.2): once when it is offered, once when
 * it is acknowledged, then PROBE_NS of listening. RFC 5227, 2.1.1 would take up to nine seconds,
 * which a virtual machine's start cannot; whoever has the address mostly answers within one
 * millisecond. Then the lease is declined and another asked for ten seconds later (RFC 2131, 3.1
 * item 5).
 *
 * An answer counts only with our transaction's number, our link address, and in the state that
 * waits for it. What it says is checked: the address has to be one that a host can have.
 */
#include "net/dhcp.h"

#include "core/log.h"
#include "core/random.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "net/ifaddr.h"
#include "net/ip.h"
#include "net/ipimpl.h"
#include "net/netconf.h"
#include "net/route.h"
#include "sched/timer.h"
#include "sched/wait.h"

enum { PORT_SERVER = 67, PORT_CLIENT = 68, MESSAGE_LEN = 300, UDP_HEADER = 8 };
#define FIRST_NS (NS_PER_SEC / 4)
#define FIRST_SHIFT_MAX 8u
#define PROBE_NS (40 * NS_PER_MS)
#define DECLINED_NS (10 * NS_PER_SEC)
#define LAST_NS (64 * NS_PER_SEC)
#define LEASE_MIN_S 30u
#define REQUESTS_MAX 4u

static struct client {
    struct mutex lock;
    struct netdev *dev; /* NULL: not started */
    enum { OFF, SELECTING, REQUESTING, CHECKING, DECLINED, BOUND, RENEWING, REBINDING } state;
    uint32_t probed; /* address that is being probed; 0: none; atomic */
    bool claimed;    /* somebody has it */
    uint32_t xid;
    unsigned tries;
    struct dhcp_message lease; /* what was offered, then what we have */
    uint64_t started_ns, renew_ns, rebind_ns, end_ns;
    struct timer timer;
    struct work work;
    struct waitq bound;
} client;

/* ---- sending ---- */

static uint8_t *put_option(uint8_t *at, uint8_t code, const void *value, uint8_t len)
{
    at[0] = code;
    at[1] = len;
    memcpy(at + 2, value, len);
    return at + 2 + len;
}

/* The message: RFC 2131, table 5. */
static void fill(uint8_t *m, uint8_t type)
{
    static const uint8_t wanted[] = {1, 3, 6, 15, 26, 51, 54, 58, 59, 121};
    static const uint8_t cookie[4] = {99, 130, 83, 99};
    bool has_address = client.state == RENEWING || client.state == REBINDING;
    uint64_t seconds = (clock_mono_ns() - client.started_ns) / NS_PER_SEC;
    uint8_t size[2], id[7] = {1};
    memset(m, 0, MESSAGE_LEN);
    m[0] = 1; /* request */
    m[1] = 1; /* Ethernet */
    m[2] = ETHER_ADDR_LEN;
    put_be32(m + 4, client.xid);
    put_be16(m + 8, (uint16_t)MIN(seconds, 0xffffu));
    if (has_address)
        memcpy(m + 12, &client.lease.address, 4);
    else
        put_be16(m + 10, 0x8000); /* answer to all: we have no address yet */
    memcpy(m + 28, client.dev->address, ETHER_ADDR_LEN);
    memcpy(m + 236, cookie, sizeof(cookie));
    memcpy(id + 1, client.dev->address, ETHER_ADDR_LEN);
    put_be16(size, 1500);
    uint8_t *at = put_option(m + 240, 53, &type, 1);
    at = put_option(at, 61, id, sizeof(id));
    at = put_option(at, 57, size, sizeof(size));
    if (client.state == REQUESTING || type == DHCP_DECLINE) {
        at = put_option(at, 50, &client.lease.address, 4);
        at = put_option(at, 54, &client.lease.server, 4);
    }
    if (type != DHCP_DECLINE)
        at = put_option(at, 55, wanted, sizeof(wanted));
    *at = 255;
}

/* Under the lock. */
static void send(uint8_t type)
{
    static const struct net_addr all = {
        .bytes = {[10] = 0xff, [11] = 0xff, [12] = 255, [13] = 255, [14] = 255, [15] = 255}};
    const struct ip_params params = {.protocol = IPPROTO_UDP, .no_loop = true};
    struct net_addr to = all, from = net_addr_any_v4;
    struct ip_route route = {0};
    if (client.state == RENEWING)
        to = net_addr_v4(client.lease.server);
    if (client.state == RENEWING || client.state == REBINDING)
        from = net_addr_v4(client.lease.address);
    struct pkt *pkt = pkt_alloc(PKT_HEADROOM, UDP_HEADER + MESSAGE_LEN, ALLOC_DEFAULT);
    if (!pkt)
        return; /* it is sent again */
    uint8_t *h = pkt_put(pkt, UDP_HEADER + MESSAGE_LEN);
    put_be16(h, PORT_CLIENT);
    put_be16(h + 2, PORT_SERVER);
    put_be16(h + 4, UDP_HEADER + MESSAGE_LEN);
    put_be16(h + 6, 0);
    fill(h + UDP_HEADER, type);
    uint32_t pseudo = ip_pseudo_sum(&from, &to, IPPROTO_UDP, pkt->total);
    uint16_t sum = (uint16_t)~checksum_add(h, pkt->total, checksum_fold(pseudo));
    sum = sum ? sum : 0xffff;
    memcpy(h + 6, &sum, sizeof(sum));
    if (route_lookup(&route, &to, NULL, client.dev->index) == 0)
        (void)ip_output(&route, pkt, &from, &params); /* a failure has been counted */
    else
        pkt_free(pkt);
    route_release(&route);
}

/* ---- states ---- */

static void arm(uint64_t at_ns)
{
    timer_arm(&client.timer, at_ns);
}

/* RFC 2131, 4.1: twice as long each time, with a random part either way. */
static uint64_t backoff(void)
{
    uint64_t wait = FIRST_NS << MIN(client.tries, FIRST_SHIFT_MAX);
    return MIN(wait, LAST_NS) - FIRST_NS / 4 + random_u64() % (FIRST_NS / 2);
}

static void ask(void)
{
    uint64_t now = clock_mono_ns();
    send(client.state == SELECTING ? DHCP_DISCOVER : DHCP_REQUEST);
    uint64_t next = now + backoff();
    client.tries++;
    /* 4.4.5: half of what remains, but not less than a minute. */
    if (client.state == RENEWING)
        next = MIN(client.rebind_ns, now + MAX((client.rebind_ns - now) / 2, 60 * NS_PER_SEC));
    else if (client.state == REBINDING)
        next = MIN(client.end_ns, now + MAX((client.end_ns - now) / 2, 60 * NS_PER_SEC));
    arm(next);
}

static void enter(int state)
{
    client.state = state;
    client.tries = 0;
    if (state == SELECTING) {
        client.xid = (uint32_t)random_u64();
        client.started_ns = clock_mono_ns();
    }
    ask();
}

static void probe(void)
{
    struct net_addr address = net_addr_v4(client.lease.address);
    arp_probe(client.dev, &address);
}

/* An offer is taken: probe it while the server answers. */
static void request(const struct dhcp_message *offer)
{
    client.lease = *offer;
    client.claimed = false;
    /* Relaxed: the answer to the probe that follows comes by the device. */
    __atomic_store_n(&client.probed, offer->address, __ATOMIC_RELAXED);
    enter(REQUESTING);
    probe();
}

/* Lifetimes of a lease that was acknowledged: RFC 2131, 4.4.5. */
static void bind_lease(const struct dhcp_message *m)
{
    uint64_t now = clock_mono_ns();
    uint64_t lease = m->lease_s ? MAX(m->lease_s, LEASE_MIN_S) : UINT32_MAX;
    uint64_t renew = m->renew_s && m->renew_s < lease ? m->renew_s : lease / 2;
    uint64_t rebind = m->rebind_s && m->rebind_s < lease ? m->rebind_s : lease / 8 * 7;
    uint32_t server = m->server ? m->server : client.lease.server;
    client.lease = *m;
    client.lease.server = server;
    client.tries = 0;
    bool for_ever = lease == UINT32_MAX;
    client.end_ns = for_ever ? UINT64_MAX : now + lease * NS_PER_SEC;
    client.renew_ns = for_ever ? UINT64_MAX : now + MIN(renew, rebind) * NS_PER_SEC;
    client.rebind_ns = for_ever ? UINT64_MAX : now + rebind * NS_PER_SEC;
}

static void bound(void)
{
    client.state = BOUND;
    if (client.renew_ns != UINT64_MAX)
        arm(client.renew_ns);
}

/* Time to use what was acknowledged, or to tell the server that somebody else does. True: it is to
 * be applied. */
static bool checked(void)
{
    __atomic_store_n(&client.probed, 0, __ATOMIC_RELAXED);
    if (!client.claimed) {
        bound();
        return true;
    }
    log_warn("%s: somebody else has the address that was offered", client.dev->name);
    send(DHCP_DECLINE);
    client.state = DECLINED;
    arm(clock_mono_ns() + DECLINED_NS);
    return false;
}

/* ---- what a lease does ---- */

static void add_route(struct netdev *dev, const struct dhcp_message *m, uint32_t dest,
                      uint8_t prefix, uint32_t gateway)
{
    struct route_entry route = {
        .dest = net_addr_v4(dest),
        .prefix = prefix,
        .type = ROUTE_UNICAST,
        .protocol = ROUTE_BY_DHCP,
        .dev = dev,
        .gateway = gateway ? net_addr_v4(gateway) : net_addr_any,
    };
    (void)m;
    /* A gateway outside the subnet is on the link all the same (RFC 3442; cloud networks). */
    int err = route_add(&route, true);
    if (err == -ENETUNREACH) {
        struct route_entry way = route;
        way.dest = route.gateway;
        way.prefix = 32;
        way.gateway = net_addr_any;
        way.scope = SCOPE_LINK;
        if (route_add(&way, true) == 0)
            err = route_add(&route, true);
    }
    if (err)
        log_warn("DHCP: a route could not be set: error %d", -err);
}

static void apply(struct netdev *dev, const struct dhcp_message *m)
{
    const struct ifaddr_info info = {
        .dev = dev,
        .address = net_addr_v4(m->address),
        .prefix = m->prefix ? m->prefix : 24,
        .flags = IFADDR_DYNAMIC,
    };
    int err = ifaddr_add(&info);
    if (err && err != -EEXIST) {
        log_warn("DHCP: the address could not be set: error %d", -err);
        return;
    }
    if (m->mtu >= 576 && m->mtu <= dev->mtu_max)
        (void)!netdev_set_mtu(dev, m->mtu); /* the driver may refuse */
    for (unsigned i = 0; i < m->route_count; i++)
        add_route(dev, m, m->routes[i].dest, m->routes[i].prefix, m->routes[i].gateway);
    if (m->route_count == 0 && m->gateway) /* RFC 3442: else it is ignored */
        add_route(dev, m, 0, 0, m->gateway);
    for (unsigned i = 0; i < m->server_count; i++) {
        struct net_addr server = net_addr_v4(m->servers[i]);
        netconf_nameserver(&server);
    }
    if (m->domain[0])
        netconf_domain(m->domain);
    if (err == 0)
        arp_announce(dev, &info.address);
}

static void give_up(struct netdev *dev, uint32_t address)
{
    struct net_addr gone = net_addr_v4(address);
    route_flush(dev, ROUTE_BY_DHCP);
    (void)!ifaddr_remove(dev, &gone); /* the program may have removed it */
}

/* ---- events ---- */

static void timer_fired(struct timer *timer)
{
    (void)timer;
    work_queue(&client.work);
}

static void use(const struct dhcp_message *lease)
{
    apply(client.dev, lease);
    waitq_wake_all(&client.bound, 0);
}

static void time_passed(struct work *work)
{
    uint64_t now = clock_mono_ns();
    uint32_t lost = 0;
    bool fresh = false;
    (void)work;
    mutex_lock(&client.lock);
    if (client.state == CHECKING) {
        fresh = checked();
    } else if (client.state == DECLINED) {
        enter(SELECTING);
    } else if (client.state == SELECTING ||
               (client.state == REQUESTING && client.tries < REQUESTS_MAX)) {
        ask();
    } else if (client.state == REQUESTING) {
        enter(SELECTING);
    } else if (client.state != OFF && now >= client.end_ns) {
        lost = client.lease.address;
        enter(SELECTING);
    } else if ((client.state == BOUND || client.state == RENEWING) && now >= client.rebind_ns) {
        enter(REBINDING);
    } else if (client.state == BOUND && now >= client.renew_ns) {
        enter(RENEWING);
    } else if (client.state == RENEWING || client.state == REBINDING) {
        ask();
    } else if (client.state == BOUND) {
        arm(client.renew_ns);
    }
    struct dhcp_message lease = client.lease;
    mutex_unlock(&client.lock);
    if (lost)
        give_up(client.dev, lost);
    if (fresh)
        use(&lease);
}

static bool address_ok(uint32_t address)
{
    uint8_t first = (uint8_t)address; /* as in packets */
    return first != 0 && first != 127 && first < 224;
}

/* Under the lock. True: *lease is to be applied; *lost: an address to give up. */
static bool answer(const struct dhcp_message *m, uint32_t *lost)
{
    bool waits =
        client.state == REQUESTING || client.state == RENEWING || client.state == REBINDING;
    if (m->type == DHCP_OFFER && client.state == SELECTING && address_ok(m->address) && m->server) {
        request(m);
    } else if (m->type == DHCP_NAK && waits) {
        *lost = client.state == REQUESTING ? 0 : client.lease.address;
        enter(SELECTING);
    } else if (m->type == DHCP_ACK && waits && address_ok(m->address)) {
        bool check = client.state == REQUESTING && m->address == client.lease.address;
        if (client.state != REQUESTING && m->address != client.lease.address)
            *lost = client.lease.address;
        bind_lease(m);
        if (!check) {
            bound();
            return true;
        }
        client.state = CHECKING;
        probe();
        arm(clock_mono_ns() + PROBE_NS);
    }
    return false;
}

void dhcp_claimed(const struct netdev *dev, const struct net_addr *address)
{
    /* Relaxed, both: a look before the lock. */
    if (__atomic_load_n(&client.dev, __ATOMIC_RELAXED) != dev ||
        __atomic_load_n(&client.probed, __ATOMIC_RELAXED) != address->word[3])
        return;
    mutex_lock(&client.lock);
    if (client.probed == address->word[3])
        client.claimed = true;
    mutex_unlock(&client.lock);
}

bool dhcp_wants(const struct netdev *dev, const struct classified *about)
{
    /* Relaxed: it is set before the first packet is sent that could be answered. */
    return __atomic_load_n(&client.dev, __ATOMIC_RELAXED) == dev &&
           about->key.protocol == IPPROTO_UDP && net_addr_is_v4(&about->key.local) &&
           about->key.local_port == net16(PORT_CLIENT) &&
           about->key.remote_port == net16(PORT_SERVER);
}

void dhcp_input(const struct pkt *pkt, const struct classified *about)
{
    uint8_t bytes[1500];
    struct dhcp_message m;
    struct netdev *dev = client.dev;
    uint32_t at = pkt->transport - pkt->network, lost = 0;
    uint32_t len = get_be16(pkt->data + at + 4), copied = len - UDP_HEADER;
    bool summed = get_be16(pkt->data + at + 6) != 0;
    copied = MIN(copied, (uint32_t)sizeof(bytes));
    pkt_read(pkt, at + UDP_HEADER, bytes, copied);
    if ((summed &&
         !ip_checksum_ok(pkt, at, len, &about->key.local, &about->key.remote, IPPROTO_UDP)) ||
        !dhcp_parse(bytes, copied, &m))
        return;
    mutex_lock(&client.lock);
    bool renewed = m.xid == client.xid && memcmp(m.ether, dev->address, ETHER_ADDR_LEN) == 0 &&
                   answer(&m, &lost);
    mutex_unlock(&client.lock);
    if (lost)
        give_up(dev, lost);
    if (renewed)
        use(&m);
}

void dhcp_start(struct netdev *dev)
{
    mutex_init(&client.lock, RANK_NETDEV_UP);
    timer_setup(&client.timer, timer_fired);
    work_init(&client.work, time_passed);
    waitq_init(&client.bound);
    mutex_lock(&client.lock);
    __atomic_store_n(&client.dev, dev, __ATOMIC_RELAXED);
    enter(SELECTING);
    mutex_unlock(&client.lock);
}

static bool has_address(void)
{
    mutex_lock(&client.lock);
    bool bound = client.state >= BOUND;
    struct net_addr address = net_addr_v4(client.lease.address);
    mutex_unlock(&client.lock);
    return bound && ip_is_local(&address, 0);
}

static bool silence(void)
{
    mutex_lock(&client.lock);
    bool silent = client.state == SELECTING || client.state == DECLINED;
    mutex_unlock(&client.lock);
    return silent;
}

bool dhcp_wait(uint64_t silent_ns, uint64_t deadline_ns)
{
    struct waiter w;
    int err = 0;
    bool answered = false;
    waitq_prepare(&client.bound, &w, false);
    while (!has_address() && err == 0) {
        err = waitq_sleep(&w, answered ? deadline_ns : silent_ns);
        if (err && !answered && !silence()) {
            answered = true;
            err = 0;
        }
    }
    waitq_finish(&w);
    return err == 0;
}
