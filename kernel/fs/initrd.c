/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * initrd.c - fill the root from the boot archive.
 *
 * Boot reads headers only: a regular file remembers where its bytes lie in the archive and copies
 * them page by page when they are first used (inode.c), so the archive's memory stays in use. Later
 * entries replace earlier ones of the same name, missing parent directories are made, ".." is
 * refused. Hard links are entries with the same device and inode number and nlink > 1; the last of
 * them carries the contents (cpio -H newc writes them so), the others may have none.
 */
#include "core/log.h"
#include "fs/cpio.h"
#include "fs/vfs.h"
#include "lib/string.h"
#include "mm/kmalloc.h"

struct hard_link {
    struct hard_link *next;
    uint32_t ino, dev_major, dev_minor;
    struct inode *inode; /* reference */
};

#define LINK_BUCKETS 64
struct unpack {
    struct dentry *root;
    struct hard_link *links[LINK_BUCKETS];
    struct dentry
        *dir; /* directory of the previous entry: the next is mostly there too; reference */
    const char *dir_path;
    size_t dir_len;
};

static void set_owner(struct inode *inode, const struct cpio_entry *e)
{
    inode->uid = e->uid;
    inode->gid = e->gid;
    inode->atime_ns = inode->mtime_ns = inode->ctime_ns = e->mtime * NS_PER_SEC;
}

/* Step from dir (reference consumed) into the directory `name`, making it if need be. */
static int enter(struct dentry **dir, const char *name, size_t len)
{
    struct dentry *child = dentry_lookup(*dir, name, len);
    int err = 0;
    if (child && !child->inode) {
        dentry_put(child);
        child = NULL;
    }
    if (!child) {
        struct inode *inode = ramfs_inode((*dir)->inode->super, S_IFDIR | 0755, 0);
        err = inode ? vfs_add(*dir, name, len, inode, &child) : -ENOMEM;
        inode_put(inode);
    } else if (!inode_is(child->inode, S_IFDIR)) {
        dentry_put(child);
        child = NULL;
        err = -ENOTDIR;
    }
    dentry_put(*dir);
    *dir = child;
    return err;
}

/* The directory of path[0..len), with a reference. */
static int find_dir(struct unpack *u, const char *path, size_t len, struct dentry **out)
{
    if (u->dir && len == u->dir_len && memcmp(path, u->dir_path, len) == 0) {
        dentry_get(u->dir);
        *out = u->dir;
        return 0;
    }
    struct dentry *dir = u->root;
    dentry_get(dir);
    int err = 0;
    for (size_t at = 0; at < len && err == 0;) {
        size_t end = at;
        while (end < len && path[end] != '/')
            end++;
        size_t n = end - at;
        if (n == 2 && path[at] == '.' && path[at + 1] == '.')
            err = -EINVAL;
        else if (n > NAME_MAX)
            err = -ENAMETOOLONG;
        else if (n > 0 && !(n == 1 && path[at] == '.'))
            err = enter(&dir, path + at, n);
        at = end + 1;
    }
    if (err) {
        dentry_put(dir);
        return err;
    }
    dentry_put(u->dir);
    dentry_get(dir);
    u->dir = dir;
    u->dir_path = path;
    u->dir_len = len;
    *out = dir;
    return 0;
}

static struct hard_link **link_bucket(struct unpack *u, const struct cpio_entry *e)
{
    return &u->links[(e->ino ^ e->dev_minor * 31) % LINK_BUCKETS];
}

static struct inode *find_hard_link(struct unpack *u, const struct cpio_entry *e)
{
    for (struct hard_link *l = *link_bucket(u, e); l; l = l->next)
        if (l->ino == e->ino && l->dev_major == e->dev_major && l->dev_minor == e->dev_minor)
            return l->inode;
    return NULL;
}

static int remember_hard_link(struct unpack *u, const struct cpio_entry *e, struct inode *inode)
{
    struct hard_link *l = kmalloc(sizeof(*l), ALLOC_DEFAULT);
    if (!l)
        return -ENOMEM;
    struct hard_link **head = link_bucket(u, e);
    *l = (struct hard_link){*head, e->ino, e->dev_major, e->dev_minor, inode};
    inode_get(inode);
    *head = l;
    return 0;
}

static void forget_hard_links(struct unpack *u)
{
    for (size_t i = 0; i < LINK_BUCKETS; i++) {
        while (u->links[i]) {
            struct hard_link *l = u->links[i];
            u->links[i] = l->next;
            inode_put(l->inode);
            kfree(l);
        }
    }
}

