/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * measure_core.c - `selkie bench core`: the scheduler and the memory manager, by programs of
 * unit/guest/bench that print their own figures. The same static program runs natively, in Selkie
 * hosted and in gVisor; or in Selkie x64 and on Debian's kernel, both on the same QEMU.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "peers.h"

#define CPUS 2 /* as few as the smallest host has, so that the peers have no more */
#define ROUNDS 3
#define CROWD_ROUNDS 2
#define MUTEX_ROUNDS 9
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void core_switch(const struct bench *bench)
{
    static const struct measured rows[] = {
        {"sync-futex1", "  futex round trip, 1 CPU", WANTED_FASTER, 8},
        {"sync-futex2", "  futex round trip, 2 CPUs", WANTED_FASTER, 3},
        {"sync-yield", "  sched_yield", WANTED_FASTER, 8},
        {"sync-create", "  create and join", WANTED_FASTER, 5},
    };

    contest_rows(
        bench,
        &(struct contest){.program = "sync", .ways = WAYS_HOST, .cpus = CPUS, .rounds = ROUNDS},
        rows, COUNT(rows));
}

void core_sockets(const struct bench *bench)
{
    static const struct measured rows[] = {
        {"sockets-trip1", "  round trip, 1 CPU", WANTED_FASTER, 1},
        {"sockets-trip2", "  round trip, 2 CPUs", WANTED_FASTER, 1},
        {"sockets-dgram", "  datagrams, 1 CPU", WANTED_FASTER, 1},
        {"sockets-write", "  write, read a byte", WANTED_FASTER, 1},
        {"sockets-bulk64k", "  64 KiB in one write", WANTED_FASTER, 1},
        {"sockets-bulk1k", "  64 KiB in 64 writes", WANTED_FASTER, 1},
        {"sockets-pair", "  socketpair", WANTED_FASTER, 1},
        {"sockets-connect", "  connect, accept", WANTED_FASTER, 1},
    };

    contest_rows(bench,
                 &(struct contest){.program = "sockets",
                                   .arguments =
                                       "sockets-trip sockets-dgram sockets-write sockets-bulk "
                                       "sockets-pair sockets-connect",
                                   .ways = WAYS_HOST,
                                   .cpus = CPUS,
                                   .rounds = ROUNDS},
                 rows, COUNT(rows));
}

/* But for noise: a lock that nobody waits for is the program's own instructions on both. */
#define NEVER_SLOWER 0.95

void core_mutex(const struct bench *bench)
{
    static const struct measured alone[] = {
        {"sync-lock", "  uncontended", WANTED_FASTER, NEVER_SLOWER}};
    static const struct measured rows[] = {
        {"crowd-mutex2-0", "  2 threads, 0 loops", WANTED_FASTER, NEVER_SLOWER},
        {"crowd-mutex2-100", "  2 threads, 100 loops", WANTED_FASTER, NEVER_SLOWER},
        {"crowd-mutex2-500", "  2 threads, 500 loops", WANTED_FASTER, NEVER_SLOWER},
        {"crowd-mutex4-0", "  4 threads, 0 loops", WANTED_FASTER, NEVER_SLOWER},
        {"crowd-mutex4-100", "  4 threads, 100 loops", WANTED_FASTER, NEVER_SLOWER},
        {"crowd-mutex4-500", "  4 threads, 500 loops", WANTED_FASTER, NEVER_SLOWER},
        {"crowd-mutex8-0", "  8 threads, 0 loops", WANTED_FASTER, NEVER_SLOWER},
        {"crowd-mutex8-100", "  8 threads, 100 loops", WANTED_FASTER, NEVER_SLOWER},
        {"crowd-mutex8-500", "  8 threads, 500 loops", WANTED_FASTER, NEVER_SLOWER},
    };
    struct contest contest = {.program = "sync",
                              .arguments = "lock",
                              .ways = WAYS_HOST,
                              .cpus = CPUS,
                              .rounds = MUTEX_ROUNDS};

    contest_rows(bench, &contest, alone, COUNT(alone));
    contest.program = "crowd";
    contest.median = true;
    contest.arguments = "mutex";
    contest_rows(bench, &contest, rows, COUNT(rows));
}

