/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.c - what a panic tells beside its back trace: registers, locks, threads, the latest events
 * (core/trace.h), and how to see it again.
 *
 * All of it reads what may be broken, without a lock and without order (so ThreadSanitizer does not
 * look): loops have limits, and a fault costs the rest of one part (core/panic.h). Other CPUs have
 * been stopped as far as the machine can; what one that goes on changes meanwhile is printed as it
 * was found.
 */
#include "sched/report.h"

#include "core/panic.h"
#include "core/trace.h"
#include "isa.h"
#include "lib/conframe.h"
#include "lib/string.h"
#include "sched/internal.h"

#define THREADS_MAX 40
#define EVENTS_MAX 24
#define LOOK_MAX 4096 /* entries of a list, before it counts as a ring */
#define CHAIN_SKIP 3  /* hal_ctx_switch, sched_switch, and who called that */
#define CHAIN_LEN 5

const char *(*report_call_name)(int id);

/* ---- registers ---- */

static void say_registers(void)
{
    const struct isa_frame *regs = panic_registers();
    const char *name;
    uint64_t value;
    if (!regs)
        return;
    unsigned i = 0;
    while ((name = isa_frame_register(regs, i, &value))) {
        panic_say("  %-6s %016llx%s", name, (unsigned long long)value, i % 4 == 3 ? "\n" : "");
        i++;
    }
    if (i % 4)
        panic_say("\n");
}

/* ---- locks ---- */

static no_sanitize void say_locks(void)
{
    const struct thread_head *self = thread_head();
    unsigned count = MIN(self->held_count, (unsigned)LOCK_HELD_MAX);
    for (unsigned i = 0; i < count; i++)
        panic_say("  holds the lock %#lx of rank %u (core/lockrank.h)\n",
                  (unsigned long)(uintptr_t)self->held[i], self->held_rank[i]);
    if (self->preempt_count)
        panic_say("  preemption is off, %u deep\n", self->preempt_count);
    if (this_cpu() && this_cpu()->irq_depth)
        panic_say("  in an interrupt\n");
}

/* ---- threads ---- */

static const char *state_name(const struct thread *thread)
{
    static const char *const names[] = {
        [THREAD_NEW] = "new",           [THREAD_READY] = "ready",
        [THREAD_SLEEPING] = "sleeping", [THREAD_TIMED_OUT] = "timed out",
        [THREAD_CUT_SHORT] = "cut",     [THREAD_DEAD] = "dead",
    };
    uint32_t state = __atomic_load_n(&thread->state, __ATOMIC_RELAXED);
    return state < ARRAY_COUNT(names) ? names[state] : "?";
}

/* On which CPU the thread is, or HAL_CPU_MAX. */
static no_sanitize unsigned runs_on(const struct thread *thread)
{
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        const struct cpu *cpu = cpu_get(id);
        if (cpu->rq && cpu->rq->current == thread)
            return id;
    }
    return HAL_CPU_MAX;
}

static no_sanitize void say_where(const struct thread *thread, unsigned cpu)
{
    uintptr_t pc = 0, fp = 0;
    if (thread == thread_current()) {
        panic_say("this one");
    } else if (cpu == HAL_CPU_MAX) {
        hal_ctx_where(&thread->ctx, &pc, &fp);
        pc = isa_return_address(pc);
        panic_say_chain(pc, fp, CHAIN_SKIP, CHAIN_LEN);
    } else if (panic_stopped(cpu)) {
        const struct isa_frame *regs = panic_stopped(cpu);
        struct hal_text text = hal_kernel_text();
        pc = isa_frame_pc(regs);
        if (pc >= text.lo && pc < text.hi)
            panic_say_chain(pc, isa_frame_fp(regs), 0, CHAIN_LEN);
        else
            panic_say("user code at %#lx", (unsigned long)pc);
    } else {
        panic_say("its CPU did not stop");
    }
}

/* Threads that have been printed: the events may name them without another look at the list. */
static const struct thread *known[THREADS_MAX + HAL_CPU_MAX];
static unsigned known_count;

static no_sanitize void say_thread(const struct thread *thread)
{
    unsigned cpu = runs_on(thread);
    panic_say("  %-15.15s ", thread->name);
    if (cpu == HAL_CPU_MAX)
        panic_say("%-9s  ", state_name(thread));
    else
        panic_say("on CPU %-2u  ", cpu);
    say_where(thread, cpu);
    panic_say("\n");
    known[known_count++] = thread;
}

static no_sanitize void say_threads(void)
{
    panic_say("threads:\n");
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        const struct thread *idle = cpu_get(id)->idle;
        if (idle && runs_on(idle) != HAL_CPU_MAX)
            say_thread(idle);
    }
    const struct list *all = thread_list_peek();
    unsigned count = 0;
    for (const struct list *at = all->next; at != all && count < LOOK_MAX; at = at->next, count++)
        if (count < THREADS_MAX)
            say_thread(list_entry(at, struct thread, all_link));
    if (count > THREADS_MAX)
        panic_say("  ... %u in all\n", count);
}

/* ---- events ---- */

