/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctx.c - kernel contexts, and who owns the vector and TLS registers.
 *
 * Vector registers: they belong to the executing context once x64_fp_load() has run on the way to
 * user code (fp_live). A switch saves them then, and only then. They are loaded again on the next
 * way to user code, unless this CPU still holds exactly what was saved: nobody loaded others
 * (cpu->fp_owner) and the context has not been elsewhere (ctx->fp_cpu).
 *
 * FS base: with FSGSBASE a program can change it without us, so it is read back at each switch.
 */
#include "lib/string.h"
#include "x64.h"

#include "common/core.h"
#include "common/ctx_prefetch.h"
#include "common/kasan.h"

#define MSR_FS_BASE 0xc0000100

static uint64_t fs_read(const struct hal_ctx *ctx)
{
    uint64_t base;

    if (!x64_features.fsgsbase)
        return ctx->tls;
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

static void fs_write(uint64_t base)
{
    if (x64_features.fsgsbase)
        __asm__ volatile("wrfsbase %0" : : "r"(base) : "memory");
    else
        x64_wrmsr(MSR_FS_BASE, base);
}

static void ctx_reset(struct hal_ctx *ctx, void *stack, size_t size, void *fp)
{
    *ctx = (struct hal_ctx){
        .stack_lo = (uintptr_t)stack,
        .stack_top = ((uintptr_t)stack + size) & ~(uintptr_t)15,
        .fp = fp,
        .fp_cpu = UINT_MAX,
    };
}

static void enter_ctx(struct x64_cpu *cpu, struct hal_ctx *ctx)
{
    cpu->ctx = ctx;
    cpu->kstack = ctx->stack_top - sizeof(struct isa_frame);
}

void hal_ctx_init(struct hal_ctx *ctx, void *stack, size_t size, void (*fn)(void *), void *arg,
                  void *fp)
{
    uintptr_t *sp;

    ctx_reset(ctx, stack, size, fp);
    /* What x64_switch pops: r15 r14 r13 r12 rbx rbp and the return address. One word is left
     * above it, so that x64_ctx_start begins with rsp aligned for its call. */
    sp = (uintptr_t *)ctx->stack_top - 8;
    memset(sp, 0, 8 * sizeof(*sp));
    sp[2] = (uintptr_t)arg;
    sp[3] = (uintptr_t)fn;
    sp[6] = (uintptr_t)x64_ctx_start;
    ctx->sp = (uintptr_t)sp;
}

void hal_ctx_adopt(struct hal_ctx *ctx, void *stack, size_t size)
{
    ctx_reset(ctx, stack, size, NULL);
    enter_ctx(x64_this_cpu(), ctx);
}

uintptr_t kasan_stack_top(uintptr_t sp)
{
    const struct hal_ctx *ctx = x64_this_cpu()->ctx;

    return ctx && sp >= ctx->stack_lo && sp < ctx->stack_top ? ctx->stack_top : sp;
}

void hal_ctx_destroy(struct hal_ctx *ctx)
{
    (void)ctx;
}

void hal_ctx_switch(struct hal_ctx *from, struct hal_ctx *to, bool last)
{
    struct x64_cpu *cpu = x64_this_cpu();

    if (from->fp) {
        from->tls = fs_read(from);
        if (from->fp_live && !last)
            isa_fp_save(from->fp);
        else if (from->fp_live)
            cpu->fp_owner = NULL;
        from->fp_live = false;
    }
    if (to->fp) {
        fs_write(to->tls);
        cpu->fp_stale = 1;
    }
    enter_ctx(cpu, to);
    x64_switch(&from->sp, to->sp);
}

void hal_ctx_prefetch(const struct hal_ctx *ctx, bool close)
{
    ctx_prefetch(ctx, ctx->stack_top, close);
}

/* From entry.S on the way to user code, interrupts off. */
void x64_fp_load(void)
{
    struct x64_cpu *cpu = x64_this_cpu();
    struct hal_ctx *ctx = cpu->ctx;

    if (cpu->fp_owner != ctx || ctx->fp_cpu != cpu->id)
        isa_fp_restore(ctx->fp);
    cpu->fp_owner = ctx;
    ctx->fp_cpu = cpu->id;
    ctx->fp_live = true;
    cpu->fp_stale = 0;
}

void hal_ctx_fp_sync(struct hal_ctx *ctx)
{
    unsigned long irq = hal_irq_save();
    struct x64_cpu *cpu = x64_this_cpu();

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
    const struct hal_ctx *ctx = x64_this_cpu()->ctx;

    if (ctx && ctx->fp_live)
        isa_fp_save(ctx->fp);
}

const void *core_fp_area(unsigned cpu)
{
    const struct hal_ctx *ctx = x64_cpus[cpu]->ctx;

    return ctx ? ctx->fp : NULL;
}

void hal_ctx_set_tls(struct hal_ctx *ctx, uint64_t base)
{
    unsigned long irq = hal_irq_save();

    ctx->tls = base;
    if (x64_this_cpu()->ctx == ctx)
        fs_write(base);
    hal_irq_restore(irq);
}

uint64_t hal_ctx_tls(const struct hal_ctx *ctx)
{
    unsigned long irq = hal_irq_save();
    uint64_t base = x64_this_cpu()->ctx == ctx ? fs_read(ctx) : ctx->tls;

    hal_irq_restore(irq);
    return base;
}
