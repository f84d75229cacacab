/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sys_socket.c - the socket calls: addresses and messages between user memory and net/socket.h. No
 * address family is known here.
 */
#include "linux/sys_file.h"
#include "mm/kmalloc.h"
#include "net/socket.h"
#include "sched/timer.h"

/* accept4 and socket: equal to O_NONBLOCK and O_CLOEXEC on every architecture. */
#define SOCK_FLAGS ((uint64_t)(O_NONBLOCK | O_CLOEXEC))

/* ---- helpers ---- */

/* The socket of a descriptor; *file has a reference. NULL and *err: EBADF, ENOTSOCK. */
static struct socket *socket_arg(uint64_t fd, struct file **file, long *err)
{
    *err = -EBADF;
    *file = file_arg_io(fd);
    if (!*file)
        return NULL;
    struct socket *socket = socket_of_file(*file);
    if (!socket) {
        *err = -ENOTSOCK;
        file_put(*file);
    }
    return socket;
}

typedef long (*socket_fn)(struct socket *socket, struct file *file, const struct syscall_args *a);

/* A call on the socket that its first argument names. */
static long on_socket(const struct syscall_args *a, socket_fn fn)
{
    struct file *file;
    long result;
    struct socket *socket = socket_arg(a->arg[0], &file, &result);
    if (!socket)
        return result;
    result = fn(socket, file, a);
    file_put(file);
    return result;
}

static bool nonblocking(const struct file *file)
{
    return file_flags(file) & O_NONBLOCK;
}

static int get_name(uint64_t addr, uint64_t len, struct socket_name *name)
{
    if ((int)len < 0 || (int)len > SOCKET_NAME_MAX)
        return -EINVAL;
    *name = (struct socket_name){.len = (unsigned)len};
    return copyin(name->bytes, uaddr(addr), (unsigned)len);
}

/* To the room of *len_addr bytes at addr; *len_addr becomes the true length. */
static int put_name(const struct socket_name *name, uint64_t addr, uint64_t len_addr)
{
    int room, len = (int)name->len;
    int err = copyin(&room, uaddr(len_addr), sizeof(room));
    if (err)
        return err;
    if (room < 0)
        return -EINVAL;
    err = copyout(uaddr(addr), name->bytes, (size_t)MIN(room, len));
    return err ? err : copyout(uaddr(len_addr), &len, sizeof(len));
}

/* ---- making ---- */

static long install_socket(struct socket *socket, uint64_t flags)
{
    struct file *file;
    int err = socket_file(socket, (uint32_t)flags & O_NONBLOCK, &file);
    return err ? err : install_file(file, flags & O_CLOEXEC);
}

static int check_type(uint64_t type)
{
    return (uint32_t)type & ~(uint32_t)(SOCK_FLAGS | SOCK_TYPE_MASK) ? -EINVAL : 0;
}

long sys_socket(const struct syscall_args *a)
{
    struct socket *socket;
    int err = check_type(a->arg[1]);
    if (err)
        return err;
    err = socket_create((int)a->arg[0], (int)a->arg[1] & SOCK_TYPE_MASK, (int)a->arg[2], &socket);
    return err ? err : install_socket(socket, a->arg[1]);
}

/* Both numbers are taken before anything else, so that nothing is half done. */
static long fill_pair(struct socket *pair[2], uint64_t flags, const int fd[2])
{
    struct file *file[2];
    int err = socket_file(pair[0], (uint32_t)flags, &file[0]);
    if (err) {
        pair[1]->ops->release(pair[1]);
        return err;
    }
    err = socket_file(pair[1], (uint32_t)flags, &file[1]);
    if (err) {
        file_put(file[0]);
        return err;
    }
    for (int i = 0; i < 2; i++)
        fd_fill(current_files(), fd[i], file[i], flags & O_CLOEXEC);
    return 0;
}

static long make_pair(const struct syscall_args *a, const int fd[2])
{
    struct socket *pair[2];
    long err = copyout(uaddr(a->arg[3]), fd, 2 * sizeof(int));
    if (err == 0)
        err = socket_pair((int)a->arg[0], (int)a->arg[1] & SOCK_TYPE_MASK, (int)a->arg[2], pair);
    return err ? err : fill_pair(pair, a->arg[1], fd);
}

