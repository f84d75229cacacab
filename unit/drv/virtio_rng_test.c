/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/drv/virtio.c kernel/drv/virtio_mmio.c kernel/drv/virtio_pci.c kernel/drv/pci.c
   kernel/core/cmdline.c kernel/drv/irq.c kernel/drv/virtio_rng.c kernel/lib/strutil.c
   kernel/mm/hotpages.c kernel/mm/page.c kernel/mm/buddy.c kernel/mm/pagemap.c kernel/mm/failpoint.c
   kernel/core/spinlock.c kernel/core/panic.c kernel/core/log.c kernel/core/percpu.c unit/fake_hal.c
   unit/fake_sched.c
   */
/* virtio_rng_test.c - the entropy device's driver and the generator it feeds (included, to see its
 * key), with a device that gives, gives late, gives little, nothing, or lies. */
#include <string.h>

#include <cmocka.h>

#include "drv/virtio.h"
#include "drv/virtio_rng.h"
#include "fake.h"
#include "lib/errno.h"
#include "mm/page.h"

#include "../../kernel/core/random.c"

#define REGS 0x10000000u

static struct device {
    uint32_t id, status, num, ready, desc, avail, used, feature_select, kicks;
    uint16_t seen;
    uint32_t answer; /* bytes it says that it has given; 0: it does not answer */
    bool lies, refuses;
    uint8_t value;
} device;
static volatile uint8_t window[0x200];

static void answer(void)
{
    uint16_t *avail = hal_phys_to_virt(device.avail), *used = hal_phys_to_virt(device.used);
    uint32_t *element = (uint32_t *)(used + 2) + used[1] % device.num * 2;
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
    } *desc = hal_phys_to_virt(device.desc);

    if (!device.ready || avail[1] == device.seen || device.answer == 0)
        return;
    device.seen++;
    assert_int_equal(desc[0].flags, 2);
    assert_int_equal(desc[0].len, 64);
    memset(hal_phys_to_virt(desc[0].addr), device.value, MIN(device.answer, 64u));
    element[0] = device.lies ? 9 : 0;
    element[1] = device.answer;
    used[1]++;
}

uint32_t fake_mmio_read(const volatile void *reg)
{
    switch ((size_t)((const volatile uint8_t *)reg - window)) {
    case 0x000:
        return 0x74726976;
    case 0x004:
        return 2;
    case 0x008:
        return device.id;
    case 0x010:
        return device.feature_select ? 1 : 0;
    case 0x034:
        return 8;
    case 0x044:
        return device.ready;
    case 0x070:
        return device.status;
    default:
        return 0;
    }
}

void fake_mmio_write(volatile void *reg, uint32_t value)
{
    switch ((size_t)((volatile uint8_t *)reg - window)) {
    case 0x014:
        device.feature_select = value;
        return;
    case 0x038:
        device.num = value;
        return;
    case 0x044:
        device.ready = value;
        return;
    case 0x050:
        device.kicks++;
        answer();
        return;
    case 0x070:
        device.status = device.refuses ? value & ~8u : value;
        return;
    case 0x080:
        device.desc = value;
        return;
    case 0x090:
        device.avail = value;
        return;
    case 0x0a0:
        device.used = value;
        return;
    default:
        return;
    }
}

bool hal_device(unsigned index, struct hal_device *out)
{
    *out = (struct hal_device){REGS, sizeof(window), 40};
    return index < 1;
}

volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    assert_true(pa == REGS && len == sizeof(window));
    return window;
}

int hal_irq_unmask(unsigned irq)
{
    (void)irq;
    fail_msg("the driver has no use for an interrupt");
    return -ENODEV;
}

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(8 << 20);
    page_init();
    memset(&device, 0, sizeof(device));
    device.id = 4;
    device.answer = 64;
    device.value = 0x5a;
    memset(random_key, 0, sizeof random_key);
    source = NULL;
    seeded = false;
    fake_entropy_error = -ENODATA;
    random_init();
    assert_false(random_seeded());
    return 0;
}

static void a_device_seeds_the_generator(void **state)
{
    (void)state;
    uint32_t key[KEY_WORDS];
    memcpy(key, random_key, sizeof key);
    virtio_rng_start();
    assert_true(random_seeded());
    assert_memory_not_equal(key, random_key, sizeof key);
    assert_int_equal(device.kicks, 2); /* the buffer is the device's again */
    for (int i = 0; i < 3; i++) {
        unsigned before = device.kicks;
        char out[4096];
        for (unsigned n = 0; n <= RESEED_BYTES / sizeof out; n++)
            random_bytes(out, sizeof out);
        assert_true(device.kicks > before); /* taken again, whenever it is time */
    }
}

/* What it gives makes a difference: two devices, two states. */
static void what_it_gives_matters(void **state)
{
    uint32_t key[KEY_WORDS];
    virtio_rng_start();
    memcpy(key, random_key, sizeof key);
    set_up(state);
    device.value = 0xa5;
    virtio_rng_start();
    assert_memory_not_equal(key, random_key, sizeof key);
}

static void a_slow_device_is_not_waited_for(void **state)
{
    (void)state;
    fake_entropy_error = 0; /* the machine has another source */
    random_init();
    device.answer = 0;
    uint64_t start = fake_now_ns;
    virtio_rng_start();
    assert_int_equal(fake_now_ns, start);
    (void)random_u64();
    assert_int_equal(device.kicks, 1);
    device.answer = 64;
    answer();
    char out[4096];
    for (unsigned n = 0; n <= RESEED_BYTES / sizeof out; n++)
        random_bytes(out, sizeof out);
    assert_int_equal(device.kicks, 2);
}

static void too_little_is_no_seed(void **state)
{
    (void)state;
    device.answer = 31;
    virtio_rng_start();
    assert_false(random_seeded());
    device.answer = 0;
}

static void a_device_that_lies_is_left_alone(void **state)
{
    (void)state;
    device.lies = true;
    virtio_rng_start();
    assert_false(random_seeded());
    unsigned kicks = device.kicks;
    char out[4096];
    for (unsigned n = 0; n <= 2 * RESEED_BYTES / sizeof out; n++)
        random_bytes(out, sizeof out);
    assert_int_equal(device.kicks, kicks);
    set_up(state);
    device.answer = UINT32_MAX; /* more than there was room for */
    virtio_rng_start();
    assert_true(random_seeded());
}

static void no_device_no_harm(void **state)
{
    (void)state;
    device.id = 3;
    virtio_rng_start();
    assert_false(random_seeded());
    assert_int_equal(device.status, 0);
    set_up(state);
    device.refuses = true;
    uint64_t pages = page_free_count();
    virtio_rng_start();
    assert_false(random_seeded());
    assert_int_equal(page_free_count(), pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_device_seeds_the_generator, set_up),
        cmocka_unit_test_setup(what_it_gives_matters, set_up),
        cmocka_unit_test_setup(a_slow_device_is_not_waited_for, set_up),
        cmocka_unit_test_setup(too_little_is_no_seed, set_up),
        cmocka_unit_test_setup(a_device_that_lies_is_left_alone, set_up),
        cmocka_unit_test_setup(no_device_no_harm, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
