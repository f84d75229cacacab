/* SPDX-License-Identifier: BSD-3-Clause */
/* testcase.c - see testcase.h. */
#include "testcase.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_TIME 1704067200 /* 2024-01-01: the time of test files, natively and in the guest */
#define GUEST_FOLDER "/work" /* where a test runs in the guest */

static struct json_object *get(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(object, key, &value);
    return value;
}

static const char *get_text(struct json_object *object, const char *key)
{
    struct json_object *value = get(object, key);

    return value ? json_object_get_string(value) : NULL;
}

static void get_list(struct json_object *object, const char *key, struct list *list)
{
    struct json_object *array = get(object, key);

    for (size_t i = 0; array && i < json_object_array_length(array); i++)
        list_add(list, json_object_get_string(json_object_array_get_idx(array, i)));
}

/* A key that is true, or a list with `name` in it. */
static bool get_chosen(struct json_object *object, const char *key, const char *name)
{
    struct json_object *value = get(object, key);
    struct list list = {0};

    if (!json_object_is_type(value, json_type_array))
        return json_object_get_boolean(value);
    get_list(object, key, &list);
    return list_has(&list, name);
}

char *test_folder(const struct test *test)
{
    return text("%s/build/test/%s", top_dir(), test->name);
}

/* ---- files of a test ---- */

/* Write a file only if it is not what it was, so that images in the cache stay valid. */
static void put_file(const char *path, const char *content, size_t len)
{
    struct timespec times[2] = {{.tv_sec = FILE_TIME}, {.tv_sec = FILE_TIME}};
    struct bytes old = {0};

    if (file_read(path, &old) && old.len == len && memcmp(old.data, content, len) == 0)
        return;
    make_dirs(path_dir(path));
    if (!file_write(path, content, len) || utimensat(AT_FDCWD, path, times, 0) < 0)
        fail(EXIT_TOOL, "%s: %s", path, strerror(errno));
}

/* What a shell command prints, run in the folder. */
static struct bytes command_text(const char *folder, const char *name, const char *command)
{
    struct outcome outcome = {0};
    struct list words = {0};

    list_add(&words, "sh");
    list_add(&words, "-c");
    list_add(&words, command);
    list_add(&words, text("%s/build/tools/guests", top_dir())); /* $0 */
    outcome_get(&outcome, &(struct command_line){.words = &words, .folder = folder});
    if (outcome.status != 0)
        fail(EXIT_TOOL, "%s: %s: %s", name, command, outcome.err.data);
    return outcome.out;
}

static void make_file(const char *folder, const char *name, struct json_object *value)
{
    bool plain = !json_object_is_type(value, json_type_object);
    const char *command = plain ? NULL : get_text(value, "command");
    const char *copy = plain ? NULL : get_text(value, "copy");
    const char *mode = plain ? NULL : get_text(value, "mode");
    char *path = text("%s/%s", folder, name);
    struct bytes bytes = {0};

    if (command)
        bytes = command_text(folder, name, command);
    else if (!copy)
        bytes_add(&bytes, json_object_get_string(value), strlen(json_object_get_string(value)));
    else if (!file_read(text("%s/%s", top_dir(), copy), &bytes))
        fail(EXIT_TOOL, "%s: %s: %s", name, copy, strerror(errno));
    put_file(path, bytes.data ? bytes.data : "", bytes.len);
    if (mode)
        chmod(path, (mode_t)strtoul(mode, NULL, 8));
}

static void make_files(struct json_object *table, const char *key, const char *folder)
{
    struct json_object *files = get(table, key);

    make_dirs(folder);
    if (!files)
        return;
    json_object_object_foreach(files, name, value)
    {
        make_file(folder, name, value);
    }
}

static char *guest_program(const char *word, enum backend backend)
{
    const char *colon = strchr(word, ':');
    int len = (int)(colon ? colon - word - 1 : (int)strlen(word) - 1);
    const char *variant = colon ? colon + 1 : "glibc";

    if (backend == BACKEND_AARCH64)
        variant = colon ? text("aarch64-%s", colon + 1) : "aarch64";
    return text("%s/build/tools/guests/%s/%.*s", top_dir(), variant, len, word + 1);
}

