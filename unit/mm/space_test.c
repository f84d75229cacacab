/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/*
 * space_test.c - address spaces: random mmap, munmap, mprotect, mremap, madvise and accesses
 * against a model with one entry per page, then the rules one by one.
 */
#include "mm/space_fixture.h"

/* ---- the model -------------------------------------------------------------------------- */

#define PAGES 96
#define BASE 0x100000ul
struct model {
    bool mapped;
    unsigned prot;
    enum { ANONYMOUS, FILE_PRIVATE, FILE_SHARED } kind;
    uint64_t index; /* in the file */
    bool own;       /* has a private copy */
    unsigned char value;
};
static struct model model[PAGES];
static unsigned char file_value[40]; /* what shared pages hold */

static vaddr_t at(int page)
{
    return BASE + (vaddr_t)page * PG;
}

static unsigned char expected(const struct model *m)
{
    if (m->own)
        return m->value;
    return m->kind == ANONYMOUS ? 0 : file_value[m->index];
}

static void check_page(int i)
{
    struct model *m = &model[i];
    unsigned char byte;
    int err = user_read(at(i), &byte);
    if (!m->mapped)
        assert_int_equal(err, -EFAULT);
    else if (m->prot == PROT_NONE)
        assert_int_equal(err, -EACCES);
    else if (m->kind != ANONYMOUS && m->index >= 40)
        assert_int_equal(err, -ENXIO);
    else {
        assert_int_equal(err, 0);
        assert_int_equal(byte, expected(m));
    }
}

static void random_range(int *page, int *count)
{
    *page = rand() % PAGES;
    *count = 1 + rand() % (rand() % 4 ? 6 : 40);
    if (*page + *count > PAGES)
        *count = PAGES - *page;
}

static unsigned random_prot(void)
{
    static const unsigned prots[] = {PROT_NONE, PROT_READ, RW, RW, PROT_READ | PROT_EXEC};
    return prots[rand() % 5];
}

static void step_map(void)
{
    int page, count;
    vaddr_t out;
    random_range(&page, &count);
    unsigned prot = random_prot();
    int kind = rand() % 3;
    uint64_t index = (uint64_t)rand() % 42;
    if (kind == ANONYMOUS)
        assert_int_equal(map(at(page), (size_t)count, prot, ANON | MAP_FIXED, &out), 0);
    else
        assert_int_equal(map_file(at(page), (size_t)count, prot,
                                  MAP_FIXED | (kind == FILE_SHARED ? MAP_SHARED : MAP_PRIVATE),
                                  index, &out),
                         0);
    assert_int_equal(out, at(page));
    for (int i = 0; i < count; i++)
        model[page + i] = (struct model){
            .mapped = true, .prot = prot, .kind = kind, .index = index + (uint64_t)i};
}

static void step_unmap(void)
{
    int page, count;
    random_range(&page, &count);
    assert_int_equal(space_unmap(space, at(page), (size_t)count * PG), 0);
    for (int i = 0; i < count; i++)
        model[page + i].mapped = false;
}

static void step_protect(void)
{
    int page, count, i;
    random_range(&page, &count);
    unsigned prot = random_prot();
    int err = space_protect(space, at(page), (size_t)count * PG, prot);
    for (i = 0; i < count && model[page + i].mapped; i++)
        model[page + i].prot = prot;
    assert_int_equal(err, i < count ? -ENOMEM : 0);
}

static void step_write(void)
{
    int page = rand() % PAGES;
    struct model *m = &model[page];
    unsigned char byte = (unsigned char)rand();
    int err = user_write(at(page), byte);
    if (!m->mapped) {
        assert_int_equal(err, -EFAULT);
    } else if (!(m->prot & PROT_WRITE)) {
        assert_int_equal(err, -EACCES);
    } else if (m->kind != ANONYMOUS && m->index >= 40 && !m->own) {
        assert_int_equal(err, -ENXIO);
    } else {
        assert_int_equal(err, 0);
        if (m->kind == FILE_SHARED)
            file_value[m->index] = byte;
        else
            m->own = true, m->value = byte;
        /* A private copy freezes the rest of the page, not this byte; a private page without a copy
         * follows the file. */
    }
}

