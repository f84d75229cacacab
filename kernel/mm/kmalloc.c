/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kmalloc.c - the kernel's allocator: per CPU and size class a pool of one-page slabs; page blocks
 * above.
 *
 * A slab is one page of type PAGE_SLAB cut into objects of one class, so the slab of an object is
 * the page it lies in. It belongs to the CPU that made it, for ever. All bookkeeping is in the
 * struct page: the free objects form a chain through their own first bytes (numbers of 16-byte
 * units, SLAB_END at the end). Of each pool's slabs one is current: allocations come from it. Those
 * of the others that have free objects form the list `partial`; full ones are on no list.
 *
 * Fast path. The owner allocates and frees with interrupts off for some ten instructions, without a
 * lock or an atomic instruction: nobody else touches the pool, its slabs' chains or their counts.
 *
 * Another CPU frees by pushing the object on the slab's second chain, slab_remote, with one compare
 * and exchange. Who pushes the first object there also pushes the slab on the owner's list
 * `returned` of the class. The owner takes both lists back whole when its current slab is used up,
 * so there is nothing to pop and no ABA. Why the slab cannot go away in between: objects on the
 * second chain still count in slab_used, and only the owner, having taken them, counts them off.
 * Orders: the owner reads slab_returned before it empties slab_remote, because from then on
 * another CPU may write it: acquire-release there, on both sides. Everything else is a release when
 * pushing and an acquire when taking, which also hands over the object's contents.
 *
 * A slab whose last object comes back stays on `partial` as long as the CPU has fewer than
 * EMPTY_MAX of that kind, in all classes together; otherwise it goes to the page allocator.
 * kmalloc_trim gives those back, too; other CPUs are asked by an interrupt (kmalloc_serve).
 *
 * Anything larger than the last class is a block of pages, its size remembered in private_[0].
 *
 * Under AddressSanitizer free objects are poisoned, and every object has its exact size: the rest
 * of its slot is poisoned too, and the last eight bytes of the slot keep the size. With
 * SELKIE_MEMORY_DEBUG memdebug.c watches every object instead.
 */
#include "mm/kmalloc.h"

#include "core/percpu.h"
#include "lib/counter.h"
#include "lib/sanitize.h"
#include "lib/string.h"
#include "mm/failpoint.h"
#include "mm/memdebug.h"
#include "mm/reclaim.h"

#define UNIT 16u
#define SLAB_END 0xffffu
#define NO_PAGE UINT32_MAX
#define SLOT_MAX 2048u
#define EMPTY_MAX 32     /* slabs */
#define SERVE_SPINS 2000 /* how long to wait for other CPUs to trim their pools */

static const uint16_t class_bytes[] = {16,  32,  48,  64,  96,   128,  192,
                                       256, 384, 512, 768, 1024, 1536, 2048};
#define CLASS_COUNT ARRAY_COUNT(class_bytes)
static uint8_t class_by_units[SLOT_MAX / UNIT + 1];
/* ceil(2^32 / bytes): a 16-bit n is a multiple of bytes iff n * inverse mod 2^32 < inverse. */
static uint32_t class_inverse[CLASS_COUNT];

/* Only its CPU touches it, with interrupts off; the counts are read by others. */
struct pool {
    struct page *current; /* never NULL: `nothing` if there is none */
    char *base;           /* page_virt(current) */
    uint64_t allocs, frees;
    uint64_t slabs;
    uint32_t partial; /* number of the first slab of the list, or NO_PAGE */
} cache_aligned;

struct pools {
    struct pool pool[CLASS_COUNT];
    uint32_t empty;                               /* slabs without objects on the lists `partial` */
    uint32_t returned[CLASS_COUNT] cache_aligned; /* written by other CPUs; atomic */
    bool trim;                                    /* another CPU asks for it; atomic */
} __attribute__((aligned(1024)));                 /* a shift finds those of a CPU */
STATIC_ASSERT(sizeof(struct pools) == 1024 && HAL_CPU_MAX <= 256); /* page->slab_cpu */

