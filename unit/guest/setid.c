/* SPDX-License-Identifier: BSD-3-Clause */
/* setid - user and group ids: of one thread by the system call, of all by the library; what
 * execve makes of set-user-id and set-group-id bits, and that no_new_privs forbids it; that these
 * bits go when somebody changes the file; and that a program need not be readable. Only root can
 * see all that; anybody else passes. */
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#define USER 1000
#define OWNER 1234
#define GROUP 2345
static char path[64], other[80];

static void ids(uid_t ruid, uid_t euid, uid_t suid, gid_t rgid, gid_t egid, gid_t sgid)
{
    uid_t u[3];
    gid_t g[3];
    REQUIRE(getresuid(&u[0], &u[1], &u[2]) == 0 && getresgid(&g[0], &g[1], &g[2]) == 0);
    REQUIRE(u[0] == ruid && u[1] == euid && u[2] == suid);
    REQUIRE(g[0] == rgid && g[1] == egid && g[2] == sgid);
    REQUIRE(getauxval(AT_PAGESZ) > 0);
}

/* ---- threads ---- */

static void *alone(void *arg)
{
    struct stat st;
    REQUIRE(syscall(SYS_setresgid, USER, USER, USER) == 0 &&
            syscall(SYS_setresuid, USER, USER, USER) == 0);
    REQUIRE(syscall(SYS_geteuid) == USER && syscall(SYS_getegid) == USER);
    int fd = open(other, O_CREAT | O_EXCL | O_WRONLY, 0600);
    REQUIRE(fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == USER && st.st_gid == USER);
    close(fd);
    REQUIRE_ERRNO(syscall(SYS_setresuid, 0, 0, 0), EPERM);
    REQUIRE_ERRNO(syscall(SYS_setresuid, -1, 0, -1), EPERM);
    return arg;
}

static void *nobody(void *arg)
{
    return arg;
}

/* The real id becomes the real or the effective one, not the saved one; and who may have no more
 * threads gets none, as often as he asks. */
static void *limited(void *arg)
{
    pthread_t t;
    REQUIRE(syscall(SYS_setresuid, USER, USER, OWNER) == 0);
    REQUIRE_ERRNO(syscall(SYS_setreuid, OWNER, -1), EPERM);
    for (int i = 0; i < 10; i++)
        REQUIRE(pthread_create(&t, NULL, nobody, NULL) == EAGAIN);
    REQUIRE(syscall(SYS_geteuid) == USER);
    REQUIRE(syscall(SYS_setreuid, -1, OWNER) == 0 && syscall(SYS_geteuid) == OWNER);
    return arg;
}

static void test_limited(void)
{
    struct rlimit all, none;
    pthread_t t;
    REQUIRE(getrlimit(RLIMIT_NPROC, &all) == 0);
    none = all;
    none.rlim_cur = 0;
    REQUIRE(setrlimit(RLIMIT_NPROC, &none) == 0);
    REQUIRE(pthread_create(&t, NULL, limited, NULL) == 0 && pthread_join(t, NULL) == 0);
    REQUIRE(setrlimit(RLIMIT_NPROC, &all) == 0);
}

static volatile int step;
static void *follower(void *arg)
{
    while (step == 0)
        sched_yield();
    REQUIRE(geteuid() == USER && getuid() == USER);
    step = 2;
    while (step == 2)
        sched_yield();
    REQUIRE(geteuid() == 0 && getuid() == 0);
    return arg;
}

static void *changer(void *arg)
{
    for (int i = 0; i < 300; i++)
        REQUIRE(syscall(SYS_setresuid, -1, i % 2 ? 0 : USER, -1) == 0);
    return arg;
}

