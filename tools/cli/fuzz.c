/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz.c - `selkie fuzz`: runs libFuzzer on the targets of fuzz/, keeps what it finds, and counts
 * the lines that the inputs reach. docs/fuzzing.md says where everything lies.
 *
 * A guest target (fuzz/guest/) is a program that makes random calls inside the kernel built with
 * sanitizers, one seed after the other; there are no inputs to keep.
 *
 * Found inputs grow in build/fuzz/corpus/TARGET, beside those of the source tree; an input that
 * fails goes to build/fuzz/crash/TARGET/.
 */
#include <argp.h>
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "commands.h"
#include "coverage.h"
#include "fuzzing.h"
#include "run.h"

#define PRESET "fuzz"
#define MEASURED "fuzz-cov"
#define MERGE_SECONDS 600
#define ONE_SECONDS 60    /* if nothing is said: one target, */
#define ALL_SECONDS 600   /* all of them, as CI has time for, */
#define LONG_SECONDS 3600 /* each in the long mode */
#define GUEST_PRESET "hosted-asan"
#define GUEST_CALLS 10000 /* of each thread, by one seed */
#define GUEST_THREADS 4
#define GUEST_SECONDS 120

struct fuzz_options {
    bool all, list, coverage, lines, merge, hours, brief, afl;
    unsigned seconds;  /* 0: not said */
    const char *build; /* the kernel for guests; the measured build */
    struct list names; /* the target, then inputs to run once */
};

/* ---- targets ---- */

static struct list targets, guests;

/* The names between `folder` and `end` of the files there. */
static void names_find(struct list *names, const char *folder, const char *end)
{
    char *prefix = text("%s/%s/", top_dir(), folder);
    glob_t found;

    if (glob(text("%s*%s", prefix, end), 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *name = found.gl_pathv[i] + strlen(prefix);

        list_add(names, must_alloc(strndup(name, strlen(name) - strlen(end))));
    }
}

static void targets_find(void)
{
    names_find(&targets, "fuzz", "_fuzz.c");
    names_find(&guests, "fuzz/guest", ".c");
    for (size_t i = 0; i < guests.count; i++)
        list_add(&targets, guests.items[i]);
}

static char *source_of(const char *name)
{
    return text("%s/fuzz/%s_fuzz.c", top_dir(), name);
}

/* The words of a comment such as "covers: ..." at the top of the target; its lines may begin with a
 * star. */
void fuzz_source_words(const char *name, const char *key, struct list *out)
{
    struct bytes source = {0};
    const char *at, *end;

    if (!file_read(source_of(name), &source))
        fail(EXIT_TOOL, "%s: %s", source_of(name), strerror(errno));
    at = strstr(source.data, text("/* %s: ", key));
    end = at ? strstr(at, "*/") : NULL;
    if (!end)
        return;
    at += strlen("/* : ") + strlen(key);
    list_split(out, must_alloc(strndup(at, (size_t)(end - at))), " *\t\n");
}

/* ---- running libFuzzer ---- */

char *fuzz_folder(const char *kind, const char *name)
{
    char *path = text("%s/build/fuzz/%s/%s", top_dir(), kind, name);

    make_dirs(path);
    return path;
}

static void add_if_there(struct list *words, const char *kind, const char *name)
{
    char *path = text("%s/fuzz/%s/%s", top_dir(), kind, name);

    if (file_exists(path))
        list_add(words, path);
}

char *fuzz_dict(const char *name)
{
    char *dict = text("%s/fuzz/dict/%s.dict", top_dir(), name);

    return file_exists(dict) ? dict : NULL;
}

static void fuzzer_words(struct list *words, const char *name)
{
    const char *dict = fuzz_dict(name);
    struct list length = {0};

    fuzz_source_words(name, "length", &length);
    list_add(words, build_need(PRESET, text("fuzz/%s_fuzz", name)));
    list_add(words, text("-artifact_prefix=%s/", fuzz_folder("crash", name)));
    if (length.count)
        list_add(words, text("-max_len=%s", length.items[0]));
    if (dict)
        list_add(words, text("-dict=%s", dict));
}

/* The number behind `key` at its last place in a log; 0: it is not there. */
static unsigned long last_number(const char *log, const char *key)
{
    const char *found = NULL;

    for (const char *at = log; (at = strstr(at, key)); at++)
        found = at + strlen(key);
    return found ? strtoul(found, NULL, 10) : 0;
}

/* What libFuzzer and the sanitizer say of a find: from the first line of the report on. */
void fuzz_print_report(const char *log)
{
    static const char *const starts[] = {
        "does not hold", "runtime error:", "==ERROR:", "fake_hal:", "ERROR: libFuzzer"};
    const char *first = NULL;

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        const char *at = strstr(log, starts[i]);

        if (at && (!first || at < first))
            first = at;
    }
    while (first && first > log && first[-1] != '\n')
        first--;
    fputs(first ? first : log, stdout);
}

