/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.c - what a panic tells beside its back trace: registers, locks, threads, the latest events
 * (core/trace.h), and how to see it again.
 *
 * All of it reads what may be broken, without a lock and without order (so ThreadSanitizer does not
 * look): loops have limits, and a fault costs the rest of one part (core/panic.h). Other CPUs have
 * been stopped as far as the machine can; what one that goes on changes meanwhile is printed as it
 * was found.
 *
 * The latest events are also part of the report of a program's death (proc/crash.c), on a machine
 * that goes on; there the rings are taken away from the CPUs while they are read.
 */
#include "sched/report.h"

#include "core/panic.h"
#include "core/trace.h"
#include "isa.h"
#include "lib/conframe.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "sched/internal.h"

#define THREADS_MAX 40
#define LINE_ROOM 160 /* of an event */
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

static void put_panic(const char *text, size_t len)
{
    hal_console_panic(text, len);
}

struct listed {
    struct trace_event event;
    unsigned cpu;
    char a[16], b[16]; /* the threads' names; "": not known */
};
struct report_events {
    unsigned count;
    struct listed list[EVENTS_MAX]; /* the newest first */
};

/* How many of its events, counted from the newest, each CPU has given to the list. */
static uint16_t taken[HAL_CPU_MAX];

static no_sanitize const struct trace_event *newest(unsigned cpu)
{
    const struct cpu *c = cpu_get(cpu);
    uint64_t left = MIN(c->trace_count, (uint64_t)TRACE_EVENTS);
    if (!c->trace_ring || taken[cpu] >= left)
        return NULL;
    return &c->trace_ring[(c->trace_count - 1 - taken[cpu]) % TRACE_EVENTS];
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

static no_sanitize void take_events(struct report_events *r)
{
    unsigned cpu;
    while (r->count < EVENTS_MAX && (cpu = newest_cpu()) != HAL_CPU_MAX) {
        r->list[r->count] = (struct listed){.cpu = cpu, .event = *newest(cpu)};
        r->count++;
        taken[cpu]++;
    }
}

/* What an event calls by the thread's address is this thread - unless it is older than the end of
 * one that had the address before. Every end is an event, and of the newest none is left out. */
static no_sanitize void name_thread(struct report_events *r, const struct thread *thread,
                                    const char *name)
{
    bool ended = __atomic_load_n(&thread->state, __ATOMIC_RELAXED) == THREAD_DEAD;
    for (unsigned i = 0; i < r->count; i++) {
        struct listed *l = &r->list[i];
        const struct trace_event *e = &l->event;
        bool switched = e->kind == TRACE_SWITCH;
        if (e->kind == TRACE_FAULT || e->kind == TRACE_NONE)
            continue;
        if (switched && e->b == (uintptr_t)thread && !l->b[0])
            strlcpy(l->b, name, sizeof l->b);
        if (e->a != (uintptr_t)thread)
            continue;
        if (switched && e->number == SWITCH_EXIT) {
            if (!ended)
                return;
            ended = false; /* this was it */
        }
        if (!l->a[0])
            strlcpy(l->a, name, sizeof l->a);
    }
}

static no_sanitize void name_idle_threads(struct report_events *r)
{
    for (unsigned id = 0; id < hal_cpu_count(); id++)
        if (cpu_get(id)->idle)
            name_thread(r, cpu_get(id)->idle, "idle");
}

static void add_name(struct strbuf *line, const char *name, uint64_t address)
{
    if (name[0])
        strbuf_printf(line, "%s", name);
    else
        strbuf_printf(line, "%#llx", (unsigned long long)address);
}

static void add_call(struct strbuf *line, const struct listed *l)
{
    const struct trace_event *e = &l->event;
    const char *name = report_call_name ? report_call_name(e->number) : NULL;
    strbuf_printf(line, e->kind == TRACE_CALL ? "call   " : "result ");
    add_name(line, l->a, e->a);
    strbuf_printf(line, ": %s", name ? name : "system call");
    if (e->kind == TRACE_CALL)
        strbuf_printf(line, "(%#llx, ...)", (unsigned long long)e->b);
    else
        strbuf_printf(line, " = %lld", (long long)e->b);
}

static void add_event(struct strbuf *line, const struct listed *l)
{
    const struct trace_event *e = &l->event;
    strbuf_printf(line, "  %llu.%06llu CPU %u ", (unsigned long long)(e->ns / NS_PER_SEC),
                  (unsigned long long)(e->ns % NS_PER_SEC / NS_PER_US), l->cpu);
    switch (e->kind) {
    case TRACE_SWITCH:
        strbuf_printf(line, "switch ");
        add_name(line, l->a, e->a);
        strbuf_printf(line, " -> ");
        add_name(line, l->b, e->b);
        break;
    case TRACE_WAKE:
        strbuf_printf(line, "wake   ");
        add_name(line, l->a, e->a);
        break;
    case TRACE_FAULT:
        strbuf_printf(line, "fault  %d at %#llx, pc %#llx", e->number, (unsigned long long)e->a,
                      (unsigned long long)e->b);
        break;
    case TRACE_CALL:
    case TRACE_RESULT:
        add_call(line, l);
        break;
    default:
        strbuf_printf(line, "?");
        break;
    }
    strbuf_printf(line, "\n");
}

void report_events_say(const struct report_events *events,
                       void (*put)(const char *text, size_t len))
{
    static const char title[] = "latest events:\n";
    if (events->count)
        put(title, sizeof title - 1);
    for (unsigned i = events->count; i-- > 0;) {
        char text[LINE_ROOM];
        struct strbuf line = {.buf = text, .size = sizeof text};
        add_event(&line, &events->list[i]);
        put(text, MIN(line.len, sizeof text));
    }
}

static no_sanitize void say_events(void)
{
    static struct report_events latest;
    memset(taken, 0, sizeof taken);
    take_events(&latest);
    for (unsigned i = 0; i < known_count; i++)
        name_thread(&latest, known[i], known[i]->name);
    name_idle_threads(&latest);
    report_events_say(&latest, put_panic);
}

/* ---- the events of a machine that goes on ---- */

/* Who reads the rings: one at a time. */
static struct mutex reader;

/*
 * Take the rings away from the CPUs. An event is noted with interrupts off, so a CPU that has been
 * interrupted since has either finished, and its event is seen here (sched_barrier), or finds no
 * ring. A CPU that is not online yet is not waited for, and not looked at.
 */
static void stop_noting(void)
{
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        struct cpu *cpu = cpu_get(id);
        bool online = __atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE);
        taken[id] = online ? 0 : TRACE_EVENTS;
        if (online)
            __atomic_store_n(&cpu->trace, NULL, __ATOMIC_RELAXED);
    }
    sched_barrier();
}

/* Release: the rings have been read. */
static void go_on_noting(void)
{
    for (unsigned id = 0; id < hal_cpu_count(); id++)
        __atomic_store_n(&cpu_get(id)->trace, cpu_get(id)->trace_ring, __ATOMIC_RELEASE);
}

static void name_listed(struct thread *thread, void *events)
{
    name_thread(events, thread, thread->name);
}

struct report_events *report_events_take(void)
{
    struct report_events *events = kmalloc(sizeof *events, ALLOC_DEFAULT | ALLOC_ZERO);
    if (!events)
        return NULL;
    mutex_lock(&reader);
    stop_noting();
    take_events(events);
    go_on_noting();
    mutex_unlock(&reader);
    thread_for_each(name_listed, events);
    name_idle_threads(events);
    return events;
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
    mutex_init(&reader, RANK_SLEEP_LAST);
    panic_add(say_registers);
    panic_add(say_locks);
    panic_add(say_threads);
    panic_add(say_events);
    panic_add(say_command);
    panic_add(write_core);
}
