/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench.c - `selkie bench`: speed and size, each beside a peer measured in the same run.
 *
 * Times are minima of several runs: on a shared machine the least disturbed one is the cost.
 * Instructions are exact. Nothing here passes or fails; the column "goal" says what the project
 * wants.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "testcase.h"

#define WALL_ROUNDS 20
#define LINUX_SECONDS 120

struct bench_options {
    const char *filter, *json;
};

static struct json_object *results;

static void result(const char *name, const char *who, double value, const char *unit)
{
    struct json_object *row = json_object_new_object();

    printf("  %-34s %12.1f %s\n", who, value, unit);
    fflush(stdout);
    json_object_object_add(row, "bench", json_object_new_string(name));
    json_object_object_add(row, "who", json_object_new_string(who));
    json_object_object_add(row, "value", json_object_new_double(value));
    json_object_object_add(row, "unit", json_object_new_string(unit));
    json_object_array_add(results, row);
}

static void note(const char *who, const char *why)
{
    printf("  %-34s %12s %s\n", who, "-", why);
}

/* Run the words; their standard output, or NULL (with the reason shown) if they failed. */
static char *output_of(const char *who, const char *line, const char *more)
{
    struct outcome outcome = {0};
    struct list words = {0};

    list_split(&words, line, " ");
    if (more)
        list_add(&words, more);
    outcome_get(&outcome, &words, NULL, NULL, NULL);
    if (outcome.status == 0)
        return outcome.out.data;
    outcome.err.data[strcspn(outcome.err.data, "\n")] = 0;
    note(who, text("exit status %d: %.100s", outcome.status, outcome.err.data));
    return NULL;
}

/* The number behind the first word of a program's line, e.g. "getppid 12.5 ns". */
static double number_of(const char *out)
{
    const char *space = out ? strchr(out, ' ') : NULL;

    return space ? strtod(space, NULL) : 0;
}

static char *guest(const char *name)
{
    return text("%s/build/tools/guests/glibc/%s", top_dir(), name);
}

static const char *selkie(void)
{
    return text("%s/tools/selkie run", top_dir());
}

static bool have(const char *program)
{
    const char *const words[] = {"which", program, NULL};
    struct bytes out = {0};

    return run_quiet(words, &out, -1) == 0;
}

/* A program that prints "NAME number unit", natively, in Selkie, in gVisor. */
static void bench_program(const char *name, const char *unit, const char *goal)
{
    struct {
        const char *who, *line;
    } ways[] = {{"Linux, native", ""}, {"Selkie, hosted", selkie()}, {"gVisor, runsc", NULL}};
    double values[3] = {0};

    if (have("runsc"))
        ways[2].line = "runsc --network=none --ignore-cgroups do";
    for (size_t i = 0; i < 3; i++) {
        if (!ways[i].line) {
            note(ways[i].who, "runsc is not installed");
            continue;
        }
        values[i] = number_of(output_of(ways[i].who, ways[i].line, guest(name)));
        if (values[i] > 0)
            result(name, ways[i].who, values[i], unit);
    }
    if (values[0] > 0 && values[1] > 0)
        printf("  native / Selkie = %.2f%s\n", values[0] / values[1], goal);
    if (values[2] > 0 && values[1] > 0)
        printf("  gVisor / Selkie = %.2f\n", values[2] / values[1]);
}

static void bench_getppid(void)
{
    bench_program("getppid", "ns/call", "   (goal: 3 or more)");
}

static void bench_touch(void)
{
    bench_program("touch", "ns/page", "   (goal: 1 or more)");
}

/* ---- instructions from reset to power-off ---- */

static double count_file(const char *path)
{
    struct bytes bytes = {0};

    return file_read(path, &bytes) && bytes.len ? strtod(bytes.data, NULL) : 0;
}

