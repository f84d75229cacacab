/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/common/console.c kernel/lib/conframe.c kernel/lib/string.c
   kernel/lib/strutil.c */
/* console_test.c - the console over a simulated UART: framing, a full ring, a line that is stuck.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../platform/common/console.h"
#include "hal_up.h"
#include "lib/errno.h"

void *fake_self;
bool fake_irqs_off;
uintptr_t fake_ram_base;

/* ---- the UART ---- */

static uint8_t sent[65536];
static size_t sent_len;
static unsigned largest_put, put_while_busy;
static bool stuck; /* the transmitter never has room */
static unsigned long ready_calls;
static uint8_t to_receive[16384];
static size_t receive_at, receive_len;
static bool rx_on, tx_on;
static unsigned console_calls;
static int shutdown_signo;
static uint64_t now_ns;
static void (*when_ready)(void);

bool console_line_ready(void)
{
    ready_calls++;
    if (when_ready)
        when_ready();
    return !stuck;
}

void console_line_put(const uint8_t *buf, size_t len)
{
    assert_true(len <= CONSOLE_LINE_FIFO);
    put_while_busy += stuck;
    largest_put = MAX(largest_put, (unsigned)len);
    assert_true(sent_len + len <= sizeof(sent));
    memcpy(sent + sent_len, buf, len);
    sent_len += len;
}

bool console_line_idle(void)
{
    return !stuck;
}

int console_line_get(void)
{
    return receive_at < receive_len ? to_receive[receive_at++] : -1;
}

void console_line_interrupts(bool rx, bool tx)
{
    rx_on = rx;
    tx_on = tx;
}

/* ---- the kernel ---- */

void kernel_console(void)
{
    console_calls++;
}

void kernel_shutdown_request(int signo)
{
    shutdown_signo = signo;
}

uint64_t hal_clock_ns(void)
{
    return now_ns += NS_PER_SEC / 1000;
}

static void arrive(const void *data, size_t len)
{
    receive_at = 0;
    receive_len = len;
    memcpy(to_receive, data, len);
    if (rx_on)
        console_interrupt();
}

static void expect_sent(const char *bytes, size_t len)
{
    assert_int_equal(sent_len, len);
    assert_memory_equal(sent, bytes, len);
    sent_len = 0;
}

/* ---- tests; the console is started once, framed ---- */

static void starts_with_the_ready_mark(void **state)
{
    (void)state;
    assert_int_equal(hal_console_write(HAL_STREAM_LOG, "lost", 4), 0); /* there is no line yet */
    assert_int_equal(sent_len, 0);
    console_start("conframe=1 stdio=ptp winsize=25x81", 'e');
    expect_sent("\x10\x30\x10I4094;", 9);
    console_start_interrupts();
    assert_true(rx_on && !tx_on);
    console_interrupt();
}

static void writes_every_byte_in_fifo_sized_pieces(void **state)
{
    char text[1000], want[1002] = "\x10\x31";

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    memcpy(want + 2, text, sizeof(text));
    assert_int_equal(hal_console_write(HAL_STREAM_OUT, text, sizeof(text)), 0);
    expect_sent(want, sizeof(want));
    assert_int_equal(largest_put, CONSOLE_LINE_FIFO);
    hal_console_write(HAL_STREAM_OUT, "\x10", 1);
    hal_console_write(HAL_STREAM_ERR, "e", 1);
    expect_sent("\x10\x10\x10\x32"
                "e",
                5);
}

static void reads_what_arrived(void **state)
{
    char buf[16];
    struct hal_console_info info;

    (void)state;
    assert_int_equal(hal_console_read(buf, sizeof(buf)), 1); /* what had come before the start */
    assert_int_equal(buf[0], 'e');
    arrive("ab\x10\x10\x10W30,90;", 12);
    assert_int_equal(console_calls, 1);
    assert_int_equal(hal_console_read(buf, 2), 2);
    assert_memory_equal(buf, "ab", 2);
    assert_int_equal(hal_console_read(buf, sizeof(buf)), 1);
    assert_int_equal(buf[0], 0x10);
    assert_int_equal(hal_console_read(buf, sizeof(buf)), 0);
    hal_console_info(&info);
    assert_true(info.rows == 30 && info.cols == 90 && info.out_tty && !info.in_tty);
    arrive("x\x10S15;y", 7);
    assert_int_equal(shutdown_signo, 15);
    assert_int_equal(hal_console_read(buf, sizeof(buf)), 2);
    assert_memory_equal(buf, "xy", 2);
}

/* Nothing is lost when more comes than the ring holds: the UART keeps it and the interrupt is off
 * until there is room. */
