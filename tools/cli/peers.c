/* SPDX-License-Identifier: BSD-3-Clause */
/* peers.c - see peers.h. */
#include "peers.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "run.h"

#define COMMAND_SECONDS 120 /* a contestant that takes longer hangs */
#define LINUX_TRIES 3       /* on a busy host a Linux guest hangs at its start now and then */

#define RUNSC "runsc --network=none --ignore-cgroups do"

const char *const way_names[WAYS] = {"Linux, native", "Selkie", "gVisor, runsc do", "Selkie, x64",
                                     "Debian's kernel, QEMU"};

char *bench_guest(const char *name)
{
    return text("%s/build/tools/guests/glibc/%s", top_dir(), name);
}

char *bench_selkie(const char *options)
{
    return text("%s/tools/selkie run%s", top_dir(), options);
}

static bool have(const char *program)
{
    const char *const words[] = {"which", program, NULL};
    struct bytes out = {0};

    return run_quiet(words, &out, -1) == 0;
}

/* ---- Debian's kernel ---- */

static char *linux_kernel(void)
{
    const char *folder = packages_one("linux-image-cloud-amd64", "linux-image-", "amd64");
    glob_t found;

    if (glob(text("%s/boot/vmlinuz-*", folder), 0, NULL, &found) != 0)
        return NULL;
    return found.gl_pathv[found.gl_pathc - 1];
}

/* On microvm Linux has only the PIT to measure the TSC by, which fails on a busy host: it hangs.
 * Told the rate (TCG's TSC is the host's), it need not; the count of instructions is the same
 * within 0.3 %. Without tsc=reliable its clock would only count ticks, for there is no other. */
static char *linux_cmdline(bool clock)
{
    const char *rest =
        text("console=ttyS0 quiet reboot=t panic=-1%s", clock ? " tsc=reliable" : "");
    const char *mhz;
    struct bytes cpu = {0};

    mhz = file_read("/proc/cpuinfo", &cpu) ? strstr(cpu.data, "cpu MHz") : NULL;
    mhz = mhz ? strchr(mhz, ':') : NULL;
    if (!mhz || strtod(mhz + 1, NULL) < 1)
        return text("%s", rest);
    return text("%s tsc_early_khz=%.0f", rest, strtod(mhz + 1, NULL) * 1000);
}

static char *linux_initrd(const char *init, const char *program)
{
    const char *name = program ? strrchr(program, '/') + 1 : "hello";
    char *path = text("%s/bench-initrd-%s.cpio", cache_dir(), name);
    struct tree tree = {0};

    tree_dir(&tree, "/");
    tree_dir(&tree, "/dev");
    tree_dir(&tree, "/proc");
    tree_dir(&tree, "/tmp");
    tree_file(&tree, "/bin/busybox", "/bin/busybox");
    tree_text(&tree, "/init", init, 0755);
    if (program)
        tree_file(&tree, "/bench", program);
    image_write(&tree, path);
    return path;
}

struct list *linux_guest(const char *init, const char *program, unsigned cpus,
                         const char *qemu_words)
{
    struct list *words = must_alloc(calloc(1, sizeof(*words)));
    const char *kernel = linux_kernel();

    if (!kernel) {
        bench_why(way_names[WAY_LINUX], "no kernel in its package");
        return NULL;
    }
    list_split(words,
               text("qemu-system-x86_64 -M microvm,rtc=on,x-option-roms=off,accel=tcg -cpu max "
                    "-nodefaults -no-user-config -no-reboot -display none -serial stdio -smp %u %s",
                    cpus, qemu_words),
               " ");
    list_add(words, "-kernel");
    list_add(words, kernel);
    list_add(words, "-initrd");
    list_add(words, linux_initrd(init, program));
    list_add(words, "-append");
    list_add(words, linux_cmdline(program != NULL));
    return words;
}

/* ---- contestants ---- */

static struct list *linux_words(const struct contest *contest, const char *program)
{
    const char *init = text("#!/bin/busybox sh\n"
                            "/bin/busybox mount -t devtmpfs dev /dev\n"
                            "/bin/busybox mount -t proc proc /proc\n"
                            "/bench %s >/dev/console 2>&1\n"
                            "/bin/busybox reboot -f\n",
                            contest->arguments ? contest->arguments : "");

    return linux_guest(init, program, contest->cpus, "-m 1G");
}

struct list *contest_words(const struct contest *contest, enum way way)
{
    static bool told;
    struct list *words = must_alloc(calloc(1, sizeof(*words)));
    const char *program =
        strchr(contest->program, '/') ? contest->program : bench_guest(contest->program);

