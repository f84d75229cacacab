/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpu.c - virtual CPUs: each is a host thread that the outer world has created (host_vcpu.c) and
 * that never leaves hosted_vcpu_main.
 *
 * From hosted_vcpu_main on a thread's system calls are dispatched to us (SIGSYS) unless they are
 * made by this executable's own text. Sanitizer builds also let shared libraries pass while
 * `selector` is 0, which it is whenever kernel code runs.
 */
#include "hosted.h"
#include "net_share.h"
#include "sim.h"

#include "vcpu_offsets.h"

#define PR_SET_TSC 26
#define PR_TSC_SIGSEGV 2
#define PR_SET_TIMERSLACK 29
#define ARCH_SET_CPUID 0x1012
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#define SIG_SETMASK 2
#define SIGNAL_BIT(n) (1ull << ((n)-1))
#define RELAX_YIELD 256

STATIC_ASSERT(offsetof(struct vcpu, self) == VCPU_SELF);
STATIC_ASSERT(offsetof(struct vcpu, thread) == VCPU_THREAD);
STATIC_ASSERT(offsetof(struct vcpu, frame) == VCPU_FRAME);
STATIC_ASSERT(offsetof(struct vcpu, id) == VCPU_ID);
STATIC_ASSERT(offsetof(struct vcpu, irq_off) == VCPU_IRQ_OFF);
STATIC_ASSERT(offsetof(struct vcpu, selector) == VCPU_SELECTOR);
STATIC_ASSERT(offsetof(struct vcpu, pending) == VCPU_PENDING);
STATIC_ASSERT(offsetof(struct vcpu, fp_stale) == VCPU_FP_STALE);
STATIC_ASSERT(VCPU_WORK == VCPU_PENDING && VCPU_FP_STALE == VCPU_PENDING + 4);
STATIC_ASSERT(offsetof(struct vcpu, user_rsp) == VCPU_USER_RSP);
STATIC_ASSERT(offsetof(struct vcpu, local) == VCPU_LOCAL);
STATIC_ASSERT(HAL_CPU_MAX == HOSTED_CPU_MAX && HAL_EXIT_PANIC == HOSTED_EXIT_FAILURE);

struct hosted_config hosted_config;
struct vcpu hosted_vcpus[HAL_CPU_MAX];
int32_t hosted_pid;
uint32_t hosted_halted;
uint32_t hosted_stopped;

uintptr_t __stack_chk_guard = 0x00a6b1c3d5e7f902; /* main.c replaces it */
_Noreturn void __stack_chk_fail(void);
_Noreturn void __stack_chk_fail(void)
{
    kernel_hal_panic("kernel stack overrun (stack protector)",
                     (uintptr_t)__builtin_return_address(0), (uintptr_t)__builtin_frame_address(0));
}

unsigned hal_cpu_count(void)
{
    return hosted_config.cpu_count;
}

/* The kernel's spin loops end soon, unless the host runs something else in place of the thread
 * they wait for. */
void hosted_relax(void)
{
    struct vcpu *v = vcpu_self();

    if (SELKIE_SIM) {
        sim_relax();
        return;
    }
    if (v->polling) { /* briefly, by itself; giving the host CPU away would be for milliseconds */
        share_look(v);
        return;
    }
    if (++v->relax_count % RELAX_YIELD == 0)
        (void)host_call3(HOST_sched_yield, 0, 0, 0);
}

/* Its inbox is in memory of its own; only peers' rings need a look. */
bool hosted_polling(bool on)
{
    struct vcpu *v = vcpu_self();

    if (SELKIE_SIM || on == v->polling)
        return v->polling;
    if (on) {
        v->polling = share_poll_begin(v);
    } else {
        v->polling = false;
        share_poll_end(v);
    }
    return v->polling;
}

void hal_cpu_local_set(unsigned cpu, void *local)
{
    hosted_vcpus[cpu].local = local;
}

int hal_cpu_start(unsigned cpu, void *stack_top, void *self)
{
    struct vcpu *v;

    if (cpu == 0 || cpu >= hosted_config.cpu_count)
        return -HOST_EIO;
    v = &hosted_vcpus[cpu];
    v->start_stack_top = stack_top;
    v->thread = self;
    if (SELKIE_SIM) {
        sim_cpu_start(v);
        return 0;
    }
    /* Release: the two words above, and all that the kernel prepared. */
    __atomic_store_n(&v->started, 1, __ATOMIC_RELEASE);
    (void)host_call3(HOST_futex, (long)&v->started, HOST_FUTEX_WAKE_PRIVATE, 1);
    return 0;
}

/*
 * Sleep and wake: the waker sets a bit in `pending`, then looks at `idle` (hosted_raise); the
 * sleeper sets `idle`, then looks at `pending`, last of all in the host's futex code. Both are
 * sequentially consistent, so at least one of them sees the other.
 */
