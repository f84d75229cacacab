/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * procfs.c - /proc: the part about the system. What is below /proc/<pid> is in procfs_pid.c.
 *
 * Fixed files stand in the dentry tree like those of any memory file system. The root is
 * "volatile": names that are not there (self, process numbers) are asked for every time.
 */
#include "fs/procfs.h"

#include "core/percpu.h"
#include "core/random.h"
#include "core/version.h"
#include "fs/inotify.h"
#include "fs/pipe.h"
#include "isa.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/compact.h"
#include "mm/hugetlb.h"
#include "mm/kmalloc.h"
#include "mm/space.h"
#include "sched/thread.h"
#include "sched/timer.h"

#define PROC_MAGIC 0x9fa0
#define PID_MAX 4194304

/* ---- system-wide texts ---- */

static int show_cpuinfo(struct inode *inode, struct strbuf *sb)
{
    unsigned count = cpu_online_count();
    for (unsigned i = 0; i < count; i++)
        isa_cpuinfo(sb, i, count);
    return 0;
}

static void kb_line(struct strbuf *sb, const char *name, uint64_t pages)
{
    strbuf_printf(sb, "%-15s %8llu kB\n", name, (unsigned long long)(pages * (PAGE_SIZE / 1024)));
}

/* As Linux has it on x86; not where the kernel cannot know (hosted). */
static void direct_map_lines(struct strbuf *sb)
{
    uint64_t bytes[HAL_DIRECT_SIZES];
    hal_direct_bytes(bytes);
    if (!(bytes[HAL_DIRECT_4K] | bytes[HAL_DIRECT_2M] | bytes[HAL_DIRECT_1G]))
        return;
    kb_line(sb, "DirectMap4k:", bytes[HAL_DIRECT_4K] / PAGE_SIZE);
    kb_line(sb, "DirectMap2M:", bytes[HAL_DIRECT_2M] / PAGE_SIZE);
    kb_line(sb, "DirectMap1G:", bytes[HAL_DIRECT_1G] / PAGE_SIZE);
}

static int show_meminfo(struct inode *inode, struct strbuf *sb)
{
    struct page_stats st;
    struct kmalloc_stats km;
    page_get_stats(&st);
    kmalloc_get_stats(&km);
    uint64_t slab = km.bytes_held / PAGE_SIZE;
    kb_line(sb, "MemTotal:", st.total);
    kb_line(sb, "MemFree:", st.free);
    kb_line(sb, "MemAvailable:", st.free + vm_cache_pages());
    kb_line(sb, "Buffers:", 0);
    kb_line(sb, "Cached:", st.by_type[PAGE_FILE]);
    kb_line(sb, "SwapCached:", 0);
    kb_line(sb, "Active:", st.by_type[PAGE_ANON] + st.by_type[PAGE_FILE]);
    kb_line(sb, "Inactive:", 0);
    kb_line(sb, "Unevictable:", space_locked_pages());
    kb_line(sb, "Mlocked:", space_locked_pages());
    kb_line(sb, "SwapTotal:", 0);
    kb_line(sb, "SwapFree:", 0);
    kb_line(sb, "Dirty:", 0);
    kb_line(sb, "Writeback:", 0);
    kb_line(sb, "AnonPages:", st.by_type[PAGE_ANON]);
    kb_line(sb, "Mapped:", st.by_type[PAGE_FILE]);
    kb_line(sb, "Shmem:", st.by_type[PAGE_FILE]);
    kb_line(sb, "Slab:", slab);
    kb_line(sb, "SReclaimable:", 0);
    kb_line(sb, "SUnreclaim:", slab);
    kb_line(sb, "KernelStack:", owner_get(OWNER_KERNEL_STACK).bytes / PAGE_SIZE);
    kb_line(sb, "PageTables:", st.by_type[PAGE_TABLE]);
    kb_line(sb, "CommitLimit:", st.total);
    kb_line(sb, "Committed_AS:", st.by_type[PAGE_ANON]);
    struct space *space = space_current();
    kb_line(sb, "AnonHugePages:", space ? space_large(space) : 0);
    struct hugetlb_stats huge;
    hugetlb_get_stats(&huge);
    strbuf_printf(sb,
                  "HugePages_Total:   %5llu\nHugePages_Free:    %5llu\nHugePages_Rsvd:    %5llu\n"
                  "HugePages_Surp:    %5llu\n",
                  (unsigned long long)huge.total, (unsigned long long)huge.free,
                  (unsigned long long)huge.reserved, (unsigned long long)huge.surplus);
    kb_line(sb, "Hugepagesize:", HUGETLB_SIZE / PAGE_SIZE);
    kb_line(sb, "Hugetlb:", huge.total * (HUGETLB_SIZE / PAGE_SIZE));
    direct_map_lines(sb);
    return 0;
}

