/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * segment.h - in software what a device does not do for packets to send: cut one long TCP or UDP
 * packet into segments, sum up, join pieces. No state, no locks; any context.
 */
#ifndef SELKIE_DRV_SEGMENT_H
#define SELKIE_DRV_SEGMENT_H

#include "drv/pkt.h"

/* Can a device with these features (NETDEV_TX_*) cut this packet (gso set) itself? */
bool segment_supported(const struct pkt *pkt, uint32_t features);
/* The segments of a packet with gso set, linked by next and ready for the device; consumes it. NULL
 * without memory or with headers that are none: then the packet stays the caller's. */
struct pkt *must_check segment(struct pkt *pkt, uint32_t features);
/* Make one packet without gso ready for the device. -ENOMEM. */
int must_check segment_finish(struct pkt *pkt, uint32_t features);
/* How many pieces have bytes. */
unsigned segment_pieces(const struct pkt *pkt);
/* The same packet in as few pieces as there can be, each with headroom; the original stays the
 * caller's. NULL without memory. Any context. */
struct pkt *must_check segment_gather(const struct pkt *pkt);
/* Complete a partial checksum. */
void segment_checksum(struct pkt *pkt);

#endif
