/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_mount.c - mount, umount2, chroot. */
#include "linux/sys_file.h"
#include "mm/kmalloc.h"

#define CWD ((uint64_t)AT_FDCWD)

/* A string argument that may be missing: *out is NULL then. */
static int copyin_optional(uint64_t addr, size_t size, char **out)
{
    *out = NULL;
    if (!addr)
        return 0;
    char *text = kmalloc(size, ALLOC_DEFAULT);
    if (!text)
        return -ENOMEM;
    long len = copyin_str(text, uaddr(addr), size);
    if (len < 0) {
        kfree(text);
        return len == -ENAMETOOLONG ? -EINVAL : (int)len;
    }
    *out = text;
    return 0;
}

long sys_mount(const struct syscall_args *a)
{
    char *source, *type = NULL, *data = NULL;
    struct at_path target;
    int err = copyin_optional(a->arg[0], PATH_MAX, &source);
    if (!err)
        err = copyin_optional(a->arg[2], PATH_MAX, &type);
    if (!err)
        err = copyin_optional(a->arg[4], PAGE_SIZE, &data);
    if (!err)
        err = at_path_get(&target, CWD, a->arg[1], 0);
    if (!err) {
        err = vfs_mount(current_fs(), source, target.text, type, (uint32_t)a->arg[3], data);
        at_path_put(&target);
    }
    kfree(source);
    kfree(type);
    kfree(data);
    return err;
}

long sys_umount2(const struct syscall_args *a)
{
    struct at_path p;
    int err = at_path_get(&p, CWD, a->arg[0], 0);
    if (err)
        return err;
    err = vfs_umount(current_fs(), p.text, (uint32_t)a->arg[1]);
    at_path_put(&p);
    return err;
}

long sys_chroot(const struct syscall_args *a)
{
    struct at_path p;
    int err = at_path_get(&p, CWD, a->arg[0], 0);
    if (err)
        return err;
    err = fs_context_chroot(current_fs(), p.text);
    at_path_put(&p);
    return err;
}
