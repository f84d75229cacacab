/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim.c - the simulated machine of sim.h: hal.h as far as the scheduler needs it.
 *
 * Every simulated CPU is a chain of host contexts (ucontext); the host thread executes one CPU at a
 * time and changes to another one in sim_point and hal_cpu_idle. When all CPUs idle, virtual time
 * jumps to the next armed timer; when there is none, that is a lost wake-up: the run fails.
 */
#define _GNU_SOURCE
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/panic.h"
#include "hal_up.h"
#include "isa.h"
#include "lib/errno.h"
#include "mm/space.h"

#define CPUS_MAX 160
#define STACK_SIZE ((size_t)256 << 10)
#define ACCESS_ODDS 8
#define STALL_PICKS 1500

struct sim_cpu {
    struct sim_cpu_head head;
    ucontext_t resume; /* where this CPU goes on */
    bool online, idle, ipi;
    unsigned stall_in; /* accesses until it stands still; 0: it does not */
    unsigned stalled;  /* so often another CPU is chosen */
    uint64_t deadline;
    void *stack;
};
struct sim_flow {
    ucontext_t uc;
    void (*fn)(void *);
    void *arg;
    void *stack;
};

struct sim_cpu_head *sim_cpu;
unsigned sim_ipi_count, sim_timer_programmed, sim_timer_count;
uint64_t sim_stolen_ns;
static struct sim_cpu cpus[CPUS_MAX];
static unsigned cpu_count, flow_count;
static uint64_t now_ns = 1000, random_state;
uint64_t sim_clock_early_ns = 50;
static struct hal_space kernel_space;

static struct sim_cpu *self(void)
{
    return (struct sim_cpu *)sim_cpu;
}

void sim_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s (CPU %u, %llu ns)\n", file, line, what, sim_cpu->id,
            (unsigned long long)now_ns);
    abort();
}

