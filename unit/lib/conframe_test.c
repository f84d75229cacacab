/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/lib/conframe.c kernel/lib/string.c kernel/lib/strutil.c */
/* conframe_test.c - framing of several streams over one line, and the machine's boot options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/conframe.h"

void *fake_self;
bool fake_irqs_off;
uintptr_t fake_ram_base;

/* What the launcher does with the bytes: split by stream, catch the status. */
struct host {
    char text[3][4096];
    size_t len[3];
    int stream, status;
};

static void host_take(struct host *host, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t b = bytes[i];

        if (b == CONFRAME_DLE) {
            b = bytes[++i];
            assert_true(i < n);
            if (b >= '0' && b <= '2') {
                host->stream = b - '0';
                continue;
            }
            if (b == 'X') {
                host->status = atoi((const char *)bytes + i + 1);
                return;
            }
            assert_int_equal(b, CONFRAME_DLE);
        }
        assert_true(host->stream >= 0);
        host->text[host->stream][host->len[host->stream]++] = (char)b;
    }
}

static void put(struct conframe_out *out, struct host *host, enum hal_stream stream,
                const void *text, size_t len, size_t room)
{
    const uint8_t *from = text;
    uint8_t dst[64];

    while (len > 0) {
        size_t used, n = conframe_encode(out, stream, from, len, &used, dst, room);

        assert_true(n <= room && n > 0);
        host_take(host, dst, n);
        from += used;
        len -= used;
    }
}

static void streams_stay_apart_and_exact(void **state)
{
    const char binary[] = "\x10\x10out\x10\0\xff\x10";

    (void)state;
    for (size_t room = 4; room < 20; room++) {
        struct conframe_out out = {.stream = -1};
        struct host host = {.stream = -1};

        put(&out, &host, HAL_STREAM_OUT, binary, sizeof(binary), room);
        put(&out, &host, HAL_STREAM_ERR, "error", 5, room);
        put(&out, &host, HAL_STREAM_OUT, binary, sizeof(binary), room);
        put(&out, &host, HAL_STREAM_LOG, "log", 3, room);
        assert_int_equal(host.len[1], 2 * sizeof(binary));
        assert_memory_equal(host.text[1], binary, sizeof(binary));
        assert_memory_equal(host.text[1] + sizeof(binary), binary, sizeof(binary));
        assert_int_equal(host.len[2], 5);
        assert_memory_equal(host.text[0], "log", 3);
    }
}

static void a_selected_stream_is_not_selected_again(void **state)
{
    struct conframe_out out = {.stream = -1};
    uint8_t dst[16];
    size_t used;

    (void)state;
    assert_int_equal(conframe_encode(&out, HAL_STREAM_OUT, "ab", 2, &used, dst, 16), 4);
    assert_int_equal(conframe_encode(&out, HAL_STREAM_OUT, "ab", 2, &used, dst, 16), 2);
    assert_int_equal(conframe_encode(&out, HAL_STREAM_OUT, "", 0, &used, dst, 16), 0);
}

static void exit_statuses(void **state)
{
    const int statuses[] = {0, 9, 10, 99, 100, 125, 255};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(statuses); i++) {
        uint8_t dst[CONFRAME_EXIT_MAX + 1] = {0};
        struct host host = {.stream = 0, .status = -1};
        size_t n = conframe_encode_exit(statuses[i], dst);

        assert_true(n <= CONFRAME_EXIT_MAX && dst[n - 1] == ';');
        host_take(&host, dst, n);
        assert_int_equal(host.status, statuses[i]);
    }
}

/* Decode a string; events of other kinds than bytes are noted as letters in `events`. */
static void decode(struct conframe_in *in, const char *bytes, size_t n, char *text, char *events)
{
    for (size_t i = 0; i < n; i++) {
        switch (conframe_decode(in, (uint8_t)bytes[i])) {
        case CONFRAME_BYTE:
            *text++ = (char)in->byte;
            break;
        case CONFRAME_EOF:
            *events++ = 'E';
            break;
        case CONFRAME_WINDOW:
            *events++ = 'W';
            break;
        case CONFRAME_SIGNAL:
            *events++ = 'S';
            break;
        default:
            break;
        }
    }
    *text = *events = 0;
}

