/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space.h - an address space: areas in a balanced tree, and the page tables behind them.
 *
 * An area is a range with one protection, one set of flags and one source of
 * pages: anonymous (NULL object) or a vm_object at an offset. Page tables (hal_space_query) are the
 * truth about which page is where; each mapping in them holds a page reference.
 *
 * Copy on write: a page in a private area is writable in the page table only
 * if it is anonymous and its reference count is 1.
 *
 * Lock: space->lock, a sleeping reader/writer lock: faults read, changes write.
 * Public functions take it; `_locked` ones expect it. prot is PROT_*, flags MAP_* with Linux's
 * values on every architecture (mm/mman.h). All return Linux's errno for Linux's cases.
 */
#ifndef SELKIE_MM_SPACE_H
#define SELKIE_MM_SPACE_H

#include "core/mutex.h"
#include "hal_up.h"
#include "lib/rbtree.h"
#include "lib/refcount.h"
#include "mm/mman.h"
#include "mm/object.h"

struct area {
    /* What a search of the tree looks at: one cache line. */
    struct rb_node node;
    vaddr_t lo, hi;    /* page aligned, hi exclusive */
    vaddr_t gap_below; /* augmented: unmapped bytes between the previous area and this one */
    vaddr_t gap_max;   /* augmented: largest gap_below in the subtree */

    uint32_t prot;            /* PROT_* */
    uint32_t flags;           /* AREA_* */
    struct vm_object *object; /* a reference through ops->get; NULL: anonymous */
    uint64_t off;             /* byte offset of lo in object */
    char name[16];            /* "[heap]", "[stack]", "" */
    struct list object_link;  /* object's list of areas that map it */
    struct space *space;
    /* Fault-around, a hint; atomic: where a sequential fault would come, pages mapped by the last
     * one. */
    vaddr_t fault_next;
    uint32_t fault_pages;
};
enum {
    AREA_SHARED = 1,
    AREA_GROWSDOWN = 2,
    AREA_STACK = 4, /* the main stack: grows to its limit */
    AREA_LOCKED = 8,
    AREA_SPECIAL = 16, /* vDSO and trampolines: not to be unmapped or patched */
    AREA_NORESERVE = 32,
    AREA_MAYWRITE = 64, /* a shared file mapping whose file is open for writing */
    AREA_RANDOM = 128,  /* MADV_RANDOM: no fault-around */
    AREA_DONTFORK = 256,
    AREA_WIPEONFORK = 512,
    AREA_DONTDUMP = 1024,
    AREA_HUGE = 4096,             /* MADV_HUGEPAGE: large pages from the first touch on */
    AREA_NOHUGE = 8192,           /* MADV_NOHUGEPAGE: none */
    AREA_HUGETLB = 16384,         /* whole huge pages of the pool (hugetlb.h); with AREA_SHARED */
    AREA_HUGETLB_PRIVATE = 32768, /* it was asked for as MAP_PRIVATE, which is the same here */
    AREA_LOCKONFAULT = 2048,      /* with AREA_LOCKED: pages are not brought in at once */
};

