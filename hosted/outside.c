/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * outside.c - the end by a signal that somebody has sent (kill(1); si_code <= 0), one of those that
 * say of a fault what it was: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT.
 *
 * Such a signal means the process, not the code that it finds there. It ends as any process does
 * by it, with that signal as its status, but first the kernel reports as in a panic what it was
 * doing: with whatever locks are held, for a panic takes none.
 *
 * It may come to every thread. One sent to the process comes to the main thread, which has no part
 * in the machine (GS base 0: not a virtual CPU); its handler notes who has sent it and passes the
 * signal on to virtual CPU 0. There, and on any virtual CPU that somebody has sent it to,
 * sigreturn continues on the panic stack, whose owner never goes back, so it does not matter what
 * was interrupted: user code, the kernel, the ways between them, or a panic, which goes on.
 *
 * The handler runs on any thread, so it is no_sanitize, makes direct host calls only and leaves
 * errno alone. The report is the kernel's code: under ThreadSanitizer it may wait for ever for a
 * lock of its run-time library, if it is that which was interrupted.
 */
#include "hosted.h"
#include "lib/format.h"

#define SIG_DFL 0
#define SIG_UNBLOCK 1
#define SIGNAL_STATUS 128 /* of a process that cannot die by a signal */

/* Who was the first: signal << 56 | process << 32 | user; 0: nobody. Atomic. A process's number has
 * 22 bits at most. */
static uint64_t first;

no_sanitize int hosted_ends_by(void)
{
    return (int)(__atomic_load_n(&first, __ATOMIC_RELAXED) >> 56);
}

/* Any thread and context. The first process of a namespace is spared by its own signals. */
no_sanitize _Noreturn void hosted_end_by(int signo)
{
    const struct host_sigaction plain = {.handler = SIG_DFL};
    const uint64_t mask = 1ull << (signo - 1);

    hosted_restore_tty();
    (void)host_call4(HOST_rt_sigaction, signo, (long)&plain, 0, sizeof(mask));
    (void)host_call4(HOST_rt_sigprocmask, SIG_UNBLOCK, (long)&mask, 0, sizeof(mask));
    (void)host_call3(HOST_tgkill, hosted_pid, host_call3(HOST_gettid, 0, 0, 0), signo);
    for (;;)
        (void)host_call3(HOST_exit_group, SIGNAL_STATUS + signo, 0, 0);
}

static no_sanitize void note(int signo, const struct host_siginfo *info)
{
    uint64_t none = 0, who = (uint64_t)signo << 56 | (uint64_t)(uint32_t)info->sender.pid << 32 |
                             info->sender.uid;

    /* Relaxed: the word is all there is. */
    (void)__atomic_compare_exchange_n(&first, &none, who, false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED);
}

/* On a thread of the outer world. */
static no_sanitize void pass_on(int signo, const struct host_siginfo *info)
{
    int32_t tid = __atomic_load_n(&hosted_vcpus[0].tid, __ATOMIC_ACQUIRE);

    /* There is no kernel yet; or it is abort(3), which would not wait for the report. */
    if (tid == 0 || info->sender.pid == hosted_pid)
        hosted_end_by(signo);
    note(signo, info);
    (void)host_call3(HOST_tgkill, hosted_pid, tid, signo);
}

no_sanitize void hosted_sent(int signo, const struct host_siginfo *info, struct host_ucontext *uc)
{
    struct vcpu *v = (struct vcpu *)gs_base_read();

    if (!v) {
        pass_on(signo, info);
        return;
    }
    note(signo, info);
    hosted_resume_at(uc, hosted_entry_sent, hosted_panic_frame(v, uc));
}

static bool inside(uintptr_t addr, uintptr_t lo, size_t size)
{
    return addr - lo < size;
}

/* The frame pointer, unless it is the program's, or none at all. */
static uintptr_t frame_pointer(const struct vcpu *v, const struct isa_frame *frame)
{
    uintptr_t fp = isa_frame_fp(frame);
    bool ours = (v->ctx && inside(fp, v->ctx->stack, v->ctx->size)) ||
                inside(fp, (uintptr_t)v->panic_stack_top - HOSTED_PANIC_STACK_SIZE,
                       HOSTED_PANIC_STACK_SIZE);

    return ours ? fp : 0;
}

static const char *name(unsigned signo)
{
    static const char names[][8] = {
        [HOST_SIGILL] = "SIGILL", [HOST_SIGTRAP] = "SIGTRAP", [HOST_SIGABRT] = "SIGABRT",
        [HOST_SIGBUS] = "SIGBUS", [HOST_SIGFPE] = "SIGFPE",   [HOST_SIGSEGV] = "SIGSEGV",
        [HOST_SIGSYS] = "SIGSYS",
    };

    return signo < ARRAY_COUNT(names) ? names[signo] : "";
}

static no_inline _Noreturn void report(const struct isa_frame *frame)
{
    uint64_t who = __atomic_load_n(&first, __ATOMIC_RELAXED);
    unsigned signo = (unsigned)(who >> 56);
    char what[96];

    snprintf(what, sizeof(what), "signal %u %s from outside, sent by process %u of user %u", signo,
             name(signo), (unsigned)(who >> 32 & 0xffffff), (unsigned)who);
    kernel_killed(what, frame, frame_pointer(vcpu_self(), frame));
}

/* Sanitizer builds: the program may have been there, or was about to be. */
no_sanitize _Noreturn void hosted_sent_end(struct isa_frame *frame)
{
    struct vcpu *v = vcpu_self();

    if (SELKIE_SANITIZE) {
        *(volatile uint8_t *)&v->selector = 0;
        fs_base_write(v->host_fs);
    }
    report(frame);
}
