/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_inline.h - the backend of the scheduler's tests: several CPUs simulated in one host thread
 * (unit/sched/sim.c). Interrupts are delivered where they are enabled; at those places, in spin
 * loops and before every atomic access another CPU may go on, as a seed decides: what is tested is
 * every step of a lock or a wake-up, in the shipped source.
 */
#ifndef SELKIE_HAL_INLINE_H
#define SELKIE_HAL_INLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The host has a function of this name, and the sanitizers call it. */
#define sched_yield selkie_sched_yield

/* A macro is not expanded within itself. */
#define __atomic_load_n(...) (sim_access(), __atomic_load_n(__VA_ARGS__))
#define __atomic_store_n(...) (sim_access(), __atomic_store_n(__VA_ARGS__))
#define __atomic_exchange_n(...) (sim_access(), __atomic_exchange_n(__VA_ARGS__))
#define __atomic_compare_exchange_n(...) (sim_access(), __atomic_compare_exchange_n(__VA_ARGS__))
#define __atomic_fetch_add(...) (sim_access(), __atomic_fetch_add(__VA_ARGS__))
#define __atomic_fetch_sub(...) (sim_access(), __atomic_fetch_sub(__VA_ARGS__))
#define __atomic_fetch_or(...) (sim_access(), __atomic_fetch_or(__VA_ARGS__))
#define __atomic_fetch_and(...) (sim_access(), __atomic_fetch_and(__VA_ARGS__))
#define __atomic_add_fetch(...) (sim_access(), __atomic_add_fetch(__VA_ARGS__))
#define __atomic_sub_fetch(...) (sim_access(), __atomic_sub_fetch(__VA_ARGS__))

#define HAL_STACKS_GROW 1

struct hal_ctx {
    void *flow; /* struct sim_flow */
};
struct hal_space {
    int unused_;
};

struct sim_cpu_head {
    void *thread;
    unsigned id;
    void *local;
    bool irq_off;
};
extern struct sim_cpu_head *sim_cpu; /* the executing CPU */
void sim_point(void);                /* another CPU may go on here */
void sim_access(void);               /* and here, before each atomic access */
void sim_deliver(void);              /* interrupts have been enabled */

/* Contexts here have no frames to walk. */
static inline void hal_ctx_where(const struct hal_ctx *ctx, uintptr_t *pc, uintptr_t *fp)
{
    (void)ctx;
    *pc = *fp = 0;
}
static inline unsigned hal_cpu_id(void)
{
    return sim_cpu->id;
}
static inline void *hal_cpu_local(void)
{
    return sim_cpu->local;
}
static inline void hal_cpu_relax(void)
{
    sim_point();
}
static inline bool hal_cpu_polling(bool on)
{
    (void)on;
    return false;
}
static inline void *hal_thread_get(void)
{
    return sim_cpu->thread;
}
static inline void hal_thread_set(void *self)
{
    sim_cpu->thread = self;
}
static inline unsigned long hal_irq_save(void)
{
    unsigned long on = !sim_cpu->irq_off;
    sim_cpu->irq_off = true;
    return on;
}
static inline void hal_irq_restore(unsigned long state)
{
    sim_cpu->irq_off = !state;
    if (state)
        sim_deliver();
}
static inline void hal_irq_enable(void)
{
    hal_irq_restore(1);
}
static inline bool hal_irq_enabled(void)
{
    return !sim_cpu->irq_off;
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
    return (void *)(uintptr_t)pa;
}
static inline paddr_t hal_virt_to_phys(const void *va)
{
    return (uintptr_t)va;
}

/* No devices here. gcc wants to see every inline entry defined. */
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
static inline void hal_ram_prepare(paddr_t pa, size_t len)
{
    (void)pa, (void)len;
}

#endif
