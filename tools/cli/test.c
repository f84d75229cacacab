/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test.c - `selkie test`: which tests there are, running them two (or as many as there are CPUs) at
 * a time, and the account. Each test is a process group of its own with a time limit; what it
 * prints is shown only if it fails.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "coverage.h"
#include "testbuild.h"

#define JOB_MAX 16

struct test_options {
    bool quick, list, coverage;
    const char *filter, *on, *build;
    unsigned jobs, soak, cpus;
};

struct job {
    const struct test *test; /* NULL: a free place */
    struct child child;
    double start;
    int report;
    bool late;
};

struct account {
    unsigned passed, failed, skipped;
    struct list failures;
};

/* ---- tests that are not in a table ---- */

static enum verdict path_run(const struct test *test)
{
    struct outcome outcome;

    outcome_get(&outcome, &(struct command_line){.words = &test->words, .folder = top_dir()});
    if (outcome.status == 0) {
        const char *from = test->tell ? strstr(outcome.out.data, test->tell) : NULL;

        if (from)
            fputs(from, stdout);
        return VERDICT_PASS;
    }
    printf("%s%s", outcome.out.data, outcome.err.data);
    if (outcome.status >= 125)
        printf("  exit status %d\n", outcome.status);
    return outcome.status == 77 ? VERDICT_SKIP : VERDICT_FAIL;
}

static void add_build(struct tests *tests, const char *preset, bool quick)
{
    struct test *test = tests_add(tests, text("build/%s", preset), path_run);

    list_add(&test->words, text("%s/tools/setup", top_dir()));
    list_add(&test->words, "build");
    list_add(&test->words, preset);
    test->serial = true; /* a build uses all CPUs itself */
    test->quick = quick;
    test->timeout_seconds = 1200;
}

static void add_check(struct tests *tests, const char *name, bool quick)
{
    struct test *test = tests_add(tests, text("check/%s", name), path_run);

    list_add(&test->words, text("%s/tools/checks/%s", top_dir(), name));
    test->needs = "hosted";
    test->quick = quick;
    if (!quick)
        test->timeout_seconds = 1500; /* where nothing is known yet */
}

/* The HAL alone, before anything stands on it. */
static void add_hal(struct tests *tests, enum backend backend, const char *machine)
{
    const char *name = backend_names[backend];
    struct test *test = tests_add(tests,
                                  text("hal/%s@%s",
                                       machine                     ? machine
                                       : backend == BACKEND_HOSTED ? "process"
                                                                   : "default",
                                       name),
                                  path_run);

    list_add(&test->words, text("%s/tools/tests/hal", top_dir()));
    list_add(&test->words, name);
    list_split(&test->words, "--cpus 4", " ");
    if (machine) {
        list_add(&test->words, "--machine");
        list_add(&test->words, machine);
    }
    test->needs = name;
    test->backend = backend;
    test->quick = true;
}

