/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vmxnet3_io.c - receiving and sending over a vmxnet3 device. See vmxnet3.h.
 *
 * Receiving. Every entry has a buffer, always: what is taken out is replaced first; if there is no
 * memory for that, the buffer stays and its packet is lost. An entry that is used is given again
 * when the next one is (and with it those that the device has skipped), so one is never given.
 * Whatever the device says about an entry it may have meant any, so nothing depends on it but
 * what the packet is made of.
 *
 * Sending. The first entry's generation is written last: then the packet is there. Packets that the
 * device has sent are freed at the next one, or by the poll; an interrupt is asked for only when
 * some are on the way after the device was told.
 *
 * Order: an entry is written before its generation (release), a completion is read after its
 * generation (acquire); a barrier stands before the device is told by a register.
 */
#include "core/assert.h"
#include "drv/segment.h"
#include "drv/vmxnet3.h"
#include "lib/bytes.h"
#include "lib/checksum.h"
#include "lib/errno.h"
#include "lib/string.h"

/* So that behind Ethernet's header the next one is aligned. */
#define HEAD_HEADROOM 18u
#define HEAD_SIZE (PAGE_SIZE / 2 - HEAD_HEADROOM)
#define BODY_SIZE PAGE_SIZE
#define ETHER_HEADER 14u

/* Receive entries, word 2. */
#define RXD_BODY (1u << 14)
#define RXD_GEN (1u << 31)
/* Completions. */
#define COMPLETION_GEN(c) ((c)->word[3] >> 31)
#define COMPLETION_INDEX(c) ((c)->word[0] & 0xfff)
/* Send entries: words 2 and 3. */
#define TXD_GEN (1u << 14)
#define TXD_FIELD_SHIFT 18 /* the checksum's place, or the payload of a segment */
enum { TXD_CHECKSUM = 2u << 10, TXD_TSO = 3u << 10, TXD_LAST = 1u << 12, TXD_TELL = 1u << 13 };
#define TXD_HEADERS_MAX 1023u
enum { TCP_CHECKSUM_FIELD = 16, UDP_CHECKSUM_FIELD = 6, TCP_OFFSET_FIELD = 12 };
#define IP_HEADERS 40u

/* The next completion of a ring is copied; false: there is none. */
static bool completion_take(const struct vmxnet3_completion *ring, unsigned size, unsigned *next,
                            bool *gen, struct vmxnet3_completion *out)
{
    const struct vmxnet3_completion *at = &ring[*next];
    out->word[3] = __atomic_load_n(&at->word[3], __ATOMIC_ACQUIRE);
    if (COMPLETION_GEN(out) != *gen)
        return false;
    for (unsigned i = 0; i < 3; i++)
        out->word[i] = __atomic_load_n(&at->word[i], __ATOMIC_RELAXED);
    if (++*next == size) {
        *next = 0;
        *gen = !*gen;
    }
    return true;
}

/* ---- receiving ---- */

static struct pkt *buffer_alloc(bool body)
{
    return body ? pkt_alloc(0, BODY_SIZE, ALLOC_DEFAULT)
                : pkt_alloc(HEAD_HEADROOM, HEAD_SIZE, ALLOC_DEFAULT);
}

int vmxnet3_rx_fill(struct vmxnet3_rx *rx)
{
    for (unsigned r = 0; r < 2; r++)
        for (unsigned i = 0; i < rx->ring[r].size; i++) {
            rx->ring[r].buffer[i] = buffer_alloc(r == 1);
            if (!rx->ring[r].buffer[i])
                return -ENOMEM;
        }
    return 0;
}

/* Give entries up to, not including, `end`. */
static void rx_give(struct vmxnet3_rx_ring *ring, unsigned end, bool body)
{
    while (ring->fill != end) {
        struct vmxnet3_desc *desc = &ring->desc[ring->fill];
        desc->addr = hal_virt_to_phys(ring->buffer[ring->fill]->data);
        __atomic_store_n(&desc->word2,
                         (uint32_t)(body ? BODY_SIZE | RXD_BODY : HEAD_SIZE) |
                             (ring->gen ? RXD_GEN : 0),
                         __ATOMIC_RELEASE);
        if (++ring->fill == ring->size) {
            ring->fill = 0;
            ring->gen = !ring->gen;
        }
    }
}

