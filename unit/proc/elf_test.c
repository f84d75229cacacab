/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/proc/elf.c */
/* elf_test.c - the ELF validator: a good file, and one test row for each way to break it. */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/errno.h"
#include "proc/elf.h"

struct ehdr {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct phdr {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

#define FILE_SIZE 0x6000
static struct image {
    struct ehdr eh;
    struct phdr ph[4];
} image;
static struct elf_plan plan;
static const char *why;

/* text at 0x400000, data with bss at 0x403100, an interpreter's path, a stack without execution. */
static int good(void **state)
{
    (void)state;
    image = (struct image){
        .eh = {.ident = {0x7f, 'E', 'L', 'F', 2, 1, 1},
               .type = 2,
               .machine = 62,
               .version = 1,
               .entry = 0x400100,
               .phoff = 64,
               .ehsize = 64,
               .phentsize = 56,
               .phnum = 4},
        .ph = {{1, 5, 0, 0x400000, 0, 0x2000, 0x2000, 0x1000},
               {1, 6, 0x2100, 0x403100, 0, 0x80, 0x2000, 0x1000},
               {3, 4, 0x200, 0x400200, 0, 0x1c, 0x1c, 1},
               {0x6474e551, 6, 0, 0, 0, 0, 0, 16}},
    };
    return 0;
}

static int validate(void)
{
    return elf_validate(&image, sizeof image, FILE_SIZE, &plan, &why);
}

static void test_good(void **state)
{
    (void)state;
    assert_int_equal(validate(), 0);
    assert_false(plan.relocatable);
    assert_false(plan.exec_stack);
    assert_int_equal(plan.segment_count, 2);
    assert_int_equal(plan.lo, 0x400000);
    assert_int_equal(plan.hi, 0x406000);
    assert_int_equal(plan.entry, 0x400100);
    assert_int_equal(plan.phdr, 0x400040);
    assert_int_equal(plan.phnum, 4);
    assert_int_equal(plan.interp_off, 0x200);
    assert_int_equal(plan.interp_len, 0x1c);
    assert_int_equal(plan.segment[0].prot, 1 | 4);
    assert_int_equal(plan.segment[1].prot, 1 | 2);
    assert_int_equal(plan.align, 0x1000);
}

static void test_variants(void **state)
{
    (void)state;
    image.eh.type = 3;
    image.ph[1].align = 0x200000;
    image.ph[3].flags = 7;
    assert_int_equal(validate(), 0);
    assert_true(plan.relocatable);
    assert_true(plan.exec_stack);
    assert_int_equal(plan.align, 0x200000);
    image.eh.phnum = 2; /* no interpreter, no stack note */
    assert_int_equal(validate(), 0);
    assert_int_equal(plan.interp_len, 0);
    image.ph[0].filesz = 0x40; /* headers not loaded */
    assert_int_equal(validate(), 0);
    assert_int_equal(plan.phdr, 0);
    image.ph[1].vaddr = 0x401f00 + 0x200; /* meets the first within a page */
    assert_int_equal(validate(), 0);
}

struct broken {
    const char *what, *phrase; /* a part of the reason */
    size_t at, size;
    uint64_t value;
};
#define EH(field, value, phrase) \
    { \
        "ehdr." #field " = " #value, phrase, offsetof(struct image, eh.field), \
            sizeof(image.eh.field), value \
    }
#define PH(i, field, value, phrase) \
    { \
        "ph[" #i "]." #field " = " #value, phrase, offsetof(struct image, ph[i].field), \
            sizeof(image.ph[i].field), value \
    }

static const struct broken rows[] = {
    EH(ident[0], 0, "neither"),
    EH(ident[1], 'e', "neither"),
    EH(ident[4], 1, "64-bit"),
    EH(ident[5], 2, "byte order"),
    EH(ident[6], 0, "version"),
    EH(version, 2, "version"),
    EH(machine, 183, "another machine"),
    EH(machine, 3, "another machine"),
    EH(type, 1, "not an executable"),
    EH(type, 4, "not an executable"),
    EH(type, 0, "not an executable"),
    EH(phentsize, 32, "wrong size"),
    EH(phentsize, 0, "wrong size"),
    EH(phnum, 0, "no ELF program headers"),
    EH(phnum, 0xffff, "beyond its end"),
    EH(phoff, FILE_SIZE, "beyond its end"),
    EH(phoff, UINT64_MAX - 8, "beyond its end"),
    EH(phoff, 0x1000, "too far"),
    EH(entry, 0, "entry"),
    EH(entry, 0x3fffff, "entry"),
    EH(entry, 0x402000, "entry"),
    EH(entry, UINT64_MAX, "entry"),
    PH(0, filesz, 0x2001, "larger in the file"),
    PH(0, offset, UINT64_MAX - 0xfff, "beyond its end"),
    PH(0, offset, FILE_SIZE, "beyond its end"),
    PH(1, offset, 0x2200, "not aligned"),
    PH(1, vaddr, 0x403101, "not aligned"),
    PH(1, vaddr, UINT64_MAX - 0xeff, "impossible address"),
    PH(1, vaddr, 0x100000000000100, "impossible address"),
    PH(1, memsz, UINT64_MAX, "impossible address"),
    PH(1, memsz, 1ull << 57, "impossible address"),
    PH(1, align, 3, "power of two"),
    PH(1, align, 1ull << 63, "power of two"),
    PH(1, vaddr, 0x401100, "out of order"),
    PH(1, vaddr, 0x3f0100, "out of order"),
    PH(2, filesz, 0, "impossible length"),
    PH(2, filesz, 1, "impossible length"),
    PH(2, filesz, 4097, "impossible length"),
    PH(2, offset, FILE_SIZE - 4, "interpreter lies beyond"),
    PH(2, offset, UINT64_MAX, "interpreter lies beyond"),
};

static void test_broken(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        good(state);
        memcpy((char *)&image + rows[i].at, &rows[i].value, rows[i].size);
        if (validate() != -ENOEXEC || !why || !strstr(why, rows[i].phrase))
            fail_msg("%s: %s", rows[i].what, why ? why : "accepted");
    }
}

static void test_no_segment(void **state)
{
    (void)state;
    image.ph[0].type = image.ph[1].type = 0;
    assert_int_equal(validate(), -ENOEXEC);
    assert_non_null(strstr(why, "no ELF segment"));
}

static void test_truncated(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof image; len++) {
        /* Exactly as many bytes as there are: reading on is an error of AddressSanitizer's. */
        char *copy = test_malloc(len ? len : 1);
        memcpy(copy, &image, len);
        assert_int_equal(elf_validate(copy, len, len, &plan, &why), -ENOEXEC);
        assert_non_null(why);
        (void)elf_head_need(copy, len);
        test_free(copy);
    }
}

