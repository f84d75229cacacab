/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_proc.c - system calls that make, change and end tasks and processes. */
#include "core/random.h"
#include "fs/context.h"
#include "fs/fcntl.h"
#include "fs/vfs.h"
#include "isa.h"
#include "lib/string.h"
#include "linux/pidfd.h"
#include "linux/sys_file.h"
#include "linux/uapi.h"
#include "mm/kmalloc.h"
#include "proc/clone.h"
#include "proc/internal.h"
#include "proc/stack.h"

/* ---- argument lists ---- */

#define STRV_MAX 0x10000 /* strings in one list; Linux is bounded by the stack limit instead */

#define STRV_BYTES_MAX (6u << 20) /* more never fits: ARG_BYTES_MAX in proc/exec.c */

struct strv {
    char **v; /* NULL-terminated */
    size_t count, room, bytes;
};

static void strv_free(struct strv *s)
{
    for (size_t i = 0; i < s->count; i++)
        kfree(s->v[i]);
    kfree(s->v);
}

static int strv_push(struct strv *s, char *text)
{
    if (s->count + 1 >= s->room) {
        size_t room = s->room ? s->room * 2 : 16;
        char **v = krealloc(s->v, room * sizeof *v, ALLOC_DEFAULT);
        if (!v)
            return -ENOMEM;
        s->v = v;
        s->room = room;
    }
    if (text)
        s->v[s->count++] = text;
    s->v[s->count] = NULL;
    return 0;
}

/* buf: STACK_STRING_MAX bytes to read strings into. */
static int strv_read(struct strv *s, uint64_t list, char *buf)
{
    int err = strv_push(s, NULL);
    for (size_t i = 0; list && !err; i++) {
        uint64_t addr;
        if (copyin(&addr, uaddr(list + i * sizeof addr), sizeof addr))
            return -EFAULT;
        if (!addr)
            break;
        if (i == STRV_MAX)
            return -E2BIG;
        long len = copyin_str(buf, uaddr(addr), STACK_STRING_MAX);
        if (len < 0)
            return len == -ENAMETOOLONG ? -E2BIG : (int)len;
        s->bytes += (size_t)len + 1;
        if (s->bytes > STRV_BYTES_MAX)
            return -E2BIG; /* before it takes the kernel's memory */
        char *text = kmalloc((size_t)len + 1, ALLOC_DEFAULT);
        if (!text)
            return -ENOMEM;
        memcpy(text, buf, (size_t)len + 1);
        err = strv_push(s, text);
        if (err)
            kfree(text);
    }
    return err;
}

static long exec(const char *path, struct file *file, uint64_t argv, uint64_t envp,
                 struct isa_frame *frame)
{
    struct strv args = {0}, env = {0};
    char *buf = kmalloc(STACK_STRING_MAX, ALLOC_DEFAULT);
    long err = buf ? 0 : -ENOMEM;
    if (!err)
        err = strv_read(&args, argv, buf);
    if (!err)
        err = strv_read(&env, envp, buf);
    kfree(buf);
    if (!err) {
        struct exec_request req = {.path = path, .file = file, .argv = args.v, .envp = env.v};
        err = exec_program(&req, frame, NULL, 0);
    }
    strv_free(&args);
    strv_free(&env);
    return err;
}

long sys_execve(const struct syscall_args *a)
{
    char *path = kmalloc(PATH_MAX, ALLOC_DEFAULT);
    if (!path)
        return -ENOMEM;
    long err = copyin_str(path, uaddr(a->arg[0]), PATH_MAX);
    if (err >= 0)
        err = path[0] ? exec(path, NULL, a->arg[1], a->arg[2], a->frame) : -ENOENT;
    kfree(path);
    return err;
}

/* The file that execveat names, open, and its path for the program. */
static long exec_at(const struct at_path *at, uint32_t flags, const struct syscall_args *a)
{
    struct dentry *dentry = NULL;
    struct file *file = NULL;
    char *path = kmalloc(PATH_MAX, ALLOC_DEFAULT);
    if (!path)
        return -ENOMEM;
    unsigned lookup = (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0) |
                      (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW);
    long err = at_path_resolve(at, lookup, &dentry, &file);
    if (err)
        goto out;
    if (file && file->dentry) { /* opened anew: it may be open for something else */
        dentry = file->dentry;
        dentry_get(dentry);
        file_put(file);
        file = NULL;
    }
    if (dentry) {
        err = dentry->inode && inode_is(dentry->inode, S_IFLNK) ? -ELOOP : 0;
        if (!err)
            err = vfs_open_exec(current_fs(), dentry, NULL, &file);
    }
    if (!err)
        err = file_path(file, path, PATH_MAX);
    if (err >= 0)
        err = exec(path, file, a->arg[2], a->arg[3], a->frame);
    if (file)
        file_put(file);
    if (dentry)
        dentry_put(dentry);
out:
    kfree(path);
    return err;
}

