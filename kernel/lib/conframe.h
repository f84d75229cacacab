/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conframe.h - several streams over one line, for the consoles of machines: the UARTs
 * (platform/common/console.c) and the virtio console (drv/virtio_console.c).
 *
 * With `conframe=1` on the boot command line the launcher and the kernel speak this protocol; DLE
 * is the byte 0x10. A reader that knows nothing of it sees the text with few odd bytes.
 *
 * Kernel to host:  DLE '0' | '1' | '2'   the bytes that follow are LOG, OUT, ERR
 *                  DLE '3'               ... are of a core file's beginning (common/core.h)
 *                  DLE DLE               one literal 0x10
 *                  DLE 'X' decimal ';'   the exit status; the machine goes off
 *                  DLE 'I' decimal ';'   room for so many bytes of input more
 * Host to kernel:  plain bytes           standard input
 *                  DLE DLE               one literal 0x10
 *                  DLE 'E'               end of input (everything after it but controls is dropped)
 *                  DLE 'W' rows ',' cols ';'   window size
 *                  DLE 'S' signo ';'     orderly shutdown request
 *                  DLE 'F' stream ',' 1 ';'    nobody reads this stream: send no more of it
 *                  DLE 'F' stream ',' 0 ';'    go on
 *                  DLE 'B' stream ',' errno ';'    writing to this stream fails, for good
 * Plain bytes are sent as far as there is room for them, so that nothing else waits behind them.
 * Malformed sequences are dropped up to the byte that makes them so.
 *
 * Pure code: no device, no lock. The encoder's state is one stream number that the caller keeps
 * together with the line; the decoder is a byte-at-a-time automaton.
 *
 * The boot command line also says what the streams are on the other side (conframe_options):
 *   conframe=1     framing on; otherwise everything goes to the line as it is
 *   stdio=ttt      in, out, err: 't' terminal, 'p' anything else (default: ttt without framing,
 *                  ppp with it)
 *   winsize=RxC    rows and columns at the start
 */
#ifndef SELKIE_CONFRAME_H
#define SELKIE_CONFRAME_H

#include "hal.h"
#include "lib/types.h"

#define CONFRAME_DLE 0x10
#define CONFRAME_CORE HAL_STREAM_COUNT /* a stream of its own */

/* ---- outbound ---- */

struct conframe_out {
    int stream; /* enum hal_stream selected on the line; -1 initially: none */
};
/* Encode bytes of `src` for `stream` into dst until src ends or dst (>= 4 bytes) is full.
 * *used = bytes of src consumed; returns bytes put into dst. */
size_t conframe_encode(struct conframe_out *out, enum hal_stream stream, const void *src,
                       size_t len, size_t *used, uint8_t *dst, size_t size);
/* The exit announcement; dst holds CONFRAME_EXIT_MAX bytes. Returns its length. */
#define CONFRAME_EXIT_MAX 8
size_t conframe_encode_exit(int status, uint8_t *dst);
/* Room for input; dst holds CONFRAME_CREDIT_MAX bytes. */
#define CONFRAME_CREDIT_MAX 13
size_t conframe_encode_credit(uint32_t bytes, uint8_t *dst);

/* ---- inbound ---- */

enum conframe_event {
    CONFRAME_NOTHING, /* the byte was consumed */
    CONFRAME_BYTE,    /* one byte of input: in->byte */
    CONFRAME_EOF,     /* end of input */
    CONFRAME_WINDOW,  /* in->rows, in->cols */
    CONFRAME_SIGNAL,  /* in->signo */
    CONFRAME_OUTPUT,  /* conframe_room has changed */
};
struct conframe_in {
    uint8_t state; /* 0 initially */
    bool eof;
    uint8_t byte;
    uint8_t kind;
    uint32_t number[2];
    uint16_t rows, cols;
    int signo;
    uint8_t stopped[HAL_STREAM_COUNT]; /* these two are atomic: read without the decoder's lock */
    uint16_t broken[HAL_STREAM_COUNT];
};
enum conframe_event conframe_decode(struct conframe_in *in, uint8_t byte);
/* Does the other side take output for the stream? 1, 0, or a negative errno for good. Relaxed:
 * whoever acts on a change has been told of it by kernel_console. */
int conframe_room(const struct conframe_in *in, enum hal_stream stream);
/* How many bytes at the beginning of src are plain input: the decoder would give each of them back
 * and stay as it is, so it need not see them. */
size_t conframe_plain(const struct conframe_in *in, const uint8_t *src, size_t len);

/* ---- options ---- */

struct conframe_options {
    bool framed;
    struct hal_console_info info;
};
/* Parse the machine's part of the command line (words up to "--"). Unknown words are ignored. */
void conframe_options(const char *cmdline, struct conframe_options *out);

/* Find word "key=value" in a command line, looking no further than the word "--". Returns the value
 * and its length (up to the next blank), or NULL. For the backends' own options. */
const char *cmdline_find(const char *cmdline, const char *key, size_t *len);

/* What a framed kernel sends when its line can receive: it selects the log stream, without a byte
 * for it. The other side sends nothing before. */
#define CONFRAME_READY "\0200"
#define CONFRAME_READY_LEN 2

#endif