void vmxnet3_rx_reset(struct vmxnet3_rx *rx)
{
    pkt_free(rx->packet);
    rx->packet = NULL;
    rx->lost = rx->broken = false;
    rx->next = 0;
    rx->gen = true;
    memset(rx->completions, 0, VMXNET3_COMPLETIONS * sizeof(*rx->completions));
    for (unsigned r = 0; r < 2; r++) {
        struct vmxnet3_rx_ring *ring = &rx->ring[r];
        memset(ring->desc, 0, ring->size * sizeof(*ring->desc));
        ring->fill = 0;
        ring->gen = true;
        rx_give(ring, ring->size - 1, r == 1);
    }
}

static void rx_tell(struct vmxnet3_rx *rx)
{
    hal_device_barrier();
    vmxnet3_row(rx->net, VMXNET3_RXPROD, rx->index, rx->ring[0].fill);
    vmxnet3_row(rx->net, VMXNET3_RXPROD2, rx->index, rx->ring[1].fill);
}

void vmxnet3_rx_go(struct vmxnet3_rx *rx)
{
    rx_tell(rx);
    vmxnet3_row(rx->net, VMXNET3_IMR, rx->interrupt, 0);
}

/* The buffer that a completion is about, with its bytes, replaced. NULL: no memory, or (`broken`)
 * there is no such buffer. */
static struct pkt *rx_buffer(struct vmxnet3_rx *rx, const struct vmxnet3_completion *c)
{
    /* Rings are numbered through: the first ones of all queues, then the second ones. */
    bool body = RXC_QUEUE(c) == rx->net->rx_count + rx->index;
    struct vmxnet3_rx_ring *ring = &rx->ring[body];
    unsigned at = COMPLETION_INDEX(c);
    if ((!body && RXC_QUEUE(c) != rx->index) || at >= ring->size ||
        RXC_LEN(c) > (body ? BODY_SIZE : HEAD_SIZE)) {
        rx->broken = true;
        return NULL;
    }
    struct pkt *pkt = ring->buffer[at], *fresh = buffer_alloc(body);
    if (fresh)
        ring->buffer[at] = fresh;
    rx_give(ring, at, body);
    if (!fresh)
        return NULL;
    if (!pkt_put(pkt, RXC_LEN(c))) {
        pkt_free(pkt);
        return NULL;
    }
    return pkt;
}

/* What the device has found out about a whole packet. */
static void rx_describe(struct vmxnet3_rx *rx, struct pkt *pkt, const struct vmxnet3_completion *c)
{
    uint32_t bits = c->word[3], good = RXC_TRANSPORT_GOOD | (bits & RXC_V4 ? RXC_IP_GOOD : 0);
    unsigned segment = netdev_mtu(&rx->net->dev) - IP_HEADERS;
    if (!(c->word[0] & RXC_NOT_SUMMED) && (bits & good) == good && (bits & (RXC_TCP | RXC_UDP)) &&
        !(bits & RXC_FRAGMENT))
        pkt->checksum = PKT_CHECKSUM_GOOD;
    /* Segments that came merged; how long they were is not told. */
    if ((bits & RXC_TCP) && pkt->total > netdev_mtu(&rx->net->dev) + ETHER_HEADER) {
        pkt->gso = bits & RXC_V6 ? PKT_GSO_TCP6 : PKT_GSO_TCP4;
        pkt->gso_size = (uint16_t)segment;
    }
}

