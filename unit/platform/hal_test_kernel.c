/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_test_kernel.c - a kernel that does nothing but try its HAL: boots in place of the real one.
 *
 * It implements the up-calls of hal_up.h and walks through the HAL group by group: memory map,
 * clock and timer, mappings, contexts, other CPUs and IPIs, TLB flushes on other CPUs, user code
 * with system calls, faults and preemption, user-copy faults. Prints one line per step, then
 * powers off with status 0, or 1 after the first failure.
 * The user program is in hal_test_user_<isa>.S: see there for what it expects.
 */
#include "core/assert.h"
#include "hal_attack.h"
#include "hal_up.h"
#include "isa.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "uaccess_lengths.h"

#define STACK_SIZE 16384
#define USER_CODE 0x400000u
#define USER_DATA 0x500000u
#define USER_LAZY 0x600000u /* mapped by the fault handler */
#define USER_SPACES 0x700000u
#define USER_STACK 0x7f0000u
#define USER_PAGES 4u
#define TEST_CPUS_MAX 16

/* System calls of the test program. */
enum { CALL_ADD = 1, CALL_EXIT = 2, CALL_EXPECT_FAULT = 3 };

extern const char test_user_begin[], test_user_end[];
void test_clobber(void); /* leaves nothing as it was in registers that calls may change */
extern const char test_user_resume[]; /* where it goes on after the illegal instruction */

static uint64_t arena_next, arena_end;
static struct hal_space user_space, other_space;
static struct hal_ctx boot_ctx, thread_ctx, cpu_ctx[TEST_CPUS_MAX];
static uint8_t thread_stack[STACK_SIZE] __attribute__((aligned(16)));
static uint8_t cpu_stack[TEST_CPUS_MAX][STACK_SIZE] __attribute__((aligned(16)));
static uint8_t user_fp[16384] __attribute__((aligned(64)));
static uintptr_t heads[TEST_CPUS_MAX][64]; /* what hal_thread_get returns */
static unsigned timer_count, ipi_count[TEST_CPUS_MAX], online, faults_seen, ctx_steps;
static unsigned preempted, user_returns, user_calls;
/* Shootdown: the CPU that is to join the space, has joined it, is to touch the page, has touched it
 * and what it found there. Each only grows, so that no CPU takes another one's turn. */
static unsigned join_cpu, joined_cpu, touch_cpu, touched_cpu, touched;
static long user_status = -1;
static unsigned console_events;
static int shutdown_signal;

/* ---- output ---- */

static void put(const char *s)
{
    (void)hal_console_write(HAL_STREAM_LOG, s, strlen(s));
}

static void put_hex(uint64_t value)
{
    char text[19] = "0x";
    unsigned n = 2;

    for (int shift = 60; shift >= 0; shift -= 4)
        if (value >> shift || shift == 0)
            text[n++] = "0123456789abcdef"[value >> shift & 15];
    (void)hal_console_write(HAL_STREAM_LOG, text, n);
}

static void show(const char *what, uint64_t value)
{
    put(what);
    put(" ");
    put_hex(value);
    put("\n");
}

static _Noreturn void fail(const char *what, uint64_t value)
{
    put("FAIL ");
    show(what, value);
    hal_poweroff(1);
}

static void expect(bool ok, const char *what, uint64_t value)
{
    if (!ok)
        fail(what, value);
}

void panic(const char *fmt, ...)
{
    fail(fmt, 0);
}

void kernel_cpu_stopped(unsigned cpu, const struct isa_frame *regs)
{
    (void)cpu, (void)regs;
}

/* The back trace of a panic: frame pointers inside the kernel's text only. */
void kernel_hal_panic(const char *what, uintptr_t pc, uintptr_t fp)
{
    put("PANIC ");
    show(what, pc);
    for (unsigned i = 0; i < 8 && pc; i++) {
        char name[HAL_SYMBOL_ROOM] = "?";
        uintptr_t offset = 0;

        if (!hal_symbol(pc, name, &offset))
            break;
        put("  ");
        put(name);
        show(" +", offset);
        if (fp < hal_layout()->user_end || (fp & 7))
            break;
        pc = isa_return_address(((uintptr_t *)fp)[1]);
        fp = ((uintptr_t *)fp)[0];
    }
    hal_poweroff(HAL_EXIT_PANIC);
}

