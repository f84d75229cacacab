/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pause.h - virtual CPUs that stand still at random, as on a busy host: their threads (of a hosted
 * kernel, or of QEMU) are stopped wherever they are, with whatever locks they hold, by ptrace(2).
 * Between stops nobody traces them, so signals and system calls cost what they always do.
 */
#ifndef SELKIE_PAUSE_H
#define SELKIE_PAUSE_H

#include "util.h"

#define PAUSE_CPU_MAX 256

struct pauses {
    unsigned longest_ms; /* a stop takes up to so long; 0: there are none */
    unsigned every_ms;   /* mean time between the beginnings of two stops */
    uint64_t random;     /* state of the generator */
    pid_t root;          /* the threads are looked for in this process and its descendants */

    struct {
        pid_t thread;
        bool stopped;
        int signo; /* a signal that the stop has met on its way */
        double since, until;
    } cpu[PAUSE_CPU_MAX];
    unsigned count, stopped, done;
    double next;         /* when the next stop begins, or the threads are looked for again */
    double held_seconds; /* stopped time, summed over CPUs */
};

/* `cpus` threads are to come below `root`. */
void pauses_begin(struct pauses *pauses, pid_t root);
/* Do what is due. Returns when there will be something to do, on now_seconds()'s clock. */
double pauses_step(struct pauses *pauses, unsigned cpus);
/* Let everything go on. Before the process is waited for. */
void pauses_end(struct pauses *pauses);

#endif
