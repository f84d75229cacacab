/* SPDX-License-Identifier: BSD-3-Clause */
/* hosted.h - what the inner files of the hosted backend share. No other folder includes it. */
#ifndef SELKIE_HOSTED_H
#define SELKIE_HOSTED_H

#include "hal_up.h"
#include "host.h"
#include "isa.h"
#include "shared.h"

/* One per virtual CPU; only its own thread touches it, except for what is marked. */
struct vcpu {
    /* Known to assembly by offset (include/vcpu_offsets.h). */
    struct vcpu *self;
    void *thread;
    struct isa_frame *frame; /* where the next entry from user code builds its frame */
    uint32_t id;
    uint8_t irq_off;   /* 1 also while user code runs */
    uint8_t selector;  /* Syscall User Dispatch, sanitizer builds: 1 while user code runs */
    uint32_t pending;  /* atomic, others set bits: HOSTED_IRQ_* */
    uint32_t fp_stale; /* the context's vector registers must be loaded before user code */
    uint64_t user_rsp; /* scratch of the direct entry */
    void *local;       /* hal_cpu_local */

    struct hal_ctx *ctx;      /* executing */
    struct hal_ctx *fp_owner; /* whose registers the CPU holds, as far as ctx->fp_cpu agrees */
    uint64_t host_fs;         /* the thread's own FS base */
    /* From the signal handler to the code it resumes; of a stack that must grow, too. */
    struct hal_fault fault, stack_fault;
    uint32_t idle; /* atomic, others read: sleeps in a futex on `pending` */
    int32_t tid;
    uint64_t deadline_ns; /* what the kernel asked for; UINT64_MAX: nothing */
    uint64_t armed_ns;    /* when the host timer will fire; UINT64_MAX: it will not */
    int32_t timer_id;
    uint64_t slept_ns;  /* in hal_cpu_idle, altogether */
    uint64_t stolen_ns; /* hal_stolen_ns: the sum, and its last look at ... */
    uint64_t seen_ns, seen_cpu_ns, seen_slept_ns; /* ... the clock, the host's account, slept_ns */
    unsigned relax_count;
    uint8_t *panic_stack_top;
    bool polling;     /* hal_cpu_polling, and it looks at shared memory */
    bool net_look;    /* it has seen something there */
    uint32_t started; /* atomic: hal_cpu_start was called */
    void *start_stack_top;
    /* The space this CPU is to run in. The host has one set of mappings for all CPUs, so another
     * one may have taken them over; hosted_mmu_refill takes them back. */
    struct hal_space *space;
    /* Simulation: while another CPU has the thread; when the timer comes. */
    uintptr_t sim_sp;
    uint64_t sim_fs, sim_due;
    uint64_t sim_held;        /* it stands still until then, unless nobody else can run */
    uint64_t sim_passed_over; /* with priorities: since when it could go on and did not */
    void *sim_idle_self;      /* the thread that calls hal_cpu_idle */
} cache_aligned;

extern struct vcpu hosted_vcpus[HAL_CPU_MAX];
extern int32_t hosted_pid;
extern uint32_t hosted_halted;  /* atomic: 1 + index of the CPU that goes on; 0 none */
extern uint32_t hosted_stopped; /* atomic: CPUs that have stopped for it */

static inline __attribute__((always_inline)) struct vcpu *vcpu_self(void)
{
    struct vcpu *v;

    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(v) : "i"(VCPU_SELF));
    return v;
}

static inline __attribute__((always_inline)) uint64_t fs_base_read(void)
{
    uint64_t base;

    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}
static inline __attribute__((always_inline)) uint64_t gs_base_read(void)
{
    uint64_t base;

    __asm__ volatile("rdgsbase %0" : "=r"(base));
    return base;
}
static inline __attribute__((always_inline)) void fs_base_write(uint64_t base)
{
    __asm__ volatile("wrfsbase %0" : : "r"(base));
}

/* The host is to write here: what lies on a stack that has no such page yet must get it first, for
 * the host only says EFAULT. */
static inline void host_buffer(const void *buf, size_t len)
{
    const volatile char *from = buf;

    for (size_t i = 0; i < len; i += HAL_PAGE_SIZE)
        (void)from[i];
    if (len > 0)
        (void)from[len - 1];
}

/* ---- entry.S ---- */
extern const char hosted_exit_begin[], hosted_exit_end[];
extern const char hosted_entry_syscall[], hosted_entry_fault[], hosted_entry_irq[],
    hosted_entry_kernel_fault[], hosted_entry_stack_fault[], hosted_entry_sent[],
    hosted_sigreturn[], hosted_direct_entry[], hosted_ctx_start[];
void hosted_switch(uintptr_t *save_sp, uintptr_t load_sp);
_Noreturn void hosted_leave(struct isa_frame *frame);          /* go out with a copy of the frame */
_Noreturn void hosted_start_on(void *stack_top, unsigned cpu); /* kernel_cpu_main there */

/* ---- trap.c ---- */
void hosted_signal(int signo, const struct host_siginfo *info, struct host_ucontext *uc);
void hosted_user_fault(struct isa_frame *frame);
void hosted_user_irq(struct isa_frame *frame);
void hosted_kernel_fault(struct isa_frame *frame);
void hosted_stack_fault(struct isa_frame *frame);
/* The registers of what was interrupted, where the panic stack has room for them; those of the
 * context come from there. */
struct isa_frame *hosted_panic_frame(struct vcpu *v, const struct host_ucontext *uc);
void hosted_resume_at(struct host_ucontext *uc, const char *entry, struct isa_frame *frame);

/* ---- outside.c ---- */
/* In the handler: a signal that somebody has sent. */
void hosted_sent(int signo, const struct host_siginfo *info, struct host_ucontext *uc);
_Noreturn void hosted_sent_end(struct isa_frame *frame);
/* By which the process is to end; 0: none. */
int hosted_ends_by(void);
_Noreturn void hosted_end_by(int signo);

/* ---- irq.c ---- */
/* Run the handlers of what is pending, interrupts off. True if there was any. */
bool hosted_irq_run(void);
int hosted_exit_work(struct isa_frame *frame);

/* ---- ctx.c ---- */
void hosted_fp_load(struct vcpu *v);
void hosted_signals_install(void);
void hosted_sanitizer_enter(struct isa_frame *frame);
void hosted_sanitizer_leave(struct isa_frame *frame);
void hosted_ctx_begin(void);

/* ---- mem.c ---- */
/* Memory that is about to be mapped for a program: may be made one large page of the host's. */
void hosted_ram_use(paddr_t pa, size_t len);

/* ---- mmu.c ---- */
void hosted_mmu_init(void);
/* Of a user address, in builds with SELKIE_ASAN. */
bool hosted_mmu_is_shadow(vaddr_t addr);
/* The host's mappings are a cache of the page tables: load what they say about addr. False if they
 * do not allow the access; *present tells whether the page is mapped at all. */
bool hosted_mmu_refill(vaddr_t addr, enum hal_access access, bool *present);

/* ---- power.c ---- */
void hosted_restore_tty(void); /* any thread and context */

/* ---- time.c ---- */
void hosted_timer_init(struct vcpu *v);
void hosted_timer_program(struct vcpu *v); /* HOSTED_IRQ_ARM */
void hosted_timer_fired(struct vcpu *v);

#endif
