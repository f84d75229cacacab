/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * namei.c - making, removing and renaming names.
 *
 * Every operation walks to the directory without locks, then takes vfs_tree and the directory's
 * lock and looks at everything again. Operations on one directory hold vfs_tree for reading;
 * rename and rmdir, which concern two, hold it for writing and need no directory lock. A
 * directory that was removed meanwhile is marked INODE_DEAD and refuses new names with ENOENT.
 *
 * Only memory file systems (super->writable_tree) have changeable names so far.
 */
#include "fs/inotify.h"
#include "fs/vfs.h"

#include "core/assert.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "sched/timer.h"

static bool dir_dead(const struct inode *dir)
{
    return inode_flags(dir) & INODE_DEAD;
}

static int may_create(const struct fs_cred *cred, struct inode *dir)
{
    if (dir_dead(dir))
        return -ENOENT;
    return inode_permission(cred, dir, MAY_WRITE | MAY_EXEC);
}

/* May the caller remove victim from dir? `is_dir`: it asked for a directory (rmdir). */
static int may_delete(const struct fs_cred *cred, struct inode *dir, struct dentry *victim,
                      bool is_dir)
{
    struct inode *inode = victim->inode;
    if (!inode)
        return -ENOENT;
    int err = inode_permission(cred, dir, MAY_WRITE | MAY_EXEC);
    if (err)
        return err;
    if ((inode_mode(dir) & S_ISVTX) && !cred_owns(cred, inode) && !cred_owns(cred, dir))
        return -EPERM;
    if (!dir->super->writable_tree)
        return -EPERM;
    if (is_dir) {
        if (!inode_is(inode, S_IFDIR))
            return -ENOTDIR;
        if (victim->parent == victim || __atomic_load_n(&victim->mounted, __ATOMIC_RELAXED))
            return -EBUSY;
    } else if (inode_is(inode, S_IFDIR)) {
        return -EISDIR;
    }
    return 0;
}

static void nlink_add(struct inode *inode, uint32_t delta)
{
    /* Also atomic, because rename (vfs_tree for writing) changes it without the inode's lock. */
    __atomic_fetch_add(&inode->nlink, delta, __ATOMIC_RELAXED);
}

/* Owner, group and mode of something new in dir. */
static struct inode *make_inode(struct fs_context *ctx, struct inode *dir, uint32_t mode,
                                uint64_t rdev)
{
    struct inode *inode = ramfs_inode(dir->super, mode, rdev);
    if (!inode)
        return NULL;
    inode_set_owner(inode, dir);
    return inode;
}

/* dir's lock held; takes the inode's reference over. */
static void add_name_locked(struct inode *dir, struct dentry *dentry, struct inode *inode)
{
    dentry_instantiate(dentry, inode);
    if (inode_is(inode, S_IFDIR))
        nlink_add(dir, 1);
    inode_touch(dir, true, true);
    inotify_report_name(dir, IN_CREATE, 0, dentry->name, dentry->name_len,
                        inode_is(inode, S_IFDIR));
}

int vfs_add(struct dentry *dir, const char *name, size_t len, struct inode *inode,
            struct dentry **out)
{
    if (len == 0 || len > NAME_MAX)
        return -EINVAL;
    struct dentry *dentry = NULL;
    rwlock_read_lock(&vfs_tree);
    mutex_lock(&dir->inode->lock);
    int err = path_child_locked(dir, name, len, &dentry);
    if (err == 0 && dentry->inode)
        err = -EEXIST;
    if (err == 0) {
        inode_get(inode);
        add_name_locked(dir->inode, dentry, inode);
    }
    mutex_unlock(&dir->inode->lock);
    rwlock_read_unlock(&vfs_tree);
    if (err == 0 && out)
        *out = dentry;
    else
        dentry_put(dentry);
    return err;
}

/* ---- mkdir, mknod, symlink, link ---- */

/* Walk to the place of a new name. On success the locks are held and *dentry is negative. */
static int begin_new(struct path_walk *walk, const char *path, bool is_dir, struct dentry **dentry)
{
    *dentry = NULL;
    int err = path_walk(walk, path);
    if (err)
        return err;
    if (walk->last_dots)
        return -EEXIST;
    struct inode *dir = walk->dentry->inode;
    rwlock_read_lock(&vfs_tree);
    mutex_lock(&dir->lock);
    err = path_child_locked(walk->dentry, walk->last, walk->last_len, dentry);
    if (err)
        goto out;
    if ((*dentry)->inode)
        err = -EEXIST;
    else if (walk->last_slash && !is_dir)
        err = -ENOENT;
    else
        err = may_create(proc_cred(), dir);
    if (err == 0 && !dir->super->writable_tree)
        err = -EPERM;
    if (err == 0)
        return 0;
out:
    mutex_unlock(&dir->lock);
    rwlock_read_unlock(&vfs_tree);
    return err;
}

