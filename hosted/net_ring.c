/* SPDX-License-Identifier: BSD-3-Clause */
/* net_ring.c - see net_ring.h. */
#include "net_ring.h"

#include "lib/errno.h"
#include "lib/string.h"

STATIC_ASSERT((SHARE_RING & (SHARE_RING - 1)) == 0 && SHARE_RING % RING_ALIGN == 0);
STATIC_ASSERT(sizeof(struct share_ring) == 256 && sizeof(struct share_region) <= SHARE_DATA);
STATIC_ASSERT(offsetof(struct share_ring, head) == 128);

void ring_open(void *region, unsigned side, struct ring_writer *out, struct ring_reader *in)
{
    struct share_region *shared = region;
    uint8_t *data = (uint8_t *)region + SHARE_DATA;

    *out = (struct ring_writer){&shared->rings[side], data + (size_t)side * SHARE_RING, 0, 0, 0};
    *in = (struct ring_reader){
        &shared->rings[!side], data + (size_t)!side * SHARE_RING, 0, 0, 0, false};
}

/* ---- copying ----
 *
 * The bytes of a long record travel from one CPU's caches to the other's. A plain store first asks
 * the CPU that has read the line last for it, one line after the other, which was most of what a
 * stream cost; stores past the caches do not wait (docs/network.md). Other stores may overtake
 * them, so a fence comes before the count that covers them. A short record is wanted at once and
 * stays in the caches. ThreadSanitizer sees plain stores only, so it gets those.
 */

#define LINE 64u
#define LONG 1024u

/* Whole lines, past the caches. */
static void copy_lines(uint8_t *to, const uint8_t *from, uint32_t len)
{
#if SELKIE_TSAN
    memcpy(to, from, len);
#else
    for (; len > 0; len -= LINE, to += LINE, from += LINE)
        __asm__ volatile(
            "movq (%1), %%rax; movq 8(%1), %%rcx; movq 16(%1), %%rdx; movq 24(%1), %%r8;"
            "movnti %%rax, (%0); movnti %%rcx, 8(%0);"
            "movnti %%rdx, 16(%0); movnti %%r8, 24(%0);"
            "movq 32(%1), %%rax; movq 40(%1), %%rcx; movq 48(%1), %%rdx; movq 56(%1), %%r8;"
            "movnti %%rax, 32(%0); movnti %%rcx, 40(%0);"
            "movnti %%rdx, 48(%0); movnti %%r8, 56(%0)"
            :
            : "r"(to), "r"(from)
            : "rax", "rcx", "rdx", "r8", "memory");
#endif
}

static void copy_in(uint8_t *to, const uint8_t *from, uint32_t len)
{
    uint32_t first = (uint32_t)(-(uintptr_t)to % LINE), lines;

    if (len < LONG) {
        memcpy(to, from, len);
        return;
    }
    lines = (len - first) & ~(LINE - 1);
    memcpy(to, from, first);
    copy_lines(to + first, from + first, lines);
    memcpy(to + first + lines, from + first + lines, len - first - lines);
}

/* By words: by bytes (`rep movsb`) Zen 3 needs six times as long where both lie nearly alike in
 * their pages. */
static void copy_out(uint8_t *to, const uint8_t *from, uint32_t len)
{
    if (len >= LONG && !SELKIE_TSAN) {
        uint64_t words = len / 8;

        __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
        len %= 8;
    }
    memcpy(to, from, len);
}

/* What a record takes. */
static uint32_t space(uint32_t len)
{
    return (RING_LENGTH + len + RING_ALIGN - 1) & ~(RING_ALIGN - 1);
}

/* ---- writing ---- */

static bool has_room(struct ring_writer *w, uint32_t need)
{
    uint32_t head;

    if (SHARE_RING - (w->tail - w->head) >= need)
        return true;
    head = __atomic_load_n(&w->shared->head, __ATOMIC_ACQUIRE); /* what was there has been read */
    if (w->tail - head > SHARE_RING || head % RING_ALIGN) {
        w->broken = true;
        return false;
    }
    w->head = head;
    return SHARE_RING - (w->tail - head) >= need;
}

/* Behind byte count `at`, perhaps in two parts. */
static void put(uint8_t *ring, uint32_t at, const void *from, uint32_t len)
{
    uint32_t offset = at % SHARE_RING, first = MIN(len, SHARE_RING - offset);

    copy_in(ring + offset, from, first);
    if (len > first)
        copy_in(ring, (const uint8_t *)from + first, len - first);
}

