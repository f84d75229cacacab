/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * power.c - the ends of the machine, through PSCI; and names for code addresses.
 *
 * PSCI knows no exit status: a framed console announces it (lib/conframe.h).
 */
#include "aarch64.h"
#include "common/console.h"
#include "common/psci.h"
#include "common/symtab.h"

extern const char selkie_symtab_begin[], selkie_symtab_end[];

static _Noreturn void stop(void)
{
    for (;;)
        __asm__ volatile("msr daifset, #0xf; wfi");
}

_Noreturn void hal_poweroff(int status)
{
    (void)hal_irq_save();
    (void)console_finish(status);
    psci_system_off();
    stop();
}

_Noreturn void hal_reboot(void)
{
    (void)hal_irq_save();
    psci_system_reset();
    stop();
}

bool hal_symbol(uintptr_t pc, char name[HAL_SYMBOL_ROOM], uintptr_t *offset)
{
    struct hal_text text = hal_kernel_text();

    if (pc < text.lo || pc >= text.hi)
        return false;
    return symtab_find(selkie_symtab_begin, (size_t)(selkie_symtab_end - selkie_symtab_begin),
                       text.lo, pc, name, HAL_SYMBOL_ROOM, offset);
}

bool hal_suspend(void)
{
    return false;
}