static void end_new(struct path_walk *walk)
{
    mutex_unlock(&walk->dentry->inode->lock);
    rwlock_read_unlock(&vfs_tree);
}

static int check_make(const struct fs_cred *cred, uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    case S_IFCHR:
    case S_IFBLK:
        return cred->fsuid == 0 ? 0 : -EPERM;
    default:
        return -EINVAL;
    }
}

int vfs_make_inode(struct fs_context *ctx, struct dentry *start, const char *path, uint32_t mode,
                   uint64_t rdev, struct inode **out)
{
    struct path_walk walk = {.ctx = ctx, .start = start, .flags = LOOKUP_PARENT};
    struct dentry *dentry = NULL;
    bool is_dir = (mode & S_IFMT) == S_IFDIR;
    int err = begin_new(&walk, path, is_dir, &dentry);
    if (err)
        goto out;
    err = check_make(proc_cred(), mode);
    struct inode *inode = NULL;
    if (err == 0) {
        uint32_t kept = is_dir ? 01777 : 07777;
        uint32_t perm = mode & kept & ~__atomic_load_n(&ctx->umask, __ATOMIC_RELAXED);
        inode = make_inode(ctx, walk.dentry->inode, (mode & S_IFMT) | perm, rdev);
        err = inode ? 0 : super_full(walk.dentry->inode->super, 1) ? -ENOSPC : -ENOMEM;
    }
    if (err == 0 && out) {
        inode_get(inode);
        *out = inode;
    }
    if (err == 0)
        add_name_locked(walk.dentry->inode, dentry, inode);
    end_new(&walk);
out:
    dentry_put(dentry);
    path_done(&walk);
    return err;
}

int vfs_make(struct fs_context *ctx, struct dentry *start, const char *path, uint32_t mode,
             uint64_t rdev)
{
    return vfs_make_inode(ctx, start, path, mode, rdev, NULL);
}

int vfs_symlink(struct fs_context *ctx, const char *target, struct dentry *start, const char *path)
{
    struct path_walk walk = {.ctx = ctx, .start = start, .flags = LOOKUP_PARENT};
    struct dentry *dentry = NULL;
    size_t len = strlen(target);
    if (len == 0)
        return -ENOENT;
    char *text = kstrdup(target, ALLOC_DEFAULT);
    if (!text)
        return -ENOMEM;
    int err = begin_new(&walk, path, false, &dentry);
    if (err)
        goto out;
    struct inode *inode = make_inode(ctx, walk.dentry->inode, S_IFLNK | 0777, 0);
    if (inode) {
        inode->target = text;
        inode->object.size = len;
        text = NULL;
        add_name_locked(walk.dentry->inode, dentry, inode);
    } else {
        err = super_full(walk.dentry->inode->super, 1) ? -ENOSPC : -ENOMEM;
    }
    end_new(&walk);
out:
    kfree(text);
    dentry_put(dentry);
    path_done(&walk);
    return err;
}

int vfs_link(struct fs_context *ctx, struct dentry *old, struct dentry *start, const char *path)
{
    struct path_walk walk = {.ctx = ctx, .start = start, .flags = LOOKUP_PARENT};
    struct dentry *dentry = NULL;
    int err = begin_new(&walk, path, false, &dentry);
    if (err)
        goto out;
    struct inode *inode = old->inode, *dir = walk.dentry->inode;
    if (inode->super != dir->super)
        err = -EXDEV;
    else if (inode_is(inode, S_IFDIR))
        err = -EPERM;
    else if (!inode->nlink && !(inode_flags(inode) & INODE_LINKABLE))
        err = -ENOENT; /* its last name is gone; only O_TMPFILE files may come back */
    if (err == 0) {
        inode_get(inode);
        mutex_lock(&inode->lock);
        nlink_add(inode, 1);
        inode_touch(inode, false, true);
        mutex_unlock(&inode->lock);
        inotify_report_inode(inode, IN_ATTRIB);
        add_name_locked(dir, dentry, inode);
    }
    end_new(&walk);
out:
    dentry_put(dentry);
    path_done(&walk);
    return err;
}

/* ---- unlink, rmdir ---- */

/* The name goes; what it named may live on in open files. vfs_tree held. `told`: watches of the
 * directory hear of it (a rename tells them itself). */
