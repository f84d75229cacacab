/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sys_poll.c - poll, ppoll, select, pselect6: all are one wait over a list of struct pollfd.
 *
 * The first round joins the wait queues of the files and asks for their state; if none is ready,
 * the thread sleeps and asks again. Files stay referenced over the whole call.
 */
#include "fs/pollwait.h"
#include "lib/string.h"
#include "linux/sys_file.h"
#include "mm/kmalloc.h"
#include "sched/timer.h"

struct pollfd {
    int32_t fd;
    int16_t events, revents;
};
STATIC_ASSERT(sizeof(struct pollfd) == 8);

#define POLL_FAST 8
#define NO_WAIT 0
#define FOREVER UINT64_MAX

/* One round; how many entries are ready. pw NULL: do not join queues. */
static long poll_round(struct pollfd *list, struct file **files, size_t count, struct poll_wait *pw)
{
    long ready = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t wanted = (uint16_t)list[i].events | POLLERR | POLLHUP, state;
        list[i].revents = 0;
        if (list[i].fd < 0)
            continue;
        if (!files[i])
            state = POLLNVAL;
        else
            state = file_poll(files[i], pw && !ready ? poll_wait_table(pw, wanted) : NULL) & wanted;
        list[i].revents = (int16_t)state;
        ready += state != 0;
    }
    return ready;
}

static long poll_files(struct pollfd *list, struct file **files, size_t count, uint64_t deadline)
{
    struct poll_wait pw;
    poll_wait_init(&pw);
    long ready = poll_round(list, files, count, deadline == NO_WAIT ? NULL : &pw);
    while (ready == 0 && deadline != NO_WAIT) {
        int err = poll_wait_sleep(&pw, deadline);
        ready = poll_round(list, files, count, NULL);
        if (ready == 0 && err == -ETIMEDOUT)
            break;
        if (ready == 0 && err)
            ready = err == -EINTR ? -ERESTARTNOHAND : err;
    }
    poll_wait_done(&pw);
    return ready;
}

static long do_poll(struct pollfd *list, size_t count, uint64_t deadline)
{
    struct file *fast[POLL_FAST], **files = fast;
    if (count > POLL_FAST) {
        files = kmalloc_array(count, sizeof(*files), ALLOC_DEFAULT);
        if (!files)
            return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++)
        files[i] = list[i].fd >= 0 ? file_arg_io((uint64_t)list[i].fd) : NULL;
    long ready = poll_files(list, files, count, deadline);
    for (size_t i = 0; i < count; i++)
        if (files[i])
            file_put(files[i]);
    if (files != fast)
        kfree(files);
    return ready;
}

static long poll_user(uint64_t addr, uint64_t count, uint64_t deadline)
{
    struct pollfd fast[POLL_FAST], *list = fast;
    if (count > process_limit(process_current(), RLIMIT_NOFILE) || count > FD_MAX_HARD)
        return -EINVAL;
    if (count > POLL_FAST) {
        list = kmalloc_array(count, sizeof(*list), ALLOC_DEFAULT);
        if (!list)
            return -ENOMEM;
    }
    long ready = copyin(list, uaddr(addr), count * sizeof(*list));
    if (ready == 0)
        ready = do_poll(list, count, deadline);
    for (size_t i = 0; i < count && ready >= 0; i++) {
        uint64_t at = addr + i * sizeof(*list) + offsetof(struct pollfd, revents);
        if (copyout(uaddr(at), &list[i].revents, sizeof(list[i].revents)))
            ready = -EFAULT;
    }
    if (list != fast)
        kfree(list);
    return ready;
}

static uint64_t deadline_of(uint64_t ns)
{
    return ns == 0 ? NO_WAIT : deadline_after(ns);
}

long sys_poll(const struct syscall_args *a)
{
    int timeout_ms = (int)a->arg[2];
    uint64_t deadline = timeout_ms < 0 ? FOREVER : deadline_of((uint64_t)timeout_ms * NS_PER_MS);
    struct task *task = task_current();
    if (task->restart_deadline_ns) /* called again after a signal without a handler */
        deadline = task->restart_deadline_ns;
    long ready = poll_user(a->arg[0], a->arg[1], deadline);
    if (ready == -ERESTARTNOHAND && deadline != FOREVER) {
        task->restart_deadline_ns = deadline;
        ready = -ERESTART_RESTARTBLOCK;
    }
    return ready;
}

/* Linux writes the time that is left back; a pointer to read-only memory is no error. */
static void put_left(uint64_t addr, uint64_t deadline, uint64_t unit_ns)
{
    uint64_t now = clock_mono_ns(), left = 0;
    if (!addr || deadline == FOREVER)
        return;
    if (deadline != NO_WAIT && deadline > now)
        left = deadline - now;
    uint64_t out[2] = {left / NS_PER_SEC, left % NS_PER_SEC / unit_ns};
    if (copyout(uaddr(addr), out, sizeof(out)))
        return;
}

long sys_ppoll(const struct syscall_args *a)
{
    uint64_t ns, deadline = FOREVER;
    if (a->arg[2]) {
        int err = copyin_timespec(a->arg[2], &ns);
        if (err)
            return err;
        deadline = deadline_of(ns);
    }
    int err = mask_for_call(a->arg[3], a->arg[4]);
    if (err)
        return err;
    long ready = poll_user(a->arg[0], a->arg[1], deadline);
    put_left(a->arg[2], deadline, 1);
    return ready;
}

