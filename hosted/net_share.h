/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_share.h - the peers of a machine on a switch, reached through shared memory (share.h).
 *
 * host_share.c (outer world) hears of them from the switch, maps their memory and says so here;
 * net_share.c (virtual CPUs) exchanges frames with them. A peer's place is its port's number.
 *
 * Life of a place: FREE -> LIVE -> GONE (its port has left: what it wrote is still read, nothing is
 * sent) -> FREE. Memory is mapped while it is not FREE. A virtual CPU that touches it counts itself
 * in `users` first and then looks at `state`; the outer world sets FREE first and then waits until
 * `users` is 0: sequentially consistent, all four, so it never unmaps what is in use. `in` is
 * touched by the CPU that runs the receive queue, `out` by the one that runs the send queue, and by
 * the outer world while the place is FREE.
 */
#ifndef SELKIE_HOSTED_NET_SHARE_H
#define SELKIE_HOSTED_NET_SHARE_H

#include <stdbool.h>

#include "share.h"

/* ---- for the outer world ---- */

enum { PEER_FREE, PEER_LIVE, PEER_GONE };

/* Place `port` becomes LIVE; the region's counts are zero. It must be FREE. */
void hosted_peer_open(unsigned port, void *region, unsigned side);
/* LIVE becomes GONE: its addresses, too. */
void hosted_peer_gone(unsigned port);
/* Becomes FREE; the memory that may now be unmapped, or NULL. May wait some microseconds. */
void *hosted_peer_close(unsigned port);
/* 48 bits of an Ethernet address are at a port that is LIVE; or at none. */
void hosted_address_set(const uint8_t mac[6], unsigned port);
void hosted_address_forget(const uint8_t mac[6]);
/* Bell and side of a place, to hear it; NULL: FREE. Only the outer world frees, so it stays. */
const uint32_t *hosted_peer_bell(unsigned port);

/* Counted up (with a futex wake) when the one that hears the bells must look at all this anew. */
extern uint32_t hosted_bells_changed;
/* A sender waits for room: in a while the queue is to be run again, so that it can give up. */
extern uint32_t hosted_sender_waits; /* atomic */
#define SHARE_PATIENCE_NS 1000000000u
/* What comes is best taken by this virtual CPU: the one that sent last. Atomic. */
extern uint32_t hosted_net_cpu;

/* ---- for dev_net.c and cpu.c ---- */
struct vcpu;
struct host_iovec;
struct ring_reader;

/* Are there peers? */
bool share_used(void);
/* A frame behind its header: 1: gone; 0: it is for the switch; -EAGAIN: its ring is full, the send
 * queue will be run again. By the send queue. */
int share_send(const struct host_iovec *iov, unsigned count, uint32_t total);
/* At the end of sending. */
void share_sent(void);
/* The ring of place i, which must be given back; NULL: there is none. By the receive queue. */
struct ring_reader *share_reader(unsigned i);
void share_reader_done(unsigned i, bool taken);
uint64_t share_set(void);
/* Everything has been taken: they are to tell from now on. True: something has come meanwhile. */
bool share_arm(void);

/* This CPU polls, and will look at the rings itself, or no longer. False: there are none, or
 * another one looks. */
bool share_poll_begin(struct vcpu *v);
void share_poll_end(struct vcpu *v);
/* While polling: interrupts the CPU itself if something has come. */
void share_look(struct vcpu *v);

/* Sleep until an interrupt is pending, a peer wakes this CPU, or the deadline. False: the CPU has
 * no part in this and must sleep by itself. */
bool share_sleep(struct vcpu *v);

#endif
