/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crash.c - what is left of a program that a signal has killed: a report on the log, and a core
 * file (coredump.c). Both only if whoever started the machine wants them.
 *
 * For both the other tasks of the process stand still: they are stopped as by SIGSTOP, without
 * anybody being told, and are let go when the process is to end. Those that sleep in the kernel do
 * not wake up for it; their registers are those of their system call.
 */
#include "proc/crash.h"

#include "core/log.h"
#include "isa.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "proc/internal.h"
#include "sched/report.h"

#define PATH_ROOM 256
#define FRAMES_MAX 32
#define STEP_MAX (1u << 20) /* a larger frame is not one */
#define OTHERS_MAX 40       /* as in the report of a panic */
#define STOP_LOOKS 200
#define STOP_LOOK_NS (5 * NS_PER_MS)

bool crash_report_wanted;

/* What dumps core, signal(7). */
#define SIG_CORE \
    (SIG_BIT(SIGQUIT) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGABRT) | SIG_BIT(SIGBUS) | \
     SIG_BIT(SIGFPE) | SIG_BIT(SIGSEGV) | SIG_BIT(SIGSYS) | SIG_BIT(SIGXCPU) | SIG_BIT(SIGXFSZ))

static const char *signal_name(int signo)
{
    static const char names[][8] = {
        [SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL",   [SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT",
        [SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",   [SIGSEGV] = "SIGSEGV", [SIGSYS] = "SIGSYS",
        [SIGXCPU] = "SIGXCPU", [SIGXFSZ] = "SIGXFSZ",
    };
    return (size_t)signo < ARRAY_COUNT(names) ? names[signo] : "";
}

static void say(const char *fmt, ...) printf_like(1, 2);
static void say(const char *fmt, ...)
{
    char line[PATH_ROOM + 128];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, args);
    va_end(args);
    size_t len = MIN((size_t)MAX(n, 0), sizeof line - 2);
    line[len++] = '\n';
    log_stream(line, len);
}

/* ---- the report ---- */

struct where {
    vaddr_t addr;
    bool found, exec;
    char prot[4];
    uint64_t off;
    char name[PATH_ROOM];
};

static int look(const struct area_info *info, void *arg)
{
    struct where *w = arg;
    if (w->addr < info->lo || w->addr >= info->hi)
        return 0;
    w->found = true;
    w->exec = info->prot & PROT_EXEC;
    w->prot[0] = info->prot & PROT_READ ? 'r' : '-';
    w->prot[1] = info->prot & PROT_WRITE ? 'w' : '-';
    w->prot[2] = w->exec ? 'x' : '-';
    w->off = w->addr - info->lo + info->off;
    long len = 0;
    if (info->object && !info->name[0])
        len = vfs_object_path(info->object, w->name, sizeof w->name - 1);
    w->name[MAX(len, 0L)] = 0;
    if (len <= 0)
        memcpy(w->name, info->name, sizeof info->name);
    return 1;
}

static void find(struct space *space, vaddr_t addr, struct where *w)
{
    memset(w, 0, sizeof *w);
    w->addr = addr;
    (void)space_walk(space, look, w);
}

static void say_frame(struct where *w, unsigned i)
{
    say("  #%-2u %#014lx %s%s%#llx", i, (unsigned long)w->addr, w->name[0] ? w->name : "?", "+",
        (unsigned long long)w->off);
}

/* By frame pointers, as far as the code keeps them: the chain goes up the stack, through return
 * addresses that are code. */
static void say_trace(struct space *space, const struct isa_frame *frame, struct where *w)
{
    uintptr_t fp = isa_frame_fp(frame), low = isa_frame_sp(frame), record[2];
    find(space, isa_frame_pc(frame), w);
    say_frame(w, 0);
    for (unsigned i = 1; i < FRAMES_MAX; i++) {
        if (fp < low || fp - low > STEP_MAX || fp % sizeof(uintptr_t) ||
            copyin(record, uaddr(fp), sizeof record))
            return;
        find(space, record[1] - 1, w);
        if (!w->exec)
            return;
        say_frame(w, i);
        low = fp + sizeof record;
        fp = record[0];
    }
}

static void say_registers(const struct isa_frame *frame)
{
    char line[160];
    const char *name;
    uint64_t value;
    int at = 0;
    unsigned i = 0;
    for (; (name = isa_frame_register(frame, i, &value)); i++) {
        at += snprintf(line + at, sizeof line - (size_t)at, "  %-6s %016llx", name,
                       (unsigned long long)value);
        if (i % 4 == 3) {
            say("%s", line);
            at = 0;
        }
    }
    if (at)
        say("%s", line);
}

struct other {
    int tid;
    vaddr_t pc; /* 0: it runs, where is not known */
    char name[sizeof(((struct thread *)0)->name)];
};

static unsigned find_others(const struct task *self, struct other *others)
{
    struct process *p = self->process;
    unsigned count = 0;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    list_for_each (pos, &p->tasks) {
        const struct task *task = list_entry(pos, struct task, process_link);
        if (task == self)
            continue;
        if (count < OTHERS_MAX) {
            struct other *o = &others[count];
            o->tid = task->tid;
            o->pc = task->frame ? isa_frame_pc(task->frame) : 0;
            memcpy(o->name, task->thread.name, sizeof o->name);
        }
        count++;
    }
    spin_unlock_irqrestore(&p->lock, irq);
    return count;
}

/* The other threads of the program, and where they are in it. */
static void say_others(const struct task *self, struct where *w)
{
    struct other *others = kmalloc_array(OTHERS_MAX, sizeof *others, ALLOC_DEFAULT);
    unsigned count = others ? find_others(self, others) : 0;
    for (unsigned i = 0; i < MIN(count, (unsigned)OTHERS_MAX); i++) {
        find(self->process->space, others[i].pc, w);
        say("  thread %d %.15s at %#lx %s+%#llx", others[i].tid, others[i].name,
            (unsigned long)w->addr, w->name[0] ? w->name : "?", (unsigned long long)w->off);
    }
    if (count > OTHERS_MAX)
        say("  ... %u other threads in all", count);
    kfree(others);
}

static void report(struct task *task, const struct isa_frame *frame, const struct siginfo *info,
                   const struct report_events *events)
{
    struct where *w = kmalloc(sizeof *w, ALLOC_DEFAULT);
    bool fault = info->code > 0 && info->code != SI_KERNEL &&
                 (info->signo == SIGSEGV || info->signo == SIGBUS);
    say("selkie: %s[%d]: killed by signal %d %s, code %d", task->thread.name, task->tid,
        info->signo, signal_name(info->signo), info->code);
    if (w && fault) {
        find(task->process->space, info->addr, w);
        if (w->found)
            say("  address %#lx in %s %s", (unsigned long)info->addr, w->prot, w->name);
        else
            say("  address %#lx, where nothing is mapped", (unsigned long)info->addr);
    }
    say_registers(frame);
    if (w)
        say_trace(task->process->space, frame, w);
    if (w)
        say_others(task, w);
    kfree(w);
    if (events)
        report_events_say(events, log_stream);
    report_command(log_stream);
}

/* ---- standing still ---- */

static bool others_run(struct process *p, const struct task *self)
{
    bool run = false;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    list_for_each (pos, &p->tasks) {
        const struct task *task = list_entry(pos, struct task, process_link);
        run = run || (task != self && __atomic_load_n(&task->thread.in_user, __ATOMIC_RELAXED));
    }
    spin_unlock_irqrestore(&p->lock, irq);
    return run;
}

/* False if another task ends or stops the process already. */
static bool stop_others(struct process *p)
{
    unsigned long irq = spin_lock_irqsave(&p->lock);
    bool ours = !p->exiting && !p->stopped && !p->exec_task;
    if (ours) {
        __atomic_store_n(&p->stopped, true, __ATOMIC_RELEASE);
        list_for_each (pos, &p->tasks)
            thread_interrupt(&list_entry(pos, struct task, process_link)->thread);
    }
    spin_unlock_irqrestore(&p->lock, irq);
    for (unsigned i = 0; ours && i < STOP_LOOKS && others_run(p, task_current()); i++)
        (void)!sleep_until(clock_mono_ns() + STOP_LOOK_NS, false);
    return ours;
}

void crash(struct task *task, const struct isa_frame *frame, const struct siginfo *info)
{
    struct process *p = task->process;
    if (!(SIG_BIT(info->signo) & SIG_CORE) || !(crash_report_wanted || coredump_wanted()))
        return;
    /* What led here, before stopping the others is the latest that happened. */
    struct report_events *events = crash_report_wanted ? report_events_take() : NULL;
    if (stop_others(p)) {
        if (crash_report_wanted)
            report(task, frame, info, events);
        if (__atomic_load_n(&p->dumpable, __ATOMIC_RELAXED))
            coredump(task, frame, info);
    }
    kfree(events);
}
