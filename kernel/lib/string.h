/* SPDX-License-Identifier: BSD-3-Clause */
/* string.h - the C string functions the compiler and the kernel need; bounded ones only. */
#ifndef SELKIE_LIB_STRING_H
#define SELKIE_LIB_STRING_H

#include "lib/types.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
bool str_starts(const char *s, const char *prefix);
/* Copy src and a NUL into dst of `size` bytes (> 0), truncating. Returns strlen(src): >= size means
 * truncated. */
size_t strlcpy(char *dst, const char *src, size_t size);
/* Parse an unsigned number in base 10, or 16 with 0x. 0 or -EINVAL/-ERANGE; *end as strtoul (may be
 * NULL: then the whole string must be the number). */
int must_check str_to_u64(const char *s, const char **end, uint64_t *out);

#endif
