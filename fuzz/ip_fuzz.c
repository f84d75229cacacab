/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/netdev.c kernel/drv/segment.c kernel/drv/gro.c
   kernel/drv/loopback.c kernel/lib/checksum.c kernel/lib/format.c kernel/lib/strbuf.c
   kernel/core/random.c kernel/net/classify.c kernel/net/mib.c kernel/net/neigh.c kernel/net/arp.c
   kernel/net/ifaddr.c kernel/net/route.c kernel/net/output.c kernel/net/icmp.c kernel/net/icmp4.c
   kernel/net/icmp6.c kernel/net/input.c kernel/net/fragment.c kernel/net/reass.c kernel/net/igmp.c
   kernel/net/nd6.c kernel/net/addrtext.c kernel/net/dhcp.c kernel/net/dhcpmsg.c unit/net/fake_net.c
 */
/* length: 1500 */
/* covers: kernel/net/input.c kernel/net/classify.c kernel/net/icmp.c kernel/net/icmp4.c
   kernel/net/icmp6.c kernel/net/arp.c kernel/net/nd6.c kernel/net/fragment.c kernel/net/igmp.c
   kernel/net/neigh.c */
/*
 * ip_fuzz.c - Ethernet frames into a stack with addresses, sockets, a group, a DHCP client that
 * waits, and packets of its own on the way. Each frame has a byte before it that says what is put
 * right (Ethernet's address and type, IPv4's checksum, the transport's), so that most get far. In
 * the end time passes, and no packet may be left; what a socket gets keeps what ip.h says.
 */
#include "fuzz.h"
#include "net/ip_world.h"

#include "net/dhcp.h"

enum { FIX_ETHER = 1, FIX_IP6 = 2, FIX_HEADER = 4, FIX_TRANSPORT = 8, PIECES = 16 };

void netconf_init(void)
{
}
void netconf_nameserver(const struct net_addr *address)
{
    (void)address;
}
void netconf_domain(const char *name)
{
    (void)name;
}

static struct net_addr ours6, peer4, peer6;

static void fix_transport(uint8_t *ip_header, uint32_t len, bool v6)
{
    struct net_addr from, to;
    uint32_t at = v6 ? 40 : (ip_header[0] & 0xf) * 4u, word;
    uint8_t protocol = ip_header[v6 ? 6 : 9];
    if (v6 && len >= 48 && (protocol == 0 || protocol == 60)) {
        protocol = ip_header[40];
        at += (ip_header[41] + 1u) * 8;
    }
    if (v6) {
        memcpy(&from, ip_header + 8, 16);
        memcpy(&to, ip_header + 24, 16);
    } else {
        memcpy(&word, ip_header + 12, 4);
        from = net_addr_v4(word);
        memcpy(&word, ip_header + 16, 4);
        to = net_addr_v4(word);
    }
    uint32_t field = protocol == IPPROTO_TCP ? 16 : protocol == IPPROTO_UDP ? 6 : 2;
    if (at + field + 2 <= len)
        put_sum(ip_header + at, len - at, field, &from, &to, protocol);
}

static void fix(uint8_t *f, uint32_t len, uint8_t how)
{
    bool v6 = how & FIX_IP6;
    if (how & FIX_ETHER && len >= 14) {
        if (!(f[0] & 1))
            memcpy(f, our_ether, 6);
        put_be16(f + 12, v6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4);
    }
    if (len < (v6 ? 54u : 34u))
        return;
    uint8_t *h = f + 14;
    if (how & FIX_HEADER && v6) {
        h[0] = 0x60;
        put_be16(h + 4, (uint16_t)(len - 54));
        if (h[24] != 0xff)
            memcpy(h + 24, &ours6, 16);
    } else if (how & FIX_HEADER) {
        if (h[0] >> 4 != 4 || (h[0] & 0xf) < 5 || (h[0] & 0xf) * 4u > len - 14)
            h[0] = 0x45;
        put_be16(h + 2, (uint16_t)(len - 14));
        if (h[16] < 224)
            memcpy(h + 16, "\x0a\0\0\1", 4);
    }
    if (how & FIX_TRANSPORT)
        fix_transport(h, len - 14, v6);
    if (how & FIX_HEADER && !v6) {
        h[10] = h[11] = 0;
        uint16_t sum = (uint16_t)~checksum_add(h, (h[0] & 0xf) * 4u, 0);
        memcpy(h + 10, &sum, 2);
    }
}

static void check_delivered(void)
{
    for (unsigned i = 0; i < delivered_count; i++) {
        struct pkt *pkt = delivered[i];
        uint32_t at = pkt->transport - pkt->network;
        FUZZ_CHECK(pkt->data == pkt->room + pkt->network && pkt->link <= pkt->network);
        FUZZ_CHECK(at < pkt->total && at + 8 <= pkt->len);
        FUZZ_CHECK(pkt->data[0] >> 4 == 4 || pkt->data[0] >> 4 == 6);
    }
    drop_delivered();
}

static void boot(void)
{
    world_boot();
    struct net_addr group = ip(239, 1, 2, 3);
    struct route_entry e = {
        .dest = net_addr_any_v4, .type = ROUTE_UNICAST, .gateway = ip(10, 0, 0, 9)};
    ours6 = ip6("fe80::ff:fe00:1");
    peer4 = ip(10, 0, 0, 9);
    peer6 = ip6("fe80::9");
    FUZZ_CHECK(route_add(&e, false) == 0);
    FUZZ_CHECK(ip_group_join(&group, eth.index) == 0);
    listen_at(IPPROTO_UDP, 53);
    listen_at(IPPROTO_TCP, 80);
    listen_at(IPPROTO_UDP, 1000);
    dhcp_start(&eth);
    fake_net_advance(3 * NS_PER_SEC);
    drop_sent();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool booted;
    struct fuzz_input in = {data, size, 0};
    if (!booted) {
        setenv("CMOCKA_TEST_ABORT", "1", 1);
        boot();
        booted = true;
    }
    (void)send_udp(&peer4, 30, false); /* packets that wait for their neighbour */
    (void)send_udp(&peer6, 30, false);
    while (fuzz_more(&in)) {
        uint8_t how = fuzz_u8(&in), frame[600];
        uint32_t len = fuzz_u16(&in) % sizeof frame;
        if (how >= 0xf0) {
            fake_net_advance((how & 0xfu) * NS_PER_SEC);
        } else {
            for (uint32_t i = 0; i < len; i++)
                frame[i] = fuzz_u8(&in);
            fix(frame, len, how);
            receive(frame, len, how & PIECES ? 1 + len % 50 : 0);
        }
        check_delivered();
        drop_sent();
    }
    neigh_flush(&eth);
    fake_net_advance(40 * NS_PER_SEC); /* fragments */
    neigh_flush(&eth);
    drop_sent();
    FUZZ_CHECK(owner_get(OWNER_PACKET).objects == 0);
    return 0;
}