/* ---- up-calls ---- */

paddr_t kernel_table_alloc(void)
{
    paddr_t pa = __atomic_fetch_add(&arena_next, HAL_PAGE_SIZE, __ATOMIC_RELAXED);

    if (pa + HAL_PAGE_SIZE > arena_end)
        return HAL_NO_PAGE;
    memset(hal_phys_to_virt(pa), 0, HAL_PAGE_SIZE);
    return pa;
}

/* Whoever still walks a table that was given back falls. */
void kernel_table_free(paddr_t pa)
{
    memset(hal_phys_to_virt(pa), 0, HAL_PAGE_SIZE);
}

void kernel_timer(void)
{
    timer_count++;
    test_clobber();
}

void kernel_ipi(void)
{
    __atomic_fetch_add(&ipi_count[hal_cpu_id()], 1, __ATOMIC_RELEASE);
}

void kernel_irq(unsigned irq)
{
    (void)irq;
}

void kernel_console(void)
{
    console_events++;
}

void kernel_shutdown_request(int signo)
{
    shutdown_signal = signo;
}

void kernel_preempt(void)
{
    preempted++;
}

void kernel_user_delay(void)
{
}

void kernel_user_return(struct isa_frame *frame)
{
    (void)frame;
    user_returns++;
    /* Preempt all the time: the next tick comes soon after the program goes on. */
    if (user_calls >= 2 && user_returns < 200)
        hal_timer_arm(hal_clock_ns() + 20 * NS_PER_US);
}

void kernel_syscall(struct isa_frame *frame)
{
    user_calls++;
    test_clobber();
    expect(hal_irq_enabled(), "interrupts are off in a system call", 0);
    switch (isa_frame_sysno(frame)) {
    case CALL_ADD:
        isa_frame_set_result(
            frame, (long)(isa_frame_arg(frame, 0) + 10 * isa_frame_arg(frame, 1) +
                          100 * isa_frame_arg(frame, 2) + 1000 * isa_frame_arg(frame, 3) +
                          10000 * isa_frame_arg(frame, 4) + 100000 * isa_frame_arg(frame, 5)));
        break;
    case CALL_EXIT:
        user_status = (long)isa_frame_arg(frame, 0);
        (void)hal_irq_save();
        hal_ctx_switch(&thread_ctx, &boot_ctx, true);
        break;
    default:
        isa_frame_set_result(frame, -ENOSYS);
        break;
    }
}

static bool map_lazy(vaddr_t addr)
{
    paddr_t pa = kernel_table_alloc();

    return hal_space_map(&user_space, align_down(addr, HAL_PAGE_SIZE), pa, HAL_PAGE_SIZE,
                         HAL_PROT_READ | HAL_PROT_WRITE) == 0;
}

bool kernel_fault(const struct hal_fault *fault)
{
    faults_seen++;
    if (fault->kind == HAL_FAULT_PAGE && align_down(fault->addr, HAL_PAGE_SIZE) == USER_LAZY) {
        expect(!fault->present, "lazy page is present", fault->addr);
        return map_lazy(fault->addr);
    }
    if (fault->kind == HAL_FAULT_ILLEGAL && fault->user) {
        isa_frame_set_pc(fault->frame, USER_CODE + (uintptr_t)(test_user_resume - test_user_begin));
        return true;
    }
    if (!fault->user && fault->pc >= (uintptr_t)isa_uaccess_begin &&
        fault->pc < (uintptr_t)isa_uaccess_end)
        return false;
    show("fault kind", (uint64_t)fault->kind);
    show("fault addr", fault->addr);
    kernel_hal_panic("unexpected fault", fault->pc, fault->fp);
}

