/* SPDX-License-Identifier: BSD-3-Clause */
/* coverage.c - see coverage.h. gcovr and gcov do the counting; what they say is read as JSON. */
#include "coverage.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"

#define COVERAGE_WANTED 80.0 /* per cent of kernel/'s lines */
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

/* ---- the lines of chosen files, by the counts of one program ---- */

#define FILE_LINES 4096
#define MISSED_ROOM 60 /* characters for the lines that were not run */

/* A file that a program was to run, and which of its lines it did. */
struct watched {
    const char *name;
    enum { NO_CODE, MISSED, RUN } line[FILE_LINES];
};

/* gcov looks for the compiler's notes beside the counts, which lie in a folder of their own. */
static bool notes_beside(const char *counts, const char *gcda)
{
    char *stem = must_alloc(strndup(gcda, strlen(gcda) - strlen(".gcda")));

    return symlink(text("%s.gcno", stem + strlen(counts)), text("%s.gcno", stem)) == 0;
}

/* Adds every file of counts below the folder to `out`. */
static bool counts_find(const char *counts, struct list *out)
{
    const char *const find[] = {"find", counts, "-name", "*.gcda", NULL};
    struct list found = {0};
    struct bytes names = {0};

    if (!file_exists(counts) || run_quiet(find, &names, -1) != 0 || names.len == 0)
        return false;
    list_split(&found, names.data, "\n");
    for (size_t i = 0; i < found.count; i++) {
        if (!notes_beside(counts, found.items[i]))
            return false;
        list_add(out, found.items[i]);
    }
    return true;
}

/* One file of what gcov says. A line that several functions or programs have was run if any did. */
static void lines_add(struct watched *file, struct json_object *lines)
{
    for (size_t i = 0; lines && i < json_object_array_length(lines); i++) {
        struct json_object *line = json_object_array_get_idx(lines, i);
        int at = number(line, "line_number"), what = number(line, "count") != 0 ? RUN : MISSED;

        if (at > 0 && at < FILE_LINES && what > (int)file->line[at])
            file->line[at] = what;
    }
}

/* One line of gcov's output: a JSON object with the files of one object file. */
static void object_add(const char *json, struct watched *files, size_t count)
{
    struct json_object *object = json_tokener_parse(json), *array = NULL;

    json_object_object_get_ex(object, "files", &array);
    for (size_t i = 0; array && i < json_object_array_length(array); i++) {
        struct json_object *file = json_object_array_get_idx(array, i);
        struct json_object *name = NULL, *lines = NULL;

        json_object_object_get_ex(file, "file", &name);
        json_object_object_get_ex(file, "lines", &lines);
        for (size_t k = 0; k < count; k++)
            if (name &&
                text_ends(text("/%s", json_object_get_string(name)), text("/%s", files[k].name)))
                lines_add(&files[k], lines);
    }
    json_object_put(object);
}

/* As "3-5 9", at most MISSED_ROOM characters. */
static void print_missed(const struct watched *file)
{
    struct bytes out = {0};
    int first = 0, last = 0;

    for (int i = 1; i <= FILE_LINES; i++) {
        int what = i < FILE_LINES ? (int)file->line[i] : RUN;

        if (what == MISSED) {
            first = first ? first : i;
            last = i;
        } else if (what == RUN && first) {
            bytes_print(&out, first == last ? " %d" : " %d-%d", first, last);
            first = 0;
        }
    }
    if (out.len)
        printf("; not:%.*s%s", MISSED_ROOM, out.data, out.len > MISSED_ROOM ? " ..." : "");
}

/* False if less than `wanted` per cent of its lines were run; a file of which nothing is known has
 * none. */
static bool print_file(const char *name, const struct watched *file, double wanted)
{
    int all = 0, run = 0;
    double percent;

    for (int i = 0; i < FILE_LINES; i++) {
        all += file->line[i] != NO_CODE;
        run += file->line[i] == RUN;
    }
    percent = all ? 100.0 * run / all : 0;
    printf("%-17s %5.1f %%  %4d of %4d lines  %s", name, percent, run, all, file->name);
    print_missed(file);
    if (percent < wanted)
        printf("; TOO FEW: %.0f %% are wanted", wanted);
    printf("\n");
    return percent >= wanted;
}

bool coverage_files(const char *name, const char *counts, const struct list *files,
                    const struct list *wanted)
{
    struct watched *watched = must_alloc(calloc(files->count + 1, sizeof(*watched)));
    double percent = wanted->count ? atof(wanted->items[0]) : 0;
    struct list words = {0}, lines = {0};
    struct outcome outcome;
    bool good = true;

    list_split(&words, "gcov --json-format --stdout", " ");
    if (!counts_find(counts, &words)) {
        printf("%-17s nothing was counted\n", name);
        return false;
    }
    outcome_get(&outcome, &(struct command_line){.words = &words, .folder = top_dir()});
    if (outcome.status != 0) {
        printf("gcov: exit status %d\n%s", outcome.status, outcome.err.data);
        return false;
    }
    for (size_t i = 0; i < files->count; i++)
        watched[i].name = files->items[i];
    list_split(&lines, outcome.out.data, "\n");
    for (size_t i = 0; i < lines.count; i++)
        object_add(lines.items[i], watched, files->count);
    for (size_t i = 0; i < files->count; i++) {
        bool asked = wanted->count == 1 || list_has(wanted, files->items[i]);

        good &= print_file(name, &watched[i], asked ? percent : 0);
    }
    return good;
}
