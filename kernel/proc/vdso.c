/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdso.c - the shared object that the kernel gives to every program, and its data page.
 *
 * One vm_object holds both: page 0 is the data page (platform/vdso_data.h), the image follows. It
 * is mapped shared and read-only in each space, so one store by the kernel reaches all programs.
 * The writer is serialised by a lock; readers use the sequence counter in the page.
 */
#include "core/log.h"
#include "isa.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/object.h"
#include "proc/internal.h"
#include "vdso_data.h"

static struct {
    struct vm_object object;
    struct page *page;    /* of the data; a reference for ever */
    struct spinlock lock; /* writers of the page */
    bool ready;
    uintptr_t restorer_off; /* of __kernel_rt_sigreturn in the image; 0: none */
} vdso = {.lock = SPINLOCK_INIT(RANK_LOG)};

static size_t image_size(void)
{
    return align_up((uintptr_t)isa_vdso_end - (uintptr_t)isa_vdso_start, PAGE_SIZE);
}

/* Page 0 is data, page i+1 the image's page i. */
static int vdso_fill(struct vm_object *object, uint64_t index, struct page *page)
{
    (void)object;
    if (index == 0)
        return 0;
    size_t off = (index - 1) << PAGE_SHIFT;
    size_t len = (uintptr_t)isa_vdso_end - (uintptr_t)isa_vdso_start;
    if (off < len)
        memcpy(page_virt(page), isa_vdso_start + off, MIN(len - off, PAGE_SIZE));
    return 0;
}

static void vdso_no_reference(struct vm_object *object)
{
    (void)object; /* static */
}

static const struct vm_object_ops vdso_ops = {
    .fill = vdso_fill,
    .get = vdso_no_reference,
    .put = vdso_no_reference,
};

/* The dynamic symbol `name` in the image, 0 if absent. The image is ours and well formed. */
static uintptr_t symbol_find(const char *name)
{
    struct phdr {
        uint32_t type, flags;
        uint64_t offset, vaddr, paddr, filesz, memsz, align;
    };
    struct sym {
        uint32_t name;
        uint8_t info, other;
        uint16_t shndx;
        uint64_t value, size;
    };
    const uint8_t *image = isa_vdso_start;
    uint64_t phoff, dyn = 0, dyn_len = 0, strtab = 0, symtab = 0, hash = 0;
    uint16_t phnum;
    memcpy(&phoff, image + 32, sizeof phoff);
    memcpy(&phnum, image + 56, sizeof phnum);
    for (unsigned i = 0; i < phnum; i++) {
        struct phdr ph;
        memcpy(&ph, image + phoff + i * sizeof ph, sizeof ph);
        if (ph.type == 2 /* PT_DYNAMIC */)
            dyn = ph.offset, dyn_len = ph.filesz;
    }
    for (uint64_t off = 0; off + 16 <= dyn_len; off += 16) {
        uint64_t pair[2];
        memcpy(pair, image + dyn + off, sizeof pair);
        if (pair[0] == 4 /* DT_HASH */)
            hash = pair[1];
        else if (pair[0] == 5 /* DT_STRTAB */)
            strtab = pair[1];
        else if (pair[0] == 6 /* DT_SYMTAB */)
            symtab = pair[1];
    }
    if (!hash || !strtab || !symtab)
        return 0;
    uint32_t count; /* nchain: the number of symbols (gABI, hash table) */
    memcpy(&count, image + hash + 4, sizeof count);
    for (uint32_t i = 0; i < count; i++) {
        struct sym sym;
        memcpy(&sym, image + symtab + i * sizeof sym, sizeof sym);
        if (sym.shndx && strcmp((const char *)image + strtab + sym.name, name) == 0)
            return sym.value;
    }
    return 0;
}

static bool vdso_init(void)
{
    if (image_size() == 0)
        return false;
    vm_object_init(&vdso.object, &vdso_ops, PAGE_SIZE + image_size());
    if (vm_object_page(&vdso.object, 0, true, &vdso.page))
        return false;
    vdso.restorer_off = symbol_find("__kernel_rt_sigreturn");
    vdso.ready = true;
    vdso_update();
    return true;
}

void vdso_update(void)
{
    struct hal_clock_params clock = {0};
    if (!vdso.ready)
        return;
    struct vdso_data *data = page_virt(vdso.page);
    hal_clock_params(&clock);
    uint64_t mono = clock_mono_ns();
    uint64_t wall_base = clock_wall_ns() - mono;
    unsigned long irq = spin_lock_irqsave(&vdso.lock);
    uint32_t seq = __atomic_load_n(&data->seq, __ATOMIC_RELAXED);
    /* Odd before the first change, even after the last one: the fence keeps the stores of the data
     * behind the first store of seq, the release puts them before the second. */
    __atomic_store_n(&data->seq, seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_store_n(&data->kind, clock.kind, __ATOMIC_RELAXED);
    __atomic_store_n(&data->shift, clock.shift, __ATOMIC_RELAXED);
    __atomic_store_n(&data->mult, clock.mult, __ATOMIC_RELAXED);
    __atomic_store_n(&data->base, clock.base, __ATOMIC_RELAXED);
    __atomic_store_n(&data->base_ns, clock.base_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&data->wall_base_ns, wall_base, __ATOMIC_RELAXED);
    __atomic_store_n(&data->seq, seq + 2, __ATOMIC_RELEASE);
    spin_unlock_irqrestore(&vdso.lock, irq);
}

int vdso_map(struct space *space, vaddr_t *addr)
{
    /* The first process is made before there are others: no race for the initialisation. */
    *addr = 0;
    if (!vdso.ready && !vdso_init())
        return 0;
    struct map_request reserve = {
        .len = PAGE_SIZE + image_size(),
        .prot = PROT_NONE,
        .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
    };
    vaddr_t at, ignored;
    int err = space_map(space, &reserve, &at);
    if (err)
        return err;
    struct map_request part = {
        .addr = at,
        .len = PAGE_SIZE,
        .prot = PROT_READ,
        .flags = MAP_SHARED | MAP_FIXED,
        .object = &vdso.object,
        .name = "[vvar]",
        .area_flags = AREA_SPECIAL,
    };
    err = space_map(space, &part, &ignored);
    if (err)
        return err;
    part.addr = at + PAGE_SIZE;
    part.len = image_size();
    part.prot = PROT_READ | PROT_EXEC;
    part.off = PAGE_SIZE;
    part.name = "[vdso]";
    err = space_map(space, &part, &ignored);
    if (!err)
        *addr = at + PAGE_SIZE;
    return err;
}

uintptr_t vdso_restorer(const struct process *process)
{
    return process->vdso && vdso.restorer_off ? process->vdso + vdso.restorer_off : 0;
}
