/* SPDX-License-Identifier: BSD-3-Clause */
/* doctor.c - `selkie doctor`: what this host can run, and what to do about what it cannot. Changes
 * nothing. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "child.h"
#include "commands.h"
#include "run.h"

static unsigned missing;

static void row(bool good, const char *what, const char *says)
{
    printf("%s %-22s %s\n", good ? "yes" : " no", what, says);
    missing += !good;
}

static const char *first_line(const char *program, const char *option)
{
    const char *const words[] = {program, option, NULL};
    struct bytes out = {0};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int status = run_quiet(words, &out, null);

    close(null);
    if (status != 0 || !out.data)
        return NULL;
    out.data[strcspn(out.data, "\n")] = 0;
    return out.data;
}

static void check_program(const char *what, const char *program, const char *group)
{
    const char *version = first_line(program, "--version");

    row(version != NULL, what,
        version ? version : text("%s is missing: tools/setup packages %s", program, group));
}

static void check_host(void)
{
    struct utsname name;
    struct bytes cpu = {0};

    uname(&name);
    row(strcmp(name.machine, "x86_64") == 0, "x86-64 host",
        text("Linux %s on %s", name.release, name.machine));
    /* PR_SET_SYSCALL_USER_DISPATCH (59), off: EINVAL or ENOSYS where the kernel lacks it. */
    row(prctl(59, 0, 0, 0, 0) == 0, "syscall user dispatch",
        prctl(59, 0, 0, 0, 0) == 0 ? "hosted can trap system calls"
                                   : "hosted needs Linux 5.11 or later");
    file_read("/proc/cpuinfo", &cpu);
    row(cpu.data && strstr(cpu.data, "fsgsbase"), "FSGSBASE",
        cpu.data && strstr(cpu.data, "fsgsbase")
            ? "hosted switches thread pointers in user mode"
            : "hosted needs a CPU and kernel (5.9 or later) with FSGSBASE");
}

static void check_kvm(void)
{
    struct bytes cpu = {0};

    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        row(false, "KVM",
            errno == ENOENT ? "no /dev/kvm: x64 machines run under TCG (slower, the same results)"
                            : "/dev/kvm is not yours to open: add yourself to the group kvm");
        return;
    }
    file_read("/proc/cpuinfo", &cpu);
    if (cpu.data && (strstr(cpu.data, " vmx") || strstr(cpu.data, " svm")))
        row(true, "KVM", "x64 machines use it");
    else
        row(true, "KVM",
            "there, but the CPU shows no vmx/svm: ring 0 of its machines is interpreted; "
            "--accel auto takes TCG, with --accel kvm x64 machines run in ring 3");
}

static void check_network(void)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    row(net_user_there(), "libslirp",
        net_user_there() ? "--net user works, the default network"
                         : "no default network: install libslirp-dev, remove build/tools");
    row(fd >= 0, "/dev/net/tun",
        fd >= 0           ? "tap devices can be made (by root, or with CAP_NET_ADMIN)"
        : errno == ENOENT ? "not there: modprobe tun"
                          : "not yours to open");
    if (fd >= 0)
        close(fd);
}

static void check_registry(void)
{
    char *lists = text("%s/apt-arm64/state/updated", cache_dir());

    row(first_line("apt-get", "--version") != NULL, "Debian packages",
        first_line("apt-get", "--version") ? "--package works with apt's sources"
                                           : "no apt-get: --package cannot work");
    row(true, "arm64 packages",
        file_exists(lists) ? "their lists are in the cache"
                           : "fetched at the first use (deb sources must not exclude arm64)");
}

int command_doctor(int argc, char **argv)
{
    static const struct argp argp = {.doc = "Say what this host can run, and what to do about what"
                                            " is missing. Changes nothing."};

    command_parse(&argp, argc, argv, NULL);
    printf("backend hosted\n");
    check_host();
    check_program("compiler", "gcc", "core");
    check_program("sanitizers", "clang-14", "clang");
    check_program("debugger", "gdb", "gdb");
    printf("backend x64\n");
    check_program("QEMU", "qemu-system-x86_64", "x64");
    check_kvm();
    printf("backend aarch64\n");
    check_program("QEMU", "qemu-system-aarch64", "aarch64");
    check_program("cross compiler", "aarch64-linux-gnu-gcc", "aarch64");
    check_registry();
    printf("elsewhere\n");
    check_network();
    check_program("musl", "musl-gcc", "test");
    check_program("peer gVisor", "runsc", "bench");
    printf("cache: %s\n", cache_dir());
    printf("%s\n", missing ? "What is missing is installed by the commands that need it, if it is"
                             " a Debian package."
                           : "Everything is there.");
    return 0;
}
