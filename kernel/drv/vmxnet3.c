/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vmxnet3.c - finding and setting up vmxnet3 devices, and what they say about themselves: link,
 * errors. See vmxnet3.h.
 *
 * The first start is a reset as any other: commands and rings begin from nothing. A reset takes the
 * receive queues one after the other; if a poll is on its way, it ends early, and the work comes
 * again. Locking each send queue once sees to it that no transmit goes on.
 *
 * After registration nothing is taken back: a device that fails then has no carrier.
 */
#include "drv/vmxnet3.h"

#include "core/log.h"
#include "core/random.h"
#include "drv/irq.h"
#include "hal_up.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"

#define DEVICE_ID 0x07b015adu
#define BAR_SIZE 0x1000u
enum { /* BAR 1 */
       REG_REVISION = 0x00,
       REG_UPT_VERSION = 0x08,
       REG_SHARED_LOW = 0x10,
       REG_SHARED_HIGH = 0x18,
       REG_COMMAND = 0x20,
       REG_MAC_LOW = 0x28,
       REG_MAC_HIGH = 0x30,
       REG_CAUSE = 0x38,
       REG_EVENTS = 0x40,
};
#define REVISION_1 1u
enum command {
    ACTIVATE = (int)0xcafe0000,
    RESET = (int)0xcafe0002,
    UPDATE_FILTER = (int)0xcafe0003,
    GET_QUEUE_STATUS = (int)0xf00d0000,
    GET_LINK = (int)0xf00d0002,
};
enum { EVENT_RX_ERROR = 1, EVENT_TX_ERROR = 2 };
#define LINK_UP 1u
enum { FILTER_OWN = 1, FILTER_BROADCAST = 4, FILTER_ALL_MULTI = 8, FILTER_PROMISC = 0x10 };
enum { FEATURE_CHECKSUM = 1, FEATURE_RSS = 2, FEATURE_LRO = 8 };
#define MAGIC 0xbabefee1u
#define GUEST_LINUX_64 (2u | 1u << 2) /* what devices know best */
#define DRIVER_VERSION 0x01000000u
#define NO_DATA UINT64_MAX
#define INTERRUPTS_MAX 25u
#define MODERATION_ADAPTIVE 8u
#define MTU_DEFAULT 1500u
#define MTU_MIN 68u /* RFC 791 */
#define MTU_MAX 9000u
/* One head and the bodies that 64 KiB take. */
#define RX_PIECES_MAX (1u + PKT_LEN_MAX / PAGE_SIZE + 1)
#define RSS_KEY 40u
#define RSS_TABLE 128u
enum { RSS_TYPES_ALL = 0xf, RSS_TOEPLITZ = 1 };

struct vmxnet3_conf { /* of a part that is described elsewhere */
    uint32_t version, len;
    uint64_t pa;
};
struct vmxnet3_shared {
    uint32_t magic, pad1;
    uint32_t version, guest, revisions, upt_versions;
    uint64_t features, driver, queues;
    uint32_t driver_len, queues_len, mtu;
    uint16_t pieces_max;
    uint8_t tx_count, rx_count;
    uint32_t reserved1[4];
    uint8_t auto_mask, interrupt_count, event_interrupt, moderation[INTERRUPTS_MAX];
    uint32_t interrupts_off, reserved2[2];
    uint32_t filter;
    uint16_t groups_len, pad2;
    uint64_t groups;
    uint32_t vlans[128];
    struct vmxnet3_conf rss, power, plugin;
    uint32_t events, reserved3[5];
};
STATIC_ASSERT(offsetof(struct vmxnet3_shared, auto_mask) == 80);
STATIC_ASSERT(offsetof(struct vmxnet3_shared, filter) == 120);
STATIC_ASSERT(offsetof(struct vmxnet3_shared, rss) == 648);
STATIC_ASSERT(offsetof(struct vmxnet3_shared, events) == 696);
STATIC_ASSERT(sizeof(struct vmxnet3_shared) == 720);

struct vmxnet3_rss {
    uint16_t types, function, key_len, table_len;
    uint8_t key[RSS_KEY], table[RSS_TABLE];
};
STATIC_ASSERT(sizeof(struct vmxnet3_rss) == 176);

