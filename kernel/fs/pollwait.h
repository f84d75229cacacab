/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pollwait.h - wait for any of many files: poll, select, blocking helpers.
 *
 *   poll_wait_init(&pw);
 *   first round: file_poll(file, poll_wait_table(&pw, wanted)) for each; later rounds with NULL
 *   poll_wait_sleep(&pw, deadline)           0, -ETIMEDOUT, -EINTR
 *   poll_wait_done(&pw);
 */
#ifndef SELKIE_FS_POLLWAIT_H
#define SELKIE_FS_POLLWAIT_H

#include "fs/file.h"

struct poll_wait;
struct poll_entry {
    struct waiter waiter;
    struct poll_wait *owner;
    uint32_t events;
};
#define POLL_INLINE 6
struct poll_chunk;
struct poll_wait {
    struct poll_table table; /* first */
    struct thread *thread;
    uint32_t triggered; /* atomic: something happened since the last sleep */
    uint32_t events;    /* of the file being asked */
    unsigned used;      /* inline entries */
    int err;            /* -ENOMEM: not all queues could be joined */
    struct poll_entry entries[POLL_INLINE];
    struct poll_chunk *chunks;
};
void poll_wait_init(struct poll_wait *pw);
/* The table for asking a file about `events`. */
struct poll_table *poll_wait_table(struct poll_wait *pw, uint32_t events);
int must_check poll_wait_sleep(struct poll_wait *pw, uint64_t deadline_ns);
void poll_wait_done(struct poll_wait *pw);

/* Sleep until cond(arg), which looks at atomics only. 0, -ETIMEDOUT, -ERESTARTSYS. */
int must_check fs_wait(struct waitq *queue, bool (*cond)(void *arg), void *arg,
                       uint64_t deadline_ns);

#endif
