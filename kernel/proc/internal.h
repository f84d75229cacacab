/* SPDX-License-Identifier: BSD-3-Clause */
/* internal.h - what the files of kernel/proc share among themselves. */
#ifndef SELKIE_PROC_INTERNAL_H
#define SELKIE_PROC_INTERNAL_H

#include "proc/process.h"

struct vm_object;

/* The interrupt state "on", for the places that the HAL calls with interrupts off. */
void proc_irq_on(void);

/* ---- process.c ---- */
/* A process with one reference and no task. NULL without memory. */
struct process *process_create(struct space *space, struct fdtable *files, struct fs_context *fs);
int pid_alloc(void);
void task_table_add(struct task *task);
void task_table_remove(struct task *task);
/* Another one with process->lock, for "first task of". */
struct task *process_leader_locked(struct process *process);

/* ---- task.c ---- */
void task_release(struct thread *thread); /* the exit_hook of tasks, and of nothing else */
static inline struct task *task_of_thread(struct thread *thread)
{
    return thread && thread->exit_hook == task_release ? (struct task *)thread : NULL;
}
/* A task of `process` that will run fn(task); not started, in no list. NULL without memory. */
struct task *task_create(struct process *process, int tid, const char *name, void (*fn)(void *));
void task_discard(struct task *task); /* undo task_create */
void task_join_process_locked(struct task *task);
void task_main(void *arg); /* fn for tasks that start with task->start_frame */

/* ---- exec.c ---- */
struct exec_request {
    const char *path;
    char *const *argv, *const *envp;
    struct file *file; /* execveat with an empty path: this file, borrowed; else NULL */
};
/* Load the program into the calling task's process. why (may be NULL) gets one line. */
long must_check exec_program(const struct exec_request *req, struct isa_frame *frame, char *why,
                             size_t why_size);

/* ---- vdso.c ---- */
/* Map data page and image; *addr = the image, 0 if there is none. */
int must_check vdso_map(struct space *space, vaddr_t *addr);
/* The wall clock was set. */
void vdso_update(void);
/* User address of the signal restorer in the vDSO, 0 if it has none (proc/vdso.c). */
uintptr_t vdso_restorer(const struct process *process);

/* ---- itimer.c, posix_timer.c ---- */
void itimer_init(struct process *process);
void itimer_stop(struct process *process);
void posix_timers_stop(struct process *process);
/* The process has one more task. Its lock is held. */
void posix_timers_task_joined_locked(struct process *process);
/* Behind every clock_wall_set. */
void posix_timers_clock_set(void);
/* execve: trampolines are gone with the old space. */
void patch_forget(struct process *process);

#endif