/* What the device reads and writes, in one block: 128 byte aligned. */
struct common {
    struct vmxnet3_tx_conf tx[VMXNET3_QUEUES_MAX];
    struct vmxnet3_rx_conf rx[VMXNET3_QUEUES_MAX]; /* behind the last one that there is of tx */
    struct vmxnet3_shared shared;
    struct vmxnet3_rss rss;
};
struct tx_rings { /* 512 byte aligned */
    struct vmxnet3_desc desc[VMXNET3_TX_SIZE];
    struct vmxnet3_completion completions[VMXNET3_TX_SIZE];
};
struct rx_rings {
    struct vmxnet3_desc heads[VMXNET3_HEADS], bodies[VMXNET3_BODIES];
    struct vmxnet3_completion completions[VMXNET3_COMPLETIONS];
};

/* ---- commands ---- */

static uint32_t get(const struct vmxnet3 *net, unsigned reg)
{
    return hal_mmio_read32(net->regs + reg);
}

static void put(const struct vmxnet3 *net, unsigned reg, uint32_t value)
{
    hal_mmio_write32(net->regs + reg, value);
}

/* The answer; 0 of those that have none. */
static uint32_t command(struct vmxnet3 *net, enum command which)
{
    unsigned long state = spin_lock_irqsave(&net->command_lock);
    hal_device_barrier(); /* what it reads in memory */
    put(net, REG_COMMAND, (uint32_t)which);
    uint32_t answer = which == UPDATE_FILTER ? 0 : get(net, REG_COMMAND);
    spin_unlock_irqrestore(&net->command_lock, state);
    return answer;
}

static bool has_link(struct vmxnet3 *net)
{
    return command(net, GET_LINK) & LINK_UP;
}

static void set_filter(struct netdev *dev)
{
    struct vmxnet3 *net = dev->driver;
    /* Which groups are listened to is IP's business: what nobody wants is dropped there. */
    uint32_t filter = FILTER_OWN | FILTER_BROADCAST | FILTER_ALL_MULTI |
                      (netdev_flags(dev) & NETDEV_PROMISC ? FILTER_PROMISC : 0);
    __atomic_store_n(&net->shared->filter, filter, __ATOMIC_RELAXED);
    (void)command(net, UPDATE_FILTER);
}

/* ---- reset ---- */

void vmxnet3_want_reset(struct vmxnet3 *net)
{
    __atomic_store_n(&net->reset_wanted, true, __ATOMIC_RELAXED);
    (void)work_queue_on(&net->work, 0);
}

/* The MTU is looked at when the device is activated. */
static int set_mtu(struct netdev *dev, unsigned mtu)
{
    struct vmxnet3 *net = dev->driver;
    __atomic_store_n(&net->shared->mtu, mtu, __ATOMIC_RELAXED);
    vmxnet3_want_reset(net);
    return 0;
}

/* From here on nobody touches a ring. False: not yet. */
static bool quiesce(struct vmxnet3 *net)
{
    __atomic_store_n(&net->resetting, true, __ATOMIC_RELAXED);
    for (; net->held < net->rx_count; net->held++)
        if (!netdev_poll_take(&net->rx[net->held].polling))
            return false;
    for (unsigned i = 0; i < net->tx_count; i++) {
        struct netdev_queue *q = &net->dev.queues[i];
        spin_lock(&q->lock); /* whoever comes later sees `resetting` */
        vmxnet3_tx_reset(&net->tx[i]);
        spin_unlock(&q->lock);
    }
    for (unsigned i = 0; i < net->rx_count; i++)
        vmxnet3_rx_reset(&net->rx[i]);
    return true;
}

static int activate(struct vmxnet3 *net)
{
    paddr_t shared = hal_virt_to_phys(net->shared);
    __atomic_store_n(&net->shared->events, 0, __ATOMIC_RELAXED);
    put(net, REG_SHARED_LOW, (uint32_t)shared);
    put(net, REG_SHARED_HIGH, (uint32_t)(shared >> 32));
    return command(net, ACTIVATE) == 0 ? 0 : -EIO;
}

/* All as at the beginning. -EAGAIN: once more, later; -EIO: it does not work any more. */
static int reset(struct vmxnet3 *net)
{
    (void)command(net, RESET);
    if (!quiesce(net))
        return -EAGAIN;
    net->held = 0;
    int err = activate(net);
    if (!err) /* else polls and transmit go on doing nothing */
        __atomic_store_n(&net->resetting, false, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < net->rx_count; i++) {
        /* Release: the rings are the next poll's. */
        __atomic_store_n(&net->rx[i].polling, false, __ATOMIC_RELEASE);
        if (!err)
            vmxnet3_rx_go(&net->rx[i]);
    }
    if (err)
        return err;
    for (unsigned i = 0; i < net->tx_count; i++) {
        struct netdev_queue *q = &net->dev.queues[i];
        spin_lock(&q->lock); /* whoever has not seen that it is over has said so by now */
        bool wake = net->tx[i].full;
        net->tx[i].full = false;
        spin_unlock(&q->lock);
        if (wake)
            netdev_wake(&net->dev, i);
    }
    return 0;
}

