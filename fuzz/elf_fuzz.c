/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/proc/elf.c */
/* length: 1024 */
/* runs: 20000 */
/* covers: kernel/proc/elf.c */
/* lines: 95 */
/*
 * elf_fuzz.c - elf_validate on a file that is the input. What it accepts must be what elf.h
 * promises: sums that do not wrap, segments in ascending order inside the file and inside [lo, hi),
 * an entry point inside one. The kernel reads no more than elf_head_need says; that must be enough.
 * elf_property_landing on notes: in bounds, and nothing behind the note matters.
 */
#include <string.h>

#include "fuzz.h"
#include "lib/errno.h"
#include "mm/page.h"
#include "proc/elf.h"

static void check_segments(const struct elf_plan *plan, uint64_t file_size)
{
    uint64_t last = 0;
    bool entry = false;

    FUZZ_CHECK(plan->segment_count > 0 && plan->segment_count <= ELF_SEGMENTS_MAX);
    for (unsigned i = 0; i < plan->segment_count; i++) {
        const struct elf_segment *s = &plan->segment[i];

        FUZZ_CHECK(s->memsz > 0 && s->filesz <= s->memsz);
        FUZZ_CHECK(s->off <= file_size && s->filesz <= file_size - s->off);
        FUZZ_CHECK(s->vaddr >= last && s->vaddr + s->memsz > s->vaddr);
        FUZZ_CHECK(s->vaddr >= plan->lo && s->vaddr + s->memsz <= plan->hi);
        FUZZ_CHECK(s->prot <= 7);
        FUZZ_CHECK(s->filesz == 0 || s->vaddr % PAGE_SIZE == s->off % PAGE_SIZE);
        last = s->vaddr + s->memsz;
        entry |= plan->entry >= s->vaddr && plan->entry < last;
    }
    FUZZ_CHECK(entry);
}

static void check_plan(const struct elf_plan *plan, uint64_t file_size)
{
    FUZZ_CHECK(plan->lo % PAGE_SIZE == 0 && plan->hi % PAGE_SIZE == 0 && plan->lo < plan->hi);
    FUZZ_CHECK(plan->align >= PAGE_SIZE && (plan->align & (plan->align - 1)) == 0);
    FUZZ_CHECK(plan->hi + plan->align > plan->hi);
    FUZZ_CHECK(plan->phnum > 0);
    FUZZ_CHECK(plan->interp_len <= ELF_INTERP_MAX);
    FUZZ_CHECK(plan->interp_off <= file_size && plan->interp_len <= file_size - plan->interp_off);
    FUZZ_CHECK(plan->phdr == 0 || (plan->phdr >= plan->lo && plan->phdr < plan->hi));
    check_segments(plan, file_size);
}

/* The note of properties: the whole input, and where an accepted file says that there is one. */
static void check_property(const uint8_t *data, size_t size)
{
    bool landing = true, again = true;
    int err = elf_property_landing(data, size, &landing);

    FUZZ_CHECK(err == 0 || err == -ENOEXEC);
    FUZZ_CHECK(err || (size >= 16 && size <= ELF_PROPERTY_MAX));
    if (err || size == ELF_PROPERTY_MAX)
        return;
    /* What follows the note is no part of it. */
    uint8_t *more = malloc(size + 1);

    FUZZ_CHECK(more);
    memcpy(more, data, size);
    more[size] = 0xff;
    FUZZ_CHECK(elf_property_landing(more, size + 1, &again) == 0 && again == landing);
    free(more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_plan plan, again;
    const char *why = NULL;
    int err = elf_validate(data, size, size, &plan, &why);

    FUZZ_CHECK(err == 0 || (err == -ENOEXEC && why && *why));
    check_property(data, size);
    if (err == 0 && plan.property_off <= size && plan.property_len <= size - plan.property_off)
        check_property(data + plan.property_off, plan.property_len);
    if (size >= 64) {
        size_t need = elf_head_need(data, size);

        /* The first part alone, in a block of its own, gives the same answer. */
        if (need && need < size) {
            uint8_t *head = malloc(need < 64 ? 64 : need);
            const char *reason = NULL;

            FUZZ_CHECK(head);
            memcpy(head, data, need < 64 ? 64 : need);
            int other = elf_validate(head, need < 64 ? 64 : need, size, &again, &reason);

            FUZZ_CHECK(need == ELF_HEAD_MAX || other == err);
            FUZZ_CHECK(other || memcmp(&plan, &again, sizeof(plan)) == 0);
            free(head);
        }
    }
    if (err == 0)
        check_plan(&plan, size);
    return 0;
}
