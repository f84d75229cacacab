/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.c - control messages: credentials and files that go with data (cmsg(3), unix(7)).
 *
 * Files travel as references. The receiver's descriptors are made one by one: reserve a number,
 * tell the program, then make it valid; so a program that cannot be told has no descriptor it
 * does not know of.
 */
#include "fs/vfs.h"
#include "net/socket.h"

#include "core/assert.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/usercopy.h"

#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define CONTROL_MAX 20480u /* net.core.optmem_max */

/* struct cmsghdr of user code, followed by its data; the next begins 8-aligned. */
struct header {
    uint64_t len; /* with the header */
    int32_t level, type;
};
STATIC_ASSERT(sizeof(struct header) == 16);

static uint64_t aligned(uint64_t len)
{
    return (len + 7) & ~7ull;
}

struct socket_files *files_alloc(unsigned count)
{
    size_t size = sizeof(struct socket_files) + count * sizeof(struct file *);
    struct socket_files *files = owner_alloc(OWNER_SOCKET, size);
    if (files)
        files->count = count;
    return files;
}

static void files_free(struct socket_files *files, unsigned room)
{
    owner_free(OWNER_SOCKET, files, sizeof(*files) + room * sizeof(struct file *));
}

struct socket_files *files_copy(const struct socket_files *files)
{
    struct socket_files *copy = files_alloc(files->count);
    for (unsigned i = 0; copy && i < files->count; i++) {
        file_get(files->file[i]);
        copy->file[i] = files->file[i];
    }
    return copy;
}

void files_put(struct socket_files *files)
{
    if (!files)
        return;
    for (unsigned i = 0; i < files->count; i++)
        file_put(files->file[i]);
    files_free(files, files->count);
}

/* ---- what a sender attaches ---- */

/* The caller may say its own ids; root anything (Linux: scm_check_creds, with CAP_SYS_ADMIN,
 * CAP_SETUID, CAP_SETGID). */
static int check_cred(const struct socket_cred *c)
{
    const struct fs_cred *mine = proc_cred();
    if (mine->euid == 0)
        return 0;
    bool pid = c->pid == proc_current_pid();
    bool uid = c->uid == mine->uid || c->uid == mine->euid || c->uid == mine->suid;
    bool gid = c->gid == mine->gid || c->gid == mine->egid || c->gid == mine->sgid;
    return pid && uid && gid ? 0 : -EPERM;
}

static int get_cred(uaddr_t data, uint64_t len, struct socket_cred *out)
{
    struct socket_cred cred;
    if (len != sizeof(cred))
        return -EINVAL;
    int err = copyin(&cred, data, sizeof(cred));
    if (err == 0)
        err = check_cred(&cred);
    if (err == 0 && (cred.pid <= 0 || proc_next_pid(cred.pid) != cred.pid))
        err = -ESRCH;
    if (err == 0 && (cred.uid == UINT32_MAX || cred.gid == UINT32_MAX))
        err = -EINVAL;
    if (err == 0)
        *out = cred;
    return err;
}

/* Append the files of `len` bytes of descriptors. */
static int get_rights(uaddr_t data, uint64_t len, struct socket_files **files)
{
    int fds[SCM_MAX_FD];
    unsigned count = (unsigned)(len / sizeof(int));
    unsigned have = *files ? (*files)->count : 0;
    if (len / sizeof(int) > SCM_MAX_FD - have)
        return -EINVAL;
    if (count == 0)
        return 0;
    int err = copyin(fds, data, count * sizeof(int));
    struct socket_files *all = err ? NULL : files_alloc(have + count);
    if (!all)
        return err ? err : -ENOMEM;
    struct fdtable *table = proc_fdtable(proc_current_pid());
    unsigned got = 0;
    while (table && got < count && (all->file[have + got] = fd_get(table, fds[got])) != NULL)
        got++;
    fdtable_put(table);
    if (got < count) { /* without those that came before */
        for (unsigned i = 0; i < got; i++)
            file_put(all->file[have + i]);
        files_free(all, have + count);
        return -EBADF;
    }
    if (*files) {
        memcpy(all->file, (*files)->file, have * sizeof(struct file *));
        files_free(*files, have);
    }
    *files = all;
    return 0;
}

struct scm_wanted {
    bool rights;
    struct socket_scm *out;
};

