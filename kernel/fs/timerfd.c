/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * timerfd.c - timers as files (timerfd_create(2)).
 *
 * The state is the next expiry and the interval; how often it has expired is computed from the
 * clock when someone reads. The kernel timer only wakes sleepers at the next expiry, so its handler
 * (irq context) touches nothing but the wait queue. As on Linux a periodic timer fires again only
 * after it was read or set. Times are kept on the monotonic clock; an absolute CLOCK_REALTIME time
 * is converted once, and TFD_TIMER_CANCEL_ON_SET notices at the next read that the clock was set.
 */
#include "core/assert.h"
#include "fs/eventfd.h"
#include "fs/fcntl.h"
#include "fs/pollwait.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "sched/timer.h"

struct timerfd {
    struct timer timer;
    struct waitq wait;
    struct mutex lock; /* RANK_SLEEP_LAST: changes of next and interval */
    uint64_t next_ns;  /* 0: disarmed; atomic */
    uint64_t interval_ns;
    uint64_t wall_offset; /* wall - mono when set, for CANCEL_ON_SET */
    bool realtime, cancel_on_set;
};

static void on_timer(struct timer *timer)
{
    struct timerfd *t = container_of(timer, struct timerfd, timer);
    waitq_wake_all(&t->wait, POLLIN | POLLRDNORM);
}

static uint64_t wall_offset(void)
{
    return clock_wall_ns() - clock_mono_ns();
}

static bool expired(void *arg)
{
    struct timerfd *t = arg;
    uint64_t next = __atomic_load_n(&t->next_ns, __ATOMIC_ACQUIRE);
    return next != 0 && clock_mono_ns() >= next;
}

/* The two clocks are read apart, so allow a microsecond per read-out; setting it moves it further.
 */
static bool clock_was_set(const struct timerfd *t)
{
    uint64_t diff = wall_offset() - t->wall_offset + NS_PER_MS;
    return t->cancel_on_set && diff > 2 * NS_PER_MS;
}

static void set_next(struct timerfd *t, uint64_t next)
{
    __atomic_store_n(&t->next_ns, next, __ATOMIC_RELEASE);
    if (next)
        timer_arm(&t->timer, next);
    else
        timer_cancel(&t->timer);
}

/* Expirations so far, consumed; the timer starts again if it is periodic. Lock held. */
static uint64_t take_locked(struct timerfd *t)
{
    uint64_t now = clock_mono_ns();
    if (t->next_ns == 0 || now < t->next_ns)
        return 0;
    if (t->interval_ns == 0) {
        set_next(t, 0);
        return 1;
    }
    uint64_t ticks = 1 + (now - t->next_ns) / t->interval_ns;
    set_next(t, t->next_ns + ticks * t->interval_ns);
    return ticks;
}

static long timerfd_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    struct timerfd *t = file->private_data;
    uint64_t ticks;
    if (to->left < sizeof(ticks))
        return -EINVAL;
    for (;;) {
        mutex_lock(&t->lock);
        bool cancelled = clock_was_set(t);
        if (cancelled)
            t->wall_offset = wall_offset();
        ticks = cancelled ? 0 : take_locked(t);
        mutex_unlock(&t->lock);
        if (cancelled)
            return -ECANCELED;
        if (ticks)
            return iov_copy_to(to, &ticks, sizeof(ticks));
        if (file_flags(file) & O_NONBLOCK)
            return -EAGAIN;
        int err = fs_wait(&t->wait, expired, t, UINT64_MAX);
        if (err)
            return err;
    }
}

static uint32_t timerfd_poll(struct file *file, struct poll_table *table)
{
    struct timerfd *t = file->private_data;
    if (table)
        table->add(table, &t->wait);
    return expired(t) ? POLLIN | POLLRDNORM : 0;
}

static void timerfd_release(struct file *file)
{
    struct timerfd *t = file->private_data;
    timer_cancel_sync(&t->timer);
    owner_free(OWNER_EVENT, t, sizeof(*t));
}

static const struct file_ops timerfd_ops = {
    .name = "anon_inode:[timerfd]",
    .read = timerfd_read,
    .poll = timerfd_poll,
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
    *out = file_alloc(&timerfd_ops, O_RDWR | flags, t);
    if (*out)
        return 0;
    owner_free(OWNER_EVENT, t, sizeof(*t));
    return -ENOMEM;
}

static void get_locked(struct timerfd *t, struct timerfd_spec *out)
{
    uint64_t now = clock_mono_ns(), next = t->next_ns;
    if (next && next <= now) {
        /* Not read yet: Linux shows the time to the expiry that a read would arm. */
        next = t->interval_ns ? next + (1 + (now - next) / t->interval_ns) * t->interval_ns : 0;
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
    uint64_t now = clock_mono_ns(), sum;
    if (value_ns == 0)
        return 0;
    if (!(flags & TFD_TIMER_ABSTIME))
        return add_overflow(now, value_ns, &sum) ? UINT64_MAX - 1 : sum;
    if (!t->realtime)
        return value_ns;
    uint64_t wall = clock_wall_ns();
    if (value_ns <= wall)
        return now ? now : 1; /* 0 would mean disarmed */
    return add_overflow(now, value_ns - wall, &sum) ? UINT64_MAX - 1 : sum;
}

int timerfd_set(struct file *file, int flags, const struct timerfd_spec *spec,
                struct timerfd_spec *old)
{
    struct timerfd *t = file->private_data;
    mutex_lock(&t->lock);
    get_locked(t, old);
    t->interval_ns = spec->value_ns ? spec->interval_ns : 0;
    t->cancel_on_set =
        t->realtime && (flags & TFD_TIMER_ABSTIME) && (flags & TFD_TIMER_CANCEL_ON_SET);
    t->wall_offset = wall_offset();
    set_next(t, first_expiry(t, flags, spec->value_ns));
    mutex_unlock(&t->lock);
    /* A sleeper looks again: what it waited for may have changed. */
    waitq_wake_all(&t->wait, POLLIN | POLLRDNORM);
    return 0;
}