static void test_threads(void)
{
    pthread_t t;
    REQUIRE(pthread_create(&t, NULL, alone, NULL) == 0 && pthread_join(t, NULL) == 0);
    REQUIRE(geteuid() == 0 && getegid() == 0 && unlink(other) == 0);
    REQUIRE(pthread_create(&t, NULL, follower, NULL) == 0);
    REQUIRE(setresuid(USER, USER, 0) == 0);
    step = 1;
    while (step == 1)
        sched_yield();
    REQUIRE(setresuid(0, 0, 0) == 0);
    step = 3;
    REQUIRE(pthread_join(t, NULL) == 0);
    /* Another thread's changes do not disturb who reads them. */
    REQUIRE(pthread_create(&t, NULL, changer, NULL) == 0);
    for (int i = 0; i < 300; i++) {
        struct stat st;
        char line[200];
        snprintf(line, sizeof(line), "/proc/self/task/%d/status", (int)getpid());
        REQUIRE(stat("/proc/self/status", &st) == 0 && access(line, R_OK) == 0);
        REQUIRE(kill(getpid(), 0) == 0 && geteuid() == 0);
    }
    REQUIRE(pthread_join(t, NULL) == 0);
}

/* ---- programs ---- */

static void copy_self(const char *to, mode_t mode)
{
    static char buf[65536];
    ssize_t n;
    int in = open("/proc/self/exe", O_RDONLY), out = open(to, O_CREAT | O_EXCL | O_WRONLY, 0700);
    REQUIRE(in >= 0 && out >= 0);
    while ((n = read(in, buf, sizeof(buf))) > 0)
        REQUIRE(write(out, buf, (size_t)n) == n);
    /* chown takes the bits away, so they come last. */
    REQUIRE(n == 0 && fchown(out, OWNER, GROUP) == 0 && fchmod(out, mode) == 0);
    close(in);
    close(out);
}

/* ---- contents that change ---- */

static mode_t mode_of(int fd)
{
    struct stat st;
    REQUIRE(fstat(fd, &st) == 0);
    return st.st_mode & 07777;
}

/* Each way of changing a file, by somebody else than root. */
static void change(int how, int fd)
{
    switch (how) {
    case 0:
        REQUIRE(write(fd, "x", 1) == 1);
        break;
    case 1:
        REQUIRE(pwrite(fd, "x", 1, 100) == 1);
        break;
    case 2:
        REQUIRE(ftruncate(fd, 50) == 0);
        break;
    case 3:
        REQUIRE(truncate(other, 20) == 0);
        break;
    case 4:
        REQUIRE(close(open(other, O_WRONLY | O_TRUNC)) == 0);
        break;
    default:
        REQUIRE(posix_fallocate(fd, 0, 4096) == 0);
    }
}

static void test_changes(void)
{
    int fd = open(other, O_CREAT | O_EXCL | O_RDWR, 0777);
    REQUIRE(fd >= 0 && fchown(fd, OWNER, GROUP) == 0);
    for (int how = 0; how <= 5; how++) {
        REQUIRE(fchmod(fd, 06777) == 0);
        change(how, fd);
        REQUIRE(mode_of(fd) == 06777); /* root may */
        REQUIRE(syscall(SYS_setresuid, -1, USER, -1) == 0);
        REQUIRE(pwrite(fd, "", 0, 0) == 0 && mode_of(fd) == 06777);
        change(how, fd);
        REQUIRE(mode_of(fd) == 0777);
        REQUIRE(syscall(SYS_setresuid, -1, 0, -1) == 0);
    }
    REQUIRE(close(fd) == 0 && unlink(other) == 0);
}

/* What is made in a set-group-id directory of a group one is not in has no set-group-id bit. */
static void made_in_a_directory(void)
{
    char folder[64], file[80];
    struct stat st;
    snprintf(folder, sizeof folder, "/tmp/setid.%d", (int)getpid());
    snprintf(file, sizeof file, "%s/f", folder);
    umask(0);
    REQUIRE(mkdir(folder, 0777) == 0 && chown(folder, OWNER, GROUP) == 0);
    REQUIRE(chmod(folder, 02777) == 0);
    for (int how = 0; how < 2; how++) {
        REQUIRE(syscall(SYS_setresuid, -1, USER, -1) == 0);
        int fd = how ? mknod(file, S_IFREG | 02775, 0) : open(file, O_CREAT | O_RDWR, 02775);
        REQUIRE(fd >= 0 && stat(file, &st) == 0 && st.st_gid == GROUP);
        REQUIRE((st.st_mode & 07777) == 0775);
        REQUIRE(syscall(SYS_setresuid, -1, 0, -1) == 0);
        REQUIRE((how || close(fd) == 0) && unlink(file) == 0);
    }
    REQUIRE(rmdir(folder) == 0);
}

