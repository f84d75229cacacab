/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/netdev.c kernel/drv/segment.c kernel/drv/gro.c
   kernel/drv/loopback.c kernel/lib/checksum.c kernel/lib/format.c kernel/lib/strbuf.c
   kernel/core/random.c kernel/net/classify.c kernel/net/mib.c kernel/net/neigh.c kernel/net/arp.c
   kernel/net/ifaddr.c kernel/net/route.c kernel/net/output.c kernel/net/icmp.c kernel/net/icmp4.c
   kernel/net/icmp6.c kernel/net/input.c kernel/net/fragment.c kernel/net/reass.c kernel/net/igmp.c
   kernel/net/nd6.c kernel/net/addrtext.c unit/net/fake_net.c */
/* ip6_test.c - IPv6 on a wire that the test is: duplicate address detection, neighbours, routers'
 * advertisements, ICMPv6, fragments, extension headers, lies. And addresses as text. */
#include "net/ip_world.h"

#include "net/dhcp.h"

static struct net_addr learned_server;
void netconf_init(void)
{
}
void netconf_nameserver(const struct net_addr *address)
{
    learned_server = *address;
}
void dhcp_claimed(const struct netdev *dev, const struct net_addr *address)
{
    (void)dev, (void)address;
}
bool dhcp_wants(const struct netdev *dev, const struct classified *about)
{
    (void)dev, (void)about;
    return false;
}
void dhcp_input(const struct pkt *pkt, const struct classified *about)
{
    (void)pkt, (void)about;
}

static struct net_addr us, peer, all_nodes;

static void start(void)
{
    world_boot();
    us = ip6("fe80::ff:fe00:1");
    peer = ip6("fe80::9");
    all_nodes = ip6("ff02::1");
}

/* ICMPv6 from the peer to us. */
static void icmp_in(const struct net_addr *from, const struct net_addr *to, uint8_t hops,
                    uint8_t *message, uint32_t len)
{
    uint8_t f[3000];
    put_sum(message, len, 2, from, to, IPPROTO_ICMPV6);
    receive(f, frame6(f, from, to, IPPROTO_ICMPV6, hops, message, len), 0);
}

/* The next sent ICMPv6 message of a type; NULL: none any more. */
static uint8_t *sent_icmp(uint8_t type, uint32_t *len)
{
    uint8_t *f;
    while ((f = sent(len))) {
        uint32_t at = 54;
        if (get_be16(f + 12) != ETHERTYPE_IP6)
            continue;
        if (f[20] == 0) /* hop by hop */
            at += 8;
        struct net_addr from, to;
        memcpy(&from, f + 22, 16);
        memcpy(&to, f + 38, 16);
        uint32_t pseudo = ip_pseudo_sum(&from, &to, IPPROTO_ICMPV6, *len - at);
        assert_int_equal(checksum_add(f + at, *len - at, checksum_fold(pseudo)), 0xffff);
        if (f[at] == type)
            return f;
    }
    return NULL;
}

static void advertise_peer(uint8_t flags)
{
    uint8_t m[32] = {136, [4] = flags, [24] = 2, [25] = 1};
    memcpy(m + 8, &peer, 16);
    memcpy(m + 26, peer_ether, 6);
    icmp_in(&peer, &us, 255, m, 32);
}

static void an_address_is_tried_first(void)
{
    uint32_t len;
    fake_net_run();
    uint8_t *f = sent_icmp(135, &len);
    assert_non_null(f);
    assert_int_equal(len, 54 + 24);
    assert_int_equal(f[21], 255);
    struct net_addr none = net_addr_any, group = ip6("ff02::1:ff00:1");
    assert_memory_equal(f + 22, &none, 16);
    assert_memory_equal(f + 38, &group, 16);
    assert_memory_equal(f, "\x33\x33\xff\0\0\1", 6);
    assert_memory_equal(f + 62, &us, 16);
    assert_false(ip_is_local(&us, 0));
    fake_net_advance(NS_PER_SEC + 1);
    assert_true(ip_is_local(&us, 0));
    fake_net_advance(30 * NS_PER_SEC);
    for (int i = 0; i < 3; i++) { /* three times for routers, then no more */
        f = sent_icmp(133, &len);
        assert_non_null(f);
        assert_memory_equal(f + 22, &us, 16);
        assert_int_equal(len, 54 + 16);
    }
    assert_null(sent_icmp(133, &len));
}

