/* SPDX-License-Identifier: BSD-3-Clause */
/* netproc.h - /proc/net and /proc/sys/net: what programs read of the lower half of the network. */
#ifndef SELKIE_NET_NETPROC_H
#define SELKIE_NET_NETPROC_H

#include "lib/types.h"

int must_check netproc_init(void); /* boot; -ENOMEM */

#endif