/* The same in ring 3, and the image's random address. */
static void add_hal_more(struct tests *tests)
{
    static const struct {
        const char *name, *command;
        enum backend backend;
        const char *build;
    } more[] = {
        {"hal/ring3@x64", "hal x64 --cpus 4 --accel tcg --boot ring=3", BACKEND_X64, "x64"},
        {"hal/large@x64", "hal x64 --accel tcg --memory 5G --boot direct=1g", BACKEND_X64, "x64"},
        {"hal/large@aarch64", "hal aarch64 --memory 3G --boot direct=1g", BACKEND_AARCH64,
         "aarch64"},
        {"hal/attacks-large@aarch64", "attacks aarch64 --memory 3G", BACKEND_AARCH64, "aarch64"},
        {"hal/attacks-large@x64", "attacks x64 --accel tcg --memory 3G", BACKEND_X64, "x64"},
        {"hal/kaslr@x64", "kaslr x64", BACKEND_X64, "x64"},
        {"hal/kaslr@aarch64", "kaslr aarch64", BACKEND_AARCH64, "aarch64"},
        {"hal/default@x64-asan", "hal x64-asan --cpus 4", BACKEND_X64, "x64-asan"},
        {"hal/ring3@x64-asan", "hal x64-asan --cpus 2 --accel tcg --boot ring=3", BACKEND_X64,
         "x64-asan"},
        {"hal/default@aarch64-asan", "hal aarch64-asan --cpus 4", BACKEND_AARCH64, "aarch64-asan"},
        {"hal/attacks@x64", "attacks x64", BACKEND_X64, "x64"},
        {"hal/attacks-ring3@x64", "attacks x64 --accel tcg --boot ring=3", BACKEND_X64, "x64"},
        {"hal/attacks@aarch64", "attacks aarch64", BACKEND_AARCH64, "aarch64"},
        {"hal/imagesize@x64", "../checks/imagesize", BACKEND_X64, "x64"},
        {"hal/landing@aarch64", "../checks/landing", BACKEND_AARCH64, "aarch64"},
        {"hal/barriers@x64", "../checks/barriers x64", BACKEND_X64, "x64"},
        {"hal/barriers@aarch64", "../checks/barriers aarch64", BACKEND_AARCH64, "aarch64"},
        {"hal/registers@hosted", "../checks/registers hosted", BACKEND_HOSTED, "hosted"},
        {"hal/registers@x64", "../checks/registers x64", BACKEND_X64, "x64"},
        {"hal/registers@aarch64", "../checks/registers aarch64", BACKEND_AARCH64, "aarch64"},
        {"hal/landing-program@aarch64", "landing", BACKEND_AARCH64, "aarch64"},
    };

    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        struct test *test = tests_add(tests, text("%s", more[i].name), path_run);

        list_split(&test->words, text("%s/tools/tests/%s", top_dir(), more[i].command), " ");
        test->needs = more[i].build;
        test->backend = more[i].backend;
        test->quick = !strchr(more[i].build, '-');
    }
}

/* The hosted HAL's test kernel is an executable of its own (unit/hosted). */
static void add_hal_hosted(struct tests *tests)
{
    struct test *shared = tests_add(tests, text("hal/shared@hosted"), path_run);
    struct test *test = tests_add(tests, text("hal/process@hosted"), path_run);

    list_add(&test->words, text("%s/build/hosted-asan/unit/hosted/hal-test", top_dir()));
    list_split(&test->words, "--memory 67108864 --cpus 4 --cmdline test", " ");
    list_add(&shared->words, text("%s/tools/tests/shared", top_dir()));
    shared->needs = "hosted";
    shared->backend = BACKEND_HOSTED;
    shared->quick = true;
    test->needs = "hosted-asan";
    test->backend = BACKEND_HOSTED;
    test->quick = true;
}

/* tools/tests/SCRIPT WORD. */
static struct test *add_runner(struct tests *tests, char *name, const char *script,
                               const char *word, const char *needs)
{
    struct test *test = tests_add(tests, name, path_run);

    list_add(&test->words, text("%s/tools/tests/%s", top_dir(), script));
    if (word)
        list_add(&test->words, word);
    test->needs = needs;
    return test;
}

/* tools/tests/SCRIPT BACKEND: a person at a terminal, a debugger, a process among others. */
static void add_script(struct tests *tests, const char *script, enum backend backend,
                       const char *needs)
{
    add_runner(tests, text("%s/run@%s", script, backend_names[backend]), script,
               backend_names[backend], needs)
        ->backend = backend;
}

/* Signals from outside, in several builds of the hosted kernel. */
static void add_outside(struct tests *tests, const char *build)
{
    add_runner(tests, text("outside/%s", build), "outside", build, build)->backend = BACKEND_HOSTED;
}

/* Real servers and clients, a test for each (tools/tests/servers). */
static void add_servers(struct tests *tests, enum backend backend)
{
    static const char *const cases[] = {"nginx",    "memcached", "redis", "files", "echo",
                                        "go",       "java",      "node",  "iperf", "fetch",
                                        "loopback", "pair",      "xclock"};
    size_t count = sizeof(cases) / sizeof(cases[0]);

    if (backend == BACKEND_AARCH64)
        count -= 3; /* what the others show */
    for (size_t i = 0; i < count; i++) {
        const char *on = backend_names[backend];
        struct test *test =
            add_runner(tests, text("servers/%s@%s", cases[i], on), "servers", on, on);

        list_add(&test->words, cases[i]);
        test->backend = backend;
    }
}

