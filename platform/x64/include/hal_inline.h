/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_inline.h - the inline half of hal.h on bare-metal x86-64.
 *
 * GS base points to this CPU's struct x64_cpu for ever (programs cannot use GS); the few words
 * that inline code needs stand at its head (layout.h).
 */
#ifndef SELKIE_HAL_INLINE_H
#define SELKIE_HAL_INLINE_H

#include "common/pgtable.h"
#include "layout.h"
#include "x64_alt.h"

#define HAL_STACKS_GROW 1

struct hal_ctx {
    uintptr_t sp;        /* kernel stack pointer while not running */
    uintptr_t stack_lo;  /* the stack, and its end: */
    uintptr_t stack_top; /* where entries from user code start */
    void *fp;            /* isa_fp area, NULL for kernel-only contexts */
    uint64_t tls;        /* FS base; stale while running (the register is the truth) */
    unsigned fp_cpu;     /* CPU whose registers may still equal *fp; UINT_MAX: none */
    bool fp_live;        /* the registers are newer than *fp */
};

struct hal_space {
    struct pgtable pt;
};

/* As the switch leaves it: six registers, the last of them rbp, and the return address. */
static inline void hal_ctx_where(const struct hal_ctx *ctx, uintptr_t *pc, uintptr_t *fp)
{
    const uintptr_t *sp = (const uintptr_t *)ctx->sp;

    *fp = sp[5];
    *pc = sp[6];
}

static inline unsigned hal_cpu_id(void)
{
    unsigned long id;

    /* movl clears the upper half: the compiler need not do so again. */
    __asm__ volatile("movl %%gs:%c1, %k0" : "=r"(id) : "i"(CPU_ID));
    if (id > UINT32_MAX)
        __builtin_unreachable();
    return (unsigned)id;
}

static inline void *hal_cpu_local(void)
{
    void *local;

    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(local) : "i"(CPU_LOCAL));
    return local;
}

/* Flush what other CPUs have asked this one to flush (mmu.c). */
void x64_tlb_serve(void);

/* Spinning with interrupts off must not keep another CPU from completing a TLB flush. */
static inline void hal_cpu_relax(void)
{
    unsigned char pending;

    __asm__ volatile("pause; cmpb $0, %%gs:%c1; setne %0"
                     : "=q"(pending)
                     : "i"(CPU_TLB_PENDING)
                     : "cc", "memory");
    if (__builtin_expect(pending, 0))
        x64_tlb_serve();
}

static inline bool hal_cpu_polling(bool on)
{
    (void)on;
    return false;
}

static inline void *hal_thread_get(void)
{
    void *self;

    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(self) : "i"(CPU_THREAD));
    return self;
}

static inline void hal_thread_set(void *self)
{
    __asm__ volatile("movq %0, %%gs:%c1" : : "r"(self), "i"(CPU_THREAD) : "memory");
}

/* Interrupts: the CPU's flag, or in ring 3 (ring3.c) the word cpu->irq_on, which has the same bit.
 */
#define X64_FLAGS_IF 0x200ul

static inline unsigned long hal_irq_save(void)
{
    unsigned long flags;

    __asm__ volatile(X64_ALT_IRQ_FLAGS("0") X64_ALT_IRQ_OFF : "=r"(flags) : : "memory");
    return flags & X64_FLAGS_IF;
}

static inline void x64_irq_off(void)
{
    __asm__ volatile(X64_ALT_IRQ_OFF : : : "memory");
}

static inline void hal_irq_enable(void)
{
    __asm__ volatile(X64_ALT_IRQ_ON : : : "memory");
}

static inline void hal_irq_restore(unsigned long state)
{
    if (state)
        hal_irq_enable();
    else
        x64_irq_off();
}

static inline bool hal_irq_enabled(void)
{
    unsigned long flags;

    __asm__ volatile(X64_ALT_IRQ_FLAGS("0") : "=r"(flags) : : "memory");
    return (flags & X64_FLAGS_IF) != 0;
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
    return (void *)(uintptr_t)(pa + X64_DIRECT_BASE);
}
static inline void hal_ram_prepare(paddr_t pa, size_t len)
{
    (void)pa, (void)len;
}

extern uintptr_t x64_image_slide; /* kaslr.c */

/* Of a direct-map or image address. */
static inline paddr_t hal_virt_to_phys(const void *va)
{
    uintptr_t addr = (uintptr_t)va;

    return addr >= X64_IMAGE_BASE ? addr - X64_IMAGE_BASE - x64_image_slide
                                  : addr - X64_DIRECT_BASE;
}

static inline uint8_t hal_mmio_read8(const volatile void *reg)
{
    return *(const volatile uint8_t *)reg;
}
static inline uint16_t hal_mmio_read16(const volatile void *reg)
{
    return *(const volatile uint16_t *)reg;
}
static inline void hal_mmio_write8(volatile void *reg, uint8_t value)
{
    *(volatile uint8_t *)reg = value;
}
static inline void hal_mmio_write16(volatile void *reg, uint16_t value)
{
    *(volatile uint16_t *)reg = value;
}
static inline uint32_t hal_mmio_read32(const volatile void *reg)
{
    return *(const volatile uint32_t *)reg;
}

static inline void hal_mmio_write32(volatile void *reg, uint32_t value)
{
    *(volatile uint32_t *)reg = value;
}

static inline void hal_device_barrier(void)
{
    __asm__ volatile("mfence" : : : "memory");
}

#endif
