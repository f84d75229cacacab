/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pipe_splice.c - the bytes of a pipe through kernel memory: splice(2), tee(2).
 *
 * splice takes bytes out before it knows whether their target accepts them. Until it settles,
 * they count as held: writers leave their room alone, and what the target refused goes back to
 * where it came from.
 */
#include "fs/pipe_state.h"

#include "core/assert.h"
#include "fs/pollwait.h"
#include "lib/string.h"

/* Copy between the ring at byte `at` and a buffer. The pages are there. */
static void ring_copy(struct pipe *pipe, uint64_t at, uint8_t *buf, size_t len, bool to_ring)
{
    while (len > 0) {
        size_t offset = at % PAGE_SIZE, n = MIN(PAGE_SIZE - offset, len);
        uint8_t *mine = page_virt(pipe->pages[at / PAGE_SIZE % pipe->page_count]);
        memcpy(to_ring ? mine + offset : buf, to_ring ? buf : mine + offset, n);
        at += n;
        buf += n;
        len -= n;
    }
}

static long copy_out(struct file *file, void *buf, size_t len, bool nonblock, bool take)
{
    struct pipe *pipe = file->private_data;
    int filled = pipe_lock_filled(pipe, nonblock || nonblocking(file));
    if (filled <= 0)
        return filled;
    size_t n = MIN(len, (size_t)(pipe->head - pipe->tail));
    ring_copy(pipe, pipe->tail, buf, n, false);
    if (take) {
        /* held first: the room is never seen as free. */
        store64(&pipe->held, pipe->held + n);
        store64(&pipe->tail, pipe->tail + n);
    }
    mutex_unlock(&pipe->lock);
    return (long)n;
}

long pipe_peek(struct file *file, void *buf, size_t len, bool nonblock)
{
    return copy_out(file, buf, len, nonblock, false);
}

long pipe_take(struct file *file, void *buf, size_t len, bool nonblock)
{
    return copy_out(file, buf, len, nonblock, true);
}

void pipe_settle(struct file *file, void *buf, size_t taken, size_t used)
{
    struct pipe *pipe = file->private_data;
    size_t back = taken - used;
    ASSERT(used <= taken);
    mutex_lock(&pipe->lock);
    ASSERT(pipe->held >= taken && pipe->tail >= back);
    if (back > 0) {
        /* The room before tail is there: `held` kept writers out, rewind and resize as well. */
        ring_copy(pipe, pipe->tail - back, (uint8_t *)buf + used, back, true);
        store64(&pipe->tail, pipe->tail - back);
    }
    store64(&pipe->held, pipe->held - taken);
    pipe_rewind_locked(pipe);
    mutex_unlock(&pipe->lock);
    waitq_wake_all(&pipe->wait, 0);
}

long pipe_room(struct file *file, bool nonblock)
{
    struct pipe *pipe = file->private_data;
    struct write_need need = {pipe, 1};
    int err = 0;
    if (!pipe_can_write(&need))
        err = nonblock || nonblocking(file)
                  ? -EAGAIN
                  : fs_wait(&pipe->wait, pipe_can_write, &need, UINT64_MAX);
    if (err)
        return err;
    return load32(&pipe->readers) ? (long)MAX(pipe_space(pipe), (size_t)1) : -EPIPE;
}

long pipe_put_some(struct file *file, void *buf, size_t len, bool nonblock)
{
    struct pipe *pipe = file->private_data;
    struct iov one;
    struct iov_iter from;
    struct write_need need = {pipe, 1};
    if (len == 0)
        return 0;
    for (;;) {
        iov_iter_init_kernel(&from, &one, buf, len);
        long n = pipe_try_write(pipe, &from, 1);
        if (n != -EAGAIN || nonblock || nonblocking(file))
            return n;
        int err = fs_wait(&pipe->wait, pipe_can_write, &need, UINT64_MAX);
        if (err)
            return err;
    }
}

bool pipe_same(const struct file *a, const struct file *b)
{
    return a->private_data == b->private_data;
}
