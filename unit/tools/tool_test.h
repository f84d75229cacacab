/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tool_test.h - frame of the tests of tools/cli. The command owns its process: it frees nothing and
 * ends itself at a user's mistake, so leaks are not looked for and such a call is tried in a child.
 */
#ifndef SELKIE_TOOL_TEST_H
#define SELKIE_TOOL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#undef fail /* cmocka's; the command has a function of that name */

#include "util.h"

/* cmocka's fail_msg() needs its fail(). */
#define complain(...) \
    do { \
        print_error(__VA_ARGS__); \
        print_error("\n"); \
        _fail(__FILE__, __LINE__); \
    } while (0)

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* Exit status of act(arg) in a child whose standard error goes to `said` (NUL-terminated); 0 if it
 * returned. */
static inline int status_of(void (*act)(void *arg), void *arg, char *said, size_t size)
{
    int pipes[2], status;
    size_t got = 0;
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pipes[1], STDERR_FILENO);
        close(pipes[0]);
        act(arg);
        _exit(0);
    }
    close(pipes[1]);
    while (got < size - 1 && (n = read(pipes[0], said + got, size - 1 - got)) > 0)
        got += (size_t)n;
    said[got] = 0;
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A fresh folder for the test's files. */
static inline char *fresh_folder(void)
{
    char *folder = text("%s/selkie-unit-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");

    assert_non_null(mkdtemp(folder));
    return folder;
}

#endif
