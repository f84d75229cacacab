/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * panic.c - the end: message, back trace, power off.
 *
 * The first CPU that panics owns the machine: it stops the others and prints. A CPU that panics
 * later waits to be stopped. A panic inside a panic prints one line more and powers off at once.
 * Nothing here takes a lock or allocates.
 *
 * Frames are found by frame pointers: on x86-64 (System V ABI, 3.4.1) and AArch64 (AAPCS64, 6.4.6)
 * alike the frame pointer points to a pair {caller's frame pointer, return address}.
 */
#include "core/panic.h"

#include "core/assert.h"
#include "core/percpu.h"
#include "hal_up.h"
#include "isa/frame.h"
#include "lib/format.h"
#include "lib/string.h"

#define FRAME_MAX 40
#define FRAME_SIZE_MAX 0x10000u /* a larger step is not a frame of ours */

static unsigned panic_owner; /* atomic: 0, or 1 + the CPU that prints */
static bool panic_nested;    /* atomic: the owner has panicked again */

bool panic_active(void)
{
    return __atomic_load_n(&panic_owner, __ATOMIC_RELAXED) != 0;
}

static void say(const char *fmt, ...) printf_like(1, 2);
static void say(const char *fmt, ...)
{
    char line[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n > 0)
        hal_console_panic(line, MIN((size_t)n, sizeof line - 1));
}

static void say_address(unsigned number, uintptr_t pc)
{
    const char *name;
    uintptr_t offset;
    if (hal_symbol(pc, &name, &offset))
        say("  #%-2u %#lx %s+%#lx\n", number, (unsigned long)pc, name, (unsigned long)offset);
    else
        say("  #%-2u %#lx\n", number, (unsigned long)pc);
}

/* Reading other functions' frames: the sanitizers would object. */
no_sanitize void backtrace_print(uintptr_t pc, uintptr_t fp)
{
    struct hal_text text = hal_kernel_text();
    say_address(0, pc);
    for (unsigned i = 1; i < FRAME_MAX; i++) {
        if (fp < HAL_PAGE_SIZE ||
            fp % sizeof(uintptr_t) != 0) /* no frame pointer at all, perhaps */
            break;
        const uintptr_t *frame = (const uintptr_t *)fp;
        uintptr_t next = frame[0], ret = isa_return_address(frame[1]);
        if (ret < text.lo || ret >= text.hi)
            break;
        say_address(i, ret - 1); /* into the call, not behind it: that may be another function */
        if (next <= fp || next - fp > FRAME_SIZE_MAX)
            break;
        fp = next;
    }
}

/* Take the machine over, or do not return. */
static void panic_begin(void)
{
    (void)hal_irq_save(); /* and stay on this CPU */
    unsigned me = hal_cpu_id() + 1, nobody = 0;
    /* Relaxed: the owner word is all that is exchanged between CPUs here. */
    if (__atomic_compare_exchange_n(&panic_owner, &nobody, me, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
        hal_halt_others();
        return;
    }
    if (nobody != me)
        for (;;)
            hal_cpu_relax();
    if (__atomic_exchange_n(&panic_nested, true, __ATOMIC_RELAXED))
        hal_poweroff(HAL_EXIT_PANIC);
}

static _Noreturn void panic_finish(uintptr_t pc, uintptr_t fp, const char *fmt, va_list args)
    printf_like(3, 0);
static _Noreturn void panic_finish(uintptr_t pc, uintptr_t fp, const char *fmt, va_list args)
{
    char text[256];
    bool nested = __atomic_load_n(&panic_nested, __ATOMIC_RELAXED);
    vsnprintf(text, sizeof text, fmt, args);
    say("selkie: kernel panic%s on CPU %u: %s\n", nested ? " inside a panic" : "", hal_cpu_id(),
        text);
    if (!nested)
        backtrace_print(pc, fp);
    hal_poweroff(HAL_EXIT_PANIC);
}

void panic(const char *fmt, ...)
{
    panic_begin();
    va_list args;
    va_start(args, fmt);
    panic_finish((uintptr_t)__builtin_return_address(0),
                 *(const uintptr_t *)__builtin_frame_address(0), fmt, args);
}

void panic_at(uintptr_t pc, uintptr_t fp, const char *fmt, ...)
{
    panic_begin();
    va_list args;
    va_start(args, fmt);
    panic_finish(pc, fp, fmt, args);
}

void kernel_hal_panic(const char *what, uintptr_t pc, uintptr_t fp)
{
    panic_at(pc, fp, "%s", what);
}