static void step_drop(void)
{
    int page, count;
    random_range(&page, &count);
    bool hole = false;
    for (int i = 0; i < count; i++) {
        hole |= !model[page + i].mapped;
        model[page + i].own = false;
    }
    assert_int_equal(space_advise(space, at(page), (size_t)count * PG, MADV_DONTNEED),
                     hole ? -ENOMEM : 0);
}

/* Move a range that lies in one area (all pages alike and consecutive). */
static void step_remap(void)
{
    int page = rand() % PAGES, count = 1, to = rand() % PAGES;
    struct model *m = &model[page];
    if (!m->mapped)
        return;
    while (count < 10 && page + count < PAGES && model[page + count].mapped &&
           model[page + count].prot == m->prot && model[page + count].kind == m->kind &&
           (m->kind == ANONYMOUS || model[page + count].index == m->index + (uint64_t)count))
        count++;
    int new_count = 1 + rand() % 12;
    if (to + new_count > PAGES)
        return;
    vaddr_t out;
    int err = space_remap(space, at(page), (size_t)count * PG, (size_t)new_count * PG,
                          MREMAP_MAYMOVE | MREMAP_FIXED, at(to), &out);
    if (page + count > to && to + new_count > page) {
        assert_int_equal(err, -EINVAL);
        return;
    }
    assert_int_equal(err, 0);
    struct model old[12];
    memcpy(old, m, sizeof old[0] * (size_t)count);
    for (int i = 0; i < count; i++)
        model[page + i].mapped = false;
    for (int i = 0; i < new_count; i++) {
        model[to + i] = old[0];
        model[to + i].own = false;
        model[to + i].index = old[0].index + (uint64_t)i;
        if (i < count)
            model[to + i] = old[i];
    }
}

static void random_operations_match_model(void **state)
{
    (void)state;
    srand(7);
    memset(model, 0, sizeof model);
    for (int i = 0; i < 40; i++)
        file_value[i] = (unsigned char)(i * 7 + 3);
    for (int step = 0; step < 12000; step++) {
        switch (rand() % 12) {
        case 0:
        case 1:
            step_map();
            break;
        case 2:
            step_unmap();
            break;
        case 3:
        case 4:
            step_protect();
            break;
        case 5:
            step_drop();
            break;
        case 6:
            step_remap();
            break;
        default:
            step_write();
            check_page(rand() % PAGES);
            break;
        }
        if (step % 16 == 0) {
            assert_true(area_tree_valid(space));
            for (int i = 0; i < PAGES; i++)
                check_page(i);
            assert_int_equal(fake_space_mapped(&space->hal), space_resident(space));
        }
    }
}

/* ---- placement -------------------------------------------------------------------------- */

static void places_are_chosen_downwards(void **state)
{
    (void)state;
    vaddr_t a, b, c;
    assert_int_equal(map(0, 4, RW, ANON, &a), 0);
    assert_int_equal(a, USER_HI - 4 * PG);
    assert_int_equal(map(0, 4, PROT_READ, ANON, &b), 0);
    assert_int_equal(b, a - 4 * PG);
    assert_int_equal(map(0x200000 + 5, 1, RW, ANON, &c), 0); /* a hint is rounded down */
    assert_int_equal(c, 0x200000);
    assert_int_equal(map(0x200000, 1, RW, ANON, &c), 0); /* taken: elsewhere */
    assert_int_equal(c, b - PG);
    assert_int_equal(space_unmap(space, a, 2 * PG), 0);
    assert_int_equal(map(0, 2, PROT_READ, ANON, &c), 0); /* the highest hole that fits */
    assert_int_equal(c, a);
    space->mmap_top = 0x300000;
    assert_int_equal(map(0, 1, RW, ANON, &c), 0);
    assert_int_equal(c, 0x2ff000);
    struct map_request low = {.len = PG, .prot = RW, .flags = ANON, .lo = 0x400000, .hi = 0x500000};
    assert_int_equal(space_map(space, &low, &c), 0);
    assert_int_equal(c, 0x4ff000);
    low.len = 0x100000;
    assert_int_equal(space_map(space, &low, &c), -ENOMEM);
}

