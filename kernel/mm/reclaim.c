/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reclaim.c - shrinkers, pressure levels, and the order in which memory is taken back.
 *
 * Levels begin when 1/32, 1/64 or 1/128 of all memory is left above the allocator's reserve, at
 * most 64, 32 and 16 MiB: enough for the reclaim thread to work ahead of a program that allocates
 * at full speed, and not felt on a machine of 8 MiB.
 */
#include "mm/reclaim.h"

#include "core/log.h"
#include "core/spinlock.h"
#include "mm/account.h"
#include "mm/object.h"
#include "mm/page.h"

const char *const memory_level_names[] = {"none", "low", "medium", "critical"};

#define LOW_MAX_PAGES ((uint64_t)(64 << 20) >> PAGE_SHIFT)
#define EFFICIENCY_SHARE 4 /* reclaim that brings less than 1/4 is failing */

static struct spinlock shrinkers_lock = SPINLOCK_INIT(RANK_AREAS); /* guards the list's links */
static struct list shrinkers = {&shrinkers, &shrinkers};
static bool failing; /* the last reclaim brought little; relaxed atomic */

uint64_t memory_level_pages(enum memory_level level)
{
    uint64_t low = MIN(page_total_count() / 32, LOW_MAX_PAGES);
    return level == MEMORY_PLENTY ? UINT64_MAX
                                  : page_reserve_count() + (low >> (level - MEMORY_LOW));
}

enum memory_level memory_level(void)
{
    uint64_t free = page_free_count();
    unsigned level = MEMORY_PLENTY;
    while (level < MEMORY_CRITICAL && free < memory_level_pages(level + 1))
        level++;
    if (level > MEMORY_PLENTY && level < MEMORY_CRITICAL &&
        __atomic_load_n(&failing, __ATOMIC_RELAXED))
        level++;
    return (enum memory_level)level;
}

static bool thrashing; /* relaxed atomic: a moment sooner or later does not matter */

bool memory_thrashing(void)
{
    return __atomic_load_n(&thrashing, __ATOMIC_RELAXED);
}

void memory_set_thrashing(bool now)
{
    __atomic_store_n(&thrashing, now, __ATOMIC_RELAXED);
}

void shrinker_register(struct shrinker *shrinker)
{
    spin_lock(&shrinkers_lock);
    list_push_back(&shrinkers, &shrinker->link);
    spin_unlock(&shrinkers_lock);
}

/* They never leave, so one that was found stays valid without the lock. */
static struct shrinker *shrinker_at(unsigned i)
{
    struct shrinker *found = NULL;
    spin_lock(&shrinkers_lock);
    list_for_each (pos, &shrinkers) {
        if (i-- == 0) {
            found = list_entry(pos, struct shrinker, link);
            break;
        }
    }
    spin_unlock(&shrinkers_lock);
    return found;
}

bool shrinker_get(unsigned i, const char **name, uint64_t *freed)
{
    struct shrinker *shrinker = shrinker_at(i);
    if (!shrinker)
        return false;
    *name = shrinker->name;
    *freed = __atomic_load_n(&shrinker->freed, __ATOMIC_RELAXED);
    return true;
}

uint64_t memory_reclaim(uint64_t want, bool hard)
{
    uint64_t done = 0;
    struct shrinker *shrinker;
    page_drain(); /* brings no page that did not count as free, but blocks */
    for (unsigned i = 0; done < want && (shrinker = shrinker_at(i)); i++) {
        uint64_t freed = shrinker->scan(want - done);
        __atomic_add_fetch(&shrinker->freed, freed, __ATOMIC_RELAXED);
        done += freed;
    }
    if (done < want)
        done += vm_cache_evict(want - done, false);
    if (done < want && hard)
        done += vm_cache_evict(want - done, true);
    __atomic_store_n(&failing, done < want / EFFICIENCY_SHARE, __ATOMIC_RELAXED);
    return done;
}

void memory_dump(void)
{
    static const char *const names[] = {"free",        NULL,         "kernel",
                                        "page tables", "slabs",      "program",
                                        "file cache",  "huge pages", NULL};
    STATIC_ASSERT(ARRAY_COUNT(names) == PAGE_RESERVED + 1);
    struct page_stats stats;
    page_get_stats(&stats);
    log_warn("memory: %llu KiB in all, level %s", (unsigned long long)stats.total * PAGE_SIZE >> 10,
             memory_level_names[memory_level()]);
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (names[i])
            log_warn("memory: %10llu KiB %s",
                     (unsigned long long)stats.by_type[i] * PAGE_SIZE >> 10, names[i]);
    for (unsigned i = 0; i < OWNER_COUNT; i++) {
        struct memory_account a = owner_get((enum memory_owner)i);
        log_warn("memory: %10llu KiB of the kernel's: %llu x %s", (unsigned long long)a.bytes >> 10,
                 (unsigned long long)a.objects, memory_owner_names[i]);
    }
    const char *name;
    uint64_t freed;
    for (unsigned i = 0; shrinker_get(i, &name, &freed); i++)
        log_warn("memory: %10llu KiB given back by %s", (unsigned long long)freed * PAGE_SIZE >> 10,
                 name);
}
