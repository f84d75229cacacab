/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * measure_servers.c - `selkie bench net-servers`: nginx and memcached in Selkie x64 and on Debian's
 * kernel, on the same QEMU, asked by the same clients (tools/bench/servers, which prints for each
 * figure its key and the answers a second of both). Shown are microseconds an answer, so that less
 * is better as everywhere.
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

static const struct {
    const char *key, *what;
    double goal;
} figures[] = {
    {"nginx-1", "  nginx, 1 connection", 2},        {"nginx-8", "  nginx, 8 connections", 2},
    {"nginx-30", "  nginx, 30 connections", 2},     {"nginx-256", "  nginx, 256 connections", 2},
    {"memcached-tcp", "  memcached, TCP, 30", 1.5}, {"memcached-udp", "  memcached, UDP, 30", 1.5},
};

void net_servers(const struct bench *bench)
{
    const char *const argv[] = {text("%s/tools/bench/servers", top_dir()), NULL};
    struct bytes out = {0};
    int status;

    packages_one("linux-image-cloud-amd64", "linux-image-", "amd64");
    status = run_quiet(argv, &out, STDERR_FILENO);
    if (status != 0)
        bench_why("tools/bench/servers", "exit status %d", status);
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        char *line = status == 0 && out.data ? strstr(out.data, text("%s ", figures[i].key)) : NULL;
        double ours = 0, theirs = 0;

        if (line && sscanf(line, "%*s %lf %lf", &ours, &theirs) != 2)
            ours = theirs = 0;
        bench_row(&(struct row){.bench = bench->name,
                                .what = figures[i].what,
                                .unit = "us",
                                .ours = ours > 0 ? 1e6 / ours : 0,
                                .peer = way_names[WAY_LINUX],
                                .theirs = theirs > 0 ? 1e6 / theirs : 0,
                                .wanted = WANTED_FASTER,
                                .goal = figures[i].goal});
    }
}