static void count_selkie(const char *counter, const char *plugin)
{
    char *line = text("%s --on x64 --cpus 1 --memory 256M", selkie());

    unlink(counter);
    setenv("SELKIE_QEMU_ARGS", text("-plugin %s,out=%s", plugin, counter), 1);
    if (output_of("Selkie", line, guest("hello")) && count_file(counter) > 0)
        result("boot", "Selkie: hello", count_file(counter) / 1e6, "M instructions (goal: 5)");
    unsetenv("SELKIE_QEMU_ARGS");
}

/* QEMU with a Linux kernel, ended if it does not by itself. */
static void run_linux(const struct list *words)
{
    double until = now_seconds() + LINUX_SECONDS;
    pid_t pid;
    int status;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execvp(words->items[0], words->items);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, WNOHANG) == 0) {
        if (now_seconds() > until) {
            kill(pid, SIGTERM);
            until += 10;
        }
        usleep(10000);
    }
}

static char *linux_initrd(void)
{
    char *path = text("%s/bench-initrd.cpio", cache_dir());
    struct tree tree = {0};

    tree_dir(&tree, "/");
    tree_dir(&tree, "/dev");
    tree_file(&tree, "/bin/busybox", "/bin/busybox");
    tree_text(&tree, "/init", "#!/bin/busybox sh\necho hello\n/bin/busybox reboot -f\n", 0755);
    image_write(&tree, path);
    return path;
}

static void count_linux(const char *counter, const char *plugin)
{
    struct list packages = {0}, words = {0};
    const char *folder;
    glob_t found;

    list_add(&packages, "linux-image-cloud-amd64");
    folder = packages_tree(&packages, "amd64");
    if (glob(text("%s/boot/vmlinuz-*", folder), 0, NULL, &found) != 0) {
        note("Debian's cloud kernel", "no kernel in its package");
        return;
    }
    unlink(counter);
    list_split(&words,
               "qemu-system-x86_64 -M microvm,rtc=on,x-option-roms=off,accel=tcg -cpu max -m 256M "
               "-nodefaults -no-user-config -no-reboot -display none -serial null",
               " ");
    list_add(&words, "-plugin");
    list_add(&words, text("%s,out=%s", plugin, counter));
    list_add(&words, "-kernel");
    list_add(&words, found.gl_pathv[found.gl_pathc - 1]);
    list_add(&words, "-initrd");
    list_add(&words, linux_initrd());
    list_add(&words, "-append");
    list_add(&words, "console=ttyS0 quiet reboot=t panic=-1");
    run_linux(&words);
    if (count_file(counter) > 0)
        result("boot", "Debian's cloud kernel: busybox", count_file(counter) / 1e6,
               "M instructions");
    else
        note("Debian's cloud kernel", "did not reach its end");
}

static void bench_boot(void)
{
    char *plugin = build_need("tools", "insn.so");
    char *counter = text("%s/bench-count", cache_dir());

    count_selkie(counter, plugin);
    count_linux(counter, plugin);
    note("Nanos (measured elsewhere)", "5.2 M instructions");
}

/* ---- sizes ---- */

static void bench_size(void)
{
    struct stat st;

    if (stat(build_need("x64", "selkie-x64.stripped"), &st) == 0)
        result("size", "Selkie, x64, stripped", (double)st.st_size / 1024, "KiB (goal: 700)");
    note("Nanos; Unikraft hello", "1743 KB; 242 KB (published)");
}

static bool runs_with(unsigned kib)
{
    struct outcome outcome = {0};
    struct list words = {0};

    list_split(&words, text("%s --on x64 --cpus 1 --memory %uK", selkie(), kib), " ");
    list_add(&words, guest("hello"));
    outcome_get(&outcome, &words, NULL, NULL, NULL);
    return outcome.status == 0 && strcmp(outcome.out.data, "PASS hello\n") == 0;
}

static void bench_memory(void)
{
    unsigned bad = 1024, good = 64 * 1024;

    if (!runs_with(good)) {
        note("Selkie, x64 microvm", "does not run with 64 MiB");
        return;
    }
    while (good - bad > 256) {
        unsigned middle = (good + bad) / 2 / 64 * 64;

        if (runs_with(middle))
            good = middle;
        else
            bad = middle;
    }
    result("memory", "Selkie, x64 microvm: hello", good / 1024.0, "MiB (goal: 12)");
    note("Nanos", "12 MiB (published)");
}

