/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore.c - `selkie explore`: a program under many seeds of the simulation, in search of an
 * interleaving in which it (or the kernel) fails. A seed stands for its whole run, knobs
 * included: of four seeds one changes the CPU by chance, each with its own mean; one by priorities
 * with a few changes (Burckhardt, Kothari, Musuvathi, Nagarakatte: A Randomized Scheduler with
 * Probabilistic Guarantees of Finding Bugs, ASPLOS 2010), spread over as many points as the
 * first run had; and two make places of the kernel slow.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "commands.h"
#include "run.h"

#define JOB_MAX 64
#define TAIL_LINES 6

struct explore_options {
    uint64_t seeds, from;
    unsigned jobs;
    double timeout;
    int expect; /* -1: as the first seed that ends by itself */
    bool until_failure;
    const char *machines; /* a file for `selkie sim` instead of a program; or NULL */
    struct list words;    /* options for selkie run */
    struct list program;
};

struct job {
    bool busy;
    uint64_t seed;
    struct child child;
    int output;
};

struct search {
    const struct explore_options *options;
    struct job jobs[JOB_MAX];
    uint64_t length; /* points of the first run */
    uint64_t done, failures;
};

/* ---- what is run ---- */

/* The words for a seed and its knobs. */
static void knobs(const struct search *search, uint64_t seed, struct list *words)
{
    static const unsigned switches[] = {1, 3, 10, 30, 100, 300, 1000}, depths[] = {1, 2, 3, 5},
                          slows[] = {4, 8, 16, 32};
    uint64_t turn = seed / 4;

    list_add(words, search->options->machines ? "--seed" : "--sim");
    list_add(words, text("%ju", (uintmax_t)seed));
    list_add(words, "--sim-set");
    switch (seed % 4) {
    case 0:
        list_add(words, text("switch=%u", switches[turn % 7]));
        return;
    case 1:
        break;
    default:
        list_add(words, text("slow=%u", slows[(turn + seed % 2) % 4]));
        list_add(words, "--sim-set");
        list_add(words, text("switch=%u", seed % 4 == 2 ? 100 : 10000));
        return;
    }
    list_add(words, text("depth=%u", depths[turn % 4]));
    list_add(words, "--sim-set");
    list_add(words, text("length=%ju", (uintmax_t)search->length));
}

static struct list command(const struct search *search, uint64_t seed)
{
    struct list words = {0};

    list_add(&words, "/proc/self/exe"); /* tools/selkie looks first whether it is up to date */
    list_add(&words, search->options->machines ? "sim" : "run");
    knobs(search, seed, &words);
    for (size_t i = 0; i < search->options->words.count; i++)
        list_add(&words, search->options->words.items[i]);
    for (size_t i = 0; i < search->options->program.count; i++)
        list_add(&words, search->options->program.items[i]);
    if (search->options->machines)
        list_add(&words, search->options->machines);
    return words;
}

/* As a shell reads it. */
static void print_word(const char *word)
{
    if (*word && word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "_-+=:,./@%")] == '\0') {
        fputs(word, stdout);
        return;
    }
    putchar('\'');
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*word);
    putchar('\'');
}

/* The kernel stays on the first CPU it may use: each place has its own. */
static void take_cpu(unsigned place)
{
    cpu_set_t cpus;
    int n, seen = 0;

    if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
        return;
    n = (int)place % CPU_COUNT(&cpus);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &cpus) || seen++ != n)
            continue;
        CPU_ZERO(&cpus);
        CPU_SET(cpu, &cpus);
        sched_setaffinity(0, sizeof(cpus), &cpus);
        return;
    }
}

static void job_start(struct search *search, unsigned place, uint64_t seed)
{
    struct job *job = &search->jobs[place];
    struct list words = command(search, seed);
    int null;

    *job = (struct job){.busy = true, .seed = seed};
    job->output = memfd_create("explore", MFD_CLOEXEC);
    if (job->output < 0)
        fail(EXIT_TOOL, "memfd_create: %s", strerror(errno));
    if (!child_fork(&job->child, search->options->timeout, true))
        return;
    take_cpu(place);
    null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(job->output, STDOUT_FILENO);
    dup2(job->output, STDERR_FILENO);
    execv(words.items[0], words.items);
    dprintf(STDERR_FILENO, "%s: %s\n", words.items[0], strerror(errno));
    _exit(EXIT_TOOL);
}

/* ---- what came of it ---- */

/* The end of its output, without our own last line. */
static void print_tail(char *output)
{
    char *last = strstr(output, "selkie-sim status="), *at;
    int lines = 0;

    if (last)
        *last = '\0';
    at = output + strlen(output);
    while (at > output && (lines < TAIL_LINES || at[-1] != '\n'))
        if (*--at == '\n' && at[1])
            lines++;
    at += *at == '\n';
    while (*at) {
        size_t len = strcspn(at, "\n");

        printf("    %.*s\n", (int)len, at);
        at += len + (at[len] == '\n');
    }
}

