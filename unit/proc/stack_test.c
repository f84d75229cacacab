/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/proc/stack.c */
/* stack_test.c - the first stack of a program, walked as its start-up code walks it. User memory is
 * host memory. */
#include <cmocka.h>
#include <string.h>

#include "lib/errno.h"
#include "mm/usercopy.h"
#include "proc/stack.h"

static unsigned copies_left;

int copyout(uaddr_t dst, const void *src, size_t len)
{
    if (copies_left-- == 0)
        return -EFAULT;
    memcpy((void *)dst.raw, src, len);
    return 0;
}

static uint8_t memory[65536] __attribute__((aligned(16)));
#define TOP ((uintptr_t)memory + sizeof memory)
static struct stack_spec spec;
static struct stack_image image;

static int setup(void **state)
{
    static char prog[] = "prog", words[] = "two words", empty[] = "", a[] = "A=1",
                b[] = "LONG=abcdef";
    static char *argv[] = {prog, words, empty, NULL}, *envp[] = {a, b, NULL};
    (void)state;
    memset(memory, 0xee, sizeof memory);
    spec = (struct stack_spec){.argv = argv, .envp = envp, .exec_name = "/bin/prog"};
    memcpy(spec.random, "0123456789abcdef", 16);
    spec.auxv[0] = AT_PAGESZ;
    spec.auxv[1] = 4096;
    spec.auxv_count = 1;
    copies_left = 1000;
    return 0;
}

static const char *text(uint64_t addr)
{
    assert_true(addr >= image.sp && addr < TOP);
    return (const char *)(uintptr_t)addr;
}

static void test_walk(void **state)
{
    (void)state;
    assert_int_equal(stack_plan(&spec, TOP, sizeof memory, &image), 0);
    assert_int_equal(stack_write(&spec, &image), 0);
    assert_int_equal(image.sp % 16, 0);
    const uint64_t *w = (const uint64_t *)image.sp;
    assert_int_equal(*w++, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(text(*w++), spec.argv[i]);
    assert_int_equal(*w++, 0);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(text(*w++), spec.envp[i]);
    assert_int_equal(*w++, 0);
    bool random = false, platform = false, name = false, page = false;
    for (; w[0] != AT_NULL; w += 2) {
        if (w[0] == AT_RANDOM)
            random = memcmp(text(w[1]), "0123456789abcdef", 16) == 0;
        else if (w[0] == AT_PLATFORM)
            platform = strcmp(text(w[1]), "x86_64") == 0;
        else if (w[0] == AT_EXECFN)
            name = strcmp(text(w[1]), "/bin/prog") == 0;
        else if (w[0] == AT_PAGESZ)
            page = w[1] == 4096;
    }
    assert_true(random && platform && name && page);
    assert_true((uintptr_t)(w + 2) <= image.random);
    assert_int_equal(image.auxv_count, 5);
}

/* setproctitle counts on it: arguments, then environment, without gaps. */
static void test_strings_are_contiguous(void **state)
{
    (void)state;
    assert_int_equal(stack_plan(&spec, TOP, sizeof memory, &image), 0);
    assert_int_equal(stack_write(&spec, &image), 0);
    assert_memory_equal((void *)image.arg_lo, "prog\0two words\0", 16);
    assert_int_equal(image.arg_hi - image.arg_lo, 16);
    assert_int_equal(image.arg_hi, image.env_lo);
    assert_memory_equal((void *)image.env_lo, "A=1\0LONG=abcdef", 16);
    assert_int_equal(image.env_hi, image.exec_name);
}

static void test_too_long(void **state)
{
    static char huge[STACK_STRING_MAX + 1];
    char *argv[] = {huge, NULL};
    (void)state;
    assert_int_equal(stack_plan(&spec, TOP, 100, &image), -E2BIG);
    memset(huge, 'x', sizeof huge - 1);
    spec.argv = argv;
    assert_int_equal(stack_plan(&spec, TOP, SIZE_MAX / 2, &image), -E2BIG);
    huge[STACK_STRING_MAX - 1] = '\0';
    assert_int_equal(stack_plan(&spec, TOP, SIZE_MAX / 2, &image), 0);
}

static void test_fault(void **state)
{
    (void)state;
    assert_int_equal(stack_plan(&spec, TOP, sizeof memory, &image), 0);
    for (unsigned n = 0;; n++) {
        copies_left = n;
        int err = stack_write(&spec, &image);
        if (!err)
            break;
        assert_int_equal(err, -EFAULT);
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_walk, setup),
        cmocka_unit_test_setup(test_strings_are_contiguous, setup),
        cmocka_unit_test_setup(test_too_long, setup),
        cmocka_unit_test_setup(test_fault, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
