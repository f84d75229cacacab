/* SPDX-License-Identifier: BSD-3-Clause */
/* pipe.h - pipes and FIFOs. */
#ifndef SELKIE_FS_PIPE_H
#define SELKIE_FS_PIPE_H

#include "fs/file.h"

#define PIPE_BUF 4096
#define PIPE_SIZE_DEFAULT 65536u
#define PIPE_SIZE_MAX 1048576u /* /proc/sys/fs/pipe-max-size */

/* The two ends; flags: O_NONBLOCK. ends[0] reads, ends[1] writes. */
int must_check pipe_create(struct file *ends[2], uint32_t flags);
int must_check fifo_open(struct inode *inode, struct file *file);
bool file_is_pipe(const struct file *file);
/*
 * splice(2) and tee(2), with kernel memory. All wait unless nonblock or O_NONBLOCK say EAGAIN.
 * peek copies what is there; take also removes it, but keeps its room until pipe_settle, which puts
 * back what the target did not use; put_some writes what fits, at least one byte. room: that many
 * bytes fit now, at least one; -EPIPE: nobody reads.
 */
long must_check pipe_peek(struct file *file, void *buf, size_t len, bool nonblock);
long must_check pipe_take(struct file *file, void *buf, size_t len, bool nonblock);
void pipe_settle(struct file *file, void *buf, size_t taken, size_t used);
long must_check pipe_put_some(struct file *file, void *buf, size_t len, bool nonblock);
long must_check pipe_room(struct file *file, bool nonblock);
bool pipe_same(const struct file *a, const struct file *b); /* both are pipes: is it one? */
/* fcntl F_GETPIPE_SZ, F_SETPIPE_SZ; -EBADF if it is no pipe. */
long pipe_get_size(struct file *file);
long pipe_set_size(struct file *file, uint64_t size);

#endif
