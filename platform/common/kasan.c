/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kasan.c - what a compiler built with -fsanitize=kernel-address calls, and the shadow's pages.
 *
 * A shadow byte speaks of eight bytes: 0 all may be touched, 1..7 so many from the first on, else
 * none, and why not (enum). This file is compiled without checks and calls nothing that has any,
 * but for the allocator in kasan_cover and the panic.
 *
 * The shadow has no lock. Whoever owns memory writes its shadow, and only bytes of granules that
 * are its own alone: objects are multiples of 16 bytes, pages and stacks of more.
 */
#include "common/kasan.h"

#include "lib/errno.h"
#include "lib/sanitize.h"
#include "lib/string.h"

#define GRANULE ((size_t)1 << KASAN_SHIFT)
#define LARGE_SIZE (2ull << 20)

/* Fixed by the compiler: stacks, globals, scopes. The others are POISON_ of lib/sanitize.h. */
enum {
    SHADOW_STACK_LEFT = 0xf1,
    SHADOW_STACK_MIDDLE = 0xf2,
    SHADOW_STACK_RIGHT = 0xf3,
    SHADOW_SCOPE = 0xf8,
    SHADOW_GLOBAL = 0xf9,
    SHADOW_ALLOCA_LEFT = 0xca,
    SHADOW_ALLOCA_RIGHT = 0xcb,
};

/* What the compiler says of each global (gcc, libsanitizer/asan/asan_interface_internal.h, version
 * 8). */
struct kasan_global {
    uintptr_t begin, size, size_with_zone;
    const char *name, *module;
    uintptr_t dynamic, location, indicator;
};

/* The compiler's names for all this have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

extern void (*const kasan_init_begin[])(void), (*const kasan_init_end[])(void); /* linker.ld */

static bool active; /* relaxed atomic: the checks count; a report ends them */

static inline uint8_t *shadow_of(uintptr_t addr)
{
    return (uint8_t *)kasan_shadow(addr);
}

/* ---- reports ---- */

static const char *reason(uintptr_t addr)
{
    const uint8_t *shadow = shadow_of(addr);
    uint8_t kind = *shadow >= GRANULE || *shadow == 0 ? *shadow : shadow[1];

    switch (kind) {
    case SHADOW_STACK_LEFT:
    case SHADOW_STACK_MIDDLE:
    case SHADOW_STACK_RIGHT:
    case SHADOW_ALLOCA_LEFT:
    case SHADOW_ALLOCA_RIGHT:
        return "outside a local variable";
    case SHADOW_SCOPE:
        return "to a local variable whose block has ended";
    case SHADOW_GLOBAL:
        return "outside a global variable";
    case POISON_ZONE:
        return "outside a kernel object";
    case POISON_FREE:
        return "to a free kernel object";
    case POISON_PAGE:
        return "to a free page";
    default:
        return "outside valid memory";
    }
}

static char *add_text(char *to, const char *text)
{
    size_t len = strlen(text);

    memcpy(to, text, len);
    return to + len;
}

