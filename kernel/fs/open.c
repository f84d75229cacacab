/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * open.c - open(2): from a path and flags to a struct file.
 *
 * With O_CREAT the walk stops at the directory, and the last name is looked up (and if need be
 * made) under the directory's lock, so that two creators cannot both succeed with O_EXCL. A
 * symbolic link in that last place is followed by walking on from the directory with the link's
 * text.
 *
 * The struct file is allocated first, so that an open that fails for want of memory has neither
 * made nor cut a file.
 */
#include "fs/inotify.h"
#include "fs/vfs.h"

#include "core/assert.h"
#include "lib/string.h"
#include "mm/kmalloc.h"

struct open_how {
    struct fs_context *ctx;
    uint32_t flags, mode;
    unsigned resolve; /* LOOKUP_* restrictions of openat2 */
    unsigned links;
    bool exec;         /* to execute it: no other right is needed */
    struct file *file; /* what becomes the result; empty until make_file */
};

/* An O_PATH descriptor only names the file. */
static const struct file_ops path_file_ops = {.name = NULL};

static unsigned access_of_flags(uint32_t flags)
{
    static const unsigned want[] = {
        [O_RDONLY] = MAY_READ, [O_WRONLY] = MAY_WRITE, [O_RDWR] = MAY_READ | MAY_WRITE, [3] = 0};
    return want[flags & O_ACCMODE] | ((flags & O_TRUNC) ? MAY_WRITE : 0);
}

static int check_type(struct inode *inode, uint32_t flags)
{
    bool writes = access_of_flags(flags) & MAY_WRITE;
    switch (inode_mode(inode) & S_IFMT) {
    case S_IFLNK:
        return -ELOOP;
    case S_IFDIR:
        return writes || (flags & O_CREAT) ? -EISDIR : 0;
    case S_IFSOCK:
        return -ENXIO;
    case S_IFCHR:
    case S_IFBLK:
        return super_has(inode->super, MS_NODEV) ? -EACCES : 0;
    default:
        return 0;
    }
}

/* Root, too, needs one x bit (Linux: generic_permission). */
static int check_exec(struct inode *inode)
{
    if (!inode_is(inode, S_IFREG) || !(inode_mode(inode) & 0111) ||
        super_has(inode->super, MS_NOEXEC))
        return -EACCES;
    return inode_permission(proc_cred(), inode, MAY_EXEC);
}

static int check_open(const struct open_how *how, struct inode *inode)
{
    if (how->exec)
        return check_exec(inode);
    if ((how->flags & O_DIRECTORY) && !inode_is(inode, S_IFDIR))
        return -ENOTDIR;
    if (how->flags & O_PATH)
        return 0;
    int err = check_type(inode, how->flags);
    if (err)
        return err;
    err = inode_permission(proc_cred(), inode, access_of_flags(how->flags));
    if (err == 0 && (how->flags & O_NOATIME) && !cred_owns(proc_cred(), inode))
        err = -EPERM;
    return err;
}

/* Make how->file the open file of dentry; no checks. */
static int make_file(const struct open_how *how, struct dentry *dentry, struct file **out)
{
    struct inode *inode = dentry->inode;
    uint32_t flags = how->flags;
    struct file *file = how->file;
    file->flags = flags & ~(uint32_t)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    file->ops = (flags & O_PATH) ? &path_file_ops : inode->file_ops;
    inode_get(inode);
    dentry_get(dentry);
    file->inode = inode;
    file->dentry = dentry;
    super_use(inode->super);
    int err = file_begin_write(file);
    if (!err && !(flags & O_PATH) && inode->ops->open)
        err = inode->ops->open(inode, file);
    if (err == 0 && !file->ops)
        err = -ENXIO;
    if (err)
        file->ops = &path_file_ops; /* nothing was opened: release must not run */
    *out = file;
    return err;
}

static int open_found(const struct open_how *how, struct dentry *dentry, struct file **out)
{
    struct inode *inode = dentry->inode;
    int err = check_open(how, inode);
    if (err)
        return err;
    err = make_file(how, dentry, out);
    if (err == 0 && (how->flags & O_TRUNC) && inode_is(inode, S_IFREG) &&
        inode->ops == &ramfs_inode_ops)
        err = inode_truncate(inode, 0);
    if (err == 0 && (how->flags & O_TRUNC))
        inotify_file(*out, IN_MODIFY);
    return err;
}

static const struct file_ops unopened_ops = {.name = NULL};

