/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sys_pidfd.c - pidfd_open(2) and what is done by such a descriptor: poll(2), pidfd_getfd(2),
 * process_madvise(2); pidfd_send_signal(2) is in sys_signal.c.
 *
 * Whoever is watched lets everybody know on its process's wait queue that it ends (proc/task.c).
 * There is one process, so what may be done to others and not to oneself does not come up.
 */
#include "linux/pidfd.h"

#include "fs/fcntl.h"
#include "fs/pollwait.h"
#include "lib/errno.h"
#include "linux/sys_file.h"
#include "linux/uapi.h"
#include "mm/kmalloc.h"
#include "mm/space.h"

#define PIDFD_THREAD O_EXCL

static bool has_ended(const struct pidfd *p)
{
    if (p->task)
        return !list_linked(&p->task->process_link); /* momentary, as poll is */
    return __atomic_load_n(&p->process->ended, __ATOMIC_ACQUIRE);
}

static uint32_t pidfd_poll(struct file *file, struct poll_table *table)
{
    const struct pidfd *p = file->private_data;
    if (table)
        table->add(table, &p->process->wait);
    uint32_t gone = p->task ? POLLIN | POLLRDNORM | POLLHUP : POLLIN | POLLRDNORM;
    return has_ended(p) ? gone : 0;
}

static void pidfd_free(struct pidfd *p)
{
    if (p->task)
        thread_put(&p->task->thread);
    process_put(p->process);
    kfree(p);
}

static void pidfd_release(struct file *file)
{
    pidfd_free(file->private_data);
}

static const struct file_ops pidfd_ops = {
    .name = "anon_inode:[pidfd]",
    .poll = pidfd_poll,
    .release = pidfd_release,
};

const struct pidfd *pidfd_get(uint64_t fd, struct file **file)
{
    *file = file_arg_io(fd);
    if (*file && (*file)->ops == &pidfd_ops)
        return (*file)->private_data;
    if (*file)
        file_put(*file);
    *file = NULL;
    return NULL;
}

/* Linux: pidfd_prepare; the leader has the process's number. */
static int find(int pid, bool thread, struct pidfd *out)
{
    struct task *task = task_find(pid);
    if (!task)
        return -ESRCH;
    bool leader = task->process->pid == pid;
    if (leader || thread) {
        process_get(task->process);
        out->process = task->process;
    }
    out->task = thread ? task : NULL;
    if (!thread)
        thread_put(&task->thread);
    return leader || thread ? 0 : -ENOENT;
}

long sys_pidfd_open(const struct syscall_args *a)
{
    int pid = (int)a->arg[0];
    uint32_t flags = (uint32_t)a->arg[1];
    if ((flags & ~(uint32_t)(O_NONBLOCK | PIDFD_THREAD)) || pid <= 0)
        return -EINVAL;
    struct pidfd *p = kzalloc(sizeof *p);
    if (!p)
        return -ENOMEM;
    int err = find(pid, flags & PIDFD_THREAD, p);
    if (err) {
        kfree(p);
        return err;
    }
    struct file *file = file_alloc(&pidfd_ops, O_RDWR | (flags & O_NONBLOCK), p);
    if (!file) {
        pidfd_free(p);
        return -ENOMEM;
    }
    return install_file(file, true);
}

long sys_pidfd_getfd(const struct syscall_args *a)
{
    struct file *holder, *file;
    if ((uint32_t)a->arg[2])
        return -EINVAL;
    const struct pidfd *p = pidfd_get(a->arg[0], &holder);
    if (!p)
        return -EBADF;
    long result = -ESRCH;
    if (!has_ended(p)) {
        file = fd_get(p->process->files, (int)a->arg[1]);
        result = file ? install_file(file, true) : -EBADF;
    }
    file_put(holder);
    return result;
}

/* ---- process_madvise ---- */

/* As far as it goes: the bytes that were advised, or what was wrong with the first range. */
static long advise_all(const struct iov *iov, uint64_t count, int advice)
{
    long done = 0;
    for (uint64_t i = 0; i < count; i++) {
        int err = space_advise(process_current()->space, iov[i].base, iov[i].len, advice);
        if (err)
            return done ? done : err;
        done += (long)iov[i].len;
    }
    return done;
}

long sys_process_madvise(const struct syscall_args *a)
{
    struct iov fast[IOV_FAST], *iov;
    struct iov_iter it;
    struct file *holder;
    if ((uint32_t)a->arg[4])
        return -EINVAL;
    long result = copyin_iovec(a->arg[1], a->arg[2], fast, &iov, &it);
    const struct pidfd *p = result ? NULL : pidfd_get(a->arg[0], &holder);
    if (!result && !p)
        result = -EBADF;
    if (p) {
        result = has_ended(p) ? -ESRCH : advise_all(iov, a->arg[2], (int)a->arg[3]);
        file_put(holder);
    }
    if (iov != fast)
        kfree(iov);
    return result;
}
