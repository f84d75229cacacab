/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * coredump.c - the core file of a program: ELF as Linux writes it (core(5), fs/binfmt_elf.c), put
 * where hal_core_* says.
 *
 * Notes: NT_PRSTATUS of each task and behind it its vector registers, the one that was hit first;
 * NT_PRPSINFO, NT_SIGINFO, NT_AUXV,
 * NT_FILE; and the program's path in one of our own, for who opens the file. Segments: one for each
 * run of pages that lie one behind the other in RAM, so that the machine need not copy
 * them; pages of an area that were never there are in none. Everything but the RAM is built in
 * memory first. What does not fit there (by then there is more of it than when it was counted)
 * is left out.
 *
 * The address space stays for good, because a machine's RAM is read when it is off.
 */
#include "elfcore.h"
#include "isa.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "proc/crash.h"
#include "proc/internal.h"

#define SEGMENTS_SPARE 64u
#define PATHS_MAX (64u << 10)
#define PATH_ROOM 512
#define NT_PRPSINFO 3
#define NT_AUXV 6
#define NT_SIGINFO 0x53494749
#define NT_FILE 0x46494c45
#define NT_PROGRAM 3 /* of the name "SELKIE" */

struct process_info { /* struct elf_prpsinfo */
    char state, letter, zombie, nice;
    uint64_t flag;
    uint32_t uid, gid;
    int32_t pid, ppid, pgrp, sid;
    char name[16], args[80];
};
STATIC_ASSERT(sizeof(struct process_info) == 136);

struct dump {
    struct space *space;
    struct elf_phdr *segments;
    uint32_t count, room;
    char *notes;
    size_t notes_size, notes_room;
    bool vectors; /* those of all tasks; else of the first one */
    /* NT_FILE: count, page size, {from, to, offset}..., names... */
    uint64_t *files;
    uint32_t file_count, file_room;
    char *names;
    size_t names_size;
};

bool coredump_wanted(void)
{
    return hal_core_wanted();
}

/* ---- memory ---- */

/* One more page: part of the last segment, if it lies behind that in RAM and in the area. */
static void take_page(struct dump *d, vaddr_t va, paddr_t pa, uint32_t flags, bool first)
{
    struct elf_phdr *last = d->count ? &d->segments[d->count - 1] : NULL;
    if (!first && last && last->vaddr + last->filesz == va && last->paddr + last->filesz == pa) {
        last->filesz += PAGE_SIZE;
        last->memsz += PAGE_SIZE;
    } else if (d->count < d->room) {
        d->segments[d->count++] = (struct elf_phdr){.type = ELFCORE_PT_LOAD,
                                                    .flags = flags,
                                                    .vaddr = va,
                                                    .paddr = pa,
                                                    .filesz = PAGE_SIZE,
                                                    .memsz = PAGE_SIZE,
                                                    .align = PAGE_SIZE};
    }
}

static void take_file(struct dump *d, const struct area_info *info)
{
    if (!info->object || info->name[0] || d->file_count == d->file_room ||
        d->names_size + PATH_ROOM > PATHS_MAX)
        return;
    long len = vfs_object_path(info->object, d->names + d->names_size, PATH_ROOM - 1);
    if (len <= 0)
        return;
    uint64_t *entry = &d->files[2 + 3 * d->file_count++];
    entry[0] = info->lo;
    entry[1] = info->hi;
    entry[2] = info->off / PAGE_SIZE;
    d->names_size += (size_t)len;
    d->names[d->names_size++] = 0;
}

static int take_area(const struct area_info *info, void *arg)
{
    struct dump *d = arg;
    bool first = true;
    paddr_t pa;
    /* PF_X, PF_W, PF_R */
    uint32_t flags = (info->prot & PROT_EXEC ? 1u : 0) | (info->prot & PROT_WRITE ? 2u : 0) |
                     (info->prot & PROT_READ ? 4u : 0);
    take_file(d, info);
    if (info->flags & AREA_DONTDUMP)
        return 0;
    for (vaddr_t va = hal_space_next(&d->space->hal, info->lo, info->hi); va < info->hi;
         va = hal_space_next(&d->space->hal, va + PAGE_SIZE, info->hi)) {
        if (hal_space_query(&d->space->hal, va, &pa, NULL))
            take_page(d, va, pa, flags, first);
        first = false;
    }
    return 0;
}

