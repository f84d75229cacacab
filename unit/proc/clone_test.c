/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/proc/clone.c kernel/core/spinlock.c kernel/core/percpu.c kernel/core/panic.c
   kernel/core/log.c kernel/lib/format.c kernel/lib/strutil.c unit/fake_hal.c */
/* clone_test.c - a thread that begins while its process ends, executes another program or is
 * stopped. What it is made of are stand-ins. */
#include <cmocka.h>
#include <string.h>

#include "fake.h"
#include "isa.h"
#include "lib/errno.h"
#include "mm/usercopy.h"
#include "proc/clone.h"
#include "proc/internal.h"

static struct process process;
static struct task parent, child;
static struct isa_frame frame;
static uint8_t fp[1 << 16];
static unsigned discarded, started, told;
static bool told_files;

struct task *task_current(void)
{
    return &parent;
}
struct process *process_current(void)
{
    return &process;
}
int pid_alloc(void)
{
    return 7;
}
struct task *task_create(struct process *p, int tid, const char *name, void (*fn)(void *))
{
    static struct fs_cred cred = {.uid = 1000, .euid = 1000};
    (void)name, (void)fn;
    memset(&child, 0, sizeof child);
    child.process = p;
    child.tid = tid;
    child.thread.fp = fp;
    child.cred = &cred;
    list_init(&child.process_link);
    return &child;
}
void task_discard(struct task *task)
{
    assert_ptr_equal(task, &child);
    discarded++;
}
void task_join_process_locked(struct task *task)
{
    list_push_back(&process.tasks, &task->process_link);
    process.task_count++;
}
void task_table_add(struct task *task)
{
    (void)task;
}
void task_main(void *arg)
{
    (void)arg;
}
void fdtable_has_threads(struct fdtable *table)
{
    assert_null(table);
    told_files = true;
}
void thread_start(struct thread *thread)
{
    assert_true(told_files); /* before the second task can change them */
    told_files = false;
    assert_ptr_equal(thread, &child.thread);
    started++;
}
void thread_interrupt(struct thread *thread)
{
    assert_ptr_equal(thread, &child.thread);
    assert_false(started);
    told++;
}
int user_store_u32(uaddr_t dst, uint32_t value)
{
    (void)dst, (void)value;
    return 0;
}
void preempt_resched(void)
{
}
size_t isa_fp_size(void)
{
    return 512;
}

static int setup(void **state)
{
    (void)state;
    fake_hal_init(4 << 20);
    memset(&process, 0, sizeof process);
    memset(&parent, 0, sizeof parent);
    spin_init(&process.lock, RANK_PROCESS);
    list_init(&process.tasks);
    process.limits[RLIMIT_NPROC].cur = 10;
    parent.process = &process;
    parent.thread.fp = fp;
    discarded = started = told = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_hal_fini();
    return 0;
}

static long clone_thread(void)
{
    struct clone_args args = {.flags =
                                  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD};
    return process_clone(&args, &frame);
}

static void it_starts(void **state)
{
    (void)state;
    assert_int_equal(clone_thread(), 7);
    assert_int_equal(started, 1);
    assert_int_equal(told, 0);
}

/* The others were told to stop before it was one of them. */
static void it_is_told_of_a_stop(void **state)
{
    (void)state;
    process.stopped = true;
    assert_int_equal(clone_thread(), 7);
    assert_int_equal(started, 1);
    assert_int_equal(told, 1);
}

static void none_begins_when_all_leave(void **state)
{
    (void)state;
    process.exiting = true;
    assert_int_equal(clone_thread(), -ERESTARTSYS);
    process.exiting = false;
    process.exec_task = &parent;
    process.stopped = true;
    assert_int_equal(clone_thread(), -ERESTARTSYS);
    assert_int_equal(discarded, 2);
    assert_int_equal(started + told + process.task_count, 0);
}

static void the_limit_holds(void **state)
{
    (void)state;
    process.task_count = 10;
    assert_int_equal(clone_thread(), -EAGAIN);
    assert_int_equal(discarded, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(it_starts),
        T(it_is_told_of_a_stop),
        T(none_begins_when_all_leave),
        T(the_limit_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
