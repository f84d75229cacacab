/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pkt.c - packet buffers: see pkt.h.
 *
 * Memory of pieces. Each CPU has a page that it cuts fragments from, front to back; each fragment
 * holds a reference of the page, and so does the CPU while it cuts. A page that is used up and
 * whose fragments have all been freed meanwhile is cut again from its front. Only the CPU itself
 * touches its page, between hal_brief_begin and hal_brief_end, so interrupt handlers and threads
 * that are preempted anywhere may all allocate; the page allocator is called outside, and what then
 * has changed is looked at again. Under AddressSanitizer each fragment has a page of its own, so
 * that the use of freed ones is found.
 *
 * Accounting is by CPU, too (a packet may be freed on another: the sums are right modulo 2^64).
 */
#include "drv/pkt.h"

#include "lib/checksum.h"
#include "lib/counter.h"
#include "lib/string.h"
#include "mm/account.h"

#define FRAGMENT_ALIGN 64u /* devices and CPUs write to lines of their own */

bool pkt_stamps;

static struct fragments {
    struct page *page; /* NULL: none yet */
    uint8_t *memory;   /* where it is */
    uint32_t offset;   /* the first byte not given away */
    uint64_t objects, bytes;
} cache_aligned fragments[HAL_CPU_MAX];

/* ---- memory ---- */

static inline __attribute__((always_inline)) void account_inline(int64_t objects, int64_t bytes)
{
    unsigned long brief = hal_brief_begin();
    struct fragments *f = &fragments[hal_cpu_id()];
    counter_add(&f->objects, (uint64_t)objects);
    counter_add(&f->bytes, (uint64_t)bytes);
    hal_brief_end(brief);
}

static no_inline void account(int64_t objects, int64_t bytes)
{
    account_inline(objects, bytes);
}

static void account_sum(struct memory_account *sum)
{
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        sum->objects += counter_read(&fragments[id].objects);
        sum->bytes += counter_read(&fragments[id].bytes);
    }
}

void pkt_init(void)
{
    memset(fragments, 0, sizeof(fragments)); /* unit tests begin with new memory several times */
    memory_account_more[OWNER_PACKET] = account_sum;
}

static unsigned order_of(uint32_t size)
{
    unsigned order = 0;
    while ((PAGE_SIZE << order) < size)
        order++;
    return order;
}

/* A fragment of this CPU's page: that and where it is. NULL: there is too little left; *page is
 * what the caller drops a reference of, if anything. */
static uint8_t *fragment_cut(uint32_t size, struct page **page)
{
    uint8_t *memory = NULL;
    unsigned long brief = hal_brief_begin();
    struct fragments *f = &fragments[hal_cpu_id()];
    uint32_t offset = f->offset;
    *page = f->page;
    if (*page) {
        /* Acquire: the last users' accesses come before the next one's. */
        if (offset + size > PAGE_SIZE &&
            __atomic_load_n(&(*page)->refs.count, __ATOMIC_ACQUIRE) == 1)
            offset = 0;
        if (offset + size <= PAGE_SIZE) {
            ref_get(&(*page)->refs);
            memory = f->memory + offset;
        } else {
            f->page = NULL;
        }
        f->offset = offset + size;
    }
    hal_brief_end(brief);
    return memory;
}

/* The page is this CPU's from now on, `used` bytes of it given away; unless there is one already.
 */
static void fragment_refill(struct page *page, uint32_t used)
{
    unsigned long brief = hal_brief_begin();
    struct fragments *f = &fragments[hal_cpu_id()];
    if (!f->page) {
        ref_get(&page->refs);
        f->page = page;
        f->memory = page_virt(page);
        f->offset = used;
    }
    hal_brief_end(brief);
}

/* Memory for a piece: more than a page is a block of pages of its own. */
static uint8_t *fragment_alloc(uint32_t size, unsigned flags, struct page **page)
{
    if (size > PAGE_SIZE) {
        *page = page_alloc(order_of(size), PAGE_KERNEL, ALLOC_HANDY);
        return *page ? page_virt(*page) : NULL;
    }
    if (!SELKIE_ASAN) {
        uint8_t *memory = fragment_cut(size, page);
        if (memory)
            return memory;
        if (*page)
            page_put(*page);
    }
    *page = page_alloc(0, PAGE_KERNEL, flags & ALLOC_ATOMIC);
    if (!*page)
        return NULL;
    if (!SELKIE_ASAN)
        fragment_refill(*page, size);
    return page_virt(*page);
}

