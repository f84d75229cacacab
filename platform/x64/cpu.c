/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpu.c - CPUs: features, control registers, descriptor tables, start of the others, idle.
 *
 * Each CPU has one struct x64_cpu, reached through GS base, with its own descriptor table, task
 * segment and interrupt stacks. CPU 0's is static; the others are cut from boot memory for as many
 * CPUs as the MADT names, CPU 0 first and the rest in table order.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "x64.h"

#define CR0_MP (1ul << 1)
#define CR0_EM (1ul << 2)
#define CR0_TS (1ul << 3)
#define CR0_NE (1ul << 5)
#define CR0_WP (1ul << 16)
#define CR4_PGE (1ul << 7)
#define CR4_OSFXSR (1ul << 9)
#define CR4_OSXMMEXCPT (1ul << 10)
#define CR4_UMIP (1ul << 11)
#define CR4_FSGSBASE (1ul << 16)
#define CR4_OSXSAVE (1ul << 18)
/* x87, SSE, AVX, AVX-512. Not AMX (8 KiB per thread), MPX (gone) or PKRU (off in CR4). */
#define XCR0_WANTED 0xe7u
#define XCR0_AVX512 0xe0u

#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_FMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define EFER_SCE (1u << 0)
#define EFER_LME (1u << 8)
#define EFER_NXE (1u << 11)
/* Cleared at a system call: TF, IF, DF, NT, AC. */
#define FMASK_VALUE (0x100u | 0x200u | 0x400u | 0x4000u | 0x40000u)

/* See is_interpreted. */
#define INTERPRETED_TRIES 3
#define INTERPRETED_LOOPS 32u
#define INTERPRETED_CYCLES 300u

#define ARRIVE_TIMEOUT_NS (1000 * NS_PER_MS)
#define STARTUP_RETRY_NS (2 * NS_PER_MS)

STATIC_ASSERT(offsetof(struct x64_cpu, self) == CPU_SELF);
STATIC_ASSERT(offsetof(struct x64_cpu, thread) == CPU_THREAD);
STATIC_ASSERT(offsetof(struct x64_cpu, id) == CPU_ID);
STATIC_ASSERT(offsetof(struct x64_cpu, local) == CPU_LOCAL);
STATIC_ASSERT(offsetof(struct x64_cpu, tlb_pending) == CPU_TLB_PENDING);
STATIC_ASSERT(offsetof(struct x64_cpu, fp_stale) == CPU_FP_STALE);
STATIC_ASSERT(offsetof(struct x64_cpu, kstack) == CPU_KSTACK);
STATIC_ASSERT(offsetof(struct x64_cpu, user_sp) == CPU_USER_SP);
STATIC_ASSERT(offsetof(struct x64_cpu, irq_on) == CPU_IRQ_ON);
STATIC_ASSERT(offsetof(struct x64_cpu, irq_noted) == CPU_IRQ_NOTED);
STATIC_ASSERT(offsetof(struct x64_cpu, int_rip) == CPU_INT_RIP);
STATIC_ASSERT(offsetof(struct x64_cpu, int_rsp) == CPU_INT_RSP);
STATIC_ASSERT(offsetof(struct x64_cpu, int_rflags) == CPU_INT_RFLAGS);
STATIC_ASSERT(offsetof(struct x64_cpu, int_vector) == CPU_INT_VECTOR);
STATIC_ASSERT(offsetof(struct x64_cpu, int_rax) == CPU_INT_RAX);
STATIC_ASSERT(offsetof(struct x64_cpu, trap_top) == CPU_TRAP_TOP);
STATIC_ASSERT(offsetof(struct x64_cpu, cr2) == CPU_CR2);
STATIC_ASSERT(offsetof(struct x64_cpu, io_map) ==
              offsetof(struct x64_cpu, tss) + sizeof(struct x64_tss));

struct gate { /* SDM vol. 3, 6.14.1 */
    uint16_t offset_lo, selector;
    uint8_t ist, type;
    uint16_t offset_mid;
    uint32_t offset_hi, reserved;
};
STATIC_ASSERT(sizeof(struct gate) == 16);
#define GATE_INTERRUPT 0x8e /* present */
#define GATE_TRAP 0x8f
#define GATE_RING3 0x60
struct table_register {
    uint16_t limit;
    uint64_t base;
} packed;

