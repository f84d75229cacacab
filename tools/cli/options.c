/* SPDX-License-Identifier: BSD-3-Clause */
/* options.c - the options of `selkie run`, and how all commands speak of wrong ones: one clear
 * line. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "run.h"

/* ARGP_NO_ERRS, which gives us the errors to word, silences argp's --help too: this one is ours. */
static const struct argp_option help_option[] = {
    {"help", '?', NULL, 0, "show this text", -1},
    {0},
};

struct command_state {
    const struct argp *whole;
    void *input;
};

static error_t help_key(int key, char *value, struct argp_state *state)
{
    struct command_state *command = state->input;

    (void)value;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = command->input;
        return 0;
    }
    if (key != '?')
        return ARGP_ERR_UNKNOWN;
    argp_help(command->whole, stdout, ARGP_HELP_STD_HELP, state->name);
    exit(0);
}

/* What argp would say in two lines is said in one. */
void command_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    const struct argp_child children[] = {{.argp = argp}, {0}};
    const struct argp whole = {.options = help_option, .parser = help_key, .children = children};
    struct command_state state = {&whole, input};
    error_t err =
        argp_parse(&whole, argc, argv, ARGP_IN_ORDER | ARGP_NO_ERRS | ARGP_NO_HELP, NULL, &state);

    if (err)
        fail(EXIT_TOOL, "%s: %s", argv[0], strerror(err));
}

error_t command_key_default(int key, struct argp_state *state)
{
    if (key == ARGP_KEY_ERROR)
        fail(EXIT_TOOL,
             "%s: unknown option, or its value is missing or one too many; see %s --help",
             state->argv[state->next > 1 ? state->next - 1 : 1], state->name);
    return ARGP_ERR_UNKNOWN;
}

enum {
    KEY_ON = 256,
    KEY_CPUS,
    KEY_MEMORY,
    KEY_PACKAGE,
    KEY_FILE,
    KEY_ROOT,
    KEY_ENV,
    KEY_CWD,
    KEY_MACHINE,
    KEY_ACCEL,
    KEY_GDB,
    KEY_CORE,
    KEY_CRASH_REPORT,
    KEY_STRACE,
    KEY_VERBOSE,
    KEY_BUILD,
    KEY_BOOT,
    KEY_SIM,
    KEY_SIM_SET,
    KEY_SIM_TRACE,
    KEY_SIM_REPLAY,
    KEY_NET,
    KEY_PUBLISH,
    KEY_MAC,
    KEY_IP,
    KEY_GATEWAY,
    KEY_NAMESERVER,
    KEY_PCAP,
    KEY_NET_DEVICE,
};