static const char *reason(int status, bool late, const struct explore_options *options,
                          const char *output)
{
    if (late)
        return text("no end within %g s", options->timeout);
    if (status == EXIT_TOOL && strstr(output, "every CPU is idle"))
        return "deadlock";
    if (status == EXIT_TOOL)
        return "the kernel failed";
    return text("exit status %d instead of %d", status, options->expect);
}

static void tell(const struct search *search, const struct job *job, const char *why, char *output)
{
    struct list words = command(search, job->seed);

    printf("seed %ju: %s\n", (uintmax_t)job->seed, why);
    print_tail(output);
    fputs("  repeat with: selkie", stdout);
    for (size_t i = 1; i < words.count; i++) {
        putchar(' ');
        print_word(words.items[i]);
    }
    putchar('\n');
    fflush(stdout);
}

/* How many points a run had behind the kernel's start; 0 if it does not say so, because it did not
 * come to an end in the kernel. */
static uint64_t points(const char *output)
{
    const char *last = strstr(output, "selkie-sim status=");
    const char *boot = last ? strstr(last, " boot=") : NULL;
    const char *all = last ? strstr(last, " points=") : NULL;

    if (!boot || !all)
        return 0;
    return strtoull(all + strlen(" points="), NULL, 10) -
           strtoull(boot + strlen(" boot="), NULL, 10) + 1;
}

static void job_end(struct search *search, struct explore_options *options, struct job *job)
{
    struct bytes output = {0};
    bool late = false;
    int status = child_wait(&job->child, &late);

    bytes_add(&output, "", 0);
    lseek(job->output, 0, SEEK_SET);
    fd_read(job->output, &output);
    close(job->output);
    job->busy = false;
    search->done++;
    /* Without a last line nothing was simulated: a mistake in the options, a build that failed. If
     * others were, the kernel has crashed. */
    if (!late && status >= EXIT_TOOL && points(output.data) == 0 && search->done == 1)
        fail(status, "seed %ju could not be run:\n%s", (uintmax_t)job->seed, output.data);
    if (search->done == 1 && points(output.data) > 0)
        search->length = points(output.data);
    if (!late && status != EXIT_TOOL && options->expect < 0)
        options->expect = status;
    if (!late && status == options->expect)
        return;
    search->failures++;
    tell(search, job, reason(status, late, options, output.data), output.data);
}

static unsigned busy(const struct search *search)
{
    unsigned n = 0;

    for (unsigned i = 0; i < JOB_MAX; i++)
        n += search->jobs[i].busy;
    return n;
}

/* Wait for one to end, or to be late. */
static void take_one(struct search *search, struct explore_options *options)
{
    struct pollfd fds[JOB_MAX];
    double next = now_seconds() + 1;

    for (unsigned i = 0; i < JOB_MAX; i++) {
        const struct job *job = &search->jobs[i];

        fds[i] = (struct pollfd){.fd = job->busy ? job->child.fd : -1, .events = POLLIN};
        if (job->busy && job->child.deadline < next)
            next = job->child.deadline;
    }
    next -= now_seconds();
    poll(fds, JOB_MAX, next <= 0 ? 0 : (int)(next * 1000) + 1);
    for (unsigned i = 0; i < JOB_MAX; i++) {
        struct job *job = &search->jobs[i];

        if (job->busy && (fds[i].revents || now_seconds() >= job->child.deadline))
            job_end(search, options, job);
    }
}

static int explore(struct explore_options *options)
{
    struct search search = {.options = options, .length = 100000};
    double start = now_seconds();
    uint64_t next = 0;

    /* The first alone: it builds what is missing, and says how long a run is. */
    while (next < options->seeds && !(options->until_failure && search.failures > 0)) {
        unsigned limit = search.done == 0 ? 1 : options->jobs, place = 0;

        if (busy(&search) >= limit) {
            take_one(&search, options);
            continue;
        }
        while (search.jobs[place].busy)
            place++;
        job_start(&search, place, options->from + next++);
    }
    while (busy(&search) > 0)
        take_one(&search, options);
    printf("%ju seeds, %ju failures, %.1f s\n", (uintmax_t)search.done, (uintmax_t)search.failures,
           now_seconds() - start);
    return search.failures > 0 ? 1 : 0;
}

/* ---- the command line ---- */

enum { KEY_SEEDS = 256, KEY_FROM, KEY_UNTIL, KEY_JOBS, KEY_TIMEOUT, KEY_EXPECT, KEY_MACHINES };

static const struct argp_option explore_option_table[] = {
    {"seeds", KEY_SEEDS, "N", 0, "how many (default: 100)", 0},
    {"from", KEY_FROM, "SEED", 0, "the first (default: 1)", 0},
    {"until-failure", KEY_UNTIL, NULL, 0, "start no more when one has failed", 0},
    {"jobs", KEY_JOBS, "N", 0, "runs at the same time (default: CPUs)", 0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0, "a run that takes longer has failed (default: 60)", 0},
    {"expect", KEY_EXPECT, "STATUS", 0, "the right exit status (default: the first seed's)", 0},
    {"machines", KEY_MACHINES, "FILE", 0, "several machines: what selkie sim runs", 0},
    {0},
};

