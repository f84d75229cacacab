/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mount.c - the tree of mounts: where file systems stand, who uses them, how they go.
 *
 * A super is a file system and its one mount. Each inode refers to its super, so a super outlives
 * what lies in it; one more reference is its own until drop_names. `users` counts what Linux's
 * umount(2) calls busy: open files (O_PATH, too), roots and working directories, mappings. A path
 * walk that is under way is no user: it has a dentry, which stays valid, and finds removed
 * directories where the file system is gone.
 *
 * Invariants, changed under vfs_tree for writing:
 *  1. mounted <=> on vfs_supers <=> covered->mounted == super (but the root, which covers nothing);
 *  2. `covered` has a reference of the mount; it and dentry->mounted also change under
 *     vfs_dentry_lock, so walks cross mounts with that lock alone;
 *  3. what is unmounted has no mounts in it: umount refuses, MNT_DETACH takes them along.
 * A detached file system with users waits on `detached_list`; the end of the last use queues a work
 * that drops its names. Whoever detaches stores `detached`, then looks at `users`; a use that ends
 * lowers `users`, then looks at `detached`: all four sequentially consistent, so one of the two
 * sees the other. The same holds for `writers` and MS_RDONLY.
 */
#include "fs/vfs.h"

#include "core/assert.h"
#include "lib/string.h"
#include "mm/hugetlb.h"
#include "mm/kmalloc.h"
#include "sched/work.h"

#define NAMES_AT_ONCE 256 /* removed under one hold of vfs_tree */

struct list vfs_supers = {&vfs_supers, &vfs_supers};
static struct list detached_list = {&detached_list, &detached_list}; /* vfs_tree */
static struct work reap_work;

/* ---- life ---- */

void super_put(struct super *super)
{
    if (!ref_put(&super->refs))
        return;
    hugetlb_quota_end(&super->quota);
    kfree(super->own_source);
    kfree(super);
}

/* The first name found that has none below it, with a reference; NULL: all are gone. */
static struct dentry *find_leaf(struct super *super)
{
    struct dentry *leaf = super->root, *child;
    uint64_t cookie = 0;
    dentry_get(leaf);
    while ((child = dentry_next_child(leaf, NULL, &cookie)) != NULL) {
        dentry_put(leaf);
        leaf = child;
        cookie = 0;
    }
    if (leaf != super->root)
        return leaf;
    dentry_put(leaf);
    return NULL;
}

/* All names and with them all files that nobody else holds. Not mounted, no users. */
void super_discard(struct super *super)
{
    for (bool more = true; more;) {
        rwlock_write_lock(&vfs_tree);
        __atomic_fetch_or(&super->root->inode->flags, INODE_DEAD, __ATOMIC_RELAXED);
        for (unsigned i = 0; more && i < NAMES_AT_ONCE; i++) {
            struct dentry *leaf = find_leaf(super);
            more = leaf != NULL;
            if (!leaf)
                break;
            __atomic_fetch_or(&leaf->inode->flags, INODE_DEAD, __ATOMIC_RELAXED);
            __atomic_store_n(&leaf->inode->nlink, 0, __ATOMIC_RELAXED);
            dentry_remove(leaf);
            dentry_put(leaf);
        }
        rwlock_write_unlock(&vfs_tree);
    }
    while (dentry_shrink(NAMES_AT_ONCE) > 0) /* names that do not exist refer to directories */
        ;
    dentry_put(super->root);
    super_put(super);
}

static void reap(struct work *work)
{
    for (;;) {
        struct super *found = NULL;
        rwlock_write_lock(&vfs_tree);
        list_for_each (node, &detached_list) {
            struct super *super = list_entry(node, struct super, link);
            if (__atomic_load_n(&super->users, __ATOMIC_SEQ_CST) == 0) {
                found = super;
                list_remove(&super->link);
                break;
            }
        }
        rwlock_write_unlock(&vfs_tree);
        if (!found)
            return;
        super_discard(found);
    }
}

