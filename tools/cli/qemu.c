/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * qemu.c - starting the kernel as a virtual machine: QEMU's command line, and what to make of its
 * end. The machine's only serial line is QEMU's standard input and output, a socket to us;
 * console.c speaks the framed console protocol over it. Machines with virtio MMIO windows get a
 * virtio console as well, on another socket, for the program's streams: a serial line costs a
 * system call per byte.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "run.h"

/* Windows 1 and 2 and their interrupts in a microvm: the console, and random numbers. The interrupt
 * of window 0, the first one of the second I/O APIC, never comes: QEMU takes it for the one that is
 * wired differently on the first. */
#define PORT_BUS "virtio-mmio-bus.1"
#define MICROVM_PORT " virtio_mmio.device=512@0xfeb00200:25 virtio_mmio.device=512@0xfeb00400:26"
#define RNG_BUS "virtio-mmio-bus.2"
#define NET_BUS "virtio-mmio-bus.3"
#define MICROVM_NET " virtio_mmio.device=512@0xfeb00600:27"
#define OFF_SECONDS 5.0 /* from the exit status to the machine being off */
#define GDB_PORT 1234
#define FOREVER 1e9        /* a machine has no time limit */
#define PORT_FD 3          /* QEMU's end of the virtio console */
#define SOCKET_BUFFER 8192 /* little input on its way, so that a signal overtakes little */

static bool cpu_virtualizes(void)
{
    struct bytes bytes = {0};

    if (access("/dev/kvm", R_OK | W_OK) < 0 || !file_read("/proc/cpuinfo", &bytes))
        return false;
    return strstr(bytes.data, " vmx") || strstr(bytes.data, " svm");
}

static const char *accelerator(const struct run_options *options)
{
    const char *wanted = options->accel ? options->accel : "auto";

    if (strcmp(wanted, "auto") == 0)
        return options->backend == BACKEND_X64 && cpu_virtualizes() ? "kvm" : "tcg";
    if (strcmp(wanted, "kvm") == 0) {
        if (options->backend != BACKEND_X64)
            fail(EXIT_TOOL, "--accel kvm: this host cannot run AArch64 machines with KVM");
        if (access("/dev/kvm", R_OK | W_OK) < 0)
            fail(EXIT_TOOL, "--accel kvm: /dev/kvm: %s", strerror(errno));
    }
    return wanted;
}

/* An interpreted machine (KVM without hardware) is better off with as few devices as possible. */
static bool has_port(const struct run_options *options, const char *accel)
{
    return options->backend == BACKEND_AARCH64 || strcmp(accel, "kvm") != 0 || cpu_virtualizes();
}

/* Are its virtio devices on PCI, or behind MMIO windows? */
static bool has_pci(const struct run_options *options)
{
    return options->machine &&
           (strcmp(options->machine, "pc") == 0 || strcmp(options->machine, "q35") == 0);
}

static void port_words(struct list *words, bool pci)
{
    list_add(words, "-device");
    list_add(words, pci ? "virtio-serial-pci,max_ports=2"
                        : "virtio-serial-device,max_ports=2,bus=" PORT_BUS);
    list_add(words, "-device");
    list_add(words, pci ? "virtio-rng-pci" : "virtio-rng-device,bus=" RNG_BUS);
    list_add(words, "-chardev");
    list_add(words, text("socket,id=port,fd=%d", PORT_FD));
    list_add(words, "-device");
    list_add(words, "virtserialport,nr=1,chardev=port");
}

static void x64_words(const struct run_options *options, struct list *words, const char *accel)
{
    const char *machine = options->machine ? options->machine : "microvm";

    list_add(words, "qemu-system-x86_64");
    list_add(words, "-M");
    if (strcmp(machine, "microvm") == 0)
        list_add(words,
                 text("microvm,rtc=on,x-option-roms=off,auto-kernel-cmdline=off,accel=%s", accel));
    else
        list_add(words, text("%s,accel=%s", machine, accel));
    list_add(words, "-cpu");
    /* Where KVM is there without hardware virtualization, "host" and "max" ask for what it cannot
     * do. */
    list_add(words, strcmp(accel, "kvm") != 0 ? "max" : cpu_virtualizes() ? "host" : "qemu64");
    list_add(words, "-device");
    list_add(words, "isa-debug-exit,iobase=0x501,iosize=2");
}

static void aarch64_words(const struct run_options *options, struct list *words, const char *accel)
{
    list_add(words, "qemu-system-aarch64");
    list_add(words, "-M");
    list_add(words, text("virt,gic-version=3,accel=%s", accel));
    list_add(words, "-cpu");
    list_add(words, "max,pauth-impdef=on");
}

/* A free port for QEMU's gdb server: the usual one, or another. It may be taken until QEMU asks for
 * it; then QEMU says so. */
static unsigned gdb_port(void)
{
    for (unsigned port = GDB_PORT;; port = 0) {
        struct sockaddr_in addr = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
        socklen_t len = sizeof(addr);
        bool free_port;

        if (fd < 0)
            return GDB_PORT;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        free_port = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, 1) == 0 &&
                    getsockname(fd, (struct sockaddr *)&addr, &len) == 0;
        close(fd);
        if (free_port)
            return ntohs(addr.sin_port);
        if (port == 0)
            return GDB_PORT;
    }
}

