/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.c - kernel messages.
 *
 * A message is formatted on the caller's stack, then appended to the ring and written to the LOG
 * stream under one lock, so lines never mix. The lock is a leaf (RANK_LOG) and interrupts are off
 * while it is held. A panicking CPU does not wait for it: whoever held it may have been halted.
 *
 * Nobody waits for whoever reads the stream. What it does not take is kept in `late` for the next
 * message or the console's announcement, and when that is full whole messages are lost, which is
 * said when there is room again.
 */
#include "core/log.h"

#include "core/panic.h"
#include "core/spinlock.h"
#include "lib/format.h"
#include "lib/string.h"

#define LINE_MAX_LEN 400u
#define RING_SIZE 16384u
#define LATE_SIZE 8192u

static struct spinlock log_lock = SPINLOCK_INIT(RANK_LOG);
static char ring[RING_SIZE];
static uint64_t ring_end; /* bytes ever written; position is modulo RING_SIZE */
static char late[LATE_SIZE];
static size_t late_len;
static unsigned long lost;                /* messages that did not fit into `late` */
static uint8_t console_level = LOG_ERROR; /* relaxed atomic: a change may be seen a line late */

static const char *const level_name[] = {"error: ", "warning: ", "", ""};

void log_set_level(enum log_level level)
{
    __atomic_store_n(&console_level, (uint8_t)level, __ATOMIC_RELAXED);
}

bool log_enabled(enum log_level level)
{
    return level <= __atomic_load_n(&console_level, __ATOMIC_RELAXED);
}

static void ring_put(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ring[ring_end++ % RING_SIZE] = text[i];
}

/* The line as both readers get it: "selkie: [seconds] error: text\n". Returns its length. */
static size_t line_make(char *line, enum log_level level, const char *fmt, va_list args)
    printf_like(3, 0);
static size_t line_make(char *line, enum log_level level, const char *fmt, va_list args)
{
    uint64_t us = (hal_clock_ns() - HAL_CLOCK_START_NS) / NS_PER_US; /* since boot */
    /* Errors and warnings are for people who run a program, not for kernel developers: no clock. */
    int head = level <= LOG_WARN ? snprintf(line, LINE_MAX_LEN, "selkie: %s", level_name[level])
                                 : snprintf(line, LINE_MAX_LEN, "selkie: [%llu.%06llu] ",
                                            (unsigned long long)(us / 1000000),
                                            (unsigned long long)(us % 1000000));
    size_t len = (size_t)head;
    int body = vsnprintf(line + len, LINE_MAX_LEN - len, fmt, args);
    if (body > 0)
        len = MIN(len + (size_t)body, (size_t)LINE_MAX_LEN - 1);
    line[len++] = '\n'; /* over the NUL: the line is not a string */
    return len;
}

/* ---- the stream; log_lock held ---- */

static void stream_put(const char *text, size_t len)
{
    if (late_len == 0) {
        int left = hal_console_write(HAL_STREAM_LOG, text, len);
        size_t keep = left > 0 ? (size_t)left : 0;
        text += len - keep;
        len = keep;
    }
    if (len > LATE_SIZE - late_len) {
        lost++;
        return;
    }
    memcpy(late + late_len, text, len);
    late_len += len;
}

static void stream_flush(void)
{
    if (late_len > 0) {
        int left = hal_console_write(HAL_STREAM_LOG, late, late_len);
        size_t keep = left > 0 ? (size_t)left : 0;
        memmove(late, late + late_len - keep, keep);
        late_len = keep;
    }
    if (late_len == 0 && lost > 0) {
        char line[80];
        int n =
            snprintf(line, sizeof(line), "selkie: warning: %lu messages lost: nobody read\n", lost);
        lost = 0;
        stream_put(line, (size_t)n);
    }
}

bool log_flush(void)
{
    unsigned long irq = spin_lock_irqsave(&log_lock);
    stream_flush();
    bool behind = late_len > 0;
    spin_unlock_irqrestore(&log_lock, irq);
    return behind;
}

void log_stream(const char *text, size_t len)
{
    if (panic_active()) {
        hal_console_panic(text, len);
        return;
    }
    unsigned long irq = spin_lock_irqsave(&log_lock);
    stream_flush();
    stream_put(text, len);
    spin_unlock_irqrestore(&log_lock, irq);
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char line[LINE_MAX_LEN];
    va_list args;
    va_start(args, fmt);
    size_t len = line_make(line, level, fmt, args);
    va_end(args);

    if (panic_active()) {
        hal_console_panic(line, len);
        return;
    }
    unsigned long irq = spin_lock_irqsave(&log_lock);
    ring_put(line, len);
    if (log_enabled(level)) {
        stream_flush();
        stream_put(line, len);
    }
    spin_unlock_irqrestore(&log_lock, irq);
}

size_t log_read(char *buf, size_t len)
{
    unsigned long irq = spin_lock_irqsave(&log_lock);
    uint64_t count = MIN(MIN(ring_end, (uint64_t)RING_SIZE), (uint64_t)len);
    for (uint64_t i = 0; i < count; i++)
        buf[i] = ring[(ring_end - count + i) % RING_SIZE];
    spin_unlock_irqrestore(&log_lock, irq);
    return (size_t)count;
}
