/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slab.h - inside mm: the pools behind kmalloc, one per CPU and size class; their fast paths.
 *
 * slab.c explains the design. Whoever uses the inline half is on the pool's CPU, between
 * hal_brief_begin and hal_brief_end or with interrupts off, and calls nothing in between.
 */
#ifndef SELKIE_MM_SLAB_H
#define SELKIE_MM_SLAB_H

#include "lib/counter.h"
#include "lib/sanitize.h"
#include "mm/page.h"

#define SLAB_UNIT 16u
#define SLAB_SLOT_MAX 2048u
#define SLAB_CLASSES 14u
#define SLAB_POOL_SCALE 8u   /* page->slab_pool: offset of the pool in struct pools, in these */
#define SLAB_NONE UINT32_MAX /* no page number */

/* Only its CPU touches it; the counts are read by others. */
struct pool {
    void *ready;           /* objects for the next allocations, linked; NULL: none */
    uint64_t taken, given; /* objects: from slabs to `ready`, and freed elsewhere than to it */
    void *pending;         /* objects that name slabs, see pool_refill */
    int32_t room;          /* `limit` less the objects on `ready` */
    uint32_t inverse;      /* see slab_slot_valid */
    uint32_t inverse_last; /* what it gives for the last object */
    uint32_t partial;      /* number of the first slab of the list, or SLAB_NONE */
    uint32_t empty;        /* likewise: slabs that are free as a whole */
    uint32_t slabs;
    uint16_t bytes; /* of an object */
    uint8_t others; /* objects in a slab, beside the first */
    uint8_t limit;  /* no more are put on `ready` one by one */
} cache_aligned;

struct pools {
    struct pool pool[SLAB_CLASSES];
    uint16_t pool_at[SLAB_SLOT_MAX / SLAB_UNIT + 1]; /* units -> offset of the pool from here */
    uint16_t tag;                                    /* page->slab_tag of this CPU's slabs */
    unsigned empty;                                  /* slabs on the lists `empty` */
    /* The slab that became partial last: who frees one of its objects often frees more of them. */
    uintptr_t near; /* its address; 0: none */
    struct page *near_slab;
    struct pool *near_pool;
    void *returned[SLAB_CLASSES] cache_aligned; /* written by other CPUs; atomic */
    uint32_t trim_asked;                        /* so many times, by other CPUs; atomic */
    /* Written by the owner, the upper two read by others. */
    uint32_t trim_done;           /* trim_asked when the latest trimming began that has ended */
    uint64_t trimmed;             /* slabs, for others */
    uint32_t trim_began;          /* trim_asked when the present one began; == trim_done: none */
} __attribute__((aligned(2048))); /* a shift finds those of a CPU */
STATIC_ASSERT(sizeof(struct pool) == 64 && sizeof(struct pools) == 2048);
STATIC_ASSERT(SLAB_CLASSES * sizeof(struct pool) / SLAB_POOL_SCALE <= PAGE_FLAG_MOVING);
STATIC_ASSERT(HAL_CPU_MAX <= 256); /* page->slab_tag */

extern struct pools *slab_pools; /* one per CPU */

static inline unsigned pool_total(const struct pool *pool)
{
    return pool->others + 1u;
}

static inline struct pools *pools_here(void)
{
    return hal_cpu_local();
}

/* That of an object's class, on this CPU or another. */
static inline struct pool *pool_of(struct pools *pools, const struct page *slab)
{
    return (struct pool *)(void *)((char *)pools + (size_t)slab->slab_pool * SLAB_POOL_SCALE);
}

static inline struct pool *pool_for(struct pools *own, size_t bytes)
{
    return (struct pool *)(void *)((char *)own + own->pool_at[(bytes + SLAB_UNIT - 1) / SLAB_UNIT]);
}

/*
 * The first two words of a free object, which are poisoned like the rest: the link, and a mark that
 * it is free. Both are hidden by a secret of the boot and the object's address, so whoever writes
 * over them cannot say where the next object shall be (what it decodes to is no address, and
 * following it faults), and no object in use has the mark by chance.
 */
struct link {
    uintptr_t next, mark;
};
STATIC_ASSERT(sizeof(struct link) == SLAB_UNIT);
extern uintptr_t slab_secret;

