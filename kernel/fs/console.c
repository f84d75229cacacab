/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console.c - the console's streams: who reads the input, and what descriptors 0, 1, 2 are.
 *
 * The device (core/stdio.h) is the machine's console unless a driver has taken over. It says for
 * each stream whether there is a terminal on the other side. If there is, the descriptor is the
 * tty; a kernel thread then reads the input all the time, because Ctrl-C must work when nobody
 * reads. Otherwise the descriptor behaves like the pipe it is on the other side: bytes go through
 * unchanged, and whoever reads it reads from the machine directly.
 *
 * kernel_console (irq) only counts and wakes; everything else happens in threads.
 *
 * A write of at most PIPE_BUF bytes is one piece, as to any pipe: no other write comes in between,
 * and without waiting it is taken whole or not at all. The machine may take a part of it all the
 * same. The rest is then kept here, counts as written, and goes before anything else, by whoever
 * writes next or by a thread that lives as long as there is a rest.
 */
#include "fs/console.h"

#include "core/assert.h"
#include "core/log.h"
#include "fs/context.h"
#include "fs/fcntl.h"
#include "fs/pipe.h"
#include "fs/pollwait.h"
#include "fs/stat.h"
#include "hal_up.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "sched/thread.h"

#define CHUNK_SMALL 256u
#define CHUNK_LARGE 65536u

/* What the machine has not taken yet of a write that is one piece. */
struct rest {
    uint8_t *data; /* PIPE_BUF bytes, allocated when first needed, for good */
    size_t at, len;
    bool thread; /* one sees to it */
};

static struct {
    bool ready;      /* console_init ran; atomic */
    uint32_t events; /* kernel_console calls; atomic */
    struct waitq wait;
    struct hal_console_info info;
    struct mutex in_lock;                    /* RANK_TTY: input buffer below */
    struct mutex out_lock[HAL_STREAM_COUNT]; /* RANK_TTY: one piece for the device at a time */
    struct rest rest[HAL_STREAM_COUNT];      /* out_lock; len is also read without it: atomic */
    uint8_t in[4096];
    size_t in_at, in_len;
    bool in_end;
} console;

static const struct stdio_device machine_console = {hal_console_write, hal_console_room,
                                                    hal_console_read, hal_console_info};
static const struct stdio_device *device = &machine_console;

void console_use(const struct stdio_device *better)
{
    device = better;
}

int console_write(enum hal_stream stream, const void *buf, size_t len)
{
    return device->write(stream, buf, len);
}

int console_room(enum hal_stream stream)
{
    return device->room(stream);
}

void kernel_console(void)
{
    /* Release, and acquire by who compares it: input announced is there to be read. */
    __atomic_fetch_add(&console.events, 1, __ATOMIC_RELEASE);
    (void)log_flush();
    if (__atomic_load_n(&console.ready, __ATOMIC_ACQUIRE))
        waitq_wake_all(&console.wait, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLERR);
}

uint32_t console_events(void)
{
    return __atomic_load_n(&console.events, __ATOMIC_ACQUIRE);
}

static bool events_moved(void *arg)
{
    return console_events() != *(const uint32_t *)arg;
}

int console_wait(uint32_t seen)
{
    return fs_wait(&console.wait, events_moved, &seen, UINT64_MAX);
}

struct waitq *console_waitq(void)
{
    return &console.wait;
}

void console_log_wait(void)
{
    uint32_t seen;
    do
        seen = console_events();
    while (log_flush() && console_wait(seen) == 0);
}

/* ---- the tty's input thread ---- */

static void tty_thread(void *arg)
{
    uint8_t data[256];
    for (;;) {
        uint32_t seen = console_events();
        struct hal_console_info info;
        device->info(&info);
        tty_set_size(info.rows, info.cols);
        long n;
        while ((n = device->read(data, sizeof(data))) > 0)
            tty_input(data, (size_t)n);
        if (n < 0) {
            tty_hangup();
            thread_exit();
        }
        tty_output();
        if (console_wait(seen))
            thread_clear_interrupt(); /* nobody interrupts kernel threads */
    }
}

bool console_has_tty(void)
{
    return console.info.in_tty || console.info.out_tty || console.info.err_tty;
}

enum hal_stream tty_default_stream(void)
{
    return !console.info.out_tty && console.info.err_tty ? HAL_STREAM_ERR : HAL_STREAM_OUT;
}

int console_init(void)
{
    waitq_init(&console.wait);
    mutex_init(&console.in_lock, RANK_TTY);
    for (unsigned i = 0; i < HAL_STREAM_COUNT; i++) {
        mutex_init(&console.out_lock[i], RANK_TTY);
        console.rest[i] = (struct rest){0};
    }
    console.in_at = console.in_len = 0;
    console.in_end = false;
    device->info(&console.info);
    tty_init();
    tty_set_size(console.info.rows, console.info.cols);
    __atomic_store_n(&console.ready, true, __ATOMIC_RELEASE);
    if (!console.info.in_tty)
        return 0;
    return thread_spawn("tty", tty_thread, NULL) ? 0 : -ENOMEM;
}