/* ---- steps ---- */

static void test_boot_info(void)
{
    const struct hal_boot_info *info = hal_boot_info();
    size_t largest = 0;

    put("cmdline: ");
    put(info->cmdline);
    put("\n");
    show("text", hal_kernel_text().lo);
    show("ram", info->ram_total);
    show("initrd", info->initrd_len);
    for (size_t i = 0; i < info->ram_count; i++) {
        show("  region", info->ram[i].base);
        show("     len", info->ram[i].len);
        if (info->ram[i].len > info->ram[largest].len)
            largest = i;
    }
    expect(info->ram_count > 0, "no RAM", 0);
    arena_next = info->ram[largest].base;
    arena_end = arena_next + info->ram[largest].len;
    /* The last page of every region must be there. */
    for (size_t i = 0; i < info->ram_count; i++) {
        volatile uint64_t *last = hal_phys_to_virt(info->ram[i].base + info->ram[i].len - 8);

        *last = 0x5e1c1e;
        expect(*last == 0x5e1c1e, "RAM does not hold its value", info->ram[i].base);
    }
}

/* Again where the machine stood still until it was due. */
static void test_timer_off(void)
{
    unsigned fired;
    bool late;

    do {
        uint64_t due = hal_clock_ns() + NS_PER_MS;

        fired = timer_count;
        hal_timer_arm(due);
        hal_timer_arm(UINT64_MAX);
        late = hal_clock_ns() >= due;
        hal_irq_restore(HAL_IRQ_ON);
        while (hal_clock_ns() < due + 2 * NS_PER_MS)
            hal_cpu_relax();
        (void)hal_irq_save();
    } while (late);
    expect(timer_count == fired, "a timer that was turned off fired", timer_count);
}

static void test_time(void)
{
    uint64_t start = hal_clock_ns(), took, rough = hal_clock_rough_ns();
    unsigned fired;

    expect(rough > start - NS_PER_US && rough <= hal_clock_ns(), "the rough clock is off", rough);
    show("wall seconds", hal_wall_base_ns() / NS_PER_SEC);
    (void)hal_irq_save();
    hal_timer_arm(start + 5 * NS_PER_MS);
    while (timer_count == 0)
        hal_cpu_idle();
    took = hal_clock_ns() - start;
    show("5 ms timer took ns", took);
    expect(took >= 5 * NS_PER_MS, "the timer was early", took);
    hal_timer_arm(0);
    while (timer_count == 1)
        hal_cpu_idle();
    test_timer_off();
    fired = timer_count;
    hal_timer_arm(hal_clock_ns() + NS_PER_MS);
    hal_irq_restore(HAL_IRQ_ON);
    while (timer_count == fired)
        hal_cpu_relax();
    (void)hal_irq_save();
    expect(preempted > 0, "no preemption point after an interrupt", preempted);
}

static void test_kernel_map(void)
{
    vaddr_t va = hal_layout()->kernel_lo + 64 * HAL_PAGE_SIZE;
    paddr_t pa = kernel_table_alloc(), seen;
    unsigned prot;

    expect(hal_space_map(hal_space_kernel(), va, pa, HAL_PAGE_SIZE,
                         HAL_PROT_READ | HAL_PROT_WRITE) == 0,
           "kernel map", va);
    *(volatile uint32_t *)va = 0x1234;
    expect(*(uint32_t *)hal_phys_to_virt(pa) == 0x1234, "kernel mapping maps elsewhere", pa);
    expect(hal_space_query(hal_space_kernel(), va, &seen, &prot) && seen == pa &&
               (prot & 7) == (HAL_PROT_READ | HAL_PROT_WRITE),
           "query", prot);
    hal_space_unmap(hal_space_kernel(), va, HAL_PAGE_SIZE);
    expect(!hal_space_query(hal_space_kernel(), va, NULL, NULL), "still mapped", va);
    expect(!hal_space_query(hal_space_kernel(), 0, NULL, NULL), "page 0 is mapped", 0);
}

