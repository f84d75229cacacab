/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * socket.c - the common part of sockets: families, the file in front, calls.
 *
 * The calls check what is the same for every family; the rest is the family's. Nothing here takes a
 * lock.
 */
#include "net/socket.h"

#include "core/assert.h"
#include "fs/pollwait.h"
#include "fs/pseudo.h"
#include "lib/string.h"
#include "mm/usercopy.h"
#include "sched/timer.h"

struct socket_limits socket_limits = {SOMAXCONN, SOCKET_BUFFER_MAX, SOCKET_BUFFER_MAX};

static const struct socket_family *families[AF_MAX]; /* set at boot */

void socket_family_register(const struct socket_family *family)
{
    ASSERT(family->family > 0 && family->family < AF_MAX && !families[family->family]);
    families[family->family] = family;
}

void socket_cred_current(struct socket_cred *out)
{
    const struct fs_cred *cred = proc_cred();
    *out = (struct socket_cred){proc_current_pid(), cred->euid, cred->egid};
}

void socket_init(struct socket *socket, const struct socket_ops *ops, int family, int type,
                 int protocol)
{
    static uint64_t last_ino; /* atomic */
    socket->ops = ops;
    socket->family = family;
    socket->type = type;
    socket->protocol = protocol;
    socket->ino = __atomic_add_fetch(&last_ino, 1, __ATOMIC_RELAXED) + 10000;
    socket->time_ns = clock_wall_ns();
    waitq_init(&socket->wait);
    socket->send_buffer = socket->receive_buffer = SOCKET_BUFFER_MAX;
    socket->receive_low = 1;
    socket->send_timeout_ns = socket->receive_timeout_ns = UINT64_MAX;
    socket->linger_s = -1;
}

int socket_create(int family, int type, int protocol, struct socket **out)
{
    if (family < 0 || family >= AF_MAX)
        return -EAFNOSUPPORT;
    if (type < 0 || type >= SOCK_MAX)
        return -EINVAL;
    if (!families[family])
        return -EAFNOSUPPORT;
    return families[family]->create(type, protocol, out);
}

int socket_pair(int family, int type, int protocol, struct socket *out[2])
{
    int err = socket_create(family, type, protocol, &out[0]);
    if (err)
        return err;
    err = socket_create(family, type, protocol, &out[1]);
    if (err) {
        out[0]->ops->release(out[0]);
        return err;
    }
    err = out[0]->ops->pair ? out[0]->ops->pair(out[0], out[1]) : -EOPNOTSUPP;
    if (err) {
        out[0]->ops->release(out[0]);
        out[1]->ops->release(out[1]);
    }
    return err;
}

int socket_bind(struct socket *socket, const struct socket_name *name)
{
    return socket->ops->bind ? socket->ops->bind(socket, name) : -EOPNOTSUPP;
}

int socket_listen(struct socket *socket, int backlog)
{
    /* A negative one is a large one (Linux: __sys_listen). */
    unsigned limit =
        MIN((unsigned)backlog, __atomic_load_n(&socket_limits.backlog, __ATOMIC_RELAXED));
    return socket->ops->listen ? socket->ops->listen(socket, limit) : -EOPNOTSUPP;
}

int socket_connect(struct socket *socket, const struct socket_name *name, bool nonblock)
{
    return socket->ops->connect ? socket->ops->connect(socket, name, nonblock) : -EOPNOTSUPP;
}

int socket_accept(struct socket *socket, bool nonblock, struct socket **out)
{
    return socket->ops->accept ? socket->ops->accept(socket, nonblock, out) : -EOPNOTSUPP;
}

int socket_get_name(struct socket *socket, bool peer, struct socket_name *out)
{
    return socket->ops->get_name(socket, peer, out);
}

int socket_shutdown(struct socket *socket, int how)
{
    if (how < SHUT_RD || how > SHUT_RDWR)
        return -EINVAL;
    return socket->ops->shutdown ? socket->ops->shutdown(socket, (unsigned)how + 1) : -EOPNOTSUPP;
}

long (*socket_zerocopy_send)(struct socket *socket, struct socket_msg *msg);

long socket_send(struct socket *socket, struct socket_msg *msg)
{
    /* An empty datagram completes, too, as on Linux. */
    if (msg->flags & MSG_ZEROCOPY && (msg->data->left || socket->type == SOCK_DGRAM) &&
        socket_zerocopy_send && __atomic_load_n(&socket->zerocopy, __ATOMIC_RELAXED))
        return socket_zerocopy_send(socket, msg);
    return socket->ops->send(socket, msg);
}

long socket_recv(struct socket *socket, struct socket_msg *msg)
{
    return socket->ops->recv(socket, msg);
}

/* ---- waiting ---- */

uint64_t socket_deadline(const uint64_t *timeout_ns, bool nonblock)
{
    uint64_t timeout = __atomic_load_n(timeout_ns, __ATOMIC_RELAXED), sum;
    if (nonblock || timeout == 0)
        return 0;
    if (timeout == UINT64_MAX)
        return UINT64_MAX;
    return add_overflow(clock_mono_ns(), timeout, &sum) || sum > INT64_MAX ? UINT64_MAX : sum;
}

