/* SPDX-License-Identifier: BSD-3-Clause */
/* pseudo.c - generated files, see pseudo.h. The kept text is guarded by the file's pos_lock; pread,
 * which does not take it, makes a text of its own each time. */
#include "fs/pseudo.h"

#include "core/assert.h"
#include "fs/fcntl.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"

#define TEXT_FIRST 1024u
#define TEXT_MAX (16u << 20)
#define STORE_MAX 4096u

struct text {
    size_t len;
    char data[];
};

static const struct pseudo_item *item_of(const struct inode *inode)
{
    return inode->data;
}

/* Make the text, growing the buffer until it fits (it may change between two tries). */
static int make_text(struct inode *inode, struct text **out)
{
    const struct pseudo_item *item = item_of(inode);
    for (size_t size = TEXT_FIRST; size <= TEXT_MAX;) {
        struct text *text = kmalloc(sizeof(*text) + size, ALLOC_DEFAULT);
        if (!text)
            return -ENOMEM;
        struct strbuf sb = {text->data, size, 0};
        int err = 0;
        if (item->show)
            err = item->show(inode, &sb);
        else
            strbuf_append(&sb, item->text, strlen(item->text));
        if (err == 0 && sb.len < size) { /* printf-like fillers keep a NUL: full means truncated */
            text->len = sb.len;
            *out = text;
            return 0;
        }
        kfree(text);
        if (err)
            return err;
        size = MAX(size * 2, sb.len + sb.len / 4 + 1);
    }
    return -EFBIG;
}

static long pseudo_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    bool kept = pos == &file->pos; /* pos_lock is held */
    struct text *text = kept ? file->private_data : NULL;
    if (!text || *pos == 0) {
        struct text *fresh;
        int err = make_text(file->inode, &fresh);
        if (err)
            return err;
        if (kept) {
            kfree(text);
            file->private_data = fresh;
        }
        text = fresh;
    }
    long n = 0;
    if ((uint64_t)*pos < text->len) {
        n = iov_copy_to(to, text->data + *pos, MIN(text->len - (size_t)*pos, to->left));
        if (n > 0)
            *pos += n;
    }
    if (!kept)
        kfree(text);
    return n;
}

static long pseudo_write(struct file *file, struct iov_iter *from, off64_t *pos)
{
    const struct pseudo_item *item = item_of(file->inode);
    if (!item->store)
        return -EIO;
    size_t len = MIN(from->left, (size_t)STORE_MAX);
    char *text = kmalloc(len + 1, ALLOC_DEFAULT);
    if (!text)
        return -ENOMEM;
    long n = iov_copy_from(from, text, len);
    if (n > 0) {
        text[n] = '\0';
        int err = item->store(file->inode, text, (size_t)n);
        if (err)
            n = err;
        else
            *pos += n;
    }
    kfree(text);
    return n;
}

static void pseudo_release(struct file *file)
{
    kfree(file->private_data);
}

static const struct file_ops pseudo_file_ops = {
    .read = pseudo_read,
    .write = pseudo_write,
    .seek = file_seek_endless,
    .release = pseudo_release,
};

/* What can only be written is not opened for reading even by root (Linux, sysctl_perm). */
static int pseudo_open(struct inode *inode, struct file *file)
{
    const struct pseudo_item *item = item_of(inode);
    bool reads = (file->flags & O_ACCMODE) != O_WRONLY;
    bool ours = (item->mode & S_IFMT) == S_IFREG && !item->ops;
    return reads && ours && !item->show && !item->text ? -EACCES : 0;
}

const struct inode_ops pseudo_inode_ops = {.fixed = true, .open = pseudo_open};

struct inode *pseudo_inode(struct super *super, const struct pseudo_item *item)
{
    struct inode *inode = inode_alloc(super, item->mode);
    if (!inode)
        return NULL;
    inode->ops = &pseudo_inode_ops;
    inode->data = item;
    if ((item->mode & S_IFMT) == S_IFREG)
        inode->file_ops = item->ops ? item->ops : &pseudo_file_ops;
    else if ((item->mode & S_IFMT) == S_IFDIR)
        inode->file_ops = &dir_file_ops;
    if ((item->mode & S_IFMT) == S_IFLNK && item->text) {
        inode->target = (char *)(uintptr_t)item->text;
        inode->flags |= INODE_STATIC_TARGET;
        inode->object.size = strlen(item->text);
    }
    return inode;
}

/* The directory `name` in dir, made if it is not there. Consumes dir's reference. */
static int enter_dir(struct super *super, struct dentry **dir, const char *name, size_t len)
{
    static const struct pseudo_item item = {.mode = S_IFDIR | 0555};
    struct dentry *child = dentry_lookup(*dir, name, len);
    int err = 0;
    if (!child) {
        struct inode *inode = pseudo_inode(super, &item);
        err = inode ? vfs_add(*dir, name, len, inode, &child) : -ENOMEM;
        inode_put(inode);
    }
    dentry_put(*dir);
    *dir = child;
    return err;
}

static int add_one(struct super *super, const char *path, const struct pseudo_item *item,
                   uint64_t key)
{
    struct dentry *dir = super->root;
    dentry_get(dir);
    const char *name = path, *slash;
    int err = 0;
    while (err == 0 && (slash = strchr(name, '/')) != NULL) {
        err = enter_dir(super, &dir, name, (size_t)(slash - name));
        name = slash + 1;
    }
    if (err == 0) {
        struct inode *inode = pseudo_inode(super, item);
        if (inode)
            inode->key[0] = key;
        err = inode ? vfs_add(dir, name, strlen(name), inode, NULL) : -ENOMEM;
        inode_put(inode);
    }
    dentry_put(dir);
    return err;
}

int pseudo_add(struct super *super, const struct pseudo_item *items, size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++)
        err = add_one(super, items[i].path, &items[i], 0);
    return err;
}

int pseudo_add_below(struct super *super, const char *dir, const struct pseudo_item *items,
                     size_t count, uint64_t key)
{
    char path[128];
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        int len = snprintf(path, sizeof(path), "%s/%s", dir, items[i].path);
        err = (size_t)len < sizeof(path) ? add_one(super, path, &items[i], key) : -ENAMETOOLONG;
    }
    return err;
}
