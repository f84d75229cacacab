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
    fake_now_ns = HAL_CLOCK_START_NS + 12345678900;
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
    /* Test vector 4: a key with something in it, counter 2; all of the block. */
    static const unsigned char fourth[64] = {
        0x72, 0xd5, 0x4d, 0xfb, 0xf1, 0x2e, 0xc4, 0x4b, 0x36, 0x26, 0x92, 0xdf, 0x94,
        0x13, 0x7f, 0x32, 0x8f, 0xea, 0x8d, 0xa7, 0x39, 0x90, 0x26, 0x5e, 0xc1, 0xbb,
        0xbe, 0xa1, 0xae, 0x9a, 0xf0, 0xca, 0x13, 0xb2, 0x5a, 0xa2, 0x6c, 0xb4, 0xa6,
        0x48, 0xcb, 0x9b, 0x9d, 0x1b, 0xe6, 0x5b, 0x2c, 0x09, 0x24, 0xa6, 0x6c, 0x54,
        0xd5, 0x45, 0xec, 0x1b, 0x73, 0x74, 0xf4, 0x87, 0x2e, 0x99, 0xf0, 0x96};
    key[0] = 0xff00;
    chacha_block(key, 2, block);
    assert_memory_equal(block, fourth, sizeof fourth);
}

/* Do any 8 bytes of `held` stand in `key`? */
static bool has_part_of(const uint32_t *key, const uint32_t *held)
{
    for (unsigned i = 0; i + 1 < KEY_WORDS; i++)
        for (unsigned j = 0; j + 1 < KEY_WORDS; j++)
            if (key[i] == held[j] && key[i + 1] == held[j + 1])
                return true;
    return false;
}

/* Whoever reads the generator's state must not learn what it gave out before: the key that made a
 * request's bytes is nowhere any more, and neither is the one before it, of which it was made. */
static void random_forgets_its_keys(void **state)
{
    (void)state;
    uint32_t before[KEY_WORDS], block[16], first[16];
    unsigned char out[64];
    random_init();
    memcpy(before, random_key, sizeof before);
    random_bytes(out, sizeof out);
    chacha_block(before, 0, block);
    chacha_block(block + KEY_WORDS, 1, first);
    assert_memory_equal(out, first, sizeof out); /* so this is how they were made */
    assert_memory_equal(random_key, block, sizeof random_key);
    assert_false(has_part_of(before, random_key));
    assert_false(has_part_of(block + KEY_WORDS, random_key));
}

/* Two machines, one of which has had other entropy: nothing in common. */
static void random_seeds_matter(void **state)
{
    (void)state;
    unsigned char a[64], b[64];
    memset(random_key, 0, sizeof random_key);
    random_mix("boot 1", 6);
    random_bytes(a, sizeof a);
    memset(random_key, 0, sizeof random_key);
    random_mix("boot 2", 6);
    random_bytes(b, sizeof b);
    int different = 0;
    for (size_t i = 0; i < sizeof a; i++)
        different += __builtin_popcount(a[i] ^ b[i]);
    assert_in_range(different, 180, 332);
}

/* A machine without a source says so when it boots, and again to nobody: the log is for once. */
static void random_says_when_it_guesses(void **state)
{
    (void)state;
    log_set_level(LOG_WARN);
    random_init();
    assert_null(strstr(log_text(), "random"));
    fake_entropy_error = -61; /* ENODATA */
    random_init();
    fake_entropy_error = 0;
    assert_non_null(strstr(log_text(), "no source of random numbers"));
    log_set_level(LOG_ERROR);
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

static void part_one(void)
{
    assert_null(panic_registers());
    panic_say("part %s\n", "one");
}
static void part_broken(void)
{
    panic_say("part two ");
    panic("broken");
}
static void part_three(void)
{
    panic_say("part three\n");
}

static void panic_prints_and_powers_off(void **state)
{
    (void)state;
    panic_add(part_one);
    panic_add(part_broken);
    panic_add(part_three);
    assert_false(panic_active());
    EXPECT_PANIC(kernel_hal_panic("broken machine", 0x1234, 0));
    assert_int_equal(fake_poweroff_status, HAL_EXIT_PANIC);
    assert_non_null(strstr(log_text(), "kernel panic on CPU 0: broken machine\n  #0  0x1234"));
    /* What is broken does not take the rest of the report with it. */
    assert_non_null(strstr(log_text(), "part one\npart two selkie: kernel panic inside a panic on "
                                       "CPU 0: broken\npart three\n"));
    assert_true(panic_active());
    /* The second panic of the same CPU: one line, no back trace. */
    fake_console_reset();
    EXPECT_PANIC(panic("again %d", 5));
    assert_non_null(strstr(log_text(), "kernel panic inside a panic on CPU 0: again 5\n"));
    assert_null(strstr(log_text(), "#0"));
    /* So does each one, but not for ever. */
    for (volatile int i = 0; i < 6; i++) /* volatile: a panic ends in longjmp */
        EXPECT_PANIC(panic("and again"));
    fake_console_reset();
    EXPECT_PANIC(panic("one too many"));
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
        cmocka_unit_test_setup(random_forgets_its_keys, set_up),
        cmocka_unit_test_setup(random_seeds_matter, set_up),
        cmocka_unit_test_setup(random_says_when_it_guesses, set_up),
        cmocka_unit_test_setup(panic_prints_and_powers_off, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
