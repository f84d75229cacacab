/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pressure.c - how programs learn that memory is short: /proc/pressure/memory, as Linux has it
 * (Documentation/accounting/psi.rst), and /dev/memory_pressure, which tells the level.
 *
 * A program that has set a trigger on the first or has the second open is a watcher: the kernel
 * gives it time to free memory before it gives up (sched/pressure.c).
 *
 * Triggers are looked at when they are polled. Whatever can make one fire ends a stall, and that
 * wakes the queue the poller sleeps on. Only one that may not fire yet, because it has in this
 * window, needs a timer: nothing may stall when the window is over.
 */
#include "sched/pressure.h"
#include "fs/devfs.h"
#include "fs/fcntl.h"
#include "fs/pollwait.h"
#include "fs/procfs.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "sched/timer.h"

/* ---- /proc/pressure/memory -------------------------------------------------------------- */

#define WINDOW_MIN_US 500000u
#define WINDOW_MAX_US 10000000u

/* Hangs on the open file from the write that sets it to the end; the file's pos_lock guards it. */
struct trigger {
    enum pressure_kind kind;
    uint64_t threshold_ns, window_ns;
    uint64_t window_start, total_at_start; /* of the window that is being measured */
    uint64_t fired_at;                     /* 0: never; at most once per window */
    bool event;                            /* not yet told */
    struct timer timer;                    /* the end of a window in which it may not fire again */
};

static uint64_t stall_total(enum pressure_kind kind)
{
    struct pressure_stats stats;
    pressure_get_stats(&stats);
    return stats.total_ns[kind];
}

static void trigger_restart(struct trigger *t, uint64_t now, uint64_t total)
{
    t->window_start = now;
    t->total_at_start = total;
}

static void window_over(struct timer *timer)
{
    (void)timer;
    waitq_wake_all(&pressure_changes, 0);
}

static void trigger_look(struct trigger *t)
{
    uint64_t now = clock_mono_ns(), total = stall_total(t->kind);
    bool grown = total - t->total_at_start >= t->threshold_ns;
    if (grown && t->fired_at && now - t->fired_at < t->window_ns) {
        timer_arm(&t->timer, t->fired_at + t->window_ns);
    } else if (grown) {
        t->event = true;
        t->fired_at = now;
        trigger_restart(t, now, total);
    } else if (now - t->window_start >= t->window_ns) {
        trigger_restart(t, now, total);
    }
}

static void show_line(struct strbuf *sb, const struct pressure_stats *stats,
                      enum pressure_kind kind)
{
    static const char *const names[] = {"some", "full"};
    static const unsigned spans[] = {10, 60, 300};
    strbuf_printf(sb, "%s", names[kind]);
    for (unsigned i = 0; i < ARRAY_COUNT(spans); i++) {
        uint32_t avg = stats->avg[kind][i];
        strbuf_printf(sb, " avg%u=%u.%02u", spans[i], avg >> 16, ((avg & 0xffff) * 100) >> 16);
    }
    strbuf_printf(sb, " total=%llu\n", (unsigned long long)stats->total_ns[kind] / 1000);
}

static long psi_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    char text[256];
    struct strbuf sb = {text, sizeof(text), 0};
    struct pressure_stats stats;
    pressure_get_stats(&stats);
    show_line(&sb, &stats, PRESSURE_SOME);
    show_line(&sb, &stats, PRESSURE_FULL);
    if ((uint64_t)*pos >= sb.len)
        return 0;
    long n = iov_copy_to(to, text + *pos, MIN(sb.len - (size_t)*pos, to->left));
    if (n > 0)
        *pos += n;
    return n;
}

/* "some 150000 1000000": kind, threshold and window in microseconds. */
static int trigger_parse(const char *text, struct trigger *t)
{
    uint64_t threshold, window;
    if (str_starts(text, "some "))
        t->kind = PRESSURE_SOME;
    else if (str_starts(text, "full "))
        t->kind = PRESSURE_FULL;
    else
        return -EINVAL;
    text += strlen("some ");
    if (str_to_u64(text, &text, &threshold) || *text != ' ' ||
        str_to_u64(text + 1, &text, &window) || (*text && *text != '\n'))
        return -EINVAL;
    if (window < WINDOW_MIN_US || window > WINDOW_MAX_US || threshold == 0 || threshold > window)
        return -EINVAL;
    t->threshold_ns = threshold * NS_PER_US;
    t->window_ns = window * NS_PER_US;
    return 0;
}

