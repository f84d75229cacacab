/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reclaim.h - getting memory back: pressure levels, shrinkers, eviction of clean file pages.
 *
 * The decisions when to reclaim, who waits and what happens in the end are sched/pressure.h's; this
 * is the part that needs no threads. See docs/memory.md, "Pressure".
 */
#ifndef SELKIE_MM_RECLAIM_H
#define SELKIE_MM_RECLAIM_H

#include "lib/list.h"
#include "lib/types.h"

/* How short memory is. The limits are shares of all memory (memory_level_pages); a level counts one
 * step worse while reclaim brings back less than a quarter of what it is asked for. */
enum memory_level { MEMORY_PLENTY, MEMORY_LOW, MEMORY_MEDIUM, MEMORY_CRITICAL };
extern const char *const memory_level_names[];
enum memory_level memory_level(void); /* any context */
/* A level begins below this many free pages. */
uint64_t memory_level_pages(enum memory_level level);

/*
 * A cache that can give memory back. scan frees up to `want` pages' worth and returns how many
 * pages it freed; it is called in thread context without locks, by one thread at a time, and may
 * take any lock but must not wait for memory. Register once, for ever.
 */
struct shrinker {
    struct list link;
    const char *name;
    uint64_t (*scan)(uint64_t want);
    uint64_t freed; /* pages, since boot; atomic */
};
void shrinker_register(struct shrinker *shrinker);
/* In the order of registration; false at the end. For /proc and dumps. */
bool shrinker_get(unsigned i, const char **name, uint64_t *freed);

/*
 * Free up to `want` pages: the shrinkers first, then clean file pages that nobody maps; with `hard`
 * also those that are mapped and can be read again. Returns the number of pages freed. Thread
 * context, no locks held; one caller at a time (the reclaim thread).
 */
uint64_t memory_reclaim(uint64_t want, bool hard);

/*
 * Called by the page allocator whenever an allocation leaves fewer than memory_alarm_pages free.
 * Any context, any lock may be held: it must only wake a thread.
 */
extern void (*memory_alarm)(void);
void memory_alarm_set(uint64_t pages); /* 0: never */

/* May an ordinary allocation of `pages` single pages succeed now? */
bool memory_available(uint64_t pages);

/* Does what is reclaimed come back at once, and has for some time? Then code that is evicted is no
 * longer filled again: the fault is -ENOMEM. Set by the reclaim thread (sched/pressure.c). */
bool memory_thrashing(void);
void memory_set_thrashing(bool thrashing);

/* Who has the memory, as kernel messages: for the one that tells of a death by lack of it. */
void memory_dump(void);

#endif