/* Simulated runs, twice each (docs/simulation.md). */
static void add_sim(struct tests *tests)
{
    static const char *const cases[] = {
        "sqlite", "python",       "sysbench-threads", "sysbench-mutex", "go",       "threads",
        "futex",  "poll",         "fploop",           "node",           "sleep",    "idle",
        "replay", "diff",         "explore",          "slow",           "hunt",     "nomem",
        "stop",   "nodes",        "nodes-end",        "nodes-explore",  "step",     "nomem_signals",
        "net",    "net-programs", "net-redis",        "hunt-net",       "net-exit", "faults",
        "short",  "devices"};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test *test =
            add_runner(tests, text("sim/%s@hosted", cases[i]), "sim", cases[i], "hosted-sim");

        test->backend = BACKEND_HOSTED;
        test->timeout_seconds = 600;
    }
}

/* Deliberate bugs (docs/mutation.md): every patch still fits, and a few are found. */
static void add_mutants(struct tests *tests)
{
    struct test *apply = tests_add(tests, text("mutants/apply"), path_run);
    struct test *sample = tests_add(tests, text("mutants/sample"), path_run);

    list_split(&apply->words, text("%s/tools/mutate --check", top_dir()), " ");
    apply->quick = true;
    list_split(&sample->words, text("%s/tools/mutate --sample --jobs 2", top_dir()), " ");
    sample->timeout_seconds = 900;
}

/* Faults on the real clock, ten seconds for each program (docs/chaos.md), three on a machine. */
static void add_chaos(struct tests *tests)
{
    static const char *const cases[] = {"mutex",   "sqlite", "java",  "go",
                                        "signals", "errors", "redis", "memcached"};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        add_runner(tests, text("chaos/%s@hosted", cases[i]), "chaos", cases[i], "hosted-asan")
            ->backend = BACKEND_HOSTED;
    struct test *machine =
        add_runner(tests, text("chaos/mutex@x64"), "chaos", "--on=x64", "x64-debug");

    list_split(&machine->words, "--seconds=3 mutex", " ");
    machine->backend = BACKEND_X64;
}

/* What the sources are called that match FOLDER/PATTERN, without folder and suffix: tests are found
 * in the source tree, so that one that was not built fails. */
static struct list names_of(const char *folder, const char *pattern, const char *suffix)
{
    const char *at = text("%s/%s/", top_dir(), folder);
    struct list names = {0};
    glob_t found;

    if (glob(text("%s%s%s", at, pattern, suffix), 0, NULL, &found) != 0)
        return names;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *source = found.gl_pathv[i] + strlen(at);

        list_add(&names, must_alloc(strndup(source, strlen(source) - strlen(suffix))));
    }
    globfree(&found);
    return names;
}

static void add_units(struct tests *tests)
{
    struct list names = names_of("unit", "*/*", "_test.c");

    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];
        struct test *test = tests_add(tests, text("unit/%s", name), path_run);

        list_add(&test->words, text("%s/build/hosted-asan/unit/%s_test", top_dir(), name));
        test->needs = "hosted-asan";
        test->quick = true;
    }
}

/* Every input that fuzzing has kept, once more, each on its target. */
static void add_fuzz(struct tests *tests)
{
    const char *top = top_dir();
    struct list names = names_of("fuzz", "*", "_fuzz.c");

    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];
        struct test *test = tests_add(tests, text("fuzz/%s", name), path_run);
        char *kept = text("%s/fuzz/regress/%s", top, name);

        list_add(&test->words, text("%s/build/hosted-asan/fuzz/%s_fuzz", top, name));
        list_add(&test->words, text("%s/fuzz/corpus/%s", top, name));
        if (file_exists(kept))
            list_add(&test->words, kept);
        test->needs = "hosted-asan";
        test->quick = true;
    }
}

/* New inputs, always the same ones: a number of runs from a fixed seed. */
static void add_fuzz_brief(struct tests *tests)
{
    const char *top = top_dir();
    struct list names = names_of("fuzz", "*", "_fuzz.c");

    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];
        struct test *test = tests_add(tests, text("fuzz/%s@fuzz", name), path_run);

        list_split(&test->words, text("%s/tools/selkie fuzz --brief %s", top, name), " ");
        test->needs = "fuzz";
        test->tell = ""; /* how many a second */
    }
}

