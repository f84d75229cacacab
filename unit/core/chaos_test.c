/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/core/chaos.c kernel/lib/strutil.c */
/* define: SELKIE_FAILPOINTS=1 */
/* chaos_test.c - the boot option chaos=, and what is drawn: nothing before the start, then as often
 * and as late as asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/chaos.h"
#include "lib/errno.h"

static void words(void **state)
{
    static const char *const bad[] = {
        "",        "timer",       "timer:",    "timer:x",       "timer:1:",         "timer:1:0",
        "clock:1", "timer:1,",    "timer:1 ",  "timer:1;ipi:1", "timer:1:10000001", "seed",
        "seed:",   "seed:1:2",    ",timer:1",  "timers:1",      "time:1",           "timer:-1",
        "timer:+", "timer:1:2:3", "TIMER:1:2",
    };
    (void)state;
    assert_int_equal(chaos_configure("seed:18446744073709551615,timer:3,ipi:4:2000"), 0);
    assert_true(chaos_wanted(CHAOS_TIMER) && chaos_wanted(CHAOS_IPI));
    assert_false(chaos_wanted(CHAOS_ERROR));
    assert_int_equal(chaos_configure("busy:0"), 0);
    assert_false(chaos_wanted(CHAOS_BUSY));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (chaos_configure(bad[i]) == 0)
            fail_msg("\"%s\" is accepted", bad[i]);
}

static void rates_and_delays(void **state)
{
    uint64_t longest = 0, ns;
    unsigned late = 0, errors = 0;
    (void)state;
    assert_int_equal(chaos_configure("seed:7,timer:10:500,error:4,ipi:0"), 0);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(chaos_delay(CHAOS_TIMER) == 0 && !chaos_hit(CHAOS_ERROR));
    chaos_start();
    for (unsigned i = 0; i < 100000; i++) {
        ns = chaos_delay(CHAOS_TIMER);
        late += ns != 0;
        longest = ns > longest ? ns : longest;
        errors += chaos_hit(CHAOS_ERROR);
        assert_true(chaos_delay(CHAOS_IPI) == 0 && !chaos_hit(CHAOS_BUSY));
    }
    /* Five standard deviations: with another generator one such test in a million would fail. */
    assert_in_range(late, 10000 - 475, 10000 + 475);
    assert_in_range(errors, 25000 - 690, 25000 + 690);
    assert_true(chaos_hits(CHAOS_TIMER) == late && chaos_hits(CHAOS_ERROR) == errors);
    assert_true(chaos_hits(CHAOS_IPI) == 0 && chaos_hits(CHAOS_BUSY) == 0);
    assert_string_equal(chaos_name(CHAOS_ERROR), "error");
    assert_in_range(longest, 400 * NS_PER_US, 500 * NS_PER_US);
    chaos_stop();
    assert_true(chaos_delay(CHAOS_TIMER) == 0 && !chaos_hit(CHAOS_ERROR));
}

static void the_same_seed_draws_the_same(void **state)
{
    uint64_t first[100];
    (void)state;
    for (unsigned run = 0; run < 2; run++) {
        assert_int_equal(chaos_configure("seed:99,busy:2:1000"), 0);
        chaos_start();
        for (unsigned i = 0; i < 100; i++) {
            uint64_t ns = chaos_delay(CHAOS_BUSY);
            if (run == 0)
                first[i] = ns;
            else
                assert_int_equal(first[i], ns);
        }
        chaos_stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(rates_and_delays),
        cmocka_unit_test(the_same_seed_draws_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
