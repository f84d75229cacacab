/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console.c - the program's streams are this process's own descriptors, read and written directly.
 *
 * Input is not read ahead: what the program does not ask for stays for whoever shares the
 * descriptor, as with a native program. The outer world only watches it (host_io.c): when there is
 * something it raises kernel_console() once, sets hosted_input_idle and watches no more until
 * hal_console_read has found nothing left.
 *
 * Neither way may stop a virtual CPU for as long as somebody else likes: no other thread would
 * run, no signal come through, not even SIGTERM. So output takes what there is room for, whatever
 * the descriptor's own mode, which others may share; when there is none the outer world is asked to
 * watch for it (hosted_room_wanted) and raises kernel_console(). Only files are written to in the
 * plain way.
 */
#include "hosted.h"
#include "sim.h"

#include "lib/errno.h"

STATIC_ASSERT(HAL_STREAM_LOG == 0 && HAL_STREAM_OUT == 1 && HAL_STREAM_ERR == 2 &&
              HAL_STREAM_COUNT == HOSTED_STREAM_COUNT); /* host_io.c, host_io_loop */

#define PANIC_WAIT_MS 2000 /* for a reader of the last words */

static int stream_fd(enum hal_stream stream)
{
    const struct hosted_config *c = &hosted_config;

    return stream == HAL_STREAM_OUT ? c->fd_out : stream == HAL_STREAM_ERR ? c->fd_err : c->fd_log;
}

static bool is_file(enum hal_stream stream)
{
    const struct hosted_config *c = &hosted_config;

    return stream == HAL_STREAM_OUT   ? c->out_file
           : stream == HAL_STREAM_ERR ? c->err_file
                                      : c->log_file;
}

static void wake_outer(void)
{
    const uint64_t one = 1;

    (void)host_call3(HOST_write, hosted_config.wake_fd, (long)&one, sizeof(one));
}

/* The outer world looks at the descriptor as it is then, so no room is missed that came before. */
static void want_room(enum hal_stream stream)
{
    uint32_t bit = 1u << stream;

    if (!(__atomic_fetch_or(&hosted_room_wanted, bit, __ATOMIC_SEQ_CST) & bit))
        wake_outer();
}

/* What happens to the descriptor, or what of `events`, within ms milliseconds. */
static int look(int fd, int events, int ms)
{
    struct host_pollfd p = {.fd = fd, .events = (int16_t)events};
    long n;

    do
        n = host_call3(HOST_poll, (long)&p, 1, ms);
    while (n == -HOST_EINTR);
    return n > 0 ? p.revents : 0;
}

static bool unsupported(long n)
{
    return n == -HOST_EOPNOTSUPP || n == -HOST_ENOSYS || n == -HOST_EINVAL;
}

/* Descriptors that cannot be asked not to wait (older hosts, some devices) and are not our own get
 * a piece for which poll said there is room. */
static long write_some(int fd, const uint8_t *buf, size_t len)
{
    struct host_iovec iov = {buf, len};
    long n = host_call6(HOST_pwritev2, fd, (long)&iov, 1, -1, -1, HOST_RWF_NOWAIT);

    if (!unsupported(n))
        return n;
    if (!look(fd, HOST_POLLOUT, 0))
        return -HOST_EAGAIN;
    return host_call3(HOST_write, fd, (long)buf, (long)MIN(len, (size_t)HOST_PIPE_BUF));
}

static long write_plain(int fd, const uint8_t *buf, size_t len)
{
    return host_call3(HOST_write, fd, (long)buf, (long)len);
}

/* 0, what is left because the reader is slow or something is wrong with the rest of it (the next
 * call says what), or what is wrong with all of it. */
static int write_by(long (*write)(int fd, const uint8_t *buf, size_t len), int fd,
                    const uint8_t *buf, size_t len)
{
    size_t left = len;

    while (left > 0) {
        long n = write(fd, buf, left);

        if (n == -HOST_EINTR)
            continue;
        if (n == -HOST_EAGAIN || n == 0 || (n < 0 && left < len))
            return (int)left;
        if (n < 0)
            return (int)n;
        buf += n;
        left -= (size_t)n;
    }
    return 0;
}

static int write_patiently(int fd, const uint8_t *buf, size_t len)
{
    return write_by(write_some, fd, buf, len);
}

