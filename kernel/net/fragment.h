/* SPDX-License-Identifier: BSD-3-Clause */
/* fragment.h - received fragments of both versions: headers around the core in reass.c. */
#ifndef SELKIE_NET_FRAGMENT_H
#define SELKIE_NET_FRAGMENT_H

#include "drv/pkt.h"
#include "net/classify.h"

int must_check fragment_init(void);
/* A fragment, data at the IP header; consumes. The whole packet, data at the link header, if this
 * was the last that was missing; else NULL. Thread context; RANK_REASS. */
struct pkt *must_check fragment_input(struct pkt *pkt, const struct classified *about);

#endif
