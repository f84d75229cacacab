/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sigframe.c - the signal frame of arm64 Linux (uapi asm/sigcontext.h, asm/ucontext.h).
 *
 * On the stack, upwards from the handler's stack pointer:
 *
 *   siginfo
 *   ucontext      flags, link, alternate stack, mask, sigcontext: general registers, then records
 *                 {magic, size, ...} in 4096 bytes: the vector registers, the syndrome of the
 *                 latest fault if there was one, and an end record
 *   frame record  {fp, lr} of the interrupted code, for unwinders; x29 points here
 *
 * Going back nothing in the image is trusted: of the program status only the condition flags and
 * BTYPE are taken. Record kinds that we never write are skipped if they are well formed, as Linux
 * skips what it knows; an image without vector registers is refused, as there.
 */
#include "fp.h"
#include "isa.h"
#include "lib/errno.h"
#include "lib/string.h"

#define SIGINFO_SIZE 128
#define RECORD_ALIGN 16

#define FPSIMD_MAGIC 0x46508001u
#define FPSIMD_SIZE 528u
#define ESR_MAGIC 0x45535201u
#define ESR_SIZE 16u

#define SIGCONTEXT_RESERVED 4096

struct record {
    uint32_t magic, size;
};

struct fpsimd_record {
    struct record head;
    uint32_t fpsr, fpcr;
    uint8_t vregs[FP_VREGS_SIZE];
};
STATIC_ASSERT(sizeof(struct fpsimd_record) == FPSIMD_SIZE);

struct sigcontext {
    uint64_t fault_address;
    uint64_t regs[31];
    uint64_t sp, pc, pstate;
    uint64_t pad;
    uint8_t reserved[SIGCONTEXT_RESERVED];
};
STATIC_ASSERT(offsetof(struct sigcontext, reserved) == 288);

struct ucontext {
    uint64_t flags, link;
    uint64_t stack_sp;
    uint32_t stack_flags, pad;
    uint64_t stack_size;
    uint64_t mask;
    uint8_t unused_mask[120];
    uint64_t pad2;
    struct sigcontext mc;
};
STATIC_ASSERT(offsetof(struct ucontext, mask) == 40);
STATIC_ASSERT(offsetof(struct ucontext, mc) == 176);

struct rt_sigframe {
    uint8_t info[SIGINFO_SIZE];
    struct ucontext uc;
};
STATIC_ASSERT(sizeof(struct rt_sigframe) == 4688);

struct frame_record {
    uint64_t fp, lr;
};
#define IMAGE_SIZE (sizeof(struct rt_sigframe) + sizeof(struct frame_record))
STATIC_ASSERT(sizeof(struct rt_sigframe) % 16 == 0);

size_t isa_sigframe_image_size(void)
{
    return sizeof(struct rt_sigframe);
}

/* There is no red zone on arm64. */
size_t isa_sigframe_size(void)
{
    return IMAGE_SIZE + 15;
}

/* The image is large: it is written in place, part by part, and `buf` need not be aligned. */
static void image_put(void *buf, size_t offset, const void *src, size_t len)
{
    memcpy((uint8_t *)buf + offset, src, len);
}

static void context_out(void *buf, const struct isa_frame *f, const struct isa_signal *sig)
{
    uint8_t head[offsetof(struct ucontext, mc)] = {0};
    uint64_t regs[1 + 31 + 3];

    memcpy(head + offsetof(struct ucontext, stack_sp), &sig->alt_stack, 8);
    memcpy(head + offsetof(struct ucontext, stack_flags), &sig->alt_stack_flags, 4);
    memcpy(head + offsetof(struct ucontext, stack_size), &sig->alt_stack_size, 8);
    memcpy(head + offsetof(struct ucontext, mask), &sig->mask, 8);
    regs[0] = sig->fault.addr;
    memcpy(regs + 1, f->x, sizeof(f->x));
    regs[32] = f->sp;
    regs[33] = f->pc;
    regs[34] = f->pstate & (FRAME_PSTATE_NZCV | FRAME_PSTATE_BTYPE); /* EL0t is 0 */
    image_put(buf, offsetof(struct rt_sigframe, uc), head, sizeof(head));
    image_put(buf, offsetof(struct rt_sigframe, uc.mc), regs, sizeof(regs));
}

/* Behind the vector registers; the rest of the buffer is zero, which ends the list. */
static void syndrome_out(void *buf, uint64_t syndrome)
{
    const struct record head = {ESR_MAGIC, ESR_SIZE};
    const size_t at = offsetof(struct rt_sigframe, uc.mc.reserved) + FPSIMD_SIZE;

    if (!syndrome)
        return;
    image_put(buf, at, &head, sizeof(head));
    image_put(buf, at + sizeof(head), &syndrome, sizeof(syndrome));
}

/* Linux keeps thread.{fault_address,fault_code}; what is no abort has no address
 * (arm64_notify_die).
 */
void isa_fault_note(struct isa_fault *record, bool memory, uintptr_t addr, uint32_t trap,
                    uint64_t syndrome)
{
    record->addr = memory ? addr : 0;
    record->trap = trap;
    record->syndrome = syndrome;
}

