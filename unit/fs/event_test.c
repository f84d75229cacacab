/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs */
/* clang-format on */
/* event_test.c - pipes, eventfd, timerfd, epoll, poll waits and descriptor tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "fake_fs.h"
#include "fs/async.h"
#include "fs/epoll.h"
#include "fs/eventfd.h"
#include "fs/locks.h"
#include "fs/pipe.h"
#include "fs/pollwait.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "sched/timer.h"

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(64u << 20);
    return fake_fs_boot(NULL, 0);
}

/* Nothing that the books say is a pipe's or an event's is left, in number or bytes. */
static int tear_down(void **state)
{
    (void)state;
    fake_fs_end();
    assert_int_equal(owner_get(OWNER_PIPE).objects, 0);
    assert_int_equal(owner_get(OWNER_PIPE).bytes, 0);
    assert_int_equal(owner_get(OWNER_EVENT).objects, 0);
    assert_int_equal(owner_get(OWNER_EVENT).bytes, 0);
    return 0;
}

static long get(struct file *file, void *buf, size_t len)
{
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, buf, len);
    return file_read_iter(file, &it, NULL);
}

/* ---- owners ---- */

static char async_log[8]; /* what was called, in order */

static void async_note(char what)
{
    size_t len = strlen(async_log);
    assert_true(len + 1 < sizeof(async_log));
    async_log[len] = what;
}
static void async_forget(struct file *file)
{
    (void)file;
    async_note('f');
}
static void async_free(struct file *file)
{
    file->async = NULL;
    async_note('e');
}
static void async_signal(struct file *file, int signo)
{
    (void)file;
    async_note(signo == 23 ? 's' : '?');
}
/* As a socket, which may have urgent data until it has taken its own lock. */
static void async_release(struct file *file)
{
    file_signal_owner(file, 23);
    async_note('r');
}

/* A file that is being released can still signal its owner: what does that is freed afterwards. */
static void owner_outlives_release(void **state)
{
    (void)state;
    static const struct file_ops ops = {.release = async_release};
    static struct file_async async = {async_forget, async_free, async_signal};
    struct file *file = file_alloc(&ops, 0, NULL);
    assert_non_null(file);
    file->async = &async;
    file_put(file);
    assert_string_equal(async_log, "fsre");
}

/* ---- pipes ---- */

static void pipe_bytes(void **state)
{
    (void)state;
    struct file *end[2];
    static uint8_t out[100000], in[100000];
    assert_int_equal(pipe_create(end, O_NONBLOCK), 0);
    assert_int_equal(get(end[0], in, 10), -EAGAIN);
    assert_int_equal(file_poll(end[0], NULL), 0);
    assert_int_equal(file_poll(end[1], NULL), POLLOUT | POLLWRNORM);
    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 7 + i / 256);
    srand(3);
    size_t wrote = 0, read = 0;
    while (read < sizeof out) {
        size_t n = (size_t)rand() % 9000 + 1;
        if (rand() % 2 && wrote < sizeof out) {
            size_t want = n < sizeof out - wrote ? n : sizeof out - wrote;
            long done = file_write(end[1], out + wrote, want);
            if (want <= PIPE_BUF) /* never in parts */
                assert_true(done == -EAGAIN || done == (long)want);
            wrote += done > 0 ? (size_t)done : 0;
        } else {
            long done = get(end[0], in + read, n < sizeof in - read ? n : sizeof in - read);
            assert_true(done > 0 || done == -EAGAIN);
            read += done > 0 ? (size_t)done : 0;
        }
        if (rand() % 16 == 0) {
            size_t size = 4096u << (rand() % 5);
            long got = pipe_set_size(end[rand() % 2], size);
            assert_true(got == (long)size || got == -EBUSY);
        }
    }
    assert_memory_equal(out, in, sizeof out);
    assert_int_equal(pipe_set_size(end[0], PIPE_SIZE_MAX + 1), -EPERM);
    file_put(end[1]);
    assert_int_equal(file_poll(end[0], NULL), POLLHUP);
    assert_int_equal(get(end[0], in, 10), 0);
    file_put(end[0]);
}

