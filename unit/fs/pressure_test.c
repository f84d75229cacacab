/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: fs */
/* pressure_test.c - triggers of /proc/pressure/memory: when they fire, at most once in a window,
 * and that who sleeps in poll hears of one that had to wait for the window's end. */
#include <cmocka.h>

#include "fake.h"
#include "fake_fs.h"
#include "fs/fcntl.h"
#include "fs/pollwait.h"
#include "lib/errno.h"
#include "sched/pressure.h"

#define MS NS_PER_MS

static struct pressure_stats stats;
static struct file *file;

void pressure_get_stats(struct pressure_stats *out)
{
    *out = stats;
}

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(16u << 20);
    fake_console_state = (struct hal_console_info){true, true, true, 24, 80};
    waitq_init(&pressure_changes);
    fake_pressure_watchers = 0;
    stats = (struct pressure_stats){0};
    return fake_fs_boot(NULL, 0) ||
           fs_open(fake_context, "/proc/pressure/memory", O_RDWR, 0, &file);
}

static int tear_down(void **state)
{
    (void)state;
    if (file)
        file_put(file);
    fake_fs_end();
    return 0;
}

static void set_trigger(const char *text)
{
    assert_int_equal(file_write(file, text, strlen(text) + 1), strlen(text) + 1);
}

/* So much time is stalled, in a stall that ends now. */
static void stall(uint64_t ns)
{
    fake_advance(ns);
    stats.total_ns[PRESSURE_SOME] += ns;
    waitq_wake_all(&pressure_changes, 0);
}

static bool fires(void)
{
    return file->ops->poll(file, NULL) & POLLPRI;
}

static void it_fires_at_the_threshold(void **state)
{
    (void)state;
    assert_true(file->ops->poll(file, NULL) & POLLERR);
    set_trigger("some 150000 1000000");
    assert_int_equal(file_write(file, "some 1 500000", 14), -EBUSY);
    assert_int_equal(fake_pressure_watchers, 1);
    assert_false(fires());
    stall(149 * MS);
    assert_false(fires());
    stall(1 * MS);
    assert_true(fires());
    assert_false(fires());
    /* The next window begins with nothing. */
    fake_advance(1000 * MS);
    assert_false(fires());
    stall(100 * MS);
    assert_false(fires());
    fake_advance(1000 * MS);
    assert_false(fires());
    stall(100 * MS);
    assert_false(fires());
    assert_int_equal(fake_timer_next(), UINT64_MAX);
}

/* All of the second stall is over when the window ends: nobody else would wake the poller. */
static void what_has_to_wait_is_told_at_the_end_of_the_window(void **state)
{
    struct waiter w;
    (void)state;
    set_trigger("some 150000 1000000");
    stall(200 * MS);
    assert_true(fires());
    uint64_t fired = fake_now_ns;
    stall(300 * MS);
    assert_false(fires());
    assert_int_equal(fake_timer_next(), fired + 1000 * MS);
    waitq_prepare(&pressure_changes, &w, true);
    fake_advance(699 * MS);
    assert_false(w.woken);
    assert_false(fires());
    fake_advance(1 * MS);
    assert_true(w.woken);
    waitq_finish(&w);
    assert_true(fires());
    assert_false(fires());
    assert_int_equal(fake_timer_next(), UINT64_MAX);
}

static void a_file_that_is_closed_leaves_no_timer(void **state)
{
    (void)state;
    set_trigger("some 150000 1000000");
    stall(200 * MS);
    assert_true(fires());
    stall(200 * MS);
    assert_false(fires());
    assert_true(fake_timer_next() != UINT64_MAX);
    file_put(file);
    file = NULL;
    assert_int_equal(fake_timer_next(), UINT64_MAX);
    assert_int_equal(fake_pressure_watchers, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(it_fires_at_the_threshold),
        T(what_has_to_wait_is_told_at_the_end_of_the_window),
        T(a_file_that_is_closed_leaves_no_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