static char *add_number(char *to, uint64_t value, unsigned base)
{
    char digits[24];
    unsigned count = 0;

    do
        digits[count++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (count)
        *to++ = digits[--count];
    return to;
}

/* The first byte of [addr, addr+size) that may not be touched. */
static uintptr_t first_bad(uintptr_t addr, size_t size)
{
    for (uintptr_t at = addr; at < addr + size; at++) {
        uint8_t shadow = *shadow_of(at);

        if (shadow != 0 && at % GRANULE >= (shadow < GRANULE ? shadow : 0u))
            return at;
    }
    return addr;
}

/* The first one ends the checks, for the panic itself touches what it likes. */
static __attribute__((noinline, cold)) void report(uintptr_t addr, size_t size, bool write,
                                                   uintptr_t pc, uintptr_t fp)
{
    static char text[200];
    char *end = text;

    /* Relaxed: only who is first matters. */
    if (!__atomic_exchange_n(&active, false, __ATOMIC_RELAXED))
        return;
    end = add_text(end, "asan: ");
    end = add_text(end, write ? "write of " : "read of ");
    end = add_number(end, size, 10);
    end = add_text(end, size == 1 ? " byte " : " bytes ");
    if ((intptr_t)addr >= 0) {
        end =
            add_text(end, addr < HAL_PAGE_SIZE ? "through a null pointer, at 0x"
                                               : "to user memory outside copy-in/copy-out, at 0x");
        end = add_number(end, addr, 16);
    } else {
        uintptr_t bad = first_bad(addr, size);

        end = add_text(end, reason(bad));
        end = add_text(end, ", at 0x");
        end = add_number(end, addr, 16);
        end = add_text(end, "+");
        end = add_number(end, bad - addr, 10);
        end = add_text(end, " (shadow 0x");
        end = add_number(end, *shadow_of(bad), 16);
        end = add_text(end, ")");
    }
    *end = 0;
    kernel_hal_panic(text, pc - 1, fp); /* into the call, not behind it */
}

/* ---- checks ---- */

/* May [addr, addr+size) be touched? Of at most a granule's size. */
static inline __attribute__((always_inline)) bool small_bad(uintptr_t addr, size_t size)
{
    uintptr_t last = addr + size - 1;
    uint8_t shadow;

    if ((intptr_t)addr >= 0)
        return true;
    if (__builtin_expect((addr & (GRANULE - 1)) + size > GRANULE, 0) && *shadow_of(addr) != 0)
        return true;
    shadow = *shadow_of(last);
    return __builtin_expect(shadow != 0, 0) &&
           (shadow >= GRANULE || (last & (GRANULE - 1)) >= shadow);
}

static bool range_bad(uintptr_t addr, size_t size)
{
    uintptr_t last = addr + size - 1;

    if (size == 0)
        return false;
    if ((intptr_t)addr >= 0 || last < addr)
        return true;
    for (uint8_t *at = shadow_of(addr), *end = shadow_of(last); at < end;)
        if ((uintptr_t)at % sizeof(uint64_t) == 0 && end - at >= (ptrdiff_t)sizeof(uint64_t)) {
            if (*(const uint64_t *)(const void *)at != 0)
                return true;
            at += sizeof(uint64_t);
        } else if (*at++ != 0) {
            return true;
        }
    return small_bad(last, 1);
}

/* pc and fp are the caller's of the function this stands in. */
#define CHECK(bad, addr, size, write) \
    do { \
        if (__builtin_expect(bad, 0)) \
            report(addr, size, write, (uintptr_t)__builtin_return_address(0), \
                   *(const uintptr_t *)__builtin_frame_address(0)); \
    } while (0)

#define ACCESS(size) \
    void __asan_load##size##_noabort(uintptr_t addr) \
    { \
        CHECK(small_bad(addr, size), addr, size, false); \
    } \
    void __asan_store##size##_noabort(uintptr_t addr) \
    { \
        CHECK(small_bad(addr, size), addr, size, true); \
    }

ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)

void __asan_load16_noabort(uintptr_t addr)
{
    CHECK(range_bad(addr, 16), addr, 16, false);
}

void __asan_store16_noabort(uintptr_t addr)
{
    CHECK(range_bad(addr, 16), addr, 16, true);
}

void __asan_loadN_noabort(uintptr_t addr, size_t size)
{
    CHECK(range_bad(addr, size), addr, size, false);
}

void __asan_storeN_noabort(uintptr_t addr, size_t size)
{
    CHECK(range_bad(addr, size), addr, size, true);
}

/* By the names that the user-space run-time library has (lib/sanitize.h). */
void __asan_loadN(const volatile void *addr, size_t size)
{
    CHECK(range_bad((uintptr_t)addr, size), (uintptr_t)addr, size, false);
}

void __asan_storeN(const volatile void *addr, size_t size)
{
    CHECK(range_bad((uintptr_t)addr, size), (uintptr_t)addr, size, true);
}

