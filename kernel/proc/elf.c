/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * elf.c - parse, validate and plan an ELF-64 executable (System V gABI, chapters 4 and 5).
 *
 * Fields are copied out of the bytes before use, so alignment of the input does not matter. Every
 * rejection has a phrase of its own: it ends up in "cannot run X: ...".
 *
 * What Linux accepts is accepted, except for oddities that only break programs later: segments that
 * overlap or descend are refused here. Two segments may meet within a page; the later one then
 * decides its contents and rights, as on Linux.
 */
#include "proc/elf.h"

#include "isa/abi.h"
#include "lib/elf64.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/mman.h"
#include "mm/page.h"

enum { ET_EXEC = 2, ET_DYN = 3 };
enum { PT_LOAD = 1, PT_INTERP = 3, PT_PHDR = 6 };
#define PT_GNU_STACK 0x6474e551u
#define PT_GNU_PROPERTY 0x6474e553u
enum { PF_X = 1, PF_W = 2, PF_R = 4 };
/* Addresses beyond this are no one's user addresses: keeps every later sum from wrapping. */
#define ADDRESS_LIMIT (1ull << 56)

size_t elf_head_need(const void *head, size_t len)
{
    struct elf_ehdr eh;
    uint64_t need;
    if (len < sizeof eh)
        return 0;
    memcpy(&eh, head, sizeof eh);
    if (memcmp(eh.ident, "\177ELF", 4) != 0)
        return 0;
    if (add_overflow(eh.phoff, (uint64_t)eh.phnum * sizeof(struct elf_phdr), &need) ||
        need > ELF_HEAD_MAX)
        return ELF_HEAD_MAX;
    return need;
}

static const char *ehdr_check(const struct elf_ehdr *eh, uint64_t file_size, size_t head_len)
{
    uint64_t end;
    if (eh->ident[4] != 2)
        return "it is not a 64-bit ELF file";
    if (eh->ident[5] != 1)
        return "its ELF byte order is not little endian";
    if (eh->ident[6] != 1 || eh->version != 1)
        return "its ELF version is unknown";
    if (eh->machine != ISA_ELF_MACHINE)
        return "it is built for another machine than " ISA_UTS_MACHINE;
    if (eh->type != ET_EXEC && eh->type != ET_DYN)
        return "it is an ELF file, but not an executable";
    if (eh->phentsize != sizeof(struct elf_phdr))
        return "its ELF program headers have a wrong size";
    if (eh->phnum == 0)
        return "it has no ELF program headers";
    if (add_overflow(eh->phoff, (uint64_t)eh->phnum * sizeof(struct elf_phdr), &end) ||
        end > file_size)
        return "it is truncated: its ELF program headers lie beyond its end";
    if (end > head_len)
        return "its ELF program headers are too far from its start";
    return NULL;
}

/* The file rules of a segment alone. */
static const char *load_check(const struct elf_phdr *ph, uint64_t file_size)
{
    uint64_t end;
    if (ph->filesz > ph->memsz)
        return "an ELF segment is larger in the file than in memory";
    if (add_overflow(ph->offset, ph->filesz, &end) || end > file_size)
        return "it is truncated: an ELF segment lies beyond its end";
    if (add_overflow(ph->vaddr, ph->memsz, &end) || end > ADDRESS_LIMIT)
        return "an ELF segment has an impossible address";
    if (ph->filesz && (ph->vaddr ^ ph->offset) & (PAGE_SIZE - 1))
        return "an ELF segment is not aligned to pages";
    if (ph->align & (ph->align - 1) || ph->align > ADDRESS_LIMIT)
        return "an ELF segment has an alignment that is not a power of two";
    return NULL;
}

static uint32_t prot_of(uint32_t flags)
{
    return ((flags & PF_R) ? PROT_READ : 0) | ((flags & PF_W) ? PROT_WRITE : 0) |
           ((flags & PF_X) ? PROT_EXEC : 0);
}

static const char *load_plan(const struct elf_phdr *ph, uint64_t file_size, struct elf_plan *out)
{
    const char *why = load_check(ph, file_size);
    if (why)
        return why;
    if (ph->memsz == 0)
        return NULL;
    if (out->segment_count == ELF_SEGMENTS_MAX)
        return "it has too many ELF segments";
    const struct elf_segment *last =
        out->segment_count ? &out->segment[out->segment_count - 1] : NULL;
    if (!last)
        out->lo = align_down(ph->vaddr, PAGE_SIZE);
    else if (ph->vaddr < last->vaddr + last->memsz)
        return "its ELF segments overlap or are out of order";
    out->hi = align_up(ph->vaddr + ph->memsz, PAGE_SIZE);
    out->align = MAX(out->align, ph->align);
    out->segment[out->segment_count++] = (struct elf_segment){
        .vaddr = ph->vaddr,
        .memsz = ph->memsz,
        .off = ph->offset,
        .filesz = ph->filesz,
        .prot = prot_of(ph->flags),
    };
    return NULL;
}

