/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/netdev.c kernel/drv/segment.c kernel/drv/gro.c
   kernel/drv/loopback.c kernel/lib/checksum.c kernel/lib/format.c kernel/lib/strbuf.c
   kernel/core/random.c kernel/net/classify.c kernel/net/mib.c kernel/net/neigh.c kernel/net/arp.c
   kernel/net/ifaddr.c kernel/net/route.c kernel/net/output.c kernel/net/icmp.c kernel/net/icmp4.c
   kernel/net/icmp6.c kernel/net/input.c kernel/net/fragment.c kernel/net/reass.c kernel/net/igmp.c
   kernel/net/nd6.c kernel/net/addrtext.c kernel/net/dhcp.c kernel/net/dhcpmsg.c unit/net/fake_net.c
 */
/* dhcp_test.c - the DHCP client with a server that the test is: lease, renewal, rebinding, the end
 * of a lease, refusals, silence, lies; and what is read of a message. */
#include "net/ip_world.h"

#include "net/dhcp.h"

static struct net_addr learned[8];
static unsigned learned_count;
static char learned_domain[64];
void netconf_init(void)
{
}
void netconf_nameserver(const struct net_addr *address)
{
    learned[learned_count++ % 8] = *address;
}
void netconf_domain(const char *name)
{
    strcpy(learned_domain, name);
}

static struct net_addr server, ours, any;

static void start(void)
{
    world_boot();
    server = ip(10, 0, 0, 2);
    ours = ip(10, 0, 0, 50);
    any = ip(0, 0, 0, 0);
    settle();
    struct net_addr first = ip(10, 0, 0, 1);
    assert_int_equal(ifaddr_remove(&eth, &first), 0);
    dhcp_start(&eth);
}

/* ---- what the client sends ---- */

static const uint8_t *find(const uint8_t *m, uint8_t code)
{
    for (const uint8_t *o = m + 240; *o != 255; o += o[1] + 2)
        if (*o == code)
            return o;
    return NULL;
}

/* The next DHCP message: its type; 0: none. *frame: the whole. */
static uint8_t next_message(uint8_t **frame, uint8_t **m)
{
    uint32_t len;
    uint8_t *f;
    while ((f = sent(&len))) {
        if (get_be16(f + 12) != ETHERTYPE_IP4 || f[23] != IPPROTO_UDP)
            continue;
        *frame = f;
        *m = f + 42;
        assert_int_equal(get_be16(f + 34), 68);
        assert_int_equal(get_be16(f + 36), 67);
        uint32_t from, to;
        memcpy(&from, f + 26, 4);
        memcpy(&to, f + 30, 4);
        struct net_addr a = net_addr_v4(from), b = net_addr_v4(to);
        uint32_t pseudo = ip_pseudo_sum(&a, &b, IPPROTO_UDP, len - 34);
        assert_int_equal(checksum_add(f + 34, len - 34, checksum_fold(pseudo)), 0xffff);
        assert_memory_equal(*m, "\1\1\6\0", 4);
        assert_memory_equal(*m + 28, our_ether, 6);
        return find(*m, 53)[2];
    }
    return 0;
}

/* ---- what the server sends ---- */

static uint8_t *put(uint8_t *at, uint8_t code, uint8_t len, const void *value)
{
    *at++ = code;
    *at++ = len;
    memcpy(at, value, len);
    return at + len;
}
static uint32_t lease_s = 3600;
static uint32_t message(uint8_t *m, uint8_t type, uint32_t xid)
{
    uint8_t lease[4], mtu[2];
    memset(m, 0, 400);
    memcpy(m, "\2\1\6", 3);
    put_be32(m + 4, xid);
    memcpy(m + 16, ours.bytes + 12, 4);
    memcpy(m + 28, our_ether, 6);
    memcpy(m + 236, "\x63\x82\x53\x63", 4);
    put_be32(lease, lease_s);
    put_be16(mtu, 1400);
    uint8_t *at = put(m + 240, 53, 1, &type);
    at = put(at, 54, 4, server.bytes + 12);
    at = put(at, 51, 4, lease);
    at = put(at, 1, 4, "\xff\xff\xff\0");
    at = put(at, 3, 4, server.bytes + 12);
    at = put(at, 6, 8, "\x0a\0\0\3\x0a\0\0\4");
    at = put(at, 15, 11, "example.org");
    at = put(at, 26, 2, mtu);
    *at++ = 255;
    return (uint32_t)(at - m);
}
static void reply(uint8_t type, uint32_t xid, const struct net_addr *to)
{
    uint8_t f[700], m[400], d[420];
    uint32_t n = message(m, type, xid);
    n = frame4(f, &server, to, IPPROTO_UDP, 0, d, udp(d, 67, 68, m, n, &server, to));
    if (to->bytes[12] == 255)
        memset(f, 0xff, 6);
    receive(f, n, 0);
}
static struct net_addr all(void)
{
    return ip(255, 255, 255, 255);
}
static uint32_t xid_of(const uint8_t *m)
{
    return get_be32(m + 4);
}

