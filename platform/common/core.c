/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core.c - the beginning of a core file, see core.h.
 *
 * Everything is computed twice from the same page tables, once to count and once to send, because
 * nothing can be allocated. The segments: RAM at its direct map, the image, and each run of pages
 * of the kernel's window (stacks). Several segments may show the same bytes of the file. The byte
 * at physical address pa is at header size + pa - (lowest address of RAM).
 */
#include "common/core.h"

#include "common/console.h"
#include "elfcore.h"
#include "lib/conframe.h"
#include "lib/string.h"

/* Of the name "SELKIE": the image's slide; where the file lies that it was loaded from. */
#define NT_SLIDE 1
#define NT_KERNEL 2
#define PATH_MAX_LEN 256u
#define FP_ROOM 4096u /* isa_fp_size() at most: x64 with AVX-512 has 2,696 */

static bool used; /* atomic: the file has begun */
static struct bootmem all;
static struct core_image kernel;

void core_init(const struct bootmem *ram, const struct core_image *image)
{
    all = *ram;
    kernel = *image;
}

static const char *wanted(size_t *len)
{
    return cmdline_find(hal_boot_info()->cmdline, "core", len);
}

bool hal_core_wanted(void)
{
    size_t len;

    return wanted(&len) != NULL;
}

bool hal_core_begin(void)
{
    return hal_core_wanted() && !__atomic_exchange_n(&used, true, __ATOMIC_RELAXED);
}

void hal_core_write(const void *buf, size_t len)
{
    console_core(buf, len);
}

/* Whoever has the RAM finds in the headers where it belongs. */
void hal_core_ram(uint64_t offset, paddr_t pa, size_t len)
{
    (void)offset, (void)pa, (void)len;
}

void hal_core_end(void)
{
}

/* The first run of pages mapped one behind the other at or above *va in the kernel's window. */
static bool window_run(vaddr_t *va, paddr_t *pa, size_t *len)
{
    struct hal_space *space = hal_space_kernel();
    vaddr_t end = hal_layout()->kernel_hi;
    paddr_t next;

    for (*va = hal_space_next(space, *va, end); *va < end; *va += HAL_PAGE_SIZE) {
        if (!hal_space_query(space, *va, pa, NULL) || *pa < all.region[0].base ||
            *pa >= all.region[all.count - 1].base + all.region[all.count - 1].len)
            continue; /* device registers */
        *len = HAL_PAGE_SIZE;
        while (*va + *len < end && hal_space_query(space, *va + *len, &next, NULL) &&
               next == *pa + *len)
            *len += HAL_PAGE_SIZE;
        return true;
    }
    return false;
}

struct writer {
    uint64_t header; /* size */
    unsigned segments;
    bool counting;
};

static void segment(struct writer *w, uint32_t type, uint64_t offset, vaddr_t va, paddr_t pa,
                    uint64_t len)
{
    struct elf_phdr s = {.type = type,
                         .flags = 7,
                         .offset = offset,
                         .vaddr = va,
                         .paddr = pa,
                         .filesz = len,
                         .memsz = type == ELFCORE_PT_LOAD ? len : 0,
                         .align = type == ELFCORE_PT_LOAD ? HAL_PAGE_SIZE : 4};

    if (w->segments >= ELFCORE_SEGMENTS_MAX)
        return;
    w->segments++;
    if (!w->counting)
        console_core(&s, sizeof(s));
}

static void loads(struct writer *w)
{
    paddr_t base = all.region[0].base, pa;
    vaddr_t va = hal_layout()->kernel_lo;
    size_t len;

    for (size_t i = 0; i < all.count; i++)
        segment(w, ELFCORE_PT_LOAD, w->header + all.region[i].base - base,
                (uintptr_t)hal_phys_to_virt(all.region[i].base), all.region[i].base,
                all.region[i].len);
    segment(w, ELFCORE_PT_LOAD, w->header + kernel.pa - base, kernel.va, kernel.pa, kernel.len);
    for (; window_run(&va, &pa, &len); va += len)
        segment(w, ELFCORE_PT_LOAD, w->header + pa - base, va, pa, len);
}

static void send_note(const char *name, uint32_t type, const void *data, size_t size)
{
    struct elf_note head = {
        .name_size = (uint32_t)strlen(name) + 1, .size = (uint32_t)size, .type = type};

    memcpy(head.name, name, head.name_size);
    console_core(&head, sizeof(head));
    console_core(data, size); /* a multiple of 4 */
}

/* The vector registers that belong to what the CPU executes. Returns how long the notes are. */
static size_t fp_notes(unsigned cpu, bool send)
{
    static uint8_t data[FP_ROOM] __attribute__((aligned(64)));
    const void *area = core_fp_area(cpu);
    const char *name;
    size_t total = 0;
    uint32_t type;

    if (!area || isa_fp_size() > sizeof(data))
        return 0;
    for (unsigned i = 0;; i++) {
        size_t size = isa_core_fp(area, i, &type, &name, data);

        if (size == 0)
            return total;
        if (send)
            send_note(name, type, data, size);
        total += sizeof(struct elf_note) + size;
    }
}

static size_t notes_size(void)
{
    size_t size = hal_cpu_count() * (sizeof(struct elf_note) + sizeof(struct elf_status)) +
                  2 * sizeof(struct elf_note) + sizeof(uint64_t) + PATH_MAX_LEN;

    for (unsigned cpu = 0; cpu < hal_cpu_count(); cpu++)
        size += fp_notes(cpu, false);
    return size;
}

static void send_notes(const struct isa_frame *(*registers)(unsigned cpu), const char *path,
                       size_t len)
{
    const uint64_t slide = kernel.slide;
    char text[PATH_MAX_LEN] = "";

    /* Debuggers start with the first: this CPU. */
    for (unsigned i = 0; i < hal_cpu_count(); i++) {
        unsigned cpu = (hal_cpu_id() + i) % hal_cpu_count();
        struct elf_status status = {.pid = (int32_t)(1 + cpu)};
        const struct isa_frame *frame = registers(cpu);

        if (frame)
            isa_core_registers(frame, status.registers);
        send_note("CORE", ELFCORE_NT_PRSTATUS, &status, sizeof(status));
        (void)fp_notes(cpu, true);
    }
    memcpy(text, path, MIN(len, sizeof(text) - 1));
    send_note("SELKIE", NT_SLIDE, &slide, sizeof(slide));
    send_note("SELKIE", NT_KERNEL, text, sizeof(text));
}

void hal_core_dump(const struct isa_frame *(*registers)(unsigned cpu))
{
    static const uint8_t zeroes[64];
    size_t notes, len;
    const char *path = wanted(&len);
    struct writer w = {.counting = true};
    struct elf_ehdr e = elfcore_header(0);
    uint64_t at;

    if (all.count == 0 || !hal_core_begin())
        return;
    core_fp_keep(); /* the others have when they stopped */
    notes = notes_size();
    loads(&w);
    e.phnum = (uint16_t)(w.segments + 1);
    at = sizeof(e) + e.phnum * sizeof(struct elf_phdr);
    w = (struct writer){.header = align_up(at + notes, HAL_PAGE_SIZE)};
    console_core(&e, sizeof(e));
    segment(&w, ELFCORE_PT_NOTE, at, 0, 0, notes);
    loads(&w);
    send_notes(registers, path, len);
    for (at += notes; at < w.header; at += MIN(sizeof(zeroes), w.header - at))
        console_core(zeroes, MIN(sizeof(zeroes), w.header - at));
}