static struct file *hook_file;
static void hook_write(void)
{
    fake_sleep_hook = NULL;
    assert_int_equal(file_write(hook_file, "late", 4), 4);
}
static void hook_close(void)
{
    fake_sleep_hook = NULL;
    file_put(hook_file);
}
static void hook_drain(void)
{
    static char buf[PIPE_BUF];
    assert_true(get(hook_file, buf, sizeof buf) > 0);
}

static void pipe_blocking(void **state)
{
    (void)state;
    struct file *end[2];
    static char buf[70000];
    assert_int_equal(pipe_create(end, 0), 0);
    hook_file = end[1];
    fake_sleep_hook = hook_write;
    assert_int_equal(get(end[0], buf, sizeof buf), 4);
    assert_int_equal(get(end[0], buf, sizeof buf), -ERESTARTSYS); /* a signal */
    hook_file = end[0];
    fake_sleep_hook = hook_drain;
    assert_int_equal(file_write(end[1], buf, sizeof buf), sizeof buf);
    hook_file = end[1];
    fake_sleep_hook = NULL;
    while (get(end[0], buf, sizeof buf) > 0)
        ;
    fake_sleep_hook = hook_close;
    assert_int_equal(get(end[0], buf, sizeof buf), 0);
    file_put(end[0]);
    assert_int_equal(pipe_create(end, 0), 0);
    file_put(end[0]);
    assert_int_equal(file_write(end[1], "x", 1), -EPIPE);
    assert_int_equal(file_poll(end[1], NULL), POLLOUT | POLLWRNORM | POLLERR);
    file_put(end[1]);
}

static struct file *drained;
static void hook_drain_page(void)
{
    static char buf[4096];
    assert_int_equal(get(drained, buf, sizeof buf), sizeof buf);
}

/* The pipe is not full, but a write that must not be split does not fit: the next read makes room
 * for it and has to say so. */
static void pipe_room_for_a_whole_write(void **state)
{
    (void)state;
    struct file *end[2];
    static char buf[65536];
    assert_int_equal(pipe_create(end, 0), 0);
    assert_int_equal(file_write(end[1], buf, sizeof buf - 100), sizeof buf - 100);
    drained = end[0];
    fake_sleep_hook = hook_drain_page;
    assert_int_equal(file_write(end[1], buf, PIPE_BUF), PIPE_BUF);
    fake_sleep_hook = NULL;
    file_put(end[0]);
    file_put(end[1]);
}

static void fifo(void **state)
{
    (void)state;
    struct file *reader, *writer;
    char buf[8];
    assert_int_equal(vfs_make(fake_context, NULL, "/fifo", S_IFIFO | 0600, 0), 0);
    assert_int_equal(fs_open(fake_context, "/fifo", O_WRONLY | O_NONBLOCK, 0, &writer), -ENXIO);
    assert_int_equal(fs_open(fake_context, "/fifo", O_RDONLY, 0, &reader), -ERESTARTSYS);
    assert_int_equal(fs_open(fake_context, "/fifo", O_RDONLY | O_NONBLOCK, 0, &reader), 0);
    assert_int_equal(file_poll(reader, NULL), 0); /* no writer yet: no hang-up */
    assert_int_equal(fs_open(fake_context, "/fifo", O_WRONLY, 0, &writer), 0);
    assert_int_equal(file_write(writer, "abc", 3), 3);
    file_put(writer);
    assert_int_equal(get(reader, buf, 8), 3);
    assert_int_equal(file_poll(reader, NULL), POLLHUP);
    file_put(reader);
}

/* ---- eventfd, timerfd ---- */

static void eventfd_counts(void **state)
{
    (void)state;
    struct file *e;
    uint64_t v = 5;
    assert_int_equal(eventfd_create(2, false, O_NONBLOCK, &e), 0);
    assert_int_equal(file_write(e, &v, 8), 8);
    assert_int_equal(get(e, &v, 8), 8);
    assert_int_equal(v, 7);
    assert_int_equal(get(e, &v, 8), -EAGAIN);
    assert_int_equal(get(e, &v, 7), -EINVAL);
    v = UINT64_MAX;
    assert_int_equal(file_write(e, &v, 8), -EINVAL);
    v = UINT64_MAX - 1;
    assert_int_equal(file_write(e, &v, 8), 8);
    assert_int_equal(file_poll(e, NULL), POLLIN | POLLRDNORM);
    v = 1;
    assert_int_equal(file_write(e, &v, 8), -EAGAIN);
    v = UINT64_MAX - 1; /* the sum wraps */
    assert_int_equal(file_write(e, &v, 8), -EAGAIN);
    assert_int_equal(get(e, &v, 8), 8);
    assert_true(v == UINT64_MAX - 1);
    file_put(e);
    assert_int_equal(eventfd_create(2, true, O_NONBLOCK, &e), 0);
    assert_int_equal(get(e, &v, 8), 8);
    assert_int_equal(v, 1);
    assert_int_equal(get(e, &v, 8), 8);
    assert_int_equal(get(e, &v, 8), -EAGAIN);
    file_put(e);
}

