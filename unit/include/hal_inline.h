/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_inline.h - the backend of the unit tests: a machine with one CPU, simulated by
 * unit/fake_hal.c inside the test program. Interrupt masking is a flag; nothing interrupts.
 */
#ifndef SELKIE_HAL_INLINE_H
#define SELKIE_HAL_INLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HAL_STACKS_GROW 1

struct hal_ctx {
    void *tls;
};

/* One leaf models 512 consecutive pages; leaves are sorted by address. */
struct fake_leaf;
struct hal_space {
    struct fake_leaf **leaves;
    size_t leaf_count, leaf_capacity;
};

extern void *fake_self;      /* what hal_thread_get returns */
extern unsigned fake_cpu_id; /* the executing CPU; the test may change it */
extern void *fake_cpu_local[HAL_CPU_MAX];
extern bool fake_irqs_off;      /* hal_irq_save sets it */
extern uintptr_t fake_ram_base; /* host address of physical address 0 (which need not exist) */

/* Contexts here have no frames to walk. */
static inline void hal_ctx_where(const struct hal_ctx *ctx, uintptr_t *pc, uintptr_t *fp)
{
    (void)ctx;
    *pc = *fp = 0;
}
static inline unsigned hal_cpu_id(void)
{
    return fake_cpu_id;
}
static inline void *hal_cpu_local(void)
{
    return fake_cpu_local[fake_cpu_id];
}
static inline void hal_cpu_relax(void)
{
}
static inline bool hal_cpu_polling(bool on)
{
    (void)on;
    return false;
}
static inline void *hal_thread_get(void)
{
    return fake_self;
}
static inline void hal_thread_set(void *self)
{
    fake_self = self;
}
/* As on every backend, nothing is moved across these by the compiler. */
static inline unsigned long hal_irq_save(void)
{
    unsigned long old = !fake_irqs_off;
    fake_irqs_off = true;
    __asm__ volatile("" ::: "memory");
    return old;
}
static inline void hal_irq_restore(unsigned long state)
{
    __asm__ volatile("" ::: "memory");
    fake_irqs_off = state == 0;
}
static inline void hal_irq_enable(void)
{
    fake_irqs_off = false;
}
static inline bool hal_irq_enabled(void)
{
    return !fake_irqs_off;
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
    return (void *)(fake_ram_base + pa);
}
static inline void hal_ram_prepare(paddr_t pa, size_t len)
{
    (void)pa, (void)len;
}
static inline paddr_t hal_virt_to_phys(const void *va)
{
    return (uintptr_t)va - fake_ram_base;
}

/* Device registers: what a test of a driver simulates. */
uint32_t fake_mmio_read(const volatile void *reg);
void fake_mmio_write(volatile void *reg, uint32_t value);
/* Elsewhere it would be a fault of some machines. */
static inline void fake_mmio_aligned(const volatile void *reg, size_t width)
{
    if ((uintptr_t)reg % width)
        __builtin_trap();
}
static inline uint8_t hal_mmio_read8(const volatile void *reg)
{
    return (uint8_t)fake_mmio_read(reg);
}
static inline uint16_t hal_mmio_read16(const volatile void *reg)
{
    fake_mmio_aligned(reg, 2);
    return (uint16_t)fake_mmio_read(reg);
}
static inline void hal_mmio_write8(volatile void *reg, uint8_t value)
{
    fake_mmio_write(reg, value);
}
static inline void hal_mmio_write16(volatile void *reg, uint16_t value)
{
    fake_mmio_aligned(reg, 2);
    fake_mmio_write(reg, value);
}
static inline uint32_t hal_mmio_read32(const volatile void *reg)
{
    fake_mmio_aligned(reg, 4);
    return fake_mmio_read(reg);
}
static inline void hal_mmio_write32(volatile void *reg, uint32_t value)
{
    fake_mmio_aligned(reg, 4);
    fake_mmio_write(reg, value);
}
static inline void hal_device_barrier(void)
{
}

#endif
