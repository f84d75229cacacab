/* SPDX-License-Identifier: BSD-3-Clause */
/* tty_state.h - what tty.c, tty_line.c and tty_ioctl.c share. No other file includes it. */
#ifndef SELKIE_FS_TTY_STATE_H
#define SELKIE_FS_TTY_STATE_H

#include "fs/console.h"

#define IN_SIZE 4096u /* as Linux's N_TTY_BUF_SIZE */
#define LATE_SIZE 1024u

/* Signals that the keyboard makes (Linux numbers). */
enum { TTY_SIGINT = 2, TTY_SIGQUIT = 3, TTY_SIGTSTP = 20, TTY_SIGWINCH = 28 };

struct tty_state {
    struct mutex lock;
    struct waitq wait;
    struct termios termios;
    struct winsize size;
    int pgrp, session;
    uint8_t in[IN_SIZE], marks[IN_SIZE];
    uint32_t head, line, tail; /* counters; index mod IN_SIZE */
    unsigned column;           /* of the cursor */
    unsigned line_column;      /* where the edited line began */
    bool literal;              /* the next character is taken as it is (VLNEXT) */
    bool hung_up;
    bool readable, stopped; /* atomic copies */
    enum hal_stream late_stream;
    size_t late_len;
    uint8_t late[LATE_SIZE];
};
extern struct tty_state tty;

enum mark { MARK_NONE, MARK_LINE, MARK_EOF };

struct tty_out {
    enum hal_stream stream;
    size_t len;
    int err;
    uint8_t data[256];
};

#define NO_CHAR 0u /* _POSIX_VDISABLE */
static inline bool tty_is_char(unsigned which, uint8_t c)
{
    return tty.termios.cc[which] != NO_CHAR && tty.termios.cc[which] == c;
}

static inline uint8_t *tty_in_at(uint32_t counter)
{
    return &tty.in[counter % IN_SIZE];
}

/* Lock held. */
void tty_out_byte(struct tty_out *out, uint8_t c);
void tty_out_processed(struct tty_out *out, uint8_t c); /* as OPOST says */
void tty_out_flush(struct tty_out *out);
bool tty_lflag(uint32_t bit);
uint32_t tty_in_ready(void); /* what one read could return now */
void tty_flush_input(void);
void tty_update_readable(void);
void tty_set_stopped(bool stopped);

/* Lock not held. Until output is accepted, which means that all before it has been taken. */
int must_check tty_wait_output(bool nonblock);
long tty_ioctl(struct file *file, unsigned cmd, uintptr_t arg);

#endif