/* Run an opening function with a fresh file; what it does not use goes away again. */
static int with_file(struct open_how *how, struct dentry *start, const char *path,
                     int (*open)(struct open_how *, struct dentry *, const char *, struct file **),
                     struct file **out)
{
    how->file = file_alloc(&unopened_ops, 0, NULL);
    if (!how->file)
        return -ENOMEM;
    struct file *file = NULL;
    int err = open(how, start, path, &file);
    if (err || file != how->file)
        file_put(how->file);
    if (err)
        return err;
    if (file == how->file) {
        file->opened = true;
        inotify_file(file, IN_OPEN);
    }
    *out = file;
    return 0;
}

static int open_start(struct open_how *how, struct dentry *start, const char *path,
                      struct file **out)
{
    return open_found(how, start, out);
}

/* A magic link led to a file without a dentry (a pipe, a host stream): Linux opens it anew; here
 * the description is shared, which differs only in the flags. */
static int open_magic(const struct open_how *how, struct path_walk *walk, struct file **out)
{
    unsigned have = access_of_flags(file_flags(walk->file) & O_ACCMODE);
    if (how->flags & O_DIRECTORY)
        return -ENOTDIR;
    if (walk->file->ops->nameless || (!walk->file->ops->read && !walk->file->ops->write))
        return -ENXIO;
    if (!(how->flags & O_PATH) && !how->exec && (access_of_flags(how->flags & O_ACCMODE) & ~have))
        return -EACCES;
    *out = walk->file;
    walk->file = NULL;
    return 0;
}

static int open_existing(struct open_how *how, struct dentry *start, const char *path,
                         struct file **out)
{
    struct path_walk walk = {.ctx = how->ctx, .start = start, .flags = how->resolve};
    if (!(how->flags & O_NOFOLLOW))
        walk.flags |= LOOKUP_FOLLOW;
    if (how->flags & O_DIRECTORY)
        walk.flags |= LOOKUP_DIRECTORY;
    walk.links = how->links;
    int err = path_walk(&walk, path);
    if (err == 0)
        err = walk.file ? open_magic(how, &walk, out) : open_found(how, walk.dentry, out);
    path_done(&walk);
    return err;
}

/* ---- O_CREAT ---- */

/* Find or make the last name. *created tells which. */
static int find_or_create(const struct open_how *how, struct path_walk *walk,
                          struct dentry **dentry, bool *created)
{
    struct inode *dir = walk->dentry->inode;
    *created = false;
    rwlock_read_lock(&vfs_tree);
    mutex_lock(&dir->lock);
    int err = path_child_locked(walk->dentry, walk->last, walk->last_len, dentry);
    if (err || (*dentry)->inode)
        goto out;
    err = (inode_flags(dir) & INODE_DEAD)
              ? -ENOENT
              : inode_permission(proc_cred(), dir, MAY_WRITE | MAY_EXEC);
    if (err == 0 && !dir->super->writable_tree)
        err = -EACCES;
    if (err)
        goto out;
    uint32_t perm = how->mode & 07777 & ~__atomic_load_n(&how->ctx->umask, __ATOMIC_RELAXED);
    struct inode *inode = ramfs_inode(dir->super, S_IFREG | perm, 0);
    if (!inode) {
        err = super_full(dir->super, 1) ? -ENOSPC : -ENOMEM;
        goto out;
    }
    inode_set_owner(inode, dir);
    dentry_instantiate(*dentry, inode);
    inode_touch(dir, true, true);
    inotify_report_name(dir, IN_CREATE, 0, walk->last, walk->last_len, false);
    *created = true;
out:
    mutex_unlock(&dir->lock);
    rwlock_read_unlock(&vfs_tree);
    return err;
}

/* What open does with a last name that exists. 1: it is a link to follow. */
static int open_last(const struct open_how *how, struct dentry *dentry, bool created,
                     struct file **out)
{
    if (created)
        return make_file(how, dentry, out);
    if (how->flags & O_EXCL)
        return -EEXIST;
    if (inode_is(dentry->inode, S_IFLNK) && !(how->flags & O_NOFOLLOW))
        return 1;
    return open_found(how, dentry, out);
}

/* The link's text as a path of its own, relative to the directory it stands in; or the file itself
 * for a magic link. */
