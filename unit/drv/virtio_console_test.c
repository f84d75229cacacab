/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/drv/virtio.c kernel/drv/virtio_mmio.c kernel/drv/virtio_pci.c kernel/drv/pci.c
   kernel/core/cmdline.c kernel/drv/virtio_console.c kernel/drv/irq.c kernel/lib/conframe.c
   kernel/lib/strutil.c kernel/mm/hotpages.c kernel/mm/page.c kernel/mm/buddy.c kernel/mm/pagemap.c
   kernel/mm/failpoint.c kernel/core/spinlock.c kernel/core/panic.c kernel/core/log.c
   kernel/core/percpu.c unit/fake_hal.c unit/fake_sched.c
   */
/* include: unit/drv/include */
/*
 * virtio_console_test.c - the virtio transport and the console driver against a device model that
 * keeps to the specification, is slow, lacks things, or lies. Each test opens the driver afresh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drv/irq.h"
#include "drv/virtio.h"
#include "drv/virtio_console.h"
#include "fake.h"
#include "lib/errno.h"
#include "mm/kmalloc.h"
#include "sched/wait.h"

/* ---- the device ---- */

#define REGS 0x10000000u
#define IRQ 40u
#define QUEUES 6
enum { RX = 4, TX = 5, CONTROL_RX = 2, CONTROL_TX = 3, RX0 = 0, TX0 = 1 };

struct ring {
    uint32_t num, ready, desc, avail, used;
    uint16_t seen; /* buffers taken from the available ring */
};
static struct device {
    struct ring ring[QUEUES];
    uint32_t status, select, features[2], isr, version, id, offered, max_ports, queue_max;
    uint32_t feature_select;
    bool refuses, silent, slow, lies; /* at features, about ports, to send, about what it used */
    bool port_ready, port_open, delayed;
    bool eager;   /* takes room for input as soon as it is told of, without being notified */
    uint64_t has; /* buffers of RX that it holds */
    uint8_t got[200000];
    size_t got_len;
    unsigned notified[QUEUES];
} device;

static volatile uint8_t window[0x200];

static struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} * descriptor(struct ring *r, unsigned i)
{
    return (struct desc *)hal_phys_to_virt(r->desc) + i;
}

/* Take the next available descriptor of queue q; -1: none. */
static int take(unsigned q)
{
    struct ring *r = &device.ring[q];
    uint16_t *avail = hal_phys_to_virt(r->avail);

    if (!r->ready || avail[1] == r->seen)
        return -1;
    return avail[2 + r->seen++ % r->num];
}

static void give_back(unsigned q, uint32_t id, uint32_t len)
{
    struct ring *r = &device.ring[q];
    uint16_t *used = hal_phys_to_virt(r->used);
    uint32_t *element = (uint32_t *)(used + 2) + used[1] % r->num * 2;

    element[0] = device.lies ? 77 : id;
    element[1] = len;
    used[1]++;
    device.isr |= 1;
}

/* Whatever the index of the available ring covers is there, and was not given before. */
void device_looks(void)
{
    int id;

    if (!device.eager)
        return;
    while ((id = take(RX)) >= 0) {
        assert_true((unsigned)id < device.ring[RX].num);
        assert_int_equal(device.has & 1ull << id, 0);
        assert_int_equal(descriptor(&device.ring[RX], (unsigned)id)->flags, 2);
        device.has |= 1ull << id;
    }
}

/* As much of data as the driver has room for; returns what went in. */
static size_t send_in(unsigned q, const void *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        int id = take(q);
        struct desc *d;
        size_t n;

        if (id < 0)
            break;
        d = descriptor(&device.ring[q], (unsigned)id);
        assert_int_equal(d->flags, 2);
        n = MIN(len - done, (size_t)d->len);
        memcpy(hal_phys_to_virt(d->addr), (const uint8_t *)data + done, n);
        give_back(q, (uint32_t)id, (uint32_t)n);
        done += n;
    }
    return done;
}

static void control_in(uint32_t port, uint16_t event, uint16_t value)
{
    struct {
        uint32_t port;
        uint16_t event, value;
    } message = {port, event, value};

    assert_int_equal(send_in(CONTROL_RX, &message, sizeof(message)), sizeof(message));
}

static void control_out(const uint8_t *message)
{
    uint32_t port;
    uint16_t event;

    memcpy(&port, message, 4);
    memcpy(&event, message + 4, 2);
    if (event == 0 && !device.silent) { /* DEVICE_READY: these are the ports */
        control_in(0, 1, 1);
        control_in(1, 1, 1);
    } else if (event == 3) {
        assert_int_equal(port, 1);
        device.port_ready = true;
        control_in(1, 6, 1);
    } else if (event == 6) {
        assert_true(device.port_ready);
        device.port_open = true;
    }
}