void mounts_init(void)
{
    list_init(&vfs_supers);
    list_init(&detached_list);
    work_init(&reap_work, reap);
}

void super_use(struct super *super)
{
    __atomic_add_fetch(&super->users, 1, __ATOMIC_RELAXED);
}

void super_unuse(struct super *super)
{
    if (__atomic_sub_fetch(&super->users, 1, __ATOMIC_SEQ_CST) == 0 &&
        __atomic_load_n(&super->detached, __ATOMIC_SEQ_CST))
        work_queue(&reap_work);
}

void super_came_by(struct super *super)
{
    /* A load first: walks of all CPUs come here. */
    if (__atomic_load_n(&super->expiring, __ATOMIC_RELAXED))
        __atomic_store_n(&super->expiring, false, __ATOMIC_RELAXED);
}

int super_begin_write(struct super *super)
{
    __atomic_add_fetch(&super->writers, 1, __ATOMIC_SEQ_CST);
    if (!(__atomic_load_n(&super->flags, __ATOMIC_SEQ_CST) & MS_RDONLY))
        return 0;
    super_end_write(super);
    return -EROFS;
}

void super_end_write(struct super *super)
{
    __atomic_sub_fetch(&super->writers, 1, __ATOMIC_RELEASE);
}

bool super_full(const struct super *super, unsigned more)
{
    uint64_t max = __atomic_load_n(&super->options.inodes, __ATOMIC_RELAXED);
    return max > 0 && ref_read(&super->refs) - 1 + more > max; /* one reference is the mount's */
}

/* ---- the tree ---- */

struct dentry *dentry_mounted_root(struct dentry *dentry)
{
    /* Relaxed: looked at again under the lock; who must see a mount was told of it since. */
    if (!__atomic_load_n(&dentry->mounted, __ATOMIC_RELAXED))
        return NULL;
    spin_lock(&vfs_dentry_lock);
    struct dentry *root = dentry->mounted ? dentry->mounted->root : NULL;
    if (root)
        dentry_get(root);
    spin_unlock(&vfs_dentry_lock);
    return root;
}

struct dentry *dentry_topmost(struct dentry *dentry)
{
    struct dentry *root;
    while ((root = dentry_mounted_root(dentry)) != NULL) {
        dentry_put(dentry);
        dentry = root;
    }
    return dentry;
}

/* Both ends of a mount; vfs_tree held for writing. The mount takes a reference on where. */
static void attach(struct super *super, struct dentry *where)
{
    dentry_get(where);
    spin_lock(&vfs_dentry_lock);
    super->covered = where;
    __atomic_store_n(&where->mounted, super, __ATOMIC_RELAXED);
    spin_unlock(&vfs_dentry_lock);
}

static void unattach(struct super *super)
{
    struct dentry *where = super->covered;
    spin_lock(&vfs_dentry_lock);
    super->covered = NULL;
    __atomic_store_n(&where->mounted, NULL, __ATOMIC_RELAXED);
    spin_unlock(&vfs_dentry_lock);
    dentry_put(where);
}

static bool is_mounted(const struct super *super)
{
    return super->covered || super->root == vfs_root;
}

static int may_mount_at(struct dentry *where)
{
    if (!inode_is(where->inode, S_IFDIR))
        return -ENOTDIR;
    if (inode_flags(where->inode) & INODE_DEAD)
        return -ENOENT;
    return is_mounted(where->inode->super) ? 0 : -EINVAL;
}

int super_mount(struct super *super, struct dentry *where)
{
    static unsigned last_id = 20;
    int err = 0;
    rwlock_write_lock(&vfs_tree);
    if (where) {
        dentry_get(where);
        where = dentry_topmost(where);
        err = where == vfs_root ? -EBUSY : may_mount_at(where);
    }
    if (!err) {
        super->mount_id = ++last_id;
        list_push_back(&vfs_supers, &super->link);
        if (where)
            attach(super, where);
    }
    rwlock_write_unlock(&vfs_tree);
    dentry_put(where);
    return err;
}