static void a_full_ring_stops_the_sender(void **state)
{
    uint8_t data[10000], got[sizeof(data)];
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(0x20 + i % 200);
    arrive(data, sizeof(data));
    assert_false(rx_on);
    assert_true(receive_at < sizeof(data));
    while (n < sizeof(data)) {
        long some = hal_console_read(got + n, 700);

        assert_true(some > 0);
        n += (size_t)some;
        if (rx_on)
            console_interrupt();
    }
    assert_memory_equal(got, data, sizeof(data));
    assert_true(rx_on);
    assert_true(sent_len > 0); /* and the sender heard of it */
    assert_int_equal(hal_console_read(got, 1), 0);
}

static void end_of_input_comes_last(void **state)
{
    char buf[4];

    (void)state;
    arrive("z\x10"
           "Eignored",
           10);
    assert_int_equal(hal_console_read(buf, sizeof(buf)), 1);
    assert_int_equal(hal_console_read(buf, sizeof(buf)), -EPIPE);
    assert_int_equal(hal_console_read(buf, 0), 0);
}

/* Nobody waits for a line that takes nothing: its interrupt tells when it does. */
static void a_stalled_line_is_not_waited_for(void **state)
{
    unsigned calls = console_calls;

    (void)state;
    sent_len = 0; /* the reads before have made room for input */
    stuck = true;
    assert_int_equal(hal_console_write(HAL_STREAM_OUT, "late", 4), 4);
    assert_true(tx_on && rx_on && !fake_irqs_off);
    assert_int_equal(hal_console_room(HAL_STREAM_OUT), 0);
    assert_int_equal(hal_console_write(HAL_STREAM_LOG, "log", 3), 3);
    console_interrupt();
    assert_int_equal(console_calls, calls);
    stuck = false;
    console_interrupt();
    assert_int_equal(console_calls, calls + 1);
    assert_false(tx_on);
    assert_int_equal(hal_console_room(HAL_STREAM_OUT), 1);
    assert_int_equal(sent_len, 0);
}

/* The other side stops one stream, not the others, and says when one can never be written to. */
static void the_other_side_stops_a_stream(void **state)
{
    unsigned calls = console_calls;

    (void)state;
    arrive("\x10"
           "F1,1;",
           6);
    assert_int_equal(console_calls, calls + 1);
    assert_int_equal(hal_console_write(HAL_STREAM_OUT, "out", 3), 3);
    assert_int_equal(hal_console_room(HAL_STREAM_OUT), 0);
    assert_int_equal(hal_console_write(HAL_STREAM_ERR, "e", 1), 0);
    expect_sent("e", 1);
    arrive("\x10"
           "F1,0;",
           6);
    assert_int_equal(console_calls, calls + 2);
    assert_int_equal(hal_console_room(HAL_STREAM_OUT), 1);
    arrive("\x10"
           "B2,32;",
           7);
    assert_int_equal(hal_console_write(HAL_STREAM_ERR, "e", 1), -EPIPE);
    assert_int_equal(hal_console_room(HAL_STREAM_ERR), -EPIPE);
    arrive("\x10"
           "B2,0;",
           6);
    assert_int_equal(hal_console_room(HAL_STREAM_ERR), 1);
}

/* A panic's message gets out of a line that is stuck or whose owner was stopped, and a long one
 * does not wait the full time for every piece. */
static void last_words_do_not_wait_for_ever(void **state)
{
    char text[400];
    unsigned long first;

    (void)state;
    memset(text, 'm', sizeof(text));
    stuck = true;
    ready_calls = 0;
    hal_console_panic(text, 8);
    first = ready_calls;
    hal_console_panic(text, sizeof(text));
    assert_true(put_while_busy >= 2);
    assert_true(ready_calls - first < first);
    assert_false(fake_irqs_off);
    stuck = false;
    sent_len = 0;
}

static void late_output(void)
{
    when_ready = NULL;
    stuck = false;
}

static void the_exit_status_is_the_last(void **state)
{
    (void)state;
    stuck = true;
    when_ready = late_output; /* room only after the first look */
    assert_true(console_finish(137));
    expect_sent("\x10X137;", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_with_the_ready_mark),
        cmocka_unit_test(writes_every_byte_in_fifo_sized_pieces),
        cmocka_unit_test(reads_what_arrived),
        cmocka_unit_test(a_full_ring_stops_the_sender),
        cmocka_unit_test(a_stalled_line_is_not_waited_for),
        cmocka_unit_test(the_other_side_stops_a_stream),
        cmocka_unit_test(end_of_input_comes_last),
        cmocka_unit_test(last_words_do_not_wait_for_ever),
        cmocka_unit_test(the_exit_status_is_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
