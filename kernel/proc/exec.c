/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exec.c - execve: replace the program of the calling process.
 *
 * Phases: open and plan (image.c) -> map everything into a new, inactive space -> [point of no
 * return] end the other tasks -> switch spaces -> write stack and tails -> reset what a new program
 * starts without. All that commonly fails (files, limits, memory for areas) fails before the point
 * of no return and leaves the caller as it was; behind it only running out of memory is left, which
 * kills the process, as on Linux.
 */
#include "core/log.h"
#include "core/random.h"
#include "fs/fcntl.h"
#include "fs/vfs.h"
#include "isa.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "proc/futex.h"
#include "proc/image.h"
#include "proc/internal.h"
#include "proc/load.h"
#include "proc/rseq.h"
#include "proc/stack.h"

#define STACK_EXTRA (128u << 10) /* mapped below the arguments from the start, as Linux */
#define ARG_BYTES_MIN (128u << 10)
#define ARG_BYTES_MAX (6u << 20) /* three quarters of the default stack limit */
#define STACK_SECURE_MAX (8ull << 20)
#define CLOCK_TICKS 100 /* USER_HZ */

struct exec {
    struct exec_image image;
    struct stack_spec stack;
    struct stack_image written;
    struct load_layout layout;
    struct space *space; /* the new one; a reference until it is given to the process */
    vaddr_t bias, interp_bias, vdso;
    struct fs_cred *cred; /* what the program will be: a reference until it is given to the task */
    bool secure;          /* other ids than the caller's: AT_SECURE */
    bool unreadable;      /* the caller may execute it only */
};

/* ---- before the point of no return ---- */

/* The set-user-id and set-group-id bits of the program (of a script: of its interpreter); without x
 * for the group, the latter means mandatory locking. Linux, bprm_creds_from_file. */
static int cred_make(struct exec *x, const struct process *p)
{
    struct inode *inode = x->image.file->inode;
    struct fs_cred *cred = cred_copy();
    if (!cred)
        return -ENOMEM;
    x->unreadable = inode_permission(cred, inode, MAY_READ) != 0;
    /* All three at one time: chown changes the owner, then takes the bits away. */
    mutex_lock(&inode->lock);
    uint32_t mode = inode->mode, uid = inode->uid, gid = inode->gid;
    mutex_unlock(&inode->lock);
    if (!__atomic_load_n(&p->no_new_privs, __ATOMIC_RELAXED) &&
        !super_has(inode->super, MS_NOSUID)) {
        if (mode & S_ISUID)
            cred->euid = uid;
        if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
            cred->egid = gid;
    }
    cred->suid = cred->fsuid = cred->euid;
    cred->sgid = cred->fsgid = cred->egid;
    x->secure = cred->uid != cred->euid || cred->gid != cred->egid;
    x->cred = cred;
    return 0;
}

static void auxv_put(struct exec *x, uint64_t type, uint64_t value)
{
    struct stack_spec *s = &x->stack;
    CHECK(s->auxv_count < STACK_AUXV_MAX);
    s->auxv[2 * s->auxv_count] = type;
    s->auxv[2 * s->auxv_count + 1] = value;
    s->auxv_count++;
}

static void auxv_make(struct exec *x, const struct fs_cred *cred)
{
    const struct elf_plan *plan = x->image.plan;
    uint64_t hwcap = 0, hwcap2 = 0;
    isa_hwcap(&hwcap, &hwcap2);
    if (x->vdso)
        auxv_put(x, AT_SYSINFO_EHDR, x->vdso);
    auxv_put(x, AT_HWCAP, hwcap);
    auxv_put(x, AT_PAGESZ, PAGE_SIZE);
    auxv_put(x, AT_CLKTCK, CLOCK_TICKS);
    auxv_put(x, AT_PHDR, plan->phdr ? plan->phdr + x->bias : 0);
    auxv_put(x, AT_PHENT, 56);
    auxv_put(x, AT_PHNUM, plan->phnum);
    auxv_put(x, AT_BASE, x->image.interp ? x->interp_bias : 0);
    auxv_put(x, AT_FLAGS, 0);
    auxv_put(x, AT_ENTRY, plan->entry + x->bias);
    auxv_put(x, AT_UID, cred->uid);
    auxv_put(x, AT_EUID, cred->euid);
    auxv_put(x, AT_GID, cred->gid);
    auxv_put(x, AT_EGID, cred->egid);
    auxv_put(x, AT_SECURE, x->secure);
    auxv_put(x, AT_HWCAP2, hwcap2);
    auxv_put(x, AT_RSEQ_FEATURE_SIZE, RSEQ_FEATURE_SIZE);
    auxv_put(x, AT_RSEQ_ALIGN, RSEQ_SIZE);
    auxv_put(x, AT_MINSIGSTKSZ, isa_sigframe_size());
}

