/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flags.c - x86: a program may make system calls with any flags set, by trap or by a patched site,
 * and gets them back; none of them (NT makes IRETQ fault, DF turns string instructions round, AC
 * makes unaligned accesses of ring 3 fault) may disturb the kernel. Elsewhere there is nothing to
 * test. With an argument also single-steps.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include "guest.h"

#if defined(__x86_64__)
#define FLAG_TF 0x100ul
#define FLAG_DF 0x400ul
#define FLAG_NT 0x4000ul
#define FLAG_AC 0x40000ul
#define KEPT (FLAG_DF | FLAG_AC) /* a signal frame does not restore NT */
#define ROUNDS 3                 /* the first traps, the others may come by the patched site */

static volatile sig_atomic_t handled;

static void handler(int signo)
{
    handled = signo;
}

/* The system call with these flags set; *after = the flags it returns with. Three sites, as the
 * number must be in the instruction before it for a site to be patched. */
#define CALL(number, a, b, c, flags, after) \
    __extension__({ \
        unsigned long result_, after_; \
        __asm__ volatile("pushfq\norq %[set], (%%rsp)\npopfq\n" \
                         "movl %[nr], %%eax\nsyscall\n" \
                         "pushfq\npopq %[get]\npushq $0x202\npopfq\n" \
                         : "=&a"(result_), [get] "=&r"(after_) \
                         : [set] "r"(flags), [nr] "i"(number), "D"(a), "S"(b), "d"(c) \
                         : "rcx", "r11", "memory", "cc"); \
        *(after) = after_; \
        (long)result_; \
    })

static void plain(unsigned long flags)
{
    unsigned long after;

    for (int i = 0; i < ROUNDS; i++) {
        REQUIRE(CALL(SYS_getpid, 0, 0, 0, flags, &after) == getpid());
        REQUIRE((after & KEPT) == (flags & KEPT));
    }
}

/* The kernel copies at odd addresses for it. */
static void copies(unsigned long flags)
{
    unsigned long after;
    char buf[100] = "", path[] = "x/proc/self/exe";

    for (int i = 0; i < ROUNDS; i++) {
        REQUIRE(CALL(SYS_readlink, path + 1, buf + 1, sizeof(buf) - 1, flags, &after) > 1);
        REQUIRE(buf[1] == '/');
        REQUIRE((after & KEPT) == (flags & KEPT));
    }
}

/* A handler comes between: the way back restores every register. */
static void signalled(unsigned long flags)
{
    unsigned long after;

    for (int i = 0; i < ROUNDS; i++) {
        handled = 0;
        REQUIRE(CALL(SYS_kill, getpid(), SIGUSR1, 0, flags, &after) == 0);
        REQUIRE(handled == SIGUSR1);
        REQUIRE((after & KEPT) == (flags & KEPT));
    }
}

static int done; /* atomic */

static void *reads(void *arg)
{
    static char buf[1 << 20];
    int fd = open("/dev/zero", O_RDONLY);

    while (!__atomic_load_n(&done, __ATOMIC_RELAXED))
        REQUIRE(read(fd, buf, sizeof(buf)) == (ssize_t)sizeof(buf));
    close(fd);
    return arg;
}

/* Who has them gives the CPU to a thread that was interrupted in the kernel, and goes on there. */
static void switched(unsigned long flags)
{
    struct timespec brief = {0, 1000000};
    pthread_t thread;
    unsigned long after;

    done = 0;
    REQUIRE(pthread_create(&thread, NULL, reads, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        REQUIRE(CALL(SYS_nanosleep, &brief, NULL, 0, flags, &after) == 0);
        REQUIRE((after & KEPT) == (flags & KEPT));
    }
    __atomic_store_n(&done, 1, __ATOMIC_RELAXED);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

static volatile sig_atomic_t steps;

static void on_step(int signo)
{
    steps++;
}

/* A program that traps behind each of its instructions still does so behind the system call. */
static void stepped(void)
{
    struct sigaction action = {.sa_handler = on_step};
    unsigned long after;

    REQUIRE(sigaction(SIGTRAP, &action, NULL) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        pid_t pid = getpid();

        steps = 0;
        REQUIRE(CALL(SYS_getpid, 0, 0, 0, FLAG_TF, &after) == pid);
        REQUIRE(after & FLAG_TF);
        /* Behind mov, perhaps syscall, pushfq, popq, pushq, popfq; more where the site is patched.
         */
        REQUIRE(steps >= 5 && steps < 20);
    }
}

int main(int argc, char **argv)
{
    static const unsigned long sets[] = {0, FLAG_DF, FLAG_NT, FLAG_AC, FLAG_DF | FLAG_NT | FLAG_AC};
    struct sigaction action = {.sa_handler = handler};

    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        plain(sets[i]);
        copies(sets[i]);
        signalled(sets[i]);
        switched(sets[i]);
    }
    if (argc > 1)
        stepped();
    return guest_pass("flags");
}
#else
int main(void)
{
    return guest_pass("flags");
}
#endif
