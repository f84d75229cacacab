/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memdebug.c - red zones, poison, quarantine and books of kernel objects (SELKIE_MEMORY_DEBUG).
 *
 * A slot is the object, a red zone, and a record at its very end:
 *
 *     | object, size bytes | RED ... RED | guard, size, state, sites |
 *
 * So objects keep their alignment, an object that grows into its neighbour breaks its own red zone
 * first, and one that is written before its begin breaks the record of its neighbour. Both are
 * found when the owner of the broken zone is freed.
 *
 * A freed object is filled with POISON and waits in the quarantine, the last QUARANTINE freed ones.
 * It is checked when it leaves: what was written meanwhile is a use after free. Its record says
 * that it is free, so freeing it again is noticed there and as long as the slot is not reused.
 *
 * Sites: every distinct back trace has an entry with counts, found by hashing; the record has its
 * number. When the table is full, entry 0 takes the rest.
 *
 * Lost objects are found as a garbage collector finds them: from the roots (proc/leak.c) every word
 * is followed that is an address in a live object, and what was never come to is lost. Cycles of
 * objects are found so, caches and tables need not be emptied, and what lives as long as the kernel
 * needs no mark. What somebody still points to but has forgotten is not found: that is what counts
 * by owner are for (proc/leftover.c). The objects to look into are linked by their records.
 *
 * Lock: memdebug_lock (RANK_MEMDEBUG, irqsave) guards the table and the quarantine.
 */
#include "mm/memdebug.h"

#if SELKIE_MEMORY_DEBUG

#include "core/log.h"
#include "core/spinlock.h"
#include "hal.h"
#include "isa/frame.h"
#include "lib/string.h"
#include "mm/page.h"

#define RED 0xbb
#define FRESH 0x5a
#define POISON 0x6b
#define GUARD 0x5e1c1e5e1c1e5e1cull
#define ALIVE 0xa11c0b1eu
#define DEAD 0xdeadf4eeu
#define DEPTH 8
#define SITES 2048u
#define QUARANTINE 1024u
#define REPORT_MAX 20
#define FRAME_SIZE_MAX 0x10000u

struct record {
    uint64_t guard; /* part of the red zone */
    uint64_t size;
    uint32_t state;
    uint32_t allocated; /* a site */
    union {
        uint32_t freed; /* DEAD: a site */
        uintptr_t next; /* ALIVE: the next object to look into, LAST, or 0: not come to yet */
    };
};
#define LAST 1

struct site {
    uintptr_t trace[DEPTH]; /* return addresses, 0 behind the last */
    uint64_t live, bytes;   /* objects that are not freed */
    uint64_t marked, marked_bytes;
    uint64_t lost, lost_bytes;
};

static struct spinlock memdebug_lock = SPINLOCK_INIT(RANK_MEMDEBUG);
static struct site sites[SITES];
static void *quarantine[QUARANTINE];
static unsigned quarantine_next, quarantine_count;
static uint32_t last_page; /* no object is in a page with a higher number */

struct memory_sum {
    uint64_t objects, bytes;
};

/* ---- sites -------------------------------------------------------------------------------------
 */

/* As panic.c walks frames; ends where the frames are not the kernel's. */
static no_sanitize void trace_take(uintptr_t trace[DEPTH], uintptr_t pc, uintptr_t fp)
{
    struct hal_text text = hal_kernel_text();
    unsigned n = 0;
    memset(trace, 0, DEPTH * sizeof trace[0]);
    trace[n++] = pc;
    while (n < DEPTH && fp && fp % sizeof(uintptr_t) == 0) {
        if (pc < text.lo || pc >= text.hi)
            break;
        const uintptr_t *frame = (const uintptr_t *)fp;
        pc = isa_return_address(frame[1]);
        if (pc < text.lo || pc >= text.hi || frame[0] <= fp || frame[0] - fp > FRAME_SIZE_MAX)
            break;
        trace[n++] = pc;
        fp = frame[0];
    }
}