static const struct argp_option run_option_table[] = {
    {"on", KEY_ON, "BACKEND", 0, "hosted (a Linux process; the default), x64 or aarch64 (QEMU)", 0},
    {"cpus", KEY_CPUS, "N", 0, "CPUs of the machine (default 1)", 0},
    {"memory", KEY_MEMORY, "SIZE", 0, "memory of the machine, e.g. 256M (default 1G)", 0},
    {"package", KEY_PACKAGE, "DEB", 0,
     "put this Debian package and what it depends on into the image; for aarch64 its arm64 build",
     0},
    {"file", KEY_FILE, "HOST[:GUEST]", 0, "put a file or folder into the image", 0},
    {"root", KEY_ROOT, "DIR", 0, "put everything below DIR into the image, as /", 0},
    {"env", KEY_ENV, "K=V", 0, "set a variable of the program's environment", 0},
    {"cwd", KEY_CWD, "DIR", 0, "start the program in this directory of the guest (default /)", 0},
    {"machine", KEY_MACHINE, "TYPE", 0, "QEMU machine: microvm (default), pc, q35; virt", 0},
    {"accel", KEY_ACCEL, "HOW", 0, "auto (default), tcg or kvm", 0},
    {"boot", KEY_BOOT, "WORD", 0, "add a word to the machine's command line, e.g. ring=3", 0},
    {"gdb", KEY_GDB, NULL, 0, "run under gdb (hosted), or let QEMU wait for one", 0},
    {"core", KEY_CORE, "FILE", 0,
     "if a signal kills the program or the kernel panics, write a core file, for selkie core", 0},
    {"crash-report", KEY_CRASH_REPORT, NULL, 0, "if a signal kills the program, say where and why",
     0},
    {"strace", KEY_STRACE, NULL, 0, "log every system call of the program", 0},
    {"verbose", KEY_VERBOSE, NULL, 0, "show the kernel's messages", 0},
    {"net", KEY_NET, "HOW", 0,
     "the network: user (address translation, no root; the default), tap:NAME, switch:PATH "
     "(several Selkies), or none; behind it a bad cable: ,loss=1%,delay=50ms and others "
     "(docs/network.md)",
     0},
    {"publish", KEY_PUBLISH, "[ADDR:]HOST:GUEST[/udp]", 0,
     "connections to this port of the host, on 127.0.0.1 if no ADDR is given, go to the guest's "
     "(--net user)",
     0},
    {"ip", KEY_IP, "ADDR/PREFIX", 0,
     "the guest's address; on taps and switches it asks for one without it (DHCP)", 0},
    {"gateway", KEY_GATEWAY, "ADDR", 0, "its router", 0},
    {"nameserver", KEY_NAMESERVER, "ADDR", 0, "its name server; may be repeated", 0},
    {"mac", KEY_MAC, "ADDR", 0, "its Ethernet address (by chance)", 0},
    {"pcap", KEY_PCAP, "FILE", 0, "record all frames, for wireshark", 0},
    {"net-device", KEY_NET_DEVICE, "TYPE", 0,
     "the network device: virtio (default), vmxnet3 (--machine pc and q35), or virtio-pci (those "
     "and virt)",
     0},
    {"sim", KEY_SIM, "SEED", 0, "run deterministically: the same seed, the same run (hosted)", 0},
    {"sim-set", KEY_SIM_SET, "NAME=VALUE", 0, "a knob of the simulation, see docs/simulation.md",
     0},
    {"sim-trace", KEY_SIM_TRACE, "FILE", 0, "write what happens in the simulation to FILE", 0},
    {"sim-replay", KEY_SIM_REPLAY, "FILE", 0, "run as recorded in FILE, and stop at a difference",
     0},
    {"build", KEY_BUILD, "PRESET", 0, "use this build of the kernel, e.g. hosted-asan", 0},
    {0},
};

static const char run_doc[] =
    "Run an unmodified Linux program inside Selkie."
    "\vPROGRAM is a path on this host, or a name that is looked up in the packages, below --root, "
    "and"
    " in this host's PATH. Its interpreter and shared libraries come along.\n\n"
    "The exit status is the program's; 128+N if signal N ended it; 125 if the kernel or this"
    " command failed, 126 if PROGRAM cannot be executed, 127 if it is not found.\n\n"
    "Examples:\n"
    "  selkie run /bin/ls -l /etc\n"
    "  selkie run --on x64 --cpus 4 sysbench cpu --threads=4 run\n"
    "  selkie run --on aarch64 --package python3 python3 -c 'print(6*7)'\n"
    "  selkie run --file data.json:/tmp/data.json jq .name /tmp/data.json\n"
    "  selkie run --strace --build hosted-asan busybox wc /etc/passwd\n"
    "  selkie run --sim 7 --cpus 4 sysbench threads --threads=8 run";

static void choose(const char *option, const char *value, const char *const *choices,
                   const char **out)
{
    for (size_t i = 0; choices[i]; i++)
        if (strcmp(choices[i], value) == 0) {
            *out = value;
            return;
        }
    fail(EXIT_TOOL, "--%s %s: unknown; see selkie run --help", option, value);
}

static void set_backend(struct run_options *options, const char *name)
{
    for (int i = 0; i < BACKEND_COUNT; i++)
        if (strcmp(backend_names[i], name) == 0) {
            options->backend = (enum backend)i;
            return;
        }
    fail(EXIT_TOOL, "--on %s: unknown backend; hosted, x64 or aarch64", name);
}

static void set_cpus(struct run_options *options, const char *value)
{
    char *end;
    unsigned long n = strtoul(value, &end, 10);

    if (*end || *value < '0' || *value > '9' || n < 1 || n > 256)
        fail(EXIT_TOOL, "--cpus %s: a number from 1 to 256 is wanted", value);
    options->cpus = (unsigned)n;
}