static void somebody_has_it(void)
{
    uint8_t m[24] = {135};
    fake_net_run();
    struct net_addr none = net_addr_any, group = ip6("ff02::1:ff00:1");
    memcpy(m + 8, &us, 16);
    icmp_in(&none, &group, 255, m, 24); /* tries it, too */
    fake_net_advance(5 * NS_PER_SEC);
    assert_false(ip_is_local(&us, 0));
    unsigned token = rcu_read_lock();
    struct ifaddr *ifa = ifaddr_find(&us, 0, true);
    assert_true(ifa && ifa->flags & IFADDR_FAILED);
    rcu_read_unlock(token);
}

static void somebody_answers(void)
{
    uint8_t m[32] = {136, [4] = 0x20, [24] = 2, [25] = 1, [26] = 2};
    fake_net_run();
    memcpy(m + 8, &us, 16);
    icmp_in(&us, &all_nodes, 255, m, 32);
    fake_net_advance(5 * NS_PER_SEC);
    assert_false(ip_is_local(&us, 0));
}

static void neighbours_find_each_other(void)
{
    uint8_t m[32] = {135, [24] = 1, [25] = 1};
    uint32_t len;
    struct neigh_view view;
    settle();
    /* They ask. */
    struct net_addr group = ip6("ff02::1:ff00:1");
    memcpy(m + 8, &us, 16);
    memcpy(m + 26, peer_ether, 6);
    icmp_in(&peer, &group, 255, m, 32);
    uint8_t *f = sent_icmp(136, &len);
    assert_non_null(f);
    assert_memory_equal(f, peer_ether, 6);
    assert_memory_equal(f + 38, &peer, 16);
    assert_int_equal(f[58], 0x60);
    assert_memory_equal(f + 78, "\2\1", 2);
    assert_memory_equal(f + 80, our_ether, 6);
    assert_int_equal(neigh_list(&view, 0, 1), 1);
    assert_int_equal(view.state, NEIGH_DELAY); /* STALE, and then it was sent to */
    assert_int_equal(neigh_remove(&eth, &peer), 0);
    /* We ask. */
    drop_sent();
    assert_int_equal(send_udp(&peer, 20, false), 0);
    f = sent_icmp(135, &len);
    assert_non_null(f);
    assert_memory_equal(f, "\x33\x33\xff\0\0\x09", 6);
    assert_memory_equal(f + 78, "\1\1", 2);
    assert_null(sent(&len));
    advertise_peer(0x60);
    f = sent(&len);
    assert_non_null(f);
    assert_memory_equal(f, peer_ether, 6);
    assert_int_equal(f[20], IPPROTO_UDP);
    assert_int_equal(neigh_list(&view, 0, 1), 1);
    assert_int_equal(view.state, NEIGH_REACHABLE);
    /* Without override another address is not believed: RFC 4861, 7.2.5. */
    uint8_t other[32] = {136, [24] = 2, [25] = 1, [26] = 2, [31] = 77};
    memcpy(other + 8, &peer, 16);
    icmp_in(&peer, &us, 255, other, 32);
    neigh_list(&view, 0, 1);
    assert_int_equal(view.state, NEIGH_STALE);
    assert_memory_equal(view.ether, peer_ether, 6);
    other[4] = 0x20;
    icmp_in(&peer, &us, 255, other, 32);
    neigh_list(&view, 0, 1);
    assert_int_equal(view.ether[5], 77);
}

