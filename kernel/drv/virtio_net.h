/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_net.h - virtio network devices (Virtual I/O Device 1.2, 5.1): what the two files of the
 * driver share. virtio_net.c finds and sets up devices, virtio_net_io.c moves packets.
 *
 * A device has pairs of queues, one to receive and one to send, at most one pair per CPU. Each
 * queue has a poll, which is work (sched/work.h); `polling` is taken by whoever queues it and given
 * back by the poll when it has asked the device for an interrupt, so it never runs twice at a time.
 *
 * Receive queue: only its poll touches it. Send queue: under the netdev queue's lock.
 *
 * An interrupt that gets lost is never made up for by the device: with event indices (2.7.10) it
 * has told all that it was asked to tell. So a timer looks at the queues a second after there was
 * traffic, then at intervals that double, and not any more after VIRTIO_NET_LOOKS quiet ones: a
 * machine without traffic has no timer.
 */
#ifndef SELKIE_DRV_VIRTIO_NET_H
#define SELKIE_DRV_VIRTIO_NET_H

#include "core/mutex.h"
#include "drv/netdev.h"
#include "drv/virtio.h"
#include "sched/timer.h"
#include "sched/work.h"

#define VIRTIO_NET_RX_SIZE 256u
#define VIRTIO_NET_TX_SIZE 256u
/* The most pieces of a packet to send: 64 KiB in pages that begin anywhere, and headers. What has
 * more is copied. */
#define VIRTIO_NET_PIECES 24u

/* Before each packet (5.1.6), both ways. */
struct virtio_net_header {
    uint8_t flags, gso_type;
    uint16_t header_len, gso_size, checksum_start, checksum_offset, buffers;
};
STATIC_ASSERT(sizeof(struct virtio_net_header) == 12);
enum { VIRTIO_NET_F_NEEDS_CHECKSUM = 1, VIRTIO_NET_F_DATA_VALID = 2 };
enum {
    VIRTIO_NET_GSO_NONE = 0,
    VIRTIO_NET_GSO_TCP4 = 1,
    VIRTIO_NET_GSO_TCP6 = 4,
    VIRTIO_NET_GSO_UDP = 5,
    VIRTIO_NET_GSO_ECN = 0x80,
};

struct virtio_net;
struct virtio_net_rx {
    struct virtio_queue queue;
    struct virtio_net *net;
    struct work work;
    unsigned cpu;        /* whose work it is */
    bool polling;        /* atomic */
    bool broken;         /* the device has lied about it: not looked at again */
    uint8_t long_frames; /* > 0: long packets have come of late, so buffers are long */
    uint16_t idle_count; /* numbers without a buffer: */
    uint16_t idle[VIRTIO_NET_RX_SIZE];
    uint32_t given; /* bytes of the buffers that the device has */
    struct pkt *buffer[VIRTIO_NET_RX_SIZE];
};
struct virtio_net_tx {
    struct virtio_queue queue;
    struct virtio_net *net;
    struct work work;
    unsigned cpu, index;
    bool polling; /* atomic */
    bool broken;
    bool full;   /* transmit has said -EAGAIN: the stack waits for netdev_wake */
    bool urgent; /* of those on the way one is large, or somebody waits until it is freed */
    struct pkt *sent[VIRTIO_NET_TX_SIZE]; /* by number: what the device reads */
};

struct virtio_net {
    struct netdev dev;
    struct virtio_device device;
    bool merge; /* a received packet may take several buffers */
    unsigned pairs;
    struct virtio_net_rx *rx; /* pairs of each */
    struct virtio_net_tx *tx;
    struct work config_work;
    struct timer watch;
    bool busy;      /* atomic, relaxed: traffic since the last look */
    unsigned quiet; /* looks since then; the timer's */
    bool has_control;
    struct mutex control_lock; /* RANK_SLEEP_LAST: the next two */
    struct virtio_queue control;
    uint8_t *control_page;
};

/* Find the machine's virtio network devices and register them. */
void virtio_net_start(void);

/* ---- virtio_net_io.c ---- */
void virtio_net_rx_init(struct virtio_net *net, struct virtio_net_rx *rx);
/* Give the device its buffers. -ENOMEM: not one. */
int must_check virtio_net_rx_fill(struct virtio_net_rx *rx);
void virtio_net_tx_init(struct virtio_net *net, struct virtio_net_tx *tx);
int virtio_net_transmit(struct netdev *dev, unsigned queue, struct pkt *pkt, bool last);
/* The timer's look at queues whose interrupts may have got lost. */
#define VIRTIO_NET_LOOK_NS NS_PER_SEC
#define VIRTIO_NET_LOOKS 7u
void virtio_net_watch_init(struct virtio_net *net);
/* Poll those queues that have something. Any context. */
void virtio_net_look(struct virtio_net *net);
/* Interrupt handlers: of the device; of one queue (argument: the queue). */
void virtio_net_irq(struct virtio_net *net);
void virtio_net_rx_irq(void *arg);
void virtio_net_tx_irq(void *arg);

#endif
