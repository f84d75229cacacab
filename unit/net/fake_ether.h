/* SPDX-License-Identifier: BSD-3-Clause */
/* fake_ether.h - an Ethernet device for tests, with whatever operations they have for it. */
#ifndef SELKIE_UNIT_NET_FAKE_ETHER_H
#define SELKIE_UNIT_NET_FAKE_ETHER_H

#include <string.h>

#include "drv/netdev.h"

/* eth%d, up and running, MTU 1500; to be registered. */
static inline void fake_ether(struct netdev *dev, const struct netdev_ops *ops,
                              const uint8_t address[6])
{
    *dev = (struct netdev){
        .name = "eth%d",
        .ops = ops,
        .type = ARPHRD_ETHER,
        .flags = NETDEV_UP | NETDEV_RUNNING | NETDEV_BROADCAST | NETDEV_MULTICAST,
        .mtu = 1500,
        .mtu_min = 68,
        .mtu_max = 9000,
        .queue_count = 1,
    };
    memcpy(dev->address, address, 6);
}

#endif