static void discovery_from_afar_is_no_discovery(void)
{
    uint8_t m[32] = {135, [24] = 1, [25] = 1};
    uint32_t len;
    struct neigh_view view;
    settle();
    memcpy(m + 8, &us, 16);
    memcpy(m + 26, peer_ether, 6);
    uint64_t errors = mib_read(MIB_Icmp6_InErrors);
    icmp_in(&peer, &us, 254, m, 32);
    m[1] = 1;
    icmp_in(&peer, &us, 255, m, 32);
    m[1] = 0;
    m[25] = 0; /* an option of length 0 */
    icmp_in(&peer, &us, 255, m, 32);
    m[25] = 2;
    icmp_in(&peer, &us, 255, m, 32);
    m[25] = 1;
    struct net_addr none = net_addr_any;
    icmp_in(&none, &us, 255, m, 32); /* from nobody, with an option */
    memcpy(m + 8, &all_nodes, 16);
    icmp_in(&peer, &us, 255, m, 32);
    for (uint32_t n = 8; n < 24; n++)
        icmp_in(&peer, &us, 255, m, n);
    assert_int_equal(mib_read(MIB_Icmp6_InErrors) - errors, 22);
    assert_null(sent(&len));
    assert_int_equal(neigh_list(&view, 0, 1), 0);
}

/* A router with a prefix, an MTU, and a name server. */
static uint32_t router_message(uint8_t *m, uint16_t lifetime, uint32_t valid, uint32_t preferred)
{
    struct net_addr prefix = ip6("2001:db8:1::"), dns = ip6("2001:db8::53");
    memset(m, 0, 200);
    m[0] = 134;
    m[4] = 64;
    put_be16(m + 6, lifetime);
    memcpy(m + 16, "\1\1", 2);
    memcpy(m + 18, peer_ether, 6);
    memcpy(m + 24, "\3\4\x40\xc0", 4);
    put_be32(m + 28, valid);
    put_be32(m + 32, preferred);
    memcpy(m + 40, &prefix, 16);
    memcpy(m + 56, "\x19\3", 2);
    put_be32(m + 60, 600);
    memcpy(m + 64, &dns, 16);
    return 80;
}

static void a_router_advertises(void)
{
    uint8_t m[200];
    uint32_t len;
    struct net_addr ours = ip6("2001:db8:1::ff:fe00:1"), far = ip6("2001:db8:77::5"),
                    near = ip6("2001:db8:1::5");
    struct ip_route route = {0};
    settle();
    assert_int_equal(route_lookup(&route, &far, NULL, 0), -ENETUNREACH);
    icmp_in(&peer, &all_nodes, 255, m, router_message(m, 1800, 7200, 3600));
    assert_false(ip_is_local(&ours, 0));
    assert_non_null(sent_icmp(135, &len)); /* tried */
    fake_net_advance(2 * NS_PER_SEC);
    assert_true(ip_is_local(&ours, 0));
    assert_int_equal(route_lookup(&route, &far, NULL, 0), 0);
    assert_true(net_addr_equal(&route.next_hop, &peer));
    assert_true(net_addr_equal(&route.source, &ours));
    assert_int_equal(route_lookup(&route, &near, NULL, 0), 0);
    assert_true(net_addr_equal(&route.next_hop, &near));
    assert_int_equal(route_lookup(&route, &peer, NULL, 0), 0);
    assert_true(net_addr_equal(&route.source, &us));
    struct net_addr dns = ip6("2001:db8::53");
    assert_true(net_addr_equal(&learned_server, &dns));
    /* It is renewed; a forged end does not end it within two hours (RFC 4862, 5.5.3). */
    icmp_in(&peer, &all_nodes, 255, m, router_message(m, 1800, 7200, 3600));
    icmp_in(&peer, &all_nodes, 255, m, router_message(m, 1800, 1, 1));
    fake_net_advance(10 * NS_PER_SEC);
    assert_true(ip_is_local(&ours, 0));
    unsigned token = rcu_read_lock();
    assert_true(ifaddr_find(&ours, 0, false)->flags & IFADDR_DEPRECATED);
    rcu_read_unlock(token);
    fake_net_advance(7300 * NS_PER_SEC);
    assert_false(ip_is_local(&ours, 0));
    assert_int_equal(route_lookup(&route, &far, NULL, 0), -ENETUNREACH);
    /* A router that says goodbye. */
    icmp_in(&peer, &all_nodes, 255, m, router_message(m, 1800, 7200, 3600));
    fake_net_advance(2 * NS_PER_SEC);
    assert_int_equal(route_lookup(&route, &far, NULL, 0), 0);
    icmp_in(&peer, &all_nodes, 255, m, router_message(m, 0, 7200, 3600));
    assert_int_equal(route_lookup(&route, &far, NULL, 0), -ENETUNREACH);
    /* Not from a link-local address: no router. */
    icmp_in(&far, &all_nodes, 255, m, router_message(m, 1800, 7200, 3600));
    assert_int_equal(route_lookup(&route, &far, NULL, 0), -ENETUNREACH);
    /* A flood of prefixes brings eight addresses, no more. */
    for (unsigned i = 0; i < 50; i++) {
        router_message(m, 1800, 7200, 3600);
        m[45] = (uint8_t)(i + 1);
        icmp_in(&peer, &all_nodes, 255, m, 80);
        drop_sent();
    }
    fake_net_advance(2 * NS_PER_SEC);
    unsigned count = 0;
    token = rcu_read_lock();
    for (struct ifaddr *ifa = ifaddr_first(); ifa; ifa = ifaddr_next(ifa))
        count += (ifa->flags & IFADDR_AUTO) != 0;
    rcu_read_unlock(token);
    assert_int_equal(count, 8);
    route_release(&route);
}

