/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet_ring.c - PACKET_RX_RING: packets in memory that the program maps (Linux:
 * Documentation/networking/packet_mmap.rst). V1 and V2 are an array of frames of one size, V3 one
 * of blocks that are filled with packets of any size and handed over when they are full or old.
 *
 * The ring is an object of its own: the socket has a reference, and so has each mapping, so either
 * may go first. All pages are there from the beginning, in `pages`, and the kernel writes to them
 * by its own addresses: never a fault. What the program writes into the memory is believed for one
 * thing only, whether a frame or block is the kernel's again; all else is kept in struct
 * packet_ring.
 *
 * Order: the status word is stored with release behind what it hands over, and loaded with acquire
 * before what the program gave back is written again.
 */
#include "core/assert.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "net/packet.h"

#define TPACKET_ALIGNMENT 16u
#define BLOCK_HEADER 48u /* struct tpacket_block_desc */
#define LINK_ROOM 16u    /* at least so much before the network header */
#define RING_PAGES_MAX (1u << 18)

struct frame1 { /* struct tpacket_hdr */
    uint64_t status;
    uint32_t len, kept;
    uint16_t mac, network;
    uint32_t sec, usec, pad;
};
struct frame2 { /* struct tpacket2_hdr */
    uint32_t status, len, kept;
    uint16_t mac, network;
    uint32_t sec, nsec;
    uint16_t tag, tag_type;
    uint8_t pad[4];
};
struct frame3 { /* struct tpacket3_hdr */
    uint32_t next, sec, nsec, kept, len, status;
    uint16_t mac, network;
    uint32_t hash, tag;
    uint16_t tag_type, pad;
    uint8_t more[8];
};
struct block { /* struct tpacket_block_desc */
    uint32_t version, to_private;
    uint32_t status, packets, first, len;
    uint64_t sequence;
    uint32_t first_sec, first_nsec, last_sec, last_nsec;
};
STATIC_ASSERT(sizeof(struct frame1) == 32 && sizeof(struct frame2) == 32);
STATIC_ASSERT(sizeof(struct frame3) == 48 && sizeof(struct block) == BLOCK_HEADER);

struct packet_ring {
    struct vm_object object;  /* first */
    struct packet_ring *next; /* packet_ring_push */
    struct refcount refs;
    struct page **pages;
    uint32_t page_count;
    uint32_t version, reserve;
    uint32_t block_size, block_count, frame_size, frame_count;
    uint32_t first; /* V3: offset of a block's first packet */
    uint64_t timeout_ns;
    uint32_t head; /* the next frame, or the block that is filled */
    /* V3, of the block at head: */
    bool open, frozen;
    uint32_t at, last, packets; /* where the next goes, where the last is, how many */
    uint64_t sequence, first_ns, last_ns;
};

static struct packet_ring *ring_of(struct vm_object *object)
{
    return container_of(object, struct packet_ring, object);
}

/* ---- memory ---- */

static void ring_get(struct vm_object *object)
{
    ref_get(&ring_of(object)->refs);
}

static void ring_put(struct vm_object *object)
{
    struct packet_ring *ring = ring_of(object);
    if (!ref_put(&ring->refs))
        return;
    for (uint32_t i = 0; i < ring->page_count; i++)
        page_put(ring->pages[i]);
    vm_object_destroy(object);
    kfree(ring->pages);
    owner_free(OWNER_SOCKET, ring, sizeof(*ring));
}

static const struct vm_object_ops ring_ops = {.get = ring_get, .put = ring_put};

void packet_ring_put(struct packet_ring *ring)
{
    if (ring)
        ring_put(&ring->object);
}

void packet_ring_push(struct packet_ring **list, struct packet_ring *ring)
{
    ring->next = *list;
    *list = ring;
}

void packet_ring_put_all(struct packet_ring *list)
{
    while (list) {
        struct packet_ring *next = list->next;
        packet_ring_put(list);
        list = next;
    }
}

bool packet_ring_mapped(const struct packet_ring *ring)
{
    return __atomic_load_n(&ring->refs.count, __ATOMIC_RELAXED) > 1;
}

struct vm_object *packet_ring_object(struct packet_ring *ring)
{
    return &ring->object;
}

