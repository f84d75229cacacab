/* SPDX-License-Identifier: BSD-3-Clause */
/* pipe_state.h - what pipe.c and pipe_splice.c share; pipe.c says how it works. No other file
 * includes it. */
#ifndef SELKIE_FS_PIPE_STATE_H
#define SELKIE_FS_PIPE_STATE_H

#include "fs/fcntl.h"
#include "fs/pipe.h"
#include "mm/page.h"
#include "sched/wait.h"

struct pipe {
    struct refcount refs; /* one per open file */
    struct mutex lock;
    struct waitq wait;
    struct page **pages;
    size_t page_count; /* power of two */
    uint64_t head, tail;
    uint64_t held;                       /* bytes before tail that a splice may give back */
    uint32_t readers, writers;           /* open ends */
    uint32_t reader_opens, writer_opens; /* ever; FIFO opens wait for these to move */
    uint64_t ino, time_ns;
};

static inline uint64_t load64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void store64(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline uint32_t load32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void store32(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline bool nonblocking(const struct file *file)
{
    return file_flags(file) & O_NONBLOCK;
}

/* Lock the pipe when it has bytes: 1. 0: end of file, or a negative errno; then it is not locked.
 */
int must_check pipe_lock_filled(struct pipe *pipe, bool nonblock);
/* An empty ring starts again in its first page, unless bytes may come back before its tail. */
void pipe_rewind_locked(struct pipe *pipe);

size_t pipe_space(const struct pipe *pipe); /* bytes that fit; without the lock a hint */
/* One try. `need`: bytes that must fit (PIPE_BUF writes are not split, pipe(7): then it is all). */
long must_check pipe_try_write(struct pipe *pipe, struct iov_iter *from, size_t need);
struct write_need {
    struct pipe *pipe;
    size_t space;
};

bool pipe_can_write(void *need);

#endif
