/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * area.c - the tree of areas: lookup, gaps, splitting and joining.
 *
 * Areas are ordered by address and never overlap. Each knows the unmapped space below it, up to the
 * previous area (`gap_below`; the guard gap of a growing stack does not count as free), and
 * the largest such gap in its subtree (`gap_max`), so a place for a mapping is found in O(log n).
 *
 * Invariants (area_tree_valid): lo < hi; a.hi <= b.lo for neighbours a, b; gap_below and gap_max
 * are exact; area_count, pages_mapped, pages_data and pages_locked are the sums over the areas.
 */
#include "mm/area.h"

#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/hugetlb.h"
#include "mm/kmalloc.h"

unsigned area_hal_prot(uint32_t prot)
{
    unsigned hal = 0;
    if (prot & (PROT_READ | PROT_WRITE | PROT_EXEC))
        hal |= HAL_PROT_READ;
    if (prot & PROT_WRITE)
        hal |= HAL_PROT_WRITE;
    if (prot & PROT_EXEC)
        hal |= HAL_PROT_EXEC;
    if (prot & PROT_BTI)
        hal |= HAL_PROT_LANDING;
    return hal;
}

/* ---- gaps ---------------------------------------------------------------------------------------
 */

static vaddr_t gap_max_of(const struct rb_node *node)
{
    return node ? area_of(node)->gap_max : 0;
}

static vaddr_t gap_max_exact(const struct area *area)
{
    vaddr_t below = MAX(gap_max_of(area->node.left), gap_max_of(area->node.right));
    return MAX(area->gap_below, below);
}

static bool gap_update(struct rb_node *node)
{
    struct area *area = area_of(node);
    vaddr_t before = area->gap_max;
    area->gap_max = gap_max_exact(area);
    return area->gap_max != before;
}

/* Where others must end: below the guard gap of a stack. */
static vaddr_t guarded_lo(const struct area *area)
{
    return area_is_stack(area) ? area->lo - MIN(area->lo, (vaddr_t)STACK_GUARD_GAP) : area->lo;
}

static vaddr_t gap_exact(const struct area *area)
{
    const struct area *prev = area_prev(area);
    vaddr_t floor = prev ? prev->hi : 0, top = guarded_lo(area);
    return top > floor ? top - floor : 0;
}

/* The space below `area` may have changed. */
static void gap_refresh(struct space *space, struct area *area)
{
    if (!area)
        return;
    area->gap_below = gap_exact(area);
    rb_update(&space->areas, &area->node);
}

void area_tree_init(struct space *space)
{
    space->areas = (struct rb_tree){.update = gap_update};
}

/* ---- lookup -------------------------------------------------------------------------------------
 */

