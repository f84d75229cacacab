/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_net.c - finding and setting up virtio network devices; their control queue (5.1.6.5).
 *
 * A command of the control queue is one chain: class and command, data, and a byte for the answer.
 * They are rare and made by threads, which wait for the answer.
 *
 * After the start nothing is taken back: devices are never unregistered. A device that fails on the
 * way is reset, so that it has no hands on memory, and its memory is given back but that of the
 * rings.
 */
#include "drv/virtio_net.h"

#include "core/chaos.h"
#include "core/log.h"
#include "core/random.h"
#include "hal_up.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"

#define F_CHECKSUM (1ull << 0)
#define F_GUEST_CHECKSUM (1ull << 1)
#define F_MTU (1ull << 3)
#define F_MAC (1ull << 5)
#define F_GUEST_TSO4 (1ull << 7)
#define F_GUEST_TSO6 (1ull << 8)
#define F_GUEST_ECN (1ull << 9)
#define F_HOST_TSO4 (1ull << 11)
#define F_HOST_TSO6 (1ull << 12)
#define F_HOST_ECN (1ull << 13)
#define F_MERGE (1ull << 15)
#define F_STATUS (1ull << 16)
#define F_CONTROL (1ull << 17)
#define F_CONTROL_RX (1ull << 18)
#define F_PAIRS (1ull << 22)
#define F_HOST_USO (1ull << 56)

enum { CONFIG_MAC = 0, CONFIG_STATUS = 6, CONFIG_PAIRS = 8, CONFIG_MTU = 10 };
#define STATUS_LINK 1u
enum { CLASS_RX = 0, RX_PROMISC = 0, RX_ALLMULTI = 1, CLASS_PAIRS = 4, PAIRS_SET = 0 };
#define CONTROL_OK 0u
#define CONTROL_WAIT_NS NS_PER_SEC
#define CONTROL_DATA 16u
#define CONTROL_ANSWER 64u /* its place in the page */
#define MTU_DEFAULT 1500u
#define MTU_MIN 68u /* RFC 791 */
#define MTU_MAX 65521u
#define TYPE_ETHERNET 1

/* ---- control queue ---- */

/* 0, -EIO: refused, or no answer, after which nothing more is asked. */
static int control(struct virtio_net *net, uint8_t class, uint8_t command, const void *data,
                   uint32_t len)
{
    uint8_t *page = net->control_page;
    uint64_t until = hal_clock_ns() + CONTROL_WAIT_NS;
    uint32_t none;
    int err = -EIO;
    if (!page)
        return -EOPNOTSUPP;
    uint8_t *answer = page + CONTROL_ANSWER;
    mutex_lock(&net->control_lock);
    if (!net->has_control) {
        mutex_unlock(&net->control_lock);
        return -EOPNOTSUPP;
    }
    page[0] = class;
    page[1] = command;
    memcpy(page + 2, data, len);
    *answer = ~(uint8_t)CONTROL_OK;
    const struct virtio_piece pieces[] = {{hal_virt_to_phys(page), 2},
                                          {hal_virt_to_phys(page + 2), len},
                                          {hal_virt_to_phys(answer), 1}};
    if (virtio_queue_send(&net->control, pieces, 3, 1) >= 0) {
        virtio_queue_kick(&net->device, &net->control);
        while (!virtio_queue_ready(&net->control) && hal_clock_ns() < until)
            hal_cpu_relax();
        if (virtio_queue_take(&net->control, &none) >= 0)
            err = __atomic_load_n(answer, __ATOMIC_RELAXED) == CONTROL_OK ? 0 : -EIO;
        else
            net->has_control = false; /* its page is the device's for ever */
        if (!net->has_control)
            log_warn("%s: no answer to a command", net->dev.name);
    }
    mutex_unlock(&net->control_lock);
    return err;
}

static void set_filter(struct netdev *dev)
{
    struct virtio_net *net = dev->driver;
    uint32_t flags = __atomic_load_n(&dev->flags, __ATOMIC_RELAXED);
    uint8_t promisc = (flags & NETDEV_PROMISC) != 0;
    /* Which groups are listened to is IP's business: what nobody wants is dropped there. */
    uint8_t multicast = (flags & (NETDEV_UP | NETDEV_ALLMULTI)) != 0;
    (void)control(net, CLASS_RX, RX_PROMISC, &promisc, 1);
    (void)control(net, CLASS_RX, RX_ALLMULTI, &multicast, 1);
}

/* ---- the configuration changes ---- */

static bool has_link(const struct virtio_net *net)
{
    if (virtio_failed(&net->device))
        return false;
    return !(net->device.features & F_STATUS) ||
           (virtio_config(&net->device, CONFIG_STATUS, 2) & STATUS_LINK);
}

