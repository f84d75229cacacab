/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: tools/cli/util.c tools/cli/tree.c tools/cli/child.c */
/* clang-format on */
/* include: tools/cli */
/* util_test.c - sizes, lists, paths, the tree of an image, children and their time limits. */
#include "tool_test.h"

#include <errno.h>
#include <signal.h>

#include "child.h"
#include "tree.h"

static void sizes(void **state)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } table[] = {
        {"0", true, 0},
        {"4096", true, 4096},
        {"64K", true, 64 << 10},
        {"64k", true, 64 << 10},
        {"256M", true, 256ull << 20},
        {"256MiB", true, 256ull << 20},
        {"256MB", true, 256ull << 20},
        {"3G", true, 3ull << 30},
        {"15T", true, 15ull << 40},
        {"16777215T", true, 16777215ull << 40},
        {"16777216T", false, 0},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"", false, 0},
        {"M", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 M", false, 0},
        {"1.5G", false, 0},
        {"1X", false, 0},
        {"1MiBx", false, 0},
        {"1Mx", false, 0},
        {"lots", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        uint64_t value = 7;

        if (parse_size(table[i].text, &value) != table[i].good)
            complain("%s", table[i].text);
        assert_int_equal(value, table[i].good ? table[i].value : 7);
    }
}

static void lists(void **state)
{
    struct list list = {0};

    (void)state;
    list_split(&list, ":a::b:c:", ":");
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0], "a");
    assert_string_equal(list.items[2], "c");
    assert_null(list.items[3]);
    assert_true(list_has(&list, "b"));
    assert_false(list_has(&list, ""));
    for (int i = 0; i < 100; i++)
        list_add(&list, "x");
    assert_int_equal(list.count, 103);
    assert_null(list.items[103]);
}

static void paths(void **state)
{
    static const char *const table[][3] = {
        {"/", "/", "/"},
        {"/a", "b", "/a/b"},
        {"/a", "/b", "/b"},
        {"/a/b", "..", "/a"},
        {"/a", "../../..", "/"},
        {"/", "a//b/./c/", "/a/b/c"},
        {"/a b", "c d", "/a b/c d"},
        {"/", "/a/../../b", "/b"},
        {"/a", "", "/a"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_string_equal(path_clean(table[i][0], table[i][1]), table[i][2]);
    assert_string_equal(path_dir("/a/b"), "/a");
    assert_string_equal(path_dir("/a"), "/");
    assert_string_equal(path_dir("/"), "/");
}

static void tree_links(void **state)
{
    struct tree tree = {0};

    (void)state;
    tree_text(&tree, "/usr/lib/x", "body", 0644);
    tree_link(&tree, "/lib", "usr/lib");
    tree_link(&tree, "/usr/up", "../lib/./x");
    tree_link(&tree, "/loop", "/pool");
    tree_link(&tree, "/pool", "loop");
    assert_string_equal(tree_resolve(&tree, "/lib/x")->path, "/usr/lib/x");
    assert_string_equal(tree_resolve(&tree, "/usr/up")->path, "/usr/lib/x");
    assert_null(tree_resolve(&tree, "/loop"));
    assert_null(tree_resolve(&tree, "/lib/y"));
    assert_null(tree_resolve(&tree, "/lib/x/z"));
    assert_int_equal(tree_find(&tree, "/usr/lib")->kind, NODE_DIR); /* parents came into being */
    assert_int_equal(tree_find(&tree, "/")->kind, NODE_DIR);
}

static void tree_last_wins(void **state)
{
    struct stat st = {.st_mode = S_IFDIR | 01777, .st_mtime = 5};
    struct tree tree = {0};

    (void)state;
    tree_text(&tree, "/etc/a", "one", 0644);
    tree_text(&tree, "/etc/a", "three", 0600);
    assert_int_equal(tree_find(&tree, "/etc/a")->len, 5);
    assert_int_equal(tree_find(&tree, "/etc/a")->mode, S_IFREG | 0600);
    tree_link(&tree, "/etc", "elsewhere"); /* a directory stays one */
    assert_int_equal(tree_find(&tree, "/etc")->kind, NODE_DIR);
    tree_dir_like(&tree, "/tmp", &st);
    assert_int_equal(tree_find(&tree, "/tmp")->mode, S_IFDIR | 01777);
    tree_dir(&tree, "/tmp"); /* implied again: keeps its mode */
    assert_int_equal(tree_find(&tree, "/tmp")->mode, S_IFDIR | 01777);
}

static void tree_copies_links(void **state)
{
    char *root = fresh_folder();
    struct tree tree = {0};

    (void)state;
    make_dirs(text("%s/usr/lib", root));
    assert_true(file_write(text("%s/usr/lib/libx.so.1", root), "x", 1));
    assert_int_equal(symlink("usr/lib", text("%s/lib", root)), 0);
    assert_int_equal(symlink("libx.so.1", text("%s/usr/lib/libx.so", root)), 0);
    assert_int_equal(symlink("/lib/loop", text("%s/usr/lib/loop", root)), 0);
    assert_string_equal(tree_copy(&tree, root, "/lib/libx.so"), "/usr/lib/libx.so.1");
    assert_int_equal(tree_find(&tree, "/lib")->kind, NODE_LINK);
    assert_int_equal(tree_find(&tree, "/usr/lib/libx.so")->kind, NODE_LINK);
    assert_int_equal(tree_find(&tree, "/usr/lib/libx.so.1")->kind, NODE_FILE);
    assert_null(tree_copy(&tree, root, "/lib/loop"));
    assert_null(tree_copy(&tree, root, "/lib/nothing"));
    remove_tree(root);
    assert_false(file_exists(root));
}

static void outcomes(void **state)
{
    struct list words = {0};
    struct outcome got;

    (void)state;
    list_split(&words, "sh -c cat;echo\toops>&2;exit\t3", " ");
    outcome_get(&got, &(struct command_line){.words = &words, .input = "in", .seconds = 60});
    assert_int_equal(got.status, 3);
    assert_false(got.late);
    assert_string_equal(got.out.data, "in");
    assert_string_equal(got.err.data, "oops\n");
    words = (struct list){0};
    list_add(&words, "/nosuch/program");
    outcome_get(&got, &(struct command_line){.words = &words});
    assert_int_equal(got.status, EXIT_NOT_FOUND);
    assert_string_equal(got.out.data, "");
}

/* What ignores SIGTERM, and what it started, ends with its time. */
static void time_limit(void **state)
{
    struct list words = {0};
    struct outcome got;

    (void)state;
    list_add(&words, "sh");
    list_add(&words, "-c");
    list_add(&words, "trap '' TERM; sleep 1000 & echo $!; wait");
    outcome_get(&got, &(struct command_line){.words = &words, .seconds = 0.5});
    assert_true(got.late);
    assert_int_equal(got.status, 128 + SIGKILL);
    /* The one in its group is dead too, if perhaps not yet collected. */
    for (int i = 0; i < 1000 && kill((pid_t)atoi(got.out.data), 0) == 0; i++) {
        struct bytes stat = {0};

        file_read(text("/proc/%d/stat", atoi(got.out.data)), &stat);
        if (stat.data && strstr(stat.data, ") Z"))
            return;
        usleep(1000);
    }
    assert_int_equal(kill((pid_t)atoi(got.out.data), 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),          cmocka_unit_test(lists),
        cmocka_unit_test(paths),          cmocka_unit_test(tree_links),
        cmocka_unit_test(tree_last_wins), cmocka_unit_test(tree_copies_links),
        cmocka_unit_test(outcomes),       cmocka_unit_test(time_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
