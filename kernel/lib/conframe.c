/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conframe.c - encoder, decoder and options of the framed console. The protocol: conframe.h.
 *
 * The decoder keeps numbers saturated at 16 bits, so that no length of digits overflows anything.
 */
#include "lib/conframe.h"

#include "lib/string.h"

#define ERRNO_MAX 4095u

size_t conframe_encode(struct conframe_out *out, enum hal_stream stream, const void *src,
                       size_t len, size_t *used, uint8_t *dst, size_t size)
{
    const uint8_t *from = src;
    size_t taken = 0, put = 0;

    if (len > 0 && out->stream != (int)stream) {
        dst[put++] = CONFRAME_DLE;
        dst[put++] = (uint8_t)('0' + (int)stream);
        out->stream = (int)stream;
    }
    while (taken < len && put < size) {
        if (from[taken] == CONFRAME_DLE) {
            if (size - put < 2)
                break;
            dst[put++] = CONFRAME_DLE;
        }
        dst[put++] = from[taken++];
    }
    *used = taken;
    return put;
}

static size_t encode_number(uint8_t kind, uint32_t value, uint8_t *dst)
{
    uint32_t unit = 1;
    size_t put = 0;

    while (value / unit >= 10)
        unit *= 10;
    dst[put++] = CONFRAME_DLE;
    dst[put++] = kind;
    for (; unit > 0; unit /= 10)
        dst[put++] = (uint8_t)('0' + value / unit % 10);
    dst[put++] = ';';
    return put;
}

size_t conframe_encode_exit(int status, uint8_t *dst)
{
    return encode_number('X', (uint32_t)status & 0xff, dst);
}

size_t conframe_encode_credit(uint32_t bytes, uint8_t *dst)
{
    return encode_number('I', bytes, dst);
}

enum { IN_PLAIN, IN_DLE, IN_FIRST, IN_SECOND };

static enum conframe_event decode_plain(struct conframe_in *in, uint8_t byte)
{
    in->state = IN_PLAIN;
    if (in->eof)
        return CONFRAME_NOTHING;
    in->byte = byte;
    return CONFRAME_BYTE;
}

static enum conframe_event decode_escape(struct conframe_in *in, uint8_t byte)
{
    switch (byte) {
    case CONFRAME_DLE:
        return decode_plain(in, byte);
    case 'E':
        in->state = IN_PLAIN;
        if (in->eof)
            return CONFRAME_NOTHING;
        in->eof = true;
        return CONFRAME_EOF;
    case 'W':
    case 'S':
    case 'F':
    case 'B':
        in->kind = byte;
        in->number[0] = in->number[1] = 0;
        in->state = IN_FIRST;
        return CONFRAME_NOTHING;
    default:
        in->state = IN_PLAIN;
        return CONFRAME_NOTHING;
    }
}

int conframe_room(const struct conframe_in *in, enum hal_stream stream)
{
    int broken = __atomic_load_n(&in->broken[stream], __ATOMIC_RELAXED);

    if (broken)
        return -broken;
    return !__atomic_load_n(&in->stopped[stream], __ATOMIC_RELAXED);
}

/* The message is complete, and has as many numbers as it should. */
static enum conframe_event decode_end(struct conframe_in *in)
{
    uint32_t first = in->number[0], second = in->number[1];

    switch (in->kind) {
    case 'W':
        in->rows = (uint16_t)first;
        in->cols = (uint16_t)second;
        return CONFRAME_WINDOW;
    case 'S':
        if (first == 0 || first > 64)
            return CONFRAME_NOTHING;
        in->signo = (int)first;
        return CONFRAME_SIGNAL;
    case 'F':
        if (first >= HAL_STREAM_COUNT)
            return CONFRAME_NOTHING;
        __atomic_store_n(&in->stopped[first], second != 0, __ATOMIC_RELAXED);
        return CONFRAME_OUTPUT;
    default:
        if (first >= HAL_STREAM_COUNT || second > ERRNO_MAX)
            return CONFRAME_NOTHING;
        __atomic_store_n(&in->broken[first], (uint16_t)second, __ATOMIC_RELAXED);
        return CONFRAME_OUTPUT;
    }
}

