/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pipe.c - pipes and FIFOs: a ring of bytes in pages.
 *
 * head counts the bytes ever written, tail those ever read; byte n lies in page (n / PAGE_SIZE) mod
 * page_count. A page is allocated when a write first needs its slot. When the ring becomes
 * empty both counters return to a page boundary of slot 0, so small traffic stays in one page that
 * is warm in the cache.
 *
 * The mutex (RANK_PIPE) guards all; head, tail, readers and writers are also read without it, by
 * sleepers that check their condition and by poll: they are atomic. Copies to and from user memory
 * happen under the mutex: a page fault there takes only locks of mm, which stand lower.
 */
#include "fs/pipe_state.h"

#include "core/assert.h"
#include "fs/console.h"
#include "fs/pollwait.h"
#include "fs/vfs.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "sched/timer.h"
#include "sched/wait.h"

static uint64_t next_ino; /* atomic */

static struct pipe *pipe_alloc(void)
{
    struct pipe *pipe = owner_alloc(OWNER_PIPE, sizeof(*pipe));
    if (!pipe)
        return NULL;
    pipe->page_count = PIPE_SIZE_DEFAULT / PAGE_SIZE;
    pipe->pages = kmalloc_array(pipe->page_count, sizeof(*pipe->pages), ALLOC_ZERO);
    if (!pipe->pages) {
        owner_free(OWNER_PIPE, pipe, sizeof(*pipe));
        return NULL;
    }
    mutex_init(&pipe->lock, RANK_PIPE);
    waitq_init(&pipe->wait);
    pipe->ino = __atomic_add_fetch(&next_ino, 1, __ATOMIC_RELAXED) + 1000;
    pipe->time_ns = clock_wall_ns();
    return pipe;
}

static void buffer_put(struct page *page)
{
    owner_add(OWNER_PIPE, 0, -(int64_t)PAGE_SIZE);
    page_put(page);
}

static void pipe_free(struct pipe *pipe)
{
    for (size_t i = 0; i < pipe->page_count; i++)
        if (pipe->pages[i])
            buffer_put(pipe->pages[i]);
    kfree(pipe->pages);
    owner_free(OWNER_PIPE, pipe, sizeof(*pipe));
}

/* Bytes in the ring. Tail first: without the lock the difference is then never negative. */
static size_t pipe_used(const struct pipe *pipe)
{
    uint64_t tail = load64(&pipe->tail);
    uint64_t head = load64(&pipe->head);
    return head > tail ? (size_t)(head - tail) : 0;
}

static size_t pipe_size(const struct pipe *pipe)
{
    return __atomic_load_n(&pipe->page_count, __ATOMIC_RELAXED) * PAGE_SIZE;
}

size_t pipe_space(const struct pipe *pipe)
{
    size_t used = pipe_used(pipe) + (size_t)load64(&pipe->held), size = pipe_size(pipe);
    return size > used ? size - used : 0;
}

/* ---- read ---- */

void pipe_rewind_locked(struct pipe *pipe)
{
    if (pipe->tail == pipe->head && pipe->held == 0) {
        store64(&pipe->head, 0); /* head first: an unlocked reader sees "empty" in between */
        store64(&pipe->tail, 0);
    }
}

static long read_locked(struct pipe *pipe, struct iov_iter *to)
{
    long done = 0;
    while (to->left > 0 && pipe->tail < pipe->head) {
        size_t offset = pipe->tail % PAGE_SIZE;
        size_t len = MIN(PAGE_SIZE - offset, (size_t)(pipe->head - pipe->tail));
        struct page *page = pipe->pages[pipe->tail / PAGE_SIZE % pipe->page_count];
        len = MIN(len, to->left);
        long n = iov_copy_to(to, (char *)page_virt(page) + offset, len);
        if (n <= 0)
            return done ? done : n;
        done += n;
        store64(&pipe->tail, pipe->tail + (uint64_t)n);
        if ((size_t)n < len)
            break;
    }
    pipe_rewind_locked(pipe);
    return done;
}

static bool can_read(void *arg)
{
    struct pipe *pipe = arg;
    return pipe_used(pipe) > 0 || load32(&pipe->writers) == 0;
}

