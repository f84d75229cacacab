/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpu.c - the scheduler's life on each CPU: the boot flow, the other CPUs, counters.
 *
 * The flow of control that a CPU starts with becomes its idle thread. That of CPU 0 runs the boot
 * list first; it never sleeps, since there would be nothing to run instead.
 */
#include "core/log.h"
#include "hal_up.h"
#include "lib/counter.h"
#include "mm/kmalloc.h"
#include "sched/internal.h"

#define START_TIMEOUT_NS (2 * NS_PER_SEC)

static struct thread boot_idle;
static struct runqueue boot_rq;

static void adopt_idle(struct cpu *cpu, struct runqueue *rq, struct thread *idle)
{
    rq_init(rq, cpu);
    thread_setup(idle, "idle");
    idle->state = THREAD_READY;
    idle->on_cpu = true;
    idle->head.cpu = cpu;
    rq->current = rq->idle = idle;
    cpu->rq = rq;
    cpu->idle = idle;
}

/* On the CPU itself. */
static void go_online(struct cpu *cpu)
{
    struct runqueue *rq = cpu->rq;
    rq->active = hal_space_kernel();
    rq->idle->run_start = hal_clock_ns();
    __atomic_store_n(&rq->idle_since, rq->idle->run_start, __ATOMIC_RELAXED);
    sched_publish(rq);
    /* Release: who sees the CPU online sees its run queue and its timers. */
    __atomic_store_n(&cpu->online, true, __ATOMIC_RELEASE);
}

void sched_init(void *boot_stack, size_t size)
{
    struct cpu *cpu = cpu_get(0);
    cpu->id = 0;
    hal_thread_set(&boot_idle);
    hal_ctx_adopt(&boot_idle.ctx, boot_stack, size);
    timerq_init_cpu(cpu, NULL);
    adopt_idle(cpu, &boot_rq, &boot_idle);
    go_online(cpu);
}

static bool start_cpu(struct cpu *cpu)
{
    struct thread *idle = kzalloc(sizeof(*idle));
    struct runqueue *rq = kmalloc(align_up(sizeof(*rq), HAL_PAGE_SIZE), ALLOC_ZERO);
    struct timerq *timers = timerq_create();
    void *stack = kstack_alloc();
    if (!idle || !rq || !timers || !stack)
        goto fail;
    timerq_init_cpu(cpu, timers);
    adopt_idle(cpu, rq, idle);
    idle->stack = stack;
    kstack_refill(cpu->id);
    if (hal_cpu_start(cpu->id, (char *)stack + KSTACK_SIZE, idle) == 0)
        return true;
    log_warn("CPU %u does not start", cpu->id);
    /* It may still come, late: so it keeps what it was given. */
    return false;
fail:
    log_warn("CPU %u: not enough memory to start it", cpu->id);
    if (stack)
        kstack_free(stack);
    kfree(timers);
    kfree(rq);
    kfree(idle);
    return false;
}

static void await_cpu(struct cpu *cpu, uint64_t deadline)
{
    while (!__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE)) {
        if (hal_clock_ns() >= deadline) {
            log_warn("CPU %u was started but did not come", cpu->id);
            return;
        }
        hal_cpu_relax();
    }
}

void sched_start_cpus(void)
{
    bool started[HAL_CPU_MAX] = {false};
    unsigned count = hal_cpu_count();
    if (!thread_spawn("reaper", thread_reaper, NULL))
        panic("not enough memory for the reaper thread");
    for (unsigned id = 1; id < count; id++)
        started[id] = start_cpu(cpu_get(id));
    uint64_t deadline = hal_clock_ns() + START_TIMEOUT_NS;
    for (unsigned id = 1; id < count; id++)
        if (started[id])
            await_cpu(cpu_get(id), deadline);
}

void kernel_cpu_main(unsigned id)
{
    struct cpu *cpu = cpu_get(id);
    struct thread *idle = cpu->idle;
    hal_ctx_adopt(&idle->ctx, idle->stack, KSTACK_SIZE);
    go_online(cpu);
    sched_idle_loop();
}

void sched_get_stats(unsigned id, struct sched_cpu_stats *out)
{
    *out = (struct sched_cpu_stats){0};
    const struct cpu *cpu = cpu_get(id);
    if (!cpu || !__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE))
        return;
    /* Relaxed: each is a momentary value of its own. */
    const struct runqueue *rq = cpu->rq;
    uint64_t since = __atomic_load_n(&rq->idle_since, __ATOMIC_RELAXED), now = hal_clock_ns();
    out->idle_ns = __atomic_load_n(&rq->idle_ns, __ATOMIC_RELAXED);
    if (since && now > since)
        out->idle_ns += now - since; /* charged only when it ends */
    out->busy_ns = __atomic_load_n(&rq->busy_ns, __ATOMIC_RELAXED);
    out->switches = counter_read(&rq->switches);
    out->runnable = __atomic_load_n(&rq->load, __ATOMIC_RELAXED);
}
