/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: fs unit/fs/host_model.c */
/* covers: kernel/fs/path.c kernel/fs/namei.c kernel/fs/dentry.c kernel/fs/open.c kernel/fs/ramfs.c
 */
/* length: 256 */
/* runs: 1000 */
/*
 * vfs_fuzz.c - path resolution and name operations. The model is the host: each operation is done
 * in our ramfs and in a folder of the host's tmpfs, results must be the same, and in the end every
 * path shows the same type, link count, size and link text. Paths are made of the names a, b, c and
 * of ".", "..", empty and overlong parts; each climbs once at most, which the folder's depth
 * allows for, links included. Without a tmpfs and root's rights only our half is run.
 */
#include <string.h>

#include "fs/fake_fs.h"
#include "fs/host_model.h"
#include "lib/string.h"
#include "machine.h"

#define DEPTH 12 /* of host_begin's folder */
#define PATHS 24

static struct fuzz_input in;
static bool host; /* there is one */
static char longest[300];

static const char *const names[] = {"a", "b", "c", "a", "b", "..", ".", ""};

/* Up to four parts from two bytes; now and then an overlong one. */
static void make_path(char *out)
{
    uint32_t code = fuzz_u16(&in);
    unsigned parts = 1 + code % 7 % 4;
    bool climbed = false;

    *out = 0;
    if ((code & 0xff) == 0xfe) {
        strcpy(out, longest + (code >> 8) % 64);
        return;
    }
    code >>= 3;
    for (unsigned i = 0; i < parts; i++, code >>= 3) {
        if (i)
            strcat(out, "/");
        bool up = (code & 7) == 5;
        strcat(out, up && climbed ? "a" : names[code & 7]);
        climbed |= up;
    }
    if (*out == '/') /* from the root: leave that to the host's others */
        *out = 'a';
    if (*out && (code & 1))
        strcat(out, "/");
}

static int our_open(const char *path, uint32_t flags)
{
    struct file *file;
    int err = fs_open(fake_context, path, flags, 0644, &file);

    if (err == 0)
        file_put(file);
    return err;
}

static int our_link(const char *from, const char *to)
{
    struct dentry *old = NULL;
    int err = path_lookup(fake_context, NULL, from, 0, &old);

    if (err == 0)
        err = vfs_link(fake_context, old, NULL, to);
    dentry_put(old);
    return err;
}

static void same(const char *what, const char *p, const char *q, uint32_t flags, int ours,
                 int theirs)
{
    FUZZ_TRACE("%s \"%.40s\" \"%.40s\" %o: %d, host %d\n", what, p, q, flags, ours, theirs);
    FUZZ_CHECK(!host || ours == theirs);
}

static void check_path(const char *path)
{
    char ours[300], theirs[300];

    our_stat(path, ours, sizeof(ours));
    if (host)
        host_stat(path, theirs, sizeof(theirs));
    FUZZ_TRACE("stat \"%.40s\": %s\n", path, ours);
    FUZZ_CHECK(!host || strcmp(ours, theirs) == 0);
    our_readlink(path, ours, sizeof(ours));
    if (host)
        host_readlink(path, theirs, sizeof(theirs));
    FUZZ_CHECK(!host || strcmp(ours, theirs) == 0);
}

