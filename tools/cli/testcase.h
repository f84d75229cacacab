/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * testcase.h - the test tables (unit/ladder/NAME.json) and what one test does.
 *
 * A table is a JSON array of objects:
 *   name, run   the name and the words of the command; a first word "@NAME" is a guest program of
 *               unit/guest, "@NAME:VARIANT" another build of it (glibc, pie, dynamic, musl,
 *               musl-dynamic; on aarch64 pie and dynamic)
 *   on          backends (default: all three; [] for a test only of the builds named below)
 *   quick       true: also in --quick; or a list of the backends on which it is
 *   options     words for `selkie run`, before the program
 *   packages    Debian packages for aarch64, if the program's own is not enough
 *   files       name in the working directory -> text, {"copy": path below the top folder}, or
 *               {"command": shell, "mode": octal}
 *   host_files  the same, but not brought into the guest
 *   env, stdin, cpus, timeout
 *   seconds     how long it runs: the word "@seconds" of the command. `selkie test --soak` runs
 * only tests that have this, for longer needs       a device file: the test is skipped where it
 * cannot be read and written mask        regular expressions; what matches counts as "#" in both
 * outputs sanitize    true: also on the presets hosted-asan and hosted-tsan; or a list of them
 *   machine_asan  true: also on the presets x64-asan and aarch64-asan; or a list of them
 *   memdebug    true: also on the presets hosted-memdebug and x64-memdebug; or a list of them
 *   coop        true: also on the preset hosted-coop, where kernel code is not preempted
 *   clang       true: also on the presets hosted-clang, x64-clang and aarch64-clang
 *   without     preset -> why the test cannot be on it: skipped there
 *   options_on  preset -> words for `selkie run` there, behind the others
 *   root        true: skipped for others, because the native text would differ
 *   expect      status, stdout, stderr (regular expressions that must match, or lists), one_line
 * (standard error is just one line): then the program is not run natively for comparison
 *
 * Without `expect` the command is run on the host itself, in a folder with the same files, and exit
 * status, standard output and standard error must be the same, byte for byte.
 */
#ifndef SELKIE_TESTCASE_H
#define SELKIE_TESTCASE_H

#include <json-c/json.h>

#include "child.h"
#include "run.h"

enum verdict { VERDICT_PASS, VERDICT_FAIL, VERDICT_SKIP };

struct test {
    char *name;                                   /* group/name@backend */
    enum verdict (*run)(const struct test *test); /* in a process of its own; reports on stdout */
    struct json_object *table;                    /* the object of a table test */
    enum backend backend;
    const char *build; /* preset instead of the backend's own */
    const char *tell;  /* its output is shown from this text on even if it passes */
    const char *needs; /* a preset that must be built before */
    struct list words; /* what a test that is no table test runs */
    bool quick, serial;
    unsigned timeout_seconds;
    unsigned seconds; /* "@seconds"; 0: not a test that can go on for longer */
    unsigned cpus;    /* instead of the table's, unless that is 1; 0: the table's */
};

struct tests {
    struct test *items;
    size_t count;
};

struct test *tests_add(struct tests *tests, char *name,
                       enum verdict (*run)(const struct test *test));
/* Add the tests of unit/ladder/FILE.json under group/. */
void tests_load(struct tests *tests, const char *file, const char *group);

/* Folder for a test's own files: build/test/NAME. */
char *test_folder(const struct test *test);

#endif
