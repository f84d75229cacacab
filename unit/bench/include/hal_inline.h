/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_inline.h - the backend of the allocator's benchmark: every host thread is a CPU. Interrupts
 * are masked as on hosted, by a flag in memory and a look at what is pending.
 */
#ifndef SELKIE_HAL_INLINE_H
#define SELKIE_HAL_INLINE_H

#define HAL_STACKS_GROW 0

struct hal_ctx {
    void *tls;
};
struct hal_space {
    void *tables;
};

/* As on hosted, GS points to the CPU's own words. */
struct bench_cpu {
    void *self;
    unsigned id, pending;
    unsigned char irq_off;
    void *local;
};
#define BENCH_SELF 0
#define BENCH_ID 8
#define BENCH_PENDING 12
#define BENCH_IRQ_OFF 16
#define BENCH_LOCAL 24
STATIC_ASSERT(offsetof(struct bench_cpu, id) == BENCH_ID &&
              offsetof(struct bench_cpu, pending) == BENCH_PENDING &&
              offsetof(struct bench_cpu, irq_off) == BENCH_IRQ_OFF &&
              offsetof(struct bench_cpu, local) == BENCH_LOCAL);
extern uintptr_t bench_direct_map;

/* Contexts here have no frames to walk. */
static inline void hal_ctx_where(const struct hal_ctx *ctx, uintptr_t *pc, uintptr_t *fp)
{
    (void)ctx;
    *pc = *fp = 0;
}
static inline unsigned hal_cpu_id(void)
{
    unsigned long id;

    /* movl clears the upper half: the compiler need not do so again. */
    __asm__ volatile("movl %%gs:%c1, %k0" : "=r"(id) : "i"(BENCH_ID));
    if (id > UINT32_MAX)
        __builtin_unreachable();
    return (unsigned)id;
}
static inline void *hal_cpu_local(void)
{
    void *local;
    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(local) : "i"(BENCH_LOCAL));
    return local;
}
static inline void hal_cpu_relax(void)
{
    __asm__ volatile("" ::: "memory");
}
static inline bool hal_cpu_polling(bool on)
{
    (void)on;
    return false;
}
static inline void *hal_thread_get(void)
{
    void *self;
    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(self) : "i"(BENCH_SELF));
    return self;
}
static inline void hal_thread_set(void *self)
{
    __asm__ volatile("movq %0, %%gs:%c1" : : "r"(self), "i"(BENCH_SELF) : "memory");
}
static inline unsigned long hal_irq_save(void)
{
    unsigned char off;
    __asm__ volatile("movb %%gs:%c1, %0; movb $1, %%gs:%c1"
                     : "=&q"(off)
                     : "i"(BENCH_IRQ_OFF)
                     : "memory");
    return !off;
}
void bench_deliver(void);
static inline void hal_irq_restore(unsigned long state)
{
    bool pending;
    if (!state) {
        __asm__ volatile("movb $1, %%gs:%c0" : : "i"(BENCH_IRQ_OFF) : "memory");
        return;
    }
    __asm__ volatile("movb $0, %%gs:%c1; cmpl $0, %%gs:%c2"
                     : "=@ccne"(pending)
                     : "i"(BENCH_IRQ_OFF), "i"(BENCH_PENDING)
                     : "memory");
    if (__builtin_expect(pending, 0))
        bench_deliver();
}
static inline void hal_irq_enable(void)
{
    hal_irq_restore(HAL_IRQ_ON);
}
static inline bool hal_irq_enabled(void)
{
    unsigned char off;
    __asm__ volatile("movb %%gs:%c1, %0" : "=q"(off) : "i"(BENCH_IRQ_OFF) : "memory");
    return !off;
}

/* Interrupts are delivered in restore, idle and user mode only: nothing comes in between. */
static inline unsigned long hal_brief_begin(void)
{
    __asm__ volatile("" : : : "memory");
    return 0;
}
static inline void hal_brief_end(unsigned long state)
{
    (void)state;
    __asm__ volatile("" : : : "memory");
}

static inline void *hal_phys_to_virt(paddr_t pa)
{
    return (void *)(bench_direct_map + pa);
}
static inline paddr_t hal_virt_to_phys(const void *va)
{
    return (uintptr_t)va - bench_direct_map;
}
static inline void hal_ram_prepare(paddr_t pa, size_t len)
{
    (void)pa, (void)len;
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
}

#endif