static void set_build(struct run_options *options, const char *value)
{
    if (!*value || strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(value))
        fail(EXIT_TOOL, "--build %s: not the name of a preset", value);
    options->build = value;
}

/* Words for the machine only: the program's, behind "--", are made by cmdline.c. */
static void add_boot(struct run_options *options, const char *value)
{
    if (!*value || strpbrk(value, " \t\n\"") || strcmp(value, "--") == 0)
        fail(EXIT_TOOL, "--boot %s: not a single word", value);
    list_add(&options->boot, value);
}

static void add_boot_word(struct run_options *options, const char *option, const char *value)
{
    net_check_address(text("--%s", option), value, strcmp(option, "ip") == 0);
    list_add(&options->boot, text("%s=%s", option, value));
    net_need(&options->net, option, value);
}

static error_t run_key_net(int key, char *value, struct argp_state *state)
{
    static const char *const devices[] = {"virtio", "virtio-pci", "vmxnet3", NULL};
    struct run_options *options = state->input;

    switch (key) {
    case KEY_NET:
        net_set_how(&options->net, value);
        return 0;
    case KEY_PUBLISH:
        net_add_publish(&options->net, value);
        return 0;
    case KEY_MAC:
        net_set_mac(&options->net, value);
        net_need(&options->net, "mac", value);
        return 0;
    case KEY_IP:
        add_boot_word(options, "ip", value);
        options->net.ip = value;
        return 0;
    case KEY_GATEWAY:
        add_boot_word(options, "gateway", value);
        return 0;
    case KEY_NAMESERVER:
        add_boot_word(options, "nameserver", value);
        return 0;
    case KEY_PCAP:
        options->net.pcap = value;
        net_need(&options->net, "pcap", value);
        return 0;
    case KEY_NET_DEVICE:
        choose("net-device", value, devices, &options->net.device);
        return 0;
    default:
        return command_key_default(key, state);
    }
}

static error_t run_key_more(int key, char *value, struct argp_state *state)
{
    static const char *const machines[] = {"microvm", "pc", "q35", "virt", NULL};
    static const char *const accels[] = {"auto", "tcg", "kvm", NULL};
    struct run_options *options = state->input;

    switch (key) {
    case KEY_MACHINE:
        choose("machine", value, machines, &options->machine);
        return 0;
    case KEY_ACCEL:
        choose("accel", value, accels, &options->accel);
        return 0;
    case KEY_GDB:
        options->gdb = true;
        return 0;
    case KEY_CRASH_REPORT:
        list_add(&options->boot, "crashreport=1");
        return 0;
    case KEY_CORE:
        options->core = value;
        return 0;
    case KEY_STRACE:
        options->strace = true;
        return 0;
    case KEY_VERBOSE:
        options->verbose = true;
        return 0;
    case KEY_BUILD:
        set_build(options, value);
        return 0;
    case KEY_SIM:
        options->sim = value;
        return 0;
    case KEY_SIM_SET:
        list_add(&options->sim_set, value);
        return 0;
    case KEY_SIM_TRACE:
        options->sim_trace = value;
        return 0;
    case KEY_SIM_REPLAY:
        options->sim_replay = value;
        return 0;
    case KEY_BOOT:
        add_boot(options, value);
        return 0;
    case ARGP_KEY_ARG:
        /* The program: everything from here on is its own. */
        options->argv = state->argv + state->next - 1;
        options->argc = state->argc - state->next + 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        fail(EXIT_TOOL, "which PROGRAM? See selkie run --help");
    default:
        return run_key_net(key, value, state);
    }
}

static error_t run_key(int key, char *value, struct argp_state *state)
{
    struct run_options *options = state->input;

    switch (key) {
    case KEY_ON:
        set_backend(options, value);
        return 0;
    case KEY_CPUS:
        set_cpus(options, value);
        return 0;
    case KEY_MEMORY:
        if (!parse_size(value, &options->memory))
            fail(EXIT_TOOL, "--memory %s: not a size such as 256M", value);
        options->memory_text = value;
        return 0;
    case KEY_PACKAGE:
        list_add(&options->packages, value);
        return 0;
    case KEY_FILE:
        list_add(&options->files, value);
        return 0;
    case KEY_ROOT:
        options->root = value;
        return 0;
    case KEY_ENV:
        if (!strchr(value, '=') || value[0] == '=')
            fail(EXIT_TOOL, "--env %s: NAME=VALUE is wanted", value);
        list_add(&options->env, value);
        return 0;
    case KEY_CWD:
        if (value[0] != '/')
            fail(EXIT_TOOL, "--cwd %s: not an absolute path", value);
        options->cwd = value;
        return 0;
    default:
        return run_key_more(key, value, state);
    }
}

