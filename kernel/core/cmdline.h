/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmdline.h - the boot command line. Grammar in docs/boot.md: words `key=value`, then ` -- ` and
 * the program with its arguments; double quotes group, %XX is any byte.
 */
#ifndef SELKIE_CORE_CMDLINE_H
#define SELKIE_CORE_CMDLINE_H

#include "lib/types.h"

struct cmdline {
    uint64_t loglevel; /* 0..3 */
    bool strace;
    const char *cwd;     /* "/" if not given */
    const char *program; /* the file to execute: argv[0] if the line does not say otherwise */
    char **argv;         /* NULL-terminated; argc 0: no program given */
    char **envp;         /* NULL-terminated, in order */
    size_t argc, envc;
};

/* Bytes of memory that cmdline_parse needs for this text. */
size_t cmdline_size(const char *text);
/* Parse into `out`; strings and arrays live in `memory` (cmdline_size(text) bytes, aligned for
 * pointers). -EINVAL: a quote is not closed, a value is not a number, or %00. */
int must_check cmdline_parse(const char *text, void *memory, struct cmdline *out);
/* The value of one option, decoded into buf (truncated to size), without any other memory: for
 * options that are needed before there is an allocator. False if it is absent. */
bool cmdline_option(const char *text, const char *key, char *buf, size_t size);
/* Of an option that may be repeated: the nth, from 0. */
bool cmdline_option_nth(const char *text, const char *key, unsigned nth, char *buf, size_t size);

#endif
