/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/drv/pci.c kernel/core/cmdline.c kernel/lib/strutil.c kernel/mm/hotpages.c
   kernel/mm/page.c kernel/mm/buddy.c kernel/mm/pagemap.c kernel/mm/failpoint.c
   kernel/core/spinlock.c kernel/core/panic.c kernel/core/log.c kernel/core/percpu.c unit/fake_hal.c
   unit/fake_sched.c */
/* pci_test.c - finding functions, their capabilities and registers, MSI-X, on a bus made of words.
 */
#include <string.h>

#include <cmocka.h>

#include "drv/irq.h"
#include "drv/pci.h"
#include "fake.h"
#include "lib/errno.h"

#define FUNCTIONS 512
static uint32_t space[FUNCTIONS][64];
static volatile uint8_t window[0x100];
static paddr_t mapped;
static unsigned attached;

static uint32_t bus_read(unsigned function, unsigned offset)
{
    assert_int_equal(offset % 4, 0);
    return function < FUNCTIONS && offset < 256 ? space[function][offset / 4] : UINT32_MAX;
}

static void bus_write(unsigned function, unsigned offset, uint32_t value)
{
    assert_true(function < FUNCTIONS && offset < 256);
    space[function][offset / 4] = value;
}

volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    assert_true(len <= sizeof(window));
    mapped = pa;
    return window;
}

uint32_t fake_mmio_read(const volatile void *reg)
{
    uint32_t value;
    memcpy(&value, (const uint8_t *)reg, 4);
    return value;
}
void fake_mmio_write(volatile void *reg, uint32_t value)
{
    memcpy((uint8_t *)reg, &value, 4);
}
int irq_attach_msi(unsigned irq, void (*fn)(void *arg), void *arg)
{
    (void)fn, (void)arg;
    attached = irq;
    return 0;
}

static uint32_t command_when_attached;
int irq_attach(unsigned irq, void (*fn)(void *arg), void *arg)
{
    command_when_attached = space[1 << 3][1];
    return irq_attach_msi(irq, fn, arg);
}

static void exist(unsigned function, uint32_t type)
{
    memset(space[function], 0, sizeof(space[function]));
    space[function][0] = 0x10001af4;
    space[function][0x0c / 4] = type << 16;
}

static int set_up(void **state)
{
    (void)state;
    fake_set_cmdline("");
    memset(space, 0xff, sizeof(space));
    fake_pci_read = bus_read;
    fake_pci_write = bus_write;
    exist(1 << 3, 0);
    exist(2 << 3, 0x80);
    exist(2 << 3 | 3, 0x80);
    exist(3 << 3, 1); /* a bridge to bus 1 */
    space[3 << 3][0x18 / 4] = 0x00010100;
    exist(1 << 8, 0);
    return 0;
}

static void all_functions_are_found(void **state)
{
    (void)state;
    exist(1 << 3 | 5, 0); /* of a device that says it has one: an echo */
    assert_int_equal(pci_function(0), 1 << 3);
    assert_int_equal(pci_function(1), 2 << 3);
    assert_int_equal(pci_function(2), 2 << 3 | 3);
    assert_int_equal(pci_function(3), 3 << 3);
    assert_int_equal(pci_function(4), 1 << 8);
    assert_int_equal(pci_function(5), -ENOENT);
    fake_pci_read = NULL;
    assert_int_equal(pci_function(0), -ENOENT);
}

static void capabilities_are_a_chain(void **state)
{
    unsigned f = 1 << 3;
    (void)state;
    assert_int_equal(pci_capability(f, 9, 0), 0); /* the status says that there are none */
    space[f][1] = 0x10u << 16;
    space[f][0x34 / 4] = 0x40;
    space[f][0x40 / 4] = 0x5009;
    space[f][0x50 / 4] = 0x6011;
    space[f][0x60 / 4] = 0x4009; /* back to the first: a ring */
    assert_int_equal(pci_capability(f, 9, 0), 0x40);
    assert_int_equal(pci_capability(f, 9, 0x40), 0x60);
    assert_int_equal(pci_capability(f, 0x11, 0), 0x50);
    assert_int_equal(pci_capability(f, 5, 0), 0);
    space[f][0x34 / 4] = 0x10; /* into the header */
    assert_int_equal(pci_capability(f, 9, 0), 0);
}

static void addresses_are_32_or_64_bits(void **state)
{
    unsigned f = 1 << 3;
    (void)state;
    space[f][0x10 / 4] = 0xfebc0008;
    space[f][0x14 / 4] = 0xc001;
    space[f][0x18 / 4] = 0x8000000c;
    space[f][0x1c / 4] = 0x12;
    assert_non_null(pci_map(f, 0, 0x1000, 16));
    assert_int_equal(mapped, 0xfebc1000);
    assert_non_null(pci_map(f, 2, 0x20, 16));
    assert_int_equal(mapped, 0x1280000020);
    assert_null(pci_map(f, 1, 0, 16)); /* ports */
    assert_null(pci_map(f, 4, 0, 16)); /* not assigned */
    assert_null(pci_map(f, 6, 0, 16));
    assert_null(pci_map(f, 255, 0, 16));
    assert_null(pci_map(f, 0, 0, 0));
    assert_null(pci_map(f, 2, UINT64_MAX, 16));
}

static void commands_leave_the_status_alone(void **state)
{
    unsigned f = 1 << 3;
    (void)state;
    space[f][1] = 0xf9000001; /* writing these bits as 1 clears them */
    pci_enable(f);
    assert_int_equal(space[f][1], 0x0407);
}

