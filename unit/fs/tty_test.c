/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs */
/* clang-format on */
/* tty_test.c - the line discipline, and the plain host streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "fake_fs.h"
#include "fs/console.h"
#include "fs/pipe.h"
#include "mm/kmalloc.h"

static struct file *tty;
static bool with_tty;

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(32u << 20);
    if (with_tty)
        fake_console_state = (struct hal_console_info){true, true, true, 24, 80};
    else
        fake_console_state = (struct hal_console_info){0};
    assert_int_equal(fake_fs_boot(NULL, 0), 0);
    assert_int_equal(fs_open_stdio(fake_fdtable), 0);
    tty = fd_get(fake_fdtable, 0);
    fake_console_reset();
    fake_tty_signal = 0;
    return 0;
}

static int set_up_tty(void **state)
{
    with_tty = true;
    return set_up(state);
}

static int set_up_streams(void **state)
{
    with_tty = false;
    return set_up(state);
}

static int tear_down(void **state)
{
    (void)state;
    file_put(tty);
    fake_fs_end();
    return 0;
}

static void type(const char *text)
{
    tty_input((const uint8_t *)text, strlen(text));
}

static void expect_read(const char *want)
{
    char buf[5000] = "";
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, buf, sizeof buf - 1);
    long n = file_read_iter(tty, &it, NULL);
    assert_int_equal(n, strlen(want));
    assert_string_equal(buf, want);
}

static void expect_echo(const char *want)
{
    size_t len = fake_console_len[HAL_STREAM_OUT];
    assert_int_equal(len, strlen(want));
    assert_memory_equal(fake_console[HAL_STREAM_OUT], want, len);
    fake_console_reset();
}

static void control(unsigned cmd, void *arg)
{
    assert_int_equal(tty->ops->ioctl(tty, cmd, (uintptr_t)arg), 0);
}

static void canonical_editing(void **state)
{
    (void)state;
    type("helo\x7flo\r");
    expect_echo("helo\b \blo\r\n");
    expect_read("hello\n");
    type("one two\x17three\n"); /* word erase */
    expect_read("one three\n");
    type("garbage\x15good\n"); /* kill */
    expect_read("good\n");
    fake_console_reset();
    type("\xc3\xa4\x7f\n"); /* one character of two bytes: one column */
    expect_echo("\xc3\xa4\b \b\r\n");
    expect_read("\n");
    type("a\tb\x7f\x7f\n");
    expect_read("a\n");
    type("half\x04"); /* end of file in a line gives the line */
    expect_read("half");
    type("\x04");
    expect_read("");
    fake_console_reset();
    type("x\x12y\n"); /* reprint */
    expect_echo("x^R\r\nxy\r\n");
    expect_read("xy\n");
    type("\x16\x03\n"); /* literal next */
    assert_int_equal(fake_tty_signal, 0);
    expect_read("\x03\n");
    type("1\n2\n");
    expect_read("1\n");
    expect_read("2\n");
    assert_int_equal(file_poll(tty, NULL), POLLOUT | POLLWRNORM);
}

static void signals(void **state)
{
    (void)state;
    type("lost\x03kept\n");
    assert_int_equal(fake_tty_signal, 2);
    expect_echo("lost^Ckept\r\n");
    expect_read("kept\n");
    type("\x1c");
    assert_int_equal(fake_tty_signal, 3);
    type("\x1a");
    assert_int_equal(fake_tty_signal, 20);
    tty_set_size(50, 132);
    assert_int_equal(fake_tty_signal, 28);
    struct winsize size;
    control(TIOCGWINSZ, &size);
    assert_int_equal(size.rows, 50);
    assert_int_equal(size.cols, 132);
}