static void timerfd_ticks(void **state)
{
    (void)state;
    struct file *t;
    struct timerfd_spec spec = {.value_ns = 100, .interval_ns = 50}, old;
    uint64_t ticks;
    assert_int_equal(timerfd_create_file(1, O_NONBLOCK, &t), 0);
    assert_int_equal(timerfd_set(t, 0, &spec, &old), 0);
    assert_int_equal(old.value_ns, 0);
    assert_int_equal(get(t, &ticks, 8), -EAGAIN);
    fake_advance(99);
    assert_int_equal(file_poll(t, NULL), 0);
    fake_advance(1 + 120);
    assert_int_equal(file_poll(t, NULL), POLLIN | POLLRDNORM);
    assert_int_equal(get(t, &ticks, 8), 8);
    assert_int_equal(ticks, 3);
    timerfd_get(t, &old);
    assert_int_equal(old.value_ns, 30);
    assert_int_equal(old.interval_ns, 50);
    fake_advance(30); /* just when it is due */
    assert_int_equal(get(t, &ticks, 8), 8);
    assert_int_equal(ticks, 1);
    timerfd_get(t, &old);
    assert_int_equal(old.value_ns, 50);
    fake_advance(100); /* just when the second one is due */
    assert_int_equal(get(t, &ticks, 8), 8);
    assert_int_equal(ticks, 2);
    assert_int_equal(get(t, &ticks, 8), -EAGAIN);
    timerfd_get(t, &old);
    assert_int_equal(old.value_ns, 50);
    spec = (struct timerfd_spec){0, 0};
    assert_int_equal(timerfd_set(t, 0, &spec, &old), 0);
    fake_advance(1000);
    assert_int_equal(get(t, &ticks, 8), -EAGAIN);
    spec.value_ns = 5; /* absolute and long past */
    assert_int_equal(timerfd_set(t, TFD_TIMER_ABSTIME, &spec, &old), 0);
    assert_int_equal(get(t, &ticks, 8), 8);
    assert_int_equal(ticks, 1);
    file_put(t);
}

static void clock_is_set(uint64_t ns)
{
    assert_int_equal(clock_wall_set(ns), 0);
    timerfd_clock_set();
}

static void timerfd_wall_clock(void **state)
{
    (void)state;
    struct file *t;
    struct timerfd_spec spec, old;
    uint64_t ticks, hour = 3600 * NS_PER_SEC;
    assert_int_equal(timerfd_create_file(0, O_NONBLOCK, &t), 0);
    spec = (struct timerfd_spec){.value_ns = clock_wall_ns() + hour};
    assert_int_equal(timerfd_set(t, TFD_TIMER_ABSTIME, &spec, &old), 0);
    fake_advance(hour - 1);
    assert_int_equal(file_poll(t, NULL), 0);
    /* Back by an hour: an absolute time is that much further away. */
    clock_is_set(clock_wall_ns() - hour);
    fake_advance(hour);
    assert_int_equal(file_poll(t, NULL), 0);
    timerfd_get(t, &old);
    assert_int_equal(old.value_ns, 1);
    fake_advance(1);
    assert_int_equal(get(t, &ticks, 8), 8);
    assert_int_equal(ticks, 1);
    /* Forward over it, and told. */
    spec.value_ns = clock_wall_ns() + hour;
    assert_int_equal(timerfd_set(t, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, &old), 0);
    clock_is_set(clock_wall_ns() + 2 * hour);
    assert_int_equal(file_poll(t, NULL), POLLIN | POLLRDNORM);
    assert_int_equal(get(t, &ticks, 8), -ECANCELED);
    assert_int_equal(get(t, &ticks, 8), -EAGAIN);
    spec.value_ns = clock_wall_ns() + hour;
    assert_int_equal(timerfd_set(t, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, &old), 0);
    clock_is_set(clock_wall_ns() + 1);
    assert_int_equal(timerfd_set(t, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, &old),
                     -ECANCELED);
    assert_int_equal(get(t, &ticks, 8), -EAGAIN);
    /* A relative time does not care, and nothing else is told. */
    spec.value_ns = 100;
    assert_int_equal(timerfd_set(t, 0, &spec, &old), 0);
    clock_is_set(clock_wall_ns() + hour);
    assert_int_equal(file_poll(t, NULL), 0);
    fake_advance(100);
    assert_int_equal(get(t, &ticks, 8), 8);
    file_put(t);
}

