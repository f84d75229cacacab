/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sys_shm.c - System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2).
 *
 * A segment is a vm_object of its own kind: mapping areas hold references through its operations,
 * and their number is what Linux calls nattch. The table holds segments by slot; an identifier is
 * the slot and a sequence number, so that a stale one is not taken for its successor.
 *
 * Life: a segment is in the table from shmget until it is marked by IPC_RMID and no area maps it.
 * table_lock (a leaf spinlock) guards the table and all fields of segments, among them `attached`.
 * Whoever takes a segment out of the table destroys it after the lock is dropped: nobody can find
 * it any more, and no area maps it. What works on a segment found in the table keeps it by raising
 * `attached` for that time.
 *
 * A segment of huge pages (SHM_HUGETLB) is promised all of them when it is made, as on Linux,
 * unless SHM_NORESERVE says otherwise.
 */
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "linux/uapi.h"
#include "mm/area.h"
#include "mm/hugetlb.h"
#include "mm/kmalloc.h"
#include "mm/space.h"
#include "proc/process.h"

/* Linux's include/uapi/linux/ipc.h, shm.h, asm-generic/shmbuf.h. */
#define IPC_PRIVATE 0
#define IPC_CREAT 01000
#define IPC_EXCL 02000
#define IPC_RMID 0
#define IPC_SET 1
#define IPC_STAT 2
#define IPC_INFO 3
#define IPC_64 0x100
#define SHM_LOCK 11
#define SHM_UNLOCK 12
#define SHM_STAT 13
#define SHM_INFO 14
#define SHM_STAT_ANY 15
#define SHM_DEST 01000
#define SHM_LOCKED 02000
#define SHM_HUGETLB 04000
#define SHM_RDONLY 010000
#define SHM_RND 020000
#define SHM_NORESERVE 010000 /* shmget */
#define SHM_HUGE_SHIFT 26    /* shmget with SHM_HUGETLB: log2 of the size, 0 for the default */
#define SHM_HUGE_MASK 63u
#define SHM_REMAP 040000
#define SHM_EXEC 0100000
#define SEGMENT_MAX 4096u /* SHMMNI */
#define SEQUENCE_MAX 0xffffu
#define SLOT_BITS 15

struct uapi_shmid {
    int32_t key;
    uint32_t uid, gid, cuid, cgid, mode;
    uint16_t seq, pad;
    uint64_t reserved1[2];
    uint64_t size;
    int64_t atime, dtime, ctime;
    int32_t cpid, lpid;
    uint64_t attached;
    uint64_t reserved2[2];
};
STATIC_ASSERT(sizeof(struct uapi_shmid) == 112);

struct uapi_shminfo {
    uint64_t max, min, mni, seg, all, reserved[4];
};

struct uapi_shm_info {
    int32_t used_ids;
    uint64_t total, resident, swapped, attempts, successes;
};

struct segment {
    struct vm_object object; /* its size is rounded up to pages */
    struct uapi_shmid info;  /* as IPC_STAT gives it; attached: areas, and uses in progress */
    unsigned slot;
    bool promised; /* its huge pages */
};

static struct spinlock table_lock = SPINLOCK_INIT(RANK_AREAS);
static struct segment *table[SEGMENT_MAX];
static unsigned used, slots_end; /* slots_end: all beyond are empty */
static uint16_t sequence;
static uint64_t total_pages;

static struct segment *segment_of(struct vm_object *object)
{
    return container_of(object, struct segment, object);
}

static int64_t now_seconds(void)
{
    return (int64_t)(clock_wall_ns() / NS_PER_SEC);
}

static uint64_t pages_of(const struct segment *s)
{
    return align_up(s->info.size, PAGE_SIZE) >> PAGE_SHIFT;
}

/* ---- life ------------------------------------------------------------------------------- */

/* Take it out of the table if it is to go; the caller then destroys it. Lock held. */
static bool retire_locked(struct segment *s)
{
    if (!(s->info.mode & SHM_DEST) || s->info.attached)
        return false;
    table[s->slot] = NULL;
    used--;
    total_pages -= pages_of(s);
    return true;
}

