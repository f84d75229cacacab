/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_net_io.c - receiving and sending over a virtio network device. See virtio_net.h.
 *
 * Receiving. The device has a buffer for each descriptor, a packet's piece of half a page. Where it
 * may merge, a packet takes as many as it needs, and its header says how many. What the device says
 * (numbers, lengths, counts, offsets) is checked; a packet that is not right is dropped and counted
 * as an error, a number that the device does not have ends the queue.
 *
 * Where long packets come (merged segments of a stream) the device gets long buffers, fewer of
 * them: what is done for each is done an eighth as often. What is short is then copied out of them,
 * so that nothing holds much more memory than it has bytes, and ends that after a while.
 *
 * Sending. The header goes into the packet's headroom, its pieces become a chain. Packets that the
 * device has sent are freed at the next one, by the poll, or by the timer's look a second later: a
 * device that is done when the notification returns, or a few small packets (one that answers a
 * request), cost no interrupt. Otherwise one is asked for when three quarters of what is on the way
 * have gone.
 */
#include "core/assert.h"
#include "core/chaos.h"
#include "drv/segment.h"
#include "drv/virtio_net.h"
#include "hal_up.h"
#include "lib/errno.h"
#include "lib/string.h"

/* So that behind the device's header and Ethernet's the next one is aligned. */
#define RX_HEADROOM 18u
#define RX_BUFFER (PAGE_SIZE / 2 - RX_HEADROOM)
#define RX_LONG (4 * PAGE_SIZE - RX_HEADROOM)
#define RX_LONG_FRAME (2 * PAGE_SIZE - RX_HEADROOM) /* what is longer is worth long buffers */
#define RX_LONG_AFTER 64u                           /* so many in a row are not, and they go */
#define HEADER ((uint32_t)sizeof(struct virtio_net_header))
#define ETHER_HEADER 14u
#define TX_LINGER 32u /* so many packets, none of them urgent, may wait for the next one */

/* ---- interrupts that get lost (virtio_net.h) ---- */

/* There is traffic: a look in a second. Somebody else's call of this, or the timer's own, may set
 * another time at the same moment; both are good. */
static void watch(struct virtio_net *net)
{
    if (!__atomic_load_n(&net->busy, __ATOMIC_RELAXED) &&
        !__atomic_exchange_n(&net->busy, true, __ATOMIC_RELAXED))
        timer_arm(&net->watch, clock_mono_ns() + VIRTIO_NET_LOOK_NS);
}

static void look_again(struct timer *timer)
{
    struct virtio_net *net = container_of(timer, struct virtio_net, watch);
    net->quiet = __atomic_exchange_n(&net->busy, false, __ATOMIC_RELAXED) ? 0 : net->quiet + 1;
    virtio_net_look(net);
    if (virtio_failed(&net->device)) /* whose interrupt may have got lost, too */
        (void)work_queue(&net->config_work);
    else if (net->quiet < VIRTIO_NET_LOOKS)
        timer_arm(timer, clock_mono_ns() + (VIRTIO_NET_LOOK_NS << net->quiet));
}

void virtio_net_watch_init(struct virtio_net *net)
{
    timer_setup(&net->watch, look_again);
}

/* Of a queue that is just being looked at elsewhere nothing is lost: it is taken. */
static void rx_ready(struct virtio_net_rx *rx);
static void tx_ready(struct virtio_net_tx *tx);
void virtio_net_look(struct virtio_net *net)
{
    for (unsigned i = 0; i < net->pairs; i++) {
        if (virtio_queue_ready(&net->rx[i].queue))
            rx_ready(&net->rx[i]);
        if (virtio_queue_ready(&net->tx[i].queue))
            tx_ready(&net->tx[i]);
    }
}

/* One interrupt for all queues: it does not mean that anybody wants back what was sent. */
void virtio_net_irq(struct virtio_net *net)
{
    for (unsigned i = 0; i < net->pairs; i++) {
        if (virtio_queue_ready(&net->rx[i].queue))
            rx_ready(&net->rx[i]);
        if (virtio_queue_due(&net->tx[i].queue))
            tx_ready(&net->tx[i]);
    }
}