/* The command's words for the host or a backend: guest programs and package names put in. */
static void command_words(const struct test *test, enum backend backend, struct list *words)
{
    struct list raw = {0};

    get_list(test->table, "run", &raw);
    for (size_t i = 0; i < raw.count; i++) {
        if (i == 0 && raw.items[0][0] == '@')
            list_add(words, guest_program(raw.items[0], backend));
        else if (strcmp(raw.items[i], "@seconds") == 0)
            list_add(words, text("%u", test->seconds));
        else
            list_add(words, raw.items[i]);
    }
}

static void native_env(struct json_object *table, struct list *env)
{
    struct json_object *set = get(table, "env");

    list_add(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    list_add(env, "HOME=/root");
    if (!set)
        return;
    json_object_object_foreach(set, name, value)
    {
        list_add(env, text("%s=%s", name, json_object_get_string(value)));
    }
}

static void run_words(const struct test *test, const char *folder, struct list *words)
{
    struct json_object *table = test->table;
    struct json_object *files = get(table, "files"), *env = get(table, "env");
    struct list packages = {0};
    const char *cpus = get_text(table, "cpus");

    if (test->cpus && (!cpus || strcmp(cpus, "1") != 0))
        cpus = text("%u", test->cpus);
    list_add(words, text("%s/tools/selkie", top_dir()));
    list_add(words, "run");
    list_add(words, "--on");
    list_add(words, backend_names[test->backend]);
    if (test->build) {
        list_add(words, "--build");
        list_add(words, test->build);
    }
    if (cpus) {
        list_add(words, "--cpus");
        list_add(words, cpus);
    }
    if (test->backend == BACKEND_AARCH64)
        get_list(table, "packages", &packages);
    for (size_t i = 0; i < packages.count; i++) {
        list_add(words, "--package");
        list_add(words, packages.items[i]);
    }
    list_add(words, "--cwd");
    list_add(words, GUEST_FOLDER);
    if (files) {
        json_object_object_foreach(files, name, value)
        {
            (void)value;
            list_add(words, "--file");
            list_add(words, text("%s/%s:" GUEST_FOLDER "/%s", folder, name, name));
        }
    }
    if (env) {
        json_object_object_foreach(env, name, value)
        {
            list_add(words, "--env");
            list_add(words, text("%s=%s", name, json_object_get_string(value)));
        }
    }
    get_list(table, "options", words);
    if (test->build && get(table, "options_on"))
        get_list(get(table, "options_on"), test->build, words);
    list_add(words, "--");
    command_words(test, test->backend, words);
}

/* ---- comparing ---- */

/* Replace all matches of the expression by "#". */
static void mask_one(struct bytes *bytes, const char *pattern)
{
    struct bytes out = {0};
    const char *at = bytes->data;
    regmatch_t match;
    regex_t regex;

    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NEWLINE) != 0)
        fail(EXIT_TOOL, "mask %s: not a regular expression", pattern);
    while (*at && regexec(&regex, at, 1, &match, at == bytes->data ? 0 : REG_NOTBOL) == 0 &&
           match.rm_eo > 0) {
        bytes_add(&out, at, (size_t)match.rm_so);
        bytes_add(&out, "#", 1);
        at += match.rm_eo;
    }
    bytes_add(&out, at, bytes->len - (size_t)(at - bytes->data));
    regfree(&regex);
    *bytes = out;
}

static void mask_all(struct json_object *table, struct outcome *outcome)
{
    struct list masks = {0};

    get_list(table, "mask", &masks);
    for (size_t i = 0; i < masks.count; i++) {
        mask_one(&outcome->out, masks.items[i]);
        mask_one(&outcome->err, masks.items[i]);
    }
}

static void show(const char *title, const struct bytes *bytes)
{
    size_t len = bytes->len < 2000 ? bytes->len : 2000;

    printf("  --- %s (%zu bytes)\n", title, bytes->len);
    if (len > 0)
        printf("%.*s%s", (int)len, bytes->data, bytes->data[len - 1] != '\n' ? "\n" : "");
}