/* The number of the site with this trace. Lock held. */
static uint32_t site_find(const uintptr_t trace[DEPTH])
{
    uint64_t hash = 0;
    for (unsigned i = 0; i < DEPTH; i++)
        hash = (hash ^ trace[i]) * 0x9e3779b97f4a7c15ull;
    for (uint32_t i = 0; i < SITES; i++) {
        uint32_t at = (uint32_t)((hash >> 32) + i) % SITES;
        if (at == 0)
            continue;
        if (sites[at].trace[0] == 0)
            memcpy(sites[at].trace, trace, sizeof sites[at].trace);
        if (memcmp(sites[at].trace, trace, sizeof sites[at].trace) == 0)
            return at;
    }
    return 0;
}

static void site_show(const char *what, uint32_t number)
{
    const struct site *site = &sites[number];
    log_error("  %s at:%s", what, number ? "" : " (a site that found no room in the table)");
    for (unsigned i = 0; i < DEPTH && site->trace[i]; i++) {
        char name[HAL_SYMBOL_ROOM];
        uintptr_t offset;
        uintptr_t pc = site->trace[i] - 1; /* into the call */
        if (hal_symbol(pc, name, &offset))
            log_error("    %#lx %s+%#lx", (unsigned long)pc, name, (unsigned long)offset);
        else
            log_error("    %#lx", (unsigned long)pc);
    }
}

/* ---- objects -----------------------------------------------------------------------------------
 */

void memdebug_init(void)
{
    quarantine_count = quarantine_next = 0;
    last_page = 0;
    memset(sites, 0, sizeof sites);
}

size_t memdebug_slot(size_t size)
{
    size_t slot = size + sizeof(struct record);
    if (size > SIZE_MAX / 4)
        return 0;
    if (size < 16 || (size & (size - 1)))
        return align_up(slot, 16);
    size_t power = size;
    while (power < slot)
        power *= 2; /* twice a power of two is still aligned to it */
    return power;
}

static struct record *record_of(const void *slot, size_t bytes)
{
    return (struct record *)((uintptr_t)slot + bytes - sizeof(struct record));
}

static _Noreturn void abuse(const void *slot, const struct record *r, const char *what, size_t at)
{
    log_error("memory abuse: object %p of %llu bytes %s", slot, (unsigned long long)r->size, what);
    if (r->guard == GUARD) {
        site_show("allocated", r->allocated % SITES);
        if (r->state == DEAD)
            site_show("freed", r->freed % SITES);
    }
    panic("object %p %s (byte %zu)", slot, what, at);
}

/* The first byte of [from, to) that is not `value`, or to. */
static size_t first_other(const void *slot, size_t from, size_t to, uint8_t value)
{
    const uint8_t *p = slot;
    while (from < to && p[from] == value)
        from++;
    return from;
}

static void check_red(const void *slot, size_t bytes, const struct record *r)
{
    size_t end = bytes - sizeof *r;
    if (r->guard != GUARD || r->size > end)
        abuse(slot, r, "has a broken record: it or its neighbour was written outside", end);
    size_t at = first_other(slot, r->size, end, RED);
    if (at < end)
        abuse(slot, r, "was written behind its end", at);
}

void memdebug_open(void *slot, size_t bytes, size_t size, uintptr_t pc, uintptr_t fp)
{
    struct record *r = record_of(slot, bytes);
    uintptr_t trace[DEPTH];
    memset(slot, FRESH, size);
    memset((char *)slot + size, RED, bytes - sizeof *r - size);
    trace_take(trace, pc, fp);
    unsigned long irq = spin_lock_irqsave(&memdebug_lock);
    uint32_t number = site_find(trace);
    sites[number].live++;
    sites[number].bytes += size;
    last_page = MAX(last_page, page_index(page_of_virt((char *)slot + bytes - 1)));
    *r = (struct record){.guard = GUARD, .size = size, .state = ALIVE, .allocated = number};
    spin_unlock_irqrestore(&memdebug_lock, irq);
}

/* Lock held. The slot is not in the quarantine any more, the caller checks it. */
static void *quarantine_take(void)
{
    if (!quarantine_count)
        return NULL;
    unsigned at = (quarantine_next + QUARANTINE - quarantine_count) % QUARANTINE;
    quarantine_count--;
    return quarantine[at];
}

static void *check_dead(void *slot)
{
    if (!slot)
        return NULL;
    size_t bytes = memdebug_slot_bytes(slot);
    const struct record *r = record_of(slot, bytes);
    check_red(slot, bytes, r);
    size_t at = first_other(slot, 0, r->size, POISON);
    if (at < r->size)
        abuse(slot, r, "was written after it was freed", at);
    return slot;
}

