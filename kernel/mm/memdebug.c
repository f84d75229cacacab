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
 * Lock: memdebug_lock (RANK_MEMDEBUG, irqsave) guards the table and the quarantine.
 */
#include "mm/memdebug.h"

#if SELKIE_MEMORY_DEBUG

#include "core/log.h"
#include "core/spinlock.h"
#include "hal.h"
#include "isa/frame.h"
#include "lib/string.h"

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
    uint32_t allocated, freed; /* sites */
    uint32_t reserved;
};

struct site {
    uintptr_t trace[DEPTH]; /* return addresses, 0 behind the last */
    uint64_t live, bytes;   /* objects that are not freed */
    uint64_t marked, marked_bytes;
};

static struct spinlock memdebug_lock = SPINLOCK_INIT(RANK_MEMDEBUG);
static struct site sites[SITES];
static void *quarantine[QUARANTINE];
static unsigned quarantine_next, quarantine_count;

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
    spin_unlock_irqrestore(&memdebug_lock, irq);
    *r = (struct record){.guard = GUARD, .size = size, .state = ALIVE, .allocated = number};
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

/* The site with the most bytes since the mark among those with less than `below`, or 0. */
static uint32_t worst(uint64_t below, uint32_t after)
{
    uint32_t found = SITES;
    uint64_t most = 0;
    for (uint32_t i = 0; i < SITES; i++) {
        const struct site *s = &sites[i];
        uint64_t bytes = s->live > s->marked ? s->bytes - MIN(s->bytes, s->marked_bytes) + 1 : 0;
        bool rest = bytes < below || (bytes == below && i > after);
        if (rest && bytes > most) {
            most = bytes;
            found = i;
        }
    }
    return found;
}

uint64_t memdebug_report(void)
{
    uint64_t objects = 0, below = UINT64_MAX;
    uint32_t number = SITES;
    for (uint32_t i = 0; i < SITES; i++)
        if (sites[i].live > sites[i].marked)
            objects += sites[i].live - sites[i].marked;
    log_error("memory debug: %llu objects allocated since the mark are not freed",
              (unsigned long long)objects);
    for (unsigned i = 0; i < REPORT_MAX; i++) {
        number = worst(below, number);
        if (number == SITES)
            break;
        const struct site *s = &sites[number];
        below = s->bytes - MIN(s->bytes, s->marked_bytes) + 1;
        log_error("%llu objects, %llu bytes", (unsigned long long)(s->live - s->marked),
                  (unsigned long long)(below - 1));
        site_show("allocated", number);
    }
    return objects;
}

#endif
