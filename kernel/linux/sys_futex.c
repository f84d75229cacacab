/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sys_futex.c - the futex calls: decoding of operations, flags and times; proc/futex.h does the
 * rest.
 *
 * A wait that is interrupted begins again with the time when it was to end: relative times are
 * counted from the first call. Which clocks an operation knows, and that FUTEX_WAIT refuses
 * FUTEX_CLOCK_REALTIME, is as in Linux since 5.14.
 */
#include "lib/errno.h"
#include "linux/syscall.h"
#include "linux/uapi.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "proc/futex.h"

enum {
    FUTEX_WAIT = 0,
    FUTEX_WAKE = 1,
    FUTEX_REQUEUE = 3,
    FUTEX_CMP_REQUEUE = 4,
    FUTEX_WAKE_OP = 5,
    FUTEX_LOCK_PI = 6,
    FUTEX_UNLOCK_PI = 7,
    FUTEX_TRYLOCK_PI = 8,
    FUTEX_WAIT_BITSET = 9,
    FUTEX_WAKE_BITSET = 10,
    FUTEX_WAIT_REQUEUE_PI = 11,
    FUTEX_CMP_REQUEUE_PI = 12,
    FUTEX_LOCK_PI2 = 13,
};
#define FUTEX_PRIVATE_FLAG 128
#define FUTEX_CLOCK_REALTIME 256

/* uapi linux/futex.h, "futex2" */
#define FUTEX2_SIZE_MASK 3u
#define FUTEX2_SIZE_U32 2u
#define FUTEX2_PRIVATE 128u
struct uapi_futex_waitv {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};
STATIC_ASSERT(sizeof(struct uapi_futex_waitv) == 24);

static const struct futex_time never = {UINT64_MAX, false};

/* ---- times ---- */

static int read_time(uint64_t addr, bool relative, bool wall, struct futex_time *out)
{
    struct uapi_timespec ts;
    *out = never;
    if (addr == 0)
        return 0;
    if (copyin(&ts, uaddr(addr), sizeof ts))
        return -EFAULT;
    int err = ns_of_timespec(&ts, &out->ns);
    if (err)
        return err;
    uint64_t restarted = task_current()->restart_deadline_ns;
    if (restarted)
        out->ns = restarted; /* the first call's, after a signal without a handler */
    else if (relative && add_overflow(out->ns, clock_mono_ns(), &out->ns))
        out->ns = UINT64_MAX;
    out->ns = out->ns >= INT64_MAX ? UINT64_MAX : MAX(out->ns, 1); /* 0 means "no restart" */
    out->wall = wall && out->ns != UINT64_MAX;
    return 0;
}

static bool op_has_time(int command)
{
    return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI ||
           command == FUTEX_LOCK_PI2 || command == FUTEX_WAIT_REQUEUE_PI;
}

static bool op_has_wall_flag(int command)
{
    return command == FUTEX_WAIT_BITSET || command == FUTEX_WAIT_REQUEUE_PI ||
           command == FUTEX_LOCK_PI2;
}

/* ---- futex ---- */

static long wait_restartable(struct futex_word word, uint32_t expected,
                             const struct futex_time *time, uint32_t bitset)
{
    int err = futex_wait(word, expected, time, bitset);
    if (err != -EINTR)
        return err;
    if (time->ns == UINT64_MAX)
        return -ERESTARTSYS;
    task_current()->restart_deadline_ns = time->ns;
    return -ERESTART_RESTARTBLOCK;
}

/* All but the requeues. */
static long run(int command, const struct syscall_args *a, struct futex_word word,
                struct futex_word word2, const struct futex_time *time)
{
    uint32_t val = (uint32_t)a->arg[2], val3 = (uint32_t)a->arg[5];
    switch (command) {
    case FUTEX_WAIT:
        return wait_restartable(word, val, time, FUTEX_ANY_BIT);
    case FUTEX_WAIT_BITSET:
        return wait_restartable(word, val, time, val3);
    case FUTEX_WAKE:
        return futex_wake_word(word, (int)val, FUTEX_ANY_BIT);
    case FUTEX_WAKE_BITSET:
        return futex_wake_word(word, (int)val, val3);
    case FUTEX_WAKE_OP:
        return futex_wake_op(word, word2, (int)val, (int)a->arg[3], val3);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return futex_lock_pi(word, time, false);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(word, &never, true);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(word);
    case FUTEX_WAIT_REQUEUE_PI:
        return futex_wait_requeue_pi(word, val, time, word2);
    default:
        return -ENOSYS;
    }
}

long sys_futex(const struct syscall_args *a)
{
    int op = (int)a->arg[1], command = op & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    bool shared = !(op & FUTEX_PRIVATE_FLAG), wall = op & FUTEX_CLOCK_REALTIME;
    uint32_t val3 = (uint32_t)a->arg[5];
    struct futex_word word = {uaddr(a->arg[0]), shared}, word2 = {uaddr(a->arg[4]), shared};
    struct futex_time time = never;
    if (op_has_time(command)) {
        int err =
            read_time(a->arg[3], command == FUTEX_WAIT, wall || command == FUTEX_LOCK_PI, &time);
        if (err)
            return err;
    }
    if (wall && !op_has_wall_flag(command))
        return -ENOSYS;
    struct futex_requeue req = {
        .from = word,
        .to = word2,
        .wake_count = (int)(uint32_t)a->arg[2],
        .move_count = (int)(uint32_t)a->arg[3],
        .expected = command == FUTEX_REQUEUE ? NULL : &val3,
    };
    if (command == FUTEX_REQUEUE || command == FUTEX_CMP_REQUEUE)
        return futex_requeue(&req);
    if (command == FUTEX_CMP_REQUEUE_PI)
        return futex_requeue_pi(&req);
    return run(command, a, word, word2, &time);
}

