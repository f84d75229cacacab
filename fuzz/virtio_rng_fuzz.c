/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/drv/virtio.c kernel/drv/virtio_mmio.c kernel/drv/virtio_pci.c kernel/drv/pci.c
   kernel/core/cmdline.c kernel/drv/virtio_rng.c kernel/lib/strutil.c kernel/mm/hotpages.c
   kernel/mm/page.c kernel/mm/buddy.c kernel/mm/pagemap.c kernel/mm/failpoint.c
   kernel/core/spinlock.c kernel/core/panic.c kernel/core/log.c kernel/core/percpu.c unit/fake_hal.c
   unit/fake_sched.c */
/* covers: kernel/drv/virtio.c kernel/drv/virtio_mmio.c kernel/drv/virtio_rng.c */
/* length: 256 */
/*
 * virtio_rng_fuzz.c - the entropy device's driver with a device that does what it likes
 * (hostile.h), asked by a generator that is or is not seeded already. It hands the device only
 * memory of its own, gives no more than is asked for, and keeps nothing if it does not work.
 */
#include "core/random.h"
#include "drv/virtio_rng.h"
#include "hostile.h"

static size_t (*source)(void *buf, size_t size);
static bool is_seeded;

/* ---- the device ---- */

static uint32_t device_register(size_t at)
{
    return at == 0x008 ? VIRTIO_RNG : at == 0x010 && feature_select ? 1 : 0;
}

/* All of the buffer, and more than there was room for. */
static void device_message(struct ring *r)
{
    int id = take(r);

    if (id < 0)
        return;
    struct desc *d = descriptor(r, (unsigned)id);
    memset(hal_phys_to_virt(d->addr), fuzz_u8(&in), d->len);
    give_back(r, (uint32_t)id, d->len + fuzz_u8(&in));
}

/* ---- the generator ---- */

bool random_seeded(void)
{
    if (!is_seeded)
        act_some();
    return is_seeded;
}
void random_source(size_t (*fn)(void *buf, size_t size))
{
    source = fn;
}

static void ask(void)
{
    uint8_t buffer[128];
    size_t size = fuzz_u8(&in) % sizeof(buffer);

    memset(buffer, 0x5a, sizeof(buffer));
    size_t n = source(buffer, size);
    FUZZ_TRACE("asked for %zu: %zu\n", size, n);
    FUZZ_CHECK(n <= size);
    for (size_t i = n; i < sizeof(buffer); i++)
        FUZZ_CHECK(buffer[i] == 0x5a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    device_power_on(data, size);
    source = NULL;
    is_seeded = fuzz_u8(&in) & 1;
    uint64_t pages = page_free_count();
    virtio_rng_start();
    FUZZ_CHECK(source || page_free_count() == pages);
    while (source && fuzz_more(&in))
        if (fuzz_u8(&in) & 1)
            ask();
        else
            act();
    return 0;
}
