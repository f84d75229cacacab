/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake_net.h - a virtio network device behind an MMIO window, for the test of its driver and for
 * the fuzzer: registers that keep to the specification, rings that whoever includes this writes.
 * Also the machine around it: the work that the driver queues is run by fake_work_run.
 */
#ifndef SELKIE_UNIT_DRV_FAKE_NET_H
#define SELKIE_UNIT_DRV_FAKE_NET_H

#include <string.h>

#include "drv/irq.h"
#include "drv/virtio_net.h"
#include "fake.h"
#include "fake_work.h"
#include "lib/errno.h"

#define NET_REGS 0x10000000u
#define NET_QUEUES 9u /* four pairs, control */

struct net_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};
struct net_ring {
    uint32_t num, ready;
    uint64_t desc, avail, used;
    uint16_t seen, given; /* taken from the available ring; put into the used ring */
    uint16_t looked;      /* `given` when it was last looked whether to interrupt */
};
static struct net_device {
    struct net_ring ring[NET_QUEUES];
    uint32_t status, select, feature_select, isr, queue_max, notified[NET_QUEUES];
    uint64_t offered, agreed;
    uint8_t config[16];
    bool refuses; /* what was agreed on */
    void (*on_notify)(unsigned queue);
} net_device;
static volatile uint8_t net_window[0x200];
static void (*net_handler)(void *arg);
static void *net_handler_arg;

/* ---- rings ---- */

static inline uint16_t *net_avail(const struct net_ring *r)
{
    return hal_phys_to_virt(r->avail);
}
static inline uint16_t *net_used(const struct net_ring *r)
{
    return hal_phys_to_virt(r->used);
}
static inline struct net_desc *net_desc(const struct net_ring *r, unsigned i)
{
    return (struct net_desc *)hal_phys_to_virt(r->desc) + i;
}

/* The next buffer that the driver has given; -1: none. */
static inline int net_take(unsigned q)
{
    struct net_ring *r = &net_device.ring[q];

    if (!r->ready || net_avail(r)[1] == r->seen)
        return -1;
    return net_avail(r)[2 + r->seen++ % r->num];
}

static inline void net_give(unsigned q, uint32_t id, uint32_t len)
{
    struct net_ring *r = &net_device.ring[q];
    uint32_t element[2] = {id, len};

    memcpy(net_used(r) + 2 + 4 * (r->given % r->num), element, sizeof(element));
    net_used(r)[1] = ++r->given;
    net_device.isr |= 1;
}

/* Be told of the next buffer. */
static inline void net_want(unsigned q)
{
    struct net_ring *r = &net_device.ring[q];

    net_used(r)[2 + 4 * r->num] = r->seen;
}

/* Does the driver want to be told of what was given? (2.7.10) */
static inline bool net_irq_wanted(unsigned q)
{
    struct net_ring *r = &net_device.ring[q];

    uint16_t since = (uint16_t)(r->given - r->looked);

    r->looked = r->given;
    if (net_device.agreed & VIRTIO_EVENT_INDEX)
        return (uint16_t)(r->given - 1 - net_avail(r)[2 + r->num]) < since;
    return !(net_avail(r)[0] & 1);
}

static inline void net_interrupt(void)
{
    if (net_handler)
        net_handler(net_handler_arg);
}

/* ---- registers (4.2.2) ---- */

uint32_t fake_mmio_read(const volatile void *reg)
{
    size_t at = (size_t)((const volatile uint8_t *)reg - net_window);
    const struct net_ring *r = &net_device.ring[net_device.select % NET_QUEUES];
    uint32_t value = 0;

    if (at >= 0x100) {
        memcpy(&value, net_device.config + (at - 0x100) % 12, 4);
        return value;
    }
    switch (at) {
    case 0x000:
        return 0x74726976;
    case 0x004:
        return 2;
    case 0x008:
        return VIRTIO_NET;
    case 0x010:
        return (uint32_t)(net_device.offered >> (net_device.feature_select ? 32 : 0));
    case 0x034:
        return net_device.select < NET_QUEUES ? net_device.queue_max : 0;
    case 0x044:
        return r->ready;
    case 0x060:
        return net_device.isr;
    case 0x070:
        return net_device.status;
    default:
        return 0;
    }
}

static inline void net_half(uint64_t *word, bool high, uint32_t value)
{
    unsigned shift = high ? 32 : 0;

    *word = (*word & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
}

static inline void net_ring_write(struct net_ring *r, size_t at, uint32_t value)
{
    switch (at & ~4ul) {
    case 0x080:
        net_half(&r->desc, at & 4, value);
        return;
    case 0x090:
        net_half(&r->avail, at & 4, value);
        return;
    case 0x0a0:
        net_half(&r->used, at & 4, value);
        return;
    default:
        break;
    }
    if (at == 0x038)
        r->num = value;
    if (at == 0x044)
        r->ready = value;
}

void fake_mmio_write(volatile void *reg, uint32_t value)
{
    size_t at = (size_t)((volatile uint8_t *)reg - net_window);

    switch (at) {
    case 0x014:
    case 0x024:
        net_device.feature_select = value;
        return;
    case 0x020:
        net_half(&net_device.agreed, net_device.feature_select, value);
        return;
    case 0x030:
        net_device.select = value;
        return;
    case 0x050:
        if (value < NET_QUEUES) {
            net_device.notified[value]++;
            if (net_device.on_notify)
                net_device.on_notify(value);
        }
        return;
    case 0x064:
        net_device.isr &= ~value;
        return;
    case 0x070:
        net_device.status = net_device.refuses ? value & ~8u : value;
        if (value == 0)
            memset(net_device.ring, 0, sizeof(net_device.ring));
        return;
    default:
        if (net_device.select < NET_QUEUES)
            net_ring_write(&net_device.ring[net_device.select], at, value);
    }
}

/* ---- the machine ---- */

bool hal_device(unsigned index, struct hal_device *out)
{
    *out = (struct hal_device){NET_REGS, sizeof(net_window), 40};
    return index == 0;
}
volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    return pa == NET_REGS && len == sizeof(net_window) ? net_window : NULL;
}
int irq_attach_msi(unsigned irq, void (*fn)(void *arg), void *arg)
{
    (void)irq;
    (void)fn;
    (void)arg;
    return -ENODEV;
}
int irq_attach(unsigned irq, void (*fn)(void *arg), void *arg)
{
    (void)irq;
    net_handler = fn;
    net_handler_arg = arg;
    return 0;
}

/* The driver's one timer. */
static struct timer *net_timer;
void timer_setup(struct timer *timer, void (*fn)(struct timer *))
{
    *timer = (struct timer){.fn = fn};
}
void timer_arm(struct timer *timer, uint64_t deadline_ns)
{
    timer->deadline_ns = deadline_ns;
    net_timer = timer;
}
uint64_t clock_mono_ns(void)
{
    return fake_now_ns;
}
/* Time goes on until it fires. False: it is not armed. */
static inline bool net_fire(void)
{
    struct timer *timer = net_timer;

    if (!timer)
        return false;
    net_timer = NULL;
    if (fake_now_ns < timer->deadline_ns)
        fake_now_ns = timer->deadline_ns;
    timer->fn(timer);
    return true;
}

/* Before each test: no device has been found yet. */
static inline void net_machine_init(uint64_t offered)
{
    net_device = (struct net_device){.offered = offered, .queue_max = 1024};
    memcpy(net_device.config, (const uint8_t[]){2, 0, 0, 0, 0, 7, 1, 0, 1, 0}, 10);
    net_handler = NULL;
    net_timer = NULL;
    fake_work_forget();
}

#endif
