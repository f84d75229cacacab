/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: tools/cli/closure.c tools/cli/cmdline.c tools/cli/gather.c tools/cli/elfscan.c tools/cli/tree.c tools/cli/util.c */
/* clang-format on */
/* include: tools/cli */
/* closure_test.c - which libraries come along with a program, from where, and what is refused. */
#include "tool_test.h"

#include "elf_file.h"
#include "run.h"

/* No packages here: what the program names is all there is. */
char *dpkg_owner(const char *path)
{
    (void)path;
    return NULL;
}

bool dpkg_family(const char *package, struct list *names)
{
    (void)package;
    (void)names;
    return false;
}

bool dpkg_add_data(struct tree *tree, const char *package)
{
    (void)tree;
    (void)package;
    return false;
}

const char *packages_tree(const struct list *packages, const char *arch)
{
    (void)packages;
    (void)arch;
    return "/nonexistent";
}

bool package_keep(const char *guest_path)
{
    (void)guest_path;
    return true;
}

const char *const backend_names[BACKEND_COUNT] = {"hosted", "x64", "aarch64"};

static char *folder;

static char *at(const char *name)
{
    return text("%s/%s", folder, name);
}

static int make_folder(void **state)
{
    (void)state;
    folder = realpath(fresh_folder(), NULL);
    make_dirs(at("lib"));
    make_dirs(at("deep/lib"));
    make_dirs(at("bin"));
    elf_write(at("ld.so"), &(struct elf_file){.machine = EM_X86_64});
    elf_write(at("lib/libleaf.so"), &(struct elf_file){.machine = EM_X86_64});
    elf_write(at("lib/libmid.so"), &(struct elf_file){.needed = {"libleaf.so"}});
    elf_write(at("lib/libring.so"),
              &(struct elf_file){.needed = {"libgnir.so"}, .runpath = "$ORIGIN"});
    elf_write(at("lib/libgnir.so"),
              &(struct elf_file){.needed = {"libring.so"}, .runpath = "${ORIGIN}/."});
    elf_write(at("lib/libarm.so"), &(struct elf_file){.machine = EM_AARCH64});
    elf_write(at("deep/lib/libarm.so"), &(struct elf_file){.machine = EM_X86_64});
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_tree(folder);
    return 0;
}

struct
try {
    struct run_options options;
    struct tree tree;
    struct list inputs;
};

static void gather_try(void *arg)
{
    struct try *try = arg;

    gather(&try->options, &try->tree, &try->inputs);
}

/* Gather bin/prog as described. The exit status, 0 if it went well; then the tree is filled. */
static int gathers(struct try *try, struct elf_file file, char *said)
{
    static char *argv[2];
    int status;

    if (!file.interpreter)
        file.interpreter = at("ld.so");
    elf_write(at("bin/prog"), &file);
    argv[0] = at("bin/prog");
    try->options.argv = argv;
    try->options.argc = 1;
    status = status_of(gather_try, try, said, 1000);
    if (status == 0)
        gather_try(try);
    return status;
}

static bool has(struct try *try, const char *name)
{
    return tree_find(&try->tree, at(name)) != NULL;
}

static void runpath_is_the_objects_own(void **state)
{
    struct try good = {0}, bad = {0};
    char said[1000];

    (void)state;
    /* libmid has no RUNPATH: it finds libleaf only because the program brought it in. */
    assert_int_equal(gathers(&good,
                             (struct elf_file){.runpath = "$ORIGIN/../lib",
                                               .needed = {"libmid.so", "libleaf.so"}},
                             said),
                     0);
    assert_true(has(&good, "lib/libleaf.so"));
    assert_int_equal(
        gathers(&bad, (struct elf_file){.runpath = "$ORIGIN/../lib", .needed = {"libmid.so"}},
                said),
        EXIT_NOT_EXECUTABLE);
    assert_string_equal(said, text("selkie: %s: needs the library libleaf.so, which is not there\n",
                                   at("lib/libmid.so")));
}

static void rpath_is_inherited(void **state)
{
    struct try try = {0};
    char said[1000];

    (void)state;
    assert_int_equal(
        gathers(&try, (struct elf_file){.rpath = "$ORIGIN/../lib", .needed = {"libmid.so"}}, said),
        0);
    assert_true(has(&try, "lib/libleaf.so"));
}

static void runpath_silences_rpath(void **state)
{
    struct try try = {0};
    char said[1000];

    (void)state;
    assert_int_equal(gathers(&try,
                             (struct elf_file){.rpath = "$ORIGIN/../lib",
                                               .runpath = "/nonexistent",
                                               .needed = {"libleaf.so"}},
                             said),
                     EXIT_NOT_EXECUTABLE);
}

static void rings_end(void **state)
{
    struct try try = {0};
    char said[1000];

    (void)state;
    assert_int_equal(
        gathers(&try, (struct elf_file){.runpath = "$ORIGIN/../lib", .needed = {"libring.so"}},
                said),
        0);
    assert_true(has(&try, "lib/libgnir.so"));
}

