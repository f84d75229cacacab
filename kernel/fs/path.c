/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * path.c - from a path to a dentry.
 *
 * The walk holds a reference to one dentry at a time and goes component by component. A symbolic
 * link is followed by putting its text in front of what is left of the path (walk->buf), at most 40
 * times (ELOOP), so nothing recurses. A magic link (/proc/self/fd/N) jumps to a dentry, or ends the
 * walk in an open file. Names the cache does not know are asked for under the directory's lock; a
 * name that does not exist is remembered as a negative dentry.
 *
 * The errors and their order are those of path_resolution(7).
 */
#include "fs/vfs.h"

#include "core/assert.h"
#include "lib/string.h"
#include "mm/kmalloc.h"

#define LINKS_MAX 40

struct rwlock vfs_tree;
struct dentry *vfs_root;

struct dentry *context_root(struct fs_context *ctx)
{
    spin_lock(&ctx->lock);
    struct dentry *dentry = ctx->root;
    dentry_get(dentry);
    spin_unlock(&ctx->lock);
    return dentry;
}

struct dentry *context_cwd(struct fs_context *ctx)
{
    spin_lock(&ctx->lock);
    struct dentry *dentry = ctx->cwd;
    dentry_get(dentry);
    spin_unlock(&ctx->lock);
    return dentry;
}

static struct inode *dentry_inode(const struct dentry *dentry)
{
    /* Acquire: pairs with set_inode_locked. */
    return __atomic_load_n(&dentry->inode, __ATOMIC_ACQUIRE);
}

int path_child_locked(struct dentry *dir, const char *name, size_t len, struct dentry **out)
{
    *out = dentry_lookup(dir, name, len);
    if (*out)
        return 0;
    if (len > NAME_MAX)
        return -ENAMETOOLONG;
    struct dentry *dentry = dentry_alloc(dir, name, len);
    if (!dentry)
        return -ENOMEM;
    struct inode *parent = dir->inode, *inode = NULL;
    int err = parent->ops->lookup ? parent->ops->lookup(parent, name, len, &inode) : -ENOENT;
    if (err && err != -ENOENT) {
        dentry_put(dentry);
        return err;
    }
    if (inode_flags(parent) & INODE_VOLATILE)
        dentry_set_inode(dentry, inode);
    else if (!(inode_flags(parent) & INODE_DEAD))
        dentry_add(dentry, inode, false);
    *out = dentry;
    return 0;
}

/* As above, taking the locks only if the cache does not know the name. */
static int path_child(struct dentry *dir, const char *name, size_t len, struct dentry **out)
{
    *out = dentry_lookup(dir, name, len);
    if (*out)
        return 0;
    struct inode *inode = dir->inode;
    rwlock_read_lock(&vfs_tree);
    mutex_lock(&inode->lock);
    int err = path_child_locked(dir, name, len, out);
    mutex_unlock(&inode->lock);
    rwlock_read_unlock(&vfs_tree);
    return err;
}

static void walk_set(struct path_walk *walk, struct dentry *dentry)
{
    struct dentry *old = walk->dentry;
    walk->dentry = dentry; /* takes the reference over */
    dentry_put(old);
}

/* The directory that the walk may not leave: the context's root, or the start for openat2's
 * RESOLVE_BENEATH and RESOLVE_IN_ROOT. With a reference. */
static struct dentry *walk_bound(struct path_walk *walk)
{
    if (!(walk->flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)))
        return context_root(walk->ctx);
    if (!walk->start)
        return context_cwd(walk->ctx);
    dentry_get(walk->start);
    return walk->start;
}

static int walk_to_root(struct path_walk *walk)
{
    if (walk->flags & LOOKUP_BENEATH)
        return -EXDEV;
    struct dentry *root = walk_bound(walk);
    bool cross = walk->dentry && walk->dentry->inode->super != root->inode->super;
    walk_set(walk, root);
    return cross && (walk->flags & LOOKUP_NO_XDEV) ? -EXDEV : 0;
}