rarely long sys_socketpair(const struct syscall_args *a)
{
    int fd[2];
    long err = check_type(a->arg[1]);
    if (err)
        return err;
    fd[0] = fd_reserve(current_files());
    if (fd[0] < 0)
        return fd[0];
    fd[1] = fd_reserve(current_files());
    err = fd[1] < 0 ? fd[1] : make_pair(a, fd);
    if (err) {
        fd_unreserve(current_files(), fd[0]);
        if (fd[1] >= 0)
            fd_unreserve(current_files(), fd[1]);
    }
    return err;
}

/* ---- names and connections ---- */

static long bind_on(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    struct socket_name name;
    int err = get_name(a->arg[1], a->arg[2], &name);
    (void)file;
    return err ? err : socket_bind(socket, &name);
}

long sys_bind(const struct syscall_args *a)
{
    return on_socket(a, bind_on);
}

static long connect_on(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    struct socket_name name;
    int err = get_name(a->arg[1], a->arg[2], &name);
    return err ? err : socket_connect(socket, &name, nonblocking(file));
}

long sys_connect(const struct syscall_args *a)
{
    return on_socket(a, connect_on);
}

static long listen_on(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    (void)file;
    return socket_listen(socket, (int)a->arg[1]);
}

long sys_listen(const struct syscall_args *a)
{
    return on_socket(a, listen_on);
}

static long shutdown_on(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    (void)file;
    return socket_shutdown(socket, (int)a->arg[1]);
}

long sys_shutdown(const struct syscall_args *a)
{
    return on_socket(a, shutdown_on);
}

static long tell_name(struct socket *socket, bool peer, const struct syscall_args *a)
{
    struct socket_name name;
    int err = socket_get_name(socket, peer, &name);
    return err ? err : put_name(&name, a->arg[1], a->arg[2]);
}

static long own_name(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    (void)file;
    return tell_name(socket, false, a);
}

long sys_getsockname(const struct syscall_args *a)
{
    return on_socket(a, own_name);
}

static long peer_name(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    (void)file;
    return tell_name(socket, true, a);
}

long sys_getpeername(const struct syscall_args *a)
{
    return on_socket(a, peer_name);
}

/* A connection's file, its peer's name told to the program. */
static int accept_file(struct socket *listener, bool nonblock, const struct syscall_args *a,
                       uint64_t flags, struct file **out)
{
    struct socket_name name;
    int err = socket_accept_file(listener, nonblock, (uint32_t)flags, out);
    if (err || !a->arg[1])
        return err;
    err = socket_get_name(socket_of_file(*out), true, &name);
    if (err) /* it has gone already */
        err = -ECONNABORTED;
    else
        err = put_name(&name, a->arg[1], a->arg[2]);
    if (err)
        file_put(*out);
    return err;
}

static long do_accept(const struct syscall_args *a, uint64_t flags)
{
    struct file *file, *fresh;
    long err;
    if (flags & ~SOCK_FLAGS)
        return -EINVAL;
    struct socket *socket = socket_arg(a->arg[0], &file, &err);
    if (!socket)
        return err;
    int fd = fd_reserve(current_files()); /* first: no connection is lost for want of a number */
    if (fd >= 0) {
        err = accept_file(socket, nonblocking(file), a, flags, &fresh);
        if (err == 0)
            fd_fill(current_files(), fd, fresh, flags & O_CLOEXEC);
        else
            fd_unreserve(current_files(), fd);
    }
    file_put(file);
    return fd < 0 ? fd : err ? err : fd;
}

long sys_accept(const struct syscall_args *a)
{
    return do_accept(a, 0);
}

long sys_accept4(const struct syscall_args *a)
{
    return do_accept(a, (uint32_t)a->arg[3]);
}

/* ---- options ---- */

static long option_set(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    (void)file;
    return socket_set_option(socket, (int)a->arg[1], (int)a->arg[2], uaddr(a->arg[3]),
                             (int)a->arg[4]);
}

long sys_setsockopt(const struct syscall_args *a)
{
    return on_socket(a, option_set);
}

static long option_get(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    (void)file;
    return socket_get_option(socket, (int)a->arg[1], (int)a->arg[2], uaddr(a->arg[3]),
                             uaddr(a->arg[4]));
}

long sys_getsockopt(const struct syscall_args *a)
{
    return on_socket(a, option_get);
}

/* ---- one buffer ---- */

static long send_msg(struct file *file, struct socket *socket, struct socket_msg *msg)
{
    long n = socket_send(socket, msg);
    return msg->flags & MSG_NOSIGNAL ? n : write_result(file, n);
}