/* The size of the pool that somebody has asked for, as far as there was memory. */
static int show_nr_hugepages(struct inode *inode, struct strbuf *sb)
{
    struct hugetlb_stats huge;
    hugetlb_get_stats(&huge);
    strbuf_printf(sb, "%llu\n", (unsigned long long)(huge.total - huge.surplus));
    return 0;
}

/* What is written to a number among the settings: digits, white space around them. */
static int store_number(const char *text, uint64_t *value)
{
    const char *end;
    while (*text == ' ' || *text == '\t')
        text++;
    int err = str_to_u64(text, &end, value);
    return !err && *end && *end != '\n' && *end != ' ' && *end != '\t' ? -EINVAL : err;
}

static int show_max_map_count(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "%llu\n", (unsigned long long)space_area_limit());
    return 0;
}

static int store_max_map_count(struct inode *inode, char *text, size_t len)
{
    uint64_t count;
    int err = store_number(text, &count);
    if (!err && count > INT32_MAX) /* an int, as on Linux */
        err = -EINVAL;
    if (!err)
        space_set_area_limit(count);
    return err;
}

static int store_nr_hugepages(struct inode *inode, char *text, size_t len)
{
    uint64_t count;
    int err = store_number(text, &count);
    if (!err)
        hugetlb_set_count(space_current(), count);
    return err;
}

/* What vmstat(8) and free(1) look for, as far as there is such a thing here. */
static int show_vmstat(struct inode *inode, struct strbuf *sb)
{
    struct page_stats st;
    struct compact_stats compact;
    page_get_stats(&st);
    compact_get_stats(&compact);
    strbuf_printf(
        sb,
        "nr_free_pages %llu\nnr_anon_pages %llu\nnr_file_pages %llu\n"
        "nr_page_table_pages %llu\nnr_slab_unreclaimable %llu\n"
        "pgpgin 0\npgpgout 0\npswpin 0\npswpout 0\n"
        "pgmigrate_success %llu\ncompact_stall %llu\ncompact_fail %llu\n"
        "compact_success %llu\nnr_cpu_cached_pages %llu\n"
        "kernel_stack_grown %llu\n",
        (unsigned long long)st.free, (unsigned long long)st.by_type[PAGE_ANON],
        (unsigned long long)st.by_type[PAGE_FILE], (unsigned long long)st.by_type[PAGE_TABLE],
        (unsigned long long)st.by_type[PAGE_SLAB], (unsigned long long)compact.pages_moved,
        (unsigned long long)compact.runs, (unsigned long long)compact.blocks_failed,
        (unsigned long long)compact.blocks_freed, (unsigned long long)hot_count(),
        (unsigned long long)kstack_grown());
    return 0;
}

/* Free blocks by size. RAM that was never used lies in blocks of the largest size. */
static int show_buddyinfo(struct inode *inode, struct strbuf *sb)
{
    struct page_stats st;
    uint64_t listed = 0;
    page_get_stats(&st);
    for (unsigned order = 0; order <= PAGE_ORDER_MAX; order++)
        listed += st.free_by_order[order] << order;
    st.free_by_order[PAGE_ORDER_MAX] += (st.free - listed) >> PAGE_ORDER_MAX;
    strbuf_printf(sb, "Node 0, zone   Normal ");
    for (unsigned order = 0; order <= PAGE_ORDER_MAX; order++)
        strbuf_printf(sb, "%6llu ", (unsigned long long)st.free_by_order[order]);
    strbuf_append(sb, "\n", 1);
    return 0;
}

/* The kernel's objects by owner, in the columns of Linux's slabinfo(5) version 2.1; the size is the
 * mean, with what belongs to an object (buffers, names). */
