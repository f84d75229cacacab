/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unix_name.c - names of AF_UNIX sockets: paths, abstract names, /proc/net/unix.
 *
 * One table has both kinds: abstract names by their bytes, paths by the inode that bind made. A
 * name in the table does not keep its socket alive: unix_unhash takes it out before the socket
 * goes, and who finds one takes a reference under the table's lock.
 */
#include "net/unix.h"

#include "core/random.h"
#include "fs/pseudo.h"
#include "fs/vfs.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/account.h"

#define BUCKETS 256u

static struct mutex table_lock;
static struct list buckets[BUCKETS];
static struct list all; /* every socket */

/* ---- addresses ---- */

int unix_check_name(const struct socket_name *name)
{
    if (name->len <= UNIX_PATH_OFFSET || name->len > UNIX_NAME_MAX || name->family != AF_UNIX)
        return -EINVAL;
    return 0;
}

static bool is_abstract(const struct socket_name *name)
{
    return name->bytes[UNIX_PATH_OFFSET] == 0;
}

void unix_name_put(struct unix_name *name)
{
    if (name && ref_put(&name->refs))
        owner_free(OWNER_SOCKET, name, sizeof(*name));
}

/* A path ends at its first NUL, which counts (unix(7)). */
static struct unix_name *name_alloc(const struct socket_name *from)
{
    struct unix_name *name = owner_alloc(OWNER_SOCKET, sizeof(*name));
    if (!name)
        return NULL;
    ref_init(&name->refs);
    memcpy(name->name.bytes, from->bytes, from->len); /* the rest is zero */
    name->name.len = from->len;
    if (!is_abstract(from)) {
        const char *path = (const char *)name->name.bytes + UNIX_PATH_OFFSET;
        name->name.len = UNIX_PATH_OFFSET + (unsigned)strlen(path) + 1;
    }
    return name;
}

static const char *path_of(const struct unix_name *name)
{
    return (const char *)name->name.bytes + UNIX_PATH_OFFSET;
}

/* ---- the table ---- */

static struct list *bucket_of_inode(const struct inode *inode)
{
    return &buckets[((uintptr_t)inode >> 6) % BUCKETS];
}

static struct list *bucket_of_name(const struct socket_name *name, int type)
{
    uint32_t hash = (uint32_t)type; /* FNV-1a */
    for (unsigned i = UNIX_PATH_OFFSET; i < name->len; i++)
        hash = (hash ^ name->bytes[i]) * 16777619u;
    return &buckets[hash % BUCKETS];
}

