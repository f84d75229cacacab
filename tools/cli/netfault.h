/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netfault.h - a bad cable between the guest's network device and what is behind it: frames on
 * their way. What happens to one is wirefault.h's.
 */
#ifndef SELKIE_NETFAULT_H
#define SELKIE_NETFAULT_H

#include "wirefault.h"

struct cable_faults {
    struct wire_faults wire;
    uint64_t seed;
    bool any;
};

/* "loss=1,delay=50ms,...", and seed=N. NULL, or what is wrong with it. */
char *cable_parse(const char *words, struct cable_faults *faults);

struct cable_way;
/* One direction. The random numbers are its own. */
struct cable_way *cable_way_new(const struct cable_faults *faults, unsigned number);
void cable_way_free(struct cable_way *way);
/* A frame enters at `now`. */
void cable_put(struct cable_way *way, uint64_t now, const uint8_t *frame, size_t len);
/* The first that has arrived at `now`, until it is dropped; NULL: none, and *next is when there
 * will be one (UINT64_MAX: nothing is on its way). */
const uint8_t *cable_first(const struct cable_way *way, uint64_t now, size_t *len, uint64_t *next);
void cable_drop(struct cable_way *way);

#endif
