/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rseq.h - restartable sequences, rseq(2): a thread's word in user memory says which CPU it runs
 * on, and a critical section of user code that names itself there is left for its abort address
 * when the thread has lost the CPU, or takes a signal, in the middle of it.
 *
 * Linux's structure of 32 bytes (uapi linux/rseq.h); node_id is 0, for there is one memory node,
 * and mm_cid is the CPU's number: unlike any other running thread's, and less than their count.
 */
#ifndef SELKIE_PROC_RSEQ_H
#define SELKIE_PROC_RSEQ_H

#include "isa/frame.h"
#include "lib/types.h"

#define RSEQ_SIZE 32         /* also what it must be aligned to */
#define RSEQ_FEATURE_SIZE 28 /* as far as fields have a meaning: AT_RSEQ_FEATURE_SIZE */

struct process;
struct task;

/* The calling task's, as Linux. -EINVAL, -EPERM (another signature), -EBUSY, -EFAULT. */
int must_check rseq_register(uaddr_t area, uint32_t len, uint32_t signature);
int must_check rseq_unregister(uaddr_t area, uint32_t len, uint32_t signature);

/* At the end of a system call, thread->switched being set: clears it if the task is still where it
 * was told to be. */
void rseq_called(struct task *task);
/* On the way to user code, thread->switched being set. Interrupts off; may leave it set, when user
 * memory is not there or there is a critical section to look at: */
void rseq_resume_quick(struct task *task);
/* then this. Interrupts on. A bad area is a SIGSEGV. */
void rseq_resume(struct task *task, struct isa_frame *frame);
/* A handler is to be started on the frame. -EFAULT, -EINVAL: bad area. */
int must_check rseq_signal(struct task *task, struct isa_frame *frame);
/* Every task of the process leaves the critical section that it may be in: between call and return
 * (membarrier(2)). Thread context. */
void rseq_barrier(struct process *process);

#endif
