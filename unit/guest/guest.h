/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest.h - the frame of a guest test: an ordinary Linux program that checks one property of the
 * kernel it runs on, prints "PASS <name>" and exits 0, or says on standard output what went wrong
 * and exits 1. Every test also passes on Linux itself: that run is the reference.
 */
#ifndef SELKIE_GUEST_H
#define SELKIE_GUEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUIRE(cond) \
    do { \
        if (!(cond)) { \
            printf("FAIL %s:%d: %s (errno %d %s)\n", __FILE__, __LINE__, #cond, errno, \
                   strerror(errno)); \
            fflush(stdout); \
            _exit(1); \
        } \
    } while (0)

/* expr must fail with -1 and this errno. */
#define REQUIRE_ERRNO(expr, want) \
    do { \
        errno = 0; \
        long got_ = (long)(expr); \
        if (got_ != -1 || errno != (want)) { \
            printf("FAIL %s:%d: %s gave %ld, errno %d, wanted %s\n", __FILE__, __LINE__, #expr, \
                   got_, errno, #want); \
            fflush(stdout); \
            _exit(1); \
        } \
    } while (0)

static inline int guest_pass(const char *name)
{
    printf("PASS %s\n", name);
    fflush(stdout);
    return 0;
}

#endif
