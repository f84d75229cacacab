/* SPDX-License-Identifier: BSD-3-Clause */
/* sim.h - `selkie sim`: what its file says (simfile.c), and running that (sim.c). */
#ifndef SELKIE_SIM_H
#define SELKIE_SIM_H

#include "child.h"
#include "run.h"
#include "sim_wire.h"

#define SIM_NODE_MAX 64

/* A record on its way to a node, or one that is not yet printed. */
struct sim_record {
    struct sim_record *next;
    uint64_t time, order; /* order: among those of the same time and source */
    unsigned source;      /* node */
    struct sim_wire head;
    uint8_t *data;
};

struct sim_node {
    char *name;
    struct list words; /* options of selkie run, the program, its arguments */
    struct run_options options;
    struct image image;
    int in, out; /* pipes; -1: none */

    struct child child;
    int fd;
    bool running, over;
    uint64_t clock; /* the last that was heard of it */
    uint64_t next;  /* stopped: when it goes on by itself */
    struct sim_record *inbox;
    uint64_t order;
    int status;
    uint64_t trace, memory;
    struct bytes lines[3]; /* of each stream: not yet a whole line */
};

struct sim_pipe {
    unsigned from, to;
    uint64_t delay, jitter; /* ns */
    uint64_t chance;        /* state of the generator for the jitter */
    uint64_t last, last_back;
};

struct sim {
    struct sim_node nodes[SIM_NODE_MAX];
    struct sim_pipe pipes[SIM_NODE_MAX];
    unsigned node_count, pipe_count;
    uint64_t delay; /* the least of all */
    uint64_t seed;
    struct list options; /* for all nodes */
    const char *trace;
    bool verbose;
    struct sim_record *said;
};

/* Read the nodes and pipes; a mistake ends the command with its line number. */
void sim_file_read(struct sim *sim, const char *path);

#endif