/* What one completion says: the packet that it is the last of goes up. */
static void rx_completion(struct vmxnet3_rx *rx, const struct vmxnet3_completion *c)
{
    struct netdev *dev = &rx->net->dev;
    struct pkt *piece = rx_buffer(rx, c), *pkt;
    if (rx->broken)
        return;
    if (c->word[0] & RXC_FIRST) {
        if (rx->packet) { /* whose end never came */
            pkt_free(rx->packet);
            netdev_receive_error(dev);
        }
        rx->packet = piece;
        rx->pieces = 1;
        rx->lost = !piece;
    } else if (piece && rx->packet && rx->pieces < PKT_RX_PIECES_MAX &&
               rx->packet->total + piece->total <= PKT_LEN_MAX) {
        pkt_append(rx->packet, piece);
        rx->pieces++;
    } else {
        pkt_free(piece);
        rx->lost = true;
    }
    if (!(c->word[0] & RXC_LAST))
        return;
    pkt = rx->packet;
    rx->packet = NULL;
    if (pkt && !rx->lost && !(c->word[2] & RXC_ERROR) && pkt->total >= ETHER_HEADER) {
        rx_describe(rx, pkt, c);
        netdev_receive(dev, pkt);
    } else {
        if (rx->lost)
            netdev_receive_drop(dev);
        else
            netdev_receive_error(dev);
        pkt_free(pkt);
    }
    rx->lost = false;
}

static bool rx_resetting(const struct vmxnet3_rx *rx)
{
    return rx->broken || __atomic_load_n(&rx->net->resetting, __ATOMIC_RELAXED);
}

void vmxnet3_rx_poll(struct work *work)
{
    struct vmxnet3_rx *rx = container_of(work, struct vmxnet3_rx, work);
    struct vmxnet3_completion c;
    unsigned count = 0;
    while (count < NETDEV_BUDGET && !rx_resetting(rx) &&
           completion_take(rx->completions, VMXNET3_COMPLETIONS, &rx->next, &rx->gen, &c)) {
        rx_completion(rx, &c);
        count++;
    }
    if (count > 0 && __atomic_load_n(&rx->conf->tell_filled, __ATOMIC_RELAXED))
        rx_tell(rx);
    netdev_receive_done(&rx->net->dev);
    if (count == NETDEV_BUDGET) {
        (void)work_queue_on(&rx->work, rx->cpu);
        return;
    }
    bool again = !rx_resetting(rx);
    if (rx->broken)
        vmxnet3_want_reset(rx->net);
    /* Before the interrupt is on: one that finds it taken is masked for good. */
    (void)__atomic_exchange_n(&rx->polling, false, __ATOMIC_ACQ_REL);
    if (again)
        vmxnet3_row(rx->net, VMXNET3_IMR, rx->interrupt, 0);
}

void vmxnet3_rx_irq(void *arg)
{
    struct vmxnet3_rx *rx = arg;
    if (netdev_poll_take(&rx->polling))
        (void)work_queue_on(&rx->work, rx->cpu);
}

/* ---- sending ---- */

static unsigned tx_room(const struct vmxnet3_tx *tx)
{
    return (tx->done + VMXNET3_TX_SIZE - tx->fill - 1) % VMXNET3_TX_SIZE;
}

static bool tx_pending(const struct vmxnet3_tx *tx)
{
    return tx->done != tx->fill;
}

void vmxnet3_tx_reset(struct vmxnet3_tx *tx)
{
    for (unsigned i = 0; i < VMXNET3_TX_SIZE; i++) {
        pkt_free(tx->sent[i]);
        tx->sent[i] = NULL;
    }
    memset(tx->desc, 0, VMXNET3_TX_SIZE * sizeof(*tx->desc));
    memset(tx->completions, 0, VMXNET3_TX_SIZE * sizeof(*tx->completions));
    tx->fill = tx->done = tx->next = tx->told = 0;
    tx->gen = tx->completion_gen = true;
    tx->asked = tx->broken = false;
}

