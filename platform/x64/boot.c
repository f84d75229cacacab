/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * boot.c - the first C code: bring the machine into the state that kernel_boot() is promised.
 *
 * CPU 0, interrupts off, on the boot stack. Every step may use what the steps before it made.
 */
#include "x64.h"

/* Compiled code knows these two by name: the stack-protector guard and what to do when it has
 * been overwritten. */
extern uintptr_t __stack_chk_guard;
_Noreturn void __stack_chk_fail(void);
uintptr_t __stack_chk_guard;

static struct acpi_info acpi;

_Noreturn void __stack_chk_fail(void)
{
    kernel_hal_panic("stack buffer overrun", (uintptr_t)__builtin_return_address(0),
                     (uintptr_t)__builtin_frame_address(0));
}

/* A failure here is not fatal: a machine without tables is a machine with one CPU. */
static void read_acpi(void)
{
    if (!x64_rsdp)
        x64_rsdp = acpi_scan_rsdp(0xe0000, 0x100000, x64_phys_map);
    (void)acpi_read(x64_rsdp, x64_phys_map, &acpi);
}

/* Must not have a guard itself: it changes the guard while it runs. */
__attribute__((no_stack_protector)) _Noreturn void x64_boot(uintptr_t start_info, void *stack,
                                                            size_t size)
{
    static struct bootmem ram;
    uintptr_t guard;

    x64_cpu_boot_init();            /* descriptor tables, control registers */
    x64_mem_init(start_info, &ram); /* memory map, command line, initrd */
    x64_ring3_choose();             /* which ring to run in */
    isa_fp_setup();
    (void)hal_entropy(&guard, sizeof(guard));
    __stack_chk_guard = guard & ~(uintptr_t)0xff; /* a NUL byte stops string overruns */
    x64_console_init();                           /* messages from here on */
    x64_mmu_init(&x64_bootmem, &ram);             /* final page tables */
    x64_cpu_boot_stacks();                        /* interrupt stacks between guard pages */
    read_acpi();
    x64_power_init(&acpi);
    x64_irq_init(&acpi);
    x64_cpu_enumerate(&acpi, &x64_bootmem);
    x64_time_init(&acpi);
    x64_console_irq_init();
    x64_mem_finish(); /* the rest of RAM is the kernel's */
    kernel_boot(stack, size);
}
