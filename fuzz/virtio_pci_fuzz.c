/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/drv/virtio.c kernel/drv/virtio_mmio.c kernel/drv/virtio_pci.c kernel/drv/pci.c
   kernel/core/cmdline.c kernel/drv/virtio_rng.c kernel/lib/strutil.c kernel/mm/hotpages.c
   kernel/mm/page.c kernel/mm/buddy.c kernel/mm/pagemap.c kernel/mm/failpoint.c
   kernel/core/spinlock.c kernel/core/panic.c kernel/core/log.c kernel/core/percpu.c unit/fake_hal.c
   unit/fake_sched.c */
/* covers: kernel/drv/pci.c kernel/drv/virtio_pci.c */
/* length: 256 */
/* runs: 1000 */
/*
 * virtio_pci_fuzz.c - PCI functions that say what they like: headers, chains of capabilities,
 * registers' addresses, sizes, interrupts, another thing at each look. The entropy device's driver
 * looks for its device among them and uses what it finds. It touches configuration space and
 * registers only where there are some, each as its width wants it (unit/include/hal_inline.h), and
 * gives back what it took if it does not work. What a device does with rings: virtio_rng_fuzz.c.
 */
#include <string.h>

#include "core/random.h"
#include "drv/irq.h"
#include "drv/virtio.h"
#include "drv/virtio_rng.h"
#include "fake.h"
#include "fuzz.h"
#include "lib/errno.h"
#include "mm/page.h"

#define RAM ((size_t)4 << 20)
#define FUNCTIONS 3
#define MAPS 32
#define MAP_MAX 0x10000u

static struct fuzz_input in;
static uint32_t space[FUNCTIONS][64];
static struct {
    uint8_t *registers;
    size_t len;
} map[MAPS];
static unsigned maps;
static size_t (*source)(void *buf, size_t size);

/* ---- configuration space ---- */

static uint32_t config_read(unsigned function, unsigned offset)
{
    FUZZ_CHECK(offset < 256 && offset % 4 == 0 && function < 1u << 16);
    if (function % 8 != 0 || function / 8 >= FUNCTIONS)
        return UINT32_MAX;
    uint8_t how = fuzz_u8(&in);
    uint32_t value = how < 248 ? space[function / 8][offset / 4] : fuzz_u32(&in);
    FUZZ_TRACE("config %u %#x: %#x\n", function, offset, value);
    return value;
}

static void config_write(unsigned function, unsigned offset, uint32_t value)
{
    FUZZ_CHECK(offset < 256 && offset % 4 == 0);
    FUZZ_CHECK(function % 8 == 0 && function / 8 < FUNCTIONS);
    if (offset < 0x10 || offset >= 0x28)
        return;
    /* Registers' addresses: whole pages, or as the input says. */
    space[function / 8][offset / 4] = value & (fuzz_u8(&in) < 224 ? ~0xfffu : fuzz_u32(&in));
}

/* A capability of virtio's (Virtual I/O Device 1.2, 4.1.4), 20 bytes. */
static void capability(uint32_t *config, unsigned at, unsigned next, unsigned kind, uint32_t offset,
                       uint32_t len)
{
    config[at / 4] = 9 | next << 8 | 20u << 16 | kind << 24;
    config[at / 4 + 1] = 1; /* BAR */
    config[at / 4 + 2] = offset;
    config[at / 4 + 3] = len;
    config[at / 4 + 4] = 4; /* of the doorbells */
}

/* An entropy device as it should be, and then as the input says. */
static void function_make(uint32_t *config)
{
    memset(config, 0, sizeof space[0]);
    config[0] = (0x1040u + VIRTIO_RNG) << 16 | 0x1af4;
    config[1] = 0x10u << 16;
    config[0x14 / 4] = 0x20000000;
    config[0x34 / 4] = 0x40;
    capability(config, 0x40, 0x54, 1, 0, 56);
    capability(config, 0x54, 0x68, 2, 0x1000, 64);
    capability(config, 0x68, 0x7c, 3, 0x2000, 4);
    capability(config, 0x7c, 0x90, 4, 0x3000, 16);
    config[0x90 / 4] = 0x11 | 3u << 16; /* MSI-X: four entries */
    config[0x94 / 4] = 1 | 0x4000;
    for (unsigned n = fuzz_u8(&in) % 8; n > 0; n--) {
        uint8_t at = fuzz_u8(&in);
        ((uint8_t *)config)[at] = fuzz_u8(&in);
    }
}

/* ---- registers ---- */

volatile void *hal_mmio_map(paddr_t pa, size_t len)
{
    FUZZ_CHECK(len > 0);
    if (pa + len < pa || len > MAP_MAX || maps == MAPS)
        return NULL;
    map[maps].registers = calloc(1, len + 16);
    map[maps].len = len + pa % 16;
    FUZZ_CHECK(map[maps].registers);
    FUZZ_TRACE("map %#llx, %zu\n", (unsigned long long)pa, len);
    return map[maps++].registers + pa % 16;
}

/* Where in its mapping: `registers` are part of one. */
static size_t find(const volatile void *reg, uint8_t **registers)
{
    for (unsigned i = 0; i < maps; i++) {
        size_t at = (size_t)((const volatile uint8_t *)reg - map[i].registers);
        *registers = map[i].registers;
        if (at < map[i].len)
            return at;
    }
    FUZZ_CHECK(!"a register");
    return 0;
}

uint32_t fake_mmio_read(const volatile void *reg)
{
    uint8_t *registers, how = fuzz_u8(&in);
    size_t at = find(reg, &registers);
    uint32_t value = at == 4 ? 1 : at == 18 ? 4 : at == 24 ? 16 : registers[at];
    if (how >= 224)
        value = how < 250 ? how & 7 : fuzz_u32(&in);
    FUZZ_TRACE("read %#zx: %#x\n", at, value);
    return value;
}

void fake_mmio_write(volatile void *reg, uint32_t value)
{
    uint8_t *registers;
    size_t at = find(reg, &registers);
    FUZZ_TRACE("write %#zx: %#x\n", at, value);
    registers[at] = (uint8_t)value;
}

bool hal_device(unsigned index, struct hal_device *out)
{
    (void)index, (void)out;
    return false;
}
int irq_attach_msi(unsigned irq, void (*fn)(void *arg), void *arg)
{
    (void)irq, (void)fn, (void)arg;
    return fuzz_u8(&in) & 1 ? -ENOMEM : 0;
}
int irq_attach(unsigned irq, void (*fn)(void *arg), void *arg)
{
    return irq_attach_msi(irq, fn, arg);
}

/* ---- the generator ---- */

bool random_seeded(void)
{
    return true;
}
void random_source(size_t (*fn)(void *buf, size_t size))
{
    source = fn;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char buffer[16];
    fake_hal_init(RAM);
    page_init();
    in = (struct fuzz_input){data, size, 0};
    fake_pci_read = config_read;
    fake_pci_write = config_write;
    uint8_t machine = fuzz_u8(&in);
    fake_pci_window_size = machine & 1 ? 0x100000 : 0; /* no firmware has given addresses */
    fake_set_cmdline(machine & 2 ? "msi=0" : "");
    for (unsigned i = 0; i < FUNCTIONS; i++)
        function_make(space[i]);
    source = NULL;
    uint64_t pages = page_free_count();
    virtio_rng_start();
    FUZZ_CHECK(source || page_free_count() == pages);
    if (source)
        FUZZ_CHECK(source(buffer, sizeof(buffer)) == 0);
    while (maps > 0)
        free(map[--maps].registers);
    return 0;
}
