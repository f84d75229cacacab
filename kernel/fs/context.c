/* SPDX-License-Identifier: BSD-3-Clause */
/* context.c - who asks (root, cwd, umask, identity), and the boot of the file systems. */
#include "core/assert.h"
#include "core/log.h"
#include "fs/console.h"
#include "fs/epoll.h"
#include "fs/eventfd.h"
#include "fs/inotify.h"
#include "fs/locks.h"
#include "fs/vfs.h"
#include "lib/string.h"
#include "mm/kmalloc.h"

/* A context's reference on a directory keeps its file system busy. */
static struct dentry *use_dir(struct dentry *dir)
{
    dentry_get(dir);
    super_use(dir->inode->super);
    return dir;
}

static void unuse_dir(struct dentry *dir)
{
    super_unuse(dir->inode->super);
    dentry_put(dir);
}

struct fs_context *fs_context_create(void)
{
    struct fs_context *ctx = kzalloc(sizeof(*ctx));
    if (!ctx)
        return NULL;
    ref_init(&ctx->refs);
    spin_init(&ctx->lock, RANK_FDTABLE);
    ctx->root = use_dir(vfs_root);
    ctx->cwd = use_dir(vfs_root);
    ctx->umask = 022;
    return ctx;
}

struct fs_context *fs_context_clone(struct fs_context *ctx)
{
    struct fs_context *copy = kzalloc(sizeof(*copy));
    if (!copy)
        return NULL;
    ref_init(&copy->refs);
    spin_init(&copy->lock, RANK_FDTABLE);
    spin_lock(&ctx->lock);
    copy->root = use_dir(ctx->root);
    copy->cwd = use_dir(ctx->cwd);
    spin_unlock(&ctx->lock);
    copy->umask = __atomic_load_n(&ctx->umask, __ATOMIC_RELAXED);
    return copy;
}

void fs_context_get(struct fs_context *ctx)
{
    ref_get(&ctx->refs);
}

void fs_context_put(struct fs_context *ctx)
{
    if (!ctx || !ref_put(&ctx->refs))
        return;
    unuse_dir(ctx->root);
    unuse_dir(ctx->cwd);
    kfree(ctx);
}

static void set_dir(struct fs_context *ctx, struct dentry **place, struct dentry *dir)
{
    use_dir(dir);
    spin_lock(&ctx->lock);
    struct dentry *old = *place;
    *place = dir;
    spin_unlock(&ctx->lock);
    unuse_dir(old);
}

int context_set_cwd(struct fs_context *ctx, struct dentry *dir)
{
    if (!inode_is(dir->inode, S_IFDIR))
        return -ENOTDIR;
    int err = inode_permission(proc_cred(), dir->inode, MAY_EXEC);
    if (err)
        return err;
    set_dir(ctx, &ctx->cwd, dir);
    return 0;
}

int fs_context_chdir(struct fs_context *ctx, const char *path)
{
    struct dentry *dir;
    int err = path_lookup(ctx, NULL, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &dir);
    if (err)
        return err;
    err = context_set_cwd(ctx, dir);
    dentry_put(dir);
    return err;
}

int fs_context_chroot(struct fs_context *ctx, const char *path)
{
    struct dentry *dir;
    int err = path_lookup(ctx, NULL, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &dir);
    if (err)
        return err;
    err = inode_permission(proc_cred(), dir->inode, MAY_EXEC);
    if (!err && proc_cred()->euid != 0)
        err = -EPERM;
    if (!err)
        set_dir(ctx, &ctx->root, dir);
    dentry_put(dir);
    return err;
}

/* ---- boot ---- */

/* The directory `name` in the root, made if the archive has none. With a reference. */
static int boot_dir(const char *name, struct dentry **out)
{
    *out = dentry_lookup(vfs_root, name, strlen(name));
    if (*out && (*out)->inode)
        return 0;
    dentry_put(*out);
    struct inode *inode = ramfs_inode(vfs_root->inode->super, S_IFDIR | 0755, 0);
    int err = inode ? vfs_add(vfs_root, name, strlen(name), inode, out) : -ENOMEM;
    inode_put(inode);
    return err;
}

static int mount_at(const char *name, struct super *super)
{
    struct dentry *dir;
    if (!super)
        return -ENOMEM; /* boot fails: nothing to give back */
    int err = boot_dir(name, &dir);
    if (err)
        return err;
    err = super_mount(super, dir);
    dentry_put(dir);
    return err;
}

static int mount_dev(void)
{
    struct dentry *dir;
    int err = boot_dir("dev", &dir);
    if (err)
        return err;
    err = devfs_mount(dir);
    dentry_put(dir);
    return err;
}

/* /tmp: a directory of the root that everyone may write to, whatever the archive says. */
static int make_tmp(void)
{
    struct dentry *dir;
    int err = boot_dir("tmp", &dir);
    if (err)
        return err;
    if (inode_is(dir->inode, S_IFDIR))
        dir->inode->mode = S_IFDIR | 01777;
    dentry_put(dir);
    err = boot_dir("run", &dir);
    if (err == 0)
        dentry_put(dir);
    return err;
}

static int make_root(void)
{
    struct super *root = ramfs_create("ramfs", "rootfs", 0755);
    vfs_anon_super = ramfs_create("tmpfs", "none", 0700);
    if (!root || !vfs_anon_super)
        return -ENOMEM;
    vfs_root = root->root;
    return super_mount(root, NULL);
}

int fs_init(const void *initrd, size_t len)
{
    rwlock_init(&vfs_tree, RANK_RENAME);
    mounts_init();
    dentry_init_cache();
    epoll_init();
    locks_init();
    inotify_init();
    timerfd_init();
    int err = make_root();
    if (err == 0)
        err = memfd_init();
    if (err == 0 && initrd)
        err = initrd_unpack(initrd, len, vfs_root);
    if (err == 0)
        err = mount_dev();
    if (err == 0)
        err = mount_at("proc", procfs_create("proc"));
    if (err == 0)
        err = mount_at("sys", sysfs_create("sysfs"));
    if (err == 0)
        err = make_tmp();
    if (err == 0)
        err = console_init();
    if (err)
        log_error("fs: cannot set up the root file system: error %d", err);
    return err;
}
