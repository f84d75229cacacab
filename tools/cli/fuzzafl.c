/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzzafl.c - `selkie fuzz --afl`: the targets of fuzz/ under AFL++, in its persistent mode (the
 * loop is in fuzz/replay.c). It begins with what libFuzzer begins with, and what it finds goes
 * where libFuzzer's finds go, so each of them goes on with the other's.
 */
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "fuzzing.h"
#include "run.h"

#define AFL_REPLAY_SECONDS 60

/* Nothing of the machine is set up for AFL++, and nobody looks at its screen. A seed that fails is
 * a find; the first find ends the run. */
static void set_environment(void)
{
    static const char *const on[] = {"AFL_NO_UI",
                                     "AFL_NO_COLOR",
                                     "AFL_NO_AFFINITY",
                                     "AFL_SKIP_CPUFREQ",
                                     "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES",
                                     "AFL_EXIT_ON_SEED_ISSUES",
                                     "AFL_BENCH_UNTIL_CRASH"};

    for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++)
        setenv(on[i], "1", 1);
    unsetenv("ASAN_OPTIONS"); /* afl-fuzz sets what it needs */
    unsetenv("UBSAN_OPTIONS");
}

/* A copy in the folder, under the name of its contents: copies of one file meet, and names of
 * libFuzzer and AFL++ do not. NULL: it is empty, or no file. */
static char *copy_file(const char *file, const char *folder)
{
    struct bytes data = {0};
    char *path = NULL;

    if (file_read(file, &data) && data.len) {
        path = text("%s/afl-%016llx", folder,
                    (unsigned long long)hash_add(HASH_START, data.data, data.len));
        if (!file_write(path, data.data, data.len))
            fail(EXIT_TOOL, "%s: %s", path, strerror(errno));
    }
    free(data.data);
    return path;
}

static void copy_files(const char *pattern, const char *folder)
{
    glob_t found;

    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        free(copy_file(found.gl_pathv[i], folder));
    globfree(&found);
}

/* AFL++ takes one folder of seeds: the tree's, and what was found so far unless the run is brief.
 */
static void make_seeds(const char *name, const char *seeds, bool brief)
{
    remove_tree(seeds);
    make_dirs(seeds);
    copy_files(text("%s/fuzz/corpus/%s/*", top_dir(), name), seeds);
    copy_files(text("%s/fuzz/regress/%s/*", top_dir(), name), seeds);
    if (!brief)
        copy_files(text("%s/*", fuzz_folder("corpus", name)), seeds);
}

/* The value of `key` in AFL++'s fuzzer_stats; 0. */
static double stat_of(const char *stats, const char *key)
{
    const char *at = strstr(stats, text("\n%s ", key));

    at = at ? strchr(at, ':') : NULL;
    return at ? strtod(at + 1, NULL) : 0;
}

static void afl_words(struct list *words, const char *name, const char *seeds, const char *out,
                      unsigned seconds)
{
    struct list length = {0}, runs = {0};
    const char *dict = fuzz_dict(name);

    fuzz_source_words(name, "length", &length);
    fuzz_source_words(name, "runs", &runs);
    list_split(words, text("afl-fuzz -m none -t %d", FUZZ_INPUT_SECONDS * 1000), " ");
    if (length.count)
        list_split(words, text("-G %s", length.items[0]), " ");
    if (dict)
        list_split(words, text("-x %s", dict), " ");
    /* The brief run begins with the changes that are not left to chance (-D). */
    list_split(words,
               seconds ? text("-V %u", seconds)
                       : text("-D -s 1 -E %s", runs.count ? runs.items[0] : FUZZ_BRIEF_RUNS),
               " ");
    list_add(words, "-i");
    list_add(words, seeds);
    list_add(words, "-o");
    list_add(words, out);
    list_add(words, "--");
    list_add(words, build_one(FUZZ_AFL_PRESET, text("fuzz/%s_fuzz", name)));
}

/* An input that failed, once more and alone: the report, which AFL++ does not keep. */
static void print_find(const char *name, const char *input)
{
    struct outcome outcome;
    struct list words = {0};

    list_add(&words, text("%s/build/%s/fuzz/%s_fuzz", top_dir(), FUZZ_AFL_PRESET, name));
    list_add(&words, input);
    outcome_get(&outcome, &(struct command_line){
                              .words = &words, .folder = top_dir(), .seconds = AFL_REPLAY_SECONDS});
    if (outcome.status != 0)
        fuzz_print_report(outcome.err.data);
    else
        printf("%s: does not fail alone\n", input);
    fuzz_print_again(name, input);
}

static void print_finds(const char *name, const char *out)
{
    glob_t found;

    if (glob(text("%s/default/*s/id:*", out), 0, NULL, &found) != 0) /* crashes and hangs */
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *input = copy_file(found.gl_pathv[i], fuzz_folder("crash", name));

        if (input)
            print_find(name, input);
    }
    globfree(&found);
}

bool fuzz_afl(const char *name, unsigned seconds)
{
    char *folder = fuzz_folder("afl", name), *seeds = text("%s/seeds", folder);
    char *out = text("%s/out", folder);
    struct outcome outcome;
    struct bytes stats = {0};
    struct list words = {0};
    bool good;

    afl_words(&words, name, seeds, out, seconds);
    make_seeds(name, seeds, seconds == 0);
    remove_tree(out);
    set_environment();
    outcome_get(&outcome,
                &(struct command_line){.words = &words,
                                       .folder = top_dir(),
                                       .seconds = seconds ? seconds + FUZZ_STOP_SECONDS : 0});
    file_write(text("%s/log", folder), outcome.out.data, outcome.out.len);
    if (!file_read(text("%s/default/fuzzer_stats", out), &stats))
        bytes_add(&stats, "", 0);
    good = outcome.status == 0 && stat_of(stats.data, "execs_done") > 0 &&
           stat_of(stats.data, "saved_crashes") + stat_of(stats.data, "saved_hangs") < 1;
    printf("%-17s %9.0f runs  %8.0f/s by the clock  %5.0f edges  %5.0f inputs  %s\n", name,
           stat_of(stats.data, "execs_done"), stat_of(stats.data, "execs_per_sec"),
           stat_of(stats.data, "edges_found"), stat_of(stats.data, "corpus_count"),
           good ? "ok" : "FOUND");
    fflush(stdout);
    if (seconds)
        copy_files(text("%s/default/queue/id:*", out), fuzz_folder("corpus", name));
    if (!good && outcome.status != 0)
        printf("%s%s", outcome.out.data, outcome.err.data);
    if (!good)
        print_finds(name, out);
    return good;
}
