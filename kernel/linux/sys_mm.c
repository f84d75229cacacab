/* SPDX-License-Identifier: BSD-3-Clause */
/* sys_mm.c - system calls on memory: decode and check, then mm/space.h. */
#include "fs/fcntl.h"
#include "fs/file.h"
#include "fs/vfs.h"
#include "isa.h"
#include "linux/uapi.h"
#include "mm/kmalloc.h"
#include "mm/space.h"

#define MAP_32BIT_LO 0x40000000ull /* Linux's range for it: the second GiB */
#define MAP_32BIT_HI 0x80000000ull
#define MCL_CURRENT 1
#define MCL_FUTURE 2
#define MCL_ONFAULT 4
#define MLOCK_ONFAULT 1

static struct space *current_space(void)
{
    return process_current()->space;
}

/* The same for calls that may lock memory: the limit depends on who calls (CAP_IPC_LOCK). */
static struct space *locking_space(void)
{
    struct process *p = process_current();
    uint64_t limit = process_limit(p, RLIMIT_MEMLOCK);
    /* Relaxed: each caller stores before it locks, and what another stores is as true. */
    __atomic_store_n(&p->space->lock_limit, proc_cred()->euid == 0 ? UINT64_MAX : limit,
                     __ATOMIC_RELAXED);
    return p->space;
}

/* What the file's mode allows, and its object. */
static int map_file(struct file *file, struct map_request *req)
{
    uint32_t mode = file->flags & O_ACCMODE;
    bool shared = (req->flags & MAP_TYPE) != MAP_PRIVATE;
    if (file->flags & O_PATH)
        return -EBADF;
    if (hugetlbfs_shift(file)) /* it says itself how large its pages are */
        req->flags |= MAP_HUGETLB;
    else if (req->flags & MAP_HUGETLB)
        return -EINVAL;
    if (mode == O_WRONLY)
        return -EACCES;
    if (shared && (req->prot & PROT_WRITE) && mode != O_RDWR)
        return -EACCES;
    if (!file->ops->mmap)
        return -ENODEV;
    if ((req->prot & PROT_EXEC) && file->inode && super_has(file->inode->super, MS_NOEXEC))
        return -EPERM;
    /* A seal against writing holds for mprotect, too. */
    int seals = memfd_get_seals(file);
    bool sealed = seals > 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
    req->may_write = mode == O_RDWR && !sealed;
    return file->ops->mmap(file, req->prot, req->flags, &req->object);
}

long sys_mmap(const struct syscall_args *a)
{
    struct map_request req = {
        .addr = a->arg[0],
        .len = a->arg[1],
        .prot = (unsigned)a->arg[2],
        .flags = (unsigned)a->arg[3],
        .off = a->arg[5],
    };
    struct file *file = NULL;
    vaddr_t addr;
    if (!is_aligned(req.off, PAGE_SIZE))
        return -EINVAL;
    if (!(req.flags & MAP_ANONYMOUS)) {
        file = fd_get(process_current()->files, (int)a->arg[4]);
        if (!file)
            return -EBADF;
    }
    int err = 0;
    if (file && req.len) /* Linux looks at the length first */
        err = map_file(file, &req);
    if (!err && (req.flags & MAP_32BIT) && !(req.flags & MAP_FIXED)) {
        req.lo = MAP_32BIT_LO;
        req.hi = MAP_32BIT_HI;
    }
    if (!err)
        err = space_map(locking_space(), &req, &addr);
    unsigned huge = !err && file ? hugetlbfs_shift(file) : 0;
    if (huge && (req.prot & PROT_WRITE)) /* growing takes no memory */
        err = hugetlbfs_mapped(file, align_up(req.off + req.len, 1ull << huge));
    if (file)
        file_put(file);
    return err ? err : (long)addr;
}

long sys_munmap(const struct syscall_args *a)
{
    return space_unmap(current_space(), a->arg[0], a->arg[1]);
}

long sys_mprotect(const struct syscall_args *a)
{
    return space_protect(current_space(), a->arg[0], a->arg[1], (unsigned)a->arg[2]);
}

long sys_brk(const struct syscall_args *a)
{
    return (long)space_brk(locking_space(), a->arg[0]);
}