/* ---- host streams ---- */

/* Make sure something is buffered, if the machine has it. in_lock held. */
static bool fill_locked(void)
{
    if (console.in_len == 0 && !console.in_end) {
        long n = device->read(console.in, sizeof(console.in));
        console.in_at = 0;
        console.in_len = n > 0 ? (size_t)n : 0;
        console.in_end = n < 0;
    }
    return console.in_len > 0;
}

static long read_locked(struct iov_iter *to)
{
    long done = 0;
    while (to->left > 0 && fill_locked()) {
        size_t len = MIN(console.in_len, to->left);
        long n = iov_copy_to(to, console.in + console.in_at, len);
        if (n <= 0)
            return done ? done : n;
        console.in_at += (size_t)n;
        console.in_len -= (size_t)n;
        done += n;
    }
    return done;
}

static long stream_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    if (to->left == 0)
        return 0;
    for (;;) {
        uint32_t seen = console_events();
        mutex_lock(&console.in_lock);
        long done = read_locked(to);
        bool end = console.in_end;
        mutex_unlock(&console.in_lock);
        if (done || end)
            return done;
        if (file_flags(file) & O_NONBLOCK)
            return -EAGAIN;
        int err = console_wait(seen);
        if (err)
            return err;
    }
}

static size_t rest_len(enum hal_stream stream)
{
    return __atomic_load_n(&console.rest[stream].len, __ATOMIC_RELAXED);
}

/* True if there is none any more. out_lock held. */
static bool rest_flush_locked(enum hal_stream stream)
{
    struct rest *rest = &console.rest[stream];
    if (rest->len == 0)
        return true;
    int left = console_write(stream, rest->data + rest->at, rest->len);
    size_t now = left > 0 ? (size_t)left : 0; /* a broken stream tells the next writer so */
    rest->at += rest->len - now;
    __atomic_store_n(&rest->len, now, __ATOMIC_RELAXED);
    return now == 0;
}

/* A rest has gone: who did not try because of it may. */
static void rest_gone(void)
{
    __atomic_fetch_add(&console.events, 1, __ATOMIC_RELEASE); /* as kernel_console */
    waitq_wake_all(&console.wait, POLLOUT | POLLWRNORM | POLLERR);
}

static void rest_thread(void *arg)
{
    enum hal_stream stream = (enum hal_stream)(uintptr_t)arg;
    for (;;) {
        uint32_t seen = console_events();
        mutex_lock(&console.out_lock[stream]);
        bool done = rest_flush_locked(stream);
        if (done)
            console.rest[stream].thread = false;
        mutex_unlock(&console.out_lock[stream]);
        if (done) {
            rest_gone();
            thread_exit();
        }
        if (console_wait(seen))
            thread_clear_interrupt(); /* nobody interrupts kernel threads */
    }
}

/* False: no memory for it. There is no rest yet; out_lock held. */
static bool rest_keep_locked(enum hal_stream stream, const uint8_t *buf, size_t len)
{
    struct rest *rest = &console.rest[stream];
    if (!rest->data)
        rest->data = kmalloc(PIPE_BUF, ALLOC_DEFAULT);
    if (rest->data && !rest->thread)
        rest->thread = thread_spawn("console", rest_thread, (void *)(uintptr_t)stream) != NULL;
    if (!rest->data || !rest->thread)
        return false;
    memcpy(rest->data, buf, len);
    rest->at = 0;
    __atomic_store_n(&rest->len, len, __ATOMIC_RELAXED);
    return true;
}

bool console_settled(void)
{
    for (unsigned i = 0; i < HAL_STREAM_COUNT; i++)
        if (rest_len(i))
            return false;
    return true;
}

/* Returns how many bytes are left, or an error. `whole`: none or all are, memory permitting. */
static int write_piece(enum hal_stream stream, const uint8_t *buf, size_t len, bool whole)
{
    mutex_lock(&console.out_lock[stream]);
    bool rest = console.rest[stream].len > 0, gone = rest_flush_locked(stream);
    int left = gone ? console_write(stream, buf, len) : (int)len;
    if (whole && left > 0 && (size_t)left < len &&
        rest_keep_locked(stream, buf + len - (size_t)left, (size_t)left))
        left = 0;
    mutex_unlock(&console.out_lock[stream]);
    if (rest && gone)
        rest_gone();
    return left;
}

struct write_how {
    enum hal_stream stream;
    bool wait, whole;
};

/* Adds to *done what the machine has taken. */
static int write_chunk(const struct write_how *how, const uint8_t *buf, size_t len, long *done)
{
    for (;;) {
        uint32_t seen = console_events(); /* before the try: what is announced after it counts */
        int left = write_piece(how->stream, buf, len, how->whole);
        if (left < 0)
            return left;
        size_t taken = len - (size_t)left;
        *done += (long)taken;
        if (left == 0)
            return 0;
        buf += taken;
        len -= taken;
        if (!how->wait)
            return -EAGAIN;
        int err = console_wait(seen);
        if (err)
            return err;
    }
}