/* ---- receiving ---- */

static uint32_t rx_room(const struct pkt *pkt)
{
    return pkt->size - pkt_headroom(pkt);
}

static void rx_give(struct virtio_net_rx *rx, unsigned id, struct pkt *pkt)
{
    rx->buffer[id] = pkt;
    rx->given += rx_room(pkt);
    virtio_queue_add(&rx->queue, id, hal_virt_to_phys(pkt->data), rx_room(pkt), true);
}

/* New buffers in the places that have none, as many bytes as short ones everywhere would be. False:
 * there is no memory for a single one that is due. */
static bool rx_refill(struct virtio_net_rx *rx)
{
    uint32_t most = rx->queue.size * RX_BUFFER;
    for (bool first = true; rx->idle_count > 0; first = false) {
        uint32_t room = rx->long_frames ? RX_LONG : RX_BUFFER;
        if (rx->given + room > most)
            break;
        struct pkt *pkt = pkt_alloc(RX_HEADROOM, room, ALLOC_DEFAULT);
        if (!pkt && room > RX_BUFFER)
            pkt = pkt_alloc(RX_HEADROOM, RX_BUFFER, ALLOC_DEFAULT);
        if (!pkt)
            return !first;
        rx_give(rx, rx->idle[--rx->idle_count], pkt);
    }
    return true;
}

int virtio_net_rx_fill(struct virtio_net_rx *rx)
{
    while (rx->idle_count < rx->queue.size) {
        rx->idle[rx->idle_count] = (uint16_t)(rx->queue.size - 1u - rx->idle_count);
        rx->idle_count++;
    }
    (void)rx_refill(rx);
    virtio_queue_kick(&rx->net->device, &rx->queue);
    return rx->given > 0 ? 0 : -ENOMEM;
}

/* A buffer with `len` bytes in it has come: what goes up, itself or a copy. The device gets another
 * one first; if there is no memory for that it gets this one again and what was in it is lost
 * (NULL): so it never runs dry. */
static struct pkt *rx_exchange(struct virtio_net_rx *rx, unsigned id, uint32_t len)
{
    struct pkt *pkt = rx->buffer[id], *copy = NULL;
    bool copies = rx_room(pkt) > RX_BUFFER && len <= RX_LONG_FRAME;
    rx->given -= rx_room(pkt);
    if (copies) {
        copy = pkt_alloc(RX_HEADROOM, len, ALLOC_DEFAULT);
        if (copy)
            memcpy(copy->data, pkt->data, len);
    }
    if (!copies || (copy && !rx->long_frames)) {
        rx->buffer[id] = NULL;
        rx->idle[rx->idle_count++] = (uint16_t)id;
        if (rx_refill(rx)) {
            if (copies)
                pkt_free(pkt);
            return copies ? copy : pkt;
        }
        rx->idle_count--;
    }
    rx_give(rx, id, pkt);
    return copy;
}

/*
 * The next buffer that has come: 1 and *out, *len bytes long; or NULL, for lack of memory. 0: there
 * is none, or the device lies. `h`, of the first buffer of a packet, is what stood at its
 * beginning, lost or not: others may belong to it.
 */
static int rx_take(struct virtio_net_rx *rx, struct pkt **out, uint32_t *len,
                   struct virtio_net_header *h)
{
    int id = rx->broken ? -EIO : virtio_queue_take(&rx->queue, len);
    if (id == -EAGAIN)
        return 0;
    if (id < 0 || *len > rx_room(rx->buffer[id])) {
        rx->broken = true;
        return 0;
    }
    if (h && *len >= HEADER)
        memcpy(h, rx->buffer[id]->data, HEADER);
    *out = rx_exchange(rx, (unsigned)id, *len);
    if (*out && !pkt_put(*out, *len)) {
        pkt_free(*out);
        *out = NULL;
    }
    return 1;
}