struct area *area_above(const struct space *space, vaddr_t addr)
{
    struct area *found = NULL;
    for (struct rb_node *node = space->areas.root; node;) {
        struct area *area = area_of(node);
        if (area->hi > addr) {
            found = area;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return found;
}

struct area *area_at(const struct space *space, vaddr_t addr)
{
    struct area *area = area_above(space, addr);
    return area && area->lo <= addr ? area : NULL;
}

bool area_cuts_huge(const struct space *space, vaddr_t at)
{
    const struct area *area = is_aligned(at, REGION_SIZE) ? NULL : area_at(space, at);
    return area && (area->flags & AREA_HUGETLB);
}

bool area_overlaps(const struct space *space, vaddr_t lo, vaddr_t hi)
{
    const struct area *area = area_above(space, lo);
    return area && area->lo < hi;
}

/* The last area below `node` (included) with a gap of at least len. */
static struct area *gap_last(struct rb_node *node, size_t len)
{
    while (gap_max_of(node) >= len) {
        if (gap_max_of(node->right) >= len)
            node = node->right;
        else if (area_of(node)->gap_below >= len)
            return area_of(node);
        else
            node = node->left;
    }
    return NULL;
}

/* The last area before `area` with a gap of at least len. */
static struct area *gap_before(struct area *area, size_t len)
{
    struct rb_node *node = &area->node;
    struct area *found = gap_last(node->left, len);
    while (!found && node->parent) {
        bool right = node->parent->right == node;
        node = node->parent;
        if (!right)
            continue;
        if (area_of(node)->gap_below >= len)
            return area_of(node);
        found = gap_last(node->left, len);
    }
    return found;
}

/* The highest place in the gap [start, end) within [lo, hi). */
static bool place_in(vaddr_t start, vaddr_t end, vaddr_t lo, vaddr_t hi, size_t len, vaddr_t *out)
{
    start = MAX(start, lo);
    end = MIN(end, hi);
    if (end < start || end - start < len)
        return false;
    *out = end - len;
    return true;
}

bool area_find_gap(const struct space *space, vaddr_t lo, vaddr_t hi, size_t len, vaddr_t *out)
{
    struct area *area = area_above(space, hi);
    if (!area) {
        struct area *last = area_of(rb_last(&space->areas));
        if (place_in(last ? last->hi : 0, hi, lo, hi, len, out))
            return true;
        area = gap_last(space->areas.root, len);
    }
    for (; area; area = gap_before(area, len)) {
        vaddr_t end = guarded_lo(area);
        if (place_in(end - MIN(end, area->gap_below), end, lo, hi, len, out))
            return true;
        if (area->hi <= lo)
            break;
    }
    return false;
}

/* The hole that [lo, hi) is in: what no area has, within the user window of its ends. */
static void hole_around(const struct space *space, vaddr_t lo, vaddr_t hi, vaddr_t *floor,
                        vaddr_t *ceiling)
{
    const struct hal_layout *layout = hal_layout();
    const struct area *next = area_above(space, lo);
    const struct area *prev = next ? area_prev(next) : area_of(rb_last(&space->areas));
    vaddr_t first = lo, last = hi;
    for (unsigned i = 0; i < layout->user_count; i++) {
        const struct hal_user_window *w = &layout->user[i];
        if (lo >= w->lo && lo < w->hi)
            first = w->lo;
        if (hi > w->lo && hi <= w->hi)
            last = w->hi;
    }
    ASSERT(!next || next->lo >= hi);
    *floor = prev ? MAX(first, prev->hi) : first;
    *ceiling = next ? MIN(last, next->lo) : last;
}

void area_widen(const struct space *space, vaddr_t *lo, vaddr_t *hi)
{
    vaddr_t floor, ceiling, from = *lo, to = *hi;
    hole_around(space, from, to, &floor, &ceiling);
    for (vaddr_t size = REGION_SIZE; size <= TABLE_SPAN_MAX; size <<= 9) {
        vaddr_t below = align_down(from, size), above = align_down(to - 1, size);
        if (below >= floor && below < ceiling && ceiling - below >= size)
            *lo = below;
        if (above >= floor && above < ceiling && ceiling - above >= size)
            *hi = above + size;
    }
}

/* ---- accounting ------------------------------------------------------------------------- */

static bool is_data(const struct area *area)
{
    return (area->prot & PROT_WRITE) && !(area->flags & AREA_SHARED) && !area_is_stack(area);
}

static uint64_t locked_total; /* of all spaces; relaxed atomic, a figure for /proc */

uint64_t space_locked_pages(void)
{
    return __atomic_load_n(&locked_total, __ATOMIC_RELAXED);
}

static void account_add(struct space *space, const struct area *area)
{
    space->pages_mapped += area_pages(area);
    if (space->pages_mapped > space->mapped_peak)
        __atomic_store_n(&space->mapped_peak, space->pages_mapped, __ATOMIC_RELAXED);
    space->pages_data += is_data(area) ? area_pages(area) : 0;
    if (!(area->flags & AREA_LOCKED))
        return;
    space->pages_locked += area_pages(area);
    if (area->space == space) /* and not a sum that is made to check */
        __atomic_add_fetch(&locked_total, area_pages(area), __ATOMIC_RELAXED);
}

static void account_remove(struct space *space, const struct area *area)
{
    ASSERT(space->pages_mapped >= area_pages(area));
    space->pages_mapped -= area_pages(area);
    space->pages_data -= is_data(area) ? area_pages(area) : 0;
    if (!(area->flags & AREA_LOCKED))
        return;
    space->pages_locked -= area_pages(area);
    __atomic_sub_fetch(&locked_total, area_pages(area), __ATOMIC_RELAXED);
}

/* ---- changes ---------------------------------------------------------------------------- */

static void object_get(struct vm_object *object)
{
    if (object && object->ops->get)
        object->ops->get(object);
}

static void object_put(struct vm_object *object)
{
    if (object && object->ops->put)
        object->ops->put(object);
}

static void tell_writable(const struct area *area, int delta)
{
    bool writable = (area->flags & AREA_SHARED) && (area->flags & AREA_MAYWRITE);
    if (writable && area->object && area->object->ops->writable_area)
        area->object->ops->writable_area(area->object, delta);
}

static void area_free(struct area *area)
{
    owner_free(OWNER_AREA, area, sizeof(*area));
}

static int begin(struct change *c, struct space *space, unsigned spares, unsigned flags)
{
    ASSERT(spares <= CHANGE_SPARES);
    *c = (struct change){.space = space};
    for (; c->spare_count < spares; c->spare_count++) {
        struct area *area = kmalloc(sizeof(*area), ALLOC_ZERO | flags);
        if (!area)
            goto fail;
        owner_add(OWNER_AREA, 1, sizeof(*area));
        c->spare[c->spare_count] = area;
    }
    rwlock_write_lock(&space->lock);
    return 0;
fail:
    while (c->spare_count > 0)
        area_free(c->spare[--c->spare_count]);
    return -ENOMEM;
}

int change_begin(struct change *c, struct space *space, unsigned spares)
{
    return begin(c, space, spares, ALLOC_DEFAULT);
}

int change_begin_removal(struct change *c, struct space *space, unsigned spares)
{
    return begin(c, space, spares, ALLOC_ATOMIC);
}

void change_end(struct change *c)
{
    for (struct area *area = c->dead; area; area = area_of(area->node.left))
        if (area->object)
            vm_object_remove_area(area->object, area);
    if (c->shared)
        rwlock_read_unlock(&c->space->lock);
    else
        rwlock_write_unlock(&c->space->lock);
    while (c->spare_count > 0)
        area_free(c->spare[--c->spare_count]);
    while (c->dead) {
        struct area *area = c->dead;
        c->dead = area_of(area->node.left);
        tell_writable(area, -1);
        object_put(area->object);
        area_free(area);
    }
}

void change_share(struct change *c)
{
    c->shared = true;
    rwlock_downgrade(&c->space->lock);
}

static void bury(struct change *c, struct area *area)
{
    area->node.left = c->dead ? &c->dead->node : NULL;
    c->dead = area;
}

struct area *change_take(struct change *c)
{
    CHECK(c->spare_count > 0);
    return c->spare[--c->spare_count];
}

void change_drop(struct change *c, struct area *area)
{
    ASSERT(!area->object);
    bury(c, area);
}

static bool area_less(const struct rb_node *a, const struct rb_node *b)
{
    return area_of(a)->lo < area_of(b)->lo;
}

void area_insert(struct space *space, struct area *area)
{
    ASSERT(area->lo < area->hi && !area_overlaps(space, area->lo, area->hi));
    area->space = space;
    area->gap_below = 0;
    list_init(&area->object_link);
    rb_insert(&space->areas, &area->node, area_less);
    gap_refresh(space, area);
    gap_refresh(space, area_next(area));
    space->area_count++;
    account_add(space, area);
    object_get(area->object);
    tell_writable(area, +1);
    if (area->object)
        vm_object_add_area(area->object, area);
}

static void area_remove(struct change *c, struct area *area)
{
    struct area *next = area_next(area);
    account_remove(c->space, area);
    rb_remove(&c->space->areas, &area->node);
    gap_refresh(c->space, next);
    c->space->area_count--;
    bury(c, area);
}

void area_leave(struct change *c, struct area *area)
{
    if (area->flags & AREA_HUGETLB)
        hugetlb_area_leaves(c->space, area);
    area_remove(c, area);
}

void area_resize(struct space *space, struct area *area, vaddr_t lo, vaddr_t hi)
{
    ASSERT(lo < hi);
    account_remove(space, area);
    if (area->object)
        area->off += lo - area->lo; /* modulo 2^64: downwards, too */
    area->lo = lo;
    area->hi = hi;
    account_add(space, area);
    gap_refresh(space, area);
    gap_refresh(space, area_next(area));
}

struct area *area_split(struct change *c, struct area *area, vaddr_t at)
{
    ASSERT(area->lo < at && at < area->hi);
    struct area *upper = change_take(c);
    upper->lo = at;
    upper->hi = area->hi;
    upper->prot = area->prot;
    upper->flags = area->flags;
    upper->object = area->object;
    upper->off = area->object ? area->off + (at - area->lo) : 0;
    memcpy(upper->name, area->name, sizeof upper->name);
    area_resize(c->space, area, area->lo, at);
    area_insert(c->space, upper);
    return upper;
}

int area_cut(struct change *c, struct area **area, vaddr_t lo, vaddr_t hi)
{
    unsigned cuts = ((*area)->lo < lo) + ((*area)->hi > hi);
    if (cuts && c->space->area_count + cuts > space_area_limit())
        return -ENOMEM;
    if ((*area)->lo < lo)
        *area = area_split(c, *area, lo);
    if ((*area)->hi > hi)
        area_split(c, *area, hi);
    return 0;
}

void area_set(struct space *space, struct area *area, uint32_t prot, uint32_t flags)
{
    account_remove(space, area);
    area->prot = prot;
    area->flags = flags;
    account_add(space, area);
}

/* Could one area describe both? */
static bool can_merge(const struct area *a, const struct area *b)
{
    return a->hi == b->lo && a->prot == b->prot && a->flags == b->flags && a->object == b->object &&
           (!a->object || a->off + (a->hi - a->lo) == b->off) &&
           !(a->flags & (AREA_SPECIAL | AREA_STACK | AREA_GROWSDOWN)) &&
           strcmp(a->name, b->name) == 0;
}

static void merge_pair(struct change *c, struct area *lower, struct area *upper)
{
    vaddr_t hi = upper->hi;
    area_remove(c, upper);
    area_resize(c->space, lower, lower->lo, hi);
}

struct area *area_merge(struct change *c, struct area *area)
{
    struct area *next = area_next(area), *prev = area_prev(area);
    if (next && can_merge(area, next))
        merge_pair(c, area, next);
    if (prev && can_merge(prev, area)) {
        merge_pair(c, prev, area);
        return prev;
    }
    return area;
}

void area_isolate(struct change *c, vaddr_t lo, vaddr_t hi)
{
    struct area *area = area_at(c->space, lo);
    if (area && area->lo < lo)
        area_split(c, area, lo);
    area = area_at(c->space, hi);
    if (area && area->lo < hi)
        area_split(c, area, hi);
}

/* ---- checks ----------------------------------------------------------------------------- */

bool area_tree_valid(const struct space *space)
{
    if (!rb_valid(&space->areas))
        return false;
    struct space sum = {0};
    vaddr_t floor = 0;
    for (struct area *a = area_of(rb_first(&space->areas)); a; a = area_next(a)) {
        if (a->lo < floor || a->lo >= a->hi || a->space != space)
            return false;
        if (!is_aligned(a->lo | a->hi | a->off, PAGE_SIZE))
            return false;
        if (a->gap_below != gap_exact(a) || a->gap_max != gap_max_exact(a))
            return false;
        floor = a->hi;
        sum.area_count++;
        account_add(&sum, a);
    }
    return sum.area_count == space->area_count && sum.pages_mapped == space->pages_mapped &&
           sum.pages_data == space->pages_data && sum.pages_locked == space->pages_locked;
}
