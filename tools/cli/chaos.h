/* SPDX-License-Identifier: BSD-3-Clause */
/* chaos.h - the options of `selkie chaos` (chaosoptions.c), by which its rounds run (chaos.c). */
#ifndef SELKIE_CHAOS_H
#define SELKIE_CHAOS_H

#include "util.h"

struct chaos_options {
    uint64_t seed, rounds;
    double seconds, timeout; /* seconds 0: as many rounds as --rounds says */
    unsigned nomem, late, late_us, lost, busy, busy_us, error, pause_ms, pause_every_ms;
    double proportion; /* 0: speed is only printed */
    const char *check, *mask;
    const char *client;  /* a shell command beside each round; NULL: none */
    const char *packets; /* faults of the network, or "none" */
    struct list allowed; /* exit statuses by which the program may give up, beside the usual */
    char **words;        /* for selkie run */
    int count;
};

/* Fails the command if something is wrong with them. */
void chaos_parse(int argc, char **argv, struct chaos_options *options);

#endif