static long send_on(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    struct socket_name name;
    struct iov one;
    struct iov_iter it;
    int err = 0;
    iov_iter_init_user(&it, &one, uaddr(a->arg[1]), MIN(a->arg[2], SOCKET_IO_MAX));
    struct socket_msg msg = {.data = &it, .flags = (uint32_t)a->arg[3]};
    if (nonblocking(file))
        msg.flags |= MSG_DONTWAIT;
    if (a->arg[4] && (int)a->arg[5] != 0) {
        err = get_name(a->arg[4], a->arg[5], &name);
        msg.name = &name;
    }
    return err ? err : send_msg(file, socket, &msg);
}

long sys_sendto(const struct syscall_args *a)
{
    return on_socket(a, send_on);
}

static long recv_on(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    struct socket_name name;
    struct iov one;
    struct iov_iter it;
    iov_iter_init_user(&it, &one, uaddr(a->arg[1]), MIN(a->arg[2], SOCKET_IO_MAX));
    struct socket_msg msg = {.data = &it, .flags = (uint32_t)a->arg[3]};
    if (nonblocking(file))
        msg.flags |= MSG_DONTWAIT;
    name.len = 0;
    if (a->arg[4])
        msg.name = &name;
    long n = socket_recv(socket, &msg);
    int err = n >= 0 && a->arg[4] ? put_name(&name, a->arg[4], a->arg[5]) : 0;
    return err ? err : n;
}

long sys_recvfrom(const struct syscall_args *a)
{
    return on_socket(a, recv_on);
}

/* ---- msghdr ---- */

struct user_msghdr { /* struct msghdr of user code */
    uint64_t name;
    int32_t name_len, pad;
    uint64_t iov, iov_count;
    uint64_t control, control_len;
    uint32_t flags, pad2;
};
STATIC_ASSERT(sizeof(struct user_msghdr) == 56);
struct user_mmsghdr {
    struct user_msghdr hdr;
    uint32_t len, pad;
};
STATIC_ASSERT(sizeof(struct user_mmsghdr) == 64);

struct message {
    struct user_msghdr hdr;
    struct socket_name name;
    struct iov fast[IOV_FAST], *iov;
    struct iov_iter it;
    struct socket_msg msg;
};

/* message_put afterwards in any case. */
static int message_get(struct message *m, uint64_t addr, uint32_t flags, const struct file *file)
{
    m->iov = m->fast;
    int err = copyin(&m->hdr, uaddr(addr), sizeof(m->hdr));
    if (err)
        return err;
    if (m->hdr.name_len < 0)
        return -EINVAL;
    if (m->hdr.iov_count > 1024)
        return -EMSGSIZE;
    err = copyin_iovec(m->hdr.iov, m->hdr.iov_count, m->fast, &m->iov, &m->it);
    m->it.left = MIN(m->it.left, SOCKET_IO_MAX);
    m->name.len = 0;
    m->msg = (struct socket_msg){.data = &m->it,
                                 .flags = flags | (nonblocking(file) ? MSG_DONTWAIT : 0),
                                 .control = uaddr(m->hdr.control),
                                 .control_len = m->hdr.control_len};
    return err;
}

static void message_put(struct message *m)
{
    if (m->iov != m->fast)
        kfree(m->iov);
}

static long do_sendmsg(struct file *file, struct socket *socket, uint64_t addr, uint32_t flags)
{
    struct message m;
    long n = message_get(&m, addr, flags, file);
    if (n == 0 && m.hdr.name && m.hdr.name_len > 0) {
        /* Longer ones are cut off here, as Linux does. */
        n = get_name(m.hdr.name, MIN((uint64_t)m.hdr.name_len, (uint64_t)SOCKET_NAME_MAX), &m.name);
        m.msg.name = &m.name;
    }
    if (n == 0 && m.msg.control_len > INT32_MAX)
        n = -ENOBUFS;
    if (n == 0)
        n = send_msg(file, socket, &m.msg);
    message_put(&m);
    return n;
}

/* What changed in the program's msghdr: name and its length, flags, length of control messages. */
static int message_return(struct message *m, uint64_t addr)
{
    int32_t name_len = (int32_t)m->name.len;
    uint32_t flags = m->msg.result | (m->msg.flags & MSG_CMSG_CLOEXEC);
    uint64_t control_len = m->hdr.control_len - m->msg.control_len;
    int err = 0;
    if (m->hdr.name)
        err = copyout(uaddr(m->hdr.name), m->name.bytes, (size_t)MIN(name_len, m->hdr.name_len));
    if (err == 0 && m->hdr.name)
        err = copyout(uaddr(addr + offsetof(struct user_msghdr, name_len)), &name_len,
                      sizeof(name_len));
    if (err == 0)
        err = copyout(uaddr(addr + offsetof(struct user_msghdr, flags)), &flags, sizeof(flags));
    if (err == 0)
        err = copyout(uaddr(addr + offsetof(struct user_msghdr, control_len)), &control_len,
                      sizeof(control_len));
    return err;
}

