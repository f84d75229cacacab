/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pgtable_body.h - the page-table walker against a model, compiled once for each real encoding by
 * pgtable_x64_fuzz.c and pgtable_aarch64_fuzz.c, which include pte.h and pgtable.c before it.
 *
 * The model has one entry per page in a few stretches of addresses: around a 2 MiB border, around a
 * 1 GiB border, and the end of the lower half. Table pages come from an arena that can be told to
 * fail. Operations that fail leave each page as before or as wanted; what had a live translation
 * and was changed must be inside what is to be flushed.
 */
#include <string.h>

#include "fuzz.h"

#define ARENA_PAGES 256u
#define PAGE HAL_PAGE_SIZE
#define PAGES 64u /* of the model */
#define LARGE (512 * PAGE)
#define GIB (1ull << 30)

uintptr_t fake_ram_base;
void *fake_self;
bool fake_irqs_off;

void kernel_hal_panic(const char *what, uintptr_t pc, uintptr_t fp)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

/* ---- table pages ---- */

static uint8_t *arena;
static bool arena_used[ARENA_PAGES];
static unsigned arena_count, fail_after;

static paddr_t arena_alloc(void)
{
    if (fail_after && --fail_after == 0)
        return HAL_NO_PAGE;
    for (unsigned i = 1; i < ARENA_PAGES; i++) /* 0 ends a chain of detached pages */
        if (!arena_used[i]) {
            arena_used[i] = true;
            arena_count++;
            memset(arena + i * PAGE, 0, PAGE);
            return i * PAGE;
        }
    return HAL_NO_PAGE;
}

static void arena_free(paddr_t pa)
{
    size_t i = pa / PAGE;

    FUZZ_CHECK(i > 0 && i < ARENA_PAGES && arena_used[i]);
    memset(arena + i * PAGE, 0xa5, PAGE);
    arena_used[i] = false;
    arena_count--;
}

static void note_flush(vaddr_t va, size_t len);

static void arena_flush(struct pgtable *pt, vaddr_t va, size_t len)
{
    unsigned level;

    FUZZ_CHECK(!pte_is_live(entry_find(pt, va, &level))); /* break before make */
    FUZZ_CHECK(len >= PAGE);
    note_flush(va, len);
}

static const struct pgtable_ops ops = {arena_alloc, arena_free, arena_flush};
static struct pgtable pt;
static struct pgtable_change change;

/* ---- the model: `stretch` blocks of 2 MiB, each of which is mapped page by page or at once ----
 */

static const vaddr_t stretch[] = {LARGE * 3, LARGE * 4, GIB - LARGE, GIB, (1ull << 47) - LARGE};
#define STRETCHES (sizeof(stretch) / sizeof(stretch[0]))

struct model {
    bool mapped;
    paddr_t pa;
    unsigned prot;
};
static struct model model[STRETCHES][512];
static bool flushed[STRETCHES][512]; /* by the operation itself, on the way */

static void note_flush(vaddr_t va, size_t len)
{
    for (unsigned s = 0; s < STRETCHES; s++)
        for (unsigned i = 0; i < 512; i++)
            flushed[s][i] |= stretch[s] + i * PAGE >= va && stretch[s] + i * PAGE < va + len;
}

/* [*from, *to) of one stretch; now and then all of it. */
static unsigned range(struct fuzz_input *in, unsigned *from, unsigned *to)
{
    static const uint16_t first[] = {0, 1, 255, 448, 509, 511};
    unsigned s = fuzz_u8(in) % STRETCHES, count = fuzz_u8(in);

    *from = first[fuzz_u8(in) % ARRAY_COUNT(first)];
    *to = count >= 250 ? 512 : *from + 1 + count % PAGES;
    if (count >= 253)
        *from = 0;
    if (*to > 512)
        *to = 512;
    return s;
}

static bool is(const struct model *m, vaddr_t va)
{
    paddr_t pa;
    unsigned prot;
    bool mapped = pgtable_query(&pt, va + 0x123, &pa, &prot);

    if (mapped != m->mapped)
        return false;
    return !mapped || (pa == m->pa + 0x123 && (prot & 7) == m->prot);
}

/* Every page of [from, to) is as in `want`, or (if it failed) as before. */
static void compare(unsigned s, unsigned from, unsigned to, const struct model *want, bool failed)
{
    for (unsigned i = from; i < to; i++) {
        struct model *m = &model[s][i];
        vaddr_t va = stretch[s] + i * PAGE;
        bool done = is(&want[i], va);

        FUZZ_CHECK(done || (failed && is(m, va)));
        if (!done)
            continue;
        /* Fewer rights, another frame, or nothing: the old translation must go. */
        bool stale = m->mapped && m->prot &&
                     (!want[i].mapped || want[i].pa != m->pa || (m->prot & ~want[i].prot));
        FUZZ_CHECK(!stale || flushed[s][i] ||
                   (change.stale && va >= change.lo && va + PAGE <= change.hi));
        *m = want[i];
    }
    memset(flushed, 0, sizeof(flushed));
}

