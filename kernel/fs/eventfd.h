/* SPDX-License-Identifier: BSD-3-Clause */
/* eventfd.h - eventfd(2) and timerfd_create(2). */
#ifndef SELKIE_FS_EVENTFD_H
#define SELKIE_FS_EVENTFD_H

#include "fs/file.h"

int must_check eventfd_create(uint64_t initial, bool semaphore, uint32_t flags, struct file **out);

/* Times in ns; value 0: disarmed. */
struct timerfd_spec {
    uint64_t interval_ns, value_ns;
};
#define TFD_TIMER_ABSTIME 1
#define TFD_TIMER_CANCEL_ON_SET 2
int must_check timerfd_create_file(int clock, uint32_t flags, struct file **out);
bool file_is_timerfd(const struct file *file);
int must_check timerfd_set(struct file *file, int flags, const struct timerfd_spec *spec,
                           struct timerfd_spec *old);
void timerfd_get(struct file *file, struct timerfd_spec *out);
/* Behind every clock_wall_set. */
void timerfd_clock_set(void);
void timerfd_init(void);

#endif