/* The simulation is a build of its own. */
static void check_sim(struct run_options *options)
{
    bool wanted = options->sim || options->sim_replay;
    char *end;

    if (!wanted && (options->sim_trace || options->sim_set.count > 0))
        fail(EXIT_TOOL, "--sim-trace, --sim-set: only with --sim SEED or --sim-replay FILE");
    if (!wanted)
        return;
    if (options->backend != BACKEND_HOSTED)
        fail(EXIT_TOOL, "--sim: only the hosted backend can be simulated");
    if ((options->net.how && strcmp(options->net.how, "none") != 0) ||
        options->net.publish.count > 0)
        fail(EXIT_TOOL, "--net, --publish: a simulation has no outside: machines that share a "
                        "network are run by selkie sim FILE, with a line `net` in it");
    if (options->sim && options->sim_replay)
        fail(EXIT_TOOL, "--sim-replay %s: the seed is in the file", options->sim_replay);
    if (options->sim &&
        (options->sim[0] < '0' || options->sim[0] > '9' || (strtoull(options->sim, &end, 0), *end)))
        fail(EXIT_TOOL, "--sim %s: a number is wanted", options->sim);
    for (size_t i = 0; i < options->sim_set.count && !options->gdb; i++)
        if (text_starts(options->sim_set.items[i], "stop="))
            fail(EXIT_TOOL, "--sim-set %s: only with --gdb", options->sim_set.items[i]);
    if (!options->build)
        options->build = "hosted-sim";
}

static void check_net_device(const struct run_options *options)
{
    const char *device = options->net.device, *machine = options->machine ? options->machine : "";
    bool pc = strcmp(machine, "pc") == 0 || strcmp(machine, "q35") == 0;

    if (device && strcmp(device, "vmxnet3") == 0 && !pc)
        fail(EXIT_TOOL, "--net-device vmxnet3: only with --machine pc or q35");
    if (device && strcmp(device, "virtio-pci") == 0 && !pc && options->backend != BACKEND_AARCH64)
        fail(EXIT_TOOL, "--net-device virtio-pci: only with --machine pc or q35, or --on aarch64");
}

/* Which options go together only argp's caller can say. */
static void check_together(const struct run_options *options)
{
    if (options->backend == BACKEND_HOSTED && options->accel && strcmp(options->accel, "auto") != 0)
        fail(EXIT_TOOL, "--accel %s: the hosted backend has no QEMU machine", options->accel);
    check_net_device(options);
    if (!options->machine)
        return;
    if (options->backend == BACKEND_HOSTED)
        fail(EXIT_TOOL, "--machine %s: the hosted backend has no QEMU machine", options->machine);
    if ((strcmp(options->machine, "virt") == 0) != (options->backend == BACKEND_AARCH64))
        fail(EXIT_TOOL, "--machine %s: not a machine of the backend %s", options->machine,
             backend_names[options->backend]);
}

/* The words as one would type them; the first, the command's name, as it is. */
static char *shell_text(int argc, char **argv)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "_./:=,+@%^-";
    struct bytes out = {0};

    bytes_print(&out, "%s", argv[0]);
    for (int i = 1; i < argc; i++) {
        bool quote = !*argv[i] || argv[i][strspn(argv[i], plain)];

        bytes_print(&out, quote ? " '" : " ");
        for (const char *p = argv[i]; *p; p++)
            bytes_print(&out, *p == '\'' ? "'\\''" : "%c", *p);
        bytes_print(&out, quote ? "'" : "");
    }
    return out.data;
}

void run_parse(int argc, char **argv, struct run_options *options)
{
    static const struct argp argp = {
        run_option_table, run_key, "PROGRAM [ARG...]", run_doc, NULL, NULL, NULL};

    options->command = shell_text(argc, argv);
    command_parse(&argp, argc, argv, options);
    check_together(options);
    check_sim(options);
}
