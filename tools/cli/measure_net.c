/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * measure_net.c - `selkie bench net`: sockets over lo by a program that prints its own figures; and
 * by scripts of tools/bench what needs two machines, a server of Debian's, or another stack in one
 * process. Instructions per segment are counted as those of a boot are.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "commands.h"
#include "peers.h"
#include "run.h"

#define CPUS 2
#define ROUNDS 3
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void net_loopback(const struct bench *bench)
{
    static const struct measured rows[] = {
        {"sockets-tcp-trip1", "  TCP round trip, 1 CPU", WANTED_FASTER, 1.5},
        {"sockets-tcp-trip2", "  TCP round trip, 2 CPUs", WANTED_FASTER, 1.5},
        {"sockets-tcp-write", "  TCP write, read a byte", WANTED_FASTER, 1.5},
        {"sockets-tcp-bulk64k", "  TCP, 64 KiB in one write", WANTED_FASTER, 1.5},
        {"sockets-tcp-bulk1k", "  TCP, 64 KiB in 64 writes", WANTED_FASTER, 1.5},
        {"sockets-tcp-connect", "  TCP connect, accept, reset", WANTED_FASTER, 1.5},
        {"sockets-udp-trip1", "  UDP round trip, 1 CPU", WANTED_FASTER, 1.5},
        {"sockets-udp-trip2", "  UDP round trip, 2 CPUs", WANTED_FASTER, 1.5},
    };

    contest_rows(bench,
                 &(struct contest){.program = "sockets",
                                   .arguments = "sockets-tcp sockets-udp",
                                   .ways = WAYS_HOST,
                                   .cpus = CPUS,
                                   .rounds = ROUNDS},
                 rows, COUNT(rows));
}

/* ---- scripts: "KEY OURS THEIRS", in ns; a KEY that ends in -runsc is beside that ---- */

static void script_rows(const struct bench *bench, const char *command, const char *peer,
                        const struct measured *rows, size_t count)
{
    const char *const argv[] = {"/bin/sh", "-c", text("%s/tools/bench/%s", top_dir(), command),
                                NULL};
    struct bytes out = {0};
    int status = run_quiet(argv, &out, STDERR_FILENO);

    if (status != 0)
        bench_why(text("tools/bench/%s", command), "exit status %d", status);
    for (size_t i = 0; i < count; i++) {
        struct row row = {.bench = bench->name,
                          .what = rows[i].what,
                          .unit = "ns",
                          .peer =
                              strstr(rows[i].key, "-runsc") ? "runsc, the host's sockets" : peer,
                          .wanted = rows[i].wanted,
                          .goal = rows[i].goal};
        char *text_of = text("\n%s", out.data ? out.data : "");
        char *line = status == 0 ? strstr(text_of, text("\n%s ", rows[i].key)) : NULL;

        if (line)
            (void)sscanf(line, "%*s %lf %lf", &row.ours, &row.theirs);
        bench_row(&row);
    }
}

void net_classify(const struct bench *bench)
{
    static const struct measured rows[] = {
        {"classify-10", "  whose packet, 10 flows", WANTED_NOTHING, 0},
        {"classify-10000", "  10,000 flows", WANTED_FASTER, 10},
        {"classify-1000000", "  1,000,000 flows", WANTED_FASTER, 10},
    };

    script_rows(bench, "classify --lwip", "lwIP", rows, COUNT(rows));
}

void net_switch(const struct bench *bench)
{
    static const struct measured rows[] = {
        {"wire-udp", "  UDP, 64 bytes, round trip", WANTED_FASTER, 1},
        {"wire-rr", "  TCP, 64 bytes, round trip", WANTED_FASTER, 1},
        {"wire-bulk", "  TCP out, 64 KiB", WANTED_FASTER, 1.5},
        {"wire-back", "  TCP in, 64 KiB", WANTED_FASTER, 1.5},
    };

    script_rows(bench, text("wire %d", ROUNDS), "native, two processes over lo", rows, COUNT(rows));
}

void net_redis(const struct bench *bench)
{
    static const struct measured rows[] = {
        {"redis-set1-1", "  SET, 1 CPU", WANTED_FASTER, 1.5},
        {"redis-get1-1", "  GET, 1 CPU", WANTED_FASTER, 1.5},
        {"redis-set16-1", "  SET, pipeline of 16, 1 CPU", WANTED_FASTER, 1.5},
        {"redis-get16-1", "  GET, pipeline of 16, 1 CPU", WANTED_FASTER, 1.5},
        {"redis-set1-2", "  SET, 2 CPUs", WANTED_NOTHING, 0},
        {"redis-get1-2", "  GET, 2 CPUs", WANTED_NOTHING, 0},
        {"redis-set16-2", "  SET, pipeline of 16, 2 CPUs", WANTED_NOTHING, 0},
        {"redis-get16-2", "  GET, pipeline of 16, 2 CPUs", WANTED_NOTHING, 0},
    };

    script_rows(bench, text("redis %d", ROUNDS), way_names[WAY_NATIVE], rows, COUNT(rows));
}

void net_bulk(const struct bench *bench)
{
    static const struct measured rows[] = {
        {"bulk-out", "  iperf3 out, 64 KiB", WANTED_FASTER, 0.8},
        {"bulk-out-runsc", "  iperf3 out, 64 KiB", WANTED_FASTER, 3},
        {"bulk-in", "  iperf3 in, 64 KiB", WANTED_FASTER, 0.8},
        {"bulk-in-runsc", "  iperf3 in, 64 KiB", WANTED_FASTER, 3},
    };

    script_rows(bench, text("bulk %d", ROUNDS), "native, over veth", rows, COUNT(rows));
}

/* ---- instructions ---- */

/* Of the whole machine, for `count` messages; 0: it did not run. */
static double instructions(const char *kind, int count)
{
    char *counter = text("%s/bench-count.%d", cache_dir(), (int)getpid());
    struct list words = {0};
    struct outcome outcome;
    struct bytes bytes = {0};
    double n = 0;

    list_split(&words, bench_selkie(" --on x64 --cpus 1 --memory 256M --accel tcg --boot kaslr=0"),
               " ");
    list_add(&words, bench_guest("segments"));
    list_add(&words, kind);
    list_add(&words, text("%d", count));
    setenv("SELKIE_QEMU_ARGS", text("-plugin %s,out=%s", build_need("tools", "insn.so"), counter),
           1);
    if (contest_run(way_names[WAY_X64], &words, &outcome) && file_read(counter, &bytes))
        n = strtod(bytes.data, NULL);
    unsetenv("SELKIE_QEMU_ARGS");
    unlink(counter);
    return n;
}

/* One message: the difference of two runs. The budgets are those of docs/performance.md. */
void net_segments(const struct bench *bench)
{
    static const struct {
        const char *kind, *what;
        int count;
        double budget;
    } rows[] = {
        {"tcp", "  TCP segment, write to read", 10000, 10000},
        {"udp", "  datagram, write to read", 10000, 5000},
        {"bulk", "  64 KiB of TCP, write to read", 500, 70000},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        double few = instructions(rows[i].kind, rows[i].count);
        double many = few > 0 ? instructions(rows[i].kind, 2 * rows[i].count) : 0;
        struct row row = {.bench = bench->name,
                          .what = rows[i].what,
                          .unit = "instructions",
                          .ours = many > few ? (many - few) / rows[i].count : 0,
                          .wanted = WANTED_AT_MOST,
                          .goal = rows[i].budget};

        bench_row(&row);
    }
}