/* ---- futex2 ---- */

/* 32-bit words only, as Linux 6.1 to 6.15. */
static int word_of_flags(uint64_t addr, uint64_t flags, struct futex_word *out)
{
    if (flags & ~(uint64_t)(FUTEX2_SIZE_MASK | FUTEX2_PRIVATE) ||
        (flags & FUTEX2_SIZE_MASK) != FUTEX2_SIZE_U32)
        return -EINVAL;
    *out = (struct futex_word){uaddr(addr), !(flags & FUTEX2_PRIVATE)};
    return 0;
}

static int read_absolute(uint64_t addr, uint64_t clock, struct futex_time *out)
{
    if (addr && clock > 1) /* CLOCK_REALTIME, CLOCK_MONOTONIC */
        return -EINVAL;
    return read_time(addr, false, clock == 0, out);
}

static int read_waitv(uint64_t addr, unsigned count, struct futex_wait_item *out)
{
    for (unsigned i = 0; i < count; i++) {
        struct uapi_futex_waitv v;
        if (copyin(&v, uaddr(addr + i * sizeof v), sizeof v))
            return -EFAULT;
        int err = word_of_flags(v.uaddr, v.flags, &out[i].word);
        if (err || v.reserved || v.val > UINT32_MAX)
            return -EINVAL;
        out[i].expected = (uint32_t)v.val;
    }
    return 0;
}

long sys_futex_waitv(const struct syscall_args *a)
{
    unsigned count = (unsigned)a->arg[1];
    struct futex_time time;
    if ((unsigned)a->arg[2] || count == 0 || count > FUTEX_WAITV_MAX || a->arg[0] == 0)
        return -EINVAL;
    int err = read_absolute(a->arg[3], (uint32_t)a->arg[4], &time);
    if (err)
        return err;
    struct futex_wait_item *items = kmalloc_array(count, sizeof *items, 0);
    if (!items)
        return -ENOMEM;
    err = read_waitv(a->arg[0], count, items);
    if (!err)
        err = futex_wait_many(items, count, &time);
    kfree(items);
    return err == -EINTR ? -ERESTARTSYS : err;
}

long sys_futex_wake(const struct syscall_args *a)
{
    struct futex_word word;
    int count = (int)(uint32_t)a->arg[2];
    if (word_of_flags(a->arg[0], (uint32_t)a->arg[3], &word) || a->arg[1] > UINT32_MAX)
        return -EINVAL;
    uint32_t mask = (uint32_t)a->arg[1];
    if (count == 0 && mask)
        return 0; /* unlike FUTEX_WAKE */
    return futex_wake_word(word, count, mask);
}

long sys_futex_wait(const struct syscall_args *a)
{
    struct futex_word word;
    struct futex_time time;
    if (word_of_flags(a->arg[0], (uint32_t)a->arg[3], &word) || a->arg[1] > UINT32_MAX ||
        a->arg[2] > UINT32_MAX)
        return -EINVAL;
    int err = read_absolute(a->arg[4], (uint32_t)a->arg[5], &time);
    if (err)
        return err;
    err = futex_wait(word, (uint32_t)a->arg[1], &time, (uint32_t)a->arg[2]);
    return err == -EINTR ? -ERESTARTSYS : err;
}

long sys_futex_requeue(const struct syscall_args *a)
{
    struct futex_wait_item items[2];
    if ((uint32_t)a->arg[1] || a->arg[0] == 0)
        return -EINVAL;
    int err = read_waitv(a->arg[0], 2, items);
    if (err)
        return err;
    if (items[0].word.shared != items[1].word.shared)
        return -EINVAL;
    struct futex_requeue req = {
        .from = items[0].word,
        .to = items[1].word,
        .wake_count = (int)(uint32_t)a->arg[2],
        .move_count = (int)(uint32_t)a->arg[3],
        .expected = &items[0].expected,
    };
    return futex_requeue(&req);
}

/* ---- robust lists ---- */

#define ROBUST_LIST_HEAD_SIZE 24

long sys_set_robust_list(const struct syscall_args *a)
{
    struct task *task = task_current();
    if (a->arg[1] != ROBUST_LIST_HEAD_SIZE)
        return -EINVAL;
    /* Relaxed: others only ask for it. */
    __atomic_store_n(&task->robust_list.raw, a->arg[0], __ATOMIC_RELAXED);
    return 0;
}

long sys_get_robust_list(const struct syscall_args *a)
{
    struct task *task = task_by_tid((int)a->arg[0]);
    if (!task)
        return -ESRCH;
    uint64_t head = __atomic_load_n(&task->robust_list.raw, __ATOMIC_RELAXED);
    uint64_t len = ROBUST_LIST_HEAD_SIZE;
    thread_put(&task->thread);
    if (copyout(uaddr(a->arg[2]), &len, sizeof len))
        return -EFAULT;
    return copyout(uaddr(a->arg[1]), &head, sizeof head);
}
