/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * child.h - other programs that this command runs and waits for: one way to start them, one way to
 * wait, one way to end those that go on for too long.
 *
 * A child with a group of its own is ended as a group, by SIGKILL: a program inside a hosted kernel
 * may ignore every signal that can be ignored, and a sanitizer may hold the others up.
 */
#ifndef SELKIE_CHILD_H
#define SELKIE_CHILD_H

#include "util.h"

struct child {
    pid_t pid;
    int fd;          /* pidfd: readable when it has ended */
    bool group;      /* leads a process group of its own */
    double deadline; /* on now_seconds()'s clock; 0: none */
};

/* fork(). True in the child. With a limit (seconds not 0) the child gets a group of its own. A tied
 * child dies with us; others (an apt-get at work) are left to end what they do. */
bool child_fork(struct child *child, double seconds, bool tied);
/* fork() twice: true in a process that is nobody's child, of no terminal, whose standard streams
 * are /dev/null. */
bool child_detach(void);
/* Wait for it; past its deadline end it and set *late (if not NULL). Its exit status, or 128 +
 * signal. */
int child_wait(struct child *child, bool *late);
/* Take the status of one that has ended; what it left running in its group is ended too. */
int child_take(struct child *child);
/* End it, and its group if it leads one. child_take or child_wait must follow. */
void child_kill(const struct child *child);

/* What a command did. The bytes are always there, empty if there were none. */
struct outcome {
    int status; /* exit status, or 128 + signal */
    bool late;  /* ended because its time was over */
    struct bytes out, err;
};

struct command_line {
    const struct list *words; /* PATH is searched */
    const char *folder;       /* NULL: here */
    const char *input;        /* standard input; NULL: empty */
    const struct list *env;   /* NULL: ours */
    double seconds;           /* 0: no limit */
};

void outcome_get(struct outcome *outcome, const struct command_line *line);

/* Run argv[0] (found in PATH) and wait: its exit status, or 128 + signal. Standard output goes to
 * `out` if not NULL, standard error to log_fd if >= 0 (and standard output too, without `out`). */
int run_quiet(const char *const argv[], struct bytes *out, int log_fd);

#endif
