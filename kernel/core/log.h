/* SPDX-License-Identifier: BSD-3-Clause */
/* log.h - kernel messages: levels, a ring for later reading, and the LOG console stream. */
#ifndef SELKIE_CORE_LOG_H
#define SELKIE_CORE_LOG_H

#include <stdarg.h>

#include "lib/types.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Any context, including irq and panic. Messages up to the console level (boot option
 * `loglevel=`, default error) go to HAL_STREAM_LOG at once; all go to the ring. One line per
 * call, no trailing newline. Formats: lib/format.h. What a reader does not take in time is kept up
 * to a limit, then lost. */
void log_write(enum log_level level, const char *fmt, ...) printf_like(2, 3);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

/* The same for text that goes to the stream only, whole lines. */
void log_stream(const char *text, size_t len);
/* Try again to write what the stream has not taken. Returns whether there is still something. */
bool log_flush(void);

/* Copy the newest `len` bytes of the ring, oldest first (dmesg). Returns the count. */
size_t log_read(char *buf, size_t len);

#endif