/* Free what the device has sent. The netdev queue's lock held. */
static void tx_reclaim(struct vmxnet3_tx *tx)
{
    struct vmxnet3_completion c;
    for (unsigned i = 0; i < VMXNET3_TX_SIZE && !tx->broken; i++) {
        if (!completion_take(tx->completions, VMXNET3_TX_SIZE, &tx->next, &tx->completion_gen, &c))
            return;
        unsigned last = COMPLETION_INDEX(&c);
        if (last >= VMXNET3_TX_SIZE || !tx->sent[last]) {
            tx->broken = true;
            vmxnet3_want_reset(tx->net);
            return;
        }
        for (bool more = true; more; tx->done = (tx->done + 1) % VMXNET3_TX_SIZE) {
            more = tx->done != last;
            pkt_free(tx->sent[tx->done]);
            tx->sent[tx->done] = NULL;
        }
    }
}

/* Ask to be told when something has been sent. What was before is told at once. */
static void tx_ask(struct vmxnet3_tx *tx)
{
    if (!tx->asked)
        vmxnet3_row(tx->net, VMXNET3_IMR, tx->interrupt, 0);
    tx->asked = true;
}

void vmxnet3_tx_poll(struct work *work)
{
    struct vmxnet3_tx *tx = container_of(work, struct vmxnet3_tx, work);
    struct netdev_queue *q = &tx->net->dev.queues[tx->index];
    spin_lock(&q->lock);
    /* Before the interrupt is on, as in the other poll. */
    (void)__atomic_exchange_n(&tx->queued, false, __ATOMIC_ACQ_REL);
    tx->asked = false;
    tx_reclaim(tx);
    bool resetting = __atomic_load_n(&tx->net->resetting, __ATOMIC_RELAXED);
    bool wake = tx->full && !resetting && tx_room(tx) >= VMXNET3_PIECES_TSO;
    if (wake)
        tx->full = false;
    if (!tx->broken && !resetting && tx_pending(tx))
        tx_ask(tx);
    spin_unlock(&q->lock);
    if (wake)
        netdev_wake(&tx->net->dev, tx->index);
}

void vmxnet3_tx_irq(void *arg)
{
    struct vmxnet3_tx *tx = arg;
    if (netdev_poll_take(&tx->queued))
        (void)work_queue_on(&tx->work, tx->cpu);
}

/* What the device is to do to a packet: words 2 and 3 of its first entry, without lengths. */
struct tx_offload {
    uint32_t word2, word3;
};

/* The device wants the pseudo header's sum of a packet that it cuts without a length in it. */
static void tx_unlength(struct pkt *pkt, uint32_t start)
{
    uint32_t at = start + pkt->checksum_field;
    uint16_t sum;
    pkt_read(pkt, at, &sum, sizeof(sum));
    sum = checksum_fold((uint32_t)sum + (uint16_t)~net16((uint16_t)(pkt->total - start)));
    pkt_write(pkt, at, &sum, sizeof(sum));
}

/* Checksums: only those of TCP and UDP, in headers that are not too long, it does itself. -EINVAL:
 * headers that are none. */
static int tx_offload(struct pkt *pkt, struct tx_offload *out)
{
    uint32_t start = pkt->checksum_start - pkt_headroom(pkt), headers = start;
    *out = (struct tx_offload){0};
    if (pkt->gso) {
        uint8_t words;
        if (pkt->checksum != PKT_CHECKSUM_PARTIAL || start + IP_HEADERS / 2 > pkt->total)
            return -EINVAL;
        pkt_read(pkt, start + TCP_OFFSET_FIELD, &words, 1);
        headers += (words >> 4) * 4u;
        if (headers > TXD_HEADERS_MAX || pkt->gso_size >= VMXNET3_PIECE_MAX)
            return -EINVAL;
        tx_unlength(pkt, start);
        *out = (struct tx_offload){(uint32_t)pkt->gso_size << TXD_FIELD_SHIFT, TXD_TSO | headers};
    } else if (pkt->checksum == PKT_CHECKSUM_PARTIAL) {
        uint32_t field = pkt->checksum_field;
        if ((field == TCP_CHECKSUM_FIELD || field == UDP_CHECKSUM_FIELD) &&
            start <= TXD_HEADERS_MAX)
            *out = (struct tx_offload){(start + field) << TXD_FIELD_SHIFT, TXD_CHECKSUM | start};
        else
            segment_checksum(pkt);
    }
    return 0;
}

