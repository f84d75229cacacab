/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_file_name.c - system calls about names: mkdir, unlink, rename, link, symlink, chdir,
 * getdents. */
#include "fs/inotify.h"
#include "lib/string.h"
#include "linux/sys_file.h"
#include "mm/kmalloc.h"

#define CWD ((uint64_t)AT_FDCWD)

/* ---- make ---- */

static long do_make(uint64_t dfd, uint64_t path, uint32_t mode, uint64_t rdev)
{
    struct at_path p;
    int err = at_path_get(&p, dfd, path, 0);
    if (err)
        return err;
    err = vfs_make(current_fs(), p.start, p.text, mode, rdev);
    at_path_put(&p);
    return err;
}

long sys_mkdir(const struct syscall_args *a)
{
    return do_make(CWD, a->arg[0], S_IFDIR | ((uint32_t)a->arg[1] & 07777), 0);
}

long sys_mkdirat(const struct syscall_args *a)
{
    return do_make(a->arg[0], a->arg[1], S_IFDIR | ((uint32_t)a->arg[2] & 07777), 0);
}

static long do_mknod(uint64_t dfd, uint64_t path, uint32_t mode, uint64_t rdev)
{
    if ((mode & S_IFMT) == S_IFDIR)
        return -EPERM;
    if ((mode & S_IFMT) == 0)
        mode |= S_IFREG;
    return do_make(dfd, path, mode, (uint32_t)rdev);
}

long sys_mknod(const struct syscall_args *a)
{
    return do_mknod(CWD, a->arg[0], (uint32_t)a->arg[1], a->arg[2]);
}

long sys_mknodat(const struct syscall_args *a)
{
    return do_mknod(a->arg[0], a->arg[1], (uint32_t)a->arg[2], a->arg[3]);
}

static long do_symlink(uint64_t target, uint64_t dfd, uint64_t path)
{
    struct at_path to, p;
    int err = at_path_get(&to, CWD, target, 0); /* text only: it need not exist */
    if (err)
        return err;
    err = at_path_get(&p, dfd, path, 0);
    if (err == 0) {
        err = vfs_symlink(current_fs(), to.text, p.start, p.text);
        at_path_put(&p);
    }
    at_path_put(&to);
    return err;
}

long sys_symlink(const struct syscall_args *a)
{
    return do_symlink(a->arg[0], CWD, a->arg[1]);
}

long sys_symlinkat(const struct syscall_args *a)
{
    return do_symlink(a->arg[0], a->arg[1], a->arg[2]);
}

static long do_link(uint64_t from_fd, uint64_t from, uint64_t to_fd, uint64_t to, uint32_t flags)
{
    struct at_path p;
    struct dentry *dentry;
    if (flags & ~(uint32_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    int err = at_lookup(from_fd, from, flags, (flags & AT_SYMLINK_FOLLOW) ? LOOKUP_FOLLOW : 0,
                        &dentry, NULL);
    if (err)
        return err == -ENOTSUP ? -EXDEV : err;
    err = at_path_get(&p, to_fd, to, 0);
    if (err == 0) {
        err = vfs_link(current_fs(), dentry, p.start, p.text);
        at_path_put(&p);
    }
    dentry_put(dentry);
    return err;
}

long sys_link(const struct syscall_args *a)
{
    return do_link(CWD, a->arg[0], CWD, a->arg[1], 0);
}

long sys_linkat(const struct syscall_args *a)
{
    return do_link(a->arg[0], a->arg[1], a->arg[2], a->arg[3], (uint32_t)a->arg[4]);
}

/* ---- remove, rename ---- */

static long do_unlink(uint64_t dfd, uint64_t path, bool dir)
{
    struct at_path p;
    int err = at_path_get(&p, dfd, path, 0);
    if (err)
        return err;
    err = vfs_unlink(current_fs(), p.start, p.text, dir);
    at_path_put(&p);
    return err;
}

long sys_unlink(const struct syscall_args *a)
{
    return do_unlink(CWD, a->arg[0], false);
}

long sys_rmdir(const struct syscall_args *a)
{
    return do_unlink(CWD, a->arg[0], true);
}

long sys_unlinkat(const struct syscall_args *a)
{
    if (a->arg[2] & ~(uint64_t)AT_REMOVEDIR)
        return -EINVAL;
    return do_unlink(a->arg[0], a->arg[1], a->arg[2] & AT_REMOVEDIR);
}

static long do_rename(uint64_t from_fd, uint64_t from, uint64_t to_fd, uint64_t to, uint32_t flags)
{
    struct at_path old, fresh;
    if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) ||
        ((flags & RENAME_EXCHANGE) && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT))))
        return -EINVAL;
    if (flags & RENAME_WHITEOUT)
        return -EINVAL; /* for overlays, which we have not */
    int err = at_path_get(&old, from_fd, from, 0);
    if (err)
        return err;
    err = at_path_get(&fresh, to_fd, to, 0);
    if (err == 0) {
        err = vfs_rename(current_fs(), old.start, old.text, fresh.start, fresh.text, flags);
        at_path_put(&fresh);
    } else { /* but first comes what is wrong with the way to the old name */
        struct path_walk walk = {.ctx = current_fs(), .start = old.start, .flags = LOOKUP_PARENT};
        int first = path_walk(&walk, old.text);
        path_done(&walk);
        err = first ? first : err;
    }
    at_path_put(&old);
    return err;
}