static struct pools *pools; /* one per CPU */
static unsigned pools_count;
static struct page nothing = {.slab_free = SLAB_END, .slab_used = 1}; /* never written */

/* Page blocks; relaxed atomics, for statistics only. */
static uint64_t block_allocs, block_frees, block_bytes;

static struct shrinker slab_shrinker;
static uint64_t slabs_scan(uint64_t want);
static void quarantine_drain(void);

void kmalloc_init(void)
{
    unsigned order = 0;
    pools_count = hal_cpu_count();
    block_allocs = block_frees = block_bytes = 0;
    if (SELKIE_MEMORY_DEBUG)
        memdebug_init();
    while (PAGE_SIZE << order < pools_count * sizeof(struct pools))
        order++;
    struct page *block = page_alloc_quiet(order, PAGE_KERNEL, ALLOC_ZERO);
    if (!block)
        panic("no memory for the kernel's allocator");
    pools = page_virt(block);
    for (unsigned i = 0; i < pools_count; i++)
        for (unsigned c = 0; c < CLASS_COUNT; c++) {
            pools[i].pool[c] = (struct pool){.current = &nothing, .partial = NO_PAGE};
            pools[i].returned[c] = NO_PAGE;
        }
    for (unsigned c = 0, units = 0; c < CLASS_COUNT; c++) {
        class_inverse[c] = UINT32_MAX / class_bytes[c] + 1;
        for (; units * UNIT <= class_bytes[c]; units++)
            class_by_units[units] = (uint8_t)c;
    }
    if (!slab_shrinker.scan) {
        slab_shrinker = (struct shrinker){.name = "slabs", .scan = slabs_scan};
        shrinker_register(&slab_shrinker);
    }
}

static bool is_power_of_two(size_t n)
{
    return n && (n & (n - 1)) == 0;
}

/* The slot an object of `size` needs, its sanitizer record included. */
static inline size_t slot_bytes(size_t size)
{
    if (!SELKIE_ASAN)
        return size;
    /* Twice a power of two is still aligned to it. */
    return is_power_of_two(size) && size >= UNIT ? size * 2 : size + sizeof(uint64_t);
}

/* ---- free objects -------------------------------------------------------------------------------
 */

/* The chain link of a free object is kept in its first bytes, which are poisoned like the rest. */
static inline void link_write(char *object, uint16_t next, size_t bytes)
{
    *(uint16_t *)(void *)object = next;
    memory_poison(object, bytes);
}

static inline uint16_t link_read(const char *object)
{
    memory_unpoison(object, sizeof(uint64_t));
    return *(const uint16_t *)(const void *)object;
}

/* ---- slabs; on their CPU, interrupts off ----------------------------------------------------- */

static void partial_push(struct pool *pool, struct page *slab)
{
    slab->slab_prev = NO_PAGE;
    slab->slab_next = pool->partial;
    if (pool->partial != NO_PAGE)
        page_at(pool->partial)->slab_prev = page_index(slab);
    pool->partial = page_index(slab);
}

static void partial_remove(struct pool *pool, struct page *slab)
{
    if (slab->slab_prev != NO_PAGE)
        page_at(slab->slab_prev)->slab_next = slab->slab_next;
    else
        pool->partial = slab->slab_next;
    if (slab->slab_next != NO_PAGE)
        page_at(slab->slab_next)->slab_prev = slab->slab_prev;
}

static void slab_count(struct pool *pool, uint64_t delta)
{
    __atomic_store_n(&pool->slabs, pool->slabs + delta, __ATOMIC_RELAXED);
}

