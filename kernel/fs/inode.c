/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inode.c - files themselves: life time, attributes, permission checks.
 *
 * An inode lives while a dentry, an open file or a mapping (through vm_object_ops) refers to it.
 * The last inode_put frees its pages. Attributes change under inode->lock; mode, uid, gid, nlink
 * and the times are stored atomically so that stat and permission checks need no lock: each field
 * is consistent in itself, which is all that Linux promises too.
 */
#include "fs/xattr.h"

#include "core/assert.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "sched/timer.h"

static struct inode *inode_of_object(struct vm_object *object)
{
    return container_of(object, struct inode, object);
}

/* Who has a mapping uses the file system, too (umount). */
static void object_get(struct vm_object *object)
{
    inode_get(inode_of_object(object));
    super_use(inode_of_object(object)->super);
}

static bool object_get_live(struct vm_object *object)
{
    bool live = ref_get_live(&inode_of_object(object)->refs);
    if (live)
        super_use(inode_of_object(object)->super);
    return live;
}

static void object_put(struct vm_object *object)
{
    super_unuse(inode_of_object(object)->super);
    inode_put(inode_of_object(object));
}

/* A file system with such a mapping does not become read-only, open file or not. */
static void object_writable_area(struct vm_object *object, int delta)
{
    __atomic_add_fetch(&inode_of_object(object)->super->writers, delta, __ATOMIC_SEQ_CST);
}

/* Fill a page from the archive that backs the file, without any copy before its first use.
 * backing_len only shrinks (inode_truncate), after the object was cut. */
static int object_fill(struct vm_object *object, uint64_t index, struct page *page)
{
    struct inode *inode = inode_of_object(object);
    const uint8_t *from = __atomic_load_n(&inode->backing, __ATOMIC_RELAXED);
    uint64_t len = __atomic_load_n(&inode->backing_len, __ATOMIC_RELAXED);
    uint64_t off = index << PAGE_SHIFT;
    if (from && off < len)
        memcpy(page_virt(page), from + off, (size_t)MIN(len - off, (uint64_t)PAGE_SIZE));
    return 0;
}

/* Without a fill operation the page cache knows that fresh pages are zero. */
static const struct vm_object_ops memory_object_ops = {
    .get = object_get, .put = object_put, .writable_area = object_writable_area};
static const struct vm_object_ops backed_object_ops = {.fill = object_fill,
                                                       .get = object_get,
                                                       .put = object_put,
                                                       .get_live = object_get_live,
                                                       .writable_area = object_writable_area};

struct inode *inode_of_mapping(struct vm_object *object)
{
    bool ours = object->ops == &memory_object_ops || object->ops == &backed_object_ops;
    return ours ? inode_of_object(object) : NULL;
}

void inode_set_backing(struct inode *inode, const uint8_t *data, uint64_t len)
{
    inode->backing = data;
    inode->backing_len = len;
    vm_object_set_backed(&inode->object, &backed_object_ops);
}

struct inode *inode_alloc(struct super *super, uint32_t mode)
{
    struct inode *inode = owner_alloc(OWNER_INODE, sizeof(*inode));
    if (!inode)
        return NULL;
    ref_init(&inode->refs);
    inode->super = super;
    ref_get(&super->refs);
    inode->ino = __atomic_add_fetch(&super->next_ino, 1, __ATOMIC_RELAXED);
    inode->mode = mode;
    inode->nlink = (mode & S_IFMT) == S_IFDIR ? 2 : 1;
    mutex_init(&inode->lock, (mode & S_IFMT) == S_IFDIR ? RANK_DIR : RANK_INODE);
    vm_object_init(&inode->object, &memory_object_ops, 0);
    list_init(&inode->aliases);
    list_init(&inode->locks);
    list_init(&inode->watches);
    list_init(&inode->xattrs);
    inode->atime_ns = inode->mtime_ns = inode->ctime_ns = inode->btime_ns = clock_wall_ns();
    return inode;
}

void inode_get(struct inode *inode)
{
    ref_get(&inode->refs);
}

void inode_put(struct inode *inode)
{
    if (!inode || !ref_put(&inode->refs))
        return;
    ASSERT(list_empty(&inode->aliases));
    if (inode->ops && inode->ops->destroy)
        inode->ops->destroy(inode);
    xattr_free_all(inode);
    vm_object_destroy(&inode->object);
    if (inode->target && !(inode_flags(inode) & INODE_STATIC_TARGET))
        kfree(inode->target);
    super_put(inode->super);
    owner_free(OWNER_INODE, inode, sizeof(*inode));
}

static void store_time(uint64_t *field, uint64_t ns)
{
    __atomic_store_n(field, ns, __ATOMIC_RELAXED);
}

void inode_touch(struct inode *inode, bool mtime, bool ctime)
{
    uint64_t now = clock_wall_ns();
    if (mtime)
        store_time(&inode->mtime_ns, now);
    if (ctime)
        store_time(&inode->ctime_ns, now);
}

