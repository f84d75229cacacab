/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * area.h - inside mm: the area tree of a space, and how it is changed.
 *
 * Every function whose name ends in _locked, and all area_* functions, need space->lock: for
 * reading to look, for writing to change.
 */
#ifndef SELKIE_MM_AREA_H
#define SELKIE_MM_AREA_H

#include "mm/space.h"

/* Linux keeps this much free below a stack that grows (stack_guard_gap, 256 pages). */
#define STACK_GUARD_GAP (256 * PAGE_SIZE)

static inline struct area *area_of(const struct rb_node *node)
{
    return node ? container_of(node, struct area, node) : NULL;
}
static inline struct area *area_next(const struct area *area)
{
    return area_of(rb_next(&area->node));
}
static inline struct area *area_prev(const struct area *area)
{
    return area_of(rb_prev(&area->node));
}
static inline bool area_is_stack(const struct area *area)
{
    return area->flags & (AREA_GROWSDOWN | AREA_STACK);
}
/* The lock for page-table entries around va among faults. Nothing that is done under it goes over
 * the border of its 2 MiB. */
#define REGION_SIZE ((vaddr_t)2 << 20)
/* A table of each level has 512 entries: its addresses are REGION_SIZE << 9 * n, up to this. */
#define TABLE_SPAN_MAX (REGION_SIZE << 18)
static inline struct mutex *space_fault_lock(struct space *space, vaddr_t va)
{
    return &space->fault_lock[(va / REGION_SIZE) % SPACE_FAULT_LOCKS].mutex;
}
/* Counts of this CPU; after a preemption of another's, which is as good. */
static inline struct space_count *space_count(struct space *space)
{
    return &space->counts[hal_cpu_id() % SPACE_SLOTS];
}
static inline size_t area_pages(const struct area *area)
{
    return (area->hi - area->lo) >> PAGE_SHIFT;
}
/* Would a cut at `at` go through a huge page of the pool? */
bool area_cuts_huge(const struct space *space, vaddr_t at);
/* Page number in the object of the page at va. */
static inline uint64_t area_index(const struct area *area, vaddr_t va)
{
    return (area->off + (va - area->lo)) >> PAGE_SHIFT;
}
/* What the hardware may do for PROT_*: any right implies reading, as on Linux's machines. */
unsigned area_hal_prot(uint32_t prot);

void area_tree_init(struct space *space);
/* The first area that ends above addr (it may start above it, too), or NULL. */
struct area *area_above(const struct space *space, vaddr_t addr);
/* The area that contains addr, or NULL. */
struct area *area_at(const struct space *space, vaddr_t addr);
/* Is some area in [lo, hi)? */
bool area_overlaps(const struct space *space, vaddr_t lo, vaddr_t hi);
/* The highest address in [lo, hi) with len unmapped bytes, guard gaps respected. */
bool area_find_gap(const struct space *space, vaddr_t lo, vaddr_t hi, size_t len, vaddr_t *out);
/*
 * [*lo, *hi) has just lost its areas: widen it, into the hole that it is part of, to all page
 * tables in which nobody maps anything any more (those of 2 MiB, 1 GiB and 512 GiB), so that
 * removing it frees them. Like free_pgtables with floor and ceiling in Linux's mm/memory.c.
 */
void area_widen(const struct space *space, vaddr_t *lo, vaddr_t *hi);
/* For tests: order, gaps, links, counters. */
bool area_tree_valid(const struct space *space);

/*
 * A change of the tree. All memory it could need is allocated before the lock is taken, so
 * nothing fails half way; what it removes is freed after the lock is released, because dropping the
 * last reference to an object may take locks that stand before RANK_SPACE.
 */
#define CHANGE_SPARES 5 /* mremap: the new area, two cuts at the target, two at the source */
struct change {
    struct space *space;
    struct area *spare[CHANGE_SPARES];
    unsigned spare_count;
    struct area *dead; /* chained by node.left */
    bool shared;       /* the lock is held for reading by now */
};
/* Allocate `spares` areas and take the lock. -ENOMEM: nothing is held. */
int must_check change_begin(struct change *c, struct space *space, unsigned spares);
/* The same for a change that gives memory back: it may use the allocator's reserve. */
int must_check change_begin_removal(struct change *c, struct space *space, unsigned spares);
void change_end(struct change *c);
/* The tree is as it shall be: let faults in other areas go on while pages are removed. Areas that
 * were taken out are still known to their objects, so who walks those waits until the end. */
void change_share(struct change *c);
struct area *change_take(struct change *c); /* one of the spares, zeroed */
/* Give back an area that is in no tree. */
void change_drop(struct change *c, struct area *area);

