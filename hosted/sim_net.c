/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim_net.c - the wire of the network device (dev_net.c) where this kernel is one of several:
 * frames are messages of port SIM_WIRE_NET (sim_wire.h), and what becomes of one on its way is
 * decided by whoever holds the clock (tools/cli/simnet.c).
 *
 * A frame that has arrived waits in the ring of a pair of queues until the driver gives buffers. A
 * flow has one pair, so its order is kept. Where a ring has no room the frame is lost, and counted:
 * nobody ever waits for a reader.
 *
 * No offloads: the virtio header is all zero, so what a wire corrupts a checksum can find.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "net.h"
#include "sim.h"

#include "sim_wire.h"

#if SELKIE_SIM

#define HEADER 12u
#define RING_SIZE (512u * 1024) /* a power of two */
#define FLOW_BEGIN 23u          /* protocol, checksum, addresses and ports of IPv4 in a frame */
#define FLOW_END 38u
#define FLOW_SKIP 24u /* the checksum */

/* Frames behind their lengths (4 bytes). */
struct ring {
    uint32_t head, tail; /* bytes ever taken, put */
    uint8_t data[RING_SIZE];
};
static struct ring rings[HOSTED_NET_PAIRS];
static uint32_t lost;
static uint8_t frame[SIM_WIRE_DATA_MAX];

static void ring_copy_in(struct ring *ring, const void *from, uint32_t len)
{
    uint32_t at = ring->tail % RING_SIZE, first = MIN(len, RING_SIZE - at);

    memcpy(ring->data + at, from, first);
    memcpy(ring->data, (const uint8_t *)from + first, len - first);
    ring->tail += len;
}

static void ring_copy_out(struct ring *ring, void *to, uint32_t len)
{
    uint32_t at = ring->head % RING_SIZE, first = MIN(len, RING_SIZE - at);

    memcpy(to, ring->data + at, first);
    memcpy((uint8_t *)to + first, ring->data, len - first);
    ring->head += len;
}

static uint64_t hash_of(const uint8_t *bytes, uint32_t len)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

    for (uint32_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    return hash;
}

static unsigned pair_of(const uint8_t *bytes, uint32_t len)
{
    uint8_t flow[FLOW_END - FLOW_BEGIN];

    if (len < FLOW_END || hosted_config.net.pairs == 1)
        return 0;
    memcpy(flow, bytes + FLOW_BEGIN, sizeof(flow));
    flow[FLOW_SKIP - FLOW_BEGIN] = flow[FLOW_SKIP + 1 - FLOW_BEGIN] = 0;
    return (unsigned)((hash_of(flow, sizeof(flow)) >> 32) % hosted_config.net.pairs);
}

/* On sim_link.c's stack, at the frame's time. */
void sim_net_arrived(const uint8_t *bytes, uint32_t len)
{
    unsigned pair = pair_of(bytes, len);
    struct ring *ring = &rings[pair];

    if (RING_SIZE - (ring->tail - ring->head) < sizeof(len) + len) {
        lost++;
        return;
    }
    ring_copy_in(ring, &len, sizeof(len));
    ring_copy_in(ring, bytes, len);
    hosted_net_events[pair] |= HOST_EPOLLIN;
    hosted_vcpus[pair % hosted_config.cpu_count].pending |= HOSTED_IRQ_NET;
}

/* As readv(2) of a record; -HOST_EAGAIN: there is none. */
long sim_net_receive(unsigned pair, const struct host_iovec *iov, unsigned count)
{
    struct ring *ring = &rings[pair];
    uint32_t len, at = 0, skip = HEADER;

    if (ring->head == ring->tail)
        return -HOST_EAGAIN;
    ring_copy_out(ring, &len, sizeof(len));
    memset((void *)(uintptr_t)iov[0].base, 0, HEADER);
    for (unsigned i = 0; i < count && at < len; i++, skip = 0) {
        uint32_t n = MIN(len - at, (uint32_t)iov[i].len - skip);

        ring_copy_out(ring, (uint8_t *)(uintptr_t)iov[i].base + skip, n);
        at += n;
    }
    ring->head += len - at; /* what has no room is cut off */
    return (long)(HEADER + at);
}

/* As writev(2) of a record: there is always room. */
long sim_net_send(const struct host_iovec *iov, unsigned count)
{
    uint32_t len = 0, skip = HEADER, inside = sim_quiet(1);

    for (unsigned i = 0; i < count; i++) {
        uint32_t cut = MIN(skip, (uint32_t)iov[i].len), n = (uint32_t)iov[i].len - cut;

        n = MIN(n, (uint32_t)sizeof(frame) - len);
        memcpy(frame + len, (const uint8_t *)iov[i].base + cut, n);
        skip -= cut;
        len += n;
    }
    sim_note(SIM_FRAME, len, hash_of(frame, len));
    sim_link_send(SIM_WIRE_DATA, SIM_WIRE_NET, frame, len);
    sim_quiet(inside);
    return (long)(HEADER + len);
}

uint32_t sim_net_lost(void)
{
    return lost;
}

#endif
