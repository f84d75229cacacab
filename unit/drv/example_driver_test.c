/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/drv/segment.c kernel/drv/gro.c kernel/drv/loopback.c
   kernel/drv/netdev.c kernel/lib/checksum.c kernel/lib/format.c kernel/lib/strbuf.c */
/* example_driver_test.c - the example of docs/netdriver.md does what the page says. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "example_driver.h"
#include "fake.h"

static volatile uint8_t window[0x40];
static struct {
    uint32_t place[2], length, interrupts, said; /* said: the length it claims; 0: the truth */
    unsigned frames, room, sent, discarded;
    uint8_t last[BOX_FRAME_MAX];
} device;
static void (*handler)(void *arg);
static void *handler_arg;
static struct work *queued;
static unsigned received;

uint32_t fake_mmio_read(const volatile void *reg)
{
    switch ((size_t)((const volatile uint8_t *)reg - window)) {
    case BOX_MAGIC:
        return BOX_IS_ONE;
    case BOX_ADDRESS:
        return 0x00000002;
    case BOX_ADDRESS + 4:
        return 0x0500;
    case BOX_STATUS:
        return (device.frames ? BOX_FRAME : 0) | (device.room ? BOX_ROOM : 0);
    case BOX_LENGTH:
        return device.said ? device.said : 60;
    default:
        return 0;
    }
}

void fake_mmio_write(volatile void *reg, uint32_t value)
{
    switch ((size_t)((volatile uint8_t *)reg - window)) {
    case BOX_INTERRUPTS:
        device.interrupts = value;
        return;
    case BOX_PLACE:
        device.place[0] = value;
        return;
    case BOX_PLACE + 4:
        device.place[1] = value;
        return;
    case BOX_LENGTH:
        device.length = value;
        return;
    case BOX_COMMAND:
        break;
    default:
        return;
    }
    void *place = hal_phys_to_virt(device.place[0] | (uint64_t)device.place[1] << 32);
    if (value == BOX_SEND) {
        assert_true(device.room-- > 0);
        memcpy(device.last, place, device.length);
        device.sent++;
        return;
    }
    assert_true(device.frames-- > 0);
    if (value == BOX_RECEIVE)
        memset(place, 0x22, 60);
    else
        device.discarded++;
}

volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    (void)pa, (void)len;
    return window;
}
int irq_attach(unsigned irq, void (*fn)(void *arg), void *arg)
{
    (void)irq;
    handler = fn;
    handler_arg = arg;
    return 0;
}
void work_init(struct work *work, void (*fn)(struct work *work))
{
    *work = (struct work){.fn = fn};
}
bool work_queue(struct work *work)
{
    if (work->queued)
        return false;
    work->queued = true;
    work->next = queued;
    queued = work;
    return true;
}
static unsigned run_work(void)
{
    unsigned count = 0;
    for (; queued; count++) {
        struct work *work = queued;
        queued = work->next;
        work->queued = false;
        work->fn(work);
    }
    return count;
}
static void interrupt(uint32_t why)
{
    if (device.interrupts & why)
        handler(handler_arg);
}
static void input(struct pkt *pkt)
{
    assert_int_equal(pkt->total, 60);
    assert_int_equal(pkt->data[59], 0x22);
    pkt_free(pkt);
    received++;
}
static struct netdev *box(void)
{
    struct netdev *dev = netdev_first();
    while (dev->next)
        dev = dev->next;
    return dev;
}

static int set_up(void **state)
{
    static struct hal_device where = {0x1000, sizeof(window), 5};
    (void)state;
    static bool once;
    memset(&device, 0, sizeof(device));
    device.room = 1000;
    received = 0;
    netdev_input = input;
    if (once)
        return 0;
    once = true;
    fake_hal_init(16u << 20);
    page_init();
    kmalloc_init();
    pkt_init();
    assert_int_equal(box_start(&where), 0);
    return netdev_set_up(box(), true);
}

static struct pkt *frame(uint8_t last)
{
    struct pkt *pkt = pkt_alloc(PKT_HEADROOM, 60, ALLOC_DEFAULT);
    memset(pkt_put(pkt, 60), last, 60);
    return pkt;
}

static void frames_come_in_turns(void **state)
{
    (void)state;
    device.interrupts = BOX_FRAME;
    device.frames = 150;
    interrupt(BOX_FRAME);
    assert_int_equal(device.interrupts, 0);
    assert_int_equal(run_work(), 3);
    assert_int_equal(received, 150);
    assert_int_equal(device.interrupts, BOX_FRAME);
    assert_int_equal(box()->address[0], 2);
    assert_int_equal(box()->address[5], 5);
}

static void what_it_says_is_checked(void **state)
{
    struct netdev_stats stats;
    (void)state;
    device.interrupts = BOX_FRAME;
    for (unsigned i = 0; i < 2; i++) {
        device.frames = 1;
        device.said = i ? 13 : UINT32_MAX;
        interrupt(BOX_FRAME);
        run_work();
    }
    netdev_get_stats(box(), &stats);
    assert_int_equal(stats.rx_errors, 2);
    assert_int_equal(received, 0);
    device.frames = 1;
    alloc_fail_nth(1);
    interrupt(BOX_FRAME);
    run_work();
    alloc_fail_nth(0);
    assert_int_equal(device.discarded, 1);
}

static void a_full_device_is_waited_for(void **state)
{
    (void)state;
    device.room = 3;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(netdev_send(box(), frame((uint8_t)i)), 0);
    assert_int_equal(device.sent, 3);
    assert_int_equal(device.last[0], 2);
    assert_true(device.interrupts & BOX_ROOM);
    device.room = 100;
    interrupt(BOX_ROOM);
    run_work();
    assert_int_equal(device.sent, 10);
    assert_int_equal(device.last[0], 9);
    assert_int_equal(device.interrupts, BOX_FRAME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(frames_come_in_turns, set_up),
        cmocka_unit_test_setup(what_it_says_is_checked, set_up),
        cmocka_unit_test_setup(a_full_device_is_waited_for, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
