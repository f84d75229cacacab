/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gro.h - segments of one TCP connection that come in order in one poll become one long packet
 * (generic receive offload), so that all that is done for each packet is done once for up to 45.
 *
 * What is merged could be cut again into what came: the same link, network and transport headers
 * but for lengths, checksums, identification and sequence numbers; equal options (time stamps,
 * too), windows, acknowledgements, ECN bits. All segments but the last are equally long; one
 * with FIN or PSH, or a shorter one, is the last. Checksums are looked at first. Everything else
 * goes on as it is, but never before what is held of its connection.
 *
 * No lock, no memory of its own: whoever polls calls, and flushes when it ends.
 */
#ifndef SELKIE_DRV_GRO_H
#define SELKIE_DRV_GRO_H

#include "drv/pkt.h"

#define GRO_FLOWS 8u

struct gro {
    struct pkt *held[GRO_FLOWS]; /* the oldest one first */
    unsigned count;
};

/* Consumes a frame. What is ready goes to `deliver`. True: it was merged into one that is held. */
bool gro_receive(struct gro *gro, struct pkt *pkt, void (*deliver)(struct pkt *pkt));
void gro_flush(struct gro *gro, void (*deliver)(struct pkt *pkt));

#endif