static void raw_mode(void **state)
{
    (void)state;
    struct termios t;
    control(TCGETS, &t);
    assert_int_equal(t.cc[VINTR], 3);
    t.lflag &= ~(ICANON | ECHO | ISIG);
    t.iflag &= ~(ICRNL | IXON);
    t.oflag &= ~OPOST;
    control(TCSETS, &t);
    type("\x03\r");
    expect_echo("");
    expect_read("\x03\r");
    assert_int_equal(file_write(tty, "a\nb", 3), 3);
    expect_echo("a\nb");
    t.cc[VMIN] = 0;
    control(TCSETS, &t);
    expect_read(""); /* MIN 0, TIME 0: what is there */
    t.cc[VTIME] = 2;
    control(TCSETS, &t);
    uint64_t before = fake_now_ns;
    expect_read("");
    assert_int_equal(fake_now_ns - before, 200000000);
    t.cc[VMIN] = 5; /* MIN 5, TIME 2: the pause after the first byte ends it */
    control(TCSETS, &t);
    type("abc");
    expect_read("abc");
    t.cc[VTIME] = 0;
    control(TCSETS, &t);
    assert_int_equal(file_poll(tty, NULL) & POLLIN, 0);
    type("abc");
    assert_int_equal(file_poll(tty, NULL) & POLLIN, 0);
    type("de");
    assert_int_equal(file_poll(tty, NULL) & POLLIN, POLLIN);
    int count;
    control(FIONREAD, &count);
    assert_int_equal(count, 5);
    control(TCFLSH, NULL);
    control(FIONREAD, &count);
    assert_int_equal(count, 0);
}

static void full_ring(void **state)
{
    (void)state;
    static char line[6000];
    memset(line, 'x', sizeof line - 1);
    type(line);
    type("\n");
    char buf[5000];
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, buf, sizeof buf);
    assert_int_equal(file_read_iter(tty, &it, NULL), 4096);
    assert_int_equal(buf[4095], '\n');
    type("next\n");
    expect_read("next\n");
    tty_hangup();
    expect_read("");
}

static void stdio_of_a_tty(void **state)
{
    (void)state;
    char path[32];
    assert_true(file_path(tty, path, sizeof path) > 0);
    assert_string_equal(path, "/dev/console");
    struct file *err = fd_get(fake_fdtable, 2), *dev;
    assert_int_equal(file_write(err, "oops\n", 5), 5);
    assert_int_equal(fake_console_len[HAL_STREAM_ERR], 6);
    file_put(err);
    assert_int_equal(fs_open(fake_context, "/dev/tty", O_RDWR, 0, &dev), 0);
    assert_int_equal(file_write(dev, "hi", 2), 2);
    expect_echo("hi");
    file_put(dev);
    assert_int_equal(file_pread(tty, path, 1, 0), -ESPIPE);
}

static void plain_streams(void **state)
{
    (void)state;
    static char big[40000];
    struct kstat st;
    struct file *out = fd_get(fake_fdtable, 1);
    memset(big, 'b', sizeof big);
    assert_int_equal(tty->ops->ioctl(tty, TCGETS, 0), -ENOTTY);
    assert_int_equal(file_write(out, "a\nb\r\n", 5), 5); /* byte-exact */
    expect_echo("a\nb\r\n");
    assert_int_equal(file_write(out, big, sizeof big), sizeof big);
    assert_int_equal(fake_console_len[HAL_STREAM_OUT], sizeof big);
    assert_int_equal(file_write(tty, "x", 1), -EBADF);
    assert_int_equal(file_stat(out, &st), 0);
    assert_int_equal(st.mode & S_IFMT, S_IFIFO);
    file_put(out);
    assert_int_equal(file_poll(tty, NULL), 0);
    /* A reader that is slow, and one that has gone half way. */
    out = fd_get(fake_fdtable, 1);
    fake_console_takes = 0;
    assert_int_equal(file_poll(out, NULL), 0);
    /* What is one piece is taken whole, and its rest goes before all else. */
    fake_console_reset();
    fake_console_takes = 4;
    assert_true(console_settled());
    assert_int_equal(file_write(out, "abcdef", 6), 6);
    assert_false(console_settled());
    fake_console_takes = 1;
    assert_int_equal(file_poll(out, NULL), 0);
    out->flags |= O_NONBLOCK;
    assert_int_equal(file_write(out, "ghi", 3), -EAGAIN); /* f is not out yet: none of it */
    expect_echo("abcde");
    fake_console_takes = 0;
    assert_int_equal(file_write(out, big, sizeof big), -EAGAIN);
    fake_console_takes = 2;
    assert_int_equal(file_write(out, "ghi", 3), 3);
    expect_echo("fg");
    fake_console_takes = SIZE_MAX;
    assert_int_equal(file_write(out, "j", 1), 1);
    expect_echo("hij");
    assert_true(console_settled());
    assert_int_equal(file_poll(out, NULL), POLLOUT | POLLWRNORM);
    fake_console_takes = 100; /* more than PIPE_BUF may be cut */
    assert_int_equal(file_write(out, big, PIPE_BUF + 1), 100);
    fake_console_error = -EPIPE;
    assert_int_equal(file_write(out, "x", 1), -EPIPE);
    assert_int_equal(file_poll(out, NULL), POLLOUT | POLLWRNORM | POLLERR);
    file_put(out);
    fake_console_reset();
    fake_console_input("data\x03", 5, false);
    assert_int_equal(file_poll(tty, NULL), POLLIN | POLLRDNORM);
    expect_read("data\x03");
    fake_console_input("", 0, true);
    expect_read("");
    assert_int_equal(file_poll(tty, NULL), POLLHUP);
}