/* ---- epoll ---- */

static struct {
    unsigned count;
    uint32_t events[8];
    uint64_t data[8];
    unsigned refuse; /* emit fails from this call on */
} got;

static bool emit(void *arg, uint32_t events, uint64_t data)
{
    (void)arg;
    if (got.refuse && got.count + 1 >= got.refuse)
        return false;
    got.events[got.count] = events;
    got.data[got.count++] = data;
    return true;
}

static long wait_events(struct file *ep, int max)
{
    memset(&got, 0, sizeof got);
    return epoll_wait_events(ep, max, 0, emit, NULL);
}

static struct file *new_event(void)
{
    struct file *e;
    assert_int_equal(eventfd_create(0, false, O_NONBLOCK, &e), 0);
    return e;
}

static void bump(struct file *e)
{
    uint64_t one = 1;
    assert_int_equal(file_write(e, &one, 8), 8);
}

static void epoll_level_edge_oneshot(void **state)
{
    (void)state;
    struct file *ep, *level = new_event(), *edge = new_event(), *once = new_event();
    uint64_t v;
    assert_int_equal(epoll_create_file(0, &ep), 0);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_ADD, 1, level, POLLIN, 1), 0);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_ADD, 2, edge, POLLIN | EPOLLET, 2), 0);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_ADD, 3, once, POLLIN | EPOLLONESHOT, 3), 0);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_ADD, 1, level, POLLIN, 1), -EEXIST);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_MOD, 9, level, POLLIN, 1), -ENOENT);
    assert_int_equal(epoll_control(ep, 7, 1, level, POLLIN, 1), -EINVAL);
    assert_int_equal(wait_events(ep, 8), 0);
    bump(level);
    bump(edge);
    bump(once);
    assert_int_equal(wait_events(ep, 8), 3);
    assert_int_equal(got.data[0] + got.data[1] * 10 + got.data[2] * 100, 321);
    assert_int_equal(wait_events(ep, 8), 1); /* only the level stays */
    assert_int_equal(got.data[0], 1);
    bump(edge);
    bump(once); /* disabled */
    assert_int_equal(wait_events(ep, 8), 2);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_MOD, 3, once, POLLIN | EPOLLONESHOT, 33), 0);
    assert_int_equal(get(level, &v, 8), 8);
    assert_int_equal(wait_events(ep, 8), 1);
    assert_int_equal(got.data[0], 33);
    bump(level);
    memset(&got, 0, sizeof got);
    got.refuse = 1; /* EFAULT: the event is not lost */
    assert_int_equal(epoll_wait_events(ep, 8, 0, emit, NULL), -EFAULT);
    assert_int_equal(wait_events(ep, 8), 1);
    file_put(level); /* closing a watched file ends the interest */
    assert_int_equal(wait_events(ep, 8), 0);
    file_put(ep); /* and closing the instance first is fine too */
    bump(edge);
    file_put(edge);
    file_put(once);
}

static void hook_bump_once(void)
{
    fake_sleep_hook = NULL;
    bump(hook_file);
}

