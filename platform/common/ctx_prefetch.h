/* SPDX-License-Identifier: BSD-3-Clause */
/* ctx_prefetch.h - what a context needs first when it is switched to, the same on every backend. */
#ifndef SELKIE_COMMON_CTX_PREFETCH_H
#define SELKIE_COMMON_CTX_PREFETCH_H

#include "isa.h"

/* What a switch pops and what the kernel's functions use on their way back to user code. */
#define CTX_RETURN_BYTES 768
#define CTX_USER_STACK_BYTES 128

/* hal_ctx_prefetch for a context whose kernel stack ends at `stack_top`. */
static inline void ctx_prefetch(const struct hal_ctx *ctx, uintptr_t stack_top, bool close)
{
    const struct isa_frame *frame = (const struct isa_frame *)stack_top - 1;

    if (!close)
        isa_prefetch((const void *)ctx->sp, MIN(stack_top - ctx->sp, CTX_RETURN_BYTES));
    if (!ctx->fp)
        return;
    isa_fp_prefetch(ctx->fp, close);
    if (close) {
        isa_prefetch((const void *)(isa_frame_sp(frame) - CTX_USER_STACK_BYTES),
                     2 * CTX_USER_STACK_BYTES);
        isa_prefetch((const void *)ctx->tls, 64);
    }
}

#endif
