/* SPDX-License-Identifier: BSD-3-Clause */
/* tty_ioctl.c - ioctl(2) on the terminal: termios, window size, process group, queues (tty.c). */
#include "fs/context.h"
#include "fs/tty_state.h"
#include "lib/string.h"
#include "mm/usercopy.h"

static int set_termios(uintptr_t arg, size_t size, bool flush)
{
    struct termios2 fresh;
    int err = copyin(&fresh, uaddr(arg), size);
    if (err)
        return err;
    mutex_lock(&tty.lock);
    bool was_canonical = tty_lflag(ICANON);
    if (flush)
        tty_flush_input();
    tty.termios = fresh.base;
    if (was_canonical != tty_lflag(ICANON)) /* what was typed so far becomes readable */
        tty.line = tty.head;
    if (!(tty.termios.iflag & IXON))
        tty_set_stopped(false);
    tty_update_readable();
    mutex_unlock(&tty.lock);
    return 0;
}

static int get_termios(uintptr_t arg, size_t size)
{
    mutex_lock(&tty.lock);
    struct termios2 now = {tty.termios, 38400, 38400};
    mutex_unlock(&tty.lock);
    return copyout(uaddr(arg), &now, size);
}

static int get_int(uintptr_t arg, const int *value)
{
    mutex_lock(&tty.lock);
    int copy = *value;
    mutex_unlock(&tty.lock);
    return copyout(uaddr(arg), &copy, sizeof(copy));
}

static int set_pgrp(uintptr_t arg)
{
    int pgrp;
    int err = copyin(&pgrp, uaddr(arg), sizeof(pgrp));
    if (err)
        return err;
    if (pgrp < 0)
        return -EINVAL;
    if (!proc_group_lives(pgrp))
        return -ESRCH;
    mutex_lock(&tty.lock);
    tty.pgrp = pgrp;
    mutex_unlock(&tty.lock);
    return 0;
}

static int get_size(uintptr_t arg)
{
    mutex_lock(&tty.lock);
    struct winsize size = tty.size;
    mutex_unlock(&tty.lock);
    return copyout(uaddr(arg), &size, sizeof(size));
}

static int set_size(uintptr_t arg)
{
    struct winsize size;
    int err = copyin(&size, uaddr(arg), sizeof(size));
    if (err)
        return err;
    mutex_lock(&tty.lock);
    bool changed = memcmp(&size, &tty.size, sizeof(size)) != 0;
    tty.size = size;
    if (changed)
        proc_tty_signal(tty.pgrp, TTY_SIGWINCH);
    mutex_unlock(&tty.lock);
    return 0;
}

static int input_count(uintptr_t arg)
{
    mutex_lock(&tty.lock);
    int count = (int)tty_in_ready();
    mutex_unlock(&tty.lock);
    return copyout(uaddr(arg), &count, sizeof(count));
}

static int output_count(uintptr_t arg)
{
    mutex_lock(&tty.lock);
    int count = (int)tty.late_len;
    mutex_unlock(&tty.lock);
    return copyout(uaddr(arg), &count, sizeof(count));
}

static int flush(uintptr_t queue)
{
    if (queue > 2) /* TCIFLUSH, TCOFLUSH, TCIOFLUSH */
        return -EINVAL;
    mutex_lock(&tty.lock);
    if (queue != 1)
        tty_flush_input();
    if (queue != 0)
        tty.late_len = 0;
    mutex_unlock(&tty.lock);
    return 0;
}

static int flow(uintptr_t action)
{
    if (action > 3) /* TCOOFF, TCOON, TCIOFF, TCION */
        return -EINVAL;
    mutex_lock(&tty.lock);
    if (action <= 1)
        tty_set_stopped(action == 0);
    mutex_unlock(&tty.lock);
    return 0;
}

long tty_ioctl(struct file *file, unsigned cmd, uintptr_t arg)
{
    static const int zero;
    switch (cmd) {
    case TCGETS:
        return get_termios(arg, sizeof(struct termios));
    case TCGETS2:
        return get_termios(arg, sizeof(struct termios2));
    case TCSETSW:
    case TCSETSF:
    case TCSETSW2:
    case TCSETSF2: {
        int err = tty_wait_output(false);
        if (err)
            return err;
        bool flush = cmd == TCSETSF || cmd == TCSETSF2, large = cmd == TCSETSW2 || cmd == TCSETSF2;
        return set_termios(arg, large ? sizeof(struct termios2) : sizeof(struct termios), flush);
    }
    case TCSETS:
        return set_termios(arg, sizeof(struct termios), false);
    case TCSETS2:
        return set_termios(arg, sizeof(struct termios2), false);
    case TIOCGWINSZ:
        return get_size(arg);
    case TIOCSWINSZ:
        return set_size(arg);
    case TIOCGPGRP:
        return get_int(arg, &tty.pgrp);
    case TIOCGSID:
        return get_int(arg, &tty.session);
    case TIOCSPGRP:
        return set_pgrp(arg);
    case FIONREAD:
        return input_count(arg);
    case TIOCOUTQ:
        return output_count(arg);
    case TIOCGETD: /* N_TTY */
        return get_int(arg, &zero);
    case TCFLSH:
        return flush(arg);
    case TCXONC:
        return flow(arg);
    case TCSBRK: /* with an argument it is tcdrain(3) */
    case TCSBRKP:
        return tty_wait_output(false);
    case TIOCSCTTY:
    case TIOCNOTTY:
        return 0; /* the console is the controlling terminal of the one session */
    default:
        return -ENOTTY;
    }
}
