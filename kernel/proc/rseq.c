/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rseq.c - restartable sequences. See rseq.h; the rules are Linux's (kernel/rseq.c).
 *
 * The scheduler sets thread->switched whenever it gives a thread the CPU, and the way to user code
 * looks at it. A critical section can only be met there with `switched` set: whoever executes one
 * has lost the CPU in an interrupt or a fault, and comes back that way. A section makes no system
 * calls (rseq(2)), so after one only the CPU is looked at (rseq_called). Nearly always there is no
 * section, and the area is there: then it is one load, and a store if the CPU is another one, with
 * interrupts off. Whatever else there is to do is done with interrupts on; `switched` is cleared
 * first, so a switch in the middle of it brings the task here again.
 *
 * A signal's frame must not lead back into a section, for the handler may have run one itself:
 * rseq_signal moves the program counter before the frame is built.
 */
#include "proc/rseq.h"

#include "lib/errno.h"
#include "mm/usercopy.h"
#include "proc/internal.h"
#include "sched/thread.h"

/* uapi linux/rseq.h */
enum { AT_CPU_IDS = 0, AT_SECTION = 8, AT_FLAGS = 16, AT_NODE_AND_CID = 20 };
#define CPU_ID_UNINITIALIZED UINT32_MAX
#define CPU_ID_UNKNOWN UINT32_MAX /* task->rseq_cpu: not what was written */

struct section {
    uint32_t version, flags;
    uint64_t start, length, abort;
};
STATIC_ASSERT(sizeof(struct section) == 32);
/* What a CPU's number is told by: two pairs of words, each written at once. */
struct ids {
    uint32_t cpu_start, cpu;
    uint32_t node, mm_cid;
};

static uaddr_t field(const struct task *task, unsigned at)
{
    return uaddr(task->rseq.raw + at);
}

/* Relaxed, here and below: set by the thread's own CPU, or by rseq_barrier, which sends an
 * interrupt after it. */
static void seen(struct task *task)
{
    __atomic_store_n(&task->thread.switched, false, __ATOMIC_RELAXED);
}

static void need_look(struct task *task)
{
    task->rseq_cpu = CPU_ID_UNKNOWN;
    __atomic_store_n(&task->thread.switched, true, __ATOMIC_RELAXED);
}

static int ids_write(const struct task *task, const struct ids *ids)
{
    int err = copyout(field(task, AT_CPU_IDS), &ids->cpu_start, 8);
    return err ? err : copyout(field(task, AT_NODE_AND_CID), &ids->node, 8);
}

int rseq_register(uaddr_t area, uint32_t len, uint32_t signature)
{
    struct task *task = task_current();
    const uint64_t none = 0;
    if (task->rseq.raw) {
        if (task->rseq.raw != area.raw || task->rseq_len != len)
            return -EINVAL;
        return task->rseq_signature == signature ? -EBUSY : -EPERM;
    }
    if (!area.raw || len < RSEQ_SIZE || !is_aligned(area.raw, RSEQ_SIZE))
        return -EINVAL;
    if (!user_range_ok(area, len) || copyout(uaddr(area.raw + AT_SECTION), &none, sizeof none))
        return -EFAULT;
    task->rseq = area;
    task->rseq_len = len;
    task->rseq_signature = signature;
    need_look(task);
    return 0;
}

int rseq_unregister(uaddr_t area, uint32_t len, uint32_t signature)
{
    struct task *task = task_current();
    const struct ids reset = {.cpu = CPU_ID_UNINITIALIZED};
    if (!task->rseq.raw || task->rseq.raw != area.raw || task->rseq_len != len)
        return -EINVAL;
    if (task->rseq_signature != signature)
        return -EPERM;
    if (ids_write(task, &reset))
        return -EFAULT;
    task->rseq = uaddr(0);
    return 0;
}

/* ---- critical sections ---- */

