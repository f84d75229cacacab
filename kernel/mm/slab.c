/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slab.c - objects up to half a page: per CPU and size class a pool of one-page slabs.
 *
 * A slab is one page of type PAGE_SLAB cut into objects of one class, so the slab of an object is
 * the page it lies in. It belongs to the CPU that made it, for ever. Its bookkeeping is in the
 * struct page. Free objects are linked through their first bytes, which also say that they are free
 * (slab.h, struct link); each is in one of these places:
 *
 *   pool->ready       what the next allocations take, of any slabs. For its slab such an object is
 *                     in use, so an allocation touches no slab at all.
 *   slab->slab_free   freed by the owner while the slab is partial or empty.
 *   slab->slab_remote freed by other CPUs, and
 *   returned          (of the owner's struct pools, by class): the first of those, see below.
 *
 * State of a slab: FULL (slab_free is NULL, slab_left is 1, on no list), PARTIAL (slab_left objects
 * in use, on pool->partial), EMPTY (slab_left is 1, slab_remote REMOTE_EMPTY, on pool->empty). So a
 * free counts slab_left down and has to look at the state only when that becomes zero.
 *
 * State changes are put off. An object of a full slab goes to `ready` as long as fewer than
 * pool->limit are there; the slab stays full. So a program that frees and allocates in turn changes
 * no slab's state. When `ready` is used up it takes one slab's free objects as a whole: one that
 * other CPUs have given back, else a partial one, else an empty one, else a new one. A CPU keeps at
 * most EMPTY_MAX empty slabs, the next one goes to the page allocator.
 *
 * Fast path. The owner allocates and frees without a lock or an atomic instruction: nobody else
 * touches the pool, its lists, slab_free and slab_left. Interrupt handlers do, so interrupts are
 * masked where they can come at any instruction (hal_brief_begin).
 *
 * Another CPU frees by pushing the object on slab_remote by one compare-and-exchange; that word has
 * the number of such objects, too. Who finds it closed opens it and pushes its object not there but
 * on the owner's list `returned`, where it names its slab. Both lists are only pushed to or taken
 * whole, so there is no ABA. The owner takes `returned` when `ready` is used up, then closes the
 * word of each slab named there, which gives it all those objects. The slab cannot go away in
 * between: they count as in use until then. Orders: pushing is a release, taking an acquire,
 * which also hands over the objects' contents; opening needs none, because who finds the word
 * open only writes it and an object of its own, and the owner learns of the slab by the push
 * that follows the opening. Lists of any length are worked off a few slabs at a time.
 */
#include "mm/slab.h"

#include "core/percpu.h"
#include "mm/failpoint.h"
#include "mm/kmalloc.h"

#define EMPTY_MAX 16     /* slabs */
#define READY_BYTES 8192 /* pool->limit */
#define READY_LEAST 24
#define READY_MOST 64
#define SETTLE_MAX 4 /* returned slabs put back beside the one that is taken, per refill */
/* How much of trimming is done with interrupts off, in units of some 20 ns: 128 slabs, or 512
 * objects that each bring a line of their own into the cache. */
#define TRIM_STEP 2048
#define TRIM_SLAB 16
#define TRIM_OBJECT 4
#define SERVE_SPINS 2000 /* how long to wait for other CPUs to trim their pools */

/* slab_remote: the number of objects on the chain, 16 bits, and where in the page the first is. */
#define REMOTE_EMPTY 0xfffffffeu /* the slab is empty: nobody has an object to free */
#define REMOTE_CLOSED UINT32_MAX
#define REMOTE_NOBODY 0xffffu /* open, and nothing on the chain */

struct pools *slab_pools;
uintptr_t slab_secret;
static unsigned pools_count;
static struct page *first_page;
static uint64_t told; /* of the slabs trimmed; atomic: if several ask, each slab is told to one */

/* 1360: three in a page; of all that is longer there are two. */
static const uint16_t class_bytes[SLAB_CLASSES] = {16,  32,  48,  64,  96,   128,  192,
                                                   256, 384, 512, 768, 1024, 1360, 2048};

static void pools_init(struct pools *own, unsigned cpu)
{
    own->tag = (uint16_t)(PAGE_SLAB | cpu << 8);
    for (unsigned c = 0, units = 0; c < SLAB_CLASSES; c++) {
        uint16_t bytes = class_bytes[c];
        unsigned limit = READY_BYTES / bytes;
        limit = MAX(MIN(limit, (unsigned)READY_MOST), (unsigned)READY_LEAST);
        own->pool[c] = (struct pool){
            .room = (int32_t)limit,
            .inverse = UINT32_MAX / bytes + 1,
            .inverse_last = (uint32_t)(PAGE_SIZE / bytes - 1) * ((UINT32_MAX / bytes + 1) * bytes),
            .partial = SLAB_NONE,
            .empty = SLAB_NONE,
            .bytes = bytes,
            .others = (uint8_t)(PAGE_SIZE / bytes - 1),
            .limit = (uint8_t)limit,
        };
        for (; units * SLAB_UNIT <= bytes; units++)
            own->pool_at[units] = (uint16_t)(c * sizeof(struct pool));
    }
}

rarely void slab_init(void)
{
    unsigned order = 0;
    /* Not from core/random.c, which comes later. No better source than jitter is as good here. */
    (void)hal_entropy(&slab_secret, sizeof slab_secret);
    pools_count = hal_cpu_count();
    first_page = page_at(0);
    told = 0;
    while (PAGE_SIZE << order < pools_count * sizeof(struct pools))
        order++;
    struct page *block = page_alloc_quiet(order, PAGE_KERNEL, ALLOC_ZERO);
    if (!block)
        panic("no memory for the kernel's allocator");
    slab_pools = page_virt(block);
    for (unsigned i = 0; i < pools_count; i++)
        pools_init(&slab_pools[i], i);
    for (unsigned i = 0; i < pools_count; i++)
        hal_cpu_local_set(i, &slab_pools[i]);
}

_Noreturn void slab_bad_free(const void *object)
{
    panic("%p is freed: not an object, or free already", object);
}

/* ---- slabs; on their CPU, interrupts off ----------------------------------------------------- */

/* Slabs name each other by the distance of their struct pages from the first one, in words: found
 * without a division, which a number of pages would need. */
static uint32_t slab_name(const struct page *slab)
{
    return (uint32_t)(((uintptr_t)slab - (uintptr_t)first_page) / sizeof(uint64_t));
}

static struct page *slab_at(uint32_t name)
{
    return (struct page *)((uintptr_t)first_page + name * sizeof(uint64_t));
}

static void list_add(uint32_t *list, struct page *slab)
{
    uint32_t name = slab_name(slab), next = *list;
    slab->slab_prev = SLAB_NONE;
    slab->slab_next = next;
    if (next != SLAB_NONE)
        slab_at(next)->slab_prev = name;
    *list = name;
}

static void list_drop(uint32_t *list, struct page *slab)
{
    uint32_t name = slab_name(slab), next = slab->slab_next, prev = slab->slab_prev;
    uint32_t *before = prev != SLAB_NONE ? &slab_at(prev)->slab_next : list;
    CHECK(*before == name);
    *before = next;
    if (next != SLAB_NONE) {
        struct page *after = slab_at(next);
        CHECK(after->slab_prev == name);
        after->slab_prev = prev;
    }
}

static void slabs_count(struct pool *pool, uint32_t delta)
{
    __atomic_store_n(&pool->slabs, pool->slabs + delta, __ATOMIC_RELAXED);
}

static void pool_fill(struct pool *pool, void *objects, unsigned count)
{
    pool->ready = objects;
    counter_add(&pool->taken, count);
    counter_add(&pool->room, -(int32_t)count);
}

/* A new slab, FULL; its objects are on `ready`, which was empty. */
static bool slab_make(struct pools *own, struct pool *pool, unsigned flags)
{
    struct page *slab = page_alloc_quiet(0, PAGE_SLAB, flags & ALLOC_ATOMIC);
    if (!slab)
        return false;
    char *base = page_virt(slab);
    unsigned bytes = pool->bytes, total = pool_total(pool);
    for (unsigned i = 0; i < total; i++)
        link_write(base + i * bytes, i + 1 < total ? base + (i + 1) * bytes : NULL, bytes);
    memory_poison(base + total * bytes, PAGE_SIZE - total * bytes, POISON_ZONE);
    /* The tag. Its lower half is the type, which is there and which page.c may be reading: a
     * neighbour that becomes free looks at it. */
    slab->order = (uint8_t)(own->tag >> 8);
    slab->slab_pool = (uint8_t)((uintptr_t)((char *)pool - (char *)own) / SLAB_POOL_SCALE);
    slab->slab_left = 1;
    slab->slab_free = NULL;
    /* Others know the slab only by an object of it, which they got in an ordered way. */
    __atomic_store_n(&slab->slab_remote, REMOTE_CLOSED, __ATOMIC_RELAXED);
    slabs_count(pool, 1);
    pool_fill(pool, base, total);
    return true;
}

/* Not on a list, no object of it is out. */
static void slab_release(struct pools *own, struct pool *pool, struct page *slab)
{
    if (own->near_slab == slab)
        own->near = 0;
    slabs_count(pool, UINT32_MAX);
    slab->order = 0;
    slab->flags = 0;
    ref_init(&slab->refs);
    page_put(slab);
}

/* Its last object has come back. Not on a list. */
static void slab_emptied(struct pools *own, struct pool *pool, struct page *slab)
{
    /* Relaxed: what others did with its objects before they freed them came with those. */
    CHECK(__atomic_load_n(&slab->slab_remote, __ATOMIC_RELAXED) == REMOTE_CLOSED);
    if (own->empty >= EMPTY_MAX) {
        slab_release(own, pool, slab);
        return;
    }
    __atomic_store_n(&slab->slab_remote, REMOTE_EMPTY, __ATOMIC_RELAXED);
    slab->slab_left = 1;
    own->empty++;
    list_add(&pool->empty, slab);
}

static bool is_empty(const struct page *slab)
{
    return __atomic_load_n(&slab->slab_remote, __ATOMIC_RELAXED) == REMOTE_EMPTY;
}

/* A full slab has free objects again, all but `used`. */
static void slab_opened(struct pools *own, struct pool *pool, struct page *slab, unsigned used)
{
    slab->slab_left = (uint8_t)used;
    list_add(&pool->partial, slab);
    own->near = (uintptr_t)slab->slab_free - slab_offset(slab->slab_free);
    own->near_slab = slab;
    own->near_pool = pool;
}

/* Give back to its slab one object, which nobody knows any more. */
static void slab_settle_one(struct pools *own, struct pool *pool, struct page *slab, void *object)
{
    void *head = slab->slab_free;
    CHECK(!is_empty(slab));
    link_write(object, head, pool->bytes);
    slab->slab_free = object;
    if (!head) {
        slab_opened(own, pool, slab, pool->others); /* it holds two at least */
    } else if (--slab->slab_left == 0) {
        list_drop(&pool->partial, slab);
        slab_emptied(own, pool, slab);
    }
}

/* Likewise `count` linked ones. */
static void slab_settle(struct pools *own, struct pool *pool, struct page *slab, void *first,
                        unsigned count)
{
    bool was_full = !slab->slab_free;
    unsigned used = was_full ? pool_total(pool) : slab->slab_left;
    CHECK(count <= used && !is_empty(slab));
    if (!was_full) {
        void *last = first;
        for (unsigned i = 1; i < count; i++) {
            void *next = link_read(last);
            memory_poison(last, pool->bytes, POISON_FREE);
            last = next;
        }
        link_write(last, slab->slab_free, pool->bytes);
    }
    slab->slab_free = first;
    slab->slab_left = (uint8_t)(used - count);
    if (used > count) {
        if (was_full)
            slab_opened(own, pool, slab, used - count);
        return;
    }
    if (!was_full)
        list_drop(&pool->partial, slab);
    slab_emptied(own, pool, slab);
}

/* ---- objects that other CPUs have freed ---- */

/* Push on a list of objects that is taken whole. */
static void returned_push(void **list, void *object, size_t bytes)
{
    void *head = __atomic_load_n(list, __ATOMIC_RELAXED);
    do {
        link_write(object, head, bytes);
    } while (!__atomic_compare_exchange_n(list, &head, object, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
}

void slab_free_remote(struct page *slab, void *object)
{
    unsigned long brief = hal_brief_begin();
    struct pool *pool = pool_of(pools_here(), slab);
    uintptr_t key = link_key(object);
    bool valid = slab_slot_valid(pool, object) && !link_marked(object, key);
    counter_step(&pool->given);
    hal_brief_end(brief);
    if (!valid)
        slab_bad_free(object);
    size_t bytes = slab_object_bytes(slab);
    uint32_t offset = (uint32_t)((uintptr_t)object & (PAGE_SIZE - 1));
    char *base = (char *)object - offset;
    struct pools *owner = &slab_pools[slab->slab_tag >> 8];
    void **returned = &owner->returned[pool_of(owner, slab) - owner->pool];
    uint32_t word = __atomic_load_n(&slab->slab_remote, __ATOMIC_RELAXED), pushed;
    if (word == REMOTE_EMPTY)
        slab_bad_free(object);
    do {
        if (word == REMOTE_CLOSED) {
            pushed = REMOTE_NOBODY;
        } else {
            uint32_t head = word & 0xffff;
            link_write_key(object, head == REMOTE_NOBODY ? NULL : base + head, bytes, key);
            pushed = (word & ~0xffffu) + 0x10000 + offset;
        }
    } while (!__atomic_compare_exchange_n(&slab->slab_remote, &word, pushed, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
    if (word == REMOTE_CLOSED)
        returned_push(returned, object, bytes);
}

static bool pending_look(struct pools *own, struct pool *pool)
{
    void **returned = &own->returned[pool - own->pool];
    if (!pool->pending && __atomic_load_n(returned, __ATOMIC_RELAXED))
        pool->pending = __atomic_exchange_n(returned, NULL, __ATOMIC_ACQUIRE);
    return pool->pending;
}

/* Of the next slab on pool->pending take all objects that are on the way back, as a list. */
static void *pending_take(struct pool *pool, unsigned *count)
{
    char *object = pool->pending;
    struct page *slab = page_of_virt(object);
    pool->pending = link_read(object);
    uint32_t word = __atomic_exchange_n(&slab->slab_remote, REMOTE_CLOSED, __ATOMIC_ACQUIRE);
    uint32_t head = word & 0xffff;
    CHECK(word != REMOTE_CLOSED);
    char *base = object - ((uintptr_t)object & (PAGE_SIZE - 1));
    link_write(object, head == REMOTE_NOBODY ? NULL : base + head, pool->bytes);
    *count = (word >> 16) + 1;
    return object;
}

/* How many objects were looked at. */
static unsigned pending_settle(struct pools *own, struct pool *pool)
{
    unsigned count;
    void *first = pending_take(pool, &count);
    struct page *slab = page_of_virt(first);
    bool walk = slab->slab_free;
    slab_settle(own, pool, slab, first, count);
    return walk ? count : 1;
}

/* ---- allocation -------------------------------------------------------------------------- */

/* Nothing is ready. False without memory. */
static bool pool_refill(struct pools *own, struct pool *pool, unsigned flags)
{
    unsigned count;
    if (pending_look(own, pool)) {
        void *objects = pending_take(pool, &count);
        pool_fill(pool, objects, count);
        /* Some of the others each time, so that they do not pile up. */
        for (unsigned i = 0; i < SETTLE_MAX && pool->pending; i++)
            pending_settle(own, pool);
        return true;
    }
    uint32_t *list = pool->partial != SLAB_NONE ? &pool->partial : &pool->empty;
    if (*list == SLAB_NONE)
        return slab_make(own, pool, flags);
    struct page *slab = slab_at(*list);
    ASSERT(slab->type == PAGE_SLAB && slab->slab_free);
    list_drop(list, slab);
    count = pool_total(pool);
    if (list == &pool->empty) {
        own->empty--;
        __atomic_store_n(&slab->slab_remote, REMOTE_CLOSED, __ATOMIC_RELAXED);
    } else {
        count -= slab->slab_left;
    }
    pool_fill(pool, slab->slab_free, count);
    slab->slab_free = NULL;
    slab->slab_left = 1;
    return true;
}

void *slab_alloc(size_t bytes, unsigned flags)
{
    unsigned long irq = hal_irq_save();
    struct pools *own = pools_here();
    struct pool *pool = pool_for(own, bytes);
    bool ready = pool->ready || pool_refill(own, pool, flags);
    void *object = ready ? pool_take(pool) : NULL;
    hal_irq_restore(irq);
    return object;
}

/* ---- freeing ----------------------------------------------------------------------------- */

void slab_free(struct page *slab, void *object)
{
    unsigned long irq = hal_irq_save();
    struct pools *own = pools_here();
    if (slab->slab_tag != own->tag) {
        hal_irq_restore(irq);
        slab_free_remote(slab, object);
        return;
    }
    struct pool *pool = pool_of(own, slab);
    if (!slab_slot_valid(pool, object) || link_marked(object, link_key(object)) || is_empty(slab))
        slab_bad_free(object);
    counter_step(&pool->given);
    slab_settle_one(own, pool, slab, object);
    hal_irq_restore(irq);
}

/* ---- trimming ---------------------------------------------------------------------------- */

/* What is on `ready` goes back to its slabs: at most a slab's objects or pool->limit. */
static void ready_settle(struct pools *own, struct pool *pool, int *budget)
{
    for (; *budget > 0 && pool->ready; *budget -= TRIM_SLAB) {
        void *object = pool->ready;
        pool->ready = link_read(object);
        counter_add(&pool->room, 1);
        counter_step(&pool->given);
        slab_settle_one(own, pool, page_of_virt(object), object);
    }
}

/* Until *budget is used up, and one slab's objects more; true when nothing is left to do. */
static bool pool_trim(struct pools *own, struct pool *pool, int *budget)
{
    ready_settle(own, pool, budget);
    while (*budget > 0 && pending_look(own, pool))
        *budget -= TRIM_SLAB + TRIM_OBJECT * (int)pending_settle(own, pool);
    for (; *budget > 0 && pool->empty != SLAB_NONE; *budget -= TRIM_SLAB) {
        struct page *slab = slab_at(pool->empty);
        list_drop(&pool->empty, slab);
        own->empty--;
        slab_release(own, pool, slab);
    }
    return *budget > 0;
}

/* One step; *c is the class to go on with. How many slabs went. */
rarely static uint64_t trim_step(struct pools *own, unsigned *c)
{
    uint64_t gone = 0;
    for (int budget = TRIM_STEP; *c < SLAB_CLASSES && budget > 0;) {
        uint32_t before = own->pool[*c].slabs;
        bool done = pool_trim(own, &own->pool[*c], &budget);
        gone += before - own->pool[*c].slabs;
        *c += done;
    }
    return gone;
}

static uint64_t trim_own(void)
{
    uint64_t gone = 0;
    for (unsigned c = 0; c < SLAB_CLASSES;) {
        unsigned long irq = hal_irq_save();
        gone += trim_step(pools_here(), &c);
        hal_irq_restore(irq);
    }
    return gone;
}

void kmalloc_trim(void)
{
    (void)trim_own();
}

/* In the interrupt: a part, and the rest in another one, so that others come in between. */
void kmalloc_serve(void)
{
    struct pools *own = pools_here();
    /* Acquire: what was freed before the request is found, all of it by a trimming that begins
     * after it. */
    uint32_t asked = __atomic_load_n(&own->trim_asked, __ATOMIC_ACQUIRE);
    if (__builtin_expect(asked == own->trim_done, 1))
        return;
    if (own->trim_began == own->trim_done)
        own->trim_began = asked;
    unsigned c = 0;
    counter_add(&own->trimmed, trim_step(own, &c));
    if (c == SLAB_CLASSES) /* Release: who sees it sees the counts, too. */
        __atomic_store_n(&own->trim_done, own->trim_began, __ATOMIC_RELEASE);
    if (asked != own->trim_done)
        hal_ipi_send(hal_cpu_id());
}

void slab_trim_ask(void)
{
    for (unsigned i = 0; i < pools_count; i++) {
        struct cpu *cpu = cpu_get(i);
        if (!__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
            continue;
        /* Release: after what we have freed; see kmalloc_serve. */
        __atomic_fetch_add(&slab_pools[i].trim_asked, 1, __ATOMIC_RELEASE);
        hal_ipi_send(i);
    }
}

bool slab_trim_pending(void)
{
    /* Acquire: what it has done is counted in `trimmed`. */
    for (unsigned i = 0; i < pools_count; i++)
        if (__atomic_load_n(&slab_pools[i].trim_done, __ATOMIC_ACQUIRE) !=
            __atomic_load_n(&slab_pools[i].trim_asked, __ATOMIC_RELAXED))
            return true;
    return false;
}

uint64_t slab_trim_late(void)
{
    uint64_t sum = 0, before = __atomic_load_n(&told, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < pools_count; i++)
        sum += counter_read(&slab_pools[i].trimmed);
    page_drain(); /* they lie in the CPUs' caches now */
    while (sum > before)
        if (__atomic_compare_exchange_n(&told, &before, sum, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return sum - before;
    return 0;
}

uint64_t slab_trim_all(void)
{
    uint64_t gone = trim_own();
    slab_trim_ask();
    for (unsigned spins = 0; spins < SERVE_SPINS && slab_trim_pending(); spins++)
        hal_cpu_relax();
    return gone + slab_trim_late();
}

/* Exact while nobody allocates; what is on `ready` counts neither as allocated nor as freed. */
rarely void slab_add_stats(struct kmalloc_stats *out)
{
    for (unsigned c = 0; c < SLAB_CLASSES; c++) {
        uint64_t allocs = 0, frees = 0, slabs = 0;
        /* The frees first: those of objects counted later are not missed then. */
        for (unsigned i = 0; i < pools_count; i++)
            frees += counter_read(&slab_pools[i].pool[c].given);
        for (unsigned i = 0; i < pools_count; i++) {
            const struct pool *pool = &slab_pools[i].pool[c];
            int32_t room = __atomic_load_n(&pool->room, __ATOMIC_RELAXED);
            allocs += counter_read(&pool->taken) - (uint64_t)(pool->limit - room);
            slabs += __atomic_load_n(&pool->slabs, __ATOMIC_RELAXED);
        }
        out->bytes_in_use += allocs > frees ? (allocs - frees) * class_bytes[c] : 0;
        out->bytes_held += slabs * PAGE_SIZE;
        out->allocs += allocs;
        out->frees += frees;
    }
}