static struct x64_cpu boot_cpu;
static struct gate idt[X64_VECTOR_COUNT] __attribute__((aligned(16)));
struct x64_cpu *x64_cpus[HAL_CPU_MAX] = {&boot_cpu};
struct x64_features x64_features;
static unsigned cpu_count = 1;
static paddr_t trampoline_root = HAL_NO_PAGE;

unsigned hal_cpu_count(void)
{
    return cpu_count;
}

/* ---- features and control registers ---- */

/*
 * Some hypervisors without hardware support interpret ring 0 one instruction at a time, and know
 * neither XGETBV nor many others that CPUID (which they pass through) promises: meeting one ends
 * the machine. They give themselves away by their speed: thousands of cycles for each instruction,
 * where hardware needs one and QEMU's translator a few. The best of some tries counts.
 */
static bool is_interpreted(void)
{
    uint64_t best = UINT64_MAX;

    for (unsigned i = 0; i < INTERPRETED_TRIES; i++) {
        unsigned count = INTERPRETED_LOOPS;
        uint64_t start = x64_rdtsc();

        __asm__ volatile("1: decl %0; jnz 1b" : "+r"(count) : : "cc");
        best = MIN(best, x64_rdtsc() - start);
    }
    return best > (uint64_t)INTERPRETED_LOOPS * INTERPRETED_CYCLES;
}

void x64_cpu_features(void)
{
    struct x64_features *f = &x64_features;
    uint32_t max = x64_cpuid(0, 0).eax, max_ext = x64_cpuid(0x80000000, 0).eax;
    struct x64_cpuid one = x64_cpuid(1, 0);

    f->hypervisor = one.ecx & (1u << 31);
    f->interpreted = f->hypervisor && is_interpreted();
    if (f->interpreted)
        return;
    f->xsave = one.ecx & (1u << 26);
    f->x2apic = one.ecx & (1u << 21);
    f->tsc_deadline = one.ecx & (1u << 24);
    f->rdrand = one.ecx & (1u << 30);
    if (max >= 7) {
        struct x64_cpuid seven = x64_cpuid(7, 0);

        f->fsgsbase = seven.ebx & (1u << 0);
        f->umip = seven.ecx & (1u << 2);
        f->rdseed = seven.ebx & (1u << 18);
    }
    if (max_ext >= 0x80000001)
        f->gib_pages = x64_cpuid(0x80000001, 0).edx & (1u << 26);
}

static void enable_xsave(void)
{
    struct x64_cpuid states = x64_cpuid(0xd, 0);
    uint32_t mask = states.eax & XCR0_WANTED;

    /* The three AVX-512 states come together, and only with AVX (SDM vol. 1, 13.3). */
    if ((mask & XCR0_AVX512) != XCR0_AVX512 || !(mask & 4))
        mask &= ~XCR0_AVX512;
    __asm__ volatile("xsetbv" : : "a"(mask), "d"(0), "c"(0));
}

void x64_cpu_syscall_entry(const char *entry, bool mask_flags)
{
    x64_wrmsr(MSR_LSTAR, (uintptr_t)entry);
    x64_wrmsr(MSR_FMASK, mask_flags ? FMASK_VALUE : 0);
}

void x64_cpu_control(void)
{
    const struct x64_features *f = &x64_features;
    unsigned long cr0, cr4;

    __asm__ volatile("movq %%cr0, %0" : "=r"(cr0));
    cr0 = (cr0 | CR0_WP | CR0_NE | CR0_MP) & ~(CR0_EM | CR0_TS);
    __asm__ volatile("movq %0, %%cr0" : : "r"(cr0) : "memory");

    __asm__ volatile("movq %%cr4, %0" : "=r"(cr4));
    cr4 |= CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | (f->xsave ? CR4_OSXSAVE : 0) |
           (f->fsgsbase ? CR4_FSGSBASE : 0) | (f->umip ? CR4_UMIP : 0);
    __asm__ volatile("movq %0, %%cr4" : : "r"(cr4) : "memory");
    if (f->xsave)
        enable_xsave();
    __asm__ volatile("fninit");

    x64_wrmsr(MSR_EFER, x64_rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE);
    x64_wrmsr(MSR_STAR, (uint64_t)X64_CS << 32);
    x64_cpu_syscall_entry(x64_ring3 ? x64_ring3_syscall : x64_syscall_entry, !x64_ring3_stays);
}

