/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compact.h - making large free blocks out of small ones by moving program pages.
 * See docs/memory.md, "Fragmentation".
 */
#ifndef SELKIE_MM_COMPACT_H
#define SELKIE_MM_COMPACT_H

#include "lib/types.h"

struct space;

/* Empty up to `blocks` aligned blocks of 2^order pages (order > 0) whose used pages are all
 * anonymous pages of this space; returns how many became free. The space stands still meanwhile.
 * Thread context, no lock of mm held. */
unsigned compact_space(struct space *space, unsigned order, unsigned blocks);

/* What runs are made for: blocks of 2 MiB. */
#define COMPACT_ORDER 9

/* A fault wanted a large block and there was none, though memory is free. Any context. */
void compact_note_failure(void);
/* A run, if enough such failures have come together: more and more while runs bring nothing, so
 * that the cost stays a small share of the faults'. Thread context, no lock of mm held. */
void compact_if_due(struct space *space);

struct compact_stats {
    uint64_t runs, pages_moved, blocks_freed; /* since boot */
    uint64_t blocks_failed;                   /* chosen, but a page could not be moved */
};
void compact_get_stats(struct compact_stats *out);

#endif
