/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs */
/* clang-format on */
/* cpio_test.c - the archive reader, and the tree that boot makes from an archive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "fake_fs.h"
#include "fs/cpio.h"
#include "mm/kmalloc.h"

static uint8_t archive[1 << 16];
static size_t archive_len;

static void pad(void)
{
    while (archive_len % 4)
        archive[archive_len++] = 0;
}

static void add(unsigned ino, unsigned mode, unsigned nlink, const char *name, const char *body)
{
    size_t len = body ? strlen(body) : 0;
    archive_len +=
        (size_t)sprintf((char *)archive + archive_len,
                        "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", ino, mode,
                        3u, 4u, nlink, 1000u, len, 0u, 0u, 1u, 3u, strlen(name) + 1, 0u);
    strcpy((char *)archive + archive_len, name);
    archive_len += strlen(name) + 1;
    pad();
    memcpy(archive + archive_len, body ? body : "", len);
    archive_len += len;
    pad();
}

static void start(void)
{
    memset(archive, 0, sizeof(archive));
    archive_len = 0;
}

static void trailer(void)
{
    add(0, 0, 1, "TRAILER!!!", NULL);
}

static int read_all(size_t len)
{
    struct cpio cpio;
    struct cpio_entry e;
    int err, count = 0;
    uint8_t *copy = malloc(len ? len : 1); /* exact size: asan sees every overrun */
    memcpy(copy, archive, len);
    cpio_init(&cpio, copy, len);
    while ((err = cpio_next(&cpio, &e)) == 1) {
        count++;
        volatile uint8_t sum = 0;
        for (size_t i = 0; i < e.body_len; i++)
            sum = (uint8_t)(sum ^ e.body[i]);
        (void)sum;
        assert_int_equal(strlen(e.name), e.name_len);
    }
    free(copy);
    return err ? err : count;
}

static void sample(void)
{
    start();
    add(1, 0040755, 2, ".", NULL);
    add(2, 0100644, 1, "etc/passwd", "root:x:0:0\n");
    add(9, 0040700, 2, "etc/.", NULL); /* the directory itself, not the root */
    add(3, 0120777, 1, "link", "etc/passwd");
    add(4, 0100755, 2, "bin/a", NULL);
    add(4, 0100755, 2, "bin/b", "same file");
    add(5, 0020666, 1, "null", NULL);
    trailer();
}

static void good_archives(void **state)
{
    (void)state;
    sample();
    assert_int_equal(read_all(archive_len), 7);
    archive_len += 512; /* padding, then a second archive */
    add(1, 0100644, 1, "second", "2");
    trailer();
    assert_int_equal(read_all(archive_len), 8);
    start();
    assert_int_equal(read_all(0), 0);
    assert_int_equal(read_all(4096), 0);
}

static void bad_archives(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        char byte;
    } damage[] = {{0, 'x'}, {5, '3'}, {6, 'g'}, {54, 'z'}, {94, 'f'}, {101, '0'}, {110, 0}};
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        sample();
        archive[damage[i].at] = (uint8_t)damage[i].byte;
        assert_int_equal(read_all(archive_len), -EINVAL);
    }
    sample(); /* cut anywhere: an error or a shorter list, never a wild read */
    size_t whole = archive_len;
    for (size_t len = 0; len < whole; len++)
        assert_true(read_all(len) <= 7);
}

static void random_damage(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 20000; round++) {
        sample();
        for (int n = rand() % 8; n >= 0; n--)
            archive[(size_t)rand() % archive_len] = (uint8_t)rand();
        read_all(archive_len);
    }
}

static int boot(void)
{
    fake_hal_init(32u << 20);
    return fake_fs_boot(archive, archive_len);
}

static void tree_from_archive(void **state)
{
    (void)state;
    char text[64];
    struct file *file, *other;
    struct kstat st;
    sample();
    assert_int_equal(boot(), 0);
    assert_int_equal(fs_open(fake_context, "/link", O_RDWR, 0, &file), 0);
    assert_int_equal(file_pread(file, text, sizeof text, 0), 11);
    assert_memory_equal(text, "root:x:0:0\n", 11);
    assert_int_equal(file_stat(file, &st), 0);
    assert_int_equal(st.uid, 3);
    assert_int_equal(st.mode, 0100644);
    assert_int_equal(st.mtime_ns / NS_PER_SEC, 1000);
    assert_int_equal(st.blocks, 8);
    /* Changes stay in memory; what was cut off does not come back from the archive. */
    assert_int_equal(file_write(file, "ROOT", 4), 4);
    assert_int_equal(file->ops->truncate(file, 6), 0);
    assert_int_equal(file->ops->truncate(file, 11), 0);
    assert_int_equal(file_pread(file, text, sizeof text, 0), 11);
    assert_memory_equal(text, "ROOT:x\0\0\0\0\0", 11);
    file_put(file);
    assert_int_equal(fs_open(fake_context, "/etc", O_RDONLY, 0, &file), 0);
    assert_int_equal(inode_mode(file->inode), 040700);
    file_put(file);
    assert_int_equal(inode_mode(vfs_root->inode), 040755);
    assert_int_equal(fs_open(fake_context, "/bin/a", O_RDONLY, 0, &file), 0);
    assert_int_equal(fs_open(fake_context, "/bin/b", O_RDONLY, 0, &other), 0);
    assert_ptr_equal(file->inode, other->inode);
    assert_int_equal(file->inode->nlink, 2);
    assert_int_equal(file_size(file), 9);
    file_put(file);
    file_put(other);
    assert_int_equal(fs_open(fake_context, "/null", O_RDWR, 0, &file), 0);
    assert_int_equal(file_pread(file, text, 4, 0), 0);
    file_put(file);
    fake_fs_end();
}

static void bad_trees(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned mode;
    } bad[] = {{"../x", 0100644}, {"a/../b", 0100644}, {"..", 0040755},
               {"x", 0170000},    {"/", 0100644},      {"l", 0120777}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        start();
        add(1, bad[i].mode, 1, bad[i].name, NULL);
        trailer();
        assert_true(boot() < 0);
    }
    start(); /* a file where a directory must be */
    add(1, 0100644, 1, "f", "x");
    add(2, 0100644, 1, "f/g", "x");
    trailer();
    assert_int_equal(boot(), -ENOTDIR);
    start(); /* later entries replace earlier ones */
    add(1, 0100644, 1, "f", "old");
    add(2, 0100644, 1, "f", "newer");
    add(3, 0040700, 2, "d", NULL);
    add(3, 0040711, 2, "d", NULL);
    trailer();
    assert_int_equal(boot(), 0);
    struct file *file;
    assert_int_equal(fs_open(fake_context, "/f", O_RDONLY, 0, &file), 0);
    assert_int_equal(file_size(file), 5);
    file_put(file);
    fake_fs_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_archives), cmocka_unit_test(bad_archives),
        cmocka_unit_test(random_damage), cmocka_unit_test(tree_from_archive),
        cmocka_unit_test(bad_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