static enum conframe_event decode_number(struct conframe_in *in, uint8_t byte)
{
    uint32_t *number = &in->number[in->state - IN_FIRST];

    if (byte >= '0' && byte <= '9') {
        *number = MIN(*number * 10 + (byte - '0'), 0xffffu);
        return CONFRAME_NOTHING;
    }
    bool last = in->state == (in->kind == 'S' ? IN_FIRST : IN_SECOND);
    if (byte == ',' && !last) {
        in->state = IN_SECOND;
        return CONFRAME_NOTHING;
    }
    /* A new escape may begin where a broken one stops. */
    if (byte == CONFRAME_DLE) {
        in->state = IN_DLE;
        return CONFRAME_NOTHING;
    }
    in->state = IN_PLAIN;
    return byte == ';' && last ? decode_end(in) : CONFRAME_NOTHING;
}

size_t conframe_plain(const struct conframe_in *in, const uint8_t *src, size_t len)
{
    const uint8_t *dle;

    if (in->state != IN_PLAIN || in->eof)
        return 0;
    dle = memchr(src, CONFRAME_DLE, len);
    return dle ? (size_t)(dle - src) : len;
}

enum conframe_event conframe_decode(struct conframe_in *in, uint8_t byte)
{
    switch (in->state) {
    case IN_PLAIN:
        if (byte != CONFRAME_DLE)
            return decode_plain(in, byte);
        in->state = IN_DLE;
        return CONFRAME_NOTHING;
    case IN_DLE:
        return decode_escape(in, byte);
    default:
        return decode_number(in, byte);
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

const char *cmdline_find(const char *cmdline, const char *key, size_t *len)
{
    size_t key_len = strlen(key);
    const char *at = cmdline;

    while (*at) {
        const char *word;
        size_t n;

        while (is_blank(*at))
            at++;
        word = at;
        for (bool quoted = false; *at && (quoted || !is_blank(*at)); at++)
            quoted ^= *at == '"';
        n = (size_t)(at - word);
        if (n == 2 && word[0] == '-' && word[1] == '-')
            break;
        if (n > key_len && word[key_len] == '=' && memcmp(word, key, key_len) == 0) {
            *len = n - key_len - 1;
            return word + key_len + 1;
        }
    }
    return NULL;
}

/* "RxC" with both in 1..65535; anything else is ignored. */
static void parse_winsize(const char *s, size_t len, struct hal_console_info *info)
{
    uint32_t number[2] = {0, 0};
    unsigned which = 0;

    for (size_t i = 0; i < len; i++) {
        if (s[i] >= '0' && s[i] <= '9')
            number[which] = MIN(number[which] * 10 + (uint32_t)(s[i] - '0'), 0xffffu);
        else if (s[i] == 'x' && which == 0)
            which = 1;
        else
            return;
    }
    if (number[0] == 0 || number[1] == 0)
        return;
    info->rows = (uint16_t)number[0];
    info->cols = (uint16_t)number[1];
}

void conframe_options(const char *cmdline, struct conframe_options *out)
{
    size_t len;
    const char *value = cmdline_find(cmdline, "conframe", &len);
    bool tty;

    out->framed = value && len == 1 && *value == '1';
    tty = !out->framed;
    out->info = (struct hal_console_info){.in_tty = tty, .out_tty = tty, .err_tty = tty};
    value = cmdline_find(cmdline, "stdio", &len);
    if (value && len == 3) {
        out->info.in_tty = value[0] == 't';
        out->info.out_tty = value[1] == 't';
        out->info.err_tty = value[2] == 't';
    }
    value = cmdline_find(cmdline, "winsize", &len);
    if (value)
        parse_winsize(value, len, &out->info);
}