/* ---- what the shadow says ---- */

/* By words where it can: pages and stacks are long. */
static void fill(uint8_t *at, uint8_t value, size_t count)
{
    uint64_t word = value * 0x0101010101010101ull;
    uint8_t *end = at + count;

    while (at < end && (uintptr_t)at % sizeof(word) != 0)
        *at++ = value;
    for (; end - at >= (ptrdiff_t)sizeof(word); at += sizeof(word))
        *(uint64_t *)(void *)at = word;
    while (at < end)
        *at++ = value;
}

/* Of a granule that is poisoned in part the first bytes stay as they are; bytes behind the last
 * whole granule cannot be poisoned alone and are not. */
static void poison(uintptr_t addr, size_t size, uint8_t value)
{
    uintptr_t end = addr + size, first = align_up(addr, GRANULE), last = align_down(end, GRANULE);
    uint8_t *shadow = shadow_of(addr);

    if (first > end)
        return;
    if (addr < first && (*shadow == 0 || *shadow > addr % GRANULE))
        *shadow = *shadow >= GRANULE ? *shadow : (uint8_t)(addr % GRANULE);
    if (first < last)
        fill(shadow_of(first), value, (last - first) >> KASAN_SHIFT);
}

static void unpoison(uintptr_t addr, size_t size)
{
    uintptr_t end = addr + size;

    addr = align_down(addr, GRANULE);
    fill(shadow_of(addr), 0, (end - addr) >> KASAN_SHIFT);
    if (end % GRANULE) {
        uint8_t *shadow = shadow_of(end);

        if (*shadow >= GRANULE || (*shadow != 0 && *shadow < end % GRANULE))
            *shadow = (uint8_t)(end % GRANULE);
    }
}

/* Before kasan_start one page stands for all of the shadow. */
void __asan_poison_as(const volatile void *addr, size_t size, uint8_t kind)
{
    if (__atomic_load_n(&active, __ATOMIC_RELAXED))
        poison((uintptr_t)addr, size, kind);
}

void __asan_unpoison_memory_region(const volatile void *addr, size_t size)
{
    if (__atomic_load_n(&active, __ATOMIC_RELAXED))
        unpoison((uintptr_t)addr, size);
}

void __asan_poison_stack_memory(uintptr_t addr, size_t size)
{
    poison(addr, size, SHADOW_SCOPE);
}

void __asan_unpoison_stack_memory(uintptr_t addr, size_t size)
{
    unpoison(addr, size);
}

/* [addr, addr+size) between zones of 32 bytes, the right one from the next multiple of 32 on. */
#define ALLOCA_ZONE 32u

void __asan_alloca_poison(uintptr_t addr, size_t size)
{
    uintptr_t right = align_up(addr + size, ALLOCA_ZONE);

    poison(addr - ALLOCA_ZONE, ALLOCA_ZONE, SHADOW_ALLOCA_LEFT);
    unpoison(addr, size);
    poison(addr + size, right + ALLOCA_ZONE - (addr + size), SHADOW_ALLOCA_RIGHT);
}

void __asan_allocas_unpoison(uintptr_t top, uintptr_t bottom)
{
    if (top && top < bottom)
        unpoison(top, bottom - top);
}

/* The frames between here and the end of the stack are left without their last words. */
void __asan_handle_no_return(void)
{
    uintptr_t sp = (uintptr_t)__builtin_frame_address(0), top;

    if (!__atomic_load_n(&active, __ATOMIC_RELAXED))
        return;
    top = kasan_stack_top(sp);
    if (top > sp)
        unpoison(sp, top - sp);
}

void __asan_register_globals(const struct kasan_global *global, size_t count)
{
    for (; count > 0; count--, global++) {
        unpoison(global->begin, global->size);
        poison(global->begin + global->size, global->size_with_zone - global->size, SHADOW_GLOBAL);
    }
}

void __asan_unregister_globals(const struct kasan_global *global, size_t count)
{
    (void)global, (void)count; /* constants of an image that is never unloaded */
}