static void input_and_controls(void **state)
{
    const char bytes[] = "hi\x10\x10\x10W24,80;there\x10S15;!\x10"
                         "Edropped\x10W1,2;";
    struct conframe_in in = {0};
    char text[64], events[16];

    (void)state;
    decode(&in, bytes, sizeof(bytes) - 1, text, events);
    assert_string_equal(text, "hi\x10there!");
    assert_string_equal(events, "WSEW");
    assert_int_equal(in.signo, 15);
    assert_int_equal(in.rows, 1);
    assert_int_equal(in.cols, 2);
    assert_true(in.eof);
}

static void flow_of_streams(void **state)
{
    const char bytes[] = "a\x10"
                         "F1,1;b\x10"
                         "F3,1;\x10"
                         "B2,28;\x10"
                         "F1;\x10"
                         "B0,5000;c";
    struct conframe_in in = {0};
    char text[sizeof(bytes)], events[8];

    (void)state;
    decode(&in, bytes, sizeof(bytes) - 1, text, events);
    assert_string_equal(text, "abc");
    assert_int_equal(conframe_room(&in, HAL_STREAM_LOG), 1);
    assert_int_equal(conframe_room(&in, HAL_STREAM_OUT), 0);
    assert_int_equal(conframe_room(&in, HAL_STREAM_ERR), -28);
    decode(&in,
           "\x10"
           "F1,0;",
           6, text, events);
    assert_int_equal(conframe_room(&in, HAL_STREAM_OUT), 1);
}

static void credit_is_a_number(void **state)
{
    uint8_t dst[CONFRAME_CREDIT_MAX];

    (void)state;
    assert_int_equal(conframe_encode_credit(16383, dst), 8);
    assert_memory_equal(dst, "\x10I16383;", 8);
    assert_int_equal(conframe_encode_credit(UINT32_MAX, dst), CONFRAME_CREDIT_MAX);
}

static void malformed_controls_are_dropped(void **state)
{
    const char *const bad[] = {
        "\x10Zx",   "\x10W24;x",  "\x10W,,;x", "\x10S;x",          "\x10S65;x",
        "\x10Sq;x", "\x10W1,2,x", "\x10S1,x",  "\x10W24\x10\x10x", "\x10S99999999999999999999;x"};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct conframe_in in = {0};
        char text[64], events[16];

        decode(&in, bad[i], strlen(bad[i]), text, events);
        assert_string_equal(events, "");
        assert_true(strchr(text, 'x') != NULL);
        /* The decoder is usable afterwards. */
        decode(&in, "\x10S2;ok", 6, text, events);
        assert_string_equal(text, "ok");
        assert_string_equal(events, "S");
    }
}

static void options_of_the_machine(void **state)
{
    struct conframe_options o;

    (void)state;
    conframe_options("", &o);
    assert_false(o.framed);
    assert_true(o.info.in_tty && o.info.out_tty && o.info.err_tty);
    conframe_options("loglevel=1 conframe=1 -- prog", &o);
    assert_true(o.framed);
    assert_false(o.info.in_tty || o.info.out_tty || o.info.err_tty);
    conframe_options("conframe=1 stdio=tpt winsize=24x80 -- a", &o);
    assert_true(o.info.in_tty && !o.info.out_tty && o.info.err_tty);
    assert_int_equal(o.info.rows, 24);
    assert_int_equal(o.info.cols, 80);
    /* Only whole words, before the program, outside quotes. */
    conframe_options("xconframe=1 conframe=11 -- conframe=1", &o);
    assert_false(o.framed);
    conframe_options("\"env=A= conframe=1 \" x", &o);
    assert_false(o.framed);
    conframe_options("winsize=0x80 stdio=tt", &o);
    assert_int_equal(o.info.cols, 0);
    conframe_options("winsize=24x80x", &o);
    assert_int_equal(o.info.cols, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_stay_apart_and_exact),
        cmocka_unit_test(a_selected_stream_is_not_selected_again),
        cmocka_unit_test(exit_statuses),
        cmocka_unit_test(input_and_controls),
        cmocka_unit_test(flow_of_streams),
        cmocka_unit_test(credit_is_a_number),
        cmocka_unit_test(malformed_controls_are_dropped),
        cmocka_unit_test(options_of_the_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