/* Linux's default, relatime: the access time moves only when it is not after the last change, or a
 * day old. */
void inode_accessed(struct inode *inode, uint32_t file_flags)
{
    uint64_t atime = __atomic_load_n(&inode->atime_ns, __ATOMIC_RELAXED);
    uint32_t mount = __atomic_load_n(&inode->super->flags, __ATOMIC_RELAXED);
    if ((file_flags & O_NOATIME) || (mount & (MS_RDONLY | MS_NOATIME)) ||
        ((mount & MS_NODIRATIME) && inode_is(inode, S_IFDIR)))
        return;
    uint64_t now = clock_wall_ns();
    if (!(mount & MS_STRICTATIME) && atime > __atomic_load_n(&inode->mtime_ns, __ATOMIC_RELAXED) &&
        atime > __atomic_load_n(&inode->ctime_ns, __ATOMIC_RELAXED) &&
        now - atime < 24ull * 3600 * NS_PER_SEC)
        return;
    store_time(&inode->atime_ns, now);
}

static uint64_t inode_blocks(struct inode *inode, uint64_t size)
{
    switch (inode_mode(inode) & S_IFMT) {
    case S_IFREG: {
        /* What the archive holds counts as allocated; beyond it, what is in memory. */
        uint64_t backed = __atomic_load_n(&inode->backing_len, __ATOMIC_RELAXED);
        uint64_t pages = (backed + PAGE_SIZE - 1) >> PAGE_SHIFT;
        mutex_lock(&inode->object.lock);
        uint64_t cached = inode->object.page_count;
        mutex_unlock(&inode->object.lock);
        return MAX(pages, cached) * (PAGE_SIZE / 512);
    }
    case S_IFDIR:
        return size / 512;
    default:
        return 0;
    }
}

void inode_stat(struct inode *inode, struct kstat *out)
{
    /* Every field, one by one: a whole structure would be made aside and copied. */
    out->ino = inode->ino;
    out->size = inode_size(inode);
    out->dev = inode->super->dev;
    out->rdev = inode->rdev;
    out->mode = inode_mode(inode);
    out->nlink = __atomic_load_n(&inode->nlink, __ATOMIC_RELAXED);
    out->uid = __atomic_load_n(&inode->uid, __ATOMIC_RELAXED);
    out->gid = __atomic_load_n(&inode->gid, __ATOMIC_RELAXED);
    out->blksize = 1u << MAX((unsigned)inode->object.huge_shift, (unsigned)PAGE_SHIFT);
    out->atime_ns = __atomic_load_n(&inode->atime_ns, __ATOMIC_RELAXED);
    out->mtime_ns = __atomic_load_n(&inode->mtime_ns, __ATOMIC_RELAXED);
    out->ctime_ns = __atomic_load_n(&inode->ctime_ns, __ATOMIC_RELAXED);
    out->btime_ns = inode->btime_ns;
    out->blocks = inode_blocks(inode, out->size);
}