/* ---- pieces ---- */

static struct pkt *piece_new(uint8_t *room, uint32_t size, struct page *page, unsigned flags)
{
    struct pkt *pkt = kmalloc(sizeof(*pkt), flags & ALLOC_ATOMIC);
    if (!pkt)
        return NULL;
    memzero_inline(pkt, offsetof(struct pkt, scratch));
    pkt->room = pkt->data = room;
    pkt->size = size;
    pkt->page = page;
    pkt->truesize = (uint32_t)sizeof(*pkt) + size;
    account_inline(1, pkt->truesize);
    return pkt;
}

static uint32_t piece_truesize(const struct pkt *piece)
{
    return (uint32_t)sizeof(*piece) + piece->size;
}

static void done_put(struct pkt_done *done)
{
    if (done && ref_put(&done->refs))
        done->fn(done);
}

static void pieces_free(struct pkt *piece)
{
    int64_t objects = 0, bytes = 0;
    while (piece) {
        struct pkt *more = piece->more;
        objects++;
        bytes += piece_truesize(piece);
        page_put(piece->page);
        if (piece->done)
            done_put(piece->done);
        kfree(piece);
        piece = more;
    }
    account_inline(-objects, -bytes);
}

struct pkt *pkt_alloc(uint32_t headroom, uint32_t size, unsigned flags)
{
    struct page *page;
    if (headroom > PKT_PIECE_MAX || size > PKT_PIECE_MAX - headroom)
        return NULL;
    uint32_t bytes = (uint32_t)align_up(MAX(headroom + size, 1u), FRAGMENT_ALIGN);
    if (bytes > PAGE_SIZE)
        bytes = (uint32_t)PAGE_SIZE << order_of(bytes); /* all that is held */
    uint8_t *room = fragment_alloc(bytes, flags, &page);
    if (!room)
        return NULL;
    struct pkt *pkt = piece_new(room, bytes, page, flags);
    if (!pkt) {
        page_put(page);
        return NULL;
    }
    pkt->data += headroom;
    return pkt;
}

struct pkt *pkt_of_page(struct page *page, uint32_t offset, uint32_t len, unsigned flags)
{
    struct pkt *pkt = piece_new((uint8_t *)page_virt(page) + offset, len, page, flags);
    if (!pkt)
        return NULL;
    page_get(page);
    pkt->len = pkt->total = len;
    return pkt;
}

void pkt_free(struct pkt *pkt)
{
    pieces_free(pkt);
}

void pkt_free_list(struct pkt *list)
{
    while (list) {
        struct pkt *next = list->next;
        pkt_free(list);
        list = next;
    }
}

void pkt_append(struct pkt *pkt, struct pkt *tail)
{
    struct pkt *last = pkt;
    while (last->more)
        last = last->more;
    last->more = tail;
    pkt->total += tail->total;
    pkt->truesize += tail->truesize;
    pkt->shared |= tail->shared;
}

/* A piece over the same memory, without room before or behind it. */
static struct pkt *piece_share(const struct pkt *piece, uint32_t offset, uint32_t len,
                               unsigned flags)
{
    struct pkt *copy = piece_new(piece->data + offset, len, piece->page, flags);
    if (!copy)
        return NULL;
    page_get(piece->page);
    copy->len = copy->total = len;
    copy->shared = true;
    copy->done = piece->done;
    if (copy->done)
        ref_get(&copy->done->refs);
    return copy;
}

struct pkt *pkt_clone(const struct pkt *pkt, uint32_t offset, uint32_t len, uint32_t headroom,
                      unsigned flags)
{
    ASSERT(offset <= pkt->total && len <= pkt->total - offset);
    struct pkt *clone = pkt_alloc(headroom, 0, flags);
    struct pkt **end = clone ? &clone->more : NULL;
    if (!clone)
        return NULL;
    clone->dev = pkt->dev;
    clone->time_ns = pkt->time_ns;
    clone->hash = pkt->hash;
    clone->shared = true;
    clone->total = len;
    for (const struct pkt *piece = pkt; len > 0; piece = piece->more) {
        if (offset >= piece->len) {
            offset -= piece->len;
            continue;
        }
        uint32_t part = MIN(len, piece->len - offset);
        *end = piece_share(piece, offset, part, flags);
        if (!*end) {
            pkt_free(clone);
            return NULL;
        }
        clone->truesize += (*end)->truesize;
        end = &(*end)->more;
        len -= part;
        offset = 0;
    }
    return clone;
}

