/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sigframe.c - the signal frame of x86-64 Linux (uapi asm/sigcontext.h, asm/ucontext.h).
 *
 * On the stack, upwards from the handler's stack pointer:
 *
 *   pretcode      return address: the restorer
 *   ucontext      flags, link, alternate stack, general registers (sigcontext), signal mask
 *   siginfo
 *   fpstate       XSAVE area, aligned to 64, whose bytes 464..511 say how long it is; then MAGIC2
 *
 * and above it the red zone of the interrupted function, 128 bytes. The fixed part is 440 bytes,
 * so an fpstate directly behind it leaves the frame at 8 modulo 16, as at a function's entry.
 *
 * Going back nothing in the image is trusted: segment registers are ignored, flags, MXCSR and the
 * set of vector components are cut to what programs may set.
 */
#include "isa.h"
#include "isa/fp.h"
#include "lib/errno.h"
#include "lib/string.h"

#define RED_ZONE 128
#define SIGINFO_SIZE 128
#define FP_ALIGN 64

#define MAGIC1 0x46505853u
#define MAGIC2 0x46505845u
#define MAGIC2_SIZE 4

#define UC_FP_XSTATE 1ull
#define UC_SIGCONTEXT_SS 2ull
#define UC_STRICT_RESTORE_SS 4ull

/* The selectors that programs see: Linux's __USER_CS and __USER_DS. */
#define SHOWN_CS 0x33
#define SHOWN_SS 0x2b

#define PF_USER 4 /* of a page fault's error code */

struct sigcontext {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2;
    uint64_t fpstate;
    uint64_t reserved[8];
};
STATIC_ASSERT(sizeof(struct sigcontext) == 256);
STATIC_ASSERT(offsetof(struct sigcontext, rip) == 128);
STATIC_ASSERT(offsetof(struct sigcontext, fpstate) == 184);

struct ucontext {
    uint64_t flags, link;
    uint64_t stack_sp;
    uint32_t stack_flags, pad;
    uint64_t stack_size;
    struct sigcontext mc;
    uint64_t mask;
};
STATIC_ASSERT(sizeof(struct ucontext) == 304);
STATIC_ASSERT(offsetof(struct ucontext, mc) == 40);
STATIC_ASSERT(offsetof(struct ucontext, mask) == 296);

struct rt_sigframe {
    uint64_t pretcode;
    struct ucontext uc;
    uint8_t info[SIGINFO_SIZE];
};
STATIC_ASSERT(sizeof(struct rt_sigframe) == 440);

/* What Linux writes into the software bytes of the FXSAVE area. */
struct fp_sw_bytes {
    uint32_t magic1, extended_size;
    uint64_t features;
    uint32_t xstate_size;
    uint32_t pad[7];
};
STATIC_ASSERT(sizeof(struct fp_sw_bytes) == 48);

static size_t image_size(void)
{
    return sizeof(struct rt_sigframe) + isa_fp_info.size + (isa_fp_info.xsave ? MAGIC2_SIZE : 0);
}

size_t isa_sigframe_image_size(void)
{
    return image_size();
}

size_t isa_sigframe_size(void)
{
    return image_size() + RED_ZONE + FP_ALIGN - 1;
}

static void registers_out(struct sigcontext *mc, const struct isa_frame *f)
{
    mc->r8 = f->r8;
    mc->r9 = f->r9;
    mc->r10 = f->r10;
    mc->r11 = f->r11;
    mc->r12 = f->r12;
    mc->r13 = f->r13;
    mc->r14 = f->r14;
    mc->r15 = f->r15;
    mc->rdi = f->rdi;
    mc->rsi = f->rsi;
    mc->rbp = f->rbp;
    mc->rbx = f->rbx;
    mc->rdx = f->rdx;
    mc->rax = f->rax;
    mc->rcx = f->rcx;
    mc->rsp = f->rsp;
    mc->rip = f->rip;
    mc->rflags = f->rflags;
    mc->cs = SHOWN_CS;
    mc->ss = SHOWN_SS;
}

static void registers_in(struct isa_frame *f, const struct sigcontext *mc)
{
    f->r8 = mc->r8;
    f->r9 = mc->r9;
    f->r10 = mc->r10;
    f->r11 = mc->r11;
    f->r12 = mc->r12;
    f->r13 = mc->r13;
    f->r14 = mc->r14;
    f->r15 = mc->r15;
    f->rdi = mc->rdi;
    f->rsi = mc->rsi;
    f->rbp = mc->rbp;
    f->rbx = mc->rbx;
    f->rdx = mc->rdx;
    f->rax = mc->rax;
    f->rcx = mc->rcx;
    f->rsp = mc->rsp;
    f->rip = mc->rip;
    f->rflags = (f->rflags & ~ISA_RFLAGS_USER) | (mc->rflags & ISA_RFLAGS_USER);
    f->trapped = FRAME_TRAPPED_FULL;
    f->orig_rax = ISA_NO_SYSCALL;
}

static void fp_out(uint8_t *dst, const void *fp)
{
    const uint32_t magic2 = MAGIC2;
    struct fp_sw_bytes sw = {
        .magic1 = MAGIC1,
        .extended_size = (uint32_t)isa_fp_info.size + MAGIC2_SIZE,
        .features = isa_fp_info.features,
        .xstate_size = (uint32_t)isa_fp_info.size,
    };

    memcpy(dst, fp, isa_fp_info.size);
    isa_fp_complete(dst);
    if (!isa_fp_info.xsave) {
        memset(dst + FP_SW_RESERVED, 0, sizeof(sw));
        return;
    }
    memcpy(dst + FP_SW_RESERVED, &sw, sizeof(sw));
    memcpy(dst + isa_fp_info.size, &magic2, sizeof(magic2));
}

