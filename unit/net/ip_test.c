/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/netdev.c kernel/drv/segment.c kernel/drv/gro.c
   kernel/drv/loopback.c kernel/lib/checksum.c kernel/lib/format.c kernel/lib/strbuf.c
   kernel/core/random.c kernel/net/classify.c kernel/net/mib.c kernel/net/neigh.c kernel/net/arp.c
   kernel/net/ifaddr.c kernel/net/route.c kernel/net/output.c kernel/net/icmp.c kernel/net/icmp4.c
   kernel/net/icmp6.c kernel/net/input.c kernel/net/fragment.c kernel/net/reass.c kernel/net/igmp.c
   kernel/net/nd6.c kernel/net/addrtext.c unit/net/fake_net.c */
/* ip_test.c - IPv4 between a wire that the test is and sockets that it is, too: ARP, routes,
 * fragments both ways, ICMP, bad frames, lo. Each test in a process of its own. */
#include "net/ip_world.h"

#include "net/dhcp.h"

void netconf_init(void)
{
}
void dhcp_input(const struct pkt *pkt, const struct classified *about)
{
    (void)pkt, (void)about;
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
void netconf_nameserver(const struct net_addr *address)
{
    (void)address;
}

static struct net_addr us, peer, far;

static void start(void)
{
    world_boot();
    settle();
    us = ip(10, 0, 0, 1);
    peer = ip(10, 0, 0, 9);
    far = ip(192, 0, 2, 5);
}

/* ---- ARP and neighbours ---- */

static void packets_wait_for_arp(void)
{
    uint32_t len;
    uint8_t *f;
    for (unsigned i = 0; i <= NEIGH_QUEUE_MAX; i++)
        assert_int_equal(send_udp(&peer, 10 + i, false), 0);
    f = sent(&len); /* one question, and no second one */
    assert_int_equal(len, 42);
    assert_memory_equal(f, ether_broadcast, 6);
    assert_memory_equal(f + 12, "\x08\x06\0\1\x08\0\6\4\0\1", 10);
    assert_memory_equal(f + 28, us.bytes + 12, 4);
    assert_memory_equal(f + 38, peer.bytes + 12, 4);
    assert_null(sent(&len));
    arp_from(9, 2, &us);
    for (unsigned i = 1; i <= NEIGH_QUEUE_MAX; i++) { /* the first gave way */
        f = sent(&len);
        assert_non_null(f);
        assert_memory_equal(f, peer_ether, 6);
        assert_memory_equal(f + 6, our_ether, 6);
        assert_int_equal(len, 14 + 28 + 10 + i);
        assert_int_equal(checksum_add(f + 14, 20, 0), 0xffff);
        uint32_t pseudo = ip_pseudo_sum(&us, &peer, IPPROTO_UDP, 18 + i);
        assert_int_equal(checksum_add(f + 34, 18 + i, checksum_fold(pseudo)), 0xffff);
    }
    assert_null(sent(&len));
    assert_int_equal(mib_read(MIB_IpExt_NeighDrops), 1);
}

static void nobody_answers(void)
{
    uint32_t len;
    struct flow *flow = listen_at(IPPROTO_UDP, 1000);
    assert_int_equal(send_udp(&peer, 10, false), 0);
    fake_net_advance(10 * NS_PER_SEC);
    for (int i = 0; i < 3; i++) {
        uint8_t *f = sent(&len);
        assert_memory_equal(f + 12, "\x08\x06", 2);
    }
    assert_null(sent(&len));
    assert_int_equal(error_count, 1);
    assert_int_equal(last_error.error, EHOSTUNREACH);
    assert_int_equal(last_error.key.remote_port, net16(2000));
    assert_true(flow->key.local_port == last_error.key.local_port);
    /* Then it is asked again. */
    assert_int_equal(send_udp(&peer, 10, false), 0);
    assert_non_null(sent(&len));
}

static void a_neighbour_grows_old(void)
{
    uint32_t len;
    struct neigh_view view;
    arp_from(9, 1, &us); /* asks us: so it is known, but not that it hears us */
    uint8_t *f = sent(&len);
    assert_memory_equal(f + 20, "\0\2", 2); /* our answer */
    assert_memory_equal(f + 22, our_ether, 6);
    assert_memory_equal(f + 32, peer_ether, 6);
    assert_int_equal(neigh_list(&view, 0, 1), 1);
    assert_int_equal(view.state, NEIGH_STALE);
    assert_int_equal(send_udp(&peer, 10, false), 0);
    assert_memory_equal(sent(&len), peer_ether, 6);
    neigh_list(&view, 0, 1);
    assert_int_equal(view.state, NEIGH_DELAY);
    fake_net_advance(5 * NS_PER_SEC);
    f = sent(&len);
    assert_memory_equal(f, peer_ether, 6); /* the probe goes to it alone */
    assert_memory_equal(f + 12, "\x08\x06", 2);
    arp_from(9, 2, &us);
    neigh_list(&view, 0, 1);
    assert_int_equal(view.state, NEIGH_REACHABLE);
    fake_net_advance(31 * NS_PER_SEC);
    neigh_list(&view, 0, 1);
    assert_int_equal(view.state, NEIGH_STALE);
    assert_int_equal(send_udp(&peer, 10, false), 0);
    struct ip_route route = {0};
    assert_int_equal(route_lookup(&route, &peer, NULL, 0), 0);
    route_confirm(&route); /* the transport has had an answer */
    route_release(&route);
    drop_sent();
    fake_net_advance(6 * NS_PER_SEC);
    neigh_list(&view, 0, 1);
    assert_int_equal(view.state, NEIGH_REACHABLE);
    assert_null(sent(&len));
    assert_int_equal(neigh_remove(&eth, &peer), 0);
    assert_int_equal(neigh_remove(&eth, &peer), -ENOENT);
}

static void arp_of_strangers(void)
{
    uint32_t len;
    struct neigh_view views[4];
    struct net_addr other = ip(10, 0, 0, 77);
    arp_from(9, 1, &other); /* is not for us: no entry */
    arp_from(9, 2, &other);
    arp_from(9, 2, &us); /* an answer to what nobody asked */
    assert_int_equal(neigh_list(views, 0, 4), 0);
    assert_null(sent(&len));
    arp_from(1, 2, &other); /* our own address: it is defended */
    assert_memory_equal(sent(&len) + 20, "\0\1", 2);
    uint8_t bad[60] = {0};
    memcpy(bad + 12, "\x08\x06\0\1\x08\0\6\5\0\1", 10);
    memset(bad, 0xff, 6);
    for (uint32_t n = 14; n < sizeof bad; n++)
        receive(bad, n, 0);
    assert_int_equal(mib_read(MIB_IpExt_InArpBad), 46);
    assert_int_equal(neigh_list(views, 0, 4), 0);
}

static void a_scan_costs_no_more_than_the_limits(void)
{
    struct neigh_view view;
    const struct ifaddr_info info = {.dev = &eth, .address = ip(10, 9, 0, 1), .prefix = 16};
    assert_int_equal(ifaddr_add(&info), 0);
    unsigned full = 0;
    for (unsigned i = 2; i < 3000; i++) {
        struct net_addr to = ip(10, 9, i / 256, i % 256);
        for (int twice = 0; twice < 2; twice++) {
            int err = send_udp(&to, 10, false);
            assert_true(err == 0 || err == -ENOBUFS);
            full += err != 0;
        }
        drop_sent();
    }
    assert_true(full > 500);
    assert_true(owner_get(OWNER_PACKET).objects <= NEIGH_QUEUE_TOTAL * 2);
    assert_int_equal(neigh_list(&view, NEIGH_MAX - 1, 1), 1);
    assert_int_equal(neigh_list(&view, NEIGH_MAX, 1), 0);
    for (int i = 0; i < 8; i++) {
        fake_net_run();
        drop_sent();
    }
    neigh_flush(&eth);
    assert_int_equal(neigh_list(&view, 0, 1), 0);
}

/* ---- routes ---- */

static void routes_are_found(void)
{
    struct ip_route route = {0};
    struct route_entry e = {.dest = net_addr_any_v4, .type = ROUTE_UNICAST, .gateway = peer};
    assert_int_equal(route_lookup(&route, &far, NULL, 0), -ENETUNREACH);
    assert_int_equal(route_add(&e, false), 0);
    assert_int_equal(route_add(&e, false), -EEXIST);
    assert_int_equal(route_lookup(&route, &far, NULL, 0), 0);
    assert_true(net_addr_equal(&route.next_hop, &peer));
    assert_true(net_addr_equal(&route.source, &us));
    assert_ptr_equal(route.dev, &eth);
    assert_int_equal(route.mtu, 1500);
    assert_true(route_current(&route));
    struct route_entry host = {.dest = far, .prefix = 32, .type = ROUTE_UNREACHABLE, .metric = 5};
    assert_int_equal(route_add(&host, false), 0);
    assert_false(route_current(&route));
    assert_int_equal(route_lookup(&route, &far, NULL, 0), -EHOSTUNREACH);
    host.type = ROUTE_PROHIBIT;
    assert_int_equal(route_add(&host, true), 0);
    assert_int_equal(route_lookup(&route, &far, NULL, 0), -EACCES);
    host.metric = 4;
    host.type = ROUTE_UNICAST;
    host.gateway = ip(10, 0, 0, 8);
    assert_int_equal(route_add(&host, false), 0);
    assert_int_equal(route_lookup(&route, &far, NULL, 0), 0);
    assert_true(net_addr_equal(&route.next_hop, &host.gateway));
    assert_int_equal(route_remove(&host), 0);
    assert_int_equal(route_remove(&host), -ESRCH);
    struct net_addr lo = ip(127, 3, 4, 5);
    assert_int_equal(route_lookup(&route, &lo, NULL, 0), 0);
    assert_ptr_equal(route.dev, &loopback);
    assert_true(route.local);
    assert_int_equal(route_lookup(&route, &us, NULL, 0), 0);
    assert_ptr_equal(route.dev, &loopback);
    struct net_addr all = ip(255, 255, 255, 255), subnet = ip(10, 0, 0, 255);
    assert_int_equal(route_lookup(&route, &all, NULL, 0), 0);
    assert_true(route.broadcast);
    assert_int_equal(route_lookup(&route, &subnet, NULL, 0), 0);
    assert_true(route.broadcast && route.dev == &eth);
    assert_int_equal(route_lookup(&route, &peer, &far, 0), -EADDRNOTAVAIL);
    assert_int_equal(route_lookup(&route, &peer, &lo, 0), -EINVAL); /* RFC 1122, 3.2.1.3 (g) */
    assert_int_equal(route_lookup(&route, &peer, NULL, 77), -ENODEV);
    assert_int_equal(route_lookup(&route, &net_addr_any, NULL, 0), -ENETUNREACH);
    route_mtu_learn(&peer, 1400);
    assert_int_equal(route_lookup(&route, &peer, NULL, 0), 0);
    assert_int_equal(route.mtu, 1400);
    fake_net_advance(601 * NS_PER_SEC);
    assert_int_equal(route_lookup(&route, &peer, NULL, 0), 0);
    assert_int_equal(route.mtu, 1500);
    assert_int_equal(netdev_set_up(&eth, false), 0);
    assert_int_equal(route_lookup(&route, &peer, NULL, 0), -ENETUNREACH);
    e.gateway = ip(172, 16, 0, 1);
    assert_int_equal(route_add(&e, true), -ENETUNREACH);
    route_release(&route);
}

static void routes_as_a_model(void)
{
    struct route_entry all[40];
    unsigned count = 0;
    srand(3);
    for (unsigned step = 0; step < 1500; step++) {
        struct route_entry e = {
            .dest = ip(10, (unsigned)rand() % 4, (unsigned)rand() % 4 << 6, 0),
            .prefix = (uint8_t)(8 + rand() % 25),
            .type = ROUTE_UNICAST,
            .dev = &eth,
            .metric = (uint32_t)rand() % 3 + 1,
            .mtu = 1000 + step % 400,
        };
        if (count < 40 && rand() % 2) {
            int err = route_add(&e, false);
            if (err == 0) {
                for (unsigned bit = 96 + e.prefix; bit < 128; bit++)
                    e.dest.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
                all[count++] = e;
            }
        } else if (count) {
            unsigned i = (unsigned)rand() % count;
            assert_int_equal(route_remove(&all[i]), 0);
            all[i] = all[--count];
        }
        struct net_addr to = ip(10, (unsigned)rand() % 4, (unsigned)rand() % 256, 200);
        const struct route_entry *best = NULL;
        for (unsigned i = 0; i < count; i++)
            if (net_addr_match(&all[i].dest, &to, 96u + all[i].prefix) &&
                (!best || all[i].prefix > best->prefix ||
                 (all[i].prefix == best->prefix && all[i].metric < best->metric)))
                best = &all[i];
        struct ip_route route = {0};
        int err = route_lookup(&route, &to, NULL, 0);
        if (net_addr_match(&to, &us, 96 + 24)) {
            if (!best || best->prefix < 24)
                assert_int_equal(route.mtu, 1500);
        } else if (!best) {
            assert_int_equal(err, -ENETUNREACH);
        } else {
            assert_int_equal(err, 0);
            assert_int_equal(route.mtu, best->mtu);
        }
        route_release(&route);
        fake_net_run();
    }
}

/* ---- in and out ---- */

static void a_datagram_comes_to_its_flow(void)
{
    uint8_t f[200], m[100];
    struct flow *flow = listen_at(IPPROTO_UDP, 53);
    uint32_t n = frame4(f, &peer, &us, IPPROTO_UDP, 0, m, udp(m, 7, 53, "hello", 5, &peer, &us));
    memset(f + n, 0xee, 20); /* padding */
    for (uint32_t piece = 0; piece < 30; piece++) {
        receive(f, n + 20, piece);
        assert_int_equal(delivered_count, 1);
        struct pkt *pkt = delivered[0];
        assert_ptr_equal(delivered_to[0], flow);
        assert_int_equal(pkt->total, 33);
        assert_int_equal(pkt->data[0], 0x45);
        assert_ptr_equal(pkt->data, pkt->room + pkt->network);
        assert_int_equal(pkt->transport - pkt->network, 20);
        assert_memory_equal(pkt->room + pkt->link, our_ether, 6);
        assert_true(ip_checksum_ok(pkt, 20, 13, &peer, &us, IPPROTO_UDP));
        drop_delivered();
    }
    memcpy(f, peer_ether, 6); /* for somebody else on the wire */
    receive(f, n, 0);
    assert_int_equal(delivered_count, 0);
    assert_int_equal(mib_read(MIB_IpExt_InLinkOther), 1);
    n = frame4(f, &peer, &far, IPPROTO_UDP, 0, m, udp(m, 7, 53, "hello", 5, &peer, &far));
    receive(f, n, 0); /* not for us */
    n = frame4(f, &us, &us, IPPROTO_UDP, 0, m, udp(m, 53, 53, "hello", 5, &us, &us));
    receive(f, n, 0); /* from ourselves */
    assert_int_equal(delivered_count, 0);
    assert_int_equal(mib_read(MIB_IpExt_InNotForUs), 1);
    assert_int_equal(mib_read(MIB_Ip_InAddrErrors), 1);
}

/* A packet found its flow just before that had gone: what a closed port says is said then. */
static void a_late_datagram_is_answered(void)
{
    uint8_t f[200], m[100], *error;
    uint32_t len;
    arp_from(9, 1, &us);
    drop_sent();
    (void)listen_at(IPPROTO_UDP, 53);
    receive(f, frame4(f, &peer, &us, IPPROTO_UDP, 0, m, udp(m, 7, 53, "hello", 5, &peer, &us)), 0);
    flow_count = 0;
    (void)pkt_skip(delivered[0], 20); /* as TCP does */
    ip_input_again(delivered[--delivered_count]);
    fake_net_run();
    error = sent(&len);
    assert_true(error && memcmp(error + 34, "\3\3", 2) == 0); /* unreachable: port */
}

static void closed_ports_and_unknown_protocols(void)
{
    uint8_t f[600], m[500];
    uint32_t len;
    arp_from(9, 1, &us);
    drop_sent();
    memset(m + 8, 7, 400);
    uint32_t n = frame4(f, &peer, &us, IPPROTO_UDP, 0, m, udp(m, 7, 53, m + 8, 400, &peer, &us));
    receive(f, n, 0);
    uint8_t *a = sent(&len);
    assert_non_null(a);
    assert_int_equal(len, 14 + 20 + 8 + 428);
    assert_memory_equal(a + 34, "\3\3", 2);
    assert_int_equal(checksum_add(a + 34, len - 34, 0), 0xffff);
    assert_memory_equal(a + 42, f + 14, 428);
    f[14 + 20 + 8]++; /* a wrong checksum is not answered */
    receive(f, n, 0);
    assert_null(sent(&len));
    assert_int_equal(mib_read(MIB_Udp_InCsumErrors), 1);
    n = frame4(f, &peer, &us, 99, 0, m, 30);
    receive(f, n, 0);
    assert_memory_equal(sent(&len) + 34, "\3\2", 2);
    /* Never about a broadcast, an error, a later fragment, to nobody. */
    struct net_addr all = ip(10, 0, 0, 255), none = ip(224, 0, 0, 1);
    receive(f, frame4(f, &peer, &all, 99, 0, m, 30), 0);
    receive(f, frame4(f, &peer, &none, 99, 0, m, 30), 0);
    memset(m, 0, 40);
    m[0] = 3;
    put_sum(m, 36, 2, &peer, &us, IPPROTO_ICMP);
    receive(f, frame4(f, &peer, &us, IPPROTO_ICMP, 0, m, 36), 0);
    assert_null(sent(&len));
    /* 1000 a second, 50 at once. */
    for (int i = 0; i < 100; i++)
        receive(f, frame4(f, &peer, &us, 99, 0, m, 30), 0);
    assert_in_range(out_count - out_read, 40, 50);
    assert_true(mib_read(MIB_Icmp_OutRateLimitHost) >= 50);
}

static void echo(void)
{
    uint8_t f[1600], m[1500];
    uint32_t len;
    arp_from(9, 1, &us);
    drop_sent();
    for (unsigned i = 0; i < 1400; i++)
        m[i] = (uint8_t)i;
    m[0] = 8, m[1] = 0;
    put_sum(m, 1001, 2, &peer, &us, IPPROTO_ICMP);
    uint32_t n = frame4(f, &peer, &us, IPPROTO_ICMP, 0, m, 1001);
    receive(f, n, 100);
    uint8_t *a = sent(&len);
    assert_int_equal(len, n);
    assert_int_equal(a[34], 0);
    assert_int_equal(checksum_add(a + 34, 1001, 0), 0xffff);
    assert_memory_equal(a + 38, m + 4, 997);
    f[60]++;
    receive(f, n, 0);
    assert_null(sent(&len));
    struct net_addr all = ip(10, 0, 0, 255);
    receive(f, frame4(f, &peer, &all, IPPROTO_ICMP, 0, m, 1001), 0);
    assert_null(sent(&len));
    for (uint32_t cut = 0; cut < 8; cut++)
        receive(f, frame4(f, &peer, &us, IPPROTO_ICMP, 0, m, cut), 0);
    assert_null(sent(&len));
}

static void long_datagrams_become_fragments(void)
{
    uint32_t len, next = 0, bytes = 5000;
    uint8_t whole[6000];
    arp_from(9, 1, &us);
    drop_sent();
    assert_int_equal(send_udp(&peer, bytes, true), -EMSGSIZE);
    assert_int_equal(send_udp(&peer, 65508, false), -EMSGSIZE);
    assert_int_equal(send_udp(&peer, bytes, false), 0);
    for (unsigned i = 0; i < 4; i++) {
        uint8_t *f = sent(&len);
        assert_true(len <= 1514);
        assert_int_equal(get_be16(f + 16), len - 14);
        assert_int_equal(checksum_add(f + 14, 20, 0), 0xffff);
        assert_int_equal((get_be16(f + 20) & 0x1fff) * 8, next);
        assert_int_equal(get_be16(f + 20) & 0xe000, i < 3 ? 0x2000 : 0);
        assert_int_equal(get_be16(f + 18), get_be16(out[0]->data + 18));
        memcpy(whole + next, f + 34, len - 34);
        next += len - 34;
    }
    assert_int_equal(next, bytes + 8);
    uint32_t pseudo = ip_pseudo_sum(&us, &peer, IPPROTO_UDP, bytes + 8);
    assert_int_equal(checksum_add(whole, bytes + 8, checksum_fold(pseudo)), 0xffff);
    assert_int_equal(mib_read(MIB_Ip_FragCreates), 4);
}

static void fragments_become_datagrams(void)
{
    uint8_t f[2000], m[4000], data[3000];
    struct flow *flow = listen_at(IPPROTO_UDP, 53);
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 11);
    uint32_t total = udp(m, 7, 53, data, sizeof data, &peer, &us);
    static const unsigned orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {0, 2, 1}};
    for (unsigned o = 0; o < 4; o++) {
        for (unsigned i = 0; i < 3; i++) {
            uint32_t at = orders[o][i] * 1400, len = MIN(total - at, 1400u);
            assert_int_equal(delivered_count, 0);
            uint16_t field = (uint16_t)(at / 8 | (at + len < total ? 0x2000 : 0));
            uint32_t n = frame4(f, &peer, &us, IPPROTO_UDP, field, m + at, len);
            memset(f + n, 0xaa, 9);
            receive(f, n + 9, i * 50);
            if (i == 1)
                receive(f, n, 0); /* once more */
        }
        assert_int_equal(delivered_count, 1);
        struct pkt *pkt = delivered[0];
        assert_ptr_equal(delivered_to[0], flow);
        assert_int_equal(pkt->total, 20 + total);
        uint8_t got[4000];
        pkt_read(pkt, 0, got, pkt->total);
        assert_int_equal(checksum_add(got, 20, 0), 0xffff);
        assert_memory_equal(got + 20, m, total);
        assert_true(ip_checksum_ok(pkt, 20, total, &peer, &us, IPPROTO_UDP));
        drop_delivered();
    }
    assert_int_equal(mib_read(MIB_Ip_ReasmOKs), 4);
}

