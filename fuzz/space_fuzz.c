/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/* covers: kernel/mm/area.c kernel/mm/map.c kernel/mm/space.c kernel/mm/remap.c kernel/mm/advise.c
   kernel/mm/fault.c kernel/mm/mlock.c kernel/mm/object.c kernel/mm/usercopy.c */
/* length: 256 */
/* runs: 1000 */
/*
 * space_fuzz.c - address spaces: mmap, munmap, mprotect, mremap, madvise, mlock, truncation,
 * eviction and accesses of a program and of the kernel, against a model with one entry per page.
 * An allocation may be told to fail; then what was asked for may be half done, but each page is as
 * before or as wanted, and the accounts stay true.
 */
#include <string.h>

#include "lib/errno.h"
#include "machine.h"
#include "mm/area.h"
#include "mm/reclaim.h"
#include "mm/usercopy.h"

#define PAGES 40
#define FILE_PAGES 20
#define BASE 0x100000ul
#define RW (PROT_READ | PROT_WRITE)

struct model {
    bool mapped;
    unsigned prot;
    enum { ANONYMOUS, FILE_PRIVATE, FILE_SHARED } kind;
    uint64_t index; /* in the file */
    bool own;       /* has a private copy */
    bool maybe;     /* may have one: of a private file page that was written to by nobody */
    uint8_t value;  /* of it */
    bool locked;
};
static struct model model[PAGES];
static uint8_t file_value[FILE_PAGES];
static uint64_t file_pages; /* its size */
static struct vm_object file;
static int file_refs;
static struct space *space;
static bool failing; /* an allocation may fail */

/* ---- the file, and accesses ---- */

static uint8_t file_byte(uint64_t index)
{
    return (uint8_t)(index * 7 + 3);
}
static int file_fill(struct vm_object *object, uint64_t index, struct page *page)
{
    memset(page_virt(page), file_byte(index), PAGE_SIZE);
    return 0;
}
static void file_get(struct vm_object *object)
{
    file_refs++;
}
static void file_put(struct vm_object *object)
{
    file_refs--;
}
static bool file_get_live(struct vm_object *object)
{
    file_refs++;
    return true;
}
static const struct vm_object_ops file_ops = {file_fill, file_get, file_put, file_get_live};

static vaddr_t at(unsigned page)
{
    return BASE + (vaddr_t)page * PAGE_SIZE;
}

static int on_fault(vaddr_t addr, enum hal_access access)
{
    return space_fault(space, addr, access, 0);
}

/* The byte at the start of a page as a program reaches it; 0 or the fault's errno. */
static int access_page(unsigned page, enum hal_access access, uint8_t **byte)
{
    unsigned want = access == HAL_ACCESS_WRITE ? HAL_PROT_WRITE : HAL_PROT_READ;

    for (int tries = 0; tries < 4; tries++) {
        paddr_t pa;
        unsigned prot;

        if (hal_space_query(&space->hal, at(page), &pa, &prot) && (prot & want)) {
            *byte = hal_phys_to_virt(pa);
            return 0;
        }
        int err = space_fault(space, at(page), access, 0);
        if (err)
            return err;
    }
    FUZZ_CHECK(!"the fault is mended");
    return 0;
}

static int expected_error(const struct model *m, bool write)
{
    if (!m->mapped)
        return -EFAULT;
    if (write ? !(m->prot & PROT_WRITE) : m->prot == PROT_NONE)
        return -EACCES;
    if (m->kind != ANONYMOUS && m->index >= file_pages && !m->own)
        return -ENXIO;
    return 0;
}

static uint8_t expected_value(const struct model *m)
{
    if (m->own)
        return m->value;
    return m->kind == ANONYMOUS ? 0 : file_value[m->index];
}

static bool right_value(const struct model *m, uint8_t byte)
{
    return byte == expected_value(m) || (m->maybe && byte == m->value);
}

/* Private pages were brought in: those that may be written may have been copied now. */
static void brought_in(unsigned page, unsigned count)
{
    for (struct model *m = &model[page]; m < &model[page + count]; m++)
        if (m->mapped && m->kind == FILE_PRIVATE && !m->own && !m->maybe && m->index < file_pages) {
            m->maybe = true;
            m->value = file_value[m->index];
        }
}