/* CPU seconds of the children that have ended: others on the machine do not count. */
static double cpu_seconds(void)
{
    struct rusage use;

    getrusage(RUSAGE_CHILDREN, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* For so many seconds, on with what earlier runs have found. */
static void long_words(struct list *words, const char *name, unsigned seconds)
{
    list_add(words, text("-timeout=%d", FUZZ_INPUT_SECONDS));
    list_add(words, text("-max_total_time=%u", seconds));
    list_add(words, fuzz_folder("corpus", name)); /* the first folder takes what is new */
}

/* A number of runs, always the same ones: nothing depends on time, or on what is in build/, or on
 * addresses, which libFuzzer sees compared (a system that refuses to fix them has other runs). */
static void brief_words(struct list *words, const char *name)
{
    struct list runs = {0};

    (void)personality((unsigned long)personality(0xffffffff) | ADDR_NO_RANDOMIZE);
    fuzz_source_words(name, "runs", &runs);
    list_add(words, "-timeout=0");
    list_add(words, "-seed=1");
    list_add(words, text("-runs=%s", runs.count ? runs.items[0] : FUZZ_BRIEF_RUNS));
    remove_tree(fuzz_folder("brief", name));
    list_add(words, fuzz_folder("brief", name));
}

void fuzz_print_again(const char *name, const char *input)
{
    printf("again: selkie fuzz %s %s\nkeep:  cp %s fuzz/regress/%s/NAME\n", name, input, input,
           name);
}

/* seconds 0: the brief run. */
static bool fuzz_one(const char *name, unsigned seconds)
{
    struct outcome outcome;
    struct list words = {0};
    const char *log, *input;
    unsigned long runs;
    double cpu;

    fuzzer_words(&words, name);
    list_add(&words, "-print_final_stats=1");
    if (seconds)
        long_words(&words, name, seconds);
    else
        brief_words(&words, name);
    add_if_there(&words, "corpus", name);
    add_if_there(&words, "regress", name);
    cpu = cpu_seconds();
    outcome_get(&outcome,
                &(struct command_line){.words = &words,
                                       .folder = top_dir(),
                                       .seconds = seconds ? seconds + FUZZ_STOP_SECONDS : 0});
    cpu = cpu_seconds() - cpu;
    log = outcome.err.data;
    runs = last_number(log, "stat::number_of_executed_units: ");
    file_write(text("%s/build/fuzz/%s.log", top_dir(), name), log, outcome.err.len);
    printf("%-17s %9lu runs  %8.0f/s  %5lu edges  %5lu inputs  %s\n", name, runs,
           (double)runs / (cpu > 0 ? cpu : 1), last_number(log, " cov: "),
           last_number(log, " corp: "), outcome.status == 0 ? "ok" : "FOUND");
    fflush(stdout);
    if (outcome.status == 0)
        return true;
    fuzz_print_report(log);
    input = strstr(log, "Test unit written to ");
    if (input) {
        input = must_alloc(strndup(input + strlen("Test unit written to "),
                                   strcspn(input + strlen("Test unit written to "), "\n")));
        fuzz_print_again(name, input);
    }
    return false;
}

/* ---- guests ---- */

static struct list *guest_words(const char *name, const char *build, unsigned long seed)
{
    static struct list words;

    words = (struct list){0};
    list_add(&words, text("%s/tools/selkie", top_dir()));
    list_split(&words, text("run --build %s --cpus 4 --memory 256M", build), " ");
    list_add(&words, build_need(GUEST_PRESET, text("fuzz/%s", name)));
    list_add(&words, text("%lu", seed));
    list_add(&words, text("%d", GUEST_CALLS));
    list_add(&words, text("%d", GUEST_THREADS));
    return &words;
}

/* Seeds that no run before had, until the time is over or one fails. */
static bool fuzz_guest(const char *name, const char *build, unsigned seconds)
{
    unsigned long first = (unsigned long)time(NULL) % 100000 * 1000, seed = first;
    struct outcome outcome = {0};
    double end, cpu;

    setenv("SELKIE_QUIET", "1", 1);
    cpu = cpu_seconds();
    end = now_seconds() + seconds;
    do
        outcome_get(&outcome, &(struct command_line){.words = guest_words(name, build, seed++),
                                                     .folder = top_dir(),
                                                     .seconds = GUEST_SECONDS});
    while (now_seconds() < end && outcome.status == 0);
    cpu = cpu_seconds() - cpu;
    printf("%-17s %9lu calls %8.0f/s  %5lu seeds  %s\n", name,
           (seed - first) * GUEST_CALLS * GUEST_THREADS,
           (double)((seed - first) * GUEST_CALLS * GUEST_THREADS) / (cpu > 0 ? cpu : 1),
           seed - first, outcome.status == 0 ? "ok" : "FOUND");
    fflush(stdout);
    if (outcome.status == 0)
        return true;
    printf("%s%s%sexit status %d\nagain: selkie fuzz --build %s %s %lu\n", outcome.out.data,
           outcome.err.data, outcome.late ? "no end; " : "", outcome.status, build, name, seed - 1);
    return false;
}

static int run_guest(const char *name, const char *build, char **seeds)
{
    for (; *seeds; seeds++) {
        const struct list *words = guest_words(name, build, strtoul(*seeds, NULL, 0));
        int status = run_quiet((const char *const *)words->items, NULL, STDERR_FILENO);

        if (status != 0)
            return status;
    }
    return 0;
}

/* Inputs named on the command line, once each. */
static int run_inputs(const char *name, char **inputs)
{
    struct list words = {0};

    fuzzer_words(&words, name);
    list_add(&words, text("-timeout=%d", FUZZ_INPUT_SECONDS));
    for (; *inputs; inputs++)
        list_add(&words, *inputs);
    return run_quiet((const char *const *)words.items, NULL, STDOUT_FILENO) == 0 ? 0 : 1;
}

/* Of all inputs found, those that reach edges the tree's inputs do not, into the tree. */
static void merge(const char *name)
{
    struct outcome outcome;
    struct list words = {0};
    char *tree = text("%s/fuzz/corpus/%s", top_dir(), name);

    make_dirs(tree);
    fuzzer_words(&words, name);
    list_add(&words, "-merge=1");
    list_add(&words, "-use_counters=0"); /* edges, not how often */
    list_add(&words, tree);
    list_add(&words, fuzz_folder("corpus", name));
    outcome_get(&outcome, &(struct command_line){
                              .words = &words, .folder = top_dir(), .seconds = MERGE_SECONDS});
    if (outcome.status != 0)
        fail(EXIT_TOOL, "%s: merging failed: %s", name, outcome.err.data);
    printf("%-17s %lu inputs are new in fuzz/corpus/%s\n", name,
           last_number(outcome.err.data, "MERGE-OUTER: "), name);
}

/* ---- coverage ---- */

/* Every input of the tree, on the measured build; then lines of the files that the target names.
 * Kernel sources are compiled once for several programs: the counts go where no other's are. */
static bool cover(const char *name, const char *build)
{
    struct list words = {0}, files = {0}, wanted = {0};
    const char *counts = fuzz_folder("lines", name);
    struct outcome outcome;

    list_add(&words, build_need(build, text("fuzz/%s_fuzz", name)));
    add_if_there(&words, "corpus", name);
    add_if_there(&words, "regress", name);
    remove_tree(counts);
    setenv("GCOV_PREFIX", counts, 1);
    outcome_get(&outcome, &(struct command_line){.words = &words, .folder = top_dir()});
    unsetenv("GCOV_PREFIX");
    if (outcome.status != 0) {
        printf("%-17s fails: %s\n", name, outcome.err.data);
        return false;
    }
    fuzz_source_words(name, "covers", &files);
    fuzz_source_words(name, "lines", &wanted);
    return coverage_files(name, counts, &files, &wanted);
}

/* The targets that say how many lines their inputs reach. */
static struct list targets_with_lines(void)
{
    struct list out = {0};

    for (size_t i = 0; i < targets.count; i++) {
        struct list wanted = {0};

        if (!list_has(&guests, targets.items[i]))
            fuzz_source_words(targets.items[i], "lines", &wanted);
        if (wanted.count)
            list_add(&out, targets.items[i]);
    }
    return out;
}

/* ---- the command ---- */

static const struct argp_option fuzz_option_table[] = {
    {"seconds", 's', "N", 0,
     "how long (default: 60); with --all for all of them together (default: 600)", 0},
    {"brief", 'B' + 256, NULL, 0,
     "as many runs as the target's comment runs: says, from a fixed seed: what the tests do", 0},
    {"afl", 'A' + 256, NULL, 0, "with AFL++ instead of libFuzzer", 0},
    {"build", 'b' + 256, "PRESET", 0,
     "the kernel for targets that are guests (" GUEST_PRESET "); the measured build (" MEASURED ")",
     0},
    {"long", 'l' + 256, NULL, 0, "an hour for each target", 0},
    {"all", 'a', NULL, 0, "all targets", 0},
    {"list", 'l', NULL, 0, "name the targets", 0},
    {"coverage", 'c', NULL, 0,
     "instead of fuzzing: lines of the tested files that the inputs of the source tree reach", 0},
    {"lines", 'L' + 256, NULL, 0,
     "the same for the targets that say in a comment lines: how many it must be; less is a failure",
     0},
    {"merge", 'm', NULL, 0,
     "instead of fuzzing: put found inputs that reach anything new into fuzz/corpus/", 0},
    {0},
};

static error_t fuzz_key(int key, char *value, struct argp_state *state)
{
    struct fuzz_options *options = state->input;

    switch (key) {
    case 's':
        options->seconds = (unsigned)atoi(value);
        if (options->seconds < 1 || options->seconds > 7 * 86400)
            fail(EXIT_TOOL, "--seconds %s: from 1 to 604800", value);
        return 0;
    case 'b' + 256:
        options->build = value;
        return 0;
    case 'A' + 256:
        options->afl = true;
        return 0;
    case 'B' + 256:
        options->brief = true;
        return 0;
    case 'L' + 256:
        options->lines = options->coverage = true;
        return 0;
    case 'l' + 256:
        options->hours = true;
        return 0;
    case 'a':
        options->all = true;
        return 0;
    case 'l':
        options->list = true;
        return 0;
    case 'c':
        options->coverage = true;
        return 0;
    case 'm':
        options->merge = true;
        return 0;
    case ARGP_KEY_ARG:
        list_add(&options->names, value);
        return 0;
    default:
        return command_key_default(key, state);
    }
}

static const char fuzz_doc[] =
    "Feed the kernel's parsers and operations with inputs that libFuzzer makes."
    "\vTARGET is one of those that --list shows. With an INPUT (a file; a seed for a target that "
    "is a guest) it is run on these only. The"
    " exit status is 0 if nothing was found.\n\nExamples:\n"
    "  selkie fuzz elf --seconds 300\n  selkie fuzz --all\n  selkie fuzz --all --long\n"
    "  selkie fuzz elf fuzz/regress/elf/*\n  selkie fuzz --all --coverage";

static bool fuzz_target(const struct fuzz_options *options, const char *name, unsigned seconds)
{
    const char *build = options->build;

    if (list_has(&guests, name))
        return options->coverage || options->merge || options->brief || options->afl ||
               fuzz_guest(name, build ? build : GUEST_PRESET, seconds);
    if (options->coverage)
        return cover(name, build ? build : MEASURED);
    if (options->merge) {
        merge(name);
        return true;
    }
    return options->afl ? fuzz_afl(name, seconds) : fuzz_one(name, seconds);
}

/* Programs are made before the time is counted. */
static void build_all(const struct fuzz_options *options)
{
    for (size_t i = 0; i < options->names.count; i++) {
        const char *name = options->names.items[i];

        if (list_has(&guests, name) && options->afl) {
            continue;
        } else if (list_has(&guests, name)) {
            build_need(GUEST_PRESET, text("fuzz/%s", name));
            build_need(options->build ? options->build : GUEST_PRESET, "selkie-hosted");
        } else if (options->afl) {
            build_one(FUZZ_AFL_PRESET, text("fuzz/%s_fuzz", name));
        } else {
            build_need(PRESET, text("fuzz/%s_fuzz", name));
        }
    }
}

/* Each target in turn. Those that are left share the time that is left, so all of them together
 * have what was said, whatever starting them and ending them takes. */
static bool fuzz_targets(const struct fuzz_options *options)
{
    const struct list *names = &options->names;
    unsigned all = options->seconds;
    bool good = true, timed = !options->coverage && !options->merge && !options->brief;
    double start;

    if (!all)
        all = options->hours ? LONG_SECONDS * (unsigned)names->count
              : options->all ? ALL_SECONDS
                             : ONE_SECONDS;
    if (timed)
        build_all(options);
    start = now_seconds();
    for (size_t i = 0; i < names->count; i++) {
        double left = start + all - now_seconds();
        double share = left / (double)(names->count - i);

        good &= fuzz_target(options, names->items[i], !timed ? 0 : share < 1 ? 1 : (unsigned)share);
    }
    if (timed && names->count > 1)
        printf("%zu targets in %.0f of %u s\n", names->count, now_seconds() - start, all);
    return good;
}

int command_fuzz(int argc, char **argv)
{
    static const struct argp argp = {
        fuzz_option_table, fuzz_key, "[TARGET [INPUT...]]", fuzz_doc, NULL, NULL, NULL};
    struct fuzz_options options = {0};
    struct list *names = &options.names;

    command_parse(&argp, argc, argv, &options);
    targets_find();
    if (options.list) {
        for (size_t i = 0; i < targets.count; i++)
            puts(targets.items[i]);
        return 0;
    }
    if (options.all)
        *names = targets;
    if (options.lines && names->count == 0)
        *names = targets_with_lines();
    if (names->count == 0)
        fail(EXIT_TOOL, "which target? see selkie fuzz --list, or --all");
    /* Those of fuzz/test/ have a bug: they are there if named, not in the list. */
    if (!list_has(&targets, names->items[0]) && !file_exists(source_of(names->items[0])))
        fail(EXIT_TOOL, "%s: no such target; see selkie fuzz --list", names->items[0]);
    if (options.lines)
        return fuzz_targets(&options) ? 0 : 1;
    if (!options.all && names->count > 1 && list_has(&guests, names->items[0]))
        return run_guest(names->items[0], options.build ? options.build : GUEST_PRESET,
                         names->items + 1);
    if (!options.all && names->count > 1)
        return run_inputs(names->items[0], names->items + 1);
    return fuzz_targets(&options) ? 0 : 1;
}