static long do_recvmsg(struct file *file, struct socket *socket, uint64_t addr, uint32_t flags)
{
    struct message m;
    long n = message_get(&m, addr, flags, file);
    if (n == 0) {
        if (m.hdr.name)
            m.msg.name = &m.name;
        n = socket_recv(socket, &m.msg);
    }
    if (n >= 0) {
        int err = message_return(&m, addr);
        n = err ? err : n;
    }
    message_put(&m);
    return n;
}

static long sendmsg_on(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    return do_sendmsg(file, socket, a->arg[1], (uint32_t)a->arg[2]);
}

long sys_sendmsg(const struct syscall_args *a)
{
    return on_socket(a, sendmsg_on);
}

static long recvmsg_on(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    return do_recvmsg(file, socket, a->arg[1], (uint32_t)a->arg[2]);
}

long sys_recvmsg(const struct syscall_args *a)
{
    return on_socket(a, recvmsg_on);
}

/* ---- several messages ---- */

static int put_length(uint64_t addr, long len)
{
    uint32_t value = (uint32_t)len;
    return copyout(uaddr(addr + offsetof(struct user_mmsghdr, len)), &value, sizeof(value));
}

typedef long (*message_fn)(struct file *file, struct socket *socket, uint64_t addr, uint32_t flags);

/* Messages until one fails, or `deadline` has passed behind one. How many, or the errno of the
 * first. *late: that of a later one. */
static long many_messages(struct file *file, struct socket *socket, const struct syscall_args *a,
                          message_fn fn, uint64_t deadline, long *late)
{
    uint32_t count = (uint32_t)MIN(a->arg[2] & UINT32_MAX, (uint64_t)1024);
    uint32_t flags = (uint32_t)a->arg[3], done = 0;
    bool one = flags & MSG_WAITFORONE;
    long n = 0;
    while (done < count) {
        uint64_t addr = a->arg[1] + done * sizeof(struct user_mmsghdr);
        n = fn(file, socket, addr, flags & ~MSG_WAITFORONE);
        if (n >= 0)
            n = put_length(addr, n);
        if (n < 0)
            break;
        done++;
        if (one)
            flags |= MSG_DONTWAIT;
        if (deadline != UINT64_MAX && clock_mono_ns() >= deadline)
            break;
        if (thread_interrupted())
            break;
    }
    *late = MIN(n, 0l);
    return done ? (long)done : n;
}

static long sendmmsg_on(struct socket *socket, struct file *file, const struct syscall_args *a)
{
    long late;
    return many_messages(file, socket, a, do_sendmsg, UINT64_MAX, &late);
}

long sys_sendmmsg(const struct syscall_args *a)
{
    return on_socket(a, sendmmsg_on);
}

/* The time limit is looked at between messages only (recvmmsg(2), BUGS); what is left of it goes
 * back. */
static int put_time_left(uint64_t addr, uint64_t deadline)
{
    uint64_t now = clock_mono_ns(), left = deadline > now ? deadline - now : 0;
    int64_t ts[2] = {(int64_t)(left / NS_PER_SEC), (int64_t)(left % NS_PER_SEC)};
    return copyout(uaddr(addr), ts, sizeof(ts));
}

long sys_recvmmsg(const struct syscall_args *a)
{
    struct file *file;
    uint64_t ns, deadline = UINT64_MAX;
    long n = 0, late = 0;
    if (a->arg[4]) {
        n = copyin_timespec(a->arg[4], &ns);
        if (n)
            return n;
        deadline = deadline_after(ns);
    }
    struct socket *socket = socket_arg(a->arg[0], &file, &n);
    if (!socket)
        return n;
    n = socket_take_error(socket);
    if (n == 0)
        n = many_messages(file, socket, a, do_recvmsg, deadline, &late);
    /* An error behind messages that did come: the next call says it, or SO_ERROR. */
    if (n > 0 && late < 0 && late > -ERESTARTSYS && late != -EAGAIN)
        __atomic_store_n(&socket->error, (int32_t)-late, __ATOMIC_RELEASE);
    file_put(file);
    if (n > 0 && a->arg[4] && put_time_left(a->arg[4], deadline))
        n = -EFAULT;
    return n;
}