/* RFC 5227, 2.1.1: who asks tells nothing of itself. */
static void is_probe(void)
{
    uint32_t len;
    uint8_t *f = sent(&len);
    assert_non_null(f);
    assert_memory_equal(f, ether_broadcast, 6);
    assert_memory_equal(f + 12, "\x08\x06", 2);
    assert_memory_equal(f + 28, "\0\0\0\0", 4);
    assert_memory_equal(f + 38, ours.bytes + 12, 4);
}

/* To a bound client. */
static void get_lease(void)
{
    uint8_t *f, *m;
    struct net_addr to = all();
    assert_int_equal(next_message(&f, &m), DHCP_DISCOVER);
    reply(DHCP_OFFER, xid_of(m), &to);
    assert_int_equal(next_message(&f, &m), DHCP_REQUEST);
    is_probe();
    assert_memory_equal(find(m, 50) + 2, ours.bytes + 12, 4);
    assert_memory_equal(find(m, 54) + 2, server.bytes + 12, 4);
    assert_false(ip_is_local(&ours, 0));
    reply(DHCP_ACK, xid_of(m), &ours);   /* to the address that is not ours yet */
    assert_false(ip_is_local(&ours, 0)); /* not before it was probed */
    fake_net_advance(50 * NS_PER_MS);
    assert_true(ip_is_local(&ours, 0));
}

static void a_lease(void)
{
    struct ip_route route = {0};
    struct net_addr far = ip(192, 0, 2, 1), dns = ip(10, 0, 0, 3);
    uint8_t *f, *m;
    uint32_t len;
    get_lease();
    assert_true(dhcp_wait(fake_now_ns, fake_now_ns));
    assert_int_equal(route_lookup(&route, &far, NULL, 0), 0);
    assert_true(net_addr_equal(&route.next_hop, &server));
    assert_true(net_addr_equal(&route.source, &ours));
    assert_int_equal(route.mtu, 1400);
    route_release(&route);
    assert_int_equal(learned_count, 2);
    assert_true(net_addr_equal(&learned[0], &dns));
    assert_string_equal(learned_domain, "example.org");
    is_probe();
    f = sent(&len); /* announced */
    assert_memory_equal(f + 12, "\x08\x06", 2);
    assert_memory_equal(f + 28, ours.bytes + 12, 4);
    assert_memory_equal(f + 38, ours.bytes + 12, 4);
    (void)m;
}

static void it_asks_to_all_from_nobody(void)
{
    uint8_t *f, *m;
    assert_int_equal(next_message(&f, &m), DHCP_DISCOVER);
    assert_memory_equal(f, ether_broadcast, 6);
    assert_memory_equal(f + 26, "\0\0\0\0\xff\xff\xff\xff", 8);
    assert_int_equal(m[10], 0x80);
    assert_memory_equal(m + 12, "\0\0\0\0", 4);
    /* Silence: again and again, less and less often. */
    unsigned asked = 0;
    for (unsigned s = 0; s < 600; s++) {
        fake_net_advance(NS_PER_SEC);
        while (next_message(&f, &m) == DHCP_DISCOVER)
            asked++;
        drop_sent();
    }
    assert_in_range(asked, 12, 20);
    uint64_t now = fake_now_ns;
    assert_false(dhcp_wait(now + 2 * NS_PER_SEC, now + 60 * NS_PER_SEC));
    assert_true(fake_now_ns < now + 3 * NS_PER_SEC);
    drop_sent();
}

static void arp_claim(const struct net_addr *from, const struct net_addr *target)
{
    uint8_t f[42] = {0};
    memcpy(f, ether_broadcast, 6);
    memcpy(f + 6, peer_ether, 6);
    put_be16(f + 12, ETHERTYPE_ARP);
    memcpy(f + 14, "\0\1\10\0\6\4\0\1", 8);
    memcpy(f + 22, peer_ether, 6);
    memcpy(f + 28, from->bytes + 12, 4);
    memcpy(f + 38, target->bytes + 12, 4);
    receive(f, sizeof f, 0);
}

