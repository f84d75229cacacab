/* SPDX-License-Identifier: BSD-3-Clause */
/* umip.c - instructions that tell a program where the kernel's tables are fault, or say what Linux
 * makes them say, where the CPU has UMIP and programs do not run in ring 0. */
#include <setjmp.h>
#include <signal.h>

#include "guest.h"

#ifdef __x86_64__
#define LINUX_GDT 0xfffffffffffe0000ul /* arch/x86/kernel/umip.c */
#define LINUX_IDT 0xffffffffffff0000ul

static sigjmp_buf back;

static void caught(int signo)
{
    siglongjmp(back, signo);
}

struct table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static void base_is_hidden(void (*store)(struct table *), uint64_t dummy)
{
    struct table table = {0, 0};
    int signo = sigsetjmp(back, 1);

    if (signo == 0)
        store(&table);
    REQUIRE(signo == SIGSEGV || (signo == 0 && table.base == dummy));
}

static void gdt(struct table *out)
{
    __asm__ volatile("sgdt %0" : "=m"(*out));
}

static void idt(struct table *out)
{
    __asm__ volatile("sidt %0" : "=m"(*out));
}

static void machine_word(void)
{
    uint64_t word = 0;
    int signo = sigsetjmp(back, 1);

    if (signo == 0)
        __asm__ volatile("smsw %0" : "=r"(word));
    REQUIRE(signo == SIGSEGV || (signo == 0 && word == 0x80050033)); /* CR0 as Linux has it */
}

int main(void)
{
    struct sigaction sa = {.sa_handler = caught};

    REQUIRE(sigaction(SIGSEGV, &sa, NULL) == 0);
    base_is_hidden(gdt, LINUX_GDT);
    base_is_hidden(idt, LINUX_IDT);
    machine_word();
    return guest_pass("umip");
}
#else
int main(void)
{
    return guest_pass("umip");
}
#endif