void core_memory(const struct bench *bench)
{
    static const struct measured rows[] = {
        {"pages-one", "  one page: map, touch, unmap", WANTED_FASTER, 0.25},
        {"pages-run64k", "  touch, runs of 64 KiB", WANTED_FASTER, 1},
        {"pages-run4m", "  touch, runs of 4 MiB", WANTED_FASTER, 1},
        {"pages-map2m", "  2 MiB: map, unmap", WANTED_FASTER, 1},
        {"pages-use2m", "  2 MiB: map, touch, unmap", WANTED_FASTER, 1},
        {"pages-brk", "  brk growth, a page", WANTED_FASTER, 1},
        {"pages-read4k", "  page cache, 4 KiB read", WANTED_FASTER, 1},
        {"pages-read64k", "  page cache, 64 KiB read", WANTED_FASTER, 1},
        {"pages-clock", "  clock_gettime", WANTED_FASTER, NEVER_SLOWER},
    };

    contest_rows(
        bench,
        &(struct contest){.program = "pages", .ways = WAYS_HOST, .cpus = CPUS, .rounds = ROUNDS},
        rows, COUNT(rows));
}

/* How often the least figure of a curve goes into the greatest: ours, and the first peer's. */
static void growth_row(const struct bench *bench, const char *what, const struct figure *curve,
                       size_t count)
{
    double least[WAYS] = {0}, most[WAYS] = {0};
    struct row row = {.bench = bench->name,
                      .what = what,
                      .unit = "x",
                      .peer = way_names[WAY_NATIVE],
                      .wanted = WANTED_AT_MOST,
                      .goal = 2};

    for (size_t k = 0; k < count; k++)
        for (int way = 0; way < WAYS; way++) {
            keep_least(&least[way], curve[k].best[way]);
            if (curve[k].best[way] > most[way])
                most[way] = curve[k].best[way];
        }
    row.ours = least[WAY_SELKIE] > 0 ? most[WAY_SELKIE] / least[WAY_SELKIE] : 0;
    row.theirs = least[WAY_NATIVE] > 0 ? most[WAY_NATIVE] / least[WAY_NATIVE] : 0;
    bench_row(&row);
}

static void curve(const struct bench *bench, const struct contest *contest,
                  const struct measured *rows, size_t count, const char *growth)
{
    growth_row(bench, growth, contest_rows(bench, contest, rows, count), count);
}

void core_crowd(const struct bench *bench)
{
    static const struct measured switches[] = {
        {"growth-switch-10", "  switch, 10 threads", WANTED_NOTHING, 0},
        {"growth-switch-100", "  switch, 100 threads", WANTED_NOTHING, 0},
        {"growth-switch-1000", "  switch, 1,000 threads", WANTED_NOTHING, 0},
        {"growth-switch-10000", "  switch, 10,000 threads", WANTED_NOTHING, 0},
    };
    static const struct measured rows[] = {
        {"crowd-wake", "  wake-up among 100, p99", WANTED_NOTHING, 0, "us"},
        {"crowd-unfair", "  1,000 (1 - Jain), 64", WANTED_AT_MOST, 10, ""},
    };
    struct contest contest = {.program = "growth",
                              .arguments = "growth-switch",
                              .ways = 1u << WAY_NATIVE | 1u << WAY_SELKIE,
                              .cpus = CPUS,
                              .rounds = CROWD_ROUNDS};

    curve(bench, &contest, switches, COUNT(switches), "  switch: most by least");
    contest.program = "crowd";
    contest.arguments = "few";
    contest_rows(bench, &contest, rows, COUNT(rows));
}

void core_mappings(const struct bench *bench)
{
    static const struct measured faults[] = {
        {"mappings-fault-1000", "  fault, 1,000 mappings", WANTED_NOTHING, 0},
        {"mappings-fault-10000", "  fault, 10,000 mappings", WANTED_NOTHING, 0},
        {"mappings-fault-100000", "  fault, 100,000 mappings", WANTED_NOTHING, 0},
        {"mappings-fault-1000000", "  fault, 1,000,000 mappings", WANTED_NOTHING, 0},
    };
    static const struct measured maps[] = {
        {"mappings-map-1000", "  map, 1,000 mappings", WANTED_NOTHING, 0},
        {"mappings-map-10000", "  map, 10,000 mappings", WANTED_NOTHING, 0},
        {"mappings-map-100000", "  map, 100,000 mappings", WANTED_NOTHING, 0},
        {"mappings-map-1000000", "  map, 1,000,000 mappings", WANTED_NOTHING, 0},
    };
    static const struct measured unmaps[] = {
        {"mappings-unmap-1000", "  unmap, 1,000 mappings", WANTED_NOTHING, 0},
        {"mappings-unmap-10000", "  unmap, 10,000 mappings", WANTED_NOTHING, 0},
        {"mappings-unmap-100000", "  unmap, 100,000 mappings", WANTED_NOTHING, 0},
        {"mappings-unmap-1000000", "  unmap, 1,000,000 mappings", WANTED_NOTHING, 0},
    };
    struct contest contest = {.program = "mappings",
                              .ways = 1u << WAY_NATIVE | 1u << WAY_SELKIE,
                              .cpus = CPUS,
                              .rounds = CROWD_ROUNDS};

    contest.arguments = "mappings-fault";
    curve(bench, &contest, faults, COUNT(faults), "  fault: most by least");
    contest.arguments = "mappings-map";
    curve(bench, &contest, maps, COUNT(maps), "  map: most by least");
    contest.arguments = "mappings-unmap";
    curve(bench, &contest, unmaps, COUNT(unmaps), "  unmap: most by least");
}

