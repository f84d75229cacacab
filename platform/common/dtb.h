/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dtb.h - reading a flattened device tree (Devicetree Specification v0.4, chapters 2 and 5).
 *
 * Pure code over bytes that firmware wrote. dtb_open() checks the header and walks the whole
 * structure once: every token, name and property lies inside its block, nodes nest properly and not
 * deeper than DTB_DEPTH_MAX. What the other functions then read is bounded by that walk. Property
 * values are the tree's own claims and stay unchecked until someone asks for them with a type.
 *
 * A node is the offset of its FDT_BEGIN_NODE token in the structure block; DTB_NONE is no node.
 */
#ifndef SELKIE_DTB_H
#define SELKIE_DTB_H

#include "lib/types.h"

#define DTB_DEPTH_MAX 32
#define DTB_HEADER_SIZE 40
#define DTB_SIZE_MAX (2u << 20) /* the boot protocol's limit */

struct dtb {
    const uint8_t *base;
    uint32_t total;
    const uint8_t *nodes; /* structure block */
    uint32_t nodes_len;
    const char *strings;
    uint32_t strings_len;
    uint32_t reserved_off;
};
typedef int32_t dtb_node;
#define DTB_NONE (-1)

/* The length that the header at `blob` (DTB_HEADER_SIZE readable bytes) claims; 0 if it is not a
 * device tree or too large. */
uint32_t dtb_total_size(const void *blob);
/* 0, or -EINVAL if the `size` bytes at blob are not a well-formed tree. They must stay. */
int must_check dtb_open(struct dtb *dtb, const void *blob, size_t size);

/* Walking. All give DTB_NONE when there is nothing more. */
dtb_node dtb_root(const struct dtb *dtb);
dtb_node dtb_next(const struct dtb *dtb, dtb_node node); /* document order */
dtb_node dtb_child(const struct dtb *dtb, dtb_node node);
dtb_node dtb_sibling(const struct dtb *dtb, dtb_node node);
dtb_node dtb_parent(const struct dtb *dtb, dtb_node node);
/* By full path ("/chosen"; unit addresses may be left out), first match. */
dtb_node dtb_path(const struct dtb *dtb, const char *path, size_t len);
/* The next node after `after` (DTB_NONE: from the start) whose "compatible" lists `name`. */
dtb_node dtb_compatible(const struct dtb *dtb, dtb_node after, const char *name);

/* Properties. Values are big-endian and unaligned: use the typed readers. */
const char *dtb_name(const struct dtb *dtb, dtb_node node);
const void *dtb_prop(const struct dtb *dtb, dtb_node node, const char *name, uint32_t *len);
/* A string property that is NUL-terminated inside its value, or NULL. */
const char *dtb_string(const struct dtb *dtb, dtb_node node, const char *name);
/* Cell `index` of a property; false if it is not that long. */
bool dtb_cell(const struct dtb *dtb, dtb_node node, const char *name, unsigned index,
              uint32_t *out);
/* A number of one or two cells. */
bool dtb_number(const struct dtb *dtb, dtb_node node, const char *name, uint64_t *out);
/* Is the property a list of strings that contains `value`? */
bool dtb_lists(const struct dtb *dtb, dtb_node node, const char *name, const char *value);
/* Not switched off by "status" (section 2.3.4). */
bool dtb_enabled(const struct dtb *dtb, dtb_node node);

/* Entry `index` of "reg", as the CPU sees it: translated through the "ranges" of all buses above.
 * False if there is none, it does not fit in 64 bits, or a bus is not mapped. */
bool dtb_reg(const struct dtb *dtb, dtb_node node, unsigned index, uint64_t *base, uint64_t *size);
/* Entry `index` of the memory reservation block; false at its end. */
bool dtb_reserved(const struct dtb *dtb, unsigned index, uint64_t *base, uint64_t *size);

#endif
