/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hal_test_kernel.c - a kernel of 400 lines that exercises the hosted HAL: the up-calls, and one
 * flow of tests on CPU 0 that ends in hal_poweroff(0), or prints what failed and ends with 1.
 * It runs under the plain, asan and tsan presets.
 */
#include "../platform/uaccess_lengths.h"
#include "hal_up.h"
#include "isa.h"
#include "lib/errno.h"
#include "lib/string.h"

#define NR_DONE 0x200
#define NR_RAISE 0x201
#define STACK_SIZE (32 * 1024)
#define CODE_VA 0x400000ul
#define TRAMPOLINE_VA (CODE_VA + 0x10000)
#define DATA_VA 0x10000000ul
#define RACE_VA 0x50000000ul
#define RACE_PAGES 16u
#define CPU_MAX 4

extern const uint8_t user_code_begin[], user_code_end[], user_syscalls[], user_syscalls_site[],
    user_faults[], user_spin[], user_vectors[], user_touch[], user_signal[], user_handler[],
    user_restorer[];

struct flow { /* what hal_thread_get() returns */
    struct hal_ctx ctx;
    void *fp;
    struct isa_frame start;
    unsigned result; /* of NR_DONE + 1; 0: runs */
    struct flow *resume;
};

static struct flow boot_flow[CPU_MAX];
static struct hal_space space;
static paddr_t next_page;
static unsigned timer_count, ipi_count[CPU_MAX], cpus_ready;
static unsigned long user_calls, direct_calls;
static bool leave_spin, mend_faults;
static unsigned fault_seen;
static struct hal_fault faults[16];
static struct flow *runnable[2]; /* preemption test: switch between these */
static unsigned stop_cpus;

/* ---- printing ---- */

static void say(const char *text)
{
    (void)hal_console_write(HAL_STREAM_OUT, text, strlen(text));
}