static void fixed_places(void **state)
{
    (void)state;
    vaddr_t out;
    assert_int_equal(map(BASE + 1, 1, RW, ANON | MAP_FIXED, &out), -EINVAL);
    assert_int_equal(map(0, 1, RW, ANON | MAP_FIXED, &out), -EPERM);
    assert_int_equal(map(USER_HI, 1, RW, ANON | MAP_FIXED, &out), -ENOMEM);
    assert_int_equal(map(USER_HI - PG, 2, RW, ANON | MAP_FIXED, &out), -ENOMEM);
    assert_int_equal(map(BASE, 4, RW, ANON | MAP_FIXED_NOREPLACE, &out), 0);
    assert_int_equal(map(BASE + 3 * PG, 1, RW, ANON | MAP_FIXED_NOREPLACE, &out), -EEXIST);
    /* Between two windows nothing can be mapped, as if it were taken. */
    fake_layout.user[1] = (struct hal_user_window){BASE + 64 * PG, USER_HI};
    fake_layout.user[0].hi = BASE + 32 * PG;
    fake_layout.user_count = 2;
    assert_int_equal(map(BASE + 40 * PG, 1, RW, ANON | MAP_FIXED, &out), -ENOMEM);
    assert_int_equal(map(BASE + 40 * PG, 1, RW, ANON | MAP_FIXED_NOREPLACE, &out), -EEXIST);
    assert_int_equal(map(BASE + 31 * PG, 2, RW, ANON | MAP_FIXED_NOREPLACE, &out), -EEXIST);
    assert_int_equal(map(BASE + 64 * PG, 1, RW, ANON | MAP_FIXED_NOREPLACE, &out), 0);
    fake_layout.user[0].hi = USER_HI;
    fake_layout.user_count = 1;
    assert_int_equal(map(BASE, 0, RW, ANON, &out), -EINVAL);
    assert_int_equal(map(BASE, SIZE_MAX / PG, RW, ANON, &out), -ENOMEM);
    assert_int_equal(map(BASE, 1, RW, MAP_ANONYMOUS, &out), -EINVAL);
    assert_int_equal(map(BASE, 1, RW, MAP_ANONYMOUS | MAP_SHARED_VALIDATE, &out), -EINVAL);
    assert_int_equal(map(BASE, 1, RW, ANON | MAP_HUGETLB, &out), -ENOMEM);
    struct map_request req = {
        .len = PG, .flags = MAP_PRIVATE, .prot = RW, .object = &file.object, .off = 5};
    assert_int_equal(space_map(space, &req, &out), -EINVAL);
    req.off = INT64_MAX & PAGE_MASK;
    assert_int_equal(space_map(space, &req, &out), -EOVERFLOW);
    req.off = 0;
    req.flags = MAP_SHARED;
    assert_int_equal(space_map(space, &req, &out), -EACCES); /* not open for writing */
    req.prot = PROT_READ;
    assert_int_equal(space_map(space, &req, &out), 0);
    assert_int_equal(space_protect(space, out, PG, RW), -EACCES);
    req.flags = MAP_SHARED_VALIDATE | MAP_SYNC;
    assert_int_equal(space_map(space, &req, &out), -EOPNOTSUPP);
}

