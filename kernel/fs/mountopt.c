/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mountopt.c - which file systems mount(2) knows, what they are told, and what /proc/self/mounts
 * and mountinfo say of them.
 *
 * Options are those of Linux's tmpfs(5), hugetlbfs, proc(5) and so on. What has no meaning here
 * (huge=, mpol=, hidepid=) is accepted; what a type does not know is EINVAL (ramfs, as on Linux,
 * ignores it).
 */
#include "fs/vfs.h"

#include "lib/format.h"
#include "lib/string.h"
#include "mm/hugetlb.h"
#include "mm/kmalloc.h"

#define RAMFS_MAGIC 0x858458f6

enum { TYPE_TMPFS = 1, TYPE_RAMFS = 2, TYPE_HUGE = 4, TYPE_PROC = 8, TYPE_SYS = 16, TYPE_DEV = 32 };

static const struct {
    const char *name;
    unsigned type;
} types[] = {{"tmpfs", TYPE_TMPFS}, {"ramfs", TYPE_RAMFS}, {"hugetlbfs", TYPE_HUGE},
             {"proc", TYPE_PROC},   {"sysfs", TYPE_SYS},   {"devtmpfs", TYPE_DEV}};

static unsigned type_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    return 0;
}

/* ---- options ---- */

static const struct {
    const char *name;
    unsigned types;
} option_names[] = {
    {"size=", TYPE_TMPFS | TYPE_HUGE | TYPE_DEV},
    {"nr_blocks=", TYPE_TMPFS | TYPE_DEV},
    {"nr_inodes=", TYPE_TMPFS | TYPE_HUGE | TYPE_DEV},
    {"min_size=", TYPE_HUGE},
    {"pagesize=", TYPE_HUGE},
    {"mode=", TYPE_TMPFS | TYPE_RAMFS | TYPE_HUGE | TYPE_DEV},
    {"uid=", TYPE_TMPFS | TYPE_HUGE | TYPE_DEV},
    {"gid=", TYPE_TMPFS | TYPE_HUGE | TYPE_DEV | TYPE_PROC},
    {"huge=", TYPE_TMPFS | TYPE_DEV},
    {"mpol=", TYPE_TMPFS | TYPE_DEV},
    {"hidepid=", TYPE_PROC},
    {"subset=", TYPE_PROC},
    {"inode32", TYPE_TMPFS | TYPE_DEV},
    {"inode64", TYPE_TMPFS | TYPE_DEV},
};
enum { O_SIZE, O_BLOCKS, O_INODES, O_MIN_SIZE, O_PAGESIZE, O_MODE, O_UID, O_GID, O_IGNORED };

/* A number with k, m, g, t or p behind it (memparse), or with %: of `whole`. */
static int parse_amount(const char *text, uint64_t whole, uint64_t *out)
{
    static const char units[] = "kmgtp";
    const char *end;
    int err = str_to_u64(text, &end, out);
    if (err || !*end)
        return err;
    if (*end == '%' && whole && !end[1]) {
        *out = *out > 1000 ? UINT64_MAX : whole / 100 * *out + whole % 100 * *out / 100;
        return 0;
    }
    const char *unit = strchr(units, *end | 0x20);
    if (!unit || end[1])
        return -EINVAL;
    unsigned shift = 10 * (unsigned)(unit - units + 1);
    if (*out > UINT64_MAX >> shift)
        return -EINVAL;
    *out <<= shift;
    return 0;
}

static int parse_id(const char *text, uint32_t *out)
{
    uint64_t value;
    int err = str_to_u64(text, NULL, &value);
    *out = err ? 0 : (uint32_t)value;
    return err || value >= UINT32_MAX ? -EINVAL : 0;
}

static int parse_mode(const char *text, uint32_t *out)
{
    uint32_t mode = 0;
    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '7' || mode > 0777777)
            return -EINVAL;
        mode = mode * 8 + (uint32_t)(*text - '0');
    }
    *out = mode & 07777;
    return 0;
}

static int parse_pagesize(const char *text, uint8_t *shift)
{
    uint64_t size;
    int err = parse_amount(text, 0, &size);
    if (err || (size != 1ull << HUGETLB_SHIFT && size != 1ull << HUGETLB_SHIFT_1G))
        return -EINVAL;
    *shift = size == 1ull << HUGETLB_SHIFT ? HUGETLB_SHIFT : HUGETLB_SHIFT_1G;
    return 0;
}

/* What size= may be a percentage of (Linux: of all memory; of the pool). */
static uint64_t whole_of(unsigned type)
{
    struct hugetlb_stats pool;
    if (type != TYPE_HUGE)
        return page_total_count() << PAGE_SHIFT;
    hugetlb_get_stats(&pool);
    return pool.total << HUGETLB_SHIFT;
}