static void transmit(unsigned q)
{
    int id;

    while ((id = take(q)) >= 0) {
        struct desc *d = descriptor(&device.ring[q], (unsigned)id);
        const uint8_t *data = hal_phys_to_virt(d->addr);

        assert_int_equal(d->flags, 0);
        if (q == CONTROL_TX) {
            control_out(data);
        } else {
            assert_true(q == TX0 || device.port_open);
            assert_true(device.got_len + d->len <= sizeof(device.got));
            memcpy(device.got + device.got_len, data, d->len);
            device.got_len += d->len;
        }
        give_back(q, (uint32_t)id, 0);
    }
}

uint32_t fake_mmio_read(const volatile void *reg)
{
    size_t at = (size_t)((const volatile uint8_t *)reg - window);

    switch (at) {
    case 0x000:
        return 0x74726976;
    case 0x004:
        return device.version;
    case 0x008:
        return device.id;
    case 0x010:
        return device.feature_select ? 1 : device.offered;
    case 0x034:
        return device.queue_max;
    case 0x044:
        return device.ring[device.select].ready;
    case 0x060:
        return device.isr;
    case 0x070:
        return device.status;
    case 0x104:
        return device.max_ports;
    default:
        fail_msg("read of register %#zx", at);
        return 0;
    }
}

void fake_mmio_write(volatile void *reg, uint32_t value)
{
    size_t at = (size_t)((volatile uint8_t *)reg - window);
    struct ring *r = &device.ring[device.select];

    switch (at) {
    case 0x014:
        device.feature_select = value;
        return;
    case 0x020:
        device.features[device.feature_select] = value;
        return;
    case 0x024:
        device.feature_select = value;
        return;
    case 0x030:
        assert_true(value < QUEUES);
        device.select = value;
        return;
    case 0x038:
        assert_true(value <= device.queue_max);
        r->num = value;
        return;
    case 0x044:
        r->ready = value;
        return;
    case 0x050:
        assert_true(device.status & 4);
        device.notified[value]++;
        if (value % 2 && device.slow && value != CONTROL_TX)
            device.delayed = true;
        else if (value % 2)
            transmit(value);
        return;
    case 0x064:
        device.isr &= ~value;
        return;
    case 0x070:
        if (value == 0)
            memset(device.ring, 0, sizeof(device.ring));
        device.status = device.refuses ? value & ~8u : value;
        return;
    case 0x080:
        r->desc = value;
        return;
    case 0x090:
        r->avail = value;
        return;
    case 0x0a0:
        r->used = value;
        return;
    default: /* the upper halves of addresses */
        assert_true(at == 0x084 || at == 0x094 || at == 0x0a4);
        assert_int_equal(value, 0);
    }
}

/* ---- the machine ---- */

static unsigned irq_on, console_calls, sleeps;
static int shutdown_signo;

bool hal_device(unsigned index, struct hal_device *out)
{
    *out = (struct hal_device){REGS + index * 0x200, 0x200, IRQ};
    return index < 2;
}

/* The first window is empty: a device of type 0 (4.2.2.2). */
volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    assert_int_equal(len, 0x200);
    device.id = pa == REGS ? 0 : VIRTIO_CONSOLE;
    return window;
}

int hal_irq_unmask(unsigned irq)
{
    assert_int_equal(irq, IRQ);
    irq_on++;
    return 0;
}

void kernel_console(void)
{
    console_calls++;
}

void kernel_shutdown_request(int signo)
{
    shutdown_signo = signo;
}

void waitq_init(struct waitq *queue)
{
    (void)queue;
}

void waitq_prepare(struct waitq *queue, struct waiter *w, bool interruptible)
{
    (void)queue;
    (void)w;
    assert_false(interruptible);
}

/* The device does what it put off while the writer sleeps. */
int waitq_sleep(struct waiter *w, uint64_t deadline_ns)
{
    (void)w;
    (void)deadline_ns;
    sleeps++;
    assert_true(device.delayed);
    device.delayed = false;
    transmit(TX);
    kernel_irq(IRQ);
    return 0;
}

void waitq_finish(struct waiter *w)
{
    (void)w;
}

bool waitq_wake_all(struct waitq *queue, uint32_t events)
{
    (void)queue;
    (void)events;
    return false;
}

/* ---- tests ---- */

