/* SPDX-License-Identifier: BSD-3-Clause */
/* ether.h - Ethernet headers: 6 bytes to, 6 bytes from, 2 bytes what (IEEE 802.3, RFC 894, 2464).
 */
#ifndef SELKIE_NET_ETHER_H
#define SELKIE_NET_ETHER_H

#include "drv/netdev.h"
#include "lib/bytes.h"
#include "lib/string.h"
#include "net/classify.h"

#define ETHER_HEADER_LEN 14u
extern const uint8_t ether_broadcast[ETHER_ADDR_LEN];

/* Push the header and send: consumes, as netdev_send. Devices without link headers (lo) get none.
 */
static inline int ether_send(struct netdev *dev, struct pkt *pkt, const uint8_t *to,
                             uint16_t ethertype)
{
    if (dev->type == ARPHRD_ETHER) {
        uint8_t *header = pkt_push(pkt, ETHER_HEADER_LEN);
        memcpy(header, to, ETHER_ADDR_LEN);
        memcpy(header + 6, dev->address, ETHER_ADDR_LEN);
        put_be16(header + 12, ethertype);
    }
    pkt->link = (uint16_t)pkt_headroom(pkt);
    return netdev_send(dev, pkt);
}

/* The link address of a multicast group: RFC 1112, 6.4; RFC 2464, 7. */
static inline void ether_of_group(const struct net_addr *group, uint8_t *out)
{
    if (net_addr_is_v4(group)) {
        out[0] = 0x01;
        out[1] = 0x00;
        out[2] = 0x5e;
        memcpy(out + 3, group->bytes + 13, 3);
        out[3] &= 0x7f;
    } else {
        out[0] = out[1] = 0x33;
        memcpy(out + 2, group->bytes + 12, 4);
    }
}

#endif
