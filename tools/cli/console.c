/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console.c - the launcher's end of the framed console (kernel/lib/conframe.h): one serial
 * line carries the program's three streams, the kernel's log and the exit status. Where the machine
 * has a virtio console (the port), that carries the program's streams and everything that goes
 * in; the log and the exit status stay on the line.
 *
 * One poll loop, no threads. Output is written as it comes: if our own standard output blocks, the
 * line fills and the guest waits, as it would on a pipe. Input goes in small portions, so that a
 * signal or a window change overtakes most of it. A terminal on standard input is put into raw mode
 * (the guest has its own line discipline) and put back at every exit, killing signals included.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#define DLE 0x10
#define ESCAPE_KEY 0x1d /* Ctrl-], pressed ESCAPE_COUNT times in a row ends the machine */
#define ESCAPE_COUNT 3
#define REQUEST_COUNT 3 /* so many SIGINT, SIGTERM, SIGHUP or SIGQUIT end it as well */

enum { STATE_PLAIN, STATE_DLE, STATE_STATUS };

/* One direction of bytes from the kernel. */
struct channel {
    int fd; /* -1: not there */
    int state, number;
    int stream; /* the host's file descriptor of the stream selected; -1 before the first frame */
};

struct console {
    struct channel line, port;
    int signals, errors;
    int status;
    bool dead[3]; /* that stream's reader is gone */
    bool input_open;
    unsigned escapes;
    unsigned requests; /* to stop, by signals */
    int last_request;
    bool broken;          /* QEMU says that the machine cannot go on */
    struct bytes pending; /* framed input not yet on the line */
    struct bytes *complaint;
};

static struct termios saved_termios;
static bool termios_changed;

static void terminal_restore(void)
{
    if (termios_changed)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved_termios);
    termios_changed = false;
}

static void terminal_raw(void)
{
    struct termios raw;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved_termios) < 0)
        return;
    /* A background job must not touch the terminal. */
    if (tcgetpgrp(STDIN_FILENO) != getpgrp())
        return;
    raw = saved_termios;
    cfmakeraw(&raw);
    /* The guest's line discipline already wrote CR LF where it is wanted. */
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0) {
        termios_changed = true;
        atexit(terminal_restore);
    }
}

char *console_words(void)
{
    struct winsize size;
    char types[4];

    for (int i = 0; i < 3; i++)
        types[i] = isatty(i) ? 't' : 'p';
    types[3] = 0;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
        return text("stdio=%s", types);
    return text("stdio=%s winsize=%ux%u", types, size.ws_row, size.ws_col);
}

static void take_signal(struct console *c);
static void push_pending(struct console *c);

static bool given_up(const struct console *c)
{
    return c->escapes >= ESCAPE_COUNT || c->requests >= REQUEST_COUNT;
}

/* Wait until the stream takes a portion. Signals are still heard: a reader that has stopped reading
 * must not make us deaf. False if the user gave up. */
static bool wait_writable(struct console *c, int stream)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = stream, .events = POLLOUT},
                               {.fd = c->signals, .events = POLLIN}};

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return true; /* write() will say what is wrong */
        if (fds[1].revents) {
            take_signal(c);
            push_pending(c);
        }
        if (given_up(c))
            return false;
        if (fds[0].revents)
            return true;
    }
}

static void put_out(struct console *c, int stream, const char *data, size_t len)
{
    while (len > 0 && stream >= 0 && !c->dead[stream] && wait_writable(c, stream)) {
        /* A pipe that poll() calls writable takes PIPE_BUF bytes without blocking. */
        ssize_t n = write(stream, data, len < PIPE_BUF ? len : PIPE_BUF);

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0) {
            c->dead[stream] = true;
            /* As the program would die natively when its reader is gone. */
            bytes_print(&c->pending, "%cS%d;", DLE, SIGPIPE);
            return;
        }
        data += n;
        len -= (size_t)n;
    }
}

static void take_escape(struct console *c, struct channel *from, unsigned char byte)
{
    from->state = STATE_PLAIN;
    switch (byte) {
    case '0':
        from->stream = STDERR_FILENO;
        break;
    case '1':
        from->stream = STDOUT_FILENO;
        break;
    case '2':
        from->stream = STDERR_FILENO;
        break;
    case 'X':
        from->state = STATE_STATUS;
        from->number = 0;
        break;
    case DLE:
        put_out(c, from->stream, (const char[]){DLE}, 1);
        break;
    default:
        break;
    }
}

/* Demultiplex what the kernel sent. Firmware may print before the first frame: dropped. */
static void take_bytes(struct console *c, struct channel *from, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)data[i];

        if (from->state == STATE_PLAIN) {
            const char *dle = memchr(data + i, DLE, len - i);
            size_t run = dle ? (size_t)(dle - (data + i)) : len - i;

            put_out(c, from->stream, data + i, run);
            i += run;
            if (dle)
                from->state = STATE_DLE;
        } else if (from->state == STATE_DLE) {
            take_escape(c, from, byte);
        } else if (byte >= '0' && byte <= '9') {
            from->number = from->number * 10 + (byte - '0');
            from->number &= 0xffff;
        } else {
            if (byte == ';')
                c->status = from->number & 0xff;
            from->state = STATE_PLAIN;
        }
    }
}

