/* SPDX-License-Identifier: BSD-3-Clause */
/* hal_attack_aarch64.c - forbidden things that only exist on AArch64: jumps past landing pads, and
 * return addresses that were not signed for the place they are used at. On a CPU with BTI and
 * pointer authentication, as QEMU's `max`. */
#include "hal_attack.h"

static volatile unsigned always = 1; /* the compiler does not know */

static __attribute__((noinline)) void target(void)
{
    __asm__ volatile("nop; nop");
}

/* Behind the pad that `target` begins with, which is one instruction whatever kind it is. */
static void bti_call(void)
{
    ((void (*)(void))((uintptr_t)target + 4 * always))();
}

/* The pad of a function is for calls, not for jumps through any register. */
static void bti_jump(void)
{
    __asm__ volatile("mov x9, %0; adr x30, 1f; br x9; 1:"
                     :
                     : "r"((uintptr_t)target)
                     : "x9", "x30", "memory");
}

static void end_of_attack(void)
{
    (void)hal_console_write(HAL_STREAM_LOG, "SURVIVED\n", 9);
    hal_poweroff(1);
}

/* A write to the stack that changes where a function returns to. */
static void forged_return(void)
{
    volatile uintptr_t *record = __builtin_frame_address(0);

    __asm__ volatile("" : : : "x30", "memory"); /* so that this function has a frame */
    record[1] = (uintptr_t)end_of_attack + 4;   /* a return needs no landing pad */
}

static uintptr_t stolen;

static __attribute__((noinline)) void steal(void)
{
    const volatile uintptr_t *record = __builtin_frame_address(0);

    __asm__ volatile("" : : : "x30", "memory");
    stolen = record[1];
}

static __attribute__((noinline)) void replay(void)
{
    volatile uintptr_t *record = __builtin_frame_address(0);

    __asm__ volatile("" : : : "x30", "memory");
    record[1] = stolen;
}

/* Another stack pointer than where `steal` was called. */
static __attribute__((noinline)) void deeper(void)
{
    char space[256];

    __asm__ volatile("" : : "r"(space) : "memory");
    replay();
    __asm__ volatile("" : : "r"(space) : "memory");
}

/* A return address that the kernel has signed, used in another frame. */
static void replayed_return(void)
{
    static unsigned times;

    steal();
    if (times++ > 0)
        end_of_attack();
    deeper();
}

const struct hal_attack hal_attacks_isa[] = {
    {"bti-call", bti_call},
    {"bti-jump", bti_jump},
    {"forged-return", forged_return},
    {"replayed-return", replayed_return},
    {NULL, NULL},
};
