/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console.c - the program's streams are this process's own descriptors, read and written directly.
 *
 * Input is not read ahead: what the program does not ask for stays for whoever shares the
 * descriptor, as with a native program. The outer world only watches it (host_io.c): when there is
 * something it raises kernel_console() once, sets hosted_input_idle and watches no more until
 * hal_console_read has found nothing left.
 */
#include "hosted.h"

#include "lib/errno.h"

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

int hal_console_write(enum hal_stream stream, const void *buf, size_t len)
{
    const struct hosted_config *c = &hosted_config;

    switch (stream) {
    case HAL_STREAM_OUT:
        return write_all(c->fd_out, buf, len);
    case HAL_STREAM_ERR:
        return write_all(c->fd_err, buf, len);
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
