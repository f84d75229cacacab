/* SPDX-License-Identifier: BSD-3-Clause */
/* coverage.h - what the measured build (preset hosted-cov) says of the lines of kernel/. */
#ifndef SELKIE_COVERAGE_H
#define SELKIE_COVERAGE_H

#include <stdbool.h>

/* Forget what earlier runs counted. */
void coverage_reset(void);
/* Print the share of kernel/'s lines that were run, the least covered files, and where the whole
 * table is. True if it is as much as the project wants. */
bool coverage_report(void);

#endif
