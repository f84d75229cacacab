/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * patch.c - from trap to jump: rewrites a system-call site of the program after its first trap.
 *
 * The plan is the ISA's (isa/patch.c); here is where trampolines live and when patching is safe.
 * Trampolines stand in special areas (read, execute; written through the kernel's alias only)
 * within reach of the sites that use them, one after the other, never freed before the address
 * space.
 *
 * Other threads may execute the site meanwhile. The change is one store if its bytes lie in one
 * aligned 8-byte word; otherwise it is made only while the process has a single task, which is the
 * caller. The trampoline is complete, and instruction caches know it, before the site changes.
 *
 * Sites that cannot be patched are remembered in a small hash, so that each later trap costs
 * one look. Entries may overwrite each other; the price is a second attempt.
 *
 * Lock: process->patch_lock guards the areas. It is only tried: a site that another CPU
 * keeps from being patched now will trap again.
 */
#include "core/cmdline.h"
#include "isa.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "proc/internal.h"

#define AREA_BYTES ((size_t)64 << 10)
#define SITE_BEFORE \
    16 /* bytes of code that the plan looks at before and behind the instruction \
        */
#define SITE_BEHIND 16

struct patch_area {
    struct list link;
    vaddr_t base;
    size_t used;
};

enum { PATCH_UNKNOWN, PATCH_ON, PATCH_OFF };
static uint32_t patch_state; /* atomic; the boot option patch=0 */

static bool patch_enabled(void)
{
    uint32_t state = __atomic_load_n(&patch_state, __ATOMIC_RELAXED);
    if (state == PATCH_UNKNOWN) {
        char value[4];
        bool off = cmdline_option(hal_boot_info()->cmdline, "patch", value, sizeof value) &&
                   strcmp(value, "0") == 0;
        state = off || !hal_direct_entry() ? PATCH_OFF : PATCH_ON;
        __atomic_store_n(&patch_state, state, __ATOMIC_RELAXED);
    }
    return state == PATCH_ON;
}

static uintptr_t *refused_slot(struct process *p, uintptr_t site)
{
    return &p->patch_refused[(site ^ site >> 8) % PATCH_REFUSED_COUNT];
}

static void refuse(struct process *p, uintptr_t site)
{
    __atomic_store_n(refused_slot(p, site), site, __ATOMIC_RELAXED);
}

static bool within_reach(uintptr_t a, uintptr_t b)
{
    return (a > b ? a - b : b - a) < isa_patch_reach;
}

/* An area near the site with room for one trampoline, or NULL. */
static struct patch_area *area_for(struct process *p, uintptr_t site)
{
    list_for_each (pos, &p->patch_areas) {
        struct patch_area *area = list_entry(pos, struct patch_area, link);
        if (AREA_BYTES - area->used >= ISA_TRAMPOLINE_MAX && within_reach(site, area->base) &&
            within_reach(site, area->base + AREA_BYTES))
            return area;
    }
    struct patch_area *area = kzalloc(sizeof *area);
    if (!area)
        return NULL;
    uintptr_t reach = isa_patch_reach - AREA_BYTES;
    struct map_request req = {
        .len = AREA_BYTES,
        .prot = PROT_READ | PROT_EXEC,
        .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        .name = "[trampolines]",
        .area_flags = AREA_SPECIAL,
        .lo = site > reach ? align_up(site - reach, PAGE_SIZE) : PAGE_SIZE,
        .hi = align_down(site + reach, PAGE_SIZE),
    };
    if (space_map(p->space, &req, &area->base)) {
        kfree(area);
        return NULL;
    }
    list_init(&area->link);
    list_push_front(&p->patch_areas, &area->link);
    return area;
}

/* Code around the site, as much as is mapped. Returns false if even the site cannot be read. */
static bool site_read(uintptr_t site, uint8_t *code, uintptr_t *va, size_t *len)
{
    *va = site - SITE_BEFORE;
    *len = SITE_BEFORE + ISA_SYSCALL_LEN + SITE_BEHIND;
    if (copyin(code, uaddr(*va), *len) == 0)
        return true;
    *va = MAX(align_down(site, PAGE_SIZE), *va);
    *len = site + ISA_SYSCALL_LEN - *va;
    return copyin(code, uaddr(*va), *len) == 0;
}

static bool one_word(const struct isa_patch *patch)
{
    return align_down(patch->patch_va, 8) == align_down(patch->patch_va + patch->patch_len - 1, 8);
}

/* Is the caller the only task? Then it stays so until it makes another. */
static bool alone(struct process *p)
{
    unsigned long irq = spin_lock_irqsave(&p->lock);
    bool single = p->task_count == 1;
    spin_unlock_irqrestore(&p->lock, irq);
    return single;
}

/* True: done, or not possible just now. False: not to be tried again. */
static bool patch_locked(struct process *p, uintptr_t site)
{
    uint8_t code[SITE_BEFORE + ISA_SYSCALL_LEN + SITE_BEHIND];
    struct isa_patch patch;
    uintptr_t va;
    size_t len;
    if (!site_read(site, code, &va, &len))
        return false;
    /* First without a place: most refusals need none. */
    if (!isa_patch_plan(code, len, va, site, site, hal_direct_entry(), &patch))
        return false;
    if (!one_word(&patch) && !alone(p))
        return true; /* not now */
    struct patch_area *area = area_for(p, site);
    if (!area ||
        !isa_patch_plan(code, len, va, site, area->base + area->used, hal_direct_entry(), &patch))
        return false;
    if (space_patch(p->space, area->base + area->used, patch.tramp, patch.tramp_len))
        return false;
    area->used += align_up(patch.tramp_len, 16);
    return space_patch(p->space, patch.patch_va, patch.patch, patch.patch_len) == 0;
}

void patch_site(struct isa_frame *frame)
{
    struct process *p = task_current()->process;
    uintptr_t site = isa_frame_pc(frame) - ISA_SYSCALL_LEN;
    if (!patch_enabled() || __atomic_load_n(refused_slot(p, site), __ATOMIC_RELAXED) == site)
        return;
    if (!mutex_try(&p->patch_lock))
        return;
    if (!patch_locked(p, site))
        refuse(p, site);
    mutex_unlock(&p->patch_lock);
}

void patch_forget(struct process *process)
{
    list_for_each_safe (pos, next, &process->patch_areas) {
        list_remove(pos);
        kfree(list_entry(pos, struct patch_area, link));
    }
    for (unsigned i = 0; i < PATCH_REFUSED_COUNT; i++)
        __atomic_store_n(&process->patch_refused[i], 0, __ATOMIC_RELAXED);
}