uint32_t packet_header_len(unsigned version)
{
    return version == TPACKET_V3   ? sizeof(struct frame3)
           : version == TPACKET_V2 ? sizeof(struct frame2)
                                   : sizeof(struct frame1);
}

/* Frame header and the address behind it. */
static uint32_t headers_len(unsigned version)
{
    return packet_header_len(version) + (uint32_t)sizeof(struct sockaddr_ll);
}

static int check(const struct packet_ring_request *r, unsigned version, uint32_t reserve)
{
    uint32_t least = headers_len(version) + reserve, frames;
    uint64_t bytes = (uint64_t)r->block_size * r->block_count;
    if (r->block_size == 0 || r->block_size > INT32_MAX || r->block_size % PAGE_SIZE)
        return -EINVAL;
    if (version == TPACKET_V3 &&
        (uint64_t)BLOCK_HEADER + align_up((uint64_t)r->private_size, 8) + least > r->block_size)
        return -EINVAL;
    if (least < reserve || r->frame_size < least || r->frame_size % TPACKET_ALIGNMENT)
        return -EINVAL;
    frames = r->block_size / r->frame_size;
    if (frames == 0 || (uint64_t)frames * r->block_count != r->frame_count)
        return -EINVAL;
    return bytes / PAGE_SIZE > RING_PAGES_MAX ? -ENOMEM : 0;
}

static int fill(struct packet_ring *ring, uint32_t count)
{
    ring->pages = kmalloc_array(count, sizeof(ring->pages[0]), ALLOC_DEFAULT);
    if (!ring->pages)
        return -ENOMEM;
    for (; ring->page_count < count; ring->page_count++) {
        int err =
            vm_object_page(&ring->object, ring->page_count, true, &ring->pages[ring->page_count]);
        if (err)
            return err;
    }
    return 0;
}

int packet_ring_create(const struct packet_ring_request *request, unsigned version,
                       uint32_t reserve, struct packet_ring **out)
{
    int err = check(request, version, reserve);
    if (err)
        return err;
    struct packet_ring *ring = owner_alloc(OWNER_SOCKET, sizeof(*ring));
    if (!ring)
        return -ENOMEM;
    uint64_t size = (uint64_t)request->block_size * request->block_count;
    ref_init(&ring->refs);
    vm_object_init(&ring->object, &ring_ops, size);
    ring->version = version;
    ring->reserve = reserve;
    ring->block_size = request->block_size;
    ring->block_count = request->block_count;
    ring->frame_size = request->frame_size;
    ring->frame_count = request->frame_count;
    if (version == TPACKET_V3) {
        ring->first = BLOCK_HEADER + (uint32_t)align_up(request->private_size, 8);
        ring->timeout_ns = MAX(request->timeout_ms, 1u) * NS_PER_MS;
        if (request->timeout_ms == 0) /* the kernel chooses */
            ring->timeout_ns = 8 * NS_PER_MS;
    }
    err = fill(ring, (uint32_t)(size / PAGE_SIZE));
    if (err) {
        packet_ring_put(ring);
        return err;
    }
    *out = ring;
    return 0;
}

/* ---- writing ---- */

static uint8_t *at(const struct packet_ring *ring, uint64_t offset)
{
    return (uint8_t *)page_virt(ring->pages[offset / PAGE_SIZE]) + offset % PAGE_SIZE;
}

static uint32_t page_left(uint64_t offset)
{
    return (uint32_t)(PAGE_SIZE - offset % PAGE_SIZE);
}

static void write(const struct packet_ring *ring, uint64_t offset, const void *from, uint32_t len)
{
    for (const uint8_t *bytes = from; len > 0;) {
        uint32_t part = MIN(len, page_left(offset));
        memcpy(at(ring, offset), bytes, part);
        bytes += part;
        offset += part;
        len -= part;
    }
}

static void write_view(const struct packet_ring *ring, uint64_t offset, const struct bpf_view *view,
                       uint32_t from, uint32_t len)
{
    while (len > 0) {
        uint32_t part = MIN(len, page_left(offset));
        bpf_view_read(view, from, at(ring, offset), part);
        from += part;
        offset += part;
        len -= part;
    }
}