/* RFC 2131, 3.1 item 5; 4.4.1: who has the address answers the probe, or probes it, too. */
static void an_address_in_use_is_declined(void)
{
    uint8_t *f, *m;
    struct net_addr to = all();
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(next_message(&f, &m), DHCP_DISCOVER);
        reply(DHCP_OFFER, xid_of(m), &to);
        assert_int_equal(next_message(&f, &m), DHCP_REQUEST);
        if (round == 0) /* before the server has answered */
            arp_claim(&ours, &ours);
        reply(DHCP_ACK, xid_of(m), &ours);
        if (round == 1)
            arp_claim(&any, &ours); /* another's probe */
        if (round == 2)
            break; /* of its own nothing is left to be heard */
        fake_net_advance(50 * NS_PER_MS);
        assert_false(ip_is_local(&ours, 0));
        assert_int_equal(next_message(&f, &m), DHCP_DECLINE);
        assert_memory_equal(f + 26, "\0\0\0\0\xff\xff\xff\xff", 8);
        assert_memory_equal(find(m, 50) + 2, ours.bytes + 12, 4);
        assert_memory_equal(find(m, 54) + 2, server.bytes + 12, 4);
        assert_null(find(m, 55));
        fake_net_advance(9900 * NS_PER_MS);
        assert_int_equal(next_message(&f, &m), 0);
        fake_net_advance(200 * NS_PER_MS);
    }
    struct net_addr other = ip(10, 0, 0, 51);
    arp_claim(&other, &ours); /* somebody looks for it: that is no claim */
    fake_net_advance(50 * NS_PER_MS);
    assert_true(ip_is_local(&ours, 0));
    drop_sent();
}

static void a_lease_is_renewed(void)
{
    uint8_t *f, *m;
    lease_s = 1000;
    get_lease();
    drop_sent();
    fake_net_advance(499 * NS_PER_SEC);
    assert_int_equal(next_message(&f, &m), 0);
    arp_from(2, 1, &ours);
    drop_sent();
    fake_net_advance(2 * NS_PER_SEC);
    assert_int_equal(next_message(&f, &m), DHCP_REQUEST);
    assert_memory_equal(f, peer_ether, 6); /* to the server alone */
    assert_memory_equal(f + 26, ours.bytes + 12, 4);
    assert_memory_equal(f + 30, server.bytes + 12, 4);
    assert_memory_equal(m + 12, ours.bytes + 12, 4);
    assert_null(find(m, 50));
    assert_null(find(m, 54));
    reply(DHCP_ACK, xid_of(m), &ours);
    drop_sent();
    fake_net_advance(498 * NS_PER_SEC);
    assert_int_equal(next_message(&f, &m), 0);
    /* The server is gone: at T2 all are asked, at the end the address goes. */
    fake_net_advance(370 * NS_PER_SEC);
    drop_sent();
    fake_net_advance(10 * NS_PER_SEC);
    assert_int_equal(next_message(&f, &m), DHCP_REQUEST);
    assert_memory_equal(f, ether_broadcast, 6);
    assert_memory_equal(f + 26, ours.bytes + 12, 4);
    assert_true(ip_is_local(&ours, 0));
    drop_sent();
    fake_net_advance(130 * NS_PER_SEC);
    assert_false(ip_is_local(&ours, 0));
    drop_sent();
    fake_net_advance(70 * NS_PER_SEC);
    assert_int_equal(next_message(&f, &m), DHCP_DISCOVER);
}

static void another_server_takes_over(void)
{
    uint8_t *f, *m;
    lease_s = 1000;
    get_lease();
    fake_net_advance(876 * NS_PER_SEC);
    uint8_t type, last = 0, *lf = NULL, *lm = NULL;
    while ((type = next_message(&f, &m)))
        last = type, lf = f, lm = m;
    assert_int_equal(last, DHCP_REQUEST);
    assert_memory_equal(lf, ether_broadcast, 6);
    struct net_addr before = ours;
    ours = ip(10, 0, 0, 60);
    reply(DHCP_ACK, xid_of(lm), &before);
    assert_true(ip_is_local(&ours, 0));
    assert_false(ip_is_local(&before, 0));
}