static bool same_name(const struct socket_name *a, const struct socket_name *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* By inode, or (NULL) by abstract name and type. */
static struct unix_sock *find_locked(const struct inode *inode, const struct socket_name *name,
                                     int type)
{
    struct list *bucket = inode ? bucket_of_inode(inode) : bucket_of_name(name, type);
    list_for_each (node, bucket) {
        struct unix_sock *u = list_entry(node, struct unix_sock, hash_link);
        if (inode ? u->inode == inode
                  : !u->inode && u->base.type == type && same_name(&u->name->name, name))
            return u;
    }
    return NULL;
}

static struct unix_sock *find_ref(const struct inode *inode, const struct socket_name *name,
                                  int type)
{
    mutex_lock(&table_lock);
    struct unix_sock *u = find_locked(inode, name, type);
    if (u)
        ref_get(&u->refs); /* it is in the table, so its own reference is there */
    mutex_unlock(&table_lock);
    return u;
}

static void publish(struct unix_sock *u, struct unix_name *name)
{
    __atomic_store_n(&u->name, name, __ATOMIC_RELEASE);
}

/* Takes over the name and the inode's reference. */
static void hash_path(struct unix_sock *u, struct unix_name *name, struct inode *inode)
{
    mutex_lock(&table_lock);
    u->inode = inode;
    list_push_back(bucket_of_inode(inode), &u->hash_link);
    publish(u, name);
    mutex_unlock(&table_lock);
}

/* Takes the name over, unless somebody has it: -EADDRINUSE. */
static int hash_abstract(struct unix_sock *u, struct unix_name *name)
{
    int err = 0;
    mutex_lock(&table_lock);
    if (find_locked(NULL, &name->name, u->base.type)) {
        err = -EADDRINUSE;
    } else {
        list_push_back(bucket_of_name(&name->name, u->base.type), &u->hash_link);
        publish(u, name);
    }
    mutex_unlock(&table_lock);
    return err;
}

void unix_unhash(struct unix_sock *u)
{
    mutex_lock(&table_lock);
    list_remove(&u->hash_link);
    struct inode *inode = u->inode;
    u->inode = NULL;
    mutex_unlock(&table_lock);
    inode_put(inode);
}

/* ---- bind ---- */

/* op_lock held: nothing but this call can give the socket a name. */
static int bind_path_locked(struct unix_sock *u, struct unix_name *name)
{
    struct fs_context *ctx = proc_fs_context(proc_current_pid());
    struct inode *inode = NULL;
    if (!ctx)
        return -ENOENT;
    int err = vfs_make_inode(ctx, NULL, path_of(name), S_IFSOCK | 0777, 0, &inode);
    fs_context_put(ctx);
    if (err)
        return err == -EEXIST ? -EADDRINUSE : err;
    hash_path(u, name, inode);
    return 0;
}

static int autobind_locked(struct unix_sock *u)
{
    struct socket_name text = {.len = UNIX_PATH_OFFSET + 6, .family = AF_UNIX};
    uint32_t number;
    int err = -ENOSPC;
    if (u->name)
        return 0;
    struct unix_name *name = name_alloc(&text);
    if (!name)
        return -ENOMEM;
    random_bytes(&number, sizeof(number));
    for (uint32_t tries = 0; tries <= 0xfffff; tries++, number++) {
        char digits[8];
        snprintf(digits, sizeof(digits), "%05x", number & 0xfffff);
        memcpy(name->name.bytes + UNIX_PATH_OFFSET + 1, digits, 5);
        err = hash_abstract(u, name);
        if (err == 0)
            return 0;
    }
    unix_name_put(name);
    return err == -EADDRINUSE ? -ENOSPC : err;
}

int unix_autobind(struct unix_sock *u)
{
    mutex_lock(&u->op_lock);
    int err = autobind_locked(u);
    mutex_unlock(&u->op_lock);
    return err;
}

static int bind_name(struct unix_sock *u, const struct socket_name *from)
{
    struct unix_name *name = name_alloc(from);
    if (!name)
        return -ENOMEM;
    mutex_lock(&u->op_lock);
    int err = u->name ? -EINVAL : 0;
    if (err == 0)
        err = is_abstract(from) ? hash_abstract(u, name) : bind_path_locked(u, name);
    mutex_unlock(&u->op_lock);
    if (err)
        unix_name_put(name);
    return err;
}

int unix_bind(struct socket *socket, const struct socket_name *name)
{
    struct unix_sock *u = unix_of(socket);
    if (name->len == UNIX_PATH_OFFSET && name->family == AF_UNIX) {
        if (unix_name(u))
            return -EINVAL;
        return unix_autobind(u);
    }
    int err = unix_check_name(name);
    return err ? err : bind_name(u, name);
}

/* ---- find ---- */

static int find_path(const struct socket_name *name, int type, struct unix_sock **out)
{
    char path[UNIX_NAME_MAX - UNIX_PATH_OFFSET + 1] = "";
    struct fs_context *ctx = proc_fs_context(proc_current_pid());
    struct dentry *dentry = NULL;
    struct unix_sock *u = NULL;
    if (!ctx)
        return -ENOENT;
    memcpy(path, name->bytes + UNIX_PATH_OFFSET, name->len - UNIX_PATH_OFFSET);
    int err = path_lookup(ctx, NULL, path, LOOKUP_FOLLOW, &dentry);
    fs_context_put(ctx);
    if (err)
        return err;
    err = inode_permission(proc_cred(), dentry->inode, MAY_WRITE);
    if (err == 0 && inode_is(dentry->inode, S_IFSOCK))
        u = find_ref(dentry->inode, NULL, 0);
    dentry_put(dentry);
    if (err)
        return err;
    if (!u)
        return -ECONNREFUSED;
    if (u->base.type != type) {
        unix_put(u);
        return -EPROTOTYPE;
    }
    *out = u;
    return 0;
}

int unix_find(const struct socket_name *name, int type, struct unix_sock **out)
{
    if (!is_abstract(name))
        return find_path(name, type, out);
    *out = find_ref(NULL, name, type);
    return *out ? 0 : -ECONNREFUSED;
}

/* ---- all of them ---- */

void unix_list_add(struct unix_sock *u)
{
    mutex_lock(&table_lock);
    list_push_back(&all, &u->all_link);
    mutex_unlock(&table_lock);
}

void unix_list_remove(struct unix_sock *u)
{
    mutex_lock(&table_lock);
    list_remove(&u->all_link);
    mutex_unlock(&table_lock);
}

/* What Linux shows as the state: SS_UNCONNECTED, SS_CONNECTING, SS_CONNECTED. */
static unsigned shown_state(const struct unix_sock *u)
{
    if (!__atomic_load_n(&u->base.file, __ATOMIC_RELAXED))
        return 2;
    return unix_state(u) == UNIX_CONNECTED ? 3 : 1;
}

static void show_socket(struct strbuf *sb, const struct unix_sock *u)
{
    const struct unix_name *name = unix_name(u);
    bool listening = unix_state(u) == UNIX_LISTENING;
    bool embryo = !__atomic_load_n(&u->base.file, __ATOMIC_RELAXED);
    strbuf_printf(sb, "%016x: %08X 00000000 %08X %04X %02X %5llu", 0, ref_read(&u->refs),
                  listening ? 0x10000u : 0, (unsigned)u->base.type, shown_state(u),
                  embryo ? 0ull : (unsigned long long)u->base.ino);
    if (name && !is_abstract(&name->name)) {
        strbuf_printf(sb, " %s", path_of(name));
    } else if (name) {
        strbuf_printf(sb, " ");
        for (unsigned i = UNIX_PATH_OFFSET; i < name->name.len; i++)
            strbuf_printf(sb, "%c", name->name.bytes[i] ? name->name.bytes[i] : '@');
    }
    strbuf_printf(sb, "\n");
}

static int show_all(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    mutex_lock(&table_lock);
    list_for_each (node, &all)
        show_socket(sb, list_entry(node, struct unix_sock, all_link));
    mutex_unlock(&table_lock);
    return 0;
}

int unix_proc_init(void)
{
    static const struct pseudo_item items[] = {
        {.path = "net/unix", .mode = S_IFREG | 0444, .show = show_all},
        {.path = "sys/net/unix/max_dgram_qlen", .mode = S_IFREG | 0444, .text = "10\n"},
    };
    STATIC_ASSERT(UNIX_DGRAM_QUEUE == 10);
    mutex_init(&table_lock, RANK_SOCK_TABLE);
    list_init(&all);
    for (unsigned i = 0; i < BUCKETS; i++)
        list_init(&buckets[i]);
    return socket_proc_add(items, ARRAY_COUNT(items));
}
