/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_inline.h - the backend of the allocator's benchmark: every host thread is a CPU. Interrupts
 * are masked as on hosted, by a flag in memory and a look at what is pending.
 */
#ifndef SELKIE_HAL_INLINE_H
#define SELKIE_HAL_INLINE_H

struct hal_ctx {
    void *tls;
};
struct hal_space {
    void *tables;
};

struct bench_cpu {
    unsigned id;
    unsigned char irq_off;
    unsigned pending;
    void *self;
};
extern __thread struct bench_cpu bench_cpu;
extern uintptr_t bench_direct_map;

static inline unsigned hal_cpu_id(void)
{
    return bench_cpu.id;
}
static inline void hal_cpu_relax(void)
{
    __asm__ volatile("" ::: "memory");
}
static inline void *hal_thread_get(void)
{
    return bench_cpu.self;
}
static inline void hal_thread_set(void *self)
{
    bench_cpu.self = self;
}
static inline unsigned long hal_irq_save(void)
{
    unsigned char off = bench_cpu.irq_off;
    bench_cpu.irq_off = 1;
    __asm__ volatile("" ::: "memory");
    return !off;
}
void bench_deliver(void);
static inline void hal_irq_restore(unsigned long state)
{
    __asm__ volatile("" ::: "memory");
    bench_cpu.irq_off = !state;
    if (state && __builtin_expect(bench_cpu.pending != 0, 0))
        bench_deliver();
}
static inline void hal_irq_enable(void)
{
    hal_irq_restore(HAL_IRQ_ON);
}
static inline bool hal_irq_enabled(void)
{
    return !bench_cpu.irq_off;
}
static inline void *hal_phys_to_virt(paddr_t pa)
{
    return (void *)(bench_direct_map + pa);
}
static inline paddr_t hal_virt_to_phys(const void *va)
{
    return (uintptr_t)va - bench_direct_map;
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