static void fp_out(void *buf, const void *fp)
{
    const struct record head = {FPSIMD_MAGIC, FPSIMD_SIZE};
    const size_t at = offsetof(struct rt_sigframe, uc.mc.reserved);
    const uint8_t *from = fp;

    image_put(buf, at, &head, sizeof(head));
    image_put(buf, at + offsetof(struct fpsimd_record, fpsr), from + FP_FPSR, 4);
    image_put(buf, at + offsetof(struct fpsimd_record, fpcr), from + FP_FPCR, 4);
    image_put(buf, at + offsetof(struct fpsimd_record, vregs), from, FP_VREGS_SIZE);
}

size_t isa_sigframe_build(struct isa_frame *frame, const void *fp, const struct isa_signal *sig,
                          uintptr_t sp, void *buf, uintptr_t *at)
{
    uintptr_t record_va = align_down(sp - sizeof(struct frame_record), 16);
    uintptr_t frame_va = record_va - sizeof(struct rt_sigframe);
    const struct frame_record record = {frame->x[29], frame->x[30]};

    memset(buf, 0, IMAGE_SIZE);
    image_put(buf, 0, sig->info, SIGINFO_SIZE);
    context_out(buf, frame, sig);
    fp_out(buf, fp);
    syndrome_out(buf, sig->fault.syndrome);
    image_put(buf, sizeof(struct rt_sigframe), &record, sizeof(record));

    frame->x[0] = (uint64_t)sig->signo;
    frame->x[1] = frame_va + offsetof(struct rt_sigframe, info);
    frame->x[2] = frame_va + offsetof(struct rt_sigframe, uc);
    frame->x[29] = record_va;
    frame->x[30] = sig->restorer;
    frame->sp = frame_va;
    frame->pc = sig->handler;
    frame->pstate &= ~(uint64_t)FRAME_PSTATE_BTYPE;
    if (isa_has_bti) /* the handler is called, as through a pointer */
        frame->pstate |= FRAME_PSTATE_BTYPE_CALL;
    *at = frame_va;
    return IMAGE_SIZE;
}

uintptr_t isa_sigframe_addr(const struct isa_frame *frame)
{
    return frame->sp;
}

static void fp_in(void *fp, const uint8_t *record)
{
    uint8_t *to = fp;

    memcpy(to, record + offsetof(struct fpsimd_record, vregs), FP_VREGS_SIZE);
    memcpy(to + FP_FPSR, record + offsetof(struct fpsimd_record, fpsr), 4);
    memcpy(to + FP_FPCR, record + offsetof(struct fpsimd_record, fpcr), 4);
}

/* Find the one vector record among the records at `from`. NULL if the list is malformed. */
static const uint8_t *records_check(const uint8_t *from)
{
    const uint8_t *fpsimd = NULL;
    size_t at = 0;

    while (SIGCONTEXT_RESERVED - at >= sizeof(struct record)) {
        struct record head;

        memcpy(&head, from + at, sizeof(head));
        if (head.magic == 0)
            return head.size == 0 ? fpsimd : NULL;
        if (head.size < sizeof(head) || head.size % RECORD_ALIGN != 0 ||
            head.size > SIGCONTEXT_RESERVED - at)
            return NULL;
        if (head.magic == FPSIMD_MAGIC) {
            if (fpsimd || head.size < FPSIMD_SIZE)
                return NULL;
            fpsimd = from + at;
        } else if (head.magic != ESR_MAGIC) {
            return NULL;
        }
        at += head.size;
    }
    return NULL;
}

int isa_sigframe_restore(struct isa_frame *frame, void *fp, const void *buf, size_t size,
                         uintptr_t at, struct isa_sigreturn *out)
{
    const uint8_t *image = buf, *fpsimd, *uc = image + offsetof(struct rt_sigframe, uc);
    uint64_t regs[1 + 31 + 3];

    if (size < sizeof(struct rt_sigframe) || at % 16 != 0)
        return -EINVAL;
    fpsimd = records_check(image + offsetof(struct rt_sigframe, uc.mc.reserved));
    if (!fpsimd)
        return -EINVAL;
    fp_in(fp, fpsimd);
    memcpy(regs, image + offsetof(struct rt_sigframe, uc.mc), sizeof(regs));
    memcpy(frame->x, regs + 1, sizeof(frame->x));
    frame->sp = regs[32];
    frame->pc = regs[33];
    frame->pstate = (regs[34] & (FRAME_PSTATE_NZCV | (isa_has_bti ? FRAME_PSTATE_BTYPE : 0))) |
                    FRAME_PSTATE_USER;
    frame->sysno = ISA_NO_SYSCALL;
    memcpy(&out->mask, uc + offsetof(struct ucontext, mask), 8);
    memcpy(&out->alt_stack, uc + offsetof(struct ucontext, stack_sp), 8);
    memcpy(&out->alt_stack_size, uc + offsetof(struct ucontext, stack_size), 8);
    memcpy(&out->alt_stack_flags, uc + offsetof(struct ucontext, stack_flags), 4);
    return 0;
}
