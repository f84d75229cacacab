/* SPDX-License-Identifier: BSD-3-Clause */
/* files - paths, directories, links, offsets, truncation, descriptors, permissions: results and
 * errors. */
#include "guest.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>

static char base[] = "/tmp/filesXXXXXX";
static void *volatile bad_pointer = (void *)8;

static void touch(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static void test_paths(void)
{
    char buf[PATH_MAX + 10];
    struct stat st;
    REQUIRE_ERRNO(open("missing", O_RDONLY), ENOENT);
    REQUIRE_ERRNO(open("", O_RDONLY), ENOENT);
    touch("file", "hello");
    REQUIRE_ERRNO(open("file/x", O_RDONLY), ENOTDIR);
    REQUIRE_ERRNO(open("file/", O_RDONLY), ENOTDIR);
    REQUIRE_ERRNO(open("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
    REQUIRE_ERRNO(open("file", O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
    REQUIRE_ERRNO(open(".", O_WRONLY), EISDIR);
    REQUIRE(mkdir("dir", 0755) == 0 && mkdir("dir/sub", 0700) == 0);
    REQUIRE_ERRNO(mkdir("dir", 0755), EEXIST);
    REQUIRE_ERRNO(mkdir("no/dir", 0755), ENOENT);
    REQUIRE_ERRNO(rmdir("dir"), ENOTEMPTY);
    REQUIRE_ERRNO(unlink("dir"), EISDIR);
    REQUIRE_ERRNO(rmdir("file"), ENOTDIR);
    REQUIRE(symlink("file", "link") == 0 && readlink("link", buf, 3) == 3 &&
            memcmp(buf, "fil", 3) == 0);
    REQUIRE(lstat("link", &st) == 0 && S_ISLNK(st.st_mode) && st.st_size == 4);
    REQUIRE(stat("link", &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 5);
    REQUIRE_ERRNO(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
    REQUIRE(symlink("loop", "loop") == 0);
    REQUIRE_ERRNO(open("loop", O_RDONLY), ELOOP);
    REQUIRE_ERRNO(readlink("file", buf, 10), EINVAL);
    memset(buf, 'a', 256);
    buf[256] = 0;
    REQUIRE_ERRNO(open(buf, O_RDONLY), ENAMETOOLONG);
    memset(buf, '/', PATH_MAX);
    for (int len = 80; len < 140; len++) { /* short ones need no memory: across that length */
        memcpy(buf, ".", 1);
        strcpy(buf + len, "file");
        REQUIRE(stat(buf, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 5);
        strcpy(buf + len, "none");
        REQUIRE_ERRNO(stat(buf, &st), ENOENT);
        memset(buf, '/', (size_t)len + 5);
    }
    strcpy(buf + PATH_MAX - 1, "");
    REQUIRE(stat(buf, &st) == 0 && S_ISDIR(st.st_mode));
    memset(buf, '/', PATH_MAX);
    buf[PATH_MAX] = 0;
    REQUIRE_ERRNO(open(buf, O_RDONLY), ENAMETOOLONG);
    REQUIRE_ERRNO(open(bad_pointer, O_RDONLY), EFAULT);
    REQUIRE(link("file", "hard") == 0 && stat("hard", &st) == 0 && st.st_nlink == 2);
    REQUIRE(rename("hard", "dir/moved") == 0 && access("hard", F_OK) == -1 && errno == ENOENT);
    REQUIRE_ERRNO(rename("dir", "dir/sub/x"), EINVAL);
    REQUIRE_ERRNO(rename("file", "dir"), EISDIR);
    REQUIRE(rename("dir/moved", "file") == 0); /* the same inode: nothing happens */
    REQUIRE(unlink("dir/moved") == 0);
    REQUIRE(chdir("dir/sub") == 0 && getcwd(buf, sizeof(buf)) && strlen(buf) == strlen(base) + 8);
    REQUIRE(access("../../file", R_OK) == 0 && chdir("../..") == 0);
    REQUIRE(getcwd(buf, 2) == NULL && errno == ERANGE);
}

static void test_offsets(void)
{
    char buf[64] = {0};
    struct stat st;
    int fd = open("offsets", O_RDWR | O_CREAT, 0600);
    REQUIRE(fd >= 0 && write(fd, "0123456789", 10) == 10);
    REQUIRE(lseek(fd, -3, SEEK_END) == 7 && read(fd, buf, 10) == 3 && memcmp(buf, "789", 3) == 0);
    REQUIRE(read(fd, buf, 10) == 0);
    REQUIRE_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
    REQUIRE_ERRNO(lseek(fd, 0, 99), EINVAL);
    REQUIRE(pread(fd, buf, 4, 2) == 4 && memcmp(buf, "2345", 4) == 0 &&
            lseek(fd, 0, SEEK_CUR) == 10);
    REQUIRE(pwrite(fd, "AB", 2, 20000) == 2 && fstat(fd, &st) == 0 && st.st_size == 20002);
    REQUIRE(pread(fd, buf, 4, 10000) == 4 && memcmp(buf, "\0\0\0\0", 4) == 0);
    struct iovec iov[3] = {{buf, 2}, {buf + 10, 0}, {buf + 20, 3}};
    REQUIRE(lseek(fd, 0, SEEK_SET) == 0 && readv(fd, iov, 3) == 5);
    REQUIRE(memcmp(buf, "01", 2) == 0 && memcmp(buf + 20, "234", 3) == 0);
    REQUIRE(ftruncate(fd, 5) == 0 && ftruncate(fd, 10) == 0);
    REQUIRE(pread(fd, buf, 10, 0) == 10 && memcmp(buf, "01234\0\0\0\0\0", 10) == 0);
    REQUIRE_ERRNO(ftruncate(fd, -1), EINVAL);
    REQUIRE_ERRNO(write(fd, bad_pointer, 10), EFAULT);
    REQUIRE_ERRNO(read(fd, bad_pointer, 10), EFAULT);
    REQUIRE(read(fd, buf, 0) == 0);
    int ap = open("offsets", O_WRONLY | O_APPEND);
    REQUIRE(ap >= 0 && lseek(ap, 0, SEEK_SET) == 0 && write(ap, "Z", 1) == 1);
    REQUIRE(lseek(ap, 2, SEEK_SET) == 2 && write(ap, "", 0) == 0);
    REQUIRE_ERRNO(write(ap, bad_pointer, 10), EFAULT);
    REQUIRE(lseek(ap, 0, SEEK_CUR) == 2); /* neither has moved it */
    /* sendfile moves both positions; with an offset, that one in place of the source's. */
    int out = open("sent", O_RDWR | O_CREAT, 0600);
    off_t from = 2;
    REQUIRE(out >= 0 && lseek(fd, 0, SEEK_SET) == 0 && sendfile(out, fd, NULL, 2) == 2);
    REQUIRE(lseek(fd, 0, SEEK_CUR) == 2 && sendfile(out, fd, NULL, 2) == 2);
    REQUIRE(sendfile(out, fd, &from, 1) == 1 && from == 3 && lseek(fd, 0, SEEK_CUR) == 4);
    REQUIRE(pread(out, buf, 10, 0) == 5 && memcmp(buf, "01232", 5) == 0);
    REQUIRE(unlink("sent") == 0 && close(out) == 0);
    REQUIRE(pread(fd, buf, 20, 0) == 11 && buf[10] == 'Z');
    REQUIRE_ERRNO(read(ap, buf, 1), EBADF);
    REQUIRE(unlink("offsets") == 0 && pread(fd, buf, 1, 0) == 1 && fstat(fd, &st) == 0 &&
            st.st_nlink == 0);
    close(ap);
    close(fd);
}

static void test_descriptors(void)
{
    int fd = open("file", O_RDONLY | O_CLOEXEC), copy;
    char a, b;
    REQUIRE(fd >= 3 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    copy = dup(fd);
    REQUIRE(copy > fd && fcntl(copy, F_GETFD) == 0);
    REQUIRE(read(fd, &a, 1) == 1 && read(copy, &b, 1) == 1 && a == 'h' &&
            b == 'e'); /* one position */
    REQUIRE(dup2(fd, 100) == 100 && close(100) == 0 && dup2(fd, fd) == fd);
    REQUIRE_ERRNO(dup2(99, 5), EBADF);
    REQUIRE_ERRNO(dup3(fd, fd, 0), EINVAL);
    REQUIRE_ERRNO(close(99), EBADF);
    REQUIRE_ERRNO(close(-1), EBADF);
    REQUIRE(fcntl(fd, F_DUPFD, 50) == 50 && close(50) == 0);
    REQUIRE((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
    REQUIRE(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK) == 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK));
    REQUIRE_ERRNO(write(fd, "x", 1), EBADF);
    REQUIRE_ERRNO(ioctl(fd, 0x5401, &a), ENOTTY);
    close(copy);
    close(fd);
}

static void test_directory(void)
{
    char name[32];
    REQUIRE(mkdir("many", 0755) == 0);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "many/entry%d", i);
        touch(name, "");
    }
    DIR *dir = opendir("many");
    int count = 0, dots = 0;
    REQUIRE(dir != NULL);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            dots++;
        else if (e->d_type == DT_REG || e->d_type == DT_UNKNOWN)
            count++;
    }
    REQUIRE(dots == 2 && count == 300);
    rewinddir(dir);
    REQUIRE(readdir(dir) != NULL);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "many/entry%d", i);
        REQUIRE(unlink(name) == 0);
    }
    closedir(dir);
    REQUIRE(rmdir("many") == 0);
    int d = open(".", O_RDONLY | O_DIRECTORY);
    struct stat st;
    REQUIRE(d >= 0 && fstatat(d, "file", &st, 0) == 0 && fstatat(d, "", &st, AT_EMPTY_PATH) == 0 &&
            S_ISDIR(st.st_mode));
    /* As a C library does fstat: of anything that is open. */
    struct stat same;
    int ends[2];
    REQUIRE(pipe(ends) == 0 && fstatat(ends[0], "", &st, AT_EMPTY_PATH) == 0 &&
            S_ISFIFO(st.st_mode));
    close(ends[1]), close(ends[0]);
    REQUIRE_ERRNO(fstatat(ends[0], "", &st, AT_EMPTY_PATH), EBADF);
    REQUIRE_ERRNO(fstatat(d, (const char *)1, &st, AT_EMPTY_PATH), EFAULT);
    REQUIRE_ERRNO(fstatat(d, "", &st, 0), ENOENT);
    REQUIRE(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH) == 0 && stat(".", &same) == 0 &&
            st.st_ino == same.st_ino && st.st_dev == same.st_dev);
    REQUIRE(fstatat(d, "file", &st, AT_EMPTY_PATH) == 0 && S_ISREG(st.st_mode));
    int at = openat(d, "file", O_RDONLY);
    REQUIRE(at >= 0 && mkdirat(d, "z", 0700) == 0 && unlinkat(d, "z", AT_REMOVEDIR) == 0);
    REQUIRE_ERRNO(openat(at, "x", O_RDONLY), ENOTDIR);
    struct statfs sf;
    REQUIRE(statfs(".", &sf) == 0 && sf.f_bsize > 0);
    close(at);
    close(d);
}

static void test_modes(void)
{
    struct stat st;
    mode_t old = umask(027);
    REQUIRE(close(open("mode", O_CREAT | O_WRONLY, 0666)) == 0 && stat("mode", &st) == 0);
    REQUIRE((st.st_mode & 0777) == 0640 && umask(old) == 027);
    REQUIRE(chmod("mode", 0712) == 0 && stat("mode", &st) == 0 && (st.st_mode & 07777) == 0712);
    struct timespec times[2] = {{1000000000, 5}, {1100000000, 7}};
    REQUIRE(utimensat(AT_FDCWD, "mode", times, 0) == 0 && stat("mode", &st) == 0);
    REQUIRE(st.st_atim.tv_sec == 1000000000 && st.st_mtim.tv_nsec == 7);
    REQUIRE(truncate("mode", 12345) == 0 && stat("mode", &st) == 0 && st.st_size == 12345);
    REQUIRE(unlink("mode") == 0);
}

static void on_limit(int sig)
{
    (void)sig;
}

/* An open that fails with EMFILE has no effect; RLIMIT_FSIZE stops a file that grows. */
static void test_limits(void)
{
    struct rlimit old, few, small = {10, RLIM_INFINITY};
    struct stat st;
    touch("kept", "hello");
    REQUIRE(getrlimit(RLIMIT_NOFILE, &old) == 0);
    int next = dup(0);
    few = (struct rlimit){(rlim_t)next, old.rlim_max};
    REQUIRE(next > 0 && close(next) == 0 && setrlimit(RLIMIT_NOFILE, &few) == 0);
    REQUIRE_ERRNO(open("kept", O_WRONLY | O_TRUNC), EMFILE);
    REQUIRE_ERRNO(open("made", O_WRONLY | O_CREAT, 0600), EMFILE);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &old) == 0);
    REQUIRE(stat("kept", &st) == 0 && st.st_size == 5);
    REQUIRE_ERRNO(stat("made", &st), ENOENT);
    signal(SIGXFSZ, on_limit);
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    int fd = open("kept", O_RDWR | O_APPEND);
    REQUIRE(fd >= 0 && write(fd, "world!!!", 8) == 5);
    REQUIRE_ERRNO(write(fd, "x", 1), EFBIG);
    REQUIRE_ERRNO(ftruncate(fd, 11), EFBIG);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0 && fstat(fd, &st) == 0 && st.st_size == 10);
    REQUIRE(ftruncate(fd, 1ll << 42) == 0 && lseek(fd, 4096, SEEK_DATA) == -1 && errno == ENXIO);
    close(fd);
    unlink("kept");
}

/* /var/run is /run, where servers put their numbers and sockets (FHS 3.0, 5.13). */
static void test_run(void)
{
    struct stat a, b;
    REQUIRE(stat("/run", &a) == 0 && stat("/var/run", &b) == 0);
    REQUIRE(S_ISDIR(a.st_mode) && a.st_ino == b.st_ino && a.st_dev == b.st_dev);
}

int main(void)
{
    test_run();
    REQUIRE(mkdtemp(base) != NULL && chdir(base) == 0);
    test_paths();
    test_offsets();
    test_descriptors();
    test_directory();
    test_modes();
    test_limits();
    REQUIRE(unlink("file") == 0 && unlink("link") == 0 && unlink("loop") == 0);
    REQUIRE(rmdir("dir/sub") == 0 && rmdir("dir") == 0 && chdir("/") == 0 && rmdir(base) == 0);
    return guest_pass("files");
}