/* The fuzzers find a bug if there is one. */
static void add_fuzz_planted(struct tests *tests)
{
    /* It builds two programs. */
    add_runner(tests, text("fuzz/planted"), "planted", NULL, "fuzz")->timeout_seconds = 600;
}

/* The guest targets, with seeds that stay the same. */
static void add_fuzz_guest(struct tests *tests, const char *name)
{
    struct test *test = tests_add(tests, text("fuzz/%s", name), path_run);

    list_add(&test->words, text("%s/tools/selkie", top_dir()));
    list_add(&test->words, "fuzz");
    list_add(&test->words, name);
    list_split(&test->words, "1 2 3 4", " ");
    test->needs = "hosted-asan";
    test->quick = true;
}

/* The hosted tests once more, on the measured build: last, and alone. Then, there too, how much of
 * the parsers the kept inputs reach. */
static void add_coverage(struct tests *tests)
{
    struct test *test = tests_add(tests, text("coverage/kernel"), path_run);

    list_add(&test->words, text("%s/tools/selkie", top_dir()));
    list_add(&test->words, "test");
    list_add(&test->words, "--coverage");
    test->tell = "least covered:";
    test->serial = true;
    test->timeout_seconds = 1800;
    test = tests_add(tests, text("coverage/parsers"), path_run);
    list_split(&test->words, text("%s/tools/selkie fuzz --lines --build hosted-cov", top_dir()),
               " ");
    test->timeout_seconds = 1800; /* if it has to build, too */
    test->tell = "";
}

static void all_tests(struct tests *tests, bool coverage)
{
    if (coverage) {
        add_build(tests, "hosted-cov", true);
    } else {
        add_build(tests, "hosted", true);
        add_build(tests, "hosted-asan", true);
        add_build(tests, "x64", true);
        add_build(tests, "aarch64", true);
        add_build(tests, "hosted-debug", false);
        add_build(tests, "hosted-tsan", false);
        add_build(tests, "hosted-coop", false);
        add_build(tests, "hosted-memdebug", false);
        add_build(tests, "x64-memdebug", false);
        add_build(tests, "hosted-sim", false);
        add_build(tests, "hosted-clang", false);
        add_build(tests, "fuzz", false);
        add_build(tests, "x64-debug", false);
        add_build(tests, "aarch64-debug", false);
        add_build(tests, "x64-asan", false);
        add_build(tests, "aarch64-asan", false);
        add_build(tests, "x64-clang", false);
        add_build(tests, "aarch64-clang", false);
        add_check(tests, "undefined", true);
        add_check(tests, "layers", true);
        add_check(tests, "sizes", true);
        add_check(tests, "format", true);
        add_check(tests, "text", true);
        add_check(tests, "docs", true);
        add_check(tests, "symtab", true);
        add_check(tests, "repeats", true);
        add_check(tests, "analysis", true);
        add_check(tests, "analyse", false);
        add_hal_hosted(tests);
        add_hal(tests, BACKEND_X64, NULL);
        add_hal(tests, BACKEND_X64, "pc");
        add_hal(tests, BACKEND_X64, "q35");
        add_hal_more(tests);
        add_hal(tests, BACKEND_AARCH64, NULL);
        add_script(tests, "process", BACKEND_HOSTED, "hosted");
        add_script(tests, "job", BACKEND_HOSTED, "hosted");
        add_script(tests, "flood", BACKEND_HOSTED, "hosted");
        add_outside(tests, "hosted-debug");
        add_outside(tests, "hosted-asan");
        for (int b = 0; b < BACKEND_COUNT; b++) {
            add_script(tests, "tty", (enum backend)b, backend_names[b]);
            add_script(tests, "streams", (enum backend)b, backend_names[b]);
            add_script(tests, "net", (enum backend)b, backend_names[b]);
            add_script(tests, "tap", (enum backend)b, backend_names[b]);
            add_servers(tests, (enum backend)b);
            add_script(tests, "gdb", (enum backend)b, text("%s-debug", backend_names[b]));
            add_script(tests, "crash", (enum backend)b, text("%s-debug", backend_names[b]));
            add_script(tests, "panic", (enum backend)b, text("%s-debug", backend_names[b]));
        }
        add_sim(tests);
        add_mutants(tests);
        add_chaos(tests);
    }
    add_units(tests);
    add_fuzz(tests);
    if (!coverage) {
        add_fuzz_brief(tests);
        add_fuzz_planted(tests);
        add_fuzz_guest(tests, "syscalls");
    }
    tests_load(tests, "guest", "guest");
    tests_load(tests, "bad", "bad");
    tests_load(tests, "asan", "asan");
    tests_load(tests, "ring3", "ring3");
    tests_load(tests, "ladder", "ladder");
    tests_load(tests, "runtime", "runtime");
    tests_load(tests, "python", "python");
    tests_load(tests, "storm", "storm");
    if (!coverage)
        add_coverage(tests);
}

