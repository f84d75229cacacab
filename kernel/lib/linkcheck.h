/* SPDX-License-Identifier: BSD-3-Clause */
/* linkcheck.h - do the neighbours of a node know it? Checked in debug builds before links are
 * changed: a node that is inserted or removed twice, or whose memory was written over, stops there
 * instead of writing its own links somewhere. lib cannot call panic (core/assert.h): an undefined
 * instruction ends in one. */
#ifndef SELKIE_LIB_LINKCHECK_H
#define SELKIE_LIB_LINKCHECK_H

#if defined(SELKIE_DEBUG) && SELKIE_DEBUG
#define LINK_CHECK(cond) \
    do { \
        if (__builtin_expect(!(cond), 0)) \
            __builtin_trap(); \
    } while (0)
#else
#define LINK_CHECK(cond) ((void)sizeof(!(cond)))
#endif

#endif