static void fragments_that_are_never_whole(void)
{
    uint8_t f[2000], m[1500] = {0};
    uint32_t len;
    arp_from(9, 1, &us);
    drop_sent();
    /* Overlap: all of it is gone. */
    receive(f, frame4(f, &peer, &us, IPPROTO_UDP, 0x2000, m, 800), 0);
    receive(f, frame4(f, &peer, &us, IPPROTO_UDP, 50, m, 800), 0);
    assert_int_equal(mib_read(MIB_IpExt_ReasmOverlaps), 1);
    assert_int_equal(owner_get(OWNER_PACKET).objects, 0);
    /* Beyond the end of any datagram; lengths that are no multiple of 8. */
    receive(f, frame4(f, &peer, &us, IPPROTO_UDP, 8191, m, 800), 0);
    receive(f, frame4(f, &peer, &us, IPPROTO_UDP, 0x2000, m, 801), 0);
    receive(f, frame4(f, &peer, &us, IPPROTO_UDP, 8189, m, 4), 0); /* one byte beyond it */
    assert_int_equal(mib_read(MIB_Ip_ReasmFails), 4);
    assert_int_equal(owner_get(OWNER_PACKET).objects, 0);
    receive(f, frame4(f, &peer, &us, IPPROTO_UDP, 8189, m, 3), 0);
    assert_int_equal(owner_get(OWNER_PACKET).objects, 1);
    fake_net_advance(31 * NS_PER_SEC);
    assert_int_equal(mib_read(MIB_Ip_ReasmTimeout), 1);
    drop_sent();
    assert_int_equal(owner_get(OWNER_PACKET).objects, 0);
    /* The first one waits; its sender is told in the end. */
    receive(f, frame4(f, &peer, &us, IPPROTO_UDP, 0x2000, m, 800), 0);
    fake_net_advance(31 * NS_PER_SEC);
    uint8_t *a = sent(&len);
    while (a && a[23] != IPPROTO_ICMP) /* the neighbour is probed, too */
        a = sent(&len);
    assert_non_null(a);
    assert_memory_equal(a + 34, "\13\1", 2);
    assert_int_equal(mib_read(MIB_Ip_ReasmTimeout), 2);
    drop_sent();
    assert_int_equal(owner_get(OWNER_PACKET).objects, 0);
}

