/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake_hal.c - the machine of the unit tests: hal.h over ordinary host memory.
 *
 * One flow of control that can pretend to be on any CPU, no interrupts, a clock that the test sets.
 * RAM is one host mapping. An address space is a sorted array of leaves of 512 entries, so every
 * call is exact and easy to inspect; a frame must lie in the fake RAM. What cannot be simulated
 * (context switches, user mode) aborts instead of pretending.
 */
#define _GNU_SOURCE
#include "fake.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/current.h"
#include "core/percpu.h"
#include "isa.h"
#include "lib/sanitize.h"

/* lib/errno.h and the host's errno.h agree on these. */
#define FAKE_ENOMEM 12
#define FAKE_EFAULT 14
#define FAKE_EIO 5
#define FAKE_EPIPE 32

/* ---- state ------------------------------------------------------------------------------ */

void *fake_self;
unsigned fake_cpu_count = 1, fake_cpu_id, fake_ipis;
void *fake_cpu_local[HAL_CPU_MAX];
void hal_cpu_local_set(unsigned cpu, void *local)
{
    fake_cpu_local[cpu] = local;
}
bool fake_irqs_off;
uintptr_t fake_ram_base;
uint64_t fake_now_ns;
uint64_t fake_clock_step_ns;
unsigned fake_map_calls, fake_unmap_calls, fake_protect_calls;
void (*fake_unmap_hook)(struct hal_space *space, vaddr_t va, paddr_t pa);
struct hal_space *fake_user_space;
int (*fake_user_fault)(vaddr_t addr, enum hal_access access);
char fake_console[HAL_STREAM_COUNT][65536];
size_t fake_console_len[HAL_STREAM_COUNT];
struct hal_console_info fake_console_state;
size_t fake_console_takes = SIZE_MAX;
int fake_console_error;
jmp_buf fake_poweroff_jump;
bool fake_poweroff_expected;
int fake_poweroff_status;

struct hal_layout fake_layout;
static const struct hal_layout default_layout = {
    .user = {{0x10000, 0x7ffffffff000}},
    .user_count = 1,
    .user_end = 0x7ffffffff000,
    .kernel_lo = 0x200000000000, /* application memory to AddressSanitizer, mapped by nobody */
    .kernel_hi = 0x200100000000,
    .large_pages = true,
};

static void *ram;
static char *fetched; /* what the instruction cache holds of it */
static size_t ram_size;
static struct hal_region regions[16];
static struct hal_boot_info boot_info;
static struct hal_space kernel_space;
static unsigned map_fail_nth;
static uint64_t timer_deadline;
static char console_in[4096];
static size_t console_in_len;
static bool console_in_end;

/* struct thread begins with the head; leave room for the rest of it. */
static union {
    struct thread_head head;
    char room[8192];
} fake_thread __attribute__((aligned(64))), other_thread __attribute__((aligned(64)));
static struct cpu fake_cpu;

static void space_free(struct hal_space *space);

void fake_other_thread(void (*fn)(void *), void *arg)
{
    void *self = fake_self;
    other_thread.head.cpu = &fake_cpu;
    fake_self = &other_thread;
    fn(arg);
    fake_self = self;
}