#define SPACE_FAULT_LOCKS 16
#define SPACE_SLOTS 16
/* What faults count, by CPU modulo SPACE_SLOTS: relaxed atomics, only sums mean something. */
struct space_count {
    uint64_t resident, faults;
} __attribute__((aligned(64)));
struct space {
    struct hal_space hal;
    struct refcount refs;
    struct rwlock lock;
    /* Faults hold the lock for reading, so among themselves they serialise changes of the page
     * table by these: one per 2 MiB of addresses, hashed. */
    struct {
        struct mutex mutex;
    } __attribute__((aligned(64))) fault_lock[SPACE_FAULT_LOCKS];
    struct rwlock_slot slots[SPACE_SLOTS]; /* of lock: where faults hold it */
    struct space_count counts[SPACE_SLOTS];
    struct rb_tree areas;
    size_t area_count;
    uint64_t pages_mapped;         /* VmSize, in pages */
    uint64_t mapped_peak;          /* the most there ever were; atomic */
    uint64_t resident_peak;        /* before pages went; see space_resident_peak */
    uint64_t pages_data;           /* private writable ones, stacks apart: RLIMIT_DATA */
    uint64_t pages_locked;         /* of areas with AREA_LOCKED: VmLck */
    vaddr_t brk_start, brk;        /* set by space_set_brk */
    vaddr_t mmap_top;              /* mmap places downwards from here (ASLR) */
    uint64_t stack_limit;          /* bytes, RLIMIT_STACK; these three are atomic */
    uint64_t as_limit, data_limit; /* RLIMIT_AS, RLIMIT_DATA; UINT64_MAX none */
    uint64_t lock_limit;           /* RLIMIT_MEMLOCK, UINT64_MAX for the privileged; atomic */
    uint32_t future_flags;         /* mlockall(MCL_FUTURE): AREA_LOCKED, AREA_LOCKONFAULT */
};

/* How many areas a space may have: vm.max_map_count, with Linux's default. */
#define AREA_COUNT_MAX 65530
size_t space_area_limit(void);
void space_set_area_limit(size_t count);

/* A new empty space with one reference, or NULL. */
struct space *space_create(void);
uint64_t space_resident(struct space *space); /* pages; a momentary value */
/* The most there have been: VmHWM, ru_maxrss. Faults do not keep it: it is looked at before pages
 * go, and here. */
uint64_t space_resident_peak(struct space *space);
uint64_t space_mapped_peak(const struct space *space); /* VmPeak */
/* Those of them in large pages, counted in the page table. */
uint64_t space_large(struct space *space);
void space_get(struct space *space);
void space_put(struct space *space); /* last one unmaps everything; not active on any CPU then */
/* Remove every area (execve). */
void space_clear(struct space *space);
/* The space of the calling thread's process, NULL for kernel threads. Implemented in sched
 * (thread->space). */
struct space *space_current(void);

struct map_request {
    vaddr_t addr; /* hint, or the place with MAP_FIXED */
    size_t len;
    unsigned prot, flags;     /* PROT_*, MAP_* */
    struct vm_object *object; /* NULL: anonymous. The callee takes its own reference. */
    uint64_t off;
    bool may_write;      /* shared file mapping: may mprotect add PROT_WRITE? */
    const char *name;    /* NULL or a short constant */
    unsigned area_flags; /* AREA_STACK, AREA_SPECIAL */
    /* Restrict placement to [lo, hi) when not both 0 (MAP_32BIT, trampolines near code). */
    vaddr_t lo, hi;
};
/* Returns 0 and the address, or a negative errno. */
int must_check space_map(struct space *space, const struct map_request *req, vaddr_t *out);
int must_check space_unmap(struct space *space, vaddr_t addr, size_t len);
/* Remove the areas of the object of this kind that has its byte 0 at `base` (parts of it may be
 * gone), at once. -EINVAL if there is none. shmdt(2). */
int must_check space_detach(struct space *space, vaddr_t base, const struct vm_object_ops *kind);
int must_check space_protect(struct space *space, vaddr_t addr, size_t len, unsigned prot);
int must_check space_remap(struct space *space, vaddr_t old, size_t old_len, size_t new_len,
                           unsigned flags, vaddr_t new_addr, vaddr_t *out);
int must_check space_advise(struct space *space, vaddr_t addr, size_t len, int advice);
/* vec: one byte per page, kernel memory. */
int must_check space_incore(struct space *space, vaddr_t addr, size_t len, uint8_t *vec);
int must_check space_sync(struct space *space, vaddr_t addr, size_t len, int flags);

/* mlock(2), mlock2(2), munlock(2): flags are AREA_LOCKED, both lock flags, or 0. */
int must_check space_lock_pages(struct space *space, vaddr_t addr, size_t len, uint32_t flags);
/* mlockall(2), munlockall(2): flags for the areas there are (if `current`), and for those to come.
 */