/* ---- the schedule ---- */

static bool chosen(const struct test *test, const struct test_options *options)
{
    const char *at = strchr(test->name, '@');

    if (options->quick && !test->quick)
        return false;
    if (options->soak && !test->seconds)
        return false;
    if (options->on && strcmp(at ? at + 1 : "", options->on) != 0)
        return false;
    return !options->filter || strstr(test->name, options->filter) ||
           fnmatch(options->filter, test->name, 0) == 0;
}

static void job_start(struct job *job, const struct test *test)
{
    *job = (struct job){.test = test, .start = now_seconds()};
    job->report = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (job->report < 0)
        fail(EXIT_TOOL, "/tmp: %s", strerror(errno));
    if (!child_fork(&job->child, test->timeout_seconds, true))
        return;
    /* Not as whoever started us has it: a shell without job control ignores SIGINT and SIGQUIT for
     * what it puts in the background, and what is ignored stays so in all that a test starts. */
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, SIG_DFL);
    dup2(job->report, STDOUT_FILENO);
    if (!test->serial)
        dup2(job->report, STDERR_FILENO);
    exit((int)test->run(test));
}

static void job_end(struct job *job, struct account *account)
{
    int status = child_take(&job->child); /* and whatever the test left behind */
    double took = now_seconds() - job->start;
    struct bytes report = {0};
    const char *word = "ok  ";

    lseek(job->report, 0, SEEK_SET);
    fd_read(job->report, &report);
    close(job->report);
    if (!job->late && status == VERDICT_PASS) {
        account->passed++;
    } else if (!job->late && status == VERDICT_SKIP) {
        word = "skip";
        account->skipped++;
    } else {
        word = "FAIL";
        account->failed++;
        list_add(&account->failures, job->test->name);
    }
    printf("%s %s  %.1f s\n", word, job->test->name, took);
    if (job->late)
        printf("  no end after %u s\n", job->test->timeout_seconds);
    if ((job->test->tell || strcmp(word, "ok  ") != 0) && report.len)
        printf("%s%s", report.data, report.data[report.len - 1] != '\n' ? "\n" : "");
    fflush(stdout);
    job->test = NULL;
}

/* Set by SIGINT and SIGTERM: end what runs, then go. */
static volatile sig_atomic_t stopped;

static void stop(int number)
{
    stopped = number;
}

static void stop_all(struct job *jobs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!jobs[i].test)
            continue;
        child_kill(&jobs[i].child);
        child_take(&jobs[i].child);
    }
    fail(128 + stopped, "ended by signal %d", (int)stopped);
}

/* Wait until jobs have ended or a time limit has passed. */
static void jobs_wait(struct job *jobs, unsigned count, struct account *account)
{
    struct pollfd fds[JOB_MAX];
    double next = now_seconds() + 3600;

    for (unsigned i = 0; i < count; i++) {
        fds[i] = (struct pollfd){.fd = jobs[i].test ? jobs[i].child.fd : -1, .events = POLLIN};
        if (jobs[i].test && !jobs[i].late && jobs[i].child.deadline < next)
            next = jobs[i].child.deadline;
    }
    /* At least every second: a signal may have come just before poll(). */
    next -= now_seconds();
    poll(fds, count, next <= 0 ? 0 : next > 1 ? 1000 : (int)(next * 1000) + 1);
    if (stopped)
        stop_all(jobs, count);
    for (unsigned i = 0; i < count; i++) {
        if (!jobs[i].test)
            continue;
        if (fds[i].revents) {
            job_end(&jobs[i], account);
        } else if (!jobs[i].late && now_seconds() > jobs[i].child.deadline) {
            jobs[i].late = true;
            child_kill(&jobs[i].child);
        }
    }
}