static void config_poll(struct work *work)
{
    struct virtio_net *net = container_of(work, struct virtio_net, config_work);
    if (virtio_failed(&net->device) && netdev_flags(&net->dev) & NETDEV_RUNNING)
        log_warn("%s: the device has failed and is not used any more", net->dev.name);
    netdev_carrier(&net->dev, has_link(net));
}

static void on_config(void *arg)
{
    struct virtio_net *net = arg;
    (void)work_queue(&net->config_work);
}

/* One interrupt for all: look at each queue. */
static void on_irq(void *arg)
{
    struct virtio_net *net = arg;
    uint32_t reason = virtio_irq_reason(&net->device);
    if (reason & VIRTIO_IRQ_CONFIG)
        on_config(net);
    if (reason & VIRTIO_IRQ_QUEUE && !chaos_hit(CHAOS_LOST))
        virtio_net_irq(net);
}

/* ---- set-up ---- */

static int agree(struct virtio_net *net)
{
    uint64_t wanted = F_CHECKSUM | F_GUEST_CHECKSUM | F_MTU | F_MAC | F_HOST_TSO4 | F_HOST_TSO6 |
                      F_HOST_ECN | F_HOST_USO | F_MERGE | F_STATUS | F_CONTROL | F_CONTROL_RX |
                      F_PAIRS | VIRTIO_EVENT_INDEX;
    uint64_t offered = virtio_offered(&net->device);
    /* Packets longer than a buffer only where they may take several. Not datagrams: each is one to
     * its receiver. */
    if (offered & F_MERGE)
        wanted |= F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN;
    /* What depends on another one (5.1.3.1) is not taken from a device that offers it alone. */
    if (!(offered & F_CHECKSUM))
        wanted &= ~(F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN | F_HOST_USO);
    if (!(offered & F_GUEST_CHECKSUM))
        wanted &= ~(F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN);
    if (!(offered & F_CONTROL))
        wanted &= ~(F_CONTROL_RX | F_PAIRS);
    int err = virtio_features(&net->device, wanted, NULL);
    net->merge = net->device.features & F_MERGE;
    net->has_control = net->device.features & F_CONTROL;
    return err;
}

static unsigned pairs_offered(const struct virtio_net *net)
{
    unsigned most =
        net->device.features & F_PAIRS ? virtio_config(&net->device, CONFIG_PAIRS, 2) : 1;
    return MAX(MIN(MIN(most, hal_cpu_count()), NETDEV_QUEUES_MAX), 1u);
}

/* The control queue comes behind all pairs that the device has (5.1.2). */
static int control_init(struct virtio_net *net)
{
    unsigned index =
        2 * (net->device.features & F_PAIRS ? virtio_config(&net->device, CONFIG_PAIRS, 2) : 1);
    struct page *page = page_alloc(0, PAGE_KERNEL, ALLOC_ZERO);
    if (!page)
        return -ENOMEM;
    net->control_page = page_virt(page);
    mutex_init(&net->control_lock, RANK_SLEEP_LAST);
    return virtio_queue_init(&net->device, &net->control, index, 4);
}

static int queues_init(struct virtio_net *net)
{
    int err = 0;
    for (unsigned i = 0; i < net->pairs && !err; i++) {
        struct virtio_net_rx *rx = &net->rx[i];
        struct virtio_net_tx *tx = &net->tx[i];
        rx->cpu = tx->cpu = tx->index = i;
        err = virtio_queue_init(&net->device, &rx->queue, 2 * i, VIRTIO_NET_RX_SIZE);
        if (!err)
            err = virtio_queue_init(&net->device, &tx->queue, 2 * i + 1, VIRTIO_NET_TX_SIZE);
        if (!err && tx->queue.size < VIRTIO_NET_PIECES)
            err = -ENODEV; /* a packet would never fit */
        virtio_net_rx_init(net, rx);
        virtio_net_tx_init(net, tx);
    }
    if (!err && net->has_control)
        err = control_init(net);
    return err;
}