/* Does the command line have this word? */
static bool told(const char *word)
{
    size_t len = strlen(word);

    for (const char *at = hal_boot_info()->cmdline; *at; at++)
        if (str_starts(at, word) && (at[len] == 0 || at[len] == ' '))
            return true;
    return false;
}

/* Of the size of a leaf, how much of RAM lies in aligned pieces of it. */
static uint64_t ram_aligned(uint64_t size)
{
    const struct hal_boot_info *info = hal_boot_info();
    uint64_t sum = 0;

    for (size_t i = 0; i < info->ram_count; i++) {
        paddr_t lo = align_up(info->ram[i].base, size);
        paddr_t hi = align_down(info->ram[i].base + info->ram[i].len, size);

        sum += hi > lo ? hi - lo : 0;
    }
    return sum;
}

/* Free RAM as a whole is in the direct map, aligned GiB of it by pages of 1 GiB where the
 * machine has such ("direct=1g" says that it does), the rest nearly all by 2 MiB. */
static void test_direct_map(void)
{
    uint64_t bytes[HAL_DIRECT_SIZES], sum;
    uint64_t gib = ram_aligned(1ull << 30);

    hal_direct_bytes(bytes);
    show("direct 4 KiB", bytes[HAL_DIRECT_4K]);
    show("direct 2 MiB", bytes[HAL_DIRECT_2M]);
    show("direct 1 GiB", bytes[HAL_DIRECT_1G]);
    show("of", gib);
    sum = bytes[HAL_DIRECT_4K] + bytes[HAL_DIRECT_2M] + bytes[HAL_DIRECT_1G];
    if (sum == 0)
        return; /* it cannot know */
    expect(sum >= ram_aligned(HAL_PAGE_SIZE), "RAM is missing in the direct map", sum);
    expect(is_aligned(bytes[HAL_DIRECT_1G], 1ull << 30), "1 GiB pages", bytes[HAL_DIRECT_1G]);
    expect(bytes[HAL_DIRECT_1G] == 0 || bytes[HAL_DIRECT_1G] >= gib, "1 GiB pages missing", gib);
    expect(bytes[HAL_DIRECT_2M] + bytes[HAL_DIRECT_1G] >= ram_aligned(2u << 20),
           "RAM is mapped by small pages", bytes[HAL_DIRECT_4K]);
    if (told("direct=1g"))
        expect(gib > 0 && bytes[HAL_DIRECT_1G] >= gib, "no 1 GiB pages", bytes[HAL_DIRECT_1G]);
}

/* Pages that are in the TLB get other frames: few, which are flushed one by one, and many. */
static void test_kernel_remap(size_t pages)
{
    struct hal_space *kernel = hal_space_kernel();
    vaddr_t va = hal_layout()->kernel_lo + 128 * HAL_PAGE_SIZE;

    for (unsigned turn = 1; turn <= 2; turn++) {
        for (size_t i = 0; i < pages; i++) {
            paddr_t pa = kernel_table_alloc();

            *(size_t *)hal_phys_to_virt(pa) = turn * 1000 + i;
            expect(hal_space_map(kernel, va + i * HAL_PAGE_SIZE, pa, HAL_PAGE_SIZE,
                                 HAL_PROT_READ | HAL_PROT_WRITE) == 0,
                   "kernel remap", i);
        }
        for (size_t i = 0; i < pages; i++)
            expect(*(volatile size_t *)(va + i * HAL_PAGE_SIZE) == turn * 1000 + i,
                   "a kernel page has its old frame", i);
        hal_space_unmap(kernel, va, pages * HAL_PAGE_SIZE);
    }
}

/* More values than a CPU has registers that calls keep, alive over a switch: those of the other
 * context must not show through. */