static int walk_up(struct path_walk *walk)
{
    struct dentry *bound = walk_bound(walk);
    struct dentry *d = walk->dentry;
    int err = 0;
    if (d == bound) {
        err = (walk->flags & LOOKUP_BENEATH) ? -EXDEV : 0;
        goto out;
    }
    bool crossed;
    d = dentry_above(d, bound, &crossed);
    if (crossed && (walk->flags & LOOKUP_NO_XDEV)) {
        err = -EXDEV;
        dentry_put(d);
    } else {
        walk_set(walk, d);
    }
out:
    dentry_put(bound);
    return err;
}

/* Onto what is mounted at walk->dentry. */
static int walk_cross_mounts(struct path_walk *walk)
{
    struct dentry *root;
    /* Relaxed, as dentry_mounted_root, which is hardly ever called so. */
    while (__atomic_load_n(&walk->dentry->mounted, __ATOMIC_RELAXED) &&
           (root = dentry_mounted_root(walk->dentry)) != NULL) {
        if (walk->flags & LOOKUP_NO_XDEV) {
            dentry_put(root);
            return -EXDEV;
        }
        if (!(walk->flags & LOOKUP_EXPIRE))
            super_came_by(root->inode->super);
        walk_set(walk, root);
    }
    return 0;
}

long vfs_readlink(struct dentry *dentry, char *buf, size_t size)
{
    struct inode *inode = dentry->inode;
    if (!inode || !inode_is(inode, S_IFLNK))
        return -EINVAL;
    if (inode->ops->readlink)
        return inode->ops->readlink(inode, buf, size);
    size_t len = MIN((size_t)inode_size(inode), size);
    memcpy(buf, inode->target, len);
    return (long)len;
}

/* Put the text of `link` in front of rest. */
static int splice_link(struct path_walk *walk, struct dentry *link, const char *rest)
{
    size_t rest_len = strlen(rest);
    char *text = kmalloc(PATH_MAX + 1 + rest_len + 1, ALLOC_DEFAULT);
    if (!text)
        return -ENOMEM;
    long len = vfs_readlink(link, text, PATH_MAX);
    if (len <= 0) {
        kfree(text);
        return len ? (int)len : -ENOENT;
    }
    size_t at = (size_t)len;
    if (rest_len > 0) {
        text[at++] = '/';
        memcpy(text + at, rest, rest_len);
    }
    text[at + rest_len] = '\0';
    kfree(walk->buf); /* `rest` may have pointed into it: copied by now */
    walk->buf = text;
    return 0;
}

/*
 * Follow link, found in walk->dentry. 0: continue with walk->buf; 1: the link led straight to a
 * dentry, continue with rest; negative errno.
 */
static int follow_link(struct path_walk *walk, struct dentry *link, const char *rest)
{
    if (walk->flags & LOOKUP_NO_SYMLINKS)
        return -ELOOP;
    if (++walk->links > LINKS_MAX)
        return -ELOOP;
    struct inode *inode = link->inode;
    if (super_has(inode->super, MS_NOSYMFOLLOW))
        return -ELOOP;
    inode_accessed(inode, 0);
    if (!inode->ops->follow) {
        int err = splice_link(walk, link, rest);
        if (!err && walk->buf[0] == '/')
            err = walk_to_root(walk);
        return err;
    }
    if (walk->flags & LOOKUP_NO_MAGIC)
        return -ELOOP;
    if (walk->flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT))
        return -EXDEV;
    struct dentry *dentry = NULL;
    int err = inode->ops->follow(inode, &dentry, &walk->file);
    if (err)
        return err;
    if (dentry)
        walk_set(walk, dentry);
    else if (*rest)
        return -ENOTDIR;
    return 1;
}

