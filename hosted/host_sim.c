/* SPDX-License-Identifier: BSD-3-Clause */
/* host_sim.c - deterministic simulation: the options, and making the process itself the same every
 * time: its addresses, its CPU, what it reads. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "outer.h"
#include "sim_wire.h"

const char *const hosted_knob_names[HOSTED_KNOBS] = {
    [HOSTED_KNOB_SWITCH] = "switch",   [HOSTED_KNOB_DEPTH] = "depth",
    [HOSTED_KNOB_LENGTH] = "length",   [HOSTED_KNOB_MEMORY] = "memory",
    [HOSTED_KNOB_SKEW] = "skew",       [HOSTED_KNOB_STAY] = "stay",
    [HOSTED_KNOB_NOMEM] = "nomem",     [HOSTED_KNOB_STEP] = "step",
    [HOSTED_KNOB_SLOW] = "slow",       [HOSTED_KNOB_HOLD] = "hold",
    [HOSTED_KNOB_ENTROPY] = "entropy", [HOSTED_KNOB_DEVICES] = "devices",
    [HOSTED_KNOB_STOP] = "stop",
};

#if SELKIE_SIM

#define WALL_BASE_NS 1767225600000000000ull /* 2026-01-01 00:00:00 UTC */
#define INPUT_STEP (1 << 20)
#define PLACES 0x600000000000ul
#define DEVICE_BUSY_US 20000u
#define DEVICE_LATE_US 5000u

struct knob_range {
    uint64_t usual, lo, hi;
};
static const struct knob_range ranges[HOSTED_KNOBS] = {
    [HOSTED_KNOB_SWITCH] = {100, 1, 1000000000},    [HOSTED_KNOB_DEPTH] = {0, 0, 1000000},
    [HOSTED_KNOB_LENGTH] = {100000, 1, 1ull << 50}, [HOSTED_KNOB_MEMORY] = {0, 0, 1},
    [HOSTED_KNOB_SKEW] = {0, 0, 1000000000},        [HOSTED_KNOB_STAY] = {10, 1, 100000},
    [HOSTED_KNOB_NOMEM] = {0, 0, 1000000000},       [HOSTED_KNOB_STEP] = {0, 0, 1000000000},
    [HOSTED_KNOB_SLOW] = {0, 0, 1000000},           [HOSTED_KNOB_HOLD] = {64000, 1, 1000000000},
    [HOSTED_KNOB_ENTROPY] = {0, 0, UINT64_MAX},     [HOSTED_KNOB_DEVICES] = {0, 0, 1000000000},
    [HOSTED_KNOB_STOP] = {0, 0, UINT64_MAX},
};
static bool given[HOSTED_KNOBS];

static uint64_t number(const char *what, const char *text, const char *end, uint64_t lo,
                       uint64_t hi)
{
    char *stop;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &stop, 0);
    if (errno || stop == text || stop != end || text[0] == '-' || value < lo || value > hi)
        host_fail("%s: not a number from %llu to %llu", what, (unsigned long long)lo,
                  (unsigned long long)hi);
    return value;
}

void host_sim_set(const char *text)
{
    const char *value = strchr(text, '=');

    for (unsigned i = 0; value && i < HOSTED_KNOBS; i++) {
        const char *name = hosted_knob_names[i];

        if (strlen(name) != (size_t)(value - text) || memcmp(name, text, strlen(name)) != 0)
            continue;
        hosted_config.sim.knob[i] =
            number(text, value + 1, value + strlen(value), ranges[i].lo, ranges[i].hi);
        given[i] = true;
        return;
    }
    host_fail("--sim-set %s: no such knob (docs/simulation.md)", text);
}

void host_sim_exact(char **argv)
{
    int persona = personality(0xffffffff);
    cpu_set_t cpus;

    if (persona < 0)
        host_fail("personality: %s", strerror(errno));
    if (!(persona & ADDR_NO_RANDOMIZE)) {
        if (personality((unsigned)persona | ADDR_NO_RANDOMIZE) < 0)
            host_fail("simulation needs fixed addresses: personality: %s", strerror(errno));
        execv("/proc/self/exe", argv);
        host_fail("/proc/self/exe: %s", strerror(errno));
    }
    /* CPUID says which CPU it is on. */
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &cpus)) {
                CPU_ZERO(&cpus);
                CPU_SET(cpu, &cpus);
                (void)sched_setaffinity(0, sizeof(cpus), &cpus);
                break;
            }
}

/* Left to itself the host maps from the top down, below what its own version, its libraries and the
 * limit of the stack take. Pointers of the kernel are part of its memory, and decide here and there
 * (what a lookup meets first). So they are asked for between executables and libraries. */
void *host_sim_place(size_t size)
{
    static uintptr_t next = PLACES;
    uintptr_t at = next;

    next += (size + 2 * HOSTED_LARGE_PAGE) & ~(HOSTED_LARGE_PAGE - 1);
    return (void *)at;
}

