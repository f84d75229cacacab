/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/common/symtab.c kernel/lib/string.c kernel/lib/strutil.c */
/* symtab_test.c - lookup in the embedded symbol table, broken tables included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../platform/common/symtab.h"

#define BASE 0xffffffff80100000ul

/* Codes 1 to 7 are letters (the third ends a name), 8 to 10 pairs: "de", "f" and the end, and the
 * two. */
#define HEAD \
    "\7ab\0defg" \
    "\3\4\5\6\3\x8\x9"

static const char table[] = HEAD "\x10"
                                 "\1\2\3" /* ab at 0x10 */
                                 "\x30"
                                 "\xa" /* def at 0x40 */
                                 "\x81\x02"
                                 "\7\x8\3"; /* gde at 0x141 */
#define TABLE_SIZE (sizeof(table) - 1)
#define HEAD_SIZE (sizeof(HEAD) - 1)
#define FIRST_SIZE (HEAD_SIZE + 4)
#define SECOND_SIZE (FIRST_SIZE + 2)

static char found[8];

static const char *find(uintptr_t pc, uintptr_t *offset)
{
    return symtab_find(table, TABLE_SIZE, BASE, pc, found, sizeof(found), offset) ? found : NULL;
}

static void finds_the_function_around(void **state)
{
    uintptr_t offset;

    (void)state;
    assert_null(find(BASE - 1, &offset));
    assert_null(find(BASE + 0xf, &offset));
    assert_string_equal(find(BASE + 0x10, &offset), "ab");
    assert_int_equal(offset, 0);
    assert_string_equal(find(BASE + 0x3f, &offset), "ab");
    assert_int_equal(offset, 0x2f);
    assert_string_equal(find(BASE + 0x40, &offset), "def");
    assert_string_equal(find(BASE + 0x140, &offset), "def");
    assert_string_equal(find(BASE + 0x4000, &offset), "gde");
    assert_int_equal(offset, 0x3ebf);
}

static void a_long_name_is_cut(void **state)
{
    char name[4] = "###";
    uintptr_t offset;

    (void)state;
    assert_true(symtab_find(table, TABLE_SIZE, BASE, BASE + 0x40, name, 3, &offset));
    assert_memory_equal(name, "de\0", 4);
    assert_true(symtab_find(table, TABLE_SIZE, BASE, BASE + 0x40, name, 1, &offset));
    assert_memory_equal(name, "\0e\0", 4);
}

static bool find_in(const char *bytes, size_t size, char *name)
{
    char *cut = malloc(size + 1);
    uintptr_t offset;
    bool there;

    memcpy(cut, bytes, size);
    cut = realloc(cut, size ? size : 1); /* what is behind the end is not read: asan sees it */
    there = symtab_find(cut, size, BASE, BASE + 0x4000, name, sizeof(found), &offset);
    free(cut);
    return there;
}

/* A name without its end is none. */
static void broken_tables_find_no_more(void **state)
{
    (void)state;
    for (size_t size = 0; size < TABLE_SIZE; size++) {
        char name[sizeof(found)] = "none";
        assert_int_equal(find_in(table, size, name), size >= FIRST_SIZE);
        assert_string_equal(name, size >= SECOND_SIZE ? "def" : size >= FIRST_SIZE ? "ab" : "none");
    }
    assert_false(
        find_in("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 15, found));
    assert_false(find_in(HEAD "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                         HEAD_SIZE + 15, found));
}

/* Code 0 and codes that nothing stands for; a pair of itself, or of one behind it. */
static void codes_that_are_none_end_the_search(void **state)
{
    char name[sizeof(found)];

    (void)state;
    assert_false(find_in(HEAD "\x10\1\0\3", HEAD_SIZE + 4, name));
    assert_false(find_in(HEAD "\x10\1\xb\3", HEAD_SIZE + 4, name));
    assert_false(find_in("\1\0\1\2\2\x10\2", 7, name));
    assert_false(find_in("\1\0\2\3\1\1\1\x10\2", 9, name));
    assert_true(find_in("\1\0\2\1\1\2\1\x10\3", 9, name));
    assert_string_equal(name, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_function_around),
        cmocka_unit_test(a_long_name_is_cut),
        cmocka_unit_test(broken_tables_find_no_more),
        cmocka_unit_test(codes_that_are_none_end_the_search),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
