/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench.h - what a benchmark reports, and the list of benchmarks.
 *
 * A row is one figure of Selkie's beside one peer's of the same run, and what the project wants of
 * it. Times are the least of several rounds in which Selkie and its peers take turns: on a shared
 * machine the least disturbed one is the cost.
 */
#ifndef SELKIE_BENCH_H
#define SELKIE_BENCH_H

#include "util.h"

enum wanted {
    WANTED_NOTHING,
    WANTED_FASTER,  /* peer's figure / ours is at least `goal` */
    WANTED_AT_MOST, /* our figure is at most `goal` */
    WANTED_WITHIN,  /* our figure is at most the peer's plus `goal` */
};

struct row {
    const char *bench, *what, *unit;
    double ours;      /* 0: could not be measured */
    const char *peer; /* who; NULL: there is none */
    double theirs;    /* 0: could not be measured */
    bool published;   /* the peer's figure is not of this run */
    enum wanted wanted;
    double goal;
};

void bench_row(const struct row *row);
/* Say on standard error why a figure is missing. */
void bench_why(const char *who, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct bench {
    const char *name, *title;
    void (*run)(const struct bench *bench);
};

/* measure_core.c */
void core_switch(const struct bench *bench);
void core_sockets(const struct bench *bench);
void net_idle(const struct bench *bench); /* measure_idle.c */
void core_mutex(const struct bench *bench);
void core_memory(const struct bench *bench);
void core_crowd(const struct bench *bench);
void core_mappings(const struct bench *bench);
void core_fragment(const struct bench *bench);
void core_machine(const struct bench *bench);
void core_pool(const struct bench *bench);
/* measure_servers.c */
void net_servers(const struct bench *bench);

/* measure_net.c */
void net_loopback(const struct bench *bench);
void net_classify(const struct bench *bench);
void net_switch(const struct bench *bench);
void net_redis(const struct bench *bench);
void net_bulk(const struct bench *bench);
void net_segments(const struct bench *bench);

extern const struct bench benches[];
extern const size_t bench_count;

#endif
