/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/*
 * isa_aarch64_test.c - the parts of platform/aarch64/isa that are plain C: call-site patching,
 * signal frames, open flags.
 */
#include "../../platform/aarch64/isa/frame_offsets.h"

#include "../../platform/aarch64/isa/frame.h"

#include "../../platform/aarch64/isa/abi.h"

#include "../../platform/aarch64/isa/fp.h"

#include "../../platform/aarch64/isa/patch.c"

#include "../../platform/aarch64/isa/sigframe.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

void *fake_self;
bool fake_irqs_off;
uintptr_t fake_ram_base;
bool isa_has_bti;

static const uint32_t code[] = {0xd2800808 /* mov x8, #64 */, 0xd4000001, 0xd65f03c0,
                                0xd2801168 /* mov x8, #139 */, 0xd4000001};
#define CODE_VA 0x400000u
#define ENTRY 0xffffffff80001000u

static bool plan(uintptr_t site, uintptr_t tramp, struct isa_patch *out)
{
    return isa_patch_plan((const uint8_t *)code, sizeof(code), CODE_VA, site, tramp, ENTRY, out);
}

static uint64_t tramp_word(const struct isa_patch *p, unsigned at)
{
    uint64_t v;

    memcpy(&v, p->tramp + at, 8);
    return v;
}

static void test_patch(void **state)
{
    struct isa_patch p;
    uint32_t insn;

    (void)state;
    assert_true(plan(CODE_VA + 4, CODE_VA + 0x1000, &p));
    assert_true(p.patch_va == CODE_VA + 4 && p.patch_len == 4);
    memcpy(&insn, p.patch, 4);
    assert_int_equal(insn, 0x14000000 | (0x1000 - 4) / 4);
    assert_true(tramp_word(&p, 32) == ENTRY && tramp_word(&p, 40) == CODE_VA + 8);
    assert_true(p.tramp_len == 48 && p.tramp_len <= ISA_TRAMPOLINE_MAX);
    memcpy(&insn, p.tramp + 16, 4); /* ldr x16, pc + 16 */
    assert_int_equal(insn, 0x58000090);
    memcpy(&insn, p.tramp + 20, 4); /* ldr x17, pc + 20 */
    assert_int_equal(insn, 0x580000b1);
    memcpy(&insn, p.tramp + 8, 4); /* sub sp, sp, #304 */
    assert_int_equal(insn, 0xd104c3ff);
    memcpy(&insn, p.tramp + 12, 4); /* stp x16, x17, [sp, #128] */
    assert_int_equal(insn, 0xa90847f0);
    /* The way back, before anything has happened. */
    struct isa_patch again;
    isa_patch_of(p.tramp, CODE_VA + 0x1000, &again);
    assert_true(again.patch_va == p.patch_va && again.patch_len == 4);
    assert_memory_equal(again.patch, p.patch, 4);
    struct isa_frame frame = {.pc = CODE_VA + 0x1000};
    isa_patch_leave(&frame, p.tramp, 4);
    assert_true(isa_frame_pc(&frame) == CODE_VA + 0x1000);
    isa_patch_leave(&frame, p.tramp, 0);
    assert_true(isa_frame_pc(&frame) == CODE_VA + 4);
    /* Backwards, and the limits of the branch. */
    assert_true(plan(CODE_VA + 4, CODE_VA - 0x1000, &p));
    memcpy(&insn, p.patch, 4);
    assert_int_equal(insn, 0x14000000 | (((uint32_t) - (0x1000 + 4) / 4) & 0x3ffffff));
    assert_true(plan(CODE_VA + 4, CODE_VA + isa_patch_reach, &p));
    assert_false(plan(CODE_VA + 4, CODE_VA + 4 + (1u << 27), &p));
    assert_true(plan(CODE_VA + 4, CODE_VA + (1u << 27), &p));
    /* Not a system call, the signal restorer, out of the buffer, unaligned. */
    assert_false(plan(CODE_VA, CODE_VA + 0x1000, &p));
    assert_false(plan(CODE_VA + 16, CODE_VA + 0x1000, &p));
    assert_false(plan(CODE_VA + 20, CODE_VA + 0x1000, &p));
    assert_false(plan(CODE_VA - 4, CODE_VA + 0x1000, &p));
    assert_false(plan(CODE_VA + 6, CODE_VA + 0x1000, &p));
    assert_false(isa_patch_plan((const uint8_t *)code, sizeof(code), CODE_VA, CODE_VA + 4,
                                CODE_VA + 0x1000, 0, &p));
}

static uint8_t fp[FP_SIZE], fp_back[FP_SIZE];
static uint8_t image[8192];

static size_t build(struct isa_frame *f, uintptr_t *at)
{
    uint8_t info[128];
    struct isa_signal sig = {.signo = 11,
                             .info = (const struct siginfo *)(const void *)info,
                             .handler = 0x1234,
                             .restorer = 0x5678,
                             .mask = 0xabcd,
                             .alt_stack = 0x7000,
                             .alt_stack_size = 0x2000,
                             .alt_stack_flags = 2,
                             .fault = {.addr = 0xdead, .syndrome = 0x92000046}};

    memset(info, 0x5a, sizeof(info));
    for (unsigned i = 0; i < 31; i++)
        f->x[i] = 100 + i;
    f->sp = 0x8000;
    f->pc = 0x4000;
    f->pstate = 0x60000004;
    for (unsigned i = 0; i < FP_SIZE; i++)
        fp[i] = i < 520 ? (uint8_t)(i * 7) : 0;
    return isa_sigframe_build(f, fp, &sig, 0x800009, image, at);
}

