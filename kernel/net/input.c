/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * input.c - received packets: to their flow, or to who answers in the kernel.
 *
 * The fast way is classify, flow_find, flow_deliver. It runs wherever the packet comes from: in the
 * poll of a device, or on lo in the sender's own context, who may hold its socket's lock. So on lo
 * everything else is put off: ip_input_later puts the packet on a list of this CPU, whose work goes
 * the slow way.
 *
 * Each packet that is dropped is counted (mib.def).
 */
#include "net/input.h"

#include "core/random.h"
#include "core/rcu.h"
#include "lib/errno.h"
#include "net/dhcp.h"
#include "net/ether.h"
#include "net/flow.h"
#include "net/fragment.h"
#include "net/ifaddr.h"
#include "net/ipimpl.h"
#include "net/mib.h"
#include "net/neigh.h"
#include "net/netconf.h"
#include "net/route.h"
#include "sched/timer.h"

#define HEADERS_MAX 512u /* in the first piece at once, if they are not there */
#define LATER_MAX 1000u  /* packets that wait for the slow way, on one CPU */
enum { NEXT_HOP_BY_HOP = 0, NEXT_ROUTING = 43, NEXT_FRAGMENT = 44, NEXT_DESTINATION = 60 };

struct flow *(*ip_choose)(struct flow *flow, const struct pkt *pkt, const struct classified *about);
void (*ip_no_flow_tcp)(struct pkt *pkt, const struct classified *about);
bool (*ip_raw_input)(const struct pkt *pkt, const struct classified *about);
void (*ip_raw_error)(const struct ip_error *error);
uint32_t ip_raw_flows;

static void drop(struct pkt *pkt, enum mib_counter why)
{
    mib_count(why);
    pkt_free(pkt);
}

/* ---- later ---- */

static struct later {
    struct work work;
    struct pkt *packets; /* the newest first; atomic */
    uint32_t count;      /* atomic */
} cache_aligned laters[HAL_CPU_MAX];