static unsigned some_prot(struct fuzz_input *in)
{
    static const unsigned prots[] = {HAL_PROT_READ, HAL_PROT_READ | HAL_PROT_WRITE,
                                     HAL_PROT_READ | HAL_PROT_EXEC, 0, 7};

    return prots[fuzz_u8(in) % ARRAY_COUNT(prots)];
}

static void step_map(struct fuzz_input *in, bool scattered)
{
    static struct model want[512];
    static paddr_t frames[512];
    unsigned from, to, s = range(in, &from, &to), prot = some_prot(in), level = fuzz_u8(in) % 3;
    paddr_t pa = LARGE * (1 + fuzz_u8(in) % 8) + (fuzz_u8(in) & 1 ? from * PAGE : PAGE);
    int err;

    for (unsigned i = from; i < to; i++) {
        frames[i - from] = scattered ? pa + (i ^ 1) * PAGE : pa + (i - from) * PAGE;
        want[i] = (struct model){true, frames[i - from], prot};
    }
    vaddr_t va = stretch[s] + from * PAGE;
    if (scattered)
        err = pgtable_map_pages(&pt, va, frames, to - from, prot, &change);
    else
        err = pgtable_map(&pt, va, pa, (to - from) * PAGE, prot, level, &change);
    FUZZ_TRACE("map %u: [%u, %u) pa %#lx prot %u level %u: %d\n", s, from, to, (unsigned long)pa,
               prot, level, err);
    FUZZ_CHECK(err == 0 || err == -ENOMEM);
    compare(s, from, to, want, err);
}

static void step_unmap(struct fuzz_input *in)
{
    static const struct model none[512];
    unsigned from, to, s = range(in, &from, &to);
    int err = pgtable_unmap(&pt, stretch[s] + from * PAGE, (to - from) * PAGE, &change);

    FUZZ_TRACE("unmap %u: [%u, %u): %d\n", s, from, to, err);
    FUZZ_CHECK(err == 0 || (err == -ENOMEM && !pt.deposits));
    compare(s, from, to, none, err);
}

static void step_protect(struct fuzz_input *in)
{
    static struct model want[512];
    unsigned from, to, s = range(in, &from, &to), prot = some_prot(in);

    for (unsigned i = from; i < to; i++) {
        want[i] = model[s][i];
        want[i].prot = prot;
    }
    int err = pgtable_protect(&pt, stretch[s] + from * PAGE, (to - from) * PAGE, prot, &change);
    FUZZ_TRACE("protect %u: [%u, %u) prot %u: %d\n", s, from, to, prot, err);
    FUZZ_CHECK(err == 0 || (err == -ENOMEM && !pt.deposits));
    compare(s, from, to, want, err);
}

static void check_all(void)
{
    vaddr_t next = pgtable_next(&pt, 0, 1ull << 47);
    uint64_t leaves[PGTABLE_LEAF_LEVELS] = {0}, bytes = 0;

    for (unsigned s = 0; s < STRETCHES; s++)
        for (unsigned i = 0; i < 512; i++) {
            vaddr_t va = stretch[s] + i * PAGE;

            bytes += model[s][i].mapped ? PAGE : 0;
            FUZZ_CHECK(is(&model[s][i], va));
            FUZZ_CHECK((next == va) == model[s][i].mapped);
            if (next == va)
                next = pgtable_next(&pt, va + PAGE, 1ull << 47);
        }
    FUZZ_CHECK(next == 1ull << 47);
    pgtable_leaf_bytes(&pt, 0, 1ull << 47, leaves);
    for (unsigned level = 0; level < PGTABLE_LEAF_LEVELS; level++)
        bytes -= leaves[level];
    FUZZ_CHECK(bytes == 0);
}

static void flush(void)
{
    pgtable_release(&pt, &change);
    change = (struct pgtable_change){0};
}

static void one_step(struct fuzz_input *in)
{
    switch (fuzz_u8(in) % 8) {
    case 0:
    case 1:
        step_map(in, false);
        break;
    case 2:
        step_map(in, true);
        break;
    case 3:
    case 4:
        step_unmap(in);
        break;
    case 5:
        step_protect(in);
        break;
    case 6:
        fail_after = fuzz_u8(in) % 8;
        FUZZ_TRACE("fail %u\n", fail_after);
        break;
    default:
        flush();
        FUZZ_TRACE("flush\n");
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size, 0};

    if (!arena) {
        arena = aligned_alloc(PAGE, ARENA_PAGES * PAGE);
        FUZZ_CHECK(arena);
        fake_ram_base = (uintptr_t)arena;
    }
    memset(model, 0, sizeof(model));
    fail_after = 0;
    change = (struct pgtable_change){0};
    memset(&pt, 0, sizeof(pt));
    FUZZ_CHECK(pgtable_init(&pt, &ops) == 0);
    pt.deposits = fuzz_u8(&in) & 1;
    for (unsigned step = 0; fuzz_more(&in) && step < 64; step++)
        one_step(&in);
    check_all();
    fail_after = 0;
    flush();
    pgtable_destroy(&pt, 0, 1ull << 47);
    FUZZ_CHECK(arena_count == 0);
    return 0;
}
