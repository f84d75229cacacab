/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctx.c - contexts, and who owns the vector registers and the FS base.
 *
 * Plain builds: the program's values stay in the CPU while the kernel runs on its behalf.
 *   ctx->fp_live     the registers belong to ctx and may be newer than its memory. Only the
 *                    executing context can be live.
 *   vcpu->fp_owner   whose values the registers hold; valid only if that context's fp_cpu is this
 *                    CPU (it may have run and changed elsewhere since, or have been freed).
 *   vcpu->fp_stale   the executing context's values must be loaded before user code runs.
 * Saved when switching away; loaded on the way out, if anyone else has used the registers.
 *
 * Sanitizer builds: the kernel's code uses vector registers and host TLS. Every entry saves both
 * and every exit loads both, so a context in the kernel is never live. Contexts are fibers to the
 * sanitizers' run-time libraries.
 */
#include "hosted.h"

#include "common/ctx_prefetch.h"

#define FP_NOWHERE UINT_MAX
#define USER_ADDRESS_END (1ull << 47)

#if SELKIE_ASAN
void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old,
                                     size_t *size_old);
void __asan_unpoison_memory_region(const volatile void *addr, size_t size);
#else
static inline void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom,
                                                  size_t size)
{
    (void)fake_stack_save, (void)bottom, (void)size;
}
static inline void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old,
                                                   size_t *size_old)
{
    (void)fake_stack_save, (void)bottom_old, (void)size_old;
}
static inline void __asan_unpoison_memory_region(const volatile void *addr, size_t size)
{
    (void)addr, (void)size;
}
#endif
#if SELKIE_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#else
static inline void *__tsan_get_current_fiber(void)
{
    return NULL;
}
static inline void *__tsan_create_fiber(unsigned flags)
{
    (void)flags;
    return NULL;
}
static inline void __tsan_destroy_fiber(void *fiber)
{
    (void)fiber;
}
static inline void __tsan_switch_to_fiber(void *fiber, unsigned flags)
{
    (void)fiber, (void)flags;
}
#endif

static uintptr_t stack_top(const struct hal_ctx *ctx)
{
    return (ctx->stack + ctx->size) & ~(uintptr_t)15;
}

void hal_ctx_init(struct hal_ctx *ctx, void *stack, size_t size, void (*fn)(void *), void *arg,
                  void *fp)
{
    uintptr_t *sp;

    *ctx = (struct hal_ctx){
        .stack = (uintptr_t)stack,
        .size = size,
        .fn = fn,
        .arg = arg,
        .fp = fp,
        .fp_cpu = FP_NOWHERE,
    };
    /* The stack may have been abandoned by its last user. */
    __asan_unpoison_memory_region(stack, size);
    ctx->fiber = __tsan_create_fiber(0);
    /* As hosted_switch leaves it: return address, six callee-saved registers. */
    sp = (uintptr_t *)stack_top(ctx);
    *--sp = (uintptr_t)hosted_ctx_start;
    for (unsigned i = 0; i < 6; i++)
        *--sp = 0;
    ctx->sp = (uintptr_t)sp;
}

/* First C code of a new context, called by hosted_ctx_start. */
no_sanitize void hosted_ctx_begin(void)
{
    struct hal_ctx *ctx = vcpu_self()->ctx;

    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
    ctx->fn(ctx->arg);
    kernel_hal_panic("a context's function returned", (uintptr_t)ctx->fn, 0);
}

static void vcpu_set_ctx(struct vcpu *v, struct hal_ctx *ctx)
{
    v->ctx = ctx;
    v->frame = (struct isa_frame *)(stack_top(ctx) - sizeof(struct isa_frame));
}

void hal_ctx_adopt(struct hal_ctx *ctx, void *stack, size_t size)
{
    *ctx = (struct hal_ctx){
        .stack = (uintptr_t)stack,
        .size = size,
        .fp_cpu = FP_NOWHERE,
        .fiber = __tsan_get_current_fiber(),
    };
    /* Tell AddressSanitizer which stack it is on: it knows the host thread's only. */
    __sanitizer_start_switch_fiber(&ctx->fake_stack, stack, size);
    __sanitizer_finish_switch_fiber(ctx->fake_stack, NULL, NULL);
    vcpu_set_ctx(vcpu_self(), ctx);
}