/* ---- notes ---- */

static void note(struct dump *d, const char *name, uint32_t type, const void *data, size_t size)
{
    size_t room = align_up(size, 4);
    struct elf_note head = {
        .name_size = (uint32_t)strlen(name) + 1, .size = (uint32_t)size, .type = type};
    if (d->notes_size + sizeof head + room > d->notes_room)
        return;
    memcpy(head.name, name, head.name_size);
    memcpy(d->notes + d->notes_size, &head, sizeof head);
    memcpy(d->notes + d->notes_size + sizeof head, data, size);
    d->notes_size += sizeof head + room;
}

/* Straight into their place, for they are large. */
static void note_vectors(struct dump *d, const struct task *task)
{
    struct elf_note head;
    const char *name;
    for (unsigned i = 0; d->notes_size + sizeof head + isa_fp_size() <= d->notes_room; i++) {
        char *at = d->notes + d->notes_size;
        size_t size = isa_core_fp(task->thread.fp, i, &head.type, &name, at + sizeof head);
        if (size == 0)
            return;
        head.name_size = (uint32_t)strlen(name) + 1;
        head.size = (uint32_t)size;
        memset(head.name, 0, sizeof head.name);
        memcpy(head.name, name, head.name_size);
        memcpy(at, &head, sizeof head);
        d->notes_size += sizeof head + size;
    }
}

static void note_task(struct dump *d, const struct task *task, const struct isa_frame *frame,
                      const struct siginfo *info)
{
    const struct process *p = task->process;
    struct elf_status s = {
        .signo = info->signo,
        .code = info->code,
        .signal = (int16_t)info->signo,
        .held = task->sig_mask,
        .pid = task->tid,
        .ppid = p->ppid,
        .pgrp = p->pgid,
        .sid = p->sid,
    };
    isa_core_registers(frame, s.registers);
    isa_core_tls(hal_ctx_tls(&task->thread.ctx), s.registers);
    note(d, "CORE", ELFCORE_NT_PRSTATUS, &s, sizeof s);
    uint8_t data[ISA_CORE_NOTE_MAX];
    uint32_t type;
    const char *name;
    size_t size;
    for (unsigned i = 0;
         (size = isa_core_note(hal_ctx_tls(&task->thread.ctx), i, &type, &name, data)) > 0; i++)
        note(d, name, type, data, size);
}

static void note_others(struct dump *d, const struct task *self, const struct siginfo *info)
{
    struct process *p = self->process;
    unsigned long irq = spin_lock_irqsave(&p->lock);
    list_for_each (pos, &p->tasks) {
        const struct task *task = list_entry(pos, struct task, process_link);
        if (task == self || !task->frame)
            continue;
        note_task(d, task, task->frame, info);
        if (d->vectors)
            note_vectors(d, task);
    }
    spin_unlock_irqrestore(&p->lock, irq);
}

static void note_process(struct dump *d, const struct task *task)
{
    const struct process *p = task->process;
    struct process_info info = {.letter = 'R',
                                .uid = task->cred->uid,
                                .gid = task->cred->gid,
                                .pid = p->pid,
                                .ppid = p->ppid,
                                .pgrp = p->pgid,
                                .sid = p->sid};
    memcpy(info.name, task->thread.name, sizeof info.name);
    memcpy(info.args, p->exe, sizeof info.args - 1);
    note(d, "CORE", NT_PRPSINFO, &info, sizeof info);
}

static void note_files(struct dump *d)
{
    size_t table = (2 + 3 * (size_t)d->file_count) * sizeof *d->files;
    d->files[0] = d->file_count;
    d->files[1] = PAGE_SIZE;
    /* The names follow the table at once: there is room for all of them behind it. */
    memcpy((char *)d->files + table, d->names, d->names_size);
    note(d, "CORE", NT_FILE, d->files, table + d->names_size);
}

/* ---- all of it ---- */

