/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loopback.c - lo: what is sent is received at once, in the sender's context.
 *
 * It has every offload, so nothing is summed up on the way, and of a stream nothing cut: a packet
 * of 64 KiB stays one. Datagrams that were sent together (UDP_SEGMENT) part here, because each is
 * read by itself. Whoever receives is told that a checksum that was left to the device is good;
 * what a program has written itself (raw sockets) is looked at. There is no link header. It takes
 * no queue's lock, since the receiver may send in turn.
 */
#include "drv/netdev.h"

#include "drv/segment.h"
#include "lib/counter.h"
#include "lib/errno.h"

#define LOOPBACK_MTU 65536u

static int transmit(struct netdev *dev, unsigned queue, struct pkt *pkt, bool last)
{
    uint32_t bytes = pkt->total;
    struct pkt *list = pkt->gso == PKT_GSO_UDP ? segment(pkt, NETDEV_TX_ALL) : pkt;
    (void)queue, (void)last;
    preempt_disable(); /* the counters are this CPU's */
    struct netdev_stats *stats = &dev->stats[hal_cpu_id()];
    counter_step(list ? &stats->tx_packets : &stats->tx_dropped);
    counter_add(&stats->tx_bytes, list ? bytes : 0);
    preempt_enable();
    if (!list) {
        pkt_free(pkt);
        return -ENOBUFS;
    }
    while (list) {
        struct pkt *next = list->next;
        list->next = NULL;
        if (list->checksum == PKT_CHECKSUM_PARTIAL)
            list->checksum = PKT_CHECKSUM_GOOD;
        list->gso = PKT_GSO_NONE;
        netdev_receive(dev, list);
        list = next;
    }
    return 0;
}

static const struct netdev_ops ops = {.transmit = transmit, .lockless = true};

struct netdev loopback = {
    .name = "lo",
    .ops = &ops,
    .type = ARPHRD_LOOPBACK,
    .flags = NETDEV_UP | NETDEV_LOOPBACK | NETDEV_RUNNING,
    .features = NETDEV_TX_ALL,
    .mtu = LOOPBACK_MTU,
    .mtu_min = 68,
    .mtu_max = LOOPBACK_MTU,
    .queue_count = 1,
};

int loopback_init(void)
{
    return netdev_register(&loopback);
}
