/* SPDX-License-Identifier: BSD-3-Clause */
/* sim.h - `selkie sim`: what its file says (simfile.c), running that (sim.c), and its networks
 * (simnet.c). */
#ifndef SELKIE_SIM_H
#define SELKIE_SIM_H

#include "child.h"
#include "run.h"
#include "sim_wire.h"
#include "wirefault.h"

#define SIM_NODE_MAX 64

/* A record on its way to a node, or one that is not yet printed. */
struct sim_record {
    struct sim_record *next, *previous;
    uint64_t time, order; /* order: among those of the same time and source */
    unsigned source;      /* node */
    struct sim_wire head;
    uint8_t *data;
};

struct sim_list {
    struct sim_record *first, *last;
};

/* What is counted of a network, behind what happens to a frame on the wire. */
enum {
    SIM_UNREAD = WIRE_COUNTS, /* the receiver's driver had no buffers for too many */
    SIM_COUNTS,
};

struct sim_net {
    unsigned nodes[SIM_NODE_MAX], node_count;
    struct wire_faults wire;
    uint64_t counts[SIM_COUNTS];
};

/* A node's place in its network. */
struct sim_port {
    unsigned char mac[6];
    struct wire_port wire;
};

struct sim_node {
    char *name;
    struct list words; /* options of selkie run, the program, its arguments */
    struct run_options options;
    struct image image;
    int in, out;         /* pipes; -1: none */
    struct sim_net *net; /* or NULL */
    struct sim_port port;

    struct child child;
    int fd;
    bool running, over;
    uint64_t clock; /* the last that was heard of it */
    uint64_t next;  /* stopped: when it goes on by itself */
    struct sim_list inbox;
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
    struct sim_net nets[SIM_NODE_MAX];
    unsigned node_count, pipe_count, net_count;
    uint64_t delay; /* the least of all */
    uint64_t seed;
    struct list options; /* for all nodes */
    const char *trace;
    bool verbose;
    struct sim_list said;
};

/* Read the nodes and pipes; a mistake ends the command with its line number. */
void sim_file_read(struct sim *sim, const char *path);

/* A message, which arrives at that time. */
void sim_post(struct sim *sim, unsigned from, unsigned to, uint64_t arrival,
              const struct sim_wire *head, const void *data);

/* Addresses and names, before the images are made. */
void sim_net_prepare(struct sim *sim);
/* Generators, and the first changes of links. */
void sim_net_start(struct sim *sim, uint64_t *seeds);
/* A node's link changes at `time`: when it will next. */
void sim_net_link(struct sim *sim, unsigned self, uint64_t time);
/* A frame that a node has sent. */
void sim_net_take(struct sim *sim, unsigned from, const struct sim_wire *head, const uint8_t *data);
/* A line of counts for each network. */
void sim_net_report(const struct sim *sim);

#endif
