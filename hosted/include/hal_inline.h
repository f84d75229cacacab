/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_inline.h - the inline half of hal.h for the hosted backend.
 *
 * %gs points to the executing virtual CPU's struct vcpu for ever. Kernel code is never taken off
 * its virtual CPU between two instructions: the interrupt signal only marks interrupts as pending
 * while kernel code runs. So a flag and a check do what cli and sti do on a machine.
 */
#ifndef SELKIE_HAL_INLINE_H
#define SELKIE_HAL_INLINE_H

#include "common/pgtable.h"
#include "vcpu_offsets.h"

/* Not where run-time libraries of sanitizers give the host buffers on the stack, nor where one
 * panic stack serves all virtual CPUs (sim.c). */
#define HAL_STACKS_GROW (!SELKIE_SANITIZE && !SELKIE_SIM)

struct hal_ctx {
    uintptr_t sp;          /* while not running */
    uintptr_t stack, size; /* kernel stack */
    void (*fn)(void *);    /* what a new context starts with */
    void *arg;
    void *fp;         /* isa_fp area; NULL: never runs user code */
    uint64_t tls;     /* FS base; in plain builds stale while running */
    unsigned fp_cpu;  /* CPU whose registers still equal *fp; UINT_MAX: none */
    bool fp_live;     /* the registers are newer than *fp */
    void *fiber;      /* ThreadSanitizer's */
    void *fake_stack; /* AddressSanitizer's */
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
    __asm__ volatile("movl %%gs:%c1, %k0" : "=r"(id) : "i"(VCPU_ID));
    if (id > UINT32_MAX)
        __builtin_unreachable();
    return (unsigned)id;
}

static inline void *hal_cpu_local(void)
{
    void *local;

    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(local) : "i"(VCPU_LOCAL));
    return local;
}

/* Simulation: another virtual CPU may take its turn here (docs/simulation.md). */
#if SELKIE_SIM
void hosted_sim_point(void);
void hosted_sim_point_at(const void *place); /* whose code it is in */
#else
static inline void hosted_sim_point(void)
{
}
#endif

void hosted_relax(void);
static inline void hal_cpu_relax(void)
{
    __asm__ volatile("pause" : : : "memory");
    hosted_relax();
}

bool hosted_polling(bool on);
static inline bool hal_cpu_polling(bool on)
{
    return hosted_polling(on);
}

static inline void *hal_thread_get(void)
{
    void *self;

    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(self) : "i"(VCPU_THREAD));
    return self;
}

static inline void hal_thread_set(void *self)
{
    __asm__ volatile("movq %0, %%gs:%c1" : : "r"(self), "i"(VCPU_THREAD) : "memory");
}

/* The state is 1 when interrupts are on. */
static inline unsigned long hal_irq_save(void)
{
    unsigned char off;

    hosted_sim_point();
    __asm__ volatile("movb %%gs:%c1, %0; movb $1, %%gs:%c1"
                     : "=&q"(off)
                     : "i"(VCPU_IRQ_OFF)
                     : "memory");
    return !off;
}

void hosted_irq_deliver(void);
static inline void hal_irq_restore(unsigned long state)
{
    bool pending;

    if (!state) {
        __asm__ volatile("movb $1, %%gs:%c0" : : "i"(VCPU_IRQ_OFF) : "memory");
        return;
    }
    hosted_sim_point();
    /* What becomes pending after this look is delivered by the next one. */
    __asm__ volatile("movb $0, %%gs:%c1; cmpl $0, %%gs:%c2"
                     : "=@ccne"(pending)
                     : "i"(VCPU_IRQ_OFF), "i"(VCPU_PENDING)
                     : "memory");
    if (__builtin_expect(pending, 0))
        hosted_irq_deliver();
}

static inline void hal_irq_enable(void)
{
    hal_irq_restore(HAL_IRQ_ON);
}

static inline bool hal_irq_enabled(void)
{
    unsigned char off;

    __asm__ volatile("movb %%gs:%c1, %0" : "=q"(off) : "i"(VCPU_IRQ_OFF) : "memory");
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

extern uintptr_t hosted_direct_map; /* address of physical address 0 */
static inline void *hal_phys_to_virt(paddr_t pa)
{
    return (void *)(hosted_direct_map + pa);
}
static inline paddr_t hal_virt_to_phys(const void *va)
{
    return (uintptr_t)va - hosted_direct_map;
}

void hosted_ram_prepare(paddr_t pa, size_t len);
static inline void hal_ram_prepare(paddr_t pa, size_t len)
{
    hosted_ram_prepare(pa, len);
}

/* The device is a model (dev.c). */
uint32_t hosted_mmio_read(uintptr_t reg, unsigned width);
void hosted_mmio_write(uintptr_t reg, uint32_t value, unsigned width);
static inline uint8_t hal_mmio_read8(const volatile void *reg)
{
    return (uint8_t)hosted_mmio_read((uintptr_t)reg, 1);
}
static inline uint16_t hal_mmio_read16(const volatile void *reg)
{
    return (uint16_t)hosted_mmio_read((uintptr_t)reg, 2);
}
static inline uint32_t hal_mmio_read32(const volatile void *reg)
{
    return hosted_mmio_read((uintptr_t)reg, 4);
}
static inline void hal_mmio_write8(volatile void *reg, uint8_t value)
{
    hosted_mmio_write((uintptr_t)reg, value, 1);
}
static inline void hal_mmio_write16(volatile void *reg, uint16_t value)
{
    hosted_mmio_write((uintptr_t)reg, value, 2);
}
static inline void hal_mmio_write32(volatile void *reg, uint32_t value)
{
    hosted_mmio_write((uintptr_t)reg, value, 4);
}
static inline void hal_device_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