static bool is_dots(const char *name, size_t len)
{
    return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

static const char *skip_slashes(const char *p)
{
    while (*p == '/')
        p++;
    return p;
}

static int check_search(struct path_walk *walk)
{
    struct inode *inode = walk->dentry->inode;
    if (!inode || !inode_is(inode, S_IFDIR))
        return -ENOTDIR;
    return inode_permission(proc_cred(), inode, MAY_EXEC);
}

/* One ordinary component. *p moves on to what is left of the path. */
static int walk_name(struct path_walk *walk, const char *name, size_t len, const char **p)
{
    const char *rest = skip_slashes(*p);
    bool slash = rest != *p;
    struct dentry *child;
    int err = path_child(walk->dentry, name, len, &child);
    if (err)
        return err;
    struct inode *inode = dentry_inode(child);
    if (!inode) {
        dentry_put(child);
        return -ENOENT;
    }
    if (inode_is(inode, S_IFLNK) && (*rest || slash || (walk->flags & LOOKUP_FOLLOW))) {
        err = follow_link(walk, child, *p); /* with the slashes: they ask for a directory */
        dentry_put(child);
        if (err == 0)
            *p = walk->buf;
        return err < 0 ? err : 0;
    }
    walk_set(walk, child);
    return walk_cross_mounts(walk);
}

static void set_last(struct path_walk *walk, const char *name, size_t len, bool slash)
{
    walk->last = name;
    walk->last_len = len;
    walk->last_slash = slash;
    walk->last_dots = len == 0 || is_dots(name, len);
}

static int walk_components(struct path_walk *walk, const char *path)
{
    const char *p = path;
    bool slash = false; /* a slash after the last component: it must be a directory */
    for (;;) {
        const char *name = skip_slashes(p);
        slash = slash || name != p;
        if (walk->file)
            return *name || name != p ? -ENOTDIR : 0;
        if (!*name)
            break;
        size_t len = 0;
        while (name[len] && name[len] != '/')
            len++;
        p = name + len;
        int err = check_search(walk);
        if (err)
            return err;
        if ((walk->flags & LOOKUP_PARENT) && !*skip_slashes(p)) {
            set_last(walk, name, len, *p == '/');
            return 0;
        }
        slash = false;
        if (is_dots(name, len))
            err = len == 2 ? walk_up(walk) : 0;
        else
            err = walk_name(walk, name, len, &p);
        if (err)
            return err;
    }
    if (walk->flags & LOOKUP_PARENT) {
        set_last(walk, "", 0, true);
        return 0;
    }
    bool directory = slash || (walk->flags & LOOKUP_DIRECTORY);
    return directory && !inode_is(walk->dentry->inode, S_IFDIR) ? -ENOTDIR : 0;
}

int path_walk(struct path_walk *walk, const char *path)
{
    walk->dentry = NULL;
    walk->file = NULL;
    walk->buf = NULL;
    if (!*path && !(walk->flags & LOOKUP_EMPTY))
        return -ENOENT;
    if (!(walk->flags & LOOKUP_BOUNDED) && strnlen(path, PATH_MAX) >= PATH_MAX)
        return -ENAMETOOLONG;
    if (*path == '/') {
        int err = walk_to_root(walk);
        if (err)
            return err;
    } else if (walk->start) {
        dentry_get(walk->start);
        walk->dentry = walk->start;
    } else {
        walk->dentry = context_cwd(walk->ctx);
    }
    int err = *path ? walk_components(walk, path) : 0;
    if (err == 0 && walk->file) {
        dentry_put(walk->dentry);
        walk->dentry = NULL;
    }
    return err;
}

void path_done(struct path_walk *walk)
{
    dentry_put(walk->dentry);
    if (walk->file)
        file_put(walk->file);
    kfree(walk->buf);
    walk->dentry = NULL;
    walk->file = NULL;
    walk->buf = NULL;
}

int path_lookup(struct fs_context *ctx, struct dentry *start, const char *path, unsigned flags,
                struct dentry **out)
{
    struct path_walk walk = {.ctx = ctx, .start = start, .flags = flags};
    int err = path_walk(&walk, path);
    if (err == 0 && walk.file)
        err = -ENOTSUP; /* a pipe or the like where a name is needed */
    if (err == 0) {
        *out = walk.dentry;
        walk.dentry = NULL;
    }
    path_done(&walk);
    return err;
}
