/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: hosted/irq.c */
/* include: unit/hosted/include */
/*
 * raise_test.c - hosted_raise against a virtual CPU that leaves its sleep for another reason, at
 * every step: it looks at its pending interrupts once more and goes to user code, or sleeps on.
 * Who is asleep hears of a futex wake and of a signal, who is in user code only of a signal.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../hosted/hosted.h"
#include "../../hosted/net.h"
#include "../../hosted/sim.h"

struct vcpu hosted_vcpus[HAL_CPU_MAX];
int32_t hosted_pid;
uint32_t hosted_shutdown_signals;

/* What the rest of irq.c calls. */
void kernel_shutdown_request(int signo)
{
    (void)signo;
}
void kernel_ipi(void)
{
}
void kernel_console(void)
{
}
void kernel_preempt(void)
{
}
void kernel_user_delay(void)
{
}
void net_interrupt(struct vcpu *v)
{
    (void)v;
}
void hosted_timer_fired(struct vcpu *v)
{
    (void)v;
}
void hosted_timer_program(struct vcpu *v)
{
    (void)v;
}
void hosted_fp_load(struct vcpu *v)
{
    (void)v;
}
void sim_raise(unsigned cpu, uint32_t bits)
{
    (void)cpu, (void)bits;
}

static volatile sig_atomic_t signalled;
static unsigned step, leaves_at, looks_at;
static bool in_user, saw;

static void on_signal(int signo)
{
    (void)signo;
    signalled = 1;
}

/* Before the nth access of the one that raises: what the target does then. */
void atomic_step(void)
{
    struct vcpu *v = &hosted_vcpus[1];

    if (step == leaves_at)
        v->idle = 0;
    if (step == looks_at) {
        saw = v->pending != 0;
        in_user = !saw;
        v->pending = 0;
    }
    step++;
}

static void one(unsigned leaves, unsigned looks)
{
    struct vcpu *v = &hosted_vcpus[1];

    *v = (struct vcpu){.idle = 1, .tid = (int32_t)syscall(SYS_gettid)};
    step = 0;
    leaves_at = leaves;
    looks_at = looks;
    in_user = saw = false;
    signalled = 0;
    hosted_raise(1, HOSTED_IRQ_IPI);
    if (in_user && !signalled)
        fail_msg("left at %u, looked at %u: the interrupt waits for ever", leaves, looks);
    assert_true(saw || v->pending != 0);
}

static void none_is_slept_over(void **state)
{
    (void)state;
    hosted_pid = (int32_t)getpid();
    signal(HOSTED_IRQ_SIGNAL, on_signal);
    for (unsigned leaves = 0; leaves < 6; leaves++)
        for (unsigned looks = leaves; looks < 6; looks++)
            one(leaves, looks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(none_is_slept_over)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