static const struct stdio_device *console;

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(8 << 20);
    page_init();
    fake_console_state = (struct hal_console_info){.out_tty = true, .rows = 24, .cols = 80};
    memset(&device, 0, sizeof(device));
    device.version = 2;
    device.offered = 2;
    device.max_ports = 2;
    device.queue_max = 16;
    irq_on = console_calls = sleeps = 0;
    shutdown_signo = 0;
    return 0;
}

static void boot(void)
{
    console = virtio_console_open();
    assert_non_null(console);
    device.got_len = 0;
}

static void expect_got(const char *bytes, size_t len)
{
    assert_int_equal(device.got_len, len);
    assert_memory_equal(device.got, bytes, len);
    device.got_len = 0;
}

static void input(const char *bytes, size_t len)
{
    assert_int_equal(send_in(RX, bytes, len), len);
    kernel_irq(IRQ);
    assert_int_equal(device.isr, 0);
}

static void opens_its_port_and_says_ready(void **state)
{
    (void)state;
    console = virtio_console_open();
    assert_non_null(console);
    assert_true(device.port_open && irq_on == 1);
    assert_int_equal(device.features[0], 2);
    assert_int_equal(device.features[1], 1);
    assert_int_equal(device.status, 15);
    /* Told about room for input once the port was open. */
    assert_true(device.notified[RX] > 0);
    expect_got("\x10\x30\x10I16383;", 10);
}

static void a_device_with_one_port(void **state)
{
    (void)state;
    device.offered = 0;
    console = virtio_console_open();
    assert_non_null(console);
    assert_false(device.ring[CONTROL_RX].ready);
    expect_got("\x10\x30\x10I16383;", 10);
    assert_int_equal(console->write(HAL_STREAM_OUT, "hi", 2), 0);
    expect_got("\x10\x31hi", 4);
}

static void writes_much_and_exactly(void **state)
{
    static char text[100000], want[100002];

    (void)state;
    boot();
    memcpy(want, "\x10\x31", 2);
    for (size_t i = 0; i < sizeof(text); i++)
        want[2 + i] = text[i] = (char)('!' + i % 90);
    assert_int_equal(console->write(HAL_STREAM_OUT, text, sizeof(text)), 0);
    expect_got(want, sizeof(want));
    assert_int_equal(console->write(HAL_STREAM_ERR, "\x10", 1), 0);
    expect_got("\x10\x32\x10\x10", 4);
}

static void waits_for_a_slow_device(void **state)
{
    (void)state;
    boot();
    device.slow = true;
    assert_int_equal(console->write(HAL_STREAM_OUT, "slow", 4), 0);
    assert_int_equal(sleeps, 1);
    expect_got("\x10\x31slow", 6);
}

static void input_and_controls(void **state)
{
    char buf[64];
    struct hal_console_info info;

    (void)state;
    boot();
    assert_int_equal(console->read(buf, sizeof(buf)), 0);
    input("ab\x10\x10\x10W30,90;c", 13);
    assert_int_equal(console_calls, 1);
    assert_int_equal(console->read(buf, 3), 3);
    assert_memory_equal(buf, "ab\x10", 3);
    assert_int_equal(console->read(buf, sizeof(buf)), 1);
    assert_int_equal(buf[0], 'c');
    console->info(&info);
    assert_true(info.rows == 30 && info.cols == 90 && info.out_tty && !info.in_tty);
    input("x\x10S15;y", 7);
    assert_int_equal(shutdown_signo, 15);
    assert_int_equal(console->read(buf, sizeof(buf)), 2);
    input("z\x10", 2);
    input("Edropped", 8);
    assert_int_equal(console->read(buf, sizeof(buf)), 1);
    assert_int_equal(console->read(buf, sizeof(buf)), -EPIPE);
}

/* More than ring and pages hold: the sender waits, nothing is lost. Signals come through as long as
 * the ring has room for what stands before them. */
static void a_sender_that_is_faster_than_the_reader(void **state)
{
    static uint8_t data[150000], got[sizeof(data)];
    size_t sent = 0, n = 0;

    (void)state;
    boot();
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(0x20 + i % 211);
    while (n < sizeof(data)) {
        long some;

        sent += send_in(RX, data + sent, sizeof(data) - sent);
        kernel_irq(IRQ);
        assert_true(sent - n <= 16384 + 4 * 4096);
        some = console->read(got + n, 5000);
        assert_true(some > 0);
        n += (size_t)some;
    }
    assert_int_equal(sent, sizeof(data));
    assert_memory_equal(got, data, sizeof(data));
    assert_int_equal(console->read(got, 1), 0);
}