/* What ends a UDP socket's call, and what does not. */
static void hard_and_soft_errors(void)
{
    uint8_t f[200], m[100] = {3}, *q = m + 8;
    (void)listen_at(IPPROTO_UDP, 1000);
    frame4(f, &us, &far, IPPROTO_UDP, 0, "\x03\xe8\0\x50\0\x08\0\0", 8);
    memcpy(q, f + 14, 28);
    for (uint8_t code = 0; code < 16; code++) {
        m[1] = code;
        put_sum(m, 36, 2, &peer, &us, IPPROTO_ICMP);
        receive(f, frame4(f, &peer, &us, IPPROTO_ICMP, 0, m, 36), 0);
        assert_int_equal(error_count, code + 1);
        assert_int_equal(last_error.hard, code == 2 || code == 3 || code == 5);
    }
}

static void icmp_errors_reach_their_flow(void)
{
    uint8_t f[200], m[100] = {0}, *q = m + 8;
    struct flow *flow = listen_at(IPPROTO_TCP, 1000);
    flow->hashed = true;
    flow->key = (struct flow_key){.local = us,
                                  .remote = far,
                                  .local_port = net16(1000),
                                  .remote_port = net16(80),
                                  .protocol = IPPROTO_TCP};
    frame4(f, &us, &far, IPPROTO_TCP, 0, "\x03\xe8\0\x50\1\2\3\4", 8);
    memcpy(q, f + 14, 28);
    static const struct {
        uint8_t type, code;
        uint16_t mtu;
        int error;
        uint32_t got;
    } cases[] = {
        {3, 0, 0, ENETUNREACH, 0},   {3, 1, 0, EHOSTUNREACH, 0},   {3, 2, 0, ENOPROTOOPT, 0},
        {3, 3, 0, ECONNREFUSED, 0},  {3, 4, 1280, EMSGSIZE, 1280}, {3, 13, 0, EHOSTUNREACH, 0},
        {11, 0, 0, EHOSTUNREACH, 0}, {12, 0, 0, EPROTO, 0},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        m[0] = cases[i].type, m[1] = cases[i].code;
        put_be16(m + 6, cases[i].mtu);
        put_sum(m, 36, 2, &peer, &us, IPPROTO_ICMP);
        receive(f, frame4(f, &peer, &us, IPPROTO_ICMP, 0, m, 36), 0);
        assert_int_equal(error_count, i + 1);
        assert_int_equal(last_error.error, cases[i].error);
        assert_int_equal(last_error.hard, cases[i].error != EMSGSIZE); /* TCP: all */
        assert_int_equal(last_error.mtu, cases[i].got);
        assert_int_equal(last_error.sequence, 0x01020304);
        assert_true(net_addr_equal(&last_error.offender, &peer));
    }
    /* TCP's path MTU is for TCP to believe. */
    assert_int_equal(error_count, 8);
    /* About a packet that is not ours, a fragment, too short, of no flow: nothing. */
    memcpy(q + 12, far.bytes + 12, 4);
    put_sum(m, 36, 2, &peer, &us, IPPROTO_ICMP);
    receive(f, frame4(f, &peer, &us, IPPROTO_ICMP, 0, m, 36), 0);
    memcpy(q + 12, us.bytes + 12, 4);
    put_be16(q + 6, 5);
    put_sum(m, 36, 2, &peer, &us, IPPROTO_ICMP);
    receive(f, frame4(f, &peer, &us, IPPROTO_ICMP, 0, m, 36), 0);
    put_be16(q + 6, 0);
    for (uint32_t n = 0; n < 36; n++) {
        put_sum(m, n < 8 ? 8 : n, 2, &peer, &us, IPPROTO_ICMP);
        receive(f, frame4(f, &peer, &us, IPPROTO_ICMP, 0, m, n), 0);
    }
    put_be16(q + 20, 1001);
    put_sum(m, 36, 2, &peer, &us, IPPROTO_ICMP);
    receive(f, frame4(f, &peer, &us, IPPROTO_ICMP, 0, m, 36), 0);
    assert_int_equal(error_count, 8);
}

