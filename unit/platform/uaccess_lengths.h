/* SPDX-License-Identifier: BSD-3-Clause */
/* uaccess_lengths.h - copies and strings of all short lengths where user memory ends; for the
 * kernels that try a HAL. */
#ifndef SELKIE_TEST_UACCESS_LENGTHS_H
#define SELKIE_TEST_UACCESS_LENGTHS_H

#include "isa.h"
#include "lib/errno.h"
#include "lib/string.h"

#define LENGTHS_ROOM 320u

static char lengths_text[LENGTHS_ROOM], lengths_back[LENGTHS_ROOM];

/* A string of `len` bytes that ends `gap` bytes before `end`, into as much room, more and less. */
static inline bool length_of_string(uintptr_t end, size_t len, size_t gap)
{
    char *at = (char *)(end - gap - len - 1), *back = lengths_back;
    for (size_t i = 0; i < len; i++) /* what a word of them could be mistaken for */
        lengths_text[i] = "\x01\x80\xff\x81x"[(i + gap) % 5];
    lengths_text[len] = '\0';
    bool good = isa_user_copy(at, lengths_text, len + 1) == 0;
    for (size_t size = len; size <= len + 9; size++) {
        long want = (long)(size == len ? len : len + 1);
        memset(back, 'z', LENGTHS_ROOM);
        good = good && isa_user_strcpy(back, at, size) == want &&
               memcmp(back, lengths_text, (size_t)want) == 0 && back[size] == 'z';
    }
    return good;
}

/* `end` is that of two pages that may be written, with nothing behind them. */
static inline bool uaccess_lengths(uintptr_t end)
{
    bool good = true;
    for (size_t len = 0; len < 40; len++)
        for (size_t gap = 0; gap < 9; gap++)
            good =
                good && length_of_string(end, len, gap) && length_of_string(end - 4090, len, gap);
    for (size_t len = 1; len < 300; len++) {
        char *at = (char *)(end - len);
        memset(lengths_text, (int)len, LENGTHS_ROOM);
        memset(lengths_back, 0, LENGTHS_ROOM);
        good = good && isa_user_copy(at, lengths_text, len) == 0 &&
               isa_user_copy(lengths_back, at, len) == 0 && lengths_back[len] == 0 &&
               memcmp(lengths_back, lengths_text, len) == 0 &&
               isa_user_copy(at + 1, lengths_text, len) == -EFAULT &&
               isa_user_strcpy(lengths_back, at, LENGTHS_ROOM) == (len % 256 ? -EFAULT : 1);
    }
    return good;
}

#endif
