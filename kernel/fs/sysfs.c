/* SPDX-License-Identifier: BSD-3-Clause */
/* sysfs.c - the little of /sys that programs ask for: processor lists, huge-page settings. */
#include "core/percpu.h"
#include "fs/pseudo.h"

#define SYSFS_MAGIC 0x62656572

static int show_cpus(struct inode *inode, struct strbuf *sb)
{
    unsigned count = cpu_online_count();
    if (count > 1)
        strbuf_printf(sb, "0-%u\n", count - 1);
    else
        strbuf_printf(sb, "0\n");
    return 0;
}

static int show_possible(struct inode *inode, struct strbuf *sb)
{
    unsigned count = hal_cpu_count();
    if (count > 1)
        strbuf_printf(sb, "0-%u\n", count - 1);
    else
        strbuf_printf(sb, "0\n");
    return 0;
}

#define FILE_ITEM(path_, show_, text_) \
    { \
        .path = (path_), .mode = S_IFREG | 0444, .show = (show_), .text = (text_) \
    }

static const struct pseudo_item items[] = {
    FILE_ITEM("devices/system/cpu/online", show_cpus, NULL),
    FILE_ITEM("devices/system/cpu/possible", show_possible, NULL),
    FILE_ITEM("devices/system/cpu/present", show_possible, NULL),
    FILE_ITEM("devices/system/cpu/offline", NULL, "\n"),
    FILE_ITEM("devices/system/cpu/kernel_max", NULL, "255\n"),
    FILE_ITEM("devices/system/node/online", NULL, "0\n"),
    FILE_ITEM("devices/system/node/possible", NULL, "0\n"),
    FILE_ITEM("devices/system/node/node0/cpulist", show_possible, NULL),
    FILE_ITEM("kernel/mm/transparent_hugepage/enabled", NULL, "always madvise [never]\n"),
    FILE_ITEM("kernel/mm/transparent_hugepage/hpage_pmd_size", NULL, "2097152\n"),
    FILE_ITEM("kernel/mm/transparent_hugepage/shmem_enabled", NULL,
              "always within_size advise [never] deny force\n"),
};

int sysfs_mount(struct dentry *where)
{
    struct super *super = super_create("sysfs", "sysfs", SYSFS_MAGIC, 0555);
    if (!super)
        return -ENOMEM; /* boot fails */
    int err = pseudo_add(super, items, ARRAY_COUNT(items));
    return err ? err : super_mount(super, where);
}
