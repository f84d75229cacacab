/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/aarch64/isa/sigframe.c */
/* include: platform/aarch64 */
/* covers: platform/aarch64/isa/sigframe.c */
/* lines: 95 */
/* length: 200 */
/* runs: 20000 */
/* sigreturn_aarch64_fuzz.c - signal frames of AArch64; see sigreturn_body.h. */
#include "sigreturn_body.h"

#include "isa/fp.h"

bool isa_has_bti;

void isa_fp_setup(void)
{
}
size_t isa_fp_size(void)
{
    return FP_SIZE;
}
void isa_fp_init(void *fp)
{
    memset(fp, 0, FP_SIZE);
}

static void make_frame(struct isa_frame *frame)
{
    memset(frame, 0, sizeof(*frame));
    frame->sp = 0x7fffe000;
    frame->pc = 0x401234;
    frame->pstate = FRAME_PSTATE_USER;
}

static void handler_returns(struct isa_frame *frame)
{
    (void)frame;
}

/* Flags of conditions and landing pads; the mode is the program's, whatever the frame says. */
static void check_frame(const struct isa_frame *frame)
{
    uint64_t free = FRAME_PSTATE_NZCV | (isa_has_bti ? FRAME_PSTATE_BTYPE : 0);

    FUZZ_CHECK((frame->pstate & ~free) == FRAME_PSTATE_USER);
    FUZZ_CHECK(frame->sysno == ISA_NO_SYSCALL);
    isa_has_bti = frame->x[0] & 1;
}
