/* SPDX-License-Identifier: BSD-3-Clause */
/* refcount_test.c - counts that an attacker drives over their ends: what overflows leaks and is
 * never freed, what is dropped too often stops the machine. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/refcount.h"

static void last_put_frees_once(void **state)
{
    (void)state;
    struct refcount r;
    ref_init(&r);
    ref_get(&r);
    assert_int_equal(ref_read(&r), 2);
    assert_false(ref_put(&r));
    assert_true(ref_put(&r));
    assert_int_equal(ref_read(&r), 0);
    assert_false(ref_get_live(&r));
    assert_int_equal(ref_read(&r), 0);
}

/* 2^31 references, as of a bug that takes one per call: however many are dropped, nobody is told to
 * free the object. */
static void overflow_saturates(void **state)
{
    (void)state;
    struct refcount r = {REFCOUNT_SATURATED - 1};
    ref_get(&r);
    assert_true(ref_read(&r) >= REFCOUNT_SATURATED);
    for (int i = 0; i < 1000; i++)
        ref_get(&r);
    assert_true(ref_get_live(&r));
    for (int i = 0; i < 5000; i++)
        assert_false(ref_put(&r));
    assert_true(ref_read(&r) >= REFCOUNT_SATURATED);
}

static void get_never_wraps(void **state)
{
    (void)state;
    struct refcount r = {UINT32_MAX};
    ref_get(&r);
    assert_true(ref_read(&r) >= REFCOUNT_SATURATED);
    assert_false(ref_put(&r));
}

/* A put too many: the object is somebody else's memory by now. */
static void underflow_stops_the_machine(void **state)
{
    struct refcount r;
    int status;
    (void)state;
    ref_init(&r);
    assert_true(ref_put(&r));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGILL, SIG_DFL);
        _exit(ref_put(&r) ? 2 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) > 2);
}

/* A reference taken of an object that is gone must not bring it back to be freed again. */
static void revival_saturates(void **state)
{
    (void)state;
    struct refcount r;
    ref_init(&r);
    assert_true(ref_put(&r));
    ref_get(&r);
    assert_false(ref_put(&r));
    assert_false(ref_put(&r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_put_frees_once), cmocka_unit_test(overflow_saturates),
        cmocka_unit_test(get_never_wraps),     cmocka_unit_test(underflow_stops_the_machine),
        cmocka_unit_test(revival_saturates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
