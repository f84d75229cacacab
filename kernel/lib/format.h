/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * format.h - formatted text without allocation.
 *
 * Conversions: %d %i %u %x %X %o %c %s %p %% with flags - 0 + space #, width and precision (also
 * *), lengths hh h l ll z t j. No floating point, no %n.
 */
#ifndef SELKIE_LIB_FORMAT_H
#define SELKIE_LIB_FORMAT_H

#include <stdarg.h>

#include "lib/types.h"

/* As C's snprintf: always NUL-terminated if size > 0, returns the length the whole text would have.
 */
int snprintf(char *buf, size_t size, const char *fmt, ...) printf_like(3, 4);
int vsnprintf(char *buf, size_t size, const char *fmt, va_list args) printf_like(3, 0);

/* A growing cursor over a fixed buffer, for /proc texts and the like: text past the end is counted,
 * not stored. */
struct strbuf {
    char *buf;
    size_t size; /* of buf */
    size_t len;  /* of the whole text; > size means truncated */
};
void strbuf_printf(struct strbuf *sb, const char *fmt, ...) printf_like(2, 3);
void strbuf_vprintf(struct strbuf *sb, const char *fmt, va_list args) printf_like(2, 0);
void strbuf_append(struct strbuf *sb, const void *data, size_t len);

#endif