static void destroy(struct segment *s)
{
    vm_object_destroy(&s->object);
    kfree(s);
}

static void segment_get(struct vm_object *object)
{
    spin_lock(&table_lock);
    segment_of(object)->info.attached++;
    spin_unlock(&table_lock);
}

static void segment_put(struct vm_object *object)
{
    struct segment *s = segment_of(object);
    spin_lock(&table_lock);
    s->info.attached--;
    bool last = retire_locked(s);
    spin_unlock(&table_lock);
    if (last)
        destroy(s);
}

static const struct vm_object_ops segment_ops = {.get = segment_get, .put = segment_put};

/* ---- finding ---------------------------------------------------------------------------- */

static int id_of(const struct segment *s)
{
    return (int)s->info.seq << SLOT_BITS | (int)s->slot;
}

static struct segment *find_id_locked(int id)
{
    unsigned slot = (unsigned)id & ((1u << SLOT_BITS) - 1);
    struct segment *s = id >= 0 && slot < SEGMENT_MAX ? table[slot] : NULL;
    return s && id_of(s) == id ? s : NULL;
}

static struct segment *find_key_locked(int key)
{
    for (unsigned i = 0; i < slots_end; i++)
        if (table[i] && table[i]->info.key == key && !(table[i]->info.mode & SHM_DEST))
            return table[i];
    return NULL;
}

/* Permission bits `want` (of an octal digit) for the caller; -EACCES. */
static int check_access(const struct segment *s, unsigned want)
{
    const struct fs_cred *cred = proc_cred();
    unsigned mode = s->info.mode;
    if (cred->euid == 0)
        return 0;
    if (cred->euid == s->info.uid || cred->euid == s->info.cuid)
        mode >>= 6;
    else if (cred->egid == s->info.gid || cred->egid == s->info.cgid)
        mode >>= 3;
    return want & ~mode & 7 ? -EACCES : 0;
}

static bool may_control(const struct segment *s)
{
    uint32_t euid = proc_cred()->euid;
    return euid == 0 || euid == s->info.uid || euid == s->info.cuid;
}

/* ---- shmget ----------------------------------------------------------------------------- */

/* Linux: hugetlb_file_setup. Nobody may lock memory by hugetlb_shm_group, which is 0. */
static int make_huge(struct segment *s, unsigned flags)
{
    unsigned shift = flags >> SHM_HUGE_SHIFT & SHM_HUGE_MASK;
    if (shift == 0)
        shift = HUGETLB_SHIFT;
    if (shift != HUGETLB_SHIFT && shift != HUGETLB_SHIFT_1G)
        return -EINVAL;
    if (proc_cred()->euid != 0 && proc_cred()->egid != 0)
        return -EPERM;
    if (shift == HUGETLB_SHIFT_1G)
        return -ENOMEM; /* there are none */
    hugeobj_init(&s->object, shift);
    s->promised = !(flags & SHM_NORESERVE);
    return s->promised ? hugeobj_promise(&s->object, 0, s->object.size >> shift) : 0;
}

static int segment_create(int key, uint64_t size, unsigned flags, struct segment **out)
{
    const struct fs_cred *cred = proc_cred();
    bool huge = flags & SHM_HUGETLB;
    uint64_t rounded = align_up(size, huge ? HUGETLB_SIZE : PAGE_SIZE);
    if (size == 0)
        return -EINVAL;
    if (rounded < size || size > page_total_count() << PAGE_SHIFT)
        return -ENOMEM;
    struct segment *s = kzalloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    vm_object_init(&s->object, &segment_ops, rounded);
    int err = huge ? make_huge(s, flags) : 0;
    if (err) {
        destroy(s);
        return err;
    }
    s->info = (struct uapi_shmid){
        .key = key,
        .uid = cred->euid,
        .gid = cred->egid,
        .cuid = cred->euid,
        .cgid = cred->egid,
        .mode = flags & 0777,
        .size = size,
        .ctime = now_seconds(),
        .cpid = process_current()->pid,
    };
    *out = s;
    return 0;
}