static void test_head_need(void **state)
{
    (void)state;
    assert_int_equal(elf_head_need(&image, 10), 0);
    assert_int_equal(elf_head_need(&image, sizeof image), 64 + 4 * 56);
    image.eh.phoff = UINT64_MAX;
    assert_int_equal(elf_head_need(&image, sizeof image), ELF_HEAD_MAX);
}

/* Whatever the bytes say, an accepted plan keeps its promises. */
static void test_random(void **state)
{
    uint64_t seed = 88172645463325252ull;
    unsigned accepted = 0;
    for (unsigned round = 0; round < 200000; round++) {
        good(state);
        for (unsigned n = 0; n < 3; n++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            ((uint8_t *)&image)[seed % sizeof image] = (uint8_t)(seed >> 32);
        }
        if (validate())
            continue;
        accepted++;
        assert_true(plan.segment_count > 0 && plan.lo < plan.hi);
        uint64_t last = 0;
        for (unsigned i = 0; i < plan.segment_count; i++) {
            const struct elf_segment *s = &plan.segment[i];
            assert_true(s->vaddr >= last && s->memsz >= s->filesz);
            assert_true(s->off + s->filesz <= FILE_SIZE);
            last = s->vaddr + s->memsz;
            assert_true(last >= s->vaddr && last <= plan.hi && s->vaddr >= plan.lo);
        }
        assert_true(plan.entry >= plan.lo && plan.entry < plan.hi);
        assert_true(plan.interp_off + plan.interp_len <= FILE_SIZE);
    }
    assert_true(accepted > 100);
}

static struct {
    uint32_t name_size, size, type;
    char name[4];
    struct {
        uint32_t type, size, data, pad;
    } property[3];
} note;

static void note_good(void)
{
    memset(&note, 0, sizeof note);
    note.name_size = 4;
    note.size = 48;
    note.type = 5;
    memcpy(note.name, "GNU", 4);
    note.property[0].type = 1;
    note.property[1].type = 0xc0000000;
    note.property[2].type = 0xc0000001;
    for (int i = 0; i < 3; i++)
        note.property[i].size = 4;
    note.property[1].data = 3; /* BTI and PAC */
}

static int note_read(size_t len, bool *landing)
{
    char exact[sizeof note]; /* so that a sanitizer sees what is read beyond */
    memcpy(exact + sizeof note - len, &note, len);
    return elf_property_landing(exact + sizeof note - len, len, landing);
}

static void test_property(void **state)
{
    (void)state;
    bool landing;
    note_good();
    assert_int_equal(note_read(64, &landing), 0);
    assert_true(landing);
    note.property[1].data = 2;
    assert_int_equal(note_read(64, &landing), 0);
    assert_false(landing);
    note_good();
    note.size = 0;
    assert_int_equal(note_read(16, &landing), 0);
    assert_false(landing);
    assert_int_equal(note_read(15, &landing), -ENOEXEC);
}

static void test_property_bad(void **state)
{
    (void)state;
    bool landing;
    struct {
        uint32_t *field, value;
    } bad[] = {
        {&note.name_size, 3},
        {&note.name_size, 5},
        {&note.type, 4},
        {&note.size, 49},
        {&note.size, UINT32_MAX},
        {&note.size, 44},
        {&note.size, 20},
        {&note.property[1].size, 8},
        {&note.property[1].size, 0},
        {&note.property[0].size, 1000},
        {&note.property[2].size, 12},
        {&note.property[2].type, 2},
        {&note.property[1].type, 1},
        {&note.property[0].size, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        note_good();
        *bad[i].field = bad[i].value;
        if (note_read(64, &landing) != -ENOEXEC)
            fail_msg("row %zu was taken", i);
    }
    note_good();
    note.name[0] = 'X';
    assert_int_equal(note_read(64, &landing), -ENOEXEC);
    srand(5);
    for (int i = 0; i < 200000; i++) {
        note_good();
        for (int k = rand() % 4; k >= 0; k--)
            ((unsigned char *)&note)[rand() % sizeof note] = (unsigned char)rand();
        (void)!note_read((size_t)rand() % (sizeof note + 1), &landing);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_good, good),
        cmocka_unit_test_setup(test_variants, good),
        cmocka_unit_test(test_broken),
        cmocka_unit_test_setup(test_no_segment, good),
        cmocka_unit_test_setup(test_truncated, good),
        cmocka_unit_test_setup(test_head_need, good),
        cmocka_unit_test_setup(test_random, good),
        cmocka_unit_test(test_property),
        cmocka_unit_test(test_property_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