static void drop_name(struct inode *dir, struct dentry *victim, bool told)
{
    struct inode *inode = victim->inode;
    if (inode_is(inode, S_IFDIR)) {
        __atomic_fetch_or(&inode->flags, INODE_DEAD, __ATOMIC_RELAXED);
        nlink_add(inode, (uint32_t)-2);
        nlink_add(dir, (uint32_t)-1);
    } else {
        nlink_add(inode, (uint32_t)-1);
    }
    inode_touch(inode, false, true);
    inode_touch(dir, true, true);
    if (!inode_is(inode, S_IFDIR))
        inotify_report_inode(inode, IN_ATTRIB); /* its link count */
    if (told)
        inotify_report_name(dir, IN_DELETE, 0, victim->name, victim->name_len,
                            inode_is(inode, S_IFDIR));
    dentry_remove(victim);
}

static int unlink_file(struct path_walk *walk)
{
    struct inode *dir = walk->dentry->inode;
    struct dentry *victim = NULL;
    if (walk->last_dots)
        return -EISDIR;
    rwlock_read_lock(&vfs_tree);
    mutex_lock(&dir->lock);
    int err = path_child_locked(walk->dentry, walk->last, walk->last_len, &victim);
    if (err)
        goto out;
    if (walk->last_slash && victim->inode && !inode_is(victim->inode, S_IFDIR))
        err = -ENOTDIR;
    else
        err = may_delete(proc_cred(), dir, victim, false);
    if (err == 0)
        drop_name(dir, victim, true);
out:
    mutex_unlock(&dir->lock);
    rwlock_read_unlock(&vfs_tree);
    dentry_put(victim);
    return err;
}

static int remove_dir(struct path_walk *walk)
{
    struct inode *dir = walk->dentry->inode;
    struct dentry *victim = NULL;
    if (walk->last_dots) /* "/", ".", ".." */
        return walk->last_len == 0 ? -EBUSY : walk->last_len == 1 ? -EINVAL : -ENOTEMPTY;
    rwlock_write_lock(&vfs_tree);
    int err = path_child_locked(walk->dentry, walk->last, walk->last_len, &victim);
    if (err)
        goto out;
    err = may_delete(proc_cred(), dir, victim, true);
    if (err == 0 && dentry_has_children(victim))
        err = -ENOTEMPTY;
    if (err == 0)
        drop_name(dir, victim, true);
out:
    rwlock_write_unlock(&vfs_tree);
    dentry_put(victim);
    return err;
}

int vfs_unlink(struct fs_context *ctx, struct dentry *start, const char *path, bool dir)
{
    struct path_walk walk = {.ctx = ctx, .start = start, .flags = LOOKUP_PARENT};
    int err = path_walk(&walk, path);
    if (err == 0)
        err = dir ? remove_dir(&walk) : unlink_file(&walk);
    path_done(&walk);
    return err;
}

/* ---- rename ---- */

struct rename {
    struct path_walk from, to;
    struct dentry *source, *target; /* target may be negative */
    unsigned flags;
};

/* What can be said without asking for permission; the order of the errors is Linux's. */
static int rename_check_names(struct rename *r)
{
    struct inode *from = r->source->inode, *to = r->target->inode;
    bool exchange = r->flags & RENAME_EXCHANGE;
    if ((r->flags & RENAME_NOREPLACE) && to)
        return -EEXIST;
    if (exchange && !to)
        return -ENOENT;
    if (exchange && !inode_is(to, S_IFDIR) && r->to.last_slash)
        return -ENOTDIR;
    if (!inode_is(from, S_IFDIR) && (r->from.last_slash || (!exchange && r->to.last_slash)))
        return -ENOTDIR;
    /* A directory must not be moved below itself. */
    if (dentry_is_ancestor(r->source, r->to.dentry))
        return -EINVAL;
    if (dentry_is_ancestor(r->target, r->from.dentry))
        return exchange ? -EINVAL : -ENOTEMPTY;
    return 0;
}

static int rename_check_source(struct rename *r)
{
    const struct fs_cred *cred = proc_cred();
    struct inode *inode = r->source->inode;
    bool is_dir = inode_is(inode, S_IFDIR);
    int err = may_delete(cred, r->from.dentry->inode, r->source, is_dir);
    /* Its ".." changes. */
    if (err == 0 && is_dir && r->from.dentry != r->to.dentry)
        err = inode_permission(cred, inode, MAY_WRITE);
    return err;
}