/* The status word of the frame or block number `index`: aligned to 8, so within a page. */
static uint64_t place_of(const struct packet_ring *ring, uint32_t index)
{
    if (ring->version == TPACKET_V3)
        return (uint64_t)index * ring->block_size;
    uint32_t each = ring->block_size / ring->frame_size;
    return (uint64_t)(index / each) * ring->block_size +
           (uint64_t)(index % each) * ring->frame_size;
}

static uint32_t *status_of(const struct packet_ring *ring, uint32_t index)
{
    uint64_t place = place_of(ring, index);
    return (uint32_t *)(void *)at(
        ring, ring->version == TPACKET_V3 ? place + offsetof(struct block, status) : place);
}

static bool is_ours(const struct packet_ring *ring, uint32_t index)
{
    return !(__atomic_load_n(status_of(ring, index), __ATOMIC_ACQUIRE) & TP_STATUS_USER);
}

static void hand_over(const struct packet_ring *ring, uint32_t index, uint32_t status)
{
    __atomic_store_n(status_of(ring, index), status | TP_STATUS_USER, __ATOMIC_RELEASE);
}

static uint32_t slots(const struct packet_ring *ring)
{
    return ring->version == TPACKET_V3 ? ring->block_count : ring->frame_count;
}

bool packet_ring_readable_locked(const struct packet_ring *ring)
{
    return !is_ours(ring, (ring->head ? ring->head : slots(ring)) - 1);
}

/* Where in its frame a packet begins, and how much of it there is room for. */
struct layout {
    uint32_t mac, network, keep;
};

static struct layout lay_out(const struct packet_ring *ring, uint32_t link_len, uint32_t keep,
                             bool raw)
{
    struct layout l;
    uint32_t head = headers_len(ring->version);
    uint32_t room = ring->version == TPACKET_V3 ? ring->block_size - ring->first : ring->frame_size;
    if (raw) {
        l.network =
            (uint32_t)align_up(head + MAX(link_len, LINK_ROOM), TPACKET_ALIGNMENT) + ring->reserve;
        l.mac = l.network - link_len;
    } else {
        l.mac = l.network = (uint32_t)align_up(head, TPACKET_ALIGNMENT) + LINK_ROOM + ring->reserve;
    }
    l.mac = MIN(l.mac, room);
    l.keep = MIN(keep, room - l.mac);
    return l;
}

static void write_address(const struct packet_ring *ring, uint64_t place,
                          const struct packet_about *about)
{
    struct sockaddr_ll name = {
        .family = AF_PACKET,
        .protocol = __builtin_bswap16(about->protocol),
        .device = (int32_t)about->device,
        .hardware = about->hardware,
        .kind = about->kind,
        .address_len = ETHER_ADDR_LEN,
    };
    memcpy(name.address, about->source, sizeof(about->source));
    write(ring, place + align_up(packet_header_len(ring->version), TPACKET_ALIGNMENT), &name,
          sizeof(name));
}

/* ---- V1, V2 ---- */

static bool store_frame(struct packet_ring *ring, const struct bpf_view *view,
                        const struct packet_about *about, const struct layout *l,
                        struct packet_stats *stats)
{
    uint64_t place = place_of(ring, ring->head);
    uint32_t sec = (uint32_t)(about->wall_ns / NS_PER_SEC);
    uint32_t nsec = (uint32_t)(about->wall_ns % NS_PER_SEC);
    uint32_t status = about->status | (stats->drops ? TP_STATUS_LOSING : 0u);
    if (!is_ours(ring, ring->head)) {
        stats->drops++;
        return true;
    }
    write_view(ring, place + l->mac, view, view->begin, l->keep);
    write_address(ring, place, about);
    if (ring->version == TPACKET_V1) {
        struct frame1 frame = {0,   about->len,  l->keep, (uint16_t)l->mac, (uint16_t)l->network,
                               sec, nsec / 1000, 0};
        write(ring, place, &frame, sizeof(frame));
    } else {
        struct frame2 frame = {
            0, about->len, l->keep, (uint16_t)l->mac, (uint16_t)l->network, sec, nsec, 0, 0, {0}};
        write(ring, place, &frame, sizeof(frame));
    }
    hand_over(ring, ring->head, status);
    ring->head = (ring->head + 1) % ring->frame_count;
    stats->packets++;
    return true;
}

