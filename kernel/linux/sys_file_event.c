/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_file_event.c - files that are made, not opened: pipe, eventfd, timerfd, epoll, memfd,
 * signalfd. */
#include "fs/epoll.h"
#include "fs/eventfd.h"
#include "fs/inotify.h"
#include "fs/pipe.h"
#include "fs/pollwait.h"
#include "isa/abi.h"
#include "lib/string.h"
#include "linux/sys_file.h"
#include "mm/hugetlb.h"
#include "mm/kmalloc.h"
#include "sched/timer.h"

/* ---- pipe ---- */

/* The numbers are told before they can be used, so that a bad address leaves no descriptors. */
static int pipe_install(struct file *const ends[2], uint64_t addr, bool cloexec)
{
    struct fdtable *files = current_files();
    int32_t fd[2];
    fd[0] = fd_reserve(files);
    if (fd[0] < 0)
        return fd[0];
    fd[1] = fd_reserve(files);
    int err = MIN(fd[1], 0);
    if (!err)
        err = copyout(uaddr(addr), fd, sizeof(fd));
    for (int i = 0; i < 2; i++) {
        if (!err)
            fd_fill(files, fd[i], ends[i], cloexec);
        else if (fd[i] >= 0)
            fd_unreserve(files, fd[i]);
    }
    return err;
}

static long do_pipe(uint64_t addr, uint32_t flags)
{
    struct file *ends[2];
    if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK)) /* packet mode (O_DIRECT) is not offered */
        return -EINVAL;
    int err = pipe_create(ends, flags & O_NONBLOCK);
    if (err)
        return err;
    err = pipe_install(ends, addr, flags & O_CLOEXEC);
    if (err) {
        file_put(ends[0]);
        file_put(ends[1]);
    }
    return err;
}

long sys_pipe(const struct syscall_args *a)
{
    return do_pipe(a->arg[0], 0);
}

long sys_pipe2(const struct syscall_args *a)
{
    return do_pipe(a->arg[0], isa_open_flags_in((uint32_t)a->arg[1]));
}

/* ---- eventfd ---- */

#define EFD_SEMAPHORE 1u