/* -ENOSPC if the table is full. */
static int add_locked(struct segment *s)
{
    unsigned slot = 0;
    while (slot < SEGMENT_MAX && table[slot])
        slot++;
    if (slot == SEGMENT_MAX)
        return -ENOSPC;
    s->slot = slot;
    s->info.seq = sequence++ % SEQUENCE_MAX;
    table[slot] = s;
    slots_end = MAX(slots_end, slot + 1);
    used++;
    total_pages += pages_of(s);
    return id_of(s);
}

static long use_existing_locked(const struct segment *s, uint64_t size, unsigned flags)
{
    unsigned want = (flags | flags >> 3 | flags >> 6) & 7;
    if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL))
        return -EEXIST;
    if (size > s->info.size)
        return -EINVAL;
    int err = check_access(s, want);
    return err ? err : id_of(s);
}

long sys_shmget(const struct syscall_args *a)
{
    int key = (int)a->arg[0];
    uint64_t size = a->arg[1];
    unsigned flags = (unsigned)a->arg[2];
    bool create = key == IPC_PRIVATE || (flags & IPC_CREAT);
    struct segment *fresh = NULL, *s;
    spin_lock(&table_lock);
    s = key == IPC_PRIVATE ? NULL : find_key_locked(key);
    long result = s ? use_existing_locked(s, size, flags) : -ENOENT;
    spin_unlock(&table_lock);
    if (s || !create)
        return result;
    int err = segment_create(key, size, flags, &fresh);
    if (err)
        return err;
    spin_lock(&table_lock);
    s = key == IPC_PRIVATE ? NULL : find_key_locked(key); /* somebody may have been faster */
    result = s ? use_existing_locked(s, size, flags) : add_locked(fresh);
    if (!s && result >= 0)
        fresh = NULL;
    spin_unlock(&table_lock);
    if (fresh)
        destroy(fresh);
    return result;
}

/* ---- shmat, shmdt ----------------------------------------------------------------------- */

static int place(vaddr_t *addr, unsigned flags)
{
    if (*addr == 0)
        return flags & SHM_REMAP ? -EINVAL : 0;
    if (flags & SHM_RND)
        *addr = align_down(*addr, PAGE_SIZE);
    return is_aligned(*addr, PAGE_SIZE) && *addr ? 0 : -EINVAL;
}

static int attach(struct segment *s, int key, vaddr_t *addr, unsigned flags)
{
    bool writes = !(flags & SHM_RDONLY);
    char name[16];
    struct map_request req = {
        .addr = *addr,
        .len = s->object.size,
        .prot = PROT_READ | (writes ? PROT_WRITE : 0) | (flags & SHM_EXEC ? PROT_EXEC : 0),
        .flags = MAP_SHARED |
                 (*addr == 0          ? 0
                  : flags & SHM_REMAP ? MAP_FIXED
                                      : MAP_FIXED_NOREPLACE) |
                 (s->object.huge_shift ? MAP_HUGETLB : 0) |
                 (s->object.huge_shift && !s->promised ? MAP_NORESERVE : 0),
        .object = &s->object,
        .may_write = writes,
        .name = name,
    };
    snprintf(name, sizeof name, "/SYSV%08x", (unsigned)key);
    int err = space_map(process_current()->space, &req, addr);
    return err == -EEXIST ? -EINVAL : err;
}

long sys_shmat(const struct syscall_args *a)
{
    vaddr_t addr = a->arg[1];
    unsigned flags = (unsigned)a->arg[2];
    unsigned want = 4 | (flags & SHM_RDONLY ? 0 : 2) | (flags & SHM_EXEC ? 1 : 0);
    int err = place(&addr, flags);
    if (err)
        return err;
    spin_lock(&table_lock);
    struct segment *s = find_id_locked((int)a->arg[0]);
    err = s ? check_access(s, want) : -EINVAL;
    int key = err ? 0 : s->info.key;
    if (!err)
        s->info.attached++; /* stays while we map it */
    spin_unlock(&table_lock);
    if (err)
        return err;
    err = attach(s, key, &addr, flags);
    if (!err) {
        spin_lock(&table_lock);
        s->info.atime = now_seconds();
        s->info.lpid = process_current()->pid;
        spin_unlock(&table_lock);
    }
    segment_put(&s->object);
    return err ? err : (long)addr;
}

