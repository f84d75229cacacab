/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * santest.c - bugs made on purpose, which AddressSanitizer must report. Contract: santest.h.
 *
 * One for each class of memory that the kernel or the compiler poisons, and for each kind of
 * access: by compiled code, by lib/string.c, and by the assembly behind mm/usercopy.h. The compiler
 * must not see what is wrong with them, so sizes and addresses pass through hide().
 */
#include "mm/santest.h"

#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "mm/page.h"
#include "mm/usercopy.h"

#if SELKIE_ASAN

#define SIZE 40u        /* of an object: no size class */
#define BLOCK_SIZE 5000 /* of an object that gets pages */
#define USER_ADDRESS 0x400000u

static char global[SIZE];
static char *volatile hidden;

static char *hide(const void *p)
{
    hidden = (char *)(uintptr_t)p;
    return hidden;
}

static size_t hide_size(size_t n)
{
    return (size_t)((uintptr_t)hide((const void *)(uintptr_t)n));
}

/* Objects are leaked: what happens to them is the bug. */
static char *object(size_t size)
{
    char *p = kmalloc(size, ALLOC_ZERO);
    return hide(p ? p : global);
}

static void heap_right(void)
{
    object(SIZE)[hide_size(SIZE)] = 1;
}

/* An object whose left neighbour is no bug's own: a slot of this size ends in poison, one that
 * somebody fills to its end does not. So of some objects one that lies behind another. */
static void heap_left(void)
{
    enum { TRIES = 200, NEAR = 2 * SIZE };
    char *last = object(SIZE);
    for (unsigned i = 0; i < TRIES; i++) {
        char *next = object(SIZE);
        if (next > last && next - last < NEAR)
            (void)*(volatile char *)(next - hide_size(1));
        else if (next < last && last - next < NEAR)
            (void)*(volatile char *)(last - hide_size(1));
        last = next;
    }
}

static void heap_end(void) /* the last byte of a word is behind the end */
{
    (void)*(volatile uint64_t *)(void *)(object(SIZE + 4) + hide_size(SIZE));
}

static void heap_free(void)
{
    char *p = object(SIZE);
    kfree(p);
    hide(p)[hide_size(SIZE / 2)] = 1;
}

static void heap_reuse(void) /* although others have been allocated since */
{
    char *p = object(SIZE);
    kfree(p);
    for (unsigned i = 0; i < 10; i++) {
        char *other = object(SIZE);
        if (i % 2)
            kfree(other);
    }
    hide(p)[hide_size(SIZE / 2)] = 1;
}

static void heap_double_free(void)
{
    char *p = object(SIZE);
    kfree(p);
    kfree(hide(p));
}

static void block_right(void)
{
    object(BLOCK_SIZE)[hide_size(BLOCK_SIZE)] = 1;
}

static void page_free_write(void)
{
    struct page *page = page_alloc(0, PAGE_KERNEL, 0);
    char *p = page ? page_virt(page) : global;
    if (page)
        page_put(page);
    hide(p)[hide_size(PAGE_SIZE / 2)] = 1;
}

static void stack_right(void)
{
    char local[SIZE];
    hide(local)[0] = 0;
    (void)*(volatile char *)(hide(local) + hide_size(SIZE));
}

static void stack_left(void)
{
    char local[SIZE];
    hide(local)[0] = 0;
    *(volatile char *)(hide(local) - hide_size(1)) = 1;
}

static void stack_scope(void)
{
    char *p;
    {
        char local[SIZE];
        p = hide(local);
        p[0] = 0;
    }
    *(volatile char *)hide(p) = 1;
}

static void stack_alloca(void)
{
    char *p = hide(__builtin_alloca(hide_size(SIZE)));
    p[0] = 0;
    *(volatile char *)(p + hide_size(SIZE)) = 1;
}

static void global_right(void)
{
    hide(global)[hide_size(SIZE)] = 1;
}

static void copy_write(void)
{
    char from[SIZE + 1] = {0};
    memcpy(object(SIZE), hide(from), hide_size(SIZE + 1));
}

static void copy_read(void)
{
    char to[SIZE + 1];
    memmove(hide(to), object(SIZE), hide_size(SIZE + 1));
}

static void fill_write(void)
{
    memset(object(SIZE), 'x', hide_size(SIZE + 1));
}

static void string_read(void)
{
    char *p = object(SIZE);
    memset(p, 'x', SIZE);
    (void)hide_size(strlen(p));
}

static void user_copyin(void)
{
    (void)!copyin(object(SIZE), uaddr(USER_ADDRESS), hide_size(SIZE + 1));
}

static void user_copyout(void)
{
    (void)!copyout(uaddr(USER_ADDRESS), object(SIZE), hide_size(SIZE + 1));
}

static void user_read(void)
{
    (void)*(volatile char *)hide((void *)USER_ADDRESS);
}

static void null_write(void)
{
    *(volatile char *)(hide(NULL) + 8) = 1;
}

static void wild_read(void) /* where no kernel stack is yet */
{
    (void)*(volatile char *)hide((void *)(hal_layout()->kernel_hi - PAGE_SIZE));
}

static void deeper(size_t levels)
{
    char local[SIZE];
    hide(local)[0] = 1;
    if (levels)
        deeper(hide_size(levels - 1));
    hide(local)[1] = 1; /* no tail call */
}

static void stack_overflow(void)
{
    deeper(hide_size(1u << 20));
}

/* All of it as it may be. */
static void none(void)
{
    char local[SIZE], *p = object(SIZE), *block = object(BLOCK_SIZE);
    char *space = hide(__builtin_alloca(hide_size(SIZE)));
    memset(p, 'x', hide_size(SIZE));
    memset(block, 'x', hide_size(BLOCK_SIZE));
    memcpy(hide(local), p, hide_size(SIZE));
    memmove(hide(global), hide(local), hide_size(SIZE));
    memcpy(space, hide(global), hide_size(SIZE));
    p[SIZE - 1] = space[SIZE - 1] = 0;
    (void)hide_size(strlen(p));
    kfree(block);
    kfree(p);
}

static const struct {
    const char *name;
    void (*make)(void);
} bugs[] = {
    {"none", none},
    {"heap-right", heap_right},
    {"heap-left", heap_left},
    {"heap-end", heap_end},
    {"heap-free", heap_free},
    {"heap-reuse", heap_reuse},
    {"heap-double-free", heap_double_free},
    {"block-right", block_right},
    {"page-free", page_free_write},
    {"wild-read", wild_read},
    {"stack-overflow", stack_overflow},
    {"stack-right", stack_right},
    {"stack-left", stack_left},
    {"stack-scope", stack_scope},
    {"stack-alloca", stack_alloca},
    {"global-right", global_right},
    {"copy-write", copy_write},
    {"copy-read", copy_read},
    {"fill-write", fill_write},
    {"string-read", string_read},
    {"user-copyin", user_copyin},
    {"user-copyout", user_copyout},
    {"user-read", user_read},
    {"null-write", null_write},
};

int santest_run(const char *bug)
{
    for (size_t i = 0; i < ARRAY_COUNT(bugs); i++)
        if (strcmp(bugs[i].name, bug) == 0) {
            bugs[i].make();
            return 0;
        }
    return -EINVAL;
}

#else

int santest_run(const char *bug)
{
    (void)bug;
    return -EINVAL;
}

#endif
