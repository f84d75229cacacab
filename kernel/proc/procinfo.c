/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * procinfo.c - what /proc/PID says about processes and tasks (proc(5)); fs/context.h declares the
 * interface.
 *
 * The process's fields are copied under its lock; texts are made outside it. Spaces and tables are
 * used with references of their own.
 */
#include "fs/stat.h"
#include "lib/counter.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/hugetlb.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "proc/internal.h"
#include "proc/times.h"

#define TICK_NS (NS_PER_SEC / 100)
#define CMDLINE_MAX (64u << 10)

/* A momentary copy of what the texts need. */
struct snapshot {
    struct process *process; /* reference */
    struct space *space;     /* reference, or NULL: the process has ended */
    int pid, tid, ppid, pgid, sid;
    char name[16], state;
    unsigned threads;
    struct cpu_times times; /* of the task, or of the process */
    uint64_t start_ns, min_flt;
    uint64_t pending, shared, blocked, ignored, caught;
    uint64_t switches[2], queued_limit;
    unsigned queued; /* signals */
    int nice, priority, policy, rt_priority;
    uint32_t cpu;
    struct fs_cred cred;
    uint32_t umask;
};

static char state_of(const struct task *task)
{
    if (&task->thread == thread_current())
        return 'R';
    if (__atomic_load_n(&task->process->stopped, __ATOMIC_RELAXED))
        return 'T';
    switch (__atomic_load_n(&task->thread.state, __ATOMIC_RELAXED)) {
    case THREAD_SLEEPING:
        return __atomic_load_n(&task->thread.interruptible, __ATOMIC_RELAXED) ? 'S' : 'D';
    case THREAD_DEAD:
        return 'Z';
    default:
        return 'R';
    }
}

static struct task *find_in_locked(struct process *p, int tid)
{
    list_for_each (pos, &p->tasks) {
        struct task *task = list_entry(pos, struct task, process_link);
        if (task->tid == tid)
            return task;
    }
    return NULL;
}

static void snapshot_task_locked(struct snapshot *s, const struct task *task)
{
    const struct thread *t = &task->thread;
    memcpy(s->name, t->name, sizeof s->name);
    s->state = state_of(task);
    s->pending = task->pending.set;
    s->blocked = task->sig_mask;
    fs_cred_copy(&s->cred, task->cred);
    s->nice = __atomic_load_n(&t->nice, __ATOMIC_RELAXED);
    s->policy = __atomic_load_n(&t->policy, __ATOMIC_RELAXED);
    s->rt_priority = __atomic_load_n(&t->rt_priority, __ATOMIC_RELAXED);
    const struct cpu *cpu = __atomic_load_n(&t->head.cpu, __ATOMIC_RELAXED);
    s->cpu = cpu ? cpu->id : 0;
    s->switches[0] = counter_read(&t->switches_voluntary);
    s->switches[1] = counter_read(&t->switches_forced);
    s->start_ns = task->start_ns;
}

static void snapshot_process_locked(struct snapshot *s, struct process *p)
{
    s->pid = p->pid;
    s->ppid = p->ppid;
    s->pgid = p->pgid;
    s->sid = p->sid;
    s->threads = p->task_count;
    s->shared = p->shared_pending.set;
    s->queued = p->signals_queued;
    s->queued_limit = process_limit(p, RLIMIT_SIGPENDING);
    for (int i = 1; i <= NSIG; i++) {
        uintptr_t handler = p->actions.action[i].handler;
        s->ignored |= handler == SIG_IGN ? SIG_BIT(i) : 0;
        s->caught |= handler != SIG_IGN && handler != SIG_DFL ? SIG_BIT(i) : 0;
    }
    s->space = p->ended ? NULL : p->space;
    if (s->space)
        space_get(s->space);
    if (p->fs)
        s->umask = p->fs->umask;
}