/* ---- events ---- */

static void look_for_errors(struct vmxnet3 *net)
{
    uint32_t events = __atomic_load_n(&net->shared->events, __ATOMIC_RELAXED);
    if (events)
        put(net, REG_EVENTS, events); /* acknowledged */
    if (!(events & (EVENT_RX_ERROR | EVENT_TX_ERROR)))
        return;
    (void)command(net, GET_QUEUE_STATUS);
    __atomic_store_n(&net->reset_wanted, true, __ATOMIC_RELAXED);
}

/* The device as a whole, on CPU 0: what it says, and resets. */
static void manage(struct work *work)
{
    struct vmxnet3 *net = container_of(work, struct vmxnet3, work);
    int err = 0;
    look_for_errors(net);
    if (__atomic_exchange_n(&net->reset_wanted, false, __ATOMIC_RELAXED)) {
        err = reset(net);
        if (err == -EAGAIN) {
            vmxnet3_want_reset(net);
            return;
        }
        net->resets++;
        if ((net->resets & (net->resets - 1)) == 0) /* ever more rarely */
            log_warn("%s: reset %u (%d)", net->dev.name, net->resets, err);
    }
    netdev_carrier(&net->dev, !err && has_link(net));
    vmxnet3_row(net, VMXNET3_IMR, net->event_interrupt, 0);
}

/* The device as a whole, and queues without an interrupt of their own. */
static void on_irq(void *arg)
{
    struct vmxnet3 *net = arg;
    if (net->intx && !(get(net, REG_CAUSE) & 1)) /* acknowledges */
        return;
    for (unsigned i = 0; i < net->rx_count; i++)
        if (net->rx[i].interrupt == net->event_interrupt)
            vmxnet3_rx_irq(&net->rx[i]);
    for (unsigned i = 0; i < net->tx_count; i++)
        if (net->tx[i].interrupt == net->event_interrupt)
            vmxnet3_tx_irq(&net->tx[i]);
    (void)work_queue_on(&net->work, 0);
}

/* ---- set-up ---- */

/* MSI-X: number 0 for the device and the queues that get none, else INTx for all. */
static int attach(struct vmxnet3 *net, unsigned function)
{
    struct pci_msix msix;
    unsigned next = 1;
    int err = pci_msix_start(function, &msix);
    if (!err)
        err = pci_msix_attach(&msix, 0, 0, on_irq, net);
    if (err) {
        net->intx = true;
        return pci_intx_attach(function, on_irq, net);
    }
    msix.count = MIN(msix.count, INTERRUPTS_MAX);
    for (unsigned i = 0; i < net->rx_count; i++)
        if (next < msix.count &&
            pci_msix_attach(&msix, next, net->rx[i].cpu, vmxnet3_rx_irq, &net->rx[i]) == 0)
            net->rx[i].interrupt = next++;
    for (unsigned i = 0; i < net->tx_count; i++)
        if (next < msix.count &&
            pci_msix_attach(&msix, next, net->tx[i].cpu, vmxnet3_tx_irq, &net->tx[i]) == 0)
            net->tx[i].interrupt = next++;
    net->shared->interrupt_count = (uint8_t)next;
    return 0;
}

static void *pages(size_t size)
{
    unsigned order = 0;
    while ((PAGE_SIZE << order) < size)
        order++;
    struct page *page = page_alloc(order, PAGE_KERNEL, ALLOC_ZERO);
    return page ? page_virt(page) : NULL;
}

static int rx_init(struct vmxnet3 *net, unsigned index, struct vmxnet3_rx_conf *conf)
{
    struct vmxnet3_rx *rx = &net->rx[index];
    struct rx_rings *rings = pages(sizeof(*rings));
    if (!rings)
        return -ENOMEM;
    rx->net = net;
    rx->conf = conf;
    rx->index = rx->cpu = index;
    rx->completions = rings->completions;
    rx->ring[0] = (struct vmxnet3_rx_ring){rings->heads, rx->buffers, VMXNET3_HEADS};
    rx->ring[1] =
        (struct vmxnet3_rx_ring){rings->bodies, rx->buffers + VMXNET3_HEADS, VMXNET3_BODIES};
    work_init(&rx->work, vmxnet3_rx_poll);
    *conf = (struct vmxnet3_rx_conf){
        .ring = {hal_virt_to_phys(rings->heads), hal_virt_to_phys(rings->bodies)},
        .completions = hal_virt_to_phys(rings->completions),
        .driver = NO_DATA,
        .ring_size = {VMXNET3_HEADS, VMXNET3_BODIES},
        .completion_size = VMXNET3_COMPLETIONS,
    };
    return vmxnet3_rx_fill(rx);
}