int ring_write(struct ring_writer *w, const struct host_iovec *iov, unsigned count, uint32_t total)
{
    uint32_t at = w->tail + RING_LENGTH;

    if (w->broken)
        return -EIO;
    if (!has_room(w, space(total)))
        return w->broken ? -EIO : -EAGAIN;
    put(w->data, w->tail, &total, RING_LENGTH);
    for (unsigned i = 0; i < count; i++) {
        put(w->data, at, iov[i].base, (uint32_t)iov[i].len);
        at += (uint32_t)iov[i].len;
    }
    w->tail += space(total);
    if (total >= LONG)
        __asm__ volatile("sfence" : : : "memory");
    __atomic_store_n(&w->shared->tail, w->tail, __ATOMIC_RELEASE); /* the bytes before */
    return 0;
}

uint32_t ring_tell(struct ring_writer *w)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our count before the look at the reader's word */
    if (__atomic_load_n(&w->shared->wake, __ATOMIC_RELAXED) == SHARE_LOOKS)
        return SHARE_LOOKS;
    /* Relaxed: whoever is told looks at the count after a system call of ours. */
    return __atomic_exchange_n(&w->shared->wake, SHARE_LOOKS, __ATOMIC_RELAXED);
}

bool ring_want_room(struct ring_writer *w, uint32_t total)
{
    __atomic_store_n(&w->shared->room, SHARE_BELL, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our word before the look at the reader's count */
    return has_room(w, space(total)) || w->broken;
}

/* ---- reading ---- */

static uint32_t reader_breaks(struct ring_reader *r)
{
    __atomic_store_n(&r->broken, true, __ATOMIC_RELAXED); /* for ring_filled */
    return 0;
}

uint32_t ring_next(struct ring_reader *r, uint32_t most)
{
    uint32_t there = r->tail - r->head, len;

    if (r->broken || r->len)
        return r->broken ? 0 : r->len;
    if (there == 0) {
        /* Acquire: the bytes that it covers. Once: another look might say something else. */
        uint32_t tail = __atomic_load_n(&r->shared->tail, __ATOMIC_ACQUIRE);

        there = tail - r->head;
        if (there == 0)
            return 0;
        if (there > SHARE_RING || tail % RING_ALIGN)
            return reader_breaks(r);
        r->tail = tail;
    }
    len = __atomic_load_n((const uint32_t *)(r->data + r->head % SHARE_RING), __ATOMIC_RELAXED);
    if (len == 0 || len > most || space(len) > there)
        return reader_breaks(r);
    r->len = len;
    return len;
}

static void get(const uint8_t *ring, uint32_t at, void *to, uint32_t len)
{
    uint32_t offset = at % SHARE_RING, first = MIN(len, SHARE_RING - offset);

    copy_out(to, ring + offset, first);
    if (len > first)
        copy_out((uint8_t *)to + first, ring, len - first);
}

void ring_take(struct ring_reader *r, const struct host_iovec *iov, unsigned count)
{
    uint32_t at = r->head + RING_LENGTH, left = r->len;

    for (unsigned i = 0; i < count && left > 0; i++) {
        uint32_t n = (uint32_t)MIN((size_t)left, iov[i].len);

        get(r->data, at, (void *)(uintptr_t)iov[i].base, n);
        at += n;
        left -= n;
    }
    /* Relaxed: ring_filled on another CPU looks at it. */
    __atomic_store_n(&r->head, r->head + space(r->len), __ATOMIC_RELAXED);
    r->len = 0;
}

bool ring_release(struct ring_reader *r)
{
    /* Release: our reads before the writer's next bytes there. */
    __atomic_store_n(&r->shared->head, r->head, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our count before the look at the writer's word */
    return __atomic_load_n(&r->shared->room, __ATOMIC_RELAXED) &&
           __atomic_exchange_n(&r->shared->room, 0, __ATOMIC_RELAXED);
}

bool ring_filled(const struct ring_reader *r)
{
    return __atomic_load_n(&r->shared->tail, __ATOMIC_RELAXED) !=
               __atomic_load_n(&r->head, __ATOMIC_RELAXED) &&
           !__atomic_load_n(&r->broken, __ATOMIC_RELAXED);
}

void ring_set_wake(struct ring_reader *r, uint32_t wake)
{
    __atomic_store_n(&r->shared->wake, wake, __ATOMIC_RELAXED);
    if (wake != SHARE_LOOKS)
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our word before the look at the count */
}
