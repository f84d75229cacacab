/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * patch.c - from trap to jump: rewrites a system-call site of the program after its first trap.
 *
 * The plan is the ISA's (isa/patch.c); here is where trampolines live and when patching is safe.
 * Trampolines stand in special areas (read, execute; written through the kernel's alias only)
 * within reach of the sites that use them, one after the other, never freed before the address
 * space.
 *
 * Other threads may execute the site meanwhile. The trampoline is complete, and instruction caches
 * know it, before the site changes. The change is one store if its bytes lie in one aligned 8-byte
 * word, or if the process has a single task, which is the caller. Otherwise (Intel SDM vol.
 * 3, 9.1.3: another CPU must not fetch a mixture, and must serialize before it executes what has
 * changed):
 *   1. the first byte becomes a breakpoint: nobody gets past it any more;
 *   2. sched_barrier: every CPU takes an interrupt. One that had fetched the old bytes before has
 *      executed them or dropped them: returning from an interrupt serializes;
 *   3. the other bytes are written; another barrier; then the first byte.
 * A thread that met the breakpoint waits for patch_lock, and if there is none there any more goes
 * back to where it stood (patch_guard_hit).
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
#define TRAPS_MIN 20
#define SITE_BYTES (ISA_PATCH_BEFORE + ISA_SYSCALL_LEN)

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

static size_t slot_of(uintptr_t site)
{
    return (site ^ site >> 8) % PATCH_REFUSED_COUNT;
}

static uintptr_t *refused_slot(struct process *p, uintptr_t site)
{
    return &p->patch_refused[slot_of(site)];
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

/* The site and what is before it, as much as is mapped. False if even the site cannot be read. */
static bool site_read(uintptr_t site, uint8_t *code, uintptr_t *va, size_t *len)
{
    *va = site - ISA_PATCH_BEFORE;
    *len = SITE_BYTES;
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

/* While others may be executing it. */
static int change_guarded(struct space *space, const struct isa_patch *patch)
{
    int err = space_patch(space, patch->patch_va, &isa_patch_guard, 1);
    if (err)
        return err;
    sched_barrier();
    /* The page is ours since the first write: the next ones cannot fail. */
    err = space_patch(space, patch->patch_va + 1, patch->patch + 1, patch->patch_len - 1);
    sched_barrier();
    if (!err)
        err = space_patch(space, patch->patch_va, patch->patch, 1);
    return err;
}

/* Two barriers cost as much as some tens of traps: they are for sites that go on trapping. */
static bool worth_barriers(struct process *p, uintptr_t site)
{
    uint8_t *traps = &p->patch_traps[slot_of(site)];
    if (++*traps < TRAPS_MIN)
        return false;
    *traps = 0;
    return true;
}

/* False: not to be tried again. */
static bool patch_locked(struct process *p, uintptr_t site)
{
    uint8_t code[SITE_BYTES];
    struct isa_patch patch;
    uintptr_t va;
    size_t len;
    if (!site_read(site, code, &va, &len))
        return false;
    /* First without a place: most refusals need none. */
    if (!isa_patch_plan(code, len, va, site, site, hal_direct_entry(), &patch))
        return false;
    bool simple = one_word(&patch) || alone(p);
    if (!simple && !worth_barriers(p, site))
        return true;
    struct patch_area *area = area_for(p, site);
    if (!area ||
        !isa_patch_plan(code, len, va, site, area->base + area->used, hal_direct_entry(), &patch))
        return false;
    if (space_patch(p->space, area->base + area->used, patch.tramp, patch.tramp_len))
        return false;
    area->used += align_up(patch.tramp_len, 16);
    if (simple)
        return space_patch(p->space, patch.patch_va, patch.patch, patch.patch_len) == 0;
    return change_guarded(p->space, &patch) == 0;
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

/* A breakpoint instruction of the program itself ends at `pc`: the one byte, or int $3. */
static bool own_breakpoint(uintptr_t pc)
{
    uint8_t code[2];
    if (copyin(code, uaddr(pc - 2), 2) == 0 && code[0] == 0xcd && code[1] == 3)
        return true;
    return copyin(code, uaddr(pc - 1), 1) == 0 && code[0] == isa_patch_guard;
}

bool patch_guard_hit(struct isa_frame *frame)
{
    struct process *p = task_current()->process;
    uintptr_t pc = isa_frame_pc(frame);
    if (!isa_patch_guard || !patch_enabled())
        return false;
    /* Whoever is changing a site finishes first. */
    mutex_lock(&p->patch_lock);
    mutex_unlock(&p->patch_lock);
    if (own_breakpoint(pc))
        return false;
    isa_frame_set_pc(frame, pc - 1);
    return true;
}

void patch_forget(struct process *process)
{
    list_for_each_safe (pos, next, &process->patch_areas) {
        list_remove(pos);
        kfree(list_entry(pos, struct patch_area, link));
    }
    for (unsigned i = 0; i < PATCH_REFUSED_COUNT; i++)
        __atomic_store_n(&process->patch_refused[i], 0, __ATOMIC_RELAXED);
    memset(process->patch_traps, 0, sizeof process->patch_traps);
}