long sys_rename(const struct syscall_args *a)
{
    return do_rename(CWD, a->arg[0], CWD, a->arg[1], 0);
}

long sys_renameat(const struct syscall_args *a)
{
    return do_rename(a->arg[0], a->arg[1], a->arg[2], a->arg[3], 0);
}

long sys_renameat2(const struct syscall_args *a)
{
    return do_rename(a->arg[0], a->arg[1], a->arg[2], a->arg[3], (uint32_t)a->arg[4]);
}

/* ---- read a link ---- */

static long do_readlink(uint64_t dfd, uint64_t path, uint64_t buf, int64_t size)
{
    struct at_path p;
    struct dentry *dentry;
    if ((int)size <= 0)
        return -EINVAL;
    int err = at_path_get(&p, dfd, path, AT_EMPTY_PATH);
    if (err)
        return err;
    long len = p.text[0] || p.file ? 0 : -ENOENT;
    if (len == 0)
        len = at_path_resolve(&p, 0, &dentry, NULL);
    at_path_put(&p);
    if (len)
        return len;
    char *text = kmalloc(PATH_MAX, ALLOC_DEFAULT);
    len = text ? vfs_readlink(dentry, text, MIN((size_t)(int)size, (size_t)PATH_MAX)) : -ENOMEM;
    if (len >= 0 && copyout(uaddr(buf), text, (size_t)len))
        len = -EFAULT;
    kfree(text);
    dentry_put(dentry);
    return len;
}

long sys_readlink(const struct syscall_args *a)
{
    return do_readlink(CWD, a->arg[0], a->arg[1], (int64_t)a->arg[2]);
}

long sys_readlinkat(const struct syscall_args *a)
{
    return do_readlink(a->arg[0], a->arg[1], a->arg[2], (int64_t)a->arg[3]);
}

/* ---- working directory ---- */

long sys_chdir(const struct syscall_args *a)
{
    struct at_path p;
    int err = at_path_get(&p, CWD, a->arg[0], 0);
    if (err)
        return err;
    err = fs_context_chdir(current_fs(), p.text);
    at_path_put(&p);
    return err;
}

long sys_fchdir(const struct syscall_args *a)
{
    struct file *file = file_arg(a->arg[0]);
    if (!file)
        return -EBADF;
    int err = file->dentry ? context_set_cwd(current_fs(), file->dentry) : -ENOTDIR;
    file_put(file);
    return err;
}

long sys_getcwd(const struct syscall_args *a)
{
    struct fs_context *ctx = current_fs();
    char *text = kmalloc(PATH_MAX, ALLOC_DEFAULT);
    if (!text)
        return -ENOMEM;
    struct dentry *cwd = context_cwd(ctx), *root = context_root(ctx);
    long len = dentry_path(cwd, root, text, PATH_MAX);
    if (len >= 0 && (inode_flags(cwd->inode) & INODE_DEAD))
        len = -ENOENT;
    if (len >= 0)
        len++; /* getcwd(2) counts the NUL */
    if (len > 0 && (uint64_t)len > a->arg[1])
        len = -ERANGE;
    if (len > 0 && copyout(uaddr(a->arg[0]), text, (size_t)len))
        len = -EFAULT;
    dentry_put(cwd);
    dentry_put(root);
    kfree(text);
    return len;
}

/* ---- directory listings ---- */

struct dirent_out {
    uint64_t addr, left, done;
    bool old; /* getdents: the type stands in the last byte */
    int err;
};

/* struct linux_dirent64: ino, off, reclen, type, name. struct linux_dirent: ino, off, reclen,
 * name, NUL, padding, type. */
static bool emit_dirent(void *arg, const char *name, size_t len, uint64_t ino, unsigned type,
                        off64_t next)
{
    struct dirent_out *out = arg;
    uint8_t record[24 + NAME_MAX + 1 + 8];
    size_t name_at = out->old ? 18 : 19;
    size_t size = (name_at + len + 1 + (out->old ? 1 : 0) + 7) & ~(size_t)7;
    uint16_t reclen = (uint16_t)size;
    if (size > out->left) {
        if (out->done == 0)
            out->err = -EINVAL;
        return false;
    }
    memset(record, 0, size);
    memcpy(record, &ino, 8);
    memcpy(record + 8, &next, 8);
    memcpy(record + 16, &reclen, 2);
    memcpy(record + name_at, name, len);
    record[out->old ? size - 1 : 18] = (uint8_t)type;
    if (copyout(uaddr(out->addr + out->done), record, size)) {
        out->err = -EFAULT;
        return false;
    }
    out->done += size;
    out->left -= size;
    return true;
}

static long do_getdents(const struct syscall_args *a, bool old)
{
    struct file *file = file_arg_io(a->arg[0]);
    if (!file)
        return -EBADF;
    struct dirent_out out = {.addr = a->arg[1], .left = (uint32_t)a->arg[2], .old = old};
    int err = -ENOTDIR;
    if (file->ops->readdir) {
        mutex_lock(&file->pos_lock);
        err = file->ops->readdir(file, &file->pos, emit_dirent, &out);
        mutex_unlock(&file->pos_lock);
        inotify_file(file, IN_ACCESS);
    }
    file_put(file);
    if (out.done > 0)
        return (long)out.done;
    return err ? err : out.err;
}

long sys_getdents(const struct syscall_args *a)
{
    return do_getdents(a, true);
}

long sys_getdents64(const struct syscall_args *a)
{
    return do_getdents(a, false);
}
