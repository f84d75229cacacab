/* SPDX-License-Identifier: BSD-3-Clause */
/* inet_ioctl.h - requests of netdevice(7): between inet_ioctl.c, which shows, and inet_ioctl_set.c,
 * which changes. */
#ifndef SELKIE_NET_INET_IOCTL_H
#define SELKIE_NET_INET_IOCTL_H

#include "drv/netdev.h"
#include "net/socket.h"

enum {
    SIOCADDRT = 0x890b,
    SIOCDELRT = 0x890c,
    SIOCGIFNAME = 0x8910,
    SIOCGIFCONF = 0x8912,
    SIOCGIFFLAGS = 0x8913,
    SIOCSIFFLAGS = 0x8914,
    SIOCGIFADDR = 0x8915,
    SIOCSIFADDR = 0x8916,
    SIOCGIFDSTADDR = 0x8917,
    SIOCGIFBRDADDR = 0x8919,
    SIOCSIFBRDADDR = 0x891a,
    SIOCGIFNETMASK = 0x891b,
    SIOCSIFNETMASK = 0x891c,
    SIOCGIFMETRIC = 0x891d,
    SIOCGIFMTU = 0x8921,
    SIOCSIFMTU = 0x8922,
    SIOCGIFHWADDR = 0x8927,
    SIOCGIFINDEX = 0x8933,
    SIOCDIFADDR = 0x8936,
    SIOCGIFTXQLEN = 0x8942,
    SIOCETHTOOL = 0x8946,
};

/* struct ifreq of user code. */
struct ifreq {
    char name[NETDEV_NAME_MAX];
    union {
        uint8_t bytes[24];
        int16_t flags;
        int32_t number;
        struct {
            uint16_t family, port;
            uint32_t address;
        } in;
        struct {
            uint16_t type;
            uint8_t address[ETHER_ADDR_LEN];
        } hardware;
    };
};
STATIC_ASSERT(sizeof(struct ifreq) == 40);

/* SIOCADDRT, SIOCDELRT, SIOCDIFADDR and those with an S: errors are Linux's. Thread context. */
int must_check inet_ioctl_change(const struct socket *socket, unsigned cmd, uintptr_t arg);

#endif
