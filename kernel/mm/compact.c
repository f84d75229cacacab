/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compact.c - compaction. Contract: compact.h.
 *
 * Moving a page means finding the one page-table entry that maps it. Nothing leads from a page back
 * to its entry, and with one program per machine nothing needs to: a run chooses a few blocks by
 * their struct pages, then walks the page table of the space once and moves what it meets of them,
 * in batches, between which it lets go of the space's lock.
 *
 *   choose   page_block_survey: the blocks with the fewest used pages, all of them PAGE_ANON
 *   take     page_block_take: the free pages of these blocks leave the allocator, so that neither
 *            the new places of moved pages nor anybody else gets them
 *   move     every page of a chosen block that an entry of this space alone maps (one reference):
 *            entry read-only -> copy -> entry to the copy. Writers fault meanwhile and wait for the
 *            space's lock. The old page is now ours (PAGE_FLAG_MOVING), as the taken ones are
 *   release  page_block_release: all that is ours goes back to the buddy, which joins it. Pages
 *            that could not be moved (another space's, referenced elsewhere) just stay
 *
 * A run may hold 14 MiB, and be preempted for long. When memory becomes short meanwhile, the
 * reclaim thread takes back what is marked (shrinker "compaction"), and the run ends at its next
 * page. Both may release at the same time, and the shrinker late, when another run has taken one of
 * the blocks again: each page is released once, under the allocator's lock, by whoever finds the
 * mark; then a run just makes fewer blocks whole.
 *
 * Invariants: a page with PAGE_FLAG_MOVING belongs to the run, has one reference and no mapping;
 * only one run exists at a time (`busy`). The caller holds no lock; space->lock is taken for
 * writing.
 */
#include "mm/compact.h"

#include "lib/string.h"
#include "mm/area.h"
#include "mm/failpoint.h"
#include "mm/reclaim.h"

#define TARGETS_MAX 8u
/* A block that is fuller is not worth the copying. */
#define USED_MAX(order) ((3u << (order)) / 4)

struct target {
    uint32_t first; /* page index */
    uint32_t used;  /* pages to move, when it was chosen */
};
struct run {
    struct space *space;
    unsigned order;
    unsigned count;
    uint64_t moved;
    bool failed;                       /* there is no memory to move pages to */
    struct target target[TARGETS_MAX]; /* fewest used pages first */
};

static bool busy;    /* atomic */
static bool give_up; /* the run should end; atomic */
static struct {      /* what the run has taken; atomics */
    uint32_t first[TARGETS_MAX];
    unsigned order, count;
} taken;
static struct compact_stats stats; /* relaxed atomics */

/* ---- choosing --------------------------------------------------------------------------- */

static void offer(struct run *run, unsigned max, uint32_t first, uint32_t used)
{
    unsigned at = run->count;
    ASSERT(max > 0);
    if (run->count < max)
        run->count++;
    else if (used >= run->target[--at].used)
        return;
    for (; at > 0 && run->target[at - 1].used > used; at--)
        run->target[at] = run->target[at - 1];
    run->target[at] = (struct target){first, used};
}

static void choose(struct run *run, unsigned max)
{
    uint32_t size = 1u << run->order, used;
    for (uint32_t first = 0; first < page_index_end(); first += size)
        if (page_block_survey(first, run->order, &used) && used > 0 && used <= USED_MAX(run->order))
            offer(run, max, first, used);
}

/* The moved pages need new places among the other fragments, or a whole block would be broken for
 * each that is made; and nobody else should have to wait for memory. */
static bool worthwhile(const struct run *run)
{
    uint64_t size = (uint64_t)run->count << run->order;
    /* Fragments inside the targets are no places: with `used` pages in the targets,
     * fragments - (size - used) >= used must hold. */
    return page_fragments(run->order) >= size &&
           memory_available(memory_level_pages(MEMORY_LOW) + size);
}

static bool chosen(const struct run *run, const struct page *page)
{
    uint32_t first = page_index(page) >> run->order << run->order;
    for (unsigned i = 0; i < run->count; i++)
        if (run->target[i].first == first)
            return true;
    return false;
}

/* ---- moving ----------------------------------------------------------------------------- */

static void count(uint64_t *counter, uint64_t n)
{
    __atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

/* The space's lock is held for writing. False: no memory, the page stays. */
static bool move_page(struct run *run, const struct area *area, vaddr_t va, struct page *from,
                      unsigned prot)
{
    struct hal_space *hal = &run->space->hal;
    /* Relaxed: sooner or later. */
    bool stop = __atomic_load_n(&give_up, __ATOMIC_RELAXED);
    struct page *to = stop ? NULL : page_alloc_quiet(0, PAGE_ANON, 0);
    paddr_t now;
    if (!to)
        return false;
    hal_space_protect(hal, va, PAGE_SIZE, prot & ~(unsigned)HAL_PROT_WRITE);
    memcpy(page_virt(to), page_virt(from), PAGE_SIZE);
    if (area->prot & PROT_EXEC) {
        hal_icache_sync(page_phys(to), PAGE_SIZE);
        __atomic_fetch_or(&to->flags, PAGE_FLAG_ICACHE, __ATOMIC_RELEASE);
    }
    if (hal_space_map(hal, va, page_phys(to), PAGE_SIZE, prot) &&
        (!hal_space_query(hal, va, &now, NULL) || now != page_phys(to))) {
        hal_space_protect(hal, va, PAGE_SIZE, prot); /* the old one is still there (hal.h) */
        page_put(to);
        return false;
    }
    /* Release: the shrinker may free it now, and the next owner write to it: we have read it. */
    __atomic_fetch_or(&from->flags, PAGE_FLAG_MOVING, __ATOMIC_RELEASE);
    run->moved++;
    return true;
}

/* What one hold of the space's lock may do: everybody's faults wait for it. */
#define BATCH_MOVES 32u
#define BATCH_LOOKS 2048u

/* Go on in the area from va for a batch; returns how far it came. A large page is no target: its
 * block is full. */
static vaddr_t move_area(struct run *run, const struct area *area, vaddr_t va, unsigned *looks)
{
    struct hal_space *hal = &run->space->hal;
    uint64_t enough = run->moved + BATCH_MOVES;
    unsigned prot;
    paddr_t pa;
    while (*looks > 0 && run->moved < enough &&
           (va = hal_space_next(hal, va, area->hi)) < area->hi) {
        --*looks;
        if (!hal_space_query(hal, va, &pa, &prot) || (prot & HAL_PTE_LARGE)) {
            va = MIN(align_down(va, REGION_SIZE) + REGION_SIZE, area->hi);
            continue;
        }
        struct page *page = page_of_phys(pa);
        prot &= HAL_PROT_ALL;
        if (chosen(run, page) && page->type == PAGE_ANON && ref_read(&page->refs) == 1 &&
            !move_page(run, area, va, page, prot))
            run->failed = true;
        va += PAGE_SIZE;
        if (run->failed)
            break;
    }
    return va;
}

/* One batch from va on; returns where the next one begins. */
static vaddr_t move_some(struct run *run, vaddr_t va)
{
    unsigned looks = BATCH_LOOKS;
    rwlock_write_lock(&run->space->lock);
    const struct area *a = area_above(run->space, va);
    for (uint64_t enough = run->moved + BATCH_MOVES;
         a && looks > 0 && run->moved < enough && !run->failed; a = area_next(a)) {
        --looks;
        va = MAX(va, a->lo);
        if (!(a->flags & (AREA_SHARED | AREA_SPECIAL)))
            va = move_area(run, a, va, &looks);
        else
            va = a->hi;
        if (va < a->hi)
            break;
    }
    rwlock_write_unlock(&run->space->lock);
    return a ? va : hal_layout()->user_end;
}

/* Areas that come or go between the batches do no harm: what the walk misses stays where it is. */
static void move_all(struct run *run)
{
    vaddr_t va = 0, end = hal_layout()->user_end;
    while (va < end && !run->failed)
        va = move_some(run, va);
}

static void take(const struct run *run)
{
    __atomic_store_n(&give_up, false, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < run->count; i++) {
        page_block_take(run->target[i].first, run->order);
        __atomic_store_n(&taken.first[i], run->target[i].first, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&taken.order, run->order, __ATOMIC_RELAXED);
    /* Release, and acquire in give_back: the count is of these blocks. */
    __atomic_store_n(&taken.count, run->count, __ATOMIC_RELEASE);
}

/* How many blocks are whole. */
static unsigned release(const struct run *run)
{
    unsigned whole = 0;
    __atomic_store_n(&taken.count, 0, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < run->count; i++)
        whole += page_block_release(run->target[i].first, run->order) == 1u << run->order;
    return whole;
}

/* The shrinker. A mixture of two runs' blocks, or one's blocks and another's order, does no harm:
 * only marked pages are released. */
static uint64_t give_back(uint64_t want)
{
    unsigned count = __atomic_load_n(&taken.count, __ATOMIC_ACQUIRE);
    uint64_t pages = 0;
    if (count)
        __atomic_store_n(&give_up, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < count; i++)
        pages += page_block_release(__atomic_load_n(&taken.first[i], __ATOMIC_RELAXED),
                                    __atomic_load_n(&taken.order, __ATOMIC_RELAXED));
    return pages;
}

static struct shrinker shrinker = {.name = "compaction", .scan = give_back};

unsigned compact_space(struct space *space, unsigned order, unsigned blocks)
{
    struct run run = {.space = space, .order = order};
    unsigned whole;
    ASSERT(order > 0 && order <= PAGE_ORDER_MAX);
    /* Acquire and release: the next run sees what this one has done to the pages. */
    if (__atomic_exchange_n(&busy, true, __ATOMIC_ACQUIRE))
        return 0;
    if (!shrinker.link.next) /* nobody else is here */
        shrinker_register(&shrinker);
    page_drain(); /* a page in a CPU's cache looks used */
    choose(&run, MIN(blocks, TARGETS_MAX));
    while (run.count > 0 && !worthwhile(&run))
        run.count--;
    take(&run);
    if (run.count > 0)
        move_all(&run);
    whole = release(&run);
    count(&stats.runs, 1);
    count(&stats.pages_moved, run.moved);
    count(&stats.blocks_freed, whole);
    count(&stats.blocks_failed, run.count - whole);
    __atomic_store_n(&busy, false, __ATOMIC_RELEASE);
    return whole;
}

/* ---- when ------------------------------------------------------------------------------- */

/* A failed run doubles the number of failed allocations that the next one waits for. */
#define DUE_FIRST 16u
#define DUE_MAX (1u << 20)
static unsigned failed;             /* relaxed atomic */
static unsigned due_at = DUE_FIRST; /* relaxed atomic */

void compact_note_failure(void)
{
    __atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED);
}

void compact_if_due(struct space *space)
{
    unsigned limit = __atomic_load_n(&due_at, __ATOMIC_RELAXED);
    if (__builtin_expect(__atomic_load_n(&failed, __ATOMIC_RELAXED) < limit, 1))
        return;
    __atomic_store_n(&failed, 0, __ATOMIC_RELAXED);
    limit = compact_space(space, COMPACT_ORDER, 1) ? DUE_FIRST : MIN(limit * 2, DUE_MAX);
    __atomic_store_n(&due_at, limit, __ATOMIC_RELAXED);
}

void compact_get_stats(struct compact_stats *out)
{
    out->runs = __atomic_load_n(&stats.runs, __ATOMIC_RELAXED);
    out->pages_moved = __atomic_load_n(&stats.pages_moved, __ATOMIC_RELAXED);
    out->blocks_freed = __atomic_load_n(&stats.blocks_freed, __ATOMIC_RELAXED);
    out->blocks_failed = __atomic_load_n(&stats.blocks_failed, __ATOMIC_RELAXED);
}