/* Entries of all pieces; the packet is there with the first one's generation. */
static void tx_give(struct vmxnet3_tx *tx, struct pkt *pkt, const struct tx_offload *offload)
{
    struct vmxnet3_desc *first = NULL, *desc = NULL;
    uint32_t word2 = 0;
    unsigned last = 0;
    for (const struct pkt *piece = pkt; piece; piece = piece->more)
        for (uint32_t at = 0; at < piece->len; at += VMXNET3_PIECE_MAX) {
            uint32_t len = MIN(piece->len - at, VMXNET3_PIECE_MAX) % VMXNET3_PIECE_MAX;
            len |= offload->word2 | (tx->gen ? TXD_GEN : 0);
            last = tx->fill;
            desc = &tx->desc[last];
            desc->addr = hal_virt_to_phys(piece->data + at);
            desc->word3 = offload->word3;
            if (!first) {
                first = desc;
                word2 = len;
                len ^= TXD_GEN; /* still ours */
            }
            desc->word2 = len;
            if (++tx->fill == VMXNET3_TX_SIZE) {
                tx->fill = 0;
                tx->gen = !tx->gen;
            }
        }
    ASSERT(desc);
    desc->word3 |= TXD_LAST | TXD_TELL;
    tx->sent[last] = pkt;
    /* Release: all of the packet's entries before the one by which it begins. */
    __atomic_store_n(&first->word2, word2, __ATOMIC_RELEASE);
}

static void tx_tell(struct vmxnet3_tx *tx)
{
    if (tx->told == tx->fill)
        return;
    tx->told = tx->fill;
    hal_device_barrier();
    vmxnet3_row(tx->net, VMXNET3_TXPROD, tx->index, tx->fill);
    tx_reclaim(tx);
}

static unsigned tx_entries(const struct pkt *pkt)
{
    unsigned count = 0;
    for (; pkt; pkt = pkt->more)
        count += (pkt->len + VMXNET3_PIECE_MAX - 1) / VMXNET3_PIECE_MAX;
    return count;
}

/* In few enough pieces: *pkt is replaced by a copy if need be. An error: it is not. */
static int tx_prepare(struct pkt **pkt, struct tx_offload *offload)
{
    unsigned most = (*pkt)->gso ? VMXNET3_PIECES_TSO : VMXNET3_PIECES;
    int err = tx_offload(*pkt, offload);
    if (err || tx_entries(*pkt) <= most)
        return err;
    struct pkt *copy = segment_gather(*pkt);
    if (!copy)
        return -ENOMEM;
    pkt_free(*pkt);
    *pkt = copy;
    return 0;
}

int vmxnet3_transmit(struct netdev *dev, unsigned queue, struct pkt *pkt, bool last)
{
    struct vmxnet3 *net = dev->driver;
    struct vmxnet3_tx *tx = &net->tx[queue];
    struct tx_offload offload;
    if (tx->broken || __atomic_load_n(&net->resetting, __ATOMIC_RELAXED)) {
        tx->full = true; /* until the reset is over */
        return -EAGAIN;
    }
    if (tx_room(tx) < VMXNET3_PIECES_TSO) {
        tx_reclaim(tx);
        tx_tell(tx); /* what was added without `last` */
    }
    if (tx->broken || tx_room(tx) < VMXNET3_PIECES_TSO) {
        tx->full = true;
        tx_ask(tx);
        return -EAGAIN;
    }
    int err = tx_prepare(&pkt, &offload);
    if (!err)
        tx_give(tx, pkt, &offload);
    if (last) {
        tx_tell(tx);
        if (!tx->broken && tx_pending(tx))
            tx_ask(tx);
    }
    return err;
}