static unsigned jobs_busy(const struct job *jobs, unsigned count)
{
    unsigned busy = 0;

    for (unsigned i = 0; i < count; i++)
        busy += jobs[i].test != NULL;
    return busy;
}

static void run_all(const struct tests *tests, const struct test_options *options,
                    struct account *account)
{
    struct job jobs[JOB_MAX] = {0};

    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    for (size_t i = 0; i < tests->count; i++) {
        const struct test *test = &tests->items[i];
        unsigned slot = 0;

        if (!chosen(test, options))
            continue;
        while (jobs_busy(jobs, options->jobs) >= (test->serial ? 1 : options->jobs))
            jobs_wait(jobs, options->jobs, account);
        while (jobs[slot].test)
            slot++;
        job_start(&jobs[slot], test);
        while (test->serial && jobs[slot].test)
            jobs_wait(jobs, options->jobs, account);
    }
    while (jobs_busy(jobs, options->jobs))
        jobs_wait(jobs, options->jobs, account);
}

/* ---- the command ---- */

static const struct argp_option test_option_table[] = {
    {"quick", 'q', NULL, 0, "without the tests that take long", 0},
    {"list", 'l', NULL, 0, "name the tests instead of running them", 0},
    {"on", 'o', "BACKEND", 0, "only tests on hosted, x64, aarch64 or a preset such as x64-asan", 0},
    {"build", 'b', "PRESET[,...]", 0,
     "the tests of programs, on these builds of their backends' kernels", 0},
    {"sanitizers", 'S', NULL, 0,
     "all tests of programs on all builds with a sanitizer, with 4 virtual CPUs: --cpus 4 "
     "--build " SANITIZER_PRESETS,
     0},
    {"cpus", 'p', "N", 0, "virtual CPUs for all tests of programs but those that want just one", 0},
    {"jobs", 'j', "N", 0, "tests at the same time (default: CPUs, at most 4)", 0},
    {"soak", 's', "SECONDS", 0, "only tests that can go on for longer, each for so many seconds",
     0},
    {"coverage", 'c', NULL, 0, "run the hosted tests on a measured build: line coverage of kernel/",
     0},
    {0},
};