void fake_hal_init(size_t ram_bytes)
{
    fake_hal_fini();
    fake_layout = default_layout;
    ram_size = ram_bytes;
    /* Aligned to 4 MiB, so that block alignment in physical space is that of host addresses. */
    size_t align = 4u << 20;
    char *raw = mmap(NULL, ram_bytes + align, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert(raw != MAP_FAILED);
    char *base = (char *)(((uintptr_t)raw + align - 1) & ~(align - 1));
    if (base > raw)
        munmap(raw, (size_t)(base - raw));
    munmap(base + ram_bytes, align - (size_t)(base - raw));
    ram = base;
    fetched = mmap(NULL, ram_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert(fetched != MAP_FAILED);
    fake_ram_base = (uintptr_t)base - FAKE_RAM_PA;
    regions[0] = (struct hal_region){FAKE_RAM_PA, ram_bytes};
    boot_info = (struct hal_boot_info){
        .ram = regions,
        .ram_count = 1,
        .ram_zeroed = true,
        .cmdline = "",
        .ram_total = ram_bytes,
        .machine = "unit",
    };
    fake_self = &fake_thread;
    fake_cpu_id = 0;
    fake_thread.head.cpu = &fake_cpu;
    fake_cpu.online = true;
    fake_poweroff_reset();
    fake_console_reset();
    fake_now_ns = 1000000000;
}

void fake_hal_fini(void)
{
    space_free(&kernel_space);
    if (ram) {
        memory_unpoison(ram, ram_size); /* what comes there next must not inherit it */
        munmap(ram, ram_size);
        munmap(fetched, ram_size);
    }
    ram = NULL;
    fake_user_space = NULL;
    fake_user_fault = NULL;
    map_fail_nth = 0;
    fake_map_calls = fake_unmap_calls = fake_protect_calls = 0;
    memset(&fake_thread, 0, sizeof fake_thread);
    memset(&fake_cpu, 0, sizeof fake_cpu);
}

void fake_set_regions(const struct hal_region *list, size_t count, bool zeroed)
{
    assert(count <= sizeof regions / sizeof regions[0]);
    memcpy(regions, list, count * sizeof list[0]);
    boot_info.ram_count = count;
    boot_info.ram_zeroed = zeroed;
}

void fake_set_cmdline(const char *cmdline)
{
    boot_info.cmdline = cmdline;
}

/* ---- cpu, contexts, power --------------------------------------------------------------- */

unsigned hal_cpu_count(void)
{
    return fake_cpu_count;
}
int hal_cpu_start(unsigned cpu, void *stack_top, void *self)
{
    (void)cpu, (void)stack_top, (void)self;
    return -FAKE_EIO;
}
void hal_cpu_idle(void)
{
    fprintf(stderr, "fake_hal: idle with nothing that could ever wake\n");
    abort();
}
void hal_ipi_send(unsigned cpu)
{
    (void)cpu;
    fake_ipis++;
}
void hal_ctx_init(struct hal_ctx *ctx, void *stack, size_t size, void (*fn)(void *), void *arg,
                  void *fp)
{
    (void)ctx, (void)stack, (void)size, (void)fn, (void)arg, (void)fp;
}
void hal_ctx_adopt(struct hal_ctx *ctx, void *stack, size_t size)
{
    (void)ctx, (void)stack, (void)size;
}
void hal_ctx_destroy(struct hal_ctx *ctx)
{
    (void)ctx;
}
void hal_ctx_prefetch(const struct hal_ctx *ctx, bool close)
{
    (void)ctx, (void)close;
}

void hal_ctx_switch(struct hal_ctx *from, struct hal_ctx *to, bool last)
{
    (void)from, (void)to, (void)last;
    fprintf(stderr, "fake_hal: context switch\n");
    abort();
}
void hal_ctx_set_tls(struct hal_ctx *ctx, uint64_t base)
{
    ctx->tls = (void *)(uintptr_t)base;
}
uint64_t hal_ctx_tls(const struct hal_ctx *ctx)
{
    return (uintptr_t)ctx->tls;
}
void hal_ctx_fp_sync(struct hal_ctx *ctx)
{
    (void)ctx;
}
__attribute__((weak)) void hal_user_enter(struct isa_frame *frame)
{
    (void)frame;
    fprintf(stderr, "fake_hal: user mode\n");
    abort();
}
uintptr_t hal_direct_entry(void)
{
    return 0;
}

void hal_poweroff(int status)
{
    fake_poweroff_status = status;
    if (fake_poweroff_expected) {
        fake_poweroff_expected = false;
        longjmp(fake_poweroff_jump, 1);
    }
    fprintf(stderr, "fake_hal: power off, status %d; log:\n%.*s\n", status,
            (int)fake_console_len[HAL_STREAM_LOG], fake_console[HAL_STREAM_LOG]);
    abort();
}
void hal_reboot(void)
{
    hal_poweroff(0);
}
void hal_halt_others(void)
{
}
void fake_poweroff_reset(void)
{
    fake_irqs_off = false;
    fake_poweroff_expected = false;
    fake_thread.head.preempt_count = 0;
    fake_thread.head.held_count = 0;
}
struct hal_text hal_kernel_text(void)
{
    return (struct hal_text){0, 0}; /* no unwinding through host frames */
}
bool hal_symbol(uintptr_t pc, char name[HAL_SYMBOL_ROOM], uintptr_t *offset)
{
    (void)pc, (void)name, (void)offset;
    return false;
}

/* ---- memory ----------------------------------------------------------------------------- */

const struct hal_layout *hal_layout(void)
{
    return &fake_layout;
}
const struct hal_boot_info *hal_boot_info(void)
{
    return &boot_info;
}
struct hal_space *hal_space_kernel(void)
{
    return &kernel_space;
}

struct fake_leaf {
    uint64_t number; /* va >> 21 */
    unsigned used;
    paddr_t pa[512];
    uint8_t prot[512];
    bool mapped[512];
};

/* Position of the first leaf with a number >= the given one. */
static size_t leaf_position(const struct hal_space *space, uint64_t number)
{
    size_t lo = 0, hi = space->leaf_count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (space->leaves[mid]->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct fake_leaf *leaf_find(const struct hal_space *space, vaddr_t va)
{
    size_t i = leaf_position(space, va >> 21);
    if (i < space->leaf_count && space->leaves[i]->number == va >> 21)
        return space->leaves[i];
    return NULL;
}

static struct fake_leaf *leaf_make(struct hal_space *space, vaddr_t va)
{
    struct fake_leaf *leaf = leaf_find(space, va);
    if (leaf)
        return leaf;
    if (space->leaf_count == space->leaf_capacity) {
        space->leaf_capacity = space->leaf_capacity * 2 + 8;
        space->leaves = realloc(space->leaves, space->leaf_capacity * sizeof space->leaves[0]);
        assert(space->leaves);
    }
    size_t i = leaf_position(space, va >> 21);
    memmove(space->leaves + i + 1, space->leaves + i,
            (space->leaf_count - i) * sizeof space->leaves[0]);
    leaf = calloc(1, sizeof *leaf);
    assert(leaf);
    leaf->number = va >> 21;
    space->leaves[i] = leaf;
    space->leaf_count++;
    return leaf;
}

static void space_free(struct hal_space *space)
{
    for (size_t i = 0; i < space->leaf_count; i++)
        free(space->leaves[i]);
    free(space->leaves);
    memset(space, 0, sizeof *space);
}

int hal_space_create(struct hal_space *space)
{
    memset(space, 0, sizeof *space);
    return 0;
}
void hal_space_destroy(struct hal_space *space)
{
    space_free(space);
}
void hal_space_activate(struct hal_space *space)
{
    fake_user_space = space;
}

void fake_map_fail_nth(unsigned n)
{
    map_fail_nth = n;
}
static bool map_fails(void)
{
    return map_fail_nth && --map_fail_nth == 0;
}

static void set_page(struct hal_space *space, vaddr_t va, paddr_t pa, unsigned prot)
{
    assert((va & 4095) == 0 && (pa & 4095) == 0);
    assert(pa >= FAKE_RAM_PA && pa < FAKE_RAM_PA + ram_size);
    struct fake_leaf *leaf = leaf_make(space, va);
    unsigned i = va >> 12 & 511;
    leaf->used += !leaf->mapped[i];
    leaf->mapped[i] = true;
    leaf->pa[i] = pa;
    leaf->prot[i] = (uint8_t)prot;
}

int hal_space_map(struct hal_space *space, vaddr_t va, paddr_t pa, size_t len, unsigned prot)
{
    fake_map_calls++;
    assert(len && (len & 4095) == 0 && prot < 8);
    bool fails = map_fails();
    if (fails)
        len = len / 2 & ~(size_t)4095;
    for (size_t at = 0; at < len; at += 4096)
        set_page(space, va + at, pa + at, prot);
    return fails ? -FAKE_ENOMEM : 0;
}

int hal_space_map_pages(struct hal_space *space, vaddr_t va, const paddr_t *frames, size_t count,
                        unsigned prot)
{
    fake_map_calls++;
    assert(count && prot < 8);
    bool fails = map_fails();
    if (fails)
        count /= 2;
    for (size_t i = 0; i < count; i++)
        set_page(space, va + i * 4096, frames[i], prot);
    return fails ? -FAKE_ENOMEM : 0;
}

int hal_stack_map(vaddr_t lo, size_t size, const paddr_t *frames, size_t count)
{
    return hal_space_map_pages(&kernel_space, lo + size - count * 4096, frames, count,
                               HAL_PROT_READ | HAL_PROT_WRITE);
}

void hal_stack_grow(vaddr_t va, paddr_t pa)
{
    assert(!hal_space_query(&kernel_space, va, NULL, NULL));
    set_page(&kernel_space, va, pa, HAL_PROT_READ | HAL_PROT_WRITE);
}

vaddr_t hal_space_next(struct hal_space *space, vaddr_t va, vaddr_t end)
{
    for (size_t i = leaf_position(space, va >> 21); i < space->leaf_count; i++) {
        struct fake_leaf *leaf = space->leaves[i];
        vaddr_t base = leaf->number << 21;
        if (base >= end)
            break;
        for (unsigned j = base < va ? va >> 12 & 511 : 0; leaf->used && j < 512; j++)
            if (leaf->mapped[j])
                return base + j * 4096ul < end ? base + j * 4096ul : end;
    }
    return end;
}

void hal_space_unmap(struct hal_space *space, vaddr_t va, size_t len)
{
    fake_unmap_calls++;
    assert(len && ((va | len) & 4095) == 0);
    vaddr_t end = va + len;
    while ((va = hal_space_next(space, va, end)) < end) {
        struct fake_leaf *leaf = leaf_find(space, va);
        paddr_t pa;
        if (fake_unmap_hook && hal_space_query(space, va, &pa, NULL))
            fake_unmap_hook(space, va, pa);
        leaf->mapped[va >> 12 & 511] = false;
        leaf->used--;
        va += 4096;
    }
}

void hal_space_protect(struct hal_space *space, vaddr_t va, size_t len, unsigned prot)
{
    fake_protect_calls++;
    assert(len && ((va | len) & 4095) == 0 && prot < 8);
    vaddr_t end = va + len;
    while ((va = hal_space_next(space, va, end)) < end) {
        leaf_find(space, va)->prot[va >> 12 & 511] = (uint8_t)prot;
        va += 4096;
    }
}

bool hal_space_query(struct hal_space *space, vaddr_t va, paddr_t *pa, unsigned *prot)
{
    struct fake_leaf *leaf = leaf_find(space, va);
    unsigned i = va >> 12 & 511;
    if (!leaf || !leaf->mapped[i])
        return false;
    if (pa)
        *pa = leaf->pa[i];
    if (prot)
        *prot = leaf->prot[i] | HAL_PTE_ACCESSED | HAL_PTE_DIRTY;
    return true;
}

void hal_direct_bytes(uint64_t bytes[HAL_DIRECT_SIZES])
{
    memset(bytes, 0, HAL_DIRECT_SIZES * sizeof bytes[0]);
}

void hal_icache_sync(paddr_t pa, size_t len)
{
    assert(pa >= FAKE_RAM_PA && pa + len <= FAKE_RAM_PA + ram_size);
    memcpy(fetched + (pa - FAKE_RAM_PA), hal_phys_to_virt(pa), len);
}

bool fake_icache_stale(paddr_t pa, size_t len)
{
    return memcmp(fetched + (pa - FAKE_RAM_PA), hal_phys_to_virt(pa), len) != 0;
}

size_t fake_space_mapped(const struct hal_space *space)
{
    size_t count = 0;
    for (size_t i = 0; i < space->leaf_count; i++)
        count += space->leaves[i]->used;
    return count;
}

/* ---- user memory (isa.h) ---------------------------------------------------------------- */

const char isa_uaccess_begin[1], isa_uaccess_end[1], isa_uaccess_fault[1];

/* Host address of a user address, good to the end of its page; NULL: a fault nobody mends. A kernel
 * pointer (above user_end, or not in a fake space's window) is taken as it is. */
static char *user_translate(uintptr_t addr, enum hal_access access)
{
    if (!fake_user_space || addr >= fake_layout.user_end)
        return (char *)addr;
    for (;;) {
        paddr_t pa;
        unsigned prot;
        unsigned want = access == HAL_ACCESS_WRITE ? HAL_PROT_WRITE : HAL_PROT_READ;
        if (hal_space_query(fake_user_space, addr & ~4095ul, &pa, &prot) && (prot & want))
            return (char *)hal_phys_to_virt(pa) + (addr & 4095);
        if (!fake_user_fault || fake_user_fault(addr, access))
            return NULL;
    }
}

/* Which side is the user's? The one inside a test's user window, if it translates. Kernel buffers
 * in tests are host memory, so a test that uses fake_user_space must choose a layout
 * (fake_layout.user) that does not contain host addresses: user_end <= 0x100000000 does. */
int isa_user_copy(void *dst, const void *src, size_t len)
{
    uintptr_t to = (uintptr_t)dst, from = (uintptr_t)src;
    while (len) {
        size_t n = 4096 - (to & 4095), m = 4096 - (from & 4095);
        n = n < m ? n : m;
        n = n < len ? n : len;
        char *d = user_translate(to, HAL_ACCESS_WRITE);
        char *s = d ? user_translate(from, HAL_ACCESS_READ) : NULL;
        if (!s)
            return -FAKE_EFAULT;
        memmove(d, s, n);
        to += n, from += n, len -= n;
    }
    return 0;
}

int isa_user_zero(void *dst, size_t len)
{
    uintptr_t to = (uintptr_t)dst;
    while (len) {
        size_t n = 4096 - (to & 4095);
        n = n < len ? n : len;
        char *d = user_translate(to, HAL_ACCESS_WRITE);
        if (!d)
            return -FAKE_EFAULT;
        memset(d, 0, n);
        to += n, len -= n;
    }
    return 0;
}

long isa_user_strcpy(char *dst, const char *src, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const char *s = user_translate((uintptr_t)src + i, HAL_ACCESS_READ);
        if (!s)
            return -FAKE_EFAULT;
        dst[i] = *s;
        if (!*s)
            return (long)i + 1;
    }
    return (long)size;
}

int isa_user_load_u32(const uint32_t *addr, uint32_t *out)
{
    void *p = user_translate((uintptr_t)addr, HAL_ACCESS_READ);
    if (!p)
        return -FAKE_EFAULT;
    *out = __atomic_load_n((uint32_t *)p, __ATOMIC_SEQ_CST);
    return 0;
}

int isa_user_store_u32(uint32_t *addr, uint32_t value)
{
    void *p = user_translate((uintptr_t)addr, HAL_ACCESS_WRITE);
    if (!p)
        return -FAKE_EFAULT;
    __atomic_store_n((uint32_t *)p, value, __ATOMIC_SEQ_CST);
    return 0;
}

int isa_user_cmpxchg_u32(uint32_t *addr, uint32_t expected, uint32_t desired, uint32_t *seen)
{
    void *p = user_translate((uintptr_t)addr, HAL_ACCESS_WRITE);
    if (!p)
        return -FAKE_EFAULT;
    __atomic_compare_exchange_n((uint32_t *)p, &expected, desired, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    *seen = expected;
    return 0;
}

/* ---- time, entropy, console ------------------------------------------------------------- */

uint64_t hal_clock_ns(void)
{
    return fake_now_ns += fake_clock_step_ns;
}
uint64_t hal_clock_rough_ns(void)
{
    return hal_clock_ns();
}
uint64_t hal_wall_base_ns(void)
{
    return 1700000000000000000ull;
}
uint64_t hal_stolen_ns(void)
{
    return 0;
}
void hal_timer_arm(uint64_t deadline_ns)
{
    timer_deadline = deadline_ns;
}
int fake_entropy_error;
int hal_entropy(void *buf, size_t len)
{
    static uint64_t state = 88172645463325252ull;
    for (size_t i = 0; i < len; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        ((unsigned char *)buf)[i] = (unsigned char)state;
    }
    return fake_entropy_error;
}
void hal_clock_params(struct hal_clock_params *out)
{
    memset(out, 0, sizeof *out);
}

static void console_put(enum hal_stream stream, const void *buf, size_t len)
{
    size_t room = sizeof fake_console[stream] - 1 - fake_console_len[stream];
    size_t n = len < room ? len : room;
    memcpy(fake_console[stream] + fake_console_len[stream], buf, n);
    fake_console_len[stream] += n;
}
int hal_console_write(enum hal_stream stream, const void *buf, size_t len)
{
    size_t n = len < fake_console_takes ? len : fake_console_takes;
    if (fake_console_error)
        return fake_console_error;
    console_put(stream, buf, n);
    if (fake_console_takes != SIZE_MAX)
        fake_console_takes -= n;
    return (int)(len - n);
}
int hal_console_room(enum hal_stream stream)
{
    (void)stream;
    return fake_console_error ? fake_console_error : fake_console_takes > 0;
}
void hal_console_panic(const void *buf, size_t len)
{
    console_put(HAL_STREAM_LOG, buf, len);
}
long hal_console_read(void *buf, size_t len)
{
    if (console_in_len == 0)
        return console_in_end ? -FAKE_EPIPE : 0;
    size_t n = len < console_in_len ? len : console_in_len;
    memcpy(buf, console_in, n);
    memmove(console_in, console_in + n, console_in_len - n);
    console_in_len -= n;
    return (long)n;
}
void hal_console_want(void)
{
}
void hal_console_info(struct hal_console_info *out)
{
    *out = fake_console_state;
}
void fake_console_reset(void)
{
    memset(fake_console, 0, sizeof fake_console);
    memset(fake_console_len, 0, sizeof fake_console_len);
    console_in_len = 0;
    console_in_end = false;
    fake_console_takes = SIZE_MAX;
    fake_console_error = 0;
}
void fake_console_input(const void *data, size_t len, bool end)
{
    assert(console_in_len + len <= sizeof console_in);
    memcpy(console_in + console_in_len, data, len);
    console_in_len += len;
    console_in_end = end;
}
bool hal_suspend(void)
{
    return false;
}

/* PCI: none, unless a test brings one. */
uint32_t (*fake_pci_read)(unsigned function, unsigned offset);
void (*fake_pci_write)(unsigned function, unsigned offset, uint32_t value);

bool hal_pci(void)
{
    return fake_pci_read != NULL;
}

uint32_t hal_pci_read(unsigned function, unsigned offset)
{
    return fake_pci_read ? fake_pci_read(function, offset) : UINT32_MAX;
}

void hal_pci_write(unsigned function, unsigned offset, uint32_t value)
{
    if (fake_pci_write)
        fake_pci_write(function, offset, value);
}

uint64_t fake_pci_window_size;
bool hal_pci_window(uint64_t *base, uint64_t *size)
{
    *base = 0x10000000;
    *size = fake_pci_window_size;
    return fake_pci_window_size > 0;
}

int hal_pci_irq(unsigned function)
{
    return fake_pci_read ? (int)(16 + (function >> 3) % 4) : -19;
}

int hal_msi_alloc(unsigned cpu, struct hal_msi *out)
{
    *out = (struct hal_msi){0x1fee00000 | cpu << 12, 0x40 + cpu, 100 + cpu};
    return fake_pci_read ? 0 : -19; /* ENODEV */
}