static int section_check(const struct task *task, const struct section *s)
{
    uint64_t user_end = hal_layout()->user_end, end;
    uint32_t signature;
    if (s->version || s->flags) /* the flags of old do nothing any more but this */
        return -EINVAL;
    if (add_overflow(s->start, s->length, &end) || end >= user_end || s->abort >= user_end)
        return -EINVAL;
    if (s->abort - s->start < s->length) /* it would abort into itself */
        return -EINVAL;
    if (copyin(&signature, uaddr(s->abort - sizeof signature), sizeof signature))
        return -EFAULT;
    return signature == task->rseq_signature ? 0 : -EINVAL;
}

/* Leave the section that the program counter is in; forget one that it has left. */
static int section_leave(const struct task *task, struct isa_frame *frame)
{
    uint64_t at;
    uint32_t flags;
    const uint64_t none = 0;
    struct section s;
    if (copyin(&at, field(task, AT_SECTION), sizeof at))
        return -EFAULT;
    if (!at)
        return 0;
    if (copyin(&s, uaddr(at), sizeof s))
        return -EFAULT;
    int err = section_check(task, &s);
    if (err)
        return err;
    bool inside = isa_frame_pc(frame) - s.start < s.length;
    if (inside && copyin(&flags, field(task, AT_FLAGS), sizeof flags))
        return -EFAULT;
    if (inside && flags)
        return -EINVAL;
    if (copyout(field(task, AT_SECTION), &none, sizeof none))
        return -EFAULT;
    if (inside)
        isa_frame_set_pc(frame, s.abort);
    return 0;
}

/* ---- the way to user code ---- */

static struct ids ids_of(uint32_t cpu)
{
    return (struct ids){.cpu_start = cpu, .cpu = cpu, .mm_cid = cpu};
}

/* `switched` is cleared first: losing the CPU from here on sets it again. What rseq_barrier wants
 * is done, for a task that is in a call is in no section. */
void rseq_called(struct task *task)
{
    seen(task);
    if (task->rseq.raw && task->rseq_cpu != hal_cpu_id())
        __atomic_store_n(&task->thread.switched, true, __ATOMIC_RELAXED);
}

void rseq_resume_quick(struct task *task)
{
    uint32_t cpu = hal_cpu_id();
    uint64_t section = 0;
    int err = 0;
    if (task->rseq.raw) {
        preempt_disable(); /* so a fault is no reason to sleep, but -EFAULT */
        err = copyin_try(&section, field(task, AT_SECTION), sizeof section);
        if (!err && !section && task->rseq_cpu != cpu) {
            struct ids ids = ids_of(cpu);
            err = copyout_try(field(task, AT_CPU_IDS), &ids.cpu_start, 8);
            if (!err)
                err = copyout_try(field(task, AT_NODE_AND_CID), &ids.node, 8);
            task->rseq_cpu = err ? CPU_ID_UNKNOWN : cpu;
        }
        preempt_enable();
    }
    if (!err && !section)
        seen(task);
}

void rseq_resume(struct task *task, struct isa_frame *frame)
{
    seen(task);
    if (!task->rseq.raw)
        return;
    uint32_t cpu = hal_cpu_id(); /* after `seen`: if it is another one by now, we come again */
    struct ids ids = ids_of(cpu);
    int err = section_leave(task, frame);
    if (!err && task->rseq_cpu != cpu)
        err = ids_write(task, &ids);
    task->rseq_cpu = err ? CPU_ID_UNKNOWN : cpu;
    if (err)
        signal_force(SIGSEGV, SI_KERNEL, 0);
}

int rseq_signal(struct task *task, struct isa_frame *frame)
{
    return task->rseq.raw ? section_leave(task, frame) : 0;
}

void rseq_barrier(struct process *process)
{
    unsigned long irq = spin_lock_irqsave(&process->lock);
    list_for_each (pos, &process->tasks) {
        struct task *task = list_entry(pos, struct task, process_link);
        __atomic_store_n(&task->thread.switched, true, __ATOMIC_RELAXED);
    }
    spin_unlock_irqrestore(&process->lock, irq);
    /* Each CPU that executes user code is interrupted, and looks before it goes on. */
    sched_barrier();
}
