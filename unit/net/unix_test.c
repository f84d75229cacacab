/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs kernel/net/control.c kernel/net/option.c kernel/net/option_rare.c kernel/net/bpf.c kernel/net/bpf_socket.c kernel/drv/pkt.c kernel/lib/checksum.c kernel/net/socket.c kernel/net/unix.c kernel/net/unix_connect.c kernel/net/unix_files.c kernel/net/unix_io.c kernel/net/unix_name.c kernel/net/unix_peek.c unit/fake_rcu.c */
/* clang-format on */
/*
 * unix_test.c - AF_UNIX sockets from inside: what a sleep ends with, what is charged to whom, the
 * search for files that nobody can reach, and every operation with each of its allocations failing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "fs/eventfd.h"
#include "fs/fake_fs.h"
#include "mm/account.h"
#include "net/unix.h"

static int set_up(void **state)
{
    static bool registered;
    (void)state;
    fake_hal_init(64u << 20);
    int err = fake_fs_boot(NULL, 0);
    if (err)
        return err;
    fake_fdtable = fdtable_create();
    err = unix_init();
    if (!registered)
        socket_family_register(&unix_family);
    registered = true;
    return err;
}

static int tear_down(void **state)
{
    (void)state;
    fdtable_put(fake_fdtable);
    fake_fdtable = NULL;
    fake_fs_end();
    return 0;
}

/* ---- helpers: the calls, with files ---- */

static struct file *file_of(struct socket *socket, uint32_t flags)
{
    struct file *file;
    return socket_file(socket, flags, &file) ? NULL : file;
}

static struct file *make(int type, uint32_t flags)
{
    struct socket *socket;
    return socket_create(AF_UNIX, type, 0, &socket) ? NULL : file_of(socket, flags);
}

static struct socket *sock(struct file *file)
{
    return socket_of_file(file);
}

static struct socket_name name_of(const char *text)
{
    struct socket_name name = {.len = (unsigned)(2 + strlen(text)), .family = AF_UNIX};
    memcpy(name.bytes + 2, text, strlen(text));
    if (text[0] == '@')
        name.bytes[2] = 0;
    else
        name.len++;
    return name;
}

static bool make_pair(int type, struct file *end[2], uint32_t flags)
{
    struct socket *pair[2];
    if (socket_pair(AF_UNIX, type, 0, pair))
        return false;
    end[0] = file_of(pair[0], flags);
    if (!end[0]) {
        pair[1]->ops->release(pair[1]);
        return false;
    }
    end[1] = file_of(pair[1], flags);
    if (!end[1])
        file_put(end[0]);
    return end[1] != NULL;
}

static struct file *listener(const char *name, unsigned backlog)
{
    struct socket_name n = name_of(name);
    struct file *file = make(SOCK_STREAM, O_NONBLOCK);
    if (!file)
        return NULL;
    if (socket_bind(sock(file), &n) || socket_listen(sock(file), (int)backlog)) {
        file_put(file);
        return NULL;
    }
    return file;
}

static int connect_name(struct file *file, const char *name, bool nonblock)
{
    struct socket_name n = name_of(name);
    return socket_connect(sock(file), &n, nonblock);
}

static long get(struct file *file, void *buf, size_t len)
{
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, buf, len);
    return file_read_iter(file, &it, NULL);
}

/* Send one byte with files; 0 or an errno. */
static long send_files(struct file *file, struct file *const *files, unsigned count)
{
    struct {
        uint64_t len;
        int32_t level, type, fd[4];
    } control = {16 + count * sizeof(int), SOL_SOCKET, 1, {0}};
    for (unsigned i = 0; i < count; i++) {
        file_get(files[i]);
        int fd = fd_install(fake_fdtable, files[i], 0, false);
        if (fd < 0) {
            file_put(files[i]);
            while (i-- > 0)
                assert_int_equal(fd_close(fake_fdtable, control.fd[i]), 0);
            return fd;
        }
        control.fd[i] = fd;
    }
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, (void *)(uintptr_t) "x", 1);
    struct socket_msg msg = {.data = &it,
                             .flags = MSG_DONTWAIT,
                             .control = uaddr((uintptr_t)&control),
                             .control_len = control.len};
    long n = socket_send(sock(file), &msg);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(fd_close(fake_fdtable, control.fd[i]), 0);
    return n;
}

