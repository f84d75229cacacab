/* SPDX-License-Identifier: BSD-3-Clause */
/* sysctl.h - what /proc/sys/net changes that is no other header's; relaxed atomics. */
#ifndef SELKIE_NET_SYSCTL_H
#define SELKIE_NET_SYSCTL_H

#include "lib/types.h"

extern uint8_t ip_default_ttl;    /* output.c */
extern bool icmp_echo_ignore_all; /* icmp4.c: do not answer */

int must_check sysctl_init(void); /* boot; -ENOMEM */

#endif
