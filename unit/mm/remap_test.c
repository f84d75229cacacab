/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm */
/*
 * remap_test.c - mremap, madvise, mincore, msync, mlock rule by rule; and every call with the nth
 * allocation or mapping failing: nothing may leak, and what was there must still be there.
 */
#include "mm/space_fixture.h"

/* ---- mremap -------------------------------------------------------------------------------- */

static void remap_shrinks_grows_moves(void **state)
{
    (void)state;
    vaddr_t a = BASE_ADDR, out;
    unsigned char byte;
    assert_int_equal(map(a, 8, RW, ANON | MAP_FIXED, &out), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(user_write(a + (vaddr_t)i * PG, (unsigned char)(i + 1)), 0);
    assert_int_equal(space_remap(space, a, 8 * PG, 4 * PG, 0, 0, &out), 0);
    assert_int_equal(out, a);
    assert_int_equal(user_read(a + 4 * PG, &byte), -EFAULT);
    assert_int_equal(space_remap(space, a, 4 * PG, 6 * PG, 0, 0, &out), 0); /* in place */
    assert_int_equal(out, a);
    assert_int_equal(user_read(a + 4 * PG, &byte), 0);
    assert_int_equal(byte, 0);
    assert_int_equal(map(a + 6 * PG, 1, PROT_READ, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(space_remap(space, a, 6 * PG, 7 * PG, 0, 0, &out), -ENOMEM);
    uint64_t resident = space_resident(space);
    assert_int_equal(space_remap(space, a, 6 * PG, 9 * PG, MREMAP_MAYMOVE, 0, &out), 0);
    assert_int_not_equal(out, a);
    assert_int_equal(space_resident(space), resident);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(user_read(out + (vaddr_t)i * PG, &byte), 0);
        assert_int_equal(byte, i < 4 ? i + 1 : 0);
    }
    assert_int_equal(user_read(a, &byte), -EFAULT);
    assert_int_equal(user_read(a + 6 * PG, &byte), 0); /* the neighbour stays */
}

static int find_name(const struct area_info *info, void *arg)
{
    const vaddr_t *at = arg;
    return *at >= info->lo && *at < info->hi && info->name[0] ? 1 : 0;
}

/* What is moved away from the heap is no heap any more. */
static void names_stay_behind(void **state)
{
    (void)state;
    vaddr_t at = BASE_ADDR + PG, out;
    space_set_brk(space, BASE_ADDR);
    assert_int_equal(space_brk(space, BASE_ADDR + 8 * PG), BASE_ADDR + 8 * PG);
    assert_int_equal(space_walk(space, find_name, &at), 1);
    assert_int_equal(
        space_remap(space, BASE_ADDR + 4 * PG, 2 * PG, 3 * PG, MREMAP_MAYMOVE, 0, &out), 0);
    assert_int_equal(space_walk(space, find_name, &out), 0);
    assert_int_equal(space_walk(space, find_name, &at), 1);
}

/* A segment of shared memory has a name, but no file that could give it. */
static void names_of_objects_move(void **state)
{
    (void)state;
    vaddr_t at, out;
    struct map_request req = {.len = 4 * PG,
                              .prot = RW,
                              .flags = MAP_SHARED,
                              .object = &file.object,
                              .may_write = true,
                              .name = "/SYSV00000001"};
    assert_int_equal(space_map(space, &req, &at), 0);
    assert_int_equal(space_walk(space, find_name, &at), 1);
    assert_int_equal(
        space_remap(space, at, 4 * PG, 8 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, BASE_ADDR, &out), 0);
    assert_int_equal(space_walk(space, find_name, &out), 1);
    assert_int_equal(space_remap(space, out, 0, 2 * PG, MREMAP_MAYMOVE, 0, &out), 0);
    assert_int_equal(space_walk(space, find_name, &out), 1);
}

static void remap_dontunmap(void **state)
{
    (void)state;
    vaddr_t a = BASE_ADDR, out;
    unsigned char byte;
    assert_int_equal(map(a, 3, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(user_write(a + PG, 9), 0);
    unsigned flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    assert_int_equal(space_remap(space, a, 3 * PG, 2 * PG, flags, 0, &out), -EINVAL);
    assert_int_equal(space_remap(space, a, 3 * PG, 3 * PG, MREMAP_DONTUNMAP, 0, &out), -EINVAL);
    assert_int_equal(space_remap(space, a, 3 * PG, 3 * PG, flags, 0, &out), 0);
    assert_int_equal(user_read(out + PG, &byte), 0);
    assert_int_equal(byte, 9);
    assert_int_equal(user_read(a + PG, &byte), 0); /* still mapped, now empty */
    assert_int_equal(byte, 0);
}

static void remap_errors(void **state)
{
    (void)state;
    vaddr_t a = BASE_ADDR, out;
    assert_int_equal(map(a, 4, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(map(a + 4 * PG, 4, PROT_READ, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(space_remap(space, a + 1, PG, PG, 0, 0, &out), -EINVAL);
    assert_int_equal(space_remap(space, a, PG, 0, 0, 0, &out), -EINVAL);
    assert_int_equal(space_remap(space, a, PG, PG, 8, 0, &out), -EINVAL);
    assert_int_equal(space_remap(space, a, PG, PG, MREMAP_FIXED, 0, &out), -EINVAL);
    assert_int_equal(space_remap(space, a, 0, PG, MREMAP_MAYMOVE, 0, &out), -EINVAL);
    assert_int_equal(space_remap(space, a - PG, PG, 2 * PG, 0, 0, &out), -EFAULT);
    assert_int_equal(space_remap(space, a, 8 * PG, 9 * PG, MREMAP_MAYMOVE, 0, &out), -EFAULT);
    unsigned fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
    assert_int_equal(space_remap(space, a, PG, PG, fixed, a + 5, &out), -EINVAL);
    assert_int_equal(space_remap(space, a, 2 * PG, 2 * PG, fixed, a + PG, &out), -EINVAL);
    assert_int_equal(space_remap(space, a, PG, PG, fixed, USER_HI, &out), -EINVAL);
    assert_int_equal(space_remap(space, a, PG, SIZE_MAX & PAGE_MASK, MREMAP_MAYMOVE, 0, &out),
                     -ENOMEM);
    space->as_limit = 8 * PG;
    assert_int_equal(space_remap(space, a, 4 * PG, 5 * PG, MREMAP_MAYMOVE, 0, &out), -ENOMEM);
}

/* ---- advice ---------------------------------------------------------------------------------- */

static void advice(void **state)
{
    (void)state;
    vaddr_t a = BASE_ADDR, out;
    unsigned char byte;
    assert_int_equal(map(a, 4, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(space_advise(space, a + 1, PG, MADV_NORMAL), -EINVAL);
    assert_int_equal(space_advise(space, a, PG, 7), -EINVAL);
    assert_int_equal(space_advise(space, a, PG, 25), -EINVAL);
    assert_int_equal(space_advise(space, a, 0, MADV_DONTNEED), 0);
    assert_int_equal(space_advise(space, a, SIZE_MAX, MADV_DONTNEED), -EINVAL);
    for (int advice = MADV_NORMAL; advice <= MADV_POPULATE_WRITE; advice++) {
        if (advice > MADV_DONTNEED && advice < MADV_FREE)
            continue;
        int want = advice == MADV_REMOVE ? -EINVAL : 0;
        assert_int_equal(space_advise(space, a, 4 * PG, advice), want);
        assert_int_equal(space->area_count, 1);
        assert_int_equal(space_advise(space, a + 2 * PG, 4 * PG, advice), want ? want : -ENOMEM);
        assert_int_equal(space_advise(space, a, 4 * PG, MADV_KEEPONFORK), 0);
        assert_int_equal(space_advise(space, a, 4 * PG, MADV_NORMAL), 0);
        assert_int_equal(space_advise(space, a, 4 * PG, MADV_DOFORK), 0);
        assert_int_equal(space_advise(space, a, 4 * PG, MADV_DODUMP), 0);
        assert_int_equal(space->area_count, 1);
    }
    assert_int_equal(user_write(a, 3), 0);
    assert_int_equal(space_advise(space, a, PG, MADV_FREE), 0);
    assert_int_equal(user_read(a, &byte), 0);
    assert_int_equal(space_lock_pages(space, a, PG, AREA_LOCKED), 0);
    assert_int_equal(space_advise(space, a, PG, MADV_DONTNEED), -EINVAL);
    assert_int_equal(space_advise(space, a, PG, MADV_COLD), -EINVAL);
    assert_int_equal(space_lock_pages(space, a + 5, 10, 0), 0);
    assert_int_equal(space_advise(space, a, PG, MADV_DONTNEED), 0);
    assert_int_equal(space_protect(space, a, PG, PROT_READ), 0);
    assert_int_equal(space_advise(space, a, PG, MADV_POPULATE_WRITE), -EINVAL);
    assert_int_equal(map_file(a, 2, RW, MAP_PRIVATE | MAP_FIXED, 39, &out), 0);
    assert_int_equal(space_advise(space, a, PG, MADV_FREE), -EINVAL);
    assert_int_equal(space_advise(space, a, PG, MADV_WIPEONFORK), -EINVAL);
    assert_int_equal(space_advise(space, a, 2 * PG, MADV_POPULATE_READ), -EFAULT);
    assert_int_equal(space_advise(space, a, PG, MADV_REMOVE), -EACCES);
    assert_int_equal(user_write(a, 5), 0);
    assert_int_equal(space_advise(space, a, PG, MADV_DONTNEED), 0);
    assert_int_equal(user_read(a, &byte), 0);
    assert_int_equal(byte, (39 * 7 + 3) & 255); /* from the file again */
}

static void incore_sync_lock(void **state)
{
    (void)state;
    vaddr_t a = BASE_ADDR, out;
    uint8_t vec[8];
    assert_int_equal(map(a, 2, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(map_file(a + 2 * PG, 2, PROT_READ, MAP_SHARED | MAP_FIXED, 0, &out), 0);
    assert_int_equal(space_incore(space, a, 4 * PG, vec), 0);
    assert_int_equal(vec[0] + vec[1] + vec[2] + vec[3], 0);
    struct page *page;
    assert_int_equal(vm_object_page(&file.object, 1, true, &page), 0);
    page_put(page);
    assert_int_equal(user_write(a + PG, 1), 0);
    assert_int_equal(space_incore(space, a, 4 * PG, vec), 0);
    assert_int_equal(vec[1], 1);
    assert_int_equal(vec[2], 0);
    assert_int_equal(vec[3], 1); /* cached, though not mapped */
    assert_int_equal(space_incore(space, a, 5 * PG, vec), -ENOMEM);
    assert_int_equal(space_incore(space, a + 1, PG, vec), -EINVAL);
    assert_int_equal(space_sync(space, a, 4 * PG, MS_SYNC), 0);
    assert_int_equal(space_sync(space, a, 5 * PG, MS_ASYNC), -ENOMEM);
    assert_int_equal(space_sync(space, a, PG, MS_SYNC | MS_ASYNC), -EINVAL);
    assert_int_equal(space_sync(space, a, PG, 8), -EINVAL);
    assert_int_equal(space_sync(space, a + 1, PG, 0), -EINVAL);
    assert_int_equal(space_lock_pages(space, a, 4 * PG, AREA_LOCKED), 0);
    assert_int_equal(space_sync(space, a, PG, MS_INVALIDATE), -EBUSY);
    assert_int_equal(space_lock_pages(space, a, 9 * PG, AREA_LOCKED), -ENOMEM);
    assert_int_equal(map(0, 4, RW, ANON | MAP_POPULATE, &out), 0);
    assert_true(hal_space_query(&space->hal, out + 3 * PG, NULL, NULL));
    assert_int_equal(space_populate(space, out, 4 * PG, POPULATE_WRITE), 0);
    assert_int_equal(space_populate(space, out - PG, 2 * PG, POPULATE_WRITE), -ENOMEM);
}

static void usercopy_checks_and_faults(void **state)
{
    (void)state;
    vaddr_t a = USER_HI - 2 * PG, out;
    char buf[64] = "";
    uint32_t word;
    assert_int_equal(map(a, 2, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(copyout(uaddr(a + PG - 3), "hello", 6), 0);
    assert_int_equal(copyin(buf, uaddr(a + PG - 3), 6), 0);
    assert_string_equal(buf, "hello");
    assert_int_equal(copyin_str(buf, uaddr(a + PG - 3), sizeof buf), 5);
    assert_int_equal(copyin_str(buf, uaddr(a + PG - 3), 6), 5);
    assert_int_equal(copyin_str(buf, uaddr(a + PG - 3), 5), -ENAMETOOLONG);
    assert_int_equal(copyout(uaddr(USER_HI - 3), "xyz", 3), 0);
    assert_int_equal(copyin_str(buf, uaddr(USER_HI - 3), sizeof buf), -EFAULT);
    assert_int_equal(copyin(buf, uaddr(USER_HI - 3), 4), -EFAULT);
    assert_int_equal(copyin(buf, uaddr(a - 1), 1), -EFAULT); /* unmapped */
    assert_int_equal(copyin(buf, uaddr(0), 1), -EFAULT);
    assert_int_equal(copyin(buf, uaddr(a), SIZE_MAX), -EFAULT);
    assert_int_equal(copyin(buf, uaddr(12), 0), 0);
    assert_int_equal(user_zero(uaddr(a + PG - 3), 5), 0);
    assert_int_equal(user_store_u32(uaddr(a + 8), 5), 0);
    assert_int_equal(user_load_u32(uaddr(a + 8), &word), 0);
    assert_int_equal(word, 5);
    assert_int_equal(user_cmpxchg_u32(uaddr(a + 8), 5, 6, &word), 0);
    assert_int_equal(word, 5);
    assert_int_equal(user_cmpxchg_u32(uaddr(a + 8), 5, 7, &word), 0);
    assert_int_equal(word, 6);
    assert_int_equal(user_load_u32(uaddr(a + 9), &word), -EFAULT);
    char data[10] = "";
    assert_int_equal(vm_object_write_user(&file.object, PG - 2, uaddr(a + 8), 4), 4);
    assert_int_equal(vm_object_read_user(&file.object, PG - 2, uaddr(a + 100), 4), 4);
    assert_int_equal(vm_object_read_user(&file.object, 0, uaddr(a - PG), 4), -EFAULT);
    assert_int_equal(vm_object_read_user(&file.object, 60 * PG, uaddr(a), 4), 0);
    /* What lies in front of the end is copied and counts. */
    assert_int_equal(vm_object_read_user(&file.object, 0, uaddr(USER_HI - 4), 10), 4);
    assert_int_equal(vm_object_read(&file.object, PG - 2, data, 4), 0);
    assert_int_equal(data[0], 6);
}

/* ---- failures ---------------------------------------------------------------------------------
 */

#define SCENE (BASE_ADDR + 16 * PG)

/* A scene to break: anonymous pages with values, a private file mapping, a hole. */
static void make_scene(void)
{
    vaddr_t out;
    assert_int_equal(map(SCENE, 8, RW, ANON | MAP_FIXED, &out), 0);
    assert_int_equal(map_file(SCENE + 8 * PG, 8, RW, MAP_PRIVATE | MAP_FIXED, 2, &out), 0);
    for (int i = 0; i < 16; i += 3)
        assert_int_equal(user_write(SCENE + (vaddr_t)i * PG, (unsigned char)(100 + i)), 0);
}

static void check_scene(void)
{
    unsigned char byte;
    for (int i = 0; i < 16; i++) {
        assert_int_equal(user_read(SCENE + (vaddr_t)i * PG, &byte), 0);
        unsigned want = i % 3 == 0 ? 100u + (unsigned)i : i < 8 ? 0 : ((unsigned)i - 6) * 7 + 3;
        assert_int_equal(byte, want & 255);
    }
}

/* Pages of programs and files; slabs of the kernel's allocator may stay for reuse. */
static uint64_t user_pages(void)
{
    struct page_stats stats;
    page_get_stats(&stats);
    return stats.by_type[PAGE_ANON] + stats.by_type[PAGE_FILE];
}

enum { OP_MAP, OP_MAP_SHARED, OP_UNMAP, OP_PROTECT, OP_MOVE, OP_GROW, OP_ADVISE, OP_COUNT };
static int run_op(int op)
{
    vaddr_t out;
    switch (op) {
    case OP_MAP:
        return map(SCENE + 2 * PG, 3, PROT_READ, ANON | MAP_FIXED, &out);
    case OP_MAP_SHARED:
        return map(0, 3, RW, MAP_SHARED | MAP_ANONYMOUS, &out);
    case OP_UNMAP:
        return space_unmap(space, SCENE + 2 * PG, 9 * PG);
    case OP_PROTECT:
        return space_protect(space, SCENE + PG, 12 * PG, PROT_READ);
    case OP_MOVE:
        return space_remap(space, SCENE + PG, 5 * PG, 7 * PG, MREMAP_MAYMOVE, 0, &out);
    case OP_GROW:
        return space_remap(space, SCENE + 8 * PG, 8 * PG, 12 * PG, MREMAP_MAYMOVE, 0, &out);
    default:
        return space_advise(space, SCENE + 3 * PG, 7 * PG, MADV_RANDOM);
    }
}

/* Fail the nth allocation (or mapping call) of every operation for all n that happen. */
static void failing_operations_change_nothing(void **state)
{
    for (int mapping = 0; mapping < 2; mapping++)
        for (int op = 0; op < OP_COUNT; op++)
            for (unsigned n = 1;; n++) {
                make_scene();
                uint64_t pages = user_pages(), bytes = heap_bytes();
                size_t areas = space->area_count;
                if (mapping)
                    fake_map_fail_nth(n);
                else
                    alloc_fail_nth(n);
                int err = run_op(op);
                bool hit = mapping ? err != 0 : alloc_fail_hit();
                fake_map_fail_nth(0);
                alloc_fail_nth(0);
                assert_true(area_tree_valid(space));
                if (err) {
                    assert_int_equal(err, -ENOMEM);
                    assert_int_equal(heap_bytes(), bytes);
                    assert_int_equal(user_pages(), pages);
                    assert_int_equal(space->area_count, areas);
                    check_scene();
                }
                space_tear_down(state);
                space_set_up(state);
                if (!hit)
                    break;
                assert_true(n < 100);
            }
}

/* A fault that fails for want of memory fails cleanly, and works when it is tried again. */
static void failing_faults_can_be_retried(void **state)
{
    for (int mapping = 0; mapping < 2; mapping++)
        for (int page = 0; page < 16; page++)
            for (unsigned n = 1;; n++) {
                vaddr_t out, va = SCENE + (vaddr_t)page * PG;
                unsigned char byte;
                assert_int_equal(map(SCENE, 8, RW, ANON | MAP_FIXED, &out), 0);
                assert_int_equal(map_file(SCENE + 8 * PG, 8, RW, MAP_PRIVATE | MAP_FIXED, 2, &out),
                                 0);
                if (page % 2) /* a copy of what is mapped already */
                    assert_int_equal(user_read(va, &byte), 0);
                if (mapping)
                    fake_map_fail_nth(n);
                else
                    alloc_fail_nth(n);
                int err = user_write(va, 9);
                bool hit = mapping ? err != 0 : alloc_fail_hit();
                fake_map_fail_nth(0);
                alloc_fail_nth(0);
                assert_true(err == 0 || err == -ENOMEM);
                assert_int_equal(fake_space_mapped(&space->hal), space_resident(space));
                assert_int_equal(user_write(va, 9), 0);
                assert_int_equal(user_read(va, &byte), 0);
                assert_int_equal(byte, 9);
                space_tear_down(state);
                space_set_up(state);
                if (!hit)
                    break;
                assert_true(n < 100);
            }
}

int main(void)
{
#define SPACE_TEST(f) cmocka_unit_test_setup_teardown(f, space_set_up, space_tear_down)
    const struct CMUnitTest tests[] = {
        SPACE_TEST(remap_shrinks_grows_moves),
        SPACE_TEST(names_stay_behind),
        SPACE_TEST(names_of_objects_move),
        SPACE_TEST(remap_dontunmap),
        SPACE_TEST(remap_errors),
        SPACE_TEST(advice),
        SPACE_TEST(incore_sync_lock),
        SPACE_TEST(usercopy_checks_and_faults),
        SPACE_TEST(failing_operations_change_nothing),
        SPACE_TEST(failing_faults_can_be_retried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
