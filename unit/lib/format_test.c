/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/lib/strbuf.c kernel/lib/strutil.c */
/*
 * format_test.c - the kernel's vsnprintf against the C library's, over a table and random
 * conversions. The source is included under other names, because linking it would replace the C
 * library's function in this very program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define snprintf kernel_snprintf
#define vsnprintf kernel_vsnprintf
int kernel_snprintf(char *buf, size_t size, const char *fmt, ...);
int kernel_vsnprintf(char *buf, size_t size, const char *fmt, va_list args);
#include "../../kernel/lib/format.c"
#undef snprintf
#undef vsnprintf

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static void check(const char *fmt, ...) printf_like(1, 2);
static void check(const char *fmt, ...)
{
    char want[256], got[256];
    va_list a, b;
    for (size_t size = 0; size < 40; size += size < 4 ? 1 : 35) {
        size_t room = size >= 39 ? sizeof got : size;
        memset(want, 'Z', sizeof want);
        memset(got, 'Z', sizeof got);
        va_start(a, fmt);
        va_copy(b, a);
        int n = vsnprintf(want, room, fmt, a);
        int m = kernel_vsnprintf(got, room, fmt, b);
        va_end(a);
        va_end(b);
        if (n != m || memcmp(want, got, sizeof got) != 0)
            fail_msg("'%s' size %zu: got %d '%.60s', want %d '%.60s'", fmt, room, m, got, n, want);
    }
}

static void literal_conversions(void **state)
{
    (void)state;
    check("plain text");
    check("%%|%c|%5c|%-5c|", 'a', 'b', 'c');
    check("%s|%10s|%-10s|%.2s|%10.3s|", "abc", "def", "ghi", "jkl", "mnopq");
    check("%.*s|%*s|%*s", 2, "hello", 8, "x", -8, "y");
    check("%d %d %d", 0, -1, 2147483647);
    check("%ld %lu %llu %zu %jd %td", -5l, 7ul, 18446744073709551615ull, (size_t)9, (intmax_t)-3,
          (ptrdiff_t)4);
    check("%hhd %hhu %hd %hu", (signed char)-100, (unsigned char)200, (short)-3000,
          (unsigned short)60000);
    check("%x %X %#x %#X %#x %o %#o %#o", 255u, 255u, 255u, 255u, 0u, 8u, 8u, 0u);
    check("%5d|%-5d|%05d|%+d|% d|%+5d|%-+5d|", 42, 42, 42, 42, 42, 42, 42);
    check("%.0d|%.0x|%.3d|%8.3d|%-8.3d|", 0, 0u, 7, 7, 7);
    check("%#.0o|%#5o|%#.5o|", 0u, 9u, 9u);
    check("%lld", (long long)INT64_MIN);
    check("%p", (void *)0x1234abcd);
}

static void random_integers(void **state)
{
    (void)state;
    srand(3);
    static const char flags[] = "-0+ #";
    static const char *const kinds[] = {"lld", "lli", "llu", "llx", "llX", "llo"};
    for (int round = 0; round < 20000; round++) {
        char fmt[32] = "%";
        int kind = rand() % 6;
        for (int i = 0; i < 5; i++) {
            /* Combinations that C leaves undefined would only compare two opinions. */
            bool is_signed = kind < 2;
            bool defined = flags[i] == '-' || flags[i] == '0' ||
                           (is_signed ? flags[i] != '#' : flags[i] == '#' && kind > 2);
            if (defined && rand() % 3 == 0)
                sprintf(fmt + strlen(fmt), "%c", flags[i]);
        }
        if (rand() % 2)
            sprintf(fmt + strlen(fmt), "%d", 1 + rand() % 30);
        if (rand() % 2)
            sprintf(fmt + strlen(fmt), ".%d", rand() % 25);
        strcat(fmt, kinds[kind]);
        long long value =
            (long long)(((uint64_t)rand() << 33 ^ (uint64_t)rand() << 3) >> (rand() % 64));
        check(fmt, rand() % 2 ? value : -value);
    }
}

static void null_string_and_unknown(void **state)
{
    (void)state;
    char buf[32];
    const char *volatile none = NULL;
    assert_int_equal(kernel_snprintf(buf, sizeof buf, "%s", none), 6);
    assert_string_equal(buf, "(null)");
    const char *fmt = "%y %";
    kernel_snprintf(buf, sizeof buf, fmt, 0);
    assert_string_equal(buf, "%y ");
}

static void strbuf_counts_what_does_not_fit(void **state)
{
    (void)state;
    char buf[8];
    struct strbuf sb = {.buf = buf, .size = sizeof buf};
    strbuf_printf(&sb, "%d", 123);
    strbuf_append(&sb, "abc", 3);
    assert_int_equal(sb.len, 6);
    assert_memory_equal(buf, "123abc", 6);
    strbuf_printf(&sb, "xy"); /* fits, but not with its NUL: must not pass as whole */
    assert_true(sb.len > sb.size);
    strbuf_append(&sb, "zz", 2);
    strbuf_printf(&sb, "more");
    assert_true(sb.len >= 14);
    assert_memory_equal(buf, "123abcx", 7);
}

static void numbers_are_parsed(void **state)
{
    (void)state;
    uint64_t v = 1;
    const char *end;
    assert_int_equal(str_to_u64("0", NULL, &v), 0);
    assert_true(v == 0);
    assert_int_equal(str_to_u64("18446744073709551615", NULL, &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(str_to_u64("18446744073709551616", NULL, &v), -34);
    assert_int_equal(str_to_u64("0xFfz", &end, &v), 0);
    assert_true(v == 255 && *end == 'z');
    assert_int_equal(str_to_u64("0x", &end, &v), 0);
    assert_true(v == 0 && *end == 'x');
    assert_int_equal(str_to_u64("12a", NULL, &v), -22);
    assert_int_equal(str_to_u64("", NULL, &v), -22);
    assert_int_equal(str_to_u64("-1", NULL, &v), -22);
    char small[4];
    assert_int_equal(strlcpy(small, "abcdef", sizeof small), 6);
    assert_int_equal(strlcpy(small, "xyz", 0), 3); /* no room: only the length */
    assert_string_equal(small, "abc");
    assert_true(str_starts("abc", "ab") && !str_starts("ab", "abc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literal_conversions),
        cmocka_unit_test(random_integers),
        cmocka_unit_test(null_string_and_unknown),
        cmocka_unit_test(strbuf_counts_what_does_not_fit),
        cmocka_unit_test(numbers_are_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
