/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_attack.c - forbidden things that kernel code may try on every bare-metal machine.
 *
 * An attack that succeeds comes back: then the machine says so and ends with status 1. What stops
 * it panics, with what the kernel's fault handler or the check itself has to say.
 */
#include "hal_attack.h"

#include "lib/string.h"

extern uintptr_t __stack_chk_guard;

static struct hal_ctx *boot_ctx;
static struct hal_ctx stack_ctx;
static paddr_t (*page_get)(void);
static uint8_t data_page[HAL_PAGE_SIZE] __attribute__((aligned(4096)));
static const char constant[] = "constant";
static volatile unsigned always = 1; /* the compiler does not know */

static void put(const char *s)
{
    (void)hal_console_write(HAL_STREAM_LOG, s, strlen(s));
}

static void write_to(const void *at)
{
    *(volatile char *)(uintptr_t)at = 0;
}

static void call(const void *at)
{
    ((void (*)(void))(uintptr_t)at)();
}

/* ---- the attacks ---- */

static const void *text(void)
{
    return (const void *)hal_kernel_text().lo;
}

static const void *alias(const void *at)
{
    return hal_phys_to_virt(hal_virt_to_phys(at));
}

static void text_write(void)
{
    write_to(text());
}

static void text_alias_write(void)
{
    write_to(alias(text()));
}

static void constant_write(void)
{
    write_to(constant);
}

static void constant_alias_write(void)
{
    write_to(alias(constant));
}

/* What the bytes there mean does not matter: fetching them is what must not be possible. */
static void data_exec(void)
{
    call(data_page);
}

static void stack_exec(void)
{
    volatile uint8_t code[64] = {0};

    call((const void *)(uintptr_t)code);
}

static void text_alias_exec(void)
{
    call(alias(text()));
}

static void ram_exec(void)
{
    call(hal_phys_to_virt(page_get()));
}

static void null_read(void)
{
    const volatile char *null = (const volatile char *)(uintptr_t)(always - 1);

    (void)*null;
}

static void null_call(void)
{
    call((const void *)(uintptr_t)(always - 1));
}

/* Without end; volatile keeps the compiler from making it a loop. */
static void overflow_body(void *arg)
{
    volatile char space[256];

    space[0] = (char)(uintptr_t)arg;
    if (always)
        overflow_body((void *)&space[0]);
    space[1] = space[0];
}

static void stack_overflow(void)
{
    vaddr_t va = hal_layout()->kernel_lo + 64 * HAL_PAGE_SIZE;

    if (hal_space_map(hal_space_kernel(), va, page_get(), HAL_PAGE_SIZE,
                      HAL_PROT_READ | HAL_PROT_WRITE))
        return;
    hal_ctx_init(&stack_ctx, (void *)va, HAL_PAGE_SIZE, overflow_body, NULL, NULL);
    hal_ctx_switch(boot_ctx, &stack_ctx, true);
}

static void boot_stack_overflow(void)
{
    overflow_body(NULL);
}

/* As much as a string that is 24 bytes too long would write. */
static __attribute__((noinline)) void smash(void)
{
    char buffer[16];
    volatile char *at = buffer;

    for (unsigned i = 0; i < sizeof(buffer) + 24 * always; i++)
        at[i] = 'A';
}

/* No attack: what tools/tests/attacks compares between two boots. */
static void show_guard(void)
{
    char line[] = "guard 0000000000000000\n";

    for (unsigned i = 0; i < 16; i++)
        line[6 + i] = "0123456789abcdef"[__stack_chk_guard >> (60 - 4 * i) & 15];
    put(line);
    hal_poweroff(0);
}

static const struct hal_attack attacks[] = {
    {"text-write", text_write},
    {"text-alias-write", text_alias_write},
    {"constant-write", constant_write},
    {"constant-alias-write", constant_alias_write},
    {"data-exec", data_exec},
    {"stack-exec", stack_exec},
    {"text-alias-exec", text_alias_exec},
    {"ram-exec", ram_exec},
    {"null-read", null_read},
    {"null-call", null_call},
    {"stack-overflow", stack_overflow},
    {"boot-stack-overflow", boot_stack_overflow},
    {"smash", smash},
    {"show-guard", show_guard},
    {NULL, NULL},
};

static void attack_run(const struct hal_attack *list, const char *name, size_t len)
{
    for (; list->name; list++) {
        if (strlen(list->name) != len || memcmp(list->name, name, len) != 0)
            continue;
        put("attack\n");
        list->body();
        put("SURVIVED\n");
        hal_poweroff(1);
    }
}

void hal_attack(struct hal_ctx *boot, paddr_t (*page_alloc)(void))
{
    const char *word = hal_boot_info()->cmdline;
    size_t len = 0;

    while (*word && memcmp(word, "attack=", MIN(strlen(word), sizeof("attack=") - 1)) != 0)
        word++;
    if (strlen(word) < sizeof("attack="))
        return;
    word += sizeof("attack=") - 1;
    while (word[len] > ' ')
        len++;
    boot_ctx = boot;
    page_get = page_alloc;
    attack_run(attacks, word, len);
    attack_run(hal_attacks_isa, word, len);
    put("no such attack\n");
    hal_poweroff(2);
}