/* UDP believes it at once: there is nothing to check it by. */
static void a_path_mtu_is_learned(void)
{
    uint8_t f[200], m[100] = {3, 4}, *q = m + 8;
    struct route_entry e = {.dest = net_addr_any_v4, .type = ROUTE_UNICAST, .gateway = peer};
    struct ip_route route = {0};
    assert_int_equal(route_add(&e, false), 0);
    (void)listen_at(IPPROTO_UDP, 1000);
    frame4(f, &us, &far, IPPROTO_UDP, 0, "\x03\xe8\0\x50\1\2\3\4", 8);
    memcpy(q, f + 14, 28);
    static const uint16_t told[] = {1300, 40}, then[] = {1300, 552};
    for (int i = 0; i < 2; i++) {
        put_be16(m + 6, told[i]);
        put_sum(m, 36, 2, &peer, &us, IPPROTO_ICMP);
        receive(f, frame4(f, &peer, &us, IPPROTO_ICMP, 0, m, 36), 0);
        assert_int_equal(route_lookup(&route, &far, NULL, 0), 0);
        assert_int_equal(route.mtu, then[i]);
    }
    route_release(&route);
}

static void bad_frames_are_dropped_and_counted(void)
{
    uint8_t f[300], m[200];
    (void)listen_at(IPPROTO_UDP, 53);
    uint32_t n = frame4(f, &peer, &us, IPPROTO_UDP, 0, m, udp(m, 7, 53, "hello", 5, &peer, &us));
    for (uint32_t cut = 0; cut < n; cut++)
        receive(f, cut, 0);
    assert_int_equal(delivered_count, 0);
    assert_int_equal(mib_read(MIB_IpExt_InTruncatedPkts), n);
    f[24] ^= 1;
    receive(f, n, 0);
    assert_int_equal(mib_read(MIB_IpExt_InCsumErrors), 1);
    /* Source routes and broken options. */
    static const uint8_t options[][4] = {
        {131, 4, 4, 0}, {137, 4, 4, 0}, {7, 9, 4, 0}, {7, 1, 1, 1}};
    for (unsigned i = 0; i < 4; i++) {
        uint8_t g[300];
        uint32_t len = udp(m + 4, 7, 53, "hello", 5, &peer, &us) + 4;
        memcpy(m, options[i], 4);
        n = frame4(g, &peer, &us, IPPROTO_UDP, 0, m, len);
        g[14] = 0x46;
        g[24] = g[25] = 0;
        uint16_t sum = (uint16_t)~checksum_add(g + 14, 24, 0);
        memcpy(g + 24, &sum, 2);
        receive(g, n, 0);
    }
    assert_int_equal(delivered_count, 0);
    assert_int_equal(mib_read(MIB_Ip_InHdrErrors), 4);
    srand(5);
    for (int i = 0; i < 20000; i++) { /* and noise */
        n = frame4(f, &peer, &us, (uint8_t)(rand() % 3 ? IPPROTO_ICMP : IPPROTO_UDP),
                   rand() % 4 ? 0 : (uint16_t)rand(), m, (uint32_t)rand() % 100);
        for (int k = rand() % 4; k > 0; k--)
            f[12 + rand() % 60] = (uint8_t)rand();
        if (rand() % 2) {
            f[24] = f[25] = 0;
            uint16_t sum = (uint16_t)~checksum_add(f + 14, 20, 0);
            memcpy(f + 24, &sum, 2);
        }
        receive(f, n, (uint32_t)rand() % 40);
        drop_sent();
        drop_delivered();
    }
    fake_net_advance(60 * NS_PER_SEC);
}