static int show_slabinfo(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb,
                  "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> "
                  "<objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> "
                  ": slabdata <active_slabs> <num_slabs> <sharedavail>\n");
    for (unsigned i = 0; i < OWNER_COUNT; i++) {
        struct memory_account a = owner_get((enum memory_owner)i);
        unsigned long long objects = a.objects, size = objects ? a.bytes / objects : 0;
        unsigned long long slabs = (a.bytes + PAGE_SIZE - 1) / PAGE_SIZE;
        strbuf_printf(sb,
                      "%-17s %6llu %6llu %6llu %4llu %4u : tunables    0    0    0 : slabdata "
                      "%6llu %6llu      0\n",
                      memory_owner_names[i], objects, objects, size,
                      size && size < PAGE_SIZE ? PAGE_SIZE / size : 1ull, 1u, slabs, slabs);
    }
    return 0;
}

/* Any write: compact as long as it brings something. */
static int store_compact_memory(struct inode *inode, char *text, size_t len)
{
    struct space *space = space_current();
    for (unsigned i = 0; space && i < 1000; i++)
        if (compact_space(space, COMPACT_ORDER, 8) == 0)
            break;
    return 0;
}

#define NS_PER_TICK (NS_PER_SEC / 100) /* USER_HZ is 100 on both architectures */

static void cpu_line(struct strbuf *sb, const char *name, uint64_t busy_ns, uint64_t idle_ns)
{
    strbuf_printf(sb, "%s %llu 0 0 %llu 0 0 0 0 0 0\n", name,
                  (unsigned long long)(busy_ns / NS_PER_TICK),
                  (unsigned long long)(idle_ns / NS_PER_TICK));
}

static int show_stat(struct inode *inode, struct strbuf *sb)
{
    uint64_t busy = 0, idle = 0, switches = 0;
    unsigned count = cpu_online_count(), runnable = 0;
    struct sched_cpu_stats st;
    for (unsigned i = 0; i < count; i++) {
        sched_get_stats(i, &st);
        busy += st.busy_ns;
        idle += st.idle_ns;
        switches += st.switches;
        runnable += st.runnable;
    }
    cpu_line(sb, "cpu ", busy, idle);
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        sched_get_stats(i, &st);
        snprintf(name, sizeof(name), "cpu%u", i);
        cpu_line(sb, name, st.busy_ns, st.idle_ns);
    }
    strbuf_printf(sb,
                  "intr 0\nctxt %llu\nbtime %llu\nprocesses %u\nprocs_running %u\n"
                  "procs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
                  (unsigned long long)switches,
                  (unsigned long long)((clock_wall_ns() - clock_mono_ns()) / NS_PER_SEC),
                  thread_count(), MAX(runnable, 1u));
    return 0;
}

static void centiseconds(struct strbuf *sb, uint64_t ns, const char *after)
{
    strbuf_printf(sb, "%llu.%02llu%s", (unsigned long long)(ns / NS_PER_SEC),
                  (unsigned long long)(ns % NS_PER_SEC / NS_PER_TICK), after);
}

static int show_uptime(struct inode *inode, struct strbuf *sb)
{
    uint64_t idle = 0;
    for (unsigned i = 0; i < cpu_online_count(); i++) {
        struct sched_cpu_stats st;
        sched_get_stats(i, &st);
        idle += st.idle_ns;
    }
    centiseconds(sb, clock_mono_ns(), " ");
    centiseconds(sb, idle, "\n");
    return 0;
}

static int show_loadavg(struct inode *inode, struct strbuf *sb)
{
    proc_loadavg(sb);
    return 0;
}

static int show_cmdline(struct inode *inode, struct strbuf *sb)
{
    const char *text = hal_boot_info()->cmdline;
    strbuf_printf(sb, "%s\n", text ? text : "");
    return 0;
}

int procfs_show_mounts(struct inode *inode, struct strbuf *sb)
{
    return mounts_show(sb, false);
}

int procfs_show_mountinfo(struct inode *inode, struct strbuf *sb)
{
    return mounts_show(sb, true);
}

/* A random (version 4) UUID as RFC 4122 writes it. */
static void put_uuid(struct strbuf *sb, const uint8_t id[16])
{
    for (int i = 0; i < 16; i++) {
        uint8_t byte = id[i];
        if (i == 6)
            byte = (byte & 0x0f) | 0x40;
        if (i == 8)
            byte = (byte & 0x3f) | 0x80;
        strbuf_printf(sb, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", byte);
    }
    strbuf_printf(sb, "\n");
}

static int show_uuid(struct inode *inode, struct strbuf *sb)
{
    uint8_t id[16];
    random_bytes(id, sizeof(id));
    put_uuid(sb, id);
    return 0;
}

static uint8_t boot_id[16]; /* set by procfs_create */

static int show_boot_id(struct inode *inode, struct strbuf *sb)
{
    put_uuid(sb, boot_id);
    return 0;
}

static int show_file_nr(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "%u\t0\t%llu\n", dentry_count(), 9223372036854775807ull);
    return 0;
}