static void echo6(void)
{
    uint8_t m[1000] = {128};
    uint32_t len;
    settle();
    advertise_peer(0x60);
    struct net_addr group = all_nodes;
    icmp_in(&peer, &us, 64, m, 900); /* the neighbour is asked for */
    assert_non_null(sent_icmp(135, &len));
    advertise_peer(0x60);
    uint8_t *f = sent_icmp(129, &len);
    assert_non_null(f);
    assert_int_equal(len, 54 + 900);
    icmp_in(&peer, &group, 64, m, 100); /* RFC 4443, 4.2: from our own address */
    f = sent_icmp(129, &len);
    assert_non_null(f);
    assert_memory_equal(f + 22, &us, 16);
}

static void errors_are_sent_and_heard(void)
{
    uint8_t f[600], m[200] = {0};
    uint32_t len;
    settle();
    assert_int_equal(send_udp(&peer, 20, false), 0);
    advertise_peer(0x60);
    drop_sent();
    uint32_t n = frame6(f, &peer, &us, IPPROTO_UDP, 64, m, udp(m, 7, 53, "hello", 5, &peer, &us));
    receive(f, n, 0);
    uint8_t *a = sent_icmp(1, &len);
    assert_non_null(a);
    assert_int_equal(a[55], 4);
    assert_memory_equal(a + 62, f + 14, 53);
    f[60] = f[61] = 0; /* no checksum: not over IPv6 */
    receive(f, n, 0);
    assert_null(sent(&len));
    receive(f, frame6(f, &peer, &us, 200, 64, m, 20), 0);
    a = sent_icmp(4, &len); /* unknown next header */
    assert_non_null(a);
    assert_int_equal(a[55], 1);
    assert_int_equal(get_be32(a + 58), 6);
    /* Packet too big, about a flow of ours. */
    struct flow *flow = listen_at(IPPROTO_UDP, 1000);
    (void)flow;
    memset(m, 0, sizeof m);
    m[0] = 2;
    put_be32(m + 4, 100);
    frame6(f, &us, &peer, IPPROTO_UDP, 64, "\x03\xe8\x07\xd0\0\x10\0\0", 8);
    memcpy(m + 8, f + 14, 48);
    icmp_in(&peer, &us, 64, m, 56);
    assert_int_equal(error_count, 1);
    assert_int_equal(last_error.error, EMSGSIZE);
    assert_int_equal(last_error.mtu, 1280);
    struct ip_route route = {0};
    assert_int_equal(route_lookup(&route, &peer, NULL, 0), 0);
    assert_int_equal(route.mtu, 1280);
    route_release(&route);
    m[0] = 1, m[1] = 4;
    icmp_in(&peer, &us, 64, m, 56);
    assert_int_equal(last_error.error, ECONNREFUSED);
    assert_true(last_error.hard);
}