static bool same(const char *what, const struct bytes *got, const struct bytes *want)
{
    size_t at = 0;

    if (got->len == want->len && memcmp(got->data, want->data, got->len) == 0)
        return true;
    while (at < got->len && at < want->len && got->data[at] == want->data[at])
        at++;
    printf("  %s differs from byte %zu on\n", what, at);
    show("natively", want);
    show("in Selkie", got);
    return false;
}

static bool matches(const char *what, const struct bytes *got, const char *pattern)
{
    regex_t regex;
    int none;

    if (!pattern)
        return true;
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB | REG_NEWLINE) != 0)
        fail(EXIT_TOOL, "expect %s: not a regular expression", pattern);
    none = regexec(&regex, got->data, 0, NULL, 0);
    regfree(&regex);
    if (!none)
        return true;
    printf("  %s does not match: %s\n", what, pattern);
    show(what, got);
    return false;
}

/* One expression, or a list of which each must match. */
static bool matches_each(const char *what, const struct bytes *got, struct json_object *expect,
                         const char *key)
{
    struct list list = {0};
    bool good = true;

    if (!json_object_is_type(get(expect, key), json_type_array))
        return matches(what, got, get_text(expect, key));
    get_list(expect, key, &list);
    for (size_t i = 0; i < list.count; i++)
        good &= matches(what, got, list.items[i]);
    return good;
}

static bool one_line(const struct bytes *err)
{
    const char *end = memchr(err->data, '\n', err->len);

    if (end && (size_t)(end - err->data) + 1 == err->len)
        return true;
    printf("  standard error is not exactly one line\n");
    show("standard error", err);
    return false;
}

static enum verdict check_expected(struct json_object *expect, const struct outcome *got)
{
    struct json_object *status = get(expect, "status"), *lines = get(expect, "one_line");
    bool good = true;

    if (got->status != (status ? json_object_get_int(status) : 0)) {
        printf("  exit status %d instead of %d\n", got->status,
               status ? json_object_get_int(status) : 0);
        good = false;
    }
    good &= matches_each("standard output", &got->out, expect, "stdout");
    good &= matches_each("standard error", &got->err, expect, "stderr");
    if (lines && json_object_get_boolean(lines))
        good &= one_line(&got->err);
    if (!good && got->err.len && !get(expect, "stderr"))
        show("standard error", &got->err);
    return good ? VERDICT_PASS : VERDICT_FAIL;
}

static enum verdict check_native(const struct test *test, struct outcome *got)
{
    char *folder = text("%s/native", test_folder(test));
    struct outcome native = {0};
    struct list words = {0}, env = {0};
    bool good = true;

    remove_tree(folder); /* what an earlier run wrote there */
    make_files(test->table, "files", folder);
    native_env(test->table, &env);
    /* A guest program of another architecture is compared with its x64 build. */
    command_words(test, BACKEND_X64, &words);
    outcome_get(&native, &(struct command_line){.words = &words,
                                                .folder = folder,
                                                .input = get_text(test->table, "stdin"),
                                                .env = &env});
    mask_all(test->table, &native);
    mask_all(test->table, got);
    if (native.status != got->status) {
        printf("  exit status %d, natively %d\n", got->status, native.status);
        good = false;
    }
    good &= same("standard output", &got->out, &native.out);
    good &= same("standard error", &got->err, &native.err);
    return good ? VERDICT_PASS : VERDICT_FAIL;
}

/* "needs": a file that is to be there for reading and writing. */
static bool needs_met(struct json_object *table)
{
    const char *needs = get_text(table, "needs");

    if (!needs || access(needs, R_OK | W_OK) == 0)
        return true;
    printf("  %s: %s\n", needs, strerror(errno));
    return false;
}

/* "without": what a build cannot do. */
static bool build_fits(const struct test *test)
{
    struct json_object *without = get(test->table, "without");
    const char *why = test->build && without ? get_text(without, test->build) : NULL;

    if (why)
        printf("  %s: %s\n", test->build, why);
    return !why;
}

static enum verdict table_run(const struct test *test)
{
    char *folder = text("%s/guest", test_folder(test));
    struct json_object *expect = get(test->table, "expect");
    struct outcome got = {0};
    struct list words = {0};

