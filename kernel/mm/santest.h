/* SPDX-License-Identifier: BSD-3-Clause */
/* santest.h - bugs made on purpose, which AddressSanitizer must report (builds with SELKIE_ASAN).
 */
#ifndef SELKIE_MM_SANTEST_H
#define SELKIE_MM_SANTEST_H

/* Do what `bug` names (boot option asan-bug=, docs/boot.md): does not return if the sanitizer
 * works. -EINVAL: no such bug. 0: nobody noticed; for "none" that is right. May sleep. */
int santest_run(const char *bug);

#endif