void hal_cpu_idle(void)
{
    struct vcpu *v = vcpu_self();
    uint64_t now;

    if (SELKIE_SIM) {
        sim_idle(v);
        (void)hosted_irq_run();
        return;
    }
    /* Asleep the deadline is the futex's time-out. */
    __atomic_and_fetch(&v->pending, ~HOSTED_IRQ_ARM, __ATOMIC_RELAXED);
    __atomic_store_n(&v->idle, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&v->pending, __ATOMIC_SEQ_CST) == 0) {
        struct host_timespec wait, *timeout = NULL;

        now = hal_clock_ns();
        if (v->deadline_ns != UINT64_MAX && v->deadline_ns > now) {
            wait.sec = (int64_t)((v->deadline_ns - now) / NS_PER_SEC);
            wait.nsec = (int64_t)((v->deadline_ns - now) % NS_PER_SEC);
            timeout = &wait;
        }
        if (!share_sleep(v) && (timeout || v->deadline_ns == UINT64_MAX))
            (void)host_call4(HOST_futex, (long)&v->pending, HOST_FUTEX_WAIT_PRIVATE, 0,
                             (long)timeout);
        v->slept_ns += hal_clock_ns() - now;
    }
    __atomic_store_n(&v->idle, 0, __ATOMIC_SEQ_CST);
    if (v->deadline_ns != UINT64_MAX)
        __atomic_or_fetch(&v->pending,
                          v->deadline_ns <= hal_clock_ns() ? HOSTED_IRQ_DUE : HOSTED_IRQ_ARM,
                          __ATOMIC_RELAXED);
    (void)hosted_irq_run();
}

static void vcpu_arm(struct vcpu *v, uint8_t *memory)
{
    struct host_stack alt = {.sp = memory, .size = HOSTED_ALTSTACK_SIZE};
    /* Blocked stays everything that is sent to the process; the outer world takes it. */
    uint64_t mask = ~(SIGNAL_BIT(HOST_SIGILL) | SIGNAL_BIT(HOST_SIGTRAP) |
                      SIGNAL_BIT(HOST_SIGABRT) | SIGNAL_BIT(HOST_SIGBUS) | SIGNAL_BIT(HOST_SIGFPE) |
                      SIGNAL_BIT(HOST_SIGSEGV) | SIGNAL_BIT(HOST_SIGSYS) |
                      SIGNAL_BIT(HOSTED_IRQ_SIGNAL) | SIGNAL_BIT(HOSTED_TIMER_SIGNAL));

    __asm__ volatile("wrgsbase %0" : : "r"(v));
    (void)host_call3(HOST_sigaltstack, (long)&alt, 0, 0);
    (void)host_call3(HOST_prctl, PR_SET_TIMERSLACK, 1, 0);
    if (SELKIE_SIM)
        (void)host_call3(HOST_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0);
    if (SELKIE_SIM && hosted_config.sim.cpuid)
        (void)host_call3(HOST_arch_prctl, ARCH_SET_CPUID, 0, 0);
    hosted_timer_init(v);
    (void)host_call6(HOST_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
                     (long)hosted_config.text_lo,
                     (long)(hosted_config.text_hi - hosted_config.text_lo),
                     SELKIE_SANITIZE ? (long)&v->selector : 0, 0);
    (void)host_call4(HOST_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, sizeof(mask));
}

_Noreturn void hosted_vcpu_main(unsigned cpu, void *memory, void *stack, size_t size)
{
    struct vcpu *v = &hosted_vcpus[cpu];

    v->self = v;
    v->id = cpu;
    v->irq_off = 1;
    v->deadline_ns = UINT64_MAX;
    v->armed_ns = UINT64_MAX;
    v->host_fs = fs_base_read();
    v->panic_stack_top = (uint8_t *)memory + HOSTED_ALTSTACK_SIZE + HOSTED_PANIC_STACK_SIZE;
    vcpu_arm(v, memory);
    if (SELKIE_SIM)
        isa_fp_setup();
    /* Others send signals to tid once they see it: the handler needs all of the above. Whoever does
     * not see it yet has set a bit in `pending` before (hosted_raise), which this thread looks at
     * later: sequentially consistent, as in hal_cpu_idle. */
    __atomic_store_n(&v->tid, (int32_t)host_call3(HOST_gettid, 0, 0, 0), __ATOMIC_SEQ_CST);
    if (SELKIE_SIM)
        sim_start(v);
    if (cpu == 0)
        kernel_boot(stack, size);
    while (!__atomic_load_n(&v->started, __ATOMIC_ACQUIRE))
        (void)host_call4(HOST_futex, (long)&v->started, HOST_FUTEX_WAIT_PRIVATE, 0, 0);
    hosted_start_on(v->start_stack_top, cpu);
}
