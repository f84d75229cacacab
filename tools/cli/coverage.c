/* SPDX-License-Identifier: BSD-3-Clause */
/* coverage.c - see coverage.h. gcovr does the counting; its summary is read as JSON. */
#include "coverage.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"

#define COVERAGE_WANTED 70.0 /* per cent of kernel/'s lines */
#define LEAST_COUNT 10
#define BUILD "build/hosted-cov"

struct covered {
    const char *name;
    int lines, run;
};

void coverage_reset(const char *preset)
{
    const char *build = text("%s/build/%s", top_dir(), preset);
    const char *const words[] = {"find", build, "-name", "*.gcda", "-delete", NULL};

    if (file_exists(build) && run_quiet(words, NULL, -1) != 0)
        fail(EXIT_TOOL, "%s: old counts cannot be deleted", build);
}

/* Few files first run little; of two equal ones the longer is worse. */
static int compare_covered(const void *a, const void *b)
{
    const struct covered *x = a, *y = b;
    double p = (double)x->run / x->lines, q = (double)y->run / y->lines;

    return p != q ? (p > q) - (p < q) : y->lines - x->lines;
}

static int number(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    return json_object_object_get_ex(object, key, &value) ? json_object_get_int(value) : 0;
}

static size_t read_files(struct json_object *summary, struct covered **files)
{
    struct json_object *array = NULL, *name;
    size_t count = 0;

    json_object_object_get_ex(summary, "files", &array);
    if (!array)
        return 0;
    *files = must_alloc(calloc(json_object_array_length(array) + 1, sizeof(**files)));
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        struct json_object *file = json_object_array_get_idx(array, i);
        struct covered *covered = &(*files)[count];

        *covered = (struct covered){.lines = number(file, "line_total"),
                                    .run = number(file, "line_covered")};
        if (!json_object_object_get_ex(file, "filename", &name) || covered->lines == 0)
            continue;
        covered->name = json_object_get_string(name);
        count++;
    }
    return count;
}

static struct json_object *summarize(void)
{
    struct list words = {0};
    struct outcome outcome;
    struct json_object *summary;

    list_split(&words,
               "gcovr -r . --object-directory " BUILD " --filter kernel/ --txt " BUILD
               "/coverage.txt --json-summary " BUILD "/coverage.json",
               " ");
    outcome_get(&outcome, &(struct command_line){.words = &words, .folder = top_dir()});
    summary = outcome.status == 0
                  ? json_object_from_file(text("%s/" BUILD "/coverage.json", top_dir()))
                  : NULL;
    if (!summary)
        printf("gcovr: exit status %d\n%s", outcome.status, outcome.err.data);
    return summary;
}

bool coverage_report(void)
{
    struct json_object *summary = summarize();
    struct covered *files = NULL, all = {0};
    size_t count = summary ? read_files(summary, &files) : 0;
    double percent;

    for (size_t i = 0; i < count; i++) {
        all.lines += files[i].lines;
        all.run += files[i].run;
    }
    if (all.lines == 0) {
        printf("coverage: nothing was counted\n");
        return false;
    }
    qsort(files, count, sizeof(*files), compare_covered);
    percent = 100.0 * all.run / all.lines;
    printf("least covered:\n");
    for (size_t i = 0; i < count && i < LEAST_COUNT; i++)
        printf("  %5.1f %%  %4d of %4d lines  %s\n", 100.0 * files[i].run / files[i].lines,
               files[i].run, files[i].lines, files[i].name);
    printf("the whole table: " BUILD "/coverage.txt\n");
    printf("line coverage of kernel/: %.1f %% (%d of %d lines in %zu files), at least %.0f %% is "
           "wanted\n",
           percent, all.run, all.lines, count, COVERAGE_WANTED);
    return percent >= COVERAGE_WANTED;
}

/* gcovr also lists lines that are no code. */
static bool is_code(struct json_object *line)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(line, "gcovr/noncode", &value);
    return !json_object_get_boolean(value);
}

/* The lines of one file's object that were never run, as "3-5 9", at most `room` characters. */
static void print_missed(struct json_object *file, size_t room)
{
    struct json_object *lines = NULL;
    struct bytes out = {0};
    int first = 0, last = 0;

    json_object_object_get_ex(file, "lines", &lines);
    for (size_t i = 0; lines && i <= json_object_array_length(lines); i++) {
        struct json_object *line =
            i < json_object_array_length(lines) ? json_object_array_get_idx(lines, i) : NULL;
        bool missed;

        if (line && !is_code(line))
            continue;
        missed = line && number(line, "count") == 0;

        if (missed && !first)
            first = number(line, "line_number");
        if (missed)
            last = number(line, "line_number");
        if (!missed && first) {
            bytes_print(&out, first == last ? " %d" : " %d-%d", first, last);
            first = 0;
        }
    }
    if (out.len)
        printf("; not:%.*s%s", (int)room, out.data, out.len > room ? " ..." : "");
    printf("\n");
}

static void print_file(const char *name, struct json_object *file)
{
    struct json_object *lines = NULL, *path = NULL;
    int all = 0, run = 0;

    json_object_object_get_ex(file, "lines", &lines);
    json_object_object_get_ex(file, "file", &path);
    for (size_t i = 0; lines && i < json_object_array_length(lines); i++) {
        struct json_object *line = json_object_array_get_idx(lines, i);

        all += is_code(line);
        run += is_code(line) && number(line, "count") != 0;
    }
    printf("%-17s %5.1f %%  %4d of %4d lines  %s", name, all ? 100.0 * run / all : 0.0, run, all,
           json_object_get_string(path));
    print_missed(file, 60);
}

/* gcovr takes a regular expression: this file and no other. */
static char *pattern_of(const char *file)
{
    struct bytes out = {0};

    for (; *file; file++)
        bytes_print(&out, *file == '.' ? "\\%c" : "%c", *file);
    bytes_print(&out, "$");
    return out.data;
}

bool coverage_files(const char *name, const char *preset, const char *objects,
                    const struct list *files)
{
    const char *out = text("%s/build/%s/coverage.json", top_dir(), preset);
    struct json_object *report, *array = NULL;
    struct list words = {0};
    struct outcome outcome;

    list_split(&words, text("gcovr -r . --json %s", out), " ");
    for (size_t i = 0; i < files->count; i++) {
        list_add(&words, "--filter");
        list_add(&words, pattern_of(files->items[i]));
    }
    list_add(&words, text("build/%s/%s", preset, objects));
    outcome_get(&outcome, &(struct command_line){.words = &words, .folder = top_dir()});
    report = outcome.status == 0 ? json_object_from_file(out) : NULL;
    if (report)
        json_object_object_get_ex(report, "files", &array);
    if (!array || json_object_array_length(array) == 0) {
        printf("gcovr: exit status %d\n%s", outcome.status, outcome.err.data);
        return false;
    }
    for (size_t i = 0; i < json_object_array_length(array); i++)
        print_file(name, json_object_array_get_idx(array, i));
    return true;
}
