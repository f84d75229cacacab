/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_inline.h - the inline half of hal.h on bare-metal AArch64.
 *
 * TPIDR_EL1 is the thread pointer, so that reading it is one instruction and right on any CPU.
 * TPIDRRO_EL0 points to this CPU's struct aarch64_cpu; programs can read it, which tells them
 * nothing they could not find out anyway in one ring. TPIDR_EL0 is the program's.
 */
#ifndef SELKIE_HAL_INLINE_H
#define SELKIE_HAL_INLINE_H

#include "common/pgtable.h"
#include "layout.h"

#define HAL_STACKS_GROW 1

struct hal_ctx {
    uintptr_t sp;        /* kernel stack pointer while not running */
    uintptr_t stack_lo;  /* the stack, and its end: */
    uintptr_t stack_top; /* where entries from user code start */
    void *fp;            /* isa_fp area, NULL for kernel-only contexts */
    uint64_t tls;        /* TPIDR_EL0; stale while running (the register is the truth) */
    unsigned fp_cpu;     /* CPU whose registers may still equal *fp; UINT_MAX: none */
    bool fp_live;        /* the registers are newer than *fp */
};

struct hal_space {
    struct pgtable pt;
    uint16_t asid; /* 0: the kernel's, also used by spaces that found no free one */
};

/* As the switch leaves it: x19 to x30. */
static inline void hal_ctx_where(const struct hal_ctx *ctx, uintptr_t *pc, uintptr_t *fp)
{
    const uintptr_t *sp = (const uintptr_t *)ctx->sp;

    *fp = sp[10];
    *pc = sp[11];
}

static inline void *a64_cpu_pointer(void)
{
    void *cpu;

    __asm__ volatile("mrs %0, tpidrro_el0" : "=r"(cpu));
    return cpu;
}

static inline unsigned hal_cpu_id(void)
{
    return *(const unsigned *)((const char *)a64_cpu_pointer() + CPU_ID);
}

static inline void *hal_cpu_local(void)
{
    return *(void *const *)(const void *)((const char *)a64_cpu_pointer() + CPU_LOCAL);
}

static inline void hal_cpu_relax(void)
{
    __asm__ volatile("yield" : : : "memory");
}

static inline bool hal_cpu_polling(bool on)
{
    (void)on;
    return false;
}

static inline void *hal_thread_get(void)
{
    void *self;

    __asm__ volatile("mrs %0, tpidr_el1" : "=r"(self));
    return self;
}

static inline void hal_thread_set(void *self)
{
    __asm__ volatile("msr tpidr_el1, %0" : : "r"(self) : "memory");
}

#define A64_DAIF_I 0x80ul

/* SErrors are masked and unmasked together with interrupts: exceptions mask both. */
static inline unsigned long hal_irq_save(void)
{
    unsigned long daif;

    __asm__ volatile("mrs %0, daif; msr daifset, #6" : "=r"(daif) : : "memory");
    return ~daif & A64_DAIF_I;
}

static inline void hal_irq_enable(void)
{
    __asm__ volatile("msr daifclr, #6" : : : "memory");
}

static inline void hal_irq_restore(unsigned long state)
{
    if (state)
        hal_irq_enable();
    else
        __asm__ volatile("msr daifset, #6" : : : "memory");
}

static inline bool hal_irq_enabled(void)
{
    unsigned long daif;

    __asm__ volatile("mrs %0, daif" : "=r"(daif) : : "memory");
    return (daif & A64_DAIF_I) == 0;
}

static inline unsigned long hal_brief_begin(void)
{
    return hal_irq_save();
}

static inline void hal_brief_end(unsigned long state)
{
    hal_irq_restore(state);
}

static inline void *hal_phys_to_virt(paddr_t pa)
{
    return (void *)(uintptr_t)(pa + A64_DIRECT_BASE);
}
static inline void hal_ram_prepare(paddr_t pa, size_t len)
{
    (void)pa, (void)len;
}

extern paddr_t aarch64_image_pa;      /* where the image was loaded */
extern uintptr_t aarch64_image_slide; /* how far above its link address it runs */

/* Of a direct-map or image address. */
static inline paddr_t hal_virt_to_phys(const void *va)
{
    uintptr_t addr = (uintptr_t)va;

    return addr >= A64_IMAGE_BASE ? addr - A64_IMAGE_BASE - aarch64_image_slide + aarch64_image_pa
                                  : addr - A64_DIRECT_BASE;
}

/* Plain loads and stores: a hypervisor cannot emulate those that change their base register. */
static inline uint32_t hal_mmio_read32(const volatile void *reg)
{
    uint32_t value;

    __asm__ volatile("ldr %w0, %1" : "=r"(value) : "Q"(*(const volatile uint32_t *)reg));
    return value;
}

static inline void hal_mmio_write32(volatile void *reg, uint32_t value)
{
    __asm__ volatile("str %w1, %0" : "=Q"(*(volatile uint32_t *)reg) : "r"(value));
}

static inline uint8_t hal_mmio_read8(const volatile void *reg)
{
    uint32_t value;

    __asm__ volatile("ldrb %w0, %1" : "=r"(value) : "Q"(*(const volatile uint8_t *)reg));
    return (uint8_t)value;
}

static inline uint16_t hal_mmio_read16(const volatile void *reg)
{
    uint32_t value;

    __asm__ volatile("ldrh %w0, %1" : "=r"(value) : "Q"(*(const volatile uint16_t *)reg));
    return (uint16_t)value;
}

static inline void hal_mmio_write8(volatile void *reg, uint8_t value)
{
    __asm__ volatile("strb %w1, %0" : "=Q"(*(volatile uint8_t *)reg) : "r"((uint32_t)value));
}

static inline void hal_mmio_write16(volatile void *reg, uint16_t value)
{
    __asm__ volatile("strh %w1, %0" : "=Q"(*(volatile uint16_t *)reg) : "r"((uint32_t)value));
}

static inline void hal_device_barrier(void)
{
    __asm__ volatile("dsb sy" : : : "memory");
}

#endif
