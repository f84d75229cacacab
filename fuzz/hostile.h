/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostile.h - a virtio device behind MMIO registers that does what the input says: registers that
 * say anything, buffers given back twice, never, or with lengths beyond them, used indices that
 * jump, rings written over, interrupts at any time. A target includes it, begins with
 * device_power_on, and defines what depends on the kind of device.
 */
#ifndef SELKIE_FUZZ_HOSTILE_H
#define SELKIE_FUZZ_HOSTILE_H

#include <string.h>

#include "drv/irq.h"
#include "drv/virtio.h"
#include "fake.h"
#include "fuzz.h"
#include "lib/errno.h"
#include "mm/page.h"

#define RAM ((size_t)4 << 20)
#define QUEUES 6

struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};
struct ring {
    uint32_t num, ready, desc, avail, used;
    uint16_t seen; /* buffers taken from the available ring */
};

static struct fuzz_input in;
static struct ring ring[QUEUES];
static uint32_t device_status, selected, feature_select;
static volatile uint8_t window[0x200];
static void (*handler)(void *arg);
static void *handler_arg;

/* The target's: a register that depends on the kind of device; an act of its own kind. */
static uint32_t device_register(size_t at);
static void device_message(struct ring *r);

/* ---- memory that the driver has named ---- */

static void *memory(uint64_t pa, size_t len)
{
    FUZZ_CHECK(pa >= FAKE_RAM_PA && pa < FAKE_RAM_PA + RAM && len <= FAKE_RAM_PA + RAM - pa);
    return hal_phys_to_virt(pa);
}

static struct desc *descriptor(const struct ring *r, unsigned id)
{
    struct desc *d = (struct desc *)memory(r->desc, r->num * sizeof(*d)) + id;

    memory(d->addr, d->len);
    FUZZ_CHECK(d->flags == 0 || d->flags == 2);
    return d;
}

/* ---- what the device does ---- */

static int take(struct ring *r)
{
    uint16_t *avail = memory(r->avail, 4 + 2 * r->num);

    if (avail[1] == r->seen)
        return -1;
    unsigned id = avail[2 + r->seen++ % r->num];
    FUZZ_CHECK(id < r->num);
    return (int)id;
}

static void give_back(struct ring *r, uint32_t id, uint32_t len)
{
    uint16_t *used = memory(r->used, 4 + 8 * r->num);
    uint32_t *element = (uint32_t *)(used + 2) + used[1] % r->num * 2;

    element[0] = id;
    element[1] = len;
    used[1]++;
}

/* As it should: everything that is there, filled with the input's bytes. */
static void serve(struct ring *r)
{
    for (int id; (id = take(r)) >= 0;) {
        struct desc *d = descriptor(r, (unsigned)id);
        uint32_t n = 0;

        if (d->flags & 2)
            for (uint32_t want = fuzz_u8(&in) % 32; n < want && n < d->len; n++)
                ((uint8_t *)hal_phys_to_virt(d->addr))[n] = fuzz_u8(&in);
        give_back(r, (uint32_t)id, n);
    }
}

static void act(void)
{
    uint8_t what = fuzz_u8(&in);
    struct ring *r = &ring[what / 8 % QUEUES];

    if (!r->ready || !r->num)
        return;
    FUZZ_TRACE("device: %u on queue %d\n", what % 8, (int)(r - ring));
    switch (what % 8) {
    case 0: /* any buffer, whether it has it or not */
        give_back(r, fuzz_u8(&in) % 6, fuzz_u16(&in));
        break;
    case 1:
        give_back(r, fuzz_u32(&in), fuzz_u32(&in));
        break;
    case 2:
        ((uint16_t *)memory(r->used, 4))[1] = fuzz_u16(&in);
        break;
    case 3:
        ((uint8_t *)memory(r->used, 4 + 8 * r->num))[fuzz_u8(&in) % (4 + 8 * r->num)] =
            fuzz_u8(&in);
        break;
    case 4:
        device_message(r);
        break;
    default:
        serve(r);
        break;
    }
}

static void act_some(void)
{
    for (unsigned n = fuzz_u8(&in) % 4; n > 0; n--)
        act();
}

/* ---- registers ---- */

static uint32_t honest(size_t at)
{
    switch (at) {
    case 0x000:
        return 0x74726976;
    case 0x004:
        return 2;
    case 0x034:
        return 16;
    case 0x044:
        return ring[selected % QUEUES].ready;
    case 0x060:
        return 1;
    case 0x070:
        return device_status;
    default:
        return device_register(at);
    }
}

uint32_t fake_mmio_read(const volatile void *reg)
{
    size_t at = (size_t)((const volatile uint8_t *)reg - window);

    FUZZ_CHECK(at < sizeof(window) && at % 4 == 0);
    uint8_t how = fuzz_u8(&in);
    uint32_t value = how < 224 ? honest(at) : how < 250 ? how & 7 : fuzz_u32(&in);
    FUZZ_TRACE("read %#zx: %#x\n", at, value);
    return value;
}

void fake_mmio_write(volatile void *reg, uint32_t value)
{
    size_t at = (size_t)((volatile uint8_t *)reg - window);
    struct ring *r = &ring[selected % QUEUES];

    FUZZ_CHECK(at < sizeof(window) && at % 4 == 0);
    FUZZ_TRACE("write %#zx: %#x\n", at, value);
    if (at == 0x014)
        feature_select = value;
    else if (at == 0x030)
        selected = value;
    else if (at == 0x038)
        r->num = value;
    else if (at == 0x044)
        r->ready = value;
    else if (at == 0x080)
        r->desc = value;
    else if (at == 0x090)
        r->avail = value;
    else if (at == 0x0a0)
        r->used = value;
    else if (at == 0x070)
        device_status = value;
    else if (at == 0x050)
        act_some();
    if (at == 0x070 && value == 0)
        memset(ring, 0, sizeof(ring));
    if (at == 0x050 && value < QUEUES && ring[value].ready && !(fuzz_u8(&in) & 1))
        serve(&ring[value]); /* mostly it does what it is there for */
}

/* ---- the machine ---- */

bool hal_device(unsigned index, struct hal_device *out)
{
    *out = (struct hal_device){0x10000000, sizeof(window), 40};
    return index == 0;
}
volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    return window;
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
    handler = fn;
    handler_arg = arg;
    return 0;
}

/* A machine with the device as it is after power-on; the input's first byte is the first that is
 * read. */
static void device_power_on(const uint8_t *data, size_t size)
{
    fake_hal_init(RAM);
    fake_clock_step_ns = 50000000;
    page_init();
    in = (struct fuzz_input){data, size, 0};
    memset(ring, 0, sizeof(ring));
    device_status = selected = feature_select = 0;
    handler = NULL;
}

#endif
