/* SPDX-License-Identifier: BSD-3-Clause */
/* sysfs.c - the little of /sys that programs ask for: processors, memory nodes, huge-page settings.
 */
#include "core/percpu.h"
#include "fs/pseudo.h"

#define SYSFS_MAGIC 0x62656572

/* "0-3" */
static int put_list(struct strbuf *sb, unsigned count)
{
    if (count > 1)
        strbuf_printf(sb, "0-%u\n", count - 1);
    else
        strbuf_printf(sb, "0\n");
    return 0;
}

/* A set of CPUs as Linux prints it: groups of 32 bits in hexadecimal, the highest first. */
static int put_mask(struct strbuf *sb, unsigned first, unsigned end)
{
    unsigned groups = (hal_cpu_count() + 31) / 32;
    for (unsigned g = groups; g-- > 0;) {
        uint32_t bits = 0;
        for (unsigned cpu = MAX(first, g * 32); cpu < MIN(end, (g + 1) * 32); cpu++)
            bits |= 1u << (cpu % 32);
        strbuf_printf(sb, groups > 1 ? "%08x%s" : "%x%s", bits, g ? "," : "\n");
    }
    return 0;
}

static int show_cpus(struct inode *inode, struct strbuf *sb)
{
    return put_list(sb, cpu_online_count());
}

static int show_possible(struct inode *inode, struct strbuf *sb)
{
    return put_list(sb, hal_cpu_count());
}

static int show_all_mask(struct inode *inode, struct strbuf *sb)
{
    return put_mask(sb, 0, cpu_online_count());
}

/* ---- cpuN: every virtual CPU is a core of one package ---- */

static int show_cpu_number(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "%u\n", (unsigned)inode->key[0]);
    return 0;
}

static int show_cpu_mask(struct inode *inode, struct strbuf *sb)
{
    return put_mask(sb, (unsigned)inode->key[0], (unsigned)inode->key[0] + 1);
}

static int show_cpu_online(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, inode->key[0] < cpu_online_count() ? "1\n" : "0\n");
    return 0;
}

#define FILE_ITEM(path_, show_, text_) \
    { \
        .path = (path_), .mode = S_IFREG | 0444, .show = (show_), .text = (text_) \
    }

static const struct pseudo_item cpu_items[] = {
    FILE_ITEM("online", show_cpu_online, NULL),
    FILE_ITEM("topology/core_id", show_cpu_number, NULL),
    FILE_ITEM("topology/physical_package_id", NULL, "0\n"),
    FILE_ITEM("topology/die_id", NULL, "0\n"),
    FILE_ITEM("topology/thread_siblings", show_cpu_mask, NULL),
    FILE_ITEM("topology/thread_siblings_list", show_cpu_number, NULL),
    FILE_ITEM("topology/core_cpus", show_cpu_mask, NULL),
    FILE_ITEM("topology/core_cpus_list", show_cpu_number, NULL),
    FILE_ITEM("topology/core_siblings", show_all_mask, NULL),
    FILE_ITEM("topology/core_siblings_list", show_cpus, NULL),
    FILE_ITEM("topology/package_cpus", show_all_mask, NULL),
    FILE_ITEM("topology/package_cpus_list", show_cpus, NULL),
};

#define DIR_ITEM(path_) \
    { \
        .path = (path_), .mode = S_IFDIR | 0555 \
    }

static const struct pseudo_item items[] = {
    FILE_ITEM("devices/system/cpu/online", show_cpus, NULL),
    FILE_ITEM("devices/system/cpu/possible", show_possible, NULL),
    FILE_ITEM("devices/system/cpu/present", show_possible, NULL),
    FILE_ITEM("devices/system/cpu/offline", NULL, "\n"),
    FILE_ITEM("devices/system/cpu/kernel_max", NULL, "255\n"),
    FILE_ITEM("devices/system/node/online", NULL, "0\n"),
    FILE_ITEM("devices/system/node/possible", NULL, "0\n"),
    FILE_ITEM("devices/system/node/has_cpu", NULL, "0\n"),
    FILE_ITEM("devices/system/node/has_memory", NULL, "0\n"),
    FILE_ITEM("devices/system/node/has_normal_memory", NULL, "0\n"),
    FILE_ITEM("devices/system/node/node0/cpulist", show_cpus, NULL),
    FILE_ITEM("devices/system/node/node0/cpumap", show_all_mask, NULL),
    FILE_ITEM("devices/system/node/node0/distance", NULL, "10\n"),
    DIR_ITEM("block"), /* no block devices: empty, not missing; net/netsys.c adds devices */
    DIR_ITEM("bus"),
    DIR_ITEM("class"),
    DIR_ITEM("dev/block"),
    DIR_ITEM("dev/char"),
    DIR_ITEM("fs/cgroup"),
    DIR_ITEM("module"),
    FILE_ITEM("kernel/mm/transparent_hugepage/enabled", NULL, "always [madvise] never\n"),
    FILE_ITEM("kernel/mm/transparent_hugepage/hpage_pmd_size", NULL, "2097152\n"),
    FILE_ITEM("kernel/mm/transparent_hugepage/shmem_enabled", NULL,
              "always within_size advise [never] deny force\n"),
};

struct super *sysfs_create(const char *source)
{
    struct super *super = super_create("sysfs", source, SYSFS_MAGIC, 0555);
    if (!super)
        return NULL;
    int err = pseudo_add(super, items, ARRAY_COUNT(items));
    for (unsigned cpu = 0; cpu < hal_cpu_count() && err == 0; cpu++) {
        char dir[48];
        snprintf(dir, sizeof(dir), "devices/system/cpu/cpu%u", cpu);
        err = pseudo_add_below(super, dir, cpu_items, ARRAY_COUNT(cpu_items), cpu);
    }
    if (!err)
        return super;
    super_discard(super);
    return NULL;
}
