/* SPDX-License-Identifier: BSD-3-Clause */
/* input.h - the way in: what netdev_input is. */
#ifndef SELKIE_NET_INPUT_H
#define SELKIE_NET_INPUT_H

#include "drv/pkt.h"

/* Boot, before the first device: neighbours, fragments, lo with its addresses; then packets are
 * taken. -ENOMEM. */
int must_check ip_init(void);
/* A received packet, data at the link header; consumes. Thread context. In the sender's own (lo) it
 * only looks for a flow: what needs more waits for the work thread. */
void net_input(struct pkt *pkt);

#endif
