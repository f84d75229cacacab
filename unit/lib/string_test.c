/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/* string_test.c - the kernel's string functions against the C library's at every alignment and
 * length around the word and block sizes. Included under other names: linking them would replace
 * the C library's in this program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define memcpy k_memcpy
#define memmove k_memmove
#define memset k_memset
#define memcmp k_memcmp
#define memchr k_memchr
#define strlen k_strlen
#define strnlen k_strnlen
#define strcmp k_strcmp
#define strncmp k_strncmp
#define strchr k_strchr
#define strrchr k_strrchr
#include "../../kernel/lib/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr
#undef strrchr

static char a[512], b[512], want[512];

static void fill(void)
{
    for (size_t i = 0; i < sizeof a; i++) {
        a[i] = (char)rand();
        b[i] = want[i] = (char)rand();
    }
}

static void copies_at_every_alignment(void **state)
{
    (void)state;
    srand(4);
    for (size_t n = 0; n < 150; n++)
        for (size_t i = 0; i < 9; i++)
            for (size_t j = 0; j < 9; j += 1 + n % 3) {
                fill();
                memcpy(want + i, a + j, n);
                assert_ptr_equal(k_memcpy(b + i, a + j, n), b + i);
                assert_memory_equal(b, want, sizeof b);
                memset(want + j, (int)n, n);
                assert_ptr_equal(k_memset(b + j, (int)n, n), b + j);
                assert_memory_equal(b, want, sizeof b);
            }
}

static void moves_with_every_overlap(void **state)
{
    (void)state;
    for (size_t n = 0; n < 140; n++)
        for (size_t i = 0; i < 90; i += 1 + n % 5) {
            fill();
            memmove(want + i, want + 40, n);
            assert_ptr_equal(k_memmove(b + i, b + 40, n), b + i);
            assert_memory_equal(b, want, sizeof b);
        }
}

static int sign(int v)
{
    return (v > 0) - (v < 0);
}

static void comparisons(void **state)
{
    (void)state;
    for (int round = 0; round < 30000; round++) {
        size_t n = (size_t)rand() % 40, i = (size_t)rand() % 8, j = (size_t)rand() % 8;
        for (size_t k = 0; k < 60; k++)
            a[k] = b[k] = (char)(rand() % 3 ? 'x' : rand());
        if (rand() % 2)
            b[(size_t)rand() % 60] = (char)rand();
        memmove(b + j, b, 50);
        memmove(a + i, a, 50);
        a[59 + i] = b[59 + j] = 0;
        assert_int_equal(sign(k_memcmp(a + i, b + j, n)), sign(memcmp(a + i, b + j, n)));
        assert_int_equal(sign(k_strcmp(a + i, b + j)), sign(strcmp(a + i, b + j)));
        assert_int_equal(sign(k_strncmp(a + i, b + j, n)), sign(strncmp(a + i, b + j, n)));
        assert_int_equal(k_strlen(a + i), strlen(a + i));
        assert_int_equal(k_strnlen(a + i, n), strnlen(a + i, n));
        int c = rand() % 2 ? 'x' : rand() & 255;
        assert_ptr_equal(k_memchr(a + i, c, n), memchr(a + i, c, n));
        assert_ptr_equal(k_strchr(a + i, c), strchr(a + i, c));
        assert_ptr_equal(k_strrchr(a + i, c), strrchr(a + i, c));
    }
    assert_ptr_equal(k_strchr("", 0), strchr("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_at_every_alignment),
        cmocka_unit_test(moves_with_every_overlap),
        cmocka_unit_test(comparisons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