/* What kind of buffers is best, after a packet of this length. */
static void rx_learn(struct virtio_net_rx *rx, uint32_t len)
{
    if (len > RX_LONG_FRAME && rx->queue.size == VIRTIO_NET_RX_SIZE)
        rx->long_frames = RX_LONG_AFTER;
    else if (rx->long_frames > 0)
        rx->long_frames--;
}

/* A checksum that the sender has left to the device (it is on this host) is no less good than one
 * that the device has checked: nothing was on a wire. */
static bool rx_set_checksum(struct pkt *pkt, const struct virtio_net_header *h)
{
    bool partial = h->flags & VIRTIO_NET_F_NEEDS_CHECKSUM;
    if (partial && (h->checksum_start < ETHER_HEADER ||
                    (uint32_t)h->checksum_start + h->checksum_offset + 2 > pkt->total))
        return false;
    pkt->checksum =
        partial || (h->flags & VIRTIO_NET_F_DATA_VALID) ? PKT_CHECKSUM_GOOD : PKT_CHECKSUM_NONE;
    return true;
}

static bool rx_set_gso(struct pkt *pkt, const struct virtio_net_header *h)
{
    switch (h->gso_type & ~VIRTIO_NET_GSO_ECN) {
    case VIRTIO_NET_GSO_NONE:
        return true;
    case VIRTIO_NET_GSO_TCP4:
        pkt->gso = PKT_GSO_TCP4;
        break;
    case VIRTIO_NET_GSO_TCP6:
        pkt->gso = PKT_GSO_TCP6;
        break;
    default: /* was not asked for */
        return false;
    }
    pkt->gso_ecn = h->gso_type & VIRTIO_NET_GSO_ECN;
    pkt->gso_size = h->gso_size;
    return h->gso_size > 0;
}

/* The other buffers of a packet (NULL: its beginning was lost); false: some are not there (they
 * must be, 5.1.6.4.1), it is too long, or they are too many. */
static bool rx_append(struct virtio_net_rx *rx, struct pkt *pkt, unsigned count)
{
    bool good = true;
    for (unsigned i = 0; i < count; i++) {
        struct pkt *more;
        uint32_t len;
        if (!rx_take(rx, &more, &len, NULL))
            return false;
        good = good && more && pkt && i < PKT_RX_PIECES_MAX - 1 &&
               pkt->total + more->total <= PKT_LEN_MAX;
        if (good)
            pkt_append(pkt, more);
        else
            pkt_free(more);
    }
    return good;
}

/* A whole packet, header taken off. False: nothing has come. *out may be NULL: it was no good. */
static bool rx_packet(struct virtio_net_rx *rx, struct pkt **out)
{
    struct virtio_net_header h = {0};
    struct pkt *pkt;
    uint32_t len;
    *out = NULL;
    if (!rx_take(rx, &pkt, &len, &h))
        return false;
    bool good =
        len >= HEADER && (!rx->net->merge || h.buffers == 0 || rx_append(rx, pkt, h.buffers - 1u));
    if (!pkt) {
        netdev_receive_drop(&rx->net->dev);
        return true;
    }
    rx_learn(rx, pkt->total);
    if (good) {
        pkt_skip(pkt, HEADER);
        good = pkt->total >= ETHER_HEADER && rx_set_checksum(pkt, &h) && rx_set_gso(pkt, &h);
    }
    if (good) {
        *out = pkt;
    } else {
        pkt_free(pkt);
        netdev_receive_error(&rx->net->dev);
    }
    return true;
}

static void rx_poll(struct work *work)
{
    struct virtio_net_rx *rx = container_of(work, struct virtio_net_rx, work);
    unsigned count = 0;
    struct pkt *pkt;
    for (; count < NETDEV_BUDGET && rx_packet(rx, &pkt); count++)
        if (pkt)
            netdev_receive(&rx->net->dev, pkt);
    if (count > 0) {
        virtio_queue_kick(&rx->net->device, &rx->queue);
        watch(rx->net);
    }
    netdev_receive_done(&rx->net->dev);
    if (count == NETDEV_BUDGET) {
        (void)work_queue(&rx->work);
        return;
    }
    if (rx->broken) /* `polling` stays: it is not looked at again */
        return;
    if (!virtio_queue_irq_on(&rx->queue, 0)) {
        (void)work_queue(&rx->work);
        return;
    }
    /* From here on an interrupt may queue it. One that came just before has found it taken: the
     * exchange reads what that one has written, so the look behind it sees what it was about. */
    (void)__atomic_exchange_n(&rx->polling, false, __ATOMIC_ACQ_REL);
    if (virtio_queue_ready(&rx->queue) && netdev_poll_take(&rx->polling))
        (void)work_queue(&rx->work);
}