static void fragments6(void)
{
    uint8_t f[2000], m[4100], data[3000], part[1500];
    struct flow *flow = listen_at(IPPROTO_UDP, 53);
    uint32_t len;
    settle();
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 13);
    uint32_t total = udp(m, 7, 53, data, sizeof data, &peer, &us);
    for (int options = 0; options < 2; options++) {
        for (int i = 2; i >= 0; i--) {
            uint32_t at = (uint32_t)i * 1400, n = MIN(total - at, 1400u);
            uint8_t *h = part;
            if (options) { /* a destination header before the fragment header */
                memcpy(h, "\x2c\0\1\4\0\0\0\0", 8);
                h += 8;
            }
            memset(h, 0, 8);
            h[0] = IPPROTO_UDP;
            put_be16(h + 2, (uint16_t)(at | (at + n < total)));
            put_be32(h + 4, 0x12345678);
            memcpy(h + 8, m + at, n);
            receive(
                f, frame6(f, &peer, &us, options ? 60 : 44, 64, part, (uint32_t)(h - part) + 8 + n),
                300);
        }
        assert_int_equal(delivered_count, 1);
        struct pkt *pkt = delivered[0];
        uint32_t headers = options ? 48 : 40;
        assert_ptr_equal(delivered_to[0], flow);
        assert_int_equal(pkt->total, headers + total);
        assert_int_equal(pkt->transport - pkt->network, headers);
        uint8_t got[4000];
        pkt_read(pkt, 0, got, pkt->total);
        assert_int_equal(got[options ? 40 : 6], IPPROTO_UDP);
        assert_int_equal(get_be16(got + 4), pkt->total - 40);
        assert_memory_equal(got + headers, m, total);
        assert_memory_equal(pkt->room + pkt->link, our_ether, 6);
        drop_delivered();
    }
    /* And out. */
    assert_int_equal(send_udp(&peer, 20, false), 0);
    advertise_peer(0x60);
    drop_sent();
    assert_int_equal(send_udp(&peer, 4000, true), -EMSGSIZE);
    assert_int_equal(send_udp(&peer, 4000, false), 0);
    uint32_t next = 0;
    for (int i = 0; i < 3; i++) {
        uint8_t *a = sent(&len);
        assert_int_equal(a[20], 44);
        assert_int_equal(get_be16(a + 56) & 0xfff8, next);
        assert_int_equal(get_be16(a + 56) & 7, i < 2);
        assert_int_equal(get_be16(a + 18), len - 54);
        memcpy(m + next, a + 62, len - 62);
        next += len - 62;
    }
    assert_int_equal(next, 4008);
    uint32_t pseudo = ip_pseudo_sum(&us, &peer, IPPROTO_UDP, 4008);
    assert_int_equal(checksum_add(m, 4008, checksum_fold(pseudo)), 0xffff);
}

/* Fragments in fragments: each level would be another call of the input path. */
static void a_whole_is_no_fragment(void)
{
    uint8_t f[300], part[40] = {44, 0, 0, 1, 0, 0, 0, 1};
    uint64_t errors = mib_read(MIB_Ip6_InHdrErrors);
    settle();
    /* The first 8 bytes of the whole are a fragment header, not of a whole. */
    memcpy(part + 8, "\x11\0\0\1\0\0\0\2", 8);
    receive(f, frame6(f, &peer, &us, 44, 64, part, 16), 0);
    put_be16(part + 2, 8);
    memset(part + 8, 0, 16);
    receive(f, frame6(f, &peer, &us, 44, 64, part, 24), 0);
    assert_int_equal(mib_read(MIB_Ip6_ReasmOKs), 1);
    assert_int_equal(mib_read(MIB_Ip6_InHdrErrors), errors + 1);
    drop_sent();
    assert_int_equal(owner_get(OWNER_PACKET).objects, 0);
}

