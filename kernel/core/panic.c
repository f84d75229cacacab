/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * panic.c - the end: message, back trace, the parts of the report, power off.
 *
 * The first CPU that panics owns the machine: it stops the others and prints. A CPU that panics
 * later waits to be stopped. Nothing here takes a lock or allocates.
 *
 * The report is a list of parts (panic.h). A panic inside a panic prints its line and goes on with
 * the next part, because the stack below it will never be returned to; after NESTED_MAX of them,
 * or when no part is left, the machine goes off.
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
#define PARTS_MAX 8
#define NESTED_MAX 8

static unsigned panic_owner;                         /* atomic: 0, or 1 + the CPU that prints */
static const struct isa_frame *stopped[HAL_CPU_MAX]; /* atomic */

/* Of the owner alone. */
static unsigned panics; /* so far */
static uintptr_t first_pc, first_fp;
static const struct isa_frame *first_regs;
static unsigned part_next;

static void say_first_trace(void);
static void (*parts[PARTS_MAX])(void) = {say_first_trace};
static unsigned part_count = 1; /* registered at boot, by CPU 0 */

bool panic_active(void)
{
    return __atomic_load_n(&panic_owner, __ATOMIC_RELAXED) != 0;
}

void panic_add(void (*part)(void))
{
    CHECK(part_count < PARTS_MAX);
    parts[part_count++] = part;
}

const struct isa_frame *panic_registers(void)
{
    return first_regs;
}

const struct isa_frame *panic_stopped(unsigned cpu)
{
    /* Acquire: the registers are complete. */
    return __atomic_load_n(&stopped[cpu], __ATOMIC_ACQUIRE);
}

no_sanitize void kernel_cpu_stopped(unsigned cpu, const struct isa_frame *regs)
{
    __atomic_store_n(&stopped[cpu], regs, __ATOMIC_RELEASE);
}

void panic_say(const char *fmt, ...)
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
    char name[HAL_SYMBOL_ROOM];
    uintptr_t offset;
    if (hal_symbol(pc, name, &offset))
        panic_say("  #%-2u %#lx %s+%#lx\n", number, (unsigned long)pc, name, (unsigned long)offset);
    else
        panic_say("  #%-2u %#lx\n", number, (unsigned long)pc);
}

/* One step up the chain; false at its end. Reading other functions' frames: the sanitizers would
 * object. */
static no_sanitize bool chain_step(struct hal_text text, uintptr_t *pc, uintptr_t *fp)
{
    if (*fp < HAL_PAGE_SIZE || *fp % sizeof(uintptr_t) != 0) /* no frame pointer at all, perhaps */
        return false;
    const uintptr_t *frame = (const uintptr_t *)*fp;
    uintptr_t next = frame[0], ret = isa_return_address(frame[1]);
    if (ret < text.lo || ret >= text.hi)
        return false;
    *pc = ret - 1; /* into the call, not behind it: that may be another function */
    *fp = next > *fp && next - *fp <= FRAME_SIZE_MAX ? next : 0;
    return true;
}

static void say_first_trace(void)
{
    struct hal_text text = hal_kernel_text();
    uintptr_t pc = first_pc, fp = first_fp;
    unsigned i = 0;
    do
        say_address(i++, pc);
    while (i < FRAME_MAX && chain_step(text, &pc, &fp));
}

void panic_say_chain(uintptr_t pc, uintptr_t fp, unsigned skip, unsigned count)
{
    struct hal_text text = hal_kernel_text();
    const char *between = "";
    for (unsigned i = 0; i < skip + count; i++) {
        char name[HAL_SYMBOL_ROOM];
        uintptr_t offset;
        if (i >= skip && hal_symbol(pc, name, &offset)) {
            panic_say("%s%s", between, name);
            between = " < ";
        }
        if (!chain_step(text, &pc, &fp))
            break;
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
    if (panics > NESTED_MAX)
        hal_poweroff(HAL_EXIT_PANIC);
}

static _Noreturn void panic_finish(const char *fmt, va_list args) printf_like(1, 0);
static _Noreturn void panic_finish(const char *fmt, va_list args)
{
    char text[256];
    bool nested = panics++ > 0;
    vsnprintf(text, sizeof text, fmt, args);
    panic_say("selkie: kernel panic%s on CPU %u: %s\n", nested ? " inside a panic" : "",
              hal_cpu_id(), text);
    while (part_next < part_count)
        parts[part_next++]();
    hal_poweroff(HAL_EXIT_PANIC);
}

static void note_first(const struct isa_frame *regs, uintptr_t pc, uintptr_t fp)
{
    if (panics > 0)
        return;
    first_regs = regs;
    first_pc = pc;
    first_fp = fp;
}

void panic(const char *fmt, ...)
{
    panic_begin();
    /* Into the call: what stands behind it may be another function. */
    note_first(NULL, (uintptr_t)__builtin_return_address(0) - 1,
               *(const uintptr_t *)__builtin_frame_address(0));
    va_list args;
    va_start(args, fmt);
    panic_finish(fmt, args);
}

void panic_at(const struct isa_frame *regs, uintptr_t pc, uintptr_t fp, const char *fmt, ...)
{
    panic_begin();
    note_first(regs, pc, fp);
    va_list args;
    va_start(args, fmt);
    panic_finish(fmt, args);
}

void kernel_hal_panic(const char *what, uintptr_t pc, uintptr_t fp)
{
    panic_at(NULL, pc, fp, "%s", what);
}

void kernel_killed(const char *what, const struct isa_frame *regs, uintptr_t fp)
{
    panic_at(regs, isa_frame_pc(regs), fp, "%s", what);
}