static void rx_ready(struct virtio_net_rx *rx)
{
    if (!netdev_poll_take(&rx->polling))
        return;
    virtio_queue_irq_off(&rx->queue);
    /* The only queue is taken where its interrupt comes: a device may know who waits for it. */
    (void)work_queue_on(&rx->work, rx->net->pairs == 1 ? hal_cpu_id() : rx->cpu);
}

void virtio_net_rx_irq(void *arg)
{
    if (!chaos_hit(CHAOS_LOST))
        rx_ready(arg);
}

void virtio_net_rx_init(struct virtio_net *net, struct virtio_net_rx *rx)
{
    rx->net = net;
    work_init(&rx->work, rx_poll);
}

/* ---- sending ---- */

/* Free what the device has sent. The netdev queue's lock held. */
static void tx_reclaim(struct virtio_net_tx *tx)
{
    uint32_t none;
    for (unsigned i = 0; i < tx->queue.size && !tx->broken; i++) {
        int id = virtio_queue_take(&tx->queue, &none);
        if (id == -EAGAIN)
            return;
        if (id < 0) {
            tx->broken = true;
            return;
        }
        pkt_free(tx->sent[id]);
        tx->sent[id] = NULL;
    }
}

/* Ask to be told when there is room, or when packets are to be freed. False: now. */
static bool tx_ask(struct virtio_net_tx *tx)
{
    return virtio_queue_irq_on(&tx->queue, virtio_queue_pending(&tx->queue) * 3u / 4);
}

/* Free what can be, and be told of the rest if somebody waits for it or it is much. False: look
 * again, now. */
static bool tx_settle(struct virtio_net_tx *tx)
{
    tx_reclaim(tx);
    unsigned pending = virtio_queue_pending(&tx->queue);
    tx->urgent &= pending > 0;
    if (tx->broken)
        return true;
    if (tx->urgent || pending >= TX_LINGER)
        return tx_ask(tx);
    virtio_queue_irq_off(&tx->queue);
    return true;
}

static void tx_poll(struct work *work)
{
    struct virtio_net_tx *tx = container_of(work, struct virtio_net_tx, work);
    struct netdev_queue *q = &tx->net->dev.queues[tx->index];
    spin_lock(&q->lock);
    /* As in rx_poll; from here on it may be queued again. */
    (void)__atomic_exchange_n(&tx->polling, false, __ATOMIC_ACQ_REL);
    bool settled = tx_settle(tx), wake = tx->full;
    tx->full = false;
    if (!settled && netdev_poll_take(&tx->polling))
        (void)work_queue(&tx->work);
    spin_unlock(&q->lock);
    if (wake)
        netdev_wake(&tx->net->dev, tx->index);
}

static void tx_ready(struct virtio_net_tx *tx)
{
    if (!netdev_poll_take(&tx->polling))
        return;
    (void)work_queue_on(&tx->work, tx->cpu);
}

void virtio_net_tx_irq(void *arg)
{
    if (!chaos_hit(CHAOS_LOST))
        tx_ready(arg);
}

