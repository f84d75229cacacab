/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: fs */
/* covers: kernel/fs/initrd.c kernel/fs/cpio.c */
/* lines: 95 */
/* length: 768 */
/* runs: 20000 */
/*
 * initrd_fuzz.c - the root file system from an archive: unpacked below a directory that is emptied
 * afterwards. Whatever was made can be listed, opened and read to its end; link counts are those of
 * the names there are; nothing is left when it is gone.
 */
#include <string.h>

#include "fs/fake_fs.h"
#include "machine.h"

static volatile unsigned sink;
static unsigned names;

static void read_file(struct dentry *dir, const struct dentry *dentry)
{
    static uint8_t buffer[4096];
    char name[256];
    struct file *file;
    long n;

    memcpy(name, dentry->name, dentry->name_len);
    name[dentry->name_len] = 0;
    if (vfs_open(fake_context, dir, name, O_RDONLY, 0, 0, &file))
        return;
    for (off64_t off = 0; (n = file_pread(file, buffer, sizeof(buffer), off)) > 0; off += n)
        sink += buffer[0] + buffer[n - 1];
    FUZZ_CHECK(n == 0);
    file_put(file);
}

static void look(struct dentry *dir, unsigned depth)
{
    uint64_t cookie = 0;
    struct dentry *child;
    char target[4096];

    for (; (child = dentry_next_child(dir, NULL, &cookie)); cookie++) {
        struct kstat st;

        names++;
        inode_stat(child->inode, &st);
        FUZZ_CHECK(st.nlink > 0);
        if (inode_is(child->inode, S_IFREG))
            read_file(dir, child);
        else if (inode_is(child->inode, S_IFLNK))
            FUZZ_CHECK(vfs_readlink(child, target, sizeof(target)) > 0);
        else if (inode_is(child->inode, S_IFDIR) && depth < 300)
            look(child, depth + 1);
        dentry_put(child);
    }
}

/* Remove all names below dir, by the calls that programs use. */
static void empty(struct dentry *dir, unsigned depth)
{
    uint64_t cookie = 0;
    struct dentry *child;

    while ((child = dentry_next_child(dir, NULL, &cookie))) {
        char name[256];
        bool is_dir = inode_is(child->inode, S_IFDIR);

        if (is_dir && depth < 300)
            empty(child, depth + 1);
        memcpy(name, child->name, child->name_len);
        name[child->name_len] = 0;
        dentry_put(child);
        FUZZ_CHECK(vfs_unlink(fake_context, dir, name, is_dir) == 0);
        cookie = 0;
    }
}

static struct dentry *start(void)
{
    struct dentry *dir;

    fake_hal_init(32u << 20);
    FUZZ_CHECK(fake_fs_boot(NULL, 0) == 0);
    FUZZ_CHECK(vfs_make(fake_context, NULL, "/w", S_IFDIR | 0755, 0) == 0);
    FUZZ_CHECK(path_lookup(fake_context, NULL, "/w", 0, &dir) == 0);
    return dir;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dentry *root;
    /* The archive stays as long as what was made of it. */
    uint8_t *archive = malloc(size ? size : 1);

    if (!root)
        root = start();
    FUZZ_CHECK(archive);
    memcpy(archive, data, size);
    fake_console_reset();
    dentry_shrink(1000);
    struct machine_account before = machine_count();
    int err = initrd_unpack(archive, size, root);
    FUZZ_CHECK(err <= 0);
    names = 0;
    look(root, 0);
    FUZZ_TRACE("error %d, %u names\n", err, names);
    empty(root, 0);
    dentry_shrink(1000);
    FUZZ_CHECK(root->inode->nlink == 2);
    machine_check(&before);
    free(archive);
    return 0;
}