long sys_shmdt(const struct syscall_args *a)
{
    if (!is_aligned(a->arg[0], PAGE_SIZE))
        return -EINVAL;
    return space_detach(process_current()->space, a->arg[0], &segment_ops);
}

/* ---- shmctl ----------------------------------------------------------------------------- */

static long control_info(int cmd, uaddr_t out)
{
    int highest = (int)slots_end - 1; /* a momentary value */
    if (cmd == IPC_INFO) {
        struct uapi_shminfo info = {.max = UINT64_MAX - (1ul << 24),
                                    .min = 1,
                                    .mni = SEGMENT_MAX,
                                    .seg = SEGMENT_MAX,
                                    .all = UINT64_MAX - (1ul << 24)};
        if (copyout(out, &info, sizeof info))
            return -EFAULT;
    } else {
        struct uapi_shm_info info = {0};
        spin_lock(&table_lock);
        info.used_ids = (int32_t)used;
        info.total = total_pages;
        for (unsigned i = 0; i < slots_end; i++)
            info.resident += table[i] ? table[i]->object.page_count : 0;
        spin_unlock(&table_lock);
        if (copyout(out, &info, sizeof info))
            return -EFAULT;
    }
    return MAX(highest, 0);
}

static long control_stat(int id, int cmd, uaddr_t out)
{
    struct uapi_shmid info;
    long result = -EINVAL;
    spin_lock(&table_lock);
    struct segment *s = cmd == IPC_STAT                         ? find_id_locked(id)
                        : id >= 0 && (unsigned)id < SEGMENT_MAX ? table[id]
                                                                : NULL;
    if (s) {
        result = cmd == SHM_STAT_ANY ? 0 : check_access(s, 4);
        info = s->info;

        if (!result && cmd != IPC_STAT)
            result = id_of(s);
    }
    spin_unlock(&table_lock);
    if (result < 0)
        return result;
    return copyout(out, &info, sizeof info) ? -EFAULT : result;
}

/* What changes a segment: IPC_RMID, IPC_SET (with `set`), SHM_LOCK, SHM_UNLOCK. */
static long control_change(int id, int cmd, const struct uapi_shmid *set)
{
    struct segment *gone = NULL;
    long result = 0;
    spin_lock(&table_lock);
    struct segment *s = find_id_locked(id);
    if (!s) {
        result = -EINVAL;
    } else if (!may_control(s)) {
        result = -EPERM;
    } else if (cmd == IPC_RMID) {
        s->info.key = IPC_PRIVATE;
        s->info.mode |= SHM_DEST;
        gone = retire_locked(s) ? s : NULL;
    } else if (cmd == IPC_SET) {
        s->info.uid = set->uid;
        s->info.gid = set->gid;
        s->info.mode = (s->info.mode & ~0777u) | (set->mode & 0777u);
        s->info.ctime = now_seconds();
    } else { /* nothing is ever paged out: the flag is all there is to it */
        s->info.mode =
            cmd == SHM_LOCK ? s->info.mode | SHM_LOCKED : s->info.mode & ~(unsigned)SHM_LOCKED;
    }
    spin_unlock(&table_lock);
    if (gone)
        destroy(gone);
    return result;
}

long sys_shmctl(const struct syscall_args *a)
{
    int id = (int)a->arg[0], cmd = (int)a->arg[1] & ~IPC_64;
    uaddr_t buf = uaddr(a->arg[2]);
    struct uapi_shmid set;
    switch (cmd) {
    case IPC_INFO:
    case SHM_INFO:
        return control_info(cmd, buf);
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY:
        return control_stat(id, cmd, buf);
    case IPC_SET:
        if (copyin(&set, buf, sizeof set))
            return -EFAULT;
        return control_change(id, cmd, &set);
    case IPC_RMID:
    case SHM_LOCK:
    case SHM_UNLOCK:
        return control_change(id, cmd, NULL);
    default:
        return -EINVAL;
    }
}