static void limits_are_kept(void **state)
{
    (void)state;
    vaddr_t out;
    space->as_limit = 10 * PG;
    assert_int_equal(map(BASE, 8, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(map(0, 3, RW, ANON, &out), -ENOMEM);
    assert_int_equal(map(BASE, 10, RW, ANON | MAP_FIXED, &out), 0); /* what it replaces is free */
    assert_int_equal(map(0, 1, RW, ANON, &out), -ENOMEM);
    space->as_limit = UINT64_MAX;
    space->data_limit = 12 * PG;
    assert_int_equal(map(0, 3, RW, ANON, &out), -ENOMEM);
    assert_int_equal(map(0, 3, PROT_READ, ANON, &out), 0);
    assert_int_equal(space_protect(space, out, 3 * PG, RW), -ENOMEM);
    space->data_limit = UINT64_MAX;
    assert_int_equal(map(0, 49 * MIB / PG, RW, ANON, &out), -ENOMEM); /* more than all RAM */
    assert_int_equal(map(0, 49 * MIB / PG, RW, ANON | MAP_NORESERVE, &out), 0);
    assert_int_equal(map(0, 49 * MIB / PG, PROT_NONE, ANON, &out), 0);
}

/* ---- areas ------------------------------------------------------------------------------ */

static void equal_neighbours_join(void **state)
{
    (void)state;
    vaddr_t out;
    assert_int_equal(map(BASE, 2, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(map(BASE + 4 * PG, 2, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(space->area_count, 2);
    assert_int_equal(map(BASE + 2 * PG, 2, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(space->area_count, 1);
    assert_int_equal(space_protect(space, BASE + PG, PG, PROT_READ), 0);
    assert_int_equal(space->area_count, 3);
    assert_int_equal(space_protect(space, BASE + PG, PG, RW), 0);
    assert_int_equal(space->area_count, 1);
    assert_int_equal(map_file(BASE + 0x100000, 2, RW, MAP_SHARED | MAP_FIXED, 0, &out), 0);
    assert_int_equal(map_file(BASE + 0x102000, 2, RW, MAP_SHARED | MAP_FIXED, 2, &out), 0);
    assert_int_equal(space->area_count, 2);
    assert_int_equal(file.refs, 1);
    assert_int_equal(map_file(BASE + 0x104000, 2, RW, MAP_SHARED | MAP_FIXED, 5, &out), 0);
    assert_int_equal(space->area_count, 3);
}

static int walk_count(const struct area_info *info, void *arg)
{
    unsigned *count = arg;
    ++*count;
    return *count == 2 ? (int)info->prot + 100 : 0;
}

static void walk_sees_areas(void **state)
{
    (void)state;
    vaddr_t out;
    unsigned count = 0;
    assert_int_equal(map(BASE, 2, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(map(BASE + 8 * PG, 2, PROT_READ, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(space_walk(space, walk_count, &count), 100 + PROT_READ);
}

static void special_areas_are_safe(void **state)
{
    (void)state;
    vaddr_t out;
    struct map_request req = {.addr = BASE,
                              .len = PG,
                              .prot = PROT_READ | PROT_EXEC,
                              .flags = ANON | MAP_FIXED,
                              .area_flags = AREA_SPECIAL,
                              .name = "[vdso]"};
    assert_int_equal(space_map(space, &req, &out), 0);
    assert_int_equal(space_unmap(space, BASE - PG, 4 * PG), -EPERM);
    assert_int_equal(map(BASE, 1, RW, ANON | MAP_FIXED, &out), -EPERM);
    assert_int_equal(space_protect(space, BASE, PG, RW), -EACCES);
    assert_int_equal(space_patch(space, BASE + 3, "trampoline", 10), 0); /* the kernel may */
    assert_int_equal(space_remap(space, BASE, PG, 2 * PG, MREMAP_MAYMOVE, 0, &out), -EFAULT);
}

/* ---- faults ----------------------------------------------------------------------------- */

static void private_writes_stay_private(void **state)
{
    (void)state;
    vaddr_t a, b;
    unsigned char byte;
    assert_int_equal(map_file(0, 4, RW, MAP_PRIVATE, 0, &a), 0);
    assert_int_equal(map_file(0, 4, RW, MAP_SHARED, 0, &b), 0);
    assert_int_equal(user_read(a + PG, &byte), 0);
    assert_int_equal(byte, 10);
    assert_int_equal(user_write(b + PG, 77), 0);
    assert_int_equal(user_read(a + PG, &byte), 0); /* not yet copied: follows the file */
    assert_int_equal(byte, 77);
    assert_int_equal(user_write(a + PG, 88), 0);
    assert_int_equal(user_read(b + PG, &byte), 0);
    assert_int_equal(byte, 77);
    assert_int_equal(vm_object_read(&file.object, PG, &byte, 1), 0);
    assert_int_equal(byte, 77);
}

static void anonymous_sharing(void **state)
{
    (void)state;
    vaddr_t a, b;
    unsigned char byte;
    assert_int_equal(map(0, 4, RW, MAP_SHARED | MAP_ANONYMOUS, &a), 0);
    assert_int_equal(user_write(a + PG, 5), 0);
    /* old_len 0: a second mapping of the same memory */
    assert_int_equal(space_remap(space, a, 0, 4 * PG, MREMAP_MAYMOVE, 0, &b), 0);
    assert_int_not_equal(a, b);
    assert_int_equal(user_read(b + PG, &byte), 0);
    assert_int_equal(byte, 5);
    assert_int_equal(user_write(b + 2 * PG, 6), 0);
    assert_int_equal(user_read(a + 2 * PG, &byte), 0);
    assert_int_equal(byte, 6);
    assert_int_equal(space_advise(space, a, 4 * PG, MADV_REMOVE), 0);
    assert_int_equal(user_read(b + PG, &byte), 0);
    assert_int_equal(byte, 0);
}

/* A hole in the file is seen by all its mappings, but what a private one has written is its own. */
static void holes_keep_private_copies(void **state)
{
    (void)state;
    static const struct vm_object_ops unfilled = {.get = file_get, .put = file_put};
    vaddr_t shared, private;
    unsigned char byte;
    file.object.ops = &unfilled;
    assert_int_equal(map_file(0, 4, RW, MAP_SHARED, 0, &shared), 0);
    assert_int_equal(map_file(0, 4, RW, MAP_PRIVATE, 0, &private), 0);
    assert_int_equal(user_write(shared + 2 * PG, 5), 0);
    assert_int_equal(user_write(private + PG, 7), 0);
    assert_int_equal(user_read(private + 2 * PG, &byte), 0);
    assert_int_equal(byte, 5);
    assert_int_equal(vm_object_punch(&file.object, 0, 4 * PG), 0);
    assert_int_equal(user_read(private + PG, &byte), 0);
    assert_int_equal(byte, 7);
    assert_int_equal(user_read(private + 2 * PG, &byte), 0);
    assert_int_equal(byte, 0);
    assert_int_equal(user_read(shared + 2 * PG, &byte), 0);
    assert_int_equal(byte, 0);
    /* Truncation takes the copies, too. */
    assert_int_equal(vm_object_resize(&file.object, PG), 0);
    assert_int_equal(user_read(private + PG, &byte), -ENXIO);
}

static void end_of_file_is_sigbus(void **state)
{
    (void)state;
    vaddr_t a;
    unsigned char byte;
    assert_int_equal(map_file(0, 50, RW, MAP_SHARED, 0, &a), 0);
    assert_int_equal(user_read(a + 39 * PG, &byte), 0);
    assert_int_equal(user_read(a + 40 * PG, &byte), -ENXIO);
    assert_int_equal(user_write(a + 40 * PG, 1), -ENXIO);
    assert_int_equal(user_read(a + 3 * PG, &byte), 0);
    assert_int_equal(vm_object_resize(&file.object, 2 * PG + 100), 0);
    assert_int_equal(user_read(a + 3 * PG, &byte), -ENXIO);
    assert_int_equal(user_read(a + 2 * PG + 99, &byte), 0);
    assert_int_equal(byte, 17);
    assert_int_equal(user_read(a + 2 * PG + 100, &byte), 0);
    assert_int_equal(byte, 0);
    assert_int_equal(user_write(a + 2 * PG + 200, 9), 0); /* behind the end, in its last page */
    assert_int_equal(vm_object_resize(&file.object, 3 * PG), 0);
    assert_int_equal(user_read(a + 2 * PG + 200, &byte), 0);
    assert_int_equal(byte, 0);
}

static void faults_map_neighbours(void **state)
{
    (void)state;
    vaddr_t a;
    assert_int_equal(map(BASE, 4096, RW, ANON | MAP_FIXED, &a), 0);
    unsigned before = fake_map_calls;
    unsigned faults = 0;
    for (int i = 0; i < 4096; i++) {
        uint64_t minor = faults_counted();
        assert_int_equal(user_write(a + (vaddr_t)i * PG, 1), 0);
        faults += faults_counted() != minor;
    }
    assert_int_equal(fake_map_calls - before, faults);
    assert_true(faults < 50);
    assert_int_equal(space_resident(space), 4096);
    assert_int_equal(space_resident_peak(space), 4096);
    /* Advice against it. */
    assert_int_equal(space_unmap(space, a, 4096 * PG), 0);
    assert_int_equal(space_resident(space), 0);
    assert_int_equal(map(BASE, 64, RW, ANON | MAP_FIXED, &a), 0);
    assert_int_equal(space_advise(space, a, 64 * PG, MADV_RANDOM), 0);
    assert_int_equal(user_write(a + 5 * PG, 1), 0);
    assert_int_equal(space_resident(space), 1);
    /* The most there were: also when nobody asked meanwhile. */
    assert_int_equal(space_resident_peak(space), 4096);
    assert_int_equal(space_mapped_peak(space), 4096);
    assert_int_equal(map(BASE, 5000, RW, ANON | MAP_FIXED, &a), 0);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(user_write(a + (vaddr_t)i * PG, 1), 0);
    assert_int_equal(space_unmap(space, a, 5000 * PG), 0);
    assert_int_equal(space_resident_peak(space), 5000);
    assert_int_equal(space_mapped_peak(space), 5000);
}

static void stacks_grow(void **state)
{
    (void)state;
    vaddr_t out;
    unsigned char byte;
    vaddr_t top = 0x2000000;
    struct map_request req = {.addr = top - 4 * PG,
                              .len = 4 * PG,
                              .prot = RW,
                              .flags = ANON | MAP_FIXED,
                              .area_flags = AREA_STACK,
                              .name = "[stack]"};
    space->stack_limit = 4 * MIB;
    assert_int_equal(space_map(space, &req, &out), 0);
    assert_int_equal(user_write(top - 100 * PG, 1), 0);
    assert_int_equal(user_write(top - 4 * MIB, 1), 0);
    assert_int_equal(user_write(top - 4 * MIB - 1, 1), -EFAULT);
    /* Nothing is placed within the guard gap below it. */
    space->mmap_top = top;
    assert_int_equal(map(0, 1, RW, ANON, &out), 0);
    assert_int_equal(out, top - 4 * MIB - STACK_GUARD_GAP - PG);
    /* A neighbour below stops the growth. */
    space->stack_limit = 16 * MIB;
    assert_int_equal(user_write(top - 4 * MIB - PG, 1), -EFAULT);
    assert_int_equal(space_unmap(space, out, PG), 0);
    assert_int_equal(user_write(top - 4 * MIB - PG, 1), 0);
    assert_int_equal(user_read(BASE, &byte), -EFAULT);
    /* MAP_GROWSDOWN */
    assert_int_equal(map(0x800000, 1, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, &out), 0);
    assert_int_equal(user_write(0x800000 - 5, 1), 0);
    assert_int_equal(space_protect(space, 0x800000, PG, PROT_READ | PROT_GROWSDOWN), 0);
    assert_int_equal(user_write(0x800000 - 5, 1), -EACCES);
}

static void brk_moves(void **state)
{
    (void)state;
    unsigned char byte;
    vaddr_t out;
    space_set_brk(space, 0x500010);
    assert_int_equal(space_brk(space, 0), 0x500010);
    assert_int_equal(space_brk(space, 0x503000), 0x503000);
    assert_int_equal(user_write(0x501000, 7), 0);
    assert_int_equal(user_read(0x500fff, &byte), -EFAULT); /* the page of the start is not heap */
    assert_int_equal(space_brk(space, 0x508000), 0x508000);
    assert_int_equal(space->area_count, 1);
    assert_int_equal(space_brk(space, 0x501800), 0x501800);
    assert_int_equal(user_read(0x501fff, &byte), 0);
    assert_int_equal(user_read(0x502000, &byte), -EFAULT);
    assert_int_equal(space_brk(space, 0x500000), 0x501800); /* below the start */
    assert_int_equal(map(0x510000, 1, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(space_brk(space, 0x510000), 0x501800); /* a page of distance */
    assert_int_equal(space_brk(space, 0x50f000), 0x50f000);
    assert_int_equal(space_brk(space, UINT64_MAX - 5), 0x50f000);
    space->data_limit = 20 * PG;
    assert_int_equal(space_unmap(space, 0x510000, PG), 0);
    assert_int_equal(space_brk(space, 0x540000), 0x50f000);
}

static void out_of_memory_is_an_error(void **state)
{
    (void)state;
    vaddr_t a;
    int err = 0;
    assert_int_equal(map(0, 60 * MIB / PG, RW, ANON | MAP_NORESERVE, &a), 0);
    for (vaddr_t va = a; !err && va < a + 60 * MIB; va += PG)
        err = user_write(va, 1);
    assert_int_equal(err, -ENOMEM);
    assert_int_equal(space_unmap(space, a, 60 * MIB), 0);
    assert_true(page_free_count() > 40 * MIB / PG);
}

/* Whoever gives memory back is not refused for want of it. */
static void unmapping_needs_no_free_memory(void **state)
{
    (void)state;
    vaddr_t at;
    void *all = NULL, *block;
    assert_int_equal(map(BASE_ADDR, 3, RW, ANON | MAP_FIXED, &at), 0);
    assert_int_equal(user_write(at + PG, 1), 0);
    const size_t sizes[] = {PG, sizeof(struct area)};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++)
        while ((block = kmalloc(sizes[i], 0))) {
            *(void **)block = all;
            all = block;
        }
    assert_int_equal(space_protect(space, at + PG, PG, PROT_READ), -ENOMEM);
    assert_int_equal(space_unmap(space, at + PG, PG), 0); /* cuts the area in two */
    while (all) {
        block = *(void **)all;
        kfree(all);
        all = block;
    }
    assert_int_equal(space->area_count, 2);
}

static void rights_are_checked(void **state)
{
    (void)state;
    vaddr_t a;
    unsigned char byte;
    assert_int_equal(map(0, 4, PROT_READ, ANON, &a), 0);
    assert_int_equal(user_write(a, 1), -EACCES);
    assert_int_equal(user_exec(a), -EACCES);
    assert_int_equal(user_read(a, &byte), 0);
    assert_int_equal(space_protect(space, a, 4 * PG, PROT_NONE), 0);
    assert_int_equal(user_read(a, &byte), -EACCES);
    assert_int_equal(space_protect(space, a, 4 * PG, PROT_WRITE), 0);
    assert_int_equal(user_read(a, &byte), 0);
    assert_int_equal(space_protect(space, a, 4 * PG, PROT_EXEC), 0);
    assert_int_equal(user_exec(a), 0);
    assert_int_equal(space_protect(space, a + 1, PG, RW), -EINVAL);
    assert_int_equal(space_protect(space, a, 0, RW), 0);
    assert_int_equal(space_protect(space, a, PG, 0x100), -EINVAL);
    assert_int_equal(space_protect(space, a, PG, PROT_GROWSDOWN | PROT_GROWSUP), -EINVAL);
    assert_int_equal(space_protect(space, a, SIZE_MAX & PAGE_MASK, RW), -ENOMEM);
    assert_int_equal(space_unmap(space, a + 1, PG), -EINVAL);
    assert_int_equal(space_unmap(space, a, 0), -EINVAL);
    assert_int_equal(space_unmap(space, a, SIZE_MAX), -EINVAL);
    assert_int_equal(space_unmap(space, a, 0x20000 - a), -EINVAL); /* the end wraps */
}

static void code_is_patched(void **state)
{
    (void)state;
    vaddr_t a;
    unsigned char byte;
    struct page *page;
    assert_int_equal(map_file(0, 4, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0, &a), 0);
    assert_int_equal(user_exec(a), 0);
    assert_int_equal(space_patch(space, a + PG - 2, "abcd", 4), 0);
    assert_int_equal(user_read(a + PG + 1, &byte), 0);
    assert_int_equal(byte, 'd');
    assert_int_equal(user_write(a, 1), -EACCES); /* still not writable */
    assert_int_equal(vm_object_read(&file.object, PG - 1, &byte, 1), 0);
    assert_int_equal(byte, 3);
    assert_int_equal(space_own_page(space, a, &page), 0);
    assert_int_equal(((unsigned char *)page_virt(page))[PG - 1], 'b');
    assert_false(fake_icache_stale(page_phys(page), PG));
    assert_int_equal(space_own_page(space, a + PG, &page), 0);
    assert_false(fake_icache_stale(page_phys(page), PG));
    assert_int_equal(space_own_page(space, BASE, &page), -EFAULT);
    assert_int_equal(map(0, 1, RW, ANON, &a), 0);
    assert_int_equal(space_patch(space, a, "x", 1), -EACCES);
}

/* What a removed range frees is all tables of the hole it is in, and no other. */
static void assert_widened(vaddr_t lo, vaddr_t hi, vaddr_t want_lo, vaddr_t want_hi)
{
    area_widen(space, &lo, &hi);
    assert_int_equal(lo, want_lo);
    assert_int_equal(hi, want_hi);
}

static void holes_are_widened(void **state)
{
    (void)state;
    const vaddr_t gib = 1024 * MIB, mib2 = 2 * MIB;
    vaddr_t low = gib + 3 * mib2 - PG, high = gib + 20 * mib2 + PG;
    fake_layout.user[0].hi = fake_layout.user_end = 3 * gib - PG;
    /* Nothing is there: up to the window's ends, which cut the first and the last GiB. */
    assert_widened(gib + PG, gib + 2 * PG, gib, 2 * gib);
    assert_widened(PG * 17, PG * 18, PG * 17, PG * 18);
    assert_widened(3 * gib - 2 * PG, 3 * gib - PG, 3 * gib - 2 * PG, 3 * gib - PG);
    assert_int_equal(map(low, 1, RW, ANON | MAP_FIXED, &low), 0);
    assert_int_equal(map(high, 1, RW, ANON | MAP_FIXED, &high), 0);
    /* The neighbours' tables stay: the first ends with its region, the second is within one. */
    assert_widened(low + PG, low + 2 * PG, low + PG, low + PG + mib2);
    assert_widened(low - PG, low, low - PG, low);
    assert_widened(low + PG, high, low + PG, high);
    assert_int_equal(space_unmap(space, high, PG), 0);
    assert_widened(low + PG, 2 * gib + PG, low + PG, 2 * gib + mib2);
    assert_int_equal(map(high, 1, RW, ANON | MAP_FIXED, &high), 0);
    assert_widened(high + PG, high + 2 * PG, high + PG, high + 2 * PG);
    assert_widened(low + mib2, low + mib2 + PG, low + PG, low + PG + mib2);
}

static vaddr_t changing;
static unsigned barriers;

/* Seen from another CPU between the steps. */
static void between_steps(void)
{
    unsigned char bytes[5];
    struct page *page;
    paddr_t pa;
    assert_true(hal_space_query(&space->hal, changing, &pa, NULL));
    page = page_of_phys(pa);
    memcpy(bytes, (char *)page_virt(page) + changing % PG, 5);
    assert_int_equal(bytes[0], 0xcc);
    assert_memory_equal(bytes + 1, barriers ? "BCDE" : "\3\3\3\3", 4);
    assert_int_equal(space->lock.readers, -1); /* no mapping changes meanwhile */
    barriers++;
}

static void code_is_changed(void **state)
{
    (void)state;
    unsigned char byte;
    static const uint8_t old[] = {3, 3, 3, 3, 3, 3, 3};
    struct code_change c = {.old = old,
                            .old_len = sizeof old,
                            .new_bytes = (const uint8_t *)"ABCDE",
                            .new_len = 5,
                            .guard = 0xcc,
                            .barrier = between_steps};
    assert_int_equal(map_file(0, 2, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0, &changing), 0);
    c.va = changing += 6; /* over the end of a word */
    barriers = 0;
    assert_int_equal(space_change_code(space, &c), 0);
    assert_int_equal(barriers, 2);
    assert_int_equal(user_read(changing, &byte), 0);
    assert_int_equal(byte, 'A');
    assert_int_equal(user_read(changing + 4, &byte), 0);
    assert_int_equal(byte, 'E');
    assert_int_equal(user_read(changing + 5, &byte), 0);
    assert_int_equal(byte, 3);
    /* Other bytes, nothing there, somebody may write. */
    assert_int_equal(space_change_code(space, &c), -EAGAIN);
    c.va = changing + 100;
    assert_int_equal(space_protect(space, changing - 6, PG, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    assert_int_equal(space_change_code(space, &c), -EACCES);
    assert_int_equal(space_protect(space, changing - 6, PG, PROT_READ), 0);
    assert_int_equal(space_change_code(space, &c), -EACCES);
    assert_int_equal(space_unmap(space, changing - 6, 2 * PG), 0);
    assert_int_equal(space_change_code(space, &c), -EFAULT);
    assert_int_equal(barriers, 2);
}

int main(void)
{
#define SPACE_TEST(f) cmocka_unit_test_setup_teardown(f, space_set_up, space_tear_down)
    const struct CMUnitTest tests[] = {
        SPACE_TEST(random_operations_match_model),
        SPACE_TEST(places_are_chosen_downwards),
        SPACE_TEST(fixed_places),
        SPACE_TEST(limits_are_kept),
        SPACE_TEST(equal_neighbours_join),
        SPACE_TEST(walk_sees_areas),
        SPACE_TEST(special_areas_are_safe),
        SPACE_TEST(private_writes_stay_private),
        SPACE_TEST(anonymous_sharing),
        SPACE_TEST(holes_keep_private_copies),
        SPACE_TEST(end_of_file_is_sigbus),
        SPACE_TEST(faults_map_neighbours),
        SPACE_TEST(stacks_grow),
        SPACE_TEST(brk_moves),
        SPACE_TEST(out_of_memory_is_an_error),
        SPACE_TEST(unmapping_needs_no_free_memory),
        SPACE_TEST(rights_are_checked),
        SPACE_TEST(code_is_patched),
        SPACE_TEST(holes_are_widened),
        SPACE_TEST(code_is_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