/* A limit: tmpfs has none if 0 is said. */
static int parse_limit(const char *text, uint64_t whole, unsigned type, uint64_t *out)
{
    int err = parse_amount(text, whole, out);
    if (!err && *out == 0 && type == TYPE_TMPFS)
        *out = SUPER_NO_LIMIT;
    return err;
}

static int parse_value(unsigned option, const char *text, unsigned type, struct super_options *o)
{
    int err;
    switch (option) {
    case O_SIZE:
        err = parse_limit(text, whole_of(type), type, &o->size);
        if (!err && type == TYPE_TMPFS && o->size <= INT64_MAX)
            o->size = align_up(o->size, PAGE_SIZE);
        return err;
    case O_MIN_SIZE:
        return parse_amount(text, whole_of(type), &o->min_size);
    case O_BLOCKS:
        err = parse_limit(text, 0, type, &o->size);
        o->size = o->size > UINT64_MAX >> PAGE_SHIFT ? SUPER_NO_LIMIT : o->size << PAGE_SHIFT;
        return err;
    case O_INODES:
        return parse_limit(text, 0, type, &o->inodes);
    case O_PAGESIZE:
        return parse_pagesize(text, &o->huge_shift);
    case O_MODE:
        return parse_mode(text, &o->mode);
    case O_UID:
        return parse_id(text, &o->uid);
    case O_GID:
        return type == TYPE_PROC ? 0 : parse_id(text, &o->gid);
    default:
        return 0;
    }
}

static int parse_option(const char *text, unsigned type, struct super_options *o)
{
    for (unsigned i = 0; i < ARRAY_COUNT(option_names); i++) {
        size_t len = strlen(option_names[i].name);
        bool same = strncmp(text, option_names[i].name, len) == 0 &&
                    (option_names[i].name[len - 1] == '=' || !text[len]);
        if (same && (option_names[i].types & type))
            return parse_value(i, text + len, type, o);
    }
    return type == TYPE_RAMFS ? 0 : -EINVAL;
}

int super_parse(const char *type, const char *data, struct super_options *options)
{
    char *text = kstrdup(data ? data : "", ALLOC_DEFAULT), *next;
    int err = text ? 0 : -ENOMEM;
    for (char *at = text; !err && at; at = next) {
        next = strchr(at, ',');
        if (next)
            *next++ = '\0';
        if (*at)
            err = parse_option(at, type_of(type), options);
    }
    kfree(text);
    return err;
}

/* ---- making them ---- */

int super_resize(struct super *super, uint64_t size)
{
    unsigned shift = super->huge_shift ? super->huge_shift : PAGE_SHIFT;
    uint64_t units = size == SUPER_NO_LIMIT ? size : size >> shift, old = super->quota.max;
    if (!old)
        return 0; /* the first file system: it has no limit, whatever is said */
    if (!super->huge_shift && old == SUPER_NO_LIMIT && units != old)
        return -EINVAL; /* as on Linux: a limit does not come afterwards */
    if (!units || units < __atomic_load_n(&super->quota.used, __ATOMIC_RELAXED))
        return -EINVAL;
    __atomic_store_n(&super->quota.max, units, __ATOMIC_RELAXED);
    super->options.size = size;
    return 0;
}

static int make_memory(unsigned type, const char *source, const struct super_options *o,
                       struct super **out)
{
    struct super *super;
    *out = super = ramfs_create(type == TYPE_RAMFS ? "ramfs" : "tmpfs", source, o->mode);
    if (!super)
        return -ENOMEM;
    if (type == TYPE_RAMFS) {
        super->magic = RAMFS_MAGIC;
        return 0;
    }
    super->quota.max = MAX(page_total_count() / 2, (uint64_t)1); /* tmpfs(5) */
    if (!o->size || super_resize(super, o->size) == 0)
        return 0;
    super_discard(super);
    return -EINVAL;
}

static int make_kind(unsigned type, const char *source, const struct super_options *o,
                     struct super **out)
{
    switch (type) {
    case TYPE_HUGE:
        return hugetlbfs_make(source, o, out);
    case TYPE_PROC:
        *out = procfs_create(source);
        break;
    case TYPE_SYS:
        *out = sysfs_create(source);
        break;
    case TYPE_DEV:
        *out = devfs_create(source);
        break;
    default:
        return make_memory(type, source, o, out);
    }
    return *out ? 0 : -ENOMEM;
}