/* Registers that keep what they are given but for these low bits. */
static uint32_t bar_size[6];
static void sized_write(unsigned function, unsigned offset, uint32_t value)
{
    unsigned bar = (offset - 0x10) / 4;
    if (bar < 6)
        value = (value & ~(bar_size[bar] - 1)) | (space[function][offset / 4] & 15);
    space[function][offset / 4] = value;
}

static void addresses_are_given_where_there_is_no_firmware(void **state)
{
    unsigned f = 1 << 3;
    (void)state;
    fake_pci_write = sized_write;
    memcpy(bar_size, (uint32_t[6]){0x20, 0x1000, 0x4000, 1, 0x80000000, 0x1000}, sizeof bar_size);
    space[f][0x10 / 4] = 1;          /* ports */
    space[f][0x14 / 4] = 0;          /* 32 bits */
    space[f][0x18 / 4] = 0xc;        /* 64 bits, prefetchable */
    space[f][0x20 / 4] = 0;          /* more than there is */
    space[f][0x24 / 4] = 0xfe000000; /* has one */
    pci_enable(f);
    assert_int_equal(space[f][0x14 / 4], 0);
    fake_pci_window_size = 0x100000;
    pci_enable(f);
    assert_int_equal(space[f][0x10 / 4], 1);
    assert_int_equal(space[f][0x14 / 4], 0x10000000);
    assert_int_equal(space[f][0x18 / 4], 0x1000400c);
    assert_int_equal(space[f][0x1c / 4], 0);
    assert_int_equal(space[f][0x20 / 4], 0);
    assert_int_equal(space[f][0x24 / 4], 0xfe000000);
    assert_non_null(pci_map(f, 1, 0x10, 16));
    assert_int_equal(mapped, 0x10000010);
    space[f][0x14 / 4] = 0; /* another function: behind them */
    pci_enable(f);
    assert_int_equal(space[f][0x14 / 4], 0x10008000);
    fake_pci_window_size = 0;
}

static void msix_is_masked_until_attached(void **state)
{
    unsigned f = 1 << 3;
    struct pci_msix msix;
    (void)state;
    assert_int_equal(pci_msix_start(f, &msix), -ENODEV);
    space[f][1] = 0x10u << 16;
    space[f][0x34 / 4] = 0x40;
    space[f][0x40 / 4] = 0x00030011;                     /* four entries */
    space[f][0x44 / 4] = 0x2000;                         /* of the first register */
    assert_int_equal(pci_msix_start(f, &msix), -ENODEV); /* which is not assigned */
    space[f][0x10 / 4] = 0xfebc0000;
    assert_int_equal(pci_msix_start(f, &msix), 0);
    assert_int_equal(mapped, 0xfebc2000);
    assert_int_equal(msix.count, 4);
    assert_int_equal(space[f][0x40 / 4] >> 16, 0x8003);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fake_mmio_read(window + 16 * i + 12), 1);
    assert_int_equal(pci_msix_attach(&msix, 2, 3, NULL, NULL), 0);
    assert_int_equal(attached, 103);
    assert_int_equal(fake_mmio_read(window + 32), 0xfee03000);
    assert_int_equal(fake_mmio_read(window + 36), 1);
    assert_int_equal(fake_mmio_read(window + 40), 0x43);
    assert_int_equal(fake_mmio_read(window + 44), 0);
    assert_int_equal(fake_mmio_read(window + 28), 1);
}

static void the_command_line_forbids_it(void **state)
{
    struct pci_msix msix;
    unsigned f = 1 << 3;
    (void)state;
    space[f][1] = 0x10u << 16;
    space[f][0x34 / 4] = 0x40;
    space[f][0x40 / 4] = 0x00030011;
    space[f][0x10 / 4] = 0xfebc0000;
    fake_set_cmdline("msi=0");
    assert_int_equal(pci_msix_start(f, &msix), -ENODEV);
    fake_set_cmdline("msi=1");
    assert_int_equal(pci_msix_start(f, &msix), 0);
}

static void intx_is_attached_instead_of_msix(void **state)
{
    unsigned f = 1 << 3;
    (void)state;
    space[f][1] = 0x10u << 16 | 0x407;
    space[f][0x34 / 4] = 0x40;
    space[f][0x40 / 4] = 0x80030011; /* MSI-X is on */
    assert_int_equal(pci_intx_attach(f, NULL, NULL), 0);
    assert_int_equal(attached, 17);
    /* The line stays down until somebody listens. */
    assert_int_equal(command_when_attached & 0xffff, 0x407);
    assert_int_equal(space[f][1] & 0xffff, 0x7);
    assert_int_equal(space[f][0x40 / 4] >> 31, 0);
    fake_pci_read = NULL;
    assert_int_equal(pci_intx_attach(f, NULL, NULL), -ENODEV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_functions_are_found, set_up),
        cmocka_unit_test_setup(capabilities_are_a_chain, set_up),
        cmocka_unit_test_setup(addresses_are_32_or_64_bits, set_up),
        cmocka_unit_test_setup(addresses_are_given_where_there_is_no_firmware, set_up),
        cmocka_unit_test_setup(commands_leave_the_status_alone, set_up),
        cmocka_unit_test_setup(msix_is_masked_until_attached, set_up),
        cmocka_unit_test_setup(the_command_line_forbids_it, set_up),
        cmocka_unit_test_setup(intx_is_attached_instead_of_msix, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