static long do_eventfd(uint32_t initial, uint32_t flags)
{
    struct file *file;
    if (flags & ~(uint32_t)(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    int err = eventfd_create(initial, flags & EFD_SEMAPHORE, flags & O_NONBLOCK, &file);
    return err ? err : install_file(file, flags & O_CLOEXEC);
}

long sys_eventfd(const struct syscall_args *a)
{
    return do_eventfd((uint32_t)a->arg[0], 0);
}

long sys_eventfd2(const struct syscall_args *a)
{
    return do_eventfd((uint32_t)a->arg[0], (uint32_t)a->arg[1]);
}

/* ---- timerfd ---- */

struct user_itimerspec {
    int64_t interval_sec, interval_nsec, value_sec, value_nsec;
};

long sys_timerfd_create(const struct syscall_args *a)
{
    int clock = (int)a->arg[0];
    uint32_t flags = (uint32_t)a->arg[1];
    struct file *file;
    /* REALTIME, MONOTONIC, BOOTTIME and the two ALARM clocks (nothing here sleeps deeply) */
    if (clock != 0 && clock != 1 && clock != 7 && clock != 8 && clock != 9)
        return -EINVAL;
    if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    int err = timerfd_create_file(clock, flags & O_NONBLOCK, &file);
    return err ? err : install_file(file, flags & O_CLOEXEC);
}

static int put_itimerspec(uint64_t addr, const struct timerfd_spec *spec)
{
    struct user_itimerspec out = {
        (int64_t)(spec->interval_ns / NS_PER_SEC), (int64_t)(spec->interval_ns % NS_PER_SEC),
        (int64_t)(spec->value_ns / NS_PER_SEC), (int64_t)(spec->value_ns % NS_PER_SEC)};
    return copyout(uaddr(addr), &out, sizeof(out));
}

static struct file *timerfd_arg(uint64_t fd, int *err)
{
    struct file *file = file_arg_io(fd);
    *err = file ? 0 : -EBADF;
    if (file && !file_is_timerfd(file)) {
        file_put(file);
        *err = -EINVAL;
    }
    return *err ? NULL : file;
}

long sys_timerfd_settime(const struct syscall_args *a)
{
    struct timerfd_spec spec, old;
    int flags = (int)a->arg[1];
    if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
        return -EINVAL;
    int err = copyin_timespec(a->arg[2], &spec.interval_ns);
    if (err == 0)
        err = copyin_timespec(a->arg[2] + 16, &spec.value_ns);
    if (err)
        return err;
    struct file *file = timerfd_arg(a->arg[0], &err);
    if (!file)
        return err;
    err = timerfd_set(file, flags, &spec, &old);
    file_put(file);
    if (err == 0 && a->arg[3])
        err = put_itimerspec(a->arg[3], &old);
    return err;
}

long sys_timerfd_gettime(const struct syscall_args *a)
{
    struct timerfd_spec spec;
    int err;
    struct file *file = timerfd_arg(a->arg[0], &err);
    if (!file)
        return err;
    timerfd_get(file, &spec);
    file_put(file);
    return put_itimerspec(a->arg[1], &spec);
}

/* ---- memfd ---- */

#define MFD_CLOEXEC 1u
#define MFD_ALLOW_SEALING 2u
#define MFD_HUGETLB 4u
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC 16u
#define MFD_HUGE_SHIFT 26 /* with MFD_HUGETLB: log2 of the size, 0 for the default */
#define MFD_HUGE_MASK 63u

long sys_memfd_create(const struct syscall_args *a)
{
    char name[NAME_MAX + 1 - 6]; /* room for "memfd:" */
    uint32_t flags = (uint32_t)a->arg[1];
    struct file *file;
    uint32_t known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;
    unsigned shift = 0;
    if (flags & MFD_HUGETLB) {
        shift = flags >> MFD_HUGE_SHIFT & MFD_HUGE_MASK;
        shift = shift ? shift : HUGETLB_SHIFT;
        known |= MFD_HUGETLB | MFD_HUGE_MASK << MFD_HUGE_SHIFT;
    }
    if ((flags & ~known) || (flags & (MFD_EXEC | MFD_NOEXEC_SEAL)) == (MFD_EXEC | MFD_NOEXEC_SEAL))
        return -EINVAL;
    long len = copyin_str(name, uaddr(a->arg[0]), sizeof(name));
    if (len < 0)
        return len == -ENAMETOOLONG ? -EINVAL : len;
    bool sealable = flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    int err = memfd_create_file(name, sealable, !(flags & MFD_NOEXEC_SEAL), shift, &file);
    return err ? err : install_file(file, flags & MFD_CLOEXEC);
}

/* ---- epoll ---- */

struct epoll_event {
    uint32_t events;
    uint64_t data;
} ISA_EPOLL_PACKED;

long sys_epoll_create(const struct syscall_args *a)
{
    struct file *file;
    if ((int)a->arg[0] <= 0)
        return -EINVAL;
    int err = epoll_create_file(0, &file);
    return err ? err : install_file(file, false);
}

long sys_epoll_create1(const struct syscall_args *a)
{
    struct file *file;
    if (a->arg[0] & ~(uint64_t)O_CLOEXEC)
        return -EINVAL;
    int err = epoll_create_file(0, &file);
    return err ? err : install_file(file, a->arg[0] & O_CLOEXEC);
}

long sys_epoll_ctl(const struct syscall_args *a)
{
    struct epoll_event event = {0, 0};
    int op = (int)a->arg[1];
    if (op != EPOLL_CTL_DEL) {
        int err = copyin(&event, uaddr(a->arg[3]), sizeof(event));
        if (err)
            return err;
    }
    struct file *epoll = file_arg_io(a->arg[0]), *target = file_arg_io(a->arg[2]);
    long result = -EBADF;
    if (epoll && target)
        result = epoll_control(epoll, op, (int)a->arg[2], target, event.events, event.data);
    if (epoll)
        file_put(epoll);
    if (target)
        file_put(target);
    return result;
}

struct event_out {
    uint64_t at;
};

static bool emit_event(void *arg, uint32_t events, uint64_t data)
{
    struct event_out *out = arg;
    struct epoll_event event;
    memset(&event, 0, sizeof(event));
    event.events = events;
    event.data = data;
    if (copyout(uaddr(out->at), &event, sizeof(event)))
        return false;
    out->at += sizeof(event);
    return true;
}

static long do_epoll_wait(uint64_t fd, uint64_t addr, int max, uint64_t deadline)
{
    if (max <= 0 || (size_t)max > INT32_MAX / sizeof(struct epoll_event))
        return -EINVAL;
    if (!user_range_ok(uaddr(addr), (size_t)max * sizeof(struct epoll_event)))
        return -EFAULT;
    struct file *file = file_arg_io(fd);
    if (!file)
        return -EBADF;
    struct event_out out = {addr};
    long count = -EINVAL;
    if (file_is_epoll(file))
        count = epoll_wait_events(file, max, deadline, emit_event, &out);
    file_put(file);
    return count == -ERESTARTSYS ? -EINTR : count; /* never restarted: signal(7) */
}

static uint64_t ms_deadline(int timeout_ms)
{
    if (timeout_ms < 0)
        return UINT64_MAX;
    return timeout_ms == 0 ? 0 : deadline_after((uint64_t)timeout_ms * NS_PER_MS);
}

long sys_epoll_wait(const struct syscall_args *a)
{
    return do_epoll_wait(a->arg[0], a->arg[1], (int)a->arg[2], ms_deadline((int)a->arg[3]));
}

static long masked_epoll_wait(const struct syscall_args *a, uint64_t deadline)
{
    int err = mask_for_call(a->arg[4], a->arg[5]);
    if (err)
        return err;
    return do_epoll_wait(a->arg[0], a->arg[1], (int)a->arg[2], deadline);
}

long sys_epoll_pwait(const struct syscall_args *a)
{
    return masked_epoll_wait(a, ms_deadline((int)a->arg[3]));
}

long sys_epoll_pwait2(const struct syscall_args *a)
{
    uint64_t ns, deadline = UINT64_MAX;
    if (a->arg[3]) {
        int err = copyin_timespec(a->arg[3], &ns);
        if (err)
            return err;
        deadline = ns == 0 ? 0 : deadline_after(ns);
    }
    return masked_epoll_wait(a, deadline);
}

/* ---- inotify ---- */

static long do_inotify_init(uint32_t flags)
{
    struct file *file;
    if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    int err = inotify_create(flags & O_NONBLOCK, &file);
    return err ? err : install_file(file, flags & O_CLOEXEC);
}

long sys_inotify_init(const struct syscall_args *a)
{
    return do_inotify_init(0);
}

long sys_inotify_init1(const struct syscall_args *a)
{
    return do_inotify_init((uint32_t)a->arg[0]);
}

static int watch_path(struct file *file, uint64_t path, uint32_t mask)
{
    struct dentry *dentry;
    unsigned lookup = ((mask & IN_DONT_FOLLOW) ? 0 : LOOKUP_FOLLOW) |
                      ((mask & IN_ONLYDIR) ? LOOKUP_DIRECTORY : 0);
    int err = at_lookup((uint64_t)AT_FDCWD, path, 0, lookup, &dentry, NULL);
    if (err)
        return err;
    err = inode_permission(proc_cred(), dentry->inode, MAY_READ);
    int wd = err ? err : inotify_add(file, dentry->inode, mask);
    dentry_put(dentry);
    return wd;
}

static struct file *inotify_arg(uint64_t fd, int *err)
{
    struct file *file = file_arg_io(fd);
    *err = file ? 0 : -EBADF;
    if (file && !file_is_inotify(file)) {
        file_put(file);
        *err = -EINVAL;
    }
    return *err ? NULL : file;
}

long sys_inotify_add_watch(const struct syscall_args *a)
{
    uint32_t mask = (uint32_t)a->arg[2];
    if (!(mask & IN_ALL_EVENTS) || ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE)))
        return -EINVAL;
    int err;
    struct file *file = inotify_arg(a->arg[0], &err);
    if (!file)
        return err;
    int wd = watch_path(file, a->arg[1], mask);
    file_put(file);
    return wd;
}

