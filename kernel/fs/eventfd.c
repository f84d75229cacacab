/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * eventfd.c - a 64-bit counter as a file (eventfd(2)).
 *
 * The counter is one atomic word changed by compare-and-exchange; nothing else is shared, so
 * relaxed order would do for the counter itself. Acquire and release make a write-read pair order
 * the memory of the two threads, as users of eventfd expect.
 */
#include "fs/eventfd.h"

#include "fs/fcntl.h"
#include "fs/pollwait.h"
#include "mm/account.h"
#include "mm/kmalloc.h"

#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
    uint64_t count; /* atomic */
    bool semaphore;
    struct waitq wait;
};

static uint64_t load(struct eventfd *e)
{
    return __atomic_load_n(&e->count, __ATOMIC_ACQUIRE);
}

static bool readable(void *arg)
{
    return load(arg) > 0;
}

/* Take what a read returns; 0: nothing there. */
static uint64_t take(struct eventfd *e)
{
    uint64_t old = load(e), left;
    do {
        if (old == 0)
            return 0;
        left = e->semaphore ? old - 1 : 0;
    } while (!__atomic_compare_exchange_n(&e->count, &old, left, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    return old - left;
}

static long eventfd_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    struct eventfd *e = file->private_data;
    uint64_t value;
    if (to->left < sizeof(value))
        return -EINVAL;
    while ((value = take(e)) == 0) {
        if (file_flags(file) & O_NONBLOCK)
            return -EAGAIN;
        int err = fs_wait(&e->wait, readable, e, UINT64_MAX);
        if (err)
            return err;
    }
    waitq_wake_one(&e->wait, POLLOUT | POLLWRNORM);
    return iov_copy_to(to, &value, sizeof(value));
}

struct add_need {
    struct eventfd *e;
    uint64_t value;
};

static bool addable(void *arg)
{
    struct add_need *need = arg;
    return COUNT_MAX - load(need->e) >= need->value;
}

static bool try_add(struct eventfd *e, uint64_t value)
{
    uint64_t old = load(e);
    do {
        if (COUNT_MAX - old < value)
            return false;
    } while (!__atomic_compare_exchange_n(&e->count, &old, old + value, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    return true;
}

static long eventfd_write(struct file *file, struct iov_iter *from, off64_t *pos)
{
    struct eventfd *e = file->private_data;
    uint64_t value;
    if (from->left < sizeof(value))
        return -EINVAL;
    long n = iov_copy_from(from, &value, sizeof(value));
    if (n != (long)sizeof(value))
        return -EFAULT;
    if (value == UINT64_MAX)
        return -EINVAL;
    while (!try_add(e, value)) {
        struct add_need need = {e, value};
        if (file_flags(file) & O_NONBLOCK)
            return -EAGAIN;
        int err = fs_wait(&e->wait, addable, &need, UINT64_MAX);
        if (err)
            return err;
    }
    waitq_wake_one(&e->wait, POLLIN | POLLRDNORM);
    return n;
}

static uint32_t eventfd_poll(struct file *file, struct poll_table *table)
{
    struct eventfd *e = file->private_data;
    if (table)
        table->add(table, &e->wait);
    uint64_t count = load(e);
    return (count > 0 ? POLLIN | POLLRDNORM : 0) | (count < COUNT_MAX ? POLLOUT | POLLWRNORM : 0);
}

static void eventfd_release(struct file *file)
{
    owner_free(OWNER_EVENT, file->private_data, sizeof(struct eventfd));
}

static const struct file_ops eventfd_ops = {
    .name = "anon_inode:[eventfd]",
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .release = eventfd_release,
};

int eventfd_create(uint64_t initial, bool semaphore, uint32_t flags, struct file **out)
{
    struct eventfd *e = owner_alloc(OWNER_EVENT, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->count = initial;
    e->semaphore = semaphore;
    waitq_init(&e->wait);
    *out = file_alloc(&eventfd_ops, O_RDWR | flags, e);
    if (*out)
        return 0;
    owner_free(OWNER_EVENT, e, sizeof(*e));
    return -ENOMEM;
}
