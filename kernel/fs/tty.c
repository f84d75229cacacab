/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tty.c - the terminal on the console: what programs read and write. Linux's N_TTY (termios(3));
 * what becomes of the keys is tty_line.c's, the calls that set it tty_ioctl.c's.
 *
 * The mutex (RANK_TTY) guards everything. `readable` and `stopped` are copies that sleepers look
 * at. Output is written through at once. What the console does not take, because whoever reads it
 * is slow, waits in `late`; while something does, no program's output is accepted. Echo is put
 * there until it is full, then lost: keys, above all those that signal, must be heard.
 */
#include "fs/console.h"

#include "core/assert.h"
#include "fs/context.h"
#include "fs/fcntl.h"
#include "fs/pollwait.h"
#include "fs/tty_state.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "sched/timer.h"

struct tty_state tty;

static const struct termios default_termios = {
    .iflag = ICRNL | IXON | IUTF8,
    .oflag = OPOST | ONLCR,
    .cflag = 0x4bf, /* B38400 CS8 CREAD HUPCL */
    .lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .cc = {3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0},
};

void tty_init(void)
{
    memset(&tty, 0, sizeof(tty));
    mutex_init(&tty.lock, RANK_TTY);
    waitq_init(&tty.wait);
    tty.termios = default_termios;
    tty.pgrp = tty.session = 1;
}

bool tty_lflag(uint32_t bit)
{
    return tty.termios.lflag & bit;
}

/* ---- output; lock held ---- */

void tty_out_flush(struct tty_out *out)
{
    size_t left = out->len;
    if (left > 0 && out->err == 0 && tty.late_len == 0) {
        int n = console_write(out->stream, out->data, out->len);
        out->err = MIN(n, 0);
        left = n > 0 ? (size_t)n : 0;
        tty.late_stream = out->stream;
    }
    size_t keep = out->err ? 0 : MIN(left, LATE_SIZE - tty.late_len);
    memcpy(tty.late + tty.late_len, out->data + out->len - left, keep);
    tty.late_len += keep;
    out->len = 0;
}

/* Is there nothing that waits any more? */
static bool late_flush(void)
{
    if (tty.late_len > 0) {
        int n = console_write(tty.late_stream, tty.late, tty.late_len);
        size_t left = n > 0 ? (size_t)n : 0; /* an error is the next writer's */
        memmove(tty.late, tty.late + tty.late_len - left, left);
        tty.late_len = left;
    }
    return tty.late_len == 0;
}

void tty_out_byte(struct tty_out *out, uint8_t c)
{
    if (out->len == sizeof(out->data))
        tty_out_flush(out);
    out->data[out->len++] = c;
}

static void track_column(uint8_t c)
{
    if (c == '\r')
        tty.column = 0;
    else if (c == '\b')
        tty.column -= tty.column > 0;
    else if (c == '\t')
        tty.column = (tty.column | 7) + 1;
    else if (c >= ' ' && c != 127 && (c & 0xc0) != 0x80) /* not UTF-8 continuation bytes */
        tty.column++;
}

void tty_out_processed(struct tty_out *out, uint8_t c)
{
    uint32_t flags = tty.termios.oflag;
    if (flags & OPOST) {
        if (c == '\n' && (flags & ONLCR)) {
            tty_out_byte(out, '\r');
            tty.column = 0;
        } else if (c == '\n' && (flags & ONLRET)) {
            tty.column = 0;
        } else if (c == '\r' && (flags & ONOCR) && tty.column == 0) {
            return;
        } else if (c == '\r' && (flags & OCRNL)) {
            c = '\n';
        }
    }
    track_column(c);
    tty_out_byte(out, c);
}

