/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench.c - `selkie bench`: the command, and how its figures are shown. What is measured, and how,
 * is in measure.c. Nothing here passes or fails but a figure of ours that could not be had.
 */
#include "bench.h"

#include <argp.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "commands.h"
#include "run.h"

struct bench_options {
    const char *filter, *json_path;
    bool json, list;
};

static struct json_object *rows;
static FILE *table; /* where people read: standard output, unless JSON goes there */
static unsigned failed;

void bench_why(const char *who, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "selkie: %s: ", who);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* What the row is judged by; 0 if it cannot be. */
static double row_score(const struct row *row)
{
    if (row->wanted == WANTED_WITHIN)
        return row->ours > 0 && row->theirs > 0 ? row->ours - row->theirs : 0;
    return row->ours > 0 && row->theirs > 0 ? row->theirs / row->ours : 0;
}

static const char *row_verdict(const struct row *row)
{
    bool met;

    if (row->wanted == WANTED_NOTHING)
        return "";
    if (row->ours <= 0)
        return "not measured";
    if (row->wanted == WANTED_AT_MOST)
        met = row->ours <= row->goal;
    else if (row->theirs <= 0)
        return "no peer";
    else if (row->wanted == WANTED_WITHIN)
        met = row_score(row) <= row->goal;
    else
        met = row_score(row) >= row->goal;
    return met ? "met" : "not met";
}

static char *row_goal(const struct row *row)
{
    switch (row->wanted) {
    case WANTED_FASTER:
        return text("%gx or more", row->goal);
    case WANTED_AT_MOST:
        return text("%g or less", row->goal);
    case WANTED_WITHIN:
        return text("+%g or less", row->goal);
    default:
        return text("-");
    }
}

static char *figure(double value, const char *unit)
{
    return value > 0 ? text("%.*f %s",
                            value < 2     ? 3
                            : value < 100 ? 1
                                          : 0,
                            value, unit)
                     : text("-");
}

static char *row_ratio(const struct row *row)
{
    double score = row_score(row);

    if (row->ours <= 0 || row->theirs <= 0)
        return text("-");
    return row->wanted == WANTED_WITHIN ? text("%+.1f", score)
                                        : text("%.*fx", score < 100 ? 2 : 0, score);
}

static void show(const char *what, const char *ours, const char *theirs, const char *peer,
                 const char *ratio, const char *goal, const char *verdict)
{
    fprintf(table, "%-24s %14s  %14s %-26s %8s  %-12s %s\n", what, ours, theirs, peer, ratio, goal,
            verdict);
    fflush(table);
}

static void add_text(struct json_object *object, const char *key, const char *value)
{
    json_object_object_add(object, key, json_object_new_string(value));
}

static void add_number(struct json_object *object, const char *key, double value)
{
    if (value > 0)
        json_object_object_add(object, key, json_object_new_double(value));
}

void bench_row(const struct row *row)
{
    struct json_object *object = json_object_new_object();
    const char *verdict = row_verdict(row);

    show(row->what, figure(row->ours, row->unit), row->peer ? figure(row->theirs, row->unit) : "-",
         row->peer ? text("%s%s", row->peer, row->published ? " *" : "") : "", row_ratio(row),
         row_goal(row), verdict);
    failed += row->ours <= 0;
    add_text(object, "bench", row->bench);
    add_text(object, "what", row->what);
    add_text(object, "unit", row->unit);
    add_number(object, "selkie", row->ours);
    if (row->peer) {
        add_text(object, "peer", row->peer);
        add_number(object, "peer_value", row->theirs);
        json_object_object_add(object, "peer_measured", json_object_new_boolean(!row->published));
    }
    if (row->wanted == WANTED_WITHIN)
        json_object_object_add(object, "difference", json_object_new_double(row_score(row)));
    else
        add_number(object, "ratio", row_score(row));
    if (row->wanted != WANTED_NOTHING) {
        add_text(object, "target", row_goal(row));
        add_text(object, "verdict", verdict);
    }
    json_object_array_add(rows, object);
}

/* ---- the command ---- */

static const struct argp_option bench_option_table[] = {
    {"json", 'j', "FILE", OPTION_ARG_OPTIONAL,
     "the rows as JSON: to FILE, or to standard output (the table then goes to standard error)", 0},
    {"list", 'l', NULL, 0, "name the benchmarks instead of running them", 0},
    {0},
};

static error_t bench_key(int key, char *value, struct argp_state *state)
{
    struct bench_options *options = state->input;

    switch (key) {
    case 'j':
        options->json = true;
        options->json_path = value;
        return 0;
    case 'l':
        options->list = true;
        return 0;
    case ARGP_KEY_ARG:
        if (options->filter)
            return ARGP_ERR_UNKNOWN;
        options->filter = value;
        return 0;
    default:
        return command_key_default(key, state);
    }
}

static const char bench_doc[] =
    "Measure speed and size beside peers in the same run."
    "\vNAME is one of the names that --list shows, or what stands before their '-'; all are run"
    " without it. Figures of peers that "
    "are"
    " marked * are published ones, not of this run. docs/performance.md says what is measured and"
    " how.\n\nExamples:\n"
    "  selkie bench\n  selkie bench boot\n  selkie bench core\n  selkie bench --json=numbers.json "
    "getppid";

static void prepare(void)
{
    const char *const guests[] = {text("%s/tools/setup", top_dir()), "guests", NULL};

    build_packages("bench");
    build_packages("x64");
    if (run_quiet(guests, NULL, STDERR_FILENO) != 0)
        fail(EXIT_TOOL, "the guest programs of unit/guest could not be built");
    build_need("hosted", "selkie-hosted");
    build_need("x64", "selkie-x64.stripped");
}

/* "core" is core-switch, core-mutex and so on. */
static bool chosen(const char *filter, const char *name)
{
    size_t len = filter ? strlen(filter) : 0;

    return !filter || (strncmp(name, filter, len) == 0 && (name[len] == 0 || name[len] == '-'));
}

static void run_chosen(const char *filter)
{
    setenv("SELKIE_QUIET", "1", 1); /* the commands that are measured say nothing of their own */
    show("", "Selkie", "peer", "", "ratio", "target", "");
    for (size_t i = 0; i < bench_count; i++) {
        if (!chosen(filter, benches[i].name))
            continue;
        fprintf(table, "%s: %s\n", benches[i].name, benches[i].title);
        fflush(table);
        benches[i].run(&benches[i]);
    }
    fputs("* published, not measured in this run\n", table);
}

int command_bench(int argc, char **argv)
{
    static const struct argp argp = {
        bench_option_table, bench_key, "[NAME]", bench_doc, NULL, NULL, NULL};
    struct bench_options options = {0};
    bool known = false;

    command_parse(&argp, argc, argv, &options);
    for (size_t i = 0; i < bench_count; i++) {
        known |= chosen(options.filter, benches[i].name);
        if (options.list)
            printf("%-13s %s\n", benches[i].name, benches[i].title);
    }
    if (!known)
        fail(EXIT_TOOL, "%s: no such benchmark; see selkie bench --list", options.filter);
    if (options.list)
        return 0;
    table = options.json && !options.json_path ? stderr : stdout;
    rows = json_object_new_array();
    prepare();
    run_chosen(options.filter);
    if (options.json && !options.json_path)
        puts(json_object_to_json_string_ext(rows, JSON_C_TO_STRING_PRETTY));
    else if (options.json &&
             json_object_to_file_ext(options.json_path, rows, JSON_C_TO_STRING_PRETTY) < 0)
        fail(EXIT_TOOL, "%s: cannot be written", options.json_path);
    return failed ? 1 : 0;
}