static int set_body(struct inode *inode, const struct cpio_entry *e)
{
    if (inode_is(inode, S_IFLNK)) {
        /* The archive's text has no NUL behind it, and needs none. */
        inode->target = (char *)(uintptr_t)e->body;
        inode->flags |= INODE_STATIC_TARGET;
        inode->object.size = e->body_len;
        return e->body_len > 0 && e->body_len < PATH_MAX ? 0 : -EINVAL;
    }
    if (inode_is(inode, S_IFREG) && e->body_len > 0) {
        inode_set_backing(inode, e->body, e->body_len);
        inode->object.size = e->body_len;
    }
    return 0;
}

/* Make way for an entry that replaces an earlier one. Directories stay and take the new
 * attributes: 1. */
static int replace(struct dentry *dir, struct dentry *old, const struct cpio_entry *e)
{
    struct inode *inode = old->inode;
    bool was_dir = inode_is(inode, S_IFDIR), is_dir = (e->mode & S_IFMT) == S_IFDIR;
    if (was_dir != is_dir)
        return was_dir ? -EISDIR : -ENOTDIR;
    if (is_dir) {
        inode->mode = S_IFDIR | (e->mode & 07777);
        set_owner(inode, e);
        return 1;
    }
    inode->nlink--;
    dentry_remove(old);
    return 0;
}

static int make_entry(struct unpack *u, struct dentry *dir, const char *name, size_t len,
                      const struct cpio_entry *e)
{
    bool linked = e->nlink > 1 && (e->mode & S_IFMT) != S_IFDIR;
    struct inode *inode = linked ? find_hard_link(u, e) : NULL;
    bool known = inode != NULL;
    int err = 0;
    if (known) {
        inode_get(inode);
        inode->nlink++;
    } else {
        inode = ramfs_inode(dir->inode->super, e->mode & (S_IFMT | 07777),
                            fs_makedev(e->rdev_major, e->rdev_minor));
        if (!inode)
            return -ENOMEM;
        if (linked)
            err = remember_hard_link(u, e, inode);
    }
    /* Only files wait for the contents of a later link; a symbolic link is not without its text. */
    bool later = linked && e->body_len == 0 && (known || !inode_is(inode, S_IFLNK));
    if (err == 0 && !later)
        err = set_body(inode, e);
    if (err == 0)
        err = vfs_add(dir, name, len, inode, NULL);
    if (err == 0)
        set_owner(inode, e);
    inode_put(inode);
    return err;
}

static bool known_type(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return true;
    default:
        return false;
    }
}

/* Split the name into directory and last component, both without superfluous slashes; "dir/." is
 * "dir". */
static size_t split(const char *name, size_t *len)
{
    while (*len > 0 &&
           (name[*len - 1] == '/' || (*len > 1 && name[*len - 1] == '.' && name[*len - 2] == '/')))
        (*len)--;
    size_t at = *len;
    while (at > 0 && name[at - 1] != '/')
        at--;
    return at;
}

static int unpack_entry(struct unpack *u, const struct cpio_entry *e)
{
    size_t len = e->name_len;
    size_t base = split(e->name, &len);
    const char *name = e->name + base;
    size_t name_len = len - base;
    if (!known_type(e->mode))
        return -EINVAL;
    if (name_len == 0 || (name_len == 1 && name[0] == '.')) { /* the root itself */
        if ((e->mode & S_IFMT) != S_IFDIR)
            return -EINVAL;
        u->root->inode->mode = S_IFDIR | (e->mode & 07777);
        set_owner(u->root->inode, e);
        return 0;
    }
    if (name_len > NAME_MAX)
        return -ENAMETOOLONG;
    if (name_len == 2 && name[0] == '.' && name[1] == '.')
        return -EINVAL;
    struct dentry *dir;
    int err = find_dir(u, e->name, base, &dir);
    if (err)
        return err;
    struct dentry *old = dentry_lookup(dir, name, name_len);
    if (old && old->inode)
        err = replace(dir, old, e);
    dentry_put(old);
    if (err == 0)
        err = make_entry(u, dir, name, name_len, e);
    dentry_put(dir);
    return err < 0 ? err : 0;
}

int initrd_unpack(const void *data, size_t len, struct dentry *root)
{
    struct unpack u = {.root = root};
    struct cpio cpio;
    struct cpio_entry e = {0};
    cpio_init(&cpio, data, len);
    int err;
    while ((err = cpio_next(&cpio, &e)) == 1) {
        err = unpack_entry(&u, &e);
        if (err) {
            log_error("initrd: entry '%s' at offset %zu: error %d", e.name, e.offset, err);
            break;
        }
    }
    if (cpio.error)
        log_error("initrd: %s at offset %zu of %zu", cpio.error, cpio.at, len);
    forget_hard_links(&u);
    dentry_put(u.dir);
    return err;
}