    if (way == WAY_LINUX)
        return linux_words(contest, program);
    if (way == WAY_SELKIE)
        list_split(words, bench_selkie(text(" --cpus %u", contest->cpus)), " ");
    if (way == WAY_X64)
        list_split(words, bench_selkie(text(" --on x64 --accel tcg --cpus %u", contest->cpus)),
                   " ");
    if (way == WAY_GVISOR && !have("runsc")) {
        if (!told)
            bench_why(way_names[WAY_GVISOR], "the program runsc is not installed");
        told = true;
        return NULL;
    }
    if (way == WAY_GVISOR)
        list_split(words, RUNSC, " ");
    list_add(words, program);
    list_split(words, contest->arguments ? contest->arguments : "", " ");
    return words;
}

bool contest_run(const char *who, const struct list *words, struct outcome *outcome)
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

/* ---- rounds ---- */

void keep_least(double *best, double value)
{
    if (value > 0 && (*best <= 0 || value < *best))
        *best = value;
}

static double number_of(const char *out, const char *key)
{
    const char *line = out;

    while (line && (strncmp(line, key, strlen(key)) != 0 || line[strlen(key)] != ' '))
        line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL;
    return line ? strtod(line + strlen(key), NULL) : 0;
}

static void figures_take(struct figure *figures, size_t count, enum way way, const char *out)
{
    for (size_t k = 0; k < count; k++) {
        double value = number_of(out, figures[k].key);

        keep_least(&figures[k].best[way], value);
        if (value > 0)
            figures[k].all[way][figures[k].count[way]++] = value;
    }
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static void figures_median(struct figure *figures, size_t count)
{
    for (size_t k = 0; k < count; k++)
        for (int way = 0; way < WAYS; way++) {
            int n = figures[k].count[way];

            if (n == 0)
                continue;
            qsort(figures[k].all[way], (size_t)n, sizeof(double), by_value);
            figures[k].best[way] =
                (figures[k].all[way][(n - 1) / 2] + figures[k].all[way][n / 2]) / 2;
        }
}

static bool one_turn(const struct contest *contest, enum way way, struct figure *figures,
                     size_t count)
{
    struct list *words = contest_words(contest, way);
    int tries = way == WAY_LINUX ? LINUX_TRIES : 1;
    struct outcome outcome;

    while (words && tries-- > 0) {
        if (!contest_run(way_names[way], words, &outcome))
            continue;
        figures_take(figures, count, way, outcome.out.data);
        return true;
    }
    return false;
}

void contest_rounds(const struct contest *contest, struct figure *figures, size_t count)
{
    bool out_of_it[WAYS] = {false};

    for (int round = 0; round < contest->rounds; round++) {
        for (int turn = 0; turn < WAYS; turn++) {
            /* Back and forth: nobody always inherits the same one's caches and free memory. */
            enum way way = (enum way)(round % 2 ? WAYS - 1 - turn : turn);

            if ((contest->ways & 1u << way) && !out_of_it[way])
                out_of_it[way] = !one_turn(contest, way, figures, count);
        }
    }
    if (contest->median)
        figures_median(figures, count);
}

static void row_show(const struct bench *bench, const struct contest *contest,
                     const struct measured *measured, const struct figure *figure)
{
    bool machine = contest->ways & 1u << WAY_X64;
    enum way ours = machine ? WAY_X64 : WAY_SELKIE, first = machine ? WAY_LINUX : WAY_NATIVE;
    struct row row = {.bench = bench->name,
                      .what = measured->what,
                      .unit = measured->unit ? measured->unit : "ns",
                      .ours = figure->best[ours],
                      .peer = way_names[first],
                      .theirs = figure->best[first],
                      .wanted = measured->wanted,
                      .goal = measured->goal};

    if (row.ours <= 0 && row.theirs <= 0)
        return;
    bench_row(&row);
    if (machine || !(contest->ways & 1u << WAY_GVISOR))
        return;
    row.peer = way_names[WAY_GVISOR];
    row.theirs = figure->best[WAY_GVISOR];
    row.wanted = WANTED_NOTHING;
    bench_row(&row);
}

struct figure *contest_rows(const struct bench *bench, const struct contest *contest,
                            const struct measured *rows, size_t count)
{
    struct figure *figures = must_alloc(calloc(count, sizeof(*figures)));

    for (size_t k = 0; k < count; k++)
        figures[k].key = rows[k].key;
    contest_rounds(contest, figures, count);
    for (size_t k = 0; k < count; k++)
        row_show(bench, contest, &rows[k], &figures[k]);
    return figures;
}