static error_t test_key(int key, char *value, struct argp_state *state)
{
    struct test_options *options = state->input;

    switch (key) {
    case 'q':
        options->quick = true;
        return 0;
    case 'l':
        options->list = true;
        return 0;
    case 'o':
        options->on = value;
        return 0;
    case 'b':
        options->build = value;
        return 0;
    case 'S':
        options->build = SANITIZER_PRESETS;
        options->cpus = options->cpus ? options->cpus : 4;
        return 0;
    case 'p':
        options->cpus = (unsigned)atoi(value);
        if (options->cpus < 1 || options->cpus > 64)
            fail(EXIT_TOOL, "--cpus %s: from 1 to 64", value);
        return 0;
    case 'j':
        options->jobs = (unsigned)atoi(value);
        if (options->jobs < 1 || options->jobs > JOB_MAX)
            fail(EXIT_TOOL, "--jobs %s: from 1 to %d", value, JOB_MAX);
        return 0;
    case 's':
        options->soak = (unsigned)atoi(value);
        if (options->soak < 1 || options->soak > 86400)
            fail(EXIT_TOOL, "--soak %s: from 1 to 86400 seconds", value);
        return 0;
    case 'c':
        options->coverage = true;
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

static const char test_doc[] =
    "Run the tests: builds, checks, unit tests, guest programs, real programs."
    "\vFILTER is a part of a name or a pattern such as 'ladder/*@x64'. The last line is the account"
    " 'N passed, N failed, N skipped'; the exit status is 0 if nothing failed.\n\nExamples:\n"
    "  selkie test --quick\n  selkie test ladder/sqlite\n  selkie test --on x64 guest/\n"
    "  selkie test --build x64-asan ladder/\n  selkie test --sanitizers -j 1\n  selkie test --soak "
    "600 'storm/*-asan'";

/* Tests that can go on for longer do, and have the time for it. */
static void soak(struct tests *tests, unsigned seconds)
{
    for (size_t i = 0; i < tests->count; i++) {
        struct test *test = &tests->items[i];

        if (!test->seconds)
            continue;
        test->seconds = seconds;
        test->timeout_seconds += 2 * seconds;
    }
}

static bool preset_tested(const struct tests *tests, const struct test_options *options,
                          const char *preset)
{
    const char *name = text("build/%s", preset);

    for (size_t i = 0; i < tests->count; i++)
        if (strcmp(tests->items[i].name, name) == 0)
            return chosen(&tests->items[i], options);
    return false;
}

static void build_missing(const char *preset)
{
    const char *const words[] = {text("%s/tools/setup", top_dir()), "build", preset, NULL};

    if (run_quiet(words, NULL, STDERR_FILENO) != 0)
        say("the tests on %s will fail", preset);
}

/* Builds whose own test was not chosen, but that a chosen test needs: now, out of its time limit.
 */
static void build_for(const struct tests *tests, const struct test_options *options)
{
    struct list done = {0};

    for (size_t i = 0; i < tests->count; i++) {
        const struct test *test = &tests->items[i];
        const char *preset = test->needs;

        if (!preset || !chosen(test, options) || list_has(&done, preset))
            continue;
        list_add(&done, preset);
        if (!preset_tested(tests, options, preset))
            build_missing(preset);
    }
}

/* What tests run on must be there: packages, the guest programs. */
static void prepare(const struct tests *tests, const struct test_options *options)
{
    const char *const guests[] = {text("%s/tools/setup", top_dir()), "guests", NULL};

    build_packages("test");
    build_packages("gdb");
    if (run_quiet(guests, NULL, STDERR_FILENO) != 0)
        fail(EXIT_TOOL, "the guest programs of unit/guest could not be built");
    if (!options->coverage) {
        build_packages("x64");
        build_packages("aarch64");
    }
    build_for(tests, options);
}

/* Is enough of kernel/ run? Counts as a test if all tests were run. */
static void coverage_take(const struct test_options *options, struct account *account)
{
    bool enough = coverage_report(), all = !options->filter && !options->quick && !options->on;

    if (!all)
        return;
    if (enough) {
        account->passed++;
    } else {
        account->failed++;
        list_add(&account->failures, "coverage");
    }
}

int command_test(int argc, char **argv)
{
    static const struct argp argp = {
        test_option_table, test_key, "[FILTER]", test_doc, NULL, NULL, NULL};
    struct test_options options = {0};
    struct account account = {0};
    struct tests tests = {0};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    options.jobs = cpus < 1 ? 1 : cpus > 4 ? 4 : (unsigned)cpus;
    command_parse(&argp, argc, argv, &options);
    all_tests(&tests, options.coverage);
    if (options.coverage)
        tests_use_coverage(&tests);
    if (options.build)
        tests_use_builds(&tests, options.build);
    if (options.cpus)
        tests_use_cpus(&tests, options.cpus);
    if (options.soak)
        soak(&tests, options.soak);
    if (options.list) {
        for (size_t i = 0; i < tests.count; i++)
            if (chosen(&tests.items[i], &options))
                puts(tests.items[i].name);
        return 0;
    }
    unsetenv("TERM"); /* programs print the same whatever terminal this is */
    setenv("SELKIE_QUIET", "1", 1);
    prepare(&tests, &options);
    if (options.coverage)
        coverage_reset("hosted-cov");
    run_all(&tests, &options, &account);
    if (options.coverage)
        coverage_take(&options, &account);
    for (size_t i = 0; i < account.failures.count; i++)
        printf("failed: %s\n", account.failures.items[i]);
    if (account.passed + account.failed + account.skipped == 0)
        fail(EXIT_TOOL, "%s: no test has this name", options.filter ? options.filter : "filter");
    printf("%u passed, %u failed, %u skipped\n", account.passed, account.failed, account.skipped);
    return account.failed ? 1 : 0;
}