/* A full disk, or the limit for files, takes a part. */
static int write_file(int fd, const uint8_t *buf, size_t len)
{
    return write_by(write_plain, fd, buf, len);
}

/* In a simulation how fast the reader is must not matter. */
static int write_waiting(int fd, const uint8_t *buf, size_t len)
{
    int left;

    while ((left = write_patiently(fd, buf, len)) > 0) {
        buf += len - (size_t)left;
        len = (size_t)left;
        (void)look(fd, HOST_POLLOUT, -1);
    }
    return left;
}

int hal_console_write(enum hal_stream stream, const void *buf, size_t len)
{
    int fd = stream_fd(stream), left;

    if (SELKIE_SIM) {
        sim_note(SIM_WRITE, stream, len);
        if (sim_linked())
            return sim_link_write(stream, buf, len);
        return write_waiting(fd, buf, len);
    }
    left = is_file(stream) ? write_file(fd, buf, len) : write_patiently(fd, buf, len);
    if (left > 0)
        want_room(stream);
    return left;
}

int hal_console_room(enum hal_stream stream)
{
    int events;

    if (SELKIE_SIM && sim_linked())
        return sim_link_room(stream);
    if (SELKIE_SIM || is_file(stream))
        return 1;
    events = look(stream_fd(stream), HOST_POLLOUT, 0);
    if (events & (HOST_POLLERR | HOST_POLLHUP))
        return -EPIPE;
    if (events)
        return 1;
    want_room(stream);
    return 0;
}

void hal_console_panic(const void *buf, size_t len)
{
    int fd = stream_fd(HAL_STREAM_LOG);
    const uint8_t *from = buf;
    int left;

    if (SELKIE_SIM && sim_linked()) {
        (void)sim_link_write(HAL_STREAM_LOG, from, len);
        return;
    }
    if (is_file(HAL_STREAM_LOG)) {
        (void)write_file(fd, buf, len);
        return;
    }
    while ((left = write_patiently(fd, from, len)) > 0) {
        from += len - (size_t)left;
        len = (size_t)left;
        if (!look(fd, HOST_POLLOUT, PANIC_WAIT_MS))
            return;
    }
}

/* The outer world may watch the descriptor again. */
static void watch_again(void)
{
    if (__atomic_exchange_n(&hosted_input_idle, 0, __ATOMIC_ACQ_REL))
        wake_outer();
}

/* Somebody else may share the descriptor and be faster than we between poll and read. */
static long read_some(int fd, void *buf, size_t len)
{
    struct host_iovec iov = {buf, len};
    long n;

    host_buffer(buf, len);
    n = host_call6(HOST_preadv2, fd, (long)&iov, 1, -1, -1, HOST_RWF_NOWAIT);

    return unsupported(n) ? host_call3(HOST_read, fd, (long)buf, (long)len) : n;
}

long hal_console_read(void *buf, size_t len)
{
    int fd = hosted_config.fd_in, events;
    long n;

    if (len == 0 || !__atomic_load_n(&hosted_config.in_ours, __ATOMIC_ACQUIRE))
        return 0;
    if (SELKIE_SIM)
        return sim_read(buf, len);
    events = look(fd, HOST_POLLIN, 0);
    if (events & HOST_POLLNVAL)
        return -EPIPE;
    if (events) {
        do
            n = read_some(fd, buf, len);
        while (n == -HOST_EINTR);
        /* A terminal that is there: we are in the background by now. The outer world finds out. */
        if (n == -HOST_EIO && hosted_config.in_tty && !(events & HOST_POLLHUP))
            n = -HOST_EAGAIN;
        if (n != -HOST_EAGAIN)
            return n > 0 ? n : -EPIPE;
    }
    watch_again();
    return 0;
}

void hal_console_want(void)
{
    if (__atomic_load_n(&hosted_config.in_ours, __ATOMIC_ACQUIRE))
        return;
    __atomic_fetch_or(&hosted_job, HOSTED_JOB_READ, __ATOMIC_RELEASE);
    wake_outer();
}

void hal_console_info(struct hal_console_info *out)
{
    const struct hosted_config *c = &hosted_config;
    uint32_t window = __atomic_load_n(&c->window, __ATOMIC_RELAXED);

    *out = (struct hal_console_info){
        .in_tty = c->in_tty,
        .out_tty = c->out_tty,
        .err_tty = c->err_tty,
        .rows = (uint16_t)(window >> 16),
        .cols = (uint16_t)window,
    };
}
