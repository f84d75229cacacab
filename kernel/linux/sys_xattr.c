/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_xattr.c - the twelve system calls on extended attributes: get, set, list, remove, each by
 * path, by path without following a link, and by descriptor. */
#include "fs/inotify.h"
#include "fs/xattr.h"
#include "lib/string.h"
#include "linux/sys_file.h"
#include "mm/kmalloc.h"

enum way { BY_PATH, BY_LINK, BY_FD };

/* What the first argument names, with a reference. */
static int target(const struct syscall_args *a, enum way way, struct dentry **out)
{
    if (way == BY_FD) {
        struct file *file = file_arg_io(a->arg[0]);
        if (!file)
            return -EBADF;
        *out = file->dentry;
        if (*out)
            dentry_get(*out);
        file_put(file);
        return *out ? 0 : -EOPNOTSUPP;
    }
    return at_lookup((uint64_t)AT_FDCWD, a->arg[0], 0, way == BY_PATH ? LOOKUP_FOLLOW : 0, out,
                     NULL);
}

static int copyin_name(char name[XATTR_NAME_MAX + 1], uint64_t addr)
{
    long len = copyin_str(name, uaddr(addr), XATTR_NAME_MAX + 1);
    if (len == -ENAMETOOLONG || len == 0)
        return -ERANGE;
    return len < 0 ? (int)len : 0;
}

/* ---- get, list: a result of at most `size` bytes in a kernel buffer ---- */

static long do_get(const struct syscall_args *a, enum way way)
{
    char name[XATTR_NAME_MAX + 1];
    struct dentry *dentry;
    size_t size = (size_t)MIN(a->arg[3], (uint64_t)XATTR_VALUE_MAX);
    int err = target(a, way, &dentry);
    if (err)
        return err;
    long result = copyin_name(name, a->arg[1]);
    uint8_t *value = result == 0 && size > 0 ? kmalloc(size, ALLOC_DEFAULT) : NULL;
    if (result == 0)
        result =
            size > 0 && !value ? -ENOMEM : xattr_get(proc_cred(), dentry->inode, name, value, size);
    if (result > 0 && size > 0 && copyout(uaddr(a->arg[2]), value, (size_t)result))
        result = -EFAULT;
    kfree(value);
    dentry_put(dentry);
    return result;
}

static long do_list(const struct syscall_args *a, enum way way)
{
    struct dentry *dentry;
    size_t size = (size_t)MIN(a->arg[2], (uint64_t)XATTR_VALUE_MAX);
    int err = target(a, way, &dentry);
    if (err)
        return err;
    char *list = size > 0 ? kmalloc(size, ALLOC_DEFAULT) : NULL;
    long result = size > 0 && !list ? -ENOMEM : xattr_list(proc_cred(), dentry->inode, list, size);
    if (result > 0 && size > 0 && copyout(uaddr(a->arg[1]), list, (size_t)result))
        result = -EFAULT;
    kfree(list);
    dentry_put(dentry);
    return result;
}

/* ---- set, remove ---- */

static long set_value(struct dentry *dentry, const char *name, const struct syscall_args *a)
{
    size_t size = (size_t)a->arg[3];
    uint8_t *value = kmalloc(MAX(size, (size_t)1), ALLOC_DEFAULT);
    if (!value)
        return -ENOMEM;
    int err = copyin(value, uaddr(a->arg[2]), size);
    if (err == 0)
        err = xattr_set(proc_cred(), dentry->inode, name, value, size, (unsigned)a->arg[4]);
    kfree(value);
    return err;
}

static long do_set(const struct syscall_args *a, enum way way)
{
    char name[XATTR_NAME_MAX + 1];
    struct dentry *dentry;
    int err = target(a, way, &dentry);
    if (err)
        return err;
    long result = 0;
    if ((int)a->arg[4] & ~(int)(XATTR_CREATE | XATTR_REPLACE))
        result = -EINVAL;
    if (result == 0)
        result = copyin_name(name, a->arg[1]);
    if (result == 0)
        result = a->arg[3] > XATTR_VALUE_MAX ? -E2BIG : set_value(dentry, name, a);
    if (result == 0)
        inotify_report(dentry, IN_ATTRIB);
    dentry_put(dentry);
    return result;
}

static long do_remove(const struct syscall_args *a, enum way way)
{
    char name[XATTR_NAME_MAX + 1];
    struct dentry *dentry;
    int err = target(a, way, &dentry);
    if (err)
        return err;
    err = copyin_name(name, a->arg[1]);
    if (err == 0)
        err = xattr_remove(proc_cred(), dentry->inode, name);
    if (err == 0)
        inotify_report(dentry, IN_ATTRIB);
    dentry_put(dentry);
    return err;
}

long sys_getxattr(const struct syscall_args *a)
{
    return do_get(a, BY_PATH);
}

long sys_lgetxattr(const struct syscall_args *a)
{
    return do_get(a, BY_LINK);
}

long sys_fgetxattr(const struct syscall_args *a)
{
    return do_get(a, BY_FD);
}

long sys_setxattr(const struct syscall_args *a)
{
    return do_set(a, BY_PATH);
}

long sys_lsetxattr(const struct syscall_args *a)
{
    return do_set(a, BY_LINK);
}

long sys_fsetxattr(const struct syscall_args *a)
{
    return do_set(a, BY_FD);
}

long sys_listxattr(const struct syscall_args *a)
{
    return do_list(a, BY_PATH);
}

long sys_llistxattr(const struct syscall_args *a)
{
    return do_list(a, BY_LINK);
}

long sys_flistxattr(const struct syscall_args *a)
{
    return do_list(a, BY_FD);
}

long sys_removexattr(const struct syscall_args *a)
{
    return do_remove(a, BY_PATH);
}

long sys_lremovexattr(const struct syscall_args *a)
{
    return do_remove(a, BY_LINK);
}

long sys_fremovexattr(const struct syscall_args *a)
{
    return do_remove(a, BY_FD);
}
