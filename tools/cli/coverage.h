/* SPDX-License-Identifier: BSD-3-Clause */
/* coverage.h - what the measured builds (presets hosted-cov and fuzz-cov) say of the lines of
 * kernel/. */
#ifndef SELKIE_COVERAGE_H
#define SELKIE_COVERAGE_H

#include "util.h"

/* Forget what earlier runs of this preset counted. */
void coverage_reset(const char *preset);
/* Print the share of kernel/'s lines that were run, the least covered files, and where the whole
 * table is. True if it is as much as the project wants. */
bool coverage_report(void);

/* Line coverage of these files (paths below the top folder) by a program that ran with
 * GCOV_PREFIX=counts: one line each, with `name` before it and the lines that were not run behind
 * it. `wanted`, if not empty: so many per cent of each, or of those named behind the number. False
 * if a file has less, or nothing was counted. */
bool coverage_files(const char *name, const char *counts, const struct list *files,
                    const struct list *wanted);

#endif