/* ---- V3 ---- */

/* The block at head, if the program has given it back. */
static bool block_open(struct packet_ring *ring, uint64_t now_ns)
{
    if (!is_ours(ring, ring->head))
        return false;
    ring->open = true;
    ring->frozen = false;
    ring->at = ring->first;
    ring->packets = 0;
    ring->sequence++;
    ring->first_ns = now_ns;
    return true;
}

static void block_close(struct packet_ring *ring, uint32_t status)
{
    uint64_t place = place_of(ring, ring->head);
    const uint32_t none = 0;
    const struct block block = {
        .version = TPACKET_V3,
        .to_private = BLOCK_HEADER,
        .status = TP_STATUS_KERNEL,
        .packets = ring->packets,
        .first = ring->first,
        .len = ring->at,
        .sequence = ring->sequence,
        .first_sec = (uint32_t)(ring->first_ns / NS_PER_SEC),
        .first_nsec = (uint32_t)(ring->first_ns % NS_PER_SEC),
        .last_sec = (uint32_t)(ring->last_ns / NS_PER_SEC),
        .last_nsec = (uint32_t)(ring->last_ns % NS_PER_SEC),
    };
    write(ring, place + ring->last, &none, sizeof(none)); /* frame3.next: there is no other */
    write(ring, place, &block, sizeof(block));
    hand_over(ring, ring->head, status);
    ring->head = (ring->head + 1) % ring->block_count;
    ring->open = false;
}

bool packet_ring_retire_locked(struct packet_ring *ring, const struct packet_stats *stats)
{
    if (!ring->open || ring->packets == 0)
        return false;
    block_close(ring, TP_STATUS_BLK_TMO | (stats->drops ? TP_STATUS_LOSING : 0u));
    return true;
}

static bool store_in_block(struct packet_ring *ring, const struct bpf_view *view,
                           const struct packet_about *about, const struct layout *l,
                           struct packet_stats *stats, uint64_t *deadline_ns)
{
    uint32_t len = (uint32_t)align_up(l->mac + l->keep, 8);
    bool wake = false;
    if (ring->open && len > ring->block_size - ring->at) {
        block_close(ring, stats->drops ? TP_STATUS_LOSING : 0);
        wake = true;
    }
    if (!ring->open && !block_open(ring, about->wall_ns)) {
        stats->freezes += !ring->frozen;
        ring->frozen = true;
        stats->drops++;
        return true;
    }
    uint64_t place = place_of(ring, ring->head) + ring->at;
    const struct frame3 frame = {
        .next = len,
        .sec = (uint32_t)(about->wall_ns / NS_PER_SEC),
        .nsec = (uint32_t)(about->wall_ns % NS_PER_SEC),
        .kept = l->keep,
        .len = about->len,
        .status = about->status | TP_STATUS_USER,
        .mac = (uint16_t)l->mac,
        .network = (uint16_t)l->network,
        .hash = view->hash,
    };
    write(ring, place, &frame, sizeof(frame));
    write_address(ring, place, about);
    write_view(ring, place + l->mac, view, view->begin, l->keep);
    if (ring->packets++ == 0)
        *deadline_ns = clock_mono_ns() + ring->timeout_ns;
    ring->last = ring->at;
    ring->last_ns = about->wall_ns;
    ring->at += len;
    stats->packets++;
    return wake;
}

bool packet_ring_store_locked(struct packet_ring *ring, const struct bpf_view *view,
                              const struct packet_about *about, uint32_t keep, bool raw,
                              struct packet_stats *stats, uint64_t *deadline_ns)
{
    struct layout l = lay_out(ring, raw ? about->network : 0, keep, raw);
    if (l.network > UINT16_MAX) { /* cannot be said: too much was reserved */
        stats->drops++;
        return false;
    }
    if (ring->version == TPACKET_V3)
        return store_in_block(ring, view, about, &l, stats, deadline_ns);
    return store_frame(ring, view, about, &l, stats);
}