/* ---- the shadow's pages ---- */

void kasan_early_fill(struct kasan_early *early, paddr_t pa, uint64_t *root, uint64_t table_bits,
                      uint64_t page_bits)
{
    uint64_t entry = (pa + offsetof(struct kasan_early, page)) | page_bits;

    for (unsigned level = 0; level < ARRAY_COUNT(early->table); level++) {
        for (unsigned i = 0; i < KASAN_ENTRIES; i++)
            early->table[level][i] = entry;
        entry = (pa + offsetof(struct kasan_early, table) + level * sizeof(early->table[0])) |
                table_bits;
    }
    for (unsigned i = KASAN_LO >> 39 & (KASAN_ENTRIES - 1);
         i <= ((KASAN_HI - 1) >> 39 & (KASAN_ENTRIES - 1)); i++)
        root[i] = entry;
}

int kasan_cover_boot(struct pgtable *pt, struct bootmem *bm, vaddr_t va, uint64_t len,
                     unsigned prot)
{
    vaddr_t lo = align_down(kasan_shadow(va), HAL_PAGE_SIZE);
    vaddr_t hi = align_up(kasan_shadow(va + len - 1) + 1, HAL_PAGE_SIZE);
    struct pgtable_change change = {0};

    while (lo < hi) {
        uint64_t size = HAL_PAGE_SIZE;
        paddr_t pa = HAL_NO_PAGE;
        int err;

        if (pgtable_query(pt, lo, NULL, NULL)) { /* a neighbour's, too */
            lo += HAL_PAGE_SIZE;
            continue;
        }
        if (is_aligned(lo, LARGE_SIZE) && hi - lo >= LARGE_SIZE) {
            pa = bootmem_alloc(bm, LARGE_SIZE, LARGE_SIZE, UINT64_MAX);
            size = pa == HAL_NO_PAGE ? size : LARGE_SIZE;
        }
        if (pa == HAL_NO_PAGE)
            pa = bootmem_alloc(bm, size, HAL_PAGE_SIZE, UINT64_MAX);
        if (pa == HAL_NO_PAGE)
            return -ENOMEM;
        err = pgtable_map(pt, lo, pa, size, prot, 1, &change);
        if (err)
            return err;
        lo += size;
    }
    return 0;
}

/* Two stacks may share a page of shadow: one CPU at a time makes them. */
int kasan_cover(struct pgtable *pt, vaddr_t va, size_t len, unsigned prot)
{
    static uint32_t lock;
    vaddr_t lo = align_down(kasan_shadow(va), HAL_PAGE_SIZE);
    vaddr_t hi = align_up(kasan_shadow(va + len - 1) + 1, HAL_PAGE_SIZE);
    struct pgtable_change change = {0};
    unsigned long irq = hal_irq_save();
    int err = 0;

    /* Acquire, and release below: the entries. */
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        hal_cpu_relax();
    for (; lo < hi && !err; lo += HAL_PAGE_SIZE) {
        paddr_t pa;

        if (pgtable_query(pt, lo, NULL, NULL))
            continue;
        pa = pt->ops->alloc();
        err =
            pa == HAL_NO_PAGE ? -ENOMEM : pgtable_map(pt, lo, pa, HAL_PAGE_SIZE, prot, 0, &change);
        if (err && pa != HAL_NO_PAGE)
            pt->ops->free(pa);
    }
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    hal_irq_restore(irq);
    return err;
}

void kasan_start(const struct pgtable *pt)
{
    for (vaddr_t va = pgtable_next(pt, KASAN_LO, KASAN_HI); va < KASAN_HI;
         va = pgtable_next(pt, va + HAL_PAGE_SIZE, KASAN_HI))
        fill((uint8_t *)va, 0, HAL_PAGE_SIZE);
    for (void (*const *init)(void) = kasan_init_begin; init < kasan_init_end; init++)
        (*init)();
    __atomic_store_n(&active, true, __ATOMIC_RELAXED);
}
