/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sigreturn_body.h - rt_sigreturn reads a frame out of user memory: any bytes. Starting from a
 * frame that the kernel has built, the input changes words of it and cuts it; what is accepted must
 * leave registers that a program may have (check_frame, of the architecture), and a frame that was
 * not changed gives back what was put in.
 */
#ifndef SELKIE_FUZZ_SIGRETURN_BODY_H
#define SELKIE_FUZZ_SIGRETURN_BODY_H

#include <string.h>

#include "fuzz.h"
#include "isa.h"
#include "proc/signal.h"

#define STACK_TOP 0x7ffff000ul
#define IMAGE_MAX 16384

static void check_frame(const struct isa_frame *frame);
static void make_frame(struct isa_frame *frame);
static void handler_returns(struct isa_frame *frame); /* to the restorer, which makes the call */

static uint8_t fp_saved[4096] __attribute__((aligned(64)));
static uint8_t fp_back[4096] __attribute__((aligned(64)));

static size_t build(struct isa_frame *frame, uint8_t *image, uintptr_t *at)
{
    static struct siginfo info = {.signo = SIGSEGV, .code = SEGV_MAPERR, .addr = 0x123};
    struct isa_signal sig = {.signo = SIGSEGV,
                             .info = &info,
                             .handler = 0x401000,
                             .restorer = 0x402000,
                             .mask = 0x5555,
                             .alt_stack = 0x700000,
                             .alt_stack_size = 0x4000,
                             .alt_stack_flags = SS_DISABLE};

    make_frame(frame);
    isa_fault_note(&sig.fault, true, 0x123, 14, 0x92000046);
    isa_fp_setup(); /* the first time */
    isa_fp_init(fp_saved);
    return isa_sigframe_build(frame, fp_saved, &sig, STACK_TOP, image, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size, 0};
    static uint8_t image[IMAGE_MAX];
    struct isa_frame built, frame, before;
    struct isa_sigreturn out = {0};
    uintptr_t at;
    size_t full = build(&built, image, &at);
    bool changed = size > 0;

    FUZZ_CHECK(full <= isa_sigframe_size() && full <= IMAGE_MAX && at + full <= STACK_TOP);
    handler_returns(&built);
    FUZZ_CHECK(isa_sigframe_addr(&built) == at && isa_sigframe_image_size() <= full);
    size_t len = changed && fuzz_u8(&in) % 8 == 0 ? fuzz_u16(&in) % (full + 1) : full;
    while (fuzz_more(&in)) {
        uint16_t where = fuzz_u16(&in);
        uint64_t value = where & 1 ? fuzz_u64(&in) : fuzz_u8(&in);

        memcpy(image + where / 2 % (full - 8), &value, where & 1 ? 8 : 1);
    }
    uint8_t *exact = malloc(len ? len : 1);
    FUZZ_CHECK(exact);
    memcpy(exact, image, len);
    make_frame(&before);
    frame = before;
    int err = isa_sigframe_restore(&frame, fp_back, exact, len, at, &out);
    free(exact);
    FUZZ_CHECK(err == 0 || err < 0);
    if (err == 0)
        check_frame(&frame);
    if (!changed) {
        FUZZ_CHECK(err == 0 && isa_frame_pc(&frame) == isa_frame_pc(&before));
        FUZZ_CHECK(isa_frame_sp(&frame) == isa_frame_sp(&before));
        FUZZ_CHECK(out.mask == 0x5555 && out.alt_stack == 0x700000 && out.alt_stack_size == 0x4000);
        FUZZ_CHECK(memcmp(fp_saved, fp_back, isa_fp_size()) == 0);
    }
    return 0;
}

#endif
