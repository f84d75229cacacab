/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: tools/cli/peers.c tools/cli/child.c tools/cli/tree.c tools/cli/util.c */
/* clang-format on */
/* include: tools/cli */
/* peers_test.c - contests of `selkie bench`: whose figure counts, and which rows there are. */
#include "tool_test.h"

#include "peers.h"
#include "run.h"

/* ---- what peers.c stands on ---- */

const char *packages_one(const char *package, const char *prefix, const char *arch)
{
    (void)package;
    (void)prefix;
    (void)arch;
    return "/nonexistent";
}

void image_write(struct tree *tree, const char *path)
{
    (void)tree;
    (void)path;
}

static struct list said;

void bench_why(const char *who, const char *format, ...)
{
    (void)format;
    list_add(&said, who);
}

static struct row shown[8];
static size_t shown_count;

void bench_row(const struct row *row)
{
    assert_true(shown_count < sizeof(shown) / sizeof(shown[0]));
    shown[shown_count++] = *row;
}

/* ---- a contestant: a script that counts its runs in a file ---- */

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = realpath(fresh_folder(), NULL);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_tree(folder);
    return 0;
}

static char *script(const char *body)
{
    char *path = text("%s/script", folder);
    const char *whole =
        text("#!/bin/sh\ncd %s\necho x >>runs\nn=$(wc -l <runs)\n%s\n", folder, body);

    unlink(text("%s/runs", folder));
    assert_true(file_write(path, whole, strlen(whole)));
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static unsigned runs(void)
{
    struct bytes bytes = {0};

    assert_true(file_read(text("%s/runs", folder), &bytes));
    return (unsigned)bytes.len / 2;
}

static void best_of_rounds(void **state)
{
    struct contest contest = {.ways = 1u << WAY_NATIVE, .rounds = 3};
    struct figure figures[] = {{.key = "cost"}, {.key = "index"}, {.key = "none"}};

    (void)state;
    contest.program = script("echo cost $((n == 2 ? 5 : 9)) ns; echo costly 1 ns; echo index 0.$n");
    contest_rounds(&contest, figures, 3);
    assert_int_equal(runs(), 3);
    assert_true(figures[0].best[WAY_NATIVE] > 4.9 && figures[0].best[WAY_NATIVE] < 5.1);
    assert_true(figures[1].best[WAY_NATIVE] < 0.11);
    assert_true(figures[2].best[WAY_NATIVE] < 0.1);
    assert_true(figures[0].best[WAY_SELKIE] < 0.1);
}

/* Who fails says so once and is not asked again; what was measured before stays. */
static void out_after_a_failure(void **state)
{
    struct contest contest = {.ways = 1u << WAY_NATIVE, .rounds = 5};
    struct figure figure = {.key = "cost"};

    (void)state;
    said = (struct list){0};
    contest.program = script("[ $n -lt 3 ] || exit 4; echo cost 7 ns");
    contest_rounds(&contest, &figure, 1);
    assert_int_equal(runs(), 3);
    assert_int_equal(said.count, 1);
    assert_string_equal(said.items[0], way_names[WAY_NATIVE]);
    assert_true(figure.best[WAY_NATIVE] > 6.9);
}

/* A row for what anybody could do: ours beside the native one's, with the goal. */
static void rows_of_a_contest(void **state)
{
    static const struct measured rows[] = {{"none", "nobody's", WANTED_FASTER, 2},
                                           {"cost", "one", WANTED_FASTER, 3}};
    static const struct bench bench = {.name = "test"};
    struct contest contest = {.ways = 1u << WAY_NATIVE, .rounds = 1, .arguments = "11 12"};

    (void)state;
    contest.program = script("echo cost $2 ns");
    shown_count = 0;
    contest_rows(&bench, &contest, rows, 2);
    assert_int_equal(shown_count, 1);
    assert_string_equal(shown[0].what, "one");
    assert_string_equal(shown[0].peer, way_names[WAY_NATIVE]);
    assert_true(shown[0].theirs > 11.9 && shown[0].ours < 0.1 && shown[0].goal > 2.9);
}

/* Debian's kernel cannot be had: the contestant is left out, with a word about it. */
static void no_kernel(void **state)
{
    struct contest contest = {.program = "/bin/true", .ways = 1u << WAY_LINUX, .rounds = 2};
    struct figure figure = {.key = "cost"};

    (void)state;
    said = (struct list){0};
    contest_rounds(&contest, &figure, 1);
    assert_int_equal(said.count, 1);
    assert_string_equal(said.items[0], way_names[WAY_LINUX]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_of_rounds),
        cmocka_unit_test(out_after_a_failure),
        cmocka_unit_test(rows_of_a_contest),
        cmocka_unit_test(no_kernel),
    };

    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