int must_check space_lock_all(struct space *space, bool current, uint32_t flags, uint32_t future);
uint64_t space_locked_pages(void); /* of all spaces; for /proc */

/* Fault in [addr, addr+len): for reading, for writing, or as locked memory wants it: for writing
 * where that makes a private copy, and not at all in areas that lock on fault. The first failure
 * ends it: -ENOMEM also for a hole, -EACCES, -EFAULT past the end of a file. */
enum populate { POPULATE_READ, POPULATE_WRITE, POPULATE_LOCK };
int must_check space_populate(struct space *space, vaddr_t addr, size_t len, enum populate how);

void space_set_brk(struct space *space, vaddr_t start);
/* Linux brk(2): the new break, or the old one if it could not move. */
vaddr_t space_brk(struct space *space, vaddr_t want);

/*
 * Mend a page fault. 0: retry the access. Otherwise a negative errno that names the signal:
 * -EFAULT: SIGSEGV SEGV_MAPERR, -EACCES: SIGSEGV SEGV_ACCERR, -EIO or -ENXIO (beyond end of file):
 * SIGBUS BUS_ADRERR, -ENOMEM: out of memory, SIGKILL by policy. `sp` is the user stack pointer
 * (stack growth).
 */
int must_check space_fault(struct space *space, vaddr_t addr, enum hal_access access, vaddr_t sp);

/* References of the pages from va on, one after the other, that can be kept while the program goes
 * on (and may write to them, unmap them, end); how many of `count`. Those that are not there, are
 * shared, or parts of large ones end it. va is aligned; the lock is taken. */
size_t must_check space_pin_pages(struct space *space, vaddr_t va, struct page **pages,
                                  size_t count);

/* For code patching: make the page at va private and anonymous to this space and give its
 * frame (with no extra reference). The lock is taken. -EFAULT, -EACCES (not executable private),
 * -ENOMEM. */
int must_check space_own_page(struct space *space, vaddr_t va, struct page **out);

/* The same for a caller that only wants to write code: own the pages of [va, va+len), store the
 * bytes through the kernel's alias and make them executable, all under the space's lock. Bytes
 * within one aligned 64-bit word change at once. Special areas (trampolines) may be patched, too.
 */
int must_check space_patch(struct space *space, vaddr_t va, const void *bytes, size_t len);

/*
 * Replace code that others may be executing, under the lock throughout: no mapping changes half
 * way, and nobody writes to the code, for areas that are writable are refused (-EACCES). If the
 * bytes at `va` are not `old` any more: -EAGAIN. `new_bytes` go to the beginning of it. With a
 * barrier in steps: the guard byte; barrier; all but the first byte; barrier; the first byte; and
 * if it is wanted twice, barrier; the same once more.
 * Without: by words. -EFAULT, -EACCES, -ENOMEM as above; all errors without effect.
 */
struct code_change {
    vaddr_t va;
    const uint8_t *old, *new_bytes;
    size_t old_len, new_len; /* new_len <= old_len */
    uint8_t guard;
    void (*barrier)(void); /* may sleep, and must not touch the space; or NULL */
    bool twice;
};
int must_check space_change_code(struct space *space, const struct code_change *change);

/* Walk the areas for /proc/self/maps: fills *out for the first area ending above addr; false at the
 * end. */
struct area_info {
    vaddr_t lo, hi;
    uint32_t prot, flags;
    struct vm_object
        *object; /* borrowed: only to be passed to vfs_object_path within the callback's lock */
    uint64_t off;
    uint64_t resident; /* pages */
    uint64_t large;    /* those of them in large pages */
    uint64_t hugetlb;  /* pages in huge pages of the pool, which do not count as resident */
    char name[16];
};
/* fn is called under the lock, in address order; a non-zero return stops and is returned. */
int space_walk(struct space *space, int (*fn)(const struct area_info *info, void *arg), void *arg);

#endif
