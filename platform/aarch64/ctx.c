/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctx.c - kernel contexts, and who owns the vector and TLS registers.
 *
 * Vector registers: they belong to the executing context once aarch64_fp_load() has run on the way
 * to user code (fp_live). A switch saves them then, and only then. They are loaded again on the
 * next way to user code, unless this CPU still holds exactly what was saved: nobody loaded others
 * (cpu->fp_owner) and the context has not been elsewhere (ctx->fp_cpu).
 *
 * TPIDR_EL0 can be changed by the program without us, so it is read back at each switch.
 */
#include "aarch64.h"
#include "lib/string.h"
#include "protect.h"

#include "common/core.h"
#include "common/ctx_prefetch.h"
#include "common/kasan.h"

#define SWITCH_WORDS 12 /* what aarch64_switch loads: x19..x30 */

static void ctx_reset(struct hal_ctx *ctx, void *stack, size_t size, void *fp)
{
    *ctx = (struct hal_ctx){
        .stack_lo = (uintptr_t)stack,
        .stack_top = ((uintptr_t)stack + size) & ~(uintptr_t)15,
        .fp = fp,
        .fp_cpu = UINT_MAX,
    };
}

static void enter_ctx(struct aarch64_cpu *cpu, struct hal_ctx *ctx)
{
    cpu->ctx = ctx;
    cpu->stack_lo = ctx->stack_lo;
    cpu->stack_size = ctx->stack_top - ctx->stack_lo;
}

void hal_ctx_init(struct hal_ctx *ctx, void *stack, size_t size, void (*fn)(void *), void *arg,
                  void *fp)
{
    uintptr_t *sp;

    ctx_reset(ctx, stack, size, fp);
    sp = (uintptr_t *)ctx->stack_top - SWITCH_WORDS;
    memset(sp, 0, SWITCH_WORDS * sizeof(*sp));
    sp[0] = (uintptr_t)fn;
    sp[1] = (uintptr_t)arg;
    sp[SWITCH_WORDS - 1] = a64_sign_return((uintptr_t)aarch64_ctx_start, ctx->stack_top);
    ctx->sp = (uintptr_t)sp;
}

void hal_ctx_adopt(struct hal_ctx *ctx, void *stack, size_t size)
{
    ctx_reset(ctx, stack, size, NULL);
    enter_ctx(aarch64_this_cpu(), ctx);
}

uintptr_t kasan_stack_top(uintptr_t sp)
{
    const struct hal_ctx *ctx = aarch64_this_cpu()->ctx;

    return ctx && sp >= ctx->stack_lo && sp < ctx->stack_top ? ctx->stack_top : sp;
}

void hal_ctx_destroy(struct hal_ctx *ctx)
{
    (void)ctx;
}

void hal_ctx_switch(struct hal_ctx *from, struct hal_ctx *to, bool last)
{
    struct aarch64_cpu *cpu = aarch64_this_cpu();

    if (from->fp) {
        from->tls = a64_read(tpidr_el0);
        if (from->fp_live && !last)
            isa_fp_save(from->fp);
        else if (from->fp_live)
            cpu->fp_owner = NULL;
        from->fp_live = false;
    }
    if (to->fp) {
        a64_write(tpidr_el0, to->tls);
        cpu->fp_stale = 1;
    }
    /* While the stack's bounds are still those of `from`: what aarch64_switch and these calls write
     * to it must be there. */
    __asm__ volatile("sub x9, sp, #512; ldr xzr, [x9]" : : : "x9", "memory");
    enter_ctx(cpu, to);
    aarch64_switch(&from->sp, to->sp);
}

void hal_ctx_prefetch(const struct hal_ctx *ctx, bool close)
{
    ctx_prefetch(ctx, ctx->stack_top, close);
}

/* From entry.S on the way to user code, interrupts off. */
void aarch64_fp_load(void)
{
    struct aarch64_cpu *cpu = aarch64_this_cpu();
    struct hal_ctx *ctx = cpu->ctx;

    if (cpu->fp_owner != ctx || ctx->fp_cpu != cpu->id) {
        isa_fp_restore(ctx->fp);
        if (isa_pointer_auth)
            a64_keys_load(ctx->fp);
    }
    cpu->fp_owner = ctx;
    ctx->fp_cpu = cpu->id;
    ctx->fp_live = true;
    cpu->fp_stale = 0;
}

void hal_ctx_fp_sync(struct hal_ctx *ctx)
{
    unsigned long irq = hal_irq_save();
    struct aarch64_cpu *cpu = aarch64_this_cpu();

    if (ctx->fp_live)
        isa_fp_save(ctx->fp);
    ctx->fp_live = false;
    ctx->fp_cpu = UINT_MAX;
    if (cpu->ctx == ctx)
        cpu->fp_stale = 1;
    hal_irq_restore(irq);
}

void core_fp_keep(void)
{
    const struct hal_ctx *ctx = aarch64_this_cpu()->ctx;

    if (ctx && ctx->fp_live)
        isa_fp_save(ctx->fp);
}

const void *core_fp_area(unsigned cpu)
{
    const struct hal_ctx *ctx = aarch64_cpus[cpu]->ctx;

    return ctx ? ctx->fp : NULL;
}

void hal_ctx_set_tls(struct hal_ctx *ctx, uint64_t base)
{
    unsigned long irq = hal_irq_save();

    ctx->tls = base;
    if (aarch64_this_cpu()->ctx == ctx)
        a64_write(tpidr_el0, base);
    hal_irq_restore(irq);
}

uint64_t hal_ctx_tls(const struct hal_ctx *ctx)
{
    unsigned long irq = hal_irq_save();
    uint64_t base = aarch64_this_cpu()->ctx == ctx ? a64_read(tpidr_el0) : ctx->tls;

    hal_irq_restore(irq);
    return base;
}