int pipe_lock_filled(struct pipe *pipe, bool nonblock)
{
    for (;;) {
        mutex_lock(&pipe->lock);
        if (pipe->head != pipe->tail)
            return 1;
        bool end = pipe->writers == 0;
        mutex_unlock(&pipe->lock);
        if (end)
            return 0;
        if (nonblock)
            return -EAGAIN;
        int err = fs_wait(&pipe->wait, can_read, pipe, UINT64_MAX);
        if (err)
            return err;
    }
}

static long pipe_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    struct pipe *pipe = file->private_data;
    if (to->left == 0)
        return 0;
    int filled = pipe_lock_filled(pipe, nonblocking(file));
    if (filled <= 0)
        return filled;
    long done = read_locked(pipe, to);
    mutex_unlock(&pipe->lock);
    if (done > 0)
        waitq_wake_one(&pipe->wait, POLLOUT | POLLWRNORM);
    return done;
}

/* ---- write ---- */

static struct page *slot_page(struct pipe *pipe, uint64_t at)
{
    struct page **slot = &pipe->pages[at / PAGE_SIZE % pipe->page_count];
    if (!*slot) {
        *slot = page_alloc(0, PAGE_KERNEL, ALLOC_DEFAULT);
        if (*slot)
            owner_add(OWNER_PIPE, 0, PAGE_SIZE);
    }
    return *slot;
}

/* `whole`: all or nothing, whatever goes wrong. What is copied counts only when head says so. */
static long write_locked(struct pipe *pipe, struct iov_iter *from, size_t want, bool whole)
{
    uint64_t at = pipe->head;
    long err = 0;
    while (!err && at - pipe->head < want) {
        size_t offset = at % PAGE_SIZE;
        size_t len = MIN(PAGE_SIZE - offset, want - (size_t)(at - pipe->head));
        struct page *page = slot_page(pipe, at);
        long n = page ? iov_copy_from(from, (char *)page_virt(page) + offset, len) : -ENOMEM;
        if (n > 0)
            at += (uint64_t)n;
        if (n < (long)len)
            err = n < 0 ? n : -EFAULT;
    }
    long done = (long)(at - pipe->head);
    if (err && (whole || done == 0))
        return err;
    store64(&pipe->head, at);
    return done;
}

bool pipe_can_write(void *arg)
{
    struct write_need *need = arg;
    return pipe_space(need->pipe) >= need->space || load32(&need->pipe->readers) == 0;
}

long pipe_try_write(struct pipe *pipe, struct iov_iter *from, size_t need)
{
    mutex_lock(&pipe->lock);
    size_t space = pipe_space(pipe);
    long n = -EAGAIN;
    if (pipe->readers == 0)
        n = -EPIPE;
    else if (space >= need)
        n = write_locked(pipe, from, MIN(space, from->left), need == from->left);
    mutex_unlock(&pipe->lock);
    if (n > 0)
        waitq_wake_one(&pipe->wait, POLLIN | POLLRDNORM);
    return n;
}

static long pipe_write(struct file *file, struct iov_iter *from, off64_t *pos)
{
    struct pipe *pipe = file->private_data;
    bool atomic = from->left <= PIPE_BUF;
    long done = 0;
    while (from->left > 0) {
        struct write_need need = {pipe, atomic ? from->left : 1};
        long n = pipe_try_write(pipe, from, need.space);
        if (n > 0) {
            done += n;
            continue;
        }
        if (n == -EAGAIN && !nonblocking(file))
            n = fs_wait(&pipe->wait, pipe_can_write, &need, UINT64_MAX);
        if (n == -EPIPE && done)
            proc_broken_pipe();
        if (n < 0)
            return done ? done : n;
    }
    return done;
}

/* ---- the rest of the operations ---- */

static uint32_t pipe_poll(struct file *file, struct poll_table *table)
{
    struct pipe *pipe = file->private_data;
    unsigned mode = file_flags(file) & O_ACCMODE;
    uint32_t events = 0;
    if (table)
        table->add(table, &pipe->wait);
    if (mode != O_WRONLY) {
        if (pipe_used(pipe) > 0)
            events |= POLLIN | POLLRDNORM;
        /* A FIFO reader that no writer has met yet sees no hang-up (file->pos, set at open). */
        if (load32(&pipe->writers) == 0 && load32(&pipe->writer_opens) != (uint32_t)file->pos)
            events |= POLLHUP;
    }
    if (mode != O_RDONLY) {
        if (pipe_space(pipe) >= PIPE_BUF)
            events |= POLLOUT | POLLWRNORM;
        if (load32(&pipe->readers) == 0)
            events |= POLLERR;
    }
    return events;
}