static struct page *slab_make(struct pool *pool, unsigned class, unsigned flags)
{
    struct page *slab = page_alloc_quiet(0, PAGE_SLAB, flags & ALLOC_ATOMIC);
    if (!slab)
        return NULL;
    char *base = page_virt(slab);
    unsigned bytes = class_bytes[class], count = PAGE_SIZE / bytes;
    for (unsigned i = 0; i < count; i++) {
        unsigned next = (i + 1) * bytes / UNIT;
        link_write(base + i * bytes, i + 1 < count ? (uint16_t)next : SLAB_END, bytes);
    }
    memory_poison(base + count * bytes, PAGE_SIZE - count * bytes);
    slab->slab_free = 0;
    slab->slab_used = 0;
    slab->slab_class = (uint8_t) class;
    slab->slab_cpu = (uint8_t)hal_cpu_id();
    /* Others know the slab only by an object of it, which they got in an ordered way. */
    __atomic_store_n(&slab->slab_remote, SLAB_END, __ATOMIC_RELAXED);
    slab_count(pool, 1);
    return slab;
}

/* Not on a list, no object of it is out. */
static void slab_release(struct pool *pool, struct page *slab)
{
    ASSERT(slab->slab_used == 0 && slab->slab_remote == SLAB_END);
    slab_count(pool, -1ul);
    slab->flags = 0;
    ref_init(&slab->refs);
    page_put(slab);
}

static void partial_release(struct pool *pool, struct page *slab)
{
    partial_remove(pool, slab);
    slab_release(pool, slab);
}

/* A slab that is not current has got objects back. */
static void slab_changed(struct pool *pool, struct page *slab, bool was_full)
{
    struct pools *own = &pools[hal_cpu_id()];
    if (was_full)
        partial_push(pool, slab);
    if (slab->slab_used > 0)
        return;
    if (own->empty < EMPTY_MAX)
        own->empty++;
    else
        partial_release(pool, slab);
}

static void set_current(struct pool *pool, struct page *slab)
{
    pool->current = slab;
    pool->base = page_virt(slab);
}

/* Take what other CPUs have freed of one slab. */
static void slab_collect(struct pool *pool, struct page *slab)
{
    unsigned first = __atomic_exchange_n(&slab->slab_remote, SLAB_END, __ATOMIC_ACQ_REL);
    char *base = page_virt(slab), *last;
    unsigned unit = first, count = 0, bytes = class_bytes[slab->slab_class];
    bool was_full = slab->slab_free == SLAB_END;
    CHECK(first != SLAB_END);
    do {
        last = base + unit * UNIT;
        unit = link_read(last);
        memory_poison(last, bytes);
        count++;
        CHECK(count <= slab->slab_used);
    } while (unit != SLAB_END);
    memory_unpoison(last, sizeof(uint64_t));
    *(uint16_t *)(void *)last = slab->slab_free;
    memory_poison(last, bytes);
    slab->slab_free = (uint16_t)first;
    slab->slab_used = (uint16_t)(slab->slab_used - count);
    if (slab != pool->current)
        slab_changed(pool, slab, was_full);
}

static void pool_collect(struct pool *pool, uint32_t *returned)
{
    if (__atomic_load_n(returned, __ATOMIC_RELAXED) == NO_PAGE)
        return;
    uint32_t number = __atomic_exchange_n(returned, NO_PAGE, __ATOMIC_ACQUIRE);
    while (number != NO_PAGE) {
        struct page *slab = page_at(number);
        number = slab->slab_returned;
        slab_collect(pool, slab);
    }
}

/* The current slab is used up: find another with free objects. False without memory. */
static bool pool_refill(struct pool *pool, unsigned class, unsigned flags)
{
    struct pools *own = &pools[hal_cpu_id()];
    pool_collect(pool, &own->returned[class]);
    if (pool->current->slab_free != SLAB_END)
        return true;
    struct page *slab;
    if (pool->partial != NO_PAGE) {
        slab = page_at(pool->partial);
        partial_remove(pool, slab);
        own->empty -= slab->slab_used == 0;
    } else {
        slab = slab_make(pool, class, flags);
        if (!slab)
            return false;
    }
    ASSERT(slab->type == PAGE_SLAB && slab->slab_free != SLAB_END);
    set_current(pool, slab);
    return true;
}

