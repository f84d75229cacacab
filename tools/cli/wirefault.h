/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wirefault.h - what may happen to a frame on a wire: one model for a cable on the host's clock
 * (netfault.h) and for the networks of `selkie sim` (simnet.c). docs/network.md, "A bad wire", has
 * the words.
 *
 * It keeps no frames and asks no clock: who calls says what time it is, and carries each copy to
 * the time it is told. Each kind of mishap has a generator of its own in each sender's port, so
 * that a change of one does not shift the others.
 */
#ifndef SELKIE_WIREFAULT_H
#define SELKIE_WIREFAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What may happen, and is counted; the first few by chance. */
enum wire_chance {
    WIRE_LOSS,
    WIRE_DUPLICATE,
    WIRE_REORDER,
    WIRE_CORRUPT,
    WIRE_JITTER, /* not counted */
    WIRE_CHANCES,
    WIRE_SENT = WIRE_CHANCES,
    WIRE_DOWN, /* the link was */
    WIRE_FULL, /* the queue in front of the wire was */
    WIRE_LONG, /* longer than the MTU allows */
    WIRE_COUNTS,
};

#define WIRE_DOWN_MAX 16
#define WIRE_NEVER UINT64_MAX
#define WIRE_LIMIT_USUAL 1000
#define WIRE_TIME_MOST 3600000000000ull /* an hour */

struct wire_faults {
    uint64_t delay, jitter;        /* ns */
    uint64_t rate;                 /* bits in a second; 0: no limit */
    uint32_t chance[WIRE_CHANCES]; /* of 2^32 */
    unsigned mtu;                  /* 0: not said */
    unsigned limit;                /* of frames that wait for the wire */
    struct {
        uint64_t from, to;
    } down[WIRE_DOWN_MAX];
    unsigned down_count;
    uint64_t down_ns, of_ns; /* and for so long at the end of each such time; 0: never */
};

/* One word, such as "loss=1". NULL, or what is wrong with it. */
const char *wire_word(struct wire_faults *faults, const char *word);
/* 50us, 1.5ms, 1s, an hour at most. */
bool wire_time(const char *text, uint64_t *ns);

/* Is there a link; and when will that be otherwise after `time`? */
bool wire_link(const struct wire_faults *faults, uint64_t time);
uint64_t wire_link_change(const struct wire_faults *faults, uint64_t time);

/* The end of a wire at which frames go in. */
struct wire_port {
    uint64_t chance[WIRE_CHANCES]; /* states of the generators */
    uint64_t last;                 /* arrival of the latest frame that is in order */
    uint64_t free;                 /* when the wire has sent what there is */
    uint64_t *left;                /* when the last `limit` frames will have left; a ring */
    uint64_t sent;
};
void wire_port_start(struct wire_port *port, const struct wire_faults *faults, uint64_t *seeds);
void wire_port_end(struct wire_port *port);

struct wire_copy {
    uint64_t time; /* of arrival */
    uint64_t flip; /* the bit that is another; 0: none (the link's header is never changed) */
};
/* A frame of at least 14 bytes goes in: how many copies come out, at most two. */
unsigned wire_send(const struct wire_faults *faults, struct wire_port *port, uint64_t time,
                   const uint8_t *frame, size_t len, struct wire_copy copies[2],
                   uint64_t counts[WIRE_COUNTS]);
void wire_flip(uint8_t *frame, const struct wire_copy *copy);

#endif