void ip_input_later(struct pkt *pkt)
{
    /* Any CPU's will do, should this thread be moved now. */
    struct later *later = &laters[hal_cpu_id()];
    if (__atomic_fetch_add(&later->count, 1, __ATOMIC_RELAXED) >= LATER_MAX) {
        __atomic_fetch_sub(&later->count, 1, __ATOMIC_RELAXED);
        drop(pkt, MIB_IpExt_InSlowFull);
        return;
    }
    pkt->next = __atomic_load_n(&later->packets, __ATOMIC_RELAXED);
    /* Release: the packet's contents, to who takes the list. */
    while (!__atomic_compare_exchange_n(&later->packets, &pkt->next, pkt, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
    work_queue(&later->work);
}

/* How far a packet may go here. */
enum way {
    WAY_FAST,  /* to its flow only, in a sender's context */
    WAY_SLOW,  /* anywhere */
    WAY_WHOLE, /* it was put together: must not be a fragment again, or a chain of headers could
                  call this for each of them, one inside the other */
};
static void process(struct pkt *pkt, enum way way);

static void later_run(struct work *work)
{
    struct later *later = container_of(work, struct later, work);
    struct pkt *taken = __atomic_exchange_n(&later->packets, NULL, __ATOMIC_ACQUIRE), *list = NULL;
    while (taken) {
        struct pkt *next = taken->next;
        taken->next = list;
        list = taken;
        taken = next;
    }
    while (list) {
        struct pkt *pkt = list;
        list = pkt->next;
        pkt->next = NULL;
        __atomic_fetch_sub(&later->count, 1, __ATOMIC_RELAXED);
        process(pkt, WAY_SLOW);
    }
}

/* ---- options ---- */

/* RFC 791, 3.1: well formed, and no source routes, which are refused as everywhere today (RFC 7126,
 * 4.3, 4.4). */
static bool options4_ok(const uint8_t *h)
{
    uint32_t end = (h[0] & 0xf) * 4u;
    for (uint32_t at = IP4_HEADER_LEN; at < end;) {
        uint8_t kind = h[at];
        if (kind == 0)
            return true;
        if (kind == 1) {
            at++;
            continue;
        }
        if (at + 1 >= end || h[at + 1] < 2 || h[at + 1] > end - at || kind == 131 || kind == 137)
            return false;
        at += h[at + 1];
    }
    return true;
}

/* Options of a hop-by-hop or destination header that we do not know: RFC 8200, 4.2. 0: go on; 1:
 * drop; 2: drop and say so; *where: which. */
static int options6(const uint8_t *h, uint32_t from, uint32_t end, bool multicast, uint32_t *where)
{
    for (uint32_t at = from; at < end;) {
        uint8_t kind = h[at];
        if (kind == 0) {
            at++;
            continue;
        }
        if (at + 1 >= end || h[at + 1] + 2u > end - at)
            return 1;
        *where = at;
        bool known = kind == 1 || kind == 5; /* padding, router alert */
        if (!known && kind >> 6)
            return kind >> 6 == 2 || (kind >> 6 == 3 && !multicast) ? 2 : 1;
        at += h[at + 1] + 2u;
    }
    return 0;
}

/* Extension headers up to the transport's, whose places classify has checked. False: drop. */
static bool extensions_ok(const struct pkt *pkt, uint32_t end)
{
    const uint8_t *h = pkt->data;
    uint8_t next = h[6];
    for (uint32_t at = IP6_HEADER_LEN; at < end;) {
        uint32_t where = 0, size = next == NEXT_FRAGMENT ? 8 : (h[at + 1] + 1u) * 8;
        int verdict = 0;
        if (next == NEXT_ROUTING && h[at + 3] != 0) { /* we forward nothing: RFC 5095, 8200, 4.4 */
            verdict = 2;
            where = at + 2;
        } else if (next == NEXT_HOP_BY_HOP || next == NEXT_DESTINATION) {
            verdict = options6(h, at + 2, MIN(at + size, end), h[24] == 0xff, &where);
        }
        if (verdict == 2)
            icmp6_error(pkt, ICMP6_PARAMETER, next == NEXT_ROUTING ? 0 : 2, where);
        if (verdict)
            return false;
        next = h[at];
        at += size;
    }
    return true;
}

/* ---- the slow way ---- */

/* Nobody listens. */
static void no_flow(struct pkt *pkt, const struct classified *about)
{
    const struct flow_key *key = &about->key;
    bool v4 = net_addr_is_v4(&key->local);
    if (key->protocol == IPPROTO_TCP) {
        if (ip_no_flow_tcp)
            ip_no_flow_tcp(pkt, about);
        else
            pkt_free(pkt);
        return;
    }
    uint32_t at = pkt->transport - pkt->network;
    const uint8_t *udp = pkt->data + at;
    bool summed = get_be16(udp + 6) != 0;
    if (summed ? !ip_checksum_ok(pkt, at, get_be16(udp + 4), &key->local, &key->remote, IPPROTO_UDP)
               : !v4) {
        mib_count(MIB_Udp_InErrors);
        drop(pkt, MIB_Udp_InCsumErrors);
        return;
    }
    if (v4)
        icmp4_error(pkt, ICMP4_UNREACHABLE, ICMP4_PORT, 0);
    else
        icmp6_error(pkt, ICMP6_UNREACHABLE, ICMP6_PORT, 0);
    drop(pkt, MIB_Udp_NoPorts);
}

static void other_protocol(struct pkt *pkt, const struct classified *about)
{
    uint8_t protocol = about->key.protocol;
    bool v4 = net_addr_is_v4(&about->key.local), taken = false;
    if (ip_raw_input)
        taken = ip_raw_input(pkt, about);
    if (v4 && protocol == IPPROTO_ICMP) {
        icmp4_input(pkt, about);
    } else if (v4 && protocol == IPPROTO_IGMP) {
        igmp_input(pkt, about);
    } else if (!v4 && protocol == IPPROTO_ICMPV6) {
        icmp6_input(pkt, about);
    } else if (taken || (!v4 && protocol == 59)) { /* no next header */
        pkt_free(pkt);
    } else if (v4) {
        icmp4_error(pkt, ICMP4_UNREACHABLE, ICMP4_PROTOCOL, 0);
        drop(pkt, MIB_Ip_InUnknownProtos);
    } else {
        icmp6_error(pkt, ICMP6_PARAMETER, 1, 6);
        drop(pkt, MIB_Ip6_InUnknownProtos);
    }
}

/* ---- whom it is for ---- */

enum target { TARGET_NONE, TARGET_US, TARGET_MANY };

static enum target target_of(const struct pkt *pkt, const struct flow_key *key)
{
    unsigned device = pkt->dev->index;
    if (net_addr_is_multicast(&key->local)) {
        /* Those of neighbour discovery (solicited-node) come by the hash of link addresses: nd6.c
         * looks. */
        if (!net_addr_is_v4(&key->local) && key->protocol == IPPROTO_ICMPV6)
            return TARGET_MANY;
        mib_count(MIB_IpExt_InMcastPkts);
        return ip_group_member(&key->local, device) ? TARGET_MANY : TARGET_NONE;
    }
    if (ip_is_local(&key->local, 0))
        return TARGET_US;
    /* DHCP's answers may come to an address that is not ours yet. */
    if (ip_is_broadcast(&key->local, device)) {
        mib_count(MIB_IpExt_InBcastPkts);
        return TARGET_MANY;
    }
    return TARGET_NONE;
}

/* The packet as everything above IP gets it. False: there are options that we do not take. */
static bool make_ready(struct pkt *pkt, const struct classified *about)
{
    uint32_t headroom = pkt_headroom(pkt);
    bool v4 = net_addr_is_v4(&about->key.local);
    pkt->link = (uint16_t)headroom;
    pkt->network = (uint16_t)(headroom + about->network);
    pkt->transport = (uint16_t)(headroom + about->transport);
    pkt_trim(pkt, about->end);
    pkt_skip(pkt, about->network);
    if (!about->options)
        return true;
    return v4 ? options4_ok(pkt->data) : extensions_ok(pkt, about->transport - about->network);
}

/* ---- the fast way ---- */

static bool is_peer(const struct flow *flow, const struct flow_key *key)
{
    /* Acquire: of a flow that is among the connected the key is whole. */
    return __atomic_load_n(&flow->hashed, __ATOMIC_ACQUIRE) &&
           flow->key.remote_port == key->remote_port &&
           net_addr_equal(&flow->key.remote, &key->remote);
}

/* A flow has no room. For Linux's tools by the names that they know. */
static void no_room(uint8_t protocol)
{
    mib_count(MIB_IpExt_InChannelFull);
    if (protocol == IPPROTO_UDP) {
        mib_count(MIB_Udp_InErrors);
        mib_count(MIB_Udp_RcvbufErrors);
    } else if (protocol == IPPROTO_TCP) {
        mib_count(MIB_TcpExt_TCPBacklogDrop);
    }
}

/* Raw sockets of TCP and UDP see what comes before those do. */
static void show_raw(const struct pkt *pkt, const struct classified *about)
{
    if (__builtin_expect(__atomic_load_n(&ip_raw_flows, __ATOMIC_RELAXED) != 0, 0))
        (void)ip_raw_input(pkt, about);
}

/* TCP or UDP to one flow. True: consumed. False: there is none, nothing was changed. In an RCU
 * section. */
static bool to_flow(struct pkt *pkt, const struct classified *about)
{
    uint32_t hash = flow_hash(&about->key);
    struct flow *flow = flow_find(&about->key, hash, pkt->dev->index);
    if (!flow)
        return false;
    int16_t cpu = (int16_t)hal_cpu_id();
    if (__atomic_load_n(&flow->hashed, __ATOMIC_RELAXED)) { /* SO_INCOMING_CPU: a hint */
        if (__atomic_load_n(&flow->incoming_cpu, __ATOMIC_RELAXED) != cpu)
            __atomic_store_n(&flow->incoming_cpu, cpu, __ATOMIC_RELAXED);
    } else if (flow->reuse_port && ip_choose) {
        flow = ip_choose(flow, pkt, about);
    }
    /* To others, or from ourselves by a wire (the land attack). */
    if (pkt->dev != &loopback && !is_peer(flow, &about->key) &&
        (!ip_is_local(&about->key.local, 0) || ip_is_local(&about->key.remote, 0)))
        return false;
    pkt->hash = hash;
    if (!make_ready(pkt, about)) {
        drop(pkt, MIB_Ip_InHdrErrors);
        return true;
    }
    mib_count(MIB_Ip_InDelivers);
    show_raw(pkt, about);
    if (!flow_deliver(flow, pkt))
        no_room(about->key.protocol);
    return true;
}

static void slow(struct pkt *pkt, const struct classified *about, enum classify_verdict verdict,
                 enum way way)
{
    enum target target = target_of(pkt, &about->key);
    if (verdict == CLASSIFY_FLOW && dhcp_wants(pkt->dev, about)) {
        if (make_ready(pkt, about)) /* our address may not be ours yet */
            dhcp_input(pkt, about);
        pkt_free(pkt);
    } else if (target == TARGET_NONE) {
        drop(pkt, MIB_IpExt_InNotForUs);
    } else if (pkt->dev != &loopback && pkt->checksum != PKT_CHECKSUM_GOOD &&
               ip_is_local(&about->key.remote, 0)) {
        drop(pkt, MIB_Ip_InAddrErrors);
    } else if (!make_ready(pkt, about)) {
        drop(pkt, MIB_Ip_InHdrErrors);
    } else if (verdict == CLASSIFY_FRAGMENT && way == WAY_WHOLE) {
        drop(pkt, MIB_Ip6_InHdrErrors);
    } else if (verdict == CLASSIFY_FRAGMENT) {
        struct pkt *whole = fragment_input(pkt, about);
        if (whole)
            process(whole, WAY_WHOLE);
    } else if (verdict == CLASSIFY_IP) {
        mib_count(MIB_Ip_InDelivers);
        other_protocol(pkt, about);
    } else if (target == TARGET_US) {
        show_raw(pkt, about);
        no_flow(pkt, about);
    } else if (about->key.protocol == IPPROTO_UDP) {
        unsigned token = rcu_read_lock();
        show_raw(pkt, about);
        if (flow_deliver_all(&about->key, pkt->dev->index, pkt) == 0)
            mib_count(MIB_Udp_IgnoredMulti);
        rcu_read_unlock(token);
    } else {
        drop(pkt, MIB_Ip_InAddrErrors); /* TCP to many */
    }
}

/* The frame is for this device: others come where it is promiscuous. */
static bool link_ok(const struct pkt *pkt)
{
    return pkt->dev->type != ARPHRD_ETHER || pkt->len < ETHER_HEADER_LEN || pkt->data[0] & 1 ||
           memcmp(pkt->data, pkt->dev->address, ETHER_ADDR_LEN) == 0;
}

static enum mib_counter reason(enum classify_verdict verdict)
{
    switch (verdict) {
    case CLASSIFY_SHORT:
        return MIB_IpExt_InTruncatedPkts;
    case CLASSIFY_BAD_CHECKSUM:
        return MIB_IpExt_InCsumErrors;
    case CLASSIFY_BAD_ADDRESS:
        return MIB_Ip_InAddrErrors;
    case CLASSIFY_OTHER:
        return MIB_IpExt_InNotIp;
    default:
        return MIB_Ip_InHdrErrors;
    }
}

static void process(struct pkt *pkt, enum way way)
{
    struct classified about;
    bool link = pkt->dev->type == ARPHRD_ETHER, done = false;
    enum classify_verdict verdict = classify(pkt->data, pkt->len, pkt->total, link, &about);
    if (verdict == CLASSIFY_SHORT && pkt->len < pkt->total &&
        pkt_pull(pkt, MIN(pkt->total, HEADERS_MAX)))
        verdict = classify(pkt->data, pkt->len, pkt->total, link, &about);
    if (verdict > CLASSIFY_ARP) {
        drop(pkt, reason(verdict));
        return;
    }
    if (verdict == CLASSIFY_FLOW && !net_addr_is_multicast(&about.key.local)) {
        unsigned token = rcu_read_lock();
        done = to_flow(pkt, &about);
        rcu_read_unlock(token);
    }
    if (done)
        return;
    if (way == WAY_FAST)
        ip_input_later(pkt);
    else if (verdict == CLASSIFY_ARP)
        arp_input(pkt, about.network);
    else
        slow(pkt, &about, verdict, way);
}

void net_input(struct pkt *pkt)
{
    if (!link_ok(pkt)) {
        drop(pkt, MIB_IpExt_InLinkOther);
        return;
    }
    mib_count(MIB_Ip_InReceives);
    mib_add(MIB_IpExt_InOctets, pkt->total);
    if (__atomic_load_n(&pkt_stamps, __ATOMIC_RELAXED))
        pkt->time_ns = clock_mono_ns();
    process(pkt, pkt->dev == &loopback ? WAY_FAST : WAY_SLOW);
}

/* Who had a flow when it came has gone. One of many (a group, a broadcast) is answered by nobody,
 * and the others have theirs. */
void ip_input_again(struct pkt *pkt)
{
    const uint8_t *ip = pkt->room + pkt->network;
    uint8_t *start = pkt->room + pkt->link;
    struct net_addr to;
    if (ip[0] >> 4 == 4) {
        uint32_t word;
        memcpy(&word, ip + 16, sizeof(word));
        to = net_addr_v4(word);
    } else {
        memcpy(&to, ip + 24, sizeof(to));
    }
    if (start > pkt->data || net_addr_is_multicast(&to) || ip_is_broadcast(&to, 0)) {
        pkt_free(pkt);
        return;
    }
    pkt_push(pkt, (uint32_t)(pkt->data - start));
    ip_input_later(pkt);
}

/* ---- boot ---- */

static void device_changed(struct netdev *dev)
{
    bool up = netdev_flags(dev) & NETDEV_UP;
    if (!up)
        neigh_flush(dev);
    route_changed();
    if (up && dev != &loopback)
        nd6_changed(dev);
}

rarely int ip_init(void)
{
    const struct ifaddr_info v4 = {
        .dev = &loopback,
        .address = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}},
        .prefix = 8,
        .flags = IFADDR_PERMANENT,
    };
    const struct ifaddr_info v6 = {
        .dev = &loopback,
        .address = {.bytes = {[15] = 1}},
        .prefix = 128,
        .flags = IFADDR_PERMANENT,
    };
    for (unsigned i = 0; i < HAL_CPU_MAX; i++)
        work_init(&laters[i].work, later_run);
    netdev_init();
    ifaddr_init();
    netconf_init();
    int err = neigh_init();
    if (err == 0)
        err = fragment_init();
    if (err == 0)
        err = nd6_init();
    netdev_input = net_input;
    netdev_changed = device_changed;
    if (err == 0)
        err = loopback_init();
    if (err == 0)
        err = ifaddr_add(&v4);
    if (err == 0)
        err = ifaddr_add(&v6);
    return err;
}