uint64_t sim_random(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

uint64_t sim_now(void)
{
    return now_ns;
}

unsigned sim_contexts(void)
{
    return flow_count;
}

/* ---- exchanging CPUs ---- */

static void go_to(struct sim_cpu *to)
{
    struct sim_cpu *from = self();
    if (to == from)
        return;
    sim_cpu = &to->head;
    swapcontext(&from->resume, &to->resume);
}

static bool runnable(const struct sim_cpu *cpu)
{
    return cpu->online && (!cpu->idle || cpu->ipi || cpu->deadline <= now_ns);
}

static struct sim_cpu *pick(void)
{
    unsigned first = (unsigned)sim_random(cpu_count);
    struct sim_cpu *stalled = NULL;
    for (unsigned i = 0; i < cpu_count; i++) {
        struct sim_cpu *cpu = &cpus[(first + i) % cpu_count];
        if (!runnable(cpu))
            continue;
        if (cpu->stalled == 0)
            return cpu;
        cpu->stalled--;
        stalled = cpu;
    }
    return stalled; /* if there is no other */
}

void sim_point(void)
{
    now_ns += sim_random(300);
    if (sim_random(3) == 0)
        go_to(pick());
}

static bool take_one(void)
{
    struct sim_cpu *cpu = self();
    if (cpu->deadline <= now_ns) {
        cpu->deadline = UINT64_MAX;
        sim_timer_count++;
        kernel_timer();
        return true;
    }
    if (cpu->ipi) {
        cpu->ipi = false;
        kernel_ipi();
        return true;
    }
    return false;
}

static void take_all(void)
{
    sim_cpu->irq_off = true;
    while (take_one())
        kernel_preempt(); /* may come back on another CPU */
    sim_cpu->irq_off = false;
}

void sim_deliver(void)
{
    sim_point();
    take_all();
}

/* No time passes: what tests say about time is about the calls. */
void sim_access(void)
{
    bool stall = self()->stall_in && --self()->stall_in == 0;
    if (stall)
        self()->stalled = STALL_PICKS;
    if (cpu_count > 1 && (stall || sim_random(ACCESS_ODDS) == 0))
        go_to(pick());
    if (!sim_cpu->irq_off && sim_random(ACCESS_ODDS) == 0)
        take_all();
}

void sim_stall_after(unsigned accesses)
{
    self()->stall_in = accesses;
}

void hal_cpu_idle(void)
{
    struct sim_cpu *cpu = self();
    SIM_CHECK(cpu->head.irq_off);
    cpu->idle = true;
    while (!runnable(cpu)) {
        struct sim_cpu *next = pick();
        if (next) {
            go_to(next);
            continue;
        }
        uint64_t first = UINT64_MAX;
        for (unsigned i = 0; i < cpu_count; i++)
            if (cpus[i].online && cpus[i].deadline < first)
                first = cpus[i].deadline;
        if (first == UINT64_MAX)
            sim_fail(__FILE__, __LINE__, "every CPU idles and nothing will ever happen");
        now_ns = first;
    }
    cpu->idle = false;
    sim_deliver();
    sim_cpu->irq_off = true;
}

void sim_work(uint64_t ns)
{
    uint64_t done = 0;
    while (done < ns) {
        uint64_t step = ns - done < 100000 ? ns - done : 100000;
        now_ns += step;
        done += step;
        hal_irq_restore(HAL_IRQ_ON);
        sched_poll();
    }
}

void sim_steal(uint64_t ns)
{
    now_ns += ns;
    sim_stolen_ns += ns;
}

/* ---- hal.h ---- */

unsigned hal_cpu_count(void)
{
    return cpu_count;
}
uint64_t hal_clock_ns(void)
{
    return ++now_ns;
}
/* Every other reading is early, and so before the one that came before it. */
uint64_t hal_clock_rough_ns(void)
{
    ++now_ns;
    return now_ns & 1 ? now_ns - MIN(now_ns, sim_clock_early_ns) : now_ns;
}
uint64_t hal_wall_base_ns(void)
{
    return 1700000000000000000ull;
}
uint64_t hal_stolen_ns(void)
{
    return sim_stolen_ns;
}
void hal_timer_arm(uint64_t deadline_ns)
{
    sim_timer_programmed += deadline_ns != UINT64_MAX;
    self()->deadline = deadline_ns;
}
void hal_ipi_send(unsigned cpu)
{
    sim_ipi_count++;
    cpus[cpu].ipi = true;
}

static void flow_start(unsigned hi, unsigned lo)
{
    struct sim_flow *flow = (struct sim_flow *)((uintptr_t)hi << 32 | lo);
    flow->fn(flow->arg);
    sim_fail(__FILE__, __LINE__, "a context's function returned");
}

static void start_on(ucontext_t *uc, void *stack, void (*fn)(unsigned, unsigned), void *arg)
{
    getcontext(uc);
    uc->uc_stack.ss_sp = stack;
    uc->uc_stack.ss_size = STACK_SIZE;
    uc->uc_link = NULL;
    makecontext(uc, (void (*)(void))fn, 2, (unsigned)((uintptr_t)arg >> 32),
                (unsigned)(uintptr_t)arg);
}

static struct sim_flow *flow_new(void)
{
    struct sim_flow *flow = calloc(1, sizeof *flow);
    SIM_CHECK(flow);
    flow_count++;
    return flow;
}

static void *stack_new(void)
{
    void *stack = aligned_alloc(4096, STACK_SIZE);
    SIM_CHECK(stack);
    return stack;
}

void hal_ctx_init(struct hal_ctx *ctx, void *stack, size_t size, void (*fn)(void *), void *arg,
                  void *fp)
{
    (void)stack, (void)size, (void)fp;
    struct sim_flow *flow = flow_new();
    flow->fn = fn;
    flow->arg = arg;
    flow->stack = stack_new();
    start_on(&flow->uc, flow->stack, flow_start, flow);
    ctx->flow = flow;
}
void hal_ctx_adopt(struct hal_ctx *ctx, void *stack, size_t size)
{
    (void)stack, (void)size;
    ctx->flow = flow_new();
}
void hal_ctx_destroy(struct hal_ctx *ctx)
{
    struct sim_flow *flow = ctx->flow;
    free(flow->stack);
    free(flow);
    ctx->flow = NULL;
    flow_count--;
}
void hal_ctx_prefetch(const struct hal_ctx *ctx, bool close)
{
    (void)ctx, (void)close;
}

void hal_ctx_switch(struct hal_ctx *from, struct hal_ctx *to, bool last)
{
    (void)last;
    SIM_CHECK(sim_cpu->irq_off && from != to);
    swapcontext(&((struct sim_flow *)from->flow)->uc, &((struct sim_flow *)to->flow)->uc);
    SIM_CHECK(sim_cpu->irq_off);
}

static void cpu_start(unsigned hi, unsigned lo)
{
    struct sim_cpu *cpu = (struct sim_cpu *)((uintptr_t)hi << 32 | lo);
    kernel_cpu_main(cpu->head.id);
}

int hal_cpu_start(unsigned id, void *stack_top, void *thread)
{
    (void)stack_top;
    struct sim_cpu *cpu = &cpus[id];
    cpu->head.thread = thread;
    cpu->stack = stack_new();
    start_on(&cpu->resume, cpu->stack, cpu_start, cpu);
    cpu->online = true;
    return 0;
}

struct hal_space *hal_space_kernel(void)
{
    return &kernel_space;
}
void hal_space_activate(struct hal_space *space)
{
    (void)space;
}

/* ---- the rest of the kernel ---- */

void panic(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    sim_fail(__FILE__, __LINE__, "panic");
}
unsigned sim_log_errors;
void log_write(enum log_level level, const char *fmt, ...)
{
    sim_log_errors += level == LOG_ERROR;
    (void)fmt;
}
size_t isa_fp_size(void)
{
    return 512;
}
void isa_fp_init(void *area)
{
    (void)area;
}
void space_get(struct space *space)
{
    ref_get(&space->refs);
}
void space_put(struct space *space)
{
    SIM_CHECK(!ref_put(&space->refs)); /* tests keep one */
}

/* ---- running ---- */

static struct {
    void (*fn)(void *);
    void *arg;
} main_thread;

static void main_entry(void *arg)
{
    (void)arg;
    main_thread.fn(main_thread.arg);
    _exit(0);
}

void sim_seed(unsigned seed)
{
    random_state = 88172645463325252ull + seed * 7919ull;
}

void sim_boot(unsigned count, unsigned seed, void (*fn)(void *), void *arg)
{
    SIM_CHECK(count <= CPUS_MAX);
    cpu_count = count;
    sim_seed(seed);
    for (unsigned i = 0; i < count; i++) {
        cpus[i].head.id = i;
        cpus[i].head.irq_off = true;
        cpus[i].deadline = UINT64_MAX;
    }
    cpus[0].online = true;
    sim_cpu = &cpus[0].head;
    main_thread.fn = fn;
    main_thread.arg = arg;
    sched_init(NULL, 0);
    percpu_init();
    sched_start_cpus();
    SIM_CHECK(thread_spawn("main", main_entry, NULL));
    sched_idle_loop();
}

static bool run(unsigned count, unsigned seed, void (*fn)(void *), void *arg)
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(60);
        sim_boot(count, seed, fn, arg);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void sim_test(unsigned count, unsigned seed, void (*fn)(void *), void *arg)
{
    if (!run(count, seed, fn, arg))
        fail_msg("%u CPUs, seed %u", count, seed);
}

void sim_test_seeds(unsigned count, unsigned seeds, void (*fn)(void *))
{
    for (unsigned seed = 0; seed < seeds; seed++)
        sim_test(count, seed, fn, NULL);
}
