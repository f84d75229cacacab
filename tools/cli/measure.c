/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * measure.c - the benchmarks of `selkie bench`: how each figure is had.
 *
 * A figure that prints itself (a guest program's) and the wall time of a command are measured in
 * rounds: each round runs every contestant once, and the least figure of each counts. Instructions
 * are counted by a plugin of ours for QEMU's TCG, the same for Selkie and for Linux.
 */
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "child.h"
#include "commands.h"
#include "run.h"

#define PROGRAM_ROUNDS 6
#define WALL_ROUNDS 20
#define BOOT_ROUNDS 3
#define COMMAND_SECONDS 120 /* a contestant that takes longer hangs */
#define LINUX_SECONDS 30    /* the same for a Linux guest, which takes about two */
#define LINUX_TRIES 4       /* on a busy host its clock calibration fails now and then: it hangs */
#define MEMORY_STEP_KIB 64
#define MEMORY_RUNS 3 /* as often the program must run in the memory that is reported */

#define RUNSC "runsc --network=none --ignore-cgroups do"

static char *guest(const char *name)
{
    return text("%s/build/tools/guests/glibc/%s", top_dir(), name);
}

static char *selkie(const char *options)
{
    return text("%s/tools/selkie run%s", top_dir(), options);
}

static bool have(const char *program)
{
    const char *const words[] = {"which", program, NULL};
    struct bytes out = {0};

    return run_quiet(words, &out, -1) == 0;
}

/* ---- contestants ---- */

enum { NATIVE, SELKIE, GVISOR, WAYS, KEYS_MAX = 9 };
static const char *const peers[WAYS] = {"Linux, native", "Selkie", "gVisor, runsc do"};

static const char *way_options = "";  /* for selkie run */
static const char *way_argument = ""; /* of the guest program */

/* The command that runs `program` in one of the ways; NULL if this host cannot. */
static struct list *way(int which, const char *program)
{
    static bool told;
    struct list *words = must_alloc(calloc(1, sizeof(*words)));

    if (which == SELKIE)
        list_split(words, selkie(way_options), " ");
    if (which == GVISOR && !have("runsc")) {
        if (!told)
            bench_why(peers[GVISOR], "the program runsc is not installed");
        told = true;
        return NULL;
    }
    if (which == GVISOR)
        list_split(words, RUNSC, " ");
    list_add(words, program);
    if (*way_argument)
        list_add(words, way_argument);
    return words;
}

/* Run a contestant: true if it ended well in its time; says why not. */
static bool contest(const char *who, const struct list *words, struct outcome *outcome)
{
    outcome_get(outcome, &(struct command_line){.words = words, .seconds = COMMAND_SECONDS});
    if (outcome->status == 0 && !outcome->late)
        return true;
    outcome->err.data[strcspn(outcome->err.data, "\n")] = 0;
    if (outcome->late)
        bench_why(who, "no end after %d s", COMMAND_SECONDS);
    else
        bench_why(who, "exit status %d: %.200s", outcome->status, outcome->err.data);
    return false;
}

static void keep_least(double *best, double value)
{
    if (value > 0 && (*best <= 0 || value < *best))
        *best = value;
}

/* ---- guest programs that print "KEY NUMBER UNIT" lines ---- */

static double number_of(const char *out, const char *key)
{
    const char *line = out;

    while (line && (strncmp(line, key, strlen(key)) != 0 || line[strlen(key)] != ' '))
        line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL;
    return line ? strtod(line + strlen(key), NULL) : 0;
}

/* Least figures of a guest program, best[way][key]. */
static void program_rounds(const char *name, const char *const *keys, size_t key_count,
                           double best[WAYS][KEYS_MAX])
{
    bool out_of_it[WAYS] = {false};

    for (int round = 0; round < PROGRAM_ROUNDS; round++) {
        for (int turn = 0; turn < WAYS; turn++) {
            /* Back and forth: nobody always inherits the same one's caches and free memory. */
            int i = round % 2 ? WAYS - 1 - turn : turn;
            struct list *words = out_of_it[i] ? NULL : way(i, guest(name));
            struct outcome outcome;

            if (!words || !contest(peers[i], words, &outcome)) {
                out_of_it[i] = true;
                continue;
            }
            for (size_t k = 0; k < key_count; k++)
                keep_least(&best[i][k], number_of(outcome.out.data, keys[k]));
        }
    }
}

static void program_rows(const struct bench *bench, const char *program, const char *unit,
                         const char *const *keys, const char *const *what, size_t count,
                         double goal)
{
    double best[WAYS][KEYS_MAX] = {0};

    program_rounds(program, keys, count, best);
    for (size_t k = 0; k < count; k++) {
        struct row row = {.bench = bench->name,
                          .what = what[k],
                          .unit = unit,
                          .ours = best[SELKIE][k],
                          .peer = peers[NATIVE],
                          .theirs = best[NATIVE][k],
                          .wanted = WANTED_FASTER,
                          .goal = goal};

        bench_row(&row);
        row.peer = peers[GVISOR];
        row.theirs = best[GVISOR][k];
        row.wanted = WANTED_NOTHING;
        bench_row(&row);
    }
}

static void bench_getppid(const struct bench *bench)
{
    static const char *const keys[] = {"getppid"}, *const what[] = {"  getppid, ns a call"};

    program_rows(bench, "getppid", "ns", keys, what, 1, 3);
}

static void bench_touch(const struct bench *bench)
{
    static const char *const keys[] = {"cold", "warm"};
    static const char *const what[] = {"  cold, ns a page", "  warm, ns a page"};

    program_rows(bench, "touch", "ns", keys, what, 2, 1);
}

/* Threads, on two CPUs. */
static void sync_rows(const struct bench *bench, const char *program, const char *const *keys,
                      const char *const *what, size_t count, double goal)
{
    way_options = " --cpus 2";
    program_rows(bench, program, "ns", keys, what, count, goal);
    way_options = "";
}

static void bench_switch(const struct bench *bench)
{
    static const char *const keys[] = {"sync-futex1", "sync-yield"};
    static const char *const what[] = {"  futex round trip, ns", "  sched_yield, ns"};

    sync_rows(bench, "sync", keys, what, 2, 8);
}

static void bench_answer(const struct bench *bench)
{
    static const char *const keys[] = {"sync-futex2"}, *const what[] = {"  futex round trip, ns"};

    sync_rows(bench, "sync", keys, what, 1, 3);
}

static void bench_create(const struct bench *bench)
{
    static const char *const keys[] = {"sync-create"}, *const what[] = {"  create and join, ns"};

    sync_rows(bench, "sync", keys, what, 1, 5);
}

static void bench_mutex(const struct bench *bench)
{
    static const char *const lock[] = {"sync-lock"}, *const uncontended[] = {"  uncontended, ns"};
    static const char *const keys[] = {"crowd-mutex2-0", "crowd-mutex2-100", "crowd-mutex2-500",
                                       "crowd-mutex4-0", "crowd-mutex4-100", "crowd-mutex4-500",
                                       "crowd-mutex8-0", "crowd-mutex8-100", "crowd-mutex8-500"};
    static const char *const what[] = {"  2 threads, 0 loops, ns a section",
                                       "  2 threads, 100 loops",
                                       "  2 threads, 500 loops",
                                       "  4 threads, 0 loops",
                                       "  4 threads, 100 loops",
                                       "  4 threads, 500 loops",
                                       "  8 threads, 0 loops",
                                       "  8 threads, 100 loops",
                                       "  8 threads, 500 loops"};

    sync_rows(bench, "sync", lock, uncontended, 1, 1);
    way_argument = "mutex";
    sync_rows(bench, "crowd", keys, what, sizeof(keys) / sizeof(keys[0]), 1);
    way_argument = "";
}

static void bench_crowd(const struct bench *bench)
{
    static const char *const keys[] = {"crowd-wake", "crowd-unfair", "crowd-clock"};
    static const char *const what[] = {"  late to wake, 99 %, us", "  1 - Jain, thousandths",
                                       "  clock_gettime, ns"};

    way_argument = "few"; /* all but the mutexes */
    sync_rows(bench, "crowd", keys, what, 3, 1);
    way_argument = "";
}

/* ---- instructions from reset to power-off ---- */

static char *counter_path(void)
{
    return text("%s/bench-count.%d", cache_dir(), (int)getpid());
}

static double counter_take(const char *path)
{
    struct bytes bytes = {0};
    double count = file_read(path, &bytes) && bytes.len ? strtod(bytes.data, NULL) : 0;

    unlink(path);
    return count / 1e6;
}

static double count_selkie(const char *counter, const char *plugin)
{
    struct list words = {0};
    double best = 0;

    list_split(&words, selkie(" --on x64 --cpus 1 --memory 256M --accel tcg"), " ");
    list_add(&words, guest("hello"));
    setenv("SELKIE_QEMU_ARGS", text("-plugin %s,out=%s", plugin, counter), 1);
    for (int i = 0; i < BOOT_ROUNDS; i++) {
        struct outcome outcome;

        if (!contest("Selkie, x64", &words, &outcome))
            break;
        keep_least(&best, counter_take(counter));
    }
    unsetenv("SELKIE_QEMU_ARGS");
    return best;
}

/* The peer's first program is busybox, whose shell prints hello and ends the machine. */
static char *linux_initrd(void)
{
    static const char init[] = "#!/bin/busybox sh\n"
                               "/bin/busybox mount -t devtmpfs dev /dev\n"
                               "echo hello >/dev/console\n"
                               "/bin/busybox reboot -f\n";
    char *path = text("%s/bench-initrd.cpio", cache_dir());
    struct tree tree = {0};

    tree_dir(&tree, "/");
    tree_dir(&tree, "/dev");
    tree_file(&tree, "/bin/busybox", "/bin/busybox");
    tree_text(&tree, "/init", init, 0755);
    image_write(&tree, path);
    return path;
}

static char *linux_kernel(void)
{
    const char *folder = packages_one("linux-image-cloud-amd64", "linux-image-", "amd64");
    glob_t found;

    if (glob(text("%s/boot/vmlinuz-*", folder), 0, NULL, &found) != 0)
        return NULL;
    return found.gl_pathv[found.gl_pathc - 1];
}

/* On microvm Linux has only the PIT to measure the TSC by, which fails on a busy host: it hangs.
 * Told the rate (TCG's TSC is the host's), it need not; the count is the same within 0.3 %. */
static char *linux_cmdline(void)
{
    const char *rest = "console=ttyS0 quiet reboot=t panic=-1", *mhz;
    struct bytes cpu = {0};

    mhz = file_read("/proc/cpuinfo", &cpu) ? strstr(cpu.data, "cpu MHz") : NULL;
    mhz = mhz ? strchr(mhz, ':') : NULL;
    if (!mhz || strtod(mhz + 1, NULL) < 1)
        return text("%s", rest);
    return text("%s tsc_early_khz=%.0f", rest, strtod(mhz + 1, NULL) * 1000);
}

static double count_linux(const char *counter, const char *plugin)
{
    const char *kernel = linux_kernel();
    struct list words = {0};
    struct outcome outcome;
    double best = 0;

    if (!kernel) {
        bench_why("Debian's cloud kernel", "no kernel in its package");
        return 0;
    }
    list_split(&words,
               "qemu-system-x86_64 -M microvm,rtc=on,x-option-roms=off,accel=tcg -cpu max -m 256M "
               "-nodefaults -no-user-config -no-reboot -display none -serial stdio -plugin",
               " ");
    list_add(&words, text("%s,out=%s", plugin, counter));
    list_add(&words, "-kernel");
    list_add(&words, kernel);
    list_add(&words, "-initrd");
    list_add(&words, linux_initrd());
    list_add(&words, "-append");
    list_add(&words, linux_cmdline());
    for (int done = 0, tries = 0; done < BOOT_ROUNDS && tries < BOOT_ROUNDS + LINUX_TRIES;
         tries++) {
        outcome_get(&outcome, &(struct command_line){.words = &words, .seconds = LINUX_SECONDS});
        if (outcome.late || !strstr(outcome.out.data, "hello"))
            continue;
        keep_least(&best, counter_take(counter));
        done++;
    }
    if (best <= 0)
        bench_why("Debian's cloud kernel", "did not reach its end in %d s: %.100s", LINUX_SECONDS,
                  outcome.err.data);
    return best;
}

static void bench_boot(const struct bench *bench)
{
    char *plugin = build_need("tools", "insn.so"), *counter = counter_path();
    struct row row = {.bench = bench->name,
                      .what = "  M instructions",
                      .unit = "M",
                      .ours = count_selkie(counter, plugin),
                      .peer = "Debian's kernel, busybox",
                      .theirs = count_linux(counter, plugin),
                      .wanted = WANTED_AT_MOST,
                      .goal = 5};

    bench_row(&row);
    row.peer = "Nanos, hello";
    row.theirs = 5.2;
    row.published = true;
    row.wanted = WANTED_NOTHING;
    bench_row(&row);
}

/* ---- sizes ---- */

static void bench_size(const struct bench *bench)
{
    struct stat st;
    struct row row = {.bench = bench->name,
                      .what = "  stripped, KiB",
                      .unit = "KiB",
                      .peer = "Nanos",
                      .theirs = 1742992 / 1024.0,
                      .published = true,
                      .wanted = WANTED_AT_MOST,
                      .goal = 700};

    if (stat(build_need("x64", "selkie-x64.stripped"), &st) == 0)
        row.ours = (double)st.st_size / 1024;
    bench_row(&row);
    row.peer = "Unikraft, hello linked in";
    row.theirs = 242440 / 1024.0;
    row.wanted = WANTED_NOTHING;
    bench_row(&row);
}

static bool runs_with(unsigned kib)
{
    struct outcome outcome;
    struct list words = {0};

    list_split(&words, selkie(text(" --on x64 --cpus 1 --accel tcg --memory %uK", kib)), " ");
    list_add(&words, guest("hello"));
    outcome_get(&outcome, &(struct command_line){.words = &words, .seconds = COMMAND_SECONDS});
    return outcome.status == 0 && strcmp(outcome.out.data, "PASS hello\n") == 0;
}

static bool runs_often_with(unsigned kib)
{
    for (int i = 0; i < MEMORY_RUNS; i++)
        if (!runs_with(kib))
            return false;
    return true;
}

static double smallest_memory(void)
{
    unsigned bad = 1024, good = 64 * 1024;

    if (!runs_with(good)) {
        bench_why("Selkie, x64", "hello does not run with 64 MiB");
        return 0;
    }
    while (good - bad > MEMORY_STEP_KIB) {
        unsigned middle = (good + bad) / 2 / MEMORY_STEP_KIB * MEMORY_STEP_KIB;

        if (runs_with(middle))
            good = middle;
        else
            bad = middle;
    }
    while (!runs_often_with(good))
        good += MEMORY_STEP_KIB;
    return good / 1024.0;
}

static void bench_memory(const struct bench *bench)
{
    bench_row(&(struct row){.bench = bench->name,
                            .what = "  --memory, MiB",
                            .unit = "MiB",
                            .ours = smallest_memory(),
                            .peer = "Nanos",
                            .theirs = 12,
                            .published = true,
                            .wanted = WANTED_AT_MOST,
                            .goal = 12});
}

/* ---- wall time of a whole run ---- */

static void bench_wall(const struct bench *bench)
{
    double best[WAYS] = {0};
    struct row row = {.bench = bench->name, .what = "  /bin/true, ms", .unit = "ms"};

    for (int round = 0; round < WALL_ROUNDS; round++) {
        for (int i = 0; i < WAYS; i++) {
            struct list *words = round == 0 || best[i] > 0 ? way(i, "/bin/true") : NULL;
            struct outcome outcome;
            double start = now_seconds();

            if (words && contest(peers[i], words, &outcome))
                keep_least(&best[i], (now_seconds() - start) * 1000);
        }
    }
    row.ours = best[SELKIE];
    row.peer = peers[NATIVE];
    row.theirs = best[NATIVE];
    row.wanted = WANTED_WITHIN;
    row.goal = 20;
    bench_row(&row);
    row.peer = peers[GVISOR];
    row.theirs = best[GVISOR];
    row.wanted = WANTED_NOTHING;
    bench_row(&row);
}

const struct bench benches[] = {
    {"getppid", "the emptiest system call, in a static glibc program, hosted", bench_getppid},
    {"touch", "first touch of 256 MiB of anonymous memory, hosted", bench_touch},
    {"switch", "two threads that take turns on one CPU, hosted", bench_switch},
    {"answer", "two threads that wait for each other on two CPUs, hosted", bench_answer},
    {"create", "a thread that does nothing, hosted", bench_create},
    {"mutex", "a pthread mutex, uncontended and between 2, 4 and 8 threads, hosted", bench_mutex},
    {"crowd", "64 and 100 threads that compute; the clock, hosted", bench_crowd},
    {"boot", "reset to hello to power-off: x64 microvm, 1 CPU, 256 MiB, QEMU's TCG", bench_boot},
    {"size", "the x64 kernel's file", bench_size},
    {"memory", "smallest --memory that runs a static hello: x64 microvm", bench_memory},
    {"wall", "selkie run /bin/true as a whole, hosted", bench_wall},
};
const size_t bench_count = sizeof(benches) / sizeof(benches[0]);
