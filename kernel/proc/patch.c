/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * patch.c - from trap to jump: rewrites a system-call site of the program after its second trap.
 * (A program's start executes most of its sites once: a change costs as much as several traps.)
 *
 * The plan is the ISA's (isa/patch.c); here is where trampolines live and when patching is safe.
 * Trampolines stand in special areas (read, execute; written through the kernel's alias only)
 * within reach of the sites that use them, in slots of one size. There is a limit to the areas of a
 * process. When the ones in reach are full, slots are looked at in turn, a few per attempt: one
 * whose site is not there any more (its library unloaded, its code overwritten) is used
 * again. A thread that is still in such a trampoline would execute code that has been taken from
 * under it without us, too. A site that has only lost its jump (MADV_DONTNEED: the page is read
 * from the file again) is still there, and a thread may be in its trampoline with every right: that
 * slot stays its own, and the next patch of the site finds it (patch_area.sites).
 *
 * Other threads may execute the site meanwhile. The trampoline is complete, and instruction caches
 * know it, before the site changes. The address space is locked against changes while the site is
 * compared with what was read before, and replaced (space_change_code). The change is one store if
 * the ISA says that one will do, or if the process has a single task, which is the
 * caller. Otherwise (Intel SDM vol. 3, 9.1.3: another CPU must not fetch a mixture, and must
 * serialize before it executes what has changed):
 *   1. the first byte becomes a breakpoint: nobody gets past it any more;
 *   2. sched_barrier: every CPU takes an interrupt. One that had fetched the old bytes before has
 *      executed them or dropped them: returning from an interrupt serializes;
 *   3. the other bytes are written; another barrier; then the first byte.
 * Where instructions are translated, somebody may have read the breakpoint while it was being
 * replaced, and would execute it for ever: another barrier, and the byte is written again.
 * A thread that met the breakpoint waits for patch_lock, and if there is none there then goes
 * back to where it stood (patch_guard_hit).
 *
 * Sites that cannot be patched are remembered in a small hash, so that each later trap costs
 * one look. Entries may overwrite each other; the price is a second attempt.
 *
 * Lock: process->patch_lock guards the areas. It is only tried: a site that another CPU
 * keeps from being patched now will trap again. Where an area is may be read without it.
 */
#include "core/cmdline.h"
#include "isa.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/usercopy.h"
#include "proc/internal.h"

#define AREA_BYTES ((size_t)64 << 10)
#define SLOTS (unsigned)(AREA_BYTES / ISA_TRAMPOLINE_MAX)
#define LOOKS_MAX 32 /* at slots in use, per attempt */
#define TRAPS_MIN 20
#define SITE_BYTES (ISA_PATCH_BEFORE + ISA_SYSCALL_LEN)
#define SITES_BYTES (SLOTS * sizeof(int32_t))

struct slot {
    struct patch_area *area;
    unsigned index;
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

static bool in_reach(const struct patch_area *area, uintptr_t site)
{
    return within_reach(site, area->base) && within_reach(site, area->base + AREA_BYTES);
}

static int area_map(struct process *p, struct patch_area *area, uintptr_t site)
{
    uintptr_t reach = isa_patch_reach - AREA_BYTES;
    vaddr_t base;
    struct map_request req = {
        .len = AREA_BYTES,
        .prot = PROT_READ | PROT_EXEC,
        .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        .name = "[trampolines]",
        .area_flags = AREA_SPECIAL,
        .lo = site > reach ? align_up(site - reach, PAGE_SIZE) : PAGE_SIZE,
        .hi = align_down(site + reach, PAGE_SIZE),
    };
    int err;
    area->sites = owner_alloc(OWNER_PROCESS, SITES_BYTES);
    if (!area->sites)
        return -ENOMEM;
    err = space_map(p->space, &req, &base);
    if (err) {
        owner_free(OWNER_PROCESS, area->sites, SITES_BYTES);
        area->sites = NULL;
        return err;
    }
    area->used = 0;
    __atomic_store_n(&area->base, base, __ATOMIC_RELEASE);
    return 0;
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

static uintptr_t slot_va(const struct slot *slot)
{
    return slot->area->base + slot->index * ISA_TRAMPOLINE_MAX;
}

/* Does the code that the slot was made for still stand there, with the jump to it or without? */
static bool slot_in_use(const struct slot *slot)
{
    uint8_t tramp[ISA_TRAMPOLINE_MAX], code[SITE_BYTES];
    uintptr_t site = slot->area->base + (intptr_t)slot->area->sites[slot->index], va;
    struct isa_patch patch;
    size_t len;
    if (copyin(tramp, uaddr(slot_va(slot)), sizeof tramp))
        return true;
    if (!site_read(site, code, &va, &len))
        return false;
    if (isa_patch_plan(code, len, va, site, slot_va(slot), hal_direct_entry(), &patch))
        return memcmp(tramp, patch.tramp, sizeof tramp) == 0;
    isa_patch_of(tramp, slot_va(slot), &patch);
    return patch.patch_va >= va && patch.patch_va < site + ISA_SYSCALL_LEN &&
           memcmp(code + (patch.patch_va - va), patch.patch, patch.patch_len) == 0;
}

/* The slot that the site has had before. */
static bool slot_of_before(struct process *p, uintptr_t site, struct slot *slot)
{
    for (unsigned i = 0; i < PATCH_AREAS && p->patch_areas[i].base; i++) {
        struct patch_area *area = &p->patch_areas[i];
        if (!in_reach(area, site))
            continue;
        int32_t offset = (int32_t)(intptr_t)(site - area->base);
        for (unsigned index = 0; index < area->used; index++)
            if (area->sites[index] == offset) {
                *slot = (struct slot){area, index};
                return true;
            }
    }
    return false;
}

/* A slot whose site is gone. */
static bool slot_of_none(struct process *p, uintptr_t site, struct slot *slot)
{
    for (unsigned looks = 0; looks < LOOKS_MAX; looks++) {
        unsigned at = p->patch_hand++ % (PATCH_AREAS * SLOTS);
        struct patch_area *area = &p->patch_areas[at / SLOTS];
        if (!area->base || !in_reach(area, site)) {
            p->patch_hand += SLOTS - at % SLOTS - 1;
            continue;
        }
        *slot = (struct slot){area, at % SLOTS};
        if (slot->index < area->used && !slot_in_use(slot))
            return true;
    }
    return false;
}

/* Room for one trampoline near the site: its own of before, one never used, or one whose site is
 * gone. False: there is none. */
static bool slot_for(struct process *p, uintptr_t site, struct slot *slot)
{
    struct patch_area *spare = NULL;
    if (slot_of_before(p, site, slot))
        return true;
    for (unsigned i = PATCH_AREAS; i-- > 0;) {
        struct patch_area *area = &p->patch_areas[i];
        *slot = (struct slot){area, area->used};
        if (!area->base)
            spare = area;
        else if (area->used < SLOTS && in_reach(area, site))
            return true;
    }
    if (slot_of_none(p, site, slot))
        return true;
    *slot = (struct slot){spare, 0};
    return spare && area_map(p, spare, site) == 0;
}

/* Let the slot have this trampoline. */
static int slot_write(struct process *p, const struct slot *slot, uintptr_t site,
                      const struct isa_patch *patch)
{
    uint8_t there[ISA_TRAMPOLINE_MAX];
    bool fresh = slot->index == slot->area->used;
    int err;
    if (!fresh && copyin(there, uaddr(slot_va(slot)), sizeof there) == 0 &&
        memcmp(there, patch->tramp, sizeof there) == 0)
        return 0; /* a thread may be in it */
    err = space_patch(p->space, slot_va(slot), patch->tramp, patch->tramp_len);
    if (err)
        return err;
    slot->area->sites[slot->index] = (int32_t)(intptr_t)(site - slot->area->base);
    if (fresh)
        slot->area->used++;
    else
        sched_barrier(); /* no CPU holds instructions of the former trampoline */
    return 0;
}

/* Is the caller the only task? Then it stays so until it makes another. */
static bool alone(struct process *p)
{
    unsigned long irq = spin_lock_irqsave(&p->lock);
    bool single = p->task_count == 1;
    spin_unlock_irqrestore(&p->lock, irq);
    return single;
}

/* Two barriers cost as much as some tens of traps: they are for sites that go on trapping. */
static bool worth_barriers(struct process *p, uintptr_t site)
{
    uint8_t *traps = &p->patch_traps[slot_of(site)];
    if (++*traps < TRAPS_MIN)
        return false;
    *traps = 1;
    return true;
}

/* simple: one step will do. */
static int change(struct space *space, const struct isa_patch *patch, const uint8_t *old,
                  size_t old_len, bool simple)
{
    const struct code_change c = {
        .va = patch->patch_va,
        .old = old,
        .old_len = old_len,
        .new_bytes = patch->patch,
        .new_len = patch->patch_len,
        .guard = isa_patch_guard,
        .barrier = simple ? NULL : sched_barrier,
        .twice = isa_patch_translated(),
    };
    return space_change_code(space, &c);
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
    bool simple = isa_patch_one_store(patch.patch_va, patch.patch_len) || alone(p);
    if (!simple && !worth_barriers(p, site))
        return true;
    struct slot slot;
    if (!slot_for(p, site, &slot) ||
        !isa_patch_plan(code, len, va, site, slot_va(&slot), hal_direct_entry(), &patch) ||
        slot_write(p, &slot, site, &patch))
        return false;
    int err = change(p->space, &patch, code + (patch.patch_va - va),
                     site + ISA_SYSCALL_LEN - patch.patch_va, simple);
    return !err || err == -EAGAIN;
}

/* Sites of the same hash are taken for one, which does no harm. patch_lock is held. */
static bool seen_before(struct process *p, uintptr_t site)
{
    uint8_t *traps = &p->patch_traps[slot_of(site)];
    if (*traps)
        return true;
    *traps = 1;
    return false;
}

void patch_site(struct isa_frame *frame)
{
    struct process *p = task_current()->process;
    uintptr_t site = isa_frame_pc(frame) - ISA_SYSCALL_LEN;
    if (!patch_enabled() || __atomic_load_n(refused_slot(p, site), __ATOMIC_RELAXED) == site)
        return;
    if (!mutex_try(&p->patch_lock))
        return;
    if (seen_before(p, site) && !patch_locked(p, site))
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
    /* Whoever is changing a site finishes first, and nobody begins. */
    mutex_lock(&p->patch_lock);
    bool own = own_breakpoint(pc);
    mutex_unlock(&p->patch_lock);
    if (!own)
        isa_frame_set_pc(frame, pc - 1);
    return !own;
}

void patch_leave(struct isa_frame *frame)
{
    const struct process *p = task_current()->process;
    uintptr_t pc = isa_frame_pc(frame);
    for (unsigned i = 0; i < PATCH_AREAS; i++) {
        /* Acquire: the area is mapped. */
        vaddr_t base = __atomic_load_n(&p->patch_areas[i].base, __ATOMIC_ACQUIRE);
        if (!base || pc - base >= AREA_BYTES)
            continue;
        uint8_t tramp[ISA_TRAMPOLINE_MAX];
        size_t at = (pc - base) % ISA_TRAMPOLINE_MAX;
        if (copyin(tramp, uaddr(pc - at), sizeof tramp) == 0)
            isa_patch_leave(frame, tramp, at);
        return;
    }
}

void patch_forget(struct process *process)
{
    for (unsigned i = 0; i < PATCH_AREAS; i++) {
        struct patch_area *area = &process->patch_areas[i];
        __atomic_store_n(&area->base, 0, __ATOMIC_RELAXED);
        if (area->sites)
            owner_free(OWNER_PROCESS, area->sites, SITES_BYTES);
        area->sites = NULL;
    }
    for (unsigned i = 0; i < PATCH_REFUSED_COUNT; i++)
        __atomic_store_n(&process->patch_refused[i], 0, __ATOMIC_RELAXED);
    memset(process->patch_traps, 0, sizeof process->patch_traps);
}