/* The address with its bytes turned round: where neighbours differ, addresses are all alike. So a
 * link that is copied to another object decodes to no address there. */
static inline uintptr_t link_key(const void *object)
{
    return slab_secret ^ __builtin_bswap64((uintptr_t)object);
}

static inline void link_write_key(void *object, void *next, size_t bytes, uintptr_t key)
{
    memory_unpoison(object, sizeof(struct link));
    *(struct link *)object = (struct link){(uintptr_t)next ^ key, key};
    memory_poison(object, bytes, POISON_FREE);
}

static inline void link_write(void *object, void *next, size_t bytes)
{
    link_write_key(object, next, bytes, link_key(object));
}

static inline void *link_read(const void *object)
{
    memory_unpoison(object, sizeof(struct link));
    uintptr_t key = link_key(object);
    __asm__("" : "+r"(key)); /* it is there before the link, which all allocations wait for */
    return (void *)(((const struct link *)object)->next ^ key);
}

/* Free already? (AddressSanitizer has found that out before; nor does it want unused bytes read.)
 */
static inline bool link_marked(const void *object, uintptr_t key)
{
    return !SELKIE_ASAN && ((const struct link *)object)->mark == key;
}

/* Does an object of the pool's class begin so far from its slab's begin? The inverse is ceil(2^32 /
 * bytes), so inverse * bytes = 2^32 + e, e < bytes. For k * bytes + r within a page the product is
 * k * e + r * inverse modulo 2^32: with r = 0 it grows with k, otherwise it is larger than that of
 * any object. What is left behind the last one is refused, too. */
static inline bool slab_offset_valid(const struct pool *pool, uint32_t offset)
{
    return offset * pool->inverse <= pool->inverse_last;
}

static inline uint32_t slab_offset(const void *object)
{
    return (uint32_t)((uintptr_t)object & (PAGE_SIZE - 1));
}

static inline bool slab_slot_valid(const struct pool *pool, const void *object)
{
    return slab_offset_valid(pool, slab_offset(object));
}

/* NULL: nothing is ready, take slab_alloc. */
static inline void *pool_take(struct pool *pool)
{
    void *object = pool->ready;
    if (__builtin_expect(object != NULL, 1)) {
        pool->ready = link_read(object);
        ((struct link *)object)->mark = 0;
        counter_add(&pool->room, 1);
    }
    return object;
}

/* Free an object of this CPU's slab unless that changes the slab's state or something is wrong:
 * false, then take slab_free. */
static inline bool pool_give(struct pool *pool, struct page *slab, void *object, uint32_t offset)
{
    void *head = slab->slab_free;
    uintptr_t key = link_key(object);
    if (__builtin_expect(!slab_offset_valid(pool, offset) || link_marked(object, key), 0))
        return false;
    if (__builtin_expect(--slab->slab_left > 0, 1)) {
        link_write_key(object, head, pool->bytes, key);
        slab->slab_free = object;
        counter_step(&pool->given);
        return true;
    }
    slab->slab_left = 1;
    if (head || pool->room <= 0)
        return false;
    counter_add(&pool->room, -1); /* the slab stays full */
    link_write_key(object, pool->ready, pool->bytes, key);
    pool->ready = object;
    return true;
}

void slab_init(void);
/* Whole operations, in any context. */
void *slab_alloc(size_t bytes, unsigned flags);
void slab_free(struct page *slab, void *object);
/* An object of another CPU's slab. */
void slab_free_remote(struct page *slab, void *object);
_Noreturn void slab_bad_free(const void *object);
static inline size_t slab_object_bytes(const struct page *slab)
{
    return pool_of(slab_pools, slab)->bytes;
}

/* Empty slabs of all CPUs to the page allocator; how many since the last call of either. A CPU that
 * does not answer soon, because the host runs something else in its place, does so later on. */
uint64_t slab_trim_all(void);
/* Has any CPU that was asked still to answer? Then this says later what came meanwhile. */
bool slab_trim_pending(void);
uint64_t slab_trim_late(void);
/* Have every CPU, this one included, do so soon. Any context. */
void slab_trim_ask(void);
struct kmalloc_stats;
void slab_add_stats(struct kmalloc_stats *out);

#endif