static long pipe_ioctl(struct file *file, unsigned cmd, uintptr_t arg)
{
    if (cmd != FIONREAD)
        return -ENOTTY;
    int used = (int)pipe_used(file->private_data);
    return copyout(uaddr(arg), &used, sizeof(used));
}

static int pipe_stat(struct file *file, struct kstat *out)
{
    struct pipe *pipe = file->private_data;
    if (file->inode) {
        inode_stat(file->inode, out);
        return 0;
    }
    *out = (struct kstat){
        .ino = pipe->ino,
        .dev = fs_makedev(0, 13),
        .mode = S_IFIFO | 0600,
        .nlink = 1,
        .blksize = PAGE_SIZE,
        .atime_ns = pipe->time_ns,
        .mtime_ns = pipe->time_ns,
        .ctime_ns = pipe->time_ns,
        .btime_ns = pipe->time_ns,
    };
    return 0;
}

static void pipe_put(struct pipe *pipe)
{
    if (ref_put(&pipe->refs))
        pipe_free(pipe);
}

/* Returns true if nobody has the pipe open any more. */
static bool drop_end(struct pipe *pipe, unsigned mode)
{
    mutex_lock(&pipe->lock);
    if (mode != O_WRONLY)
        store32(&pipe->readers, pipe->readers - 1);
    if (mode != O_RDONLY)
        store32(&pipe->writers, pipe->writers - 1);
    bool last = pipe->readers == 0 && pipe->writers == 0;
    mutex_unlock(&pipe->lock);
    waitq_wake_all(&pipe->wait, 0);
    return last;
}

static void pipe_release(struct file *file)
{
    struct pipe *pipe = file->private_data;
    struct inode *inode = file->inode;
    if (inode)
        mutex_lock(&inode->lock);
    bool last = drop_end(pipe, file_flags(file) & O_ACCMODE);
    if (inode) {
        if (last)
            inode->pipe = NULL;
        mutex_unlock(&inode->lock);
    }
    pipe_put(pipe);
}

static const struct file_ops pipe_ops = {
    .name = "pipe",
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .stat = pipe_stat,
    .release = pipe_release,
    .async = true,
};

int pipe_create(struct file *ends[2], uint32_t flags)
{
    struct pipe *pipe = pipe_alloc();
    if (!pipe)
        return -ENOMEM;
    ends[0] = file_alloc(&pipe_ops, O_RDONLY | flags, pipe);
    ends[1] = file_alloc(&pipe_ops, O_WRONLY | flags, pipe);
    if (!ends[0] || !ends[1]) {
        file_free(ends[0]);
        file_free(ends[1]);
        pipe_free(pipe);
        return -ENOMEM;
    }
    ref_init(&pipe->refs);
    ref_get(&pipe->refs);
    pipe->readers = pipe->writers = 1;
    pipe->reader_opens = pipe->writer_opens = 1;
    return 0;
}

/* ---- FIFOs ---- */

struct fifo_need {
    const uint32_t *opens;
    uint32_t seen;
};

static bool fifo_met(void *arg)
{
    struct fifo_need *need = arg;
    return load32(need->opens) != need->seen;
}