static void check_page(unsigned page)
{
    uint8_t *byte;
    int err = access_page(page, HAL_ACCESS_READ, &byte), want = expected_error(&model[page], false);

    if (err != want || (err == 0 && !right_value(&model[page], *byte)))
        FUZZ_TRACE("page %u: error %d for %d, byte %u for %u\n", page, err, want, err ? 0 : *byte,
                   want ? 0 : expected_value(&model[page]));

    if (failing && err == -ENOMEM && alloc_fail_hit())
        return;
    FUZZ_CHECK(err == want);
    FUZZ_CHECK(err || right_value(&model[page], *byte));
}

static void wrote(struct model *m, uint8_t value)
{
    if (m->kind == FILE_SHARED) {
        file_value[m->index] = value;
    } else {
        m->own = true;
        m->maybe = false;
        m->value = value;
    }
}

/* ---- what a failed allocation may leave ---- */

static bool same(const struct model *m, const struct area *a, unsigned page)
{
    if (!m->mapped || !a)
        return m->mapped == (a != NULL);
    uint64_t index = a->object ? (a->off + (at(page) - a->lo)) / PAGE_SIZE : 0;
    return a->prot == m->prot && (a->object != NULL) == (m->kind != ANONYMOUS) &&
           !!(a->flags & AREA_SHARED) == (m->kind == FILE_SHARED) &&
           (m->kind == ANONYMOUS || index == m->index);
}

/* The page looks the same before and after: its contents say which it is. */
static void settle_value(unsigned page, const struct model *old)
{
    uint8_t *byte;

    if (access_page(page, HAL_ACCESS_READ, &byte) == 0 && !right_value(&model[page], *byte))
        model[page] = *old;
}

/* After `err` each page is as in `old` or as in the model now (or, with fixed places, gone): take
 * over which. */
static void settle(int err, const struct model *old, bool gone_too)
{
    struct model hole = {0};

    FUZZ_CHECK(failing && err == -ENOMEM && alloc_fail_hit());
    for (unsigned i = 0; i < PAGES; i++) {
        const struct area *a = area_at(space, at(i));

        if (same(&model[i], a, i)) {
            if (same(&old[i], a, i))
                settle_value(i, &old[i]);
            continue;
        }
        if (gone_too && same(&hole, a, i)) {
            model[i] = hole;
            continue;
        }
        FUZZ_CHECK(same(&old[i], a, i));
        model[i] = old[i];
    }
}

/* ---- operations ---- */

static void range(struct fuzz_input *in, unsigned *page, unsigned *count)
{
    *page = fuzz_u8(in) % PAGES;
    *count = 1 + fuzz_u8(in) % 12;
    if (*page + *count > PAGES)
        *count = PAGES - *page;
}

static unsigned some_prot(uint8_t byte)
{
    static const unsigned prots[] = {PROT_NONE, PROT_READ, RW, RW, PROT_READ | PROT_EXEC};

    return prots[byte % ARRAY_COUNT(prots)];
}

