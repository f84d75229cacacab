/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/core/cmdline.c kernel/lib/strutil.c */
/* cmdline_test.c - the grammar of the boot command line (docs/boot.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cmdline.h"
#include "lib/errno.h"

static struct cmdline got;
static void *memory;

/* Memory of exactly the promised size: AddressSanitizer sees a byte too many. */
static int parse(const char *text)
{
    free(memory);
    memory = malloc(cmdline_size(text));
    return cmdline_parse(text, memory, &got);
}

static void options_and_arguments(void **state)
{
    (void)state;
    assert_int_equal(
        parse("conframe=1 loglevel=2 strace=1 cwd=/tmp env=A=1 env=B=x=y -- /bin/ls -l"), 0);
    assert_int_equal(got.loglevel, 2);
    assert_true(got.strace);
    assert_string_equal(got.cwd, "/tmp");
    assert_int_equal(got.envc, 2);
    assert_string_equal(got.envp[0], "A=1");
    assert_string_equal(got.envp[1], "B=x=y");
    assert_null(got.envp[2]);
    assert_int_equal(got.argc, 2);
    assert_string_equal(got.argv[0], "/bin/ls");
    assert_string_equal(got.program, "/bin/ls");
    assert_string_equal(got.argv[1], "-l");
    assert_null(got.argv[2]);
    assert_int_equal(parse("program=/bin/busybox -- ls -l"), 0);
    assert_string_equal(got.program, "/bin/busybox");
    assert_string_equal(got.argv[0], "ls");
}

static void nothing_at_all(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        static const char *const texts[] = {"", "   ", "--", " --  \n"};
        assert_int_equal(parse(texts[i]), 0);
        assert_int_equal(got.argc, 0);
        assert_int_equal(got.envc, 0);
        assert_string_equal(got.cwd, "/");
        assert_false(got.strace);
    }
}

static void any_byte_can_be_carried(void **state)
{
    (void)state;
    assert_int_equal(parse("-- a%20b \"c d\" e\"\"f \"\" %2D%2d \"--\" 100% %zz x%ff%0Ay"), 0);
    static const char *const want[] = {"a b", "c d",  "ef",  "",           "--",
                                       "--",  "100%", "%zz", "x\xff\x0ay", NULL};
    for (size_t i = 0; i < 10; i++)
        if (want[i])
            assert_string_equal(got.argv[i], want[i]);
        else
            assert_null(got.argv[i]);
    assert_int_equal(parse("env=P=%22q%22 -- p -- -- q"), 0);
    assert_string_equal(got.envp[0], "P=\"q\"");
    assert_int_equal(got.argc, 4); /* only the first -- separates */
    assert_string_equal(got.argv[1], "--");
}

static void every_byte_comes_back(void **state)
{
    (void)state;
    char text[1200] = "-- ";
    unsigned char want[256];
    for (unsigned i = 1; i < 256; i++) {
        sprintf(text + strlen(text), "%%%02X", i);
        want[i - 1] = (unsigned char)i;
    }
    want[255] = 0;
    assert_int_equal(parse(text), 0);
    assert_int_equal(got.argc, 1);
    assert_memory_equal(got.argv[0], want, 256);
}

static void bad_lines_are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse("loglevel=4"), -EINVAL);
    assert_int_equal(parse("loglevel=x"), -EINVAL);
    assert_int_equal(parse("loglevel=99999999999999999999"), -EINVAL);
    assert_int_equal(parse("strace=2"), -EINVAL);
    assert_int_equal(parse("-- \"abc"), -EINVAL);
    assert_int_equal(parse("-- a%00b"), -EINVAL);
    assert_int_equal(parse("strace -- x"), 0);
    assert_true(got.strace);
}

static void early_options(void **state)
{
    (void)state;
    char value[4];
    assert_true(cmdline_option("a=1 loglevel=3 -- x=5", "loglevel", value, sizeof value));
    assert_string_equal(value, "3");
    assert_true(cmdline_option("a=12345 b", "a", value, sizeof value));
    assert_string_equal(value, "123");
    assert_true(cmdline_option("a=12345 b", "b", value, sizeof value));
    assert_string_equal(value, "");
    assert_false(cmdline_option("ab=1 -- x=5", "x", value, sizeof value));
    assert_false(cmdline_option("ab=1", "a", value, sizeof value));
    free(memory);
    memory = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_arguments),   cmocka_unit_test(nothing_at_all),
        cmocka_unit_test(any_byte_can_be_carried), cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(bad_lines_are_refused),   cmocka_unit_test(early_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