    if (!needs_met(test->table) || !build_fits(test))
        return VERDICT_SKIP;
    if (geteuid() != 0 && json_object_get_boolean(get(test->table, "root"))) {
        printf("  its text names the owner of files, who is root in the guest\n");
        return VERDICT_SKIP;
    }
    make_files(test->table, "files", folder);
    make_files(test->table, "host_files", folder);
    run_words(test, folder, &words);
    outcome_get(&got, &(struct command_line){.words = &words,
                                             .folder = folder,
                                             .input = get_text(test->table, "stdin")});
    if (expect)
        return check_expected(expect, &got);
    return check_native(test, &got);
}

/* ---- lists of tests ---- */

/* Only there to end what hangs: no test may fail because its host is slow. */
#define HUNG_SECONDS 600

struct test *tests_add(struct tests *tests, char *name,
                       enum verdict (*run)(const struct test *test))
{
    struct test *test;

    if (tests->count % 64 == 0)
        tests->items =
            must_alloc(realloc(tests->items, (tests->count + 64) * sizeof(*tests->items)));
    test = &tests->items[tests->count++];
    *test = (struct test){.name = name, .run = run, .timeout_seconds = HUNG_SECONDS};
    return test;
}

static void add_table_test(struct tests *tests, const char *group, struct json_object *table,
                           enum backend backend, const char *build)
{
    struct json_object *timeout = get(table, "timeout");
    struct json_object *seconds = get(table, "seconds"),
                       *sanitized = get(table, "sanitized_seconds");
    const char *where = build ? build : backend_names[backend], *name = get_text(table, "name");
    struct test *test;

    if (!name || !get(table, "run"))
        fail(EXIT_TOOL, "unit/ladder: a test of %s has no name or nothing to run", group);
    test = tests_add(tests, text("%s/%s@%s", group, name, where), table_run);
    test->table = table;
    test->backend = backend;
    test->build = build;
    test->needs = build ? build : backend_names[backend];
    test->quick = !build && get_chosen(table, "quick", where);
    if (build && sanitized && strcmp(build, "hosted-coop") != 0)
        seconds = sanitized;
    test->seconds = seconds ? (unsigned)json_object_get_int(seconds) : 0;
    if (timeout && (unsigned)json_object_get_int(timeout) > test->timeout_seconds)
        test->timeout_seconds = (unsigned)json_object_get_int(timeout);
}

void tests_load(struct tests *tests, const char *file, const char *group)
{
    static const struct {
        const char *key, *preset;
        enum backend backend;
    } builds[] = {
        {"sanitize", "hosted-asan", BACKEND_HOSTED},
        {"sanitize", "hosted-tsan", BACKEND_HOSTED},
        {"machine_asan", "x64-asan", BACKEND_X64},
        {"machine_asan", "aarch64-asan", BACKEND_AARCH64},
        {"memdebug", "hosted-memdebug", BACKEND_HOSTED},
        {"memdebug", "x64-memdebug", BACKEND_X64},
    };
    char *path = text("%s/unit/ladder/%s.json", top_dir(), file);
    struct json_object *array = json_object_from_file(path);

    if (!array || !json_object_is_type(array, json_type_array))
        fail(EXIT_TOOL, "%s: cannot be read as a JSON array", path);
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        struct json_object *table = json_object_array_get_idx(array, i);
        struct list on = {0};

        get_list(table, "on", &on);
        for (int b = 0; b < BACKEND_COUNT; b++)
            if (!get(table, "on") || list_has(&on, backend_names[b]))
                add_table_test(tests, group, table, (enum backend)b, NULL);
        for (size_t p = 0; p < sizeof(builds) / sizeof(builds[0]); p++)
            if (get_chosen(table, builds[p].key, builds[p].preset))
                add_table_test(tests, group, table, builds[p].backend, builds[p].preset);
        if (json_object_get_boolean(get(table, "coop")))
            add_table_test(tests, group, table, BACKEND_HOSTED, "hosted-coop");
        if (json_object_get_boolean(get(table, "clang")))
            for (int b = 0; b < BACKEND_COUNT; b++)
                add_table_test(tests, group, table, (enum backend)b,
                               text("%s-clang", backend_names[b]));
    }
}