static void describe(struct virtio_net *net)
{
    static const struct netdev_ops ops = {.transmit = virtio_net_transmit};
    static const struct netdev_ops filter_ops = {.transmit = virtio_net_transmit,
                                                 .set_filter = set_filter};
    uint64_t features = net->device.features;
    struct netdev *dev = &net->dev;
    (void)strlcpy(dev->name, "eth%d", sizeof dev->name);
    dev->ops = features & F_CONTROL_RX ? &filter_ops : &ops;
    dev->driver = net;
    dev->type = TYPE_ETHERNET;
    dev->flags = NETDEV_BROADCAST | NETDEV_MULTICAST;
    dev->features = NETDEV_TX_PIECES | (features & F_CHECKSUM ? NETDEV_TX_CHECKSUM : 0) |
                    (features & F_HOST_TSO4 ? NETDEV_TX_TSO4 : 0) |
                    (features & F_HOST_TSO6 ? NETDEV_TX_TSO6 : 0) |
                    (features & F_HOST_ECN ? NETDEV_TX_TSO_ECN : 0) |
                    (features & F_HOST_USO ? NETDEV_TX_USO : 0);
    dev->mtu_min = MTU_MIN;
    dev->mtu_max = net->merge ? MTU_MAX : MTU_DEFAULT;
    dev->mtu = MTU_DEFAULT;
    if (features & F_MTU) {
        unsigned mtu = virtio_config(&net->device, CONFIG_MTU, 2);
        dev->mtu_max = MIN(dev->mtu_max, MAX(mtu, MTU_MIN));
        dev->mtu = dev->mtu_max;
    }
    dev->queue_count = net->pairs;
    if (features & F_MAC) {
        for (unsigned i = 0; i < ETHER_ADDR_LEN; i++)
            dev->address[i] = (uint8_t)virtio_config(&net->device, CONFIG_MAC + i, 1);
    } else {
        random_bytes(dev->address, ETHER_ADDR_LEN);
        dev->address[0] = (uint8_t)((dev->address[0] & ~1u) | 2); /* local, not a group's */
    }
}

/* A vector for each queue, as far as there are; one for all the others and the configuration. Then
 * what came before. */
static int attach(struct virtio_net *net)
{
    int err = virtio_attach(&net->device, on_irq, net);
    for (unsigned i = 0; i < net->pairs; i++) {
        (void)!virtio_attach_queue(&net->device, &net->rx[i].queue, net->rx[i].cpu,
                                   virtio_net_rx_irq, &net->rx[i]);
        (void)!virtio_attach_queue(&net->device, &net->tx[i].queue, net->tx[i].cpu,
                                   virtio_net_tx_irq, &net->tx[i]);
        virtio_net_rx_irq(&net->rx[i]);
    }
    return err;
}

/* From here on packets come and go. */
static int go(struct virtio_net *net)
{
    int err = 0;
    virtio_start(&net->device);
    if (net->pairs > 1) {
        uint16_t pairs = (uint16_t)net->pairs;
        /* A device that does not want to goes on with one; the others just stay empty. */
        if (control(net, CLASS_PAIRS, PAIRS_SET, &pairs, sizeof pairs))
            net->pairs = net->dev.queue_count = 1;
    }
    for (unsigned i = 0; i < net->pairs && !err; i++)
        err = virtio_net_rx_fill(&net->rx[i]);
    if (!err)
        err = netdev_register(&net->dev);
    if (err)
        return err;
    err = attach(net);
    if (err)
        log_warn("%s: no interrupt (%d)", net->dev.name, err);
    netdev_carrier(&net->dev, has_link(net));
    log_info("%s: virtio, %u queue pairs, features 0x%llx", net->dev.name, net->pairs,
             (unsigned long long)net->device.features);
    return 0;
}

static void rx_free(struct virtio_net *net)
{
    for (unsigned i = 0; net->rx && i < net->pairs; i++)
        for (unsigned id = 0; id < VIRTIO_NET_RX_SIZE; id++)
            pkt_free(net->rx[i].buffer[id]);
    kfree(net->rx);
    kfree(net->tx);
}

static int start(struct virtio_net *net)
{
    int err = agree(net);
    if (err)
        return err;
    net->pairs = pairs_offered(net);
    net->rx = kmalloc_array(net->pairs, sizeof(*net->rx), ALLOC_ZERO);
    net->tx = kmalloc_array(net->pairs, sizeof(*net->tx), ALLOC_ZERO);
    if (!net->rx || !net->tx)
        return -ENOMEM;
    work_init(&net->config_work, config_poll);
    virtio_net_watch_init(net);
    err = queues_init(net);
    if (err)
        return err;
    describe(net);
    return go(net);
}

void virtio_net_start(void)
{
    unsigned at = 0;
    for (;;) {
        struct virtio_net *net = kzalloc(sizeof(*net));
        if (!net)
            return;
        if (virtio_find(&net->device, VIRTIO_NET, &at)) {
            kfree(net);
            return;
        }
        int err = start(net);
        if (!err)
            continue;
        virtio_reset(&net->device);
        rx_free(net);
        kfree(net);
        log_warn("a virtio network device does not work (%d)", err);
    }
}