long sys_mremap(const struct syscall_args *a)
{
    vaddr_t addr;
    int err = space_remap(locking_space(), a->arg[0], a->arg[1], a->arg[2], (unsigned)a->arg[3],
                          a->arg[4], &addr);
    return err ? err : (long)addr;
}

long sys_msync(const struct syscall_args *a)
{
    return space_sync(current_space(), a->arg[0], a->arg[1], (int)a->arg[2]);
}

long sys_madvise(const struct syscall_args *a)
{
    return space_advise(current_space(), a->arg[0], a->arg[1], (int)a->arg[2]);
}

/* In pieces, so that the vector needs no more than a page of kernel memory. */
long sys_mincore(const struct syscall_args *a)
{
    vaddr_t addr = a->arg[0];
    uint64_t len = a->arg[1];
    uaddr_t out = uaddr(a->arg[2]);
    if (!is_aligned(addr, PAGE_SIZE))
        return -EINVAL;
    uint64_t pages = len / PAGE_SIZE + (len % PAGE_SIZE != 0);
    if (!user_range_ok(uaddr(addr), len))
        return -ENOMEM;
    uint8_t *vec = kmalloc(PAGE_SIZE, ALLOC_DEFAULT);
    if (!vec)
        return -EAGAIN;
    long err = 0;
    for (uint64_t done = 0; done < pages && !err;) {
        uint64_t n = MIN(pages - done, PAGE_SIZE);
        err = space_incore(current_space(), addr + done * PAGE_SIZE, n * PAGE_SIZE, vec);
        if (!err)
            err = copyout(uaddr_add(out, done), vec, n);
        done += n;
    }
    kfree(vec);
    return err;
}

long sys_mlock(const struct syscall_args *a)
{
    return space_lock_pages(locking_space(), a->arg[0], a->arg[1], AREA_LOCKED);
}

long sys_mlock2(const struct syscall_args *a)
{
    if (a->arg[2] & ~(uint64_t)MLOCK_ONFAULT)
        return -EINVAL;
    uint32_t flags = AREA_LOCKED | (a->arg[2] ? AREA_LOCKONFAULT : 0);
    return space_lock_pages(locking_space(), a->arg[0], a->arg[1], flags);
}

long sys_munlock(const struct syscall_args *a)
{
    return space_lock_pages(current_space(), a->arg[0], a->arg[1], 0);
}

long sys_mlockall(const struct syscall_args *a)
{
    uint64_t how = a->arg[0];
    if (!how || how == MCL_ONFAULT || (how & ~(uint64_t)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)))
        return -EINVAL;
    uint32_t flags = AREA_LOCKED | (how & MCL_ONFAULT ? AREA_LOCKONFAULT : 0);
    bool current = how & MCL_CURRENT;
    return space_lock_all(locking_space(), current, flags, how & MCL_FUTURE ? flags : 0);
}

long sys_munlockall(const struct syscall_args *a)
{
    (void)a;
    return space_lock_all(current_space(), true, 0, 0);
}

#define MPOL_F_NODE 1
#define MPOL_F_ADDR 2
#define MPOL_F_MEMS_ALLOWED 4
/* One node, default policy. */
long sys_get_mempolicy(const struct syscall_args *a)
{
    uint64_t flags = a->arg[4], bits = a->arg[2];
    if (flags & ~(uint64_t)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
        return -EINVAL;
    if (!(flags & MPOL_F_ADDR) && a->arg[3])
        return -EINVAL;
    uint32_t policy = 0; /* MPOL_DEFAULT; or node 0 with MPOL_F_NODE */
    if (a->arg[0] && user_store_u32(uaddr(a->arg[0]), policy))
        return -EFAULT;
    if (!a->arg[1])
        return 0;
    if (bits < 1 || bits > 1u << 20)
        return -EINVAL;
    uint64_t mask = flags & MPOL_F_MEMS_ALLOWED ? 1 : 0;
    size_t bytes = (bits + 63) / 64 * 8;
    if (copyout(uaddr(a->arg[1]), &mask, sizeof mask))
        return -EFAULT;
    return bytes > 8 ? user_zero(uaddr(a->arg[1] + 8), bytes - 8) : 0;
}