int super_make(const char *type_name, const char *source, const char *data, struct super **out)
{
    unsigned type = type_of(type_name);
    struct super_options options = {.mode = type == TYPE_TMPFS ? 01777 : 0755,
                                    .huge_shift = HUGETLB_SHIFT};
    int err = type ? super_parse(type_name, data, &options) : -ENODEV;
    if (err)
        return err;
    char *own = kstrdup(source && *source ? source : "none", ALLOC_DEFAULT);
    if (!own)
        return -ENOMEM;
    err = make_kind(type, own, &options, out);
    if (err) {
        kfree(own);
        return err;
    }
    (*out)->own_source = own;
    (*out)->options = options;
    if (type & (TYPE_TMPFS | TYPE_HUGE)) {
        (*out)->root->inode->uid = options.uid;
        (*out)->root->inode->gid = options.gid;
    }
    return 0;
}

/* ---- /proc/self/mounts, mountinfo ---- */

static void put_escaped(struct strbuf *sb, const char *text)
{
    for (; *text; text++)
        if (strchr(" \t\n\\#", *text))
            strbuf_printf(sb, "\\%03o", (unsigned)(uint8_t)*text);
        else
            strbuf_append(sb, text, 1);
}

static void put_flags(struct strbuf *sb, uint32_t flags)
{
    static const struct {
        uint32_t flag;
        const char *text;
    } names[] = {{MS_NOSUID, ",nosuid"},   {MS_NODEV, ",nodev"},
                 {MS_NOEXEC, ",noexec"},   {MS_NOSYMFOLLOW, ",nosymfollow"},
                 {MS_NOATIME, ",noatime"}, {MS_NODIRATIME, ",nodiratime"}};
    strbuf_printf(sb, "%s", flags & MS_RDONLY ? "ro" : "rw");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (flags & names[i].flag)
            strbuf_printf(sb, "%s", names[i].text);
    if (!(flags & (MS_NOATIME | MS_STRICTATIME)))
        strbuf_printf(sb, ",relatime");
}

static uint64_t limit_shown(uint64_t limit)
{
    return limit == SUPER_NO_LIMIT ? 0 : limit;
}

static void put_options(struct strbuf *sb, const struct super *super)
{
    const struct super_options *o = &super->options;
    uint32_t plain = super->magic == RAMFS_MAGIC || super->huge_shift ? 0755 : 01777;
    if (o->size && !super->huge_shift)
        strbuf_printf(sb, ",size=%lluk", (unsigned long long)limit_shown(o->size) >> 10);
    if (o->inodes)
        strbuf_printf(sb, ",nr_inodes=%llu", (unsigned long long)limit_shown(o->inodes));
    if (o->mode && o->mode != plain)
        strbuf_printf(sb, ",mode=%03o", o->mode);
    if (o->uid)
        strbuf_printf(sb, ",uid=%u", o->uid);
    if (o->gid)
        strbuf_printf(sb, ",gid=%u", o->gid);
    if (!super->huge_shift)
        return;
    strbuf_printf(sb, ",pagesize=%s", super->huge_shift == HUGETLB_SHIFT ? "2M" : "1024M");
    if (o->size)
        strbuf_printf(sb, ",size=%llu", (unsigned long long)o->size);
    if (o->min_size)
        strbuf_printf(sb, ",min_size=%llu", (unsigned long long)o->min_size);
}

static void put_mount(struct strbuf *sb, const struct super *super, const char *path, bool info)
{
    if (info) {
        unsigned parent = super->covered ? super->covered->inode->super->mount_id : 1;
        strbuf_printf(sb, "%u %u %u:%u / ", super->mount_id, parent, fs_major(super->dev),
                      fs_minor(super->dev));
        put_escaped(sb, path);
        strbuf_printf(sb, " ");
        put_flags(sb, super->flags);
        strbuf_printf(sb, " - %s ", super->type);
        put_escaped(sb, super->source);
        strbuf_printf(sb, " %s", super->flags & MS_RDONLY ? "ro" : "rw");
        put_options(sb, super);
        strbuf_printf(sb, "\n");
        return;
    }
    put_escaped(sb, super->source);
    strbuf_printf(sb, " ");
    put_escaped(sb, path);
    strbuf_printf(sb, " %s ", super->type);
    put_flags(sb, super->flags);
    put_options(sb, super);
    strbuf_printf(sb, " 0 0\n");
}

int mounts_show(struct strbuf *sb, bool info)
{
    char *path = kmalloc(PATH_MAX, ALLOC_DEFAULT);
    if (!path)
        return -ENOMEM;
    rwlock_read_lock(&vfs_tree);
    list_for_each (node, &vfs_supers) {
        const struct super *super = list_entry(node, struct super, link);
        if (dentry_path(super->root, NULL, path, PATH_MAX) >= 0)
            put_mount(sb, super, path, info);
    }
    rwlock_read_unlock(&vfs_tree);
    kfree(path);
    return 0;
}
