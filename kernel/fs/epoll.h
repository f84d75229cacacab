/* SPDX-License-Identifier: BSD-3-Clause */
/* epoll.h - epoll(7) instances. */
#ifndef SELKIE_FS_EPOLL_H
#define SELKIE_FS_EPOLL_H

#include "fs/file.h"

#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3
#define EPOLLEXCLUSIVE (1u << 28)
#define EPOLLWAKEUP (1u << 29)
#define EPOLLONESHOT (1u << 30)
#define EPOLLET (1u << 31)

void epoll_init(void);
int must_check epoll_create_file(uint32_t flags, struct file **out);
bool file_is_epoll(const struct file *file);
/* epoll_ctl on an epoll file; `target` is what fd names now. */
int must_check epoll_control(struct file *epoll, int op, int fd, struct file *target,
                             uint32_t events, uint64_t data);
/* Report up to max events through emit (false: it could not take the event, which stays ready).
 * Waits until the deadline for the first: 0 = time is up. -ERESTARTSYS when interrupted, -EFAULT.
 */
long must_check epoll_wait_events(struct file *epoll, int max, uint64_t deadline_ns,
                                  bool (*emit)(void *arg, uint32_t events, uint64_t data),
                                  void *arg);
/* The last reference to a watched file is going: every interest in it ends. */
void epoll_forget_file(struct file *file);

#endif
