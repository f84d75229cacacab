/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memdebug.h - the kernel's objects under suspicion, in builds with SELKIE_MEMORY_DEBUG.
 *
 * kmalloc.c asks for memdebug_slot bytes instead of the size, and calls the others; memory abuse is
 * a panic that names the object and shows where it was allocated and freed.
 */
#ifndef SELKIE_MM_MEMDEBUG_H
#define SELKIE_MM_MEMDEBUG_H

#include "lib/types.h"

/* Once, before the first object. */
void memdebug_init(void);
/* The slot for an object: aligned to the size if that is a power of two. 0: too large. */
size_t memdebug_slot(size_t size);
/* A slot becomes an object. `bytes` is the whole slot, fp the frame of the allocating call. */
void memdebug_open(void *slot, size_t bytes, size_t size, uintptr_t pc, uintptr_t fp);
/* The object was freed: check it, fill it, and put it into quarantine. Returns the slot that leaves
 * it instead and is to be freed, or NULL. */
void *memdebug_close(void *slot, size_t bytes, uintptr_t pc, uintptr_t fp);
/* What was asked for. */
size_t memdebug_size(const void *slot, size_t bytes);
/* One slot out of the quarantine, checked, or NULL. */
void *memdebug_release(void);
/* How large the slot of a quarantined object is: kmalloc.c knows. */
size_t memdebug_slot_bytes(const void *slot);

/* From now on: what memdebug_report counts as leaked. */
void memdebug_mark(void);
/* Tell, by allocation site with its back trace, what has been allocated since the mark and is not
 * freed, the largest first, on the log. Returns the number of such objects. */
uint64_t memdebug_report(void);

/* Memory in which the kernel keeps pointers, beside its objects. */
struct memdebug_root {
    uintptr_t lo, hi;
};
/* Count the objects that no root leads to, by way of other objects if need be: nobody can use or
 * free them any more. Any word that is an address in an object counts as a pointer to it. Thread
 * context; all other allocations wait meanwhile. */
uint64_t memdebug_lost(const struct memdebug_root *roots, unsigned count);
/* Tell them, as memdebug_report does. */
void memdebug_report_lost(void);

#endif
