/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_fixture.h - surroundings of the TCP engine for tests: a virtual clock, a table of callbacks
 * that a test hooks into, segments as bytes, and the invariants of a connection.
 */
#ifndef SELKIE_UNIT_NET_TCP_FIXTURE_H
#define SELKIE_UNIT_NET_TCP_FIXTURE_H

#include "net/tcp_impl.h"

extern uint64_t fixture_now; /* ns */
extern uint64_t fixture_seed;
extern struct tcp_stack fixture_stack; /* defaults; tests may change values and hooks */
extern uint64_t fixture_counts[TCP_COUNTERS];

/* Memory, packets, kmalloc; RAM of so many MiB. */
void fixture_init(unsigned mib);
/* All of that again but memory: clock, counters, defaults, events. */
void fixture_reset(void);
/* Packets that exist. */
uint64_t fixture_packets(void);
uint64_t fixture_random(void);
uint32_t fixture_below(uint32_t limit); /* [0, limit) */

/* A new connection of fixture_stack, by a key that stays, on a path with segments of so many bytes.
 * Whose it is ends it: tcp_destroy, free. */
extern const struct flow_key fixture_key; /* from port 1 to port 2 */
struct tcp *fixture_tcp(const struct flow_key *key, uint32_t mss);

/* One segment as bytes: header and payload; a GSO packet gives several. Consumes the packet. */
struct wire {
    struct wire *next;
    uint32_t len;
    bool ect, ce;
    uint8_t bytes[];
};
struct wire *fixture_segments(struct pkt *pkt, bool ect);
/* A received packet of these bytes; pieces: how many it is cut into. NULL without memory. */
struct pkt *fixture_packet(const uint8_t *bytes, uint32_t len, unsigned pieces);
uint16_t fixture_checksum(const uint8_t *bytes, uint32_t len);

/* Everything that must hold between two calls; the engine's own sums among it. Aborts. */
void fixture_check(const struct tcp *tp);

/* A queue of what is to happen, by time. */
struct event {
    uint64_t time_ns, order;
    void (*fn)(void *arg);
    void *arg;
};
void events_add(uint64_t time_ns, void (*fn)(void *arg), void *arg);
bool events_take(struct event *out); /* the earliest; false: none */
void events_clear(void);

#endif
