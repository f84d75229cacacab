/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - the boot list: from the first line of kernel code to the exit status of the program.
 *
 * The only file that includes every layer. kernel_boot runs on the boot stack of CPU 0 with
 * interrupts off; whatever may sleep is done by the first kernel thread (boot_thread).
 */
#include "core/chaos.h"
#include "core/cmdline.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/percpu.h"
#include "core/random.h"
#include "core/trace.h"
#include "drv/faulty_console.h"
#include "drv/faulty_netdev.h"
#include "drv/pkt.h"
#include "drv/virtio_console.h"
#include "drv/virtio_net.h"
#include "drv/virtio_rng.h"
#include "drv/vmxnet3.h"
#include "fs/console.h"
#include "fs/context.h"
#include "hal_up.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "linux/syscall.h"
#include "mm/hugetlb.h"
#include "mm/kmalloc.h"
#include "mm/object.h"
#include "mm/santest.h"
#include "net/netconf.h"
#include "net/socket.h"
#include "proc/crash.h"
#include "proc/futex.h"
#include "proc/leak.h"
#include "proc/leftover.h"
#include "proc/process.h"
#include "sched/pressure.h"
#include "sched/report.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sched/watchdog.h"
#include "sched/work.h"

#define WATCHDOG_SECONDS 10
#define SETTLE_NS (3 * NS_PER_SEC)
#define SETTLE_LOOK_NS (2 * NS_PER_MS)
#define STATUS_SIGNAL 128 /* and the signal's number */

