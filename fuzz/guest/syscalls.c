/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * syscalls.c - a program that makes random system calls: syscalls SEED CALLS [THREADS]
 *
 * The grammar is the kernel's own table (linux/syscalls.def): each argument is of the type that
 * stands there. Pointers lead into an arena whose pages come and go by the calls themselves, so
 * that the kernel meets faults in user memory anywhere; some lead to nothing, beyond user memory,
 * or across an edge. What a call returns must be a result or an errno that programs know.
 *
 * The program must outlive its calls (there is no fork to send before). So what would end or hang
 * it is left out of the values, not of the kernel's work: no handler is SIG_DFL, memory calls stay
 * in the arena, and the kick signal, which the watchdog sends to whoever makes no progress, is
 * never blocked. Threads end by exit(2) with whatever robust list and clear_child_tid they have by
 * then.
 *
 * Exit status 0: all went well; 3: a thread does not come back from a call; others: a find.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "sockets.h"

enum id {
    SC_none,
#define DONE(name, args, note) SC_##name,
#define IGNORED(name, args, result, note) SC_##name,
#define ABSENT(name, args, note) SC_##name,
#include "linux/syscalls.def"
#undef DONE
#undef IGNORED
#undef ABSENT
    SC_COUNT,
};
static const struct call {
    const char *name, *args;
} calls[SC_COUNT] = {
#define DONE(name, args, note) [SC_##name] = {#name, args},
#define IGNORED(name, args, result, note) [SC_##name] = {#name, args},
#define ABSENT(name, args, note) [SC_##name] = {#name, args},
#include "linux/syscalls.def"
#undef DONE
#undef IGNORED
#undef ABSENT
};
static const unsigned short numbers[] = {
#define NR(number, name) [number] = SC_##name,
#include "isa/sysnr.def"
#undef NR
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What would end the program whatever the arguments are, or make another one in its memory. */
static const char *const left_out[] = {"exit",
                                       "exit_group",
                                       "execve",
                                       "execveat",
                                       "rt_sigreturn",
                                       "clone",
                                       "fork",
                                       "vfork",
                                       "clone3",
                                       "process_vm_writev",
                                       "reboot",
                                       "pause",
                                       "kexec_load",
                                       "seccomp",
                                       "rt_tgsigqueueinfo",
                                       "rt_sigqueueinfo",
                                       "pidfd_send_signal"};

#define THREADS_MAX 8
#define ARENA ((size_t)2 << 20)
#define GUARD ((size_t)4 << 20)
#define KICK SIGUSR2 /* no real-time signal: those may be refused (RLIMIT_SIGPENDING) */
#define PAGE 4096u
#define FILE_MAX (1u << 20)
#define TRANSFER (16u << 20)

static struct thread {
    uint64_t random;
    int tid;
    unsigned long left; /* calls; atomic */
    unsigned nr;        /* the call being made, for the report; atomic */
    bool done;          /* atomic */
    sigjmp_buf fault;
    volatile sig_atomic_t filling; /* a fault is ours */
} threads[THREADS_MAX];
static unsigned thread_count, started;
static __thread struct thread *self;
static char *arena;
static uint64_t heap; /* its end at the start */
static int pid;

static uint64_t next(void)
{
    uint64_t x = self->random;

    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return self->random = x;
}

static uint64_t below(uint64_t n)
{
    return next() % n;
}

/* ---- signals ---- */

static void on_signal(int signo)
{
    (void)signo;
}

/* Not while memory is filled: the program itself is broken. Let it be seen. */
static void on_fault(int signo, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;

    if (self && self->filling)
        siglongjmp(self->fault, 1);
    fprintf(stderr, "signal %d, code %d, address %p, pc %#llx, sp %#llx after call %u (%s)\n",
            signo, info->si_code, info->si_addr, (unsigned long long)uc->uc_mcontext.gregs[REG_RIP],
            (unsigned long long)uc->uc_mcontext.gregs[REG_RSP], self ? self->nr : 0,
            self && self->nr < COUNT(numbers) ? calls[numbers[self->nr]].name : "?");
    signal(signo, SIG_DFL);
}

static bool own_signal(int signo)
{
    return signo == SIGKILL || signo == SIGSTOP || signo == SIGSEGV || signo == SIGBUS ||
           signo == SIGILL || signo == SIGFPE || signo == SIGTRAP || signo == SIGSYS ||
           signo == KICK || signo == 32 || signo == 33;
}

static uint64_t some_signal(void)
{
    static const int bad[] = {0, 65, -1, 1000};
    int signo;

    if (below(16) == 0)
        return (uint64_t)bad[below(COUNT(bad))];
    do
        signo = 1 + (int)below(64);
    while (own_signal(signo));
    return (uint64_t)signo;
}

/* As the kernel has it. */
struct action {
    void (*handler)(int);
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};
static struct action actions[4];
static const uint64_t all_sets[] = {
    0, 0x5555555500000000 & ~(1ull << (KICK - 1)), 1 << (SIGUSR1 - 1),
    ~(1ull << (KICK - 1) | 1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1))};