/* Linux keeps thread.{cr2,trap_nr,error_code}: the address changes with page faults only. */
void isa_fault_note(struct isa_fault *record, bool memory, uintptr_t addr, uint32_t trap,
                    uint64_t syndrome)
{
    if (memory)
        record->addr = addr;
    record->trap = trap;
    record->syndrome = memory ? syndrome | PF_USER : syndrome;
}

size_t isa_sigframe_build(struct isa_frame *frame, const void *fp, const struct isa_signal *sig,
                          uintptr_t sp, void *buf, uintptr_t *at)
{
    size_t size = image_size();
    uintptr_t fp_va = align_down(sp - RED_ZONE - (size - sizeof(struct rt_sigframe)), FP_ALIGN);
    uintptr_t frame_va = fp_va - sizeof(struct rt_sigframe);
    struct rt_sigframe out = {
        .pretcode = sig->restorer,
        .uc = {.flags =
                   UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (isa_fp_info.xsave ? UC_FP_XSTATE : 0),
               .stack_sp = sig->alt_stack,
               .stack_flags = sig->alt_stack_flags,
               .stack_size = sig->alt_stack_size,
               .mask = sig->mask,
               .mc = {.err = sig->fault.syndrome,
                      .trapno = sig->fault.trap,
                      .oldmask = sig->mask,
                      .cr2 = sig->fault.addr,
                      .fpstate = fp_va}},
    };

    registers_out(&out.uc.mc, frame);
    memcpy(out.info, sig->info, SIGINFO_SIZE);
    memcpy(buf, &out, sizeof(out));
    fp_out((uint8_t *)buf + sizeof(out), fp);

    frame->rdi = (uint64_t)sig->signo;
    frame->rsi = frame_va + offsetof(struct rt_sigframe, info);
    frame->rdx = frame_va + offsetof(struct rt_sigframe, uc);
    frame->rax = 0;
    frame->rsp = frame_va;
    frame->rflags &= ~(ISA_RFLAGS_DF | ISA_RFLAGS_RF | ISA_RFLAGS_TF);
    isa_frame_set_pc(frame, sig->handler);
    *at = frame_va;
    return size;
}

/* The handler's `ret` has taken pretcode off the stack. */
uintptr_t isa_sigframe_addr(const struct isa_frame *frame)
{
    return frame->rsp - offsetof(struct rt_sigframe, uc);
}

/* How much of the XSAVE area at `src` (room for `size` bytes) is there: Linux's rule is that
 * without the magic numbers only the legacy part counts. */
static size_t fp_image_len(const uint8_t *src, size_t size)
{
    struct fp_sw_bytes sw;
    uint32_t magic2;

    memcpy(&sw, src + FP_SW_RESERVED, sizeof(sw));
    if (!isa_fp_info.xsave || sw.magic1 != MAGIC1 || sw.xstate_size > isa_fp_info.size ||
        sw.xstate_size < FP_LEGACY_SIZE + FP_HEADER_SIZE || sw.xstate_size + MAGIC2_SIZE > size)
        return FP_LEGACY_SIZE;
    memcpy(&magic2, src + sw.xstate_size, sizeof(magic2));
    return magic2 == MAGIC2 ? sw.xstate_size : FP_LEGACY_SIZE;
}

/* -EINVAL for what the CPU would refuse with #GP (SDM vol. 1, 13.8: XRSTOR). */
static int fp_in(void *fp, const uint8_t *src, size_t size)
{
    uint8_t *dst = fp;
    uint32_t mxcsr;
    uint64_t features = FP_X87 | FP_SSE;
    size_t len;

    if (size < FP_LEGACY_SIZE)
        return -EINVAL;
    memcpy(&mxcsr, src + FP_MXCSR, sizeof(mxcsr));
    if (mxcsr & ~isa_fp_info.mxcsr_mask)
        return -EINVAL;
    len = fp_image_len(src, size);
    memset(dst, 0, isa_fp_info.size);
    memcpy(dst, src, len);
    memset(dst + FP_SW_RESERVED, 0, FP_LEGACY_SIZE - FP_SW_RESERVED);
    if (!isa_fp_info.xsave)
        return 0;
    if (len > FP_LEGACY_SIZE) {
        struct fp_sw_bytes sw;

        memcpy(&sw, src + FP_SW_RESERVED, sizeof(sw));
        memcpy(&features, src + FP_XSTATE_BV, sizeof(features));
        features &= isa_fp_info.features & sw.features;
    }
    /* The header's other words must be zero in the standard format. */
    memset(dst + FP_LEGACY_SIZE, 0, FP_HEADER_SIZE);
    memcpy(dst + FP_XSTATE_BV, &features, sizeof(features));
    return 0;
}

int isa_sigframe_restore(struct isa_frame *frame, void *fp, const void *buf, size_t size,
                         uintptr_t at, struct isa_sigreturn *out)
{
    struct rt_sigframe in;
    uint64_t fp_offset;
    int err = 0;

    if (size < sizeof(in))
        return -EINVAL;
    memcpy(&in, buf, sizeof(in));
    if (in.uc.mc.fpstate == 0) {
        isa_fp_init(fp);
    } else {
        fp_offset = in.uc.mc.fpstate - at;
        if (fp_offset < sizeof(in) || fp_offset >= size)
            return -EINVAL;
        err = fp_in(fp, (const uint8_t *)buf + fp_offset, size - fp_offset);
    }
    if (err)
        return err;
    registers_in(frame, &in.uc.mc);
    *out = (struct isa_sigreturn){
        .mask = in.uc.mask,
        .alt_stack = in.uc.stack_sp,
        .alt_stack_size = in.uc.stack_size,
        .alt_stack_flags = in.uc.stack_flags,
    };
    return 0;
}