/* ---- select ---- */

#define SET_IN (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SET_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SET_EX POLLPRI

struct fd_sets {
    size_t words;     /* of 64 bits, in each set */
    uint64_t *set[3]; /* read, write, except; NULL if the caller gave none */
    uint64_t user[3];
    uint64_t *memory;
};

static int sets_copyin(struct fd_sets *s, unsigned n)
{
    s->words = (n + 63) / 64;
    s->memory = kmalloc_array(MAX(3 * s->words, (size_t)1), sizeof(uint64_t), ALLOC_ZERO);
    if (!s->memory)
        return -ENOMEM;
    for (int i = 0; i < 3; i++) {
        if (!s->user[i])
            continue;
        s->set[i] = s->memory + (size_t)i * s->words;
        int err = copyin(s->set[i], uaddr(s->user[i]), s->words * sizeof(uint64_t));
        if (err)
            return err;
    }
    return 0;
}

static bool set_has(const struct fd_sets *s, int which, unsigned fd)
{
    return s->set[which] && (s->set[which][fd / 64] >> (fd % 64) & 1);
}

static uint32_t wanted_events(const struct fd_sets *s, unsigned fd)
{
    return (set_has(s, 0, fd) ? SET_IN : 0) | (set_has(s, 1, fd) ? SET_OUT : 0) |
           (set_has(s, 2, fd) ? SET_EX : 0);
}

/* Descriptors of the sets as a poll list. -EBADF if one is not open. */
static long sets_to_list(const struct fd_sets *s, unsigned n, struct pollfd *list)
{
    long count = 0;
    for (unsigned fd = 0; fd < n; fd++) {
        uint32_t events = wanted_events(s, fd);
        if (!events)
            continue;
        if (fd_get_cloexec(current_files(), (int)fd) < 0)
            return -EBADF;
        list[count++] = (struct pollfd){(int32_t)fd, (int16_t)events, 0};
    }
    return count;
}

/* Write the results into the sets; returns the number of bits. */
static long list_to_sets(struct fd_sets *s, const struct pollfd *list, long count)
{
    static const uint32_t class[3] = {SET_IN, SET_OUT, SET_EX};
    long bits = 0;
    for (long i = 0; i < count; i++) {
        unsigned fd = (unsigned)list[i].fd;
        for (int which = 0; which < 3; which++) {
            if (!set_has(s, which, fd))
                continue;
            if ((uint16_t)list[i].revents & class[which])
                bits++;
            else
                s->set[which][fd / 64] &= ~(1ull << (fd % 64));
        }
    }
    return bits;
}

static long sets_copyout(const struct fd_sets *s)
{
    for (int i = 0; i < 3; i++)
        if (s->set[i] && copyout(uaddr(s->user[i]), s->set[i], s->words * sizeof(uint64_t)))
            return -EFAULT;
    return 0;
}

static long select_sets(struct fd_sets *s, unsigned n, uint64_t deadline)
{
    struct pollfd *list = kmalloc_array(MAX(n, 1u), sizeof(*list), ALLOC_DEFAULT);
    if (!list)
        return -ENOMEM;
    long count = sets_to_list(s, n, list);
    long ready = count < 0 ? count : do_poll(list, (size_t)count, deadline);
    if (ready >= 0) {
        ready = list_to_sets(s, list, count);
        long err = sets_copyout(s);
        ready = err ? err : ready;
    }
    kfree(list);
    return ready;
}

static long do_select(const struct syscall_args *a, uint64_t deadline)
{
    int n = (int)a->arg[0];
    if (n < 0)
        return -EINVAL;
    n = (int)MIN((uint64_t)n,
                 MIN(process_limit(process_current(), RLIMIT_NOFILE), (uint64_t)FD_MAX_HARD));
    struct fd_sets s = {.user = {a->arg[1], a->arg[2], a->arg[3]}};
    long ready = sets_copyin(&s, (unsigned)n);
    if (ready == 0)
        ready = select_sets(&s, (unsigned)n, deadline);
    kfree(s.memory);
    return ready;
}

long sys_select(const struct syscall_args *a)
{
    uint64_t ns, deadline = FOREVER;
    if (a->arg[4]) {
        int err = copyin_timeval(a->arg[4], &ns);
        if (err)
            return err;
        deadline = deadline_of(ns);
    }
    long ready = do_select(a, deadline);
    put_left(a->arg[4], deadline, NS_PER_US);
    return ready;
}

long sys_pselect6(const struct syscall_args *a)
{
    uint64_t ns, deadline = FOREVER, mask[2] = {0, 0};
    int err = 0;
    if (a->arg[4])
        err = copyin_timespec(a->arg[4], &ns);
    if (err)
        return err;
    if (a->arg[4])
        deadline = deadline_of(ns);
    if (a->arg[5]) /* { const sigset_t *ss; size_t ss_len } */
        err = copyin(mask, uaddr(a->arg[5]), sizeof(mask));
    if (err == 0)
        err = mask_for_call(mask[0], mask[1]);
    if (err)
        return err;
    long ready = do_select(a, deadline);
    put_left(a->arg[4], deadline, 1);
    return ready;
}
