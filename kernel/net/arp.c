/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arp.c - address resolution for IPv4 over Ethernet: RFC 826, conflicts as in RFC 5227.
 *
 * Only what is asked of us makes an entry; other packets only change entries that exist. So floods
 * of announcements fill nothing.
 */
#include "lib/errno.h"
#include "net/dhcp.h"
#include "net/ether.h"
#include "net/ifaddr.h"
#include "net/ipimpl.h"
#include "net/mib.h"
#include "net/neigh.h"

#define ARP_LEN 28u
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };
/* Hardware type 1, protocol 0x0800, lengths 6 and 4. */
static const uint8_t prefix[6] = {0, 1, 8, 0, 6, 4};

static void send(struct netdev *dev, uint16_t what, const uint8_t *to, uint32_t sender,
                 const uint8_t *target_ether, uint32_t target)
{
    struct pkt *pkt = pkt_alloc(PKT_HEADROOM, ARP_LEN, ALLOC_DEFAULT);
    if (!pkt)
        return; /* as if lost */
    uint8_t *arp = pkt_put(pkt, ARP_LEN);
    memcpy(arp, prefix, sizeof(prefix));
    put_be16(arp + 6, what);
    memcpy(arp + 8, dev->address, ETHER_ADDR_LEN);
    memcpy(arp + 14, &sender, 4);
    if (target_ether)
        memcpy(arp + 18, target_ether, ETHER_ADDR_LEN);
    else
        memset(arp + 18, 0, ETHER_ADDR_LEN);
    memcpy(arp + 24, &target, 4);
    (void)ether_send(dev, pkt, to, ETHERTYPE_ARP); /* a failure has been counted */
}

void arp_solicit(struct netdev *dev, const struct net_addr *address, const uint8_t *unicast)
{
    struct net_addr source;
    if (dev->type != ARPHRD_ETHER || !ifaddr_source(dev, address, address, &source))
        return;
    send(dev, ARP_REQUEST, unicast ? unicast : ether_broadcast, source.word[3], unicast,
         address->word[3]);
}

void arp_announce(struct netdev *dev, const struct net_addr *address)
{
    if (dev->type == ARPHRD_ETHER)
        send(dev, ARP_REQUEST, ether_broadcast, address->word[3], NULL, address->word[3]);
}

void arp_probe(struct netdev *dev, const struct net_addr *address)
{
    if (dev->type == ARPHRD_ETHER)
        send(dev, ARP_REQUEST, ether_broadcast, 0, NULL, address->word[3]);
}

static bool address_ok(const struct net_addr *a)
{
    return a->bytes[12] != 0 && a->bytes[12] != 127 && a->bytes[12] < 224;
}

static void input(struct netdev *dev, const uint8_t *arp)
{
    uint32_t word;
    uint16_t what = get_be16(arp + 6);
    memcpy(&word, arp + 14, 4);
    struct net_addr sender = net_addr_v4(word);
    memcpy(&word, arp + 24, 4);
    struct net_addr target = net_addr_v4(word);
    bool for_us = ip_is_local(&target, dev->index) && !net_addr_is_loopback(&target);
    bool probe = sender.word[3] == 0; /* RFC 5227, 2.1.1: asks, but tells nothing of itself */
    if ((!probe && !address_ok(&sender)) || (arp[8] & 1) ||
        (what != ARP_REQUEST && what != ARP_REPLY)) {
        mib_count(MIB_IpExt_InArpBad);
        return;
    }
    bool others = memcmp(arp + 8, dev->address, ETHER_ADDR_LEN) != 0;
    if (others)
        dhcp_claimed(dev, probe ? &target : &sender);
    if (ip_is_local(&sender, 0)) {
        /* Somebody has our address, or this is our own packet. It is defended with an announcement,
         * not more often than others' errors are answered (RFC 5227, 2.4 (b)). */
        if (others && icmp_rate_ok())
            arp_announce(dev, &sender);
        return;
    }
    if (!probe)
        neigh_learn(dev, &sender, arp + 8,
                    NEIGH_OVERRIDE | (for_us && what == ARP_REQUEST ? NEIGH_CREATE : 0) |
                        (for_us && what == ARP_REPLY ? NEIGH_SOLICITED : 0));
    if (for_us && what == ARP_REQUEST)
        send(dev, ARP_REPLY, arp + 8, target.word[3], arp + 8, sender.word[3]);
}

void arp_input(struct pkt *pkt, uint32_t at)
{
    const uint8_t *frame = pkt_pull(pkt, MIN(at + ARP_LEN, pkt->total));
    if (pkt->dev->type == ARPHRD_ETHER && frame && pkt->total >= at + ARP_LEN &&
        memcmp(frame + at, prefix, sizeof(prefix)) == 0)
        input(pkt->dev, frame + at);
    else
        mib_count(MIB_IpExt_InArpBad);
    pkt_free(pkt);
}
