/* SPDX-License-Identifier: BSD-3-Clause */
/* pidfd - descriptors of the process and its threads: opening, polling, signals, descriptors,
 * advice.
 */
#include "guest.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define THREAD O_EXCL
#define P 4096ul

static int self(void)
{
    return (int)syscall(SYS_gettid);
}
static int pidfd(int pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}
static long send_by(int fd, int signo, siginfo_t *info, unsigned flags)
{
    return syscall(SYS_pidfd_send_signal, fd, signo, info, flags);
}
static int events(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    REQUIRE(poll(&p, 1, 0) >= 0);
    return p.revents;
}

static volatile int tid, leave;
static void *thread(void *arg)
{
    tid = self();
    while (!leave)
        usleep(1000);
    return arg;
}

static void test_open(void)
{
    char c, link[64], name[64] = "";
    REQUIRE_ERRNO(pidfd(0, 0), EINVAL);
    REQUIRE_ERRNO(pidfd(-1, 0), EINVAL);
    REQUIRE_ERRNO(pidfd(getpid(), 1), EINVAL);
    REQUIRE_ERRNO(pidfd(4000000, 0), ESRCH);
    int fd = pidfd(getpid(), O_NONBLOCK);
    REQUIRE(fd >= 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    REQUIRE_ERRNO(read(fd, &c, 1), EINVAL);
    REQUIRE_ERRNO(write(fd, "x", 1), EINVAL);
    REQUIRE(events(fd) == 0);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    REQUIRE(readlink(link, name, sizeof name - 1) > 0 && strstr(name, "pidfd"));
    close(fd);
}

static void test_thread(void)
{
    pthread_t t;
    REQUIRE(pthread_create(&t, NULL, thread, NULL) == 0);
    while (!tid)
        usleep(100);
    REQUIRE(pidfd(tid, 0) == -1 && (errno == EINVAL || errno == ENOENT)); /* not the leader */
    int fd = pidfd(tid, THREAD);
    if (fd < 0) { /* Linux before 6.9 */
        REQUIRE(errno == EINVAL);
        leave = 1;
        REQUIRE(pthread_join(t, NULL) == 0);
        return;
    }
    REQUIRE(events(fd) == 0);
    leave = 1;
    struct pollfd p = {fd, POLLIN, 0};
    REQUIRE(poll(&p, 1, -1) == 1 && (p.revents & POLLIN));
    REQUIRE(pthread_join(t, NULL) == 0);
    while (send_by(fd, 0, NULL, 0) == 0)
        usleep(100);
    REQUIRE(errno == ESRCH);
    close(fd);
}

static void test_signal(void)
{
    sigset_t set;
    siginfo_t info = {.si_code = SI_QUEUE}, got;
    int fd = pidfd(getpid(), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    REQUIRE(send_by(fd, 0, NULL, 0) == 0);
    REQUIRE_ERRNO(send_by(fd, 65, NULL, 0), EINVAL);
    REQUIRE_ERRNO(send_by(fd, SIGUSR1, NULL, 64), EINVAL);
    REQUIRE_ERRNO(send_by(0, SIGUSR1, NULL, 0), EBADF);
    REQUIRE_ERRNO(send_by(fd, SIGUSR1, &info, 0), EINVAL); /* another number inside */
    REQUIRE(send_by(fd, SIGUSR1, NULL, 0) == 0 && sigwaitinfo(&set, &got) == SIGUSR1);
    REQUIRE(got.si_code == SI_USER && got.si_pid == getpid());
    info.si_signo = SIGUSR1;
    info.si_value.sival_int = 42;
    REQUIRE(send_by(fd, SIGUSR1, &info, 0) == 0 && sigwaitinfo(&set, &got) == SIGUSR1);
    REQUIRE(got.si_code == SI_QUEUE && got.si_value.sival_int == 42);
    close(fd);
}

static void test_getfd(void)
{
    int fd = pidfd(getpid(), 0), p[2], copy;
    char c;
    REQUIRE(pipe(p) == 0);
    REQUIRE_ERRNO(syscall(SYS_pidfd_getfd, fd, p[0], 1), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_pidfd_getfd, fd, 999, 0), EBADF);
    REQUIRE_ERRNO(syscall(SYS_pidfd_getfd, p[0], p[0], 0), EBADF);
    copy = (int)syscall(SYS_pidfd_getfd, fd, p[0], 0);
    REQUIRE(copy >= 0 && copy != p[0] && fcntl(copy, F_GETFD) == FD_CLOEXEC);
    REQUIRE(write(p[1], "c", 1) == 1 && read(copy, &c, 1) == 1 && c == 'c');
    close(copy), close(p[0]), close(p[1]), close(fd);
}

static void test_advice(void)
{
    int fd = pidfd(getpid(), 0);
    char *p = mmap(NULL, 8 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    memset(p, 1, 8 * P);
    struct iovec v[3] = {{p, 2 * P}, {p + 4 * P, P}, {p + 6 * P, P}};
    REQUIRE_ERRNO(syscall(SYS_process_madvise, fd, v, 3, MADV_COLD, 1), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_process_madvise, 0, v, 3, MADV_COLD, 0), EBADF);
    REQUIRE_ERRNO(syscall(SYS_process_madvise, fd, v, 3, 12345, 0), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_process_madvise, fd, v, 2000, MADV_COLD, 0), EINVAL);
    REQUIRE_ERRNO(syscall(SYS_process_madvise, fd, (void *)8, 1, MADV_COLD, 0), EFAULT);
    REQUIRE(syscall(SYS_process_madvise, fd, v, 3, MADV_COLD, 0) == 4 * (long)P);
    REQUIRE(syscall(SYS_process_madvise, fd, v, 0, MADV_COLD, 0) == 0);
    REQUIRE(munmap(p + 6 * P, P) == 0);
    REQUIRE(syscall(SYS_process_madvise, fd, v, 3, MADV_COLD, 0) == 3 * (long)P); /* so far */
    REQUIRE_ERRNO(syscall(SYS_process_madvise, fd, v + 2, 1, MADV_COLD, 0), ENOMEM);
    for (unsigned long i = 0; i < 6 * P; i += P)
        REQUIRE(p[i] == 1);
    close(fd);
}

int main(void)
{
    test_open();
    test_thread();
    test_signal();
    test_getfd();
    test_advice();
    return guest_pass("pidfd");
}