static void lo_delivers_in_the_senders_context(void)
{
    struct net_addr lo = ip(127, 0, 0, 1);
    uint32_t len;
    struct flow *flow = listen_at(IPPROTO_UDP, 2000);
    struct ip_route route = {0};
    assert_int_equal(route_lookup(&route, &lo, NULL, 0), 0);
    assert_int_equal(route.mtu, 65536);
    route_release(&route);
    assert_int_equal(send_udp(&lo, 30000, true), 0);
    assert_int_equal(delivered_count, 1); /* no work has run */
    assert_ptr_equal(delivered_to[0], flow);
    assert_int_equal(delivered[0]->total, 30028);
    assert_int_equal(delivered[0]->checksum, PKT_CHECKSUM_GOOD);
    drop_delivered();
    assert_int_equal(send_udp(&us, 20, false), 0); /* our own address by lo */
    assert_int_equal(delivered_count, 1);
    drop_delivered();
    /* A closed port: the error comes with the next work, not under the sender's lock. */
    flow->key.local_port = net16(1000);
    assert_int_equal(send_udp(&lo, 20, false), 0);
    assert_int_equal(error_count, 0);
    fake_net_run();
    assert_int_equal(error_count, 1);
    assert_int_equal(last_error.error, ECONNREFUSED);
    assert_null(sent(&len));
}

