/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: fs */
/* covers: kernel/fs/mount.c kernel/fs/mountopt.c */
/* length: 300 */
/* lines: 95 */
/* runs: 2000 */
/*
 * mount_fuzz.c - file systems mounted, told other things, moved, taken away, while names are made
 * in them and files are open. After each operation the tree of mounts is as mount.c says, each line
 * of /proc/mounts has its six words, and the options there mean what the file system was told; in
 * the end all can be taken away and nothing is left.
 */
#include <string.h>

#include "fs/fake_fs.h"
#include "fs/fcntl.h"
#include "lib/format.h"
#include "machine.h"

#define STEPS 40
#define OPEN 4u
#define SHOWN (256u << 10)

static const char *const paths[] = {"/m",       "/m/a", "/m/a/b", "/m/c",
                                    "/m/a/b/d", "/m/f", "/",      "/m/x y"};
static const char *const types[] = {"tmpfs", "ramfs",    "hugetlbfs", "proc",
                                    "sysfs", "devtmpfs", "ext4",      ""};
static struct file *files[OPEN];
static unsigned mounts_at_boot;
static struct super_options root_options;

static const char *path_of(struct fuzz_input *in)
{
    return paths[fuzz_u8(in) % ARRAY_COUNT(paths)];
}

/* So many bytes as the first one says, up to a zero. */
static const char *text_of(struct fuzz_input *in, char *buf, unsigned max)
{
    unsigned len = fuzz_u8(in) % max;

    memset(buf, 0, max);
    for (unsigned i = 0; i < len; i++)
        buf[i] = (char)fuzz_u8(in);
    return buf;
}

/* ---- what must hold ---- */

static unsigned check_tree(void)
{
    unsigned count = 0;

    list_for_each (node, &vfs_supers) {
        const struct super *super = list_entry(node, struct super, link);

        count++;
        FUZZ_CHECK(!super->detached);
        if (super->root == vfs_root) {
            FUZZ_CHECK(!super->covered);
            continue;
        }
        FUZZ_CHECK(super->covered && super->covered->mounted == super);
        /* What it stands in is mounted, too, up to the root. */
        const struct super *above = super;
        for (unsigned depth = 0; above->root != vfs_root; depth++) {
            FUZZ_CHECK(above->covered && depth < 1000);
            above = above->covered->inode->super;
        }
    }
    return count;
}

static bool is_flag(const char *word)
{
    static const char *const flags[] = {"ro",          "rw",      "nosuid",     "nodev",   "noexec",
                                        "nosymfollow", "noatime", "nodiratime", "relatime"};

    for (size_t i = 0; i < ARRAY_COUNT(flags); i++)
        if (strcmp(word, flags[i]) == 0)
            return true;
    return false;
}

/* The options of a line, read again, are those that the file system has. */
static void check_options(const struct super *super, char *shown)
{
    struct super_options got = {.mode = super->options.mode, .huge_shift = super->huge_shift};
    const struct super_options *o = &super->options;
    char rest[512] = "";

    for (char *at = shown, *next; at; at = next) {
        next = strchr(at, ',');
        if (next)
            *next++ = 0;
        if (is_flag(at))
            continue;
        FUZZ_CHECK(strlen(rest) + strlen(at) + 2 < sizeof(rest));
        strcat(strcat(rest, at), ",");
    }
    FUZZ_TRACE("%s: %s\n", super->type, rest);
    if (strcmp(super->type, "tmpfs") != 0 && strcmp(super->type, "hugetlbfs") != 0)
        return;
    FUZZ_CHECK(super_parse(super->type, rest, &got) == 0);
    FUZZ_CHECK(got.uid == o->uid && got.gid == o->gid && got.mode == o->mode);
    FUZZ_CHECK(got.inodes == o->inodes || strcmp(super->type, "tmpfs") != 0);
    FUZZ_CHECK(got.size == o->size || o->size == SUPER_NO_LIMIT);
    FUZZ_CHECK(got.min_size == o->min_size && got.huge_shift == super->huge_shift);
}

static void check_shown(unsigned count)
{
    static char text[SHOWN];
    struct strbuf sb = {.buf = text, .size = sizeof(text)};
    struct list *node = vfs_supers.next;
    char *line = text;

    FUZZ_CHECK(mounts_show(&sb, false) == 0 && sb.len < sizeof(text));
    text[sb.len] = 0;
    for (; count; count--, node = node->next) {
        char *end = strchr(line, '\n'), *word[6];
        unsigned words = 0;

        FUZZ_CHECK(end);
        *end = 0;
        for (char *at = line; at; words++) {
            FUZZ_CHECK(words < 6);
            word[words] = at;
            at = strchr(at, ' ');
            if (at)
                *at++ = 0;
        }
        FUZZ_CHECK(words == 6);
        check_options(list_entry(node, struct super, link), word[3]);
        line = end + 1;
    }
    FUZZ_CHECK(*line == 0);
    sb = (struct strbuf){.buf = text, .size = sizeof(text)};
    FUZZ_CHECK(mounts_show(&sb, true) == 0 && sb.len < sizeof(text));
}

/* ---- operations ---- */

