/* SPDX-License-Identifier: BSD-3-Clause */
/* proc - what programs read about themselves and the machine under /proc, /dev and from uname and
 * sysinfo. */
#include "procfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

static char text[65536];

static char *slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        printf("FAIL: cannot open %s: %s\n", path, strerror(errno));
        exit(1);
    }
    size_t len = 0;
    ssize_t n;
    while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    REQUIRE(n == 0);
    text[len] = 0;
    close(fd);
    return text;
}

static void test_self(const char *self)
{
    char buf[4096];
    ssize_t n = readlink("/proc/self/exe", buf, sizeof(buf) - 1);
    REQUIRE(n > 0);
    buf[n] = 0;
    const char *base = strrchr(buf, '/');
    REQUIRE(base && strcmp(base + 1, strrchr(self, '/') ? strrchr(self, '/') + 1 : self) == 0);
    REQUIRE(strstr(slurp("/proc/self/maps"), "[stack]") && strstr(text, "r-xp") &&
            strstr(text, base + 1));
    unsigned long lo, hi, where = (unsigned long)(uintptr_t)&test_self;
    int found = 0;
    for (char *line = text; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (sscanf(line, "%lx-%lx", &lo, &hi) == 2 && where >= lo && where < hi)
            found = strstr(line, "r-xp") != NULL;
    REQUIRE(found);
    snprintf(buf, sizeof(buf), "Pid:\t%d\n", getpid());
    REQUIRE(strstr(slurp("/proc/self/status"), buf) && strstr(text, "VmRSS:") &&
            strstr(text, "Threads:\t1\n"));
    int pid;
    char state;
    REQUIRE(sscanf(slurp("/proc/self/stat"), "%d (%*[^)]) %c", &pid, &state) == 2 &&
            pid == getpid() && state == 'R');
    slurp("/proc/self/cmdline");
    REQUIRE(strcmp(text, self) == 0);
    REQUIRE(strlen(slurp("/proc/self/comm")) > 1);
    REQUIRE(strstr(slurp("/proc/self/limits"), "Max open files"));
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    REQUIRE(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        count += e->d_name[0] != '.';
    closedir(dir);
    REQUIRE(count >= 4);
    dir = opendir("/proc/self/task");
    REQUIRE(dir);
    count = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        count += atoi(e->d_name) == getpid();
    closedir(dir);
    REQUIRE(count == 1);
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY);
    snprintf(buf, sizeof(buf), "/proc/self/fd/%d", fd);
    n = readlink(buf, text, sizeof(text));
    REQUIRE(n == 4 && memcmp(text, "/tmp", 4) == 0);
}

static bool has_word(const char *line, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = line; (at = strstr(at, word)) != NULL; at += len)
        if (at > line && at[-1] == ' ' && (at[len] == ' ' || at[len] == '\n'))
            return true;
    return false;
}

/* What programs and libraries look for: one block for each processor, and in it the same features
 * that the processor or the auxiliary vector tells of. */
static void test_cpuinfo(void)
{
    char *line;
    int blocks = 0;
    slurp("/proc/cpuinfo");
    for (const char *at = text; (at = strstr(at, "processor\t:")) != NULL; at++)
        blocks++;
    REQUIRE(blocks == sysconf(_SC_NPROCESSORS_ONLN));
#if defined(__x86_64__)
    REQUIRE(strstr(text, "vendor_id\t: ") && strstr(text, "\nmodel name\t: "));
    REQUIRE(strstr(text, "\ncpu family\t: ") && strstr(text, "\ncpu cores\t: "));
    REQUIRE((line = strstr(text, "\nflags\t\t: ")) != NULL);
    *strchr(line + 1, '\n') = ' ';
    REQUIRE(has_word(line, "fpu") && has_word(line, "sse2") && has_word(line, "lm"));
    REQUIRE(has_word(line, "sse4_2") == !!__builtin_cpu_supports("sse4.2"));
    REQUIRE(has_word(line, "avx2") == !!__builtin_cpu_supports("avx2"));
    REQUIRE(has_word(line, "avx512f") == !!__builtin_cpu_supports("avx512f"));
    REQUIRE(has_word(line, "bmi2") == !!__builtin_cpu_supports("bmi2"));
#elif defined(__aarch64__)
    REQUIRE(strstr(text, "\nCPU implementer\t: 0x") && strstr(text, "\nCPU part\t: 0x"));
    REQUIRE((line = strstr(text, "\nFeatures\t: ")) != NULL);
    *strchr(line + 1, '\n') = ' ';
    REQUIRE(has_word(line, "fp") && has_word(line, "asimd"));
    REQUIRE(has_word(line, "aes") == !!(getauxval(AT_HWCAP) & 1 << 3));
    REQUIRE(has_word(line, "atomics") == !!(getauxval(AT_HWCAP) & 1 << 8));
#endif
}