/* tid 0: the process, shown by its first task. */
static int snapshot_take(struct snapshot *s, int pid, int tid)
{
    memset(s, 0, sizeof *s);
    struct process *p = process_find(pid);
    if (!p)
        return -ESRCH;
    s->process = p;
    if (!tid)
        process_cpu_times(p, &s->times);
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct task *task = tid ? find_in_locked(p, tid) : process_leader_locked(p);
    if (task) {
        s->tid = tid ? tid : pid;
        if (tid)
            task_cpu_times(task, &s->times);
        s->min_flt = counter_read(&task->min_flt);
        snapshot_task_locked(s, task);
        snapshot_process_locked(s, p);
    }
    spin_unlock_irqrestore(&p->lock, irq);
    if (task)
        return 0;
    process_put(p);
    return -ESRCH;
}

static void snapshot_drop(struct snapshot *s)
{
    if (s->space)
        space_put(s->space);
    process_put(s->process);
}

/* ---- memory ---- */

struct memory {
    uint64_t size, resident, shared, text, data, stack, lib, locked, hugetlb; /* pages */
};

static int memory_add(const struct area_info *info, void *arg)
{
    struct memory *m = arg;
    uint64_t pages = (info->hi - info->lo) >> PAGE_SHIFT;
    m->size += pages;
    m->resident += info->resident;
    m->hugetlb += info->hugetlb;
    if (info->flags & AREA_LOCKED)
        m->locked += pages;
    if (info->object)
        m->shared += info->resident;
    if (info->prot & PROT_EXEC)
        m->text += pages;
    else if (info->flags & (AREA_STACK | AREA_GROWSDOWN))
        m->stack += pages;
    else if ((info->prot & PROT_WRITE) && !(info->flags & AREA_SHARED))
        m->data += pages;
    return 0;
}

static void memory_count(const struct snapshot *s, struct memory *m)
{
    memset(m, 0, sizeof *m);
    if (s->space)
        (void)space_walk(s->space, memory_add, m);
}

struct maps_walk {
    struct strbuf *sb;
    char *path; /* PATH_MAX */
    bool details;
};

static void maps_name(struct maps_walk *w, const struct area_info *info, int column)
{
    const char *name = info->name;
    if (info->object && !name[0] && vfs_object_path(info->object, w->path, PATH_MAX) > 0)
        name = w->path;
    if (name[0]) /* Linux pads to column 73 */
        strbuf_printf(w->sb, "%*s%s", column < 72 ? 73 - column : 1, "", name);
    strbuf_printf(w->sb, "\n");
}

static void maps_details(struct strbuf *sb, const struct area_info *info)
{
    unsigned long size = (info->hi - info->lo) >> 10;
    unsigned long rss = (unsigned long)info->resident << (PAGE_SHIFT - 10);
    unsigned long anon = info->object ? 0 : rss;
    unsigned long huge = (unsigned long)info->hugetlb << (PAGE_SHIFT - 10);
    unsigned long unit = info->flags & AREA_HUGETLB ? HUGETLB_SIZE >> 10 : PAGE_SIZE >> 10;
    strbuf_printf(sb, "Size:           %8lu kB\nKernelPageSize: %8lu kB\nMMUPageSize:    %8lu kB\n",
                  size, unit, unit);
    strbuf_printf(sb, "Rss:            %8lu kB\nPss:            %8lu kB\n", rss, rss);
    strbuf_printf(sb, "Shared_Clean:   %8lu kB\nShared_Dirty:   %8lu kB\n", rss - anon, 0ul);
    strbuf_printf(sb, "Private_Clean:  %8lu kB\nPrivate_Dirty:  %8lu kB\n", 0ul, anon);
    strbuf_printf(sb, "Referenced:     %8lu kB\nAnonymous:      %8lu kB\n", rss, anon);
    strbuf_printf(sb, "AnonHugePages:  %8lu kB\n", (unsigned long)info->large << (PAGE_SHIFT - 10));
    strbuf_printf(sb, "Shared_Hugetlb: %8lu kB\nPrivate_Hugetlb: %7lu kB\n",
                  info->flags & AREA_HUGETLB_PRIVATE ? 0 : huge,
                  info->flags & AREA_HUGETLB_PRIVATE ? huge : 0);
    strbuf_printf(sb, "Swap:           %8lu kB\nLocked:         %8lu kB\n", 0ul,
                  info->flags & AREA_LOCKED ? rss : 0ul);
    strbuf_printf(sb, "VmFlags: %s%s%s%s%s\n", info->prot & PROT_READ ? "rd " : "",
                  info->prot & PROT_WRITE ? "wr " : "", info->prot & PROT_EXEC ? "ex " : "",
                  info->flags & AREA_SHARED ? "sh " : "", info->prot & PROT_BTI ? "bt " : "");
}

