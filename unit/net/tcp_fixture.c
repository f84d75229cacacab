/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_fixture.c - see tcp_fixture.h. */
#include "tcp_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "lib/checksum.h"
#include "mm/account.h"
#include "mm/kmalloc.h"

uint64_t fixture_now, fixture_seed;
uint64_t fixture_counts[TCP_COUNTERS];

#define HOLDS(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s does not hold (seed %llu, time %llu ns)\n", __FILE__, \
                    __LINE__, #condition, (unsigned long long)fixture_seed, \
                    (unsigned long long)fixture_now); \
            abort(); \
        } \
    } while (0)

/* ---- the stack's functions ---- */

static uint64_t clock_now(void)
{
    return fixture_now;
}

static uint64_t random_state;

uint64_t fixture_random(void)
{
    random_state += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    uint64_t z = random_state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}
uint32_t fixture_below(uint32_t limit)
{
    return limit ? (uint32_t)(fixture_random() % limit) : 0;
}

static uint64_t mac(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t hash = 0xcbf29ce484222325ull ^ (fixture_seed * 0x9e3779b97f4a7c15ull);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 0x100000001b3ull;
    hash ^= hash >> 29;
    return hash * 0xbf58476d1ce4e5b9ull;
}
static void count(enum tcp_counter counter)
{
    fixture_counts[counter]++;
}

struct tcp_stack fixture_stack;
static uint32_t fast_pending;

void fixture_init(unsigned mib)
{
    fake_hal_init((size_t)mib << 20);
    page_init();
    kmalloc_init();
    pkt_init();
    fixture_reset();
}

void fixture_reset(void)
{
    fixture_stack = tcp_stack_defaults;
    fixture_stack.clock = clock_now;
    fixture_stack.mac = mac;
    fixture_stack.count = count;
    fast_pending = 0;
    fixture_stack.fast_pending = &fast_pending;
    fixture_now = 1000 * NS_PER_SEC;
    random_state = fixture_seed;
    memset(fixture_counts, 0, sizeof fixture_counts);
    events_clear();
}

uint64_t fixture_packets(void)
{
    return owner_get(OWNER_PACKET).objects;
}

const struct flow_key fixture_key = {.local_port = 1, .remote_port = 2};

struct tcp *fixture_tcp(const struct flow_key *key, uint32_t mss)
{
    struct tcp *tp = calloc(1, sizeof *tp);
    tcp_init(tp, &fixture_stack);
    tp->key = key;
    tcp_set_path(tp, mss);
    return tp;
}

/* ---- segments as bytes ---- */

uint16_t fixture_checksum(const uint8_t *bytes, uint32_t len)
{
    return checksum_fold(checksum_add(bytes, len, 0));
}

static void seal(struct wire *wire)
{
    memset(wire->bytes + 16, 0, 2);
    uint16_t sum = (uint16_t)~fixture_checksum(wire->bytes, wire->len);
    memcpy(wire->bytes + 16, &sum, 2);
}

static struct wire *wire_new(const uint8_t *header, uint32_t header_len, const uint8_t *data,
                             uint32_t len)
{
    struct wire *wire = calloc(1, sizeof *wire + header_len + len);
    HOLDS(wire);
    wire->len = header_len + len;
    memcpy(wire->bytes, header, header_len);
    memcpy(wire->bytes + header_len, data, len);
    return wire;
}

