/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim_wire.h - what a simulated kernel (sim_link.c) and `selkie sim` (tools/cli/sim.c), which holds
 * the clock of several, say to each other over a socket that keeps records apart. A record is a
 * struct sim_wire and `len` bytes.
 *
 * A kernel runs only up to the time that it was last given. It sends as it goes, then says STOP and
 * waits for what has arrived and for the next RUN (docs/simulation.md, Several kernels).
 */
#ifndef SELKIE_HOSTED_SIM_WIRE_H
#define SELKIE_HOSTED_SIM_WIRE_H

#include <stdint.h>

#define SIM_WIRE_DATA_MAX 65536
/* What of a pipe may be on the way or unread. */
#define SIM_WIRE_WINDOW 65536

enum sim_wire_kind {
    /* To a kernel that starts; a: SIM_WIRE_IN, SIM_WIRE_OUT; b: the least delay of any message. */
    SIM_WIRE_SETUP,
    /* To a kernel: go on at `time` if you are idle, and stop at time `a`. */
    SIM_WIRE_RUN,
    /* To a kernel: nothing can ever happen again. */
    SIM_WIRE_NEVER,
    /* From a kernel: by itself it does nothing before `time` (UINT64_MAX: nothing ever). */
    SIM_WIRE_STOP,
    /* From a kernel: it is off at `time`; a: exit status; b, c: hashes of its trace and memory;
     * lost: frames that its network device had no room for. */
    SIM_WIRE_END,
    /* From a kernel: bytes for people, `port` is the stream. */
    SIM_WIRE_SAY,
    /* Messages, both ways. From a kernel with the time of sending; to a kernel at their time. */
    SIM_WIRE_DATA,   /* of a pipe; a frame */
    SIM_WIRE_CREDIT, /* the pipe's reader has taken `a` bytes */
    SIM_WIRE_CLOSED, /* the pipe's writer is off: no more comes */
    SIM_WIRE_GONE,   /* the pipe's reader is off */
    SIM_WIRE_LINK,   /* of a network: a: 1, there is a link; 0, there is none */
};

#define SIM_WIRE_IN 1u  /* standard input is a pipe's end */
#define SIM_WIRE_OUT 2u /* standard output is a pipe's beginning */

/* Ports of messages: the standard streams, and the network device. */
#define SIM_WIRE_STREAMS 0u
#define SIM_WIRE_NET 1u

struct sim_wire {
    uint32_t kind;
    uint16_t port, reserved;
    uint32_t len, lost;
    uint64_t time, a, b, c;
};

#endif