static void step_map(struct fuzz_input *in)
{
    static const unsigned more[] = {0, 0, 0, MAP_POPULATE, MAP_NORESERVE, MAP_FIXED_NOREPLACE};
    unsigned page, count, kind;
    struct model old[PAGES];
    bool taken = false;
    vaddr_t out = 0;

    range(in, &page, &count);
    uint8_t byte = fuzz_u8(in);
    kind = byte % 3;
    struct map_request req = {
        .addr = at(page),
        .len = count * PAGE_SIZE,
        .prot = some_prot(byte / 3),
        .flags = MAP_FIXED | more[fuzz_u8(in) % ARRAY_COUNT(more)],
        .may_write = true,
    };
    req.flags |= kind == FILE_SHARED ? MAP_SHARED : MAP_PRIVATE;
    if (kind == ANONYMOUS) {
        req.flags |= MAP_ANONYMOUS;
    } else {
        req.object = &file;
        req.off = fuzz_u8(in) % (FILE_PAGES + 2) * PAGE_SIZE;
    }
    memcpy(old, model, sizeof(model));
    for (unsigned i = 0; i < count; i++)
        taken |= model[page + i].mapped;
    int err = space_map(space, &req, &out);
    FUZZ_TRACE("map %u+%u prot %u flags %#x kind %u off %lu: %d\n", page, count, req.prot,
               req.flags, kind, req.off / PAGE_SIZE, err);
    if ((req.flags & MAP_FIXED_NOREPLACE) && taken) {
        FUZZ_CHECK(err == -EEXIST || (failing && err == -ENOMEM && alloc_fail_hit()));
        return;
    }
    for (unsigned i = 0; i < count; i++)
        model[page + i] = (struct model){.mapped = true,
                                         .prot = req.prot,
                                         .kind = kind,
                                         .index = req.off / PAGE_SIZE + (kind ? i : 0)};
    if (err)
        settle(err, old, true);
    else
        FUZZ_CHECK(out == at(page));
    if (req.flags & MAP_POPULATE)
        brought_in(page, count);
}

static void step_unmap(struct fuzz_input *in)
{
    unsigned page, count;
    struct model old[PAGES];

    range(in, &page, &count);
    memcpy(old, model, sizeof(model));
    int err = space_unmap(space, at(page), count * PAGE_SIZE);
    FUZZ_TRACE("unmap %u+%u: %d\n", page, count, err);
    memset(&model[page], 0, count * sizeof(model[0]));
    if (err)
        settle(err, old, false);
}

static void step_protect(struct fuzz_input *in)
{
    unsigned page, count, i;
    struct model old[PAGES];

    range(in, &page, &count);
    unsigned prot = some_prot(fuzz_u8(in));
    memcpy(old, model, sizeof(model));
    int err = space_protect(space, at(page), count * PAGE_SIZE, prot);
    FUZZ_TRACE("protect %u+%u %u: %d\n", page, count, prot, err);
    for (i = 0; i < count && model[page + i].mapped; i++)
        model[page + i].prot = prot;
    if (err != (i < count ? -ENOMEM : 0) || (err && alloc_fail_hit()))
        settle(err, old, false);
}

static void step_write(struct fuzz_input *in)
{
    unsigned page = fuzz_u8(in) % PAGES;
    struct model *m = &model[page];
    uint8_t value = fuzz_u8(in), *byte;
    int err = access_page(page, HAL_ACCESS_WRITE, &byte);
    FUZZ_TRACE("write %u value %u: %d\n", page, value, err);

    if (failing && err == -ENOMEM && alloc_fail_hit())
        return;
    FUZZ_CHECK(err == expected_error(m, true));
    if (err == 0) {
        *byte = value;
        wrote(m, value);
    }
}

/* The kernel's accesses to the program's memory: across pages, all or an error. */
static void step_copy(struct fuzz_input *in)
{
    unsigned page, count;
    static uint8_t buffer[12 * PAGE_SIZE];
    bool out = fuzz_u8(in) & 1, good = true;

    range(in, &page, &count);
    memset(buffer, fuzz_u8(in), sizeof(buffer));
    for (unsigned i = 0; i < count; i++)
        good &= expected_error(&model[page + i], out) == 0;
    int err = out ? copyout(uaddr(at(page)), buffer, count * PAGE_SIZE)
                  : copyin(buffer, uaddr(at(page)), count * PAGE_SIZE);
    FUZZ_TRACE("copy%s %u+%u value %u: %d\n", out ? "out" : "in", page, count, buffer[0], err);
    if (failing && err && alloc_fail_hit())
        good = false;
    else
        FUZZ_CHECK(err == (good ? 0 : -EFAULT));
    for (unsigned i = 0; i < count && !out && good; i++)
        FUZZ_CHECK(right_value(&model[page + i], buffer[i * PAGE_SIZE]));
    /* Of a copy that failed the pages before the bad one are written, as far as it came. */
    for (unsigned i = 0; i < count && out; i++) {
        uint8_t *byte;

        if (expected_error(&model[page + i], true))
            break;
        if (good || (access_page(page + i, HAL_ACCESS_READ, &byte) == 0 && *byte == buffer[0]))
            wrote(&model[page + i], buffer[0]);
        else
            break;
    }
}