static void take_input(struct console *c)
{
    char buf[1024];
    ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        c->input_open = false;
        bytes_print(&c->pending, "%cE", DLE);
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        c->escapes = termios_changed && buf[i] == ESCAPE_KEY ? c->escapes + 1 : 0;
        if (buf[i] == DLE)
            bytes_add(&c->pending, (const char[]){DLE}, 1);
        bytes_add(&c->pending, &buf[i], 1);
    }
}

/* The channel that takes input. */
static struct channel *input_channel(struct console *c)
{
    return c->port.fd >= 0 ? &c->port : &c->line;
}

/* Nothing is sent before the kernel can receive it and has said so (CONFRAME_READY): what arrives
 * earlier would be lost. */
static void push_pending(struct console *c)
{
    const struct channel *in = input_channel(c);
    ssize_t n;

    if (in->stream < 0 || c->pending.len == 0)
        return;
    n = send(in->fd, c->pending.data, c->pending.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n <= 0)
        return;
    memmove(c->pending.data, c->pending.data + n, c->pending.len - (size_t)n);
    c->pending.len -= (size_t)n;
}

static void take_signal(struct console *c)
{
    struct signalfd_siginfo info;
    struct winsize size;

    if (read(c->signals, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo != SIGWINCH) {
        bytes_print(&c->pending, "%cS%u;", DLE, info.ssi_signo);
        c->last_request = (int)info.ssi_signo;
        c->requests++;
        return;
    }
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        bytes_print(&c->pending, "%cW%u,%u;", DLE, size.ws_row, size.ws_col);
}

static int catch_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* QEMU's standard error: kept for a message. After an internal error of KVM the machine stands
 * still, but QEMU goes on waiting. */
static void take_errors(struct console *c)
{
    char buf[4096];
    ssize_t n = read(c->errors, buf, sizeof(buf));

    if (n <= 0) {
        c->errors = -1;
        return;
    }
    if (c->complaint->len < 65536)
        bytes_add(c->complaint, buf, (size_t)n);
    c->broken |= strstr(c->complaint->data, "KVM internal error") != NULL;
}

/* Take what is there. False when the channel is closed. */
static bool channel_take(struct console *c, struct channel *from)
{
    char buf[65536];
    ssize_t n = recv(from->fd, buf, sizeof(buf), MSG_DONTWAIT);

    if (n > 0)
        take_bytes(c, from, buf, (size_t)n);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* When the exit status is there, the program's last words are in the port's socket. */
static void port_drain(struct console *c)
{
    struct pollfd wait = {.fd = c->port.fd, .events = POLLIN};

    while (c->port.fd >= 0 && poll(&wait, 1, 0) > 0 && channel_take(c, &c->port))
        ;
}

/* One turn of the loop; false when the line is closed. */
static bool console_turn(struct console *c)
{
    struct channel *in = input_channel(c);
    bool ready = in->stream >= 0;
    short push = ready && c->pending.len ? POLLOUT : 0;
    struct pollfd fds[5] = {
        {.fd = c->line.fd, .events = (short)(POLLIN | (in == &c->line ? push : 0))},
        {.fd = c->signals, .events = POLLIN},
        {.fd = ready && c->input_open && c->pending.len == 0 ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = c->errors, .events = POLLIN},
        {.fd = c->port.fd, .events = (short)(POLLIN | (in == &c->port ? push : 0))},
    };

    if (poll(fds, 5, -1) < 0)
        return errno == EINTR;
    if (fds[3].revents)
        take_errors(c);
    if (fds[1].revents)
        take_signal(c);
    if (fds[2].revents)
        take_input(c);
    push_pending(c);
    /* The line's end is the machine's end; the port may go first. */
    if (fds[4].revents && !channel_take(c, &c->port))
        c->port.fd = -1;
    return !fds[0].revents || channel_take(c, &c->line);
}

int console_carry(int line, int port, int errors, struct bytes *complaint)
{
    struct console c = {.line = {.fd = line, .stream = -1},
                        .port = {.fd = port, .stream = -1},
                        .errors = errors,
                        .complaint = complaint,
                        .status = -1,
                        .input_open = true};
    bool open = true;

    c.signals = catch_signals();
    terminal_raw();
    while (open && c.status < 0 && !given_up(&c) && !c.broken)
        open = console_turn(&c);
    port_drain(&c);
    terminal_restore();
    while (c.errors >= 0 && !open)
        take_errors(&c);
    if (c.status >= 0 || !given_up(&c))
        return c.status;
    /* The machine is ended as a process is that takes no notice. */
    say("the machine was ended by %s",
        c.escapes >= ESCAPE_COUNT ? "Ctrl-] three times" : "repeated signals");
    return 128 + (c.escapes >= ESCAPE_COUNT ? SIGKILL : c.last_request);
}