/* EPOLLEXCLUSIVE: the instance with a sleeper takes the event alone; without one all are told. */
static void epoll_exclusive(void **state)
{
    (void)state;
    struct file *sleeper, *other, *e = new_event();
    uint64_t v;
    assert_int_equal(epoll_create_file(0, &sleeper), 0);
    assert_int_equal(epoll_create_file(0, &other), 0);
    assert_int_equal(epoll_control(sleeper, EPOLL_CTL_ADD, 1, e, POLLIN | EPOLLEXCLUSIVE, 1), 0);
    assert_int_equal(epoll_control(other, EPOLL_CTL_ADD, 1, e, POLLIN | EPOLLEXCLUSIVE, 2), 0);
    hook_file = e;
    fake_sleep_hook = hook_bump_once;
    assert_int_equal(epoll_wait_events(sleeper, 1, UINT64_MAX, emit, NULL), 1);
    assert_int_equal(wait_events(other, 1), 0);
    assert_int_equal(get(e, &v, 8), 8);
    bump(e);
    assert_int_equal(wait_events(sleeper, 1), 1);
    assert_int_equal(wait_events(other, 1), 1);
    file_put(sleeper);
    file_put(other);
    file_put(e);
}

static void epoll_fairness_of_max(void **state)
{
    (void)state;
    struct file *ep, *a = new_event(), *b = new_event();
    assert_int_equal(epoll_create_file(0, &ep), 0);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_ADD, 1, a, POLLIN, 1), 0);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_ADD, 2, b, POLLIN, 2), 0);
    bump(a);
    bump(b);
    assert_int_equal(wait_events(ep, 1), 1);
    uint64_t first = got.data[0];
    assert_int_equal(wait_events(ep, 1), 1);
    assert_int_not_equal(got.data[0], first);
    /* Both are still ready, and level-triggered: neither is forgotten because the list was full. */
    assert_int_equal(wait_events(ep, 1), 1);
    assert_int_equal(wait_events(ep, 8), 2);
    file_put(ep);
    file_put(a);
    file_put(b);
}

static void epoll_nested(void **state)
{
    (void)state;
    struct file *chain[8], *e = new_event();
    uint64_t v;
    for (int i = 0; i < 8; i++)
        assert_int_equal(epoll_create_file(0, &chain[i]), 0);
    assert_int_equal(epoll_control(chain[0], EPOLL_CTL_ADD, 1, e, POLLIN, 1), 0);
    int depth = 0;
    while (depth < 7 &&
           epoll_control(chain[depth + 1], EPOLL_CTL_ADD, 2, chain[depth], POLLIN, 2) == 0)
        depth++;
    assert_true(depth >= 4 && depth < 7); /* a limit, not far from Linux's five */
    assert_int_equal(epoll_control(chain[0], EPOLL_CTL_ADD, 3, chain[1], POLLIN, 3), -ELOOP);
    assert_int_equal(epoll_control(chain[0], EPOLL_CTL_ADD, 3, chain[0], POLLIN, 3), -EINVAL);
    assert_int_equal(wait_events(chain[depth], 8), 0);
    bump(e);
    assert_int_equal(file_poll(chain[depth], NULL), POLLIN | POLLRDNORM);
    assert_int_equal(wait_events(chain[depth], 8), 1);
    assert_int_equal(get(e, &v, 8), 8);
    assert_int_equal(wait_events(chain[depth], 8), 0);
    assert_int_equal(file_poll(chain[depth], NULL), 0);
    for (int i = 0; i < 8; i++)
        file_put(chain[i]);
    file_put(e);
}

static void epoll_refuses(void **state)
{
    (void)state;
    struct file *ep, *null, *e = new_event();
    assert_int_equal(epoll_create_file(0, &ep), 0);
    assert_int_equal(fs_open(fake_context, "/dev/null", O_RDWR, 0, &null), 0);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_ADD, 1, null, POLLIN, 1), -EPERM);
    assert_int_equal(epoll_control(e, EPOLL_CTL_ADD, 1, ep, POLLIN, 1), -EINVAL);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_ADD, 1, e, POLLIN | EPOLLEXCLUSIVE, 1), 0);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_MOD, 1, e, POLLIN, 1), -EINVAL);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_DEL, 1, e, 0, 0), 0);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_DEL, 1, e, 0, 0), -ENOENT);
    file_put(null);
    file_put(e);
    file_put(ep);
}

static struct file *bumped;
static void hook_bump(void)
{
    bump(bumped);
}