static int tx_init(struct vmxnet3 *net, unsigned index, struct vmxnet3_tx_conf *conf)
{
    struct vmxnet3_tx *tx = &net->tx[index];
    struct tx_rings *rings = pages(sizeof(*rings));
    if (!rings)
        return -ENOMEM;
    tx->net = net;
    tx->conf = conf;
    tx->index = tx->cpu = index;
    tx->desc = rings->desc;
    tx->completions = rings->completions;
    work_init(&tx->work, vmxnet3_tx_poll);
    *conf = (struct vmxnet3_tx_conf){
        .ring = hal_virt_to_phys(rings->desc),
        .data_ring = 0,
        .completions = hal_virt_to_phys(rings->completions),
        .driver = NO_DATA,
        .ring_size = VMXNET3_TX_SIZE,
        .completion_size = VMXNET3_TX_SIZE,
    };
    return 0;
}

static void rss_init(struct vmxnet3 *net, struct vmxnet3_rss *rss)
{
    *rss = (struct vmxnet3_rss){RSS_TYPES_ALL, RSS_TOEPLITZ, RSS_KEY, RSS_TABLE};
    random_bytes(rss->key, RSS_KEY);
    for (unsigned i = 0; i < RSS_TABLE; i++)
        rss->table[i] = (uint8_t)(i % net->rx_count);
    net->shared->rss = (struct vmxnet3_conf){1, sizeof(*rss), hal_virt_to_phys(rss)};
    net->shared->features |= FEATURE_RSS;
}

static int queues_init(struct vmxnet3 *net)
{
    struct common *common = pages(sizeof(*common));
    net->rx = kmalloc_array(net->rx_count, sizeof(*net->rx), ALLOC_ZERO);
    net->tx = kmalloc_array(net->tx_count, sizeof(*net->tx), ALLOC_ZERO);
    if (!common || !net->rx || !net->tx) {
        if (common)
            page_put(page_of_virt(common));
        return -ENOMEM;
    }
    net->shared = &common->shared;
    int err = 0;
    for (unsigned i = 0; i < net->tx_count && !err; i++)
        err = tx_init(net, i, &common->tx[i]);
    /* Those of receive queues begin where those to send end. */
    struct vmxnet3_rx_conf *rx = (struct vmxnet3_rx_conf *)(common->tx + net->tx_count);
    for (unsigned i = 0; i < net->rx_count && !err; i++)
        err = rx_init(net, i, &rx[i]);
    *net->shared = (struct vmxnet3_shared){
        .magic = MAGIC,
        .version = DRIVER_VERSION,
        .guest = GUEST_LINUX_64,
        .revisions = REVISION_1,
        .upt_versions = 1,
        .features = FEATURE_CHECKSUM | FEATURE_LRO,
        .driver = NO_DATA,
        .queues = hal_virt_to_phys(common->tx),
        .queues_len = (uint32_t)(net->tx_count * sizeof(common->tx[0]) +
                                 net->rx_count * sizeof(common->rx[0])),
        .mtu = MTU_DEFAULT,
        .pieces_max = RX_PIECES_MAX,
        .tx_count = (uint8_t)net->tx_count,
        .rx_count = (uint8_t)net->rx_count,
        .auto_mask = 1,
        .interrupt_count = 1,
        .filter = FILTER_OWN | FILTER_BROADCAST | FILTER_ALL_MULTI,
    };
    memset(net->shared->moderation, MODERATION_ADAPTIVE, INTERRUPTS_MAX);
    if (net->rx_count > 1)
        rss_init(net, &common->rss);
    return err;
}

/* A device of revision 1 only is an old one, or QEMU's, which receives by its first queue, and cuts
 * what its outside cannot cut into fragments of IPv4, whatever it was. */
