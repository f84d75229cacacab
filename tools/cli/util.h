/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * util.h - what every part of the selkie command uses: failing with one clear line, strings,
 * growing lists, running other programs, times.
 *
 * A command-line program owns its process: memory is not freed on the way out, and a failed
 * allocation ends it. Every failure that a user can cause goes through fail(): one line on standard
 * error, "selkie: WHAT: WHY", and the exit status of the table below.
 */
#ifndef SELKIE_UTIL_H
#define SELKIE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum {
    EXIT_TOOL = 125,           /* the tool or the kernel failed */
    EXIT_NOT_EXECUTABLE = 126, /* PROGRAM is there but cannot be run */
    EXIT_NOT_FOUND = 127,      /* PROGRAM is not there */
};

_Noreturn void fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Something went wrong, and the command goes on. */
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One progress or information line, prefixed like an error; not with SELKIE_QUIET in the
 * environment. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *must_alloc(void *p); /* p, or fail() if it is NULL */
char *text(const char *format, ...) __attribute__((format(printf, 1, 2))); /* a fresh string */
bool text_starts(const char *s, const char *prefix);
bool text_ends(const char *s, const char *suffix);

/* A growing list of strings; items[count] is always NULL. */
struct list {
    char **items;
    size_t count, space;
};
void list_add(struct list *list, const char *item); /* copies item */
bool list_has(const struct list *list, const char *item);
/* Split s at any of the characters of `separators`, dropping empty parts. */
void list_split(struct list *list, const char *s, const char *separators);

/* A growing run of bytes, NUL-terminated behind its end. */
struct bytes {
    char *data;
    size_t len, space;
};
void bytes_add(struct bytes *bytes, const void *data, size_t len);
void bytes_print(struct bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Read from fd to its end; false (errno set) if that fails. */
bool fd_read(int fd, struct bytes *out);
/* Read a whole file; false (errno set) if it cannot be read. */
bool file_read(const char *path, struct bytes *out);
bool file_write(const char *path, const void *data, size_t len);
bool file_exists(const char *path);
/* mkdir -p; fails the command if it cannot. */
void make_dirs(const char *path);
void remove_tree(const char *folder); /* rm -rf; fails the command if it cannot */

/* 64-bit FNV-1a, for the names of cache entries. */
uint64_t hash_add(uint64_t hash, const void *data, size_t len);
uint64_t hash_text(uint64_t hash, const char *s); /* with its terminator */
#define HASH_START 0xcbf29ce484222325ull

double now_seconds(void); /* monotonic */

/* Numbers from a seed (splitmix64). */
uint64_t random_next(uint64_t *state);

/* Directories. All are absolute and end without a slash. */
const char *top_dir(void);   /* the source tree */
const char *cache_dir(void); /* ${XDG_CACHE_HOME:-~/.cache}/selkie, made */

/* "64M", "1G", "4096" -> bytes; false if it is not a size. */
bool parse_size(const char *s, uint64_t *out);

#endif