static void test_sigframe(void **state)
{
    struct isa_frame f = {0};
    struct isa_sigreturn out;
    uintptr_t at;
    size_t size = build(&f, &at);
    uint64_t v;

    (void)state;
    assert_true(size <= isa_sigframe_size() && at % 16 == 0 && at + size <= 0x800009);
    assert_true(f.x[0] == 11 && f.x[1] == at && f.x[2] == at + 128 && f.sp == at);
    assert_true(f.x[30] == 0x5678 && f.pc == 0x1234 && f.x[29] == at + 4688);
    memcpy(&v, image + 4688, 8);
    assert_true(v == 129);
    memcpy(&v, image + 128 + 176, 8);
    assert_true(v == 0xdead);
    memcpy(&v, image + 128 + 176 + 8 + 256, 8); /* pc; sp before it, pstate behind */
    assert_true(v == 0x4000);
    assert_true(isa_sigframe_addr(&f) == at);
    /* Behind the 528 bytes of vector registers: magic, size, syndrome; then the end. */
    memcpy(&v, image + 128 + 176 + 288 + 528, 8);
    assert_true(v == 0x1045535201);
    memcpy(&v, image + 128 + 176 + 288 + 536, 8);
    assert_true(v == 0x92000046);
    memcpy(&v, image + 128 + 176 + 288 + 544, 8);
    assert_true(v == 0);

    memset(&f, 0xff, sizeof(f));
    assert_int_equal(isa_sigframe_restore(&f, fp_back, image, isa_sigframe_image_size(), at, &out),
                     0);
    for (unsigned i = 0; i < 31; i++)
        assert_true(f.x[i] == 100 + i);
    assert_true(f.sp == 0x8000 && f.pc == 0x4000 && f.pstate == 0x60000004);
    assert_true(f.sysno == ISA_NO_SYSCALL);
    assert_memory_equal(fp, fp_back, 520);
    assert_true(out.mask == 0xabcd && out.alt_stack == 0x7000 && out.alt_stack_size == 0x2000 &&
                out.alt_stack_flags == 2);
}

/* A handler is entered as by a call, and BTYPE of what it interrupted comes back, where the CPU has
 * BTI; nothing else of the program status does. */
static void test_sigframe_btype(void **state)
{
    struct isa_sigreturn out;
    struct isa_frame f = {0};
    uintptr_t at;
    uint64_t v;

    (void)state;
    for (int bti = 0; bti < 2; bti++) {
        isa_has_bti = bti;
        (void)build(&f, &at);
        assert_int_equal(f.pstate & 0xc00, bti ? 0x800 : 0);
        v = 0xffffffffffffffff; /* what a program would like to have */
        memcpy(image + 128 + 176 + 8 + 256 + 8, &v, 8);
        assert_int_equal(
            isa_sigframe_restore(&f, fp_back, image, isa_sigframe_image_size(), at, &out), 0);
        assert_int_equal(f.pstate, 0xf0000004 | (bti ? 0xc00 : 0));
    }
    isa_has_bti = false;
}

static int restore_with(size_t offset, uint64_t value, size_t len)
{
    struct isa_frame f = {0};
    struct isa_sigreturn out;
    uintptr_t at;

    (void)build(&f, &at);
    memcpy(image + offset, &value, len);
    return isa_sigframe_restore(&f, fp_back, image, isa_sigframe_image_size(), at, &out);
}

static void test_sigframe_bad(void **state)
{
    const size_t records = 128 + 176 + 288, end = records + 528;
    struct isa_frame f = {0};
    struct isa_sigreturn out;
    uintptr_t at;

    (void)state;
    assert_int_equal(restore_with(end, 0, 8), 0);
    assert_int_equal(restore_with(records, 0, 8), -EINVAL);              /* no vector record */
    assert_int_equal(restore_with(records + 4, 512, 4), -EINVAL);        /* too short */
    assert_int_equal(restore_with(records + 4, 0xfffffff0, 4), -EINVAL); /* too long */
    assert_int_equal(restore_with(end, 0x46508001 | 528ull << 32, 8), -EINVAL); /* twice */
    assert_int_equal(restore_with(end, 0x45535201 | 16ull << 32, 8), 0);        /* esr record */
    assert_int_equal(restore_with(end, 0x12345678 | 16ull << 32, 8), -EINVAL);
    assert_int_equal(restore_with(end, 0x45535201, 8), -EINVAL); /* size 0: no end */
    (void)build(&f, &at);
    assert_int_equal(isa_sigframe_restore(&f, fp_back, image, 4687, at, &out), -EINVAL);
    assert_int_equal(isa_sigframe_restore(&f, fp_back, image, 4688, at + 8, &out), -EINVAL);
    /* Privileged status bits are not taken. */
    (void)build(&f, &at);
    memset(image + 128 + 176 + 8 + 264, 0xff, 8);
    assert_int_equal(isa_sigframe_restore(&f, fp_back, image, 4688, at, &out), 0);
    assert_true(f.pstate == 0xf0000004);
}

static void test_open_flags(void **state)
{
    (void)state;
    assert_int_equal(isa_open_flags_in(040000), 0200000);  /* O_DIRECTORY */
    assert_int_equal(isa_open_flags_in(0100000), 0400000); /* O_NOFOLLOW */
    assert_int_equal(isa_open_flags_in(0200000), 040000);  /* O_DIRECT */
    assert_int_equal(isa_open_flags_in(0400000), 0100000); /* O_LARGEFILE */
    for (unsigned bit = 0; bit < 32; bit++)
        assert_int_equal(isa_open_flags_out(isa_open_flags_in(1u << bit)), 1u << bit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patch),        cmocka_unit_test(test_sigframe),
        cmocka_unit_test(test_sigframe_bad), cmocka_unit_test(test_sigframe_btype),
        cmocka_unit_test(test_open_flags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