static void switch_with_values(struct hal_ctx *from, struct hal_ctx *to, uintptr_t first)
{
    volatile uintptr_t source = first;
    uintptr_t a = source, b = source + 1, c = source + 2, d = source + 3, e = source + 4;
    uintptr_t f = source + 5, g = source + 6, h = source + 7, i = source + 8, j = source + 9;

    /* Nothing is known of them, so they are kept and not computed again. */
    __asm__ volatile(""
                     : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g), "+r"(h),
                       "+r"(i), "+r"(j));
    hal_ctx_switch(from, to, false);
    expect(a == first && b == first + 1 && c == first + 2 && d == first + 3 && e == first + 4,
           "registers over a switch", first);
    expect(f == first + 5 && g == first + 6 && h == first + 7 && i == first + 8 && j == first + 9,
           "registers over a switch", first);
}

/* ---- a stack that grows ---- */

#define LAZY_SIZE (4 * HAL_PAGE_SIZE)
static vaddr_t lazy_stack;
static unsigned lazy_grown;
static bool lazy_done;

/* Its pages one by one, whatever else is being done. */
bool kernel_stack_fault(vaddr_t addr, uintptr_t sp)
{
    vaddr_t at = align_down(addr, HAL_PAGE_SIZE);

    if (!lazy_stack || addr < lazy_stack || addr >= lazy_stack + LAZY_SIZE)
        return false;
    expect(sp > lazy_stack && sp <= lazy_stack + LAZY_SIZE, "stack pointer of a fault", sp);
    expect(!hal_irq_enabled(), "interrupts are on in a stack's fault", sp);
    for (; !hal_space_query(hal_space_kernel(), at, NULL, NULL); at += HAL_PAGE_SIZE) {
        hal_stack_grow(at, kernel_table_alloc());
        lazy_grown++;
    }
    return true;
}

/* The fault of a copy from memory that is not there needs room, too. */
static void lazy_fault(unsigned n)
{
    uint32_t word;

    expect(isa_user_load_u32((const uint32_t *)(uintptr_t)(HAL_PAGE_SIZE + 4 * n), &word) < 0,
           "a word of memory that is not there", n);
}

/* Steps down the stack, in frames of all sizes. */
static __attribute__((noinline)) unsigned lazy_small(unsigned n)
{
    volatile char room[72];
    unsigned sum = 1;

    room[0] = (char)n;
    lazy_fault(n);
    if ((uintptr_t)room - lazy_stack > 3 * 1024)
        sum += lazy_small(n);
    return sum + (unsigned)(room[0] != (char)n) * 1000;
}

static __attribute__((noinline)) unsigned lazy_large(unsigned n)
{
    volatile char room[5000]; /* skips a page */

    room[0] = (char)n;
    lazy_fault(n);
    return lazy_small(n) + (unsigned)(room[0] != (char)n) * 1000;
}

/* Interrupts come all the time, and go down the stack as well. */
static void lazy_body(void *arg)
{
    unsigned timers = timer_count;

    (void)arg;
    hal_irq_restore(HAL_IRQ_ON);
    for (unsigned i = 0; i < 20; i++) {
        hal_timer_arm(hal_clock_ns() + 20000);
        unsigned steps = i % 2 ? lazy_small(i) : lazy_large(i);

        expect(steps > 10 && steps < 300, "steps", steps);
    }
    while (timer_count == timers)
        hal_cpu_relax();
    (void)hal_irq_save();
    hal_timer_arm(UINT64_MAX);
    lazy_done = true;
    hal_ctx_switch(&thread_ctx, &boot_ctx, true);
}