static uint32_t area_count(struct space *space)
{
    rwlock_read_lock(&space->lock);
    size_t count = space->area_count;
    rwlock_read_unlock(&space->lock);
    return (uint32_t)MIN(count, (size_t)ELFCORE_SEGMENTS_MAX);
}

/* Twice the vector registers, and the same once more, as note_vectors wants more than it takes. */
#define VECTORS_ROOM (3 * (isa_fp_size() + sizeof(struct elf_note)))
/* What note_task writes. */
#define TASK_ROOM \
    (sizeof(struct elf_status) + 32ul + \
     ISA_CORE_NOTES * (sizeof(struct elf_note) + ISA_CORE_NOTE_MAX))

static bool dump_alloc(struct dump *d, const struct process *p)
{
    uint32_t areas = area_count(d->space);
    uint64_t pages = space_resident(d->space);
    d->file_room = areas + SEGMENTS_SPARE;
    d->room = (uint32_t)MIN(pages + areas + SEGMENTS_SPARE, (uint64_t)ELFCORE_SEGMENTS_MAX);
    size_t files = (2 + 3 * (size_t)d->file_room) * sizeof *d->files + PATHS_MAX;
    d->notes_room = files + PAGE_SIZE + VECTORS_ROOM + p->task_count * TASK_ROOM;
    d->segments = kmalloc_array(d->room, sizeof *d->segments, ALLOC_ZERO);
    d->names = kmalloc(PATHS_MAX, ALLOC_ZERO);
    d->files = kmalloc(files, ALLOC_ZERO);
    size_t all = d->notes_room + p->task_count * VECTORS_ROOM;
    d->notes = kmalloc(all, ALLOC_ZERO);
    d->vectors = d->notes != NULL;
    if (d->vectors)
        d->notes_room = all;
    else /* very many tasks: general registers at least */
        d->notes = kmalloc(d->notes_room, ALLOC_ZERO);
    return d->segments && d->names && d->files && d->notes;
}

static void dump_free(struct dump *d)
{
    kfree(d->segments);
    kfree(d->names);
    kfree(d->files);
    kfree(d->notes);
}

static void write_padding(size_t len)
{
    uint8_t zeroes[256] = {0};
    for (size_t n; len > 0; len -= n) {
        n = MIN(len, sizeof zeroes);
        hal_core_write(zeroes, n);
    }
}

static void write_out(struct dump *d)
{
    struct elf_ehdr e = elfcore_header(d->count + 1);
    uint64_t at = sizeof e + e.phnum * sizeof(struct elf_phdr);
    struct elf_phdr notes = {
        .type = ELFCORE_PT_NOTE, .offset = at, .filesz = d->notes_size, .align = 4};
    uint64_t data = align_up(at + d->notes_size, PAGE_SIZE), next = data;
    for (uint32_t i = 0; i < d->count; i++) {
        d->segments[i].offset = next;
        next += d->segments[i].filesz;
    }
    hal_core_write(&e, sizeof e);
    hal_core_write(&notes, sizeof notes);
    hal_core_write(d->segments, d->count * sizeof *d->segments);
    hal_core_write(d->notes, d->notes_size);
    write_padding(data - at - d->notes_size);
    for (uint32_t i = 0; i < d->count; i++)
        hal_core_ram(d->segments[i].offset, d->segments[i].paddr, d->segments[i].filesz);
}

void coredump(struct task *task, const struct isa_frame *frame, const struct siginfo *info)
{
    struct process *p = task->process;
    struct dump d = {.space = p->space};
    if (!dump_alloc(&d, p) || !hal_core_begin()) {
        dump_free(&d);
        return;
    }
    space_get(p->space); /* for good */
    (void)space_walk(d.space, take_area, &d);
    note_task(&d, task, frame, info);
    hal_ctx_fp_sync(&task->thread.ctx);
    note_vectors(&d, task);
    note_process(&d, task);
    note(&d, "CORE", NT_SIGINFO, info, sizeof *info);
    note(&d, "CORE", NT_AUXV, p->auxv, p->auxv_count * sizeof p->auxv[0]);
    note_files(&d);
    note(&d, "SELKIE", NT_PROGRAM, p->exe, sizeof p->exe);
    note_others(&d, task, info);
    write_out(&d);
    hal_core_end();
    dump_free(&d);
}
