/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netshare.c - frames in shared memory (docs/network.md; hosted/share.h): the switch makes two
 * hosted machines acquainted, and has no more to do with what they say to each other.
 *
 * A machine that can says so in a record with a socket (share_offer). When the switch carries a
 * frame between two such ports it gives both the memory of a pair, once, and tells each at which
 * port the other's address is. It remembers whom it has told (`told`), so whatever makes its own
 * knowledge wrong is told to them, too: an address that has moved, a port that has gone. A port
 * that does not read what it is told loses its socket, and goes back to the switch for everything.
 */
#include "netshare.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../hosted/share.h"
#include "net.h"

static struct {
    int control;     /* + 1, so that none is 0 */
    uint64_t paired; /* bit for each port */
} ports[SHARE_PORTS];

static bool send_with(int to, const void *data, size_t len, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr head;
    } more = {{0}};
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        msg.msg_control = &more;
        msg.msg_controllen = sizeof(more);
        more.head.cmsg_level = SOL_SOCKET;
        more.head.cmsg_type = SCM_RIGHTS;
        more.head.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&more.head), &fd, sizeof(int));
    }
    return sendmsg(to, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

/* False: that port takes no part any more. */
static bool tell(int port, struct share_message message, int fd)
{
    if (!ports[port].control)
        return false;
    if (send_with(ports[port].control - 1, &message, sizeof(message), fd))
        return true;
    share_bye(port);
    return false;
}

void share_bye(int port)
{
    if (!ports[port].control)
        return;
    close(ports[port].control - 1);
    ports[port].control = 0;
    for (int i = 0; i < SHARE_PORTS; i++)
        if (ports[port].paired & 1ull << i) {
            ports[i].paired &= ~(1ull << port);
            (void)tell(i, (struct share_message){.kind = SHARE_GONE, .port = (uint32_t)port}, -1);
        }
    ports[port].paired = 0;
}

void share_hello(int port, const void *record, size_t len, int fd)
{
    if (fd < 0)
        return;
    if (len != strlen(SHARE_HELLO) || memcmp(record, SHARE_HELLO, len) != 0 ||
        ports[port].control) {
        close(fd);
        return;
    }
    ports[port].control = fd + 1;
}

/* The memory of a pair: nobody can change its size. */
static int memory(void)
{
    int fd = memfd_create(SHARE_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -1;
    if (ftruncate(fd, SHARE_SIZE) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool pair(int a, int b)
{
    int fd;
    bool both;

    if (ports[a].paired & 1ull << b)
        return true;
    fd = memory();
    if (fd < 0)
        return false;
    ports[a].paired |= 1ull << b;
    ports[b].paired |= 1ull << a;
    /* If one cannot be told, the other one is told that it has gone. */
    both = tell(a, (struct share_message){SHARE_PEER, (uint32_t)b, 0, {0}, {0}}, fd) &&
           tell(b, (struct share_message){SHARE_PEER, (uint32_t)a, 1, {0}, {0}}, fd);
    close(fd);
    return both;
}

static void tell_address(int port, const struct share_end *of)
{
    struct share_message message = {.kind = SHARE_ADDRESS, .port = (uint32_t)of->port};

    memcpy(message.mac, of->mac, sizeof(message.mac));
    if (!(*of->told & 1ull << port) && tell(port, message, -1))
        *of->told |= 1ull << port;
}

void share_introduce(const struct share_end *from, const struct share_end *to)
{
    if (!ports[from->port].control || !ports[to->port].control || !pair(from->port, to->port))
        return;
    tell_address(from->port, to);
    tell_address(to->port, from);
}

void share_forget(const unsigned char *mac, unsigned long long *told)
{
    struct share_message message = {.kind = SHARE_FORGET};

    memcpy(message.mac, mac, sizeof(message.mac));
    for (int i = 0; i < SHARE_PORTS; i++)
        if (*told & 1ull << i)
            (void)tell(i, message, -1);
    *told = 0;
}

int share_offer(int port)
{
    int ends[2];

    /* Without it nobody could sleep for what comes (Linux 5.16). */
    if (syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) == 0 || errno == ENOSYS ||
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0)
        return -1;
    (void)send_with(port, SHARE_HELLO, strlen(SHARE_HELLO), ends[1]);
    close(ends[1]);
    return ends[0];
}