static void gdb_words(const struct run_options *options, struct list *words)
{
    unsigned port = gdb_port();

    build_packages("gdb");
    list_add(words, "-S");
    list_add(words, "-gdb");
    list_add(words, text("tcp:127.0.0.1:%u", port));
    fprintf(stderr,
            "selkie: the machine waits; attach with: %s -q -ex 'target remote 127.0.0.1:%u'"
            " -x %s/tools/gdb/machine.gdb %s/build/%s/selkie-%s.elf\n",
            options->backend == BACKEND_AARCH64 ? "gdb-multiarch" : "gdb", port, top_dir(),
            top_dir(), build_preset(options), backend_names[options->backend]);
}

static const char *net_device(const struct run_options *options)
{
    const char *device = options->net.device ? options->net.device : "";

    if (strcmp(device, "vmxnet3") == 0)
        return "vmxnet3,romfile=";
    return has_pci(options) || strcmp(device, "virtio-pci") == 0 ? "virtio-net-pci,romfile="
                                                                 : "virtio-net-device,bus=" NET_BUS;
}

static void qemu_words(struct run_options *options, const struct image *image, struct list *words,
                       bool *port, int *ram)
{
    const char *accel = accelerator(options);
    char *kernel = build_kernel(options);
    char *machine_words;

    if (options->backend == BACKEND_X64)
        x64_words(options, words, accel);
    else
        aarch64_words(options, words, accel);
    /* A debugger knows the addresses that the image was linked for. */
    machine_words = text("conframe=1%s %s", options->gdb ? " kaslr=0" : "", console_words());
    list_add(words, "-global");
    list_add(words, "virtio-mmio.force-legacy=false");
    if (net_wanted(options, has_port(options, accel))) {
        net_qemu_words(options, words, net_device(options));
        if (options->backend == BACKEND_X64 && !has_pci(options))
            machine_words = text("%s" MICROVM_NET, machine_words);
    }
    *port = has_port(options, accel);
    if (*port) {
        port_words(words, has_pci(options));
        machine_words =
            text("%s console=virtio%s", machine_words,
                 options->backend == BACKEND_X64 && !has_pci(options) ? MICROVM_PORT : "");
    }
    if (options->core) {
        core_machine_words(options, words, ram);
        machine_words = text("%s core=%s/build/%s/selkie-%s.elf", machine_words, top_dir(),
                             build_preset(options), backend_names[options->backend]);
    }
    const char *const rest[] = {
        "-m",
        text("%juk", (uintmax_t)options->memory / 1024),
        "-smp",
        text("%u", options->cpus),
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-chardev",
        "stdio,id=console,signal=off",
        "-serial",
        "chardev:console",
        "-kernel",
        kernel,
        "-initrd",
        image->path,
        "-append",
        cmdline_make(options, machine_words, image->program),
    };
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
        list_add(words, rest[i]);
    if (options->gdb)
        gdb_words(options, words);
    const char *more = getenv("SELKIE_QEMU_ARGS");
    if (more)
        list_split(words, more, " ");
}

/* The first thing QEMU complained about that is more than a warning, or the first at all. */
static char *first_complaint(const struct bytes *complaint)
{
    struct list lines = {0};

    list_split(&lines, complaint->data ? complaint->data : "", "\n");
    for (size_t i = 0; i < lines.count; i++)
        if (!strstr(lines.items[i], "warning:"))
            return lines.items[i];
    return lines.count ? lines.items[0] : NULL;
}

static _Noreturn void qemu_child(const struct list *words, int line, int port, int errors)
{
    dup2(line, STDIN_FILENO);
    dup2(line, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    if (port == PORT_FD)
        fcntl(port, F_SETFD, 0); /* dup2 would leave it close-on-exec */
    else
        dup2(port, PORT_FD);
    execvp(words->items[0], words->items);
    dprintf(STDERR_FILENO, "%s: %s", words->items[0], strerror(errno));
    _exit(127);
}

void qemu_start(struct run_options *options, const struct image *image)
{
    struct list words = {0};
    struct bytes complaint = {0}, core = {0};
    int ram = -1;
    int line[2], port[2], errors[2], announced;
    bool has;
    int buffer = SOCKET_BUFFER;
    const char *why;
    struct child qemu;

    qemu_words(options, image, &words, &has, &ram);
    if (pipe2(errors, O_CLOEXEC) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, port) < 0)
        fail(EXIT_TOOL, "no pipe to QEMU: %s", strerror(errno));
    setsockopt(has ? port[0] : line[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    /* In a group of its own: the terminal's signals are for us alone. */
    if (child_fork(&qemu, FOREVER, true))
        qemu_child(&words, line[1], port[1], errors[1]);
    close(line[1]);
    close(port[1]);
    close(errors[1]);
    announced = console_carry(line[0], has ? port[0] : -1, errors[0], &complaint, &core);
    close(line[0]);
    close(port[0]);
    qemu.deadline = now_seconds() + (announced >= 0 ? OFF_SECONDS : 0.2);
    child_wait(&qemu, NULL);
    why = first_complaint(&complaint);
    if (options->verbose && why)
        warn("%s", complaint.data);
    if (options->core)
        core_write(options, &core, ram);
    if (announced >= 0)
        exit(announced);
    fail(EXIT_TOOL, "%s: the machine stopped without an exit status%s%.200s", words.items[0],
         why ? ": " : "", why ? why : "");
}