static void step_advise(struct fuzz_input *in)
{
    static const int advice[] = {MADV_DONTNEED, MADV_DONTNEED,       MADV_WILLNEED,
                                 MADV_RANDOM,   MADV_NORMAL,         MADV_POPULATE_READ,
                                 MADV_HUGEPAGE, MADV_NOHUGEPAGE,     MADV_DONTFORK,
                                 MADV_COLD,     MADV_POPULATE_WRITE, MADV_PAGEOUT};
    unsigned page, count;
    bool hole = false, locked = false;
    int how = advice[fuzz_u8(in) % ARRAY_COUNT(advice)];

    range(in, &page, &count);
    int err = space_advise(space, at(page), count * PAGE_SIZE, how);
    FUZZ_TRACE("advise %u+%u %d: %d\n", page, count, how, err);
    for (unsigned i = 0; i < count; i++) {
        hole |= !model[page + i].mapped;
        locked |= model[page + i].locked;
    }
    if (how == MADV_POPULATE_WRITE)
        brought_in(page, count);
    if (how != MADV_DONTNEED)
        return; /* the others do not change what is read */
    if (failing && err == -ENOMEM && alloc_fail_hit()) {
        struct model old[PAGES];

        memcpy(old, model, sizeof(model));
        for (unsigned i = page; i < page + count; i++)
            model[i].own = model[i].maybe = false;
        settle(err, old, false);
        return;
    }
    FUZZ_CHECK(locked || err == (hole ? -ENOMEM : 0));
    FUZZ_CHECK(!locked || err == -EINVAL || err == -ENOMEM);
    for (unsigned i = 0; i < count; i++) { /* up to the first locked page */
        if (model[page + i].mapped && model[page + i].locked)
            break;
        model[page + i].own = model[page + i].maybe = false;
    }
}

static void step_lock(struct fuzz_input *in)
{
    unsigned page, count;
    bool lock = fuzz_u8(in) & 1;

    range(in, &page, &count);
    int err = space_lock_pages(space, at(page), count * PAGE_SIZE, lock ? AREA_LOCKED : 0);
    FUZZ_TRACE("%s %u+%u: %d\n", lock ? "lock" : "unlock", page, count, err);
    FUZZ_CHECK(err <= 0);
    for (unsigned i = 0; i < PAGES; i++) {
        const struct area *a = area_at(space, at(i));

        FUZZ_CHECK((a != NULL) == model[i].mapped);
        bool now = a && (a->flags & AREA_LOCKED);
        FUZZ_CHECK(now == model[i].locked || (i >= page && i < page + count && now == lock));
        model[i].locked = now;
    }
    if (lock)
        brought_in(page, count);
}

/* Move a range of pages that are alike and in order, so that they lie in one area. */
static void step_remap(struct fuzz_input *in)
{
    static const unsigned how[] = {MREMAP_MAYMOVE | MREMAP_FIXED,
                                   MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP};
    unsigned page = fuzz_u8(in) % PAGES, to = fuzz_u8(in) % PAGES, count = 1;
    unsigned new_count = 1 + fuzz_u8(in) % 12, max = 1 + fuzz_u8(in) % 12;
    unsigned flags = how[fuzz_u8(in) % ARRAY_COUNT(how)];
    const struct model first = model[page];
    struct model old[PAGES], moved[PAGES] = {0};
    vaddr_t out;

    while (count < max && page + count < PAGES && first.mapped && model[page + count].mapped &&
           model[page + count].prot == first.prot && model[page + count].kind == first.kind &&
           model[page + count].locked == first.locked &&
           (first.kind == ANONYMOUS || model[page + count].index == first.index + count))
        count++;
    if (flags & MREMAP_DONTUNMAP)
        new_count = count;
    if (!first.mapped || to + new_count > PAGES || first.locked)
        return;
    memcpy(old, model, sizeof(model));
    int err =
        space_remap(space, at(page), count * PAGE_SIZE, new_count * PAGE_SIZE, flags, at(to), &out);
    if (page + count > to && to + new_count > page) {
        FUZZ_CHECK(err == -EINVAL);
        return;
    }
    for (unsigned i = 0; i < new_count; i++) {
        moved[i] = i < count ? model[page + i] : first;
        moved[i].own &= i < count;
        moved[i].maybe &= i < count;
        moved[i].index = first.kind == ANONYMOUS ? 0 : first.index + i;
    }
    for (unsigned i = 0; i < count; i++) {
        if (flags & MREMAP_DONTUNMAP)
            model[page + i].own = model[page + i].maybe = false;
        else
            model[page + i] = (struct model){0};
    }
    memcpy(&model[to], moved, new_count * sizeof(model[0]));
    /* Advice makes areas out of what the model takes for one: then it is refused, or MREMAP_FIXED
     * has made room for nothing. */
    if (err == -EFAULT) {
        memcpy(model, old, sizeof(model));
        for (unsigned i = 0; i < new_count; i++)
            if (!area_at(space, at(to + i)))
                model[to + i] = (struct model){0};
    } else if (err) {
        settle(err, old, true);
    }
}