void tty_set_size(uint16_t rows, uint16_t cols)
{
    mutex_lock(&tty.lock);
    bool changed = tty.size.rows != rows || tty.size.cols != cols;
    bool first = tty.size.rows == 0 && tty.size.cols == 0;
    tty.size.rows = rows;
    tty.size.cols = cols;
    if (changed && !first)
        proc_tty_signal(tty.pgrp, TTY_SIGWINCH);
    mutex_unlock(&tty.lock);
}

/* ---- read ---- */

static bool readable(void *arg)
{
    return __atomic_load_n(&tty.readable, __ATOMIC_ACQUIRE);
}

/* Up to the end of a line; the EOF character ends one without being returned. */
static long read_canonical(struct iov_iter *to)
{
    long done = 0;
    while (to->left > 0 && tty.tail != tty.line) {
        enum mark mark = tty.marks[tty.tail % IN_SIZE];
        if (mark == MARK_EOF) {
            tty.tail++;
            break;
        }
        long n = iov_copy_to(to, tty_in_at(tty.tail), 1);
        if (n <= 0)
            return done ? done : n;
        tty.tail++;
        done++;
        if (mark == MARK_LINE)
            break;
    }
    return done;
}

static long read_raw(struct iov_iter *to)
{
    long done = 0;
    while (to->left > 0 && tty.tail != tty.head) {
        size_t at = tty.tail % IN_SIZE;
        size_t len = MIN(MIN((size_t)(tty.head - tty.tail), IN_SIZE - at), to->left);
        long n = iov_copy_to(to, &tty.in[at], len);
        if (n <= 0)
            return done ? done : n;
        tty.tail += (uint32_t)n;
        done += n;
    }
    if ((int32_t)(tty.line - tty.tail) < 0)
        tty.line = tty.tail;
    return done;
}

struct raw_need {
    uint32_t seen; /* bytes at hand when the wait began */
};

static bool raw_more(void *arg)
{
    struct raw_need *need = arg;
    mutex_lock(&tty.lock);
    bool more = tty_in_ready() > need->seen || tty.hung_up;
    mutex_unlock(&tty.lock);
    return more;
}

/* Non-canonical reads (termios(3), "Canonical and noncanonical mode"): wait until MIN bytes are
 * there, with TIME a limit for the first (MIN 0) or for the pause between two. Lock not held: the
 * wait polls the state through the queue's callback form, because its condition takes the mutex. */
static int wait_raw(size_t want)
{
    uint32_t min = MIN((uint32_t)tty.termios.cc[VMIN], (uint32_t)MIN(want, (size_t)IN_SIZE));
    uint64_t pause = tty.termios.cc[VTIME] * 100 * NS_PER_MS;
    struct poll_wait pw;
    poll_wait_init(&pw);
    struct poll_table *table = poll_wait_table(&pw, POLLIN);
    table->add(table, &tty.wait);
    int err = 0;
    struct raw_need need = {0};
    uint64_t deadline = min == 0 ? clock_mono_ns() + pause : UINT64_MAX;
    while (err == 0) {
        mutex_lock(&tty.lock);
        uint32_t have = tty_in_ready();
        bool done = (min > 0 && have >= min) || (min == 0 && (have > 0 || pause == 0)) ||
                    tty.hung_up || tty_lflag(ICANON);
        mutex_unlock(&tty.lock);
        if (done)
            break;
        if (min > 0 && pause > 0 && have > need.seen)
            deadline = clock_mono_ns() + pause;
        need.seen = have;
        if (!raw_more(&need))
            err = poll_wait_sleep(&pw, deadline);
    }
    poll_wait_done(&pw);
    return err == -ETIMEDOUT ? 0 : err == -EINTR ? -ERESTARTSYS : err;
}