/* ---- objects ------------------------------------------------------------------------------------
 */

/* The slow halves below are functions of their own that finish what the fast ones began, so that
 * those need no registers saved for calls. */
#define slow_path __attribute__((noinline, cold))

static inline void *take(struct pool *pool, struct page *slab)
{
    char *object = pool->base + slab->slab_free * UNIT;
    slab->slab_free = link_read(object);
    slab->slab_used++;
    counter_step(&pool->allocs);
    return object;
}

slow_path static void *refill_and_take(unsigned class, unsigned flags, unsigned long irq)
{
    struct pool *pool = &pools[hal_cpu_id()].pool[class];
    void *object = pool_refill(pool, class, flags) ? take(pool, pool->current) : NULL;
    hal_irq_restore(irq);
    return object;
}

static inline void *class_alloc(unsigned class, unsigned flags)
{
    unsigned long irq = hal_irq_save();
    struct pool *pool = &pools[hal_cpu_id()].pool[class];
    struct page *slab = pool->current;
    if (__builtin_expect(slab->slab_free == SLAB_END, 0))
        return refill_and_take(class, flags, irq);
    void *object = take(pool, slab);
    hal_irq_restore(irq);
    return object;
}

/* On another CPU than the slab's. */
slow_path static void remote_free(struct page *slab, char *object, unsigned long irq)
{
    unsigned class = slab->slab_class;
    unsigned offset = (unsigned)((uintptr_t)object & (PAGE_SIZE - 1));
    counter_step(&pools[hal_cpu_id()].pool[class].frees);
    hal_irq_restore(irq);
    uint32_t next = __atomic_load_n(&slab->slab_remote, __ATOMIC_RELAXED);
    memory_unpoison(object, class_bytes[class]);
    do {
        if (next == offset / UNIT)
            panic("object %p freed twice", object);
        *(uint16_t *)(void *)object = (uint16_t)next;
    } while (!__atomic_compare_exchange_n(&slab->slab_remote, &next, offset / UNIT, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    if (next != SLAB_END)
        return;
    uint32_t *returned = &pools[slab->slab_cpu].returned[class];
    uint32_t head = __atomic_load_n(returned, __ATOMIC_RELAXED);
    do
        slab->slab_returned = head;
    while (!__atomic_compare_exchange_n(returned, &head, page_index(slab), true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED));
}

slow_path static void free_changed(struct page *slab, bool was_full, unsigned long irq)
{
    slab_changed(&pools[hal_cpu_id()].pool[slab->slab_class], slab, was_full);
    hal_irq_restore(irq);
}

slow_path static void bad_free(const void *ptr)
{
    panic("%p is freed: not an object, or free already", ptr);
}

static inline void class_free(struct page *slab, char *object)
{
    unsigned class = slab->slab_class;
    unsigned offset = (unsigned)((uintptr_t)object & (PAGE_SIZE - 1));
    uint32_t inverse = class_inverse[class];

    unsigned long irq = hal_irq_save();
    unsigned cpu = hal_cpu_id();
    if (__builtin_expect(offset * inverse >= inverse, 0))
        bad_free(object);
    if (__builtin_expect(slab->slab_cpu != cpu, 0)) {
        remote_free(slab, object, irq);
        return;
    }
    struct pool *pool = &pools[cpu].pool[class];
    unsigned next = slab->slab_free, used = slab->slab_used;
    if (__builtin_expect(used == 0 || next == offset / UNIT, 0))
        bad_free(object);
    counter_step(&pool->frees);
    link_write(object, (uint16_t)next, class_bytes[class]);
    slab->slab_free = (uint16_t)(offset / UNIT);
    slab->slab_used = (uint16_t)(used - 1);
    if (__builtin_expect((next == SLAB_END || used == 1) && slab != pool->current, 0))
        free_changed(slab, next == SLAB_END, irq);
    else
        hal_irq_restore(irq);
}

/* ---- trimming ------------------------------------------------------------------------------- */

static void pool_trim(struct pools *own, unsigned class)
{
    struct pool *pool = &own->pool[class];
    pool_collect(pool, &own->returned[class]);
    for (uint32_t number = pool->partial; number != NO_PAGE;) {
        struct page *slab = page_at(number);
        number = slab->slab_next;
        if (slab->slab_used == 0) {
            own->empty--;
            partial_release(pool, slab);
        }
    }
    if (pool->current->slab_used == 0) {
        struct page *slab = pool->current;
        pool->current = &nothing;
        slab_release(pool, slab);
    }
}

void kmalloc_trim(void)
{
    for (unsigned c = 0; c < CLASS_COUNT; c++) {
        /* Class by class: interrupts are not off for long. */
        unsigned long irq = hal_irq_save();
        pool_trim(&pools[hal_cpu_id()], c);
        hal_irq_restore(irq);
    }
}

void kmalloc_serve(void)
{
    bool *trim = &pools[hal_cpu_id()].trim;
    /* Relaxed: what other CPUs have freed is found by its own orders. */
    if (__builtin_expect(__atomic_load_n(trim, __ATOMIC_RELAXED), 0)) {
        kmalloc_trim();
        __atomic_store_n(trim, false, __ATOMIC_RELEASE);
    }
}

static uint64_t slabs_held(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < pools_count; i++)
        for (unsigned c = 0; c < CLASS_COUNT; c++)
            sum += counter_read(&pools[i].pool[c].slabs);
    return sum;
}

/* Under pressure: every CPU gives its empty slabs back. One that does not answer soon does so later
 * on. */
static uint64_t slabs_scan(uint64_t want)
{
    uint64_t before = slabs_held();
    (void)want;
    quarantine_drain();
    kmalloc_trim();
    for (unsigned i = 0; i < pools_count; i++) {
        struct cpu *cpu = cpu_get(i);
        if (!__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
            continue;
        __atomic_store_n(&pools[i].trim, true, __ATOMIC_RELAXED);
        hal_ipi_send(i);
    }
    for (unsigned i = 0, spins = 0; i < pools_count && spins < SERVE_SPINS; spins++) {
        if (__atomic_load_n(&pools[i].trim, __ATOMIC_ACQUIRE))
            hal_cpu_relax();
        else
            i++;
    }
    uint64_t after = slabs_held();
    page_drain(); /* they lie in the CPUs' caches now */
    return before > after ? before - after : 0;
}

/* ---- page blocks --------------------------------------------------------------------------------
 */

static void *block_alloc(size_t size, unsigned flags)
{
    unsigned order = 0;
    while (order <= PAGE_ORDER_MAX && PAGE_SIZE << order < size)
        order++;
    if (order > PAGE_ORDER_MAX)
        return NULL;
    struct page *page = page_alloc_quiet(order, PAGE_KERNEL, flags);
    if (!page)
        return NULL;
    page->private_[0] = size;
    __atomic_add_fetch(&block_allocs, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&block_bytes, PAGE_SIZE << order, __ATOMIC_RELAXED);
    memory_poison((char *)page_virt(page) + size, (PAGE_SIZE << order) - size);
    return page_virt(page);
}

slow_path static void block_free(struct page *page, const void *ptr)
{
    if (page->type != PAGE_KERNEL || ((uintptr_t)ptr & (PAGE_SIZE - 1)))
        bad_free(ptr);
    __atomic_add_fetch(&block_frees, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&block_bytes, PAGE_SIZE << page->order, __ATOMIC_RELAXED);
    page_put(page);
}

/* ---- the interface ------------------------------------------------------------------------------
 */

/* Where the sanitizer's record of an object's size lies. */
static uint64_t *size_record(void *slot, size_t bytes)
{
    return (uint64_t *)(void *)((char *)slot + bytes - sizeof(uint64_t));
}

static void object_open(void *slot, size_t size, size_t bytes)
{
    memory_unpoison(slot, bytes);
    *size_record(slot, bytes) = size;
    memory_poison((char *)slot + size, bytes - size);
}

static inline void *slot_alloc(size_t size, unsigned flags)
{
    unsigned class = class_by_units[(slot_bytes(size) + UNIT - 1) / UNIT];
    void *object = class_alloc(class, flags);
    if (!SELKIE_ASAN && !(flags & ALLOC_ZERO))
        return object;
    if (!object)
        return NULL;
    size_t bytes = class_bytes[class];
    memory_unpoison(object, bytes);
    /* The whole slot: what krealloc later adds within it is zero, too. */
    if (flags & ALLOC_ZERO)
        memset(object, 0, bytes);
    if (SELKIE_ASAN)
        object_open(object, size, bytes);
    return object;
}

slow_path static void *kmalloc_slow(size_t size, unsigned flags)
{
    if (failpoint_hit())
        return NULL;
    size = MAX(size, (size_t)1);
    if (size > SLOT_MAX || slot_bytes(size) > SLOT_MAX)
        return block_alloc(size, flags);
    return slot_alloc(size, flags);
}

/* ---- SELKIE_MEMORY_DEBUG ------------------------------------------------------------------------
 */

static void slot_free(void *slot)
{
    struct page *page = page_of_virt(slot);
    if (page->type == PAGE_SLAB)
        class_free(page, slot);
    else
        block_free(page, slot);
}

static void quarantine_drain(void)
{
    void *slot;
    while (SELKIE_MEMORY_DEBUG && (slot = memdebug_release()))
        slot_free(slot);
}

size_t memdebug_slot_bytes(const void *slot)
{
    const struct page *page = page_of_virt(slot);
    return page->type == PAGE_SLAB ? class_bytes[page->slab_class] : PAGE_SIZE << page->order;
}

static void *debug_take(size_t bytes, unsigned flags)
{
    if (bytes > SLOT_MAX)
        return block_alloc(bytes, flags & ALLOC_ATOMIC);
    return class_alloc(class_by_units[(bytes + UNIT - 1) / UNIT], flags);
}

static void *debug_alloc(size_t size, unsigned flags, uintptr_t pc, uintptr_t fp)
{
    size = MAX(size, (size_t)1);
    size_t bytes = memdebug_slot(size);
    if (failpoint_hit() || bytes == 0)
        return NULL;
    void *slot = debug_take(bytes, flags);
    if (!slot) { /* before it fails, what is only kept under observation goes */
        quarantine_drain();
        slot = debug_take(bytes, flags);
    }
    if (!slot)
        return NULL;
    memory_unpoison(slot, memdebug_slot_bytes(slot));
    memdebug_open(slot, memdebug_slot_bytes(slot), size, pc, fp);
    if (flags & ALLOC_ZERO)
        memset(slot, 0, size);
    return slot;
}

static void debug_free(void *ptr, uintptr_t pc, uintptr_t fp)
{
    const struct page *page = page_of_virt(ptr);
    size_t offset = (uintptr_t)ptr & (PAGE_SIZE - 1);
    bool ok = page->type == PAGE_SLAB ? offset % class_bytes[page->slab_class] == 0
                                      : page->type == PAGE_KERNEL && offset == 0;
    if (!ok)
        bad_free(ptr);
    void *out = memdebug_close(ptr, memdebug_slot_bytes(ptr), pc, fp);
    if (out)
        slot_free(out);
}

/* Of the caller of a public function, which its body must name itself. */
#define CALLER_PC ((uintptr_t)__builtin_return_address(0))
#define CALLER_FP (*(const uintptr_t *)__builtin_frame_address(0))

/* ---- the interface, continued ---- */

void *kmalloc(size_t size, unsigned flags)
{
    if (SELKIE_MEMORY_DEBUG)
        return debug_alloc(size, flags, CALLER_PC, CALLER_FP);
    if (SELKIE_ASAN || __builtin_expect(size > SLOT_MAX || failpoint_armed(), 0))
        return kmalloc_slow(size, flags);
    return slot_alloc(size, flags);
}

void *kmalloc_array(size_t count, size_t size, unsigned flags)
{
    size_t total;
    return mul_overflow(count, size, &total) ? NULL : kmalloc(total, flags);
}

size_t kmalloc_size(const void *ptr)
{
    if (SELKIE_MEMORY_DEBUG)
        return memdebug_size(ptr, memdebug_slot_bytes(ptr));
    const struct page *page = page_of_virt(ptr);
    if (page->type != PAGE_SLAB)
        return SELKIE_ASAN ? page->private_[0] : PAGE_SIZE << page->order;
    size_t bytes = class_bytes[page->slab_class];
    if (!SELKIE_ASAN)
        return bytes;
    uint64_t *record = size_record((void *)(uintptr_t)ptr, bytes);
    memory_unpoison(record, sizeof *record);
    size_t size = *record;
    memory_poison(record, sizeof *record);
    return size;
}

void kfree(void *ptr)
{
    if (!ptr)
        return;
    if (SELKIE_MEMORY_DEBUG) {
        debug_free(ptr, CALLER_PC, CALLER_FP);
        return;
    }
    if (SELKIE_ASAN)
        (void)*(volatile char *)ptr; /* the sanitizer reports a second free here */
    struct page *page = page_of_virt(ptr);
    if (__builtin_expect(page->type != PAGE_SLAB, 0)) {
        block_free(page, ptr);
        return;
    }
    memory_unpoison(ptr, class_bytes[page->slab_class]);
    class_free(page, ptr);
}

void *krealloc(void *old, size_t size, unsigned flags)
{
    if (!old)
        return kmalloc(size, flags);
    size_t have = kmalloc_size(old);
    /* Stay, unless the block would be mostly empty. (Exact sizes under the sanitizer: always move.)
     */
    if (!SELKIE_ASAN && !SELKIE_MEMORY_DEBUG && size <= have && size >= have / 4)
        return old;
    void *block = kmalloc(size, flags);
    if (!block)
        return NULL;
    memcpy(block, old, MIN(have, size));
    kfree(old);
    return block;
}

char *kstrdup(const char *s, unsigned flags)
{
    size_t size = strlen(s) + 1;
    char *copy = kmalloc(size, flags);
    return copy ? memcpy(copy, s, size) : NULL;
}

void kmalloc_get_stats(struct kmalloc_stats *out)
{
    *out = (struct kmalloc_stats){
        .bytes_in_use = __atomic_load_n(&block_bytes, __ATOMIC_RELAXED),
        .bytes_held = __atomic_load_n(&block_bytes, __ATOMIC_RELAXED),
        .allocs = __atomic_load_n(&block_allocs, __ATOMIC_RELAXED),
        .frees = __atomic_load_n(&block_frees, __ATOMIC_RELAXED),
    };
    for (unsigned c = 0; c < CLASS_COUNT; c++) {
        uint64_t allocs = 0, frees = 0, slabs = 0;
        /* The frees first: those of objects counted later are not missed then. */
        for (unsigned i = 0; i < pools_count; i++)
            frees += counter_read(&pools[i].pool[c].frees);
        for (unsigned i = 0; i < pools_count; i++) {
            allocs += counter_read(&pools[i].pool[c].allocs);
            slabs += counter_read(&pools[i].pool[c].slabs);
        }
        out->bytes_in_use += allocs > frees ? (allocs - frees) * class_bytes[c] : 0;
        out->bytes_held += slabs * PAGE_SIZE;
        out->allocs += allocs;
        out->frees += frees;
    }
}
