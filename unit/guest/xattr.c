/* SPDX-License-Identifier: BSD-3-Clause */
/* xattr - extended attributes: set, get, list, remove, by path, link and descriptor, and every
 * error. */
#include "guest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static char base[] = "/tmp/xattrXXXXXX";
static char big[70000];
static void *volatile bad_pointer = (void *)8;

int main(void)
{
    char buf[256];
    REQUIRE(mkdtemp(base) && chdir(base) == 0);
    int fd = open("file", O_RDWR | O_CREAT, 0644);
    REQUIRE(fd >= 0 && symlink("file", "link") == 0 && mkfifo("fifo", 0600) == 0);
    REQUIRE_ERRNO(getxattr("file", "user.one", buf, sizeof buf), ENODATA);
    REQUIRE(setxattr("link", "user.one", "value", 5, XATTR_CREATE) == 0);
    REQUIRE_ERRNO(setxattr("file", "user.one", "x", 1, XATTR_CREATE), EEXIST);
    REQUIRE_ERRNO(setxattr("file", "user.two", "x", 1, XATTR_REPLACE), ENODATA);
    REQUIRE(getxattr("file", "user.one", buf, sizeof buf) == 5 && memcmp(buf, "value", 5) == 0);
    REQUIRE(fgetxattr(fd, "user.one", NULL, 0) == 5);
    REQUIRE_ERRNO(fgetxattr(fd, "user.one", buf, 4), ERANGE);
    REQUIRE(fsetxattr(fd, "user.one", "", 0, XATTR_REPLACE) == 0);
    REQUIRE(getxattr("file", "user.one", buf, sizeof buf) == 0);
    REQUIRE(fsetxattr(fd, "user.two", "b\0c", 3, 0) == 0);
    REQUIRE(flistxattr(fd, NULL, 0) == 18 && listxattr("link", buf, sizeof buf) == 18);
    REQUIRE(memmem(buf, 18, "user.one", 9) && memmem(buf, 18, "user.two", 9));
    REQUIRE_ERRNO(flistxattr(fd, buf, 17), ERANGE);
    REQUIRE(llistxattr("link", buf, sizeof buf) == 0);
    REQUIRE_ERRNO(lsetxattr("link", "user.x", "x", 1, 0), EPERM);
    REQUIRE_ERRNO(setxattr("fifo", "user.x", "x", 1, 0), EPERM);
    REQUIRE_ERRNO(lgetxattr("link", "user.x", buf, 1), ENODATA);
    REQUIRE_ERRNO(setxattr("file", "plain", "x", 1, 0), EOPNOTSUPP);
    REQUIRE_ERRNO(getxattr("file", "plain", buf, 1), EOPNOTSUPP);
    REQUIRE_ERRNO(setxattr("file", "", "x", 1, 0), ERANGE);
    memset(big, 'a', sizeof big);
    memcpy(big, "user.", 5);
    big[256] = 0;
    REQUIRE_ERRNO(setxattr("file", big, "x", 1, 0), ERANGE);
    REQUIRE_ERRNO(setxattr("file", "user.big", big, 65537, 0), E2BIG);
    REQUIRE_ERRNO(setxattr("file", "user.one", "x", 1, 8), EINVAL);
    REQUIRE_ERRNO(setxattr("file", "user.one", bad_pointer, 1, 0), EFAULT);
    REQUIRE_ERRNO(setxattr("none", "user.one", "x", 1, 0), ENOENT);
    REQUIRE_ERRNO(removexattr("file", "user.none"), ENODATA);
    REQUIRE(removexattr("file", "user.one") == 0 && fremovexattr(fd, "user.two") == 0);
    REQUIRE(listxattr("file", buf, sizeof buf) == 0);
    REQUIRE(setxattr(".", "user.dir", "d", 1, 0) == 0 && getxattr(".", "user.dir", buf, 9) == 1);
    if (geteuid() == 0) {
        REQUIRE(lsetxattr("link", "trusted.t", "t", 1, 0) == 0);
        REQUIRE(lgetxattr("link", "trusted.t", buf, 9) == 1 &&
                lremovexattr("link", "trusted.t") == 0);
    }
    REQUIRE_ERRNO(fgetxattr(-1, "user.one", buf, 1), EBADF);
    REQUIRE(close(fd) == 0 && unlink("file") == 0 && unlink("link") == 0 && unlink("fifo") == 0);
    REQUIRE(chdir("/") == 0 && rmdir(base) == 0);
    return guest_pass("xattr");
}
