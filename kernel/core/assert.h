/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * assert.h - the two run-time assertions (STATIC_ASSERT is in lib/types.h).
 *
 * ASSERT: a programming error, checked where SELKIE_DEBUG is 1 (all hosted
 * builds, bare-metal debug builds). CHECK: corrupted state that must never be
 * used further, checked always. Neither is for outside input; neither may have side effects.
 */
#ifndef SELKIE_CORE_ASSERT_H
#define SELKIE_CORE_ASSERT_H

#include "lib/types.h"

#ifndef SELKIE_DEBUG
#error "SELKIE_DEBUG must be 0 or 1"
#endif

/* Print the message with a back trace of the caller, stop the machine. Any context. */
_Noreturn void panic(const char *fmt, ...) printf_like(1, 2);

#define CHECK(cond) \
    do { \
        if (__builtin_expect(!(cond), 0)) \
            panic("%s:%d: check failed: %s", __FILE__, __LINE__, #cond); \
    } while (0)

#if SELKIE_DEBUG
#define ASSERT(cond) \
    do { \
        if (__builtin_expect(!(cond), 0)) \
            panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond); \
    } while (0)
#else
#define ASSERT(cond) ((void)sizeof(!(cond)))
#endif

#endif
