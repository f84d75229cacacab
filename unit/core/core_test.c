/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/core/spinlock.c kernel/core/panic.c kernel/core/log.c kernel/core/percpu.c
   kernel/lib/strutil.c unit/fake_hal.c unit/fake_sched.c */
/* core_test.c - lock ranks, the log, panic, and the random generator (included, to reach its block
 * function). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"

#include "../../kernel/core/random.c"
#include "core/log.h"
#include "core/panic.h"

static int set_up(void **state)
{
    (void)state;
    fake_hal_init(1 << 20);
    return 0;
}

static const char *log_text(void)
{
    return fake_console[HAL_STREAM_LOG];
}

/* ---- locks ---- */

static void locks_nest_in_rank_order(void **state)
{
    (void)state;
    struct spinlock a = SPINLOCK_INIT(RANK_HOTPAGES), b = SPINLOCK_INIT(RANK_PAGE);
    spin_lock(&a);
    unsigned long irq = spin_lock_irqsave(&b);
    assert_false(hal_irq_enabled());
    assert_int_equal(thread_head()->preempt_count, 2);
    assert_true(spin_held(&a) && spin_held(&b));
    spin_unlock(&a); /* not the reverse order: allowed */
    spin_unlock_irqrestore(&b, irq);
    assert_true(hal_irq_enabled());
    assert_int_equal(thread_head()->preempt_count, 0);
    assert_true(spin_try(&a));
    assert_false(spin_try(&a));
    spin_unlock(&a);
    assert_int_equal(thread_head()->held_count, 0);
}

/* ---- log; runs before the first panic, which changes it for good ---- */

static void levels_go_to_the_console(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    log_error("bad %d", 1);
    log_warn("not shown %s", "here");
    log_info("nor this");
    assert_string_equal(log_text(), "selkie: error: bad 1\n");
    log_set_level(LOG_DEBUG);
    log_warn("now %x", 255u);
    assert_non_null(strstr(log_text(), "selkie: warning: now ff\n"));
    fake_now_ns = 12345678900;
    log_debug("late");
    assert_non_null(strstr(log_text(), "[12.345678] late\n"));
    assert_true(log_enabled(LOG_DEBUG));
    log_set_level(LOG_ERROR);
    assert_false(log_enabled(LOG_WARN));
    char ring[4096] = "";
    size_t n = log_read(ring, sizeof ring - 1);
    assert_true(n > 0 && strstr(ring, "not shown here"));
    assert_int_equal(log_read(ring, 5), 5);
    assert_memory_equal(ring, "late\n", 5);
}

static void ring_wraps_and_lines_are_cut(void **state)
{
    (void)state;
    char text[600];
    memset(text, 'a', sizeof text);
    text[599] = 0;
    for (int i = 0; i < 100; i++)
        log_warn("%s", text);
    static char ring[32768];
    size_t n = log_read(ring, sizeof ring);
    assert_int_equal(n, 16384);
    assert_int_equal(ring[n - 1], '\n');
    assert_int_equal(ring[n - 2], 'a');
    assert_int_equal(ring[n - 401], '\n');
}

/* ---- random ---- */

static void chacha_matches_rfc_8439(void **state)
{
    (void)state;
    /* Appendix A.1, test vector 1: key, nonce and counter are zero. */
    static const unsigned char want[16] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90,
                                           0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28};
    uint32_t key[KEY_WORDS] = {0}, block[16];
    chacha_block(key, 0, block);
    assert_memory_equal(block, want, sizeof want);
    /* Test vector 2: counter 1. */
    static const unsigned char second[8] = {0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a};
    chacha_block(key, 1, block);
    assert_memory_equal(block, second, sizeof second);
}

static void random_bytes_differ(void **state)
{
    (void)state;
    unsigned char a[300] = {0}, b[300] = {0};
    random_init();
    random_bytes(a, 299);
    random_bytes(b, 299);
    assert_int_equal(a[299], 0);
    assert_memory_not_equal(a, b, 299);
    assert_true(random_u64() != random_u64());
    uint32_t before[KEY_WORDS];
    memcpy(before, random_key, sizeof before);
    random_mix("some more entropy than fits one chunk of 32 bytes", 49);
    assert_memory_not_equal(before, random_key, sizeof before);
    for (int i = 0; i < 5000; i++)
        random_bytes(b, 299); /* beyond the point where it is seeded again */
    int bits = 0;
    for (int i = 0; i < 299; i++)
        bits += __builtin_popcount(b[i]);
    assert_in_range(bits, 1000, 1400);
}

/* ---- panic ---- */

static void panic_prints_and_powers_off(void **state)
{
    (void)state;
    EXPECT_PANIC(kernel_hal_panic("broken machine", 0x1234, 0));
    assert_int_equal(fake_poweroff_status, HAL_EXIT_PANIC);
    assert_non_null(strstr(log_text(), "kernel panic on CPU 0: broken machine\n"));
    assert_non_null(strstr(log_text(), "0x1234"));
    assert_true(panic_active());
    /* The second panic of the same CPU: one line, no back trace. */
    fake_console_reset();
    EXPECT_PANIC(panic("again %d", 5));
    assert_non_null(strstr(log_text(), "kernel panic inside a panic on CPU 0: again 5\n"));
    assert_null(strstr(log_text(), "#0"));
    /* The third says nothing. */
    fake_console_reset();
    EXPECT_PANIC(panic("third"));
    assert_string_equal(log_text(), "");
    log_error("logging does not wait for locks any more");
    assert_non_null(strstr(log_text(), "any more"));
}

/* Nobody waits for a reader that is slow; what is too much for the kernel to keep is lost, and
 * said. */
static void log_to_a_slow_reader(void **state)
{
    (void)state;
    fake_console_reset();
    log_set_level(LOG_ERROR);
    fake_console_takes = 10;
    log_error("first %d", 1);
    log_error("second");
    assert_string_equal(log_text(), "selkie: er");
    assert_true(log_flush());
    fake_console_takes = SIZE_MAX;
    assert_false(log_flush());
    assert_string_equal(log_text(), "selkie: error: first 1\nselkie: error: second\n");
    fake_console_reset();
    fake_console_takes = 0;
    for (int i = 0; i < 1000; i++)
        log_error("number %d", i);
    fake_console_takes = SIZE_MAX;
    log_error("after");
    assert_non_null(strstr(log_text(), "number 0\n"));
    assert_null(strstr(log_text(), "number 999\n"));
    assert_non_null(strstr(log_text(), " messages lost: nobody read\nselkie: error: after\n"));
    fake_console_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(locks_nest_in_rank_order, set_up),
        cmocka_unit_test_setup(levels_go_to_the_console, set_up),
        cmocka_unit_test_setup(log_to_a_slow_reader, set_up),
        cmocka_unit_test_setup(ring_wraps_and_lines_are_cut, set_up),
        cmocka_unit_test_setup(chacha_matches_rfc_8439, set_up),
        cmocka_unit_test_setup(random_bytes_differ, set_up),
        cmocka_unit_test_setup(panic_prints_and_powers_off, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
