/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * igmp.c - membership of multicast groups, told to the network: IGMPv2 (RFC 2236), MLDv2 (RFC
 * 3810).
 *
 * A join is reported at once, a leave likewise; a router's query is answered for each group we are
 * in. Not for the groups of all hosts, nor on lo.
 */
#include "lib/errno.h"
#include "net/ether.h"
#include "net/ifaddr.h"
#include "net/ipimpl.h"
#include "net/mib.h"

enum { IGMP_QUERY = 0x11, IGMP_REPORT2 = 0x16, IGMP_LEAVE = 0x17 };
enum { MLD_TO_EXCLUDE = 4, MLD_TO_INCLUDE = 3 }; /* join and leave, without source filters */

static bool speaks(const struct netdev *dev)
{
    return dev->type == ARPHRD_ETHER && netdev_flags(dev) & NETDEV_UP;
}

void igmp_report(struct netdev *dev, const struct net_addr *group, bool join)
{
    static const uint8_t router_alert[4] = {148, 4, 0, 0}; /* RFC 2113 */
    static const struct net_addr all_routers = {
        .bytes = {[10] = 0xff, [11] = 0xff, [12] = 224, [15] = 2}};
    const struct ip_params params = {
        .protocol = IPPROTO_IGMP,
        .ttl = 1,
        .tos = 0xc0,
        .options = router_alert,
        .options_len = sizeof(router_alert),
        .no_loop = true,
    };
    struct ip_route route = {0};
    if (!speaks(dev))
        return;
    struct pkt *pkt = pkt_alloc(PKT_HEADROOM, 8, ALLOC_DEFAULT);
    if (!pkt)
        return;
    uint8_t *h = pkt_put(pkt, 8);
    memset(h, 0, 8);
    h[0] = join ? IGMP_REPORT2 : IGMP_LEAVE;
    memcpy(h + 4, group->bytes + 12, 4);
    uint16_t sum = (uint16_t)~checksum_add(h, 8, 0);
    memcpy(h + 2, &sum, sizeof(sum));
    if (route_lookup(&route, join ? group : &all_routers, NULL, dev->index) == 0)
        (void)ip_output(&route, pkt, NULL, &params); /* a failure has been counted */
    else
        pkt_free(pkt);
    route_release(&route);
}

void mld_report(struct netdev *dev, const struct net_addr *group, bool join)
{
    static const struct net_addr all_mld2 = {.bytes = {0xff, 0x02, [15] = 0x16}};
    const struct ip_params params = {
        .protocol = IPPROTO_ICMPV6, .ttl = 1, .router_alert = true, .no_loop = true};
    struct ip_route route = {0};
    if (!speaks(dev))
        return;
    struct pkt *pkt = pkt_alloc(PKT_HEADROOM, 28, ALLOC_DEFAULT);
    if (!pkt)
        return;
    uint8_t *h = pkt_put(pkt, 28);
    memset(h, 0, 28);
    h[0] = ICMP6_MLD2_REPORT;
    h[7] = 1; /* records */
    h[8] = join ? MLD_TO_EXCLUDE : MLD_TO_INCLUDE;
    memcpy(h + 12, group, sizeof(*group));
    /* Before there is an address it comes from none (RFC 3590). */
    int err = route_lookup(&route, &all_mld2, NULL, dev->index);
    struct net_addr source = route.source;
    if (err == -EADDRNOTAVAIL) {
        route = (struct ip_route){.dev = dev, .remote = all_mld2, .mtu = netdev_mtu(dev)};
        route.multicast = true;
        source = net_addr_any;
        err = 0;
    }
    if (err) {
        pkt_free(pkt);
        return;
    }
    uint32_t pseudo = ip_pseudo_sum(&source, &all_mld2, IPPROTO_ICMPV6, 28);
    uint16_t sum = (uint16_t)~checksum_add(h, 28, checksum_fold(pseudo));
    memcpy(h + 2, &sum, sizeof(sum));
    (void)ip_output(&route, pkt, &source, &params); /* a failure has been counted */
    mib_count(MIB_Icmp6_OutMLDv2Reports);
    route_release(&route);
}

/* Of all groups of the device, or of the one that is asked for. */
static void answer(struct netdev *dev, const struct net_addr *group)
{
    struct group_view views[8];
    unsigned from = 0, count;
    while ((count = group_list(views, from, ARRAY_COUNT(views))) > 0) {
        for (unsigned i = 0; i < count; i++)
            if (views[i].device == dev->index &&
                net_addr_is_v4(&views[i].group) == net_addr_is_v4(group) &&
                (net_addr_is_any(group) || net_addr_equal(group, &views[i].group)))
                (net_addr_is_v4(group) ? igmp_report : mld_report)(dev, &views[i].group, true);
        from += count;
    }
}

void mld_query(struct netdev *dev, const uint8_t *message, uint32_t len)
{
    struct net_addr group;
    if (len < 24 || !icmp_rate_ok())
        return;
    memcpy(&group, message + 8, sizeof(group));
    answer(dev, &group);
}

void igmp_input(struct pkt *pkt, const struct classified *about)
{
    uint32_t at = pkt->transport - pkt->network, word;
    uint8_t message[8];
    (void)about;
    if (pkt->total - at >= sizeof(message) && pkt_checksum(pkt, at, pkt->total - at, 0) == 0xffff) {
        pkt_read(pkt, at, message, sizeof(message));
        memcpy(&word, message + 4, 4);
        struct net_addr group = net_addr_v4(word);
        if (message[0] == IGMP_QUERY && icmp_rate_ok())
            answer(pkt->dev, &group);
    }
    pkt_free(pkt);
}