static long write_chunks(const struct write_how *how, struct iov_iter *from, uint8_t *buf,
                         size_t size)
{
    long done = 0;
    while (from->left > 0) {
        size_t want = MIN(from->left, size);
        long n = iov_copy_from(from, buf, want);
        if (n > 0 && how->whole && (size_t)n < want)
            n = -EFAULT;
        if (n <= 0)
            return done ? done : n;
        int err = write_chunk(how, buf, (size_t)n, &done);
        if (err == -EPIPE && done)
            proc_broken_pipe();
        if (err)
            return done ? done : err;
    }
    return done;
}

static long stream_write(struct file *file, struct iov_iter *from, off64_t *pos)
{
    struct write_how how = {.stream = (enum hal_stream)(uintptr_t)file->private_data,
                            .wait = !(file_flags(file) & O_NONBLOCK),
                            .whole = from->left <= PIPE_BUF};
    uint8_t small[CHUNK_SMALL];
    uint8_t *large = NULL;
    if (from->left > sizeof(small))
        large = kmalloc(MIN(from->left, (size_t)CHUNK_LARGE), ALLOC_DEFAULT);
    if (from->left > sizeof(small) && !large && how.whole)
        return -ENOMEM;
    size_t size = large ? MIN(from->left, (size_t)CHUNK_LARGE) : sizeof(small);
    long done = write_chunks(&how, from, large ? large : small, size);
    kfree(large);
    return done;
}

static uint32_t stream_poll(struct file *file, struct poll_table *table)
{
    if (table)
        table->add(table, &console.wait);
    if ((file_flags(file) & O_ACCMODE) == O_WRONLY) {
        enum hal_stream stream = (enum hal_stream)(uintptr_t)file->private_data;
        int room = console_room(stream);
        if (room > 0 && rest_len(stream))
            room = 0; /* rest_gone tells */
        return room == 0 ? 0 : POLLOUT | POLLWRNORM | (room == -EPIPE ? POLLERR : 0);
    }
    mutex_lock(&console.in_lock);
    bool some = fill_locked();
    bool end = console.in_end;
    mutex_unlock(&console.in_lock);
    return (some ? POLLIN | POLLRDNORM : 0) | (end ? POLLHUP : 0);
}

static long stream_ioctl(struct file *file, unsigned cmd, uintptr_t arg)
{
    if (cmd != FIONREAD || (file_flags(file) & O_ACCMODE) == O_WRONLY)
        return -ENOTTY;
    mutex_lock(&console.in_lock);
    fill_locked();
    int count = (int)console.in_len;
    mutex_unlock(&console.in_lock);
    return copyout(uaddr(arg), &count, sizeof(count));
}

static int stream_stat(struct file *file, struct kstat *out)
{
    unsigned which = (file_flags(file) & O_ACCMODE) != O_WRONLY     ? 0
                     : file->private_data == (void *)HAL_STREAM_OUT ? 1
                                                                    : 2;
    *out = (struct kstat){.ino = 10 + which,
                          .dev = fs_makedev(0, 13),
                          .mode = S_IFIFO | 0600,
                          .nlink = 1,
                          .blksize = PAGE_SIZE};
    return 0;
}

static const struct file_ops stream_ops = {
    .name = "pipe",
    .read = stream_read,
    .write = stream_write,
    .poll = stream_poll,
    .ioctl = stream_ioctl,
    .stat = stream_stat,
    .async = true,
};

static struct file *stream_file(int fd)
{
    enum hal_stream stream = fd == 2 ? HAL_STREAM_ERR : HAL_STREAM_OUT;
    return file_alloc(&stream_ops, fd == 0 ? O_RDONLY : O_WRONLY, (void *)(uintptr_t)stream);
}

static int stdio_file(struct fs_context *ctx, int fd, struct file **out)
{
    bool is_tty = fd == 0   ? console.info.in_tty
                  : fd == 1 ? console.info.out_tty
                            : console.info.err_tty;
    if (!is_tty) {
        *out = stream_file(fd);
        return *out ? 0 : -ENOMEM;
    }
    int err = fs_open(ctx, "/dev/console", O_RDWR, 0, out);
    if (err == 0 && fd == 2)
        tty_open(*out, HAL_STREAM_ERR);
    return err;
}

int fs_open_stdio(struct fdtable *table)
{
    struct fs_context *ctx = fs_context_create();
    if (!ctx)
        return -ENOMEM;
    int err = 0;
    for (int fd = 0; fd < 3 && err >= 0; fd++) {
        struct file *file;
        err = stdio_file(ctx, fd, &file);
        if (err)
            break;
        err = fd_install_at(table, file, fd, false);
        if (err < 0)
            file_put(file);
    }
    fs_context_put(ctx);
    return err < 0 ? err : 0;
}