/* ---- descriptor tables ---- */

static void set_gate(unsigned vector, uintptr_t to, uint16_t selector, uint8_t ist, uint8_t type)
{
    idt[vector] = (struct gate){
        .offset_lo = (uint16_t)to,
        .selector = selector,
        .ist = ist,
        .type = type,
        .offset_mid = (uint16_t)(to >> 16),
        .offset_hi = (uint32_t)(to >> 32),
    };
}

/* What stops the machine uses interrupt gates and stacks of its own always. In ring 3 exceptions
 * stay in it, and interrupts and int3 go to ring 0, on its stack (ring3.S). */
void x64_cpu_idt(void)
{
    for (unsigned i = 0; i < X64_VECTOR_COUNT; i++) {
        uint8_t ist = i == 2              ? X64_IST_NMI
                      : i == 8 || i == 18 ? X64_IST_FATAL
                      : i == 14           ? X64_IST_FAULT
                                          : X64_IST_TRAP;

        if (!x64_ring3 || ist == X64_IST_NMI || ist == X64_IST_FATAL)
            set_gate(i, x64_trap_table[i], X64_CS, ist, GATE_INTERRUPT);
        else if (i == 3)
            set_gate(i, x64_ring3_trap_table[i], X64_CS, 0, GATE_INTERRUPT | GATE_RING3);
        else if (i < 32)
            set_gate(i, x64_ring3_trap_table[i], X64_USER_CS, ist, GATE_TRAP | GATE_RING3);
        else
            set_gate(i, x64_ring3_trap_table[i], X64_CS, 0, GATE_INTERRUPT);
    }
}

static void gdt_fill(struct x64_cpu *cpu)
{
    uint64_t tss = (uintptr_t)&cpu->tss;
    uint64_t limit = sizeof(cpu->tss) - 1 + (x64_ring3 ? X64_IO_MAP_SIZE : 0);

    cpu->gdt[X64_CS / 8] = 0x00af9b000000ffff;
    cpu->gdt[X64_DS / 8] = 0x00cf93000000ffff;
    cpu->gdt[X64_CS32 / 8] = 0x00cf9b000000ffff;
    cpu->gdt[X64_USER_DS / 8] = 0x00cff3000000ffff;
    cpu->gdt[X64_USER_CS / 8] = 0x00affb000000ffff;
    /* An available 64-bit task segment: two slots (SDM vol. 3, 8.2.3). */
    cpu->gdt[X64_TSS / 8] =
        limit | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56;
    cpu->gdt[X64_TSS / 8 + 1] = tss >> 32;
}

void x64_cpu_tables(struct x64_cpu *cpu)
{
    struct table_register gdtr = {sizeof(cpu->gdt) - 1, (uintptr_t)cpu->gdt};
    struct table_register idtr = {sizeof(idt) - 1, (uintptr_t)idt};

    cpu->self = cpu;
    gdt_fill(cpu);
    if (cpu->tss.ist[0] == 0) { /* CPU 0, before there is a place with guard pages */
        cpu->tss.ist[X64_IST_TRAP - 1] = (uintptr_t)cpu->trap_stack + sizeof(cpu->trap_stack);
        cpu->tss.ist[X64_IST_NMI - 1] = (uintptr_t)cpu->nmi_stack + sizeof(cpu->nmi_stack);
        cpu->tss.ist[X64_IST_FATAL - 1] = (uintptr_t)cpu->fatal_stack + sizeof(cpu->fatal_stack);
        cpu->tss.ist[X64_IST_FAULT - 1] = (uintptr_t)cpu->fault_stack + sizeof(cpu->fault_stack);
    }
    cpu->tss.rsp[0] = (uintptr_t)cpu->gate_stack + sizeof(cpu->gate_stack);
    cpu->tss.io_map = sizeof(cpu->tss);
    cpu->trap_top = cpu->tss.ist[X64_IST_TRAP - 1];

    __asm__ volatile("lgdt %0; lidt %1" : : "m"(gdtr), "m"(idtr) : "memory");
    __asm__ volatile("pushq %0; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:"
                     :
                     : "i"(X64_CS)
                     : "rax", "memory");
    __asm__ volatile("movl %0, %%ss; movl %0, %%ds; movl %0, %%es; ltr %w1"
                     :
                     : "r"(X64_DS), "r"(X64_TSS)
                     : "memory");
    x64_wrmsr(MSR_FS_BASE, 0);
    x64_wrmsr(MSR_GS_BASE, (uintptr_t)cpu);
}