static int maps_line(const struct area_info *info, void *arg)
{
    struct maps_walk *w = arg;
    uint64_t dev = 0, ino = 0;
    char line[96];
    if (info->object && !info->name[0])
        vfs_object_id(info->object, &dev, &ino);
    int column = snprintf(
        line, sizeof line, "%08lx-%08lx %c%c%c%c %08llx %02x:%02x %llu", (unsigned long)info->lo,
        (unsigned long)info->hi, info->prot & PROT_READ ? 'r' : '-',
        info->prot & PROT_WRITE ? 'w' : '-', info->prot & PROT_EXEC ? 'x' : '-',
        info->flags & AREA_SHARED && !(info->flags & (AREA_SPECIAL | AREA_HUGETLB_PRIVATE)) ? 's'
                                                                                            : 'p',
        (unsigned long long)(info->object ? info->off : 0), fs_major(dev), fs_minor(dev),
        (unsigned long long)ino);
    strbuf_append(w->sb, line, (size_t)column);
    maps_name(w, info, column);
    if (w->details)
        maps_details(w->sb, info);
    return 0;
}

static int text_maps(const struct snapshot *s, struct strbuf *sb, bool details)
{
    struct maps_walk w = {.sb = sb, .details = details};
    if (!s->space)
        return 0;
    w.path = kmalloc(PATH_MAX, ALLOC_DEFAULT);
    if (!w.path)
        return -ENOMEM;
    int err = space_walk(s->space, maps_line, &w);
    kfree(w.path);
    return err;
}

/* A piece of the program's own memory. Only the caller's: there is no other space to look into. */
static int text_memory(const struct snapshot *s, struct strbuf *sb, vaddr_t lo, vaddr_t hi)
{
    char buf[256];
    if (s->space != space_current())
        return 0;
    hi = MIN(hi, lo + CMDLINE_MAX);
    while (lo < hi) {
        size_t n = MIN(hi - lo, sizeof buf);
        if (copyin(buf, uaddr(lo), n))
            return 0; /* the program has unmapped it: nothing to show */
        strbuf_append(sb, buf, n);
        lo += n;
    }
    return 0;
}

/* ---- texts ---- */

static void put_ids(struct strbuf *sb, const struct fs_cred *c)
{
    strbuf_printf(sb, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid,
                  c->fsuid, c->gid, c->egid, c->sgid, c->fsgid);
}

static void put_memory(struct strbuf *sb, const struct snapshot *s)
{
    const unsigned kib = PAGE_SHIFT - 10;
    struct memory m;
    memory_count(s, &m);
#define KIB(label, pages) \
    strbuf_printf(sb, label ":\t%8llu kB\n", (unsigned long long)(pages) << kib)
    KIB("VmPeak", MAX(m.size, s->space ? space_mapped_peak(s->space) : 0));
    KIB("VmSize", m.size);
    KIB("VmLck", m.locked);
    KIB("VmPin", 0);
    KIB("VmHWM", MAX(m.resident, s->space ? space_resident_peak(s->space) : 0));
    KIB("VmRSS", m.resident);
    KIB("RssAnon", m.resident - m.shared);
    KIB("RssFile", m.shared);
    KIB("RssShmem", 0);
    KIB("VmData", m.data);
    KIB("VmStk", m.stack);
    KIB("VmExe", m.text);
    KIB("VmLib", 0);
    KIB("VmSwap", 0);
    KIB("HugetlbPages", m.hugetlb);
#undef KIB
}

static void put_cpus(struct strbuf *sb)
{
    unsigned count = hal_cpu_count();
    strbuf_printf(sb, "Cpus_allowed:\t%x\nCpus_allowed_list:\t",
                  count >= 32 ? ~0u : (1u << count) - 1);
    strbuf_printf(sb, count == 1 ? "0\n" : "0-%u\n", count - 1);
}