static void mount(struct fuzz_input *in)
{
    static const uint32_t more[] = {0, 0, 0, 32, 32 | 1, 4096, 1u << 18, 0xc0ed0000};
    char data[64], source[16];
    const char *target = path_of(in), *type = types[fuzz_u8(in) % ARRAY_COUNT(types)];
    uint8_t how = fuzz_u8(in);
    uint32_t flags = (how & 0x1f) * 1u | more[how >> 5];

    text_of(in, source, sizeof(source));
    text_of(in, data, sizeof(data));
    int err = vfs_mount(fake_context, source, target, type, flags, data);
    FUZZ_CHECK(err <= 0);
    FUZZ_TRACE("mount %s at %s flags %x data %s: %d\n", type, target, flags, data, err);
}

static void move(struct fuzz_input *in)
{
    const char *from = path_of(in), *to = path_of(in);
    int err = vfs_mount(fake_context, from, to, NULL, 8192, NULL);

    FUZZ_CHECK(err <= 0);
    FUZZ_TRACE("move %s to %s: %d\n", from, to, err);
}

static void umount(struct fuzz_input *in)
{
    const char *target = path_of(in);
    uint8_t flags = fuzz_u8(in) % 32;
    int err = vfs_umount(fake_context, target, flags);

    FUZZ_CHECK(err <= 0);
    FUZZ_TRACE("umount %s flags %x: %d\n", target, flags, err);
}

static void hold(struct fuzz_input *in)
{
    struct file **slot = &files[fuzz_u8(in) % OPEN];
    const char *path = path_of(in);
    bool write = fuzz_u8(in) & 1;

    if (*slot) {
        FUZZ_TRACE("close\n");
        file_put(*slot);
        *slot = NULL;
        return;
    }
    int err =
        vfs_open(fake_context, NULL, path, write ? O_RDWR | O_CREAT : O_RDONLY, 0644, 0, slot);
    if (err)
        *slot = NULL;
    FUZZ_TRACE("open %s: %d\n", path, err);
    if (!err && write)
        FUZZ_CHECK(file_write(*slot, paths, 16) <= 16);
}

static void operation(struct fuzz_input *in)
{
    uint8_t op = fuzz_u8(in);
    const char *path;

    switch (op % 8) {
    case 0:
    case 1:
    case 2:
        mount(in);
        break;
    case 3:
        move(in);
        break;
    case 4:
        umount(in);
        break;
    case 5:
        hold(in);
        break;
    case 6:
        path = path_of(in);
        FUZZ_TRACE("mkdir %s\n", path);
        FUZZ_CHECK(vfs_make(fake_context, NULL, path, S_IFDIR | 0755, 0) <= 0);
        break;
    default:
        path = path_of(in);
        FUZZ_TRACE("remove %s\n", path);
        FUZZ_CHECK(vfs_unlink(fake_context, NULL, path, op & 8) <= 0);
        break;
    }
}

/* All away: what is mounted, the innermost last, then the names. */
static void end_all(void)
{
    static char path[4096];

    for (unsigned i = 0; i < OPEN; i++) {
        if (files[i])
            file_put(files[i]);
        files[i] = NULL;
    }
    for (unsigned count; (count = check_tree()) > mounts_at_boot;) {
        struct super *last = list_entry(vfs_supers.prev, struct super, link);

        FUZZ_CHECK(dentry_path(last->root, NULL, path, sizeof(path)) >= 0);
        FUZZ_CHECK(vfs_umount(fake_context, path, 2) == 0);
        FUZZ_CHECK(check_tree() < count);
    }
    vfs_root->inode->super->options = root_options; /* the root stays what it was, too */
    FUZZ_CHECK(vfs_mount(fake_context, NULL, "/", NULL, 32, NULL) == 0);
    for (size_t i = ARRAY_COUNT(paths); i-- > 0;)
        for (int dir = 0; dir < 2; dir++)
            FUZZ_CHECK(vfs_unlink(fake_context, NULL, paths[i], dir) <= 0);
    dentry_shrink(1000);
}

/* The table of names has grown, once for all, to what an input can mount. */
static void boot(void)
{
    fake_hal_init(64u << 20);
    FUZZ_CHECK(fake_fs_boot(NULL, 0) == 0);
    mounts_at_boot = check_tree();
    root_options = vfs_root->inode->super->options;
    FUZZ_CHECK(vfs_make(fake_context, NULL, "/m", S_IFDIR | 0755, 0) == 0);
    for (unsigned i = 0; i < STEPS + 2; i++) /* the one with the most names */
        FUZZ_CHECK(vfs_mount(fake_context, "proc", "/m", "proc", 0, NULL) == 0);
    end_all();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool booted;
    struct fuzz_input in = {data, size, 0};
    struct machine_account before;

    if (!booted) {
        boot();
        booted = true;
    }
    fake_console_reset();
    dentry_shrink(1000);
    before = machine_count();
    FUZZ_CHECK(vfs_make(fake_context, NULL, "/m", S_IFDIR | 0755, 0) == 0);
    FUZZ_CHECK(vfs_make(fake_context, NULL, "/m/a", S_IFDIR | 0755, 0) == 0);
    for (unsigned step = 0; fuzz_more(&in) && step < STEPS; step++) {
        operation(&in);
        check_shown(check_tree());
    }
    end_all();
    machine_check(&before);
    return 0;
}