struct pkt *pkt_split(struct pkt *pkt, uint32_t offset, unsigned flags)
{
    ASSERT(offset > 0 && offset < pkt->total);
    struct pkt *piece = pkt, *tail;
    uint32_t at = offset;
    while (at > piece->len || (at == piece->len && piece->more->len == 0)) {
        at -= piece->len;
        piece = piece->more;
    }
    if (at == piece->len) {
        tail = piece->more;
        tail->shared = pkt->shared;
    } else {
        tail = piece_share(piece, at, piece->len - at, flags);
        if (!tail)
            return NULL;
        tail->more = piece->more;
        /* What is behind its end is the other's now: no room to append to. */
        uint32_t size = pkt_headroom(piece) + at;
        account(0, (int64_t)size - piece->size);
        piece->size = size;
        piece->len = at;
    }
    piece->more = NULL;
    tail->dev = pkt->dev;
    tail->time_ns = pkt->time_ns;
    tail->hash = pkt->hash;
    tail->total = pkt->total - offset;
    pkt->total = offset;
    tail->truesize = piece_truesize(tail);
    for (const struct pkt *more = tail->more; more; more = more->more)
        tail->truesize += piece_truesize(more);
    pkt->truesize = piece_truesize(pkt);
    for (const struct pkt *more = pkt->more; more; more = more->more)
        pkt->truesize += piece_truesize(more);
    return tail;
}

/* ---- where it begins and ends ---- */

/* Free the pieces from *link up to `until` (NULL: all). */
static void drop_pieces(struct pkt *pkt, struct pkt **link, struct pkt *until)
{
    struct pkt *first = *link, **end = link;
    if (first == until)
        return;
    while (*end != until) {
        pkt->truesize -= piece_truesize(*end);
        end = &(*end)->more;
    }
    *end = NULL;
    *link = until;
    pieces_free(first);
}

void *pkt_push(struct pkt *pkt, uint32_t len)
{
    CHECK(len <= pkt_headroom(pkt));
    pkt->data -= len;
    pkt->len += len;
    pkt->total += len;
    return pkt->data;
}

void pkt_skip(struct pkt *pkt, uint32_t len)
{
    CHECK(len <= pkt->total);
    uint32_t part = MIN(len, pkt->len);
    pkt->data += part;
    pkt->len -= part;
    pkt->total -= len;
    len -= part;
    struct pkt *piece = pkt->more;
    for (; len > 0 && len >= piece->len; piece = piece->more)
        len -= piece->len;
    drop_pieces(pkt, &pkt->more, piece);
    if (len > 0) {
        piece->data += len;
        piece->len -= len;
    }
}

void pkt_trim(struct pkt *pkt, uint32_t total)
{
    CHECK(total <= pkt->total);
    pkt->total = total;
    struct pkt *piece = pkt;
    while (total > piece->len) {
        total -= piece->len;
        piece = piece->more;
    }
    piece->len = total;
    drop_pieces(pkt, &piece->more, NULL);
}

/* More memory for the first piece: what is in front of the data stays in front of it, since headers
 * are found by their distance from room. */
static bool grow(struct pkt *pkt, uint32_t len)
{
    uint32_t headroom = pkt_headroom(pkt);
    struct page *page;
    if (headroom > PAGE_SIZE || len > PAGE_SIZE - headroom)
        return false;
    uint32_t bytes = (uint32_t)align_up(headroom + len, FRAGMENT_ALIGN);
    uint8_t *room = fragment_alloc(bytes, ALLOC_DEFAULT, &page);
    if (!room)
        return false;
    memcpy(room, pkt->room, headroom + pkt->len);
    account(0, (int64_t)bytes - pkt->size);
    pkt->truesize += bytes - pkt->size;
    page_put(pkt->page);
    done_put(pkt->done);
    pkt->done = NULL;
    pkt->page = page;
    pkt->room = room;
    pkt->data = room + headroom;
    pkt->size = bytes;
    return true;
}