void hal_ctx_destroy(struct hal_ctx *ctx)
{
    if (ctx->fiber)
        __tsan_destroy_fiber(ctx->fiber);
    ctx->fiber = NULL;
    ctx->fp_cpu = FP_NOWHERE;
}

/* Give the FS base and the vector registers of `from` up, prepare those of `to`. */
static void registers_switch(struct vcpu *v, struct hal_ctx *from, struct hal_ctx *to)
{
    uint64_t base;
    bool held;

    if (SELKIE_SANITIZE)
        return;
    base = fs_base_read();
    if (from->fp)
        from->tls = base;
    if (from->fp_live) {
        isa_fp_save(from->fp);
        from->fp_live = false;
    }
    if (to->fp && base != to->tls)
        fs_base_write(to->tls);
    held = to->fp && v->fp_owner == to && to->fp_cpu == v->id;
    to->fp_live = held;
    v->fp_stale = to->fp && !held;
}

no_sanitize void hal_ctx_switch(struct hal_ctx *from, struct hal_ctx *to, bool last)
{
    struct vcpu *v = vcpu_self();

    registers_switch(v, from, to);
    vcpu_set_ctx(v, to);
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake_stack, (void *)to->stack, to->size);
    __tsan_switch_to_fiber(to->fiber, 0);
    hosted_switch(&from->sp, to->sp);
    /* Perhaps on another virtual CPU. */
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
}

void hal_ctx_prefetch(const struct hal_ctx *ctx, bool close)
{
    ctx_prefetch(ctx, stack_top(ctx), close);
}

void hal_ctx_set_tls(struct hal_ctx *ctx, uint64_t base)
{
    ctx->tls = base;
    /* A non-canonical base would fault here; the system-call border refuses it. */
    if (!SELKIE_SANITIZE && ctx == vcpu_self()->ctx && base < USER_ADDRESS_END)
        fs_base_write(base);
}

uint64_t hal_ctx_tls(const struct hal_ctx *ctx)
{
    if (!SELKIE_SANITIZE && ctx == vcpu_self()->ctx)
        return fs_base_read();
    return ctx->tls;
}

void hal_ctx_fp_sync(struct hal_ctx *ctx)
{
    if (SELKIE_SANITIZE)
        return;
    if (ctx->fp_live) {
        isa_fp_save(ctx->fp);
        ctx->fp_live = false;
    }
    ctx->fp_cpu = FP_NOWHERE;
    if (ctx == vcpu_self()->ctx)
        vcpu_self()->fp_stale = 1;
}

void hosted_fp_load(struct vcpu *v)
{
    struct hal_ctx *ctx = v->ctx;

    isa_fp_restore(ctx->fp);
    ctx->fp_live = true;
    ctx->fp_cpu = v->id;
    v->fp_owner = ctx;
    v->fp_stale = 0;
}

_Noreturn void hal_user_enter(struct isa_frame *frame)
{
    struct hal_ctx *ctx = vcpu_self()->ctx;

    /* Stack frames that are never returned from keep their red zones otherwise. */
    __asan_unpoison_memory_region((void *)ctx->stack, ctx->size);
    hosted_leave(frame);
}

uintptr_t hal_direct_entry(void)
{
    return (uintptr_t)hosted_direct_entry;
}

/* Sanitizer builds: from user code, the program's FS base and vector registers in the CPU. */
no_sanitize void hosted_sanitizer_enter(struct isa_frame *frame)
{
    struct vcpu *v = vcpu_self();

    (void)frame;
    isa_fp_save(v->ctx->fp);
    v->ctx->tls = fs_base_read();
    fs_base_write(v->host_fs);
    *(volatile uint8_t *)&v->selector = 0;
}

no_sanitize void hosted_sanitizer_leave(struct isa_frame *frame)
{
    struct vcpu *v = vcpu_self();

    (void)frame;
    *(volatile uint8_t *)&v->selector = 1;
    fs_base_write(v->ctx->tls);
    isa_fp_restore(v->ctx->fp);
}
