/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crash.c - panic=HOW on the command line of a debug build: panic on purpose, for tests of the
 * report, when a thread of the program sleeps that has the name "crash now", or after a minute.
 *
 *   plain   in a kernel thread             fault     by a wild pointer
 *   lock    with locks held                irq       in a timer interrupt
 *   inside  again while it is reported     all       on every CPU at once
 *   stack   by running off the stack       list      with the list of threads broken
 *   hold    not at all, with locks held: whoever reads the log is to send a signal
 */
#include "core/cmdline.h"
#include "core/panic.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "sched/internal.h"
#include "sched/report.h"
#include "sched/wait.h"

#define LOOK_NS (20 * NS_PER_MS)
#define LOOKS 3000

static char how[16];
static unsigned waiting; /* atomic: CPUs that have come to panic together */
static struct spinlock inner = SPINLOCK_INIT(RANK_DEVICE);
static struct mutex outer;

static void in_timer(struct timer *timer)
{
    (void)timer;
    panic("on purpose, in an interrupt");
}

static void broken_part(void)
{
    panic_say("this part is broken:\n");
    *(volatile char *)(uintptr_t)HAL_PAGE_SIZE = 1;
}

static void together(void *arg)
{
    unsigned cpus = cpu_online_count();
    while (hal_cpu_id() != (uintptr_t)arg) /* its affinity may come later */
        sched_yield();
    /* Relaxed: only the meeting counts. */
    __atomic_add_fetch(&waiting, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&waiting, __ATOMIC_RELAXED) < cpus)
        hal_cpu_relax();
    panic("on purpose, on every CPU");
}

static void on_every_cpu(void)
{
    uint64_t mask[HAL_CPU_MAX / 64];
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        struct thread *thread = thread_spawn("together", together, (void *)(uintptr_t)id);
        memset(mask, 0, sizeof mask);
        mask[id / 64] = 1ull << id % 64;
        CHECK(thread && sched_set_affinity(thread, mask) == 0);
    }
    (void)!sleep_until(UINT64_MAX, false);
}

/* Not a tail call, and not to be seen through. */
static no_inline uint64_t run_off(volatile uint64_t *above)
{
    volatile uint64_t here[64];
    here[0] = *above + 1;
    return here[0] ? run_off(here) + here[0] : 0; /* the compiler does not know that it never is */
}

static void wait_for_lock(void *arg)
{
    (void)arg;
    mutex_lock(&outer);
    mutex_unlock(&outer);
}

static void look(struct thread *thread, void *found)
{
    /* Relaxed: what it says may be old, but not whether it went to sleep at last. */
    if (strcmp(thread->name, "crash now") == 0 &&
        __atomic_load_n(&thread->state, __ATOMIC_RELAXED) == THREAD_SLEEPING)
        *(bool *)found = true;
}

static void wait_for_program(void)
{
    bool found = false;
    for (unsigned i = 0; i < LOOKS && !found; i++) {
        thread_for_each(look, &found);
        (void)!sleep_until(hal_clock_ns() + LOOK_NS, false);
    }
}

static void hold_locks(void)
{
    mutex_init(&outer, RANK_SLEEP_LAST);
    mutex_lock(&outer);
    CHECK(thread_spawn("waiter", wait_for_lock, NULL));
    (void)!sleep_until(hal_clock_ns() + LOOK_NS, false);
    spin_lock(&inner);
}

static void wait_for_signal(void)
{
    panic_say("selkie: holding locks on CPU %u\n", hal_cpu_id());
    for (;;)
        hal_cpu_relax();
}

static void crash(void *arg)
{
    (void)arg;
    static struct timer timer;
    volatile uint64_t start = 0;
    wait_for_program();
    if (strcmp(how, "fault") == 0) {
        *(volatile char *)(uintptr_t)HAL_PAGE_SIZE = 1;
    } else if (strcmp(how, "lock") == 0) {
        hold_locks();
    } else if (strcmp(how, "hold") == 0) {
        hold_locks();
        wait_for_signal();
    } else if (strcmp(how, "irq") == 0) {
        timer_setup(&timer, in_timer);
        timer_arm(&timer, hal_clock_ns());
        (void)!sleep_until(UINT64_MAX, false);
    } else if (strcmp(how, "inside") == 0) {
        panic_add(broken_part);
    } else if (strcmp(how, "all") == 0) {
        on_every_cpu();
    } else if (strcmp(how, "stack") == 0) {
        (void)run_off(&start);
    } else if (strcmp(how, "list") == 0) {
        struct list *first = thread_list_peek()->next;
        first->next = (struct list *)(uintptr_t)HAL_PAGE_SIZE;
    }
    panic("on purpose: %s", how);
}

int crash_init(const char *cmdline)
{
    if (!cmdline_option(cmdline, "panic", how, sizeof how))
        return 0;
    if (!SELKIE_DEBUG)
        return -ENOSYS;
    return thread_spawn("crash", crash, NULL) ? 0 : -ENOMEM;
}