static void waits_are_woken(void **state)
{
    (void)state;
    struct file *ep;
    struct poll_wait pw;
    bumped = new_event();
    assert_int_equal(epoll_create_file(0, &ep), 0);
    assert_int_equal(epoll_control(ep, EPOLL_CTL_ADD, 1, bumped, POLLIN, 1), 0);
    memset(&got, 0, sizeof got);
    fake_sleep_hook = hook_bump;
    assert_int_equal(epoll_wait_events(ep, 8, UINT64_MAX, emit, NULL), 1);
    fake_sleep_hook = NULL;
    uint64_t v;
    assert_int_equal(get(bumped, &v, 8), 8);
    memset(&got, 0, sizeof got);
    assert_int_equal(epoll_wait_events(ep, 8, fake_now_ns + 10, emit, NULL), 0); /* time is up */
    poll_wait_init(&pw); /* poll of the epoll file */
    assert_int_equal(file_poll(ep, poll_wait_table(&pw, POLLIN)), 0);
    for (int i = 0; i < 20; i++) /* beyond the inline entries */
        assert_int_equal(file_poll(bumped, poll_wait_table(&pw, POLLIN)) & POLLIN, 0);
    fake_sleep_hook = hook_bump;
    assert_int_equal(poll_wait_sleep(&pw, UINT64_MAX), 0);
    fake_sleep_hook = NULL;
    assert_int_equal(poll_wait_sleep(&pw, fake_now_ns + 10), -ETIMEDOUT);
    assert_int_equal(poll_wait_sleep(&pw, UINT64_MAX), -EINTR);
    poll_wait_done(&pw);
    file_put(bumped);
    file_put(ep);
}

/* ---- file locks ---- */

/* Closing gives the lock back, and who waits for it hears of it. */
static void closing_ends_a_lock(void **state)
{
    (void)state;
    struct file *holder, *waits;
    assert_int_equal(fs_open(fake_context, "/locked", O_CREAT | O_RDWR, 0600, &holder), 0);
    assert_int_equal(fs_open(fake_context, "/locked", O_RDWR, 0, &waits), 0);
    assert_int_equal(locks_flock(holder, LOCK_EX, false), 0);
    assert_int_equal(locks_flock(waits, LOCK_EX, false), -EAGAIN);
    hook_file = holder;
    fake_sleep_hook = hook_close;
    assert_int_equal(locks_flock(waits, LOCK_EX, true), 0);
    file_put(waits);
}

/* ---- descriptors ---- */

static void descriptors(void **state)
{
    (void)state;
    struct fdtable *t = fake_fdtable;
    for (int i = 0; i < 100; i++)
        assert_int_equal(fd_install(t, new_event(), 0, i % 2), i);
    assert_int_equal(fd_close(t, 5), 0);
    assert_int_equal(fd_close(t, 70), 0);
    assert_int_equal(fd_close(t, 5), -EBADF);
    assert_int_equal(fd_close(t, -1), -EBADF);
    assert_int_equal(fd_install(t, new_event(), 6, false), 70);
    assert_int_equal(fd_install(t, new_event(), 0, false), 5);
    assert_int_equal(fd_install(t, new_event(), 200, false), 200);
    assert_int_equal(fd_get_cloexec(t, 1), 1);
    assert_int_equal(fd_get_cloexec(t, 2), 0);
    assert_int_equal(fd_set_cloexec(t, 2, true), 0);
    struct file *file = fd_get(t, 3);
    assert_int_equal(fd_install_at(t, file, 500, false), 500);
    file_get(file);
    assert_int_equal(fd_install_at(t, file, 3, false), 3); /* over itself */
    struct file *end[2];                                   /* what is closed by it may sleep */
    assert_int_equal(pipe_create(end, 0), 0);
    file_put(end[1]);
    assert_int_equal(fd_install_at(t, end[0], 501, false), 501);
    file_get(file);
    assert_int_equal(fd_install_at(t, file, 501, false), 501);
    assert_int_equal(fd_close(t, 501), 0);
    file_get(file);
    assert_int_equal(fd_install_at(t, file, 1024, false), -EBADF);
    file_put(file);
    struct fdtable *copy = fdtable_clone(t);
    fdtable_close_on_exec(copy);
    assert_null(fd_get(copy, 1));
    assert_null(fd_get(copy, 2));
    int fd = 71, count = 0;
    while ((file = fd_next(copy, &fd)) != NULL) {
        file_put(file);
        fd++;
        count++;
    }
    assert_int_equal(count, 16); /* 72, 74 .. 98, 200, 500 */
    fdtable_put(copy);
    fdtable_set_limit(t, 101);
    assert_int_equal(fd_install(t, file = new_event(), 0, false), 100);
    file = new_event();
    assert_int_equal(fd_install(t, file, 0, false), -EMFILE);
    file_put(file);
}

