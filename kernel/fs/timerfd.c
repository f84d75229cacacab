/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * timerfd.c - timers as files (timerfd_create(2)).
 *
 * The state is the next expiry and the interval; how often it has expired is computed from the
 * clock when someone reads. The kernel timer only wakes sleepers at the next expiry, so its handler
 * (irq context) touches nothing but the wait queue. As on Linux a periodic timer fires again only
 * after it was read or set.
 *
 * An absolute CLOCK_REALTIME time stays a time of that clock: whoever sets the clock arms the
 * kernel timers of such files anew and wakes their sleepers (timerfd_clock_set). With
 * TFD_TIMER_CANCEL_ON_SET setting the clock makes the file readable, and the read fails with
 * ECANCELED.
 *
 * Locks: timerfd->lock for changes of a timer and for arming, so that the kernel timer always
 * belongs to the last setting. Files of the wall clock are in a list from their creation on;
 * list_lock is taken before the locks of those in it.
 */
#include "core/assert.h"
#include "fs/eventfd.h"
#include "fs/fcntl.h"
#include "fs/pollwait.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "sched/timer.h"

#define TFD_IOC_SET_TICKS 0x40085400u /* _IOW('T', 0, __u64) */
#define WALL_BIT (1ull << 63)         /* in next: a time of the wall clock */

static struct mutex list_lock;
static struct list wall_files = {&wall_files, &wall_files}; /* list_lock */

struct timerfd {
    struct list link; /* in wall_files */
    struct timer timer;
    struct waitq wait;
    struct mutex lock; /* RANK_SLEEP_LAST: changes of what follows */
    uint64_t next;     /* ns of the monotonic clock, or WALL_BIT and of the other; 0: off; atomic */
    uint64_t interval_ns;
    uint64_t ticks; /* by TFD_IOC_SET_TICKS; atomic */
    bool realtime;
    bool cancel_on_set; /* atomic */
    uint32_t set_count; /* clock_set_count when it was last looked at; atomic */
};

void timerfd_init(void)
{
    mutex_init(&list_lock, RANK_TIMERFDS);
}

static void on_timer(struct timer *timer)
{
    struct timerfd *t = container_of(timer, struct timerfd, timer);
    waitq_wake_all(&t->wait, POLLIN | POLLRDNORM);
}

static uint64_t load_next(const struct timerfd *t)
{
    return __atomic_load_n(&t->next, __ATOMIC_ACQUIRE);
}

/* The clock that next belongs to. */
static uint64_t now_for(uint64_t next)
{
    return next & WALL_BIT ? clock_wall_ns() | WALL_BIT : clock_mono_ns();
}

static bool expired(const struct timerfd *t)
{
    uint64_t next = load_next(t);
    return next != 0 && now_for(next) >= next;
}

static bool cancelled(const struct timerfd *t)
{
    return __atomic_load_n(&t->cancel_on_set, __ATOMIC_ACQUIRE) &&
           __atomic_load_n(&t->set_count, __ATOMIC_ACQUIRE) != clock_set_count();
}

static bool readable(void *arg)
{
    struct timerfd *t = arg;
    return expired(t) || cancelled(t) || __atomic_load_n(&t->ticks, __ATOMIC_ACQUIRE);
}

/* Wake sleepers when it expires. Lock held. */
static void arm(struct timerfd *t)
{
    uint64_t next = load_next(t), now = now_for(next);
    if (next)
        timer_arm(&t->timer, clock_mono_ns() + (next > now ? next - now : 0));
    else
        (void)timer_cancel(&t->timer);
}

static void set_next(struct timerfd *t, uint64_t next)
{
    __atomic_store_n(&t->next, next, __ATOMIC_RELEASE);
    arm(t);
}

/* Its first expiry behind `now`, which is not before next. */
static uint64_t next_after(const struct timerfd *t, uint64_t next, uint64_t now)
{
    uint64_t wall = next & WALL_BIT, periods = 1 + (now - next) / t->interval_ns;
    /* At most now + interval: no overflow, but more than what a clock shows. */
    return MIN((next - wall) + periods * t->interval_ns, (uint64_t)INT64_MAX) | wall;
}

/* Expirations so far, consumed; the timer starts again if it is periodic. Lock held. */
static uint64_t take_locked(struct timerfd *t)
{
    uint64_t next = load_next(t), now = now_for(next), ticks = t->ticks;
    __atomic_store_n(&t->ticks, 0, __ATOMIC_RELEASE);
    if (next == 0 || now < next)
        return ticks;
    if (t->interval_ns == 0) {
        set_next(t, 0);
        return ticks + 1;
    }
    set_next(t, next_after(t, next, now));
    return ticks + 1 + (now - next) / t->interval_ns;
}

/* The clock was set: told once. Lock held. */
static bool take_cancel_locked(struct timerfd *t)
{
    bool was = cancelled(t);
    __atomic_store_n(&t->set_count, clock_set_count(), __ATOMIC_RELEASE);
    if (was)
        (void)take_locked(t);
    return was;
}

static long timerfd_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    struct timerfd *t = file->private_data;
    if (to->left < sizeof(uint64_t))
        return -EINVAL;
    for (;;) {
        mutex_lock(&t->lock);
        bool cancel = take_cancel_locked(t);
        uint64_t ticks = cancel ? 0 : take_locked(t);
        mutex_unlock(&t->lock);
        if (cancel)
            return -ECANCELED;
        if (ticks)
            return iov_copy_to(to, &ticks, sizeof(ticks));
        if (file_flags(file) & O_NONBLOCK)
            return -EAGAIN;
        /* timerfd_settime and setting the clock wake this queue, too. */
        int err = fs_wait(&t->wait, readable, t, UINT64_MAX);
        if (err)
            return err;
    }
}