static void other_architectures_are_passed_over(void **state)
{
    struct try try = {0};
    char said[1000];

    (void)state;
    assert_int_equal(
        gathers(&try,
                (struct elf_file){.runpath = "$ORIGIN/../lib:$ORIGIN/../deep/$$/../lib",
                                  .needed = {"libarm.so"}},
                said),
        0);
    assert_true(has(&try, "deep/lib/libarm.so"));
    assert_false(has(&try, "lib/libarm.so"));
}

static void library_path_and_preload(void **state)
{
    struct try try = {0};
    char said[1000];

    (void)state;
    list_add(&try.options.env, text("LD_LIBRARY_PATH=/nonexistent:%s", at("lib")));
    list_add(&try.options.env, text("LD_PRELOAD=nosuch.so %s", at("lib/libring.so")));
    assert_int_equal(gathers(&try, (struct elf_file){.needed = {"libmid.so"}}, said), 0);
    assert_true(has(&try, "lib/libleaf.so"));
    assert_true(has(&try, "lib/libgnir.so"));
}

static void origin_through_a_link(void **state)
{
    struct try try = {0};
    char said[1000];

    (void)state;
    make_dirs(at("alias"));
    make_dirs(at("store"));
    elf_write(at("store/libfar.so.1"),
              &(struct elf_file){.needed = {"libnear.so"}, .runpath = "$ORIGIN"});
    if (!file_exists(at("alias/libfar.so")))
        assert_int_equal(symlink("../store/libfar.so.1", at("alias/libfar.so")), 0);
    elf_write(at("alias/libnear.so"), &(struct elf_file){.machine = EM_X86_64});
    assert_int_equal(
        gathers(&try, (struct elf_file){.runpath = at("alias"), .needed = {"libfar.so"}}, said), 0);
    assert_true(has(&try, "alias/libnear.so"));
    assert_true(has(&try, "store/libfar.so.1"));
}

static void interpreters(void **state)
{
    struct try missing = {0}, loop = {0};
    char said[1000];

    (void)state;
    assert_int_equal(gathers(&missing, (struct elf_file){.interpreter = "/nosuch/ld.so"}, said),
                     EXIT_NOT_EXECUTABLE);
    assert_non_null(strstr(said, "its interpreter /nosuch/ld.so is not there"));
    elf_write(at("ld2.so"), &(struct elf_file){.interpreter = at("ld.so")});
    assert_int_equal(gathers(&loop, (struct elf_file){.interpreter = at("ld2.so")}, said),
                     EXIT_NOT_EXECUTABLE);
    assert_non_null(strstr(said, "asks for an interpreter itself"));
}

/* A folder given with --file: links inside stay links, links out of it are followed, loops end. */
static void files_of_a_folder(void **state)
{
    struct try try = {0};
    char said[1000];

    (void)state;
    make_dirs(at("data [1]/sub"));
    assert_true(file_write(at("data [1]/sub/a"), "a", 1));
    assert_true(file_write(at("outside"), "o", 1));
    if (!file_exists(at("data [1]/in"))) {
        assert_int_equal(symlink("sub/a", at("data [1]/in")), 0);
        assert_int_equal(symlink(at("outside"), at("data [1]/out")), 0);
        assert_int_equal(symlink("..", at("data [1]/sub/up")), 0);
        assert_int_equal(symlink(folder, at("data [1]/all")), 0);
        assert_int_equal(symlink("nowhere", at("data [1]/dangling")), 0);
    }
    assert_int_equal(chmod(at("data [1]/sub"), 0750), 0);
    list_add(&try.options.files, text("%s:/in", at("data [1]")));
    assert_int_equal(gathers(&try, (struct elf_file){0}, said), 0);
    assert_int_equal(tree_find(&try.tree, "/in/sub/a")->kind, NODE_FILE);
    assert_int_equal(tree_find(&try.tree, "/in/sub")->mode, S_IFDIR | 0750);
    assert_int_equal(tree_find(&try.tree, "/in/in")->kind, NODE_LINK);
    assert_int_equal(tree_find(&try.tree, "/in/out")->kind, NODE_FILE);
    assert_int_equal(tree_find(&try.tree, "/in/sub/up")->kind, NODE_LINK);
    assert_int_equal(tree_find(&try.tree, "/in/all")->kind, NODE_LINK);
    assert_int_equal(tree_find(&try.tree, "/in/dangling")->kind, NODE_LINK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runpath_is_the_objects_own),
        cmocka_unit_test(rpath_is_inherited),
        cmocka_unit_test(runpath_silences_rpath),
        cmocka_unit_test(rings_end),
        cmocka_unit_test(other_architectures_are_passed_over),
        cmocka_unit_test(library_path_and_preload),
        cmocka_unit_test(origin_through_a_link),
        cmocka_unit_test(interpreters),
        cmocka_unit_test(files_of_a_folder),
    };

    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
