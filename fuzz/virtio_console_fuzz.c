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
#include "drv/virtio_console.h"
#include "hostile.h"
#include "sched/wait.h"

#define CONTROL_RX 2u

/* ---- the device ---- */

static uint32_t device_register(size_t at)
{
    switch (at) {
    case 0x008:
        return VIRTIO_CONSOLE;
    case 0x010:
        return feature_select ? 1 : 2;
    case 0x104:
        return 2;
    default:
        return 0;
    }
}

static void device_message(struct ring *r)
{
    struct {
        uint32_t port;
        uint16_t event, value;
    } message = {fuzz_u8(&in) % 3, fuzz_u8(&in) % 8, 1};

    if (ring[CONTROL_RX].ready && ring[CONTROL_RX].num)
        r = &ring[CONTROL_RX];
    int id = take(r);

    if (id < 0 || descriptor(r, (unsigned)id)->len < sizeof(message))
        return;
    memcpy(hal_phys_to_virt(descriptor(r, (unsigned)id)->addr), &message, sizeof(message));
    give_back(r, (uint32_t)id, fuzz_u8(&in) % 16);
}

/* ---- the machine ---- */

static void interrupt(void)
{
    if (!handler)
        return;
    fake_irqs_off = true;
    handler(handler_arg);
    fake_irqs_off = false;
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
    device_power_on(data, size);
    const struct stdio_device *console = virtio_console_open();
    while (console && fuzz_more(&in))
        use(console);
    return 0;
}
