/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tty_line.c - the line discipline of the terminal: from keys to what can be read.
 *
 * Input bytes come from the console thread (tty_input). They are translated, may become signals,
 * are echoed, and go into a ring of IN_SIZE bytes. In canonical mode the ring ends in a line that
 * is still being edited ([line, head)); only what stands before `line` can be read. A mark beside
 * each byte says whether it ends a line, or is an end-of-file character, which a read consumes
 * without returning it.
 *
 * All under tty.lock.
 */
#include "fs/tty_state.h"

#include "core/assert.h"
#include "fs/context.h"
#include "fs/pollwait.h"

/* ---- echo ---- */

static bool shown_as_caret(uint8_t c)
{
    return (c < ' ' || c == 127) && c != '\t' && tty_lflag(ECHOCTL);
}

static void echo_char(struct tty_out *out, uint8_t c)
{
    if (shown_as_caret(c) && c != '\n') {
        tty_out_processed(out, '^');
        tty_out_processed(out, c ^ 0x40);
    } else {
        tty_out_processed(out, c);
    }
}

static unsigned shown_width(uint8_t c, unsigned column)
{
    if (c == '\t')
        return 8 - column % 8;
    if (shown_as_caret(c))
        return 2;
    return c >= ' ' && c != 127 && (c & 0xc0) != 0x80 ? 1 : 0;
}

/* Columns of the edited line up to `end`, counted from where it began. */
static unsigned line_width(uint32_t end)
{
    unsigned column = tty.line_column;
    for (uint32_t at = tty.line; at != end; at++)
        column += shown_width(*tty_in_at(at), column);
    return column - tty.line_column;
}

/* Take the last character off the edited line, and off the screen. False if there is none. */
static bool erase_char(struct tty_out *out)
{
    if (tty.head == tty.line)
        return false;
    unsigned before = line_width(tty.head);
    do
        tty.head--;
    while ((tty.termios.iflag & IUTF8) && (*tty_in_at(tty.head) & 0xc0) == 0x80 &&
           tty.head != tty.line);
    unsigned after = line_width(tty.head);
    if (!tty_lflag(ECHO))
        return true;
    if (!tty_lflag(ECHOE)) {
        echo_char(out, tty.termios.cc[VERASE]);
        return true;
    }
    bool tab = *tty_in_at(tty.head) == '\t';
    for (unsigned i = after; i < before; i++) {
        tty_out_processed(out, '\b');
        if (!tab) { /* a tab's columns are blank already */
            tty_out_processed(out, ' ');
            tty_out_processed(out, '\b');
        }
    }
    return true;
}

static void erase_word(struct tty_out *out)
{
    bool in_word = false;
    while (tty.head != tty.line) {
        uint8_t c = *tty_in_at(tty.head - 1);
        bool blank = c == ' ' || c == '\t';
        if (blank && in_word)
            break;
        in_word = in_word || !blank;
        erase_char(out);
    }
}

static void erase_line(struct tty_out *out)
{
    if (tty_lflag(ECHO) && tty_lflag(ECHOKE) && tty_lflag(ECHOE)) {
        while (erase_char(out))
            ;
        return;
    }
    tty.head = tty.line;
    if (tty_lflag(ECHO))
        echo_char(out, tty.termios.cc[VKILL]);
    if (tty_lflag(ECHO) && tty_lflag(ECHOK))
        tty_out_processed(out, '\n');
}

static void reprint_line(struct tty_out *out)
{
    if (!tty_lflag(ECHO))
        return;
    echo_char(out, tty.termios.cc[VREPRINT]);
    tty_out_processed(out, '\n');
    tty.line_column = tty.column;
    for (uint32_t at = tty.line; at != tty.head; at++)
        echo_char(out, *tty_in_at(at));
}

/* ---- input; lock held ---- */

static uint32_t tty_in_used(void)
{
    return tty.head - tty.tail;
}

/* What one read could return now. */
uint32_t tty_in_ready(void)
{
    return (tty_lflag(ICANON) ? tty.line : tty.head) - tty.tail;
}

void tty_update_readable(void)
{
    uint32_t need = 1;
    if (!tty_lflag(ICANON) && tty.termios.cc[VTIME] == 0 && tty.termios.cc[VMIN] > 1)
        need = tty.termios.cc[VMIN];
    bool readable = tty_in_ready() >= need || tty.hung_up;
    /* Release: the sleeper that sees it takes the mutex anyway; seq_cst is not needed because the
     * queue's lock orders it with the sleeper's state. */
    __atomic_store_n(&tty.readable, readable, __ATOMIC_RELEASE);
    if (readable || (!tty_lflag(ICANON) && tty_in_ready() > 0))
        waitq_wake_all(&tty.wait, POLLIN | POLLRDNORM);
}