long sys_execveat(const struct syscall_args *a)
{
    uint32_t flags = (uint32_t)a->arg[4];
    struct at_path at;
    if (flags & ~(uint32_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    long err = at_path_get(&at, a->arg[0], a->arg[1], flags);
    if (err)
        return err;
    err = exec_at(&at, flags, a);
    at_path_put(&at);
    return err;
}

/* ---- clone ---- */

long sys_clone(const struct syscall_args *a)
{
    /* Arguments 3 and 4 stand in another order on arm64 (CONFIG_CLONE_BACKWARDS). */
    unsigned tls = ISA_CLONE_TLS_ARG, child = tls == 4 ? 3 : 4;
    struct clone_args args = {
        .flags = a->arg[0] & ~CSIGNAL & UINT32_MAX,
        .exit_signal = (int)(a->arg[0] & CSIGNAL),
        .stack = a->arg[1],
        .parent_tid = uaddr(a->arg[2]),
        .child_tid = uaddr(a->arg[child]),
        .pidfd = uaddr(a->arg[2]),
        .tls = a->arg[tls],
    };
    return process_clone(&args, a->frame);
}

struct uapi_clone_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    uint64_t set_tid, set_tid_size, cgroup;
};
#define CLONE_ARGS_SIZE_VER0 64

/* Bytes that this kernel does not know must be zero. */
static int tail_is_zero(uint64_t addr, uint64_t len)
{
    while (len) {
        uint8_t buf[64] = {0};
        size_t n = MIN(len, sizeof buf);
        if (copyin(buf, uaddr(addr), n))
            return -EFAULT;
        for (size_t i = 0; i < n; i++)
            if (buf[i])
                return -E2BIG;
        addr += n;
        len -= n;
    }
    return 0;
}

long sys_clone3(const struct syscall_args *a)
{
    struct uapi_clone_args in = {0};
    uint64_t size = a->arg[1];
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    int err = size > sizeof in ? tail_is_zero(a->arg[0] + sizeof in, size - sizeof in) : 0;
    if (err)
        return err;
    if (copyin(&in, uaddr(a->arg[0]), MIN(size, sizeof in)))
        return -EFAULT;
    if ((in.flags & (CSIGNAL | CLONE_DETACHED)) || in.flags >> 34 || in.exit_signal > NSIG)
        return -EINVAL;
    if (((in.flags & (CLONE_THREAD | CLONE_PARENT)) && in.exit_signal) ||
        (in.stack == 0) != (in.stack_size == 0) || (in.set_tid == 0) != (in.set_tid_size == 0))
        return -EINVAL;
    if (in.set_tid)
        return -EPERM;
    if (in.stack && !user_range_ok(uaddr(in.stack), in.stack_size))
        return -EINVAL;
    struct clone_args args = {
        .flags = in.flags,
        .pidfd = uaddr(in.pidfd),
        .child_tid = uaddr(in.child_tid),
        .parent_tid = uaddr(in.parent_tid),
        .exit_signal = (int)in.exit_signal,
        .stack = in.stack + in.stack_size,
        .tls = in.tls,
    };
    return process_clone(&args, a->frame);
}

/* ---- end ---- */

long sys_exit(const struct syscall_args *a)
{
    /* Other calls' sites are looked at when the call is done (entry.c). */
    if (isa_frame_trapped(a->frame))
        patch_site(a->frame);
    task_exit((int)a->arg[0]);
}

long sys_exit_group(const struct syscall_args *a)
{
    process_exit_group((int)(a->arg[0] & 0xff) << 8);
    task_exit(0);
}

/* There are no child processes. */
#define WNOHANG 1u
#define WUNTRACED 2u
#define WSTOPPED 2u
#define WEXITED 4u
#define WCONTINUED 8u
#define WNOWAIT 0x01000000u
#define WAIT_LINUX 0xe0000000u /* __WNOTHREAD, __WALL, __WCLONE */

long sys_wait4(const struct syscall_args *a)
{
    uint32_t options = (uint32_t)a->arg[2];
    if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | WAIT_LINUX))
        return -EINVAL;
    if ((int)a->arg[0] == INT_MIN)
        return -ESRCH;
    return -ECHILD;
}

long sys_waitid(const struct syscall_args *a)
{
    uint32_t options = (uint32_t)a->arg[3];
    int which = (int)a->arg[0], id = (int)a->arg[1];
    if (options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | WAIT_LINUX))
        return -EINVAL;
    if (!(options & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    enum { P_ALL, P_PID, P_PGID, P_PIDFD };
    if (which < P_ALL || which > P_PIDFD || (which == P_PID && id <= 0) ||
        ((which == P_PGID || which == P_PIDFD) && id < 0))
        return -EINVAL;
    struct file *file = NULL;
    if (which == P_PIDFD && !pidfd_get((uint32_t)id, &file))
        return -EBADF;
    if (file)
        file_put(file);
    return -ECHILD;
}

/* ---- threads ---- */

long sys_set_tid_address(const struct syscall_args *a)
{
    struct task *task = task_current();
    task->clear_child_tid = uaddr(a->arg[0]);
    return task->tid;
}

#define GRND_NONBLOCK 1u
#define GRND_RANDOM 2u
#define GRND_INSECURE 4u

long sys_getrandom(const struct syscall_args *a)
{
    uint32_t flags = (uint32_t)a->arg[2];
    uint64_t len = MIN(a->arg[1], (uint64_t)INT_MAX), done = 0;
    uint8_t buf[256];
    if ((flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) ||
        (flags & (GRND_INSECURE | GRND_RANDOM)) == (GRND_INSECURE | GRND_RANDOM))
        return -EINVAL;
    while (done < len) {
        size_t n = MIN(len - done, sizeof buf);
        random_bytes(buf, n);
        if (copyout(uaddr(a->arg[0] + done), buf, n))
            return done ? (long)done : -EFAULT;
        done += n;
        /* Long requests can be interrupted, as Linux's. */
        if (done < len && (done & 0xffff) == 0 && thread_interrupted())
            return (long)done;
    }
    return (long)done;
}