static void header_of(const struct pkt *pkt, struct virtio_net_header *h)
{
    static const uint8_t types[] = {
        [PKT_GSO_NONE] = VIRTIO_NET_GSO_NONE,
        [PKT_GSO_TCP4] = VIRTIO_NET_GSO_TCP4,
        [PKT_GSO_TCP6] = VIRTIO_NET_GSO_TCP6,
        [PKT_GSO_UDP] = VIRTIO_NET_GSO_UDP,
    };
    memset(h, 0, sizeof *h);
    if (pkt->checksum == PKT_CHECKSUM_PARTIAL) {
        h->flags = VIRTIO_NET_F_NEEDS_CHECKSUM;
        h->checksum_start = (uint16_t)(pkt->checksum_start - pkt_headroom(pkt));
        h->checksum_offset = pkt->checksum_field;
    }
    if (pkt->gso == PKT_GSO_NONE)
        return;
    h->gso_type = (uint8_t)(types[pkt->gso] | (pkt->gso_ecn ? VIRTIO_NET_GSO_ECN : 0));
    h->gso_size = pkt->gso_size;
    /* A hint (5.1.6.2): headers up to the payload; those of the transport are not known here. */
    h->header_len = (uint16_t)MIN(pkt->len, (uint32_t)UINT16_MAX);
}

static int tx_chain(struct virtio_net_tx *tx, const struct pkt *pkt)
{
    struct virtio_piece pieces[VIRTIO_NET_PIECES];
    unsigned count = 0;
    tx->urgent |= pkt->total > PAGE_SIZE;
    for (; pkt; pkt = pkt->more) {
        tx->urgent |= pkt->done != NULL; /* MSG_ZEROCOPY */
        if (pkt->len == 0)
            continue;
        pieces[count++] = (struct virtio_piece){hal_virt_to_phys(pkt->data), pkt->len};
    }
    return virtio_queue_send(&tx->queue, pieces, count, 0);
}

/* The packet with the header in front, in pieces that fit into a chain: *pkt is replaced by a copy
 * if need be. -ENOMEM: it is as it was. */
static int tx_prepare(struct pkt **pkt)
{
    struct virtio_net_header h;
    if (segment_pieces(*pkt) > VIRTIO_NET_PIECES || pkt_headroom(*pkt) < HEADER) {
        struct pkt *copy = segment_gather(*pkt);
        if (!copy)
            return -ENOMEM;
        pkt_free(*pkt);
        *pkt = copy;
    }
    header_of(*pkt, &h);
    memcpy(pkt_push(*pkt, HEADER), &h, HEADER);
    return 0;
}

/* Room for any packet, unless the queue is broken? If not, the poll will see to it. */
static bool tx_room(struct virtio_net_tx *tx)
{
    for (unsigned i = 0; i < 2; i++) {
        if (tx->queue.free_count >= VIRTIO_NET_PIECES)
            return true;
        tx_reclaim(tx);
    }
    while (tx->queue.free_count < VIRTIO_NET_PIECES) {
        if (tx_ask(tx))
            return false;
        tx_reclaim(tx);
        if (tx->broken)
            return true;
    }
    return true;
}

/* Tell the device, take back what is done already, see about the rest. */
static void tx_kick(struct virtio_net_tx *tx)
{
    virtio_queue_kick(&tx->net->device, &tx->queue);
    watch(tx->net);
    if (!tx_settle(tx) && netdev_poll_take(&tx->polling))
        (void)work_queue_on(&tx->work, tx->cpu);
}

/* A packet that is not sent (memory, a broken queue) stays the caller's, too. */
int virtio_net_transmit(struct netdev *dev, unsigned queue, struct pkt *pkt, bool last)
{
    struct virtio_net *net = dev->driver;
    struct virtio_net_tx *tx = &net->tx[queue];
    bool room = tx->broken || tx_room(tx);
    if (tx->broken) /* perhaps only now */
        return -EIO;
    if (!room) {
        tx->full = true;
        virtio_queue_kick(&net->device, &tx->queue); /* what was added without `last` */
        return -EAGAIN;
    }
    int err = tx_prepare(&pkt);
    if (!err) {
        int id = tx_chain(tx, pkt);
        ASSERT(id >= 0);
        tx->sent[id] = pkt;
    }
    if (last)
        tx_kick(tx);
    return err;
}

void virtio_net_tx_init(struct virtio_net *net, struct virtio_net_tx *tx)
{
    tx->net = net;
    work_init(&tx->work, tx_poll);
}