/* Join the inode's pipe, made by the first one. inode->lock held. */
static int fifo_join(struct inode *inode, struct file *file, struct fifo_need *need)
{
    unsigned mode = file_flags(file) & O_ACCMODE;
    struct pipe *pipe = inode->pipe ? inode->pipe : pipe_alloc();
    if (!pipe)
        return -ENOMEM;
    bool fresh = !inode->pipe;
    mutex_lock(&pipe->lock);
    bool wait =
        (mode == O_RDONLY && pipe->writers == 0) || (mode == O_WRONLY && pipe->readers == 0);
    int err = 0;
    if (wait && mode == O_WRONLY && nonblocking(file))
        err = -ENXIO;
    else if (wait && !nonblocking(file))
        *need = mode == O_RDONLY ? (struct fifo_need){&pipe->writer_opens, pipe->writer_opens}
                                 : (struct fifo_need){&pipe->reader_opens, pipe->reader_opens};
    if (err == 0) {
        file->pos = pipe->writers ? 0 : (off64_t)pipe->writer_opens;
        if (mode != O_WRONLY) {
            store32(&pipe->readers, pipe->readers + 1);
            store32(&pipe->reader_opens, pipe->reader_opens + 1);
        }
        if (mode != O_RDONLY) {
            store32(&pipe->writers, pipe->writers + 1);
            store32(&pipe->writer_opens, pipe->writer_opens + 1);
        }
        file->ops = &pipe_ops;
        file->private_data = pipe;
        if (fresh)
            ref_init(&pipe->refs);
        else
            ref_get(&pipe->refs);
        inode->pipe = pipe;
    }
    mutex_unlock(&pipe->lock);
    if (err == 0)
        waitq_wake_all(&pipe->wait, 0);
    else if (fresh)
        pipe_free(pipe);
    return err;
}

/* fifo(7): opening one end blocks until the other end is opened too. */
rarely int fifo_open(struct inode *inode, struct file *file)
{
    struct fifo_need need = {NULL, 0};
    if ((file_flags(file) & O_ACCMODE) == O_ACCMODE)
        return -EINVAL;
    mutex_lock(&inode->lock);
    int err = fifo_join(inode, file, &need);
    mutex_unlock(&inode->lock);
    if (err || !need.opens)
        return err;
    struct pipe *pipe = file->private_data;
    err = fs_wait(&pipe->wait, fifo_met, &need, UINT64_MAX);
    if (err)
        pipe_release(file);
    return err;
}

/* ---- size ---- */

bool file_is_pipe(const struct file *file)
{
    return file->ops == &pipe_ops;
}

long pipe_get_size(struct file *file)
{
    return file_is_pipe(file) ? (long)pipe_size(file->private_data) : -EBADF;
}

/* Move the contents into a ring of `count` pages, page by page from slot 0. */
static void resize_locked(struct pipe *pipe, struct page **fresh, size_t count)
{
    uint64_t first = pipe->tail / PAGE_SIZE, used = pipe->head - pipe->tail;
    uint64_t offset = pipe->tail % PAGE_SIZE;
    uint64_t span = (offset + used + PAGE_SIZE - 1) / PAGE_SIZE;
    for (size_t i = 0; i < pipe->page_count; i++) {
        struct page *page = pipe->pages[(first + i) % pipe->page_count];
        if (used > 0 && i < span)
            fresh[i] = page;
        else if (page)
            buffer_put(page);
    }
    store64(&pipe->head, 0);
    store64(&pipe->tail, offset);
    store64(&pipe->head, offset + used);
    kfree(pipe->pages);
    pipe->pages = fresh;
    __atomic_store_n(&pipe->page_count, count, __ATOMIC_RELAXED);
}

rarely long pipe_set_size(struct file *file, uint64_t size)
{
    if (!file_is_pipe(file))
        return -EBADF;
    if (size > (1ull << 31))
        return -EINVAL;
    if (size > PIPE_SIZE_MAX)
        return -EPERM;
    size_t count = 1;
    while (count * PAGE_SIZE < size)
        count *= 2;
    struct page **fresh = kmalloc_array(count, sizeof(*fresh), ALLOC_ZERO);
    if (!fresh)
        return -ENOMEM;
    struct pipe *pipe = file->private_data;
    mutex_lock(&pipe->lock);
    /* In whole pages, as the contents are moved. */
    uint64_t span =
        pipe->head == pipe->tail ? 0 : (pipe->head - 1) / PAGE_SIZE - pipe->tail / PAGE_SIZE + 1;
    long result = -EBUSY;
    if (span <= count && pipe->held == 0) {
        resize_locked(pipe, fresh, count);
        fresh = NULL;
        result = (long)(count * PAGE_SIZE);
    }
    mutex_unlock(&pipe->lock);
    kfree(fresh);
    if (result > 0)
        waitq_wake_one(&pipe->wait, POLLOUT | POLLWRNORM);
    return result;
}