void *memdebug_close(void *slot, size_t bytes, uintptr_t pc, uintptr_t fp)
{
    struct record *r = record_of(slot, bytes);
    uintptr_t trace[DEPTH];
    void *out = NULL;
    if (r->guard == GUARD && r->state == DEAD)
        abuse(slot, r, "is freed twice", 0);
    if (r->state != ALIVE)
        abuse(slot, r, "is freed but is no object", 0);
    check_red(slot, bytes, r);
    memset(slot, POISON, r->size);
    trace_take(trace, pc, fp);
    unsigned long irq = spin_lock_irqsave(&memdebug_lock);
    r->freed = site_find(trace);
    r->state = DEAD;
    sites[r->allocated].live--;
    sites[r->allocated].bytes -= r->size;
    if (quarantine_count == QUARANTINE)
        out = quarantine_take();
    quarantine[quarantine_next] = slot;
    quarantine_next = (quarantine_next + 1) % QUARANTINE;
    quarantine_count++;
    spin_unlock_irqrestore(&memdebug_lock, irq);
    return check_dead(out);
}

void *memdebug_release(void)
{
    unsigned long irq = spin_lock_irqsave(&memdebug_lock);
    void *slot = quarantine_take();
    spin_unlock_irqrestore(&memdebug_lock, irq);
    return check_dead(slot);
}

size_t memdebug_size(const void *slot, size_t bytes)
{
    const struct record *r = record_of(slot, bytes);
    if (r->guard != GUARD || r->state != ALIVE)
        abuse(slot, r, "is used but is no object", 0);
    return r->size;
}

/* ---- leaks -------------------------------------------------------------------------------------
 */

void memdebug_mark(void)
{
    unsigned long irq = spin_lock_irqsave(&memdebug_lock);
    for (uint32_t i = 0; i < SITES; i++) {
        sites[i].marked = sites[i].live;
        sites[i].marked_bytes = sites[i].bytes;
    }
    spin_unlock_irqrestore(&memdebug_lock, irq);
}

/* What a site is told for: its objects since the mark, or those that are lost. */
static struct memory_sum sum_of(const struct site *s, bool lost)
{
    if (lost)
        return (struct memory_sum){s->lost, s->lost_bytes};
    if (s->live <= s->marked)
        return (struct memory_sum){0, 0};
    return (struct memory_sum){s->live - s->marked, s->bytes - MIN(s->bytes, s->marked_bytes)};
}

/* The site with the most bytes among those with less than `below`, or SITES. */
static uint32_t worst(uint64_t below, uint32_t after, bool lost)
{
    uint32_t found = SITES;
    uint64_t most = 0;
    for (uint32_t i = 0; i < SITES; i++) {
        struct memory_sum sum = sum_of(&sites[i], lost);
        uint64_t weight = sum.objects ? sum.bytes + 1 : 0;
        bool rest = weight < below || (weight == below && i > after);
        if (rest && weight > most) {
            most = weight;
            found = i;
        }
    }
    return found;
}

static void tell_sites(bool lost)
{
    uint64_t below = UINT64_MAX;
    uint32_t number = SITES;
    for (unsigned i = 0; i < REPORT_MAX; i++) {
        number = worst(below, number, lost);
        if (number == SITES)
            break;
        struct memory_sum sum = sum_of(&sites[number], lost);
        below = sum.bytes + 1;
        log_error("%llu objects, %llu bytes", (unsigned long long)sum.objects,
                  (unsigned long long)sum.bytes);
        site_show("allocated", number);
    }
}

static uint64_t all_objects(bool lost)
{
    uint64_t objects = 0;
    for (uint32_t i = 0; i < SITES; i++)
        objects += sum_of(&sites[i], lost).objects;
    return objects;
}

uint64_t memdebug_report(void)
{
    uint64_t objects = all_objects(false);
    log_error("memory debug: %llu objects allocated since the mark are not freed",
              (unsigned long long)objects);
    tell_sites(false);
    return objects;
}

void memdebug_report_lost(void)
{
    log_error("memory debug: %llu objects are lost, nothing leads to them",
              (unsigned long long)all_objects(true));
    tell_sites(true);
}

/* ---- what is lost ------------------------------------------------------------------------------
 */

