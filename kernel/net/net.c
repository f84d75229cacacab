/* SPDX-License-Identifier: BSD-3-Clause */
/* net.c - the boot of the network: its parts in order, and the families of sockets. */
#include "mm/reclaim.h"
#include "net/inet.h"
#include "net/inetlist.h"
#include "net/input.h"
#include "net/mib.h"
#include "net/netlink.h"
#include "net/netproc.h"
#include "net/socket.h"
#include "net/sysctl.h"

/* IP's own, which knows of no sockets. */
static void (*device_changed)(struct netdev *dev);

static void tell_device(struct netdev *dev)
{
    device_changed(dev);
    netlink_link_changed(dev);
}

static bool memory_short(void)
{
    return memory_level() >= MEMORY_MEDIUM;
}

int net_init(void)
{
    int err = sysctl_init();
    if (err == 0)
        err = unix_init();
    if (err)
        return err;
    socket_family_register(&unix_family);
    socket_family_register(&netlink_family);
    socket_family_register(&packet_family);
    err = mib_init();
    if (err == 0)
        err = inet_init(); /* the table of flows, before packets come */
    if (err == 0)
        err = ip_init();
    if (err)
        return err;
    zerocopy_init();
    reuseport_init();
    flow_memory_short = memory_short;
    device_changed = netdev_changed;
    netdev_changed = tell_device;
    netlink_route_init();
    err = netproc_init();
    return err ? err : inetlist_init();
}
