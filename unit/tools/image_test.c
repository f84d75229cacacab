/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: tools/cli/image.c tools/cli/tree.c tools/cli/util.c kernel/fs/cpio.c kernel/lib/strutil.c */
/* clang-format on */
/* include: tools/cli */
/* image_test.c - what the command packs, the kernel's own reader reads; and the cache of images. */
#include "tool_test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "fs/cpio.h"
#include "run.h"

/* gather() of these tests: one file, and what the cache must notice. */
static unsigned gathered;
static char *input;

char *gather(const struct run_options *options, struct tree *tree, struct list *inputs)
{
    (void)options;
    gathered++;
    tree_dir(tree, "/");
    tree_file(tree, "/file", input);
    list_add(inputs, input);
    return text("/file");
}

void run_check_memory(const struct run_options *options, uint64_t image_bytes)
{
    if (options->memory && image_bytes > options->memory)
        fail(EXIT_TOOL, "too large");
}

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = fresh_folder();
    input = text("%s/input", folder);
    setenv("XDG_CACHE_HOME", folder, 1);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_tree(folder);
    return 0;
}

static bool next(struct cpio *cpio, struct cpio_entry *entry)
{
    int got = cpio_next(cpio, entry);

    assert_true(got >= 0);
    return got == 1;
}

static void expect(struct cpio *cpio, const char *name, unsigned mode, const char *body)
{
    struct cpio_entry entry;

    assert_true(next(cpio, &entry));
    assert_string_equal(entry.name, name);
    assert_int_equal(entry.mode, mode);
    assert_int_equal(entry.body_len, strlen(body));
    assert_memory_equal(entry.body, body, strlen(body));
    assert_int_equal(entry.uid, 0);
}

static void packs_what_the_kernel_reads(void **state)
{
    char *path = text("%s/image.cpio", folder);
    struct tree tree = {0};
    struct bytes bytes = {0};
    struct cpio_entry entry;
    struct cpio cpio;

    (void)state;
    assert_true(file_write(input, "12345", 5));
    assert_int_equal(chmod(input, 0741), 0);
    tree_dir(&tree, "/");
    tree_file(&tree, "/a b/file", input);
    tree_text(&tree, "/a b/empty", "", 0600);
    tree_link(&tree, "/z", "a b/file");
    tree_dir_like(&tree, "/tmp", &(struct stat){.st_mode = S_IFDIR | 01777});
    image_write(&tree, path);
    assert_true(file_read(path, &bytes));
    cpio_init(&cpio, bytes.data, bytes.len);
    expect(&cpio, ".", S_IFDIR | 0755, "");
    expect(&cpio, "a b", S_IFDIR | 0755, "");
    expect(&cpio, "a b/empty", S_IFREG | 0600, "");
    expect(&cpio, "a b/file", S_IFREG | 0741, "12345");
    expect(&cpio, "tmp", S_IFDIR | 01777, "");
    expect(&cpio, "z", S_IFLNK | 0777, "a b/file");
    assert_false(next(&cpio, &entry));
}

