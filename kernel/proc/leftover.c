/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leftover.c - see leftover.h. Counted is what belongs to programs and goes with them: threads,
 * processes, memory areas, open files, pipes, event objects, anonymous pages, page tables. Files
 * and what is remembered of them (inodes, names, cached pages, slabs) stay for the next one.
 *
 * The page tables of the kernel's stacks stay; those of the upper levels are a few.
 *
 * Much of it is given back a little later, by the reaper after a grace period, so one look does not
 * say anything.
 */
#include "proc/leftover.h"

#include "core/log.h"
#include "mm/account.h"
#include "mm/kstack.h"
#include "mm/page.h"
#include "sched/thread.h"
#include "sched/wait.h"

#define WAIT_NS (10 * NS_PER_SEC)
#define LOOK_NS (2 * NS_PER_MS)

static const enum memory_owner owners[] = {
    OWNER_THREAD, OWNER_PROCESS, OWNER_AREA, OWNER_FILE, OWNER_PIPE, OWNER_EVENT,
};
#define TABLES_MORE 4 /* of upper levels */
#define OWNERS (sizeof(owners) / sizeof(owners[0]))
enum { LEFT_THREADS = OWNERS, LEFT_ANON, LEFT_TABLES, LEFT_COUNT };

static uint64_t marked[LEFT_COUNT];

static void count(uint64_t *out)
{
    struct page_stats pages;
    page_get_stats(&pages);
    for (unsigned i = 0; i < OWNERS; i++)
        out[i] = owner_get(owners[i]).objects;
    out[LEFT_THREADS] = thread_count();
    out[LEFT_ANON] = pages.by_type[PAGE_ANON];
    out[LEFT_TABLES] = pages.by_type[PAGE_TABLE] - kstack_tables();
}

static const char *name_of(unsigned i)
{
    if (i < OWNERS)
        return memory_owner_names[owners[i]];
    return i == LEFT_THREADS ? "running threads"
           : i == LEFT_ANON  ? "pages of program memory"
                             : "pages of page tables";
}

void leftover_mark(void)
{
    count(marked);
    marked[LEFT_TABLES] += TABLES_MORE;
}

unsigned leftover_report(void)
{
    uint64_t now[LEFT_COUNT], until = clock_mono_ns() + WAIT_NS;
    unsigned more;
    for (;;) {
        more = 0;
        count(now);
        for (unsigned i = 0; i < LEFT_COUNT; i++)
            more += now[i] > marked[i];
        if (more == 0 || clock_mono_ns() >= until)
            break;
        (void)!sleep_until(clock_mono_ns() + LOOK_NS, false);
    }
    for (unsigned i = 0; i < LEFT_COUNT; i++)
        if (now[i] > marked[i])
            log_error("left over: %s, %llu more than before the program", name_of(i),
                      (unsigned long long)(now[i] - marked[i]));
    return more;
}
