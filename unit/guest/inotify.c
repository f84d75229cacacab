/* SPDX-License-Identifier: BSD-3-Clause */
/* inotify - what a program is told about files: names, contents, attributes, moves, the end of a
 * watch, a full queue, and waiting for all of it. */
#include "guest.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static char base[] = "/tmp/inotifyXXXXXX";
static int in;

/* The next event is this one; returns its cookie. */
static uint32_t expect(int wd, uint32_t mask, const char *name)
{
    static char buf[4096] __attribute__((aligned(8)));
    static ssize_t have, at;
    if (at == have) {
        at = 0;
        have = read(in, buf, sizeof buf);
        REQUIRE(have > 0);
    }
    struct inotify_event *e = (struct inotify_event *)(buf + at);
    at += (ssize_t)(sizeof(*e) + e->len);
    if (e->wd != wd || e->mask != mask || strcmp(e->len ? e->name : "", name) != 0) {
        printf("FAIL got wd %d mask %#x '%s', wanted wd %d mask %#x '%s'\n", e->wd, e->mask,
               e->len ? e->name : "", wd, mask, name);
        fflush(stdout);
        _exit(1);
    }
    return e->cookie;
}

static void touch(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static void test_directory(void)
{
    int wd = inotify_add_watch(in, ".", IN_ALL_EVENTS);
    REQUIRE(wd == 1);
    touch("a", "text");
    expect(wd, IN_CREATE, "a");
    expect(wd, IN_OPEN, "a");
    expect(wd, IN_MODIFY, "a");
    expect(wd, IN_CLOSE_WRITE, "a");
    REQUIRE(mkdir("d", 0755) == 0);
    expect(wd, IN_CREATE | IN_ISDIR, "d");
    REQUIRE(rename("a", "b") == 0);
    uint32_t cookie = expect(wd, IN_MOVED_FROM, "a");
    REQUIRE(cookie != 0 && expect(wd, IN_MOVED_TO, "b") == cookie);
    REQUIRE(chmod("b", 0600) == 0);
    expect(wd, IN_ATTRIB, "b");
    REQUIRE(truncate("b", 2) == 0);
    expect(wd, IN_MODIFY, "b");
    int fd = open("b", O_RDONLY);
    char c;
    REQUIRE(read(fd, &c, 1) == 1 && close(fd) == 0);
    expect(wd, IN_OPEN, "b");
    expect(wd, IN_ACCESS, "b");
    expect(wd, IN_CLOSE_NOWRITE, "b");
    REQUIRE(symlink("b", "s") == 0 && link("b", "l") == 0);
    expect(wd, IN_CREATE, "s");
    expect(wd, IN_CREATE, "l");
    REQUIRE(unlink("s") == 0 && unlink("l") == 0 && rmdir("d") == 0);
    expect(wd, IN_DELETE, "s");
    expect(wd, IN_DELETE, "l");
    expect(wd, IN_DELETE | IN_ISDIR, "d");
    REQUIRE(inotify_rm_watch(in, wd) == 0);
    expect(wd, IN_IGNORED, "");
    REQUIRE_ERRNO(inotify_rm_watch(in, wd), EINVAL);
}

static void test_file(void)
{
    int wd = inotify_add_watch(in, "b", IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF);
    REQUIRE(wd == 2 && inotify_add_watch(in, "b", IN_OPEN | IN_MASK_ADD) == wd);
    REQUIRE_ERRNO(inotify_add_watch(in, "b", IN_OPEN | IN_MASK_CREATE), EEXIST);
    int fd = open("b", O_RDWR | O_APPEND);
    REQUIRE(write(fd, "x", 1) == 1 && write(fd, "y", 1) == 1); /* equal events are one */
    expect(wd, IN_OPEN, "");
    expect(wd, IN_MODIFY, "");
    REQUIRE(rename("b", "c") == 0);
    expect(wd, IN_MOVE_SELF, "");
    REQUIRE(unlink("c") == 0);
    expect(wd, IN_ATTRIB, ""); /* its link count: it is open still */
    int count = -1;
    REQUIRE(ioctl(in, FIONREAD, &count) == 0 && count == 0);
    REQUIRE(close(fd) == 0);
    expect(wd, IN_DELETE_SELF, "");
    expect(wd, IN_IGNORED, "");
    touch("one", "");
    wd = inotify_add_watch(in, "one", IN_OPEN | IN_ONESHOT);
    touch("one", "1");
    expect(wd, IN_OPEN, "");
    expect(wd, IN_IGNORED, "");
    touch("one", "2");
}

static void *late(void *arg)
{
    (void)arg;
    usleep(20000);
    touch("one", "3");
    return NULL;
}

static void test_waiting(void)
{
    pthread_t t;
    struct pollfd fd = {in, POLLIN, 0};
    int wd = inotify_add_watch(in, "one", IN_CLOSE_WRITE);
    REQUIRE(poll(&fd, 1, 0) == 0);
    REQUIRE(pthread_create(&t, NULL, late, NULL) == 0);
    REQUIRE(poll(&fd, 1, 10000) == 1 && fd.revents == POLLIN);
    char small[8];
    REQUIRE_ERRNO(read(in, small, sizeof small), EINVAL);
    expect(wd, IN_CLOSE_WRITE, "");
    REQUIRE(pthread_join(t, NULL) == 0 && pthread_create(&t, NULL, late, NULL) == 0);
    expect(wd, IN_CLOSE_WRITE, ""); /* the read sleeps */
    REQUIRE(pthread_join(t, NULL) == 0 && unlink("one") == 0);
}

static void test_errors(void)
{
    int other = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    char buf[64];
    REQUIRE(other >= 0);
    REQUIRE_ERRNO(read(other, buf, sizeof buf), EAGAIN);
    REQUIRE_ERRNO(inotify_init1(1), EINVAL);
    REQUIRE_ERRNO(inotify_add_watch(other, ".", 0), EINVAL);
    REQUIRE_ERRNO(inotify_add_watch(other, "missing", IN_OPEN), ENOENT);
    REQUIRE_ERRNO(inotify_add_watch(other, "/dev/null", IN_OPEN | IN_ONLYDIR), ENOTDIR);
    REQUIRE_ERRNO(inotify_add_watch(0, ".", IN_OPEN), EINVAL);
    REQUIRE_ERRNO(inotify_add_watch(-1, ".", IN_OPEN), EBADF);
    /* A queue that nobody reads says so at its end. */
    REQUIRE(inotify_add_watch(other, ".", IN_CREATE | IN_DELETE) == 1);
    touch("x", "");
    for (int i = 0; i < 9000; i++)
        REQUIRE(unlink("x") == 0 && mknod("x", S_IFREG | 0644, 0) == 0);
    struct inotify_event *e;
    static char big[1 << 20] __attribute__((aligned(8)));
    ssize_t n, last = 0;
    long events = 0;
    while ((n = read(other, big, sizeof big)) > 0) {
        for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
            e = (struct inotify_event *)(big + at);
            last = at;
            events++;
        }
    }
    e = (struct inotify_event *)(big + last);
    REQUIRE(errno == EAGAIN && e->mask == IN_Q_OVERFLOW && e->wd == -1 && events == 16385);
    REQUIRE(unlink("x") == 0 && close(other) == 0);
}

int main(void)
{
    REQUIRE(mkdtemp(base) && chdir(base) == 0);
    in = inotify_init();
    REQUIRE(in >= 0);
    test_directory();
    test_file();
    test_waiting();
    test_errors();
    REQUIRE(chdir("/") == 0 && rmdir(base) == 0);
    return guest_pass("inotify");
}
