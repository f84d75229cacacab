/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: tools/cli/elfscan.c tools/cli/util.c */
/* clang-format on */
/* include: tools/cli */
/* elfscan_test.c - what the command reads of an ELF file, and that no broken one hurts it. */
#include "tool_test.h"

#include "elf_file.h"
#include "elfscan.h"

static char *folder, *path;

static int make_folder(void **state)
{
    (void)state;
    folder = fresh_folder();
    path = text("%s/file", folder);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_tree(folder);
    return 0;
}

static const struct elf_file whole = {.interpreter = "/lib/ld.so",
                                      .rpath = "/r",
                                      .runpath = "$ORIGIN/lib",
                                      .needed = {"liba.so", "libb.so.6"}};

static const char *scan_bytes(const void *data, size_t len, struct elf_info *info)
{
    assert_true(file_write(path, data, len));
    return elf_scan(path, info);
}

static void reads_what_is_there(void **state)
{
    struct elf_info info;

    (void)state;
    elf_write(path, &whole);
    assert_null(elf_scan(path, &info));
    assert_int_equal(info.machine, EM_X86_64);
    assert_true(info.executable);
    assert_string_equal(info.interpreter, "/lib/ld.so");
    assert_int_equal(info.needed.count, 2);
    assert_string_equal(info.needed.items[1], "libb.so.6");
    assert_string_equal(info.rpath, "/r");
    assert_string_equal(info.runpath, "$ORIGIN/lib");
    assert_false(info.wants_unwinder);
    assert_false(info.wants_iconv);
}

/* Names in the string table tell what glibc will load. */
static void reads_what_will_be_loaded(void **state)
{
    static const struct elf_file iconv = {.needed = {"iconv_open"}},
                                 unwinder = {.needed = {"pthread_cancel"}};
    struct elf_info info;

    (void)state;
    elf_write(path, &iconv);
    assert_null(elf_scan(path, &info));
    assert_true(info.wants_iconv);
    assert_false(info.wants_unwinder);
    elf_write(path, &unwinder);
    assert_null(elf_scan(path, &info));
    assert_true(info.wants_unwinder);
    assert_false(info.wants_iconv);
}

static void missing_file(void **state)
{
    struct elf_info info;

    (void)state;
    assert_string_equal(elf_scan("/nosuch/file", &info), "No such file or directory");
}

/* Every length: said to be wrong until the last byte that is needed is there, and never a crash. */
static void every_truncation(void **state)
{
    struct elf_image image;
    struct elf_info info;

    (void)state;
    elf_build(&image, &whole);
    for (size_t len = 0; len < sizeof(image); len++) {
        const char *wrong = scan_bytes(&image, len, &info);

        assert_non_null(wrong);
        if (len < SELFMAG)
            assert_string_equal(wrong, elf_foreign);
        else if (!text_starts(wrong, "truncated: "))
            complain("%zu bytes: %s", len, wrong);
    }
}

static void broken_fields(void **state)
{
    struct elf_image good, image;
    struct elf_info info;

    (void)state;
    elf_build(&good, &whole);
#define BROKEN(says, change) \
    do { \
        image = good; \
        change; \
        const char *wrong = scan_bytes(&image, sizeof(image), &info); \
        if (!wrong || !text_starts(wrong, says)) \
            complain("%s: %s", #change, wrong ? wrong : "taken as good"); \
    } while (0)
    BROKEN("is a 32-bit program", image.header.e_ident[EI_CLASS] = ELFCLASS32);
    BROKEN("is an object file", image.header.e_type = ET_REL);
    BROKEN("is a core dump", image.header.e_type = ET_CORE);
    BROKEN("corrupt: unknown ELF type", image.header.e_type = 99);
    BROKEN("corrupt: wrong size", image.header.e_phentsize = 8);
    BROKEN("truncated: program headers", image.header.e_phoff = UINT64_MAX);
    BROKEN("truncated: program headers", image.header.e_phnum = 65000);
    BROKEN("corrupt: no program headers", image.header.e_phnum = 0);
    BROKEN("truncated: segment 0", image.segments[0].p_filesz = UINT64_MAX);
    BROKEN("truncated: segment 1", image.segments[1].p_offset = UINT64_MAX - 8);
    BROKEN("corrupt: a segment is longer", image.segments[0].p_memsz = 1);
    BROKEN("corrupt: nothing to load", image.segments[0].p_type = PT_NULL);
    BROKEN("corrupt: empty dynamic", image.segments[1].p_filesz = 1);
    BROKEN("corrupt: the name of its interpreter", image.interpreter[0] = 'x');
    BROKEN("corrupt: the name of its interpreter", image.segments[2].p_filesz = 3);
    BROKEN("corrupt: its dynamic section names no string", image.dynamic[4].d_un.d_ptr = 1);
    BROKEN("corrupt: a name lies outside", image.dynamic[0].d_un.d_val = 100000);
    BROKEN("corrupt: a name lies outside", image.dynamic[5].d_un.d_val = 2);
#undef BROKEN
}

static void other_machine(void **state)
{
    struct elf_file file = whole;
    struct elf_info info;

    (void)state;
    file.machine = EM_AARCH64;
    elf_write(path, &file);
    assert_null(elf_scan(path, &info));
    assert_int_equal(info.machine, EM_AARCH64);
    assert_string_equal(elf_machine_name(EM_AARCH64), "AArch64");
    assert_string_equal(elf_machine_name(12345), "another architecture");
}

/* Bytes changed at random (the same each time): an answer, whichever, and no access out of bounds.
 */
static void random_damage(void **state)
{
    struct elf_image good, image;
    struct elf_info info;
    uint64_t seed = 1;

    (void)state;
    elf_build(&good, &whole);
    for (int round = 0; round < 3000; round++) {
        image = good;
        for (int i = 0; i < 4; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            /* The headers and the dynamic section are where it can hurt. */
            ((unsigned char *)&image)[(seed >> 33) % offsetof(struct elf_image, interpreter)] =
                (unsigned char)(seed >> 20);
        }
        scan_bytes(&image, sizeof(image), &info);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_there), cmocka_unit_test(reads_what_will_be_loaded),
        cmocka_unit_test(missing_file),        cmocka_unit_test(every_truncation),
        cmocka_unit_test(broken_fields),       cmocka_unit_test(other_machine),
        cmocka_unit_test(random_damage),
    };

    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
