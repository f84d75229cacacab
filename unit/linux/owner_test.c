/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/linux/sys_file_owner.c kernel/core/spinlock.c kernel/core/percpu.c
   kernel/core/panic.c kernel/core/log.c kernel/lib/format.c kernel/lib/strutil.c unit/fake_hal.c
   unit/fake_kmalloc.c */
/* owner_test.c - whom the owner of a file is when its number is used again. Threads, processes and
 * all that signals are stand-ins. */
#include <cmocka.h>
#include <string.h>

#include "fake.h"
#include "fs/async.h"
#include "fs/context.h"
#include "fs/fcntl.h"
#include "linux/sys_file.h"
#include "net/socket.h"
#include "sched/work.h"

static struct process process = {.pid = 1, .pgid = 1, .start_ns = 5};
static struct task task = {.process = &process, .tid = 9, .start_ns = 50};
static struct file file;
static unsigned to_process, to_task;
static int process_number, task_number; /* what is found; 0: nothing */

struct process *process_current(void)
{
    return &process;
}
struct process *process_find(int pid)
{
    return pid && pid == process_number ? &process : NULL;
}
struct process *process_next(int start)
{
    return start <= 1 && process_number ? &process : NULL;
}
bool proc_group_lives(int pgrp)
{
    return process_number && pgrp == process.pgid;
}
void process_put(struct process *p)
{
    (void)p;
}
struct task *task_find(int tid)
{
    return tid && tid == task_number ? &task : NULL;
}
void thread_put(struct thread *thread)
{
    (void)thread;
}
const struct fs_cred *proc_cred(void)
{
    static const struct fs_cred root;
    return &root;
}
bool cred_of_process(struct process *p, struct fs_cred *out)
{
    (void)p;
    *out = (struct fs_cred){0};
    return true;
}
int signal_send_process(struct process *p, const struct siginfo *info)
{
    (void)p, (void)info;
    to_process++;
    return 0;
}
int signal_send_task(struct task *t, const struct siginfo *info)
{
    (void)t, (void)info;
    to_task++;
    return 0;
}
int copyin(void *dst, uaddr_t src, size_t len)
{
    memcpy(dst, (const void *)src.raw, len);
    return 0;
}
int copyout(uaddr_t dst, const void *src, size_t len)
{
    memcpy((void *)dst.raw, src, len);
    return 0;
}
uint32_t file_poll(struct file *f, struct poll_table *table)
{
    (void)f, (void)table;
    return 0;
}
struct socket *socket_of_file(const struct file *f)
{
    (void)f;
    return NULL;
}
void mutex_init(struct mutex *m, enum lock_rank rank)
{
    (void)m, (void)rank;
}
void mutex_lock(struct mutex *m)
{
    (void)m;
}
void mutex_unlock(struct mutex *m)
{
    (void)m;
}
void waitq_add(struct waitq *queue, struct waiter *w, void (*fn)(struct waiter *, uint32_t))
{
    (void)queue, (void)w, (void)fn;
}
void waitq_remove(struct waiter *w)
{
    (void)w;
}
void work_init(struct work *work, void (*fn)(struct work *))
{
    (void)work, (void)fn;
}
void preempt_resched(void)
{
}
bool work_queue(struct work *work)
{
    (void)work;
    return true;
}

enum { OWNER_TID, OWNER_PID, OWNER_PGRP };
struct owner {
    int32_t type, pid;
};

static int setup(void **state)
{
    (void)state;
    fake_hal_init(4 << 20);
    file = (struct file){0};
    process.start_ns = 5;
    task.start_ns = 50;
    process_number = 1;
    task_number = 9;
    to_process = to_task = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (file.async)
        file.async->free(&file);
    fake_hal_fini();
    return 0;
}

static void own(int type, int id)
{
    struct owner owner = {type, id};
    assert_int_equal(file_owner_fcntl(&file, F_SETOWN_EX, (uintptr_t)&owner), 0);
}

static int owner_id(void)
{
    struct owner owner;
    assert_int_equal(file_owner_fcntl(&file, F_GETOWN_EX, (uintptr_t)&owner), 0);
    return owner.pid;
}

static void a_thread(void **state)
{
    (void)state;
    own(OWNER_TID, 9);
    file_signal_owner(&file, SIGURG);
    assert_int_equal(to_task, 1);
    assert_int_equal(owner_id(), 9);
    task.start_ns = 51; /* another one */
    file_signal_owner(&file, SIGURG);
    assert_int_equal(to_task, 1);
    assert_int_equal(owner_id(), 0);
    own(OWNER_TID, 9);
    file_signal_owner(&file, SIGURG);
    assert_int_equal(to_task, 2);
}

static void a_process(void **state)
{
    (void)state;
    own(OWNER_PID, 1);
    file_signal_owner(&file, SIGURG);
    assert_int_equal(to_process, 1);
    process.start_ns = 6;
    file_signal_owner(&file, SIGURG);
    assert_int_equal(to_process, 1);
    assert_int_equal(owner_id(), 0);
}

/* A thread's number given as a process's: nobody, and nobody later. */
static void a_number_of_another_kind(void **state)
{
    (void)state;
    own(OWNER_PID, 9);
    process_number = 9; /* once there are several */
    file_signal_owner(&file, SIGURG);
    assert_int_equal(to_process, 0);
    assert_int_equal(owner_id(), 0);
}

/* Its first thread is the process: execve may give the number to another thread of it. */
static void the_first_thread(void **state)
{
    (void)state;
    task.tid = task_number = 1;
    own(OWNER_TID, 1);
    task.start_ns = 70;
    file_signal_owner(&file, SIGURG);
    assert_int_equal(to_task, 1);
    assert_int_equal(owner_id(), 1);
    task.tid = 9;
}

static void a_group(void **state)
{
    (void)state;
    own(OWNER_PGRP, 1);
    file_signal_owner(&file, SIGURG);
    assert_int_equal(to_process, 1);
    assert_int_equal(file_owner_fcntl(&file, F_SETOWN, (uint64_t)-77), -ESRCH);
    assert_int_equal(file_owner_fcntl(&file, F_SETOWN, 0), 0);
    file_signal_owner(&file, SIGURG);
    assert_int_equal(to_process, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_thread), T(a_process), T(a_number_of_another_kind), T(the_first_thread), T(a_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
