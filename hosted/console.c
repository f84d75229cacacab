/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console.c - the program's streams are this process's own descriptors, read and written directly.
 *
 * Input is not read ahead: what the program does not ask for stays for whoever shares the
 * descriptor, as with a native program. The outer world only watches it (host_io.c): when there is
 * something it raises kernel_console() once, sets hosted_input_idle and watches no more until
 * hal_console_read has found nothing left.
 *
 * Output to a pipe or socket must not stop a virtual CPU for as long as nobody reads: no other
 * thread would run, no signal come through, not even SIGTERM. So it takes what there is room for.
 * Files and terminals are written to in the plain way.
 */
#include "hosted.h"
#include "sim.h"

#include "lib/errno.h"

#define STALL_MS 1

static void wait_writable(int fd)
{
    struct host_pollfd p = {.fd = fd, .events = HOST_POLLOUT};

    (void)host_call3(HOST_poll, (long)&p, 1, -1);
}

static int write_all(int fd, const uint8_t *buf, size_t len)
{
    while (len > 0) {
        long n = host_call3(HOST_write, fd, (long)buf, (long)len);

        if (n == -HOST_EAGAIN) {
            wait_writable(fd);
        } else if (n < 0 && n != -HOST_EINTR) {
            return (int)n;
        } else if (n > 0) {
            buf += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

/* Is there room for a piece? Waits a moment for it; an interrupt ends that. */
static bool writable(int fd)
{
    struct host_pollfd p = {.fd = fd, .events = HOST_POLLOUT};

    return host_call3(HOST_poll, (long)&p, 1, STALL_MS) > 0;
}

/* Not waiting for the reader, whatever the descriptor's own mode: others may share it. What cannot
 * be asked so (older hosts, some devices) gets a piece for which poll said there is room. */
static long write_some(int fd, const uint8_t *buf, size_t len)
{
    struct host_iovec iov = {buf, len};
    long n = host_call6(HOST_pwritev2, fd, (long)&iov, 1, -1, -1, HOST_RWF_NOWAIT);

    if (n == -HOST_EAGAIN && writable(fd))
        n = host_call6(HOST_pwritev2, fd, (long)&iov, 1, -1, -1, HOST_RWF_NOWAIT);
    if ((n == -HOST_EOPNOTSUPP || n == -HOST_ENOSYS || n == -HOST_EINVAL) && writable(fd))
        n = host_call3(HOST_write, fd, (long)buf, (long)MIN(len, (size_t)HOST_PIPE_BUF));
    return n;
}

/* 0, an error, or what is left because the reader is slow. */
static int write_patiently(int fd, const uint8_t *buf, size_t len)
{
    while (len > 0) {
        long n = write_some(fd, buf, len);

        if (n == -HOST_EAGAIN || n == -HOST_EINTR || n == -HOST_EOPNOTSUPP || n == -HOST_ENOSYS ||
            n == -HOST_EINVAL)
            return (int)len;
        if (n < 0)
            return (int)n;
        buf += n;
        len -= (size_t)n;
    }
    return 0;
}

static int write_stream(int fd, bool waits, const uint8_t *buf, size_t len)
{
    if (SELKIE_SIM)
        sim_note(SIM_WRITE, fd, len);
    return SELKIE_SIM || waits || !hal_irq_enabled() ? write_all(fd, buf, len)
                                                     : write_patiently(fd, buf, len);
}

int hal_console_write(enum hal_stream stream, const void *buf, size_t len)
{
    const struct hosted_config *c = &hosted_config;

    switch (stream) {
    case HAL_STREAM_OUT:
        return write_stream(c->fd_out, c->out_waits, buf, len);
    case HAL_STREAM_ERR:
        return write_stream(c->fd_err, c->err_waits, buf, len);
    default:
        return write_all(c->fd_log, buf, len);
    }
}

/* The outer world may watch the descriptor again. */
static void watch_again(void)
{
    const uint64_t one = 1;

    if (__atomic_exchange_n(&hosted_input_idle, 0, __ATOMIC_ACQ_REL))
        (void)host_call3(HOST_write, hosted_config.wake_fd, (long)&one, sizeof(one));
}

long hal_console_read(void *buf, size_t len)
{
    struct host_pollfd p = {.fd = hosted_config.fd_in, .events = HOST_POLLIN};
    long n;

    if (len == 0)
        return 0;
    if (SELKIE_SIM)
        return sim_read(buf, len);
    /* The descriptor may be shared, so it is not made non-blocking. */
    do
        n = host_call3(HOST_poll, (long)&p, 1, 0);
    while (n == -HOST_EINTR);
    if (n > 0 && (p.revents & HOST_POLLNVAL))
        return -EPIPE;
    if (n > 0) {
        do
            n = host_call3(HOST_read, p.fd, (long)buf, (long)len);
        while (n == -HOST_EINTR);
        if (n != -HOST_EAGAIN)
            return n > 0 ? n : -EPIPE;
    }
    watch_again();
    return 0;
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
