/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pause.c - see pause.h.
 *
 * A stop is PTRACE_SEIZE, PTRACE_INTERRUPT, a wait for the thread to have stopped; its end is
 * PTRACE_DETACH with the signal that was on its way, if the stop met one. A thread that dies while
 * it is stopped (its process has ended) must be reaped here, or the process would never be gone:
 * PTRACE_DETACH fails then, and the wait takes it.
 */
#include "pause.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define LOOK_SECONDS 0.02 /* for threads that are not there yet */
#define DEPTH 4           /* of processes: selkie run, QEMU */

/* ---- which threads ---- */

/* "cpu 3" is a hosted kernel's (host_vcpu.c), "CPU 3/TCG" or "CPU 3/KVM" QEMU's with
 * debug-threads=on. */
static bool is_vcpu(const char *name)
{
    return (text_starts(name, "cpu ") || text_starts(name, "CPU ")) && isdigit(name[4]);
}

static void find_threads(struct pauses *pauses, pid_t process, unsigned depth)
{
    DIR *threads = opendir(text("/proc/%d/task", process));
    const struct dirent *entry;

    while (threads && (entry = readdir(threads))) {
        pid_t thread = atoi(entry->d_name);
        struct bytes name = {0}, children = {0};
        struct list pids = {0};

        if (thread <= 0 || !file_read(text("/proc/%d/task/%d/comm", process, thread), &name))
            continue;
        if (is_vcpu(name.data) && pauses->count < PAUSE_CPU_MAX)
            pauses->cpu[pauses->count++].thread = thread;
        if (depth == 0 || !file_read(text("/proc/%d/task/%d/children", process, thread), &children))
            continue;
        list_split(&pids, children.data, " \n");
        for (size_t i = 0; i < pids.count; i++)
            find_threads(pauses, atoi(pids.items[i]), depth - 1);
    }
    if (threads)
        closedir(threads);
}

/* ---- a stop ---- */

static void stop(struct pauses *pauses, unsigned i, double seconds)
{
    pid_t thread = pauses->cpu[i].thread;
    int status;

    if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) < 0) {
        if (errno == EPERM)
            fail(EXIT_TOOL, "a virtual CPU cannot be stopped: ptrace is not allowed here (see "
                            "/proc/sys/kernel/yama/ptrace_scope); --pause 0 does without");
        return; /* it has ended */
    }
    ptrace(PTRACE_INTERRUPT, thread, NULL, NULL);
    if (waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status))
        return; /* it has ended, and is reaped */
    /* Above the signal's number stands which event it was: none is a signal on its way. */
    pauses->cpu[i].signo = status >> 16 == 0 ? WSTOPSIG(status) : 0;
    pauses->cpu[i].stopped = true;
    pauses->cpu[i].since = now_seconds();
    pauses->cpu[i].until = pauses->cpu[i].since + seconds;
    pauses->stopped++;
    pauses->done++;
}

static void go_on(struct pauses *pauses, unsigned i)
{
    pid_t thread = pauses->cpu[i].thread;

    if (ptrace(PTRACE_DETACH, thread, NULL, (void *)(uintptr_t)pauses->cpu[i].signo) < 0)
        waitpid(thread, NULL, __WALL);
    pauses->held_seconds += now_seconds() - pauses->cpu[i].since;
    pauses->cpu[i].stopped = false;
    pauses->stopped--;
}

/* ---- the whole ---- */

void pauses_begin(struct pauses *pauses, pid_t root)
{
    memset(pauses->cpu, 0, sizeof(pauses->cpu));
    pauses->count = pauses->stopped = pauses->done = 0;
    pauses->held_seconds = 0;
    pauses->root = root;
    pauses->next = now_seconds();
}

static void begin_one(struct pauses *pauses)
{
    unsigned i = (unsigned)(random_next(&pauses->random) % pauses->count);
    uint64_t micros = random_next(&pauses->random) % (pauses->longest_ms * 1000ull + 1);

    if (!pauses->cpu[i].stopped)
        stop(pauses, i, (double)micros / 1e6);
    pauses->next =
        now_seconds() + (double)(random_next(&pauses->random) % (pauses->every_ms * 2000ull)) / 1e6;
}

double pauses_step(struct pauses *pauses, unsigned cpus)
{
    double now = now_seconds(), next;

    if (pauses->longest_ms == 0)
        return now + 1;
    for (unsigned i = 0; i < pauses->count; i++)
        if (pauses->cpu[i].stopped && pauses->cpu[i].until <= now)
            go_on(pauses, i);
    if (pauses->count < cpus && pauses->next <= now) {
        pauses->count = 0;
        find_threads(pauses, pauses->root, DEPTH);
        pauses->next = now + LOOK_SECONDS;
    } else if (pauses->next <= now) {
        begin_one(pauses);
    }
    next = pauses->next;
    for (unsigned i = 0; i < pauses->count; i++)
        if (pauses->cpu[i].stopped && pauses->cpu[i].until < next)
            next = pauses->cpu[i].until;
    return next;
}

void pauses_end(struct pauses *pauses)
{
    for (unsigned i = 0; i < pauses->count; i++)
        if (pauses->cpu[i].stopped)
            go_on(pauses, i);
}