static int text_status(const struct snapshot *s, struct strbuf *sb)
{
    static const char *const states[] = {"R (running)", "S (sleeping)", "D (disk sleep)",
                                         "T (stopped)", "Z (zombie)"};
    const char *state = states[0];
    for (unsigned i = 0; i < ARRAY_COUNT(states); i++)
        if (states[i][0] == s->state)
            state = states[i];
    unsigned long long caps = s->cred.euid == 0 ? 0x1ffffffffffull : 0;
    strbuf_printf(sb, "Name:\t%s\nUmask:\t%04o\nState:\t%s\nTgid:\t%d\nNgid:\t0\n", s->name,
                  s->umask, state, s->pid);
    strbuf_printf(sb, "Pid:\t%d\nPPid:\t%d\nTracerPid:\t0\n", s->tid, s->ppid);
    put_ids(sb, &s->cred);
    strbuf_printf(sb, "FDSize:\t64\nGroups:\t");
    for (unsigned i = 0; i < s->cred.group_count; i++)
        strbuf_printf(sb, "%u ", s->cred.groups[i]);
    strbuf_printf(sb, "\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", s->pid, s->tid,
                  s->pgid, s->sid);
    put_memory(sb, s);
    strbuf_printf(sb, "CoreDumping:\t0\nThreads:\t%u\nSigQ:\t%u/%llu\n", s->threads, s->queued,
                  (unsigned long long)s->queued_limit);
    strbuf_printf(sb, "SigPnd:\t%016llx\nShdPnd:\t%016llx\n", (unsigned long long)s->pending,
                  (unsigned long long)s->shared);
    strbuf_printf(sb, "SigBlk:\t%016llx\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n",
                  (unsigned long long)s->blocked, (unsigned long long)s->ignored,
                  (unsigned long long)s->caught);
    strbuf_printf(sb, "CapInh:\t%016llx\nCapPrm:\t%016llx\nCapEff:\t%016llx\n", 0ull, caps, caps);
    strbuf_printf(sb, "CapBnd:\t%016llx\nCapAmb:\t%016llx\n", caps, 0ull);
    strbuf_printf(sb, "NoNewPrivs:\t%u\nSeccomp:\t0\nSeccomp_filters:\t0\n",
                  __atomic_load_n(&s->process->no_new_privs, __ATOMIC_RELAXED));
    put_cpus(sb);
    strbuf_printf(sb, "Mems_allowed:\t1\nMems_allowed_list:\t0\n");
    strbuf_printf(sb, "voluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n",
                  (unsigned long long)s->switches[0], (unsigned long long)s->switches[1]);
    return 0;
}

/* The 52 fields of proc(5), /proc/pid/stat. */
static int text_stat(const struct snapshot *s, int tid, struct strbuf *sb)
{
    struct memory m;
    memory_count(s, &m);
    bool rt = s->policy == SCHED_FIFO || s->policy == SCHED_RR;
    const struct process *p = s->process;
    strbuf_printf(sb, "%d (%s) %c %d %d %d 0 -1 4194304 %llu 0 0 0 ", s->tid, s->name, s->state,
                  s->ppid, s->pgid, s->sid, (unsigned long long)s->min_flt);
    strbuf_printf(
        sb, "%llu %llu 0 0 %d %d %u 0 %llu ", (unsigned long long)(s->times.user_ns / TICK_NS),
        (unsigned long long)(s->times.system_ns / TICK_NS), rt ? -1 - s->rt_priority : 20 + s->nice,
        s->nice, s->threads, (unsigned long long)(s->start_ns / TICK_NS));
    strbuf_printf(sb, "%llu %llu %llu ", (unsigned long long)m.size << PAGE_SHIFT,
                  (unsigned long long)m.resident, (unsigned long long)process_limit(p, RLIMIT_RSS));
    strbuf_printf(sb, "1 1 %lu 0 0 %llu %llu %llu %llu ", (unsigned long)p->arg_lo,
                  (unsigned long long)s->pending, (unsigned long long)s->blocked & 0x7fffffff,
                  (unsigned long long)s->ignored & 0x7fffffff,
                  (unsigned long long)s->caught & 0x7fffffff);
    strbuf_printf(sb, "0 0 0 17 %u %u %d 0 0 0 0 0 %lu ", s->cpu, rt ? s->rt_priority : 0,
                  s->policy, s->space ? (unsigned long)s->space->brk_start : 0ul);
    strbuf_printf(sb, "%lu %lu %lu %lu 0\n", (unsigned long)p->arg_lo, (unsigned long)p->arg_hi,
                  (unsigned long)p->env_lo, (unsigned long)p->env_hi);
    return 0;
}