long sys_inotify_rm_watch(const struct syscall_args *a)
{
    int err;
    struct file *file = inotify_arg(a->arg[0], &err);
    if (!file)
        return err;
    err = inotify_remove(file, (int)a->arg[1]);
    file_put(file);
    return err;
}

/* ---- signalfd ---- */

struct signalfd {
    uint64_t mask; /* atomic */
};

struct signalfd_siginfo {
    uint32_t signo;
    int32_t error, code;
    uint32_t pid, uid;
    int32_t fd;
    uint32_t tid, band, overrun, trapno;
    int32_t status, value_int;
    uint64_t value_ptr, utime, stime, addr;
    uint16_t addr_lsb, pad2;
    int32_t syscall;
    uint64_t call_addr;
    uint32_t arch;
    uint8_t pad[28];
};
STATIC_ASSERT(sizeof(struct signalfd_siginfo) == 128);

/* Signals of the reader, as on Linux: whoever reads takes his own. */
static bool signal_waits(void *arg)
{
    struct signalfd *s = arg;
    struct task *task = task_current();
    uint64_t mask = __atomic_load_n(&s->mask, __ATOMIC_RELAXED);
    return signal_pending_set(task) & mask;
}

static long put_siginfo(struct iov_iter *to, const struct siginfo *info)
{
    struct signalfd_siginfo out = {
        .signo = (uint32_t)info->signo,
        .error = info->error,
        .code = info->code,
        .pid = (uint32_t)info->pid,
        .uid = info->uid,
    };
    bool fault = info->code > 0 && info->code < SI_KERNEL &&
                 (SIG_BIT(info->signo) & (SIG_BIT(SIGILL) | SIG_BIT(SIGBUS) | SIG_BIT(SIGFPE) |
                                          SIG_BIT(SIGSEGV) | SIG_BIT(SIGTRAP)));
    if (fault) {
        out.pid = out.uid = 0;
        out.addr = info->addr;
    } else if (info->code == SI_TIMER) {
        out.pid = out.uid = 0;
        out.tid = (uint32_t)info->timer_id;
        out.overrun = (uint32_t)info->overrun;
        out.value_ptr = info->timer_value;
        out.value_int = (int32_t)info->timer_value;
    } else if (info->signo == SIGCHLD) {
        out.status = (int32_t)info->value;
    } else {
        out.value_ptr = info->value;
        out.value_int = (int32_t)info->value;
    }
    return iov_copy_to(to, &out, sizeof(out));
}

