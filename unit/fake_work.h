/* SPDX-License-Identifier: BSD-3-Clause */
/* fake_work.h - sched/work.h for tests: work waits until the test runs it. */
#ifndef SELKIE_UNIT_FAKE_WORK_H
#define SELKIE_UNIT_FAKE_WORK_H

#include "sched/work.h"

static struct work *fake_works, **fake_works_end = &fake_works;
void work_init(struct work *work, void (*fn)(struct work *work))
{
    *work = (struct work){.fn = fn};
}
bool work_queue_on(struct work *work, unsigned cpu)
{
    (void)cpu;
    if (work->queued)
        return false;
    work->queued = true;
    work->next = NULL;
    *fake_works_end = work;
    fake_works_end = &work->next;
    return true;
}
bool work_queue(struct work *work)
{
    return work_queue_on(work, 0);
}
/* At most `most` pieces of work; how many there was. */
static inline unsigned fake_work_run(unsigned most)
{
    unsigned done = 0;

    for (; fake_works && done < most; done++) {
        struct work *work = fake_works;

        fake_works = work->next;
        if (!fake_works)
            fake_works_end = &fake_works;
        work->queued = false;
        work->fn(work);
    }
    return done;
}
static inline void fake_work_forget(void)
{
    fake_works = NULL;
    fake_works_end = &fake_works;
}

#endif