void inode_set_owner(struct inode *inode, const struct inode *dir)
{
    const struct fs_cred *cred = proc_cred();
    inode->uid = cred->fsuid;
    inode->gid = cred->fsgid;
    if (!(inode_mode(dir) & S_ISGID))
        return;
    inode->gid = dir->gid;
    if (inode_is(inode, S_IFDIR))
        inode->mode |= S_ISGID;
    else if ((inode->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && cred->fsuid != 0 &&
             !cred_in_group(cred, dir->gid))
        inode->mode &= ~(uint32_t)S_ISGID;
}

bool cred_in_group(const struct fs_cred *cred, uint32_t gid)
{
    if (cred->fsgid == gid)
        return true;
    for (unsigned i = 0; i < cred->group_count; i++)
        if (cred->groups[i] == gid)
            return true;
    return false;
}

int inode_permission(const struct fs_cred *cred, struct inode *inode, unsigned want)
{
    uint32_t mode = inode_mode(inode), type = mode & S_IFMT;
    if ((want & MAY_WRITE) && super_has(inode->super, MS_RDONLY) &&
        (type == S_IFREG || type == S_IFDIR || type == S_IFLNK))
        return -EROFS;
    if (cred->fsuid == 0) { /* CAP_DAC_OVERRIDE: all but executing what nobody may execute */
        bool plain_exec = (want & MAY_EXEC) && (mode & S_IFMT) != S_IFDIR;
        return plain_exec && !(mode & 0111) ? -EACCES : 0;
    }
    unsigned granted = mode & 7;
    if (__atomic_load_n(&inode->uid, __ATOMIC_RELAXED) == cred->fsuid)
        granted = (mode >> 6) & 7;
    else if (cred_in_group(cred, __atomic_load_n(&inode->gid, __ATOMIC_RELAXED)))
        granted = (mode >> 3) & 7;
    return (want & ~granted) ? -EACCES : 0;
}

static int check_attr(const struct fs_cred *cred, struct inode *inode,
                      const struct inode_attr *attr)
{
    if (super_has(inode->super, MS_RDONLY))
        return -EROFS;
    if ((attr->valid & ATTR_MODE) && (inode->seals & F_SEAL_EXEC) &&
        ((inode->mode ^ attr->mode) & 0111))
        return -EPERM;
    if (inode->ops && inode->ops->fixed)
        return -EPERM;
    if (cred->fsuid == 0)
        return 0;
    bool owner = cred_owns(cred, inode);
    if ((attr->valid & ATTR_MODE) && !owner)
        return -EPERM;
    if ((attr->valid & ATTR_UID) && !(owner && attr->uid == inode->uid))
        return -EPERM;
    if ((attr->valid & ATTR_GID) &&
        !(owner && (attr->gid == inode->gid || cred_in_group(cred, attr->gid))))
        return -EPERM;
    if ((attr->valid & (ATTR_ATIME | ATTR_MTIME)) && !owner) {
        if (attr->valid & ATTR_TIMES_SET)
            return -EPERM;
        return inode_permission(cred, inode, MAY_WRITE);
    }
    return 0;
}

/* chown takes away set-id bits of what could be executed (chown(2)), whoever calls it; so do writes
 * of the unprivileged. */
static uint32_t mode_after_chown(uint32_t mode)
{
    if ((mode & S_IFMT) == S_IFDIR)
        return mode;
    mode &= ~(uint32_t)S_ISUID;
    return (mode & 0010) ? mode & ~(uint32_t)S_ISGID : mode;
}

int inode_set_attr(const struct fs_cred *cred, struct inode *inode, const struct inode_attr *attr)
{
    mutex_lock(&inode->lock);
    int err = check_attr(cred, inode, attr);
    if (err)
        goto out;
    uint32_t mode = inode->mode;
    if (attr->valid & ATTR_UID)
        __atomic_store_n(&inode->uid, attr->uid, __ATOMIC_RELAXED);
    if (attr->valid & ATTR_GID)
        __atomic_store_n(&inode->gid, attr->gid, __ATOMIC_RELAXED);
    if (attr->valid & (ATTR_UID | ATTR_GID))
        mode = mode_after_chown(mode);
    if (attr->valid & ATTR_MODE) {
        mode = (mode & S_IFMT) | (attr->mode & 07777);
        if (cred->fsuid != 0 && !cred_in_group(cred, inode->gid))
            mode &= ~(uint32_t)S_ISGID;
    }
    __atomic_store_n(&inode->mode, mode, __ATOMIC_RELAXED);
    if (attr->valid & ATTR_ATIME)
        store_time(&inode->atime_ns, attr->atime_ns);
    if (attr->valid & ATTR_MTIME)
        store_time(&inode->mtime_ns, attr->mtime_ns);
    inode_touch(inode, false, true);
out:
    mutex_unlock(&inode->lock);
    return err;
}

/* Linux: file_remove_privs. Set-group-id without x for the group is no right to lose. */
void inode_drop_set_id_locked(struct inode *inode)
{
    uint32_t mode = inode->mode;
    ASSERT(mutex_held(&inode->lock));
    if (!(mode & (S_ISUID | S_ISGID)) || (mode & S_IFMT) != S_IFREG || proc_cred()->fsuid == 0)
        return;
    __atomic_store_n(&inode->mode, mode_after_chown(mode), __ATOMIC_RELAXED);
}

bool inode_size_limited(uint64_t size)
{
    bool limited = size > proc_file_size_limit();
    if (limited)
        proc_file_too_big();
    return limited;
}

int inode_truncate(struct inode *inode, uint64_t size)
{
    if (inode_is(inode, S_IFDIR))
        return -EISDIR;
    if (!inode_is(inode, S_IFREG))
        return -EINVAL;
    if (size > INT64_MAX)
        return -EFBIG;
    if (inode->object.huge_shift && !is_aligned(size, 1ull << inode->object.huge_shift))
        return -EINVAL;
    mutex_lock(&inode->lock);
    uint64_t old = inode_size(inode);
    int err = -EPERM;
    if ((size < old && (inode->seals & F_SEAL_SHRINK)) ||
        (size > old && (inode->seals & F_SEAL_GROW)))
        goto out;
    err = size > old && inode_size_limited(size) ? -EFBIG : vm_object_resize(&inode->object, size);
    if (err)
        goto out;
    /* What was cut off must read as zero if the file grows again. No page of the cut part can be
     * filled in between: it lies beyond the new size. */
    if (size < inode->backing_len)
        __atomic_store_n(&inode->backing_len, size, __ATOMIC_RELAXED);
    inode_drop_set_id_locked(inode);
    inode_touch(inode, true, true);
out:
    mutex_unlock(&inode->lock);
    return err;
}