static void extension_headers(void)
{
    uint8_t f[300], m[200];
    uint32_t len;
    settle();
    assert_int_equal(send_udp(&peer, 20, false), 0);
    advertise_peer(0x60);
    drop_sent();
    (void)listen_at(IPPROTO_UDP, 53);
    static const struct {
        uint8_t kind;     /* of the header */
        const char *body; /* 6 bytes behind the first two */
        bool delivered;
        int code; /* of the parameter problem, -1: none */
    } cases[] = {
        {60, "\1\4\0\0\0\0", true, -1},    {0, "\1\4\0\0\0\0", true, -1},
        {0, "\5\2\0\0\1\0", true, -1},     {60, "\x1e\4\0\0\0\0", true, -1},
        {60, "\x5e\4\0\0\0\0", false, -1}, {60, "\x9e\4\0\0\0\0", false, 2},
        {60, "\xde\4\0\0\0\0", false, 2},  {60, "\1\7\0\0\0\0", false, -1},
        {43, "\0\0\0\0\0\0", true, -1},    {43, "\0\1\0\0\0\0", false, 0},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        m[0] = IPPROTO_UDP, m[1] = 0;
        memcpy(m + 2, cases[i].body, 6);
        uint32_t n = 8 + udp(m + 8, 7, 53, "hello", 5, &peer, &us);
        receive(f, frame6(f, &peer, &us, cases[i].kind, 64, m, n), 0);
        assert_int_equal(delivered_count, cases[i].delivered);
        uint8_t *a = sent_icmp(4, &len);
        assert_true((a != NULL) == (cases[i].code >= 0));
        if (a)
            assert_int_equal(a[55], cases[i].code);
        drop_delivered();
    }
}

static void groups6(void)
{
    uint8_t m[28] = {130};
    uint32_t len;
    struct net_addr group = ip6("ff15::77"), all_mld2 = ip6("ff02::16");
    settle();
    assert_int_equal(ip_group_join(&group, eth.index), 0);
    uint8_t *f = sent_icmp(143, &len);
    assert_non_null(f);
    assert_memory_equal(f + 38, &all_mld2, 16);
    assert_int_equal(f[21], 1);
    assert_memory_equal(f + 54, "\x3a\0\5\2\0\0", 6); /* router alert */
    assert_int_equal(f[70], 4);
    assert_memory_equal(f + 74, &group, 16);
    icmp_in(&peer, &all_nodes, 1, m, sizeof m); /* all groups: this one and that of our address */
    assert_non_null(sent_icmp(143, &len));
    assert_non_null(sent_icmp(143, &len));
    assert_null(sent_icmp(143, &len));
    memcpy(m + 8, &group, 16);
    icmp_in(&peer, &all_nodes, 1, m, sizeof m);
    f = sent_icmp(143, &len);
    assert_memory_equal(f + 74, &group, 16);
    assert_null(sent_icmp(143, &len));
    assert_int_equal(ip_group_leave(&group, eth.index), 0);
    f = sent_icmp(143, &len);
    assert_int_equal(f[70], 3);
}

static void noise6(void)
{
    uint8_t f[400], m[300];
    settle();
    srand(8);
    for (int i = 0; i < 30000; i++) {
        static const uint8_t kinds[] = {133, 134, 135, 136, 1, 2, 3, 4, 128, 129, 130, 143};
        uint32_t n = (uint32_t)rand() % 150;
        for (uint32_t k = 0; k < n; k++)
            m[k] = rand() % 3 ? (uint8_t)(rand() % 5) : (uint8_t)rand();
        m[0] = kinds[(unsigned)rand() % sizeof kinds];
        m[1] = 0;
        if (rand() % 2)
            memcpy(m + 8, rand() % 2 ? &us : &peer, 16);
        const struct net_addr *to = rand() % 3 ? &us : &all_nodes;
        if (rand() % 4) {
            icmp_in(&peer, to, 255, m, MAX(n, 8u));
        } else {
            uint8_t next = (uint8_t)(rand() % 2 ? 44 : rand() % 2 ? 0 : 60);
            receive(f, frame6(f, &peer, to, next, 64, m, n), (uint32_t)rand() % 60);
        }
        drop_sent();
        drop_delivered();
    }
    fake_net_advance(60 * NS_PER_SEC);
}