static void test_stack_grows(void)
{
    vaddr_t va = hal_layout()->kernel_lo + 128 * HAL_PAGE_SIZE;
    paddr_t top = kernel_table_alloc();

    for (unsigned round = 1; round <= 8; round++) {
        expect(hal_stack_map(va, LAZY_SIZE, &top, 1) == 0, "stack map", round);
        expect(!hal_space_query(hal_space_kernel(), va + 2 * HAL_PAGE_SIZE, NULL, NULL),
               "the stack is there already", va);
        lazy_stack = va;
        lazy_done = false;
        hal_ctx_init(&thread_ctx, (void *)va, LAZY_SIZE, lazy_body, NULL, NULL);
        hal_ctx_switch(&boot_ctx, &thread_ctx, false);
        expect(lazy_done && lazy_grown == 3 * round, "pages of the stack", lazy_grown);
        hal_ctx_destroy(&thread_ctx);
        hal_space_unmap(hal_space_kernel(), va, LAZY_SIZE);
        lazy_stack = 0;
    }
}

static void ctx_body(void *arg)
{
    expect(arg == &ctx_steps, "context argument", (uintptr_t)arg);
    ctx_steps = 1;
    switch_with_values(&thread_ctx, &boot_ctx, 2000);
    ctx_steps = 2;
    hal_ctx_switch(&thread_ctx, &boot_ctx, true);
}

static void test_contexts(void)
{
    hal_ctx_init(&thread_ctx, thread_stack, STACK_SIZE, ctx_body, &ctx_steps, NULL);
    switch_with_values(&boot_ctx, &thread_ctx, 1000);
    expect(ctx_steps == 1, "context did not run", ctx_steps);
    switch_with_values(&boot_ctx, &thread_ctx, 3000);
    expect(ctx_steps == 2, "context did not go on", ctx_steps);
    hal_ctx_destroy(&thread_ctx);
}

void kernel_cpu_main(unsigned cpu)
{
    hal_ctx_adopt(&cpu_ctx[cpu], cpu_stack[cpu], STACK_SIZE);
    expect(hal_cpu_id() == cpu, "CPU index", cpu);
    expect(hal_thread_get() == heads[cpu], "thread pointer", cpu);
    __atomic_fetch_add(&online, 1, __ATOMIC_RELEASE);
    for (;;) {
        hal_cpu_idle();
        /* Any interrupt ends the sleep: flushes for a space that the CPU has joined before, too. */
        if (__atomic_load_n(&join_cpu, __ATOMIC_ACQUIRE) == cpu && touched_cpu < cpu) {
            hal_space_activate(&user_space);
            (void)*(volatile uint32_t *)USER_DATA; /* now in this CPU's TLB */
            __atomic_store_n(&joined_cpu, cpu, __ATOMIC_RELEASE);
            hal_irq_restore(HAL_IRQ_ON);
            while (__atomic_load_n(&touch_cpu, __ATOMIC_ACQUIRE) != cpu)
                hal_cpu_relax();
            (void)hal_irq_save();
            touched = *(volatile uint32_t *)USER_DATA;
            __atomic_store_n(&touched_cpu, cpu, __ATOMIC_RELEASE);
        }
    }
}

static void test_cpus(void)
{
    unsigned count = MIN(hal_cpu_count(), TEST_CPUS_MAX);

    show("cpus", hal_cpu_count());
    for (unsigned i = 1; i < count; i++)
        expect(hal_cpu_start(i, cpu_stack[i] + STACK_SIZE, heads[i]) == 0, "CPU did not start", i);
    while (__atomic_load_n(&online, __ATOMIC_ACQUIRE) < count - 1)
        hal_cpu_relax();
    for (unsigned i = 0; i < count; i++) {
        hal_ipi_send(i);
        hal_irq_restore(HAL_IRQ_ON);
        while (!__atomic_load_n(&ipi_count[i], __ATOMIC_ACQUIRE))
            hal_cpu_relax();
        (void)hal_irq_save();
    }
}

static void map_user(vaddr_t va, unsigned pages, unsigned prot, paddr_t *first)
{
    for (unsigned i = 0; i < pages; i++) {
        paddr_t pa = kernel_table_alloc();

        if (i == 0 && first)
            *first = pa;
        expect(hal_space_map(&user_space, va + i * HAL_PAGE_SIZE, pa, HAL_PAGE_SIZE, prot) == 0,
               "user map", va);
    }
}