/* A terminal whose owner reads slowly: what it has not taken comes first, in order, and a signal
 * key is heard meanwhile. */
static void slow_terminal(void **state)
{
    (void)state;
    fake_console_takes = 3;
    assert_int_equal(file_write(tty, "hello\n", 6), 6); /* waits; the fake's sleep is interrupted */
    assert_int_equal(file_write(tty, "never", 5), -ERESTARTSYS);
    assert_int_equal(file_poll(tty, NULL), 0);
    type("\x03");
    assert_int_equal(fake_tty_signal, 2);
    int queued = 0;
    control(TIOCOUTQ, &queued);
    assert_int_equal(queued, 4 + 2);
    fake_console_takes = SIZE_MAX;
    tty_output();
    expect_echo("hello\r\n^C");
    assert_int_equal(file_poll(tty, NULL), POLLOUT | POLLWRNORM);
    tty->flags |= O_NONBLOCK;
    fake_console_takes = 2;
    assert_int_equal(file_write(tty, "abc", 3), 3);
    assert_int_equal(file_write(tty, "d", 1), -EAGAIN);
}

static long read_one(void)
{
    char c;
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, &c, 1);
    return file_read_iter(tty, &it, NULL);
}

/* Not a wait: MIN 0 and TIME 0 never do, so there is nothing to refuse. */
static void nothing_to_wait_for(void **state)
{
    (void)state;
    struct termios t;
    tty->flags |= O_NONBLOCK;
    assert_int_equal(read_one(), -EAGAIN);
    control(TCGETS, &t);
    t.lflag &= ~ICANON;
    t.cc[VMIN] = 0;
    control(TCSETS, &t);
    assert_int_equal(read_one(), 0);
    t.cc[VTIME] = 1;
    control(TCSETS, &t);
    assert_int_equal(read_one(), -EAGAIN);
}

/* Signals of keys must go to somebody. */
static void a_group_that_is_none(void **state)
{
    (void)state;
    int group = 77, now = 0;
    assert_int_equal(tty->ops->ioctl(tty, TIOCSPGRP, (uintptr_t)&group), -ESRCH);
    group = -1;
    assert_int_equal(tty->ops->ioctl(tty, TIOCSPGRP, (uintptr_t)&group), -EINVAL);
    control(TIOCGPGRP, &now);
    assert_int_equal(now, 1);
    control(TIOCSPGRP, &now);
}

int main(void)
{
#define TTY(name) cmocka_unit_test_setup_teardown(name, set_up_tty, tear_down)
    const struct CMUnitTest tests[] = {
        TTY(canonical_editing),
        TTY(signals),
        TTY(raw_mode),
        TTY(full_ring),
        TTY(stdio_of_a_tty),
        TTY(slow_terminal),
        TTY(nothing_to_wait_for),
        TTY(a_group_that_is_none),
        cmocka_unit_test_setup_teardown(plain_streams, set_up_streams, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