/* The head of the block of pages that `page` lies in, if it has several (buddy.c leaves the types
 * of the rest as they were when it was part of no block, or of a larger one). */
static struct page *block_of(struct page *page)
{
    uint32_t index = page_index(page);
    bool rest = page->type == PAGE_TAIL || page->type == PAGE_RESERVED;
    for (unsigned order = 1; rest && order <= PAGE_ORDER_MAX; order++) {
        struct page *head = page_at(index & ~((1u << order) - 1));
        if (head->type == PAGE_KERNEL && head->order >= order)
            return head;
    }
    return page;
}

/* The record of the live object whose slot is this, or NULL. Frees go on beside this up to where
 * they need the lock, so nothing that it finds in a page must be believed. */
static no_sanitize struct record *alive(const void *slot, size_t bytes)
{
    struct record *r = record_of(slot, bytes);
    return r->guard == GUARD && r->state == ALIVE && r->size <= bytes - sizeof *r ? r : NULL;
}

/* How large the slots of a page of objects are; 0: it has none. */
static size_t slots_of(const struct page *page)
{
    bool objects = page->type == PAGE_SLAB || page->type == PAGE_KERNEL;
    size_t bytes = objects ? memdebug_slot_bytes(page_virt(page)) : 0;
    return bytes > sizeof(struct record) ? bytes : 0;
}

/* The live object that the address lies in, or NULL. */
static void *object_at(uintptr_t at, struct record **r)
{
    paddr_t pa = at - (uintptr_t)hal_phys_to_virt(0);
    uint64_t chunk = (pa >> PAGE_CHUNK_SHIFT) - page_chunk_first;
    if (chunk >= page_chunk_span || !page_chunks[chunk])
        return NULL;
    struct page *page = page_of_phys(pa);
    if (page_index(page) > last_page)
        return NULL;
    page = block_of(page);
    size_t bytes = slots_of(page);
    if (bytes == 0)
        return NULL;
    uintptr_t first = (uintptr_t)page_virt(page), slot = first + (at - first) / bytes * bytes;
    if (page->type == PAGE_SLAB && slot + bytes > first + PAGE_SIZE)
        return NULL;
    *r = alive((void *)slot, bytes);
    return *r ? (void *)slot : NULL;
}

/* Put what the words in [lo, hi) point to in front of the chain, which is returned. */
static no_sanitize uintptr_t follow(uintptr_t lo, uintptr_t hi, uintptr_t chain)
{
    struct record *r;
    for (lo = align_up(lo, sizeof lo); lo + sizeof lo <= hi; lo += sizeof lo) {
        void *object = object_at(*(const uintptr_t *)lo, &r);
        if (object && r->next == 0) {
            r->next = chain;
            chain = (uintptr_t)object;
        }
    }
    return chain;
}

static void forget(struct record *r)
{
    r->next = 0;
}

static void count_lost(struct record *r)
{
    if (r->next)
        return;
    sites[r->allocated % SITES].lost++;
    sites[r->allocated % SITES].lost_bytes += r->size;
}

static void for_each_object(void (*fn)(struct record *r))
{
    for (uint32_t i = 0; i <= last_page; i++) {
        struct page *page = page_at(i);
        size_t bytes = slots_of(page), end = MAX(bytes, PAGE_SIZE);
        char *slot = bytes ? page_virt(page) : NULL;
        for (size_t at = 0; bytes && at + bytes <= end; at += bytes) {
            struct record *r = alive(slot + at, bytes);
            if (r)
                fn(r);
        }
    }
}

uint64_t memdebug_lost(const struct memdebug_root *roots, unsigned count)
{
    uintptr_t chain = LAST;
    struct record *r;
    unsigned long irq = spin_lock_irqsave(&memdebug_lock);
    for (uint32_t i = 0; i < SITES; i++)
        sites[i].lost = sites[i].lost_bytes = 0;
    for_each_object(forget);
    for (unsigned i = 0; i < count; i++)
        chain = follow(roots[i].lo, roots[i].hi, chain);
    while (chain != LAST) {
        uintptr_t object = chain;
        if (!object_at(object, &r))
            break; /* not while the lock is held */
        chain = r->next;
        chain = follow(object, object + r->size, chain);
    }
    for_each_object(count_lost);
    spin_unlock_irqrestore(&memdebug_lock, irq);
    return all_objects(true);
}

#endif