static void groups_and_broadcasts(void)
{
    uint8_t f[200], m[100];
    uint32_t len, n;
    struct net_addr group = ip(239, 1, 2, 3), all = ip(10, 0, 0, 255);
    struct flow *flow = listen_at(IPPROTO_UDP, 2000);
    n = frame4(f, &peer, &group, IPPROTO_UDP, 0, m, udp(m, 7, 2000, "hello", 5, &peer, &group));
    ether_of_group(&group, f);
    receive(f, n, 0);
    assert_int_equal(delivered_count, 0);
    assert_int_equal(ip_group_join(&group, eth.index), 0);
    assert_int_equal(ip_group_join(&group, eth.index), 0);
    uint8_t *r = sent(&len); /* one report: RFC 2236 */
    assert_memory_equal(r, "\x01\x00\x5e\x01\x02\x03", 6);
    assert_int_equal(r[38], 0x16);
    assert_int_equal(r[22], 1);
    assert_null(sent(&len));
    receive(f, n, 0);
    assert_int_equal(delivered_count, 1);
    assert_ptr_equal(delivered_to[0], flow);
    drop_delivered();
    struct route_entry e = {.dest = net_addr_any_v4, .type = ROUTE_UNICAST, .gateway = peer};
    assert_int_equal(route_add(&e, false), 0);
    assert_int_equal(send_udp(&group, 9, false), 0); /* a copy comes back */
    assert_memory_equal(sent(&len), "\x01\x00\x5e\x01\x02\x03", 6);
    assert_int_equal(delivered_count, 0);
    fake_net_run();
    assert_int_equal(delivered_count, 1);
    drop_delivered();
    assert_int_equal(send_udp(&all, 9, false), 0);
    assert_memory_equal(sent(&len), ether_broadcast, 6);
    fake_net_run();
    assert_int_equal(delivered_count, 1);
    drop_delivered();
    /* A router asks. */
    memset(m, 0, 8);
    m[0] = 0x11;
    put_sum(m, 8, 2, &peer, &us, IPPROTO_ICMP);
    struct net_addr hosts = ip(224, 0, 0, 1);
    n = frame4(f, &peer, &hosts, IPPROTO_IGMP, 0, m, 8);
    receive(f, n, 0);
    assert_int_equal(sent(&len)[38], 0x16);
    assert_int_equal(ip_group_leave(&group, eth.index), 0);
    assert_null(sent(&len));
    assert_int_equal(ip_group_leave(&group, eth.index), 0);
    assert_int_equal(sent(&len)[38], 0x17);
    assert_int_equal(ip_group_leave(&group, eth.index), -EADDRNOTAVAIL);
    assert_int_equal(ip_group_join(&peer, 0), -EINVAL);
}