int socket_wait(struct waitq *queue, bool (*cond)(void *arg), void *arg, uint64_t deadline_ns)
{
    if (deadline_ns == 0)
        return -EAGAIN;
    int err = fs_wait(queue, cond, arg, deadline_ns);
    if (err == -ETIMEDOUT)
        return -EAGAIN;
    return err == -ERESTARTSYS && deadline_ns != UINT64_MAX ? -EINTR : err;
}

/* ---- the file ---- */

static struct socket_msg plain_msg(struct file *file, struct iov_iter *data)
{
    return (struct socket_msg){
        .data = data,
        .flags = file_flags(file) & O_NONBLOCK ? MSG_DONTWAIT : 0,
    };
}

static long socket_file_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    struct socket_msg msg = plain_msg(file, to);
    if (to->left == 0) /* Linux: sock_read_iter; recv(2) goes on */
        return 0;
    return socket_recv(file->private_data, &msg);
}

static long socket_file_write(struct file *file, struct iov_iter *from, off64_t *pos)
{
    struct socket_msg msg = plain_msg(file, from);
    return socket_send(file->private_data, &msg);
}

static uint32_t socket_file_poll(struct file *file, struct poll_table *table)
{
    struct socket *socket = file->private_data;
    return socket->ops->poll(socket, table);
}

long (*socket_device_ioctl)(struct socket *socket, unsigned cmd, uintptr_t arg);

static long socket_file_ioctl(struct file *file, unsigned cmd, uintptr_t arg)
{
    struct socket *socket = file->private_data;
    long err = socket->ops->ioctl ? socket->ops->ioctl(socket, cmd, arg) : -ENOTTY;
    return err == -ENOTTY && socket_device_ioctl ? socket_device_ioctl(socket, cmd, arg) : err;
}

static int socket_file_mmap(struct file *file, unsigned prot, unsigned flags,
                            struct vm_object **object)
{
    struct socket *socket = file->private_data;
    (void)prot, (void)flags;
    return socket->ops->mmap ? socket->ops->mmap(socket, object) : -ENODEV;
}

static int socket_file_stat(struct file *file, struct kstat *out)
{
    const struct socket *socket = file->private_data;
    *out = (struct kstat){
        .ino = socket->ino,
        .dev = fs_makedev(0, 8),
        .mode = S_IFSOCK | 0777,
        .nlink = 1,
        .uid = socket->owner_uid,
        .gid = socket->owner_gid,
        .blksize = PAGE_SIZE,
        .atime_ns = socket->time_ns,
        .mtime_ns = socket->time_ns,
        .ctime_ns = socket->time_ns,
        .btime_ns = socket->time_ns,
    };
    return 0;
}

static unsigned open_count; /* atomic */

unsigned socket_count(void)
{
    return __atomic_load_n(&open_count, __ATOMIC_RELAXED);
}

static void socket_file_release(struct file *file)
{
    __atomic_fetch_sub(&open_count, 1, __ATOMIC_RELAXED);
    struct socket *socket = file->private_data;
    socket->ops->release(socket);
}

static const struct file_ops socket_file_ops = {
    .name = "socket",
    .read = socket_file_read,
    .write = socket_file_write,
    .poll = socket_file_poll,
    .ioctl = socket_file_ioctl,
    .mmap = socket_file_mmap,
    .stat = socket_file_stat,
    .release = socket_file_release,
    .nameless = true,
    .async = true,
};

static struct file *file_without_socket(uint32_t flags)
{
    return file_alloc(&socket_file_ops, O_RDWR | (flags & O_NONBLOCK), NULL);
}

static void join(struct file *file, struct socket *socket)
{
    file->private_data = socket;
    __atomic_fetch_add(&open_count, 1, __ATOMIC_RELAXED);
    socket->owner_uid = proc_cred()->fsuid;
    socket->owner_gid = proc_cred()->fsgid;
    /* Release: the search for lost files sees a file that is complete. */
    __atomic_store_n(&socket->file, file, __ATOMIC_RELEASE);
}

int socket_file(struct socket *socket, uint32_t flags, struct file **out)
{
    *out = file_without_socket(flags);
    if (!*out) {
        socket->ops->release(socket);
        return -ENOMEM;
    }
    join(*out, socket);
    return 0;
}

int socket_accept_file(struct socket *listener, bool nonblock, uint32_t flags, struct file **out)
{
    struct socket *socket;
    *out = file_without_socket(flags);
    if (!*out)
        return -ENOMEM;
    int err = socket_accept(listener, nonblock, &socket);
    if (err)
        file_free(*out);
    else
        join(*out, socket);
    return err;
}

struct socket *socket_of_file(const struct file *file)
{
    return file->ops == &socket_file_ops ? file->private_data : NULL;
}

/* ---- boot ---- */

int socket_proc_add(const struct pseudo_item *items, size_t count)
{
    list_for_each (node, &vfs_supers) {
        struct super *super = list_entry(node, struct super, link);
        if (strcmp(super->type, "proc") == 0)
            return pseudo_add(super, items, count);
    }
    return -ENOENT;
}
