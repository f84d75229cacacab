/* SPDX-License-Identifier: BSD-3-Clause */
/* console.h - the console's byte streams as files: tty or plain host streams. */
#ifndef SELKIE_FS_CONSOLE_H
#define SELKIE_FS_CONSOLE_H

#include "core/stdio.h"
#include "fs/file.h"
#include "hal.h"

/* Linux's struct termios and ioctl numbers (uapi asm-generic/termbits.h, ioctls.h). */
struct termios {
    uint32_t iflag, oflag, cflag, lflag;
    uint8_t line, cc[19];
};
STATIC_ASSERT(sizeof(struct termios) == 36);
struct termios2 {
    struct termios base;
    uint32_t ispeed, ospeed;
};
STATIC_ASSERT(sizeof(struct termios2) == 44);
struct winsize {
    uint16_t rows, cols, xpixel, ypixel;
};
enum {
    VINTR,
    VQUIT,
    VERASE,
    VKILL,
    VEOF,
    VTIME,
    VMIN,
    VSWTC,
    VSTART,
    VSTOP,
    VSUSP,
    VEOL,
    VREPRINT,
    VDISCARD,
    VWERASE,
    VLNEXT,
    VEOL2
};
#define ISTRIP 0000040u
#define INLCR 0000100u
#define IGNCR 0000200u
#define ICRNL 0000400u
#define IUCLC 0001000u
#define IXON 0002000u
#define IXANY 0004000u
#define IMAXBEL 0020000u
#define IUTF8 0040000u
#define OPOST 0000001u
#define ONLCR 0000004u
#define OCRNL 0000010u
#define ONOCR 0000020u
#define ONLRET 0000040u
#define ISIG 0000001u
#define ICANON 0000002u
#define ECHO 0000010u
#define ECHOE 0000020u
#define ECHOK 0000040u
#define ECHONL 0000100u
#define NOFLSH 0000200u
#define ECHOCTL 0001000u
#define ECHOKE 0004000u
#define IEXTEN 0100000u

#define TCGETS 0x5401u
#define TCSETS 0x5402u
#define TCSETSW 0x5403u
#define TCSETSF 0x5404u
#define TCSBRK 0x5409u
#define TCXONC 0x540Au
#define TCFLSH 0x540Bu
#define TIOCSCTTY 0x540Eu
#define TIOCGPGRP 0x540Fu
#define TIOCSPGRP 0x5410u
#define TIOCOUTQ 0x5411u
#define TIOCGWINSZ 0x5413u
#define TIOCSWINSZ 0x5414u
#define FIONREAD 0x541Bu
#define TIOCNOTTY 0x5422u
#define TIOCGETD 0x5424u
#define TCSBRKP 0x5425u
#define TIOCGSID 0x5429u
#define TCGETS2 0x802C542Au
#define TCSETS2 0x402C542Bu
#define TCSETSW2 0x402C542Cu
#define TCSETSF2 0x402C542Du

/* Boot, before console_init: let this device carry the streams, not the machine's console. */
void console_use(const struct stdio_device *better);
/* Write to a standard stream, as much as it takes: bytes left, or a negative errno. */
int console_write(enum hal_stream stream, const void *buf, size_t len);
/* 1: it takes something; 0: an event will announce room; or a negative errno. */
int console_room(enum hal_stream stream);
/* News of the console, counted. Wait until there are more than `seen`: 0 or -ERESTARTSYS. */
uint32_t console_events(void);
int must_check console_wait(uint32_t seen);
struct waitq *console_waitq(void);
/* Wait until the log's reader has taken what there is, or a signal comes. */
void console_log_wait(void);
/* Boot: learn what the streams are; starts the tty's input thread if input is a terminal. */
int must_check console_init(void);
bool console_has_tty(void);
/* Open the tty: sets ops and private_data. `stream`: where its output goes. */
void tty_open(struct file *file, enum hal_stream stream);
enum hal_stream tty_default_stream(void);

/* tty.c, for the input thread and tests. */
void tty_init(void);
void tty_input(const uint8_t *data, size_t len);
void tty_hangup(void);
/* There may be room for output that waits. */
void tty_output(void);
/* Is there nothing of the program's output that the reader has not taken? Thread context. */
bool tty_settled(void);
void tty_set_size(uint16_t rows, uint16_t cols);

/* Has the machine taken all that was written to streams that are no terminal? */
bool console_settled(void);

#endif