static void text(void)
{
    static const struct {
        const char *in, *out; /* NULL: no address */
    } cases[] = {
        {"1.2.3.4", "1.2.3.4"},
        {"255.255.255.255", "255.255.255.255"},
        {"1.2.3", NULL},
        {"1.2.3.256", NULL},
        {"1.2.3.4.", NULL},
        {"1..3.4", NULL},
        {"0001.2.3.4", NULL},
        {"::", "::"},
        {"::1", "::1"},
        {"2001:DB8::0:1", "2001:db8::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"fe80::", "fe80::"},
        {"::ffff:1.2.3.4", "1.2.3.4"},
        {"64:ff9b::1.2.3.4", "64:ff9b::102:304"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6:7", NULL},
        {"1:2:3:4:5:6:7:8:9", NULL},
        {"1:2:3:4:5:6:7:1.2.3.4", NULL},
        {"1::2::3", NULL},
        {":1", NULL},
        {"1:", NULL},
        {"::12345", NULL},
        {"g::", NULL},
        {"", NULL},
        {"10.0.0.10", "10.0.0.10"},
        {"10.0.0.010", NULL},
        {"10.0.0.00", NULL},
        {"::1.2.3.04", NULL},
        {"10.0.0.256", NULL},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct net_addr a;
        char buf[NET_ADDR_TEXT];
        bool ok = net_addr_parse(cases[i].in, strlen(cases[i].in), &a);
        if (ok != (cases[i].out != NULL))
            fail_msg("%s", cases[i].in);
        if (!ok)
            continue;
        net_addr_format(&a, buf);
        assert_string_equal(buf, cases[i].out);
    }
}

/* What was sent together comes back one by one, as it leaves. */
static void datagrams_to_a_group_part(void)
{
    struct net_addr group = ip6("ff15::77");
    uint32_t len;
    settle(); /* our address is known to be ours */
    (void)listen_at(IPPROTO_UDP, 2000);
    assert_int_equal(ip_group_join(&group, eth.index), 0);
    for (unsigned fail = 0; fail < 16; fail++) {
        drop_sent();
        send_together = 100;
        send_fail_nth = fail; /* nothing is lost but whole sends, or copies */
        int err = send_udp(&group, 250, false);
        send_fail_nth = 0;
        send_together = 0;
        assert_true(err == 0 || (fail && err == -ENOBUFS));
        fake_net_run();
        assert_true(delivered_count == 3 || (fail && delivered_count == 0));
        for (unsigned i = 0; i < delivered_count; i++) {
            uint32_t payload = i < 2 ? 100 : 50;
            const uint8_t *h = pkt_pull(delivered[i], delivered[i]->total);
            assert_int_equal(delivered[i]->total, 48 + payload);
            assert_int_equal(get_be16(h + 4), 8 + payload);
            assert_int_equal(get_be16(h + 44), 8 + payload);
            for (uint32_t at = 0; at < payload; at++)
                assert_int_equal(h[48 + at], (uint8_t)((i * 100 + at) * 3));
        }
        drop_delivered();
        for (unsigned i = 0; err == 0 && i < 3; i++) {
            assert_non_null(sent(&len));
            assert_int_equal(len, 14 + 48 + (i < 2 ? 100 : 50));
        }
    }
}

#define TESTS(X) \
    X(an_address_is_tried_first) \
    X(somebody_has_it) \
    X(somebody_answers) \
    X(neighbours_find_each_other) \
    X(discovery_from_afar_is_no_discovery) \
    X(a_router_advertises) \
    X(echo6) \
    X(errors_are_sent_and_heard) \
    X(fragments6) \
    X(a_whole_is_no_fragment) \
    X(extension_headers) \
    X(groups6) \
    X(datagrams_to_a_group_part) \
    X(noise6) \
    X(text)
WORLD_MAIN
