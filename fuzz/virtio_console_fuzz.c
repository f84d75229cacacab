/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/drv/virtio.c kernel/drv/virtio_mmio.c kernel/drv/virtio_pci.c kernel/drv/pci.c
   kernel/core/cmdline.c kernel/drv/virtio_console.c kernel/lib/conframe.c kernel/lib/strutil.c
   kernel/mm/hotpages.c kernel/mm/page.c kernel/mm/buddy.c kernel/mm/pagemap.c kernel/mm/failpoint.c
   kernel/core/spinlock.c kernel/core/panic.c kernel/core/log.c kernel/core/percpu.c unit/fake_hal.c
   unit/fake_sched.c */
/* covers: kernel/drv/virtio.c kernel/drv/virtio_mmio.c kernel/drv/virtio_console.c
 * kernel/lib/conframe.c */
/* length: 512 */
/*
 * virtio_console_fuzz.c - the virtio transport and the console driver with a device that does what
 * it likes: registers that say anything, buffers given back twice, never, or with lengths beyond
 * them, used indices that jump, rings written over, interrupts at any time. What it cannot do is
 * hang a writer for ever, because then no program would: while one sleeps, it gives something back.
 *
 * Whatever it does, the driver hands it only memory of its own, answers with 0 or an errno, and
 * never gives out more than was asked for.
 */
#include <string.h>

#include "drv/irq.h"
#include "drv/virtio.h"
#include "drv/virtio_console.h"
#include "fake.h"
#include "fuzz.h"
#include "lib/errno.h"
#include "mm/page.h"
#include "sched/wait.h"

#define RAM ((size_t)4 << 20)
#define QUEUES 6
#define CONTROL_RX 2u

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
static uint32_t status, selected, feature_select;
static volatile uint8_t window[0x200];
static void (*handler)(void *arg);
static void *handler_arg;

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

static void control(struct ring *r)
{
    struct {
        uint32_t port;
        uint16_t event, value;
    } message = {fuzz_u8(&in) % 3, fuzz_u8(&in) % 8, 1};
    int id = take(r);

    if (id < 0 || descriptor(r, (unsigned)id)->len < sizeof(message))
        return;
    memcpy(hal_phys_to_virt(descriptor(r, (unsigned)id)->addr), &message, sizeof(message));
    give_back(r, (uint32_t)id, fuzz_u8(&in) % 16);
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
        control(ring[CONTROL_RX].ready && ring[CONTROL_RX].num ? &ring[CONTROL_RX] : r);
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

static void interrupt(void)
{
    if (!handler)
        return;
    fake_irqs_off = true;
    handler(handler_arg);
    fake_irqs_off = false;
}

/* ---- registers ---- */

static uint32_t honest(size_t at)
{
    switch (at) {
    case 0x000:
        return 0x74726976;
    case 0x004:
        return 2;
    case 0x008:
        return VIRTIO_CONSOLE;
    case 0x010:
        return feature_select ? 1 : 2;
    case 0x034:
        return 16;
    case 0x044:
        return ring[selected % QUEUES].ready;
    case 0x060:
        return 1;
    case 0x070:
        return status;
    case 0x104:
        return 2;
    default:
        return 0;
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
        status = value;
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
void kernel_console(void)
{
}
void kernel_shutdown_request(int signo)
{
    FUZZ_CHECK(signo > 0 && signo <= 64);
}
void waitq_init(struct waitq *queue)
{
}
void waitq_prepare(struct waitq *queue, struct waiter *w, bool interruptible)
{
}
int waitq_sleep(struct waiter *w, uint64_t deadline_ns)
{
    act_some();
    for (unsigned q = 1; q < QUEUES; q += 2) /* something comes back at last */
        if (ring[q].ready && ring[q].num)
            give_back(&ring[q], fuzz_u8(&in) & 1, 0);
    interrupt();
    return 0;
}
void waitq_finish(struct waiter *w)
{
}
bool waitq_wake_all(struct waitq *queue, uint32_t events)
{
    return false;
}

/* ---- */

static void use(const struct stdio_device *console)
{
    static char buffer[PAGE_SIZE * 10];
    struct hal_console_info info;
    uint8_t what = fuzz_u8(&in);
    size_t len = fuzz_u16(&in) % sizeof(buffer);
    long n;

    switch (what % 8) {
    case 0:
    case 1:
        n = console->write((enum hal_stream)(what / 8 % HAL_STREAM_COUNT), buffer, len);
        FUZZ_TRACE("write of %zu: %ld\n", len, n);
        FUZZ_CHECK(n == 0 || n == -EPIPE);
        break;
    case 2:
    case 3:
        n = console->read(buffer, len);
        FUZZ_TRACE("read of %zu: %ld\n", len, n);
        FUZZ_CHECK(n == -EPIPE || (n >= 0 && (size_t)n <= len));
        break;
    case 4:
        console->info(&info);
        break;
    case 5:
        interrupt();
        break;
    default:
        act();
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fake_hal_init(RAM);
    fake_clock_step_ns = 50000000;
    page_init();
    in = (struct fuzz_input){data, size, 0};
    memset(ring, 0, sizeof(ring));
    status = selected = feature_select = 0;
    handler = NULL;
    const struct stdio_device *console = virtio_console_open();
    while (console && fuzz_more(&in))
        use(console);
    return 0;
}