static void put_char(uint8_t c, enum mark mark)
{
    /* One place is kept for the end of the line, so that a full ring can still be read. */
    if (tty_in_used() >= IN_SIZE - (mark == MARK_NONE ? 1 : 0))
        return;
    tty.marks[tty.head % IN_SIZE] = (uint8_t)mark;
    *tty_in_at(tty.head++) = c;
}

void tty_flush_input(void)
{
    tty.tail = tty.line = tty.head;
    tty_update_readable();
}

void tty_set_stopped(bool stopped)
{
    __atomic_store_n(&tty.stopped, stopped, __ATOMIC_RELEASE);
    if (!stopped)
        waitq_wake_all(&tty.wait, POLLOUT | POLLWRNORM);
}

static bool input_signal(struct tty_out *out, uint8_t c)
{
    int signo = tty_is_char(VINTR, c)   ? TTY_SIGINT
                : tty_is_char(VQUIT, c) ? TTY_SIGQUIT
                : tty_is_char(VSUSP, c) ? TTY_SIGTSTP
                                        : 0;
    if (!signo || !tty_lflag(ISIG))
        return false;
    if (!tty_lflag(NOFLSH))
        tty_flush_input();
    tty_set_stopped(false);
    if (tty_lflag(ECHO))
        echo_char(out, c);
    proc_tty_signal(tty.pgrp, signo);
    return true;
}

static bool input_flow(uint8_t c)
{
    if (!(tty.termios.iflag & IXON))
        return false;
    if (tty_is_char(VSTART, c) || tty_is_char(VSTOP, c)) {
        tty_set_stopped(tty_is_char(VSTOP, c) && !tty_is_char(VSTART, c));
        return true;
    }
    if (tty.stopped && (tty.termios.iflag & IXANY))
        tty_set_stopped(false);
    return false;
}

/* Editing keys of canonical mode. */
static bool input_edit(struct tty_out *out, uint8_t c)
{
    if (tty_is_char(VERASE, c)) {
        erase_char(out);
        return true;
    }
    if (tty_is_char(VKILL, c)) {
        erase_line(out);
        return true;
    }
    if (!tty_lflag(IEXTEN))
        return false;
    if (tty_is_char(VWERASE, c)) {
        erase_word(out);
        return true;
    }
    if (tty_is_char(VREPRINT, c)) {
        reprint_line(out);
        return true;
    }
    return false;
}

static void end_line(uint8_t c, enum mark mark)
{
    put_char(c, mark);
    tty.line = tty.head;
}

static void echo_input(struct tty_out *out, uint8_t c)
{
    if (tty_lflag(ECHO) || (c == '\n' && tty_lflag(ECHONL) && tty_lflag(ICANON)))
        echo_char(out, c);
}

static void input_canonical(struct tty_out *out, uint8_t c)
{
    if (tty_is_char(VEOF, c)) {
        end_line(c, MARK_EOF);
        return;
    }
    if (c == '\n' || tty_is_char(VEOL, c) || (tty_lflag(IEXTEN) && tty_is_char(VEOL2, c))) {
        echo_input(out, c);
        end_line(c, MARK_LINE);
        return;
    }
    if (tty.head == tty.line)
        tty.line_column = tty.column;
    if (tty_in_used() < IN_SIZE - 1)
        echo_input(out, c);
    put_char(c, MARK_NONE);
}

static void input_byte(struct tty_out *out, uint8_t c)
{
    uint32_t iflag = tty.termios.iflag;
    if (tty.literal) {
        tty.literal = false;
        if (tty_lflag(ECHO))
            echo_char(out, c);
        put_char(c, MARK_NONE);
        return;
    }
    if (iflag & ISTRIP)
        c &= 0x7f;
    if (input_signal(out, c) || input_flow(c))
        return;
    if (c == '\r') {
        if (iflag & IGNCR)
            return;
        c = (iflag & ICRNL) ? '\n' : c;
    } else if (c == '\n' && (iflag & INLCR)) {
        c = '\r';
    }
    if (tty_lflag(ICANON) && tty_lflag(IEXTEN) && tty_is_char(VLNEXT, c)) {
        tty.literal = true;
        if (tty.head == tty.line)
            tty.line_column = tty.column;
        return;
    }
    if (tty_lflag(ICANON)) {
        if (!input_edit(out, c))
            input_canonical(out, c);
    } else {
        echo_input(out, c);
        put_char(c, MARK_NONE);
    }
}

void tty_input(const uint8_t *data, size_t len)
{
    struct tty_out out = {.stream = tty_default_stream()};
    mutex_lock(&tty.lock);
    for (size_t i = 0; i < len; i++)
        input_byte(&out, data[i]);
    tty_out_flush(&out);
    tty_update_readable();
    mutex_unlock(&tty.lock);
}

void tty_hangup(void)
{
    mutex_lock(&tty.lock);
    tty.hung_up = true;
    tty.line = tty.head; /* an unfinished line can be read, then end of file */
    tty_update_readable();
    mutex_unlock(&tty.lock);
}
