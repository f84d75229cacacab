/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * aarch64.h - what the files of the bare-metal AArch64 backend share. No other folder includes it.
 *
 * Boot order (boot.c): device tree -> memory map -> page tables -> console -> PSCI -> interrupt
 * controller -> CPUs -> clock -> kernel_boot.
 */
#ifndef SELKIE_AARCH64_H
#define SELKIE_AARCH64_H

#include "common/bootmem.h"
#include "common/dtb.h"
#include "hal_up.h"
#include "isa.h"

/* ---- instructions ---- */

/* `reg` is a system register's name or its sN_N_cN_cN_N form. */
#define a64_read(reg) \
    __extension__({ \
        uint64_t value_; \
        __asm__ volatile("mrs %0, " #reg : "=r"(value_)); \
        value_; \
    })
#define a64_write(reg, value) \
    __asm__ volatile("msr " #reg ", %0" : : "r"((uint64_t)(value)) : "memory")

static inline void a64_isb(void)
{
    __asm__ volatile("isb" : : : "memory");
}

/* Device registers. The barriers of DDI 0487, B2.3 are the callers' business: device memory keeps
 * its own accesses in order. */
static inline uint32_t a64_mmio_get(volatile void *base, size_t offset)
{
    return *(volatile uint32_t *)((volatile char *)base + offset);
}
static inline void a64_mmio_put(volatile void *base, size_t offset, uint32_t value)
{
    *(volatile uint32_t *)((volatile char *)base + offset) = value;
}

/* ---- early.c ---- */

struct aarch64_secondary { /* read with the MMU off; layout.h has the offsets */
    uint64_t ttbr0, ttbr1, tcr;
};
extern struct aarch64_secondary aarch64_secondary;
void aarch64_early_tables(paddr_t dtb, paddr_t image);
/* Map the image `slide` bytes higher, too. */
void aarch64_early_map_image(uintptr_t slide);
/* The GiB that the early tables map at the direct map, besides the device tree's: [lo, lo + 1G). */
extern paddr_t aarch64_early_lo;
#define A64_EARLY_SIZE (1ull << 30)

/* ---- kaslr.c ---- */

/* Choose how far the image moves up, map it there and change its addresses; 0: it stays. */
uintptr_t aarch64_kaslr(paddr_t dtb);

/* ---- cpu.c ---- */

#define A64_EMERGENCY_SIZE (SELKIE_KASAN ? 32768 : 8192)

struct aarch64_cpu {
    /* Known to assembly by offset (layout.h). */
    unsigned id;
    uint8_t fp_stale;               /* the executing context's vector registers must be loaded */
    uintptr_t stack_lo, stack_size; /* the executing context's; 0 and everything before adoption */
    uint64_t scratch;
    uintptr_t emergency;
    uintptr_t start_sp;
    void *start_thread;
    void *local; /* hal_cpu_local */

    struct hal_ctx *ctx;      /* executing; NULL until adopted */
    struct hal_ctx *fp_owner; /* whose registers the CPU holds, as far as ctx->fp_cpu agrees */
    struct hal_space *space;
    uint64_t deadline_ns;
    uint64_t mpidr;
    volatile void *redistributor; /* GICv3 */
    uint8_t gic2_mask;            /* GICv2: this CPU's bit in target lists */
    bool arrived;                 /* atomic */

    uint8_t emergency_stack[A64_EMERGENCY_SIZE] __attribute__((aligned(16)));
};

static inline struct aarch64_cpu *aarch64_this_cpu(void)
{
    return a64_cpu_pointer();
}
extern struct aarch64_cpu *aarch64_cpus[HAL_CPU_MAX]; /* [0, hal_cpu_count()) */
void aarch64_cpu_boot_init(void *stack, size_t size); /* CPU 0 */
void aarch64_cpu_control(void);                       /* system registers of the executing CPU */
void aarch64_cpu_enumerate(const struct dtb *dtb, struct bootmem *bm);
_Noreturn void aarch64_secondary_main(struct aarch64_cpu *cpu);
#define A64_MPIDR_AFFINITY 0xff00ffffffull

/* ---- irq.c ---- */

void aarch64_irq_init(const struct dtb *dtb);
void aarch64_irq_init_cpu(void);
void aarch64_irq_dispatch(const struct isa_frame *frame);
/* Turn on interrupt `intid`, towards CPU 0 if it is a shared one. */
void aarch64_irq_enable(unsigned intid);
/* The number of interrupt `index` of a node, as the GIC counts; false if there is none. */
bool aarch64_irq_of(const struct dtb *dtb, dtb_node node, unsigned index, unsigned *intid);

/* ---- mmu.c ---- */

void aarch64_mmu_init(struct bootmem *bm, const struct bootmem *ram);
void aarch64_mmu_init_cpu(void);
/* Map device registers for good. Panics when the window or memory is used up. */
volatile void *aarch64_mmio_map(paddr_t pa, size_t len);

/* ---- mem.c ---- */

extern struct hal_boot_info aarch64_boot_info;
extern struct bootmem aarch64_bootmem;
extern struct dtb aarch64_dtb;
bool aarch64_dtb_open(paddr_t pa, struct dtb *dtb);
void aarch64_mem_init(paddr_t dtb, struct bootmem *ram);
void aarch64_mem_finish(void);

/* ---- time.c, console.c, power.c ---- */

void aarch64_time_init(const struct dtb *dtb);
void aarch64_time_init_cpu(void);
void aarch64_timer_irq(void);
extern unsigned aarch64_timer_intid;
/* Mix bytes that the boot loader calls random into the entropy pool. */
void aarch64_entropy_seed(const struct dtb *dtb);

void aarch64_console_init(const struct dtb *dtb);
void aarch64_console_irq_init(void);
extern unsigned aarch64_console_intid; /* 0: none */

/* ---- trap.c, ctx.c, entry.S, boot.S ---- */

void aarch64_trap_user(struct isa_frame *frame, uint64_t esr);
void aarch64_trap_kernel(struct isa_frame *frame, uint64_t esr, uintptr_t far);
void aarch64_serror_user(struct isa_frame *frame);
_Noreturn void aarch64_serror_kernel(const struct isa_frame *frame);
_Noreturn void aarch64_bad_vector(const struct isa_frame *frame);
_Noreturn void aarch64_stack_overflow(uintptr_t sp, uintptr_t fp);
void aarch64_return_wild(struct isa_frame *frame);
void aarch64_fp_load(void);

extern const char aarch64_vectors[], aarch64_direct_entry[], aarch64_ctx_start[];
extern const char aarch64_secondary_entry[], aarch64_replace_ttbr1[];
void aarch64_switch(uintptr_t *save_sp, uintptr_t load_sp);
_Noreturn void aarch64_user_enter(struct isa_frame *frame, uintptr_t stack_top);

_Noreturn void aarch64_boot(paddr_t dtb, void *stack, size_t size);

/* linker.ld */
extern const char aarch64_boot_guard[]; /* boot.S */
extern const char aarch64_image_begin[], aarch64_image_end[], aarch64_text_begin[],
    aarch64_text_end[], aarch64_rodata_begin[], aarch64_data_begin[];

#endif