static void one_step(void)
{
    static const uint32_t open_flags[] = {O_RDONLY,
                                          O_WRONLY,
                                          O_RDWR | O_CREAT,
                                          O_WRONLY | O_CREAT | O_EXCL,
                                          O_RDONLY | O_DIRECTORY,
                                          O_RDONLY | O_NOFOLLOW,
                                          O_WRONLY | O_CREAT | O_TRUNC,
                                          O_RDONLY | O_CREAT | O_NOFOLLOW,
                                          O_PATH,
                                          O_PATH | O_NOFOLLOW,
                                          O_PATH | O_DIRECTORY,
                                          O_RDWR | O_TRUNC};
    static const unsigned rename_flags[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    char p[320], q[320];
    uint8_t what = fuzz_u8(&in), flag = what / 10;
    uint32_t flags;

    make_path(p);
    switch (what % 10) {
    case 0:
    case 1:
        same("mkdir", p, "", 0, vfs_make(fake_context, NULL, p, S_IFDIR | 0755, 0),
             host ? host_mkdir(p, 0755) : 0);
        break;
    case 2:
        same("rmdir", p, "", 0, vfs_unlink(fake_context, NULL, p, true), host ? host_rmdir(p) : 0);
        break;
    case 3:
        same("unlink", p, "", 0, vfs_unlink(fake_context, NULL, p, false),
             host ? host_unlink(p) : 0);
        break;
    case 4:
    case 5:
        make_path(q);
        flags = rename_flags[flag % ARRAY_COUNT(rename_flags)];
        same("rename", p, q, flags, vfs_rename(fake_context, NULL, p, NULL, q, flags),
             host ? host_rename(p, q, flags) : 0);
        break;
    case 6:
        make_path(q);
        same("link", p, q, 0, our_link(p, q), host ? host_link(p, q) : 0);
        break;
    case 7:
        make_path(q);
        same("symlink", p, q, 0, vfs_symlink(fake_context, p, NULL, q),
             host ? host_symlink(p, q) : 0);
        break;
    case 8:
        flags = open_flags[flag % ARRAY_COUNT(open_flags)];
        same("open", p, "", flags, our_open(p, flags), host ? host_open(p, (int)flags, 0644) : 0);
        break;
    default:
        if (flag == 0)
            dentry_shrink(50);
        same("truncate", p, "", flag, our_truncate(p, flag * 1000u),
             host ? host_truncate(p, flag * 1000) : 0);
        break;
    }
}

static void clean_ours(struct dentry *dir)
{
    uint64_t cookie = 0;
    struct dentry *child;

    while ((child = dentry_next_child(dir, NULL, &cookie))) {
        char name[256];
        bool is_dir = inode_is(child->inode, S_IFDIR);

        if (is_dir)
            clean_ours(child);
        memcpy(name, child->name, child->name_len);
        name[child->name_len] = 0;
        dentry_put(child);
        FUZZ_CHECK(vfs_unlink(fake_context, dir, name, is_dir) == 0);
        cookie = 0;
    }
}

static void start(void)
{
    memset(longest, 'n', sizeof(longest) - 1);
    fake_hal_init(32u << 20);
    FUZZ_CHECK(fake_fs_boot(NULL, 0) == 0);
    fake_context->umask = 022;
    for (int depth = 0; depth <= DEPTH; depth++) {
        FUZZ_CHECK(vfs_make(fake_context, NULL, "w", S_IFDIR | 0755, 0) == 0);
        FUZZ_CHECK(fs_context_chdir(fake_context, "w") == 0);
    }
    host = host_begin();
    if (host)
        atexit(host_end);
}

/* Where a run starts: the folder itself and those above it hold no a, b or c. */
static void clean(void)
{
    struct dentry *dir = context_cwd(fake_context);

    for (int up = 0; up <= 8; up++) {
        struct dentry *parent = dentry_parent(dir);
        uint64_t cookie = 0;

        if (up == 0) {
            clean_ours(dir);
        } else {
            for (struct dentry *child; (child = dentry_next_child(dir, NULL, &cookie)); cookie++) {
                bool ours = child->name[0] != 'w';

                if (ours && inode_is(child->inode, S_IFDIR))
                    clean_ours(child);
                char name[256];
                memcpy(name, child->name, child->name_len);
                name[child->name_len] = 0;
                bool is_dir = inode_is(child->inode, S_IFDIR);
                dentry_put(child);
                if (ours)
                    FUZZ_CHECK(vfs_unlink(fake_context, dir, name, is_dir) == 0);
            }
        }
        dentry_put(dir);
        dir = parent;
    }
    dentry_put(dir);
    if (host)
        FUZZ_CHECK(host_clean(8) == 0);
    dentry_shrink(1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;

    if (!started)
        start();
    started = true;
    in = (struct fuzz_input){data, size, 0};
    clean();
    struct machine_account before = machine_count();
    while (fuzz_more(&in))
        one_step();
    for (uint16_t code = 0; code < PATHS; code++) {
        uint8_t bytes[2] = {(uint8_t)(code * 37), (uint8_t)(code * 11)};
        char path[320];

        in = (struct fuzz_input){bytes, 2, 0};
        make_path(path);
        check_path(path);
    }
    clean();
    machine_check(&before);
    return 0;
}