/* ---- wall time of a whole run ---- */

static double wall_of(const char *line)
{
    double best = 0;

    for (int i = 0; i < WALL_ROUNDS; i++) {
        struct outcome outcome = {0};
        struct list words = {0};
        double start;

        list_split(&words, line, " ");
        start = now_seconds();
        outcome_get(&outcome, &words, NULL, NULL, NULL);
        if (outcome.status != 0)
            return 0;
        if (i == 0 || now_seconds() - start < best)
            best = now_seconds() - start;
    }
    return best * 1000;
}

static void bench_wall(void)
{
    double native = wall_of("/bin/true"), hosted = wall_of(text("%s /bin/true", selkie()));

    result("wall", "/bin/true", native, "ms");
    if (hosted > 0)
        result("wall", "selkie run /bin/true", hosted, "ms");
    else
        note("selkie run /bin/true", "failed");
    if (have("runsc")) {
        double runsc = wall_of("runsc --network=none --ignore-cgroups do /bin/true");

        if (runsc > 0)
            result("wall", "runsc do /bin/true", runsc, "ms");
    } else {
        note("runsc do /bin/true", "runsc is not installed");
    }
    if (hosted > 0)
        printf("  Selkie - native = %.1f ms   (goal: 20 or less)\n", hosted - native);
}

static const struct bench {
    const char *name, *title;
    void (*run)(void);
} benches[] = {
    {"getppid", "getppid in a static glibc program", bench_getppid},
    {"touch", "first touch of 256 MiB of anonymous memory", bench_touch},
    {"boot", "reset to hello to power-off: x64 microvm, 1 CPU, 256 MiB", bench_boot},
    {"size", "the kernel's file", bench_size},
    {"memory", "smallest --memory that runs a static hello", bench_memory},
    {"wall", "a whole run, the best of 20", bench_wall},
};

static const struct argp_option bench_option_table[] = {
    {"json", 'j', "FILE", 0, "write the numbers to FILE as JSON too", 0},
    {0},
};

static error_t bench_key(int key, char *value, struct argp_state *state)
{
    struct bench_options *options = state->input;

    switch (key) {
    case 'j':
        options->json = value;
        return 0;
    case ARGP_KEY_ARG:
        if (options->filter)
            return ARGP_ERR_UNKNOWN;
        options->filter = value;
        return 0;
    default:
        return command_key_default(key, state);
    }
}

static const char bench_doc[] =
    "Measure speed and size beside peers in the same run."
    "\vNAME is one of getppid, touch, boot, size, memory, wall; all without it.\n\nExamples:\n"
    "  selkie bench\n  selkie bench --json numbers.json boot";

int command_bench(int argc, char **argv)
{
    static const struct argp argp = {
        bench_option_table, bench_key, "[NAME]", bench_doc, NULL, NULL, NULL};
    const char *const guests[] = {text("%s/tools/setup", top_dir()), "guests", NULL};
    struct bench_options options = {0};
    unsigned count = 0;

    command_parse(&argp, argc, argv, &options);
    build_packages("bench");
    build_packages("x64");
    if (run_quiet(guests, NULL, STDERR_FILENO) != 0)
        fail(EXIT_TOOL, "the guest programs of unit/guest could not be built");
    build_need("hosted", "selkie-hosted");
    build_need("x64", "selkie-x64.stripped");
    results = json_object_new_array();
    for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {
        if (options.filter && strcmp(options.filter, benches[i].name) != 0)
            continue;
        printf("%s: %s\n", benches[i].name, benches[i].title);
        fflush(stdout);
        benches[i].run();
        count++;
    }
    if (count == 0)
        fail(EXIT_TOOL, "%s: no such benchmark; see selkie bench --help", options.filter);
    if (options.json && json_object_to_file_ext(options.json, results, JSON_C_TO_STRING_PRETTY) < 0)
        fail(EXIT_TOOL, "%s: cannot be written", options.json);
    return 0;
}