static void refusals(void)
{
    uint8_t *f, *m;
    struct net_addr to = all();
    assert_int_equal(next_message(&f, &m), DHCP_DISCOVER);
    uint32_t xid = xid_of(m);
    reply(DHCP_ACK, xid, &to); /* nobody asked for that */
    reply(DHCP_NAK, xid, &to);
    reply(DHCP_OFFER, xid + 1, &to);
    assert_int_equal(next_message(&f, &m), 0);
    reply(DHCP_OFFER, xid, &to);
    assert_int_equal(next_message(&f, &m), DHCP_REQUEST);
    reply(DHCP_NAK, xid, &to);
    assert_int_equal(next_message(&f, &m), DHCP_DISCOVER);
    assert_true(xid_of(m) != xid);
    reply(DHCP_OFFER, xid_of(m), &to);
    assert_int_equal(next_message(&f, &m), DHCP_REQUEST);
    /* It does not answer any more: from the beginning, after some tries. */
    unsigned requests = 0;
    uint8_t type = 0;
    for (unsigned s = 0; s < 320 && type != DHCP_DISCOVER; s++) {
        fake_net_advance(NS_PER_SEC / 8);
        type = next_message(&f, &m);
        requests += type == DHCP_REQUEST;
    }
    assert_int_equal(type, DHCP_DISCOVER);
    assert_int_equal(requests, 3);
    /* Addresses that no host has. */
    struct net_addr good = ours, bad[] = {ip(0, 0, 0, 0), ip(127, 0, 0, 1), ip(224, 0, 0, 1),
                                          ip(255, 255, 255, 255)};
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        ours = bad[i];
        reply(DHCP_OFFER, xid_of(m), &to);
        uint8_t *f2, *m2;
        assert_int_equal(next_message(&f2, &m2), 0);
    }
    ours = good;
    drop_sent();
}

static void messages_are_read(void)
{
    uint8_t m[400], copy[400];
    struct dhcp_message d;
    lease_s = 77;
    uint32_t n = message(m, DHCP_ACK, 5);
    assert_true(dhcp_parse(m, n, &d));
    assert_int_equal(d.type, DHCP_ACK);
    assert_int_equal(d.prefix, 24);
    assert_int_equal(d.lease_s, 77);
    assert_int_equal(d.server_count, 2);
    assert_int_equal(d.mtu, 1400);
    for (uint32_t cut = 0; cut < 243; cut++)
        assert_false(dhcp_parse(m, cut, &d));
    for (uint32_t cut = 243; cut < n; cut++)
        (void)!dhcp_parse(m, cut, &d);
    /* Classless routes: 0.0.0.0/0 via 10.0.0.7, 10.17.0.0/16 via 10.0.0.8; one that is cut off. */
    uint8_t *at = put(m + n - 1, 121, 5 + 7 + 3, "\0\x0a\0\0\7\x10\x0a\x11\x0a\0\0\x8\x20\1\2");
    *at++ = 255;
    assert_true(dhcp_parse(m, (size_t)(at - m), &d));
    assert_int_equal(d.route_count, 2);
    assert_int_equal(d.routes[1].prefix, 16);
    assert_memory_equal(&d.routes[1].dest, "\x0a\x11\0\0", 4);
    assert_memory_equal(&d.routes[1].gateway, "\x0a\0\0\x8", 4);
    /* Overloaded fields: RFC 2132, 9.3. */
    n = message(m, DHCP_ACK, 5);
    memcpy(m + 240, "\x34\1\3\xff", 4);
    memcpy(m + 108, "\x35\1\2\xff", 4);
    memcpy(m + 44, "\3\4\1\2\3\4\xff", 7);
    assert_true(dhcp_parse(m, n, &d));
    assert_int_equal(d.type, DHCP_OFFER);
    assert_memory_equal(&d.gateway, "\1\2\3\4", 4);
    /* A mask with holes, a name for a file of its own. */
    n = message(m, DHCP_ACK, 5);
    for (uint8_t *p = m; p < m + n - 4; p++) {
        if (memcmp(p, "\1\4\xff\xff", 4) == 0)
            p[3] = 0x0f;
        if (memcmp(p, "example.org", 11) == 0)
            p[3] = '\n';
    }
    assert_true(dhcp_parse(m, n, &d));
    assert_int_equal(d.prefix, 0);
    assert_string_equal(d.domain, "");
    srand(4);
    for (int i = 0; i < 100000; i++) {
        n = message(copy, DHCP_ACK, 5);
        for (int k = rand() % 6; k >= 0; k--)
            copy[rand() % 2 ? 240 + (unsigned)rand() % 60 : (unsigned)rand() % n] = (uint8_t)rand();
        (void)!dhcp_parse(copy, 240 + (unsigned)rand() % (n - 240), &d);
        assert_true(d.server_count <= DHCP_SERVERS_MAX && d.route_count <= DHCP_ROUTES_MAX &&
                    d.prefix <= 32);
    }
    drop_sent();
}

#define TESTS(X) \
    X(a_lease) \
    X(it_asks_to_all_from_nobody) \
    X(an_address_in_use_is_declined) \
    X(a_lease_is_renewed) \
    X(another_server_takes_over) \
    X(refusals) \
    X(messages_are_read)
WORLD_MAIN