static int stack_map(struct exec *x)
{
    size_t used = x->layout.stack_top - x->written.sp;
    size_t size = align_up(used, PAGE_SIZE) + STACK_EXTRA;
    struct map_request req = {
        .addr = x->layout.stack_top - size,
        .len = size,
        .prot = PROT_READ | PROT_WRITE | (x->image.plan->exec_stack ? PROT_EXEC : 0),
        .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN,
        .name = "[stack]",
        .area_flags = AREA_STACK,
    };
    vaddr_t at;
    return space_map(x->space, &req, &at);
}

static int images_map(struct exec *x)
{
    int err = load_map(x->space, x->image.plan, x->image.file, x->layout.image_base, &x->bias);
    if (!err && x->image.interp)
        err = load_map(x->space, x->image.interp_plan, x->image.interp, 0, &x->interp_bias);
    return err;
}

static const char *map_phrase(int err)
{
    return err == -ENOEXEC ? "its ELF addresses lie outside the user address space"
                           : "it does not fit into memory";
}

static int exec_map(struct exec *x, struct process *p)
{
    uint64_t stack_limit = process_limit(p, RLIMIT_STACK);
    if (x->secure) /* the caller shall not choose where things lie (Linux, begin_new_exec) */
        stack_limit = MIN(stack_limit, STACK_SECURE_MAX);
    x->space = space_create();
    if (!x->space)
        return -ENOMEM;
    load_layout_choose(&x->layout, stack_limit);
    x->space->mmap_top = x->layout.mmap_top;
    x->space->stack_limit = stack_limit;
    x->space->as_limit = process_limit(p, RLIMIT_AS);
    x->space->data_limit = process_limit(p, RLIMIT_DATA);
    int err = vdso_map(x->space, &x->vdso);
    if (!err)
        err = images_map(x);
    if (err)
        return err;
    space_set_brk(x->space, x->image.plan->hi + x->bias + x->layout.brk_gap);
    auxv_make(x, x->cred);
    size_t limit = MIN(MAX(stack_limit / 4, ARG_BYTES_MIN), ARG_BYTES_MAX);
    err = stack_plan(&x->stack, x->layout.stack_top, limit, &x->written);
    return err ? err : stack_map(x);
}

/* ---- behind it ---- */

/* End all other tasks. -EINTR: this one has been told to leave itself. */
static int others_end(struct task *task)
{
    struct process *p = task->process;
    struct waiter w;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    if (p->exiting || p->exec_task) {
        spin_unlock_irqrestore(&p->lock, irq);
        return -EINTR;
    }
    __atomic_store_n(&p->exec_task, task, __ATOMIC_RELEASE);
    list_for_each (pos, &p->tasks) {
        struct task *other = list_entry(pos, struct task, process_link);
        if (other != task)
            thread_interrupt(&other->thread);
    }
    spin_unlock_irqrestore(&p->lock, irq);

    waitq_wake_all(&p->wait, 0); /* stopped ones leave, too */
    waitq_prepare(&p->wait, &w, false);
    for (;;) {
        irq = spin_lock_irqsave(&p->lock);
        bool alone = p->task_count == 1;
        spin_unlock_irqrestore(&p->lock, irq);
        if (alone)
            break;
        (void)!waitq_sleep(&w, UINT64_MAX);
    }
    waitq_finish(&w);
    return 0;
}

/* The caller's thread takes the process's number if it was not the first one. */
static void take_leader_number(struct task *task)
{
    if (task->tid == task->process->pid)
        return;
    task_table_remove(task);
    task->tid = task->process->pid;
    task_table_add(task);
}

static void switch_space(struct exec *x, struct process *p)
{
    unsigned long irq = spin_lock_irqsave(&p->lock);
    struct space *old = p->space;
    p->dead_resident_peak = MAX(p->dead_resident_peak, space_resident_peak(old));
    p->space = x->space;
    spin_unlock_irqrestore(&p->lock, irq);
    thread_set_space(x->space);
    x->space = NULL;
    space_put(old);
}

static void reset_task(struct task *task)
{
    task->clear_child_tid = uaddr(0);
    task->rseq = uaddr(0);
    task->restart.id = 0;
    task->restart_deadline_ns = 0;
    task->sig_restore_mask = false;
    signal_reset_for_exec(task);
    hal_ctx_set_tls(&task->thread.ctx, 0);
    hal_ctx_fp_sync(&task->thread.ctx);
    isa_fp_init(task->thread.fp);
    for (unsigned kind = 0; kind < ISA_KEY_KINDS; kind++) {
        void *key = isa_fp_key(task->thread.fp, kind);
        if (key)
            random_bytes(key, ISA_KEY_SIZE);
    }
}