/* A number taken before its file exists is nobody's: not open, not closed, not to be replaced. */
static void reserved_descriptors(void **state)
{
    (void)state;
    struct fdtable *t = fake_fdtable;
    int fd = fd_reserve(t);
    assert_int_equal(fd, 0);
    assert_null(fd_get(t, fd));
    assert_int_equal(fd_close(t, fd), -EBADF);
    struct file *file = new_event();
    assert_int_equal(fd_install_at(t, file, fd, false), -EBUSY);
    assert_int_equal(fd_install(t, file, 0, false), 1);
    struct fdtable *copy = fdtable_clone(t);
    file = new_event();
    assert_int_equal(fd_install(copy, file, 0, false), 0);
    fdtable_put(copy);
    fd_unreserve(t, fd);
    file = new_event();
    fd = fd_reserve(t);
    assert_int_equal(fd, 0);
    fd_fill(t, fd, file, true);
    assert_int_equal(fd_get_cloexec(t, 0), 1);
}

/* What a splice took but its target refused is read next, whatever happened in between. */
static void pipe_gives_back(void **state)
{
    (void)state;
    struct file *end[2];
    static uint8_t buf[65536], in[65536], taken[40000];
    for (size_t i = 0; i < sizeof buf; i++)
        buf[i] = (uint8_t)(i * 13 + i / 256);
    assert_int_equal(pipe_create(end, O_NONBLOCK), 0);
    assert_int_equal(pipe_take(end[0], taken, 10, true), -EAGAIN);
    assert_int_equal(file_write(end[1], buf, sizeof buf), sizeof buf);
    assert_int_equal(pipe_peek(end[0], taken, 100, true), 100);
    assert_memory_equal(taken, buf, 100);
    assert_int_equal(pipe_take(end[0], taken, sizeof taken, true), sizeof taken);
    assert_int_equal(file_write(end[1], "x", 1), -EAGAIN); /* its room is kept */
    assert_int_equal(file_poll(end[1], NULL), 0);
    assert_int_equal(pipe_set_size(end[0], 2 * sizeof buf), -EBUSY);
    pipe_settle(end[0], taken, sizeof taken, 10000);
    assert_int_equal(file_write(end[1], buf, 10000), 10000);
    assert_int_equal(get(end[0], in, sizeof in), sizeof in);
    assert_memory_equal(in, buf + 10000, sizeof buf - 10000);
    assert_memory_equal(in + sizeof buf - 10000, buf, 10000);
    /* All of it taken and given back when the ring has become empty. */
    assert_int_equal(file_write(end[1], "abcdef", 6), 6);
    assert_int_equal(pipe_take(end[0], taken, 4, true), 4);
    assert_int_equal(get(end[0], in, 10), 2);
    pipe_settle(end[0], taken, 4, 1);
    assert_int_equal(get(end[0], in, 10), 3);
    assert_memory_equal(in, "bcd", 3);
    /* put_some: what fits. */
    assert_int_equal(pipe_put_some(end[1], buf, sizeof buf, true), sizeof buf);
    assert_int_equal(pipe_put_some(end[1], buf, 1, true), -EAGAIN);
    file_put(end[0]);
    assert_int_equal(pipe_put_some(end[1], buf, 1, true), -EPIPE);
    file_put(end[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pipe_bytes),
        TEST(pipe_blocking),
        TEST(pipe_room_for_a_whole_write),
        TEST(fifo),
        TEST(eventfd_counts),
        TEST(timerfd_ticks),
        TEST(timerfd_wall_clock),
        TEST(epoll_level_edge_oneshot),
        TEST(epoll_nested),
        TEST(epoll_fairness_of_max),
        TEST(epoll_refuses),
        TEST(epoll_exclusive),
        TEST(waits_are_woken),
        TEST(descriptors),
        TEST(reserved_descriptors),
        TEST(pipe_gives_back),
        TEST(closing_ends_a_lock),
        TEST(owner_outlives_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