static void setup_user_space(void)
{
    paddr_t code;

    expect(hal_space_create(&user_space) == 0, "space create", 0);
    map_user(USER_CODE, 1, HAL_PROT_READ | HAL_PROT_EXEC, &code);
    memcpy(hal_phys_to_virt(code), test_user_begin, (size_t)(test_user_end - test_user_begin));
    hal_icache_sync(code, HAL_PAGE_SIZE);
    map_user(USER_DATA, 1, HAL_PROT_READ | HAL_PROT_WRITE, NULL);
    map_user(USER_STACK - USER_PAGES * HAL_PAGE_SIZE, USER_PAGES, HAL_PROT_READ | HAL_PROT_WRITE,
             NULL);
    hal_space_activate(&user_space);
}

/* Two spaces have other frames at the same addresses; what the one has left in the TLB is not the
 * other's, and an end of one gives its number to the next. */
static void test_spaces(void)
{
    static const unsigned rights[] = {HAL_PROT_READ | HAL_PROT_WRITE,
                                      HAL_PROT_READ | HAL_PROT_EXEC};
    struct hal_space *spaces[] = {&user_space, &other_space};

    for (uint32_t turn = 0; turn < 3; turn++) {
        expect(hal_space_create(&other_space) == 0, "space create", turn);
        for (uint32_t i = 0; i < 4; i++) {
            vaddr_t va = USER_SPACES + i % 2 * HAL_PAGE_SIZE;
            paddr_t pa = kernel_table_alloc();

            *(uint32_t *)hal_phys_to_virt(pa) = turn * 4 + i;
            expect(hal_space_map(spaces[i / 2], va, pa, HAL_PAGE_SIZE, rights[i % 2]) == 0,
                   "map in two spaces", i);
        }
        for (uint32_t i = 0; i < 8; i++) {
            hal_space_activate(spaces[i / 2 % 2]);
            expect(*(volatile uint32_t *)(USER_SPACES + i % 2 * HAL_PAGE_SIZE) == turn * 4 + i % 4,
                   "the other space's page", i);
        }
        hal_space_activate(&user_space);
        hal_space_destroy(&other_space);
    }
}

/* The kernel's space, which kernel threads run in, may leave a program's one loaded: what changes
 * there meanwhile is seen when the program goes on, and its end takes it away. */
static void test_space_left(void)
{
    for (uint32_t turn = 0; turn < 3; turn++) {
        expect(hal_space_create(&other_space) == 0, "space create", turn);
        hal_space_activate(&other_space);
        for (uint32_t i = 0; i < 4; i++) {
            paddr_t pa = kernel_table_alloc();

            *(uint32_t *)hal_phys_to_virt(pa) = i;
            hal_space_activate(hal_space_kernel());
            expect(hal_space_map(&other_space, USER_SPACES, pa, HAL_PAGE_SIZE, HAL_PROT_READ) == 0,
                   "map in a space that was left", i);
            hal_space_activate(&other_space);
            expect(*(volatile uint32_t *)USER_SPACES == i, "an old page after the return", i);
        }
        hal_space_activate(hal_space_kernel());
        hal_space_destroy(&other_space);
        test_kernel_remap(40); /* flushes: the tables are walked again */
        hal_space_activate(&user_space);
    }
}

/* Other CPUs cache a translation, it changes here, they must see the change. */
static void test_shootdown(void)
{
    unsigned count = MIN(hal_cpu_count(), TEST_CPUS_MAX);
    paddr_t pa = kernel_table_alloc();

    *(uint32_t *)hal_phys_to_virt(pa) = 0xbeef;
    for (unsigned i = 1; i < count; i++) {
        __atomic_store_n(&join_cpu, i, __ATOMIC_RELEASE);
        hal_ipi_send(i);
        while (__atomic_load_n(&joined_cpu, __ATOMIC_ACQUIRE) != i)
            hal_cpu_relax();
        expect(hal_space_map(&user_space, USER_DATA, pa, HAL_PAGE_SIZE,
                             HAL_PROT_READ | HAL_PROT_WRITE) == 0,
               "remap", i);
        __atomic_store_n(&touch_cpu, i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&touched_cpu, __ATOMIC_ACQUIRE) != i)
            hal_cpu_relax();
        expect(touched == 0xbeef, "stale translation on CPU", i);
        pa = kernel_table_alloc();
        *(uint32_t *)hal_phys_to_virt(pa) = 0xbeef;
    }
}