static void read_input(struct hosted_sim *s)
{
    uint8_t *buf = NULL;
    size_t size = 0, used = 0;
    ssize_t n;

    if (isatty(STDIN_FILENO))
        return;
    for (;;) {
        if (used == size) {
            size += INPUT_STEP;
            buf = realloc(buf, size);
            if (!buf)
                host_fail("no memory for standard input");
        }
        n = read(STDIN_FILENO, buf + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    s->input = buf;
    s->input_size = used;
}

/* The seed and the knobs of a recorded run, from its first line. */
static void take_header(struct hosted_sim *s, const char *path)
{
    static const char start[] = "selkie-sim ";
    const char *end = memchr(s->compare, '\n', s->compare_size), *at;

    if (!end || s->compare_size < sizeof(start) ||
        memcmp(s->compare, start, sizeof(start) - 1) != 0)
        host_fail("%s: not a trace of a simulation", path);
    for (at = s->compare + sizeof(start) - 1; at < end;) {
        const char *stop = memchr(at, ' ', (size_t)(end - at)), *value;
        char word[128];

        stop = stop ? stop : end;
        if ((size_t)(stop - at) >= sizeof(word))
            host_fail("%s: not a trace of a simulation", path);
        memcpy(word, at, (size_t)(stop - at));
        word[stop - at] = '\0';
        value = strchr(word, '=');
        if (!value)
            host_fail("%s: not a trace of a simulation", path);
        if (strncmp(word, "seed=", 5) == 0)
            s->seed = number(word, value + 1, value + strlen(value), 0, UINT64_MAX);
        else if (strncmp(word, "cpus=", 5) == 0)
            hosted_config.cpu_count =
                (unsigned)number(word, value + 1, value + strlen(value), 1, HOSTED_CPU_MAX);
        else
            host_sim_set(word);
        at = stop + 1;
    }
}

static void map_recorded(struct hosted_sim *s, const char *path)
{
    struct stat st;
    void *at;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        host_fail("%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        host_fail("%s: not a trace of a simulation", path);
    at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        host_fail("%s: %s", path, strerror(errno));
    close(fd);
    s->compare = at;
    s->compare_size = (size_t)st.st_size;
    take_header(s, path);
}

/* One of several kernels: whoever holds their clock says what is connected. */
static void take_link(struct hosted_sim *s, int fd)
{
    struct sim_wire setup;

    s->link_fd = fd;
    if (fd < 0)
        return;
    if (read(fd, &setup, sizeof(setup)) != (ssize_t)sizeof(setup) || setup.kind != SIM_WIRE_SETUP)
        host_fail("--sim-link %d: nobody there", fd);
    s->link_flags = (unsigned)setup.a;
    s->link_delay = setup.b;
}

/* Whether the virtual CPU's thread will be able to fault CPUID: tried, and undone. */
static bool can_fault_cpuid(void)
{
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0ul) < 0)
        return false;
    return syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1ul) == 0;
}

static void take_cpu(struct hosted_sim *s)
{
    s->cpuid = can_fault_cpuid();
    if (!s->cpuid && s->report && s->link_fd < 0)
        fputs("selkie: simulation: this host cannot fault CPUID: programs see its CPU, and the "
              "memory's hash holds for CPUs like it\n",
              stderr);
}

static const char *host_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *host_text(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        host_fail("no memory for the command line");
    va_end(args);
    return text;
}

/* A copy, whose address does not depend on the environment as that of argv does, with the kernel's
 * own options for allocations that fail and devices that are late (docs/boot.md) in front. */
static const char *command_line(const struct hosted_sim *s, const char *text)
{
    uintmax_t seed = s->seed, nomem = s->knob[HOSTED_KNOB_NOMEM];
    uintmax_t devices = s->knob[HOSTED_KNOB_DEVICES];

    text = host_text("%s", text);
    if (devices == 1)
        host_fail("--sim-set devices=1: nothing would ever be done");
    if (devices)
        text = host_text("chaos=seed:%ju,busy:%ju:%u,work:%ju:%u %s", seed, devices, DEVICE_BUSY_US,
                         devices, DEVICE_LATE_US, text);
    return nomem ? host_text("nomem=%ju:%ju %s", nomem, seed, text) : text;
}

void host_sim_setup(const struct host_options *options)
{
    struct hosted_config *c = &hosted_config;
    struct hosted_sim *s = &c->sim;

    if (options->sim.seed)
        s->seed = number("--sim", options->sim.seed, options->sim.seed + strlen(options->sim.seed),
                         0, UINT64_MAX);
    if (options->sim.replay)
        map_recorded(s, options->sim.replay);
    for (unsigned i = 0; i < HOSTED_KNOBS; i++)
        if (!given[i])
            s->knob[i] = ranges[i].usual;
    s->report = options->sim.report;
    s->trace_fd = -1;
    if (options->sim.trace) {
        s->trace_fd = open(options->sim.trace, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (s->trace_fd < 0)
            host_fail("%s: %s", options->sim.trace, strerror(errno));
    }
    c->cmdline = command_line(s, c->cmdline);
    take_link(s, options->sim.link);
    take_cpu(s);
    if (s->link_fd < 0)
        read_input(s);
    hosted_input_idle = 1; /* nobody watches for more */
    c->in_tty = c->out_tty = c->err_tty = false;
    c->in_ours = true;
    c->window = 0;
    c->wall_base_ns = WALL_BASE_NS;
    c->tsc_mult = c->tsc_base = c->clock_base_ns = 0;
    __stack_chk_guard = 0x5e1c1e0000000000ull ^ s->seed << 8;
}

#else

void *host_sim_place(size_t size)
{
    (void)size;
    return NULL;
}

void host_sim_set(const char *text)
{
    host_fail("--sim-set %s: this kernel is not built for simulation", text);
}

void host_sim_exact(char **argv)
{
    (void)argv;
}

void host_sim_setup(const struct host_options *options)
{
    if (options->sim.seed || options->sim.replay)
        host_fail("this kernel is not built for simulation (preset hosted-sim)");
}

#endif