static void addresses_come_and_go(void)
{
    struct ip_route route = {0};
    struct net_addr second = ip(10, 0, 0, 2), other = ip(10, 7, 0, 1), there = ip(10, 7, 1, 1);
    struct ifaddr_info info = {.dev = &eth, .address = second, .prefix = 24};
    assert_int_equal(ifaddr_add(&info), 0);
    assert_int_equal(ifaddr_add(&info), -EEXIST);
    info.prefix = 33;
    assert_int_equal(ifaddr_add(&info), -EINVAL);
    info = (struct ifaddr_info){.dev = &eth, .address = other, .prefix = 16};
    assert_int_equal(ifaddr_add(&info), 0);
    assert_true(ip_is_local(&other, 0));
    assert_false(ip_is_local(&other, loopback.index));
    assert_int_equal(route_lookup(&route, &there, NULL, 0), 0);
    assert_true(net_addr_equal(&route.source, &other));
    assert_int_equal(route_lookup(&route, &peer, &second, 0), 0);
    assert_true(net_addr_equal(&route.source, &second));
    assert_int_equal(ifaddr_remove(&eth, &us), 0);
    assert_int_equal(ifaddr_remove(&eth, &us), -EADDRNOTAVAIL);
    assert_false(route_current(&route));
    assert_int_equal(route_lookup(&route, &peer, NULL, 0), 0); /* the subnet is still there */
    assert_true(net_addr_equal(&route.source, &second));
    assert_int_equal(ifaddr_remove(&eth, &second), 0);
    assert_int_equal(route_lookup(&route, &peer, NULL, 0), -ENETUNREACH);
    assert_int_equal(ifaddr_remove(&eth, &other), 0);
    assert_int_equal(route_lookup(&route, &there, NULL, 0), -ENETUNREACH);
    for (unsigned n = 1; n < 4; n++) {
        info.address = us;
        alloc_fail_nth(n);
        int err = ifaddr_add(&info);
        alloc_fail_nth(0);
        assert_true(err == -ENOMEM || err == 0);
        assert_true(ip_is_local(&us, 0) == (err == 0));
    }
    route_release(&route);
}

