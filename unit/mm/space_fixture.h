/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space_fixture.h - what the tests of address spaces share: a machine, a space, a file whose bytes
 * are known, and "user code" that reads and writes bytes through the page table and faults like a
 * program would.
 */
#ifndef SELKIE_UNIT_SPACE_FIXTURE_H
#define SELKIE_UNIT_SPACE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "lib/errno.h"
#include "mm/area.h"
#include "mm/hugetlb.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"

#define MIB ((size_t)1 << 20)
#define PG PAGE_SIZE
#define USER_LO 0x10000ul
#define USER_HI 0x40000000ul
#define BASE_ADDR 0x100000ul

static struct space *space;
static uint64_t pages_at_start;
static uint64_t bytes_at_start;

/* A file of `size` bytes; byte i of page p is (p * 7 + 3) until it is written. */
struct test_file {
    struct vm_object object;
    int refs;
};
static struct test_file file;

static int file_fill(struct vm_object *object, uint64_t index, struct page *page)
{
    (void)object;
    memset(page_virt(page), (int)(index * 7 + 3) & 255, PG);
    return 0;
}
static void file_get(struct vm_object *object)
{
    container_of(object, struct test_file, object)->refs++;
}
static void file_put(struct vm_object *object)
{
    container_of(object, struct test_file, object)->refs--;
}
static bool file_get_live(struct vm_object *object)
{
    file_get(object);
    return true;
}
static const struct vm_object_ops file_ops = {file_fill, file_get, file_put, file_get_live};

static inline uint64_t faults_counted(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SPACE_SLOTS; i++)
        sum += space->counts[i].faults;
    return sum;
}

static uint64_t heap_bytes(void)
{
    struct kmalloc_stats stats;
    kmalloc_get_stats(&stats);
    return stats.bytes_in_use;
}

static int on_fault(vaddr_t addr, enum hal_access access)
{
    return space_fault(space, addr, access, 0);
}

/* Whoever takes a page out of the table excludes faults there (munmap: by having removed the area),
 * and the page is still somebody's: it is given back when no CPU can come to it any more. */
static void on_unmap(struct hal_space *hal, vaddr_t va, paddr_t pa)
{
    assert_true(rwlock_write_held(&space->lock) || mutex_held(space_fault_lock(space, va)) ||
                !area_at(space, va));
    assert_true(hal != &space->hal || page_of_phys(pa)->type != PAGE_FREE);
}

static int space_set_up_ram(size_t size)
{
    fake_hal_init(size);
    fake_layout.user[0] = (struct hal_user_window){USER_LO, USER_HI};
    fake_layout.user_end = USER_HI;
    page_init();
    kmalloc_init();
    kvm_init();
    vm_cache_init();
    hugetlb_init();
    kfree(kmalloc(1, 0));
    pages_at_start = page_free_count();
    bytes_at_start = heap_bytes();
    vm_object_init(&file.object, &file_ops, 40 * PG);
    file.refs = 0;
    space = space_create();
    assert_non_null(space);
    fake_user_space = &space->hal;
    fake_user_fault = on_fault;
    fake_unmap_hook = on_unmap;
    fake_lock_hook = NULL;
    return 0;
}

static inline int space_set_up(void **state)
{
    (void)state;
    return space_set_up_ram(48 * MIB);
}

/* Everything goes back: no page, no object, no reference is lost. */
static int space_tear_down(void **state)
{
    (void)state;
    assert_true(area_tree_valid(space));
    fake_user_space = NULL;
    fake_unmap_hook = NULL;
    fake_lock_hook = NULL;
    space_put(space);
    assert_int_equal(file.refs, 0);
    vm_object_destroy(&file.object);
    assert_int_equal(heap_bytes(), bytes_at_start);
    struct page_stats stats;
    page_get_stats(&stats);
    assert_int_equal(stats.by_type[PAGE_ANON], 0);
    assert_int_equal(stats.by_type[PAGE_FILE], 0);
    page_check();
    fake_hal_fini();
    return 0;
}

/* One access of user code: 0 or the errno of the fault that ended it. */
static int user_access(vaddr_t va, enum hal_access access, unsigned char **at)
{
    unsigned want = access == HAL_ACCESS_WRITE  ? HAL_PROT_WRITE
                    : access == HAL_ACCESS_EXEC ? HAL_PROT_EXEC
                                                : HAL_PROT_READ;
    for (int tries = 0; tries < 4; tries++) {
        paddr_t pa;
        unsigned prot;
        if (hal_space_query(&space->hal, va & PAGE_MASK, &pa, &prot) && (prot & want)) {
            *at = (unsigned char *)hal_phys_to_virt(pa) + (va & (PG - 1));
            return 0;
        }
        int err = space_fault(space, va, access, 0);
        if (err)
            return err;
    }
    fail_msg("the fault at %#lx is never mended", (unsigned long)va);
    return -1;
}
static inline int user_read(vaddr_t va, unsigned char *byte)
{
    unsigned char *p;
    int err = user_access(va, HAL_ACCESS_READ, &p);
    if (!err)
        *byte = *p;
    return err;
}
static inline int user_write(vaddr_t va, unsigned char byte)
{
    unsigned char *p;
    int err = user_access(va, HAL_ACCESS_WRITE, &p);
    if (!err)
        *p = byte;
    return err;
}
static inline int user_exec(vaddr_t va)
{
    unsigned char *p;
    return user_access(va, HAL_ACCESS_EXEC, &p);
}

static inline int map(vaddr_t addr, size_t pages, unsigned prot, unsigned flags, vaddr_t *out)
{
    struct map_request req = {.addr = addr, .len = pages * PG, .prot = prot, .flags = flags};
    return space_map(space, &req, out);
}
static inline int map_file(vaddr_t addr, size_t pages, unsigned prot, unsigned flags, uint64_t page,
                           vaddr_t *out)
{
    struct map_request req = {
        .addr = addr,
        .len = pages * PG,
        .prot = prot,
        .flags = flags,
        .object = &file.object,
        .off = page * PG,
        .may_write = true,
    };
    return space_map(space, &req, out);
}

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

#endif