/* Use the CPU's interrupt stacks where a guard page lies below each. It is not on one now. */
static void cpu_stacks(struct x64_cpu *cpu)
{
    cpu->tss.ist[X64_IST_TRAP - 1] = x64_stack_map(cpu->trap_stack, sizeof(cpu->trap_stack));
    cpu->tss.ist[X64_IST_NMI - 1] = x64_stack_map(cpu->nmi_stack, sizeof(cpu->nmi_stack));
    cpu->tss.ist[X64_IST_FATAL - 1] = x64_stack_map(cpu->fatal_stack, sizeof(cpu->fatal_stack));
    cpu->tss.ist[X64_IST_FAULT - 1] = x64_stack_map(cpu->fault_stack, sizeof(cpu->fault_stack));
    cpu->trap_top = cpu->tss.ist[X64_IST_TRAP - 1];
}

void x64_cpu_boot_stacks(void)
{
    cpu_stacks(&boot_cpu);
}

void x64_cpu_boot_init(void)
{
    x64_cpu_idt();
    x64_cpu_tables(&boot_cpu);
    x64_cpu_control();
    boot_cpu.online = true;
}

/* ---- the other CPUs ---- */

static void add_cpu(uint32_t apic_id, struct bootmem *bm)
{
    size_t size = align_up(sizeof(struct x64_cpu), HAL_PAGE_SIZE);
    paddr_t pa = bootmem_alloc(bm, size, HAL_PAGE_SIZE, 1ull << 32);
    struct x64_cpu *cpu;

    if (pa == HAL_NO_PAGE)
        return;
    cpu = hal_phys_to_virt(pa);
    memset(cpu, 0, offsetof(struct x64_cpu, gate_stack));
    cpu->id = cpu_count;
    cpu->apic_id = apic_id;
    cpu->deadline_ns = UINT64_MAX;
    cpu_stacks(cpu);
    x64_cpus[cpu_count++] = cpu;
}

/* Copy the trampoline and fill in what is the same for all CPUs (layout.h, trampoline.S). */
static void trampoline_prepare(void)
{
    const size_t size = (size_t)(x64_trampoline_end - x64_trampoline_begin);
    uint8_t *page = hal_phys_to_virt(x64_trampoline_page);
    uint32_t base = (uint32_t)x64_trampoline_page;
    const uint64_t gdt[3] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};
    const struct packed {
        uint16_t limit;
        uint32_t base;
    } gdtr = {sizeof(gdt) - 1, base + TRAMPOLINE_GDT};
    const struct packed {
        uint32_t offset;
        uint16_t selector;
    } far = {base + (uint32_t)(x64_trampoline_64 - x64_trampoline_begin), X64_CS};

    memcpy(page, x64_trampoline_begin, size);
    memcpy(page + TRAMPOLINE_ROOT, &trampoline_root, 8);
    memcpy(page + TRAMPOLINE_GDT, gdt, sizeof(gdt));
    memcpy(page + TRAMPOLINE_GDTR, &gdtr, sizeof(gdtr));
    memcpy(page + TRAMPOLINE_FAR64, &far, sizeof(far));
    *(uint32_t *)(void *)(page + TRAMPOLINE_EFER) = EFER_LME | EFER_NXE;
}