/* Receive one byte and a file, or NULL. */
static struct file *recv_file(struct file *file, long *n)
{
    struct {
        uint64_t len;
        int32_t level, type, fd[4];
    } control = {0};
    char byte;
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, &byte, 1);
    struct socket_msg msg = {.data = &it,
                             .flags = MSG_DONTWAIT,
                             .control = uaddr((uintptr_t)&control),
                             .control_len = sizeof(control)};
    *n = socket_recv(sock(file), &msg);
    if (*n < 0 || control.len < 20)
        return NULL;
    struct file *got = fd_get(fake_fdtable, control.fd[0]);
    for (unsigned i = 0; i < (control.len - 16) / 4; i++)
        assert_int_equal(fd_close(fake_fdtable, control.fd[i]), 0);
    return got;
}

static uint64_t sockets(void)
{
    return owner_get(OWNER_SOCKET).objects;
}

/* ---- sleeping ---- */

static struct file *hook_file;
static void hook_write(void)
{
    fake_sleep_hook = NULL;
    assert_int_equal(file_write(hook_file, "late", 4), 4);
}
static void hook_close(void)
{
    fake_sleep_hook = NULL;
    file_put(hook_file);
}
static void hook_drain(void)
{
    static char buf[65536];
    while (file_poll(hook_file, NULL) & POLLIN)
        assert_true(get(hook_file, buf, sizeof buf) > 0);
}
static struct file *hook_accepted;
static void hook_accept(void)
{
    struct socket *got;
    fake_sleep_hook = NULL;
    assert_int_equal(socket_accept(sock(hook_file), true, &got), 0);
    hook_accepted = file_of(got, 0);
}

static void stream_sleeps(void **state)
{
    (void)state;
    struct file *end[2];
    static char buf[700000];
    assert_true(make_pair(SOCK_STREAM, end, 0));
    hook_file = end[1];
    fake_sleep_hook = hook_write;
    assert_int_equal(get(end[0], buf, sizeof buf), 4);
    assert_int_equal(get(end[0], buf, 1), -ERESTARTSYS); /* a signal */
    sock(end[0])->receive_timeout_ns = 1000;
    assert_int_equal(get(end[0], buf, 1), -EAGAIN); /* SO_RCVTIMEO */
    sock(end[0])->receive_timeout_ns = UINT64_MAX;
    hook_file = end[0];
    fake_sleep_hook = hook_drain;
    assert_int_equal(file_write(end[1], buf, sizeof buf), sizeof buf);
    fake_sleep_hook = NULL;
    while (file_poll(end[0], NULL) & POLLIN)
        (void)!get(end[0], buf, sizeof buf);
    assert_true(file_write(end[1], buf, sizeof buf) > 100000); /* a signal ends it */
    assert_int_equal(file_write(end[1], buf, 1), -ERESTARTSYS);
    hook_file = end[0];
    fake_sleep_hook = hook_close;
    assert_int_equal(file_write(end[1], buf, 1), -ECONNRESET);
    assert_int_equal(file_write(end[1], buf, 1), -EPIPE);
    file_put(end[1]);
    assert_true(make_pair(SOCK_STREAM, end, 0));
    hook_file = end[1];
    fake_sleep_hook = hook_close;
    assert_int_equal(get(end[0], buf, 1), 0); /* the end */
    file_put(end[0]);
    assert_int_equal(sockets(), 0);
}