static uint32_t timerfd_poll(struct file *file, struct poll_table *table)
{
    struct timerfd *t = file->private_data;
    if (table)
        table->add(table, &t->wait);
    return readable(t) ? POLLIN | POLLRDNORM : 0;
}

static long timerfd_ioctl(struct file *file, unsigned cmd, uintptr_t arg)
{
    struct timerfd *t = file->private_data;
    uint64_t ticks;
    if (cmd != TFD_IOC_SET_TICKS)
        return -ENOTTY;
    if (copyin(&ticks, uaddr(arg), sizeof(ticks)))
        return -EFAULT;
    if (!ticks)
        return -EINVAL;
    mutex_lock(&t->lock);
    bool cancel = take_cancel_locked(t);
    if (!cancel) {
        (void)take_locked(t);
        __atomic_store_n(&t->ticks, ticks, __ATOMIC_RELEASE);
    }
    mutex_unlock(&t->lock);
    waitq_wake_all(&t->wait, POLLIN | POLLRDNORM);
    return cancel ? -ECANCELED : 0;
}

static void timerfd_release(struct file *file)
{
    struct timerfd *t = file->private_data;
    if (t->realtime) {
        mutex_lock(&list_lock);
        list_remove(&t->link);
        mutex_unlock(&list_lock);
    }
    timer_cancel_sync(&t->timer);
    owner_free(OWNER_EVENT, t, sizeof(*t));
}

static const struct file_ops timerfd_ops = {
    .name = "anon_inode:[timerfd]",
    .read = timerfd_read,
    .poll = timerfd_poll,
    .ioctl = timerfd_ioctl,
    .release = timerfd_release,
};

bool file_is_timerfd(const struct file *file)
{
    return file->ops == &timerfd_ops;
}

int timerfd_create_file(int clock, uint32_t flags, struct file **out)
{
    struct timerfd *t = owner_alloc(OWNER_EVENT, sizeof(*t));
    if (!t)
        return -ENOMEM;
    timer_setup(&t->timer, on_timer);
    waitq_init(&t->wait);
    mutex_init(&t->lock, RANK_SLEEP_LAST);
    t->realtime = clock == 0 || clock == 8; /* CLOCK_REALTIME, CLOCK_REALTIME_ALARM */
    t->set_count = clock_set_count();
    *out = file_alloc(&timerfd_ops, O_RDWR | flags, t);
    if (!*out) {
        owner_free(OWNER_EVENT, t, sizeof(*t));
        return -ENOMEM;
    }
    if (t->realtime) {
        mutex_lock(&list_lock);
        list_push_back(&wall_files, &t->link);
        mutex_unlock(&list_lock);
    }
    return 0;
}

void timerfd_clock_set(void)
{
    mutex_lock(&list_lock);
    list_for_each (pos, &wall_files) {
        struct timerfd *t = list_entry(pos, struct timerfd, link);
        mutex_lock(&t->lock);
        if (load_next(t) & WALL_BIT)
            arm(t);
        mutex_unlock(&t->lock);
        waitq_wake_all(&t->wait, POLLIN | POLLRDNORM);
    }
    mutex_unlock(&list_lock);
}

static void get_locked(struct timerfd *t, struct timerfd_spec *out)
{
    uint64_t next = load_next(t), now = now_for(next);
    if (next && next <= now) {
        /* Not read yet: Linux shows the time to the expiry that a read would arm. */
        next = t->interval_ns ? next_after(t, next, now) : 0;
    }
    out->value_ns = next ? next - now : 0;
    out->interval_ns = t->interval_ns;
}

void timerfd_get(struct file *file, struct timerfd_spec *out)
{
    struct timerfd *t = file->private_data;
    mutex_lock(&t->lock);
    get_locked(t, out);
    mutex_unlock(&t->lock);
}

static uint64_t first_expiry(const struct timerfd *t, int flags, uint64_t value_ns)
{
    uint64_t sum, most = INT64_MAX;
    if (value_ns == 0)
        return 0;
    if (!(flags & TFD_TIMER_ABSTIME))
        return add_overflow(clock_mono_ns(), value_ns, &sum) ? most : MIN(sum, most);
    return MIN(value_ns, most) | (t->realtime ? WALL_BIT : 0);
}

int timerfd_set(struct file *file, int flags, const struct timerfd_spec *spec,
                struct timerfd_spec *old)
{
    struct timerfd *t = file->private_data;
    bool watch = t->realtime && (flags & TFD_TIMER_ABSTIME) && (flags & TFD_TIMER_CANCEL_ON_SET);
    mutex_lock(&t->lock);
    bool was = take_cancel_locked(t);
    get_locked(t, old);
    t->interval_ns = spec->value_ns ? spec->interval_ns : 0;
    __atomic_store_n(&t->cancel_on_set, watch, __ATOMIC_RELEASE);
    __atomic_store_n(&t->ticks, 0, __ATOMIC_RELEASE);
    set_next(t, first_expiry(t, flags, spec->value_ns));
    mutex_unlock(&t->lock);
    /* Sleepers look again: what they wait for may have changed. */
    waitq_wake_all(&t->wait, POLLIN | POLLRDNORM);
    /* It is set nevertheless (timerfd_settime(2)). */
    return watch && was && spec->value_ns ? -ECANCELED : 0;
}