static void reset_process(struct process *p)
{
    posix_timers_stop(p);
    patch_forget(p);
    fdtable_close_on_exec(p->files);
    __atomic_store_n(&p->membarrier_registered, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->dumpable, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&p->keep_caps, 0, __ATOMIC_RELAXED);
}

/* Whoever has been given other ids, or may not be read, is not to be looked into. */
static void take_ids(struct exec *x, struct task *task)
{
    cred_set(x->cred);
    x->cred = NULL;
    if (x->secure)
        task->pdeath_signal = 0;
    if (x->secure || x->unreadable)
        __atomic_store_n(&task->process->dumpable, 0, __ATOMIC_RELAXED);
}

static void describe_process(struct exec *x, struct task *task, const char *path)
{
    struct process *p = task->process;
    const struct stack_image *w = &x->written;
    const char *base = strrchr(path, '/');
    char name[sizeof task->thread.name] = "", exe[sizeof p->exe];
    strlcpy(name, base ? base + 1 : path, sizeof name);
    if (file_path(x->image.file, exe, sizeof exe) < 0)
        strlcpy(exe, path, sizeof exe);
    unsigned long irq = spin_lock_irqsave(&p->lock);
    memcpy(task->thread.name, name, sizeof name);
    strlcpy(p->exe, exe, sizeof p->exe);
    p->arg_lo = w->arg_lo;
    p->arg_hi = w->arg_hi;
    p->env_lo = w->env_lo;
    p->env_hi = w->env_hi;
    p->vdso = x->vdso;
    p->auxv_count = MIN(w->auxv_count * 2, ARRAY_COUNT(p->auxv));
    memcpy(p->auxv, w->auxv, p->auxv_count * sizeof p->auxv[0]);
    __atomic_store_n(&p->exec_task, NULL, __ATOMIC_RELEASE);
    spin_unlock_irqrestore(&p->lock, irq);
}

/* Cannot fail any more, except by ending the process. */
static int exec_commit(struct exec *x, struct task *task, const char *path, struct isa_frame *frame)
{
    const struct elf_plan *start = x->image.interp ? x->image.interp_plan : x->image.plan;
    uintptr_t entry = start->entry + (x->image.interp ? x->interp_bias : x->bias);
    futex_exec(task);
    take_leader_number(task);
    switch_space(x, task->process);
    reset_task(task);
    reset_process(task->process);
    take_ids(x, task);
    random_bytes(x->stack.random, sizeof x->stack.random);
    int err = load_zero_tails(x->image.plan, x->bias);
    if (!err && x->image.interp)
        err = load_zero_tails(x->image.interp_plan, x->interp_bias);
    if (!err)
        err = stack_write(&x->stack, &x->written);
    describe_process(x, task, path);
    isa_frame_init(frame, entry, x->written.sp);
    task->frame_replaced = true;
    return err;
}

long exec_program(const struct exec_request *req, struct isa_frame *frame, char *why,
                  size_t why_size)
{
    struct task *task = task_current();
    struct process *p = task->process;
    struct exec *x = kzalloc(sizeof *x);
    if (!x)
        return -ENOMEM;
    x->image.why = why;
    x->image.why_size = why_size;
    int err = image_open(&x->image, p->fs, req->path, req->file, req->argv);
    if (err)
        goto out;
    x->stack.argv = x->image.argv;
    x->stack.envp = req->envp;
    x->stack.exec_name = req->path;
    err = cred_make(x, p);
    if (!err)
        err = exec_map(x, p);
    if (err) {
        if (why_size)
            snprintf(why, why_size, "%s",
                     err == -E2BIG ? "its arguments and environment are too long"
                                   : map_phrase(err));
        goto out;
    }
    err = others_end(task);
    if (err)
        goto out;
    if (exec_commit(x, task, req->path, frame)) {
        if (why_size)
            snprintf(why, why_size, "there is not enough memory");
        process_exit_group(SIGKILL);
        err = why_size ? -ENOMEM : 0;
    }
out:
    if (x->space)
        space_put(x->space);
    cred_put(x->cred);
    image_close(&x->image);
    kfree(x);
    return err;
}

long process_exec(const char *path, char *const *argv, char *const *envp, struct isa_frame *frame)
{
    struct exec_request req = {.path = path, .argv = argv, .envp = envp};
    return exec_program(&req, frame, NULL, 0);
}