void *pkt_pull(struct pkt *pkt, uint32_t len)
{
    if (len <= pkt->len)
        return pkt->data;
    if (len > pkt->total || (len > pkt->size - pkt_headroom(pkt) && !grow(pkt, len)))
        return NULL;
    uint32_t total = pkt->total, wanted = len - pkt->len;
    /* The bytes of the other pieces, then these pieces less those bytes. */
    struct pkt *piece = pkt->more;
    uint8_t *to = pkt->data + pkt->len;
    for (uint32_t left = wanted; left > 0; piece = piece->more) {
        uint32_t part = MIN(left, piece->len);
        memcpy(to, piece->data, part);
        to += part;
        left -= part;
    }
    uint32_t first = pkt->len;
    pkt_skip(pkt, len);
    pkt->data -= first; /* it had skipped the first piece, too */
    pkt->len = len;
    pkt->total = total;
    return pkt->data;
}

void *pkt_put(struct pkt *pkt, uint32_t len)
{
    struct pkt *last = pkt;
    while (last->more)
        last = last->more;
    if (len > last->size - pkt_headroom(last) - last->len)
        return NULL;
    void *end = last->data + last->len;
    last->len += len;
    pkt->total += len;
    return end;
}

/* ---- contents ---- */

/* The piece that holds the byte at *offset, which becomes the distance from that piece's data. */
static const struct pkt *piece_at(const struct pkt *pkt, uint32_t *offset)
{
    while (pkt->more && *offset >= pkt->len) {
        *offset -= pkt->len;
        pkt = pkt->more;
    }
    return pkt;
}

void pkt_read(const struct pkt *pkt, uint32_t offset, void *to, uint32_t len)
{
    CHECK(offset <= pkt->total && len <= pkt->total - offset);
    for (pkt = piece_at(pkt, &offset); len > 0; pkt = pkt->more, offset = 0) {
        uint32_t part = MIN(len, pkt->len - offset);
        memcpy(to, pkt->data + offset, part);
        to = (uint8_t *)to + part;
        len -= part;
    }
}

void pkt_write(struct pkt *pkt, uint32_t offset, const void *from, uint32_t len)
{
    CHECK(offset <= pkt->total && len <= pkt->total - offset);
    const struct pkt *piece = piece_at(pkt, &offset);
    for (; len > 0; piece = piece->more, offset = 0) {
        uint32_t part = MIN(len, piece->len - offset);
        memcpy(piece->data + offset, from, part);
        from = (const uint8_t *)from + part;
        len -= part;
    }
}

uint16_t pkt_checksum(const struct pkt *pkt, uint32_t offset, uint32_t len, uint32_t sum)
{
    CHECK(offset <= pkt->total && len <= pkt->total - offset);
    bool odd = false; /* does this piece begin at an odd place of the range? */
    for (pkt = piece_at(pkt, &offset); len > 0; pkt = pkt->more, offset = 0) {
        uint32_t part = MIN(len, pkt->len - offset);
        if (!odd) {
            sum = checksum_add(pkt->data + offset, part, sum);
        } else {
            uint16_t own = checksum_add(pkt->data + offset, part, 0);
            sum = checksum_fold((uint32_t)checksum_fold(sum) + checksum_odd(own));
        }
        odd ^= part & 1;
        len -= part;
    }
    return checksum_fold(sum);
}

/* ---- queues ---- */

void pkt_queue_add(struct pkt_queue *queue, struct pkt *pkt)
{
    pkt->next = NULL;
    if (queue->last)
        queue->last->next = pkt;
    else
        queue->first = pkt;
    queue->last = pkt;
    queue->count++;
    queue->bytes += pkt->truesize;
}

struct pkt *pkt_queue_take(struct pkt_queue *queue)
{
    struct pkt *pkt = queue->first;
    if (!pkt)
        return NULL;
    queue->first = pkt->next;
    if (!queue->first)
        queue->last = NULL;
    queue->count--;
    queue->bytes -= pkt->truesize;
    pkt->next = NULL;
    return pkt;
}

void pkt_queue_purge(struct pkt_queue *queue)
{
    struct pkt *pkt;
    while ((pkt = pkt_queue_take(queue)))
        pkt_free(pkt);
}