static void signals_start(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    for (int signo = 1; signo <= 64; signo++)
        if (signo == KICK || !own_signal(signo))
            sigaction(signo, &action, NULL);
    action = (struct sigaction){.sa_sigaction = on_fault, .sa_flags = SA_NODEFER | SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    /* libc's restorer is taken from one that it has installed. */
    syscall(SYS_rt_sigaction, SIGUSR1, NULL, &actions[0], 8);
    actions[1] = actions[2] = actions[3] = actions[0];
    actions[1].flags |= SA_RESTART;
    actions[2].flags |= SA_NODEFER | SA_SIGINFO;
    actions[3].handler = SIG_IGN;
}

/* ---- arguments ---- */

static const char *const paths[] = {"/tmp/a",
                                    "/tmp/b",
                                    "a",
                                    "b",
                                    "/tmp/d",
                                    "d/x",
                                    "/proc/self/maps",
                                    "/proc",
                                    "/dev/zero",
                                    "/dev/null",
                                    "/tmp",
                                    ".",
                                    "",
                                    "/nothing",
                                    "/tmp/a/b",
                                    "/proc/self/fd",
                                    "/etc/passwd",
                                    "/proc/self/status"};
static const struct timespec all_times[] = {{0, 0},  {0, 1000},       {0, 2000000},
                                            {-1, 0}, {0, 1000000000}, {1, 5}};
static const uint64_t all_limits[][2] = {
    {1 << 20, 1 << 20}, {64, 4096}, {4096, 64}, {~0ull, ~0ull}};

/* Calls write to some of these: fresh ones for each call. */
static __thread struct {
    struct timespec times[COUNT(all_times)];
    uint64_t limits[COUNT(all_limits)][2];
    uint64_t sets[COUNT(all_sets)];
    struct action actions[COUNT(actions)];
    void *list;
    struct socket_arguments sockets;
} fresh;

static void refresh(void)
{
    memcpy(fresh.times, all_times, sizeof(all_times));
    memcpy(fresh.limits, all_limits, sizeof(all_limits));
    memcpy(fresh.sets, all_sets, sizeof(all_sets));
    memcpy(fresh.actions, actions, sizeof(actions));
    socket_refresh(&fresh.sockets, arena);
    if (below(64) == 0)
        socket_make(&fresh.sockets);
}

static uint64_t pointer(void)
{
    switch (below(16)) {
    case 0:
        return 0;
    case 1: /* anywhere: hardly ever anything of ours */
        return next() & 0x7fffffffffff;
    case 2:
        return below(2) ? next() | 1ull << 63 : 0x7fffffffffff - below(PAGE);
    case 3: /* the end of a page */
        return (uint64_t)arena + (1 + below(64)) * PAGE - below(32);
    default:
        return (uint64_t)arena + below(64) * PAGE + (below(4) ? 0 : below(PAGE) & ~7ull);
    }
}

static uint64_t size(void)
{
    static const uint64_t odd[] = {1ull << 63, ~0ull, INT64_MAX, ~0ull - PAGE};

    switch (below(8)) {
    case 0:
        return odd[below(COUNT(odd))];
    case 1:
    case 2:
        return below(16) * PAGE;
    case 3:
        return below(70000);
    default:
        return below(64);
    }
}

static uint64_t number(void)
{
    static const uint64_t odd[] = {~0ull, 0x7fffffff, 0x80000000, 0xffffffff, 1000, 4096};

    return below(4) ? below(20) : odd[below(COUNT(odd))];
}

static uint64_t bits(unsigned count)
{
    uint64_t one = 1ull << below(count), other = 1ull << below(count);

    return below(3) == 0 ? 0 : below(2) ? one : one | other;
}

static uint64_t some_path(void)
{
    return below(12) ? (uint64_t)paths[below(COUNT(paths))] : pointer();
}

static uint64_t some_pid(void)
{
    switch (below(6)) {
    case 0:
        return (uint64_t)pid;
    case 1:
        return (uint64_t)threads[below(thread_count)].tid;
    case 2:
        return below(2) ? 999999 : (uint64_t)-7;
    default:
        return 0;
    }
}

static bool is(const char *word, size_t len, const char *type)
{
    return strlen(type) == len && strncmp(word, type, len) == 0;
}

static uint64_t flags_of(const char *word, size_t len)
{
    static const uint64_t map[] = {MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS,
                                   MAP_PRIVATE, MAP_SHARED};

    if (is(word, len, "prot"))
        return below(8);
    if (is(word, len, "mapflags"))
        return map[below(COUNT(map))] | (below(3) ? 0 : MAP_FIXED) | (below(4) ? 0 : bits(20));
    if (is(word, len, "oflags"))
        return below(3) | (below(2) ? 0 : O_CREAT) | (below(3) ? 0 : bits(24)) | O_NONBLOCK;
    if (is(word, len, "mode"))
        return below(2) ? 0777 : below(010000);
    if (is(word, len, "atflags"))
        return below(2) ? 0 : bits(14);
    if (is(word, len, "futexop"))
        return below(14) | (below(2) ? 128 : 0) | (below(8) ? 0 : 256);
    if (is(word, len, "prctl")) /* not the time stamp counter, not seccomp */
        return below(2) ? 15 : below(8);
    if (is(word, len, "archprctl"))
        return 0x1004 + below(3); /* not ARCH_GET_FS: see get_robust_list */
    /* Not CPU time; files stay small (main); a stack without a limit grows to wherever below it a
     * pointer leads, over gigabytes, and mlockall wants memory for all of it. */
    if (is(word, len, "limit"))
        return below(2) ? RLIMIT_NOFILE : below(2) ? RLIMIT_DATA : 4 + below(13);
    return below(2) ? bits(20) : below(12);
}

static uint64_t argument(const char *word, size_t len)
{
    uint64_t value;

    if (socket_argument(&fresh.sockets, word, len, &value))
        return value;
    if (is(word, len, "fd"))
        return below(10) ? 3 + below(24) : below(2) ? (uint64_t)-100 : (uint64_t)-1;
    if (is(word, len, "path") || is(word, len, "str"))
        return some_path();
    if (is(word, len, "size"))
        return size();
    if (is(word, len, "off"))
        return below(3) ? below(16) * PAGE : size();
    if (is(word, len, "sig"))
        return some_signal();
    if (is(word, len, "sigaction"))
        return below(8) ? (uint64_t)&fresh.actions[below(COUNT(fresh.actions))] : 0;
    if (is(word, len, "sigset"))
        return below(8) ? (uint64_t)&fresh.sets[below(COUNT(fresh.sets))] : 0;
    if (is(word, len, "timespec"))
        return below(8) ? (uint64_t)&fresh.times[below(COUNT(fresh.times))] : pointer();
    if (is(word, len, "rlimit"))
        return below(8) ? (uint64_t)&fresh.limits[below(COUNT(fresh.limits))] : pointer();
    if (is(word, len, "pid"))
        return some_pid();
    if (is(word, len, "uid"))
        return below(3) ? 0 : below(2) ? ~0ull : 1000;
    if (is(word, len, "clockid"))
        return below(8) ? below(12) : number();
    if (is(word, len, "int") || is(word, len, "uint") || is(word, len, "long") ||
        is(word, len, "ulong") || is(word, len, "whence") || is(word, len, "sighow"))
        return number();
    if (strncmp(word, "ptr", 3) == 0 || strncmp(word, "buf", 3) == 0 ||
        strncmp(word, "iov", 3) == 0 || strncmp(word, "pollfds", 7) == 0 ||
        strncmp(word, "epoll_", 6) == 0 || is(word, len, "stat") || is(word, len, "fdpair") ||
        is(word, len, "argv"))
        return pointer();
    return flags_of(word, len);
}

/* Bytes that mean something to many calls: small numbers, pointers, descriptors. A page that is not
 * there stays away. */
static void fill_arena(void)
{
    uint64_t *at = (uint64_t *)(arena + below(64) * PAGE + (below(PAGE) & ~7ull));

    self->filling = true;
    if (sigsetjmp(self->fault, 1) == 0)
        for (unsigned i = 0; i < 8; i++)
            __atomic_store_n(&at[i],
                             below(3) == 0   ? pointer()
                             : below(2) == 0 ? number() | number() << 32
                                             : size(),
                             __ATOMIC_RELAXED);
    self->filling = false;
}

/* ---- one call ---- */

static bool skipped(const char *name)
{
    for (size_t i = 0; i < COUNT(left_out); i++)
        if (strcmp(left_out[i], name) == 0)
            return true;
    return false;
}

static void check_result(unsigned nr, long result)
{
    if (result < -133 && result >= -4095) {
        fprintf(stderr, "FAIL call %u (%s) returned %ld\n", nr, calls[numbers[nr]].name, result);
        _exit(4);
    }
}

static long raw(unsigned nr, const uint64_t *a)
{
    register uint64_t r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((uint64_t)nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8),
                       "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* What takes memory away or changes it for good stays in the arena: sizes so large that they wrap
 * or leave user memory are refused as a whole by most of these, but not by madvise and mprotect. */
static void tame_memory(const char *name, uint64_t *a)
{
    static const char *const takers[] = {"madvise", "mprotect", "pkey_mprotect", "munmap",
                                         "mremap",  "shmdt",    "mseal",         "process_madvise"};

    for (size_t i = 0; i < COUNT(takers); i++)
        if (strcmp(name, takers[i]) == 0 && a[0] - (uint64_t)arena < ARENA)
            a[1] %= ARENA;
        else if (strcmp(name, takers[i]) == 0)
            a[1] %= PAGE;
}

/* Values that are harmless alone, but not in this call. */
static void tame(const char *name, uint64_t *a)
{
    tame_memory(name, a);
    if (strcmp(name, "brk") == 0) /* a heap up to anywhere, locked: all memory there is */
        a[0] = below(2) ? 0 : heap + below(16) * PAGE;
    if (strcmp(name, "shmget") == 0)
        a[1] %= 16 * PAGE;
    if (strcmp(name, "pselect6") == 0)
        a[5] = 0; /* a mask out of the arena may block the kick */
    if (strcmp(name, "mmap") == 0 && (a[3] & MAP_FIXED) && (a[0] - (uint64_t)arena) >= ARENA)
        a[3] &= ~(uint64_t)MAP_FIXED;
    if (strcmp(name, "mmap") == 0 && a[3] & MAP_GROWSDOWN)
        a[3] &= ~(uint64_t)MAP_GROWSDOWN;
    if (strcmp(name, "close_range") == 0)
        a[0] |= 3;
    if (strcmp(name, "timer_create") == 0 || strcmp(name, "prctl") == 0)
        a[1] = below(2) ? 0 : a[1] % 8;
    if (strncmp(name, "sched_set", 9) == 0 && below(2))
        a[1] = 0;
    if (strcmp(name, "sendfile") == 0) /* /dev/zero to /dev/null takes long */
        a[3] %= TRANSFER;
    if (strcmp(name, "copy_file_range") == 0 || strcmp(name, "splice") == 0)
        a[4] %= TRANSFER;
    /* An address of libc's own in the arena would sooner or later be one to write to. */
    if (strcmp(name, "get_robust_list") == 0)
        a[1] = (uint64_t)&fresh.list;
    if (strcmp(name, "kill") == 0 && (int64_t)a[0] < 0)
        a[0] = (uint64_t)pid;
}

static void one_call(void)
{
    uint64_t a[6];
    unsigned nr = (unsigned)below(COUNT(numbers) + 8);
    const struct call *call = &calls[nr < COUNT(numbers) ? numbers[nr] : SC_none];
    const char *word = call->args ? call->args : "";

    if (call->name && skipped(call->name))
        return;
    refresh();
    for (unsigned i = 0; i < 6; i++) {
        size_t len = strcspn(word, ",");

        a[i] = len ? argument(word, len) : next();
        word += len + (word[len] == ',');
    }
    if (call->name)
        tame(call->name, a);
    __atomic_store_n(&self->nr, nr, __ATOMIC_RELAXED);
    check_result(nr, raw(nr, a));
}

/* Now and then things are put right, or soon nothing would work any more. */
static void repair(void)
{
    uint64_t none = 0;

    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
    if (below(4) == 0) {
        char *at = arena + below(64) * PAGE;

        mmap(at, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
    if (below(64) == 0)
        close_range(3, ~0u, 0);
    if (below(16) == 0) {
        static const struct timespec zero[2];

        syscall(SYS_setitimer, 0, zero, NULL);
        for (int i = 0; i < 20; i++)
            syscall(SYS_timer_delete, i);
        syscall(SYS_munlockall);
    }
}

static void *work(void *arg)
{
    self = arg;
    self->tid = (int)syscall(SYS_gettid);
    __atomic_fetch_add(&started, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&started, __ATOMIC_ACQUIRE) < thread_count) /* calls may forbid more */
        sched_yield();
    while (self->left) {
        if (self->left % 32 == 0)
            repair();
        if (self->left % 4 == 0)
            fill_arena();
        one_call();
        __atomic_store_n(&self->left, self->left - 1, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&self->done, true, __ATOMIC_RELEASE);
    syscall(SYS_exit, 0);
    return NULL;
}

/* Kick who makes no progress; 3 if that does not help for long. */
static int watch(void)
{
    unsigned long seen[THREADS_MAX] = {0};
    unsigned still[THREADS_MAX] = {0};

    for (;;) {
        struct timespec pause = {0, 5000000};
        unsigned done = 0;

        nanosleep(&pause, NULL);
        for (unsigned i = 0; i < thread_count; i++) {
            unsigned long left = __atomic_load_n(&threads[i].left, __ATOMIC_RELAXED);

            done += __atomic_load_n(&threads[i].done, __ATOMIC_ACQUIRE);
            still[i] = left == seen[i] ? still[i] + 1 : 0;
            seen[i] = left;
            if (still[i] > 1 && left)
                syscall(SYS_tgkill, pid, threads[i].tid, KICK);
            if (still[i] > 6000 && left) {
                unsigned nr = threads[i].nr;

                fprintf(stderr, "thread %u does not come back from call %u (%s)\n", i, nr,
                        nr < COUNT(numbers) ? calls[numbers[nr]].name : "?");
                return 3;
            }
        }
        if (done == thread_count)
            return 0;
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 0) : 10000;
    char *ground;
    pthread_t thread;

    thread_count = argc > 3 ? (unsigned)atoi(argv[3]) : 4;
    if (thread_count < 1 || thread_count > THREADS_MAX)
        return 2;
    pid = getpid();
    heap = (uint64_t)syscall(SYS_brk, 0);
    ground = mmap(NULL, ARENA + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ground == MAP_FAILED)
        return 2;
    arena = ground + GUARD;
    mprotect(arena, 64 * PAGE, PROT_READ | PROT_WRITE);
    if (chdir("/tmp") != 0)
        return 2;
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    signals_start();
    /* Not /dev/zero into a file until no memory is left: then the program that needs some ends. */
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){FILE_MAX, FILE_MAX}) != 0)
        return 2;
    for (unsigned i = 0; i < thread_count; i++) {
        threads[i].random = (seed + 1) * 0x9e3779b97f4a7c15 + i * 0xbf58476d1ce4e5b9 + 1;
        threads[i].left = count;
        if (pthread_create(&thread, NULL, work, &threads[i]) != 0)
            return 2;
    }
    _exit(watch());
}
