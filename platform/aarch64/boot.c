/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * boot.c - the first C code in the higher half: bring the machine into the state that kernel_boot()
 * is promised.
 *
 * CPU 0, interrupts off, on the boot stack. Every step may use what the steps before it made.
 */
#include "aarch64.h"
#include "common/psci.h"
#include "protect.h"

/* Compiled code knows these two by name: the stack-protector guard and what to do when it has
 * been overwritten. */
extern uintptr_t __stack_chk_guard;
_Noreturn void __stack_chk_fail(void);
uintptr_t __stack_chk_guard;
uint64_t aarch64_kernel_key[2];

_Noreturn void __stack_chk_fail(void)
{
    kernel_hal_panic("stack buffer overrun", (uintptr_t)__builtin_return_address(0),
                     (uintptr_t)__builtin_frame_address(0));
}

/* Must not have a guard itself: it changes the guard while it runs. */
__attribute__((no_stack_protector)) _Noreturn void aarch64_boot(paddr_t dtb, void *stack,
                                                                size_t size)
{
    static struct bootmem ram;
    uintptr_t guard;

    aarch64_cpu_boot_init(stack, size);
    aarch64_mem_init(dtb, &ram); /* memory map, command line, initrd */
    (void)hal_entropy(aarch64_kernel_key, sizeof(aarch64_kernel_key));
    a64_pointer_auth_on(); /* no function that is running now returns */
    (void)hal_entropy(&guard, sizeof(guard));
    __stack_chk_guard = guard & ~(uintptr_t)0xff; /* a NUL byte stops string overruns */
    aarch64_mmu_init(&aarch64_bootmem, &ram);     /* final page tables */
    aarch64_console_init(&aarch64_dtb);           /* messages from here on */
    (void)psci_init(&aarch64_dtb);                /* without it: one CPU, no power off */
    aarch64_irq_init(&aarch64_dtb);
    aarch64_cpu_enumerate(&aarch64_dtb, &aarch64_bootmem);
    aarch64_time_init(&aarch64_dtb);
    aarch64_irq_init_cpu();
    aarch64_time_init_cpu();
    aarch64_console_irq_init();
    aarch64_mem_finish(); /* the rest of RAM is the kernel's */
    kernel_boot(stack, size);
}
