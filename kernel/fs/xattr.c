/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * xattr.c - extended attributes of the memory file systems, on a list in the inode.
 *
 * An attribute is one allocation that never changes; setting it anew replaces it, so a failure
 * leaves the old one. inode->lock guards the list. POSIX ACLs are not kept: reading one says
 * ENODATA, as for a file without.
 */
#include "fs/xattr.h"

#include "lib/string.h"
#include "mm/kmalloc.h"

struct xattr {
    struct list link; /* inode->xattrs */
    size_t name_len, size;
    const char *name; /* behind the value, with NUL */
    uint8_t value[];
};

enum space { SPACE_NONE, SPACE_USER, SPACE_TRUSTED, SPACE_SECURITY, SPACE_ACL };

static enum space space_of(const char *name)
{
    static const struct {
        const char *prefix;
        enum space space;
    } spaces[] = {{"user.", SPACE_USER},
                  {"trusted.", SPACE_TRUSTED},
                  {"security.", SPACE_SECURITY},
                  {"system.posix_acl_", SPACE_ACL}};
    for (size_t i = 0; i < ARRAY_COUNT(spaces); i++)
        if (str_starts(name, spaces[i].prefix))
            return name[strlen(spaces[i].prefix)] ? spaces[i].space : SPACE_NONE;
    return SPACE_NONE;
}

/* xattr(7), "Extended attribute namespaces". */
static int check(const struct fs_cred *cred, struct inode *inode, const char *name, bool write)
{
    enum space space = space_of(name);
    bool plain = inode_is(inode, S_IFREG) || inode_is(inode, S_IFDIR);
    if (space == SPACE_NONE || !inode->super->writable_tree || inode->super->huge_shift)
        return -EOPNOTSUPP;
    if (space == SPACE_ACL)
        return write ? -EOPNOTSUPP : -ENODATA;
    if ((space == SPACE_TRUSTED && cred->fsuid != 0) || (space == SPACE_USER && !plain))
        return write ? -EPERM : -ENODATA;
    if (space == SPACE_SECURITY)
        return write && cred->fsuid != 0 ? -EPERM : 0;
    if (write && inode_is(inode, S_IFDIR) && (inode_mode(inode) & S_ISVTX) &&
        !cred_owns(cred, inode))
        return -EPERM;
    return inode_permission(cred, inode, write ? MAY_WRITE : MAY_READ);
}

static struct xattr *find_locked(struct inode *inode, const char *name)
{
    list_for_each (node, &inode->xattrs) {
        struct xattr *x = list_entry(node, struct xattr, link);
        if (strcmp(x->name, name) == 0)
            return x;
    }
    return NULL;
}

long xattr_get(const struct fs_cred *cred, struct inode *inode, const char *name, void *value,
               size_t size)
{
    long result = check(cred, inode, name, false);
    if (result)
        return result;
    mutex_lock(&inode->lock);
    struct xattr *x = find_locked(inode, name);
    if (!x)
        result = -ENODATA;
    else if (size > 0 && size < x->size)
        result = -ERANGE;
    else
        result = (long)x->size;
    if (result > 0 && size > 0)
        memcpy(value, x->value, x->size);
    mutex_unlock(&inode->lock);
    return result;
}

static struct xattr *make(const char *name, const void *value, size_t size)
{
    size_t name_len = strlen(name);
    struct xattr *x = kmalloc(sizeof(*x) + size + name_len + 1, ALLOC_DEFAULT);
    if (!x)
        return NULL;
    memcpy(x->value, value, size);
    memcpy(x->value + size, name, name_len + 1);
    x->name = (const char *)x->value + size;
    x->name_len = name_len;
    x->size = size;
    return x;
}

static size_t names_locked(struct inode *inode)
{
    size_t total = 0;
    list_for_each (node, &inode->xattrs)
        total += list_entry(node, struct xattr, link)->name_len + 1;
    return total;
}

int xattr_set(const struct fs_cred *cred, struct inode *inode, const char *name, const void *value,
              size_t size, unsigned flags)
{
    int err = check(cred, inode, name, true);
    if (err)
        return err;
    if (super_has(inode->super, MS_RDONLY))
        return -EROFS;
    struct xattr *fresh = make(name, value, size);
    if (!fresh)
        return -ENOMEM;
    mutex_lock(&inode->lock);
    struct xattr *old = find_locked(inode, name);
    if (old && (flags & XATTR_CREATE)) {
        err = -EEXIST;
    } else if (!old && (flags & XATTR_REPLACE)) {
        err = -ENODATA;
    } else if (!old && names_locked(inode) + fresh->name_len + 1 > XATTR_VALUE_MAX) {
        err = -ENOSPC; /* the list could not be read */
    } else {
        if (old)
            list_remove(&old->link);
        list_push_back(&inode->xattrs, &fresh->link);
        inode_touch(inode, false, true);
        fresh = old; /* what goes */
    }
    mutex_unlock(&inode->lock);
    kfree(fresh);
    return err;
}

int xattr_remove(const struct fs_cred *cred, struct inode *inode, const char *name)
{
    int err = super_has(inode->super, MS_RDONLY) ? -EROFS : check(cred, inode, name, true);
    if (err)
        return err;
    mutex_lock(&inode->lock);
    struct xattr *x = find_locked(inode, name);
    if (x) {
        list_remove(&x->link);
        inode_touch(inode, false, true);
    }
    mutex_unlock(&inode->lock);
    kfree(x);
    return x ? 0 : -ENODATA;
}

long xattr_list(const struct fs_cred *cred, struct inode *inode, char *list, size_t size)
{
    long done = 0;
    mutex_lock(&inode->lock);
    list_for_each (node, &inode->xattrs) {
        struct xattr *x = list_entry(node, struct xattr, link);
        if (space_of(x->name) == SPACE_TRUSTED && cred->fsuid != 0)
            continue;
        if (size > 0 && size - (size_t)done < x->name_len + 1) {
            done = -ERANGE;
            break;
        }
        if (size > 0)
            memcpy(list + done, x->name, x->name_len + 1);
        done += (long)x->name_len + 1;
    }
    mutex_unlock(&inode->lock);
    return done;
}

void xattr_free_all(struct inode *inode)
{
    while (!list_empty(&inode->xattrs)) {
        struct xattr *x = list_entry(inode->xattrs.next, struct xattr, link);
        list_remove(&x->link);
        kfree(x);
    }
}
