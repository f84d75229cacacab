/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * share.h - two hosted machines on one switch exchange frames through memory that both have mapped
 * (docs/network.md, "Frames in shared memory"): what lies in it, and what the switch and a
 * machine say to each other about it. Included by tools/cli/netshare.c, too: it needs nothing of
 * either world.
 */
#ifndef SELKIE_HOSTED_SHARE_H
#define SELKIE_HOSTED_SHARE_H

#include <stdint.h>

/* ---- the memory of a pair: a sealed memfd ---- */

#define SHARE_NAME "selkie-pair"
#define SHARE_RING (1u << 20) /* bytes of records, a power of two */
#define SHARE_DATA 4096u      /* ring i begins at SHARE_DATA + i * SHARE_RING */
#define SHARE_SIZE (SHARE_DATA + 2 * SHARE_RING)

/* How the reader of a ring hears of a record, or its writer of room. */
enum {
    SHARE_LOOKS,  /* it looks by itself */
    SHARE_BELL,   /* `bell` is counted up, and a futex wake on it */
    SHARE_SLEEPS, /* a futex wake on `wake` itself: a virtual CPU sleeps there */
};

/* Ring i is written by side i of a pair and read by the other one. Counts run on over 2^32. All
 * words are atomic; a pair of lines has one writer, but for the two words that an exchange takes
 * back, and the bells. Bell i is heard by side i. */
struct share_ring {
    uint32_t tail; /* the writer's: bytes written */
    uint32_t room; /* SHARE_BELL: the writer waits for room; the reader takes it back */
    uint8_t writers_line[120];
    uint32_t head; /* the reader's: bytes read */
    uint32_t wake; /* SHARE_*; the writer takes it back */
    uint8_t readers_line[120];
};
struct share_region {
    struct share_ring rings[2];
    struct {
        uint32_t bell;
        uint8_t line[124];
    } side[2];
};

/* ---- between a port and its switch ---- */

/* The record by which a port says that it can: shorter than a frame, so that whoever does not know
 * it ignores it. With a descriptor: a socket that keeps records, for the messages below. */
#define SHARE_HELLO "selkie:share:1"

#define SHARE_PORTS 64
enum share_kind {
    SHARE_PEER,    /* port `port` is there; you are side `side`; with a descriptor: the memory */
    SHARE_GONE,    /* it has gone */
    SHARE_ADDRESS, /* `mac` is at port `port` */
    SHARE_FORGET,  /* it is not, or not for sure */
};
struct share_message {
    uint32_t kind, port, side;
    uint8_t mac[6], zero[2];
};

#endif
