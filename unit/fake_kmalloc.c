/* SPDX-License-Identifier: BSD-3-Clause */
/* fake_kmalloc.c - mm/kmalloc.h over the host's malloc, for tests of code above mm:
 * AddressSanitizer then sees every object, and leaks are found at exit. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "mm/account.h"

struct memory_account memory_accounts[OWNER_COUNT];
void (*memory_account_more[OWNER_COUNT])(struct memory_account *sum);

static uint64_t fail_nth;
static bool fail_hit;

static bool fails(void)
{
    if (fail_nth == 0 || --fail_nth)
        return false;
    fail_hit = true;
    return true;
}

void kmalloc_init(void)
{
}
void *kmalloc(size_t size, unsigned flags)
{
    if (fails())
        return NULL;
    return flags & ALLOC_ZERO ? calloc(1, size ? size : 1) : malloc(size ? size : 1);
}
void *kmalloc_array(size_t count, size_t size, unsigned flags)
{
    size_t total;
    return mul_overflow(count, size, &total) ? NULL : kmalloc(total, flags);
}
void *krealloc(void *old, size_t size, unsigned flags)
{
    if (fails())
        return NULL;
    size_t old_size = old ? malloc_usable_size(old) : 0;
    char *block = realloc(old, size ? size : 1);
    if (block && (flags & ALLOC_ZERO) && size > old_size)
        memset(block + old_size, 0, size - old_size);
    return block;
}
void kfree(void *ptr)
{
    free(ptr);
}
size_t kmalloc_size(const void *ptr)
{
    return malloc_usable_size((void *)(uintptr_t)ptr);
}
char *kstrdup(const char *s, unsigned flags)
{
    size_t size = strlen(s) + 1;
    char *copy = kmalloc(size, flags);
    return copy ? memcpy(copy, s, size) : NULL;
}
void kmalloc_trim(void)
{
}
void kmalloc_serve(void)
{
}
void kmalloc_get_stats(struct kmalloc_stats *out)
{
    memset(out, 0, sizeof *out);
}
void alloc_fail_nth(uint64_t n)
{
    fail_nth = n;
    fail_hit = false;
}
bool alloc_fail_hit(void)
{
    return fail_hit;
}
void *kstack_alloc(void)
{
    return fails() ? NULL : aligned_alloc(4096, 16384);
}
void kstack_free(void *stack)
{
    free(stack);
}
bool kstack_reserve_full(unsigned cpu)
{
    (void)cpu;
    return true;
}
void kstack_refill(unsigned cpu)
{
    (void)cpu;
}
unsigned kstack_tables(void)
{
    return 0;
}
uint64_t kstack_grown(void)
{
    return 0;
}
bool kstack_is_guard(vaddr_t addr)
{
    (void)addr;
    return false;
}