static void dgram_sleeps(void **state)
{
    (void)state;
    struct file *to = make(SOCK_DGRAM, 0), *from = make(SOCK_DGRAM, 0);
    struct socket_name n = name_of("@to");
    assert_int_equal(socket_bind(sock(to), &n), 0);
    assert_int_equal(socket_connect(sock(from), &n, false), 0);
    for (unsigned i = 0; i <= UNIX_DGRAM_QUEUE; i++)
        assert_int_equal(file_write(from, "x", 1), 1);
    assert_int_equal(file_poll(from, NULL), 0);
    assert_int_equal(file_write(from, "x", 1), -ERESTARTSYS);
    hook_file = to;
    fake_sleep_hook = hook_drain;
    assert_int_equal(file_write(from, "x", 1), 1);
    fake_sleep_hook = NULL;
    while (file_poll(from, NULL) & POLLOUT)
        assert_int_equal(file_write(from, "x", 1), 1);
    fake_sleep_hook = hook_close; /* it goes while somebody waits to send */
    assert_int_equal(file_write(from, "x", 1), -ECONNREFUSED);
    assert_int_equal(file_write(from, "x", 1), -ENOTCONN);
    file_put(from);
    assert_int_equal(sockets(), 0);
}

static void connect_sleeps(void **state)
{
    (void)state;
    struct file *l = listener("@l", 0), *a = make(SOCK_STREAM, 0), *b = make(SOCK_STREAM, 0);
    assert_int_equal(connect_name(a, "@l", true), 0);
    assert_int_equal(connect_name(b, "@l", true), -EAGAIN);
    assert_int_equal(connect_name(b, "@l", false), -ERESTARTSYS);
    hook_file = l;
    fake_sleep_hook = hook_accept;
    assert_int_equal(connect_name(b, "@l", false), 0);
    assert_int_equal(file_write(b, "early", 5), 5);
    file_put(hook_accepted);
    struct file *c = make(SOCK_STREAM, 0);
    fake_sleep_hook = hook_close;
    assert_int_equal(connect_name(c, "@l", false), -ECONNREFUSED);
    assert_int_equal(connect_name(c, "@l", false), -ECONNREFUSED);
    char buf[8];
    assert_int_equal(get(a, buf, 8), 0);           /* accepted, then closed */
    assert_int_equal(get(b, buf, 8), -ECONNRESET); /* never accepted */
    file_put(a);
    file_put(b);
    file_put(c);
    assert_int_equal(sockets(), 0);
}

/* ---- what is charged ---- */

static void charges(void **state)
{
    (void)state;
    struct file *end[2];
    static char buf[300000];
    assert_true(make_pair(SOCK_STREAM, end, O_NONBLOCK));
    uint64_t bytes = owner_get(OWNER_SOCKET).bytes;
    long n = file_write(end[0], buf, sizeof buf);
    assert_true(n > SOCKET_BUFFER_MAX / 2 && n < (long)sizeof buf);
    struct unix_sock *u = unix_of(sock(end[0]));
    assert_true(u->charged >= n && u->charged < SOCKET_BUFFER_MAX + 65536);
    assert_int_equal(owner_get(OWNER_SOCKET).bytes - bytes, u->charged);
    assert_int_equal(file_write(end[0], buf, 1), -EAGAIN);
    assert_int_equal(file_poll(end[0], NULL) & POLLOUT, 0);
    long left = n;
    while (left > 0) { /* POLLOUT comes below a quarter */
        long got = get(end[1], buf, 5000);
        assert_true(got > 0);
        left -= got;
        bool out = file_poll(end[0], NULL) & POLLOUT;
        assert_int_equal(out, u->charged <= SOCKET_BUFFER_MAX / 4);
    }
    assert_int_equal(u->charged, 0);
    assert_int_equal(owner_get(OWNER_SOCKET).bytes, bytes);
    assert_int_equal(file_write(end[0], buf, 1000), 1000);
    file_put(end[0]); /* its message outlives it */
    assert_int_equal(get(end[1], buf, 5000), 1000);
    assert_int_equal(get(end[1], buf, 5000), 0);
    file_put(end[1]);
    assert_int_equal(sockets(), 0);
}

/* ---- the search ---- */

/* One that closes looks for what is lost. */
static void search(void)
{
    file_put(make(SOCK_DGRAM, 0));
}

/* `n` datagram sockets in a ring: each one's queue has the next one's file. One is held open if
 * keep is its number; extra references to others lie in `outside`, a socket that is open. */
