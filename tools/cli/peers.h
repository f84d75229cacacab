/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peers.h - who takes part in a benchmark, and how a program is run by each of them.
 *
 * A contest is one program that prints "KEY NUMBER UNIT" lines, run by several contestants in
 * rounds. They take turns, back and forth, and the least figure of each counts: on a shared
 * machine the least disturbed run is the cost. Where the threads may or may not meet by chance,
 * the least would be the run in which they did not: there the median counts.
 */
#ifndef SELKIE_PEERS_H
#define SELKIE_PEERS_H

#include "bench.h"
#include "child.h"

enum way { WAY_NATIVE, WAY_SELKIE, WAY_GVISOR, WAY_X64, WAY_LINUX, WAYS };
extern const char *const way_names[WAYS];

#define WAYS_HOST (1u << WAY_NATIVE | 1u << WAY_SELKIE | 1u << WAY_GVISOR)
#define WAYS_MACHINE (1u << WAY_X64 | 1u << WAY_LINUX) /* on the same QEMU, by TCG */

struct contest {
    const char *program; /* of unit/guest/bench, static glibc; or a path */
    const char *arguments;
    unsigned ways; /* a bit for each */
    unsigned cpus;
    int rounds;
    bool median;
};

#define ROUNDS_MAX 20
struct figure {
    const char *key;
    double best[WAYS];
    double all[WAYS][ROUNDS_MAX];
    int count[WAYS];
};

/* At most ROUNDS_MAX rounds. */
void contest_rounds(const struct contest *contest, struct figure *figures, size_t count);

/* A row of the table for each key: Selkie beside the contest's first peer, with the goal,
 * and beside its others. Returns the figures; what none could do has no row. */
struct measured {
    const char *key, *what;
    enum wanted wanted;
    double goal;
    const char *unit; /* NULL: ns */
};
struct figure *contest_rows(const struct bench *bench, const struct contest *contest,
                            const struct measured *rows, size_t count);

/* The command that runs the contest's program in one of the ways; NULL if this host cannot. */
struct list *contest_words(const struct contest *contest, enum way way);
/* Run a contestant: true if it ended well in its time; says why not. */
bool contest_run(const char *who, const struct list *words, struct outcome *outcome);

void keep_least(double *best, double value);
/* A guest program's file, and `selkie run` with options. */
char *bench_guest(const char *name);
char *bench_selkie(const char *options);

/* Debian's cloud kernel on QEMU's microvm with an archive whose /init is `init` and that holds
 * busybox and, as /bench, `program` (NULL: none). `qemu_words` are further words for QEMU. NULL if
 * there is no such kernel. */
struct list *linux_guest(const char *init, const char *program, unsigned cpus,
                         const char *qemu_words);

#endif