static long tty_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    bool nonblock = file_flags(file) & O_NONBLOCK;
    if (to->left == 0)
        return 0;
    for (;;) {
        mutex_lock(&tty.lock);
        bool canonical = tty_lflag(ICANON), ready = tty_in_ready() > 0;
        bool end = tty.hung_up;
        bool never_waits = !canonical && !tty.termios.cc[VMIN] && !tty.termios.cc[VTIME];
        long done = 0;
        if (ready && (canonical || nonblock))
            done = canonical ? read_canonical(to) : read_raw(to);
        tty_update_readable();
        mutex_unlock(&tty.lock);
        if ((ready && (canonical || nonblock)) || (end && !ready))
            return done;
        if (nonblock)
            return never_waits ? 0 : -EAGAIN; /* as n_tty_read of Linux */
        hal_console_want();
        int err = canonical ? fs_wait(&tty.wait, readable, NULL, UINT64_MAX) : wait_raw(to->left);
        if (err)
            return err;
        if (!canonical) {
            mutex_lock(&tty.lock);
            done = read_raw(to);
            tty_update_readable();
            mutex_unlock(&tty.lock);
            return done;
        }
    }
}

/* ---- write ---- */

static bool running(void *arg)
{
    return !__atomic_load_n(&tty.stopped, __ATOMIC_ACQUIRE);
}

static bool output_free(void)
{
    mutex_lock(&tty.lock);
    bool is_free = late_flush();
    mutex_unlock(&tty.lock);
    return is_free;
}

bool tty_settled(void)
{
    return !running(NULL) || output_free();
}

void tty_output(void)
{
    if (running(NULL) && output_free())
        waitq_wake_all(&tty.wait, POLLOUT | POLLWRNORM);
}

/* Until output is accepted, which means that all before it has been taken. */
int tty_wait_output(bool nonblock)
{
    for (;;) {
        uint32_t seen = console_events();
        bool stopped = !running(NULL);
        if (!stopped && output_free())
            return 0;
        if (nonblock)
            return -EAGAIN;
        int err = stopped ? fs_wait(&tty.wait, running, NULL, UINT64_MAX) : console_wait(seen);
        if (err)
            return err;
    }
}

static long tty_write(struct file *file, struct iov_iter *from, off64_t *pos)
{
    struct tty_out out = {.stream = (enum hal_stream)(uintptr_t)file->private_data};
    uint8_t chunk[128];
    bool nonblock = file_flags(file) & O_NONBLOCK;
    long done = 0;
    while (from->left > 0 && out.err == 0) {
        int err = tty_wait_output(nonblock);
        if (err)
            return done ? done : err;
        mutex_lock(&tty.lock);
        if (!late_flush()) { /* another writer was faster */
            mutex_unlock(&tty.lock);
            continue;
        }
        long n = iov_copy_from(from, chunk, MIN(from->left, sizeof(chunk)));
        if (n <= 0) {
            mutex_unlock(&tty.lock);
            return done ? done : n;
        }
        for (long i = 0; i < n; i++)
            tty_out_processed(&out, chunk[i]);
        tty_out_flush(&out);
        mutex_unlock(&tty.lock);
        done += n;
    }
    if (out.err)
        return -EIO;
    /* The program may end now, and the machine with it. */
    if (!nonblock && !output_free())
        (void)!tty_wait_output(false);
    return done;
}

static uint32_t tty_poll(struct file *file, struct poll_table *table)
{
    enum hal_stream stream = (enum hal_stream)(uintptr_t)file->private_data;
    if (table) {
        table->add(table, &tty.wait);
        table->add(table, console_waitq());
    }
    uint32_t events = 0;
    if (running(NULL) && output_free() && console_room(stream) != 0)
        events |= POLLOUT | POLLWRNORM;
    if (readable(NULL))
        events |= POLLIN | POLLRDNORM;
    return events;
}

static const struct file_ops tty_ops = {
    .read = tty_read,
    .write = tty_write,
    .poll = tty_poll,
    .ioctl = tty_ioctl,
    .async = true,
};

void tty_open(struct file *file, enum hal_stream stream)
{
    file->ops = &tty_ops;
    file->private_data = (void *)(uintptr_t)stream;
}
