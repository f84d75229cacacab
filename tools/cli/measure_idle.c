/* SPDX-License-Identifier: BSD-3-Clause */
/* measure_idle.c - `selkie bench net-idle`: the kernel's memory for connections that say nothing.
 */
#include "bench.h"
#include "peers.h"

void net_idle(const struct bench *bench)
{
    static const struct measured rows[] = {
        {"idle-connection", "  memory per idle connection", WANTED_AT_MOST, 2048, "B"},
    };

    contest_rows(
        bench,
        &(struct contest){
            .program = "idle", .ways = 1u << WAY_NATIVE | 1u << WAY_SELKIE, .cpus = 2, .rounds = 1},
        rows, 1);
}