static void a_device_that_lies_is_given_up(void **state)
{
    char buf[8];

    (void)state;
    boot();
    device.lies = true;
    assert_int_equal(console->write(HAL_STREAM_OUT, "x", 1), -EPIPE);
    device.lies = false;
    assert_int_equal(console->write(HAL_STREAM_OUT, "x", 1), -EPIPE);
    /* Input with a length beyond its page is cut, with a wrong number ignored. */
    give_back(RX, (uint32_t)take(RX), 1u << 30);
    device.lies = true;
    give_back(RX, (uint32_t)take(RX), 8);
    device.lies = false;
    kernel_irq(IRQ);
    assert_int_equal(console->read(buf, sizeof(buf)), sizeof(buf));
}

/* A number just behind the last buffer, and one of a buffer that the driver has not handed out. */
static void used_numbers_are_looked_at(void **state)
{
    struct virtio_device dev;
    struct virtio_queue queue;
    unsigned at = 0;
    uint32_t len;

    (void)state;
    boot();
    give_back(RX, device.ring[RX].num, 8);
    kernel_irq(IRQ);
    assert_int_equal(console_calls, 0);
    input("ok", 2);
    assert_int_equal(console_calls, 1);
    assert_int_equal(virtio_find(&dev, VIRTIO_CONSOLE, &at), 0);
    memset(device.ring, 0, sizeof(device.ring));
    assert_int_equal(virtio_queue_init(&dev, &queue, TX0, 4), 0);
    virtio_queue_add(&queue, 2, FAKE_RAM_PA, 16, true);
    give_back(TX0, 1, 8);
    give_back(TX0, 2, 8);
    give_back(TX0, 2, 8);
    assert_int_equal(virtio_queue_take(&queue, &len), -EIO);
    assert_int_equal(virtio_queue_take(&queue, &len), 2);
    assert_int_equal(virtio_queue_take(&queue, &len), -EIO); /* it has come back already */
    assert_int_equal(virtio_queue_take(&queue, &len), -EAGAIN);
}

static void an_index_covers_what_is_there(void **state)
{
    char buf[8];

    (void)state;
    device.eager = true;
    boot();
    assert_int_equal(device.has, 15);
    for (unsigned i = 0; i < 20; i++) {
        unsigned id = i * 3 % 4;
        struct desc *d = descriptor(&device.ring[RX], id);

        memcpy(hal_phys_to_virt(d->addr), "go", 2);
        device.has &= ~(1ull << id);
        give_back(RX, id, 2);
        kernel_irq(IRQ);
        assert_int_equal(console->read(buf, sizeof(buf)), 2);
        assert_int_equal(device.has, 15);
    }
}

/* Not one byte behind a page is taken for input. */
static void used_lengths_are_cut(void **state)
{
    static char got[3 * 4096];
    long n;

    (void)state;
    boot();
    give_back(RX, (uint32_t)take(RX), 2 * 4096);
    kernel_irq(IRQ);
    n = console->read(got, sizeof(got));
    assert_int_equal(n, 4096);
    assert_int_equal(console->read(got, sizeof(got)), 0);
}

static void what_is_no_console_of_ours(void **state)
{
    (void)state;
    device.version = 1; /* the legacy interface */
    assert_null(virtio_console_open());
    device.version = 2;
    device.refuses = true;
    assert_null(virtio_console_open());
    assert_int_equal(device.status, 0);
    device.refuses = false;
    device.queue_max = 0;
    assert_null(virtio_console_open());
    device.queue_max = 16;
    for (unsigned n = 1; n <= 9; n++) { /* no memory for each of its pages and queues */
        alloc_fail_nth(n);
        assert_null(virtio_console_open());
        assert_int_equal(device.status, 0);
    }
    alloc_fail_nth(0);
    assert_non_null(virtio_console_open());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(opens_its_port_and_says_ready, set_up),
        cmocka_unit_test_setup(writes_much_and_exactly, set_up),
        cmocka_unit_test_setup(waits_for_a_slow_device, set_up),
        cmocka_unit_test_setup(input_and_controls, set_up),
        cmocka_unit_test_setup(a_sender_that_is_faster_than_the_reader, set_up),
        cmocka_unit_test_setup(a_device_that_lies_is_given_up, set_up),
        cmocka_unit_test_setup(used_numbers_are_looked_at, set_up),
        cmocka_unit_test_setup(used_lengths_are_cut, set_up),
        cmocka_unit_test_setup(an_index_covers_what_is_there, set_up),
        cmocka_unit_test_setup(what_is_no_console_of_ours, set_up),
        cmocka_unit_test_setup(a_device_with_one_port, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