/* A file system that is mounted in this one, or NULL. */
static struct super *mounted_in(const struct super *super)
{
    list_for_each (node, &vfs_supers) {
        struct super *child = list_entry(node, struct super, link);
        if (child->covered && child->covered->inode->super == super)
            return child;
    }
    return NULL;
}

static void detach(struct super *super)
{
    struct super *child;
    while ((child = mounted_in(super)) != NULL) {
        while (mounted_in(child)) /* the innermost first: nothing recurses */
            child = mounted_in(child);
        unattach(child);
        list_remove(&child->link);
        list_push_back(&detached_list, &child->link);
        __atomic_store_n(&child->detached, true, __ATOMIC_SEQ_CST);
    }
    unattach(super);
    list_remove(&super->link);
    list_push_back(&detached_list, &super->link);
    __atomic_store_n(&super->detached, true, __ATOMIC_SEQ_CST);
}

#define MNT_DETACH 2u
#define MNT_EXPIRE 4u

static int umount_locked(struct dentry *root, uint32_t flags)
{
    struct super *super = root->inode->super;
    if (root != super->root || !is_mounted(super))
        return -EINVAL;
    if (root == vfs_root)
        return -EBUSY;
    bool busy = __atomic_load_n(&super->users, __ATOMIC_SEQ_CST) > 0 || mounted_in(super);
    if (busy && !(flags & MNT_DETACH))
        return -EBUSY;
    /* Relaxed: a walk that ends at this time may count or not. */
    if ((flags & MNT_EXPIRE) && !__atomic_exchange_n(&super->expiring, true, __ATOMIC_RELAXED))
        return -EAGAIN;
    detach(super);
    return 0;
}

int vfs_umount(struct fs_context *ctx, const char *target, uint32_t flags)
{
    struct dentry *root;
    unsigned lookup = LOOKUP_EXPIRE | (flags & 8 ? 0 : LOOKUP_FOLLOW); /* UMOUNT_NOFOLLOW */
    if ((flags & ~15u) || ((flags & MNT_EXPIRE) && (flags & (1 | MNT_DETACH)))) /* MNT_FORCE */
        return -EINVAL;
    int err = path_lookup(ctx, NULL, target, lookup, &root);
    if (err)
        return err;
    rwlock_write_lock(&vfs_tree);
    err = proc_cred()->euid == 0 ? umount_locked(root, flags) : -EPERM;
    rwlock_write_unlock(&vfs_tree);
    dentry_put(root);
    if (!err)
        reap(&reap_work);
    return err;
}

/* ---- mount(2) ---- */

#define MS_REMOUNT 32u
#define MS_BIND 4096u
#define MS_MOVE 8192u
#define MS_REC 16384u
#define MS_SILENT 32768u
#define MS_PROPAGATION (0xfu << 17) /* UNBINDABLE, PRIVATE, SLAVE, SHARED */
#define MS_SHARED (1u << 20)
#define MS_KEPT \
    (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW | MS_NOATIME | MS_NODIRATIME | \
     MS_STRICTATIME)

static int change_flags(struct super *super, uint32_t flags)
{
    uint32_t old = super->flags;
    __atomic_store_n(&super->flags, flags & MS_KEPT, __ATOMIC_SEQ_CST);
    if (!(flags & MS_RDONLY) || (old & MS_RDONLY) ||
        __atomic_load_n(&super->writers, __ATOMIC_SEQ_CST) == 0)
        return 0;
    __atomic_store_n(&super->flags, old, __ATOMIC_RELAXED);
    return -EBUSY;
}