static void without_memory(void)
{
    uint8_t f[200], m[100] = {8};
    struct flow *flow = listen_at(IPPROTO_UDP, 2000);
    (void)flow;
    arp_from(9, 1, &us);
    put_sum(m, 30, 2, &peer, &us, IPPROTO_ICMP);
    for (unsigned n = 1; n < 20; n++) {
        send_fail_nth = n;
        int err = send_udp(&peer, 4000, false);
        assert_true(err == 0 || err == -ENOBUFS || err == -ENOMEM);
        send_fail_nth = 0;
        receive_fail_nth = n;
        receive(f, frame4(f, &peer, &us, IPPROTO_ICMP, 0, m, 30), 0);
        receive_fail_nth = 0;
        drop_sent();
        assert_int_equal(owner_get(OWNER_PACKET).objects, 0);
    }
}

#define TESTS(X) \
    X(packets_wait_for_arp) \
    X(nobody_answers) \
    X(a_neighbour_grows_old) \
    X(arp_of_strangers) \
    X(a_scan_costs_no_more_than_the_limits) \
    X(routes_are_found) \
    X(routes_as_a_model) \
    X(a_datagram_comes_to_its_flow) \
    X(closed_ports_and_unknown_protocols) \
    X(a_late_datagram_is_answered) \
    X(echo) \
    X(long_datagrams_become_fragments) \
    X(fragments_become_datagrams) \
    X(fragments_that_are_never_whole) \
    X(icmp_errors_reach_their_flow) \
    X(hard_and_soft_errors) \
    X(a_path_mtu_is_learned) \
    X(bad_frames_are_dropped_and_counted) \
    X(lo_delivers_in_the_senders_context) \
    X(groups_and_broadcasts) \
    X(addresses_come_and_go) \
    X(without_memory)

WORLD_MAIN
