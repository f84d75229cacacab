/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: platform/common/symtab.c kernel/lib/string.c kernel/lib/strutil.c */
/* symtab_test.c - lookup in the embedded symbol table, broken tables included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../platform/common/symtab.h"

#define BASE 0xffffffff80100000ul

static struct {
    uint32_t count, names_size, offset[3], name[3];
    char names[12];
} table = {3, 12, {0x10, 0x40, 0x41}, {0, 4, 8}, "abc\0def\0ghi"};

static const char *find(uintptr_t pc, uintptr_t *offset)
{
    const char *name = NULL;

    return symtab_find(&table, sizeof(table), BASE, pc, &name, offset) ? name : NULL;
}

static void finds_the_function_around(void **state)
{
    uintptr_t offset;

    (void)state;
    assert_null(find(BASE - 1, &offset));
    assert_null(find(BASE + 0xf, &offset));
    assert_string_equal(find(BASE + 0x10, &offset), "abc");
    assert_int_equal(offset, 0);
    assert_string_equal(find(BASE + 0x3f, &offset), "abc");
    assert_int_equal(offset, 0x2f);
    assert_string_equal(find(BASE + 0x40, &offset), "def");
    assert_string_equal(find(BASE + 0x4000, &offset), "ghi");
    assert_int_equal(offset, 0x3fbf);
}

static void broken_tables_find_nothing(void **state)
{
    const char *name;
    uintptr_t offset;

    (void)state;
    for (size_t size = 0; size < sizeof(table); size++)
        assert_false(symtab_find(&table, size, BASE, BASE + 0x40, &name, &offset));
    table.count = UINT32_MAX;
    assert_null(find(BASE + 0x40, &offset));
    table.count = 3;
    table.name[1] = 4000;
    assert_null(find(BASE + 0x40, &offset));
    table.name[1] = 4;
    table.names[11] = 'x'; /* last name without an end */
    assert_null(find(BASE + 0x41, &offset));
    table.names[11] = 0;
    table.count = 0;
    assert_null(find(BASE + 0x40, &offset));
    table.count = 3;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_function_around),
        cmocka_unit_test(broken_tables_find_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
