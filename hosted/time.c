/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * time.c - clock, timer, entropy.
 *
 * The clock is the TSC where the host itself uses it as its clock, so that programs can read it
 * in the vDSO; otherwise CLOCK_MONOTONIC.
 *
 * The timer is a POSIX timer per virtual CPU that sends the interrupt signal to its thread. A
 * kernel re-arms its timer at every context switch, and programming the host's costs a system
 * call; so it is done late and seldom: hal_timer_arm only notes the deadline. If the host timer
 * will fire no later anyway, that is all (it fires early, and is programmed again then). Otherwise
 * HOSTED_IRQ_ARM makes the next delivery of interrupts program it - unless the CPU goes idle first,
 * where the deadline is the futex's time-out.
 */
#include "hosted.h"
#include "sim.h"

#include "lib/errno.h"

#define CLOCK_MONOTONIC 1
#define CLOCK_THREAD_CPUTIME_ID 3

static uint64_t tsc_read_rough(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

/* lfence: not before earlier loads are done (SDM vol. 2, RDTSC). */
static uint64_t tsc_read(void)
{
    __asm__ volatile("lfence" : : : "memory");
    return tsc_read_rough();
}

static inline __attribute__((always_inline)) uint64_t clock_read(uint64_t (*counter)(void))
{
    const struct hosted_config *c = &hosted_config;
    struct host_timespec ts = {0, 0};

    if (SELKIE_SIM)
        return sim_now() + HAL_CLOCK_START_NS;
    if (c->tsc_mult) {
        uint64_t ticks = counter();

        /* CPUs' counters may differ by a few ticks. */
        ticks = ticks > c->tsc_base ? ticks - c->tsc_base : 0;
        return (uint64_t)((unsigned __int128)ticks * c->tsc_mult >> c->tsc_shift) +
               HAL_CLOCK_START_NS;
    }
    (void)host_call3(HOST_clock_gettime, CLOCK_MONOTONIC, (long)&ts, 0);
    return (uint64_t)ts.sec * NS_PER_SEC + (uint64_t)ts.nsec - c->clock_base_ns +
           HAL_CLOCK_START_NS;
}

uint64_t hal_clock_ns(void)
{
    return clock_read(tsc_read);
}

uint64_t hal_clock_rough_ns(void)
{
    return clock_read(tsc_read_rough);
}

uint64_t hal_wall_base_ns(void)
{
    return hosted_config.wall_base_ns - HAL_CLOCK_START_NS;
}

void hal_clock_params(struct hal_clock_params *out)
{
    const struct hosted_config *c = &hosted_config;

    *out = (struct hal_clock_params){
        .kind = c->tsc_mult && !SELKIE_SIM ? HAL_CLOCK_TSC : HAL_CLOCK_NONE,
        .shift = c->tsc_shift,
        .mult = c->tsc_mult,
        .base = c->tsc_base,
        .base_ns = HAL_CLOCK_START_NS,
    };
}

void hosted_timer_init(struct vcpu *v)
{
    struct host_sigevent event = {
        .signo = HOSTED_TIMER_SIGNAL,
        .notify = HOST_SIGEV_THREAD_ID,
        .tid = (int32_t)host_call3(HOST_gettid, 0, 0, 0),
    };

    if (host_call3(HOST_timer_create, CLOCK_MONOTONIC, (long)&event, (long)&v->timer_id) < 0)
        kernel_hal_panic("the host gives no timer", 0, 0);
    if (SELKIE_SIM)
        sim_watch(v->timer_id);
}

void hal_timer_arm(uint64_t deadline_ns)
{
    unsigned long irq = hal_irq_save();
    struct vcpu *v = vcpu_self();

    v->deadline_ns = deadline_ns;
    if (SELKIE_SIM)
        sim_arm(v);
    else if (deadline_ns < v->armed_ns)
        __atomic_or_fetch(&v->pending, HOSTED_IRQ_ARM, __ATOMIC_RELAXED);
    hal_irq_restore(irq);
}

/* Relative times: the host's clock and ours may drift apart. */
void hosted_timer_program(struct vcpu *v)
{
    struct host_itimerspec spec = {{0, 0}, {0, 0}};
    uint64_t now, wait;

    if (SELKIE_SIM || v->deadline_ns >= v->armed_ns)
        return;
    now = hal_clock_ns();
    if (v->deadline_ns <= now) {
        __atomic_or_fetch(&v->pending, HOSTED_IRQ_DUE, __ATOMIC_RELAXED);
        return;
    }
    wait = v->deadline_ns - now;
    spec.value.sec = (int64_t)(wait / NS_PER_SEC);
    spec.value.nsec = (int64_t)(wait % NS_PER_SEC);
    v->armed_ns = v->deadline_ns;
    (void)host_call4(HOST_timer_settime, v->timer_id, 0, (long)&spec, 0);
}

/* The host timer has expired, perhaps before the deadline, or the deadline has passed. */
void hosted_timer_fired(struct vcpu *v)
{
    if (v->deadline_ns == UINT64_MAX)
        return;
    if (v->deadline_ns > hal_clock_ns()) {
        if (SELKIE_SIM) /* it was moved */
            return;
        __atomic_or_fetch(&v->pending, HOSTED_IRQ_ARM, __ATOMIC_RELAXED);
        return;
    }
    v->deadline_ns = UINT64_MAX;
    kernel_timer();
}

/* What is neither the host's account of this thread nor its own sleep. */
uint64_t hal_stolen_ns(void)
{
    struct vcpu *v = vcpu_self();
    struct host_timespec ts = {0, 0};
    uint64_t now, cpu, passed, accounted;

    if (SELKIE_SIM)
        return 0;
    if (host_call3(HOST_clock_gettime, CLOCK_THREAD_CPUTIME_ID, (long)&ts, 0) < 0)
        return v->stolen_ns;
    now = hal_clock_ns();
    cpu = (uint64_t)ts.sec * NS_PER_SEC + (uint64_t)ts.nsec;
    passed = now - v->seen_ns;
    accounted = cpu - v->seen_cpu_ns + v->slept_ns - v->seen_slept_ns;
    if (passed > accounted && v->seen_ns != 0)
        v->stolen_ns += passed - accounted;
    v->seen_ns = now;
    v->seen_cpu_ns = cpu;
    v->seen_slept_ns = v->slept_ns;
    return v->stolen_ns;
}

int hal_entropy(void *buf, size_t len)
{
    uint8_t *p = buf;

    if (SELKIE_SIM) {
        sim_entropy(buf, len);
        return 0;
    }
    host_buffer(p, len);
    while (len > 0) {
        long n = host_call3(HOST_getrandom, (long)p, (long)len, 0);

        if (n == -HOST_EINTR)
            continue;
        if (n <= 0)
            break;
        p += n;
        len -= (size_t)n;
    }
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(tsc_read() * 0x9e3779b97f4a7c15ull >> 56);
    return len == 0 ? 0 : -ENODATA;
}