static int rename_check_target(struct rename *r)
{
    struct inode *dir = r->to.dentry->inode, *inode = r->target->inode;
    const struct fs_cred *cred = proc_cred();
    if (!inode)
        return may_create(cred, dir);
    bool is_dir = inode_is(inode, S_IFDIR);
    if (r->flags & RENAME_EXCHANGE)
        return may_delete(cred, dir, r->target, is_dir);
    int err = may_delete(cred, dir, r->target, inode_is(r->source->inode, S_IFDIR));
    if (err)
        return err;
    return is_dir && dentry_has_children(r->target) ? -ENOTEMPTY : 0;
}

static void report_move(struct inode *from, const struct path_walk *old, struct inode *to,
                        const struct path_walk *new, struct inode *moved)
{
    uint32_t cookie = inotify_cookie();
    bool is_dir = inode_is(moved, S_IFDIR);
    inotify_report_name(from, IN_MOVED_FROM, cookie, old->last, old->last_len, is_dir);
    inotify_report_name(to, IN_MOVED_TO, cookie, new->last, new->last_len, is_dir);
    inotify_report_inode(moved, IN_MOVE_SELF);
}

static void rename_act(struct rename *r)
{
    struct inode *from = r->from.dentry->inode, *to = r->to.dentry->inode;
    struct inode *moved = r->source->inode, *other = r->target->inode;
    bool moved_dir = inode_is(moved, S_IFDIR);
    if (r->flags & RENAME_EXCHANGE) {
        bool other_dir = inode_is(other, S_IFDIR);
        nlink_add(from, (uint32_t)other_dir - (uint32_t)moved_dir);
        nlink_add(to, (uint32_t)moved_dir - (uint32_t)other_dir);
        inode_touch(other, false, true);
        dentry_exchange(r->source, r->target);
    } else {
        if (moved_dir) {
            nlink_add(from, (uint32_t)-1);
            nlink_add(to, 1);
        }
        dentry_move(r->source, r->target);
    }
    inode_touch(moved, false, true);
    inode_touch(from, true, true);
    inode_touch(to, true, true);
    if (inotify_used()) {
        report_move(from, &r->from, to, &r->to, moved);
        if (r->flags & RENAME_EXCHANGE)
            report_move(to, &r->to, from, &r->from, other);
    }
}

/* vfs_tree held for writing. A replaced dentry keeps its own name for " (deleted)": the storage of
 * the new name then comes from a spare. */
static int rename_locked(struct rename *r)
{
    int err = path_child_locked(r->from.dentry, r->from.last, r->from.last_len, &r->source);
    if (err == 0 && !r->source->inode)
        err = -ENOENT;
    if (err == 0)
        err = path_child_locked(r->to.dentry, r->to.last, r->to.last_len, &r->target);
    if (err == 0)
        err = rename_check_names(r);
    if (err || r->source->inode == r->target->inode) /* two names of one file: nothing to do */
        return err;
    err = rename_check_source(r);
    if (err == 0)
        err = rename_check_target(r);
    if (err)
        return err;
    if (r->target->inode && !(r->flags & RENAME_EXCHANGE)) {
        struct dentry *spare = dentry_alloc(r->to.dentry, r->to.last, r->to.last_len);
        if (!spare)
            return -ENOMEM;
        drop_name(r->to.dentry->inode, r->target, false);
        dentry_put(r->target);
        r->target = spare;
    }
    rename_act(r);
    return 0;
}

int vfs_rename(struct fs_context *ctx, struct dentry *old_start, const char *old_path,
               struct dentry *new_start, const char *new_path, unsigned flags)
{
    struct rename r = {
        .from = {.ctx = ctx, .start = old_start, .flags = LOOKUP_PARENT},
        .to = {.ctx = ctx, .start = new_start, .flags = LOOKUP_PARENT},
        .flags = flags,
    };
    int err = path_walk(&r.from, old_path);
    if (err)
        goto out_from;
    err = path_walk(&r.to, new_path);
    if (err)
        goto out;
    if (r.from.dentry->inode->super != r.to.dentry->inode->super)
        err = -EXDEV;
    else if (r.from.last_dots)
        err = -EBUSY;
    else if (r.to.last_dots)
        err = (flags & RENAME_NOREPLACE) ? -EEXIST : -EBUSY;
    if (err)
        goto out;
    rwlock_write_lock(&vfs_tree);
    err = rename_locked(&r);
    rwlock_write_unlock(&vfs_tree);
    dentry_put(r.source);
    dentry_put(r.target);
out:
    path_done(&r.to);
out_from:
    path_done(&r.from);
    return err;
}