static void step_resize(struct fuzz_input *in)
{
    uint64_t pages = fuzz_u8(in) % (FILE_PAGES + 1);

    int err = vm_object_resize(&file, pages * PAGE_SIZE);
    FUZZ_TRACE("resize %lu -> %lu: %d\n", file_pages, pages, err);
    FUZZ_CHECK(err == 0 || failing);
    if (err)
        return;
    for (uint64_t i = pages; i < file_pages; i++)
        file_value[i] = file_byte(i);
    for (unsigned i = 0; i < PAGES; i++) /* private copies go, too, as on Linux */
        if (model[i].kind != ANONYMOUS && model[i].index >= pages && pages < file_pages)
            model[i].own = model[i].maybe = false;
    file_pages = pages;
}

/* ---- */

static void one_step(struct fuzz_input *in)
{
    switch (fuzz_u8(in) % 16) {
    case 0:
    case 1:
        step_map(in);
        break;
    case 2:
        step_unmap(in);
        break;
    case 3:
    case 4:
        step_protect(in);
        break;
    case 5:
        step_advise(in);
        break;
    case 6:
    case 7:
        step_remap(in);
        break;
    case 8:
        step_lock(in);
        break;
    case 9:
        step_copy(in);
        break;
    case 10:
        step_resize(in);
        break;
    case 11:
        vm_cache_evict(fuzz_u8(in) % 8, true);
        break;
    case 12:
        alloc_fail_nth(fuzz_u8(in) % 8);
        failing = true;
        break;
    default:
        step_write(in);
        check_page(fuzz_u8(in) % PAGES);
        break;
    }
}

static void check_all(void)
{
    alloc_fail_nth(0);
    FUZZ_CHECK(area_tree_valid(space));
    FUZZ_CHECK(fake_space_mapped(&space->hal) == space_resident(space));
    for (unsigned i = 0; i < PAGES; i++)
        check_page(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size, 0};
    static bool started;

    if (!started) {
        machine_start(32u << 20);
        kfree(kmalloc(1, 0));
        started = true;
    }
    struct machine_account before = machine_count();
    memset(model, 0, sizeof(model));
    for (unsigned i = 0; i < FILE_PAGES; i++)
        file_value[i] = file_byte(i);
    file_pages = FILE_PAGES;
    failing = false;
    vm_object_init(&file, &file_ops, FILE_PAGES * PAGE_SIZE);
    space = space_create();
    FUZZ_CHECK(space);
    space->lock_limit = UINT64_MAX;
    fake_user_space = &space->hal;
    fake_user_fault = on_fault;
    for (unsigned step = 0; fuzz_more(&in); step++) {
        one_step(&in);
        if (step % 16 == 15) {
            check_all();
            failing = false;
        }
    }
    check_all();
    fake_user_space = NULL;
    space_put(space);
    FUZZ_CHECK(file_refs == 0);
    vm_object_destroy(&file);
    machine_check(&before);
    return 0;
}
