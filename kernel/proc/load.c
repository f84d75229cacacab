/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load.c - the map phase of loading a program.
 *
 * The whole span of a file is reserved first, without rights; then each segment is mapped over it.
 * So two files never interleave, and the holes between segments stay inaccessible.
 *
 * ASLR. In the last user window, of S bytes: the stack is near its top, mappings grow down from
 * below the stack's largest size, position-independent programs begin at a third of it. Each start
 * is moved by a random number of pages: 2^28 of them (Linux's default on x86-64) or S/16 bytes,
 * whichever is less; the stack by S/64 at most, the heap by up to 32 MiB (Linux's numbers are 16
 * GiB and 32 MiB). See docs/processes.md.
 */
#include "proc/load.h"

#include "core/random.h"
#include "lib/errno.h"
#include "mm/area.h"
#include "mm/usercopy.h"

#define RANDOM_BITS_MAX 28
#define STACK_GAP_MIN (128ull << 20)
#define STACK_RANDOM_MAX (16ull << 30)
#define BRK_RANDOM_MAX (32ull << 20)

static uint64_t random_pages(uint64_t max_bytes)
{
    uint64_t pages = max_bytes >> PAGE_SHIFT;
    return pages ? (random_u64() % pages) << PAGE_SHIFT : 0;
}

void load_layout_choose(struct load_layout *out, uint64_t stack_limit)
{
    const struct hal_layout *layout = hal_layout();
    const struct hal_user_window *last = &layout->user[layout->user_count - 1];
    uint64_t size = last->hi - last->lo;
    uint64_t range = MIN(size / 16, 1ull << (RANDOM_BITS_MAX + PAGE_SHIFT));
    uint64_t gap = MIN(MAX(stack_limit, STACK_GAP_MIN), size / 6);
    out->stack_top = last->hi - random_pages(MIN(size / 64, STACK_RANDOM_MAX));
    out->mmap_top = align_down(out->stack_top - gap - random_pages(range), PAGE_SIZE);
    out->image_base = align_up(last->lo + size / 3, PAGE_SIZE) + random_pages(range);
    out->brk_gap = random_pages(MIN(size / 64, BRK_RANDOM_MAX));
}

static int reserve(struct space *space, const struct elf_plan *plan, vaddr_t base, vaddr_t *bias)
{
    struct map_request req = {
        .len = plan->hi - plan->lo,
        .prot = PROT_NONE,
        .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
    };
    vaddr_t at;
    int err;
    if (!plan->relocatable) {
        if (!space_range_ok(plan->lo, req.len))
            return -ENOEXEC; /* not ENOMEM: more memory would not help */
        req.addr = plan->lo;
        req.flags |= MAP_FIXED_NOREPLACE;
        *bias = 0;
        err = space_map(space, &req, &at);
        /* -EEXIST: there is something of the kernel's (vDSO). */
        return err == -EEXIST || err == -EINVAL ? -ENOEXEC : err;
    }
    /* Room for the alignment, given back afterwards: the span must begin at lo modulo align. */
    if (add_overflow(req.len, plan->align - PAGE_SIZE, &req.len))
        return -ENOMEM;
    req.addr = base;
    err = space_map(space, &req, &at);
    if (err)
        return err;
    vaddr_t start = at + ((plan->lo - at) & (plan->align - 1));
    vaddr_t end = start + (plan->hi - plan->lo);
    if (start > at)
        err = space_unmap(space, at, start - at);
    if (!err && at + req.len > end)
        err = space_unmap(space, end, at + req.len - end);
    *bias = start - plan->lo;
    return err;
}

static int map_fixed(struct space *space, vaddr_t lo, vaddr_t hi, unsigned prot,
                     struct vm_object *object, uint64_t off)
{
    struct map_request req = {
        .addr = lo,
        .len = hi - lo,
        .prot = prot,
        .flags = MAP_PRIVATE | MAP_FIXED | (object ? 0 : MAP_ANONYMOUS),
        .object = object,
        .off = off,
    };
    vaddr_t at;
    return lo == hi ? 0 : space_map(space, &req, &at);
}

static int map_segment(struct space *space, const struct elf_segment *s, struct vm_object *object,
                       vaddr_t bias)
{
    vaddr_t lo = align_down(s->vaddr + bias, PAGE_SIZE);
    vaddr_t file_end = s->filesz ? align_up(s->vaddr + bias + s->filesz, PAGE_SIZE) : lo;
    vaddr_t end = align_up(s->vaddr + bias + s->memsz, PAGE_SIZE);
    int err = map_fixed(space, lo, file_end, s->prot, object, align_down(s->off, PAGE_SIZE));
    if (err)
        return err;
    return map_fixed(space, file_end, end, s->prot, NULL, 0);
}

int load_map(struct space *space, const struct elf_plan *plan, struct file *file, vaddr_t base,
             vaddr_t *bias)
{
    struct vm_object *object;
    int err = file_object(file, &object);
    if (err)
        return err;
    err = reserve(space, plan, base, bias);
    for (unsigned i = 0; i < plan->segment_count && !err; i++)
        err = map_segment(space, &plan->segment[i], object, *bias);
    return err;
}

int load_zero_tails(const struct elf_plan *plan, vaddr_t bias)
{
    for (unsigned i = 0; i < plan->segment_count; i++) {
        const struct elf_segment *s = &plan->segment[i];
        uint64_t from = s->vaddr + s->filesz, to = align_up(from, PAGE_SIZE);
        bool shared = false;
        if (s->memsz == s->filesz || s->filesz == 0 || from == to)
            continue;
        if (i + 1 < plan->segment_count && plan->segment[i + 1].vaddr < to) {
            to = plan->segment[i + 1].vaddr;
            shared = true;
        }
        /* As Linux: a bss in a segment that cannot be written stays as the file has it. So does one
         * whose page the next segment's rights, which are that page's, keep from being written. */
        if (to > from && (s->prot & PROT_WRITE) && user_zero(uaddr(from + bias), to - from) &&
            !shared)
            return -EFAULT;
    }
    return 0;
}