static int show_threads_max(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "%llu\n", (unsigned long long)(page_total_count() / 8));
    return 0;
}

static int show_hostname(struct inode *inode, struct strbuf *sb)
{
    proc_hostname(sb);
    strbuf_append(sb, "\n", 1);
    return 0;
}

#define TEXT_ITEM(path_, text_) \
    { \
        .path = (path_), .mode = S_IFREG | 0444, .text = (text_) \
    }
#define SHOW_ITEM(path_, show_) \
    { \
        .path = (path_), .mode = S_IFREG | 0444, .show = (show_) \
    }
#define LINK_ITEM(path_, text_) \
    { \
        .path = (path_), .mode = S_IFLNK | 0777, .text = (text_) \
    }

static const struct pseudo_item items[] = {
    SHOW_ITEM("cpuinfo", show_cpuinfo),
    SHOW_ITEM("meminfo", show_meminfo),
    SHOW_ITEM("stat", show_stat),
    SHOW_ITEM("vmstat", show_vmstat),
    SHOW_ITEM("buddyinfo", show_buddyinfo),
    {.path = "slabinfo", .mode = S_IFREG | 0400, .show = show_slabinfo},
    TEXT_ITEM("diskstats", ""),
    TEXT_ITEM("modules", ""),
    TEXT_ITEM("partitions", "major minor  #blocks  name\n\n"),
    TEXT_ITEM("cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"),
    SHOW_ITEM("uptime", show_uptime),
    SHOW_ITEM("loadavg", show_loadavg),
    SHOW_ITEM("cmdline", show_cmdline),
    TEXT_ITEM("version", SELKIE_OSTYPE " version " SELKIE_OSRELEASE " " SELKIE_OSVERSION "\n"),
    TEXT_ITEM("filesystems", "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\n"
                             "nodev\tramfs\n"),
    TEXT_ITEM("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    TEXT_ITEM("devices", "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n 10 misc\n\n"
                         "Block devices:\n"),
    LINK_ITEM("mounts", "self/mounts"),
    {.path = "pressure/memory", .mode = S_IFREG | 0644, .ops = &procfs_pressure_ops},
    TEXT_ITEM("sys/kernel/ostype", SELKIE_OSTYPE "\n"),
    TEXT_ITEM("sys/kernel/osrelease", SELKIE_OSRELEASE "\n"),
    TEXT_ITEM("sys/kernel/version", SELKIE_OSVERSION "\n"),
    SHOW_ITEM("sys/kernel/hostname", show_hostname),
    TEXT_ITEM("sys/kernel/pid_max", "4194304\n"),
    SHOW_ITEM("sys/kernel/threads-max", show_threads_max),
    TEXT_ITEM("sys/kernel/shmmax", "18446744073692774399\n"),
    TEXT_ITEM("sys/kernel/shmall", "18446744073692774399\n"),
    TEXT_ITEM("sys/kernel/shmmni", "4096\n"),
    TEXT_ITEM("sys/kernel/cap_last_cap", "40\n"),
    TEXT_ITEM("sys/kernel/ngroups_max", "65536\n"),
    TEXT_ITEM("sys/kernel/randomize_va_space", "2\n"),
    TEXT_ITEM("sys/kernel/tainted", "0\n"),
    TEXT_ITEM("sys/kernel/core_pattern", "core\n"),
    TEXT_ITEM("sys/kernel/sched_rt_period_us", "1000000\n"),
    TEXT_ITEM("sys/kernel/sched_rt_runtime_us", "950000\n"),
    SHOW_ITEM("sys/kernel/random/boot_id", show_boot_id),
    SHOW_ITEM("sys/kernel/random/uuid", show_uuid),
    TEXT_ITEM("sys/kernel/random/entropy_avail", "256\n"),
    TEXT_ITEM("sys/kernel/random/poolsize", "256\n"),
    TEXT_ITEM("sys/vm/overcommit_memory", "1\n"),
    TEXT_ITEM("sys/vm/overcommit_ratio", "50\n"),
    {.path = "sys/vm/max_map_count",
     .mode = S_IFREG | 0644,
     .show = show_max_map_count,
     .store = store_max_map_count},
    TEXT_ITEM("sys/vm/mmap_min_addr", "65536\n"),
    {.path = "sys/vm/nr_hugepages",
     .mode = S_IFREG | 0644,
     .show = show_nr_hugepages,
     .store = store_nr_hugepages},
    TEXT_ITEM("sys/vm/nr_overcommit_hugepages", "0\n"),
    TEXT_ITEM("sys/vm/swappiness", "0\n"),
    {.path = "sys/vm/compact_memory", .mode = S_IFREG | 0200, .store = store_compact_memory},
    TEXT_ITEM("sys/fs/file-max", "9223372036854775807\n"),
    SHOW_ITEM("sys/fs/file-nr", show_file_nr),
    TEXT_ITEM("sys/fs/nr_open", "1048576\n"),
    TEXT_ITEM("sys/fs/inotify/max_queued_events", "16384\n"),
    TEXT_ITEM("sys/fs/inotify/max_user_instances", "128\n"),
    TEXT_ITEM("sys/fs/inotify/max_user_watches", "65536\n"),
    TEXT_ITEM("sys/fs/pipe-max-size", "1048576\n"),
};
STATIC_ASSERT(PIPE_SIZE_MAX == 1048576);
STATIC_ASSERT(INOTIFY_QUEUE_MAX == 16384 && INOTIFY_WATCHES_MAX == 65536);
STATIC_ASSERT(FD_MAX_HARD == 1048576);

