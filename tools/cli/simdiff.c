/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simdiff.c - `selkie sim-diff`: where two traces of simulated runs part (docs/simulation.md has
 * their format). What comes after the first difference follows from it, so nothing else is
 * compared; but the first lines, which have seed and knobs, are only noted if they differ.
 */
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "util.h"

#define CONTEXT 5
#define FIELDS 6

struct trace {
    const char *path;
    struct bytes text;
    const char *at; /* the line we are at; NULL behind the last */
};

static const char *const field_names[FIELDS] = {"number", "time",           "CPU",
                                                "event",  "first argument", "second argument"};

static void trace_open(struct trace *trace, const char *path)
{
    *trace = (struct trace){.path = path};
    if (!file_read(path, &trace->text))
        fail(EXIT_TOOL, "%s: %s", path, strerror(errno));
    if (trace->text.len == 0 || !text_starts(trace->text.data, "selkie-sim seed="))
        fail(EXIT_TOOL, "%s: not a trace of a simulation", path);
    trace->at = trace->text.data;
}

static int line_length(const char *line)
{
    return (int)strcspn(line, "\n");
}

static const char *line_next(const char *line)
{
    line += line_length(line);
    return *line && line[1] ? line + 1 : NULL;
}

static bool lines_equal(const char *a, const char *b)
{
    return line_length(a) == line_length(b) && strncmp(a, b, (size_t)line_length(a)) == 0;
}

static void show(const char *mark, const char *line)
{
    printf("%s%.*s\n", mark, line_length(line), line);
}

/* Which fields of two events differ. */
static void show_fields(const char *a, const char *b)
{
    const char *comma = "";

    printf("differ in: ");
    for (int i = 0; i < FIELDS; i++) {
        size_t m = strcspn(a, " \n"), n = strcspn(b, " \n");

        if (m != n || strncmp(a, b, m) != 0) {
            printf("%s%s (%.*s, %.*s)", comma, field_names[i], (int)m, a, (int)n, b);
            comma = ", ";
        }
        a += m + (a[m] == ' ');
        b += n + (b[n] == ' ');
    }
    putchar('\n');
}

static void show_rest(const char *mark, const char *line)
{
    for (int i = 0; i <= CONTEXT && line; i++, line = line_next(line))
        show(mark, line);
    if (!line)
        printf("%s(end)\n", mark);
}

static int differ(const struct trace *a, const struct trace *b, const char *const *before,
                  size_t passed)
{
    for (size_t i = passed < CONTEXT ? 0 : passed - CONTEXT; i < passed; i++)
        show("  ", before[i % CONTEXT]);
    show_rest("< ", a->at);
    show_rest("> ", b->at);
    if (a->at && b->at && !text_starts(a->at, "selkie-sim") && !text_starts(b->at, "selkie-sim"))
        show_fields(a->at, b->at);
    return 1;
}

static error_t diff_key(int key, char *value, struct argp_state *state)
{
    const char **paths = state->input;

    if (key != ARGP_KEY_ARG)
        return command_key_default(key, state);
    if (state->arg_num >= 2)
        return ARGP_ERR_UNKNOWN;
    paths[state->arg_num] = value;
    return 0;
}

int command_sim_diff(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        diff_key,
        "A B",
        "Show where two traces of simulated runs part (selkie run --sim SEED --sim-trace FILE).\v"
        "Exit status: 0 if they are the same, 1 if they differ.",
        NULL,
        NULL,
        NULL};
    const char *paths[2] = {NULL, NULL}, *before[CONTEXT];
    struct trace a, b;
    size_t passed = 0;

    command_parse(&argp, argc, argv, paths);
    if (!paths[1])
        fail(EXIT_TOOL, "sim-diff: two traces are wanted; see selkie sim-diff --help");
    trace_open(&a, paths[0]);
    trace_open(&b, paths[1]);
    if (!lines_equal(a.at, b.at)) {
        show("< ", a.at);
        show("> ", b.at);
    }
    for (;;) {
        a.at = line_next(a.at);
        b.at = line_next(b.at);
        if (!a.at || !b.at || !lines_equal(a.at, b.at))
            break;
        before[passed++ % CONTEXT] = a.at;
    }
    if (a.at || b.at)
        return differ(&a, &b, before, passed);
    printf("the same: %zu lines\n", passed + 1);
    return 0;
}
