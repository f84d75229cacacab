/* SPDX-License-Identifier: BSD-3-Clause */
/* uapi.h - structures and helpers that several non-file system calls share (uapi
 * linux/time_types.h, linux/resource.h). */
#ifndef SELKIE_LINUX_UAPI_H
#define SELKIE_LINUX_UAPI_H

#include "linux/syscall.h"
#include "mm/usercopy.h"
#include "proc/process.h"

struct uapi_timespec {
    int64_t sec, nsec;
};
struct uapi_timeval {
    int64_t sec, usec;
};
struct uapi_itimerval {
    struct uapi_timeval interval, value;
};
struct uapi_itimerspec {
    struct uapi_timespec interval, value;
};

static inline struct uapi_timespec timespec_of_ns(uint64_t ns)
{
    return (struct uapi_timespec){(int64_t)(ns / NS_PER_SEC), (int64_t)(ns % NS_PER_SEC)};
}
static inline struct uapi_timeval timeval_of_ns(uint64_t ns)
{
    return (struct uapi_timeval){(int64_t)(ns / NS_PER_SEC),
                                 (int64_t)(ns % NS_PER_SEC / NS_PER_US)};
}
/* -EINVAL for what Linux calls invalid; saturates at INT64_MAX. */
int must_check ns_of_timespec(const struct uapi_timespec *ts, uint64_t *ns);
int must_check ns_of_timeval(const struct uapi_timeval *tv, uint64_t *ns);
/* now + ns, saturating: UINT64_MAX means never. */
static inline uint64_t ns_add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return add_overflow(a, b, &sum) || sum > INT64_MAX ? UINT64_MAX : sum;
}
/* CPU time of a process: its living and its dead tasks. */
uint64_t process_runtime_ns(struct process *p);

/* A task by tid that belongs to the caller's process; with a thread reference, or NULL. 0: the
 * caller. */
struct task *task_by_tid(int tid);
/* The process that a positive number means: any of its threads' will do. With a reference, or NULL.
 */
struct process *process_of_task(int id);

#endif
