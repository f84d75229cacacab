/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/x64/isa/sigframe.c platform/x64/isa/fp.c */
/* include: platform/x64 */
/* covers: platform/x64/isa/sigframe.c */
/* lines: 95 */
/* length: 200 */
/* runs: 20000 */
/* sigreturn_x64_fuzz.c - signal frames of x86-64; see sigreturn_body.h. */
#include "sigreturn_body.h"

#include "isa/fp.h"

static void make_frame(struct isa_frame *frame)
{
    memset(frame, 0, sizeof(*frame));
    frame->rsp = 0x7fffe000;
    frame->rip = 0x401234;
    frame->rflags = 0x202;
}

static void handler_returns(struct isa_frame *frame)
{
    frame->rsp += 8;
}

/* Interrupts are on, and of the system flags only those that a program may set (SDM vol. 1, 3.4.3);
 * the vector registers are what XRSTOR takes. */
static void check_frame(const struct isa_frame *frame)
{
    static const uint64_t program = 0x254dd5; /* CF PF AF ZF SF TF DF OF, RF AC ID */
    uint64_t features, compaction;
    uint32_t mxcsr;

    FUZZ_CHECK(frame->rflags & 0x200);
    FUZZ_CHECK((frame->rflags & ~(program | 0x202)) == 0);
    memcpy(&mxcsr, fp_back + 24, sizeof(mxcsr));
    FUZZ_CHECK((mxcsr & ~isa_fp_info.mxcsr_mask) == 0);
    if (!isa_fp_info.xsave)
        return;
    memcpy(&features, fp_back + 512, sizeof(features));
    memcpy(&compaction, fp_back + 520, sizeof(compaction));
    FUZZ_CHECK((features & ~isa_fp_info.features) == 0 && compaction == 0);
}