static const char *interp_plan(const struct elf_phdr *ph, uint64_t file_size, struct elf_plan *out)
{
    uint64_t end;
    if (out->interp_len)
        return NULL; /* the first one counts */
    if (ph->filesz < 2 || ph->filesz > ELF_INTERP_MAX)
        return "the path of its ELF interpreter has an impossible length";
    if (add_overflow(ph->offset, ph->filesz, &end) || end > file_size)
        return "it is truncated: the path of its ELF interpreter lies beyond its end";
    out->interp_off = ph->offset;
    out->interp_len = ph->filesz;
    return NULL;
}

/* Where the program headers are in memory: the segment that holds their file bytes. */
static uint64_t phdr_address(const struct elf_plan *plan, uint64_t phoff, uint64_t len)
{
    for (unsigned i = 0; i < plan->segment_count; i++) {
        const struct elf_segment *s = &plan->segment[i];
        if (phoff >= s->off && phoff - s->off <= s->filesz && len <= s->filesz - (phoff - s->off))
            return s->vaddr + (phoff - s->off);
    }
    return 0;
}

static const char *entry_check(const struct elf_plan *plan)
{
    for (unsigned i = 0; i < plan->segment_count; i++) {
        const struct elf_segment *s = &plan->segment[i];
        if (plan->entry >= s->vaddr && plan->entry - s->vaddr < s->memsz)
            return NULL;
    }
    /* A shared library such as libfoo.so has entry 0. */
    return plan->entry ? "its ELF entry point lies outside its segments"
                       : "it has no ELF entry point (is it a library?)";
}

static const char *plan_make(const uint8_t *head, const struct elf_ehdr *eh, uint64_t file_size,
                             struct elf_plan *out)
{
    const char *why = NULL;
    for (unsigned i = 0; i < eh->phnum && !why; i++) {
        struct elf_phdr ph;
        memcpy(&ph, head + eh->phoff + i * sizeof ph, sizeof ph);
        if (ph.type == PT_LOAD)
            why = load_plan(&ph, file_size, out);
        else if (ph.type == PT_INTERP)
            why = interp_plan(&ph, file_size, out);
        else if (ph.type == PT_GNU_STACK)
            out->exec_stack = ph.flags & PF_X;
        else if (ph.type == PT_GNU_PROPERTY) {
            out->property_off = ph.offset;
            out->property_len = ph.filesz;
        }
    }
    if (why)
        return why;
    if (out->segment_count == 0)
        return "it has no ELF segment to load";
    out->phdr = phdr_address(out, eh->phoff, (uint64_t)eh->phnum * sizeof(struct elf_phdr));
    return entry_check(out);
}

int elf_validate(const void *head, size_t head_len, uint64_t file_size, struct elf_plan *out,
                 const char **why)
{
    struct elf_ehdr eh;
    memset(out, 0, sizeof *out);
    if (head_len < 4 || memcmp(head, "\177ELF", 4) != 0) {
        *why = head_len == 0 ? "it is an empty file" : "it is neither an ELF file nor a script";
        return -ENOEXEC;
    }
    *why = "it is truncated: its ELF header is not complete";
    if (head_len < sizeof eh)
        return -ENOEXEC;
    memcpy(&eh, head, sizeof eh);
    *why = ehdr_check(&eh, file_size, head_len);
    if (*why)
        return -ENOEXEC;
    out->relocatable = eh.type == ET_DYN;
    out->entry = eh.entry;
    out->phnum = eh.phnum;
    out->align = PAGE_SIZE;
    *why = plan_make(head, &eh, file_size, out);
    return *why ? -ENOEXEC : 0;
}

/* ---- properties (Linux, fs/binfmt_elf.c, parse_elf_properties; ELF for the Arm 64-bit
 * Architecture, 6.2) ---- */

#define NOTE_HEAD 16 /* sizes of name and contents, type, "GNU" */
#define NT_GNU_PROPERTY_TYPE_0 5
#define PROPERTY_AARCH64_FEATURE_1_AND 0xc0000000u
#define FEATURE_1_BTI 1u

int elf_property_landing(const void *note, size_t len, bool *landing)
{
    const uint8_t *at = note;
    uint32_t head[3], last = 0;
    *landing = false;
    if (len < NOTE_HEAD || len > ELF_PROPERTY_MAX)
        return -ENOEXEC;
    memcpy(head, at, sizeof head);
    if (head[0] != 4 || head[1] > len - NOTE_HEAD || head[2] != NT_GNU_PROPERTY_TYPE_0 ||
        memcmp(at + sizeof head, "GNU", 4) != 0)
        return -ENOEXEC;
    at += NOTE_HEAD;
    for (size_t left = head[1]; left > 0;) {
        struct {
            uint32_t type, size;
        } property;
        if (left < sizeof property)
            return -ENOEXEC;
        memcpy(&property, at, sizeof property);
        at += sizeof property;
        left -= sizeof property;
        uint64_t step = align_up(property.size, 8);
        if (step > left || (last && property.type <= last)) /* in order, each once */
            return -ENOEXEC;
        last = property.type;
        if (property.type == PROPERTY_AARCH64_FEATURE_1_AND) {
            uint32_t features;
            if (property.size != sizeof features)
                return -ENOEXEC;
            memcpy(&features, at, sizeof features);
            *landing = features & FEATURE_1_BTI;
        }
        at += step;
        left -= step;
    }
    return 0;
}