static void ring(unsigned n, int keep, int outside_of)
{
    struct file *from[64], *node[64] = {NULL}, *end[2], *outside[2];
    assert_int_equal(eventfd_create(0, false, 0, &end[0]), 0); /* watched: is it freed? */
    assert_true(make_pair(SOCK_STREAM, outside, O_NONBLOCK));
    for (unsigned i = 0; i < n; i++) {
        struct file *pair[2];
        assert_true(make_pair(SOCK_DGRAM, pair, O_NONBLOCK));
        from[i] = pair[0];
        node[i] = pair[1];
    }
    for (unsigned i = 0; i < n; i++) {
        struct file *files[2] = {node[(i + 1) % n], end[0]};
        assert_int_equal(send_files(from[i], files, 2), 1);
    }
    if (outside_of >= 0)
        assert_int_equal(send_files(outside[0], &node[outside_of], 1), 1);
    for (unsigned i = 0; i < n; i++) {
        file_put(from[i]);
        if ((int)i != keep)
            file_put(node[i]);
    }
    search();
    bool alive = keep >= 0 || outside_of >= 0;
    assert_int_equal(ref_read(&end[0]->refs), alive ? 1 + n : 1);
    if (keep >= 0)
        file_put(node[keep]);
    search();
    if (outside_of >= 0) {
        long got;
        struct file *file = recv_file(outside[1], &got);
        assert_ptr_equal(file, node[outside_of]);
        assert_int_equal(ref_read(&end[0]->refs), 1 + n);
        file_put(file);
    }
    search();
    assert_int_equal(ref_read(&end[0]->refs), 1);
    file_put(end[0]);
    file_put(outside[0]);
    file_put(outside[1]);
    assert_int_equal(sockets(), 0);
}

static void rings(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 5; n++) {
        ring(n, -1, -1);
        for (unsigned i = 0; i < n; i++) {
            ring(n, (int)i, -1);
            ring(n, -1, (int)i);
        }
    }
    ring(60, -1, -1);
}

/* Random graphs against a plain search: node i is a pair whose far end is the node; an edge i -> j
 * is j's far end in i's queue. Nodes are closed in random order; after each, exactly those are gone
 * that no open node reaches. */
#define NODES 12
static bool reachable[NODES];
static bool edge[NODES][NODES];
static bool open_node[NODES];

static void reach(unsigned i)
{
    if (reachable[i])
        return;
    reachable[i] = true;
    for (unsigned j = 0; j < NODES; j++)
        if (edge[i][j])
            reach(j);
}

static void random_graph(void)
{
    struct file *from[NODES], *node[NODES], *mark[NODES];
    memset(edge, 0, sizeof edge);
    for (unsigned i = 0; i < NODES; i++) {
        struct file *pair[2];
        assert_true(make_pair(SOCK_STREAM, pair, O_NONBLOCK));
        from[i] = pair[0];
        node[i] = pair[1];
        assert_int_equal(eventfd_create(0, false, 0, &mark[i]), 0);
        assert_int_equal(send_files(from[i], &mark[i], 1), 1); /* lives while node i does */
        open_node[i] = true;
    }
    for (unsigned k = 0; k < 3 * NODES / 2; k++) {
        unsigned i = (unsigned)rand() % NODES, j = (unsigned)rand() % NODES;
        edge[i][j] = true;
        assert_int_equal(send_files(from[i], &node[j], 1), 1);
    }
    for (unsigned i = 0; i < NODES; i++)
        file_put(from[i]);
    for (unsigned left = NODES; left > 0; left--) {
        unsigned i = (unsigned)rand() % NODES;
        while (!open_node[i])
            i = (i + 1) % NODES;
        open_node[i] = false;
        file_put(node[i]);
        search();
        memset(reachable, 0, sizeof reachable);
        for (unsigned j = 0; j < NODES; j++)
            if (open_node[j])
                reach(j);
        for (unsigned j = 0; j < NODES; j++)
            assert_int_equal(ref_read(&mark[j]->refs), reachable[j] ? 2 : 1);
    }
    for (unsigned i = 0; i < NODES; i++)
        file_put(mark[i]);
    assert_int_equal(sockets(), 0);
}

static void random_graphs(void **state)
{
    (void)state;
    srand(11);
    for (int round = 0; round < 300; round++)
        random_graph();
}

/* ---- failing allocations ---- */