struct wire *fixture_segments(struct pkt *pkt, bool ect)
{
    static uint8_t all[PKT_LEN_MAX];
    struct wire *first = NULL, **end = &first;
    HOLDS(pkt->total <= sizeof all && pkt->len >= TCP_HEADER);
    HOLDS(pkt->checksum == PKT_CHECKSUM_PARTIAL && pkt->checksum_field == 16);
    HOLDS(pkt->checksum_start == pkt_headroom(pkt));
    pkt_read(pkt, 0, all, pkt->total);
    uint32_t header = (uint32_t)(all[12] >> 4) * 4, len = pkt->total - header, at = 0;
    uint32_t size = pkt->gso ? pkt->gso_size : len;
    uint32_t seq = (uint32_t)all[4] << 24 | all[5] << 16 | all[6] << 8 | all[7];
    uint8_t flags = all[13];
    HOLDS(header >= TCP_HEADER && header <= pkt->len);
    HOLDS(!pkt->gso == (len == size) && (!len || size));
    do {
        uint32_t part = MIN(size, len - at);
        struct wire *wire = wire_new(all, header, all + header + at, part);
        uint32_t mine = seq + at;
        uint8_t *p = wire->bytes;
        p[4] = (uint8_t)(mine >> 24), p[5] = (uint8_t)(mine >> 16);
        p[6] = (uint8_t)(mine >> 8), p[7] = (uint8_t)mine;
        p[13] = flags;
        if (at + part < len)
            p[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        if (at)
            p[13] &= (uint8_t)~TCP_CWR;
        wire->ect = ect;
        seal(wire);
        *end = wire;
        end = &wire->next;
        at += part;
    } while (at < len);
    pkt_free(pkt);
    return first;
}

struct pkt *fixture_packet(const uint8_t *bytes, uint32_t len, unsigned pieces)
{
    struct pkt *pkt = NULL;
    uint32_t at = 0;
    for (unsigned i = 0; i < pieces || at < len; i++) {
        uint32_t part = i + 1 < pieces
                            ? MIN(len - at, MIN(MAX(len / pieces, TCP_HEADER_MAX), 4096u))
                            : MIN(len - at, 2048);
        struct pkt *piece = pkt_alloc(0, part, ALLOC_DEFAULT);
        if (!piece) {
            pkt_free(pkt);
            return NULL;
        }
        memcpy(pkt_put(piece, part), bytes + at, part);
        at += part;
        if (pkt)
            pkt_append(pkt, piece);
        else
            pkt = piece;
    }
    return pkt;
}

/* ---- invariants ---- */

static void check_sent(const struct tcp *tp)
{
    uint32_t seq = tp->una, sums[3] = {0, 0, 0}, timed = 0, in_time = 0;
    bool lost_seen = false;
    list_for_each (node, &tp->sent) {
        const struct tcp_seg *seg = seg_of_link(node);
        HOLDS(seg->seq == seq && seg_len(seg) > 0);
        seq += seg_len(seg);
        for (unsigned i = 0; i < 3; i++)
            if (seg->flags & 1u << i)
                sums[i] += seg_len(seg);
        HOLDS(!((seg->flags & SEG_SACKED) && (seg->flags & (SEG_LOST | SEG_RESENT))));
        bool candidate =
            !(seg->flags & SEG_SACKED) && (!(seg->flags & SEG_LOST) || (seg->flags & SEG_RESENT));
        HOLDS(list_linked(&seg->time) == candidate);
        timed += candidate;
        if (tp->lost_first == seg)
            lost_seen = true;
        if ((seg->flags & (SEG_LOST | SEG_RESENT)) == SEG_LOST)
            HOLDS(lost_seen); /* the hint is not behind it */
    }
    HOLDS(seq == tp->nxt || (tp->fin && seq + 1 == tp->nxt && seq == tp->written));
    if (tp->sack_ok)
        HOLDS(sums[0] == tp->sacked);
    HOLDS(sums[1] == tp->lost && sums[2] == tp->resent);
    HOLDS(!tp->lost_first || lost_seen);
    list_for_each (node, &tp->by_time)
        in_time++;
    HOLDS(in_time == timed);
    list_for_each (node, &tp->unsent) {
        const struct tcp_seg *seg = seg_of_link(node);
        HOLDS(seg->seq == seq && seg_len(seg) > 0 && seg->flags == 0);
        seq += seg_len(seg);
    }
    HOLDS(seq == tp->written || (tcp_fin_acked(tp) && seq == tp->written + 1));
}

static void check_received(const struct tcp *tp)
{
    uint32_t bytes = 0, memory = 0, end = tp->rcv_nxt;
    for (const struct pkt *pkt = tp->queue.first; pkt; pkt = pkt->next) {
        bytes += pkt->total;
        memory += pkt->truesize;
    }
    if (!tp->orphan && tp->state != TCP_CLOSED)
        HOLDS(bytes == tcp_readable(tp));
    HOLDS(memory == tp->queue.bytes);
    HOLDS(rb_valid(&tp->ooo));
    memory = 0;
    for (struct rb_node *node = rb_first(&tp->ooo); node; node = rb_next(node)) {
        struct tcp_chunk *chunk = container_of(node, struct tcp_chunk, node);
        HOLDS(seq_after(chunk->seq, tp->rcv_nxt) && !seq_before(chunk->seq, end));
        HOLDS(chunk_pkt(chunk)->total + chunk->fin == chunk->end - chunk->seq);
        end = chunk->end;
        memory += chunk_pkt(chunk)->truesize;
    }
    HOLDS(memory == tp->ooo_memory);
    for (unsigned i = 0; i < tp->sack_count; i++)
        HOLDS(seq_after(tp->sack[i].start, tp->rcv_nxt) &&
              seq_before(tp->sack[i].start, tp->sack[i].end));
}

void fixture_check(const struct tcp *tp)
{
    if (tp->state == TCP_CLOSED) {
        HOLDS(list_empty(&tp->sent) && list_empty(&tp->unsent));
        return;
    }
    HOLDS(tp->events == 0);
    if (tp->state == TCP_SYN_SENT || tp->state == TCP_SYN_RCVD)
        return;
    check_sent(tp);
    check_received(tp);
    HOLDS(tp->cong.window >= TCP_MSS_MIN / 2 || tp->recovery != TCP_CA_OPEN);
    /* Something will happen: what is in flight, or waits, has a timer. */
    bool waits = !list_empty(&tp->unsent) || tp->nxt != tp->una || (tp->fin && !tcp_fin_acked(tp));
    if (waits && tp->state != TCP_TIME_WAIT)
        HOLDS(tp->timer_kind != TCP_TIMER_NONE && tp->deadline[TCP_SLOT_RETRANSMIT] != UINT64_MAX);
    uint64_t first = UINT64_MAX;
    for (unsigned i = 0; i < TCP_SLOTS; i++)
        first = MIN(first, tp->deadline[i]);
    HOLDS(tp->armed_ns <= first);
}

/* ---- events: a binary heap ---- */

static struct event *heap;
static size_t heap_count, heap_room;
static uint64_t heap_order;

static bool earlier(const struct event *a, const struct event *b)
{
    return a->time_ns < b->time_ns || (a->time_ns == b->time_ns && a->order < b->order);
}

void events_add(uint64_t time_ns, void (*fn)(void *arg), void *arg)
{
    if (heap_count == heap_room) {
        heap_room = heap_room * 2 + 64;
        heap = realloc(heap, heap_room * sizeof heap[0]);
        HOLDS(heap);
    }
    struct event event = {time_ns, heap_order++, fn, arg};
    size_t i = heap_count++;
    for (; i > 0 && earlier(&event, &heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = event;
}

bool events_take(struct event *out)
{
    if (heap_count == 0)
        return false;
    *out = heap[0];
    struct event last = heap[--heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= heap_count)
            break;
        if (child + 1 < heap_count && earlier(&heap[child + 1], &heap[child]))
            child++;
        if (!earlier(&heap[child], &last))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return true;
}

void events_clear(void)
{
    free(heap);
    heap = NULL;
    heap_count = heap_room = 0;
}
