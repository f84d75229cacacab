/* SPDX-License-Identifier: BSD-3-Clause */
/* sigset.h - kinds of signals, and what signal.c and deliver.c share. */
#ifndef SELKIE_PROC_SIGSET_H
#define SELKIE_PROC_SIGSET_H

#include "proc/process.h"

#define SIG_UNBLOCKABLE (SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP))
#define SIG_STOPS (SIG_BIT(SIGSTOP) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))
#define SIG_DEFAULT_IGNORE \
    (SIG_BIT(SIGCHLD) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH) | SIG_BIT(SIGCONT))
#define SIG_SYNCHRONOUS \
    (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGFPE) | \
     SIG_BIT(SIGSYS))

/* Take one signal in set off the task's or its process's queue: its number, or 0. process->lock. */
int signal_dequeue_locked(struct task *task, uint64_t set, struct siginfo *out);
/* Is sp on the task's alternate stack? */
bool signal_on_alt_stack(const struct task *task, uintptr_t sp);

#endif