static long signalfd_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    struct signalfd *s = file->private_data;
    struct siginfo info;
    long done = 0;
    if (to->left < sizeof(struct signalfd_siginfo))
        return -EINVAL;
    while (to->left >= sizeof(struct signalfd_siginfo)) {
        int err = signal_take(__atomic_load_n(&s->mask, __ATOMIC_RELAXED), &info);
        if (err == 0) {
            long n = put_siginfo(to, &info);
            if (n < 0)
                return done ? done : n;
            done += n;
            continue;
        }
        if (done)
            break;
        if (file_flags(file) & O_NONBLOCK)
            return -EAGAIN;
        err = fs_wait(&process_current()->wait, signal_waits, s, UINT64_MAX);
        if (err)
            return err;
    }
    return done;
}

static uint32_t signalfd_poll(struct file *file, struct poll_table *table)
{
    if (table)
        table->add(table, &process_current()->wait);
    return signal_waits(file->private_data) ? POLLIN | POLLRDNORM : 0;
}

static void signalfd_release(struct file *file)
{
    kfree(file->private_data);
}

static const struct file_ops signalfd_ops = {
    .name = "anon_inode:[signalfd]",
    .read = signalfd_read,
    .poll = signalfd_poll,
    .release = signalfd_release,
};

static long change_signalfd(uint64_t fd, uint64_t mask)
{
    struct file *file = file_arg_io(fd);
    if (!file)
        return -EBADF;
    long result = -EINVAL;
    if (file->ops == &signalfd_ops) {
        struct signalfd *s = file->private_data;
        __atomic_store_n(&s->mask, mask, __ATOMIC_RELAXED);
        waitq_wake_all(&process_current()->wait, 0);
        result = (int)fd;
    }
    file_put(file);
    return result;
}

static long do_signalfd(uint64_t fd, uint64_t mask_addr, uint64_t size, uint32_t flags)
{
    uint64_t mask;
    if (size != sizeof(mask) || (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK)))
        return -EINVAL;
    int err = copyin(&mask, uaddr(mask_addr), sizeof(mask));
    if (err)
        return err;
    mask &= ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
    if ((int)fd != -1)
        return change_signalfd(fd, mask);
    struct signalfd *s = kzalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->mask = mask;
    struct file *file = file_alloc(&signalfd_ops, O_RDWR | (flags & O_NONBLOCK), s);
    if (!file) {
        kfree(s);
        return -ENOMEM;
    }
    return install_file(file, flags & O_CLOEXEC);
}

long sys_signalfd(const struct syscall_args *a)
{
    return do_signalfd(a->arg[0], a->arg[1], a->arg[2], 0);
}

long sys_signalfd4(const struct syscall_args *a)
{
    return do_signalfd(a->arg[0], a->arg[1], a->arg[2], (uint32_t)a->arg[3]);
}