static struct {
    uint64_t kernel, sock;
} before;

static uint64_t kernel_bytes(void)
{
    struct kmalloc_stats km;
    dentry_shrink(SIZE_MAX);
    kmalloc_get_stats(&km);
    return km.bytes_in_use;
}

static unsigned sweep(void (*scenario)(void))
{
    scenario();
    before.kernel = kernel_bytes();
    before.sock = sockets();
    unsigned n = 0;
    bool hit;
    do {
        alloc_fail_nth(++n);
        scenario();
        hit = alloc_fail_hit();
        alloc_fail_nth(0);
        if (kernel_bytes() != before.kernel || sockets() != before.sock)
            fail_msg("allocation %u: %lld bytes and %lld sockets more", n,
                     (long long)(kernel_bytes() - before.kernel),
                     (long long)(sockets() - before.sock));
    } while (hit);
    assert_true(n > 1);
    return n - 1;
}

static bool no_memory(long n)
{
    return n == -ENOMEM || n == -ENOBUFS;
}

static void scenario_pair(void)
{
    struct file *end[2];
    char buf[8];
    if (!make_pair(SOCK_STREAM, end, O_NONBLOCK))
        return;
    long n = file_write(end[0], "abc", 3);
    assert_true(n == 3 || no_memory(n));
    assert_int_equal(get(end[1], buf, 8), n == 3 ? 3 : -EAGAIN);
    file_put(end[0]);
    file_put(end[1]);
}

static void scenario_rights(void)
{
    struct file *end[2], *got;
    long n;
    if (!make_pair(SOCK_DGRAM, end, O_NONBLOCK))
        return;
    n = send_files(end[0], end, 2);
    assert_true(n == 1 || no_memory(n));
    got = recv_file(end[1], &n);
    assert_true(n == 1 || n == -EAGAIN);
    if (got) {
        assert_ptr_equal(got, end[0]);
        file_put(got);
    }
    n = send_files(end[0], &end[1], 1); /* itself */
    assert_true(n == 1 || no_memory(n));
    file_put(end[0]);
    file_put(end[1]);
    struct file *other = NULL;
    while (!other) /* the search needs no memory, but this does */
        other = make(SOCK_DGRAM, 0);
    file_put(other);
}

static void scenario_names(void)
{
    struct file *l = listener("/tmp/sock", 2), *c = make(SOCK_STREAM, O_NONBLOCK);
    struct socket *got;
    if (l && c) {
        int err = connect_name(c, "/tmp/sock", true);
        assert_true(err == 0 || err == -ENOMEM);
        if (err == 0) {
            assert_int_equal(socket_accept(sock(l), true, &got), 0);
            struct file *s = file_of(got, 0);
            if (s)
                file_put(s);
        }
    }
    if (l)
        file_put(l);
    if (c)
        file_put(c);
    int err = vfs_unlink(fake_context, NULL, "/tmp/sock", false);
    if (err == -ENOMEM)
        err = vfs_unlink(fake_context, NULL, "/tmp/sock", false);
    assert_true(err == 0 || err == -ENOENT);
}

static void scenario_abstract(void)
{
    struct file *a = make(SOCK_DGRAM, O_NONBLOCK), *b = make(SOCK_DGRAM, O_NONBLOCK);
    struct socket_name n = name_of("@abs"), none = {.len = 2, .family = AF_UNIX};
    if (a && b && socket_bind(sock(a), &n) == 0) {
        int err = socket_bind(sock(b), &none);
        assert_true(err == 0 || err == -ENOMEM);
        err = socket_connect(sock(b), &n, true);
        assert_int_equal(err, 0);
        long sent = file_write(b, "x", 1);
        assert_true(sent == 1 || no_memory(sent));
    }
    if (a)
        file_put(a);
    if (b)
        file_put(b);
}

static void failing(void **state)
{
    (void)state;
    printf("%u + ", sweep(scenario_pair));
    printf("%u + ", sweep(scenario_rights));
    printf("%u + ", sweep(scenario_names));
    printf("%u allocations failed\n", sweep(scenario_abstract));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stream_sleeps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dgram_sleeps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(connect_sleeps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(charges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_graphs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
