/* SPDX-License-Identifier: BSD-3-Clause */
/* testbuild.h - the tests of programs on other builds of a kernel than its backend's plain one. */
#ifndef SELKIE_TESTBUILD_H
#define SELKIE_TESTBUILD_H

#include "testcase.h"

/* The presets with a sanitizer, as the word of --build. */
#define SANITIZER_PRESETS "hosted-asan,hosted-tsan,x64-asan,aarch64-asan"

/* --build A,B: keep only the tests of programs, once on each of these presets, all of one before
 * the next. */
void tests_use_builds(struct tests *tests, const char *presets);
/* The hosted tests, on the preset hosted-cov. */
void tests_use_coverage(struct tests *tests);
/* --cpus N: so many virtual CPUs, but for tests that want just one. */
void tests_use_cpus(struct tests *tests, unsigned cpus);

#endif