static void set_time(const char *path, time_t seconds)
{
    struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static struct bytes image_of(const char *root)
{
    char *path = text("%s/image.cpio", folder);
    struct tree tree = {0};
    struct bytes bytes = {0};

    assert_non_null(tree_copy(&tree, root, "/usr/lib/b/two"));
    assert_non_null(tree_copy(&tree, root, "/usr/lib/one"));
    assert_int_equal(tree_find(&tree, "/usr/lib/b")->mtime, 2000);
    assert_int_equal(tree_find(&tree, "/usr/lib")->mtime, 3000);
    assert_int_equal(tree_find(&tree, "/usr")->mtime, 3000);
    image_write(&tree, path);
    assert_true(file_read(path, &bytes));
    return bytes;
}

/* Somebody installs something else beside the files that are packed. */
static void folders_have_the_times_of_what_is_packed(void **state)
{
    static const char *const dirs[] = {"packed", "packed/usr", "packed/usr/lib",
                                       "packed/usr/lib/b"};
    struct bytes first, second;

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(mkdir(text("%s/%s", folder, dirs[i]), 0755), 0);
    assert_true(file_write(text("%s/packed/usr/lib/one", folder), "1", 1));
    assert_true(file_write(text("%s/packed/usr/lib/b/two", folder), "2", 1));
    set_time(text("%s/packed/usr/lib/one", folder), 3000);
    set_time(text("%s/packed/usr/lib/b/two", folder), 2000);
    first = image_of(text("%s/packed", folder));
    assert_true(file_write(text("%s/packed/usr/lib/other", folder), "3", 1));
    for (size_t i = 0; i < 4; i++)
        set_time(text("%s/%s", folder, dirs[i]), 5000 + (time_t)i);
    second = image_of(text("%s/packed", folder));
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
}

static void cache_notices_changes(void **state)
{
    char *argv[] = {(char[]){"prog"}, NULL};
    struct run_options options = {.argv = argv, .argc = 1};
    struct image first, second;

    (void)state;
    assert_true(file_write(input, "one", 3));
    gathered = 0;
    first = image_get(&options);
    second = image_get(&options);
    assert_int_equal(gathered, 1);
    assert_string_equal(first.path, second.path);
    assert_string_equal(second.program, "/file");
    assert_int_equal(first.size, second.size);
    assert_true(file_write(input, "longer", 6));
    image_get(&options);
    assert_int_equal(gathered, 2);
    options.cwd = "/elsewhere"; /* other options: another image */
    assert_string_not_equal(image_get(&options).path, first.path);
    assert_int_equal(unlink(second.path), 0);
    options.cwd = NULL;
    image_get(&options);
    assert_int_equal(gathered, 4);
}

static void get_image(void *arg)
{
    image_get(arg);
}

/* Too large, or unreadable: said, and nothing is left behind. */
static void failures_leave_nothing(void **state)
{
    char *argv[] = {(char[]){"other"}, NULL};
    struct run_options options = {.argv = argv, .argc = 1, .memory = 2};
    struct bytes listing = {0};
    char said[1000];

    (void)state;
    assert_true(file_write(input, "one", 3));
    assert_int_equal(status_of(get_image, &options, said, sizeof(said)), EXIT_TOOL);
    assert_string_equal(said, "selkie: too large\n");
    options.memory = 0;
    unlink(input);
    assert_int_equal(status_of(get_image, &options, said, sizeof(said)), EXIT_TOOL);
    assert_non_null(strstr(said, "input: No such file"));
    FILE *list = popen(text("ls %s/selkie/images | grep -c 'cpio[.]'", folder), "re");
    bytes_add(&listing, "", 0);
    assert_non_null(list);
    fd_read(fileno(list), &listing);
    pclose(list);
    assert_string_equal(listing.data, "0\n");
}

/* What a killed process left, and what nobody used for long, is deleted when an image is made. */
static void cache_is_swept(void **state)
{
    char *argv[] = {(char[]){"third"}, NULL};
    struct run_options options = {.argv = argv, .argc = 1};
    char *images = text("%s/selkie/images", folder);
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char *orphan = text("%s/0000000000000001.cpio.99999999", images);
    char *alive = text("%s/0000000000000002.cpio.%d", images, (int)getpid());
    char *stale = text("%s/0000000000000003.cpio", images);

    (void)state;
    assert_true(file_write(input, "one", 3));
    make_dirs(images);
    assert_true(file_write(orphan, "x", 1) && file_write(alive, "x", 1) &&
                file_write(stale, "x", 1));
    assert_int_equal(utimensat(AT_FDCWD, stale, old, 0), 0);
    image_get(&options);
    assert_false(file_exists(orphan));
    assert_true(file_exists(alive));
    assert_false(file_exists(stale));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_what_the_kernel_reads),
        cmocka_unit_test(folders_have_the_times_of_what_is_packed),
        cmocka_unit_test(cache_notices_changes),
        cmocka_unit_test(failures_leave_nothing),
        cmocka_unit_test(cache_is_swept),
    };

    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