/* A thread that may be gone by now. */
static no_sanitize void say_name(uint64_t address)
{
    const struct thread *thread = (const struct thread *)(uintptr_t)address;
    for (unsigned i = 0; i < known_count; i++)
        if (known[i] == thread) {
            panic_say("%.15s", thread->name);
            return;
        }
    for (unsigned id = 0; id < hal_cpu_count(); id++)
        if (cpu_get(id)->idle == thread) {
            panic_say("idle");
            return;
        }
    panic_say("%#llx", (unsigned long long)address);
}

static no_sanitize void say_call(const struct trace_event *e)
{
    const char *name = report_call_name ? report_call_name(e->number) : NULL;
    say_name(e->a);
    panic_say(": %s", name ? name : "system call");
    if (e->kind == TRACE_CALL)
        panic_say("(%#llx, ...)", (unsigned long long)e->b);
    else
        panic_say(" = %lld", (long long)e->b);
}

static no_sanitize void say_event(unsigned cpu, const struct trace_event *e)
{
    panic_say("  %llu.%06llu CPU %u ", (unsigned long long)(e->ns / NS_PER_SEC),
              (unsigned long long)(e->ns % NS_PER_SEC / NS_PER_US), cpu);
    switch (e->kind) {
    case TRACE_SWITCH:
        panic_say("switch ");
        say_name(e->a);
        panic_say(" -> ");
        say_name(e->b);
        break;
    case TRACE_WAKE:
        panic_say("wake   ");
        say_name(e->a);
        break;
    case TRACE_FAULT:
        panic_say("fault  %d at %#llx, pc %#llx", e->number, (unsigned long long)e->a,
                  (unsigned long long)e->b);
        break;
    case TRACE_CALL:
    case TRACE_RESULT:
        panic_say("%s", e->kind == TRACE_CALL ? "call   " : "result ");
        say_call(e);
        break;
    default:
        panic_say("?");
        break;
    }
    panic_say("\n");
}

/* How many of its events, counted from the newest, each CPU has given to the list below. */
static uint16_t taken[HAL_CPU_MAX];

static no_sanitize const struct trace_event *newest(unsigned cpu)
{
    const struct cpu *c = cpu_get(cpu);
    uint64_t left = MIN(c->trace_count, (uint64_t)TRACE_EVENTS);
    if (!c->trace || taken[cpu] >= left)
        return NULL;
    return &c->trace[(c->trace_count - 1 - taken[cpu]) % TRACE_EVENTS];
}

/* The CPU with the newest event that was not taken; HAL_CPU_MAX: none is left. */
static no_sanitize unsigned newest_cpu(void)
{
    unsigned best = HAL_CPU_MAX;
    for (unsigned id = 0; id < hal_cpu_count(); id++)
        if (newest(id) && (best == HAL_CPU_MAX || newest(id)->ns > newest(best)->ns))
            best = id;
    return best;
}

static no_sanitize void say_events(void)
{
    static struct {
        unsigned cpu;
        struct trace_event event;
    } list[EVENTS_MAX];
    unsigned count = 0, cpu;
    while (count < EVENTS_MAX && (cpu = newest_cpu()) != HAL_CPU_MAX) {
        list[count].cpu = cpu;
        list[count++].event = *newest(cpu);
        taken[cpu]++;
    }
    if (count)
        panic_say("latest events:\n");
    while (count--)
        say_event(list[count].cpu, &list[count].event);
}

/* ---- the command ---- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Told by the machine, or a word of the boot command line, where %XX is decoded. */
void report_command(void (*put)(const char *text, size_t len))
{
    size_t len;
    const char *told = hal_boot_info()->command;
    const char *text = told ? NULL : cmdline_find(hal_boot_info()->cmdline, "command", &len);
    if (!told && !text)
        return;
    put("again: ", 7);
    if (told)
        put(told, strlen(told));
    for (size_t i = 0; text && i < len; i++) {
        int high = i + 2 < len && text[i] == '%' ? hex_value(text[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text[i + 2]) : -1;
        char decoded = (char)((unsigned)high << 4 | (unsigned)low);
        put(low >= 0 ? &decoded : &text[i], 1);
        if (low >= 0)
            i += 2;
    }
    put("\n", 1);
}

static void put_panic(const char *text, size_t len)
{
    hal_console_panic(text, len);
}

static void say_command(void)
{
    report_command(put_panic);
}

/* ---- the core file ---- */

static struct isa_frame here;

static const struct isa_frame *registers_of(unsigned cpu)
{
    if (cpu != hal_cpu_id())
        return panic_stopped(cpu);
    return panic_registers() ? panic_registers() : &here;
}

/* The caller of this is the panic: a debugger goes up from there. */
static void write_core(void)
{
    isa_frame_here(&here);
    hal_core_dump(registers_of);
    __asm__ volatile("" : : : "memory"); /* no tail call: the frame has to stay */
}

void report_init(void)
{
    panic_add(say_registers);
    panic_add(say_locks);
    panic_add(say_threads);
    panic_add(say_events);
    panic_add(say_command);
    panic_add(write_core);
}
