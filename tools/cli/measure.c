/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * measure.c - the benchmarks of `selkie bench`: how each figure is had.
 *
 * A figure that prints itself (a guest program's) and the wall time of a command are measured in
 * rounds: each round runs every contestant once, and the least figure of each counts. Instructions
 * are counted by a plugin of ours for QEMU's TCG, the same for Selkie and for Linux.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "commands.h"
#include "peers.h"
#include "run.h"

#define PROGRAM_ROUNDS 6
#define WALL_ROUNDS 20
#define BOOT_ROUNDS 3
#define COMMAND_SECONDS 120 /* a contestant that takes longer hangs */
#define LINUX_SECONDS 30    /* the same for a Linux guest, which takes about two */
#define LINUX_TRIES 4       /* on a busy host its clock calibration fails now and then: it hangs */
#define MEMORY_STEP_KIB 64
#define MEMORY_RUNS 3 /* as often the program must run in the memory that is reported */

/* ---- guest programs that print their figures ---- */

static const struct contest program_contest = {
    .ways = WAYS_HOST, .cpus = 1, .rounds = PROGRAM_ROUNDS};

static void bench_getppid(const struct bench *bench)
{
    static const struct measured rows[] = {{"getppid", "  getppid, ns a call", WANTED_FASTER, 3}};
    struct contest contest = program_contest;

    contest.program = "getppid";
    contest_rows(bench, &contest, rows, 1);
}

static void bench_touch(const struct bench *bench)
{
    static const struct measured rows[] = {{"cold", "  cold, ns a page", WANTED_FASTER, 1},
                                           {"warm", "  warm, ns a page", WANTED_FASTER, 1}};
    struct contest contest = program_contest;

    contest.program = "touch";
    contest_rows(bench, &contest, rows, 2);
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

static double count_bench_selkie(const char *counter, const char *plugin)
{
    struct list words = {0};
    double best = 0;

    list_split(&words, bench_selkie(" --on x64 --cpus 1 --memory 256M --accel tcg"), " ");
    list_add(&words, bench_guest("hello"));
    setenv("SELKIE_QEMU_ARGS", text("-plugin %s,out=%s", plugin, counter), 1);
    for (int i = 0; i < BOOT_ROUNDS; i++) {
        struct outcome outcome;

        if (!contest_run("Selkie, x64", &words, &outcome))
            break;
        keep_least(&best, counter_take(counter));
    }
    unsetenv("SELKIE_QEMU_ARGS");
    return best;
}

static double count_linux(const char *counter, const char *plugin)
{
    /* The peer's first program is busybox, whose shell prints hello and ends the machine. */
    static const char init[] = "#!/bin/busybox sh\n"
                               "/bin/busybox mount -t devtmpfs dev /dev\n"
                               "echo hello >/dev/console\n"
                               "/bin/busybox reboot -f\n";
    struct list *words =
        linux_guest(init, NULL, 1, text("-m 256M -plugin %s,out=%s", plugin, counter));
    struct outcome outcome;
    double best = 0;

    for (int done = 0, tries = 0; words && done < BOOT_ROUNDS && tries < BOOT_ROUNDS + LINUX_TRIES;
         tries++) {
        outcome_get(&outcome, &(struct command_line){.words = words, .seconds = LINUX_SECONDS});
        if (outcome.late || !strstr(outcome.out.data, "hello"))
            continue;
        keep_least(&best, counter_take(counter));
        done++;
    }
    if (words && best <= 0)
        bench_why(way_names[WAY_LINUX], "did not reach its end in %d s: %.100s", LINUX_SECONDS,
                  outcome.err.data);
    return best;
}

static void bench_boot(const struct bench *bench)
{
    char *plugin = build_need("tools", "insn.so"), *counter = counter_path();
    struct row row = {.bench = bench->name,
                      .what = "  M instructions",
                      .unit = "M",
                      .ours = count_bench_selkie(counter, plugin),
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

    list_split(&words, bench_selkie(text(" --on x64 --cpus 1 --accel tcg --memory %uK", kib)), " ");
    list_add(&words, bench_guest("hello"));
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
    struct contest contest = {.program = "/bin/true", .cpus = 1};
    struct row row = {.bench = bench->name, .what = "  /bin/true, ms", .unit = "ms"};

    for (int round = 0; round < WALL_ROUNDS; round++) {
        for (int i = 0; i <= WAY_GVISOR; i++) {
            struct list *words =
                round == 0 || best[i] > 0 ? contest_words(&contest, (enum way)i) : NULL;
            struct outcome outcome;
            double start = now_seconds();

            if (words && contest_run(way_names[i], words, &outcome))
                keep_least(&best[i], (now_seconds() - start) * 1000);
        }
    }
    row.ours = best[WAY_SELKIE];
    row.peer = way_names[WAY_NATIVE];
    row.theirs = best[WAY_NATIVE];
    row.wanted = WANTED_WITHIN;
    row.goal = 20;
    bench_row(&row);
    row.peer = way_names[WAY_GVISOR];
    row.theirs = best[WAY_GVISOR];
    row.wanted = WANTED_NOTHING;
    bench_row(&row);
}

const struct bench benches[] = {
    {"getppid", "the emptiest system call, in a static glibc program, hosted", bench_getppid},
    {"touch", "first touch of 256 MiB of anonymous memory, hosted", bench_touch},
    {"core-switch", "two threads that take turns or answer each other, and new ones", core_switch},
    {"core-sockets", "AF_UNIX sockets: round trips, bulk, pairs, connections", core_sockets},
    {"net-loopback", "TCP and UDP over lo: round trips, bulk, connections", net_loopback},
    {"net-classify", "whose is a packet: the classifier beside lwIP's, one core", net_classify},
    {"net-switch", "two hosted Selkies on a switch, two processes over lo", net_switch},
    {"net-redis", "redis-server and a client in one program, over lo", net_redis},
    {"net-bulk", "iperf3: hosted over a tap, native over veth; root", net_bulk},
    {"net-segments", "instructions for a message over lo: x64, QEMU's TCG", net_segments},
    {"net-idle", "memory of connections that say nothing", net_idle},
    {"net-servers", "nginx and memcached on x64 beside a Linux guest on the same QEMU (TCG)",
     net_servers},
    {"core-mutex", "one pthread mutex, alone and between 2, 4 and 8 threads", core_mutex},
    {"core-memory", "mappings, first touch, the heap, the page cache, the clock", core_memory},
    {"core-crowd", "many threads: growth, latency, fairness", core_crowd},
    {"core-mappings", "1,000 to 1,000,000 mappings: fault, mmap, munmap", core_mappings},
    {"core-fragment", "what an hour of mixed use, counted, does to free memory", core_fragment},
    {"core-machine", "x64 beside a Linux guest on the same QEMU (TCG)", core_machine},
    {"core-pool", "the kernel's allocator, mimalloc and malloc in one process", core_pool},
    {"boot", "reset to hello to power-off: x64 microvm, 1 CPU, 256 MiB, QEMU's TCG", bench_boot},
    {"size", "the x64 kernel's file", bench_size},
    {"memory", "smallest --memory that runs a static hello: x64 microvm", bench_memory},
    {"wall", "selkie run /bin/true as a whole, hosted", bench_wall},
};
const size_t bench_count = sizeof(benches) / sizeof(benches[0]);