static uint64_t number(const char *option, const char *value, uint64_t lo, uint64_t hi)
{
    char *end;
    unsigned long long n = strtoull(value, &end, 0);

    if (*value < '0' || *value > '9' || *end || n < lo || n > hi)
        fail(EXIT_TOOL, "%s %s: from %ju to %ju", option, value, (uintmax_t)lo, (uintmax_t)hi);
    return n;
}

static error_t explore_key(int key, char *value, struct argp_state *state)
{
    struct explore_options *options = state->input;

    switch (key) {
    case KEY_SEEDS:
        options->seeds = number("--seeds", value, 1, 1000000000);
        return 0;
    case KEY_FROM:
        options->from = number("--from", value, 0, UINT64_MAX / 2);
        return 0;
    case KEY_UNTIL:
        options->until_failure = true;
        return 0;
    case KEY_JOBS:
        options->jobs = (unsigned)number("--jobs", value, 1, JOB_MAX);
        return 0;
    case KEY_TIMEOUT:
        options->timeout = (double)number("--timeout", value, 1, 1000000);
        return 0;
    case KEY_EXPECT:
        options->expect = (int)number("--expect", value, 0, 255);
        return 0;
    case KEY_MACHINES:
        options->machines = value;
        return 0;
    default:
        return command_key_default(key, state);
    }
}

static const char explore_doc[] =
    "Run PROGRAM under many seeds of the simulation (docs/simulation.md), each with another order "
    "of "
    "its virtual CPUs, and print the commands that repeat those that fail: with another exit "
    "status, a deadlock, a failure of the kernel, or no end.\v"
    "RUN-OPTION is any option of selkie run; --cpus is 4 if not given. Exit status: 0, or 1 if a "
    "seed failed.\n\nExamples:\n"
    "  selkie explore --seeds 200 --until-failure -- ./program\n"
    "  selkie explore --seeds 500 --until-failure --expect 0 --machines cluster.sim\n"
    "  selkie explore --seeds 1000 --from 5000 --expect 0 --cpus 2 --sim-set memory=1 -- ./program "
    "x";

/* Is this word (with its value in the next one, if `takes`) an option of ours? */
static bool ours(const char *word, bool *takes)
{
    for (const struct argp_option *o = explore_option_table; o->name; o++) {
        size_t len = strlen(o->name);

        *takes = o->arg != NULL && strlen(word) == len + 2;
        if (text_starts(word, "--") && strncmp(word + 2, o->name, len) == 0 &&
            (word[len + 2] == '\0' || word[len + 2] == '='))
            return true;
    }
    *takes = false;
    return strcmp(word, "--help") == 0 || strcmp(word, "--usage") == 0;
}

static void need_simulation(struct explore_options *options)
{
    struct run_options run = {0};
    struct list words = {0};
    bool cpus = false;

    for (size_t i = 0; i < options->words.count; i++)
        cpus |= text_starts(options->words.items[i], "--cpus");
    if (!cpus) {
        list_add(&options->words, "--cpus");
        list_add(&options->words, "4");
    }
    list_add(&words, "selkie run");
    list_add(&words, "--sim");
    list_add(&words, "1");
    for (size_t i = 0; i < options->words.count; i++)
        list_add(&words, options->words.items[i]);
    list_add(&words, options->program.items[0]);
    run_parse((int)words.count, words.items, &run); /* says what is wrong with the options */
    if (run.sim_trace || run.gdb)
        fail(EXIT_TOOL, "explore: --sim-trace and --gdb are for single runs");
    /* Built now, and not looked after again by each run: that takes longer than a short one. */
    setenv("SELKIE_KERNEL", build_kernel(&run), 1);
}

int command_explore(int argc, char **argv)
{
    static const struct argp argp = {
        explore_option_table,
        explore_key,
        "[RUN-OPTION...] -- PROGRAM [ARG...]\n--machines FILE [SIM-OPTION...]",
        explore_doc,
        NULL,
        NULL,
        NULL};
    struct explore_options options = {.seeds = 100, .from = 1, .timeout = 60, .expect = -1};
    struct list own = {0};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int i;
    bool takes;

    options.jobs = cpus < 1 ? 1 : cpus > JOB_MAX ? JOB_MAX : (unsigned)cpus;
    list_add(&own, argv[0]);
    for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        bool mine = ours(argv[i], &takes);

        list_add(mine ? &own : &options.words, argv[i]);
        if (mine && takes && i + 1 < argc)
            list_add(&own, argv[++i]);
    }
    command_parse(&argp, (int)own.count, own.items, &options);
    for (i++; i < argc; i++)
        list_add(&options.program, argv[i]);
    if ((options.program.count == 0) != (options.machines != NULL))
        fail(EXIT_TOOL, "explore: -- PROGRAM or --machines FILE; see selkie explore --help");
    if (!options.machines)
        need_simulation(&options);
    setenv("SELKIE_SIM_REPORT", "1", 1);
    return explore(&options);
}