/* Exit statuses when the program could not be started, as shells and env(1) have them. */
enum { EXIT_FAILURE = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

static int status_of_start_error(int err)
{
    switch (err) {
    case -ENOENT:
        return EXIT_NOT_FOUND;
    case -EACCES:
    case -ENOEXEC:
    case -ENOTDIR:
    case -ELOOP:
    case -EISDIR:
        return EXIT_NOT_EXECUTABLE;
    default:
        return EXIT_FAILURE;
    }
}

/* wait4(2) status -> what a shell calls it. */
static int status_of_wait(int status)
{
    int signo = status & 0x7f;
    return signo ? STATUS_SIGNAL + signo : (status >> 8) & 0xff;
}

static void cmdline_set_early(const char *text)
{
    char value[8];
    uint64_t level;
    if (cmdline_option(text, "loglevel", value, sizeof value) &&
        str_to_u64(value, NULL, &level) == 0 && level <= LOG_DEBUG)
        log_set_level((enum log_level)level);
}

#define TRACE_FRAMES 24

/* Names only: the machine goes on, and where its kernel is shall not be in its log. */
static void say_trace(uintptr_t pc, uintptr_t fp)
{
    panic_say("  ");
    panic_say_chain(pc, fp, 0, TRACE_FRAMES);
    panic_say("\n");
}

/* watchdog=SECONDS; 0: none */
static void watchdog_choose(const char *text)
{
    char value[16];
    uint64_t seconds = WATCHDOG_SECONDS;
    if (cmdline_option(text, "watchdog", value, sizeof value) &&
        (str_to_u64(value, NULL, &seconds) || seconds > 1000000))
        seconds = WATCHDOG_SECONDS;
    watchdog_init(seconds * NS_PER_SEC, say_trace);
}

static _Noreturn void boot_fail(const char *what)
{
    log_error("%s", what);
    hal_poweroff(EXIT_FAILURE);
}

static void cmdline_read(struct cmdline *options)
{
    const char *text = hal_boot_info()->cmdline;
    void *memory = kmalloc(cmdline_size(text), ALLOC_DEFAULT);
    if (!memory)
        boot_fail("not enough memory for the command line");
    if (cmdline_parse(text, memory, options))
        boot_fail("bad boot command line: see docs/boot.md");
    if (options->argc == 0)
        boot_fail("the boot command line names no program: '-- PROGRAM [ARGUMENT]...' is missing");
}

/* nomem=MEAN[:SEED] and chaos=...: what is to go wrong once the program is there (docs/boot.md). */
static struct {
    uint64_t mean, seed; /* allocations; mean 0: none */
    bool chaos;
} trouble;

static void trouble_read(const char *text)
{
    char value[192];
    const char *end;
    if (cmdline_option(text, "nomem", value, sizeof value)) {
        int err = str_to_u64(value, &end, &trouble.mean);
        if (err == 0 && *end == ':')
            err = str_to_u64(end + 1, NULL, &trouble.seed);
        else if (err == 0 && *end)
            err = -EINVAL;
        if (err)
            boot_fail("nomem: not MEAN or MEAN:SEED");
    }
    trouble.chaos = cmdline_option(text, "chaos", value, sizeof value);
    if (trouble.chaos && chaos_configure(value))
        boot_fail("chaos: not [seed:N,]SITE:MEAN[:MICROSECONDS][,...]");
    if ((trouble.mean || trouble.chaos) && !SELKIE_FAILPOINTS)
        boot_fail("nomem, chaos: this kernel is built without SELKIE_FAILPOINTS");
}

/* Called by the program's own first thread: on one CPU a short program is over before this one gets
 * its turn. */
static void trouble_begin(void)
{
    alloc_fail_rate(trouble.mean, trouble.seed);
    if (trouble.chaos)
        chaos_start();
}

static void trouble_end(void)
{
    uint64_t failed = alloc_fail_hits();
    if (!SELKIE_FAILPOINTS)
        return;
    alloc_fail_rate(0, 0);
    chaos_stop();
    if (trouble.mean)
        log_info("nomem: %llu allocations failed", (unsigned long long)failed);
    for (enum chaos_site site = 0; site < CHAOS_COUNT; site++)
        if (chaos_wanted(site))
            log_info("chaos: %s %llu times", chaos_name(site),
                     (unsigned long long)chaos_hits(site));
}

/* console=virtio: the standard streams go through a virtio console, not the machine's own. */
static void console_choose(const char *text)
{
    const struct stdio_device *device = NULL;
    char value[8];
    if (cmdline_option(text, "console", value, sizeof value) && strcmp(value, "virtio") == 0) {
        device = virtio_console_open();
        if (!device)
            log_warn("console=virtio: this machine has no virtio console that works");
    }
    if (chaos_wanted(CHAOS_BUSY) || chaos_wanted(CHAOS_ERROR))
        device = faulty_console(device);
    if (device)
        console_use(device);
}

/* asan-bug=NAME: a bug made on purpose, before the program (builds with SELKIE_ASAN). */
static void bug_make(const char *text)
{
    char bug[32];
    if (!cmdline_option(text, "asan-bug", bug, sizeof bug))
        return;
    if (santest_run(bug))
        boot_fail("asan-bug: no such bug, or a kernel without AddressSanitizer");
    log_warn("asan-bug: nothing was reported");
}

static int run_program(const struct cmdline *options)
{
    char value[8];
    bool look = cmdline_option(hal_boot_info()->cmdline, "leftover", value, sizeof value);
    leftover_mark();
    if (SELKIE_MEMORY_DEBUG)
        leak_begin(cmdline_option(hal_boot_info()->cmdline, "leak", value, sizeof value));
    bug_make(hal_boot_info()->cmdline);
    static const char *const no_reason = "it could not be started";
    char why[192] = "";
    struct program program = {
        .path = options->program,
        .argv = options->argv,
        .envp = options->envp,
        .cwd = options->cwd,
        .begin = SELKIE_FAILPOINTS ? trouble_begin : NULL,
    };
    int err = process_start_first(&program, why, sizeof why);
    if (err) {
        log_error("cannot run %s: %s", program.path, why[0] ? why : no_reason);
        return status_of_start_error(err);
    }
    int status = status_of_wait(process_wait_first());
    trouble_end();
    if (look)
        (void)leftover_report();
    if (SELKIE_MEMORY_DEBUG && leak_report(log_enabled(LOG_INFO)))
        return EXIT_FAILURE;
    return status;
}

/* The last words of the program and the kernel, for a reader that is a little behind. */
static void settle_output(void)
{
    uint64_t until = clock_mono_ns() + SETTLE_NS;
    while ((log_flush() || !tty_settled() || !console_settled()) && clock_mono_ns() < until)
        (void)!sleep_until(clock_mono_ns() + SETTLE_LOOK_NS, false);
}

static const char *call_name(int id)
{
    return id > 0 && id < SC_COUNT ? syscall_name(syscall_info((enum syscall_id)id)) : NULL;
}

/* The parts of a panic's report, and rings of the latest events of all CPUs (core/trace.h), which
 * without memory there are none of. */
static void report_start(void)
{
    report_call_name = call_name;
    report_init();
    for (unsigned id = 0; id < hal_cpu_count(); id++) {
        struct cpu *cpu = cpu_get(id);
        cpu->trace_ring = kmalloc_array(TRACE_EVENTS, sizeof(struct trace_event), ALLOC_ZERO);
        cpu->trace = cpu->trace_ring;
    }
}

/* The first kernel thread: the part of the boot that may sleep. */
static void boot_thread(void *arg)
{
    const struct hal_boot_info *info = hal_boot_info();
    struct cmdline options;
    (void)arg;
    cmdline_read(&options);         /* options, arguments, environment */
    syscall_trace = options.strace; /* strace=1 */
    if (pressure_init())            /* reclaim thread */
        boot_fail("not enough memory to boot");
    pkt_init();       /* packets are counted */
    futex_init();     /* buckets for waiters */
    if (work_start()) /* threads for what interrupts leave to do */
        boot_fail("not enough memory to boot");
    trouble_read(info->cmdline);                 /* what is to go wrong */
    virtio_rng_start();                          /* more to seed from */
    console_choose(info->cmdline);               /* who carries the standard streams */
    if (fs_init(info->initrd, info->initrd_len)) /* root from the archive, /dev, /proc */
        boot_fail("the root file system could not be built");
    if (net_init()) /* families of sockets */
        boot_fail("not enough memory to boot");
    if (chaos_wanted(CHAOS_BUSY) || chaos_wanted(CHAOS_ERROR))
        faulty_netdev_start();
    virtio_net_start(); /* network devices */
    vmxnet3_start();
    const char *option;
    if (netsys_init()) /* and their files */
        boot_fail("not enough memory to boot");
    if (netconf_start(info->cmdline, &option)) { /* addresses; waits for DHCP */
        log_error("%s=: not an address that can be set; see docs/boot.md", option);
        boot_fail("the network could not be configured");
    }
    char value[8];
    crash_report_wanted = cmdline_option(info->cmdline, "crashreport", value, sizeof value);
    if (crash_init(info->cmdline)) /* panic=HOW */
        boot_fail("panic=: only with assertions (a debug build), and with some memory");
    int status = run_program(&options); /* process 1, until it ends */
    if (status < STATUS_SIGNAL)         /* who is killed shall be gone at once */
        net_farewell();
    settle_output();
    hal_poweroff(status);
}

void kernel_boot(void *stack, size_t size)
{
    sched_init(stack, size);                     /* the boot flow is a thread: locks work */
    percpu_init();                               /* number the CPUs */
    cmdline_set_early(hal_boot_info()->cmdline); /* log level */
    watchdog_choose(hal_boot_info()->cmdline);   /* CPUs that are stuck */
    page_init();                                 /* RAM */
    kmalloc_init();                              /* small objects */
    kmalloc_delay_frees();                       /* that wait, under asan */
    kvm_init();                                  /* kernel stacks */
    vm_cache_init();                             /* file pages */
    hugetlb_init();                              /* and the pool of huge ones */
    random_init();                               /* seed, from the machine */
    report_start();                              /* what a panic will tell */
    sched_start_cpus();                          /* all other CPUs */
    log_info("%s, %u CPUs, %llu KiB of RAM", hal_boot_info()->machine, hal_cpu_count(),
             (unsigned long long)hal_boot_info()->ram_total >> 10);
    if (!thread_spawn("boot", boot_thread, NULL)) /* the rest may sleep */
        boot_fail("not enough memory to boot");
    sched_idle_loop(); /* this flow is CPU 0's idle thread now */
}