static void say_number(const char *name, uint64_t value)
{
    char buf[24], *p = buf + sizeof(buf);

    *--p = '\0';
    *--p = '\n';
    do {
        *--p = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    say(name);
    say(" ");
    say(p);
}

static _Noreturn void fail(const char *what, int line)
{
    say("FAIL ");
    say(what);
    say_number(" line", (uint64_t)line);
    hal_poweroff(1);
}
#define REQUIRE(cond) \
    do { \
        if (!(cond)) \
            fail(#cond, __LINE__); \
    } while (0)

/* ---- memory ---- */

static paddr_t page_new(unsigned pages)
{
    return __atomic_fetch_add(&next_page, pages * HAL_PAGE_SIZE, __ATOMIC_RELAXED);
}
paddr_t kernel_table_alloc(void)
{
    return page_new(1);
}
void kernel_table_free(paddr_t pa)
{
    (void)pa;
}

/* A stack that grows, 4 pages. */
static vaddr_t lazy_stack;
static unsigned lazy_grown;

bool kernel_stack_fault(vaddr_t addr, uintptr_t sp)
{
    vaddr_t at = align_down(addr, HAL_PAGE_SIZE), end = lazy_stack + 4 * HAL_PAGE_SIZE;

    if (!lazy_stack || addr < lazy_stack || addr >= end)
        return false;
    REQUIRE(sp > lazy_stack && sp <= end);
    for (; !hal_space_query(hal_space_kernel(), at, NULL, NULL); at += HAL_PAGE_SIZE) {
        hal_stack_grow(at, page_new(1));
        lazy_grown++;
    }
    return true;
}

/* ---- up-calls ---- */

void kernel_cpu_stopped(unsigned cpu, const struct isa_frame *regs)
{
    (void)cpu, (void)regs;
}

void kernel_timer(void)
{
    __atomic_add_fetch(&timer_count, 1, __ATOMIC_RELAXED);
}
void kernel_ipi(void)
{
    __atomic_add_fetch(&ipi_count[hal_cpu_id()], 1, __ATOMIC_RELEASE);
}
void kernel_irq(unsigned irq)
{
    (void)irq; /* no device is asked for */
}
void kernel_console(void)
{
}
void kernel_shutdown_request(int signo)
{
    (void)signo;
    fail("unexpected signal", __LINE__);
}
void kernel_preempt(void)
{
}
_Noreturn void kernel_killed(const char *what, const struct isa_frame *regs, uintptr_t fp)
{
    kernel_hal_panic(what, isa_frame_pc(regs), fp);
}

_Noreturn void kernel_hal_panic(const char *what, uintptr_t pc, uintptr_t fp)
{
    char name[HAL_SYMBOL_ROOM] = "?";
    uintptr_t offset = 0;

    (void)fp;
    (void)hal_symbol(pc, name, &offset);
    say("PANIC ");
    say(what);
    say(" at ");
    say(name);
    say_number(" +", offset);
    hal_poweroff(HAL_EXIT_PANIC);
}

static void switch_flow(struct flow *to, bool last)
{
    struct flow *from = hal_thread_get();

    hal_thread_set(to);
    hal_ctx_switch(&from->ctx, &to->ctx, last);
}

static void raise_signal(struct isa_frame *frame, struct flow *flow)
{
    static uint8_t buf[8192], info[128];
    struct isa_signal sig = {
        .signo = 10,
        .info = (struct siginfo *)(void *)info,
        .handler = CODE_VA + (uintptr_t)(user_handler - user_code_begin),
        .restorer = CODE_VA + (uintptr_t)(user_restorer - user_code_begin),
        .mask = 0x55,
    };
    uintptr_t at, sp = isa_frame_sp(frame);
    size_t size;

    REQUIRE(isa_sigframe_size() <= sizeof(buf));
    isa_frame_set_result(frame, 77);
    hal_ctx_fp_sync(&flow->ctx);
    size = isa_sigframe_build(frame, flow->fp, &sig, sp, buf, &at);
    REQUIRE(size == isa_sigframe_image_size() && at % 16 == 8 && at + size <= sp - 128);
    REQUIRE(isa_user_copy((void *)at, buf, size) == 0);
}

static void signal_return(struct isa_frame *frame, struct flow *flow)
{
    static uint8_t buf[8192];
    struct isa_sigreturn out;
    uintptr_t at = isa_sigframe_addr(frame);

    REQUIRE(isa_user_copy(buf, (void *)at, isa_sigframe_image_size()) == 0);
    hal_ctx_fp_sync(&flow->ctx);
    REQUIRE(isa_sigframe_restore(frame, flow->fp, buf, isa_sigframe_image_size(), at, &out) == 0);
    REQUIRE(out.mask == 0x55);
}

/* As proc/patch.c does, for the one site of user_syscalls. */
static void patch(const struct isa_frame *frame)
{
    struct isa_patch plan;
    uintptr_t site = isa_frame_pc(frame) - ISA_SYSCALL_LEN;
    paddr_t code, tramp;

    if (site != CODE_VA + (uintptr_t)(user_syscalls_site - user_code_begin))
        return;
    if (!isa_patch_plan(user_code_begin, (size_t)(user_code_end - user_code_begin), CODE_VA, site,
                        TRAMPOLINE_VA, hal_direct_entry(), &plan))
        return;
    REQUIRE(hal_space_query(&space, plan.patch_va, &code, NULL));
    REQUIRE(hal_space_query(&space, TRAMPOLINE_VA, &tramp, NULL));
    memcpy(hal_phys_to_virt(tramp), plan.tramp, plan.tramp_len);
    memcpy(hal_phys_to_virt(code), plan.patch, plan.patch_len);
}

void kernel_syscall(struct isa_frame *frame)
{
    struct flow *flow = hal_thread_get();

    REQUIRE(hal_irq_enabled());
    switch (isa_frame_sysno(frame)) {
    case 39:
        user_calls++;
        if (isa_frame_trapped(frame))
            patch(frame);
        else
            direct_calls++;
        isa_frame_set_result(frame, 1234);
        break;
    case NR_DONE:
        flow->result = (unsigned)isa_frame_arg(frame, 0) + 1;
        (void)hal_irq_save();
        switch_flow(flow->resume, true);
        fail("a finished flow goes on", __LINE__);
    case NR_RAISE:
        raise_signal(frame, flow);
        break;
    case 15:
        signal_return(frame, flow);
        break;
    default:
        fail("unknown system call", __LINE__);
    }
}

void kernel_user_delay(void)
{
}

void kernel_user_return(struct isa_frame *frame)
{
    struct flow *flow = hal_thread_get();

    REQUIRE(!hal_irq_enabled());
    if (leave_spin &&
        isa_frame_pc(frame) - CODE_VA - (uintptr_t)(user_spin - user_code_begin) < 8) {
        flow->result = 2;
        switch_flow(flow->resume, true);
    }
    if (runnable[0] && runnable[1] && flow != flow->resume) {
        struct flow *other = runnable[0] == flow ? runnable[1] : runnable[0];

        hal_timer_arm(hal_clock_ns() + 50000);
        if (other->result == 0)
            switch_flow(other, false);
    }
}

bool kernel_fault(const struct hal_fault *fault)
{
    if (!fault->user) {
        if (fault->kind == HAL_FAULT_PAGE && mend_faults) {
            REQUIRE(hal_space_map(&space, align_down(fault->addr, HAL_PAGE_SIZE), page_new(1),
                                  HAL_PAGE_SIZE, HAL_PROT_READ | HAL_PROT_WRITE) == 0);
            return true;
        }
        if (fault->pc >= (uintptr_t)isa_uaccess_begin && fault->pc < (uintptr_t)isa_uaccess_end) {
            faults[0] = *fault;
            return false;
        }
        kernel_hal_panic("kernel fault", fault->pc, fault->fp);
    }
    REQUIRE(fault_seen < ARRAY_COUNT(faults));
    faults[fault_seen++] = *fault;
    isa_frame_set_pc(fault->frame, fault->frame->rbx);
    return true;
}

/* ---- flows ---- */

static void user_start(void *arg)
{
    struct flow *flow = arg;

    hal_user_enter(&flow->start);
}

static void *stack_new(void)
{
    static vaddr_t next;
    paddr_t pa = page_new(STACK_SIZE / HAL_PAGE_SIZE);

    if (!next)
        next = hal_layout()->kernel_lo;
    next += HAL_PAGE_SIZE; /* a guard page */
    REQUIRE(hal_space_map(hal_space_kernel(), next, pa, STACK_SIZE,
                          HAL_PROT_READ | HAL_PROT_WRITE) == 0);
    next += STACK_SIZE;
    return (void *)(next - STACK_SIZE);
}

static void flow_prepare(struct flow *flow, const uint8_t *code, uint64_t a, uint64_t b, uint64_t c)
{
    paddr_t stack_pa = page_new(4), fp_pa = page_new(2), tls_pa = page_new(1);
    vaddr_t stack_va = DATA_VA + 0x1000000 + (stack_pa & 0xfffffff);
    vaddr_t tls_va = stack_va + 0x10000000;

    memset(flow, 0, sizeof(*flow));
    REQUIRE(isa_fp_size() <= 2 * HAL_PAGE_SIZE);
    flow->fp = hal_phys_to_virt(fp_pa);
    isa_fp_init(flow->fp);
    REQUIRE(hal_space_map(&space, stack_va, stack_pa, 4 * HAL_PAGE_SIZE,
                          HAL_PROT_READ | HAL_PROT_WRITE) == 0);
    REQUIRE(hal_space_map(&space, tls_va, tls_pa, HAL_PAGE_SIZE, HAL_PROT_READ) == 0);
    *(uint64_t *)hal_phys_to_virt(tls_pa) = a;
    isa_frame_init(&flow->start, CODE_VA + (uintptr_t)(code - user_code_begin),
                   stack_va + 4 * HAL_PAGE_SIZE - 256);
    flow->start.rdi = a;
    flow->start.rsi = b;
    flow->start.rdx = c;
    flow->resume = hal_thread_get();
    hal_ctx_init(&flow->ctx, stack_new(), STACK_SIZE, user_start, flow, flow->fp);
    hal_ctx_set_tls(&flow->ctx, tls_va);
}

static void run_user(const char *name, const uint8_t *code, uint64_t a, uint64_t b, uint64_t c)
{
    static struct flow flow;
    unsigned long irq = hal_irq_save();

    flow_prepare(&flow, code, a, b, c);
    switch_flow(&flow, false);
    hal_irq_restore(irq);
    hal_ctx_destroy(&flow.ctx);
    say(name);
    REQUIRE(flow.result == 2);
    say(" ok\n");
}

/* ---- tests ---- */

static void test_machine(void)
{
    const struct hal_boot_info *info = hal_boot_info();
    uint64_t a, b, noise[2] = {0, 0};

    REQUIRE(info->ram_count == 1 && strcmp(info->cmdline, "test") == 0);
    REQUIRE(hal_cpu_count() == CPU_MAX && hal_cpu_id() == 0);
    REQUIRE(!hal_irq_enabled());
    a = hal_clock_ns();
    do
        b = hal_clock_ns();
    while (b == a);
    REQUIRE(hal_clock_rough_ns() > a - NS_PER_US && hal_clock_rough_ns() < b + NS_PER_SEC);
    REQUIRE(b > a && hal_wall_base_ns() > 1600000000ull * NS_PER_SEC);
    REQUIRE(hal_entropy(noise, sizeof(noise)) == 0 && noise[0] != noise[1]);
    say("machine ok\n");
}

static void test_timer(void)
{
    uint64_t start;
    unsigned fired;
    bool late;

    hal_irq_enable();
    do { /* again where the machine stood still until it was due */
        timer_count = 0;
        start = hal_clock_ns();
        hal_timer_arm(start + 2 * NS_PER_MS);
        hal_timer_arm(start + 5 * NS_PER_MS); /* later than what the host timer was armed for */
    } while (hal_clock_ns() >= start + 2 * NS_PER_MS);
    while (__atomic_load_n(&timer_count, __ATOMIC_RELAXED) == 0)
        hal_irq_restore(hal_irq_save());
    REQUIRE(hal_clock_ns() - start >= 5 * NS_PER_MS);
    hal_timer_arm(hal_clock_ns() - 1); /* the past fires at once */
    REQUIRE(timer_count == 2);
    start = hal_clock_ns();
    (void)hal_irq_save();
    hal_timer_arm(start + 3 * NS_PER_MS);
    while (timer_count == 2)
        hal_cpu_idle();
    REQUIRE(timer_count == 3 && hal_clock_ns() - start >= 3 * NS_PER_MS);
    do {
        (void)hal_irq_save();
        fired = timer_count;
        start = hal_clock_ns();
        hal_timer_arm(start + 2 * NS_PER_MS);
        hal_timer_arm(UINT64_MAX);
        late = hal_clock_ns() >= start + 2 * NS_PER_MS;
        hal_irq_enable();
        while (hal_clock_ns() - start < 4 * NS_PER_MS)
            hal_irq_restore(hal_irq_save());
    } while (late);
    REQUIRE(timer_count == fired);
    say("timer ok\n");
}

static void test_memory(void)
{
    char buf[64] = "hello";
    uint32_t word = 0;
    paddr_t pa;
    unsigned prot;

    REQUIRE(isa_user_copy((void *)DATA_VA, buf, 6) == -EFAULT);
    REQUIRE(faults[0].addr == DATA_VA && faults[0].access == HAL_ACCESS_WRITE);
    mend_faults = true;
    REQUIRE(isa_user_copy((void *)(DATA_VA + 4093), buf, 6) == 0);
    mend_faults = false;
    REQUIRE(isa_user_strcpy(buf + 10, (char *)DATA_VA + 4093, 20) == 6);
    REQUIRE(strcmp(buf + 10, "hello") == 0);
    REQUIRE(isa_user_copy((void *)(DATA_VA + 8190), buf, 6) == -EFAULT);
    REQUIRE(uaccess_lengths(DATA_VA + 8192));
    REQUIRE(isa_user_zero((void *)DATA_VA, 8192) == 0);
    REQUIRE(isa_user_zero((void *)DATA_VA, 8193) == -EFAULT);
    REQUIRE(isa_user_store_u32((uint32_t *)DATA_VA, 7) == 0);
    REQUIRE(isa_user_cmpxchg_u32((uint32_t *)DATA_VA, 7, 9, &word) == 0 && word == 7);
    REQUIRE(isa_user_load_u32((uint32_t *)DATA_VA, &word) == 0 && word == 9);
    REQUIRE(isa_user_load_u32((uint32_t *)0x8000000000000000, &word) == -EFAULT);
    REQUIRE(hal_space_query(&space, DATA_VA, &pa, &prot) && (prot & HAL_PROT_WRITE));
    hal_space_protect(&space, DATA_VA, HAL_PAGE_SIZE, HAL_PROT_READ);
    REQUIRE(isa_user_store_u32((uint32_t *)DATA_VA, 7) == -EFAULT && faults[0].present);
    REQUIRE(isa_user_load_u32((uint32_t *)DATA_VA, &word) == 0 && word == 9);
    hal_space_protect(&space, DATA_VA, HAL_PAGE_SIZE, HAL_PROT_READ | HAL_PROT_WRITE);
    REQUIRE(isa_user_store_u32((uint32_t *)DATA_VA, 11) == 0);
    REQUIRE(*(uint32_t *)hal_phys_to_virt(pa) == 11);
    REQUIRE(hal_space_next(&space, 0x10000, DATA_VA + 8192) == CODE_VA);
    hal_space_unmap(&space, DATA_VA, 8192);
    REQUIRE(isa_user_load_u32((uint32_t *)DATA_VA, &word) == -EFAULT);
    /* A host that has lost our mappings: activation of another space and back. */
    {
        static struct hal_space other;

        REQUIRE(hal_space_map(&space, DATA_VA, pa, HAL_PAGE_SIZE, HAL_PROT_READ) == 0);
        REQUIRE(hal_space_create(&other) == 0);
        hal_space_activate(&other);
        REQUIRE(isa_user_load_u32((uint32_t *)DATA_VA, &word) == -EFAULT);
        hal_space_activate(&space);
        REQUIRE(isa_user_load_u32((uint32_t *)DATA_VA, &word) == 0 && word == 11);
        hal_space_destroy(&other);
        hal_space_unmap(&space, DATA_VA, HAL_PAGE_SIZE);
    }
    say("memory ok\n");
}

/* The fault of a copy from memory that is not there needs room, too. */
static __attribute__((noinline)) unsigned lazy_small(unsigned n)
{
    volatile char room[72];
    unsigned sum = 1;
    uint32_t word;

    room[0] = (char)n;
    REQUIRE(isa_user_load_u32((const uint32_t *)(uintptr_t)(HAL_PAGE_SIZE + 4 * n), &word) < 0);
    if ((uintptr_t)room - lazy_stack > 2048)
        sum += lazy_small(n);
    return sum + (unsigned)(room[0] != (char)n) * 1000;
}

static __attribute__((noinline)) unsigned lazy_large(unsigned n)
{
    volatile char room[5000]; /* skips a page */

    room[0] = (char)n;
    return lazy_small(n) + (unsigned)(room[0] != (char)n) * 1000;
}

static struct hal_ctx lazy_ctx;

static void lazy_body(void *arg)
{
    unsigned *steps = arg;

    *steps = *steps % 2 ? lazy_small(*steps) : lazy_large(*steps);
    *steps += lazy_small(*steps % 100);
    hal_ctx_switch(&lazy_ctx, &((struct flow *)hal_thread_get())->ctx, true);
}

/* With nothing mapped but its upper end a stack works like any other. */
static void test_stack(void)
{
    vaddr_t va = align_down(hal_layout()->kernel_lo + 3 * 0x200000, 0x200000) + HAL_PAGE_SIZE;

    if (!HAL_STACKS_GROW)
        return;
    for (unsigned round = 1; round <= 20; round++) {
        unsigned long irq = hal_irq_save();
        paddr_t top = page_new(1);
        unsigned steps = round;

        REQUIRE(hal_stack_map(va, 4 * HAL_PAGE_SIZE, &top, 1) == 0);
        REQUIRE(!hal_space_query(hal_space_kernel(), va + 2 * HAL_PAGE_SIZE, NULL, NULL));
        lazy_stack = va;
        hal_ctx_init(&lazy_ctx, (void *)va, 4 * HAL_PAGE_SIZE, lazy_body, &steps, NULL);
        hal_ctx_switch(&((struct flow *)hal_thread_get())->ctx, &lazy_ctx, false);
        REQUIRE(steps > 20 && steps < 500);
        REQUIRE(lazy_grown == 3 * round);
        hal_ctx_destroy(&lazy_ctx);
        lazy_stack = 0;
        hal_space_unmap(hal_space_kernel(), va, 4 * HAL_PAGE_SIZE);
        hal_irq_restore(irq);
    }
    say("a stack that grows ok\n");
}

static void test_faults(void)
{
    fault_seen = 0;
    run_user("faults", user_faults, 0, 0, 0);
    REQUIRE(fault_seen == 8);
    REQUIRE(faults[0].kind == HAL_FAULT_PAGE && faults[0].addr == 0x100 && !faults[0].present);
    REQUIRE(faults[0].access == HAL_ACCESS_READ && faults[0].user);
    REQUIRE(faults[1].kind == HAL_FAULT_PAGE && faults[1].addr == CODE_VA && faults[1].present);
    REQUIRE(faults[1].access == HAL_ACCESS_WRITE);
    REQUIRE(faults[2].kind == HAL_FAULT_ILLEGAL);
    REQUIRE(faults[3].kind == HAL_FAULT_PROTECTION);
    REQUIRE(faults[4].kind == HAL_FAULT_DIVIDE);
    REQUIRE(faults[5].kind == HAL_FAULT_BREAKPOINT);
    REQUIRE(faults[6].kind == HAL_FAULT_PROTECTION);
    REQUIRE(faults[7].kind == HAL_FAULT_PAGE && faults[7].addr == 0x31337000);
    REQUIRE(faults[7].access == HAL_ACCESS_EXEC);
}

/* Two flows that share CPU 0, switched by timer while their vector registers are live. */
static void test_preempt(void)
{
    static struct flow a, b;
    unsigned long irq = hal_irq_save();
    unsigned before = timer_count;

    flow_prepare(&a, user_vectors, 0xa5a5a5a5a5a5a5a5, 20000000, 0);
    flow_prepare(&b, user_vectors, 0x1234567890abcdef, 20000000, 0);
    runnable[0] = &a;
    runnable[1] = &b;
    hal_timer_arm(hal_clock_ns() + 50000);
    while (a.result == 0 || b.result == 0)
        switch_flow(a.result == 0 ? &a : &b, false);
    runnable[0] = runnable[1] = NULL;
    hal_timer_arm(UINT64_MAX);
    hal_irq_restore(irq);
    REQUIRE(a.result == 2 && b.result == 2);
    REQUIRE(timer_count - before > 20);
    hal_ctx_destroy(&a.ctx);
    hal_ctx_destroy(&b.ctx);
    say_number("preempt ok, timer interrupts:", timer_count - before);
}

static void test_spin(void)
{
    leave_spin = true;
    hal_timer_arm(hal_clock_ns() + 2 * NS_PER_MS);
    run_user("interrupt in user code", user_spin, 0, 0, 0);
    leave_spin = false;
}

static uint32_t racing; /* atomic */

static uint32_t *race_word(unsigned i)
{
    return (uint32_t *)(RACE_VA + i * HAL_PAGE_SIZE);
}

static void read_in_race(void)
{
    uint32_t word;

    for (unsigned i = hal_cpu_id(); __atomic_load_n(&racing, __ATOMIC_ACQUIRE); i++)
        if (isa_user_load_u32(race_word(i % RACE_PAGES), &word) == 0)
            REQUIRE(word == i % RACE_PAGES);
}

_Noreturn void kernel_cpu_main(unsigned cpu)
{
    REQUIRE(cpu == hal_cpu_id() && hal_thread_get() == &boot_flow[cpu]);
    REQUIRE(!hal_irq_enabled());
    __atomic_add_fetch(&cpus_ready, 1, __ATOMIC_RELEASE);
    hal_space_activate(&space);
    /* Pass every IPI on to the next CPU. */
    for (unsigned seen = 0;;) {
        hal_cpu_idle();
        read_in_race();
        while (seen != __atomic_load_n(&ipi_count[cpu], __ATOMIC_ACQUIRE)) {
            seen++;
            if (!__atomic_load_n(&stop_cpus, __ATOMIC_RELAXED))
                hal_ipi_send((cpu + 1) % CPU_MAX);
        }
    }
}

/* Pages that come and go while the other CPUs read them: who has seen one mapped must not load it
 * when it is gone. They are mapped together, but do not lie together: each is loaded alone. */
static void test_race(void)
{
    paddr_t frames[RACE_PAGES];
    uint64_t until = hal_clock_ns() + NS_PER_SEC;
    uint32_t word;

    for (unsigned i = RACE_PAGES; i > 0; i--) {
        frames[i - 1] = page_new(1);
        *(uint32_t *)hal_phys_to_virt(frames[i - 1]) = i - 1;
    }
    __atomic_store_n(&racing, 1, __ATOMIC_RELEASE);
    for (unsigned i = 1; i < CPU_MAX; i++)
        hal_ipi_send(i);
    while (hal_clock_ns() < until) {
        REQUIRE(hal_space_map_pages(&space, RACE_VA, frames, RACE_PAGES, HAL_PROT_READ) == 0);
        REQUIRE(isa_user_load_u32((uint32_t *)RACE_VA, &word) == 0 && word == 0);
        hal_space_unmap(&space, RACE_VA, RACE_PAGES * HAL_PAGE_SIZE);
        for (unsigned i = 0; i < RACE_PAGES; i++)
            REQUIRE(isa_user_load_u32(race_word(i), &word) == -EFAULT);
    }
    __atomic_store_n(&racing, 0, __ATOMIC_RELEASE);
    say("race ok\n");
}

static void test_cpus(void)
{
    uint64_t start;

    for (unsigned i = 1; i < CPU_MAX; i++) {
        uint8_t *stack = stack_new();

        REQUIRE(hal_cpu_start(i, stack + STACK_SIZE, &boot_flow[i]) == 0);
    }
    while (__atomic_load_n(&cpus_ready, __ATOMIC_ACQUIRE) < CPU_MAX - 1)
        hal_cpu_relax();
    REQUIRE(hal_cpu_start(CPU_MAX, NULL, NULL) < 0);
    (void)hal_irq_save();
    start = hal_clock_ns();
    ipi_count[0] = 0;
    for (unsigned round = 0; round < 200; round++) {
        hal_ipi_send(1);
        while (__atomic_load_n(&ipi_count[0], __ATOMIC_ACQUIRE) == round)
            hal_cpu_idle();
    }
    hal_irq_enable();
    __atomic_store_n(&stop_cpus, 1, __ATOMIC_RELAXED);
    say_number("cpus ok, ns per hop:", (hal_clock_ns() - start) / (200 * CPU_MAX));
}

static void test_speed(void)
{
    const unsigned long calls = 1000000;
    uint64_t start = hal_clock_ns();

    run_user("direct entry", user_syscalls, calls, 0, 0);
    REQUIRE(user_calls == direct_calls + 1); /* the one that was patched */
    say_number("ps per direct call:", (hal_clock_ns() - start) * 1000 / calls);
}

_Noreturn void kernel_boot(void *stack, size_t size)
{
    size_t code_len = (size_t)(user_code_end - user_code_begin);
    paddr_t code;

    hal_thread_set(&boot_flow[0]);
    hal_ctx_adopt(&boot_flow[0].ctx, stack, size);
    next_page = hal_boot_info()->ram[0].base;
    test_machine();
    REQUIRE(hal_space_create(&space) == 0);
    hal_space_activate(&space);
    code = page_new((unsigned)(code_len / HAL_PAGE_SIZE));
    memcpy(hal_phys_to_virt(code), user_code_begin, code_len);
    REQUIRE(hal_space_map(&space, CODE_VA, code, code_len, HAL_PROT_READ | HAL_PROT_EXEC) == 0);
    REQUIRE(hal_space_map(&space, TRAMPOLINE_VA, page_new(1), HAL_PAGE_SIZE,
                          HAL_PROT_READ | HAL_PROT_EXEC) == 0);
    test_timer();
    test_memory();
    run_user("trapped system calls", user_syscalls, 1, 0, 0);
    test_speed();
    test_faults();
    test_stack();
    run_user("signal frame", user_signal, 0, 0, 0);
    test_spin();
    test_cpus();
    test_race();
    test_preempt();
    say("PASS hal\n");
    hal_poweroff(0);
}