static void describe(struct vmxnet3 *net, bool old)
{
    static const struct netdev_ops ops = {
        .transmit = vmxnet3_transmit,
        .set_filter = set_filter,
        .set_mtu = set_mtu,
    };
    struct netdev *dev = &net->dev;
    uint32_t low = get(net, REG_MAC_LOW), high = get(net, REG_MAC_HIGH);
    unsigned queues = MIN(hal_cpu_count(), VMXNET3_QUEUES_MAX);
    (void)strlcpy(dev->name, "eth%d", sizeof dev->name);
    dev->ops = &ops;
    dev->driver = net;
    dev->type = ARPHRD_ETHER;
    dev->flags = NETDEV_BROADCAST | NETDEV_MULTICAST;
    dev->features =
        NETDEV_TX_CHECKSUM | NETDEV_TX_PIECES | NETDEV_TX_TSO4 | (old ? 0 : NETDEV_TX_TSO6);
    dev->mtu = MTU_DEFAULT;
    dev->mtu_min = MTU_MIN;
    dev->mtu_max = MTU_MAX;
    for (unsigned i = 0; i < ETHER_ADDR_LEN; i++)
        dev->address[i] = (uint8_t)(i < 4 ? low >> 8 * i : high >> 8 * (i - 4));
    dev->queue_count = net->tx_count = queues;
    net->rx_count = 1;
    while (!old && net->rx_count * 2 <= queues) /* the device spreads by bits */
        net->rx_count *= 2;
}

static int open(struct vmxnet3 *net, unsigned function)
{
    pci_enable(function);
    net->rows = pci_map(function, 0, 0, BAR_SIZE);
    net->regs = pci_map(function, 1, 0, BAR_SIZE);
    if (!net->rows || !net->regs)
        return -ENODEV;
    uint32_t revisions = get(net, REG_REVISION);
    if (!(revisions & REVISION_1) || !(get(net, REG_UPT_VERSION) & 1))
        return -ENODEV;
    put(net, REG_REVISION, REVISION_1);
    put(net, REG_UPT_VERSION, 1);
    spin_init(&net->command_lock, RANK_DEVICE);
    work_init(&net->work, manage);
    (void)command(net, RESET);
    describe(net, revisions == REVISION_1);
    return queues_init(net);
}

static void release(struct vmxnet3 *net)
{
    for (unsigned i = 0; net->rx && net->tx && i < net->rx_count; i++) {
        for (unsigned id = 0; id < VMXNET3_COMPLETIONS; id++)
            pkt_free(net->rx[i].buffers[id]);
        if (net->rx[i].completions)
            page_put(page_of_virt(net->rx[i].ring[0].desc));
    }
    for (unsigned i = 0; net->rx && net->tx && i < net->tx_count; i++)
        if (net->tx[i].desc)
            page_put(page_of_virt(net->tx[i].desc));
    if (net->shared)
        page_put(page_of_virt(container_of(net->shared, struct common, shared)));
    kfree(net->rx);
    kfree(net->tx);
    kfree(net);
}

/* From here on packets come and go. */
static void go(struct vmxnet3 *net, unsigned function)
{
    int err = attach(net, function);
    if (err)
        log_warn("%s: no interrupt (%d)", net->dev.name, err);
    for (unsigned i = 0; i < net->rx_count; i++)
        net->rx[i].conf->interrupt = (uint8_t)net->rx[i].interrupt;
    for (unsigned i = 0; i < net->tx_count; i++)
        net->tx[i].conf->interrupt = (uint8_t)net->tx[i].interrupt;
    err = reset(net);
    if (err)
        log_warn("%s: the device does not start (%d)", net->dev.name, err);
    netdev_carrier(&net->dev, !err && has_link(net));
    vmxnet3_row(net, VMXNET3_IMR, net->event_interrupt, 0);
    log_info("%s: vmxnet3, %u and %u queues, %s", net->dev.name, net->rx_count, net->tx_count,
             net->intx ? "INTx" : "MSI-X");
}

void vmxnet3_start(void)
{
    int function;
    for (unsigned at = 0; (function = pci_function(at)) >= 0; at++) {
        if (pci_read((unsigned)function, PCI_VENDOR, 4) != DEVICE_ID)
            continue;
        struct vmxnet3 *net = kzalloc(sizeof(*net));
        if (!net)
            return;
        net->resetting = true;
        int err = open(net, (unsigned)function);
        if (!err)
            err = netdev_register(&net->dev);
        if (!err) {
            go(net, (unsigned)function);
            continue;
        }
        log_warn("a vmxnet3 device does not work (%d)", err);
        release(net);
    }
}