static int get_one(const struct control *c, void *arg)
{
    struct scm_wanted *wanted = arg;
    if (c->level != SOL_SOCKET)
        return 0; /* a family's own; unix has none */
    if (c->type == SCM_RIGHTS && wanted->rights)
        return get_rights(c->data, c->len, &wanted->out->files);
    if (c->type == SCM_CREDENTIALS)
        return get_cred(c->data, c->len, &wanted->out->cred);
    return -EINVAL;
}

int control_walk(const struct socket_msg *msg, int (*fn)(const struct control *c, void *arg),
                 void *arg)
{
    if (msg->control_len > CONTROL_MAX)
        return -ENOBUFS;
    int err = 0;
    for (uint64_t at = 0; err == 0 && at + sizeof(struct header) <= msg->control_len;) {
        struct header h;
        uaddr_t where = uaddr(msg->control.raw + at);
        err = copyin(&h, where, sizeof(h));
        if (err == 0 && (h.len < sizeof(h) || h.len > msg->control_len - at))
            err = -EINVAL;
        if (err)
            break;
        struct control c = {h.level, h.type, uaddr(where.raw + sizeof(h)), h.len - sizeof(h)};
        err = fn(&c, arg);
        at += aligned(h.len);
    }
    return err;
}

int control_get(const struct socket_msg *msg, bool rights, struct socket_scm *out)
{
    struct scm_wanted wanted = {rights, out};
    out->files = NULL;
    socket_cred_current(&out->cred);
    int err = control_walk(msg, get_one, &wanted);
    if (err) {
        files_put(out->files);
        out->files = NULL;
    }
    return err;
}

/* ---- what a receiver is told ---- */

static void use_room(struct socket_msg *msg, uint64_t len)
{
    len = MIN(aligned(len), msg->control_len);
    msg->control.raw += len;
    msg->control_len -= len;
}

void control_add(struct socket_msg *msg, int level, int type, const void *data, size_t len)
{
    uint8_t out[sizeof(struct header) + CONTROL_ADD_MAX];
    struct header h = {sizeof(h) + len, level, type};
    ASSERT(len <= CONTROL_ADD_MAX);
    if (!msg->control.raw || msg->control_len < sizeof(h)) {
        msg->result |= MSG_CTRUNC;
        return;
    }
    if (msg->control_len < h.len) {
        msg->result |= MSG_CTRUNC;
        h.len = msg->control_len;
    }
    memcpy(out, &h, sizeof(h));
    memcpy(out + sizeof(h), data, len);
    if (copyout(msg->control, out, h.len) == 0)
        use_room(msg, h.len);
}

/* Give the program the file: its number goes to `where`. */
static int put_file(struct fdtable *table, struct file *file, uaddr_t where, bool cloexec)
{
    int fd = fd_reserve(table);
    if (fd < 0)
        return fd;
    int err = copyout(where, &fd, sizeof(fd));
    if (err) {
        fd_unreserve(table, fd);
        return err;
    }
    file_get(file);
    fd_fill(table, fd, file, cloexec);
    return 0;
}

static void put_rights(struct socket_msg *msg, const struct socket_files *files)
{
    struct header h = {0, SOL_SOCKET, SCM_RIGHTS};
    uint64_t room = msg->control_len < sizeof(h) ? 0 : (msg->control_len - sizeof(h)) / sizeof(int);
    struct fdtable *table = proc_fdtable(proc_current_pid());
    unsigned done = 0;
    while (table && done < files->count && done < room) {
        uaddr_t where = uaddr(msg->control.raw + sizeof(h) + done * sizeof(int));
        if (put_file(table, files->file[done], where, msg->flags & MSG_CMSG_CLOEXEC))
            break;
        done++;
    }
    fdtable_put(table);
    if (done < files->count)
        msg->result |= MSG_CTRUNC;
    h.len = sizeof(h) + done * sizeof(int);
    if (done > 0 && copyout(msg->control, &h, sizeof(h)) == 0)
        use_room(msg, h.len);
}

void control_put(struct socket_msg *msg, const struct socket_cred *cred,
                 const struct socket_files *files)
{
    if (cred)
        control_add(msg, SOL_SOCKET, SCM_CREDENTIALS, cred, sizeof(*cred));
    if (files && msg->control.raw)
        put_rights(msg, files);
    else if (files)
        msg->result |= MSG_CTRUNC;
}