void x64_cpu_enumerate(const struct acpi_info *acpi, struct bootmem *bm)
{
    uint32_t self = x64_apic_id();

    boot_cpu.apic_id = self;
    boot_cpu.deadline_ns = UINT64_MAX;
    if (x64_trampoline_page == HAL_NO_PAGE || acpi->cpu_count < 2)
        return;
    trampoline_root = x64_mmu_trampoline_root(bm, x64_trampoline_page);
    if (trampoline_root == HAL_NO_PAGE)
        return;
    trampoline_prepare();
    for (unsigned i = 0; i < acpi->cpu_count && cpu_count < HAL_CPU_MAX; i++)
        if (acpi->cpu_apic_id[i] != self)
            add_cpu(acpi->cpu_apic_id[i], bm);
}

/* First C code of another CPU, on the stack that hal_cpu_start was given. */
static _Noreturn void ap_main(struct x64_cpu *cpu)
{
    x64_cpu_tables(cpu);
    x64_cpu_control();
    if (x64_ring3)
        x64_ring3_drop();
    /* Order: whoever changes kernel mappings from now on sees the CPU and flushes it, or the
     * load of CR3 that follows sees the change. */
    __atomic_store_n(&cpu->online, true, __ATOMIC_SEQ_CST);
    x64_mmu_activate_kernel();
    __atomic_store_n(&cpu->arrived, true, __ATOMIC_RELEASE);
    x64_irq_init_cpu();
    x64_time_init_cpu();
    kernel_cpu_main(cpu->id);
}

static bool wait_arrival(struct x64_cpu *cpu, uint64_t ns)
{
    uint64_t end = hal_clock_ns() + ns;

    do {
        if (__atomic_load_n(&cpu->arrived, __ATOMIC_ACQUIRE))
            return true;
        hal_cpu_relax();
    } while (hal_clock_ns() < end);
    return false;
}

void hal_cpu_local_set(unsigned cpu, void *local)
{
    x64_cpus[cpu]->local = local;
}

/*
 * INIT, STARTUP, and a second STARTUP only if the first was lost (SDM vol. 3, 9.4.4; the 10 ms
 * pause between INIT and STARTUP is for discrete APICs). The trampoline page serves one CPU at a
 * time, so this waits until the CPU has left it.
 */
int hal_cpu_start(unsigned cpu_id, void *stack_top, void *self)
{
    struct x64_cpu *cpu = x64_cpus[cpu_id];
    uint8_t *page = hal_phys_to_virt(x64_trampoline_page);
    uintptr_t entry = (uintptr_t)ap_main, top = (uintptr_t)stack_top & ~(uintptr_t)15;
    uint32_t startup = X64_APIC_STARTUP | (uint32_t)(x64_trampoline_page >> HAL_PAGE_SHIFT);

    cpu->thread = self;
    memcpy(page + TRAMPOLINE_STACK, &top, 8);
    memcpy(page + TRAMPOLINE_CPU, &cpu, 8);
    memcpy(page + TRAMPOLINE_ENTRY, &entry, 8);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    x64_apic_send(cpu->apic_id, X64_APIC_INIT);
    x64_spin_ns(10 * NS_PER_US);
    x64_apic_send(cpu->apic_id, startup);
    if (wait_arrival(cpu, STARTUP_RETRY_NS))
        return 0;
    x64_apic_send(cpu->apic_id, startup);
    if (wait_arrival(cpu, ARRIVE_TIMEOUT_NS))
        return 0;
    /* One that comes late would find the next CPU's stack in the trampoline: stop it for good. */
    x64_apic_send(cpu->apic_id, X64_APIC_INIT);
    __atomic_store_n(&cpu->online, false, __ATOMIC_SEQ_CST);
    return -EIO;
}

/* `sti` takes effect after `hlt` has begun, so that no interrupt slips in between. */
void hal_cpu_idle(void)
{
    if (x64_ring3) {
        x64_ring3_gate(0, 0, NULL, 0, x64_gate_idle);
        hal_irq_enable();
        x64_irq_off();
        return;
    }
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

void x64_stop(void)
{
    if (x64_ring3)
        x64_ring3_gate(0, 0, NULL, 0, x64_gate_stop);
    for (;;)
        __asm__ volatile("cli; hlt");
}
