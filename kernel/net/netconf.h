/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netconf.h - how the network comes to be configured: boot options, DHCP, routers; and what is
 * written of it into /etc/resolv.conf and /etc/hosts (docs/boot.md).
 */
#ifndef SELKIE_NET_NETCONF_H
#define SELKIE_NET_NETCONF_H

#include "net/classify.h"

/* Boot, when the devices are there and the root file system is: addresses by ip=, gateway=,
 * nameserver=, or by DHCP. cmdline: the boot command line. -EINVAL: an option is malformed; *which
 * names it. -ENOMEM. */
int must_check netconf_start(const char *cmdline, const char **which);
/* Boot, when the devices are there: /sys/class/net and more of /proc/net (netsys.c). -ENOMEM. */
int must_check netsys_init(void);
void netconf_init(void); /* boot, before the first device */
/* A name server has been learned. Thread context, no lock held. */
void netconf_nameserver(const struct net_addr *address);
void netconf_domain(const char *name);
/* "a.b.c.d" or IPv6's text form (RFC 4291, 2.2), all of `text` up to `len` bytes. */
bool net_addr_parse(const char *text, size_t len, struct net_addr *out);
/* Into buf of at least 46 bytes; RFC 5952. */
#define NET_ADDR_TEXT 48u
void net_addr_format(const struct net_addr *address, char *buf);

#endif