static int remount(struct dentry *root, uint32_t flags, const char *data)
{
    struct super *super = root->inode->super;
    struct super_options options = super->options;
    if (root != super->root || !is_mounted(super))
        return -EINVAL;
    const struct super_options old = options;
    uint64_t old_max = super->quota.max;
    int err = (flags & MS_BIND) ? 0 : super_parse(super->type, data, &options);
    if (!err && options.inodes &&
        (options.inodes < ref_read(&super->refs) - 1 ||
         (old.inodes == SUPER_NO_LIMIT && options.inodes != old.inodes)))
        err = -EINVAL;
    if (!err && !(flags & MS_BIND) && options.size)
        err = super_resize(super, options.size);
    if (!err)
        err = change_flags(super, flags);
    if (err) { /* all or nothing */
        super->options.size = old.size;
        __atomic_store_n(&super->quota.max, old_max, __ATOMIC_RELAXED);
    }
    if (!err) /* owner and mode of the root stay what they are, as on Linux */
        __atomic_store_n(&super->options.inodes, options.inodes, __ATOMIC_RELAXED);
    return err;
}

/* To another place, with all that is mounted in it. */
static int move_mount(struct fs_context *ctx, const char *source, struct dentry *where)
{
    struct dentry *root;
    int err = path_lookup(ctx, NULL, source, LOOKUP_FOLLOW, &root);
    if (err)
        return err;
    struct super *super = root->inode->super;
    rwlock_write_lock(&vfs_tree);
    dentry_get(where);
    where = dentry_topmost(where); /* somebody may have mounted there since the walk */
    err = may_mount_at(where);
    if (!err && (root != super->root || !super->covered || where == vfs_root))
        err = -EINVAL;
    for (struct super *s = where->inode->super; !err && s->covered; s = s->covered->inode->super)
        if (s == super)
            err = -ELOOP; /* into itself */
    if (!err) {
        unattach(super);
        attach(super, where);
    }
    rwlock_write_unlock(&vfs_tree);
    dentry_put(where);
    dentry_put(root);
    return err;
}

static int mount_new(const char *source, struct dentry *where, const char *type, uint32_t flags,
                     const char *data)
{
    struct super *super;
    if (!type)
        return -EINVAL;
    int err = super_make(type, source, data, &super);
    if (err)
        return err;
    super->flags = flags & MS_KEPT;
    err = super_mount(super, where);
    if (err)
        super_discard(super);
    return err;
}

static int mount_at_dentry(struct fs_context *ctx, const char *source, struct dentry *where,
                           const char *type, uint32_t flags, const char *data)
{
    if (flags & MS_REMOUNT) {
        rwlock_write_lock(&vfs_tree);
        int err = remount(where, flags, data);
        rwlock_write_unlock(&vfs_tree);
        return err;
    }
    if (flags & MS_BIND) /* a file system has one mount, and that shows all of it */
        return -EINVAL;
    if (flags & MS_PROPAGATION) { /* there are no peers to tell */
        bool one = (flags & MS_PROPAGATION & ((flags & MS_PROPAGATION) - 1)) == 0;
        bool known = !(flags & ~(MS_PROPAGATION | MS_REC | MS_SILENT));
        bool root = where == where->inode->super->root;
        return one && known && root && !(flags & MS_SHARED) ? 0 : -EINVAL;
    }
    if (flags & MS_MOVE)
        return source ? move_mount(ctx, source, where) : -EINVAL;
    return mount_new(source, where, type, flags, data);
}

int vfs_mount(struct fs_context *ctx, const char *source, const char *target, const char *type,
              uint32_t flags, const char *data)
{
    struct dentry *where;
    if ((flags & 0xffff0000u) == 0xc0ed0000u) /* from before 2.4: MS_MGC_VAL */
        flags &= 0xffffu;
    int err = path_lookup(ctx, NULL, target, LOOKUP_FOLLOW, &where);
    if (err)
        return err;
    err = proc_cred()->euid == 0 ? mount_at_dentry(ctx, source, where, type, flags, data) : -EPERM;
    dentry_put(where);
    return err;
}