/* Put an area with lo, hi, prot, flags, object, off, name set into the tree; takes the reference on
 * its object. */
void area_insert(struct space *space, struct area *area);
/* Make the page at va, in an area whose code may be changed, the space's own, and give it
 * (fault.c). The lock is held for writing, which excludes all faults. */
int must_check space_own_page_locked(struct space *space, vaddr_t va, struct page **out);
/* Take an area out of the tree that is not to be mapped any more. Its pages are the caller's
 * business, but it must not have lost them yet. */
void area_leave(struct change *c, struct area *area);
/* Cut at `at` (inside): the area keeps the lower part, the upper one is returned. */
struct area *area_split(struct change *c, struct area *area, vaddr_t at);
/* Reduce *area to its part in [lo, hi), cutting off the rest as areas of their own. Uses up to two
 * spares; -ENOMEM if that made more areas than there may be. */
int must_check area_cut(struct change *c, struct area **area, vaddr_t lo, vaddr_t hi);
/* Move one end; off follows lo. */
void area_resize(struct space *space, struct area *area, vaddr_t lo, vaddr_t hi);
/* Change prot and flags. */
void area_set(struct space *space, struct area *area, uint32_t prot, uint32_t flags);
/* Join with its neighbours where nothing tells them apart; returns the area that is left. */
struct area *area_merge(struct change *c, struct area *area);
/* Make [lo, hi) begin and end at area borders. Uses up to two spares. */
void area_isolate(struct change *c, vaddr_t lo, vaddr_t hi);

/* ---- pages behind areas (space.c, fault.c) ---- */

/* The heap has grown from `end` on: if it was touched up to there, map what a fault there would. No
 * lock is held. */
void space_heap_grown(struct space *space, vaddr_t end);
/* Remove all pages of [lo, hi) from the page table and drop their references. Page tables that lie
 * wholly in the range are freed, even if they are empty. */
void space_zap_locked(struct space *space, vaddr_t lo, vaddr_t hi);
/* Remove areas and pages of [lo, hi). Uses up to two spares: both ends may cut an area. */
void space_remove_locked(struct change *c, vaddr_t lo, vaddr_t hi);
/* The areas only; their pages are to be removed before the lock is released. */
void space_remove_areas_locked(struct change *c, vaddr_t lo, vaddr_t hi);
/* Zap what maps bytes [off, off+len) of the object; private copies of them only if `copies`. */
void space_unmap_object_locked(struct space *space, struct vm_object *object, uint64_t off,
                               uint64_t len, bool copies);
/* Take the unchanged file pages of the object out of the page tables; locked areas keep theirs. */
void space_unmap_clean_locked(struct space *space, struct vm_object *object);
/* May [lo, hi) be removed? -EPERM: the kernel needs what is there; -ENOMEM: the hole would make
 * more areas than there may be. */
int space_check_removal(const struct space *space, vaddr_t lo, vaddr_t hi);
/* May `pages` more be locked, if the flags say so? 0 or -EAGAIN. */
int space_check_locked(const struct space *space, uint32_t flags, uint64_t pages);
/* Does a special area lie in [lo, hi)? */
bool space_has_special_locked(const struct space *space, vaddr_t lo, vaddr_t hi);
/* Would `pages` more (of which `data` private and writable) break a limit? 0 or -ENOMEM. */
int space_check_limits(const struct space *space, uint64_t pages, uint64_t data);
/* Set and clear flags of the areas in [lo, hi), special ones apart. A hole is -ENOMEM, after the
 * rest was done, or at once if `strict`; too many areas -E2BIG. Uses up to two spares. */
int space_set_flags_locked(struct change *c, vaddr_t lo, vaddr_t hi, uint32_t set, uint32_t clear,
                           bool strict);
/* Is [addr, addr+len) within one user window? */
bool space_range_ok(vaddr_t addr, size_t len);
/* The first free place for len bytes: windows from the last to the first, intersected with [lo, hi)
 * when that is not empty. */
bool space_find_place(const struct space *space, vaddr_t lo, vaddr_t hi, size_t len, vaddr_t *out);

/* Page-cache pages [index, index+count) with references, made if need be; returns how many were got
 * before the first error. (object.c) */
size_t vm_object_pages(struct vm_object *object, uint64_t index, size_t count, struct page **out);
void vm_object_add_area(struct vm_object *object, struct area *area);
void vm_object_remove_area(struct vm_object *object, struct area *area);
/* A vm_object for MAP_SHARED|MAP_ANONYMOUS with one reference, or NULL. (anonobj.c) */
struct vm_object *anon_object_create(uint64_t size);
bool anon_object_is(const struct vm_object *object);

#endif