static void user_body(void *arg)
{
    struct isa_frame frame;

    (void)arg;
    isa_frame_init(&frame, USER_CODE, USER_STACK);
    hal_user_enter(&frame);
}

static void test_user(void)
{
    expect(isa_fp_size() <= sizeof(user_fp), "vector state is large", isa_fp_size());
    isa_fp_init(user_fp);
    hal_ctx_init(&thread_ctx, thread_stack, STACK_SIZE, user_body, NULL, user_fp);
    hal_ctx_switch(&boot_ctx, &thread_ctx, false);
    hal_timer_arm(UINT64_MAX);
    show("user system calls", user_calls);
    show("user returns", user_returns);
    expect(user_status == 42, "the program says", (uint64_t)user_status);
}

static void test_user_copy(void)
{
    uint32_t value = 7, word = 0;

    expect(isa_user_copy((void *)USER_DATA, &value, sizeof(value)) == 0, "copy out", 0);
    expect(isa_user_load_u32((void *)USER_DATA, &word) == 0 && word == 7, "load", word);
    expect(isa_user_copy(&word, (void *)0x10000, 4) == -EFAULT, "copy from a hole", 0);
    expect(isa_user_copy((void *)USER_CODE, &value, 4) == -EFAULT, "write to code", 0);
    expect(isa_user_store_u32((void *)(USER_LAZY + 64), 5) == 0, "lazy page", 0);
    expect(uaccess_lengths(USER_STACK), "lengths", 0);
}

/* Echo input until its end or a shutdown request. */
static void test_input(void)
{
    struct hal_console_info info;
    char buf[64];
    long n;

    expect(hal_console_room(HAL_STREAM_OUT) == 1, "room for output", 0);
    (void)hal_irq_save();
    for (;;) {
        while ((n = hal_console_read(buf, sizeof(buf))) == 0 && shutdown_signal == 0)
            hal_cpu_idle();
        if (n <= 0)
            break;
        (void)hal_console_write(HAL_STREAM_OUT, buf, (size_t)n);
    }
    hal_console_info(&info);
    show("input ended", (uint64_t)-n);
    show("signal", (uint64_t)shutdown_signal);
    show("rows", info.rows);
}

void kernel_boot(void *stack, size_t size)
{
    uint64_t random[2];

    expect(!hal_irq_enabled(), "interrupts are on", 0);
    hal_thread_set(heads[0]);
    hal_ctx_adopt(&boot_ctx, stack, size);
    if (str_starts(hal_boot_info()->cmdline, "!q")) /* for counting the boot's instructions */
        hal_poweroff(0);
    put("HAL test on ");
    put(hal_boot_info()->machine);
    put("\n");
    test_boot_info();
    hal_attack(&boot_ctx, kernel_table_alloc);
    show("entropy", (uint64_t)hal_entropy(random, sizeof(random)));
    test_time();
    test_direct_map();
    test_kernel_map();
    test_kernel_remap(8);
    test_kernel_remap(100);
    test_contexts();
    test_stack_grows();
    test_cpus();
    setup_user_space();
    test_spaces();
    test_space_left();
    test_shootdown();
    test_user();
    test_user_copy();
    show("faults", faults_seen);
    if (strchr(hal_boot_info()->cmdline, '!')) /* it waits for input */
        test_input();
    put("PASS hal\n");
    hal_halt_others();
    hal_poweroff(0);
}
