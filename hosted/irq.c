/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * irq.c - interrupts: bits in the virtual CPU's `pending` word.
 *
 * They are delivered at four places, always with interrupts off and outside signal handlers:
 * hal_irq_restore (hosted_irq_deliver), hal_cpu_idle, on the way out to user code
 * (hosted_exit_work), and when the interrupt signal takes a thread out of user code
 * (hosted_user_irq).
 */
#include "hosted.h"
#include "net.h"
#include "sim.h"

static void shutdown_requests(void)
{
    /* Acquire: pairs with the outer world's release; all bits that came before the interrupt. */
    uint32_t set = __atomic_exchange_n(&hosted_shutdown_signals, 0, __ATOMIC_ACQUIRE);

    if (set & HOSTED_NOT_STOPPED)
        kernel_shutdown_request(0);
    set &= ~HOSTED_NOT_STOPPED;
    for (int signo = 1; set != 0; signo++, set >>= 1)
        if (set & 1)
            kernel_shutdown_request(signo);
}

/* Handlers never switch threads, so the virtual CPU stays the same. */
bool hosted_irq_run(void)
{
    struct vcpu *v = vcpu_self();
    bool any = false;

    for (;;) {
        /* Acquire: what the sender wrote before it raised the interrupt. */
        uint32_t bits = __atomic_exchange_n(&v->pending, 0, __ATOMIC_ACQ_REL);

        if (bits == 0)
            return any;
        any = any || (bits & ~HOSTED_IRQ_ARM);
        if (bits & HOSTED_IRQ_TIMER)
            v->armed_ns = UINT64_MAX;
        if (bits & (HOSTED_IRQ_TIMER | HOSTED_IRQ_DUE))
            hosted_timer_fired(v);
        if (bits & HOSTED_IRQ_ARM)
            hosted_timer_program(v);
        if (bits & HOSTED_IRQ_IPI)
            kernel_ipi();
        if (bits & HOSTED_IRQ_CONSOLE)
            kernel_console();
        if (bits & HOSTED_IRQ_NET)
            net_interrupt(v);
        if (bits & HOSTED_IRQ_SHUTDOWN)
            shutdown_requests();
    }
}

/* hal_irq_restore found something pending. kernel_preempt may switch to another thread and come
 * back on another virtual CPU. */
void hosted_irq_deliver(void)
{
    do {
        (void)hal_irq_save();
        if (hosted_irq_run())
            kernel_preempt();
        __asm__ volatile("movb $0, %%gs:%c0" : : "i"(VCPU_IRQ_OFF) : "memory");
    } while (__atomic_load_n(&vcpu_self()->pending, __ATOMIC_RELAXED));
}

/* The way out found work. 1: interrupts were delivered, so kernel_user_return must run again. */
int hosted_exit_work(struct isa_frame *frame)
{
    struct vcpu *v = vcpu_self();

    (void)frame;
    if (SELKIE_SIM)
        sim_step_undo(frame);
    /* They came while the kernel ran: had they come later they would be signals. */
    if (__atomic_load_n(&v->pending, __ATOMIC_RELAXED)) {
        kernel_user_delay();
        (void)hosted_irq_run();
        return 1;
    }
    if (v->fp_stale)
        hosted_fp_load(v);
    return 0;
}

/* Called from both worlds. See hal_cpu_idle for the order of the two words. */
void hosted_raise(unsigned cpu, uint32_t bits)
{
    struct vcpu *v = &hosted_vcpus[cpu];
    int32_t tid;

    __atomic_fetch_or(&v->pending, bits, __ATOMIC_SEQ_CST);
    tid = __atomic_load_n(&v->tid, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&v->idle, __ATOMIC_SEQ_CST))
        (void)host_call3(HOST_futex, (long)&v->pending, HOST_FUTEX_WAKE_PRIVATE, 1);
    else if (tid != 0)
        (void)host_call3(HOST_tgkill, hosted_pid, tid, HOSTED_IRQ_SIGNAL);
}

void hal_ipi_send(unsigned cpu)
{
    unsigned long irq = hal_irq_save();
    struct vcpu *v = vcpu_self();

    /* To itself no signal is needed: restore looks. */
    if (cpu == v->id)
        __atomic_fetch_or(&v->pending, HOSTED_IRQ_IPI, __ATOMIC_SEQ_CST);
    else if (SELKIE_SIM)
        sim_raise(cpu, HOSTED_IRQ_IPI);
    else
        hosted_raise(cpu, HOSTED_IRQ_IPI);
    hal_irq_restore(irq);
}