static void first(char **argv)
{
    struct statvfs fs;
    copy_self(path, 06755);
    REQUIRE(statvfs(path, &fs) == 0);
    if (fs.f_flag & ST_NOSUID) {
        unlink(path);
        return;
    }
    REQUIRE(setresgid(USER, USER, USER) == 0 && setresuid(USER, USER, USER) == 0);
    execl(path, argv[0], "second", NULL);
    REQUIRE(!"execl");
}

static void second(char **argv)
{
    ids(USER, OWNER, OWNER, USER, GROUP, GROUP);
    REQUIRE(getauxval(AT_SECURE) == 1 && getauxval(AT_UID) == USER && getauxval(AT_EUID) == OWNER &&
            getauxval(AT_GID) == USER && getauxval(AT_EGID) == GROUP);
    REQUIRE(prctl(PR_GET_DUMPABLE) != 1);
    /* Files are looked at as OWNER, by access(2) as USER. */
    int fd = open(other, O_CREAT | O_EXCL | O_WRONLY, 0600);
    REQUIRE(fd >= 0 && close(fd) == 0);
    REQUIRE_ERRNO(access(other, R_OK), EACCES);
    REQUIRE(faccessat(AT_FDCWD, other, R_OK, AT_EACCESS) == 0);
    fd = open(other, O_RDONLY);
    REQUIRE(fd >= 0 && close(fd) == 0 && unlink(other) == 0);
    char hidden[16];
    copy_self(other, 0111);
    fd = open(other, O_PATH);
    REQUIRE(fd >= 0 && unlink(other) == 0);
    snprintf(hidden, sizeof(hidden), "%d", fd);
    fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && unlink(path) == 0);
    REQUIRE(setresuid(-1, USER, -1) == 0 && setresgid(-1, USER, -1) == 0);
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    char *args[] = {argv[0], "third", hidden, NULL}, *env[] = {NULL};
    syscall(SYS_execveat, fd, "", args, env, AT_EMPTY_PATH);
    REQUIRE(!"execveat");
}

/* As USER. What is no regular file is not opened; what may only be executed is. */
static void third(char **argv)
{
    char *args[] = {argv[0], "fourth", argv[2], NULL}, *env[] = {NULL};
    ids(USER, USER, USER, USER, USER, USER); /* the saved ids went with execve */
    REQUIRE(getauxval(AT_SECURE) == 0 && prctl(PR_GET_DUMPABLE) == 1);
    REQUIRE(mkfifo(other, 0777) == 0);
    REQUIRE_ERRNO(execve(other, args, env), EACCES);
    REQUIRE_ERRNO(syscall(SYS_execveat, AT_FDCWD, other, args, env, 0), EACCES);
    REQUIRE(unlink(other) == 0);
    REQUIRE_ERRNO(execve("/dev/null", args, env), EACCES);
    REQUIRE_ERRNO(execve("/tmp", args, env), EACCES);
    snprintf(path, sizeof(path), "/proc/self/fd/%s", argv[2]);
    REQUIRE_ERRNO(open(path, O_RDONLY), EACCES);
    syscall(SYS_execveat, atoi(argv[2]), "", args, env, AT_EMPTY_PATH);
    REQUIRE(!"execveat");
}

int main(int argc, char **argv)
{
    snprintf(path, sizeof(path), "/tmp/setid.%d", (int)getpid());
    snprintf(other, sizeof(other), "%s.file", path);
    if (argc == 1 && geteuid() == 0) {
        test_threads();
        test_limited();
        test_changes();
        made_in_a_directory();
        first(argv);
    } else if (argc == 2 && strcmp(argv[1], "second") == 0) {
        second(argv);
    } else if (argc == 3 && strcmp(argv[1], "third") == 0) {
        third(argv);
    } else if (argc == 3) {
        /* What it was made of is not to be seen in another way either. */
        REQUIRE(prctl(PR_GET_DUMPABLE) != 1);
    }
    return guest_pass("setid");
}