/* ---- the root ---- */

int procfs_number(const char *name, size_t len, int max)
{
    int value = 0;
    if (len == 0 || len > 9 || name[0] == '0')
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return 0;
        value = value * 10 + (name[i] - '0');
    }
    return value <= max ? value : 0;
}

static long self_readlink(struct inode *inode, char *buf, size_t size)
{
    char text[48];
    int pid = proc_current_pid(), len;
    if (pid <= 0)
        return -ENOENT;
    if (inode->key[0])
        len = snprintf(text, sizeof(text), "%d/task/%d", pid, proc_current_tid());
    else
        len = snprintf(text, sizeof(text), "%d", pid);
    size_t n = MIN((size_t)len, size);
    memcpy(buf, text, n);
    return (long)n;
}

static const struct inode_ops self_ops = {.readlink = self_readlink, .fixed = true};

static int root_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    bool self = len == 4 && memcmp(name, "self", 4) == 0;
    bool thread = len == 11 && memcmp(name, "thread-self", 11) == 0;
    if (self || thread) {
        struct inode *inode = inode_alloc(dir->super, S_IFLNK | 0777);
        if (!inode)
            return -ENOMEM;
        inode->ops = &self_ops;
        inode->key[0] = thread;
        *out = inode;
        return 0;
    }
    int pid = procfs_number(name, len, PID_MAX);
    if (!pid || proc_next_pid(pid) != pid)
        return -ENOENT;
    *out = procfs_task_dir(dir->super, pid, 0);
    return *out ? 0 : -ENOMEM;
}

static int root_list(struct inode *dir, off64_t *pos,
                     bool (*emit)(void *arg, const char *name, size_t len, uint64_t ino,
                                  unsigned type, off64_t next),
                     void *arg)
{
    if (*pos == 0) {
        if (!emit(arg, "self", 4, 2, 10, 1))
            return 0;
        *pos = 1;
    }
    if (*pos == 1) {
        if (!emit(arg, "thread-self", 11, 3, 10, 2))
            return 0;
        *pos = 2;
    }
    int pid;
    while (*pos <= PID_MAX && (pid = proc_next_pid((int)*pos - 1)) > 0) {
        char name[16];
        int len = snprintf(name, sizeof(name), "%d", pid);
        if (!emit(arg, name, (size_t)len, (uint64_t)pid << 16, 4, pid + 2))
            return 0;
        *pos = pid + 2;
    }
    return 0;
}

static const struct inode_ops root_ops = {.lookup = root_lookup, .list = root_list, .fixed = true};

struct super *procfs_create(const char *source)
{
    static const uint8_t none[sizeof(boot_id)];
    struct super *super = super_create("proc", source, PROC_MAGIC, 0555);
    if (!super)
        return NULL;
    if (memcmp(boot_id, none, sizeof(none)) == 0) /* the first one, at boot */
        random_bytes(boot_id, sizeof(boot_id));
    if (pseudo_add(super, items, ARRAY_COUNT(items))) {
        super_discard(super);
        return NULL;
    }
    struct inode *root = super->root->inode;
    root->ops = &root_ops;
    root->flags |= INODE_VOLATILE;
    return super;
}