static long psi_write(struct file *file, struct iov_iter *from, off64_t *pos)
{
    char text[64];
    size_t len = from->left;
    struct trigger *t;
    int err = -EINVAL;
    if (len >= sizeof(text))
        return -EINVAL;
    long n = iov_copy_from(from, text, len);
    if (n < 0)
        return n;
    text[n] = '\0';
    t = kzalloc(sizeof(*t));
    if (!t)
        return -ENOMEM;
    err = trigger_parse(text, t);
    if (err)
        goto out;
    trigger_restart(t, clock_mono_ns(), stall_total(t->kind));
    timer_setup(&t->timer, window_over);
    /* write(2) holds pos_lock, pwrite(2) does not. */
    struct trigger *none = NULL;
    if (!__atomic_compare_exchange_n((struct trigger **)&file->private_data, &none, t, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        err = -EBUSY;
        goto out;
    }
    pressure_watch(+1);
    return n;
out:
    kfree(t);
    return err;
}

static uint32_t psi_poll(struct file *file, struct poll_table *table)
{
    struct trigger *t = __atomic_load_n((struct trigger **)&file->private_data, __ATOMIC_ACQUIRE);
    if (!t)
        return POLLERR | POLLPRI;
    if (table)
        table->add(table, &pressure_changes);
    mutex_lock(&file->pos_lock);
    trigger_look(t);
    uint32_t events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | (t->event ? POLLPRI : 0);
    t->event = false;
    mutex_unlock(&file->pos_lock);
    return events;
}

static void psi_release(struct file *file)
{
    struct trigger *t = file->private_data;
    if (!t)
        return;
    pressure_watch(-1);
    timer_cancel_sync(&t->timer);
    kfree(t);
}

const struct file_ops procfs_pressure_ops = {
    .read = psi_read,
    .write = psi_write,
    .poll = psi_poll,
    .release = psi_release,
};

/* ---- /dev/memory_pressure --------------------------------------------------------------- */

/* Changes of the level that the reader has seen; all ones: none yet. Atomic. */
struct level_reader {
    uint32_t seen;
    bool started;
};

static bool level_news(void *arg)
{
    struct level_reader *reader = arg;
    return !__atomic_load_n(&reader->started, __ATOMIC_RELAXED) ||
           __atomic_load_n(&reader->seen, __ATOMIC_RELAXED) != pressure_level_changes();
}

static long level_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    struct level_reader *reader = file->private_data;
    char text[16];
    while (!level_news(reader)) {
        if (file_flags(file) & O_NONBLOCK)
            return -EAGAIN;
        int err = fs_wait(&pressure_changes, level_news, reader, UINT64_MAX);
        if (err)
            return err;
    }
    /* The count first: a change after it is news for the next read. */
    __atomic_store_n(&reader->seen, pressure_level_changes(), __ATOMIC_RELAXED);
    __atomic_store_n(&reader->started, true, __ATOMIC_RELAXED);
    int len = snprintf(text, sizeof(text), "%s\n", memory_level_names[memory_level()]);
    return iov_copy_to(to, text, MIN((size_t)len, to->left));
}

static uint32_t level_poll(struct file *file, struct poll_table *table)
{
    if (table)
        table->add(table, &pressure_changes);
    return level_news(file->private_data) ? POLLIN | POLLRDNORM : 0;
}

static void level_release(struct file *file)
{
    pressure_watch(-1);
    kfree(file->private_data);
}

static const struct file_ops level_ops = {
    .read = level_read,
    .poll = level_poll,
    .release = level_release,
};

int pressure_open(struct file *file)
{
    struct level_reader *reader = kzalloc(sizeof(*reader));
    if (!reader)
        return -ENOMEM;
    file->private_data = reader;
    file->ops = &level_ops;
    pressure_watch(+1);
    return 0;
}