/* All memory is in the kernel's map of it, where it says of what that is made. */
static void test_direct_map(unsigned long total)
{
    static const char *const sizes[] = {"DirectMap4k:", "DirectMap2M:", "DirectMap1G:"};
    unsigned long sum = 0;
    if (!strstr(text, sizes[0]))
        return;
    for (int i = 0; i < 3; i++) {
        const char *line = strstr(text, sizes[i]); /* x86 without such pages has no third line */
        sum += line ? strtoul(line + strlen(sizes[i]), NULL, 10) : 0;
    }
    REQUIRE(sum >= total);
}

static void test_machine(void)
{
    unsigned long value;
    double up;
    struct sysinfo si;
    struct utsname u;
    REQUIRE(sscanf(strstr(slurp("/proc/meminfo"), "MemTotal:"), "MemTotal: %lu kB", &value) == 1 &&
            value > 1000);
    REQUIRE(strstr(text, "MemFree:") && strstr(text, "MemAvailable:"));
    test_direct_map(value);
    test_cpuinfo();
    REQUIRE(strncmp(slurp("/proc/stat"), "cpu ", 4) == 0 && strstr(text, "cpu0 "));
    REQUIRE(sscanf(slurp("/proc/uptime"), "%lf", &up) == 1 && up >= 0);
    REQUIRE(strlen(slurp("/proc/mounts")) > 0 && strstr(text, "/proc"));
    REQUIRE(strcmp(slurp("/proc/sys/kernel/ostype"), "Linux\n") == 0);
    REQUIRE(strlen(slurp("/proc/sys/kernel/osrelease")) > 3 &&
            atoi(slurp("/proc/sys/kernel/pid_max")) > 100);
    REQUIRE(sscanf(slurp("/proc/loadavg"), "%lf", &up) == 1);
    REQUIRE(sysinfo(&si) == 0 && si.totalram > 0 && si.mem_unit > 0 && si.procs >= 1);
    REQUIRE(uname(&u) == 0 && strcmp(u.sysname, "Linux") == 0 && strlen(u.release) > 2);
    REQUIRE(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
}

static void test_dev(void)
{
    char a[32], b[32];
    struct stat st;
    int fd = open("/dev/null", O_RDWR);
    REQUIRE(fd >= 0 && write(fd, "abc", 3) == 3 && read(fd, a, 3) == 0 && close(fd) == 0);
    fd = open("/dev/zero", O_RDONLY);
    memset(a, 1, sizeof(a));
    REQUIRE(fd >= 0 && read(fd, a, 32) == 32 && a[0] == 0 && a[31] == 0 && close(fd) == 0);
    fd = open("/dev/full", O_WRONLY);
    REQUIRE(fd >= 0);
    REQUIRE_ERRNO(write(fd, "a", 1), ENOSPC);
    close(fd);
    fd = open("/dev/urandom", O_RDONLY);
    REQUIRE(fd >= 0 && read(fd, a, 32) == 32 && read(fd, b, 32) == 32 && memcmp(a, b, 32) != 0);
    close(fd);
    REQUIRE(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

static unsigned long status(const char *what)
{
    return number_in("/proc/self/status", what);
}

/* The most memory there has been is told when it is gone. Linux's count of resident pages is exact
 * to some for each processor only. */
static void test_peaks(void)
{
    enum { SIZE = 24 << 20, KB = SIZE >> 10, SOME = 4 << 10 };
    const int access = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    struct rusage usage;
    unsigned long size = status("VmSize:"), resident = status("VmRSS:");
    char *p = mmap(NULL, SIZE, access, flags, -1, 0);
    REQUIRE(p != MAP_FAILED);
    memset(p, 1, SIZE);
    REQUIRE(status("VmPeak:") >= size + KB && status("VmHWM:") >= resident + KB - SOME);
    /* It is moved: two places for a moment, which is nobody's affair. */
    REQUIRE(mremap(p, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, p - 4l * SIZE) == p - 4l * SIZE);
    p -= 4l * SIZE;
    unsigned long peak = status("VmPeak:"), most = status("VmHWM:");
    REQUIRE(peak < size + KB + SOME && most < resident + KB + SOME);
    REQUIRE(madvise(p, SIZE, MADV_DONTNEED) == 0);
    REQUIRE(status("VmRSS:") < resident + SOME && status("VmHWM:") >= most - SOME / 4);
    REQUIRE(munmap(p, SIZE) == 0 && status("VmSize:") < size + SOME && status("VmPeak:") >= peak);
    for (int who = RUSAGE_SELF; who <= RUSAGE_THREAD; who++)
        REQUIRE(getrusage(who, &usage) == 0 && usage.ru_maxrss >= (long)resident + KB - SOME);
}

int main(int argc, char **argv)
{
    (void)argc;
    test_self(argv[0]);
    test_machine();
    test_dev();
    test_peaks();
    return guest_pass("proc");
}