/* Of 1,000 free pages, how many lie in blocks of 2 MiB or more (1,000 less the unusable-free
 * index): at the worst minute of the hour, at its end, and after a compaction then. */
void core_fragment(const struct bench *bench)
{
    static const struct measured rows[] = {
        {"fragment-worst", "  free as 2 MiB, worst", WANTED_NOTHING, 0, "/1000"},
        {"fragment-end", "  free as 2 MiB, end", WANTED_NOTHING, 0, "/1000"},
        {"fragment-compact", "  the same, compacted", WANTED_NOTHING, 0, "/1000"},
        {"fragment-largest", "  largest free block, end", WANTED_NOTHING, 0, "KiB"},
    };

    contest_rows(bench,
                 &(struct contest){
                     .program = "fragment", .ways = 1u << WAY_SELKIE, .cpus = CPUS, .rounds = 1},
                 rows, COUNT(rows));
}

void core_machine(const struct bench *bench)
{
    static const struct measured pages[] = {
        {"pages-one", "  one page: map, touch, unmap", WANTED_FASTER, 1},
        {"pages-run4m", "  touch, runs of 4 MiB", WANTED_NOTHING, 0},
        {"pages-map2m", "  2 MiB: map, unmap", WANTED_NOTHING, 0},
        {"pages-brk", "  brk growth, a page", WANTED_NOTHING, 0},
        {"pages-read4k", "  page cache, 4 KiB read", WANTED_NOTHING, 0},
        {"pages-clock", "  clock_gettime", WANTED_NOTHING, 0},
        {"pages-call", "  getppid", WANTED_NOTHING, 0},
    };
    static const struct measured sync[] = {
        {"sync-futex1", "  futex round trip, 1 CPU", WANTED_NOTHING, 0},
        {"sync-futex2", "  futex round trip, 2 CPUs", WANTED_NOTHING, 0},
        {"sync-yield", "  sched_yield", WANTED_NOTHING, 0},
        {"sync-create", "  create and join", WANTED_NOTHING, 0},
        {"sync-lock", "  mutex, uncontended", WANTED_NOTHING, 0},
    };
    struct contest contest = {
        .program = "pages", .ways = WAYS_MACHINE, .cpus = CPUS, .rounds = CROWD_ROUNDS};

    contest_rows(bench, &contest, pages, COUNT(pages));
    contest.program = "sync";
    contest_rows(bench, &contest, sync, COUNT(sync));
}

/* tools/bench/kmalloc prints a line for each of its workloads: name, then ns of each allocator. */
void core_pool(const struct bench *bench)
{
    static const struct {
        const char *workload, *what;
    } rows[] = {
        {"pairs", "  one object, in turn"},
        {"batches", "  batches of 1,000"},
        {"random", "  random sizes and order"},
        {"cross", "  freed on another CPU"},
    };
    const char *const argv[] = {text("%s/tools/bench/kmalloc", top_dir()), NULL};
    struct bytes out = {0};
    int status = run_quiet(argv, &out, STDERR_FILENO);

    if (status != 0)
        bench_why("tools/bench/kmalloc", "exit status %d", status);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *line =
            status == 0 && out.data ? strstr(out.data, text("\n%s ", rows[i].workload)) : NULL;
        double ours = 0, mimalloc = 0, glibc = 0;
        struct row row = {.bench = bench->name, .what = rows[i].what, .unit = "ns"};

        if (line && sscanf(line, "%*s %lf %lf %lf", &ours, &mimalloc, &glibc) != 3)
            ours = 0;
        row.ours = ours;
        row.peer = "mimalloc";
        row.theirs = mimalloc;
        row.wanted = WANTED_FASTER;
        row.goal = 0.83; /* within 1.2x */
        bench_row(&row);
        row.what = "";
        row.peer = "glibc";
        row.theirs = glibc;
        row.wanted = WANTED_NOTHING;
        bench_row(&row);
    }
}