static int open_through_link(struct open_how *how, struct dentry *dir, struct dentry *link,
                             char **text, struct file **out)
{
    if (++how->links > 40 || (how->resolve & LOOKUP_NO_SYMLINKS))
        return -ELOOP;
    struct inode *inode = link->inode;
    if (super_has(inode->super, MS_NOSYMFOLLOW))
        return -ELOOP;
    if (inode->ops->follow) {
        struct open_how plain = *how;
        plain.flags &= ~(uint32_t)(O_CREAT | O_EXCL);
        return open_existing(&plain, dir, link->name, out);
    }
    char *path = kmalloc(PATH_MAX, ALLOC_DEFAULT);
    if (!path)
        return -ENOMEM;
    long len = vfs_readlink(link, path, PATH_MAX - 1);
    if (len <= 0) {
        kfree(path);
        return len < 0 ? (int)len : -ENOENT;
    }
    path[len] = '\0';
    kfree(*text);
    *text = path;
    return 1;
}

/* One round; 1: *text holds the next path, to be walked from *dir (reference). */
static int create_round(struct open_how *how, struct dentry **dir, const char *path, char **text,
                        struct file **out)
{
    struct path_walk walk = {
        .ctx = how->ctx, .start = *dir, .flags = how->resolve | LOOKUP_PARENT, .links = how->links};
    struct dentry *dentry = NULL;
    bool created;
    int err = path_walk(&walk, path);
    if (err == 0 && walk.last_dots) /* it exists, and is a directory */
        err = (how->flags & O_EXCL) ? -EEXIST : -EISDIR;
    else if (err == 0 && walk.last_slash)
        err = -EISDIR;
    if (err == 0)
        err = find_or_create(how, &walk, &dentry, &created);
    if (err)
        goto out;
    how->links = walk.links;
    dentry = dentry_topmost(dentry);
    err = open_last(how, dentry, created, out);
    if (err == 1)
        err = open_through_link(how, walk.dentry, dentry, text, out);
    if (err == 1) {
        dentry_put(*dir);
        *dir = walk.dentry;
        walk.dentry = NULL;
    }
out:
    dentry_put(dentry);
    path_done(&walk);
    return err;
}

static int open_create(struct open_how *how, struct dentry *start, const char *path,
                       struct file **out)
{
    char *text = NULL;
    struct dentry *dir = start;
    if (dir)
        dentry_get(dir);
    int err;
    do {
        err = create_round(how, &dir, text ? text : path, &text, out);
        how->resolve &= ~LOOKUP_BOUNDED; /* said of the program's path, not of a link's */
    } while (err == 1);
    kfree(text);
    dentry_put(dir);
    return err;
}

static int open_tmpfile(const struct open_how *how, struct dentry *start, const char *path,
                        struct file **out)
{
    struct dentry *dir;
    if (!(access_of_flags(how->flags & O_ACCMODE) & MAY_WRITE))
        return -EINVAL;
    int err =
        path_lookup(how->ctx, start, path, how->resolve | LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &dir);
    if (err)
        return err;
    err = inode_permission(proc_cred(), dir->inode, MAY_WRITE | MAY_EXEC);
    if (err == 0 && !dir->inode->super->writable_tree)
        err = -ENOTSUP;
    uint32_t perm = how->mode & 07777 & ~__atomic_load_n(&how->ctx->umask, __ATOMIC_RELAXED);
    if (err == 0)
        err = ramfs_tmpfile(dir->inode->super, NULL, S_IFREG | perm, how->flags, out);
    if (err == 0) {
        (*out)->inode->uid = proc_cred()->fsuid;
        (*out)->inode->gid = proc_cred()->fsgid;
    }
    dentry_put(dir);
    return err;
}

int vfs_open(struct fs_context *ctx, struct dentry *start, const char *path, uint32_t flags,
             uint32_t mode, unsigned resolve, struct file **out)
{
    struct open_how how = {.ctx = ctx, .flags = flags, .mode = mode, .resolve = resolve};
    if (flags & O_PATH)
        how.flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    how.flags |= O_LARGEFILE; /* Linux sets it for every 64-bit caller */
    if (flags & O_PATH)
        how.flags &= ~(uint32_t)O_LARGEFILE;
    if ((how.flags & O_TMPFILE) == O_TMPFILE)
        return open_tmpfile(&how, start, path, out);
    if ((how.flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
        return -EINVAL;
    return with_file(&how, start, path, (how.flags & O_CREAT) ? open_create : open_existing, out);
}

int vfs_open_exec(struct fs_context *ctx, struct dentry *start, const char *path, struct file **out)
{
    struct open_how how = {.ctx = ctx, .flags = O_RDONLY | O_LARGEFILE, .exec = true};
    return with_file(&how, start, path, path ? open_existing : open_start, out);
}

int fs_open(struct fs_context *ctx, const char *path, uint32_t flags, uint32_t mode,
            struct file **out)
{
    return vfs_open(ctx, NULL, path, flags, mode, 0, out);
}