static int text_statm(const struct snapshot *s, struct strbuf *sb)
{
    struct memory m;
    memory_count(s, &m);
    strbuf_printf(sb, "%llu %llu %llu %llu 0 %llu 0\n", (unsigned long long)m.size,
                  (unsigned long long)m.resident, (unsigned long long)m.shared,
                  (unsigned long long)m.text, (unsigned long long)(m.data + m.stack));
    return 0;
}

static void put_limit(struct strbuf *sb, uint64_t value)
{
    if (value == RLIM_INFINITY)
        strbuf_printf(sb, "%-20s ", "unlimited");
    else
        strbuf_printf(sb, "%-20llu ", (unsigned long long)value);
}

static int text_limits(const struct snapshot *s, struct strbuf *sb)
{
    static const struct {
        const char *name, *unit;
    } rows[RLIMIT_COUNT] = {
        [RLIMIT_CPU] = {"Max cpu time", "seconds"},
        [RLIMIT_FSIZE] = {"Max file size", "bytes"},
        [RLIMIT_DATA] = {"Max data size", "bytes"},
        [RLIMIT_STACK] = {"Max stack size", "bytes"},
        [RLIMIT_CORE] = {"Max core file size", "bytes"},
        [RLIMIT_RSS] = {"Max resident set", "bytes"},
        [RLIMIT_NPROC] = {"Max processes", "processes"},
        [RLIMIT_NOFILE] = {"Max open files", "files"},
        [RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"},
        [RLIMIT_AS] = {"Max address space", "bytes"},
        [RLIMIT_LOCKS] = {"Max file locks", "locks"},
        [RLIMIT_SIGPENDING] = {"Max pending signals", "signals"},
        [RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"},
        [RLIMIT_NICE] = {"Max nice priority", ""},
        [RLIMIT_RTPRIO] = {"Max realtime priority", ""},
        [RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
    };
    strbuf_printf(sb, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (unsigned i = 0; i < RLIMIT_COUNT; i++) {
        strbuf_printf(sb, "%-25s ", rows[i].name);
        put_limit(sb, process_limit(s->process, i));
        put_limit(sb, __atomic_load_n(&s->process->limits[i].max, __ATOMIC_RELAXED));
        strbuf_printf(sb, "%-10s\n", rows[i].unit);
    }
    return 0;
}

static int text_io(struct strbuf *sb)
{
    static const char *const rows[] = {
        "rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes"};
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        strbuf_printf(sb, "%s: 0\n", rows[i]); /* not counted */
    return 0;
}

static int text_of(const struct snapshot *s, int tid, enum proc_text what, struct strbuf *sb)
{
    const struct process *p = s->process;
    switch (what) {
    case PROC_MAPS:
    case PROC_SMAPS:
        return text_maps(s, sb, what == PROC_SMAPS);
    case PROC_STATUS:
        return text_status(s, sb);
    case PROC_STAT:
        return text_stat(s, tid, sb);
    case PROC_STATM:
        return text_statm(s, sb);
    case PROC_CMDLINE:
        return text_memory(s, sb, p->arg_lo, p->arg_hi);
    case PROC_ENVIRON:
        return text_memory(s, sb, p->env_lo, p->env_hi);
    case PROC_COMM:
        strbuf_printf(sb, "%s\n", s->name);
        return 0;
    case PROC_LIMITS:
        return text_limits(s, sb);
    case PROC_AUXV:
        strbuf_append(sb, p->auxv, p->auxv_count * sizeof p->auxv[0]);
        return 0;
    case PROC_IO:
        return text_io(sb);
    case PROC_CGROUP:
        strbuf_printf(sb, "0::/\n");
        return 0;
    case PROC_WCHAN:
        strbuf_printf(sb, "0");
        return 0;
    case PROC_OOM_SCORE_ADJ:
        strbuf_printf(sb, "0\n");
        return 0;
    }
    return -EINVAL;
}

int proc_text(int pid, int tid, enum proc_text what, struct strbuf *sb)
{
    struct snapshot s;
    int err = snapshot_take(&s, pid, tid);
    if (err)
        return err;
    err = text_of(&s, tid, what, sb);
    snapshot_drop(&s);
    return err;
}

/* ---- the rest of fs/context.h ---- */

int proc_current_pid(void)
{
    struct process *p = process_current();
    return p ? p->pid : 0;
}

int proc_current_tid(void)
{
    struct task *task = task_current();
    return task ? task->tid : 0;
}

int proc_next_tid(int pid, int start)
{
    struct process *p = process_find(pid);
    int best = 0;
    if (!p)
        return 0;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    list_for_each (pos, &p->tasks) {
        int tid = list_entry(pos, struct task, process_link)->tid;
        if (tid >= start && (best == 0 || tid < best))
            best = tid;
    }
    spin_unlock_irqrestore(&p->lock, irq);
    process_put(p);
    return best;
}

int proc_exe_path(int pid, char *buf, size_t size)
{
    struct process *p = process_find(pid);
    if (!p)
        return -ESRCH;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    size_t len = strlcpy(buf, p->exe, size);
    spin_unlock_irqrestore(&p->lock, irq);
    process_put(p);
    return len >= size ? -ENAMETOOLONG : len ? (int)len : -ENOENT;
}

struct fdtable *proc_fdtable(int pid)
{
    struct process *p = process_find(pid);
    if (!p)
        return NULL;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct fdtable *files = p->files;
    if (files)
        fdtable_get(files);
    spin_unlock_irqrestore(&p->lock, irq);
    process_put(p);
    return files;
}

struct fs_context *proc_fs_context(int pid)
{
    struct process *p = process_find(pid);
    if (!p)
        return NULL;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct fs_context *fs = p->fs;
    if (fs)
        fs_context_get(fs);
    spin_unlock_irqrestore(&p->lock, irq);
    process_put(p);
    return fs;
}

int proc_set_comm(int pid, int tid, const char *name)
{
    struct process *p = process_find(pid);
    if (!p)
        return -ESRCH;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct task *task = tid ? find_in_locked(p, tid) : process_leader_locked(p);
    if (task)
        strlcpy(task->thread.name, name, sizeof task->thread.name);
    spin_unlock_irqrestore(&p->lock, irq);
    process_put(p);
    return task ? 0 : -ESRCH;
}

/* No averages are kept: the momentary number of runnable threads stands for all three. */
void proc_loadavg(struct strbuf *sb)
{
    unsigned runnable = 0;
    for (unsigned cpu = 0; cpu < hal_cpu_count(); cpu++) {
        struct sched_cpu_stats stats;
        sched_get_stats(cpu, &stats);
        runnable += stats.runnable;
    }
    strbuf_printf(sb, "%u.00 %u.00 %u.00 %u/%u %d\n", runnable, runnable, runnable, runnable,
                  thread_count(), proc_current_pid());
}

void proc_tty_signal(int pgrp, int signo)
{
    struct siginfo info = {.signo = signo, .code = SI_KERNEL};
    struct process *p;
    for (int pid = 1; (p = process_next(pid)) != NULL;) {
        pid = p->pid + 1;
        if (p->pgid == pgrp || pgrp == 0)
            (void)signal_send_process(p, &info);
        process_put(p);
    }
}

bool proc_group_lives(int pgrp)
{
    struct process *p;
    bool found = false;
    for (int pid = 1; !found && (p = process_next(pid)) != NULL; process_put(p)) {
        pid = p->pid + 1;
        found = p->pgid == pgrp;
    }
    return found;
}
